//! Reports one checkpoint of a job as Flink would, to an OTLP collector.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use flink_traces_otlp::Otlp;
use flink_traces_runtime::{CheckpointType, JobVertex, Reporting, Subtask};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let collector = std::env::args().nth(1).unwrap_or("http://localhost:4317".to_owned());
    let reporting = Reporting::builder().cluster("prod").reporter(Otlp::grpc(collector)).start()?;
    let job = reporting.job("0b1d198cd84d58810f0faf9761017b2f", "orders");

    let checkpoint = job.trigger(7, CheckpointType::Checkpoint, [JobVertex::new("a0", "map", 1)])?;
    checkpoint.ack("a0", Subtask::new(0).state_size(4_096))?;
    checkpoint.complete("file:///checkpoints/chk-7")?;

    reporting.shutdown_blocking().iter().for_each(|account| println!("{account}"));
    Ok(())
}
