//! The records that arrived from a fleet, and the comparison with those that must.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use flink_traces_testkit::{OtlpCollector, ReceivedEvent, ReceivedSpan};
use serde_json::Value;

use super::server::now;
use super::world::{HISTORY, World};

/// The events of one job that a storm causes. Its `JobInitialization` is a span.
const STORM_EVENTS: [&str; 5] = [
    "JobFailureEvent",
    "JobStatusChangeEvent RESTARTING",
    "JobStatusChangeEvent RUNNING",
    "AllSubtasksStatusChangeEvent NOT_ALL_RUNNING_OR_FINISHED",
    "AllSubtasksStatusChangeEvent ALL_RUNNING_OR_FINISHED",
];

/// A record, which arrived at a time so many times.
#[derive(Debug, Clone, Copy)]
struct Times {
    at: i64,
    count: u32,
}

/// The records that arrived.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    /// The spans of checkpoints, by job and checkpoint.
    checkpoints: HashMap<(usize, i64), Times>,
    /// The events of checkpoints, in the same way.
    checkpoint_events: HashMap<(usize, i64), Times>,
    /// The restores, by job and checkpoint.
    restores: HashMap<(usize, i64), Times>,
    /// The other events since the storm, by job and name.
    events: HashMap<(usize, String), Times>,
}

impl Arrived {
    /// Takes the records from a collector. `world` has the storm.
    pub(super) fn take(&mut self, collector: &OtlpCollector, world: &World) {
        let at = now();
        let count = |times: &mut Times| times.count += 1;
        for span in collector.take_spans() {
            let attributes = span.attributes();
            let id = attributes.get("checkpointId").and_then(Value::as_i64);
            let (Some(job), Some(id)) = (job_of(&attributes), id) else { continue };
            let records = match ReceivedSpan::name(&span) {
                "Checkpoint" => &mut self.checkpoints,
                "JobInitialization" => &mut self.restores,
                _ => continue,
            };
            records.entry((job, id)).and_modify(count).or_insert(Times { at, count: 1 });
        }
        for event in collector.take_events() {
            let attributes = event.attributes();
            let text = |key: &str| attributes.get(key).and_then(Value::as_str);
            let (Some(job), Some(name)) = (job_of(&attributes), text("name")) else { continue };
            if name == "CheckpointEvent" {
                let Some(id) = attributes.get("checkpointId").and_then(Value::as_i64) else { continue };
                self.checkpoint_events.entry((job, id)).and_modify(count).or_insert(Times { at, count: 1 });
            } else if world.storm.is_some_and(|storm| millis(&event) >= storm) {
                let status = text("newJobStatus").or(text("status"));
                let name = status.map_or_else(|| name.to_owned(), |status| format!("{name} {status}"));
                self.events.entry((job, name)).and_modify(count).or_insert(Times { at, count: 1 });
            }
        }
    }

    pub(super) fn checkpoints(&self) -> usize {
        self.checkpoints.len()
    }

    /// Returns `true` if the checkpoints that each job had at `at` have arrived.
    pub(super) fn has_history(&self, world: &World, at: i64) -> bool {
        (0..world.jobs()).all(|job| {
            let id = world.job(job).ended(at);
            self.checkpoints.contains_key(&(job, id)) && self.checkpoint_events.contains_key(&(job, id))
        })
    }

    /// Checks that each checkpoint that ended from `since` to `until` arrived exactly once, as a
    /// span and as an event, and that the checkpoints before them did if they were in the history.
    ///
    /// Returns the number of checkpoints in that time.
    pub(super) fn check_checkpoints(&self, world: &World, since: i64, until: i64) -> Result<usize> {
        let mut number = 0;
        let mut problems = Vec::new();
        for job in 0..world.jobs() {
            let known = world.job(job);
            let (first, last) = (known.ended(since) + 1, known.ended(until));
            for (what, records) in [("span", &self.checkpoints), ("event", &self.checkpoint_events)] {
                // The oldest may have left the history before the first poll.
                for id in (first - HISTORY + 1)..=last {
                    match records.get(&(job, id)).map_or(0, |times| times.count) {
                        1 => {}
                        count => problems.push(format!("job {job}, checkpoint {id}: {what} arrived {count} times")),
                    }
                }
            }
            number += usize::try_from(last + 1 - first)?;
        }
        let more: Vec<_> =
            self.checkpoints.iter().filter(|((job, id), _)| *id > world.job(*job).ended(now())).collect();
        ensure!(problems.is_empty(), "{} of {number}, such as {:?}", problems.len(), problems.first());
        ensure!(more.is_empty(), "checkpoints that no cluster had: {more:?}");
        Ok(number)
    }

    /// Returns the time of the last record of the storm, once each of them has arrived.
    pub(super) fn storm_over(&self, world: &World) -> Option<i64> {
        let mut last = 0;
        for job in 0..world.jobs() {
            let known = world.job(job);
            let restored = self.restores.get(&(job, known.ended(known.failure(i64::MAX)?)))?;
            last = last.max(restored.at);
            for name in STORM_EVENTS {
                last = last.max(self.events.get(&(job, name.to_owned()))?.at);
            }
        }
        Some(last)
    }

    /// Describes the records of the storm that are missing or arrived several times.
    pub(super) fn storm_problems(&self, world: &World) -> Vec<String> {
        let mut problems = Vec::new();
        for job in 0..world.jobs() {
            let known = world.job(job);
            let restored = known.failure(i64::MAX).map(|failed| known.ended(failed));
            let count = restored.and_then(|id| self.restores.get(&(job, id))).map_or(0, |times| times.count);
            let events = STORM_EVENTS
                .map(|name| (name, self.events.get(&(job, name.to_owned())).map_or(0, |times| times.count)));
            for (name, count) in [("JobInitialization", count)].into_iter().chain(events) {
                if count != 1 {
                    problems.push(format!("job {job}: {name} arrived {count} times"));
                }
            }
        }
        problems
    }

    /// Returns the delays of the checkpoints that ended in a period, in milliseconds, sorted.
    pub(super) fn delays(&self, world: &World, since: i64, until: i64, counts: impl Fn(usize) -> bool) -> Vec<i64> {
        let ended = |job: usize, id: i64| world.job(job).ended_at(id);
        let mut delays: Vec<_> = self
            .checkpoints
            .iter()
            .filter(|((job, _), _)| counts(*job))
            .map(|((job, id), times)| (ended(*job, *id), times.at))
            .filter(|(ended, _)| (since..until).contains(ended))
            .map(|(ended, at)| at - ended)
            .collect();
        delays.sort_unstable();
        delays
    }
}

/// Returns the number of the job in the attributes of a record.
fn job_of(attributes: &std::collections::BTreeMap<String, Value>) -> Option<usize> {
    let id = attributes.get("job_id").or(attributes.get("jobId"))?.as_str()?;
    usize::from_str_radix(id.trim_start_matches('0'), 16).ok()?.checked_sub(1)
}

fn millis(event: &ReceivedEvent) -> i64 {
    i64::try_from(event.time_unix_nano() / 1_000_000).unwrap_or_default()
}
