//! Answers: a problem as HTTP shows it, JSON bodies, and what they have in common.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::Response;
use bytes::Bytes;

use crate::driver::handle::{Code, Problem};
use crate::session::protocol::{meaning, problem_message};

/// A problem as HTTP shows it; it is logged.
pub fn problem(problem: &Problem, path: &str) -> Response {
    let status = StatusCode::from_u16(meaning(problem.code).http).expect("the table holds valid statuses");
    let mut response = json(status, problem_message(problem, &report(problem, path)));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Logs a problem and returns the reference that the client gets, too. `path` comes without its query string, which may
/// hold a token.
pub fn report(problem: &Problem, path: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static START: OnceLock<u32> = OnceLock::new();
    // Two runs of the server must not use the same references: their log is one file.
    let start = START.get_or_init(|| RandomState::new().hash_one("start") as u32);
    let reference = format!("{start:x}-{:x}", COUNT.fetch_add(1, Ordering::Relaxed));
    let code = meaning(problem.code).name;
    match problem.code {
        Code::Internal => tracing::error!(reference, path, code, "{problem}"),
        _ => tracing::debug!(reference, path, code, "{problem}"),
    }
    reference
}

/// An answer with a JSON body.
pub fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A body that shares a text with others instead of copying it.
pub fn shared(text: Arc<str>) -> Body {
    struct Text(Arc<str>);
    impl AsRef<[u8]> for Text {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }
    Body::from(Bytes::from_owner(Text(text)))
}
