//! Histories of recordings.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use flink_rest::Resource;
use flink_traces_observer::recording::{Exchange, RecordingError, RecordingReader};
use flink_traces_observer::replay::{ReplayClock, replay};
use flink_traces_observer::{JobObservation, Pipeline};
use flink_traces_runtime::Dispatcher;

use crate::cli::{ConfigurationArgs, LogFormat};
use crate::load::Settings;
use crate::reporters::without_retention;
use crate::sign_of_life::SignOfLife;
use crate::text::print_stats;

/// The cluster name in the span ids of a recording.
const CLUSTER: &str = "recording";

/// The maximum number of queued spans or events before a replay waits for the reporters.
const MAX_QUEUED: u64 = 10_000;

/// The timeout of a flush. It is long, because a replay can wait for the reporters.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(86_400);

/// Plays a recording into the history in `directory`, and prints nothing.
pub(crate) fn into_history(
    reader: RecordingReader,
    arguments: &ConfigurationArgs,
    directory: &Path,
) -> anyhow::Result<()> {
    let arguments = ConfigurationArgs { history: Some(directory.to_owned()), ..arguments.clone() };
    let settings = Settings::load(&arguments, &without_retention())?;
    let clock = ReplayClock::default();
    let dispatcher = settings.start(Arc::new(clock.clone()))?;
    let played = play_into(&dispatcher, &clock, &settings, reader, |_, _| {});
    let stats = dispatcher.shutdown(settings.shutdown_timeout);
    if !stats.iter().all(|reporter| reporter.emitted == reporter.delivered) {
        print_stats(&stats, LogFormat::Text);
        anyhow::bail!("the history lacks records of the recording");
    }
    if stats.iter().all(|reporter| reporter.emitted == 0) {
        let reason = played.map_or_else(Into::into, |_| anyhow::anyhow!("found no job"));
        return Err(reason.context("expected a recording of a session"));
    }
    // A damaged recording has a report of its intact part.
    if let Err(error) = played {
        tracing::warn!(%error, "the recording is damaged");
    }
    Ok(())
}

/// Replays `exchanges` into `dispatcher`, which has `clock`, and delivers everything.
///
/// A replay can wait for a slow destination, so nothing is dropped. `each` is that of [`replay`].
pub(crate) fn play_into(
    dispatcher: &Dispatcher,
    clock: &ReplayClock,
    settings: &Settings,
    exchanges: impl IntoIterator<Item = Result<Exchange, RecordingError>>,
    mut each: impl FnMut(i64, &[JobObservation]),
) -> Result<usize, RecordingError> {
    let limit = settings.reporters.iter().map(|reporter| reporter.queue_size as u64 / 4).min();
    let limit = limit.unwrap_or(MAX_QUEUED).min(MAX_QUEUED);
    let max_bytes = settings.reporters.iter().map(|reporter| reporter.queue_max_bytes / 4).min().unwrap_or(u64::MAX);
    let mut pipeline = Pipeline::new(dispatcher, CLUSTER, "localhost", settings.detail, []);
    let mut life = SignOfLife::default();
    let jobs_listed = Cell::new(None);
    let exchanges = exchanges.into_iter().inspect(|exchange| {
        jobs_listed.set(exchange.as_ref().ok().and_then(|exchange| {
            let resource = Resource::parse(&exchange.path).filter(|_| exchange.method == "GET")?;
            life.of(exchange.arrived_at(), &resource, exchange.status, exchange.body.get().as_bytes())
        }));
    });
    let played = replay(exchanges, |now, observations| {
        clock.set(now);
        for observation in observations {
            pipeline.report(observation);
            if dispatcher.stats().iter().any(|reporter| reporter.queued > limit || reporter.queued_bytes > max_bytes) {
                dispatcher.flush(FLUSH_TIMEOUT);
            }
        }
        if let Some(jobs) = jobs_listed.take() {
            pipeline.report_observation(CLUSTER, now, jobs);
        }
        each(now, observations);
    });
    dispatcher.flush(FLUSH_TIMEOUT);
    played
}

/// A directory that is deleted when it is dropped.
pub(crate) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    /// Creates a directory that no other process uses.
    pub(crate) fn create() -> anyhow::Result<Self> {
        let name = format!("flink-traces-{:016x}", fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = ?self.0, "cannot delete temporary directory");
        }
    }
}
