//! WebSocket: three loops of one task around an outbox. One listens to the client, one pulls from the session, one writes.
//!
//! A socket is accepted first and told what is wrong then, since a browser shows its page neither status nor body of a refused
//! upgrade. (A foreign Origin has been refused before.) Frames are written whole or not at all: a loop may be dropped while it
//! writes, and what is sent next follows on the rest of its frame.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::header::{self, HeaderMap};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::time::{MissedTickBehavior, timeout};
use tracing::Instrument as _;

use super::answer;
use super::front::{Shared, unless_cut};
use crate::driver::handle::{Code, Problem};
use crate::session::protocol::{self, ClientMessage};
use crate::session::{Format, Full, Outbox, Request, Session, Told};

type Sink = SplitSink<WebSocket, Message>;
type Stream = SplitStream<WebSocket>;

/// The slowest line on which a large document still counts as on its way.
const SLOWEST_BYTES_PER_SECOND: usize = 16 << 10;

/// What is read of a client at once. It says little, and this stays allocated for as long as it is connected.
const READ_BYTES: usize = 512;

/// How a conversation ends.
enum End {
    /// The connection has ended.
    Gone,
    /// The client has said that it closes.
    Closed,
    /// Nothing was heard of it for too long.
    Silent,
    /// It is told why.
    Told(Problem),
}

/// Whether the request asks for a WebSocket.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Accepts the socket; what was asked is looked at afterwards.
pub async fn upgrade(shared: Arc<Shared>, mut parts: Parts, asked: Result<Request, Problem>) -> Response {
    let path = parts.uri.path().to_owned();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            let response = rejection.into_response();
            let problem = Problem { code: Code::BadRequest, message: "not a valid WebSocket upgrade".into() };
            let (parts, _) = response.into_parts();
            let body = protocol::problem_message(&problem, &answer::report(&problem, &path));
            return Response::from_parts(parts, Body::from(body));
        }
    };
    // Taken now, so that a shutdown cannot miss a socket that is between the answer and its first message.
    let tracked = shared.open.token();
    let limit = shared.limits.frame_bytes;
    let upgrade = upgrade.max_message_size(limit).max_frame_size(limit).read_buffer_size(READ_BYTES);
    upgrade.on_upgrade(move |socket| async move {
        let _tracked = tracked;
        // Boxed: else the task has room for it three times, as an argument on its way.
        unless_cut(&shared, Box::pin(talk(&shared, socket, asked, &path))).await;
    })
}

async fn talk(shared: &Shared, socket: WebSocket, asked: Result<Request, Problem>, path: &str) {
    let (mut sink, mut stream) = socket.split();
    let end = match asked {
        Ok(request) => converse(shared, request, &mut sink, &mut stream).await,
        Err(problem) => End::Told(problem),
    };
    let close = match end {
        End::Gone => return,
        End::Closed => {
            // The answer to its close is sent by reading on.
            let _ = timeout(shared.timing.closing, rest(&mut stream)).await;
            return;
        }
        End::Silent => CloseFrame { code: 1001, reason: Utf8Bytes::from_static("silence") },
        End::Told(problem) => {
            let reference = answer::report(&problem, path);
            let text = protocol::problem_message(&problem, &reference);
            if !matches!(timeout(shared.timing.closing, sink.feed(Message::Text(text.into()))).await, Ok(Ok(()))) {
                return;
            }
            let meaning = protocol::meaning(problem.code);
            CloseFrame { code: meaning.close, reason: Utf8Bytes::from_static(meaning.name) }
        }
    };
    // The client's own close is waited for: closing a connection with unread bytes would throw away what it has not read.
    let farewell = async {
        sink.send(Message::Close(Some(close))).await?;
        rest(&mut stream).await;
        Ok::<_, axum::Error>(())
    };
    let _ = timeout(shared.timing.closing, farewell).await;
}

/// Hears the client out.
async fn rest(stream: &mut Stream) {
    while let Some(Ok(_)) = stream.next().await {}
}

async fn converse(shared: &Shared, request: Request, sink: &mut Sink, stream: &mut Stream) -> End {
    let Request { ask, after, format } = request;
    let session = Session::new(shared.documents.clone(), ask, after, shared.ending.clone());
    let outbox = Outbox::new(shared.limits.queued_bytes);
    tokio::select! {
        end = listen(shared, stream, &outbox) => end,
        end = pull(session, format, &outbox) => end,
        end = write(shared, sink, &outbox) => end,
    }
}

/// Hears what the client says.
async fn listen(shared: &Shared, stream: &mut Stream, outbox: &Outbox<Utf8Bytes>) -> End {
    let bad = |message: String| End::Told(Problem { code: Code::BadRequest, message });
    loop {
        let text = match timeout(shared.timing.silence, stream.next()).await {
            Err(_) => return End::Silent,
            Ok(None) => return End::Gone,
            Ok(Some(Ok(Message::Close(_)))) => return End::Closed,
            Ok(Some(Err(_))) => {
                return bad(format!("not a valid frame, or larger than {} bytes", shared.limits.frame_bytes));
            }
            // The protocol's own pings are answered below us; that anything came is what counts.
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
            Ok(Some(Ok(Message::Binary(_)))) => return bad("frames are text".into()),
            Ok(Some(Ok(Message::Text(text)))) => text,
        };
        match protocol::client_message(&text) {
            Ok(ClientMessage::Ping(ping)) => {
                let pong = protocol::pong_message(&ping, shared.documents.position());
                if let Err(full) = outbox.push(pong.len(), pong.into()) {
                    return slow(full);
                }
            }
            Ok(ClientMessage::Other) => {}
            Err(message) => return bad(message),
        }
    }
}

/// Takes the next step whenever the client has taken the last.
async fn pull(mut session: Session, format: Format, outbox: &Outbox<Utf8Bytes>) -> End {
    loop {
        outbox.room().await;
        let text: Utf8Bytes = match session.next().await {
            Some(Told::Problem(problem)) => return End::Told(problem),
            Some(told) if told.says_nothing() => continue,
            Some(told) => encode(&told, format),
            None => return End::Gone,
        };
        // A pong may have come in between, and there may be no room beside it.
        while outbox.push(text.len(), text.clone()).is_err() {
            outbox.room().await;
        }
    }
}

fn encode(told: &Told, format: Format) -> Utf8Bytes {
    let lsn = || match told {
        Told::Update(update) => update.revision.to_string(),
        Told::Status(_) | Told::Problem(_) => String::new(),
    };
    tracing::trace_span!(target: "sangre::stages", "encode", lsn = %lsn())
        .in_scope(|| protocol::message(told, format, "").into())
}

/// Writes what waits, and a ping now and then.
async fn write(shared: &Shared, sink: &mut Sink, outbox: &Outbox<Utf8Bytes>) -> End {
    let mut ping = tokio::time::interval(shared.timing.ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping.reset();
    loop {
        let (bytes, message) = tokio::select! {
            (bytes, text) = outbox.pop() => (bytes, Message::Text(text)),
            _ = ping.tick() => (0, Message::Ping(bytes::Bytes::new())),
        };
        let allowed = shared.timing.stall + Duration::from_secs((bytes / SLOWEST_BYTES_PER_SECOND) as u64);
        let sending = sink.send(message).instrument(tracing::trace_span!(target: "sangre::stages", "socket"));
        match timeout(allowed, sending).await {
            Ok(Ok(())) => outbox.written(bytes),
            Ok(Err(_)) => return End::Gone,
            Err(_) => {
                let message =
                    format!("the client has taken nothing for {} s: connect again to resume", allowed.as_secs());
                return End::Told(Problem { code: Code::SlowClient, message });
            }
        }
    }
}

fn slow(full: Full) -> End {
    End::Told(Problem { code: Code::SlowClient, message: full.to_string() })
}
