//! A real API server of Kubernetes with etcd, on loopback.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use harness::{free_ports, say};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::programs::Programs;
use crate::cluster::log_file;
use crate::rest::poll;

const START_TIMEOUT: Duration = Duration::from_secs(120);
/// The token of the administrator.
const ADMINISTRATOR: &str = "administrator";
/// The namespace and the name of the service account of `flink-traces`.
pub(super) const NAMESPACE: &str = "flink-traces";
pub(super) const ACCOUNT: &str = "flink-traces";
/// The same as the name of a user.
pub(super) const USER: &str = "system:serviceaccount:flink-traces:flink-traces";
const ISSUER: &str = "https://kubernetes.default.svc";

/// The processes of a Kubernetes without nodes, which are killed when this is dropped.
pub(super) struct Server {
    programs: Programs,
    folder: PathBuf,
    etcd_port: u16,
    pub(super) port: u16,
    _etcd: Child,
    api: Option<Child>,
    _controllers: Option<Child>,
}

/// A request of `flink-traces`, as the API server noted it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) uri: String,
    pub(super) status: u64,
}

impl Server {
    /// Starts etcd, the API server, and the controller that empties deleted namespaces.
    pub(super) async fn start(programs: &Programs, folder: &Path) -> Result<Self> {
        say("starting etcd and the API server");
        let [etcd_port, peer_port] = free_ports()?;
        let [port, _] = free_ports()?;
        let (client, peer) = (format!("http://127.0.0.1:{etcd_port}"), format!("http://127.0.0.1:{peer_port}"));
        let etcd = Command::new(programs.path("etcd"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--unsafe-no-fsync"])
            .arg("--data-dir")
            .arg(folder.join("etcd"))
            .stdin(Stdio::null())
            .stdout(log_file(folder, "etcd")?)
            .stderr(log_file(folder, "etcd")?)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start etcd")?;
        harness::run(std::process::Command::new("openssl").args(["genrsa", "-out"]).arg(folder.join("accounts.key")))?;
        fs::write(folder.join("tokens.csv"), format!("{ADMINISTRATOR},administrator,1,system:masters\n"))?;
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata", "users": [USER]}],
        });
        fs::write(folder.join("audit.yaml"), policy.to_string())?;
        let mut server = Self {
            programs: programs.clone(),
            folder: folder.to_owned(),
            etcd_port,
            port,
            _etcd: etcd,
            api: None,
            _controllers: None,
        };
        server.write_kubeconfig("administrator.yaml", port, &json!({"token": ADMINISTRATOR}))?;
        server.restart(&[]).await?;
        server._controllers = Some(server.controllers()?);
        Ok(server)
    }

    /// Kills the API server, as `kill -9` does.
    pub(super) async fn kill(&mut self) -> Result<()> {
        if let Some(mut api) = self.api.take() {
            api.kill().await?;
        }
        Ok(())
    }

    /// Starts the API server with additional options, and waits until it is ready.
    pub(super) async fn restart(&mut self, options: &[&str]) -> Result<()> {
        self.kill().await?;
        let key = self.folder.join("accounts.key").display().to_string();
        let path = |name: &str| self.folder.join(name).display().to_string();
        let mut api = Command::new(self.programs.path("kube-apiserver"))
            .arg(format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"])
            .arg(format!("--secure-port={}", self.port))
            .arg(format!("--cert-dir={}", path("certificates")))
            .args([format!("--service-account-key-file={key}"), format!("--service-account-signing-key-file={key}")])
            .args([&format!("--service-account-issuer={ISSUER}"), "--service-cluster-ip-range=10.0.0.0/24"])
            .args(["--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount"])
            .arg(format!("--token-auth-file={}", path("tokens.csv")))
            .arg(format!("--audit-policy-file={}", path("audit.yaml")))
            .arg(format!("--audit-log-path={}", path("audit.log")))
            .args(options)
            .stdin(Stdio::null())
            .stdout(log_file(&self.folder, "kube-apiserver")?)
            .stderr(log_file(&self.folder, "kube-apiserver")?)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start kube-apiserver")?;
        let is_ready = async || {
            let ready = self.output(&["get", "--raw", "/readyz"], "").await?;
            Ok(ready.0.then_some(()))
        };
        tokio::select! {
            ready = poll("the API server", START_TIMEOUT, is_ready) => ready?,
            status = api.wait() => bail!("kube-apiserver ended with {}", status?),
        }
        self.api = Some(api);
        Ok(())
    }

    fn controllers(&self) -> Result<Child> {
        Command::new(self.programs.path("kube-controller-manager"))
            .arg("--kubeconfig")
            .arg(self.folder.join("administrator.yaml"))
            .args(["--controllers=namespace-controller", "--leader-elect=false"])
            .args(["--bind-address=127.0.0.1", "--secure-port=0"])
            .stdin(Stdio::null())
            .stdout(log_file(&self.folder, "kube-controller-manager")?)
            .stderr(log_file(&self.folder, "kube-controller-manager")?)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start kube-controller-manager")
    }

    /// Writes a kubeconfig of a user for the API server behind a port. Returns its path.
    pub(super) fn write_kubeconfig(&self, name: &str, port: u16, user: &Value) -> Result<PathBuf> {
        let authority = self.folder.join("certificates/apiserver.crt");
        let cluster = json!({"server": format!("https://127.0.0.1:{port}"), "certificate-authority": authority});
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": cluster}],
            "users": [{"name": "e2e", "user": user}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e"}}],
        });
        let path = self.folder.join(name);
        // YAML contains JSON.
        fs::write(&path, kubeconfig.to_string())?;
        Ok(path)
    }

    /// Runs kubectl as the administrator. Returns its success, and its output.
    pub(super) async fn output(&self, arguments: &[&str], input: &str) -> Result<(bool, String)> {
        let mut kubectl = Command::new(self.programs.path("kubectl"))
            .arg("--kubeconfig")
            .arg(self.folder.join("administrator.yaml"))
            .args(arguments)
            .env("HOME", &self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start kubectl")?;
        // kubectl may end before it has read everything.
        let _ = kubectl.stdin.take().context("no standard input")?.write_all(input.as_bytes()).await;
        let output = kubectl.wait_with_output().await?;
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        Ok((output.status.success(), text))
    }

    /// Runs kubectl, which must succeed. Returns its output.
    pub(super) async fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String> {
        let (is_success, output) = self.output(arguments, input).await?;
        ensure!(is_success, "kubectl {}: {output}", arguments.join(" "));
        Ok(output)
    }

    /// Creates or changes objects.
    pub(super) async fn apply(&self, objects: &[Value]) -> Result<()> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &list.to_string()).await.map(drop)
    }

    /// Waits until the API server serves the kinds that were defined.
    pub(super) async fn wait_for_kinds(&self) -> Result<()> {
        let wait = ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"];
        self.kubectl(&wait, "").await.map(drop)
    }

    /// Returns a token of the service account by the TokenRequest API.
    pub(super) async fn token(&self) -> Result<String> {
        let token = self.kubectl(&["create", "token", ACCOUNT, "-n", NAMESPACE, "--duration", "1h"], "").await?;
        Ok(token.trim().to_owned())
    }

    /// Returns a token of the service account that expires soon.
    ///
    /// The TokenRequest API grants ten minutes or more, so the API server's key signs this one.
    pub(super) async fn short_token(&self, lifetime: Duration) -> Result<String> {
        let uid = &["get", "serviceaccount", ACCOUNT, "-n", NAMESPACE, "-o", "jsonpath={.metadata.uid}"];
        let account = json!({"name": ACCOUNT, "uid": self.kubectl(uid, "").await?});
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let claims = json!({
            "iss": ISSUER, "aud": [ISSUER], "sub": USER,
            "iat": now.as_secs(), "nbf": now.as_secs(), "exp": (now + lifetime).as_secs(),
            "kubernetes.io": {"namespace": NAMESPACE, "serviceaccount": account},
        });
        let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
        let header = json!({"alg": "RS256", "typ": "JWT"});
        let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let message = self.folder.join("message");
        fs::write(&message, &signed)?;
        let signature = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .args([&self.folder.join("accounts.key"), &message])
            .output()
            .await?;
        ensure!(signature.status.success(), "openssl: {}", String::from_utf8_lossy(&signature.stderr));
        Ok(format!("{signed}.{}", encode(&signature.stdout)))
    }

    /// Makes etcd forget the versions before the current one. Returns that.
    pub(super) async fn compact(&self) -> Result<u64> {
        let version = self.version().await?;
        let body = json!({"revision": version.to_string(), "physical": true}).to_string();
        let answer =
            http(self.etcd_port, &format!("POST /v3/kv/compaction HTTP/1.0\r\nContent-Length: {}", body.len()), &body)
                .await?;
        ensure!(answer.contains(" 200 "), "etcd: {answer}");
        Ok(version)
    }

    /// Returns the current version of the `FlinkDeployment`s.
    pub(super) async fn version(&self) -> Result<u64> {
        let list =
            self.kubectl(&["get", "--raw", "/apis/flink.apache.org/v1beta1/flinkdeployments?limit=1"], "").await?;
        let list: Value = serde_json::from_str(&list)?;
        list["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok()).context("no version")
    }

    /// Returns the requests of `flink-traces` for a resource, in the order of their starts.
    pub(super) fn requests(&self, resource: &str) -> Result<Vec<Request>> {
        let log = fs::read_to_string(self.folder.join("audit.log"))?;
        // The last line may be incomplete.
        let entries: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let status = |entry: &Value| entry["responseStatus"]["code"].as_u64().unwrap_or_default();
        let is_wanted = |entry: &&Value| {
            // A watch has an entry at its start, unless it is refused, and another one at its end.
            let stage =
                if entry["verb"] == "watch" && status(entry) < 300 { "ResponseStarted" } else { "ResponseComplete" };
            entry["objectRef"]["resource"] == resource && entry["stage"] == stage
        };
        let request = |entry: &Value| Request {
            uri: entry["requestURI"].as_str().unwrap_or_default().to_owned(),
            status: status(entry),
        };
        Ok(entries.iter().filter(is_wanted).map(request).collect())
    }
}

/// Sends a request without keep-alive. Returns the whole response.
pub(super) async fn http(port: u16, head: &str, body: &str) -> Result<String> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    connection.write_all(format!("{head}\r\nHost: 127.0.0.1\r\n\r\n{body}").as_bytes()).await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
