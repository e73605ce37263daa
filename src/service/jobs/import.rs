//! The job that adds people from a list.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    handler::{Interruption, JobHandler, JobRun, JobType, NewJob},
    list::{self, ListError, ListedPerson, PEOPLE, rows},
};
use crate::{
    domain::{
        accounts::Actor,
        employees::Employee,
        grants::Reach,
        ids::{EmployeeId, JobId, SiteId},
        jobs::{Ability, JobKind},
    },
    service::{
        employees::{EmployeeError, Employees},
        sites::no_such_site,
    },
};

/// The kind of these jobs.
pub const IMPORT: JobKind = JobKind::new("import");

/// The row of the registry.
pub(super) const TYPE: JobType = JobType {
    kind: IMPORT,
    handler: |services| Arc::new(Import(services.employees.clone())),
    by_name: None,
    result_schema,
};

/// The maximum size of a list, in bytes.
pub const BYTES_MOST: usize = 1 << 20;

/// The maximum number of refused rows in a result.
const REFUSALS_MOST: usize = 100;

/// The result of an import so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportResult {
    /// How many people were added.
    pub added: u64,
    /// How many existed with the same name and code.
    pub existing: u64,
    /// How many existed with the same name and code, but inactive.
    pub inactive: u64,
    /// How many rows were refused.
    pub refused: u64,
    /// The first 100 refused rows.
    pub refusals: Vec<Refusal>,
}

fn result_schema() -> serde_json::Value {
    let number =
        |description| json!({ "type": "integer", "minimum": 0, "description": description });
    json!({
        "type": "object",
        "title": "ImportResult",
        "description": "The result of an `import`.",
        "properties": {
            "added": number("How many people were added"),
            "existing": number("How many existed with the same name and code"),
            "inactive": number("How many existed with the same name and code, but inactive"),
            "refused": number("How many rows were refused"),
            "refusals": {
                "type": "array",
                "description": "The first 100 refused rows",
                "items": {
                    "type": "object",
                    "properties": {
                        "line": number("The line of the row, from 1"),
                        "reason": { "type": "string" },
                    },
                    "required": ["line", "reason"],
                },
            },
        },
        "required": ["added", "existing", "inactive", "refused", "refusals"],
    })
}

/// A refused row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The line of the row, from 1.
    pub line: u64,
    /// The reason.
    pub reason: String,
}

/// The outcome of a row.
enum Outcome {
    Added,
    Existing,
    Inactive,
    Refused(String),
}

impl ImportResult {
    fn count(&mut self, line: u64, outcome: Outcome) {
        match outcome {
            Outcome::Added => self.added += 1,
            Outcome::Existing => self.existing += 1,
            Outcome::Inactive => self.inactive += 1,
            Outcome::Refused(reason) => {
                self.refused += 1;
                if self.refusals.len() < REFUSALS_MOST {
                    self.refusals.push(Refusal { line, reason });
                }
            }
        }
    }
}

/// Makes the job that adds the people of a CSV list. The list as a whole is checked now, its rows
/// when they are added.
///
/// # Errors
/// When the list cannot be read.
pub fn new_import(list: &[u8]) -> Result<NewJob, ListError> {
    let payload = list::decode(list)?;
    let total = rows(&payload, &PEOPLE)?.len() as u64;
    Ok(NewJob {
        kind: IMPORT,
        payload,
        total,
        once: None,
    })
}

/// Returns the ID of the employee that a row adds. A row that is repeated, because an attempt did
/// not learn or report that it was done, finds the employee under this ID and counts it as added.
fn row_id(job: JobId, row: u64) -> EmployeeId {
    let mut bytes = *job.uuid().as_bytes();
    let digest = Sha256::new()
        .chain_update(bytes)
        .chain_update(row.to_be_bytes())
        .finalize();
    // A UUIDv7: the moment at which the job was queued, then bits that no other row has.
    for (byte, random) in bytes.iter_mut().skip(6).zip(digest) {
        *byte = random;
    }
    let id = uuid::Builder::from_bytes(bytes)
        .with_version(uuid::Version::SortRand)
        .with_variant(uuid::Variant::RFC4122);
    EmployeeId::new(id.into_uuid())
}

/// Returns the outcome of a row whose code belongs to an employee of another origin.
fn taken(existing: &Employee, person: &ListedPerson) -> Outcome {
    if existing.name.key() != person.name.key() {
        let (code, name) = (&existing.code, &existing.name);
        return Outcome::Refused(format!("code {code} belongs to {name}"));
    }
    match existing.active {
        true => Outcome::Existing,
        false => Outcome::Inactive,
    }
}

/// Runs imports.
struct Import(Arc<Employees>);

impl Import {
    /// Adds a person under an ID, unless an employee has the code.
    async fn add(
        &self,
        actor: Actor,
        id: EmployeeId,
        person: ListedPerson,
    ) -> Result<Outcome, Interruption> {
        let Self(employees) = self;
        for _ in 0..2 {
            // An earlier attempt added the employee, who may have another code since, or be deleted.
            if !employees.find_many(&[id]).await?.is_empty() {
                return Ok(Outcome::Added);
            }
            match employees.find_by_code(&person.code).await? {
                // An earlier attempt's call that had timed out was carried out just now.
                Some(existing) if existing.id == id => return Ok(Outcome::Added),
                Some(existing) => return Ok(taken(&existing, &person)),
                None => {}
            }
            let site = match &person.site {
                None => SiteId::DEFAULT,
                Some(name) => match employees.find_site(name).await? {
                    Some(id) => id,
                    None => return Ok(Outcome::Refused(no_such_site(name))),
                },
            };
            let new = person.clone().settings(site);
            match employees
                .add_with_id(&Reach::Everything, actor, id, new)
                .await
            {
                Ok(_) => return Ok(Outcome::Added),
                // Another request took the code, or another attempt added the employee.
                Err(EmployeeError::CodeTaken) => {}
                Err(EmployeeError::Store(error)) => return Err(error.into()),
                Err(error) => return Err(Interruption::Retry(error.to_string())),
            }
        }
        Ok(Outcome::Refused(EmployeeError::CodeTaken.to_string()))
    }
}

#[async_trait]
impl JobHandler for Import {
    fn worker(&self) -> &'static str {
        "import jobs"
    }

    fn ability(&self) -> Ability {
        Ability {
            kind: IMPORT,
            payload: None,
        }
    }

    async fn run(&self, run: &JobRun<'_>) -> Result<(), Interruption> {
        let job = run.job().await;
        let rows = rows(&job.payload, &PEOPLE);
        let rows = rows.map_err(|error| Interruption::Permanent(error.to_string()))?;
        let total = rows.len() as u64;
        let mut result: ImportResult = job
            .result
            .and_then(|result| serde_json::from_str(&result).ok())
            .unwrap_or_default();
        let remaining = (0..)
            .zip(rows)
            .skip(usize::try_from(job.done).unwrap_or(usize::MAX));
        for (number, row) in remaining {
            let outcome = match row.fields.and_then(|fields| fields.person()) {
                Ok(person) => {
                    let id = row_id(job.id, number);
                    self.add(job.created_by, id, person).await?
                }
                Err(reason) => Outcome::Refused(reason),
            };
            result.count(row.line, outcome);
            run.report(number + 1, total, &result).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_of_every_job_has_an_id_of_its_own() {
        let job = |number| {
            JobId::new(uuid::Uuid::from_u128(
                0x0199_f3a0_7c1e_7d5a_9f0e << 48 | number,
            ))
        };
        let ids: BTreeSet<_> = (0..200)
            .map(|row| row_id(job(u128::from(row % 2)), row / 2))
            .collect();
        assert_eq!(ids.len(), 200);
        let id = row_id(job(7), 3);
        assert_eq!(id, row_id(job(7), 3));
        assert_eq!(id.uuid().get_version_num(), 7);
        assert_eq!(id.uuid().get_timestamp(), job(7).uuid().get_timestamp());
    }
}
