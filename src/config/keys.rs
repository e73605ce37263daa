//! The keys that templates and photos are sealed with: given, or kept in a file of the data folder.

use std::{
    fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretString};
use zeroize::{Zeroize, Zeroizing};

/// A key for AES-256-GCM.
pub type TemplateKey = Zeroizing<[u8; 32]>;

/// One or more keys: the first seals, all open. Never printed.
#[derive(Clone)]
pub struct TemplateKeys {
    /// What seals.
    pub sealing: TemplateKey,
    /// What opens as well.
    pub older: Vec<TemplateKey>,
}

impl fmt::Debug for TemplateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TemplateKeys({})", 1 + self.older.len())
    }
}

impl TemplateKeys {
    /// Reads keys separated by commas, each 32 bytes in base64 or hexadecimal.
    pub fn parse(text: &str) -> Option<Self> {
        let mut keys = text
            .split(',')
            .map(|key| one_key(key.trim()))
            .collect::<Option<Vec<_>>>()?
            .into_iter();
        Some(Self {
            sealing: keys.next()?,
            older: keys.collect(),
        })
    }

    /// All of them, that which seals first.
    fn all(&self) -> impl Iterator<Item = &TemplateKey> {
        std::iter::once(&self.sealing).chain(&self.older)
    }

    /// Whether these open whatever the other keys seal.
    pub fn open_all_of(&self, other: &Self) -> bool {
        other.all().all(|key| self.all().any(|mine| mine == key))
    }

    /// As [`parse`](Self::parse) reads them.
    pub fn text(&self) -> SecretString {
        let all: Vec<_> = self
            .all()
            .map(|key| Zeroizing::new(BASE64_STANDARD.encode(**key)))
            .collect();
        let mut text = String::with_capacity(all.len() * 45);
        for key in &all {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(key);
        }
        text.into()
    }

    /// The same with a new key before them, which seals.
    pub fn preceded_by(&self, key: TemplateKey) -> Self {
        Self {
            sealing: key,
            older: self.all().cloned().collect(),
        }
    }

    /// The one that seals, alone.
    pub fn first(&self) -> Self {
        Self {
            sealing: self.sealing.clone(),
            older: Vec::new(),
        }
    }

    /// Puts these in the place of what the key file holds, at once: whoever reads it finds all
    /// of what was there, or all of these. It stays its owner's.
    ///
    /// # Errors
    /// When it is not there, or cannot be written.
    pub fn replace(&self, file: &Path) -> Result<(), KeyFileError> {
        let text = Zeroizing::new(format!("{}\n", self.text().expose_secret()));
        replace(file, text.as_bytes()).map_err(|cause| KeyFileError {
            file: file.to_owned(),
            kind: KeyFileProblem::Io(cause),
        })
    }

    /// Makes the key file, which must not be there yet.
    ///
    /// # Errors
    /// When it is, or cannot be written.
    pub fn create(&self, file: &Path) -> Result<(), KeyFileError> {
        let text = Zeroizing::new(format!("{}\n", self.text().expose_secret()));
        let made = create(file, text.as_bytes()).and_then(|made| match made {
            true => Ok(()),
            false => Err(io::ErrorKind::AlreadyExists.into()),
        });
        made.map_err(|cause| KeyFileError {
            file: file.to_owned(),
            kind: KeyFileProblem::Io(cause),
        })
    }

    /// Reads the key file; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, others may read it, or it holds no key.
    pub fn read(file: &Path) -> Result<Option<Self>, KeyFileError> {
        let error = |kind| KeyFileError {
            file: file.to_owned(),
            kind,
        };
        let text = match fs::read_to_string(file) {
            Ok(text) => Zeroizing::new(text),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(error(KeyFileProblem::Io(cause))),
        };
        private(file).map_err(error)?;
        Self::parse(text.trim())
            .map(Some)
            .ok_or_else(|| error(KeyFileProblem::NoKey))
    }

    /// Reads the key file, or makes it with the given entropy when there is none. The file
    /// appears whole or not at all and never replaces another.
    ///
    /// # Errors
    /// As for [`read`](Self::read), and when it cannot be written.
    pub fn read_or_create(file: &Path, entropy: [u8; 32]) -> Result<Self, KeyFileError> {
        if let Some(keys) = Self::read(file)? {
            return Ok(keys);
        }
        let mut text = Zeroizing::new(BASE64_STANDARD.encode(Zeroizing::new(entropy)));
        text.push('\n');
        let error = |cause| KeyFileError {
            file: file.to_owned(),
            kind: KeyFileProblem::Io(cause),
        };
        create(file, text.as_bytes()).map_err(error)?;
        // Another process may have been first: what lies there counts.
        Self::read(file)?.ok_or_else(|| error(io::ErrorKind::NotFound.into()))
    }
}

fn one_key(text: &str) -> Option<TemplateKey> {
    let mut bytes = if text.len() == 64 {
        hex::decode(text).ok()?
    } else {
        BASE64_STANDARD.decode(text).ok()?
    };
    let key = <[u8; 32]>::try_from(bytes.as_slice()).ok();
    bytes.zeroize();
    key.map(Zeroizing::new)
}

/// Writes a file beside the wanted one, private from the start, and links it into place: a link,
/// unlike a rename, never replaces what is there. False when there was a file.
fn create(file: &Path, contents: &[u8]) -> io::Result<bool> {
    let (draft, written) = draft(file, contents);
    let linked = written.and_then(|()| match fs::hard_link(&draft, file) {
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        linked => linked.map(|()| true),
    });
    fs::remove_file(&draft)?;
    let made = linked?;
    sync_folder_of(file)?;
    Ok(made)
}

/// Writes a file beside the wanted one, and renames it.
fn replace(file: &Path, contents: &[u8]) -> io::Result<()> {
    let (draft, written) = draft(file, contents);
    let renamed = written.and_then(|()| {
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt, chown};
            let owner = fs::metadata(file)?;
            chown(&draft, Some(owner.uid()), Some(owner.gid()))?;
        }
        fs::rename(&draft, file)
    });
    if renamed.is_err() {
        // It may never have been made.
        let _ = fs::remove_file(&draft);
    }
    renamed?;
    sync_folder_of(file)
}

/// A file beside the wanted one, private from the start and on the disk.
fn draft(file: &Path, contents: &[u8]) -> (PathBuf, io::Result<()>) {
    let draft = file.with_extension(format!("key-{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&draft).and_then(|mut draft| {
        draft.write_all(contents)?;
        draft.sync_all()
    });
    (draft, written)
}

fn sync_folder_of(file: &Path) -> io::Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(unix)]
fn private(file: &Path) -> Result<(), KeyFileProblem> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(file)
        .map_err(KeyFileProblem::Io)?
        .permissions()
        .mode();
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(KeyFileProblem::Open(mode & 0o777))
    }
}

#[cfg(not(unix))]
fn private(_: &Path) -> Result<(), KeyFileProblem> {
    Ok(())
}

/// What is wrong with the key file.
#[derive(Debug, thiserror::Error)]
#[error("the template key file {file} {kind}", file = file.display())]
pub struct KeyFileError {
    /// Which file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub kind: KeyFileProblem,
}

/// The ways in which a key file can be wrong.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileProblem {
    /// Reading or writing failed.
    #[error("cannot be read or written: {0}")]
    Io(io::Error),
    /// Its group or others may read or write it; its mode.
    #[error("can be read by others (mode {0:o}): run chmod 600 on it")]
    Open(u32),
    /// It holds something else.
    #[error("does not hold keys of 32 bytes in base64 or hexadecimal")]
    NoKey,
}
