//! `cargo xtask parity`: the same things happen to Flink's own classes and to ours, and both must report the same.
//!
//! A seed decides what happens, here and nowhere else: to a job ([`sequence`]) or in a configuration file ([`mod@file`]). A Java process follows it with
//! Flink's classes ([`flink`]), this one with ours ([`replay`], [`load`]), and both print what comes out, line by line. Some of Flink's answers are kept for a test that needs no Java ([`golden`]).

mod file;
mod flink;
mod golden;
mod load;
mod random;
mod replay;
mod sequence;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::e2e::distribution::{Distribution, VERSION, recreate};
use flink::Flink;

/// How many cases, of what seed.
#[derive(Debug, Clone, Copy)]
struct Scope {
    seed: u64,
    sequences: u64,
    configurations: u64,
    /// Whether to keep Flink's answers instead.
    record: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self { seed: 1, sequences: 100_000, configurations: 10_000, record: false }
    }
}

impl Scope {
    fn parse(mut arguments: &[&str]) -> Result<Self> {
        let mut scope = Self::default();
        while let [name, rest @ ..] = arguments {
            if *name == "--record" {
                scope.record = true;
                arguments = rest;
                continue;
            }
            let [value, rest @ ..] = rest else { bail!("{name} has no value") };
            let value = value.parse().with_context(|| format!("{name} {value}"))?;
            match *name {
                "--sequences" => scope.sequences = value,
                "--configurations" => scope.configurations = value,
                "--seed" => scope.seed = value,
                unknown => bail!("unknown argument {unknown}"),
            }
            arguments = rest;
        }
        Ok(scope)
    }
}

/// A kind of case that both sides can be asked about.
struct Kind {
    name: &'static str,
    generate: fn(u64, u64) -> Vec<String>,
    answer: fn(&[String]) -> Result<String>,
    /// How many cases are kept with Flink's answers.
    recorded: u64,
}

const SEQUENCES: Kind = Kind { name: "sequences", generate: sequence::generate, answer: replay::answer, recorded: 200 };

const CONFIGURATIONS: Kind =
    Kind { name: "configurations", generate: file::generate, answer: load::answer, recorded: 400 };

/// Compares as many cases as `arguments` say; the first difference ends the run, and is shown as small as it can be made.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    let scope = Scope::parse(arguments)?;
    let distribution = Distribution::prepare(VERSION, root, &root.join("target/e2e"))?;
    let folder = root.join("target/parity");
    recreate(&folder)?;
    let mut flink = Flink::start(root, &distribution, &folder)?;
    for (kind, count) in [(SEQUENCES, scope.sequences), (CONFIGURATIONS, scope.configurations)] {
        match scope.record {
            true => golden::record(root, &mut flink, &kind)?,
            false => compare(&mut flink, &kind, scope.seed, count)?,
        }
    }
    Ok(())
}

/// What Flink says of a case that cannot happen.
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

/// The case without the lines, but for the first, that the difference does not need.
fn shrink(flink: &mut Flink, kind: &Kind, mut case: Vec<String>) -> Result<Vec<String>> {
    loop {
        let before = case.len();
        for place in (1..case.len()).rev() {
            let mut smaller = case.clone();
            smaller.remove(place);
            let flinks = flink.answer(&smaller)?;
            // What cannot happen without the line is no smaller case.
            if refusal(&flinks).is_none() && (kind.answer)(&smaller).is_ok_and(|ours| ours != flinks) {
                case = smaller;
            }
        }
        if case.len() == before {
            return Ok(case);
        }
    }
}

/// The lines that only one side has, at the first place where they differ.
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
