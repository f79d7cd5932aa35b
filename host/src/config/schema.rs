//! The published JSON Schema says what the reader says: the same keys everywhere, and the same verdict on the same files.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::node::NODE;
use super::node_limits::NODE_LIMITS;
use super::server::{DATABASE, LIMITS};
use super::*;
use crate::query::syntax::{CALL, CHILD, MAP_CALL, OPERATORS, ORDER, PARAM, QUERY, STEP, THROUGH};
use crate::query::test_example;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../schema/sangre.schema.json")).expect("the schema is JSON")
}

#[test]
fn the_keys_agree() {
    let schema = schema();
    let parts = [
        ("", &FILE),
        ("/$defs/database", &DATABASE),
        ("/$defs/limits", &LIMITS),
        ("/$defs/table", &TABLE),
        ("/$defs/node", &NODE),
        ("/$defs/node_limits", &NODE_LIMITS),
        ("/$defs/query", &QUERY),
        ("/$defs/child", &CHILD),
        ("/$defs/param", &PARAM),
        ("/$defs/through", &THROUGH),
        ("/$defs/order", &ORDER),
        ("/$defs/operators", &OPERATORS),
        ("/$defs/step", &STEP),
        ("/$defs/call", &CALL),
        ("/$defs/map_call", &MAP_CALL),
    ];
    for (part, keys) in parts {
        let part = schema.pointer(part).expect(part);
        let published: BTreeSet<&str> =
            part["properties"].as_object().expect("properties").keys().map(String::as_str).collect();
        assert_eq!(published, keys.known.iter().copied().collect(), "{}", part["properties"]);
        assert_eq!(part["additionalProperties"], Value::Bool(false), "{}", part["properties"]);
    }
}

/// Whether the schema, then the reader, find nothing wrong.
fn verdicts(text: &str) -> (bool, bool) {
    let tree = Tree::parse(text).expect("YAML");
    let instance: Value = serde_json::from_str(&tree.to_value().to_json()).expect("JSON");
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    (validator.is_valid(&instance), Settings::parse(text, "sangre.yaml", Path::new("."), &|_| Some("x".into())).is_ok())
}

#[test]
fn good_files_are_good_to_both() {
    let all = "database: { url: x, replication_url: y, publication: p, slot: temporary, connections: 3 }
auth: none
origins: [\"https://a.example\"]
limits: { connections: 5, queued: 1MiB, frame: 4096, depth: 3 }
tables: { t: { where: { a: $auth.sub }, hide: [b], rls: ignore } }
nodes: { n: { component: n.wasm, memory: 1MiB, deadline: 2s, on_error: null, limits: { size: 9 MiB, compile_time: 1m, output: 1kB, depth: 1 } },
  p: { script: n.py, limits: { files: 1, messages: 1B, log_lines: 1, calls: 1, growth: 1GiB } } }
queries:
  q:
    route: /q/{a}
    allow: anyone
    params: { s: { choose: { up: [a, { by: b, desc: true, nulls: last }] }, optional: true }, k: { type: \"int4[]\", max: 3, default: [1] } }
    from: t
    where: { all: [{ a: 1 }, { b: null }], any: [{ c: { in: $k } }], not: { d: { ne: null, like: x } }, columns: { all: 2 } }
    order_by: $s
    offset: 3
    limit: $a
    one: false
    with:
      c: { from: u, on: { a: b }, one: true }
      d: { from: u, through: { table: j, parent: [a], child: { b: c }, where: { x: true } } }
    steps: [{ map: n }, { map: { node: n, args: { x: 1 }, into: y, input: [a, { b: c }] } }, { select: [a] }, { limit: 3 }]
";
    for text in [test_example(), all, "database: x"] {
        assert_eq!(verdicts(text), (true, true), "{text}");
    }
}

#[test]
fn bad_files_are_bad_to_both() {
    for text in [
        "listen: x",
        "database: 5",
        "database: {}",
        "database: { url: x, slot: { permanent: s } }",
        "database: { url: x, connections: 0 }",
        "database: x\nauth: { jwt: {} }",
        "database: x\norigins: [example.com]",
        "database: x\nlimits: { depth: 0 }",
        "database: x\nlimits: { frame: 3 parsecs }",
        "database: x\ntables: { t: { rls: off } }",
        "database: x\nnodes: { n: {} }",
        "database: x\nnodes: { n: { script: n.rb } }",
        "database: x\nnodes: { n: { script: n.js, component: n.wasm } }",
        "database: x\nnodes: { n: { script: n.js, every: 3 } }",
        "database: x\nnodes: { n: { script: n.js, on_error: retry } }",
        "database: x\nnodes: { n: { script: n.js, deadline: 0s } }",
        "database: x\nnodes: { n: { script: n.js, memory: 0MiB } }",
        "database: x\nnodes: { n: { script: n.js, memory: 64 } }",
        "database: x\nnodes: { n: { script: n.js, limits: 5 } }",
        "database: x\nnodes: { n: { script: n.js, limits: { deadline: 1s } } }",
        "database: x\nnodes: { n: { script: n.js, limits: { size: 0B } } }",
        "database: x\nnodes: { n: { script: n.js, limits: { depth: 101 } } }",
        "database: x\nnodes: { n: { script: n.js, limits: { calls: 0 } } }",
        "database: x\nnodes: { n: { script: n.js, limits: { calls: 1000001 } } }",
        "database: x\nnodes: { n: { script: n.js, limits: { log_lines: 1.5 } } }",
        "database: x\nnodes: { n: { script: n.js, limits: { compile_time: 1s } } }",
        "database: x\nnodes: { n: { component: n.wasm, limits: { files: 3 } } }",
        "database: x\nnodes: { n: { component: n.wasm, limits: { compile_time: 3 } } }",
        "database: x\nqueries: { q: { from: t } }",
        "database: x\nqueries: { q: { route: q, from: t } }",
        "database: x\nqueries: { q: { route: /q } }",
        "database: x\nqueries: { q: { route: /q, from: t, exists: {} } }",
        "database: x\nqueries: { q: { route: /q, from: t, where: { a: [1] } } }",
        "database: x\nqueries: { q: { route: /q, from: t, where: { a: { between: 1 } } } }",
        "database: x\nqueries: { q: { route: /q, from: t, where: { a: {} } } }",
        "database: x\nqueries: { q: { route: /q, from: t, where: { a: { gt: null } } } }",
        "database: x\nqueries: { q: { route: /q, from: t, limit: many } }",
        "database: x\nqueries: { q: { route: /q, from: t, limit: -1 } }",
        "database: x\nqueries: { q: { route: /q, from: t, limit: 1.5 } }",
        "database: x\nqueries: { q: { route: /q, from: t, one: true } }",
        "database: x\nqueries: { q: { route: /q, from: t, select: [] } }",
        "database: x\nqueries: { q: { route: /q, from: t, with: { c: { from: u, select: [] } } } }",
        "database: x\nqueries: { q: { route: /q, from: t, steps: [{ select: [] }] } }",
        "database: x\nqueries: { q: { route: /q, from: t, order_by: a } }",
        "database: x\nqueries: { q: { route: /q, from: t, order_by: [{ by: a, collate: x }] } }",
        "database: x\nqueries: { q: { route: /q, from: t, with: { c: { from: u, get: { a: 1 } } } } }",
        "database: x\nqueries: { q: { route: /q, from: t, with: { c: { from: u, on: { a: { gt: b } } } } } }",
        "database: x\nqueries: { q: { route: /q, from: t, with: { c: { from: u, on: { a: b }, through: j } } } }",
        "database: x\nqueries: { q: { route: /q, from: t, with: { c: { from: u, through: { parent: a } } } } }",
        "database: x\nqueries: { q: { route: /q, from: t, steps: [{ limit: 1, offset: 1 }] } }",
        "database: x\nqueries: { q: { route: /q, from: t, steps: [{ filter: { node: n, into: x } }] } }",
        "database: x\nqueries: { q: { route: /q, from: t, params: { a: { default: null } } } }",
        "database: x\nqueries: { q: { route: /q, from: t, allow: { role: [a] } } }",
    ] {
        assert_eq!(verdicts(text), (false, false), "{text}");
    }
}
