//! The endpoints, each declared once: its path as Flink writes it, its parameters, what it answers.

use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::types::{
    CheckpointConfigInfo, CheckpointStatistics, CheckpointingStatistics, ClusterOverviewWithVersion,
    DashboardConfiguration, JobDetailsInfo, JobExceptionsInfoWithHistory, JobIdsWithStatusOverview,
    JobVertexDetailsInfo, MetricCollectionResponseBody, MultipleJobsDetails, SubtaskExecutionAttemptDetailsInfo,
    SubtasksTimesInfo, TaskCheckpointStatisticsWithSubtaskDetails, TaskManagersInfo,
};
use crate::{JobId, JobVertexId};

/// What stays as it is in a path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A question that Flink answers, with its parameters; what Flink calls `MessageHeaders` and `MessageParameters`.
///
/// `Client::call` asks any type that has this trait, so a program may declare endpoints that this crate lacks.
pub trait Endpoint: Sized {
    /// The HTTP method.
    const METHOD: &'static str = "GET";

    /// The path as Flink declares it, with `:name` in the places of parameters. Flink takes it with and without `/v1` before it.
    const PATH: &'static str;

    /// What it answers with status 200.
    type Response: Serialize + DeserializeOwned;

    /// The values of the path's parameters, in order; not encoded.
    fn parameters(&self) -> Vec<String> {
        Vec::new()
    }

    /// The query, encoded.
    fn query(&self) -> Option<String> {
        None
    }

    /// The endpoint back from its parameters; `None` where one is not of its kind.
    fn from_parameters(parameters: &mut Parameters<'_>) -> Option<Self>;

    /// The path to request, with the query.
    fn path(&self) -> String {
        let mut parameters = self.parameters().into_iter();
        let mut path = String::new();
        for segment in segments(Self::PATH) {
            path.push('/');
            match segment.strip_prefix(':') {
                Some(_) => path.push_str(&encoded(&parameters.next().unwrap_or_default())),
                None => path.push_str(segment),
            }
        }
        if let Some(query) = self.query() {
            path.push('?');
            path.push_str(&query);
        }
        path
    }

    /// The endpoint that `path` asks, with or without `/v1`, query and a slash at its end; `None` if that is not this one.
    fn parse(path: &str) -> Option<Self> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = path.strip_prefix("/v1").filter(|path| path.starts_with('/')).unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path).strip_prefix('/')?;
        let mut given = path.split('/');
        let mut values = Vec::new();
        for segment in segments(Self::PATH) {
            let value = given.next()?;
            match segment.strip_prefix(':') {
                Some(_) => values.push(value),
                None if segment == value => {}
                None => return None,
            }
        }
        if given.next().is_some() {
            return None;
        }
        Self::from_parameters(&mut Parameters { values: values.into_iter(), query })
    }
}

fn segments(template: &'static str) -> impl Iterator<Item = &'static str> {
    template.split('/').skip(1)
}

/// The parameters of a request as they came.
#[derive(Debug)]
pub struct Parameters<'a> {
    values: std::vec::IntoIter<&'a str>,
    query: &'a str,
}

impl<'a> Parameters<'a> {
    /// The path's next parameter, decoded; `None` if there is none or it is no `T`.
    pub fn take<T: FromStr>(&mut self) -> Option<T> {
        decoded(self.values.next()?)?.parse().ok()
    }

    /// The list that the query's parameter `key` holds, items decoded; `None` if the query lacks it.
    pub fn list(&self, key: &str) -> Option<Vec<String>> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, list) = pairs.find(|(name, _)| *name == key)?;
        list.split(',').map(decoded).collect()
    }
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

/// What the web UI needs to know, Flink's version with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Config;

impl Endpoint for Config {
    const PATH: &'static str = "/config";
    type Response = DashboardConfiguration;

    fn from_parameters(_: &mut Parameters<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// How many TaskManagers, slots and jobs there are. Never cached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Overview;

impl Endpoint for Overview {
    const PATH: &'static str = "/overview";
    type Response = ClusterOverviewWithVersion;

    fn from_parameters(_: &mut Parameters<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// Ids and states of all jobs. Never cached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jobs;

impl Endpoint for Jobs {
    const PATH: &'static str = "/jobs";
    type Response = JobIdsWithStatusOverview;

    fn from_parameters(_: &mut Parameters<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// All jobs in short: the one question that finds every change of state. Never cached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobsOverview;

impl Endpoint for JobsOverview {
    const PATH: &'static str = "/jobs/overview";
    type Response = MultipleJobsDetails;

    fn from_parameters(_: &mut Parameters<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// A job with its vertices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Job {
    /// The job.
    pub job: JobId,
}

impl Endpoint for Job {
    const PATH: &'static str = "/jobs/:jobid";
    type Response = JobDetailsInfo;

    fn parameters(&self) -> Vec<String> {
        vec![self.job.to_string()]
    }

    fn from_parameters(parameters: &mut Parameters<'_>) -> Option<Self> {
        Some(Self { job: parameters.take()? })
    }
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobExceptions {
    /// The job.
    pub job: JobId,
}

impl Endpoint for JobExceptions {
    const PATH: &'static str = "/jobs/:jobid/exceptions";
    type Response = JobExceptionsInfoWithHistory;

    fn parameters(&self) -> Vec<String> {
        vec![self.job.to_string()]
    }

    fn from_parameters(parameters: &mut Parameters<'_>) -> Option<Self> {
        Some(Self { job: parameters.take()? })
    }
}

/// A job's metrics by name, such as `lastCheckpointRestoreTimestamp` and `numRestarts`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobMetrics {
    /// The job.
    pub job: JobId,
    /// The metrics wanted; none asks for the names of all. Flink leaves out those it does not know.
    pub names: Vec<String>,
}

impl Endpoint for JobMetrics {
    const PATH: &'static str = "/jobs/:jobid/metrics";
    type Response = MetricCollectionResponseBody;

    fn parameters(&self) -> Vec<String> {
        vec![self.job.to_string()]
    }

    fn query(&self) -> Option<String> {
        let names: Vec<_> = self.names.iter().map(|name| encoded(name)).collect();
        (!names.is_empty()).then(|| format!("get={}", names.join(",")))
    }

    fn from_parameters(parameters: &mut Parameters<'_>) -> Option<Self> {
        Some(Self { job: parameters.take()?, names: parameters.list("get").unwrap_or_default() })
    }
}

/// A job's checkpoints: counts, the latest, the last ten. 404 for a batch job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checkpoints {
    /// The job.
    pub job: JobId,
}

impl Endpoint for Checkpoints {
    const PATH: &'static str = "/jobs/:jobid/checkpoints";
    type Response = CheckpointingStatistics;

    fn parameters(&self) -> Vec<String> {
        vec![self.job.to_string()]
    }

    fn from_parameters(parameters: &mut Parameters<'_>) -> Option<Self> {
        Some(Self { job: parameters.take()? })
    }
}

/// How a job checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointConfig {
    /// The job.
    pub job: JobId,
}

impl Endpoint for CheckpointConfig {
    const PATH: &'static str = "/jobs/:jobid/checkpoints/config";
    type Response = CheckpointConfigInfo;

    fn parameters(&self) -> Vec<String> {
        vec![self.job.to_string()]
    }

    fn from_parameters(parameters: &mut Parameters<'_>) -> Option<Self> {
        Some(Self { job: parameters.take()? })
    }
}

/// A checkpoint with its vertices. Ask only for what the history has just shown, and see [`CheckpointStatistics`] for what to check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointDetails {
    /// The job.
    pub job: JobId,
    /// The checkpoint.
    pub checkpoint: i64,
}

impl Endpoint for CheckpointDetails {
    const PATH: &'static str = "/jobs/:jobid/checkpoints/details/:checkpointid";
    type Response = CheckpointStatistics;

    fn parameters(&self) -> Vec<String> {
        vec![self.job.to_string(), self.checkpoint.to_string()]
    }

    fn from_parameters(parameters: &mut Parameters<'_>) -> Option<Self> {
        Some(Self { job: parameters.take()?, checkpoint: parameters.take()? })
    }
}

/// A checkpoint's share of one vertex, with its subtasks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointSubtasks {
    /// The job.
    pub job: JobId,
    /// The checkpoint.
    pub checkpoint: i64,
    /// The vertex.
    pub vertex: JobVertexId,
}

impl Endpoint for CheckpointSubtasks {
    const PATH: &'static str = "/jobs/:jobid/checkpoints/details/:checkpointid/subtasks/:vertexid";
    type Response = TaskCheckpointStatisticsWithSubtaskDetails;

    fn parameters(&self) -> Vec<String> {
        vec![self.job.to_string(), self.checkpoint.to_string(), self.vertex.to_string()]
    }

    fn from_parameters(parameters: &mut Parameters<'_>) -> Option<Self> {
        Some(Self { job: parameters.take()?, checkpoint: parameters.take()?, vertex: parameters.take()? })
    }
}

/// A vertex with its subtasks' current attempts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vertex {
    /// The job.
    pub job: JobId,
    /// The vertex.
    pub vertex: JobVertexId,
}

impl Endpoint for Vertex {
    const PATH: &'static str = "/jobs/:jobid/vertices/:vertexid";
    type Response = JobVertexDetailsInfo;

    fn parameters(&self) -> Vec<String> {
        vec![self.job.to_string(), self.vertex.to_string()]
    }

    fn from_parameters(parameters: &mut Parameters<'_>) -> Option<Self> {
        Some(Self { job: parameters.take()?, vertex: parameters.take()? })
    }
}

/// When each subtask of a vertex entered which state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubtaskTimes {
    /// The job.
    pub job: JobId,
    /// The vertex.
    pub vertex: JobVertexId,
}

impl Endpoint for SubtaskTimes {
    const PATH: &'static str = "/jobs/:jobid/vertices/:vertexid/subtasktimes";
    type Response = SubtasksTimesInfo;

    fn parameters(&self) -> Vec<String> {
        vec![self.job.to_string(), self.vertex.to_string()]
    }

    fn from_parameters(parameters: &mut Parameters<'_>) -> Option<Self> {
        Some(Self { job: parameters.take()?, vertex: parameters.take()? })
    }
}

/// One attempt to run a subtask, also one that a restart has replaced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubtaskAttempt {
    /// The job.
    pub job: JobId,
    /// The vertex.
    pub vertex: JobVertexId,
    /// The subtask's index, from 0.
    pub subtask: i64,
    /// The attempt's number, from 0.
    pub attempt: i64,
}

impl Endpoint for SubtaskAttempt {
    const PATH: &'static str = "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt";
    type Response = SubtaskExecutionAttemptDetailsInfo;

    fn parameters(&self) -> Vec<String> {
        vec![self.job.to_string(), self.vertex.to_string(), self.subtask.to_string(), self.attempt.to_string()]
    }

    fn from_parameters(parameters: &mut Parameters<'_>) -> Option<Self> {
        Some(Self {
            job: parameters.take()?,
            vertex: parameters.take()?,
            subtask: parameters.take()?,
            attempt: parameters.take()?,
        })
    }
}

/// All TaskManagers. Never cached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskManagers;

impl Endpoint for TaskManagers {
    const PATH: &'static str = "/taskmanagers";
    type Response = TaskManagersInfo;

    fn from_parameters(_: &mut Parameters<'_>) -> Option<Self> {
        Some(Self)
    }
}
