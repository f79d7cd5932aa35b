//! A client of the oracle: follows one document through several connections and keeps everything it was told.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::case::Subscription;
use super::client::{Client, Said, Transport, with_query};
use super::dice::Dice;
use super::document::Document;
use super::http;
use super::writers::Progress;

/// How long the first message of a connection may take.
const FIRST: Duration = Duration::from_secs(30);

/// How long a client that was turned away waits before it tries again.
const PAUSE: Duration = Duration::from_millis(30);

/// The messages that led, one on the other, to one document.
#[derive(Clone, Debug)]
pub struct Track {
    /// Index into the case's subscriptions.
    pub subscription: usize,
    pub messages: Vec<Value>,
}

/// A client at work.
pub struct Follower {
    pub subscription: usize,
    /// What it holds now.
    pub document: watch::Receiver<Document>,
    pub ended: JoinHandle<Result<Vec<Track>>>,
}

/// What all clients of a case have in common.
#[derive(Clone, Debug)]
pub struct Stage {
    pub address: String,
    /// How many transactions there will be.
    pub total: usize,
    /// Whether the server may say that it cannot serve for now.
    pub patient: bool,
}

/// Starts a client.
pub fn start(
    stage: Stage,
    number: usize,
    subscription: &Subscription,
    progress: Progress,
    stopped: watch::Receiver<bool>,
) -> Follower {
    let (sender, document) = watch::channel(Document::default());
    let life = Life {
        stage,
        path: subscription.path.clone(),
        dice: Dice::new(subscription.client),
        held: sender,
        tracks: vec![Track { subscription: number, messages: Vec::new() }],
        progress,
        stopped,
    };
    Follower { subscription: number, document, ended: tokio::spawn(life.live()) }
}

struct Life {
    stage: Stage,
    path: String,
    dice: Dice,
    held: watch::Sender<Document>,
    tracks: Vec<Track>,
    progress: Progress,
    stopped: watch::Receiver<bool>,
}

/// How a connection ended.
enum End {
    /// It was time to leave.
    Left,
    /// The server cannot serve for now.
    TurnedAway,
}

impl Life {
    /// Connects, follows, leaves and comes back, until told to stop; the last connection lasts until then.
    async fn live(mut self) -> Result<Vec<Track>> {
        let total = self.stage.total;
        let mut leaves: Vec<usize> =
            (0..self.dice.weighted(&[3, 3, 2, 1])).map(|_| self.dice.between(1, total)).collect();
        leaves.sort_unstable();
        if self.dice.chance(0.3) {
            let late = self.dice.between(1, total);
            self.progress.wait_for(|done| *done >= late).await?;
        }
        for leave in leaves.into_iter().map(Some).chain([None]) {
            self.visit(leave).await?;
            if leave.is_some() {
                let back = *self.progress.borrow() / 2 + self.dice.between(0, total / 2);
                self.progress.wait_for(|done| *done >= back).await?;
                if self.dice.chance(0.2) {
                    self.forget();
                }
            }
        }
        Ok(self.tracks)
    }

    /// One stay, until so many transactions have ended; as many connections as it takes.
    async fn visit(&mut self, leave: Option<usize>) -> Result<()> {
        let transport = match self.dice.weighted(&[4, 3, 1]) {
            0 => Transport::WebSocket,
            1 => Transport::Sse,
            // A poll has no connection to stay on, so it is never the last.
            _ if leave.is_some() => return self.poll().await,
            _ => Transport::WebSocket,
        };
        while matches!(self.follow(transport, leave).await?, End::TurnedAway) {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = self.stopped.wait_for(|stop| *stop) => return Ok(()),
            }
        }
        Ok(())
    }

    /// One connection.
    async fn follow(&mut self, transport: Transport, leave: Option<usize>) -> Result<End> {
        let revision = self.held.borrow().revision.clone();
        let mut client = match Client::open(&self.stage.address, &self.path, transport, revision.as_deref()).await {
            Err(error) if self.stage.patient && error.to_string().starts_with("503") => return Ok(End::TurnedAway),
            opened => opened?,
        };
        self.held.send_modify(|document| document.resuming = document.revision.is_some());
        loop {
            // Only a first document is owed; after that there may be nothing to say.
            let patience = if self.held.borrow().revision.is_none() { FIRST } else { Duration::MAX };
            let said = tokio::select! {
                said = timeout(patience, client.next()) => said.context("no first document")??,
                _ = self.progress.wait_for(|done| leave.is_some_and(|leave| *done >= leave)), if leave.is_some() => {
                    return Ok(End::Left);
                }
                _ = self.stopped.wait_for(|stop| *stop) => return Ok(End::Left),
            };
            match said {
                Said::Patch(message) => self.take(message)?,
                Said::Status(_) => {}
                Said::Problem(problem) if self.stage.patient && problem["retry"] == true => return Ok(End::TurnedAway),
                other => bail!("{} over {transport:?}: {other:?}", self.path),
            }
        }
    }

    /// `GET`, with what is held if anything is.
    async fn poll(&mut self) -> Result<()> {
        let revision = self.held.borrow().revision.clone();
        let path = revision.as_ref().map_or(self.path.clone(), |revision| with_query(&self.path, "revision", revision));
        let answer = http::get(&self.stage.address, &path, &[]).await?;
        if answer.status == 304 || (answer.status == 503 && self.stage.patient) {
            return Ok(());
        }
        anyhow::ensure!(answer.status == 200, "GET {path}: {} {}", answer.status, answer.text());
        match revision {
            None => self.take(serde_json::json!({
                "revision": answer.revision()?, "from": null,
                "patch": [{"op": "replace", "path": "", "value": answer.json()?}],
            })),
            Some(held) => {
                let message = answer.json()?;
                // Nothing has changed: the same revision, or a later one, and an empty patch or none.
                let nothing =
                    message["patch"].as_array().is_none_or(Vec::is_empty) || message["revision"] == held.as_str();
                if nothing { Ok(()) } else { self.take(message) }
            }
        }
    }

    fn take(&mut self, message: Value) -> Result<()> {
        let mut result = Ok(());
        self.held.send_modify(|document| result = document.apply(&message));
        result.with_context(|| format!("{} {message}", self.path))?;
        self.tracks.last_mut().expect("there is always one").messages.push(message);
        Ok(())
    }

    /// Goes on as a client that never was here.
    fn forget(&mut self) {
        self.held.send_replace(Document::default());
        let subscription = self.tracks[0].subscription;
        self.tracks.push(Track { subscription, messages: Vec::new() });
    }
}
