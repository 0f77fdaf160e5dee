//! Prints the spans and events that it receives over OTLP, until its standard input ends.
//!
//! Run it with `cargo run -p flink-traces-testkit --example collector`. It listens on port 4317,
//! or on the port of the first argument.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;
use std::io;
use std::thread;
use std::time::Duration;

use flink_traces_testkit::OtlpCollector;

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(4317), |port| port.parse())?;
    let collector = OtlpCollector::start_on(port)?;
    println!("listening on {}, Ctrl-C ends it", collector.grpc_endpoint());
    let input = thread::spawn(|| io::copy(&mut io::stdin(), &mut io::sink()));
    let mut printed = 0;
    while !input.is_finished() {
        thread::sleep(Duration::from_millis(100));
        for span in collector.take_spans() {
            println!("{}", span.plain());
        }
        for event in collector.events().iter().skip(printed) {
            println!("{}", event.plain());
            printed += 1;
        }
    }
    Ok(())
}
