//! Lists of people as spreadsheets write them: CSV (RFC 4180) with the columns name, code and,
//! optionally, site, in the encodings and with the separators of different countries.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use crate::domain::text::{Code, Name, SiteName};

/// Why a list as a whole cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The file is not text.
    #[error("the list is not text: save it as CSV")]
    NotText,
    /// The first row is not the header.
    #[error(
        "the first row must be name,code or name,code,site, separated by commas, semicolons or tabs"
    )]
    Header,
    /// A row spans several lines. The cause is almost always a quotation mark that is not closed,
    /// which would hide the rows after it.
    #[error("the row that begins on line {0} does not end there: close its quotation mark")]
    Open(u64),
    /// The list has no rows.
    #[error("the list contains no people: add rows below the first one")]
    Empty,
}

/// A row of the list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// The line of the row, from 1.
    pub line: u64,
    /// The person, or why the row is refused.
    pub person: Result<Person, String>,
}

/// A person in the list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Person {
    pub name: Name,
    pub code: Code,
    pub site: Option<SiteName>,
}

/// The separators: the comma, and what spreadsheets write where numbers contain the comma.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// Decodes a list: UTF-8 or UTF-16 by its byte order mark, else UTF-8 if it is valid, else
/// Windows-1252, which is what spreadsheets mean by "CSV" in Western Europe and the Americas.
pub(super) fn decode(list: &[u8]) -> Result<String, ListError> {
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

/// The positions of the columns.
struct Columns {
    name: usize,
    code: usize,
    site: Option<usize>,
    count: usize,
}

impl Columns {
    fn from_header(header: &csv::StringRecord) -> Option<Self> {
        let names: Vec<_> = header.iter().map(str::to_lowercase).collect();
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        let columns = Self {
            name: place("name")?,
            code: place("code")?,
            site: place("site"),
            count: names.len(),
        };
        // This program would ignore the purpose of an unknown column, or of a second one.
        let known = 2 + usize::from(columns.site.is_some());
        (columns.count == known).then_some(columns)
    }

    fn person(&self, record: &csv::StringRecord) -> Result<Person, String> {
        if record.len() != self.count {
            return Err(format!(
                "has {} fields, the first row has {}",
                record.len(),
                self.count
            ));
        }
        let field = |place: usize| record.get(place).unwrap_or_default();
        let name = Name::parse(field(self.name)).map_err(|error| format!("name {error}"))?;
        let code = Code::parse(field(self.code)).map_err(|error| format!("code {error}"))?;
        let site = self.site.map(field).filter(|site| !site.is_empty());
        let site = site.map(SiteName::parse).transpose();
        let site = site.map_err(|error| format!("site {error}"))?;
        Ok(Person { name, code, site })
    }
}

/// Returns a reader of a list, if its first row is the header with this separator.
fn reader(text: &str, separator: char) -> Option<(csv::Reader<&[u8]>, Columns)> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .delimiter(u8::try_from(separator).ok()?)
        .from_reader(text.as_bytes());
    let columns = Columns::from_header(reader.headers().ok()?)?;
    Some((reader, columns))
}

/// Returns the rows of a list.
///
/// # Errors
/// When the list as a whole cannot be read.
pub(super) fn rows(text: &str) -> Result<Vec<Row>, ListError> {
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
    let found = SEPARATORS.into_iter();
    let (mut reader, columns) = found
        .filter_map(|separator| reader(text, separator))
        .next()
        .ok_or(ListError::Header)?;

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
            person: columns.person(&record),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u64, String)> {
        let person = |person: Person| {
            let site = person.site.as_ref().map_or("-", |site| site.as_str());
            format!("{}|{}|{site}", person.name, person.code)
        };
        rows(text)
            .unwrap()
            .into_iter()
            .map(|row| (row.line, row.person.map_or_else(|reason| reason, person)))
            .collect()
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
    fn a_quotation_mark_that_is_not_closed_hides_no_row() {
        let open = "name,code\r\nAda,1\r\n\r\n\"Eve,2\r\nGrace,3\r\n";
        assert_eq!(rows(open), Err(ListError::Open(4)));
        assert_eq!(
            rows("name,code\n\"Two\nlines\",8\nEve,9\n"),
            Err(ListError::Open(2))
        );
        assert!(ListError::Open(4).to_string().contains("line 4"));
    }

    #[test]
    fn a_file_that_is_not_a_list_is_refused_as_a_whole() {
        for text in [
            "",
            "sep=;",
            "Ada,7\n",
            "name|code\nAda|7\n",
            "name,code,photo\nA,1,x\n",
            "name,name,code\n",
            "\"name,code\nAda,1\n",
        ] {
            assert_eq!(rows(text), Err(ListError::Header), "{text}");
        }
        for text in ["name,code\n", "name,code\r\n\r\n", "name;code\n;\n;\n"] {
            assert_eq!(rows(text), Err(ListError::Empty), "{text}");
        }
    }
}
