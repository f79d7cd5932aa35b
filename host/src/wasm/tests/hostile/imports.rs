//! What guests may ask of the host: to write to the log, and little else.
//!
//! What programs in Rust find when they open files, connect, read clocks or exit is in `tests/rust.rs`.

use super::*;

/// The interface `log`, and its functions as the core functions `host.write` and `host.fail`.
const LOG: &str = r#"
    (import "sangre:node/log@0.1.0" (instance $log
        (type $l (enum "debug" "info" "warn" "error")) (export "level" (type $level (eq $l)))
        (export "write" (func (param "level" $level) (param "message" string)))
        (export "fail" (func (param "message" string)))))
    (core func $write (canon lower (func $log "write") (memory (core memory $libc "memory"))))
    (core func $fail (canon lower (func $log "fail") (memory (core memory $libc "memory"))))
    (core instance $host (export "write" (func $write)) (export "fail" (func $fail)))"#;

fn with_log(body: &str) -> Wat<'_> {
    Wat {
        outside: LOG,
        with: "(with \"host\" (instance $host))",
        core_imports: "(import \"host\" \"write\" (func $write (param i32 i32 i32))) \
            (import \"host\" \"fail\" (func $fail (param i32 i32)))",
        body,
        ..Wat::default()
    }
}

#[tokio::test]
async fn what_this_server_does_not_have_is_named() {
    for name in ["wasi:http/types@0.2.0", "sangre:node/database@0.1.0", "acme:clock/now"] {
        let outside = format!(r#"(import "{name}" (instance (export "f" (func))))"#);
        let refusal = Wat { outside: &outside, ..Wat::default() }.refusal().await;
        assert!(refusal.starts_with("does not fit this server: ") && refusal.contains(name), "{refusal}");
    }
    // What there is, with another type.
    let outside = r#"(import "sangre:node/log@0.1.0" (instance (export "write" (func (param "level" u32)))))"#;
    let refusal = Wat { outside, ..Wat::default() }.refusal().await;
    assert!(refusal.starts_with("does not fit this server: ") && refusal.contains("log@0.1.0"), "{refusal}");
}

#[tokio::test]
async fn a_flood_of_lines_meets_the_deadline_and_a_smaller_one_none() {
    let lines = |times: u32| {
        format!(
            "(local $i i32) (loop (call $write (i32.const 1) (i32.const 64) (i32.const 3)) \
             (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {times}))))"
        )
    };
    assert_eq!(with_log(&lines(1_000)).answer().await.as_deref(), Ok("1"));
    assert_eq!(
        with_log(&lines(1 << 30)).fault().await,
        "took longer than its deadline of 100 ms (`deadline:` sets it)"
    );
}

#[tokio::test]
async fn a_line_larger_than_all_a_guest_may_say_is_its_fault() {
    // 13 MB, of which the host would make a copy.
    let body = "(drop (memory.grow (i32.const 250))) (call $write (i32.const 1) (i32.const 64) (i32.const 13000000))";
    let fault = with_log(body).fault().await;
    assert_eq!(fault, "said more than it may in one call: 8 MiB of answers and 4 MiB of messages");
    let fault = with_log("(call $write (i32.const 9) (i32.const 64) (i32.const 3))").fault().await;
    assert!(fault.starts_with("broke the interface: "), "{fault}");
}

#[tokio::test]
async fn last_words_are_the_message_and_are_cut() {
    let body = "(call $fail (i32.const 64) (i32.const 3)) unreachable";
    assert_eq!(with_log(body).fault().await, "[1]");
    let body = "(call $fail (i32.const 64) (i32.const 100000)) unreachable";
    assert_eq!(with_log(body).fault().await.len(), 4_096 + '…'.len_utf8());
    // Said without need, they harm no row.
    let body = "(call $fail (i32.const 64) (i32.const 3))";
    assert_eq!(with_log(body).answer().await.as_deref(), Ok("1"));
}

#[tokio::test]
async fn the_environment_is_empty() {
    let outside = r#"
        (import "wasi:cli/environment@0.2.0" (instance $environment
            (export "get-environment" (func (result (list (tuple string string)))))))
        (core func $get (canon lower (func $environment "get-environment")
            (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
        (core instance $host (export "get" (func $get)))"#;
    // Traps if there are any variables.
    let wat = Wat {
        outside,
        with: "(with \"host\" (instance $host))",
        core_imports: "(import \"host\" \"get\" (func $get (param i32)))",
        body: "(call $get (i32.const 32)) (if (i32.load (i32.const 36)) (then unreachable))",
        ..Wat::default()
    };
    assert_eq!(wat.answer().await.as_deref(), Ok("1"));
}
