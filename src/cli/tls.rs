//! `rollcall tls init`: creates a local certificate authority and a certificate for this host, so
//! that tablets let the kiosk use their camera.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    net::{IpAddr, UdpSocket},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use jiff::{Timestamp, ToSpan, Zoned, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::Failure;
use crate::{
    boot,
    clock::{Clock, SystemClock},
    config::Settings,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a local authority and a certificate for this host, and explain how tablets trust it
    Init(Init),
}

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Further names and addresses by which tablets reach this host, besides those of the existing
    /// certificate, or, without one, the host's own
    names: Vec<String>,
    /// Use only the given names: neither the host's own nor those of the existing certificate
    #[arg(long, requires = "names")]
    only: bool,
    /// Folder for the files; by default DATA_DIR/tls
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

/// Lifetime of the authority, in years: long, because it must be installed on every tablet.
const AUTHORITY_YEARS: i64 = 10;
/// Lifetime of a certificate, in days: Apple's devices reject more than 825, even from an authority
/// that their user trusts.
const CERTIFICATE_DAYS: i64 = 820;

/// The files of the authority and the certificate.
struct Files {
    authority: PathBuf,
    authority_key: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn in_folder(folder: &Path) -> Self {
        Self {
            authority: folder.join("authority.crt"),
            authority_key: folder.join("authority.key"),
            certificate: folder.join("server.crt"),
            key: folder.join("server.key"),
        }
    }
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<ExitCode, Failure> {
    let Command::Init(Init { names, only, into }) = command;
    let folder = into.unwrap_or_else(|| settings.store.data_dir.join("tls"));
    if let Some(name) = names.iter().find(|name| !boot::names_a_host(name)) {
        return Err(Failure::Refused(format!(
            "'{name}' is neither a DNS name nor an IP address"
        )));
    }
    let files = Files::in_folder(&folder);
    let mut names: BTreeSet<String> = names.iter().map(|name| normalized(name)).collect();
    let mut kept = BTreeSet::new();
    if !only && files.certificate.exists() {
        kept = &existing_names(&files)? - &names;
        names.extend(kept.iter().cloned());
    } else if !only {
        names.extend(host_names());
    }
    fs::create_dir_all(&folder)?;
    let now = SystemClock.now();
    let made = !files.authority.exists();
    if made {
        make_authority(&files, now)?;
    }
    make_certificate(&files, &names, now)?;
    let summary = Summary {
        files: &files,
        names: &names,
        kept: &kept,
        made,
        port: settings.server.port,
    };
    print(&mut std::io::stdout().lock(), &summary)?;
    Ok(ExitCode::SUCCESS)
}

/// Normalizes a name or address for comparison.
fn normalized(name: &str) -> String {
    let address = name.parse::<IpAddr>();
    address.map_or_else(|_| name.to_lowercase(), |address| address.to_string())
}

/// Reads the names of the existing certificate, by which tablets reach this host.
fn existing_names(files: &Files) -> Result<BTreeSet<String>, Failure> {
    let names = boot::certificate_names(&files.certificate).map_err(|cause| {
        Failure::Refused(format!(
            "{cause}; to create a new one without its names, give all names and --only"
        ))
    })?;
    Ok(names.into_iter().collect())
}

/// Returns `localhost`, the host's name, also with `.local` for multicast DNS, and its address in
/// the network.
fn host_names() -> BTreeSet<String> {
    let mut names = BTreeSet::from(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    if !host.is_empty() {
        names.insert(host.to_owned());
        names.insert(format!("{host}.local"));
    }
    // Connecting a datagram socket only chooses the local address; nothing is sent. The target
    // is in TEST-NET-1.
    let address = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    if let Ok(address) = address {
        names.insert(address.ip().to_string());
    }
    names.retain(|name| boot::names_a_host(name));
    names
}

fn make_authority(files: &Files, now: Timestamp) -> Result<(), Failure> {
    let key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name = common_name("Rollcall local authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(
        &mut authority,
        now,
        &(now
            .to_zoned(TimeZone::UTC)
            .checked_add(AUTHORITY_YEARS.years())?),
    );
    let certificate = authority.self_signed(&key)?;
    write(&files.authority_key, &key.serialize_pem(), 0o600)?;
    write(&files.authority, &certificate.pem(), 0o644)
}

fn make_certificate(
    files: &Files,
    names: &BTreeSet<String>,
    now: Timestamp,
) -> Result<(), Failure> {
    let authority_key = KeyPair::from_pem(&fs::read_to_string(&files.authority_key)?)?;
    let authority = fs::read_to_string(&files.authority)?;
    let issuer = Issuer::from_ca_cert_pem(&authority, authority_key)?;
    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    server.distinguished_name = common_name("Rollcall");
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    set_validity(
        &mut server,
        now,
        &now.to_zoned(TimeZone::UTC)
            .checked_add(CERTIFICATE_DAYS.days())?,
    );
    let certificate = server.signed_by(&key, &issuer)?;
    write(&files.key, &key.serialize_pem(), 0o600)?;
    write(&files.certificate, &(certificate.pem() + &authority), 0o644)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// Sets the validity; it begins a day earlier, because clocks of tablets differ.
fn set_validity(certificate: &mut CertificateParams, now: Timestamp, to: &Zoned) {
    let day = |at: &Zoned| {
        date_time_ymd(
            at.year().into(),
            at.month().unsigned_abs(),
            at.day().unsigned_abs(),
        )
    };
    let from = now.to_zoned(TimeZone::UTC);
    certificate.not_before = day(&from.yesterday().unwrap_or(from));
    certificate.not_after = day(to);
}

/// Writes or replaces a file atomically, with its mode from the start.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new();
    #[cfg(unix)]
    file.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    let mut file = file.tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The result of `tls init`.
struct Summary<'a> {
    files: &'a Files,
    names: &'a BTreeSet<String>,
    /// The names that only the previous certificate had.
    kept: &'a BTreeSet<String>,
    /// Whether the authority is new.
    made: bool,
    port: u16,
}

fn listed(names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.join(", ")
}

fn print(out: &mut impl Write, summary: &Summary<'_>) -> std::io::Result<()> {
    let Summary {
        files,
        names,
        kept,
        made,
        port,
    } = *summary;
    let Files {
        authority,
        certificate,
        key,
        ..
    } = files;
    let first = names
        .iter()
        .find(|name| name.ends_with(".local"))
        .or_else(|| names.iter().find(|name| name.parse::<IpAddr>().is_err()))
        .map_or("localhost", String::as_str);
    writeln!(out, "certificate for {}", listed(names))?;
    if !kept.is_empty() {
        writeln!(out, "kept from the previous certificate: {}", listed(kept))?;
    }
    writeln!(out)?;
    writeln!(out, "Start Rollcall with it:\n")?;
    writeln!(
        out,
        "    HOST=0.0.0.0 TLS_CERT={} TLS_KEY={} rollcall serve\n",
        certificate.display(),
        key.display()
    )?;
    if !made {
        writeln!(
            out,
            "The authority has not changed: tablets that trust it need nothing else."
        )?;
        return Ok(());
    }
    writeln!(
        out,
        "Each tablet must trust the authority once. Copy {} to it, then:\n",
        authority.display()
    )?;
    for line in [
        "  Android   Settings, Security, Encryption & credentials, Install a certificate, CA certificate",
        "  iPad      open the file, Settings, Profile Downloaded, Install; then General, About,",
        "            Certificate Trust Settings, turn it on",
        "  Windows   open the file, Install Certificate, Local Machine, Trusted Root Certification Authorities",
        "  macOS     open the file in Keychain Access, then Trust, Always Trust",
        "  Linux     chrome://certificate-manager, Custom, Installed by you, Trusted Certificates, Import",
    ] {
        writeln!(out, "{line}")?;
    }
    writeln!(
        out,
        "\nThen open https://{first}:{port}/kiosk on the tablet. Keep {} secret: its owner can impersonate any site on these tablets.",
        files.authority_key.display()
    )
}
