//! The manifests and the Helm chart, judged by the API server.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use harness::workspace_root;
use serde_json::{Value, json};
use tokio::process::Command;

use super::programs::Programs;
use super::server::{NAMESPACE, Server};
use super::{kind, text_of};

const CHART: &str = "packaging/helm";
const ROLE: &str = "packaging/kubernetes/discovery/role.yaml";

/// Applies everything by a dry run, and compares the chart with the manifests.
pub(super) async fn run(server: &Server, programs: &Programs, binary: &Path, folder: &Path) -> Result<()> {
    let root = workspace_root()?;
    server.apply(&[kind("monitoring.coreos.com", "v1", "PodMonitor")]).await?;
    server.wait_for_kinds().await?;
    for overlay in ["base", "podmonitor", "discovery"] {
        let path = root.join("packaging/kubernetes").join(overlay).display().to_string();
        let accepted = server.kubectl(&["apply", "--dry-run=server", "-n", NAMESPACE, "-k", &path], "").await?;
        println!("{overlay}: the API server accepts {} objects", accepted.lines().count());
    }
    let helm = Helm { programs, folder, chart: root.join(CHART).display().to_string() };
    let everything = folder.join("everything.yaml");
    // YAML contains JSON.
    fs::write(&everything, every_value().to_string())?;
    let everything = everything.display().to_string();
    let role = fs::read_to_string(root.join(ROLE))?;
    let role = server.kubectl(&["create", "--dry-run=client", "-o", "json", "-f", "-"], &role).await?;
    let rules = serde_json::from_str::<Value>(&role)?["rules"].clone();
    for (name, values, roles, monitors) in
        [("the chart", &[][..], 1, 0), ("every value", &["--values", &everything], 2, 1)]
    {
        helm.expect(&[&["lint", "--strict", &helm.chart], values].concat()).await?;
        let template = ["template", "flink-traces", &helm.chart, "--namespace", NAMESPACE];
        let manifests = helm.expect(&[&template, values].concat()).await?;
        let dry_run = ["apply", "--dry-run=server", "-o", "json", "-f", "-"];
        let objects = objects(&server.kubectl(&dry_run, &manifests).await?)?;
        println!("{name}: the API server accepts {} objects", objects.len());
        let of_kind =
            |kind: &str| objects.iter().filter(|object| text_of(&object["kind"]).ends_with(kind)).collect::<Vec<_>>();
        // A Role for each namespace, or one ClusterRole.
        let granted = of_kind("Role");
        ensure!(granted.len() == roles && of_kind("RoleBinding").len() == roles, "{name}: expected {roles} roles");
        ensure!(granted.iter().all(|role| role["rules"] == rules), "{name}: rules other than those of {ROLE}");
        ensure!(of_kind("PodMonitor").len() == monitors, "{name}: expected {monitors} monitors");
        let configuration = of_kind("ConfigMap").first().map(|map| text_of(&map["data"]["config.yaml"]).to_owned());
        expect_valid(binary, folder, &configuration.context("no configuration")?).await?;
    }
    for (value, named) in [("shards=0", "shards"), ("persistence.size=two", "size"), ("replicas=2", "replicas")] {
        let (is_success, said) = helm.output(&["template", &helm.chart, "--set", value]).await?;
        ensure!(!is_success && said.contains(named), "helm accepts {value}:\n{said}");
    }
    let of_others = ["serviceAccount.create=false", "serviceAccount.name=own", "podSecurityContext.runAsUser=null"];
    let manifests = helm.expect(&["template", &helm.chart, "--set", &of_others.join(",")]).await?;
    let has_line = |wanted: &str| manifests.lines().any(|line| line.trim() == wanted);
    ensure!(has_line("serviceAccountName: own") && !manifests.lines().any(|line| line == "kind: ServiceAccount"));
    ensure!(has_line("fsGroup: 65532") && !manifests.contains("runAsUser"), "a user of the pod:\n{manifests}");
    Ok(())
}

/// Returns the rights in one namespace that the chart grants to a release of its own name.
pub(super) async fn rights_in(programs: &Programs, folder: &Path, namespace: &str) -> Result<String> {
    let helm = Helm { programs, folder, chart: workspace_root()?.join(CHART).display().to_string() };
    let namespaces = format!("discovery.namespaces={{{namespace}}}");
    let template = ["template", "flink-traces", &helm.chart, "--namespace", NAMESPACE, "--set", &namespaces];
    helm.expect(&[&template, &["--show-only", "templates/rbac.yaml"][..]].concat()).await
}

/// Returns values that use every part of the chart.
fn every_value() -> Value {
    let secret = json!({"secretKeyRef": {"name": "collector", "key": "headers"}});
    json!({
        "image": {"repository": "registry.example/flink-traces", "tag": "1", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "shards": 3,
        "config": {"flink-traces": {"rest.bearer-token-file": "/etc/flink-traces-secrets/flink.token/token"}},
        "secrets": ["flink.token", "collector"],
        "env": [{"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": secret}],
        "discovery": {"enabled": true, "namespaces": ["team-a", NAMESPACE]},
        "serviceAccount": {"create": true, "name": "watcher", "annotations": {"team": "a"}},
        "persistence": {"enabled": true, "size": "10Gi", "storageClass": "fast"},
        "metrics": {"podMonitor": {"enabled": true, "interval": "30s", "labels": {"release": "prometheus"}}},
        "networkPolicy": {"enabled": true},
        "resources": {"requests": {"cpu": "1"}},
        "podSecurityContext": {"fsGroup": 7, "runAsUser": null},
        "podAnnotations": {"team": "a"},
        "podLabels": {"team": "a"},
        "priorityClassName": "low",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "team", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 1,
            "podAffinityTerm": {
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "flink-traces"}},
            },
        }]}},
    })
}

/// Returns the objects of a list, or the only one.
fn objects(output: &str) -> Result<Vec<Value>> {
    // Warnings come after the list.
    let mut values = serde_json::Deserializer::from_str(output).into_iter::<Value>();
    let list = values.next().context("kubectl returns nothing")??;
    Ok(list["items"].as_array().cloned().unwrap_or_else(|| vec![list]))
}

/// Fails unless the program accepts a configuration, apart from paths that only a pod has.
async fn expect_valid(binary: &Path, folder: &Path, configuration: &str) -> Result<()> {
    let path = folder.join("config.yaml");
    let mounted = ["/var/lib/flink-traces", "/etc/flink-traces-secrets/flink.token"];
    let here =
        mounted.iter().fold(configuration.to_owned(), |text, path| text.replace(path, &folder.display().to_string()));
    fs::write(&path, here)?;
    fs::write(folder.join("token"), "token")?;
    let output =
        Command::new(binary).args(["check", "--flink", "http://127.0.0.1:1", "--conf"]).arg(path).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    let is_valid = output.status.code() == Some(69) && !said.contains("error:") && !said.contains("warning:");
    ensure!(is_valid, "check: {}\n{said}", output.status);
    Ok(())
}

/// Helm with a chart.
struct Helm<'a> {
    programs: &'a Programs,
    folder: &'a Path,
    chart: String,
}

impl Helm<'_> {
    /// Runs Helm. Returns its success, and its output.
    async fn output(&self, arguments: &[&str]) -> Result<(bool, String)> {
        let mut helm = Command::new(self.programs.path("helm"));
        let output = helm.args(arguments).env("HOME", self.folder).output().await.context("cannot start helm")?;
        let texts = if output.status.success() { vec![output.stdout] } else { vec![output.stdout, output.stderr] };
        let text = texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<String>();
        Ok((output.status.success(), text))
    }

    /// Runs Helm, which must succeed. Returns its output.
    async fn expect(&self, arguments: &[&str]) -> Result<String> {
        let (is_success, output) = self.output(arguments).await?;
        ensure!(is_success, "helm {}: {output}", arguments.join(" "));
        Ok(output)
    }
}
