//! WebSocket clients that note when each write's number reached them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::statistics::Sample;
use super::world::World;
use super::writer::{Write, numbers};

/// How long the last patches of a block may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Clients, one for each of some users.
pub struct Clients {
    arrivals: Arc<Arrivals>,
    reading: JoinSet<Result<()>>,
}

#[derive(Default)]
struct Arrivals {
    /// By user and number, when it arrived first.
    seen: Mutex<HashMap<(u32, u32), Instant>>,
    /// How many bytes of messages arrived.
    bytes: Mutex<usize>,
    more: Notify,
}

/// A WebSocket to a path of an address.
pub async fn open(address: &str, path: &str) -> Result<WebSocketStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (socket, _) = client_async(format!("ws://{address}{path}"), stream).await?;
    Ok(socket)
}

/// Reads a document's first message.
pub async fn first(socket: &mut WebSocketStream<TcpStream>) -> Result<String> {
    loop {
        match socket.next().await.context("the connection ended")?? {
            Message::Text(text) if text.starts_with("{\"revision\"") => return Ok(text.as_str().into()),
            Message::Text(text) => bail!("a document was expected, not {text}"),
            Message::Close(frame) => bail!("closed: {frame:?}"),
            _ => {}
        }
    }
}

impl Clients {
    /// Connects a client for each user, a few at a time; `greeted`: the other end begins with a document.
    pub async fn connect(
        address: &str,
        path: impl Fn(u32) -> String,
        users: impl Iterator<Item = u32>,
        greeted: bool,
    ) -> Result<Clients> {
        let arrivals = Arc::<Arrivals>::default();
        let mut reading = JoinSet::new();
        for user in users {
            let mut socket = timeout(PATIENCE, open(address, &path(user))).await.context("a WebSocket")??;
            if greeted {
                timeout(PATIENCE, first(&mut socket)).await.with_context(|| format!("no document for {user}"))??;
            }
            reading.spawn(read(user, socket, arrivals.clone()));
        }
        Ok(Clients { arrivals, reading })
    }

    /// Waits until every write has reached everybody it concerns: how long each took, from its scheduled time.
    pub async fn latencies(&mut self, world: World, writes: &[Write]) -> Result<Sample> {
        let expected: Vec<((u32, u32), Instant)> = writes.iter().flat_map(|write| concerned(world, *write)).collect();
        let mut missing: Vec<(u32, u32)> = expected.iter().map(|(pair, _)| *pair).collect();
        let complete = async {
            loop {
                let more = self.arrivals.more.notified();
                {
                    let seen = self.arrivals.seen.lock().unwrap_or_else(PoisonError::into_inner);
                    missing.retain(|pair| !seen.contains_key(pair));
                }
                if missing.is_empty() {
                    return;
                }
                more.await;
            }
        };
        let over = timeout(PATIENCE, complete).await.is_err();
        while let Some(ended) = self.reading.try_join_next() {
            ended?.context("a client ended")?;
        }
        if over {
            bail!("{} patches never came, such as user {} write {}", missing.len(), missing[0].0, missing[0].1);
        }
        let mut seen = self.arrivals.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let latency = |(pair, scheduled): &((u32, u32), Instant)| seen[pair].saturating_duration_since(*scheduled);
        let latencies = Sample::new(expected.iter().map(latency).collect());
        seen.clear();
        Ok(latencies)
    }

    /// How many bytes of messages have arrived in all.
    pub fn bytes(&self) -> usize {
        *self.arrivals.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The users a write concerns, with its number; and when it was to be sent.
fn concerned(world: World, write: Write) -> impl Iterator<Item = ((u32, u32), Instant)> {
    world.touched(write.place).into_iter().map(move |user| ((user, write.number), write.scheduled))
}

async fn read(user: u32, mut socket: WebSocketStream<TcpStream>, arrivals: Arc<Arrivals>) -> Result<()> {
    while let Some(message) = socket.next().await {
        let now = Instant::now();
        match message? {
            Message::Text(text) => {
                let mut seen = arrivals.seen.lock().unwrap_or_else(PoisonError::into_inner);
                for number in numbers(&text) {
                    seen.entry((user, number)).or_insert(now);
                }
                drop(seen);
                *arrivals.bytes.lock().unwrap_or_else(PoisonError::into_inner) += text.len();
                arrivals.more.notify_waiters();
            }
            Message::Close(frame) => bail!("the client of user {user} was closed: {frame:?}"),
            _ => {}
        }
        // What the protocol answers by itself, such as a pong, waits to be sent.
        socket.flush().await?;
    }
    bail!("the connection of user {user} ended")
}
