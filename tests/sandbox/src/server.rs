//! The accept loop: HTTP/1.1 on loopback. A handler may drop the connection instead of responding.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Returned by a handler that sends no response: the connection is dropped.
#[derive(Debug)]
pub(crate) struct Dropped;

/// Another process listens on the port.
#[derive(Debug)]
pub struct PortInUse(
    /// The port.
    pub u16,
);

impl fmt::Display for PortInUse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "port {} is in use", self.0)
    }
}

impl std::error::Error for PortInUse {}

/// Closes a port for a while.
#[derive(Clone, Default)]
pub(crate) struct Switch {
    closed: Arc<watch::Sender<Option<Instant>>>,
}

impl Switch {
    /// Closes every connection, and refuses new ones for `pause`.
    pub(crate) fn off(&self, pause: Duration) {
        self.closed.send_replace(Some(Instant::now() + pause));
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the connection was dropped on purpose")
    }
}

impl std::error::Error for Dropped {}

/// The result of a handler.
pub(crate) type Answer = Result<Response<Body>, Dropped>;

/// A listening port. Dropping it closes the port and every connection.
pub(crate) struct Server {
    address: SocketAddr,
    _loops: JoinSet<()>,
}

impl Server {
    /// Starts a server on 127.0.0.1, and on `also` if given. `port` 0 means any free port.
    ///
    /// The server calls `handler` for each request unless it is switched off.
    pub(crate) async fn start<H, F>(
        port: u16,
        also: Option<IpAddr>,
        switch: &Switch,
        handler: H,
    ) -> anyhow::Result<Server>
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let first = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let address = first
            .local_addr()
            .context("cannot read the port of a new listener")?;
        let mut listeners = vec![first];
        if let Some(also) = also {
            listeners.push(bind(SocketAddr::from((also, address.port()))).await?);
        }
        let mut loops = JoinSet::new();
        for listener in listeners {
            let switch = switch.closed.subscribe();
            loops.spawn(accept(listener, switch, handler.clone()));
        }
        Ok(Server {
            address,
            _loops: loops,
        })
    }

    /// Returns the loopback address with the port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => PortInUse(address.port()).into(),
            _ => anyhow::Error::new(error).context(format!("cannot listen on {address}")),
        })
}

/// Refuses connections until then. The port stays bound, so that no other process takes it.
async fn closed_until(listener: TcpListener, until: Option<Instant>) -> TcpListener {
    const BACKLOG: u32 = 1024;
    let address = listener.local_addr().expect("the listener is bound");
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .expect("a socket can be created");
    socket
        .set_reuseaddr(true)
        .expect("the socket option can be set");
    drop(listener);
    // A child process that is just starting holds the listener until it executes its program.
    let mut tries = 0;
    while let Err(error) = socket.bind(address) {
        tries += 1;
        assert!(tries < 5_000, "{address} cannot be bound again: {error}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    if let Some(until) = until {
        tokio::time::sleep_until(until).await;
    }
    socket.listen(BACKLOG).expect("the port stayed bound")
}

async fn accept<H, F>(
    mut listener: TcpListener,
    mut switch: watch::Receiver<Option<Instant>>,
    handler: H,
) where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Ok(()) = switch.changed() => {
                let until = *switch.borrow_and_update();
                connections.shutdown().await;
                listener = closed_until(listener, until).await;
                continue;
            }
        };
        // An error here concerns one connection that was closed before it was accepted.
        if let Ok((stream, _)) = accepted {
            // Without TCP_NODELAY a short response waits for the acknowledgement of the one before.
            stream.set_nodelay(true).ok();
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(handler.clone()));
            connections.spawn(async move {
                // Errors come from clients that disconnect and from connections that a fault drops.
                connection.await.ok();
            });
        }
        while connections.try_join_next().is_some() {}
    }
}
