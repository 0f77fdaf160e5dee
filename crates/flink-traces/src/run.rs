//! The command `run`.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use flink_traces_api::SystemClock;
use tokio::sync::watch;

use crate::cli::RunArgs;
use crate::pipeline::{Pipeline, Printer};
use crate::settings::Settings;
use crate::text::{say, tell_stats};
use crate::watch::Watcher;

/// Watches clusters until the program is told to stop; answers whether everything was delivered.
///
/// # Errors
/// When the configuration is wrong.
pub async fn run(arguments: &RunArgs) -> anyhow::Result<bool> {
    let settings = Settings::load(&arguments.configuration, &[])?;
    let clusters = clusters(&settings, &arguments.flink)?;
    let clock = Arc::new(SystemClock);
    let dispatcher = settings.start(clock.clone())?;
    // With reporters, standard output stays free; without, it is where people look.
    let prints = settings.reporters.is_empty();
    if prints && std::io::stderr().is_terminal() {
        say("No reporter is configured: printing. See --otlp, --conf and -D.\n");
    }
    let printer = Arc::new(Mutex::new(Printer::new(std::io::stdout())));

    let (stop, stopped) = watch::channel(false);
    let mut watching = tokio::task::JoinSet::new();
    for Cluster { name, client, host } in clusters {
        let mut watcher = Watcher::new(client, &name, settings.poll_interval, clock.clone());
        let mut pipeline = Pipeline::new(&dispatcher, &name, &host, settings.detail);
        let (stopped, printer) = (stopped.clone(), printer.clone());
        watching.spawn(async move {
            let mut report = move |at: i64, outputs: &[crate::observer::Output]| {
                for output in outputs {
                    pipeline.report(output);
                    if prints {
                        // Whoever closed the other end of a pipe has seen enough.
                        let _ = printer.lock().unwrap_or_else(PoisonError::into_inner).print(at, output);
                    }
                }
            };
            watcher.run(stopped, |answer, outputs| report(answer.answered_at, outputs)).await;
            let at = flink_traces_api::Clock::now_millis(&SystemClock);
            report(at, &watcher.finish());
        });
    }
    wait_for_signal().await?;
    tracing::info!("stopping");
    let _ = stop.send(true);
    while watching.join_next().await.is_some() {}
    let timeout = settings.shutdown_timeout;
    let stats = tokio::task::spawn_blocking(move || dispatcher.shutdown(timeout)).await?;
    Ok(tell_stats(&stats))
}

/// A cluster to watch.
pub struct Cluster {
    /// What tells it from others.
    pub name: String,
    /// How to ask it.
    pub client: flink_rest::Client,
    /// The host in its address, which stands in for the JobManager's host name.
    pub host: String,
}

/// The clusters that the configuration and the arguments name.
///
/// # Errors
/// When there is none, or an address is none.
pub fn clusters(settings: &Settings, arguments: &[String]) -> anyhow::Result<Vec<Cluster>> {
    let mut named = settings.clusters.clone();
    for argument in arguments {
        named.push(match argument.split_once('=') {
            Some((name, url)) if !name.contains(':') => (name.to_owned(), url.to_owned()),
            _ => (String::new(), argument.clone()),
        });
    }
    anyhow::ensure!(
        !named.is_empty(),
        "no cluster to watch: give --flink URL, or configure flink-traces.clusters.<name>"
    );
    let cluster = |(name, url): (String, String)| {
        let client = settings.client(&url)?;
        let address = client.base_url();
        let authority = address.split_once("://").map_or(address, |(_, rest)| rest);
        let authority = authority.split('/').next().unwrap_or(authority).to_owned();
        let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host).to_owned();
        Ok(Cluster { name: if name.is_empty() { authority } else { name }, client, host })
    };
    named.into_iter().map(cluster).collect::<anyhow::Result<_>>().context("--flink")
}

/// Returns when the program is told to stop, by SIGTERM or Ctrl-C.
///
/// # Errors
/// When signals cannot be heard.
pub async fn wait_for_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
