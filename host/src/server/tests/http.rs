//! Questions with one answer.

use std::time::Duration;

use super::fake::{CODES, revision};
use super::*;
use crate::server::{Auth, ServerError};
use crate::session::protocol::meaning;

#[tokio::test]
async fn a_document_has_a_tag_and_is_not_sent_twice() {
    let server = start().await;
    let answer = get(server.address, "/doc?hour=3&access_token=secret", &[]).await;
    assert_eq!((answer.status, &*answer.body), (200, r#"{"n":1,"pad":"","none":null}"#));
    assert_eq!(answer.header("etag"), tag("doc", 1));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    assert_eq!(answer.header("vary"), "Accept, Origin, Authorization, Cookie");
    assert_eq!(answer.header("sangre-status"), "live");
    {
        let asks = server.fake.asks.lock().expect("a lock");
        assert_eq!(asks[0].query, [("hour".into(), "3".into())]);
    }

    let one = tag("doc", 1);
    for tags in [&*one, &format!("W/{one}"), &format!("\"x\", {one}"), "*"] {
        let answer = get(server.address, "/doc", &[("If-None-Match", tags)]).await;
        assert_eq!((answer.status, &*answer.body), (304, ""), "{tags}");
        assert_eq!(answer.header("etag"), tag("doc", 1));
    }
    server.fake.commit();
    let answer = get(server.address, "/doc", &[("If-None-Match", &*one)]).await;
    assert_eq!((answer.status, &*answer.body), (200, r#"{"n":2,"pad":"","none":null}"#));
    assert_eq!(answer.header("etag"), tag("doc", 2));

    let head = request(server.address, "HEAD", "/doc", &[]).await;
    assert_eq!((head.status, &*head.body, head.header("content-length")), (200, "", "28"));
    assert_eq!(request(server.address, "POST", "/doc", &[]).await.status, 405);
}

#[tokio::test]
async fn one_message_since_a_revision() {
    let server = start().await;
    server.fake.commit();
    let since = async |revision: &str| get(server.address, &format!("/doc?revision={revision}"), &[]).await.body;
    let (one, two) = (revision("doc", 1), revision("doc", 2));
    let step = format!(r#"{{"revision":"{two}","from":"{one}","patch":[{{"op":"replace","path":"/n","value":2}}]}}"#);
    assert_eq!(since(&one.to_string()).await, step);
    assert_eq!(since(&two.to_string()).await, format!(r#"{{"revision":"{two}","from":"{two}","patch":[]}}"#));
    let whole = r#"{"n":2,"pad":"","none":null}"#;
    let anew = format!(r#"{{"revision":"{two}","from":null,"patch":[{{"op":"replace","path":"","value":{whole}}}]}}"#);
    for foreign in [&*revision("big", 1).to_string(), &*revision("doc", 9).to_string(), "0/1", "nonsense", ""] {
        assert_eq!(since(foreign).await, anew, "{foreign}");
    }
    let merged = format!(r#"{{"revision":"{two}","from":"{one}","patch":{{"n":2}}}}"#);
    assert_eq!(since(&format!("{one}&format=merge-patch")).await, merged);
    let document = format!(r#"{{"revision":"{two}","from":null,"document":{whole}}}"#);
    assert_eq!(since(&format!("{one}&format=document")).await, document);
    assert_eq!(get(server.address, "/doc?format=merge-patch", &[]).await.body, r#"{"n":2,"pad":""}"#);
}

#[tokio::test]
async fn after_waits() {
    let server = start().await;
    let waiting = tokio::spawn(async move { get(server.address, "/doc?after=0/3", &[]).await });
    while server.fake.open() == 0 {
        tokio::task::yield_now().await;
    }
    server.fake.commit();
    server.fake.commit();
    assert_eq!(waiting.await.expect("no panic").header("etag"), tag("doc", 3));
    assert_eq!(get(server.address, "/doc?after=xid:7", &[]).await.status, 504);
    assert_eq!(get(server.address, "/doc?after=7", &[]).await.status, 400);
}

#[tokio::test]
async fn every_code_has_its_status() {
    let server = start().await;
    for (index, code) in CODES.into_iter().enumerate() {
        let expected = meaning(code);
        for headers in [&[][..], &[("Accept", "text/event-stream")]] {
            let answer = get(server.address, &format!("/fail/{index}"), headers).await;
            assert_eq!(answer.status, expected.http, "{code:?}");
            let start = format!(
                r#"{{"error":{{"code":"{}","message":"as asked","retry":{},"reference":""#,
                expected.name, expected.retry
            );
            assert!(answer.body.starts_with(&start), "{}", answer.body);
        }
    }
    assert_eq!(get(server.address, "/unknown", &[]).await.status, 404);
    let multiplexed = get(server.address, "/sangre", &[]).await;
    assert_eq!(multiplexed.status, 404);
    assert!(multiplexed.body.contains("is not supported yet"), "{}", multiplexed.body);
    assert_eq!(get(server.address, "/stale", &[]).await.header("sangre-status"), "stale; code=database_unreachable");
}

#[tokio::test]
async fn foreign_pages_and_names_are_refused() {
    let server = start().await;
    for (headers, status) in [
        (&[("Origin", "https://evil.example")][..], 403),
        (&[("Origin", "null")], 403),
        (&[("Host", "evil.example")], 403),
        (&[("Host", "evil.example"), ("Origin", "http://evil.example")], 403),
        (&[("Origin", "https://app.example.com")], 200),
        (&[("Origin", "http://localhost:5173")], 200),
        (&[("Host", "localhost")], 200),
    ] {
        let answer = get(server.address, "/doc", headers).await;
        assert_eq!(answer.status, status, "{headers:?}");
        let allowed =
            headers.iter().find(|(name, _)| *name == "Origin" && status == 200).map_or("", |(_, value)| value);
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
        assert_eq!(
            get(server.admin, "/healthz", headers).await.status == 403,
            status == 403 || allowed.contains("app")
        );
    }
    let preflight = [("Origin", "https://app.example.com"), ("Access-Control-Request-Method", "GET")];
    let answer = request(server.address, "OPTIONS", "/doc", &preflight).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.com");
    assert!(answer.header("access-control-allow-headers").contains("Last-Event-ID"));
    let foreign = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "GET")];
    assert_eq!(request(server.address, "OPTIONS", "/doc", &foreign).await.status, 403);
}

#[tokio::test]
async fn limits() {
    let server = start_with(|settings| {
        settings.limits.url_bytes = 100;
        settings.limits.connections_per_client = 1;
        settings.timing.idle = Duration::from_millis(200);
    })
    .await;
    assert_eq!(get(server.address, &format!("/doc?a={}", "x".repeat(100)), &[]).await.status, 414);
    let mut idle = TcpStream::connect(server.address).await.expect("a connection");
    let answer = get(server.address, "/doc", &[]).await;
    assert_eq!((answer.status, answer.header("connection")), (429, "close"));
    assert_eq!(idle.read(&mut [0]).await.expect("closed by the server"), 0);
    while get(server.address, "/doc", &[]).await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_operators_port() {
    let server = start().await;
    assert_eq!(get(server.admin, "/healthz", &[]).await.status, 200);
    let ready = get(server.admin, "/readyz", &[]).await;
    assert_eq!((ready.status, &*ready.body), (200, r#"{"ready":true,"reasons":["q is broken"]}"#), "others are served");
    server.fake.reasons.lock().expect("a lock").push("the database is unreachable".into());
    let answer = get(server.admin, "/readyz", &[]).await;
    assert_eq!(
        (answer.status, &*answer.body),
        (503, r#"{"ready":false,"reasons":["the database is unreachable","q is broken"]}"#)
    );
    let node = |state: &str| {
        format!(
            "{{\"name\":\"a\",\"kind\":\"map\",\"version\":\"1f\",\"state\":\"{state}\",\"error\":\"oh\",\
             \"file\":\"a.js\",\"queries\":[\"q\"],\"deadline_ms\":100.0,\"memory_limit_bytes\":1048576,\"batches\":2,\"rows\":30,\
             \"errors\":0,\"memo_hits\":0,\"computed_ms\":0.0,\"memory_bytes\":0,\"instances\":0,\"starting_ms\":0.0}}"
        )
    };
    assert_eq!(get(server.admin, "/nodes", &[]).await.body, format!("[{}]", node("failing")));
    for (status, state) in [(200, "running"), (422, "outdated")] {
        let answer = request(server.admin, "POST", "/nodes/a/reload", &[]).await;
        assert_eq!((answer.status, answer.body), (status, node(state)), "it says what came of it");
    }
    assert_eq!(request(server.admin, "POST", "/nodes/b/reload", &[]).await.status, 404);
    assert_eq!(*server.fake.reloaded.lock().expect("a lock"), ["a", "a"]);
    let metrics = get(server.admin, "/metrics", &[]).await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"), "{metrics:?}");
    for line in [
        "# TYPE sangre_commits counter",
        "sangre_upqueries_total 0",
        "sangre_ready 0",
        "sangre_node_rows_total{node=\"a\"} 30",
        "sangre_node_last_error{node=\"a\",error=\"oh\"} 1",
        "sangre_node_running{node=\"a\",version=\"1f\",state=\"failing\"} 0",
        "# EOF",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line} is missing in\n{}", metrics.body);
    }
    assert_eq!(get(server.admin, "/doc", &[]).await.status, 404);
    assert_eq!(
        get(server.address, "/healthz", &[]).await.status,
        404,
        "nothing of the operator's on the clients' port"
    );
}

#[tokio::test]
async fn without_auth_only_this_machine() {
    let settings = ServerSettings::on("0.0.0.0:0");
    assert!(matches!(Server::bind(&settings).await, Err(ServerError::Exposed { .. })));
    assert!(Server::bind(&ServerSettings { auth: Auth::None, ..settings }).await.is_ok());
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_in_flight() {
    let server = start().await;
    let waiting = tokio::spawn(get_owned(server.address, "/doc?after=0/2"));
    while server.fake.open() == 0 {
        tokio::task::yield_now().await;
    }
    server.shutdown.cancel();
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    server.fake.commit();
    assert_eq!(waiting.await.expect("no panic").status, 200);
    server.task.await.expect("the server ends");
}

#[tokio::test]
async fn a_shutdown_cuts_off_what_does_not_end() {
    let server = start_with(|settings| settings.timing.grace = Duration::from_millis(100)).await;
    let waiting = tokio::spawn(get_owned(server.address, "/never"));
    while server.fake.open() == 0 {
        tokio::task::yield_now().await;
    }
    server.shutdown.cancel();
    assert_eq!(waiting.await.expect("no panic").status, 503);
    server.task.await.expect("the server ends");
}

async fn get_owned(address: SocketAddr, target: &'static str) -> Answer {
    get(address, target, &[]).await
}

fn tag(name: &str, n: u64) -> String {
    format!("\"{}\"", revision(name, n))
}
