//! What `sangre types` prints of queries.

use std::path::Path;

use super::catalogue::catalogue;
use crate::config::Settings;
use crate::query::typescript::declarations;

#[track_caller]
fn check(text: &str, expect: &str) {
    let settings = Settings::parse(text, "sangre.yaml", Path::new("."), &|_| Some("x".into())).expect("it reads");
    let declared = declarations(&settings.definitions(), &catalogue());
    assert!(declared.problems.is_empty(), "{}", declared.problems);
    assert_eq!(declared.text.trim(), expect.trim(), "\n{}", declared.text);
}

#[test]
fn the_example_of_the_interface() {
    check(
        &super::plans::EXAMPLE.replace("with:\n          places:", "with:\n          spots:"),
        r#"
/** /followeds/{user_id} */
export namespace Followeds {
  export interface Params {
    user_id: number;
    hour?: number;
  }

  export type Document = {
    id: number;
    name: string;
    followeds: {
      id: number;
      name: string;
      spots: {
        id: number;
        name: string;
        rating: number | null;
        owner_id: number | null;
        tags: string[] | null;
        meta: unknown;
        level: "low" | "high" | null;
        created_at: string | null;
        opens: number | null;
        closes: number | null;
        ratio: number | null;
        code: string | null;
        span: string | null;
        occupation: unknown;
      }[];
    }[];
  } | null;
}

/** /me */
export namespace Me {
  export interface Params {}

  export type Document = {
    id: number;
    name: string;
  } | null;
}

/** The node "open-at", in followeds.followeds.spots */
export namespace NodeOpenAt {
  export type Row = {
    id: number;
    name: string;
    rating: number | null;
    owner_id: number | null;
    tags: string[] | null;
    meta: unknown;
    level: "low" | "high" | null;
    created_at: string | null;
    opens: number | null;
    closes: number | null;
    ratio: number | null;
    code: string | null;
    span: string | null;
  };
  export type Args = {
    hour: number;
  };
}

/** The node "occupancy", in followeds.followeds.spots */
export namespace NodeOccupancy {
  export type Row = {
    id: number;
  };
  export type Args = Record<string, never>;
}
"#,
    );
}

#[test]
fn steps_parameters_and_several_uses() {
    check(
        r#"
database: x
nodes: { shape: { script: a.js }, sum: { script: b.js } }
queries:
  one-user:
    route: "/u/{id}"
    params: { sort: { choose: { new: [-id], name: [name] }, default: new }, level: { type: "public.level", optional: true } }
    from: users
    get: { id: $id }
    select: [id, { "full name": name }]
    with:
      best: { from: places, one: true, select: [level, tags], order_by: $sort }
      roles: { from: places, through: { table: users_places, select: [role] }, select: [id], steps: [{ map: { node: shape, args: { n: 1, deep: { list: [1, a] } } } }] }
      total: { from: posts, on: { author_id: id }, select: [id], steps: [{ reduce: { node: sum, args: { level: $level } } }] }
  places:
    route: /places
    from: places
    select: [id, meta]
    steps:
      - map: { node: shape, into: shaped, input: [name] }
      - select: [id, { s: shaped }]
"#,
        r#"
/** /u/{id} */
export namespace OneUser {
  export interface Params {
    id: number;
    sort?: "new" | "name";
    level?: "low" | "high";
  }

  export type Document = {
    id: number;
    "full name": string;
    best: {
      level: "low" | "high" | null;
      tags: string[] | null;
    } | null;
    roles: unknown[];
    total: unknown;
  } | null;
}

/** /places */
export namespace Places {
  export interface Params {}

  export type Document = {
    id: number;
    s: unknown;
  }[];
}

/** The node "shape", in one-user.roles, places */
export namespace NodeShape {
  export type Row = {
    id: number;
    role: string | null;
  } | {
    name: string;
  };
  export type Args = {
    n: number;
    deep: {
      list: (number | string)[];
    };
  } | Record<string, never>;
}

/** The node "sum", in one-user.total */
export namespace NodeSum {
  export type Rows = {
    id: number;
  }[];
  export type Args = {
    level?: "low" | "high";
  };
}
"#,
    );
}

#[test]
fn numbers_that_a_node_is_given_as_strings() {
    check(
        r#"
database: x
nodes: { shape: { script: a.js, numbers: string } }
queries:
  all: { route: /all, from: places, select: [id, name], steps: [{ map: { node: shape, into: s, args: { n: 1, list: [1, a] } } }] }
"#,
        r#"
/** /all */
export namespace All {
  export interface Params {}

  export type Document = {
    id: number;
    name: string;
    s: unknown;
  }[];
}

/** The node "shape", in all */
export namespace NodeShape {
  export type Row = {
    id: string;
    name: string;
  };
  export type Args = {
    n: string;
    list: string[];
  };
}
"#,
    );
}
