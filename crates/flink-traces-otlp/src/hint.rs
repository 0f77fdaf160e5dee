//! The likely causes of failures, for people: in logs and in `check`.

use std::fmt;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

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
    /// A certificate of an authority that is not trusted.
    UnknownIssuer,
    /// A certificate whose time is over, or has not begun.
    CertificateTime,
    /// A certificate of another host.
    OtherHost,
    /// A certificate of an authority in the place of one of a server.
    AuthorityAsServer,
    /// A certificate of a version before 3.
    OldCertificate,
    /// A signature by an algorithm that is not accepted.
    WeakSignature,
    /// A collector that requires a client certificate, or another one.
    ClientCertificate,
    /// A collector without TLS 1.2 and 1.3.
    OldTls,
}

impl Hint {
    /// Returns the likely cause of a failed TLS handshake.
    pub(crate) fn of_tls(error: &TlsError) -> Option<Self> {
        match error {
            TlsError::InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer => Some(Self::UnknownIssuer),
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Some(Self::CertificateTime),
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Some(Self::OtherHost)
                }
                CertificateError::UnsupportedSignatureAlgorithmContext { .. } => Some(Self::WeakSignature),
                // The type of these errors belongs to another crate.
                CertificateError::Other(error) => match error.to_string().as_str() {
                    "CaUsedAsEndEntity" => Some(Self::AuthorityAsServer),
                    "UnsupportedCertVersion" => Some(Self::OldCertificate),
                    _ => None,
                },
                _ => None,
            },
            TlsError::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied => Some(Self::ClientCertificate),
                AlertDescription::ProtocolVersion => Some(Self::OldTls),
                _ => None,
            },
            TlsError::PeerIncompatible(_) => Some(Self::OldTls),
            _ => None,
        }
    }
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
            Self::UnknownIssuer => {
                "no trusted authority issued the collector's certificate: set `exporter.ca-certificates` to a PEM file with its issuer"
            }
            Self::CertificateTime => "the collector's certificate is not valid now: renew it, or check the clock",
            Self::OtherHost => {
                "the collector's certificate is for another host: use a host name from the certificate in `exporter.endpoint`"
            }
            Self::AuthorityAsServer => {
                "the collector's certificate is that of an authority: issue one with `basicConstraints=CA:FALSE`"
            }
            Self::OldCertificate => {
                "the collector's certificate has an old format: issue one of X.509 version 3, with a `subjectAltName`"
            }
            Self::WeakSignature => "the collector's certificate has a signature such as SHA-1: issue one with SHA-256",
            Self::ClientCertificate => {
                "the collector does not accept the client certificate: check `exporter.client-certificate` and `exporter.client-key`"
            }
            Self::OldTls => "the collector has no TLS 1.2 or 1.3: update it",
            Self::ProxyCredentials => "the proxy rejects its credentials: check the user and password in `exporter.proxy`",
        })
    }
}
