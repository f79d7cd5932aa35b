//! A small HTTP client over plain TCP: one request, one answer, and server-sent events as they arrive.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No answer takes longer, except those that a test waits for on purpose.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// By lower-case name.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Result<Value> {
        super::json::parse(std::str::from_utf8(&self.body)?)
            .with_context(|| format!("{} {:?}", self.status, self.text()))
    }

    /// The value of a header; empty without one.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The revision in `ETag`, without its quotes.
    pub fn revision(&self) -> Result<String> {
        let tag = self.header("etag");
        let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        Ok(inner.with_context(|| format!("ETag {tag:?}: {} {}", self.status, self.text()))?.to_owned())
    }

    /// The `code` of an error's body.
    pub fn code(&self) -> String {
        self.json().ok().and_then(|body| Some(body["error"]["code"].as_str()?.to_owned())).unwrap_or_default()
    }
}

/// `GET` of a path at an address such as `127.0.0.1:4000`.
pub async fn get(address: &str, path: &str, headers: &[(&str, &str)]) -> Result<Response> {
    request("GET", address, path, headers, "").await
}

/// Any request; `Host` is the address unless a header says otherwise.
pub async fn request(
    method: &str,
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Response> {
    let exchange = async {
        let mut stream = open(method, address, path, headers, body).await?;
        let (status, headers) = head(&mut stream).await?;
        let mut content = Vec::new();
        let mut body = Body::new(&headers, method, status);
        while let Some(chunk) = body.next(&mut stream).await? {
            content.extend(chunk);
        }
        Ok(Response { status, headers, body: content })
    };
    timeout(PATIENCE, exchange).await.with_context(|| format!("{method} {path} was not answered"))?
}

async fn open(
    method: &str,
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).await?;
    Ok(BufReader::new(stream))
}

async fn head(stream: &mut BufReader<TcpStream>) -> Result<(u16, HashMap<String, String>)> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let status = line.split(' ').nth(1).with_context(|| format!("no HTTP answer: {line:?}"))?.parse()?;
    let mut headers: HashMap<String, String> = HashMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let slot = headers.entry(name.to_ascii_lowercase()).or_default();
        if !slot.is_empty() {
            slot.push_str(", ");
        }
        slot.push_str(value.trim());
    }
    Ok((status, headers))
}

/// How the rest of an answer is delimited.
enum Body {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Body {
    fn new(headers: &HashMap<String, String>, method: &str, status: u16) -> Body {
        if method == "HEAD" || status == 304 || status == 204 {
            return Body::Length(0);
        }
        match headers.get("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => Body::Length(length),
            None if headers.get("transfer-encoding").is_some_and(|how| how.contains("chunked")) => Body::Chunked,
            None => Body::UntilClose,
        }
    }

    /// More of the body; `None` at its end.
    async fn next(&mut self, stream: &mut BufReader<TcpStream>) -> Result<Option<Vec<u8>>> {
        match self {
            Body::Length(0) => Ok(None),
            Body::Length(length) => {
                let mut content = vec![0; *length];
                stream.read_exact(&mut content).await?;
                *length = 0;
                Ok(Some(content))
            }
            Body::Chunked => {
                let mut line = String::new();
                if stream.read_line(&mut line).await? == 0 {
                    bail!("the answer ends inside its body");
                }
                let length =
                    usize::from_str_radix(line.trim(), 16).with_context(|| format!("chunk length {line:?}"))?;
                let mut content = vec![0; length + 2];
                stream.read_exact(&mut content).await?;
                content.truncate(length);
                Ok((length > 0).then_some(content))
            }
            Body::UntilClose => {
                let content = stream.fill_buf().await?.to_vec();
                stream.consume(content.len());
                Ok((!content.is_empty()).then_some(content))
            }
        }
    }
}

/// Events that may wait to be taken; what comes after them waits in the connection, as with any client that is slow.
const WAITING: usize = 100;

/// A stream of server-sent events. A task reads it, so that waiting for an event can be given up at any time.
pub struct Events {
    pub headers: HashMap<String, String>,
    events: mpsc::Receiver<Result<Event>>,
    reading: JoinHandle<()>,
}

/// One server-sent event.
#[derive(Debug, Clone)]
pub struct Event {
    pub event: String,
    pub id: Option<String>,
    pub data: String,
}

impl Events {
    /// Opens a stream; an answer other than 200 is an error that holds its status and body.
    pub async fn open(address: &str, path: &str, headers: &[(&str, &str)]) -> Result<Events> {
        let mut all = vec![("Accept", "text/event-stream")];
        all.extend(headers);
        let opening = async {
            let mut stream = open("GET", address, path, &all, "").await?;
            let (status, headers) = head(&mut stream).await?;
            let mut body = Body::new(&headers, "GET", status);
            if status != 200 {
                let mut content = Vec::new();
                while let Some(chunk) = body.next(&mut stream).await? {
                    content.extend(chunk);
                }
                bail!("{status} {}", String::from_utf8_lossy(&content));
            }
            ensure!(
                headers.get("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")),
                "{headers:?}"
            );
            let (sender, events) = mpsc::channel(WAITING);
            let reading = tokio::spawn(async move {
                if let Err(error) = read_events(stream, body, &sender).await {
                    let _ = sender.send(Err(error)).await;
                }
            });
            Ok(Events { headers, events, reading })
        };
        timeout(PATIENCE, opening).await.with_context(|| format!("no events at {path}"))?
    }

    /// The next event; comments are skipped. `None` at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        self.events.recv().await.transpose()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn read_events(
    mut stream: BufReader<TcpStream>,
    mut body: Body,
    sender: &mpsc::Sender<Result<Event>>,
) -> Result<()> {
    let mut text: Vec<u8> = Vec::new();
    while let Ok(Some(more)) = body.next(&mut stream).await {
        text.extend(more);
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = text.drain(..end + 2).collect();
            if let Some(event) = parse(&String::from_utf8(block)?) {
                let _ = sender.send(Ok(event)).await;
            }
        }
    }
    Ok(())
}

/// An event from its lines; `None` if there is only a comment.
fn parse(block: &str) -> Option<Event> {
    let mut event = Event { event: "message".into(), id: None, data: String::new() };
    let mut seen = false;
    for line in block.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => event.event = value.into(),
            "id" => event.id = Some(value.into()),
            "data" => {
                if seen {
                    event.data.push('\n');
                }
                event.data.push_str(value);
            }
            _ => continue,
        }
        seen |= name == "data";
    }
    seen.then_some(event)
}
