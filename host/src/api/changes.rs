//! A document and all that becomes of it, as a stream in process.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};

use super::running::Running;
use super::{Change, Error, Event, Request};
use crate::server::Front;
use crate::session::{Session, Told};

/// A document as it changes: a [`Stream`] of [`Event`]s, made by [`Sangre::subscribe`](crate::Sangre::subscribe).
///
/// The first event is the whole document, or what changed since the revision that the request resumes. An error is the last
/// item; [`Code::ShuttingDown`](crate::Code::ShuttingDown) when Sangre is shut down. Nothing queues up for a reader that takes
/// its time: the next change then leads from what it had to the newest state. Dropping the stream ends the subscription.
pub struct Changes(BoxStream<'static, Result<Event, Error>>);

impl Changes {
    pub(super) async fn open(running: Arc<Running>, front: &Front, request: Request) -> Result<Self, Error> {
        let request = request.parse()?;
        let mut session = Session::new(running.clone(), request.ask, request.after, front.ending().clone());
        let (update, status) = session.first().await?;
        let waiting = [Some(Told::Update(update)), status.map(Told::Status)].into_iter().flatten().collect();
        let following = Following { session, waiting, _running: running };
        Ok(Changes(stream::unfold(following, Following::next).boxed()))
    }

    /// The next event; `None` after an error. Cancel safe. (The same as that of a [`Stream`], for those who need no more.)
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        self.0.next().await
    }
}

impl Stream for Changes {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

/// What the stream holds between two events.
struct Following {
    session: Session,
    waiting: VecDeque<Told>,
    _running: Arc<Running>,
}

impl Following {
    async fn next(mut self) -> Option<(Result<Event, Error>, Self)> {
        loop {
            let told = match self.waiting.pop_front() {
                Some(told) => told,
                None => self.session.next().await?,
            };
            // It has what it resumed from already.
            if told.says_nothing() {
                continue;
            }
            let event = match told {
                Told::Update(update) => Ok(Event::Change(Change(update))),
                Told::Status(status) => Ok(Event::Status(status)),
                Told::Problem(problem) => Err(problem.into()),
            };
            return Some((event, self));
        }
    }
}
