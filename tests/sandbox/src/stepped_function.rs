//! A second Lambda over the same services, whose calls a test releases one by one. With two of them
//! a test decides the order of all calls.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::call_log::Call;
use crate::lambda::{Function, Invocation, Lambda};
use crate::sandbox::OpenPorts;

/// A Lambda with its own ports to the sandbox's services, so that each call can be attributed to
/// it.
///
/// Dropping it closes its ports and kills its function.
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

    /// Returns the base URL of the API that requires a key, for this function.
    #[must_use]
    pub fn gateway_url(&self) -> String {
        self.ports.gateway_url()
    }

    /// Returns the base URL of Doppler, for this function.
    #[must_use]
    pub fn doppler_url(&self) -> String {
        self.ports.doppler_url()
    }

    /// Runs this function from the next event on.
    ///
    /// It gets the AWS endpoint automatically; the other URLs belong into its settings.
    pub async fn deploy(&self, function: Function) {
        self.lambda.deploy(Some(function)).await;
    }

    /// Invokes the function with an event and waits for its result.
    pub async fn invoke(&self, payload: impl AsRef<[u8]>) -> Invocation {
        self.lambda.invoke(payload.as_ref().to_vec().into()).await
    }

    /// Invokes the function with an event and holds its calls back. Only one invocation at a time.
    #[must_use]
    pub fn hold(&self, payload: impl AsRef<[u8]>) -> PendingInvocation {
        let arrivals = self.call_gate.close();
        let (lambda, payload) = (self.lambda.clone(), payload.as_ref().to_vec().into());
        PendingInvocation {
            call_gate: self.call_gate.clone(),
            arrivals,
            waiting: None,
            invocation: Progress::Running(tokio::spawn(
                async move { lambda.invoke(payload).await },
            )),
        }
    }

    /// Returns everything that the function has written, line by line.
    #[must_use]
    pub fn function_log(&self) -> String {
        self.lambda.log()
    }

    /// Clears what the function has written.
    pub fn clear_function_log(&self) {
        self.lambda.clear_log();
    }
}

impl Drop for SteppedFunction {
    fn drop(&mut self) {
        self.lambda.kill_now();
    }
}

/// An invocation whose calls wait until the test releases them, before any fault and effect.
///
/// Dropping it releases all calls.
pub struct PendingInvocation {
    call_gate: CallGate,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    waiting: Option<Arrival>,
    invocation: Progress,
}

enum Progress {
    Running(JoinHandle<Invocation>),
    Ended(Invocation),
}

impl PendingInvocation {
    /// Returns the waiting call as soon as there is one, or `None` once the invocation has ended.
    ///
    /// # Panics
    ///
    /// Panics if the invocation panicked.
    pub async fn call(&mut self) -> Option<&Call> {
        if self.waiting.is_none()
            && let Progress::Running(invocation) = &mut self.invocation
        {
            tokio::select! {
                Some(arrival) = self.arrivals.recv() => self.waiting = Some(arrival),
                over = invocation => {
                    self.invocation = Progress::Ended(over.expect("an invocation does not panic"));
                }
            }
        }
        self.waiting.as_ref().map(|arrival| &arrival.call)
    }

    /// Releases the waiting call, and waits until it has had its effect.
    pub async fn go(&mut self) {
        if let Some(arrival) = self.waiting.take() {
            let (permit, dropped) = oneshot::channel();
            // An error means that the caller has gone. A permit is only ever dropped, never sent.
            drop(arrival.go.send(CallPermit(permit)));
            drop(dropped.await);
        }
    }

    /// Releases all calls from now on, and waits for the end.
    ///
    /// # Panics
    ///
    /// Panics if the invocation panicked.
    pub async fn end(mut self) -> Invocation {
        self.release_all();
        match &mut self.invocation {
            Progress::Running(invocation) => {
                invocation.await.expect("an invocation does not panic")
            }
            Progress::Ended(invocation) => invocation.clone(),
        }
    }

    /// Opens the gate and drops the waiting call's sender, which releases the call.
    fn release_all(&mut self) {
        self.call_gate.open();
        self.arrivals.close();
        while self.arrivals.try_recv().is_ok() {}
        self.waiting = None;
    }
}

impl Drop for PendingInvocation {
    fn drop(&mut self) {
        self.release_all();
    }
}

/// A gate that holds calls back while it is closed. It is open unless a test closes it.
///
/// A clone is a handle to the same gate.
#[derive(Clone, Default)]
pub(crate) struct CallGate {
    arrivals: Arc<Mutex<Option<mpsc::UnboundedSender<Arrival>>>>,
}

/// A waiting call.
struct Arrival {
    call: Call,
    go: oneshot::Sender<CallPermit>,
}

/// A permit that a call keeps until its response is ready.
pub(crate) struct CallPermit(
    #[allow(dead_code, reason = "its end is what counts")] oneshot::Sender<()>,
);

impl CallGate {
    /// Waits until the call is released.
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
