//! Clocks of the operating system: CPU time rather than the time on the wall, which other programs share.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The CPU time that this process has used, all threads together.
pub(crate) fn process() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// The CPU time that this thread has used.
pub(crate) fn thread() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The bytes of memory that a process has in RAM; 0 where that cannot be read.
pub(crate) fn resident(process: &str) -> f64 {
    const KIB: f64 = 1024.0;
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or_default() * KIB
}
