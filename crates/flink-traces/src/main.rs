//! The flink-traces command.
fn main() {}
