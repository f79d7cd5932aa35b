//! One client's way through a document's states.
//!
//! A follower holds what the client holds: the state it was sent last. Each emission is turned into a step from there, so
//! one that fell behind is sent a single step over all it missed, and one that comes back starts from its own state.

use futures_util::future::BoxFuture;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::documents::{News, Opened, step};
use super::handle::{Ask, Code, Event, Problem, State, Status, Subscription, Update};
use super::open::{AFTER, Handle, gone, late, problem};
use crate::data::Value;
use crate::diff;
use crate::revision::{Emission, Revision};

/// See the module.
pub(super) struct Follower {
    handle: Handle,
    /// To ask again, if the query changes.
    ask: Ask,
    opened: Opened,
    status: watch::Receiver<Status>,
    /// What the client holds; `None` before the first update.
    holds: Option<(Revision, Value)>,
    /// What the client was told last; it assumes that all is well.
    told: (State, Option<Code>),
    started: bool,
    /// Until when the client waits for the position it asked for.
    patience: Instant,
    /// Asking again, since the query has changed. (Kept here, so that who stops waiting for it loses nothing.)
    reopening: Option<BoxFuture<'static, Result<Opened, Problem>>>,
}

impl Follower {
    pub(super) fn new(handle: Handle, ask: Ask, mut opened: Opened) -> Self {
        let mut status = handle.shared.status.subscribe();
        // What changed since the writer answered has to be looked at, too.
        status.mark_changed();
        let holds = opened.base.take();
        let patience = Instant::now() + AFTER;
        let told = (State::Live, None);
        Follower { handle, ask, opened, status, holds, told, started: false, patience, reopening: None }
    }

    async fn advance(&mut self) -> Result<Event, Problem> {
        loop {
            if let Some(reopening) = &mut self.reopening {
                let opened = reopening.await;
                self.reopening = None;
                // Whatever the client holds is of another query.
                (self.opened, self.holds, self.started) = (opened?, None, false);
            }
            if !self.started
                && self.opened.waits_for.is_none()
                && let Some(newest) = self.opened.newest.take()
            {
                return self.first(&newest);
            }
            if self.started
                && let Some(status) = self.news_of_status()
            {
                return Ok(Event::Status(status));
            }
            let waits = !self.started && self.opened.waits_for.is_some();
            tokio::select! {
                news = self.opened.news.recv() => {
                    if let Some(event) = self.take(news)? {
                        return Ok(event);
                    }
                }
                changed = self.status.changed() => {
                    changed.map_err(|_| gone())?;
                    self.give_up()?;
                }
                // An error: the document is gone, and so says its news.
                Ok(()) = self.opened.held.changed() => {}
                () = tokio::time::sleep_until(self.patience), if waits => return Err(late()),
            }
        }
    }

    /// A client without a document is not left waiting for a database that is away.
    fn give_up(&mut self) -> Result<(), Problem> {
        let away = self.status.borrow().state == State::Stale;
        // Who waits for a position is patient for a while: what came before it may not be shown.
        if away && !self.started && self.opened.newest.is_none() && self.opened.waits_for.is_none() {
            return Err(self.handle.shared.unavailable());
        }
        Ok(())
    }

    fn take(&mut self, news: Result<News, broadcast::error::RecvError>) -> Result<Option<Event>, Problem> {
        match news {
            Ok(News::Emission(emission)) if self.started => self.next_step(&emission),
            // The state that a node was awaited for, older than what the client waits for: more follows.
            Ok(News::Emission(emission)) if self.opened.waits_for > Some(emission.revision().lsn()) => {
                self.opened.newest = Some(emission);
                Ok(None)
            }
            Ok(News::Emission(emission)) => self.first(&emission).map(Some),
            Ok(News::Changed) => {
                let (handle, ask) = (self.handle.clone(), Ask { resume: None, ..self.ask.clone() });
                self.reopening = Some(Box::pin(async move { handle.open(&ask).await }));
                Ok(None)
            }
            Ok(News::Settled) => self.settle(),
            Ok(News::Ended(problem)) => Err(problem),
            // The emissions that are left say where to; what was missed is in the step.
            Err(broadcast::error::RecvError::Lagged(_)) => Ok(None),
            Err(broadcast::error::RecvError::Closed) => Err(gone()),
        }
    }

    /// The state there was when the follower came includes all it has to.
    fn settle(&mut self) -> Result<Option<Event>, Problem> {
        match self.opened.newest.take() {
            Some(newest) if !self.started => self.first(&newest).map(Some),
            _ => Ok(None),
        }
    }

    fn first(&mut self, newest: &Emission) -> Result<Event, Problem> {
        self.refuse_too_large(newest)?;
        self.started = true;
        self.opened.newest = None;
        let root = newest.root().clone();
        let update = match self.holds.take() {
            Some(from) => {
                let patch = step(&from, newest, &self.handle.shared.memo);
                // What looks the same goes on under the name the client has for it.
                let revision = if diff::is_empty(&patch) { from.0 } else { newest.revision() };
                Update::step(revision, root, from.0, from.1).with_patch(patch)
            }
            None => Update::whole(newest.revision(), root).with_document_text(newest.text()),
        };
        self.holds = Some((update.revision, newest.root().clone()));
        Ok(Event::Update(update))
    }

    /// A step to this state; nothing, if it looks the same to the client.
    fn next_step(&mut self, emission: &Emission) -> Result<Option<Event>, Problem> {
        // Before anything is written: what is too large to be sent is too large to be compared.
        self.refuse_too_large(emission)?;
        let Some(from) = self.holds.take() else { return Ok(None) };
        let span = tracing::trace_span!(target: "sangre::stages", "diff", lsn = %emission.revision().lsn());
        let patch = span.in_scope(|| step(&from, emission, &self.handle.shared.memo));
        if diff::is_empty(&patch) {
            self.holds = Some((from.0, emission.root().clone()));
            return Ok(None);
        }
        let root = emission.root().clone();
        self.holds = Some((emission.revision(), root.clone()));
        Ok(Some(Event::Update(Update::step(emission.revision(), root, from.0, from.1).with_patch(patch))))
    }

    fn refuse_too_large(&self, state: &Emission) -> Result<(), Problem> {
        match state.is_longer_than(self.handle.shared.document_bytes) {
            true => Err(problem(Code::DocumentTooLarge, "the document is larger than allowed")),
            false => Ok(()),
        }
    }

    /// The status, if it is another than the client was told.
    fn news_of_status(&mut self) -> Option<Status> {
        let mut status = self.status.borrow_and_update().clone();
        let held = *self.opened.held.borrow_and_update();
        if status.state == State::Live {
            status.since = status.since.max(held.since);
            if held.is_degraded() {
                (status.state, status.code) = (State::Degraded, Some(Code::NodeUnavailable));
            }
        }
        let now = (status.state, status.code);
        (std::mem::replace(&mut self.told, now) != now).then_some(status)
    }
}

impl Subscription for Follower {
    fn next(&mut self) -> BoxFuture<'_, Result<Event, Problem>> {
        Box::pin(self.advance())
    }
}
