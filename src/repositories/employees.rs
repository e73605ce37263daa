//! Employees, deleted ones too.

use std::sync::Arc;

use super::Collection;
use crate::{
    domain::{employees::Employee, grants::Reach, ids::EmployeeId, record::Key, text::Code},
    ports::{EmployeeFilter, Page, Parts, Range, RecordEngine, StoreError},
};

/// Checks whether an employee matches a filter. `text` is the filter's text in lowercase.
fn matches_filter(filter: &EmployeeFilter, employee: &Employee, text: Option<&str>) -> bool {
    let found =
        |text: &str| employee.name.key().contains(text) || employee.code.key().contains(text);
    text.is_none_or(found)
        && filter.site.is_none_or(|site| employee.site == site)
        && filter.active.is_none_or(|active| employee.active == active)
}

/// The repository of employees.
#[derive(Clone)]
pub struct Employees(Collection<Employee>);

impl Employees {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    /// Adds an employee.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if an employee who is not deleted has the code.
    pub async fn insert(&self, employee: &Employee) -> Result<(), StoreError> {
        self.0.insert(employee).await
    }

    /// Replaces an employee if the record still equals `old`. Returns false, without a change, if
    /// it does not. Deleting an employee frees the code.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] as for [`insert`](Self::insert).
    pub async fn exchange(&self, old: &Employee, new: &Employee) -> Result<bool, StoreError> {
        self.0.exchange(old, new).await
    }

    /// Returns an employee, deleted or not.
    pub async fn find(&self, id: EmployeeId) -> Result<Option<Employee>, StoreError> {
        Ok(self.0.get(&id).await?.map(super::Versioned::into_inner))
    }

    /// Returns a covered employee, unless deleted.
    pub async fn find_covered(
        &self,
        reach: &Reach,
        id: EmployeeId,
    ) -> Result<Option<Employee>, StoreError> {
        let employee = reach.admit(self.find(id).await?);
        Ok(employee.filter(|employee| employee.deleted_at.is_none()))
    }

    /// Returns the employee with a code, unless deleted.
    pub async fn find_by_code(&self, code: &Code) -> Result<Option<Employee>, StoreError> {
        let found = self
            .0
            .find(Employee::BY_CODE, Key::new((code.key(),)))
            .await?;
        Ok(found.map(super::Versioned::into_inner))
    }

    /// Returns the employees with these IDs, including deleted ones; unknown IDs are left out.
    pub async fn find_many(&self, ids: &[EmployeeId]) -> Result<Vec<Employee>, StoreError> {
        self.0.get_many(ids).await
    }

    /// Returns a page of the covered employees, sorted by lowercase name, then ID. Both are the
    /// cursor.
    pub async fn list(
        &self,
        reach: &Reach,
        filter: &EmployeeFilter,
        page: &Page<(String, EmployeeId)>,
    ) -> Result<Vec<Employee>, StoreError> {
        let after = page.after.as_ref();
        let range = Range::all().after(after.map(|(name, id)| (Key::new((name,)), id.to_string())));
        let text = filter.text.as_ref().map(|text| text.to_lowercase());
        let wanted = |employee: &Employee| {
            reach.covers(employee) && matches_filter(filter, employee, text.as_deref())
        };
        self.0
            .filter(Employee::BY_NAME, range, page.limit, wanted)
            .await
    }

    /// Returns the employees who asked to be erased and are not deleted, longest waiting first.
    pub async fn asking_for_erasure(&self) -> Result<Vec<Employee>, StoreError> {
        let all = Range::all();
        self.0
            .all(Employee::BY_ERASURE_REQUEST, all, Parts::Body)
            .await
    }

    /// Returns the IDs and revisions of all employees, to find changes.
    pub async fn revisions(&self) -> Result<Vec<(EmployeeId, u64)>, StoreError> {
        self.0.revisions().await
    }
}
