//! The run of one rule, with a reporter's factory, a destination and the records that were sent.

use std::sync::Arc;

use flink_traces_api::{Compatibility, ConfigError, Deadline, OptionDoc, ReportContext, ReportError, ReporterConfig};

use super::Destination;
use super::compare::{Arrival, Expected, compare};
use super::sample::Sample;
use super::subject::Subject;

pub(super) struct Case<'a, S: Subject, D> {
    subject: &'a S,
    pub(super) destination: D,
    context: ReportContext,
    number: i64,
    sent: Vec<Expected>,
    /// The number of those that were counted as rejected or dropped.
    missing: usize,
}

impl<'a, S: Subject, D: Destination> Case<'a, S, D> {
    pub(super) fn new(subject: &'a S, destination: D) -> Self {
        let variables = [("<host>", "host-1"), ("<job_id>", "4711"), ("<job_name>", "orders 2")];
        let context = ReportContext::new(Compatibility::Standard).with_job_id("4711").with_variables(variables);
        Self { subject, destination, context, number: 0, sent: Vec::new(), missing: 0 }
    }

    /// Reports later records under `compatibility: flink`.
    pub(super) fn use_flink_compatibility(&mut self) {
        self.context.compatibility = Compatibility::Flink;
    }

    pub(super) fn option_docs(&self) -> &'static [OptionDoc] {
        self.subject.options()
    }

    /// Returns the options of the destination, to which `more` adds others or other values.
    pub(super) fn config(&self, more: &[(&str, &str)]) -> ReporterConfig {
        let mut options = self.destination.options();
        options.retain(|(key, _)| more.iter().all(|(other, _)| other != key));
        let options = options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        ReporterConfig::from_pairs("conformance", options.chain(more.iter().copied()))
    }

    pub(super) fn create(&self, config: &ReporterConfig) -> Result<S::Reporter, ConfigError> {
        self.subject.create(config)
    }

    /// Creates a reporter for the destination.
    pub(super) fn open(&self, more: &[(&str, &str)]) -> Result<S::Reporter, String> {
        self.create(&self.config(more)).map_err(|error| format!("no reporter can be created: {error}"))
    }

    /// Reports `samples` in one batch, which must succeed, and checks that all sent records
    /// arrived.
    pub(super) fn deliver(&mut self, reporter: &mut S::Reporter, samples: Vec<Sample>) -> Result<(), String> {
        let given = samples.len();
        let result = self.report(reporter, samples, &Deadline::unlimited())?;
        result.map_err(|error| format!("a batch of {given} failed: {}", with_causes(&error)))?;
        self.check()
    }

    /// Reports `samples` in one batch, and checks that all records arrived that are not counted as
    /// rejected or dropped.
    pub(super) fn report(
        &mut self,
        reporter: &mut S::Reporter,
        samples: Vec<Sample>,
        deadline: &Deadline,
    ) -> Result<Result<(), ReportError>, String> {
        let context = Arc::new(self.context.clone());
        let record = |sample| S::record(sample, &mut self.number, context.clone());
        let records: Vec<S::Record> = samples.into_iter().map(record).collect();
        let before = self.sent.len();
        self.sent.extend(records.iter().flat_map(S::expected));
        let given = self.sent.len() - before;
        let result = S::report(reporter, &records, deadline);
        if let Err(error) = &result {
            let (rejected, dropped) = (error.rejected(), error.dropped());
            match rejected.checked_add(dropped) {
                Some(0) => return Err("the report failed without rejected or dropped records".to_owned()),
                Some(missing) if missing <= given => self.missing += missing,
                _ => {
                    return Err(format!(
                        "expected at most {given} records, found {rejected} rejected and {dropped} dropped"
                    ));
                }
            }
        }
        self.check()?;
        Ok(result)
    }

    /// Checks that all records arrived that are not counted as rejected or dropped.
    pub(super) fn check(&self) -> Result<(), String> {
        let arrival = match self.missing {
            0 => Arrival::Whole,
            missing => Arrival::Only(self.sent.len() - missing),
        };
        let is_flink_compatible = self.context.compatibility == Compatibility::Flink;
        compare(&self.sent, &self.destination.received(), arrival, is_flink_compatible)
    }

    /// Closes the reporter, which must succeed and deliver nothing.
    pub(super) fn close(&self, reporter: S::Reporter) -> Result<(), String> {
        S::close(reporter, &Deadline::unlimited()).map_err(|error| format!("close failed: {}", with_causes(&error)))?;
        self.check().map_err(|problem| format!("after close: {problem}"))
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
