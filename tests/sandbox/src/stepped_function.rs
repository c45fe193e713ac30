//! Another Lambda over the same services, whose calls a test lets go one by one. With two of them a
//! test decides, at every call, whose turn it is.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::call_log::Call;
use crate::lambda::{Function, Invocation, Lambda};
use crate::sandbox::OpenPorts;

/// A Lambda of its own, with ports of its own to the sandbox's services; so it is known of each call
/// whose it is. Dropping it closes its ports and kills its function.
pub struct SteppedFunction {
    lambda: Lambda,
    call_gate: CallGate,
    ports: OpenPorts,
}

impl SteppedFunction {
    pub(crate) fn new(lambda: Lambda, call_gate: CallGate, ports: OpenPorts) -> SteppedFunction {
        SteppedFunction {
            lambda,
            call_gate,
            ports,
        }
    }

    /// The base URL of the API that wants a key, for this function.
    #[must_use]
    pub fn gateway_url(&self) -> String {
        self.ports.gateway_url()
    }

    /// The base URL of Doppler, for this function.
    #[must_use]
    pub fn doppler_url(&self) -> String {
        self.ports.doppler_url()
    }

    /// Runs this function from the next event on. Where AWS is, it is told; the other URLs are for
    /// its settings.
    pub async fn deploy(&self, function: Function) {
        self.lambda.deploy(Some(function)).await;
    }

    /// Hands an event to the function and waits for its answer.
    pub async fn invoke(&self, payload: impl AsRef<[u8]>) -> Invocation {
        self.lambda.invoke(payload.as_ref().to_vec().into()).await
    }

    /// Hands an event to the function and holds its calls back. One event at a time.
    #[must_use]
    pub fn hold(&self, payload: impl AsRef<[u8]>) -> PendingInvocation {
        let arrivals = self.call_gate.close();
        let (lambda, payload) = (self.lambda.clone(), payload.as_ref().to_vec().into());
        PendingInvocation {
            call_gate: self.call_gate.clone(),
            arrivals,
            waiting: None,
            invocation: Under::Way(tokio::spawn(async move { lambda.invoke(payload).await })),
        }
    }

    /// All that the function has written, line by line.
    #[must_use]
    pub fn function_log(&self) -> String {
        self.lambda.log()
    }

    /// Forgets what the function has written and answered.
    pub fn clear_function_log(&self) {
        self.lambda.clear_log();
    }
}

impl Drop for SteppedFunction {
    fn drop(&mut self) {
        self.lambda.kill_now();
    }
}

/// An invocation each of whose calls waits, before any fault and effect, until it is let go.
/// Dropping it lets go of all.
pub struct PendingInvocation {
    call_gate: CallGate,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    waiting: Option<Arrival>,
    invocation: Under,
}

enum Under {
    Way(JoinHandle<Invocation>),
    Over(Invocation),
}

impl PendingInvocation {
    /// The call that waits, as soon as there is one; none, once the invocation is over.
    ///
    /// # Panics
    ///
    /// If the invocation did.
    pub async fn call(&mut self) -> Option<&Call> {
        if self.waiting.is_none()
            && let Under::Way(invocation) = &mut self.invocation
        {
            tokio::select! {
                Some(arrival) = self.arrivals.recv() => self.waiting = Some(arrival),
                over = invocation => {
                    self.invocation = Under::Over(over.expect("an invocation does not panic"));
                }
            }
        }
        self.waiting.as_ref().map(|arrival| &arrival.call)
    }

    /// Lets the call that waits have its effect, and waits until that is done.
    pub async fn go(&mut self) {
        if let Some(arrival) = self.waiting.take() {
            let (permit, dropped) = oneshot::channel();
            // An error would mean that the caller has gone; and a permit is dropped, never sent.
            drop(arrival.go.send(CallPermit(permit)));
            drop(dropped.await);
        }
    }

    /// Lets all calls go from now on, and waits for the end.
    ///
    /// # Panics
    ///
    /// If the invocation did.
    pub async fn end(mut self) -> Invocation {
        self.let_all_go();
        match &mut self.invocation {
            Under::Way(invocation) => invocation.await.expect("an invocation does not panic"),
            Under::Over(invocation) => invocation.clone(),
        }
    }

    /// Whoever waits finds the other end gone, and goes.
    fn let_all_go(&mut self) {
        self.call_gate.open();
        self.arrivals.close();
        while self.arrivals.try_recv().is_ok() {}
        self.waiting = None;
    }
}

impl Drop for PendingInvocation {
    fn drop(&mut self) {
        self.let_all_go();
    }
}

/// Where calls wait while it is closed. It is open unless a test closes it. A clone is another
/// handle to the same one.
#[derive(Clone, Default)]
pub(crate) struct CallGate {
    arrivals: Arc<Mutex<Option<mpsc::UnboundedSender<Arrival>>>>,
}

/// A call that waits.
struct Arrival {
    call: Call,
    go: oneshot::Sender<CallPermit>,
}

/// Kept by a call until its answer is ready.
pub(crate) struct CallPermit(
    #[allow(dead_code, reason = "its end is what counts")] oneshot::Sender<()>,
);

impl CallGate {
    /// Waits until the call may go.
    pub(crate) async fn acquire(&self, call: &Call) -> Option<CallPermit> {
        let (go, may_go) = oneshot::channel();
        let call = call.clone();
        let arrival = Arrival { call, go };
        self.arrivals.lock().as_ref()?.send(arrival).ok()?;
        may_go.await.ok()
    }

    fn close(&self) -> mpsc::UnboundedReceiver<Arrival> {
        let (sender, arrivals) = mpsc::unbounded_channel();
        *self.arrivals.lock() = Some(sender);
        arrivals
    }

    fn open(&self) {
        *self.arrivals.lock() = None;
    }
}
