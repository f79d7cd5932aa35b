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
    adds_in_order(Bench::script("export const transform = (row, args) => row + (args.by ?? 0);")).await;
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
        "probe.js:3:15: SyntaxError: unexpected ';'"
    );
    assert_eq!(refused("export function transform() {\n").await, "probe.js:1:29: SyntaxError: { is never closed");
    assert_eq!(refused("\nlet a = b;").await, "probe.js:2: ReferenceError: b is not defined");
    assert_eq!(
        refused("let a;\nlet b, a;").await,
        "probe.js:2:8: SyntaxError: identifier 'a' has already been declared"
    );
    assert!(refused("const a = 1;").await.contains("exports no node: export function keep(row, args)"));
    assert!(
        refused("export const transfrom = 1;").await.contains("exports no node, but transfrom: export function keep")
    );
    assert!(refused("import fs from 'fs';").await.contains("imports \"fs\": it is a part of Node.js"));
    assert!(refused("export function keep() {}\nexport function transform() {}").await.contains("keep and transform"));
    assert!(refused("export default () => 1;").await.contains("only a default export"));
}

#[tokio::test]
async fn a_field_that_is_missing_is_told_with_those_that_are_there() {
    let row = r#"{"id":1,"stock":5}"#;
    let absent = "transform answered undefined: missing return, or no such field?";
    let the_row = "the row has id, stock: the query's input: or select: says which";
    for (function, args, expected) in [
        ("(row) => row.stok", "{}", format!("1: {absent} ({the_row})")),
        ("(row) => row.stok + 1", "{}", format!("1: transform answered NaN: JSON has no such number ({the_row})")),
        (
            "(row) =>\n  row.tag.name",
            "{}",
            format!("2: TypeError: cannot read property 'name' of undefined ({the_row})"),
        ),
        // Which of the two it was nobody knows.
        (
            "(row, args) => args.filter.name",
            r#"{"hour":1}"#,
            format!("1: TypeError: cannot read property 'name' of undefined ({the_row}; args have hour)"),
        ),
        ("(row, args) => args.hour", "{}", format!("1: {absent} ({the_row}; args have no fields)")),
        ("(row, args) => [row][1]", r#"{"hour":1}"#, format!("1: {absent} ({the_row}; args have hour)")),
        ("() => { throw new TypeError('of its own'); }", "{}", "1: TypeError: of its own".into()),
    ] {
        let mut bench = Bench::script(&format!("export const transform = {function};"));
        let version = bench.loaded().await;
        assert_eq!(bench.ask(version, args, &[row]).await, [Err(format!("probe.js:{expected}"))], "{function}");
    }
    let mut bench = Bench::script("export const transform = (row, args) => args.hours;");
    let version = bench.loaded().await;
    let answers = bench.ask(version, r#"{"hour":1}"#, &["1"]).await;
    assert_eq!(answers, [Err(format!("probe.js:1: {absent} (args have hour)"))]);
}

#[tokio::test]
async fn what_json_lacks_is_an_error_and_never_changed() {
    for (body, expected) in [
        ("", "transform answered undefined: missing return, or no such field?"),
        ("return NaN;", "transform answered NaN: JSON has no such number"),
        ("return 1 / 0;", "transform answered Infinity: JSON has no such number"),
        ("return {a: [1, {b: undefined}]};", "transform answered an object in which .a[1].b is undefined"),
        ("return () => 1;", "transform answered a function: JSON has no such value"),
        ("return 1n;", "transform answered a bigint: JSON has no such value: use Number(x) or String(x)"),
        ("return Promise.resolve(1);", "transform answered a Promise: a node cannot be async"),
        ("return {m: new Map()};", "transform answered an object in which .m is a Map: use Object.fromEntries(map)"),
        ("return new Date('x');", "transform answered an invalid Date"),
    ] {
        assert_eq!(transform(body, "1").await, Err(format!("probe.js:1: {expected}")), "{body}");
    }
    let cyclic = transform("const a = {}; a.a = a; return a;", "1").await;
    assert!(cyclic.as_ref().is_err_and(|message| message.contains("contains itself")), "{cyclic:?}");
}

#[tokio::test]
async fn a_filter_has_to_answer_true_or_false() {
    let mut bench = Bench::script("// A filter.\nexport function keep(row) { if (row > 1) return row > 2; }");
    let version = bench.loaded().await;
    let answers = bench.ask(version, "{}", &["3", "2", "1"]).await;
    assert_eq!(answers[..2], [Ok("true".into()), Ok("false".into())]);
    assert_eq!(answers[2], Err("probe.js:2: keep answered undefined: missing return, or no such field?".into()));
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
    assert_eq!(answers[2], Err("probe.js: recursion too deep: the call stack is used up".into()));
    assert_eq!(answers[4], Err("took longer than its deadline of 100 ms (`deadline:` sets it)".into()));
    assert_eq!(answers[5], Err("probe.js:3: Error: six".into()));
}

#[tokio::test]
async fn memory_is_limited() {
    let source = "export function transform() { const a = []; for (;;) a.push('x'.repeat(100000) + a.length); }";
    let mut bench = Bench::new("probe.js", source.as_bytes(), |spec| spec.limits.deadline = Duration::from_secs(10));
    let error = bench.once("1").await;
    assert!(error.as_ref().is_err_and(|message| message.contains("memory")), "{error:?}");
}

#[tokio::test]
async fn the_example_of_the_demo() {
    let source = std::fs::read_to_string(examples().join("javascript/occupancy.js")).expect("the example");
    assert_eq!(Bench::script(&source).once(r#"{"id":3}"#).await.as_deref(), Ok("1"));
}

/// Asks each body, as a function of its own, in one batch: its answer, or its error.
async fn cases(bodies: &[&str]) -> Vec<Result<String, String>> {
    let functions: Vec<String> = bodies.iter().map(|body| format!("(row, args) => {{ {body} }}")).collect();
    let source = format!(
        "const bodies = [\n{}\n];\nexport function transform(row, args) {{ return bodies[row.case](row, args); }}",
        functions.join(",\n")
    );
    let mut bench = Bench::script(&source);
    let version = bench.loaded().await;
    let rows: Vec<String> = (0..bodies.len()).map(|case| format!(r#"{{"case":{case}}}"#)).collect();
    bench.ask(version, "{}", &rows.iter().map(|row| &**row).collect::<Vec<_>>()).await
}

#[tokio::test]
async fn numbers_come_as_strings_where_that_is_wanted() {
    let row = r#"{"id":9223372036854775807,"sum":1.00000000000000000010,"list":[1,{"n":2}],"text":"3","none":null}"#;
    let source = b"export const transform = (row, args) => [row, args.n + 1, typeof row.id, BigInt(row.id) - 1n + ''];";
    let mut bench = Bench::new("probe.js", source, |spec| spec.numbers = Numbers::AsStrings);
    let version = bench.loaded().await;
    let expected = r#"[{"id":"9223372036854775807","sum":"1.00000000000000000010","list":["1",{"n":"2"}],"text":"3","none":null},"71","string","9223372036854775806"]"#;
    assert_eq!(bench.ask(version, r#"{"n":7}"#, &[row]).await, [Ok(expected.into())]);
}

#[tokio::test]
async fn every_value_is_answered_as_it_is_or_named() {
    let table = [
        ("return [1n];", "[0] is a bigint: JSON has no such value: use Number(x) or String(x)"),
        ("return {s: new Set([1])};", ".s is a Set: use [...set]"),
        ("return Symbol('a');", "answered a symbol: JSON has no such value"),
        ("return {[Symbol('a')]: 1};", "answered an object with a symbol as key"),
        ("return {f() {}};", ".f is a function"),
        ("return [1, , 2];", "[1] is undefined"),
        ("return [NaN];", "[0] is NaN: JSON has no such number"),
        ("return /a/;", "answered a RegExp"),
        ("return new Error('a');", "answered an Error: throw it, or answer its message"),
        ("return new Uint8Array(2);", "answered a Uint8Array"),
        ("return (async () => 1)();", "answered a Promise: a node cannot be async"),
        ("return (function* () { yield 1; })();", "answered a Generator: write [...generator]"),
        ("return (async function* () { yield 1; })();", "answered an AsyncGenerator"),
        ("return {toJSON() { throw new Error('mine'); }};", "Error: mine"),
        ("return {get a() { throw new Error('mine'); }};", "Error: mine"),
        ("let a = []; for (let i = 0; i < 2000; i++) a = [a]; return a;", "nested deeper than 100 levels"),
        ("throw 'a text';", r#"threw "a text""#),
        ("throw undefined;", "threw undefined"),
        ("throw Symbol('a');", "threw Symbol(a)"),
        ("throw 1n;", "threw 1"),
        ("throw {get a() { throw 1; }};", "threw something that cannot be shown"),
        ("throw new Error('outer', {cause: new Error('inner')});", "Error: outer (cause: Error: inner)"),
        ("return null.x;", "TypeError: cannot read property 'x' of null"),
        ("return setTimeout(() => 1);", "ReferenceError: setTimeout is not defined: a node answers at once"),
        ("return fetch('http://a');", "fetch is not defined: a node reaches no network"),
        (
            "return process.env.HOME;",
            "process is not defined: a node's JavaScript is that of no browser and no Node.js",
        ),
        ("return require('lodash');", "require is not defined: write import"),
        ("return performance.now();", "declare every: to read the clock"),
        ("return crypto.randomUUID();", "crypto is not defined: a node's answer must depend on its row and args alone"),
        ("return new Intl.NumberFormat('de').format(1);", "Intl is not defined: this JavaScript has no languages"),
        ("return (1234.5).toLocaleString();", "toLocaleString(): this JavaScript has no languages and regions"),
        ("return new Date(0).toLocaleDateString('de');", "toLocaleDateString(): this JavaScript has no languages"),
        ("return 'a'.localeCompare('b', 'de');", "localeCompare() with a language"),
        (
            "return new Date().getTime();",
            "new Date(): a node's answer must depend on its row and args alone; declare every:",
        ),
    ];
    let answers = cases(&table.map(|(body, _)| body)).await;
    for ((body, expected), answer) in table.iter().zip(answers) {
        assert!(answer.as_ref().is_err_and(|message| message.contains(expected)), "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn what_looks_odd_and_is_right() {
    let table = [
        ("return typeof fetch + typeof Intl;", r#""undefinedundefined""#),
        ("return null;", "null"),
        ("return -0;", "0"),
        ("return 'a'.localeCompare('b');", "-1"),
        ("return new Date(2020, 0, 1).toISOString();", r#""2020-01-01T00:00:00.000Z""#),
        ("return {toJSON: () => 7};", "7"),
        ("return Object.fromEntries(new Map([['a', 1]]));", r#"{"a":1}"#),
        ("return [...new Set([1, 1])];", "[1]"),
        ("return String(2n ** 64n);", r#""18446744073709551616""#),
        ("return (0.1 + 0.2);", "0.30000000000000004"),
        ("console.log(row, [undefined], 1n, new Error('a')); console.table?.(1); return 1;", "1"),
        ("return eval('1 + 1') + new Function('return 1')();", "3"),
        ("row.case = 'mine'; return row;", r#"{"case":"mine"}"#),
        ("return 1e21;", "1e+21"),
    ];
    let answers = cases(&table.map(|(body, _)| body)).await;
    for ((body, expected), answer) in table.iter().zip(answers) {
        assert_eq!(answer.as_deref(), Ok(*expected), "{body}");
    }
}

#[tokio::test]
async fn an_error_tells_who_called_what_threw() {
    let source = "function inner(x) {\n  return x.a.b;\n}\nconst outer = (x) => inner(x);\nexport function transform(row) {\n  return outer(row);\n}";
    let answer = Bench::script(source).once("{}").await;
    let expected = "probe.js:2: TypeError: cannot read property 'b' of undefined, called at probe.js:4, probe.js:6 (the row has no fields: the query's input: or select: says which)";
    assert_eq!(answer, Err(expected.into()));
    // Not taken for a line of the file.
    let answer = transform("return eval('\\n\\n\\nx');", "1").await;
    assert_eq!(answer, Err("probe.js:2: ReferenceError: x is not defined".into()));
}

#[tokio::test]
async fn a_filter_is_told_what_it_answered() {
    for (body, expected) in [
        ("return null;", "keep answered null: it has to be true or false"),
        ("return 'yes';", "keep answered a text: it has to be true or false"),
        ("return Promise.resolve(true);", "keep answered a Promise: it has to be true or false"),
        ("return [];", "keep answered an Array: it has to be true or false"),
        ("return 1;", "keep answered a number: it has to be true or false"),
    ] {
        let answer = Bench::script(&format!("export function keep() {{ {body} }}")).once("1").await;
        assert_eq!(answer, Err(format!("probe.js:1: {expected}")), "{body}");
    }
}

#[tokio::test]
async fn modules_that_cannot_be_are_refused_with_their_place() {
    for (source, expected) in [
        (
            "import _ from 'lodash';",
            "probe.js:1: imports \"lodash\": a script imports relative files alone, such as \"./x.js\"; packages need a component: `sangre node build FILE`, then `component: FILE.wasm` instead of `script:` in sangre.yaml",
        ),
        (
            "import fs from 'node:fs';",
            "probe.js:1: imports \"node:fs\": it is a part of Node.js, and a node has no files",
        ),
        ("import a from './a.json';", "probe.js:1: imports \"./a.json\": scripts import .js, .mjs, .ts and .mts files"),
        (
            "\nconst a = await import('./a.js');",
            "probe.js:2:11: SyntaxError: await outside of a function: a node cannot wait",
        ),
        ("const a = () => import('./a.js');", "probe.js:1:17: SyntaxError: import() is not supported in scripts"),
        ("export const a = import.meta.url;", "probe.js:1:18: SyntaxError: import.meta is not there"),
        ("export function transform(row: number) {}", "probe.js:1:30: SyntaxError: unexpected ':'"),
        ("const a = 'never", "probe.js:1:11: SyntaxError: unterminated string constant"),
        ("throw new Error('at once');", "probe.js:1: Error: at once"),
        ("export { nothing };", "probe.js:1:10: SyntaxError: export 'nothing' is not defined"),
    ] {
        let reason = refused(source).await;
        assert!(reason.starts_with(expected), "{source}: {reason}");
    }
}

#[tokio::test]
async fn with_every_clocks_stand_still_and_randomness_is_of_tick_and_row() {
    let source =
        "export const transform = (row) => [Date.now(), new Date().toISOString(), Math.random(), Math.random()];";
    let mut bench = Bench::new("probe.js", source.as_bytes(), |spec| spec.has_clock = true);
    let version = bench.loaded().await;
    let tick = 1_700_000_000_123;
    let answer = bench.ask_at(version, tick, "1").await.expect("an answer");
    assert!(answer.starts_with("[1700000000123,\"2023-11-14T22:13:20.123Z\","), "{answer}");
    assert_eq!(bench.ask_at(version, tick, "1").await.as_ref(), Ok(&answer), "equal questions");
    let random = |answer: &str| answer.trim_end_matches(']').split(',').skip(2).map(str::to_owned).collect::<Vec<_>>();
    assert_ne!(random(&answer)[0], random(&answer)[1]);
    for (tick, row) in [(tick, "2"), (tick + 1, "1")] {
        let other = bench.ask_at(version, tick, row).await.expect("an answer");
        assert_ne!(random(&other), random(&answer));
        assert!(random(&other).iter().all(|number| (0.0..1.0).contains(&number.parse::<f64>().expect("a number"))));
    }
    let mut early = Bench::new("probe.js", b"const at = Date.now();\nexport const transform = () => at;", |spec| {
        spec.has_clock = true;
    });
    // What a module keeps must not depend on when it was loaded.
    let expected = "probe.js:1: Error: Date.now(): there is no clock while the file is loaded: read it inside of the function, and declare every:";
    assert_eq!(early.failed().await, expected);
    let early = refused("export const at = Math.random(), transform = () => at;").await;
    let expected = "probe.js:1: Error: Math.random(): there is no randomness while the file is loaded: ask for it";
    assert!(early.starts_with(expected), "{early}");
}
