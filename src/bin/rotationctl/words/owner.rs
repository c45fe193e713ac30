//! Whether key, secret and function belong together.

use crate::arn::{function_name, unqualified};
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::Report;
use crate::secret::Secret;
use crate::words::whose::Found;

/// Refuses a secret that is not the key's.
///
/// # Errors
/// Returns an error if the key's tag names another secret.
pub(super) fn refuse_other_secret(found: &Found, secret: &Secret) -> Result<(), Failure> {
    if found.is_of(&secret.arn) {
        return Ok(());
    }
    let owner = found.secret.as_deref().unwrap_or_default();
    let (what, next) = if owner.starts_with("arn:") {
        (
            format!("API key {} belongs to another secret: {owner}", found.id),
            "leave --secret out, or name that secret and its function",
        )
    } else {
        (
            format!(
                "API key {} belongs to another secret than {}: its tag has the hash of another ARN",
                found.id, secret.arn
            ),
            "name its secret with --secret: the key's name begins with that of the secret, see `rotationctl whose`",
        )
    };
    Err(Failure::not_started(what, next))
}

/// Refuses a function that does not rotate the secret and that does not report it either: after the
/// rotation, it would refuse the stop. One with the secret in `SECRET_ID` reports it.
///
/// # Errors
/// Returns an error if the secret is rotated by another function.
pub(super) async fn refuse_other_function(
    operator: &Operator<'_>,
    secret: &Secret,
    status: &Result<Report, Failure>,
) -> Result<(), Failure> {
    let (Some(own), Err(_)) = (&secret.rotation_function, status) else {
        return Ok(());
    };
    let named = operator.function().await?;
    // Only an ARN names the account and the Region.
    let is_same = if named.starts_with("arn:") {
        unqualified(named) == unqualified(own)
    } else {
        function_name(named) == function_name(own)
    };
    if is_same {
        return Ok(());
    }
    Err(Failure::not_started(
        format!("{} is rotated by another function: {own}", secret.arn),
        format!("run it again with --function {}", function_name(own)),
    ))
}
