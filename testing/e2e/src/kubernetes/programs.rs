//! Kubernetes, etcd and Helm, built from Go modules.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use harness::{run, say, workspace_root};

/// The module that fixes the versions of all programs.
const MODULE: &str = "testing/e2e/kubernetes";
/// The programs, and their packages.
const PACKAGES: [(&str, &str); 5] = [
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ("helm", "helm.sh/helm/v4/cmd/helm"),
];

/// The folder of the programs.
#[derive(Debug, Clone)]
pub(super) struct Programs(PathBuf);

impl Programs {
    /// Builds all programs into `target/kubernetes`.
    ///
    /// The first build takes minutes and needs the network. Later ones find Go's cache.
    pub(super) fn build() -> Result<Self> {
        let root = workspace_root()?;
        let programs = Self(root.join("target/kubernetes"));
        for (name, package) in PACKAGES {
            let program = programs.path(name);
            if !program.exists() {
                say(&format!("building {name}"));
            }
            let mut build = Command::new("go");
            build.args(["build", "-buildvcs=false", "-trimpath", "-o"]).arg(&program).arg(package);
            run(build.current_dir(root.join(MODULE)))?;
        }
        Ok(programs)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
