//! The fleet: the clusters that are watched now.
//!
//! Everything that changes the fleet does so by a list of the clusters that are wanted. The fleet
//! compares it with those that are watched, and starts, changes and stops watchers.

use std::collections::BTreeMap;
use std::io::Stdout;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flink_rest::Response;
use flink_traces_api::Clock;
use flink_traces_observer::{JobObservation, Observation, Pipeline};
use flink_traces_runtime::Dispatcher;
use flink_traces_runtime::config::{ReporterSetup, SpanDetailLevel};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::announce;
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::metrics::{ClusterStats, Jobs, ProcessStats};
use crate::printer::Printer;
use crate::seen::Seen;
use crate::sign_of_life::SignOfLife;
use crate::watch::{Order, SharedLimits, Watcher};

/// The time over which the first polls of clusters that are found together are spread.
const SPREAD: Duration = Duration::from_secs(1);

/// The destinations of everything that watchers see.
#[derive(Clone)]
pub(crate) struct Destinations {
    /// The clock of the watchers.
    pub(crate) clock: Arc<dyn Clock>,
    /// The reporters.
    pub(crate) dispatcher: Dispatcher,
    /// Their setups.
    pub(crate) setups: Arc<[ReporterSetup]>,
    /// The children of checkpoint spans, unless a cluster has others.
    pub(crate) detail: SpanDetailLevel,
    /// This process among all that watch the same clusters.
    pub(crate) process: String,
    /// The metrics of jobs, if there is a page for them.
    pub(crate) jobs: Option<Arc<Mutex<Jobs>>>,
    /// Standard output, if nothing else is configured.
    pub(crate) printer: Option<Arc<Mutex<Printer<Stdout>>>>,
}

/// The watched clusters.
pub(crate) struct Fleet {
    destinations: Destinations,
    stats: Arc<ProcessStats>,
    limits: SharedLimits,
    watched: BTreeMap<String, Watched>,
    /// The watchers that were ordered to stop and may still run, by cluster.
    stopping: BTreeMap<String, oneshot::Receiver<()>>,
    watching: JoinSet<()>,
}

/// A watched cluster.
struct Watched {
    cluster: Cluster,
    orders: watch::Sender<Order>,
    /// Fails when the watcher has ended.
    ended: oneshot::Receiver<()>,
}

/// The numbers of clusters that a list changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) added: usize,
    pub(crate) changed: usize,
    pub(crate) removed: usize,
}

impl Fleet {
    /// Creates a fleet without clusters.
    pub(crate) fn new(destinations: Destinations, stats: Arc<ProcessStats>) -> Self {
        Self {
            destinations,
            stats,
            limits: SharedLimits::default(),
            watched: BTreeMap::new(),
            stopping: BTreeMap::new(),
            watching: JoinSet::new(),
        }
    }

    /// Watches these clusters and no others.
    ///
    /// A cluster with other options is watched on, with what was observed. A cluster whose address
    /// is invalid is logged, and keeps the options that it has.
    pub(crate) fn watch(&mut self, wanted: &BTreeMap<String, Cluster>) -> Changes {
        let mut changes = Changes::default();
        let gone: Vec<_> = self.watched.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in gone {
            changes.removed += 1;
            self.stop(&name);
        }
        let mut added = Vec::new();
        for (name, cluster) in wanted {
            let known = self.watched.get_mut(name);
            if known.as_ref().is_some_and(|known| known.cluster == *cluster) {
                continue;
            }
            let connection = match Connection::open(cluster.clone()) {
                Ok(connection) => Arc::new(connection),
                Err(error) => {
                    tracing::warn!(cluster = name, %error, "cannot watch the cluster");
                    continue;
                }
            };
            match known {
                Some(known) => {
                    changes.changed += 1;
                    known.cluster = cluster.clone();
                    let _ = known.orders.send(Order::Watch(connection));
                }
                None => added.push(connection),
            }
        }
        changes.added = added.len();
        let step = SPREAD.checked_div(added.len().try_into().unwrap_or(u32::MAX)).unwrap_or_default();
        let mut pause = Duration::ZERO;
        for connection in added {
            self.start(connection, pause);
            pause += step;
        }
        changes
    }

    /// Starts the watcher of a cluster, which sends its first request after a pause.
    fn start(&mut self, connection: Arc<Connection>, pause: Duration) {
        let name = connection.name().to_owned();
        let mut watcher = Watcher::new(connection.clone(), &*self.destinations.clock, self.limits.clone());
        let stats = watcher.stats();
        self.stats.clusters().insert(name.clone(), stats.clone());
        let (orders, mut received) = watch::channel(Order::Watch(connection.clone()));
        let (alive, ended) = oneshot::channel::<()>();
        let previous = self.stopping.remove(&name);
        let watched = Watched { cluster: connection.cluster().clone(), orders, ended };
        self.watched.insert(name, watched);
        let mut report = Report::new(self.destinations.clone(), &connection, stats.clone());
        let Destinations { setups, clock, .. } = self.destinations.clone();
        self.watching.spawn(async move {
            // Dropped at the end, however it comes.
            let _alive = alive;
            if let Some(previous) = previous {
                let _ = previous.await;
            }
            let stopped = received.wait_for(|order| matches!(order, Order::Stop));
            let start = async {
                sleep(pause).await;
                watcher.wait_for_start().await;
            };
            tokio::select! {
                () = start => {}
                _ = stopped => return,
            }
            received.mark_changed();
            let contact = tokio::spawn(announce::contact(connection, stats, setups));
            watcher.run(received, |seen| report.see(&seen)).await;
            report.observe(clock.now_millis(), &watcher.finish());
            contact.abort();
        });
    }

    fn stop(&mut self, name: &str) {
        let Some(Watched { orders, ended, .. }) = self.watched.remove(name) else { return };
        let _ = orders.send(Order::Stop);
        self.stopping.insert(name.to_owned(), ended);
        self.stats.clusters().remove(name);
        if let Some(jobs) = &self.destinations.jobs {
            jobs.lock().unwrap_or_else(PoisonError::into_inner).remove_cluster(name);
        }
    }

    /// Waits until a watcher fails, which it does only by a panic.
    pub(crate) async fn failure(&mut self) {
        loop {
            match self.watching.join_next().await {
                Some(Ok(())) => {
                    self.stopping.retain(|_, ended| ended.try_recv() == Err(oneshot::error::TryRecvError::Empty))
                }
                Some(Err(_)) => return,
                None => std::future::pending().await,
            }
        }
    }

    /// Stops all watchers, and waits for them.
    pub(crate) async fn end(mut self) {
        for watched in self.watched.values() {
            let _ = watched.orders.send(Order::Stop);
        }
        while self.watching.join_next().await.is_some() {}
    }
}

/// The destinations of everything that the watcher of one cluster sees.
struct Report {
    destinations: Destinations,
    cluster: String,
    life: SignOfLife,
    stats: Arc<ClusterStats>,
    pipeline: Pipeline,
}

impl Report {
    fn new(destinations: Destinations, connection: &Connection, stats: Arc<ClusterStats>) -> Self {
        let pipeline = pipeline(&destinations, connection);
        Self { destinations, cluster: connection.name().to_owned(), life: SignOfLife::default(), stats, pipeline }
    }

    fn see(&mut self, seen: &Seen<'_>) {
        let process = &self.destinations.process;
        match seen {
            Seen::Response(answer, observations) => {
                self.observe(answer.answered_at, observations);
                if let Ok(Response { status, body, .. }) = &answer.response
                    && let Some(jobs) = self.life.of(answer.answered_at, &answer.resource, *status, body)
                {
                    self.pipeline.report_observation(&self.destinations.process, answer.answered_at, jobs);
                }
            }
            Seen::Changed(connection) => self.pipeline = pipeline(&self.destinations, connection),
            Seen::Unreachable { since, reason } => self.pipeline.report_unreachable(process, *since, reason),
            Seen::Reachable { at, away_since } => self.pipeline.report_reachable(process, *at, *away_since),
        }
    }

    fn observe(&mut self, at: i64, observations: &[JobObservation]) {
        let Destinations { jobs, printer, .. } = &self.destinations;
        for observation in observations {
            if let Observation::Missed(missed) = observation.observation {
                self.stats.missed_checkpoints.fetch_add(missed.count.unsigned_abs(), Ordering::Relaxed);
            }
            if let Some(jobs) = jobs {
                jobs.lock().unwrap_or_else(PoisonError::into_inner).observe(at, &self.cluster, observation);
            }
            self.pipeline.report(observation);
            if let Some(printer) = printer
                && let Err(error) = printer.lock().unwrap_or_else(PoisonError::into_inner).print(at, observation)
            {
                tracing::warn!(%error, "cannot write to standard output, printing stopped");
            }
        }
    }
}

fn pipeline(destinations: &Destinations, connection: &Connection) -> Pipeline {
    let options = &connection.cluster().options;
    let detail = options.detail.unwrap_or(destinations.detail);
    Pipeline::new(&destinations.dispatcher, connection.name(), connection.host(), detail, options.resource.clone())
}
