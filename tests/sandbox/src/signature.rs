//! The signatures of requests to AWS: their time and their scope. They are not verified.

use std::time::{Duration, SystemTime};

use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::error_response::ErrorResponse;

/// How long AWS accepts a signature, before and after the time of signing (DOC, OBS).
const SIGNED_FOR: Duration = Duration::from_mins(5);

/// Returns what is wrong with the time at which a request was signed, if anything.
///
/// Most AWS SDKs correct their time of signing by the `Date` of the response, and so follow the
/// sandbox's clock. Botocore does not (SRC), and its machine's clock does not move with the
/// sandbox's. Therefore its requests are accepted.
pub(crate) fn untimely(parts: &Parts, now: SystemTime) -> Option<String> {
    let text = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let agent = text("user-agent").unwrap_or_default();
    if agent.to_lowercase().contains("botocore") {
        return None;
    }
    let stamp = text("x-amz-date")?;
    let signed = signing_time(stamp)?;
    let (now_stamp, minutes) = (time_stamp(now), SIGNED_FOR.as_secs() / 60);
    let (earliest, latest) = (now - SIGNED_FOR, now + SIGNED_FOR);
    let message = if signed < earliest {
        let earliest = time_stamp(earliest);
        format!(
            "Signature expired: {stamp} is now earlier than {earliest} ({now_stamp} - {minutes} min.)"
        )
    } else if signed > latest {
        let latest = time_stamp(latest);
        format!(
            "Signature not yet current: {stamp} is still later than {latest} ({now_stamp} + {minutes} min.)"
        )
    } else {
        return None;
    };
    Some(message)
}

/// Returns a time in the format of `x-amz-date`, such as `20261122T143005Z`.
fn time_stamp(time: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(time).to_string();
    time.replace(['-', ':'], "")
}

fn signing_time(stamp: &str) -> Option<SystemTime> {
    let part = |range| stamp.get(range);
    let date = [part(0..4)?, part(4..6)?, part(6..8)?].join("-");
    let time = [part(9..11)?, part(11..13)?, part(13..15)?].join(":");
    humantime::parse_rfc3339(&format!("{date}T{time}Z")).ok()
}

/// Returns the service in the scope of a request's signature:
/// `Credential=<key id>/<date>/<Region>/<service>/aws4_request`.
pub(crate) fn signed_service(parts: &Parts) -> Option<&str> {
    let text = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (_, scope) = text.split_once("Credential=")?;
    scope.split(['/', ',']).nth(3)
}

/// Refuses a request that does not look signed. The signature itself is not checked.
pub(crate) fn signed(parts: &Parts) -> Result<(), ErrorResponse> {
    let authorization = parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    match authorization {
        Some(value) if value.starts_with("AWS4-HMAC-SHA256 ") => Ok(()),
        _ => Err(ErrorResponse::new(
            403,
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        )),
    }
}
