//! Settings that are decided once, leases, and the cache in the store.

use jiff::Timestamp;

use super::Versioned;
use crate::{
    domain::{
        installation::{CachedValue, Lease, Setting, StoreFact},
        record::{Index, Key},
    },
    ports::{Range, StoreError},
};

repository! {
    /// The repository of facts about the installation, by name.
    Settings(Setting)
}

impl Settings {
    /// Returns the value of a setting.
    pub async fn get(&self, name: &str) -> Result<Option<String>, StoreError> {
        let found = self.0.get(&name.to_owned()).await?;
        Ok(found.map(|setting| setting.into_inner().value))
    }

    /// Sets the value of a setting that has none. Returns false if it has one. If several instances
    /// try at once, one of them succeeds.
    pub async fn claim(&self, name: &str, value: &str) -> Result<bool, StoreError> {
        let setting = Setting {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        self.0.insert_new(&setting).await
    }

    /// Sets the value of a setting, whatever it has. The audit trail must have an entry about the
    /// name of the setting first.
    pub async fn put(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let setting = Setting {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        self.0.put(&setting).await
    }

    /// Removes the value of a setting.
    pub async fn release(&self, name: &str) -> Result<(), StoreError> {
        self.0.remove(&name.to_owned()).await.map(drop)
    }
}

repository! {
    /// The repository of facts about this store.
    Facts(StoreFact)
}

impl Facts {
    /// Returns the value of a fact.
    pub async fn get(&self, name: &str) -> Result<Option<String>, StoreError> {
        let found = self.0.get(&name.to_owned()).await?;
        Ok(found.map(|fact| fact.into_inner().value))
    }

    /// Sets the value of a fact.
    pub async fn set(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let fact = StoreFact {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        self.0.put(&fact).await
    }

    /// Removes a fact.
    pub async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.0.remove(&name.to_owned()).await.map(drop)
    }
}

repository! {
    /// The repository of leases: a name has at most one holder at a time. Leases need nothing but the
    /// store.
    ///
    /// Times are by the instances' clocks, whose differences must be small compared to a lease. A
    /// holder must stop when its lease has expired by its own clock, even if the store does not
    /// respond.
    Leases(Lease)
}

impl Leases {
    /// Takes a name until a moment. Returns `None` if another holder's lease has not expired, or if
    /// others take or change it at the same time. The current holder takes it again with the same
    /// fence.
    pub async fn take(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        let stored = self.0.get(&name.to_owned()).await?;
        let held = stored.as_ref().filter(|lease| lease.held(now));
        if held.is_some_and(|lease| lease.holder != holder) {
            return Ok(None);
        }
        let fence = stored.as_ref().map_or(0, |lease| lease.fence);
        let lease = Lease {
            name: name.to_owned(),
            holder: holder.to_owned(),
            fence: fence + u64::from(held.is_none()),
            until,
        };
        let taken = match &stored {
            Some(stored) => self.0.swap(stored, lease.clone()).await?.is_some(),
            None => self.0.insert_new(&lease).await?,
        };
        Ok(taken.then_some(lease))
    }

    /// Returns the lease of a name as it was last taken, whether it has expired or not.
    pub async fn last(&self, name: &str) -> Result<Option<Lease>, StoreError> {
        self.0.find(&name.to_owned()).await
    }

    /// Extends a lease until a moment. Returns false if it has expired or belongs to another
    /// holder; then the work must stop immediately.
    pub async fn extend(
        &self,
        lease: &Lease,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let extended = |stored: Lease| {
            let ours = same(&stored, lease) && stored.held(now);
            ours.then_some(Lease { until, ..stored })
        };
        Ok(self.0.change(&lease.name, extended).await?.is_some())
    }

    /// Releases a lease. Returns false if it was released before or belongs to another holder.
    pub async fn release(&self, lease: &Lease) -> Result<bool, StoreError> {
        let released = |stored: Lease| {
            same(&stored, lease).then(|| Lease {
                holder: String::new(),
                ..stored
            })
        };
        Ok(self.0.change(&lease.name, released).await?.is_some())
    }
}

/// Checks whether two leases are of the same holder and fence.
fn same(stored: &Lease, lease: &Lease) -> bool {
    (&stored.holder, stored.fence) == (&lease.holder, lease.fence)
}

repository! {
    /// The repository of cached values, for instances that do not share a Redis. A value may disappear
    /// at any moment. Expired values are never returned.
    StoredCache(CachedValue)
}

impl StoredCache {
    async fn find(
        &self,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<Versioned<CachedValue>>, StoreError> {
        let found = self.0.get(&key.to_owned()).await?;
        Ok(found.filter(|value| value.until > now))
    }

    /// Returns the value of a key.
    pub async fn get(&self, key: &str, now: Timestamp) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.find(key, now).await?;
        Ok(found.map(|value| value.into_inner().value))
    }

    /// Stores a value that expires at a moment.
    pub async fn put(&self, key: &str, value: &[u8], until: Timestamp) -> Result<(), StoreError> {
        self.0.put(&cached(key, value, until)).await
    }

    /// Stores a value if the key has none. Returns whether it did.
    pub async fn add(
        &self,
        key: &str,
        value: &[u8],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let new = cached(key, value, until);
        match self.0.get(&key.to_owned()).await? {
            None => self.0.insert_new(&new).await,
            Some(stored) if stored.until <= now => Ok(self.0.swap(&stored, new).await?.is_some()),
            Some(_) => Ok(false),
        }
    }

    /// Deletes values; returns how many existed.
    pub async fn delete(&self, keys: &[String], now: Timestamp) -> Result<u64, StoreError> {
        let mut deleted = 0;
        for key in keys {
            let live = self.find(key, now).await?.is_some();
            let removed = self.0.remove(key).await?;
            deleted += u64::from(live && removed);
        }
        Ok(deleted)
    }

    /// Deletes the values of all keys that begin with `prefix`.
    pub async fn clear(&self, prefix: &str) -> Result<(), StoreError> {
        let end = Key::from_text(format!("{prefix}{}", char::MAX));
        let range = Range::all()
            .from(Key::from_text(prefix.to_owned()))
            .before(end);
        self.0.remove_range(Index::ID, range).await.map(drop)
    }

    /// Returns when a value expires; `None` if there is none.
    pub async fn end(&self, key: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.find(key, now).await?.map(|value| value.until))
    }

    /// Deletes the values that expired by a moment; returns how many there were.
    pub async fn purge(&self, by: Timestamp) -> Result<u64, StoreError> {
        let range = Range::all().before(Key::new((by,)).end());
        self.0.remove_range(CachedValue::BY_END, range).await
    }
}

fn cached(key: &str, value: &[u8], until: Timestamp) -> CachedValue {
    CachedValue {
        key: key.to_owned(),
        until,
        value: value.to_vec(),
    }
}
