//! Answers that go on: server-sent events and WebSocket.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::fake::{CODES, revision};
use super::*;
use crate::driver::handle::Code;
use crate::session::protocol::meaning;

fn text(name: &str, n: u64) -> String {
    revision(name, n).to_string()
}

/// A server-sent stream that is being read.
struct Events {
    lines: Lines<BufReader<TcpStream>>,
    headers: HashMap<String, String>,
}

/// `id`, `event`, `data` and comments of one event.
type Event = HashMap<String, String>;

impl Events {
    async fn open(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Events {
        let headers: Vec<_> = headers.iter().copied().chain([("Accept", "text/event-stream")]).collect();
        let mut lines = BufReader::new(send(address, "GET", target, &headers).await).lines();
        let mut head = String::new();
        while let Some(line) = lines.next_line().await.expect("a head").filter(|line| !line.is_empty()) {
            head += &format!("{line}\n");
        }
        let (status, headers) = read_head(&head);
        assert_eq!(status, 200);
        Events { lines, headers }
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        let mut event = Event::new();
        loop {
            let line = self.lines.next_line().await.expect("a line")?;
            match line.split_once(':') {
                Some((field, value)) => {
                    event.insert(field.into(), value.trim().into());
                }
                // The lengths of chunks stand between the lines of events.
                None if line.is_empty() && !event.is_empty() => return Some(event),
                None => {}
            }
        }
    }
}

#[tokio::test]
async fn events_resume_at_the_last_one_heard() {
    let server = start().await;
    let mut events = Events::open(server.address, "/doc", &[]).await;
    assert_eq!(events.headers["content-type"], "text/event-stream");
    assert_eq!(events.headers["cache-control"], "no-store");
    assert_eq!(events.headers["x-accel-buffering"], "no");
    let first = events.next().await.expect("the document");
    assert_eq!((&*first["event"], first["id"].clone()), ("patch", text("doc", 1)));
    assert!(first["data"].starts_with(&format!(r#"{{"revision":"{}","from":null,"#, text("doc", 1))));
    server.fake.commit();
    let second = events.next().await.expect("a step");
    let start = format!(r#"{{"revision":"{}","from":"{}","#, text("doc", 2), text("doc", 1));
    assert!(second["data"].starts_with(&start));

    let one = text("doc", 1);
    for (revision, header) in [(one.clone(), None), (text("doc", 9), Some(&*one))] {
        let headers: Vec<_> = header.iter().map(|id| ("Last-Event-ID", *id)).collect();
        let mut resumed = Events::open(server.address, &format!("/doc?revision={revision}"), &headers).await;
        let step = resumed.next().await.expect("a step");
        assert!(step["data"].starts_with(&start), "{header:?}: {step:?}");
    }
}

#[tokio::test]
async fn events_of_status_problem_and_silence() {
    let server = start_with(|settings| settings.timing.ping = Duration::from_millis(50)).await;
    let mut events = Events::open(server.address, "/stale", &[]).await;
    assert_eq!(events.next().await.expect("the document")["event"], "patch");
    let status = events.next().await.expect("the status");
    assert_eq!(status["event"], "status");
    assert!(status["data"].starts_with(r#"{"status":{"state":"stale","code":"database_unreachable","since":"#));
    assert_eq!(events.next().await.expect("a comment")[""], "");

    let mut events = Events::open(server.address, "/late/4", &[]).await;
    events.next().await.expect("the document");
    let problem = events.next().await.expect("the problem");
    assert_eq!(problem["event"], "problem");
    assert!(problem["data"].contains(r#""code":"unauthenticated""#));
    assert!(events.next().await.is_none());
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(address: SocketAddr, target: &str, headers: &[(&'static str, &str)]) -> Result<Socket, Error> {
    let mut request = format!("ws://{address}{target}").into_client_request().expect("a URL");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a header"));
    }
    connect_async(request).await.map(|(socket, _)| socket)
}

async fn message(socket: &mut Socket) -> Json {
    loop {
        match socket.next().await.expect("a message").expect("a frame") {
            Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
            Message::Ping(_) => {}
            other => panic!("{other:?} in place of a message"),
        }
    }
}

/// The error that comes last, and the code of the close behind it.
async fn end(socket: &mut Socket) -> (String, u16) {
    let error = message(socket).await;
    let code = error["error"]["code"].as_str().unwrap_or_else(|| panic!("{error} in place of an error")).to_owned();
    (code, close(socket).await)
}

async fn close(socket: &mut Socket) -> u16 {
    loop {
        match socket.next().await.expect("a close").expect("a frame") {
            Message::Close(Some(frame)) => return frame.code.into(),
            Message::Ping(_) => {}
            other => panic!("{other:?} in place of a close"),
        }
    }
}

#[tokio::test]
async fn a_socket_follows_and_resumes() {
    let server = start().await;
    let mut socket = connect(server.address, "/doc", &[]).await.expect("accepted");
    assert_eq!(message(&mut socket).await["from"], Json::Null);
    server.fake.commit();
    let step = message(&mut socket).await;
    assert_eq!((&step["revision"], &step["from"]), (&json!(text("doc", 2)), &json!(text("doc", 1))));
    socket.send(Message::text(r#"{"ping":1}"#)).await.expect("sent");
    assert_eq!(message(&mut socket).await, json!({ "pong": 1, "lsn": "0/2" }));

    let mut resumed =
        connect(server.address, &format!("/doc?revision={}", text("doc", 1)), &[]).await.expect("accepted");
    assert_eq!(message(&mut resumed).await["from"], text("doc", 1));
    let mut whole = connect(server.address, "/doc?format=document", &[]).await.expect("accepted");
    assert_eq!(message(&mut whole).await["document"], json!({ "n": 2, "pad": "", "none": null }));

    socket.close(None).await.expect("closed");
    drop((socket, resumed, whole));
    while server.fake.open() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_code_has_its_close() {
    let server = start().await;
    for (index, code) in CODES.into_iter().enumerate() {
        let expected = (meaning(code).name.to_owned(), meaning(code).close);
        let mut socket = connect(server.address, &format!("/fail/{index}"), &[]).await.expect("accepted first");
        assert_eq!(end(&mut socket).await, expected);
        let mut socket = connect(server.address, &format!("/late/{index}"), &[]).await.expect("accepted");
        message(&mut socket).await;
        assert_eq!(end(&mut socket).await, expected);
    }
    for target in ["/unknown", "/sangre"] {
        let mut socket = connect(server.address, target, &[]).await.expect("accepted first");
        assert_eq!(end(&mut socket).await, ("unknown_route".into(), 4404));
    }
    let mut socket = connect(server.address, "/doc?after=1", &[]).await.expect("accepted first");
    assert_eq!(end(&mut socket).await, ("invalid_parameter".into(), 4400));
}

#[tokio::test]
async fn a_foreign_origin_gets_no_socket() {
    let server = start().await;
    for header in [("origin", "https://evil.example"), ("origin", "null"), ("host", "evil.example")] {
        let refused = connect(server.address, "/doc", &[header]).await;
        assert!(matches!(&refused, Err(Error::Http(answer)) if answer.status() == 403), "{header:?}: {refused:?}");
    }
    connect(server.address, "/doc", &[("origin", "https://app.example.com")]).await.expect("accepted");
}

#[tokio::test]
async fn frames_that_are_refused() {
    let server = start().await;
    for frame in [
        Message::text("hello"),
        Message::text(r#"{"subscribe":{"id":"a"}}"#),
        Message::binary(vec![1, 2]),
        Message::text("x".repeat(100 << 10)),
    ] {
        let mut socket = connect(server.address, "/doc", &[]).await.expect("accepted");
        message(&mut socket).await;
        socket.send(frame).await.expect("sent");
        assert_eq!(end(&mut socket).await, ("bad_request".into(), 4400));
    }
}

#[tokio::test]
async fn too_many_connections() {
    let server = start_with(|settings| settings.limits.connections = 1).await;
    let _first = connect(server.address, "/doc", &[]).await.expect("accepted");
    let mut second = connect(server.address, "/doc", &[]).await.expect("accepted first");
    assert_eq!(end(&mut second).await, ("too_many".into(), 4429));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_told_when_it_does() {
    let server = start_with(|settings| {
        settings.limits.queued_bytes = 1 << 20;
        settings.timing.closing = Duration::from_secs(20);
    })
    .await;
    let mut socket = connect(server.address, "/big", &[]).await.expect("accepted");
    // Nobody reads while the documents and the pongs fill the connection and then the outbox.
    let pads = "x".repeat(60 << 10);
    let ping = Message::text(json!({ "ping": pads }).to_string());
    for _ in 0..400 {
        server.fake.commit();
        if tokio::time::timeout(Duration::from_secs(1), socket.send(ping.clone())).await.is_err() {
            break;
        }
    }
    let mut last = Json::Null;
    let code = loop {
        match socket.next().await.expect("a close").expect("a frame") {
            Message::Text(text) => last = serde_json::from_str(&text).expect("whole frames only"),
            Message::Close(Some(frame)) => break u16::from(frame.code),
            _ => {}
        }
    };
    assert_eq!((&last["error"]["code"], code), (&json!("slow_client"), meaning(Code::SlowClient).close));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let server = start_with(|settings| settings.timing.stall = Duration::from_millis(50)).await;
    let mut events = Events::open(server.address, "/big", &[]).await;
    let mut socket = connect(server.address, "/big", &[]).await.expect("accepted");
    // Neither reads on; both connections fill up.
    while server.fake.open() > 0 {
        server.fake.commit();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while let Some(Ok(_)) = socket.next().await {}
    while events.lines.next_line().await.is_ok_and(|line| line.is_some()) {}
}

#[tokio::test]
async fn a_slow_client_gets_the_newest_in_one_step() {
    let server = start().await;
    let mut socket = connect(server.address, "/big", &[]).await.expect("accepted");
    message(&mut socket).await;
    // Far more than a connection holds: most of these must coalesce.
    for _ in 0..200 {
        server.fake.commit();
        tokio::task::yield_now().await;
    }
    let (mut held, mut steps) = (json!(text("big", 1)), 0);
    while held != text("big", 201) {
        let step = message(&mut socket).await;
        assert_eq!(step["from"], held, "each step follows on the last");
        held = step["revision"].clone();
        steps += 1;
    }
    assert!(steps < 100, "{steps} steps for 200 commits");
}

#[tokio::test]
async fn silence_closes_and_pings_keep_open() {
    let server = start_with(|settings| {
        settings.timing.ping = Duration::from_millis(20);
        settings.timing.silence = Duration::from_millis(200);
    })
    .await;
    let mut socket = connect(server.address, "/doc", &[]).await.expect("accepted");
    message(&mut socket).await;
    // Reading answers the pings.
    let heard = tokio::time::timeout(Duration::from_millis(600), socket.next());
    let pinged = async { heard.await.expect("a ping in time").expect("open").expect("a frame") };
    assert!(matches!(pinged.await, Message::Ping(_)));
    let open = async {
        loop {
            let frame = socket.next().await.expect("open").expect("a frame");
            assert!(matches!(frame, Message::Ping(_)), "{frame:?}");
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(600), open).await.is_err());
    // Who does not read is silent.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(close(&mut socket).await, 1001);
}

#[tokio::test]
async fn a_shutdown_is_announced() {
    let server = start().await;
    let mut socket = connect(server.address, "/doc", &[]).await.expect("accepted");
    message(&mut socket).await;
    let mut waiting = connect(server.address, "/never", &[]).await.expect("accepted");
    let mut events = Events::open(server.address, "/doc", &[]).await;
    events.next().await.expect("the document");
    server.shutdown.cancel();
    for socket in [&mut socket, &mut waiting] {
        assert_eq!(end(socket).await, ("shutting_down".into(), 1012));
    }
    let last = events.next().await.expect("the problem");
    assert!(last["data"].contains(r#""code":"shutting_down""#));
    assert!(events.next().await.is_none());
    server.task.await.expect("the server ends");
    assert!(TcpStream::connect(server.address).await.is_err());
}
