//! Tests of TLS without a proxy: the local authority, certificates, and reloading while serving.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use reqwest::blocking::Client;
use rollcall::http_client;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{PATIENCE, Service, ports::free_port, rollcall, run, runtime};

/// Creates certificates for names in a folder; returns the output.
fn init(data: &Path, folder: &Path, names: &[&str]) -> String {
    let folder = folder.to_str().unwrap();
    let arguments = [&["tls", "init", "--into", folder], names].concat();
    let (code, output, error) = run(&mut rollcall(data, &arguments));
    assert_eq!(code, 0, "{error}");
    output
}

/// Creates a client that trusts an authority.
fn trusting(authority: &Path) -> Client {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(authority).unwrap();
    roots.add(authority).unwrap();
    http_client::blocking_trusting(roots)
        // Every request has a connection of its own, with the current certificate.
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

#[test]
fn clients_that_trust_the_authority_are_served_and_certificates_are_reloaded() {
    if runtime::missing() {
        return;
    }
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let output = init(
        data.path(),
        files.path(),
        &["localhost", "kiosk.test", "192.0.2.7"],
    );
    assert!(
        output.contains("kiosk.test") && output.contains("authority.crt"),
        "{output}"
    );
    let path = |name: &str| files.path().join(name);
    for secret in ["server.key", "authority.key"] {
        let mode = fs::metadata(path(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }

    let port = free_port();
    let mut command = rollcall(data.path(), &["serve"]);
    let command = command
        .env("PORT", port.to_string())
        .env("TLS_CERT", path("server.crt"))
        .env("TLS_KEY", path("server.key"));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _service = Service {
        child: child.unwrap(),
        port,
        link: None,
    };
    let ask = |client: &Client| {
        client
            .get(format!("https://localhost:{port}/healthz"))
            .send()
    };
    let until = |client: &Client, why: &str| {
        let begin = Instant::now();
        while ask(client).is_err() {
            assert!(begin.elapsed() < PATIENCE, "{why}");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    let trusts = trusting(&path("authority.crt"));
    until(&trusts, "it is not ready in time");

    let mut health = rollcall(data.path(), &["health"]);
    let health = health
        .env("PORT", port.to_string())
        .env("TLS_CERT", path("server.crt"))
        .env("TLS_KEY", path("server.key"));
    assert_eq!(run(health).0, 0);

    // Another authority issues the next certificate: a client that trusts only the old one
    // rejects it.
    let other = tempfile::tempdir().unwrap();
    init(data.path(), other.path(), &["localhost"]);
    assert!(ask(&trusting(&other.path().join("authority.crt"))).is_err());
    for name in ["server.crt", "server.key"] {
        fs::copy(other.path().join(name), path(name)).unwrap();
    }
    let trusts_other = trusting(&other.path().join("authority.crt"));
    until(&trusts_other, "the certificate is not reloaded");
    assert!(ask(&trusts).is_err());

    // A half-written certificate does not replace the working one.
    fs::write(path("server.crt"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(ask(&trusts_other).unwrap().status(), 200);
}

#[test]
fn a_new_certificate_keeps_the_authority() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    init(data.path(), files.path(), &[]);
    let read = |name: &str| fs::read(files.path().join(name)).unwrap();
    let (authority, certificate) = (read("authority.crt"), read("server.crt"));
    let output = init(data.path(), files.path(), &["other.test"]);
    assert!(output.contains("The authority has not changed"), "{output}");
    assert_eq!(read("authority.crt"), authority);
    assert_ne!(read("server.crt"), certificate);
}

#[test]
fn a_new_certificate_keeps_the_names_of_the_previous_one() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = init(data.path(), files.path(), &["kiosk.test", "192.0.2.7"]);
    assert!(!first.contains("kept"), "{first}");
    let again = init(data.path(), files.path(), &["Door.test", "KIOSK.test"]);
    let names = again.lines().next().unwrap();
    for name in ["kiosk.test", "192.0.2.7", "door.test", "localhost"] {
        assert!(names.contains(name), "{again}");
    }
    assert_eq!(names.matches("kiosk.test").count(), 1, "{again}");
    let kept = again
        .lines()
        .find(|line| line.starts_with("kept from the previous certificate: "));
    assert!(kept.unwrap().contains("192.0.2.7"), "{again}");
    let only = init(data.path(), files.path(), &["--only", "door.test"]);
    assert!(only.starts_with("certificate for door.test\n"), "{only}");

    let folder = files.path().to_str().unwrap();
    let certificate = || fs::read(files.path().join("server.crt")).unwrap();
    let before = certificate();
    let (code, _, error) = run(&mut rollcall(
        data.path(),
        &["tls", "init", "--into", folder, "bad name!"],
    ));
    assert_eq!(code, 1);
    let why = "'bad name!' is neither a DNS name nor an IP address";
    assert!(error.contains(why), "{error}");
    assert_eq!(certificate(), before);
    // If the names cannot be read, the command fails instead of dropping them.
    fs::write(files.path().join("server.crt"), "none").unwrap();
    let (code, _, error) = run(&mut rollcall(
        data.path(),
        &["tls", "init", "--into", folder],
    ));
    assert!(code == 1 && error.contains("--only"), "{error}");
    assert_eq!(certificate(), b"none");
}

#[test]
fn the_printed_address_has_the_configured_port() {
    let data = tempfile::tempdir().unwrap();
    let mut command = rollcall(data.path(), &["tls", "init", "--only", "kiosk.test"]);
    let (code, output, error) = run(command.env("PORT", "8443"));
    assert_eq!(code, 0, "{error}");
    assert!(output.contains("https://kiosk.test:8443/kiosk"), "{output}");
}

#[test]
fn invalid_certificate_files_fail_the_start_with_their_setting() {
    let data = tempfile::tempdir().unwrap();
    init(data.path(), data.path(), &["localhost"]);
    let start = |certificate: &str, key: &str| {
        let mut command = rollcall(data.path(), &["serve"]);
        command
            .env("PORT", "0")
            .env("TLS_CERT", data.path().join(certificate))
            .env("TLS_KEY", data.path().join(key));
        let (code, _, error) = run(&mut command);
        assert_ne!(code, 0);
        error
    };
    assert!(start("missing.crt", "server.key").contains("TLS_CERT"));
    assert!(start("server.crt", "server.crt").contains("TLS_KEY"));
    assert!(start("server.crt", "authority.key").contains("cannot be used together"));
}
