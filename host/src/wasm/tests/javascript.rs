//! JavaScript as people write it, and what they hear when it is wrong.

use super::*;

async fn transform(body: &str, row: &str) -> Result<String, String> {
    Bench::script(&format!("export function transform(row, args) {{\n  {body}\n}}\n")).once(row).await
}

async fn refused(source: &str) -> String {
    Bench::script(source).failed().await
}

#[tokio::test]
async fn a_map_answers_any_json() {
    assert_eq!(transform("return (row.id * 7) % 5;", r#"{"id":3}"#).await.as_deref(), Ok("1"));
    let same = r#"{"a":[1,2.5,null,true,"ü \" \n"],"b":{"c":{}}}"#;
    assert_eq!(transform("return row;", same).await.as_deref(), Ok(same));
    assert_eq!(transform("return new Date(0);", "1").await.as_deref(), Ok(r#""1970-01-01T00:00:00.000Z""#));
}

#[tokio::test]
async fn rows_are_answered_in_order_with_their_own_args() {
    let mut bench = Bench::script("export const transform = (row, args) => row + (args.by ?? 0);");
    let version = bench.loaded().await;
    let calls: Vec<_> = (0..3_000)
        .map(|index| call(version, &format!(r#"{{"by":{}}}"#, index % 3 * 10_000), &index.to_string()))
        .collect();
    bench.host.evaluate(NODE, version, calls.clone()).await;
    for (index, call) in calls.iter().enumerate() {
        assert_eq!(answer_of(call), Ok((index + index % 3 * 10_000).to_string()));
    }
}

#[tokio::test]
async fn every_way_to_export_a_function() {
    for source in [
        "export function transform(row) { return row + 1; }",
        "export const transform = (row) => row + 1",
        "export let transform = function (row) { return row + 1 };",
        "function f(row) { return row + 1; }\nexport { f as transform };",
        "export default function transform(row) { return row + 1; }",
        "export { transform };\nfunction transform(row) { return one + row; }\nconst one = 1;",
        "// export nothing\nconst text = `export ${`nested ${1}`} {`; const r = /[/`'\"]export {/;\nexport function transform(row) { return row / 1 + 1 / 1; }",
        "#!/usr/bin/env node\nexport function transform(row) { return row + 1; }",
    ] {
        assert_eq!(Bench::script(source).once("1").await.as_deref(), Ok("2"), "{source}");
    }
    let mut unnamed =
        Bench::new("probe.js", b"export default (row) => row > 1;", |spec| spec.kind = Some(NodeKind::Filter));
    assert_eq!(unnamed.once("2").await.as_deref(), Ok("true"));
}

#[tokio::test]
async fn a_reduce_sees_the_whole_list() {
    let path = examples().join("javascript/summary.js");
    let mut bench = Bench::script(&std::fs::read_to_string(path).expect("the example"));
    let answer = bench.once(r#"[{"rating":4},{"rating":5},{"rating":null}]"#).await;
    assert_eq!(answer.as_deref(), Ok(r#"{"count":3,"average":4.5,"best":5}"#));
}

#[tokio::test]
async fn errors_have_file_and_line() {
    let error = transform("return x.id;", "1").await;
    assert_eq!(error, Err("probe.js:2: ReferenceError: x is not defined".into()));
    let error = transform("throw new RangeError('too far');", "1").await;
    assert_eq!(error, Err("probe.js:2: RangeError: too far".into()));
    assert_eq!(transform("throw {code: 1};", "1").await, Err(r#"probe.js: threw {"code":1}"#.into()));
    assert_eq!(
        refused("const a = 1;\nexport function transform(row) {\n  return row +;\n}").await,
        "probe.js:3: SyntaxError: unexpected token in expression: ';'"
    );
    assert_eq!(refused("export function transform() {\n").await, "probe.js:1: SyntaxError: { is never closed");
    assert_eq!(refused("\nlet a = b;").await, "probe.js:2: ReferenceError: b is not defined");
    assert!(refused("import fs from 'fs';").await.starts_with("probe.js:1: SyntaxError: import is not supported"));
    assert!(refused("const a = 1;").await.contains("exports no node"));
    assert!(refused("export function keep() {}\nexport function transform() {}").await.contains("keep and transform"));
    assert!(refused("export default () => 1;").await.contains("only a default export"));
}

#[tokio::test]
async fn what_json_lacks_is_an_error_and_never_changed() {
    for (body, expected) in [
        ("", "transform answered undefined: missing return?"),
        ("return NaN;", "transform answered NaN: JSON has no such number"),
        ("return 1 / 0;", "transform answered Infinity: JSON has no such number"),
        ("return {a: [1, {b: undefined}]};", "transform answered an object in which .a[1].b is undefined"),
        ("return () => 1;", "transform answered a function: JSON has no such value"),
        ("return 1n;", "transform answered a bigint: JSON has no such value"),
        ("return Promise.resolve(1);", "transform answered a Promise: a node cannot be async"),
        ("return {m: new Map()};", "transform answered an object in which .m is a Map: use Object.fromEntries(map)"),
        ("return new Date('x');", "transform answered an invalid Date"),
    ] {
        assert_eq!(transform(body, "1").await, Err(expected.into()), "{body}");
    }
    let cyclic = transform("const a = {}; a.a = a; return a;", "1").await;
    assert!(cyclic.as_ref().is_err_and(|message| message.contains("contains itself")), "{cyclic:?}");
}

#[tokio::test]
async fn a_filter_has_to_answer_true_or_false() {
    let mut bench = Bench::script("export function keep(row) { if (row > 1) return row > 2; }");
    let version = bench.loaded().await;
    let answers = bench.ask(version, "{}", &["3", "2", "1"]).await;
    assert_eq!(answers[..2], [Ok("true".into()), Ok("false".into())]);
    assert_eq!(answers[2], Err("keep answered undefined: missing return?".into()));
}

#[tokio::test]
async fn nothing_impure_is_there() {
    for body in ["return Date.now();", "return new Date();", "return Date();", "return Math.random();"] {
        let error = transform(body, "1").await;
        assert!(error.as_ref().is_err_and(|message| message.contains("declare every:")), "{body}: {error:?}");
    }
    let error = transform("args.seen = 1; return 1;", "1").await;
    assert!(error.as_ref().is_err_and(|message| message.contains("TypeError")), "{error:?}");
}

#[tokio::test]
async fn one_bad_row_harms_no_other() {
    let body = "if (row === 3) { const deep = () => deep() + 1; return deep(); }\nif (row === 5) for (;;);\nif (row === 6) throw new Error('six');\nconsole.log('row', row);\nreturn row;";
    let source = format!("export function transform(row) {{ {body} }}");
    let mut bench = Bench::script(&source);
    let version = bench.loaded().await;
    let answers = bench.ask(version, "{}", &["1", "2", "3", "4", "5", "6", "7"]).await;
    for row in [1, 2, 4, 7] {
        assert_eq!(answers[row - 1], Ok(row.to_string()));
    }
    assert_eq!(answers[2], Err("recursion too deep: the call stack is used up".into()));
    assert_eq!(answers[4], Err("took longer than its deadline of 100 ms".into()));
    assert_eq!(answers[5], Err("probe.js:3: Error: six".into()));
}

#[tokio::test]
async fn memory_is_limited() {
    let source = "export function transform() { const a = []; for (;;) a.push('x'.repeat(100000) + a.length); }";
    let mut bench = Bench::new("probe.js", source.as_bytes(), |spec| spec.deadline = Duration::from_secs(10));
    let error = bench.once("1").await;
    assert!(error.as_ref().is_err_and(|message| message.contains("memory")), "{error:?}");
}

#[tokio::test]
async fn the_example_of_the_demo() {
    let source = std::fs::read_to_string(examples().join("javascript/occupancy.js")).expect("the example");
    assert_eq!(Bench::script(&source).once(r#"{"id":3}"#).await.as_deref(), Ok("1"));
}
