//! A client that follows one document, over WebSocket or server-sent events.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::document::Document;
use super::http::{Events, PATIENCE};
use super::json::parse;
use super::query_gen::percent;

/// How a document travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    WebSocket,
    Sse,
}

/// Something the server said.
#[derive(Clone, Debug)]
pub enum Said {
    /// A message with `revision`, `from` and `patch`.
    Patch(Value),
    /// The value of `status`.
    Status(Value),
    /// The value of `error`; the last thing before a close.
    Problem(Value),
    /// Any other message.
    Other(Value),
    /// The connection ended, over WebSocket with this code.
    Closed(Option<u16>),
}

enum Connection {
    WebSocket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
    Sse(Box<Events>),
}

/// A connection to one route.
pub struct Client(Connection);

/// The path with one more pair in its query string.
pub fn with_query(path: &str, name: &str, value: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}{name}={}", percent(value))
}

impl Client {
    /// Connects; `revision` is what the client holds.
    pub async fn open(address: &str, path: &str, transport: Transport, revision: Option<&str>) -> Result<Client> {
        Ok(Client(match transport {
            Transport::WebSocket => {
                let path = revision.map_or(path.to_owned(), |revision| with_query(path, "revision", revision));
                Connection::WebSocket(Box::new(web_socket(address, &path, &[]).await?))
            }
            Transport::Sse => {
                let last = revision.map(|revision| ("Last-Event-ID", revision));
                Connection::Sse(Box::new(Events::open(address, path, last.as_slice()).await?))
            }
        }))
    }

    pub async fn web_socket(address: &str, path: &str) -> Result<Client> {
        Client::open(address, path, Transport::WebSocket, None).await
    }

    /// What the server says next.
    pub async fn next(&mut self) -> Result<Said> {
        match &mut self.0 {
            Connection::WebSocket(stream) => loop {
                match stream.next().await {
                    None => return Ok(Said::Closed(None)),
                    Some(Ok(Message::Text(text))) => return sort(parse(&text)?),
                    Some(Ok(Message::Close(frame))) => return Ok(Said::Closed(frame.map(|frame| frame.code.into()))),
                    Some(Ok(Message::Binary(_))) => bail!("a binary frame"),
                    Some(Ok(_)) => {}
                    Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => return Ok(Said::Closed(None)),
                    Some(Err(Error::Io(_) | Error::Protocol(_))) => return Ok(Said::Closed(None)),
                    Some(Err(error)) => return Err(error.into()),
                }
            },
            Connection::Sse(events) => {
                let Some(event) = events.next().await? else { return Ok(Said::Closed(None)) };
                let message: Value = parse(&event.data).with_context(|| format!("{event:?}"))?;
                let said = sort(message)?;
                let name = match &said {
                    Said::Patch(message) => {
                        ensure!(
                            event.id.as_deref() == message["revision"].as_str(),
                            "id and revision differ: {event:?}"
                        );
                        "patch"
                    }
                    Said::Status(_) => "status",
                    Said::Problem(_) => "problem",
                    _ => bail!("an event of no kind: {event:?}"),
                };
                ensure!(event.event == name, "{event:?} should be called {name}");
                Ok(said)
            }
        }
    }

    /// The next patch; statuses are skipped, anything else is an error.
    pub async fn patch(&mut self) -> Result<Value> {
        let next = async {
            loop {
                match self.next().await? {
                    Said::Patch(message) => return Ok(message),
                    Said::Status(_) => {}
                    other => bail!("a patch was expected, not {other:?}"),
                }
            }
        };
        timeout(PATIENCE, next).await.context("no patch came")?
    }

    /// Follows the document until it is as wanted, for this long at most.
    pub async fn until(&mut self, document: &mut Document, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let follow = async {
            while document.revision.is_none() || !wanted(&document.value) {
                let message = self.patch().await?;
                document.apply(&message).with_context(|| message.to_string())?;
            }
            Ok(())
        };
        match timeout(PATIENCE, follow).await {
            Ok(result) => result,
            Err(_) => bail!("the document did not become as wanted: {}", document.value),
        }
    }

    /// The error and the close code that end this connection.
    pub async fn refusal(&mut self) -> Result<(Value, Option<u16>)> {
        let end = async {
            let mut problem = Value::Null;
            loop {
                match self.next().await? {
                    Said::Problem(error) => problem = error,
                    Said::Closed(code) => return Ok((problem, code)),
                    Said::Status(_) => {}
                    other => bail!("an end was expected, not {other:?}"),
                }
            }
        };
        timeout(PATIENCE, end).await.context("the connection was not closed")?
    }

    /// Whether nothing but statuses comes for a while.
    pub async fn quiet(&mut self, during: Duration) -> Result<()> {
        let patch = async {
            loop {
                match self.next().await? {
                    Said::Status(_) => {}
                    other => return Ok::<Said, anyhow::Error>(other),
                }
            }
        };
        match timeout(during, patch).await {
            Err(_) => Ok(()),
            Ok(said) => bail!("nothing was expected, not {:?}", said?),
        }
    }

    /// Sends a frame over WebSocket.
    pub async fn send(&mut self, message: &Value) -> Result<()> {
        match &mut self.0 {
            Connection::WebSocket(stream) => Ok(stream.send(Message::text(message.to_string())).await?),
            Connection::Sse(_) => bail!("server-sent events go one way"),
        }
    }
}

/// Upgrades to a WebSocket; an answer other than 101 is an error that holds its status.
pub async fn web_socket(
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>> {
    let mut request = format!("ws://{address}{path}").into_client_request()?;
    for (name, value) in headers {
        let name: HeaderName = name.parse()?;
        request.headers_mut().insert(name, HeaderValue::from_str(value)?);
    }
    let (stream, _) = timeout(PATIENCE, connect_async(request)).await.context("no WebSocket")??;
    Ok(stream)
}

fn sort(mut message: Value) -> Result<Said> {
    let object = message.as_object_mut().context("a message is an object")?;
    if object.contains_key("patch") {
        return Ok(Said::Patch(message));
    }
    for (name, wrap) in [("status", Said::Status as fn(Value) -> Said), ("error", Said::Problem)] {
        if let Some(inner) = object.remove(name) {
            return Ok(wrap(inner));
        }
    }
    Ok(Said::Other(message))
}
