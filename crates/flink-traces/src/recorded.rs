//! Histories of recordings.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use flink_traces_observer::Pipeline;
use flink_traces_observer::recording::RecordingReader;
use flink_traces_observer::replay::{ReplayClock, replay};

use crate::cli::{ConfigurationArgs, LogFormat};
use crate::load::Settings;
use crate::reporters::without_retention;
use crate::text::print_stats;

/// The cluster name in the span ids of a recording.
pub(crate) const CLUSTER: &str = "recording";

/// The maximum number of queued spans or events before a replay waits for the reporters.
pub(crate) const MAX_QUEUED: u64 = 10_000;

/// The timeout of a flush. It is long, because a replay can wait for the reporters.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(86_400);

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
    let mut pipeline = Pipeline::new(&dispatcher, CLUSTER, "localhost", settings.detail);
    let played = replay(reader, |now, observations| {
        clock.set(now);
        for observation in observations {
            pipeline.report(observation);
            if dispatcher.stats().iter().any(|reporter| reporter.queued > MAX_QUEUED) {
                dispatcher.flush(FLUSH_TIMEOUT);
            }
        }
    });
    dispatcher.flush(FLUSH_TIMEOUT);
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

/// A directory that is deleted when it is dropped.
pub(crate) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    /// Creates a directory that no other process uses.
    pub(crate) fn create() -> anyhow::Result<Self> {
        let name = format!("flink-traces-{:016x}", RandomState::new().build_hasher().finish());
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
