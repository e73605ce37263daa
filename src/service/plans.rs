//! The plans of employees: everything that the calculation of workdays takes as given.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use jiff::{Span, Timestamp, civil::Date};

use super::{
    feed::{Feed, News},
    sites::{SiteMap, Sites},
};
use crate::{
    clock::Clock,
    domain::{
        attendance::{
            self, Calendar, DateRange, Employment, Holidays, Periods, Plan, RuleBook, Rules, Shift,
            Terms, plan::ShiftKinds,
        },
        employees::Employee,
        grants::Reach,
        ids::{CycleId, EmployeeId, ShiftKindId, SiteId},
        plans::{
            Assigned, Assignment, Cycle, Entry, Leave, LeaveState, Overlap, ShiftKind, SiteRules,
            first_overlap,
        },
        sites::Zone,
    },
    ports::{EmployeeFilter, Page, StoreError},
    repositories::{Repositories, Team},
};

/// Why a plan is refused.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Shifts of an employee would overlap.
    #[error("shifts overlap")]
    Overlap(Overlap),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Days before and after the dates in question whose single shifts are read, too: a shift of the
/// neighboring workday may reach into them.
const MARGIN: i32 = 2;

/// Days after the first date in which shifts of a plan without an end must not overlap. A clock
/// change is among them.
const HORIZON: i32 = 400;

/// Number of employees read at a time.
const PAGE: usize = 500;

/// What the calculation of an employee's workdays takes as given.
#[derive(Debug, Clone)]
pub struct EmployeePlan {
    /// The employee.
    pub employee: EmployeeId,
    /// The home zone, which is that of the employee's site.
    pub zone: Zone,
    /// When the employee works here.
    pub employed: Employment,
    /// The shifts that cycles of the plan refer to.
    pub shifts: Arc<ShiftKinds>,
    /// The plan.
    pub plan: Plan,
    /// The rules of the employee's site.
    pub rules: Arc<RuleBook>,
    /// The holidays of the employee's site.
    pub holidays: Arc<Holidays>,
    /// Approved leave of the dates, by the name of its kind, in the order in which it was made.
    pub leave: Vec<attendance::Leave>,
}

impl EmployeePlan {
    /// Returns what holds for the employee, as [`derive`](attendance::derive()) takes it.
    pub fn terms(&self) -> Terms<'_> {
        Terms {
            zone: &self.zone,
            employed: self.employed,
            shifts: &self.shifts,
            plan: &self.plan,
            rules: &self.rules,
        }
    }

    /// Returns the moment at which a workday begins by the cut-off.
    pub fn begins(&self, date: Date) -> Timestamp {
        let cut_off = self.rules.at(date).cut_off;
        let begins = cut_off.on(date).to_zoned(self.zone.time_zone().clone());
        begins.map_or(Timestamp::MAX, |begins| begins.timestamp())
    }

    /// Returns the workday of a moment by the cut-off.
    pub fn workday(&self, at: Timestamp) -> Date {
        let date = self.zone.time_zone().to_datetime(at).date();
        match at < self.begins(date) {
            true => date.yesterday().unwrap_or(date),
            false => date,
        }
    }

    /// Returns what excuses the employee.
    pub fn calendar(&self) -> Calendar<'_> {
        Calendar {
            holidays: &self.holidays,
            leave: &self.leave,
        }
    }
}

/// All shifts and cycles, removed ones too, because plans still refer to those.
#[derive(Clone)]
pub struct Rota {
    shifts: HashMap<ShiftKindId, Entry<ShiftKind>>,
    cycles: HashMap<CycleId, Entry<Cycle>>,
    sites: Arc<SiteMap>,
}

/// Shifts as the people of one site know them.
struct LocalShifts {
    kinds: Arc<ShiftKinds>,
    names: HashMap<ShiftKindId, String>,
}

impl Rota {
    /// Returns a shift, removed or not.
    pub fn shift(&self, id: ShiftKindId) -> Option<&Entry<ShiftKind>> {
        self.shifts.get(&id)
    }

    /// Returns a cycle, removed or not.
    pub fn cycle(&self, id: CycleId) -> Option<&Entry<Cycle>> {
        self.cycles.get(&id)
    }

    /// Returns a shift as the calculation takes it, in the zone of its site.
    fn planned(&self, kind: &ShiftKind, name: &str) -> Shift {
        Shift {
            name: Some(name.to_owned()),
            zone: self
                .sites
                .or_default(kind.site)
                .map(|site| site.zone.clone()),
            ..kind.shift.clone()
        }
    }

    /// Names all shifts for the people of a site. A name that is taken gets the name of its site:
    /// that of a shift of another site, or of a removed shift.
    fn local(&self, site: SiteId) -> LocalShifts {
        let mut shifts: Vec<_> = self.shifts.values().collect();
        shifts.sort_by_key(|one| (one.settings.site != site, !one.is_present(), one.id));
        let (mut kinds, mut names) = (ShiftKinds::new(), HashMap::new());
        for one in shifts {
            let mut name = one.settings.name.to_string();
            let taken = |name: &str| name == attendance::Cycle::FREE || kinds.contains_key(name);
            if taken(&name) {
                name = format!("{name} ({})", self.sites.name(one.settings.site));
            }
            if taken(&name) {
                name = format!("{name} {}", one.id);
            }
            kinds.insert(name.clone(), self.planned(&one.settings, &name));
            names.insert(one.id, name);
        }
        let kinds = Arc::new(kinds);
        LocalShifts { kinds, names }
    }

    /// Returns the plan that assignments make, in the order in which they were made.
    fn plan<'a>(
        &self,
        local: &LocalShifts,
        assignments: impl IntoIterator<Item = &'a Assigned>,
    ) -> Plan {
        let mut plan = Plan::default();
        for assigned in assignments {
            match assigned {
                Assigned::Cycle { cycle, from, to } => {
                    let Some(cycle) = self.cycle(*cycle) else {
                        continue;
                    };
                    plan.assignments.push(attendance::Assignment {
                        from: *from,
                        to: *to,
                        cycle: local.cycle(&cycle.settings),
                    });
                }
                Assigned::Day { day, shifts } => {
                    let shifts = shifts.iter().filter_map(|id| {
                        let kind = &self.shift(*id)?.settings;
                        Some(self.planned(kind, local.names.get(id)?))
                    });
                    plan.days.insert(*day, shifts.collect());
                }
            }
        }
        plan
    }

    /// Checks that no shifts of an employee overlap on the dates around a range.
    pub(super) fn check(
        &self,
        employee: &Employee,
        assignments: &[&Assigned],
        range: DateRange,
    ) -> Result<(), PlanError> {
        let local = self.local(employee.site);
        let plan = self.plan(&local, assignments.iter().copied());
        let home = self.zone(employee.site);
        let overlap = first_overlap(&plan, &local.kinds, &home, around(&plan, range));
        overlap.map_or(Ok(()), |overlap| Err(PlanError::Overlap(overlap)))
    }

    fn zone(&self, site: SiteId) -> Zone {
        let site = self.sites.or_default(site);
        site.map_or(Zone::UTC, |site| site.zone.clone())
    }
}

impl LocalShifts {
    fn cycle(&self, cycle: &Cycle) -> attendance::Cycle {
        let name = |id: &Option<ShiftKindId>| {
            let name = id.and_then(|id| self.names.get(&id));
            name.map_or_else(|| attendance::Cycle::FREE.to_owned(), Clone::clone)
        };
        attendance::Cycle {
            starts: cycle.starts,
            days: cycle.shifts.iter().map(name).collect(),
        }
    }
}

fn shifted(date: Date, days: i32) -> Date {
    date.saturating_add(Span::new().days(days))
}

/// Returns the dates at which a plan must be checked after a change of a range: those of the range
/// up to the horizon, single days that are planned later, and the neighbors of all of these.
fn around(plan: &Plan, range: DateRange) -> BTreeSet<Date> {
    let last = range.to.min(shifted(range.from, HORIZON));
    let days = range.from.series(Span::new().days(1));
    let days = days.take_while(|day| *day <= last);
    let single = plan.days.keys().copied();
    let single = single.filter(|day| range.contains(*day));
    let checked: BTreeSet<_> = days.chain(single).chain([range.to]).collect();
    checked
        .iter()
        .flat_map(|day| (-2..=2).map(|days| shifted(*day, days)))
        .collect()
}

/// Reads the plans of employees, and checks and announces changes of them.
#[derive(derive_new::new)]
pub struct Plans {
    stores: Repositories,
    sites: Arc<Sites>,
    clock: Arc<dyn Clock>,
    feed: Feed,
}

impl Plans {
    /// Announces a change of what is planned for an employee or, with `None`, perhaps for everybody.
    pub async fn announce(&self, employee: Option<EmployeeId>) {
        self.feed.publish(News::Plan(employee)).await;
    }

    pub(super) fn stores(&self) -> &Repositories {
        &self.stores
    }

    /// Returns what the calculation of an employee's workdays takes as given.
    pub async fn of(
        &self,
        employee: &Employee,
        dates: DateRange,
    ) -> Result<EmployeePlan, StoreError> {
        let one = std::slice::from_ref(employee);
        let plans = self.of_many(&Reach::Everything, one, dates).await?;
        let plan = plans.into_iter().next();
        plan.ok_or_else(|| StoreError::Corrupt("an employee without a plan".to_owned()))
    }

    /// Returns the same without holidays and leave: enough to say to which shift a punch belongs.
    pub async fn shifts_of(
        &self,
        employee: &Employee,
        dates: DateRange,
    ) -> Result<EmployeePlan, StoreError> {
        let one = std::slice::from_ref(employee);
        let plans = self.read(&Reach::Everything, one, dates, false).await?;
        let plan = plans.into_iter().next();
        plan.ok_or_else(|| StoreError::Corrupt("an employee without a plan".to_owned()))
    }

    /// Returns what holds for the covered ones of some employees, in their order. Reads each kind of
    /// record once, however many there are; leave and single days only around the dates.
    pub async fn of_many(
        &self,
        reach: &Reach,
        people: &[Employee],
        dates: DateRange,
    ) -> Result<Vec<EmployeePlan>, StoreError> {
        self.read(reach, people, dates, true).await
    }

    async fn read(
        &self,
        reach: &Reach,
        people: &[Employee],
        dates: DateRange,
        excuses: bool,
    ) -> Result<Vec<EmployeePlan>, StoreError> {
        let dates = DateRange {
            from: shifted(dates.from, -MARGIN),
            to: shifted(dates.to, MARGIN),
        };
        let team = Team::new(reach, people);
        let stores = &self.stores;
        let single = match people {
            [one] => Some(one.site),
            _ => None,
        };
        let excuses = async {
            match excuses {
                true => tokio::try_join!(
                    stores.holiday_calendars.all(),
                    stores.leave_kinds.all(),
                    stores.leave.covering(&team, dates),
                ),
                false => Ok(Default::default()),
            }
        };
        let (rota, rules, assignments, (calendars, kinds, leave)) = tokio::try_join!(
            self.rota(),
            stores.site_rules.list(&Reach::Everything, single),
            stores.assignments.relevant(&team, dates),
            excuses,
        )?;
        let kinds: HashMap<_, _> = kinds
            .into_iter()
            .map(|one| (one.id, one.settings))
            .collect();
        let mut assigned: BTreeMap<EmployeeId, Vec<Assigned>> = BTreeMap::new();
        for Assignment { employee, plan, .. } in assignments {
            assigned.entry(employee).or_default().push(plan);
        }
        let mut excused: BTreeMap<EmployeeId, Vec<attendance::Leave>> = BTreeMap::new();
        for one in leave {
            if one.state == LeaveState::Approved {
                let kind = kinds.get(&one.kind).map(|kind| kind.name.to_string());
                let days = days_of(&one, kind.unwrap_or_default(), dates);
                excused.entry(one.employee).or_default().extend(days);
            }
        }
        let mut of_sites: HashMap<SiteId, (LocalShifts, Arc<RuleBook>, Arc<Holidays>)> =
            HashMap::new();
        let people = people.iter().filter(|one| team.contains(one.id));
        let plans = people.map(|person| {
            let site = person.site;
            let (local, rules, holidays) = of_sites.entry(site).or_insert_with(|| {
                let followed = calendars.iter().filter(|calendar| {
                    let sites = &calendar.settings.sites;
                    calendar.is_present() && (sites.is_empty() || sites.contains(&site))
                });
                let days = followed.flat_map(|calendar| &calendar.settings.days);
                let days = days.map(|holiday| attendance::Holiday {
                    day: holiday.day,
                    part: holiday.part,
                });
                let rules = rule_book(&rota.sites, &rules, site);
                (rota.local(site), Arc::new(rules), Arc::new(days.collect()))
            });
            EmployeePlan {
                employee: person.id,
                zone: rota.zone(site),
                employed: person.employment(),
                shifts: local.kinds.clone(),
                plan: rota.plan(local, assigned.get(&person.id).into_iter().flatten()),
                rules: rules.clone(),
                holidays: holidays.clone(),
                leave: excused.remove(&person.id).unwrap_or_default(),
            }
        });
        Ok(plans.collect())
    }

    /// Returns all shifts and cycles.
    pub async fn rota(&self) -> Result<Rota, StoreError> {
        let (shifts, cycles, sites) = tokio::try_join!(
            self.stores.shift_kinds.all(),
            self.stores.cycles.all(),
            self.sites.all(),
        )?;
        Ok(Rota {
            shifts: shifts.into_iter().map(|one| (one.id, one)).collect(),
            cycles: cycles.into_iter().map(|one| (one.id, one)).collect(),
            sites,
        })
    }

    /// Checks that an assignment does not make shifts of employees overlap. Two requests about the
    /// same employee at the same moment do not see each other.
    ///
    /// # Errors
    /// The first overlap, or a failure of the store.
    pub async fn check_assignment(
        &self,
        rota: &Rota,
        people: &[Employee],
        new: &Assigned,
    ) -> Result<(), PlanError> {
        let mut dates = new.dates();
        let range = dates;
        dates.from = shifted(dates.from, -2);
        dates.to = shifted(dates.to, 2);
        let team = Team::new(&Reach::Everything, people);
        let present = self.stores.assignments.relevant(&team, dates).await?;
        for person in people {
            let mine = present.iter().filter(|one| one.employee == person.id);
            let all: Vec<_> = mine.map(|one| &one.plan).chain([new]).collect();
            rota.check(person, &all, range)?;
        }
        Ok(())
    }

    /// Checks that plans have no overlap with other times of a shift, from today on.
    pub(super) async fn check_shift(&self, changed: Entry<ShiftKind>) -> Result<(), PlanError> {
        let mut rota = self.rota().await?;
        let with = rota.cycles.values().filter(|cycle| {
            let shifts = &cycle.settings.shifts;
            shifts.contains(&Some(changed.id))
        });
        let cycles = with.map(|cycle| cycle.id).collect::<HashSet<_>>();
        let id = changed.id;
        rota.shifts.insert(id, changed);
        for cycle in &cycles {
            if let Some(cycle) = rota.cycle(*cycle) {
                check_alone(&rota, &cycle.settings)?;
            }
        }
        let concerned = |assigned: &Assigned| match assigned {
            Assigned::Cycle { cycle, .. } => cycles.contains(cycle),
            Assigned::Day { shifts, .. } => shifts.contains(&id),
        };
        self.check_everybody(&rota, concerned).await
    }

    /// Checks that a cycle has no overlap in itself and, if it is changed, in plans from today on.
    pub(super) async fn check_cycle(
        &self,
        old: Option<&Entry<Cycle>>,
        new: &Cycle,
    ) -> Result<(), PlanError> {
        let mut rota = self.rota().await?;
        check_alone(&rota, new)?;
        let Some(old) = old else {
            return Ok(());
        };
        let settings = new.clone();
        let id = old.id;
        rota.cycles.insert(
            id,
            Entry {
                settings,
                ..old.clone()
            },
        );
        let concerned =
            |assigned: &Assigned| matches!(assigned, Assigned::Cycle { cycle, .. } if *cycle == id);
        self.check_everybody(&rota, concerned).await
    }

    /// Checks the plans of all employees of whom one assignment is concerned by a change.
    async fn check_everybody(
        &self,
        rota: &Rota,
        concerned: impl Fn(&Assigned) -> bool,
    ) -> Result<(), PlanError> {
        let today = self.clock.now().to_zoned(Zone::UTC.time_zone().clone());
        let range = DateRange {
            from: shifted(today.date(), -1),
            to: Date::MAX,
        };
        let (reach, all) = (&Reach::Everything, EmployeeFilter::default());
        let mut after = None;
        loop {
            let page = Page { after, limit: PAGE };
            let people = self.stores.employees.list(reach, &all, &page).await?;
            let team = Team::new(reach, &people);
            let assignments = self.stores.assignments.relevant(&team, range).await?;
            for person in &people {
                let mine = assignments.iter().filter(|one| one.employee == person.id);
                let mine: Vec<_> = mine.map(|one| &one.plan).collect();
                if mine.iter().any(|assigned| concerned(assigned)) {
                    rota.check(person, &mine, range)?;
                }
            }
            after = match people.last() {
                Some(last) if people.len() == PAGE => Some((last.name.key(), last.id)),
                _ => return Ok(()),
            };
        }
    }

    /// Checks that without an assignment, no shifts of its employee overlap.
    pub(super) async fn check_removal(
        &self,
        people: &[Employee],
        removed: &Assignment,
    ) -> Result<(), PlanError> {
        let dates = removed.plan.dates();
        let near = DateRange {
            from: shifted(dates.from, -2),
            to: shifted(dates.to, 2),
        };
        let (rota, team) = (self.rota().await?, Team::new(&Reach::Everything, people));
        let present = self.stores.assignments.relevant(&team, near).await?;
        for person in people {
            let left = present.iter().filter(|one| one.id != removed.id);
            let left: Vec<_> = left.map(|one| &one.plan).collect();
            rota.check(person, &left, dates)?;
        }
        Ok(())
    }

    /// Returns the periods of timesheets at some sites.
    pub async fn periods(
        &self,
        sites: impl IntoIterator<Item = SiteId>,
    ) -> Result<HashMap<SiteId, Periods>, StoreError> {
        let sites: BTreeSet<_> = sites.into_iter().collect();
        let single = sites.first().filter(|_| sites.len() == 1).copied();
        let rules = self.stores.site_rules.list(&Reach::Everything, single);
        let rules = rules.await?;
        let of_site = |site| {
            let of_site = rules.iter().filter(|rules| rules.site == site);
            Periods::new(of_site.map(|rules| (rules.from, rules.grid())).collect())
        };
        Ok(sites
            .into_iter()
            .map(|site| (site, of_site(site)))
            .collect())
    }

    /// Checks whether the rules of a site want another person to decide, today.
    pub async fn needs_four_eyes(&self, site: SiteId) -> Result<bool, StoreError> {
        let today = self.sites.of(site).await?.workday(self.clock.now());
        let rules = self.site_rules(site, today).await?;
        Ok(rules.is_some_and(|rules| rules.four_eyes))
    }

    /// Returns the rules of a site that hold on a day; `None` for the defaults.
    pub async fn site_rules(
        &self,
        site: SiteId,
        day: Date,
    ) -> Result<Option<SiteRules>, StoreError> {
        let rules = self.stores.site_rules.list(&Reach::Everything, Some(site));
        let rules = rules.await?.into_iter();
        Ok(rules.take_while(|rules| rules.from <= day).last())
    }
}

/// Checks that a cycle has no overlap in itself.
fn check_alone(rota: &Rota, cycle: &Cycle) -> Result<(), PlanError> {
    let local = rota.local(cycle.site);
    let mut plan = Plan::default();
    plan.assignments.push(attendance::Assignment {
        from: Date::MIN,
        to: None,
        cycle: local.cycle(cycle),
    });
    let range = DateRange {
        from: cycle.starts,
        to: shifted(cycle.starts, HORIZON),
    };
    let overlap = first_overlap(
        &plan,
        &local.kinds,
        &rota.zone(cycle.site),
        around(&plan, range),
    );
    overlap.map_or(Ok(()), |overlap| Err(PlanError::Overlap(overlap)))
}

/// Returns the rules of a site over time. Before the first ones, the defaults hold, with the start of
/// the workday of the site.
fn rule_book(sites: &SiteMap, all: &[SiteRules], site: SiteId) -> RuleBook {
    let first = sites
        .or_default(site)
        .map(|site| Rules::starting_at(site.workday_starts));
    let of_site = all.iter().filter(|rules| rules.site == site);
    let later = of_site.map(|rules| (rules.from, rules.rules.clone()));
    RuleBook::new(first.unwrap_or_default(), later.collect())
}

/// Returns the days of leave among some dates.
pub(super) fn days_of(leave: &Leave, kind: String, dates: DateRange) -> Vec<attendance::Leave> {
    let from = leave.from.max(dates.from);
    let last = leave.to.min(dates.to);
    let days = from.series(Span::new().days(1));
    let days = days.take_while(|day| *day <= last);
    let part = leave.part;
    let one = |day| attendance::Leave {
        day,
        kind: kind.clone(),
        part,
    };
    days.map(one).collect()
}
