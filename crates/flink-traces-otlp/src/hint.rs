//! The likely causes of failures, for people: in logs and in `check`.

use std::fmt;

/// A likely cause, and the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    /// gRPC to a port of HTTP/1.
    GrpcToHttp,
    /// HTTP/1 to a port of gRPC.
    HttpToGrpc,
    /// Plain text to a port of TLS.
    PlainToTls,
    /// TLS to a port of plain text.
    TlsToPlain,
    /// Another path, perhaps none.
    NoPath,
    /// An encoding or a version of HTTP that the server does not have.
    OtherProtocol,
    /// A gRPC server without the service of the signal.
    NoService,
    /// A redirect.
    Redirect,
    /// A web server, perhaps a proxy with a login page.
    WebPage,
    /// A proxy that rejects its credentials.
    ProxyCredentials,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GrpcToHttp => {
                "this port speaks HTTP/1: set `exporter.protocol` to `http`, or use the collector's gRPC port, usually 4317"
            }
            Self::HttpToGrpc => {
                "this port speaks gRPC: set `exporter.protocol` to `grpc`, or use the collector's HTTP port, usually 4318"
            }
            Self::PlainToTls => "this port expects TLS: begin `exporter.endpoint` with https://",
            Self::TlsToPlain => "this port has no TLS: begin `exporter.endpoint` with http://",
            Self::NoPath => {
                "no OTLP receiver at this path: `exporter.endpoint` usually ends with /v1/traces for spans and /v1/logs for events"
            }
            Self::OtherProtocol => "the server does not take this kind of request: check `exporter.protocol` and the port",
            Self::NoService => "the collector takes no such records: check the pipelines of its OTLP receiver",
            Self::Redirect => "redirects are not followed: set `exporter.endpoint` to the final address",
            Self::WebPage => {
                "a web server or a proxy responds instead of a collector: check the host, the port and `exporter.proxy`"
            }
            Self::ProxyCredentials => "the proxy rejects its credentials: check the user and password in `exporter.proxy`",
        })
    }
}
