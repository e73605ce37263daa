//! Entries of the lists that admins and managers keep: shifts, cycles, holidays, kinds of leave.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{read_date, read_id, read_length, sites::SiteQuery};
use crate::{
    domain::{
        attendance::{
            HolidayPart, Length, Shift,
            plan::{ShiftError, ShiftHours},
        },
        grants::Reach,
        ids::SiteId,
        plans::{
            Cycle, Entry, HolidayCalendar, LeaveKind, LeaveUnit, NamedHoliday, Overlap, ShiftKind,
        },
        text::SiteName,
    },
    http::{
        field_error::FieldError,
        page::{List, PageQuery},
        problem::{Code, Fields, Problem},
    },
    ports::StoreError,
    service::catalog::{Catalog, CatalogError, Checked},
};

impl From<Overlap> for FieldError {
    fn from(Overlap { first, second }: Overlap) -> Self {
        Self::OverlappingShifts {
            first: first.shift,
            first_day: first.day,
            second: second.shift,
            second_day: second.day,
        }
    }
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NotFound(kind) => Self::not_found(kind),
            CatalogError::NameTaken(_) => Self::new(Code::NameTaken, error.to_string()),
            CatalogError::UnknownSite(field) => Self::field(field, FieldError::UnknownSite),
            CatalogError::BeyondReach => Self::new(Code::Forbidden, error.to_string()),
            CatalogError::UnknownShift(number) => {
                Self::field(&format!("shifts[{number}]"), FieldError::UnknownShift)
            }
            CatalogError::Overlap(field, overlap) => Self::field(field, overlap),
            CatalogError::Counted => Self::field("unit", FieldError::Counted),
            CatalogError::InUse(_) => Self::new(Code::ShiftInUse, error.to_string()),
            CatalogError::Raced(_) => StoreError::Conflict.into(),
            CatalogError::Store(error) => error.into(),
        }
    }
}

/// Returns a page of a list of entries.
///
/// # Errors
/// When a parameter is not valid, or the store fails.
pub async fn page_of<S: Checked, V>(
    catalog: &Catalog<S>,
    reach: &Reach,
    site: SiteQuery,
    page: &PageQuery,
) -> Result<axum::Json<List<V>>, Problem>
where
    V: for<'a> From<&'a Entry<S>>,
{
    let (wanted, site) = (page.page()?, site.read()?);
    let found = catalog.list(reach, site, &wanted.page).await?;
    let cursor = |last: &Entry<S>| {
        let settings = &last.settings;
        (settings.home(), settings.name().key(), last.id)
    };
    let (found, next) = wanted.cut(found, cursor)?;
    let items = found.iter().map(V::from).collect();
    Ok(axum::Json(List { items, next }))
}

/// The settings of a shift.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "ShiftSettings")]
pub struct EditableShift {
    /// The site, in whose time zone the times are.
    #[schema(format = "uuid")]
    site: String,
    /// The name, 1 to 64 characters, unique at the site without regard to case.
    #[schema(example = "Early")]
    name: String,
    /// When it starts.
    #[schema(example = "06:00")]
    from: String,
    /// When it ends; on the next date if that is not later than `from`. `24:00` is midnight.
    #[schema(example = "14:30")]
    to: String,
    /// How much of it is a break that is not paid, at no certain time. Not for a flexible shift.
    #[serde(default = "no_break")]
    #[schema(example = "30m", default = no_break)]
    unpaid_break: String,
    /// Whether the times are a window in which `work` is done at any time.
    #[serde(default)]
    flexible: bool,
    /// How much work a flexible shift is.
    #[serde(default)]
    #[schema(example = "8h")]
    work: Option<String>,
}

fn no_break() -> String {
    Length::ZERO.to_string()
}

impl From<&ShiftKind> for EditableShift {
    fn from(kind: &ShiftKind) -> Self {
        let (unpaid_break, work) = match kind.shift.hours {
            ShiftHours::Fixed { unpaid_break } => (unpaid_break, None),
            ShiftHours::Flexible { work } => (Length::ZERO, Some(work)),
        };
        Self {
            site: kind.site.to_string(),
            name: kind.name.to_string(),
            from: kind.shift.from.to_string(),
            to: kind.shift.to.to_string(),
            unpaid_break: unpaid_break.to_string(),
            flexible: work.is_some(),
            work: work.map(|work| work.to_string()),
        }
    }
}

impl EditableShift {
    /// Parses the settings.
    pub fn read(self) -> Result<ShiftKind, Problem> {
        let mut fields = Fields::default();
        let of_day = |_| FieldError::NotATimeOfDay;
        let site = fields.required("site", read_id(self.site));
        let name = fields.required("name", SiteName::parse(&self.name));
        let from = fields.required("from", self.from.parse().map_err(of_day));
        let to = fields.required("to", self.to.parse().map_err(of_day));
        let unpaid_break = fields.required("unpaid_break", read_length(&self.unpaid_break));
        let has_work = self.work.is_some();
        let work = fields.optional("work", self.work, |work| read_length(&work));
        let (Some(site), Some(name), Some(from), Some(to), Some(unpaid_break), true) = (
            site,
            name,
            from,
            to,
            unpaid_break,
            work.is_some() == has_work,
        ) else {
            return Err(fields.problem());
        };
        if self.flexible && unpaid_break != Length::ZERO {
            fields.add("unpaid_break", FieldError::Excluded { by: "flexible" });
        }
        let hours = ShiftHours::new(self.flexible, work, unpaid_break);
        let hours = hours.map_err(|error| match error {
            ShiftError::FlexibleWithoutWork => FieldError::Required,
            ShiftError::WorkOfFixed => FieldError::Excluded { by: "unpaid_break" },
        });
        let shift = fields.required("work", hours).map(|hours| Shift {
            name: None,
            from,
            to,
            hours,
            zone: None,
        });
        if let Some(shift) = &shift {
            match shift.hours {
                ShiftHours::Fixed { unpaid_break }
                    if unpaid_break.seconds() >= shift.clock_length() =>
                {
                    fields.add("unpaid_break", FieldError::LongerThanShift);
                }
                ShiftHours::Flexible { work } if work.seconds() > shift.clock_length() => {
                    fields.add("work", FieldError::LongerThanShift);
                }
                ShiftHours::Fixed { .. } | ShiftHours::Flexible { .. } => {}
            }
        }
        fields.check()?;
        let shift = shift.ok_or_else(|| Problem::field("work", FieldError::InvalidValue))?;
        Ok(ShiftKind { site, name, shift })
    }
}

/// A kind of shift.
#[derive(Serialize, ToSchema)]
#[schema(title = "Shift")]
pub struct ShiftView {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    #[serde(flatten)]
    settings: EditableShift,
}

impl From<&Entry<ShiftKind>> for ShiftView {
    fn from(entry: &Entry<ShiftKind>) -> Self {
        Self {
            id: entry.id.to_string(),
            settings: (&entry.settings).into(),
        }
    }
}

/// The settings of a cycle.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "CycleSettings")]
pub struct EditableCycle {
    /// The site.
    #[schema(format = "uuid")]
    site: String,
    /// The name, 1 to 64 characters, unique at the site without regard to case.
    #[schema(example = "Four on, four off")]
    name: String,
    /// A date of its first day. The cycle holds before it, too.
    #[schema(format = "date", example = "2026-11-23")]
    starts: String,
    /// The IDs of the shifts, one for each day, or null for a day without a shift; 1 to 366.
    #[schema(min_items = 1, max_items = 366)]
    shifts: Vec<Option<String>>,
}

impl From<&Cycle> for EditableCycle {
    fn from(cycle: &Cycle) -> Self {
        let shifts = cycle.shifts.iter();
        Self {
            site: cycle.site.to_string(),
            name: cycle.name.to_string(),
            starts: cycle.starts.to_string(),
            shifts: shifts.map(|id| id.map(|id| id.to_string())).collect(),
        }
    }
}

impl EditableCycle {
    /// Parses the settings.
    pub fn read(self) -> Result<Cycle, Problem> {
        let mut fields = Fields::default();
        let site = fields.required("site", read_id(self.site));
        let name = fields.required("name", SiteName::parse(&self.name));
        let starts = fields.required("starts", read_date(&self.starts));
        let (least, most) = (1, Cycle::MOST);
        if !(least..=most).contains(&self.shifts.len()) {
            fields.add("shifts", FieldError::WrongCount { least, most });
        }
        let mut shifts = Vec::with_capacity(self.shifts.len());
        for (number, id) in self.shifts.into_iter().enumerate() {
            shifts.push(fields.optional(&format!("shifts[{number}]"), id, read_id));
        }
        let (Some(site), Some(name), Some(starts)) = (site, name, starts) else {
            return Err(fields.problem());
        };
        fields.check()?;
        Ok(Cycle {
            site,
            name,
            starts,
            shifts,
        })
    }
}

/// A cycle of shifts.
#[derive(Serialize, ToSchema)]
#[schema(title = "Cycle")]
pub struct CycleView {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    #[serde(flatten)]
    settings: EditableCycle,
}

impl From<&Entry<Cycle>> for CycleView {
    fn from(entry: &Entry<Cycle>) -> Self {
        Self {
            id: entry.id.to_string(),
            settings: (&entry.settings).into(),
        }
    }
}

/// A public holiday.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Holiday")]
pub struct HolidayView {
    /// The date.
    #[schema(format = "date", example = "2026-12-25")]
    day: String,
    /// `whole`, or `half`: from the middle of the day on.
    #[serde(default = "whole")]
    #[schema(example = "whole")]
    part: String,
    /// The name, 1 to 64 characters.
    #[schema(example = "Christmas Day")]
    name: String,
}

impl From<&NamedHoliday> for HolidayView {
    fn from(holiday: &NamedHoliday) -> Self {
        Self {
            day: holiday.day.to_string(),
            part: match holiday.part {
                HolidayPart::Whole => whole(),
                HolidayPart::Half => "half".to_owned(),
            },
            name: holiday.name.to_string(),
        }
    }
}

fn whole() -> String {
    "whole".to_owned()
}

/// The settings of a holiday calendar.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "HolidayCalendarSettings")]
pub struct EditableHolidays {
    /// The name, 1 to 64 characters, unique without regard to case.
    #[schema(example = "Berlin")]
    name: String,
    /// The IDs of the sites that follow it; none if all do.
    #[serde(default)]
    sites: Vec<String>,
    /// The holidays, at most 500.
    #[serde(default)]
    #[schema(max_items = 500)]
    days: Vec<HolidayView>,
}

impl From<&HolidayCalendar> for EditableHolidays {
    fn from(calendar: &HolidayCalendar) -> Self {
        let days = calendar.days.iter().map(HolidayView::from);
        Self {
            name: calendar.name.to_string(),
            sites: calendar.sites.iter().map(ToString::to_string).collect(),
            days: days.collect(),
        }
    }
}

impl EditableHolidays {
    /// Parses the settings.
    pub fn read(self) -> Result<HolidayCalendar, Problem> {
        let mut fields = Fields::default();
        let name = fields.required("name", SiteName::parse(&self.name));
        let mut sites = Vec::new();
        for (number, id) in self.sites.into_iter().enumerate() {
            sites.extend(fields.required(&format!("sites[{number}]"), read_id::<SiteId>(id)));
        }
        let (least, most) = (0, HolidayCalendar::MOST);
        if self.days.len() > most {
            fields.add("days", FieldError::WrongCount { least, most });
        }
        let mut days = Vec::new();
        for (number, holiday) in self.days.iter().enumerate() {
            let field = |name: &str| format!("days[{number}].{name}");
            let day = fields.required(&field("day"), read_date(&holiday.day));
            let part = match holiday.part.as_str() {
                "whole" => Ok(HolidayPart::Whole),
                "half" => Ok(HolidayPart::Half),
                _ => Err(FieldError::NotOneOf {
                    values: vec!["whole", "half"],
                }),
            };
            let part = fields.required(&field("part"), part);
            let name = fields.required(&field("name"), SiteName::parse(&holiday.name));
            if let (Some(day), Some(part), Some(name)) = (day, part, name) {
                days.push(NamedHoliday { day, part, name });
            }
        }
        let Some(name) = name else {
            return Err(fields.problem());
        };
        fields.check()?;
        days.sort_by_key(|holiday: &NamedHoliday| holiday.day);
        Ok(HolidayCalendar { name, sites, days })
    }
}

/// A calendar of public holidays.
#[derive(Serialize, ToSchema)]
#[schema(title = "HolidayCalendar")]
pub struct HolidayCalendarView {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    #[serde(flatten)]
    settings: EditableHolidays,
}

impl From<&Entry<HolidayCalendar>> for HolidayCalendarView {
    fn from(entry: &Entry<HolidayCalendar>) -> Self {
        Self {
            id: entry.id.to_string(),
            settings: (&entry.settings).into(),
        }
    }
}

/// The settings of a kind of leave.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "LeaveKindSettings")]
pub struct EditableLeaveKind {
    /// The name, 1 to 64 characters, unique without regard to case.
    #[schema(example = "Vacation")]
    name: String,
    /// Whether payroll pays it. Figures do not depend on it.
    paid: bool,
    /// How entitlements to it are counted: `days` or `hours`. Fixed once there are any.
    #[serde(default = "days")]
    #[schema(default = days, example = "days")]
    unit: String,
    /// Whether a request for more than an employee is entitled to is refused.
    #[serde(default)]
    limited: bool,
}

fn days() -> String {
    LeaveUnit::Days.as_str().to_owned()
}

impl From<&LeaveKind> for EditableLeaveKind {
    fn from(kind: &LeaveKind) -> Self {
        Self {
            name: kind.name.to_string(),
            paid: kind.paid,
            unit: kind.unit.as_str().to_owned(),
            limited: kind.limited,
        }
    }
}

impl EditableLeaveKind {
    /// Parses the settings.
    pub fn read(self) -> Result<LeaveKind, Problem> {
        let mut fields = Fields::default();
        let name = fields.required("name", SiteName::parse(&self.name));
        let unit = fields.required("unit", LeaveUnit::parse(&self.unit));
        let (Some(name), Some(unit)) = (name, unit) else {
            return Err(fields.problem());
        };
        Ok(LeaveKind {
            name,
            paid: self.paid,
            unit,
            limited: self.limited,
        })
    }
}

/// A kind of leave.
#[derive(Serialize, ToSchema)]
#[schema(title = "LeaveKind")]
pub struct LeaveKindView {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    #[serde(flatten)]
    settings: EditableLeaveKind,
}

impl From<&Entry<LeaveKind>> for LeaveKindView {
    fn from(entry: &Entry<LeaveKind>) -> Self {
        Self {
            id: entry.id.to_string(),
            settings: (&entry.settings).into(),
        }
    }
}
