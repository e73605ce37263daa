//! Reads the cells of a row as spreadsheets write them.

use std::fmt::Display;

use jiff::civil::{Date, Time};

use super::super::jobs::list::{self, Fields};
use crate::domain::attendance::{Length, time::Seconds};

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowError {
    /// The line of the row, from 1.
    pub line: u64,
    /// The column; `None` if it is the row as a whole.
    pub column: Option<&'static str>,
    /// What is wrong.
    pub reason: String,
}

/// The cells of a row, and the errors of all rows.
#[derive(derive_new::new)]
pub(super) struct Cells<'a> {
    line: u64,
    fields: &'a Fields,
    errors: &'a mut Vec<RowError>,
}

impl<'a> Cells<'a> {
    /// Checks whether a cell has no text.
    pub(super) fn is_empty(&self, column: &str) -> bool {
        self.fields.get(column).is_empty()
    }

    /// Adds an error of a cell.
    pub(super) fn refuse(&mut self, column: &'static str, reason: impl Display) {
        self.errors.push(RowError {
            line: self.line,
            column: Some(column),
            reason: reason.to_string(),
        });
    }

    /// Parses a cell that must have a text. Adds an error and returns `None` if it is not valid.
    pub(super) fn required<T, E: Display>(
        &mut self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.is_empty(column) {
            self.refuse(column, "must not be empty");
            return None;
        }
        self.optional(column, parse)
    }

    /// Parses a cell that may be empty. Adds an error and returns `None` if it is not valid.
    pub(super) fn optional<T, E: Display>(
        &mut self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.fields.get(column);
        if text.is_empty() {
            return None;
        }
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(column, error);
                None
            }
        }
    }

    /// Parses two dates, of which the first is required and the second is not before it.
    pub(super) fn dates(&mut self) -> Option<(Date, Option<Date>)> {
        let from = self.required("from", list::date);
        let to = self.optional("to", list::date);
        if let (Some(from), Some(to)) = (from, to)
            && to < from
        {
            self.refuse("to", "must not be before from");
        }
        Some((from?, to))
    }
}

/// Parses a time of the day: `8:00`, `08:00` or `08:00:00`.
pub(super) fn time(text: &str) -> Result<Time, &'static str> {
    let formats = ["%H:%M", "%H:%M:%S"];
    let times = formats.map(|format| Time::strptime(format, text).ok());
    let time = times.into_iter().flatten().next();
    time.ok_or("must be a time of the day such as 08:00")
}

/// Parses a length: `30m`, `0:30` or `8h`.
pub(super) fn length(text: &str) -> Result<Length, &'static str> {
    let clock = || hours_and_minutes(text).and_then(|seconds| Length::from_seconds(seconds).ok());
    let length = text.parse().ok().or_else(clock);
    length.ok_or("must be a length such as 30m or 0:30")
}

/// Parses hours with a sign: `12:30`, `-3.25` or `3,25`.
pub(super) fn hours(text: &str) -> Result<Seconds, &'static str> {
    let (sign, digits) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let decimal = || {
        let number = digits.replace(',', ".");
        let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
        let number: f64 = number.parse().ok().filter(|_| plain)?;
        // Far below where a cast loses anything.
        (number <= 1e6).then(|| (number * 3600.0).round() as Seconds)
    };
    let seconds = hours_and_minutes(digits).or_else(decimal);
    let seconds = seconds.ok_or("must be hours such as 12:30, 12.5 or -3")?;
    Ok(sign * seconds)
}

fn hours_and_minutes(text: &str) -> Option<Seconds> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.len() <= 6;
        let digits = digits && text.chars().all(|c| c.is_ascii_digit());
        text.parse::<Seconds>().ok().filter(|_| digits)
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60).then_some(hours * 3600 + minutes * 60)
}

/// Parses yes or no.
pub(super) fn yes(text: &str) -> Result<bool, &'static str> {
    match text.to_lowercase().as_str() {
        "yes" | "true" | "1" | "x" => Ok(true),
        "no" | "false" | "0" => Ok(false),
        _ => Err("must be yes or no"),
    }
}

/// Returns one of some values by its word.
pub(super) fn word<T: Copy>(
    text: &str,
    values: impl IntoIterator<Item = T>,
    word: impl Fn(T) -> &'static str,
) -> Result<T, String> {
    let mut words = Vec::new();
    for value in values {
        if text.eq_ignore_ascii_case(word(value)) {
            return Ok(value);
        }
        words.push(word(value));
    }
    Err(format!("must be one of {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_as_spreadsheets_write_them() {
        for (text, expected) in [
            ("12:30", Some(45_000)),
            ("-3:15", Some(-11_700)),
            ("\u{2212}3", Some(-10_800)),
            ("+0,25", Some(900)),
            ("12.5", Some(45_000)),
            ("0", Some(0)),
            ("1:60", None),
            ("1.2.3", None),
            ("1e3", None),
            ("--1", None),
            ("eight", None),
            (":", None),
        ] {
            assert_eq!(hours(text).ok(), expected, "{text}");
        }
        assert_eq!(length("0:30"), length("30m"));
        assert!(length("-0:30").is_err());
        assert_eq!(time("8:05"), time("08:05:00"));
        assert!(time("24:00").is_err());
    }
}
