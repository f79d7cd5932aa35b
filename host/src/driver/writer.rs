//! The writer's loop: one event at a time into the engine, its effects out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::documents::{Asked, Document, News, Opened, Standing, name};
use super::handle::{Code, State};
use super::live::Live;
use super::node::Change;
use super::nodes::Nodes;
use super::open::{Command, Refused, Shared, problem};
use super::replan::{Next, Trying, Why};
use super::setup::Pauses;
use super::starving::Starving;
use super::transaction::Transaction;
use super::{DriverError, Options};
use crate::data::{Answer, TableId, Upquery, UpqueryError};
use crate::dataflow::guest::GuestCall;
use crate::dataflow::plan::Plan;
use crate::dataflow::{Blocked, Effects, Engine, Limits};
use crate::query::{Bound, Compiled, Routes};
use crate::source::{History, Source, SourceEvent, SourceEvents, Started};
use crate::wasm::NodeEvent;

/// How often what time alone decides is looked at.
const TICK: Duration = Duration::from_millis(50);

/// How often an upquery is tried before it goes back to the engine.
const TRIES: usize = 3;

/// How often documents that nobody follows are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// How often the engine is given a snapshot at least: Postgres would need 300,000 transactions a second to use up 2^30 ids.
const REFRESH: Duration = Duration::from_secs(3600);

/// An answer whose snapshot came too early is asked for again after this long.
const AGAIN: Duration = Duration::from_millis(2);

/// See the module.
pub(super) struct Writer {
    pub(super) options: Arc<Options>,
    pub(super) shared: Arc<Shared>,
    pub(super) source: Arc<dyn Source>,
    pub(super) nodes: Nodes,
    pub(super) plan: Arc<Plan>,
    pub(super) routes: Arc<Routes>,
    /// Counts plans.
    pub(super) generation: u64,
    /// `None` until the stream begins.
    pub(super) engine: Option<Engine>,
    origin: History,
    pub(super) live: Live,
    /// Number of documents ever opened, from a number that no other run began with.
    instances: u64,
    /// Why there is no stream, as the log has it.
    lost: Option<String>,
    /// The transaction being received.
    transaction: Option<Transaction>,
    pub(super) upqueries: JoinSet<(u64, Result<Answer, UpqueryError>)>,
    guests: JoinSet<Vec<Arc<GuestCall>>>,
    pub(super) chores: JoinSet<Chore>,
    provoking: bool,
    pub(super) planning: bool,
    /// The plan to go on with when the source streams its tables.
    pub(super) next: Option<(Arc<Plan>, Arc<Routes>)>,
    /// What is to be planned when the planning under way is done.
    pub(super) plan_next: Next,
    /// More wait than what is done now: what can be done beside the writer is not done by it.
    hurried: bool,
    /// A table to be read anew at the next tick.
    contradiction: Option<TableId>,
    pub(super) trying: Option<Trying>,
    /// When `plan_next` is planned, if not at once.
    pub(super) replan_at: Option<Instant>,
    /// At the last tick an answer waited for a position.
    stalled: bool,
    pub(super) starving: Starving,
    /// When documents were last swept.
    swept: Instant,
    /// When the engine was last refreshed.
    refreshed: Instant,
}

/// Something that took its time.
pub(super) enum Chore {
    Provoked,
    Planned(Why, Box<Result<Compiled, DriverError>>),
}

impl Writer {
    pub(super) fn new(
        options: Arc<Options>,
        shared: Arc<Shared>,
        compiled: Compiled,
        nodes: Nodes,
        source: Arc<dyn Source>,
    ) -> Self {
        Writer {
            options,
            shared,
            source,
            nodes,
            plan: Arc::new(compiled.plan),
            routes: Arc::new(compiled.routes),
            generation: 0,
            engine: None,
            origin: History::default(),
            live: Live::default(),
            instances: u64::from_le_bytes(random()),
            lost: None,
            transaction: None,
            upqueries: JoinSet::new(),
            guests: JoinSet::new(),
            chores: JoinSet::new(),
            provoking: false,
            planning: false,
            next: None,
            plan_next: Next::default(),
            trying: None,
            hurried: false,
            contradiction: None,
            replan_at: None,
            stalled: false,
            starving: Starving::default(),
            swept: Instant::now(),
            refreshed: Instant::now(),
        }
    }

    pub(super) async fn run(
        mut self,
        events: &mut SourceEvents,
        mut commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
    ) -> Result<(), DriverError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.hurried = events.len() + commands.len() > 1;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                event = events.recv(), if !self.stands_still() => match event {
                    Some(event) => self.source_event(event)?,
                    None => return Ok(()),
                },
                Some(command) = commands.recv() => self.command(command),
                Some(answer) = self.upqueries.join_next() => {
                    // An aborted task belongs to a stream that is over.
                    if let Ok((id, answer)) = answer {
                        self.answer(id, answer);
                    }
                }
                Some(calls) = self.guests.join_next() => {
                    let calls = calls.expect("the node host answers every call");
                    self.answered(&calls);
                    let (abandoned, asked) = self.nodes.finished(&calls);
                    asked.into_iter().for_each(|batch| drop(self.guests.spawn(batch)));
                    if let Some(engine) = &mut self.engine {
                        engine.abandoned(abandoned);
                    }
                }
                Some(chore) = self.chores.join_next() => {
                    self.chore_done(chore.expect("chores do not panic"))?;
                }
                event = self.nodes.event() => {
                    self.node_event(event);
                }
                _ = tick.tick() => self.tick(),
            }
        }
    }

    fn node_event(&mut self, event: NodeEvent) {
        let were_known = self.nodes.are_known();
        let change = self.nodes.take(event, &self.shared);
        self.take_if_loaded();
        let is_new = change.is_some();
        change.into_iter().for_each(|change| self.change(change));
        if !self.nodes.are_known() || (were_known && !is_new) {
            return;
        }
        // Who has waited for a node that does not load is told now; who waits for its first answers is not, or not any more.
        if let Some(engine) = &mut self.engine {
            engine.tell_held_anew();
            for (&key, document) in &self.live.by_key {
                document.blocked(engine.blocked(key));
            }
        }
        if !were_known && self.shared.status.borrow().state == State::Live {
            self.shared.set_health(Vec::new());
        }
    }

    /// Every commit arrives from now on.
    fn set_live(&self) {
        self.shared.set_status(None, Vec::new());
        if !self.nodes.are_known() {
            self.shared.set_health(vec!["nodes are being loaded for the first time".into()]);
        }
    }

    fn source_event(&mut self, event: SourceEvent) -> Result<(), DriverError> {
        match event {
            SourceEvent::Starting { waiting_for } => {
                tracing::info!("the stream cannot begin yet: {waiting_for}");
                self.shared.set_status(Some(Code::Starting), vec![waiting_for]);
            }
            SourceEvent::Started(started) => self.started(started),
            SourceEvent::Begin { xid } => self.transaction = Some(Transaction::begin(xid)),
            SourceEvent::Changes(changes) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.extend(changes);
                }
            }
            SourceEvent::Commit { end } => {
                if let Some(transaction) = self.transaction.take() {
                    let _span = tracing::trace_span!(target: "sangre::stages", "step", lsn = %end).entered();
                    self.live.commit = Some(end);
                    self.shared.tally.commits.add(1);
                    self.step(|engine| transaction.commit(end, engine));
                    self.live.commit = None;
                }
            }
            SourceEvent::Position(position) => self.step(|engine| engine.advance(position)),
            SourceEvent::TableChanged { table, reason, replan } => {
                let label = self.plan.tables.get(table.0 as usize).map(|table| table.label());
                tracing::info!("table {} changed: {reason}", label.unwrap_or_default());
                if replan {
                    self.plan_anew(Why::Tables);
                } else {
                    self.step(|engine| engine.table_changed(table));
                }
            }
            SourceEvent::Lost { reason } => {
                // Each attempt to come back says so again.
                if self.lost.as_ref() != Some(&reason) {
                    tracing::warn!("the stream broke off: {reason}");
                    self.lost = Some(reason);
                }
                self.transaction = None;
                let reasons = vec!["the stream from the database broke off: the log says why".into()];
                self.shared.set_status(Some(Code::DatabaseUnreachable), reasons);
            }
            SourceEvent::Failed(error) => return Err(DriverError::Source(error.into())),
        }
        Ok(())
    }

    /// A stream begins: what was known is asked for anew.
    fn started(&mut self, started: Started) {
        match self.next.take_if(|(plan, _)| plan.tables == *started.tables) {
            Some((plan, routes)) => self.begin_with(plan, routes),
            // Of tables that were replaced meanwhile: another beginning follows.
            None if *started.tables != self.plan.tables => return,
            None => {}
        }
        (self.transaction, self.lost) = (None, None);
        // With the tasks go answers that nobody has taken yet.
        self.upqueries = JoinSet::new();
        let (history, position) = (&started.history, started.position);
        tracing::info!("streaming from {position} on, timeline {} since {}", history.timeline, history.timeline_start);
        self.origin = started.history;
        self.live.by_key.values_mut().for_each(Document::begin_anew);
        let effects = match &mut self.engine {
            Some(engine) => engine.reset(started.snapshot, started.position),
            None => {
                let plan = self.plan.clone();
                let limits =
                    Limits { list_elements: self.options.list_elements, upqueries: self.options.source.connections };
                self.new_engine(Engine::new(plan, started.snapshot, started.position, limits, random()))
            }
        };
        self.perform(effects);
        self.serve();
        self.set_live();
    }

    fn step(&mut self, event: impl FnOnce(&mut Engine) -> Effects) {
        if let Some(engine) = &mut self.engine {
            let effects = event(engine);
            self.perform(effects);
        }
    }

    pub(super) fn perform(&mut self, effects: Effects) {
        if let Some(first) = effects.emissions.first() {
            tracing::trace!(target: "sangre::stages", lsn = %first.position, "emitted");
        }
        // Who asks once is told with the first state how it is; for others it is soon enough at the next sweep.
        if self.live.begins_with_nodes(&effects.emissions) {
            self.note_failing();
        }
        self.shared.tally.emissions.add(effects.emissions.len());
        self.shared.tally.upqueries.add(effects.upqueries.len());
        self.live.emit(&self.plan, &self.origin, effects.emissions);
        for key in effects.unchanged {
            if self.engine.as_ref().is_some_and(|engine| engine.is_settled(key)) {
                self.tell(key, News::Settled);
            }
        }
        for (key, reason) in effects.blocked {
            self.starving.blocked(key, reason);
            // A node that was never loaded yet may come any moment.
            let tell = reason != Some(Blocked::Held) || self.nodes.are_known();
            self.live.blocked(key, reason, tell);
        }
        for upquery in effects.upqueries {
            let delay = if effects.again { AGAIN } else { Duration::ZERO };
            self.upqueries.spawn(ask(self.source.clone(), upquery, delay));
        }
        let (answered, asked) = tracing::trace_span!(target: "sangre::stages", "nodes")
            .in_scope(|| self.nodes.evaluate(effects.calls, !self.hurried));
        for batch in asked {
            self.guests.spawn(batch);
        }
        if effects.release_snapshot {
            tracing::debug!(
                stages = self.engine.as_ref().map_or(0, |engine| engine.size().stages),
                "that reading is over"
            );
            self.source.release_snapshot();
        }
        if effects.provoke {
            self.provoke();
        }
        if let Some(table) = effects.contradiction {
            let label = self.plan.tables[table.0 as usize].label();
            tracing::error!("rows of table {label} are not what the stream said: they are read anew");
            self.contradiction = Some(table);
        }
        if let Some(engine) = &self.engine {
            let position = engine.position();
            self.shared.position.send_if_modified(|at| std::mem::replace(at, position) != position);
        }
        if !answered.is_empty() {
            self.answered(&answered);
        }
    }

    /// Another version is to be asked from now on, or everything anew.
    fn change(&mut self, Change { node, version, tick }: Change) {
        self.step(|engine| engine.node_changed(node, version, tick));
    }

    /// Guests have answered these.
    fn answered(&mut self, calls: &[Arc<GuestCall>]) {
        for Change { node, version, tick } in self.nodes.judge(calls, self.engine.as_ref(), &self.shared) {
            self.step(|engine| engine.withdraw(node, version, tick));
        }
        calls.iter().for_each(|call| call.release());
        let _span = tracing::trace_span!(target: "sangre::stages", "answers").entered();
        self.step(|engine| engine.answered(calls));
    }

    fn tell(&self, key: crate::dataflow::DocumentKey, news: News) {
        if let Some(document) = self.live.by_key.get(&key) {
            document.tell(news);
        }
    }

    fn answer(&mut self, id: u64, answer: Result<Answer, UpqueryError>) {
        match answer {
            Ok(answer) => self.step(|engine| engine.found(answer)),
            Err(UpqueryError::Definite(reason)) => {
                tracing::error!("the database does not answer a query: {reason}");
                self.step(|engine| engine.refused(id));
            }
            Err(error) => {
                tracing::warn!("the database does not answer yet: {error}");
                self.step(|engine| engine.failed(id));
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Open { bound, generation, asked, reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.open(bound, generation, &asked));
            }
            Command::Provoke => self.provoke(),
            Command::Reload { node, reply } => self.nodes.reload(node, reply),
            Command::Refuse(problems) => self.give_up_for(problems),
            Command::Replace { queries, tables, nodes } => {
                let options = Options { queries, tables, nodes, ..(*self.options).clone() };
                self.plan_anew(Why::Configuration(Arc::new(options)));
            }
        }
    }

    fn open(&mut self, bound: Bound, generation: u64, asked: &Asked) -> Result<Opened, Refused> {
        if generation != self.generation {
            return Err(Refused::OldPlan);
        }
        if self.engine.is_none() {
            return Err(Refused::Problem(self.shared.unavailable()));
        }
        let name = name(&self.plan, bound.document, &bound.params);
        let key = match self.live.by_name.get(&name) {
            Some(&key) => key,
            None => {
                self.make_room()?;
                let Some(engine) = &mut self.engine else { return Err(Refused::Problem(self.shared.unavailable())) };
                let (key, effects) = engine.open(bound.document, &bound.params);
                self.instances = self.instances.wrapping_add(1);
                let definition = self.live.definition(&self.plan, &self.routes, bound.document);
                self.live.insert(key, Document::new(&self.plan, name, bound.params, definition, self.instances));
                self.perform(effects);
                key
            }
        };
        let gone = || Refused::Problem(problem(Code::Internal, "the document was lost: ask again"));
        let engine = self.engine.as_ref().ok_or_else(gone)?;
        let blocked = engine.blocked(key).filter(|reason| *reason != Blocked::Held || self.nodes.are_known());
        let (settled, position) = (engine.is_settled(key), engine.position());
        let document = self.live.by_key.get_mut(&key).ok_or_else(gone)?;
        let identity = document.identity(&self.plan, &self.origin, engine.versions());
        if let Some(lsn) = asked.resume.filter(|held| held.identity() == identity).map(|held| held.lsn())
            && lsn > position
        {
            return Err(Refused::Ahead(lsn));
        }
        let away = self.shared.status.borrow().state == State::Stale;
        if away && !document.has_state() {
            return Err(Refused::Problem(self.shared.unavailable()));
        }
        document.open(asked, &Standing { identity, position, settled, blocked }).map_err(Refused::Problem)
    }

    /// If there are as many documents as there may be, those that nobody follows make room.
    fn make_room(&mut self) -> Result<(), Refused> {
        if self.live.by_key.len() >= self.options.subscriptions {
            self.live.longest_idle().into_iter().for_each(|key| self.close(key));
        }
        match self.live.by_key.len() < self.options.subscriptions {
            true => Ok(()),
            false => Err(Refused::Problem(problem(Code::TooMany, "too many documents are live: try again later"))),
        }
    }

    fn stands_still(&self) -> bool {
        self.engine.as_ref().is_some_and(Engine::stands_still)
    }

    /// Reads what is missing under one snapshot, if documents have waited too long.
    fn feed(&mut self, now: Instant) {
        if self.stands_still() {
            if self.starving.is_overdue(now) {
                self.step(Engine::end_whole_read);
            }
        } else if self.shared.status.borrow().state == State::Live && self.starving.is_due(now) {
            tracing::debug!("a document waits for long: what is missing is read under one snapshot");
            self.step(Engine::read_whole);
        }
    }

    fn close(&mut self, key: crate::dataflow::DocumentKey) {
        self.starving.closed(key);
        if self.live.remove(key).is_some() {
            self.step(|engine| engine.close(key));
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.swept) >= SWEEP {
            self.swept = now;
            self.sweep(now);
        }
        // Once in a while, not with every commit: each time wakes who streams.
        if let Some(engine) = &self.engine {
            self.source.acknowledge(engine.position());
        }
        if now.duration_since(self.refreshed) >= REFRESH {
            self.refreshed = now;
            self.step(Engine::refresh);
        }
        if self.replan_at.is_some_and(|at| at <= now) {
            self.replan_at = None;
            if let Some(why) = self.plan_next.take() {
                self.plan_anew(why);
            }
        }
        self.feed(now);
        for change in self.nodes.due(now, &self.shared) {
            self.change(change);
        }
        for node in self.nodes.due_retries(now) {
            self.step(|engine| engine.retry(node));
        }
        if let Some(table) = self.contradiction.take() {
            self.step(|engine| engine.table_changed(table));
        }
        // The stream passes a position by itself, but for corner cases (a position at a page's beginning).
        let waits = self.engine.as_ref().is_some_and(Engine::waits_for_position);
        if waits && self.stalled {
            self.provoke();
        }
        self.stalled = waits;
    }

    /// Notes which documents lack something that a node failed on.
    fn note_failing(&mut self) {
        if let Some(engine) = &mut self.engine {
            let failing = if engine.has_failing() { engine.failing_documents() } else { Default::default() };
            self.live.fail(&failing);
        }
    }

    /// Closes the documents that nobody has followed for long.
    fn sweep(&mut self, now: Instant) {
        self.note_failing();
        let abandoned = self.live.sweep(now);
        abandoned.into_iter().for_each(|key| self.close(key));
        self.tally();
    }

    /// Notes for the operator what is held now.
    fn tally(&self) {
        let (Some(engine), tally) = (&self.engine, &self.shared.tally) else { return };
        tally.documents.set(self.live.by_key.len());
        tally.history_bytes.set(self.live.kept());
        tally.rows.set(engine.size().rows);
        for (id, node) in &self.nodes.nodes {
            node.tally.memo_hits.set(engine.memo_hits(*id) as usize);
        }
    }

    fn provoke(&mut self) {
        if !std::mem::replace(&mut self.provoking, true) {
            let provoked = self.source.provoke();
            self.chores.spawn(async move {
                if let Err(error) = provoked.await {
                    tracing::debug!("the stream could not be provoked: {error}");
                }
                Chore::Provoked
            });
        }
    }

    fn chore_done(&mut self, chore: Chore) -> Result<(), DriverError> {
        match chore {
            Chore::Provoked => self.provoking = false,
            Chore::Planned(why, compiled) => {
                self.planning = false;
                self.planned(why, *compiled)?;
                if self.replan_at.is_none()
                    && let Some(why) = self.plan_next.take()
                {
                    self.plan_anew(why);
                }
            }
        }
        Ok(())
    }
}

/// Asks, a few times if need be. What keeps failing goes back to the engine, which asks for less at a time, and so that its log
/// need not reach back for ever.
async fn ask(source: Arc<dyn Source>, upquery: Upquery, delay: Duration) -> (u64, Result<Answer, UpqueryError>) {
    let mut pauses = Pauses::new();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    for _ in 0..TRIES {
        match source.ask(upquery.clone()).await {
            Err(UpqueryError::Definite(reason)) => return (upquery.id, Err(UpqueryError::Definite(reason))),
            // The transaction that keeps the snapshot is broken: asking in it again is no use.
            Err(error) if upquery.under.is_some() => return (upquery.id, Err(error)),
            Err(error) => {
                tracing::debug!("asking again: {error}");
                pauses.pause().await;
            }
            answer => return (upquery.id, answer),
        }
    }
    (upquery.id, source.ask(upquery).await)
}

/// Bytes nobody can guess, from the same place as the standard library's hash keys.
fn random<const N: usize>() -> [u8; N] {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        let hash = RandomState::new().build_hasher().finish().to_le_bytes();
        chunk.copy_from_slice(&hash[..chunk.len()]);
    }
    bytes
}
