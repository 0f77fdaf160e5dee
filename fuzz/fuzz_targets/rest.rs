//! Responses of a cluster. The first line is the path of the request, and the rest is the body.
//!
//! A parsed body survives a round trip.
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
    let Ok(response) = resource.parse_body(body) else { return };
    let written = serde_json::to_vec(&response).unwrap();
    let again =
        resource.parse_body(&written).unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&written)));
    assert_eq!(serde_json::to_string(&again).unwrap(), String::from_utf8_lossy(&written));
});
