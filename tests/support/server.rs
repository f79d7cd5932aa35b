//! The built binary, started and stopped from outside.

use std::fs;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::http::{self, Response};
use super::watchdog::Watchdog;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_sangre");
/// A debug build on a busy machine takes its time.
const START: Duration = Duration::from_secs(120);

/// A running program and everything it printed.
pub struct Running {
    child: Child,
    pub id: u32,
    log: watch::Receiver<Vec<String>>,
    watchdog: Option<Watchdog>,
}

/// `sangre serve` on ports of its own.
pub struct Server {
    pub running: Running,
    /// Where clients connect, such as `127.0.0.1:4000`.
    pub address: String,
    pub admin: String,
    folder: TempDir,
}

/// A configuration for a database: loopback, free ports, no authentication.
pub fn config(url: &str, queries: Value) -> Value {
    json!({ "database": url, "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "queries": queries })
}

impl Running {
    /// Starts a program; what it prints is kept line by line.
    pub fn start(arguments: &[&str], folder: &Path) -> Result<Running> {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).current_dir(folder);
        Running::spawn(command)
    }

    /// Starts another program in the same way.
    pub fn spawn(mut command: Command) -> Result<Running> {
        command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().with_context(|| format!("cannot run {command:?}"))?;
        let id = child.id().context("it has just been started")?;
        let watchdog = Watchdog::new(&format!("kill -9 {id}"), None)?;
        let (sender, log) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        collect(child.stdout.take().context("piped")?, sender.clone());
        collect(child.stderr.take().context("piped")?, sender);
        Ok(Running { child, id, log, watchdog: Some(watchdog) })
    }

    /// Everything printed so far.
    pub fn log(&self) -> String {
        self.log.borrow().join("\n")
    }

    /// Waits for a line that says this, and gives it.
    pub async fn line(&mut self, wanted: &str) -> Result<String> {
        self.line_within(wanted, START).await
    }

    /// The same with a patience of the caller's.
    pub async fn line_within(&mut self, wanted: &str, patience: Duration) -> Result<String> {
        let mut log = self.log.clone();
        let found = async {
            loop {
                if let Some(line) = log.borrow_and_update().iter().find(|line| line.contains(wanted)) {
                    return Some(line.clone());
                }
                if log.changed().await.is_err() {
                    return None;
                }
            }
        };
        match timeout(patience, found).await {
            Ok(Some(line)) => Ok(line),
            _ => bail!("the program did not print {wanted:?}; it printed:\n{}", self.log()),
        }
    }

    /// Waits until all it printed is as wanted: that comes through a pipe, some time after it was said.
    pub async fn said(&self, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let mut log = self.log.clone();
        let found = timeout(START, log.wait_for(|lines| wanted(&lines.join("\n")))).await;
        found.with_context(|| self.log())?.with_context(|| self.log())?;
        Ok(())
    }

    /// Sends a signal such as `INT`.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").args([format!("-{name}"), self.id.to_string()]).status().await?;
        anyhow::ensure!(status.success(), "cannot signal {}", self.id);
        Ok(())
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let status =
            timeout(START, self.child.wait()).await.with_context(|| format!("it goes on:\n{}", self.log()))??;
        self.dismiss();
        Ok(status)
    }

    /// Ends it at once, as a crash would.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await?;
        self.dismiss();
        Ok(())
    }

    /// The number of a process that has ended may come to name another.
    fn dismiss(&mut self) {
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.dismiss();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        self.dismiss();
    }
}

fn collect(stream: impl AsyncRead + Unpin + Send + 'static, sender: Arc<watch::Sender<Vec<String>>>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            sender.send_modify(|log| log.push(line));
        }
    });
}

impl Server {
    /// Starts a server with this configuration and waits until it streams.
    pub async fn start(config: &Value) -> Result<Server> {
        Server::start_with(config, &[]).await
    }

    /// The same with these variables in its environment.
    pub async fn start_with(config: &Value, environment: &[(&str, &str)]) -> Result<Server> {
        let server = Server::listening_with(config, environment).await?;
        server.ready().await?;
        Ok(server)
    }

    /// Starts a server and waits until it listens.
    pub async fn listening(config: &Value) -> Result<Server> {
        Server::listening_with(config, &[]).await
    }

    async fn listening_with(config: &Value, environment: &[(&str, &str)]) -> Result<Server> {
        Server::listening_as(Path::new(PROGRAM), config, environment).await
    }

    /// The same, where the program under test is the file `program`.
    pub async fn listening_as(program: &Path, config: &Value, environment: &[(&str, &str)]) -> Result<Server> {
        let folder = tempfile::Builder::new().prefix("sangre-test-").tempdir()?;
        write_config(folder.path(), config)?;
        let (running, address, admin) = Server::run(program, folder.path(), environment).await?;
        Ok(Server { running, address, admin, folder })
    }

    async fn run(program: &Path, folder: &Path, environment: &[(&str, &str)]) -> Result<(Running, String, String)> {
        let mut command = Command::new(program);
        command.args(["serve", "-c", "sangre.yaml"]).current_dir(folder).envs(environment.iter().copied());
        let mut running = Running::spawn(command)?;
        let line = running.line("listening on http://").await?;
        let clients = address(&line, "listening on http://")?;
        let admin = address(&line, "admin on http://")?;
        Ok((running, clients, admin))
    }

    /// Starts the same server again, on new ports, after its process has ended.
    pub async fn restart(&mut self) -> Result<()> {
        (self.running, self.address, self.admin) = Server::run(Path::new(PROGRAM), self.folder.path(), &[]).await?;
        self.ready().await
    }

    /// Waits until the admin port says that it streams.
    pub async fn ready(&self) -> Result<()> {
        self.readiness(200).await
    }

    /// Waits until `/readyz` answers with this status.
    pub async fn readiness(&self, status: u16) -> Result<()> {
        let deadline = Instant::now() + START;
        let asking = async {
            loop {
                let answer = http::get(&self.admin, "/readyz", &[]).await;
                let answer = answer.with_context(|| format!("the log:\n{}", self.running.log()))?;
                if answer.status == status {
                    return Ok(());
                }
                // The admin port tells its state only when asked.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout_at(deadline, asking)
            .await
            .with_context(|| format!("/readyz does not answer {status}; log:\n{}", self.running.log()))?
    }

    /// Waits until every node has been loaded, or could not be.
    pub async fn nodes_loaded(&self) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            let nodes = http::get(&self.admin, "/nodes", &[]).await?.json()?;
            let settled = |node: &Value| !node["version"].is_null() || !node["error"].is_null();
            if nodes.as_array().is_some_and(|nodes| nodes.iter().all(settled)) {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "nodes are not loaded: {nodes}\n{}", self.running.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn get(&self, path: &str) -> Result<Response> {
        http::get(&self.address, path, &[]).await
    }

    /// Where its configuration is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces the configuration file in one step.
    pub fn rewrite(&self, config: &Value) -> Result<()> {
        write_config(self.folder.path(), config)
    }

    /// Asks it to end and waits until it has.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        self.end().await
    }

    /// The same, and gives all it printed.
    pub async fn stop_and_tell(mut self) -> Result<String> {
        self.end().await?;
        // Until both pipes are at their ends.
        while self.running.log.changed().await.is_ok() {}
        Ok(self.running.log())
    }

    async fn end(&mut self) -> Result<ExitStatus> {
        self.running.signal("INT").await?;
        self.running.ended().await
    }
}

/// The host and port that follow these words in a line of the log.
pub fn address(line: &str, after: &str) -> Result<String> {
    let rest = line.split(after).nth(1).with_context(|| format!("{after:?} is not in {line:?}"))?;
    let ends = |c: char| !(c.is_ascii_alphanumeric() || ".:[]".contains(c));
    Ok(rest.split(ends).next().unwrap_or_default().to_owned())
}

fn write_config(folder: &Path, config: &Value) -> Result<()> {
    let next = folder.join("sangre.yaml.new");
    // JSON is YAML.
    fs::write(&next, serde_json::to_string_pretty(config)?)?;
    Ok(fs::rename(next, folder.join("sangre.yaml"))?)
}

/// Runs the program to its end: its status, and everything it printed.
pub async fn run(arguments: &[&str], folder: &Path) -> Result<(ExitStatus, String)> {
    let output = output(arguments, folder).await?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status, String::from_utf8_lossy(&text).into_owned()))
}

/// The same without the log on standard error.
pub async fn run_for_output(arguments: &[&str], folder: &Path) -> Result<(ExitStatus, String)> {
    let output = output(arguments, folder).await?;
    Ok((output.status, String::from_utf8_lossy(&output.stdout).into_owned()))
}

async fn output(arguments: &[&str], folder: &Path) -> Result<std::process::Output> {
    let child = Command::new(PROGRAM)
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    Ok(timeout(START, child).await.with_context(|| format!("{arguments:?} goes on"))??)
}

/// What `sangre serve` or `sangre check` says of a configuration.
pub async fn verdict(command: &str, config: &Value) -> Result<(ExitStatus, String)> {
    let folder = tempfile::tempdir()?;
    write_config(folder.path(), config)?;
    run(&[command, "-c", "sangre.yaml"], folder.path()).await
}
