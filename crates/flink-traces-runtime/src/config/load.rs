//! The loader of configuration files and arguments.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flink_traces_api::RawValue;

use super::collector::Collector;
use super::configuration::Configuration;
use super::problem::Problem;
use super::{legacy, yaml};

/// The file that Flink up to 1.20 prefers.
const LEGACY_FILE: &str = "flink-conf.yaml";
/// The YAML file that Flink reads since 1.19.
const STANDARD_FILE: &str = "config.yaml";
/// The maximum size of a file in bytes. Flink has the same limit for YAML, in characters.
const LARGEST_FILE: u64 = 3 << 20;

impl Configuration {
    /// Reads a configuration file and applies `key=value` arguments over it.
    ///
    /// If `path` is a directory, the file is the one that Flink would read there. Each argument
    /// comes with the name of its source, such as Flink's `-D`.
    ///
    /// Mirrors Flink's `GlobalConfiguration.loadConfiguration`, but reports all problems at once
    /// and keeps every value that could be read.
    pub fn load(path: Option<&Path>, arguments: &[(&str, String)]) -> (Self, Vec<Problem>) {
        let mut collector = Collector::default();
        if let Some(path) = path {
            collector.file(path);
        }
        for (index, (argument, property)) in arguments.iter().enumerate() {
            collector.source = (*argument).into();
            match property.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() => {
                    collector.set(key.trim(), RawValue::Text(value.to_owned()), 0, 0);
                }
                // The argument may contain a secret, so the message does not quote it.
                _ => collector.report(0, 0, Problem::error(format!("argument {} is not key=value", index + 1))),
            }
        }
        Self::from_collector(collector)
    }
}

impl Collector {
    fn file(&mut self, path: &Path) {
        let path = if path.is_dir() { self.file_in(path) } else { path.to_owned() };
        self.source = path.display().to_string().into();
        let is_legacy = path.file_name().is_some_and(|name| name == LEGACY_FILE);
        let text = match read(&path) {
            Ok(bytes) => self.text(bytes, is_legacy),
            Err(message) => return self.report(0, 0, Problem::error(message)),
        };
        match (text, is_legacy) {
            (Some(text), true) => legacy::parse(&text, self),
            (Some(text), false) => yaml::parse(&text, self),
            (None, _) => {}
        }
    }

    fn file_in(&mut self, directory: &Path) -> PathBuf {
        let (legacy, standard) = (directory.join(LEGACY_FILE), directory.join(STANDARD_FILE));
        if !legacy.exists() {
            return standard;
        }
        if standard.exists() {
            self.source = standard.display().to_string().into();
            let message =
                format!("ignored, because {LEGACY_FILE} exists; Flink 2.0 and later ignores {LEGACY_FILE} instead");
            self.report(0, 0, Problem::warning(message));
        }
        legacy
    }

    /// Decodes the file. Flink refuses YAML that is not UTF-8, and reads legacy files in the
    /// machine's encoding.
    fn text(&mut self, bytes: Vec<u8>, is_legacy: bool) -> Option<String> {
        let error = match String::from_utf8(bytes) {
            Ok(text) => return Some(text),
            Err(error) => error,
        };
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let problem = if is_legacy { Problem::warning } else { Problem::error };
        self.report(line, 1, problem("not UTF-8"));
        is_legacy.then(|| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    match file {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(size) if size as u64 > LARGEST_FILE => Err("larger than 3 MiB".to_owned()),
        Ok(_) => Ok(bytes),
    }
}
