//! The command `record`.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::BufWriter;
use std::sync::Arc;

use anyhow::Context;
use flink_traces_api::{Clock, REDACTED, SystemClock, is_sensitive};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::cli::RecordArgs;
use crate::recording::{Exchange, RecordingWriter};
use crate::run::wait_for_signal;
use crate::settings::Settings;
use crate::text::say;
use crate::watch::{Answered, Watcher};

/// What of an answer is not recorded: the text of a job's program, which no observer needs.
const LEFT_OUT: &[&str] = &["plan", "stream-graph", "user-config"];

/// Records what a cluster answers, until the program is told to stop or the time is over.
///
/// # Errors
/// When the configuration is wrong, or the file exists or cannot be written.
pub async fn record(arguments: &RecordArgs) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.configuration, &[])?;
    let client = settings.client(&arguments.flink)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&arguments.output).with_context(|| arguments.output.display().to_string())?;
    let mut recorder = Recorder { writer: RecordingWriter::new(BufWriter::new(file)), last: HashMap::new(), count: 0 };
    let version = env!("CARGO_PKG_VERSION");
    let meta =
        json!({ "recorder": format!("flink-traces {version}"), "interval_s": settings.poll_interval.as_secs_f64() });
    recorder.write("META", "", SystemClock.now_millis(), 0, 0, &meta)?;

    let (stop, stopped) = watch::channel(false);
    let mut watcher = Watcher::new(client, "recorded", settings.poll_interval, Arc::new(SystemClock));
    let mut failure = None;
    let watching = watcher.run(stopped, |answer, _| {
        if failure.is_none() {
            failure = recorder.add(answer).err();
        }
        if failure.is_some() {
            let _ = stop.send(true);
        }
    });
    let over = async {
        match arguments.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = watching => {}
        () = over => {}
        signal = wait_for_signal() => signal?,
    }
    if let Some(error) = failure {
        return Err(error).with_context(|| arguments.output.display().to_string());
    }
    let count = recorder.count;
    recorder.writer.finish()?.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    say(&format!("{count} answers in {}\n", arguments.output.display()));
    Ok(())
}

struct Recorder<W: std::io::Write> {
    writer: RecordingWriter<W>,
    /// The last answer for each path: what does not change is not written again.
    last: HashMap<String, (u16, Value)>,
    count: usize,
}

impl<W: std::io::Write> Recorder<W> {
    fn add(&mut self, answer: &Answered) -> std::io::Result<()> {
        let (status, body) = match &answer.response {
            Ok(response) => (response.status, recorded(&response.body)),
            Err(error) => (0, json!({ "$error": error.to_string() })),
        };
        let path = answer.resource.path();
        let duration = answer.answered_at - answer.asked_at;
        let known = self.last.insert(path.clone(), (status, body.clone()));
        if known.is_some_and(|known| known == (status, body.clone())) {
            return Ok(());
        }
        self.write("GET", &path, answer.asked_at, duration, status, &body)
    }

    fn write(
        &mut self,
        method: &str,
        path: &str,
        t_ms: i64,
        dur_ms: i64,
        status: u16,
        body: &Value,
    ) -> std::io::Result<()> {
        self.count += usize::from(method == "GET");
        let body = RawValue::from_string(body.to_string())?;
        self.writer.write(&Exchange {
            t_ms,
            dur_ms,
            method: method.into(),
            path: path.into(),
            status,
            request: None,
            body,
        })
    }
}

/// A body as it is recorded: without what is nobody's business.
fn recorded(body: &[u8]) -> Value {
    match serde_json::from_slice(body) {
        Ok(mut value) => {
            mask(&mut value);
            value
        }
        Err(_) => json!({ "$text": masked(&String::from_utf8_lossy(body)) }),
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !LEFT_OUT.contains(&key.as_str()));
            for (key, value) in fields {
                match value {
                    Value::String(text) if is_sensitive(key) => REDACTED.clone_into(text),
                    value => mask(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::String(text) => *text = masked(text),
        _ => {}
    }
}

/// The text with `name=value` and `name: value` masked where the name is sensitive, and with users and passwords of addresses.
fn masked(text: &str) -> String {
    const ENDS: &[char] = &[' ', '\n', '\t', ',', ';', '&', '"', '\'', ')', '}', ']'];
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(separator) = rest.find(['=', ':']) {
        let (before, from) = rest.split_at(separator);
        let name = before.rsplit(|c: char| !(c.is_alphanumeric() || "-_.".contains(c))).next().unwrap_or_default();
        let gap = from[1..].len() - from[1..].trim_start_matches([' ', ':', '=', '"', '\'']).len();
        let value = &from[1 + gap..];
        let end = value.find(ENDS).unwrap_or(value.len());
        let (kept, replaced, after) = if is_sensitive(name) && end > 0 {
            (&rest[..separator + 1 + gap], true, &value[end..])
        } else if let Some(at) = userinfo_end(from) {
            (&rest[..separator + 3], true, &from[at..])
        } else {
            (&rest[..=separator], false, &from[1..])
        };
        masked.push_str(kept);
        if replaced {
            masked.push_str(REDACTED);
        }
        rest = after;
    }
    masked.push_str(rest);
    masked
}

/// Where, in a text that begins at an address's `://`, its user and password end.
fn userinfo_end(text: &str) -> Option<usize> {
    let authority = text.strip_prefix("://")?;
    let end = authority.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c)).unwrap_or(authority.len());
    authority[..end].rfind('@').map(|at| at + "://".len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_in_text() {
        let cases = [
            ("nothing to hide: at all", "nothing to hide: at all"),
            ("password=hunter2, user=bob", "password=******, user=bob"),
            ("s3.secret-key: hunter2\n\tat Class", "s3.secret-key: ******\n\tat Class"),
            ("{\"apiToken\": \"hunter2\"}", "{\"apiToken\": \"******\"}"),
            ("jdbc:postgresql://bob:hunter2@db:5432/x?a=b", "jdbc:postgresql://******@db:5432/x?a=b"),
            ("password=", "password="),
            ("token==hunter2", "token==******"),
            ("at org.apache.flink.Token.run(Token.java:12)", "at org.apache.flink.Token.run(Token.java:12)"),
        ];
        for (text, expected) in cases {
            assert_eq!(masked(text), expected, "{text}");
        }
    }

    #[test]
    fn secrets_are_masked_in_bodies() {
        let body =
            br#"{"jobs":[{"name":"x","plan":{"sql":"SELECT"},"my-password":"hunter2","n":1}],"e":"secret=hunter2"}"#;
        let expected = json!({"jobs":[{"name":"x","my-password":"******","n":1}],"e":"secret=******"});
        assert_eq!(recorded(body), expected);
        assert_eq!(recorded(b"<html>token=hunter2</html>"), json!({"$text":"<html>token=******"}));
    }
}
