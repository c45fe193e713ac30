//! What Lambda reports to `CloudWatch` about its invocations, and their throttling.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::{FunctionError, Lambda};

/// The name of the error of a throttled invocation.
pub(crate) const THROTTLED: &str = "TooManyRequestsException";

/// One invocation as Lambda's metrics show it (DOC, Lambda developer guide, "Types of metrics for
/// Lambda functions").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// The function ran: `Invocations`, `Duration`, and `Errors` if it failed.
    Ran {
        /// When it was invoked. An error is reported for this time too.
        at: SystemTime,
        /// How long it took by the services' clock.
        took: Duration,
        /// Whether it ended with an error.
        failed: bool,
    },
    /// The function was not run: `Throttles`, which count neither as invocations nor as errors.
    Throttled {
        /// When it was to be invoked.
        at: SystemTime,
    },
}

impl Lambda {
    /// Uses up the account's concurrency, or gives it back.
    pub(crate) fn throttle(&self, is_throttled: bool) {
        let flag = &self.shared.is_throttled;
        flag.store(is_throttled, Ordering::SeqCst);
    }

    /// Returns what Lambda has measured, in the order of the ends of the invocations.
    pub(crate) fn measured(&self) -> Vec<Measured> {
        self.shared.measured.lock().clone()
    }

    pub(super) fn measure(&self, at: SystemTime, took: Duration, failed: bool) {
        let ran = Measured::Ran { at, took, failed };
        self.shared.measured.lock().push(ran);
    }

    /// Returns the error of an invocation without concurrency (DOC, Lambda API reference, Invoke).
    ///
    /// Secrets Manager treats it as a failed step. Lambda itself would retry an asynchronous
    /// invocation for up to six hours; the sandbox retries it twice like any other.
    pub(super) fn throttled(&self, at: SystemTime) -> Option<FunctionError> {
        if !self.shared.is_throttled.load(Ordering::SeqCst) {
            return None;
        }
        let throttled = Measured::Throttled { at };
        self.shared.measured.lock().push(throttled);
        Some(FunctionError::new(THROTTLED, "Rate Exceeded."))
    }
}
