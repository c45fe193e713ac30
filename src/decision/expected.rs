//! What an action is expected to find out. A status report continues with it instead of the action.
//! Pure.

use std::collections::BTreeSet;

use super::fact::{Fact, KeyChange};
use super::key::{Key, KeyDescription, Owner, Progress, Supersession};
use super::observed::Observed;
use super::request::Action;
use super::secret_version::VersionRole;
use super::task::UsagePlans;
use crate::ids::{KeyId, VersionId};

/// Stands for the id of a key that would be created.
const NOT_CREATED: &str = "not-created-yet";

/// Returns the fact that follows from `action` if it succeeds and nothing else changes.
#[must_use]
pub fn expected(observed: &Observed, action: &Action) -> Fact {
    let now = observed.policy.now;
    let changed = |id: &KeyId, change| Fact::KeyChanged(id.clone(), change);
    match action {
        Action::StorePendingValue(_) => Fact::PendingValueStored,
        Action::CreateKey { role, version } => Fact::KeyCreated(created(observed, *role, version)),
        Action::NoteResumption(id) => changed(id, KeyChange::Resumed(now)),
        Action::NoteTargets(id) => changed(id, KeyChange::TargetsNoted),
        Action::AttachKey(id, plan) => changed(id, KeyChange::Attached(plan.clone())),
        Action::WriteTarget(target, role) => Fact::TargetWritten(target.clone(), *role),
        Action::Promote { .. } => Fact::Promoted,
        Action::RemovePendingLabel(_) => Fact::PendingLabelRemoved,
        Action::RestoreKey(id) => changed(id, KeyChange::Restored),
        Action::MarkSuperseded(id, mark) => changed(id, KeyChange::Superseded(mark.clone())),
        Action::DisableKey(id, mark) => {
            let disabled_at = Some(now);
            let mark = Supersession {
                disabled_at,
                ..mark.clone()
            };
            changed(id, KeyChange::Disabled(mark))
        }
        Action::SendNotice(notice) => Fact::NoticeSent(notice.clone()),
        Action::NoteRevocation(id, mark)
        | Action::NotePostponement(id, mark)
        | Action::NoteNotice(id, mark) => {
            let is_enabled = observed.keys.get(id).is_some_and(|key| key.enabled);
            changed(
                id,
                if is_enabled {
                    KeyChange::Superseded(mark.clone())
                } else {
                    KeyChange::Disabled(mark.clone())
                },
            )
        }
        Action::DeleteKey(id) => changed(id, KeyChange::Deleted),
    }
}

fn created(observed: &Observed, role: VersionRole, version: &VersionId) -> Key {
    let progress = if role == VersionRole::Current {
        Progress::AwaitsPlans
    } else {
        Progress::Complete
    };
    let stage_keys = matches!(
        observed.policy.plans,
        UsagePlans::Inherited { stage_keys: true }
    );
    Key {
        id: KeyId::from(NOT_CREATED),
        owner: Owner::Secret {
            version: version.clone(),
        },
        description: KeyDescription::InUse(progress),
        enabled: true,
        stage_keys,
        generated: true,
        effective_since: observed.policy.now,
        changed_at: None,
        named_targets: observed.known_written(),
        held_by: BTreeSet::from([role]),
        in_targets: BTreeSet::new(),
    }
}
