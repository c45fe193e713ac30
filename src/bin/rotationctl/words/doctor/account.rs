//! Who calls, from where, and at what time.

use super::check::{Check, Outcome};
use super::facts::Facts;

/// How far AWS lets the time of a signature be from its own (DOC: IAM user guide, "Signing AWS API
/// requests").
const TOLERATED: u64 = 300;

pub(crate) fn checks(facts: &Facts) -> Vec<Check> {
    vec![
        Check::new("account.identity", identity(facts)),
        Check::new("account.clock", clock(facts)),
    ]
}

fn identity(facts: &Facts) -> Outcome {
    let caller = match &facts.caller {
        Ok(caller) => caller,
        Err(failed) => return Outcome::failed(failed),
    };
    match &facts.function {
        Ok(function) if function.arn.account != caller.account => Outcome::problem(
            format!(
                "you are {} in another account than the function",
                caller.arn
            ),
            "set --profile to the function's account",
        ),
        Ok(function) => {
            let region = &function.arn.region;
            Outcome::ok(format!("{} in {region}", caller.arn))
        }
        Err(_) => Outcome::ok(&caller.arn),
    }
}

fn clock(facts: &Facts) -> Outcome {
    let Some(skew) = facts.skew else {
        return Outcome::unknown(
            "no reply of Secrets Manager had a Date",
            if facts.secret.is_some() {
                "fix what keeps the secret from being described"
            } else {
                "name a secret with `--secret`"
            },
        );
    };
    let (size, direction) = (
        skew.unsigned_abs(),
        if skew < 0 { "behind" } else { "ahead of" },
    );
    if size >= TOLERATED {
        return Outcome::problem(
            format!("this machine is {size} s {direction} AWS"),
            "set its clock: AWS rejects signatures that are 5 minutes old; the function has its own clock",
        );
    }
    Outcome::ok(format!("this machine is {size} s {direction} AWS"))
}
