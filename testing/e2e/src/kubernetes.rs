//! `cargo e2e kubernetes`: clusters that a real API server of Kubernetes knows.
//!
//! `flink-traces` runs outside, with a token of the service account that the manifests create.

mod fleet;
mod line;
mod packages;
mod programs;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flink_traces_testkit::OtlpCollector;
use harness::flink::{Distribution, VERSION};
use harness::{build, recreate, say, workspace_root};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::job;
use crate::rest::poll;
use crate::session::{STEP_TIMEOUT, run_until_interrupted};
use crate::target;
use fleet::{EmptyFlink, Watcher, check};
use line::Line;
use programs::Programs;
use server::{ACCOUNT, NAMESPACE, Server, USER};

/// A delay of the job's failure that no session reaches.
const NEVER: &str = "86400000";
/// The time limit until a failed follower tries again. Its longest pause is 30 s.
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);
const OBJECTS: usize = 1_000;
/// The lifetime of a token that expires under a watch.
const SHORT: Duration = Duration::from_secs(20);
/// The lifetime of a token that is replaced in time. The program reads its file once a minute.
const REPLACED: Duration = Duration::from_secs(75);
/// The resources that the role names, and their API groups.
const RESOURCES: [(&str, &str); 3] =
    [("flinkdeployments", ".flink.apache.org"), ("services", ""), ("flinksessionjobs", ".flink.apache.org")];
const VERBS: [&str; 2] = ["list", "watch"];
/// The scope of a question about rights in all namespaces.
const EVERYWHERE: &[&str] = &["--all-namespaces"];

/// Runs the session.
pub(crate) fn run() -> Result<()> {
    let folder = target("kubernetes-session")?;
    recreate(&folder)?;
    let distribution = Distribution::prepare(VERSION)?;
    let jar = job::compile(&distribution)?;
    let programs = Programs::build()?;
    let binary = build("flink-traces")?;
    run_until_interrupted(session(&distribution, &jar, &programs, &binary, &folder), &folder)?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

async fn session(
    distribution: &Distribution,
    jar: &Path,
    programs: &Programs,
    binary: &Path,
    folder: &Path,
) -> Result<()> {
    let mut server = Server::start(programs, folder).await?;
    let kinds = ["FlinkDeployment", "FlinkSessionJob"].map(|name| kind("flink.apache.org", "v1beta1", name));
    server.apply(&kinds).await?;
    server.wait_for_kinds().await?;
    server.apply(&[namespace("team-a"), namespace(NAMESPACE)]).await?;
    say("the manifests and the chart");
    packages::run(&server, programs, binary, folder).await?;
    let overlay = workspace_root()?.join("packaging/kubernetes/discovery").display().to_string();
    server.kubectl(&["apply", "-k", &overlay], "").await?;
    let line = Line::start(server.port).await?;
    let flink = EmptyFlink::start().await?;
    let setup = Setup { programs, binary, folder, line: &line, collector: OtlpCollector::start()?, flink: &flink };

    say("a FlinkDeployment of a real Flink");
    setup.real_flink(&server, distribution, jar).await?;
    say("the role without each of its verbs");
    setup.rights(&server).await?;
    say("tokens that expire");
    setup.tokens(&server).await?;
    say("the API server is killed");
    setup.restart(&mut server).await?;
    say("1,000 objects, and their namespace deleted");
    setup.many(&server).await?;
    say("versions that etcd has forgotten");
    server.restart(&["--watch-cache=false"]).await?;
    setup.compaction(&server).await
}

/// Returns the definition of a kind that takes any content.
fn kind(group: &str, version: &str, kind: &str) -> Value {
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": singular},
            "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

/// Returns a text of JSON; empty if the value is none.
fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// Returns a `FlinkDeployment` at a REST address.
fn deployment(namespace: &str, name: &str, url: &str) -> Value {
    json!({
        "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
        "metadata": {"name": name, "namespace": namespace, "annotations": {"flink-traces/rest-url": url}},
        "spec": {"flinkVersion": "v2_3"},
    })
}

/// The parts that all steps share.
struct Setup<'a> {
    programs: &'a Programs,
    binary: &'a Path,
    folder: &'a Path,
    line: &'a Line,
    collector: OtlpCollector,
    flink: &'a EmptyFlink,
}

impl Setup<'_> {
    /// Writes a kubeconfig whose user has the token in a file of its own. Returns both paths.
    async fn access(&self, server: &Server, name: &str, token: &str) -> Result<(PathBuf, PathBuf)> {
        let file = self.folder.join(format!("{name}.token"));
        fs::write(&file, token)?;
        let user = json!({"tokenFile": file});
        Ok((server.write_kubeconfig(&format!("{name}.yaml"), self.line.port(), &user)?, file))
    }

    fn watcher(&self, name: &str, kubeconfig: &Path) -> Result<Watcher> {
        self.watcher_with(name, kubeconfig, &[])
    }

    /// Starts the program with additional options.
    fn watcher_with(&self, name: &str, kubeconfig: &Path, more: &[&str]) -> Result<Watcher> {
        Watcher::start(self.binary, &self.folder.join(name), kubeconfig, &self.collector.grpc_endpoint(), more)
    }

    /// The program finds a real Flink by an annotation, and reports its checkpoints.
    async fn real_flink(&self, server: &Server, distribution: &Distribution, jar: &Path) -> Result<()> {
        let folder = self.folder.join("flink");
        fs::create_dir_all(&folder)?;
        let cluster = Cluster::start(distribution, &folder, &[]).await?;
        cluster.rest.submit(jar, 2, &[NEVER]).await?;
        let (kubeconfig, _) = self.access(server, "real", &server.token().await?).await?;
        let watcher = self.watcher("real", &kubeconfig)?;
        let job = json!({
            "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkSessionJob",
            "metadata": {"name": "report", "namespace": "team-a",
                "annotations": {"flink-traces/rest-url": self.flink.url()}},
            "spec": {"deploymentName": "session"},
        });
        server.apply(&[deployment("team-a", "orders", &cluster.rest.url()), job]).await?;
        watcher.expect(&["team-a/orders", "team-a/session"]).await?;
        let is_reported = async || {
            let spans = self.collector.spans();
            let of_job =
                spans.iter().filter(|span| span.resource().get("k8s.namespace.name") == Some(&json!("team-a")));
            Ok((of_job.filter(|span| span.name() == "Checkpoint").count() >= 5).then_some(()))
        };
        poll("five checkpoints of team-a/orders", STEP_TIMEOUT, is_reported).await?;
        let checked = check(self.binary, self.folder, &kubeconfig).await?;
        ensure!(checked.0, "check: {}", checked.1);
        for line in ["ok      discovery kubernetes: 2 clusters", "cluster team-a/orders: Flink 2.3.0 at"] {
            ensure!(checked.1.contains(line), "check: expected {line:?}, found:\n{}", checked.1);
        }
        watcher.expect_log_without("discovery failed")?;
        watcher.stop().await?;
        cluster.stop().await?;
        // From here on, the clusters of this namespace are at a server without jobs.
        server.apply(&[deployment("team-a", "orders", &self.flink.url())]).await
    }

    /// Each verb of the role is needed, and its absence is explained. Nothing else is allowed.
    async fn rights(&self, server: &Server) -> Result<()> {
        for (resource, group) in RESOURCES {
            for verb in ["get", "create", "update", "patch", "delete", "deletecollection"] {
                ensure!(
                    !may(server, verb, &format!("{resource}{group}"), EVERYWHERE).await?,
                    "the role allows {verb} {resource}"
                );
            }
        }
        let (kubeconfig, _) = self.access(server, "rights", &server.token().await?).await?;
        let role = server.kubectl(&["get", "clusterrole", ACCOUNT, "-o", "json"], "").await?;
        let role: Value = serde_json::from_str(&role)?;
        for (resource, group) in RESOURCES {
            for verb in VERBS {
                let full = format!("{resource}{group}");
                server.kubectl(&["replace", "-f", "-"], &without(&role, resource, verb)?.to_string()).await?;
                let is_refused = async || Ok((!may(server, verb, &full, EVERYWHERE).await?).then_some(()));
                poll(&format!("no right to {verb} {resource}"), STEP_TIMEOUT, is_refused).await?;
                let expected = format!("cannot {verb} {resource}: 403 Forbidden: ");
                let said = format!("User \"{USER}\" cannot {verb} resource");
                let (is_success, checked) = check(self.binary, self.folder, &kubeconfig).await?;
                ensure!(!is_success, "check accepts a role without {verb} {resource}:\n{checked}");
                let line = checked.lines().find(|line| line.starts_with("  FAILED  discovery kubernetes: "));
                let line = line.with_context(|| format!("check: no failure of the discovery:\n{checked}"))?;
                ensure!(
                    line.contains(&expected) && line.contains(&said),
                    "check: expected {expected:?}, found {line:?}"
                );

                let name = format!("without-{verb}-{resource}");
                let watcher = self.watcher(&name, &kubeconfig)?;
                watcher.wait_for_log("discovery failed", &expected).await?;
                server.kubectl(&["replace", "-f", "-"], &without(&role, "", "")?.to_string()).await?;
                watcher.wait_for_log("discovery works again", "").await?;
                watcher.expect(&["team-a/orders", "team-a/session"]).await?;
                // The failure is logged once.
                watcher.expect_log_with("discovery failed", 1)?;
                watcher.stop().await?;
                println!("without {verb} {resource}: {}", line.trim());
            }
        }
        self.one_namespace(server, &kubeconfig).await
    }

    /// The Role of the chart is enough for its namespace, and for no other one.
    async fn one_namespace(&self, server: &Server, kubeconfig: &Path) -> Result<()> {
        server.apply(&[namespace("team-b"), deployment("team-b", "orders", &self.flink.url())]).await?;
        let binding = workspace_root()?.join("packaging/kubernetes/discovery/rolebinding.yaml").display().to_string();
        server.kubectl(&["delete", "-f", &binding], "").await?;
        let rights = packages::rights_in(self.programs, self.folder, "team-a").await?;
        server.kubectl(&["apply", "-f", "-"], &rights).await?;
        let are_in_effect = async || {
            let (list, kind) = ("list", "flinkdeployments.flink.apache.org");
            let there = may(server, list, kind, &["-n", "team-a"]).await?;
            Ok((there && !may(server, list, kind, EVERYWHERE).await?).then_some(()))
        };
        poll("the rights in one namespace", STEP_TIMEOUT, are_in_effect).await?;
        let everywhere = self.watcher("everywhere", kubeconfig)?;
        everywhere.wait_for_log("discovery failed", "403 Forbidden").await?;
        everywhere.stop().await?;
        let options = |namespaces: &str| format!("flink-traces.kubernetes.namespaces={namespaces}");
        let watcher = self.watcher_with("one-namespace", kubeconfig, &[&options("team-a")])?;
        watcher.expect(&["team-a/orders", "team-a/session"]).await?;
        watcher.expect_log_without("discovery failed")?;
        watcher.stop().await?;
        // The namespace with the rights is watched beside the one without.
        let watcher = self.watcher_with("two-namespaces", kubeconfig, &[&options("team-a, team-b")])?;
        watcher.wait_for_log("discovery failed", "cannot list flinkdeployments in team-b: 403 Forbidden: ").await?;
        watcher.expect(&["team-a/orders", "team-a/session"]).await?;
        watcher.stop().await?;
        server.kubectl(&["delete", "-f", "-"], &rights).await?;
        server.kubectl(&["apply", "-f", &binding], "").await?;
        server.kubectl(&["delete", "namespace", "team-b"], "").await.map(drop)
    }

    /// A token that is replaced in time causes no failure, and one that is not removes nothing.
    async fn tokens(&self, server: &Server) -> Result<()> {
        let (kubeconfig, replaced) = self.access(server, "replaced", &server.short_token(REPLACED).await?).await?;
        let (_, copy) = self.access(server, "copy", &fs::read_to_string(&replaced)?).await?;
        let in_time = self.watcher("replaced", &kubeconfig)?;
        in_time.expect(&["team-a/orders", "team-a/session"]).await?;
        fs::write(&replaced, server.token().await?)?;

        let (kubeconfig, expired) = self.access(server, "expired", &server.short_token(SHORT).await?).await?;
        let late = self.watcher("expired", &kubeconfig)?;
        late.expect(&["team-a/orders", "team-a/session"]).await?;
        self.wait_until_refused(server, &expired).await?;
        self.line.cut().await;
        late.wait_for_log("discovery failed", "401 Unauthorized").await?;
        server.apply(&[deployment("team-a", "later", &self.flink.url())]).await?;
        late.expect_source(false).await?;
        late.expect(&["team-a/orders", "team-a/session"]).await?;
        fs::write(&expired, server.token().await?)?;
        late.expect(&["team-a/orders", "team-a/session", "team-a/later"]).await?;
        late.wait_for_log("discovery works again", "").await?;
        late.expect_source(true).await?;
        late.stop().await?;

        self.wait_until_refused(server, &copy).await?;
        self.line.cut().await;
        server.kubectl(&["delete", "flinkdeployment", "later", "-n", "team-a"], "").await?;
        in_time.expect(&["team-a/orders", "team-a/session"]).await?;
        in_time.expect_log_without("discovery failed")?;
        in_time.stop().await
    }

    /// Waits until the API server does not accept a token any more.
    async fn wait_until_refused(&self, server: &Server, token: &Path) -> Result<()> {
        let token = fs::read_to_string(token)?;
        let is_refused = async || {
            let path = server.write_kubeconfig("probe.yaml", server.port, &json!({"token": token}))?;
            let path = path.display().to_string();
            let (is_success, output) = server.output(&["--kubeconfig", &path, "get", "services", "-A"], "").await?;
            Ok((!is_success && output.contains("Unauthorized")).then_some(()))
        };
        poll("the end of a token", RETRY_TIMEOUT, is_refused).await
    }

    /// The known clusters are watched while the API server is away, and followed afterwards.
    async fn restart(&self, server: &mut Server) -> Result<()> {
        let (kubeconfig, _) = self.access(server, "restart", &server.token().await?).await?;
        let watcher = self.watcher("restart", &kubeconfig)?;
        server.apply(&[deployment("team-a", "gone", &self.flink.url())]).await?;
        watcher.expect(&["team-a/orders", "team-a/session", "team-a/gone"]).await?;
        server.kill().await?;
        watcher.wait_for_log("discovery failed", "").await?;
        watcher.expect_source(false).await?;
        let before = self.flink.requests();
        let is_polled = async || Ok((self.flink.requests() > before + 20).then_some(()));
        poll("requests while the API server is away", STEP_TIMEOUT, is_polled).await?;
        watcher.expect(&["team-a/orders", "team-a/session", "team-a/gone"]).await?;
        server.restart(&[]).await?;
        server.kubectl(&["delete", "flinkdeployment", "gone", "-n", "team-a"], "").await?;
        server.apply(&[deployment("team-a", "new", &self.flink.url())]).await?;
        watcher.expect(&["team-a/orders", "team-a/session", "team-a/new"]).await?;
        watcher.wait_for_log("discovery works again", "").await?;
        watcher.expect_source(true).await?;
        server.kubectl(&["delete", "flinkdeployment", "new", "-n", "team-a"], "").await?;
        watcher.expect(&["team-a/orders", "team-a/session"]).await?;
        watcher.stop().await
    }

    /// Many objects are listed in pages, and the end of their namespace removes them.
    async fn many(&self, server: &Server) -> Result<()> {
        let objects = (0..OBJECTS).map(|number| deployment("many", &format!("cluster-{number:04}"), &self.flink.url()));
        server.apply(&[namespace("many")]).await?;
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects.collect::<Vec<_>>()});
        server.kubectl(&["create", "-f", "-"], &list.to_string()).await?;
        let before = server.requests("flinkdeployments")?.len();
        let (kubeconfig, _) = self.access(server, "many", &server.token().await?).await?;
        let watcher = self.watcher_with("many", &kubeconfig, &["flink-traces.poll-interval=10 s"])?;
        watcher.expect_number(OBJECTS + 2).await?;
        let requests = server.requests("flinkdeployments")?;
        let pages = requests[before..].iter().filter(|request| request.uri.contains("limit=500"));
        let pages: Vec<_> = pages.map(|request| request.uri.contains("continue=")).collect();
        ensure!(pages == [false, true, true], "expected three pages, found {:?}", &requests[before..]);

        server.kubectl(&["delete", "namespace", "many", "--wait=false"], "").await?;
        watcher.expect(&["team-a/orders", "team-a/session"]).await?;
        let gone = ["wait", "--for=delete", "--timeout=120s", "namespace/many"];
        server.kubectl(&gone, "").await?;
        watcher.expect_log_without("discovery failed")?;
        watcher.stop().await
    }

    /// A watch from a version that is forgotten becomes a list.
    async fn compaction(&self, server: &Server) -> Result<()> {
        let (kubeconfig, _) = self.access(server, "compaction", &server.token().await?).await?;
        let watcher = self.watcher("compaction", &kubeconfig)?;
        server.apply(&[deployment("team-a", "gone", &self.flink.url())]).await?;
        watcher.expect(&["team-a/orders", "team-a/session", "team-a/gone"]).await?;
        let (known, before) = (server.version().await?, server.requests("flinkdeployments")?.len());
        self.line.close();
        server.kubectl(&["delete", "flinkdeployment", "gone", "-n", "team-a"], "").await?;
        server.apply(&[deployment("team-a", "new", &self.flink.url())]).await?;
        let compacted = server.compact().await?;
        let path = "/apis/flink.apache.org/v1beta1/flinkdeployments?watch=true&timeoutSeconds=5&resourceVersion=";
        let (_, said) = server.output(&["get", "--raw", &format!("{path}{known}")], "").await?;
        ensure!(said.contains("\"code\":410") || said.contains("too old"), "expected 410, found {said}");
        self.line.open();
        watcher.expect(&["team-a/orders", "team-a/session", "team-a/new"]).await?;
        watcher.expect_log_without("discovery failed")?;
        let is_watched = async || {
            let requests = server.requests("flinkdeployments")?.split_off(before);
            let is_watch = |uri: &str| uri.contains("watch=true");
            let version = |uri: &str| {
                let version = uri.split_once("resourceVersion=")?.1.split('&').next()?;
                version.parse::<u64>().ok()
            };
            let mut watches = requests.iter().filter(|request| is_watch(&request.uri));
            let (Some(old), Some(new)) = (watches.next(), watches.next_back()) else { return Ok(None) };
            let is_listed = requests.iter().any(|request| !is_watch(&request.uri) && request.status == 200);
            let follows = version(&old.uri) < Some(compacted) && version(&new.uri) >= Some(compacted) && is_listed;
            ensure!(follows, "expected an old watch, a list and a new watch, found {requests:?}");
            Ok(Some(()))
        };
        poll("a new watch", STEP_TIMEOUT, is_watched).await?;
        watcher.stop().await
    }
}

/// Returns `true` if the service account may do something in a scope.
async fn may(server: &Server, verb: &str, resource: &str, scope: &[&str]) -> Result<bool> {
    let question = ["auth", "can-i", verb, resource, "--as", USER];
    let (is_allowed, output) = server.output(&[&question[..], scope].concat(), "").await?;
    // kubectl also warns, and the answer comes first or last.
    ensure!(output.lines().any(|line| ["yes", "no"].contains(&line)), "can-i {verb} {resource}: {output}");
    Ok(is_allowed)
}

/// Returns a role without a verb of a resource.
fn without(role: &Value, resource: &str, verb: &str) -> Result<Value> {
    let mut rules = Vec::new();
    for rule in role["rules"].as_array().context("no rules")? {
        for name in rule["resources"].as_array().context("no resources")? {
            let verbs = rule["verbs"].as_array().context("no verbs")?;
            let kept: Vec<_> = verbs.iter().filter(|kept| !(name == resource && *kept == verb)).collect();
            rules.push(json!({"apiGroups": rule["apiGroups"], "resources": [name], "verbs": kept}));
        }
    }
    Ok(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": role["metadata"]["name"]}, "rules": rules,
    }))
}
