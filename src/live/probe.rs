//! The probe: an API behind the usage plan, called as a consumer calls it.

use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{StatusCode, Url};
use tokio::time::{Instant, sleep};

use super::Receipt;
use crate::error::{Error, Service};
use crate::http::retry_after;
use crate::secret::ApiKeyValue;

/// A new key takes effect on one gateway node after the other, so one acceptance proves little.
const ACCEPTANCES: u32 = 3;

/// The pause between two attempts: at first, and at most. (Keys take seconds to two minutes to take effect, and there is
/// no notice: AWSV and OBS, facts on AWS, B5.)
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

pub(super) struct Probe<'a> {
    pub(super) http: &'a reqwest::Client,
    pub(super) url: &'a Url,
    pub(super) deadline: Instant,
}

/// What one answer says.
enum Answer {
    Accepted,
    /// Not yet, or it cannot be told; in words, with the pause that the server asks for.
    Unsure(String, Option<Duration>),
}

impl Probe<'_> {
    /// Asks until the key was accepted several times in a row.
    pub(super) async fn accepts(&self, key: &ApiKeyValue) -> Result<Receipt, Error> {
        let (mut in_a_row, mut pause) = (0, FIRST_PAUSE);
        loop {
            let (answer, receipt) = self.ask(Some(key)).await?;
            let (last, asked_for) = match answer {
                Answer::Accepted => {
                    in_a_row += 1;
                    if in_a_row == ACCEPTANCES {
                        return Ok(receipt);
                    }
                    pause = FIRST_PAUSE;
                    (
                        "accepted, but not yet three times in a row".to_owned(),
                        None,
                    )
                }
                Answer::Unsure(last, asked_for) => {
                    in_a_row = 0;
                    tracing::debug!(answer = last, "the gateway does not accept the new key yet");
                    (last, asked_for)
                }
            };
            let wait = asked_for.unwrap_or_default().max(pause);
            if Instant::now() + wait >= self.deadline {
                return Err(Error::ProbeNotAccepted(last));
            }
            sleep(wait).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks once, for a set-up with a placeholder: an answer that only a wrong URL gives is an error.
    pub(super) async fn answers(&self, key: Option<&ApiKeyValue>) -> Result<Receipt, Error> {
        match self.ask(key).await? {
            (Answer::Accepted, receipt) => Ok(receipt),
            (Answer::Unsure(last, _), receipt) if last.starts_with("403") => Ok(receipt),
            (Answer::Unsure(last, _), _) => Err(Error::ProbeNotAccepted(last)),
        }
    }

    async fn ask(&self, key: Option<&ApiKeyValue>) -> Result<(Answer, Receipt), Error> {
        let mut request = self.http.get(self.url.clone());
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
                let how = if error.is_timeout() {
                    "no answer in time"
                } else {
                    "no connection"
                };
                return Ok((Answer::Unsure(how.to_owned(), None), receipt));
            }
        };
        let id = reply
            .headers()
            .get("x-amzn-requestid")
            .and_then(|id| id.to_str().ok());
        receipt.request_id = id.map(crate::error::masked_id);
        let status = reply.status();
        let answer = match status {
            _ if status.is_success() => Answer::Accepted,
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                Answer::Unsure(status.to_string(), retry_after(reply.headers()))
            }
            _ if status.is_server_error() => {
                Answer::Unsure(status.to_string(), retry_after(reply.headers()))
            }
            _ => return Err(Error::ProbeRejected(status.as_u16())),
        };
        Ok((answer, receipt))
    }
}
