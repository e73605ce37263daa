//! Cached bytes, for instances that share no Redis. Servers that look first and change after may
//! lose one of two changes of the same key at the same moment, as a cache may.

use async_trait::async_trait;
use futures::future::try_join_all;
use jiff::Timestamp;
use mongodb::bson::{Document, doc};

use super::{
    MongoStore, PATIENCE,
    documents::{Cached, Kept, bytes, when},
    within,
};
use crate::{
    ports::{CacheStore, StoreError},
    storage::parts,
};

/// How often a change is tried while others are quicker.
const TRIES: u32 = 8;

/// What has not ended of some keys.
fn among(keys: &[String], now: Timestamp) -> Document {
    doc! { "_id": { "$in": keys }, "until": { "$gt": when(now) } }
}

impl MongoStore {
    async fn put_cached(&self, cached: Cached) -> Result<(), StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (filter, document) = (doc! { "_id": &cached.key }, cached.document()?);
            let link = self.link.clone();
            let call = async move {
                let collection = link.collection::<Cached>().await?;
                let put = collection.replace_one(filter, document).upsert(true);
                put.await?;
                Ok(())
            };
            match within(PATIENCE, call).await {
                // Of two who put a new key at once, one may find it there.
                Err(StoreError::Conflict) if tries < TRIES => {}
                put => return put,
            }
        }
    }
}

#[async_trait]
impl CacheStore for MongoStore {
    async fn get(
        &self,
        keys: &[String],
        now: Timestamp,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let found: Vec<Cached> = self.select(among(keys, now), doc! {}, None).await?;
        let found = found.into_iter().map(|cached| (cached.key, cached.value));
        Ok(parts::in_order(keys, found))
    }

    async fn put(
        &self,
        values: &[(String, Vec<u8>)],
        _: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let puts = values.iter().map(|(key, value)| {
            self.put_cached(Cached {
                key: key.clone(),
                value: value.clone(),
                until,
            })
        });
        try_join_all(puts).await.map(drop)
    }

    async fn add(
        &self,
        key: &str,
        value: &[u8],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        self.delete_where::<Cached>(doc! { "_id": key, "until": { "$lte": when(now) } })
            .await?;
        let cached = Cached {
            key: key.to_owned(),
            value: value.to_owned(),
            until,
        };
        match self.insert_record(&cached).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, keys: &[String], now: Timestamp) -> Result<u64, StoreError> {
        self.delete_where::<Cached>(among(keys, now)).await
    }

    async fn clear(&self, prefix: &str, now: Timestamp) -> Result<u64, StoreError> {
        let begins = doc! { "$gte": prefix, "$lt": parts::past(prefix) };
        let until = doc! { "$gt": when(now) };
        self.delete_where::<Cached>(doc! { "_id": begins, "until": until })
            .await
    }

    async fn increment(
        &self,
        key: &str,
        by: i64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<i64, StoreError> {
        let keys = [key.to_owned()];
        for _ in 0..TRIES {
            let there: Option<Cached> = self.select_one(among(&keys, now), doc! {}).await?;
            let Some(there) = there else {
                if self.add(key, by.to_string().as_bytes(), now, until).await? {
                    return Ok(by);
                }
                continue;
            };
            let is = parts::counted(&there.value).saturating_add(by);
            let still = doc! { "_id": key, "value": bytes(&there.value) };
            let change = doc! { "$set": { "value": bytes(is.to_string().as_bytes()) } };
            let link = self.link.clone();
            let call = async move {
                let collection = link.collection::<Cached>().await?;
                Ok(collection.update_one(still, change).await?.matched_count == 1)
            };
            if within(PATIENCE, call).await? {
                return Ok(is);
            }
        }
        Err(StoreError::Conflict)
    }

    async fn ends(&self, key: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let keys = [key.to_owned()];
        let there: Option<Cached> = self.select_one(among(&keys, now), doc! {}).await?;
        Ok(there.map(|there| there.until))
    }

    async fn purge(&self, by: Timestamp) -> Result<u64, StoreError> {
        self.delete_where::<Cached>(doc! { "until": { "$lte": when(by) } })
            .await
    }
}
