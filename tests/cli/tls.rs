//! TLS without a proxy: an authority of one's own, the certificate, and a new one while serving.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{Service, rollcall, run};

/// Makes certificates for names into a folder; what it says.
fn init(data: &Path, folder: &Path, names: &[&str]) -> String {
    let folder = folder.to_str().unwrap();
    let arguments = [&["tls", "init", "--into", folder], names].concat();
    let (code, said, error) = run(&mut rollcall(data, &arguments));
    assert_eq!(code, 0, "{error}");
    said
}

/// Whoever trusts an authority.
fn trusting(authority: &Path) -> ureq::Agent {
    let pem = fs::read(authority).unwrap();
    let roots = RootCerts::new_with_certs(&[Certificate::from_pem(&pem).unwrap()]);
    ureq::Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        // Each request a connection of its own, with the certificate of that moment.
        .max_idle_connections(0)
        .timeout_global(Some(Duration::from_secs(10)))
        .build()
        .into()
}

#[test]
fn tablets_that_trust_the_authority_are_served_and_follow_a_new_certificate() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let said = init(
        data.path(),
        files.path(),
        &["localhost", "kiosk.test", "192.0.2.7"],
    );
    assert!(
        said.contains("kiosk.test") && said.contains("authority.crt"),
        "{said}"
    );
    let path = |name: &str| files.path().join(name);
    for secret in ["server.key", "authority.key"] {
        let mode = fs::metadata(path(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }

    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
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
    let ask = |agent: &ureq::Agent| {
        agent
            .get(format!("https://localhost:{port}/healthz"))
            .call()
    };
    let until = |agent: &ureq::Agent, why: &str| {
        let begin = Instant::now();
        while ask(agent).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(60), "{why}");
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

    // Another authority vouches for the next certificate: who trusts only the old one sees it.
    let other = tempfile::tempdir().unwrap();
    init(data.path(), other.path(), &["localhost"]);
    assert!(ask(&trusting(&other.path().join("authority.crt"))).is_err());
    for name in ["server.crt", "server.key"] {
        fs::copy(other.path().join(name), path(name)).unwrap();
    }
    let trusts_other = trusting(&other.path().join("authority.crt"));
    until(&trusts_other, "the old certificate stays");
    assert!(ask(&trusts).is_err());

    // A half-written certificate leaves the one that works.
    fs::write(path("server.crt"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(ask(&trusts_other).unwrap().status(), 200);
}

#[test]
fn the_authority_stays_when_a_certificate_is_made_anew() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    init(data.path(), files.path(), &[]);
    let read = |name: &str| fs::read(files.path().join(name)).unwrap();
    let (authority, certificate) = (read("authority.crt"), read("server.crt"));
    let said = init(data.path(), files.path(), &["other.test"]);
    assert!(said.contains("go on as they are"), "{said}");
    assert_eq!(read("authority.crt"), authority);
    assert_ne!(read("server.crt"), certificate);
}

#[test]
fn a_certificate_that_is_made_anew_keeps_its_names() {
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
        .find(|line| line.starts_with("kept from the certificate before: "));
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
    // Names that cannot be read are not dropped.
    fs::write(files.path().join("server.crt"), "none").unwrap();
    let (code, _, error) = run(&mut rollcall(
        data.path(),
        &["tls", "init", "--into", folder],
    ));
    assert!(code == 1 && error.contains("--only"), "{error}");
    assert_eq!(certificate(), b"none");
}

#[test]
fn the_address_that_tablets_open_has_the_port_of_the_settings() {
    let data = tempfile::tempdir().unwrap();
    let mut command = rollcall(data.path(), &["tls", "init", "--only", "kiosk.test"]);
    let (code, said, error) = run(command.env("PORT", "8443"));
    assert_eq!(code, 0, "{error}");
    assert!(said.contains("https://kiosk.test:8443/kiosk"), "{said}");
}

#[test]
fn files_that_are_no_certificate_stop_the_start_by_name() {
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
