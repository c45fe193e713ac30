//! What a superseded key's mark and its secret's labels say about it. Pure.

use std::time::SystemTime;

use super::key::{Key, Supersession};
use super::observed::Observed;
use super::secret_version::VersionRole;

/// Whether AWSCURRENT was moved back to the version that the key was created for. Only that
/// restores a revoked key.
pub(super) fn is_reinstated(observed: &Observed, key: &Key) -> bool {
    key.belongs_to_secret() && key.version() == observed.version(VersionRole::Current)
}

/// Returns when a period begins: at the newest time in the mark, or at a later change by another
/// caller, which may have written older times.
///
/// In a mark that this function writes, the newest time is the period's own. The exception is a key
/// that an emergency stop revoked in its quarantine: the quarantine begins again.
pub(crate) fn since(key: &Key, marked: SystemTime) -> SystemTime {
    let newest = key.supersession().map(Supersession::period_start);
    let changed = key.changed_by_others();
    [newest, changed]
        .into_iter()
        .flatten()
        .fold(marked, SystemTime::max)
}

/// Returns when the grace period begins. AWSPREVIOUS's key was in use until AWSCURRENT's version
/// was created.
///
/// After a rollback, that version is older than the mark, so it changes nothing.
pub(crate) fn superseded_since(observed: &Observed, key: &Key, mark: &Supersession) -> SystemTime {
    let created = observed
        .versions
        .current_created()
        .filter(|_| is_previous(observed, key));
    since(key, mark.superseded_at).max(created.unwrap_or(mark.superseded_at))
}

/// Returns the mark of `key`, if it is about the present period.
///
/// It is not if an operator enabled the key again, or if the secret moved on from the key a second
/// time after a rollback. It is not either if a Doppler target held the key until this run, because
/// its readers have another key only since then.
pub(super) fn current_supersession<'a>(
    observed: &Observed,
    key: &'a Key,
) -> Option<&'a Supersession> {
    let mark = key.supersession()?;
    let enabled_again = key.enabled && mark.disabled_at.is_some();
    let of_earlier_period =
        is_previous(observed, key) && Some(&mark.by) != observed.version(VersionRole::Current);
    let held_until_now = !key.in_targets.is_empty() && !observed.changed_keys.contains(&key.id);
    (!enabled_again && !of_earlier_period && !held_until_now).then_some(mark)
}

/// Whether AWSPREVIOUS holds the key. If the key was created for that version, the version id is
/// enough.
pub(super) fn is_previous(observed: &Observed, key: &Key) -> bool {
    key.is(VersionRole::Previous)
        || (key.belongs_to_secret() && key.version() == observed.version(VersionRole::Previous))
}

/// Whether the version that the key was created for carries a label other than AWSPREVIOUS.
pub(super) fn is_retained(observed: &Observed, key: &Key) -> bool {
    let version = key.version();
    version.is_some_and(|version| observed.staging().is_retained(version))
}

/// Whether AWSCURRENT holds the key, or its version carries a label other than AWSPREVIOUS.
pub(super) fn is_in_use(observed: &Observed, key: &Key) -> bool {
    key.is(VersionRole::Current) || is_retained(observed, key)
}
