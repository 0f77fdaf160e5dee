//! Random schedules of kills, restarts, reloads, other shards and outages, in one process with a
//! simulated clock.
//!
//! The journal, the shards, the reload, the watchers and the observer are those of the program. A
//! small [`World`] takes the place of the network, and a [`Judge`] knows what must arrive.
//! `SCHEDULES=10000 SCHEDULES_SEED=7 cargo test -p flink-traces --bin flink-traces schedules` runs
//! that many from a seed.

mod judge;
mod schedule;
mod world;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use flink_rest::{Error, Resource, Response, dispatch};
use flink_traces_api::{Clock as _, Registry, ReporterBuilder as _, Timestamp, ValueRef};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::dispatch::Journal as Keys;
use flink_traces_runtime::{Configuration, Dispatcher, discover};
use flink_traces_testkit::{ManualClock, Record, Recorded};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::cli::ConfigurationArgs;
use crate::cluster::{Cluster, Network};
use crate::fleet::{Destinations, Fleet};
use crate::journal::{self, Journal};
use crate::load::Settings;
use crate::metrics::ProcessStats;
use crate::reload::{Reloaded, Reloader, Watched};
use crate::roster::Roster;
use crate::shard::Shard;
use judge::Judge;
use schedule::{Action, Clusters, NAMES, Schedule, broken, configuration, play_all};
use world::{SITES, STEP_MS, World};

/// The number of schedules, unless `SCHEDULES` sets it.
const SCHEDULES: u64 = 100;
const MAX_SHARDS: u32 = 3;
const LONGEST_PAUSE_MS: i64 = 10_000;
const START: Timestamp = Timestamp::from_millis(1_795_230_900_000);
/// The limit of everything that takes real time.
const LONG: Duration = Duration::from_secs(60);
/// The time at the end in which every cluster is watched.
const END_MS: i64 = 20_000;

/// The network of the processes.
fn network(world: &World) -> Network {
    let sites: Vec<_> = (0..SITES).map(|site| (world.sites[site].cluster.clone(), world.away(site))).collect();
    Network(Arc::new(move |url, resource: &Resource| {
        let (url, path) = (url.to_owned(), resource.path());
        let (cluster, is_away) = sites[site_of(&url)].clone();
        Box::pin(async move {
            sleep(Duration::from_millis(fastrand::u64(1..50))).await;
            if is_away() {
                return Err(Error::Transport { url, problem: "the cluster is away".to_owned() });
            }
            let (status, body) = match dispatch(&cluster, "GET", &path, "", &[]).await {
                Ok(response) => (response.status, response.body),
                Err(error) => (error.status, br#"{"errors":["there is no such thing"]}"#.to_vec()),
            };
            Ok(Response::new(status, body))
        })
    }))
}

/// Makes the network take the place of sockets.
fn connected(network: &Network, mut clusters: Vec<Cluster>) -> Vec<Cluster> {
    clusters.iter_mut().for_each(|cluster| cluster.options.access.network = Some(network.clone()));
    clusters
}

fn site_of(url: &str) -> usize {
    url.trim_end_matches('/').rsplit_once('/').unwrap().1.parse().unwrap()
}

/// A journal that is written later, so that a kill can lose the last second.
struct Late {
    journal: Journal,
    path: PathBuf,
    clock: ManualClock,
    held: Mutex<Vec<(i64, [u8; 16])>>,
}

impl Keys for Late {
    fn is_known(&self, key: [u8; 16]) -> bool {
        self.journal.is_known(key)
    }

    fn add(&self, key: [u8; 16]) {
        self.held.lock().unwrap().push((self.clock.now_millis(), key));
    }
}

impl Late {
    /// Writes the keys until then, and ends the file with the beginning of a block of the others.
    fn close(&self, until: i64, random: &mut Rng) {
        let (written, lost): (Vec<_>, Vec<_>) =
            std::mem::take(&mut *self.held.lock().unwrap()).into_iter().partition(|(at, _)| *at <= until);
        written.into_iter().for_each(|(_, key)| self.journal.add(key));
        self.journal.close();
        let block = journal::block(&lost.into_iter().map(|(_, key)| key).collect::<Vec<_>>());
        let cut = &block[..random.usize(0..block.len())];
        OpenOptions::new().append(true).open(&self.path).unwrap().write_all(cut).unwrap();
    }
}

/// A process of the program, without its signals and its listeners.
struct Process {
    number: usize,
    shard: Shard,
    roster: Roster,
    reloader: Reloader,
    fleet: Option<Fleet>,
    /// The end of a process that stops, and the pause until it returns.
    stopping: Option<(JoinHandle<()>, i64)>,
    dispatcher: Dispatcher,
    journal: Arc<Late>,
    recorded: Recorded,
}

/// A schedule that is played.
struct Play {
    folder: tempfile::TempDir,
    world: World,
    network: Network,
    judge: Judge,
    random: Rng,
    began: tokio::time::Instant,
    shards: u32,
    configured: Clusters,
    processes: BTreeMap<u32, Process>,
    /// The times at which processes start.
    starts: BTreeMap<u32, i64>,
}

impl Play {
    fn new(seed: u64) -> Self {
        let world = World::new(seed, ManualClock::new(START));
        let network = network(&world);
        Self {
            folder: tempfile::tempdir().unwrap(),
            world,
            network,
            judge: Judge::new(1_000),
            random: Rng::with_seed(!seed),
            began: tokio::time::Instant::now(),
            shards: 0,
            configured: Clusters::new(),
            processes: BTreeMap::new(),
            starts: BTreeMap::new(),
        }
    }

    fn now(&self) -> i64 {
        self.world.now()
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    fn text(clusters: &Clusters) -> String {
        configuration(clusters, |_, site| format!("http://127.0.0.1:1/{site}"))
    }

    fn start(&mut self, number: u32) {
        let arguments = ConfigurationArgs { conf: Some(self.configuration()), ..ConfigurationArgs::default() };
        let watched = Watched::new(arguments.conf.as_deref());
        let (settings, clusters) = Settings::reload(&arguments, &[], &[]).unwrap();
        let clock = Arc::new(self.world.clock.clone());
        let path = self.folder.path().join(format!("journal-{number}"));
        let journal = Arc::new(Late {
            journal: Journal::open(&path).unwrap(),
            path,
            clock: self.world.clock.clone(),
            held: Mutex::default(),
        });
        let mut recorded = Recorded::default();
        let mut registry = Registry::new();
        let (class, factory) = recorded.declaration().trace_factory().unwrap();
        registry.register_trace(class, factory).unwrap();
        let (class, factory) = recorded.declaration().event_factory().unwrap();
        registry.register_event(class, factory).unwrap();
        let keys = ["traces.reporter.recorded.factory.class", "events.reporter.recorded.factory.class"];
        let (setups, _) = discover(&Configuration::from_pairs(keys.map(|key| (key, class))), &registry);
        let (dispatcher, problems) = Dispatcher::start_with_journal(
            setups.clone(),
            &registry,
            clock.clone(),
            ".",
            Some(journal.clone() as Arc<dyn Keys>),
        );
        assert!(setups.len() == 2 && problems.is_empty(), "{problems:?}");
        let shard = Shard { number, count: self.shards };
        let stats = Arc::new(ProcessStats::new(shard));
        let destinations = Destinations {
            clock,
            dispatcher: dispatcher.clone(),
            setups: setups.into(),
            detail: SpanDetailLevel::ChildrenSpansPerTask,
            process: number.to_string(),
            jobs: None,
            printer: None,
        };
        let reloader = Reloader::new(&arguments, &[], &[], &settings.configuration, watched);
        let mut roster = Roster::new(shard, stats.clone());
        roster.configure(connected(&self.network, clusters), &settings.sources);
        let mut fleet = Fleet::new(destinations, stats);
        fleet.watch(&roster.clusters());
        let process = Process {
            number: self.judge.start(number),
            shard,
            roster,
            reloader,
            fleet: Some(fleet),
            stopping: None,
            dispatcher,
            journal,
            recorded,
        };
        self.processes.insert(number, process);
    }

    /// Hands what arrived from a process to the judge.
    fn collect(judge: &mut Judge, process: &Process, now: i64) {
        let from = (process.number, now);
        for span in process.recorded.spans() {
            let id = format!("{}{}", span.trace_id(), span.span_id());
            judge.arrive(from, id, (span.name(), span.start().as_millis()), |key| text(&span, key));
        }
        for event in process.recorded.events() {
            let id = text(&event, "log.record.uid").unwrap();
            judge.arrive(from, id, (event.name(), event.time().as_millis()), |key| text(&event, key));
        }
        process.recorded.clear();
    }

    fn kill(&mut self, number: u32) {
        let Some(process) = self.processes.remove(&number) else { return };
        let now = self.now();
        self.judge.kill(process.number, now);
        // What is still queued is lost.
        process.journal.close(now - self.random.i64(0..1_000), &mut self.random);
        Self::collect(&mut self.judge, &process, now);
        if let Some((ending, _)) = &process.stopping {
            ending.abort();
        }
    }

    fn stop(&mut self, number: u32, pause: i64) {
        if let Some(process) = self.processes.get_mut(&number)
            && let Some(fleet) = process.fleet.take()
        {
            process.stopping = Some((tokio::spawn(fleet.end()), pause));
        }
    }

    fn reload(&mut self) {
        for process in self.processes.values_mut() {
            let Some(fleet) = &mut process.fleet else { continue };
            let Some(Reloaded { clusters, sources }) = process.reloader.load() else { continue };
            let before = process.roster.clusters();
            process.roster.configure(connected(&self.network, clusters), &sources);
            let after = process.roster.clusters();
            before
                .keys()
                .filter(|name| !after.contains_key(*name))
                .for_each(|name| self.judge.remove(process.number, name));
            fleet.watch(&after);
        }
    }

    async fn act(&mut self, action: &Action) {
        match action {
            Action::Kill(number, pause) => {
                sleep(Duration::from_millis(self.random.u64(0..100))).await;
                if self.processes.contains_key(number) {
                    self.kill(*number);
                    self.starts.insert(*number, self.now() + pause);
                }
            }
            Action::Stop(number, pause) => self.stop(*number, *pause),
            Action::Reload(clusters) => {
                self.configured = clusters.clone();
                fs::write(self.configuration(), Self::text(clusters)).unwrap();
                self.reload();
            }
            Action::Break(clusters) => {
                fs::write(self.configuration(), broken(&Self::text(clusters))).unwrap();
                self.reload();
                fs::write(self.configuration(), Self::text(&self.configured)).unwrap();
            }
            Action::Shards(count) => {
                self.shards = *count;
                for number in 0..MAX_SHARDS {
                    match self.random.bool() {
                        true => self.kill(number),
                        false => self.stop(number, 0),
                    }
                    if !self.processes.contains_key(&number) {
                        self.starts.insert(number, self.now());
                    }
                }
            }
            Action::Outage(site, away) => drop(self.world.take_away(*site, *away)),
            Action::Failover(site, away) => self.world.fail_over(*site, *away),
        }
    }

    /// Returns what is watched now.
    fn watches(&self) -> Vec<judge::Watch> {
        let name_of = |name: &String| NAMES.into_iter().find(|known| known == name).unwrap();
        let running = self.processes.values().filter(|process| process.fleet.is_some());
        running
            .flat_map(|process| {
                let clusters = process.roster.clusters().into_values();
                clusters.map(|cluster| (process.number, name_of(&cluster.name), site_of(&cluster.urls[0])))
            })
            .collect()
    }

    /// Checks that each configured cluster is watched once if all processes run with these shards.
    fn check_shards(&mut self, watches: &[judge::Watch]) {
        let runs = |process: &Process| process.fleet.is_some() && process.shard.count == self.shards;
        if self.shards == 0 || self.processes.values().filter(|process| runs(process)).count() < self.shards as usize {
            return;
        }
        let mut watched: Vec<_> = watches.iter().map(|(_, name, site)| (*name, *site)).collect();
        watched.sort_unstable();
        let configured: Vec<_> = self.configured.iter().map(|(name, (site, _))| (*name, *site)).collect();
        if watched != configured {
            self.judge.problems.push(format!("at {}: {watches:?} instead of {configured:?}", self.now()));
        }
    }

    /// Lets time pass.
    async fn pass(&mut self, millis: i64) {
        for step in 0..millis / STEP_MS {
            sleep(Duration::from_millis(STEP_MS.unsigned_abs())).await;
            self.world.clock.set(START);
            self.world.clock.advance(self.began.elapsed());
            self.world.step();
            let now = self.now();
            let mut ended = Vec::new();
            for (number, process) in &self.processes {
                if process.dispatcher.stats().iter().any(|stats| stats.queued > 0) {
                    assert!(process.dispatcher.flush(LONG));
                }
                Self::collect(&mut self.judge, process, now);
                if process.stopping.as_ref().is_some_and(|(ending, _)| ending.is_finished()) {
                    ended.push(*number);
                }
            }
            for number in ended {
                let Some(process) = self.processes.remove(&number) else { continue };
                process.dispatcher.shutdown(LONG);
                Self::collect(&mut self.judge, &process, now);
                process.journal.close(i64::MAX, &mut self.random);
                self.starts.insert(number, now + process.stopping.map_or(0, |(_, pause)| pause));
            }
            let due: Vec<_> = self.starts.extract_if(.., |_, at| *at <= now).map(|(number, _)| number).collect();
            for number in due {
                if number < self.shards {
                    self.start(number);
                }
            }
            if step % 5 == 0 {
                let watches = self.watches();
                self.check_shards(&watches);
                self.judge.look(&self.world, watches).await;
            }
        }
    }

    /// Plays a schedule. Returns the numbers of records that had to arrive and that arrived twice.
    async fn play(mut self, schedule: &Schedule) -> ([usize; 2], Vec<String>) {
        for (pause, action) in &schedule.0 {
            self.pass(*pause).await;
            self.act(action).await;
        }
        while self.processes.len() < self.shards as usize
            || self.processes.values().any(|process| process.fleet.is_none())
        {
            self.pass(STEP_MS).await;
        }
        self.pass(END_MS).await;
        self.shards = 0;
        (0..MAX_SHARDS).for_each(|number| self.stop(number, 0));
        while !self.processes.is_empty() {
            self.pass(STEP_MS).await;
        }
        (self.judge.finish(&self.world), self.judge.problems)
    }
}

fn text(record: &impl Record, key: &str) -> Option<String> {
    record.attribute(key).map(|value| ValueRef::from(value).to_string())
}

fn play(seed: u64) -> [usize; 2] {
    let schedule = Schedule::new(seed, MAX_SHARDS, LONGEST_PAUSE_MS);
    // The pauses of the network and of the watchers.
    fastrand::seed(seed);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (counts, problems) = runtime.block_on(async { Play::new(seed).play(&schedule).await });
    schedule.check(seed, &problems);
    counts
}

/// Scenario: processes are killed, stopped, divided into other shards and given other clusters at
/// random times, while the clusters are away, or are taken over by another JobManager. Guarantees:
/// each record that a cluster shows for long enough arrives, under one id. Nothing is repeated
/// after a stop, and after a kill only what had arrived in the last second.
#[test]
fn schedules_lose_nothing_and_repeat_only_the_last_second() {
    play_all(SCHEDULES, std::thread::available_parallelism().map_or(1, usize::from), play);
}
