//! The process that plays all clusters of a fleet, on one port.
//!
//! It writes its address and the [`World`], and then one answer for each line of standard input. It
//! writes HTTP itself, so that it needs little of the machine that it shares with the program.

use std::io::{BufRead as _, Write as _};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::world::{Scale, World};

/// The time for which a JobManager caches responses.
const CACHE_MS: i64 = 3_000;
/// The time that a slow cluster needs for each response.
pub(super) const SLOW: Duration = Duration::from_secs(10);
/// The time from the command until the storm begins.
const CALM_MS: i64 = 1_000;

/// The first line of the process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Served {
    pub(super) port: u16,
    pub(super) world: World,
}

/// The kinds of requests that are counted.
pub(super) const KINDS: [&str; 11] = [
    "/jobs/overview",
    "/config, /jobmanager/config",
    "/jobs/:jobid",
    "…/exceptions",
    "…/metrics",
    "…/checkpoints",
    "…/checkpoints/config",
    "…/checkpoints/details/:checkpointid",
    "…/checkpoints/details/:checkpointid/subtasks/:vertexid",
    "…/vertices/:vertexid/subtasktimes",
    "…/attempts/:attempt",
];

/// The numbers of requests to session clusters and to applications, by kind, and those that have no
/// such resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) sessions: [u64; KINDS.len()],
    pub(super) applications: [u64; KINDS.len()],
    pub(super) missing: u64,
}

impl Counts {
    /// Returns the number of all requests with a resource.
    pub(super) fn all(&self) -> u64 {
        self.sessions.iter().chain(&self.applications).sum()
    }
}

struct Shared {
    world: RwLock<World>,
    counts: [[AtomicU64; KINDS.len()]; 2],
    missing: AtomicU64,
    /// The times as of which each job's graph and statistics are cached.
    cached: Vec<[AtomicI64; 2]>,
    /// The cluster that is slow, or the largest number.
    slow: AtomicUsize,
}

/// Plays the clusters until standard input is closed.
pub(super) fn run(scale: Scale) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let world = World::new(scale, now());
    let shared = Arc::new(Shared {
        world: RwLock::new(world),
        counts: Default::default(),
        missing: AtomicU64::new(0),
        cached: (0..world.jobs()).map(|_| Default::default()).collect(),
        slow: AtomicUsize::new(usize::MAX),
    });
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    say(&Served { port: listener.local_addr()?.port(), world })?;
    let commands = std::thread::spawn({
        let shared = shared.clone();
        move || obey(&shared)
    });
    runtime.block_on(async move {
        while !commands.is_finished() {
            let accepted = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
            match accepted {
                Ok(Ok((stream, _))) => drop(tokio::spawn(converse(stream, shared.clone()))),
                Ok(Err(error)) => bail!("cannot accept a connection: {error}"),
                Err(_) => {}
            }
        }
        commands.join().unwrap_or_else(|_| bail!("the commands panicked"))
    })
}

/// Obeys the lines of standard input.
fn obey(shared: &Shared) -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["counts"] => say(&shared.counts())?,
            ["slow", cluster] => {
                shared.slow.store(cluster.parse()?, Ordering::Relaxed);
                say(&())?;
            }
            ["storm"] => {
                let mut world = shared.world.write().unwrap_or_else(PoisonError::into_inner);
                world.storm = Some(now() + CALM_MS);
                say(&*world)?;
            }
            _ => bail!("unknown command {line:?}"),
        }
    }
    Ok(())
}

fn say(message: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_string(message)?;
    line.push('\n');
    Ok(std::io::stdout().write_all(line.as_bytes())?)
}

/// Returns the time in milliseconds since the epoch.
pub(super) fn now() -> i64 {
    let passed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_millis()).unwrap_or_default()
}

/// Answers the requests of one connection, which are never pipelined.
async fn converse(mut stream: TcpStream, shared: Arc<Shared>) -> Result<()> {
    let _ = stream.set_nodelay(true);
    let mut received = Vec::with_capacity(512);
    let mut response = String::new();
    loop {
        received.clear();
        while !received.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        }
        let head = std::str::from_utf8(&received)?;
        let path = head.split(' ').nth(1).context("not a request")?;
        let (cluster, path) = path.trim_start_matches('/').split_once('/').context("no cluster")?;
        let cluster = cluster.parse()?;
        let body = shared.body(cluster, path);
        if shared.slow.load(Ordering::Relaxed) == cluster {
            tokio::time::sleep(SLOW).await;
        }
        let (status, body) = match &body {
            Some(body) => ("200 OK", body.as_str()),
            None => (
                "404 Not Found",
                r#"{"errors":["org.apache.flink.runtime.rest.handler.RestHandlerException: not here"]}"#,
            ),
        };
        response.clear();
        response.push_str("HTTP/1.1 ");
        response.push_str(status);
        response.push_str("\r\ncontent-type: application/json; charset=UTF-8\r\ncontent-length: ");
        response.push_str(&body.len().to_string());
        response.push_str("\r\n\r\n");
        response.push_str(body);
        stream.write_all(response.as_bytes()).await?;
    }
}

impl Shared {
    fn counts(&self) -> Counts {
        let [sessions, applications] =
            [0, 1].map(|class| std::array::from_fn(|kind| self.counts[class][kind].load(Ordering::Relaxed)));
        Counts { sessions, applications, missing: self.missing.load(Ordering::Relaxed) }
    }

    /// Returns the time as of which the graph (0) or the statistics (1) of a job are shown.
    fn cached(&self, job: usize, what: usize) -> i64 {
        let (now, cached) = (now(), &self.cached[job][what]);
        let at = cached.load(Ordering::Relaxed);
        if now < at + CACHE_MS {
            return at;
        }
        cached.store(now, Ordering::Relaxed);
        now
    }

    /// Returns the body of a response; `None` if the cluster has no such resource.
    fn body(&self, cluster: usize, path: &str) -> Option<String> {
        let world = *self.world.read().unwrap_or_else(PoisonError::into_inner);
        let is_application = world.is_application(cluster);
        let found = self.resource(&world, cluster, path);
        match found {
            Some((kind, body)) => {
                self.counts[usize::from(is_application)][kind].fetch_add(1, Ordering::Relaxed);
                if body.is_none() {
                    self.missing.fetch_add(1, Ordering::Relaxed);
                }
                body
            }
            None => {
                self.missing.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Returns the kind of a resource and its body.
    fn resource(&self, world: &World, cluster: usize, path: &str) -> Option<(usize, Option<String>)> {
        let path = path.split('?').next().unwrap_or_default();
        let segments: Vec<_> = path.split('/').collect();
        let job = |id: &str| {
            let number = usize::try_from(u64::from_str_radix(id.trim_start_matches('0'), 16).ok()?).ok()?;
            let number = number.checked_sub(1).filter(|number| world.jobs_of(cluster).contains(number))?;
            Some(world.job(number))
        };
        let number = |id: &str| id.parse::<i64>().ok();
        match segments.as_slice() {
            ["jobs", "overview"] => {
                let (now, mut body) = (now(), String::from(r#"{"jobs":["#));
                for number in world.jobs_of(cluster) {
                    if body.len() > 10 {
                        body.push(',');
                    }
                    world.job(number).write_summary(now, &mut body);
                }
                Some((0, Some(body + "]}")))
            }
            ["config"] => Some((1, Some(CONFIG.to_owned()))),
            ["jobmanager", "config"] => {
                let target = if world.is_application(cluster) { "application" } else { "session" };
                let entries = format!(
                    r#"[{{"key":"execution.target","value":"kubernetes-{target}"}},{{"key":"rest.port","value":"8081"}},{{"key":"parallelism.default","value":"4"}}]"#
                );
                Some((1, Some(entries)))
            }
            ["jobs", id] => Some((2, job(id).map(|job| job.details(self.cached(job.number, 0))))),
            ["jobs", id, "exceptions"] => Some((3, job(id).map(|job| job.exceptions(self.cached(job.number, 0))))),
            ["jobs", _, "metrics"] => Some((4, Some("[]".to_owned()))),
            ["jobs", id, "checkpoints"] => Some((5, job(id).map(|job| job.checkpoints(self.cached(job.number, 1))))),
            ["jobs", id, "checkpoints", "config"] => Some((6, job(id).map(|job| job.checkpoint_config()))),
            ["jobs", id, "checkpoints", "details", checkpoint] => {
                Some((7, job(id).and_then(|job| job.checkpoint(number(checkpoint)?, self.cached(job.number, 1)))))
            }
            ["jobs", id, "checkpoints", "details", checkpoint, "subtasks", _] => {
                Some((8, job(id).and_then(|job| job.subtasks(number(checkpoint)?, self.cached(job.number, 1)))))
            }
            ["jobs", id, "vertices", vertex, "subtasktimes"] => {
                let vertex = usize::from_str_radix(vertex.get(16..)?, 16).ok()?;
                Some((9, job(id).map(|job| job.times(vertex, self.cached(job.number, 0)))))
            }
            ["jobs", id, "vertices", _, "subtasks", subtask, "attempts", _] => {
                let subtask = subtask.parse().ok()?;
                Some((10, job(id).and_then(|job| job.attempt(subtask, self.cached(job.number, 0)))))
            }
            _ => None,
        }
    }
}

const CONFIG: &str = r#"{"refresh-interval":3000,"timezone-name":"Coordinated Universal Time","timezone-offset":0,"flink-version":"2.3.0","flink-revision":"c0f8d1a @ 2026-06-14T16:29:03+02:00","features":{"web-submit":true,"web-cancel":true,"web-rescale":false,"web-history":false}}"#;
