//! Imports of lists: all rows are checked first, then all of them are written or none.
//!
//! A store has no transactions over several records, so a failure in the middle leaves some rows
//! written. What is on record already counts as existing, so the same list can be sent again: it
//! adds what is missing, and nothing twice.

mod cells;
mod changes;
mod checks;
mod hours;
mod importer;
mod kinds;
mod people;
mod plans;
mod rows;

pub use cells::RowError;
pub use checks::ImportParts;
pub use importer::{ImportError, Imports};
pub use kinds::ImportKind;
pub use rows::ImportReport;
