//! Background jobs, and the import of people as one of them.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{employees::Created, time};
use crate::{
    domain::{
        ids::JobId,
        jobs::{Job, JobState},
    },
    http::{
        auth::{Administering, Allowed},
        extract::{Json, Path, Query},
        page::{List, PageQuery},
        problem::{Code, Problem, too_large},
    },
    service::jobs::{BYTES_MOST, Jobs},
};

/// Something that is done in the background.
#[derive(Serialize, ToSchema)]
#[schema(title = "Job")]
pub struct JobView {
    /// Identity.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// `import` or `reembed`.
    #[schema(example = "import")]
    kind: &'static str,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    #[schema(example = "running")]
    state: &'static str,
    /// How much of it is done: rows of a list, or people.
    #[schema(example = 120)]
    done: u64,
    /// How much there is to do; 0 while nobody knows.
    #[schema(example = 500)]
    total: u64,
    /// How often it was begun since it last got further.
    #[schema(example = 1)]
    attempts: u32,
    /// When it is begun next, while it is queued.
    #[schema(format = "date-time")]
    due: Option<String>,
    /// What came of it so far. Of an import: `added`, `there`, `inactive`, `refused` and
    /// `refusals`, the first 100 with `line` and `reason`. Of `reembed`: `reembedded`,
    /// `without_photos` and `unusable`, in people, and the identities of the first 100 of the
    /// last two in `without_photos_first` and `unusable_first`.
    #[schema(value_type = Option<Object>)]
    result: Option<serde_json::Value>,
    /// Why the last attempt failed.
    error: Option<String>,
    /// Who asked for it.
    #[schema(example = "account:0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    created_by: String,
    /// When it was queued.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it ended.
    #[schema(format = "date-time")]
    finished_at: Option<String>,
}

impl From<&Job> for JobView {
    fn from(job: &Job) -> Self {
        let result = job.result.as_ref();
        Self {
            id: job.id.to_string(),
            kind: job.kind.as_str(),
            state: job.state.as_str(),
            done: job.done,
            total: job.total,
            attempts: job.attempts,
            due: job.due.filter(|_| job.state == JobState::Queued).map(time),
            result: result.and_then(|result| serde_json::from_str(result).ok()),
            error: job.error.clone(),
            created_by: job.created_by.to_string(),
            created_at: time(job.created_at),
            finished_at: job.finished_at.map(time),
        }
    }
}

fn queued(job: &Job) -> Created<JobView> {
    let location = format!("/api/jobs/{}", job.id);
    (
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        axum::Json(job.into()),
    )
}

/// Lists jobs, newest first. Those that ended are kept for 14 days.
#[utoipa::path(
    get, path = "/api/jobs", tag = "jobs",
    params(PageQuery),
    responses((status = 200, description = "A page of jobs", body = List<JobView>)),
    security(("session" = [])),
)]
pub async fn list_jobs(
    _: Allowed<Administering>,
    State(jobs): State<Arc<Jobs>>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<JobView>>, Problem> {
    let wanted = page.page()?;
    let found = jobs.list(&wanted.page).await?;
    let (found, next) = wanted.cut(found, |last| last.id)?;
    let items = found.iter().map(Into::into).collect();
    Ok(axum::Json(List { items, next }))
}

/// One job, to follow how far it is.
#[utoipa::path(
    get, path = "/api/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "The job", body = JobView),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn get_job(
    _: Allowed<Administering>,
    State(jobs): State<Arc<Jobs>>,
    Path(id): Path<JobId>,
) -> Result<axum::Json<JobView>, Problem> {
    let job = jobs.find(id).await?;
    Ok(axum::Json((&job).into()))
}

/// Ends a job that has not ended; what is done of it stays done.
#[utoipa::path(
    delete, path = "/api/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "Cancelled", body = JobView),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`conflict`: it has ended already"),
    ),
    security(("session" = [])),
)]
pub async fn delete_job(
    allowed: Allowed<Administering>,
    State(jobs): State<Arc<Jobs>>,
    Path(id): Path<JobId>,
) -> Result<axum::Json<JobView>, Problem> {
    let job = jobs.cancel(allowed.actor(), id).await?;
    Ok(axum::Json((&job).into()))
}

/// What can be asked for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NewJobKind {
    /// Templates of the present model from the photos that were kept.
    Reembed,
}

/// A new job.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// What is to be done.
    kind: NewJobKind,
}

/// Queues a job.
#[utoipa::path(
    post, path = "/api/jobs", tag = "jobs",
    request_body = NewJob,
    responses(
        (status = 202, description = "Queued", body = JobView,
         headers(("Location" = String, description = "The address of the job"))),
        (status = 409, description = "`conflict`: one of this kind has not ended yet"),
        (status = 429, description = "`too_many_jobs`: 20 have not ended yet"),
    ),
    security(("session" = [])),
)]
pub async fn create_job(
    allowed: Allowed<Administering>,
    State(jobs): State<Arc<Jobs>>,
    Json(new): Json<NewJob>,
) -> Result<Created<JobView>, Problem> {
    let job = match new.kind {
        NewJobKind::Reembed => jobs.reembed(allowed.actor()).await?,
    };
    Ok(queued(&job))
}

/// Queues adding people from a list: CSV, at most 1 MiB, whose first row is `name,code` or
/// `name,code,site`.
///
/// Commas, semicolons or tabs separate; the text is UTF-8, UTF-16 with a byte order mark, or
/// Windows-1252. A row that goes on over the end of its line refuses the whole list. Each row is
/// added, or refused with a reason while the others go on. Somebody who is there with the same
/// name and code counts as there, or as inactive, so that a list can be sent again. Faces are
/// enrolled afterwards, one by one.
#[utoipa::path(
    post, path = "/api/imports", tag = "jobs",
    request_body(content = String, content_type = "text/csv", example = "name,code,site\nGrace Hopper,E7,Harbour\n"),
    responses(
        (status = 202, description = "Queued", body = JobView,
         headers(("Location" = String, description = "The address of the job"))),
        (status = 413, description = "`too_large`"),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`invalid`: it is not such a list"),
        (status = 429, description = "`too_many_jobs`: 20 have not ended yet"),
    ),
    security(("session" = [])),
)]
pub async fn create_import(
    allowed: Allowed<Administering>,
    State(jobs): State<Arc<Jobs>>,
    headers: HeaderMap,
    list: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Created<JobView>, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let essence = content_type.and_then(|value| value.to_str().ok()?.split(';').next());
    if !essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("text/csv")) {
        return Err(Problem::new(
            Code::UnsupportedType,
            "send the list as the body, with Content-Type: text/csv",
        ));
    }
    let list = list.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large("the list", BYTES_MOST),
        _ => rejection.into(),
    })?;
    let job = jobs.import(allowed.actor(), &list).await?;
    Ok(queued(&job))
}
