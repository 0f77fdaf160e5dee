//! The line between `flink-traces` and the API server, which the harness can cut.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A forwarder of connections, which are closed when this is dropped.
pub(super) struct Line {
    port: u16,
    /// `true` while connections are forwarded.
    is_open: watch::Sender<bool>,
    _forwarding: JoinSet<()>,
}

impl Line {
    /// Forwards connections to a port of this machine.
    pub(super) async fn start(to: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let is_open = watch::Sender::new(true);
        let mut forwarding = JoinSet::new();
        let state = is_open.subscribe();
        forwarding.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(forward(connection, (Ipv4Addr::LOCALHOST, to).into(), state.clone()));
            }
        });
        Ok(Self { port, is_open, _forwarding: forwarding })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Closes all connections. New ones are accepted, and stay silent until [`open`](Self::open).
    pub(super) fn close(&self) {
        self.is_open.send_replace(false);
    }

    /// Forwards connections again.
    pub(super) fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Closes all connections, and forwards new ones.
    pub(super) async fn cut(&self) {
        self.close();
        // The tasks of the connections see the state before it changes again.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        self.open();
    }
}

async fn forward(mut from: TcpStream, to: SocketAddr, mut state: watch::Receiver<bool>) {
    if state.wait_for(|is_open| *is_open).await.is_err() {
        return;
    }
    let Ok(mut to) = TcpStream::connect(to).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut from, &mut to) => {}
        _ = state.wait_for(|is_open| !*is_open) => {}
    }
}
