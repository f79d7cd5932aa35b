//! Every route that is not a page: the document at this path, once or as a stream.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::{ConnectInfo, Request as HttpRequest, State as AxumState};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;

use super::listener::Peer;
use super::{Shared, answer, sse, websocket};
use crate::driver::handle::{Code, Problem, State, Status, Update};
use crate::session::{Format, Request, Session, Told, protocol};

const SANGRE_STATUS: HeaderName = HeaderName::from_static("sangre-status");

/// The one handler of all documents.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

async fn handle(
    AxumState(shared): AxumState<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: HttpRequest,
) -> Response {
    let (parts, _) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let asked = read(&parts, peer);
    if websocket::is_upgrade(&parts.headers) {
        return websocket::upgrade(shared, parts, asked).await;
    }
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return wrong_method(&path);
    }
    let answer = match asked {
        Err(problem) => Err(problem),
        Ok(request) if accepts_events(&parts.headers) => sse::stream(&shared, request, &parts.headers).await,
        Ok(request) => document(&shared, request, &parts.headers).await,
    };
    answer.unwrap_or_else(|problem| {
        let mut response = answer::problem(&problem, &path);
        if peer.too_many {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    })
}

/// What is asked, or why nothing can be.
fn read(parts: &Parts, peer: Peer) -> Result<Request, Problem> {
    let problem = |code, message: &str| Err(Problem { code, message: message.into() });
    if peer.too_many {
        return problem(Code::TooMany, "too many connections: close some, or try again later");
    }
    if parts.uri.path() == "/sangre" {
        return problem(Code::UnknownRoute, "`/sangre`, many subscriptions on one socket, is not supported yet");
    }
    Request::parse(parts.uri.path(), parts.uri.query().unwrap_or_default())
}

fn wrong_method(path: &str) -> Response {
    let message = "documents are read: use GET, with Accept: text/event-stream or a WebSocket upgrade for a stream";
    let mut response = answer::problem(&Problem { code: Code::BadRequest, message: message.into() }, path);
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    response
}

/// One answer: the document, or with `?revision=` one message.
async fn document(shared: &Shared, request: Request, headers: &HeaderMap) -> Result<Response, Problem> {
    let Request { mut ask, after, format } = request;
    let one_message = ask.resume.is_some();
    let tags = Tags::read(headers);
    if !one_message {
        // Whether the client's document is still the right one, even if its revision is not the newest any more.
        ask.resume = tags.only();
    }
    let mut session = Session::new(shared.documents.clone(), ask, after, shared.cut.clone());
    let (update, status) = first(&mut session).await?;
    let status = status.or_else(|| match session.ready() {
        Some(Told::Status(status)) => Some(status),
        _ => None,
    });
    let status = status.unwrap_or(Status { state: State::Live, code: None, since: SystemTime::UNIX_EPOCH });
    let mut response = if one_message {
        answer::json(StatusCode::OK, protocol::update_message(&update, format))
    } else {
        whole(&update, format, &tags)
    };
    if let Ok(value) = HeaderValue::try_from(protocol::status_header(&status)) {
        response.headers_mut().insert(SANGRE_STATUS, value);
    }
    Ok(response)
}

/// The first update, and the status that came before it, if one did.
pub async fn first(session: &mut Session) -> Result<(Update, Option<Status>), Problem> {
    let mut early = None;
    loop {
        match session.next().await {
            Some(Told::Update(update)) => return Ok((update, early)),
            Some(Told::Status(status)) => early = Some(status),
            Some(Told::Problem(problem)) => return Err(problem),
            None => return Err(crate::session::shutting_down()),
        }
    }
}

fn whole(update: &Update, format: Format, tags: &Tags) -> Response {
    let current = protocol::entity_tag(&update.revision);
    // A 304 names the tag of the answer it confirms.
    let confirmed = match tags.matches(&current) {
        true => Some(current.clone()),
        false if update.is_empty() => tags.only().map(|tag| format!("\"{tag}\"")),
        false => None,
    };
    let mut response = match &confirmed {
        Some(_) => {
            let mut response = Response::new(axum::body::Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        None if format == Format::MergePatch => answer::json(StatusCode::OK, update.document_without_nulls()),
        None => answer::json(StatusCode::OK, answer::shared(update.document_text())),
    };
    if let Ok(tag) = HeaderValue::try_from(confirmed.unwrap_or(current)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The entity tags of `If-None-Match`.
struct Tags {
    any: bool,
    tags: Vec<String>,
}

impl Tags {
    fn read(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        // A revision holds no comma, so splitting there finds all tags of ours.
        let tags: Vec<String> = values.flat_map(|value| value.split(',')).map(|tag| tag.trim().into()).collect();
        Tags { any: tags.iter().any(|tag| tag == "*"), tags }
    }

    /// Compared weakly, as RFC 9110 wants for this header.
    fn matches(&self, current: &str) -> bool {
        self.any || self.tags.iter().any(|tag| tag.strip_prefix("W/").unwrap_or(tag) == current)
    }

    /// The revision, if there is exactly one tag.
    fn only(&self) -> Option<String> {
        match &self.tags[..] {
            [tag] => {
                let quoted = tag.strip_prefix("W/").unwrap_or(tag);
                quoted.strip_prefix('"')?.strip_suffix('"').map(Into::into)
            }
            _ => None,
        }
    }
}

/// Whether `Accept` asks for server-sent events.
fn accepts_events(headers: &HeaderMap) -> bool {
    let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    ranges.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("text/event-stream"));
        named && !parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)))
    })
}
