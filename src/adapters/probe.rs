//! The probe: calls an API behind the usage plan as a consumer does.
//!
//! | answer | to a random key | to the key itself |
//! |---|---|---|
//! | 2xx | `ProbeNotProtected` | accepted |
//! | 403 | refused, as required before the key is sent | not accepted yet |
//! | 403 `MissingAuthenticationTokenException` or `AccessDeniedException`, an untrusted certificate | retried; `ProbeRejected` if it persists | the same |
//! | 403 with a firewall's HTML page, 429, 5xx, no reply | retried | retried |
//! | any other status | `ProbeRejected` | the same |
//!
//! The body of an answer is never read.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::time::{Instant, sleep, timeout_at};

use crate::adapters::http::{no_reply_kind, retry_after};
use crate::adapters::{AdapterError, ProbeFault};
use crate::driver::{ACCEPTANCES, Call, Service};
use crate::ids::ProbeUrl;
use crate::redact::Redacted;
use crate::secret::ApiKeyValue;

/// The first and the longest pause between two attempts. (A key takes effect within seconds to two
/// minutes, and without notification: AWSV and OBS.)
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// A transient fault ends the wait if it is the only answer for this long and this many times. A
/// new deployment gives such answers for some seconds (how many is UNK).
const LASTING: Duration = Duration::from_secs(15);
const LASTING_ANSWERS: u32 = 4;

/// How long a test rotation waits for a refusal: longer than [`LASTING`], and short enough for an
/// operator who waits for the result.
const TEST_ROTATION_WAIT: Duration = Duration::from_secs(25);

pub(super) struct Probe<'a> {
    pub(super) http: &'a reqwest::Client,
    pub(super) url: &'a ProbeUrl,
    pub(super) deadline: Instant,
    /// Whether this is a test rotation, which probes the current key and not a new one.
    pub(super) is_test_rotation: bool,
}

/// The meaning of one answer.
enum Answer {
    Accepted(StatusCode),
    /// The key is not accepted, or not yet.
    Refused,
    /// The answer is inconclusive, with its description.
    Unclear(String),
    /// The URL or its API is misconfigured.
    Wrong(ProbeFault),
}

/// What the probe waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The URL refuses a random key.
    Refusal,
    /// The URL accepts the key several times in a row.
    Acceptances,
}

impl Probe<'_> {
    /// Probes until the key is accepted several times in a row.
    ///
    /// Before that, the URL must refuse a random key, because a URL that requires no key accepts
    /// any key. A URL that does not refuse never receives the key.
    pub(super) async fn accepts(&self, key: &ApiKeyValue) -> Result<Call, AdapterError> {
        self.refuses().await?;
        self.poll(key, Wanted::Acceptances, self.deadline).await
    }

    /// Probes until a random key is refused.
    pub(super) async fn refuses(&self) -> Result<Call, AdapterError> {
        let until = if self.is_test_rotation {
            self.deadline.min(Instant::now() + TEST_ROTATION_WAIT)
        } else {
            self.deadline
        };
        let key = ApiKeyValue::fresh();
        self.poll(&key, Wanted::Refusal, until).await
    }

    async fn poll(
        &self,
        key: &ApiKeyValue,
        wanted: Wanted,
        deadline: Instant,
    ) -> Result<Call, AdapterError> {
        let (mut in_a_row, mut pause) = (0, FIRST_PAUSE);
        let mut last = "none".to_owned();
        let mut faults = Faults::default();
        loop {
            // An attempt that hangs until the deadline must not hide the earlier answers.
            let Ok(asked) = timeout_at(deadline, self.ask(key)).await else {
                return Err(self.not_in_time(wanted, &last));
            };
            let (answer, requested, call) = asked;
            if faults.are_lasting(&answer)
                && let Answer::Wrong(fault) = answer
            {
                return Err(AdapterError::ProbeRejected(fault));
            }
            match (wanted, answer) {
                (Wanted::Refusal, Answer::Refused) => return Ok(call),
                (Wanted::Refusal, Answer::Accepted(status)) => {
                    return Err(AdapterError::ProbeNotProtected(status.as_u16()));
                }
                (Wanted::Acceptances, Answer::Accepted(_)) => {
                    in_a_row += 1;
                    if in_a_row == ACCEPTANCES {
                        return Ok(call);
                    }
                    pause = FIRST_PAUSE;
                    "accepted, but not three times in a row".clone_into(&mut last);
                }
                (Wanted::Acceptances, Answer::Refused) => {
                    in_a_row = 0;
                    REFUSED.clone_into(&mut last);
                }
                (_, Answer::Unclear(words)) => {
                    in_a_row = 0;
                    last = words;
                }
                (_, Answer::Wrong(fault)) => {
                    in_a_row = 0;
                    last = fault.to_string();
                }
            }
            if in_a_row == 0 {
                tracing::debug!(answer = last, "the gateway has not accepted the key yet");
            }
            let wait = requested.unwrap_or_default().max(pause);
            if Instant::now() + wait >= deadline {
                return Err(self.not_in_time(wanted, &last));
            }
            sleep(wait).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    fn not_in_time(&self, wanted: Wanted, last: &str) -> AdapterError {
        match (wanted, self.is_test_rotation) {
            (Wanted::Refusal, false) => AdapterError::ProbeNotAccepted(format!(
                "last answer to a random key, which must be refused first: {last}"
            )),
            (Wanted::Acceptances, false) => {
                AdapterError::ProbeNotAccepted(format!("last answer: {last}"))
            }
            (Wanted::Refusal, true) => AdapterError::ProbeInconclusive(format!(
                "the gateway did not refuse a random key; last answer: {last}"
            )),
            (Wanted::Acceptances, true) => AdapterError::ProbeInconclusive(format!(
                "the gateway did not accept the current key; last answer: {last}"
            )),
        }
    }

    /// Sends one request. Returns the answer, and the pause that the server requests.
    async fn ask(&self, key: &ApiKeyValue) -> (Answer, Option<Duration>, Call) {
        // A new connection for each request lets different nodes of the gateway answer.
        let mut request = self.http.get(self.url.as_str()).header(CONNECTION, "close");
        if let Ok(mut value) = HeaderValue::from_str(key.expose()) {
            value.set_sensitive(true);
            request = request.header("x-api-key", value);
        }
        let mut call = Call {
            service: Service::Gateway,
            operation: "Probe",
            request_id: None,
        };
        let reply = match request.send().await {
            Ok(reply) => reply,
            Err(error) => {
                let answer = match no_reply_kind(&error) {
                    (how, true) => Answer::Unclear(how.to_string()),
                    (how, false) => Answer::Wrong(ProbeFault::NoReply { how }),
                };
                return (answer, None, call);
            }
        };
        let id = reply
            .headers()
            .get("x-amzn-requestid")
            .and_then(|id| id.to_str().ok());
        call.request_id = id.map(Redacted::id);
        let (status, headers) = (reply.status(), reply.headers());
        let answer = if status.is_success() {
            Answer::Accepted(status)
        } else if status == StatusCode::FORBIDDEN {
            why_forbidden(headers)
        } else if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            Answer::Unclear(status.to_string())
        } else {
            Answer::Wrong(ProbeFault::Status(status.as_u16()))
        };
        (answer, retry_after(headers), call)
    }
}

/// The possible causes of a refusal. API Gateway answers all of them with `ForbiddenException`
/// (DOC, re:Post, "How do I troubleshoot HTTP 403 errors from API Gateway"; an unknown stage: OBS),
/// so they cannot be distinguished.
const REFUSED: &str = "403 Forbidden: the key is not on a usage plan of this stage or not in effect yet, the stage does not exist, or AWS WAF blocked the request";

/// Classifies a 403. API Gateway names its kind in a header (DOC, as above; the spelling and letter
/// case of the header name vary: OBS). The header is never shown, because another server may write
/// anything into it.
///
/// It is not verified on AWS that a customized gateway response keeps the header. A 403 without it
/// is a refusal, unless it is an HTML page: `CloudFront` answers with one if AWS WAF blocked the
/// request (OBS).
fn why_forbidden(headers: &HeaderMap) -> Answer {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // AWS's protocols allow a namespace before the name and a URL after it.
    let error_type = header("x-amzn-errortype").map(|text| {
        let name = text.split(':').next().unwrap_or_default();
        name.rsplit('#').next().unwrap_or_default().trim()
    });
    let is_page = header(CONTENT_TYPE.as_str())
        .is_some_and(|content| content.trim().to_ascii_lowercase().starts_with("text/html"));
    match error_type {
        Some("MissingAuthenticationTokenException") => Answer::Wrong(ProbeFault::NoSuchMethod),
        Some("AccessDeniedException") => Answer::Wrong(ProbeFault::AccessDenied),
        None if is_page => Answer::Unclear(
            "403 with an HTML page: a firewall such as AWS WAF answered instead of API Gateway; allow the function's calls there"
                .to_owned(),
        ),
        _ => Answer::Refused,
    }
}

/// The consecutive faults so far.
#[derive(Default)]
struct Faults {
    first: Option<(ProbeFault, Instant)>,
    times: u32,
}

impl Faults {
    /// Counts an answer. Returns whether it is a fault that ends the wait.
    fn are_lasting(&mut self, answer: &Answer) -> bool {
        let Answer::Wrong(fault) = *answer else {
            *self = Self::default();
            return false;
        };
        if !fault.may_pass() {
            return true;
        }
        let now = Instant::now();
        match self.first {
            Some((first, since)) if first == fault => {
                self.times += 1;
                self.times >= LASTING_ANSWERS && now.duration_since(since) >= LASTING
            }
            _ => {
                (self.first, self.times) = (Some((fault, now)), 1);
                false
            }
        }
    }
}
