//! What settles each alarm and each error type.

use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

/// An alarm or an error type.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: &'static str,
    /// What `rotationctl why` says before the remedy about what must be changed.
    pub(crate) says: &'static [&'static str],
    /// Who can change it, as `rotationctl why` names them.
    pub(crate) who: Option<&'static str>,
    /// What is run, in order, once the remedy is done.
    pub(crate) settle: &'static [&'static str],
    /// The reconciliations after which an alarm is over, and how far they are apart.
    pub(crate) over_after: (u64, Duration),
}

const fn row(name: &'static str, settle: &'static [&'static str]) -> Row {
    Row {
        name,
        says: &[],
        who: None,
        settle,
        over_after: (1, HOUR),
    }
}

impl Row {
    const fn says(mut self, words: &'static [&'static str]) -> Row {
        self.says = words;
        self
    }

    const fn who(mut self, who: &'static str) -> Row {
        self.who = Some(who);
        self
    }

    const fn over_after_hours(mut self, hours: u64) -> Row {
        self.over_after = (hours, HOUR);
        self
    }

    const fn over_after_days(mut self, days: u64) -> Row {
        self.over_after = (days, Duration::from_hours(24));
        self
    }
}

const ORGANIZATION: &str = "the administrators of the AWS organization";
const KMS: &str = "the administrators of the KMS key";
const DOPPLER: &str = "an administrator of the Doppler workplace";
const API: &str = "the owner of the API";

const LOOK: &[&str] = &["rotationctl status"];
const RETRY: &[&str] = &["rotationctl retry"];
const ROTATE: &[&str] = &["rotationctl rotate --wait"];
const AGAIN: &[&str] = &["rotationctl cancel", "rotationctl rotate --wait"];

/// An alarm about three hours of a day ends once two of them are left.
const DAY: u64 = 24;

pub(crate) const ALARMS: &[Row] = &[
    row("rotation-failed", RETRY)
        .says(&["service control policy"])
        .who(ORGANIZATION),
    row("function-errors", RETRY).says(&["KMS"]).who(KMS),
    row("function-throttled", RETRY).says(&["TooManyRequestsException"]),
    row("near-timeout", LOOK),
    row("reconciliation-missing", LOOK),
    row("reconciliation-incomplete", LOOK)
        .says(&["KMS"])
        .over_after_hours(DAY),
    row("rotation-disabled", ROTATE),
    row("current-key-too-old", ROTATE),
    row("no-working-key", ROTATE),
    row("drift-repaired", LOOK),
    row("keys-overdue", LOOK)
        .says(&["acme/prd/PARTNER_API_KEY"])
        .over_after_hours(DAY),
    row(
        "superseded-key-still-used",
        &["rotationctl usage", "rotationctl stop --yes"],
    ),
    row("keys-disabled-manually", LOOK).says(&["disabled"]),
    // Until the key is deleted: after its grace period and its quarantine.
    row("keys-postponed", LOOK).over_after_days(9),
    row("replicas-failed", LOOK).says(&["eu-west-1"]),
    row("doppler-targets-taken", LOOK).says(&["acme/prd/ALSO_HERE", "DOPPLER_ADOPT_TARGETS"]),
];

pub(crate) const ERRORS: &[Row] = &[
    row("InvalidSettings", RETRY).says(&["GRACE_PERIOD=24h"]),
    row("MalformedEvent", LOOK).says(&["MalformedEvent", "do:    fix the caller"]),
    row("MissingField", LOOK).says(&["MissingField", "do:    add the field"]),
    row("InvalidField", LOOK).says(&["InvalidField", "do:    correct it"]),
    row("UnknownStep", LOOK).says(&["UnknownStep", "do:    fix the caller"]),
    row("UnknownField", LOOK).says(&["UnknownField", "do:    fix the caller"]),
    row("GracePeriodWithoutSecret", LOOK)
        .says(&["GracePeriodWithoutSecret", "do:    name the secret"]),
    row("UnsupportedEvent", LOOK).says(&["UnsupportedEvent", "do:    fix the event pattern"]),
    row("SecretNotManaged", LOOK),
    row("InvalidFleetConfig", LOOK),
    row("UnknownVersion", ROTATE),
    row("NotPending", ROTATE),
    row("RotationDisabled", AGAIN),
    row(
        "InvalidSecret",
        &[
            "rotationctl cancel",
            "rotationctl rollback --yes",
            "rotationctl rotate --wait",
        ],
    ),
    row("SecretEditedDuringRotation", AGAIN),
    row("CurrentValueNotFound", RETRY).says(&["if this continues, write a value"]),
    row("PendingValueNotNew", AGAIN),
    row("NoPendingKey", RETRY),
    row("ReplicasNotInSync", RETRY).says(&["eu-west-1"]),
    row("KeyValueConflict", AGAIN),
    row("KeyNotManaged", AGAIN),
    row("KeyNotFound", RETRY),
    row("KeyDisabled", RETRY).says(&["enable or delete it"]),
    row("KeyRevoked", AGAIN),
    row("KeyNotOnUsagePlan", RETRY),
    row("NoUsagePlan", RETRY).says(&["set USAGE_PLAN_IDS"]),
    row("TooManyKeys", RETRY).says(&["1000"]),
    row("ProbeRejected", RETRY)
        .says(&["PROBE_URL", "404"])
        .who(API),
    row("ProbeNotProtected", RETRY)
        .says(&["PROBE_URL", "random key"])
        .who(API),
    row("ProbeNotAccepted", RETRY).says(&["firewall"]).who(API),
    row("ProbeInconclusive", &["rotationctl test --wait"]),
    row("PropagationExceedsDeadline", RETRY).says(&["PROPAGATION_DELAY"]),
    row("InvalidDopplerToken", RETRY)
        .says(&["DOPPLER_TOKEN_SECRET_ID", "store the bare token"])
        .who(DOPPLER),
    row("DopplerTokenRejected", RETRY)
        .says(&["DOPPLER_TOKEN_SECRET_ID"])
        .who(DOPPLER),
    row("DopplerLoginRefused", RETRY),
    row("StsFailed", RETRY),
    row("DopplerTargetNotFound", RETRY)
        .says(&["project acme", "DOPPLER_TARGETS"])
        .who(DOPPLER),
    row("DopplerTargetTaken", RETRY).says(&["acme/prd/ALSO_HERE", "DOPPLER_ADOPT_TARGETS"]),
    row("DopplerValueMismatch", RETRY)
        .says(&["acme/prd/PARTNER_API_KEY"])
        .who(DOPPLER),
    row("DopplerValueNotVisible", RETRY)
        .says(&["service token"])
        .who(DOPPLER),
    row("DopplerFailed", RETRY).says(&["Your IP address is not trusted"]),
    row("SecretsManagerFailed", RETRY).says(&["KMS"]).who(KMS),
    row("ApiGatewayFailed", RETRY)
        .says(&["service control policy"])
        .who(ORGANIZATION),
    row("EventBridgeFailed", ROTATE),
    row("DeadlineExceeded", RETRY).says(&["ran out of time"]),
];
