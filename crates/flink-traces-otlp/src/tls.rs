//! TLS settings: trusted root certificates and an optional client certificate.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tonic::transport::{ClientTlsConfig, Identity};

use crate::config::TlsConfig;
use crate::error::BoxError;

/// Builds the TLS configuration of HTTP connections.
pub(crate) fn client_config(tls: &TlsConfig) -> Result<ClientConfig, BoxError> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let config = config.dangerous().with_custom_certificate_verifier(verifier(tls)?);
    let Some((certificate, key)) = &tls.client else { return Ok(config.with_no_client_auth()) };
    let key_der = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| unusable(key, error))?;
    config.with_client_auth_cert(certificates(certificate)?, key_der).map_err(|error| unusable(key, error))
}

/// Builds the TLS configuration of gRPC connections.
pub(crate) fn tonic_config(tls: &TlsConfig) -> Result<ClientTlsConfig, BoxError> {
    let Some((certificate, key)) = &tls.client else { return Ok(ClientTlsConfig::new()) };
    // tonic reports invalid files late and without a path, so they are checked here.
    client_config(tls)?;
    Ok(ClientTlsConfig::new().identity(Identity::from_pem(read(certificate)?, read(key)?)))
}

/// Builds the verifier of the collector's certificate.
pub(crate) fn verifier(tls: &TlsConfig) -> Result<Arc<dyn ServerCertVerifier>, BoxError> {
    let Some(path) = &tls.ca_certificates else {
        return match Verifier::new(provider()) {
            Ok(verifier) => Ok(Arc::new(verifier)),
            Err(error) => {
                Err(format!("cannot load the system's root certificates, set exporter.ca-certificates: {error}").into())
            }
        };
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(path, error))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    Ok(verifier.build().map_err(|error| unusable(path, error))?)
}

/// Returns the crypto provider.
///
/// It is explicit, because the process default depends on the features of other crates.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(unusable(path, "contains no certificate")),
        Err(error) => Err(unusable(path, error)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BoxError> {
    std::fs::read(path).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> BoxError {
    format!("{}: {error}", path.display()).into()
}
