//! TLS: trusted root certificates, an optional client certificate, and encrypted connections.
//!
//! Without the feature `tls`, `plain.rs` takes the place of this module.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::error::{Error, invalid_option};

/// The number of TLS sessions that are kept: eight for the server, and eight for a proxy.
const MAX_SESSIONS: usize = 16;

/// The certificates of a client, each in PEM.
#[derive(Clone, Default)]
pub(super) struct Certificates {
    /// The trusted authorities; `None` for those of the system.
    pub(super) authorities: Option<Vec<u8>>,
    /// The client's own certificate with its chain and its key.
    pub(super) identity: Option<Vec<u8>>,
}

/// A connector that encrypts the connections of `C` to `https` URLs.
pub(super) type Secured<C> = HttpsConnector<C>;

/// A connection that may be encrypted.
pub(super) type MaybeTls<S> = MaybeHttpsStream<S>;

/// Returns an unencrypted connection.
pub(super) fn plain<S>(stream: S) -> MaybeTls<S> {
    MaybeHttpsStream::Http(stream)
}

/// Returns `true` if `error` is one of the TLS handshake.
pub(super) fn is_failure(error: &(dyn StdError + 'static)) -> bool {
    error.is::<rustls::Error>()
}

/// Returns the text of a TLS error whose own text is that of an internal type.
pub(super) fn text(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    let rustls::Error::InvalidCertificate(error) = error.downcast_ref()? else { return None };
    match error {
        CertificateError::UnsupportedSignatureAlgorithmContext { .. } => {
            Some("the server's certificate has a signature such as SHA-1, which is not accepted")
        }
        // The type of these errors belongs to another crate.
        CertificateError::Other(error) => match error.to_string().as_str() {
            "CaUsedAsEndEntity" => Some("the server's certificate is that of an authority, expected one with CA:FALSE"),
            "UnsupportedCertVersion" => Some("the server's certificate has an old format, expected X.509 version 3"),
            _ => None,
        },
        _ => None,
    }
}

/// The configuration of encrypted connections.
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Reads the certificates. Without `is_used`, no authority of the system is trusted.
    pub(super) fn new(certificates: &Certificates, is_used: bool) -> Result<Self, Error> {
        Ok(Self(Arc::new(config(certificates, is_used)?)))
    }

    /// Encrypts the connections of `connector` to `https` URLs.
    pub(super) fn over<C>(&self, connector: C) -> Secured<C> {
        HttpsConnector::from((connector, self.0.clone()))
    }
}

/// Builds the TLS configuration.
///
/// The provider is explicit, since a process may have none or several installed.
fn config(certificates: &Certificates, is_used: bool) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid_option("tls", &error.to_string()))?;
    let config = match &certificates.authorities {
        None if is_used => {
            let verifier = Verifier::new(provider).map_err(|error| {
                invalid_option("ca_certificates", &format!("no certificates from the system: {error}"))
            })?;
            config.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        None => config.with_root_certificates(RootCertStore::empty()),
        Some(pem) => config.with_root_certificates(roots(pem)?),
    };
    let mut config = match &certificates.identity {
        None => config.with_no_client_auth(),
        Some(pem) => {
            let invalid = |problem: &dyn fmt::Display| invalid_option("identity", &problem.to_string());
            let chain = chain(pem).map_err(|error| invalid(&error))?;
            let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| invalid(&error))?;
            config.with_client_auth_cert(chain, key).map_err(|error| invalid(&error))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(MAX_SESSIONS);
    Ok(config)
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_slice_iter(pem).collect()
}

fn roots(pem: &[u8]) -> Result<RootCertStore, Error> {
    let invalid = |problem: &dyn fmt::Display| invalid_option("ca_certificates", &problem.to_string());
    let mut roots = RootCertStore::empty();
    for certificate in chain(pem).map_err(|error| invalid(&error))? {
        roots.add(certificate).map_err(|error| invalid(&error))?;
    }
    if roots.is_empty() {
        return Err(invalid(&"expected at least one certificate"));
    }
    Ok(roots)
}
