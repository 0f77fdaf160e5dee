//! The sentences about what is wrong now, worst first.

use flink_traces_api::readable_duration;
use rusqlite::params;
use serde::Serialize;

use super::states::has_ended;
use super::{ClusterState, History, JobName, RunInfo};
use crate::error::HistoryError;
use crate::files::HOUR_MS;

/// The time after which a cluster that is not observed is called so, in milliseconds.
const UNSEEN_MS: i64 = 60_000;
/// The time in which failures are a restart loop, in milliseconds.
const LOOP_MS: i64 = 600_000;
/// The number of failures in that time.
const LOOP_FAILURES: i64 = 3;

/// The largest time, in milliseconds since the epoch.
const MAX_MS: i64 = 1 << 53;

/// A sentence about a cluster or a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The level.
    pub level: Level,
    /// The name of the cluster.
    pub cluster: String,
    /// The job; `None` if the sentence is about the cluster.
    pub job: Option<JobName>,
    /// The sentence.
    pub text: String,
    /// The time since which it holds.
    pub since_ms: Option<i64>,
}

/// The level of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Level {
    /// Something is broken.
    Critical,
    /// Something may break.
    Warning,
    /// Something is not known.
    Unknown,
}

/// The newest run of a job, with what the sentences need.
struct Current {
    name: JobName,
    run: RunInfo,
    status: Option<(i64, String)>,
    /// The trigger, the duration and the id of the last completed checkpoint that is no savepoint.
    completed: Option<(i64, i64, i64)>,
}

impl History {
    /// Returns the sentences about what is wrong at `now_ms`, worst first.
    ///
    /// `is_live` is `false` for a history that nothing adds to. Then nothing is said about what has
    /// not been seen since.
    ///
    /// # Errors
    /// Fails if the history cannot be read.
    pub fn findings(&self, now_ms: i64, is_live: bool) -> Result<Vec<Finding>, HistoryError> {
        // Far from the limits, so that no difference overflows.
        let now_ms = now_ms.clamp(0, MAX_MS);
        let mut findings = Vec::new();
        let clusters = self.clusters()?;
        if is_live {
            findings.extend(clusters.iter().filter_map(|cluster| of_cluster(cluster, now_ms)));
        }
        for job in self.jobs()? {
            let Some(run) = self.runs(job.job)?.into_iter().max_by_key(|run| run.last_ms) else { continue };
            let status = self.last_status(job.job, run.run, now_ms)?;
            if status.as_ref().is_some_and(|(_, status)| has_ended(status) && status != "FAILED" && status != "GONE") {
                continue;
            }
            let completed = self.get(
                "SELECT trigger_ms, duration_ms, checkpoint_id FROM checkpoint
                 WHERE job = ? AND run = ? AND failed = 0 AND kind IS NULL AND trigger_ms <= ?
                 ORDER BY trigger_ms DESC LIMIT 1",
                params![job.job, run.run, now_ms],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )?;
            let current = Current { name: job, run, status, completed };
            current.add_to(&mut findings, now_ms);
            if !current.has_ended() {
                self.add_counts(&current, &mut findings, now_ms)?;
            }
        }
        findings.sort_by(|a, b| (a.level, a.since_ms, &a.text).cmp(&(b.level, b.since_ms, &b.text)));
        Ok(findings)
    }

    /// Adds sentences about failures and checkpoints of the last hour.
    fn add_counts(&self, current: &Current, findings: &mut Vec<Finding>, now_ms: i64) -> Result<(), HistoryError> {
        let (job, run) = (current.name.job, current.run.run);
        let count = |sql: &str, from_ms: i64| {
            self.value::<i64>(sql, params![job, run, from_ms, now_ms]).map(Option::unwrap_or_default)
        };
        let failures = count(
            "SELECT count(*) FROM failure WHERE job = ? AND run = ? AND at_ms > ? AND at_ms <= ?",
            now_ms - LOOP_MS,
        )?;
        if failures >= LOOP_FAILURES {
            let text = format!("{failures} failures within ten minutes");
            findings.push(current.finding(Level::Critical, text, Some(now_ms - LOOP_MS)));
        }
        let of_hour = "FROM checkpoint WHERE job = ? AND run = ? AND trigger_ms > ? AND trigger_ms <= ?";
        let failed = count(&format!("SELECT sum(failed) {of_hour}"), now_ms - HOUR_MS)?;
        let all = count(&format!("SELECT count(*) {of_hour}"), now_ms - HOUR_MS)?;
        if failed > 0 {
            let level = if failed * 5 > all { Level::Critical } else { Level::Warning };
            let text = format!("{failed} of {all} checkpoints of the last hour failed");
            findings.push(current.finding(level, text, Some(now_ms - HOUR_MS)));
        }
        let missed = count(
            "SELECT sum(count) FROM missed WHERE job = ? AND run = ? AND at_ms > ? AND at_ms <= ?",
            now_ms - 24 * HOUR_MS,
        )?;
        if missed > 0 {
            let text = format!(
                "{missed} checkpoints of the last day came and went between two polls: increase web.checkpoints.history"
            );
            findings.push(current.finding(Level::Unknown, text, Some(now_ms - 24 * HOUR_MS)));
        }
        Ok(())
    }
}

fn of_cluster(cluster: &ClusterState, now_ms: i64) -> Option<Finding> {
    let finding =
        |level, text: String, since_ms| Finding { level, cluster: cluster.cluster.clone(), job: None, text, since_ms };
    match (cluster.reachable, cluster.seen_ms) {
        (Some(false), since_ms) => {
            Some(finding(Level::Critical, "the cluster does not respond".to_owned(), cluster.since_ms.or(since_ms)))
        }
        (Some(true), Some(seen_ms)) if now_ms.saturating_sub(seen_ms) > UNSEEN_MS => {
            let text = format!("not observed for {}", readable_duration(now_ms.saturating_sub(seen_ms)));
            Some(finding(Level::Unknown, text, Some(seen_ms)))
        }
        _ => None,
    }
}

impl Current {
    fn finding(&self, level: Level, text: String, since_ms: Option<i64>) -> Finding {
        Finding { level, cluster: self.name.cluster.clone(), job: Some(self.name.clone()), text, since_ms }
    }

    fn has_ended(&self) -> bool {
        self.status.as_ref().is_some_and(|(_, status)| has_ended(status))
    }

    fn add_to(&self, findings: &mut Vec<Finding>, now_ms: i64) {
        match &self.status {
            Some((at_ms, status)) if status == "FAILED" || status == "GONE" => {
                let text = if status == "GONE" { "gone with its cluster" } else { "failed for good" };
                findings.push(self.finding(Level::Critical, text.to_owned(), Some(*at_ms)));
                return;
            }
            Some((at_ms, status)) if status != "RUNNING" && status != "RETURNED" => {
                let time = readable_duration(now_ms.saturating_sub(*at_ms).max(0));
                let text = format!("{status} for {time}");
                findings.push(self.finding(Level::Critical, text, Some(*at_ms)));
            }
            _ => {}
        }
        let begin_ms = self
            .completed
            .map_or(self.run.first_ms, |(trigger_ms, duration_ms, _)| trigger_ms.saturating_add(duration_ms));
        let age_ms = now_ms.saturating_sub(begin_ms);
        if let Some(interval_ms) = self.run.interval_ms {
            let allowed_ms =
                interval_ms.saturating_mul(3).saturating_add(self.completed.map_or(0, |(_, took, _)| took));
            if age_ms > allowed_ms {
                let since = if self.completed.is_some() { "completed for" } else { "completed in all" };
                let text = format!(
                    "no checkpoint {since} {}; the interval is {}",
                    readable_duration(age_ms),
                    readable_duration(interval_ms)
                );
                findings.push(self.finding(Level::Critical, text, Some(begin_ms)));
            }
        }
        if let (Some((trigger_ms, duration_ms, id)), Some(timeout_ms)) = (self.completed, self.run.timeout_ms)
            && duration_ms.saturating_mul(5) > timeout_ms.saturating_mul(4)
        {
            let text = format!(
                "checkpoint {id} took {} of a timeout of {}",
                readable_duration(duration_ms),
                readable_duration(timeout_ms)
            );
            findings.push(self.finding(Level::Warning, text, Some(trigger_ms)));
        }
    }
}
