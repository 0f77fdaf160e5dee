//! `cargo e2e web`: Flink's own web UI, in a browser, on the REST API of the example engine.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flink_rest::{Client, Job, JobStatus, TaskManagers, TriggerCheckpoint, YarnCancelJob};
use harness::flink::{Distribution, REST_VERSIONS};
use harness::{build, recreate, run as run_program, say, workspace_root};
use tokio::net::TcpListener;

use crate::browser::{open, take_picture};
use crate::engine::Engine;
use crate::session::{STEP_TIMEOUT, run_until_interrupted};
use crate::target;

/// The picture in the documentation, which shows the newest version.
const PICTURE: &str = "docs/web-ui-checkpoints.png";
/// Runs a session with the web UI of each version. All processes end with it, even after an
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
    // One of these fails.
    while last < 8 {
        let operation = TriggerCheckpoint::new(job.clone());
        // No checkpoint is possible during the restart.
        last =
            engine.client.run(&operation, STEP_TIMEOUT).await.ok().and_then(|done| done.checkpoint_id).unwrap_or(last);
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
        // Pages with a text editor (exceptions, configuration) never settle in virtual time.
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
            let page = browser.url(&format!("/job/running/{job}/checkpoints"));
            take_picture(folder, &page, picture).await?;
        }
        say("canceling by the request of the page's button");
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

/// The files of Flink's web UI, and the client for all other requests.
struct Site {
    files: BTreeMap<String, Vec<u8>>,
    client: Client,
    /// The requests that the engine did not answer with status 200, with that status.
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
            let path = request.uri().path_and_query().map_or("", |path| path.as_str());
            let (status, content) = match site.client.get_raw(path).await {
                Ok(response) => (response.status, response.body.to_vec()),
                Err(error) => (502, error.to_string().into_bytes()),
            };
            if status != 200 {
                site.refused.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{path}: {status}"));
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

/// Collects all files of a folder by their relative paths. Requests can reach no other file.
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
    /// Opens a page, which must show these texts without a failed request.
    async fn expect(&self, page: &str, texts: &[&str]) -> Result<()> {
        say(&format!("the page {page}"));
        let shown = open(self.folder, &self.url(page), "--dump-dom").await?;
        fs::write(self.folder.join("page.html"), &shown)?;
        for text in texts {
            ensure!(shown.contains(text), "{page}: expected {text:?}, found the content of page.html");
        }
        let refused = std::mem::take(&mut *self.site.refused.lock().unwrap_or_else(PoisonError::into_inner));
        ensure!(refused.is_empty(), "{page} failed requests: {refused:?}");
        Ok(())
    }

    fn url(&self, page: &str) -> String {
        format!("http://{}/#{page}", self.address)
    }
}
