//! Who calls, from where, and at what time.

use super::check::Check;
use super::facts::Facts;

/// How far AWS lets the time of a signature be from its own (DOC: IAM user guide, "Signing AWS API
/// requests").
const TOLERATED: u64 = 300;

pub(crate) fn checks(facts: &Facts) -> Vec<Check> {
    vec![identity(facts), clock(facts)]
}

fn identity(facts: &Facts) -> Check {
    const NAME: &str = "account.identity";
    let caller = match &facts.caller {
        Ok(caller) => caller,
        Err(failed) => return Check::failed(NAME, failed),
    };
    match &facts.function {
        Ok(function) if function.arn.account != caller.account => Check::problem(
            NAME,
            format!(
                "you are {} in another account than the function",
                caller.arn
            ),
            "set --profile to the function's account",
        ),
        Ok(function) => {
            let region = &function.arn.region;
            Check::ok(NAME, format!("{} in {region}", caller.arn))
        }
        Err(_) => Check::ok(NAME, &caller.arn),
    }
}

fn clock(facts: &Facts) -> Check {
    const NAME: &str = "account.clock";
    let Some(skew) = facts.skew else {
        return Check::unknown(
            NAME,
            "no reply of Secrets Manager had a Date",
            "fix what keeps the secret from being described",
        );
    };
    let (size, direction) = (
        skew.unsigned_abs(),
        if skew < 0 { "behind" } else { "ahead of" },
    );
    if size >= TOLERATED {
        return Check::problem(
            NAME,
            format!("this machine is {size} s {direction} AWS"),
            "set its clock: AWS rejects signatures that are 5 minutes old; the function has its own clock",
        );
    }
    Check::ok(NAME, format!("this machine is {size} s {direction} AWS"))
}
