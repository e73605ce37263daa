//! The rules of a site or a group: how punches count. The defaults are the mildest that make sense
//! anywhere; [`presets`](super::presets) offers more for some countries.

use jiff::civil::{Date, Time, Weekday};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::time::{EndTime, Length, Seconds, StartTime};

/// The rules that hold on a workday. In JSON, lengths are texts such as `5m`, times of day such as
/// `04:00`; what is left out has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// The time of day at which a workday begins.
    pub cut_off: StartTime,
    /// How long before its start, and after its end, a shift may own a punch.
    pub reach: Length,
    /// The longest time from an in to its out, with a shift.
    pub longest: Length,
    /// The longest time from an in to its out, without a shift.
    pub longest_unplanned: Length,
    /// How late is not reported; whole minutes.
    #[serde(deserialize_with = "whole_minutes")]
    pub grace_late: Length,
    /// How early is not reported; whole minutes.
    #[serde(deserialize_with = "whole_minutes")]
    pub grace_early: Length,
    /// Whether time before the first due instant is cut off.
    pub clip: bool,
    /// Whether and how time is rounded.
    pub rounding: Option<Rounding>,
    /// Which breaks the law or a contract asks for.
    pub breaks: Option<BreakRule>,
    /// Which breaks are paid.
    pub paid_breaks: Option<PaidBreaks>,
    /// From where on worked time is overtime of the day.
    pub overtime_day: DayThreshold,
    /// From where on worked time is overtime of the week.
    #[serde(deserialize_with = "length_or_none")]
    pub overtime_week: Option<Length>,
    /// The least overtime of a day; less than it is none.
    pub overtime_min: Length,
    /// Windows of the clock for which payroll needs its own figures.
    pub bands: Vec<Band>,
    /// The first day of a week.
    #[serde(serialize_with = "write_weekday", deserialize_with = "read_weekday")]
    pub week_starts: Weekday,
    /// The most work of a day that is not reported as long.
    #[serde(deserialize_with = "length_or_none")]
    pub max_day: Option<Length>,
    /// The least rest between workdays that is not reported as short.
    #[serde(deserialize_with = "length_or_none")]
    pub min_rest: Option<Length>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            cut_off: StartTime::at(4, 0),
            reach: Length::hours(4),
            longest: Length::hours(16),
            longest_unplanned: Length::hours(13),
            grace_late: Length::ZERO,
            grace_early: Length::ZERO,
            clip: false,
            rounding: None,
            breaks: None,
            paid_breaks: None,
            overtime_day: DayThreshold::Plan,
            overtime_week: None,
            overtime_min: Length::ZERO,
            bands: Vec::new(),
            week_starts: Weekday::Monday,
            max_day: None,
            min_rest: None,
        }
    }
}

impl Rules {
    /// Returns the rules of a site where nobody has set others: the defaults, with the time of day
    /// at which its workdays begin.
    pub fn starting_at(workday_starts: Time) -> Self {
        Self {
            cut_off: workday_starts.into(),
            ..Self::default()
        }
    }
}

/// How time is rounded. No mode favors the employer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounding {
    /// What is rounded.
    pub of: Rounded,
    /// The step.
    pub to: RoundingStep,
    /// The direction.
    pub mode: RoundingMode,
}

/// What is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounded {
    /// The first in and the last out of a workday.
    Punch,
    /// The worked time of a workday.
    Day,
}

/// The step of a rounding. Each divides half an hour, so that the grid survives a change of clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoundingStep {
    /// Five minutes.
    #[serde(rename = "5m")]
    Five,
    /// A tenth of an hour.
    #[serde(rename = "6m")]
    Six,
    /// Ten minutes.
    #[serde(rename = "10m")]
    Ten,
    /// A quarter of an hour.
    #[serde(rename = "15m")]
    Fifteen,
}

impl RoundingStep {
    /// Returns the length of the step.
    pub fn seconds(self) -> Seconds {
        60 * match self {
            Self::Five => 5,
            Self::Six => 6,
            Self::Ten => 10,
            Self::Fifteen => 15,
        }
    }
}

/// The direction of a rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundingMode {
    /// To the nearest step; half a step favors the employee.
    Nearest,
    /// Always in favor of the employee.
    Employee,
}

/// Which breaks are asked for, and what happens without them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakRule {
    /// What happens without them.
    pub mode: BreakMode,
    /// How much break which hours ask for. The order does not matter.
    pub steps: Vec<BreakStep>,
    /// The least length of a break that counts when breaks are watched.
    #[serde(default = "quarter")]
    pub piece: Length,
}

fn quarter() -> Length {
    Length::minutes(15)
}

/// What happens if a break was too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakMode {
    /// What is missing is deducted.
    Deduct,
    /// The day gets an exception.
    Warn,
}

/// A step of a break rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakStep {
    /// More work than this asks for a break.
    pub after: Length,
    /// All breaks of the day together.
    pub total: Length,
}

/// Which breaks are paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaidBreaks {
    /// The longest break that is paid; a longer one is not paid at all.
    pub up_to: Length,
    /// The most that is paid in a day; without it, no limit.
    #[serde(default, deserialize_with = "length_or_none")]
    pub total: Option<Length>,
}

/// From where on worked time is overtime of the day. As text `plan`, `none` or a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayThreshold {
    /// What was due.
    Plan,
    /// A fixed length.
    Fixed(Length),
    /// There is no overtime of a day.
    None,
}

impl Serialize for DayThreshold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plan => serializer.serialize_str("plan"),
            Self::Fixed(length) => length.serialize(serializer),
            Self::None => serializer.serialize_str("none"),
        }
    }
}

impl<'de> Deserialize<'de> for DayThreshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "plan" => Ok(Self::Plan),
            "none" => Ok(Self::None),
            text => text.parse().map(Self::Fixed).map_err(|_| {
                de::Error::custom("must be plan, none, or a length of time such as 8h")
            }),
        }
    }
}

/// A window of the wall clock for which payroll needs its own figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// The name of the figure. Bands with one name share a figure, in which time counts once.
    pub name: String,
    /// When the window opens.
    pub from: StartTime,
    /// When it closes; on the next date if that is not later than `from`.
    pub to: EndTime,
    /// The days on which it opens; without any, every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<BandDay>,
}

/// A day on which a band opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names of weekdays say it")]
pub enum BandDay {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
    /// A whole holiday.
    Holiday,
}

impl BandDay {
    /// Returns whether a date is such a day.
    pub fn is(self, date: Date, holiday: bool) -> bool {
        let weekday = match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
            Self::Holiday => return holiday,
        };
        date.weekday() == weekday
    }
}

/// The names of weekdays, from Monday on.
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn write_weekday<S: Serializer>(day: &Weekday, serializer: S) -> Result<S::Ok, S::Error> {
    let index = day.to_monday_zero_offset().unsigned_abs();
    serializer.serialize_str(WEEKDAYS[usize::from(index)])
}

fn read_weekday<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Weekday, D::Error> {
    let text = String::deserialize(deserializer)?;
    let index = (0i8..7).zip(WEEKDAYS).find(|(_, name)| *name == text);
    let day = index.and_then(|(index, _)| Weekday::from_monday_zero_offset(index).ok());
    day.ok_or_else(|| de::Error::custom("must be mon, tue, wed, thu, fri, sat or sun"))
}

/// Reads a length of whole minutes.
fn whole_minutes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Length, D::Error> {
    let length = Length::deserialize(deserializer)?;
    if length.seconds() % 60 != 0 {
        return Err(de::Error::custom("must be whole minutes such as 5m"));
    }
    Ok(length)
}

/// Reads a length, or `none`.
fn length_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Length>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("none") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(de::Error::custom),
    }
}

/// Rules over time. A change never affects workdays before its date.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleBook {
    first: Rules,
    later: Vec<(Date, Rules)>,
}

impl RuleBook {
    /// Returns the rules that hold from a date on after others; of two changes at one date, the
    /// last given holds.
    pub fn new(first: Rules, mut later: Vec<(Date, Rules)>) -> Self {
        later.sort_by_key(|(from, _)| *from);
        Self { first, later }
    }

    /// Returns the rules of a workday.
    pub fn at(&self, day: Date) -> &Rules {
        let index = self.later.partition_point(|(from, _)| *from <= day);
        match index.checked_sub(1) {
            None => &self.first,
            Some(index) => &self.later[index].1,
        }
    }

    /// Returns the first day of the week of a workday. Where another first day of the week begins
    /// to hold, two weeks are shorter, and every workday is in one.
    pub fn week_of(&self, day: Date) -> Date {
        let starts = self.at(day).week_starts;
        super::time::shifted(day, -i64::from(starts.until(day.weekday())))
    }
}

impl From<Rules> for RuleBook {
    fn from(rules: Rules) -> Self {
        Self::new(rules, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn rules_are_the_same_after_writing_and_reading() {
        let text = r#"{"cut_off": "05:30", "grace_late": "5m", "overtime_day": "7h36m",
            "overtime_week": "40h", "week_starts": "sun", "max_day": "none",
            "rounding": {"of": "punch", "to": "6m", "mode": "employee"},
            "breaks": {"mode": "deduct", "steps": [{"after": "6h", "total": "30m"}]},
            "bands": [{"name": "holiday", "from": "00:00", "to": "24:00", "days": ["holiday"]}]}"#;
        let rules: Rules = serde_json::from_str(text).unwrap();
        assert_eq!(rules.week_starts, Weekday::Sunday);
        assert_eq!(rules.breaks.as_ref().unwrap().piece, Length::minutes(15));
        let written = serde_json::to_string(&rules).unwrap();
        assert_eq!(serde_json::from_str::<Rules>(&written).unwrap(), rules);
        assert_eq!(
            serde_json::from_str::<Rules>("{}").unwrap(),
            Rules::default()
        );
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        for text in [
            r#"{"grace_late": "90s"}"#,
            r#"{"grace": "5m"}"#,
            r#"{"rounding": {"of": "punch", "to": "7m", "mode": "nearest"}}"#,
            r#"{"rounding": {"of": "punch", "to": "5m", "mode": "employer"}}"#,
            r#"{"week_starts": "monday"}"#,
            r#"{"max_day": "-1h"}"#,
            r#"{"overtime_day": "sometimes"}"#,
            r#"{"cut_off": "24:00"}"#,
        ] {
            assert!(serde_json::from_str::<Rules>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_change_never_affects_days_before_it_and_no_day_is_in_two_weeks() {
        let sunday = Rules {
            week_starts: Weekday::Sunday,
            ..Rules::default()
        };
        let book = RuleBook::new(Rules::default(), vec![(date(2026, 3, 11), sunday)]);
        assert_eq!(book.at(date(2026, 3, 10)).week_starts, Weekday::Monday);
        assert_eq!(book.at(date(2026, 3, 11)).week_starts, Weekday::Sunday);
        assert_eq!(book.week_of(date(2026, 3, 8)), date(2026, 3, 2));
        assert_eq!(book.week_of(date(2026, 3, 10)), date(2026, 3, 9));
        assert_eq!(book.week_of(date(2026, 3, 11)), date(2026, 3, 8));
        assert_eq!(book.week_of(date(2026, 3, 15)), date(2026, 3, 15));
    }
}
