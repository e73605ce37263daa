//! Entitlements to leave, and how much of it is left.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use jiff::civil::Date;

use super::{
    assignments::Whose,
    audit::Audit,
    plans::{Plans, days_of},
    timesheets::By,
};
use crate::{
    clock::Clock,
    domain::{
        attendance::{Calendar, DateRange, derive},
        employees::Employee,
        grants::Reach,
        ids::{EmployeeId, EntitlementId, LeaveKindId},
        plans::{Entitlement, Leave, LeaveGrant, LeaveKind, LeaveState, LeaveUse},
    },
    ports::{Page, StoreError},
    repositories::{Repositories, Team},
};

/// Why a request about entitlements failed.
#[derive(Debug, thiserror::Error)]
pub enum EntitlementError {
    /// The entitlement does not exist.
    #[error("no such entitlement")]
    NotFound,
    /// The employee does not exist, or is not covered.
    #[error("no such employee")]
    UnknownEmployee,
    /// The kind does not exist or was removed.
    #[error("no such kind of leave")]
    UnknownKind,
    /// The employee is entitled to the same leave at the same time.
    #[error("the employee has an entitlement to this leave at the same time")]
    Overlap(Box<Entitlement>),
    /// The caller may not decide about their own leave.
    #[error("another manager or an admin must decide about your own leave")]
    Own,
    /// Other requests kept changing the entitlement at the same time.
    #[error("other requests are changing this entitlement at the same time")]
    Raced,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How much leave of a kind an employee has, in days or hours.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaveBalance {
    /// The kind.
    pub kind: LeaveKindId,
    /// What it is.
    pub settings: LeaveKind,
    /// The entitlement that covers the date; `None` if there is none.
    pub grant: Option<LeaveGrant>,
    /// What was taken until the date, approved.
    pub taken: f64,
    /// What is approved for later.
    pub planned: f64,
    /// What waits for a decision.
    pub requested: f64,
}

impl LeaveBalance {
    /// Returns what is left without what waits for a decision; `None` without an entitlement.
    pub fn left(&self) -> Option<f64> {
        let used = self.taken + self.planned + self.requested;
        self.grant.map(|grant| grant.total() - used)
    }
}

/// Less of a day or an hour than this comes from sums of fractions.
const NOTHING: f64 = 1e-6;

/// Number of attempts at a change while other requests change the same entitlement.
const TRIES: usize = 8;

/// The service for entitlements.
#[derive(derive_new::new)]
pub struct Entitlements {
    stores: Repositories,
    plans: Arc<Plans>,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl Entitlements {
    /// Returns a page of the entitlements of covered employees that cover one of the dates, by
    /// employee and first date.
    pub async fn list(
        &self,
        reach: &Reach,
        whose: Whose,
        within: DateRange,
        page: &Page<(EmployeeId, Date, EntitlementId)>,
    ) -> Result<Vec<Entitlement>, StoreError> {
        let team = whose.team(&self.stores, reach).await?;
        self.stores.entitlements.list(&team, within, page).await
    }

    /// Adds an entitlement of a covered employee.
    pub async fn add(
        &self,
        by: By<'_>,
        employee: EmployeeId,
        kind: LeaveKindId,
        grant: LeaveGrant,
    ) -> Result<Entitlement, EntitlementError> {
        let person = self.person(by, employee).await?;
        let person = person.ok_or(EntitlementError::UnknownEmployee)?;
        let found = self.stores.leave_kinds.find(kind).await?;
        if !found.is_some_and(|kind| kind.is_present()) {
            return Err(EntitlementError::UnknownKind);
        }
        let entitlement = Entitlement {
            id: self.clock.id().into(),
            employee: person.id,
            kind,
            grant,
            made_at: self.clock.now(),
            made_by: by.actor,
        };
        self.check_overlap(&entitlement).await?;
        self.record(by, "add", &entitlement).await?;
        self.stores.entitlements.insert(&entitlement).await?;
        Ok(entitlement)
    }

    /// Changes an entitlement of a covered employee to what `edit` returns.
    ///
    /// If it changes at the same moment, `edit` is called again.
    pub async fn change<E: From<EntitlementError>>(
        &self,
        by: By<'_>,
        id: EntitlementId,
        edit: impl Fn(&LeaveGrant) -> Result<LeaveGrant, E>,
    ) -> Result<Entitlement, E> {
        for _ in 0..TRIES {
            let old = self.changeable(by, id).await?;
            let new = Entitlement {
                grant: edit(&old.grant)?,
                ..old.clone()
            };
            self.check_overlap(&new).await?;
            let recorded = self.record(by, "change", &new).await;
            recorded.map_err(EntitlementError::from)?;
            let exchanged = self.stores.entitlements.exchange(&old, &new).await;
            if exchanged.map_err(EntitlementError::from)? {
                return Ok(new);
            }
        }
        Err(EntitlementError::Raced.into())
    }

    /// Deletes an entitlement of a covered employee.
    pub async fn remove(&self, by: By<'_>, id: EntitlementId) -> Result<(), EntitlementError> {
        let entitlement = self.changeable(by, id).await?;
        self.record(by, "remove", &entitlement).await?;
        match self.stores.entitlements.remove(entitlement.id).await? {
            true => Ok(()),
            false => Err(EntitlementError::NotFound),
        }
    }

    /// Returns a covered employee about whom the caller may decide.
    async fn person(
        &self,
        by: By<'_>,
        id: EmployeeId,
    ) -> Result<Option<Employee>, EntitlementError> {
        let person = self.stores.employees.find_covered(by.reach, id).await?;
        match person {
            Some(person) if !by.decides_for(&person) => Err(EntitlementError::Own),
            person => Ok(person),
        }
    }

    /// Returns an entitlement that the caller may change.
    async fn changeable(
        &self,
        by: By<'_>,
        id: EntitlementId,
    ) -> Result<Entitlement, EntitlementError> {
        let found = self.stores.entitlements.find(id).await?;
        let entitlement = found.ok_or(EntitlementError::NotFound)?;
        let person = self.person(by, entitlement.employee).await?;
        person.map_or(Err(EntitlementError::NotFound), |_| Ok(entitlement))
    }

    async fn check_overlap(&self, new: &Entitlement) -> Result<(), EntitlementError> {
        let all = self.stores.entitlements.of(new.employee).await?;
        match all.into_iter().find(|other| new.overlaps(other)) {
            Some(other) => Err(EntitlementError::Overlap(Box::new(other))),
            None => Ok(()),
        }
    }

    /// Writes the audit entry. Its subject is the employee: an erasure and a copy find it by that.
    async fn record(&self, by: By<'_>, verb: &str, of: &Entitlement) -> Result<(), StoreError> {
        let (id, grant) = (of.id, of.grant);
        let (amount, carried) = (grant.amount.number(), grant.carried.number());
        let (from, to) = (grant.from, grant.to);
        let detail = format!("{id}: {amount} and {carried} carried over, {from} to {to}");
        let action = format!("entitlement.{verb}");
        let audit = &self.audit;
        audit
            .record(by.actor, &action, of.employee, Some(detail))
            .await
    }

    /// Returns how much leave of each kind a covered employee has on a date: kinds that can be
    /// requested, and those to which the employee is entitled.
    ///
    /// # Errors
    /// [`EntitlementError::UnknownEmployee`] if there is no such employee.
    pub async fn balances(
        &self,
        reach: &Reach,
        employee: EmployeeId,
        date: Date,
    ) -> Result<Vec<LeaveBalance>, EntitlementError> {
        let person = self.stores.employees.find_covered(reach, employee).await?;
        let person = person.ok_or(EntitlementError::UnknownEmployee)?;
        let (kinds, entitlements) = tokio::try_join!(
            self.stores.leave_kinds.all(),
            self.stores.entitlements.of(person.id),
        )?;
        let year = DateRange {
            from: date.first_of_year(),
            to: date.last_of_year(),
        };
        let mut used = BTreeMap::new();
        let mut balances = Vec::new();
        for kind in kinds {
            let mut of_kind = entitlements.iter().filter(|one| one.kind == kind.id);
            let covering = of_kind.find(|one| one.grant.dates().contains(date));
            let grant = covering.map(|one| one.grant);
            if grant.is_none() && !kind.is_present() {
                continue;
            }
            // Without an entitlement, it is what is used in the calendar year.
            let dates = grant.map_or(year, |grant| grant.dates());
            let uses = match used.entry((dates.from, dates.to)) {
                Entry::Occupied(uses) => uses.into_mut(),
                Entry::Vacant(place) => place.insert(self.uses(&person, dates, None).await?),
            };
            let mut balance = LeaveBalance {
                kind: kind.id,
                settings: kind.settings,
                grant,
                taken: 0.0,
                planned: 0.0,
                requested: 0.0,
            };
            for one in uses.iter().filter(|one| one.kind == balance.kind) {
                *match one.state {
                    LeaveState::Approved if one.day <= date => &mut balance.taken,
                    LeaveState::Approved => &mut balance.planned,
                    _ => &mut balance.requested,
                } += one.amount(balance.settings.unit);
            }
            balances.push(balance);
        }
        balances.sort_by_key(|balance| balance.settings.name.key());
        Ok(balances)
    }

    /// Checks whether an employee wants more leave than is left, with all that waits for a decision.
    /// Leave of a limited kind needs an entitlement.
    pub async fn exceeds(
        &self,
        person: &Employee,
        kind: &LeaveKind,
        leave: &Leave,
    ) -> Result<bool, StoreError> {
        let entitlements = self.stores.entitlements.of(person.id).await?;
        let grants = entitlements.iter().filter(|one| one.kind == leave.kind);
        let grants: Vec<_> = grants.map(|one| one.grant).collect();
        let covered = |grant: &&LeaveGrant| {
            let dates = grant.dates();
            dates.from <= leave.to && leave.from <= dates.to
        };
        let amount = |one: &LeaveUse| match one.kind == leave.kind {
            true => one.amount(kind.unit),
            false => 0.0,
        };
        for grant in grants.iter().filter(covered) {
            let uses = self.uses(person, grant.dates(), Some(leave)).await?;
            if uses.iter().map(amount).sum::<f64>() > grant.total() + NOTHING {
                return Ok(true);
            }
        }
        if !kind.limited {
            return Ok(false);
        }
        let uses = self.uses(person, leave.dates(), Some(leave)).await?;
        let granted = |day| grants.iter().any(|grant| grant.dates().contains(day));
        let beyond = |one: &LeaveUse| amount(one) > NOTHING && !granted(one.day);
        Ok(uses.iter().any(beyond))
    }

    /// Returns what leave uses of each date, approved or requested, perhaps with leave that is not
    /// stored yet.
    async fn uses(
        &self,
        person: &Employee,
        dates: DateRange,
        new: Option<&Leave>,
    ) -> Result<Vec<LeaveUse>, StoreError> {
        let team = Team::new(&Reach::Everything, [person]);
        let (plan, mut all) = tokio::try_join!(
            self.plans.of(person, dates),
            self.stores.leave.covering(&team, dates),
        )?;
        all.extend(new.cloned());
        all.retain(|leave| leave.state.takes_time());
        // Approved leave excuses time first, as in the workdays.
        all.sort_by_key(|leave| leave.state != LeaveState::Approved);
        // Each leave has its ID as its kind, so that the days say how much of it they use.
        let by_id = all.iter().map(|leave| (leave.id.to_string(), leave));
        let by_id: BTreeMap<_, _> = by_id.collect();
        let labeled = all
            .iter()
            .flat_map(|leave| days_of(leave, leave.id.to_string(), dates));
        let labeled: Vec<_> = labeled.collect();
        let calendar = Calendar {
            holidays: &plan.holidays,
            leave: &labeled,
        };
        let derived = derive(&[], &[], plan.terms(), calendar, dates, self.clock.now());
        let mut uses = Vec::new();
        for day in &derived.days {
            for (id, seconds) in &day.leave_by_kind {
                uses.extend(by_id.get(id).map(|leave| LeaveUse {
                    day: day.day,
                    kind: leave.kind,
                    state: leave.state,
                    seconds: *seconds,
                    planned: day.planned,
                }));
            }
        }
        Ok(uses)
    }
}
