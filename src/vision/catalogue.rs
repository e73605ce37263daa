//! The packs that can be fetched, and fetching them: resumed where a transfer broke off,
//! checked by SHA-256, put in place whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::pack::MANIFEST;

/// What can be fetched.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The entries.
    #[serde(rename = "pack")]
    pub entries: Vec<Entry>,
}

/// One pack or add-on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, and that of its folder.
    pub id: String,
    /// Whether it stands alone.
    pub kind: Kind,
    /// What it is, for people.
    pub description: String,
    /// SPDX expression that covers all files.
    pub licence: String,
    /// Becomes the `pack.toml`.
    pub manifest: String,
    /// What to fetch.
    pub files: Vec<Remote>,
}

/// Whether an entry stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A detector and an embedder.
    Pack,
    /// Models that join those of a pack.
    AddOn,
}

/// A file to fetch.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// Its name in the folder.
    pub name: String,
    /// Where it is, in the order to be tried.
    pub urls: Vec<String>,
    /// Its size.
    pub bytes: u64,
    /// Hexadecimal SHA-256.
    pub sha256: String,
    /// SPDX expression.
    pub licence: String,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer<'a> {
    /// The file.
    pub file: &'a str,
    /// Bytes that are there.
    pub done: u64,
    /// Bytes in all.
    pub bytes: u64,
}

/// Why a pack could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Not in the catalogue.
    #[error("no pack {name:?} in the catalogue; there are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Nobody answered with the file.
    #[error("{file} could not be fetched: {causes}")]
    Unreachable {
        /// The file.
        file: String,
        /// Each address, and what happened there.
        causes: String,
    },
    /// The folder cannot be written.
    #[error("{} cannot be written: {cause}", .path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl Catalogue {
    /// The catalogue that was built in.
    pub fn builtin() -> Result<Self, toml::de::Error> {
        toml::from_str(include_str!("../../models/catalogue.toml"))
    }

    /// The entry of that name.
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

/// Fetches a pack into `root/ID` and returns that folder. Files that are there already stay;
/// the `pack.toml` comes last, so that a folder with one is complete.
pub fn pull(
    entry: &Entry,
    root: &Path,
    mut progress: impl FnMut(Transfer<'_>),
) -> Result<PathBuf, PullError> {
    let folder = root.join(&entry.id);
    fs::create_dir_all(&folder).map_err(|cause| disk(&folder, cause))?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(15)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .build()
        .into();
    for file in &entry.files {
        fetch(&agent, file, &folder, &mut progress)?;
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

fn fetch(
    agent: &ureq::Agent,
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
        // A transfer that breaks off is taken up once more where it ended.
        for _ in 0..2 {
            match transfer(agent, url, file, &part, progress) {
                Ok(()) => {}
                Err(Trouble::Disk(cause)) => return Err(disk(&part, cause)),
                Err(Trouble::Network(cause)) => {
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

enum Trouble {
    Network(String),
    Disk(io::Error),
}

/// Brings the partial file to its full size.
fn transfer(
    agent: &ureq::Agent,
    url: &str,
    file: &Remote,
    part: &Path,
    progress: &mut impl FnMut(Transfer<'_>),
) -> Result<(), Trouble> {
    let network = |error: ureq::Error| Trouble::Network(error.to_string());
    let mut have = fs::metadata(part).map_or(0, |meta| meta.len());
    if have == file.bytes {
        return Ok(());
    }
    if have > file.bytes {
        have = 0;
    }
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let mut response = request.call().map_err(network)?;
    // Only a partial answer that begins where the part ends goes on; anything else is the whole.
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
    let mut out = options.open(part).map_err(Trouble::Disk)?;
    let mut body = response
        .body_mut()
        .with_config()
        .limit(file.bytes + 1)
        .reader();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = body
            .read(&mut buffer)
            .map_err(|error| Trouble::Network(error.to_string()))?;
        if count == 0 {
            break;
        }
        have += count as u64;
        if have > file.bytes {
            return Err(Trouble::Network("it is longer than it should be".into()));
        }
        out.write_all(&buffer[..count]).map_err(Trouble::Disk)?;
        progress(Transfer {
            file: &file.name,
            done: have,
            bytes: file.bytes,
        });
    }
    out.sync_all().map_err(Trouble::Disk)?;
    if have < file.bytes {
        return Err(Trouble::Network(format!(
            "it ended after {have} of {} bytes",
            file.bytes
        )));
    }
    Ok(())
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

    /// Serves one file over loopback. The first answer breaks off after `cut` bytes. Returns
    /// the address and the Range headers that were asked for.
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
            licence: "MIT".into(),
            manifest: "id = \"test\"\n".into(),
            files: vec![Remote {
                name: "model.onnx".into(),
                urls: vec![url],
                bytes: content.len() as u64,
                sha256: hex::encode(Sha256::digest(content)),
                licence: "MIT".into(),
            }],
        }
    }

    fn content() -> Vec<u8> {
        (0..300_000u32).map(|i| (i * 31 % 251) as u8).collect()
    }

    #[test]
    fn a_transfer_that_broke_off_is_taken_up_where_it_ended() {
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
    fn what_is_there_already_is_not_fetched_again() {
        let root = tempfile::tempdir().unwrap();
        let (url, ranges) = serve(content(), usize::MAX);
        let entry = entry(url, &content());
        pull(&entry, root.path(), |_| {}).unwrap();
        pull(&entry, root.path(), |_| {}).unwrap();
        assert_eq!(ranges.lock().unwrap().len(), 1);
    }

    #[test]
    fn another_content_is_refused_and_leaves_nothing() {
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
    fn a_longer_file_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (url, _) = serve([content(), vec![0; 10]].concat(), usize::MAX);
        let error = pull(&entry(url, &content()), root.path(), |_| {}).unwrap_err();
        assert!(matches!(error, PullError::Unreachable { .. }), "{error}");
        assert!(!root.path().join("test/model.onnx").exists());
    }

    #[test]
    fn the_catalogue_is_sound() {
        let catalogue = Catalogue::builtin().unwrap();
        for entry in &catalogue.entries {
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
        assert!(catalogue.find("opencv").is_ok());
        let error = catalogue.find("nothing").unwrap_err();
        assert!(error.to_string().contains("opencv"), "{error}");
    }
}
