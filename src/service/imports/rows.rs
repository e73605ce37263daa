//! The rows of a list, and what is found out about them.

use std::collections::BTreeMap;

use super::cells::{Cells, RowError};
use crate::service::jobs::list::{self, Columns, Fields, ListError};

/// What became of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// The number of rows.
    pub rows: u64,
    /// How many of them are on record already.
    pub existing: u64,
    /// How many of them were written.
    pub written: u64,
    /// What is wrong with the others, by line.
    pub errors: Vec<RowError>,
}

/// The rows of a list that can be read, and what was found out about the others.
pub(super) struct Rows {
    rows: Vec<(u64, Fields)>,
    pub(super) report: ImportReport,
}

impl Rows {
    pub(super) fn new(text: &str, columns: &'static Columns) -> Result<Self, ListError> {
        let (mut rows, mut report) = (Vec::new(), ImportReport::default());
        for row in list::rows(text, columns)? {
            report.rows += 1;
            match row.fields {
                Ok(fields) => rows.push((row.line, fields)),
                Err(reason) => report.errors.push(RowError {
                    line: row.line,
                    column: None,
                    reason,
                }),
            }
        }
        Ok(Self { rows, report })
    }

    /// Reads each row with `read`, which returns `None` if it found errors.
    pub(super) fn read<T>(
        &mut self,
        mut read: impl FnMut(&mut Cells<'_>) -> Option<T>,
    ) -> Vec<(u64, T)> {
        let mut found = Vec::new();
        for (line, fields) in &self.rows {
            let before = self.report.errors.len();
            let mut cells = Cells::new(*line, fields, &mut self.report.errors);
            let value = read(&mut cells);
            if let (Some(value), true) = (value, before == self.report.errors.len()) {
                found.push((*line, value));
            }
        }
        found
    }

    /// Adds an error of a row.
    pub(super) fn refuse(&mut self, line: u64, column: &'static str, reason: impl ToString) {
        self.report.errors.push(RowError {
            line,
            column: Some(column),
            reason: reason.to_string(),
        });
    }
}

/// What earlier rows of the list have, to find rows that are in it twice.
pub(super) struct Seen<K>(BTreeMap<K, u64>);

impl<K: Ord> Seen<K> {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Returns why a row is refused that has the same as an earlier one.
    pub(super) fn check(&mut self, key: K, line: u64) -> Result<(), String> {
        match self.0.insert(key, line) {
            Some(earlier) => Err(format!("is the same as on line {earlier}")),
            None => Ok(()),
        }
    }
}
