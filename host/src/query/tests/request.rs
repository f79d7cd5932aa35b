//! What requests are bound to.

use super::compiled;
use crate::data::Value;
use crate::query::{Binding, RequestError};

const TEXT: &str = r#"
database: x
nodes: { keep: { script: a.js } }
queries:
  user: { route: "/users/{id}", from: users, get: { id: $id } }
  me: { route: /users/me, from: users, get: { id: $auth.sub } }
  role: { route: /role, from: users, steps: [{ filter: { node: keep, args: { roles: $auth.realm.roles } } }] }
  places:
    route: /places
    params:
      ids: { type: "int8[]", max: 3, optional: true }
      tags: { type: "text[]", optional: true }
      n: { type: int4, default: 20, min: 1, max: 100 }
      skip: { type: int4, optional: true }
      before: { type: timestamptz, optional: true }
      sort: { choose: { newest: [-created_at], name: [name] }, default: newest }
    from: places
    where: { id: { in: $ids }, tags: { overlaps: $tags }, created_at: { lt: $before } }
    order_by: $sort
    offset: $skip
    limit: $n
  late: { route: /late, from: places, where: { created_at: { gt: yesterday } } }
  broken: { route: /broken, from: nowhere }
  root: { route: /, from: users }
"#;

/// The document's number and parameters, questions, or the error.
fn bind(url: &str, claims: &str) -> String {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    let claims = Value::parse_json(claims).expect("claims are JSON");
    let compiled = compiled(TEXT);
    match compiled.routes.bind(path, &pairs, &claims) {
        Ok(Binding::Done(bound)) => {
            let name = &compiled.plan.documents[bound.document.0 as usize].name;
            let params: Vec<String> =
                bound.params.iter().map(|value| value.as_ref().map_or("-".to_string(), Value::to_json)).collect();
            format!("{name}#{} [{}]", bound.document.0, params.join(" "))
        }
        Ok(Binding::Ask(pending)) => {
            let asked: Vec<String> =
                pending.questions().iter().map(|asked| format!("{}::{}", asked.text, asked.ty.sql)).collect();
            format!("ask {}", asked.join(" "))
        }
        Err(error) => match error {
            RequestError::UnknownRoute => "unknown_route".to_string(),
            RequestError::Broken(_) => "query_broken".to_string(),
            RequestError::UnknownParameter(name) => format!("unknown_parameter {name}"),
            RequestError::MissingParameter(name) => format!("missing_parameter {name}"),
            RequestError::MissingClaim(name) => format!("missing_claim {name}"),
            RequestError::InvalidParameter { name, reason } => format!("invalid_parameter {name}: {reason}"),
            RequestError::BadRequest(_) => "bad_request".to_string(),
        },
    }
}

#[test]
fn requests_are_bound() {
    let cases = [
        ("/users/7", "{}", "user#0 [7]"),
        ("/users/%37", "{}", "user#0 [7]"),
        ("/users/x", "{}", "invalid_parameter $id: expected a whole number"),
        ("/users/", "{}", "unknown_route"),
        ("/users", "{}", "unknown_route"),
        ("/users/7/", "{}", "unknown_route"),
        ("/users/%ff", "{}", "bad_request"),
        ("/users/7?id=8", "{}", "unknown_parameter id"),
        ("/users/7?auth.sub=8", "{}", "unknown_parameter auth.sub"),
        ("/users/me", "{}", "missing_claim sub"),
        ("/users/me?auth.sub=8", "{}", "unknown_parameter auth.sub"),
        ("/users/me?sub=8", "{}", "unknown_parameter sub"),
        ("/users/me", "{\"sub\":\"5\"}", "me#1 [5]"),
        ("/users/me", "{\"sub\":5}", "me#1 [5]"),
        ("/users/me", "{\"sub\":null}", "me#1 [null]"),
        ("/users/me", "{\"sub\":[5]}", "invalid_parameter $auth.sub: expected a value of type int4"),
        ("/role", "{\"realm\":{\"roles\":[\"a\"]}}", "role#2 [[\"a\"]]"),
        ("/role", "{\"realm\":1}", "missing_claim realm.roles"),
        ("/places", "{}", "places#3 [- - - - - 20]"),
        ("/places?sort=name&n=5&skip=2", "{}", "places#4 [- - - - 2 5]"),
        ("/places?sort=id", "{}", "invalid_parameter $sort: expected one of newest, name"),
        ("/places?n=0", "{}", "invalid_parameter $n: expected at least 1"),
        ("/places?n=101", "{}", "invalid_parameter $n: expected at most 100"),
        ("/places?skip=-1", "{}", "invalid_parameter $skip: expected a number of at least 0"),
        ("/places?n=5&n=6", "{}", "bad_request"),
        ("/places?sort=name&sort=name", "{}", "bad_request"),
        ("/places?ids=1&ids=2", "{}", "places#3 [[1,2] - - - - 20]"),
        ("/places?ids=1,2", "{}", "places#3 [[1,2] - - - - 20]"),
        ("/places?ids=", "{}", "places#3 [[] - - - - 20]"),
        ("/places?ids=1,x", "{}", "invalid_parameter $ids: expected a whole number"),
        ("/places?ids=1,2,3,4", "{}", "invalid_parameter $ids: expected at most 3 elements"),
        ("/places?ids=[1,2]", "{}", "invalid_parameter $ids: a list is written ids=1,2 or ids=1&ids=2 or ids={1,2}"),
        ("/places?tags=[a]", "{}", "places#3 [- [\"[a]\"] - - - 20]"),
        ("/places?ids={1,2}", "{}", "ask {1,2}::int8[]"),
        ("/places?ids=0x1&ids=2", "{}", "ask {\"0x1\",\"2\"}::int8[]"),
        ("/places?tags=a,b", "{}", "places#3 [- [\"a,b\"] - - - 20]"),
        ("/places?before=2024-01-01T00:00:00Z", "{}", "places#3 [- - \"2024-01-01T00:00:00+00:00\" - - 20]"),
        ("/places?before=now", "{}", "ask now::timestamptz"),
        ("/places?order=name", "{}", "unknown_parameter order"),
        ("/late", "{}", "ask yesterday::timestamptz"),
        ("/broken", "{}", "query_broken"),
        ("/", "{}", "root#6 []"),
        ("/nothing", "{}", "unknown_route"),
    ];
    let failed: Vec<String> = cases
        .iter()
        .map(|(url, claims, expect)| (url, claims, expect, bind(url, claims)))
        .filter(|(.., expect, told)| told != *expect)
        .map(|(url, claims, expect, told)| format!("{url} {claims}\n  got:      {told}\n  expected: {expect}"))
        .collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn answers_of_postgres_are_checked_too() {
    let compiled = compiled(TEXT);
    let claims = Value::parse_json("{}").expect("JSON");
    let ask = |ids: &str| match compiled.routes.bind("/places", &[("ids".into(), ids.into())], &claims) {
        Ok(Binding::Ask(pending)) => pending,
        other => panic!("{other:?}"),
    };
    let few = Value::parse_json("[1,2]").expect("JSON");
    let bound = ask("{1,2}").finish(vec![few.clone()]).expect("two are allowed");
    assert_eq!(bound.params[0], Some(few));
    let many = Value::parse_json("[1,2,3,4]").expect("JSON");
    assert!(matches!(ask("{1,2,3,4}").finish(vec![many]), Err(RequestError::InvalidParameter { .. })));
    assert!(ask("{1,2}").questions()[0].refused().to_string().contains("$ids"));
}

#[test]
fn what_postgres_refuses_of_the_file_is_no_fault_of_the_request() {
    let text = "database: x
queries:
  a:
    route: /a
    params: { before: { type: timestamptz, default: someday } }
    from: places
    where: { created_at: { gt: never, lt: $before } }
  b: { route: /b, from: places, where: { created_at: { gt: 2020-01-01T00:00:00Z } } }
";
    let compiled = compiled(text);
    let claims = Value::parse_json("{}").expect("JSON");
    let ask = |pairs: &[(String, String)]| match compiled.routes.bind("/a", pairs, &claims) {
        Ok(Binding::Ask(pending)) => pending.questions().iter().map(|asked| asked.refused()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(ask(&[]), [RequestError::Broken("a".into()), RequestError::Broken("a".into())]);
    let given = ask(&[("before".into(), "soon".into())]);
    assert!(matches!(given[1], RequestError::InvalidParameter { .. }), "{given:?}");

    let told: Vec<String> = compiled.unread().iter().map(|text| text.refused("no").to_string()).collect();
    assert_eq!(
        told,
        [
            "7:32: queries.a: \"never\" is not a value of type timestamptz: no",
            "5:53: queries.a: \"someday\" is not a value of type timestamptz: no",
        ]
    );
}
