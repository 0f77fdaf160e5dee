//! Clusters in the files of a directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use super::{Discovery, Found, Results};
use crate::cluster::{Cluster, ClusterOptions};
use crate::clusters::of_file;

/// The maximum size of a file, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// A directory with a file for each cluster.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Directory {
    /// The path.
    pub(crate) path: PathBuf,
    /// The pause between two looks.
    pub(crate) interval: Duration,
    /// The options that a file does not set.
    pub(crate) defaults: ClusterOptions,
}

/// The files that were read, by the names of their clusters.
type Files = BTreeMap<String, File>;

/// A file as it was read last.
struct File {
    content: Vec<u8>,
    /// The cluster of its last valid content.
    cluster: Option<Cluster>,
}

impl Discovery for Directory {
    fn run(self: Box<Self>, results: Results) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let mut files = Files::new();
            loop {
                let directory = self.clone();
                let looked = tokio::task::spawn_blocking(move || {
                    let found = directory.look(&mut files);
                    (files, found)
                });
                // A look neither panics nor is canceled.
                let Ok((seen, found)) = looked.await else { return };
                files = seen;
                results
                    .send(match found {
                        Ok(clusters) => Found { clusters: Some(clusters), ..Found::default() },
                        Err(problem) => Found { problem: Some(problem), ..Found::default() },
                    })
                    .await;
                tokio::time::sleep(self.interval).await;
            }
        })
    }
}

impl Directory {
    /// Reads the files that have changed.
    fn look(&self, files: &mut Files) -> Result<Vec<Cluster>, String> {
        let cannot = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        let entries = std::fs::read_dir(&self.path).map_err(|error| cannot(&self.path, error))?;
        let mut present = Files::new();
        for entry in entries {
            let path = entry.map_err(|error| cannot(&self.path, error))?.path();
            let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            // Editors and Kubernetes have hidden files beside the visible ones.
            if !is_yaml || name.starts_with('.') {
                continue;
            }
            let known = files.remove(name);
            let content = read(&path);
            let file = match (known, content) {
                (Some(known), Some(content)) if known.content == content => known,
                // A file that cannot be read just now keeps its cluster.
                (Some(known), None) => known,
                (known, content) => {
                    let (cluster, problems) = of_file(&path, name, &self.defaults);
                    for problem in problems {
                        tracing::warn!("{problem}");
                    }
                    let cluster = cluster.or_else(|| known.and_then(|known| known.cluster));
                    File { content: content.unwrap_or_default(), cluster }
                }
            };
            present.insert(name.to_owned(), file);
        }
        *files = present;
        Ok(files.values().filter_map(|file| file.cluster.clone()).collect())
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut content = Vec::new();
    std::fs::File::open(path).ok()?.take(LARGEST_FILE).read_to_end(&mut content).ok()?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use flink_traces_runtime::Configuration;

    use super::*;

    #[test]
    fn file_is_a_cluster_and_a_broken_one_keeps_it() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| std::fs::write(place.path().join(name), content).unwrap();
        let defaults = ClusterOptions::read(&Configuration::default(), &mut Vec::new());
        let directory =
            Directory { path: place.path().to_owned(), interval: Duration::from_secs(1), defaults: defaults.clone() };
        let mut files = Files::new();
        let mut look = || -> Vec<(String, Vec<String>)> {
            let found = directory.look(&mut files).unwrap();
            found.into_iter().map(|cluster| (cluster.name, cluster.urls)).collect()
        };
        let cluster = |name: &str, url: &str| (name.to_owned(), vec![url.to_owned()]);
        assert_eq!(look(), []);

        write("prod.eu.yaml", "url: http://a:8081\npoll-interval: 5 s\nresource-attributes:\n  team: a\n");
        write("test.yml", "url: [http://b:8081, http://c:8081]\n");
        write(".hidden.yaml", "url: http://d:8081\n");
        write("notes.txt", "url: http://e:8081\n");
        let test = ("test".to_owned(), vec!["http://b:8081".to_owned(), "http://c:8081".to_owned()]);
        assert_eq!(look(), [cluster("prod.eu", "http://a:8081"), test.clone()]);
        assert_eq!(files["prod.eu"].cluster.as_ref().unwrap().options.poll_interval, Duration::from_secs(5));

        // None of these replaces the last valid content.
        for broken in ["url: http://a:8081\nurls: x\n", "poll-interval: 1 s\n", "url: nowhere\n", "url: [\n", ""] {
            write("prod.eu.yaml", broken);
            let mut look = || directory.look(&mut files).unwrap();
            assert_eq!(look().len(), 2, "{broken}");
        }
        write("prod.eu.yaml", "url: http://f:8081\n");
        std::fs::remove_file(place.path().join("test.yml")).unwrap();
        let found = directory.look(&mut files).unwrap();
        assert_eq!(found.iter().map(|cluster| cluster.urls[0].as_str()).collect::<Vec<_>>(), ["http://f:8081"]);

        let missing = Directory { path: place.path().join("no"), interval: directory.interval, defaults };
        assert!(missing.look(&mut Files::new()).unwrap_err().contains("/no: "));
    }
}
