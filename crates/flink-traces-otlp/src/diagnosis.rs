//! A look at the protocol of a port after a connection failed, to name the likely cause.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::{Protocol, Target};
use crate::hint::Hint;
use crate::tls;

/// The time limit of a question to a port. There are at most three.
const LIMIT: Duration = Duration::from_secs(1);
/// The start of a connection of HTTP/2, with empty settings.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const HTTP1: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// The size of the head of an HTTP/2 frame, which is enough of every protocol.
const ENOUGH: usize = 9;

/// A protocol, by the first bytes of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
    Tls,
}

/// Returns the likely cause of a failed connection to a target.
///
/// Opens up to three connections, one after the other, and sends nothing that is configured.
/// Returns `None` if the port speaks the expected protocol, if it does not respond, or if there is
/// a proxy.
pub(crate) async fn ask(target: &Target) -> Option<Hint> {
    if target.proxy.is_some() {
        return None;
    }
    let is_tls = target.url.scheme() == "https";
    let hello = hello(target);
    let hello = hello.as_deref().unwrap_or_default();
    // Go's TLS ports respond to HTTP/1 in plain text, so that question would hide the TLS.
    let questions = match target.protocol {
        Protocol::Http | Protocol::HttpJson if !is_tls => [hello, HTTP1, HTTP2],
        _ => [hello, HTTP2, HTTP1],
    };
    for question in questions {
        if let Some(spoken) = speak(target, question).await {
            return match (spoken, target.protocol) {
                (Spoken::Tls, _) if !is_tls => Some(Hint::PlainToTls),
                (Spoken::Http1 | Spoken::Http2, _) if is_tls => Some(Hint::TlsToPlain),
                (Spoken::Http1, Protocol::Grpc) => Some(Hint::GrpcToHttp),
                (Spoken::Http2, Protocol::Http | Protocol::HttpJson) => Some(Hint::HttpToGrpc),
                _ => None,
            };
        }
    }
    None
}

/// Returns the first message of a TLS handshake.
fn hello(target: &Target) -> Option<Vec<u8>> {
    let config = tls::client_config(&target.tls).ok()?;
    let name = ServerName::try_from(target.url.host_str()?.trim_matches(['[', ']']).to_owned()).ok()?;
    let mut hello = Vec::new();
    ClientConnection::new(Arc::new(config), name).ok()?.write_tls(&mut hello).ok()?;
    Some(hello)
}

/// Sends bytes to the port, and returns the protocol in which it responds.
async fn speak(target: &Target, question: &[u8]) -> Option<Spoken> {
    let (host, port) = (target.url.host_str()?.trim_matches(['[', ']']), target.url.port_or_known_default()?);
    let mut start = Vec::new();
    let conversation = async {
        let mut stream = TcpStream::connect((host, port)).await?;
        // The server may close the connection after its response, so there may be a response even
        // if this fails.
        let _ = stream.write_all(question).await;
        while start.len() < ENOUGH && stream.read_buf(&mut start).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    let _ = timeout(LIMIT, conversation).await;
    spoken(&start)
}

fn spoken(start: &[u8]) -> Option<Spoken> {
    match start {
        // An alert, or a handshake.
        [0x15 | 0x16, 3, ..] => Some(Spoken::Tls),
        // Some servers respond to another version with a page alone.
        [b'H', b'T', b'T', b'P', b'/', b'1', ..] | [b'<', ..] => Some(Spoken::Http1),
        // The settings of stream 0.
        [_, _, _, 4, _, 0, 0, 0, 0, ..] => Some(Spoken::Http2),
        _ => None,
    }
}
