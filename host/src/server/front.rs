//! Documents over HTTP, whoever listens: the routers, and how their streams end.
//!
//! `sangre serve` puts them behind listeners of its own, an application that embeds Sangre among its own routes. The
//! paths that reach the handlers begin where the router was mounted.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::gate::Gate;
use super::{Limits, Timing, admin, documents};
use crate::driver::handle::Documents;

/// See the module. Clones share their streams.
#[derive(Clone)]
pub struct Front {
    pub(super) shared: Arc<Shared>,
}

/// What every handler holds.
pub(super) struct Shared {
    pub documents: Arc<dyn Documents>,
    pub limits: Limits,
    pub timing: Timing,
    /// Streams end.
    pub ending: CancellationToken,
    /// What is still in flight is cut off.
    pub cut: CancellationToken,
    /// WebSockets, which no HTTP server knows of once they are upgraded, and questions that have no answer yet.
    pub open: TaskTracker,
}

impl Front {
    pub fn new(documents: Arc<dyn Documents>, limits: Limits, timing: Timing) -> Self {
        let (ending, cut) = (CancellationToken::new(), CancellationToken::new());
        let open = TaskTracker::new();
        Front { shared: Arc::new(Shared { documents, limits, timing, ending, cut, open }) }
    }

    /// Documents on the routes of their queries, for clients that pass `gate`; `pages` go before them.
    pub fn router(&self, gate: Gate, pages: Router) -> Router {
        gate.guard(pages.merge(documents::router(self.shared.clone())))
    }

    /// What the operator asks; see [`admin`].
    pub fn admin_router(&self, gate: Gate) -> Router {
        gate.guard(admin::router(self.shared.clone()))
    }

    /// Cancelled when streams are told to end: here, or by who waits with them.
    pub fn ending(&self) -> &CancellationToken {
        &self.shared.ending
    }

    /// Held while something in flight is to be finished before this ends.
    pub fn hold(&self) -> TaskTrackerToken {
        self.shared.open.token()
    }

    /// Cancelled when what is still in flight is cut off.
    pub fn cut(&self) -> &CancellationToken {
        &self.shared.cut
    }

    /// Tells every client that this ends, and waits until they have gone and `servers` are done, for
    /// [`Timing::grace`] at most; whoever is left then is cut off.
    pub async fn end(&self, servers: impl Future<Output = ()>) {
        let Shared { timing, ending, cut, open, .. } = &*self.shared;
        ending.cancel();
        let gone = async {
            servers.await;
            open.close();
            open.wait().await;
        };
        let too_late = async {
            tokio::time::sleep(timing.grace).await;
            cut.cancel();
            // Those that were cut off are told so; a client that does not listen is left to the end of the process.
            tokio::time::sleep(timing.grace / 10).await;
        };
        tokio::select! {
            () = gone => {}
            () = too_late => tracing::warn!("some clients did not end in time and were cut off"),
        }
    }
}

/// Waits for `work`, unless clients are cut off before.
pub(super) async fn unless_cut<T>(shared: &Shared, work: Pin<Box<impl Future<Output = T>>>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = shared.cut.cancelled() => None,
    }
}
