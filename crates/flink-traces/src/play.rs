//! Plays a recording as if its cluster were there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use flink_rest::{Checkpoints, Endpoint, JobId, Resource};
use flink_traces_runtime::checkpoint::CheckpointType;
use serde::Deserialize;

use crate::observer::{ClusterObserver, Output};
use crate::recording::{Exchange, RecordingError};
use crate::watch::{Unreadable, observation};

/// Feeds recorded exchanges to an observer.
#[derive(Debug, Default)]
pub struct Player {
    observer: ClusterObserver,
    /// The jobs of which somebody triggered a full checkpoint, by the id of the request.
    full_checkpoints: BTreeMap<String, JobId>,
    unreadable: Unreadable,
}

impl Player {
    /// At the beginning of a recording.
    pub fn new() -> Self {
        Self::default()
    }

    /// Plays one exchange, and tells what is now known to have happened.
    pub fn play(&mut self, exchange: &Exchange) -> Vec<Output> {
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
        let (observation, unreadable) = observation(&resource, exchange.status, exchange.body.get().as_bytes());
        unreadable.iter().for_each(|error| self.unreadable.tell(&resource, error));
        self.observer.observe(exchange.arrived_at(), &resource, observation)
    }

    /// At the end of a recording: tells what was held back.
    pub fn finish(&mut self) -> Vec<Output> {
        self.observer.finish()
    }

    /// What no answer tells but the recorded actions do: which checkpoint was triggered as a full one.
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
        // A checkpoint is triggered where the checkpoints are read.
        let Some(Checkpoints { job }) = Checkpoints::parse(&exchange.path) else { return };
        let request = exchange.request.as_ref().and_then(|request| serde_json::from_str(request.get()).ok());
        let Some(Request { checkpoint_type: Some(checkpoint_type) }) = request else { return };
        let Ok(Accepted { request_id }) = serde_json::from_str(exchange.body.get()) else { return };
        if checkpoint_type == "FULL" {
            self.full_checkpoints.insert(request_id, job);
        }
    }

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
            self.observer.learn_checkpoint_type(job, id, CheckpointType::FullCheckpoint);
        }
    }
}

/// How fast a recording is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// Without waiting.
    AsFastAsPossible,
    /// That many seconds of the recording in one.
    Times(f64),
}

/// Plays all of `exchanges`; `each` gets what happened, with the recorded time, in milliseconds since the epoch. Answers how many
/// exchanges there were. What stands before damage, and between lines that are no exchanges, is told all the same.
///
/// # Errors
/// When the recording cannot be read to its end, when some of its lines are no exchanges, and when it has none.
pub fn play(
    exchanges: impl IntoIterator<Item = Result<Exchange, RecordingError>>,
    speed: Speed,
    mut each: impl FnMut(i64, &[Output]),
) -> Result<usize, RecordingError> {
    let mut player = Player::new();
    let mut pace = Pace::new(speed);
    let mut now = 0;
    let mut count = 0;
    let mut damage = None;
    for exchange in exchanges {
        match exchange {
            Ok(exchange) => {
                now = exchange.arrived_at();
                pace.keep(now);
                each(now, &player.play(&exchange));
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
    each(now, &player.finish());
    match damage {
        Some(error) => Err(error),
        None if count == 0 => Err(RecordingError::Empty),
        None => Ok(count),
    }
}

/// Holds a replay back to its speed.
struct Pace {
    speed: Speed,
    began: Option<(Instant, i64)>,
}

impl Pace {
    fn new(speed: Speed) -> Self {
        Self { speed, began: None }
    }

    fn keep(&mut self, now: i64) {
        let Speed::Times(times) = self.speed else { return };
        let (began, first) = *self.began.get_or_insert((Instant::now(), now));
        let due = now.saturating_sub(first).max(0) as f64 / 1_000.0 / times;
        // What is longer than a duration can tell is never due.
        let due = Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
}
