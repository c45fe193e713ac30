//! `GetWebIdentityToken`: who calls, what the call needs, and the claims of the token.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::request::Parts;
use serde_json::{Map, Value, json};

use super::issuer::Key;
use super::query::{Form, element};
use super::{State, WebIdentity};
use crate::constants::{
    ACCOUNT, FUNCTION_ACCESS_KEY_ID, FUNCTION_ARN, FUNCTION_ROLE_ARN, REGION, random_uuid,
};
use crate::error_response::ErrorResponse;
use crate::iam::Check;

/// The lifetime of a token in seconds: the least, the default and the most (DOC).
const LIFETIME: [u64; 3] = [60, 300, 3600];

/// The most audiences, and the most characters of one (DOC).
const MOST_AUDIENCES: usize = 10;
const LONGEST_AUDIENCE: usize = 1000;

/// The caller of STS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The function, with the credentials of its role.
    Function,
    /// Anybody else.
    Operator,
}

impl Caller {
    pub(crate) fn of(parts: &Parts) -> Caller {
        let credential = parts.headers.get("authorization");
        let credential = credential.and_then(|value| value.to_str().ok());
        let of_function = format!("Credential={FUNCTION_ACCESS_KEY_ID}/");
        match credential {
            Some(text) if text.contains(&of_function) => Caller::Function,
            _ => Caller::Operator,
        }
    }

    /// Returns the ARN of the role, which is the token's subject. It has no session (DOC).
    fn role_arn(self) -> String {
        match self {
            Caller::Function => FUNCTION_ROLE_ARN.to_owned(),
            Caller::Operator => format!("arn:aws:iam::{ACCOUNT}:role/operator"),
        }
    }
}

/// Returns what IAM checks for an operation of STS or IAM. The action has no resource (DOC). One
/// value of a parameter is one value of its condition key, except for the audience, which is a set.
pub(crate) fn checks(service: &str, form: &Form) -> Vec<Check> {
    let action = form.action();
    let check = Check::new(format!("{service}:{action}"), "*");
    match action {
        // Every caller may ask who it is (DOC).
        "GetCallerIdentity" => Vec::new(),
        "GetWebIdentityToken" => {
            let given = |name: &str| form.get(name).map(str::to_owned);
            let lifetime = given("DurationSeconds").unwrap_or_else(|| LIFETIME[1].to_string());
            let check = check
                .with_all("sts:IdentityTokenAudience", form.list("Audience", ""))
                .with_all("sts:SigningAlgorithm", given("SigningAlgorithm"))
                .with("sts:DurationSeconds", lifetime);
            let tags = form.list("Tags", ".Key");
            let tagging = (!tags.is_empty()).then(|| {
                Check::new("sts:TagGetWebIdentityToken", "*").with_all("aws:TagKeys", tags)
            });
            [check].into_iter().chain(tagging).collect()
        }
        _ => vec![check],
    }
}

/// Issues a token, and returns the fields of the result.
pub(super) fn issue(
    web_identity: &WebIdentity,
    form: &Form,
    caller: Caller,
) -> Result<String, ErrorResponse> {
    let mut state = web_identity.state.lock();
    if !state.enabled {
        return Err(ErrorResponse::new(
            403,
            "OutboundWebIdentityFederationDisabledException",
            "Outbound web identity federation is disabled for this account.",
        ));
    }
    let audiences = form.list("Audience", "");
    let fits = |audience: &String| (1..=LONGEST_AUDIENCE).contains(&audience.chars().count());
    if !(1..=MOST_AUDIENCES).contains(&audiences.len()) || !audiences.iter().all(fits) {
        return Err(invalid("audience"));
    }
    let key = form.get("SigningAlgorithm").and_then(Key::of);
    let key = key.ok_or_else(|| invalid("signingAlgorithm"))?;
    let lifetime = match form.get("DurationSeconds") {
        Some(text) => text.parse().ok(),
        None => Some(LIFETIME[1]),
    };
    let lifetime = lifetime.filter(|lifetime| (LIFETIME[0]..=LIFETIME[2]).contains(lifetime));
    let lifetime = lifetime.ok_or_else(|| invalid("durationSeconds"))?;

    let now = web_identity.clock.now();
    let expires = now + Duration::from_secs(lifetime);
    let token = key.sign(&claims(&state, audiences, caller, form, now, expires));
    state.issued.push(token.clone());
    let expires = humantime::format_rfc3339_millis(expires).to_string();
    Ok(element("WebIdentityToken", &token) + &element("Expiration", &expires))
}

/// Returns the claims as AWS makes them (DOC: "Understanding token claims").
fn claims(
    state: &State,
    mut audiences: Vec<String>,
    caller: Caller,
    form: &Form,
    now: SystemTime,
    expires: SystemTime,
) -> Value {
    let seconds = |time: SystemTime| {
        time.duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs()
    };
    // A single audience is a text and not a list.
    let audience = match audiences.len() {
        1 => json!(audiences.remove(0)),
        _ => json!(audiences),
    };
    let mut of_aws = Map::new();
    of_aws.insert("aws_account".to_owned(), json!(ACCOUNT));
    of_aws.insert("source_region".to_owned(), json!(REGION));
    if caller == Caller::Function {
        of_aws.insert("lambda_source_function_arn".to_owned(), json!(FUNCTION_ARN));
    }
    let tags = form.list("Tags", ".Key").into_iter();
    let tags: Map<_, _> = tags
        .zip(form.list("Tags", ".Value").into_iter().map(Value::String))
        .collect();
    if !tags.is_empty() {
        of_aws.insert("request_tags".to_owned(), Value::Object(tags));
    }
    json!({
        "iss": state.issuer,
        "aud": audience,
        "sub": caller.role_arn(),
        "iat": seconds(now),
        "exp": seconds(expires),
        "jti": random_uuid(),
        "https://sts.amazonaws.com/": of_aws,
    })
}

fn invalid(parameter: &str) -> ErrorResponse {
    let message =
        format!("1 validation error detected: Value at '{parameter}' failed to satisfy constraint");
    ErrorResponse::new(400, "ValidationError", message)
}
