//! Faults that a test puts between the function and the services.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::call_log::Service;

/// Something that a test does while a call is under way, such as an operator's edit.
pub type Hook = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// What goes wrong with a call. "Effect" is what the call was meant to do.
#[derive(Clone)]
pub enum FaultKind {
    /// An error in the service's own shape; no effect. Doppler's errors have no `code`.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// AWS's name for the error.
        code: String,
        /// The sentence for a person.
        message: String,
    },
    /// The service's own throttling answer; no effect.
    Throttle {
        /// Seconds for the `Retry-After` header.
        retry_after: Option<u64>,
    },
    /// The connection is dropped; no effect.
    ResetBefore,
    /// The same, and for so long every connection to this service's port is refused.
    Down(Duration),
    /// The effect happens, then the connection is dropped without an answer.
    LostReply,
    /// The effect happens, then the connection is dropped after half of the answer's body.
    CutReply,
    /// This answer instead of the service's own.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The `Content-Type` header.
        content_type: String,
        /// The whole body.
        body: Bytes,
        /// Whether the effect happens all the same.
        effect: bool,
    },
    /// The answer, whether the service's own or another fault's, with this header changed; without a
    /// value it is taken away.
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
    /// The hook runs to its end before the effect.
    Before(Hook),
    /// The hook runs to its end after the effect and before the answer is sent.
    After(Hook),
}

impl FaultKind {
    /// An error that AWS words as `code: message`.
    pub fn refuse(status: u16, code: impl Into<String>, message: impl Into<String>) -> FaultKind {
        FaultKind::Refuse {
            status,
            code: code.into(),
            message: message.into(),
        }
    }

    /// An answer that the service would not give, without effect.
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

    /// The answer with this value of a header.
    pub fn header(name: &'static str, value: impl Into<Vec<u8>>) -> FaultKind {
        FaultKind::Header {
            name,
            value: Some(value.into().into()),
        }
    }

    /// The answer without this header.
    #[must_use]
    pub fn no_header(name: &'static str) -> FaultKind {
        FaultKind::Header { name, value: None }
    }

    /// Runs `hook` between the call's arrival and its effect. A hook that needs the sandbox itself
    /// holds it by a weak reference: the sandbox keeps its faults, and so would keep itself alive.
    pub fn before<F, Fut>(hook: F) -> FaultKind
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        FaultKind::Before(Arc::new(move || Box::pin(hook())))
    }

    /// Runs `hook` between the call's effect and its answer, with the same care as `before`.
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

/// Which of the matching calls a fault strikes, counted from its injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Only the nth, counted from 1.
    Nth(usize),
    /// Each one.
    Every,
}

/// A fault and the calls that it strikes.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The service, or any of the four.
    pub service: Option<Service>,
    /// The operation as the call log names it, or any.
    pub operation: Option<String>,
    /// Which of the matching calls.
    pub when: When,
    /// What happens to them.
    pub kind: FaultKind,
}

impl Fault {
    /// Strikes the next call of any service.
    #[must_use]
    pub fn new(kind: FaultKind) -> Fault {
        Fault {
            service: None,
            operation: None,
            when: When::Nth(1),
            kind,
        }
    }

    /// Strikes only calls of this service.
    #[must_use]
    pub fn of(mut self, service: Service) -> Fault {
        self.service = Some(service);
        self
    }

    /// Strikes only this operation of this service.
    #[must_use]
    pub fn on(mut self, service: Service, operation: &str) -> Fault {
        self.operation = Some(operation.to_owned());
        self.of(service)
    }

    /// Strikes only the nth matching call, counted from 1.
    #[must_use]
    pub fn nth(mut self, nth: usize) -> Fault {
        self.when = When::Nth(nth);
        self
    }

    /// Strikes every matching call.
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

/// Tells how an injected fault is faring.
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
    /// How many matching calls there were since the injection, struck or not.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.counts.seen.load(Ordering::SeqCst)
    }

    /// How many calls the fault has struck.
    #[must_use]
    pub fn fired(&self) -> usize {
        self.counts.fired.load(Ordering::SeqCst)
    }

    /// Takes the fault away.
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

/// A fault with how often it was met and struck.
type Injected = (Fault, Arc<Counts>);

impl Faults {
    /// Adds a fault. Several faults may strike one call: each in the order of injection, until one
    /// answers it.
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

    /// Takes all faults away.
    pub fn clear(&self) {
        self.injected.lock().clear();
    }

    /// Counts a call and returns what strikes it.
    pub(crate) fn strike(&self, service: Service, operation: &str) -> Vec<FaultKind> {
        let injected = self.injected.lock();
        let mut struck = Vec::new();
        for (fault, counts) in injected
            .iter()
            .filter(|(fault, _)| fault.matches(service, operation))
        {
            let seen = counts.seen.fetch_add(1, Ordering::SeqCst) + 1;
            if fault.when == When::Every || fault.when == When::Nth(seen) {
                counts.fired.fetch_add(1, Ordering::SeqCst);
                struck.push(fault.kind.clone());
            }
        }
        struck
    }
}
