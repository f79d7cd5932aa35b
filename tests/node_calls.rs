//! How often a node is asked: the node itself says so, in the server's log.

use anyhow::Result;
use serde_json::json;

use crate::support::client::Client;
use crate::support::document::Document;
use crate::support::postgres;
use crate::support::server::{Server, config};
use crate::support::world;

const DOCUMENTS: i64 = 1_000;

/// The places that the document at `n` shows include the bar for every n, so its row is in all documents.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_in_a_thousand_documents_is_evaluated_once() -> Result<()> {
    let (database, sql) = world::create(postgres::shared()).await?;
    let folder = tempfile::Builder::new().prefix("sangre-test-node-").tempdir()?;
    let script = folder.path().join("shout.js");
    let source =
        "export function transform(place) { console.log(`asked of ${place.name};`); return place.name + '!'; }";
    std::fs::write(&script, source)?;
    let places = json!({
        "route": "/from/{n}",
        "params": { "n": { "type": "int4" } },
        "from": "places",
        "where": { "id": { "lte": "$n" } },
        "steps": [{ "map": { "node": "shout", "into": "shout", "input": ["name"] } }],
    });
    let mut settings = config(&database.url, json!({ "places": places }));
    settings["nodes"] = json!({ "shout": { "script": script } });
    settings["limits"] = json!({ "connections_per_client": 2 * DOCUMENTS });
    let mut server = Server::start(&settings).await?;
    server.nodes_loaded().await?;
    let mut clients = Vec::new();
    for n in 0..DOCUMENTS {
        let mut client = Client::web_socket(&server.address, &format!("/from/{}", 12 + n)).await?;
        let mut held = Document::default();
        held.apply(&client.patch().await?)?;
        clients.push((client, held));
    }
    for name in ["Pub", "Inn"] {
        sql.batch_execute(&format!("update places set name = '{name}' where id = 12")).await?;
        for (client, held) in &mut clients {
            held.apply(&client.patch().await?)?;
            let shouts = held.value.as_array().into_iter().flatten().map(|place| &place["shout"]);
            assert!(shouts.into_iter().any(|shout| shout.as_str() == Some(&format!("{name}!"))), "{}", held.value);
        }
    }
    // What was said of the row before was printed before this.
    server.running.line("asked of Inn;").await?;
    let log = server.running.log();
    for name in ["Pub", "Inn", "Bistro", "Museum", "Bar"] {
        assert_eq!(log.matches(&format!("asked of {name};")).count(), 1, "{name}:\n{log}");
    }
    Ok(())
}
