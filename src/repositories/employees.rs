//! Employees, deleted ones too.

use std::{collections::HashSet, sync::Arc};

use super::{Collection, FaceEnrollments};
use crate::{
    domain::{employees::Employee, grants::Reach, ids::EmployeeId, record::Key, text::Code},
    ports::{EmployeeFilter, Page, Range, RecordEngine, StoreError},
};

/// Checks whether an employee matches a filter. `text` is the filter's text in lowercase.
fn matches_filter(filter: &EmployeeFilter, employee: &Employee, text: Option<&str>) -> bool {
    let found =
        |text: &str| employee.name.key().contains(text) || employee.code.key().contains(text);
    text.is_none_or(found)
        && filter.site.is_none_or(|site| employee.site == site)
        && filter.active.is_none_or(|active| employee.active == active)
}

/// The repository of employees. A code that an employee has who is not deleted is a
/// [`StoreError::Conflict`]; deleting an employee frees the code.
#[derive(Clone)]
pub struct Employees {
    employees: Collection<Employee>,
    faces: FaceEnrollments,
}

impl Employees {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self {
            employees: Collection::new(engine.clone()),
            faces: FaceEnrollments::new(engine),
        }
    }

    forward!(employees: Employee => insert, exchange, find, find_many, revisions);

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
        self.employees
            .find_by(Employee::BY_CODE, (code.key(),))
            .await
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
        let enrolled = match filter.enrolled {
            Some(_) => self.faces.enrolled().await?,
            None => HashSet::new(),
        };
        let wanted = |employee: &Employee| {
            let face = filter.enrolled;
            reach.covers(employee)
                && matches_filter(filter, employee, text.as_deref())
                && face.is_none_or(|face| enrolled.contains(&employee.id) == face)
        };
        self.employees
            .filter(Employee::BY_NAME, range, page.limit, wanted)
            .await
    }

    /// Returns the employees who asked to be erased and are not deleted, longest waiting first.
    pub async fn asking_for_erasure(&self) -> Result<Vec<Employee>, StoreError> {
        let all = Range::all();
        self.employees.all(Employee::BY_ERASURE_REQUEST, all).await
    }
}
