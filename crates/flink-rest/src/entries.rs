//! Decoding of bodies with lists of which some entries cannot be decoded.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment, Track};

use crate::body::{BodyError, decode_whole, first, replace_invalid_unicode};
use crate::text::{MAX_TEXT_CHARS, escaped};

/// The maximum number of bytes that are decoded again because of skipped entries.
///
/// A body is decoded once more for each of them.
const MAX_REPEATED_BYTES: usize = 64 << 20;
/// The number of characters shown of a skipped entry.
const MAX_EXCERPT_CHARS: usize = 120;

/// Decodes a JSON body.
///
/// Anything that is not Unicode, such as half a surrogate pair in the name of a job, becomes
/// U+FFFD. Entries of lists that cannot be decoded are skipped. [`decode_with`] returns their
/// errors.
///
/// # Errors
///
/// Returns an error if the body is not JSON or is not a `T`, as [`decode_with`] does.
///
/// # Examples
///
/// ```
/// use flink_rest::types::MultipleJobsDetails;
///
/// let body = br#"{"jobs":[{"jid":"abc","start-time":1,"state":"RUNNING"}]}"#;
/// let overview: MultipleJobsDetails = flink_rest::decode(body)?;
/// assert_eq!(overview.jobs[0].jid.as_str(), "abc");
/// # Ok::<(), flink_rest::BodyError>(())
/// ```
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    decode_with(body, &mut Vec::new())
}

/// Decodes a JSON body like [`decode`](crate::decode), and adds an error to `skipped` for each
/// skipped entry.
///
/// # Errors
///
/// Returns an error if the body is not JSON, is not a `T` even without the entries of its lists, or
/// consists of nothing but skipped entries.
///
/// # Examples
///
/// ```
/// use flink_rest::types::MultipleJobsDetails;
///
/// let body = br#"{"jobs":[null,{"jid":"abc","start-time":1,"state":"RUNNING"}]}"#;
/// let mut skipped = Vec::new();
/// let overview: MultipleJobsDetails = flink_rest::decode_with(body, &mut skipped)?;
/// assert_eq!((overview.jobs.len(), skipped.len()), (1, 1));
/// assert!(skipped[0].to_string().contains("at jobs[0]"));
/// # Ok::<(), flink_rest::BodyError>(())
/// ```
pub fn decode_with<T: DeserializeOwned>(body: &[u8], skipped: &mut Vec<BodyError>) -> Result<T, BodyError> {
    decode_whole(body).or_else(|error| {
        let repaired = replace_invalid_unicode(body);
        let mut found = Vec::new();
        let value = without_unreadable(repaired.as_deref().unwrap_or(body), &mut found).ok_or(error)?;
        skipped.append(&mut found);
        Ok(value)
    })
}

/// Decodes a body without the entries that are in the way; returns `None` if that does not help.
fn without_unreadable<T: DeserializeOwned>(body: &[u8], skipped: &mut Vec<BodyError>) -> Option<T> {
    let mut tree: Value = serde_json::from_slice(body).ok()?;
    // The number of skipped entries of each list.
    let mut shifts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..=MAX_REPEATED_BYTES / body.len().max(1) {
        let mut track = Track::new();
        let problem = match T::deserialize(serde_path_to_error::Deserializer::new(&tree, &mut track)) {
            Ok(value) => return (!is_hollow(&tree)).then_some(value),
            Err(error) => error.to_string(),
        };
        let path = track.path();
        let (pointer, index) = innermost_entry(&path)?;
        let list = tree.pointer_mut(&pointer)?.as_array_mut()?;
        let entry = (index < list.len()).then(|| list.remove(index))?;
        let shift = shifts.get(&pointer).copied().unwrap_or_default();
        // The next entry has taken the place of this one, and so have its lists.
        let below = format!("{pointer}/{index}/");
        shifts.retain(|known, _| !known.starts_with(&below));
        shifts.insert(pointer, shift + 1);
        let entry = entry.to_string();
        skipped.push(BodyError::Skipped {
            path: escaped(&shown(&path, shift), MAX_TEXT_CHARS),
            problem: escaped(&problem, MAX_TEXT_CHARS),
            excerpt: escaped(
                &String::from_utf8_lossy(first(entry.as_bytes(), MAX_EXCERPT_CHARS * 4)),
                MAX_EXCERPT_CHARS,
            ),
        });
    }
    None
}

/// Returns the JSON pointer of the innermost list on a path, and the index in it.
fn innermost_entry(path: &Path) -> Option<(String, usize)> {
    let mut pointer = String::new();
    let mut innermost = None;
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => {
                innermost = Some((pointer.clone(), *index));
                pointer.push_str(&format!("/{index}"));
            }
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Enum { .. } | Segment::Unknown => break,
        }
    }
    innermost
}

/// Returns a path as text, with `shift` added to its innermost index.
fn shown(path: &Path, shift: usize) -> String {
    let innermost = path.iter().filter(|segment| matches!(segment, Segment::Seq { .. })).count();
    let mut seen = 0;
    let mut text = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => {
                seen += 1;
                text.push_str(&format!("[{}]", index + if seen == innermost { shift } else { 0 }));
            }
            segment => {
                let dot = if text.is_empty() { "" } else { "." };
                text.push_str(&format!("{dot}{segment}"));
            }
        }
    }
    text
}

/// Returns `true` if a value holds nothing but empty lists.
///
/// Such a body may be that of another program. It must not pass for a cluster without jobs.
fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Array(entries) => entries.is_empty(),
        Value::Object(fields) => fields.values().all(is_hollow),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{JobExceptionsInfoWithHistory, MetricCollectionResponseBody, MultipleJobsDetails};

    #[test]
    fn unreadable_entry_is_skipped_and_named() {
        let job = |id: &str| format!(r#"{{"jid":"{id}","start-time":1,"state":"RUNNING"}}"#);
        let (a, b) = (job("a"), job("b"));
        let null = "invalid type: null, expected struct JobDetails at jobs";
        for (jobs, expected, problems) in [
            (format!("null,{a}"), "a", vec![format!("{null}[0], entry skipped: null")]),
            (
                format!("null,{a},null,7,{b}"),
                "a b",
                vec![
                    format!("{null}[0], entry skipped: null"),
                    format!("{null}[2], entry skipped: null"),
                    "invalid type: integer `7`, expected struct JobDetails at jobs[3], entry skipped: 7".to_owned(),
                ],
            ),
            (
                format!(r#"{a},{{"jid":"c","state":"RUNNING"}}"#),
                "a",
                vec![
                    "missing field `start-time` at jobs[1], entry skipped: {\"jid\":\"c\",\"state\":\"RUNNING\"}"
                        .to_owned(),
                ],
            ),
            (
                format!(r#"{{"jid":"c","start-time":null,"state":"RUNNING","name":"\ud800"}},{a}"#),
                "a",
                vec![
                    "invalid type: null, expected a number at jobs[0].start-time, entry skipped: \
                     {\"jid\":\"c\",\"name\":\"\u{fffd}\",\"start-time\":null,\"state\":\"RUNNING\"}"
                        .to_owned(),
                ],
            ),
        ] {
            let mut skipped = Vec::new();
            let overview: MultipleJobsDetails =
                decode_with(format!(r#"{{"jobs":[{jobs}]}}"#).as_bytes(), &mut skipped).unwrap();
            let ids: Vec<_> = overview.jobs.iter().map(|job| job.jid.as_str()).collect();
            assert_eq!(ids.join(" "), expected);
            assert_eq!(skipped.iter().map(ToString::to_string).collect::<Vec<_>>(), problems);
        }
    }

    #[test]
    fn innermost_unreadable_entry_is_skipped() {
        let body = br#"{"exceptionHistory":{"truncated":false,"entries":[
            {"timestamp":1,"concurrentExceptions":[null,{"timestamp":2},{}]},
            null,
            {"timestamp":3,"concurrentExceptions":[null]}]}}"#;
        let mut skipped = Vec::new();
        let decoded: JobExceptionsInfoWithHistory = decode_with(body, &mut skipped).unwrap();
        let entries = decoded.exception_history.unwrap().entries;
        let concurrent: Vec<_> =
            entries.iter().map(|entry| entry.concurrent_exceptions.as_ref().map_or(0, Vec::len)).collect();
        assert_eq!(concurrent, [1, 0]);
        let places: Vec<_> = skipped
            .iter()
            .map(|error| match error {
                BodyError::Skipped { path, .. } => path.as_str(),
                error => panic!("{error}"),
            })
            .collect();
        let entries = "exceptionHistory.entries";
        assert_eq!(
            places,
            [
                format!("{entries}[0].concurrentExceptions[0]"),
                format!("{entries}[0].concurrentExceptions[2]"),
                format!("{entries}[1]"),
                // The index in an outer list is that among its readable entries.
                format!("{entries}[1].concurrentExceptions[0]"),
            ]
        );
    }

    #[test]
    fn body_of_nothing_but_skipped_entries_is_an_error() {
        let mut skipped = Vec::new();
        let decode = |body: &[u8], skipped: &mut _| decode_with::<MultipleJobsDetails>(body, skipped).is_ok();
        assert!(!decode(br#"{"jobs":[{"id":7},null]}"#, &mut skipped));
        assert!(!decode(br#"{"jobs":null}"#, &mut skipped));
        assert!(!decode(br#"{"jobs":[null"#, &mut skipped));
        assert!(decode(br#"{"jobs":[]}"#, &mut skipped));
        decode_with::<MetricCollectionResponseBody>(b"[null]", &mut skipped).unwrap_err();
        assert_eq!(skipped, []);
    }

    #[test]
    fn work_for_skipped_entries_is_bounded() {
        let entry = r#"{"jid":"a","start-time":1,"state":"RUNNING"},"#;
        let body = format!(r#"{{"jobs":[{}{}null]}}"#, "null,".repeat(2_000_000), entry);
        let mut skipped = Vec::new();
        decode_with::<MultipleJobsDetails>(body.as_bytes(), &mut skipped).unwrap_err();
        assert_eq!(skipped, []);
    }
}
