//! A queue of work that one task does after the requests that asked for it have their answers.

use tokio::sync::{
    Mutex,
    mpsc::{self, error::TrySendError},
};
use tokio_util::sync::CancellationToken;

/// Why an item was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotQueued {
    /// As many wait as there can be.
    #[error("too many wait at this moment")]
    Full,
    /// The worker has ended.
    #[error("the service is stopping")]
    Stopping,
}

/// A queue of bounded length for one worker.
pub struct WorkQueue<T> {
    sender: mpsc::Sender<T>,
    waiting: Mutex<mpsc::Receiver<T>>,
}

impl<T> WorkQueue<T> {
    /// Creates a queue in which at most `most` items wait.
    pub fn new(most: usize) -> Self {
        let (sender, waiting) = mpsc::channel(most);
        Self {
            sender,
            waiting: Mutex::new(waiting),
        }
    }

    /// Adds an item.
    ///
    /// # Errors
    /// If the queue is full, or its worker has ended.
    pub fn add(&self, item: T) -> Result<(), NotQueued> {
        self.sender.try_send(item).map_err(|cause| match cause {
            TrySendError::Full(_) => NotQueued::Full,
            TrySendError::Closed(_) => NotQueued::Stopping,
        })
    }

    /// Returns the next item, and waits for it. After the token is canceled, returns those that
    /// still wait, then `None`.
    pub async fn next(&self, stop: &CancellationToken) -> Option<T> {
        let mut waiting = self.waiting.lock().await;
        loop {
            tokio::select! {
                () = stop.cancelled(), if !waiting.is_closed() => waiting.close(),
                item = waiting.recv() => return item,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_is_bounded_and_emptied_when_it_stops() {
        let (queue, stop) = (WorkQueue::new(2), CancellationToken::new());
        assert_eq!([queue.add(1), queue.add(2)], [Ok(()), Ok(())]);
        assert_eq!(queue.add(3), Err(NotQueued::Full));
        assert_eq!(queue.next(&stop).await, Some(1));
        stop.cancel();
        assert_eq!(queue.next(&stop).await, Some(2));
        assert_eq!(queue.next(&stop).await, None);
        assert_eq!(queue.add(4), Err(NotQueued::Stopping));
    }
}
