//! Every route that is not a page: the document at this path, once or as a stream.

use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request as HttpRequest, State as AxumState};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;

use super::front::Shared;
use super::listener::Peer;
use super::{answer, sse, websocket};
use crate::driver::handle::{Code, Problem, Update};
use crate::session::{Claims, Format, Request, Session, protocol};

const SANGRE_STATUS: HeaderName = HeaderName::from_static("sangre-status");

/// The one handler of all documents.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

async fn handle(AxumState(shared): AxumState<Arc<Shared>>, request: HttpRequest) -> Response {
    let (parts, _) = request.into_parts();
    let path = parts.uri.path().to_owned();
    // Another application's listener counts its connections itself.
    let too_many = parts.extensions.get::<ConnectInfo<Peer>>().is_some_and(|peer| peer.0.too_many);
    let asked = read(&parts, too_many);
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
        if too_many {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    })
}

/// What is asked, or why nothing can be.
fn read(parts: &Parts, too_many: bool) -> Result<Request, Problem> {
    let problem = |code, message: &str| Err(Problem { code, message: message.into() });
    if too_many {
        return problem(Code::TooMany, "too many connections: close some, or try again later");
    }
    if parts.uri.path() == "/sangre" {
        return problem(Code::UnknownRoute, "`/sangre`, many subscriptions on one socket, is not supported yet");
    }
    let mut request = Request::parse(parts.uri.path(), parts.uri.query().unwrap_or_default())?;
    // An extension is the application's own word: nothing that a client sends becomes one.
    if let Some(claims) = parts.extensions.get::<Claims>() {
        request.ask.claims = claims.value().clone();
    }
    Ok(request)
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
    let _open = shared.open.token();
    let Request { mut ask, after, format } = request;
    let one_message = ask.resume.is_some();
    let tags = Tags::read(headers);
    if !one_message {
        // Whether the client's document is still the right one, even if its revision is not the newest any more.
        ask.resume = tags.only();
    }
    let mut session = Session::new(shared.documents.clone(), ask, after, shared.cut.clone());
    let (update, status) = session.once().await?;
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
