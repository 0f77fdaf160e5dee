//! Applications: programs that run one or more jobs; since 2.3.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use super::job::JobDetails;
use crate::lenient::{integer, integers, minus_one, or_default, text};
use crate::{ApplicationId, JobId, JobStatus, OpenEnum};

/// Summaries of all applications, returned by `/applications/overview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MultipleApplicationsDetails {
    /// The applications, in no particular order.
    pub applications: Vec<ApplicationDetails>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    MultipleApplicationsDetails(applications: Vec<ApplicationDetails>)
    empty(other)
}

/// A summary of an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ApplicationDetails {
    /// The id of the application.
    pub id: ApplicationId,
    /// The name of the application.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// The start time, in milliseconds since the epoch.
    #[serde(default, with = "minus_one")]
    pub start_time: Option<i64>,
    /// The end time, in milliseconds since the epoch; `None` until the application has ended.
    #[serde(default, with = "minus_one")]
    pub end_time: Option<i64>,
    /// The time from the start to the end, or until now, in milliseconds.
    #[serde(default, with = "minus_one")]
    pub duration: Option<i64>,
    /// The state of the application: a job's state, except for the states of restarting.
    pub status: String,
    /// The number of the application's jobs in each state.
    #[serde(default, deserialize_with = "integers")]
    pub jobs: BTreeMap<OpenEnum<JobStatus>, i64>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ApplicationDetails(id: ApplicationId, status: impl Into<String>)
    empty(start_time, end_time, duration, name, jobs, other)
}

/// An application with its jobs, returned by `/applications/:applicationid`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ApplicationDetailsInfo {
    /// The id of the application.
    pub id: ApplicationId,
    /// The name of the application.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// The state of the application.
    pub status: String,
    /// The start time, in milliseconds since the epoch.
    #[serde(default, with = "minus_one")]
    pub start_time: Option<i64>,
    /// The end time, in milliseconds since the epoch; `None` until the application has ended.
    #[serde(default, with = "minus_one")]
    pub end_time: Option<i64>,
    /// The time from the start to the end, or until now, in milliseconds.
    #[serde(default, with = "minus_one")]
    pub duration: Option<i64>,
    /// The time of entry into each state, in milliseconds since the epoch; 0 for a state never
    /// entered.
    #[serde(default, deserialize_with = "integers")]
    pub timestamps: BTreeMap<String, i64>,
    /// The jobs of the application.
    #[serde(default, deserialize_with = "or_default")]
    pub jobs: Vec<JobDetails>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ApplicationDetailsInfo(id: ApplicationId, status: impl Into<String>)
    empty(start_time, end_time, duration, name, timestamps, jobs, other)
}

/// The failures of an application, returned by `/applications/:applicationid/exceptions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ApplicationExceptionsInfoWithHistory {
    /// The failures.
    pub exception_history: ApplicationExceptionHistory,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ApplicationExceptionsInfoWithHistory(exception_history: ApplicationExceptionHistory)
    empty(other)
}

/// The failures of an application, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ApplicationExceptionHistory {
    /// The failures.
    pub entries: Vec<ApplicationExceptionInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ApplicationExceptionHistory(entries: Vec<ApplicationExceptionInfo>)
    empty(other)
}

/// A failure of an application.
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
    /// The time of the failure, in milliseconds since the epoch.
    #[serde(deserialize_with = "integer")]
    pub timestamp: i64,
    /// The id of the job that failed, if the failure was that of a job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    ApplicationExceptionInfo(timestamp: i64)
    empty(exception_name, stacktrace, job_id, other)
}
