//! Cases in TOML: what is on record of one employee, the rules, and perhaps the answer.
//! `tests/fixtures/attendance/README.md` describes the fields.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp, civil::Date};
use serde::Deserialize;
use uuid::Uuid;

use crate::domain::{
    attendance::{
        Adjusted, Adjustment, Assignment, Calendar, Correction, Cycle, DateRange, Day, DaySpan,
        Derived, Employment, ExceptionCode, Holiday, HolidayPart, KindReason, Leave, Length, Plan,
        PunchKind, RuleBook, Rules, Shift, Terms, TimedPunch, Week, adjust, derive, direction,
        plan::{ShiftError, ShiftHours, ShiftKinds},
        time::{EndTime, Hours, Seconds, StartTime},
    },
    ids::PunchId,
    sites::Zone,
};

/// A case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The name, unique over all files.
    pub id: String,
    /// What it shows.
    pub about: String,
    zone: Zone,
    #[serde(default)]
    rules: Rules,
    #[serde(default)]
    shifts: Vec<CaseShift>,
    #[serde(default)]
    shift_kinds: ShiftKinds,
    #[serde(default)]
    assignments: Vec<CaseAssignment>,
    #[serde(default)]
    holidays: Vec<CaseHoliday>,
    #[serde(default)]
    leave: Vec<CaseLeave>,
    #[serde(default)]
    employed: Employment,
    #[serde(default)]
    punches: Vec<CasePunch>,
    #[serde(default)]
    corrections: Vec<CaseCorrection>,
    lock: Option<Date>,
    as_of: Option<Timestamp>,
    #[serde(default)]
    days: Vec<CaseDay>,
    #[serde(default)]
    weeks: Vec<CaseWeek>,
    #[serde(default)]
    adjustments: Vec<CaseAdjustment>,
    directions: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseShift {
    day: Date,
    from: StartTime,
    to: EndTime,
    #[serde(default)]
    unpaid_break: Length,
    #[serde(default)]
    flexible: bool,
    work: Option<Length>,
    zone: Option<Zone>,
    #[serde(default)]
    after_lock: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseAssignment {
    from: Date,
    to: Option<Date>,
    starts: Date,
    cycle: Vec<String>,
    #[serde(default)]
    after_lock: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseHoliday {
    day: Date,
    part: HolidayPart,
    #[serde(default)]
    after_lock: bool,
}

#[derive(Debug, Deserialize)]
struct CaseLeave {
    #[serde(flatten)]
    leave: Leave,
    #[serde(default)]
    after_lock: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CasePunch {
    id: Option<String>,
    at: Timestamp,
    kind: Option<PunchKind>,
    #[serde(default)]
    after_lock: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseCorrection {
    id: Option<String>,
    add: Option<PunchKind>,
    void: Option<String>,
    r#move: Option<String>,
    at: Option<Timestamp>,
    #[serde(default)]
    after_lock: bool,
}

#[derive(Debug, Deserialize)]
struct CaseDay {
    day: Date,
    #[serde(default)]
    bands: BTreeMap<String, SignedDuration>,
    #[serde(default)]
    exceptions: Vec<ExceptionCode>,
    pairs: Option<Vec<String>>,
    #[serde(flatten)]
    figures: BTreeMap<String, SignedDuration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseWeek {
    starts: Date,
    worked: SignedDuration,
    overtime: SignedDuration,
}

#[derive(Debug, Deserialize)]
struct CaseAdjustment {
    day: Option<Date>,
    week: Option<Date>,
    #[serde(default)]
    held: bool,
    #[serde(flatten)]
    figures: BTreeMap<String, SignedDuration>,
}

/// Why a case cannot be calculated.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A shift makes no sense.
    #[error("{0}: {1}")]
    Shift(String, ShiftError),
    /// A correction names a punch that is not there.
    #[error("{0}: no punch has the ID {1}; give the punch an id")]
    UnknownPunch(String, String),
    /// A correction does not say what it does.
    #[error("{0}: a correction is add with at, void, or move with at")]
    Correction(String),
    /// A cycle names a shift that is not there.
    #[error("{0}: no shift is called {1}; add it to shift_kinds, or write - for a free day")]
    UnknownShift(String, String),
}

/// The answer to a case.
#[derive(Debug)]
pub struct Answer {
    /// The kinds of punches that do not say, in the order of arrival.
    pub directions: Vec<(Timestamp, (PunchKind, KindReason))>,
    /// The workdays; locked ones as they were approved.
    pub days: Vec<Day>,
    /// The weeks; locked ones as they were approved.
    pub weeks: Vec<Week>,
    /// What changed since the lock.
    pub adjustments: Vec<Adjustment>,
}

/// Reads the cases of a file.
///
/// # Errors
/// When the text is no TOML, or a field is unknown or invalid.
pub fn read(text: &str) -> Result<Vec<Case>, toml::de::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        case: Vec<Case>,
    }
    toml::from_str::<File>(text).map(|file| file.case)
}

/// Returns figures of bands as they are named in a case.
pub(super) fn bands(of: &BTreeMap<String, Seconds>) -> impl Iterator<Item = (&str, Seconds)> {
    of.iter().map(|(name, figure)| (name.as_str(), *figure))
}

/// Returns the differences of an adjustment, as they are named in a case.
pub(super) fn differences_of(adjustment: &Adjustment) -> BTreeMap<String, Seconds> {
    let figures = adjustment.figures().into_iter();
    let figures = figures.map(|(name, figure)| (name.to_owned(), figure));
    let bands = bands(&adjustment.bands).map(|(name, figure)| (format!("band {name}"), figure));
    figures
        .chain(bands)
        .filter(|(_, figure)| *figure != 0)
        .collect()
}

/// What was on record at a moment.
struct OnRecord {
    punches: Vec<TimedPunch>,
    corrections: Vec<Correction>,
    plan: Plan,
    holidays: Vec<Holiday>,
    leave: Vec<Leave>,
}

impl Case {
    /// Calculates the answer.
    ///
    /// # Errors
    /// When the case contradicts itself.
    pub fn answer(&self) -> Result<Answer, CaseError> {
        let rules = RuleBook::from(self.rules.clone());
        let mut now = self.on_record(true)?;
        let directions = self.directions(&mut now, &rules);
        let mut derived = self.derive(&now, &rules);
        let mut adjustments = Vec::new();
        if let Some(lock) = self.lock {
            let mut locked = self.derive(&self.on_record(false)?, &rules);
            locked.days.retain(|day| day.day <= lock);
            locked.weeks.retain(|week| week.ends <= lock);
            adjustments = adjust(&locked, &derived);
            derived.days.retain(|day| day.day > lock);
            derived.weeks.retain(|week| week.ends > lock);
            derived.days.splice(..0, locked.days);
            derived.weeks.splice(..0, locked.weeks);
        }
        Ok(Answer {
            directions,
            days: derived.days,
            weeks: derived.weeks,
            adjustments,
        })
    }

    /// Returns what is on record, perhaps with what came after the lock.
    fn on_record(&self, later: bool) -> Result<OnRecord, CaseError> {
        let known = |after_lock: bool| later || !after_lock;
        let mut ids = Ids::default();
        let mut punches = Vec::new();
        for punch in &self.punches {
            let id = ids.make(punch.id.as_deref());
            if known(punch.after_lock) {
                // A punch without a kind gets one later.
                let kind = punch.kind.unwrap_or(PunchKind::In);
                punches.push(TimedPunch {
                    id,
                    kind,
                    at: punch.at,
                });
            }
        }
        let mut corrections = Vec::new();
        for correction in &self.corrections {
            let made = self.correction(correction, &mut ids)?;
            if known(correction.after_lock) {
                corrections.push(made);
            }
        }
        let mut plan = Plan::default();
        for made in self
            .assignments
            .iter()
            .filter(|made| known(made.after_lock))
        {
            let unknown = made
                .cycle
                .iter()
                .find(|name| *name != Cycle::FREE && !self.shift_kinds.contains_key(*name));
            if let Some(name) = unknown {
                return Err(CaseError::UnknownShift(self.id.clone(), name.clone()));
            }
            plan.assignments.push(Assignment {
                from: made.from,
                to: made.to,
                cycle: Cycle {
                    starts: made.starts,
                    days: made.cycle.clone(),
                },
            });
        }
        for shift in self.shifts.iter().filter(|shift| known(shift.after_lock)) {
            let hours = ShiftHours::new(shift.flexible, shift.work, shift.unpaid_break)
                .map_err(|error| CaseError::Shift(self.id.clone(), error))?;
            plan.days.entry(shift.day).or_default().push(Shift {
                name: None,
                from: shift.from,
                to: shift.to,
                hours,
                zone: shift.zone.clone(),
            });
        }
        let holidays = self
            .holidays
            .iter()
            .filter(|holiday| known(holiday.after_lock));
        let leave = self.leave.iter().filter(|leave| known(leave.after_lock));
        Ok(OnRecord {
            punches,
            corrections,
            plan,
            holidays: holidays
                .map(|holiday| Holiday {
                    day: holiday.day,
                    part: holiday.part,
                })
                .collect(),
            leave: leave.map(|leave| leave.leave.clone()).collect(),
        })
    }

    fn correction(&self, of: &CaseCorrection, ids: &mut Ids) -> Result<Correction, CaseError> {
        let id = ids.make(of.id.as_deref());
        let named = |name: &String| {
            let punch = ids.names.get(name).copied();
            punch.ok_or_else(|| CaseError::UnknownPunch(self.id.clone(), name.clone()))
        };
        match (of.add, &of.void, &of.r#move, of.at) {
            (Some(kind), None, None, Some(at)) => Ok(Correction::Add(TimedPunch { id, kind, at })),
            (None, Some(name), None, None) => Ok(Correction::Void {
                punch: named(name)?,
            }),
            (None, None, Some(name), Some(at)) => Ok(Correction::Move {
                punch: named(name)?,
                at,
            }),
            _ => Err(CaseError::Correction(self.id.clone())),
        }
    }

    fn terms<'a>(&'a self, plan: &'a Plan, rules: &'a RuleBook) -> Terms<'a> {
        Terms {
            zone: &self.zone,
            employed: self.employed,
            shifts: &self.shift_kinds,
            plan,
            rules,
        }
    }

    /// Chooses the kinds of punches that do not say, each with what had arrived before it.
    fn directions(
        &self,
        now: &mut OnRecord,
        rules: &RuleBook,
    ) -> Vec<(Timestamp, (PunchKind, KindReason))> {
        let mut directions = Vec::new();
        for (index, punch) in self.punches.iter().enumerate() {
            if punch.kind.is_none() {
                let terms = self.terms(&now.plan, rules);
                let before = &now.punches[..index];
                let answer = direction(before, &now.corrections, terms, punch.at);
                now.punches[index].kind = answer.0;
                directions.push((punch.at, answer));
            }
        }
        directions
    }

    fn derive(&self, record: &OnRecord, rules: &RuleBook) -> Derived {
        let range = self.range();
        let holidays = record.holidays.iter().cloned().collect();
        let calendar = Calendar {
            holidays: &holidays,
            leave: &record.leave,
        };
        let terms = self.terms(&record.plan, rules);
        let long_after = || {
            let end = range.to.saturating_add(jiff::Span::new().days(400));
            let end = end.at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC);
            end.map_or(Timestamp::MAX, |end| end.timestamp())
        };
        let as_of = self.as_of.unwrap_or_else(long_after);
        derive(
            &record.punches,
            &record.corrections,
            terms,
            calendar,
            range,
            as_of,
        )
    }

    /// Returns the dates that the case is about.
    fn range(&self) -> DateRange {
        let zone = self.zone.time_zone();
        let corrected = self
            .corrections
            .iter()
            .filter_map(|correction| correction.at);
        let punched = self.punches.iter().map(|punch| punch.at).chain(corrected);
        let punched = punched.flat_map(|at| {
            let date = zone.to_datetime(at).date();
            [date.yesterday().unwrap_or(date), date]
        });
        let assigned = self.assignments.iter();
        let assigned = assigned
            .flat_map(|made| [Some(made.from), made.to])
            .flatten();
        let mut dates: Vec<_> = punched
            .chain(assigned)
            .chain(self.shifts.iter().map(|shift| shift.day))
            .chain(self.leave.iter().map(|leave| leave.leave.day))
            .chain(self.days.iter().map(|day| day.day))
            .chain(self.weeks.iter().map(|week| week.starts))
            .collect();
        dates.sort_unstable();
        DateRange {
            from: dates.first().copied().unwrap_or(Date::ZERO),
            to: dates.last().copied().unwrap_or(Date::ZERO),
        }
    }

    /// Compares the answer with the one in the case; a figure that the case leaves out is zero.
    pub fn differences(&self, answer: &Answer) -> Vec<String> {
        let mut differences = Vec::new();
        if let Some(expected) = &self.directions {
            let given = answer.directions.iter();
            let given = given.map(|(_, (kind, reason))| format!("{} {reason}", kind.as_str()));
            let given: Vec<_> = given.collect();
            if given != *expected {
                differences.push(format!("directions {given:?}, expected {expected:?}"));
            }
            return differences;
        }
        for expected in &self.days {
            let found = answer.days.iter().find(|day| day.day == expected.day);
            match found {
                Some(day) => expected.compare(day, &mut differences),
                None => differences.push(format!("{}: there is no such day", expected.day)),
            }
        }
        for day in &answer.days {
            if !self.days.iter().any(|expected| expected.day == day.day) {
                let planned = SignedDuration::from_secs(day.planned);
                let empty = CaseDay {
                    day: day.day,
                    bands: BTreeMap::new(),
                    exceptions: Vec::new(),
                    pairs: None,
                    figures: [("planned".to_owned(), planned)].into(),
                };
                empty.compare(day, &mut differences);
            }
        }
        for expected in &self.weeks {
            let found = answer
                .weeks
                .iter()
                .find(|week| week.starts == expected.starts);
            let given = found.map_or((0, 0), |week| (week.worked, week.overtime));
            let wanted = (expected.worked.as_secs(), expected.overtime.as_secs());
            if given != wanted {
                differences.push(format!(
                    "week of {}: worked {} and overtime {}, expected {} and {}",
                    expected.starts,
                    Hours(given.0),
                    Hours(given.1),
                    Hours(wanted.0),
                    Hours(wanted.1)
                ));
            }
        }
        let adjustments = |of: Vec<(String, BTreeMap<String, Seconds>, bool)>| -> Vec<String> {
            let text = |(of, figures, held): (String, BTreeMap<String, Seconds>, bool)| {
                let figures = figures.into_iter();
                let figures = figures.map(|(name, figure)| format!(" {name} {}", Hours(figure)));
                let held = if held { ", held" } else { "" };
                format!("{of}:{}{held}", figures.collect::<String>())
            };
            of.into_iter().map(text).collect()
        };
        let given = answer.adjustments.iter().map(|adjustment| {
            let of = match adjustment.of {
                Adjusted::Day(day) => day.to_string(),
                Adjusted::Week(week) => format!("week of {week}"),
            };
            (of, differences_of(adjustment), adjustment.held)
        });
        let expected = self.adjustments.iter().map(|adjustment| {
            let day = adjustment.day.map(|day| day.to_string());
            let week = adjustment.week.map(|week| format!("week of {week}"));
            let figures = adjustment.figures.iter();
            let figures = figures.map(|(name, figure)| (name.clone(), figure.as_secs()));
            (
                day.or(week).unwrap_or_default(),
                figures.collect(),
                adjustment.held,
            )
        });
        let (given, expected) = (
            adjustments(given.collect()),
            adjustments(expected.collect()),
        );
        if given != expected {
            differences.push(format!("adjustments {given:?}, expected {expected:?}"));
        }
        differences
    }
}

impl CaseDay {
    fn compare(&self, day: &Day, differences: &mut Vec<String>) {
        let mut differ = |name: &str, given: String, expected: String| {
            if given != expected {
                differences.push(format!("{}: {name} {given}, expected {expected}", self.day));
            }
        };
        let hours = |figure: Seconds| Hours(figure).to_string();
        let written = |figure: Option<&SignedDuration>| figure.map(SignedDuration::as_secs);
        for (name, figure) in day.figures() {
            let expected = written(self.figures.get(name));
            // They follow from the others.
            if expected.is_some() || !["due", "balance"].contains(&name) {
                differ(name, hours(figure), hours(expected.unwrap_or_default()));
            }
        }
        for name in self.figures.keys() {
            if !day.figures().iter().any(|(known, _)| known == name) {
                differ(name, "is no figure".to_owned(), String::new());
            }
        }
        for (name, figure) in bands(&day.bands) {
            let expected = written(self.bands.get(name)).unwrap_or_default();
            differ(&format!("band {name}"), hours(figure), hours(expected));
        }
        for name in self
            .bands
            .keys()
            .filter(|name| !day.bands.contains_key(*name))
        {
            differ(
                &format!("band {name}"),
                "is no band".to_owned(),
                String::new(),
            );
        }
        let mut expected = self.exceptions.clone();
        expected.sort_unstable();
        let codes = |of: &[ExceptionCode]| {
            let codes: Vec<_> = of.iter().map(|code| code.as_str()).collect();
            format!("[{}]", codes.join(", "))
        };
        differ("exceptions", codes(&day.exceptions), codes(&expected));
        if let Some(pairs) = &self.pairs {
            let given: Vec<_> = day.spans.iter().map(pair).collect();
            differ("pairs", given.join(" "), pairs.join(" "));
        }
    }
}

/// Writes a span as a case does.
fn pair(span: &DaySpan) -> String {
    let left = span.left.map(|left| left.to_string());
    format!("{}/{}", span.came, left.unwrap_or_default())
}

/// IDs for the names of punches.
#[derive(Default)]
struct Ids {
    names: HashMap<String, PunchId>,
    made: u128,
}

impl Ids {
    fn make(&mut self, name: Option<&str>) -> PunchId {
        self.made += 1;
        let id = PunchId::new(Uuid::from_u128(self.made));
        if let Some(name) = name {
            self.names.insert(name.to_owned(), id);
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_makes_no_sense_is_refused() {
        let case = |fields: &str| {
            let text = format!("[[case]]\nid = \"x\"\nabout = \"y\"\nzone = \"UTC\"\n{fields}");
            read(&text)
                .map_err(|error| error.to_string())
                .and_then(|cases| cases[0].answer().map_err(|error| error.to_string()))
        };
        assert!(case("punches = []").is_ok());
        for (fields, message) in [
            ("punch = []", "unknown field"),
            ("punches = [{ kind = \"in\" }]", "missing field `at`"),
            ("corrections = [{ void = \"p\" }]", "no punch has the ID p"),
            ("corrections = [{ add = \"in\" }]", "a correction is"),
            (
                "assignments = [{ from = \"2026-03-02\", starts = \"2026-03-02\", cycle = [\"E\"] }]",
                "no shift is called E",
            ),
            (
                "shifts = [{ day = \"2026-03-02\", from = \"08:00\", to = \"09:00\", flexible = true }]",
                "needs work",
            ),
        ] {
            let refused = case(fields).unwrap_err();
            assert!(refused.contains(message), "{fields}: {refused}");
        }
    }
}
