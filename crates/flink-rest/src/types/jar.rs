//! Jars: uploaded, planned, run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use crate::lenient::{integer_or_unset, optional_text, or_default, text, unset};
use crate::{ApplicationId, JarId, JobId};

/// The jars that were uploaded; answers `/jars`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JarListInfo {
    /// The address of the JobManager.
    #[serde(default, deserialize_with = "text")]
    pub address: String,
    /// The jars.
    pub files: Vec<JarFileInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JarListInfo(files: Vec<JarFileInfo>)
    empty(address, other)
}

/// A jar, as `JarListInfo.JarFileInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JarFileInfo {
    /// By what it is named in requests.
    pub id: JarId,
    /// The name under which it was uploaded.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// When that was, in milliseconds since the epoch.
    #[serde(default = "unset", deserialize_with = "integer_or_unset")]
    pub uploaded: i64,
    /// The programs that its manifest names.
    #[serde(default, deserialize_with = "or_default")]
    pub entry: Vec<JarEntryInfo>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JarFileInfo(id: JarId)
    unset(uploaded)
    empty(name, entry, other)
}

/// A program in a jar, as `JarListInfo.JarEntryInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JarEntryInfo {
    /// Its class.
    pub name: String,
    /// What it says of itself.
    #[serde(default, deserialize_with = "optional_text")]
    pub description: Option<String>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JarEntryInfo(name: impl Into<String>)
    empty(description, other)
}

/// A jar that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JarUploadResponseBody {
    /// Where the JobManager keeps it; its last part is the jar's id.
    pub filename: String,
    /// `success`.
    #[serde(default, deserialize_with = "text")]
    pub status: String,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JarUploadResponseBody(filename: impl Into<String>)
    empty(status, other)
}

impl JarUploadResponseBody {
    /// By what the jar is named in requests; `None` if `filename` is no path of a file.
    pub fn jar(&self) -> Option<JarId> {
        JarId::new(self.filename.rsplit(['/', '\\']).next()?).ok()
    }
}

/// How to run a jar's program, or to plan it: the fields of Flink's `JarPlanRequestBody`, `JarRunRequestBody` and
/// `JarRunApplicationRequestBody` in one. Up to 1.18 a field that the version or the endpoint lacks is refused, so set only those that
/// are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct JarRunRequestBody {
    /// The program's class, if not that of the jar's manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_class: Option<String>,
    /// The program's arguments as one text; up to 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_args: Option<String>,
    /// The program's arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub program_args_list: Vec<String>,
    /// The parallelism, if not the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<i64>,
    /// The id that the job shall have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// Whether state of the savepoint may be left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_non_restored_state: Option<bool>,
    /// The savepoint or checkpoint to begin from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub savepoint_path: Option<String>,
    /// `CLAIM`, `NO_CLAIM` or `LEGACY`: whom the savepoint belongs to afterwards; 1.15 to 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_mode: Option<String>,
    /// The same; since 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_mode: Option<String>,
    /// Options of this job only; since 1.17.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub flink_configuration: BTreeMap<String, String>,
    /// The id that the application shall have; for an application only, since 2.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_id: Option<ApplicationId>,
}

/// A job that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JarRunResponseBody {
    /// The job.
    pub jobid: JobId,
    /// The application that it belongs to; since 2.3.
    #[serde(rename = "applicationId", skip_serializing_if = "Option::is_none")]
    pub application_id: Option<ApplicationId>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JarRunResponseBody(jobid: JobId)
    empty(application_id, other)
}

/// An application that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JarRunApplicationResponseBody {
    /// The application.
    pub applicationid: ApplicationId,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JarRunApplicationResponseBody(applicationid: ApplicationId)
    empty(other)
}
