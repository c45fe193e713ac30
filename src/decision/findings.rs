//! What a report says about a secret and its keys. Pure.

use std::collections::BTreeSet;
use std::ops::ControlFlow::Continue;
use std::time::SystemTime;

use super::hold::current_hold;
use super::key::{Key, Owner, Supersession};
use super::key_usage::{CountedUse, Hold};
use super::observed::{Observed, ObservedTarget, TargetContent};
use super::retirement::{every_target_was_read, is_due, is_irreplaceable, is_unrecognized};
use super::secret::{PENDING, Replication};
use super::secret_version::{Content, InvalidSecret, VersionRole};
use super::supersession::{current_supersession, is_in_use, is_retained, since, superseded_since};
use crate::ids::{KeyId, Target, VersionId};
use crate::redact::Redacted;

/// The state of a key, as a report shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyState {
    /// AWSCURRENT holds it, or a version with a label other than AWSPREVIOUS does.
    InUse,
    /// Superseded, and enabled until its grace period ends.
    Superseded,
    /// Superseded, and disabled by this function until its quarantine ends.
    Quarantined,
    /// Disabled by an operator.
    DisabledManually,
    /// Superseded, but created by an operator or another tool, and not handed over.
    Unmanaged,
}

/// Returns the state of `key`, as far as it is known.
#[must_use]
pub fn state(observed: &Observed, key: &Key) -> KeyState {
    if !key.is_managed() && key.held_by.is_empty() {
        KeyState::Unmanaged
    } else if key.quarantined_since().is_some() {
        KeyState::Quarantined
    } else if !key.enabled {
        KeyState::DisabledManually
    } else if is_in_use(observed, key) {
        KeyState::InUse
    } else if !key.is_managed() || is_unrecognized(observed, key) {
        KeyState::Unmanaged
    } else {
        KeyState::Superseded
    }
}

/// Something that a reconciliation does not change but reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// No version carries AWSCURRENT, or it has no value.
    NoCurrent,
    /// AWSCURRENT holds no key.
    Placeholder,
    /// API Gateway has no key with AWSCURRENT's value, and this function is not known to have
    /// created one.
    CurrentKeyMissing,
    /// An operator disabled AWSCURRENT's key.
    CurrentKeyDisabled(KeyId),
    /// AWSCURRENT holds a text that cannot be rotated.
    Unusable(InvalidSecret),
    /// AWSCURRENT holds a key that an emergency stop revoked, and is not on the version that the key
    /// was created for.
    CurrentKeyRevoked(KeyId),
    /// An emergency stop had revoked this key, and it was enabled again. This run disabled it
    /// again.
    RevokedAgain(KeyId),
    /// This function disabled AWSCURRENT's key earlier, and could not enable it.
    NotRestored(KeyId),
    /// This run found AWSCURRENT's key on no usage plan, and could not attach it to one.
    OnNoPlan(KeyId),
    /// In an emergency, a key stays enabled because its version carries a custom label.
    Spared(KeyId),
    /// In an emergency, a superseded key stays enabled because this function did not create it.
    StillWorks(KeyId),
    /// A key stays in quarantine because this function could not create it again for a rollback.
    Irreplaceable(KeyId),
    /// An operator disabled a superseded key.
    DisabledManually(KeyId),
    /// AWSCURRENT or AWSPREVIOUS holds a key that this function did not create, and this version
    /// holds it.
    HandOver(KeyId, VersionId),
    /// A key has this function's tag, but belongs to an earlier secret of this name, was renamed,
    /// or lost a tag.
    Namesake(KeyId),
    /// Something else changed a superseded key, so its grace period or quarantine counts from then.
    Postponed(KeyId, SystemTime),
    /// A key has this secret's tags and name, but neither AWSCURRENT nor AWSPREVIOUS holds its
    /// value.
    NotAdopted(KeyId),
    /// A target holds the pending key of a rotation.
    AwaitsPromotion(Target),
    /// A target holds an unknown value and was never written, so this function does not overwrite
    /// it.
    TargetTaken(Target),
    /// A replica does not have AWSCURRENT's value yet, so no grace period begins.
    ReplicaUnderway(Redacted),
    /// A replica does not follow the secret: its Region, and the service's message.
    ReplicaFailed(Redacted, Redacted),
    /// Rotation is turned off.
    RotationOff,
    /// No AWS reply showed a time that can be trusted, so nothing was disabled or deleted.
    TimeUnknown,
    /// The grace period or quarantine of a key is over, but the key was kept: a target that may hold
    /// it could not be read, a replica is behind, or AWSCURRENT's key does not work.
    Withheld(KeyId),
    /// The grace period of a key is over, but the key was kept because it is still used.
    Held(KeyId, Hold),
    /// This run disabled a key although it was still used: it was kept as long as `HOLD_WHILE_USED`
    /// allows.
    DisabledWhileUsed(KeyId, Vec<CountedUse>),
    /// An emergency stop disabled a key, so consumers that read it from Doppler are rejected, or may
    /// be.
    CutOff {
        /// The key.
        key: KeyId,
        /// Whether a target held it. `false` if no target that was read held it, but not every
        /// target could be read.
        certain: bool,
    },
}

/// Returns the findings about a secret at the end of a reconciliation.
#[must_use]
pub fn findings(observed: &Observed) -> Vec<Finding> {
    let mut found = Vec::new();
    match observed.content(VersionRole::Current) {
        None if observed.version(VersionRole::Current).is_some() => return found,
        None | Some(Content::Missing) => found.push(Finding::NoCurrent),
        Some(Content::Placeholder) => found.push(Finding::Placeholder),
        Some(Content::Unusable(fault)) => found.push(Finding::Unusable(fault)),
        Some(Content::Key { .. }) => {}
    }
    found.extend(findings_of_secret(observed));
    let Some(keys) = observed.keys.listed() else {
        return found;
    };
    let searched = observed.keys.were_searched(VersionRole::Current);
    if searched && observed.keys.held_by(VersionRole::Current).is_none() {
        found.push(Finding::CurrentKeyMissing);
    }
    for key in keys {
        found.extend(finding_of(observed, key));
        // In addition to the key's other finding, such as how it is handed over.
        if key.is(VersionRole::Current) && is_on_no_plan(observed, key) {
            found.push(Finding::OnNoPlan(key.id.clone()));
        }
    }
    for ObservedTarget { target, content } in &observed.targets {
        if *content == TargetContent::Key(VersionRole::Pending) && observed.is_rotating() {
            found.push(Finding::AwaitsPromotion(target.clone()));
        }
        if observed.is_taken(target) == Continue(true) {
            found.push(Finding::TargetTaken(target.clone()));
        }
    }
    found
}

fn findings_of_secret(observed: &Observed) -> Vec<Finding> {
    let mut found = Vec::new();
    if !observed.secret.rotation_enabled {
        found.push(Finding::RotationOff);
    }
    if !observed.policy.time_is_known {
        found.push(Finding::TimeUnknown);
    }
    for replica in &observed.secret.replicas {
        let region = replica.region.clone();
        match replica.status {
            Replication::InSync => {}
            Replication::Underway => found.push(Finding::ReplicaUnderway(region)),
            Replication::Failed | Replication::Detached => {
                found.push(Finding::ReplicaFailed(region, replica.message.clone()));
            }
        }
    }
    found
}

fn finding_of(observed: &Observed, key: &Key) -> Option<Finding> {
    let id = key.id.clone();
    if key.is(VersionRole::Current) && key.is_revoked() {
        return Some(Finding::CurrentKeyRevoked(id));
    }
    if observed.revoked_again.contains(&id) {
        return Some(Finding::RevokedAgain(id));
    }
    if observed.is_emergency()
        && observed.disabled_keys.contains(&id)
        && !key.is(VersionRole::Current)
    {
        let certain = !key.in_targets.is_empty();
        let cut_off = certain || !every_target_was_read(observed);
        return cut_off.then_some(Finding::CutOff { key: id, certain });
    }
    if key.is(VersionRole::Current) && key.quarantined_since().is_some() {
        return Some(Finding::NotRestored(id));
    }
    let rotating = |version| observed.staging().on(version, PENDING);
    let spared = is_retained(observed, key) && !key.version().is_some_and(rotating);
    if observed.is_emergency() && key.enabled && !key.is(VersionRole::Current) {
        if spared {
            return Some(Finding::Spared(id));
        }
        if !key.is_managed() || is_unrecognized(observed, key) {
            return Some(Finding::StillWorks(id));
        }
    }
    if key.quarantined_since().is_some() && is_irreplaceable(observed, key) {
        return Some(Finding::Irreplaceable(id));
    }
    if key.is_disabled_manually() && key.is(VersionRole::Current) {
        return Some(Finding::CurrentKeyDisabled(id));
    }
    if !key.is_managed() {
        return finding_of_unmanaged(observed, key);
    }
    if key.is_disabled_manually() {
        return Some(Finding::DisabledManually(id));
    }
    if is_unrecognized(observed, key) && key.supersession().is_none() {
        return Some(Finding::NotAdopted(id));
    }
    if let Some(hold) = current_hold(observed, key) {
        return Some(Finding::Held(id, hold));
    }
    if observed.disabled_keys.contains(&id)
        && let Some(usage) = observed.usage.get(&id)
        && !usage.counted().is_empty()
    {
        return Some(Finding::DisabledWhileUsed(id, usage.counted().to_vec()));
    }
    if let Some(at) = postponed_to(observed, key) {
        return Some(Finding::Postponed(id, at));
    }
    (is_due(observed, key) && !observed.failed_keys.contains(&id)).then_some(Finding::Withheld(id))
}

/// Returns the finding about a key that this function neither created nor was handed, according to
/// its tags, name and description.
fn finding_of_unmanaged(observed: &Observed, key: &Key) -> Option<Finding> {
    let mut holders = key
        .held_by
        .iter()
        .filter_map(|role| observed.version(*role));
    match holders
        .next()
        .filter(|_| observed.task.searches_for_unmanaged_keys())
    {
        Some(version) => Some(Finding::HandOver(key.id.clone(), version.clone())),
        None if key.held_by.is_empty() && key.owner == Owner::Namesake && key.enabled => {
            Some(Finding::Namesake(key.id.clone()))
        }
        None => None,
    }
}

/// Returns when the period of a superseded key begins, if that is later than its mark says and the
/// period is not over.
fn postponed_to(observed: &Observed, key: &Key) -> Option<SystemTime> {
    let mark = key.supersession()?;
    let (marked, counts, period) = match key.quarantined_since() {
        Some(at) => {
            let own = Supersession {
                postponed: None,
                ..mark.clone()
            }
            .period_start();
            (own, since(key, at), observed.policy.quarantine)
        }
        None if is_in_use(observed, key) => return None,
        None => {
            let counts = superseded_since(observed, key, current_supersession(observed, key)?);
            (mark.superseded_at, counts, observed.grace())
        }
    };
    (counts > marked && counts + period > observed.policy.now).then_some(counts)
}

/// Whether no API accepts the key, as far as this run read its plans.
fn is_on_no_plan(observed: &Observed, key: &Key) -> bool {
    let excused = key.stage_keys || observed.policy.allows_no_plan;
    !excused && observed.plans.get(&key.id).is_some_and(BTreeSet::is_empty)
}
