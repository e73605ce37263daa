//! Leases: a row for each name, changed by one statement at a time.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::types::Value;

use super::{SqliteStore, rows_of};
use crate::{
    ports::{Lease, LeaseStore, StoreError},
    storage::parts,
};

const TAKE: &str = "INSERT INTO leases (name, holder, fence, until) VALUES (?1, ?2, 1, ?4) \
     ON CONFLICT (name) DO UPDATE SET \
         fence = fence + (holder IS NOT ?2 OR until <= ?3), holder = ?2, until = ?4 \
     WHERE holder IS NULL OR holder = ?2 OR until <= ?3 \
     RETURNING fence";

/// A fence as it is kept.
fn kept(fence: u64) -> Result<Value, StoreError> {
    let fence: i64 = parts::number(fence, "fence")?;
    Ok(fence.into())
}

#[async_trait]
impl LeaseStore for SqliteStore {
    async fn take(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        let params = (
            name.to_owned(),
            holder.to_owned(),
            now.as_millisecond(),
            until.as_millisecond(),
        );
        let fence = |row: &rusqlite::Row<'_>| parts::number::<i64, u64>(row.get(0)?, "fence");
        let taken = self
            .threads
            .write(move |connection| rows_of(connection, TAKE, params, fence))
            .await?;
        Ok(taken.into_iter().next().map(|fence| Lease {
            name: name.to_owned(),
            holder: holder.to_owned(),
            fence,
            until,
        }))
    }

    async fn keep(
        &self,
        lease: &Lease,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let params = (
            lease.name.clone(),
            lease.holder.clone(),
            kept(lease.fence)?,
            now.as_millisecond(),
            until.as_millisecond(),
        );
        let kept = self
            .execute(
                "UPDATE leases SET until = ?5 \
                 WHERE name = ?1 AND holder = ?2 AND fence = ?3 AND until > ?4",
                params,
            )
            .await?;
        Ok(kept == 1)
    }

    async fn let_go(&self, lease: &Lease) -> Result<bool, StoreError> {
        let params = (lease.name.clone(), lease.holder.clone(), kept(lease.fence)?);
        let freed = self
            .execute(
                "UPDATE leases SET holder = NULL WHERE name = ?1 AND holder = ?2 AND fence = ?3",
                params,
            )
            .await?;
        Ok(freed == 1)
    }
}
