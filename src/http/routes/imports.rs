//! Imports of lists.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::words::NotAWord,
    http::{
        auth::{Administering, Allowed},
        extract::{Path, Query},
        list_body::read_list,
        problem::{Code, Problem},
    },
    service::imports::{ImportError, ImportKind, ImportReport, Imports, RowError},
};

/// How to import.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// Whether the list is only checked.
    #[serde(default)]
    dry_run: bool,
}

/// What is wrong with a row of a list.
#[derive(Serialize, ToSchema)]
#[schema(title = "RowError")]
pub struct RowErrorView {
    /// The line of the row, from 1.
    #[schema(example = 2)]
    line: u64,
    /// The column; null if it is the row as a whole.
    #[schema(example = "code")]
    column: Option<&'static str>,
    /// What is wrong, in English.
    #[schema(example = "belongs to no employee")]
    reason: String,
}

impl From<&RowError> for RowErrorView {
    fn from(error: &RowError) -> Self {
        Self {
            line: error.line,
            column: error.column,
            reason: error.reason.clone(),
        }
    }
}

/// What became of a list.
#[derive(Serialize, ToSchema)]
#[schema(title = "ImportReport")]
pub struct ImportReportView {
    /// Whether the list was only checked.
    dry_run: bool,
    /// The number of rows.
    #[schema(example = 120)]
    rows: u64,
    /// How many of them are on record already.
    existing: u64,
    /// How many of them were written.
    written: u64,
    /// What is wrong with rows, by line. If there is anything, nothing is written.
    errors: Vec<RowErrorView>,
}

impl ImportReportView {
    fn new(report: &ImportReport, dry_run: bool) -> Self {
        Self {
            dry_run,
            rows: report.rows,
            existing: report.existing,
            written: report.written,
            errors: report.errors.iter().map(RowErrorView::from).collect(),
        }
    }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        let text = error.to_string();
        match error {
            ImportError::List(error) => error.into(),
            ImportError::Refused(report) => Self::new(Code::ImportRefused, text)
                .with("report", ImportReportView::new(&report, false)),
            ImportError::Stopped(report, cause) => Self::new(Code::ImportStopped, text)
                .with("report", ImportReportView::new(&report, false))
                .because(cause.to_string()),
            ImportError::Store(error) => error.into(),
        }
    }
}

/// Imports a list: CSV, at most 1 MiB.
///
/// All rows are checked first; if one is wrong, nothing is written. With `dry_run` nothing is written
/// at all, and the answer lists every error. What is on record already counts as existing, so a list
/// can be sent again. The columns depend on `what`; docs/ATTENDANCE.md describes them.
#[utoipa::path(
    post, path = "/api/imports/{what}", tag = "jobs",
    params(
        ("what" = String, Path, description = "`employees`, `shifts`, `assignments`, `holidays`, `leave`, `opening-balances` or `punches`", example = "punches"),
        ImportQuery,
    ),
    request_body(content = String, content_type = "text/csv", example = "code,date,time,kind\nE7,2026-03-02,08:00,in\n"),
    responses(
        (status = 200, description = "Imported, or checked", body = ImportReportView),
        (status = 404, description = "`not_found`: there is no such list"),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`import_refused`: rows are wrong, as `report` says; `invalid`: the list cannot be read"),
        (status = 503, description = "`import_stopped`: the store failed in the middle; `report` says how many rows were written"),
    ),
)]
pub async fn import_list(
    allowed: Allowed<Administering>,
    State(imports): State<Arc<Imports>>,
    Path(what): Path<String>,
    Query(query): Query<ImportQuery>,
    headers: HeaderMap,
    list: Result<Bytes, BytesRejection>,
) -> Result<axum::Json<ImportReportView>, Problem> {
    let kind = ImportKind::parse(&what).map_err(|NotAWord { words }| {
        let detail = format!("there is no such list: choose {}", words.join(", "));
        Problem::new(Code::NotFound, detail)
    })?;
    let list = read_list(&headers, list)?;
    let dry_run = query.dry_run;
    let report = imports
        .import(allowed.actor(), kind, &list, dry_run)
        .await?;
    Ok(axum::Json(ImportReportView::new(&report, dry_run)))
}
