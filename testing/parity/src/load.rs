//! Loads a configuration file with our classes, and prints the same lines as the Java program.
//!
//! These are keys and values, and for each reporter its options, variables and filter decisions. An
//! unreadable file prints `broken`.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};
use std::fs;

use anyhow::{Context, Result};
use flink_traces_api::{
    ConfigError, EventReporter, EventReporterFactory, OptionDoc, Registry, ReporterConfig, TraceReporter,
    TraceReporterFactory,
};
use flink_traces_runtime::config::{ReporterSetup, SPAN_DETAIL_LEVEL, Severity};
use flink_traces_runtime::{Configuration, discover};

/// The class names of the Java program's reporters.
pub(super) const TRACES_CLASS: &str = "org.apache.flink.runtime.metrics.ConfigurationDriver$TracesFactory";
pub(super) const EVENTS_CLASS: &str = "org.apache.flink.runtime.metrics.ConfigurationDriver$EventsFactory";

/// The logical scopes and names for the filters. `ConfigurationDriver.java` has the same.
const SCOPES: [&str; 4] = ["jobmanager.job", "jobmanager", "taskmanager.job.task", "jobmanagerXjob"];
const NAMES: [&str; 6] = ["Checkpoint", "JobInitialization", "Check", "checkpoint", "a b", ""];

/// Returns the output of our classes for a file.
pub(super) fn answer(question: &[String]) -> Result<String> {
    let (first, lines) = question.split_first().context("no question")?;
    let text: String = lines.iter().map(|line| line.replacen('|', "", 1) + "\n").collect();
    let folder = tempfile::tempdir()?;
    let name = if first.ends_with("legacy") { "flink-conf.yaml" } else { "config.yaml" };
    let file = folder.path().join(name);
    fs::write(&file, text)?;
    let (configuration, problems) = Configuration::load(Some(&file), &[]);
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Ok("broken\n".to_owned());
    }
    let mut answer = String::new();
    for (key, value) in configuration.iter() {
        line(&mut answer, format_args!("key {} = {}", escape(key), escape(&value.raw.to_string())));
    }
    let detail = match configuration.get(&SPAN_DETAIL_LEVEL) {
        Ok(level) => level.unwrap_or_default().name(),
        Err(_) => "invalid",
    };
    line(&mut answer, format_args!("detail {detail}"));
    let mut registry = Registry::new();
    registry.register_trace(TRACES_CLASS, Nothing)?;
    registry.register_event(EVENTS_CLASS, Nothing)?;
    for setup in discover(&configuration, &registry).0 {
        reporter(&setup, &mut answer);
    }
    Ok(answer)
}

fn reporter(setup: &ReporterSetup, answer: &mut String) {
    line(answer, format_args!("reporter {} '{}'", setup.signal, setup.name));
    for (key, _) in setup.config.values() {
        line(answer, format_args!(" option {}", escape(key)));
    }
    let mut variables: Vec<_> = setup.variables.additional.iter().collect();
    variables.sort();
    for (key, value) in variables {
        line(answer, format_args!(" variable {} = {}", escape(key), escape(value)));
    }
    for name in setup.variables.excludes.iter().collect::<BTreeSet<_>>() {
        line(answer, format_args!(" excluded {}", escape(name)));
    }
    let decisions = SCOPES.iter().flat_map(|scope| NAMES.iter().map(move |name| (scope, name)));
    let decisions: String =
        decisions.map(|(scope, name)| if setup.filter.matches(scope, name) { '1' } else { '0' }).collect();
    line(answer, format_args!(" filter {decisions}"));
}

fn line(answer: &mut String, line: impl Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(answer, "{line}");
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

/// A factory that never creates a reporter.
struct Nothing;

fn nothing<T>() -> Result<T, ConfigError> {
    Err(ConfigError::Setup("only looked up".into()))
}

impl TraceReporterFactory for Nothing {
    fn create_trace_reporter(&self, _: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        nothing()
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}

impl EventReporterFactory for Nothing {
    fn create_event_reporter(&self, _: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        nothing()
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}
