//! An application with a route of its own that writes to Postgres, and Sangre beside it, which tells everybody.
//!
//! ```text
//! DATABASE_URL=postgres://localhost/app cargo run --example embed
//! curl -N -H 'Accept: text/event-stream' localhost:3000/live/notes
//! curl -d 'buy milk' localhost:3000/notes
//! ```

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use sangre::{Changes, Event, Sangre};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_postgres::{Client, NoTls};

#[derive(Debug, Deserialize)]
struct Note {
    id: i64,
    text: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let url = std::env::var("DATABASE_URL")?;
    let database = connect(&url).await?;
    database.batch_execute("create table if not exists notes (id bigserial primary key, text text not null)").await?;

    let sangre = Sangre::builder(url)
        .query("notes", "{ route: /notes, from: notes, order_by: [id] }")
        .query("note", "{ route: '/notes/{id}', from: notes, get: { id: $id } }")
        .start()
        .await?;
    let notes: Vec<Note> = sangre.read("/notes").await?.decode()?;
    for Note { id, text } in &notes {
        tracing::info!("note {id}: {text}");
    }
    tokio::spawn(watch(sangre.subscribe("/notes").await?));

    let app = Router::new().route("/notes", post(add)).with_state(Arc::new(database)).nest("/live", sangre.router());
    let address = std::env::var("LISTEN").unwrap_or("127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    tracing::info!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            if let Err(error) = sangre.run_until(tokio::signal::ctrl_c()).await {
                tracing::error!("{error}");
            }
        })
        .await?;
    Ok(())
}

/// `POST /notes`: an ordinary write. It needs to know nothing of Sangre, which hears of it from Postgres.
async fn add(State(database): State<Arc<Client>>, text: String) -> Result<StatusCode, StatusCode> {
    match database.execute("insert into notes (text) values ($1)", &[&text]).await {
        Ok(_) => Ok(StatusCode::CREATED),
        Err(error) => {
            tracing::error!("{error}");
            Err(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Follows the notes in this process.
async fn watch(mut notes: Changes) {
    while let Some(event) = notes.next().await {
        match event {
            Ok(Event::Change(change)) => tracing::info!("changed: {}", change.patch()),
            Ok(event) => tracing::info!("{event:?}"),
            Err(error) => tracing::info!("no more changes: {error}"),
        }
    }
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
