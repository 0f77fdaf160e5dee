//! Tests of the crate over its public API, in one binary.

#[cfg(feature = "client")]
mod client;
mod recorded;
mod resource;
#[cfg(all(feature = "client", feature = "server"))]
mod server;
