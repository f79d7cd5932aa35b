//! Guests that want more memory than they may have, their own or the host's.

use super::*;

const TOO_MUCH: &str = "used more than its 64 MiB of memory";

#[tokio::test]
async fn memory_beyond_the_limit_is_refused() {
    let grow = "(if (i32.eq (memory.grow (i32.const 2000)) (i32.const -1)) (then unreachable))";
    assert_eq!(Wat { body: grow, ..Wat::default() }.fault().await, TOO_MUCH);
    let little_by_little = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";
    assert_eq!(Wat { body: little_by_little, ..Wat::default() }.fault().await, TOO_MUCH);
    let at_start = format!("(func $start {grow}) (start $start)");
    assert_eq!(Wat { core: &at_start, ..Wat::default() }.refusal().await, format!("cannot be started: {TOO_MUCH}"));
}

#[tokio::test]
async fn one_that_begins_with_too_much_is_not_taken() {
    let outside = "(core module $big (memory 20000)) (core instance (instantiate $big))";
    let refusal = Wat { outside, ..Wat::default() }.refusal().await;
    assert!(refusal.contains("memory"), "{refusal}");
}

#[tokio::test]
async fn endless_recursion_is_stopped() {
    let fault = Wat { body: "(call $deep)", ..Wat::default() }.fault().await;
    assert_eq!(fault, "recursion too deep: the call stack is used up");
}

#[tokio::test]
async fn tables_have_a_limit() {
    let core = "(table $t 1 funcref)";
    let body = "(if (i32.eq (table.grow $t (ref.null func) (i32.const 1000000)) (i32.const -1)) (then unreachable))";
    assert_eq!(Wat { core, body, ..Wat::default() }.fault().await, "used a table of more than 100000 entries");
    let refusal = Wat { core: "(table 5000000 funcref)", ..Wat::default() }.refusal().await;
    assert!(refusal.contains("table"), "{refusal}");
}

#[tokio::test]
async fn handles_have_a_limit() {
    // Resources of its own are the host's memory, and no function of the host makes them.
    let outside = "(type $r (resource (rep i32))) (core func $new (canon resource.new $r)) \
        (core instance $own (export \"new\" (func $new)))";
    let wat = Wat {
        outside,
        with: "(with \"own\" (instance $own))",
        core_imports: "(import \"own\" \"new\" (func $new (param i32) (result i32)))",
        body: "(loop (drop (call $new (i32.const 1))) (br 0))",
        ..Wat::default()
    };
    let fault = wat.fault().await;
    assert_eq!(fault, "broke the interface: cannot allocate another handle: store handle limit exceeded");
}

#[tokio::test]
async fn streams_have_a_limit() {
    let outside = "(import \"wasi:io/streams@0.2.0\" (instance $streams (export \"output-stream\" (type (sub resource))))) \
        (alias export $streams \"output-stream\" (type $stream)) \
        (import \"wasi:cli/stdout@0.2.0\" (instance $stdout \
            (alias outer 1 $stream (type $s)) (export \"output-stream\" (type $o (eq $s))) \
            (export \"get-stdout\" (func (result (own $o)))))) \
        (core func $new (canon lower (func $stdout \"get-stdout\"))) \
        (core instance $own (export \"new\" (func $new)))";
    let wat = Wat {
        outside,
        with: "(with \"own\" (instance $own))",
        core_imports: "(import \"own\" \"new\" (func $new (result i32)))",
        body: "(loop (drop (call $new)) (br 0))",
        ..Wat::default()
    };
    let fault = wat.fault().await;
    assert!(fault.starts_with("broke the interface: "), "{fault}");
}
