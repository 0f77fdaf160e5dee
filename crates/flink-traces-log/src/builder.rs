//! The typed builder of both reporters.

use flink_traces_api::{ReporterBuilder, ReporterDeclaration};

use crate::{EVENT_FACTORY, FORMAT, LogReporterFactory, TRACE_FACTORY};

/// Reporters that a program configures in code.
///
/// # Examples
///
/// ```
/// use flink_traces_api::{ReporterBuilder, Signal};
/// use flink_traces_log::Log;
/// use flink_traces_runtime::Reporting;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let reporting = Reporting::builder().reporter(Log::new().only(Signal::Events)).start()?;
/// # let _ = reporting;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Log(ReporterDeclaration);

impl Log {
    /// Creates reporters that log one `tracing` event with fields for each span and event.
    pub fn new() -> Self {
        let declaration = ReporterDeclaration::new("log");
        Self(declaration.traces(TRACE_FACTORY, LogReporterFactory).events(EVENT_FACTORY, LogReporterFactory))
    }

    /// Logs Flink's own text instead of fields.
    pub fn flink_text(self) -> Self {
        self.option(FORMAT.key(), "flink")
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

impl ReporterBuilder for Log {
    fn declaration(&mut self) -> &mut ReporterDeclaration {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use flink_traces_api::{ReporterConfig, Signal};

    use super::*;

    #[test]
    fn builder_sets_every_option() {
        let builder = Log::new().flink_text();
        for signal in Signal::ALL {
            let options: Vec<_> = builder.0.options(signal).collect();
            let keys: Vec<_> = options.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, LogReporterFactory::OPTIONS.iter().map(|option| option.key).collect::<Vec<_>>());
            LogReporterFactory::create(&ReporterConfig::from_pairs("log", options)).unwrap();
        }
    }
}
