//! A Lambda runtime API without events: it only records when a function polls it.

use std::io::{Read as _, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// Long enough for a start under callgrind on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The runtime API for one process.
pub(crate) struct Runtime {
    address: SocketAddr,
    request: Receiver<Result<Request>>,
}

/// The first request. The function waits for the answer until it is dropped.
pub(crate) struct Request {
    /// When it had arrived completely.
    pub(crate) at: Instant,
    head: Vec<u8>,
    _connection: TcpStream,
}

impl Runtime {
    /// Listens on any free port.
    pub(crate) fn start() -> Result<Runtime> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (sender, request) = channel();
        // A thread of its own, so that waiting for a function that never polls can end.
        thread::spawn(move || sender.send(accept(&listener)));
        Ok(Runtime { address, request })
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Waits for the first request for work.
    pub(crate) fn first_request(&self) -> anyhow::Result<Request> {
        let request = self.request.recv_timeout(PATIENCE);
        let request = request.context("the function did not ask for work")??;
        ensure!(
            request
                .head
                .starts_with(b"GET /2018-06-01/runtime/invocation/next "),
            "the function made another request: {}",
            String::from_utf8_lossy(&request.head)
        );
        Ok(request)
    }
}

fn accept(listener: &TcpListener) -> Result<Request> {
    let (mut connection, _) = listener.accept()?;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        match connection.read(&mut piece)? {
            0 => break,
            length => head.extend_from_slice(&piece[..length]),
        }
    }
    Ok(Request {
        at: Instant::now(),
        head,
        _connection: connection,
    })
}
