//! The mapping of spans and events to OpenTelemetry, as far as it does not depend on the encoding.
//!
//! The mapping is a part of the contract because Flink defines it: names, times, severity numbers
//! and the resource are those of Flink's own OpenTelemetry reporters. All reporters that emit
//! OpenTelemetry data use these functions, whether they write protobuf, JSON or the types of an
//! SDK.

use std::collections::BTreeMap;

use crate::{COMPATIBILITY, Compatibility, ConfigError, ConfigOption, ReportedEvent, ReporterConfig, Signal, SpanRef};

/// The option `service.name` of Flink's OpenTelemetry reporters.
pub const SERVICE_NAME: ConfigOption<String> = ConfigOption::string(
    "service.name",
    "The resource attribute `service.name`. The default is `flink`. Under `compatibility: flink` the default is \
     `unknown_service:java`, and events ignore the option, as in Flink.",
);

/// The option `service.version` of Flink's OpenTelemetry reporters.
pub const SERVICE_VERSION: ConfigOption<String> = ConfigOption::string(
    "service.version",
    "The resource attribute `service.version`, absent if unset. Under `compatibility: flink` events ignore the option, as in Flink.",
);

/// The option `resource.attributes`, which Flink does not have.
pub const RESOURCE_ATTRIBUTES: ConfigOption<Vec<(String, String)>> = ConfigOption::map(
    "resource.attributes",
    "Additional resource attributes, such as `deployment.environment.name:prod`. `service.name` and `service.version` \
     override entries with these names.",
);

/// Returns the attributes of the resource that `config` describes, sorted by key, each key once.
///
/// They are [`SERVICE_NAME`], [`SERVICE_VERSION`], [`RESOURCE_ATTRIBUTES`] and `telemetry.sdk.*`.
/// Under [`Compatibility::Flink`] they are those of Flink 2.3, whose event reporter never reads its
/// options, and `resource.attributes` is added.
///
/// # Errors
/// Fails if one of the options is invalid.
pub fn resource(config: &ReporterConfig, signal: Signal) -> Result<Vec<(String, String)>, ConfigError> {
    let compatibility = config.require(&COMPATIBILITY)?;
    let (service_name, sdk) = match compatibility {
        Compatibility::Standard => ("flink", ["rust", "flink-traces", env!("CARGO_PKG_VERSION")]),
        Compatibility::Flink => ("unknown_service:java", ["java", "opentelemetry", "1.30.1"]),
    };
    let mut attributes = BTreeMap::from([("service.name".to_owned(), service_name.to_owned())]);
    let sdk_keys = ["telemetry.sdk.language", "telemetry.sdk.name", "telemetry.sdk.version"];
    attributes.extend(sdk_keys.map(str::to_owned).into_iter().zip(sdk.map(str::to_owned)));
    attributes.extend(config.get(&RESOURCE_ATTRIBUTES)?.unwrap_or_default());
    for option in [&SERVICE_NAME, &SERVICE_VERSION] {
        if let Some(value) = config.get(option)?
            && (compatibility, signal) != (Compatibility::Flink, Signal::Events)
        {
            attributes.insert(option.key().to_owned(), value);
        }
    }
    Ok(attributes.into_iter().collect())
}

/// Returns the resource attributes of a record, sorted by key, each key once.
///
/// `reporter` are those that [`resource`] returns. `source` are the
/// [attributes of the record's source](crate::ReportContext::resource), which replace others with
/// the same keys.
pub fn resource_of(reporter: &[(String, String)], source: &[(String, String)]) -> Vec<(String, String)> {
    let merged: BTreeMap<_, _> = reporter.iter().chain(source).map(|(key, value)| (key, value)).collect();
    merged.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Returns the number of a severity, as Flink's event reporter does.
///
/// Only OpenTelemetry's exact names have one: `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR` and
/// `FATAL`, each optionally followed by 2, 3 or 4. The number of any other text, such as `info` or
/// `WARNING`, is 0 (unspecified).
pub fn severity_number(severity: &str) -> u8 {
    let (name, step) = match severity.as_bytes() {
        [.., digit @ b'2'..=b'4'] => (&severity[..severity.len() - 1], digit - b'1'),
        _ => (severity, 0),
    };
    match ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"].iter().position(|known| *known == name) {
        Some(rank) => 1 + 4 * rank as u8 + step,
        None => 0,
    }
}

/// Converts milliseconds to OTLP's nanoseconds since the epoch, as Java does.
///
/// A time after the year 2262 saturates. A negative time keeps its bits, so −1 becomes
/// 18446744073708551616, which is the number that Flink sends.
pub fn unix_nanos(millis: i64) -> u64 {
    millis.saturating_mul(1_000_000).cast_unsigned()
}

/// Returns the span's `start_time_unix_nano` and `end_time_unix_nano`.
///
/// A start before the epoch is 0, which OTLP defines as unknown. (The SDK that Flink uses fills in
/// its own clock.) The same applies to an end before the epoch, except under
/// [`Compatibility::Flink`].
pub fn span_times(span: &SpanRef<'_>, compatibility: Compatibility) -> (u64, u64) {
    let end = match compatibility {
        Compatibility::Standard => span.end_ts_millis().max(0),
        Compatibility::Flink => span.end_ts_millis(),
    };
    (unix_nanos(span.start_ts_millis().max(0)), unix_nanos(end))
}

/// Returns the event's `time_unix_nano` and `observed_time_unix_nano`.
///
/// Both are the time of the event, so that a resend after a restart is identical. If that time is
/// unknown, they are 0 and the time of the report. Under [`Compatibility::Flink`] they are the time
/// of the report and the time of the event, which is Flink's order although it is wrong.
pub fn event_times(event: &ReportedEvent) -> (u64, u64) {
    let (happened, reported) = (event.ts_millis(), unix_nanos(event.reported_ts_millis().max(0)));
    match event.context().compatibility {
        Compatibility::Flink => (reported, unix_nanos(happened)),
        Compatibility::Standard if happened > 0 => (unix_nanos(happened), unix_nanos(happened)),
        Compatibility::Standard => (0, reported),
    }
}

/// Returns the name that OpenTelemetry's SDK gives to a span, which replaces a blank name.
pub fn span_name(name: &str) -> &str {
    match name.trim_matches(|c| c <= ' ') {
        "" => "<unspecified span name>",
        _ => name,
    }
}

/// Returns the instrumentation scope that OpenTelemetry's SDK gives to a log record.
///
/// A missing scope becomes `unknown`.
pub fn event_scope(scope: &str) -> &str {
    match scope {
        "" => "unknown",
        _ => scope,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Event, ReportContext, ReportedSpan, Span, SystemClock};

    fn context(compatibility: Compatibility) -> Arc<ReportContext> {
        Arc::new(ReportContext::new(compatibility))
    }

    #[test]
    fn resource_follows_options_signal_and_compatibility() {
        const VERSION: &str = env!("CARGO_PKG_VERSION");
        let check = |signal, options: &[(&str, &str)], expected: &[&str]| {
            let config = ReporterConfig::from_pairs("r", options.iter().copied());
            let attributes = resource(&config, signal).unwrap();
            let found: Vec<_> = attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
            assert_eq!(found, expected, "{signal:?} {options:?}");
        };
        let rust = ["telemetry.sdk.language=rust", "telemetry.sdk.name=flink-traces"].map(str::to_owned);
        let version = format!("telemetry.sdk.version={VERSION}");
        let java = ["telemetry.sdk.language=java", "telemetry.sdk.name=opentelemetry", "telemetry.sdk.version=1.30.1"];
        let set = [("service.name", "agg"), ("service.version", "7"), ("compatibility", "flink")];
        for signal in [Signal::Traces, Signal::Events] {
            check(signal, &[], &["service.name=flink", &rust[0], &rust[1], &version]);
            check(signal, &set[..2], &["service.name=agg", "service.version=7", &rust[0], &rust[1], &version]);
            check(signal, &set[2..], &["service.name=unknown_service:java", java[0], java[1], java[2]]);
        }
        check(Signal::Traces, &set, &["service.name=agg", "service.version=7", java[0], java[1], java[2]]);
        check(Signal::Events, &set, &["service.name=unknown_service:java", java[0], java[1], java[2]]);
        check(
            Signal::Traces,
            &[("resource.attributes", "service.name:list,a.b:c"), ("service.version", "7")],
            &["a.b=c", "service.name=list", "service.version=7", &rust[0], &rust[1], &version],
        );
    }

    #[test]
    fn only_exact_severity_names_have_a_number() {
        let known =
            [("TRACE", 1), ("TRACE4", 4), ("DEBUG", 5), ("INFO", 9), ("INFO2", 10), ("WARN", 13), ("ERROR", 17)];
        for (text, number) in known.into_iter().chain([("FATAL", 21), ("FATAL4", 24)]) {
            assert_eq!(severity_number(text), number, "{text}");
        }
        for text in ["", "info", "WARNING", "INFO1", "INFO5", "INFO22", "2", " INFO", "INFÖ2"] {
            assert_eq!(severity_number(text), 0, "{text}");
        }
    }

    #[test]
    fn times_depend_on_compatibility() {
        const UNSET: u64 = 18_446_744_073_708_551_616;
        let check = |(start, end): (i64, i64), standard: (u64, u64), flink: (u64, u64)| {
            let span = Arc::new(Span::builder("s", "n").start_ts_millis(start).end_ts_millis(end).build(&SystemClock));
            for (compatibility, expected) in [(Compatibility::Standard, standard), (Compatibility::Flink, flink)] {
                let span = ReportedSpan::new(span.clone(), context(compatibility));
                assert_eq!(span_times(&span.root(), compatibility), expected, "{start} {end} {compatibility:?}");
            }
        };
        check((5, 7), (5_000_000, 7_000_000), (5_000_000, 7_000_000));
        check((5, -1), (5_000_000, 5_000_000), (5_000_000, UNSET));
        check((-1, -1), (0, 0), (0, UNSET));
        let end_of_time = i64::MAX.cast_unsigned();
        check((i64::MIN, i64::MAX), (0, end_of_time), (0, end_of_time));

        for (happened, standard, flink) in
            [(5, (5_000_000, 5_000_000), (9_000_000, 5_000_000)), (-1, (0, 9_000_000), (9_000_000, UNSET))]
        {
            let event = Arc::new(Event::builder("s", "n").observed_ts_millis(happened).build(&SystemClock));
            for (compatibility, expected) in [(Compatibility::Standard, standard), (Compatibility::Flink, flink)] {
                let event = ReportedEvent::new(event.clone(), 9, context(compatibility));
                assert_eq!(event_times(&event), expected, "{happened} {compatibility:?}");
            }
        }
    }

    #[test]
    fn blank_name_and_scope_become_those_of_the_sdk() {
        assert_eq!(
            [span_name(""), span_name(" \t\u{0}"), span_name("a ")],
            ["<unspecified span name>", "<unspecified span name>", "a "]
        );
        assert_eq!([event_scope(""), event_scope(" ")], ["unknown", " "]);
    }
}
