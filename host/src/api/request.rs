//! What is asked in process: a route as a client would write it, and what only the application may say.

use crate::api::{Error, Revision};
use crate::driver::handle::{Code, Problem, Value};
use crate::session::{self, Claims, Format};

/// A document that is asked for in process. A text is one: `sangre.read("/followeds/1?hour=12")`.
///
/// ```no_run
/// # async fn example(sangre: sangre::Sangre, lsn: String, name: &str) -> Result<(), sangre::Error> {
/// use sangre::{Claims, Request};
///
/// let found = sangre.read(Request::new("/places").param("name", name)).await?;
/// let fresh = sangre.read(Request::new("/places").after(lsn)).await?;
/// let claims = Claims::new(serde_json::json!({ "sub": 1 }))?;
/// let mine = sangre.read(Request::new("/me").claims(claims)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is read or subscribed to"]
pub struct Request {
    route: String,
    params: Vec<(String, String)>,
    claims: Option<Claims>,
    after: Option<String>,
    resume: Option<Revision>,
}

impl Request {
    /// Asks for the document at this route, written as in a URL: parameters are percent-encoded, a query string may follow.
    pub fn new(route: impl Into<String>) -> Self {
        Request { route: route.into(), params: Vec::new(), claims: None, after: None, resume: None }
    }

    /// Adds a parameter that is not in the route itself, as it is: nothing is decoded. A list is given value by value.
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// On behalf of whom: what `$auth` reads. Without claims it reads nothing.
    pub fn claims(mut self, claims: Claims) -> Self {
        self.claims = Some(claims);
        self
    }

    /// Only once this is included: a position as `pg_current_wal_insert_lsn()` gives it after a COMMIT (`0/16B3748`), or
    /// `xid:` and what `pg_current_xact_id()` gave in the transaction. It is waited for up to 10 s.
    pub fn after(mut self, position: impl Into<String>) -> Self {
        self.after = Some(position.into());
        self
    }

    /// A subscription is to begin with what changed since this revision, if that is still known.
    pub fn resume(mut self, revision: Revision) -> Self {
        self.resume = Some(revision);
        self
    }

    pub(super) fn parse(self) -> Result<session::Request, Error> {
        let (path, query) = self.route.split_once('?').unwrap_or((&self.route, ""));
        let mut request = session::Request::parse(path, query)?;
        if request.format != Format::Patch {
            let message = "`format` is about messages to clients: in process, a change has its patch and its document";
            return Err(Problem { code: Code::InvalidParameter, message: message.into() }.into());
        }
        request.ask.query.extend(self.params);
        if let Some(claims) = self.claims {
            request.ask.claims = claims.value().clone();
        }
        if let Some(after) = self.after {
            request.after = Some(session::read_after(&after)?);
        }
        if let Some(revision) = self.resume {
            request.ask.resume = Some(revision.to_string());
        }
        Ok(request)
    }
}

impl From<&str> for Request {
    fn from(route: &str) -> Self {
        Request::new(route)
    }
}

impl From<String> for Request {
    fn from(route: String) -> Self {
        Request::new(route)
    }
}

impl Claims {
    /// Claims as a struct or map that serialises to a JSON object.
    pub fn new(claims: impl serde::Serialize) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Value(format!("claims are not a JSON object: {reason}"));
        let text = serde_json::to_string(&claims).map_err(|error| wrong(error.to_string()))?;
        let value = Value::parse_json(&text).map_err(|error| wrong(error.to_string()))?;
        Claims::from_object(value).ok_or_else(|| wrong(text))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::driver::handle::{After, Lsn};

    #[test]
    fn a_request_says_what_a_url_does_and_more() {
        let claims = Claims::new(HashMap::from([("sub", 7)])).expect("an object");
        let revision: Revision = "0/5".parse().expect("a revision");
        let request = Request::new("/a%20b?n=1").param("n", "2&m=%20").claims(claims).after("0/2A").resume(revision);
        let parsed = request.parse().expect("valid");
        assert_eq!(parsed.ask.path, "/a%20b");
        assert_eq!(parsed.ask.query, [("n".into(), "1".into()), ("n".into(), "2&m=%20".into())]);
        assert_eq!(parsed.ask.claims.to_json(), r#"{"sub":7}"#);
        assert_eq!((parsed.after, parsed.ask.resume.as_deref()), (Some(After::Lsn(Lsn(0x2A))), Some("0/5")));
    }

    #[test]
    fn what_cannot_be_asked() {
        let code = |request: Request| request.parse().map(|_| ()).map_err(|error| error.code());
        assert_eq!(code(Request::new("/a?format=document")), Err(Some(Code::InvalidParameter)));
        assert_eq!(code(Request::new("/a").after("yesterday")), Err(Some(Code::InvalidParameter)));
        assert_eq!(code(Request::new("/a?revision=1&revision=2")), Err(Some(Code::BadRequest)));
        assert!(matches!(Claims::new([1, 2]), Err(Error::Value(_))));
        assert!(matches!(Claims::new("sub"), Err(Error::Value(_))));
    }
}
