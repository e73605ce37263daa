//! The declarations that every kind of record makes: its name, its keys, whose personal data it is.
//! Stores, backups, copies, erasure and export follow these declarations, and know no kind by name.

use std::{
    fmt::{Debug, Display},
    str::FromStr,
};

use jiff::{Timestamp, civil::Date};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use super::{ids::EmployeeId, sealed::SealedPart};

/// A kind of record: everything that a store must know to keep its records.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The plural in lowercase with underscores: the name of tables, collections and key prefixes.
    pub name: &'static str,
    /// The singular, for messages.
    pub one: &'static str,
    /// Whether backups and copies contain the records.
    pub lifetime: Lifetime,
    /// The keys that records of this kind may have.
    pub indexes: &'static [Index],
    /// Number of records per page when all are read; small if the records are large.
    pub page: usize,
    /// How records change, so that a copy can distinguish an earlier state of an installation from
    /// another installation.
    pub changes: Changes,
    /// The index by age, which retention uses to find old records. Its key ends with a timestamp.
    /// The parts before it identify groups with their own maximum age.
    pub ages: Option<Index>,
    /// Whether its records contain sealed parts: [`Record::sealed`].
    pub seals: bool,
    /// The version of its keys. It must increase if [`Record::keys`] returns other keys for the
    /// same record, so that stores write all records again.
    pub keys: u16,
}

/// How the records of a kind change after they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Changes {
    /// They never change; only erasure or retention deletes them.
    Never,
    /// They are changed or deleted only after the audit trail has an entry about them, or about
    /// their employee.
    Audited,
    /// They are deleted only after such an entry, and never changed.
    Deleted,
    /// Every change increases their key in this index, and they are never deleted. A record
    /// that has no key in this index has never been changed since it was created.
    Grows(Index),
}

/// Whether a kind of record is part of backups and copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// It is part of them.
    Archived,
    /// It is not: its records matter only to this store and its instances.
    Transient,
}

impl Kind {
    /// Returns a kind that is part of backups and copies.
    pub const fn archived(
        name: &'static str,
        one: &'static str,
        indexes: &'static [Index],
    ) -> Self {
        Self {
            name,
            one,
            lifetime: Lifetime::Archived,
            indexes,
            page: 500,
            changes: Changes::Never,
            ages: None,
            seals: false,
            keys: 1,
        }
    }

    /// Returns a kind that belongs to one store: sessions, jobs, leases, cached values.
    pub const fn transient(
        name: &'static str,
        one: &'static str,
        indexes: &'static [Index],
    ) -> Self {
        Self {
            lifetime: Lifetime::Transient,
            ..Self::archived(name, one, indexes)
        }
    }

    /// Sets the number of records per page.
    pub const fn paged(self, page: usize) -> Self {
        Self { page, ..self }
    }

    /// Sets how records change.
    pub const fn changing(self, changes: Changes) -> Self {
        Self { changes, ..self }
    }

    /// Sets the index by age, which retention uses to find old records.
    pub const fn aging(self, index: Index) -> Self {
        let ages = Some(index);
        Self { ages, ..self }
    }

    /// Declares that the records contain sealed parts.
    pub const fn sealing(self) -> Self {
        Self {
            seals: true,
            ..self
        }
    }

    /// Sets the version of the keys.
    pub const fn keyed(self, keys: u16) -> Self {
        Self { keys, ..self }
    }

    /// Returns the plural, for messages.
    pub fn many(&self) -> String {
        self.name.replace('_', " ")
    }
}

/// An index by which records of a kind are found and listed. A record without a key in it is not
/// part of the index. Lists are sorted by the text of the key, then by ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Index {
    /// The name, in lowercase with underscores, unique within the kind.
    pub name: &'static str,
    /// Whether a key may belong to only one record.
    pub unique: bool,
}

impl Index {
    /// Returns an index in which several records may have the same key.
    pub const fn ordered(name: &'static str) -> Self {
        Self {
            name,
            unique: false,
        }
    }

    /// Returns an index in which every key belongs to one record.
    pub const fn unique(name: &'static str) -> Self {
        Self { name, unique: true }
    }

    /// The index that every kind has without declaring it: the key is the ID.
    pub const ID: Self = Self::unique("id");
}

/// Separates the parts of a key. No part contains it: texts have no control characters.
const SEPARATOR: char = '\u{1}';

/// The key of a record in an index: a text whose byte order is the order of its parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key(String);

impl Key {
    /// Joins parts to a key.
    pub fn new(parts: impl KeyParts) -> Self {
        let mut text = String::new();
        parts.write(&mut text);
        Self(text)
    }

    /// Wraps the text of a key that a store returned.
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds a part.
    #[must_use]
    pub fn followed_by(mut self, part: impl KeyPart) -> Self {
        self.0.push(SEPARATOR);
        part.write_part(&mut self.0);
        self
    }

    /// Splits the text of a key into the parts before the last one, and the last one.
    pub fn split_last(text: &str) -> (&str, &str) {
        text.rsplit_once(SEPARATOR).unwrap_or(("", text))
    }

    /// Returns the first text after this key and all keys that begin with its parts.
    pub fn end(&self) -> Self {
        // The character after the separator.
        Self(format!("{}\u{2}", self.0))
    }
}

/// One part of a key.
pub trait KeyPart {
    /// Appends a text whose byte order is the order of the values.
    fn write_part(&self, text: &mut String);
}

impl KeyPart for str {
    fn write_part(&self, text: &mut String) {
        // A text from outside must not look like several parts.
        text.extend(self.chars().filter(|c| *c > '\u{2}'));
    }
}

impl KeyPart for String {
    fn write_part(&self, text: &mut String) {
        self.as_str().write_part(text);
    }
}

impl<T: KeyPart + ?Sized> KeyPart for &T {
    fn write_part(&self, text: &mut String) {
        (**self).write_part(text);
    }
}

impl KeyPart for Uuid {
    fn write_part(&self, text: &mut String) {
        text.push_str(self.simple().encode_lower(&mut Uuid::encode_buffer()));
    }
}

/// Written as 16 hexadecimal digits of the Unix time in milliseconds, with the sign bit inverted,
/// so that earlier times sort first.
impl KeyPart for Timestamp {
    fn write_part(&self, text: &mut String) {
        text.push_str(&format!("{:016x}", self.as_millisecond() ^ i64::MIN));
    }
}

/// Written as 16 hexadecimal digits.
impl KeyPart for u64 {
    fn write_part(&self, text: &mut String) {
        text.push_str(&format!("{self:016x}"));
    }
}

impl KeyPart for u32 {
    fn write_part(&self, text: &mut String) {
        u64::from(*self).write_part(text);
    }
}

/// Written as `2026-11-28`. Years before 0 do not occur.
impl KeyPart for Date {
    fn write_part(&self, text: &mut String) {
        text.push_str(&self.to_string());
    }
}

/// The parts of a key, in the order in which they sort.
pub trait KeyParts {
    /// Appends the parts with separators between them.
    fn write(&self, text: &mut String);
}

impl KeyParts for () {
    fn write(&self, _: &mut String) {}
}

macro_rules! key_parts {
    ($($first:ident $(, $rest:ident)*;)+) => {$(
        impl<$first: KeyPart $(, $rest: KeyPart)*> KeyParts for ($first, $($rest,)*) {
            #[expect(non_snake_case, reason = "each part is named as its type")]
            fn write(&self, text: &mut String) {
                let ($first, $($rest,)*) = self;
                $first.write_part(text);
                $(
                    text.push(SEPARATOR);
                    $rest.write_part(text);
                )*
            }
        }
    )+};
}

key_parts! {
    A;
    A, B;
    A, B, C;
    A, B, C, D;
}

/// The keys of one record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys(Vec<(Index, Key)>);

impl Keys {
    /// Returns the keys of a record.
    pub fn from_record<R: Record>(record: &R) -> Self {
        let mut keys = Self::default();
        record.keys(&mut keys);
        keys
    }

    /// Adds the key in an index; at most one per index.
    pub fn add(&mut self, index: Index, parts: impl KeyParts) {
        debug_assert!(self.get(index).is_none(), "a record has one key per index");
        self.0.push((index, Key::new(parts)));
    }

    /// Returns the key in an index; `None` if the record is not in it.
    pub fn get(&self, index: Index) -> Option<&Key> {
        let found = self.0.iter().find(|(other, _)| *other == index);
        found.map(|(_, key)| key)
    }

    /// Iterates over all keys.
    pub fn iter(&self) -> impl Iterator<Item = &(Index, Key)> {
        self.0.iter()
    }
}

/// The ID of a record: a UUID newtype or a text. Stores use its text.
pub trait RecordId: Display + FromStr + Clone + Ord + Debug + Send + Sync + 'static {}

impl<T: Display + FromStr + Clone + Ord + Debug + Send + Sync + 'static> RecordId for T {}

/// Whose personal data a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// No employee's.
    NoEmployee,
    /// These employees'; it is exported for each of them.
    Employees {
        /// The employees; may be empty.
        ids: Vec<EmployeeId>,
        /// What happens to the record when one of them is erased.
        erase: OnErase,
    },
}

impl About {
    /// Returns the value for a record about one employee.
    pub fn employee(id: EmployeeId, erase: OnErase) -> Self {
        let ids = vec![id];
        Self::Employees { ids, erase }
    }

    /// Checks whether the record is about an employee.
    pub fn includes(&self, id: EmployeeId) -> bool {
        self.employees().contains(&id)
    }

    /// Returns what happens to the record when one of its employees is erased; `None` if it is
    /// about no employee.
    pub fn on_erase(&self) -> Option<OnErase> {
        match self {
            Self::NoEmployee => None,
            Self::Employees { erase, .. } => Some(*erase),
        }
    }

    /// Returns the employees whom the record is about.
    pub fn employees(&self) -> &[EmployeeId] {
        match self {
            Self::NoEmployee => &[],
            Self::Employees { ids, .. } => ids,
        }
    }
}

/// What happens to a record that is about an employee when they are erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnErase {
    /// It is deleted.
    Delete,
    /// It is deleted if the erasure includes attendance, which some laws require to keep.
    DeleteAttendance,
    /// It is kept, without everything that identifies the employee: [`Record::anonymize`].
    Anonymize,
    /// It is kept, because it is still needed and contains only the employee's ID.
    Keep,
}

/// The error for a damaged record. The text mentions the kind, and never quotes the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(pub String);

/// A kind of record, declared once, next to the type it describes.
///
/// A store keeps the record's JSON, its ID, its keys and at most one blob. Each write of a record
/// is atomic, but there are no transactions over several records. So facts that must agree belong
/// in one record.
pub trait Record: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static {
    /// Its kind.
    const KIND: &'static Kind;

    /// The version of its JSON. [`upgrade`](Self::upgrade) converts older versions when they are
    /// read.
    const VERSION: u16 = 1;

    /// The type of its ID.
    type Id: RecordId;

    /// Returns its ID, which never changes.
    fn id(&self) -> Self::Id;

    /// Adds its key in each index that it is part of.
    fn keys(&self, keys: &mut Keys);

    /// Returns whose personal data it is. There is no default, because export and erasure follow
    /// it. If a record's ID is an employee ID, the record must be about this employee alone. A kind
    /// with many records per employee needs an index `by_employee` whose key begins with the
    /// employee's ID.
    fn about(&self) -> About;

    /// Removes everything that identifies an employee, for [`OnErase::Anonymize`].
    fn anonymize(&mut self, _employee: EmployeeId) {}

    /// Returns its sealed parts, which key rotation seals again. A kind with sealed parts must be
    /// declared as [`Kind::sealing`].
    fn sealed(&mut self) -> Vec<SealedPart<'_>> {
        Vec::new()
    }

    /// Takes the blob, which is stored beside the JSON; `None` for a kind without a blob.
    fn take_blob(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Puts back the blob that [`take_blob`](Self::take_blob) took.
    ///
    /// # Errors
    /// When the blob cannot belong to this kind.
    fn put_blob(&mut self, _blob: Vec<u8>) -> Result<(), Damaged> {
        Err(Damaged(format!("a {} has no blob", Self::KIND.one)))
    }

    /// Converts the JSON of an older version to the current one.
    ///
    /// # Errors
    /// When the JSON is damaged.
    fn upgrade(_version: u16, json: Value) -> Result<Value, Damaged> {
        Ok(json)
    }
}

/// Returns the UUIDs in a text, for records that mention employees in free text.
pub fn uuids_in(text: &str) -> impl Iterator<Item = Uuid> + '_ {
    text.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'))
        .filter(|word| word.len() == 36)
        .filter_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_times_sort_like_the_times() {
        let moments = [Timestamp::MIN, Timestamp::from_millisecond(-1).unwrap()]
            .into_iter()
            .chain(
                [0, 1, 15, 16, 1_800_000_000_000]
                    .map(|at| Timestamp::from_millisecond(at).unwrap()),
            )
            .chain([Timestamp::MAX]);
        let keys: Vec<_> = moments.map(|at| Key::new((at,))).collect();
        assert!(keys.is_sorted_by(|one, next| one < next), "{keys:?}");
        assert!(keys.iter().all(|key| key.as_str().len() == 16));
    }

    #[test]
    fn a_shorter_part_sorts_before_a_longer_one_with_the_same_beginning() {
        let (ann, anna) = (Key::new(("ann", "f")), Key::new(("anna", "0")));
        assert!(ann < anna);
        let prefix = Key::new(("ann",));
        assert!(prefix < ann && ann < prefix.end() && prefix.end() < anna);
    }

    #[test]
    fn a_text_cannot_look_like_several_parts() {
        assert_eq!(Key::new(("a\u{1}b\u{2}\u{0}",)), Key::new(("ab",)));
    }

    #[test]
    fn uuids_are_found_in_free_text() {
        let id = Uuid::from_u128(7);
        let text = format!("although the face is enrolled for {id}, {id}.");
        assert_eq!(uuids_in(&text).collect::<Vec<_>>(), [id, id]);
        assert_eq!(uuids_in(&format!("{}", id.simple())).count(), 0);
    }
}
