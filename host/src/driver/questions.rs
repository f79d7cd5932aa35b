//! What requests ask the database before anything is opened for them: how it reads a text, what became of a transaction.
//!
//! Anybody can ask, so the number of those who wait is bounded, and the sessions that answer are no one else's: the stream's
//! own questions never wait behind clients.

use std::time::Duration;

use tokio::sync::Semaphore;

use super::handle::{Code, Problem};
use super::open::{problem, request_problem};
use crate::data::{Lsn, Upquery, Value};
use crate::query::Pending;
use crate::source::{Source, XidStatus, decode};

/// How many questions may wait at once.
const MOST: usize = 256;

/// The first and the longest pause before it is asked again whether a transaction has ended.
const AGAIN: (Duration, Duration) = (Duration::from_millis(30), Duration::from_secs(1));

/// See the module.
pub(super) struct Questions(Semaphore);

impl Default for Questions {
    fn default() -> Self {
        Questions(Semaphore::new(MOST))
    }
}

impl Questions {
    /// The answer, or why there is none.
    async fn ask<T, E>(&self, answer: impl Future<Output = Result<T, E>>) -> Result<T, Problem> {
        let too_many = |_| problem(Code::TooMany, "too many requests wait for the database: try again later");
        let _place = self.0.try_acquire().map_err(too_many)?;
        answer.await.map_err(|_| problem(Code::DatabaseUnreachable, "the database is out of reach"))
    }

    /// A position at or after the commit of this transaction, once it has committed.
    pub(super) async fn committed_before(&self, source: &dyn Source, xid: u64) -> Result<Lsn, Problem> {
        let bad = |message: &str| Err(problem(Code::BadRequest, message));
        let mut pause = AGAIN.0;
        loop {
            match self.ask(source.xid_status(xid)).await? {
                // An upquery that asks nothing tells how far the log reaches now.
                XidStatus::Committed => {
                    let answer = self.ask(source.ask(Upquery { id: 0, asks: Vec::new(), under: None })).await?;
                    return Ok(answer.insert);
                }
                XidStatus::InProgress => tokio::time::sleep(pause).await,
                XidStatus::Aborted => return bad("the transaction of `after` was rolled back"),
                XidStatus::Unknown => return bad("the transaction of `after` is too old, or was never begun"),
            }
            pause = (2 * pause).min(AGAIN.1);
        }
    }

    /// Has Postgres read the texts that only it can read.
    pub(super) async fn read(&self, source: &dyn Source, pending: Pending) -> Result<crate::query::Bound, Problem> {
        let mut values: Vec<Value> = Vec::new();
        for question in pending.questions() {
            let refused = || request_problem(question.refused());
            let read = self.ask(source.canonical(question.ty.sql.clone(), question.text.clone())).await?;
            let text = read.map_err(|reason| {
                match &question.query {
                    Some(query) => tracing::error!("query \"{query}\": Postgres refuses {}: {reason}", question.label),
                    None => tracing::debug!("parameter {} is refused by Postgres: {reason}", question.label),
                }
                refused()
            })?;
            values.push(decode::decode(&question.ty.decode, &text).map_err(|_| refused())?);
        }
        pending.finish(values).map_err(request_problem)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future::{BoxFuture, join_all, pending};
    use tokio::sync::Notify;

    use super::*;
    use crate::data::{Answer, Catalogue, Table, UpqueryError};
    use crate::source::SourceError;

    /// A database that answers when it is told to.
    #[derive(Default)]
    struct Slow(Arc<Notify>);

    impl Source for Slow {
        fn acknowledge(&self, _: Lsn) {}

        fn ask(&self, _: Upquery) -> BoxFuture<'static, Result<Answer, UpqueryError>> {
            Box::pin(pending())
        }

        fn provoke(&self) -> BoxFuture<'static, Result<(), SourceError>> {
            Box::pin(pending())
        }

        fn replace_tables(&self, _: Arc<Vec<Table>>) {}

        fn release_snapshot(&self) {}

        fn catalogue(&self) -> BoxFuture<'static, Result<Catalogue, SourceError>> {
            Box::pin(pending())
        }

        fn xid_status(&self, _: u64) -> BoxFuture<'static, Result<XidStatus, SourceError>> {
            let told = self.0.clone();
            Box::pin(async move {
                told.notified().await;
                Ok(XidStatus::Aborted)
            })
        }

        fn canonical(&self, _: Arc<str>, _: String) -> BoxFuture<'static, Result<Result<String, String>, SourceError>> {
            Box::pin(pending())
        }
    }

    #[tokio::test]
    async fn only_so_many_wait_for_the_database() {
        let (questions, slow) = (Questions::default(), Slow::default());
        let many = join_all((0..MOST as u64 + 1).map(|xid| questions.committed_before(&slow, xid)));
        let answers = async {
            let one_more = questions.committed_before(&slow, 0).await;
            assert_eq!(one_more.map_err(|problem| problem.code), Err(Code::TooMany));
            slow.0.notify_waiters();
        };
        let (told, ()) = futures_util::join!(many, answers);
        let codes = |code| told.iter().filter(|told| told.as_ref().is_err_and(|problem| problem.code == code)).count();
        assert_eq!((codes(Code::BadRequest), codes(Code::TooMany)), (MOST, 1));
        // Who has been answered makes room.
        slow.0.notify_one();
        let after = questions.committed_before(&slow, 0).await;
        assert_eq!(after.map_err(|problem| problem.code), Err(Code::BadRequest));
    }
}
