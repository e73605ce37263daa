//! The catalog of packs and their downloads: an interrupted transfer is resumed, files are checked
//! by SHA-256, and only complete files reach their final place.

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::blocking::{Client, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::pack::MANIFEST;
use crate::http_client;

/// A list of packs and add-ons to download.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// The packs and add-ons.
    #[serde(rename = "pack")]
    pub entries: Vec<Entry>,
}

/// A pack or add-on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, and the name of its folder.
    pub id: String,
    /// Whether it can be used on its own.
    pub kind: Kind,
    /// A description for people.
    pub description: String,
    /// The license of all files, as an SPDX expression.
    pub license: String,
    /// The content of the `pack.toml`.
    pub manifest: String,
    /// The files to download.
    pub files: Vec<Remote>,
}

/// The kind of a catalog entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A complete pack: a detector and an embedder.
    Pack,
    /// Models that are added to a pack.
    AddOn,
}

/// A file to download.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// Its name in the pack's folder.
    pub name: String,
    /// Its addresses, in the order in which they are tried.
    pub urls: Vec<String>,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of its content, hexadecimal.
    pub sha256: String,
    /// Its license, as an SPDX expression.
    pub license: String,
}

/// The progress of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// Bytes received so far.
    pub done: u64,
    /// Bytes in total.
    pub bytes: u64,
}

/// The reason why a pack could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The catalog has no entry of that name.
    #[error("the catalog has no pack {name:?}; it has {known}")]
    Unknown {
        /// The requested name.
        name: String,
        /// The names in the catalog.
        known: String,
    },
    /// No address returned the file.
    #[error("could not download {file}: {causes}")]
    Unreachable {
        /// Name of the file.
        file: String,
        /// Each address, and why it failed.
        causes: String,
    },
    /// The HTTP client could not be started.
    #[error("could not start the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The disk operation failed.
    #[error("could not write {}: {cause}", .path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        cause: io::Error,
    },
}

impl Catalog {
    /// Returns the catalog that is built into the binary.
    pub fn builtin() -> Result<Self, toml::de::Error> {
        toml::from_str(include_str!("../../models/catalog.toml"))
    }

    /// Finds the entry of a name.
    pub fn find(&self, name: &str) -> Result<&Entry, PullError> {
        self.entries
            .iter()
            .find(|entry| entry.id == name)
            .ok_or_else(|| {
                let known: Vec<_> = self.entries.iter().map(|entry| entry.id.as_str()).collect();
                PullError::Unknown {
                    name: name.to_owned(),
                    known: known.join(", "),
                }
            })
    }
}

/// Downloads a pack into `root/ID` and returns that folder. Keeps files that exist already. Writes
/// the `pack.toml` last, so that a folder with a `pack.toml` is complete.
pub fn pull(
    entry: &Entry,
    root: &Path,
    mut progress: impl FnMut(Transfer<'_>),
) -> Result<PathBuf, PullError> {
    let folder = root.join(&entry.id);
    fs::create_dir_all(&folder).map_err(|cause| disk(&folder, cause))?;
    let client = http_client::blocking()
        .connect_timeout(Duration::from_secs(15))
        .timeout(Duration::from_secs(30))
        .build()
        .map_err(PullError::Client)?;
    for file in &entry.files {
        download(&client, file, &folder, &mut progress)?;
    }
    let temporary = folder.join(format!("{MANIFEST}.part"));
    fs::write(&temporary, entry.manifest.trim_start()).map_err(|cause| disk(&temporary, cause))?;
    put_in_place(&temporary, &folder.join(MANIFEST))?;
    Ok(folder)
}

fn disk(path: &Path, cause: io::Error) -> PullError {
    PullError::Disk {
        path: path.to_owned(),
        cause,
    }
}

fn put_in_place(temporary: &Path, path: &Path) -> Result<(), PullError> {
    fs::rename(temporary, path).map_err(|cause| disk(path, cause))
}

fn download(
    client: &Client,
    file: &Remote,
    folder: &Path,
    progress: &mut impl FnMut(Transfer<'_>),
) -> Result<(), PullError> {
    let path = folder.join(&file.name);
    if path.is_file() && hash(&path)? == file.sha256 {
        progress(Transfer {
            file: &file.name,
            done: file.bytes,
            bytes: file.bytes,
        });
        return Ok(());
    }
    let part = folder.join(format!("{}.part", file.name));
    let mut causes = Vec::new();
    for url in &file.urls {
        // An interrupted transfer is resumed once.
        for _ in 0..2 {
            match transfer(client, url, file, &part, progress) {
                Ok(()) => {}
                Err(TransferError::Disk(cause)) => return Err(disk(&part, cause)),
                Err(TransferError::Network(cause)) => {
                    causes.push(format!("{url}: {cause}"));
                    continue;
                }
            }
            let found = hash(&part)?;
            if found == file.sha256 {
                return put_in_place(&part, &path);
            }
            fs::remove_file(&part).map_err(|cause| disk(&part, cause))?;
            causes.push(format!(
                "{url}: SHA-256 is {found} instead of {}",
                file.sha256
            ));
            break;
        }
    }
    Err(PullError::Unreachable {
        file: file.name.clone(),
        causes: causes.join("; "),
    })
}

enum TransferError {
    Network(String),
    Disk(io::Error),
}

/// Completes the partial file.
fn transfer(
    client: &Client,
    url: &str,
    file: &Remote,
    part: &Path,
    progress: &mut impl FnMut(Transfer<'_>),
) -> Result<(), TransferError> {
    let mut have = fs::metadata(part).map_or(0, |meta| meta.len());
    if have == file.bytes {
        return Ok(());
    }
    if have > file.bytes {
        have = 0;
    }
    let mut request = client.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = request.send().and_then(Response::error_for_status);
    let mut response =
        response.map_err(|error| TransferError::Network(causes(&error.without_url())))?;
    // Only a 206 response that begins where the part ends continues it; any other response is
    // the whole file.
    let continued = response.status().as_u16() == 206
        && response
            .headers()
            .get("content-range")
            .and_then(|range| range.to_str().ok())
            .is_some_and(|range| range.starts_with(&format!("bytes {have}-")));
    let mut options = OpenOptions::new();
    options.create(true);
    if continued {
        options.append(true);
    } else {
        have = 0;
        options.write(true).truncate(true);
    }
    let mut out = options.open(part).map_err(TransferError::Disk)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = response
            .read(&mut buffer)
            .map_err(|error| TransferError::Network(causes(&error)))?;
        if count == 0 {
            break;
        }
        have += count as u64;
        if have > file.bytes {
            return Err(TransferError::Network(format!(
                "it has more than {} bytes",
                file.bytes
            )));
        }
        out.write_all(&buffer[..count])
            .map_err(TransferError::Disk)?;
        progress(Transfer {
            file: &file.name,
            done: have,
            bytes: file.bytes,
        });
    }
    out.sync_all().map_err(TransferError::Disk)?;
    if have < file.bytes {
        return Err(TransferError::Network(format!(
            "it ended after {have} of {} bytes",
            file.bytes
        )));
    }
    Ok(())
}

/// Returns an error and what caused it, one after the other.
fn causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

fn hash(path: &Path) -> Result<String, PullError> {
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut file = File::open(path).map_err(|cause| disk(path, cause))?;
    loop {
        match file.read(&mut buffer).map_err(|cause| disk(path, cause))? {
            0 => return Ok(hex::encode(sum.finalize())),
            count => sum.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        net::TcpListener,
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::vision::pack::{AddOnManifest, LivenessSpec, Manifest};

    /// Serves one file over loopback. The first response is cut off after `cut` bytes. Returns the
    /// address and the Range headers of the requests.
    fn serve(content: Vec<u8>, cut: usize) -> (String, Arc<Mutex<Vec<Option<String>>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&ranges);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let mut range = None;
                for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                    let line = line.unwrap().to_lowercase();
                    if let Some(value) = line.strip_prefix("range: ") {
                        range = Some(value.to_owned());
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                let from = range.as_deref().and_then(|range| {
                    range
                        .strip_prefix("bytes=")?
                        .strip_suffix('-')?
                        .parse()
                        .ok()
                });
                seen.lock().unwrap().push(range.clone());
                let (status, body) = match from {
                    Some(from) => (
                        format!(
                            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}",
                            content.len() - 1,
                            content.len()
                        ),
                        &content[from..],
                    ),
                    None => ("200 OK".to_owned(), &content[..]),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).unwrap();
                let sent = if number == 0 {
                    body.len().min(cut)
                } else {
                    body.len()
                };
                let _ = stream.write_all(&body[..sent]);
            }
        });
        (url, ranges)
    }

    fn entry(url: String, content: &[u8]) -> Entry {
        Entry {
            id: "test".into(),
            kind: Kind::Pack,
            description: String::new(),
            license: "MIT".into(),
            manifest: "id = \"test\"\n".into(),
            files: vec![Remote {
                name: "model.onnx".into(),
                urls: vec![url],
                bytes: content.len() as u64,
                sha256: hex::encode(Sha256::digest(content)),
                license: "MIT".into(),
            }],
        }
    }

    fn content() -> Vec<u8> {
        (0..300_000u32).map(|i| (i * 31 % 251) as u8).collect()
    }

    #[test]
    fn an_interrupted_transfer_is_resumed() {
        let root = tempfile::tempdir().unwrap();
        let (url, ranges) = serve(content(), 100_000);
        let mut last = 0;
        let folder = pull(&entry(url, &content()), root.path(), |transfer| {
            last = transfer.done;
        })
        .unwrap();
        assert_eq!(fs::read(folder.join("model.onnx")).unwrap(), content());
        assert_eq!(last, 300_000);
        let ranges = ranges.lock().unwrap();
        assert_eq!(ranges.len(), 2);
        assert!(
            ranges[0].is_none()
                && ranges[1]
                    .as_deref()
                    .is_some_and(|range| range != "bytes=0-"),
            "{ranges:?}"
        );
        assert!(folder.join(MANIFEST).is_file() && !folder.join("model.onnx.part").exists());
    }

    #[test]
    fn an_existing_file_is_not_downloaded_again() {
        let root = tempfile::tempdir().unwrap();
        let (url, ranges) = serve(content(), usize::MAX);
        let entry = entry(url, &content());
        pull(&entry, root.path(), |_| {}).unwrap();
        pull(&entry, root.path(), |_| {}).unwrap();
        assert_eq!(ranges.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_file_with_another_hash_is_rejected_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let mut other = content();
        other[7] ^= 1;
        let (url, _) = serve(other, usize::MAX);
        let error = pull(&entry(url, &content()), root.path(), |_| {}).unwrap_err();
        assert!(error.to_string().contains("SHA-256"), "{error}");
        let left: Vec<_> = fs::read_dir(root.path().join("test")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_file_that_is_too_long_is_rejected() {
        let root = tempfile::tempdir().unwrap();
        let (url, _) = serve([content(), vec![0; 10]].concat(), usize::MAX);
        let error = pull(&entry(url, &content()), root.path(), |_| {}).unwrap_err();
        assert!(matches!(error, PullError::Unreachable { .. }), "{error}");
        assert!(!root.path().join("test/model.onnx").exists());
    }

    #[test]
    fn the_built_in_catalog_is_valid() {
        let catalog = Catalog::builtin().unwrap();
        for entry in &catalog.entries {
            for file in &entry.files {
                assert!(
                    !file.urls.is_empty() && file.sha256.len() == 64,
                    "{}",
                    file.name
                );
                assert!(
                    file.urls.iter().all(|url| url.starts_with("https://")),
                    "{}",
                    file.name
                );
            }
            let (id, files) = match entry.kind {
                Kind::Pack => {
                    let manifest: Manifest = toml::from_str(&entry.manifest).unwrap();
                    (manifest.id.clone(), manifest.files())
                }
                Kind::AddOn => {
                    let manifest: AddOnManifest = toml::from_str(&entry.manifest).unwrap();
                    let models = manifest.liveness.iter();
                    (
                        manifest.id.clone(),
                        models.map(LivenessSpec::model_file).collect(),
                    )
                }
            };
            assert_eq!(id, entry.id);
            assert_eq!(files.len(), entry.files.len());
            for file in files {
                let mut remotes = entry.files.iter();
                let remote = remotes.find(|remote| remote.name == file.file).unwrap();
                assert_eq!((&remote.sha256, remote.bytes), (&file.sha256, file.bytes));
            }
        }
        assert!(catalog.find("opencv").is_ok());
        let error = catalog.find("nothing").unwrap_err();
        assert!(error.to_string().contains("opencv"), "{error}");
    }
}
