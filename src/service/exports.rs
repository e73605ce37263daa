//! Exports: attendance as files for spreadsheets, payroll and other programs.

mod attendance;
pub mod payroll;
pub mod table;
pub mod workbook;

pub use attendance::{Exports, Selection, What};
pub use table::{ExportError, Paged, Table};
