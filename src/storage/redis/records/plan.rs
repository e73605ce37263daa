//! What a record is to the scripts: its key, what it claims, and in which indexes it is.

use serde::Serialize;

use crate::{ports::StoreError, storage::redis::Prefix};

/// A record that has a key of its own.
pub(super) trait Kept: Sized + Send + Sync {
    /// What stands between the prefix and the identity in its key.
    const KIND: &str;
    /// Whether it never changes and is kept as a plain string, not as a hash.
    const PLAIN: bool = false;
    /// Whether what is beside it is read with it.
    const BESIDE: bool = true;

    /// What ends its key.
    fn id(&self) -> String;

    /// Everything that points to it. Keys are without the prefix.
    fn ties(&self) -> Result<Ties, StoreError>;

    /// Its JSON.
    fn body(&self) -> Result<Vec<u8>, StoreError>;

    /// What is kept beside its JSON, and replaced by itself.
    fn beside(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    /// What is kept beside it from now on, when it replaces a record; `None` leaves it as it is.
    fn beside_anew(&self) -> Option<Vec<u8>> {
        None
    }

    /// Reads it back with doubt.
    fn read(body: &[u8], beside: Option<&[u8]>) -> Result<Self, StoreError>;
}

/// Everything that points to a record.
#[derive(Default)]
pub(super) struct Ties {
    /// Keys that hold its identity, each of one record at most.
    pub claims: Vec<String>,
    /// Indexes and its member in each.
    pub places: Vec<(String, String)>,
    /// Indexes, and the beginning that no other member of them may have.
    pub only: Vec<(String, String)>,
    /// Scores that only grow: sorted set, score, member.
    pub latest: Vec<(String, i64, String)>,
    /// Counters that count it when it is added.
    pub counters: Vec<String>,
}

/// One record to be written, as [`super::scripts::PUT`] understands it.
#[derive(Serialize)]
struct Step {
    key: String,
    id: String,
    replaces: bool,
    /// The JSON that the record has, when it may only be replaced while it has that.
    was: Option<String>,
    fields: Vec<&'static str>,
    claims: Vec<String>,
    places: Vec<(String, String)>,
    only: Vec<(String, String)>,
    latest: Vec<(String, String, String)>,
    counters: Vec<String>,
}

/// What a record has to give up one day, kept with it.
#[derive(Serialize)]
struct Had<'a> {
    c: &'a [String],
    z: &'a [(String, String)],
}

/// Records to be written together.
#[derive(Default)]
pub(super) struct Plan {
    steps: Vec<Step>,
    values: Vec<Vec<u8>>,
}

impl Plan {
    /// Adds a record that is not there yet.
    pub fn insert<K: Kept>(&mut self, keys: &Prefix, record: &K) -> Result<(), StoreError> {
        self.step(keys, record, false, None)
    }

    /// Adds a record that takes the place of the one there. What is beside it stays.
    pub fn replace<K: Kept>(&mut self, keys: &Prefix, record: &K) -> Result<(), StoreError> {
        self.step(keys, record, true, None)
    }

    /// The same, while it has this JSON.
    pub fn exchange<K: Kept>(
        &mut self,
        keys: &Prefix,
        was: String,
        record: &K,
    ) -> Result<(), StoreError> {
        self.step(keys, record, true, Some(was))
    }

    fn step<K: Kept>(
        &mut self,
        keys: &Prefix,
        record: &K,
        replaces: bool,
        was: Option<String>,
    ) -> Result<(), StoreError> {
        let ties = record.ties()?;
        let prefixed = |pairs: Vec<(String, String)>| -> Vec<(String, String)> {
            let pairs = pairs.into_iter();
            pairs
                .map(|(key, member)| (keys.key(&key), member))
                .collect()
        };
        let claims: Vec<_> = ties.claims.iter().map(|key| keys.key(key)).collect();
        let places = prefixed(ties.places);
        let mut fields = Vec::new();
        if K::PLAIN {
            fields.push("");
            self.values.push(record.body()?);
        } else {
            fields.extend(["v", "x"]);
            self.values.push(record.body()?);
            self.values.push(had(keys, record)?);
            let beside = match replaces {
                true => record.beside_anew(),
                false => record.beside()?,
            };
            if let Some(beside) = beside {
                fields.push("e");
                self.values.push(beside);
            }
        }
        let id = record.id();
        self.steps.push(Step {
            key: record_key::<K>(keys, &id),
            id,
            replaces,
            was,
            fields,
            claims,
            places,
            only: prefixed(ties.only),
            latest: ties
                .latest
                .into_iter()
                .map(|(key, score, member)| (keys.key(&key), score.to_string(), member))
                .collect(),
            counters: ties
                .counters
                .iter()
                .filter(|_| !replaces)
                .map(|key| keys.key(key))
                .collect(),
        });
        Ok(())
    }

    /// The key that says where the script runs, and its arguments; `None` for nothing to do.
    pub fn call(self) -> Option<(String, Vec<Vec<u8>>)> {
        let key = self.steps.first()?.key.clone();
        let mut arguments = vec![json(&self.steps)];
        arguments.extend(self.values);
        Some((key, arguments))
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts serialise")
}

/// Everything that points to a record, as the scripts understand it: of plain records, which do
/// not have it with them.
pub(super) fn had<K: Kept>(keys: &Prefix, record: &K) -> Result<Vec<u8>, StoreError> {
    let ties = record.ties()?;
    let claims: Vec<_> = ties.claims.iter().map(|key| keys.key(key)).collect();
    let places = ties.places.into_iter();
    let places: Vec<_> = places
        .map(|(key, member)| (keys.key(&key), member))
        .collect();
    Ok(json(&Had {
        c: &claims,
        z: &places,
    }))
}

/// The key of a record.
pub(super) fn record_key<K: Kept>(keys: &Prefix, id: &str) -> String {
    keys.key(&format!("{}:{id}", K::KIND))
}

/// A moment so that texts sort as the moments do: 16 hexadecimal digits.
pub(super) fn sortable(at: jiff::Timestamp) -> String {
    // With the sign turned round, moments before 1970 come before those after.
    format!("{:016x}", at.as_millisecond() ^ i64::MIN)
}

/// A member of an index: what it is sorted by, then the identity.
pub(super) fn member(sorted_by: &str, id: impl std::fmt::Display) -> String {
    format!("{sorted_by}\0{id}")
}

/// A part of an index, and the direction in which it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    /// Lowest, in the notation of ZRANGEBYLEX.
    pub low: Vec<u8>,
    /// Highest.
    pub high: Vec<u8>,
    /// From the highest down.
    pub backwards: bool,
}

impl Range {
    /// All of it, forwards.
    pub fn all() -> Self {
        Self {
            low: b"-".to_vec(),
            high: b"+".to_vec(),
            backwards: false,
        }
    }

    /// All of it, backwards.
    pub fn back() -> Self {
        Self {
            backwards: true,
            ..Self::all()
        }
    }

    /// What comes after a member in the direction of reading.
    pub fn after(mut self, member: &str) -> Self {
        let bound = [b"(", member.as_bytes()].concat();
        if self.backwards {
            self.high = bound;
        } else {
            self.low = bound;
        }
        self
    }

    /// Only members that begin so or come later.
    pub fn from(mut self, beginning: &str) -> Self {
        self.low = [b"[", beginning.as_bytes()].concat();
        self
    }

    /// Only members that come before all that begin so.
    pub fn before(mut self, beginning: &str) -> Self {
        self.high = [b"(", beginning.as_bytes()].concat();
        self
    }

    /// Only members that begin so or come earlier.
    pub fn up_to(mut self, beginning: &str) -> Self {
        self.high = [b"[", beginning.as_bytes(), &[0xff]].concat();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn texts_of_moments_sort_as_the_moments() {
        let moments = [Timestamp::MIN, Timestamp::from_millisecond(-1).unwrap()]
            .into_iter()
            .chain(
                [0, 1, 15, 16, 1_800_000_000_000]
                    .map(|at| Timestamp::from_millisecond(at).unwrap()),
            )
            .chain([Timestamp::MAX]);
        let texts: Vec<_> = moments.map(sortable).collect();
        assert!(texts.is_sorted_by(|one, next| one < next), "{texts:?}");
        assert!(texts.iter().all(|text| text.len() == 16));
    }

    #[test]
    fn shorter_names_come_first() {
        let (ann, anna) = (member("ann", "f"), member("anna", "0"));
        assert!(ann < anna);
    }

    #[test]
    fn a_plan_of_nothing_asks_for_nothing() {
        assert_eq!(Plan::default().call(), None);
    }
}
