//! Lists of opening balances and of punches of the past.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{
    Span, Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};

use super::{
    cells::{self, Cells},
    changes::{Change, Planned, id_of},
    checks::{Checks, People, employee},
    rows::{Rows, Seen},
};
use crate::{
    domain::{
        accounts::Actor,
        attendance::{
            Correction, DateRange, Decision, PunchKind, RequestedCorrection, TimedPunch, Timesheet,
            adjust,
        },
        balances::{BalanceEntry, BalanceKind},
        employees::Employee,
        ids::{CorrectionId, EmployeeId, PunchId},
        text::Reason,
    },
    ports::StoreError,
    service::{balances, jobs::list, sites::SiteMap, workdays::OnRecord},
};

/// Days around a punch on which it may change figures.
const AROUND: i64 = 2;

const LOCKED: &str = "lies in a locked period: ask an admin to unlock the timesheet first";

/// A punch of a row.
struct ListedPunch {
    line: u64,
    kind: PunchKind,
    at: Timestamp,
    reason: Reason,
}

impl ListedPunch {
    /// Returns the punch as a correction that adds it. Its ID follows from the punch.
    fn correction(
        &self,
        employee: EmployeeId,
        actor: Actor,
        now: Timestamp,
    ) -> RequestedCorrection {
        let content = ["punch", &employee.to_string(), self.kind.as_str()];
        let id = id_of(self.at, &content);
        let (kind, at) = (self.kind, self.at);
        RequestedCorrection {
            id: CorrectionId::new(id),
            change: Correction::Add(TimedPunch {
                id: PunchId::new(id),
                kind,
                at,
            }),
            reason: self.reason.clone(),
            made_by: actor,
            made_at: now,
            decision: Decision::Approved { by: actor, at: now },
            provisional: false,
        }
    }
}

fn reason(cells: &mut Cells<'_>) -> Reason {
    let given = cells.optional("reason", Reason::parse);
    given.unwrap_or_else(Reason::import)
}

impl Checks {
    /// Checks a list of opening values.
    pub(super) async fn openings(
        &self,
        actor: Actor,
        rows: &mut Rows,
    ) -> Result<Vec<Planned>, StoreError> {
        let (people, now) = (self.people().await?, self.clock.now());
        let (mut seen, mut planned) = (Seen::new(), Vec::new());
        for (line, (person, (date, seconds, reason))) in rows.read(|cells| opening(cells, &people))
        {
            if let Err(reason) = seen.check((person.id, date), line) {
                rows.refuse(line, "date", reason);
                continue;
            }
            let entries = self.stores.balance_entries.until(person.id, date).await?;
            let opening =
                |entry: &&BalanceEntry| entry.kind == BalanceKind::Opening && entry.date == date;
            match entries.iter().find(opening) {
                Some(old) if old.seconds == seconds => rows.report.existing += 1,
                Some(_) => {
                    let reason = "the employee has another opening value then: delete it first";
                    rows.refuse(line, "date", reason);
                }
                None if balances::is_locked(&self.stores, person.id, date).await? => {
                    rows.refuse(line, "date", LOCKED);
                }
                None => planned.push(Planned::row(Change::Opening(BalanceEntry {
                    id: self.clock.id().into(),
                    employee: person.id,
                    date,
                    kind: BalanceKind::Opening,
                    seconds,
                    reason,
                    made_by: actor,
                    made_at: now,
                }))),
            }
        }
        Ok(planned)
    }

    /// Checks a list of punches of the past. Each becomes an approved correction that adds it.
    pub(super) async fn punches(
        &self,
        actor: Actor,
        rows: &mut Rows,
    ) -> Result<Vec<Planned>, StoreError> {
        let (people, sites, now) = (self.people().await?, self.sites().await?, self.clock.now());
        let mut of_people: BTreeMap<EmployeeId, (&Employee, Vec<ListedPunch>)> = BTreeMap::new();
        let mut seen = Seen::new();
        for (line, (person, mut punch)) in rows.read(|cells| listed(cells, &people, &sites, now)) {
            punch.line = line;
            if let Err(reason) = seen.check((person.id, punch.at, punch.kind.as_str()), line) {
                rows.refuse(line, "time", reason);
                continue;
            }
            let of_person = of_people.entry(person.id);
            let (_, punches) = of_person.or_insert_with(|| (person, Vec::new()));
            punches.push(punch);
        }
        let mut planned = Vec::new();
        for (person, punches) in of_people.into_values() {
            let found = self.punches_of(person, punches, (actor, now), rows).await?;
            planned.extend(found);
        }
        Ok(planned)
    }

    /// Checks the punches of an employee, and returns a change for each timesheet.
    async fn punches_of(
        &self,
        person: &Employee,
        mut punches: Vec<ListedPunch>,
        (actor, now): (Actor, Timestamp),
        rows: &mut Rows,
    ) -> Result<Vec<Planned>, StoreError> {
        let date = |punch: &ListedPunch| punch.at.to_zoned(TimeZone::UTC).date();
        let (first, last) = (
            punches.iter().map(date).min(),
            punches.iter().map(date).max(),
        );
        let (Some(first), Some(last)) = (first, last) else {
            return Ok(Vec::new());
        };
        let range = DateRange {
            from: first.saturating_sub(Span::new().days(AROUND)),
            to: last.saturating_add(Span::new().days(AROUND)),
        };
        let mut record = self.parts.workdays.on_record(person, range).await?;
        let known = known(&record);
        let count = punches.len();
        punches.retain(|punch| !known.contains(&(punch.at, punch.kind.as_str())));
        rows.report.existing += (count - punches.len()) as u64;

        let mut sheets: Vec<(Timesheet, Vec<RequestedCorrection>)> = Vec::new();
        let mut open = Vec::new();
        for punch in &punches {
            let day = record.plan.workday(punch.at);
            let known = sheets.iter();
            let mut known = known.map(|(sheet, _)| sheet.period().contains(day));
            let index = match known.position(|has_it| has_it) {
                Some(index) => index,
                None => {
                    let sheet = self.parts.workdays.timesheet_of(person, day).await?;
                    sheets.push((sheet, Vec::new()));
                    sheets.len() - 1
                }
            };
            let (sheet, corrections) = &mut sheets[index];
            if sheet.locked().is_some() {
                rows.refuse(punch.line, "date", LOCKED);
                continue;
            }
            let others = sheet.corrections.len();
            if others + corrections.len() >= Timesheet::MOST_CORRECTIONS {
                let most = Timesheet::MOST_CORRECTIONS;
                let reason = format!("the timesheet has at most {most} corrections");
                rows.refuse(punch.line, "date", reason);
                continue;
            }
            corrections.push(punch.correction(person.id, actor, now));
            open.push((day, punch));
        }
        // An out can end a night of a locked period.
        let locked = record.locked(range);
        if !locked.days.is_empty() {
            let before = adjust(&locked, &record.derive(range, now));
            let added = sheets.iter().flat_map(|(_, new)| new);
            record.corrections.extend(added.map(|one| one.change));
            if adjust(&locked, &record.derive(range, now)) != before {
                let near = |day: Date| {
                    let mut days = locked.days.iter();
                    days.any(|locked| i64::from((locked.day - day).get_days().abs()) <= AROUND)
                };
                for (_, punch) in open.iter().filter(|(day, _)| near(*day)) {
                    let reason = "would change a day of a locked period next to it";
                    rows.refuse(punch.line, "date", reason);
                }
            }
        }
        let planned = sheets.into_iter().map(|(sheet, corrections)| Planned {
            rows: corrections.len() as u64,
            change: Change::Punches(sheet, corrections),
        });
        Ok(planned.filter(|planned| planned.rows > 0).collect())
    }
}

/// Returns the times and kinds of the punches that are on record, also of those that approved
/// corrections added.
fn known(record: &OnRecord) -> BTreeSet<(Timestamp, &'static str)> {
    let added = record.corrections.iter().filter_map(|change| match change {
        Correction::Add(punch) => Some(punch),
        Correction::Void { .. } | Correction::Move { .. } => None,
    });
    let all = record.punches.iter().chain(added);
    all.map(|punch| (punch.at, punch.kind.as_str())).collect()
}

fn opening<'p>(
    cells: &mut Cells<'_>,
    people: &'p People,
) -> Option<(&'p Employee, (Date, i64, Reason))> {
    let person = employee(cells, people);
    let date = cells.required("date", list::date);
    let seconds = cells.required("hours", |text| {
        let seconds = cells::hours(text)?;
        let most = BalanceEntry::MOST;
        let fits = (-most..=most).contains(&seconds);
        fits.then_some(seconds)
            .ok_or("must be at most 10,000 hours")
    });
    let reason = reason(cells);
    Some((person?, (date?, seconds?, reason)))
}

fn listed<'p>(
    cells: &mut Cells<'_>,
    people: &'p People,
    sites: &SiteMap,
    now: Timestamp,
) -> Option<(&'p Employee, ListedPunch)> {
    let person = employee(cells, people);
    let date = cells.required("date", list::date);
    let time = cells.required("time", cells::time);
    let kind = cells.required("kind", |text| {
        cells::word(text, PunchKind::ALL, PunchKind::as_str)
    });
    let reason = reason(cells);
    let (person, date, time) = (person?, date?, time?);
    let zone = sites.or_default(person.site).map(|site| &site.zone);
    let zone = zone.map_or(TimeZone::UTC, |zone| zone.time_zone().clone());
    let at = DateTime::from_parts(date, time)
        .to_zoned(zone)
        .ok()?
        .timestamp();
    if at > now {
        cells.refuse("date", "must not be in the future");
    }
    let punch = ListedPunch {
        line: 0,
        kind: kind?,
        at,
        reason,
    };
    Some((person, punch))
}
