//! Background jobs, one of which imports people.

use std::sync::{Arc, LazyLock};

use axum::{extract::State, http::HeaderMap};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::Error};
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, schema::Type},
};

use crate::{
    domain::{ids::JobId, jobs::JobKind},
    http::{
        auth::{Administering, Allowed},
        extract::{Json, Path, Query},
        list_body::read_list,
        page::{List, PageQuery},
        problem::{Code, Problem},
        views::{
            Created,
            jobs::{JobView, queued},
        },
    },
    service::jobs::{JobError, Jobs, KINDS, ListError, new_import},
};

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        let text = error.to_string();
        match error {
            JobError::NotFound => Self::not_found("job"),
            JobError::Full => Self::new(Code::TooManyJobs, text),
            JobError::Pending | JobError::Ended => Self::new(Code::Conflict, text),
            JobError::Unnamed(_) => Self::new(Code::Invalid, text),
            JobError::Store(error) => error.into(),
        }
    }
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Self {
        Self::new(Code::Invalid, error.to_string())
    }
}

/// Lists jobs, newest first. Ended jobs are kept for 14 days.
#[utoipa::path(
    get, path = "/api/jobs", tag = "jobs",
    params(PageQuery),
    responses((status = 200, description = "A page of jobs", body = List<JobView>)),
)]
pub async fn list_jobs(
    allowed: Allowed<Administering>,
    State(jobs): State<Arc<Jobs>>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<JobView>>, Problem> {
    let wanted = page.page()?;
    let found = jobs.list(allowed.reach(), &wanted.page).await?;
    let (found, next) = wanted.cut(found, |last| last.id)?;
    let items = found.iter().map(Into::into).collect();
    Ok(axum::Json(List { items, next }))
}

/// Returns a job and its progress.
#[utoipa::path(
    get, path = "/api/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "The job")),
    responses((status = 200, description = "The job", body = JobView)),
)]
pub async fn get_job(
    _: Allowed<Administering>,
    State(jobs): State<Arc<Jobs>>,
    Path(id): Path<JobId>,
) -> Result<axum::Json<JobView>, Problem> {
    let job = jobs.find(id).await?;
    Ok(axum::Json((&job).into()))
}

/// Cancels a job that has not ended. Completed steps are not undone.
#[utoipa::path(
    delete, path = "/api/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "Cancelled", body = JobView),
        (status = 409, description = "`conflict`: it has ended already"),
    ),
)]
pub async fn delete_job(
    allowed: Allowed<Administering>,
    State(jobs): State<Arc<Jobs>>,
    Path(id): Path<JobId>,
) -> Result<axum::Json<JobView>, Problem> {
    let job = jobs.cancel(allowed.actor(), id).await?;
    Ok(axum::Json((&job).into()))
}

/// The kinds that an admin can queue by their name alone.
static BY_NAME: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let by_name = KINDS.iter().filter(|kind| kind.by_name.is_some());
    by_name.map(|kind| kind.kind.as_str()).collect()
});

fn kind_schema() -> Object {
    let kinds = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(
            "A kind that needs no more than its name. `reembed` makes templates of the present model from stored photos.",
        ));
    kinds.enum_values(Some(BY_NAME.iter().copied())).build()
}

/// A kind that can be queued by its name alone.
struct NamedKind(JobKind);

impl<'de> Deserialize<'de> for NamedKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let kind = BY_NAME.iter().find(|known| **known == name);
        kind.map(|kind| Self(JobKind::new(kind)))
            .ok_or_else(|| D::Error::unknown_variant(&name, &BY_NAME))
    }
}

/// A new job.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// The kind.
    #[schema(schema_with = kind_schema)]
    kind: NamedKind,
}

/// Queues a job.
#[utoipa::path(
    post, path = "/api/jobs", tag = "jobs",
    request_body = NewJob,
    responses(
        (status = 202, description = "Queued", body = JobView,
         headers(("Location" = String, description = "The address of the job"))),
        (status = 409, description = "`conflict`: a job of this kind has not ended yet"),
        (status = 429, description = "`too_many_jobs`: 20 have not ended yet"),
    ),
)]
pub async fn create_job(
    allowed: Allowed<Administering>,
    State(jobs): State<Arc<Jobs>>,
    Json(new): Json<NewJob>,
) -> Result<Created<JobView>, Problem> {
    let job = jobs.queue_by_name(allowed.actor(), &new.kind.0).await?;
    Ok(queued(&job))
}

/// Queues the import of people from a list: CSV, at most 1 MiB, whose first row is `name,code`, and
/// perhaps `site`, `employed_from` and `employed_until`.
///
/// The separator is a comma, a semicolon or a tab; the text is UTF-8, UTF-16 with a byte order
/// mark, or Windows-1252. A row that spans several lines refuses the whole list. Each row is added,
/// or refused with a reason without stopping the others. An employee who exists with the same name
/// and code counts as `existing` or `inactive`, so a list can be sent again. The list has no faces:
/// enroll them afterwards.
#[utoipa::path(
    post, path = "/api/imports", tag = "jobs",
    request_body(content = String, content_type = "text/csv", example = "name,code,site\nGrace Hopper,E7,Harbor\n"),
    responses(
        (status = 202, description = "Queued", body = JobView,
         headers(("Location" = String, description = "The address of the job"))),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`invalid`: the list cannot be read"),
        (status = 429, description = "`too_many_jobs`: 20 have not ended yet"),
    ),
)]
pub async fn create_import(
    allowed: Allowed<Administering>,
    State(jobs): State<Arc<Jobs>>,
    headers: HeaderMap,
    list: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Created<JobView>, Problem> {
    let list = read_list(&headers, list)?;
    let job = jobs.queue(allowed.actor(), new_import(&list)?).await?;
    Ok(queued(&job))
}
