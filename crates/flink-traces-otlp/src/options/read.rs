//! The configuration of a reporter, as its options give it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flink_traces_api::otel::resource;
use flink_traces_api::{COMPATIBILITY, Compatibility, ConfigError, ReporterConfig, Signal};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;

use super::{
    APPEND_PATH, BASIC_AUTH, BATCH_BYTES, BEARER_TOKEN, BEARER_TOKEN_FILE, CA_CERTIFICATES, CLIENT_CERTIFICATE,
    CLIENT_KEY, COMPRESSION, CONCURRENCY, DEAD_LETTER_DIRECTORY, DEAD_LETTER_MAX_SIZE, ENDPOINT, GRPC_LARGEST_BATCH,
    HEADERS, INITIAL_BACKOFF, MAX_BACKOFF, NO_PROXY, ON_REFUSAL, PROTOCOL, PROXY, RETRY_TIMEOUT, SPOOL_DIRECTORY,
    SPOOL_MAX_SIZE, TIMEOUT,
};
use crate::config::{Authorization, OnRefusal, Protocol, Retry, SpoolConfig, Target, TlsConfig};
use crate::dead_letter::{DeadLetters, file_name};
use crate::encode::Resource;

/// The configuration of one reporter.
pub(crate) struct Options {
    pub(crate) name: String,
    pub(crate) target: Target,
    /// The second way to the destination, if the protocol has to be found.
    pub(crate) alternative: Option<Target>,
    pub(crate) concurrency: usize,
    pub(crate) retry: Retry,
    pub(crate) on_refusal: OnRefusal,
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) spool: Option<SpoolConfig>,
    /// The resource of records whose source has no attributes of its own.
    pub(crate) resource: Resource,
    pub(crate) batch_bytes: usize,
}

impl Options {
    pub(crate) fn read(config: &ReporterConfig, signal: Signal) -> Result<Self, ConfigError> {
        let protocol = config.require(&PROTOCOL)?;
        let is_auto = protocol.is_none();
        let protocol = protocol.unwrap_or(Protocol::Grpc);
        let verbatim = config.require(&COMPATIBILITY)? == Compatibility::Flink || !config.require(&APPEND_PATH)?;
        let headers = headers(config)?;
        let spool = spool(config, signal)?;
        let endpoint = config.require(&ENDPOINT)?;
        let url = |protocol| signal_url(endpoint.clone(), protocol, signal, verbatim);
        let target = Target {
            url: url(protocol),
            protocol,
            signal,
            timeout: config.require(&TIMEOUT)?,
            gzip: config.require(&COMPRESSION)?,
            authorization: authorization(config, &headers)?,
            headers,
            tls: tls(config)?,
            proxy: config.get(&PROXY)?.flatten(),
            no_proxy: config.get(&NO_PROXY)?.unwrap_or_default(),
        };
        let alternative =
            is_auto.then(|| Target { url: url(Protocol::Http), protocol: Protocol::Http, ..target.clone() });
        Ok(Self {
            name: config.name().to_owned(),
            target,
            alternative,
            retry: Retry {
                initial_backoff: config.require(&INITIAL_BACKOFF)?,
                max_backoff: config.require(&MAX_BACKOFF)?,
                timeout: config.require(&RETRY_TIMEOUT)?,
                refusal_timeout: Duration::MAX,
            },
            concurrency: usize::try_from(config.require(&CONCURRENCY)?).unwrap_or(1),
            on_refusal: config.require(&ON_REFUSAL)?,
            dead_letters: dead_letters(config, signal, spool.as_ref())?,
            spool,
            resource: Resource::new(&resource(config, signal)?),
            batch_bytes: batch_bytes(config, protocol)?,
        })
    }

    /// Returns the ways to the destination.
    pub(crate) fn targets(&self) -> Vec<Target> {
        std::iter::once(&self.target).chain(&self.alternative).cloned().collect()
    }
}

fn batch_bytes(config: &ReporterConfig, protocol: Protocol) -> Result<usize, ConfigError> {
    let bytes = config.require(&BATCH_BYTES)?;
    if protocol == Protocol::Grpc && bytes > GRPC_LARGEST_BATCH {
        return Err(config.invalid(&BATCH_BYTES, BATCH_BYTES.doc().expected));
    }
    usize::try_from(bytes).map_err(|error| ConfigError::Setup(error.into()))
}

fn spool(config: &ReporterConfig, signal: Signal) -> Result<Option<SpoolConfig>, ConfigError> {
    let max_size = config.require(&SPOOL_MAX_SIZE)?;
    Ok(config.get(&SPOOL_DIRECTORY)?.map(|directory| SpoolConfig {
        directory: Path::new(&directory).join(file_name(signal, config.name())),
        max_size,
    }))
}

fn dead_letters(
    config: &ReporterConfig,
    signal: Signal,
    spool: Option<&SpoolConfig>,
) -> Result<Option<DeadLetters>, ConfigError> {
    let max_size = config.require(&DEAD_LETTER_MAX_SIZE)?;
    let given = config.get(&DEAD_LETTER_DIRECTORY)?.map(PathBuf::from);
    let directory = given.or_else(|| spool.map(|spool| spool.directory.join("dead-letter")));
    Ok(directory.map(|directory| {
        let path = directory.join(format!("{}.jsonl", file_name(signal, config.name())));
        DeadLetters { path, signal, max_size }
    }))
}

fn authorization(config: &ReporterConfig, headers: &HeaderMap) -> Result<Authorization, ConfigError> {
    const EXPECTED: &str = "the only credentials: set one of `exporter.basic-auth`, `exporter.bearer-token`, \
                            `exporter.bearer-token-file` and the header `authorization`";
    let basic = config.get(&BASIC_AUTH)?.map(|(user, password)| Authorization::Basic(user, password));
    let token = config.get(&BEARER_TOKEN)?.map(|token| Authorization::Bearer(token.trim().to_owned()));
    let file = config.get(&BEARER_TOKEN_FILE)?.map(|path| Authorization::BearerFile(path.into()));
    let mut taken = headers.contains_key(AUTHORIZATION);
    let mut found = Authorization::None;
    let given = [
        (basic, config.invalid(&BASIC_AUTH, EXPECTED)),
        (token, config.invalid(&BEARER_TOKEN, EXPECTED)),
        (file, config.invalid(&BEARER_TOKEN_FILE, EXPECTED)),
    ];
    for (authorization, error) in given {
        if let Some(authorization) = authorization {
            if std::mem::replace(&mut taken, true) {
                return Err(error);
            }
            found = authorization;
        }
    }
    Ok(found)
}

fn tls(config: &ReporterConfig) -> Result<TlsConfig, ConfigError> {
    let client = match (config.get(&CLIENT_CERTIFICATE)?, config.get(&CLIENT_KEY)?) {
        (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
        (None, None) => None,
        (Some(_), None) => return Err(config.invalid(&CLIENT_CERTIFICATE, "allowed without `exporter.client-key`")),
        (None, Some(_)) => return Err(config.invalid(&CLIENT_KEY, "allowed without `exporter.client-certificate`")),
    };
    Ok(TlsConfig { ca_certificates: config.get(&CA_CERTIFICATES)?.map(Into::into), client })
}

/// Returns the URL of requests.
fn signal_url(mut url: Url, protocol: Protocol, signal: Signal, verbatim: bool) -> Url {
    let (service, path) = match signal {
        Signal::Traces => ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", "/v1/traces"),
        Signal::Events => ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", "/v1/logs"),
    };
    match protocol {
        Protocol::Grpc => {
            url.set_path(service);
            url.set_query(None);
        }
        Protocol::Http | Protocol::HttpJson if url.path() == "/" && !verbatim => url.set_path(path),
        Protocol::Http | Protocol::HttpJson => {}
    }
    url.set_fragment(None);
    url
}

pub(super) fn headers(config: &ReporterConfig) -> Result<HeaderMap, ConfigError> {
    const EXPECTED: &str = "a map of HTTP headers: names of letters, digits and `-` that the protocol does not reserve, values of \
                            printable ASCII";
    let mut headers = HeaderMap::new();
    for (name, value) in config.get(&HEADERS)?.unwrap_or_default() {
        let (name, value) = header(&name, &value).ok_or_else(|| config.invalid(&HEADERS, EXPECTED))?;
        if headers.insert(name, value).is_some() {
            return Err(config.invalid(&HEADERS, "a map of HTTP headers: two names differ in case only"));
        }
    }
    Ok(headers)
}

/// Parses a header. Returns `None` if it is invalid or reserved.
pub(crate) fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::try_from(name.trim()).ok().filter(|name| !is_reserved(name.as_str()))?;
    let mut value = HeaderValue::try_from(value.trim()).ok().filter(|value| value.to_str().is_ok())?;
    value.set_sensitive(true);
    Some((name, value))
}

/// Returns `true` if the transports set the header themselves.
fn is_reserved(name: &str) -> bool {
    const RESERVED: &[&str] = &[
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    ];
    RESERVED.contains(&name) || name.starts_with("grpc-")
}
