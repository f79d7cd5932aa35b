//! The server over real loopback sockets, in front of documents that are made up.

pub(crate) mod fake;
mod http;
mod streams;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Front, Server, ServerSettings};
use fake::Fake;

/// A server that runs, and what drives it.
struct Running {
    address: SocketAddr,
    admin: SocketAddr,
    fake: Arc<Fake>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn start() -> Running {
    start_with(|_| ()).await
}

async fn start_with(change: impl FnOnce(&mut ServerSettings)) -> Running {
    let mut settings = ServerSettings::on("127.0.0.1:0");
    settings.admin = Some("127.0.0.1:0".into());
    settings.origins = vec!["https://app.example.com".into()];
    settings.timing.grace = Duration::from_secs(2);
    change(&mut settings);
    let server = Server::bind(&settings).await.expect("a free port");
    let (address, admin) = (server.address(), server.admin_address().expect("an admin port"));
    let (fake, shutdown) = (Arc::new(Fake::default()), CancellationToken::new());
    let front = Front::new(fake.clone(), settings.limits, settings.timing);
    let ended = shutdown.clone().cancelled_owned();
    let task = tokio::spawn(async move { server.serve(&front, axum::Router::new(), ended).await });
    Running { address, admin, fake, shutdown, task }
}

/// An HTTP answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value)
    }
}

async fn get(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Answer {
    request(address, "GET", target, headers).await
}

async fn request(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut stream = send(address, method, target, headers).await;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let (status, headers) = read_head(head);
    Answer { status, headers, body: body.into() }
}

/// Sends a request and leaves the answer to be read.
async fn send(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)]) -> TcpStream {
    let mut text = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        text += &format!("Host: {address}\r\n");
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(format!("{text}\r\n").as_bytes()).await.expect("sent");
    stream
}

fn read_head(head: &str) -> (u16, HashMap<String, String>) {
    let mut lines = head.lines();
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line").parse().expect("a status");
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    (status, lines.filter_map(pair).collect())
}
