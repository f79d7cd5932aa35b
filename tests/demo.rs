//! The whole program from outside: `sangre demo` starts, a button's request arrives live, and nothing is left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::support::client::{Client, Transport};
use crate::support::document::Document;
use crate::support::http;
use crate::support::server::Running;

/// What a process was started with.
fn arguments(id: u32) -> Vec<String> {
    let text = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    text.split(|&byte| byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// The numbers of all processes.
fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn parent(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// The folder of the demo's Postgres: its watchdog, a child of the demo, has it among its arguments.
fn folder_of(demo: u32) -> Option<PathBuf> {
    let children = processes().into_iter().filter(|&id| parent(id) == Some(demo));
    children.flat_map(arguments).map(PathBuf::from).find(|path| path.is_absolute() && path.join("data").is_dir())
}

/// Processes that work in a folder or were started with it.
fn users_of(folder: &Path) -> Vec<u32> {
    let named = |id: &u32| arguments(*id).iter().any(|argument| argument.contains(&*folder.to_string_lossy()));
    let within = |id: &u32| fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    processes().into_iter().filter(|id| named(id) || within(id)).collect()
}

/// The demo, ready: the address it prints.
async fn start(folder: &Path) -> Result<(Running, String)> {
    let mut demo = Running::start(&["demo", "--port", "0"], folder)?;
    // The first start builds the JavaScript runtime.
    let line = demo.line_within("http://", Duration::from_secs(600)).await?;
    let address = line.split("http://").nth(1).context("a URL")?;
    let ends = |c: char| !(c.is_ascii_alphanumeric() || ".:".contains(c));
    Ok((demo, address.split(ends).next().unwrap_or_default().to_owned()))
}

/// Waits until documents are served: the page is there a moment earlier, and tries again.
async fn served(address: &str, path: &str) -> Result<()> {
    let deadline = tokio::time::Instant::now() + http::PATIENCE;
    loop {
        let answer = http::get(address, path, &[]).await?;
        if answer.status == 200 {
            return Ok(());
        }
        ensure!(answer.status == 503 && tokio::time::Instant::now() < deadline, "{} {}", answer.status, answer.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A request as a button of the page makes it.
async fn press(address: &str, button: &str, body: Value) -> Result<()> {
    let headers = [("Content-Type", "application/json"), ("Origin", &*format!("http://{address}"))];
    let answer = http::request("POST", address, &format!("/demo/{button}"), &headers, &body.to_string()).await?;
    ensure!(answer.status == 200, "{button}: {} {}", answer.status, answer.text());
    Ok(())
}

async fn is_gone(folder: &Path) -> Result<()> {
    let deadline = tokio::time::Instant::now() + http::PATIENCE;
    while folder.exists() || !users_of(folder).is_empty() {
        let left: Vec<_> = users_of(folder).into_iter().map(arguments).collect();
        ensure!(tokio::time::Instant::now() < deadline, "left behind: {} {left:?}", folder.display());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_is_live_and_leaves_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut demo, address) = start(folder.path()).await?;
    let page = http::get(&address, "/", &[]).await?;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    for outside in ["src=\"http", "href=\"http", "@import", "//cdn"] {
        assert!(!page.text().contains(outside), "the page needs nothing from outside: {outside}");
    }

    served(&address, "/followeds/1").await?;
    let mut documents = Vec::new();
    for transport in [Transport::WebSocket, Transport::Sse] {
        let mut client = Client::open(&address, "/followeds/1", transport, None).await?;
        let mut held = Document::default();
        held.apply(&client.patch().await?)?;
        assert!(held.value["followeds"].as_array().is_some_and(|list| !list.is_empty()), "{}", held.value);
        documents.push((client, held));
    }
    let friend = documents[0].1.value["followeds"][0]["id"].clone();
    press(&address, "rename", json!({ "user": friend, "name": "Renamed by a test" })).await?;
    press(&address, "unfollow", json!({ "user": 1, "followed": friend })).await?;
    press(&address, "follow", json!({ "user": 1, "followed": 12 })).await?;
    for (client, held) in &mut documents {
        client
            .until(held, |value| {
                let ids: Vec<&Value> =
                    value["followeds"].as_array().into_iter().flatten().map(|user| &user["id"]).collect();
                !ids.contains(&&friend) && ids.contains(&&json!(12))
            })
            .await?;
    }
    assert_eq!(documents[0].1.value, documents[1].1.value);
    let foreign = [("Content-Type", "application/json"), ("Origin", "https://evil.example")];
    let refused = http::request("POST", &address, "/demo/rename", &foreign, r#"{"user":1,"name":"x"}"#).await?;
    assert_eq!(refused.status, 403, "a foreign page presses no buttons");

    let postgres = folder_of(demo.id).context("the demo has a Postgres")?;
    assert!(!users_of(&postgres).is_empty());
    demo.signal("INT").await?;
    assert!(demo.ended().await?.success(), "{}", demo.log());
    is_gone(&postgres).await?;
    assert_eq!(fs::read_dir(folder.path())?.count(), 0, "it writes nothing where it is started");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_demo_leaves_nothing_either() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut demo, _) = start(folder.path()).await?;
    let postgres = folder_of(demo.id).context("the demo has a Postgres")?;
    demo.kill().await?;
    is_gone(&postgres).await
}
