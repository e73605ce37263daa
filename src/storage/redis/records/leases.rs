//! Leases: a hash for each name, changed by a script.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{RedisStore, scripts};
use crate::ports::{Lease, LeaseStore, StoreError};

/// A moment as scripts compare it.
fn millis(at: Timestamp) -> Vec<u8> {
    at.as_millisecond().to_string().into_bytes()
}

impl RedisStore {
    fn lease_key(&self, name: &str) -> [String; 1] {
        [self.keys.key(&format!("lease:{name}"))]
    }
}

#[async_trait]
impl LeaseStore for RedisStore {
    async fn take(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        let arguments = [holder.as_bytes().to_vec(), millis(now), millis(until)];
        let fence: u64 = self
            .script(&scripts::TAKE, &self.lease_key(name), &arguments, false)
            .await?;
        Ok((fence > 0).then(|| Lease {
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
        let arguments = [
            lease.holder.as_bytes().to_vec(),
            lease.fence.to_string().into_bytes(),
            millis(now),
            millis(until),
        ];
        let key = self.lease_key(&lease.name);
        self.script(&scripts::KEEP, &key, &arguments, false).await
    }

    async fn let_go(&self, lease: &Lease) -> Result<bool, StoreError> {
        let arguments = [
            lease.holder.as_bytes().to_vec(),
            lease.fence.to_string().into_bytes(),
        ];
        let key = self.lease_key(&lease.name);
        self.script(&scripts::LET_GO, &key, &arguments, false).await
    }
}
