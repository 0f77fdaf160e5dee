//! CPU clocks of the operating system. Unlike wall time, CPU time excludes other programs.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Returns the CPU time of all threads of this process.
pub(crate) fn process() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// Returns the CPU time of this thread.
pub(crate) fn thread() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Returns the resident memory of a process in bytes, or 0 if it cannot be read.
pub(crate) fn resident(process: &str) -> f64 {
    const KIB: f64 = 1024.0;
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or_default() * KIB
}
