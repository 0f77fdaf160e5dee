//! Reading of bodies, without the parts that the observer does not need.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use flink_rest::{BodyError, Resource, ResourceBody, decode_with};
use serde::Deserialize;
use serde::de::value::{CowStrDeserializer, MapAccessDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

/// The field with the statistics over all subtasks or checkpoints. It is a large part of such a
/// body, and the observer counts itself.
const SUMMARY: &str = "summary";

/// Reads the body of a response with status 200, as `Resource::parse_body_with` does. The body of
/// checkpoints or of a checkpoint's subtasks gets no summary.
pub(super) fn read(resource: &Resource, body: &[u8], skipped: &mut Vec<BodyError>) -> Result<ResourceBody, BodyError> {
    match resource {
        Resource::Checkpoints(_) => {
            decode_with(body, skipped).map(|WithoutSummary(body)| ResourceBody::Checkpoints(body))
        }
        Resource::CheckpointSubtasks(_) => {
            decode_with(body, skipped).map(|WithoutSummary(body)| ResourceBody::CheckpointSubtasks(body))
        }
        _ => resource.parse_body_with(body, skipped),
    }
}

/// A value that is read from a map as if the map had no [`SUMMARY`].
struct WithoutSummary<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for WithoutSummary<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapVisitor(PhantomData)).map(Self)
    }
}

struct MapVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MapVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(OtherEntries(map)))
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The entries of a map but for the [`SUMMARY`].
struct OtherEntries<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for OtherEntries<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(Key(key)) = self.0.next_key()? {
            if key != SUMMARY {
                return seed.deserialize(CowStrDeserializer::new(key)).map(Some);
            }
            self.0.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKPOINTS: &str = "/jobs/a/checkpoints";
    const SUBTASKS: &str = "/jobs/a/checkpoints/details/1/subtasks/b";

    #[test]
    fn summary_is_not_read() {
        for (path, whole, without) in [
            (
                CHECKPOINTS,
                r#"{"counts":{"restored":0,"total":1,"in_progress":0,"completed":1,"failed":0},
                    "summary":"not read","latest":null,
                    "history":[{"id":1,"status":"COMPLETED","trigger_timestamp":5,"summary":6}],"new":7}"#,
                r#"{"counts":{"restored":0,"total":1,"in_progress":0,"completed":1,"failed":0},"latest":null,
                    "history":[{"id":1,"status":"COMPLETED","trigger_timestamp":5,"summary":6}],"new":7}"#,
            ),
            (
                SUBTASKS,
                r#"{"id":1,"status":"COMPLETED","subtasks":[{"index":0,"status":"completed"}],"new":7,"s\u0075mmary":[8]}"#,
                r#"{"id":1,"status":"COMPLETED","subtasks":[{"index":0,"status":"completed"}],"new":7}"#,
            ),
        ] {
            let resource = Resource::parse(path).unwrap();
            let body = read(&resource, whole.as_bytes(), &mut Vec::new()).unwrap();
            assert_eq!(body, resource.parse_body(without.as_bytes()).unwrap(), "{path}");
        }
    }

    #[test]
    fn errors_name_the_place_in_the_body() {
        let mut skipped = Vec::new();
        let resource = Resource::parse(SUBTASKS).unwrap();
        let body = br#"{"id":1,"status":"COMPLETED","summary":{},"subtasks":[{"index":0,"status":"completed"},null]}"#;
        read(&resource, body, &mut skipped).unwrap();
        assert!(skipped[0].to_string().contains("at subtasks[1]"), "{skipped:?}");
        let error = read(&resource, br#"{"summary":{},"id":"x"}"#, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("at id, line 1"), "{error}");
        let error = read(&resource, b"[]", &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("expected a map"), "{error}");
    }
}
