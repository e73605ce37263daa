//! Calendars: an employee's shifts and leave for calendar programs, and holidays from a file.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};

use super::{
    audit::Audit,
    catalog::{CatalogError, HolidayCalendars},
    plans::Plans,
    tokens::{self, Token},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::{DateRange, HolidayPart, LeavePart},
        calendars::CalendarAddress,
        employees::Employee,
        grants::{Permission, Reach},
        ical::{self, BadLine, Event, EventTime},
        ids::{EmployeeId, HolidayCalendarId},
        plans::{HolidayCalendar, Leave, LeaveState, NamedHoliday, planned_shifts},
        text::SiteName,
    },
    ports::StoreError,
    repositories::{Repositories, Team},
};

/// The days before and after today that a calendar has.
const DAYS: (i64, i64) = (30, 60);

/// Why a request about calendars failed.
#[derive(Debug, thiserror::Error)]
pub enum CalendarError {
    /// The employee does not exist.
    #[error("no such employee")]
    NoEmployee,
    /// There is no such address.
    #[error("no such calendar")]
    NotFound,
    /// A line of the file is wrong.
    #[error(transparent)]
    BadLine(#[from] BadLine),
    /// The name of a day is no name of a holiday.
    #[error("the name of {0} must have 1 to 64 characters and no control characters")]
    BadName(Date),
    /// The file has too many days.
    #[error("the file has {0} days, and a calendar has at most {most}", most = HolidayCalendar::MOST)]
    TooMany(usize),
    /// The calendar to compare with.
    #[error(transparent)]
    Calendar(#[from] CatalogError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a file of holidays would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolidayPreview {
    /// The days to save: those of the file, and those of the calendar in other years.
    pub days: Vec<NamedHoliday>,
    /// Days that only the file has.
    pub added: Vec<NamedHoliday>,
    /// Days that only the calendar has, in the years of the file.
    pub removed: Vec<NamedHoliday>,
    /// Days of both with another name: those of the calendar, and the new names.
    pub renamed: Vec<(NamedHoliday, SiteName)>,
}

/// The service for calendars.
#[derive(derive_new::new)]
pub struct Calendars {
    stores: Repositories,
    plans: Arc<Plans>,
    holidays: Arc<HolidayCalendars>,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl Calendars {
    /// Makes an address for an employee. The one before is no longer valid.
    ///
    /// # Errors
    /// If the employee is not covered, or the store fails.
    pub async fn open(
        &self,
        reach: &Reach,
        actor: Actor,
        employee: EmployeeId,
    ) -> Result<Token, CalendarError> {
        self.covered(reach, employee).await?;
        let token = Token::mint(&*self.clock);
        let address = CalendarAddress {
            employee,
            token: token.hash(),
            made_at: self.clock.now(),
            made_by: actor,
        };
        let audit = &self.audit;
        audit.record(actor, "calendar.open", employee, None).await?;
        self.stores.calendars.put(&address).await?;
        Ok(token)
    }

    /// Revokes the address of an employee.
    ///
    /// # Errors
    /// [`CalendarError::NotFound`] if there is none.
    pub async fn close(
        &self,
        reach: &Reach,
        actor: Actor,
        employee: EmployeeId,
    ) -> Result<(), CalendarError> {
        self.covered(reach, employee).await?;
        let audit = &self.audit;
        audit
            .record(actor, "calendar.close", employee, None)
            .await?;
        let removed = self.stores.calendars.remove(employee).await?;
        removed.then_some(()).ok_or(CalendarError::NotFound)
    }

    async fn covered(&self, reach: &Reach, id: EmployeeId) -> Result<Employee, CalendarError> {
        let employee = self.stores.employees.find_covered(reach, id).await?;
        employee.ok_or(CalendarError::NoEmployee)
    }

    /// Returns the address of an employee, and whether it can be read.
    ///
    /// # Errors
    /// [`CalendarError::NotFound`] if there is none.
    pub async fn find(
        &self,
        reach: &Reach,
        employee: EmployeeId,
    ) -> Result<(CalendarAddress, bool), CalendarError> {
        let employee = self.covered(reach, employee).await?;
        let address = self.stores.calendars.find(employee.id).await?;
        let address = address.ok_or(CalendarError::NotFound)?;
        let open = employee.present() && self.is_permitted(&address, &employee).await?;
        Ok((address, open))
    }

    /// Checks whether the account that made an address may still make one for the employee.
    /// Otherwise an account that lost its permissions would keep what it had.
    async fn is_permitted(
        &self,
        address: &CalendarAddress,
        employee: &Employee,
    ) -> Result<bool, StoreError> {
        let Some(maker) = address.made_by.account() else {
            return Ok(true);
        };
        let maker = self.stores.accounts.find(maker).await?;
        let maker = maker.filter(|account| account.active);
        let reach = maker.and_then(|account| account.access.reach(Permission::Request));
        Ok(reach.is_some_and(|reach| reach.covers(employee)))
    }

    /// Returns the calendar at an address, as an iCalendar file: the shifts and the approved leave
    /// of an active employee.
    ///
    /// # Errors
    /// [`CalendarError::NotFound`] if there is no such address, or the account that made it could
    /// not make it anymore.
    pub async fn read(&self, token: &str) -> Result<String, CalendarError> {
        let address = self.stores.calendars.find_by_token(tokens::hash(token));
        let address = address.await?.ok_or(CalendarError::NotFound)?;
        let employee = self.stores.employees.find(address.employee).await?;
        let employee = employee.filter(Employee::present);
        let employee = employee.ok_or(CalendarError::NotFound)?;
        if !self.is_permitted(&address, &employee).await? {
            return Err(CalendarError::NotFound);
        }
        let now = self.clock.now();
        let today = now.to_zoned(TimeZone::UTC).date();
        let (before, after) = DAYS;
        let range = DateRange {
            from: today.saturating_sub(Span::new().days(before)),
            to: today.saturating_add(Span::new().days(after)),
        };
        let team = Team::new(&Reach::Everything, [&employee]);
        let (plan, leave, kinds) = tokio::try_join!(
            self.plans.of(&employee, range),
            self.stores.leave.covering(&team, range),
            self.stores.leave_kinds.all(),
        )?;
        let shifts = planned_shifts(&plan.plan, &plan.shifts, &plan.zone, range);
        let shifts = shifts.into_iter().map(|shift| Event {
            // A day seldom has two shifts that start at the same moment.
            uid: format!("shift-{}-{}@rollcall", employee.id, shift.from.as_second()),
            time: EventTime::Instants(shift.from, shift.to),
            summary: shift.name,
        });
        let approved = leave.into_iter();
        let approved = approved.filter(|leave| leave.state == LeaveState::Approved);
        let leave = approved.flat_map(|leave| {
            let kind = kinds.iter().find(|kind| kind.id == leave.kind);
            let kind = kind.map_or_else(String::new, |kind| kind.settings.name.to_string());
            leave_events(&leave, &kind, plan.zone.time_zone())
        });
        let events: Vec<_> = shifts.chain(leave).collect();
        Ok(ical::write(employee.name.as_str(), &events, now))
    }

    /// Reads the holidays of a file, and compares them with a calendar that the caller sees.
    ///
    /// # Errors
    /// If a line of the file is wrong, there is no such calendar, or the store fails.
    pub async fn preview(
        &self,
        reach: &Reach,
        calendar: Option<HolidayCalendarId>,
        file: &str,
    ) -> Result<HolidayPreview, CalendarError> {
        let mut new = Vec::new();
        for (day, name) in ical::read_days(file)? {
            let name = SiteName::parse(&name).map_err(|_| CalendarError::BadName(day))?;
            let part = HolidayPart::Whole;
            new.push(NamedHoliday { day, part, name });
        }
        let old = match calendar {
            Some(id) => self.holidays.find(reach, id).await?.settings.days,
            None => Vec::new(),
        };
        let preview = compare(&old, new);
        match preview.days.len() {
            count if count > HolidayCalendar::MOST => Err(CalendarError::TooMany(count)),
            _ => Ok(preview),
        }
    }
}

/// Returns the events of leave: one for all whole days, or one for each day in hours. Half a day is
/// an event of the day, because its hours depend on the plan.
fn leave_events(leave: &Leave, kind: &str, zone: &TimeZone) -> Vec<Event> {
    let (id, name) = (leave.id, kind.to_owned());
    let days = |summary| {
        vec![Event {
            uid: format!("leave-{id}@rollcall"),
            time: EventTime::Days(leave.from, leave.to),
            summary,
        }]
    };
    match leave.part {
        LeavePart::Whole => days(name),
        LeavePart::FirstHalf => days(format!("{name} (first half)")),
        LeavePart::SecondHalf => days(format!("{name} (second half)")),
        LeavePart::Hours { from, to } => {
            let all = leave.from.series(Span::new().days(1));
            let all = all.take_while(|day| *day <= leave.to);
            let event = |day: Date| {
                let overnight = to.seconds() <= from.seconds();
                let last = if overnight { day.tomorrow().ok()? } else { day };
                let at = |clock: jiff::civil::DateTime| -> Option<Timestamp> {
                    let read = zone.to_ambiguous_timestamp(clock).compatible();
                    read.ok()
                };
                Some(Event {
                    uid: format!("leave-{id}-{day}@rollcall"),
                    time: EventTime::Instants(at(from.on(day))?, at(to.on(last))?),
                    summary: name.clone(),
                })
            };
            all.filter_map(event).collect()
        }
    }
}

/// Compares the days of a calendar with those of a file.
fn compare(old: &[NamedHoliday], new: Vec<NamedHoliday>) -> HolidayPreview {
    let old: BTreeMap<_, _> = old.iter().map(|holiday| (holiday.day, holiday)).collect();
    let years = |date: Date| new.iter().any(|holiday| holiday.day.year() == date.year());
    let old_days = old.values().copied();
    let (inside, outside): (Vec<&NamedHoliday>, Vec<_>) =
        old_days.partition(|holiday| years(holiday.day));
    let has = |date: Date| new.iter().any(|holiday| holiday.day == date);
    let removed = inside.into_iter().filter(|holiday| !has(holiday.day));
    let mut preview = HolidayPreview {
        removed: removed.cloned().collect(),
        days: outside.into_iter().cloned().collect(),
        added: Vec::new(),
        renamed: Vec::new(),
    };
    for mut holiday in new {
        match old.get(&holiday.day) {
            None => preview.added.push(holiday.clone()),
            Some(same) => {
                // A file does not say that half of a day is a holiday.
                holiday.part = same.part;
                if same.name != holiday.name {
                    preview
                        .renamed
                        .push(((*same).clone(), holiday.name.clone()));
                }
            }
        }
        preview.days.push(holiday);
    }
    preview.days.sort_by_key(|holiday| holiday.day);
    preview
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn holiday(day: Date, part: HolidayPart, name: &str) -> NamedHoliday {
        let name = SiteName::parse(name).unwrap();
        NamedHoliday { day, part, name }
    }

    #[test]
    fn other_years_and_halves_stay() {
        use HolidayPart::{Half, Whole};
        let (eve, may, new_year) = (date(2026, 12, 24), date(2026, 5, 1), date(2026, 1, 1));
        let old = [
            holiday(date(2025, 12, 25), Whole, "Christmas"),
            holiday(new_year, Whole, "New Year"),
            holiday(may, Whole, "Labor Day"),
            holiday(eve, Half, "Christmas Eve"),
        ];
        let new = vec![
            holiday(new_year, Whole, "New Year's Day"),
            holiday(date(2026, 3, 8), Whole, "Women's Day"),
            holiday(eve, Whole, "Christmas Eve"),
        ];
        let preview = compare(&old, new);
        assert_eq!(
            preview.added,
            [holiday(date(2026, 3, 8), Whole, "Women's Day")]
        );
        assert_eq!(preview.removed, [old[2].clone()]);
        let renamed = (old[1].clone(), SiteName::parse("New Year's Day").unwrap());
        assert_eq!(preview.renamed, [renamed]);
        let days: Vec<_> = preview.days.iter().map(|one| (one.day, one.part)).collect();
        let expected = [
            (date(2025, 12, 25), Whole),
            (new_year, Whole),
            (date(2026, 3, 8), Whole),
            (eve, Half),
        ];
        assert_eq!(days, expected);
    }
}
