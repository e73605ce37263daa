//! Backups: everything that a store holds as one stream of lines, and back into any store.
//!
//! The first line is the [`Head`], the last tells how many records of each kind there are and
//! their digests, and between them stands the JSON of one record a line.
//!
//! A store may be in use while it is read, kind after kind. So what refers to something is read
//! before it: who punched is among the employees that are read later, because employees stay.
//! The audit trail, which is written before every change, is read last of all, so that nothing is
//! in a backup whose entry is not.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io::{self, BufRead, Write},
};

use futures::{TryStreamExt, stream::FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use zeroize::Zeroizing;

use super::copying::{self, Item, Tally, Tallying, items};
use crate::{
    domain::{employees::Employee, ids::EmployeeId},
    ports::{RecordKind, StoreError, StoredRecord, Stores},
};

/// The form of the lines.
const FORM: u32 = 1;

/// What the last line begins with; a record never does.
const END: &[u8] = br#"{"end":"#;

/// By how much instances' clocks may differ at most.
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);

/// Why a backup cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store cannot be read, or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing to keep.
    #[error("the store holds no records: check its address")]
    Empty,
    /// A value that must be unique was read twice, because one record gave it up and another one
    /// got it meanwhile.
    #[error("the {} were changed while they were read: try again", .0.plural())]
    Moved(RecordKind),
    /// The file cannot be written.
    #[error("the backup cannot be written: {0}")]
    Write(io::Error),
    /// The file cannot be read, or does not authenticate.
    #[error("the backup is altered, cut off, or its disk fails ({0}): take another one")]
    Read(io::Error),
    /// The lines are not of a backup, or of one that a newer version made.
    #[error(
        "the backup has another form: take the version of Rollcall that made it, or a newer one"
    )]
    Form,
    /// It holds something that this version does not know, and would lose.
    #[error(
        "the backup was made by Rollcall {by}, and this one, {}, would lose some of its {}: take that version, or a newer one",
        env!("CARGO_PKG_VERSION"), .kind.plural()
    )]
    Newer {
        /// Of which kind.
        kind: RecordKind,
        /// The version that made it.
        by: String,
    },
    /// It ends before its last line.
    #[error("the backup ends too early: take another one")]
    Truncated,
    /// What it holds is not what its last line says.
    #[error("the {} of the backup are not those that were written: take another one", .0.plural())]
    Differs(RecordKind),
    /// It holds the same record, or the same unique value, twice.
    #[error("the backup has the same twice among its {}: take another one", .0.plural())]
    Twice(RecordKind),
}

/// What a backup says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Head {
    /// The form of the lines.
    form: u32,
    /// The version of Rollcall that made it.
    pub version: String,
    /// When it was begun.
    pub made_at: Timestamp,
    /// The store that it is of.
    pub store: String,
    /// The keys that open templates and photos, as `TEMPLATE_KEY` takes them.
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
    /// Of a backup that is made now.
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
    end: HashMap<RecordKind, Tally>,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// How many records of each kind there are.
    pub counts: Vec<(RecordKind, u64)>,
    /// The ids of the keys with which its templates, photos and pictures are sealed.
    pub sealed_with: BTreeSet<String>,
}

impl Contents {
    fn note(&mut self, record: &StoredRecord) {
        let sealed = match record {
            StoredRecord::Template(template) => &template.sealed,
            StoredRecord::Photo(photo) => &photo.sealed,
            StoredRecord::Picture(picture) => &picture.sealed,
            _ => return,
        };
        if !self.sealed_with.contains(&sealed.key_id) {
            self.sealed_with.insert(sealed.key_id.clone());
        }
    }
}

/// The order of the kinds in a backup.
fn order() -> impl Iterator<Item = RecordKind> {
    let others = |kind: &RecordKind| *kind != RecordKind::Audit;
    let referring_first = RecordKind::ALL.into_iter().rev().filter(others);
    referring_first.chain([RecordKind::Audit])
}

/// Writes everything that a store holds. The store may be in use.
///
/// # Errors
/// When the store cannot be read, or the lines cannot be written. After
/// [`BackupError::Moved`] all of it may be tried again.
pub async fn write(
    stores: &Stores,
    head: &Head,
    out: &mut dyn Write,
) -> Result<Contents, BackupError> {
    line(out, &Zeroizing::new(json(head)?))?;
    let (mut contents, mut end) = (Contents::default(), HashMap::new());
    let mut meanwhile = Meanwhile::default();
    for kind in order() {
        let (mut tallying, mut unique) = (Tallying::default(), HashSet::new());
        let mut items = items(stores, kind);
        while let Some(item) = items.try_next().await? {
            if meanwhile.differs(&item) {
                // Asked anew for each: somebody may have been enrolled a moment ago.
                let begun = head.made_at.saturating_sub(CLOCKS).unwrap_or(head.made_at);
                let changed = stores.templates.changed_since(begun).await?;
                meanwhile.changed = changed.into_iter().map(|(employee, _)| employee).collect();
            }
            let item = meanwhile.mend(item)?;
            if exclusive(&item.record).is_some_and(|value| !unique.insert(value)) {
                return Err(BackupError::Moved(kind));
            }
            contents.note(&item.record);
            tallying.add(&item.json);
            line(out, &item.json)?;
        }
        let tally = tallying.end();
        contents.counts.push((kind, tally.count));
        end.insert(kind, tally);
    }
    if contents.counts.iter().all(|(_, count)| *count == 0) {
        return Err(BackupError::Empty);
    }
    line(out, &json(&End { end })?)?;
    Ok(contents)
}

/// The value of a record that no other one of its kind may have, where that may pass from one to
/// another.
fn exclusive(record: &StoredRecord) -> Option<String> {
    match record {
        StoredRecord::Account(account) => Some(account.email.to_string()),
        StoredRecord::Camera(camera) if camera.removed_at.is_none() => {
            Some(camera.stream.to_string())
        }
        StoredRecord::Employee(employee) if employee.deleted_at.is_none() => {
            Some(employee.code.key())
        }
        _ => None,
    }
}

/// What changed between reading templates and the employees whose they are.
#[derive(Default)]
struct Meanwhile {
    /// How many templates of each employee were read.
    templates: HashMap<EmployeeId, u32>,
    /// Whose templates may have changed since the beginning.
    changed: HashSet<EmployeeId>,
}

impl Meanwhile {
    /// Whether somebody has another number of templates than was read, and nobody said why.
    fn differs(&self, item: &Item) -> bool {
        let StoredRecord::Employee(employee) = &item.record else {
            return false;
        };
        let read = self.templates.get(&employee.id).copied().unwrap_or(0);
        read != employee.templates && !self.changed.contains(&employee.id)
    }

    /// Lets an employee have as many templates as are in the backup: whoever was enrolled
    /// meanwhile shall not look enrolled where their templates are not. Those who have withdrawn
    /// their consent stay as they are, and retention deletes what is left of their faces.
    fn mend(&mut self, item: Item) -> Result<Item, StoreError> {
        let employee = match item.record {
            StoredRecord::Template(ref template) => {
                *self.templates.entry(template.employee).or_default() += 1;
                return Ok(item);
            }
            StoredRecord::Employee(ref employee) => employee,
            _ => return Ok(item),
        };
        let read = self.templates.get(&employee.id).copied().unwrap_or(0);
        let enrolled = employee.consent.is_some() && employee.deleted_at.is_none();
        if read == employee.templates || !enrolled || !self.changed.contains(&employee.id) {
            return Ok(item);
        }
        let mut employee: Employee = employee.clone();
        employee.templates = read;
        employee.consent = employee.consent.filter(|_| read > 0);
        let record = StoredRecord::Employee(employee);
        Ok(Item {
            json: record.json()?,
            record,
            ..item
        })
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, BackupError> {
    serde_json::to_vec(value).map_err(|error| BackupError::Write(error.into()))
}

fn line(out: &mut dyn Write, json: &[u8]) -> Result<(), BackupError> {
    let written = out.write_all(json).and_then(|()| out.write_all(b"\n"));
    written.map_err(BackupError::Write)
}

/// Reads all of a backup into an empty store, and holds it to its last line.
///
/// # Errors
/// When it is no whole backup, or the store does not take it.
pub async fn read(input: impl BufRead, into: &Stores) -> Result<(Head, Contents), BackupError> {
    let mut lines = input
        .split(b'\n')
        .map(|line| line.map_err(BackupError::Read));
    let first = Zeroizing::new(lines.next().ok_or(BackupError::Truncated)??);
    let head = Head::parse(&first)?;
    let mut contents = Contents::default();
    let mut tallies: HashMap<RecordKind, Tallying> = HashMap::new();
    let mut adding = FuturesUnordered::new();
    let end = loop {
        let line = lines.next().ok_or(BackupError::Truncated)??;
        if line.starts_with(END) {
            break serde_json::from_slice::<End>(&line).map_err(|_| BackupError::Form)?;
        }
        let record = record(&head, &line)?;
        tallies.entry(record.kind()).or_default().add(&line);
        contents.note(&record);
        while adding.len() >= copying::at_once(record.kind()) {
            adding.try_next().await?;
        }
        adding.push(async move {
            match copying::add(into, &record).await {
                Err(StoreError::Conflict) => Err(BackupError::Twice(record.kind())),
                added => Ok(added?),
            }
        });
    };
    adding.try_collect::<()>().await?;
    // What follows is not of this backup; and what the file ends with has to be sound as well.
    if lines.next().transpose()?.is_some() {
        return Err(BackupError::Form);
    }
    for kind in RecordKind::ALL {
        let found = tallies.remove(&kind).unwrap_or_default().end();
        match end.end.get(&kind) {
            Some(told) if *told == found => {}
            // A kind that came later than the backup.
            None if found.count == 0 => {}
            _ => return Err(BackupError::Differs(kind)),
        }
        contents.counts.push((kind, found.count));
    }
    Ok((head, contents))
}

/// The record of a line, if nothing of it is lost here.
fn record(head: &Head, line: &[u8]) -> Result<StoredRecord, BackupError> {
    let record: StoredRecord = serde_json::from_slice(line).map_err(|_| BackupError::Form)?;
    let again = record.json()?;
    if again != line {
        let value = |json: &[u8]| serde_json::from_slice(json).map_err(|_| BackupError::Form);
        if !holds(&value(&again)?, &value(line)?) {
            let (kind, by) = (record.kind(), head.version.clone());
            return Err(BackupError::Newer { kind, by });
        }
    }
    Ok(record)
}

/// Whether everything that is in `part` is in `whole`, which may have fields of its own.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(name, part)| whole.get(name).is_some_and(|whole| holds(whole, part))),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len()
                && whole.iter().zip(part).all(|(one, other)| holds(one, other))
        }
        (whole, part) => whole == part,
    }
}
