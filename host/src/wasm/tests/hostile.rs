//! Guests that misbehave, written by hand, and files that are no guests.

use super::*;

/// A map whose `transform` runs `body` and then answers the bytes of `text`. `$n` is how many bytes the batch has.
fn map(body: &str, text: &str) -> Vec<u8> {
    component("map-rows", "transform", body, text)
}

fn component(interface: &str, function: &str, body: &str, text: &str) -> Vec<u8> {
    let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let length = text.len();
    let source = format!(
        r#"(component
            (type $interface (instance
                (type $f (record (field "row" u32) (field "message" string)))
                (export "failure" (type $failure (eq $f)))
                (type $a (record (field "values" string) (field "failures" (list $failure))))
                (export "answers" (type (eq $a)))))
            (import "sangre:node/types@0.1.0" (instance $types (type $interface)))
            (alias export $types "answers" (type $answers))
            (core module $m
                (memory (export "memory") 2)
                (data (i32.const 64) "{escaped}")
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
                (func $deep (call $deep))
                (func (export "call") (param $at i32) (param $n i32) (result i32)
                    {body}
                    (i32.store (i32.const 0) (i32.const 64))
                    (i32.store (i32.const 4) (i32.const {length}))
                    (i32.const 0)))
            (core instance $i (instantiate $m))
            (func $call (param "batch" string) (result $answers)
                (canon lift (core func $i "call") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (instance $node (export "{function}" (func $call)))
            (export "sangre:node/{interface}@0.1.0" (instance $node)))"#
    );
    wat::parse_str(source).expect("a component")
}

async fn answer(bytes: Vec<u8>) -> Result<String, String> {
    Bench::new("probe.wasm", &bytes, |_| {}).once("1").await
}

async fn refused(bytes: &[u8]) -> String {
    Bench::new("probe.wasm", bytes, |_| {}).failed().await
}

#[tokio::test]
async fn a_well_behaved_one_is_answered() {
    assert_eq!(answer(map("", "[42]")).await.as_deref(), Ok("42"));
}

#[tokio::test]
async fn an_endless_loop_meets_its_deadline() {
    assert_eq!(answer(map("(loop (br 0))", "[1]")).await, Err("took longer than its deadline of 100 ms".into()));
}

#[tokio::test]
async fn one_that_hangs_on_every_row_is_given_up_soon() {
    let mut bench =
        Bench::new("probe.wasm", &map("(loop (br 0))", "[1]"), |spec| spec.deadline = Duration::from_millis(20));
    let version = bench.loaded().await;
    let rows: Vec<String> = (0..5_000).map(|row| row.to_string()).collect();
    let since = std::time::Instant::now();
    let answers = bench.ask(version, "{}", &rows.iter().map(|row| &**row).collect::<Vec<_>>()).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|message| message.contains("20 ms"))));
    assert!(since.elapsed() < Duration::from_secs(10), "5,000 deadlines would be 100 s");
}

#[tokio::test]
async fn endless_recursion_is_stopped() {
    let error = answer(map("(call $deep)", "[1]")).await;
    assert_eq!(error, Err("recursion too deep: the call stack is used up".into()));
}

#[tokio::test]
async fn memory_beyond_the_limit_is_refused() {
    let body = "(if (i32.eq (memory.grow (i32.const 2000)) (i32.const -1)) (then unreachable))";
    assert_eq!(answer(map(body, "[1]")).await, Err("used more than its 64 MiB of memory".into()));
}

#[tokio::test]
async fn a_trap_is_that_rows_error() {
    let error = answer(map("unreachable", "[1]")).await;
    assert!(error.as_ref().is_err_and(|message| message.contains("unreachable")), "{error:?}");
    // Traps on any batch of more than a few bytes: rows alone are answered all the same.
    let mut bench = Bench::new(
        "probe.wasm",
        &map("(if (i32.gt_u (local.get $n) (i32.const 27)) (then unreachable))", "[1]"),
        |_| {},
    );
    let version = bench.loaded().await;
    let long = format!("\"{}\"", "x".repeat(50));
    let answers = bench.ask(version, "{}", &["1", "2", &long, "3"]).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3, "{answers:?}");
    assert!(answers[2].is_err());
}

#[tokio::test]
async fn wrong_answers_are_named() {
    assert_eq!(answer(map("", "[1,2]")).await, Err("answered 2 values for 1 rows".into()));
    let error = answer(map("", "[1\u{80}]")).await;
    assert!(error.as_ref().is_err_and(|message| message.starts_with("answered invalid JSON")), "{error:?}");
    let error = answer(map("", "[1")).await;
    assert!(error.as_ref().is_err_and(|message| message.starts_with("answered invalid JSON")), "{error:?}");
    let deep = format!("[{}{}]", "[".repeat(200), "]".repeat(200));
    assert_eq!(answer(map("", &deep)).await, Err("answered JSON nested deeper than 100 levels".into()));
    let filter = component("filter-rows", "keep", "", "[null]");
    assert_eq!(answer(filter).await, Err("keep answered null: missing return?".into()));
}

#[tokio::test]
async fn answers_have_a_limit() {
    let body = "(drop (memory.grow (i32.const 200))) (i32.store (i32.const 0) (i32.const 131072)) (i32.store (i32.const 4) (i32.const 9000000)) (return (i32.const 0))";
    let error = answer(map(body, "[1]")).await;
    assert_eq!(error, Err("answered 9000000 bytes: a batch's answers may have 8388608".into()));
}

#[tokio::test]
async fn what_is_no_node_is_refused_by_name() {
    assert!(refused(b"").await.contains("not a WebAssembly component"));
    assert!(refused(b"export default 1").await.contains("not a WebAssembly component"));
    assert!(refused(&wat::parse_str("(module)").expect("a module")).await.contains("core WebAssembly module"));
    assert!(refused(&wat::parse_str("(component)").expect("a component")).await.contains("exports no node"));
    let whole = map("", "[1]");
    assert!(refused(&whole[..whole.len() / 2]).await.contains("cut short"));
    let newer = component("map-rows", "transform", "", "[1]");
    let newer = String::from_utf8_lossy(&newer).contains("0.1.0").then_some(newer).expect("has its version");
    let newer: Vec<u8> = replace(&newer, b"map-rows@0.1.0", b"map-rows@0.9.0");
    assert_eq!(refused(&newer).await, "speaks sangre:node 0.9, this server speaks 0.1");
    let stranger = r#"(component (import "wasi:http/types@0.2.0" (instance (export "f" (func)))) (core module $m (memory (export "memory") 1)))"#;
    let error = refused(&wat::parse_str(stranger).expect("a component")).await;
    assert!(error.contains("exports no node"), "{error}");
}

#[tokio::test]
async fn a_file_too_large_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("big.wasm");
    std::fs::write(&path, vec![0; 100]).expect("written");
    let settings = HostSettings { component_bytes: 99, ..settings() };
    let spec = NodeSpec::new(NODE, "big", NodeSource::Component(path));
    let (_host, mut events) = NodeHost::start(settings, vec![spec]).expect("starts");
    let Some(NodeEvent::Failed { reason, .. }) = events.recv().await else { panic!("loaded") };
    assert!(reason.contains("has 100 bytes: a node may have 99"), "{reason}");
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = out[at..].windows(from.len()).position(|window| window == from) {
        out[at + found..at + found + from.len()].copy_from_slice(to);
        at += found + from.len();
    }
    out
}
