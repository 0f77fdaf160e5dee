//! Reloads of the configuration while the program runs.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use flink_traces_runtime::Configuration;
use flink_traces_runtime::config::Severity;

use crate::cli::ConfigurationArgs;
use crate::cluster::Cluster;
use crate::discovery::Source;
use crate::load::{InvalidConfiguration, OUR_PREFIXES, Settings};
use crate::reporters::Shorthand;

/// The keys, or the beginnings of keys, whose changes take effect without a restart.
const RELOADED: &[&str] = &[
    "flink-traces.clusters",
    "flink-traces.discovery.",
    "flink-traces.kubernetes.",
    "flink-traces.poll-interval",
    "flink-traces.rest.",
];

/// The parts of a configuration that a reload applies.
pub(crate) struct Reloaded {
    pub(crate) clusters: Vec<Cluster>,
    pub(crate) sources: Vec<Source>,
}

/// Loads the configuration again, from the same arguments.
pub(crate) struct Reloader {
    arguments: ConfigurationArgs,
    flink: Vec<String>,
    shorthands: Vec<Shorthand>,
    /// The configuration with which the program started.
    started_with: Configuration,
    watched: Watched,
}

impl Reloader {
    /// Creates a reloader. `watched` was created before the configuration was loaded, so that no
    /// change during the start is missed.
    pub(crate) fn new(
        arguments: &ConfigurationArgs,
        flink: &[String],
        shorthands: &[Shorthand],
        started_with: &Configuration,
        watched: Watched,
    ) -> Self {
        let started_with = started_with.clone();
        Self {
            arguments: arguments.clone(),
            flink: flink.to_vec(),
            shorthands: shorthands.to_vec(),
            started_with,
            watched,
        }
    }

    /// Returns `true` if the file has other content than at the last load, for two calls in a row.
    pub(crate) fn has_changed(&mut self) -> bool {
        self.watched.has_changed()
    }

    /// Loads the configuration. Options that cannot change now are logged.
    ///
    /// Returns `None`, after all problems were logged, if there is an error.
    pub(crate) fn load(&mut self) -> Option<Reloaded> {
        self.watched.note_load();
        match Settings::reload(&self.arguments, &self.flink, &self.shorthands) {
            Ok((settings, clusters)) => {
                let changed = changed_keys(&self.started_with, &settings.configuration);
                if !changed.is_empty() {
                    let options = changed.join(", ");
                    tracing::warn!(options, "changed options take effect after a restart");
                }
                Some(Reloaded { clusters, sources: settings.sources })
            }
            Err(InvalidConfiguration(problems)) => {
                for problem in problems {
                    match problem.severity {
                        Severity::Error => tracing::error!("{problem}"),
                        Severity::Warning => tracing::warn!("{problem}"),
                    }
                }
                tracing::error!("configuration not reloaded, the clusters stay as they are");
                None
            }
        }
    }
}

/// Returns the keys of this program whose values differ and need a restart.
fn changed_keys(before: &Configuration, after: &Configuration) -> Vec<String> {
    let is_relevant = |key: &str| {
        OUR_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
            && !RELOADED.iter().any(|known| key.starts_with(known))
    };
    let differs = |key: &&str| before.value(key).map(|value| &value.raw) != after.value(key).map(|value| &value.raw);
    let mut keys: Vec<_> =
        before.iter().chain(after.iter()).map(|(key, _)| key).filter(|key| is_relevant(key)).filter(differs).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().map(str::to_owned).collect()
}

/// A configuration file, or those of a directory.
pub(crate) struct Watched {
    paths: Vec<PathBuf>,
    /// The content at the last load.
    loaded: u64,
    /// The content at the last look.
    seen: u64,
}

impl Watched {
    pub(crate) fn new(path: Option<&Path>) -> Self {
        let paths = match path {
            None => Vec::new(),
            Some(path) if path.is_dir() => ["flink-conf.yaml", "config.yaml"].map(|name| path.join(name)).to_vec(),
            Some(path) => vec![path.to_owned()],
        };
        let mut watched = Self { paths, loaded: 0, seen: 0 };
        watched.note_load();
        watched
    }

    /// Returns a hash of what the files contain.
    fn content(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for path in &self.paths {
            std::fs::read(path).ok().hash(&mut hasher);
        }
        hasher.finish()
    }

    fn note_load(&mut self) {
        self.loaded = self.content();
        self.seen = self.loaded;
    }

    fn has_changed(&mut self) -> bool {
        let content = self.content();
        // A file that is just being written has yet another content the next time.
        let is_stable = std::mem::replace(&mut self.seen, content) == content;
        is_stable && content != self.loaded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_has_changed_when_its_content_is_stable() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("config.yaml");
        std::fs::write(&path, "a: 1").unwrap();
        let mut watched = Watched::new(Some(place.path()));
        assert!(!watched.has_changed());
        std::fs::write(&path, "a: ").unwrap();
        assert!(!watched.has_changed());
        std::fs::write(&path, "a: 2").unwrap();
        assert!(!watched.has_changed());
        assert!(watched.has_changed());
        watched.note_load();
        assert!(!watched.has_changed());
        std::fs::remove_file(&path).unwrap();
        assert!(!watched.has_changed());
        assert!(watched.has_changed());
    }

    #[test]
    fn change_during_the_start_is_seen() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("config.yaml");
        std::fs::write(&path, "flink-traces.poll-interval: 1 s").unwrap();
        let arguments = ConfigurationArgs { conf: Some(path.clone()), ..ConfigurationArgs::default() };
        let watched = Watched::new(Some(&path));
        let (settings, _) = Settings::load_with_clusters(&arguments, &[], &[]).unwrap();
        std::fs::write(&path, "flink-traces.poll-interval: 2 s").unwrap();
        let mut reloader = Reloader::new(&arguments, &[], &[], &settings.configuration, watched);
        assert!(!reloader.has_changed());
        assert!(reloader.has_changed());
    }

    #[test]
    fn keys_of_clusters_need_no_restart() {
        let before = Configuration::from_pairs([
            ("flink-traces.clusters.a", "http://a"),
            ("flink-traces.shutdown-timeout", "1 s"),
            ("taskmanager.numberOfTaskSlots", "1"),
            ("traces.reporter.a.factory.class", "x"),
        ]);
        let after = Configuration::from_pairs([
            ("flink-traces.clusters.b", "http://b"),
            ("flink-traces.discovery.dns", "http://c"),
            ("flink-traces.poll-interval", "2 s"),
            ("flink-traces.rest.timeout", "2 s"),
            ("flink-traces.shutdown-timeout", "2 s"),
            ("taskmanager.numberOfTaskSlots", "2"),
            ("traces.reporter.b.factory.class", "x"),
        ]);
        let keys =
            ["flink-traces.shutdown-timeout", "traces.reporter.a.factory.class", "traces.reporter.b.factory.class"];
        assert_eq!(changed_keys(&before, &after), keys);
        assert_eq!(changed_keys(&after, &after), [""; 0]);
    }
}
