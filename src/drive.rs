//! The driver: decides, performs and learns, until nothing is left to do.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout_at};
use tracing::field::display;
use tracing::{debug, error, info, warn};

use crate::config::Settings;
use crate::error::Error;
use crate::live::{Live, Receipt, Secret, World};
use crate::next::{Action, Look, Next, Refusal, Step};
use crate::observed::{CURRENT, Change, Fact, Observed, PlanId, Setup, VersionId, Which};
use crate::rotation::decide;

/// How often a run begins anew because AWSCURRENT has moved.
const MOST_STARTS: u32 = 5;

/// The pause before it does.
const PAUSE: Duration = Duration::from_millis(200);

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

/// What came of driving a step to its end.
pub(crate) struct Run {
    /// What is known at the end.
    pub(crate) seen: Observed,
    /// What was done, in words and in order.
    pub(crate) done: Vec<String>,
    /// What could not be done, and why.
    pub(crate) failed: Vec<String>,
    /// Whatever brought secret, API Gateway and Doppler back into agreement.
    pub(crate) repaired: usize,
    /// Keys that were disabled.
    pub(crate) disabled: usize,
    /// Keys that were deleted.
    pub(crate) deleted: usize,
}

/// Runs one step for one secret to its end, or to the first thing that stops it.
pub(crate) async fn drive(
    step: Step,
    seen: Observed,
    mut live: Live<'_>,
    settings: &Settings,
    deadline: Instant,
) -> Result<Run, Error> {
    let mut starts = 1;
    let mut run = Run {
        seen,
        done: Vec::new(),
        failed: Vec::new(),
        repaired: 0,
        disabled: 0,
        deleted: 0,
    };
    let mut step = step;
    loop {
        let next = decide(step, &run.seen);
        match &next {
            Next::Done => return Ok(run),
            Next::Refuse(Refusal::TargetTaken(target)) => {
                return Err(Error::TargetTaken(target_name(settings, *target)));
            }
            Next::Refuse(refusal) => return Err(Error::Refused(refusal.clone())),
            Next::StartOver if starts == MOST_STARTS => {
                let words = "AWSCURRENT keeps moving; the next reconciliation goes on".to_owned();
                warn!("{words}");
                run.failed.push(words);
                return Ok(run);
            }
            Next::StartOver => {
                starts += 1;
                step = Step::Reconcile;
                run.seen = run.seen.start_over();
                live.start_over();
                // The value may lag behind the labels.
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Next::Look(_) | Next::Act(_) => {}
        }
        let words = in_words(&next, settings);
        let started = Instant::now();
        // Not begun when time is up: a request that is sent and given up may have its effect all the same.
        let performed = if Instant::now() < deadline {
            timeout_at(deadline, live.perform(&run.seen, &next))
                .await
                .ok()
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
                run.seen.learn(Fact::AlreadyMinted);
            }
            Ok((fact, receipt)) => {
                log(is_worth_telling(&next), &words, receipt.as_ref(), started);
                let deletes = matches!(next, Next::Act(Action::DeleteKey(_)));
                let was_gone = matches!(fact, Fact::Changed(_, Change::Deleted)) && !deletes;
                let revoked_before = run.seen.revoked_again.len();
                run.seen.learn(fact);
                run.repaired += run.seen.revoked_again.len() - revoked_before;
                if let Next::Act(action) = &next
                    && !was_gone
                {
                    run.repaired += usize::from(is_repair(action));
                    run.disabled += usize::from(matches!(action, Action::DisableKey(..)));
                    run.deleted += usize::from(deletes);
                    run.done.push(words);
                }
            }
            // A reconciliation does what it can. So does a rotation whose version has lost AWSPENDING: it is either
            // promoted or given up, and the service may never come back with this token.
            Err(failed) if !run.seen.is_pending() => {
                warn!(
                    error_type = failed.error_type(),
                    "could not {words}: {failed}"
                );
                run.seen.do_without(&next);
                run.seen.given_up |= matches!(failed, Error::OutOfTime(_));
                run.failed.push(format!("{words}: {failed}"));
            }
            Err(Error::Call(failed)) => return Err(Error::Attempt(words, Box::new(failed))),
            Err(failed) => return Err(failed),
        }
    }
}

/// Describes a secret, within the deadline. Asks for a while until AWSCURRENT is on `awaited`, where one is.
pub(crate) async fn describe(
    world: &World,
    secret_id: &str,
    awaited: Option<&VersionId>,
    deadline: Instant,
) -> Result<Secret, Error> {
    const PATIENCE: Duration = Duration::from_secs(5);
    const POLL: Duration = Duration::from_millis(500);
    let began = Instant::now();
    let until = deadline.min(began + PATIENCE);
    loop {
        let described = timeout_at(deadline, world.describe(secret_id)).await;
        let (secret, receipt) = described
            .unwrap_or_else(|_| Err(Error::OutOfTime("describe the secret".to_owned())))?;
        let labels = &secret.description.labels;
        let arrived = awaited.is_none_or(|version| labels.holder(CURRENT) == Some(version));
        if arrived || Instant::now() + POLL > until {
            log(false, "describe the secret", Some(&receipt), began);
            return Ok(secret);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What is fixed from the start, by the settings alone; for a reconciliation as the schedule asks for it.
pub(crate) fn setup(world: &World) -> Setup {
    let settings = world.settings();
    let plans = settings.usage_plans.iter();
    Setup {
        version: None,
        plans: plans.map(|plan| PlanId::from(plan.as_str())).collect(),
        stage_keys: !settings.stage_keys.is_empty(),
        allows_no_plan: settings.allow_key_without_plan,
        looks_at_plans: false,
        probe: settings.probe_url.is_some(),
        targets: settings.targets().len(),
        adopted: settings.adopted_targets(),
        settle: settings.settle_period,
        grace: settings.grace_period,
        quarantine: settings.quarantine_period,
        emergency: false,
        finds_hand_made: false,
        knows_time: world.clock().is_believed(),
        now: world.clock().now(),
    }
}

/// Refuses a secret that is not this function's, before its value is read.
pub(crate) fn must_serve(
    settings: &Settings,
    secret: &Secret,
    function_arn: &str,
) -> Result<(), Error> {
    if settings
        .mirror
        .as_ref()
        .is_some_and(|mirror| secret.is_named(&mirror.token_secret_id))
    {
        return Err(Error::NotServed("it holds the Doppler token"));
    }
    match &settings.secret_id {
        Some(id) if secret.is_named(id) => Ok(()),
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

/// A function's ARN without version or alias.
pub(crate) fn unqualified(arn: &str) -> String {
    arn.split(':').take(7).collect::<Vec<_>>().join(":")
}

/// Actions and waits are what an operator wants to see; what was only looked at is for debugging.
fn is_worth_telling(next: &Next) -> bool {
    matches!(
        next,
        Next::Act(_) | Next::Look(Look::ProbeAccepts | Look::Replicated | Look::Settled(_))
    )
}

/// Whether the world was not as it should be, rather than just older.
fn is_repair(action: &Action) -> bool {
    matches!(
        action,
        Action::MintKey(_)
            | Action::AttachKey(..)
            | Action::RestoreKey(_)
            | Action::WriteMirror(_, Which::Current)
    )
}

/// Writes the one line that says why an event failed.
pub fn log_error(failed: &Error) {
    error!(error_type = failed.error_type(), "{failed}");
}

pub(crate) fn log(worth_telling: bool, words: &str, receipt: Option<&Receipt>, started: Instant) {
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

/// What a target is called in the settings.
pub(crate) fn target_name(settings: &Settings, index: usize) -> String {
    let target = settings.targets().get(index);
    target.map(ToString::to_string).unwrap_or_default()
}

fn in_words(next: &Next, settings: &Settings) -> String {
    let target = |index: usize| target_name(settings, index);
    match next {
        Next::Look(look) => match look {
            Look::Version { which, .. } => format!("read the {which} version"),
            Look::Labels => "see whether the labels have moved".to_owned(),
            Look::Keys => "list this secret's API keys".to_owned(),
            Look::EveryKey(which) => format!("look for the {which} key among all API keys"),
            Look::Plans(key) => format!("see which usage plans API key {key} is on"),
            Look::Plan(plan) => format!("see whether usage plan {plan} exists"),
            Look::Mirror(index) => format!("read the Doppler target {}", target(*index)),
            Look::ProbeAccepts => "wait until the gateway accepts the key".to_owned(),
            Look::ProbeAnswers => "see whether the probe URL answers".to_owned(),
            Look::Replicated => "wait until the replicas are in sync".to_owned(),
            Look::Settled(_) => format!(
                "wait until the new key is {} old",
                humantime::format_duration(settings.settle_period)
            ),
        },
        Next::Act(action) => match action {
            Action::StoreValue => "store a fresh value as the pending version".to_owned(),
            Action::MintKey(which) => format!("mint the API key with the {which} value"),
            Action::NoteResumed(key) => format!("note that API key {key} is completed only now"),
            Action::NoteWritten(key) => {
                format!("note with API key {key} which Doppler targets were written")
            }
            Action::AttachKey(key, plan) => format!("attach API key {key} to usage plan {plan}"),
            Action::WriteMirror(index, which) => format!(
                "write the {which} key to the Doppler target {}",
                target(*index)
            ),
            Action::Promote(_) => "make the pending version current".to_owned(),
            Action::RemovePending => "take AWSPENDING off the version".to_owned(),
            Action::RestoreKey(key) => {
                format!("enable API key {key} and take its mark off, as it is in use")
            }
            Action::MarkKey(key, _) => format!("mark API key {key} as superseded"),
            Action::DisableKey(key, _) => format!("disable API key {key}, which was replaced"),
            Action::NoteRevoked(key, _) => format!("note that API key {key} is revoked"),
            Action::NotePostponed(key, _) => {
                format!(
                    "note that API key {key} was changed by another, so that its period starts again"
                )
            }
            Action::DeleteKey(key) => format!("delete API key {key}, which was disabled long ago"),
        },
        Next::Refuse(_) | Next::StartOver | Next::Done => String::new(),
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
