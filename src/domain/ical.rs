//! iCalendar (RFC 5545): writes events, and reads the whole days of a file.
//!
//! The crates for it count characters instead of octets where they fold lines, and do not say which
//! line of a file is wrong.

use std::{collections::BTreeMap, fmt::Write};

use jiff::{Timestamp, civil::Date};

/// The most octets of a line, without its end.
const LINE_MOST: usize = 75;

/// An event to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The ID, which stays the same as long as the event is the same.
    pub uid: String,
    /// When it is.
    pub time: EventTime,
    /// What it is.
    pub summary: String,
}

/// When an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventTime {
    /// From one instant until another.
    Instants(Timestamp, Timestamp),
    /// Whole days, both included.
    Days(Date, Date),
}

/// Writes a calendar. `stamp` is when it is written.
pub fn write(name: &str, events: &[Event], stamp: Timestamp) -> String {
    let mut text = String::new();
    let mut line = |content: &str| fold(content, &mut text);
    line("BEGIN:VCALENDAR");
    line("VERSION:2.0");
    line("PRODID:-//Rollcall//Rollcall//EN");
    line("METHOD:PUBLISH");
    line(&format!("X-WR-CALNAME:{}", escape(name)));
    for event in events {
        line("BEGIN:VEVENT");
        line(&format!("UID:{}", escape(&event.uid)));
        line(&format!("DTSTAMP:{}", instant(stamp)));
        match event.time {
            EventTime::Instants(from, to) => {
                line(&format!("DTSTART:{}", instant(from)));
                line(&format!("DTEND:{}", instant(to)));
            }
            EventTime::Days(from, to) => {
                // The end is the first day after the event.
                let after = to.tomorrow().unwrap_or(to);
                line(&format!("DTSTART;VALUE=DATE:{}", from.strftime("%Y%m%d")));
                line(&format!("DTEND;VALUE=DATE:{}", after.strftime("%Y%m%d")));
                line("TRANSP:TRANSPARENT");
            }
        }
        line(&format!("SUMMARY:{}", escape(&event.summary)));
        line("END:VEVENT");
    }
    line("END:VCALENDAR");
    text
}

fn instant(at: Timestamp) -> impl std::fmt::Display {
    at.strftime("%Y%m%dT%H%M%SZ")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// Adds a line, in pieces that do not split a character. Each piece after the first begins with a
/// space.
fn fold(mut line: &str, text: &mut String) {
    let mut room = LINE_MOST;
    loop {
        let mut ends = (0..=room.min(line.len())).rev();
        let end = ends.find(|end| line.is_char_boundary(*end));
        let (piece, rest) = line.split_at(end.unwrap_or_default());
        // Writing to a text cannot fail.
        let _ = write!(text, "{piece}\r\n");
        if rest.is_empty() {
            return;
        }
        text.push(' ');
        (line, room) = (rest, LINE_MOST - 1);
    }
}

/// What is wrong with a line of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {reason}")]
pub struct BadLine {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A property of a component, with the line on which it begins.
struct Property {
    line: usize,
    name: String,
    value: String,
}

/// An event that is read.
#[derive(Default)]
struct Draft {
    line: usize,
    start: Option<Date>,
    end: Option<Date>,
    days: Option<i32>,
    summary: Option<String>,
    cancelled: bool,
}

/// The most days that an event may last.
const DAYS_MOST: i32 = 366;

/// Returns the whole days of the events of a file, with their names. Several events on one day have
/// their names joined. Cancelled events are left out.
///
/// # Errors
/// The first line that is wrong, or that says something which would be lost.
pub fn read_days(text: &str) -> Result<BTreeMap<Date, String>, BadLine> {
    let mut days = BTreeMap::<Date, String>::new();
    let mut open: Vec<String> = Vec::new();
    let mut draft = Draft::default();
    let mut last = 1;
    for property in properties(text)? {
        let Property { line, name, value } = property;
        let bad = |reason| BadLine { line, reason };
        last = line;
        match name.as_str() {
            "BEGIN" => {
                if open.is_empty() && value != "VCALENDAR" {
                    return Err(bad("must be BEGIN:VCALENDAR: export the calendar as .ics"));
                }
                if value == "VEVENT" {
                    draft = Draft {
                        line,
                        ..Draft::default()
                    };
                }
                open.push(value);
            }
            "END" => {
                if open.pop().as_deref() != Some(value.as_str()) {
                    return Err(bad("ends something that did not begin"));
                }
                if value == "VEVENT" {
                    finish(std::mem::take(&mut draft), &mut days)?;
                }
            }
            _ if open.is_empty() => return Err(bad("is outside of the calendar")),
            _ if open.last().is_none_or(|inner| inner != "VEVENT") => {}
            "DTSTART" => draft.start = Some(day(&value).ok_or(bad(NOT_A_DAY))?),
            "DTEND" => draft.end = Some(day(&value).ok_or(bad(NOT_A_DAY))?),
            "DURATION" => draft.days = Some(length(&value).ok_or(bad(NOT_A_DAY))?),
            "RRULE" | "RDATE" => {
                return Err(bad("repeats the event: export an event for each date"));
            }
            "STATUS" => draft.cancelled = value == "CANCELLED",
            "SUMMARY" => draft.summary = Some(unescape(&value)),
            _ => {}
        }
    }
    match open.is_empty() {
        true if last > 1 => Ok(days),
        true => Err(BadLine {
            line: 1,
            reason: "must be BEGIN:VCALENDAR: export the calendar as .ics",
        }),
        false => Err(BadLine {
            line: last,
            reason: "is the last one, but the calendar does not end: the file was cut off",
        }),
    }
}

const NOT_A_DAY: &str = "must be a whole day, such as 20261225";

/// Adds the days of an event.
fn finish(draft: Draft, days: &mut BTreeMap<Date, String>) -> Result<(), BadLine> {
    let bad = |reason| BadLine {
        line: draft.line,
        reason,
    };
    if draft.cancelled {
        return Ok(());
    }
    let start = draft.start.ok_or(bad("begins an event without DTSTART"))?;
    let name = draft.summary.unwrap_or_default();
    if name.trim().is_empty() {
        return Err(bad("begins an event without a name (SUMMARY)"));
    }
    // Some programs write an end that is the start.
    let until_end = draft.end.map(|end| (end - start).get_days().max(1));
    let count = until_end.or(draft.days).unwrap_or(1);
    let backwards = draft.end.is_some_and(|end| end < start);
    if backwards || !(1..=DAYS_MOST).contains(&count) {
        return Err(bad(
            "begins an event that ends before it starts, or lasts too long",
        ));
    }
    let all = start.series(jiff::Span::new().days(1));
    for day in all.take(usize::try_from(count).unwrap_or_default()) {
        match days.get_mut(&day) {
            // More names are refused later; until then they cost nothing.
            Some(names) if names.len() > NAMES_MOST => {}
            Some(names) if names.split(" / ").any(|other| other == name) => {}
            Some(names) => {
                names.push_str(" / ");
                names.push_str(&name);
            }
            None => drop(days.insert(day, name.clone())),
        }
    }
    Ok(())
}

/// The most bytes of the names of a day that are put together.
const NAMES_MOST: usize = 4 * 64;

/// Returns the properties of a file, whose lines may be folded.
fn properties(text: &str) -> Result<Vec<Property>, BadLine> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(more), Some((_, folded))) => folded.push_str(more),
            _ => lines.push((number, line.trim_end().to_owned())),
        }
    }
    lines.retain(|(_, line)| !line.is_empty());
    let properties = lines.into_iter().map(|(line, content)| {
        let mut quoted = false;
        let colon = content.find(|c: char| {
            quoted ^= c == '"';
            c == ':' && !quoted
        });
        let colon = colon.ok_or(BadLine {
            line,
            reason: "must have a name and a value with a colon between them",
        })?;
        let (name, value) = content.split_at(colon);
        let name = name.split(';').next().unwrap_or_default();
        let (name, value) = (name.trim().to_uppercase(), value[1..].trim());
        let value = match name.as_str() {
            "SUMMARY" => value.to_owned(),
            _ => value.to_uppercase(),
        };
        Ok(Property { line, name, value })
    });
    properties.collect()
}

/// Reads a date such as 20261225.
fn day(value: &str) -> Option<Date> {
    let digits = value.len() == 8 && value.bytes().all(|byte| byte.is_ascii_digit());
    let date = digits.then(|| Date::strptime("%Y%m%d", value).ok());
    date.flatten()
        .filter(|date| (1900..9000).contains(&date.year()))
}

/// Reads a length of whole days, such as P1D or P2W.
fn length(value: &str) -> Option<i32> {
    let value = value.strip_prefix('P')?;
    let (number, of) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let number: u16 = number.parse().ok()?;
    match of {
        "D" => Some(number.into()),
        "W" => Some(i32::from(number) * 7),
        _ => None,
    }
}

fn unescape(text: &str) -> String {
    let (mut plain, mut escaped) = (String::new(), false);
    for c in text.chars() {
        match (escaped, c) {
            (false, '\\') => escaped = true,
            (true, 'n' | 'N') => {
                plain.push(' ');
                escaped = false;
            }
            (_, c) => {
                plain.push(c);
                escaped = false;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn lines_are_folded_by_octets_and_texts_escaped() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let summary = format!("Früh; \\ {}, Ende\nx", "ü".repeat(60));
        let events = [
            Event {
                uid: "one@rollcall".to_owned(),
                time: EventTime::Instants(at("2026-03-29T00:30:00Z"), at("2026-03-29T06:00:00Z")),
                summary: summary.clone(),
            },
            Event {
                uid: "two@rollcall".to_owned(),
                time: EventTime::Days(date(2026, 12, 30), date(2026, 12, 31)),
                summary: "Vacation".to_owned(),
            },
        ];
        let text = write("Ann", &events, at("2026-03-01T12:00:00.5Z"));
        assert!(
            text.starts_with("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n"),
            "{text}"
        );
        assert!(text.contains("DTSTAMP:20260301T120000Z\r\nDTSTART:20260329T003000Z\r\n"));
        assert!(text.contains("DTSTART;VALUE=DATE:20261230\r\nDTEND;VALUE=DATE:20270101\r\n"));
        assert!(
            text.split("\r\n").all(|line| line.len() <= LINE_MOST),
            "{text}"
        );
        assert!(
            text.split("\r\n").any(|line| line.len() == LINE_MOST),
            "{text}"
        );
        let unfolded = text.replace("\r\n ", "");
        let escaped = unfolded
            .lines()
            .find_map(|line| line.strip_prefix("SUMMARY:"));
        assert_eq!(
            escaped.unwrap(),
            summary
                .replace('\\', "\\\\")
                .replace(';', "\\;")
                .replace(',', "\\,")
                .replace('\n', "\\n")
        );
        assert_eq!(unescape(escaped.unwrap()), summary.replace('\n', " "));
    }

    const FILE: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VTIMEZONE\r\nDTSTART:19700101T000000\r\n\
        END:VTIMEZONE\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261225\r\nDTEND;VALUE=DATE:20261227\r\n\
        SUMMARY;LANGUAGE=\"x:y\":Weihnachten\\, gr\r\n oß\r\nBEGIN:VALARM\r\nDTSTART:20260101T0800\r\n\
        END:VALARM\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nDTSTART:20261225\r\nSUMMARY:Jul\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nDTSTART:20260101\r\nDURATION:P1D\r\nSUMMARY:Gone\r\nSTATUS:CANCELLED\r\n\
        END:VEVENT\r\nEND:VCALENDAR\r\n";

    #[test]
    fn the_days_of_a_file_are_read() {
        let expected = BTreeMap::from([
            (date(2026, 12, 25), "Weihnachten, groß / Jul".to_owned()),
            (date(2026, 12, 26), "Weihnachten, groß".to_owned()),
        ]);
        assert_eq!(read_days(FILE), Ok(expected.clone()));
        assert_eq!(read_days(&FILE.replace("\r\n", "\n")), Ok(expected));
    }

    #[test]
    fn a_bad_file_says_which_line_is_wrong() {
        let line = |text: &str| read_days(text).unwrap_err().line;
        for (old, new, expected) in [
            ("DTSTART:20261225", "DTSTART:20261225T0800", 16),
            ("DTSTART:20261225", "DTSTART:20261332", 16),
            ("DTSTART:20261225", "RRULE:FREQ=YEARLY", 16),
            ("DTSTART:20261225\r\n", "", 15),
            ("SUMMARY:Jul\r\n", "", 15),
            ("SUMMARY:Jul", "SUMMARY Jul", 17),
            ("DTEND;VALUE=DATE:20261227", "DTEND;VALUE=DATE:20261224", 6),
            ("END:VALARM\r\n", "", 13),
            ("DURATION:P1D", "DURATION:PT1H", 21),
            ("END:VCALENDAR\r\n", "", 24),
            ("BEGIN:VCALENDAR", "BEGIN:VCARD", 1),
        ] {
            let text = FILE.replace(old, new);
            assert_ne!(text, FILE, "{old}");
            assert_eq!(
                line(&text),
                expected,
                "{old} → {new}: {:?}",
                read_days(&text)
            );
        }
        assert_eq!(line(""), 1);
        assert_eq!(line("name,code\n"), 1);
    }
}
