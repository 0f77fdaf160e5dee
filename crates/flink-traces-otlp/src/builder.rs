//! The typed builder of both reporters.

use std::path::Path;
use std::time::Duration;

use flink_traces_api::{ReporterBuilder, ReporterDeclaration, resource_options};

use crate::{EVENT_FACTORY, OtlpReporterFactory, TRACE_FACTORY, options};

/// Reporters that a program configures in code.
///
/// The methods set the options of a configuration file, whose documentation describes them.
///
/// # Examples
///
/// ```no_run
/// use flink_traces_otlp::Otlp;
/// use flink_traces_runtime::Reporting;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let reporting = Reporting::builder()
///     .reporter(
///         Otlp::grpc("https://collector.example.com:4317")
///             .bearer_token_file("/run/secrets/token")
///             .spool("/var/spool/orders"),
///     )
///     .start()?;
/// # let _ = reporting;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Otlp(ReporterDeclaration);

impl Otlp {
    /// Creates reporters that send OTLP over gRPC to `url`, such as `http://localhost:4317`.
    pub fn grpc(url: impl Into<String>) -> Self {
        Self::new(url, "grpc")
    }

    /// Creates reporters that send protobuf over HTTP to `url`, such as `http://localhost:4318`.
    pub fn http(url: impl Into<String>) -> Self {
        Self::new(url, "http")
    }

    /// Creates reporters that send JSON over HTTP to `url`, such as `http://localhost:4318`.
    pub fn http_json(url: impl Into<String>) -> Self {
        Self::new(url, "http/json")
    }

    fn new(url: impl Into<String>, protocol: &str) -> Self {
        let declaration = ReporterDeclaration::new("otlp")
            .traces(TRACE_FACTORY, OtlpReporterFactory)
            .events(EVENT_FACTORY, OtlpReporterFactory);
        Self(declaration).option(options::ENDPOINT.key(), url).option(options::PROTOCOL.key(), protocol)
    }

    resource_options!();

    /// Sends to exactly the URL over HTTP, even if it has no path.
    pub fn exact_url(self) -> Self {
        self.option(options::APPEND_PATH.key(), "false")
    }

    /// Sets the time limit of one request.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.option(options::TIMEOUT.key(), millis(timeout))
    }

    /// Compresses requests with gzip.
    pub fn gzip(self) -> Self {
        self.option(options::COMPRESSION.key(), "gzip")
    }

    /// Adds a header to each request. Its value is never shown.
    pub fn header(self, name: &str, value: impl Into<String>) -> Self {
        self.option(format!("{}.{name}", options::HEADERS.key()), value)
    }

    /// Sets the user and the password for basic authentication. They are never shown.
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        self.option(options::BASIC_AUTH.key(), format!("{user}:{password}"))
    }

    /// Sets the bearer token of each request. It is never shown.
    pub fn bearer_token(self, token: impl Into<String>) -> Self {
        self.option(options::BEARER_TOKEN.key(), token)
    }

    /// Sets the file with the bearer token, which is read before each request.
    pub fn bearer_token_file(self, path: impl AsRef<Path>) -> Self {
        self.path_option(options::BEARER_TOKEN_FILE.key(), path)
    }

    /// Trusts the root certificates in a PEM file, instead of the system's.
    pub fn ca_certificates(self, path: impl AsRef<Path>) -> Self {
        self.path_option(options::CA_CERTIFICATES.key(), path)
    }

    /// Sets the PEM files of the client certificate and its private key.
    pub fn client_certificate(self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.path_option(options::CLIENT_CERTIFICATE.key(), certificate).path_option(options::CLIENT_KEY.key(), key)
    }

    /// Sets the URL of an HTTP proxy.
    pub fn proxy(self, url: impl Into<String>) -> Self {
        self.option(options::PROXY.key(), url)
    }

    /// Sets the hosts that are reached without the proxy, in the form of `NO_PROXY`.
    pub fn no_proxy(self, hosts: impl Into<String>) -> Self {
        self.option(options::NO_PROXY.key(), hosts)
    }

    /// Sets the maximum size of a request in bytes, before compression.
    pub fn batch_bytes(self, bytes: u64) -> Self {
        self.option(options::BATCH_BYTES.key(), size(bytes))
    }

    /// Sets the number of requests that may be in flight at once.
    pub fn concurrency(self, requests: u64) -> Self {
        self.option(options::CONCURRENCY.key(), requests.to_string())
    }

    /// Sets the longest pause after the first failure, which doubles up to `max`.
    pub fn backoff(self, initial: Duration, max: Duration) -> Self {
        self.option(options::INITIAL_BACKOFF.key(), millis(initial)).option(options::MAX_BACKOFF.key(), millis(max))
    }

    /// Sets the time without any delivery after which records are dropped and counted.
    pub fn retry_timeout(self, timeout: Duration) -> Self {
        self.option(options::RETRY_TIMEOUT.key(), millis(timeout))
    }

    /// Rejects records whose request is refused for its credentials, its address or its protocol.
    ///
    /// By default, such a request is retried until it is accepted.
    pub fn drop_on_auth_failure(self) -> Self {
        self.option(options::ON_REFUSAL.key(), "drop")
    }

    /// Stores records in a directory until the collector has them.
    pub fn spool(self, directory: impl AsRef<Path>) -> Self {
        self.path_option(options::SPOOL_DIRECTORY.key(), directory)
    }

    /// Sets the maximum size of the spool in bytes.
    pub fn spool_max_size(self, bytes: u64) -> Self {
        self.option(options::SPOOL_MAX_SIZE.key(), size(bytes))
    }

    /// Saves rejected records in a directory.
    pub fn dead_letters(self, directory: impl AsRef<Path>) -> Self {
        self.path_option(options::DEAD_LETTER_DIRECTORY.key(), directory)
    }

    /// Sets the maximum size of each file of rejected records in bytes.
    pub fn dead_letters_max_size(self, bytes: u64) -> Self {
        self.option(options::DEAD_LETTER_MAX_SIZE.key(), size(bytes))
    }
}

impl ReporterBuilder for Otlp {
    fn declaration(&mut self) -> &mut ReporterDeclaration {
        &mut self.0
    }
}

fn millis(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

fn size(bytes: u64) -> String {
    format!("{bytes} b")
}

#[cfg(test)]
mod tests {
    use flink_traces_api::{ReporterConfig, Signal};

    use super::*;
    use crate::options::{OPTIONS, Options};

    /// Returns a builder with every option, except for credentials that exclude each other.
    fn complete() -> Otlp {
        let second = Duration::from_secs(1);
        Otlp::http("http://localhost:4318")
            .service_name("orders")
            .service_version("7")
            .resource_attribute("deployment.environment.name", "prod")
            .exact_url()
            .timeout(second)
            .gzip()
            .header("x-scope-orgid", "7")
            .ca_certificates("ca.pem")
            .client_certificate("client.pem", "key.pem")
            .proxy("http://proxy:3128")
            .no_proxy("localhost")
            .batch_bytes(1 << 20)
            .concurrency(2)
            .backoff(second, 2 * second)
            .retry_timeout(3 * second)
            .drop_on_auth_failure()
            .spool("spool")
            .spool_max_size(1 << 30)
            .dead_letters("dead")
            .dead_letters_max_size(1 << 20)
    }

    #[test]
    fn builder_sets_every_option() {
        let all = complete().basic_auth("me", "secret").bearer_token("secret").bearer_token_file("token");
        let is_of = |key: &str, option: &str| key == option || key.starts_with(&format!("{option}."));
        for signal in Signal::ALL {
            let keys: Vec<_> = all.0.options(signal).map(|(key, _)| key).collect();
            for option in OPTIONS {
                assert!(keys.iter().any(|key| is_of(key, option.key)), "no method sets {}", option.key);
            }
            for key in keys {
                assert!(OPTIONS.iter().any(|option| is_of(key, option.key)), "{key} is no option");
            }
        }
    }

    #[test]
    fn builder_values_have_the_options_forms() {
        let credentials: [fn(Otlp) -> Otlp; 3] = [
            |otlp| otlp.basic_auth("me", "secret"),
            |otlp| otlp.bearer_token("secret"),
            |otlp| otlp.bearer_token_file("token"),
        ];
        for with_credentials in credentials {
            let otlp = with_credentials(complete());
            let config = ReporterConfig::from_pairs("otlp", otlp.0.options(Signal::Traces));
            let options = Options::read(&config, Signal::Traces).map_err(|error| error.to_string()).unwrap();
            assert_eq!(options.retry.timeout, Duration::from_secs(3));
            assert_eq!(options.batch_bytes, 1 << 20);
            assert!(!format!("{otlp:?}").contains("secret"), "{otlp:?}");
        }
        for (otlp, expected) in [(Otlp::grpc("http://h"), "Grpc"), (Otlp::http_json("http://h"), "HttpJson")] {
            let config = ReporterConfig::from_pairs("otlp", otlp.0.options(Signal::Events));
            let options = Options::read(&config, Signal::Events).map_err(|error| error.to_string()).unwrap();
            assert_eq!(format!("{:?}", options.target.protocol), expected);
        }
    }
}
