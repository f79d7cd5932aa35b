//! What people write by mistake comes to the same in JavaScript and TypeScript, with file and line.

use super::*;

/// The first line of a file of each language, how its function takes a row, and how it says that it answers a number.
const LANGUAGES: [(&str, &str, &str, &str); 2] = [
    ("slip.js", "// Untyped.", "row", ""),
    ("slip.ts", "interface Row { n: number; id: number }", "row: Row", ": number"),
];

/// Files with this body, in which `ROW` is the parameter and `NUMBER` the type.
fn files(body: &str) -> impl Iterator<Item = (&'static str, String)> {
    LANGUAGES.into_iter().map(move |(name, first, row, number)| {
        (name, format!("{first}\n{}", body.replace("ROW", row).replace("NUMBER", number)))
    })
}

#[tokio::test]
async fn what_a_function_does_by_mistake() {
    let none = "2: transform answered undefined: missing return, or no such field? (the row has n, id: the query's input: or select: says which)";
    let promise = "2: transform answered a Promise: a node cannot be async";
    let pure = "a node's answer must depend on its row and args alone; declare every:";
    let held = "which a number in JavaScript cannot hold: write numbers: string on the node, or leave the field out of its input";
    for (body, row, expected) in [
        ("export function transform(ROW) {\n  row.n + 1;\n}", r#"{"n":1,"id":2}"#, none.to_owned()),
        ("export function transform(ROW) {\n  return (async () => row.n)();\n}", "{}", promise.into()),
        ("export async function transform(ROW) {\n  return row.n;\n}", "{}", promise.into()),
        (
            "export function transform(ROW) {\n  return Date.now();\n}",
            "{}",
            format!("3: Error: Date.now(): {pure} to read the clock"),
        ),
        (
            "export function transform(ROW) {\n  return Math.random();\n}",
            "{}",
            format!("3: Error: Math.random(): {pure} for randomness"),
        ),
        (
            "export function transform(ROW) {\n  return row.n - 1;\n}",
            r#"{"n":9007199254740993}"#,
            format!("3: row.n is 9007199254740993, {held}"),
        ),
        (
            "export function transform(ROW) {\n  return row.n * 2;\n}",
            r#"{"n":0.1234567890123456789}"#,
            format!("3: row.n is 0.1234567890123456789, {held}"),
        ),
        (
            "export function transform(ROW) {\n  return row.n / 0 - row.n / 0;\n}",
            r#"{"n":0}"#,
            "2: transform answered NaN: JSON has no such number (the row has n: the query's input: or select: says which)".into(),
        ),
        (
            "export function transform(ROW) {\n  return row.n / 0;\n}",
            r#"{"n":1}"#,
            "2: transform answered Infinity: JSON has no such number".into(),
        ),
        (
            "export function transform(ROW) {\n  const name = row.n;\n\n  throw new RangeError(`no ${name}`);\n}",
            r#"{"n":1}"#,
            "5: RangeError: no 1".into(),
        ),
        (
            "export function transform(ROW) {\n  const price = row.n;\n  return prise;\n}",
            r#"{"n":1}"#,
            "4: ReferenceError: prise is not defined".into(),
        ),
        (
            "const deep = (ROW)NUMBER => deep(row) + 1;\nexport const transform = deep;",
            "{}",
            " recursion too deep: the call stack is used up".into(),
        ),
    ] {
        for (name, source) in files(body) {
            let answer = Bench::new(name, source.as_bytes(), |_| {}).once(row).await;
            assert_eq!(answer, Err(format!("{name}:{expected}")), "{source}");
        }
    }
}

#[tokio::test]
async fn what_a_file_does_by_mistake() {
    let package = "2: imports \"lodash\": a script imports relative files alone, such as \"./x.js\"; packages need a component: `sangre node build FILE`, then `component: FILE.wasm` instead of `script:` in sangre.yaml";
    for (body, expected) in [
        ("import lodash from 'lodash';\nexport const transform = (ROW) => lodash.add(row.n, 1);", package),
        (
            "for (;;);\nexport const transform = (ROW) => row.n;",
            " took longer than its deadline of 100 ms (`deadline:` sets it)",
        ),
        (
            "const deep = ()NUMBER => deep() + 1;\nexport const at = deep(), transform = (ROW) => row.n;",
            " recursion too deep: the call stack is used up",
        ),
        ("\nthrow new Error('at once');", "3: Error: at once"),
    ] {
        for (name, source) in files(body) {
            assert_eq!(
                Bench::new(name, source.as_bytes(), |_| {}).failed().await,
                format!("{name}:{expected}"),
                "{source}"
            );
        }
    }
    // In TypeScript what is imported and not used is a type, for all that can be told.
    let unused = "import lodash from 'lodash';\nexport const transform = (ROW) => row.n + 1;";
    for (name, source) in files(unused) {
        let mut bench = Bench::new(name, source.as_bytes(), |_| {});
        if name.ends_with(".ts") {
            assert_eq!(bench.once(r#"{"n":1}"#).await.as_deref(), Ok("2"));
        } else {
            assert_eq!(bench.failed().await, format!("{name}:{package}"));
        }
    }
}

#[tokio::test]
async fn what_it_prints_is_in_the_log() {
    let log = Log::captured();
    for (name, source) in
        files("export const transform = (ROW) => {\n  console.warn('seen', row);\n  return row.n;\n};")
    {
        let mut bench = Bench::new(name, source.as_bytes(), |spec| spec.name = name.into());
        assert_eq!(bench.once(r#"{"n":1}"#).await.as_deref(), Ok("1"));
        let lines = log.of(name);
        let found = |line: &String| line.contains("WARN") && line.contains(r#"seen {"n":1}"#);
        assert!(lines.iter().any(found), "{lines:?}");
    }
}
