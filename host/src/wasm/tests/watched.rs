//! Names that a script reads in vain while it is tried, and that nothing else changes by that.

use super::*;

/// Asks the script, a file of this name, each of the rows watched, then unwatched by a new instance: they answer the same. The lines in
/// the log.
async fn tried(file: &str, source: &str, args: &str, rows: &str) -> Vec<String> {
    let log = Log::captured();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(file);
    std::fs::write(&path, source).expect("written");
    let trial = Trial::load(NodeSource::Script(path), Given::default()).await.expect("it loads");
    let parse = |text: &str| Value::parse_json(text).expect("JSON");
    let Value::Array(rows) = parse(rows) else { panic!("no rows") };
    let said = |answers: Vec<Answer>| -> Vec<Result<String, String>> {
        let said = |answer: Answer| answer.map(|value| value.to_json()).map_err(|error| error.message.clone());
        answers.into_iter().map(said).collect()
    };
    let watched = said(trial.ask_watched(&parse(args), &rows));
    trial.take_fresh_instances();
    assert_eq!(watched, said(trial.ask(&parse(args), &rows)), "{source}");
    let name = file.split('.').next().unwrap_or(file);
    let line = |line: String| line.split_once("WARN sangre::node: ").map(|(_, said)| said.to_owned());
    let mark = format!(" node=\"{name}\"");
    // Places are told as a terminal finds them.
    let beside = format!("{}/", folder.path().display());
    let plain = |line: String| line.replace(&mark, "").strip_prefix(&beside).map(str::to_owned);
    log.of(name).into_iter().filter_map(line).map(|line| plain(line).expect("it begins with the place")).collect()
}

const ROWS: &str = r#"[{"id":1,"opens":9,"closes":17,"tags":{}},{"id":2,"opens":10,"closes":null,"tags":{"a":1}}]"#;

#[tokio::test]
async fn a_name_that_is_not_there_is_told_once() {
    let fields = "(it has id, opens, closes, tags)";
    let lead = "(it has id, opens, closes, tags: the query's input: or select: says which)";
    for (index, (source, args, expected)) in [
        (
            "export function keep(place, args) { const { clsoes } = place;\n\n  return place.opns <= args.hours && args.hours < clsoes;\n}",
            r#"{"hour":12}"#,
            vec![
                format!("FILE:1: the row has no field \"clsoes\": did you mean closes? {fields}"),
                format!("FILE:3: the row has no field \"opns\": did you mean opens? {fields}"),
                "FILE:3: args have no \"hours\": did you mean hour? (they have hour)".into(),
            ],
        ),
        (
            "const name = (place) => place.name ?? '';\n\nexport const transform = (place, args) => [name(place), args.x ?? 1, place.Id ?? 1];",
            "{}",
            vec![
                format!("FILE:1: the row has no field \"name\" {lead}"),
                "FILE:3: args have no \"x\" (they have no fields)".into(),
                format!("FILE:3: the row has no field \"Id\" {lead}"),
            ],
        ),
        // Nothing is amiss, or whoever wrote it knows.
        (
            "export const transform = (place, args) => [place.tags.a ?? 0, 'opns' in place, Object.hasOwn(args, 'x'), `${place}`, place.constructor === Object];",
            "{}",
            vec![],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let file = format!("watched{index}.js");
        let lines = tried(&file, source, args, ROWS).await;
        let expected: Vec<_> = expected.iter().map(|line| line.replace("FILE", &file)).collect();
        assert_eq!(lines, expected, "{source}");
    }
}

#[tokio::test]
async fn elements_of_a_list_are_watched_in_typescript_too() {
    let source = "interface Place { ratng: number }\nexport const reduce = (places: Place[]): number =>\n  \
                  places.filter((place) => place.ratng > 3).length;";
    let lines = tried("watchedlist.ts", source, "{}", r#"[[{"rating":4},{"rating":2}],[],[1,null]]"#).await;
    assert_eq!(lines, ["watchedlist.ts:3: the row has no field \"ratng\": did you mean rating? (it has rating)"]);
}

#[tokio::test]
async fn what_is_watched_is_what_it_was() {
    let bodies = [
        "return row;",
        "return { ...row, args };",
        "return [row, row === rows[0], args, JSON.stringify(row), JSON.stringify({ args })];",
        "return Object.keys(row).concat(Object.entries(args));",
        "const names = []; for (const name in row) names.push(name); return names;",
        "delete row.opens; row.seen = true; row.id++; return row;",
        "const { id, ...rest } = row; return [rest, Object.assign({}, row), Array.isArray(row), typeof row, String(row)];",
        "args.hour = 1; return 1;",
        "delete args.hour; return 1;",
        "args.of.push(1); return 1;",
        "try { args.hour = 1; } catch (error) { return [error.name, error.message]; }",
        "try { args.hours = 1; } catch (error) { return [error.name, error.message]; }",
        "return [Object.isFrozen(args), Object.isFrozen(row), Object.getPrototypeOf(row) === Object.prototype];",
        "return Object.freeze(row);",
        "return Object.create(row).id;",
        "return { in: { row } };",
        "return [Object.prototype.toString.call(row), row instanceof Object, row.hasOwnProperty('id')];",
        "console.log(row, args); return Object.getOwnPropertyNames(row);",
        "return row.none;",
        "return row.none.x;",
        "return row.none();",
        "row.self = row; return row;",
        "return Object.defineProperty(row, 'id', { value: 7, enumerable: true });",
        "return [...Object.values(row), Reflect.ownKeys(row).length, new Map([[row, 1]]).get(row)];",
    ];
    let args = r#"{"hour":12,"of":[1]}"#;
    for (index, body) in bodies.into_iter().enumerate() {
        let map = format!("export function transform(row, args) {{ const rows = [row]; {body} }}");
        tried(&format!("same{index}.js"), &map, args, ROWS).await;
        let reduce = format!("export function reduce(rows, args) {{ const [row] = rows; {body} }}");
        tried(&format!("samelist{index}.js"), &reduce, args, &format!("[{ROWS}]")).await;
    }
}

#[tokio::test]
async fn what_python_asks_for_in_vain_is_told_once() {
    let lead = "(it has id, opens, closes, tags: the query's input: or select: says which)";
    let source = "import json\n\ndef hour(place):\n    return place.get(\"opns\", 0)\n\ndef keep(place, args):\n    \
                  return hour(place) <= args.get(\"hours\", place.get(\"name\", 3)) and place.get(\"closes\") is None";
    let lines = tried("watched.py", source, r#"{"hour":12}"#, ROWS).await;
    let expected = [
        "watched.py:4: the row has no field \"opns\": did you mean opens? (it has id, opens, closes, tags)".into(),
        format!("watched.py:7: the row has no field \"name\" {lead}"),
        "watched.py:7: args have no \"hours\": did you mean hour? (they have hour)".into(),
    ];
    assert_eq!(lines, expected);
    let source = "def reduce(places, args):\n    return sum(place.get(\"ratng\", 1) for place in places if place)";
    let lines = tried("watched_list.py", source, "{}", r#"[[{"rating":4},{"rating":2}],[],[null]]"#).await;
    assert_eq!(lines, ["watched_list.py:2: the row has no field \"ratng\": did you mean rating? (it has rating)"]);
    // Nothing is amiss, or whoever wrote it knows.
    let source = "def transform(place, args):\n    place[\"seen\"] = 1\n    \
                  return [place.get(\"seen\"), \"opns\" in place, place[\"tags\"].get(\"a\"), dict(place).get(\"x\"), place.get(1), shape(place)]\n\n\
                  def shape(place):\n    match place:\n        case {\"opns\": hour}:\n            return hour\n    return None";
    assert_eq!(tried("watched_well.py", source, "{}", ROWS).await, [""; 0]);
}

#[tokio::test]
async fn what_is_watched_of_python_is_what_it_was() {
    let bodies = [
        "return row",
        "return {**row, 'args': args}",
        "return [row, row is rows[0], args, str(row), f'{args}', repr(row), json.dumps(row)]",
        "return [list(row), sorted(args.items(), key=str), len(row), isinstance(row, dict)]",
        "del row['opens']; row['seen'] = True; row['id'] += 1; return row",
        "return row | {'more': args}",
        "return [row.copy() == row, dict(row) == row, row == {**row}, copy.deepcopy(row), copy.copy(args)]",
        "args['hour'] = 1; args['of'].append(2); return args",
        "return row['none']",
        "return args['none']",
        "return row.opens",
        "return args.get()",
        "return args.get('id', default=1)",
        "return [row.get('none'), row.get('none', 2), row.get('id', 3), row.pop('id'), row.setdefault('x', 4)]",
        "return {'in': {'row': row}}",
        "row['self'] = row; return row",
        "return [value for value in row.values()]",
        "print(row, args); return [type(row).__name__, type(row) is dict, type(args) is dict, repr(type(row))]",
        "return type(row)(a=1).get('b')",
        "return row.fromkeys(['a']).get('b')",
        "return hash(row)",
        "match row:\n        case {'id': int(), 'tags': {}}: return 1\n    return 2",
    ];
    let args = r#"{"hour":12,"of":[1],"exact":1.000000000000000000001}"#;
    for (index, body) in bodies.into_iter().enumerate() {
        let map = format!("import copy, json\n\ndef transform(row, args):\n    rows = [row]\n    {body}\n");
        tried(&format!("same_{index}.py"), &map, args, ROWS).await;
        let reduce = format!("import copy, json\n\ndef reduce(rows, args):\n    row = rows[0]\n    {body}\n");
        tried(&format!("same_list_{index}.py"), &reduce, args, &format!("[{ROWS}]")).await;
    }
}

/// Which Python is asked for twice.
#[tokio::test]
async fn what_a_watched_row_prints_is_printed_once() {
    let log = Log::captured();
    let source = "def transform(row, args):\n    print('seen', row['id'], end='')\n    return row['none']";
    let mut bench = Bench::new("prints.py", source.as_bytes(), |spec| spec.name = "prints".into());
    let version = bench.loaded().await;
    let answers = bench.ask(version, "{}", &[r#"{"id":7}"#, r#"{"id":8}"#]).await;
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    let lines = log.of("prints");
    let seen = |id: u32| lines.iter().filter(|line| line.contains(&format!("seen {id}"))).count();
    assert_eq!((seen(7), seen(8)), (1, 1), "{lines:?}");
}

/// In the server, where there is no version before.
#[tokio::test]
async fn the_first_version_is_watched_on_the_first_row() {
    let log = Log::captured();
    let source = "export const keep = (place, args) => place.opns < args.hour;";
    let mut bench = Bench::new("first.js", source.as_bytes(), |spec| spec.name = "first".into());
    let version = bench.loaded().await;
    for _ in 0..2 {
        let answers = bench.ask(version, r#"{"hour":9}"#, &[r#"{"opens":7}"#, r#"{"opens":8}"#]).await;
        assert_eq!(answers, [Ok("false".into()), Ok("false".into())]);
    }
    let lines = log.of("first");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.contains("first.js:1: the row has no field \"opns\": did you mean opens? (it has opens)"), "{line}");
}

/// In the server, on rows that the version before answered.
#[tokio::test]
async fn a_new_version_is_watched_while_it_is_tried() {
    let log = Log::captured();
    let mut bench =
        Bench::new("probe.js", b"export const transform = (row) => row.id;", |spec| spec.name = "newer".into());
    let version = bench.loaded().await;
    let shown = vec![call(version, "{}", r#"{"id":7}"#), call(version, "{}", r#"{"id":8}"#)];
    bench.host.evaluate(NODE, version, shown.clone()).await;
    bench.write(b"export const transform = (row) => row.ids ?? 1;");
    let version = bench.loaded().await;
    assert_eq!(bench.ask(version, "{}", &[r#"{"id":9}"#]).await, [Ok("1".into())]);
    let lines = log.of("newer");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let file = bench.path.display();
    let expected = format!(
        "WARN sangre::node: {file}:1: the row has no field \"ids\": did you mean id? (it has id) node=\"newer\" tried=true"
    );
    assert!(line.ends_with(&expected), "{line}");
}
