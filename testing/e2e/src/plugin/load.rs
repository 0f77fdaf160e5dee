//! The memory of the plugin under a load that lasts.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flink_traces_testkit::OtlpCollector;
use harness::say;
use tokio::time::sleep;

use super::jvm::Jvm;
use super::{Setup, has_children};

const SPANS_PER_SECOND: u64 = 2_000;
/// The children of the tree that each minute begins with.
const CHILDREN: u64 = 10_000;
/// The pause between two looks at the collector.
const INTERVAL: Duration = Duration::from_millis(200);
/// The heap is resident from the start, so that the resident memory shows the rest.
const JAVA_OPTIONS: &[&str] = &["-Xms256m", "-Xmx256m", "-XX:+AlwaysPreTouch"];
/// The largest growth of the memory from the first half to the second, in KB. The JVM itself grows
/// a little for hours.
const MAX_GROWTH: u64 = 8 * 1_024;

/// Reports for that many minutes.
pub(super) async fn run(setup: &Setup, minutes: u64) -> Result<()> {
    ensure!(has_children(&setup.version), "{} has no trees of spans, expected Flink 2.2 or later", setup.version);
    let jvm = Jvm::prepare(setup)?;
    let collector = OtlpCollector::start()?;
    let memory = setup.folder.join("memory");
    let numbers = [SPANS_PER_SECOND, minutes, CHILDREN].map(|number| number.to_string());
    let plugin = setup.plugin_jar("flink-traces").display().to_string();
    let arguments = [vec![plugin, collector.grpc_endpoint(), memory.display().to_string()], numbers.to_vec()].concat();
    say(&format!("reporting for {minutes} minutes"));
    let mut received = 0;
    let mut take = || received += collector.take_spans().len() as u64;
    let limit = Duration::from_secs(60 * minutes + 120);
    tokio::select! {
        output = jvm.run_within(limit, &[], JAVA_OPTIONS, "Load", &[], &arguments) => output?,
        // The collector would keep all spans.
        never = async { loop { sleep(INTERVAL).await; take() } } => never,
    };
    take();
    let expected = minutes * (60 * SPANS_PER_SECOND + 1 + CHILDREN);
    let memory = fs::read_to_string(memory)?;
    let memory: Vec<u64> =
        memory.lines().map(|line| line.parse().context("no size of memory")).collect::<Result<_>>()?;
    println!("  {received} of {expected} spans arrived; resident memory in KB, minute by minute: {memory:?}");
    ensure!(received == expected, "expected {expected} spans, found {received}");
    let (first, second) = memory.split_at(memory.len() / 2);
    let most = |half: &[u64]| half.iter().copied().max().unwrap_or_default();
    ensure!(most(second) <= most(first) + MAX_GROWTH, "the memory grows: {} KB, then {} KB", most(first), most(second));
    Ok(())
}
