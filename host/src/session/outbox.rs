//! What waits for one client, bounded in bytes.
//!
//! A message counts until the transport has written it. Updates are only put in when nothing waits ([`Outbox::room`]), so a slow
//! client has at most one of them here; what can fill an outbox is a client that keeps asking and never reads. A single message
//! may be larger than the bound: a first document has up to 16 MiB.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::Notify;

/// See the module.
pub struct Outbox<M> {
    inner: Mutex<Inner<M>>,
    limit_bytes: usize,
    filled: Notify,
    emptied: Notify,
}

struct Inner<M> {
    queue: VecDeque<(usize, M)>,
    /// Of the queue, and of the message being written.
    bytes: usize,
}

/// The client does not read what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {limit_bytes} bytes wait for this client: read faster, or ask for less")]
pub struct Full {
    pub limit_bytes: usize,
}

impl<M> Outbox<M> {
    pub fn new(limit_bytes: usize) -> Self {
        let inner = Mutex::new(Inner { queue: VecDeque::new(), bytes: 0 });
        Outbox { inner, limit_bytes, filled: Notify::new(), emptied: Notify::new() }
    }

    /// Appends a message of that many bytes, unless too much waits already.
    pub fn push(&self, bytes: usize, message: M) -> Result<(), Full> {
        let mut inner = self.lock();
        if inner.bytes > 0 && inner.bytes + bytes > self.limit_bytes {
            return Err(Full { limit_bytes: self.limit_bytes });
        }
        // A message without bytes would not count as waiting.
        inner.bytes += bytes.max(1);
        inner.queue.push_back((bytes.max(1), message));
        drop(inner);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for the oldest message and takes it out. Call [`Outbox::written`] with its size when it is. Cancel safe. One caller.
    pub async fn pop(&self) -> (usize, M) {
        loop {
            if let Some(next) = self.lock().queue.pop_front() {
                return next;
            }
            self.filled.notified().await;
        }
    }

    /// A message of that many bytes has left.
    pub fn written(&self, bytes: usize) {
        let mut inner = self.lock();
        inner.bytes -= bytes;
        if inner.bytes == 0 {
            self.emptied.notify_one();
        }
    }

    /// Waits until nothing waits for the client. Cancel safe. One caller.
    pub async fn room(&self) {
        while self.lock().bytes > 0 {
            self.emptied.notified().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<M>> {
        self.inner.lock().expect("no code panics while it holds this lock")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn bytes_count_until_they_are_written() {
        let outbox = Outbox::new(10);
        assert!(outbox.room().now_or_never().is_some());
        assert_eq!(outbox.push(6, 'a'), Ok(()));
        assert_eq!(outbox.push(4, 'b'), Ok(()));
        assert_eq!(outbox.push(1, 'c'), Err(Full { limit_bytes: 10 }));
        assert_eq!(outbox.pop().now_or_never(), Some((6, 'a')));
        assert_eq!(outbox.push(1, 'c'), Err(Full { limit_bytes: 10 }), "still being written");
        outbox.written(6);
        assert_eq!(outbox.push(6, 'c'), Ok(()));
        assert!(outbox.room().now_or_never().is_none());
        for _ in 0..2 {
            let (bytes, _) = outbox.pop().now_or_never().expect("two wait");
            outbox.written(bytes);
        }
        assert!(outbox.room().now_or_never().is_some());
        assert!(outbox.pop().now_or_never().is_none());
    }

    #[test]
    fn one_message_may_be_larger_than_the_bound() {
        let outbox = Outbox::new(10);
        assert_eq!(outbox.push(100, 'a'), Ok(()));
        assert!(outbox.push(1, 'b').is_err());
    }
}
