//! Why a step stops.

use super::secret_version::{InvalidSecret, VersionRole};
use crate::ids::{KeyId, PlanId, Target};

/// Why a step stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The token is no version that the secret shows.
    #[error(
        "the secret shows no such version: a value was put by hand, AWSPENDING was removed, or it never was; rotate again with `aws secretsmanager rotate-secret`"
    )]
    UnknownVersion,
    /// The version has labels, but neither AWSCURRENT nor AWSPENDING.
    #[error(
        "the version is not pending any more: someone moved or removed AWSPENDING; rotate again"
    )]
    NotPending,
    /// Rotation is off.
    #[error(
        "rotation is off for this secret; to switch it on, take AWSPENDING off the version with `aws secretsmanager update-secret-version-stage` and rotate again"
    )]
    RotationDisabled,
    /// The pending version has no value, although it was waited for.
    #[error(
        "the pending version has no value, although it was read again for 10 seconds: either createSecret has not stored one, or what it stored is not visible yet; Secrets Manager's next try begins with createSecret, which keeps a value that is there"
    )]
    NoPendingKey,
    /// A version holds a text that cannot be rotated.
    #[error("the secret's {0} version cannot be used: {1}")]
    InvalidSecret(VersionRole, InvalidSecret),
    /// The pending version holds something that this rotation did not put there.
    #[error(
        "the pending version holds no fresh key, but a copy of the current one or a text without a key; take AWSPENDING off it with `aws secretsmanager update-secret-version-stage` and rotate again"
    )]
    PendingValueNotNew,
    /// The pending version does not carry the other fields of AWSCURRENT.
    #[error(
        "AWSCURRENT has other fields than this version, which was made before somebody edited the secret or moved AWSCURRENT; take AWSPENDING off the version with `aws secretsmanager update-secret-version-stage` and rotate again"
    )]
    SecretEditedDuringRotation,
    /// AWSCURRENT is on another version, and that version cannot be read.
    #[error(
        "a version carries AWSCURRENT, but its value is not found, so its fields cannot be carried over; if that stays so, put a value and rotate again"
    )]
    CurrentValueNotFound,
    /// API Gateway says that the value exists, and shows no such key.
    #[error(
        "API Gateway says that a key with this value exists, but lists none; take AWSPENDING off the version and rotate again"
    )]
    KeyValueConflict,
    /// The pending value is that of a key that we did not mint.
    #[error(
        "API key {0} has the pending value and is not this secret's; take AWSPENDING off the version and rotate again"
    )]
    KeyNotManaged(KeyId),
    /// No key has the pending value.
    #[error(
        "API Gateway has no key with the pending value; setSecret mints it, which Secrets Manager's next try runs"
    )]
    KeyNotFound,
    /// The key was disabled.
    #[error(
        "API key {0} is disabled; what this function disabled itself, Secrets Manager's next try enables; otherwise enable it or delete it first"
    )]
    KeyDisabled(KeyId),
    /// An emergency stop disabled the pending key.
    #[error(
        "API key {0} was revoked by an emergency stop, so its value is not handed out; take AWSPENDING off the version with `aws secretsmanager update-secret-version-stage` and rotate again"
    )]
    KeyRevoked(KeyId),
    /// The key lost a plan, or never got it.
    #[error(
        "API key {0} is not on usage plan {1}; setSecret attaches it, which Secrets Manager's next try runs"
    )]
    KeyNotOnUsagePlan(KeyId, PlanId),
    /// No API would accept the key.
    #[error(
        "no API would accept the new key: it is on no usage plan and has no stage key, and no PROBE_URL accepted it; put the current key on its usage plan, which the new key gets too, or set USAGE_PLAN_IDS (or ALLOW_KEY_WITHOUT_PLAN=true where an authorizer compares the key), then Secrets Manager's next try succeeds; STAGE_KEYS is for keys that are made after it was set, so then cancel the rotation and rotate again; to cancel it, take AWSPENDING off the version with `aws secretsmanager update-secret-version-stage`"
    )]
    NoUsagePlan,
    /// The first write to a target would overwrite somebody else's value.
    #[error(
        "the Doppler target {0} holds a value that is neither this secret's nor one of its keys, so nothing was written; to have it overwritten, set DOPPLER_ADOPT_TARGETS={0} (beside what it lists already), else correct DOPPLER_TARGETS; then Secrets Manager's next try succeeds, or start it at once with `aws secretsmanager rotate-secret` (with --no-rotate-immediately it only tests); to cancel a rotation instead, take AWSPENDING off the version with `aws secretsmanager update-secret-version-stage`"
    )]
    TargetTaken(Target),
}

impl Refusal {
    /// The stable name of the error, as Lambda's `errorType`.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::UnknownVersion => "UnknownVersion",
            Self::NotPending => "NotPending",
            Self::InvalidSecret(..) => "InvalidSecret",
            Self::KeyRevoked(_) => "KeyRevoked",
            Self::TargetTaken(_) => "DopplerTargetTaken",
            Self::RotationDisabled => "RotationDisabled",
            Self::NoPendingKey => "NoPendingKey",
            Self::PendingValueNotNew => "PendingValueNotNew",
            Self::SecretEditedDuringRotation => "SecretEditedDuringRotation",
            Self::CurrentValueNotFound => "CurrentValueNotFound",
            Self::KeyValueConflict => "KeyValueConflict",
            Self::KeyNotManaged(_) => "KeyNotManaged",
            Self::KeyNotFound => "KeyNotFound",
            Self::KeyDisabled(_) => "KeyDisabled",
            Self::KeyNotOnUsagePlan(..) => "KeyNotOnUsagePlan",
            Self::NoUsagePlan => "NoUsagePlan",
        }
    }
}
