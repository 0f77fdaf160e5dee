//! Requests over OTLP, as the history receives them.
//!
//! Every input is a request or an error. A request leaves a history that can be read, and its
//! records are counted. The first byte selects the signal and the encoding.
#![no_main]

use std::sync::{Mutex, OnceLock};

use flink_traces_api::{ReporterConfig, Signal};
use flink_traces_history::Receiver;
use flink_traces_otlp::ExportRequest;
use libfuzzer_sys::fuzz_target;

static RECEIVER: OnceLock<(Mutex<Receiver>, tempfile::TempDir)> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let Some((first, message)) = bytes.split_first() else { return };
    let (receiver, _) = RECEIVER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h").to_str().unwrap().to_owned();
        let config = ReporterConfig::from_pairs("h", [("path", path.as_str()), ("max-size", "16 mb")]);
        (Mutex::new(Receiver::new(&config, Some("prod".to_owned())).unwrap()), folder)
    });
    let signal = if first & 1 == 0 { Signal::Traces } else { Signal::Events };
    let message = match first & 2 {
        0 => message.to_vec(),
        _ => match ExportRequest::from_json(message) {
            Ok(request) => request.into_protobuf(),
            Err(_) => return,
        },
    };
    if let Ok(taken) = receiver.lock().unwrap().receive(signal, &message, 1_795_230_917_000) {
        assert_eq!(taken.received(), taken.stored + taken.expired + taken.refused());
    }
});
