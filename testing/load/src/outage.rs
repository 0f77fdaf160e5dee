//! `cargo load outage`: a minute without a collector, which costs nothing but disk.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use flink_traces_testkit::{CollectorResponse, GrpcStatus, OtlpCollector};

use super::sender::{Account, Second, TREE};
use super::{Arrived, Sender};

/// The seconds before, during and after the outage.
const BEFORE: u64 = 30;
const DURING: u64 = 60;
const AFTER: u64 = 30;
/// The second after which the collector is back.
const BACK: u64 = BEFORE + DURING;
/// The seconds at the start of each phase that do not count, because something changes in them.
const SETTLE: u64 = 2;
/// The allowed growth of memory, in KiB.
const GROWTH_KIB: u64 = 16 << 10;
/// The time limit for spooled records to arrive after the last call.
const PATIENCE: Duration = Duration::from_secs(120);

/// A kind of outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Outage {
    /// The port refuses connections.
    Closed,
    /// Every request fails with `UNAVAILABLE`.
    Unavailable,
    /// Requests are accepted and never answered.
    Hangs,
}

impl Outage {
    const ALL: [Self; 3] = [Self::Closed, Self::Unavailable, Self::Hangs];

    fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Unavailable => "unavailable",
            Self::Hangs => "hangs",
        }
    }
}

/// Runs each outage, or those in `chosen`. A lost record or too much memory ends the run.
pub(crate) fn run(chosen: &[Outage]) -> Result<()> {
    println!("| collector | phase | spans/s | add_span p50, p99, max (µs) | memory (MiB) | waiting in memory |");
    println!("|---|---|---|---|---|---|");
    for outage in if chosen.is_empty() { &Outage::ALL } else { chosen } {
        session(*outage).with_context(|| format!("{outage:?}"))?;
    }
    Ok(())
}

fn session(outage: Outage) -> Result<()> {
    let spool = tempfile::tempdir()?;
    let mut collector = Some(OtlpCollector::start()?);
    let address = collector.as_ref().context("no collector")?.address();
    let seconds = (BACK + AFTER).to_string();
    let spool_path = spool.path().display().to_string();
    let mut sender = Sender::start(&["stream", "grpc", &format!("http://{address}"), &spool_path, &seconds])?;
    let mut arrived = Arrived::default();
    let mut reports: Vec<Second> = Vec::new();
    let take = |collector: &Option<OtlpCollector>, arrived: &mut Arrived| {
        collector.iter().for_each(|collector| arrived.add(&collector.take_spans()));
    };
    for second in 1..=BACK + AFTER {
        reports.push(sender.read()?);
        take(&collector, &mut arrived);
        let answer = |answer: CollectorResponse| {
            if let Some(collector) = &collector {
                collector.respond_by(move |_| answer.clone());
            }
        };
        match (second, outage) {
            (BEFORE, Outage::Closed) => {
                // Requests that are accepted from now on would not be counted.
                answer(GrpcStatus::new(14, "away").into());
                take(&collector, &mut arrived);
                collector = None;
            }
            (BEFORE, Outage::Unavailable) => answer(GrpcStatus::new(14, "away").into()),
            (BEFORE, Outage::Hangs) => answer(CollectorResponse::Hang),
            (BACK, Outage::Closed) => collector = Some(OtlpCollector::start_on(address.port())?),
            (BACK, _) => answer(CollectorResponse::Accept),
            _ => {}
        }
    }
    let collector = collector.context("no collector")?;
    let spans = (BACK + AFTER) * 1_000 * TREE;
    let start = Instant::now();
    while (arrived.known.len() as u64) < spans && start.elapsed() < PATIENCE {
        collector.wait_until(Duration::from_millis(100), |_| false);
        arrived.add(&collector.take_spans());
    }
    let drained = start.elapsed();
    let waiting: Vec<_> = reports.iter().map(|second| second.account.waiting).collect();
    println!("waiting on the disk at each second's end: {waiting:?}");
    drop(sender.process.stdin.take());
    let account: Account = sender.read()?;
    sender.finish()?;
    let phases = [("before", 0, BEFORE), ("during", BEFORE, DURING), ("after", BACK, AFTER)];
    let name = outage.name();
    let mut peaks = Vec::new();
    for (phase, first, count) in phases {
        let seconds = &reports[usize::try_from(first + SETTLE)?..usize::try_from(first + count)?];
        let mut calls: Vec<_> = seconds.iter().flat_map(|second| second.calls.iter().copied()).collect();
        calls.sort_unstable();
        let at = |share: f64| calls[((calls.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(at);
        let rate = calls.len() as u64 * TREE / seconds.len() as u64;
        let peak = seconds.iter().map(|second| second.rss_kib).max().unwrap_or_default();
        let queued = seconds.iter().map(|second| second.account.queued).max().unwrap_or_default();
        println!(
            "| {name} | {phase} | {rate} | {p50:.1}, {p99:.1}, {max:.0} | {:.1} | {queued} |",
            peak as f64 / 1_024.0
        );
        peaks.push(peak);
    }
    println!(
        "| {name} | {spans} spans reported, {} arrived, {} of them twice; the last {:.1} s after the end | | | | |",
        arrived.known.len(),
        arrived.repeated,
        drained.as_secs_f64()
    );
    let all = (account.emitted, account.delivered, account.queued, arrived.known.len() as u64);
    ensure!(all == (spans, spans, 0, spans), "{spans} were reported: {account:?}, {} arrived", arrived.known.len());
    ensure!(arrived.orphans == 0, "{} before their parents", arrived.orphans);
    let growth = peaks.iter().max().copied().unwrap_or_default().saturating_sub(peaks[0]);
    ensure!(growth <= GROWTH_KIB, "the memory grew by {} MiB", growth >> 10);
    Ok(())
}
