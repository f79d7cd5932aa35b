//! The operator's port: is it alive, can it serve, what are its nodes. Never on the clients' port, for it shows guests' errors.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

use super::front::Shared;
use super::{answer, metrics};
use crate::driver::handle::{Code, NodeInfo, NodeState, Problem};

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

/// The nodes as JSON.
fn nodes_json(nodes: &[NodeInfo]) -> String {
    serde_json::Value::from_iter(nodes.iter().map(node_json)).to_string()
}

fn node_json(node: &NodeInfo) -> serde_json::Value {
    let usage = node.usage;
    json!({
        "name": node.name, "kind": node.kind, "version": node.version, "state": node.state.name(), "error": node.error,
        "file": node.file, "queries": node.queries.iter().map(|name| &**name).collect::<Vec<_>>(),
        "deadline_ms": node.deadline.as_secs_f64() * 1e3, "memory_limit_bytes": node.memory_limit,
        "batches": usage.batches, "rows": usage.rows, "errors": usage.errors, "memo_hits": usage.memo_hits,
        "computed_ms": usage.computed.as_secs_f64() * 1e3, "memory_bytes": usage.memory_bytes,
        "instances": usage.instances, "starting_ms": usage.starting.as_secs_f64() * 1e3,
    })
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let mut health = shared.documents.health();
    if shared.ending.is_cancelled() {
        health.reasons = vec!["the server is shutting down".to_owned()];
    }
    let ready = health.reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // A broken query keeps nobody from being served but those who ask for it.
    let reasons = [health.reasons, health.broken].concat();
    answer::json(status, json!({ "ready": ready, "reasons": reasons }).to_string())
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    match metrics::text(&shared) {
        Ok(text) => {
            let mut response = answer::json(StatusCode::OK, text);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
            response
        }
        Err(fmt::Error) => {
            let message = "the metrics cannot be written".into();
            answer::problem(&Problem { code: Code::Internal, message }, "/metrics")
        }
    }
}

async fn nodes(State(shared): State<Arc<Shared>>) -> Response {
    answer::json(StatusCode::OK, nodes_json(&shared.documents.nodes()))
}

async fn reload(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    match shared.documents.reload(&name).await {
        // How the node is now, whatever came of it; the status is for scripts.
        Ok(node) => {
            let taken = matches!(node.state, NodeState::Running | NodeState::Failing);
            let status = if taken { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
            answer::json(status, node_json(&node).to_string())
        }
        Err(problem) => answer::problem(&problem, "/nodes/{name}/reload"),
    }
}

async fn unknown() -> Response {
    let message = "this port has /healthz, /readyz, /metrics, /nodes and /nodes/{name}/reload; documents are on the clients' port";
    answer::problem(&Problem { code: Code::UnknownRoute, message: message.into() }, "/")
}
