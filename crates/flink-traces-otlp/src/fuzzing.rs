//! What `fuzz/` calls, which sees no other part of this crate: the spool's files and the meaning of answers. In no build but those of
//! cargo-fuzz and of this crate's own tests.

use std::path::Path;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tonic::{Code, Status};

use crate::answer::{Answer, Verdict};
use crate::delivery::{Outcome, Source};
use crate::encode::Chunk;
use crate::error::OpenError;
use crate::spool::Spool;

const LIMIT: u64 = 64 << 20;

/// Stores chunks, each a report.
///
/// # Panics
/// When the disk does not take them.
pub fn store(directory: &Path, chunks: &[Vec<u8>]) {
    let mut spool = open(directory);
    for chunk in chunks {
        let chunk = Chunk { message: chunk.clone().into(), records: 1, overtakes: u32::MAX, is_leaf: false };
        assert!(spool.append(&[chunk]).is_ok(), "not stored");
    }
}

/// What a start finds to send, in order; it stays.
///
/// # Panics
/// When it cannot start.
pub fn recover(directory: &Path) -> Vec<Vec<u8>> {
    let mut spool = open(directory);
    let mut found = Vec::new();
    while let Some((number, chunk)) = spool.next() {
        found.push((number, chunk.message.to_vec()));
    }
    for (number, _) in &found {
        spool.give_up(*number, Outcome::default());
    }
    found.into_iter().map(|(_, message)| message).collect()
}

fn open(directory: &Path) -> Spool {
    match Spool::open(directory, LIMIT) {
        Ok(spool) => spool,
        Err(OpenError::InUse(holder)) => panic!("used by {holder}"),
        Err(OpenError::Io(error)) => panic!("{error}"),
        Err(OpenError::Config(error)) => panic!("{error}"),
    }
}

/// What an answer leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// How many records a success did not take; `None` if it is none.
    pub rejected: Option<u64>,
    /// Whether what was sent is sent again, whole or in parts.
    pub is_sent_again: bool,
    /// How long the collector wants to be left alone.
    pub delay: Option<Duration>,
    /// What is said of it.
    pub reason: String,
}

impl From<Answer> for Decision {
    fn from(answer: Answer) -> Self {
        let (rejected, delay) = match answer.verdict {
            Verdict::Taken { rejected } => (Some(rejected), None),
            Verdict::Later { delay } => (None, delay),
            _ => (None, None),
        };
        let is_sent_again = !matches!(answer.verdict, Verdict::Taken { .. } | Verdict::Refused | Verdict::Lost);
        Self { rejected, is_sent_again, delay, reason: answer.reason }
    }
}

/// The message of a success.
pub fn of_success(body: &[u8], is_json: bool) -> Decision {
    if is_json { Answer::taken_json(body).into() } else { Answer::taken(body).into() }
}

/// A gRPC status other than OK.
pub fn of_grpc(code: u8, message: &str, details: &[u8]) -> Decision {
    Answer::of_grpc(&Status::with_details(Code::from_i32(code.into()), message, details.to_vec().into())).into()
}

/// An HTTP answer other than a success; `None` if there is no such status.
pub fn of_http(status: u16, headers: &[(&str, &[u8])], body: &[u8]) -> Option<Decision> {
    let status = StatusCode::from_u16(status).ok().filter(|status| !status.is_success())?;
    let named =
        |(name, value): &(&str, &[u8])| Some((HeaderName::try_from(*name).ok()?, HeaderValue::from_bytes(value).ok()?));
    let headers: HeaderMap = headers.iter().filter_map(named).collect();
    Some(Answer::of_http(status, &headers, body, SystemTime::UNIX_EPOCH).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_recovered() {
        let directory = tempfile::tempdir().unwrap();
        let chunks = [b"one".to_vec(), b"two".to_vec()];
        store(directory.path(), &chunks);
        assert_eq!(recover(directory.path()), chunks);
        assert_eq!(recover(directory.path()), chunks);
    }

    #[test]
    fn answers_lead_to_decisions() {
        let decision =
            |rejected, is_sent_again, delay: Option<u64>| (rejected, is_sent_again, delay.map(Duration::from_secs));
        for (found, expected) in [
            (of_success(b"", false), decision(Some(0), false, None)),
            (of_success(br#"{"partialSuccess":{"rejectedSpans":"3"}}"#, true), decision(Some(3), false, None)),
            (of_grpc(14, "away", b""), decision(None, true, None)),
            (of_grpc(12, "what?", b""), decision(None, false, None)),
            (of_http(503, &[("retry-after", b"7")], b"").unwrap(), decision(None, true, Some(7))),
            (of_http(404, &[], b"").unwrap(), decision(None, false, None)),
        ] {
            assert_eq!((found.rejected, found.is_sent_again, found.delay), expected, "{found:?}");
        }
        assert_eq!(of_http(204, &[], b""), None);
    }
}
