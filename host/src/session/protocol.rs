//! The wire: every message, and what each code means in HTTP and in WebSocket. Nothing else knows.
//!
//! Messages are JSON objects told apart by their keys, the same on every transport; a server-sent event has one as its data.
//! A message whose format is `document` carries `document` in place of `patch`, and `from` is null, for each starts anew.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::time::rfc3339;
use super::{Format, Told};
use crate::driver::handle::{Code, Lsn, Problem, Revision, State, Status, Update, Value};

/// What a code is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    pub name: &'static str,
    /// The HTTP status.
    pub http: u16,
    /// The WebSocket close code.
    pub close: u16,
    /// Whether asking again can help: at once, after a while, or with a new token.
    pub retry: bool,
}

/// The table of codes.
pub fn meaning(code: Code) -> Meaning {
    let (name, http, close, retry) = match code {
        Code::BadRequest => ("bad_request", 400, 4400, false),
        Code::UnknownParameter => ("unknown_parameter", 400, 4400, false),
        Code::MissingParameter => ("missing_parameter", 400, 4400, false),
        Code::InvalidParameter => ("invalid_parameter", 400, 4400, false),
        Code::Unauthenticated => ("unauthenticated", 401, 4401, true),
        Code::TokenExpired => ("token_expired", 401, 4401, true),
        Code::Forbidden => ("forbidden", 403, 4403, false),
        Code::MissingClaim => ("missing_claim", 403, 4403, false),
        Code::UnknownRoute => ("unknown_route", 404, 4404, false),
        Code::DocumentTooLarge => ("document_too_large", 413, 4413, false),
        Code::ListTooLong => ("list_too_long", 413, 4413, false),
        Code::TooMany => ("too_many", 429, 4429, true),
        Code::Internal => ("internal", 500, 4500, true),
        Code::Starting => ("starting", 503, 4503, true),
        Code::DatabaseUnreachable => ("database_unreachable", 503, 4503, true),
        Code::QueryBroken => ("query_broken", 503, 4503, true),
        Code::NodeUnavailable => ("node_unavailable", 503, 4503, true),
        Code::AfterTimeout => ("after_timeout", 504, 4504, true),
        // Never an HTTP status: whoever asks once is not slow. It stands for a client that takes too long to be answered.
        Code::SlowClient => ("slow_client", 408, 4408, true),
        Code::ShuttingDown => ("shutting_down", 503, 1012, true),
    };
    Meaning { name, http, close, retry }
}

impl Code {
    /// The name on the wire, such as `unknown_route`.
    pub fn name(self) -> &'static str {
        meaning(self).name
    }

    /// The HTTP status it has.
    pub fn http_status(self) -> u16 {
        meaning(self).http
    }

    /// Whether asking again can help: at once, after a while, or with a new token.
    pub fn may_retry(self) -> bool {
        meaning(self).retry
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The message that tells a client this. `reference` is what the log says of a problem, too.
pub fn message(told: &Told, format: Format, reference: &str) -> String {
    match told {
        Told::Update(update) => update_message(update, format),
        Told::Status(status) => status_message(status),
        Told::Problem(problem) => problem_message(problem, reference),
    }
}

/// `{"revision":..,"from":..,"patch":..}`
pub fn update_message(update: &Update, format: Format) -> String {
    let (key, text) = match format {
        Format::Patch => ("patch", update.patch()),
        Format::MergePatch => ("patch", update.merge_patch()),
        Format::Document => ("document", update.document_text()),
    };
    let from = update.from.as_ref().filter(|_| format != Format::Document);
    let mut out = String::with_capacity(text.len() + 128);
    out.push_str(r#"{"revision":"#);
    push_string(&mut out, &update.revision.to_string());
    out.push_str(r#","from":"#);
    match from {
        Some(revision) => push_string(&mut out, &revision.to_string()),
        None => out.push_str("null"),
    }
    let _ = write!(out, r#","{key}":{text}}}"#);
    out
}

/// `{"status":{"state":..,"code":..,"since":..}}`; without a code when live.
pub fn status_message(status: &Status) -> String {
    let mut out = String::from(r#"{"status":{"state":"#);
    push_string(&mut out, state_name(status.state));
    if let Some(code) = status.code {
        let _ = write!(out, r#","code":"{}""#, meaning(code).name);
    }
    let _ = write!(out, r#","since":"{}"}}}}"#, rfc3339(status.since));
    out
}

/// `{"error":{"code":..,"message":..,"retry":..,"reference":..}}`
pub fn problem_message(problem: &Problem, reference: &str) -> String {
    let Meaning { name, retry, .. } = meaning(problem.code);
    let mut out = format!(r#"{{"error":{{"code":"{name}","message":"#);
    push_string(&mut out, &problem.message);
    let _ = write!(out, r#","retry":{retry},"reference":"#);
    push_string(&mut out, reference);
    out.push_str("}}");
    out
}

/// The value of the header `Sangre-Status`: `live`, or such as `stale; code=database_unreachable`.
pub fn status_header(status: &Status) -> String {
    match status.code {
        Some(code) => format!("{}; code={}", state_name(status.state), meaning(code).name),
        None => state_name(status.state).into(),
    }
}

/// `{"pong":..,"lsn":..}`, with what the ping carried.
pub fn pong_message(ping: &Value, lsn: Lsn) -> String {
    format!(r#"{{"pong":{},"lsn":"{lsn}"}}"#, ping.to_json())
}

/// A message as a server-sent event.
pub fn server_sent_event(told: &Told, format: Format, reference: &str) -> String {
    let data = message(told, format, reference);
    match told {
        Told::Update(update) => format!("id: {}\nevent: patch\ndata: {data}\n\n", update.revision),
        Told::Status(_) => format!("event: status\ndata: {data}\n\n"),
        Told::Problem(_) => format!("event: problem\ndata: {data}\n\n"),
    }
}

/// The server-sent comment that keeps an idle stream alive.
pub const KEEP_ALIVE: &str = ":\n\n";

/// What a client says on the socket of a route.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMessage {
    /// Is answered with a pong that carries the same value.
    Ping(Value),
    /// An answer, or something that a newer client says and that can be ignored.
    Other,
}

/// Reads a client's text frame. What is known but not supported is refused by name.
pub fn client_message(text: &str) -> Result<ClientMessage, String> {
    let Ok(Value::Object(message)) = Value::parse_json(text) else {
        return Err("a frame is a JSON object such as {\"ping\":1}".into());
    };
    if let Some(name) =
        ["subscribe", "unsubscribe", "await", "auth"].into_iter().find(|name| message.get(name).is_some())
    {
        return Err(format!("`{name}` is not supported yet"));
    }
    match message.get("ping") {
        Some(Value::Array(_) | Value::List(_) | Value::Object(_)) => {
            Err("`ping` carries a number, a string, true, false or null".into())
        }
        Some(ping) => Ok(ClientMessage::Ping(ping.clone())),
        None => Ok(ClientMessage::Other),
    }
}

/// A revision as an entity tag.
pub fn entity_tag(revision: &Revision) -> String {
    format!("\"{}\"", revision)
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Live => "live",
        State::Stale => "stale",
        State::Degraded => "degraded",
    }
}

/// Appends a JSON string.
fn push_string(out: &mut String, text: &str) {
    out.push_str(&Json::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn revision(text: &str) -> Revision {
        text.parse().expect("a revision")
    }

    fn value(text: &str) -> Value {
        Value::parse_json(text).expect("JSON")
    }

    #[test]
    fn updates() {
        let first = Update::whole(revision("0/16B3748"), value(r#"{"id":1,"gone":null}"#));
        let step =
            |from: &str, to: &str| Update::step(revision("0/16B3801"), value(to), revision("0/16B3748"), value(from));
        let changed = step(r#"{"id":1,"gone":null}"#, r#"{"id":2,"gone":null}"#);
        let (same, same_list) = (step(r#"{"id":1}"#, r#"{"id":1}"#), step("[1]", "[1]"));
        for (update, format, text) in [
            (&first, Format::Patch, r#"from":null,"patch":[{"op":"replace","path":"","value":{"id":1,"gone":null}}]}"#),
            (&first, Format::Document, r#"from":null,"document":{"id":1,"gone":null}}"#),
            (&first, Format::MergePatch, r#"from":null,"patch":{"id":1}}"#),
            (&changed, Format::Patch, r#"from":"0/16B3748","patch":[{"op":"replace","path":"/id","value":2}]}"#),
            (&changed, Format::MergePatch, r#"from":"0/16B3748","patch":{"id":2}}"#),
            (&changed, Format::Document, r#"from":null,"document":{"id":2,"gone":null}}"#),
            (&same, Format::Patch, r#"from":"0/16B3748","patch":[]}"#),
            (&same, Format::MergePatch, r#"from":"0/16B3748","patch":{}}"#),
            (&same_list, Format::MergePatch, r#"from":"0/16B3748","patch":[1]}"#),
        ] {
            assert_eq!(update_message(update, format), format!(r#"{{"revision":"{}",""#, update.revision) + text);
        }
    }

    #[test]
    fn statuses_and_problems() {
        let stale = Status { state: State::Stale, code: Some(Code::DatabaseUnreachable), since: UNIX_EPOCH };
        let since = "1970-01-01T00:00:00.000Z";
        assert_eq!(
            status_message(&stale),
            format!(r#"{{"status":{{"state":"stale","code":"database_unreachable","since":"{since}"}}}}"#)
        );
        assert_eq!(status_header(&stale), "stale; code=database_unreachable");
        let live = Status { state: State::Live, code: None, since: UNIX_EPOCH };
        assert_eq!(status_message(&live), format!(r#"{{"status":{{"state":"live","since":"{since}"}}}}"#));
        assert_eq!(status_header(&live), "live");
        let problem = Problem { code: Code::TokenExpired, message: "say \"again\"\n".into() };
        assert_eq!(
            problem_message(&problem, "k1"),
            r#"{"error":{"code":"token_expired","message":"say \"again\"\n","retry":true,"reference":"k1"}}"#
        );
    }

    #[test]
    fn events_are_one_line_of_data() {
        let id = "0/1.2-00000000000000ff";
        let update = Update::whole(revision(id), value("\"a\\nb\""));
        assert_eq!(
            server_sent_event(&Told::Update(update), Format::Document, ""),
            format!("id: {id}\nevent: patch\ndata: {{\"revision\":\"{id}\",\"from\":null,\"document\":\"a\\nb\"}}\n\n")
        );
    }

    #[test]
    fn frames_of_clients() {
        assert_eq!(client_message(r#"{"ping":1}"#), Ok(ClientMessage::Ping(Value::Int(1))));
        assert_eq!(client_message(r#"{"pong":1}"#), Ok(ClientMessage::Other));
        assert_eq!(client_message(r#"{"subscribe":{}}"#), Err("`subscribe` is not supported yet".into()));
        for bad in ["", "1", "[]", "{", r#"{"ping":[]}"#] {
            assert!(client_message(bad).is_err(), "{bad}");
        }
        assert_eq!(pong_message(&Value::Text("a".into()), Lsn(0x16B_3801)), r#"{"pong":"a","lsn":"0/16B3801"}"#);
    }
}
