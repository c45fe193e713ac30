//! The fixed names of the sandbox, and generators for new ids.

use rand::distr::{Distribution as _, SampleString as _, Uniform};
use sha2::{Digest as _, Sha256};

/// The Region that every ARN names.
pub const REGION: &str = "us-east-1";
/// The account that every ARN names. AWS uses it in its own examples.
pub const ACCOUNT: &str = "123456789012";
/// The name of the one Lambda function.
pub const FUNCTION_NAME: &str = "rotation";
/// The unqualified ARN of the one Lambda function.
pub const FUNCTION_ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:rotation";
/// The ARN of the function's role. Its trust policy names Lambda, and the operator if a test says so.
pub const FUNCTION_ROLE_ARN: &str = "arn:aws:iam::123456789012:role/rotation-Role-1A2B3C4D5E6F";
/// The access key id with which the function signs. The prefix `ASIA` marks a role's key.
pub const FUNCTION_ACCESS_KEY_ID: &str = "ASIAROTATIONSANDBOX1";
/// The id of the one REST API.
pub const REST_API_ID: &str = "demo4api01";
/// The one stage of the one REST API.
pub const STAGE: &str = "prod";

/// Returns how a value is shown in output: the first eight hexadecimal digits of its SHA-256.
#[must_use]
pub fn fingerprint(value: &str) -> String {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(value.as_bytes()));
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

/// Returns a version id or request id in AWS's form: a random UUID in lower case.
pub(crate) fn random_uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Returns an id in API Gateway's form: ten characters of `[a-z0-9]`.
pub(crate) fn resource_id() -> String {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let places = Uniform::new(0, ALPHABET.len()).expect("the alphabet is not empty");
    let mut random = rand::rng();
    (0..10)
        .map(|_| char::from(ALPHABET[places.sample(&mut random)]))
        .collect()
}

/// Returns `length` random characters of `[A-Za-z0-9]`.
pub(crate) fn alphanumeric(length: usize) -> String {
    rand::distr::Alphanumeric.sample_string(&mut rand::rng(), length)
}
