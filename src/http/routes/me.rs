//! What people do about their own employee record. Each route is a short form of the one for any
//! employee, with the reach of own records.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::employees::{CONSENT_TEXT, CONSENT_VERSION},
    http::{
        HttpState,
        auth::{Confirmed, Own},
        extract::{Json, Path, Query},
        page::{List, PageQuery},
        problem::{Fields, Problem},
        views::{
            credentials::CredentialsView,
            employees::{ConsentView, EmployeeView},
            faces::TemplatesView,
            punches::{NameLookup, PunchView},
            read_time, time,
            workdays::{DaysQuery, DaysView},
        },
    },
    ports::PunchFilter,
    service::{
        balances::Balances,
        employees::Employees,
        personal_data::{PersonalData, extension},
        punch_credentials::PunchCredentials,
        punch_ledger::PunchLedger,
        sites::Sites,
        workdays::Workdays,
    },
};

/// The caller's own employee record.
#[derive(Serialize, ToSchema)]
#[schema(title = "Me")]
pub struct MeView {
    /// The employee.
    employee: EmployeeView,
    /// The PIN and the badge.
    credentials: CredentialsView,
}

/// Returns the employee to whom the account belongs.
#[utoipa::path(
    get, path = "/api/me", tag = "me",
    responses(
        (status = 200, description = "The employee", body = MeView),
        (status = 404, description = "`not_found`: the account belongs to no employee"),
    ),
)]
pub async fn get_me(
    own: Own,
    State(employees): State<Arc<Employees>>,
    State(credentials): State<Arc<PunchCredentials>>,
    State(sites): State<Arc<Sites>>,
) -> Result<axum::Json<MeView>, Problem> {
    let person = employees.find(&own.reach, own.employee).await?;
    let credentials = credentials.find(&own.reach, own.employee).await?;
    let mut employee = EmployeeView::new(&person, &*sites.all().await?);
    employee.enroll_again = employees.outdated(&person);
    Ok(axum::Json(MeView {
        employee,
        credentials: (&credentials).into(),
    }))
}

/// Returns the caller's own workdays, as `GET /api/employees/{id}/days`.
#[utoipa::path(
    get, path = "/api/me/days", tag = "me",
    params(DaysQuery),
    responses(
        (status = 200, description = "The days", body = DaysView),
        (status = 404, description = "`not_found`: the account belongs to no employee"),
    ),
)]
pub async fn get_own_days(
    own: Own,
    State(workdays): State<Arc<Workdays>>,
    State(balances): State<Arc<Balances>>,
    Query(query): Query<DaysQuery>,
) -> Result<axum::Json<DaysView>, Problem> {
    let employee = workdays.employee(&own.reach, own.employee).await?;
    let range = query.range(&employee, &workdays).await?;
    let (days, running) = balances.days(&own.reach, own.employee, range).await?;
    Ok(axum::Json(DaysView::new(days, &running)))
}

/// The own punches to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OwnPunchesQuery {
    /// At or after this time, RFC 3339.
    from: Option<String>,
    /// Before this time, RFC 3339.
    to: Option<String>,
}

/// Lists the caller's own punches, newest first.
#[utoipa::path(
    get, path = "/api/me/punches", tag = "me",
    params(OwnPunchesQuery, PageQuery),
    responses(
        (status = 200, description = "A page of punches", body = List<PunchView>),
        (status = 404, description = "`not_found`: the account belongs to no employee"),
    ),
)]
pub async fn list_own_punches(
    own: Own,
    State(ledger): State<Arc<PunchLedger>>,
    State(names): State<NameLookup>,
    Query(query): Query<OwnPunchesQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<PunchView>>, Problem> {
    let mut fields = Fields::default();
    let filter = PunchFilter {
        employee: Some(own.employee),
        from: fields.optional("from", query.from, read_time),
        to: fields.optional("to", query.to, read_time),
        ..PunchFilter::default()
    };
    fields.check()?;
    let wanted = page.page()?;
    let found = ledger.list(&own.reach, &filter, &wanted.page).await?;
    let (found, next) = wanted.cut(found, |last| (last.at, last.id))?;
    let items = names.corrected_views(&found, &own.reach).await?;
    Ok(axum::Json(List { items, next }))
}

/// Returns what is enrolled of the caller's own face, never the numbers.
#[utoipa::path(
    get, path = "/api/me/faces", tag = "me",
    responses(
        (status = 200, description = "The enrolled face", body = TemplatesView),
        (status = 404, description = "`not_found`: the account belongs to no employee"),
    ),
)]
pub async fn get_own_faces(
    own: Own,
    State(employees): State<Arc<Employees>>,
) -> Result<axum::Json<TemplatesView>, Problem> {
    let enrolled = employees.enrolled(&own.reach, own.employee).await?;
    Ok(axum::Json((&enrolled).into()))
}

/// The caller's own consent.
#[derive(Serialize, ToSchema)]
#[schema(title = "OwnConsent")]
pub struct OwnConsentView {
    /// The consent under which the face is enrolled; null without a face.
    consent: Option<ConsentView>,
    /// The text that the caller agreed to; null without a consent, or if it is not on record.
    agreed_text: Option<String>,
    /// The version of the present text.
    #[schema(example = "2026-11.5")]
    version: &'static str,
    /// The present text.
    text: &'static str,
}

/// Returns the caller's own consent, and the present text.
#[utoipa::path(
    get, path = "/api/me/consent", tag = "me",
    responses(
        (status = 200, description = "The consent", body = OwnConsentView),
        (status = 404, description = "`not_found`: the account belongs to no employee"),
    ),
)]
pub async fn get_own_consent(
    own: Own,
    State(employees): State<Arc<Employees>>,
    State(data): State<Arc<PersonalData>>,
) -> Result<axum::Json<OwnConsentView>, Problem> {
    let person = employees.find(&own.reach, own.employee).await?;
    let agreed_text = match person.consent() {
        Some(consent) => data.consent_text(&consent.text).await?,
        None => None,
    };
    Ok(axum::Json(OwnConsentView {
        consent: person.consent().map(Into::into),
        agreed_text,
        version: CONSENT_VERSION,
        text: CONSENT_TEXT,
    }))
}

/// Withdraws the caller's consent. Templates, photos and pictures of punches are deleted at once; PIN
/// and badge stay.
#[utoipa::path(
    delete, path = "/api/me/consent", tag = "me",
    responses(
        (status = 204, description = "Withdrawn"),
        (status = 404, description = "`not_found`: the account belongs to no employee"),
    ),
)]
pub async fn withdraw_consent(
    own: Own,
    State(employees): State<Arc<Employees>>,
) -> Result<StatusCode, Problem> {
    let withdrawn = employees.delete_face(&own.reach, own.actor(), own.employee);
    withdrawn.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A new PIN of the caller.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnPin {
    /// The PIN, with the number of digits that the site wants (`pin_digits`).
    #[schema(example = "402817")]
    pin: String,
}

/// Sets the caller's own PIN, and unlocks it.
#[utoipa::path(
    put, path = "/api/me/pin", tag = "me",
    request_body = OwnPin,
    responses(
        (status = 204, description = "Set"),
        (status = 404, description = "`not_found`: the account belongs to no employee"),
        (status = 403, description = "`confirmation_required`"),
        (status = 422, description = "`invalid`: the PIN has another number of digits, or is easy to guess"),
    ),
)]
pub async fn put_own_pin(
    own: Own,
    _: Confirmed,
    State(credentials): State<Arc<PunchCredentials>>,
    Json(new): Json<OwnPin>,
) -> Result<StatusCode, Problem> {
    let pin = Some(new.pin.as_str());
    let set = credentials.set_pin(&own.reach, own.actor(), own.employee, pin);
    set.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes the caller's own badge, because it was lost.
#[utoipa::path(
    delete, path = "/api/me/badge", tag = "me",
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "`not_found`: the account belongs to no employee, or there is no badge"),
    ),
)]
pub async fn report_lost_badge(
    own: Own,
    State(credentials): State<Arc<PunchCredentials>>,
) -> Result<StatusCode, Problem> {
    let revoked = credentials.revoke_badge(&own.reach, own.actor(), own.employee);
    revoked.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A copy of everything that is stored about the caller.
#[derive(Serialize, ToSchema)]
#[schema(title = "OwnExport")]
pub struct OwnExportView {
    /// The ID of the employee.
    #[schema(format = "uuid")]
    employee: String,
    /// When the copy was made.
    #[schema(format = "date-time")]
    at: String,
    /// The records by kind, as `rollcall people export` explains them. Templates have their numbers;
    /// `file` of a photo or picture is its address. Secrets and the content of emails are left out
    /// (`left_out`).
    #[schema(value_type = std::collections::BTreeMap<String, Vec<Object>>)]
    records: BTreeMap<&'static str, Vec<Value>>,
}

/// Returns everything that is stored about the caller. The audit trail records it.
#[utoipa::path(
    get, path = "/api/me/export", tag = "me",
    responses(
        (status = 200, description = "All records", body = OwnExportView),
        (status = 403, description = "`confirmation_required`"),
        (status = 404, description = "`not_found`: the account belongs to no employee"),
    ),
)]
pub async fn get_own_export(
    own: Own,
    _: Confirmed,
    State(state): State<HttpState>,
    State(employees): State<Arc<Employees>>,
    State(data): State<Arc<PersonalData>>,
) -> Result<axum::Json<OwnExportView>, Problem> {
    let person = employees.find(&own.reach, own.employee).await?;
    Ok(axum::Json(OwnExportView {
        employee: person.id.to_string(),
        at: time(state.clock.now()),
        records: data.export(own.actor(), person.id, file_address).await?,
    }))
}

fn file_address(kind: &str, id: &str) -> String {
    format!("/api/me/files/{kind}/{id}")
}

/// Returns a kept photo of the caller's face, or a picture of one of their punches. The audit trail
/// records it.
#[utoipa::path(
    get, path = "/api/me/files/{kind}/{id}", tag = "me",
    params(
        ("kind" = String, Path, description = "`photos` or `pictures`"),
        ("id" = String, Path, description = "The photo or picture"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "image/*"),
        (status = 403, description = "`confirmation_required`"),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn get_own_file(
    own: Own,
    _: Confirmed,
    State(data): State<Arc<PersonalData>>,
    Path((kind, id)): Path<(String, String)>,
) -> Result<(HeaderMap, Vec<u8>), Problem> {
    let file = data.file(own.actor(), own.employee, (&kind, &id)).await?;
    let file = file.ok_or_else(|| Problem::not_found("file"))?;
    let media_type = match extension(&file) {
        "jpg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        _ => "application/octet-stream",
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers.into_iter().collect(), file.to_vec()))
}

/// When the caller asked to be erased.
#[derive(Serialize, ToSchema)]
#[schema(title = "ErasureRequest")]
pub struct ErasureRequestView {
    /// When, for the first time.
    #[schema(format = "date-time")]
    requested_at: Option<String>,
}

/// Asks that everything about the caller is erased. Managers see it among the notices, and an admin
/// erases the person with `rollcall people erase`.
#[utoipa::path(
    post, path = "/api/me/erasure-request", tag = "me",
    responses(
        (status = 200, description = "Recorded, now or before", body = ErasureRequestView),
        (status = 404, description = "`not_found`: the account belongs to no employee"),
    ),
)]
pub async fn request_erasure(
    own: Own,
    State(employees): State<Arc<Employees>>,
) -> Result<axum::Json<ErasureRequestView>, Problem> {
    let requested = employees.request_erasure(&own.reach, own.actor(), own.employee, true);
    let employee = requested.await?;
    Ok(axum::Json(ErasureRequestView {
        requested_at: employee.erasure_requested_at.map(time),
    }))
}

/// Withdraws the request to be erased.
#[utoipa::path(
    delete, path = "/api/me/erasure-request", tag = "me",
    responses(
        (status = 204, description = "Withdrawn"),
        (status = 404, description = "`not_found`: the account belongs to no employee"),
    ),
)]
pub async fn withdraw_erasure_request(
    own: Own,
    State(employees): State<Arc<Employees>>,
) -> Result<StatusCode, Problem> {
    let withdrawn = employees.request_erasure(&own.reach, own.actor(), own.employee, false);
    withdrawn.await?;
    Ok(StatusCode::NO_CONTENT)
}
