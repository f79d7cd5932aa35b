//! What a client asks: the path and query string of its URL, taken apart.
//!
//! Reserved keys never reach the query's parameters, and `access_token` never a log: nothing here is printed.

use percent_encoding::percent_decode_str;

use crate::driver::handle::{After, Ask, Code, Problem, no_claims};

/// A request for a document, whatever the transport.
#[derive(Clone, Debug)]
pub struct Request {
    pub ask: Ask,
    /// Wait until this is included.
    pub after: Option<After>,
    pub format: Format,
}

/// How changes are told, `?format=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// RFC 6902.
    #[default]
    Patch,
    /// RFC 7396.
    MergePatch,
    /// The whole document each time.
    Document,
}

impl Request {
    /// Reads the raw path and query string of a URL.
    pub fn parse(path: &str, query: &str) -> Result<Self, Problem> {
        let mut request = Request {
            ask: Ask { path: path.into(), query: vec![], claims: no_claims(), resume: None, newest: false },
            after: None,
            format: Format::Patch,
        };
        let mut seen: Vec<String> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (key, value) = (decode(key)?, decode(value)?);
            let reserved = matches!(&*key, "revision" | "after" | "format" | "access_token");
            if reserved && seen.contains(&key) {
                return Err(problem(Code::BadRequest, format!("`{key}` is given twice")));
            }
            if reserved {
                seen.push(key.clone());
            }
            match &*key {
                "revision" => request.ask.resume = Some(value),
                "after" => request.after = Some(read_after(&value)?),
                "format" => request.format = format_named(&value)?,
                "access_token" => {}
                _ => request.ask.query.push((key, value)),
            }
        }
        Ok(request)
    }
}

fn decode(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(Into::into).map_err(|_| problem(Code::BadRequest, "the query string is not UTF-8 once percent-decoded"))
}

/// Reads what `after` names: `0/16B3748`, or `xid:742`.
pub fn read_after(text: &str) -> Result<After, Problem> {
    let parsed = match text.strip_prefix("xid:") {
        // `parse` alone would take a sign.
        Some(xid) if xid.bytes().all(|b| b.is_ascii_digit()) => xid.parse().ok().map(After::Xid),
        Some(_) => None,
        None => text.parse().ok().map(After::Lsn),
    };
    let expected = "`after` is neither a log sequence number such as 0/16B3748 nor a transaction id such as xid:742";
    parsed.ok_or_else(|| problem(Code::InvalidParameter, expected))
}

fn format_named(text: &str) -> Result<Format, Problem> {
    match text {
        "patch" => Ok(Format::Patch),
        "merge-patch" => Ok(Format::MergePatch),
        "document" => Ok(Format::Document),
        _ => Err(problem(Code::InvalidParameter, "`format` is one of patch, merge-patch, document")),
    }
}

fn problem(code: Code, message: impl Into<String>) -> Problem {
    Problem { code, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::handle::{Lsn, Value};

    #[test]
    fn reserved_keys_are_not_parameters() {
        let request = Request::parse(
            "/followeds/1",
            "hour=3&revision=0%2F1.x&after=0/2A&format=merge-patch&access_token=secret&a+b=%C3%A9+c&auth.sub=2&hour=4&flag",
        )
        .expect("valid");
        assert_eq!(request.ask.path, "/followeds/1");
        let pairs: Vec<_> = request.ask.query.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(pairs, [("hour", "3"), ("a b", "é c"), ("auth.sub", "2"), ("hour", "4"), ("flag", "")]);
        assert_eq!(request.ask.resume.as_deref(), Some("0/1.x"));
        assert_eq!(request.after, Some(After::Lsn(Lsn(0x2A))));
        assert_eq!(request.format, Format::MergePatch);
        let Value::Object(claims) = &request.ask.claims else { panic!("claims are an object") };
        assert!(claims.values().is_empty(), "nothing in a URL becomes a claim");
        assert!(!format!("{request:?}").contains("secret"));
    }

    #[test]
    fn refused() {
        for (query, code) in [
            ("revision=1&revision=2", Code::BadRequest),
            ("access_token=1&access_token=2", Code::BadRequest),
            ("%61fter=0/1&after=0/2", Code::BadRequest),
            ("a=%FF", Code::BadRequest),
            ("after=12", Code::InvalidParameter),
            ("after=xid:", Code::InvalidParameter),
            ("after=xid:-1", Code::InvalidParameter),
            ("after=xid:%2B1", Code::InvalidParameter),
            ("after=", Code::InvalidParameter),
            ("format=xml", Code::InvalidParameter),
        ] {
            assert_eq!(Request::parse("/x", query).map(|_| ()).map_err(|problem| problem.code), Err(code), "{query}");
        }
        let xid = Request::parse("/x", "after=xid:742").expect("valid");
        assert_eq!(xid.after, Some(After::Xid(742)));
    }
}
