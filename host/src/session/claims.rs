//! What somebody vouches for about a client.
//!
//! `$auth` in queries reads claims and nothing else. They come from whoever verified a token, never from what a client
//! sends: this type is made by code alone.

use std::fmt;

use crate::driver::handle::Value;

/// Verified claims about whoever asks: what `$auth.<path>` reads in a query.
///
/// They are an application's own word: no route, query string, header or frame can set them. A request in process carries
/// them as [`Request::claims`](crate::Request::claims). For the routes of [`Sangre::router`](crate::Sangre::router), middleware
/// around it that has verified a token puts them into the request's extensions:
///
/// ```
/// use axum::{extract::Request, http::StatusCode, middleware::Next, response::Response};
///
/// #[derive(serde::Serialize)]
/// struct Token { sub: i64, tenant: String }
/// # fn verified(_: &Request) -> Option<Token> { None }
///
/// // Router::new().nest("/live", sangre.router()).layer(axum::middleware::from_fn(authenticate))
/// async fn authenticate(mut request: Request, next: Next) -> Result<Response, StatusCode> {
///     let token = verified(&request).ok_or(StatusCode::UNAUTHORIZED)?;
///     let claims = sangre::Claims::new(token).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
///     request.extensions_mut().insert(claims);
///     Ok(next.run(request).await)
/// }
/// ```
///
/// A stream keeps the claims it began with: end it when the token expires.
#[derive(Clone, PartialEq)]
pub struct Claims(Value);

impl Claims {
    /// Claims from a JSON object; `None` if the value is none.
    pub(crate) fn from_object(value: Value) -> Option<Self> {
        matches!(value, Value::Object(_)).then_some(Claims(value))
    }

    pub(crate) fn value(&self) -> &Value {
        &self.0
    }
}

/// Without their values, which are about somebody.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}
