//! Jars and requests to upload, plan and run them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Other;
use crate::lenient::{minus_one, optional_text, or_default, text};
use crate::{ApplicationId, JarId, JobId};

/// The uploaded jars, returned by `/jars`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JarListInfo {
    /// The address of the JobManager.
    #[serde(default, deserialize_with = "text")]
    pub address: String,
    /// The jars.
    pub files: Vec<JarFileInfo>,
    /// The fields that this crate does not name.
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
    /// The id that names the jar in requests.
    pub id: JarId,
    /// The name under which the jar was uploaded.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// The time of the upload, in milliseconds since the epoch.
    #[serde(default, with = "minus_one")]
    pub uploaded: Option<i64>,
    /// The programs that the jar's manifest names.
    #[serde(default, deserialize_with = "or_default")]
    pub entry: Vec<JarEntryInfo>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JarFileInfo(id: JarId)
    empty(uploaded, name, entry, other)
}

/// A program in a jar, as `JarListInfo.JarEntryInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JarEntryInfo {
    /// The class of the program.
    pub name: String,
    /// The program's description of itself.
    #[serde(default, deserialize_with = "optional_text")]
    pub description: Option<String>,
    /// The fields that this crate does not name.
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
    /// The path under which the JobManager keeps the jar.
    ///
    /// Its last component is the id of the jar.
    pub filename: String,
    /// The word `success`.
    #[serde(default, deserialize_with = "text")]
    pub status: String,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JarUploadResponseBody(filename: impl Into<String>)
    empty(status, other)
}

impl JarUploadResponseBody {
    /// Returns the id that names the jar in requests, or `None` if `filename` is not the path of a
    /// file.
    pub fn jar(&self) -> Option<JarId> {
        JarId::new(self.filename.rsplit(['/', '\\']).next()?).ok()
    }
}

/// A request to run or plan a jar's program.
///
/// It combines the fields of Flink's `JarPlanRequestBody`, `JarRunRequestBody` and
/// `JarRunApplicationRequestBody`. Up to 1.18, Flink rejects fields that the version or the
/// endpoint lacks, so set only the fields that you need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct JarRunRequestBody {
    /// The class of the program, if it is not the one in the jar's manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_class: Option<String>,
    /// The arguments of the program as one text; up to 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_args: Option<String>,
    /// The arguments of the program.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub program_args_list: Vec<String>,
    /// The parallelism, if it is not the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<i64>,
    /// The id to give the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// `true` if state of the savepoint may be left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_non_restored_state: Option<bool>,
    /// The path of the savepoint or checkpoint to start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub savepoint_path: Option<String>,
    /// The ownership of the savepoint after the restore, `CLAIM`, `NO_CLAIM` or `LEGACY`; 1.15 to
    /// 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_mode: Option<String>,
    /// The ownership of the savepoint after the restore, as in `restore_mode`; since 1.20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_mode: Option<String>,
    /// The options of this job only; since 1.17.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub flink_configuration: BTreeMap<String, String>,
    /// The id to give the application; only for applications, since 2.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_id: Option<ApplicationId>,
}

/// A running job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JarRunResponseBody {
    /// The id of the job.
    pub jobid: JobId,
    /// The id of the application that the job belongs to; since 2.3.
    #[serde(rename = "applicationId", skip_serializing_if = "Option::is_none")]
    pub application_id: Option<ApplicationId>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JarRunResponseBody(jobid: JobId)
    empty(application_id, other)
}

/// A running application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JarRunApplicationResponseBody {
    /// The id of the application.
    pub applicationid: ApplicationId,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    JarRunApplicationResponseBody(applicationid: ApplicationId)
    empty(other)
}
