//! Adding people from a list: CSV (RFC 4180) with the columns name, code and, if wanted, site.

use serde::{Deserialize, Serialize};

use super::running::{Left, Runner, Turn};
use crate::{
    domain::{
        accounts::Actor,
        text::{Code, Name, SiteName},
    },
    service::employees::EmployeeError,
};

/// Most bytes of a list.
pub const BYTES_MOST: usize = 1 << 20;

/// How many refused rows are told of.
const REFUSALS_MOST: usize = 100;

/// Why a list as a whole cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Not UTF-8.
    #[error("the list must be UTF-8 text: save it as CSV UTF-8")]
    NotText,
    /// The first row does not name the columns.
    #[error("the first row must be name,code or name,code,site, separated by commas")]
    Header,
    /// Nobody in it.
    #[error("there is nobody in the list")]
    Empty,
}

/// What came of an import so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImportResult {
    /// People who were added.
    pub added: u64,
    /// People who were there already, with the same name and code.
    pub there: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// The first 100 of them.
    pub refusals: Vec<Refusal>,
}

/// A row that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The line it begins on, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// A row of the list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    line: u64,
    person: Result<Person, String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Person {
    name: Name,
    code: Code,
    site: Option<SiteName>,
}

/// Where the columns are.
struct Columns {
    name: usize,
    code: usize,
    site: Option<usize>,
    count: usize,
}

impl Columns {
    fn of(header: &csv::StringRecord) -> Option<Self> {
        let names: Vec<_> = header.iter().map(str::to_lowercase).collect();
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        let columns = Self {
            name: place("name")?,
            code: place("code")?,
            site: place("site"),
            count: names.len(),
        };
        // A column that means nothing here, or stands there twice, was meant for something.
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

/// The rows of a list.
pub(super) fn rows(text: &str) -> Result<Vec<Row>, ListError> {
    // Spreadsheets begin UTF-8 with a mark.
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(|_| ListError::Header)?;
    let columns = Columns::of(header).ok_or(ListError::Header)?;
    let (mut rows, mut seen, mut line) = (Vec::new(), 0, 1);
    for record in reader.records() {
        // Only what is no UTF-8 is an error here.
        let record = record.map_err(|_| ListError::NotText)?;
        // Where the record begins, empty lines before it included.
        let from = record
            .position()
            .map_or(seen, |position| position.byte() as usize);
        let rest = text.get(from..).unwrap_or_default();
        let begin = from + rest.len() - rest.trim_start_matches(['\r', '\n']).len();
        let between = text.get(seen..begin).unwrap_or_default();
        line += between.bytes().filter(|byte| *byte == b'\n').count() as u64;
        seen = begin;
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

/// What became of a row.
enum Fate {
    Added,
    There,
    Refused(String),
}

/// Adds one person, unless they are there.
async fn add(runner: &Runner, actor: Actor, person: Person) -> Result<Fate, Left> {
    let Person { name, code, site } = person;
    // Looked for first: most rows of an import that is done again are there.
    for _ in 0..2 {
        if let Some(there) = runner.employees.find_by_code(&code).await? {
            return Ok(match there.name == name {
                true => Fate::There,
                false => Fate::Refused(EmployeeError::CodeTaken.to_string()),
            });
        }
        let added = runner
            .employees
            .add(actor, name.clone(), code.clone(), site.clone());
        match added.await {
            Ok(_) => return Ok(Fate::Added),
            // Somebody was quicker: who is it?
            Err(EmployeeError::CodeTaken) => {}
            Err(EmployeeError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(Left::Again(error.to_string())),
        }
    }
    Ok(Fate::Refused(EmployeeError::CodeTaken.to_string()))
}

/// Does an import, from where it was left.
pub(super) async fn run(runner: &Runner, turn: &Turn<'_>) -> Result<(), Left> {
    let job = turn.job().await;
    let rows = rows(&job.payload).map_err(|error| Left::Again(error.to_string()))?;
    let total = rows.len() as u64;
    let mut result: ImportResult = job
        .result
        .and_then(|result| serde_json::from_str(&result).ok())
        .unwrap_or_default();
    let left = rows
        .into_iter()
        .enumerate()
        .skip(usize::try_from(job.done).unwrap_or(usize::MAX));
    for (number, Row { line, person }) in left {
        let fate = match person {
            Ok(person) => add(runner, job.created_by, person).await?,
            Err(reason) => Fate::Refused(reason),
        };
        match fate {
            Fate::Added => result.added += 1,
            Fate::There => result.there += 1,
            Fate::Refused(reason) => {
                result.refused += 1;
                if result.refusals.len() < REFUSALS_MOST {
                    result.refusals.push(Refusal { line, reason });
                }
            }
        }
        turn.tell(number as u64 + 1, total, &result).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(u64, String)> {
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

    fn lines(told: &[(u64, &str)]) -> Vec<(u64, String)> {
        told.iter()
            .map(|(line, text)| (*line, (*text).to_owned()))
            .collect()
    }

    #[test]
    fn a_list_is_read_as_spreadsheets_write_it() {
        let list = "\u{feff}Name,Code,Site\r\n\"Hopper, Grace\",E1,\r\n\r\n\"Ada \"\"A\"\" L\" , 7 ,Berlin\r\n\"Two\nlines\",8,\r\nEve,9,x";
        assert_eq!(
            told(list),
            lines(&[
                (2, "Hopper, Grace|E1|-"),
                (4, "Ada \"A\" L|7|Berlin"),
                (5, "name must not contain control characters"),
                (7, "Eve|9|x"),
            ])
        );
        assert_eq!(told("code,name\n7,Ada\n"), lines(&[(2, "Ada|7|-")]));
    }

    #[test]
    fn a_bad_row_says_why_and_others_stay() {
        let long = "x".repeat(65);
        let list = format!(
            "name,code,site\nAda\n,1,\nAda,,\nAda,{long},\nAda,1,{long}\nAda,1,a,b\nEve,2,\n"
        );
        assert_eq!(
            told(&list),
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
    fn what_is_no_list_is_refused_as_a_whole() {
        for text in [
            "",
            "Ada,7\n",
            "name;code\nAda;7\n",
            "name,code,photo\nA,1,x\n",
            "name,name,code\n",
        ] {
            assert_eq!(rows(text), Err(ListError::Header), "{text}");
        }
        assert_eq!(rows("name,code\n"), Err(ListError::Empty));
        assert_eq!(rows("name,code\r\n\r\n"), Err(ListError::Empty));
    }
}
