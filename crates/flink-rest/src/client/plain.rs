//! Connections without TLS, in place of `tls.rs` if the feature `tls` is off.

use std::error::Error as StdError;

use super::error::{Error, invalid_option};

/// The certificates of a client, of which there are none.
#[derive(Clone, Default)]
pub(super) struct Certificates {}

/// The connector itself.
pub(super) type Secured<C> = C;

/// The connection itself.
pub(super) type MaybeTls<S> = S;

/// Returns the connection.
pub(super) fn plain<S>(stream: S) -> MaybeTls<S> {
    stream
}

/// Returns `false`, since there is no TLS handshake.
pub(super) fn is_failure(_: &(dyn StdError + 'static)) -> bool {
    false
}

/// Returns `None`, since there are no TLS errors.
pub(super) fn text(_: &(dyn StdError + 'static)) -> Option<&'static str> {
    None
}

/// The refusal of encrypted connections.
pub(super) struct Tls;

impl Tls {
    /// Fails if a URL needs TLS, so that a credential is never sent in the clear instead.
    pub(super) fn new(_: &Certificates, is_used: bool) -> Result<Self, Error> {
        match is_used {
            true => Err(invalid_option("tls", "an https:// URL needs the feature `tls` of the crate flink-rest")),
            false => Ok(Self),
        }
    }

    /// Returns the connector.
    pub(super) fn over<C>(&self, connector: C) -> Secured<C> {
        connector
    }
}
