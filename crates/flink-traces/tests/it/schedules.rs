//! Random schedules as in `src/schedules`, with real processes, sockets and `kill -9`.
//!
//! `SCHEDULES=200 SCHEDULES_SEED=7 cargo test -p flink-traces --test it schedules` runs that many
//! from a seed.

#[path = "../../src/schedules/judge.rs"]
mod judge;
#[path = "../../src/schedules/schedule.rs"]
mod schedule;
#[path = "../../src/schedules/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use flink_rest::{RestServer, ServerOptions, router};
use flink_traces_api::Timestamp;
use flink_traces_testkit::{ManualClock, OtlpCollector, ReceivedEvent, ReceivedSpan};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::support::process::{Place, Running};
use judge::{Judge, Watch};
use schedule::{Action, Clusters, NAMES, Schedule, broken, configuration, play_all};
use world::{SITES, STEP_MS, World};

/// The number of schedules, unless `SCHEDULES` sets it, and of those that are played at once.
const SCHEDULES: u64 = 4;
const AT_ONCE: usize = 4;
const MAX_SHARDS: u32 = 2;
const LONGEST_PAUSE_MS: i64 = 3_000;
/// The time at the end in which every cluster is watched.
const END_MS: i64 = 13_000;
/// The time before a kill whose records may repeat. The machine may be busy with other tests.
const LOST_MS: i64 = 2_000;
/// The longest time between two requests of a process that watches a cluster.
const CONTACT_MS: i64 = 3_000;

/// The time of the last request of each process for each cluster.
type Contacts = Arc<Mutex<BTreeMap<Watch, i64>>>;

/// A server in front of a cluster.
#[derive(Clone)]
struct Front {
    site: usize,
    is_away: Arc<dyn Fn() -> bool + Send + Sync>,
    contacts: Contacts,
    clock: ManualClock,
}

/// Serves `/<name>/<path>`, and notes which process asked for which name.
async fn in_front(State(front): State<Front>, mut request: Request, next: Next) -> Response {
    let process = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let process = process.unwrap().parse().unwrap();
    let path = request.uri().path_and_query().unwrap().as_str();
    let (name, path) = path[1..].split_once('/').unwrap();
    let name = NAMES.into_iter().find(|known| *known == name).unwrap();
    let uri = format!("/{path}").parse().unwrap();
    front.contacts.lock().unwrap().insert((process, name, front.site), front.clock.now().as_millis());
    *request.uri_mut() = uri;
    match (front.is_away)() {
        true => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        false => next.run(request).await,
    }
}

/// A process, with a collector of its own.
struct Process {
    number: usize,
    running: Running,
    collector: OtlpCollector,
    /// The pause until a process that stops returns.
    stopping: Option<i64>,
}

/// A schedule that is played.
struct Play {
    place: Place,
    world: World,
    judge: Judge,
    start: Timestamp,
    began: Instant,
    contacts: Contacts,
    ports: Vec<u16>,
    shards: u32,
    configured: Clusters,
    processes: BTreeMap<u32, Process>,
    /// The times at which processes start.
    starts: BTreeMap<u32, i64>,
}

impl Play {
    /// Starts the servers of the clusters, which end with the runtime.
    async fn new(seed: u64) -> Self {
        let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let clock = ManualClock::new(Timestamp::from_millis(0));
        clock.advance(since_epoch);
        let world = World::new(seed, clock.clone());
        let (contacts, mut ports) = (Contacts::default(), Vec::new());
        for site in 0..SITES {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            ports.push(listener.local_addr().unwrap().port());
            let (is_away, contacts) = (world.away(site), contacts.clone());
            let front = Front { site, is_away: Arc::new(is_away), contacts, clock: clock.clone() };
            let options = ServerOptions::default();
            let router = router(world.sites[site].cluster.clone(), &options).layer(from_fn_with_state(front, in_front));
            tokio::spawn(RestServer::new(listener, router, options).serve(std::future::pending()));
        }
        Self {
            place: Place::new(),
            world,
            judge: Judge::new(LOST_MS),
            start: clock.now(),
            began: Instant::now(),
            contacts,
            ports,
            shards: 0,
            configured: Clusters::new(),
            processes: BTreeMap::new(),
            starts: BTreeMap::new(),
        }
    }

    fn text(&self, clusters: &Clusters) -> String {
        configuration(clusters, |name, site| format!("http://127.0.0.1:{}/{name}", self.ports[site]))
    }

    /// Replaces the configuration in one step, because a process may just read it.
    fn write(&self, text: &str) {
        self.place.write("config.new", text);
        std::fs::rename(self.place.path("config.new"), self.place.path("config.yaml")).unwrap();
    }

    fn start(&mut self, shard: u32) {
        let (number, collector) = (self.judge.start(shard), OtlpCollector::start().unwrap());
        let running = self.place.start(&[
            "run",
            "--conf=config.yaml",
            &format!("--otlp={}", collector.grpc_endpoint()),
            "-Dtraces.reporter.otlp.exporter.protocol=grpc",
            "-Devents.reporter.otlp.exporter.protocol=grpc",
            &format!("-Dflink-traces.rest.bearer-token={number}"),
            "-Dflink-traces.discovery.interval=300 ms",
            &format!("-Dflink-traces.journal.path=journal-{shard}"),
            &format!("--shards={}", self.shards),
            &format!("--shard={shard}"),
        ]);
        self.processes.insert(shard, Process { number, running, collector, stopping: None });
    }

    /// Returns the running process of a shard, if it has reached a cluster.
    fn in_contact(&mut self, shard: u32) -> Option<&mut Process> {
        let process = self.processes.get_mut(&shard)?;
        let is_in_contact = self.contacts.lock().unwrap().keys().any(|(number, ..)| *number == process.number);
        (is_in_contact && process.stopping.is_none()).then_some(process)
    }

    fn kill(&mut self, shard: u32) {
        let Some(Process { number, running, collector, .. }) = self.processes.remove(&shard) else { return };
        running.signal("KILL");
        running.finish();
        self.judge.kill(number, self.world.now());
        collect(&mut self.judge, number, &collector, self.world.now());
        self.contacts.lock().unwrap().retain(|(process, ..), _| *process != number);
    }

    fn stop(&mut self, shard: u32, pause: i64) {
        if let Some(process) = self.in_contact(shard) {
            process.stopping = Some(pause);
            process.running.signal("TERM");
        }
    }

    /// Makes all processes read the configuration. One that does not take signals yet sees the
    /// change by itself.
    fn reload(&mut self) {
        for shard in 0..MAX_SHARDS {
            if let Some(process) = self.in_contact(shard) {
                process.running.signal("HUP");
            }
        }
    }

    async fn act(&mut self, action: &Action) {
        match action {
            Action::Kill(shard, pause) => {
                if self.processes.contains_key(shard) {
                    self.kill(*shard);
                    self.starts.insert(*shard, self.world.now() + pause);
                }
            }
            Action::Stop(shard, pause) => self.stop(*shard, *pause),
            Action::Reload(clusters) => {
                for Process { number, .. } in self.processes.values() {
                    let removed = self.configured.keys().filter(|name| !clusters.contains_key(*name));
                    removed.for_each(|name| self.judge.remove(*number, name));
                }
                self.configured = clusters.clone();
                self.write(&self.text(clusters));
                self.reload();
            }
            Action::Break(clusters) => {
                // None is about to read it for the first time.
                if (0..self.shards).all(|shard| self.in_contact(shard).is_some()) {
                    self.write(&broken(&self.text(clusters)));
                    self.reload();
                    self.pass(500).await;
                }
                self.write(&self.text(&self.configured));
            }
            Action::Shards(count) => {
                self.shards = *count;
                for shard in 0..MAX_SHARDS {
                    if shard % 2 == 0 || self.in_contact(shard).is_none() {
                        self.kill(shard);
                        self.starts.insert(shard, self.world.now());
                    }
                    self.stop(shard, 0);
                }
            }
            Action::Outage(site, away) => drop(self.world.take_away(*site, *away)),
            Action::Failover(site, away) => self.world.fail_over(*site, *away),
        }
    }

    /// Lets time pass.
    async fn pass(&mut self, millis: i64) {
        let until = self.began.elapsed() + Duration::from_millis(millis.unsigned_abs());
        while self.began.elapsed() < until {
            sleep(Duration::from_millis(STEP_MS.unsigned_abs())).await;
            self.world.clock.set(self.start);
            self.world.clock.advance(self.began.elapsed());
            self.world.step();
            let now = self.world.now();
            let mut ended = Vec::new();
            for (shard, process) in &self.processes {
                collect(&mut self.judge, process.number, &process.collector, now);
                if process.running.has_ended() {
                    ended.push(*shard);
                }
            }
            for shard in ended {
                let Some(Process { number, running, collector, stopping }) = self.processes.remove(&shard) else {
                    continue;
                };
                collect(&mut self.judge, number, &collector, now);
                let finished = running.finish();
                if stopping.is_none() || finished.code != Some(0) {
                    self.judge.problems.push(format!("process {number} of shard {shard}: {finished:?}"));
                }
                self.contacts.lock().unwrap().retain(|(process, ..), _| *process != number);
                self.starts.insert(shard, now + stopping.unwrap_or(0));
            }
            let due: Vec<_> = self.starts.iter().filter(|(_, at)| **at <= now).map(|(shard, _)| *shard).collect();
            for shard in due {
                self.starts.remove(&shard);
                if shard < self.shards {
                    self.start(shard);
                }
            }
            let watches = self.watches(CONTACT_MS);
            self.judge.look(&self.world, watches).await;
        }
    }

    /// Returns the processes that have asked for clusters in that time.
    fn watches(&self, millis: i64) -> Vec<Watch> {
        let since = self.world.now() - millis;
        let contacts = self.contacts.lock().unwrap();
        contacts.iter().filter(|(_, at)| **at >= since).map(|(watch, _)| *watch).collect()
    }

    /// Plays a schedule. Returns the numbers of records that had to arrive and that arrived twice,
    /// and the problems.
    async fn play(mut self, schedule: &Schedule) -> ([usize; 2], Vec<String>) {
        for (pause, action) in &schedule.0 {
            self.pass(*pause).await;
            self.act(action).await;
        }
        let end = Instant::now() + crate::support::LONG;
        while (0..self.shards).any(|shard| self.processes.get(&shard).is_none_or(|process| process.stopping.is_some()))
        {
            assert!(Instant::now() < end, "the processes do not start");
            self.pass(STEP_MS).await;
        }
        self.pass(END_MS).await;
        let mut watched: Vec<_> = self.watches(END_MS / 2).into_iter().map(|(_, name, site)| (name, site)).collect();
        watched.sort_unstable();
        let configured: Vec<_> = self.configured.iter().map(|(name, (site, _))| (*name, *site)).collect();
        if watched != configured {
            self.judge.problems.push(format!("{watched:?} are watched instead of {configured:?}"));
        }
        self.shards = 0;
        (0..MAX_SHARDS).for_each(|shard| self.stop(shard, 0));
        // A process without a cluster has no contact.
        self.processes.retain(|_, process| process.stopping.is_some());
        while !self.processes.is_empty() {
            assert!(Instant::now() < end + crate::support::LONG, "the processes do not stop");
            self.pass(STEP_MS).await;
        }
        (self.judge.finish(&self.world), self.judge.problems)
    }
}

/// Hands what arrived from a process to the judge.
fn collect(judge: &mut Judge, process: usize, collector: &OtlpCollector, now: i64) {
    let millis = |nanos: u64| i64::try_from(nanos / 1_000_000).unwrap();
    let text = |attributes: &BTreeMap<String, Value>, key: &str| match attributes.get(key)? {
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    for span in collector.take_spans() {
        let id = format!("{:02x?}{:02x?}", span.trace_id(), span.span_id());
        let (attributes, start) = (span.attributes(), millis(span.start_time_unix_nano()));
        judge.arrive((process, now), id, (ReceivedSpan::name(&span), start), |key| text(&attributes, key));
    }
    for event in collector.take_events() {
        let attributes = event.attributes();
        let id = text(&attributes, "log.record.uid").unwrap();
        let name = text(&attributes, "name").unwrap();
        let at = millis(ReceivedEvent::time_unix_nano(&event));
        judge.arrive((process, now), id, (&name, at), |key| text(&attributes, key));
    }
}

fn play(seed: u64) -> [usize; 2] {
    let schedule = Schedule::new(seed, MAX_SHARDS, LONGEST_PAUSE_MS);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (counts, problems) = runtime.block_on(async { Play::new(seed).await.play(&schedule).await });
    schedule.check(seed, &problems);
    counts
}

/// Scenario: as in `src/schedules`, with processes that are killed by the system. Guarantees: the
/// same.
#[test]
fn schedules_of_processes_lose_nothing() {
    play_all(SCHEDULES, AT_ONCE, play);
}
