//! HTTP in front of the engine: documents on the routes of the queries, by GET, server-sent events and WebSocket, and the
//! operator's own port.
//!
//! Routes are not axum's: queries come and go while the server runs, so one handler hands every path to the engine. Every
//! request passes the [`gate`] first, which knows who may connect. Streams end when the server does; a GET in flight is
//! finished.

mod admin;
mod answer;
mod documents;
mod front;
mod gate;
mod listener;
mod metrics;
mod sse;
mod websocket;

#[cfg(test)]
pub(crate) mod tests;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use front::Shared;
use listener::{Listener, Peer};

pub use front::Front;
pub use gate::{Gate, Hosts};

/// What the server needs to know.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where clients connect, `host:port`; port 0 takes a free one.
    pub listen: String,
    /// Where the operator connects; none: nowhere.
    pub admin: Option<String>,
    pub auth: Auth,
    /// Origins besides the server's own whose pages may connect, such as `https://app.example.com`.
    pub origins: Vec<String>,
    pub limits: Limits,
    pub timing: Timing,
}

/// Who a client has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nothing is written about it: anyone, but only on loopback.
    #[default]
    Absent,
    /// `auth: none`: anyone, anywhere.
    None,
}

/// How much clients may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections in all. Those beyond are told `too_many`; beyond twice as many nobody is answered.
    pub connections: usize,
    /// Connections of one address (of an IPv6 network of 64 bits).
    pub connections_per_client: usize,
    /// What may wait for one client.
    pub queued_bytes: usize,
    /// A frame that a client sends.
    pub frame_bytes: usize,
    /// Path and query string.
    pub url_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 20_000,
            // All clients behind a reverse proxy, or of a load test, have one address.
            connections_per_client: 20_000,
            queued_bytes: 4 << 20,
            frame_bytes: 64 << 10,
            url_bytes: 16 << 10,
        }
    }
}

/// How long the server waits for what.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Between two signs of life on an idle stream.
    pub ping: Duration,
    /// A WebSocket client that says nothing for so long is gone: it answers pings if it lives.
    pub silence: Duration,
    /// How long a client may take none of the bytes that wait for it.
    pub stall: Duration,
    /// A connection on which nothing moves for so long is closed.
    pub idle: Duration,
    /// How long a closing WebSocket waits for the client's own close.
    pub closing: Duration,
    /// How long a shutdown waits for what is in flight.
    pub grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            ping: Duration::from_secs(15),
            silence: Duration::from_secs(45),
            stall: Duration::from_secs(30),
            idle: Duration::from_secs(120),
            closing: Duration::from_secs(3),
            grace: Duration::from_secs(10),
        }
    }
}

impl ServerSettings {
    /// Settings with the defaults for everything but the address.
    pub fn on(listen: impl Into<String>) -> Self {
        ServerSettings {
            listen: listen.into(),
            admin: None,
            auth: Auth::Absent,
            origins: Vec::new(),
            limits: Limits::default(),
            timing: Timing::default(),
        }
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot listen on {address}: is another program using it?")]
    Listen {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "{address} is reachable from other machines, and nothing says who may connect: write `auth: none` to let anyone in, or \
         listen on 127.0.0.1"
    )]
    Exposed { address: SocketAddr },
    #[error("origin {0:?} is not of the form https://app.example.com or http://localhost:3000")]
    Origin(String),
    #[error("host {0:?} is not of the form app.example.com, without scheme and port")]
    Host(String),
}

/// A server that has its ports and answers nobody yet.
pub struct Server {
    clients: TcpListener,
    admin: Option<TcpListener>,
    gate: Gate,
    admin_gate: Gate,
}

impl Server {
    /// Takes the ports. From here on clients can connect; they wait until [`Server::serve`].
    pub async fn bind(settings: &ServerSettings) -> Result<Self, ServerError> {
        let clients = listen(&settings.listen, settings.auth).await?;
        let admin = match &settings.admin {
            Some(address) => Some(listen(address, settings.auth).await?),
            None => None,
        };
        let gate = Gate::new(hosts(&clients), &settings.origins, settings.limits.url_bytes)?;
        let admin_gate = Gate::new(admin.as_ref().map_or(Hosts::Any, hosts), &[], settings.limits.url_bytes)?;
        Ok(Server { clients, admin, gate, admin_gate })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.clients.local_addr().expect("a bound listener has an address")
    }

    /// Where the operator connects.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.local_addr().expect("a bound listener has an address"))
    }

    /// Serves `pages`, which go before the routes of queries, and documents until `shutdown`. Then ends every stream,
    /// finishes what is in flight, and returns.
    pub async fn serve(self, front: &Front, pages: Router, shutdown: impl Future<Output = ()>) {
        let mut servers = JoinSet::new();
        servers.spawn(run(self.clients, front.router(self.gate, pages), front.shared.clone()));
        if let Some(admin) = self.admin {
            servers.spawn(run(admin, front.admin_router(self.admin_gate), front.shared.clone()));
        }
        tokio::select! {
            () = shutdown => {}
            () = front.shared.ending.cancelled() => {}
        }
        front.end(async { while servers.join_next().await.is_some() {} }).await;
    }
}

async fn run(listener: TcpListener, router: Router, shared: Arc<Shared>) {
    let listener = Listener::new(listener, &shared.limits, &shared.timing);
    let service = router.into_make_service_with_connect_info::<Peer>();
    let ended = shared.ending.clone().cancelled_owned();
    // It never fails: accepting is tried again, and a connection's error is its own.
    let _ = axum::serve(listener, service).with_graceful_shutdown(ended).await;
}

/// Nobody but this machine reaches a loopback port; any other was opened on purpose.
fn hosts(listener: &TcpListener) -> Hosts {
    let loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    if loopback { Hosts::Loopback } else { Hosts::Any }
}

async fn listen(address: &str, auth: Auth) -> Result<TcpListener, ServerError> {
    let failed = |source| ServerError::Listen { address: address.into(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    match auth {
        Auth::Absent if !address.ip().is_loopback() => Err(ServerError::Exposed { address }),
        Auth::Absent | Auth::None => Ok(listener),
    }
}
