//! The rotation workflow of Secrets Manager: it invokes the four steps in order, and repeats all of
//! them if one fails.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::constants::{ACCOUNT, FUNCTION_ARN, REGION, random_uuid};
use crate::error_response::ErrorResponse;
use crate::lambda::{FunctionError, Invocation, Lambda};
use crate::secrets_manager::{RotationRequest, SecretsManager};

/// The steps in order, as the event spells them \[DOC\].
pub const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// One invocation of the function for a step.
#[derive(Debug, Clone)]
pub struct StepRun {
    /// The step as the event spells it.
    pub step: String,
    /// The name of the secret that the event is about.
    pub secret: Option<String>,
    /// The number of the attempt that the step belongs to, counted from 1.
    pub attempt: u32,
    /// The function's result, if it succeeded.
    pub answer: Option<Value>,
    /// The function's error, if it failed.
    pub error: Option<FunctionError>,
    /// How long the invocation took.
    pub took: Duration,
}

impl StepRun {
    pub(crate) fn new(
        step: String,
        secret: Option<String>,
        attempt: u32,
        invocation: &Invocation,
    ) -> StepRun {
        StepRun {
            step,
            secret,
            attempt,
            answer: invocation.result.as_ref().ok().cloned(),
            error: invocation.result.as_ref().err().cloned(),
            took: invocation.took,
        }
    }
}

/// How a rotation ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The secret.
    pub arn: String,
    /// The `ClientRequestToken`: the id of the version to be promoted to AWSCURRENT.
    pub token: String,
    /// Every step that was invoked, in order.
    pub steps: Vec<StepRun>,
    /// Whether every step of the last attempt succeeded and AWSPENDING is on no version except the
    /// current one.
    pub succeeded: bool,
}

impl Outcome {
    /// Returns the error that ended the last attempt.
    #[must_use]
    pub fn error(&self) -> Option<&FunctionError> {
        self.steps.last().and_then(|run| run.error.as_ref())
    }
}

/// How the service retries a failed rotation. AWS does not publish its own values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Persistence {
    /// The maximum number of attempts.
    pub(crate) attempts: u32,
    /// The pause between two attempts.
    pub(crate) pause: Duration,
    /// The pause between two steps of a run.
    pub(crate) step_pause: Duration,
}

/// The part of Secrets Manager that invokes the rotation function. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rotator {
    pub(crate) secrets: SecretsManager,
    pub(crate) lambda: Lambda,
    pub(crate) persistence: Persistence,
    pub(crate) outcomes: Outcomes,
    /// The error that ended the latest attempt of a rotation, by its token.
    pub(crate) errors: Arc<Mutex<HashMap<String, FunctionError>>>,
    /// The events about rotations that `CloudTrail` has recorded, oldest first.
    pub(crate) trail: Arc<Mutex<Vec<TrailEvent>>>,
    /// Every `RotationToken` that was sent to the function.
    pub(crate) tokens: Arc<Mutex<Vec<String>>>,
}

/// An event about a rotation as `EventBridge` delivers it from `CloudTrail`.
#[derive(Debug, Clone)]
pub struct TrailEvent {
    /// When it was recorded, by the sandbox's clock.
    pub at: SystemTime,
    /// The whole event.
    pub event: Value,
}

/// Returns the name in the ARN of a secret, which ends with six random characters. An id that is
/// not an ARN is a name.
pub(crate) fn name_in(id: &str) -> &str {
    let name = id.split_once(":secret:").map(|(_, name)| name);
    name.map_or(id, |name| {
        name.rsplit_once('-').map_or(name, |(name, _)| name)
    })
}

/// Each rotation by its token: `None` while it runs, then its outcome.
pub(crate) type Outcomes = Arc<Mutex<HashMap<String, watch::Receiver<Option<Outcome>>>>>;

impl Rotator {
    /// Handles `RotateSecret`: checks the request, announces the version, and runs the steps in the
    /// background.
    pub(crate) fn rotate(&self, request: RotationRequest) -> Result<Value, ErrorResponse> {
        let begun = self.secrets.begin_rotation(request)?;
        let answer = json!({ "ARN": begun.arn, "Name": begun.name, "VersionId": begun.token });
        let (arn, token) = (begun.arn, begun.token);
        if begun.test_only {
            self.in_background(&arn, &token, |rotator, arn, token| async move {
                rotator.test_rotation(arn, token).await
            });
        } else {
            self.run_again(&arn, &token);
        }
        Ok(answer)
    }

    /// Runs all steps again for a version that is already announced, as the service does later
    /// automatically.
    pub(crate) fn run_again(&self, arn: &str, token: &str) {
        self.in_background(arn, token, |rotator, arn, token| async move {
            rotator.run(arn, token).await
        });
    }

    /// Whether a rotation with this token has not ended.
    pub(crate) fn is_running(&self, token: &str) -> bool {
        let outcomes = self.outcomes.lock();
        outcomes
            .get(token)
            .is_some_and(|outcome| outcome.borrow().is_none())
    }

    /// Returns the error that ended the latest attempt of a rotation.
    pub(crate) fn error(&self, token: &str) -> Option<FunctionError> {
        self.errors.lock().get(token).cloned()
    }

    /// Waits for the end of a rotation; none, if there is no such rotation.
    pub(crate) async fn outcome(&self, token: &str) -> Option<Outcome> {
        let mut outcome = self.outcomes.lock().get(token)?.clone();
        outcome.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Invokes the function for one step.
    pub(crate) async fn step(&self, arn: &str, token: &str, step: &str) -> Invocation {
        self.lambda.invoke(self.event(arn, token, step)).await
    }

    fn in_background<F, Fut>(&self, arn: &str, token: &str, work: F)
    where
        F: FnOnce(Rotator, String, String) -> Fut,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let (sender, receiver) = watch::channel(None);
        self.outcomes.lock().insert(token.to_owned(), receiver);
        let work = work(self.clone(), arn.to_owned(), token.to_owned());
        tokio::spawn(async move { sender.send_replace(Some(work.await)) });
    }

    /// Runs all four steps until they succeed or the attempts are used up.
    async fn run(self, arn: String, token: String) -> Outcome {
        let mut steps = Vec::new();
        let mut succeeded = false;
        for attempt in 1..=self.persistence.attempts.max(1) {
            if attempt > 1 {
                tokio::time::sleep(self.persistence.pause).await;
            }
            succeeded = self
                .run_steps(&arn, &token, &STEPS, attempt, &mut steps)
                .await
                && self.secrets.conclude_rotation(&arn);
            let is_pending = self.secrets.is_pending(&arn, &token);
            let event = match (succeeded, is_pending) {
                (true, _) => "RotationSucceeded",
                (false, true) => "RotationFailed",
                (false, false) => "RotationAbandoned",
            };
            self.record(event, &arn, steps.last());
            // Without AWSPENDING the version was abandoned, and there is nothing left to retry.
            if succeeded || !is_pending {
                break;
            }
        }
        Outcome {
            arn,
            token,
            steps,
            succeeded,
        }
    }

    /// Handles `RotateImmediately`=false: runs only `testSecret`, then removes the version \[AWSV
    /// A3\].
    async fn test_rotation(self, arn: String, token: String) -> Outcome {
        let mut steps = Vec::new();
        let succeeded = self
            .run_steps(&arn, &token, &["testSecret"], 1, &mut steps)
            .await;
        self.secrets.end_test_rotation(&arn, &token);
        let event = if succeeded {
            "TestRotationSucceeded"
        } else {
            "TestRotationFailed"
        };
        self.record(event, &arn, steps.last());
        Outcome {
            arn,
            token,
            steps,
            succeeded,
        }
    }

    /// Runs `names` in order until one fails. Returns whether all succeeded.
    async fn run_steps(
        &self,
        arn: &str,
        token: &str,
        names: &[&str],
        attempt: u32,
        runs: &mut Vec<StepRun>,
    ) -> bool {
        for (index, step) in names.iter().enumerate() {
            if index > 0 && !self.persistence.step_pause.is_zero() {
                tokio::time::sleep(self.persistence.step_pause).await;
            }
            let event = self.event(arn, token, step);
            let invocation = self.lambda.invoke_and_publish(event, attempt).await;
            let secret = Some(name_in(arn).to_owned());
            runs.push(StepRun::new(
                (*step).to_owned(),
                secret,
                attempt,
                &invocation,
            ));
            if let Err(error) = invocation.result {
                self.errors.lock().insert(token.to_owned(), error);
                return false;
            }
        }
        self.errors.lock().remove(token);
        true
    }

    /// Records an event in the trail (DOC, Secrets Manager user guide, "AWS `CloudTrail` entries for
    /// Secrets Manager": only `RotationFailed` is shown with the message). Whether each attempt has
    /// one is not known.
    fn record(&self, name: &str, arn: &str, last: Option<&StepRun>) {
        let at = self.secrets.clock.now();
        let time = humantime::format_rfc3339_seconds(at).to_string();
        let mut detail = json!({
            "eventType": "AwsServiceEvent",
            "eventSource": "secretsmanager.amazonaws.com",
            "eventName": name,
            "eventTime": time,
            "awsRegion": REGION,
            "additionalEventData": { "SecretId": arn },
        });
        if let Some(step) = last.filter(|_| name == "RotationFailed") {
            let step = &step.step;
            detail["errorMessage"] = json!(format!(
                "Error when executing lambda {FUNCTION_ARN} during {step} step"
            ));
        }
        let event = json!({
            "version": "0", "id": random_uuid(), "source": "aws.secretsmanager",
            "detail-type": "AWS Service Event via CloudTrail",
            "account": ACCOUNT, "region": REGION, "time": time, "resources": [],
            "detail": detail,
        });
        self.trail.lock().push(TrailEvent { at, event });
    }

    /// Returns the event of a step, with a new `RotationToken`.
    fn event(&self, arn: &str, token: &str, step: &str) -> Bytes {
        let rotation_token = random_uuid();
        let event = json!({
            "Step": step,
            "SecretId": arn,
            "ClientRequestToken": token,
            "RotationToken": rotation_token,
        });
        self.tokens.lock().push(rotation_token);
        event.to_string().into()
    }
}
