//! Responses of a collector. Each one leads to a decision, and only a success accepts records.
#![no_main]

use flink_traces_otlp::fuzzing::{Decision, from_grpc_status, from_http, from_success};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, u8, bool, &str, Vec<(&str, &[u8])>, &[u8])| {
    let (status, code, is_json, message, headers, body) = input;
    let Decision { rejected, .. } = from_success(body, is_json);
    assert!(rejected.is_some(), "a success stays one with any body");
    let decision = from_grpc_status(code, message, body);
    assert_eq!(decision.rejected, None);
    assert_eq!(decision, from_grpc_status(code, message, body));
    if let Some(decision) = from_http(status, &headers, body) {
        assert_eq!(decision.rejected, None);
        let is_temporary = matches!(status, 401 | 403 | 429 | 502 | 503 | 504);
        assert_eq!(decision.is_retried, is_temporary || matches!(status, 400 | 413), "{status}");
        assert!(decision.delay.is_none() || matches!(status, 429 | 503), "{status}");
    }
});
