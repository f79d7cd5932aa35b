//! Python as people write it, and what they hear when it is wrong.

use super::*;

async fn transform(body: &str, row: &str) -> Result<String, String> {
    Bench::python(&format!("def transform(row, args):\n    {body}\n")).once(row).await
}

async fn refused(source: &str) -> String {
    Bench::python(source).failed().await
}

/// What functions with these bodies answer; all are in one node, which comes after `head`.
async fn answers(head: &str, bodies: &[&str]) -> Vec<Result<String, String>> {
    let mut source = format!("{head}\n");
    for (index, body) in bodies.iter().enumerate() {
        source += &format!("def f{index}():\n    {}\n", body.replace('\n', "\n    "));
    }
    source += "def transform(row, args):\n    return globals()[f'f{row}']()\n";
    let mut bench = Bench::python(&source);
    let version = bench.loaded().await;
    let rows: Vec<String> = (0..bodies.len()).map(|index| index.to_string()).collect();
    bench.ask(version, "{}", &rows.iter().map(|row| &**row).collect::<Vec<_>>()).await
}

/// Each body's answer contains the text beside it.
async fn check(head: &str, cases: &[(&str, Result<&str, &str>)]) {
    let bodies: Vec<&str> = cases.iter().map(|(body, _)| *body).collect();
    for ((body, expected), answer) in cases.iter().zip(answers(head, &bodies).await) {
        match (expected, &answer) {
            (Ok(expected), Ok(answer)) => assert_eq!(expected, answer, "{body}"),
            (Err(expected), Err(error)) if error.contains(expected) => {}
            _ => panic!("{body}\n{answer:?}, not {expected:?}"),
        }
    }
}

#[tokio::test]
async fn a_map_answers_any_json() {
    let same = r#"{"a":[1,2.5,null,true,"ü \" \n"],"b":{"c":{}}}"#;
    assert_eq!(transform("return row", same).await.as_deref(), Ok(same));
    check(
        "import collections, enum\nclass Text(enum.StrEnum):\n    A = 'a'",
        &[
            ("return None", Ok("null")),
            ("pass", Ok("null")),
            ("return (1, 2)", Ok("[1,2]")),
            ("return collections.Counter('aab')", Ok(r#"{"a":2,"b":1}"#)),
            ("return {Text.A: [Text.A]}", Ok(r#"{"a":["a"]}"#)),
            ("return 'ü€'", Ok("\"ü€\"")),
        ],
    )
    .await;
}

#[tokio::test]
async fn rows_are_answered_in_order_with_their_own_args() {
    adds_in_order(Bench::python("def transform(row, args):\n    return row + args.get('by', 0)")).await;
}

#[tokio::test]
async fn integers_are_exact_and_numbers_with_a_fraction_are_floats() {
    let digits = "9".repeat(10_000);
    for integer in ["9223372036854775807", "-9223372036854775808", "123456789012345678901234567890", &digits] {
        assert_eq!(transform("return row['n']", &format!("{{\"n\":{integer}}}")).await.as_deref(), Ok(integer));
    }
    assert_eq!(transform("return [type(row).__name__, row / 2]", "0.5").await.as_deref(), Ok(r#"["float",0.25]"#));
}

#[tokio::test]
async fn what_no_float_holds_is_handed_on_as_it_came_and_computed_with_as_a_float() {
    let row = r#"{"n":0.1234567890123456789,"list":[{"ü":-1234567890.12345678901}],"big":9007199254740993,"far":1e400,"text":"ü"}"#;
    for (body, expected) in [
        ("return row", row),
        ("return row['n']", "0.1234567890123456789"),
        ("return {**row, 'list': tuple(row['list']), 'far': None}.popitem()", r#"["text","ü"]"#),
        ("return row['list'], 'text'", r#"[[{"ü":-1234567890.12345678901}],"text"]"#),
        ("return max(row['n'], 0.1)", "0.1234567890123456789"),
        ("return args", r#"{"by":[0.1000000000000000000001]}"#),
        ("import copy; return copy.deepcopy(row)", row),
        ("return [str(row['n']), f\"{row['n']}\"]", r#"["0.1234567890123456789","0.1234567890123456789"]"#),
        ("import decimal; return str(decimal.Decimal(str(row['n'])) + 1)", "\"1.1234567890123456789\""),
        (
            "return [row['n'] + 1, -row['n'], float(row['n']), round(row['n'], 2), row['n'] > 0.1]",
            "[1.1234567890123457,-0.12345678901234568,0.12345678901234568,0.12,true]",
        ),
    ] {
        let mut bench = Bench::python(&format!("def transform(row, args):\n    {body}\n"));
        let version = bench.loaded().await;
        let answers = bench.ask(version, r#"{"by":[0.1000000000000000000001]}"#, &[row]).await;
        assert_eq!(answers, [Ok(expected.to_owned())], "{body}");
    }
    let error = transform("return row * 2", "1e400").await;
    assert_eq!(error, Err("probe.py:1: transform answered inf: JSON has no such number".into()));
    // In a list, and as a row.
    let mut reduce = Bench::python("def reduce(rows, args): return [row for row in rows if row != 1]");
    let answer = reduce.once("[1,0.1234567890123456789,2]").await;
    assert_eq!(answer.as_deref(), Ok("[0.1234567890123456789,2]"));
}

#[tokio::test]
async fn what_json_lacks_is_an_error_and_never_changed() {
    check(
        "import collections, dataclasses, datetime, decimal, enum, uuid\n\
         Point = collections.namedtuple('Point', 'x y')\n\
         class Color(enum.Enum):\n    RED = 1\n\
         @dataclasses.dataclass\nclass Place:\n    id: int",
        &[
            ("return float('nan')", Err("transform answered nan: JSON has no such number")),
            ("return 1e999", Err("transform answered inf: JSON has no such number")),
            ("return {'a': [1, {'b': {1}}]}", Err("a dict in which ['a'][1]['b'] is a set: use sorted(...)")),
            ("return [1, float('-inf')]", Err("a list in which [1] is -inf: JSON has no such number")),
            ("return b'x'", Err("a bytes: use .decode() or base64")),
            ("return datetime.datetime(2020, 1, 2)", Err("a datetime: use .isoformat()")),
            ("return decimal.Decimal('1.1')", Err("a Decimal: use str(...) or float(...)")),
            ("return uuid.UUID(int=1)", Err("a UUID: use str(...)")),
            ("return Color.RED", Err("a Color: use .value")),
            ("return Point(1, 2)", Err("a Point: use ._asdict()")),
            ("return Place(1)", Err("a Place: use dataclasses.asdict(...)")),
            ("return {1: 2}", Err("transform answered a dict with an int for a key: JSON's keys are texts")),
            ("yield 1", Err("a generator: use list(...)")),
            ("async def wait(): pass\nreturn wait()", Err("a coroutine: a node cannot be async")),
            ("return f0", Err("a function: call it")),
            ("return object()", Err("an object: JSON has no such value")),
            (r"return '\ud800'", Err("half a character")),
            ("a = []\na.append(a)\nreturn a", Err("contains itself")),
        ],
    )
    .await;
    let mut bench = Bench::python("async def transform(row, args):\n    return 1");
    assert_eq!(bench.once("1").await, Err("probe.py:1: transform answered a coroutine: a node cannot be async".into()));
}

#[tokio::test]
async fn a_filter_has_to_answer_true_or_false() {
    let source = "def keep(row, args):\n    if row > 3: return row\n    if row > 1: return row > 2";
    let mut bench = Bench::python(source);
    let version = bench.loaded().await;
    let answers = bench.ask(version, "{}", &["3", "2", "1", "4"]).await;
    assert_eq!(answers[..2], [Ok("true".into()), Ok("false".into())]);
    assert_eq!(answers[2], Err("probe.py:1: keep answered None: missing return?".into()));
    assert_eq!(answers[3], Err("probe.py:1: keep answered an int: it has to be True or False, as bool(...) is".into()));
    let mut bench = Bench::python("async def keep(row, args):\n    return True");
    assert_eq!(bench.once("1").await, Err("probe.py:1: keep answered a coroutine: a node cannot be async".into()));
}

#[tokio::test]
async fn errors_have_file_and_line() {
    assert_eq!(transform("return 1 / 0", "1").await, Err("probe.py:2: ZeroDivisionError: division by zero".into()));
    assert_eq!(
        transform("return row['closes']", "{}").await,
        Err("probe.py:2: KeyError: 'closes' (the row has no fields: the query's input: or select: says which)".into())
    );
    let error = transform("return row.closes", r#"{"opens":9}"#).await;
    let expected = "probe.py:2: AttributeError: 'dict' object has no attribute 'closes': rows and args are dicts, so write ['closes']";
    assert_eq!(error, Err(expected.into()));
    assert_eq!(transform("raise SystemExit(2)", "1").await, Err("probe.py:2: SystemExit: 2".into()));
    let mut nested = Bench::python("def ratio(a):\n    return a / 0\ndef transform(row, args):\n    return ratio(row)");
    let message = "probe.py:2: ZeroDivisionError: division by zero (in ratio, called from probe.py:4 in transform)";
    assert_eq!(nested.once("1").await, Err(message.into()));
    let error = transform("import json; return json.loads('{')", "1").await;
    assert!(error.as_ref().is_err_and(|message| message.starts_with("probe.py:2: JSONDecodeError: ")), "{error:?}");
    let unspeakable = "class E(Exception):\n        def __str__(self): return 1\n    raise E";
    assert_eq!(transform(unspeakable, "1").await, Err("probe.py: raised an exception that cannot be shown".into()));
}

#[tokio::test]
async fn a_missing_key_is_told_with_those_of_what_was_asked() {
    let row = r#"{"opens":9}"#;
    for (body, expected) in [
        ("return row['opens'] < args['hour']", "KeyError: 'hour' (args have by)"),
        (
            "return row['close'] < args['by']",
            "KeyError: 'close' (the row has opens: the query's input: or select: says which)",
        ),
        ("names = {'a': 1, 2: 3}; return names[row['opens']]", "KeyError: 9 (names has a, 2)"),
        (
            "return (lambda given: given['hour'])(args)",
            "KeyError: 'hour' (in transform.<locals>.<lambda>, called from probe.py:2 in transform) (args have by)",
        ),
        // What was asked is not plain, or nothing was.
        (
            "return {**row}['hour']",
            "KeyError: 'hour' (the row has opens: the query's input: or select: says which; args have by)",
        ),
        (
            "raise KeyError('hour')",
            "KeyError: 'hour' (the row has opens: the query's input: or select: says which; args have by)",
        ),
        (
            "return [1][args['hour'\n      ]]",
            "KeyError: 'hour' (the row has opens: the query's input: or select: says which; args have by)",
        ),
    ] {
        let mut bench = Bench::python(&format!("def transform(row, args):\n    {body}\n"));
        let version = bench.loaded().await;
        let answers = bench.ask(version, r#"{"by":1}"#, &[row]).await;
        assert_eq!(answers, [Err(format!("probe.py:2: {expected}"))], "{body}");
    }
    let error = transform("return args['hour']", row).await;
    assert_eq!(error, Err("probe.py:2: KeyError: 'hour' (args have no fields)".into()));
}

#[tokio::test]
async fn a_source_that_is_no_node_says_why() {
    for (source, expected) in [
        ("def transform(row, args):\n    return row +\n", "probe.py:2: SyntaxError: invalid syntax: 'return row +'"),
        ("x = (1,\n", "probe.py:1: SyntaxError: '(' was never closed"),
        ("def keep(row, args):\nreturn 1", "probe.py:2: IndentationError: expected an indented block after function"),
        ("a = 1\n\nb = c", "probe.py:3: NameError: name 'c' is not defined"),
        ("x = 1", "probe.py defines no node: write def keep(row, args), transform(row, args) or reduce(rows, args)"),
        (
            "def transfrom(row, args): return 1",
            "probe.py defines no node, but transfrom: write def keep(row, args), transform(row, args) or reduce(rows, args)",
        ),
        (
            "def transform(row, args):\n    def double(x): return 2 * x\n    double(row)",
            "probe.py:1: transform has no return: it would answer None to every row",
        ),
        ("keep = transform = print", "probe.py defines keep and transform: a node is one of them"),
        ("transform = 5", "probe.py: transform is an int, not a function"),
        (
            "\ndef keep(row): return True",
            "probe.py:2: keep(row) cannot be called: a node's function is keep(row, args)",
        ),
        ("raise SystemExit", "probe.py:1: SystemExit"),
        ("import numpy", "probe.py:1: ModuleNotFoundError: there is no module numpy here"),
        ("while True: pass", "probe.py: took longer than its deadline of 100 ms (`deadline:` sets it)"),
    ] {
        let reason = refused(source).await;
        assert!(reason.starts_with(expected), "{source}: {reason}");
    }
    let mut other = Bench::new("probe.py", b"def keep(row, args): return True", |spec| spec.kind = Some(NodeKind::Map));
    assert_eq!(
        other.failed().await,
        "is a filter, but is used as a map: use it as a filter, or export transform instead"
    );
    let mut borrowed = Bench::python("from functools import reduce\ndef keep(row, args): return reduce(bool, [row])");
    assert_eq!(borrowed.once("true").await.as_deref(), Ok("true"), "an imported reduce is no node");
}

#[tokio::test]
async fn a_function_with_a_return_somewhere_is_taken() {
    let many = |text: &str| text.repeat(300);
    for source in [
        format!(
            "def transform(row, args):\n    if row == 0: pass\n{}    elif row: return 1",
            many("    elif row == 5: pass\n")
        ),
        format!("def transform(row, args):\n    if row: return 1{}", many(" + 0")),
        "def transform(row, args):\n    print(row)\ntransform = (lambda before: lambda row, args: 1)(transform)".into(),
        "def transform(row, args):\n    match row:\n        case 7:\n            with open_() as it: return it\n\
         import contextlib\nopen_ = contextlib.contextmanager(lambda: (yield 1))"
            .into(),
    ] {
        let mut bench = Bench::python(&source);
        assert_eq!(bench.once("7").await.as_deref(), Ok("1"), "{source}");
    }
}

#[tokio::test]
async fn the_listed_part_of_the_standard_library_is_there() {
    check(
        "import base64, bisect, calendar, collections.abc, copy, csv, dataclasses, datetime, decimal, enum, fractions\n\
         import functools, hashlib, heapq, html, io, itertools, json, logging, math, operator, random, re, statistics\n\
         import string, textwrap, time, typing, unicodedata, urllib.parse, uuid, zoneinfo",
        &[
            ("return datetime.datetime.strptime('2020-01-02', '%Y-%m-%d').isoformat()", Ok("\"2020-01-02T00:00:00\"")),
            ("return f'{datetime.datetime.fromtimestamp(0):%A %d %B %Y}'", Ok("\"Thursday 01 January 1970\"")),
            ("return time.strftime('%Y', time.gmtime(0))", Ok("\"1970\"")),
            ("return str(decimal.Decimal('1.10') + decimal.Decimal(1))", Ok("\"2.10\"")),
            ("return str(uuid.uuid5(uuid.NAMESPACE_DNS, 'a'))", Ok("\"4f3f2898-69e3-5a0d-820a-c4e87987dbce\"")),
            ("return hashlib.sha256(b'a').hexdigest()[:8]", Ok("\"ca978112\"")),
            ("return str(fractions.Fraction(1, 3)), statistics.mean([1, 2])", Ok("[\"1/3\",1.5]")),
            (
                "return urllib.parse.quote('a b'), html.escape('<'), textwrap.dedent(' a')",
                Ok(r#"["a%20b","&lt;","a"]"#),
            ),
            ("return unicodedata.name('ü')", Ok("\"LATIN SMALL LETTER U WITH DIAERESIS\"")),
            ("return copy.deepcopy(datetime.date(2020, 1, 2)).year", Ok("2020")),
            ("return base64.b64encode('é'.encode('cp1252')).decode()", Ok("\"6Q==\"")),
            (
                "zone = zoneinfo.ZoneInfo('Europe/Berlin')\n\
                 return datetime.datetime(2020, 7, 1, tzinfo=zone).isoformat()",
                Ok("\"2020-07-01T00:00:00+02:00\""),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_refused_by_name() {
    let packages = "a script is one file and imports a part of the standard library; for the rest of it, packages and modules beside the \
                    file make a component: `sangre node build FILE`, then `component: FILE.wasm` instead of `script:` in sangre.yaml";
    check(
        "",
        &[
            ("import numpy", Err(packages)),
            ("import os", Err("there is no module os here")),
            ("import urllib.request", Err("there is no module urllib.request here")),
            ("from urllib import request", Err("there is no module urllib.request here")),
            (
                "from . import other",
                Err("put everything in one file, or make a component: `sangre node build FILE`, then"),
            ),
            ("open('/etc/passwd')", Err("PermissionError: open('/etc/passwd'): a node has no files")),
            ("import io\nio.open('/etc/passwd')", Err("FileNotFoundError")),
            ("input()", Err("EOFError")),
        ],
    )
    .await;
}

#[tokio::test]
async fn nothing_impure_is_there() {
    let every = Err("declare every:");
    check(
        "import datetime, random, time, uuid\nfrom datetime import date",
        &[
            ("time.time()", Err("RuntimeError: time.time(): a node's answer must depend on its row and args alone")),
            ("time.monotonic()", every),
            ("time.sleep(1)", Err("time.sleep(): nodes answer at once")),
            ("time.localtime()", every),
            ("time.strftime('%Y')", every),
            ("datetime.datetime.now()", every),
            ("datetime.datetime.now(datetime.timezone.utc)", every),
            ("datetime.datetime.utcnow()", every),
            ("date.today()", every),
            ("uuid.uuid1()", every),
            ("uuid.uuid4()", every),
            ("random.random()", Err("random.random(): a node's answer must depend on its row and args alone")),
            ("random.choice([1, 2])", every),
            ("random.seed()", every),
            ("random.Random()", every),
            ("random.SystemRandom().random()", every),
            ("random.seed(1)\nreturn random.randint(1, 9)", Ok("3")),
            ("random.random()", every),
            ("return random.Random(5).random()", Ok("0.6229016948897019")),
        ],
    )
    .await;
    for (statement, expected) in [
        (
            "time.time()",
            "time.time(): there is no clock while the file is loaded: read it inside of the function, and declare every:",
        ),
        (
            "random.random()",
            "random.random(): there is no randomness while the file is loaded: use random.Random(seed)",
        ),
    ] {
        let reason = refused(&format!("import random, time\nAT = {statement}\ndef keep(row, args): return True")).await;
        assert!(reason.starts_with(&format!("probe.py:2: RuntimeError: {expected}")), "{reason}");
    }
    let seeded = "import random\nrandom.seed(1)\ndef transform(row, args): return random.random()";
    let error = Bench::python(seeded).once("1").await;
    assert!(error.as_ref().is_err_and(|message| message.contains("declare every:")), "{error:?}");
}

#[tokio::test]
async fn no_row_sees_what_another_did_to_its_row_or_args() {
    let source = "def transform(row, args):\n    row['seen'] = args['list'].append(1)\n    return len(args['list'])";
    let mut bench = Bench::python(source);
    let version = bench.loaded().await;
    let answers = bench.ask(version, r#"{"list":[]}"#, &["{}", "{}", "{}"]).await;
    assert_eq!(answers, vec![Ok("1".to_owned()); 3]);
    let mut flat = Bench::python("def transform(row, args):\n    args['n'] += 1\n    return args['n']");
    let version = flat.loaded().await;
    assert_eq!(flat.ask(version, r#"{"n":1}"#, &["1", "2"]).await, vec![Ok("2".to_owned()); 2]);
}

#[tokio::test]
async fn one_bad_row_harms_no_other() {
    let source = "def deep(row):\n    return deep(row) + 1\ndef transform(row, args):\n    if row == 2: return deep(row)\n    \
                  while row == 3: pass\n    if row == 4: raise ValueError('four')\n    return row";
    let mut bench = Bench::python(source);
    let version = bench.loaded().await;
    let answers = bench.ask(version, "{}", &["1", "2", "4", "5"]).await;
    assert_eq!((&answers[0], &answers[3]), (&Ok("1".into()), &Ok("5".into())));
    let deep =
        "probe.py:2: RecursionError: maximum recursion depth exceeded (in deep, called from probe.py:4 in transform, ";
    assert!(answers[1].as_ref().is_err_and(|message| message.starts_with(deep)), "{answers:?}");
    assert_eq!(answers[2], Err("probe.py:6: ValueError: four".into()));
    let answers = bench.ask(version, "{}", &["3", "1"]).await;
    assert_eq!(answers, [Err("took longer than its deadline of 100 ms (`deadline:` sets it)".into()), Ok("1".into())]);
}

#[tokio::test]
async fn recursion_through_builtins_fits_the_stack_too() {
    let error = Err("RecursionError");
    check(
        "import re, sys\nclass A:\n    def __repr__(self): return repr([self])\n    def __add__(self, o): return self + o\n    \
         def __getattr__(self, name): return getattr(self, name + 'x')\n    def __lt__(self, o): return sorted([self, o])\n\
         def mapped(n): return list(map(mapped, [n]))\ndef sorts(n): return sorted([n], key=sorts)\n\
         def subs(m): return re.sub('a', subs, 'a')\ndef generates(n): yield from generates(n)",
        &[
            ("repr(A())", error),
            ("A() + 1", error),
            ("A().a", error),
            ("sorted([A(), A()])", error),
            ("mapped(1)", error),
            ("sorts(1)", error),
            ("subs(1)", error),
            ("list(generates(1))", error),
            ("sys.setrecursionlimit(1000)", Err("ValueError: setrecursionlimit(1000): a node's stack fits 400 calls")),
            ("x = ()\nfor i in range(100_000): x = (x,)\nhash(x)", Err("recursion too deep: the call stack is used up")),
            ("return 1", Ok("1")),
        ],
    )
    .await;
}

#[tokio::test]
async fn memory_is_limited() {
    let source =
        "def transform(row, args):\n    a = []\n    while row == 2:\n        a.append('x' * 1_000_000)\n    return row";
    let mut bench = Bench::new("probe.py", source.as_bytes(), |spec| spec.limits.deadline = Duration::from_secs(10));
    let version = bench.loaded().await;
    let answers = bench.ask(version, "{}", &["1", "2", "3"]).await;
    assert_eq!((&answers[0], &answers[2]), (&Ok("1".into()), &Ok("3".into())));
    let error = &answers[1];
    assert!(error.as_ref().is_err_and(|message| message.contains("MemoryError: the node's memory")), "{error:?}");
    let mut small = Bench::new("probe.py", source.as_bytes(), |spec| spec.limits.memory = 8 << 20);
    assert_eq!(small.failed().await, "cannot be started: used more than its 8 MiB of memory");
}

#[tokio::test]
async fn print_and_logging_write_to_the_log() {
    let log = Log::captured();
    let source = "import logging, sys\ndef transform(row, args):\n    print('printed', row)\n    sys.stderr.write('half a line')\n    \
                  logging.error('logged %d', row)\n    logging.getLogger('mine').info('named')\n    return row";
    let mut bench = Bench::new("probe.py", source.as_bytes(), |spec| spec.name = "talkative".into());
    assert_eq!(bench.once("7").await.as_deref(), Ok("7"));
    let lines = log.of("talkative");
    for (level, text) in
        [("INFO", "printed 7"), ("WARN", "half a line"), ("ERROR", "logged 7"), ("INFO", "mine: named")]
    {
        let found = lines.iter().any(|line| line.contains(level) && line.contains(text));
        assert!(found, "{level} {text}: {lines:?}");
    }
}

#[tokio::test]
async fn an_edit_takes_effect() {
    let mut bench = Bench::python("def transform(row, args): return 1");
    let first = bench.loaded().await;
    bench.write(b"def transform(row, args): return 2");
    let second = bench.loaded().await;
    assert_eq!(bench.ask(second, "{}", &["0"]).await, [Ok("2".into())]);
    assert_eq!(bench.ask(first, "{}", &["0"]).await, [Ok("1".into())]);
    bench.write(b"def transform(row, args) return 3");
    assert_eq!(bench.failed().await, "probe.py:1: SyntaxError: expected ':'");
    assert_eq!(bench.ask(second, "{}", &["0"]).await, [Ok("2".into())]);
}

#[tokio::test]
async fn the_examples() {
    let example = |name: &str| std::fs::read_to_string(examples().join("python").join(name)).expect("the example");
    let mut open_at = Bench::python(&example("open_at.py"));
    let version = open_at.loaded().await;
    let rows = [r#"{"opens":9,"closes":17}"#, r#"{"opens":18,"closes":2}"#, r#"{"opens":9}"#];
    let answers = open_at.ask(version, r#"{"hour":12}"#, &rows).await;
    assert_eq!(answers[..2], [Ok("true".into()), Ok("false".into())]);
    assert!(
        answers[2].as_ref().is_err_and(|message| message
            .ends_with("KeyError: 'closes' (the row has opens: the query's input: or select: says which)")),
        "{answers:?}"
    );
    let answers = open_at.ask(version, r#"{"hour":1}"#, &rows[..2]).await;
    assert_eq!(answers, [Ok("false".into()), Ok("true".into())]);

    let mut ratings = Bench::python(&example("ratings.py"));
    let version = ratings.loaded().await;
    let lists = [r#"[{"rating":4},{"rating":5},{"rating":null},{"rating":5}]"#, "[]"];
    let answers = ratings.ask(version, "{}", &lists).await;
    assert_eq!(answers[0].as_deref(), Ok(r#"{"count":4,"median":5,"stars":{"4":1,"5":2}}"#));
    assert_eq!(answers[1].as_deref(), Ok(r#"{"count":0,"median":null,"stars":{}}"#));
}

#[tokio::test]
async fn with_every_clocks_stand_still_and_randomness_is_of_tick_and_row() {
    let source = "import datetime, random, time, uuid\n\
        def transform(row, args):\n    \
            return [int(time.time() * 1000), datetime.datetime.now(datetime.UTC).isoformat(), random.random(), str(uuid.uuid4())]\n";
    let mut bench = Bench::new("probe.py", source.as_bytes(), |spec| spec.has_clock = true);
    let version = bench.loaded().await;
    let tick = 1_700_000_000_123;
    let answer = bench.ask_at(version, tick, "1").await.expect("an answer");
    assert!(answer.starts_with("[1700000000123,\"2023-11-14T22:13:20.123000+00:00\","), "{answer}");
    assert_eq!(bench.ask_at(version, tick, "1").await.as_ref(), Ok(&answer), "equal questions");
    let random = |answer: &str| answer.split(',').skip(2).collect::<Vec<_>>().join(",");
    for (tick, row) in [(tick, "2"), (tick + 1, "1")] {
        let other = bench.ask_at(version, tick, row).await.expect("an answer");
        assert_ne!(random(&other), random(&answer));
    }
    let mut sleeps = Bench::new("probe.py", b"import time\ndef transform(row, args): return time.sleep(1)\n", |spec| {
        spec.has_clock = true;
    });
    let error = sleeps.once("1").await;
    assert!(error.as_ref().is_err_and(|message| message.contains("time.sleep(): nodes answer at once")), "{error:?}");
}
