//! What every client of the service has in common: ring for TLS, and the authorities that Mozilla
//! trusts from the binary, because the image has no certificates of its own.

use std::{error::Error, io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// The authorities whose certificates are accepted: those that Mozilla trusts, and perhaps others.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    extra: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Returns the trust in the authorities of a PEM file besides Mozilla's.
    ///
    /// # Errors
    /// When the file cannot be read, or has no certificate of an authority. The text says what is
    /// wrong.
    pub fn with_file(path: &Path) -> Result<Self, String> {
        let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        let extra: Vec<_> = certificates.map_err(|cause| cause.to_string())?;
        if extra.is_empty() {
            return Err("has no certificate".to_owned());
        }
        let mut roots = RootCertStore::empty();
        for certificate in &extra {
            let added = roots.add(certificate.clone());
            added.map_err(|cause| cause.to_string())?;
        }
        Ok(Self { extra })
    }

    /// Returns the authorities besides Mozilla's.
    pub fn extra(&self) -> &[CertificateDer<'static>] {
        &self.extra
    }

    /// Starts an asynchronous HTTP client.
    pub fn http(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder().tls_backend_preconfigured(self.tls())
    }

    /// Returns the configuration of TLS for clients of other protocols.
    pub fn tls(&self) -> ClientConfig {
        let mut roots = mozilla_roots();
        roots.add_parsable_certificates(self.extra.iter().cloned());
        tls(roots)
    }
}

/// Starts an asynchronous client.
pub fn builder() -> reqwest::ClientBuilder {
    Trust::default().http()
}

/// Starts a client that blocks the thread; it must not be used inside an asynchronous task.
pub fn blocking() -> reqwest::blocking::ClientBuilder {
    blocking_trusting(mozilla_roots())
}

/// Starts a blocking client that trusts only these authorities.
pub fn blocking_trusting(roots: RootCertStore) -> reqwest::blocking::ClientBuilder {
    reqwest::blocking::Client::builder().tls_backend_preconfigured(tls(roots))
}

/// Starts a blocking client that accepts every certificate; only for the own service on loopback.
pub fn blocking_unverified() -> reqwest::blocking::ClientBuilder {
    // The client takes the provider of the process here. An error means that there is one already.
    let _ = ring::default_provider().install_default();
    reqwest::blocking::Client::builder().tls_danger_accept_invalid_certs(true)
}

fn mozilla_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

fn tls(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Checks whether TLS is a cause of an error, such as a certificate that is not accepted.
pub fn is_of_tls(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(this) = cause {
        let inner = this
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(inner) = inner
            && inner.is::<rustls::Error>()
        {
            return true;
        }
        if this.is::<rustls::Error>() {
            return true;
        }
        cause = this.source();
    }
    false
}
