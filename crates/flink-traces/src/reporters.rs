//! The reporters of the program: their registry, the arguments and variables that configure them,
//! and a check of their options.

use std::path::Path;
use std::thread;

use flink_traces_api::{ConfigError, ConfigOption, Origin, RawValue, Registry, ReporterConfig, Signal};
use flink_traces_runtime::config::{EVENTS_REPORTERS, ReporterSetup, TRACES_REPORTERS};
use flink_traces_runtime::{Configuration, Problem};

use crate::cli::{Environment, JsonFormat};

/// An option that an argument sets: the argument, the key and the value.
///
/// It takes precedence over the configuration file, and `-D` takes precedence over it.
pub(crate) type Shorthand = (&'static str, String, String);

/// The files of [`json_reporters`].
pub(crate) const JSON_FILES: [&str; 2] = ["spans.jsonl", "events.jsonl"];

/// The name of the reporters of [`history_reporters`].
const HISTORY: &str = "history";

/// Returns the registry of all reporters that the program has.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    for register in [
        flink_traces_log::register,
        flink_traces_json::register,
        flink_traces_history::register,
        flink_traces_otlp::register,
    ] {
        let registered = register(&mut registry);
        debug_assert!(registered.is_ok(), "two crates have the same class: {registered:?}");
    }
    registry
}

/// Returns the lists of enabled reporters, such as `traces.reporters`, extended by the reporters of
/// `shorthands`, which such a list would disable.
pub(crate) fn extended_lists(configuration: &Configuration, shorthands: &[Shorthand]) -> Vec<(&'static str, String)> {
    let extended = |option: &ConfigOption<Vec<String>>| {
        let mut names = option.parse(&configuration.value(option.key())?.raw).filter(|names| !names.is_empty())?;
        let mut argument_name = None;
        for (argument, key, _) in shorthands {
            let name = key.strip_prefix(option.key().trim_end_matches('s')).and_then(|rest| rest.strip_prefix('.'));
            let name = name.and_then(|name| name.strip_suffix(".factory.class")).map(str::to_owned);
            if let Some(name) = name.filter(|name| !names.contains(name)) {
                names.push(name);
                argument_name = Some(*argument);
            }
        }
        Some((argument_name?, format!("{}={}", option.key(), names.join(", "))))
    };
    [&TRACES_REPORTERS, &EVENTS_REPORTERS].into_iter().filter_map(extended).collect()
}

/// Returns the options that `--otlp URL` sets.
///
/// As with `OTEL_EXPORTER_OTLP_ENDPOINT`, both signals have the same address. A port other than
/// 4317 and 4318 says nothing about the protocol, unless there is a path.
pub(crate) fn otlp_reporters(url: &str) -> Vec<Shorthand> {
    let url = url.trim();
    let (address, query) = url.find('?').map_or((url, ""), |query| url.split_at(query));
    let of_signal = ["/v1/traces", "/v1/logs"].iter().find_map(|path| address.strip_suffix(path));
    let base = of_signal.unwrap_or(address).trim_end_matches('/');
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    let is_http = of_signal.is_some() || rest.ends_with(":4318") || rest.contains('/');
    let protocol = match () {
        () if is_http => "http",
        () if rest.ends_with(":4317") => "grpc",
        () => "auto",
    };
    let reporter = |signal: &str, class: &str, path: &str| {
        let option = |key: &str, value: String| ("--otlp", format!("{signal}.reporter.otlp.{key}"), value);
        [
            option("factory.class", class.to_owned()),
            option("exporter.endpoint", if is_http { format!("{base}{path}{query}") } else { url.to_owned() }),
            option("exporter.protocol", protocol.to_owned()),
        ]
    };
    let traces = reporter("traces", flink_traces_otlp::TRACE_FACTORY, "/v1/traces");
    let events = reporter("events", flink_traces_otlp::EVENT_FACTORY, "/v1/logs");
    traces.into_iter().chain(events).collect()
}

/// Returns the options that `--json DIR` and `--json-format` set.
pub(crate) fn json_reporters(directory: &Path, format: JsonFormat) -> Vec<Shorthand> {
    let reporter = |signal: &str, file: &str| {
        let option = |key: &str, value: String| ("--json", format!("{signal}.reporter.json.{key}"), value);
        [
            option("factory.class", flink_traces_json::FACTORY.to_owned()),
            option("path", directory.join(file).display().to_string()),
            option("format", format.name().to_owned()),
        ]
    };
    let [spans, events] = JSON_FILES;
    reporter("traces", spans).into_iter().chain(reporter("events", events)).collect()
}

/// Returns the options that `--history DIR` sets.
pub(crate) fn history_reporters(directory: &Path) -> Vec<Shorthand> {
    let option = |signal: &str, key: &str, value: &str| {
        ("--history", format!("{signal}.reporter.{HISTORY}.{key}"), value.to_owned())
    };
    let directory = directory.display().to_string();
    let of_signal =
        |signal| [option(signal, "factory.class", flink_traces_history::FACTORY), option(signal, "path", &directory)];
    ["traces", "events"].into_iter().flat_map(of_signal).collect()
}

/// Returns the options of a history whose records are all old, because they come from a recording.
pub(crate) fn without_retention() -> Vec<Shorthand> {
    let option = |signal: &str, key: &str| {
        ("--history", format!("{signal}.reporter.{HISTORY}.retention.{key}"), "0 s".to_owned())
    };
    let of_signal = |signal| ["detail", "rows", "rollups"].map(|key| option(signal, key));
    ["traces", "events"].into_iter().flat_map(of_signal).collect()
}

/// Adds the options of OTLP reporters from OpenTelemetry's environment variables, with the lowest
/// precedence. Returns problems of the variables.
pub(crate) fn set_by_environment(configuration: &mut Configuration, environment: &Environment) -> Vec<Problem> {
    let unreadable = environment
        .unreadable
        .iter()
        .map(|name| Problem::warning("is not Unicode; ignored").with_origin(Origin::new(name.as_str())));
    let mut problems: Vec<Problem> = unreadable.collect();
    for (signal, prefix, class) in [
        (Signal::Traces, "traces.reporter.", flink_traces_otlp::TRACE_FACTORY),
        (Signal::Events, "events.reporter.", flink_traces_otlp::EVENT_FACTORY),
    ] {
        let of_class = configuration.below(prefix).filter(|(_, value)| value.raw.to_string() == class);
        let names = of_class.filter_map(|(key, _)| key.strip_suffix(".factory.class"));
        for name in names.map(str::to_owned).collect::<Vec<_>>() {
            let prefix = format!("{prefix}{name}.");
            let values = configuration.below(&prefix).map(|(key, value)| (key.to_owned(), value.clone()));
            let config = ReporterConfig::new(prefix.clone(), name, values);
            let variable = |name: &str| environment.variables.get(name).cloned();
            let (options, warnings) = flink_traces_otlp::environment_options(signal, &config, &variable);
            for option in options {
                configuration.set_default(format!("{prefix}{}", option.key), option.value, option.variable);
            }
            for warning in warnings {
                let origin = Some(Origin::new(warning.variable));
                let mut problem = Problem::warning(warning.message);
                problem.origin = origin;
                // Both signals may have the same problem.
                if problems.iter().all(|known| known.to_string() != problem.to_string()) {
                    problems.push(problem);
                }
            }
        }
    }
    problems
}

/// Returns the problems of options that only the reporters themselves parse.
///
/// Each reporter is created and dropped. That sends nothing and creates no file.
pub(crate) fn trial<'a>(
    reporters: impl Iterator<Item = &'a ReporterSetup> + Send,
    registry: &Registry,
) -> Vec<Problem> {
    let problem = |setup: &ReporterSetup| {
        let config = without_file(setup);
        let error = match setup.signal {
            Signal::Traces => registry.trace(&setup.class)?.create_trace_reporter(&config).err(),
            Signal::Events => registry.event(&setup.class)?.create_event_reporter(&config).err(),
        };
        let of_file = |error: &ConfigError| matches!(error, ConfigError::Setup(_)) && writes_file(setup);
        error.filter(|error| !of_file(error)).map(|error| setup.problem(&error))
    };
    // The reporters log the same again when they are created for good.
    let quietly =
        || tracing::dispatcher::with_default(&tracing::Dispatch::none(), || reporters.filter_map(problem).collect());
    // The dispatcher uses a thread for each reporter, too: a reporter may own an async runtime,
    // which cannot be dropped inside another runtime.
    let problems = thread::scope(|scope| scope.spawn(quietly).join());
    problems.unwrap_or_else(|_| vec![Problem::error("a reporter panicked when it was created")])
}

fn writes_file(setup: &ReporterSetup) -> bool {
    setup.class == flink_traces_json::FACTORY
}

/// Returns the options of a reporter without its effects on files.
///
/// A reporter that opens a file gets a directory in its place: it checks its other options, fails,
/// and creates nothing. A reporter with a spool is created without it.
fn without_file(setup: &ReporterSetup) -> ReporterConfig {
    let is_file = |key: &str, text: &str| writes_file(setup) && key == "path" && Path::new(text).file_name().is_some();
    let values =
        setup.config.values().filter(|(key, _)| *key != flink_traces_otlp::SPOOL_DIRECTORY).map(|(key, value)| {
            let raw = if is_file(key, &value.raw.to_string()) {
                RawValue::Text(std::env::temp_dir().join(".").display().to_string())
            } else {
                value.raw.clone()
            };
            let mut value = value.clone();
            value.raw = raw;
            (key.to_owned(), value)
        });
    ReporterConfig::new(setup.config.key(""), setup.name.clone(), values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn otlp_argument_sets_address_of_both_signals() {
        let check = |url: &str, protocol: &str, traces: &str, events: &str| {
            let options = otlp_reporters(url);
            let values: Vec<_> = options.iter().map(|(_, _, value)| value.as_str()).collect();
            assert_eq!([values[1], values[2], values[4], values[5]], [traces, protocol, events, protocol], "{url}");
        };
        for url in ["http://collector:4317", "http://[::1]:4317/", "https://collector:4317?a=b"] {
            check(url, "grpc", url, url);
        }
        for url in ["https://collector", "http://h:24318", "http://h:24318/", "http://[::1]", "nonsense"] {
            check(url, "auto", url, url);
        }
        for url in ["http://h:4318", "http://h:4318/", "http://h:4318/v1/traces", "http://h:4318/v1/logs"] {
            check(url, "http", "http://h:4318/v1/traces", "http://h:4318/v1/logs");
        }
        check(" http://h:4318/x ", "http", "http://h:4318/x/v1/traces", "http://h:4318/x/v1/logs");
        check("https://h/otlp/?a=b", "http", "https://h/otlp/v1/traces?a=b", "https://h/otlp/v1/logs?a=b");
        check("https://h/v1/traces", "http", "https://h/v1/traces", "https://h/v1/logs");
    }
}
