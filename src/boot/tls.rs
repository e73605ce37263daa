//! TLS without a proxy: the certificate and key of the settings, read again when they change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum_server::tls_rustls::RustlsConfig;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificates cannot be read.
    #[error("TLS_CERT {path}: {cause}; it takes a PEM file with the certificate, and those of its authorities after it", path = .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The key cannot be read.
    #[error("TLS_KEY {path}: {cause}; it takes a PEM file with the certificate's private key", path = .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// They do not fit each other, or what they are is not supported.
    #[error("TLS_CERT and TLS_KEY cannot be used together: {0}")]
    Pair(rustls::Error),
}

/// How often it is looked whether the files changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A certificate and its key, and where they come from.
#[derive(Clone)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    serving: RustlsConfig,
    /// When the files that are served were last changed.
    changed: [Option<SystemTime>; 2],
}

impl Tls {
    /// Reads both.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        // Asked before they are read, so that no change falls between the two.
        let changed = [changed(certificate), changed(key)];
        Ok(Self {
            changed,
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            serving: RustlsConfig::from_config(read(certificate, key)?),
        })
    }

    /// What the server takes; it follows the files.
    pub fn serving(&self) -> RustlsConfig {
        self.serving.clone()
    }

    /// Reads the files again whenever one of them changes, until the token is cancelled. What
    /// cannot be used, as when only one of them is there yet, leaves the old ones in place.
    pub async fn follow(self, stop: CancellationToken) {
        let mut seen = self.changed;
        let mut told = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let (certificate, key) = (self.certificate.clone(), self.key.clone());
            let look = move || {
                let now = [changed(&certificate), changed(&key)];
                (now != seen).then(|| (now, read(&certificate, &key)))
            };
            match tokio::task::spawn_blocking(look).await {
                Ok(Some((now, Ok(new)))) => {
                    (seen, told) = (now, None);
                    self.serving.reload_from_config(new);
                    info!("the TLS certificate changed: new connections get the new one");
                }
                // Tried again: half of it may be written still. Told once.
                Ok(Some((now, Err(cause)))) if told != Some(now) => {
                    told = Some(now);
                    warn!(%cause, "the old TLS certificate stays");
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// When a file was last changed, as far as that can be told.
fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|facts| facts.modified()).ok()
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let bad_certificate = |cause: String| TlsError::Certificate {
        path: certificate.to_owned(),
        cause,
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|cause| bad_certificate(cause.to_string()))?;
    if chain.is_empty() {
        return Err(bad_certificate("there is no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|cause| TlsError::Key {
        path: key.to_owned(),
        cause: cause.to_string(),
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
