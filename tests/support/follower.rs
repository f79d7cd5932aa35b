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

/// Starts a client; `total` is how many transactions there will be.
pub fn start(
    address: &str,
    number: usize,
    subscription: &Subscription,
    total: usize,
    progress: Progress,
    stopped: watch::Receiver<bool>,
) -> Follower {
    let (sender, document) = watch::channel(Document::default());
    let life = Life {
        address: address.to_owned(),
        path: subscription.path.clone(),
        dice: Dice::new(subscription.client),
        held: sender,
        tracks: vec![Track { subscription: number, messages: Vec::new() }],
    };
    let ended = tokio::spawn(life.live(total, progress, stopped));
    Follower { subscription: number, document, ended }
}

struct Life {
    address: String,
    path: String,
    dice: Dice,
    held: watch::Sender<Document>,
    tracks: Vec<Track>,
}

impl Life {
    /// Connects, follows, leaves and comes back, until told to stop; the last connection lasts until then.
    async fn live(
        mut self,
        total: usize,
        mut progress: Progress,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<Vec<Track>> {
        let mut leaves: Vec<usize> =
            (0..self.dice.weighted(&[3, 3, 2, 1])).map(|_| self.dice.between(1, total)).collect();
        leaves.sort_unstable();
        if self.dice.chance(0.3) {
            let late = self.dice.between(1, total);
            progress.wait_for(|done| *done >= late).await?;
        }
        for leave in leaves.into_iter().map(Some).chain([None]) {
            match self.dice.weighted(&[4, 3, 1]) {
                0 => self.follow(Transport::WebSocket, leave, &mut progress, &mut stopped).await?,
                1 => self.follow(Transport::Sse, leave, &mut progress, &mut stopped).await?,
                // A poll has no connection to stay on, so it is never the last.
                _ if leave.is_some() => self.poll().await?,
                _ => self.follow(Transport::WebSocket, leave, &mut progress, &mut stopped).await?,
            }
            if leave.is_some() {
                let back = *progress.borrow() / 2 + self.dice.between(0, total / 2);
                progress.wait_for(|done| *done >= back).await?;
                if self.dice.chance(0.2) {
                    self.forget();
                }
            }
        }
        Ok(self.tracks)
    }

    /// One connection, until so many transactions have ended.
    async fn follow(
        &mut self,
        transport: Transport,
        leave: Option<usize>,
        progress: &mut Progress,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<()> {
        let revision = self.held.borrow().revision.clone();
        let mut client = Client::open(&self.address, &self.path, transport, revision.as_deref()).await?;
        self.held.send_modify(|document| document.resuming = document.revision.is_some());
        if revision.is_none() {
            let first = timeout(FIRST, client.patch()).await.context("no first document")??;
            self.take(first)?;
        }
        loop {
            tokio::select! {
                said = client.next() => match said? {
                    Said::Patch(message) => self.take(message)?,
                    Said::Status(_) => {}
                    other => bail!("{} over {transport:?}: {other:?}", self.path),
                },
                _ = progress.wait_for(|done| leave.is_some_and(|leave| *done >= leave)), if leave.is_some() => return Ok(()),
                _ = stopped.wait_for(|stop| *stop) => return Ok(()),
            }
        }
    }

    /// `GET`, with what is held if anything is.
    async fn poll(&mut self) -> Result<()> {
        let revision = self.held.borrow().revision.clone();
        let path = revision.as_ref().map_or(self.path.clone(), |revision| with_query(&self.path, "revision", revision));
        let answer = http::get(&self.address, &path, &[]).await?;
        if answer.status == 304 {
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
