//! `rustdoc` with unstable options on the stable toolchain, for the JSON that the test reads.
//!
//! The variable must not reach cargo: build scripts look at it, and would be run again.

use std::env;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let rustdoc = Command::new("rustdoc").args(env::args_os().skip(1)).env("RUSTC_BOOTSTRAP", "1").status();
    if rustdoc.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
