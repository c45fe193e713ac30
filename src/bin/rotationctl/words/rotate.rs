//! `rotate` and `test`: start a rotation, and wait for its end.

use std::time::Duration;

use humantime::format_duration;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::arguments::Wait;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::secret::{CURRENT, PENDING, PREVIOUS, Secret};

/// The pause between two looks at the labels.
const POLL: Duration = Duration::from_secs(2);

/// How long a version that was just announced may be missing from the description.
const VISIBLE_WITHIN: Duration = Duration::from_secs(30);

/// What to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A rotation.
    Rotation,
    /// A test rotation, which creates no key.
    Test,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Self::Rotation => "rotation",
            Self::Test => "test rotation",
        }
    }
}

/// Starts a rotation, and waits for its end if that is requested.
///
/// # Errors
/// Returns an error if Secrets Manager refuses, or if the rotation does not end in time.
pub(crate) async fn run(operator: &Operator<'_>, kind: Kind, wait: &Wait) -> Result<(), Failure> {
    let noun = kind.noun();
    let secret = operator.secret_id().await?;
    if operator.options.dry_run {
        return dry_run(operator, kind).await;
    }
    let version = start(operator, kind, &secret).await?;
    let console = operator.console;
    console.line(format!("started the {noun} to version {version}"));
    if wait.wait {
        let began = Instant::now();
        wait_for(operator, kind, &version, wait.timeout).await?;
        console.end_progress();
        let took = Duration::from_secs(began.elapsed().as_secs());
        console.line(format!("the {noun} ended after {}", format_duration(took)));
    }
    console.line(match (kind, wait.wait) {
        (Kind::Rotation, true) => {
            "the new key is current; `rotationctl status` shows the superseded one"
        }
        (Kind::Rotation, false) => "it runs in the background; `rotationctl status` shows it",
        // Secrets Manager does not say whether the function's test passed.
        (Kind::Test, _) => {
            "the function's log says whether the test passed: docs/rotate.md#test-rotation"
        }
    });
    console.document(&json!({
        "step": noun, "secret": secret, "version": version, "ended": wait.wait,
    }));
    Ok(())
}

/// Starts a rotation. Returns its version.
///
/// # Errors
/// Returns an error if Secrets Manager refuses.
pub(crate) async fn start(
    operator: &Operator<'_>,
    kind: Kind,
    secret: &str,
) -> Result<String, Failure> {
    let request = operator.aws.secrets_manager.rotate_secret();
    let request = request
        .secret_id(secret)
        .rotate_immediately(kind == Kind::Rotation);
    let next = "if a version is pending, run `rotationctl retry` or `rotationctl cancel` first";
    let started = request.send().await.map_err(|error| {
        let failed = Failure::of_call("secretsmanager:RotateSecret", &error);
        failed.next_if("InvalidRequestException", next)
    })?;
    Ok(started.version_id().unwrap_or_default().to_owned())
}

async fn dry_run(operator: &Operator<'_>, kind: Kind) -> Result<(), Failure> {
    let secret = operator.describe().await?;
    if let Ok(pending) = secret.pending()
        && !secret.has(pending, CURRENT)
    {
        return Err(Failure::new(
            format!("Secrets Manager would refuse: version {pending} is pending"),
            "run `rotationctl retry` or `rotationctl cancel` first",
        ));
    }
    let noun = kind.noun();
    operator
        .console
        .line(format!("would start a {noun} of {}", secret.arn));
    operator
        .console
        .document(&json!({ "wouldStart": noun, "secret": secret.arn }));
    Ok(())
}

/// How far a rotation is.
enum Progress {
    Runs(&'static str),
    Ended,
    NotListed,
}

fn progress(kind: Kind, secret: &Secret, version: &str) -> Progress {
    let has = |label| secret.has(version, label);
    match kind {
        _ if has(PENDING) && has(CURRENT) => {
            Progress::Runs("promoted; waiting until replicas have the value…")
        }
        _ if has(PENDING) => Progress::Runs("waiting until AWSPENDING is gone…"),
        // Another rotation may have followed.
        Kind::Rotation if has(CURRENT) || has(PREVIOUS) => Progress::Ended,
        Kind::Rotation => Progress::NotListed,
        Kind::Test => Progress::Ended,
    }
}

/// Waits until a rotation has ended.
///
/// # Errors
/// Returns an error if it does not end in time, or if it was given up.
pub(crate) async fn wait_for(
    operator: &Operator<'_>,
    kind: Kind,
    version: &str,
    patience: Duration,
) -> Result<(), Failure> {
    let began = Instant::now();
    let mut was_pending = false;
    loop {
        let next = "AWS continues what was started; see `rotationctl status`";
        let secret = operator.describe().await;
        let secret = secret.map_err(|failed| failed.next(next))?;
        match progress(kind, &secret, version) {
            Progress::Ended => return Ok(()),
            Progress::Runs(what) => {
                was_pending = true;
                operator.console.progress(what);
            }
            Progress::NotListed if was_pending || began.elapsed() > VISIBLE_WITHIN => {
                return Err(Failure::new(
                    format!(
                        "the rotation was given up: version {version} has neither AWSPENDING nor AWSCURRENT"
                    ),
                    "a value was written or AWSPENDING was removed; run `rotationctl rotate` again",
                ));
            }
            Progress::NotListed => operator
                .console
                .progress("waiting until the version is listed…"),
        }
        if began.elapsed() + POLL > patience {
            return Err(Failure::new(
                format!(
                    "the {} has not ended after {}",
                    kind.noun(),
                    format_duration(patience)
                ),
                "consumers keep a working key; `rotationctl retry` runs the steps now and shows the error",
            ));
        }
        sleep(POLL).await;
    }
}
