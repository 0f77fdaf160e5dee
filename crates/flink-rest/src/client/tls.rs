//! TLS settings: trusted root certificates and an optional client certificate.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::error::{Error, invalid_option};

/// The certificates of a client, each in PEM.
pub(super) struct Certificates<'a> {
    /// The trusted authorities; `None` for those of the system.
    pub(super) authorities: Option<&'a [u8]>,
    /// The client's own certificate with its chain and its key.
    pub(super) identity: Option<&'a [u8]>,
}

/// Builds the TLS configuration. Without `is_used`, it trusts no authority of the system.
///
/// The provider is explicit, since a process may have none or several installed.
pub(super) fn config(certificates: &Certificates<'_>, is_used: bool) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid_option("tls", &error.to_string()))?;
    let config = match certificates.authorities {
        None if is_used => {
            let verifier = Verifier::new(provider).map_err(|error| {
                invalid_option("ca_certificates", &format!("no certificates from the system: {error}"))
            })?;
            config.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        None => config.with_root_certificates(RootCertStore::empty()),
        Some(pem) => config.with_root_certificates(roots(pem)?),
    };
    let mut config = match certificates.identity {
        None => config.with_no_client_auth(),
        Some(pem) => {
            let invalid = |problem: &dyn fmt::Display| invalid_option("identity", &problem.to_string());
            let chain = chain(pem).map_err(|error| invalid(&error))?;
            let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| invalid(&error))?;
            config.with_client_auth_cert(chain, key).map_err(|error| invalid(&error))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
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
