//! The input of a subtask: one bounded queue per channel.
//!
//! Channels can be blocked, which aligns the barriers.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The capacity of a channel. A sender waits while it is full.
const CAPACITY: usize = 64;

/// A message between subtasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// A record to process.
    Record(Record),
    /// The end of the records that belong to a checkpoint.
    Barrier(Barrier),
    /// The end of the channel.
    End,
}

/// A key and its count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// The key.
    pub(crate) key: u32,
    /// The number of records with this key so far, including this one. 0 before the count.
    pub(crate) count: u64,
}

/// The beginning of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Barrier {
    /// The id of the checkpoint.
    pub(crate) checkpoint_id: i64,
    /// The time of the trigger, in milliseconds since the epoch.
    pub(crate) trigger_timestamp: i64,
}

/// The job is being canceled. The thread that gets this error ends.
#[derive(Debug, thiserror::Error)]
#[error("canceled")]
pub(crate) struct Canceled;

/// The input of one subtask.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    channels: Vec<VecDeque<Message>>,
    /// The channel to check first, so that no channel starves.
    next: usize,
    is_canceled: bool,
}

impl Inbox {
    /// Creates an input with this number of channels.
    pub(crate) fn new(channels: usize) -> Self {
        let state = State { channels: vec![VecDeque::new(); channels], next: 0, is_canceled: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Sends a message. Waits while the channel is full.
    pub(crate) fn push(&self, channel: usize, message: Message) -> Result<(), Canceled> {
        let is_full = |state: &mut State| state.channels[channel].len() >= CAPACITY && !state.is_canceled;
        let mut state = self.changed.wait_while(self.lock(), is_full).unwrap_or_else(PoisonError::into_inner);
        if state.is_canceled {
            return Err(Canceled);
        }
        state.channels[channel].push_back(message);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits for a message on a channel that is not blocked. Returns the channel and the message.
    pub(crate) fn pop(&self, blocked: &[bool]) -> Result<(usize, Message), Canceled> {
        let mut state = self.lock();
        loop {
            if state.is_canceled {
                return Err(Canceled);
            }
            let count = state.channels.len();
            let from_next = (state.next..state.next + count).map(|channel| channel % count);
            for channel in from_next.filter(|channel| !blocked[*channel]) {
                if let Some(message) = state.channels[channel].pop_front() {
                    state.next = channel + 1;
                    self.changed.notify_all();
                    return Ok((channel, message));
                }
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Returns the number of channels.
    pub(crate) fn channels(&self) -> usize {
        self.lock().channels.len()
    }

    /// Wakes up all waiting threads, and makes all further calls fail.
    pub(crate) fn cancel(&self) {
        self.lock().is_canceled = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
