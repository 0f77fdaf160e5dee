//! Replays: feeding a recording to an observer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use flink_rest::{Checkpoints, Endpoint, JobId, Resource};
use flink_traces_api::Clock;
use flink_traces_runtime::checkpoint::CheckpointType;
use serde::Deserialize;

use crate::observation::JobObservation;
use crate::observer::{ClusterObserver, RequestOutcome};
use crate::recording::{Exchange, RecordingError};

/// A clock that shows the time to which it was last set. Clones show the same time.
#[derive(Debug, Clone, Default)]
pub struct ReplayClock(Arc<AtomicI64>);

impl ReplayClock {
    /// Sets the time, in milliseconds since the epoch.
    pub fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::Relaxed);
    }
}

impl Clock for ReplayClock {
    fn now_millis(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A replay of single exchanges, for callers that do not have all of them at once.
///
/// [`replay`] is simpler where they are at hand.
#[derive(Debug, Default)]
pub struct Replay {
    observer: ClusterObserver,
    /// The jobs for which a full checkpoint was triggered, by request id.
    full_checkpoints: BTreeMap<String, JobId>,
    /// The endpoints whose responses could not be read, each of which is logged once.
    unreadable: BTreeSet<&'static str>,
    /// The endpoints with unreadable entries, each of which is logged once.
    with_skipped: BTreeSet<&'static str>,
}

impl Replay {
    /// Creates a replay, at the beginning of a recording.
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds one exchange to the observer, and returns the observations that it completes.
    pub fn feed(&mut self, exchange: &Exchange) -> Vec<JobObservation> {
        match exchange.method.as_str() {
            "GET" => {}
            "POST" => {
                self.note_trigger(exchange);
                return Vec::new();
            }
            _ => return Vec::new(),
        }
        self.note_triggered(exchange);
        let Some(resource) = Resource::parse(&exchange.path) else { return Vec::new() };
        let endpoint = resource.template();
        let mut skipped = Vec::new();
        let body = exchange.body.get().as_bytes();
        let outcome = RequestOutcome::from_response_with(&resource, exchange.status, body, &mut skipped);
        if let Some(error) = skipped.first().filter(|_| self.with_skipped.insert(endpoint)) {
            tracing::warn!(endpoint, %error, "unreadable entry, skipping it");
        }
        let outcome = outcome.unwrap_or_else(|error| {
            if self.unreadable.insert(endpoint) {
                tracing::warn!(endpoint, %error, "unreadable response");
            }
            RequestOutcome::Unavailable
        });
        self.observer.observe(exchange.arrived_at(), &resource, outcome)
    }

    /// Returns the observations that are held back, at the end of a recording.
    pub fn finish(&mut self) -> Vec<JobObservation> {
        self.observer.finish()
    }

    /// Remembers the trigger of a full checkpoint. No response contains that type.
    fn note_trigger(&mut self, exchange: &Exchange) {
        #[derive(Deserialize)]
        struct Request {
            #[serde(rename = "checkpointType")]
            checkpoint_type: Option<String>,
        }
        #[derive(Deserialize)]
        struct Accepted {
            #[serde(rename = "request-id")]
            request_id: String,
        }
        // The path of the trigger is that of the checkpoint statistics.
        let Some(Checkpoints { job }) = Checkpoints::parse(&exchange.path) else { return };
        let request = exchange.request.as_ref().and_then(|request| serde_json::from_str(request.get()).ok());
        let Some(Request { checkpoint_type: Some(checkpoint_type) }) = request else { return };
        let Ok(Accepted { request_id }) = serde_json::from_str(exchange.body.get()) else { return };
        if checkpoint_type == "FULL" {
            self.full_checkpoints.insert(request_id, job);
        }
    }

    /// Sets the type of a full checkpoint once the status of its trigger contains its id.
    fn note_triggered(&mut self, exchange: &Exchange) {
        #[derive(Deserialize)]
        struct Status {
            operation: Option<Operation>,
        }
        #[derive(Deserialize)]
        struct Operation {
            #[serde(rename = "checkpointId")]
            checkpoint_id: Option<i64>,
        }
        let Some((_, request_id)) = exchange.path.rsplit_once('/') else { return };
        let Some(job) = self.full_checkpoints.get(request_id) else { return };
        let status = serde_json::from_str(exchange.body.get()).ok();
        if let Some(id) =
            status.and_then(|status: Status| status.operation).and_then(|operation| operation.checkpoint_id)
        {
            self.observer.set_checkpoint_type(job, id, CheckpointType::FullCheckpoint);
        }
    }
}

/// Replays `exchanges`, and returns their number.
///
/// After each exchange, `each` gets its arrival time in milliseconds since the epoch, and the
/// observations that it completes, which may be none. At the end, `each` gets the observations that
/// were held back. Exchanges before damaged data, and around lines that are not exchanges, are
/// replayed before the error is returned.
///
/// The exchanges are replayed as fast as the iterator returns them. To slow a replay down, make the
/// iterator wait.
///
/// # Errors
///
/// Returns an error if the recording cannot be read to its end, if lines of it are not exchanges,
/// or if it has no exchanges.
///
/// # Examples
///
/// ```
/// use std::path::Path;
///
/// use flink_traces_observer::recording::RecordingReader;
/// use flink_traces_observer::replay::replay;
///
/// let recording = RecordingReader::open(Path::new("recordings/three-checkpoints.jsonl.gz"))?;
/// let mut count = 0;
/// let exchanges = replay(recording, |_, observations| count += observations.len())?;
/// assert_eq!((exchanges, count), (70, 7));
/// # Ok::<(), flink_traces_observer::recording::RecordingError>(())
/// ```
pub fn replay(
    exchanges: impl IntoIterator<Item = Result<Exchange, RecordingError>>,
    mut each: impl FnMut(i64, &[JobObservation]),
) -> Result<usize, RecordingError> {
    let mut replay = Replay::new();
    let mut now = 0;
    let mut count = 0;
    let mut damage = None;
    for exchange in exchanges {
        match exchange {
            Ok(exchange) => {
                now = exchange.arrived_at();
                each(now, &replay.feed(&exchange));
                count += 1;
            }
            Err(RecordingError::Parse { line, source }) => match &mut damage {
                Some(RecordingError::LeftOut { count, .. }) => *count += 1,
                _ => damage = Some(RecordingError::LeftOut { count: 1, line, source }),
            },
            Err(error) => {
                damage = Some(error);
                break;
            }
        }
    }
    each(now, &replay.finish());
    match damage {
        Some(error) => Err(error),
        None if count == 0 => Err(RecordingError::Empty),
        None => Ok(count),
    }
}
