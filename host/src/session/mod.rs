//! One client, whatever the transport: what it asks, what it is told, how much may wait for it.
//!
//! A transport pulls: [`Session::next`] is asked only when the client can take more, and the engine coalesces meanwhile, so
//! that a slow client costs one step to the newest document and never a queue of old ones. Only [`protocol`] knows how
//! anything looks on the wire.

mod claims;
mod outbox;
pub mod protocol;
mod request;
mod time;

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::driver::handle::{self, After, Ask, Code, Documents, Event, Problem, Status, Subscription, Update};

pub use claims::Claims;
pub use outbox::{Full, Outbox};
pub use request::{Format, Request, read_after};

/// One client's stream.
pub struct Session {
    state: State,
    shutdown: CancellationToken,
}

/// Where a session stands.
enum State {
    /// Waiting for the position of `?after=`, then for the engine to take the subscription.
    Opening(BoxFuture<'static, Result<Box<dyn Subscription>, Problem>>),
    Open(Box<dyn Subscription>),
    /// The client was told why; nothing follows.
    Ended,
}

/// The next thing to tell a client.
#[derive(Clone, Debug)]
pub enum Told {
    Update(Update),
    Status(Status),
    /// The last one.
    Problem(Problem),
}

impl Told {
    /// Whether it only confirms what the client holds: worth an answer to a single question, not a message in a stream.
    pub fn says_nothing(&self) -> bool {
        matches!(self, Told::Update(update) if update.from == Some(update.revision))
    }
}

impl Session {
    /// A session that is to follow `ask` once `after` is included, until `shutdown`.
    pub fn new(documents: Arc<dyn Documents>, mut ask: Ask, after: Option<After>, shutdown: CancellationToken) -> Self {
        ask.newest = after.is_some();
        let opening = async move {
            if let Some(after) = after {
                documents.after(after).await?;
            }
            documents.subscribe(ask).await
        };
        Session { state: State::Opening(Box::pin(opening)), shutdown }
    }

    /// What the client has to be told next; `None` after a problem. Cancel safe.
    pub async fn next(&mut self) -> Option<Told> {
        let told = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Err(shutting_down()),
            event = Self::advance(&mut self.state) => event,
        };
        match told {
            _ if matches!(self.state, State::Ended) => None,
            Ok(Event::Update(update)) => Some(Told::Update(update)),
            Ok(Event::Status(status)) => Some(Told::Status(status)),
            Err(problem) => {
                self.state = State::Ended;
                Some(Told::Problem(problem))
            }
        }
    }

    /// The first update, and the status that came before it, if one did.
    pub async fn first(&mut self) -> Result<(Update, Option<Status>), Problem> {
        let mut early = None;
        loop {
            match self.next().await {
                Some(Told::Update(update)) => return Ok((update, early)),
                Some(Told::Status(status)) => early = Some(status),
                Some(Told::Problem(problem)) => return Err(problem),
                None => return Err(shutting_down()),
            }
        }
    }

    /// What a single question is answered with: the first update, and whether it is live.
    pub async fn once(&mut self) -> Result<(Update, Status), Problem> {
        let (update, early) = self.first().await?;
        let status = early.or_else(|| match self.ready() {
            Some(Told::Status(status)) => Some(status),
            _ => None,
        });
        let live = || Status { state: handle::State::Live, code: None, since: SystemTime::UNIX_EPOCH };
        Ok((update, status.unwrap_or_else(live)))
    }

    /// What `next` would give without waiting.
    pub fn ready(&mut self) -> Option<Told> {
        futures_util::FutureExt::now_or_never(self.next()).flatten()
    }

    async fn advance(state: &mut State) -> Result<Event, Problem> {
        loop {
            match state {
                State::Opening(opening) => *state = State::Open(opening.await?),
                State::Open(subscription) => return subscription.next().await,
                State::Ended => return Err(shutting_down()),
            }
        }
    }
}

/// Why every session ends when the server does.
pub fn shutting_down() -> Problem {
    Problem { code: Code::ShuttingDown, message: "the server is shutting down: connect again in a moment".into() }
}
