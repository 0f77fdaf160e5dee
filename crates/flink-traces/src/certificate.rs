//! The certificate of the program's listeners.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::options::{TLS_CERTIFICATE, TLS_KEY};

/// The largest file of a certificate or a key, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A certificate with its key, which is read again when one of its files changes.
pub(crate) struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    versions: Versions,
    config: Arc<ServerConfig>,
}

/// The time of the last change and the size of each file, or `None` for a file that is missing.
type Versions = [Option<(SystemTime, u64)>; 2];

impl Certificate {
    /// Reads the files in PEM format. The error names the key of the option and the file.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, String> {
        let versions = [certificate, key].map(version);
        let current = Mutex::new(Current { versions, config: config(certificate, key)? });
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), current })
    }

    /// Returns the settings for a new connection.
    ///
    /// If the files cannot be read after a change, the previous certificate stays in use, and a
    /// warning is logged once.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let versions = [&*self.certificate, &*self.key].map(version);
        if versions != current.versions {
            current.versions = versions;
            match config(&self.certificate, &self.key) {
                Ok(config) => {
                    current.config = config;
                    tracing::info!("read the certificate {} again", self.certificate.display());
                }
                Err(error) => tracing::warn!("the previous certificate stays in use: {error}"),
            }
        }
        current.config.clone()
    }
}

fn version(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let of_certificate = |problem: String| format!("{}: {}: {problem}", TLS_CERTIFICATE.key(), certificate.display());
    let of_key = |problem: String| format!("{}: {}: {problem}", TLS_KEY.key(), key.display());
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&content(certificate).map_err(of_certificate)?).collect();
    let chain = chain.map_err(|error| of_certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(of_certificate("no certificate in PEM format".to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_slice(&content(key).map_err(of_key)?)
        .map_err(|_| of_key("no private key in PEM format".to_owned()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(|error| of_certificate(error.to_string()))?;
    Ok(Arc::new(config))
}

fn content(path: &Path) -> Result<Vec<u8>, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_BYTES {
        return Err(format!("expected at most {MAX_BYTES} bytes, found {size}"));
    }
    fs::read(path).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a fresh certificate and its key.
    fn write(folder: &Path) {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(folder.join("cert.pem"), signed.cert.pem()).unwrap();
        fs::write(folder.join("key.pem"), signed.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn changed_certificate_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let read = Certificate::read(&certificate, &key).unwrap();
        let first = read.config();
        assert!(Arc::ptr_eq(&first, &read.config()));
        // Sizes differ, because the time of a change may not.
        fs::write(&key, "no key").unwrap();
        assert!(Arc::ptr_eq(&first, &read.config()));
        write(folder.path());
        assert!(!Arc::ptr_eq(&first, &read.config()));
    }

    #[test]
    fn unusable_files_are_named_with_their_option() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        let path = |name: &str| folder.path().join(name);
        fs::write(path("text"), "text").unwrap();
        fs::write(path("large"), vec![b'x'; 1 + (1 << 20)]).unwrap();
        for (certificate, key, expected) in [
            ("missing", "key.pem", "flink-traces.tls.certificate: {}/missing: No such file"),
            ("text", "key.pem", "flink-traces.tls.certificate: {}/text: no certificate in PEM format"),
            (
                "large",
                "key.pem",
                "flink-traces.tls.certificate: {}/large: expected at most 1048576 bytes, found 1048577",
            ),
            ("cert.pem", "missing", "flink-traces.tls.key: {}/missing: No such file"),
            ("cert.pem", "text", "flink-traces.tls.key: {}/text: no private key in PEM format"),
            ("cert.pem", "cert.pem", "flink-traces.tls.key: {}/cert.pem: no private key in PEM format"),
        ] {
            let error = Certificate::read(&path(certificate), &path(key)).err().unwrap();
            let expected = expected.replace("{}", &folder.path().display().to_string());
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}
