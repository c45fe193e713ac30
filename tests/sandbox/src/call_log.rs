//! What was asked of the services, in the order in which it arrived.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

/// A service that the rotation function talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// AWS Secrets Manager.
    SecretsManager,
    /// The control plane of Amazon API Gateway.
    ApiGateway,
    /// The data plane of Amazon API Gateway: where a client's key is accepted or refused.
    Gateway,
    /// The Doppler API.
    Doppler,
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Service::SecretsManager => "Secrets Manager",
            Service::ApiGateway => "API Gateway",
            Service::Gateway => "the gateway",
            Service::Doppler => "Doppler",
        })
    }
}

/// One request to a service. Bodies and headers are left out, so nothing here is a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When the request had arrived in full, by the sandbox's clock.
    pub at: SystemTime,
    /// Who was asked.
    pub service: Service,
    /// What was asked, in the service's own words, such as `PutSecretValue`.
    pub operation: String,
    /// The id that the answer carried.
    pub request_id: String,
    /// The HTTP status of the answer; 0 while there is none, and for good if the connection was
    /// dropped.
    pub status: u16,
    /// The HTTP method.
    pub method: String,
    /// The path with its query, as sent.
    pub path_and_query: String,
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {} ({})",
            self.service, self.operation, self.status
        )
    }
}

/// Every call since the start or the last `clear`.
#[derive(Clone, Default)]
pub(crate) struct CallLog {
    calls: Arc<Mutex<Vec<Call>>>,
}

impl CallLog {
    /// Notes an arrival; `finish` completes it by its request id.
    pub(crate) fn begin(&self, call: Call) {
        self.calls.lock().push(call);
    }

    /// Notes how the call with this request id was answered.
    pub(crate) fn finish(&self, request_id: &str, status: u16) {
        let mut calls = self.calls.lock();
        // The newest first: a call is finished soon after it began. None, if the call log was
        // cleared in between.
        if let Some(call) = calls
            .iter_mut()
            .rev()
            .find(|call| call.request_id == request_id)
        {
            call.status = status;
        }
    }

    /// A copy of all calls, oldest first.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// Forgets all calls.
    pub(crate) fn clear(&self) {
        self.calls.lock().clear();
    }
}
