//! Every operator of `where` on awkward values means what it means in SQL, in rows that are read and in rows that are streamed.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::support::client::{Client, with_query};
use crate::support::oracle::{evaluate, scalar};
use crate::support::postgres;
use crate::support::server::{Server, config};

const SCHEMA: &str = "
    create type mood as enum ('sad', 'ok', 'happy');
    create table t (id int4 primary key, txt text, pad char(4), n int8, num numeric, f float8, ts timestamptz, day date, u uuid,
        m mood, b bool, raw bytea, tags text[], nums int4[], doc jsonb)";

/// Values of each column; row k has the k-th, and then all again in another rhythm, so that nulls meet everything.
const VALUES: [(&str, &[&str]); 14] = [
    (
        "txt",
        &[
            "'a'", "'A'", "'b'", "'É'", "'é'", "'Ünder'", "'under'", "'ß'", "'50%'", "'a_b'", "'axb'", "'a\\b'", "''",
            "'ı'", "'I'", "'z'", "'😀'", "null",
        ],
    ),
    ("pad", &["'a'", "'a  '", "'b'", "''", "'abcd'", "null"]),
    ("n", &["0", "-1", "1", "9007199254740993", "-9223372036854775808", "9223372036854775807", "null"]),
    ("num", &["0", "1.0", "1.00", "1.5", "-2.25", "'NaN'", "'Infinity'", "1e30", "9007199254740993.5", "null"]),
    ("f", &["0", "'-0'", "1.5", "0.1", "'NaN'", "'Infinity'", "'-Infinity'", "1e300", "null"]),
    (
        "ts",
        &[
            "'2020-01-01 00:00+00'",
            "'2020-01-01 02:00+02'",
            "'infinity'",
            "'-infinity'",
            "'0044-03-15 00:00+00 BC'",
            "null",
        ],
    ),
    ("day", &["'2020-02-29'", "'0001-01-01 BC'", "'infinity'", "'10000-01-01'", "null"]),
    ("u", &["'6ba7b810-9dad-41d1-80b4-00c04fd430c8'", "'00000000-0000-0000-0000-000000000000'", "null"]),
    ("m", &["'sad'", "'ok'", "'happy'", "null"]),
    ("b", &["true", "false", "null"]),
    ("raw", &["'\\x'", "'\\x00'", "'\\x61'", "'\\xff'", "null"]),
    ("tags", &["'{}'", "'{a}'", "'{a,b}'", "'{b,a,a}'", "'{NULL}'", "'{a,NULL}'", "'{{a,b},{c,d}}'", "null"]),
    ("nums", &["'{}'", "'{1}'", "'{1,2}'", "'{NULL,3}'", "null"]),
    (
        "doc",
        &[
            "'{\"a\": 1}'",
            "'{\"a\": 1.0, \"b\": [1, 2, {\"c\": null}]}'",
            "'[1, \"x\", null]'",
            "'\"x\"'",
            "'null'",
            "'{}'",
            "'[]'",
            "null",
        ],
    ),
];

/// A column, how SQL must compare it, and values to compare it with: as JSON and in SQL.
type Compared = (&'static str, &'static str, Vec<(Value, &'static str)>);

/// Conditions, and the same in SQL.
fn conditions() -> Vec<(Value, String)> {
    let mut all: Vec<(Value, String)> = Vec::new();
    let mut add = |condition: Value, sql: &str| all.push((condition, sql.to_owned()));
    for pattern in ["a%", "%b", "_", "", "%", "é", "%ü%", "a\\_b", "a\\\\b", "%\\%", "i", "SS", "%A%"] {
        let sql = format!("E'{}'", pattern.replace('\\', "\\\\"));
        add(json!({ "txt": { "like": pattern } }), &format!("txt collate \"C\" like {sql}"));
        add(json!({ "txt": { "ilike": pattern } }), &format!("txt collate \"C\" ilike {sql}"));
    }
    let compared: [Compared; 11] = [
        (
            "txt",
            " collate \"C\"",
            vec![
                (json!("a"), "'a'"),
                (json!("Z"), "'Z'"),
                (json!("é"), "'é'"),
                (json!(""), "''"),
                (json!("$$5"), "'$5'"),
            ],
        ),
        ("pad", " collate \"C\"", vec![(json!("a"), "'a'::char(4)"), (json!(""), "''::char(4)")]),
        ("n", "", vec![(json!(0), "0"), (json!(9_007_199_254_740_993_i64), "9007199254740993"), (json!(0.5), "0.5")]),
        (
            "num",
            "",
            vec![(json!(1), "1"), (json!(1.0), "1.0"), (json!(-2.25), "-2.25"), (json!("NaN"), "'NaN'::numeric")],
        ),
        (
            "f",
            "",
            vec![
                (json!(0), "0"),
                (json!(0.1), "0.1::float8"),
                (json!("NaN"), "'NaN'::float8"),
                (json!("Infinity"), "'Infinity'::float8"),
            ],
        ),
        ("ts", "", vec![(json!("2020-01-01T00:00:00Z"), "'2020-01-01 00:00+00'"), (json!("infinity"), "'infinity'")]),
        ("day", "", vec![(json!("2020-02-29"), "'2020-02-29'"), (json!("infinity"), "'infinity'")]),
        ("u", "", vec![(json!("6BA7B810-9dad-41d1-80b4-00c04fd430c8"), "'6ba7b810-9dad-41d1-80b4-00c04fd430c8'")]),
        ("m", "", vec![(json!("ok"), "'ok'")]),
        ("b", "", vec![(json!(true), "true"), (json!(false), "false")]),
        ("raw", "", vec![(json!("\\x61"), "'\\x61'"), (json!("\\x"), "'\\x'")]),
    ];
    for (column, collate, values) in compared {
        for (value, sql) in &values {
            for (name, operator) in [("eq", "="), ("ne", "<>"), ("lt", "<"), ("lte", "<="), ("gt", ">"), ("gte", ">=")]
            {
                add(json!({ column: { name: value } }), &format!("{column}{collate} {operator} {sql}"));
            }
        }
        let (first, sql) = &values[0];
        add(json!({ column: { "in": [first] } }), &format!("{column} in ({sql})"));
        add(json!({ column: { "not_in": [first] } }), &format!("{column} not in ({sql})"));
        add(json!({ "not": { column: { "lt": first } } }), &format!("not ({column}{collate} < {sql})"));
        add(json!({ "any": [{ column: first }, { column: null }] }), &format!("{column} = {sql} or {column} is null"));
    }
    for (value, sql) in [
        ("[]", "'{}'"),
        ("[\"a\"]", "'{a}'"),
        ("[\"a\",\"b\"]", "'{a,b}'"),
        ("[\"a\",\"a\"]", "'{a,a}'"),
        ("[\"d\"]", "'{d}'"),
    ] {
        let value: Value = serde_json::from_str(value).expect("JSON");
        add(json!({ "tags": { "contains": value } }), &format!("tags @> {sql}"));
        add(json!({ "tags": { "overlaps": value } }), &format!("tags && {sql}"));
    }
    add(json!({ "nums": { "contains": [1] } }), "nums @> '{1}'");
    add(json!({ "nums": { "overlaps": [3, 2] } }), "nums && '{3,2}'");
    for doc in
        ["{\"a\": 1}", "{\"b\": [2]}", "{\"b\": [{\"c\": null}]}", "[\"x\"]", "\"x\"", "null", "{}", "[]", "[[]]", "1"]
    {
        let value: Value = serde_json::from_str(doc).expect("JSON");
        // `contains: null` is a comparison with null; the others are what `@>` takes.
        if !value.is_null() {
            add(json!({ "doc": { "contains": value } }), &format!("doc @> '{doc}'"));
        }
    }
    add(json!({ "n": { "in": [] } }), "n = any ('{}')");
    add(json!({ "n": { "not_in": [] } }), "n <> all ('{}')");
    add(json!({ "all": [] }), "true");
    add(json!({ "any": [] }), "false");
    add(json!({ "n": { "gte": 0, "lt": 2 }, "b": true }), "n >= 0 and n < 2 and b");
    add(json!({ "columns": { "txt": { "ne": null } } }), "txt is not null");
    all
}

fn rows() -> Vec<String> {
    (0..60)
        .map(|row| {
            let value = |(column, (_, values)): (usize, &(&str, &'static [&'static str]))| {
                let step = if row < 20 { row } else { row * (column + 2) / 3 + column };
                values[step % values.len()]
            };
            let cells: Vec<&str> = VALUES.iter().enumerate().map(value).collect();
            format!("({row}, {})", cells.join(", "))
        })
        .collect()
}

async fn check(options: &str) -> Result<()> {
    let database = postgres::shared().database_with(options).await?;
    let sql = database.connect().await?;
    sql.batch_execute(SCHEMA).await?;
    let conditions = conditions();
    let mut queries = json!({});
    for (number, (condition, _)) in conditions.iter().enumerate() {
        let query = json!({ "route": format!("/q{number}"), "from": "t", "where": condition, "select": ["id"], "order_by": ["id"] });
        queries[format!("q{number}")] = query;
    }
    let settings = config(&database.url, queries);
    let streamed = Server::start(&settings).await?;
    let mut clients = Vec::new();
    for number in 0..conditions.len() {
        let mut client = Client::web_socket(&streamed.address, &format!("/q{number}")).await?;
        ensure!(client.patch().await?["patch"][0]["value"] == json!([]), "the table is empty");
        clients.push(client);
    }
    let names: Vec<&str> = VALUES.iter().map(|(column, _)| *column).collect();
    sql.batch_execute(&format!("insert into t (id, {}) values {}", names.join(", "), rows().join(", "))).await?;
    let lsn = scalar(&sql, "select pg_current_wal_insert_lsn()").await?;
    let read = Server::start(&settings).await?;
    let mut wrong = Vec::new();
    for (number, (condition, meaning)) in conditions.iter().enumerate() {
        let expected = format!(
            "select coalesce(jsonb_agg(jsonb_build_object('id', id) order by id), '[]') from t where {meaning}"
        );
        let expected = evaluate(&sql, &expected).await.with_context(|| meaning.clone())?;
        let path = with_query(&format!("/q{number}"), "after", &lsn);
        for (how, server) in [("streamed", &streamed), ("read", &read)] {
            let answer = server.get(&path).await?;
            let got = answer.json()?;
            if got != expected {
                wrong.push(format!("{condition} {how}: expected {expected}, got {got}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{} of {} conditions:\n{}", wrong.len(), conditions.len(), wrong.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_mean_what_they_mean_in_sql() -> Result<()> {
    check("").await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_database_sorts_by() -> Result<()> {
    check("locale_provider icu icu_locale 'en-US'").await
}
