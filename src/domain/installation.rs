//! Records of the installation: settings that are decided once, leases of its instances, and values
//! that they cache in the store.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::{About, Changes, Damaged, Index, Keys, Kind, Record};

/// A fact about the installation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Record for Setting {
    const KIND: &'static Kind =
        &Kind::archived("settings", "setting", &[]).changing(Changes::Audited);

    type Id = String;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn keys(&self, _keys: &mut Keys) {}

    fn about(&self) -> About {
        About::NoEmployee
    }
}

/// A fact about one store, which is not part of copies and backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreFact {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Record for StoreFact {
    const KIND: &'static Kind = &Kind::transient("store_facts", "store fact", &[]);

    type Id = String;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn keys(&self, _keys: &mut Keys) {}

    fn about(&self) -> About {
        About::NoEmployee
    }
}

/// A name that one instance holds for a while, so that no other instance does the same work.
///
/// The record stays after the lease is released, so that the fence never decreases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The name of the work.
    pub name: String,
    /// The instance that holds it; empty after it was released.
    pub holder: String,
    /// The fencing token. It grows with every new holder, so that actions of a holder whose lease
    /// has expired can be detected.
    pub fence: u64,
    /// When it expires, unless it is extended.
    pub until: Timestamp,
}

impl Lease {
    /// Checks whether an instance holds it at a moment.
    pub fn held(&self, now: Timestamp) -> bool {
        !self.holder.is_empty() && self.until > now
    }
}

impl Record for Lease {
    const KIND: &'static Kind = &Kind::transient("leases", "lease", &[]);

    type Id = String;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn keys(&self, _keys: &mut Keys) {}

    fn about(&self) -> About {
        About::NoEmployee
    }
}

/// A value that instances cache in the store because they do not share a Redis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedValue {
    /// Its key.
    pub key: String,
    /// When it expires.
    pub until: Timestamp,
    /// Its bytes, the record's blob.
    #[serde(skip)]
    pub value: Vec<u8>,
}

impl CachedValue {
    /// All values, by their expiry.
    pub const BY_END: Index = Index::ordered("by_end");
}

/// Cached values name no employee: values about people are sealed, or found only by key, and they
/// expire within a day.
impl Record for CachedValue {
    const KIND: &'static Kind = &Kind::transient("cached_values", "cached value", &[Self::BY_END]);

    type Id = String;

    fn id(&self) -> String {
        self.key.clone()
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_END, (self.until,));
    }

    fn about(&self) -> About {
        About::NoEmployee
    }

    fn take_blob(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.value))
    }

    fn put_blob(&mut self, blob: Vec<u8>) -> Result<(), Damaged> {
        self.value = blob;
        Ok(())
    }
}
