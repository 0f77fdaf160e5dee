//! The command `run`.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use flink_traces_api::{Clock, SystemClock};
use flink_traces_observer::{JobObservation, Observation, Pipeline};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::announce;
use crate::cli::{Exit, LogFormat, RunArgs};
use crate::clusters::Cluster;
use crate::load::{InvalidConfiguration, Settings};
use crate::metrics::{Jobs, Metrics};
use crate::options::METRICS_LISTEN;
use crate::printer::Printer;
use crate::reporters::json_reporters;
use crate::signals::Signals;
use crate::text::{print_stats, say};
use crate::watch::Watcher;

/// Watches clusters until a signal arrives. `format` is that of the account at the end.
pub(crate) async fn run(arguments: &RunArgs, format: LogFormat) -> anyhow::Result<Exit> {
    let RunArgs { clusters, json, json_format } = arguments;
    let shorthands = json.as_ref().map(|json| json_reporters(json, *json_format)).unwrap_or_default();
    let (settings, clusters) = Settings::load_with_clusters(&clusters.configuration, &clusters.flink, &shorthands)?;
    if clusters.is_empty() {
        return Err(InvalidConfiguration::no_cluster().into());
    }
    if let Some(directory) = json {
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    let mut signals = Signals::listen()?;
    let clock = Arc::new(SystemClock);
    let dispatcher = settings.start(clock.clone())?;
    // Without reporters, observations are printed to standard output.
    let prints = settings.reporters.is_empty();
    if prints {
        tracing::info!("no reporter configured, printing spans and events: see --otlp, --conf and -D");
    }
    announce::reporters(&settings.reporters);
    tokio::spawn(announce::deliveries(dispatcher.clone()));
    let setups: Arc<[_]> = settings.reporters.clone().into();
    let printer = Arc::new(Mutex::new(Printer::new(io::stdout())));

    let (stop, stopped) = watch::channel(false);
    let watched = clusters.into_iter().map(|Cluster { name, client, host }| {
        let watcher = Watcher::new(client.clone(), &name, settings.poll_interval, clock.clone());
        tokio::spawn(announce::contact(name.clone(), client, watcher.stats(), setups.clone()));
        (name, host, watcher)
    });
    let watched: Vec<_> = watched.collect();
    let jobs = settings.metrics_listen.map(|_| Arc::new(Mutex::new(Jobs::new(settings.metrics_max_jobs))));
    if let (Some(address), Some(jobs)) = (settings.metrics_listen, &jobs) {
        let clusters = watched.iter().map(|(name, _, watcher)| (name.clone(), watcher.stats())).collect();
        let bound = Metrics::new(dispatcher.clone(), clusters, jobs.clone()).serve(address).await;
        let address = bound.with_context(|| format!("{}: {address}", METRICS_LISTEN.key()))?;
        tracing::info!("serving metrics at http://{address}/metrics");
    }
    let mut watching = JoinSet::new();
    for (name, host, mut watcher) in watched {
        let stats = watcher.stats();
        let mut pipeline = Pipeline::new(&dispatcher, &name, &host, settings.detail);
        let (stopped, printer, jobs) = (stopped.clone(), printer.clone(), jobs.clone());
        watching.spawn(async move {
            let mut report = move |at: i64, observations: &[JobObservation]| {
                for observation in observations {
                    if let Observation::Missed { count, .. } = observation.observation {
                        stats.missed_checkpoints.fetch_add(count.unsigned_abs(), Ordering::Relaxed);
                    }
                    if let Some(jobs) = &jobs {
                        jobs.lock().unwrap_or_else(PoisonError::into_inner).observe(at, &name, observation);
                    }
                    pipeline.report(observation);
                    if prints {
                        let printed = printer.lock().unwrap_or_else(PoisonError::into_inner).print(at, observation);
                        if let Err(error) = printed {
                            tracing::warn!(%error, "cannot write to standard output, printing stopped");
                        }
                    }
                }
            };
            watcher.run(stopped, |answer, observations| report(answer.answered_at, observations)).await;
            report(SystemClock.now_millis(), &watcher.finish());
        });
    }
    // A watcher ends by itself only if it panics. The program then exits, and a supervisor may
    // restart it.
    let failed = tokio::select! {
        _ = signals.next() => false,
        _ = watching.join_next() => true,
    };
    tracing::info!("stopping, send a second signal to stop at once");
    tokio::spawn(async move {
        let code = signals.next().await;
        say("stopped at once, queued records are lost\n");
        std::process::exit(code);
    });
    let _ = stop.send(true);
    while watching.join_next().await.is_some() {}
    let timeout = settings.shutdown_timeout;
    let stats = tokio::task::spawn_blocking(move || dispatcher.shutdown(timeout)).await?;
    Ok(if print_stats(&stats, format) && !failed { Exit::Done } else { Exit::Lost })
}
