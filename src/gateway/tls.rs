//! The TLS certificate of the server, from files.
//!
//! Invariant: a certificate and a key that do not match are refused, and the previous pair stays. A reload does not
//! touch open connections. Deliberately absent: client certificates, obtaining certificates, plain HTTP beside TLS on
//! one port; HSTS, which only the operator can promise.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// A certificate that can be exchanged while the server runs.
#[derive(Debug)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
}

/// An error in loading a certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("{key}: {path} cannot be read as PEM: {detail}")]
    File {
        /// The key of the configuration that names the file.
        key: &'static str,
        /// The path of the file.
        path: String,
        /// The fault of the file, without its content.
        detail: String,
    },
    /// Both files are readable, and their contents do not match.
    #[error("tls_cert and tls_key do not go together: {0}")]
    Pair(#[from] rustls::Error),
}

impl Certificate {
    /// Loads a certificate chain and its key, both PEM.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(chain: &Path, key: &Path) -> Result<Arc<Certificate>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let current = ArcSwap::from_pointee(read(chain, key, &provider)?);
        Ok(Arc::new(Certificate { chain: chain.into(), key: key.into(), provider, current }))
    }

    /// Reloads the files; after an error the current certificate stays.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(read(&self.chain, &self.key, &self.provider)?));
        Ok(())
    }

    /// The configuration of the listener: TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// [`TlsError::Pair`].
    pub(crate) fn server_config(self: &Arc<Certificate>) -> Result<ServerConfig, TlsError> {
        let config =
            ServerConfig::builder_with_provider(Arc::clone(&self.provider)).with_safe_default_protocol_versions()?;
        Ok(config.with_no_client_auth().with_cert_resolver(Arc::<Certificate>::clone(self)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read(chain: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let unreadable = |name: &'static str, path: &Path, error: rustls::pki_types::pem::Error| TlsError::File {
        key: name,
        path: path.display().to_string(),
        // Without the content: the error may hold a part of it.
        detail: match error {
            rustls::pki_types::pem::Error::Io(error) => error.to_string(),
            rustls::pki_types::pem::Error::NoItemsFound => "it holds none".into(),
            _ => "it is malformed".into(),
        },
    };
    let in_chain = |error| unreadable("tls_cert", chain, error);
    let certificates = CertificateDer::pem_file_iter(chain).map_err(in_chain)?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(in_chain)?;
    if certificates.is_empty() {
        return Err(in_chain(rustls::pki_types::pem::Error::NoItemsFound));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("tls_key", key, error))?;
    Ok(CertifiedKey::from_der(certificates, secret, provider)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_that_fits_is_taken_and_anything_else_names_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let [one, two] = [(), ()].map(|()| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
        let chain = write("chain.pem", &one.cert.pem());
        let key = write("key.pem", &one.signing_key.serialize_pem());
        let other = write("other.pem", &two.signing_key.serialize_pem());
        let nonsense = write("nonsense.pem", "no certificate");
        let missing = directory.path().join("missing.pem");
        let certificate = Certificate::load(&chain, &key).unwrap();
        certificate.server_config().unwrap();
        for (name, chain, key, blamed) in [
            ("no chain", &missing, &key, "tls_cert"),
            ("nonsense", &nonsense, &key, "tls_cert"),
            ("no key", &chain, &missing, "tls_key"),
            ("a certificate for a key", &chain, &chain, "tls_key"),
            ("another key", &chain, &other, "do not go together"),
        ] {
            let error = Certificate::load(chain, key).unwrap_err().to_string();
            assert!(error.contains(blamed), "{name}: {error}");
        }
        write("key.pem", "half a key");
        assert!(certificate.reload().is_err());
        certificate.server_config().unwrap();
        write("chain.pem", &two.cert.pem());
        write("key.pem", &two.signing_key.serialize_pem());
        certificate.reload().unwrap();
    }
}
