//! `cargo e2e web`: Flink's own web UI, in a browser, on the REST API that the example engine serves.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flink_rest::types::CheckpointTriggerRequestBody;
use flink_rest::{Client, Job, JobStatus, TaskManagers, TriggerCheckpoint, YarnCancelJob};
use harness::flink::{Distribution, REST_VERSIONS};
use harness::{build, recreate, run as run_program, say, workspace_root};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

use crate::engine::Engine;
use crate::session::{STEP_TIMEOUT, run_until_interrupted};
use crate::target;

/// The picture in the documentation, of the newest version.
const PICTURE: &str = "docs/web-ui-checkpoints.png";
/// How long a page has, of its own time, in milliseconds.
const BUDGET: u32 = 8000;
const TRIES: usize = 6;
/// How long a browser may take, several times what it needs.
const PATIENCE: Duration = Duration::from_secs(25);
/// What keeps a browser to itself.
const ALONE: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--run-all-compositor-stages-before-draw",
    "--window-size=1280,900",
];

/// Runs a session with the web UI of each version that the arguments name. Whatever was started is gone afterwards, also after an
/// interruption.
pub(crate) fn run(versions: &[&str]) -> Result<()> {
    let root = workspace_root()?;
    let folder = target("web-session")?;
    let binary = build("engine")?;
    for version in versions {
        recreate(&folder)?;
        println!("Flink {version}");
        let distribution = Distribution::prepare(version)?;
        let jar = distribution.dist_jar();
        run_program(
            std::process::Command::new("jar").current_dir(&folder).arg("--extract").arg("--file").arg(jar).arg("web"),
        )?;
        let picture = (Some(version) == REST_VERSIONS.first()).then(|| root.join(PICTURE));
        run_until_interrupted(session(&binary, &folder, picture.as_deref()), &folder)?;
        fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

async fn session(binary: &Path, folder: &Path, picture: Option<&Path>) -> Result<()> {
    say("starting the engine, whose job fails once");
    let engine = Engine::start(binary, folder, &["engine.fail-at-checkpoint=3"]).await?;
    let job = engine.job(JobStatus::Running).await?.jid;
    let mut last = 0;
    // The one that fails is among these.
    while last < 8 {
        let order = TriggerCheckpoint { job: job.clone(), body: CheckpointTriggerRequestBody::default() };
        // While it restarts there is none.
        last = engine.client.run(&order, STEP_TIMEOUT).await.ok().and_then(|done| done.checkpoint_id).unwrap_or(last);
    }
    let vertices = engine.client.call(&Job { job: job.clone() }).await?.vertices;
    let vertex = &vertices.first().context("no vertex")?.id;
    let workers = engine.client.call(&TaskManagers).await?.taskmanagers;
    let worker = &workers.first().context("no worker")?.id;
    let mut files = BTreeMap::new();
    read_files(&folder.join("web"), "", &mut files)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let site = Arc::new(Site { files, client: engine.client.clone(), refused: Mutex::default() });
    let browser = Browser { folder, address, site: site.clone() };
    let router = Router::new().fallback(answer).with_state(site);
    let pages = async {
        // Pages with an editor for text (exceptions, configuration) have no end for a browser that skips time.
        for (page, texts) in [
            ("/overview".to_owned(), &["count by key"][..]),
            ("/job/running".to_owned(), &["count by key", "RUNNING"]),
            (format!("/job/running/{job}/overview"), &["source", "count", "sink", "HASH"]),
            (format!("/job/running/{job}/checkpoints"), &["Checkpoint Counts", "Restored:", "chk-", "source"]),
            (format!("/job/running/{job}/timeline"), &["count by key"]),
            (format!("/job/running/{job}/overview/{vertex}/subtasks"), &["RUNNING", "localhost"]),
            (format!("/job/running/{job}/overview/{vertex}/taskmanagers"), &["RUNNING", "localhost"]),
            (format!("/job/running/{job}/overview/{vertex}/accumulators"), &["Accumulators", "No Data"]),
            ("/task-manager".to_owned(), &[worker, "threads of process"]),
            (format!("/task-manager/{worker}/metrics"), &[worker, "Free/All Slots", "0 / 2"]),
            (format!("/task-manager/{worker}/log-list"), &[worker, "Log Name", "No Data"]),
            ("/job-manager/metrics".to_owned(), &["Metrics"]),
            ("/job-manager/config".to_owned(), &["engine.fail-at-checkpoint"]),
            ("/job-manager/log".to_owned(), &["Log Name", "No Data"]),
        ] {
            browser.expect(&page, texts).await?;
        }
        if let Some(picture) = picture {
            say("taking the picture");
            browser.take_picture(&format!("/job/running/{job}/checkpoints"), picture).await?;
        }
        say("cancelling, by what the page's button asks");
        engine.client.call(&YarnCancelJob { job: job.clone() }).await?;
        engine.job(JobStatus::Canceled).await?;
        browser.expect("/job/completed", &["count by key", "CANCELED"]).await?;
        anyhow::Ok(())
    };
    tokio::select! {
        served = axum::serve(listener, router).into_future() => served?,
        shown = pages => shown?,
    }
    engine.stop().await
}

/// Flink's files, and whom to ask for all else.
struct Site {
    files: BTreeMap<String, Vec<u8>>,
    client: Client,
    /// What the engine did not answer with status 200, and that.
    refused: Mutex<Vec<String>>,
}

async fn answer(State(site): State<Arc<Site>>, request: Request) -> Response {
    let path = match request.uri().path() {
        "/" => "/index.html",
        path => path,
    };
    let (status, kind, content) = match site.files.get(path) {
        Some(content) => (200, media_type(path), content.clone()),
        None => {
            let asked = request.uri().path_and_query().map_or("", |path| path.as_str());
            let (status, content) = match site.client.get_raw(asked).await {
                Ok(response) => (response.status, response.body.to_vec()),
                Err(error) => (502, error.to_string().into_bytes()),
            };
            if status != 200 {
                site.refused.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{asked}: {status}"));
            }
            (status, "application/json", content)
        }
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = (status, content).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// All files of a folder by their paths below it, so that no request reaches any other.
fn read_files(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            read_files(&entry.path(), &path, files)?;
        } else {
            files.insert(path, fs::read(entry.path())?);
        }
    }
    Ok(())
}

struct Browser<'a> {
    folder: &'a Path,
    address: SocketAddr,
    site: Arc<Site>,
}

impl Browser<'_> {
    /// Shows a page, which has to hold these texts and no complaint.
    async fn expect(&self, page: &str, texts: &[&str]) -> Result<()> {
        say(&format!("the page {page}"));
        let shown = self.open(page, "--dump-dom").await?;
        fs::write(self.folder.join("page.html"), &shown)?;
        for text in texts {
            ensure!(shown.contains(text), "{page}: {text:?} was expected, not what is in page.html");
        }
        let refused = std::mem::take(&mut *self.site.refused.lock().unwrap_or_else(PoisonError::into_inner));
        ensure!(refused.is_empty(), "{page} asked for what is not there: {refused:?}");
        Ok(())
    }

    async fn take_picture(&self, page: &str, picture: &Path) -> Result<()> {
        let taken = self.folder.join("picture.png");
        self.open(page, &format!("--screenshot={}", taken.display())).await?;
        let mut quantize = std::process::Command::new("pngquant");
        run_program(quantize.args(["--force", "--output"]).arg(picture).args(["64", "--"]).arg(taken))
    }

    /// Opens a page in a browser that knows nothing yet; answers with what it printed. Browsers that skip time hang now and then, so
    /// there are several tries.
    async fn open(&self, page: &str, action: &str) -> Result<String> {
        for _ in 0..TRIES {
            let profile = self.folder.join("profile");
            recreate(&profile)?;
            let shown = Command::new("chromium")
                .args(ALONE)
                .arg(format!("--user-data-dir={}", profile.display()))
                .arg(format!("--virtual-time-budget={BUDGET}"))
                .arg(action)
                .arg(format!("http://{}/#{page}", self.address))
                .stdin(Stdio::null())
                .kill_on_drop(true)
                .output();
            if let Ok(output) = timeout(PATIENCE, shown).await {
                let output = output.context("cannot start chromium")?;
                let complaints = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.success(), "chromium: {}\n{complaints}", output.status);
                return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
            }
        }
        bail!("chromium hangs")
    }
}
