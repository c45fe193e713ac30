//! The jobs into which faults are injected, and their environments.

use std::time::{Duration, SystemTime};

use sandbox::Options;
use serde_json::{Value, json};

use crate::support::fleet::{PEER_KEY, PEER_TARGET, join_fleet};
use crate::support::{
    CONFIG, PROJECT, SECRET, TestEnv, TestEnvBuilder, create_managed_key, mirrored,
};

/// The first key of AWSCURRENT.
pub(crate) const OLD: &str = "OldOldOldOldOldOldOldOldOldOldOldOldOldO";
/// Another field of the secret, which must stay.
pub(crate) const PASSWORD: &str = "hunter2-hunter2-hunter2";

/// Superseded keys, each at another point of its lifecycle.
pub(crate) const DUE_TO_DELETE: &str = "DeleteDeleteDeleteDeleteDeleteDeleteDele";
pub(crate) const DUE_TO_DISABLE: &str = "DisableDisableDisableDisableDisableDisab";
pub(crate) const IN_GRACE: &str = "GraceGraceGraceGraceGraceGraceGraceGrace";
pub(crate) const REVOKED: &str = "RevokedRevokedRevokedRevokedRevokedRevok";
pub(crate) const STILL_USED: &str = "StillUsedStillUsedStillUsedStillUsedStil";
pub(crate) const ABANDONED: &str = "AbandonedAbandonedAbandonedAbandonedAban";

const DAY: Duration = Duration::from_hours(24);

/// A job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scenario {
    /// The rotation of a secret without a value.
    First,
    /// A rotation that inherits the plan of the key that it supersedes.
    Second,
    /// A rotation with two plans and two targets, of a secret that is plain text and has a replica.
    Wide,
    /// A rotation that supersedes an unmanaged key.
    Adoption,
    /// A reconciliation with keys to delete, to disable, to disable again and to mark, a plan and a target to
    /// correct, and a mark to remove.
    Reconciliation,
    /// A reconciliation with notices: a key to disable, one that is still used, and a target to correct.
    Notices,
    /// A rotation of a function that logs in to Doppler and stores no token.
    Keyless,
    /// A reconciliation of a fleet whose function stores no token, with a key to disable, a mark to remove, and two
    /// targets in one config to correct.
    Fleet,
}

impl Scenario {
    pub(crate) const ALL: [Self; 8] = [
        Self::First,
        Self::Second,
        Self::Wide,
        Self::Adoption,
        Self::Reconciliation,
        Self::Notices,
        Self::Keyless,
        Self::Fleet,
    ];

    /// Whether the job is a rotation.
    pub(crate) fn is_rotation(self) -> bool {
        !matches!(self, Self::Reconciliation | Self::Notices | Self::Fleet)
    }

    /// Returns an event for this step and the secrets of the job.
    pub(crate) fn event(self, step: &str) -> Value {
        match self {
            Self::Fleet => json!({ "Step": step }),
            _ => json!({ "Step": step, "SecretId": SECRET }),
        }
    }

    pub(crate) async fn start(self, options: Options) -> TestEnv {
        let json = json!({ "password": PASSWORD, "apiKey": OLD }).to_string();
        let setup = match self {
            Self::First => TestEnvBuilder::default(),
            Self::Second => TestEnvBuilder::holding(&json).inheriting(),
            Self::Wide => TestEnvBuilder {
                secret: Some(OLD.to_owned()),
                configured_plans: 2,
                targets: vec!["PARTNER_API_KEY", "PARTNER_KEY_AGAIN"],
                ..TestEnvBuilder::quick()
            },
            Self::Adoption => TestEnvBuilder {
                secret: Some(json),
                ..TestEnvBuilder::quick().inheriting()
            },
            Self::Reconciliation => TestEnvBuilder {
                secret: Some(json),
                configured_plans: 2,
                ..TestEnvBuilder::quick()
            },
            Self::Notices => TestEnvBuilder {
                secret: Some(json),
                ..TestEnvBuilder::quick().env("EVENT_BUS_NAME", "default")
            },
            Self::Keyless | Self::Fleet => TestEnvBuilder {
                secret: Some(json),
                ..TestEnvBuilder::quick().keyless()
            },
        };
        let setup = setup
            .env("AWS_LAMBDA_LOG_LEVEL", "TRACE")
            .env("RUST_LOG", "trace");
        let mut env = TestEnvBuilder { options, ..setup }.start().await;
        if self == Self::Fleet {
            join_fleet(&mut env).await;
        }
        self.populate(&env);
        env
    }

    fn populate(self, env: &TestEnv) {
        let plans: Vec<_> = env.plans.iter().map(String::as_str).collect();
        match self {
            Self::First | Self::Notices | Self::Fleet => {}
            Self::Second | Self::Wide | Self::Keyless => {
                add_managed_key(env, OLD, &current_version(env), &plans);
                if self == Self::Wide {
                    env.sandbox.replicate(SECRET, &["eu-west-1"]);
                }
            }
            Self::Adoption => {
                env.sandbox.create_key("manual", OLD, &plans);
            }
            Self::Reconciliation => {
                let current = current_version(env);
                let now = env.sandbox.now();
                let key = add_managed_key(env, OLD, &current, &plans[..1]);
                env.sandbox
                    .describe_key(&key, &(mark(now - DAY, "elsewhere", None) + &mirrored()));
                for (value, description) in [
                    (
                        DUE_TO_DELETE,
                        Some(mark(now - 9 * DAY, &current, Some(now - 8 * DAY))),
                    ),
                    (DUE_TO_DISABLE, Some(mark(now - 2 * DAY, &current, None))),
                    (IN_GRACE, Some(mark(now - DAY / 2, &current, None))),
                    (REVOKED, Some(revoked(now - DAY / 2, &current))),
                    (ABANDONED, None),
                ] {
                    let key = add_managed_key(env, value, &version_of(value), &plans);
                    if let Some(description) = description {
                        env.sandbox.describe_key(&key, &description);
                    }
                    if value == DUE_TO_DELETE {
                        env.sandbox.set_key_enabled(&key, false);
                    }
                }
            }
        }
        // A target that does not hold a key has drifted.
        let held = if self.is_rotation() { OLD } else { "drifted" };
        if self != Self::First {
            for target in &env.targets {
                env.sandbox
                    .doppler()
                    .set_value(PROJECT, CONFIG, target, held);
            }
        }
        if self == Self::Fleet {
            let doppler = env.sandbox.doppler();
            doppler.set_value(PROJECT, CONFIG, PEER_TARGET, held);
        }
        if matches!(self, Self::Notices | Self::Fleet) {
            let (current, now) = (current_version(env), env.sandbox.now());
            let key = add_managed_key(env, OLD, &current, &plans);
            env.sandbox
                .describe_key(&key, &(mark(now - DAY, "elsewhere", None) + &mirrored()));
            for value in [DUE_TO_DISABLE, STILL_USED] {
                let key = add_managed_key(env, value, &version_of(value), &plans);
                env.sandbox
                    .describe_key(&key, &mark(now - 3 * DAY, &current, None));
                if value == STILL_USED {
                    env.sandbox.add_usage(&env.plans[0], &key, 0, 9);
                }
            }
        }
        // All services have converged by then.
        env.sandbox.advance(DAY / 24);
    }

    /// Returns the keys whose consumers must not notice a change.
    pub(crate) fn keeps_working(self) -> &'static [&'static str] {
        match self {
            Self::First => &[],
            Self::Second | Self::Wide | Self::Adoption | Self::Notices | Self::Keyless => &[OLD],
            Self::Reconciliation => &[OLD, IN_GRACE, ABANDONED],
            Self::Fleet => &[OLD, PEER_KEY],
        }
    }
}

fn current_version(env: &TestEnv) -> String {
    let secret = env.sandbox.secret(SECRET);
    secret.current().expect("the secret has a value").id.clone()
}

/// Returns the version for which a retired key was created.
fn version_of(value: &str) -> String {
    format!("{}-0000-4000-8000-000000000000", &value[..8])
}

fn mark(superseded: SystemTime, by: &str, disabled: Option<SystemTime>) -> String {
    let time = humantime::format_rfc3339_seconds;
    let mark = format!("Superseded at {} by version {by}.", time(superseded));
    match disabled {
        Some(disabled) => format!("{mark} Disabled at {}.", time(disabled)),
        None => mark,
    }
}

/// Returns the mark of a key that an emergency stop disabled.
fn revoked(at: SystemTime, by: &str) -> String {
    let time = humantime::format_rfc3339_seconds(at);
    format!("{} Revoked at {time}.", mark(at, by, Some(at)))
}

/// Creates a key as the function does, some days old.
fn add_managed_key(env: &TestEnv, value: &str, version: &str, plans: &[&str]) -> String {
    let id = create_managed_key(&env.sandbox, SECRET, version, value, plans);
    env.sandbox.age_key(&id, 10 * DAY);
    id
}
