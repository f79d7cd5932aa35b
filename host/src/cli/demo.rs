//! `sangre demo`: the demo's world, and a server in front of it as `sangre serve` would start it.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::serve;
use crate::demo::{self, Demo, Nodes};
use crate::wasm::{HostSettings, build, runtime};

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

/// Builds the nodes whose tools are here, both at a time. The first time takes a while.
async fn build_nodes(folder: &Path) -> anyhow::Result<Nodes> {
    tracing::info!("building the demo's nodes");
    let script = demo::occupancy_script(folder)?;
    let runtime = tokio::task::spawn_blocking(|| runtime::ensure_javascript(&HostSettings::default().cache));
    let component = tokio::task::spawn_blocking(|| demo::open_at_crate().map(|dir| build::rust(&dir)));
    let mut nodes = Nodes::default();
    match runtime.await? {
        Ok(_) => nodes.occupancy = Some(script),
        Err(error) => nodes.missing.push(format!("without the node `occupancy`: {error}")),
    }
    match component.await? {
        Some(Ok(component)) => nodes.open_at = Some(component),
        Some(Err(error)) => nodes.missing.push(format!("without the node `open-at`: {error}")),
        None => nodes.missing.push("without the node `open-at`: its source is not on this machine".into()),
    }
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
