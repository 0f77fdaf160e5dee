//! The command `run`.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use flink_traces_api::{Clock, SystemClock};
use flink_traces_observer::{JobObservation, Observation, Pipeline};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cli::{ClusterArgs, Exit};
use crate::metrics::Metrics;
use crate::printer::Printer;
use crate::settings::{Cluster, InvalidConfiguration, METRICS_LISTEN, Settings};
use crate::text::{say, tell_stats};
use crate::watch::Watcher;

/// Watches clusters until the program is told to stop.
///
/// # Errors
/// When the configuration is wrong.
pub(crate) async fn run(arguments: &ClusterArgs) -> anyhow::Result<Exit> {
    let (settings, clusters) = Settings::load_with_clusters(&arguments.configuration, &arguments.flink)?;
    if clusters.is_empty() {
        return Err(InvalidConfiguration::no_cluster().into());
    }
    let mut signals = Signals::listen()?;
    let clock = Arc::new(SystemClock);
    let dispatcher = settings.start(clock.clone())?;
    // With reporters, standard output stays free; without, it is where people look.
    let prints = settings.reporters.is_empty();
    if prints {
        tracing::info!("no reporter is configured, so spans and events are printed: see --otlp, --conf and -D");
    }
    let printer = Arc::new(Mutex::new(Printer::new(io::stdout())));

    let (stop, stopped) = watch::channel(false);
    let watched = clusters.into_iter().map(|Cluster { name, client, host }| {
        let watcher = Watcher::new(client, &name, settings.poll_interval, clock.clone());
        (name, host, watcher)
    });
    let watched: Vec<_> = watched.collect();
    if let Some(address) = settings.metrics_listen {
        let clusters = watched.iter().map(|(name, _, watcher)| (name.clone(), watcher.stats())).collect();
        let bound = Metrics::new(dispatcher.clone(), clusters).serve(address).await;
        let address = bound.with_context(|| format!("{}: {address}", METRICS_LISTEN.key()))?;
        tracing::info!("metrics are at http://{address}/metrics");
    }
    let mut watching = JoinSet::new();
    for (name, host, mut watcher) in watched {
        let stats = watcher.stats();
        let mut pipeline = Pipeline::new(&dispatcher, &name, &host, settings.detail);
        let (stopped, printer) = (stopped.clone(), printer.clone());
        watching.spawn(async move {
            let mut report = move |at: i64, observations: &[JobObservation]| {
                for observation in observations {
                    if let Observation::Missed { count, .. } = observation.observation {
                        stats.missed_checkpoints.fetch_add(count.unsigned_abs(), Ordering::Relaxed);
                    }
                    pipeline.report(observation);
                    if prints {
                        let printed = printer.lock().unwrap_or_else(PoisonError::into_inner).print(at, observation);
                        if let Err(error) = printed {
                            tracing::warn!(%error, "standard output cannot be written, printing no more");
                        }
                    }
                }
            };
            watcher.run(stopped, |answer, observations| report(answer.answered_at, observations)).await;
            report(SystemClock.now_millis(), &watcher.finish());
        });
    }
    // Watching ends by itself only if it panics. Whoever supervises this program may start it again.
    let failed = tokio::select! {
        _ = signals.next() => false,
        _ = watching.join_next() => true,
    };
    tracing::info!("stopping; once more to stop at once");
    tokio::spawn(async move {
        let code = signals.next().await;
        say("stopped at once, what was queued is lost\n");
        std::process::exit(code);
    });
    let _ = stop.send(true);
    while watching.join_next().await.is_some() {}
    let timeout = settings.shutdown_timeout;
    let stats = tokio::task::spawn_blocking(move || dispatcher.shutdown(timeout)).await?;
    Ok(if tell_stats(&stats) && !failed { Exit::Done } else { Exit::Lost })
}

/// The signals that stop a program, SIGTERM and Ctrl-C. They are caught from when this is made.
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When signals cannot be heard.
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal; answers the exit code of a program that it ends.
    pub(crate) async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => 143,
            _ = self.interrupt.recv() => 130,
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// Never, here.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for Ctrl-C; answers the exit code of a program that it ends.
    pub(crate) async fn next(&mut self) -> i32 {
        // Without it, nothing but a kill stops the program.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        130
    }
}
