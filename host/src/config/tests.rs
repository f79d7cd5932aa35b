//! Configurations and what is said about them, as tables.

use super::*;

/// What is wrong with `text`, one mistake a line.
fn faults(text: &str) -> String {
    let env = |name: &str| (name == "DATABASE_URL").then(|| "postgres://localhost/x".to_string());
    match Settings::parse(text, "sangre.yaml", FilePath::new("/app"), &env) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

fn settings(text: &str) -> Settings {
    let env = |name: &str| (name == "DATABASE_URL").then(|| "postgres://localhost/x".to_string());
    Settings::parse(text, "sangre.yaml", FilePath::new("/app"), &env).unwrap_or_else(|error| panic!("{error}"))
}

const HEAD: &str = "database: \"${DATABASE_URL}\"\n";

#[test]
fn the_least_file_has_defaults() {
    let settings = settings(HEAD);
    assert_eq!(settings.database.url, "postgres://localhost/x");
    assert_eq!(settings.database.replication_url, "postgres://localhost/x");
    assert_eq!(settings.database.publication, "sangre");
    assert_eq!(settings.listen.to_string(), "127.0.0.1:4000");
    assert_eq!(settings.admin.to_string(), "127.0.0.1:4001");
    assert_eq!(settings.limits, Limits::default());
    assert_eq!(settings.auth, None);
}

#[test]
fn nodes_have_sources_and_limits() {
    let text = "database: x\nnodes:\n  a: { script: nodes/a.js }\n  b: { component: /b.wasm, deadline: 1s, memory: 1GiB, on_error: hold, numbers: string }\n  c: { script: c.ts, on_error: null }\n  d: { script: d.py }\n  e: { script: e.py, memory: 128MiB, every: 3s }\n";
    let nodes = settings(text).nodes;
    assert_eq!(nodes[0].source, NodeSource::Script("/app/nodes/a.js".into()));
    assert_eq!((nodes[0].limits.deadline_ms, nodes[0].limits.memory_bytes), (100, 64 << 20));
    assert_eq!(nodes[1].source, NodeSource::Component("/b.wasm".into()));
    assert_eq!((nodes[1].limits.deadline_ms, nodes[1].limits.memory_bytes), (1000, 1 << 30));
    assert_eq!(
        nodes.iter().map(|node| node.numbers_as_strings).collect::<Vec<_>>(),
        [false, true, false, false, false]
    );
    assert_eq!(nodes.iter().map(|node| node.every_ms).collect::<Vec<_>>(), [None, None, None, None, Some(3000)]);
    let on_error: Vec<_> = nodes.iter().map(|node| node.on_error).collect();
    use crate::query::OnError;
    assert_eq!(on_error[..3], [OnError::Skip, OnError::Hold, OnError::Null]);
    assert_eq!(nodes[3].source, NodeSource::Script("/app/d.py".into()));
    assert_eq!((nodes[3].limits.memory_bytes, nodes[4].limits.memory_bytes), (256 << 20, 128 << 20));
}

#[test]
fn limits_of_nodes_are_refused_where_they_cannot_be_kept() {
    for (text, expect) in [
        ("deadline: 0ms", "1:39: nodes.a.deadline: 0ms is too little: it takes 1ms to 1h"),
        ("deadline: 2h", "nodes.a.deadline: 2h is too much: it takes 1ms to 1h"),
        ("deadline: 100", "such as 100ms, from 1ms to 1h"),
        ("memory: 0B", "nodes.a.memory: 0B is too little: it takes 1B to 4GiB"),
        ("memory: 5GiB", "5GiB is too much: it takes 1B to 4GiB"),
        ("memory: [64MiB]", "from 1B to 4GiB"),
        ("limits: 3", "nodes.a.limits: expected a mapping with "),
        ("limits: { dept: 3 }", "nodes.a.limits: unknown key \"dept\"; did you mean \"depth\"?"),
        ("limits: { size: 2GiB }", "nodes.a.limits.size: 2GiB is too much: it takes 1B to 1GiB"),
        ("limits: { output: 0B }", "nodes.a.limits.output: 0B is too little: it takes 1B to 1GiB"),
        (
            "limits: { output: 8 }",
            "nodes.a.limits.output: expected a number with its unit, such as 8MiB, from 1B to 1GiB",
        ),
        ("limits: { messages: 99999999999999999GiB }", "such as 4MiB, from 1B to 1GiB"),
        ("limits: { growth: 1s }", "such as 16MiB, from 1B to 4GiB"),
        ("limits: { depth: 0 }", "nodes.a.limits.depth: expected a whole number from 1 to 100"),
        ("limits: { depth: 101 }", "from 1 to 100"),
        ("limits: { depth: \"3\" }", "from 1 to 100"),
        ("limits: { files: 10001 }", "nodes.a.limits.files: expected a whole number from 1 to 10000"),
        ("limits: { log_lines: 0 }", "nodes.a.limits.log_lines: expected a whole number from 1 to 100000"),
        ("limits: { calls: 0 }", "nodes.a.limits.calls: expected a whole number from 1 to 1000000"),
        ("limits: { calls: -1 }", "from 1 to 1000000"),
        ("limits: { calls: 1e3 }", "from 1 to 1000000"),
        ("limits: { compile_time: 1m }", "nodes.a.limits.compile_time: `compile_time` is for components"),
    ] {
        let faults = faults(&format!("nodes: {{ a: {{ script: a.js, {text} }} }}\n{HEAD}"));
        assert!(faults.contains(expect), "{text}: {faults}");
        assert_eq!(faults.lines().count(), 1, "{faults}");
    }
    for (text, expect) in [
        ("{ files: 3 }", "nodes.a.limits.files: `files` is for scripts: a component is one file"),
        ("{ compile_time: 0s }", "nodes.a.limits.compile_time: 0ms is too little: it takes 1ms to 1h"),
        ("{ compile_time: 61m }", "61m is too much: it takes 1ms to 1h"),
    ] {
        let faults = faults(&format!("{HEAD}nodes: {{ a: {{ component: a.wasm, limits: {text} }} }}"));
        assert!(faults.contains(expect), "{text}: {faults}");
    }
    for text in ["component: 2GiB", "output: 1025MiB"] {
        let faults = faults(&format!("{HEAD}limits: {{ {text} }}"));
        assert!(faults.contains("is too much: it takes 1B to 1GiB"), "{faults}");
    }
}

#[test]
fn numbers_are_strings_or_not_mentioned() {
    let expect = "nodes.a.numbers: expected string, found \"text\"";
    let faults = faults(&format!("{HEAD}nodes: {{ a: {{ script: a.js, numbers: text }} }}\n"));
    assert!(faults.contains(expect), "{faults}");
}

#[test]
fn mistakes_are_all_told_with_their_places() {
    let text =
        "database: ${NOPE}\nlisten: 0.0.0.0:80\nlimits: { list: many }\nquerys: {}\nnodes:\n  a: { script: a.rb }\n";
    assert_eq!(
        faults(text),
        "sangre.yaml:1:11: database: the environment variable NOPE is not set\n\
         sangre.yaml:4:1: unknown key \"querys\"; did you mean \"queries\"?\n\
         sangre.yaml:2:9: listen: 0.0.0.0:80 is reachable from elsewhere and `auth` is not set: write `auth: none` if that is meant\n\
         sangre.yaml:3:17: limits.list: expected a whole number from 1\n\
         sangre.yaml:6:16: nodes.a.script: \"a.rb\" is not JavaScript, TypeScript or Python: its name ends in .js, .mjs, .ts, .mts or .py"
    );
}

#[test]
fn what_comes_later_is_refused_by_name() {
    for (text, expect) in [
        ("auth: { jwt: { secret: x } }", "`auth: jwt` is not supported yet"),
        ("auth: { forward: { url: x } }", "`auth: forward` is not supported yet"),
        ("nodes: { a: { script: a.js, every: 99ms } }", "99ms is too little: it takes 100ms to 8784h"),
        ("queries: { q: { route: /q, from: t, exists: { from: u } } }", "`exists` is not supported yet"),
        ("queries: { q: { route: /q, from: t, where: { exists: { from: u } } } }", "`exists` is not supported yet"),
        ("queries: { q: { route: /q, from: t, aggregate: {} } }", "`aggregate` is not supported yet"),
        ("queries: { q: { route: /q, from: t, group_by: [a] } }", "`group_by` is not supported yet"),
        ("queries: { q: { route: /q, from: t, distinct: true } }", "`distinct` is not supported yet"),
        ("queries: { q: { route: /q, from: t, order_by: [{ by: a, collate: C }] } }", "`collate` is not supported yet"),
        ("queries: { q: { route: /q, from: t, allow: { role: [a] } } }", "`allow: { role }` is not supported yet"),
        (
            "queries: { q: { route: /q, from: t, with: { c: { from: u, on: { a: { gt: b } } } } } }",
            "operators in `on` are not supported yet",
        ),
    ] {
        let faults = faults(&format!("{HEAD}{text}\n"));
        assert!(faults.contains(expect), "{text}: {faults}");
        assert_eq!(faults.lines().count(), 1, "{faults}");
    }
    let slot = faults("database: { url: x, slot: { permanent: s } }");
    assert!(slot.contains("`slot: permanent` is not supported yet"), "{slot}");
}

#[test]
fn what_is_wrong_in_a_query_is_said() {
    for (text, expect) in [
        ("form: t", "unknown key \"form\"; did you mean \"from\"?"),
        ("from: [t]", "expected a text, found a list"),
        ("from: t, limit: -1", "queries.q.limit: must not be negative"),
        ("from: t, limit: 99999999999999999999", "queries.q.limit: is too large"),
        ("from: t, limit: -99999999999999999999", "queries.q.limit: must not be negative"),
        ("from: t, offset: 1.5", "queries.q.offset: must be a whole number"),
        ("from: t, limit: \"5\"", "queries.q.limit: must be a whole number: write 5 without quotes"),
        ("from: t, limit: many", "queries.q.limit: must be a whole number or a parameter, found a text"),
        ("from: t, where: { all: { id: 1 } }", "where.all: expected a list, such as [{ id: ... }], found a mapping"),
        ("from: t, order_by: name", "order_by: expected a list, such as [name], found a text"),
        ("from: t, select: []", "queries.q.select: names nothing"),
        ("from: t, steps: [{ select: [] }]", "queries.q.steps[0].select: names nothing"),
        ("from: t, one: true", "queries.q.one: `one` is for nested queries: write `get:"),
        ("from: t, where: { a: [1] }", "a list is written `{ in: [...] }`"),
        ("from: t, where: { a: { gr: 1 } }", "unknown key \"gr\"; did you mean \"gt\"?"),
        ("from: t, where: { a: { gt: null } }", "a comparison with null is never true"),
        ("from: t, where: { a: $ }", "\"$\" is not a parameter's name"),
        ("from: t, where: { a: $auth }", "`$auth` is not a value"),
        ("from: t, where: { a: { contains: [1, $x] } }", "stands under `in` or `not_in`"),
        ("from: t, steps: [{ filtre: n }]", "unknown key \"filtre\"; did you mean \"filter\"?"),
        ("from: t, steps: [{ limit: 1, offset: 2 }]", "a step has one key"),
        ("from: t, steps: [{ map: { into: x } }]", "`node` is missing"),
        ("from: t, select: [a, { a: b }]", "\"a\" is selected twice"),
        ("from: t, params: { after: { type: text } }", "the name \"after\" is reserved"),
        ("from: t, params: { auth: { type: text } }", "claims come from the token"),
        ("from: t, with: { c: { from: u, get: { id: 1 } } }", "unknown key \"get\""),
        ("from: t, with: { c: { from: u, on: { a: b }, through: x } }", "exclude each other"),
        ("from: t, order_by: [{ by: a, nulls: middle }]", "expected \"first\" or \"last\""),
    ] {
        let faults = faults(&format!("{HEAD}queries: {{ q: {{ route: /q, {text} }} }}\n"));
        assert!(faults.contains(expect), "{text}: {faults}");
    }
    for (route, expect) in [
        ("q", "a route begins with `/`"),
        ("/sangre", "the server's own"),
        ("/a//b", "no empty segments"),
        ("/a/{x}/{x}", "stands twice"),
        ("/a/{revision}", "reserved"),
        ("/a/x{y}", "either plain text or one"),
    ] {
        let faults = faults(&format!("{HEAD}queries: {{ q: {{ route: \"{route}\", from: t }} }}\n"));
        assert!(faults.contains(expect), "{route}: {faults}");
    }
}

#[test]
fn passwords_are_not_shown() {
    let shown = format!("{:?}", settings("database: postgres://me:secret@host/db"));
    assert!(!shown.contains("secret"), "{shown}");
}
