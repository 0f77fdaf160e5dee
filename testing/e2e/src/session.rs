//! The frame of a session: its time limit for a step, and its end on a signal.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use tokio::signal::unix::{SignalKind, signal};

/// The time limit for a step of a session.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a session whose logs are in `folder`.
pub(crate) fn run_until_interrupted<T>(session: impl Future<Output = Result<T>>, folder: &Path) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        // A signal drops the session, which kills its processes.
        tokio::select! {
            result = session => result,
            interruption = interrupted() => Err(interruption?),
        }
    });
    result.with_context(|| format!("the session's logs are in {}", folder.display()))
}

/// Waits for a signal that would otherwise end only this process.
async fn interrupted() -> Result<Error> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = hangup.recv() => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(anyhow!("interrupted"))
}
