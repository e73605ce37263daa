//! Calendar addresses of employees.

use std::sync::Arc;

use super::{Collection, Versioned};
use crate::{
    domain::{accounts::TokenHash, calendars::CalendarAddress, ids::EmployeeId, record::Key},
    ports::{RecordEngine, StoreError},
};

/// The repository of calendar addresses.
#[derive(Clone)]
pub struct CalendarAddresses(Collection<CalendarAddress>);

impl CalendarAddresses {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    /// Adds an address, instead of the one that the employee has.
    pub async fn put(&self, address: &CalendarAddress) -> Result<(), StoreError> {
        self.0.put(address).await
    }

    /// Returns the address of an employee.
    pub async fn find(&self, employee: EmployeeId) -> Result<Option<CalendarAddress>, StoreError> {
        Ok(self.0.get(&employee).await?.map(Versioned::into_inner))
    }

    /// Deletes the address of an employee; returns false if there is none.
    pub async fn remove(&self, employee: EmployeeId) -> Result<bool, StoreError> {
        self.0.remove(&employee).await
    }

    /// Returns the address with the hash of a token.
    pub async fn find_by_token(
        &self,
        token: TokenHash,
    ) -> Result<Option<CalendarAddress>, StoreError> {
        let key = Key::new((token.to_hex(),));
        let found = self.0.find(CalendarAddress::BY_TOKEN, key).await?;
        Ok(found.map(Versioned::into_inner))
    }
}
