//! Another plan in place of the one before: because the configuration changed, or the database's tables did.
//!
//! Documents move over if their queries are defined as they were; their followers notice at most a pause. The plan before is
//! served until the new one can be: at once if the stream tells all of its tables already, else when a new one begins.
//!
//! A node whose entry changed is another node. Where one that runs is replaced by it, the change is taken once the new one is loaded; one that
//! cannot be loaded takes nothing from anybody.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::documents::News;
use super::handle::State;
use super::node::Change;
use super::open::Serving;
use super::setup;
use super::starving::Starving;
use super::writer::{Chore, Writer};
use super::{DriverError, Options};
use crate::dataflow::plan::{DocumentId, NodeId, Plan};
use crate::dataflow::{Effects, Engine};
use crate::query::{Compiled, Routes};

/// The pause after queries could not be resolved anew.
const REPLAN: Duration = Duration::from_secs(5);

/// Why queries are resolved anew.
pub(super) enum Why {
    /// The database's tables are no longer those of the plan: the plan before cannot stay.
    Tables,
    /// The configuration changed: if it is bad, the plan before stays.
    Configuration(Arc<Options>),
}

/// What is to be planned when there is time for it.
#[derive(Default)]
pub(super) struct Next {
    tables: bool,
    /// The newest.
    configuration: Option<Arc<Options>>,
}

impl Next {
    fn add(&mut self, why: Why) {
        match why {
            Why::Tables => self.tables = true,
            Why::Configuration(options) => self.configuration = Some(options),
        }
    }

    /// What comes first: tables, since the plan before cannot stay.
    pub(super) fn take(&mut self) -> Option<Why> {
        match std::mem::take(&mut self.tables) {
            true => Some(Why::Tables),
            false => self.configuration.take().map(Why::Configuration),
        }
    }
}

/// A good configuration that waits for nodes.
pub(super) struct Trying {
    options: Arc<Options>,
    compiled: Compiled,
    /// That take the places of others, which run.
    nodes: Vec<NodeId>,
    /// Why it is not taken, as it was told last.
    told: Vec<String>,
}

impl Writer {
    pub(super) fn plan_anew(&mut self, why: Why) {
        if self.planning || self.replan_at.is_some() {
            self.plan_next.add(why);
            return;
        }
        self.planning = true;
        if let Some(options) = self.give_up()
            && matches!(why, Why::Tables)
        {
            self.plan_next.configuration.get_or_insert(options);
        }
        let why = match why {
            Why::Tables => why,
            Why::Configuration(mut options) => {
                self.nodes.enlist(&self.options.nodes, &mut Arc::make_mut(&mut options).nodes);
                Why::Configuration(options)
            }
        };
        let options = match &why {
            Why::Tables => self.options.clone(),
            Why::Configuration(options) => options.clone(),
        };
        let shared = self.shared.clone();
        self.chores.spawn(async move {
            let compiled = setup::plan(&options, &shared).await;
            Chore::Planned(why, Box::new(compiled))
        });
    }

    pub(super) fn planned(&mut self, why: Why, compiled: Result<Compiled, DriverError>) -> Result<(), DriverError> {
        match (why, compiled) {
            (Why::Tables, Ok(compiled)) => {
                self.shared.set_broken(&compiled.problems, &self.options.file);
                self.restart_with(Arc::new(compiled.plan), Arc::new(compiled.routes));
            }
            (Why::Tables, Err(error)) => {
                tracing::error!("queries cannot be resolved anew, which is tried again: {error}");
                self.plan_next.add(Why::Tables);
                self.replan_at = Some(Instant::now() + REPLAN);
            }
            (Why::Configuration(options), Ok(compiled)) if compiled.problems.is_empty() => {
                if let Err(error) = self.nodes.adopt(&options.nodes, &compiled.plan, &self.shared) {
                    self.refuse(error.to_string());
                    return Ok(());
                }
                let nodes = self.nodes.replacing(&self.options.nodes, &options.nodes);
                self.trying = Some(Trying { options, compiled, nodes, told: Vec::new() });
                self.take_if_loaded();
            }
            // What is wrong with its queries was logged when they were resolved.
            (Why::Configuration(options), Ok(compiled)) => {
                tracing::error!("the changed configuration is not used: the one before stays");
                let problems = compiled.problems.0.iter();
                self.shared.refuse(problems.map(|problem| problem.in_file(&options.file)).collect());
            }
            (Why::Configuration(_), Err(error)) => self.refuse(error.to_string()),
        }
        Ok(())
    }

    /// Takes the configuration that waits for nodes if they are loaded. If one cannot be, it waits for another look at its file.
    pub(super) fn take_if_loaded(&mut self) {
        let Some(trying) = &mut self.trying else { return };
        let failed = self.nodes.failed(&trying.nodes, &self.shared);
        if !failed.is_empty() {
            if trying.told != failed {
                trying.told.clone_from(&failed);
                self.refuse(failed.join("; "));
            }
            return;
        }
        if !self.nodes.are_loaded(&trying.nodes) {
            return;
        }
        let Some(Trying { options, compiled, .. }) = self.trying.take() else { return };
        self.nodes.settle(&self.shared);
        self.shared.refused.send_replace(Vec::new());
        self.options = options;
        self.shared.set_broken(&compiled.problems, &self.options.file);
        self.replace_plan(compiled);
    }

    /// The configuration as it is now is none: the one before stays, and no other is taken.
    pub(super) fn give_up_for(&mut self, problems: Vec<String>) {
        self.plan_next.configuration = None;
        self.give_up();
        self.shared.refuse(problems);
    }

    /// Waits for the nodes of a configuration no longer. It, if one waited.
    fn give_up(&mut self) -> Option<Arc<Options>> {
        let Trying { options, .. } = self.trying.take()?;
        let mut wanted = self.wanted();
        // Of a plan that is served until the next one can be.
        wanted.extend(self.plan.nodes.keys());
        self.nodes.keep(&wanted, &self.shared);
        Some(options)
    }

    /// The nodes of the configuration, and of the one that waits.
    fn wanted(&self) -> BTreeSet<NodeId> {
        let waits = self.trying.iter().flat_map(|trying| &trying.options.nodes);
        self.options.nodes.iter().chain(waits).map(|node| node.id).collect()
    }

    fn refuse(&self, reason: String) {
        tracing::error!("the changed configuration is not used, the one before stays: {reason}");
        self.shared.refuse(vec![reason]);
    }

    /// Goes on with this plan in a new stream, since the one there is does not tell all of its tables.
    fn restart_with(&mut self, plan: Arc<Plan>, routes: Arc<Routes>) {
        self.source.replace_tables(Arc::new(plan.tables.clone()));
        self.next = Some((plan, routes));
    }

    /// The new stream tells all tables of this plan.
    pub(super) fn begin_with(&mut self, plan: Arc<Plan>, routes: Arc<Routes>) {
        self.nodes.expect(&plan, &self.wanted(), &self.shared);
        (self.plan, self.routes) = (plan, routes);
        self.generation += 1;
        self.engine = None;
    }

    /// Requests are bound to the routes of this plan from now on.
    pub(super) fn serve(&self) {
        let serving = Serving { routes: self.routes.clone(), source: self.source.clone(), generation: self.generation };
        let before = self.shared.serving.write().expect("nothing panics under it").replace(serving);
        if before.is_some_and(|before| before.generation != self.generation) {
            tracing::info!("the configuration is good: its queries and nodes are served as they are now");
        }
    }

    /// Goes on with another plan: at once if it needs no other tables, else as soon as the source streams them. Until then
    /// the plan before is served.
    fn replace_plan(&mut self, compiled: Compiled) {
        let (plan, routes) = (Arc::new(compiled.plan), Arc::new(compiled.routes));
        // A source that was told other tables has to be told again.
        if plan.tables != self.plan.tables || self.next.is_some() {
            return self.restart_with(plan, routes);
        }
        self.generation += 1;
        let same = definitions(&plan, &routes) == definitions(&self.plan, &self.routes);
        self.routes = routes;
        if *plan != *self.plan || !same {
            self.plan = plan.clone();
            self.nodes.expect(&plan, &self.wanted(), &self.shared);
            // With the tasks go answers that nobody has taken yet.
            self.upqueries = JoinSet::new();
            if let Some(engine) = self.engine.take() {
                let effects = self.new_engine(engine.replanned(plan));
                self.perform(effects);
            }
            let dismissed = std::mem::take(&mut self.nodes.dismissed);
            if let Some(engine) = &mut self.engine {
                engine.abandoned(dismissed);
            }
            // One that was waited for may be gone.
            if self.nodes.are_known() && self.shared.status.borrow().state == State::Live {
                self.shared.set_health(Vec::new());
            }
        }
        if self.engine.is_some() {
            self.serve();
        }
    }

    /// Goes on with this engine, which has no documents yet.
    pub(super) fn new_engine(&mut self, mut engine: Engine) -> Effects {
        for Change { node, version, tick } in self.nodes.all() {
            engine.node_changed(node, version, tick);
        }
        self.engine = Some(engine);
        self.starving = Starving::default();
        self.source.release_snapshot();
        self.move_documents()
    }

    /// Opens the documents of the plan before in this one, where their queries are defined as they were.
    fn move_documents(&mut self) -> Effects {
        let next = self.live.next();
        let before = std::mem::replace(&mut self.live, next);
        let definitions = definitions(&self.plan, &self.routes);
        let mut all = Effects::default();
        for (_, mut document) in before.by_key {
            let Some(&id) = definitions.get(&*document.definition) else {
                document.tell(News::Changed);
                continue;
            };
            document.name.0 = id;
            let engine = self.engine.as_mut().expect("it was just made");
            let (key, effects) = engine.open(id, &document.params);
            self.live.insert(key, document);
            all.append(effects);
        }
        all
    }
}

/// Every document by its definition.
fn definitions(plan: &Plan, routes: &Routes) -> HashMap<String, DocumentId> {
    let ids = (0..plan.documents.len() as u32).map(DocumentId);
    ids.map(|id| (definition(plan, routes, id), id)).collect()
}

/// What a document is defined as and which requests lead to it, in a text that is the same in another plan.
pub(super) fn definition(plan: &Plan, routes: &Routes, document: DocumentId) -> String {
    let name = &plan.documents[document.0 as usize].name;
    format!("{name}\n{}{}", routes.requests_of(document), plan.definition_of(document))
}
