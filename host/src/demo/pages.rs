//! The demo's page and the requests of its buttons, which write to Postgres as any application would.
//!
//! They know nothing of documents: what they write comes back to the page through the change stream alone.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use tokio::sync::Mutex;
use tokio_postgres::types::ToSql;

use super::rebuild::Build;
use super::world::Nodes;
use crate::driver::handle::{Documents, NodeInfo};

const PAGE: &str = include_str!("page.html");

/// Only what the page itself holds runs, and it talks to nobody else.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the page's requests need.
pub struct Pages {
    database: String,
    client: Mutex<Option<Arc<tokio_postgres::Client>>>,
    documents: Arc<dyn Documents>,
    nodes: Nodes,
}

/// A request of the page that failed, with what it shows.
struct Refused(StatusCode, String);

type Answer = Result<Response, Refused>;

/// A statement's values, taken from what a button sends.
type Values<T> = fn(&T) -> Vec<&(dyn ToSql + Sync)>;

impl Pages {
    pub fn new(database: String, documents: Arc<dyn Documents>, nodes: &Nodes) -> Self {
        Pages { database, client: Mutex::default(), documents, nodes: nodes.clone() }
    }

    /// A connection, a new one if the last has ended.
    async fn client(&self) -> Result<Arc<tokio_postgres::Client>, tokio_postgres::Error> {
        let mut client = self.client.lock().await;
        match &*client {
            Some(client) if !client.is_closed() => Ok(client.clone()),
            _ => {
                let (new, connection) = tokio_postgres::connect(&self.database, tokio_postgres::NoTls).await?;
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "the page's connection to Postgres ended");
                    }
                });
                Ok(client.insert(Arc::new(new)).clone())
            }
        }
    }

    /// Runs the statement with the values of what the button sent.
    async fn write<T: DeserializeOwned>(&self, body: &[u8], sql: &str, values: Values<T>) -> Answer {
        let sent = serde_json::from_slice(body).map_err(|error| Refused(StatusCode::BAD_REQUEST, error.to_string()))?;
        let rows = self.client().await?.execute(sql, &values(&sent)).await?;
        Ok(answer(json!({ "rows": rows })))
    }
}

pub fn router(pages: Pages) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/demo/world", get(world))
        .route("/demo/follow", post(follow))
        .route("/demo/unfollow", post(unfollow))
        .route("/demo/rename", post(rename))
        .route("/demo/place", post(place))
        .route("/demo/rate", post(rate))
        .with_state(Arc::new(pages))
}

async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    ];
    (headers, PAGE).into_response()
}

/// A node for the page: which file to edit, whether that is being built, and why its newest version was not taken.
fn about(node: &NodeInfo, nodes: &Nodes) -> Json {
    let edit = nodes.files_to_edit().find(|(_, name, _)| **name == *node.name);
    let edit = edit.map(|(language, _, file)| json!({ "language": language, "file": file.to_string_lossy() }));
    let build = nodes.build(&node.name);
    let error = match &build {
        Some(Build::Failed(reason)) => Some(&**reason),
        _ => node.error.as_deref(),
    };
    json!({
        "name": node.name, "kind": node.kind, "version": node.version, "error": error,
        "edit": edit, "building": build == Some(Build::Running),
    })
}

/// What the pickers offer, how the nodes are, and which files to edit.
async fn world(State(pages): State<Arc<Pages>>) -> Answer {
    const WORLD: &str = "SELECT jsonb_build_object(
        'users', (SELECT jsonb_agg(jsonb_build_object('id', id, 'name', name) ORDER BY name, id) FROM users),
        'places', (SELECT jsonb_agg(jsonb_build_object('id', id, 'name', name, 'rating', rating) ORDER BY name, id) FROM places),
        'followeds', (SELECT jsonb_agg(jsonb_build_array(user_id, followed_id)) FROM users_followeds))::text";
    let nodes = pages.documents.nodes();
    let nodes = Json::from_iter(nodes.iter().map(|node| about(node, &pages.nodes)));
    let mut answer_json = json!({ "missing": pages.nodes.missing, "nodes": nodes });
    let text: String = pages.client().await?.query_one(WORLD, &[]).await?.get(0);
    let tables: Json =
        serde_json::from_str(&text).map_err(|error| Refused(StatusCode::BAD_GATEWAY, error.to_string()))?;
    if let (Json::Object(all), Json::Object(tables)) = (&mut answer_json, tables) {
        all.extend(tables);
    }
    Ok(answer(answer_json))
}

#[derive(Deserialize)]
struct Follow {
    user: i32,
    followed: i32,
}

async fn follow(State(pages): State<Arc<Pages>>, body: Bytes) -> Answer {
    let sql = "INSERT INTO users_followeds (user_id, followed_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    pages.write(&body, sql, |sent: &Follow| vec![&sent.user, &sent.followed]).await
}

async fn unfollow(State(pages): State<Arc<Pages>>, body: Bytes) -> Answer {
    let sql = "DELETE FROM users_followeds WHERE user_id = $1 AND followed_id = $2";
    pages.write(&body, sql, |sent: &Follow| vec![&sent.user, &sent.followed]).await
}

#[derive(Deserialize)]
struct Rename {
    user: i32,
    name: String,
}

async fn rename(State(pages): State<Arc<Pages>>, body: Bytes) -> Answer {
    let sql = "UPDATE users SET name = $2 WHERE id = $1";
    pages.write(&body, sql, |sent: &Rename| vec![&sent.user, &sent.name]).await
}

#[derive(Deserialize)]
struct Place {
    /// Who likes it.
    user: i32,
    name: String,
    rating: i32,
    opens: i32,
    closes: i32,
}

async fn place(State(pages): State<Arc<Pages>>, body: Bytes) -> Answer {
    // One statement, hence one commit: nobody ever sees a place that nobody likes.
    let sql = "WITH place AS (INSERT INTO places (name, rating, opens, closes) VALUES ($2, $3, $4, $5) RETURNING id)
               INSERT INTO users_places (user_id, place_id) SELECT $1, id FROM place";
    let values: Values<Place> = |sent| vec![&sent.user, &sent.name, &sent.rating, &sent.opens, &sent.closes];
    pages.write(&body, sql, values).await
}

#[derive(Deserialize)]
struct Rate {
    place: i32,
    rating: i32,
}

async fn rate(State(pages): State<Arc<Pages>>, body: Bytes) -> Answer {
    let sql = "UPDATE places SET rating = $2 WHERE id = $1";
    pages.write(&body, sql, |sent: &Rate| vec![&sent.place, &sent.rating]).await
}

fn answer(value: Json) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

impl From<tokio_postgres::Error> for Refused {
    /// What Postgres says: this world and its page belong to whoever looks at it.
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refused) => Refused(StatusCode::BAD_REQUEST, refused.message().to_owned()),
            None => Refused(StatusCode::BAD_GATEWAY, format!("Postgres does not answer: {error}")),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.1)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = answer(json!({ "error": self.1 }));
        *response.status_mut() = self.0;
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{DATABASE, Demo};
    use crate::driver::handle::NodeState;
    use crate::server::tests::fake::Fake;

    async fn body(response: Response) -> Json {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    fn request(value: Json) -> Bytes {
        value.to_string().into()
    }

    #[test]
    fn a_source_that_does_not_compile_is_shown_beside_its_node() {
        let (told, builds) = tokio::sync::watch::channel(Build::Running);
        let source = crate::demo::Source { file: "/r/lib.rs".into(), builds };
        let nodes = Nodes { open_at_source: Some(source), ..Nodes::default() };
        let error = Some("not loaded".into());
        let node = |name: &str| NodeInfo {
            name: name.into(),
            kind: "filter".into(),
            version: "1".into(),
            state: NodeState::Outdated,
            error: error.clone(),
            ..NodeInfo::default()
        };
        let shown = about(&node("open-at"), &nodes);
        assert_eq!((&shown["building"], &shown["error"]), (&json!(true), &json!("not loaded")));
        assert_eq!(shown["edit"], json!({ "language": "Rust", "file": "/r/lib.rs" }));
        told.send_replace(Build::Failed("lib.rs:1:2: error: no".into()));
        let shown = about(&node("open-at"), &nodes);
        assert_eq!((&shown["building"], &shown["error"]), (&json!(false), &json!("lib.rs:1:2: error: no")));
        let other = about(&node("other"), &nodes);
        assert_eq!(
            (&other["edit"], &other["building"], &other["error"]),
            (&Json::Null, &json!(false), &json!("not loaded"))
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_buttons_write() {
        let demo = Demo::start().await.expect("a demo");
        let nodes = Nodes { missing: vec!["something".into()], ..Nodes::default() };
        let pages = State(Arc::new(Pages::new(demo.postgres.url(DATABASE), Arc::new(Fake::default()), &nodes)));
        let pair = || request(json!({ "user": 1, "followed": 3, "more": "is ignored" }));
        for rows in [1, 0] {
            assert_eq!(
                body(follow(pages.clone(), pair()).await.unwrap_or_else(Refused::into_response)).await["rows"],
                rows
            );
        }
        for rows in [1, 0] {
            assert_eq!(
                body(unfollow(pages.clone(), pair()).await.unwrap_or_else(Refused::into_response)).await["rows"],
                rows
            );
        }
        let new = request(json!({ "user": 1, "name": "A", "rating": 4, "opens": 1, "closes": 2 }));
        let done = [
            rename(pages.clone(), request(json!({ "user": 1, "name": "B" }))).await,
            place(pages.clone(), new).await,
            rate(pages.clone(), request(json!({ "place": 19, "rating": 1 }))).await,
        ];
        for answer in done {
            assert_eq!(body(answer.unwrap_or_else(Refused::into_response)).await, json!({ "rows": 1 }));
        }
        let refused = rate(pages.clone(), request(json!({ "place": 19, "rating": 6 }))).await;
        assert_eq!(refused.expect_err("out of range").0, StatusCode::BAD_REQUEST);
        assert_eq!(rate(pages.clone(), Bytes::new()).await.expect_err("no body").0, StatusCode::BAD_REQUEST);

        let world = body(world(pages.clone()).await.unwrap_or_else(Refused::into_response)).await;
        assert_eq!(world["users"].as_array().expect("users").len(), 12);
        assert!(world["users"].as_array().expect("users").contains(&json!({ "id": 1, "name": "B" })));
        assert!(world["places"].as_array().expect("places").contains(&json!({ "id": 19, "name": "A", "rating": 1 })));
        assert_eq!((&world["missing"], &world["nodes"][0]["error"]), (&json!(["something"]), &json!("oh")));
        demo.stop().await;
    }
}
