//! Rules of sites, assignments of shifts, and leave.

use std::collections::BTreeSet;

use jiff::{Span, Timestamp, civil::Date};

use crate::{
    domain::{
        attendance::DateRange,
        employees::Employee,
        grants::Reach,
        ids::{AssignmentId, EmployeeId, EntitlementId, LeaveKindId, SiteId},
        plans::{Assignment, Entitlement, Leave, LeaveState, SiteRules},
        record::{Index, Key},
    },
    ports::{LeaveFilter, Page, Range, StoreError},
};

repository! {
    /// The repository of the rules of sites. Second rules of a site from the same date on are a
    /// [`StoreError::Conflict`].
    RulesOfSites(SiteRules): insert, exchange, remove
}

impl RulesOfSites {
    /// Returns the rules of a site from a date on.
    pub async fn find(&self, site: SiteId, from: Date) -> Result<Option<SiteRules>, StoreError> {
        self.0
            .find_by(SiteRules::BY_SITE, (site.uuid(), from))
            .await
    }

    /// Returns the covered rules, sorted by site and date; those of one site only, if one is given.
    pub async fn list(
        &self,
        reach: &Reach,
        site: Option<SiteId>,
    ) -> Result<Vec<SiteRules>, StoreError> {
        let range = site.map_or_else(Range::all, |site| Range::within(Key::new((site.uuid(),))));
        let mut found = self.0.all(SiteRules::BY_SITE, range).await?;
        found.retain(|rules| reach.covers(rules));
        Ok(found)
    }
}

/// Covered employees, for lists of what belongs to them.
#[derive(Debug, Clone)]
pub struct Team {
    ids: BTreeSet<EmployeeId>,
}

impl Team {
    /// Returns the covered ones of some employees.
    pub fn new<'a>(reach: &Reach, people: impl IntoIterator<Item = &'a Employee>) -> Self {
        let covered = people.into_iter().filter(|person| reach.covers(*person));
        let ids = covered.map(|person| person.id).collect();
        Self { ids }
    }

    /// Checks whether an employee is one of them.
    pub fn contains(&self, id: EmployeeId) -> bool {
        self.ids.contains(&id)
    }

    /// Checks whether there is no employee.
    fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Returns the employee, if it is a single one.
    fn single(&self) -> Option<EmployeeId> {
        let mut ids = self.ids.iter();
        ids.next().copied().filter(|_| ids.next().is_none())
    }
}

fn overlap(one: DateRange, other: DateRange) -> bool {
    one.from <= other.to && other.from <= one.to
}

/// Returns the range of an index that begins with `parts` and a date.
fn dates(prefix: Option<&str>, from: Option<Date>, to: Option<Date>) -> Range {
    let key = |date: Date| match prefix {
        Some(prefix) => Key::new((prefix, date)),
        None => Key::new((date,)),
    };
    let mut range = prefix.map_or_else(Range::all, |prefix| Range::within(Key::new((prefix,))));
    if let Some(from) = from {
        range = range.from(key(from));
    }
    if let Some(to) = to {
        range = range.before(key(to).end());
    }
    range
}

repository! {
    /// The repository of assignments.
    Assignments(Assignment): insert, remove, find
}

impl Assignments {
    /// Returns a page of a team's assignments that cover one of the dates, sorted by employee and by
    /// the time when they were made.
    pub async fn list(
        &self,
        team: &Team,
        within: DateRange,
        page: &Page<(EmployeeId, Timestamp, AssignmentId)>,
    ) -> Result<Vec<Assignment>, StoreError> {
        if team.is_empty() {
            return Ok(Vec::new());
        }
        let after = page.after.as_ref();
        let after = after.map(|(who, at, id)| (Key::new((who.uuid(), *at)), id.to_string()));
        let range = whole(team).after(after);
        let wanted =
            |one: &Assignment| team.contains(one.employee) && overlap(one.plan.dates(), within);
        let index = Assignment::BY_EMPLOYEE;
        self.0.filter(index, range, page.limit, wanted).await
    }

    /// Returns the assignments of a team that can decide about the dates, in the order in which they
    /// were made: all cycles, and single days among the dates. An employee who has any assignment
    /// has one in the answer.
    pub async fn relevant(
        &self,
        team: &Team,
        within: DateRange,
    ) -> Result<Vec<Assignment>, StoreError> {
        if team.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        if let Some(employee) = team.single() {
            let range = Range::within(Key::new((employee.uuid(),)));
            let index = Assignment::BY_EMPLOYEE;
            found = self.0.all(index, range).await?;
        } else {
            let days = dates(Some(Assignment::DAYS), Some(within.from), Some(within.to));
            for range in [dates(Some(Assignment::CYCLES), None, None), days] {
                let index = Assignment::BY_DATE;
                found.extend(self.0.all(index, range).await?);
            }
            found.retain(|one| team.contains(one.employee));
            found.extend(self.other_days(team, &found).await?);
        }
        found.sort_by_key(|one| (one.made_at, one.id));
        Ok(found)
    }

    /// Returns one assignment of each employee of a team who has one, but none among `found`: only
    /// single days at other dates.
    async fn other_days(
        &self,
        team: &Team,
        found: &[Assignment],
    ) -> Result<Vec<Assignment>, StoreError> {
        let any = dates(Some(Assignment::DAYS), None, None);
        if self.0.first(Assignment::BY_DATE, &any).await?.is_none() {
            return Ok(Vec::new());
        }
        let with: BTreeSet<_> = found.iter().map(|one| one.employee).collect();
        let without: Vec<_> = team.ids.difference(&with).copied().collect();
        let mut others = Vec::new();
        for id in without {
            let range = Range::within(Key::new((id.uuid(),)));
            others.extend(self.0.first(Assignment::BY_EMPLOYEE, &range).await?);
        }
        Ok(others)
    }
}

/// Returns the range of an index by employee that holds what belongs to a team.
fn whole(team: &Team) -> Range {
    let single = team.single();
    single.map_or_else(Range::all, |id| Range::within(Key::new((id.uuid(),))))
}

repository! {
    /// The repository of leave.
    LeaveBook(Leave): insert, exchange, find
}

impl LeaveBook {
    /// Returns a page of a team's leave. With a state it is sorted by the time when it was made,
    /// without one by employee and first date; the cursor is the last one of the page before.
    pub async fn list(
        &self,
        team: &Team,
        filter: LeaveFilter,
        page: &Page<Leave>,
    ) -> Result<Vec<Leave>, StoreError> {
        if team.is_empty() {
            return Ok(Vec::new());
        }
        let (index, range) = match filter.state {
            Some(state) => (Leave::BY_STATE, Range::within(Key::new((state.as_str(),)))),
            None => (Leave::BY_EMPLOYEE, whole(team)),
        };
        let after = page.after.as_ref().map(|last| {
            // The state of the last one may have changed since.
            let key = match filter.state {
                Some(state) => Key::new((state.as_str(), last.made_at)),
                None => Key::new((last.employee.uuid(), last.from)),
            };
            (key, last.id.to_string())
        });
        let range = range.after(after);
        let wanted =
            |one: &Leave| team.contains(one.employee) && overlap(one.dates(), filter.within);
        self.0.filter(index, range, page.limit, wanted).await
    }

    /// Returns all leave that waits for a decision, in the order in which it was made.
    pub async fn requested(&self) -> Result<Vec<Leave>, StoreError> {
        let range = Range::within(Key::new((LeaveState::Requested.as_str(),)));
        self.0.all(Leave::BY_STATE, range).await
    }

    /// Returns the leave of a team that covers one of the dates, in the order in which it was made.
    pub async fn covering(&self, team: &Team, within: DateRange) -> Result<Vec<Leave>, StoreError> {
        if team.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = match team.single() {
            Some(_) => self.0.all(Leave::BY_EMPLOYEE, whole(team)).await?,
            None => {
                let from = within.from.saturating_sub(Span::new().days(Leave::LONGEST));
                let range = dates(None, Some(from), Some(within.to));
                self.0.all(Leave::BY_DATE, range).await?
            }
        };
        found.retain(|one| team.contains(one.employee) && overlap(one.dates(), within));
        found.sort_by_key(|one| (one.made_at, one.id));
        Ok(found)
    }
}

repository! {
    /// The repository of entitlements to leave.
    EntitlementBook(Entitlement): insert, exchange, remove, find
}

impl EntitlementBook {
    /// Checks whether any employee has an entitlement to a kind of leave.
    pub async fn any_of(&self, kind: LeaveKindId) -> Result<bool, StoreError> {
        let wanted = |one: &Entitlement| one.kind == kind;
        let found = self.0.filter(Index::ID, Range::all(), 1, wanted).await?;
        Ok(!found.is_empty())
    }

    /// Returns the entitlements of an employee, by first date.
    pub async fn of(&self, employee: EmployeeId) -> Result<Vec<Entitlement>, StoreError> {
        let range = Range::within(Key::new((employee.uuid(),)));
        let index = Entitlement::BY_EMPLOYEE;
        self.0.all(index, range).await
    }

    /// Returns a page of a team's entitlements that cover one of the dates, by employee and first
    /// date. The cursor is the employee, first date and ID of the last one.
    pub async fn list(
        &self,
        team: &Team,
        within: DateRange,
        page: &Page<(EmployeeId, Date, EntitlementId)>,
    ) -> Result<Vec<Entitlement>, StoreError> {
        if team.is_empty() {
            return Ok(Vec::new());
        }
        let after = page.after.map(|(employee, from, id)| {
            let key = Key::new((employee.uuid(), from));
            (key, id.to_string())
        });
        let range = whole(team).after(after);
        let wanted =
            |one: &Entitlement| team.contains(one.employee) && overlap(one.grant.dates(), within);
        let index = Entitlement::BY_EMPLOYEE;
        self.0.filter(index, range, page.limit, wanted).await
    }
}
