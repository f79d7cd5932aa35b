//! Server-sent events: the session's messages, one event each, in a response that does not end.
//!
//! HTTP pulls the body as fast as the client takes it, so nothing queues here. What is wrong at the start is an ordinary
//! HTTP error; later it is the last event.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;

use super::answer;
use super::front::Shared;
use crate::driver::handle::Problem;
use crate::session::{Format, Request, Session, Told, protocol};

/// What one stream holds between two events.
struct Events {
    session: Session,
    /// Told before anything else.
    waiting: VecDeque<Told>,
    format: Format,
    path: String,
    ping: std::time::Duration,
    ended: bool,
}

/// Answers with the stream, once its first message is there.
pub async fn stream(shared: &Shared, request: Request, headers: &HeaderMap) -> Result<Response, Problem> {
    let Request { mut ask, after, format } = request;
    // What the browser heard last is newer than what its page asked for at first.
    if let Some(last) = headers.get("last-event-id").and_then(|id| id.to_str().ok()) {
        ask.resume = Some(last.into());
    }
    let path = ask.path.clone();
    let mut session = Session::new(shared.documents.clone(), ask, after, shared.ending.clone());
    let (update, status) = session.first().await?;
    let waiting = [Some(Told::Update(update)), status.map(Told::Status)].into_iter().flatten();
    let waiting = waiting.filter(|told| !told.says_nothing()).collect();
    let events = Events { session, waiting, format, path, ping: shared.timing.ping, ended: false };
    let body = stream::unfold(events, |mut events| async move {
        let text = events.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), events))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies of the nginx family would hold events back until a buffer is full.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

impl Events {
    async fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        let told = match self.waiting.pop_front() {
            Some(told) => told,
            None => tokio::select! {
                told = self.session.next() => told?,
                () = tokio::time::sleep(self.ping) => return Some(protocol::KEEP_ALIVE.into()),
            },
        };
        let reference = match &told {
            Told::Problem(problem) => {
                self.ended = true;
                answer::report(problem, &self.path)
            }
            _ => String::new(),
        };
        Some(protocol::server_sent_event(&told, self.format, &reference))
    }
}
