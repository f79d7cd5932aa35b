//! What is said of queries that cannot be served, and what is warned of.

use super::{compiled, query};

/// The problems of a query, without their places.
fn problems(body: &str) -> String {
    let compiled = compiled(&query(body));
    let told: Vec<String> =
        compiled.problems.0.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
    assert_eq!(compiled.queries.len() + usize::from(!told.is_empty()), 1, "a query is served or has problems");
    told.join("\n")
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    let mut failed = Vec::new();
    for (body, expect) in cases {
        let told = problems(body);
        let fine = if expect.is_empty() { told.is_empty() } else { told.contains(expect) };
        if !fine {
            failed.push(format!("{body}\n  told:     {told}\n  expected: {expect}"));
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn tables() {
    check(&[
        ("from: userz", "queries.q: table \"userz\" does not exist; did you mean \"users\"?"),
        ("from: audit.events", ""),
        ("from: public.users", ""),
        ("from: Users", "table \"Users\" does not exist; did you mean \"users\"?"),
        ("from: people", "\"people\" is a view"),
        ("from: remote", "\"remote\" is a foreign table"),
        ("from: scratch", "\"scratch\" is unlogged"),
        ("from: part_1", "\"part_1\" is a partition: query \"users\""),
        ("from: old_style", "inheritance"),
        ("from: log", "table \"log\" has no primary key: run ALTER TABLE public.log REPLICA IDENTITY FULL"),
        ("from: messages", "table \"messages\" has row-level security"),
        ("from: nokey_index", ""),
        ("from: users_places", ""),
    ]);
}

#[test]
fn columns() {
    check(&[
        (
            "from: users, select: [naem]",
            "queries.q.select: table \"users\" has no column \"naem\"; did you mean \"name\"?",
        ),
        (
            "from: users, where: { nmae: x }",
            "queries.q.where.nmae: table \"users\" has no column \"nmae\"; did you mean \"name\"?",
        ),
        ("from: users, order_by: [-agee]", "table \"users\" has no column \"agee\""),
        ("from: posts, select: [slug]", "column \"slug\" is generated"),
        ("from: posts", ""),
        ("from: places, order_by: [span]", "places.span is interval: ordering by this type is not supported"),
        ("from: places, where: { span: \"1 day\" }", "places.span is interval: comparing this type is not supported"),
        ("from: places, where: { span: null }", ""),
        ("from: places, where: { meta: { eq: {} } }", "places.meta is jsonb: comparing"),
        ("from: places, where: { tags: x }", "places.tags is text[]: comparing"),
    ]);
}

#[test]
fn conditions() {
    check(&[
        ("from: places, where: { name: 5 }", "write it in quotes, \"5\""),
        ("from: places, where: { id: x }", "expected a whole number"),
        ("from: places, where: { id: 1.5 }", ""),
        ("from: places, where: { rating: { gt: \"1.5\" } }", ""),
        ("from: places, where: { level: mid }", "public.level has no value \"mid\""),
        ("from: places, where: { created_at: { gt: yesterday } }", ""),
        ("from: places, where: { id: { in: 3 } }", "expected a list or a parameter, found a number"),
        ("from: places, where: { id: { in: [1, x] } }", "expected a whole number"),
        ("from: places, where: { id: { like: \"a%\" } }", "`like` compares texts"),
        ("from: places, where: { name: { contains: a } }", "`contains` compares arrays and jsonb"),
        ("from: places, where: { meta: { overlaps: [a] } }", "`overlaps` compares arrays"),
        ("from: places, where: { meta: { contains: { a: 1 } }, tags: { overlaps: [a, b] } }", ""),
        ("from: places, where: { tags: { contains: a } }", ""),
        ("from: places, where: { tags: { contains: [1] } }", "expected a text, found a number"),
        ("from: places, where: { not: { any: [{ id: 1 }, { columns: { name: x } }] } }", ""),
        ("from: places, where: { columns: { any: 1 } }", "has no column \"any\""),
    ]);
}

#[test]
fn gets() {
    check(&[
        ("from: users, get: { id: $a }", ""),
        ("from: users, get: { email: $a }", ""),
        ("from: users, get: { name: $a }", "`get` names a primary key or unique constraint: (id) or (email)"),
        ("from: users, get: { id: null }", "null equals nothing"),
        ("from: users, get: { id: $a }, limit: 1", "`limit` has no meaning beside it"),
        ("from: members, get: { id: 1 }", "`get` names a primary key or unique constraint: (tenant_id, id)"),
        ("from: members, get: { id: 1, tenant_id: $a }", ""),
        ("from: users_places, get: { user_id: 1 }", "has no primary key or unique constraint: use `where`"),
        ("from: users, params: { b: { type: int4, optional: true } }, get: { id: $b }", "`get` cannot do without it"),
    ]);
}

#[test]
fn joins() {
    let with = |child: &str| format!("from: users, with: {{ c: {{ {child} }} }}");
    let member = |child: &str| format!("from: members, with: {{ c: {{ {child} }} }}");
    let cases: Vec<(String, &str)> = vec![
        (with("from: places"), ""),
        (
            with("from: posts"),
            "queries.q.with.c: more than one foreign key joins \"posts\" and \"users\": write `on: { author_id: id }` or `on: { editor_id: id }`",
        ),
        (with("from: posts, on: { author_id: id }"), ""),
        (
            with("from: posts, on: { title: id }"),
            "posts.title is text and users.id is int4: joining these types is not supported",
        ),
        (with("from: posts, on: { author: id }"), "table \"posts\" has no column \"author\""),
        (with("from: members"), "no foreign key joins \"members\" and \"users\""),
        (with("from: places, through: users_places"), ""),
        (
            with("from: placs, through: users_places"),
            "queries.q.with.c: table \"placs\" does not exist; did you mean \"places\"?",
        ),
        (
            with("from: users, through: users_followeds"),
            "both keys of \"users_followeds\" point at \"users\": write `through: { table: users_followeds, parent: user_id, child: followed_id }`",
        ),
        (with("from: users, through: { table: users_followeds, parent: user_id }"), ""),
        (with("from: users, through: { table: users_followeds, child: user_id }"), ""),
        (with("from: users, through: { table: users_followeds, parent: { user_id: id }, child: [followed_id] }"), ""),
        (
            with("from: users, through: { table: users_followeds, parent: id }"),
            "write `child: user_id` or `child: followed_id`",
        ),
        (with("from: places, through: { table: users_places, where: { role: owner } }"), ""),
        (with("from: places, through: { table: users_places, where: { rule: owner } }"), "did you mean \"role\"?"),
        (with("from: places, through: posts"), "no foreign key joins \"posts\" and \"places\": write `child:"),
        (member("from: member_notes"), ""),
        (member("from: member_notes, on: { member_id: id }"), ""),
        ("from: member_notes, with: { m: { from: members, one: true } }".to_string(), ""),
        (
            "from: nodes_tree, with: { c: { from: nodes_tree } }".to_string(),
            "more than one foreign key joins \"nodes_tree\" and \"nodes_tree\": write `on: { parent_id: id }` or `on: { id: parent_id }`",
        ),
        (with("from: places, with: { name: { from: users } }"), "queries.q.with.c.with: \"name\" is a column too"),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(body, expect)| (body.as_str(), *expect)).collect();
    check(&cases);
}

#[test]
fn fields_of_a_join_row() {
    let places = |select: &str, more: &str| {
        format!(
            "from: users, with: {{ c: {{ from: places, through: {{ table: users_places, select: [{select}] }}{more} }} }}"
        )
    };
    let cases: Vec<(String, &str)> = vec![
        (places("role, { place: place_id }", ""), ""),
        (places("rol", ""), "c.through.select: table \"users_places\" has no column \"rol\"; did you mean \"role\"?"),
        (
            places("{ name: role }", ""),
            "queries.q.with.c.through.select: users_places.role and places.name would both be the field \"name\"",
        ),
        (places("{ name: role }", ", select: [id]"), ""),
        (
            places("{ t: role }", ", select: [{ t: id }]"),
            "users_places.role and places.id would both be the field \"t\": give one of them another name, such as \
             `through: { select: [{ other: role }] }`",
        ),
        (
            places("role", ", with: { role: { from: users, one: true } }"),
            "users_places.role and the nested query \"role\" would both be the field \"role\"",
        ),
        (
            places("{ name: role }", ", select: [id], order_by: [name]"),
            "\"name\" is a column of \"places\" and a field that `through` adds",
        ),
        (places("{ name: role }", ", select: [id], steps: [{ filter: keep }, { order_by: [name] }]"), ""),
        (places("role", ", order_by: [-role], select: [id, role]"), ""),
        (places("role", ", select: [{ r: role }]"), "\"role\" is not a column: give it its name where it is made"),
        (places("role", ", where: { role: x }"), "table \"places\" has no column \"role\""),
        (places("role", ", steps: [{ where: { role: { gt: x } } }]"), ""),
        (places("role", ", steps: [{ where: { role: 1 } }]"), "write it in quotes, \"1\""),
        (places("role", ", limit: 1, steps: [{ where: { role: x } }]"), "a `where` step drops elements"),
        (places("place_id", ", steps: [{ where: { place_id: x } }]"), "expected a whole number"),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(body, expect)| (body.as_str(), *expect)).collect();
    check(&cases);
    let followeds = "from: users, select: [id], with: { f: { from: users, select: [name], one: true, through: { table: \
                     users_followeds, parent: user_id, child: followed_id, select: [{ join: id }] }";
    check(&[
        (
            &format!("{followeds} }} }}, steps: [{{ filter: keep }}, {{ where: {{ f.join: x }} }}]"),
            "expected a whole number",
        ),
        (&format!("{followeds} }} }}, steps: [{{ filter: keep }}, {{ order_by: [-f.join] }}]"), ""),
    ]);
}

#[test]
fn parameters() {
    check(&[
        ("from: places, where: { id: $b }", ""),
        (
            "from: places, where: { id: $b, rating: $b }",
            "$b is compared with places.id (int4) and places.rating (numeric): declare its type",
        ),
        ("from: places, params: { b: { type: int4 } }, where: { id: $b, rating: $b }", ""),
        ("from: places, params: { b: { type: text } }, where: { id: $b }", "places.id is int4, $b is declared text"),
        (
            "from: places, params: { b: { type: int } }, where: { id: $b }",
            "type \"int\" does not exist; did you mean \"int2\"?",
        ),
        (
            "from: places, params: { b: { type: number } }, where: { id: $b }",
            "type \"number\" does not exist: it is one of Postgres, such as int4, text, numeric or bool",
        ),
        ("from: places, where: { id: { in: $b } }", ""),
        ("from: places, params: { b: { type: \"int8[]\", max: 3 } }, where: { id: { in: $b } }", ""),
        (
            "from: places, params: { b: { type: int8 } }, where: { id: { in: $b } }",
            "`in` needs an array, such as int8[]",
        ),
        ("from: places, limit: $b", "queries.q.limit: $b must be declared: `params: { b: { type: int4 } }`"),
        ("from: places, params: { b: { type: text } }, limit: $b", "a number of elements is an int4 or int8"),
        ("from: places, params: { b: { type: int4, default: 20, min: 1, max: 100 } }, limit: $b", ""),
        (
            "from: places, params: { b: { type: int4, default: x } }, limit: $b",
            "the default of $b: expected a whole number",
        ),
        ("from: places, params: { b: { type: int4, default: 1, optional: true } }, limit: $b", "exclude each other"),
        (
            "from: places, params: { b: { type: int4, default: 500, max: 100 } }, limit: $b",
            "the default of $b: expected at most 100",
        ),
        ("from: places, params: { b: { type: int4, default: 0, min: 1 } }, limit: $b", "expected at least 1"),
        ("from: places, params: { b: { type: int4, default: -1 } }, limit: $b", "expected a number of at least 0"),
        (
            "from: places, params: { b: { type: \"int4[]\", default: [1, 2], max: 1 } }, where: { id: { in: $b } }",
            "the default of $b: expected at most 1 elements",
        ),
        ("from: places, params: { b: { type: text, min: 1 } }, where: { name: $b }", "`min` bounds numbers"),
        (
            "from: places, steps: [{ filter: { node: keep, args: { x: $b } } }]",
            "the type of $b is not known from a column: declare it",
        ),
        ("from: places, steps: [{ filter: { node: keep, args: { x: $auth.sub } } }]", ""),
        ("from: places, order_by: $b", "$b must be declared with the orders"),
        (
            "from: places, params: { b: { choose: { new: [-created_at], name: [nam] }, default: new } }, order_by: $b",
            "queries.q.order_by.name: table \"places\" has no column \"nam\"",
        ),
        (
            "from: places, params: { b: { choose: { new: [-created_at] }, default: old } }, order_by: $b",
            "the default is not one of the choices",
        ),
    ]);
    assert_eq!(problems("from: places, limit: $b").lines().count(), 1, "an undeclared number is told once");
    let unused = compiled("database: x\nqueries: { q: { route: \"/q/{a}\", from: places } }");
    assert!(unused.problems.to_string().contains("{a} of the route is never used"), "{}", unused.problems);
}

#[test]
fn steps() {
    check(&[
        (
            "from: places, steps: [{ filter: keeep }]",
            "queries.q.steps[0].filter: node \"keeep\" is not among the nodes; did you mean \"keep\"?",
        ),
        ("from: places, limit: 3, steps: [{ filter: keep }]", "queries.q.limit: a `filter` step drops elements"),
        ("from: places, limit: 3, steps: [{ where: { id: 1 } }]", "a `where` step drops elements"),
        ("from: places, limit: 3, steps: [{ map: { node: calc, into: x } }]", ""),
        ("from: places, steps: [{ reduce: sum }, { limit: 3 }]", "`reduce` is the last step"),
        ("from: users, get: { id: 1 }, steps: [{ reduce: sum }]", "`reduce` needs a list"),
        (
            "from: places, steps: [{ map: { node: calc, into: x } }, { order_by: [y] }]",
            "there is no column or field \"y\" here",
        ),
        ("from: places, steps: [{ map: calc }, { order_by: [anything.at.all] }]", ""),
        ("from: places, steps: [{ order_by: [x] }, { map: { node: calc, into: x } }]", "has no column \"x\""),
        (
            "from: users, with: { p: { from: places } }, steps: [{ where: { p: 1 } }, { filter: keep }]",
            "\"p\" is not a column of \"users\": fields are seen by steps after a node only",
        ),
        (
            "from: users, with: { p: { from: places, one: true } }, steps: [{ filter: keep }, { order_by: [-p.rating] }]",
            "",
        ),
        (
            "from: places, steps: [{ filter: keep }, { map: keep }]",
            "queries.q.steps[1].map: node \"keep\" is used as a map, and as a filter in queries.q.steps[0].filter (line 4): a node has one kind",
        ),
        (
            "from: places, steps: [{ map: { node: calc, into: name } }]",
            "queries.q.steps[0].map.into: \"name\" is a column of the element too: give the answer another name",
        ),
        ("from: places, select: [id], steps: [{ map: { node: calc, into: name } }]", ""),
        (
            "from: users, with: { p: { from: places } }, steps: [{ map: { node: calc, into: p } }]",
            "is a nested query too",
        ),
        (
            "from: places, steps: [{ map: { node: calc, into: x } }, { map: { node: calc, into: x } }]",
            "\"x\" is a field that an earlier step adds too",
        ),
        ("from: users, select: [id], steps: [{ select: [name] }]", "`select` is written twice"),
        ("from: users, steps: [{ map: { node: calc, into: x, input: [nam] } }]", "did you mean \"name\"?"),
    ]);
}

#[test]
fn table_rules() {
    let rules = |rules: &str, body: &str| {
        let text = format!("database: x\ntables: {{ {rules} }}\nqueries: {{ q: {{ route: /q, {body} }} }}");
        compiled(&text).problems.to_string()
    };
    assert_eq!(rules("messages: { rls: ignore }", "from: messages"), "");
    assert_eq!(rules("messages: { where: { tenant_id: $auth.tenant }, rls: ignore }", "from: messages"), "");
    let told = rules("users: { hide: [email] }", "from: users, select: [email]");
    assert!(told.contains("column \"email\" is hidden by tables.users.hide"), "{told}");
    let body = "from: users, with: { c: { from: places, through: { table: users_places, select: [{ r: role }] } } }";
    let told = rules("users_places: { hide: [role] }", body);
    assert!(told.contains("c.through.select: column \"role\" is hidden by tables.users_places.hide"), "{told}");
    let told = rules("users: { where: { name: $name } }", "from: users");
    assert!(told.contains("tables.users.where: $name: a table's rules can use claims"), "{told}");
    assert!(told.contains("queries.q: the rules of \"users\" are broken: see tables.users"), "{told}");
    let told = rules("users: { hide: [emial] }", "from: places, with: { u: { from: users } }");
    assert!(
        told.contains("tables.users.hide: table \"users\" has no column \"emial\"; did you mean \"email\"?"),
        "{told}"
    );
    assert!(told.contains("queries.q.with.u: the rules of \"users\" are broken"), "{told}");
    let told = rules("userz: { hide: [email] }", "from: users");
    assert!(told.contains("tables.userz: table \"userz\" does not exist"), "{told}");
}

#[test]
fn what_the_owner_must_run() {
    let text = "database: x\nqueries:\n  a: { route: /a, from: users, with: { c: { from: log, on: { line: name } } } }\n  b: { route: /b, from: log }\n";
    let env = |_: &str| None;
    let settings = crate::config::Settings::parse(text, "x", std::path::Path::new("."), &env).expect("it reads");
    let statements = crate::query::replica_identities(&settings.definitions(), &super::catalogue::catalogue());
    assert_eq!(statements, ["ALTER TABLE public.log REPLICA IDENTITY FULL"]);
}

#[test]
fn levels() {
    let nested = |levels: usize| {
        let mut text = "from: places".to_string();
        for level in 1..levels {
            let from = if level % 2 == 1 { "users" } else { "places" };
            text = format!("from: {from}, with: {{ c: {{ {text} }} }}");
        }
        text
    };
    assert_eq!(problems(&nested(16)), "");
    assert!(problems(&nested(17)).contains("nested deeper than 16 levels"));
}

#[test]
fn every_problem_is_told_and_other_queries_are_served() {
    let text = "database: x\nqueries:\n  bad: { route: /bad, from: users, where: { a: 1 }, order_by: [b], with: { c: { from: d } } }\n  good: { route: /good, from: users }\n  twin: { route: /good, from: users }\n";
    let compiled = compiled(text);
    assert_eq!(
        compiled.problems.to_string(),
        "3:45: queries.bad.where.a: table \"users\" has no column \"a\"\n\
         3:87: queries.bad.with.c: table \"d\" does not exist\n\
         3:64: queries.bad.order_by: table \"users\" has no column \"b\"\n\
         5:18: queries.twin.route: the query \"good\" has the same route"
    );
    let served: Vec<&str> = compiled.queries.iter().map(|(name, ..)| &**name).collect();
    assert_eq!(served, ["good"]);
}

#[test]
fn warnings() {
    let warned = |body: &str| {
        let warnings = compiled(&query(body)).warnings;
        warnings.iter().map(|warning| warning.message.clone()).collect::<Vec<_>>().join("\n")
    };
    assert!(warned("from: users, get: { id: $a }").contains("takes a parameter, mentions no `$auth`"));
    assert_eq!(warned("from: users, get: { id: $a }, allow: anyone"), "");
    assert_eq!(warned("from: users, get: { id: $auth.sub }"), "");
    assert_eq!(warned("from: users"), "");
    assert!(warned("from: users, params: { b: { type: int4, default: 1 } }").contains("is never used"));
    assert!(
        warned("from: places, steps: [{ map: calc }]")
            .contains("the answer replaces the element, which has long values of \"rating\" (numeric)")
    );
    assert_eq!(warned("from: places, steps: [{ map: { node: calc, into: x } }]"), "");
    let followeds = |map: &str| {
        warned(&format!(
            "from: users, with: {{ f: {{ from: users, through: {{ table: users_followeds, parent: user_id, child: \
             followed_id, select: [{{ join: id }}] }}, steps: [{{ map: {map} }}] }} }}"
        ))
    };
    assert!(followeds("calc").contains("long values of \"join\" (int8)"));
    assert!(followeds("{ node: calc, input: [join] }").contains("long values of \"join\""));
    assert_eq!(followeds("{ node: calc, input: [id] }"), "");
    assert_eq!(warned("from: places, select: [id, name], steps: [{ map: calc }]"), "");
    let nested = |map: &str| {
        warned(&format!(
            "from: users, select: [id], with: {{ liked: {{ from: places, through: users_places, select: [rating] }} }}, \
             steps: [{{ map: {map} }}]"
        ))
    };
    assert!(nested("calc").contains("long values of \"liked.rating\" (numeric)"), "{}", nested("calc"));
    assert_eq!(nested("{ node: calc, input: [id] }"), "");
    let exact = query("from: places, steps: [{ map: calc }]").replace("calc: { ", "calc: { numbers: string, ");
    assert!(compiled(&exact).warnings.is_empty());
    assert_eq!(warned("from: places, steps: [{ map: { node: calc, input: [id] } }]"), "");
}

#[test]
fn conditions_on_parameters_without_an_index_are_named() {
    let warned = |condition: &str| {
        let body =
            format!("from: places, allow: anyone, params: {{ p: {{ type: int4, optional: true }} }}, {condition}");
        let compiled = compiled(&query(&body));
        assert!(compiled.problems.is_empty(), "{condition}: {}", compiled.problems);
        let warnings = compiled.warnings.iter().filter(|warning| warning.message != "is never used");
        warnings.map(|warning| format!("{}: {}", warning.path, warning.message)).collect::<Vec<_>>().join("\n")
    };
    let costs = "has no index: each live document is tested for each changed row; an equality or a range (lt, lte, gt, gte) \
                 on a parameter beside it leaves fewer to test";
    for (condition, path, named) in [
        ("name: { like: $a }", "name", "`like: $a`"),
        ("name: { ilike: $auth.name }", "name", "`ilike: $auth.name`"),
        ("id: { ne: $a }", "id", "`ne: $a`"),
        ("id: { in: $a }", "id", "`in: $a`"),
        ("id: { in: [1, $a] }", "id", "`in: [$a, ...]`"),
        ("id: { not_in: [$a, $b] }", "id", "`not_in: [$a, $b]`"),
        ("any: [{ id: $a }, { id: 1 }]", "id", "`eq: $a` within `any` or `not`"),
        ("not: { rating: { lt: $a } }", "rating", "`lt: $a` within `any` or `not`"),
    ] {
        let path = format!("queries.q.where.{path}");
        assert_eq!(warned(&format!("where: {{ {condition} }}")), format!("{path}: {named} {costs}"));
    }
    for condition in [
        "id: $a",
        "id: $p",
        "id: { gt: $a }",
        "rating: { gte: $a, lt: $b }",
        "all: [{ id: { lte: $p } }]",
        "id: { ne: 1 }",
        "name: { like: \"a%\" }",
    ] {
        assert_eq!(warned(&format!("where: {{ {condition} }}")), "", "{condition}");
    }
    // Among the steps it is the same, until a step before it leaves rows out: then it tests elements, not documents.
    assert!(warned("steps: [{ where: { id: { ne: $a } } }]").contains("`ne: $a` has no index"));
    assert_eq!(warned("steps: [{ limit: 5 }, { where: { id: { ne: $a } } }]"), "");
}

#[test]
fn deep_texts_are_read_or_refused_without_harm() {
    let nested =
        |levels: usize| format!("from: users, where: {}{{ id: 1 }}{}", "{ not: ".repeat(levels), " }".repeat(levels));
    assert_eq!(problems(&nested(100)), "");
    let deep = query(&nested(100_000));
    let env = |_: &str| None;
    assert!(crate::config::Settings::parse(&deep, "x", std::path::Path::new("."), &env).is_err());
}
