//! What others may do to the job over Flink's REST API, and the server of that API.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use flink_rest::types::HardwareDescription;
use flink_rest::{RestServer, ServerOptions};
use flink_traces_api::SystemClock;
use flink_traces_runtime::Configuration;
use flink_traces_runtime::checkpoint::CheckpointType;
use flink_traces_runtime::job::ExecutionAttemptId;
use flink_traces_runtime::rest::{
    ClusterInfo, NotSupported, PendingOperation, RestfulGateway, SavepointRequest, TaskExecutorRegistration,
    TrackedCluster, TrackedJob, TriggerSavepointMode,
};
use tokio::sync::oneshot;

use crate::options;
use crate::subtask::Report;

/// What Flink writes for a size that is not known.
const UNKNOWN: i64 = -1;

/// What the coordinator is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// Something of a subtask.
    Report(ExecutionAttemptId, Report),
    /// Something that a user wants.
    Order(Order),
}

/// What a user wants of the job.
#[derive(Debug)]
pub(crate) enum Order {
    /// A checkpoint, or a savepoint.
    Snapshot(Snapshot),
    /// To look at what has been [`Wanted`].
    End,
}

/// Why a checkpoint is taken.
#[derive(Debug)]
pub(crate) enum Snapshot {
    /// It was time for one.
    Periodic,
    /// Somebody wants one.
    Checkpoint(CheckpointType, PendingOperation<i64>),
    /// Somebody wants a savepoint, in this folder.
    Savepoint(TriggerSavepointMode, PathBuf, PendingOperation<String>),
}

impl Snapshot {
    /// Tells whoever wanted it that it failed.
    pub(crate) fn fail(self, error: &dyn Error) {
        match self {
            Self::Periodic => {}
            Self::Checkpoint(_, operation) => operation.fail(error),
            Self::Savepoint(_, _, operation) => operation.fail(error),
        }
    }
}

/// A savepoint was wanted, and nobody said where.
#[derive(Debug, thiserror::Error)]
#[error("no folder for the savepoint: none was named, and execution.checkpointing.savepoint-dir is not set")]
struct NoFolder;

/// How the job shall end before it has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// For good.
    Cancel,
    /// With the process, so that the next one goes on with it.
    ShutDown,
}

/// Hands orders to the coordinator.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// Where savepoints go that are ordered without a folder.
    savepoints: Option<PathBuf>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// To the coordinator, while the job runs.
    coordinator: Option<SyncSender<Message>>,
    wanted: Option<Wanted>,
}

impl Gateway {
    pub(crate) fn new(savepoints: Option<PathBuf>) -> Self {
        Self { savepoints, state: Mutex::default(), changed: Condvar::new() }
    }

    /// From now on orders go there, or nowhere.
    pub(crate) fn connect(&self, coordinator: Option<SyncSender<Message>>) {
        self.lock().coordinator = coordinator;
    }

    /// How the job shall end.
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        self.lock().wanted
    }

    /// Waits until everything shall end.
    pub(crate) fn wait_for_shutdown(&self) {
        let goes_on = |state: &mut State| state.wanted != Some(Wanted::ShutDown);
        drop(self.changed.wait_while(self.lock(), goes_on));
    }

    /// An order that cannot be handed over is dropped, which is told to whoever asks after it.
    fn give(&self, order: Order) {
        if let Some(coordinator) = &self.lock().coordinator {
            // A server's thread must not wait.
            let _ = coordinator.try_send(Message::Order(order));
        }
    }

    fn want(&self, wanted: Wanted) {
        self.lock().wanted = Some(wanted);
        self.changed.notify_all();
        self.give(Order::End);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RestfulGateway for Gateway {
    fn cancel_job(&self, _: &str) -> Result<(), NotSupported> {
        self.want(Wanted::Cancel);
        Ok(())
    }

    fn trigger_checkpoint(
        &self,
        _: &str,
        checkpoint_type: CheckpointType,
        operation: PendingOperation<i64>,
    ) -> Result<(), NotSupported> {
        self.give(Order::Snapshot(Snapshot::Checkpoint(checkpoint_type, operation)));
        Ok(())
    }

    fn trigger_savepoint(
        &self,
        _: &str,
        request: SavepointRequest,
        operation: PendingOperation<String>,
    ) -> Result<(), NotSupported> {
        let folder = request.target_directory.as_deref().and_then(options::path).or_else(|| self.savepoints.clone());
        match folder {
            Some(folder) => self.give(Order::Snapshot(Snapshot::Savepoint(request.mode, folder, operation))),
            None => operation.fail(&NoFolder),
        }
        Ok(())
    }

    fn shut_down_cluster(&self) -> Result<(), NotSupported> {
        self.want(Wanted::ShutDown);
        Ok(())
    }
}

/// Flink's REST API on a thread of its own. It ends when this is dropped.
pub(crate) struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `job`, and hands orders to `gateway`.
    pub(crate) fn start(
        port: u16,
        configuration: &Configuration,
        slots: u32,
        job: Arc<TrackedJob>,
        gateway: Arc<Gateway>,
    ) -> Result<Self> {
        let info = ClusterInfo::new("2.3.0", concat!("engine ", env!("CARGO_PKG_VERSION")).to_owned())
            .with_refresh_interval(1000)
            .with_web_cancel(true);
        let cluster = TrackedCluster::new(info, Arc::new(SystemClock)).with_gateway(gateway);
        let cluster = cluster.with_configuration(configuration);
        cluster.register_task_executor(worker(slots));
        cluster.add_job(job);
        let options =
            ServerOptions { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ..ServerOptions::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = runtime.block_on(RestServer::bind(cluster, options)).context("rest.port")?;
        tracing::info!("REST API at http://{}", server.local_addr()?);
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || {
            runtime.block_on(server.serve(async {
                let _ = stopped.await;
            }));
        };
        let thread = thread::Builder::new().name("rest".to_owned()).spawn(serve);
        Ok(Self { stop: Some(stop), thread: Some(thread.map_err(|error| anyhow!("no thread for REST: {error}"))?) })
    }
}

/// The id of the only worker, which is this process.
pub(crate) fn worker_id() -> String {
    format!("process-{}", std::process::id())
}

fn worker(slots: u32) -> TaskExecutorRegistration {
    let cpu_cores = thread::available_parallelism().map_or(UNKNOWN, |cores| cores.get() as i64);
    TaskExecutorRegistration::new(worker_id(), format!("threads of process {}", std::process::id()), slots)
        .with_hardware(HardwareDescription {
            cpu_cores,
            physical_memory: UNKNOWN,
            free_memory: UNKNOWN,
            ..Default::default()
        })
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
