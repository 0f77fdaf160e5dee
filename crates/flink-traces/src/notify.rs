//! Messages to systemd, which a unit with `Type=notify` waits for.

use std::env;
use std::io;
use std::time::Duration;

/// Sends a message such as `READY=1`, if systemd asks for messages.
pub(crate) fn notify(message: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(&socket, message) {
        tracing::debug!(%error, message, "cannot notify the supervisor");
    }
}

/// Says that the configuration is read again. `READY=1` ends that.
pub(crate) fn notify_reload() {
    #[cfg(unix)]
    let now = {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1_000
    };
    #[cfg(not(unix))]
    let now = 0_u64;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
}

/// Returns the pause between two signs of life, which is half of what systemd allows.
pub(crate) fn watchdog_pause() -> Option<Duration> {
    let micros: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok().filter(|micros| *micros > 0)?;
    let is_ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
    is_ours.then(|| Duration::from_micros(micros / 2).max(Duration::from_millis(1)))
}

#[cfg(target_os = "linux")]
fn send(socket: &std::ffi::OsStr, message: &str) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(not(target_os = "linux"))]
fn send(_: &std::ffi::OsStr, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
