//! TLS without a proxy: the certificate and key of the settings, read again when they change.

use std::{
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
use x509_parser::extensions::GeneralName;

use crate::clock::Clock;

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

/// How long before its end a certificate is warned of: time enough to make another one.
pub const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
/// How often.
const WARN_EVERY: SignedDuration = SignedDuration::from_hours(24);

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
    /// cannot be used, as when only one of them is there yet, leaves the old ones in place. Tells
    /// when what is served ends, and warns of it.
    pub async fn follow(self, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let mut seen = self.changed;
        let mut told = None;
        let mut end = End::of(&self.certificate);
        loop {
            end.tell(clock.now());
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
                    end = End::of(&self.certificate);
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

/// When the certificates that are served end.
struct End {
    at: Option<Timestamp>,
    warned: Option<Timestamp>,
}

impl End {
    fn of(certificate: &Path) -> Self {
        let at = certificate_ends(certificate);
        if let Err(cause) = &at {
            warn!(%cause, "nobody will be warned of the end of the TLS certificate");
        }
        Self {
            at: at.ok(),
            warned: None,
        }
    }

    fn tell(&mut self, now: Timestamp) {
        let Some(at) = self.at else {
            return;
        };
        // Unix seconds are exact in a float for the next hundred million years.
        gauge!("rollcall_tls_certificate_ends_seconds").set(at.as_second() as f64);
        let lately = |warned| now.duration_since(warned) < WARN_EVERY;
        if now.duration_until(at) < EXPIRES_SOON && !self.warned.is_some_and(lately) {
            self.warned = Some(now);
            match at > now {
                true => warn!(%at, "the TLS certificate ends soon: put a new one in its place"),
                false => warn!(%at, "the TLS certificate has ended: browsers refuse it"),
            }
        }
    }
}

/// When the first of the certificates of a PEM file ends that is served.
///
/// # Errors
/// When they cannot be read.
pub fn certificate_ends(path: &Path) -> Result<Timestamp, TlsError> {
    let bad = |cause: String| TlsError::Certificate {
        path: path.to_owned(),
        cause,
    };
    let ends = chain(path)?.into_iter().map(|certificate| {
        let (_, read) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|cause| bad(cause.to_string()))?;
        Timestamp::from_second(read.validity().not_after.timestamp())
            .map_err(|cause| bad(cause.to_string()))
    });
    let ends: Vec<_> = ends.collect::<Result<_, _>>()?;
    let first = ends.into_iter().min();
    first.ok_or_else(|| bad("there is no certificate in it".to_owned()))
}

/// The DNS names and addresses that the first certificate of a PEM file is for.
///
/// # Errors
/// When it cannot be read.
pub fn certificate_names(path: &Path) -> Result<Vec<String>, TlsError> {
    let bad = |cause: String| TlsError::Certificate {
        path: path.to_owned(),
        cause,
    };
    let chain = chain(path)?;
    let first = chain
        .first()
        .ok_or_else(|| bad("there is no certificate in it".to_owned()))?;
    let (_, read) =
        x509_parser::parse_x509_certificate(first).map_err(|cause| bad(cause.to_string()))?;
    let names = read
        .subject_alternative_name()
        .map_err(|cause| bad(cause.to_string()))?;
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

/// Whether a certificate can be for this: a DNS name, also of all hosts below one (`*.`), or an
/// IP address.
pub fn names_a_host(name: &str) -> bool {
    ServerName::try_from(name.strip_prefix("*.").unwrap_or(name)).is_ok()
}

/// The certificates of a PEM file.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|cause| TlsError::Certificate {
            path: path.to_owned(),
            cause: cause.to_string(),
        })
}

/// When a file was last changed, as far as that can be told.
fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|facts| facts.modified()).ok()
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = chain(certificate)?;
    if chain.is_empty() {
        return Err(TlsError::Certificate {
            path: certificate.to_owned(),
            cause: "there is no certificate in it".to_owned(),
        });
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
    fn the_first_end_of_a_chain_counts() {
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
    fn the_end_is_warned_of_once_a_day_and_a_new_certificate_starts_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.crt");
        std::fs::write(&path, certificate(2031)).unwrap();
        let mut end = End::of(&path);
        let now: Timestamp = "2031-02-10T00:00:00Z".parse().unwrap();
        let mut warned = |hours| {
            let now = now + SignedDuration::from_hours(hours);
            end.tell(now);
            end.warned == Some(now)
        };
        // 19 days before; 14; soon again; a day later; after the end.
        let told = [0, 121, 130, 146, 600].map(&mut warned);
        assert_eq!(told, [false, true, false, true, true]);
    }
}
