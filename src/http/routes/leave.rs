//! Leave of employees.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{FromRef, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    domain::{
        attendance::DateRange,
        grants::{Permission, Reach},
        ids::LeaveId,
        plans::{Leave, LeaveState},
    },
    http::{
        HttpState,
        auth::{Allowed, Correcting, Own, Permit, Reading, Requesting},
        deciding::Deciding,
        extract::{Json, Path, Query},
        field_error::FieldError,
        page::{List, PageQuery},
        problem::{Code, Problem},
        views::{
            employees::names_of,
            plans::{AddedLeaveView, LeaveView, NewLeaveView, PlanQuery},
            punches::NameLookup,
        },
    },
    ports::{LeaveFilter, StoreError},
    service::{
        assignments::Whose,
        catalog::LeaveKinds,
        employees::Employees,
        leave::{LeaveError, LeaveService},
        timesheets::By,
    },
};

impl From<LeaveError> for Problem {
    fn from(error: LeaveError) -> Self {
        match error {
            LeaveError::NotFound => Self::not_found("leave"),
            LeaveError::UnknownEmployee => Self::field("employee", FieldError::UnknownEmployee),
            LeaveError::UnknownKind => Self::field("kind", FieldError::UnknownLeaveKind),
            LeaveError::Overlap(other) => Self::field(
                "from",
                FieldError::OverlappingLeave {
                    from: other.from,
                    to: other.to,
                    state: other.state.as_str(),
                },
            ),
            LeaveError::Exceeds => Self::new(Code::LeaveExceeded, error.to_string()),
            LeaveError::Decided(..) => Self::new(Code::AlreadyDecided, error.to_string()),
            LeaveError::FourEyes => Self::new(Code::FourEyes, error.to_string()),
            LeaveError::OwnHours => Self::new(Code::OwnHours, error.to_string()),
            LeaveError::Raced => StoreError::Conflict.into(),
            LeaveError::Store(error) => error.into(),
        }
    }
}

/// What the routes of leave use.
#[derive(Clone)]
pub struct Desk {
    leave: Arc<LeaveService>,
    kinds: Arc<LeaveKinds>,
    employees: Arc<Employees>,
    names: NameLookup,
}

impl FromRef<HttpState> for Desk {
    fn from_ref(state: &HttpState) -> Self {
        Self {
            leave: state.app.leave.clone(),
            kinds: state.app.leave_kinds.clone(),
            employees: state.app.employees.clone(),
            names: NameLookup::from_ref(state),
        }
    }
}

impl Desk {
    /// Returns the views of leave.
    async fn views(&self, found: &[Leave]) -> Result<Vec<LeaveView>, Problem> {
        let kinds = self.kinds.all().await?.into_iter();
        let kinds: HashMap<_, _> = kinds
            .map(|kind| (kind.id, kind.settings.name.to_string()))
            .collect();
        let people = names_of(&self.employees, found.iter().map(|one| one.employee)).await?;
        let accounts = self.names.accounts(found.iter().map(|one| one.made_by));
        let accounts = accounts.await?;
        let view = |one| LeaveView::new(one, &kinds, &people, &accounts);
        Ok(found.iter().map(view).collect())
    }

    /// Returns a page of the covered leave.
    async fn list(
        &self,
        reach: &Reach,
        whose: Whose,
        within: DateRange,
        (state, page): (StateQuery, PageQuery),
    ) -> Result<axum::Json<List<LeaveView>>, Problem> {
        let wanted = page.page()?;
        let state = state.state.map(|text| LeaveState::parse(&text)).transpose();
        let state = state.map_err(|error| Problem::field("state", error))?;
        let filter = LeaveFilter { state, within };
        let (after, limit) = (wanted.page.after, wanted.page.limit);
        let found = self.leave.list(reach, whose, filter, after, limit).await?;
        let (found, next) = wanted.cut(found, |last| last.id)?;
        let items = self.views(&found).await?;
        Ok(axum::Json(List { items, next }))
    }

    async fn view(&self, leave: Leave) -> Result<axum::Json<LeaveView>, Problem> {
        let views = self.views(&[leave]).await?.into_iter();
        let view = views.last();
        view.map(axum::Json)
            .ok_or_else(|| Problem::internal("leave without a view"))
    }

    /// Gives leave another state.
    async fn decide<P: Permit>(
        &self,
        allowed: &Allowed<P>,
        id: LeaveId,
        state: LeaveState,
    ) -> Result<axum::Json<LeaveView>, Problem> {
        let deciding = Deciding::of(allowed)?;
        let By {
            reach, actor, own, ..
        } = deciding.by(allowed);
        let leave = self.leave.decide(reach, (actor, own), id, state).await?;
        self.view(leave).await
    }
}

/// The leave to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StateQuery {
    /// Only leave in this state: `requested`, `approved`, `rejected`, `withdrawn` or `cancelled`.
    state: Option<String>,
}

/// Lists the leave that covers one of the dates: by employee and first date, or with a state by the
/// time when it was made.
#[utoipa::path(
    get, path = "/api/leave", tag = "plans",
    params(PlanQuery, StateQuery, PageQuery),
    responses((status = 200, description = "A page of leave", body = List<LeaveView>)),
)]
pub async fn list_leave(
    allowed: Allowed<Reading>,
    State(desk): State<Desk>,
    Query(query): Query<PlanQuery>,
    Query(state): Query<StateQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<LeaveView>>, Problem> {
    let (whose, within) = query.read()?;
    desk.list(allowed.reach(), whose, within, (state, page))
        .await
}

/// The own leave to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OwnLeaveQuery {
    /// The first date.
    #[param(format = "date")]
    from: Option<String>,
    /// The last date.
    #[param(format = "date")]
    to: Option<String>,
}

/// Lists the caller's own leave, as `GET /api/leave`.
#[utoipa::path(
    get, path = "/api/me/leave", tag = "me",
    params(OwnLeaveQuery, StateQuery, PageQuery),
    responses(
        (status = 200, description = "A page of leave", body = List<LeaveView>),
        (status = 404, description = "`not_found`: the account belongs to no employee"),
    ),
)]
pub async fn list_own_leave(
    own: Own,
    State(desk): State<Desk>,
    Query(OwnLeaveQuery { from, to }): Query<OwnLeaveQuery>,
    Query(state): Query<StateQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<LeaveView>>, Problem> {
    let (whose, within) = PlanQuery::of(own.employee, from, to).read()?;
    desk.list(&own.reach, whose, within, (state, page)).await
}

/// Requests leave, or enters it as approved.
#[utoipa::path(
    post, path = "/api/leave", tag = "plans",
    request_body = NewLeaveView,
    responses(
        (status = 201, description = "Added", body = AddedLeaveView),
        (status = 403, description = "`four_eyes` or `own_hours`: another person must approve it"),
        (status = 409, description = "`leave_exceeded`: the kind of leave is limited, and it is more than what is left"),
    ),
)]
pub async fn create_leave(
    allowed: Allowed<Requesting>,
    State(desk): State<Desk>,
    Json(new): Json<NewLeaveView>,
) -> Result<(StatusCode, axum::Json<AddedLeaveView>), Problem> {
    let approved = new.approved;
    let reach = match approved {
        true if !allowed.permits(Permission::Correct) => {
            let detail = "only managers and admins may enter leave as approved";
            return Err(Problem::new(Code::Forbidden, detail));
        }
        true => allowed.reach_of(Permission::Correct),
        false => allowed.reach().clone(),
    };
    let deciding = Deciding::of(&allowed)?;
    let By { actor, own, .. } = deciding.by(&allowed);
    let added = desk.leave.add(&reach, (actor, own), new.read()?, approved);
    let (leave, exceeds) = added.await?;
    let axum::Json(leave) = desk.view(leave).await?;
    let view = AddedLeaveView { leave, exceeds };
    Ok((StatusCode::CREATED, axum::Json(view)))
}

/// Approves leave that is requested.
#[utoipa::path(
    post, path = "/api/leave/{id}/approve", tag = "plans",
    params(("id" = String, Path, description = "The leave")),
    responses(
        (status = 200, description = "Approved", body = LeaveView),
        (status = 403, description = "`four_eyes` or `own_hours`: another person must approve it"),
        (status = 409, description = "`already_decided`, or `conflict` if other requests keep changing it at the same time"),
    ),
)]
pub async fn approve_leave(
    allowed: Allowed<Correcting>,
    State(desk): State<Desk>,
    Path(id): Path<LeaveId>,
) -> Result<axum::Json<LeaveView>, Problem> {
    desk.decide(&allowed, id, LeaveState::Approved).await
}

/// Rejects leave that is requested.
#[utoipa::path(
    post, path = "/api/leave/{id}/reject", tag = "plans",
    params(("id" = String, Path, description = "The leave")),
    responses(
        (status = 200, description = "Rejected", body = LeaveView),
        (status = 409, description = "`already_decided`, or `conflict` if other requests keep changing it at the same time"),
    ),
)]
pub async fn reject_leave(
    allowed: Allowed<Correcting>,
    State(desk): State<Desk>,
    Path(id): Path<LeaveId>,
) -> Result<axum::Json<LeaveView>, Problem> {
    desk.decide(&allowed, id, LeaveState::Rejected).await
}

/// Takes back leave that is requested.
#[utoipa::path(
    post, path = "/api/leave/{id}/withdraw", tag = "plans",
    params(("id" = String, Path, description = "The leave")),
    responses(
        (status = 200, description = "Withdrawn", body = LeaveView),
        (status = 409, description = "`already_decided`, or `conflict` if other requests keep changing it at the same time"),
    ),
)]
pub async fn withdraw_leave(
    allowed: Allowed<Requesting>,
    State(desk): State<Desk>,
    Path(id): Path<LeaveId>,
) -> Result<axum::Json<LeaveView>, Problem> {
    desk.decide(&allowed, id, LeaveState::Withdrawn).await
}

/// Takes back leave that is approved.
#[utoipa::path(
    post, path = "/api/leave/{id}/cancel", tag = "plans",
    params(("id" = String, Path, description = "The leave")),
    responses(
        (status = 200, description = "Cancelled", body = LeaveView),
        (status = 409, description = "`already_decided`, or `conflict` if other requests keep changing it at the same time"),
    ),
)]
pub async fn cancel_leave(
    allowed: Allowed<Correcting>,
    State(desk): State<Desk>,
    Path(id): Path<LeaveId>,
) -> Result<axum::Json<LeaveView>, Problem> {
    desk.decide(&allowed, id, LeaveState::Cancelled).await
}
