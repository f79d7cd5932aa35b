//! Guests that do not come to an end: in every function the host calls.

use std::time::Instant;

use super::*;

const FOR_EVER: &str = "(loop (br 0))";
const LATE: &str = "took longer than its deadline of 100 ms (`deadline:` sets it)";

#[tokio::test]
async fn an_endless_loop_meets_its_deadline_wherever_it_is() {
    for (interface, function) in [("filter-rows", "keep"), ("map-rows", "transform"), ("reduce-lists", "reduce")] {
        assert_eq!(Wat { interface, function, body: FOR_EVER, ..Wat::default() }.fault().await, LATE, "{function}");
    }
    assert_eq!(Wat { realloc: FOR_EVER, ..Wat::default() }.fault().await, LATE, "given the batch");
    assert_eq!(Wat { post_return: Some(FOR_EVER), ..Wat::default() }.fault().await, LATE, "after its answer");
}

#[tokio::test]
async fn one_that_never_starts_is_not_taken() {
    let start = |body: &str| format!("(func $start {body}) (start $start)");
    let refusal = async |body: &str| Wat { core: &start(body), ..Wat::default() }.refusal().await;
    assert_eq!(refusal(FOR_EVER).await, format!("cannot be started: {LATE}"));
    assert_eq!(refusal("(call $deep)").await, "cannot be started: recursion too deep: the call stack is used up");
    let trap = refusal("unreachable").await;
    assert_eq!(trap, "cannot be started: wasm trap: wasm `unreachable` instruction executed");
}

#[tokio::test]
async fn a_script_that_never_ends_while_it_is_loaded_is_not_taken() {
    assert_eq!(Bench::script("for (;;);").failed().await, format!("probe.js: {LATE}"));
}

#[tokio::test]
async fn one_that_hangs_on_every_row_is_given_up_soon() {
    let bytes = Wat { body: FOR_EVER, ..Wat::default() }.build();
    let mut bench = Bench::new("probe.wasm", &bytes, |spec| spec.limits.deadline = Duration::from_millis(20));
    let version = bench.loaded().await;
    let rows: Vec<String> = (0..5_000).map(|row| row.to_string()).collect();
    // At 20 ms each they would take longer than the bench waits.
    let answers = bench.ask(version, "{}", &rows.iter().map(|row| &**row).collect::<Vec<_>>()).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|message| message.contains("20 ms"))));
    let given_up = answers.iter().filter(|answer| answer.as_ref().is_err_and(|said| said.starts_with("not evaluated")));
    assert!(given_up.count() > 4_000);
}

#[tokio::test]
async fn one_that_hangs_now_and_then_harms_only_those_rows() {
    // As long as the batch with the row 1234567.
    let body = format!("(if (i32.eq (local.get $n) (i32.const 30)) (then {FOR_EVER}))");
    let (bench, version) = Wat { body: &body, ..Wat::default() }.started().await;
    for (row, expected) in [("1", Ok("1".into())), ("1234567", Err(LATE.into())), ("2", Ok("1".into()))] {
        assert_eq!(bench.ask(version, "{}", &[row]).await, [expected], "{row}");
    }
}

#[tokio::test]
async fn one_that_computes_much_for_nothing_rests_until_a_new_version_comes() {
    let source = "export const transform = (n) => { if (n === 1) for (;;); return n; };";
    let mut bench =
        Bench::new("probe.js", source.as_bytes(), |spec| spec.limits.deadline = Duration::from_millis(1_400));
    let version = bench.loaded().await;
    let program = bench.host.program_of(NODE, version).expect("loaded");
    assert_eq!(program.rests_until(Instant::now()), None);
    // It rests for nine seconds.
    let late = bench.ask(version, "{}", &["1"]).await.remove(0);
    assert_eq!(late, Err("took longer than its deadline of 1400 ms (`deadline:` sets it)".into()));
    let rest = program.rests_until(Instant::now()).expect("it rests");
    let waits = call(version, "{}", "2");
    let asked = bench.host.evaluate(NODE, version, vec![waits.clone()]);
    bench.write(b"export const transform = (n) => -n;");
    let next = bench.loaded().await;
    assert_eq!(bench.ask(next, "{}", &["3"]).await, [Ok("-3".into())], "another version need not rest");
    asked.await;
    assert!(Instant::now() < rest, "nor need the one before");
    assert_eq!(answer_of(&waits), Ok("2".into()));
}

#[tokio::test]
async fn one_that_rests_is_asked_afterwards() {
    let source = "export const transform = (n) => { if (n === 1) for (;;); return n; };";
    // It rests for 300 ms.
    let deadline = Duration::from_millis(530);
    let mut bench = Bench::new("probe.js", source.as_bytes(), |spec| spec.limits.deadline = deadline);
    let version = bench.loaded().await;
    let program = bench.host.program_of(NODE, version).expect("loaded");
    assert!(bench.ask(version, "{}", &["1"]).await.remove(0).is_err());
    let rest = program.rests_until(Instant::now()).expect("it rests");
    assert_eq!(bench.ask(version, "{}", &["2"]).await, [Ok("2".into())]);
    assert!(Instant::now() >= rest);
}
