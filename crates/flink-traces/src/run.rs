//! The command `run`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use flink_traces_api::SystemClock;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::announce;
use crate::cli::{Exit, LogFormat, RunArgs};
use crate::fleet::{Changes, Destinations, Fleet};
use crate::listener::{self, Credentials};
use crate::load::{InvalidConfiguration, Settings};
use crate::metrics::{Jobs, Metrics, ProcessStats};
use crate::notify::{notify, notify_reload, watchdog_pause};
use crate::options::{DISCOVERY_INTERVAL, METRICS_LISTEN};
use crate::otlp_in;
use crate::page::{Now, Page, history_directory};
use crate::printer::Printer;
use crate::reload::{Reloaded, Reloader, Watched};
use crate::reporters::json_reporters;
use crate::roster::Roster;
use crate::serve;
use crate::shard::{Shard, host_name};
use crate::signals::{Caught, Signals};
use crate::text::{print_stats, say};

/// Watches clusters until a signal arrives. `format` is that of the account at the end.
pub(crate) async fn run(arguments: &RunArgs, format: LogFormat) -> anyhow::Result<Exit> {
    let RunArgs { clusters: cluster_arguments, json, json_format, shard } = arguments;
    let shard = Shard::new(*shard, host_name().as_deref())?;
    let shorthands = json.as_ref().map(|json| json_reporters(json, json_format.format)).unwrap_or_default();
    let configuration_arguments = &cluster_arguments.configuration;
    let watched = Watched::new(configuration_arguments.conf.as_deref());
    let (settings, clusters) =
        Settings::load_with_clusters(configuration_arguments, &cluster_arguments.flink, &shorthands)?;
    if clusters.is_empty() && settings.sources.is_empty() {
        return Err(InvalidConfiguration::no_cluster(true).into());
    }
    if let Some(directory) = json {
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    // The reporter creates its directory, but not the parent.
    let history = history_directory(&settings.reporters);
    if let Some(parent) = history.as_deref().and_then(Path::parent) {
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    let mut signals = Signals::listen()?.with_reload();
    let clock = Arc::new(SystemClock);
    let journal = settings.open_journal()?;
    let dispatcher = settings.start_with_journal(clock.clone(), journal.clone())?;
    // Without reporters, observations are printed to standard output.
    let prints = settings.reporters.is_empty();
    if prints {
        tracing::info!("no reporter configured, printing spans and events: see --otlp, --conf and -D");
    }
    announce::reporters(&settings.reporters);
    tokio::spawn(announce::deliveries(dispatcher.clone()));

    let otlp = otlp_in::open(&settings)?;
    let stats = Arc::new(ProcessStats::new(shard));
    let jobs = settings
        .metrics_listen
        .or(settings.http.listen)
        .map(|_| Arc::new(Mutex::new(Jobs::new(settings.metrics_max_jobs))));
    if let Some(jobs) = &jobs {
        let metrics = Metrics::new(dispatcher.clone(), stats.clone(), jobs.clone()).with(&otlp).with(&journal);
        serve_pages(&settings, history, metrics)?;
    }
    let destinations = Destinations {
        clock,
        dispatcher: dispatcher.clone(),
        setups: settings.reporters.clone().into(),
        detail: settings.detail,
        process: format!("{:016x}", fastrand::u64(..)),
        jobs,
        printer: prints.then(|| Arc::new(Mutex::new(Printer::new(io::stdout())))),
    };
    let mut reloader =
        Reloader::new(configuration_arguments, &cluster_arguments.flink, &shorthands, &settings.configuration, watched);
    let mut roster = Roster::new(shard, stats.clone());
    let mut fleet = Fleet::new(destinations, stats.clone());
    roster.configure(clusters, &settings.sources);
    fleet.watch(&roster.clusters());
    let look = interval(settings.configuration.get(&DISCOVERY_INTERVAL).ok().flatten().unwrap_or_default());
    notify("READY=1");
    let failed = keep_watching(&mut signals, look, &mut reloader, &mut roster, &mut fleet, &stats).await;
    notify("STOPPING=1");
    tracing::info!("stopping, send a second signal to stop at once");
    tokio::spawn(async move {
        let code = signals.next().await;
        say("stopped at once, queued records are lost\n");
        std::process::exit(code);
    });
    drop(roster);
    fleet.end().await;
    let timeout = settings.shutdown_timeout;
    let stats = tokio::task::spawn_blocking(move || dispatcher.shutdown(timeout)).await?;
    if let Some(journal) = journal {
        tokio::task::spawn_blocking(move || journal.close()).await?;
    }
    if let Some(otlp) = otlp {
        otlp.print_account(format);
    }
    Ok(if print_stats(&stats, format) && !failed { Exit::Done } else { Exit::Lost })
}

/// Opens the listeners that are configured.
fn serve_pages(settings: &Settings, history: Option<PathBuf>, metrics: Metrics) -> anyhow::Result<()> {
    if let Some(address) = settings.metrics_listen {
        let router = metrics.clone().router();
        let bound = listener::serve(address, router, Credentials::default(), settings.certificate.clone());
        let url = bound.with_context(|| METRICS_LISTEN.key())?;
        tracing::info!("serving metrics at {url}/metrics");
    }
    if let Some(address) = settings.http.listen {
        let mut router = metrics.router();
        match history {
            Some(directory) => {
                let trace_url = settings.http.trace_url.clone();
                router = router.merge(Page { directory, now: Now::Clock, trace_url }.router());
            }
            None => tracing::warn!("no history reporter, so there is no page: see --history"),
        }
        serve::open(settings, address, router)?;
    }
    Ok(())
}

/// Applies what changes the clusters until the program has to end. Returns `true` if a watcher
/// failed.
async fn keep_watching(
    signals: &mut Signals,
    mut look: Interval,
    reloader: &mut Reloader,
    roster: &mut Roster,
    fleet: &mut Fleet,
    stats: &ProcessStats,
) -> bool {
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The task that drives the clusters gives the signs of life, so that a hang is noticed.
    let watchdog = watchdog_pause();
    let mut life = interval(watchdog.unwrap_or(Duration::from_secs(3_600)));
    life.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let reloads = tokio::select! {
            caught = signals.caught() => match caught {
                Caught::Stop(_) => return false,
                Caught::Reload => true,
            },
            _ = look.tick() => reloader.has_changed(),
            _ = life.tick(), if watchdog.is_some() => {
                notify("WATCHDOG=1");
                false
            }
            () = roster.change() => {
                fleet.watch(&roster.clusters());
                false
            }
            // A watcher ends by itself only if it panics. The program then exits, and a supervisor
            // may restart it.
            () = fleet.failure() => return true,
        };
        if reloads {
            notify_reload();
            let reloaded = reloader.load();
            stats.note_load(reloaded.is_some());
            if let Some(Reloaded { clusters, sources }) = reloaded {
                roster.configure(clusters, &sources);
                let Changes { added, changed, removed } = fleet.watch(&roster.clusters());
                tracing::info!(added, changed, removed, "configuration reloaded");
            }
            notify("READY=1");
        }
    }
}
