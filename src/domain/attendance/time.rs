//! Time as the calculation uses it: whole seconds, times of day, lengths and dates.

use std::{fmt, str::FromStr};

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime, Time},
    tz::{Offset, TimeZone},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Seconds: a figure, or an instant counted from the Unix epoch.
pub type Seconds = i64;

/// Seconds of an hour.
pub(super) const HOUR: Seconds = 3600;

/// Returns the whole second of an instant: the rest is cut off, also before 1970.
pub(super) fn whole_second(at: Timestamp) -> Seconds {
    at.as_second() - Seconds::from(at.subsec_nanosecond() < 0)
}

/// Returns the instant of a whole second; the last possible one where there is none.
pub(super) fn timestamp(at: Seconds) -> Timestamp {
    Timestamp::from_second(at).unwrap_or(if at < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// Reads a wall clock as RFC 5545 does: in a gap the time moves forward by the length of the gap,
/// in a fold it is the first of the two.
pub(super) fn instant(zone: &TimeZone, clock: DateTime) -> Seconds {
    let read = zone.to_ambiguous_timestamp(clock).compatible();
    read.map_or(Timestamp::MAX, |at| at).as_second()
}

/// Returns the date that a calendar in the zone shows.
pub(super) fn local_date(zone: &TimeZone, at: Seconds) -> Date {
    zone.to_datetime(timestamp(at)).date()
}

/// Returns the next date; the last possible one stays.
pub(super) fn next_date(date: Date) -> Date {
    date.tomorrow().unwrap_or(date)
}

/// Returns the date some days later, within the possible ones and at most 10,000 days away.
pub(super) fn shifted(date: Date, days: i64) -> Date {
    date.saturating_add(jiff::Span::new().days(days.clamp(-10_000, 10_000)))
}

/// Returns the dates from one to another, both included.
pub(super) fn dates(from: Date, to: Date) -> impl Iterator<Item = Date> {
    let all = std::iter::successors(Some(from), |date| date.tomorrow().ok());
    all.take_while(move |date| *date <= to)
}

/// Returns the number of days from one date to another.
pub(super) fn days_between(from: Date, to: Date) -> i64 {
    i64::from((to - from).get_days())
}

/// A time of day in whole seconds, from 00:00 to `LAST` seconds later. As text `22:00`, with
/// seconds only where there are any.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay<const LAST: u32>(u32);

/// A time of day at which something begins, before 24:00.
pub type StartTime = TimeOfDay<86_399>;

impl From<Time> for StartTime {
    fn from(time: Time) -> Self {
        let [hours, minutes, seconds] =
            [time.hour(), time.minute(), time.second()].map(|part| u32::from(part.unsigned_abs()));
        Self(hours * 3600 + minutes * 60 + seconds)
    }
}

/// A time of day at which something ends; 24:00 is midnight at the end of the date.
pub type EndTime = TimeOfDay<86_400>;

/// The error for a text that is not a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a time of day such as 08:30; only an end can be 24:00")]
pub struct InvalidTimeOfDay;

impl<const LAST: u32> TimeOfDay<LAST> {
    /// Returns the time, or the last possible one if it is later than that.
    pub const fn at(hour: u32, minute: u32) -> Self {
        let seconds = hour * 3600 + minute * 60;
        Self(if seconds > LAST { LAST } else { seconds })
    }

    /// Returns the seconds since 00:00 by the clock.
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// Returns the wall clock that shows this time of a date; 24:00 is 00:00 of the next.
    pub fn on(self, date: Date) -> DateTime {
        if self.0 >= 86_400 {
            return next_date(date).to_datetime(Time::midnight());
        }
        // Each part is within its range, because the whole is less than a day.
        let part = |seconds: u32| i8::try_from(seconds).unwrap_or_default();
        date.at(
            part(self.0 / 3600),
            part(self.0 / 60 % 60),
            part(self.0 % 60),
            0,
        )
    }
}

impl<const LAST: u32> FromStr for TimeOfDay<LAST> {
    type Err = InvalidTimeOfDay;

    fn from_str(text: &str) -> Result<Self, InvalidTimeOfDay> {
        let mut seconds = 0;
        let mut parts = 0;
        for part in text.split(':') {
            let valid = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            let value: u32 = part.parse().map_err(|_| InvalidTimeOfDay)?;
            if !valid || (parts > 0 && value > 59) {
                return Err(InvalidTimeOfDay);
            }
            seconds = seconds * 60 + value;
            parts += 1;
        }
        match parts {
            2 => seconds *= 60,
            3 => {}
            _ => return Err(InvalidTimeOfDay),
        }
        (seconds <= LAST)
            .then_some(Self(seconds))
            .ok_or(InvalidTimeOfDay)
    }
}

impl<const LAST: u32> fmt::Display for TimeOfDay<LAST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 3600, self.0 / 60 % 60)?;
        match self.0 % 60 {
            0 => Ok(()),
            seconds => write!(f, ":{seconds:02}"),
        }
    }
}

impl<const LAST: u32> fmt::Debug for TimeOfDay<LAST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const LAST: u32> Serialize for TimeOfDay<LAST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const LAST: u32> Deserialize<'de> for TimeOfDay<LAST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A length of time in a rule or a plan: whole seconds, not negative, at most a year. As text
/// `8h30m`; every spelling that `jiff` calls friendly is read, and ISO 8601 too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Length(Seconds);

/// The error for a text that is not a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a length of time such as 8h30m or 45m, in whole seconds")]
pub struct InvalidLength;

impl Length {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest length.
    const MAX: Seconds = 366 * 24 * HOUR;

    /// Returns a number of hours; at most a year.
    pub const fn hours(hours: u16) -> Self {
        let seconds = hours as Seconds * HOUR;
        Self(if seconds > Self::MAX {
            Self::MAX
        } else {
            seconds
        })
    }

    /// Returns a number of minutes.
    pub const fn minutes(minutes: u16) -> Self {
        Self(minutes as Seconds * 60)
    }

    /// Returns the length, unless it is negative or longer than a year.
    pub fn from_seconds(seconds: Seconds) -> Result<Self, InvalidLength> {
        let valid = (0..=Self::MAX).contains(&seconds);
        valid.then_some(Self(seconds)).ok_or(InvalidLength)
    }

    /// Returns the seconds.
    pub const fn seconds(self) -> Seconds {
        self.0
    }
}

impl FromStr for Length {
    type Err = InvalidLength;

    fn from_str(text: &str) -> Result<Self, InvalidLength> {
        let length: SignedDuration = text.parse().map_err(|_| InvalidLength)?;
        if length.subsec_nanos() != 0 {
            return Err(InvalidLength);
        }
        Self::from_seconds(length.as_secs())
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hours(self.0).fmt(f)
    }
}

impl fmt::Debug for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hours(self.0).fmt(f)
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Writes seconds as `8h30m`, `-20s` or `0s`.
#[derive(Debug, Clone, Copy)]
pub struct Hours(pub Seconds);

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let seconds = self.0.unsigned_abs();
        let parts = [
            (seconds / 3600, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
        ];
        for (value, unit) in parts {
            if value > 0 {
                write!(f, "{value}{unit}")?;
            }
        }
        Ok(())
    }
}

/// An instant with the offset of the wall clock that shows it. As text RFC 3339:
/// `2026-03-02T08:00:00+01:00`. Displayed as the clock shows it: `08:00`, with seconds only where
/// there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallTime {
    /// The instant.
    pub at: Timestamp,
    /// The offset from UTC.
    pub offset: Offset,
}

impl WallTime {
    /// Returns an instant as the clock of a zone shows it.
    pub(super) fn new(zone: &TimeZone, at: Seconds) -> Self {
        let at = timestamp(at);
        let offset = zone.to_offset(at);
        Self { at, offset }
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = self.offset.to_datetime(self.at);
        write!(f, "{:02}:{:02}", clock.hour(), clock.minute())?;
        match clock.second() {
            0 => Ok(()),
            second => write!(f, ":{second:02}"),
        }
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.at.display_with_offset(self.offset))
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at = text.parse().map_err(de::Error::custom)?;
        let pieces = jiff::fmt::temporal::Pieces::parse(&text).map_err(de::Error::custom)?;
        let offset = pieces.to_numeric_offset().unwrap_or(Offset::UTC);
        Ok(Self { at, offset })
    }
}

/// The dates from one to another, both included. If the last is before the first, there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateRange {
    /// The first date.
    pub from: Date,
    /// The last date.
    pub to: Date,
}

impl DateRange {
    /// Returns whether the date is one of them.
    pub fn contains(self, date: Date) -> bool {
        (self.from..=self.to).contains(&date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_read_and_written_and_only_an_end_is_24_00() {
        for text in ["00:00", "08:30", "23:59:59"] {
            assert_eq!(text.parse::<StartTime>().unwrap().to_string(), text);
            assert_eq!(text.parse::<EndTime>().unwrap().to_string(), text);
        }
        assert_eq!("24:00".parse::<EndTime>().unwrap(), EndTime::at(24, 0));
        assert!("24:00".parse::<StartTime>().is_err());
        for text in [
            "",
            "8:00",
            "08",
            "08:60",
            "08:00:60",
            "25:00",
            "24:00:01",
            "+8:00",
            "08:00:00:00",
        ] {
            assert_eq!(text.parse::<EndTime>(), Err(InvalidTimeOfDay), "{text}");
        }
    }

    #[test]
    fn a_length_is_written_as_it_is_read_and_is_never_negative() {
        for text in ["0s", "45m", "8h30m", "16h", "1s", "100h0m1s"] {
            let length: Length = text.parse().unwrap();
            assert_eq!(
                length.to_string().parse::<Length>().unwrap(),
                length,
                "{text}"
            );
        }
        assert_eq!("PT8H30M".parse::<Length>().unwrap().to_string(), "8h30m");
        for text in ["", "-1s", "1.5s", "8", "9000h", "one hour"] {
            assert_eq!(text.parse::<Length>(), Err(InvalidLength), "{text}");
        }
    }

    #[test]
    fn parts_of_a_second_are_cut_off_before_1970_too() {
        let second = |text: &str| whole_second(text.parse().unwrap());
        assert_eq!(second("1970-01-01T00:00:01.9Z"), 1);
        assert_eq!(second("1969-12-31T23:59:58.1Z"), -2);
    }

    #[test]
    fn a_wall_time_keeps_its_offset() {
        let json = r#""2026-03-02T08:00:00+05:30""#;
        let time: WallTime = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&time).unwrap(), json);
        assert_eq!(time.to_string(), "08:00");
    }
}
