//! Applications, since 2.3: programs that run one or more jobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use super::job::JobDetails;
use crate::lenient::{integer, integer_or_unset, integers, or_default, text, unset};
use crate::{ApplicationId, JobId, JobStatus};

/// All applications in short; answers `/applications/overview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MultipleApplicationsDetails {
    /// In no order.
    pub applications: Vec<ApplicationDetails>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    MultipleApplicationsDetails(applications: Vec<ApplicationDetails>)
    empty(other)
}

/// An application in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ApplicationDetails {
    /// The application.
    pub id: ApplicationId,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// When it began, in milliseconds since the epoch.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub start_time: i64,
    /// When it ended, in milliseconds since the epoch; −1 while it has not.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub end_time: i64,
    /// From start to end or now, in milliseconds.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub duration: i64,
    /// Its state: a job's, without those of restarting.
    pub status: String,
    /// How many of its jobs are in which state.
    #[serde(default, deserialize_with = "integers")]
    pub jobs: BTreeMap<JobStatus, i64>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ApplicationDetails(id: ApplicationId, status: impl Into<String>)
    unset(start_time, end_time, duration)
    empty(name, jobs, other)
}

/// An application with its jobs; answers `/applications/:applicationid`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ApplicationDetailsInfo {
    /// The application.
    pub id: ApplicationId,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// Its state.
    pub status: String,
    /// When it began, in milliseconds since the epoch.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub start_time: i64,
    /// When it ended, in milliseconds since the epoch; −1 while it has not.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub end_time: i64,
    /// From start to end or now, in milliseconds.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub duration: i64,
    /// When it entered each state, in milliseconds since the epoch; 0 for a state it never entered.
    #[serde(default, deserialize_with = "integers")]
    pub timestamps: BTreeMap<String, i64>,
    /// Its jobs.
    #[serde(default, deserialize_with = "or_default")]
    pub jobs: Vec<JobDetails>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ApplicationDetailsInfo(id: ApplicationId, status: impl Into<String>)
    unset(start_time, end_time, duration)
    empty(name, timestamps, jobs, other)
}

/// An application's failures; answers `/applications/:applicationid/exceptions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ApplicationExceptionsInfoWithHistory {
    /// The failures.
    pub exception_history: ApplicationExceptionHistory,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ApplicationExceptionsInfoWithHistory(exception_history: ApplicationExceptionHistory)
    empty(other)
}

/// An application's failures, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ApplicationExceptionHistory {
    /// The failures.
    pub entries: Vec<ApplicationExceptionInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ApplicationExceptionHistory(entries: Vec<ApplicationExceptionInfo>)
    empty(other)
}

/// An application's failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ApplicationExceptionInfo {
    /// The class of the exception.
    #[serde(default, deserialize_with = "text")]
    pub exception_name: String,
    /// The stack trace.
    #[serde(default, deserialize_with = "text")]
    pub stacktrace: String,
    /// When it was, in milliseconds since the epoch.
    #[serde(deserialize_with = "integer")]
    pub timestamp: i64,
    /// The job that failed, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ApplicationExceptionInfo(timestamp: i64)
    empty(exception_name, stacktrace, job_id, other)
}
