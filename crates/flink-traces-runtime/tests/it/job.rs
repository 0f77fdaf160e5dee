//! The trackers of a job's status, subtasks and failures, by tables and against models.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::collections::BTreeMap;
use std::fmt;

use flink_traces_api::{Identity, SystemClock};
use flink_traces_runtime::JobIdentity;
use flink_traces_runtime::job::{
    AllSubtasksStatus, AllSubtasksTracker, DeployedTask, ExecutionAttemptId, ExecutionState, FailureHandlingResult,
    JobFailure, JobFailureTracker, JobStatus, JobStatusTracker, NamedJob, all_subtasks_status_change_event,
    job_failure_event, job_status_change_event,
};
use proptest::prelude::*;

const JOB: NamedJob<'_> = NamedJob { identity: JobIdentity { cluster: "prod", job_id: "5c4b" }, name: "orders" };

/// Returns the initialization that started at 1,000.
fn initialization() -> Identity {
    JOB.identity.initialization(None, 1_000)
}

fn status(name: &str) -> JobStatus {
    JobStatus::from_name(name).unwrap()
}

/// Reports the statuses in `script`. Each report returns `event`, `-` or `error`.
fn check_statuses(initial: &str, script: &str, results: &str) {
    let mut tracker = JobStatusTracker::new(status(initial));
    let mut found = Vec::new();
    for (name, ts_millis) in script.split_whitespace().zip(1..) {
        let before = tracker.status();
        found.push(match tracker.report(JOB, status(name), ts_millis) {
            Ok(Some(event)) => {
                assert_eq!(event, job_status_change_event(JOB, name, ts_millis));
                assert_eq!(tracker.status().name(), name);
                "event"
            }
            Ok(None) => "-",
            Err(error) => {
                assert_eq!((error.status, error.reported), (before, status(name)));
                assert_eq!(tracker.status(), before);
                "error"
            }
        });
    }
    assert_eq!(found.join(" "), results, "{initial}: {script}");
}

#[test]
fn every_status_change_is_event() {
    check_statuses("CREATED", "CREATED RUNNING FINISHED", "- event event");
    check_statuses("CREATED", "RUNNING RESTARTING RUNNING FAILING FAILED", "event event event event event");
    check_statuses("CREATED", "CANCELLING CANCELLING CANCELED CANCELED", "event - event -");
    // The Adaptive scheduler, and a job that is stopped with a savepoint.
    check_statuses("INITIALIZING", "CREATED CREATED RUNNING RUNNING FINISHED", "event - event - event");
    // A job that has ended does not change.
    check_statuses("RUNNING", "FINISHED RUNNING FINISHED RESTARTING", "event error - error");
    check_statuses("RUNNING", "SUSPENDED RUNNING", "event error");
    check_statuses("RUNNING", "FAILED CREATED", "event error");
    check_statuses("RUNNING", "CANCELED FAILED", "event error");
}

#[test]
fn ended_job_error_names_both_statuses() {
    let error = JobStatusTracker::new(JobStatus::Failed).report(JOB, JobStatus::Running, 1).unwrap_err();
    assert_eq!(error.to_string(), "the job has ended as FAILED and cannot change to RUNNING");
}

/// Parses an attempt. `a0.2` is attempt 2 of subtask 0 of job vertex `a`, and `a0` is attempt 0.
fn attempt(text: &str) -> ExecutionAttemptId {
    let (subtask, attempt) = text.split_once('.').unwrap_or((text, "0"));
    let (vertex, index) = subtask.split_at(1);
    ExecutionAttemptId {
        job_vertex_id: vertex.to_owned(),
        subtask_index: index.parse().unwrap(),
        attempt_number: attempt.parse().unwrap(),
    }
}

/// Each line has a state, the attempts that enter it, and after the arrow the results: `all`, `not`
/// or `-`.
fn check_subtasks(script: &str) {
    let mut tracker = AllSubtasksTracker::default();
    let mut ts_millis = 0;
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (reports, results) = line.split_once("->").unwrap();
        let mut words = reports.split_whitespace();
        let name = words.next().unwrap();
        let state = ExecutionState::from_name(name).unwrap();
        let mut found = Vec::new();
        for word in words {
            ts_millis += 1;
            let event = |status| Some(all_subtasks_status_change_event(JOB, status, initialization(), ts_millis));
            let answer = tracker.report(JOB, initialization(), &attempt(word), state, ts_millis);
            let is_all = tracker.is_all_running_or_finished();
            found.push(match answer {
                None => "-",
                all if is_all => {
                    assert_eq!(all, event(AllSubtasksStatus::AllRunningOrFinished));
                    "all"
                }
                not => {
                    assert_eq!(not, event(AllSubtasksStatus::NotAllRunningOrFinished));
                    "not"
                }
            });
        }
        assert_eq!(found.join(" "), results.trim(), "{line} in {script}");
    }
}

#[test]
fn all_run_when_last_subtask_runs() {
    check_subtasks(
        "SCHEDULED a0 a1 b0 -> - - -
         DEPLOYING a0 a1 b0 -> - - -
         INITIALIZING a0 a1 b0 -> - - -
         RUNNING b0 a1 a0 -> - - all
         FINISHED a0 a1 b0 -> - - -",
    );
}

#[test]
fn broken_subtask_ends_status_until_all_run() {
    for breaking in ["FAILED", "CANCELING", "CANCELED", "CREATED", "RECONCILING"] {
        check_subtasks(&format!(
            "SCHEDULED a0 a1 -> - -
             RUNNING a0 a1 -> - all
             {breaking} a0 a1 -> not -
             SCHEDULED a0.1 a1.1 -> - -
             RUNNING a0.1 a1.1 -> - all"
        ));
    }
}

#[test]
fn subtask_states_count_as_in_flink() {
    // A finished attempt is not expected, but its end does not complete the others.
    check_subtasks(
        "SCHEDULED a0 a1 a2 -> - - -
         RUNNING a0 a1 -> - -
         FINISHED a2 a0 -> - -
         SCHEDULED a0.1 -> -
         RUNNING a0.1 -> all",
    );
    // Only some attempts are restarted.
    check_subtasks(
        "SCHEDULED a0 a1 -> - -
         RUNNING a0 a1 -> - all
         FAILED a1 -> not
         SCHEDULED a1.1 -> -
         DEPLOYING a1.1 -> -
         RUNNING a0 -> -
         RUNNING a1.1 -> all",
    );
    // While all attempts run, further scheduled attempts change nothing until one breaks.
    check_subtasks(
        "SCHEDULED a0 -> -
         RUNNING a0 -> all
         SCHEDULED a1 -> -
         RUNNING a1 -> -
         SCHEDULED a2 -> -
         FAILED a2 -> not
         RUNNING a0 -> -",
    );
    // An attempt that runs before the others are scheduled counts as all.
    check_subtasks(
        "SCHEDULED a0 -> -
         RUNNING a0 -> all
         SCHEDULED b0 -> -
         RUNNING b0 -> -",
    );
    check_subtasks("FINISHED a0 -> -\nFAILED a0 -> -\nRUNNING a0 -> -");
}

/// An error with causes.
#[derive(Debug)]
struct Cause(&'static str, Option<Box<Cause>>);

impl Cause {
    fn chain(messages: &[&'static str]) -> Self {
        let (first, rest) = messages.split_first().unwrap();
        Self(first, (!rest.is_empty()).then(|| Box::new(Self::chain(rest))))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

/// Returns the name of an attempt, given that of its subtask.
fn name(attempt: &ExecutionAttemptId, subtask: Option<String>) -> String {
    let by_id = format!("{} ({})", attempt.job_vertex_id, attempt.subtask_index + 1);
    format!("{} - execution #{}", subtask.unwrap_or(by_id), attempt.attempt_number)
}

fn place(number: u32) -> DeployedTask {
    DeployedTask::default()
        .with_task_name(format!("task {number}"))
        .with_endpoint(number.is_multiple_of(2).then(|| format!("host-{number}:6122")))
        .with_task_manager_id(format!("tm-{number}"))
}

/// Reports a failure of `failed` after the attempts in `deployed` were deployed to the locations 0,
/// 1, and so on. `expected` is its location.
fn check_failure(deployed: &str, failed: Option<&str>, expected: Option<u32>) {
    let mut tracker = JobFailureTracker::default();
    for (word, number) in deployed.split_whitespace().zip(0..) {
        tracker.report_deployed(&attempt(word), place(number));
    }
    let failed = failed.map(attempt);
    let labels = [("type".to_owned(), "USER".to_owned())];
    let event = tracker.report_failure(
        JOB,
        &FailureHandlingResult::new(5, &Cause::chain(&["no state", "disk full", "bad block"]), true)
            .with_failed_execution(failed.as_ref())
            .with_error_type("StateError")
            .with_labels(&labels)
            .with_global_failure(failed.is_none()),
    );
    let DeployedTask { task_name, endpoint, task_manager_id, .. } = expected.map(place).unwrap_or_default();
    let task_name = failed.as_ref().map(|failed| name(failed, task_name));
    let expected = JobFailure::new(5, true)
        .with_global(failed.is_none())
        .with_labels(labels.to_vec())
        .with_exception_type("StateError".to_owned())
        .with_exception_message("no state".to_owned())
        .with_stacktrace("no state\nCaused by: disk full\nCaused by: bad block".to_owned())
        .with_task_name(task_name)
        .with_endpoint(endpoint)
        .with_task_manager_id(task_manager_id);
    assert_eq!(event, job_failure_event(JOB, &expected), "{deployed}: {failed:?}");
}

#[test]
fn failure_has_location_of_its_subtask() {
    check_failure("a0 a1 b0", Some("a1"), Some(1));
    check_failure("a0 a1 b0", Some("b0"), Some(2));
    check_failure("a0 a0.1", Some("a0.1"), Some(1));
    // The location of a replaced or unknown attempt is unknown.
    check_failure("a0 a0.1", Some("a0"), None);
    check_failure("a0", Some("a0.1"), None);
    check_failure("a0", Some("a1"), None);
    check_failure("", Some("b0"), None);
    // The failure is not in a subtask.
    check_failure("a0", None, None);
}

#[test]
fn failed_attempt_is_named_by_its_vertex() {
    let mut tracker = JobFailureTracker::default();
    tracker.report_vertex("a", "map", 3);
    let failed_name = |tracker: &JobFailureTracker, word| {
        let (failed, error) = (attempt(word), Cause::chain(&["boom"]));
        let failure = FailureHandlingResult::new(5, &error, true).with_failed_execution(&failed);
        let event = tracker.report_failure(JOB, &failure).build(&SystemClock);
        event.extension().unwrap().attributes.get("taskName").unwrap().to_string()
    };
    assert_eq!(failed_name(&tracker, "a1.2"), "map (2/3) - execution #2");
    assert_eq!(failed_name(&tracker, "b1"), "b (2) - execution #0");
    tracker.report_deployed(&attempt("a1.2"), DeployedTask::default().with_endpoint("host:6122".to_owned()));
    assert_eq!(failed_name(&tracker, "a1.2"), "map (2/3) - execution #2");
    tracker.report_deployed(&attempt("a1.2"), DeployedTask::default().with_task_name("own name".to_owned()));
    assert_eq!(failed_name(&tracker, "a1.2"), "own name - execution #2");
}

#[test]
fn unknown_failure_fields_are_absent() {
    let error = Cause::chain(&["boom"]);
    let event = JobFailureTracker::default()
        .report_failure(JOB, &FailureHandlingResult::new(5, &error, false).with_labels(&[]));
    let expected = JobFailure::new(5, false).with_exception_message("boom".to_owned());
    assert_eq!(event, job_failure_event(JOB, &expected));
}

fn any_attempt() -> impl Strategy<Value = ExecutionAttemptId> {
    ("[ab]", 0_u32..2, 0_u32..2).prop_map(|(job_vertex_id, subtask_index, attempt_number)| ExecutionAttemptId {
        job_vertex_id,
        subtask_index,
        attempt_number,
    })
}

/// Returns the next states of an execution in Flink.
fn next_states(state: ExecutionState) -> &'static [ExecutionState] {
    use ExecutionState::{Canceled, Canceling, Created, Deploying, Failed, Finished, Initializing, Running, Scheduled};
    match state {
        Created => &[Scheduled, Canceled],
        Scheduled => &[Deploying, Deploying, Canceled, Failed],
        Deploying => &[Initializing, Initializing, Canceling, Failed],
        Initializing => &[Running, Running, Running, Canceling, Failed],
        Running => &[Finished, Canceling, Failed],
        Canceling => &[Canceled, Failed],
        // It restarts with the same number, which does not affect the rules.
        _ => &[Created],
    }
}

/// Generates an attempt, whether its next state is a legal one in Flink, and the index of that
/// state.
///
/// There are few attempts, so that all of them run at times.
fn any_step() -> impl Strategy<Value = (ExecutionAttemptId, bool, prop::sample::Index)> {
    (
        prop::sample::select(&["a0", "a0.1", "b0"]).prop_map(attempt),
        prop::bool::weighted(0.9),
        any::<prop::sample::Index>(),
    )
}

/// Evaluates the rules over all reports. `was_all_running` is the status before the last one.
fn all_running(was_all_running: bool, log: &[(ExecutionAttemptId, ExecutionState)]) -> bool {
    use ExecutionState::{Deploying, Finished, Initializing, Running, Scheduled};
    let Some(((attempt, state), before)) = log.split_last() else { return false };
    let states = |log: &[(ExecutionAttemptId, ExecutionState)], of: &ExecutionAttemptId| {
        log.iter().filter(|(attempt, _)| attempt == of).map(|(_, state)| *state).collect::<Vec<_>>()
    };
    let ran_before = states(before, attempt).last() == Some(&Running);
    let by_attempt: BTreeMap<_, _> = log.iter().map(|(attempt, _)| (attempt, states(log, attempt))).collect();
    let is_expected = |states: &&Vec<ExecutionState>| {
        let last_scheduled = states.iter().rposition(|state| *state == Scheduled);
        last_scheduled.is_some_and(|at| {
            states[at..].iter().all(|state| [Scheduled, Deploying, Initializing, Running].contains(state))
        })
    };
    let expected = by_attempt.values().filter(is_expected).count();
    let running = by_attempt.values().filter(|states| states.last() == Some(&Running)).count();
    match state {
        Running if !ran_before && expected == running => true,
        Scheduled | Deploying | Initializing | Running | Finished => was_all_running,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_job_states(
        initial in prop::sample::select(&JobStatus::ALL),
        reports in prop::collection::vec(prop::sample::select(&JobStatus::ALL), 0..12),
    ) {
        const ENDS: [JobStatus; 4] =
            [JobStatus::Failed, JobStatus::Canceled, JobStatus::Finished, JobStatus::Suspended];
        let mut tracker = JobStatusTracker::new(initial);
        // The statuses so far.
        let mut entered = vec![initial];
        for (reported, ts_millis) in reports.into_iter().zip(0..) {
            let ended = entered.iter().find(|status| ENDS.contains(status)).copied();
            let expected = match ended {
                _ if entered.last() == Some(&reported) => Ok(None),
                Some(status) => Err((status, reported)),
                None => {
                    entered.push(reported);
                    Ok(Some(job_status_change_event(JOB, reported.name(), ts_millis)))
                }
            };
            let found = tracker.report(JOB, reported, ts_millis).map_err(|error| (error.status, error.reported));
            prop_assert_eq!(found, expected);
            prop_assert_eq!(Some(&tracker.status()), entered.last());
        }
    }

    #[test]
    fn any_sequence_of_subtask_states(steps in prop::collection::vec(any_step(), 0..40)) {
        let mut tracker = AllSubtasksTracker::default();
        let mut log = Vec::new();
        let mut was_all_running = false;
        for ((attempt, is_legal, place), ts_millis) in steps.into_iter().zip(0..) {
            let last = log.iter().rev().find(|(known, _)| *known == attempt).map(|(_, state)| *state);
            let states = next_states(last.unwrap_or(ExecutionState::Created));
            let state = *place.get(if is_legal { states } else { &ExecutionState::ALL });
            log.push((attempt.clone(), state));
            let is_all_running = all_running(was_all_running, &log);
            let event = |status| Some(all_subtasks_status_change_event(JOB, status, initialization(), ts_millis));
            let expected = match (was_all_running, is_all_running) {
                (false, true) => event(AllSubtasksStatus::AllRunningOrFinished),
                (true, false) => event(AllSubtasksStatus::NotAllRunningOrFinished),
                _ => None,
            };
            prop_assert_eq!(tracker.report(JOB, initialization(), &attempt, state, ts_millis), expected, "{:?}", log);
            prop_assert_eq!(tracker.is_all_running_or_finished(), is_all_running);
            was_all_running = is_all_running;
        }
    }

    #[test]
    fn any_sequence_of_failures(
        steps in prop::collection::vec((any::<bool>(), prop::option::weighted(0.9, any_attempt()), any::<[bool; 2]>()), 0..40),
    ) {
        let mut tracker = JobFailureTracker::default();
        let mut deployed: Vec<(ExecutionAttemptId, DeployedTask)> = Vec::new();
        let error = Cause::chain(&["boom"]);
        for ((is_deployed, attempt, [can_restart, is_global]), number) in steps.into_iter().zip(0_u32..) {
            if let Some(attempt) = attempt.as_ref().filter(|_| is_deployed) {
                tracker.report_deployed(attempt, place(number));
                deployed.push((attempt.clone(), place(number)));
                continue;
            }
            let found = tracker.report_failure(JOB, &FailureHandlingResult::new(number.into(), &error, can_restart).with_failed_execution(attempt.as_ref()).with_labels(&[]).with_global_failure(is_global));
            let subtask = |id: &ExecutionAttemptId| (id.job_vertex_id.clone(), id.subtask_index);
            let last = attempt.as_ref().and_then(|attempt| {
                deployed.iter().rfind(|(known, _)| subtask(known) == subtask(attempt))
            });
            let last = last.filter(|(known, _)| Some(known) == attempt.as_ref());
            let DeployedTask { task_name, endpoint, task_manager_id, .. } =
                last.map(|(_, place)| place.clone()).unwrap_or_default();
            let task_name = attempt.as_ref().map(|attempt| name(attempt, task_name));
            let expected = JobFailure::new(number.into(), can_restart).with_global(is_global).with_exception_message("boom".to_owned()).with_task_name(task_name).with_endpoint(endpoint).with_task_manager_id(task_manager_id);
            prop_assert_eq!(found, job_failure_event(JOB, &expected));
        }
    }
}
