//! Lists as spreadsheets write them: CSV (RFC 4180) in the encodings and with the
//! separators of different countries.

use std::{collections::BTreeMap, fmt};

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use jiff::civil::Date;

use crate::domain::{
    employees::EmployeeSettings,
    ids::SiteId,
    text::{Code, Name, SiteName},
};

/// The columns of a list, in any order, with names in any case.
#[derive(Debug, PartialEq, Eq)]
pub struct Columns {
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

/// The columns of an import through the API.
pub static PEOPLE: Columns = Columns {
    required: &["name", "code"],
    optional: &["site", "employed_from", "employed_until"],
};

/// The columns of an import with photos. `photos` has paths, separated by semicolons.
pub static PEOPLE_WITH_PHOTOS: Columns = Columns {
    required: &["name", "code"],
    optional: &["site", "employed_from", "employed_until", "photos"],
};

/// The columns of a list that describes the people of folders with photos.
pub static FOLDERS: Columns = Columns {
    required: &["folder"],
    optional: &["name", "code", "site", "employed_from", "employed_until"],
};

impl Columns {
    /// Returns the columns of another list.
    pub const fn new(required: &'static [&'static str], optional: &'static [&'static str]) -> Self {
        Self { required, optional }
    }
}

/// Writes `name,code and optionally site`.
impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (required, optional) = (self.required.join(","), self.optional.join(","));
        write!(f, "{required} and optionally {optional}")
    }
}

/// Why a list as a whole cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The file is not text.
    #[error("the list is not text: save it as CSV")]
    NotText,
    /// The first row is not the header.
    #[error(
        "line {line} {flaw}: the first row must be {columns}, separated by commas, semicolons or tabs"
    )]
    Header {
        /// The line of the first row, from 1.
        line: u64,
        /// What is wrong with it.
        flaw: HeaderFlaw,
        /// The columns that it may have.
        columns: &'static Columns,
    },
    /// A row spans several lines. The cause is almost always a quotation mark that is not closed,
    /// which would hide the rows after it.
    #[error("the row that begins on line {0} does not end there: close its quotation mark")]
    Open(u64),
    /// The list has no rows.
    #[error("the list contains no rows: add them below the first one")]
    Empty,
}

/// What is wrong with the first row of a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFlaw {
    /// Its purpose would be ignored.
    #[error("has the unknown column {0:?}")]
    Unknown(String),
    /// It is not clear which of both counts.
    #[error("has the column {0} twice")]
    Repeated(&'static str),
    /// It is required.
    #[error("lacks the column {0}")]
    Missing(&'static str),
}

/// A row of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The line of the row, from 1.
    pub line: u64,
    /// The fields, or why the row is refused.
    pub fields: Result<Fields, String>,
}

/// The fields of a row, by column.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fields(BTreeMap<&'static str, String>);

impl Fields {
    /// Returns a field; empty if the list does not have the column.
    pub fn get(&self, column: &str) -> &str {
        self.0.get(column).map_or("", String::as_str)
    }

    /// Sets a field if it is empty.
    pub fn fill(&mut self, column: &'static str, text: &str) {
        let field = self.0.entry(column).or_default();
        if field.is_empty() {
            text.clone_into(field);
        }
    }

    /// Parses the person.
    ///
    /// # Errors
    /// The first field that is not valid, and why.
    pub fn person(&self) -> Result<ListedPerson, String> {
        let name = Name::parse(self.get("name")).map_err(|error| format!("name {error}"))?;
        let code = Code::parse(self.get("code")).map_err(|error| format!("code {error}"))?;
        let site = Some(self.get("site")).filter(|site| !site.is_empty());
        let site = site.map(SiteName::parse).transpose();
        let site = site.map_err(|error| format!("site {error}"))?;
        let date = |column| {
            let text = Some(self.get(column)).filter(|text| !text.is_empty());
            let date = text.map(date).transpose();
            date.map_err(|error| format!("{column} {error}"))
        };
        let (employed_from, employed_until) = (date("employed_from")?, date("employed_until")?);
        if let (Some(from), Some(until)) = (employed_from, employed_until)
            && until < from
        {
            return Err("employed_until must not be before employed_from".to_owned());
        }
        Ok(ListedPerson {
            name,
            code,
            site,
            employed_from,
            employed_until,
        })
    }
}

/// A person in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedPerson {
    /// The name.
    pub name: Name,
    /// The code.
    pub code: Code,
    /// The name of the site, if one is given.
    pub site: Option<SiteName>,
    /// The first date of employment, if one is given.
    pub employed_from: Option<Date>,
    /// The last date of employment, if one is given.
    pub employed_until: Option<Date>,
}

impl ListedPerson {
    /// Returns the settings of the person as an employee of a site.
    pub fn settings(self, site: SiteId) -> EmployeeSettings {
        EmployeeSettings {
            employed_from: self.employed_from,
            employed_until: self.employed_until,
            ..EmployeeSettings::new(self.name, self.code, site)
        }
    }
}

/// Parses a date as spreadsheets write it: `2026-03-01`, or `1.3.2026`. With slashes, nobody can
/// tell the day from the month.
///
/// # Errors
/// When the text is not such a date.
pub fn date(text: &str) -> Result<Date, &'static str> {
    let formats = ["%Y-%m-%d", "%d.%m.%Y"];
    let dates = formats.map(|format| Date::strptime(format, text).ok());
    let date = dates.into_iter().flatten().next();
    date.filter(|date| (1900..9000).contains(&date.year()))
        .ok_or("must be a date such as 2026-03-01 or 01.03.2026")
}

/// The separators: the comma, and what spreadsheets write where numbers contain the comma.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// Decodes a list: UTF-8 or UTF-16 by its byte order mark, else UTF-8 if it is valid, else
/// Windows-1252, which is what spreadsheets mean by "CSV" in Western Europe and the Americas.
///
/// # Errors
/// [`ListError::NotText`].
pub fn decode(list: &[u8]) -> Result<String, ListError> {
    let (encoding, rest) = match Encoding::for_bom(list) {
        Some((encoding, mark)) => (encoding, list.get(mark..).unwrap_or_default()),
        None if std::str::from_utf8(list).is_ok() => (UTF_8, list),
        None => (WINDOWS_1252, list),
    };
    let text = encoding.decode_without_bom_handling_and_without_replacement(rest);
    let text = text.ok_or(ListError::NotText)?;
    // Binary files, and UTF-16 without a mark.
    if text.contains('\0') {
        return Err(ListError::NotText);
    }
    Ok(text.into_owned())
}

impl Columns {
    /// Returns the columns of a header, in its order.
    fn in_order(&self, header: &csv::StringRecord) -> Result<Vec<&'static str>, HeaderFlaw> {
        let mut columns = Vec::new();
        for name in header {
            let mut known = self.required.iter().chain(self.optional);
            let column = known.find(|column| name.eq_ignore_ascii_case(column));
            let column = *column.ok_or_else(|| HeaderFlaw::Unknown(name.to_owned()))?;
            if columns.contains(&column) {
                return Err(HeaderFlaw::Repeated(column));
            }
            columns.push(column);
        }
        let mut required = self.required.iter();
        match required.find(|column| !columns.contains(*column)) {
            Some(missing) => Err(HeaderFlaw::Missing(missing)),
            None => Ok(columns),
        }
    }
}

/// Returns the fields of a row, or why it is refused.
fn fields(columns: &[&'static str], record: &csv::StringRecord) -> Result<Fields, String> {
    if record.len() != columns.len() {
        let (fields, wanted) = (record.len(), columns.len());
        return Err(format!("has {fields} fields, the first row has {wanted}"));
    }
    let texts = record.iter().map(str::to_owned);
    Ok(Fields(columns.iter().copied().zip(texts).collect()))
}

/// Returns a reader of a list, and its first row as it is with this separator.
fn reader(text: &str, separator: u8) -> Result<(csv::Reader<&[u8]>, csv::StringRecord), ListError> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .delimiter(separator)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(|_| ListError::NotText)?.clone();
    Ok((reader, header))
}

/// Returns a reader of a list, and the columns of the list, whose first line has this number. Where
/// no separator fits, the one that is in the first row says what is wrong.
fn open<'a>(
    text: &'a str,
    line: u64,
    columns: &'static Columns,
) -> Result<(csv::Reader<&'a [u8]>, Vec<&'static str>), ListError> {
    let empty = text.len() - text.trim_start_matches(['\r', '\n']).len();
    let line = line + lines(text.get(..empty).unwrap_or_default());
    let mut closest: Option<(usize, ListError)> = None;
    for separator in SEPARATORS {
        let (reader, header) = reader(text, separator)?;
        let error = match columns.in_order(&header) {
            Ok(columns) => return Ok((reader, columns)),
            Err(HeaderFlaw::Unknown(name)) if name.contains(['\r', '\n']) => ListError::Open(line),
            Err(flaw) => ListError::Header {
                line,
                flaw,
                columns,
            },
        };
        if closest
            .as_ref()
            .is_none_or(|(most, _)| header.len() > *most)
        {
            closest = Some((header.len(), error));
        }
    }
    Err(closest.map_or(ListError::Empty, |(_, error)| error))
}

/// Returns the rows of a list.
///
/// # Errors
/// When the list as a whole cannot be read.
pub fn rows(text: &str, columns: &'static Columns) -> Result<Vec<Row>, ListError> {
    // Some spreadsheets read the separator from a line such as `sep=;`.
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let first = first.trim_end().to_lowercase();
    let names_separator = first
        .strip_prefix("sep=")
        .is_some_and(|separator| separator.len() <= 1);
    let (text, mut line) = match names_separator {
        true => (rest, 2),
        false => (text, 1),
    };
    let (mut reader, columns) = open(text, line, columns)?;

    let (mut rows, mut seen) = (Vec::new(), 0);
    let mut record = csv::StringRecord::new();
    loop {
        let from = reader.position().byte() as usize;
        // Only invalid UTF-8 is an error here.
        if !reader
            .read_record(&mut record)
            .map_err(|_| ListError::NotText)?
        {
            break;
        }
        let to = reader.position().byte() as usize;
        // The record itself, without empty lines before it and without its line break.
        let own = text.get(from..to).unwrap_or_default();
        let own = own.trim_matches(['\r', '\n']);
        let begin = own.as_ptr() as usize - text.as_ptr() as usize;
        line += lines(text.get(seen..begin).unwrap_or_default());
        seen = begin;
        if own.contains(['\r', '\n']) {
            return Err(ListError::Open(line));
        }
        // Spreadsheets write such rows where rows were deleted or only colored.
        if record.iter().all(str::is_empty) {
            continue;
        }
        rows.push(Row {
            line,
            fields: fields(&columns, &record),
        });
    }
    if rows.is_empty() {
        return Err(ListError::Empty);
    }
    Ok(rows)
}

/// Counts the line breaks in a text.
fn lines(text: &str) -> u64 {
    text.bytes().filter(|byte| *byte == b'\n').count() as u64
}

/// Splits the name of a person's folder: `E12 Ada Lovelace` is a code and a name, `Ada Lovelace` is
/// both.
pub fn code_and_name(folder: &str) -> (&str, &str) {
    match folder.split_once(' ') {
        Some((code, name)) if code.contains(|c: char| c.is_ascii_digit()) => (code, name),
        _ => (folder, folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u64, String)> {
        let person = |person: ListedPerson| {
            let site = person.site.as_ref().map_or("-", |site| site.as_str());
            format!("{}|{}|{site}", person.name, person.code)
        };
        let read = |row: Row| {
            let listed = row.fields.and_then(|fields| fields.person());
            (row.line, listed.map_or_else(|reason| reason, person))
        };
        rows(text, &PEOPLE).unwrap().into_iter().map(read).collect()
    }

    fn lines(rows: &[(u64, &str)]) -> Vec<(u64, String)> {
        rows.iter()
            .map(|(line, text)| (*line, (*text).to_owned()))
            .collect()
    }

    #[test]
    fn a_list_is_read_as_spreadsheets_write_it() {
        let list = "Name,Code,Site\r\n\"Hopper, Grace\",E1,\r\n\r\n\"Ada \"\"A\"\" L\" , 7 ,Berlin\r\n,,\r\n , \r\nEve,9,x";
        let people = lines(&[
            (2, "Hopper, Grace|E1|-"),
            (4, "Ada \"A\" L|7|Berlin"),
            (7, "Eve|9|x"),
        ]);
        assert_eq!(read(list), people);
        assert_eq!(read("code,name\n7,Ada\n"), lines(&[(2, "Ada|7|-")]));
        let semicolons = "sep=;\r\nName;Code;Site\r\n\"Hopper; Grace\";E1;\r\n;;\r\nAda, L;7;x\r\n";
        let people = lines(&[(3, "Hopper; Grace|E1|-"), (5, "Ada, L|7|x")]);
        assert_eq!(read(semicolons), people);
        assert_eq!(read("name\tcode\nAda\t7\n"), lines(&[(2, "Ada|7|-")]));
        assert_eq!(read("SEP=,\nname,code\nAda,7"), lines(&[(3, "Ada|7|-")]));
    }

    #[test]
    fn text_is_decoded_by_its_byte_order_mark_or_its_bytes() {
        let text = "name;code\nJürgen – 5 €;1\n";
        let utf16: Vec<u16> = "\u{feff}"
            .encode_utf16()
            .chain(text.encode_utf16())
            .collect();
        let encodings = [
            text.as_bytes().to_vec(),
            format!("\u{feff}{text}").into_bytes(),
            utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
            utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
            b"name;code\nJ\xfcrgen \x96 5 \x80;1\n".to_vec(),
        ];
        for list in encodings {
            assert_eq!(decode(&list).as_deref(), Ok(text), "{list:02x?}");
        }
        let odd = &[0xff, 0xfe, b'n', 0, b'a'];
        for list in [&b"PK\x03\x04\0\0"[..], b"n\0a\0", odd] {
            assert_eq!(decode(list), Err(ListError::NotText), "{list:02x?}");
        }
    }

    #[test]
    fn a_bad_row_has_a_reason_and_the_others_are_read() {
        let long = "x".repeat(65);
        let list = format!(
            "name,code,site\nAda\n,1,\nAda,,\nAda,{long},\nAda,1,{long}\nAda,1,a,b\nEve,2,\n"
        );
        assert_eq!(
            read(&list),
            lines(&[
                (2, "has 1 fields, the first row has 3"),
                (3, "name must not be empty"),
                (4, "code must not be empty"),
                (5, "code must have at most 64 characters"),
                (6, "site must have at most 64 characters"),
                (7, "has 4 fields, the first row has 3"),
                (8, "Eve|2|-"),
            ])
        );
    }

    #[test]
    fn dates_are_read_as_spreadsheets_write_them() {
        let list = "name,code,employed_from,employed_until\nAda,1,2026-03-01,31.12.2026\nBen,2,,\n\
                    Cem,3,3/1/2026,\nDee,4,2026-03-02,1.3.2026\n";
        let read = |row: Row| row.fields.and_then(|fields| fields.person());
        let read: Vec<_> = rows(list, &PEOPLE).unwrap().into_iter().map(read).collect();
        let dates = |person: &Result<ListedPerson, String>| match person {
            Ok(person) => format!("{:?} {:?}", person.employed_from, person.employed_until),
            Err(reason) => reason.clone(),
        };
        let dates: Vec<_> = read.iter().map(dates).collect();
        assert_eq!(
            dates,
            [
                "Some(2026-03-01) Some(2026-12-31)",
                "None None",
                "employed_from must be a date such as 2026-03-01 or 01.03.2026",
                "employed_until must not be before employed_from",
            ]
        );
    }

    #[test]
    fn a_quotation_mark_that_is_not_closed_hides_no_row() {
        let open = "name,code\r\nAda,1\r\n\r\n\"Eve,2\r\nGrace,3\r\n";
        assert_eq!(rows(open, &PEOPLE), Err(ListError::Open(4)));
        assert_eq!(
            rows("name,code\n\"Two\nlines\",8\nEve,9\n", &PEOPLE),
            Err(ListError::Open(2))
        );
        assert!(ListError::Open(4).to_string().contains("line 4"));
    }

    #[test]
    fn a_file_that_is_not_a_list_is_refused_as_a_whole() {
        let missing = HeaderFlaw::Missing;
        let unknown = |name: &str| HeaderFlaw::Unknown(name.to_owned());
        for (text, line, flaw) in [
            ("Ada,7\n", 1, unknown("Ada")),
            ("name|code\nAda|7\n", 1, unknown("name|code")),
            ("name,code,photo\nA,1,x\n", 1, unknown("photo")),
            ("\r\nname;code;\r\n", 2, unknown("")),
            ("name,name,code\n", 1, HeaderFlaw::Repeated("name")),
            ("sep=;\r\nName;Site\r\nAda;Harbor\r\n", 2, missing("code")),
            ("code\tsite\n7\t\n", 1, missing("name")),
            ("", 1, missing("name")),
            ("sep=;", 2, missing("name")),
        ] {
            let columns = &PEOPLE;
            let refused = ListError::Header {
                line,
                flaw,
                columns,
            };
            assert_eq!(rows(text, columns), Err(refused), "{text}");
        }
        assert_eq!(
            rows("name,code,photo\n", &PEOPLE).unwrap_err().to_string(),
            "line 1 has the unknown column \"photo\": the first row must be name,code and optionally \
             site,employed_from,employed_until, separated by commas, semicolons or tabs",
        );
        let open = "\"name,code\nAda,1\n";
        assert_eq!(rows(open, &PEOPLE), Err(ListError::Open(1)));
        for text in ["name,code\n", "name,code\r\n\r\n", "name;code\n;\n;\n"] {
            assert_eq!(rows(text, &PEOPLE), Err(ListError::Empty), "{text}");
        }
    }
}
