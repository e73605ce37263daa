//! Lists of shifts, assignments, holidays and leave.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use super::{
    cells::{self, Cells},
    changes::{Change, Planned, id_of},
    checks::{Checks, People, employee},
    people::site,
    rows::{Rows, Seen},
};
use crate::{
    domain::{
        accounts::Actor,
        attendance::{DateRange, HolidayPart, LeavePart, Length, Shift, plan::ShiftHours},
        employees::Employee,
        grants::Reach,
        ids::{CycleId, EmployeeId, LeaveKindId, ShiftKindId, SiteId},
        plans::{
            Assigned, Assignment, Cycle, Entry, HolidayCalendar, Leave, LeaveState, NamedHoliday,
            Settings, ShiftKind,
        },
        text::{Reason, SiteName},
    },
    ports::StoreError,
    repositories::Team,
    service::{
        jobs::list,
        plans::{PlanError, Rota},
        sites::SiteMap,
    },
};

/// All dates.
const EVER: DateRange = DateRange {
    from: Date::MIN,
    to: Date::MAX,
};

/// Rows of a list by employee, with their lines.
type ByEmployee<'p, T> = BTreeMap<EmployeeId, (&'p Employee, Vec<(u64, T)>)>;

fn by_employee<'p, T>(rows: Vec<(u64, (&'p Employee, T))>) -> ByEmployee<'p, T> {
    let mut groups: ByEmployee<'p, T> = BTreeMap::new();
    for (line, (person, value)) in rows {
        let group = groups.entry(person.id);
        let (_, of_person) = group.or_insert_with(|| (person, Vec::new()));
        of_person.push((line, value));
    }
    groups
}

/// Returns midnight of a date, UTC.
fn midnight(date: Date) -> Timestamp {
    let zoned = date.to_zoned(TimeZone::UTC);
    zoned.map_or(Timestamp::UNIX_EPOCH, |zoned| zoned.timestamp())
}

impl Checks {
    /// Checks a list of kinds of shifts.
    pub(super) async fn shifts(&self, rows: &mut Rows) -> Result<Vec<Planned>, StoreError> {
        let (sites, all) = (self.sites().await?, self.stores.shift_kinds.all().await?);
        let key = |kind: &ShiftKind| (kind.site, kind.name.key());
        let present = all.iter().filter(|kind| kind.is_present());
        let present = present.map(|kind| (key(&kind.settings), &kind.settings.shift));
        let present: HashMap<_, _> = present.collect();
        let (mut seen, mut planned) = (Seen::new(), Vec::new());
        for (line, new) in rows.read(|cells| shift(cells, &sites)) {
            if let Err(reason) = seen.check(key(&new), line) {
                rows.refuse(line, "name", reason);
                continue;
            }
            match present.get(&key(&new)) {
                None => planned.push(Planned::row(Change::Shift(new))),
                Some(old) if **old == new.shift => rows.report.existing += 1,
                Some(_) => rows.refuse(line, "name", "the site has another shift of this name"),
            }
        }
        Ok(planned)
    }

    /// Checks a list of cycles and single days of employees. Of several rows that cover a date, the
    /// last one holds, as if they were entered one by one.
    pub(super) async fn assignments(
        &self,
        actor: Actor,
        rows: &mut Rows,
    ) -> Result<Vec<Planned>, StoreError> {
        let people = self.people().await?;
        let (cycles, shifts) =
            tokio::try_join!(self.stores.cycles.all(), self.stores.shift_kinds.all())?;
        let (cycles, shifts) = (Named::new(&cycles), Named::new(&shifts));
        let rota = self.parts.plans.rota().await?;
        let read = rows.read(|cells| assignment(cells, &people, &cycles, &shifts));
        let count = i64::try_from(read.len()).unwrap_or_default();
        let begun = self.clock.now() - SignedDuration::from_millis(count);
        let mut planned = Vec::new();
        for (person, new) in by_employee(read).into_values() {
            let team = Team::new(&Reach::Everything, [person]);
            let stored = self.stores.assignments.relevant(&team, EVER).await?;
            let stored: Vec<_> = stored.into_iter().map(|one| one.plan).collect();
            let mut all: Vec<_> = stored.iter().collect();
            for (line, plan) in &new {
                let column = match plan {
                    Assigned::Cycle { .. } => "cycle",
                    Assigned::Day { .. } => "shifts",
                };
                if stored.contains(plan) {
                    rows.report.existing += 1;
                    continue;
                }
                if all.contains(&plan) {
                    rows.refuse(*line, column, "is in the list twice");
                    continue;
                }
                all.push(plan);
                match overlap(&rota, person, &all, plan.dates())? {
                    Some(reason) => {
                        all.pop();
                        rows.refuse(*line, column, reason);
                    }
                    None => {
                        // In the order of the list: the last one holds.
                        let line_of = i64::try_from(planned.len()).unwrap_or_default();
                        let made_at = begun + SignedDuration::from_millis(line_of);
                        planned.push(assigned(person, plan, made_at, actor));
                    }
                }
            }
        }
        Ok(planned)
    }

    /// Checks a list of public holidays. A calendar that does not exist is added, for all sites.
    pub(super) async fn holidays(&self, rows: &mut Rows) -> Result<Vec<Planned>, StoreError> {
        let all = self.stores.holiday_calendars.all().await?.into_iter();
        let present = all.filter(Entry::is_present);
        let present = present.map(|one| (one.settings.name.key(), one));
        let mut present: HashMap<_, _> = present.collect();
        let mut calendars: BTreeMap<_, (SiteName, Vec<_>)> = BTreeMap::new();
        for (line, (name, day)) in rows.read(holiday) {
            let of_name = calendars.entry(name.key());
            let (_, days) = of_name.or_insert_with(|| (name, Vec::new()));
            days.push((line, day));
        }
        let mut planned = Vec::new();
        for (key, (name, days)) in calendars {
            let old = present.remove(&key);
            let mut new = old.as_ref().map_or_else(
                || HolidayCalendar {
                    name,
                    sites: Vec::new(),
                    days: Vec::new(),
                },
                |old| old.settings.clone(),
            );
            let mut added = 0;
            for (line, day) in days {
                let stored = old.iter().flat_map(|old| &old.settings.days);
                if stored.into_iter().any(|one| *one == day) {
                    rows.report.existing += 1;
                } else if let Some(other) = new.days.iter().find(|one| one.day == day.day) {
                    rows.refuse(
                        line,
                        "date",
                        format!("the calendar has {} then", other.name),
                    );
                } else if new.days.len() == HolidayCalendar::MOST {
                    let most = HolidayCalendar::MOST;
                    rows.refuse(line, "calendar", format!("has at most {most} holidays"));
                } else {
                    new.days.push(day);
                    added += 1;
                }
            }
            new.days.sort_by_key(|day| day.day);
            if added > 0 {
                let change = Change::Calendar { old, new };
                planned.push(Planned {
                    rows: added,
                    change,
                });
            }
        }
        Ok(planned)
    }

    /// Checks a list of leave, which is entered as approved. Entitlements do not limit it.
    pub(super) async fn leave(
        &self,
        actor: Actor,
        rows: &mut Rows,
    ) -> Result<Vec<Planned>, StoreError> {
        let (people, now) = (self.people().await?, self.clock.now());
        let kinds = self.stores.leave_kinds.all().await?.into_iter();
        let kinds = kinds.filter(Entry::is_present);
        let kinds = kinds.map(|kind| (kind.settings.name.key(), kind.id));
        let kinds: HashMap<_, _> = kinds.collect();
        let mut planned = Vec::new();
        let read = rows.read(|cells| leave(cells, &people, &kinds));
        for (person, new) in by_employee(read).into_values() {
            let team = Team::new(&Reach::Everything, [person]);
            let mut all = self.stores.leave.covering(&team, EVER).await?;
            let stored = all.len();
            for (line, wanted) in new {
                let from = wanted.from;
                let content = serde_json::to_string(&wanted.part).unwrap_or_default();
                let content = [
                    "leave",
                    &person.id.to_string(),
                    &wanted.kind.to_string(),
                    &wanted.to.to_string(),
                    &content,
                ];
                let one = Leave {
                    id: id_of(midnight(from), &content).into(),
                    employee: person.id,
                    kind: wanted.kind,
                    from,
                    to: wanted.to,
                    part: wanted.part,
                    state: LeaveState::Approved,
                    reason: wanted.reason,
                    made_at: now,
                    made_by: actor,
                    decided_by: Some(actor),
                    decided_at: Some(now),
                };
                let same = |other: &Leave| {
                    let of = |leave: &Leave| (leave.kind, leave.dates(), leave.part, leave.state);
                    of(other) == of(&one)
                };
                if all[..stored].iter().any(same) {
                    rows.report.existing += 1;
                } else if let Some(other) = all.iter().find(|other| one.overlaps(other)) {
                    let (from, to, state) = (other.from, other.to, other.state.as_str());
                    let reason = format!("overlaps leave from {from} to {to}, which is {state}");
                    rows.refuse(line, "from", reason);
                } else {
                    all.push(one.clone());
                    planned.push(Planned::row(Change::Leave(one)));
                }
            }
        }
        Ok(planned)
    }
}

fn shift(cells: &mut Cells<'_>, sites: &SiteMap) -> Option<ShiftKind> {
    let name = cells.required("name", SiteName::parse);
    let site = site(cells, sites);
    let of_day = |_| "must be a time of the day such as 08:00";
    let from = cells.required("from", |text| padded(text).parse().map_err(of_day));
    let to = cells.required("to", |text| padded(text).parse().map_err(of_day));
    let unpaid_break = cells.optional("unpaid_break", cells::length);
    let unpaid_break = unpaid_break.unwrap_or(Length::ZERO);
    let flexible = cells.optional("flexible", cells::yes).unwrap_or_default();
    let work = cells.optional("work", cells::length);
    if flexible && unpaid_break != Length::ZERO {
        cells.refuse("unpaid_break", "must be empty for a flexible shift");
    }
    let hours = ShiftHours::new(flexible, work, unpaid_break);
    let hours = hours.map_err(|error| cells.refuse("work", error)).ok();
    let shift = Shift {
        name: None,
        from: from?,
        to: to?,
        hours: hours?,
        zone: None,
    };
    match shift.hours {
        ShiftHours::Fixed { unpaid_break } if unpaid_break.seconds() >= shift.clock_length() => {
            cells.refuse("unpaid_break", "does not fit into the shift");
        }
        ShiftHours::Flexible { work } if work.seconds() > shift.clock_length() => {
            cells.refuse("work", "does not fit into the shift");
        }
        ShiftHours::Fixed { .. } | ShiftHours::Flexible { .. } => {}
    }
    Some(ShiftKind {
        site: site?,
        name: name?,
        shift,
    })
}

/// Writes `8:00` as `08:00`.
fn padded(text: &str) -> String {
    match text.as_bytes() {
        [_, b':', ..] => format!("0{text}"),
        _ => text.to_owned(),
    }
}

/// Entries by name in lowercase.
struct Named<'a, S: Settings>(HashMap<String, Vec<&'a Entry<S>>>);

impl<'a, S: Settings> Named<'a, S> {
    fn new(all: &'a [Entry<S>]) -> Self {
        let mut named: HashMap<_, Vec<_>> = HashMap::new();
        for entry in all.iter().filter(|entry| entry.is_present()) {
            let key = entry.settings.name().key();
            named.entry(key).or_default().push(entry);
        }
        Self(named)
    }

    /// Returns the entry with a name: that of a site, else the only one of another site.
    fn find(&self, name: &str, site: SiteId) -> Result<S::Id, String> {
        let of_name = self.0.get(&name.to_lowercase());
        let of_name = of_name.map(Vec::as_slice).unwrap_or_default();
        let here = of_name.iter().find(|one| one.settings.home() == Some(site));
        match (here, of_name) {
            (Some(here), _) => Ok(here.id),
            (None, [only]) => Ok(only.id),
            (None, []) => Err(format!("there is no {} {name}", S::KIND.one)),
            (None, _) => Err(format!("several sites have a {} {name}", S::KIND.one)),
        }
    }
}

fn assignment<'p>(
    cells: &mut Cells<'_>,
    people: &'p People,
    cycles: &Named<'_, Cycle>,
    shifts: &Named<'_, ShiftKind>,
) -> Option<(&'p Employee, Assigned)> {
    let person = employee(cells, people);
    let site = person.map_or(SiteId::DEFAULT, |person| person.site);
    let with_cycle = !cells.is_empty("cycle");
    if with_cycle {
        for column in ["date", "shifts"] {
            if !cells.is_empty(column) {
                cells.refuse(column, "must be empty in a row with a cycle");
            }
        }
        let cycle: Option<CycleId> = cells.optional("cycle", |name| cycles.find(name, site));
        let (from, to) = cells.dates()?;
        let cycle = cycle?;
        return Some((person?, Assigned::Cycle { cycle, from, to }));
    }
    for column in ["from", "to"] {
        if !cells.is_empty(column) {
            cells.refuse(column, "must be empty in a row without a cycle");
        }
    }
    let day = cells.required("date", list::date);
    let shifts: Option<Vec<ShiftKindId>> = cells.required("shifts", |text| {
        if text == "-" {
            return Ok(Vec::new());
        }
        let names: Vec<_> = text.split(';').map(str::trim).collect();
        if names.len() > Assigned::MOST_SHIFTS {
            return Err(format!("must be at most {} shifts", Assigned::MOST_SHIFTS));
        }
        names.iter().map(|name| shifts.find(name, site)).collect()
    });
    let (day, shifts) = (day?, shifts?);
    Some((person?, Assigned::Day { day, shifts }))
}

/// Returns why shifts of an employee would overlap.
fn overlap(
    rota: &Rota,
    person: &Employee,
    all: &[&Assigned],
    range: DateRange,
) -> Result<Option<String>, StoreError> {
    match rota.check(person, all, range) {
        Ok(()) => Ok(None),
        Err(PlanError::Store(error)) => Err(error),
        Err(PlanError::Overlap(of)) => Ok(Some(format!(
            "{} on {} overlaps {} on {}",
            of.first.shift, of.first.day, of.second.shift, of.second.day
        ))),
    }
}

fn assigned(person: &Employee, plan: &Assigned, made_at: Timestamp, actor: Actor) -> Planned {
    let content = serde_json::to_string(plan).unwrap_or_default();
    let content = ["assignment", &person.id.to_string(), &content];
    let id = id_of(midnight(plan.dates().from), &content);
    Planned::row(Change::Assignment(Assignment {
        id: id.into(),
        employee: person.id,
        plan: plan.clone(),
        made_at,
        made_by: actor,
    }))
}

fn holiday(cells: &mut Cells<'_>) -> Option<(SiteName, NamedHoliday)> {
    let calendar = cells.required("calendar", SiteName::parse);
    let day = cells.required("date", list::date);
    let name = cells.required("name", SiteName::parse);
    let part = cells.optional("part", |text| {
        cells::word(
            text,
            [HolidayPart::Whole, HolidayPart::Half],
            |part| match part {
                HolidayPart::Whole => "whole",
                HolidayPart::Half => "half",
            },
        )
    });
    let holiday = NamedHoliday {
        day: day?,
        part: part.unwrap_or(HolidayPart::Whole),
        name: name?,
    };
    Some((calendar?, holiday))
}

/// Leave of a row.
struct ListedLeave {
    kind: LeaveKindId,
    from: Date,
    to: Date,
    part: LeavePart,
    reason: Option<Reason>,
}

fn leave<'p>(
    cells: &mut Cells<'_>,
    people: &'p People,
    kinds: &HashMap<String, LeaveKindId>,
) -> Option<(&'p Employee, ListedLeave)> {
    let person = employee(cells, people);
    let kind = cells.required("kind", |text| {
        let found = kinds.get(&text.to_lowercase()).copied();
        found.ok_or_else(|| format!("there is no kind of leave {text}"))
    });
    let dates = cells.dates();
    if let Some((from, Some(to))) = dates
        && (to - from).get_days() > Leave::LONGEST
    {
        let most = Leave::LONGEST;
        cells.refuse("to", format!("must be at most {most} days after from"));
    }
    let words = ["whole", "first_half", "second_half", "hours"];
    let part = cells.optional("part", |text| cells::word(text, words, |word| word));
    let part = match part.unwrap_or("whole") {
        "first_half" => Some(LeavePart::FirstHalf),
        "second_half" => Some(LeavePart::SecondHalf),
        "hours" => {
            let of_day = |_| "must be a time of the day such as 08:00";
            let from = cells.required("hours_from", |text| padded(text).parse().map_err(of_day));
            let to = cells.required("hours_to", |text| padded(text).parse().map_err(of_day));
            from.zip(to).map(|(from, to)| LeavePart::Hours { from, to })
        }
        _ => Some(LeavePart::Whole),
    };
    if !matches!(part, Some(LeavePart::Hours { .. }) | None) {
        for column in ["hours_from", "hours_to"] {
            if !cells.is_empty(column) {
                cells.refuse(column, "must be empty unless part is hours");
            }
        }
    }
    let reason = cells.optional("reason", Reason::parse);
    let (from, to) = dates?;
    let leave = ListedLeave {
        kind: kind?,
        from,
        to: to.unwrap_or(from),
        part: part?,
        reason,
    };
    Some((person?, leave))
}
