//! Why a step stops.

use super::secret_version::{InvalidSecret, VersionRole};
use crate::ids::{KeyId, PlanId, Target};

/// Why a step stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No version of the secret has the `ClientRequestToken` as its id.
    #[error(
        "no version of the secret has this ClientRequestToken: a new value was written manually, AWSPENDING was removed, or it never existed; start a new rotation with `aws secretsmanager rotate-secret`"
    )]
    UnknownVersion,
    /// The version has labels, but neither AWSCURRENT nor AWSPENDING.
    #[error(
        "the version is no longer pending: AWSPENDING was moved or removed during the rotation; rotate again"
    )]
    NotPending,
    /// Rotation is turned off.
    #[error(
        "rotation is turned off for this secret; to turn it on, remove AWSPENDING from the version with `aws secretsmanager update-secret-version-stage` and rotate again"
    )]
    RotationDisabled,
    /// The pending version has no value, although this function waited for one.
    #[error(
        "the pending version still has no value after 10 seconds: createSecret has not stored one, or the stored value is not visible yet; Secrets Manager's next retry starts with createSecret, which keeps an existing value"
    )]
    NoPendingKey,
    /// A version holds a text that cannot be rotated.
    #[error("the secret's {0} version cannot be used: {1}")]
    InvalidSecret(VersionRole, InvalidSecret),
    /// The pending version holds something other than a new key.
    #[error(
        "the pending version holds no new key: its value is a copy of the current one or a text without a key; remove AWSPENDING from it with `aws secretsmanager update-secret-version-stage` and rotate again"
    )]
    PendingValueNotNew,
    /// The pending version lacks the other fields of AWSCURRENT.
    #[error(
        "the pending version is out of date: the secret was edited or AWSCURRENT was moved during the rotation; remove AWSPENDING from the version with `aws secretsmanager update-secret-version-stage` and rotate again"
    )]
    SecretEditedDuringRotation,
    /// Another version carries AWSCURRENT, but its value could not be read.
    #[error(
        "the fields of the secret could not be copied: a version carries AWSCURRENT, but its value was not found; if this continues, write a value and rotate again"
    )]
    CurrentValueNotFound,
    /// API Gateway reports that the value exists, but lists no such key.
    #[error(
        "the key with the pending value was not found: API Gateway reports that it exists, but does not list it; remove AWSPENDING from the version and rotate again"
    )]
    KeyValueConflict,
    /// The pending value belongs to a key that this function did not create for this secret.
    #[error(
        "API key {0} has the pending value, but does not belong to this secret; remove AWSPENDING from the version and rotate again"
    )]
    KeyNotManaged(KeyId),
    /// No key has the pending value.
    #[error(
        "API Gateway has no key with the pending value; setSecret creates it on Secrets Manager's next retry"
    )]
    KeyNotFound,
    /// The key was disabled.
    #[error(
        "API key {0} is disabled; if this function disabled it, Secrets Manager's next retry enables it; otherwise enable or delete it"
    )]
    KeyDisabled(KeyId),
    /// An emergency stop disabled the pending key.
    #[error(
        "API key {0} was revoked by an emergency stop, so consumers must not get it; remove AWSPENDING from the version with `aws secretsmanager update-secret-version-stage` and rotate again"
    )]
    KeyRevoked(KeyId),
    /// The key is not on a configured plan.
    #[error(
        "API key {0} is not on usage plan {1}; setSecret attaches it on Secrets Manager's next retry"
    )]
    KeyNotOnUsagePlan(KeyId, PlanId),
    /// No API would accept the new key.
    #[error(
        "no API would accept the new key: it is on no usage plan, has no stage key, and no PROBE_URL accepted it; attach the current key to its usage plan, which the new key then gets too, or set USAGE_PLAN_IDS (or ALLOW_KEY_WITHOUT_PLAN=true if an authorizer compares the key), and Secrets Manager's next retry succeeds; STAGE_KEYS applies only to keys that are created after it was set, so cancel the rotation and rotate again; to cancel it, remove AWSPENDING from the version with `aws secretsmanager update-secret-version-stage`"
    )]
    NoUsagePlan,
    /// The first write to a target would overwrite an unknown value.
    #[error(
        "the Doppler target {0} was not written: it holds a value that belongs neither to this secret nor to one of its keys; to overwrite it, set DOPPLER_ADOPT_TARGETS={0} (in addition to its present targets), otherwise correct DOPPLER_TARGETS; Secrets Manager's next retry then succeeds, or retry at once with `rotationctl retry`; to cancel the rotation instead, remove AWSPENDING from the version with `aws secretsmanager update-secret-version-stage`"
    )]
    TargetTaken(Target),
}

impl Refusal {
    /// Returns the stable name of the error, which Lambda reports as `errorType`.
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
