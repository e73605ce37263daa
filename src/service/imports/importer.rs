//! The service that imports lists.

use std::sync::Arc;

use super::{
    changes::{Change, Planned},
    checks::{Checks, ImportParts},
    kinds::ImportKind,
    rows::{ImportReport, Rows},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::{CorrectionRefusal, RequestedCorrection},
        grants::Reach,
        plans::HolidayCalendar,
        record::Record,
    },
    ports::StoreError,
    repositories::Repositories,
    service::{
        audit::Audit,
        catalog::CatalogError,
        employees::EmployeeError,
        jobs::list::{self, ListError},
    },
};

/// Why a list was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The list as a whole cannot be read.
    #[error(transparent)]
    List(#[from] ListError),
    /// Rows are wrong, so nothing was written.
    #[error("{} errors: nothing was imported", .0.errors.len())]
    Refused(ImportReport),
    /// It stopped in the middle.
    #[error("{} of {} rows are on record: send the same list again", .0.written + .0.existing, .0.rows)]
    Stopped(ImportReport, StoreError),
    /// The store failed before anything was written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The service for imports.
pub struct Imports {
    checks: Checks,
    audit: Audit,
}

impl Imports {
    /// Creates the service.
    pub fn new(
        stores: Repositories,
        parts: ImportParts,
        audit: Audit,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let checks = Checks {
            stores,
            parts,
            clock,
        };
        Self { checks, audit }
    }

    /// Checks a list, and writes its rows if all of them are right and it is not a dry run. Only for
    /// admins, so the reach is everything.
    ///
    /// # Errors
    /// If the list cannot be read, a row is wrong and it is no dry run, or the store fails.
    pub async fn import(
        &self,
        actor: Actor,
        kind: ImportKind,
        list: &[u8],
        dry_run: bool,
    ) -> Result<ImportReport, ImportError> {
        let text = list::decode(list)?;
        let mut rows = Rows::new(&text, kind.columns())?;
        let checks = &self.checks;
        let planned = match kind {
            ImportKind::Employees => checks.employees(&mut rows).await?,
            ImportKind::Shifts => checks.shifts(&mut rows).await?,
            ImportKind::Assignments => checks.assignments(actor, &mut rows).await?,
            ImportKind::Holidays => checks.holidays(&mut rows).await?,
            ImportKind::Leave => checks.leave(actor, &mut rows).await?,
            ImportKind::OpeningBalances => checks.openings(actor, &mut rows).await?,
            ImportKind::Punches => checks.punches(actor, &mut rows).await?,
        };
        let mut report = rows.report;
        report.errors.sort();
        if dry_run {
            return Ok(report);
        }
        if !report.errors.is_empty() {
            return Err(ImportError::Refused(report));
        }
        let action = format!("import.{}", kind.as_str().replace('-', "_"));
        let (rows, existing) = (report.rows, report.existing);
        let detail = format!("{rows} rows, {existing} of them on record");
        let audit = &self.audit;
        audit
            .record(actor, &action, kind.as_str(), Some(detail))
            .await?;
        let mut stopped = None;
        for Planned { rows, change } in planned {
            if let Err(cause) = self.write(actor, change).await {
                stopped = Some(cause);
                break;
            }
            report.written += rows;
        }
        if report.written > 0 {
            self.checks.parts.plans.announce(None).await;
        }
        match stopped {
            Some(cause) => Err(ImportError::Stopped(report, cause)),
            None => Ok(report),
        }
    }

    /// Writes a record. A record that is there already, because of another import at the same
    /// moment, counts as written.
    async fn write(&self, actor: Actor, change: Change) -> Result<(), StoreError> {
        let everything = &Reach::Everything;
        let audited = async |action: &str, subject: String, detail: String| {
            self.audit
                .record(actor, action, subject, Some(detail))
                .await
        };
        let Checks { stores, parts, .. } = &self.checks;
        match change {
            Change::Employee(settings) => {
                let added = parts.employees.add(everything, actor, settings).await;
                added.map(drop).map_err(|error| match error {
                    EmployeeError::Store(error) => error,
                    _ => StoreError::Conflict,
                })
            }
            Change::Shift(settings) => {
                let added = parts.shifts.add(everything, actor, settings).await;
                added.map(drop).map_err(of_catalog)
            }
            Change::Calendar { old: None, new } => {
                let added = parts.holidays.add(everything, actor, new).await;
                added.map(drop).map_err(of_catalog)
            }
            Change::Calendar {
                old: Some(old),
                new,
            } => {
                let edit = |found: &HolidayCalendar| match *found == old.settings {
                    true => Ok(new.clone()),
                    false => Err(CatalogError::Raced("holiday calendar")),
                };
                let changed = parts.holidays.change(everything, actor, old.id, edit);
                changed.await.map(drop).map_err(of_catalog)
            }
            Change::Assignment(one) => {
                let detail = format!("{}, from a list", one.plan.dates().from);
                audited("assignment.add", one.employee.to_string(), detail).await?;
                written(stores.assignments.insert(&one).await)
            }
            Change::Leave(mut one) => {
                // The same leave may have been taken back.
                if let Some(old) = stores.leave.find(one.id).await? {
                    if old.state == one.state {
                        return Ok(());
                    }
                    one.id = self.checks.clock.id().into();
                }
                let detail = format!("leave {}, {} to {}, from a list", one.id, one.from, one.to);
                audited("leave.enter", one.employee.to_string(), detail).await?;
                written(stores.leave.insert(&one).await)
            }
            Change::Opening(one) => {
                let detail = format!("opening {}, {} s at {}", one.id, one.seconds, one.date);
                audited("balance.add", one.employee.to_string(), detail).await?;
                written(stores.balance_entries.insert(&one).await)
            }
            Change::Punches(sheet, corrections) => {
                let detail = format!("{} punches from a list", corrections.len());
                audited("correction.import", sheet.id().to_string(), detail).await?;
                let changed = stores.timesheets.change(&sheet, |sheet| {
                    for new in &corrections {
                        let same = |old: &RequestedCorrection| old.id == new.id;
                        if !sheet.corrections.iter().any(same) {
                            sheet.correct(new.clone(), false)?;
                        }
                    }
                    Ok::<_, Unwritten>(())
                });
                changed.await.map(drop).map_err(|error| error.0)
            }
        }
    }
}

/// Why corrections were not written. A timesheet that was locked meanwhile is a conflict.
struct Unwritten(StoreError);

impl From<StoreError> for Unwritten {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl From<CorrectionRefusal> for Unwritten {
    fn from(_: CorrectionRefusal) -> Self {
        Self(StoreError::Conflict)
    }
}

fn of_catalog(error: CatalogError) -> StoreError {
    match error {
        CatalogError::Store(error) => error,
        _ => StoreError::Conflict,
    }
}

/// Returns the result of an insert: a record with the same ID is the same record.
fn written(result: Result<(), StoreError>) -> Result<(), StoreError> {
    match result {
        Err(StoreError::Conflict) => Ok(()),
        result => result,
    }
}
