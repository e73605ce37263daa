//! Exports: attendance as files for spreadsheets and other programs.

mod attendance;
pub mod table;
pub mod workbook;

pub use attendance::{Exports, Selection, What};
pub use table::{ExportError, Paged, Table};
