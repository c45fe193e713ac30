//! The driver: decides, performs and learns, until the step has nothing left to do.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use tracing::field::display;
use tracing::{Instrument, Span, debug, error, error_span, info, warn};

use crate::error::Error;
use crate::event::Event;
use crate::live::{self, Live, Receipt, Secret, World};
use crate::observed::{Fact, Observed, PlanId, Setup};
use crate::rotation::{Action, Look, Next, decide};
use crate::settings::Settings;

/// What a step did, as the function's answer. Secrets Manager ignores it; a person who invokes a step sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The step.
    pub step: &'static str,
    /// ARN of the secret.
    pub secret: String,
    /// Id of the version.
    pub version: String,
    /// What was done, in words and in order. Empty where nothing was left to do.
    pub done: Vec<String>,
    /// What was left undone after the point of no return, and why.
    pub left: Vec<String>,
}

/// What Lambda says of an invocation.
#[derive(Debug)]
pub struct Invocation {
    /// Lambda's id of it.
    pub request_id: String,
    /// ARN of this function, as it was invoked.
    pub function_arn: String,
    /// When to stop: some time before Lambda does.
    pub deadline: Instant,
}

/// Runs one step to its end, or to the first thing that stops it.
///
/// # Errors
/// See [`Error`]; each is logged here, once.
pub async fn rotate(
    world: &World,
    event: &Event,
    invocation: &Invocation,
) -> Result<Report, Error> {
    // At the level of an error, so that it is there for every line.
    let span = error_span!(
        "rotation",
        step = %event.step,
        secret = event.secret_id,
        version = %event.version,
        lambda_request_id = invocation.request_id,
    );
    let result = live::DEADLINE.scope(invocation.deadline, run(world, event, invocation));
    let result = result.instrument(span.clone()).await;
    span.in_scope(|| result.inspect_err(log_error))
}

/// Writes the one line that says why an event failed.
pub fn log_error(failed: &Error) {
    error!(error_type = failed.error_type(), "{failed}");
}

async fn run(world: &World, event: &Event, invocation: &Invocation) -> Result<Report, Error> {
    let deadline = invocation.deadline;
    let settings = world.settings();
    let started = Instant::now();
    let describe = timeout_at(deadline, world.describe(&event.secret_id)).await;
    let (secret, receipt) =
        describe.unwrap_or_else(|_| Err(Error::OutOfTime("describe the secret".to_owned())))?;
    if secret.arn != event.secret_id {
        Span::current().record("secret", &secret.arn);
    }
    log(false, "describe the secret", Some(&receipt), started);
    must_serve(settings, &secret, &invocation.function_arn)?;

    let setup = Setup {
        version: event.version.clone(),
        plans: settings
            .usage_plans
            .iter()
            .map(|plan| PlanId::from(plan.as_str()))
            .collect(),
        stage_keys: !settings.stage_keys.is_empty(),
        probe: settings.probe_url.is_some(),
        targets: settings.targets().len(),
        settle: settings.settle_period,
        now: SystemTime::now(),
    };
    let mut seen = Observed::new(setup, secret.labels.clone(), secret.rotation_enabled);
    let mut live = Live::new(
        world,
        &secret,
        &event.version,
        event.rotation_token.as_ref(),
        deadline,
    );
    let mut report = Report {
        step: event.step.as_str(),
        secret: secret.arn.clone(),
        version: event.version.to_string(),
        done: Vec::new(),
        left: Vec::new(),
    };
    loop {
        let next = decide(event.step, &seen);
        match &next {
            Next::Done => return Ok(report),
            Next::Refuse(refusal) => return Err(Error::Refused(refusal.clone())),
            Next::Look(_) | Next::Act(_) => {}
        }
        let words = in_words(&next, settings);
        let started = Instant::now();
        // Not begun when time is up: a request that is sent and given up may have its effect all the same.
        let performed = if Instant::now() < deadline {
            timeout_at(deadline, live.perform(&seen, &next)).await.ok()
        } else {
            None
        };
        match performed.unwrap_or_else(|| Err(Error::OutOfTime(words.clone()))) {
            Ok((Fact::AlreadyMinted, receipt)) => {
                log(
                    false,
                    "find that the API key exists",
                    receipt.as_ref(),
                    started,
                );
                seen.learn(Fact::AlreadyMinted);
            }
            Ok((fact, receipt)) => {
                log(is_worth_telling(&next), &words, receipt.as_ref(), started);
                seen.learn(fact);
                if matches!(next, Next::Act(_)) {
                    report.done.push(words);
                }
            }
            // Once the version has lost AWSPENDING it is either promoted or given up, and what is left is done as far as
            // it can be: the service may never come back with this token.
            Err(failed) if !seen.is_pending() => {
                warn!(
                    error_type = failed.error_type(),
                    "could not {words}: {failed}"
                );
                report.left.push(format!("{words}: {failed}"));
                seen.do_without(&next);
            }
            Err(failed) => return Err(failed),
        }
    }
}

/// Refuses a secret that is not this function's, before its value is read.
fn must_serve(settings: &Settings, secret: &Secret, function_arn: &str) -> Result<(), Error> {
    if settings
        .mirror
        .as_ref()
        .is_some_and(|mirror| names(&mirror.token_secret_id, secret))
    {
        return Err(Error::NotServed("it holds the Doppler token"));
    }
    match &settings.secret_id {
        Some(id) if names(id, secret) => Ok(()),
        Some(_) => Err(Error::NotServed("SECRET_ID names another one")),
        // Whoever may set a secret's rotation function may have it rotated; nobody else.
        None if secret.rotation_function.as_deref().map(unqualified)
            == Some(unqualified(function_arn)) =>
        {
            Ok(())
        }
        None => Err(Error::NotServed(
            "its rotation function is another one; set SECRET_ID to serve it all the same",
        )),
    }
}

/// Whether `id` is the secret's name, its ARN, or its ARN without the six random characters.
fn names(id: &str, secret: &Secret) -> bool {
    let partial = || {
        secret
            .arn
            .rsplit_once('-')
            .is_some_and(|(partial, random)| partial == id && random.len() == 6)
    };
    id == secret.name || id == secret.arn || partial()
}

/// A function's ARN without version or alias.
fn unqualified(arn: &str) -> String {
    arn.split(':').take(7).collect::<Vec<_>>().join(":")
}

/// Actions and waits are what an operator wants to see; what was only looked at is for debugging.
fn is_worth_telling(next: &Next) -> bool {
    matches!(
        next,
        Next::Act(_) | Next::Look(Look::ProbeAccepts | Look::Settled(_))
    )
}

fn log(worth_telling: bool, words: &str, receipt: Option<&Receipt>, started: Instant) {
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let service = receipt.map(|receipt| display(receipt.service));
    let operation = receipt.map(|receipt| receipt.operation);
    let request_id = receipt.and_then(|receipt| receipt.request_id.as_deref());
    if worth_telling {
        info!(service, operation, request_id, took_ms, "{words}");
    } else {
        debug!(service, operation, request_id, took_ms, "{words}");
    }
}

fn in_words(next: &Next, settings: &Settings) -> String {
    let target = |index: usize| {
        settings
            .targets()
            .get(index)
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    match next {
        Next::Look(look) => match look {
            Look::Pending { .. } => "read the pending version".to_owned(),
            Look::Labels => "see whether the labels have moved".to_owned(),
            Look::Current => "read the current version".to_owned(),
            Look::Keys => "list this secret's API keys".to_owned(),
            Look::EveryKey(which) => format!("look for the {which} key among all API keys"),
            Look::Plans(key) => format!("see which usage plans API key {key} is on"),
            Look::Plan(plan) => format!("see whether usage plan {plan} exists"),
            Look::Mirror(index) => format!("read the Doppler target {}", target(*index)),
            Look::ProbeAccepts => "wait until the gateway accepts the new key".to_owned(),
            Look::ProbeAnswers => "see whether the probe URL answers".to_owned(),
            Look::Settled(_) => format!(
                "wait until the new key is {} old",
                humantime::format_duration(settings.settle_period)
            ),
        },
        Next::Act(action) => match action {
            Action::StoreValue => "store a fresh value as the pending version".to_owned(),
            Action::MintKey => "mint the API key with the pending value".to_owned(),
            Action::NoteResumed(key) => format!("note that API key {key} is completed only now"),
            Action::AttachKey(key, plan) => format!("attach API key {key} to usage plan {plan}"),
            Action::WarnOfNoPlan => "warn that the new key is on no usage plan".to_owned(),
            Action::WriteMirror(index, which) => format!(
                "write the {which} key to the Doppler target {}",
                target(*index)
            ),
            Action::Promote(_) => "make the pending version current".to_owned(),
            Action::RemovePending => "take AWSPENDING off the version".to_owned(),
            Action::UnmarkKey(key) => format!("take the mark off API key {key}, which is in use"),
            Action::MarkKey(key, _) => format!("mark API key {key} as superseded"),
        },
        Next::Refuse(_) | Next::Done => String::new(),
    }
}

/// When to stop, given when Lambda does (`at`, from the Unix epoch): early enough for the last log line and the answer,
/// also where there is little time.
#[must_use]
pub fn deadline(at: Duration) -> Instant {
    // `cargo lambda watch` gives how long instead of until when (SRC).
    let left = if at < Duration::from_hours(24) {
        at
    } else {
        let until = SystemTime::UNIX_EPOCH + at;
        until.duration_since(SystemTime::now()).unwrap_or_default()
    };
    Instant::now() + left.saturating_sub(Duration::from_secs(2)).max(left / 2)
}
