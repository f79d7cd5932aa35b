//! The floor: the least that has to happen between a commit and a client.
//!
//! A process of its own (this program, started again), as the server is one, on the same kind of runtime: a replication reader that
//! writes each changed row, as soon as its message is there, to the WebSockets of those it concerns. It plans nothing,
//! keeps nothing, computes nothing; who is concerned it knows by the world's arithmetic.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use anyhow::{Context, Result};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use pgwire_replication::{ReplicationClient, ReplicationConfig, ReplicationEvent};
use sangre::source::pgoutput::{self, Cell, Message as Change, Tuple};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use super::world::World;

/// Tells this program to be the floor: the database's URL, and the number of users in the ring.
const VARIABLE: &str = "SANGRE_BENCH_FLOOR";

const PUBLICATION: &str = "floor";

/// The floor as the benchmark holds it.
pub struct Floor {
    child: Child,
    /// Where clients connect; the path names the user.
    pub address: String,
}

impl Floor {
    /// Starts a floor for a database with this world.
    pub async fn start(url: &str, world: World) -> Result<Floor> {
        super::world::connect(url)
            .await?
            .batch_execute(&format!("CREATE PUBLICATION {PUBLICATION} FOR TABLE places"))
            .await?;
        let users = match world {
            World::Demo => 0,
            World::Ring(users) => users,
        };
        let mut child = Command::new(std::env::current_exe()?)
            .env(VARIABLE, format!("{users} {url}"))
            // It ends when this closes, however this process ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the floor")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("piped")?).read_line(&mut line)?;
        anyhow::ensure!(!line.trim().is_empty(), "the floor did not start");
        Ok(Floor { child, address: line.trim().to_owned() })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Is the floor, if this process was started as one. Returns whether it was.
pub fn is_floor() -> Result<bool> {
    let Ok(told) = std::env::var(VARIABLE) else { return Ok(false) };
    let (users, url) = told.split_once(' ').context("two words")?;
    let world = match users.parse()? {
        0 => World::Demo,
        users => World::Ring(users),
    };
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    // As the server's.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(url, world))?;
    Ok(true)
}

type Socket = WebSocketStream<TcpStream>;
type Sinks = Arc<Mutex<HashMap<u32, Vec<SplitSink<Socket, Message>>>>>;

async fn serve(url: &str, world: World) -> Result<()> {
    sangre::source::install_provider();
    let mut replication = replication(url).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", listener.local_addr()?).and_then(|()| out.flush())?;
    let sinks = Sinks::default();
    tokio::spawn(accept(listener, sinks.clone()));
    while let Some(event) = replication.recv().await? {
        match event {
            ReplicationEvent::XLogData { data, .. } => {
                if let Change::Update { new, .. } = pgoutput::parse(&data)? {
                    push(&new, world, &sinks).await?;
                }
            }
            ReplicationEvent::Commit { end_lsn, .. } => replication.update_applied_lsn(end_lsn),
            _ => {}
        }
    }
    anyhow::bail!("the stream ended")
}

/// Opens a stream, as the server does it.
async fn replication(url: &str) -> Result<ReplicationClient> {
    let config: tokio_postgres::Config = url.parse()?;
    let (user, database) = (config.get_user().context("a user")?, config.get_dbname().context("a database")?);
    let password = String::from_utf8(config.get_password().unwrap_or_default().to_vec())?;
    let port = config.get_ports().first().copied().context("a port")?;
    let config = ReplicationConfig::new("127.0.0.1", user, password, database, "floor", PUBLICATION)
        .with_port(port)
        .with_status_interval(std::time::Duration::from_millis(250));
    let mut client = ReplicationClient::connect_gated(config).await?;
    client.simple_query("CREATE_REPLICATION_SLOT floor TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT").await?;
    client.start().await?;
    client.wait_started().await?;
    Ok(client)
}

async fn accept(listener: TcpListener, sinks: Sinks) {
    while let Ok((stream, _)) = listener.accept().await {
        let sinks = sinks.clone();
        tokio::spawn(async move {
            // Whoever leaves is noticed when something is written.
            let _ = greet(stream, sinks).await;
        });
    }
}

async fn greet(stream: TcpStream, sinks: Sinks) -> Result<()> {
    stream.set_nodelay(true)?;
    let path = StdMutex::new(String::new());
    #[expect(clippy::result_large_err, reason = "the library's type")]
    let note = |request: &Request, response: Response| {
        *path.lock().unwrap_or_else(PoisonError::into_inner) = request.uri().path().to_owned();
        Ok(response)
    };
    let socket = accept_hdr_async(stream, note).await?;
    let user = path.into_inner()?.trim_start_matches('/').parse()?;
    let (sink, mut stream) = socket.split();
    sinks.lock().await.entry(user).or_default().push(sink);
    while let Some(Ok(_)) = stream.next().await {}
    sinks.lock().await.remove(&user);
    Ok(())
}

/// Writes the row as text to everybody it concerns.
async fn push(row: &Tuple<'_>, world: World, sinks: &Sinks) -> Result<()> {
    let cells = row.iter().map(|cell| match cell {
        Cell::Text(text) => *text,
        _ => "null",
    });
    let text = Utf8Bytes::from(cells.collect::<Vec<_>>().join(","));
    let place = text.split(',').next().unwrap_or_default().parse()?;
    let mut sinks = sinks.lock().await;
    for user in world.touched(place) {
        for sink in sinks.get_mut(&user).into_iter().flatten() {
            sink.send(Message::Text(text.clone())).await?;
        }
    }
    Ok(())
}
