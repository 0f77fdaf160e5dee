//! A session that feeds responses to an observer.

use expect_test::Expect;
use flink_rest::Resource;
use flink_traces_observer::{ClusterObserver, JobObservation, Observation, RequestOutcome};
use flink_traces_runtime::extension::{ObservedJob, VanishedJobOutcome};
use serde_json::{Value, json};

pub(crate) const JOB: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const SOURCE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
pub(crate) const SINK: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// A session that feeds an observer, and records its observations as text.
pub(crate) struct Session {
    pub(crate) observer: ClusterObserver,
    pub(crate) log: String,
    /// The contents of the job, apart from the other observations.
    pub(crate) contents: String,
}

impl Session {
    pub(crate) fn new() -> Self {
        Self { observer: ClusterObserver::new(), log: String::new(), contents: String::new() }
    }

    pub(crate) fn answer(&mut self, at: i64, path: &str, body: Value) -> &mut Self {
        let resource = Resource::parse(path).unwrap();
        let answer = resource.parse_body(body.to_string().as_bytes()).unwrap();
        let outputs = self.observer.observe(at, &resource, RequestOutcome::Found(Box::new(answer)));
        self.note(at, &outputs)
    }

    pub(crate) fn missing(&mut self, at: i64, path: &str) -> &mut Self {
        self.fail(at, path, RequestOutcome::Missing)
    }

    pub(crate) fn overview(&mut self, at: i64, state: &str) -> &mut Self {
        self.overview_since(at, state, 100, -1)
    }

    /// Feeds an overview with the start and the end of the job.
    pub(crate) fn overview_since(&mut self, at: i64, state: &str, start: i64, end: i64) -> &mut Self {
        let job = json!({"jid": JOB, "name": "job", "state": state, "start-time": start, "end-time": end, "duration": 0,
            "last-modification": 100, "tasks": {"total": 2, "running": 2}});
        self.answer(at, "/jobs/overview", json!({ "jobs": [job] }))
    }

    /// Feeds an overview without a job.
    pub(crate) fn no_jobs(&mut self, at: i64) -> &mut Self {
        self.answer(at, "/jobs/overview", json!({ "jobs": [] }))
    }

    /// Feeds the outcome of a request without a usable response.
    pub(crate) fn fail(&mut self, at: i64, path: &str, outcome: RequestOutcome) -> &mut Self {
        let outputs = self.observer.observe(at, &Resource::parse(path).unwrap(), outcome);
        self.note(at, &outputs)
    }

    /// Returns the paths of all requests that are due.
    pub(crate) fn requests(&mut self, now: i64) -> Vec<String> {
        let wanted = std::iter::repeat_with(|| self.observer.requests(now)).take_while(|wanted| !wanted.is_empty());
        wanted.flatten().map(|resource| resource.path()).collect()
    }

    pub(crate) fn job(&mut self, at: i64, state: &str, timestamps: Value) -> &mut Self {
        let vertex = |id: &str, name: &str| json!({"id": id, "name": name, "parallelism": 1, "status": "RUNNING"});
        let body = json!({"jid": JOB, "name": "job", "state": state, "start-time": 100, "timestamps": timestamps,
            "vertices": [vertex(SOURCE, "source"), vertex(SINK, "sink")], "pending-operators": 0});
        self.answer(at, &format!("/jobs/{JOB}"), body)
    }

    pub(crate) fn checkpoints(&mut self, at: i64, total: i64, history: &[Value], restored: Value) -> &mut Self {
        self.statistics(at, [total, 0, 0], history, restored)
    }

    /// Feeds statistics with the numbers of completed, failed and pending checkpoints.
    pub(crate) fn statistics(&mut self, at: i64, counts: [i64; 3], history: &[Value], restored: Value) -> &mut Self {
        let [completed, failed, in_progress] = counts;
        let total = counts.iter().fold(0_i64, |sum, count| sum.saturating_add(*count));
        let body = json!({"counts": {"restored": 0, "total": total, "in_progress": in_progress, "completed": completed,
            "failed": failed},
            "latest": {"completed": null, "savepoint": null, "failed": null, "restored": restored}, "history": history});
        self.answer(at, &format!("/jobs/{JOB}/checkpoints"), body)
    }

    pub(crate) fn details(&mut self, at: i64, id: i64, trigger: i64) -> &mut Self {
        let task = |ack: i64| {
            json!({"id": id, "status": "COMPLETED", "latest_ack_timestamp": ack, "state_size": 5, "num_subtasks": 1,
                "num_acknowledged_subtasks": 1})
        };
        let mut body = completed(id, trigger);
        body["tasks"] = json!({SOURCE: task(trigger + 10), SINK: task(trigger + 30)});
        self.answer(at, &format!("/jobs/{JOB}/checkpoints/details/{id}"), body)
    }

    pub(crate) fn subtasks(&mut self, at: i64, id: i64, vertex: &str, ack: i64) -> &mut Self {
        let subtask = json!({"className": "completed", "index": 0, "status": "completed", "ack_timestamp": ack,
            "end_to_end_duration": 9, "state_size": 5, "checkpointed_size": 5, "checkpoint": {"sync": 1, "async": 2},
            "alignment": {"buffered": 0, "processed": 0, "persisted": 0, "duration": 3}, "start_delay": 4,
            "unaligned_checkpoint": false, "aborted": false});
        let duration = if vertex == SOURCE { 10 } else { 30 };
        let body = json!({"id": id, "status": "COMPLETED", "latest_ack_timestamp": ack, "end_to_end_duration": duration,
            "num_subtasks": 1, "num_acknowledged_subtasks": 1, "subtasks": [subtask]});
        self.answer(at, &format!("/jobs/{JOB}/checkpoints/details/{id}/subtasks/{vertex}"), body)
    }

    /// Feeds the times at which the subtask of each vertex came to run, and was canceled.
    pub(crate) fn subtask_times(&mut self, at: i64, times: [(&str, i64, i64); 2]) -> &mut Self {
        for (vertex, running, canceling) in times {
            let timestamps = json!({"RUNNING": running, "CANCELING": canceling, "CREATED": 1});
            let body = json!({"id": vertex, "name": "v", "now": at,
                "subtasks": [{"subtask": 0, "host": format!("host-of-{}", &vertex[..2]), "duration": at - running,
                    "timestamps": timestamps}]});
            self.answer(at, &format!("/jobs/{JOB}/vertices/{vertex}/subtasktimes"), body);
        }
        self
    }

    pub(crate) fn finish(&mut self) -> &mut Self {
        let outputs = self.observer.finish();
        self.note(i64::MAX, &outputs)
    }

    pub(crate) fn note(&mut self, at: i64, outputs: &[JobObservation]) -> &mut Self {
        for JobObservation { observation, .. } in outputs {
            let at = if at == i64::MAX { "end".to_owned() } else { at.to_string() };
            match observation {
                Observation::Content { job, ts_millis } => {
                    self.contents += &format!("{at}: seen at {ts_millis}: {}\n", content(job));
                }
                other => self.log += &format!("{at}: {}\n", shown(other)),
            }
        }
        self
    }

    pub(crate) fn check(&self, expected: Expect) {
        expected.assert_eq(&self.log);
    }
}

fn content(job: &ObservedJob) -> String {
    let number = |value: Option<i64>| value.map_or("?".to_owned(), |value| value.to_string());
    let vertices: Vec<_> =
        job.vertices.iter().map(|vertex| format!("{}*{}", vertex.name, vertex.parallelism)).collect();
    format!(
        "{} since {}, started {}, [{}], interval {}, timeout {}, history {}, version {}",
        job.status,
        job.status_timestamp,
        job.start_timestamp,
        vertices.join(" "),
        number(job.checkpoint_interval_ms),
        number(job.checkpoint_timeout_ms),
        number(job.history_size),
        job.flink_version.as_deref().unwrap_or("?"),
    )
}

pub(crate) fn shown(observation: &Observation) -> String {
    match observation {
        Observation::Checkpoint(stats) => {
            let tasks: Vec<_> =
                stats.tasks.iter().map(|task| (task.task_name.as_deref(), task.subtasks.len())).collect();
            format!("checkpoint {} {} tasks {tasks:?}", stats.checkpoint_id, stats.status.name())
        }
        Observation::Initialization { stats, .. } => format!(
            "came up {}..{} from {:?}, {:?} bytes",
            stats.start_timestamp, stats.end_timestamp, stats.restored_checkpoint_id, stats.restored_state_size
        ),
        Observation::StatusChange { status, ts_millis } => format!("{status} {ts_millis}"),
        Observation::Failure(failure) => {
            format!("failure {} can restart {} global {:?}", failure.ts_millis, failure.can_restart, failure.is_global)
        }
        Observation::AllSubtasks { status, ts_millis, .. } => format!("{status:?} {ts_millis}"),
        Observation::Rescale(rescale) => format!(
            "rescale {} {}..{} states {} {:?}",
            rescale.terminal_state,
            rescale.start_timestamp,
            rescale.end_timestamp,
            rescale.scheduler_states.len(),
            rescale.initialization
        ),
        Observation::Missed(missed) => format!(
            "missed {} from {} to {}, history {:?}",
            missed.count, missed.first_id, missed.last_id, missed.history_needed
        ),
        Observation::Vanished { job, .. } => format!(
            "vanished {} since {}, away since {}: {}",
            job.last_status,
            job.last_status_timestamp,
            job.unreachable_since,
            job.outcome.map_or("UNKNOWN", VanishedJobOutcome::name)
        ),
        other => panic!("unknown: {other:?}"),
    }
}

pub(crate) fn completed(id: i64, trigger: i64) -> Value {
    json!({"className": "completed", "id": id, "status": "COMPLETED", "is_savepoint": false, "trigger_timestamp": trigger,
        "latest_ack_timestamp": trigger + 30, "state_size": 10, "checkpointed_size": 10, "end_to_end_duration": 30,
        "num_subtasks": 2, "num_acknowledged_subtasks": 2, "checkpoint_type": "CHECKPOINT", "tasks": {},
        "external_path": format!("file:/state/chk-{id}"), "discarded": false})
}

pub(crate) fn restored(id: i64, at: i64) -> Value {
    json!({"id": id, "restore_timestamp": at, "is_savepoint": false, "external_path": format!("file:/state/chk-{id}")})
}
