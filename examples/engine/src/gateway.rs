//! The operations of Flink's REST API on the job, and the server of that API.

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use flink_rest::types::HardwareDescription;
use flink_rest::{RestServer, ServerOptions};
use flink_traces_runtime::checkpoint::CheckpointType;
use flink_traces_runtime::job::ExecutionAttemptId;
use flink_traces_runtime::rest::{
    ClusterInfo, NotSupported, PendingOperation, RestfulGateway, SavepointRequest, TaskExecutorRegistration,
    TriggerSavepointMode,
};
use flink_traces_runtime::{JobHandle, Reporting};
use tokio::sync::oneshot;

use crate::options;
use crate::subtask::Report;

/// Flink's value for an unknown size.
const UNKNOWN: i64 = -1;

/// A message to the coordinator.
#[derive(Debug)]
pub(crate) enum Message {
    /// A report of a subtask.
    Report(ExecutionAttemptId, Report),
    /// An operation of a client.
    Operation(Operation),
}

/// An operation on the job.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Take a checkpoint or a savepoint.
    Snapshot(Snapshot),
    /// Check the [`EndRequest`].
    End,
}

/// The reason for a checkpoint.
#[derive(Debug)]
pub(crate) enum Snapshot {
    /// The interval has passed.
    Periodic,
    /// A client requested a checkpoint.
    Checkpoint(CheckpointType, PendingOperation<i64>),
    /// A client requested a savepoint in this folder.
    Savepoint(TriggerSavepointMode, PathBuf, PendingOperation<String>),
}

impl Snapshot {
    /// Reports the failure to the client.
    pub(crate) fn fail(self, error: &dyn Error) {
        match self {
            Self::Periodic => {}
            Self::Checkpoint(_, operation) => operation.fail(error),
            Self::Savepoint(_, _, operation) => operation.fail(error),
        }
    }
}

/// A savepoint request without a folder.
#[derive(Debug, thiserror::Error)]
#[error("no folder for the savepoint: the request names none, and execution.checkpointing.savepoint-dir is not set")]
struct NoFolder;

/// A request to end the job before it has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndRequest {
    /// The job ends for good.
    Cancel,
    /// The process ends, and the next one continues the job.
    ShutDown,
}

/// Passes operations to the coordinator.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// The folder of savepoints, unless the request names one.
    savepoints: Option<PathBuf>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The channel to the coordinator, while the job runs.
    coordinator: Option<SyncSender<Message>>,
    end_request: Option<EndRequest>,
}

impl Gateway {
    pub(crate) fn new(savepoints: Option<PathBuf>) -> Self {
        Self { savepoints, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Sets the channel for operations. With `None`, operations are dropped.
    pub(crate) fn connect(&self, coordinator: Option<SyncSender<Message>>) {
        self.lock().coordinator = coordinator;
    }

    /// Returns the request to end the job, if there is one.
    pub(crate) fn end_request(&self) -> Option<EndRequest> {
        self.lock().end_request
    }

    /// Waits until a client shuts the cluster down.
    pub(crate) fn wait_for_shutdown(&self) {
        let is_up = |state: &mut State| state.end_request != Some(EndRequest::ShutDown);
        drop(self.changed.wait_while(self.lock(), is_up));
    }

    /// Sends an operation to the coordinator.
    ///
    /// An operation that cannot be sent is dropped, which reports a failure to its client.
    fn send(&self, operation: Operation) {
        if let Some(coordinator) = &self.lock().coordinator {
            // A thread of the server must not wait.
            let _ = coordinator.try_send(Message::Operation(operation));
        }
    }

    fn end(&self, request: EndRequest) {
        self.lock().end_request = Some(request);
        self.changed.notify_all();
        self.send(Operation::End);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RestfulGateway for Gateway {
    fn cancel_job(&self, _: &str) -> Result<(), NotSupported> {
        self.end(EndRequest::Cancel);
        Ok(())
    }

    fn trigger_checkpoint(
        &self,
        _: &str,
        checkpoint_type: CheckpointType,
        operation: PendingOperation<i64>,
    ) -> Result<(), NotSupported> {
        self.send(Operation::Snapshot(Snapshot::Checkpoint(checkpoint_type, operation)));
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
            Some(folder) => self.send(Operation::Snapshot(Snapshot::Savepoint(request.mode, folder, operation))),
            None => operation.fail(&NoFolder),
        }
        Ok(())
    }

    fn shut_down_cluster(&self) -> Result<(), NotSupported> {
        self.end(EndRequest::ShutDown);
        Ok(())
    }
}

/// Flink's REST API on a thread of its own, which ends when this value is dropped.
pub(crate) struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `job`, and passes operations to `gateway`.
    pub(crate) fn start(
        port: u16,
        reporting: &Reporting,
        slots: u32,
        job: &JobHandle,
        gateway: Arc<Gateway>,
    ) -> Result<Self> {
        let info = ClusterInfo::new("2.3.0", concat!("engine ", env!("CARGO_PKG_VERSION")).to_owned())
            .with_refresh_interval(1000)
            .with_web_cancel(true);
        let cluster = reporting.rest_cluster(info).with_gateway(gateway);
        cluster.register_task_executor(task_manager(slots));
        cluster.add_job(job.tracked()?);
        let options = ServerOptions::new((Ipv4Addr::LOCALHOST, port));
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
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread.map_err(|error| anyhow!("cannot start the REST thread: {error}"))?),
        })
    }
}

/// Returns the id of the only TaskManager, which is this process.
pub(crate) fn task_manager_id() -> String {
    format!("process-{}", std::process::id())
}

fn task_manager(slots: u32) -> TaskExecutorRegistration {
    let cpu_cores = thread::available_parallelism().map_or(UNKNOWN, |cores| cores.get() as i64);
    let mut hardware = HardwareDescription::default();
    hardware.cpu_cores = cpu_cores;
    hardware.physical_memory = UNKNOWN;
    hardware.free_memory = UNKNOWN;
    TaskExecutorRegistration::new(task_manager_id(), format!("threads of process {}", std::process::id()), slots)
        .with_hardware(hardware)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
