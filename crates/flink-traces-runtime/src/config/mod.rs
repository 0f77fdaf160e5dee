//! Configuration files, options, filters and the setups of reporters.
//!
//! A [`Configuration`] holds keys and values with their origins. [`discover`] turns it into one
//! [`ReporterSetup`] for each reporter, which [`Dispatcher::start`](crate::Dispatcher::start)
//! takes. Every finding on the way is a [`Problem`] with key, value, file and line.
//! [`unknown_keys`] reports keys that nothing reads, and [`placeholders`] those values that a
//! template was to replace.

mod collector;
mod configuration;
mod filter;
mod keys;
mod legacy;
mod load;
mod options;
mod placeholder;
mod problem;
mod problems;
mod reporters;
mod scalar;
mod yaml;

pub use configuration::Configuration;
pub use filter::{Filter, NamePatterns, Rule, RuleError};
pub use keys::unknown_keys;
pub use options::{
    ADDITIONAL_VARIABLES, CORE_OPTIONS, DETAIL_FOR, DetailFor, EVENTS_REPORTERS, EXCLUDED_VARIABLES, FACTORY_CLASS,
    FILTER_EXCLUDES, FILTER_INCLUDES, OBSERVATIONS, QUEUE_MAX_BYTES, QUEUE_SIZE, REDACTED_KEYS, REPORT_EVENTS_AS_SPANS,
    REPORTER_CLUSTERS, REPORTER_DETAIL_LEVEL, REPORTER_OPTIONS, REPORTER_SCOPE_DELIMITER, SCOPE_DELIMITER,
    SPAN_DETAIL_LEVEL, SpanDetailLevel, TRACES_REPORTERS,
};
pub use placeholder::placeholders;
pub use problem::{Problem, Severity};
pub use problems::Problems;
pub use reporters::{ReporterSetup, VariableRules, discover};
pub(crate) use reporters::{SignalKeys, reporter_names};
