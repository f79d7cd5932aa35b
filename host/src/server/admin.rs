//! The operator's port: is it alive, can it serve, what are its nodes. Never on the clients' port, for it shows guests' errors.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

use super::answer;
use super::front::Shared;
use crate::driver::handle::{Code, NodeInfo, Problem};

pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(async || answer::json(StatusCode::OK, json!({ "alive": true }).to_string())))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/nodes", get(nodes))
        .route("/nodes/{name}/reload", post(reload))
        .fallback(unknown)
        .with_state(shared)
}

/// The nodes as JSON, for this port and for the demo's page.
pub fn nodes_json(nodes: &[NodeInfo]) -> String {
    let node =
        |node: &NodeInfo| json!({ "name": node.name, "kind": node.kind, "version": node.version, "error": node.error });
    serde_json::Value::from_iter(nodes.iter().map(node)).to_string()
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let reasons = match shared.ending.is_cancelled() {
        true => vec!["the server is shutting down".to_owned()],
        false => shared.documents.health().reasons,
    };
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(status, json!({ "ready": reasons.is_empty(), "reasons": reasons }).to_string())
}

async fn metrics() -> Response {
    let problem = Problem { code: Code::UnknownRoute, message: "`/metrics` is not supported yet".into() };
    let mut response = answer::problem(&problem, "/metrics");
    *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
    response
}

async fn nodes(State(shared): State<Arc<Shared>>) -> Response {
    answer::json(StatusCode::OK, nodes_json(&shared.documents.nodes()))
}

async fn reload(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    match shared.documents.reload(&name) {
        Ok(()) => answer::json(StatusCode::OK, json!({ "reloaded": name }).to_string()),
        Err(problem) => answer::problem(&problem, "/nodes/{name}/reload"),
    }
}

async fn unknown() -> Response {
    let message =
        "this port has /healthz, /readyz, /nodes and /nodes/{name}/reload; documents are on the clients' port";
    answer::problem(&Problem { code: Code::UnknownRoute, message: message.into() }, "/")
}
