//! Attendance as files: CSV, workbooks and JSON.

use std::{path::PathBuf, sync::Arc};

use async_stream::try_stream;
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, header},
};
use futures::{Stream, StreamExt, TryStreamExt};
use serde::Deserialize;
use tokio_util::io::ReaderStream;
use tracing::error;
use utoipa::IntoParams;

use crate::{
    domain::attendance::DateRange,
    http::{
        auth::{Allowed, Reading},
        extract::{Path, Query},
        field_error::FieldError,
        problem::{Fields, Problem},
        views::{read_date, read_id},
    },
    service::exports::{
        ExportError, Exports, Paged, Selection, Table, What,
        payroll::{self, Payroll},
        table::{CsvStyle, TextFormat, TextWriter},
        workbook::{self, Summary},
    },
};

/// The content type of workbooks.
pub const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// The most days of an export.
const DAYS_MOST: i32 = 366;

impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::UnknownSite => Self::field("site", FieldError::UnknownSite),
            ExportError::UnknownEmployee => Self::field("employee", FieldError::UnknownEmployee),
            ExportError::UnknownLayout => Self::field("layout", FieldError::UnknownLayout),
            ExportError::File(_) => Self::internal(error.to_string()),
            ExportError::Store(error) => error.into(),
        }
    }
}

/// Which rows to export.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SelectionQuery {
    /// The first date.
    #[param(required, example = "2026-03-01")]
    from: Option<String>,
    /// The last date, at most 366 days with the first.
    #[param(required, example = "2026-03-31")]
    to: Option<String>,
    /// The ID of a site; by default all that you reach.
    site: Option<String>,
    /// The ID of an employee; by default all that you reach.
    employee: Option<String>,
}

impl SelectionQuery {
    /// Parses the parameters.
    fn read(self, approved_only: bool, fields: &mut Fields) -> Option<Selection> {
        let mut date = |name: &str, text: Option<String>| {
            let text = text.ok_or(FieldError::Required);
            fields.required(name, text.and_then(|text| read_date(&text)))
        };
        let (from, to) = (date("from", self.from), date("to", self.to));
        let site = fields.optional("site", self.site, read_id);
        let employee = fields.optional("employee", self.employee, read_id);
        let range = DateRange {
            from: from?,
            to: to?,
        };
        if !(0..DAYS_MOST).contains(&(range.to - range.from).get_days()) {
            fields.add("to", FieldError::WrongDays { most: DAYS_MOST });
        }
        Some(Selection {
            range,
            site,
            employee,
            approved_only,
        })
    }
}

/// The form of an export.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FormQuery {
    /// `approved`: only what is approved or locked. Not for punches and balances.
    only: Option<String>,
    /// `csv` by default, `xlsx` or `json`.
    format: Option<String>,
    /// For CSV: `comma` by default, or `semicolon`, which also makes decimal commas.
    separator: Option<String>,
    /// For CSV: whether the file begins with a byte order mark, `true` or `false`.
    bom: Option<String>,
    /// For CSV: `decimal` hours by default, or `clock` as in 8:30.
    hours: Option<String>,
}

/// The format of a file.
enum FileFormat {
    Text(TextFormat),
    Workbook,
}

/// Returns what stands for a word.
fn word<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, FieldError> {
    let found = words.iter().find(|(word, _)| *word == text);
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| FieldError::NotOneOf {
            values: words.iter().map(|(word, _)| *word).collect(),
        })
}

impl FormQuery {
    /// Parses the parameters; also returns whether only what is approved is wanted.
    fn read(self, what: What, fields: &mut Fields) -> (bool, FileFormat) {
        let only = fields.optional("only", self.only, |text| word(&text, &[("approved", ())]));
        if only.is_some() && [What::Punches, What::Balances].contains(&what) {
            let by = what.as_str();
            fields.add("only", FieldError::Excluded { by });
        }
        let formats = [("csv", 0), ("xlsx", 1), ("json", 2)];
        let format = fields.optional("format", self.format, |text| word(&text, &formats));
        let format = format.unwrap_or_default();
        for (name, text) in [
            ("separator", &self.separator),
            ("bom", &self.bom),
            ("hours", &self.hours),
        ] {
            if text.is_some() && format != 0 {
                fields.add(name, FieldError::Excluded { by: "format" });
            }
        }
        let mut flag = |name: &str, text: Option<String>, words: [(&'static str, bool); 2]| {
            let read = fields.optional(name, text, |text| word(&text, &words));
            read.unwrap_or_default()
        };
        let style = CsvStyle {
            semicolons: flag(
                "separator",
                self.separator,
                [("comma", false), ("semicolon", true)],
            ),
            bom: flag("bom", self.bom, [("false", false), ("true", true)]),
            clock: flag("hours", self.hours, [("decimal", false), ("clock", true)]),
        };
        let format = match format {
            1 => FileFormat::Workbook,
            2 => FileFormat::Text(TextFormat::Json),
            _ => FileFormat::Text(TextFormat::Csv(style)),
        };
        (only.is_some(), format)
    }
}

/// Exports punches, workdays, timesheets, balances or absences as a file: a row for each, sorted by the name
/// of the employee. Lengths of time are seconds in JSON, hours in CSV, and real durations in a
/// workbook. The audit trail has every export.
///
/// `days` has a row for each workday, `timesheets` one for each timesheet that has one of the dates,
/// with the sums of all of its days. `absences` are days of leave, and days with the exception
/// `absence`. Locked days are as they were approved. `timesheet` says how far the timesheet is:
/// `open`, `submitted`, `approved` or `locked`.
#[utoipa::path(
    get, path = "/api/exports/{what}", tag = "attendance",
    params(
        ("what" = String, Path, description = "`punches`, `days`, `timesheets`, `balances` or `absences`"),
        SelectionQuery,
        FormQuery,
    ),
    responses(
        (status = 200, description = "The file", content(
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            (Vec<utoipa::openapi::Object> = "application/json"),
        )),
    ),
)]
pub async fn get_export(
    allowed: Allowed<Reading>,
    State(exports): State<Arc<Exports>>,
    Path(what): Path<String>,
    Query(selection): Query<SelectionQuery>,
    Query(form): Query<FormQuery>,
) -> Result<(HeaderMap, Body), Problem> {
    let what = What::parse(&what).map_err(|_| Problem::no_such_address())?;
    let mut fields = Fields::default();
    let (approved_only, format) = form.read(what, &mut fields);
    let Some(selection) = selection.read(approved_only, &mut fields) else {
        return Err(fields.problem());
    };
    fields.check()?;
    let range = selection.range;
    let (kind, extension) = match format {
        FileFormat::Text(TextFormat::Csv(_)) => ("text/csv; charset=utf-8", "csv"),
        FileFormat::Text(TextFormat::Json) => ("application/json", "json"),
        FileFormat::Workbook => (XLSX, "xlsx"),
    };
    let (actor, reach) = (allowed.actor(), allowed.reach());
    let table = exports.begin(actor, reach, what, selection, extension);
    let mut table = table.await?;
    table.pages = first_page(table.pages).await?;
    let folder = exports.folder();
    let body = match format {
        FileFormat::Text(format) => Body::from_stream(logged(text(table, format))),
        FileFormat::Workbook => Body::from_stream(logged(workbook(table, what, folder))),
    };
    let name = format!("{}_{}_{}.{extension}", what.as_str(), range.from, range.to);
    Ok((attachment(kind, &name)?, body))
}

/// Which layout to use, and what to export.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PayrollQuery {
    /// The ID of a payroll layout, or the word for an example.
    #[param(required, example = "datev_lodas")]
    layout: Option<String>,
    /// `approved` by default: only days that are approved or locked; `all`: all days.
    only: Option<String>,
    /// `text` by default; `json` shows the rows with the state of the timesheets, to be checked
    /// before the file is sent.
    format: Option<String>,
}

/// Exports hours under the wage types of a payroll layout. Days that nobody has approved are left
/// out, unless you ask for `all`. The audit trail has every export.
#[utoipa::path(
    get, path = "/api/exports/payroll", tag = "attendance",
    params(SelectionQuery, PayrollQuery),
    responses((status = 200, description = "The file", content(
        (String = "text/csv"),
        (Vec<utoipa::openapi::Object> = "application/json"),
    ))),
)]
pub async fn get_payroll(
    allowed: Allowed<Reading>,
    State(exports): State<Arc<Exports>>,
    Query(selection): Query<SelectionQuery>,
    Query(form): Query<PayrollQuery>,
) -> Result<(HeaderMap, Body), Problem> {
    let mut fields = Fields::default();
    let layout = fields.required("layout", form.layout.ok_or(FieldError::Required));
    let only = [("approved", true), ("all", false)];
    let only = fields.optional("only", form.only, |text| word(&text, &only));
    let formats = [("text", false), ("json", true)];
    let json = fields.optional("format", form.format, |text| word(&text, &formats));
    let json = json.unwrap_or_default();
    let selection = selection.read(only.unwrap_or(true), &mut fields);
    let (Some(layout), Some(selection)) = (layout, selection) else {
        return Err(fields.problem());
    };
    fields.check()?;
    let range = selection.range;
    let how = if json { "preview" } else { "file" };
    let (actor, reach) = (allowed.actor(), allowed.reach());
    let payroll = exports.begin_payroll(actor, reach, &layout, selection, how);
    let mut payroll = payroll.await?;
    payroll.pages = first_page(payroll.pages).await?;
    if json {
        let table = text(payroll::preview(payroll), TextFormat::Json);
        let name = format!("payroll_{}_{}.json", range.from, range.to);
        let headers = attachment("application/json", &name)?;
        return Ok((headers, Body::from_stream(logged(table))));
    }
    let Payroll {
        writer, mut pages, ..
    } = payroll;
    let name = format!("payroll_{}_{}.{}", range.from, range.to, writer.extension());
    let headers = attachment(writer.content_type(), &name)?;
    let file = try_stream! {
        yield Bytes::from(writer.begin());
        while let Some(pays) = pages.try_next().await? {
            yield Bytes::from(writer.rows(&pays)?);
        }
    };
    Ok((headers, Body::from_stream(logged(file))))
}

/// Reads the first page, so that a failure of the store is a problem instead of half a file.
async fn first_page<T: Send + 'static>(mut pages: Paged<T>) -> Result<Paged<T>, Problem> {
    let first = pages.try_next().await?;
    let first = futures::stream::iter(first.map(Ok));
    Ok(Box::pin(first.chain(pages)))
}

/// Returns the headers of a file to keep.
fn attachment(kind: &'static str, name: &str) -> Result<HeaderMap, Problem> {
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let disposition = disposition.map_err(|error| Problem::internal(error.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok(headers.into_iter().collect())
}

/// Logs why a file ends before its end. The client sees a connection that breaks.
fn logged(
    file: impl Stream<Item = Result<Bytes, ExportError>>,
) -> impl Stream<Item = Result<Bytes, ExportError>> {
    file.inspect_err(|cause| error!(%cause, "could not finish an export"))
}

/// Writes a table row by row.
fn text(table: Table, format: TextFormat) -> impl Stream<Item = Result<Bytes, ExportError>> {
    let Table { columns, mut pages } = table;
    try_stream! {
        let mut writer = TextWriter::new(columns, format);
        yield Bytes::from(writer.begin()?);
        while let Some(rows) = pages.try_next().await? {
            yield Bytes::from(writer.rows(&rows)?);
        }
        yield Bytes::from_static(writer.end());
    }
}

/// Writes a table to a workbook, then sends it.
fn workbook(
    table: Table,
    what: What,
    folder: PathBuf,
) -> impl Stream<Item = Result<Bytes, ExportError>> {
    let title = match what {
        What::Punches => "Punches",
        What::Days => "Days",
        What::Timesheets => "Timesheets",
        What::Balances => "Balances",
        What::Absences => "Absences",
    };
    let summary = (what == What::Timesheets).then_some(Summary {
        title: "Summary",
        by: ["site_name", "timesheet"],
    });
    try_stream! {
        let file = workbook::write(table, title, summary, folder).await?;
        let mut file = ReaderStream::new(tokio::fs::File::from_std(file));
        while let Some(bytes) = file.try_next().await? {
            yield bytes;
        }
    }
}
