//! The typed builder of reporters over exporters of the SDK.

use flink_traces_api::{ConfigError, ReporterBuilder, ReporterConfig, ReporterDeclaration, resource_options};
use opentelemetry_sdk::logs::LogExporter;
use opentelemetry_sdk::trace::SpanExporter;

use crate::reporter::RESOURCE_OPTIONS;
use crate::{LogExporterFactory, SpanExporterFactory};

/// Reporters that a program configures in code, over exporters of the OpenTelemetry SDK.
///
/// # Examples
///
/// With the exporters of `opentelemetry-otlp`:
///
/// ```no_run
/// # #[cfg(feature = "otlp")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use flink_traces_opentelemetry::SdkExporters;
/// use flink_traces_runtime::Reporting;
///
/// let exporters = SdkExporters::otlp("http://localhost:4317").service_name("orders");
/// let reporting = Reporting::builder().reporter(exporters).start()?;
/// # let _ = reporting;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "otlp"))]
/// # fn main() {}
/// ```
///
/// With an exporter of your own:
///
/// ```
/// use flink_traces_opentelemetry::SdkExporters;
/// use flink_traces_runtime::Reporting;
/// use opentelemetry_sdk::error::OTelSdkResult;
/// use opentelemetry_sdk::trace::{SpanData, SpanExporter};
///
/// #[derive(Debug)]
/// struct Names;
///
/// impl SpanExporter for Names {
///     async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
///         batch.iter().for_each(|span| println!("{}", span.name));
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let exporters = SdkExporters::new("names").span_exporter(|_| Ok(Names));
/// let reporting = Reporting::builder().reporter(exporters).start()?;
/// # let _ = reporting;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct SdkExporters {
    declaration: ReporterDeclaration,
    class: &'static str,
}

impl SdkExporters {
    /// Creates a builder without exporters. `class` is the `factory.class`, and the name in
    /// configuration keys.
    ///
    /// Two builders of one program need different classes.
    pub fn new(class: &'static str) -> Self {
        Self { declaration: ReporterDeclaration::new(class), class }
    }

    /// Creates reporters with the exporters of `opentelemetry-otlp`, which send over gRPC to `url`.
    #[cfg(feature = "otlp")]
    #[cfg_attr(docsrs, doc(cfg(feature = "otlp")))]
    pub fn otlp(url: impl Into<String>) -> Self {
        let declaration = ReporterDeclaration::new("otlp")
            .traces(crate::FACTORY, crate::otlp::span_exporters())
            .events(crate::FACTORY, crate::otlp::log_exporters());
        Self { declaration, class: crate::FACTORY }.option(crate::otlp::ENDPOINT.key(), url)
    }

    /// Sets the time limit of one request of `opentelemetry-otlp`.
    #[cfg(feature = "otlp")]
    #[cfg_attr(docsrs, doc(cfg(feature = "otlp")))]
    pub fn timeout(self, timeout: std::time::Duration) -> Self {
        self.option(crate::otlp::TIMEOUT.key(), format!("{} ms", timeout.as_millis()))
    }

    /// Sets the function that creates the exporter of spans, on the thread of its reporter.
    pub fn span_exporter<E: SpanExporter + 'static>(
        mut self,
        create: impl Fn(&ReporterConfig) -> Result<E, ConfigError> + Send + Sync + 'static,
    ) -> Self {
        self.declaration = self.declaration.traces(self.class, SpanExporterFactory::new(RESOURCE_OPTIONS, create));
        self
    }

    /// Sets the function that creates the exporter of log records, on the thread of its reporter.
    pub fn log_exporter<E: LogExporter + 'static>(
        mut self,
        create: impl Fn(&ReporterConfig) -> Result<E, ConfigError> + Send + Sync + 'static,
    ) -> Self {
        self.declaration = self.declaration.events(self.class, LogExporterFactory::new(RESOURCE_OPTIONS, create));
        self
    }

    resource_options!();
}

impl ReporterBuilder for SdkExporters {
    fn declaration(&mut self) -> &mut ReporterDeclaration {
        &mut self.declaration
    }
}

#[cfg(all(test, feature = "otlp"))]
mod tests {
    use std::time::Duration;

    use flink_traces_api::Signal;

    use super::*;
    use crate::otlp::{OPTIONS, TIMEOUT};

    #[test]
    fn builder_sets_every_option() {
        let builder = SdkExporters::otlp("http://localhost:4317")
            .timeout(Duration::from_millis(1_500))
            .service_name("orders")
            .service_version("7")
            .resource_attribute("deployment.environment.name", "prod");
        for signal in Signal::ALL {
            let options: Vec<_> = builder.declaration.options(signal).collect();
            let is_of = |key: &str, option: &str| key == option || key.starts_with(&format!("{option}."));
            for option in OPTIONS {
                assert!(options.iter().any(|(key, _)| is_of(key, option.key)), "no method sets {}", option.key);
            }
            for (key, _) in &options {
                assert!(OPTIONS.iter().any(|option| is_of(key, option.key)), "{key} is no option");
            }
            let config = ReporterConfig::from_pairs("otlp", options);
            assert_eq!(config.get(&TIMEOUT).unwrap(), Some(Duration::from_millis(1_500)));
        }
    }
}
