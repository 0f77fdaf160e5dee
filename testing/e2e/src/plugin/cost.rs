//! The cost of the plugin for the thread that reports, beside Flink's own reporter in one JVM.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use flink_traces_testkit::OtlpCollector;
use harness::{free_ports, say};
use tokio::time::sleep;

use super::jvm::Jvm;
use super::{Setup, files, has_children};

const SPANS_PER_SECOND: usize = 2_000;
const SECONDS: usize = 5;
/// The measured rounds of paced spans. Two more warm up.
const ROUNDS: usize = 3;
/// The trees, of which the first one warms up.
const TREES: usize = 4;
const TASKS: usize = 100;
const SUBTASKS: usize = 1_000;
/// The pause between two looks at the collectors.
const INTERVAL: Duration = Duration::from_millis(200);
/// The JVM compiles as in production. Its heap is resident from the start, so that the resident
/// memory shows the rest.
const JAVA_OPTIONS: &[&str] = &["-Xms2g", "-Xmx2g", "-XX:+AlwaysPreTouch"];

/// The spans of a collector.
#[derive(Default)]
struct Tally {
    names: BTreeMap<String, usize>,
    ids: HashSet<Vec<u8>>,
    /// The parents that did not arrive before their children.
    missing: HashSet<Vec<u8>>,
}

/// Runs the measurement, and prints its figures.
pub(super) async fn run(setup: &Setup) -> Result<()> {
    ensure!(has_children(&setup.version), "{} has no trees of spans, expected Flink 2.2 or later", setup.version);
    let jvm = Jvm::prepare(setup)?;
    let [ours, flinks] = [OtlpCollector::start()?, OtlpCollector::start()?];
    let [metrics, closed] = free_ports()?;
    let results = setup.folder.join("results");
    let flinks_jar = files(&setup.plugins.join("metrics-otel"))?.remove(0);
    let numbers = [SPANS_PER_SECOND, SECONDS, ROUNDS, TREES, TASKS, SUBTASKS];
    let arguments: Vec<_> = [
        setup.plugin_jar("flink-traces").display().to_string(),
        flinks_jar.display().to_string(),
        ours.grpc_endpoint(),
        flinks.grpc_endpoint(),
        format!("http://127.0.0.1:{closed}"),
        metrics.to_string(),
        results.display().to_string(),
    ]
    .into_iter()
    .chain(numbers.map(|number| number.to_string()))
    .collect();
    say("measuring beside Flink's own reporter");
    let [mut of_ours, mut of_flink] = [Tally::default(), Tally::default()];
    let mut take = || {
        of_ours.add(&ours);
        of_flink.add(&flinks);
    };
    tokio::select! {
        output = jvm.run_with(&[], JAVA_OPTIONS, "Cost", &[], &arguments) => output?,
        // The collectors would keep all spans.
        never = async { loop { sleep(INTERVAL).await; take() } } => never,
    };
    take();

    println!("  {:<50} {:>10} {:>10}", "", "ours", "Flink's");
    let paced = SPANS_PER_SECOND * SECONDS * (2 + ROUNDS);
    let subtasks = TREES * TASKS * SUBTASKS;
    let expected = [("Paced", paced), ("Tree", TREES), ("Tree_Task", TREES * TASKS), ("Tree_Subtask", subtasks)];
    for (title, start) in [("paced spans delivered, %", "Paced"), ("spans of trees delivered, %", "Tree")] {
        let all: usize = expected.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, count)| count).sum();
        let [ours, flinks] = [&of_ours, &of_flink].map(|tally| tally.starting_with(start) as f64 * 100.0 / all as f64);
        println!("  {title:<50} {ours:>10.2} {flinks:>10.2}");
    }
    for line in fs::read_to_string(results)?.lines() {
        println!("  {line}");
    }
    let expected: BTreeMap<_, _> = expected.map(|(name, count)| (name.to_owned(), count)).into();
    ensure!(of_ours.names == expected, "expected {expected:?}, found {:?}", of_ours.names);
    let orphans = of_ours.missing.difference(&of_ours.ids).count();
    ensure!(orphans == 0, "{orphans} parents of the spans of a tree are missing");
    Ok(())
}

impl Tally {
    /// Takes the spans that a collector has received.
    fn add(&mut self, collector: &OtlpCollector) {
        for span in collector.take_spans() {
            *self.names.entry(span.name().to_owned()).or_default() += 1;
            if !span.parent_span_id().is_empty() && !self.ids.contains(span.parent_span_id()) {
                self.missing.insert(span.parent_span_id().to_owned());
            }
            self.ids.insert(span.span_id().to_owned());
        }
    }

    fn starting_with(&self, start: &str) -> usize {
        self.names.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, count)| count).sum()
    }
}
