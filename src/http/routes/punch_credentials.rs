//! PINs and badges of employees.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::{
        ids::EmployeeId,
        punch_credentials::{BadgeCode, PinError},
    },
    http::{
        auth::{Allowed, Correcting, Reading},
        badges,
        extract::{Json, Path, Query},
        field_error::FieldError,
        page::{List, PageQuery},
        problem::{Fields, Problem},
        views::{
            credentials::{CredentialsView, ListedCredentialsView},
            employees::EmployeeQuery,
            read_id,
        },
    },
    service::punch_credentials::{CredentialError, PunchCredentials},
};

impl From<PinError> for FieldError {
    fn from(error: PinError) -> Self {
        match error {
            PinError::NotAPin(digits) => Self::NotAPin {
                digits: digits.count(),
            },
            PinError::Guessable => Self::GuessablePin,
        }
    }
}

impl From<CredentialError> for Problem {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::NoEmployee => Self::not_found("employee"),
            CredentialError::NoPin => Self::not_found("PIN"),
            CredentialError::NoBadge => Self::not_found("badge"),
            CredentialError::Pin(error) => Self::field("pin", error),
            CredentialError::Hashing(error) => Self::internal(error.to_string()),
            CredentialError::Store(error) => error.into(),
        }
    }
}

/// Returns when an employee got a PIN and a badge, and whether the PIN is locked.
#[utoipa::path(
    get, path = "/api/employees/{id}/credentials", tag = "credentials",
    params(("id" = String, Path, description = "The employee")),
    responses((status = 200, description = "PIN and badge, without their secrets", body = CredentialsView)),
)]
pub async fn get_credentials(
    allowed: Allowed<Reading>,
    State(credentials): State<Arc<PunchCredentials>>,
    Path(id): Path<EmployeeId>,
) -> Result<axum::Json<CredentialsView>, Problem> {
    let found = credentials.find(allowed.reach(), id).await?;
    Ok(axum::Json((&found).into()))
}

/// Lists when employees got a PIN and a badge, by name of the employee, like `GET /api/employees`.
#[utoipa::path(
    get, path = "/api/credentials", tag = "credentials",
    params(EmployeeQuery, PageQuery),
    responses((status = 200, description = "A page of PINs and badges, without their secrets", body = List<ListedCredentialsView>)),
    security(("session" = [])),
)]
pub async fn list_credentials(
    allowed: Allowed<Reading>,
    State(credentials): State<Arc<PunchCredentials>>,
    Query(query): Query<EmployeeQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<ListedCredentialsView>>, Problem> {
    let (filter, wanted) = (query.filter()?, page.page()?);
    let found = credentials.list(allowed.reach(), &filter, &wanted.page);
    let (found, next) = wanted.cut(found.await?, |(last, _)| (last.name.key(), last.id))?;
    let items = found.iter().map(|(_, credential)| credential.into());
    let items = items.collect();
    Ok(axum::Json(List { items, next }))
}

/// A new PIN.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPin {
    /// The PIN, with the number of digits that the site of the employee wants (`pin_digits`). Left
    /// out, Rollcall makes a random one.
    #[schema(example = "402817")]
    pin: Option<String>,
}

/// The PIN that Rollcall made.
#[derive(Serialize, ToSchema)]
#[schema(title = "NewPinAnswer")]
pub struct NewPinView {
    /// The PIN, returned only once; null if the request had one.
    #[schema(example = "402817")]
    pin: Option<String>,
}

/// Sets the PIN of an employee, and unlocks it. The one before is no longer valid.
#[utoipa::path(
    put, path = "/api/employees/{id}/pin", tag = "credentials",
    params(("id" = String, Path, description = "The employee")),
    request_body = NewPin,
    responses(
        (status = 200, description = "Set", body = NewPinView),
        (status = 422, description = "`invalid`: the PIN has another number of digits, or is easy to guess"),
    ),
)]
pub async fn put_pin(
    allowed: Allowed<Correcting>,
    State(credentials): State<Arc<PunchCredentials>>,
    Path(id): Path<EmployeeId>,
    Json(new): Json<NewPin>,
) -> Result<axum::Json<NewPinView>, Problem> {
    let pin = new.pin.as_deref();
    let made = credentials.set_pin(allowed.reach(), allowed.actor(), id, pin);
    let pin = made.await?.map(|pin| pin.reveal().to_owned());
    Ok(axum::Json(NewPinView { pin }))
}

/// Removes the PIN of an employee.
#[utoipa::path(
    delete, path = "/api/employees/{id}/pin", tag = "credentials",
    params(("id" = String, Path, description = "The employee")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "`not_found`: there is no such employee, or no PIN"),
    ),
)]
pub async fn delete_pin(
    allowed: Allowed<Correcting>,
    State(credentials): State<Arc<PunchCredentials>>,
    Path(id): Path<EmployeeId>,
) -> Result<StatusCode, Problem> {
    let removed = credentials.remove_pin(allowed.reach(), allowed.actor(), id);
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Unlocks a PIN that was missed 5 times in a row.
#[utoipa::path(
    post, path = "/api/employees/{id}/pin/unlock", tag = "credentials",
    params(("id" = String, Path, description = "The employee")),
    responses(
        (status = 204, description = "It can be used again"),
        (status = 404, description = "`not_found`: there is no such employee, or no PIN"),
    ),
)]
pub async fn unlock_pin(
    allowed: Allowed<Correcting>,
    State(credentials): State<Arc<PunchCredentials>>,
    Path(id): Path<EmployeeId>,
) -> Result<StatusCode, Problem> {
    let unlocked = credentials.unlock_pin(allowed.reach(), allowed.actor(), id);
    unlocked.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A badge that was issued.
#[derive(Serialize, ToSchema)]
#[schema(title = "IssuedBadge")]
pub struct IssuedBadgeView {
    /// The code, 30 digits, returned only once: everybody who has it can punch for the employee.
    #[schema(example = "402817…")]
    code: String,
    /// The code as QR code, SVG.
    #[schema(example = "<svg …")]
    qr: String,
    /// The code as Code 128, SVG.
    #[schema(example = "<svg …")]
    code128: String,
}

fn issued(code: &BadgeCode) -> Option<IssuedBadgeView> {
    Some(IssuedBadgeView {
        code: code.reveal().to_owned(),
        qr: badges::qr_svg(code.reveal())?,
        code128: badges::bars_svg(code)?,
    })
}

fn not_drawn() -> Problem {
    Problem::internal("a badge could not be drawn")
}

/// Issues a badge to an employee. The one before is no longer valid.
#[utoipa::path(
    post, path = "/api/employees/{id}/badge", tag = "credentials",
    params(("id" = String, Path, description = "The employee")),
    responses((status = 201, description = "Issued", body = IssuedBadgeView)),
)]
pub async fn create_badge(
    allowed: Allowed<Correcting>,
    State(credentials): State<Arc<PunchCredentials>>,
    Path(id): Path<EmployeeId>,
) -> Result<(StatusCode, axum::Json<IssuedBadgeView>), Problem> {
    let badge = credentials.issue_badge(allowed.reach(), allowed.actor(), id);
    let (_, code) = badge.await?;
    let view = issued(&code).ok_or_else(not_drawn)?;
    Ok((StatusCode::CREATED, axum::Json(view)))
}

/// Revokes the badge of an employee, such as a lost one.
#[utoipa::path(
    delete, path = "/api/employees/{id}/badge", tag = "credentials",
    params(("id" = String, Path, description = "The employee")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "`not_found`: there is no such employee, or no badge"),
    ),
)]
pub async fn delete_badge(
    allowed: Allowed<Correcting>,
    State(credentials): State<Arc<PunchCredentials>>,
    Path(id): Path<EmployeeId>,
) -> Result<StatusCode, Problem> {
    let revoked = credentials.revoke_badge(allowed.reach(), allowed.actor(), id);
    revoked.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The badges to print.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BadgeSheet {
    /// The IDs of 1 to 200 employees.
    employees: Vec<String>,
}

/// The most badges of a sheet.
const SHEET_MOST: usize = 200;

/// Issues a badge to each of some employees, and returns a page to print on A4: name, code, QR code
/// and Code 128, eight badges on a sheet. The badges before are no longer valid.
#[utoipa::path(
    post, path = "/api/badges/sheet", tag = "credentials",
    request_body = BadgeSheet,
    responses(
        (status = 200, description = "The page; it cannot be read again", body = String, content_type = "text/html"),
        (status = 422, description = "`invalid`: an employee does not exist, and no badge was issued"),
    ),
)]
pub async fn create_badge_sheet(
    allowed: Allowed<Correcting>,
    State(credentials): State<Arc<PunchCredentials>>,
    Json(sheet): Json<BadgeSheet>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let mut fields = Fields::default();
    let (least, most) = (1, SHEET_MOST);
    if !(least..=most).contains(&sheet.employees.len()) {
        fields.add("employees", FieldError::WrongCount { least, most });
    }
    let mut seen: BTreeSet<EmployeeId> = BTreeSet::new();
    let mut ids: Vec<EmployeeId> = Vec::new();
    for (place, id) in sheet.employees.into_iter().enumerate() {
        let id = fields.required(&format!("employees[{place}]"), read_id(id));
        ids.extend(id.filter(|id| seen.insert(*id)));
    }
    fields.check()?;
    let issued = credentials.issue_badges(allowed.reach(), allowed.actor(), &ids);
    let issued = issued.await.map_err(|error| match error {
        CredentialError::NoEmployee => Problem::field("employees", FieldError::UnknownEmployee),
        error => error.into(),
    })?;
    let page = badges::sheet(&issued).ok_or_else(not_drawn)?;
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page))
}
