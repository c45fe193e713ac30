//! Faults that a test injects between the function and the services.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::call_log::Service;

/// Code that a test runs during a call, such as an operator's edit.
pub type Hook = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// What happens to a call. "Effect" means the change that the call would make.
#[derive(Clone)]
pub enum FaultKind {
    /// An error in the service's own format; no effect. Doppler's errors have no `code`.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// AWS's name for the error.
        code: String,
        /// The message.
        message: String,
    },
    /// The service's own throttling error; no effect.
    Throttle {
        /// Seconds for the `Retry-After` header.
        retry_after: Option<u64>,
    },
    /// The connection is dropped; no effect.
    ResetBefore,
    /// As `ResetBefore`; in addition every connection to the service's port is refused for this
    /// long.
    Down(Duration),
    /// The effect happens, then the connection is dropped without a response.
    LostReply,
    /// The effect happens, then the connection is dropped after half of the response's body.
    CutReply,
    /// This response replaces the service's own.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The `Content-Type` header.
        content_type: String,
        /// The whole body.
        body: Bytes,
        /// Whether the effect happens anyway.
        effect: bool,
    },
    /// This header of the response is changed, whether the response is the service's own or another
    /// fault's. Without a value the header is removed.
    Header {
        /// The header's name.
        name: &'static str,
        /// Its value.
        value: Option<Bytes>,
    },
    /// The call waits this long before its effect.
    Delay(Duration),
    /// The function's process is killed as by `kill -9`; no effect.
    KillBefore,
    /// The effect happens, then the function's process is killed as by `kill -9`.
    KillAfter,
    /// The hook completes before the effect.
    Before(Hook),
    /// The hook completes after the effect and before the response is sent.
    After(Hook),
}

impl FaultKind {
    /// Creates an error that AWS formats as `code: message`.
    pub fn refuse(status: u16, code: impl Into<String>, message: impl Into<String>) -> FaultKind {
        FaultKind::Refuse {
            status,
            code: code.into(),
            message: message.into(),
        }
    }

    /// Creates a response that the service would not send, without effect.
    pub fn answer(
        status: u16,
        content_type: impl Into<String>,
        body: impl Into<Vec<u8>>,
    ) -> FaultKind {
        FaultKind::Answer {
            status,
            content_type: content_type.into(),
            body: body.into().into(),
            effect: false,
        }
    }

    /// Sets a header of the response.
    pub fn header(name: &'static str, value: impl Into<Vec<u8>>) -> FaultKind {
        FaultKind::Header {
            name,
            value: Some(value.into().into()),
        }
    }

    /// Removes a header from the response.
    #[must_use]
    pub fn no_header(name: &'static str) -> FaultKind {
        FaultKind::Header { name, value: None }
    }

    /// Runs `hook` between the call's arrival and its effect.
    ///
    /// A hook that needs the sandbox must hold a weak reference to it. The sandbox owns its faults,
    /// and so would otherwise keep itself alive.
    pub fn before<F, Fut>(hook: F) -> FaultKind
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        FaultKind::Before(Arc::new(move || Box::pin(hook())))
    }

    /// Runs `hook` between the call's effect and its response. The limitation of `before` applies.
    pub fn after<F, Fut>(hook: F) -> FaultKind
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        FaultKind::After(Arc::new(move || Box::pin(hook())))
    }
}

impl fmt::Debug for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::Refuse { status, code, .. } => write!(formatter, "Refuse({status} {code})"),
            FaultKind::Throttle { retry_after } => write!(formatter, "Throttle({retry_after:?})"),
            FaultKind::ResetBefore => formatter.write_str("ResetBefore"),
            FaultKind::Down(pause) => write!(formatter, "Down({pause:?})"),
            FaultKind::LostReply => formatter.write_str("LostReply"),
            FaultKind::CutReply => formatter.write_str("CutReply"),
            FaultKind::Answer { status, effect, .. } => {
                write!(formatter, "Answer({status}, effect: {effect})")
            }
            FaultKind::Header { name, value } => write!(formatter, "Header({name}: {value:?})"),
            FaultKind::Delay(pause) => write!(formatter, "Delay({pause:?})"),
            FaultKind::KillBefore => formatter.write_str("KillBefore"),
            FaultKind::KillAfter => formatter.write_str("KillAfter"),
            FaultKind::Before(_) => formatter.write_str("Before(..)"),
            FaultKind::After(_) => formatter.write_str("After(..)"),
        }
    }
}

/// Which matching calls a fault applies to, counted from its injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Only the nth call, counted from 1.
    Nth(usize),
    /// Every call.
    Every,
}

/// A fault and the calls that it applies to.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The service; `None` means any.
    pub service: Option<Service>,
    /// The operation as the call log names it; `None` means any.
    pub operation: Option<String>,
    /// Which of the matching calls the fault applies to.
    pub when: When,
    /// What happens to these calls.
    pub kind: FaultKind,
}

impl Fault {
    /// Creates a fault for the next call to any service.
    #[must_use]
    pub fn new(kind: FaultKind) -> Fault {
        Fault {
            service: None,
            operation: None,
            when: When::Nth(1),
            kind,
        }
    }

    /// Limits the fault to calls to this service.
    #[must_use]
    pub fn of(mut self, service: Service) -> Fault {
        self.service = Some(service);
        self
    }

    /// Limits the fault to this operation of this service.
    #[must_use]
    pub fn on(mut self, service: Service, operation: &str) -> Fault {
        self.operation = Some(operation.to_owned());
        self.of(service)
    }

    /// Limits the fault to the nth matching call, counted from 1.
    #[must_use]
    pub fn nth(mut self, nth: usize) -> Fault {
        self.when = When::Nth(nth);
        self
    }

    /// Applies the fault to every matching call.
    #[must_use]
    pub fn every(mut self) -> Fault {
        self.when = When::Every;
        self
    }

    fn matches(&self, service: Service, operation: &str) -> bool {
        self.service.is_none_or(|wanted| wanted == service)
            && self
                .operation
                .as_deref()
                .is_none_or(|wanted| wanted == operation)
    }
}

/// A handle that counts the calls of an injected fault and can remove the fault.
#[derive(Clone)]
pub struct FaultHandle {
    counts: Arc<Counts>,
    faults: Faults,
}

#[derive(Default)]
struct Counts {
    seen: AtomicUsize,
    fired: AtomicUsize,
}

impl FaultHandle {
    /// Returns how many matching calls there were since the injection, whether faulty or not.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.counts.seen.load(Ordering::SeqCst)
    }

    /// Returns how many calls the fault was injected into.
    #[must_use]
    pub fn fired(&self) -> usize {
        self.counts.fired.load(Ordering::SeqCst)
    }

    /// Removes the fault.
    pub fn remove(&self) {
        self.faults
            .injected
            .lock()
            .retain(|(_, counts)| !Arc::ptr_eq(counts, &self.counts));
    }
}

/// All faults that are waiting for calls.
#[derive(Clone, Default)]
pub struct Faults {
    injected: Arc<Mutex<Vec<Injected>>>,
}

/// A fault with its counts of matching and faulty calls.
type Injected = (Fault, Arc<Counts>);

impl Faults {
    /// Injects a fault. Several faults may apply to one call: in the order of injection, until one
    /// sends the response.
    #[allow(
        clippy::must_use_candidate,
        reason = "the handle is for tests that count"
    )]
    pub fn inject(&self, fault: Fault) -> FaultHandle {
        let counts = Arc::new(Counts::default());
        self.injected.lock().push((fault, Arc::clone(&counts)));
        FaultHandle {
            counts,
            faults: self.clone(),
        }
    }

    /// Removes all faults.
    pub fn clear(&self) {
        self.injected.lock().clear();
    }

    /// Counts a call and returns the faults to inject into it.
    pub(crate) fn take_matching(&self, service: Service, operation: &str) -> Vec<FaultKind> {
        let injected = self.injected.lock();
        let mut due = Vec::new();
        for (fault, counts) in injected
            .iter()
            .filter(|(fault, _)| fault.matches(service, operation))
        {
            let seen = counts.seen.fetch_add(1, Ordering::SeqCst) + 1;
            if fault.when == When::Every || fault.when == When::Nth(seen) {
                counts.fired.fetch_add(1, Ordering::SeqCst);
                due.push(fault.kind.clone());
            }
        }
        due
    }
}
