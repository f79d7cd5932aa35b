//! `sangre types` against a database.

use anyhow::Result;
use serde_json::json;

use crate::support::postgres;
use crate::support::server::{config, verdict};
use crate::support::world;

#[tokio::test]
async fn types_are_those_of_the_database() -> Result<()> {
    let (database, sql) = world::create(postgres::shared()).await?;
    sql.batch_execute(
        "create type mood as enum ('calm', 'it''s \"loud\"'); create domain short as text;
         alter table places add mood mood, add moods mood[] not null default '{}', add seen timestamptz, add about jsonb,
             add size numeric not null default 1, add tag short, add far point, add whole users",
    )
    .await?;
    let queries = json!({
        "places": {
            "route": "/places/{id}", "from": "places", "get": { "id": "$id" }, "where": { "mood": "$mood" },
            "params": { "mood": { "optional": true } },
        },
        "broken": { "route": "/broken", "from": "place" },
    });
    let (status, text) = verdict("types", &config(&database.url, queries)).await?;
    assert!(!status.success(), "a query does not resolve: {text}");
    assert!(text.contains("queries.broken: table \"place\" does not exist; did you mean \"places\"?"), "{text}");
    let expected = r#"
/** /places/{id} */
export namespace Places {
  export interface Params {
    id: number;
    mood?: "calm" | "it's \"loud\"";
  }

  export type Document = {
    id: number;
    name: string;
    rating: number;
    mood: "calm" | "it's \"loud\"" | null;
    moods: ("calm" | "it's \"loud\"")[];
    seen: string | null;
    about: unknown;
    size: number;
    tag: string | null;
    far: string | null;
    whole: {
      id: number | null;
      name: string | null;
      email: string | null;
    } | null;
  } | null;
}
"#;
    assert!(text.contains(expected), "{text}");
    Ok(())
}
