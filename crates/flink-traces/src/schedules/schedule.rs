//! Random schedules of what happens to processes and clusters.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fastrand::Rng;

use super::world::SITES;

pub(crate) const NAMES: [&str; 4] = ["alpha", "beta", "gamma", "delta"];

/// The configured clusters, each with its site and its poll interval in milliseconds.
pub(crate) type Clusters = BTreeMap<&'static str, (usize, u32)>;

/// Something that happens to the processes or to the clusters. Processes return after a pause, in
/// milliseconds.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Kill(u32, i64),
    Stop(u32, i64),
    Reload(Clusters),
    /// A reload of a file with an error and these clusters.
    Break(Clusters),
    Shards(u32),
    Outage(usize, i64),
    Failover(usize, i64),
}

/// A schedule with the pauses before its actions, in milliseconds.
pub(crate) struct Schedule(pub(crate) Vec<(i64, Action)>);

impl Schedule {
    /// Returns the schedule of a seed, with at most that many shards. The longest pause is that.
    pub(crate) fn new(seed: u64, max_shards: u32, longest_pause: i64) -> Self {
        let mut random = Rng::with_seed(seed);
        let mut steps =
            vec![(0, Action::Reload(clusters(&mut random))), (0, Action::Shards(random.u32(1..=max_shards)))];
        for _ in 0..random.usize(2..10) {
            let (shard, pause) = (random.u32(0..max_shards), random.i64(0..longest_pause));
            let (site, away) = (random.usize(0..SITES), random.i64(500..longest_pause * 3 / 2));
            let action = match random.u32(0..12) {
                0..3 => Action::Kill(shard, pause),
                3..5 => Action::Stop(shard, pause),
                5..7 => Action::Reload(clusters(&mut random)),
                7 => Action::Break(clusters(&mut random)),
                8 => Action::Shards(random.u32(1..=max_shards)),
                9 | 10 => Action::Outage(site, away),
                _ => Action::Failover(site, away / 3),
            };
            steps.push((random.i64(300..longest_pause), action));
        }
        Self(steps)
    }

    /// Fails with the schedule and the problems if there are any.
    pub(crate) fn check(&self, seed: u64, problems: &[String]) {
        let steps: Vec<_> = self.0.iter().map(|(pause, action)| format!("after {pause} ms {action:?}")).collect();
        assert!(
            problems.is_empty(),
            "SCHEDULES=1 SCHEDULES_SEED={seed}\n{}\n\n{}",
            steps.join("\n"),
            problems.join("\n")
        );
    }
}

fn clusters(random: &mut Rng) -> Clusters {
    let mut names = NAMES;
    random.shuffle(&mut names);
    let count = random.usize(1..=3);
    let mut cluster = |name| (name, (random.usize(0..SITES), [500, 1_000, 2_000][random.usize(0..3)]));
    names.into_iter().take(count).map(&mut cluster).collect()
}

/// Returns the text of a configuration. `url` returns the address of a name and a site.
pub(crate) fn configuration(clusters: &Clusters, url: impl Fn(&str, usize) -> String) -> String {
    let mut text = String::new();
    for (name, (site, interval)) in clusters {
        let key = format!("flink-traces.clusters.{name}");
        let _ = writeln!(text, "{key}.url: {}\n{key}.poll-interval: {interval} ms", url(name, *site));
    }
    text
}

/// Returns the same with an error.
pub(crate) fn broken(text: &str) -> String {
    format!("{text}flink-traces.poll-interval: soon\n")
}

/// Plays the schedules that `SCHEDULES` and `SCHEDULES_SEED` set, in so many threads. `play` takes
/// a seed and returns the numbers of records that had to arrive, and that arrived twice.
#[allow(clippy::print_stdout, reason = "a test prints its result")]
pub(crate) fn play_all(default: u64, threads: usize, play: impl Fn(u64) -> [usize; 2] + Sync) {
    let variable = |name: &str, default| std::env::var(name).map_or(default, |value| value.parse::<u64>().unwrap());
    let (schedules, seed) = (variable("SCHEDULES", default), variable("SCHEDULES_SEED", 1));
    let add = |sum: [usize; 2], counts: [usize; 2]| [sum[0] + counts[0], sum[1] + counts[1]];
    let play_some = &|first: usize| {
        let seeds = (first as u64..schedules).step_by(threads).map(|number| seed.wrapping_add(number));
        seeds.map(&play).fold([0, 0], add)
    };
    let [expected, repeated] = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || play_some(first))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).fold([0, 0], add)
    });
    println!("{schedules} schedules from seed {seed}: {expected} records had to arrive, {repeated} arrived again");
    assert!(expected > 0, "nothing had to arrive");
}
