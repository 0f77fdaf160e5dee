//! SIGHUP as the parent of this process left it. The program and its tests share this file.

/// Returns `true` if the parent made this process ignore SIGHUP. Only Linux shows that.
pub(crate) fn is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Bit 0 is signal 1.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
