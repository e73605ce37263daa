//! Lists that many look at and few change, remembered until they do: every desk that is open asks
//! for the same punches, every page for the same people.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::application_cache::AppCache;
use crate::{
    domain::{
        attendance::Punch,
        employees::{Consent, Employee},
        ids::{DeviceId, EmployeeId, PunchId},
        text::{Code, IdempotencyKey},
    },
    ports::{EmployeeFilter, EmployeeStore, KeptAnswer, Page, PunchFilter, PunchStore, StoreError},
};

const EMPLOYEES: &str = "employees";
const PUNCHES: &str = "punches";

/// The key of one list; what is searched for may be a name and does not stand in it.
fn key(filter: &impl Debug, page: &impl Debug) -> String {
    let sum = Sha256::digest(format!("{filter:?} {page:?}"));
    hex::encode(&sum[..16])
}

/// An [`EmployeeStore`] whose lists are remembered.
pub struct CachedEmployees {
    store: Arc<dyn EmployeeStore>,
    cache: AppCache,
}

impl CachedEmployees {
    /// In front of a store.
    pub fn new(store: Arc<dyn EmployeeStore>, cache: AppCache) -> Self {
        Self { store, cache }
    }

    /// Forgets the lists after a change, and after one of which nobody knows whether it was made.
    async fn after<T>(&self, change: Result<T, StoreError>) -> Result<T, StoreError> {
        self.cache.forget(EMPLOYEES).await;
        change
    }
}

#[async_trait]
impl EmployeeStore for CachedEmployees {
    async fn insert(&self, employee: &Employee) -> Result<(), StoreError> {
        self.after(self.store.insert(employee).await).await
    }

    async fn update(&self, was: &Employee, is: &Employee) -> Result<bool, StoreError> {
        self.after(self.store.update(was, is).await).await
    }

    async fn set_enrolled(
        &self,
        id: EmployeeId,
        templates: u32,
        consent: Option<&Consent>,
    ) -> Result<bool, StoreError> {
        let set = self.store.set_enrolled(id, templates, consent).await;
        self.after(set).await
    }

    async fn find(&self, id: EmployeeId) -> Result<Option<Employee>, StoreError> {
        self.store.find(id).await
    }

    async fn find_by_code(&self, code: &Code) -> Result<Option<Employee>, StoreError> {
        self.store.find_by_code(code).await
    }

    async fn find_many(&self, ids: &[EmployeeId]) -> Result<Vec<Employee>, StoreError> {
        self.store.find_many(ids).await
    }

    async fn list(
        &self,
        filter: &EmployeeFilter,
        page: &Page<(String, EmployeeId)>,
    ) -> Result<Vec<Employee>, StoreError> {
        let list = self.store.list(filter, page);
        self.cache
            .in_group(EMPLOYEES, &key(filter, page), list)
            .await
    }
}

/// A [`PunchStore`] whose lists are remembered. What decides about a punch is never.
pub struct CachedPunches {
    store: Arc<dyn PunchStore>,
    cache: AppCache,
}

impl CachedPunches {
    /// In front of a store.
    pub fn new(store: Arc<dyn PunchStore>, cache: AppCache) -> Self {
        Self { store, cache }
    }
}

#[async_trait]
impl PunchStore for CachedPunches {
    async fn append(&self, punch: &Punch) -> Result<(), StoreError> {
        let appended = self.store.append(punch).await;
        self.cache.forget(PUNCHES).await;
        appended
    }

    async fn find(&self, id: PunchId) -> Result<Option<Punch>, StoreError> {
        self.store.find(id).await
    }

    async fn find_by_request(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<Option<Punch>, StoreError> {
        self.store.find_by_request(device, key).await
    }

    async fn last_written(&self, employee: EmployeeId) -> Result<Option<Punch>, StoreError> {
        self.store.last_written(employee).await
    }

    async fn last_before(
        &self,
        employee: EmployeeId,
        at: Timestamp,
    ) -> Result<Option<Punch>, StoreError> {
        self.store.last_before(employee, at).await
    }

    async fn last_synchronised(&self, device: DeviceId) -> Result<Option<Timestamp>, StoreError> {
        self.store.last_synchronised(device).await
    }

    async fn list(
        &self,
        filter: &PunchFilter,
        page: &Page<(Timestamp, PunchId)>,
    ) -> Result<Vec<Punch>, StoreError> {
        let list = self.store.list(filter, page);
        // Of one employee: few ask, and one of them decides about a punch.
        if filter.employee.is_some() {
            return list.await;
        }
        self.cache.in_group(PUNCHES, &key(filter, page), list).await
    }

    async fn recorded_since(
        &self,
        from: Timestamp,
        limit: usize,
    ) -> Result<Vec<Punch>, StoreError> {
        self.store.recorded_since(from, limit).await
    }

    async fn keep_answer(&self, answer: &KeptAnswer) -> Result<(), StoreError> {
        self.store.keep_answer(answer).await
    }

    async fn kept_answer(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptAnswer>, StoreError> {
        self.store.kept_answer(device, key).await
    }

    async fn forget_answers(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.store.forget_answers(before).await
    }

    async fn forget_answer(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<bool, StoreError> {
        self.store.forget_answer(device, key).await
    }

    async fn erase_of(&self, employee: EmployeeId) -> Result<u64, StoreError> {
        let erased = self.store.erase_of(employee).await;
        self.cache.forget(PUNCHES).await;
        erased
    }
}
