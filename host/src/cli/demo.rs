//! `sangre demo`: the demo's world, and a server in front of it as `sangre serve` would start it.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::serve;
use crate::demo::{self, Demo, Nodes};

/// Where the page is, unless the port is taken or another one is asked for.
const USUAL_PORT: u16 = 4000;

/// Shows the demo until `shutdown`.
pub async fn run(port: Option<u16>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut demo = tokio::select! {
        demo = Demo::start() => demo?,
        // Whatever had been started by then is cleaned up after this process.
        () = shutdown.cancelled() => return Ok(()),
    };
    let result = show(&mut demo, port, shutdown).await;
    demo.stop().await;
    result
}

async fn show(demo: &mut Demo, port: Option<u16>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let nodes = tokio::select! {
        nodes = build_nodes(demo.folder()) => nodes?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let missing = nodes.missing.clone();
    let config = demo.configure(port.unwrap_or_else(usual_or_free), nodes)?;
    let edit = demo.file_to_edit().map(Path::to_owned);
    let pages = serve::Pages {
        router: Some(Box::new(demo.pages())),
        announce: Some(Box::new(move |address| announce(address, edit.as_deref(), &missing))),
    };
    serve::run(&config, false, pages, shutdown).await
}

/// Builds the nodes whose tools are here.
async fn build_nodes(folder: &Path) -> anyhow::Result<Nodes> {
    let mut nodes = Nodes { occupancy: Some(demo::occupancy_script(folder)?), ..Nodes::default() };
    nodes.missing.push("the filter `open-at` is not built in this build".into());
    Ok(nodes)
}

fn announce(address: SocketAddr, edit: Option<&Path>, missing: &[String]) {
    let mut text = format!("\n  Open  http://{address}/\n");
    if let Some(edit) = edit {
        text += &format!("  Edit  {} and save it: the page follows\n", edit.display());
    }
    for line in missing {
        text += &format!("  Note  {line}\n");
    }
    text += "  End   with Ctrl-C; nothing stays behind\n\n";
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn usual_or_free() -> u16 {
    match TcpListener::bind(("127.0.0.1", USUAL_PORT)) {
        Ok(_) => USUAL_PORT,
        Err(_) => 0,
    }
}
