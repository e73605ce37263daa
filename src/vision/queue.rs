//! The queue of the engine: bounded, and fair to senders.
//!
//! Senders take turns, so one with many samples does not delay the others by more than a sample.
//! Each sender has a share of the places.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use metrics::{counter, gauge};
use tokio::sync::oneshot;

use crate::{
    domain::attendance::Origin,
    ports::{Analysis, EngineError, Sample, Work},
};

/// A sample that waits for its analysis.
pub(super) struct Job {
    pub sample: Sample,
    pub work: Work,
    pub queued: Instant,
    pub reply: oneshot::Sender<Result<Analysis, EngineError>>,
}

/// The reason why a job was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No place is free, for anyone or for this sender.
    Full,
    /// The engine stops.
    Closed,
}

/// The waiting jobs.
pub(super) struct Queue {
    lines: Mutex<Lines>,
    changed: Condvar,
    places: usize,
    share: usize,
}

#[derive(Default)]
struct Lines {
    /// The senders with waiting jobs; the first one is next.
    turns: VecDeque<(Option<Origin>, VecDeque<Job>)>,
    closed: bool,
}

impl Lines {
    fn waiting(&self) -> usize {
        self.turns.iter().map(|(_, line)| line.len()).sum()
    }

    fn of(&mut self, sender: Option<Origin>) -> Option<&mut VecDeque<Job>> {
        let line = self.turns.iter_mut().find(|(other, _)| *other == sender);
        line.map(|(_, line)| line)
    }

    /// Drops the jobs whose callers are gone.
    fn drop_departed(&mut self) {
        let before = self.waiting();
        for (_, line) in &mut self.turns {
            line.retain(|job| !job.reply.is_closed());
        }
        self.turns.retain(|(_, line)| !line.is_empty());
        count_departed(before - self.waiting());
    }
}

/// Counts jobs whose callers left before their turn.
pub(super) fn count_departed(jobs: usize) {
    counter!("rollcall_engine_departed_total").increment(jobs as u64);
}

impl Queue {
    /// Creates a queue with a number of places, of which each sender may have a share.
    pub fn new(places: usize, share: usize) -> Self {
        Self {
            lines: Mutex::default(),
            changed: Condvar::new(),
            places: places.max(1),
            share: share.max(1),
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of places.
    pub fn places(&self) -> usize {
        self.places
    }

    /// Queues a job; with `only_idle`, only if no other waits.
    pub fn push(&self, job: Job, only_idle: bool) -> Result<(), Refusal> {
        let sender = job.work.sender;
        let mut lines = self.lines();
        if lines.closed {
            return Err(Refusal::Closed);
        }
        let full = |lines: &mut Lines| {
            let share = sender.map_or(self.places, |_| self.share);
            let own = lines.of(sender).map_or(0, |line| line.len());
            lines.waiting() >= self.places || own >= share
        };
        if full(&mut lines) {
            lines.drop_departed();
        }
        if full(&mut lines) || only_idle && !lines.turns.is_empty() {
            return Err(Refusal::Full);
        }
        match lines.of(sender) {
            Some(line) => line.push_back(job),
            None => lines.turns.push_back((sender, VecDeque::from([job]))),
        }
        report(&lines);
        drop(lines);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes the next job; waits for one. Returns `None` once the queue is closed and empty.
    pub fn pop(&self) -> Option<Job> {
        let mut lines = self.lines();
        loop {
            if let Some((sender, mut line)) = lines.turns.pop_front() {
                let job = line.pop_front();
                if !line.is_empty() {
                    lines.turns.push_back((sender, line));
                }
                report(&lines);
                return job;
            }
            if lines.closed {
                return None;
            }
            let waited = self.changed.wait(lines);
            lines = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Rejects new jobs; the waiting ones can still be taken.
    pub fn close(&self) {
        self.lines().closed = true;
        self.changed.notify_all();
    }
}

fn report(lines: &Lines) {
    gauge!("rollcall_engine_queue").set(lines.waiting() as f64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{biometrics::Views, ids::DeviceId};

    type Reply = oneshot::Receiver<Result<Analysis, EngineError>>;

    fn device(number: u128) -> Option<Origin> {
        let id = DeviceId::new(uuid::Uuid::from_u128(number));
        Some(Origin::Device(id))
    }

    fn job(sender: Option<Origin>, name: &'static str) -> (Job, Reply) {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            sample: Sample::new(name),
            work: Work {
                views: Views::Pair,
                embed: 1,
                photo: false,
                sender,
            },
            queued: Instant::now(),
            reply,
        };
        (job, answer)
    }

    #[test]
    fn senders_take_turns() {
        let queue = Queue::new(16, 8);
        let mut replies = Vec::new();
        for (sender, name) in [
            (1, "a1"),
            (1, "a2"),
            (1, "a3"),
            (2, "b1"),
            (3, "c1"),
            (2, "b2"),
        ] {
            let (job, reply) = job(device(sender), name);
            assert_eq!(queue.push(job, false), Ok(()));
            replies.push(reply);
        }
        queue.close();
        let order = std::iter::from_fn(|| queue.pop());
        let order: Vec<_> = order.map(|job| job.sample.bytes().clone()).collect();
        assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert_eq!(queue.push(job(None, "late").0, false), Err(Refusal::Closed));
    }

    #[test]
    fn a_sender_has_only_its_share_and_the_service_itself_has_all_places() {
        let queue = Queue::new(6, 2);
        let mut replies = Vec::new();
        let mut push = |sender, only_idle| {
            let (job, reply) = job(sender, "x");
            let pushed = queue.push(job, only_idle);
            replies.push(reply);
            pushed
        };
        assert_eq!(push(device(1), false), Ok(()));
        assert_eq!(push(device(1), false), Ok(()));
        assert_eq!(push(device(1), false), Err(Refusal::Full));
        assert_eq!(push(device(2), false), Ok(()));
        assert_eq!(push(device(3), true), Err(Refusal::Full));
        for _ in 0..3 {
            assert_eq!(push(None, false), Ok(()));
        }
        assert_eq!(push(None, false), Err(Refusal::Full));
        assert_eq!(push(device(4), false), Err(Refusal::Full));
    }

    #[test]
    fn callers_who_left_give_up_their_places() {
        let queue = Queue::new(2, 1);
        for _ in 0..20 {
            let (job, reply) = job(device(1), "left");
            assert_eq!(queue.push(job, false), Ok(()));
            drop(reply);
        }
        let (job, _reply) = job(device(2), "here");
        assert_eq!(queue.push(job, false), Ok(()));
    }
}
