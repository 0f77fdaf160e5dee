//! The start of a reporting, its end, and the handle of a job.

use std::error::Error;
use std::fs;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flink_traces_api::otel::SERVICE_NAME;
use flink_traces_api::{
    ConfigError, Deadline, Event, EventReporter, EventReporterFactory, Identity, OptionDoc, ReportError, ReportedEvent,
    ReportedSpan, ReporterBuilder, ReporterConfig, ReporterDeclaration, Signal, Span, SpanContext, Timestamp,
    TraceReporter, TraceReporterFactory,
};
use flink_traces_runtime::checkpoint::{CompletedCheckpoint, RestoredCheckpoint, TrackerError};
use flink_traces_runtime::config::{REPORTER_OPTIONS, SpanDetailLevel};
use flink_traces_runtime::dispatch::DropReason;
use flink_traces_runtime::job::{DeployedTask, ExecutionAttemptId, ExecutionState};
use flink_traces_runtime::reporting::{InitializedSubtask, ReportingBuilder};
use flink_traces_runtime::{CheckpointType, JobHandle, JobStatus, JobVertex, Reporting, Subtask};
use flink_traces_testkit::{Record as _, Recorded, in_memory, in_memory_with};

const JOB: &str = "0b1d198cd84d58810f0faf9761017b2f";
/// Longer than anything that happens in a test.
const LONG: Duration = Duration::from_secs(60);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn tasks() -> [JobVertex; 2] {
    [JobVertex::new("a0", "map", 2), JobVertex::new("b0", "sink", 1)]
}

fn acknowledge_all(job: &JobHandle, checkpoint_id: i64) {
    for (vertex, index) in [("a0", 0), ("a0", 1), ("b0", 0)] {
        job.checkpoint(checkpoint_id).ack(vertex, Subtask::new(index).state_size(100)).unwrap();
    }
}

/// Guarantees: the event precedes the span in time, both have the cluster, and all numbers are
/// those of the reports.
#[test]
fn checkpoint_has_the_reported_numbers() {
    let (reporting, recorded) = in_memory_with(|builder| builder.cluster("prod").host("host-1"));
    let job = reporting.job_builder(JOB, "orders").checkpoint_interval(millis(500)).build();
    let start = recorded.clock().now();
    let checkpoint = job.trigger(7, CheckpointType::Checkpoint, tasks()).unwrap();
    recorded.clock().advance(millis(20));
    checkpoint.ack("a0", Subtask::new(0).state_size(4_096).sync_duration(millis(2)).async_duration(millis(9))).unwrap();
    checkpoint.ack("a0", Subtask::new(1).checkpointed_size(10).state_size(50).unaligned(true)).unwrap();
    recorded.clock().advance(millis(100));
    checkpoint.ack("b0", Subtask::new(0).start_delay(millis(3)).alignment_duration(millis(4)).host("h")).unwrap();
    let completed = CompletedCheckpoint::from("file:///chk-7").with_metadata_size(1_234);
    checkpoint.complete(completed).unwrap();

    let span = recorded.spans().named("Checkpoint").with("checkpointId", 7).one();
    assert_eq!((span.start(), span.duration()), (start, millis(120)));
    for (key, expected) in [("fullSize", 4_146), ("checkpointedSize", 4_106), ("metadataSize", 1_234)] {
        assert_eq!(span[key], expected, "{key}");
    }
    for (key, expected) in [("maxSyncCheckpointDurationMs", 2), ("maxCheckpointStartDelayMs", 3)] {
        assert_eq!(span[key], expected, "{key}");
    }
    assert_eq!((&span["maxAsyncCheckpointDurationMs"], &span["maxAlignmentDurationMs"]), (&9.into(), &4.into()));
    assert_eq!((&span["checkpointIntervalMs"], &span["isUnaligned"]), (&500.into(), &"true".into()));
    assert_eq!((&span["flink.cluster.name"], &span["host"]), (&"prod".into(), &"host-1".into()));
    assert_eq!((&span["jobId"], &span["job_name"]), (&JOB.into(), &"orders".into()));
    assert_eq!(span.children().named("Checkpoint_Task").len(), 2);
    let event = recorded.events().named("CheckpointEvent").one();
    assert_eq!((event.time(), &event["flink.cluster.name"]), (span.end(), &"prod".into()));
    assert!(reporting.stats().iter().all(|account| account.is_balanced()));
}

/// Guarantees: a report that Flink's JobMaster would not make is an error that changes nothing, and
/// a late one differs from one of an unknown checkpoint.
#[test]
fn misuse_is_an_error() {
    let (reporting, recorded) = in_memory();
    let job = reporting.job_builder(JOB, "orders").history_size(2).build();
    let check = |found: Result<(), TrackerError>, expected: &str, is_late: bool| {
        let error = found.unwrap_err();
        assert_eq!((error.to_string().as_str(), error.is_late()), (expected, is_late));
    };
    let trigger = |id| job.trigger(id, CheckpointType::Checkpoint, tasks());
    let checkpoint = trigger(7).unwrap();
    check(trigger(7).map(drop), "checkpoint 7 is already in progress", false);
    check(checkpoint.complete("x"), "checkpoint 7 has 0 acknowledgements, expected 3", false);
    checkpoint.ack("a0", Subtask::new(0)).unwrap();
    check(checkpoint.ack("a0", Subtask::new(0)), "checkpoint 7: subtask 0 of task 'a0' has already reported", false);
    // A subtask that aborted its snapshot has not acknowledged.
    checkpoint.incomplete("a0", Subtask::new(1)).unwrap();
    checkpoint.ack("b0", Subtask::new(0)).unwrap();
    check(checkpoint.complete("x"), "checkpoint 7 has 2 acknowledgements, expected 3", false);
    checkpoint.fail("declined").unwrap();
    check(checkpoint.complete("x"), "checkpoint 7 has ended as FAILED", true);

    trigger(8).unwrap();
    acknowledge_all(&job, 8);
    job.checkpoint(8).complete("x").unwrap();
    check(job.checkpoint(8).ack("a0", Subtask::new(0)), "checkpoint 8 has ended as COMPLETED", true);
    check(job.checkpoint(9).ack("a0", Subtask::new(0)), "checkpoint 9 was never triggered", false);
    check(job.checkpoint(9).expire(), "checkpoint 9 was never triggered", false);
    for id in 9..12 {
        trigger(id).unwrap();
        job.checkpoint(id).expire().unwrap();
    }
    check(job.checkpoint(9).ack("a0", Subtask::new(0)), "checkpoint 9 is no longer in the history", true);

    job.status(JobStatus::Finished).unwrap();
    let ended = job.status(JobStatus::Running).unwrap_err();
    assert_eq!(ended.to_string(), "the job has ended as FINISHED and cannot change to RUNNING");
    let spans = recorded.spans();
    let ids: Vec<_> = spans.iter().map(|span| span["checkpointId"].as_i64().unwrap()).collect();
    assert_eq!(ids, [7, 8, 9, 10, 11], "{spans}");
    assert_eq!(spans.with("checkpointId", 10).one().failure(), Some("Checkpoint expired before completing."));
}

#[test]
fn checkpoint_without_subtasks_has_an_end() {
    let (reporting, recorded) = in_memory();
    let job = reporting.job(JOB, "batch");
    let checkpoint = job.trigger(1, CheckpointType::Savepoint, [] as [JobVertex; 0]).unwrap();
    recorded.clock().advance(millis(250));
    checkpoint.complete(CompletedCheckpoint::from("file:///sp").with_state_size(77)).unwrap();
    let span = recorded.spans().one();
    assert_eq!(span.duration(), millis(250));
    assert_eq!((&span["fullSize"], &span["checkpointedSize"]), (&77.into(), &77.into()));
    assert_eq!(recorded.events().one().time(), span.end());
    assert_eq!(job.checkpoints().gauges().last_checkpoint_duration, 250);
}

/// Scenario: a job starts, fails and is restored; its first restore does not end. Guarantees: each
/// report becomes Flink's event or span at the handle's time, and the restore links to its
/// checkpoint.
#[test]
fn life_of_a_job_is_reported_once() {
    let (reporting, recorded) = in_memory();
    let job = reporting.job_builder(JOB, "orders").vertices(tasks()).build();
    let at = |millis| job.at(Timestamp::from_millis(millis));
    let attempt = |number| ExecutionAttemptId::new("a0", 0, number);
    let run = |number, start: i64| {
        let initialization = at(start).initialization([attempt(number)]);
        at(start).subtask(&attempt(number), ExecutionState::Scheduled);
        at(start + 5).subtask(&attempt(number), ExecutionState::Running);
        initialization
    };
    at(1_000).status(JobStatus::Running).unwrap();
    at(1_000).status(JobStatus::Running).unwrap();
    let fresh = run(0, 1_010);
    job.deployed(&attempt(0), DeployedTask::default().with_endpoint("worker-3:6122".to_owned()));
    let metrics = InitializedSubtask::completed().duration("InitializeStateDurationMs", millis(4)).metric("x", 1);
    fresh.at(Timestamp::from_millis(1_020)).initialized(&attempt(0), metrics).unwrap();
    at(2_000).trigger(3, CheckpointType::Checkpoint, [] as [JobVertex; 0]).unwrap().complete("chk-3").unwrap();

    at(3_000).subtask(&attempt(0), ExecutionState::Failed);
    at(3_000).failure(Some(&attempt(0)), &io::Error::other("disk full"), true);
    at(3_000).status(JobStatus::Restarting).unwrap();
    let restored = || RestoredCheckpoint::checkpoint(3).with_external_path("chk-3".to_owned()).with_state_size(5);
    run(1, 3_100).restored(restored()).unwrap();
    let second = run(2, 3_200);
    second.restored(restored()).unwrap();
    assert_eq!(second.at(Timestamp::from_millis(3_300)).give_up(), [attempt(2)]);
    assert_eq!(second.give_up(), []);

    let events = recorded.events();
    assert_eq!(
        events.iter().map(|event| (event.name(), event.time().as_millis())).collect::<Vec<_>>(),
        [
            ("JobStatusChangeEvent", 1_000),
            ("AllSubtasksStatusChangeEvent", 1_015),
            ("CheckpointEvent", 2_000),
            ("AllSubtasksStatusChangeEvent", 3_000),
            ("JobFailureEvent", 3_000),
            ("JobStatusChangeEvent", 3_000),
            ("AllSubtasksStatusChangeEvent", 3_105),
        ],
        "{events}"
    );
    let failure = events.named("JobFailureEvent").one();
    assert_eq!(failure["taskName"], "map (1/2) - execution #0");
    assert_eq!((&failure["endpoint"], &failure["isGlobalFailure"]), (&"worker-3:6122".into(), &"false".into()));
    let initializations = recorded.spans().named("JobInitialization");
    let checkpoint = recorded.spans().named("Checkpoint").one();
    let [fresh, replaced, given_up] = &initializations[..] else { panic!("{initializations}") };
    assert_eq!((fresh.duration(), &fresh["maxInitializeStateDurationMs"]), (millis(10), &4.into()));
    assert_eq!((&replaced["isPartial"], replaced.end().as_millis()), (&true.into(), 3_200));
    for span in [replaced, given_up] {
        let linked = SpanContext { trace_id: checkpoint.trace_id(), span_id: checkpoint.span_id() };
        assert_eq!(span.links(), [linked]);
        assert_eq!((&span["checkpointId"], &span["missingSubtasks"]), (&3.into(), &1.into()));
    }
}

/// Guarantees: the REST view has the same states as the events.
#[cfg(feature = "rest")]
#[tokio::test]
async fn rest_view_follows_the_handle() {
    use flink_rest::{Job, JobExceptions, JobId, RestService as _};
    use flink_traces_runtime::rest::ClusterInfo;

    let (reporting, recorded) = in_memory();
    let job = reporting.job_builder(JOB, "orders").vertices(tasks()).checkpoint_timeout(millis(900)).build();
    let cluster = reporting.rest_cluster(ClusterInfo::new("2.3.0", "engine"));
    cluster.add_job(job.tracked().unwrap());
    recorded.clock().advance(millis(5));
    job.status(JobStatus::Running).unwrap();
    let attempt = ExecutionAttemptId::new("b0", 0, 0);
    job.subtask(&attempt, ExecutionState::Running);
    job.failure(Some(&attempt), &io::Error::other("disk full"), true);

    let id = || JobId::new(JOB).unwrap();
    let details = cluster.job(Job::new(id())).await.unwrap();
    assert_eq!((details.state.as_str(), details.name.as_str()), ("RUNNING", "orders"));
    assert_eq!(details.duration, Some(5));
    assert_eq!(job.tracked().unwrap().status(), job.current_status());
    let mut exceptions = cluster.job_exceptions(JobExceptions::new(id())).await.unwrap();
    let exception = exceptions.exception_history.take().unwrap().entries.remove(0);
    assert_eq!(exception.task_name.as_deref(), Some("sink (1/1) - execution #0"));
    assert!(reporting.job("metrics", "no id for a path").tracked().is_err());
}

/// Guarantees: all problems come at once, in the program's form.
#[test]
fn start_returns_all_problems() {
    let check = |builder: ReportingBuilder, expected: &str| {
        let problems = builder.start().unwrap_err();
        assert_eq!(problems.to_string(), expected);
        // `main` prints it behind `Error: `.
        assert_eq!(format!("{problems:?}"), format!("the configuration is not valid\n{expected}"));
    };
    let none = "error: no reporter: set traces.reporter.<name>.factory.class, or add one in code";
    check(Reporting::builder(), none);
    check(
        Reporting::builder()
            .reporter(Recorded::default().option("queue.sizes", "5").named("r").only(Signal::Traces))
            .option("traces.checkpoint.span-detail-level", "ALL")
            .argument("-D", "traces.reporter.other.factory.class=recordet"),
        "error: -D: traces.reporter.other.factory.class: unknown factory class 'recordet'; available: closure, recorded; \
         to leave the reporter out, set traces.reporters=r; did you mean recorded?\n\
         error: code: traces.reporter.r.queue.sizes: unknown key; did you mean traces.reporter.r.queue.size?\n\
         error: code: traces.checkpoint.span-detail-level: 'ALL' is not `SPAN_PER_CHECKPOINT`, \
         `SPAN_PER_CHECKPOINT_WITH_TASKS`, `CHILDREN_SPANS_PER_TASK` or `CHILDREN_SPANS_PER_SUBTASK`",
    );
    check(
        Reporting::builder().trace_reporter("mine", || -> Result<Names, _> { Err("no route to host".into()) }),
        "error: code: traces.reporter.mine: no route to host",
    );
    let (reporting, problems) = Reporting::builder().start_lenient();
    assert_eq!((problems.to_string().as_str(), reporting.stats().len()), (none, 0));
    reporting.job(JOB, "orders").trigger(1, CheckpointType::Checkpoint, tasks()).unwrap().expire().unwrap();
}

/// Guarantees: an operator changes each option in code by the file, and a list of reporters in the
/// file does not disable those in code.
#[test]
fn file_overrides_code() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    let start = |text: &str| {
        fs::write(&path, text).unwrap();
        in_memory_with(|builder| builder.file(&path).span_detail_level(SpanDetailLevel::SpanPerCheckpoint))
    };
    let children = |(reporting, recorded): (Reporting, Recorded)| {
        let job = reporting.job(JOB, "orders");
        job.trigger(1, CheckpointType::Checkpoint, tasks()).unwrap().expire().unwrap();
        recorded.spans().first().map(|span| span.children().len())
    };
    assert_eq!(children(start("")), Some(0));
    assert_eq!(children(start("traces.checkpoint.span-detail-level: CHILDREN_SPANS_PER_TASK\n")), Some(2));
    assert_eq!(children(start("traces.reporter.recorded.filter.excludes: '*:Checkpoint'\n")), None);
    let other = "traces.reporters: other\ntraces.reporter.other.factory.class: recorded\n";
    let (reporting, recorded) = start(other);
    reporting.job_manager().add_span(Span::builder("s", "n"));
    assert_eq!(recorded.spans().names(), ["n", "n"]);
    let names = |reporting: &Reporting| reporting.stats().into_iter().map(|account| account.name).collect::<Vec<_>>();
    assert_eq!(names(&reporting), ["other", "recorded", "recorded"]);
}

#[test]
fn builders_of_one_name_get_numbers() {
    let (reporting, _recorded) = in_memory_with(|builder| builder.reporter(Recorded::default().only(Signal::Events)));
    let accounts: Vec<_> =
        reporting.stats().iter().map(|account| format!("{} {}", account.signal, account.name)).collect();
    assert_eq!(accounts, ["traces recorded", "events recorded", "events recorded-2"]);
}

/// The methods that all builders share set options that all reporters have.
#[test]
fn shared_options_are_declared() {
    let mut builder = ReporterDeclaration::new("r")
        .include("a:b")
        .exclude("c:d")
        .queue_size(5)
        .compatibility(flink_traces_api::Compatibility::Flink);
    let declaration = builder.declaration();
    let keys: Vec<_> = declaration.options(Signal::Traces).map(|(key, _)| key).collect();
    assert_eq!(keys, ["filter.includes", "filter.excludes", "queue.size", "compatibility"]);
    assert!(keys.iter().all(|key| REPORTER_OPTIONS.iter().any(|option| option.key == *key)));
}

/// A reporter that sends the names of spans.
struct Names(SyncSender<String>);

impl TraceReporter for Names {
    fn report(&mut self, spans: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        for span in spans {
            self.0.send(span.name().to_owned()).map_err(|error| ReportError::from_dropped(1, false, error))?;
        }
        Ok(())
    }
}

/// Guarantees: a path is an option as it is, or an error. It is never altered.
#[cfg(unix)]
#[test]
fn path_without_unicode_is_an_error() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let path = std::path::Path::new(OsStr::from_bytes(b"spans\xff"));
    let start = |builder: flink_traces_runtime::reporting::ReportingBuilder| {
        builder.reporter(Recorded::default().path_option("queue.size", path)).start()
    };
    let problems = start(Reporting::builder()).unwrap_err().to_string();
    let expected = |signal: &str| {
        format!(r#"error: code: {signal}.reporter.recorded.queue.size: expected a path in Unicode, found "spans\xFF""#)
    };
    assert_eq!(problems, format!("{}\n{}", expected("traces"), expected("events")));
    // A value of the file takes precedence, so the path does not matter.
    let file = "traces.reporter.recorded.queue.size: 5\nevents.reporter.recorded.queue.size: 5\n";
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.yaml"), file).unwrap();
    start(Reporting::builder().file(folder.path().join("config.yaml"))).unwrap();

    let mut good = ReporterDeclaration::new("r").path_option("path", "späns");
    let declaration = good.declaration();
    declaration.set_path_for(Signal::Events, "path", path);
    assert_eq!(declaration.options(Signal::Traces).collect::<Vec<_>>(), [("path", "späns")]);
    assert_eq!(declaration.options(Signal::Events).count(), 0);
    assert_eq!(declaration.invalid_paths(Signal::Events).collect::<Vec<_>>(), [("path", path)]);
}

/// Guarantees: the cause of a checkpoint is its parent or a link, until the checkpoint ends.
#[test]
fn checkpoint_has_its_cause_until_it_ends() {
    let (reporting, recorded) = in_memory();
    let (job, cause) = (reporting.job(JOB, "orders"), SpanContext::from(Identity::of(&["request"])));
    let unknown = job.checkpoint(7).set_parent(cause).unwrap_err();
    assert_eq!(unknown, TrackerError::UnknownCheckpoint { checkpoint_id: 7 });
    let checkpoint = job.trigger(7, CheckpointType::Checkpoint, tasks()).unwrap();
    checkpoint.set_parent(None).unwrap();
    checkpoint.add_link(None).unwrap();
    assert_eq!(checkpoint.trace_id(), None);
    checkpoint.set_parent(cause).unwrap();
    job.checkpoint(7).add_link(cause).unwrap();
    checkpoint.expire().unwrap();
    assert!(checkpoint.add_link(cause).unwrap_err().is_late());
    assert!(checkpoint.set_parent(cause).unwrap_err().is_late());
    let span = recorded.spans().one().clone();
    assert_eq!((span.trace_id(), span.parent_span_id()), (cause.trace_id, Some(cause.span_id)));
    assert_eq!(span.links(), [cause]);
}

/// Reporters of both signals, and their factory.
struct Nowhere;

impl TraceReporterFactory for Nowhere {
    fn create_trace_reporter(&self, _: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        Ok(Box::new(Self))
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}

impl EventReporterFactory for Nowhere {
    fn create_event_reporter(&self, _: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        Ok(Box::new(Self))
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}

impl TraceReporter for Nowhere {
    fn report(&mut self, _: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        Ok(())
    }
}

impl EventReporter for Nowhere {
    fn report(&mut self, _: &[ReportedEvent], _: &Deadline) -> Result<(), ReportError> {
        Ok(())
    }
}

/// Guarantees: the configuration selects a class of the program for both signals, and the name of
/// another class is a problem.
#[test]
fn class_is_selected_by_configuration() {
    let select = |builder: ReportingBuilder| {
        let keys = Signal::ALL.map(|signal| format!("{signal}.reporter.mine.factory.class"));
        keys.into_iter().fold(builder, |builder, key| builder.option(key, "nowhere")).class("nowhere", Nowhere).start()
    };
    let reporting = select(Reporting::builder()).unwrap();
    let accounts: Vec<_> =
        reporting.stats().iter().map(|account| format!("{} {}", account.signal, account.name)).collect();
    assert_eq!(accounts, ["traces mine", "events mine"]);
    let problems = select(Reporting::builder().class("nowhere", Nowhere)).unwrap_err();
    assert_eq!(problems.iter().filter(|problem| problem.is_error()).count(), 2, "{problems}");
}

#[test]
fn closure_passes_an_instance() {
    let (sender, names) = sync_channel(8);
    let instance = Names(sender);
    let reporting = Reporting::builder().trace_reporter("mine", move || Ok(instance)).start().unwrap();
    reporting.job_manager().add_span(Span::builder("s", "n"));
    drop(reporting);
    assert_eq!(names.iter().collect::<Vec<_>>(), ["n"]);
}

/// Guarantees: the drop of the last clone delivers, and handles that outlive it are counted.
#[test]
fn last_drop_delivers_and_closes() {
    let (reporting, recorded) = in_memory();
    let (job, dispatcher) = (reporting.job(JOB, "orders"), reporting.dispatcher().clone());
    let clone = reporting.clone();
    drop(reporting);
    job.status(JobStatus::Running).unwrap();
    drop(clone);
    assert_eq!(recorded.events().names(), ["JobStatusChangeEvent"]);
    job.status(JobStatus::Failing).unwrap();
    job.metric_group().add_event(Event::builder("s", "n"));
    let accounts = dispatcher.stats();
    let events = accounts.iter().find(|account| account.signal == Signal::Events).unwrap();
    assert_eq!((events.emitted, events.delivered, events.dropped_by(DropReason::Closed)), (3, 1, 2));
}

/// A writer that keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `test` and returns what its thread logs.
fn logged(test: impl FnOnce()) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, test);
    String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
}

/// A reporter that returns when the sender of the channel is gone.
struct Blocked(Receiver<()>);

impl TraceReporter for Blocked {
    fn report(&mut self, _: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        let _ = self.0.recv_timeout(LONG);
        Ok(())
    }
}

/// Guarantees: a drop in a tokio runtime does not wait for a reporter and warns, and elsewhere the
/// log says what was lost.
#[test]
fn drop_waits_only_outside_of_a_runtime() {
    let start = || {
        let (sender, receiver) = sync_channel(0);
        let builder = Reporting::builder().trace_reporter("slow", move || Ok(Blocked(receiver)));
        let reporting = builder.shutdown_timeout(millis(100)).start().unwrap();
        reporting.job_manager().add_span(Span::builder("s", "n"));
        (reporting, sender)
    };
    let log = logged(|| {
        let (reporting, _sender) = start();
        drop(reporting);
    });
    assert!(log.contains("records not delivered at the end"), "{log}");
    assert!(log.contains("traces slow: 1 emitted = 0 delivered"), "{log}");

    let log = logged(|| {
        let (reporting, _sender) = start();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let begin = Instant::now();
        runtime.block_on(async { drop(reporting) });
        assert!(begin.elapsed() < LONG / 2);
    });
    assert!(log.contains("call `shutdown().await`"), "{log}");
}

/// Guarantees: neither the start nor the shutdown blocks the only thread of a runtime.
#[tokio::test]
async fn start_and_shutdown_leave_the_runtime_free() {
    let (go, gone) = sync_channel(1);
    // Only another task of this runtime lets the reporter start.
    let create = move || -> Result<Blocked, Box<dyn Error + Send + Sync>> {
        gone.recv_timeout(LONG)?;
        Ok(Blocked(gone))
    };
    let start = tokio::spawn(Reporting::builder().trace_reporter("slow", create).start_async());
    tokio::task::yield_now().await;
    go.send(()).unwrap();
    let reporting = start.await.unwrap().unwrap();
    reporting.job_manager().add_span(Span::builder("s", "n"));
    let end = tokio::spawn(async move { reporting.shutdown().await });
    tokio::task::yield_now().await;
    drop(go);
    let accounts = end.await.unwrap();
    assert_eq!((accounts[0].emitted, accounts[0].delivered), (1, 1));
}

/// A factory that sends the `service.name` of each reporter.
struct Services(SyncSender<String>);

impl TraceReporterFactory for Services {
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        let name = config.get(&SERVICE_NAME)?.unwrap_or_else(|| "unset".to_owned());
        self.0.send(name).map_err(|error| ConfigError::Setup(error.into()))?;
        Ok(Box::new(Names(self.0.clone())))
    }

    fn options(&self) -> &'static [OptionDoc] {
        const { &[SERVICE_NAME.doc(), flink_traces_api::otel::RESOURCE_ATTRIBUTES.doc()] }
    }
}

#[test]
fn service_name_is_a_default() {
    let (sender, names) = sync_channel(8);
    let services = || ReporterDeclaration::new("services").traces("services", Services(sender.clone()));
    let start = |name: Option<&str>, reporter: ReporterDeclaration| {
        let builder = name.map_or_else(Reporting::builder, |name| Reporting::builder().service_name(name));
        drop(builder.reporter(reporter).start().unwrap());
        names.try_recv().unwrap()
    };
    assert_eq!(start(None, services()), "unset");
    assert_eq!(start(Some("orders"), services()), "orders");
    assert_eq!(start(Some("orders"), services().option("service.name", "own")), "own");
    assert_eq!(start(Some("orders"), services().option("resource.attributes", "service.name:listed")), "unset");
}
