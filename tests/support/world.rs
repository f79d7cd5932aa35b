//! The small world of the situation tests: users who follow users, and the places they like.

use anyhow::Result;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::oracle::scalar;
use super::postgres::{self, Cluster, Database};
use super::server::{Server, config};

/// A database with the world in it, and a server for it.
pub struct World {
    pub database: Database,
    /// A session of the test's own.
    pub sql: Client,
    pub server: Server,
}

const SCHEMA: &str = "
    create table users (id int4 primary key, name text not null, email text not null);
    create table users_followeds (
        user_id int4 not null references users, followed_id int4 not null references users, primary key (user_id, followed_id)
    );
    create table places (id int4 primary key, name text not null, rating int4 not null);
    create table users_places (
        user_id int4 not null references users, place_id int4 not null references places, primary key (user_id, place_id)
    );
    insert into users values (1, 'Ada', 'ada@example.com'), (2, 'Bob', 'bob@example.com'), (3, 'Cleo', 'cleo@example.com');
    insert into places values (10, 'Bistro', 4), (11, 'Museum', 5), (12, 'Bar', 2);
    insert into users_followeds values (1, 2), (1, 3);
    insert into users_places values (2, 10), (2, 12), (3, 10), (3, 11);
";

/// The queries that most tests need.
pub fn queries() -> Value {
    json!({
        "followeds": {
            "route": "/followeds/{user_id}",
            "from": "users",
            "get": { "id": "$user_id" },
            "select": ["id", "name"],
            "with": { "followeds": {
                "from": "users",
                "through": { "table": "users_followeds", "parent": "user_id", "child": "followed_id" },
                "select": ["id", "name"],
                "order_by": ["name"],
                "with": { "places": {
                    "from": "places",
                    "through": "users_places",
                    "where": { "rating": { "gte": 3 } },
                    "order_by": ["-rating", "name"],
                } },
            } },
        },
        "user": { "route": "/users/{id}", "from": "users", "get": { "id": "$id" } },
        "places": {
            "route": "/places",
            "params": { "most": { "type": "int4", "default": 100, "min": 1, "max": 1000 } },
            "from": "places",
            "where": { "rating": { "gte": "$least" } },
            "order_by": ["id"],
            "limit": "$most",
        },
    })
}

impl World {
    /// The world in the shared Postgres, served with the usual queries.
    pub async fn start() -> Result<World> {
        World::with(queries()).await
    }

    /// The same with other queries.
    pub async fn with(queries: Value) -> Result<World> {
        let (database, sql) = create(postgres::shared()).await?;
        let server = Server::start(&config(&database.url, queries)).await?;
        Ok(World { database, sql, server })
    }

    /// Runs statements, each its own transaction unless they say otherwise.
    pub async fn run(&self, sql: &str) -> Result<()> {
        Ok(self.sql.batch_execute(sql).await?)
    }

    /// Where the log stands: whatever was committed before lies before it.
    pub async fn lsn(&self) -> Result<String> {
        scalar(&self.sql, "select pg_current_wal_insert_lsn()").await
    }

    /// The document at a path, once everything committed so far is in it.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let lsn = self.lsn().await?;
        let answer = self.server.get(&super::client::with_query(path, "after", &lsn)).await?;
        anyhow::ensure!(answer.status == 200, "GET {path}: {} {}", answer.status, answer.text());
        answer.json()
    }
}

/// A new database with the world in it.
pub async fn create(cluster: &Cluster) -> Result<(Database, Client)> {
    let database = cluster.database().await?;
    let sql = database.connect().await?;
    sql.batch_execute(SCHEMA).await?;
    Ok((database, sql))
}
