//! Numbers that JavaScript cannot hold: an error of who reads them, with its place, and nothing to who does not.

use super::*;

const ROW: &str =
    r#"{"id":7,"big":9007199254740993,"a b":0.1234567890123456789,"in":{"list":[1,-9223372036854775808]},"name":"x"}"#;

const ARGS: &str = r#"{"hour":12,"since":9007199254740995}"#;

const HELD: &str = "which a number in JavaScript cannot hold: write numbers: string on the node";

/// What functions with these bodies answer, each asked as `function` of one row.
async fn answer(function: &str, body: &str, row: &str, adjust: impl FnOnce(&mut NodeSpec)) -> Result<String, String> {
    let source = format!("export function {function}(row, args) {{\n  {body}\n}}\n");
    let mut bench = Bench::new("probe.js", source.as_bytes(), adjust);
    let version = bench.loaded().await;
    bench.ask(version, ARGS, &[row]).await.remove(0)
}

#[tokio::test]
async fn what_is_read_is_an_error_with_its_place() {
    let big = "row.big is 9007199254740993";
    for (body, at, what) in [
        ("return row.big + 1;", "2", big),
        ("return row.big > 1;", "2", big),
        ("const { id } = row; const { big } = row; return 1;", "2", big),
        ("return { ...row, n: 1 };", "2", big),
        ("return JSON.stringify(row);", "2", big),
        ("return Object.values(row).length;", "2", big),
        ("return row['a b'];", "2", r#"row["a b"] is 0.1234567890123456789"#),
        ("return row.in.list[1];", "2", "row.in.list[1] is -9223372036854775808"),
        ("return row.in.list.map((n) => n + 1);", "2", "row.in.list[1] is -9223372036854775808"),
        ("return row;", "1: transform", big),
        ("return [row.in];", "1: transform", "row.in.list[1] is -9223372036854775808"),
        ("return row.in.list;", "1: transform", "row.in.list[1] is -9223372036854775808"),
    ] {
        let expected = format!("probe.js:{at}: {what}, {HELD}, or leave the field out of its input");
        assert_eq!(answer("transform", body, ROW, |_| {}).await, Err(expected), "{body}");
    }
    let callers = "const of = (row) => row.big;\n  return of(row);";
    let expected = format!("probe.js:2: {big}, {HELD}, or leave the field out of its input, called at probe.js:3");
    assert_eq!(answer("transform", callers, ROW, |_| {}).await, Err(expected));
    let expected = format!("probe.js:2: args.since is 9007199254740995, {HELD}");
    assert_eq!(answer("transform", "return args.since;", ROW, |_| {}).await, Err(expected));
    let digits = format!("1{}.5", "0".repeat(100));
    let expected = format!("probe.js:1: transform: the row is {}..., {HELD}", &digits[..60]);
    assert_eq!(answer("transform", "return 1;", &digits, |_| {}).await, Err(expected));
}

#[tokio::test]
async fn a_filter_and_a_reduce_lose_no_digit_either() {
    let expected = format!("probe.js:2: row.big is 9007199254740993, {HELD}, or leave the field out of its input");
    assert_eq!(answer("keep", "return row.big > 9007199254740992;", ROW, |_| {}).await, Err(expected));
    let list = format!("[{{\"big\":1}},{ROW}]");
    let expected = format!(
        "probe.js:2: rows[1].big is 9007199254740993, {HELD}, or leave the field out of its input, called at probe.js:2"
    );
    let sum = "return row.reduce((sum, one) => sum + one.big, 0);";
    assert_eq!(answer("reduce", sum, &list, |_| {}).await, Err(expected));
    assert_eq!(answer("reduce", "return row.length;", &list, |_| {}).await.as_deref(), Ok("2"));
    let expected = format!("probe.js:2: rows[1] is 9007199254740993, {HELD}, or leave the field out of its input");
    assert_eq!(answer("reduce", "return Math.max(...row);", "[1,9007199254740993]", |_| {}).await, Err(expected));
}

#[tokio::test]
async fn who_does_not_read_it_never_notices() {
    for (body, expected) in [
        ("return row.id + args.hour;", "19"),
        ("return Object.keys(row);", r#"["id","big","a b","in","name"]"#),
        ("return ['big' in row, Object.hasOwn(row, 'big'), row.in.list[0], row.in.list.length];", "[true,true,1,2]"),
        ("delete row.big; delete row['a b']; delete row.in; return row;", r#"{"id":7,"name":"x"}"#),
        (
            "row.big = 1; row['a b'] = 2; row.in.list[1] = 3; return row;",
            r#"{"id":7,"big":1,"a b":2,"in":{"list":[1,3]},"name":"x"}"#,
        ),
        ("row.in.list.length = 1; row.in.list.push(5); return row.in.list;", "[1,5]"),
        ("console.log(row, args); return 1;", "1"),
        (
            "try { return row.big; } catch (error) { return [error.name, error instanceof RangeError]; }",
            r#"["RangeError",true]"#,
        ),
        (
            "try { args.since = 1; } catch (error) { return [error.name, error.message]; }",
            r#"["TypeError","'since' is read-only"]"#,
        ),
        ("return [Object.isFrozen(args), args.hour];", "[true,12]"),
    ] {
        assert_eq!(answer("transform", body, ROW, |_| {}).await.as_deref(), Ok(expected), "{body}");
    }
    // What this runtime itself makes of the row is no reading.
    let body = "return Math.random() < 1;";
    assert_eq!(answer("transform", body, ROW, |spec| spec.has_clock = true).await.as_deref(), Ok("true"));
    // Those that it can hold are numbers, however they are written.
    let held = r#"[9007199254740992,0.1,0.30000000000000004,1.50,100000000000000000000000,1e300]"#;
    let expected = "[9007199254740992,0.1,0.30000000000000004,1.5,1e+23,1e+300]";
    assert_eq!(answer("transform", "return row;", held, |_| {}).await.as_deref(), Ok(expected));
}

#[tokio::test]
async fn only_rows_with_such_a_number_fail() {
    let mut bench = Bench::script("export const transform = (row, args) => row.n;");
    let version = bench.loaded().await;
    let answers = bench.ask(version, "{}", &[r#"{"n":1}"#, r#"{"n":9007199254740993}"#, r#"{"n":3}"#]).await;
    let expected = format!("probe.js:1: row.n is 9007199254740993, {HELD}, or leave the field out of its input");
    assert_eq!(answers, [Ok("1".into()), Err(expected), Ok("3".into())]);
}

#[tokio::test]
async fn it_is_so_while_it_is_watched_and_in_typescript() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("probe.ts");
    let source = "type Place = { id: number; big: number };\nexport const transform = (place: Place): number =>\n  place.id > 1 ? place.big : place.id;";
    std::fs::write(&path, source).expect("written");
    let trial = Trial::load(NodeSource::Script(path), Given::default()).await.expect("it loads");
    let parse = |text: &str| Value::parse_json(text).expect("JSON");
    let rows = [parse(ROW), parse(r#"{"id":1,"big":9007199254740993}"#)];
    for answers in [trial.ask_watched(&parse(ARGS), &rows), trial.ask(&parse(ARGS), &rows)] {
        let message = answers[0].as_ref().map_err(|error| error.message.clone()).expect_err("it reads it");
        let expected = format!("probe.ts:3: row.big is 9007199254740993, {HELD}, or leave the field out of its input");
        assert_eq!(message, expected);
        assert_eq!(answers[1].as_ref().map(Value::to_json).ok().as_deref(), Some("1"));
    }
}
