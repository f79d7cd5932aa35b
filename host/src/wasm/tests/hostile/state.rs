//! Guests that remember what they were asked before. At run time nobody notices (`sangre node test` does); what the host sees to is
//! that nothing lasts.

use super::*;

/// Answers how many times its instance has been called, as four digits, and after that runs `body`.
fn counter(body: &str) -> String {
    let digit = |at: u32, unit: u32| {
        format!(
            "(i32.store8 (i32.const {at}) (i32.add (i32.const 48) (i32.rem_u \
             (i32.div_u (global.get $calls) (i32.const {unit})) (i32.const 10))))"
        )
    };
    let digits: String = [(66, 1_000), (67, 100), (68, 10), (69, 1)].map(|(at, unit)| digit(at, unit)).concat();
    format!("(global.set $calls (i32.add (global.get $calls) (i32.const 1))) {digits} {body}")
}

/// What so many calls within these limits answer.
pub(super) async fn counts(body: &str, calls: usize, adjust: impl FnOnce(&mut Limits)) -> Vec<Result<String, String>> {
    let body = counter(body);
    let wat =
        Wat { core: "(global $calls (mut i32) (i32.const 0))", body: &body, text: b"[\"0000\"]", ..Wat::default() };
    let mut bench = Bench::new("probe.wasm", &wat.build(), |spec| adjust(&mut spec.limits));
    let version = bench.loaded().await;
    let mut answers = Vec::new();
    for _ in 0..calls {
        answers.extend(bench.ask(version, "{}", &["1"]).await);
    }
    answers
}

#[tokio::test]
async fn an_instance_is_replaced_after_a_thousand_calls() {
    let answers = counts("", 1_001, |_| {}).await;
    assert_eq!(answers[1], Ok("\"0002\"".into()));
    assert_eq!(answers[999], Ok("\"1000\"".into()));
    assert_eq!(answers[1_000], Ok("\"0001\"".into()));
}

#[tokio::test]
async fn one_that_grows_is_replaced_before_it_meets_its_limit() {
    // 6 MiB with each call: the third is 12 more than after the first, the fourth 18.
    let answers =
        counts("(if (i32.eq (memory.grow (i32.const 96)) (i32.const -1)) (then unreachable))", 40, |_| {}).await;
    let expected: Vec<_> = (0..40).map(|call| Ok(format!("\"000{}\"", call % 4 + 1))).collect();
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn one_that_trapped_is_not_asked_again() {
    let answers = counts("(if (i32.eq (global.get $calls) (i32.const 3)) (then unreachable))", 6, |_| {}).await;
    let counts: Vec<_> = answers.iter().map(|answer| answer.as_deref().unwrap_or("trap")).collect();
    assert_eq!(counts, ["\"0001\"", "\"0002\"", "trap", "\"0001\"", "\"0002\"", "trap"]);
}
