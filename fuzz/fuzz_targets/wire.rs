//! Records as the Java side of the plugin passes them on.
//!
//! Every input is a record or an error. A record can be built, walked and freed, and its memory
//! follows from its size. An incomplete record is an error.
#![no_main]

use std::sync::Arc;

use flink_traces_api::{ReportContext, ReportedSpan, SystemClock};
use flink_traces_plugin::wire::{Record, decode, texts, title};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = (title(bytes), texts(bytes));
    match decode(bytes, "cluster", 1) {
        Ok(Record::Span(span)) => {
            assert!(title(bytes).is_some());
            assert!(decode(&bytes[..bytes.len() - 1], "cluster", 1).is_err());
            let span = ReportedSpan::new(Arc::new(span.build(&SystemClock)), Arc::new(ReportContext::default()));
            assert_eq!(span.spans().count(), span.span_count());
            assert!(span.memory_bytes() <= 1_024 + 200 * bytes.len());
        }
        Ok(Record::Event(event)) => drop(event.build(&SystemClock)),
        Err(malformed) => assert!(malformed.position <= bytes.len()),
    }
});
