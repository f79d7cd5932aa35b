//! However questions are put into batches, and whatever some of the rows do: each gets the answer it gets alone.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// Does what its row says.
const OBEDIENT: &str = r#"
function deep(n) { return deep(n + 1) + 1; }
export function transform(row, args) {
  switch (row.does) {
    case "throw": throw new Error(`no ${row.n}`);
    case "nothing": return;
    case "number": return NaN;
    case "loop": for (;;);
    case "deep": return deep(0);
    case "much": return new Uint8Array(2 ** 30).length;
    case "spin": { let sum = 0; for (let i = 0; i < row.n * 200; i++) sum += i; return sum + args.by; }
    default: return { sum: row.n + args.by, ...row };
  }
}
"#;

/// What rows do: mostly nothing special.
fn rows() -> impl Strategy<Value = Vec<(String, u8)>> {
    let does = prop_oneof![
        30 => Just("add"),
        4 => Just("spin"),
        2 => Just("throw"),
        1 => Just("nothing"),
        1 => Just("number"),
        1 => Just("deep"),
        1 => Just("much"),
    ];
    let row = (does, any::<u16>(), 0..3_u8);
    let row = row.prop_map(|(does, n, by)| (format!(r#"{{"does":"{does}","n":{}}}"#, n % 50), by));
    // What a loop computes in vain is made up for by a rest, so there is one at most.
    (vec(row, 1..120), any::<Option<prop::sample::Index>>()).prop_map(|(mut rows, looping)| {
        if let Some(at) = looping {
            let at = at.index(rows.len());
            rows[at].0 = r#"{"does":"loop","n":1}"#.into();
        }
        rows
    })
}

fn number(name: &str) -> Option<u32> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// `SANGRE_EVALUATIONS` says how many times.
#[test]
fn rows_in_batches_are_answered_as_rows_alone() {
    let cases = number("SANGRE_EVALUATIONS").unwrap_or(12);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("it starts");
    let outcome = TestRunner::new(Config { cases, ..Config::default() }).run(&rows(), |rows| {
        runtime.block_on(async {
            let (together, alone) = (answers(&rows, true).await, answers(&rows, false).await);
            for ((row, together), alone) in rows.iter().zip(together).zip(alone) {
                prop_assert_eq!(together, alone, "{:?} in {:?}", row, rows);
            }
            Ok(())
        })
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Of a node that nobody has asked before.
async fn answers(rows: &[(String, u8)], together: bool) -> Vec<Result<String, String>> {
    let mut bench = Bench::new("obedient.js", OBEDIENT.as_bytes(), |spec| {
        spec.limits.deadline = Duration::from_millis(80);
        spec.limits.memory = 16 << 20;
    });
    let version = bench.loaded().await;
    let calls: Vec<_> = rows.iter().map(|(row, by)| call(version, &format!(r#"{{"by":{by}}}"#), row)).collect();
    let size = if together { calls.len() } else { 1 };
    for calls in calls.chunks(size) {
        bench.host.evaluate(NODE, version, calls.to_vec()).await;
    }
    calls.iter().map(|call| answer_of(call)).collect()
}

#[tokio::test]
async fn rows_that_take_milliseconds_are_all_answered_at_the_first_question() {
    let mut bench = Bench::script(
        "export function transform(n) { let sum = 0; for (let i = 0; i < 40000; i++) sum += i % 7; return [n, sum > 0]; }",
    );
    let version = bench.loaded().await;
    let rows: Vec<String> = (0..600).map(|n| n.to_string()).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let answers = bench.ask(version, "{}", &rows).await;
    for (row, answer) in rows.iter().zip(answers) {
        assert_eq!(answer, Ok(format!("[{row},true]")));
    }
}
