//! `cargo e2e record`: a recording of a session, and what Flink's own reporters sent in it.
//!
//! The golden tests of `flink-traces` play such recordings.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use flink_rest::{JobId, JobStatus, JobsOverview, StopJob};
use flink_traces_testkit::{OtlpCollector, ReceivedRequest};
use harness::say;
use tokio::time::sleep;

use crate::cluster::Mode;
use crate::compare::Setup;
use crate::program::Program;
use crate::rest::poll;
use crate::session::{STEP_TIMEOUT, run_until_interrupted};

/// The time from the start of an attempt until it fails, which leaves time for some checkpoints.
const FAILS_AFTER: &str = "12000";
/// The same for the job that fails in every attempt.
///
/// Flink serves a job from a cache of 3 s, with one time for each status. So a shorter attempt may
/// overwrite what no response shows.
const FAILS_EACH_TIME_AFTER: &str = "7000";
/// The time from the start of the job that blocks until it does.
const BLOCKS_AFTER: &str = "3000";
/// The same for the job that warms up.
const WARM_UP_FAILS_AFTER: &str = "2500";
/// The time for which the REST API shows a job that has ended, in seconds. The job that warms up
/// is gone after twice of it, and is not recorded.
const ENDED_JOBS_EXPIRE_AFTER: &str = "12";
/// The delay of a failure that no session reaches.
const NEVER: &str = "86400000";
/// The time between two actions of the session. It is longer than Flink's cache of 3 s.
const UNDISTURBED: Duration = Duration::from_secs(5);
/// The time until the last records arrive. Flink exports every 5 s.
const SETTLE: Duration = Duration::from_secs(8);
/// The time for which the TaskManager is away.
const OUTAGE: Duration = Duration::from_secs(2);
/// The folder that the recording names instead of that of the session.
const RECORDED_FOLDER: &str = "/state";

/// Runs the session, and writes the recording and the native output to `output`.
pub(crate) fn run(version: &str, output: &Path) -> Result<()> {
    let recording = output.join(format!("flink-{version}-full.jsonl.gz"));
    let native = output.join(format!("flink-{version}-full.native-otlp.jsonl.gz"));
    for file in [&recording, &native] {
        ensure!(!file.exists(), "{} exists", file.display());
    }
    fs::create_dir_all(output)?;
    let setup = Setup::prepare(version, "record-session")?;
    let folder = setup.folder.clone();
    let (recorded, sent) = run_until_interrupted(session(&setup), &folder)?;
    let session_folder = folder.to_str().context("the path of the session is not Unicode")?;
    write(&recording, &without_folder(&recorded, session_folder))?;
    write(&native, &without_folder(&sent, session_folder))?;
    fs::remove_dir_all(&folder)?;
    println!("{}\n{}", recording.display(), native.display());
    Ok(())
}

/// Returns the recording, and the requests of Flink's own reporters as lines.
async fn session(setup: &Setup) -> Result<(String, String)> {
    let native = OtlpCollector::start()?;
    say("starting the cluster");
    let options = vec![("jobstore.expiration-time", ENDED_JOBS_EXPIRE_AFTER.to_owned())];
    let mut cluster = setup.cluster_with(options, Mode::Session, &native.grpc_endpoint()).await?;
    // A JVM is many times slower in its first actions, and times are compared to the millisecond.
    say("warming up: a job that fails and recovers, until it is forgotten");
    let warm_up = cluster.rest.submit(&setup.jar, 2, &[WARM_UP_FAILS_AFTER]).await?;
    cluster.rest.wait_for_recovery(&warm_up, STEP_TIMEOUT).await?;
    cluster.rest.cancel(&warm_up, STEP_TIMEOUT).await?;
    let client = cluster.rest.client.clone();
    let forgotten = async || Ok(client.call(&JobsOverview).await?.jobs.is_empty().then_some(()));
    poll("an overview without jobs", STEP_TIMEOUT, forgotten).await?;
    native.take_spans();
    native.take_events();
    say("recording");
    let recording = setup.folder.join("recording.jsonl.gz");
    let arguments = ["--flink", &cluster.rest.url(), "--output", &recording.display().to_string()];
    let recorder = Program::start_as("record", "record", &setup.binary, &setup.folder, &arguments, &[])?;

    say("a job that fails and recovers, with a savepoint");
    let job = cluster.rest.submit(&setup.jar, 2, &[FAILS_AFTER]).await?;
    cluster.rest.wait_for_checkpoints(&job, 3, STEP_TIMEOUT).await?;
    cluster.rest.savepoint(&job, STEP_TIMEOUT).await?;
    cluster.rest.wait_for_recovery(&job, STEP_TIMEOUT).await?;
    sleep(UNDISTURBED).await;
    say("stopping it with a savepoint");
    cluster.rest.client.run(&StopJob::new(JobId::new(&job)?), STEP_TIMEOUT).await?;
    cluster.rest.wait_for_state(&job, JobStatus::Finished, STEP_TIMEOUT).await?;
    sleep(UNDISTURBED).await;

    say("a job that is canceled while a checkpoint cannot complete");
    let job = cluster.rest.submit(&setup.jar, 2, &[BLOCKS_AFTER, "block"]).await?;
    cluster.rest.wait_for_checkpoints(&job, 1, STEP_TIMEOUT).await?;
    sleep(UNDISTURBED).await;
    cluster.rest.cancel(&job, STEP_TIMEOUT).await?;
    sleep(UNDISTURBED).await;

    say("a job that loses its TaskManager");
    let job = cluster.rest.submit(&setup.jar, 2, &[NEVER]).await?;
    cluster.rest.wait_for_checkpoints(&job, 3, STEP_TIMEOUT).await?;
    cluster.restart_task_manager(OUTAGE).await?;
    cluster.rest.wait_for_recovery(&job, STEP_TIMEOUT).await?;
    sleep(UNDISTURBED).await;
    cluster.rest.cancel(&job, STEP_TIMEOUT).await?;
    sleep(UNDISTURBED).await;

    say("a job that fails for good");
    let job = cluster.rest.submit(&setup.jar, 2, &[FAILS_EACH_TIME_AFTER, "fail-always"]).await?;
    cluster.rest.wait_for_state(&job, JobStatus::Failed, STEP_TIMEOUT).await?;
    sleep(SETTLE).await;
    recorder.stop().await?;
    let lines: Result<Vec<_>, _> = native.requests().iter().map(ReceivedRequest::to_json).collect();
    let sent = lines.map_err(Error::msg)?.into_iter().map(|line| line + "\n").collect();
    cluster.stop().await?;
    let mut recorded = String::new();
    MultiGzDecoder::new(File::open(recording)?).read_to_string(&mut recorded)?;
    Ok((recorded, sent))
}

/// Replaces the folder of the session, which belongs to the machine.
fn without_folder(text: &str, folder: &str) -> String {
    text.replace(folder, RECORDED_FOLDER)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut file = GzEncoder::new(File::create_new(path)?, Compression::best());
    file.write_all(text.as_bytes())?;
    file.finish()?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_do_not_name_the_folder_of_the_session() {
        let text = r#"{"external_path":"file:/home/me/session/checkpoints/1f/chk-3"}"#;
        let expected = r#"{"external_path":"file:/state/checkpoints/1f/chk-3"}"#;
        assert_eq!(without_folder(text, "/home/me/session"), expected);
    }
}
