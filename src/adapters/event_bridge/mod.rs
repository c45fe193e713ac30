//! Sends notices to an event bus.

mod detail;

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, PutEventsResultEntry};
use aws_sdk_eventbridge::{Client, config};
use aws_types::sdk_config::{RetryConfig, TimeoutConfig};

use self::detail::Detail;
use super::aws;
use super::aws::AwsConfig;
use super::secrets_manager::Secret;
use crate::adapters::advice::NoReply;
use crate::adapters::{CallError, CallErrorKind};
use crate::decision::Notice;
use crate::driver::{Call, Service};
use crate::redact::Redacted;

const SERVICE: Service = Service::EventBridge;

/// The source of every notice. The function's role may send no other.
const SOURCE: &str = "api-key-rotation";

/// The limits of one notice. The next run sends it again, so it must not use up this run's time.
const ATTEMPTS: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(8);

/// How long no notice is sent after one got no reply. A run over many secrets would otherwise wait
/// for each.
const SILENCE: Duration = Duration::from_mins(1);

/// Returns the detail of a notice about a secret, as JSON. `docs/notices.schema.json` describes it.
#[must_use]
pub fn notice_detail(secret: &Secret, function_name: &str, notice: &Notice) -> String {
    Detail::new(secret, function_name, notice).to_json()
}

pub(super) struct EventBridge {
    client: Client,
    function_name: String,
    /// When a notice last got no reply.
    unreachable_since: Mutex<Option<Instant>>,
}

impl EventBridge {
    pub(super) fn new(aws: &AwsConfig, function_name: &str) -> Self {
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_PAUSE)
            .with_max_backoff(LONGEST_PAUSE);
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(TIMEOUT)
            .build();
        let config = config::Builder::from(&aws.sdk)
            .retry_config(retries)
            .timeout_config(timeouts)
            .retry_classifier(aws::Retries)
            .interceptor(aws::RetryLog(SERVICE));
        Self {
            client: Client::from_conf(config.build()),
            function_name: function_name.to_owned(),
            unreachable_since: Mutex::default(),
        }
    }

    /// Sends a notice to the bus. A repeated notice has the same id in its detail.
    pub(super) async fn send(
        &self,
        bus: &str,
        secret: &Secret,
        notice: &Notice,
        now: SystemTime,
    ) -> Result<Call, CallError> {
        const OPERATION: &str = "PutEvents";
        if self.is_unreachable() {
            let call = Call::without_id(SERVICE, OPERATION);
            let kind = CallErrorKind::NoReply(NoReply::TimedOut);
            return Err(CallError::from_aws(call, kind));
        }
        let detail = notice_detail(secret, &self.function_name, notice);
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(bus)
            .source(SOURCE)
            .detail_type(notice.name())
            .resources(&secret.arn)
            .time(DateTime::from(now))
            .detail(detail);
        let reply = self.client.put_events().entries(entry.build()).send().await;
        let reply = reply.map_err(|error| aws::call_error(SERVICE, OPERATION, &error));
        let reply = reply.inspect_err(|failed| {
            if matches!(failed.kind, CallErrorKind::NoReply(_)) {
                self.remember(Some(Instant::now()));
            }
        })?;
        self.remember(None);
        let call = aws::call(SERVICE, OPERATION, &reply);
        // The reply is a success even if the entry failed.
        match reply.entries() {
            [entry] if entry.event_id().is_some() => Ok(call),
            [entry] if entry.error_code().is_some() => Err(refused(call, entry)),
            _ => aws::require_complete(false, call),
        }
    }
}

impl EventBridge {
    fn is_unreachable(&self) -> bool {
        let since = self.unreachable_since.lock();
        let since = since.ok().and_then(|since| *since);
        since.is_some_and(|since| since.elapsed() < SILENCE)
    }

    fn remember(&self, unreachable_since: Option<Instant>) {
        if let Ok(mut since) = self.unreachable_since.lock() {
            *since = unreachable_since;
        }
    }
}

fn refused(call: Call, entry: &PutEventsResultEntry) -> CallError {
    let kind = CallErrorKind::Rejected {
        status: 200,
        code: Redacted::code(entry.error_code().unwrap_or_default()),
        message: Redacted::message(entry.error_message().unwrap_or_default()),
    };
    CallError::from_aws(call, kind)
}
