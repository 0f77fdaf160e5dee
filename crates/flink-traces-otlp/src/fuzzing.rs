//! Entry points for the fuzz targets: the files of the spool, and the meaning of responses.
//!
//! Only builds of cargo-fuzz and the tests of this crate contain this module.

use std::path::Path;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tonic::{Code, Status};

use crate::chunk::Chunk;
use crate::response::{Response, Verdict};
use crate::spool::Spool;

const LIMIT: u64 = 64 << 20;

/// Stores each chunk as a report of its own.
///
/// # Panics
///
/// Panics if the chunks cannot be written.
pub fn store(directory: &Path, chunks: &[Vec<u8>]) {
    let mut spool = open(directory);
    for chunk in chunks {
        assert!(spool.append(&[Chunk::stored(chunk.clone().into(), 1)]).is_ok(), "not stored");
    }
}

/// Opens the spool and returns its pending chunks in order. The chunks stay stored.
///
/// # Panics
///
/// Panics if the spool cannot be opened.
pub fn recover(directory: &Path) -> Vec<Vec<u8>> {
    let mut spool = open(directory);
    std::iter::from_fn(|| spool.next()).map(|(_, chunk)| chunk.message.to_vec()).collect()
}

fn open(directory: &Path) -> Spool {
    match Spool::open_first(directory, LIMIT) {
        Ok(spool) => spool,
        Err(error) => panic!("{error}"),
    }
}

/// The consequence of a response.
// Exhaustive: only the fuzz targets of this repository use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The number of records that a success rejected. `None` if the response is not a success.
    pub rejected: Option<u64>,
    /// Set if the chunk is sent again, whole or in sub-batches.
    pub is_retried: bool,
    /// The delay that the collector requested.
    pub delay: Option<Duration>,
    /// The text for logs.
    pub reason: String,
}

impl From<Response> for Decision {
    fn from(response: Response) -> Self {
        let (rejected, delay) = match response.verdict {
            Verdict::Accepted { rejected } => (Some(rejected), None),
            Verdict::Later { delay } => (None, delay),
            _ => (None, None),
        };
        let is_retried = !matches!(response.verdict, Verdict::Accepted { .. } | Verdict::Rejected | Verdict::Dropped);
        Self { rejected, is_retried, delay, reason: response.reason }
    }
}

/// Interprets the message of a success.
pub fn from_success(body: &[u8], is_json: bool) -> Decision {
    if is_json { Response::accepted_json(body).into() } else { Response::accepted(body).into() }
}

/// Interprets a gRPC status other than OK.
pub fn from_grpc_status(code: u8, message: &str, details: &[u8]) -> Decision {
    Response::from_grpc_status(&Status::with_details(Code::from_i32(code.into()), message, details.to_vec().into()))
        .into()
}

/// Interprets an HTTP response. Returns `None` for a success and for an invalid status code.
pub fn from_http(status: u16, headers: &[(&str, &[u8])], body: &[u8]) -> Option<Decision> {
    let status = StatusCode::from_u16(status).ok().filter(|status| !status.is_success())?;
    let named =
        |(name, value): &(&str, &[u8])| Some((HeaderName::try_from(*name).ok()?, HeaderValue::from_bytes(value).ok()?));
    let headers: HeaderMap = headers.iter().filter_map(named).collect();
    Some(Response::from_http(status, &headers, body, SystemTime::UNIX_EPOCH).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_chunks_are_recovered() {
        let directory = tempfile::tempdir().unwrap();
        let chunks = [b"one".to_vec(), b"two".to_vec()];
        store(directory.path(), &chunks);
        assert_eq!(recover(directory.path()), chunks);
        assert_eq!(recover(directory.path()), chunks);
    }

    #[test]
    fn responses_map_to_decisions() {
        let decision =
            |rejected, is_retried, delay: Option<u64>| (rejected, is_retried, delay.map(Duration::from_secs));
        for (found, expected) in [
            (from_success(b"", false), decision(Some(0), false, None)),
            (from_success(br#"{"partialSuccess":{"rejectedSpans":"3"}}"#, true), decision(Some(3), false, None)),
            (from_grpc_status(14, "away", b""), decision(None, true, None)),
            (from_grpc_status(12, "what?", b""), decision(None, true, None)),
            (from_grpc_status(2, "what?", b""), decision(None, false, None)),
            (from_http(503, &[("retry-after", b"7")], b"").unwrap(), decision(None, true, Some(7))),
            (from_http(404, &[], b"").unwrap(), decision(None, true, None)),
            (from_http(500, &[], b"").unwrap(), decision(None, false, None)),
        ] {
            assert_eq!((found.rejected, found.is_retried, found.delay), expected, "{found:?}");
        }
        assert_eq!(from_http(204, &[], b""), None);
    }
}
