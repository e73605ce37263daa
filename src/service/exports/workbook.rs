//! Tables as workbooks (XLSX). A workbook is a ZIP file that must be complete before it can be
//! sent, so it is written to a temporary file, which has no name and disappears with its last
//! handle. Rows are not kept in memory. The files are in the folder of the data, because others may
//! not be writable or be in memory.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, IntoInnerError, Seek},
    path::PathBuf,
};

use futures::TryStreamExt;
use jiff::civil::{Date, DateTime, Time, date};
use rust_xlsxwriter::{Format, Formula, Workbook, Worksheet, XlsxError};
use tokio::sync::mpsc;

use super::table::{Cell, Column, ExportError, Form, Row, Table};

/// The rows of a sheet, besides the header and the totals.
const ROWS_MOST: u32 = 1_048_574;

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// Columns whose values make the rows of a summary, and the title of the sheet.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    /// The name of the sheet.
    pub title: &'static str,
    /// The names of the columns.
    pub by: [&'static str; 2],
}

impl From<XlsxError> for ExportError {
    fn from(error: XlsxError) -> Self {
        Self::File(error.to_string())
    }
}

/// Writes a table to a workbook on a blocking thread. Returns the file, at its beginning. If the
/// returned future is dropped, the thread ends and the file disappears. If `folder` is not writable,
/// the file is where the system keeps temporary ones.
///
/// # Errors
/// When the rows cannot be read, or the file cannot be written.
pub async fn write(
    table: Table,
    title: &'static str,
    summary: Option<Summary>,
    folder: PathBuf,
) -> Result<File, ExportError> {
    let Table { columns, mut pages } = table;
    // The end is an item of its own, because the sender disappears with the client, too.
    let (sender, mut receiver) = mpsc::channel::<Option<Vec<Row>>>(1);
    let writing = tokio::task::spawn_blocking(move || {
        let mut book = Book::new(columns, title, summary, folder)?;
        while let Some(page) = receiver.blocking_recv() {
            match page {
                Some(rows) => rows.iter().try_for_each(|row| book.row(row))?,
                None => return book.finish(),
            }
        }
        Err(ExportError::File("nobody waits for it".to_owned()))
    });
    while let Some(page) = pages.try_next().await? {
        // If the thread has ended, it returns why.
        let _ = sender.send(Some(page)).await;
    }
    let _ = sender.send(None).await;
    let written = writing.await;
    written.unwrap_or_else(|error| Err(ExportError::File(error.to_string())))
}

/// The looks of cells.
struct Looks {
    header: Format,
    plain: Format,
    date: Format,
    time: Format,
    length: Format,
    number: Format,
}

impl Looks {
    fn new(look: &Format) -> Self {
        let number = |format: &str| look.clone().set_num_format(format);
        Self {
            header: look.clone().set_bold().set_text_wrap(),
            plain: look.clone(),
            date: number("yyyy-mm-dd"),
            time: number("yyyy-mm-dd hh:mm"),
            length: number("[h]:mm"),
            number: number("0.00"),
        }
    }

    /// Returns the look of the cells of a column.
    fn of(&self, form: Form) -> &Format {
        match form {
            Form::Date => &self.date,
            Form::Time => &self.time,
            Form::Length => &self.length,
            Form::Difference | Form::Days => &self.number,
            Form::Text | Form::Count | Form::Flag => &self.plain,
        }
    }
}

/// The sums of a sheet, or of a row of the summary.
type Sums = Vec<f64>;

/// A workbook in progress.
struct Book {
    workbook: Workbook,
    /// Where temporary files are; `None` for the folder of the system.
    folder: Option<PathBuf>,
    columns: Vec<Column>,
    looks: Looks,
    looks_of_sums: Looks,
    title: &'static str,
    /// The number of sheets with rows.
    sheets: usize,
    /// The rows of the present sheet, with the header.
    rows: u32,
    sums: Sums,
    summary: Option<(Summary, [usize; 2])>,
    summed: BTreeMap<[String; 2], (u32, Sums)>,
}

impl Book {
    fn new(
        columns: Vec<Column>,
        title: &'static str,
        summary: Option<Summary>,
        folder: PathBuf,
    ) -> Result<Self, ExportError> {
        let mut workbook = Workbook::new();
        let folder = match workbook.set_tempdir(&folder) {
            Ok(_) => Some(folder),
            Err(_) => None,
        };
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        let summary = summary.and_then(|summary| {
            let [first, second] = summary.by;
            Some((summary, [place(first)?, place(second)?]))
        });
        let sums = vec![0.0; columns.len()];
        let mut book = Self {
            workbook,
            folder,
            columns,
            looks: Looks::new(&Format::new()),
            looks_of_sums: Looks::new(&Format::new().set_bold()),
            title,
            sheets: 0,
            rows: 0,
            sums,
            summary,
            summed: BTreeMap::new(),
        };
        book.begin_sheet()?;
        Ok(book)
    }

    fn begin_sheet(&mut self) -> Result<(), ExportError> {
        self.sheets += 1;
        let sheet = self.workbook.add_worksheet_with_constant_memory()?;
        match self.sheets {
            1 => sheet.set_name(self.title)?,
            number => sheet.set_name(format!("{} {number}", self.title))?,
        };
        let titles = self
            .columns
            .iter()
            .map(|column| (column.title(), column.form));
        begin(sheet, &self.looks, titles)?;
        self.rows = 1;
        self.sums.fill(0.0);
        Ok(())
    }

    fn row(&mut self, row: &Row) -> Result<(), ExportError> {
        if self.rows > ROWS_MOST {
            self.end_sheet()?;
            self.begin_sheet()?;
        }
        let sheet = self.workbook.worksheet_from_index(self.sheets - 1)?;
        for ((place, cell), column) in (0..).zip(row).zip(&self.columns) {
            write_cell(sheet, &self.looks, (self.rows, place), cell, column.form)?;
        }
        self.rows += 1;
        add(&mut self.sums, row);
        if let Some((_, places)) = &self.summary {
            let by = places.map(|place| match row.get(place) {
                Some(Cell::Text(text)) => text.clone(),
                _ => String::new(),
            });
            let empty = || (0, vec![0.0; self.columns.len()]);
            let (count, sums) = self.summed.entry(by).or_insert_with(empty);
            *count += 1;
            add(sums, row);
        }
        Ok(())
    }

    /// Writes the totals.
    fn end_sheet(&mut self) -> Result<(), ExportError> {
        let sheet = self.workbook.worksheet_from_index(self.sheets - 1)?;
        let last = self.rows;
        if last == 1 {
            return Ok(());
        }
        sheet.write_string_with_format(last, 0, "Total", &self.looks_of_sums.plain)?;
        for ((place, column), sum) in (0..).zip(&self.columns).zip(&self.sums) {
            if column.form.has_sum() {
                let letters = rust_xlsxwriter::column_number_to_name(place);
                let formula = Formula::new(format!("=SUM({letters}2:{letters}{last})"));
                let formula = formula.set_result(shown(*sum, column.form).to_string());
                let look = self.looks_of_sums.of(column.form);
                sheet.write_formula_with_format(last, place, formula, look)?;
            }
        }
        Ok(())
    }

    /// Writes the sheet with the sums by the values of two columns.
    fn write_summary(&mut self) -> Result<(), ExportError> {
        let Some((summary, places)) = &self.summary else {
            return Ok(());
        };
        let sheet = self.workbook.add_worksheet();
        sheet.set_name(summary.title)?;
        let summed = || {
            self.columns
                .iter()
                .enumerate()
                .filter(|(_, column)| column.form.has_sum())
        };
        let by = places.iter().map(|place| &self.columns[*place]);
        let titles = by.chain(summed().map(|(_, column)| column));
        let mut titles: Vec<_> = titles.map(|column| (column.title(), column.form)).collect();
        titles.insert(2, ("Rows".to_owned(), Form::Count));
        begin(sheet, &self.looks, titles)?;
        for (row, (by, (count, sums))) in (1..).zip(&self.summed) {
            for (place, text) in (0..).zip(by) {
                sheet.write_string(row, place, text)?;
            }
            sheet.write_number(row, 2, *count)?;
            for (place, (number, column)) in (3..).zip(summed()) {
                let sum = shown(sums[number], column.form);
                let look = self.looks.of(column.form);
                sheet.write_number_with_format(row, place, sum, look)?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<File, ExportError> {
        self.end_sheet()?;
        self.write_summary()?;
        let file = match &self.folder {
            Some(folder) => tempfile::tempfile_in(folder)?,
            None => tempfile::tempfile()?,
        };
        let mut file = BufWriter::new(file);
        self.workbook.save_to_writer(&mut file)?;
        let mut file = file.into_inner().map_err(IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(file)
    }
}

/// Writes the header, which stays in view, and the widths of columns.
fn begin(
    sheet: &mut Worksheet,
    looks: &Looks,
    titles: impl IntoIterator<Item = (String, Form)>,
) -> Result<(), XlsxError> {
    for (place, (title, form)) in (0..).zip(titles) {
        let width = match form {
            Form::Text => 20,
            Form::Time => 17,
            Form::Date => 12,
            Form::Length | Form::Difference | Form::Count | Form::Days | Form::Flag => 11,
        };
        sheet.set_column_width(place, width)?;
        sheet.write_string_with_format(0, place, title, &looks.header)?;
    }
    sheet.set_freeze_panes(1, 0)?;
    Ok(())
}

/// Adds the numbers of a row to sums.
fn add(sums: &mut Sums, row: &Row) {
    for (sum, cell) in sums.iter_mut().zip(row) {
        *sum += number(cell);
    }
}

/// Returns the number of a cell; 0 for one that has none.
fn number(cell: &Cell) -> f64 {
    match cell {
        Cell::Seconds(number) | Cell::Count(number) => *number as f64,
        Cell::Days(days) => *days,
        Cell::Date(date) => serial(date.to_datetime(Time::midnight())),
        Cell::Time(time) => serial(time.offset.to_datetime(time.at)),
        Cell::Empty | Cell::Text(_) | Cell::Codes(_) | Cell::Flag(_) => 0.0,
    }
}

/// Returns a number as a workbook has it: lengths of time in days, those that may be negative in
/// hours.
fn shown(number: f64, form: Form) -> f64 {
    match form {
        Form::Length => number / DAY,
        Form::Difference => number / 3600.0,
        Form::Text | Form::Date | Form::Time | Form::Count | Form::Days | Form::Flag => number,
    }
}

/// Writes a cell with its real type. Texts are never formulas.
fn write_cell(
    sheet: &mut Worksheet,
    looks: &Looks,
    (row, place): (u32, u16),
    cell: &Cell,
    form: Form,
) -> Result<(), XlsxError> {
    match cell {
        Cell::Empty => return Ok(()),
        Cell::Text(text) => sheet.write_string(row, place, text)?,
        Cell::Codes(codes) => sheet.write_string(row, place, codes.join(" "))?,
        Cell::Flag(flag) => sheet.write_boolean(row, place, *flag)?,
        Cell::Date(_) | Cell::Time(_) | Cell::Seconds(_) | Cell::Count(_) | Cell::Days(_) => {
            let number = shown(number(cell), form);
            sheet.write_number_with_format(row, place, number, looks.of(form))?
        }
    };
    Ok(())
}

/// Returns a date and time as workbooks count them: in days since 1899-12-30.
fn serial(at: DateTime) -> f64 {
    const EPOCH: Date = date(1899, 12, 30);
    let days = (at.date() - EPOCH).get_days();
    let seconds = at.time() - Time::midnight();
    let seconds = seconds.total(jiff::Unit::Second).unwrap_or_default();
    f64::from(days) + seconds / DAY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_the_number_that_spreadsheets_expect() {
        assert_eq!(serial(date(2026, 3, 2).at(0, 0, 0, 0)), 46083.0);
        assert_eq!(serial(date(1900, 3, 1).at(6, 0, 0, 0)), 61.25);
    }
}
