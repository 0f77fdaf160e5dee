//! The signals that stop the program, or have it reload the configuration.

#[cfg(unix)]
mod hangup;

use std::io;
use std::time::{Duration, Instant};

/// The time within which a signal that arrives twice counts once.
///
/// `timeout` signals a process and then its group, and so do terminals and supervisors.
const REPEATED: Duration = Duration::from_secs(1);

/// A listener for SIGTERM, SIGHUP and Ctrl-C, which catches them from its creation on.
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    /// `None` if the program was started to survive the end of its terminal, as by `nohup`.
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    /// Set for a program that SIGHUP does not stop.
    reloads: bool,
    last: Option<(i32, Instant)>,
}

/// A signal to a program that reloads its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caught {
    /// Reload the configuration.
    Reload,
    /// Stop. The program that the signal ends has this exit code.
    Stop(i32),
}

/// The exit code of a program that SIGHUP ends.
const HANGUP: i32 = 129;

impl Signals {
    /// Has SIGHUP no longer stop the program.
    pub(crate) fn with_reload(mut self) -> Self {
        self.reloads = true;
        self
    }

    /// Waits for the next signal.
    pub(crate) async fn caught(&mut self) -> Caught {
        loop {
            let code = self.receive().await;
            if self.reloads && code == HANGUP {
                return Caught::Reload;
            }
            let now = Instant::now();
            if self.last.is_none_or(|(last, at)| last != code || now.duration_since(at) >= REPEATED) {
                self.last = Some((code, now));
                return Caught::Stop(code);
            }
        }
    }

    /// Waits for the next signal that stops the program. Returns the exit code of a program that
    /// the signal ends.
    pub(crate) async fn next(&mut self) -> i32 {
        loop {
            if let Caught::Stop(code) = self.caught().await {
                return code;
            }
        }
    }
}

#[cfg(unix)]
impl Signals {
    /// Starts to listen.
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let hangup = if hangup::is_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup,
            reloads: false,
            last: None,
        })
    }

    async fn receive(&mut self) -> i32 {
        let Self { terminate, interrupt, hangup, .. } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => 143,
            _ = interrupt.recv() => 130,
            _ = hung_up => HANGUP,
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Starts to listen. This cannot fail.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { reloads: false, last: None })
    }

    async fn receive(&mut self) -> i32 {
        // If Ctrl-C cannot be caught, only a kill stops the program.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        130
    }
}
