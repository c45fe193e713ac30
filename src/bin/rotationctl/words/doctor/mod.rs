//! `doctor`: checks everything that can be wrong before the first rotation, and answers what no
//! document of AWS says.
//!
//! It only reads, unless a flag asks for more. What it creates is disabled, carries a tag, and is
//! removed before it ends; a later run removes what a killed one left.

mod account;
mod calls;
mod check;
mod facts;
mod function;
mod gateway;
mod keys;
mod login;
mod mask;
mod mirror;
mod print;
mod probe_role;
mod questions;
mod role;
mod secret;
mod session;
mod stop;
mod test_rotation;
mod trail;
mod watch;

use serde_json::json;

use crate::arguments::Doctor;
use crate::failure::Failure;
use crate::operator::Operator;
use check::{Check, Outcome};
use facts::Facts;
use keys::OwnKeys;
use mask::Mask;
use stop::Stop;

const LEFTOVERS: &str = "doctor.leftovers";

/// Runs the checks and prints their results.
///
/// # Errors
/// Returns an error if a check found a problem, or if the program was told to end.
pub(crate) async fn run(operator: &Operator<'_>, flags: &Doctor) -> Result<(), Failure> {
    let stop = Stop::watch();
    if operator.options.dry_run {
        dry_run(operator, flags);
        return Ok(());
    }
    let creates = plan(flags);
    if !creates.is_empty() {
        let question = format!("This {}. Continue?", creates.join(", "));
        let confirmed = operator.console.confirm(&question, operator.options.yes);
        tokio::select! {
            confirmed = confirmed => confirmed?,
            () = stop.raised(1) => return Err(Failure::interrupted()),
        }
    }
    let read = async {
        let facts = facts::gather(operator).await?;
        let checks = read(operator, &facts).await;
        Ok::<_, Failure>((facts, checks))
    };
    let (facts, mut checks) = tokio::select! {
        read = read => read?,
        () = stop.raised(1) => return Err(Failure::interrupted()),
    };
    checks.extend(more(operator, flags, &facts, &stop).await?);
    operator.console.end_progress();
    if flags.report {
        print::markdown(operator.console, &checks, &Mask::new(&facts));
    } else {
        print::table(operator.console, &checks);
    }
    operator.console.document(&print::document(&checks));
    if checks.iter().any(Check::is_problem) {
        return Err(Failure::new(
            format!(
                "not everything is as it should be: {}",
                print::summary(&checks)
            ),
            "do what is listed above, and run it again",
        ));
    }
    Ok(())
}

/// The checks that change nothing.
async fn read(operator: &Operator<'_>, facts: &Facts) -> Vec<Check> {
    let mut checks = account::checks(facts);
    checks.extend(function::checks(operator, facts).await);
    checks.extend(secret::checks(facts));
    checks.extend(role::checks(operator, facts).await);
    checks.extend(gateway::checks(operator, facts).await);
    checks.extend(login::checks(operator, facts).await);
    checks.push(mirror::check(facts));
    checks.extend(watch::checks(operator, facts).await);
    checks.push(trail::check(operator, facts).await);
    checks
}

/// What needs a key of its own, or a test rotation.
async fn more(
    operator: &Operator<'_>,
    flags: &Doctor,
    facts: &Facts,
    stop: &Stop,
) -> Result<Vec<Check>, Failure> {
    let Ok(caller) = &facts.caller else {
        let left = Check::new(LEFTOVERS, Outcome::skipped("the caller is not known"));
        return Ok(vec![left]);
    };
    let keys = OwnKeys::new(operator, &caller.arn);
    let mut checks = vec![Check::of(LEFTOVERS, leftovers(operator, &keys).await)];
    if flags.tries.test_rotation {
        checks.push(test_rotation::run(operator, facts, stop).await?);
    }
    if flags.tries.questions {
        checks.extend(questions::from_records(operator, facts).await);
    }
    let probed = probe(operator, flags, facts, &keys, stop).await;
    // Whatever happened, and also if the program was told to end.
    let removed = if flags.tries.questions || flags.tries.probe_role {
        operator.console.progress("removing the keys of doctor…");
        tokio::select! {
            removed = keys.remove_all() => removed,
            () = stop.raised(2) => Err(Failure::interrupted()),
        }
    } else {
        Ok(0)
    };
    operator.console.end_progress();
    let removed = removed.map_err(|failed| {
        failed.next("run `rotationctl doctor` again, which removes the keys that are left")
    });
    match (probed, removed) {
        (Err(failed), Ok(removed)) => {
            if removed > 0 {
                operator
                    .console
                    .note(format!("removed {removed} API keys of doctor"));
            }
            Err(failed)
        }
        // What was found is shown first.
        (Ok(probed), Err(failed)) if !failed.is_interruption() => {
            checks.extend(probed);
            checks.push(Check::new("doctor.removed", Outcome::failed(&failed)));
            Ok(checks)
        }
        (_, Err(failed)) => Err(failed),
        (Ok(probed), Ok(removed)) => {
            checks.extend(probed);
            if removed > 0 {
                checks.push(Check::new(
                    "doctor.removed",
                    Outcome::ok(format!("{removed} API keys of doctor were removed")),
                ));
            }
            Ok(checks)
        }
    }
}

async fn probe(
    operator: &Operator<'_>,
    flags: &Doctor,
    facts: &Facts,
    keys: &OwnKeys<'_>,
    stop: &Stop,
) -> Result<Vec<Check>, Failure> {
    let mut checks = Vec::new();
    if flags.tries.questions {
        checks.extend(questions::with_key(operator, keys, stop).await?);
    }
    stop.check()?;
    if flags.tries.probe_role {
        checks.extend(probe_role::run(operator, facts, keys, stop).await?);
    } else if flags.tries.questions {
        checks.push(Check::new(
            "question.role",
            Outcome::skipped("the questions about the role need --probe-role"),
        ));
    }
    stop.check()?;
    Ok(checks)
}

/// Says what the flags create.
fn plan(flags: &Doctor) -> Vec<&'static str> {
    let parts = [
        (
            flags.tries.test_rotation,
            "starts a test rotation, which turns rotation on",
        ),
        (
            flags.tries.questions,
            "creates one disabled API key and removes it",
        ),
        (
            flags.tries.probe_role,
            "assumes the function's role, creates up to four disabled API keys and removes them",
        ),
    ];
    let parts = parts.into_iter().filter(|(is_requested, _)| *is_requested);
    parts.map(|(_, part)| part).collect()
}

fn dry_run(operator: &Operator<'_>, flags: &Doctor) {
    let parts = plan(flags);
    let console = operator.console;
    if parts.is_empty() {
        console.line("would only read, and remove keys that a killed run left");
    }
    for part in &parts {
        console.line(format!("would do this: {part}"));
    }
    console.document(&json!({ "wouldDo": parts }));
}

/// Removes what killed runs left.
async fn leftovers(operator: &Operator<'_>, keys: &OwnKeys<'_>) -> Result<Outcome, Failure> {
    let found = keys.leftovers().await?;
    let (in_use, left): (Vec<_>, Vec<_>) = found.iter().partition(|key| key.is_in_use);
    for key in &left {
        let id = &key.id;
        operator.console.note(format!(
            "removing API key {id}, which a run of doctor that was killed left"
        ));
        if let Err(failed) = keys.remove(id).await {
            return Ok(Outcome::failed(&failed));
        }
    }
    if !in_use.is_empty() {
        return Ok(Outcome::unknown(
            format!(
                "{} keys of another operator's run, less than 15 minutes old",
                in_use.len()
            ),
            "run it again later: it then removes them",
        ));
    }
    Ok(Outcome::ok(match left.len() {
        0 => "none".to_owned(),
        number => format!("removed {number} keys that a killed run left"),
    }))
}
