//! Configuration files in both formats.
//!
//! Every file is read to its end. Each problem is one line without secrets.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use flink_traces_api::Registry;
use flink_traces_runtime::config::{SPAN_DETAIL_LEVEL, unknown_keys};
use flink_traces_runtime::{Configuration, discover};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry::new();
    flink_traces_log::register(&mut registry).unwrap();
    flink_traces_otlp::register(&mut registry).unwrap();
    registry
});

fuzz_target!(|bytes: &[u8]| {
    for name in ["config.yaml", "flink-conf.yaml"] {
        let path = DIRECTORY.path().join(name);
        fs::write(&path, bytes).unwrap();
        let (configuration, mut problems) = Configuration::load(Some(&path), &[]);
        let lines = 1 + bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
        for (key, value) in configuration.iter() {
            assert!(!key.is_empty() && value.origin.line <= lines, "{key:?} at {:?}", value.origin);
            let secret = value.secret && value.raw.to_string().len() > 8;
            assert!(!secret || !value.redacted().contains(&value.raw.to_string()), "{key:?} is shown");
        }
        let _ = configuration.get(&SPAN_DETAIL_LEVEL);
        problems.extend(discover(&configuration, &REGISTRY).1);
        problems.extend(unknown_keys(&configuration, &REGISTRY, &[]));
        for problem in problems {
            let text = problem.to_string();
            assert!(!text.contains(['\n', '\r', '\u{1b}']), "{text:?}");
        }
    }
});
