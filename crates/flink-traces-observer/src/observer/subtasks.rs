//! The times at which the subtasks of a job came to run and ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use flink_rest::types::SubtasksTimesInfo;
use flink_rest::{ExecutionState, JobVertexId};
use litemap::LiteMap;

use super::text::{MAX_NAME_CHARS, bounded};

/// The times of all subtasks.
#[derive(Debug, Default)]
pub(super) struct Subtasks {
    vertices: LiteMap<JobVertexId, Vertex>,
    /// The times at which subtasks ended without finishing.
    broken: BTreeSet<i64>,
}

/// The outcomes of the requests for the times of a vertex's subtasks.
#[derive(Debug)]
struct Vertex {
    /// The time of the last request with an outcome.
    asked_at: i64,
    /// The last times; `None` if the cluster did not have them yet.
    times: Option<Times>,
}

/// The times of the subtasks of a vertex.
#[derive(Debug)]
struct Times {
    /// `true` if all have come to run.
    all_run: bool,
    /// The time at which the last one of those came to run.
    last_running: Option<i64>,
    /// The time at which the first one ended without finishing.
    first_broken: Option<i64>,
    locations: Vec<Location>,
}

/// The host of a subtask since a time at which it began to run.
#[derive(Debug)]
pub(super) struct Location {
    subtask: i64,
    since: i64,
    host: Arc<str>,
}

impl Location {
    /// Returns the host of a subtask if it ran there at `ts_millis`. The locations are sorted by
    /// subtask.
    pub(super) fn host_at(locations: &[Self], subtask: i64, ts_millis: i64) -> Option<Arc<str>> {
        let index = locations.binary_search_by_key(&subtask, |location| location.subtask).ok()?;
        let location = locations.get(index).filter(|location| location.since <= ts_millis)?;
        Some(location.host.clone())
    }

    /// Reads the locations of the subtasks that run.
    fn of_running(body: &SubtasksTimesInfo) -> Vec<Self> {
        let mut hosts = BTreeSet::<Arc<str>>::new();
        let mut locations = Vec::with_capacity(body.subtasks.len());
        for subtask in &body.subtasks {
            let since = subtask.timestamps.get(&ExecutionState::Running.into()).copied().unwrap_or(0);
            let without_port =
                |endpoint: &'_ str| endpoint.rsplit_once(':').map_or(endpoint.len(), |(host, _)| host.len());
            let of_endpoint = subtask.endpoint.as_deref().map(|endpoint| &endpoint[..without_port(endpoint)]);
            let host = subtask.host.as_deref().or(of_endpoint);
            if let Some(host) = host.filter(|host| since > 0 && *host != "(unassigned)") {
                let host = bounded(host, MAX_NAME_CHARS);
                let shared = hosts.get(host.as_str()).cloned().unwrap_or_else(|| host.into());
                hosts.insert(shared.clone());
                locations.push(Self { subtask: subtask.subtask, since, host: shared });
            }
        }
        locations.sort_by_key(|location| location.subtask);
        locations
    }
}

impl Subtasks {
    /// Takes the times of a vertex's subtasks, which were requested at `asked_at`.
    pub(super) fn observe(&mut self, asked_at: i64, vertex: &JobVertexId, body: &SubtasksTimesInfo) {
        let locations = Location::of_running(body);
        let mut times = Times { all_run: true, last_running: None, first_broken: None, locations };
        for subtask in &body.subtasks {
            let entered =
                |state: ExecutionState| subtask.timestamps.get(&state.into()).copied().filter(|millis| *millis > 0);
            let running = entered(ExecutionState::Running);
            times.all_run &= running.is_some();
            times.last_running = times.last_running.max(running);
            let broken = [ExecutionState::Failed, ExecutionState::Canceling, ExecutionState::Canceled];
            if let Some(broken) = broken.into_iter().filter_map(entered).min() {
                self.broken.insert(broken);
                times.first_broken = Some(times.first_broken.map_or(broken, |first| first.min(broken)));
            }
        }
        self.vertices.insert(vertex.clone(), Vertex { asked_at, times: Some(times) });
    }

    /// Notes that the cluster does not have the times of a vertex, which were requested at
    /// `asked_at`.
    pub(super) fn observe_missing(&mut self, asked_at: i64, vertex: &JobVertexId) {
        match self.vertices.get_mut(vertex) {
            Some(known) => known.asked_at = asked_at,
            None => drop(self.vertices.insert(vertex.clone(), Vertex { asked_at, times: None })),
        }
    }

    /// Takes the time at which an attempt failed.
    pub(super) fn observe_failed(&mut self, millis: i64) {
        self.broken.insert(millis);
    }

    /// Drops the vertices, because the job has another graph.
    pub(super) fn forget_vertices(&mut self) {
        self.vertices.clear();
    }

    /// Drops the ends before `millis`.
    pub(super) fn forget_ends_before(&mut self, millis: i64) {
        self.broken = self.broken.split_off(&millis);
    }

    /// Returns the locations of the subtasks of a vertex, in the order of the subtasks.
    pub(super) fn locations(&self, vertex: &JobVertexId) -> &[Location] {
        self.times(vertex).map_or(&[], |times| &times.locations)
    }

    /// Returns the time at which the times of a vertex were requested, by the last request with an
    /// outcome.
    pub(super) fn asked_at(&self, vertex: &JobVertexId) -> Option<i64> {
        self.vertices.get(vertex).map(|vertex| vertex.asked_at)
    }

    fn times(&self, vertex: &JobVertexId) -> Option<&Times> {
        self.vertices.get(vertex)?.times.as_ref()
    }

    /// Returns the time at which the last subtask came to run, if all did before one of them
    /// ended.
    pub(super) fn all_running_at<'a>(&self, vertices: impl Iterator<Item = &'a JobVertexId>) -> Option<i64> {
        let mut all_running = None;
        let mut first_broken = i64::MAX;
        for vertex in vertices {
            let times = self.times(vertex).filter(|times| times.all_run)?;
            all_running = all_running.max(times.last_running);
            first_broken = first_broken.min(times.first_broken.unwrap_or(i64::MAX));
        }
        all_running.filter(|running| *running <= first_broken)
    }

    /// Returns the first time within a period at which a subtask ended without finishing.
    pub(super) fn first_broken(&self, from: i64, to: i64) -> Option<i64> {
        self.broken.range(from..).next().copied().filter(|broken| *broken <= to)
    }
}
