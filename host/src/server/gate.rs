//! Who may connect: the `Host` and `Origin` of every request, and what CORS says about them.
//!
//! A page of any site can send requests to a server on the same machine. Two checks keep it out: its `Origin` is foreign; and a name
//! of its own that it has resolved to 127.0.0.1 (DNS rebinding), which makes it the same origin, is not a loopback `Host`. A
//! WebSocket is not under CORS at all, so the origin is checked here and not left to the browser.
//!
//! Who listens knows whether the port is on loopback. A router inside another application does not, and takes the careful
//! side: only loopback names, until the application says which others are its own.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;

use super::{ServerError, answer};
use crate::driver::handle::{Code, Problem};

/// See the module.
#[derive(Clone, Debug)]
pub struct Gate {
    hosts: Hosts,
    origins: Arc<[Origin]>,
    url_bytes: usize,
}

/// By which names a port may be called: what `Host` says, without its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// `localhost`, `127.0.0.1` and their like, since nobody else reaches it.
    Loopback,
    /// Loopback's, and these.
    Named(Vec<String>),
    /// Any: the port is reachable from elsewhere, and whoever runs it has said who may connect.
    Any,
}

/// Scheme, host and port of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
const ALLOWED_HEADERS: HeaderValue =
    HeaderValue::from_static("Accept, Authorization, Cache-Control, Content-Type, If-None-Match, Last-Event-ID");
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("ETag, Retry-After, Sangre-Status");
const VARY: HeaderValue = HeaderValue::from_static("Accept, Origin, Authorization, Cookie");

impl Gate {
    pub fn new(hosts: Hosts, origins: &[String], url_bytes: usize) -> Result<Self, ServerError> {
        if let Hosts::Named(names) = &hosts
            && let Some(name) = names.iter().find(|name| !is_host(name))
        {
            return Err(ServerError::Host(name.clone()));
        }
        let parse = |text: &String| Origin::parse(text).ok_or_else(|| ServerError::Origin(text.clone()));
        let origins = origins.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Gate { hosts, origins, url_bytes })
    }

    /// Puts the gate in front of all routes.
    pub fn guard(self, router: Router) -> Router {
        let gate = Arc::new(self);
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let gate = gate.clone();
            async move { gate.pass(request, next).await }
        }))
    }

    async fn pass(&self, request: Request, next: Next) -> Response {
        let origin = match self.check(request.headers(), request.uri()) {
            Ok(origin) => origin,
            Err((status, problem)) => {
                let mut response = answer::problem(&problem, request.uri().path());
                *response.status_mut() = status;
                return response;
            }
        };
        let preflight = request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
            && origin.is_some();
        let mut response = if preflight { preflight_answer() } else { next.run(request).await };
        let headers = response.headers_mut();
        headers.insert(header::VARY, VARY);
        if !headers.contains_key(header::CACHE_CONTROL) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        }
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
        response
    }

    /// The origin that CORS has to name, if the request has one; or why it is refused.
    fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<Option<HeaderValue>, (StatusCode, Problem)> {
        let refuse = |status, code, message: &str| Err((status, Problem { code, message: message.into() }));
        if uri.path_and_query().is_some_and(|text| text.as_str().len() > self.url_bytes) {
            return refuse(
                StatusCode::URI_TOO_LONG,
                Code::BadRequest,
                &format!("the URL is longer than {} bytes", self.url_bytes),
            );
        }
        let host =
            headers.get(header::HOST).and_then(|host| host.to_str().ok()).or(uri.authority().map(|host| host.as_str()));
        if !self.hosts.include(host) {
            let message = match self.hosts {
                Hosts::Named(_) => {
                    "nobody has said that this application has the name in the header Host: add it to its `hosts`"
                }
                _ => "this server is for this machine alone: call it by localhost or 127.0.0.1",
            };
            return refuse(StatusCode::FORBIDDEN, Code::Forbidden, message);
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let (Some(text), None) = (origins.next(), origins.next()) else {
            return match headers.contains_key(header::ORIGIN) {
                false => Ok(None),
                true => refuse(StatusCode::BAD_REQUEST, Code::BadRequest, "the header Origin is given twice"),
            };
        };
        match text.to_str().ok().and_then(Origin::parse) {
            Some(origin) if self.welcome(&origin, host) => Ok(Some(text.clone())),
            _ => refuse(
                StatusCode::FORBIDDEN,
                Code::Forbidden,
                "pages of this origin may not connect: add it to `origins:` in the server's configuration",
            ),
        }
    }

    fn welcome(&self, origin: &Origin, host: Option<&str>) -> bool {
        let same = host.is_some_and(|host| {
            let (name, port) = split_port(host);
            name.eq_ignore_ascii_case(&origin.host) && port.unwrap_or(origin.default_port()) == origin.port
        });
        let local = || host.is_some_and(|host| is_loopback(split_port(host).0));
        let both_local = self.hosts != Hosts::Any && is_loopback(&origin.host) && local();
        same || both_local || self.origins.contains(origin)
    }
}

impl Hosts {
    fn include(&self, host: Option<&str>) -> bool {
        let name = host.map(|host| split_port(host).0);
        let named = |names: &[String]| {
            let name = name.map(|name| name.strip_suffix('.').unwrap_or(name));
            name.is_some_and(|name| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
        };
        match self {
            Hosts::Any => true,
            Hosts::Loopback => name.is_some_and(is_loopback),
            Hosts::Named(names) => name.is_some_and(is_loopback) || named(names),
        }
    }
}

/// Whether the text is a host alone: `app.example.com` or `[2001:db8::1]`.
fn is_host(text: &str) -> bool {
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)),
    }
}

impl Origin {
    /// Reads `https://app.example.com` or `http://[::1]:3000`.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let (host, port) = split_port(authority);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if host.is_empty()
            || !host.chars().all(plain)
            || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        {
            return None;
        }
        let mut origin = Origin { scheme: scheme.to_ascii_lowercase(), host: host.to_ascii_lowercase(), port: 0 };
        // What follows the host is a port and nothing else: `split_port` leaves anything else with the host.
        if !origin.host.starts_with('[') && origin.host.contains(':') {
            return None;
        }
        origin.port = port.unwrap_or(origin.default_port());
        Some(origin)
    }

    fn default_port(&self) -> u16 {
        if self.scheme == "https" { 443 } else { 80 }
    }
}

/// Host and port of `host`, `host:port` or `[v6]:port`; a host that is an IPv6 address keeps its brackets.
fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    match address.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        // RFC 6761: these names never leave the machine.
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

fn preflight_answer() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    // A public page that reaches for this machine or network has to be let in by name, which `origins:` does.
    headers.insert(HeaderName::from_static("access-control-allow-private-network"), HeaderValue::from_static("true"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(gate: &Gate, host: Option<&str>, origin: Option<&str>) -> Result<(), u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().expect("a header"));
            }
        }
        gate.check(&headers, &Uri::from_static("/x")).map(|_| ()).map_err(|(status, _)| status.as_u16())
    }

    #[test]
    fn on_loopback() {
        let gate = Gate::new(Hosts::Loopback, &["https://app.example.com".into()], 100).expect("valid");
        for (host, origin, expect) in [
            (Some("127.0.0.1:4000"), None, Ok(())),
            (Some("localhost:4000"), None, Ok(())),
            (Some("LOCALHOST."), None, Ok(())),
            (Some("[::1]:4000"), None, Ok(())),
            (Some("app.localhost:1"), None, Ok(())),
            (Some("evil.example:4000"), None, Err(403)),
            (Some("127.0.0.1.evil.example"), None, Err(403)),
            (Some("notlocalhost"), None, Err(403)),
            (None, None, Err(403)),
            (Some("localhost:4000"), Some("http://localhost:4000"), Ok(())),
            (Some("localhost:4000"), Some("http://127.0.0.1:3000"), Ok(())),
            (Some("localhost:4000"), Some("http://[::1]:3000"), Ok(())),
            (Some("localhost:4000"), Some("https://app.example.com"), Ok(())),
            (Some("localhost:4000"), Some("https://app.example.com:443"), Ok(())),
            (Some("localhost:4000"), Some("http://app.example.com"), Err(403)),
            (Some("localhost:4000"), Some("https://app.example.com:444"), Err(403)),
            (Some("localhost:4000"), Some("https://localhost.evil.example"), Err(403)),
            (Some("localhost:4000"), Some("null"), Err(403)),
            (Some("evil.example"), Some("http://evil.example"), Err(403)),
        ] {
            assert_eq!(check(&gate, host, origin), expect, "{host:?} {origin:?}");
        }
    }

    #[test]
    fn elsewhere() {
        let gate = Gate::new(Hosts::Any, &[], 100).expect("valid");
        for (host, origin, expect) in [
            (Some("db.example"), None, Ok(())),
            (Some("db.example"), Some("https://db.example"), Ok(())),
            (Some("db.example:443"), Some("https://db.example"), Ok(())),
            (Some("db.example:4000"), Some("http://db.example:4000"), Ok(())),
            (Some("db.example:4000"), Some("http://db.example:5000"), Err(403)),
            (Some("db.example"), Some("http://localhost:3000"), Err(403)),
            (Some("db.example"), Some("https://evil.example"), Err(403)),
        ] {
            assert_eq!(check(&gate, host, origin), expect, "{host:?} {origin:?}");
        }
    }

    #[test]
    fn origins_are_origins() {
        for bad in [
            "*",
            "",
            "app.example.com",
            "https://",
            "https://a/",
            "https://a:b",
            "https://*.example.com",
            "https://a@b",
        ] {
            assert!(Gate::new(Hosts::Loopback, &[bad.into()], 100).is_err(), "{bad}");
        }
    }

    #[test]
    fn by_names() {
        let hosts = Hosts::Named(vec!["app.example.com".into(), "[2001:db8::1]".into()]);
        let gate = Gate::new(hosts, &[], 100).expect("valid");
        for (host, origin, expect) in [
            (Some("app.example.com"), None, Ok(())),
            (Some("APP.example.com.:8080"), None, Ok(())),
            (Some("[2001:db8::1]:443"), None, Ok(())),
            (Some("localhost:3000"), None, Ok(())),
            (Some("evil.example"), None, Err(403)),
            (Some("app.example.com.evil.example"), None, Err(403)),
            (None, None, Err(403)),
            (Some("app.example.com"), Some("https://app.example.com"), Ok(())),
            (Some("app.example.com"), Some("https://evil.example"), Err(403)),
            (Some("evil.example"), Some("http://evil.example"), Err(403)),
            // A page of this machine is at home on this machine, and foreign to the rest of the world.
            (Some("localhost:3000"), Some("http://localhost:5173"), Ok(())),
            (Some("app.example.com"), Some("http://localhost:5173"), Err(403)),
        ] {
            assert_eq!(check(&gate, host, origin), expect, "{host:?} {origin:?}");
        }
        for bad in ["*", "", "https://app.example.com", "app.example.com:443", "[app]", "a b"] {
            assert!(Gate::new(Hosts::Named(vec![bad.into()]), &[], 100).is_err(), "{bad}");
        }
    }
}
