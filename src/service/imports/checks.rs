//! What the checks of all lists use.

use std::{collections::HashMap, sync::Arc};

use super::cells::Cells;
use crate::{
    clock::Clock,
    domain::{employees::Employee, grants::Reach, text::Code},
    ports::{EmployeeFilter, Page, StoreError},
    repositories::Repositories,
    service::{
        catalog::{HolidayCalendars, Shifts},
        employees::Employees,
        plans::Plans,
        sites::{SiteMap, Sites},
        workdays::Workdays,
    },
};

/// The services that an import uses.
#[derive(Clone)]
pub struct ImportParts {
    /// Adds employees.
    pub employees: Arc<Employees>,
    /// Finds sites.
    pub sites: Arc<Sites>,
    /// Checks plans.
    pub plans: Arc<Plans>,
    /// Adds kinds of shifts.
    pub shifts: Arc<Shifts>,
    /// Adds and changes holiday calendars.
    pub holidays: Arc<HolidayCalendars>,
    /// Reads what is on record.
    pub workdays: Arc<Workdays>,
}

/// Checks lists. Only for admins, so the reach is everything.
pub(super) struct Checks {
    pub(super) stores: Repositories,
    pub(super) parts: ImportParts,
    pub(super) clock: Arc<dyn Clock>,
}

/// Employees by code in lowercase.
pub(super) type People = HashMap<String, Employee>;

impl Checks {
    /// Returns all employees who are not deleted.
    pub(super) async fn people(&self) -> Result<People, StoreError> {
        let all = Page {
            after: None,
            limit: usize::MAX,
        };
        let everybody = EmployeeFilter::default();
        let found = self
            .stores
            .employees
            .list(&Reach::Everything, &everybody, &all);
        let found = found.await?.into_iter();
        Ok(found.map(|one| (one.code.key(), one)).collect())
    }

    /// Returns all sites.
    pub(super) async fn sites(&self) -> Result<Arc<SiteMap>, StoreError> {
        self.parts.sites.all().await
    }
}

/// Returns an employee for the code of a row.
pub(super) fn employee<'p>(cells: &mut Cells<'_>, people: &'p People) -> Option<&'p Employee> {
    cells.required("code", |text| {
        let code = Code::parse(text).map_err(|error| error.to_string())?;
        let found = people.get(&code.key());
        found.ok_or_else(|| "belongs to no employee".to_owned())
    })
}
