//! ARNs, and the names in them.

use api_key_rotation::ids::without_random;

/// An ARN.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arn {
    /// The whole text.
    pub(crate) text: String,
    /// The partition, such as `aws`.
    pub(crate) partition: String,
    /// The Region; empty for IAM.
    pub(crate) region: String,
    /// The account.
    pub(crate) account: String,
}

impl Arn {
    /// Splits an ARN. Parts that are missing are empty.
    pub(crate) fn new(text: &str) -> Self {
        let part = |number| text.split(':').nth(number).unwrap_or_default().to_owned();
        Self {
            text: text.to_owned(),
            partition: part(1),
            region: part(3),
            account: part(4),
        }
    }
}

/// Returns the ARN of a function without version or alias.
pub(crate) fn unqualified(function: &str) -> String {
    function.split(':').take(7).collect::<Vec<_>>().join(":")
}

/// Returns the function's name, from a name or an ARN.
pub(crate) fn function_name(function: &str) -> &str {
    let name = function
        .rsplit_once(":function:")
        .map_or(function, |(_, name)| name);
    name.split(':').next().unwrap_or(name)
}

/// Returns the name of a secret in its ARN, which ends with a hyphen and six random characters.
/// `None` if it is not the ARN of a secret.
pub(crate) fn secret_name(arn: &str) -> Option<&str> {
    let (_, name) = arn.rsplit_once(":secret:")?;
    Some(without_random(name).unwrap_or(name))
}
