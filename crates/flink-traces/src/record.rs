//! The command `record`.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufWriter};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use flink_rest::Resource;
use flink_traces_api::{Clock, REDACTED, SystemClock, is_sensitive};
use flink_traces_observer::JOB_MANAGER_OPTIONS;
use flink_traces_observer::recording::{Exchange, RecordingWriter};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::cli::{Exit, RecordArgs};
use crate::connection::Connection;
use crate::load::{InvalidConfiguration, Settings};
use crate::private;
use crate::seen::{Answered, Seen};
use crate::signals::Signals;
use crate::text::say;
use crate::watch::{Order, SharedLimits, Watcher};

/// The fields that are not recorded: the text of a job's program, which an observer does not need.
const OMITTED_FIELDS: &[&str] = &["plan", "stream-graph", "user-config"];

/// The maximum number of responses whose hash is kept for a comparison with the next one of the
/// same path.
const MAX_KEPT: usize = 10_000;

/// Records the responses of a cluster until a signal arrives or the time is over.
///
/// The recording is completed even if it ends early. Fails if the file exists, or if the cluster
/// never responded.
pub(crate) async fn record(arguments: &RecordArgs) -> anyhow::Result<Exit> {
    let flink = [arguments.flink.clone()];
    let (_, mut clusters) = Settings::load_with_clusters(&arguments.configuration, &flink, &[])?;
    let Some(cluster) = clusters.pop() else {
        return Err(InvalidConfiguration::no_cluster(false).into());
    };
    let connection = Arc::new(Connection::open(cluster)?);
    let interval = connection.cluster().poll_interval();
    let mut signals = Signals::listen()?;
    let file_name = arguments.output.display().to_string();
    let file = create(&arguments.output).with_context(|| file_name.clone())?;
    let mut recorder = Recorder { writer: RecordingWriter::new(BufWriter::new(file)), last: HashMap::new(), count: 0 };
    let version = env!("CARGO_PKG_VERSION");
    let meta = json!({ "recorder": format!("flink-traces {version}"), "interval_s": interval.as_secs_f64() });
    recorder.write("META", "", SystemClock.now_millis(), 0, 0, meta.to_string()).with_context(|| file_name.clone())?;

    let (orders, received) = watch::channel(Order::Watch(connection.clone()));
    let mut watcher = Watcher::new(connection, &SystemClock, SharedLimits::default());
    let mut failure = None;
    let watching = watcher.run(received, |seen| {
        let Seen::Response(answer, _) = seen else { return };
        if failure.is_none() {
            failure = recorder.add(answer).err();
        }
        if failure.is_some() {
            let _ = orders.send(Order::Stop);
        }
    });
    let timeout = async {
        match arguments.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = watching => {}
        () = timeout => {}
        _ = signals.next() => {}
    }
    let count = recorder.count;
    let finished = match failure {
        Some(error) => Err(error),
        None => recorder.finish(),
    };
    finished.with_context(|| file_name.clone())?;
    say(&format!("{} in {file_name}\n", crate::text::count(count as u64, "response")));
    anyhow::ensure!(count > 0, "the cluster did not respond");
    Ok(Exit::Done)
}

fn create(path: &Path) -> io::Result<File> {
    private::options().create_new(true).open(path)
}

struct Recorder {
    writer: RecordingWriter<BufWriter<File>>,
    /// The hash of the last response for each path. A response that equals it is not written.
    last: HashMap<String, u64>,
    /// The number of responses that were written, with any status.
    count: usize,
}

impl Recorder {
    fn add(&mut self, answer: &Answered) -> io::Result<()> {
        let (status, body) = match &answer.response {
            Ok(response) => (response.status, recorded(&answer.resource, &response.body)),
            Err(error) => (0, json!({ "$error": error.to_string() })),
        };
        let path = answer.resource.path();
        // Paths of old checkpoints would accumulate. A response that is forgotten may be written
        // twice.
        if self.last.len() >= MAX_KEPT {
            self.last.clear();
        }
        let body = body.to_string();
        let hash = hash(status, &body);
        if self.last.insert(path.clone(), hash) == Some(hash) {
            return Ok(());
        }
        self.count += usize::from(answer.response.is_ok());
        self.write("GET", &path, answer.asked_at, answer.answered_at - answer.asked_at, status, body)
    }

    fn finish(self) -> io::Result<()> {
        self.writer.finish()?.into_inner().map_err(|error| error.into_error())?.sync_all()
    }

    fn write(&mut self, method: &str, path: &str, t_ms: i64, dur_ms: i64, status: u16, body: String) -> io::Result<()> {
        let body = RawValue::from_string(body)?;
        let mut exchange = Exchange::new(t_ms, method, path, body);
        (exchange.dur_ms, exchange.status) = (dur_ms, status);
        self.writer.write(&exchange)
    }
}

fn hash(status: u16, body: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (status, body).hash(&mut hasher);
    hasher.finish()
}

/// Returns a body as it is recorded: without omitted fields, and with secrets masked.
fn recorded(resource: &Resource, body: &[u8]) -> Value {
    match serde_json::from_slice(body) {
        Ok(mut value) => {
            mask(&mut value);
            if let (Resource::JobManagerConfig(_), Value::Array(options)) = (resource, &mut value) {
                // Any other value may be a secret.
                options.retain(|option| JOB_MANAGER_OPTIONS.iter().any(|key| option["key"] == *key));
            }
            value
        }
        Err(_) => json!({ "$text": masked(&String::from_utf8_lossy(body)) }),
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !OMITTED_FIELDS.contains(&key.as_str()));
            for (key, value) in fields {
                match value {
                    Value::Null | Value::Bool(_) => {}
                    value if is_sensitive(key) => *value = REDACTED.into(),
                    value => mask(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::String(text) => *text = masked(text),
        _ => {}
    }
}

/// Returns the text with secrets masked.
///
/// Masked are the values of `name=value` and `name: value` if the name is sensitive, and the users
/// and passwords of addresses.
fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(separator) = rest.find(['=', ':']) {
        let (before, from) = rest.split_at(separator);
        let secret = if names_a_secret(before) { value(from) } else { userinfo(from) };
        // Without a secret, continue after the separator.
        let secret = secret.filter(|secret| !secret.is_empty());
        let (start, end) = secret.as_ref().map_or((1, 1), |secret| (secret.start, secret.end));
        masked.push_str(before);
        masked.push_str(&from[..start]);
        masked.push_str(if secret.is_some() { REDACTED } else { "" });
        rest = &from[end..];
    }
    masked.push_str(rest);
    masked
}

const QUOTES: [char; 2] = ['"', '\''];

/// Returns `true` if a text ends with the name of a secret. The name of a source file before a line
/// number is not one.
fn names_a_secret(text: &str) -> bool {
    let mut words = text.trim_end_matches(QUOTES).rsplit(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)));
    let name = words.next().unwrap_or_default();
    is_sensitive(name) && !name.ends_with(".java") && !name.ends_with(".scala")
}

/// Returns the range of the value in a text that begins with its separator.
///
/// A value is quoted text or a word. After the name of an authentication scheme, it is two words.
fn value(text: &str) -> Option<Range<usize>> {
    const ENDS: &[char] = &[' ', '\n', '\t', ',', ';', '&', '"', '\'', ')', '}', ']'];
    let start = text.len() - text.trim_start_matches([' ', ':', '=', '"', '\'']).len();
    let value = &text[start..];
    let quote = text[..start].chars().next_back().filter(|last| QUOTES.contains(last));
    let word = |text: &str| text.find(ENDS).unwrap_or(text.len());
    let first = word(value);
    let is_scheme = ["bearer", "basic", "digest"].iter().any(|scheme| value[..first].eq_ignore_ascii_case(scheme));
    let length = match quote {
        Some(quote) => value.find(quote).unwrap_or(value.len()),
        None if is_scheme && value[first..].starts_with(' ') => first + 1 + word(&value[first + 1..]),
        None => first,
    };
    Some(start..start + length)
}

/// Returns the range of the user and the password in a text that begins with the `://` of an
/// address.
fn userinfo(text: &str) -> Option<Range<usize>> {
    let authority = text.strip_prefix("://")?;
    let end = authority.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c)).unwrap_or(authority.len());
    authority[..end].rfind('@').map(|at| 3..3 + at)
}

#[cfg(test)]
mod tests {
    use flink_rest::{JobManagerConfig, JobsOverview};

    use super::*;

    #[test]
    fn text_secrets_are_masked() {
        let cases = [
            ("nothing to hide: at all", "nothing to hide: at all"),
            ("password=hunter2, user=bob", "password=******, user=bob"),
            ("s3.secret-key: hunter2\n\tat Class", "s3.secret-key: ******\n\tat Class"),
            ("{\"apiToken\": \"hunter2\"}", "{\"apiToken\": \"******\"}"),
            ("password='hun ter2', user=bob", "password='******', user=bob"),
            ("password='hunter2", "password='******"),
            ("jdbc:postgresql://bob:hunter2@db:5432/x?a=b", "jdbc:postgresql://******@db:5432/x?a=b"),
            ("http://host:80/?token=hunter2&a=b", "http://host:80/?token=******&a=b"),
            ("Authorization: Bearer hunter2 failed", "Authorization: ****** failed"),
            ("authorization=basic hunter2", "authorization=******"),
            ("password=", "password="),
            ("token==hunter2", "token==******"),
            ("at org.apache.flink.Token.run(Token.java:12)", "at org.apache.flink.Token.run(Token.java:12)"),
            ("é: ü=ö", "é: ü=ö"),
        ];
        for (text, expected) in cases {
            assert_eq!(masked(text), expected, "{text}");
        }
    }

    #[test]
    fn body_secrets_are_masked() {
        let body =
            br#"{"jobs":[{"name":"x","plan":{"sql":"SELECT"},"my-password":"hunter2","n":1}],"e":"secret=hunter2",
            "passwords":["hunter2"],"secret":{"a":"hunter2"},"token":42,"has-token":true,"cookie":null}"#;
        let expected = json!({"jobs":[{"name":"x","my-password":"******","n":1}],"e":"secret=******",
            "passwords":"******","secret":"******","token":"******","has-token":true,"cookie":null});
        let overview = Resource::from(JobsOverview);
        assert_eq!(recorded(&overview, body), expected);
        assert_eq!(recorded(&overview, b"<html>token=hunter2</html>"), json!({"$text":"<html>token=******"}));
        let options = br#"[{"key":"web.checkpoints.history","value":"20"},{"key":"my.setting","value":"hunter2"}]"#;
        let configuration = recorded(&Resource::from(JobManagerConfig), options);
        assert_eq!(configuration, json!([{"key":"web.checkpoints.history","value":"20"}]));
    }
}
