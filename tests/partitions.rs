//! A partitioned table: its leaves are emptied, attached and detached under a live document.

use anyhow::Result;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::document::Document;
use crate::support::postgres;
use crate::support::server::{Server, config};

const SCHEMA: &str = "
    create table events (id int4 not null, region text not null, primary key (id, region)) partition by list (region);
    create table events_north partition of events for values in ('north');
    create table events_south partition of events for values in ('south');
    create table events_west (region text not null, id int4 not null, primary key (id, region));
    insert into events values (1, 'north'), (2, 'south'), (3, 'north');
    insert into events_west values ('west', 4);
";

/// All events, and a client that follows them.
struct Followed {
    sql: tokio_postgres::Client,
    client: Client,
    held: Document,
    _server: Server,
}

impl Followed {
    async fn start() -> Result<Followed> {
        let database = postgres::shared().database().await?;
        let sql = database.connect().await?;
        sql.batch_execute(SCHEMA).await?;
        let queries = json!({ "events": { "route": "/events", "from": "events", "order_by": ["id"] } });
        let server = Server::start(&config(&database.url, queries)).await?;
        let mut client = Client::web_socket(&server.address, "/events").await?;
        let mut held = Document::default();
        held.apply(&client.patch().await?)?;
        Ok(Followed { sql, client, held, _server: server })
    }
}

/// The ids in the document, in order.
fn ids(value: &Value) -> Vec<i64> {
    value.as_array().into_iter().flatten().filter_map(|event| event["id"].as_i64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_come_go_and_are_emptied() -> Result<()> {
    let Followed { sql, mut client, mut held, _server } = Followed::start().await?;
    assert_eq!(ids(&held.value), [1, 2, 3]);

    sql.batch_execute("truncate events_north").await?;
    client.until(&mut held, |value| ids(value) == [2]).await?;

    // Nothing in the stream tells that a partition with rows was attached.
    sql.batch_execute("alter table events attach partition events_west for values in ('west')").await?;
    client.until(&mut held, |value| ids(value) == [2, 4]).await?;
    sql.batch_execute("insert into events values (5, 'west'), (6, 'north')").await?;
    client.until(&mut held, |value| ids(value) == [2, 4, 5, 6]).await?;

    sql.batch_execute("update events set region = 'south' where id = 5").await?;
    sql.batch_execute("truncate events_west").await?;
    client.until(&mut held, |value| ids(value) == [2, 5, 6]).await?;
    sql.batch_execute("alter table events detach partition events_south").await?;
    client.until(&mut held, |value| ids(value) == [6]).await?;
    sql.batch_execute("truncate events").await?;
    client.until(&mut held, |value| ids(value).is_empty()).await
}

/// The first row of a new leaf comes in the same breath as the leaf.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_and_its_first_row_come_together() -> Result<()> {
    let Followed { sql, mut client, mut held, _server } = Followed::start().await?;
    sql.batch_execute(
        "create table events_east partition of events for values in ('east'); insert into events values (7, 'east')",
    )
    .await?;
    client.until(&mut held, |value| ids(value) == [1, 2, 3, 7]).await
}
