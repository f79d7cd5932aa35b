//! Connections: how many there may be, and which are given up.
//!
//! A peer that takes nothing of what is written, or says nothing and is told nothing, would hold its connection for ever, whatever
//! protocol it speaks; so this is decided below all of them.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};

use super::{Limits, Timing};

/// Accepts and counts connections.
pub struct Listener {
    inner: TcpListener,
    counts: Arc<Mutex<Counts>>,
    limits: Limits,
    stall: Duration,
    idle: Duration,
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// The other end of a connection, as handlers see it.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The client has more connections than it may, or all have together.
    pub too_many: bool,
}

/// A connection that gives up on a peer that does.
pub struct Connection {
    stream: TcpStream,
    place: Place,
    stall: Duration,
    idle: Duration,
    /// Runs while the peer takes nothing of what is to be written.
    stalled: Option<Pin<Box<Sleep>>>,
    /// When a byte last moved, and the timer that looks at it.
    moved: Instant,
    idling: Pin<Box<Sleep>>,
}

/// A connection's entry in the counts.
struct Place {
    counts: Arc<Mutex<Counts>>,
    client: IpAddr,
    too_many: bool,
}

impl Listener {
    pub fn new(inner: TcpListener, limits: &Limits, timing: &Timing) -> Self {
        // A WebSocket is given the time to tell its client.
        let (stall, idle) = (timing.stall * 2, timing.idle);
        Listener { inner, counts: Arc::default(), limits: limits.clone(), stall, idle }
    }

    /// Counts a connection; `None` if there are so many that not even a refusal is affordable.
    fn admit(&self, address: IpAddr) -> Option<Place> {
        let client = client_of(address);
        let mut counts = self.counts.lock().expect("no code panics while it holds this lock");
        if counts.all >= self.limits.connections.saturating_mul(2) {
            return None;
        }
        counts.all += 1;
        let of_client = counts.by_client.entry(client).or_default();
        *of_client += 1;
        let too_many = *of_client > self.limits.connections_per_client || counts.all > self.limits.connections;
        Some(Place { counts: self.counts.clone(), client, too_many })
    }
}

/// An IPv6 client has a whole network of 64 bits to choose addresses from.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        other => other,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().expect("no code panics while it holds this lock");
        counts.all -= 1;
        if let Some(of_client) = counts.by_client.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                counts.by_client.remove(&self.client);
            }
        }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // Axum's own, which waits a moment when no file descriptor is left.
            let (stream, address) = axum::serve::Listener::accept(&mut self.inner).await;
            let Some(place) = self.admit(address.ip()) else { continue };
            // A patch is small and must leave at once.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
            let idling = Box::pin(tokio::time::sleep(self.idle));
            let (stall, idle, moved) = (self.stall, self.idle, Instant::now());
            return (Connection { stream, place, stall, idle, stalled: None, moved, idling }, address);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

impl Connected<IncomingStream<'_, Listener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Peer { too_many: stream.io().place.too_many }
    }
}

impl Connection {
    /// Notes whether bytes moved; an error if none has for too long.
    fn wrote<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            self.moved = Instant::now();
            return result;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.stall)));
        stalled.as_mut().poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
    }

    fn check_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.idling.as_mut().poll(cx).is_ready() {
            let until = self.moved + self.idle;
            if until <= Instant::now() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing moves on this connection")));
            }
            self.idling.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if result.is_ready() {
            this.moved = Instant::now();
            return result;
        }
        this.check_idle(cx)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
