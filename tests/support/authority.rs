//! An authority of certificates for one test, and a certificate of `localhost` that it signed.

use std::path::PathBuf;

use rollcall::http_client::Trust;
use tempfile::TempDir;

/// The files of the authority and of the server, which are deleted with it.
pub struct Authority(TempDir);

impl Authority {
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = authority.self_signed(&key).unwrap().pem();
        let issuer = rcgen::Issuer::new(authority, key);
        let server = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = certificate.signed_by(&server, &issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("authority.pem", pem),
            ("server.pem", certificate.pem()),
            ("server.key", server.serialize_pem()),
        ] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns the files of the server: its certificate and its key.
    pub fn server(&self) -> [PathBuf; 2] {
        [self.file("server.pem"), self.file("server.key")]
    }

    /// Returns the trust in it.
    pub fn trust(&self) -> Trust {
        Trust::with_file(&self.file("authority.pem")).unwrap()
    }
}
