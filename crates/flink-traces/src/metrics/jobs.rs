//! The metrics of jobs, which are made of what the observer derived.

use std::collections::BTreeMap;
use std::fmt;

use flink_rest::JobStatus;
use flink_traces_observer::{JobKey, JobObservation, Observation};
use flink_traces_runtime::CheckpointStats;
use flink_traces_runtime::checkpoint::{CheckpointStatus, CheckpointType, InitializationStats};
use flink_traces_runtime::metrics::{Kind, Labels, Page};

/// The time for which the metrics of an ended job stay, in milliseconds.
const RETENTION_MS: i64 = 15 * 60_000;
/// The maximum length of the name of a job in a label, in characters.
const MAX_NAME: usize = 200;
/// The usual length of the samples of a job.
const BYTES_PER_JOB: usize = 1_400;

/// The metrics of all jobs.
#[derive(Debug)]
pub(crate) struct Jobs {
    /// The maximum number of jobs.
    limit: usize,
    /// The jobs by cluster and id.
    jobs: BTreeMap<(String, String), Job>,
    /// The number of jobs that were left out because of the limit.
    omitted: u64,
    /// `true` if a job came, went or ended since the labels were set.
    are_labels_stale: bool,
}

/// A completed checkpoint.
#[derive(Debug)]
struct Completed {
    id: i64,
    ended_at: i64,
    duration: i64,
    size: Option<i64>,
}

/// The figures of one job.
#[derive(Debug)]
struct Job {
    name: String,
    /// The labels of its samples, or `None` if it is not shown.
    labels: Option<Labels>,
    started_at: i64,
    status: Option<JobStatus>,
    /// The time of the last change of the status, in milliseconds since the epoch.
    changed_at: i64,
    /// The time without `RUNNING` up to `changed_at`, in milliseconds.
    not_running: i64,
    /// The largest value of the time without `RUNNING` on a page, in milliseconds. A change becomes
    /// known late, and a counter must not decrease then.
    shown_not_running: i64,
    completed: u64,
    failed: u64,
    missed: u64,
    restores: u64,
    failures: u64,
    last_completed: Option<Completed>,
    last_recovery: Option<i64>,
    checkpoint_interval: Option<i64>,
    checkpoint_timeout: Option<i64>,
}

/// A metric with at most one value for each job.
struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: fn(&Job) -> Option<Value>,
}

/// The value of a metric.
enum Value {
    Count(u64),
    Millis(i64),
    Bytes(i64),
}

impl fmt::Display for Value {
    /// Writes a time in seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Bytes(bytes) => write!(f, "{bytes}"),
            Self::Millis(millis) => {
                let sign = if *millis < 0 { "-" } else { "" };
                let millis = millis.unsigned_abs();
                write!(f, "{sign}{}.{:03}", millis / 1_000, millis % 1_000)
            }
        }
    }
}

const METRICS: &[Metric] = &[
    Metric {
        name: "flink_traces_job_start_timestamp_seconds",
        kind: Kind::Gauge,
        help: "The time at which the JobManager took up the job, in seconds since the epoch.",
        value: |job| Some(Value::Millis(job.started_at)),
    },
    Metric {
        name: "flink_traces_job_last_completed_checkpoint_timestamp_seconds",
        kind: Kind::Gauge,
        help: "The end of the last completed checkpoint that is no savepoint, in seconds since the epoch.",
        value: |job| Some(Value::Millis(job.last_completed.as_ref()?.ended_at)),
    },
    Metric {
        name: "flink_traces_job_last_completed_checkpoint_duration_seconds",
        kind: Kind::Gauge,
        help: "The duration of the last completed checkpoint.",
        value: |job| Some(Value::Millis(job.last_completed.as_ref()?.duration)),
    },
    Metric {
        name: "flink_traces_job_last_completed_checkpoint_size_bytes",
        kind: Kind::Gauge,
        help: "The full size of the last completed checkpoint.",
        value: |job| Some(Value::Bytes(job.last_completed.as_ref()?.size?)),
    },
    Metric {
        name: "flink_traces_job_completed_checkpoints_total",
        kind: Kind::Counter,
        help: "Completed checkpoints and savepoints that were seen.",
        value: |job| Some(Value::Count(job.completed)),
    },
    Metric {
        name: "flink_traces_job_failed_checkpoints_total",
        kind: Kind::Counter,
        help: "Failed checkpoints and savepoints that were seen.",
        value: |job| Some(Value::Count(job.failed)),
    },
    Metric {
        name: "flink_traces_job_missed_checkpoints_total",
        kind: Kind::Counter,
        help: "Checkpoints that came and went between two polls.",
        value: |job| Some(Value::Count(job.missed)),
    },
    Metric {
        name: "flink_traces_job_restores_total",
        kind: Kind::Counter,
        help: "Starts of all subtasks from a checkpoint.",
        value: |job| Some(Value::Count(job.restores)),
    },
    Metric {
        name: "flink_traces_job_failures_total",
        kind: Kind::Counter,
        help: "Failures that the scheduler handled.",
        value: |job| Some(Value::Count(job.failures)),
    },
    Metric {
        name: "flink_traces_job_not_running_seconds_total",
        kind: Kind::Counter,
        help: "The time in which the job had neither the status RUNNING nor ended.",
        value: |job| Some(Value::Millis(job.shown_not_running)),
    },
    Metric {
        name: "flink_traces_job_last_recovery_duration_seconds",
        kind: Kind::Gauge,
        help: "The time from the start of the last restore until all subtasks ran.",
        value: |job| Some(Value::Millis(job.last_recovery?)),
    },
    Metric {
        name: "flink_traces_job_checkpoint_interval_seconds",
        kind: Kind::Gauge,
        help: "The interval of the job's periodic checkpoints.",
        value: |job| Some(Value::Millis(job.checkpoint_interval?)),
    },
    Metric {
        name: "flink_traces_job_checkpoint_timeout_seconds",
        kind: Kind::Gauge,
        help: "The timeout of the job's checkpoints.",
        value: |job| Some(Value::Millis(job.checkpoint_timeout?)),
    },
];

impl Jobs {
    /// Creates the metrics of at most `limit` jobs.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, jobs: BTreeMap::new(), omitted: 0, are_labels_stale: false }
    }

    /// Takes an observation of a cluster into account, at `now` in milliseconds since the epoch.
    pub(crate) fn observe(&mut self, now: i64, cluster: &str, observation: &JobObservation) {
        let JobObservation { job: key, observation, .. } = observation;
        let id = (cluster.to_owned(), key.id.clone());
        if !self.jobs.contains_key(&id) {
            self.remove_ended(now);
            if self.jobs.len() >= self.limit {
                self.omitted += 1;
                return;
            }
            self.are_labels_stale = true;
        }
        let job = self.jobs.entry(id).or_insert_with(|| Job::new(key));
        let had_ended = job.has_ended();
        job.observe(observation);
        self.are_labels_stale |= job.has_ended() != had_ended;
    }

    /// Removes the jobs of a cluster that is not watched any more.
    pub(crate) fn remove_cluster(&mut self, cluster: &str) {
        self.retain(|known, _| known != cluster);
    }

    /// Removes the jobs that ended long ago.
    fn remove_ended(&mut self, now: i64) {
        self.retain(|_, job| !job.has_ended() || now.saturating_sub(job.changed_at) < RETENTION_MS);
    }

    /// Keeps the jobs for which `is_kept` returns `true`, given their cluster.
    fn retain(&mut self, is_kept: impl Fn(&str, &Job) -> bool) {
        let count = self.jobs.len();
        self.jobs.retain(|(cluster, _), job| is_kept(cluster, job));
        self.are_labels_stale |= self.jobs.len() < count;
    }

    /// Adds the metrics to a page at `now`, in milliseconds since the epoch.
    pub(crate) fn add_to(&mut self, page: &mut Page, now: i64) {
        self.remove_ended(now);
        if std::mem::take(&mut self.are_labels_stale) {
            let labels = self.labels();
            self.jobs.values_mut().zip(labels).for_each(|(job, labels)| job.labels = labels);
        }
        self.jobs.values_mut().for_each(|job| job.show_not_running(now));
        let jobs: Vec<_> =
            self.jobs.iter().filter_map(|((_, id), job)| Some((id, job, job.labels.as_ref()?))).collect();

        page.reserve(jobs.len() * BYTES_PER_JOB);
        page.head("flink_traces_job_info", Kind::Gauge, "The id of the job, with the value 1.");
        for (id, _, labels) in &jobs {
            page.sample_with("flink_traces_job_info", labels, ("job_id", id), 1);
        }
        page.head("flink_traces_job_status", Kind::Gauge, "The status of the job as a label, with the value 1.");
        for (_, job, labels) in &jobs {
            if let Some(status) = job.status {
                page.sample_with("flink_traces_job_status", labels, ("status", status.name()), 1);
            }
        }
        for Metric { name, kind, help, value } in METRICS {
            page.head(name, *kind, help);
            for (_, job, labels) in &jobs {
                if let Some(value) = value(job) {
                    page.sample(name, labels, value);
                }
            }
        }
        page.head(
            "flink_traces_jobs_omitted_total",
            Kind::Counter,
            "Observations of jobs beyond the maximum number of jobs.",
        );
        page.sample("flink_traces_jobs_omitted_total", &Labels::default(), self.omitted);
    }

    /// Returns the labels of each job, or `None` for a job that is not shown.
    ///
    /// Of several jobs with one name in a cluster, the one that started first has the plain name,
    /// and the others have a part of their id behind it. An ended job is shown only while no other
    /// job has its name.
    fn labels(&self) -> Vec<Option<Labels>> {
        let mut by_name: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for ((cluster, id), job) in &self.jobs {
            let name = (cluster.as_str(), job.name.as_str());
            by_name.entry(name).or_default().push((job.has_ended(), job.started_at, id.as_str()));
        }
        let has_plain_name = |cluster: &str, id: &str, job: &Job| {
            let of_name = &by_name[&(cluster, job.name.as_str())];
            let latest_ended =
                of_name.iter().filter(|(has_ended, ..)| *has_ended).max_by_key(|(_, start, id)| (*start, *id));
            let first_alive =
                of_name.iter().filter(|(has_ended, ..)| !has_ended).min_by_key(|(_, start, id)| (*start, *id));
            first_alive.or(latest_ended).is_some_and(|(.., first)| *first == id)
        };
        let labels = self.jobs.iter().map(|((cluster, id), job)| {
            let plain = Labels::new(&[("cluster", cluster)]);
            if has_plain_name(cluster, id, job) {
                Some(plain.with("job_name", &job.name))
            } else if job.has_ended() {
                None
            } else {
                let part: String = id.chars().take(8).collect();
                Some(plain.with("job_name", &format!("{} ({part})", job.name)))
            }
        });
        labels.collect()
    }
}

impl Job {
    fn new(key: &JobKey) -> Self {
        let mut name: String = key.name.chars().take(MAX_NAME).collect();
        if name.len() < key.name.len() {
            name.push('…');
        }
        Self {
            name,
            labels: None,
            started_at: key.start_time,
            status: None,
            changed_at: key.start_time,
            not_running: 0,
            shown_not_running: 0,
            completed: 0,
            failed: 0,
            missed: 0,
            restores: 0,
            failures: 0,
            last_completed: None,
            last_recovery: None,
            checkpoint_interval: None,
            checkpoint_timeout: None,
        }
    }

    fn has_ended(&self) -> bool {
        self.status.is_some_and(JobStatus::is_globally_terminal)
    }

    fn observe(&mut self, observation: &Observation) {
        match observation {
            Observation::Checkpoint(stats) => self.observe_checkpoint(stats),
            Observation::Initialization { stats, .. } => self.observe_initialization(stats),
            Observation::StatusChange { status, ts_millis } => self.observe_status(*status, *ts_millis),
            Observation::Failure(_) => self.failures += 1,
            Observation::Missed(missed) => {
                self.missed = self.missed.saturating_add(missed.count.unsigned_abs());
            }
            Observation::Content { job, .. } => {
                self.checkpoint_interval = job.checkpoint_interval_ms;
                self.checkpoint_timeout = job.checkpoint_timeout_ms;
            }
            _ => {}
        }
    }

    fn observe_checkpoint(&mut self, stats: &CheckpointStats) {
        self.checkpoint_interval = stats.checkpoint_interval_ms.or(self.checkpoint_interval);
        self.checkpoint_timeout = stats.checkpoint_timeout_ms.or(self.checkpoint_timeout);
        if stats.status != CheckpointStatus::Completed {
            self.failed += 1;
            return;
        }
        self.completed += 1;
        if !matches!(stats.checkpoint_type, CheckpointType::Checkpoint | CheckpointType::FullCheckpoint) {
            return;
        }
        let ended_at = stats.latest_ack_timestamp.unwrap_or(stats.trigger_timestamp);
        if self.last_completed.as_ref().is_none_or(|last| (last.ended_at, last.id) <= (ended_at, stats.checkpoint_id)) {
            self.last_completed = Some(Completed {
                id: stats.checkpoint_id,
                ended_at,
                duration: ended_at.saturating_sub(stats.trigger_timestamp),
                size: stats.state_size,
            });
        }
    }

    fn observe_initialization(&mut self, stats: &InitializationStats) {
        if stats.restored_checkpoint_id.is_some() {
            self.restores += 1;
            self.last_recovery = Some(stats.end_timestamp.saturating_sub(stats.start_timestamp));
        }
    }

    fn observe_status(&mut self, status: JobStatus, at: i64) {
        self.not_running = self.not_running_at(at);
        self.changed_at = at.max(self.changed_at);
        self.status = Some(status);
    }

    /// Returns the time without `RUNNING` until `now`, in milliseconds.
    fn not_running_at(&self, now: i64) -> i64 {
        let is_counted = self.status.is_some_and(|status| status != JobStatus::Running) && !self.has_ended();
        let since = if is_counted { now.saturating_sub(self.changed_at).max(0) } else { 0 };
        self.not_running.saturating_add(since)
    }

    fn show_not_running(&mut self, now: i64) {
        self.shown_not_running = self.shown_not_running.max(self.not_running_at(now));
    }
}

#[cfg(test)]
mod tests {
    use flink_traces_observer::MissedCheckpoints;
    use flink_traces_runtime::metrics::Format;

    use super::*;

    const START: i64 = 1_795_230_900_000;

    fn key(id: &str, name: &str, start: i64) -> JobKey {
        JobKey::new(START + start, id, name)
    }

    fn status(word: &str, at: i64) -> Observation {
        Observation::StatusChange { status: JobStatus::from_name(word).unwrap(), ts_millis: START + at }
    }

    fn checkpoint(id: i64, at: i64, duration: i64, kind: CheckpointType, status: CheckpointStatus) -> Observation {
        let stats = CheckpointStats::new(id, START + at, kind, status).with_state_size(id * 100);
        let stats = stats.with_checkpoint_interval_ms(1_000).with_checkpoint_timeout_ms(600_000);
        Observation::Checkpoint(Box::new(stats.with_latest_ack_timestamp(START + at + duration)))
    }

    fn jobs(observations: &[(JobKey, Observation)]) -> Jobs {
        let mut jobs = Jobs::new(10);
        for (key, observation) in observations {
            jobs.observe(START, "prod", &JobObservation::new(key.clone(), observation.clone()));
        }
        jobs
    }

    /// Returns the samples of a page without the common prefix of names and without the cluster.
    fn page(jobs: &mut Jobs, now: i64) -> Vec<String> {
        let mut page = Page::new(Format::Text);
        jobs.add_to(&mut page, START + now);
        let text = page.finish();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let short = |line: &str| line.replace("flink_traces_", "").replace("cluster=\"prod\",", "");
        samples.map(short).collect()
    }

    fn value(jobs: &mut Jobs, now: i64, metric: &str) -> Option<String> {
        let sample = page(jobs, now).into_iter().find(|sample| sample.starts_with(&format!("{metric}{{")))?;
        Some(sample.rsplit_once(' ').unwrap().1.to_owned())
    }

    #[test]
    fn job_has_a_value_for_each_known_metric() {
        use CheckpointStatus::{Completed, Failed};
        let key = key("a1", "orders", 0);
        let mut restore = InitializationStats::new(
            START + 5_000,
            START + 6_250,
            flink_traces_runtime::checkpoint::InitializationStatus::Completed,
        );
        restore.restored_checkpoint_id = Some(2);
        let observations = [
            status("CREATED", 0),
            status("RUNNING", 1_500),
            checkpoint(1, 2_000, 40, CheckpointType::Checkpoint, Completed),
            checkpoint(2, 3_000, 50, CheckpointType::Checkpoint, Completed),
            checkpoint(3, 3_500, 900, CheckpointType::Savepoint, Completed),
            checkpoint(4, 4_000, 10, CheckpointType::Checkpoint, Failed),
            Observation::Missed(MissedCheckpoints::new(3, 5, 7, 1)),
            Observation::Initialization { stats: restore, identity_timestamp: START },
        ];
        let observations = observations.map(|observation| (key.clone(), observation));
        let expected = [
            "job_info{job_name=\"orders\",job_id=\"a1\"} 1",
            "job_status{job_name=\"orders\",status=\"RUNNING\"} 1",
            "job_start_timestamp_seconds{job_name=\"orders\"} 1795230900.000",
            "job_last_completed_checkpoint_timestamp_seconds{job_name=\"orders\"} 1795230903.050",
            "job_last_completed_checkpoint_duration_seconds{job_name=\"orders\"} 0.050",
            "job_last_completed_checkpoint_size_bytes{job_name=\"orders\"} 200",
            "job_completed_checkpoints_total{job_name=\"orders\"} 3",
            "job_failed_checkpoints_total{job_name=\"orders\"} 1",
            "job_missed_checkpoints_total{job_name=\"orders\"} 3",
            "job_restores_total{job_name=\"orders\"} 1",
            "job_failures_total{job_name=\"orders\"} 0",
            "job_not_running_seconds_total{job_name=\"orders\"} 1.500",
            "job_last_recovery_duration_seconds{job_name=\"orders\"} 1.250",
            "job_checkpoint_interval_seconds{job_name=\"orders\"} 1.000",
            "job_checkpoint_timeout_seconds{job_name=\"orders\"} 600.000",
            "jobs_omitted_total{} 0",
        ];
        assert_eq!(page(&mut jobs(&observations), 10_000), expected);
    }

    #[test]
    fn late_checkpoint_is_not_the_last() {
        let key = key("a1", "orders", 0);
        let completed = |id, at| checkpoint(id, at, 10, CheckpointType::Checkpoint, CheckpointStatus::Completed);
        let mut jobs = jobs(&[(key.clone(), completed(2, 2_000)), (key, completed(1, 1_000))]);
        let size = value(&mut jobs, 5_000, "job_last_completed_checkpoint_size_bytes");
        assert_eq!(size.as_deref(), Some("200"));
    }

    #[test]
    fn time_not_running_never_decreases() {
        let key = key("a1", "orders", 0);
        let mut jobs = jobs(&[(key.clone(), status("RUNNING", 0)), (key.clone(), status("RESTARTING", 1_000))]);
        let metric = "job_not_running_seconds_total";
        assert_eq!(value(&mut jobs, 6_000, metric).as_deref(), Some("5.000"));
        // The job ran again after 4 s, but that becomes known only now.
        jobs.observe(START + 6_000, "prod", &JobObservation::new(key.clone(), status("RUNNING", 5_000)));
        assert_eq!(value(&mut jobs, 7_000, metric).as_deref(), Some("5.000"));
        jobs.observe(START, "prod", &JobObservation::new(key.clone(), status("FAILING", 8_000)));
        jobs.observe(START, "prod", &JobObservation::new(key, status("FAILED", 10_000)));
        assert_eq!(value(&mut jobs, 90_000, metric).as_deref(), Some("6.000"));
    }

    #[test]
    fn jobs_of_one_name_have_labels_of_their_own() {
        let names = |observations: &[(JobKey, Observation)]| {
            let infos = page(&mut jobs(observations), 20_000).into_iter().filter(|line| line.starts_with("job_info"));
            infos.map(|line| line.split('"').skip(1).step_by(2).collect::<Vec<_>>().join(" is ")).collect::<Vec<_>>()
        };
        let (first, second) = (key("aaaaaaaaaaaa", "orders", 0), key("bbbbbbbbbbbb", "orders", 5_000));
        let running = [(first.clone(), status("RUNNING", 0)), (second.clone(), status("RUNNING", 5_000))];
        assert_eq!(names(&running), ["orders is aaaaaaaaaaaa", "orders (bbbbbbbb) is bbbbbbbbbbbb"]);
        let ended = [(first.clone(), status("FAILED", 9_000)), running[1].clone()];
        assert_eq!(names(&ended), ["orders is bbbbbbbbbbbb"]);
        let both_ended = [(first, status("FAILED", 9_000)), (second, status("FINISHED", 9_000))];
        assert_eq!(names(&both_ended), ["orders is bbbbbbbbbbbb"]);
    }

    #[test]
    fn labels_follow_jobs_that_come_end_and_go() {
        let (first, second) = (key("aaaaaaaaaaaa", "orders", 0), key("bbbbbbbbbbbb", "orders", 5_000));
        let mut jobs = jobs(&[(first.clone(), status("RUNNING", 0))]);
        let ids = |jobs: &mut Jobs| -> Vec<String> {
            let infos = page(jobs, 20_000).into_iter().filter(|line| line.starts_with("job_info"));
            infos.map(|line| line.replace("job_info{job_name=", "")).collect()
        };
        assert_eq!(ids(&mut jobs), [r#""orders",job_id="aaaaaaaaaaaa"} 1"#]);
        jobs.observe(START, "prod", &JobObservation::new(second, status("RUNNING", 5_000)));
        let both = [r#""orders",job_id="aaaaaaaaaaaa"} 1"#, r#""orders (bbbbbbbb)",job_id="bbbbbbbbbbbb"} 1"#];
        assert_eq!(ids(&mut jobs), both);
        jobs.observe(START, "prod", &JobObservation::new(first, status("FAILED", 9_000)));
        assert_eq!(ids(&mut jobs), [r#""orders",job_id="bbbbbbbbbbbb"} 1"#]);
        jobs.remove_cluster("prod");
        assert_eq!(ids(&mut jobs), [""; 0]);
    }

    #[test]
    fn ended_jobs_leave_and_others_are_bounded() {
        let mut jobs = Jobs::new(2);
        let mut observe = |now: i64, id: &str, observation: Observation| {
            jobs.observe(START + now, "prod", &JobObservation::new(key(id, id, 0), observation));
            jobs.jobs.len()
        };
        assert_eq!(observe(0, "a", status("FINISHED", 0)), 1);
        assert_eq!(observe(0, "b", status("RUNNING", 0)), 2);
        assert_eq!(observe(1, "c", status("RUNNING", 1)), 2);
        assert_eq!(observe(RETENTION_MS, "d", status("RUNNING", RETENTION_MS)), 2);
        assert_eq!(value(&mut jobs, RETENTION_MS, "jobs_omitted_total").as_deref(), Some("1"));
        let ids: Vec<_> = jobs.jobs.keys().map(|(_, id)| id.as_str()).collect();
        assert_eq!(ids, ["b", "d"]);
    }

    #[test]
    fn long_names_are_cut() {
        let long = "é".repeat(MAX_NAME + 1);
        let mut jobs = jobs(&[(key("a1", &long, 0), status("RUNNING", 0))]);
        assert!(page(&mut jobs, 0)[0].contains(&format!("\"{}…\"", "é".repeat(MAX_NAME))));
    }
}
