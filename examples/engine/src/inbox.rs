//! A subtask's input: a bounded queue for each channel. Channels can be held back, which is how barriers are aligned.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many messages may wait in a channel; whoever sends more has to wait.
const CAPACITY: usize = 64;

/// What flows from subtask to subtask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// Something to process.
    Record(Record),
    /// Everything before it belongs to the checkpoint, everything after it does not.
    Barrier(Barrier),
    /// Nothing more comes on this channel.
    End,
}

/// A key and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// What it is about.
    pub(crate) key: u32,
    /// How often the key was seen, this time included; 0 where nobody counted yet.
    pub(crate) count: u64,
}

/// The beginning of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Barrier {
    /// The checkpoint.
    pub(crate) checkpoint_id: i64,
    /// When it was triggered, in milliseconds since the epoch.
    pub(crate) trigger_timestamp: i64,
}

/// The job is being cancelled: whoever learns of it ends.
#[derive(Debug, thiserror::Error)]
#[error("cancelled")]
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
    /// Where to look first, so that no channel starves.
    next: usize,
    is_canceled: bool,
}

impl Inbox {
    /// An input with so many channels.
    pub(crate) fn new(channels: usize) -> Self {
        let state = State { channels: vec![VecDeque::new(); channels], next: 0, is_canceled: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Sends a message; waits while the channel is full.
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

    /// The next message of a channel that is not held back, and which channel that is; waits for one.
    pub(crate) fn pop(&self, held_back: &[bool]) -> Result<(usize, Message), Canceled> {
        let mut state = self.lock();
        loop {
            if state.is_canceled {
                return Err(Canceled);
            }
            let count = state.channels.len();
            let from_next = (state.next..state.next + count).map(|channel| channel % count);
            for channel in from_next.filter(|channel| !held_back[*channel]) {
                if let Some(message) = state.channels[channel].pop_front() {
                    state.next = channel + 1;
                    self.changed.notify_all();
                    return Ok((channel, message));
                }
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many channels it has.
    pub(crate) fn channels(&self) -> usize {
        self.lock().channels.len()
    }

    /// Wakes up whoever waits, and lets nobody wait any more.
    pub(crate) fn cancel(&self) {
        self.lock().is_canceled = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
