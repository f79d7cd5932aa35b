//! A row's JSON is what `to_jsonb(row)` gives, for every built-in type at its extremes, by upquery and by stream alike.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::client;
use crate::support::document::Document;
use crate::support::json::difference;
use crate::support::oracle::{evaluate, scalar};
use crate::support::postgres;
use crate::support::server::{Server, config};
use crate::support::type_matrix::{self, Case};

/// One table for each of these, since a table has a limit of columns and a failure should be small.
const GROUP: usize = 24;

/// What the interface pins for the text of values.
const PINNED: &str = "set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; \
     set extra_float_digits = 1; set bytea_output = 'hex'; set lc_monetary = 'C'; set search_path = ''; \
     set quote_all_identifiers = off";

/// A table with a column for each type of a group.
struct Table {
    number: usize,
    cases: Vec<Case>,
}

impl Table {
    fn create(&self) -> String {
        let columns: Vec<String> =
            self.cases.iter().enumerate().map(|(column, (ty, _))| format!("c{column} {ty}")).collect();
        format!("create table t{} (id int4 primary key, {})", self.number, columns.join(", "))
    }

    /// One row for each value of the type that has most; a type with fewer begins anew, and a null ends it.
    fn rows(&self) -> Vec<String> {
        let longest = self.cases.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        (0..=longest)
            .map(|row| {
                let value = |(ty, values): &Case| match values.get(row % (values.len() + 1)) {
                    Some(value) => format!("({value})::{ty}"),
                    None => "null".to_owned(),
                };
                let values: Vec<String> = self.cases.iter().map(value).collect();
                format!("insert into t{} values ({row}, {})", self.number, values.join(", "))
            })
            .collect()
    }

    fn path(&self) -> String {
        format!("/t{}", self.number)
    }

    /// Names the type when a document differs from `to_jsonb`.
    async fn check(&self, sql: &Client, got: &Value, how: &str) -> Result<()> {
        let expected = self.expected(sql).await?;
        let Some(at) = difference(&expected, got) else { return Ok(()) };
        let column = at.split('/').nth(2).and_then(|name| name.strip_prefix('c')?.parse::<usize>().ok());
        let ty = column.and_then(|column| self.cases.get(column)).map_or("?", |(ty, _)| ty);
        let pointer = at.split(' ').next().unwrap_or_default();
        let show = |value: &Value| {
            value.pointer(pointer).unwrap_or(&Value::Null).to_string().chars().take(300).collect::<String>()
        };
        anyhow::bail!("{ty} by {how} at {at}: expected {}, got {}", show(&expected), show(got))
    }

    async fn expected(&self, sql: &Client) -> Result<Value> {
        evaluate(
            sql,
            &format!("select coalesce(jsonb_agg(to_jsonb(t) order by id), '[]') from public.t{} t", self.number),
        )
        .await
    }
}

fn tables() -> Vec<Table> {
    let cases: Vec<Case> = type_matrix::all().collect();
    let groups = cases.chunks(GROUP).enumerate();
    groups.map(|(number, cases)| Table { number, cases: cases.to_vec() }).collect()
}

/// Settings of the database that would change the text of values if a session did not pin them.
const HOSTILE: &str = "alter database {name} set timezone = 'Asia/Kathmandu'; \
     alter database {name} set datestyle = 'SQL, DMY'; alter database {name} set intervalstyle = 'iso_8601'; \
     alter database {name} set extra_float_digits = -10; alter database {name} set bytea_output = 'escape'; \
     alter database {name} set search_path = 'pg_catalog, public'; alter database {name} set quote_all_identifiers = on";

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_as_to_jsonb_gives_it() -> Result<()> {
    let database = postgres::shared().database().await?;
    let writer = database.connect().await?;
    writer.batch_execute(type_matrix::SETUP).await?;
    let tables = tables();
    let mut queries = json!({});
    for table in &tables {
        writer.batch_execute(&table.create()).await?;
        queries[format!("t{}", table.number)] =
            json!({ "route": table.path(), "from": format!("t{}", table.number), "order_by": ["id"] });
    }
    writer.batch_execute(&HOSTILE.replace("{name}", &database.name)).await?;
    let sql = database.connect().await?;
    sql.batch_execute(PINNED).await?;
    let settings = config(&database.url, queries);

    // Everything below is there before anyone subscribes: by the stream alone.
    let server = Server::start(&settings).await?;
    let mut followed = Vec::new();
    for table in &tables {
        let mut client = client::Client::web_socket(&server.address, &table.path()).await?;
        let mut held = Document::default();
        held.apply(&client.patch().await?)?;
        ensure!(held.value == json!([]), "{} is not empty: {}", table.path(), held.value);
        followed.push((table, client, held));
    }
    for table in &tables {
        for row in table.rows() {
            writer.batch_execute(&row).await.with_context(|| row.clone())?;
        }
    }
    for (table, client, held) in &mut followed {
        let rows = table.rows().len();
        client.until(held, |value| value.as_array().is_some_and(|list| list.len() == rows)).await?;
        table.check(&sql, &held.value, "stream").await?;
        // Updates that leave large values where they are.
        writer.batch_execute(&format!("update t{} set id = id + 1000", table.number)).await?;
        client.until(held, |value| value[0]["id"] == 1000).await?;
        table.check(&sql, &held.value, "update").await?;
    }
    drop(server);

    // The same rows, read.
    let server = Server::start(&settings).await?;
    for table in &tables {
        let answer = server.get(&table.path()).await?;
        ensure!(answer.status == 200, "GET {}: {} {}", table.path(), answer.status, answer.text());
        table.check(&sql, &answer.json()?, "upquery").await?;
    }
    ensure!(scalar(&sql, "show timezone").await? == "UTC");
    Ok(())
}
