//! `rollcall health`: whether the service answers, for health checks where there is no shell.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use ureq::tls::TlsConfig;

use super::Failure;
use crate::config::Server;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(server: &Server) -> Result<ExitCode, Failure> {
    if answers(server) {
        return Ok(ExitCode::SUCCESS);
    }
    let address = address(server);
    Err(Failure::Refused(format!("nothing answers on {address}")))
}

/// Whether a Rollcall answers where the settings say.
pub(super) fn answers(server: &Server) -> bool {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        // An HTTP_PROXY of the environment is for the world outside.
        .proxy(None)
        // The certificate is for the names that others know this machine by.
        .tls_config(TlsConfig::builder().disable_verification(true).build())
        .build()
        .new_agent();
    let scheme = if server.tls_cert.is_some() {
        "https"
    } else {
        "http"
    };
    agent
        .get(format!("{scheme}://{}/healthz", address(server)))
        .call()
        .is_ok_and(|answer| answer.headers().contains_key("x-request-id"))
}

/// Where the service is reached from this machine: one that listens everywhere, on loopback.
fn address(server: &Server) -> SocketAddr {
    let host = match server.host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    SocketAddr::new(host, server.port)
}
