//! Adding people from a list.

use serde::{Deserialize, Serialize};

use super::{
    list::{Person, Row, rows},
    running::{Left, Runner, Turn},
};
use crate::{
    domain::{accounts::Actor, employees::Employee},
    service::employees::EmployeeError,
};

/// Most bytes of a list.
pub const BYTES_MOST: usize = 1 << 20;

/// How many refused rows are told of.
const REFUSALS_MOST: usize = 100;

/// What came of an import so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportResult {
    /// People who were added.
    pub added: u64,
    /// People who were there already, with the same name and code.
    pub there: u64,
    /// The same, but inactive: no kiosk knows them.
    pub inactive: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// The first 100 of them.
    pub refusals: Vec<Refusal>,
}

/// A row that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The line it is on, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// What became of a row.
enum Fate {
    Added,
    There,
    Inactive,
    Refused(String),
}

/// What becomes of somebody whose code is taken.
fn taken(there: &Employee, person: &Person) -> Fate {
    if there.name.key() != person.name.key() {
        return Fate::Refused(format!("code {} belongs to {}", there.code, there.name));
    }
    if there.active {
        Fate::There
    } else {
        Fate::Inactive
    }
}

/// Adds one person, unless they are there.
async fn add(runner: &Runner, actor: Actor, person: Person) -> Result<Fate, Left> {
    // Looked for first: most rows of an import that is done again are there.
    for _ in 0..2 {
        if let Some(there) = runner.employees.find_by_code(&person.code).await? {
            return Ok(taken(&there, &person));
        }
        let Person { name, code, site } = person.clone();
        match runner.employees.add(actor, name, code, site).await {
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
    let rows = rows(&job.payload).map_err(|error| Left::Never(error.to_string()))?;
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
            Fate::Inactive => result.inactive += 1,
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
