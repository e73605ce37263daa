//! What every HTTP client of the service has in common: ring for TLS, and the authorities that
//! Mozilla trusts from the binary, because the image has no certificates of its own.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// Starts an asynchronous client.
pub fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder().tls_backend_preconfigured(tls(mozilla_roots()))
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

/// Returns the configuration of TLS for clients of other protocols.
pub fn tls_config() -> ClientConfig {
    tls(mozilla_roots())
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
