//! `cargo parity`: the same cases for Flink's classes and for ours, which must report the same.
//!
//! A seed determines each case: the events of a job ([`sequence`]) or a configuration file
//! ([`mod@file`]). A Java process runs it through Flink's classes ([`flink`]), and this process
//! through ours ([`replay`], [`load`]). Both print their output line by line. Some of Flink's
//! output is recorded for a test that needs no Java ([`golden`]).

#![allow(clippy::print_stdout, reason = "a command line program prints its results")]

mod file;
mod flink;
mod golden;
mod load;
mod random;
mod replay;
mod sequence;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use clap::Parser;
use harness::flink::{Distribution, VERSION};
use harness::{Prerequisites, recreate, workspace_root};

use flink::Flink;

/// Runs random cases through Flink's classes and this workspace's, and compares the output.
///
/// The first case that differs ends the run. It is printed without the lines that the difference
/// does not need.
#[derive(Debug, Parser)]
#[command(name = "parity", bin_name = "cargo parity")]
struct Arguments {
    /// The number of job sequences.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    sequences: u64,
    /// The number of configuration files.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    configurations: u64,
    /// The seed of the cases. The default differs in each run, which prints it.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Write Flink's answers to testing/parity/golden instead of comparing.
    #[arg(long)]
    record: bool,
}

/// A kind of case.
struct Kind {
    name: &'static str,
    generate: fn(u64, u64) -> Vec<String>,
    answer: fn(&[String]) -> Result<String>,
    /// The number of cases that are recorded.
    recorded: u64,
}

const SEQUENCES: Kind = Kind { name: "sequences", generate: sequence::generate, answer: replay::answer, recorded: 200 };

const CONFIGURATIONS: Kind =
    Kind { name: "configurations", generate: file::generate, answer: load::answer, recorded: 400 };

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    Prerequisites::new("testing/parity/README.md").linux().jdk().python_module("pip").check()?;
    let root = workspace_root()?;
    let distribution = Distribution::prepare(VERSION)?;
    let folder = root.join("target/parity");
    recreate(&folder)?;
    let mut flink = Flink::start(&distribution, &folder)?;
    let seed = arguments.seed.unwrap_or_else(fresh_seed);
    println!("seed {seed}");
    for (kind, count) in [(SEQUENCES, arguments.sequences), (CONFIGURATIONS, arguments.configurations)] {
        if arguments.record {
            golden::record(&root, &mut flink, &kind)?;
        } else {
            compare(&mut flink, &kind, seed, count)?;
        }
    }
    Ok(())
}

/// Returns a seed that differs in each run, and is short enough to type.
fn fresh_seed() -> u64 {
    RandomState::new().hash_one(std::process::id()) % 1_000_000_000
}

/// Returns the reason if Flink refused a case as impossible.
fn refusal(answer: &str) -> Option<&str> {
    answer.strip_prefix("refused: ")
}

fn compare(flink: &mut Flink, kind: &Kind, seed: u64, count: u64) -> Result<()> {
    let start = Instant::now();
    let (mut steps, mut lines) = (0, 0);
    for number in 0..count {
        let case = (kind.generate)(seed, number);
        let ours = (kind.answer)(&case)?;
        let flinks = flink.answer(&case)?;
        if let Some(refusal) = refusal(&flinks) {
            bail!("{}, seed {seed}, number {number}: {refusal}{}", kind.name, case.join("\n"));
        }
        if ours != flinks {
            let smallest = shrink(flink, kind, case)?;
            let difference = difference(&flink.answer(&smallest)?, &(kind.answer)(&smallest)?);
            bail!("{} differ, seed {seed}, number {number}:\n{}\n{difference}", kind.name, smallest.join("\n"));
        }
        steps += case.len();
        lines += ours.lines().count();
    }
    ensure!(lines > 0 || count == 0, "nothing was compared");
    let seconds = start.elapsed().as_secs_f64();
    println!("{count} {}, seed {seed}: equal ({steps} steps, {lines} lines of answers, {seconds:.0} s)", kind.name);
    Ok(())
}

/// Removes all lines but the first that the difference does not need.
fn shrink(flink: &mut Flink, kind: &Kind, mut case: Vec<String>) -> Result<Vec<String>> {
    loop {
        let before = case.len();
        for place in (1..case.len()).rev() {
            let mut smaller = case.clone();
            smaller.remove(place);
            let flinks = flink.answer(&smaller)?;
            // A case that becomes impossible is not smaller.
            if refusal(&flinks).is_none() && (kind.answer)(&smaller).is_ok_and(|ours| ours != flinks) {
                case = smaller;
            }
        }
        if case.len() == before {
            return Ok(case);
        }
    }
}

/// Returns the first lines that differ.
fn difference(flinks: &str, ours: &str) -> String {
    let (mut flinks, mut ours) = (flinks.lines(), ours.lines());
    loop {
        match (flinks.next(), ours.next()) {
            (Some(flinks), Some(ours)) if flinks == ours => {}
            (None, None) => return "no difference".to_owned(),
            (flinks, ours) => {
                let [flinks, ours] = [flinks, ours].map(|line| line.unwrap_or("(nothing more)"));
                return format!("Flink: {flinks}\nours:  {ours}");
            }
        }
    }
}
