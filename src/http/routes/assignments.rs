//! Assignments of shifts to employees.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use crate::{
    domain::{
        ids::AssignmentId,
        plans::{Assigned, Assignment},
    },
    http::{
        auth::{Allowed, Correcting, Reading},
        extract::{Json, Path, Query},
        field_error::FieldError,
        page::{List, PageQuery},
        problem::Problem,
        views::{
            employees::names_of,
            plans::{AssignmentView, NewAssignment, PlanQuery},
        },
    },
    service::{
        assignments::{AssignmentError, Assignments},
        employees::Employees,
    },
};

impl From<AssignmentError> for Problem {
    fn from(error: AssignmentError) -> Self {
        match error {
            AssignmentError::NotFound => Self::not_found("assignment"),
            AssignmentError::UnknownEmployee(place) => {
                Self::field(&format!("employees[{place}]"), FieldError::UnknownEmployee)
            }
            AssignmentError::UnknownCycle => Self::field("cycle", FieldError::UnknownCycle),
            AssignmentError::UnknownShift(place) => {
                Self::field(&format!("shifts[{place}]"), FieldError::UnknownShift)
            }
            AssignmentError::Overlap(overlap) => Self::field("shifts", overlap),
            AssignmentError::Store(error) => error.into(),
        }
    }
}

/// Returns the views of assignments.
async fn views(
    assignments: &Assignments,
    employees: &Employees,
    found: &[Assignment],
) -> Result<Vec<AssignmentView>, Problem> {
    let rota = assignments.rota().await?;
    let people = names_of(employees, found.iter().map(|one| one.employee)).await?;
    let view = |one| AssignmentView::new(one, &rota, &people);
    Ok(found.iter().map(view).collect())
}

/// Lists the assignments that cover one of the dates, by employee and by the time when they were
/// made.
#[utoipa::path(
    get, path = "/api/assignments", tag = "plans",
    params(PlanQuery, PageQuery),
    responses((status = 200, description = "A page of assignments", body = List<AssignmentView>)),
)]
pub async fn list_assignments(
    allowed: Allowed<Reading>,
    State(assignments): State<Arc<Assignments>>,
    State(employees): State<Arc<Employees>>,
    Query(query): Query<PlanQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<AssignmentView>>, Problem> {
    let ((whose, dates), wanted) = (query.read()?, page.page()?);
    let found = assignments.list(allowed.reach(), whose, dates, &wanted.page);
    let (found, next) = wanted.cut(found.await?, |last| (last.employee, last.made_at, last.id))?;
    let items = views(&assignments, &employees, &found).await?;
    Ok(axum::Json(List { items, next }))
}

/// Assigns a cycle, or the shifts of a single day, to employees. If it does not fit one of them,
/// nobody gets it.
#[utoipa::path(
    post, path = "/api/assignments", tag = "plans",
    request_body = NewAssignment,
    responses((status = 201, description = "Added, one for each employee", body = List<AssignmentView>)),
)]
pub async fn create_assignments(
    allowed: Allowed<Correcting>,
    State(assignments): State<Arc<Assignments>>,
    State(employees): State<Arc<Employees>>,
    Json(new): Json<NewAssignment>,
) -> Result<(StatusCode, axum::Json<List<AssignmentView>>), Problem> {
    let (ids, plan) = new.read()?;
    let made = assignments.add(allowed.reach(), allowed.actor(), &ids, &plan);
    let made = made.await.map_err(|error| match (error, &plan) {
        (AssignmentError::Overlap(overlap), Assigned::Cycle { .. }) => {
            Problem::field("cycle", overlap)
        }
        (error, _) => error.into(),
    })?;
    let items = views(&assignments, &employees, &made).await?;
    let list = List { items, next: None };
    Ok((StatusCode::CREATED, axum::Json(list)))
}

/// Deletes an assignment. Earlier ones hold instead.
#[utoipa::path(
    delete, path = "/api/assignments/{id}", tag = "plans",
    params(("id" = String, Path, description = "The assignment")),
    responses((status = 204, description = "Deleted")),
)]
pub async fn delete_assignment(
    allowed: Allowed<Correcting>,
    State(assignments): State<Arc<Assignments>>,
    Path(id): Path<AssignmentId>,
) -> Result<StatusCode, Problem> {
    assignments
        .remove(allowed.reach(), allowed.actor(), id)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
