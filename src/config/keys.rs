//! The keys that encrypt templates and photos: given as a setting, or stored in a file in the data
//! folder.

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

/// One or more keys: the first encrypts, all decrypt. `Debug` shows their number only.
#[derive(Clone)]
pub struct TemplateKeys {
    /// The key that encrypts.
    pub sealing: TemplateKey,
    /// Further keys that decrypt.
    pub older: Vec<TemplateKey>,
}

impl fmt::Debug for TemplateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TemplateKeys({})", 1 + self.older.len())
    }
}

impl TemplateKeys {
    /// Parses keys separated by commas, each 32 bytes in base64 or hexadecimal.
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

    /// Iterates over all keys, starting with the one that encrypts.
    fn all(&self) -> impl Iterator<Item = &TemplateKey> {
        std::iter::once(&self.sealing).chain(&self.older)
    }

    /// Returns whether these keys decrypt everything that the other keys encrypted.
    pub fn open_all_of(&self, other: &Self) -> bool {
        other.all().all(|key| self.all().any(|mine| mine == key))
    }

    /// Formats the keys for [`parse`](Self::parse).
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

    /// Returns these keys with a new first key, which encrypts from now on.
    pub fn preceded_by(&self, key: TemplateKey) -> Self {
        Self {
            sealing: key,
            older: self.all().cloned().collect(),
        }
    }

    /// Returns only the key that encrypts.
    pub fn first(&self) -> Self {
        Self {
            sealing: self.sealing.clone(),
            older: Vec::new(),
        }
    }

    /// Replaces the content of the key file atomically: a reader finds either all old keys or all
    /// new ones. Preserves the owner of the file.
    ///
    /// # Errors
    /// Fails if the file does not exist or cannot be written.
    pub fn replace(&self, file: &Path) -> Result<(), KeyFileError> {
        let text = Zeroizing::new(format!("{}\n", self.text().expose_secret()));
        replace(file, text.as_bytes()).map_err(|cause| KeyFileError {
            file: file.to_owned(),
            kind: KeyFileProblem::Io(cause),
        })
    }

    /// Creates the key file.
    ///
    /// # Errors
    /// Fails if the file exists already or cannot be written.
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

    /// Reads the key file; `None` if it does not exist.
    ///
    /// # Errors
    /// Fails if the file cannot be read, is readable by others, or contains no key.
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

    /// Reads the key file, or creates it with the given entropy if it does not exist. The file is
    /// created atomically, and never replaces another.
    ///
    /// # Errors
    /// Fails as [`read`](Self::read) does, or if the file cannot be written.
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
        // Another process may have created the file first: its content counts.
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

/// Writes a private draft beside the file and links it into place: unlike a rename, a link never
/// replaces a file. Returns false if the file existed already.
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

/// Writes a private draft beside the file and renames it into place.
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
        // The draft may not exist.
        let _ = fs::remove_file(&draft);
    }
    renamed?;
    sync_folder_of(file)
}

/// Writes a draft beside the file, private from the start and synced to disk.
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

/// The error for a key file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the template key file {file} {kind}", file = file.display())]
pub struct KeyFileError {
    /// The file.
    pub file: PathBuf,
    /// The problem.
    pub kind: KeyFileProblem,
}

/// The problem of a key file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileProblem {
    /// Reading or writing failed.
    #[error("could not be read or written: {0}")]
    Io(io::Error),
    /// Its group or others may read or write it; contains its mode.
    #[error("can be read by others (mode {0:o}): run chmod 600 on it")]
    Open(u32),
    /// Its content is not a list of keys.
    #[error("does not contain keys of 32 bytes in base64 or hexadecimal")]
    NoKey,
}
