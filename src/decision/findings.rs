//! What a report says of a secret and its keys. Pure.

use std::collections::BTreeSet;
use std::ops::ControlFlow::Continue;
use std::time::SystemTime;

use super::key::{Key, Owner, Supersession};
use super::observed::{Observed, ObservedTarget, TargetContent};
use super::retirement::{
    current_supersession, every_target_was_read, is_due, is_irreplaceable, is_retained,
    is_unrecognized, since, superseded_since,
};
use super::secret::{PENDING, Replication};
use super::secret_version::{Content, InvalidSecret, VersionRole};
use crate::ids::{KeyId, Target, VersionId};
use crate::redact::Redacted;

/// What a key is to its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyState {
    /// AWSCURRENT holds it, or a version with another label than AWSPREVIOUS.
    InUse,
    /// Replaced, and enabled until its grace is over.
    Superseded,
    /// Replaced, and disabled by this function until its quarantine is over.
    Quarantined,
    /// Disabled by a person.
    DisabledManually,
    /// Replaced, but made by a person or another tool, and not handed over.
    Unmanaged,
}

/// What `key` is to its secret, as far as is known.
#[must_use]
pub fn state(observed: &Observed, key: &Key) -> KeyState {
    if !key.is_managed() && key.held_by.is_empty() {
        KeyState::Unmanaged
    } else if key.quarantined_since().is_some() {
        KeyState::Quarantined
    } else if !key.enabled {
        KeyState::DisabledManually
    } else if key.is(VersionRole::Current) || is_retained(observed, key) {
        KeyState::InUse
    } else if !key.is_managed() || is_unrecognized(observed, key) {
        KeyState::Unmanaged
    } else {
        KeyState::Superseded
    }
}

/// Something that a reconciliation leaves as it is, and that its reader should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// No version carries AWSCURRENT, or it has no value.
    NoCurrent,
    /// AWSCURRENT holds no key.
    Placeholder,
    /// API Gateway has no key with AWSCURRENT's value, and it is not known to be one that this function made.
    CurrentKeyMissing,
    /// A person disabled AWSCURRENT's key.
    CurrentKeyDisabled(KeyId),
    /// AWSCURRENT holds a text that cannot be rotated.
    Unusable(InvalidSecret),
    /// AWSCURRENT holds a key that an emergency stop revoked, through another version than the one that it was made for.
    CurrentKeyRevoked(KeyId),
    /// Somebody enabled a key that an emergency stop had revoked; it was disabled again.
    RevokedAgain(KeyId),
    /// This function had disabled AWSCURRENT's key, and could not enable it.
    NotRestored(KeyId),
    /// AWSCURRENT's key was seen to be on no usage plan, and could be put on none.
    OnNoPlan(KeyId),
    /// In an emergency, a key that stays because its version carries a label of the owner's own.
    Spared(KeyId),
    /// In an emergency, a replaced key that stays because this function did not make it.
    StillWorks(KeyId),
    /// A key stays in quarantine, because it could not be made anew if a rollback wanted it.
    Irreplaceable(KeyId),
    /// A person disabled a replaced key.
    DisabledManually(KeyId),
    /// A key that this function did not make is, or was until lately, the secret's: with the version that holds it.
    HandOver(KeyId, VersionId),
    /// A key carries this function's tag and is of an earlier secret of this name, or was renamed or lost a tag.
    Namesake(KeyId),
    /// Somebody else changed a superseded key, so that its grace or quarantine counts from then.
    Postponed(KeyId, SystemTime),
    /// A key has our tags and name, but its value is neither AWSCURRENT's nor AWSPREVIOUS's.
    NotAdopted(KeyId),
    /// A target holds the key of a rotation under way.
    AwaitsPromotion(Target),
    /// A target holds somebody else's value and was never written, so it is left alone.
    TargetTaken(Target),
    /// A replica has not got AWSCURRENT yet, so no grace begins.
    ReplicaUnderway(Redacted),
    /// A replica does not follow the secret: its Region, and the service's words.
    ReplicaFailed(Redacted, Redacted),
    /// Rotation is switched off.
    RotationOff,
    /// No reply told AWS's time, so nothing was disabled or deleted.
    TimeUnknown,
    /// The grace of a key is over, but a target could not be read, which may hold it.
    Withheld(KeyId),
    /// A key was disabled at once, and whoever reads it from Doppler is cut off; or may be, where a target could not be
    /// read.
    CutOff {
        /// The key.
        key: KeyId,
        /// Whether a target did hold it.
        certain: bool,
    },
}

/// What is to be said of a secret at the end of a reconciliation.
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
    if searched && !keys.iter().any(|key| key.is(VersionRole::Current)) {
        found.push(Finding::CurrentKeyMissing);
    }
    for key in keys {
        found.extend(finding_of(observed, key));
        // Beside what else there is to say of it, such as how it is handed over.
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
    if let Some(at) = postponed_to(observed, key) {
        return Some(Finding::Postponed(id, at));
    }
    (is_due(observed, key) && !observed.failed_keys.contains(&id)).then_some(Finding::Withheld(id))
}

/// A key that this function neither made nor was handed, as far as its tags, name and mark tell.
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

/// From when on the period of a superseded key counts, where that is later than its mark says, and the period is not over.
fn postponed_to(observed: &Observed, key: &Key) -> Option<SystemTime> {
    let mark = key.supersession()?;
    let (marked, counts, period) = match key.quarantined_since() {
        Some(at) => {
            let own = Supersession {
                postponed: None,
                ..mark.clone()
            }
            .newest();
            (own, since(key, at), observed.policy.quarantine)
        }
        None if is_retained(observed, key) || key.is(VersionRole::Current) => return None,
        None => {
            let counts = superseded_since(observed, key, current_supersession(observed, key)?);
            (mark.superseded_at, counts, observed.grace())
        }
    };
    (counts > marked && counts + period > observed.policy.now).then_some(counts)
}

/// Whether no API accepts the key, as far as this run looked at its plans.
fn is_on_no_plan(observed: &Observed, key: &Key) -> bool {
    let excused = key.stage_keys || observed.policy.allows_no_plan;
    !excused && observed.plans.get(&key.id).is_some_and(BTreeSet::is_empty)
}
