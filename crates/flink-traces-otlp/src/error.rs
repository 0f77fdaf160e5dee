//! Errors that several modules share.

use std::error::Error;
use std::io;

use flink_traces_api::ConfigError;

/// An error of any kind, for a message.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The reason why a spool cannot be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The directory or a file cannot be read or written.
    Io(io::Error),
    /// The delivery for the spool cannot be set up.
    Config(ConfigError),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ConfigError> for OpenError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}
