//! What cannot be served is refused by name, with the remedy, by `sangre check` and by `sangre serve`.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::postgres::{self, Cluster};
use crate::support::server::{Server, config, verdict};
use crate::support::world;

/// A query of a whole table.
fn all_of(table: &str) -> Value {
    json!({ "route": format!("/{table}"), "from": table })
}

/// Asserts that `check` refuses a configuration and says all of this.
async fn refused(settings: &Value, words: &[&str]) -> Result<()> {
    let (status, text) = verdict("check", settings).await?;
    assert_eq!(status.code(), Some(1), "{words:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn tables_that_cannot_be_followed() -> Result<()> {
    let (database, sql) = world::create(postgres::shared()).await?;
    sql.batch_execute(
        "create table secrets (id int4 primary key); alter table secrets enable row level security; \
         create view a_view as select * from users; \
         create materialized view stored as select * from users; \
         create unlogged table volatile (id int4 primary key); \
         create table keyless (a int4, b int4); \
         create table silent (id int4 primary key); alter table silent replica identity nothing; \
         create table durations (id int4 primary key, length interval)",
    )
    .await?;
    let checked = |query: Value| config(&database.url, json!({ "q": query }));
    for (table, words) in [
        ("secrets", &["secrets", "row-level security", "rls: ignore"][..]),
        ("a_view", &["a_view", "view"]),
        ("stored", &["stored", "view"]),
        ("volatile", &["volatile", "unlogged"]),
        ("keyless", &["keyless", "REPLICA IDENTITY FULL"]),
        ("silent", &["silent", "REPLICA IDENTITY"]),
        ("user", &["user", "users"]),
        ("other.users", &["other.users"]),
        ("Users", &["Users", "users"]),
    ] {
        refused(&checked(all_of(table)), words).await?;
    }
    refused(&checked(json!({ "route": "/q", "from": "durations", "order_by": ["length"] })), &["length", "interval"])
        .await?;
    refused(&checked(json!({ "route": "/q", "from": "users", "where": { "nam": "x" } })), &["nam", "name"]).await?;
    refused(&checked(json!({ "route": "/q", "from": "users", "where": { "id": "x" } })), &["id"]).await?;
    refused(&checked(json!({ "route": "/q", "from": "users", "get": { "name": "x" } })), &["name"]).await?;
    refused(
        &checked(json!({ "route": "/q", "from": "users", "with": { "friends": { "from": "users", "through": "users_followeds" } } })),
        &["user_id", "followed_id"],
    )
    .await?;
    refused(
        &checked(json!({ "route": "/q", "from": "users", "with": { "p": { "from": "places" } } })),
        &["users", "places"],
    )
    .await?;
    refused(
        &checked(json!({ "route": "/q", "from": "users", "limit": 1, "steps": [{ "where": { "id": 1 } }] })),
        &["limit"],
    )
    .await?;

    let mut ignored = checked(all_of("secrets"));
    ignored["tables"] = json!({ "secrets": { "rls": "ignore" } });
    let (status, text) = verdict("check", &ignored).await?;
    assert!(status.success(), "{text}");
    Ok(())
}

#[tokio::test]
async fn what_is_not_built_yet_is_refused_by_name() -> Result<()> {
    let (database, _sql) = world::create(postgres::shared()).await?;
    let users = |key: &str, value: Value| {
        let mut query = all_of("users");
        query[key] = value;
        config(&database.url, json!({ "q": query }))
    };
    for (settings, word) in [
        (users("where", json!({ "exists": { "from": "places", "on": {} } })), "exists"),
        (users("aggregate", json!({ "n": "count" })), "aggregate"),
        (users("group_by", json!(["name"])), "group_by"),
        (users("distinct", json!(true)), "distinct"),
    ] {
        refused(&settings, &[word, "not supported yet"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_broken_query_breaks_no_other() -> Result<()> {
    let (database, sql) = world::create(postgres::shared()).await?;
    sql.batch_execute("create table secrets (id int4 primary key); alter table secrets enable row level security")
        .await?;
    let queries = json!({ "user": { "route": "/users/{id}", "from": "users", "get": { "id": "$id" } }, "secret": all_of("secrets") });
    let settings = config(&database.url, queries);
    let server = Server::start(&settings).await?;
    assert_eq!(server.get("/users/1").await?.json()?["name"], "Ada");
    let broken = server.get("/secrets").await?;
    assert_eq!((broken.status, broken.code().as_str()), (503, "query_broken"));
    assert!(!broken.text().contains("row-level"), "what is wrong is the operator's business: {}", broken.text());
    server.running.said(|log| log.contains("row-level security")).await?;
    let ready = crate::support::http::get(&server.admin, "/readyz", &[]).await?;
    let reasons = ready.json()?["reasons"].to_string();
    assert!(ready.status == 200 && reasons.contains("queries.secret") && reasons.contains("row-level"), "{reasons}");
    server.stop().await?;

    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("sangre.yaml"), settings.to_string())?;
    let (status, text) =
        crate::support::server::run(&["serve", "-c", "sangre.yaml", "--strict"], folder.path()).await?;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("row-level security"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_logical_replication_is_named() -> Result<()> {
    let cluster = Cluster::start(&["wal_level = replica"])?;
    let (database, _sql) = world::create(&cluster).await?;
    for command in ["serve", "check"] {
        let (status, text) = verdict(command, &config(&database.url, world::queries())).await?;
        assert_eq!(status.code(), Some(1), "{command}: {text}");
        assert!(text.contains("wal_level"), "{command}: {text}");
        assert!(text.contains("logical"), "{command}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn missing_rights_are_named_with_the_remedy() -> Result<()> {
    let (database, sql) = world::create(postgres::shared()).await?;
    let role = format!("visitor_{}", database.name);
    sql.batch_execute(&format!("create role {role} login; grant select on all tables in schema public to {role}"))
        .await?;
    let url = database.url.replace("postgres@", &format!("{role}@"));
    let (status, text) = verdict("serve", &config(&url, world::queries())).await?;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.to_lowercase().contains("replication"), "{text}");

    sql.batch_execute(&format!("alter role {role} replication")).await?;
    refused(&config(&url, world::queries()), &["CREATE PUBLICATION", &role, "the database's owner has to"]).await?;
    sql.batch_execute(&format!(
        "revoke select on all tables in schema public from {role}; grant select (id) on users to {role}"
    ))
    .await?;
    let users = json!({ "route": "/q", "from": "users", "select": ["id", "name"] });
    let places = json!({ "route": "/p", "from": "places" });
    let settings = config(&url, json!({ "q": users, "p": places }));
    let grants =
        [format!("GRANT SELECT (name) ON public.users TO {role}"), format!("GRANT SELECT ON public.places TO {role}")];
    refused(&settings, &[&grants[0], &grants[1]]).await?;
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("sangre.yaml"), settings.to_string())?;
    let (_, script) = crate::support::server::run(&["check", "-c", "sangre.yaml", "--sql"], folder.path()).await?;
    for grant in &grants {
        assert!(script.contains(&format!("{grant};\n")), "{script}");
    }
    let publication = script.lines().find(|line| line.starts_with("CREATE PUBLICATION")).context("it is missing")?;
    sql.batch_execute(&format!("{}; {}; {publication}", grants[0], grants[1])).await?;
    let (status, text) = crate::support::server::run(&["check", "-c", "sangre.yaml", "--sql"], folder.path()).await?;
    assert!(status.success() && text.contains("-- nothing has to be run"), "{text}");
    sql.batch_execute(&format!("drop publication sangre; grant select on all tables in schema public to {role}"))
        .await?;
    let (status, text) = verdict("serve", &config(&url, world::queries())).await?;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.to_lowercase().contains("publication"), "{text}");
    Ok(())
}

/// Row security that comes while the server runs would hide rows from whoever asks, without a word.
#[tokio::test(flavor = "multi_thread")]
async fn row_security_hides_nothing_in_silence() -> Result<()> {
    let (database, sql) = world::create(postgres::shared()).await?;
    let role = format!("reader_{}", database.name);
    sql.batch_execute(&format!(
        "create role {role} login replication; grant select on all tables in schema public to {role}; \
         create publication sangre for table users, users_followeds, places, users_places"
    ))
    .await?;
    let url = database.url.replace("postgres@", &format!("{role}@"));
    let server = crate::support::server::Server::start(&config(&url, world::queries())).await?;
    assert_eq!(server.get("/users/1").await?.json()?["name"], json!("Ada"));
    sql.batch_execute("alter table places enable row level security").await?;
    let answer = server.get("/places?least=3").await?;
    assert_eq!(answer.code(), "query_broken", "{}", answer.text());
    assert_eq!(server.get("/users/2").await?.json()?["name"], json!("Bob"), "others are served");
    Ok(())
}

#[tokio::test]
async fn mistakes_in_the_file_have_a_place() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sangre.yaml");
    for (text, words) in [
        ("database: x\nlistn: 127.0.0.1:0\n", &["sangre.yaml", "2", "listn", "listen"][..]),
        ("database: \"${SANGRE_TEST_IS_NOT_SET}\"\nqueries: {}\n", &["SANGRE_TEST_IS_NOT_SET"]),
        ("database: [\n", &["sangre.yaml"]),
        ("database: x\nqueries:\n  a:\n    route: /a\n    fro: users\n", &["5", "fro", "from"]),
    ] {
        std::fs::write(&file, text)?;
        for command in ["check", "serve"] {
            let (status, said) = crate::support::server::run(&[command, "-c", "sangre.yaml"], folder.path()).await?;
            assert_eq!(status.code(), Some(1), "{text}: {said}");
            for word in words {
                assert!(said.contains(word), "{command}: {word:?} is not in: {said}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_postgres_cannot_read_has_a_place() -> Result<()> {
    let (database, sql) = world::create(postgres::shared()).await?;
    sql.batch_execute("create table people (id int4 primary key, born date)").await?;
    let query = json!({ "route": "/q", "from": "people", "where": { "born": "2020-13-45" } });
    let settings = config(&database.url, json!({ "q": query }));
    refused(&settings, &["sangre.yaml:", "queries.q", "\"2020-13-45\" is not a value of type date"]).await?;
    let server = Server::start(&settings).await?;
    let broken = server.get("/q").await?;
    assert_eq!((broken.status, broken.code().as_str()), (503, "query_broken"));
    server.stop().await?;

    let (status, text) = verdict("check", &config("postgres://me@127.0.0.1:1/db", json!({}))).await?;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("127.0.0.1:1"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_good_file_is_explained() -> Result<()> {
    let (database, sql) = world::create(postgres::shared()).await?;
    let settings = config(&database.url, world::queries());
    let (status, text) = verdict("check", &settings).await?;
    assert!(status.success(), "{text}");
    for word in ["/followeds/{user_id}", "user_id", "int4", "least", "most"] {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    // What the owner has to run does what the server needs.
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("sangre.yaml"), settings.to_string())?;
    let (status, statements) =
        crate::support::server::run_for_output(&["check", "-c", "sangre.yaml", "--sql"], folder.path()).await?;
    assert!(status.success(), "{statements}");
    sql.batch_execute(&statements).await?;
    let published = "select count(*) from pg_publication_tables where tablename in ('users', 'places', 'users_places')";
    assert_eq!(crate::support::oracle::scalar(&sql, published).await?, "3");
    Ok(())
}
