//! Punches and kept answers.

use async_trait::async_trait;
use jiff::Timestamp;
use redis::cmd;

use super::{
    BATCH, RedisStore,
    forms::request_of,
    plan::{Kept, Range, had, member, record_key, sortable},
    scripts,
};
use crate::{
    domain::{
        attendance::Punch,
        ids::{DeviceId, EmployeeId, PunchId},
        text::IdempotencyKey,
    },
    ports::{KeptAnswer, Page, PunchFilter, PunchStore, StoreError},
    storage::parts,
};

#[async_trait]
impl PunchStore for RedisStore {
    async fn append(&self, punch: &Punch) -> Result<(), StoreError> {
        self.insert_record(punch).await
    }

    async fn find(&self, id: PunchId) -> Result<Option<Punch>, StoreError> {
        self.fetch_one(id.to_string()).await
    }

    async fn find_by_request(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<Option<Punch>, StoreError> {
        self.fetch_by(&format!("punch_request:{}", request_of(device, key)))
            .await
    }

    async fn last_written(&self, employee: EmployeeId) -> Result<Option<Punch>, StoreError> {
        let numbers = format!("punch_numbers:{employee}");
        Ok(self.select(&numbers, &Range::back(), 1).await?.pop())
    }

    async fn last_before(
        &self,
        employee: EmployeeId,
        at: Timestamp,
    ) -> Result<Option<Punch>, StoreError> {
        let index = format!("punches_of:{employee}");
        let range = Range::back().up_to(&sortable(at));
        let mut last: Vec<Punch> = self.select(&index, &range, 2).await?;
        if let [one, other] = &last[..]
            && one.at.as_millisecond() == other.at.as_millisecond()
        {
            // Several in one millisecond: the index does not sort them by sequence.
            let moment = sortable(one.at);
            let range = Range::back().up_to(&moment).from(&moment);
            last = self.select(&index, &range, usize::MAX).await?;
            last.sort_by_key(|punch| std::cmp::Reverse(punch.sequence));
        }
        Ok(last.into_iter().next())
    }

    async fn last_synchronised(&self, device: DeviceId) -> Result<Option<Timestamp>, StoreError> {
        let mut score = cmd("ZSCORE");
        score
            .arg(self.keys.key("synchronised"))
            .arg(device.to_string());
        let last: Option<f64> = self.command(&score).await?;
        last.map(|at| parts::time(at as i64, "punch time"))
            .transpose()
    }

    async fn list(
        &self,
        filter: &PunchFilter,
        page: &Page<(Timestamp, PunchId)>,
    ) -> Result<Vec<Punch>, StoreError> {
        let index = match (filter.employee, filter.device) {
            (Some(employee), _) => format!("punches_of:{employee}"),
            (None, Some(device)) => format!("punches_at:{device}"),
            (None, None) => "punches".to_owned(),
        };
        let mut range = Range::back();
        if let Some(from) = filter.from {
            range = range.from(&sortable(from));
        }
        // Of two upper bounds the lower counts.
        let after = page.after.map(|(at, id)| member(&sortable(at), id));
        let to = filter.to.map(sortable);
        if let Some(bound) = [after, to].into_iter().flatten().min() {
            range = range.before(&bound);
        }
        let device = filter.device;
        let wanted = |punch: &Punch| device.is_none_or(|device| punch.device == device);
        let place = |punch: &Punch| member(&sortable(punch.at), punch.id);
        self.select_wanted(&index, range, page.limit, wanted, place)
            .await
    }

    async fn recorded_since(
        &self,
        from: Timestamp,
        limit: usize,
    ) -> Result<Vec<Punch>, StoreError> {
        let range = Range::all().from(&sortable(from));
        self.select("punches_recorded", &range, limit).await
    }

    async fn keep_answer(&self, answer: &KeptAnswer) -> Result<(), StoreError> {
        self.insert_record(answer).await
    }

    async fn kept_answer(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptAnswer>, StoreError> {
        self.fetch_one(request_of(device, key)).await
    }

    async fn forget_answers(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.drop_before::<KeptAnswer>("answers", before).await
    }

    async fn forget_answer(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<bool, StoreError> {
        let keys = [record_key::<KeptAnswer>(
            &self.keys,
            &request_of(device, key),
        )];
        self.script(&scripts::DROP_ONE, &keys, &[], false).await
    }

    async fn erase_of(&self, employee: EmployeeId) -> Result<u64, StoreError> {
        let index = format!("punches_of:{employee}");
        let mut erased = 0;
        loop {
            let found: Vec<Punch> = self.select(&index, &Range::all(), BATCH).await?;
            if found.is_empty() {
                return Ok(erased);
            }
            for punch in found {
                let keys = [record_key::<Punch>(&self.keys, &Kept::id(&punch))];
                let had = [had(&self.keys, &punch)?];
                erased += self
                    .script::<u64>(&scripts::DROP_ONE, &keys, &had, false)
                    .await?;
            }
        }
    }
}
