//! TLS without a proxy: the certificate and key of the settings, reloaded when they change.

use std::{
    fmt::Display,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum_server::tls_rustls::RustlsConfig;
use jiff::{SignedDuration, Timestamp};
use metrics::gauge;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName};

use crate::clock::Clock;

/// The reason why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificates cannot be read.
    #[error("TLS_CERT {path}: {cause}; it must be a PEM file with the certificate, followed by those of its authorities", path = .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The key cannot be read.
    #[error("TLS_KEY {path}: {cause}; it must be a PEM file with the certificate's private key", path = .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// They do not belong together, or are of an unsupported kind.
    #[error("TLS_CERT and TLS_KEY cannot be used together: {0}")]
    Pair(rustls::Error),
}

/// How long before its expiry a certificate is warned about: enough time to renew it.
pub const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
/// How often the warning is repeated.
const WARN_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// How often the files are checked for changes.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// A certificate and its key, with their files.
#[derive(Clone)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    serving: RustlsConfig,
    /// When the loaded files were last modified.
    changed: [Option<SystemTime>; 2],
}

impl Tls {
    /// Reads the certificate and the key.
    ///
    /// # Errors
    /// Fails if one of them cannot be used.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        // Taken before reading, so that a change in between is noticed later.
        let changed = [changed(certificate), changed(key)];
        Ok(Self {
            changed,
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            serving: RustlsConfig::from_config(read(certificate, key)?),
        })
    }

    /// Returns the configuration for the server, which is updated when the files change.
    pub fn serving(&self) -> RustlsConfig {
        self.serving.clone()
    }

    /// Reloads the files whenever one of them changes, until the token is canceled. Keeps the old
    /// certificate if the new files cannot be used, for example because only one of them is
    /// written yet. Exports the expiry as a metric, and warns before it.
    pub async fn follow(self, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let mut seen = self.changed;
        let mut reported = None;
        let mut expiry = Expiry::read(&self.certificate);
        loop {
            expiry.report(clock.now());
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(CHECK_EVERY) => {}
            }
            let (certificate, key) = (self.certificate.clone(), self.key.clone());
            let check = move || {
                let now = [changed(&certificate), changed(&key)];
                (now != seen).then(|| (now, read(&certificate, &key)))
            };
            match tokio::task::spawn_blocking(check).await {
                Ok(Some((now, Ok(new)))) => {
                    (seen, reported) = (now, None);
                    self.serving.reload_from_config(new);
                    expiry = Expiry::read(&self.certificate);
                    info!("reloaded the TLS certificate; new connections use it");
                }
                // Retried, because a file may be half written; reported once per change.
                Ok(Some((now, Err(cause)))) if reported != Some(now) => {
                    reported = Some(now);
                    warn!(%cause, "could not reload the TLS certificate; still using the old one");
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// The expiry of the loaded certificates.
struct Expiry {
    at: Option<Timestamp>,
    warned: Option<Timestamp>,
}

impl Expiry {
    fn read(certificate: &Path) -> Self {
        let at = certificate_ends(certificate);
        if let Err(cause) = &at {
            warn!(%cause, "could not read when the TLS certificate expires");
        }
        Self {
            at: at.ok(),
            warned: None,
        }
    }

    fn report(&mut self, now: Timestamp) {
        let Some(at) = self.at else {
            return;
        };
        // Unix seconds are exact in an f64 for the next hundred million years.
        gauge!("rollcall_tls_certificate_ends_seconds").set(at.as_second() as f64);
        let lately = |warned| now.duration_since(warned) < WARN_EVERY;
        if now.duration_until(at) < EXPIRES_SOON && !self.warned.is_some_and(lately) {
            self.warned = Some(now);
            match at > now {
                true => warn!(%at, "the TLS certificate expires soon: replace it"),
                false => warn!(%at, "the TLS certificate has expired: browsers reject it"),
            }
        }
    }
}

/// Returns the earliest expiry of the certificates in a PEM file.
///
/// # Errors
/// Fails if they cannot be read.
pub fn certificate_ends(path: &Path) -> Result<Timestamp, TlsError> {
    let ends = chain(path)?.into_iter().map(|certificate| {
        let read = parsed(path, &certificate)?;
        Timestamp::from_second(read.validity().not_after.timestamp())
            .map_err(|cause| unusable(path, &cause))
    });
    let ends: Vec<_> = ends.collect::<Result<_, _>>()?;
    ends.into_iter().min().ok_or_else(|| none(path))
}

/// Returns the DNS names and addresses of the first certificate in a PEM file.
///
/// # Errors
/// Fails if it cannot be read.
pub fn certificate_names(path: &Path) -> Result<Vec<String>, TlsError> {
    let chain = chain(path)?;
    let read = parsed(path, chain.first().ok_or_else(|| none(path))?)?;
    let names = read
        .subject_alternative_name()
        .map_err(|cause| unusable(path, &cause))?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    Ok(names.iter().filter_map(name).collect())
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).map(IpAddr::from).ok(),
            _ => <[u8; 16]>::try_from(*bytes).map(IpAddr::from).ok(),
        }
        .map(|address| address.to_string()),
        _ => None,
    }
}

/// Returns whether a certificate can be issued for this: a DNS name, also with a wildcard (`*.`),
/// or an IP address.
pub fn names_a_host(name: &str) -> bool {
    ServerName::try_from(name.strip_prefix("*.").unwrap_or(name)).is_ok()
}

/// Reads the certificates of a PEM file.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|cause| unusable(path, &cause))
}

/// Parses a certificate of a file.
fn parsed<'a>(
    path: &Path,
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, TlsError> {
    let read = x509_parser::parse_x509_certificate(certificate);
    read.map(|(_, read)| read)
        .map_err(|cause| unusable(path, &cause))
}

fn none(path: &Path) -> TlsError {
    unusable(path, &"it contains no certificate")
}

fn unusable(path: &Path, cause: &dyn Display) -> TlsError {
    TlsError::Certificate {
        path: path.to_owned(),
        cause: cause.to_string(),
    }
}

/// Returns when a file was last modified, if known.
fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|facts| facts.modified()).ok()
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = chain(certificate)?;
    if chain.is_empty() {
        return Err(none(certificate));
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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(year: i32) -> String {
        let key = KeyPair::generate().unwrap();
        let mut made = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        made.not_after = date_time_ymd(year, 3, 1);
        made.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn the_earliest_expiry_of_a_chain_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.crt");
        let ends = |text: String| {
            std::fs::write(&path, text).unwrap();
            certificate_ends(&path)
        };
        let first: Timestamp = "2031-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(ends(certificate(2040) + &certificate(2031)).unwrap(), first);
        assert!(matches!(
            ends(String::new()),
            Err(TlsError::Certificate { .. })
        ));
    }

    #[test]
    fn names_are_read_from_the_first_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.crt");
        let key = KeyPair::generate().unwrap();
        let names = ["kiosk.test", "*.site.test", "192.0.2.7", "2001:db8::7"].map(str::to_owned);
        let made = CertificateParams::new(names.to_vec()).unwrap();
        let first = made.self_signed(&key).unwrap().pem();
        std::fs::write(&path, first + &certificate(2031)).unwrap();
        assert_eq!(certificate_names(&path).unwrap(), names);
        std::fs::write(&path, "").unwrap();
        assert!(certificate_names(&path).is_err());
        assert!(names.iter().all(|name| names_a_host(name)));
        for bad in ["bad name!", "", "*", "https://kiosk.test", "kiosk.test:443"] {
            assert!(!names_a_host(bad), "{bad}");
        }
    }

    #[test]
    fn the_expiry_warning_is_repeated_daily() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.crt");
        std::fs::write(&path, certificate(2031)).unwrap();
        let mut expiry = Expiry::read(&path);
        let now: Timestamp = "2031-02-10T00:00:00Z".parse().unwrap();
        let mut warned = |hours| {
            let now = now + SignedDuration::from_hours(hours);
            expiry.report(now);
            expiry.warned == Some(now)
        };
        // 19 days before; 14 days; too soon to repeat; a day later; after the expiry.
        let warnings = [0, 121, 130, 146, 600].map(&mut warned);
        assert_eq!(warnings, [false, true, false, true, true]);
    }
}
