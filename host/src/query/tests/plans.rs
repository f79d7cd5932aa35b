//! What queries compile to.

use super::show::show;
use super::{compiled, query};

#[track_caller]
fn check(text: &str, expect: &str) {
    let compiled = compiled(text);
    assert!(compiled.problems.is_empty(), "{}", compiled.problems);
    let shown = show(&compiled.plan);
    let expect: String = expect.trim().lines().map(|line| format!("{}\n", line.trim())).collect();
    assert_eq!(shown, expect, "\n{shown}");
}

/// The example of the interface, word for word but for what comes later: `every`.
pub const EXAMPLE: &str = r#"
database: "${DATABASE_URL}"        # or { url, replication_url, publication, slot: temporary | { permanent: name }, connections: 8 }
listen: 127.0.0.1:4000             # clients
admin: 127.0.0.1:4001              # health, metrics, console; never on the client port

tables:                            # holds wherever the table is used, at any depth, also as a join table
  users: { hide: [email, password_hash] }

nodes:
  open-at:   { script: nodes/open_at.py }
  occupancy: { component: nodes/occupancy.wasm, deadline: 100ms, memory: 64MiB, on_error: skip }

queries:
  followeds:
    route: "/followeds/{user_id}"
    params: { hour: { type: int4, default: 12 } }
    from: users
    get: { id: $user_id }                           # one object, or null
    with:
      followeds:
        from: users
        through: { table: users_followeds, parent: user_id, child: followed_id }   # both keys point at users: say which
        select: [id, name]
        with:
          places:
            from: places
            through: users_places                   # one key to each side: inferred
            where: { rating: { gte: 3 } }
            steps:
              - filter: { node: open-at, args: { hour: $hour } }
              - map: { node: occupancy, into: occupation, input: [id] }
              - order_by: [-occupation, name]
              - limit: 20
  me: { route: /me, from: users, get: { id: $auth.sub } }
"#;

#[test]
fn the_example_of_the_interface() {
    check(
        EXAMPLE,
        "rows0 users(id:int8) /0
         rows1 users_followeds(user_id:int8) /0
         rows2 users_places(user_id:int8) /0
         rows3 places(id:int8) /0 where rating >=:numeric 3
         elem0 /1 places {id, name, rating, owner_id, tags, meta, level, created_at, opens, closes, ratio, code, span} filter open-at(hour=$0) map occupation=occupancy()[id=id]
         elem1 /1 users {id, name, places: list0(id) [0]}
         elem2 /1 users {id, name, followeds: list1(id) [0]}
         elem3 /0 users {id, name}
         list0 /1+1 rows2(parent 0) [] -> rows3(join 1) [] | elem0 [0] by -.occupation:jsonb by #1:text limit 20
         list1 /1+1 rows1(parent 0) [] -> rows0(join 2) [] | elem1 [0]
         list2 /0+2 rows0($0) [] | elem2 [1] | one
         list3 /0+1 rows0($0) [] | elem3 [] | one
         followeds = list2 [0, 1]
         me = list3 [0]",
    );
}

#[test]
fn equal_lists_are_one_whatever_their_parameters_are_called() {
    let text = "database: x\nqueries:\n  a: { route: \"/a/{x}\", from: users, get: { id: $x }, with: { places: { from: places, where: { rating: { gt: $least } } } } }\n  b: { route: \"/b/{y}\", params: { z: { optional: true } }, from: users, where: { name: $z }, with: { places: { from: places, where: { rating: { gt: $y } } } } }\n";
    check(
        text,
        "rows0 users(id:int8) /0
         rows1 places(owner_id:int8) /1 where rating >:numeric $0
         rows2 users() /1 where name =:text $0
         elem0 /0 places {id, name, rating, owner_id, tags, meta, level, created_at, opens, closes, ratio, code, span}
         elem1 /1 users {id, name, email, password_hash, places: list0(id) [0]}
         list0 /1+1 rows1(parent 0) [0] | elem0 []
         list1 /0+2 rows0($0) [] | elem1 [1] | one
         list2 /0+2 rows2() [0] | elem1 [1]
         a = list1 [0, 1]
         b = list2 [0, 1]",
    );
}

#[test]
fn stages_are_cut_where_an_order_or_window_must_come_first() {
    check(
        &query(
            "from: places, select: [id], where: { opens: 1 }, order_by: [name], offset: 1, steps: [{ where: { closes: 2 } }]",
        ),
        "rows0 places() /0 where opens =:int8 1
         elem0 /0 places {id}
         elem1 /0 of elem0 [] where #3 =:int8 2
         list0 /0+0 rows0() [] | elem0 [] by #1:text offset 1 | elem1 []
         q = list0 []",
    );
    check(
        &query(
            "from: places, select: [id], steps: [{ where: { opens: 1 } }, { order_by: [-rating] }, { filter: keep }, \
             { limit: 3 }, { map: { node: calc, into: x, input: [name] } }, \
             { order_by: [x, { by: name, desc: true, nulls: last }] }, { where: { x: { gt: 1 }, id: { ne: 4 } } }, \
             { select: [id, { y: x }] }, { reduce: { node: sum, args: { n: 1 } } }]",
        ),
        "rows0 places() /0 where opens =:int8 1
         elem0 /0 places {id} filter keep()
         elem1 /0 of elem0 [] map x=calc()[name=#1]
         elem2 /0 of elem1 [] where (.x >:jsonb 1 and #0 <>:int8 4) select [id=#0,y=.x]
         list0 /0+0 rows0() [] | elem0 [] by -#2:numeric limit 3 | elem1 [] by .x:jsonb by -#1:text nulls swapped | elem2 [] | reduce sum(n=1)
         q = list0 []",
    );
}

#[test]
fn a_join_row_adds_fields() {
    let through = |body: &str| {
        query(&format!("from: users, select: [id], with: {{ p: {{ from: places, select: [id], through: {body} }} }}"))
    };
    let rows = "rows0 users() /0
         rows1 users_places(user_id:int8) /0
         rows2 places(id:int8) /0";
    let root = "users {id, p: list0(id) []}";
    // Nothing is done with them.
    check(
        &through("{ table: users_places, select: [role, { place: place_id }] }"),
        &format!(
            "{rows}
             elem0 /0 places {{id}}
             elem1 /0 {root}
             list0 /1+0 rows1(parent 0) [] -> rows2(join 1) [] +role=role +place=place_id | elem0 []
             list1 /0+0 rows0() [] | elem1 []
             q = list1 []"
        ),
    );
    // An order of columns alone comes after them, too.
    check(
        &through("{ table: users_places, select: [role] }, order_by: [-role, name], limit: 2"),
        &format!(
            "{rows}
             elem0 /0 places {{id}}
             elem1 /0 {root}
             list0 /1+0 rows1(parent 0) [] -> rows2(join 1) [] +role=role | elem0 [] | elem0 [] by -.role:text by #1:text limit 2
             list1 /0+0 rows0() [] | elem1 []
             q = list1 []"
        ),
    );
    // Of a condition before any window, what is about columns decides which rows there are.
    check(
        &through(
            "{ table: users_places, select: [{ as: role }, place_id] }, \
             steps: [{ where: { as: owner, name: x, place_id: { gt: 1 } } }, { map: { node: calc, into: y, input: [as, id] } }, \
             { select: [id, { z: as }] }, { order_by: [z] }]",
        ),
        "rows0 users() /0
         rows1 users_places(user_id:int8) /0
         rows2 places(id:int8) /0 where name =:text \"x\"
         elem0 /0 places {id}
         elem1 /0 of elem0 [] where (.as =:text \"owner\" and .place_id >:int8 1) map y=calc()[as=.as,id=#0] select [id=#0,z=.as]
         elem2 /0 users {id, p: list0(id) []}
         list0 /1+0 rows1(parent 0) [] -> rows2(join 1) [] +as=role +place_id=place_id | elem0 [] | elem1 [] by .z:text
         list1 /0+0 rows0() [] | elem2 []
         q = list1 []",
    );
    // A reduce alone needs no stage.
    check(
        &through("{ table: users_places, select: [role] }, steps: [{ reduce: sum }]"),
        &format!(
            "{rows}
             elem0 /0 places {{id}}
             elem1 /0 {root}
             list0 /1+0 rows1(parent 0) [] -> rows2(join 1) [] +role=role | elem0 [] | reduce sum()
             list1 /0+0 rows0() [] | elem1 []
             q = list1 []"
        ),
    );
}

#[test]
fn table_rules_hold_at_every_use() {
    let text = "database: x
tables:
  users: { where: { name: { ne: $auth.not } }, hide: [email, password_hash] }
  users_places: { where: { role: $auth.role } }
queries:
  q: { route: /q, from: users, with: { p: { from: places, through: users_places, select: [{ title: name }], with: { owner: { from: users, one: true } } } } }
";
    check(
        text,
        "rows0 users() /1 where name <>:text $0
         rows1 users_places(user_id:int8,role:text) /0
         rows2 places(id:int8) /0
         rows3 users(id:int8) /1 where name <>:text $0
         elem0 /0 users {id, name}
         elem1 /1 places {title=name, owner: list0(owner_id) [0]}
         elem2 /2 users {id, name, p: list1(id) [0, 1]}
         list0 /1+1 rows3(parent 0) [0] | elem0 [] | one
         list1 /1+2 rows1(parent 0,$0) [] -> rows2(join 1) [] | elem1 [1]
         list2 /0+2 rows0() [0] | elem2 [1, 0]
         q = list2 [0, 1]",
    );
}

#[test]
fn optional_parameters_and_constants_stay_in_the_filter() {
    check(
        &query(
            "from: places, params: { o: { type: int4, optional: true } }, select: [id], \
             where: { opens: 3, closes: $o, name: $n, id: { in: [1, 2] }, created_at: { gt: yesterday }, rating: $a }",
        ),
        "rows0 places(name:text,rating:numeric) /2 where (opens =:int8 3 and closes =:int8 $0 and id in:int8 [1,2] and created_at >:timestamptz $1)
         elem0 /0 places {id}
         list0 /0+4 rows0($0,$1) [2, 3] | elem0 []
         q = list0 [1, 3, 0, 2]",
    );
}

#[test]
fn joins_of_several_columns_and_of_different_types() {
    check(
        &query(
            "from: members, select: [name], with: { n: { from: member_notes, select: [note], where: { member_id: $a } } }",
        ),
        "rows0 members() /0
         rows1 member_notes(tenant_id:int8,member_id:int8) /1 where member_id =:int8 $0
         elem0 /0 member_notes {note}
         elem1 /1 members {name, n: list0(tenant_id,id) [0]}
         list0 /2+1 rows1(parent 0,parent 1) [0] | elem0 []
         list1 /0+1 rows0() [] | elem1 [0]
         q = list1 [0]",
    );
    check(
        &query("from: places, select: [id], with: { owner: { from: users, one: true, select: [id] } }"),
        "rows0 places() /0
         rows1 users(id:int8) /0
         elem0 /0 users {id}
         elem1 /0 places {id, owner: list0(owner_id) []}
         list0 /1+0 rows1(parent 0) [] | elem0 [] | one
         list1 /0+0 rows0() [] | elem1 []
         q = list1 []",
    );
    check(
        &query(
            "from: places, select: [id], with: { same: { from: places, on: { rating: id, id: id }, select: [id] } }",
        ),
        "rows0 places() /0
         rows1 places(id:int8,rating:numeric) /0
         elem0 /0 places {id}
         elem1 /0 places {id, same: list0(id) []}
         list0 /1+0 rows1(parent 0,parent 0) [] | elem0 []
         list1 /0+0 rows0() [] | elem1 []
         q = list1 []",
    );
}

#[test]
fn a_choice_is_a_document_of_its_own() {
    let text = query(
        "from: users, select: [id], params: { s: { choose: { up: [name], down: [-name] }, optional: true }, n: { type: int4, optional: true } }, order_by: $s, limit: $n",
    );
    check(
        &text,
        "rows0 users() /0
         elem0 /0 users {id}
         list0 /0+1 rows0() [] | elem0 [] by #1:text limit $0
         list1 /0+1 rows0() [] | elem0 [] by -#1:text limit $0
         list2 /0+1 rows0() [] | elem0 [] limit $0
         q = list0 [1]
         q = list1 [1]
         q = list2 [1]",
    );
}

#[test]
fn tables_have_the_columns_in_use_of_all_queries() {
    let text = "database: x
queries:
  a: { route: /a, from: users, select: [name] }
  b: { route: /b, from: users, select: [id], where: { email: x } }
  c: { route: /c, from: users_places, select: [role] }
  d: { route: /d, from: nokey_index, select: [id] }
  broken: { route: /e, from: places, select: [id, nope] }
";
    let compiled = compiled(text);
    let tables: Vec<String> = compiled
        .plan
        .tables
        .iter()
        .map(|table| {
            let columns: Vec<&str> = table.columns.iter().map(|column| &*column.name).collect();
            format!("{}({}) {:?} {:?}", table.label(), columns.join(","), table.identity, table.primary_key)
        })
        .collect();
    assert_eq!(
        tables,
        [
            "users(id,name,email) Columns([0]) [0]",
            "users_places(user_id,place_id,role) Bag []",
            "nokey_index(email,id) Columns([0]) []",
        ]
    );
}
