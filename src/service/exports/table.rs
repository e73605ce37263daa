//! Tables: the columns and cells of an export, and how they are written as CSV and JSON.

use std::{io, pin::Pin};

use csv::{IntoInnerError, Terminator, WriterBuilder};
use futures::Stream;
use jiff::civil::Date;
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    domain::attendance::time::{Seconds, WallTime},
    ports::StoreError,
};

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The caller does not cover the site.
    #[error("no such site")]
    UnknownSite,
    /// The employee does not exist, or is not covered.
    #[error("no such employee")]
    UnknownEmployee,
    /// There is no such payroll layout.
    #[error("no such payroll layout")]
    UnknownLayout,
    /// The file could not be written.
    #[error("the file could not be written: {0}")]
    File(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is exported, in pages.
pub type Paged<T> = Pin<Box<dyn Stream<Item = Result<Vec<T>, ExportError>> + Send>>;

/// An export that has begun.
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows.
    pub pages: Paged<Row>,
}

impl From<io::Error> for ExportError {
    fn from(error: io::Error) -> Self {
        Self::File(error.to_string())
    }
}

/// What a column contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A text, or codes.
    Text,
    /// A date.
    Date,
    /// An instant, as a clock shows it.
    Time,
    /// A length of time that is never negative.
    Length,
    /// A length of time that may be negative.
    Difference,
    /// A number of things.
    Count,
    /// A number of days, with halves and other parts.
    Days,
    /// Yes or no.
    Flag,
}

impl Form {
    /// Checks whether a sum of the column means something.
    pub fn has_sum(self) -> bool {
        match self {
            Self::Length | Self::Difference | Self::Count | Self::Days => true,
            Self::Text | Self::Date | Self::Time | Self::Flag => false,
        }
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The name for programs. It is stable.
    pub name: String,
    /// What it contains.
    pub form: Form,
}

impl Column {
    /// Returns a column.
    pub fn new(name: impl Into<String>, form: Form) -> Self {
        let name = name.into();
        Self { name, form }
    }

    /// Returns the name for people, such as `First in` or `Band: night`.
    pub fn title(&self) -> String {
        let (first, rest) = match self.name.split_once('.') {
            Some(("bands", band)) => ("Band: ", band.to_owned()),
            Some((_, kind)) => ("Leave: ", kind.to_owned()),
            None => ("", self.name.replace('_', " ")),
        };
        let mut title = format!("{first}{rest}");
        if let Some(letter) = title.get_mut(..1) {
            letter.make_ascii_uppercase();
        }
        // Spreadsheets cannot show negative lengths of time.
        match self.form {
            Form::Difference => title + " (hours)",
            _ => title,
        }
    }
}

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Empty,
    /// A text.
    Text(String),
    /// Codes, such as exceptions.
    Codes(Vec<&'static str>),
    /// A date.
    Date(Date),
    /// An instant, as a clock shows it.
    Time(WallTime),
    /// A length of time.
    Seconds(Seconds),
    /// A number of things.
    Count(i64),
    /// A number of days.
    Days(f64),
    /// Yes or no.
    Flag(bool),
}

impl Cell {
    /// Returns the cell of a value, or an empty one.
    pub fn of<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Empty, cell)
    }

    /// Returns a text.
    pub fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    /// Returns the cell as CSV has it.
    fn csv(&self, style: CsvStyle) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => neutral(text),
            Self::Codes(codes) => codes.join(" "),
            Self::Date(date) => date.to_string(),
            Self::Time(time) => time.at.display_with_offset(time.offset).to_string(),
            Self::Seconds(seconds) if style.clock => clock(*seconds),
            // Four decimals are enough to tell seconds apart.
            Self::Seconds(seconds) => style.decimal(format!("{:.4}", *seconds as f64 / 3600.0)),
            Self::Count(count) => count.to_string(),
            Self::Days(days) => style.decimal(format!("{days:.4}")),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}

impl Serialize for Cell {
    /// Writes the cell as the API has such values: lengths of time are seconds.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Empty => serializer.serialize_none(),
            Self::Text(text) => text.serialize(serializer),
            Self::Codes(codes) => codes.serialize(serializer),
            Self::Date(date) => date.serialize(serializer),
            Self::Time(time) => time.serialize(serializer),
            Self::Seconds(number) | Self::Count(number) => number.serialize(serializer),
            Self::Days(days) => days.serialize(serializer),
            Self::Flag(flag) => flag.serialize(serializer),
        }
    }
}

/// The cells of a row, in the order of the columns.
pub type Row = Vec<Cell>;

/// How CSV is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CsvStyle {
    /// Whether semicolons separate cells, instead of commas. Then numbers have a decimal comma, as
    /// spreadsheets expect it where they expect semicolons.
    pub semicolons: bool,
    /// Whether the file begins with a byte order mark.
    pub bom: bool,
    /// Whether lengths of time are `8:30`, instead of `8.5000` hours.
    pub clock: bool,
}

impl CsvStyle {
    fn decimal(self, number: String) -> String {
        match self.semicolons {
            true => number.replace('.', ","),
            false => number,
        }
    }
}

/// Returns a text that no spreadsheet takes as a formula.
pub fn neutral(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

/// Writes a length as `8:30`, with seconds only where there are any.
fn clock(seconds: Seconds) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let seconds = seconds.unsigned_abs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match seconds % 60 {
        0 => format!("{sign}{hours}:{minutes:02}"),
        second => format!("{sign}{hours}:{minutes:02}:{second:02}"),
    }
}

/// A row as a JSON object, in the order of the columns.
struct Object<'a>(&'a [Column], &'a Row);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.0.len()))?;
        for (column, cell) in self.0.iter().zip(self.1) {
            object.serialize_entry(&column.name, cell)?;
        }
        object.end()
    }
}

/// The formats that are written row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// RFC 4180.
    Csv(CsvStyle),
    /// An array of objects.
    Json,
}

/// Writes a table as text.
#[derive(Debug, derive_new::new)]
pub struct TextWriter {
    columns: Vec<Column>,
    format: TextFormat,
    /// Whether a row was written.
    #[new(default)]
    begun: bool,
}

impl TextWriter {
    /// Returns what is before the rows.
    ///
    /// # Errors
    /// Never, because the bytes are kept in memory.
    pub fn begin(&self) -> io::Result<Vec<u8>> {
        match self.format {
            TextFormat::Csv(style) => {
                let names = self.columns.iter().map(|column| neutral(&column.name));
                let mark = if style.bom { "\u{feff}" } else { "" };
                csv(mark, style, [names])
            }
            TextFormat::Json => Ok(b"[".to_vec()),
        }
    }

    /// Returns some rows.
    ///
    /// # Errors
    /// Never, because the bytes are kept in memory.
    pub fn rows(&mut self, rows: &[Row]) -> io::Result<Vec<u8>> {
        match self.format {
            TextFormat::Csv(style) => {
                let cells = |row: &'_ Row| row.iter().map(|cell| cell.csv(style)).collect();
                let cells: Vec<Vec<_>> = rows.iter().map(cells).collect();
                csv("", style, cells)
            }
            TextFormat::Json => {
                let mut text = Vec::new();
                for row in rows {
                    let before = if self.begun { ",\n" } else { "\n" };
                    text.extend_from_slice(before.as_bytes());
                    serde_json::to_writer(&mut text, &Object(&self.columns, row))?;
                    self.begun = true;
                }
                Ok(text)
            }
        }
    }

    /// Returns what is after the rows.
    pub fn end(&self) -> &'static [u8] {
        match self.format {
            TextFormat::Csv(_) => b"",
            TextFormat::Json => b"\n]\n",
        }
    }
}

/// Writes rows as CSV after a text.
fn csv<R: IntoIterator<Item = String>>(
    before: &str,
    style: CsvStyle,
    rows: impl IntoIterator<Item = R>,
) -> io::Result<Vec<u8>> {
    let mut writer = WriterBuilder::new()
        .delimiter(if style.semicolons { b';' } else { b',' })
        .terminator(Terminator::CRLF)
        .from_writer(before.as_bytes().to_vec());
    for row in rows {
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(IntoInnerError::into_error)
}

#[cfg(test)]
mod tests {
    use jiff::{civil::date, tz::offset};

    use super::*;

    fn table() -> (Vec<Column>, Vec<Row>) {
        let columns = vec![
            Column::new("employee_name", Form::Text),
            Column::new("date", Form::Date),
            Column::new("at", Form::Time),
            Column::new("worked", Form::Length),
            Column::new("balance", Form::Difference),
            Column::new("days", Form::Days),
            Column::new("exceptions", Form::Text),
            Column::new("bands.night", Form::Length),
        ];
        let time = WallTime {
            at: "2026-03-02T07:00:00Z".parse().unwrap(),
            offset: offset(1),
        };
        let row = |name: &str, balance| {
            vec![
                Cell::text(name),
                Cell::Date(date(2026, 3, 2)),
                Cell::Time(time),
                Cell::Seconds(8 * 3600 + 20 * 60),
                Cell::Seconds(balance),
                Cell::Days(0.5),
                Cell::Codes(vec!["late", "early"]),
                Cell::Empty,
            ]
        };
        (
            columns,
            vec![row("=1+1", -5400), row("Jörg \"J\", Ö\nx", 1)],
        )
    }

    fn written(format: TextFormat) -> String {
        let (columns, rows) = table();
        let mut writer = TextWriter::new(columns, format);
        let mut text = writer.begin().unwrap();
        for row in rows {
            text.extend(writer.rows(&[row]).unwrap());
        }
        text.extend(writer.end());
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn csv_is_rfc_4180_and_has_no_formulas() {
        let style = CsvStyle::default();
        let expected = "employee_name,date,at,worked,balance,days,exceptions,bands.night\r\n\
            '=1+1,2026-03-02,2026-03-02T08:00:00+01:00,8.3333,-1.5000,0.5000,late early,\r\n\
            \"Jörg \"\"J\"\", Ö\nx\",2026-03-02,2026-03-02T08:00:00+01:00,8.3333,0.0003,0.5000,late early,\r\n";
        assert_eq!(written(TextFormat::Csv(style)), expected);
        let style = CsvStyle {
            semicolons: true,
            bom: true,
            clock: false,
        };
        let text = written(TextFormat::Csv(style));
        assert!(text.starts_with("\u{feff}employee_name;date;"), "{text}");
        assert!(text.contains(";8,3333;-1,5000;0,5000;"), "{text}");
        let clock = true;
        let text = written(TextFormat::Csv(CsvStyle { clock, ..style }));
        assert!(text.contains(";8:20;-1:30;"), "{text}");
        assert!(text.contains(";8:20;0:00:01;"), "{text}");
        for text in ["=x", "+1", "-1", "@x", "\tx", "\rx"] {
            assert_eq!(neutral(text), format!("'{text}"));
        }
        assert_eq!(neutral("Ann-Marie"), "Ann-Marie");
    }

    #[test]
    fn json_is_an_array_with_the_values_of_the_api() {
        let json: serde_json::Value = serde_json::from_str(&written(TextFormat::Json)).unwrap();
        let expected = serde_json::json!({
            "employee_name": "=1+1",
            "date": "2026-03-02",
            "at": "2026-03-02T08:00:00+01:00",
            "worked": 30_000,
            "balance": -5400,
            "days": 0.5,
            "exceptions": ["late", "early"],
            "bands.night": null,
        });
        assert_eq!(json[0], expected);
        assert_eq!(json.as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_title_is_for_people() {
        let title = |name: &str, form| Column::new(name, form).title();
        assert_eq!(title("first_in", Form::Time), "First in");
        assert_eq!(title("bands.night", Form::Length), "Band: night");
        assert_eq!(
            title("leave_by_kind.Vacation", Form::Length),
            "Leave: Vacation"
        );
        assert_eq!(title("balance", Form::Difference), "Balance (hours)");
    }
}
