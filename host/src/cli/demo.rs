//! `sangre demo`: the demo's world, and a server in front of it as `sangre serve` would start it.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::Sangre;
use crate::demo::{self, Demo, Nodes, Rebuild, Source};
use crate::wasm::{HostSettings, Stop, runtime};

/// Where the page is, unless the port is taken or another one is asked for.
const USUAL_PORT: u16 = 4000;

/// Shows the demo until `shutdown`.
pub async fn run(port: Option<u16>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut demo = tokio::select! {
        demo = Demo::start() => demo?,
        // Whatever had been started by then is cleaned up after this process.
        () = shutdown.cancelled() => return Ok(()),
    };
    let stop = Stop::default();
    let result = show(&mut demo, port, &stop, shutdown).await;
    // A build that still runs: of the nodes or, after an edit, of one of them.
    stop.stop();
    demo.stop().await;
    result
}

async fn show(demo: &mut Demo, port: Option<u16>, stop: &Stop, shutdown: CancellationToken) -> anyhow::Result<()> {
    let (nodes, _rebuild) = tokio::select! {
        nodes = build_nodes(demo.folder(), stop) => nodes?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let said = instructions(&nodes);
    let config = demo.configure(port.unwrap_or_else(usual_or_free), nodes)?;
    let sangre = Sangre::from_file(config).pages(Box::new(demo.pages()));
    let sangre = sangre.announce(Box::new(move |address| announce(address, &said)));
    Ok(sangre.serve(shutdown.cancelled_owned()).await?)
}

/// Builds the nodes whose tools are here, both at a time, and follows the source of the Rust one. The first time takes a while.
async fn build_nodes(folder: &Path, stop: &Stop) -> anyhow::Result<(Nodes, Option<Rebuild>)> {
    tracing::info!("building the demo's nodes");
    let script = demo::occupancy_script(folder)?;
    let crate_dir = demo::open_at_crate();
    let rebuild = crate_dir.as_ref().map(|dir| Rebuild::start(dir.clone(), stop.clone()));
    let stop = stop.clone();
    let runtime = tokio::task::spawn_blocking(move || {
        runtime::ensure(runtime::Language::JavaScript, &HostSettings::default().cache, &stop)
    });
    let mut nodes = Nodes::default();
    match runtime.await? {
        Ok(_) => nodes.occupancy = Some(script),
        Err(error) => {
            let error = anyhow::Error::from(error);
            nodes.missing.push(format!("without the node `occupancy`: {error:#}"));
        }
    }
    let (Some(dir), Some(rebuild)) = (crate_dir, rebuild) else {
        nodes.missing.push("without the node `open-at`: its source is not on this machine".into());
        return Ok((nodes, None));
    };
    match rebuild.first().await {
        Ok(component) => {
            nodes.open_at = Some(component);
            nodes.open_at_source = Some(Source { file: dir.join("src/lib.rs"), builds: rebuild.builds() });
            Ok((nodes, Some(rebuild)))
        }
        Err(reason) => {
            nodes.missing.push(format!("without the node `open-at`: {reason}"));
            Ok((nodes, None))
        }
    }
}

/// Which files to edit, and what is missing, a line each.
fn instructions(nodes: &Nodes) -> String {
    let mut text = String::new();
    for (language, _, file) in nodes.files_to_edit() {
        text += &format!("  Edit  {} ({language}) and save it: the page follows\n", file.display());
    }
    for line in &nodes.missing {
        text += &format!("  Note  {line}\n");
    }
    text
}

fn announce(address: SocketAddr, said: &str) {
    let text = format!("\n  Open  http://{address}/\n{said}  End   with Ctrl-C; nothing stays behind\n\n");
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn usual_or_free() -> u16 {
    match TcpListener::bind(("127.0.0.1", USUAL_PORT)) {
        Ok(_) => USUAL_PORT,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Build;

    #[test]
    fn files_to_edit_and_what_is_missing_are_told() {
        let builds = tokio::sync::watch::channel(Build::Running).1;
        let nodes = Nodes {
            open_at: Some("/r/open_at.wasm".into()),
            open_at_source: Some(Source { file: "/r/src/lib.rs".into(), builds }),
            occupancy: Some("/j.js".into()),
            missing: vec!["without something".into()],
        };
        let lines = "  Edit  /j.js (JavaScript) and save it: the page follows\n  \
                     Edit  /r/src/lib.rs (Rust) and save it: the page follows\n  Note  without something\n";
        assert_eq!(instructions(&nodes), lines);
    }
}
