//! Cached bytes, for instances that share no Redis.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{SqliteStore, rows_of};
use crate::{
    ports::{CacheStore, StoreError},
    storage::parts,
};

const PUT: &str = "INSERT INTO cache (key, value, until) VALUES (?1, ?2, ?3) \
     ON CONFLICT (key) DO UPDATE SET value = excluded.value, until = excluded.until";

/// Any number of keys as one parameter.
fn list(keys: &[String]) -> String {
    serde_json::json!(keys).to_string()
}

#[async_trait]
impl CacheStore for SqliteStore {
    async fn get(
        &self,
        keys: &[String],
        now: Timestamp,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let found: Vec<(String, Vec<u8>)> = self
            .select(
                "SELECT key, value FROM cache \
                 WHERE key IN (SELECT value FROM json_each(?1)) AND until > ?2",
                (list(keys), now.as_millisecond()),
                |row| Ok((row.get("key")?, row.get("value")?)),
            )
            .await?;
        Ok(parts::in_order(keys, found))
    }

    async fn put(
        &self,
        values: &[(String, Vec<u8>)],
        _: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let values = values.to_vec();
        self.threads
            .write(move |connection| {
                let mut put = connection.prepare_cached(PUT)?;
                for (key, value) in values {
                    put.execute((key, value, until.as_millisecond()))?;
                }
                Ok(())
            })
            .await
    }

    async fn add(
        &self,
        key: &str,
        value: &[u8],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let added = self
            .execute(
                "INSERT INTO cache (key, value, until) VALUES (?1, ?2, ?4) \
                 ON CONFLICT (key) DO UPDATE SET value = ?2, until = ?4 WHERE until <= ?3",
                (
                    key.to_owned(),
                    value.to_owned(),
                    now.as_millisecond(),
                    until.as_millisecond(),
                ),
            )
            .await?;
        Ok(added == 1)
    }

    async fn delete(&self, keys: &[String], now: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM cache WHERE key IN (SELECT value FROM json_each(?1)) AND until > ?2",
            (list(keys), now.as_millisecond()),
        )
        .await
    }

    async fn clear(&self, prefix: &str, now: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM cache WHERE key >= ?1 AND key < ?2 AND until > ?3",
            (prefix.to_owned(), parts::past(prefix), now.as_millisecond()),
        )
        .await
    }

    async fn increment(
        &self,
        key: &str,
        by: i64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<i64, StoreError> {
        let key = key.to_owned();
        self.threads
            .write(move |connection| {
                let there = rows_of(
                    connection,
                    "SELECT value, until FROM cache WHERE key = ?1 AND until > ?2",
                    (&key, now.as_millisecond()),
                    |row| Ok((row.get::<_, Vec<u8>>("value")?, row.get("until")?)),
                )?;
                let (before, until) = match there.into_iter().next() {
                    Some((value, until)) => (parts::counted(&value), until),
                    None => (0, until.as_millisecond()),
                };
                let is = before.saturating_add(by);
                let value = is.to_string().into_bytes();
                connection
                    .prepare_cached(PUT)?
                    .execute((key, value, until))?;
                Ok(is)
            })
            .await
    }

    async fn ends(&self, key: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let found = self
            .select(
                "SELECT until FROM cache WHERE key = ?1 AND until > ?2",
                (key.to_owned(), now.as_millisecond()),
                |row| parts::time(row.get("until")?, "end of a cached value"),
            )
            .await?;
        Ok(found.into_iter().next())
    }

    async fn purge(&self, by: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM cache WHERE until <= ?1", [by.as_millisecond()])
            .await
    }
}
