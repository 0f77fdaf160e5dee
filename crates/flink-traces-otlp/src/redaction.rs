//! The secrets of a configuration, which no text that leaves the crate shows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flink_traces_api::REDACTED;
use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::config::{Authorization, Target};

/// The shortest text that is masked. A shorter one would mask parts of words.
const SHORTEST: usize = 4;

/// Masks what is configured as a secret, also if a peer repeats it.
pub(crate) struct Redaction {
    secrets: Vec<String>,
}

impl Redaction {
    /// Collects the secrets of a target: header values, credentials, and those in its URLs.
    pub(crate) fn new(target: &Target) -> Self {
        let mut secrets = Vec::new();
        let headers = target.headers.values().filter_map(|value| value.to_str().ok());
        headers.for_each(|value| add_header(&mut secrets, value));
        match &target.authorization {
            Authorization::Basic(user, password) => add_basic(&mut secrets, user, password),
            Authorization::Bearer(token) => add(&mut secrets, token),
            Authorization::None | Authorization::BearerFile(_) => {}
        }
        for url in [Some(&target.url), target.proxy.as_ref()].into_iter().flatten() {
            add_url(&mut secrets, url);
        }
        Self { secrets }
    }

    /// Returns the text with all secrets masked. `token` is a secret that may change.
    pub(crate) fn apply(&self, text: &str, token: Option<&str>) -> String {
        let mut secrets: Vec<_> = self.secrets.iter().map(String::as_str).chain(token).collect();
        secrets.retain(|secret| secret.len() >= SHORTEST);
        // Longer secrets come first, since one may contain another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED))
    }
}

/// Adds a secret, and its single words.
fn add(secrets: &mut Vec<String>, secret: &str) {
    secrets.push(secret.to_owned());
    secrets.extend(secret.split_whitespace().map(str::to_owned));
}

/// Adds the value of a header, with the password of basic authentication.
fn add_header(secrets: &mut Vec<String>, value: &str) {
    add(secrets, value);
    let basic = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let decoded = basic.and_then(|(_, encoded)| STANDARD.decode(encoded.trim()).ok());
    let decoded = decoded.and_then(|decoded| String::from_utf8(decoded).ok());
    if let Some((user, password)) = decoded.as_deref().and_then(|decoded| decoded.split_once(':')) {
        add_basic(secrets, user, password);
    }
}

fn add_basic(secrets: &mut Vec<String>, user: &str, password: &str) {
    add(secrets, password);
    secrets.push(STANDARD.encode(format!("{user}:{password}")));
}

/// Adds the credentials and the query of a URL, as written and decoded.
fn add_url(secrets: &mut Vec<String>, url: &Url) {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    if let Some(password) = url.password() {
        secrets.push(password.to_owned());
        add_basic(secrets, &decoded(url.username()), &decoded(password));
    }
    if let Some(query) = url.query() {
        add(secrets, query);
        add(secrets, &decoded(query));
        for (_, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            add(secrets, value);
            add(secrets, &decoded(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use flink_traces_api::{ReporterConfig, Signal};

    use super::*;
    use crate::options::Options;

    #[test]
    fn repeated_secret_is_masked() {
        const ENDPOINT: &str = "http://h/v1/traces";
        let basic = format!("Basic {}", STANDARD.encode("me:canary pass"));
        let encoded = STANDARD.encode("me:canary pass");
        for (key, value, text, expected) in [
            ("exporter.headers.x-key", "Bearer canary-1", "got Bearer canary-1", "got ******"),
            // Single words of a secret are secrets, too.
            ("exporter.headers.x-key", "Bearer canary-1", "unknown canary-1, no Bearer", "unknown ******, no ******"),
            ("exporter.headers.x-key", "abc", "abc or abcd", "abc or abcd"),
            ("exporter.headers.authorization", basic.as_str(), "me with canary pass", "me with ******"),
            ("exporter.headers.authorization", &basic, &encoded, "******"),
            ("exporter.basic-auth", "me:canary-2", "canary-2", "******"),
            ("exporter.basic-auth", "me:canary pass", &encoded, "******"),
            ("exporter.bearer-token", "canary-3", "no canary-3x", "no ******x"),
            ("exporter.proxy", "http://me:canary-4@p", "canary-4", "******"),
            ("exporter.proxy", "http://me:can%41ry@p", "can%41ry canAry", "****** ******"),
            ("exporter.proxy", "http://me:canary%20pass@p", &encoded, "******"),
            (
                "exporter.endpoint",
                "http://h/?key=canary-5&a=1",
                "to https://h/?key=canary-5&a=1",
                "to https://h/?******",
            ),
            ("exporter.endpoint", "http://h/?key=canary-5", "the key canary-5", "the key ******"),
            ("exporter.endpoint", "http://h/?key=can%41ry", "can%41ry canAry", "****** ******"),
        ] {
            let mut options = vec![("exporter.protocol", "http"), (key, value)];
            if key != "exporter.endpoint" {
                options.push(("exporter.endpoint", ENDPOINT));
            }
            let config = ReporterConfig::from_pairs("r", options);
            let options = Options::read(&config, Signal::Traces).unwrap();
            assert_eq!(Redaction::new(&options.target).apply(text, None), expected, "{key}: {value}");
        }
    }

    #[test]
    fn longer_secret_is_masked_first() {
        let redaction = Redaction { secrets: vec!["canary".to_owned(), "canary-long".to_owned()] };
        assert_eq!(redaction.apply("canary-long canary token", Some("token")), "****** ****** ******");
    }
}
