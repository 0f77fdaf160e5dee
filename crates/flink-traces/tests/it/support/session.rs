//! The beginning of a recorded session of a real Flink 2.3.0. One job runs and has completed three
//! checkpoints.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use flink_traces_observer::recording::{Exchange, RecordingReader};

use super::flink::{Answers, Reply};

/// The job id. The name follows.
pub(crate) const JOB: &str = "0b1d198cd84d58810f0faf9761017b2f";
pub(crate) const NAME: &str = "orders-recover";

/// The number of its spans at the level `CHILDREN_SPANS_PER_SUBTASK`. Each of three checkpoints has
/// 4 tasks and 11 subtasks, and there is one initialization. The number of its events follows.
pub(crate) const SPANS: usize = 3 * (1 + 4 + 11) + 1;
pub(crate) const EVENTS: usize = 3 + 2 + 1;

/// A time after the third checkpoint was reported, and before the next one.
const END_MILLIS: i64 = 1_795_230_920_999;

pub(crate) fn full_recording() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings/flink-2.3.0-full.jsonl.gz")
}

fn exchanges() -> Vec<Exchange> {
    let exchanges = RecordingReader::open(&full_recording()).unwrap().map(Result::unwrap);
    exchanges.take_while(|exchange| exchange.t_ms <= END_MILLIS).collect()
}

/// Returns the session as lines of a recording.
pub(crate) fn lines() -> Vec<String> {
    exchanges().iter().map(|exchange| serde_json::to_string(exchange).unwrap()).collect()
}

/// Returns a recording of lines.
pub(crate) fn recording(lines: &[String]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    for line in lines {
        writeln!(gzip, "{line}").unwrap();
    }
    gzip.finish().unwrap()
}

/// Returns the responses of the cluster at the end of the session.
pub(crate) fn answers() -> Answers {
    let asked = exchanges().into_iter().filter(|exchange| exchange.method == "GET" && exchange.status != 0);
    let mut answers: Answers =
        asked.map(|exchange| (exchange.path, Reply::Flink(exchange.status, exchange.body.get().to_owned()))).collect();
    // These are requested by `once` and `check` only.
    let config = r#"{"refresh-interval":3000,"timezone-name":"Coordinated Universal Time","timezone-offset":0,
        "flink-version":"2.3.0","flink-revision":"c0f8d1a @ 2026-06-14T16:29:03+02:00","features":{}}"#;
    let overview = r#"{"taskmanagers":1,"slots-total":4,"slots-available":0,"jobs-running":1,"jobs-finished":0,
        "jobs-cancelled":0,"jobs-failed":0,"flink-version":"2.3.0","flink-commit":"c0f8d1a"}"#;
    answers.insert("/config".to_owned(), Reply::Flink(200, config.to_owned()));
    answers.insert("/overview".to_owned(), Reply::Flink(200, overview.to_owned()));
    // The recording lacks the metric. This is the start that follows from the status.
    let start = r#"[{"id":"lastCheckpointRestoreTimestamp","value":"1795230917019"}]"#;
    let metrics = format!("/jobs/{JOB}/metrics?get=lastCheckpointRestoreTimestamp");
    answers.insert(metrics, Reply::Flink(200, start.to_owned()));
    answers
}

/// Returns the same responses, with another name of the job.
pub(crate) fn answers_with_name(name: &str) -> Answers {
    let renamed = |reply| match reply {
        Reply::Flink(status, body) => Reply::Flink(status, renamed(&body, name)),
        reply => reply,
    };
    answers().into_iter().map(|(path, reply)| (path, renamed(reply))).collect()
}

/// Returns JSON with the name of the job replaced.
pub(crate) fn renamed(json: &str, name: &str) -> String {
    json.replace(&format!("\"{NAME}\""), &serde_json::to_string(name).unwrap())
}
