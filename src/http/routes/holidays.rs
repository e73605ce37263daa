//! Calendars of public holidays.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use crate::{
    domain::ids::HolidayCalendarId,
    http::{
        auth::{Allowed, Correcting, Reading},
        extract::{Json, Path, Query},
        merge_patch::MergePatch,
        page::{List, PageQuery},
        problem::Problem,
        views::{
            Created, created,
            entries::{EditableHolidays, HolidayCalendarView, page_of},
            sites::SiteQuery,
        },
    },
    service::catalog::HolidayCalendars,
};

/// Lists holiday calendars.
#[utoipa::path(
    get, path = "/api/holidays", tag = "plans",
    params(SiteQuery, PageQuery),
    responses((status = 200, description = "A page of holiday calendars", body = List<HolidayCalendarView>)),
    security(("session" = [])),
)]
pub async fn list_holiday_calendars(
    allowed: Allowed<Reading>,
    State(catalog): State<Arc<HolidayCalendars>>,
    Query(site): Query<SiteQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<HolidayCalendarView>>, Problem> {
    page_of(&catalog, allowed.reach(), site, &page).await
}

/// Adds a holiday calendar.
#[utoipa::path(
    post, path = "/api/holidays", tag = "plans",
    request_body = EditableHolidays,
    responses(
        (status = 201, description = "Added", body = HolidayCalendarView,
         headers(("Location" = String, description = "The address to change or remove it"))),
        (status = 409, description = "`name_taken`"),
    ),
    security(("session" = [])),
)]
pub async fn create_holiday_calendar(
    allowed: Allowed<Correcting>,
    State(catalog): State<Arc<HolidayCalendars>>,
    Json(new): Json<EditableHolidays>,
) -> Result<Created<HolidayCalendarView>, Problem> {
    let (reach, actor) = (allowed.reach(), allowed.actor());
    let entry = catalog.add(reach, actor, new.read()?).await?;
    let address = format!("/api/holidays/{}", entry.id);
    Ok(created(address, (&entry).into()))
}

/// A change of a holiday calendar.
type HolidaysPatch = MergePatch<EditableHolidays>;

/// Changes a holiday calendar. The change counts for all days that are not locked, past ones too.
#[utoipa::path(
    patch, path = "/api/holidays/{id}", tag = "plans",
    params(("id" = String, Path, description = "The calendar")),
    request_body = HolidaysPatch,
    responses(
        (status = 200, description = "Changed", body = HolidayCalendarView),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`name_taken`, or `conflict` if other requests keep changing it at the same time"),
    ),
    security(("session" = [])),
)]
pub async fn update_holiday_calendar(
    allowed: Allowed<Correcting>,
    State(catalog): State<Arc<HolidayCalendars>>,
    Path(id): Path<HolidayCalendarId>,
    Json(patch): Json<HolidaysPatch>,
) -> Result<axum::Json<HolidayCalendarView>, Problem> {
    let (reach, actor) = (allowed.reach(), allowed.actor());
    let changed = catalog.change(reach, actor, id, |old| patch.apply(&old.into())?.read());
    Ok(axum::Json((&changed.await?).into()))
}

/// Removes a holiday calendar. Its days are no holidays any more, except on locked days.
#[utoipa::path(
    delete, path = "/api/holidays/{id}", tag = "plans",
    params(("id" = String, Path, description = "The calendar")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`conflict` if other requests keep changing it at the same time"),
    ),
    security(("session" = [])),
)]
pub async fn delete_holiday_calendar(
    allowed: Allowed<Correcting>,
    State(catalog): State<Arc<HolidayCalendars>>,
    Path(id): Path<HolidayCalendarId>,
) -> Result<StatusCode, Problem> {
    catalog.remove(allowed.reach(), allowed.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
