//! Certificates for a Collector and for `flink-traces`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// The files of an authority and of two certificates that it signed.
#[derive(Debug)]
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Writes the certificates of `localhost` and of a client.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let certificates = Self { folder: folder.to_owned() };
        let mut authority = CertificateParams::new([])?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        fs::write(certificates.path("authority.pem"), authority.self_signed(&key)?.pem())?;
        let issuer = Issuer::new(authority, key);
        for name in ["localhost", "client"] {
            let key = KeyPair::generate()?;
            let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &issuer)?;
            fs::write(certificates.path(&format!("{name}.pem")), certificate.pem())?;
            fs::write(certificates.path(&format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(certificates)
    }

    /// Returns the path of `authority.pem`, or of `localhost` or `client` with `.pem` or `.key`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns the same as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}
