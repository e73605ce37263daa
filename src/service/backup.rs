//! Backups: writes all records of a store as a stream of lines, and reads them into any store.
//!
//! The first line is the [`Head`]. The last line has the number of records of each kind and their
//! digests. Each line between them is a record.
//!
//! The store may be in use while it is read, kind after kind. So records are read before those that
//! they refer to: the employee of a punch is among the employees that are read later, because
//! employees are never deleted. The audit trail, which is written before every change, is read last,
//! so that a backup has the entry of every change in it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    io::{self, BufRead, Write},
};

use futures::{TryStreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::store_copy::{self, Tally, Tallying, items};
use crate::{
    domain::record::{Changes, Kind},
    ports::StoreError,
    repositories::{Found, Registered, Repositories, Unread, read_line},
};

/// The version of the format.
const FORM: u32 = 2;

/// The beginning of the last line. No record begins like this.
const END: &[u8] = br#"{"end":"#;

/// Why a backup was not made or read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store has no records.
    #[error("the store holds no records: check its address")]
    Empty,
    /// A unique value was read twice, because it passed from one record to another meanwhile.
    #[error("the {} changed while they were read: try again", .0.many())]
    Moved(&'static Kind),
    /// The file cannot be written.
    #[error("could not write the backup: {0}")]
    Write(io::Error),
    /// The file cannot be read, or its authentication failed.
    #[error("the backup is corrupt, truncated or unreadable ({0}): use another one")]
    Read(io::Error),
    /// The file is not a backup, or a version of Rollcall with another format made it.
    #[error(
        "the file is not a backup in the format of this version: use the version of Rollcall that made it"
    )]
    Form,
    /// The backup contains data that this version does not know and would lose.
    #[error(
        "the backup was made by Rollcall {by}, and this version, {}, would lose some of its {}: use that version, or a newer one",
        env!("CARGO_PKG_VERSION"), .kind.replace('_', " ")
    )]
    Newer {
        /// The name of the kind.
        kind: String,
        /// The version of Rollcall that made the backup.
        by: String,
    },
    /// The backup ends before its last line.
    #[error("the backup is truncated: use another one")]
    Truncated,
    /// The records do not match the last line.
    #[error("the backup is corrupt, its {} do not match their digest: use another one", .0.many())]
    Differs(&'static Kind),
    /// The backup contains a record or a unique value twice.
    #[error("the backup contains duplicate {}: use another one", .0.many())]
    Twice(&'static Kind),
}

/// The first line of a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Head {
    /// The version of the format.
    form: u32,
    /// The version of Rollcall that made the backup.
    pub version: String,
    /// When the backup was begun.
    pub made_at: Timestamp,
    /// The store that was backed up.
    pub store: String,
    /// The keys of the encrypted data, in the form of `TEMPLATE_KEY`.
    #[serde(serialize_with = "expose", deserialize_with = "conceal")]
    pub keys: Option<SecretString>,
}

fn expose<S: Serializer>(keys: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    let keys = keys.as_ref().map(ExposeSecret::expose_secret);
    keys.serialize(serializer)
}

fn conceal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Into::into))
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (at, store, version) = (self.made_at, &self.store, &self.version);
        write!(f, "of {at:.0}, from {store}, by Rollcall {version}")
    }
}

impl Head {
    /// Returns the first line of a backup that is made now.
    pub fn new(made_at: Timestamp, store: String, keys: Option<SecretString>) -> Self {
        Self {
            form: FORM,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            made_at,
            store,
            keys,
        }
    }

    fn parse(line: &[u8]) -> Result<Self, BackupError> {
        #[derive(Deserialize)]
        struct Form {
            form: u32,
        }
        match serde_json::from_slice(line) {
            Ok(Form { form: FORM }) => serde_json::from_slice(line).map_err(|_| BackupError::Form),
            _ => Err(BackupError::Form),
        }
    }
}

/// The last line.
#[derive(Serialize, Deserialize)]
struct End {
    end: HashMap<String, Tally>,
}

/// The contents of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// The number of records of each kind.
    pub counts: Vec<(&'static Kind, u64)>,
    /// The IDs of the keys with which data in it is encrypted.
    pub sealed_with: BTreeSet<String>,
}

impl Contents {
    fn note(&mut self, found: &mut Found) {
        for part in found.record.sealed_parts() {
            if !self.sealed_with.contains(&part.sealed.key_id) {
                self.sealed_with.insert(part.sealed.key_id.clone());
            }
        }
    }
}

/// Returns the kinds in the order in which they are read: those that refer to others before these,
/// and the audit trail last.
fn order(stores: &Repositories) -> impl Iterator<Item = Registered> {
    let mut kinds = stores.archived();
    let trail = kinds.pop();
    kinds.into_iter().rev().chain(trail)
}

/// Writes all records of a store, which may be in use.
///
/// # Errors
/// When the store cannot be read, or the lines cannot be written. After [`BackupError::Moved`] the
/// caller can try again.
pub async fn write(
    stores: &Repositories,
    head: &Head,
    out: &mut dyn Write,
) -> Result<Contents, BackupError> {
    line(out, &Zeroizing::new(json(head)?))?;
    let (mut contents, mut end) = (Contents::default(), HashMap::new());
    for registered in order(stores) {
        let kind = registered.kind;
        let (mut tallying, mut unique) = (Tallying::default(), Unique::default());
        let mut items = items(stores, registered);
        while let Some(mut item) = items.try_next().await? {
            if !unique.add(kind, &item.found) {
                return Err(BackupError::Moved(kind));
            }
            contents.note(&mut item.found);
            tallying.add(&item.line);
            line(out, &item.line)?;
        }
        let tally = tallying.end();
        contents.counts.push((kind, tally.count));
        end.insert(kind.name.to_owned(), tally);
    }
    if contents.counts.iter().all(|(_, count)| *count == 0) {
        return Err(BackupError::Empty);
    }
    line(out, &json(&End { end })?)?;
    Ok(contents)
}

/// The unique keys of the records of a kind, as 64-bit hashes. Two equal hashes by chance, once in
/// billions of backups, cost another try.
#[derive(Default)]
struct Unique {
    hasher: RandomState,
    read: HashSet<u64>,
}

impl Unique {
    /// Adds the keys of a record; returns false if another record had one of them. Ignores kinds that
    /// never change, because their keys never pass from one record to another.
    fn add(&mut self, kind: &Kind, found: &Found) -> bool {
        if kind.changes == Changes::Never {
            return true;
        }
        let keys = found.record.all_keys();
        let mut unique = keys.iter().filter(|(index, _)| index.unique);
        unique.all(|key| self.read.insert(self.hasher.hash_one(key)))
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, BackupError> {
    serde_json::to_vec(value).map_err(|error| BackupError::Write(error.into()))
}

fn line(out: &mut dyn Write, json: &[u8]) -> Result<(), BackupError> {
    let written = out.write_all(json).and_then(|()| out.write_all(b"\n"));
    written.map_err(BackupError::Write)
}

/// Reads a backup into an empty store, and compares it with its last line.
///
/// # Errors
/// When the file is not a complete backup, or the store refuses a record.
pub async fn read(
    input: impl BufRead,
    into: &Repositories,
) -> Result<(Head, Contents), BackupError> {
    let mut lines = input
        .split(b'\n')
        .map(|line| line.map_err(BackupError::Read));
    let first = Zeroizing::new(lines.next().ok_or(BackupError::Truncated)??);
    let head = Head::parse(&first)?;
    let kinds = into.archived();
    let mut contents = Contents::default();
    let mut tallies: HashMap<&str, Tallying> = HashMap::new();
    let mut adding = FuturesUnordered::new();
    let end = loop {
        let line = lines.next().ok_or(BackupError::Truncated)??;
        if line.starts_with(END) {
            break serde_json::from_slice::<End>(&line).map_err(|_| BackupError::Form)?;
        }
        let record = read_line(&kinds, &line).map_err(|unread| match unread {
            Unread::NoRecord => BackupError::Form,
            Unread::Newer(kind) => BackupError::Newer {
                kind,
                by: head.version.clone(),
            },
        })?;
        let kind = record.kind_of();
        tallies.entry(kind.name).or_default().add(&line);
        let mut found = Found {
            record,
            revision: 1,
        };
        contents.note(&mut found);
        while adding.len() >= store_copy::batch_size(kind) {
            adding.try_next().await?;
        }
        adding.push(async move {
            match store_copy::add(into, &found).await {
                Err(StoreError::Conflict) => Err(BackupError::Twice(kind)),
                added => Ok(added?),
            }
        });
    };
    adding.try_collect::<()>().await?;
    // Nothing may follow, and the end of the file must authenticate, too.
    if lines.next().transpose()?.is_some() {
        return Err(BackupError::Form);
    }
    for Registered { kind, .. } in kinds {
        let found = tallies.remove(kind.name).unwrap_or_default().end();
        match end.end.get(kind.name) {
            Some(written) if *written == found => {}
            // A kind that did not exist when the backup was made.
            None if found.count == 0 => {}
            _ => return Err(BackupError::Differs(kind)),
        }
        contents.counts.push((kind, found.count));
    }
    Ok((head, contents))
}
