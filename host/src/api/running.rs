//! An engine that runs, for as long as somebody holds on to it.
//!
//! Routers, subscriptions and clones of [`Sangre`](super::Sangre) all hold the same one. With the last of them the engine ends,
//! whether or not it was told to; to wait until it has, it must be told.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Error;
use super::recipe::{Recipe, engine_options};
use super::watch::{Follow, follow};
use crate::config::Settings;
use crate::driver::handle::{After, Ask, Counts, Documents, Health, Lsn, NodeInfo, Problem, Subscription};
use crate::driver::{self, Handle};

/// See the module.
pub(super) struct Running {
    pub handle: Handle,
    stop: CancellationToken,
    /// How the engine ended, once it has.
    ended: watch::Receiver<Option<Result<(), Error>>>,
    /// Gone once the engine is told to stop.
    follow: Mutex<Option<Follow>>,
    _stop_with_this: DropGuard,
}

impl Running {
    /// Starts the engine, and to follow the file that the settings are of. Returns before anything is known of the database.
    pub fn start(recipe: Recipe, settings: Settings, strict: bool) -> Arc<Self> {
        let stop = CancellationToken::new();
        let (handle, engine) = driver::start(engine_options(&settings, strict), stop.clone());
        let (end, ended) = watch::channel(None);
        tokio::spawn(async move {
            let result = match engine.await {
                Ok(result) => result.map_err(Error::from),
                Err(failure) => Err(Error::Defect(failure.to_string())),
            };
            end.send_replace(Some(result));
        });
        let follow = Mutex::new(follow(recipe, settings, handle.clone()));
        Arc::new(Running { handle, _stop_with_this: stop.clone().drop_guard(), stop, ended, follow })
    }

    /// Waits until the engine has ended, and tells how.
    pub async fn ended(&self) -> Result<(), Error> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.map(|ended| ended.clone()) {
            Ok(Some(result)) => result,
            // Its task goes with the runtime, and then nobody is here to ask.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Ends the engine and waits until it has let go of the database.
    pub async fn stop(&self) -> Result<(), Error> {
        self.stop.cancel();
        drop(self.follow.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.ended().await
    }
}

impl Documents for Running {
    fn subscribe(&self, ask: Ask) -> BoxFuture<'_, Result<Box<dyn Subscription>, Problem>> {
        self.handle.subscribe(ask)
    }

    fn after(&self, after: After) -> BoxFuture<'_, Result<(), Problem>> {
        self.handle.after(after)
    }

    fn health(&self) -> Health {
        self.handle.health()
    }

    fn position(&self) -> Lsn {
        self.handle.position()
    }

    fn nodes(&self) -> Vec<NodeInfo> {
        self.handle.nodes()
    }

    fn counts(&self) -> Counts {
        self.handle.counts()
    }

    fn reload<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<NodeInfo, Problem>> {
        self.handle.reload(node)
    }
}
