//! Calendars for calendar programs, and holidays from a file of one.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderName, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{ids::EmployeeId, plans::NamedHoliday},
    http::{
        auth::{Allowed, Correcting, InPerson, Reading, Requesting},
        extract::{Path, Query},
        field_error::FieldError,
        problem::{Code, Problem, too_large},
        views::{entries::HolidayView, read_id, time, timesheets::ByView},
    },
    service::calendars::{CalendarError, Calendars, HolidayPreview},
};

/// The most bytes of a file of holidays.
pub const BYTES_MOST: usize = 1 << 20;

impl From<CalendarError> for Problem {
    fn from(error: CalendarError) -> Self {
        let text = error.to_string();
        match error {
            CalendarError::NoEmployee => Self::not_found("employee"),
            CalendarError::NotFound => Self::not_found("calendar"),
            CalendarError::BadLine(bad) => Self::new(Code::Invalid, text).with("line", bad.line),
            CalendarError::BadName(day) => {
                Self::new(Code::Invalid, text).with("day", day.to_string())
            }
            CalendarError::TooMany(_) => Self::new(Code::Invalid, text),
            CalendarError::Calendar(error) => error.into(),
            CalendarError::Store(error) => error.into(),
        }
    }
}

/// The address of a calendar.
#[derive(Serialize, ToSchema)]
#[schema(title = "CalendarAddress")]
pub struct CalendarAddressView {
    /// The path at this service, for a calendar program. It is shown only once. Everybody who has
    /// it can read the calendar.
    #[schema(example = "/api/calendars/mZ0….ics")]
    path: String,
}

/// Makes the secret address under which a calendar program reads an employee's shifts and approved
/// leave of the past 30 and the next 60 days. An address from before is no longer valid.
#[utoipa::path(
    post, path = "/api/employees/{id}/calendar", tag = "plans",
    params(("id" = String, Path, description = "The employee")),
    responses(
        (status = 201, description = "Made", body = CalendarAddressView),
        (status = 403, description = "`forbidden`: only a person may make one, not a program"),
    ),
)]
pub async fn create_calendar(
    InPerson(allowed): InPerson<Requesting>,
    State(calendars): State<Arc<Calendars>>,
    Path(id): Path<EmployeeId>,
) -> Result<(StatusCode, axum::Json<CalendarAddressView>), Problem> {
    let token = calendars.open(allowed.reach(), allowed.actor(), id).await?;
    let path = format!("/api/calendars/{}.ics", token.reveal());
    Ok((
        StatusCode::CREATED,
        axum::Json(CalendarAddressView { path }),
    ))
}

/// The address of a calendar, which itself is never shown again.
#[derive(Serialize, ToSchema)]
#[schema(title = "OpenCalendar")]
pub struct OpenCalendarView {
    /// When it was made.
    #[schema(format = "date-time")]
    made_at: String,
    /// Who made it.
    made_by: ByView,
    /// Whether it can be read: not while the employee is inactive, or if its maker could not make it
    /// anymore.
    open: bool,
}

/// Returns whether an employee's calendar has an address, and who made it.
#[utoipa::path(
    get, path = "/api/employees/{id}/calendar", tag = "plans",
    params(("id" = String, Path, description = "The employee")),
    responses(
        (status = 200, description = "The address", body = OpenCalendarView),
        (status = 404, description = "`not_found`: there is no such employee or no address"),
    ),
)]
pub async fn get_calendar_address(
    allowed: Allowed<Reading>,
    State(calendars): State<Arc<Calendars>>,
    Path(id): Path<EmployeeId>,
) -> Result<axum::Json<OpenCalendarView>, Problem> {
    let (address, open) = calendars.find(allowed.reach(), id).await?;
    Ok(axum::Json(OpenCalendarView {
        made_at: time(address.made_at),
        made_by: address.made_by.into(),
        open,
    }))
}

/// Revokes the address of an employee's calendar.
#[utoipa::path(
    delete, path = "/api/employees/{id}/calendar", tag = "plans",
    params(("id" = String, Path, description = "The employee")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "`not_found`: there is no such employee or no address"),
    ),
)]
pub async fn delete_calendar(
    allowed: Allowed<Requesting>,
    State(calendars): State<Arc<Calendars>>,
    Path(id): Path<EmployeeId>,
) -> Result<StatusCode, Problem> {
    calendars
        .close(allowed.reach(), allowed.actor(), id)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the calendar at a secret address, iCalendar (RFC 5545). Times are in UTC.
#[utoipa::path(
    get, path = "/api/calendars/{file}", tag = "plans",
    params(("file" = String, Path, description = "The token of the address, and `.ics`")),
    responses(
        (status = 200, description = "The calendar", body = String, content_type = "text/calendar"),
        (status = 404, description = "`not_found`: there is no such address, it was revoked, or its maker could not make it anymore"),
    ),
    security(()),
)]
pub async fn get_calendar(
    State(calendars): State<Arc<Calendars>>,
    Path(file): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let token = file.strip_suffix(".ics");
    let token = token.ok_or_else(Problem::no_such_address)?;
    let calendar = calendars.read(token).await?;
    let kind = (header::CONTENT_TYPE, "text/calendar; charset=utf-8");
    Ok(([kind], calendar))
}

/// What to compare a file with.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PreviewQuery {
    /// The ID of a holiday calendar; without one, all days of the file are new.
    calendar: Option<String>,
}

/// A holiday with another name.
#[derive(Serialize, ToSchema)]
#[schema(title = "RenamedHoliday")]
pub struct RenamedView {
    /// The date.
    #[schema(format = "date")]
    day: String,
    /// The name in the calendar.
    from: String,
    /// The name in the file.
    to: String,
}

/// What a file of holidays would change.
#[derive(Serialize, ToSchema)]
#[schema(title = "HolidayPreview")]
pub struct HolidayPreviewView {
    /// The `days` to save: those of the file, and those of the calendar in other years.
    days: Vec<HolidayView>,
    /// Days that only the file has.
    added: Vec<HolidayView>,
    /// Days that only the calendar has, in the years of the file.
    removed: Vec<HolidayView>,
    /// Days of both with another name.
    renamed: Vec<RenamedView>,
}

impl From<HolidayPreview> for HolidayPreviewView {
    fn from(preview: HolidayPreview) -> Self {
        let views = |days: &[NamedHoliday]| days.iter().map(HolidayView::from).collect();
        let renamed = preview.renamed.iter().map(|(old, new)| RenamedView {
            day: old.day.to_string(),
            from: old.name.to_string(),
            to: new.to_string(),
        });
        Self {
            days: views(&preview.days),
            added: views(&preview.added),
            removed: views(&preview.removed),
            renamed: renamed.collect(),
        }
    }
}

/// Reads the holidays of an `.ics` file, at most 1 MiB, and compares them with a calendar. Nothing is
/// saved: send `days` to the calendar.
#[utoipa::path(
    post, path = "/api/holidays/preview", tag = "plans",
    params(PreviewQuery),
    request_body(content = String, content_type = "text/calendar"),
    responses(
        (status = 200, description = "What would change", body = HolidayPreviewView),
        (status = 404, description = "`not_found`: there is no such calendar"),
        (status = 422, description = "`invalid`: `line` says which line of the file is wrong"),
    ),
)]
pub async fn preview_holidays(
    allowed: Allowed<Correcting>,
    State(calendars): State<Arc<Calendars>>,
    Query(query): Query<PreviewQuery>,
    file: Result<Bytes, BytesRejection>,
) -> Result<axum::Json<HolidayPreviewView>, Problem> {
    let calendar = query.calendar.map(read_id).transpose();
    let calendar = calendar.map_err(|error| Problem::field("calendar", error))?;
    let file = file.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large("the file", BYTES_MOST),
        _ => rejection.into(),
    })?;
    let text = std::str::from_utf8(&file);
    let text = text.map_err(|_| Problem::field("file", FieldError::NotUtf8))?;
    let preview = calendars.preview(allowed.reach(), calendar, text).await?;
    Ok(axum::Json(preview.into()))
}
