//! Guests that answer what nobody asked for.

use super::*;

async fn fault(text: &[u8]) -> String {
    Wat { text, ..Wat::default() }.fault().await
}

/// Code that answers the record at 0, made by hand: where the values are and how many bytes they have, where the failures are and
/// how many.
fn record(values: (u32, u32), failures: (u32, u32)) -> String {
    let fields = [values.0, values.1, failures.0, failures.1].into_iter().zip([0, 4, 8, 12]);
    let stores: String =
        fields.map(|(field, at)| format!("(i32.store (i32.const {at}) (i32.const {field}))")).collect();
    format!("{stores} (return (i32.const 0))")
}

/// Where there is nothing but zeros for 45,000 bytes.
const ZEROS: u32 = 20_000;

/// Code that answers `[1]`, and a failure for each of these rows, with messages of this many bytes from `at`.
fn failures(rows: &[u32], (message, length): (u32, u32)) -> String {
    let mut code = String::new();
    for (row, at) in rows.iter().zip((256_u32..).step_by(12)) {
        for (field, at) in [(*row, at), (message, at + 4), (length, at + 8)] {
            code += &format!("(i32.store (i32.const {at}) (i32.const {field}))");
        }
    }
    code + &record((64, 3), (256, rows.len() as u32))
}

#[tokio::test]
async fn a_wrong_number_of_answers() {
    assert_eq!(fault(b"[1,2]").await, "answered 2 values for 1 rows");
    assert_eq!(fault(b"[]").await, "answered 0 values for 1 rows");
    // Of three rows one is right by chance, asked alone; none gets the answer of another.
    let (bench, version) = Wat::default().started().await;
    assert_eq!(bench.ask(version, "{}", &["1", "2", "3"]).await, [Ok("1".into()), Ok("1".into()), Ok("1".into())]);
    let (bench, version) = Wat { text: b"[1,2]", ..Wat::default() }.started().await;
    for answer in bench.ask(version, "{}", &["1", "2", "3"]).await {
        assert!(answer == Err("answered 2 values for 1 rows".into()) || answer.is_ok(), "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_no_json() {
    for text in [&b""[..], b"[1", b"[undefined]", b"[NaN]", b"[1] ]", b"[\"\xc2\x80\x01\"]", b"null", b"{}"] {
        let fault = fault(text).await;
        assert!(fault.starts_with("answered invalid JSON: "), "{text:?}: {fault}");
    }
    let fault = fault(b"[\"\xff\"]").await;
    assert!(fault.starts_with("broke the interface: ") && fault.contains("utf-8"), "{fault}");
}

#[tokio::test]
async fn json_nested_deeply() {
    let deep = format!("[{}{}]", "[".repeat(200), "]".repeat(200));
    assert_eq!(fault(deep.as_bytes()).await, "answered JSON nested deeper than 100 levels");
    let open = "[".repeat(60_000);
    assert_eq!(fault(open.as_bytes()).await, "answered JSON nested deeper than 100 levels");
}

#[tokio::test]
async fn a_filter_says_true_or_false() {
    let filter = |text| Wat { interface: "filter-rows", function: "keep", text, ..Wat::default() };
    assert_eq!(filter(b"[null]").fault().await, "keep answered null: missing return?");
    assert_eq!(filter(b"[\"true\"]").fault().await, "keep answered \"true\": it has to be true or false");
}

#[tokio::test]
async fn answers_have_a_limit() {
    let body = format!("(drop (memory.grow (i32.const 200))) {}", record((131_072, 9_000_000), (0, 0)));
    let fault = Wat { body: &body, ..Wat::default() }.fault().await;
    assert_eq!(fault, "answered 9000000 bytes: a batch's answers may have 8388608");
}

#[tokio::test]
async fn answers_that_are_not_there() {
    for (values, failures) in [
        ((64, 1 << 30), (0, 0)),
        ((u32::MAX - 8, 64), (0, 0)),
        ((64, 3), (256, 1_000_000_000)),
        ((64, 3), (u32::MAX - 3, 1)),
        ((64, 3), (3, 1)),
    ] {
        let fault = Wat { body: &record(values, failures), ..Wat::default() }.fault().await;
        let expected = ["out of bounds", "not aligned"];
        assert!(fault.starts_with("broke the interface: "), "{values:?} {failures:?}: {fault}");
        assert!(expected.iter().any(|expected| fault.contains(expected)), "{values:?} {failures:?}: {fault}");
    }
    // A record that is not in the memory either.
    let fault = Wat { body: "(return (i32.const -16))", ..Wat::default() }.fault().await;
    assert!(fault.starts_with("broke the interface: "), "{fault}");
}

#[tokio::test]
async fn messages_that_stand_in_the_same_bytes_many_times() {
    let fault = Wat { body: &failures(&[0; 400], (ZEROS, 45_000)), ..Wat::default() }.fault().await;
    assert_eq!(fault, "said more than it may in one call: 8 MiB of answers and 4 MiB of messages");
}

#[tokio::test]
async fn failures_are_of_rows_of_the_batch() {
    let text = b"[1] is no number";
    assert_eq!(Wat { body: &failures(&[0], (64, 16)), text, ..Wat::default() }.fault().await, "[1] is no number");
    assert_eq!(Wat { body: &failures(&[0, 0], (64, 16)), text, ..Wat::default() }.fault().await, "[1] is no number");
    for row in [1, u32::MAX] {
        let fault = Wat { body: &failures(&[row], (64, 16)), ..Wat::default() }.fault().await;
        assert_eq!(fault, format!("says that row {row} failed, of a batch of 1 rows (counted from 0)"));
    }
}

#[tokio::test]
async fn a_long_message_is_cut() {
    let fault = Wat { body: &failures(&[0], (ZEROS, 45_000)), ..Wat::default() }.fault().await;
    assert_eq!(fault.len(), 4_096 + '…'.len_utf8());
}

#[tokio::test]
async fn a_trap_is_that_rows_error() {
    let fault = Wat { body: "unreachable", ..Wat::default() }.fault().await;
    assert_eq!(fault, "trapped: wasm trap: wasm `unreachable` instruction executed");
    // Traps on any batch of more than a few bytes: rows alone are answered all the same.
    let body = "(if (i32.gt_u (local.get $n) (i32.const 27)) (then unreachable))";
    let (bench, version) = Wat { body, ..Wat::default() }.started().await;
    let long = format!("\"{}\"", "x".repeat(50));
    let answers = bench.ask(version, "{}", &["1", "2", &long, "3"]).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3, "{answers:?}");
    assert!(answers[2].is_err());
}
