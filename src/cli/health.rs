//! `rollcall health`: checks whether the service answers, for health checks without a shell.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use super::Failure;
use crate::{config::Server, http_client};

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(server: &Server) -> Result<ExitCode, Failure> {
    if answers(server) {
        return Ok(ExitCode::SUCCESS);
    }
    let address = address(server);
    Err(Failure::Refused(format!("nothing answers on {address}")))
}

/// Checks whether a Rollcall answers where the settings say.
pub(super) fn answers(server: &Server) -> bool {
    let scheme = if server.tls_cert.is_some() {
        "https"
    } else {
        "http"
    };
    // The certificate is for the names that others know this machine by.
    let client = http_client::blocking_unverified()
        .timeout(PATIENCE)
        // HTTP_PROXY in the environment is for other hosts.
        .no_proxy()
        .build();
    client
        .and_then(|client| {
            let url = format!("{scheme}://{}/healthz", address(server));
            client.get(url).send()?.error_for_status()
        })
        .is_ok_and(|answer| answer.headers().contains_key("x-request-id"))
}

/// Returns where this machine reaches the service: on loopback if it listens on all addresses.
fn address(server: &Server) -> SocketAddr {
    let host = match server.host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    SocketAddr::new(host, server.port)
}
