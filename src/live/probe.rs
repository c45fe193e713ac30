//! The probe: an API behind the usage plan, called as a consumer calls it.

use std::time::Duration;

use reqwest::header::{CONNECTION, HeaderValue};
use reqwest::{StatusCode, Url};
use tokio::time::{Instant, sleep, timeout_at};

use super::Receipt;
use crate::error::{Error, Service, masked_id};
use crate::http::{retry_after, why_no_reply};
use crate::secret::ApiKeyValue;

/// A new key takes effect on one gateway node after the other, so one acceptance proves little.
const ACCEPTANCES: u32 = 3;

/// The pause between two attempts: at first, and at most. (Keys take seconds to two minutes to take effect, and there is
/// no notice: AWSV and OBS.)
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

pub(super) struct Probe<'a> {
    pub(super) http: &'a reqwest::Client,
    pub(super) url: &'a Url,
    pub(super) deadline: Instant,
    /// Whether the key is the current one and not a new one.
    pub(super) is_trial: bool,
}

/// What one answer says.
enum Answer {
    Accepted,
    /// This key is not accepted, or not yet; with the pause that the server asks for.
    Refused(Option<Duration>),
    /// It cannot be told, in words; with the pause that the server asks for.
    Unclear(String, Option<Duration>),
}

impl Probe<'_> {
    /// Asks until the key was accepted several times in a row.
    pub(super) async fn accepts(&self, key: &ApiKeyValue) -> Result<Receipt, Error> {
        let (mut in_a_row, mut pause) = (0, FIRST_PAUSE);
        let mut last = "none".to_owned();
        loop {
            // One that hangs until the deadline must not hide what the others said.
            let Ok(asked) = timeout_at(self.deadline, self.ask(Some(key))).await else {
                return Err(self.not_accepted(last));
            };
            let (answer, receipt) = asked?;
            let asked_for = match answer {
                Answer::Accepted => {
                    in_a_row += 1;
                    if in_a_row == ACCEPTANCES {
                        return Ok(receipt);
                    }
                    pause = FIRST_PAUSE;
                    "accepted, but not three times in a row".clone_into(&mut last);
                    None
                }
                Answer::Refused(asked_for) => {
                    in_a_row = 0;
                    "403 Forbidden".clone_into(&mut last);
                    asked_for
                }
                Answer::Unclear(words, asked_for) => {
                    in_a_row = 0;
                    last = words;
                    asked_for
                }
            };
            if in_a_row == 0 {
                tracing::debug!(answer = last, "the gateway does not accept the key yet");
            }
            let wait = asked_for.unwrap_or_default().max(pause);
            if Instant::now() + wait >= self.deadline {
                return Err(self.not_accepted(last));
            }
            sleep(wait).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    fn not_accepted(&self, last: String) -> Error {
        if self.is_trial {
            let words = format!("the gateway does not accept the current key; last answer: {last}");
            return Error::ProbeUnclear(words);
        }
        Error::ProbeNotAccepted(last)
    }

    /// Asks once, for a set-up with a placeholder: only an answer that a right URL gives will do.
    pub(super) async fn answers(&self, key: Option<&ApiKeyValue>) -> Result<Receipt, Error> {
        match self.ask(key).await? {
            (Answer::Accepted | Answer::Refused(_), receipt) => Ok(receipt),
            (Answer::Unclear(words, _), _) => Err(Error::ProbeUnclear(words)),
        }
    }

    async fn ask(&self, key: Option<&ApiKeyValue>) -> Result<(Answer, Receipt), Error> {
        // A connection of its own each time, so that the answers come from different nodes of the gateway.
        let mut request = self.http.get(self.url.clone()).header(CONNECTION, "close");
        if let Some(mut value) = key.and_then(|key| HeaderValue::from_str(key.expose()).ok()) {
            value.set_sensitive(true);
            request = request.header("x-api-key", value);
        }
        let mut receipt = Receipt {
            service: Service::Gateway,
            operation: "Probe",
            request_id: None,
        };
        let reply = match request.send().await {
            Ok(reply) => reply,
            Err(error) => {
                let (how, _) = why_no_reply(&error);
                return Ok((Answer::Unclear(how.to_string(), None), receipt));
            }
        };
        let id = reply
            .headers()
            .get("x-amzn-requestid")
            .and_then(|id| id.to_str().ok());
        receipt.request_id = id.map(masked_id);
        let (status, asked_for) = (reply.status(), retry_after(reply.headers()));
        let answer = if status.is_success() {
            Answer::Accepted
        } else if status == StatusCode::FORBIDDEN {
            Answer::Refused(asked_for)
        } else if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            Answer::Unclear(status.to_string(), asked_for)
        } else {
            return Err(Error::ProbeRejected(status.as_u16()));
        };
        Ok((answer, receipt))
    }
}
