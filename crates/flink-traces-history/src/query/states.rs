//! The states of jobs over time.

use std::collections::HashMap;

use rusqlite::params;
use serde::Serialize;

use super::{History, Window};
use crate::error::HistoryError;

/// A period in which a run of a job had one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Band {
    /// The number of the run.
    pub run: i64,
    /// The status.
    pub status: String,
    /// The start.
    pub from_ms: i64,
    /// The end, which is that of the window if the status lasts longer.
    pub to_ms: i64,
}

impl Band {
    /// Returns `true` if the job should have run and did not.
    pub fn is_down(&self) -> bool {
        !matches!(&*self.status, "RUNNING" | "RETURNED" | "VANISHED" | "GONE") && !has_ended(&self.status)
    }
}

/// Returns `true` for the status of a job that runs no more.
pub(super) fn has_ended(status: &str) -> bool {
    matches!(status, "FINISHED" | "CANCELED" | "FAILED" | "SUSPENDED" | "GONE")
}

/// The statuses of subtasks, which are no statuses of a job.
pub(super) const NO_STATUS: &str = "('ALL_RUNNING_OR_FINISHED', 'NOT_ALL_RUNNING_OR_FINISHED')";

impl History {
    /// Returns the bands of one job, or of all jobs, that reach into the window.
    pub(super) fn bands(&self, job: Option<i64>, window: Window) -> Result<HashMap<i64, Vec<Band>>, HistoryError> {
        let condition = if job.is_some() { "job = ?1 AND" } else { "?1 IS NULL AND" };
        let sql = format!(
            "SELECT job, run, at_ms, status FROM state WHERE {condition} at_ms < ?2 AND status NOT IN {NO_STATUS}
             ORDER BY job, run, at_ms"
        );
        let changes: Vec<(i64, i64, i64, String)> = self
            .list(&sql, params![job, window.to_ms], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let mut bands: HashMap<i64, Vec<Band>> = HashMap::new();
        for (index, (job, run, at_ms, status)) in changes.iter().enumerate() {
            let next = changes.get(index + 1).filter(|next| (next.0, next.1) == (*job, *run));
            let to_ms = next.map_or(window.to_ms, |next| next.2);
            // A state that lasts longer than the window has a band, and so has the last of a run.
            if to_ms > window.from_ms && !(next.is_none() && has_ended(status) && *at_ms < window.from_ms) {
                let band = Band { run: *run, status: status.clone(), from_ms: *at_ms, to_ms };
                bands.entry(*job).or_default().push(band);
            }
        }
        Ok(bands)
    }
}

/// Returns the time in which the job was down within the window.
pub(super) fn down_ms(bands: &[Band], window: Window) -> i64 {
    bands.iter().filter(|band| band.is_down()).map(|band| window.overlap_ms(band.from_ms, band.to_ms)).sum()
}
