//! The requests to the services, in order of arrival.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::faults::FaultKind;

/// A service that the rotation function or an operator talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// AWS Secrets Manager.
    SecretsManager,
    /// The control plane of Amazon API Gateway.
    ApiGateway,
    /// The data plane of Amazon API Gateway, which accepts or refuses a client's key.
    Gateway,
    /// Amazon `EventBridge`.
    EventBridge,
    /// Amazon `CloudWatch` Logs.
    CloudWatchLogs,
    /// AWS `CloudFormation`.
    CloudFormation,
    /// AWS STS.
    Sts,
    /// The Doppler API.
    Doppler,
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Service::SecretsManager => "Secrets Manager",
            Service::ApiGateway => "API Gateway",
            Service::Gateway => "the gateway",
            Service::EventBridge => "EventBridge",
            Service::CloudWatchLogs => "CloudWatch Logs",
            Service::CloudFormation => "CloudFormation",
            Service::Sts => "STS",
            Service::Doppler => "Doppler",
        })
    }
}

/// One request to a service. It has no bodies and headers, so that it contains no values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When the request had arrived completely, by the sandbox's clock.
    pub at: SystemTime,
    /// The service that received the request.
    pub service: Service,
    /// The operation as the service names it, such as `PutSecretValue`.
    pub operation: String,
    /// The request id in the response.
    pub request_id: String,
    /// The HTTP status of the response; 0 before the response and after a dropped connection.
    pub status: u16,
    /// The HTTP method.
    pub method: String,
    /// The path with its query, as sent.
    pub path_and_query: String,
    /// What the sandbox's faults did to the call, such as `throttled`; empty if nothing.
    pub faults: Vec<&'static str>,
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

/// Names what a fault did to a call.
pub(crate) fn fault_name(kind: &FaultKind) -> &'static str {
    match kind {
        FaultKind::Refuse { .. } => "refused",
        FaultKind::Throttle { .. } => "throttled",
        FaultKind::ResetBefore => "connection dropped",
        FaultKind::Down(_) => "port closed",
        FaultKind::LostReply => "reply lost",
        FaultKind::CutReply => "reply cut off",
        FaultKind::Answer { .. } => "reply replaced",
        FaultKind::Header { .. } => "header changed",
        FaultKind::Delay(_) => "delayed",
        FaultKind::KillBefore | FaultKind::KillAfter => "function killed",
        FaultKind::Before(_) | FaultKind::After(_) => "hook",
    }
}

/// Every call since the start or the last `clear`.
#[derive(Clone, Default)]
pub(crate) struct CallLog {
    calls: Arc<Mutex<Vec<Call>>>,
}

impl CallLog {
    /// Records the arrival of a call; `finish` completes it by its request id.
    pub(crate) fn begin(&self, call: Call) {
        self.calls.lock().push(call);
    }

    /// Notes which faults were injected into the call with this request id, and returns the call.
    pub(crate) fn note_faults(&self, request_id: &str, faults: &[FaultKind]) -> Option<Call> {
        self.change(request_id, |call| {
            call.faults = faults.iter().map(fault_name).collect();
        })
    }

    /// Notes how the call with this request id was answered, and returns the call.
    pub(crate) fn finish(&self, request_id: &str, status: u16) -> Option<Call> {
        self.change(request_id, |call| call.status = status)
    }

    fn change(&self, request_id: &str, change: impl FnOnce(&mut Call)) -> Option<Call> {
        let mut calls = self.calls.lock();
        // The newest first: a call is finished soon after it began. None, if the call log was
        // cleared in between.
        let mut calls = calls.iter_mut().rev();
        let call = calls.find(|call| call.request_id == request_id)?;
        change(call);
        Some(call.clone())
    }

    /// Returns a copy of all calls, oldest first.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// Removes all calls.
    pub(crate) fn clear(&self) {
        self.calls.lock().clear();
    }
}
