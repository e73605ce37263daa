//! Entries of the balances of employees.

use std::sync::Arc;

use jiff::civil::Date;

use super::{Collection, Versioned};
use crate::{
    domain::{
        balances::BalanceEntry,
        ids::{BalanceEntryId, EmployeeId},
        record::Key,
    },
    ports::{Page, Parts, Range, RecordEngine, StoreError},
};

/// The repository of balance entries.
#[derive(Clone)]
pub struct BalanceEntries(Collection<BalanceEntry>);

impl BalanceEntries {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the employee has an opening value at the date, and it is one.
    pub async fn insert(&self, entry: &BalanceEntry) -> Result<(), StoreError> {
        self.0.insert(entry).await
    }

    /// Deletes an entry; returns false if it did not exist.
    pub async fn remove(&self, entry: &BalanceEntry) -> Result<bool, StoreError> {
        self.0.remove(&entry.id).await
    }

    /// Returns an entry.
    pub async fn find(&self, id: BalanceEntryId) -> Result<Option<BalanceEntry>, StoreError> {
        Ok(self.0.get(&id).await?.map(Versioned::into_inner))
    }

    /// Returns the entries of an employee until a date, by date.
    pub async fn until(
        &self,
        employee: EmployeeId,
        last: Date,
    ) -> Result<Vec<BalanceEntry>, StoreError> {
        let range = Range::within(Key::new((employee.uuid(),)));
        let range = range.before(Key::new((employee.uuid(), last)).end());
        let index = BalanceEntry::BY_EMPLOYEE;
        self.0.all(index, range, Parts::Body).await
    }

    /// Returns a page of the entries of an employee, latest date first. The cursor is the date and
    /// ID of the last one.
    pub async fn list(
        &self,
        employee: EmployeeId,
        page: &Page<(Date, BalanceEntryId)>,
    ) -> Result<Vec<BalanceEntry>, StoreError> {
        let after = page.after.map(|(date, id)| {
            let key = Key::new((employee.uuid(), date));
            (key, id.to_string())
        });
        let range = Range::within(Key::new((employee.uuid(),)));
        let range = range.backwards().after(after);
        let index = BalanceEntry::BY_EMPLOYEE;
        self.0.list(index, &range, page.limit).await
    }
}
