//! What a cluster answers: the first line is the path that was asked, the rest the body. A body that is read is written back, and read as the same
//! again.
#![no_main]

use flink_rest::{Resource, StatusError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (path, body) = (String::from_utf8_lossy(&bytes[..end]), &bytes[bytes.len().min(end + 1)..]);
    for status in [200, 404, 500, 503] {
        if let Some(error) = StatusError::of(status, body) {
            let _ = (error.to_string(), error.is_not_found(), error.is_temporary());
        }
    }
    let Some(resource) = Resource::parse(&path) else { return };
    assert_eq!(Resource::parse(&resource.path()).as_ref(), Some(&resource));
    let Ok(answer) = resource.parse_body(body) else { return };
    let written = serde_json::to_vec(&answer).unwrap();
    let again =
        resource.parse_body(&written).unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&written)));
    assert_eq!(serde_json::to_string(&again).unwrap(), String::from_utf8_lossy(&written));
});
