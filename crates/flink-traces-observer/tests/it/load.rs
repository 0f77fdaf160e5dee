//! The observer of clusters that exceed the limit of detail requests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use flink_rest::types::{CheckpointStatistics, CheckpointingStatistics, MultipleJobsDetails, SubtasksTimesInfo};
use flink_rest::{Endpoint, Job, JobExceptions, JobId, Resource, ResourceBody, SubtaskTimes};
use flink_traces_observer::{ClusterObserver, JobObservation, Observation, RequestOutcome};
use serde_json::{Value, json};

/// The first poll, long after most jobs started.
const START: i64 = 1_000_000_000;
/// The time at which restarted subtasks run, in milliseconds after the poll that sees the restart.
const UP_AGAIN: i64 = -98;

/// A cluster of equal jobs, which have been running for a long time. One of them restarts.
struct Cluster {
    vertices: usize,
    overview: MultipleJobsDetails,
    times: SubtasksTimesInfo,
    quiet: CheckpointingStatistics,
    /// The time between two checkpoints, in milliseconds.
    checkpoint_interval: i64,
    restarted_at: Option<i64>,
}

fn answer<T: serde::de::DeserializeOwned>(body: Value) -> T {
    serde_json::from_value(body).unwrap()
}

fn job_id(number: usize) -> String {
    format!("{number:032x}")
}

fn vertex_id(number: usize) -> String {
    format!("{number:032x}")
}

fn checkpoint(id: i64, vertices: usize) -> Value {
    let task = json!({"id": id, "status": "COMPLETED", "latest_ack_timestamp": 30, "state_size": 5, "num_subtasks": 1,
        "num_acknowledged_subtasks": 1});
    let tasks: serde_json::Map<_, _> = (0..vertices).map(|vertex| (vertex_id(vertex), task.clone())).collect();
    json!({"className": "completed", "id": id, "status": "COMPLETED", "is_savepoint": false, "trigger_timestamp": 10,
        "latest_ack_timestamp": 30, "state_size": 10, "end_to_end_duration": 20, "num_subtasks": vertices,
        "num_acknowledged_subtasks": vertices, "checkpoint_type": "CHECKPOINT", "tasks": tasks,
        "external_path": format!("file:/chk-{id}"), "discarded": false})
}

impl Cluster {
    fn new(jobs: usize, vertices: usize, checkpoints_in_history: i64) -> Self {
        let job = |number: usize| {
            json!({"jid": job_id(number), "name": "job", "state": "RUNNING", "start-time": 100, "end-time": -1,
                "duration": 0, "last-modification": 900, "tasks": {"total": vertices}})
        };
        let entry = |id: i64| {
            let mut entry = checkpoint(id, vertices);
            entry["tasks"] = json!({});
            entry
        };
        let history: Vec<_> = (1..=checkpoints_in_history).rev().map(entry).collect();
        Self {
            vertices,
            overview: answer(json!({ "jobs": (0..jobs).map(job).collect::<Vec<_>>() })),
            times: answer(json!({"id": vertex_id(0), "name": "v", "now": 1, "subtasks": [
                {"subtask": 0, "duration": 1, "timestamps": {"RUNNING": 800}}]})),
            quiet: answer(json!({"counts": {"restored": 0, "total": checkpoints_in_history, "in_progress": 0,
                "completed": checkpoints_in_history, "failed": 0}, "latest": {}, "history": history})),
            checkpoint_interval: 1_000,
            restarted_at: None,
        }
    }

    /// Lets the first job fail and restart at once.
    fn restart(&mut self, at: i64) {
        self.restarted_at = Some(at);
        self.overview.jobs[0].last_modification = Some(at + 2);
    }

    fn ran_at(&self, job: &JobId) -> Option<i64> {
        self.restarted_at.filter(|_| job.as_str() == job_id(0))
    }

    fn answer(&self, resource: &Resource) -> ResourceBody {
        match resource {
            Resource::JobsOverview(_) => ResourceBody::JobsOverview(self.overview.clone()),
            Resource::Job(request) => {
                let timestamps = match self.ran_at(&request.job) {
                    Some(at) => json!({"RESTARTING": at, "RUNNING": at + 1}),
                    None => json!({"RUNNING": 700}),
                };
                let vertex =
                    |number| json!({"id": vertex_id(number), "name": "v", "parallelism": 1, "status": "RUNNING"});
                let vertices: Vec<_> = (0..self.vertices).map(vertex).collect();
                ResourceBody::Job(answer(
                    json!({"jid": request.job, "name": "job", "state": "RUNNING", "start-time": 100,
                    "timestamps": timestamps, "vertices": vertices, "pending-operators": 0}),
                ))
            }
            Resource::JobExceptions(_) => {
                ResourceBody::JobExceptions(answer(json!({"exceptionHistory": {"entries": [], "truncated": false}})))
            }
            Resource::Checkpoints(_) => ResourceBody::Checkpoints(self.quiet.clone()),
            Resource::CheckpointConfig(_) => {
                let interval = self.checkpoint_interval;
                ResourceBody::CheckpointConfig(answer(json!({"mode": "exactly_once", "interval": interval})))
            }
            Resource::CheckpointDetails(request) => ResourceBody::CheckpointDetails(answer::<CheckpointStatistics>(
                checkpoint(request.checkpoint, self.vertices),
            )),
            Resource::CheckpointSubtasks(request) => {
                let subtask = json!({"className": "completed", "index": 0, "status": "completed", "ack_timestamp": 30,
                    "end_to_end_duration": 9, "state_size": 5, "aborted": false});
                ResourceBody::CheckpointSubtasks(answer(json!({"id": request.checkpoint, "status": "COMPLETED",
                    "latest_ack_timestamp": 30, "end_to_end_duration": 20, "num_subtasks": 1,
                    "num_acknowledged_subtasks": 1, "subtasks": [subtask]})))
            }
            Resource::SubtaskTimes(request) => {
                let mut times = self.times.clone();
                if let Some(at) = self.ran_at(&request.job) {
                    times.subtasks[0]
                        .timestamps
                        .insert(flink_rest::ExecutionState::Running.into(), at + 100 + UP_AGAIN);
                }
                ResourceBody::SubtaskTimes(times)
            }
            Resource::JobMetrics(request) => {
                let start = self.ran_at(&request.job).unwrap_or(700);
                ResourceBody::JobMetrics(answer(json!([{"id": request.names[0], "value": start.to_string()}])))
            }
            Resource::Config(_) => ResourceBody::Config(answer(json!({"flink-version": "2.3.0"}))),
            Resource::JobManagerConfig(_) => ResourceBody::JobManagerConfig(answer(json!([]))),
            other => panic!("{other:?} is not requested"),
        }
    }
}

/// The result of watching a cluster.
#[derive(Default)]
struct Watched {
    /// The number of requests by endpoint.
    asked: BTreeMap<&'static str, usize>,
    /// The initializations by job and end, with the second of the poll that reported them.
    came_up: BTreeMap<(String, i64), i64>,
    /// The reported checkpoints. The value is `true` if all tasks are present.
    checkpoints: BTreeMap<(String, i64), bool>,
    was_behind: bool,
    observer: ClusterObserver,
}

/// Watches a cluster, which responds to every request, with a poll every second. After
/// `restart_after` seconds, if any, the first job restarts.
fn watch(mut cluster: Cluster, seconds: i64, restart_after: Option<i64>) -> Watched {
    let jobs = cluster.overview.jobs.len();
    let mut watched = Watched::default();
    let mut checkpoints_asked_at: BTreeMap<JobId, i64> = BTreeMap::new();
    for second in 0..seconds {
        let now = START + second * 1_000;
        if Some(second) == restart_after {
            cluster.restart(now - 100);
        }
        let mut details = 0;
        let mut overviews = 0;
        loop {
            let wanted = watched.observer.requests(now);
            if wanted.is_empty() {
                break;
            }
            let is_detail = |resource: &Resource| {
                resource.path().matches('/').count() > 4 || matches!(resource, Resource::CheckpointDetails(_))
            };
            let details_now = wanted.iter().filter(|resource| is_detail(resource)).count();
            assert!(details_now <= 128, "{details_now} detail requests at once");
            assert!(wanted.len() <= 1 + 4 * jobs + 128, "{} requests at once", wanted.len());
            assert_eq!(wanted.iter().collect::<BTreeSet<_>>().len(), wanted.len(), "requested twice");
            details += details_now;
            for resource in wanted {
                *watched.asked.entry(resource.template()).or_default() += 1;
                overviews += usize::from(matches!(resource, Resource::JobsOverview(_)));
                if let Resource::Checkpoints(request) = &resource {
                    checkpoints_asked_at.insert(request.job.clone(), now);
                }
                let answer = RequestOutcome::Found(Box::new(cluster.answer(&resource)));
                for output in watched.observer.observe(now, &resource, answer) {
                    let job = output.job.id;
                    match output.observation {
                        Observation::Initialization { stats, .. } => {
                            let again = watched.came_up.insert((job, stats.end_timestamp), second);
                            assert_eq!(again, None, "reported twice");
                        }
                        Observation::Checkpoint(stats) => {
                            let is_whole = stats.tasks.len() == cluster.vertices;
                            let again = watched.checkpoints.insert((job, stats.checkpoint_id), is_whole);
                            assert_eq!(again, None, "reported twice");
                        }
                        _ => {}
                    }
                }
            }
        }
        assert!(details <= 2_000, "{details} detail requests in a second");
        assert_eq!(overviews, 1);
        assert_eq!(checkpoints_asked_at.len(), jobs);
        assert!(
            checkpoints_asked_at.values().all(|asked| now - asked <= 3_000),
            "checkpoints are not requested in time"
        );
        watched.was_behind |= watched.observer.is_behind();
    }
    watched
}

/// Scenario: a thousand jobs with 500 vertices each need half a million detail requests.
/// Guarantees: they delay neither the overview, nor the checkpoints, nor the initialization of a
/// restarted job.
#[test]
fn large_cluster_is_requested_incrementally() {
    let watched = watch(Cluster::new(1_000, 500, 0), 13, Some(2));
    let reported_after = watched.came_up.get(&(job_id(0), START + 2_000 + UP_AGAIN)).copied();
    assert!(reported_after.is_some_and(|second| second <= 2 + 9), "{reported_after:?}");
    assert!(watched.was_behind && watched.observer.is_behind());
    assert!(watched.asked[SubtaskTimes::PATH] > 20_000, "{:?}", watched.asked);
}

/// Each vertex of a job that has been running for a long time is requested once, and every job is
/// reported.
#[test]
fn incremental_requests_complete_in_the_end() {
    let (jobs, vertices) = (200, 50);
    let watched = watch(Cluster::new(jobs, vertices, 0), 14, None);
    assert!(watched.was_behind && !watched.observer.is_behind());
    assert_eq!(watched.asked[SubtaskTimes::PATH], jobs * vertices);
    assert_eq!((watched.asked[Job::PATH], watched.asked[JobExceptions::PATH]), (jobs, jobs));
    let came_up: Vec<_> = watched.came_up.keys().cloned().collect();
    assert_eq!(came_up, (0..jobs).map(|job| (job_id(job), 800)).collect::<Vec<_>>());
    // The jobs take turns, so the first one is not complete before others start.
    let first = watched.came_up.values().min();
    assert!(first.is_some_and(|second| *second >= 5), "the first is reported after {first:?} s");
}

/// Scenario: the histories have more tasks than can be requested.
/// Guarantees: each checkpoint is reported, and those without tasks are counted. In the larger
/// cluster, the requests for subtasks take 10 s, and those for two checkpoints of each job 20 s.
#[test]
fn checkpoints_without_tasks_are_reported_and_counted() {
    for (jobs, vertices, may_lack) in [(20, 40, false), (40, 500, true)] {
        let watched = watch(Cluster::new(jobs, vertices, 10), 32, None);
        let lacking = watched.checkpoints.values().filter(|is_whole| !**is_whole).count();
        assert_eq!(watched.observer.incomplete_checkpoints(), lacking as u64);
        assert_eq!(lacking > 0, may_lack, "{lacking} lack tasks");
        let waiting = if may_lack { jobs } else { 0 };
        assert!(watched.checkpoints.len() >= jobs * 10 - waiting, "{} are reported", watched.checkpoints.len());
    }
}

/// Scenario: a job has a history, and each response is observed before the next one arrives.
/// Guarantees: the subtasks of two checkpoints are requested at once, because they are in memory
/// until all tasks have arrived.
#[test]
fn history_is_requested_checkpoint_after_checkpoint() {
    let cluster = Cluster::new(1, 3, 10);
    let mut observer = ClusterObserver::new();
    let mut wanted = VecDeque::from(observer.requests(START));
    let mut begun = BTreeSet::new();
    let mut most = 0;
    let mut reported = Vec::new();
    while let Some(resource) = wanted.pop_front() {
        if let Resource::CheckpointSubtasks(request) = &resource {
            begun.insert(request.checkpoint);
        }
        most = most.max(begun.len());
        let outcome = RequestOutcome::Found(Box::new(cluster.answer(&resource)));
        for output in observer.observe(START, &resource, outcome) {
            if let Observation::Checkpoint(stats) = output.observation {
                assert!(begun.remove(&stats.checkpoint_id) && stats.tasks.len() == 3);
                reported.push(stats.checkpoint_id);
            }
        }
        wanted.extend(observer.requests(START));
    }
    assert_eq!((most, reported), (2, (1..=10).collect()));
}

/// Watches ten jobs with a checkpoint a minute, of which each has a new one in the last minute.
/// Returns for each wake-up of that minute whether a poll began, and the number of requests for the
/// checkpoints of each job.
fn watched_rarely(poll_interval: Duration) -> (Vec<bool>, Vec<usize>) {
    let mut cluster = Cluster::new(10, 3, 1);
    cluster.checkpoint_interval = 60_000;
    let mut observer = ClusterObserver::new().with_poll_interval(poll_interval);
    let mut asked: BTreeMap<JobId, usize> = BTreeMap::new();
    let mut wakes = Vec::new();
    let mut new = 0;
    let mut now = START;
    while now < START + 180_000 {
        let mut is_poll = false;
        if now >= START + 120_000 {
            cluster.quiet = Cluster::new(10, 3, 2).quiet;
        }
        loop {
            let wanted = observer.requests(now);
            if wanted.is_empty() {
                break;
            }
            for resource in wanted {
                is_poll |= matches!(resource, Resource::JobsOverview(_));
                if let (Resource::Checkpoints(request), true) = (&resource, now >= START + 120_000) {
                    *asked.entry(request.job.clone()).or_default() += 1;
                }
                let outcome = RequestOutcome::Found(Box::new(cluster.answer(&resource)));
                let outputs = observer.observe(now, &resource, outcome);
                let is_new = |output: &JobObservation| match &output.observation {
                    Observation::Checkpoint(stats) => stats.checkpoint_id == 2 && stats.tasks.len() == 3,
                    _ => false,
                };
                new += outputs.iter().filter(|output| is_new(output)).count();
            }
        }
        if now >= START + 120_000 {
            wakes.push(is_poll);
        }
        now = observer.next_request_at(now);
    }
    assert_eq!(new, 10);
    (wakes, asked.into_values().collect())
}

/// Guarantees: jobs with rare checkpoints are asked in the polls of their cluster, and cause no
/// wake-ups between them.
#[test]
fn rare_checkpoints_are_asked_for_in_polls() {
    let (wakes, asked) = watched_rarely(Duration::from_secs(5));
    assert_eq!(wakes, [true; 12]);
    // A checkpoint is overdue, so each job is asked every six seconds, or in the next poll.
    assert_eq!(asked, [6; 10]);
}

/// Guarantees: a request waits for at most six seconds for a poll.
#[test]
fn rare_checkpoints_do_not_wait_for_rare_polls() {
    let (_, asked) = watched_rarely(Duration::from_secs(60));
    assert_eq!(asked, [5; 10]);
}
