//! Assignments of shifts to employees.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    audit::Audit,
    plans::{PlanError, Plans, Rota},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::DateRange,
        employees::Employee,
        grants::Reach,
        ids::{AssignmentId, EmployeeId, ShiftKindId, SiteId},
        plans::{Assigned, Assignment, Entry, Overlap},
    },
    ports::{EmployeeFilter, Page, StoreError},
    repositories::{Repositories, Team},
};

/// Why a request about assignments failed.
#[derive(Debug, thiserror::Error)]
pub enum AssignmentError {
    /// The assignment does not exist.
    #[error("no such assignment")]
    NotFound,
    /// An employee does not exist, or is not covered. Contains the place in the list.
    #[error("no such employee")]
    UnknownEmployee(usize),
    /// The cycle does not exist or was removed.
    #[error("no such cycle")]
    UnknownCycle,
    /// A shift does not exist or was removed. Contains the place in the list.
    #[error("no such shift")]
    UnknownShift(usize),
    /// Shifts of an employee would overlap.
    #[error("shifts overlap")]
    Overlap(Overlap),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PlanError> for AssignmentError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Overlap(overlap) => Self::Overlap(overlap),
            PlanError::Store(error) => Self::Store(error),
        }
    }
}

/// Returns employees who are covered and not deleted, in the order of the IDs.
///
/// # Errors
/// The place of the first one who is not.
async fn covered(
    stores: &Repositories,
    reach: &Reach,
    ids: &[EmployeeId],
) -> Result<Result<Vec<Employee>, usize>, StoreError> {
    let people = super::employees::in_order(stores, ids).await?;
    let fits = |one: &Employee| one.deleted_at.is_none() && reach.covers(one);
    let missing = |id: &EmployeeId| !people.iter().any(|one| one.id == *id && fits(one));
    Ok(match ids.iter().position(missing) {
        Some(place) => Err(place),
        None => Ok(people),
    })
}

/// Whose records a list is about: one employee, or the people of a site or of all sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Whose {
    /// Only this employee.
    pub employee: Option<EmployeeId>,
    /// Only people of this site.
    pub site: Option<SiteId>,
}

impl Whose {
    /// Returns the covered employees, active or not.
    pub(super) async fn team(
        self,
        stores: &Repositories,
        reach: &Reach,
    ) -> Result<Team, StoreError> {
        let people = match self.employee {
            Some(id) => stores.employees.find(id).await?.into_iter().collect(),
            None => {
                let filter = EmployeeFilter {
                    site: self.site,
                    ..EmployeeFilter::default()
                };
                let all = Page {
                    after: None,
                    limit: usize::MAX,
                };
                stores.employees.list(reach, &filter, &all).await?
            }
        };
        let present = people.iter().filter(|one: &&Employee| {
            one.deleted_at.is_none() && self.site.is_none_or(|site| one.site == site)
        });
        Ok(Team::new(reach, present))
    }
}

/// The service for assignments.
#[derive(derive_new::new)]
pub struct Assignments {
    stores: Repositories,
    plans: Arc<Plans>,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl Assignments {
    /// Returns a page of the assignments of covered employees that cover one of the dates, sorted by
    /// employee and by the time when they were made.
    pub async fn list(
        &self,
        reach: &Reach,
        whose: Whose,
        within: DateRange,
        page: &Page<(EmployeeId, Timestamp, AssignmentId)>,
    ) -> Result<Vec<Assignment>, StoreError> {
        let team = whose.team(&self.stores, reach).await?;
        self.stores.assignments.list(&team, within, page).await
    }

    /// Returns all shifts and cycles, for their names.
    pub async fn rota(&self) -> Result<Rota, StoreError> {
        self.plans.rota().await
    }

    /// Assigns the same to covered employees. If it does not fit one of them, nobody gets it.
    pub async fn add(
        &self,
        reach: &Reach,
        actor: Actor,
        employees: &[EmployeeId],
        plan: &Assigned,
    ) -> Result<Vec<Assignment>, AssignmentError> {
        let people = covered(&self.stores, reach, employees).await?;
        let people = people.map_err(AssignmentError::UnknownEmployee)?;
        let rota = self.rota().await?;
        match plan {
            Assigned::Cycle { cycle, .. } => {
                let cycle = rota.cycle(*cycle);
                if !cycle.is_some_and(Entry::is_present) {
                    return Err(AssignmentError::UnknownCycle);
                }
            }
            Assigned::Day { shifts, .. } => {
                let unknown = |id: &ShiftKindId| {
                    let shift = rota.shift(*id);
                    !shift.is_some_and(Entry::is_present)
                };
                if let Some(place) = shifts.iter().position(unknown) {
                    return Err(AssignmentError::UnknownShift(place));
                }
            }
        }
        self.plans.check_assignment(&rota, &people, plan).await?;
        let mut made = Vec::with_capacity(people.len());
        for person in people {
            let assignment = Assignment {
                id: self.clock.id().into(),
                employee: person.id,
                plan: plan.clone(),
                made_at: self.clock.now(),
                made_by: actor,
            };
            self.record(actor, "assignment.add", &assignment).await?;
            self.stores.assignments.insert(&assignment).await?;
            made.push(assignment);
        }
        let single = made.first().filter(|_| made.len() == 1);
        self.plans.announce(single.map(|one| one.employee)).await;
        Ok(made)
    }

    /// Deletes an assignment of a covered employee. Earlier ones hold instead. Refused if their
    /// shifts would overlap with those of other days.
    pub async fn remove(
        &self,
        reach: &Reach,
        actor: Actor,
        id: AssignmentId,
    ) -> Result<(), AssignmentError> {
        let found = self.stores.assignments.find(id).await?;
        let assignment = found.ok_or(AssignmentError::NotFound)?;
        let people = covered(&self.stores, reach, &[assignment.employee]).await?;
        let people = people.map_err(|_| AssignmentError::NotFound)?;
        self.plans.check_removal(&people, &assignment).await?;
        self.record(actor, "assignment.remove", &assignment).await?;
        match self.stores.assignments.remove(assignment.id).await? {
            true => {
                self.plans.announce(Some(assignment.employee)).await;
                Ok(())
            }
            false => Err(AssignmentError::NotFound),
        }
    }

    async fn record(
        &self,
        actor: Actor,
        action: &str,
        assignment: &Assignment,
    ) -> Result<(), StoreError> {
        let what = match &assignment.plan {
            Assigned::Cycle { cycle, from, to } => {
                let until = to.map(|to| format!(" to {to}")).unwrap_or_default();
                format!("cycle {cycle} from {from}{until}")
            }
            Assigned::Day { day, shifts } if shifts.is_empty() => format!("day off on {day}"),
            Assigned::Day { day, shifts } => format!("{} shifts on {day}", shifts.len()),
        };
        // The subject is the employee: an erasure and a copy find the entry by it.
        let subject = assignment.employee;
        self.audit.record(actor, action, subject, Some(what)).await
    }
}
