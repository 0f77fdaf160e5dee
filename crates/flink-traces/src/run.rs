//! The command `run`.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Stdout};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use flink_rest::Response;
use flink_traces_api::{Clock, SystemClock};
use flink_traces_observer::{JobObservation, Observation, Pipeline};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::announce;
use crate::cli::{Exit, LogFormat, RunArgs};
use crate::clusters::Cluster;
use crate::listener::{self, Credentials};
use crate::load::{InvalidConfiguration, Settings};
use crate::metrics::{ClusterStats, Jobs, Metrics};
use crate::options::METRICS_LISTEN;
use crate::otlp_in;
use crate::page::{Now, Page, history_directory};
use crate::printer::Printer;
use crate::reporters::json_reporters;
use crate::seen::Seen;
use crate::serve;
use crate::sign_of_life::SignOfLife;
use crate::signals::Signals;
use crate::text::{print_stats, say};
use crate::watch::{Applications, Watcher};

/// Watches clusters until a signal arrives. `format` is that of the account at the end.
pub(crate) async fn run(arguments: &RunArgs, format: LogFormat) -> anyhow::Result<Exit> {
    let RunArgs { clusters, json, json_format } = arguments;
    let shorthands = json.as_ref().map(|json| json_reporters(json, json_format.format)).unwrap_or_default();
    let (settings, clusters) = Settings::load_with_clusters(&clusters.configuration, &clusters.flink, &shorthands)?;
    if clusters.is_empty() {
        return Err(InvalidConfiguration::no_cluster().into());
    }
    if let Some(directory) = json {
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    // The reporter creates its directory, but not the parent.
    let history = history_directory(&settings.reporters);
    if let Some(parent) = history.as_deref().and_then(Path::parent) {
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
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
    let applications = Applications::default();
    let watched = clusters.into_iter().map(|Cluster { name, client, host }| {
        let watcher = Watcher::new(client.clone(), &name, settings.poll_interval, &*clock, applications.clone());
        tokio::spawn(announce::contact(name.clone(), client, watcher.stats(), setups.clone()));
        (name, host, watcher)
    });
    let watched: Vec<_> = watched.collect();
    let otlp = otlp_in::open(&settings).await?;
    let jobs = settings
        .metrics_listen
        .or(settings.http.listen)
        .map(|_| Arc::new(Mutex::new(Jobs::new(settings.metrics_max_jobs))));
    if let (Some(address), Some(jobs)) = (settings.metrics_listen, &jobs) {
        let clusters = watched.iter().map(|(name, _, watcher)| (name.clone(), watcher.stats())).collect();
        let router = Metrics::new(dispatcher.clone(), clusters, jobs.clone()).with_otlp(otlp.clone()).router();
        let bound = listener::serve(address, router, Credentials::default(), settings.certificate.clone()).await;
        let url = bound.with_context(|| METRICS_LISTEN.key())?;
        tracing::info!("serving metrics at {url}/metrics");
    }
    if let (Some(address), Some(jobs)) = (settings.http.listen, &jobs) {
        let clusters = watched.iter().map(|(name, _, watcher)| (name.clone(), watcher.stats())).collect();
        let mut router = Metrics::new(dispatcher.clone(), clusters, jobs.clone()).with_otlp(otlp.clone()).router();
        match history {
            Some(directory) => {
                let trace_url = settings.http.trace_url.clone();
                router = router.merge(Page { directory, now: Now::Clock, trace_url }.router());
            }
            None => tracing::warn!("no history reporter, so there is no page: see --history"),
        }
        serve::open(&settings, address, router).await?;
    }
    // This process among all that watch the same clusters.
    let process = format!("{:016x}", RandomState::new().build_hasher().finish());
    let mut watching = JoinSet::new();
    for (name, host, mut watcher) in watched {
        let mut report = Report {
            stats: watcher.stats(),
            pipeline: Pipeline::new(&dispatcher, &name, &host, settings.detail),
            cluster: name,
            process: process.clone(),
            life: SignOfLife::default(),
            jobs: jobs.clone(),
            printer: prints.then(|| printer.clone()),
        };
        let stopped = stopped.clone();
        watching.spawn(async move {
            watcher.run(stopped, |seen| report.see(&seen)).await;
            report.observe(SystemClock.now_millis(), &watcher.finish());
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
    if let Some(otlp) = otlp {
        otlp.print_account(format);
    }
    Ok(if print_stats(&stats, format) && !failed { Exit::Done } else { Exit::Lost })
}

/// The destinations of everything that the watcher of one cluster sees.
struct Report {
    cluster: String,
    process: String,
    life: SignOfLife,
    stats: Arc<ClusterStats>,
    pipeline: Pipeline,
    jobs: Option<Arc<Mutex<Jobs>>>,
    printer: Option<Arc<Mutex<Printer<Stdout>>>>,
}

impl Report {
    fn see(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Response(answer, observations) => {
                self.observe(answer.answered_at, observations);
                if let Ok(Response { status, body, .. }) = &answer.response
                    && let Some(jobs) = self.life.of(answer.answered_at, &answer.resource, *status, body)
                {
                    self.pipeline.report_observation(&self.process, answer.answered_at, jobs);
                }
            }
            Seen::Unreachable { since, reason } => self.pipeline.report_unreachable(&self.process, *since, reason),
            Seen::Reachable { at, away_since } => self.pipeline.report_reachable(&self.process, *at, *away_since),
        }
    }

    fn observe(&mut self, at: i64, observations: &[JobObservation]) {
        for observation in observations {
            if let Observation::Missed(missed) = observation.observation {
                self.stats.missed_checkpoints.fetch_add(missed.count.unsigned_abs(), Ordering::Relaxed);
            }
            if let Some(jobs) = &self.jobs {
                jobs.lock().unwrap_or_else(PoisonError::into_inner).observe(at, &self.cluster, observation);
            }
            self.pipeline.report(observation);
            if let Some(printer) = &self.printer
                && let Err(error) = printer.lock().unwrap_or_else(PoisonError::into_inner).print(at, observation)
            {
                tracing::warn!(%error, "cannot write to standard output, printing stopped");
            }
        }
    }
}
