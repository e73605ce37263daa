//! Background jobs.

use axum::http::{StatusCode, header};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{Object, OneOfBuilder, RefOr, Schema, schema::Type},
};

use super::{Created, time};
use crate::{
    domain::jobs::{Job, JobState},
    service::jobs::KINDS,
};

/// A background job.
#[derive(Serialize, ToSchema)]
#[schema(title = "Job")]
pub struct JobView {
    /// The ID.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// The kind, such as `import` or `reembed`.
    #[schema(example = "import")]
    kind: String,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    #[schema(example = "running")]
    state: &'static str,
    /// How many rows of a list, or people, are done.
    #[schema(example = 120)]
    done: u64,
    /// How many there are; 0 while that is not known.
    #[schema(example = 500)]
    total: u64,
    /// The attempts since the last progress.
    #[schema(example = 1)]
    attempts: u32,
    /// When the next attempt begins, while it is queued.
    #[schema(format = "date-time")]
    due: Option<String>,
    /// The result so far, in a form of the kind.
    #[schema(schema_with = result_schema)]
    result: Option<serde_json::Value>,
    /// Why the last attempt failed.
    error: Option<String>,
    /// Who queued it.
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
            kind: job.kind.to_string(),
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

/// Makes the response for a job that was queued.
pub fn queued(job: &Job) -> Created<JobView> {
    let location = format!("/api/jobs/{}", job.id);
    (
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        axum::Json(job.into()),
    )
}

/// The schema of the results of all kinds.
fn result_schema() -> RefOr<Schema> {
    let mut schemas = OneOfBuilder::new().item(Object::with_type(Type::Null));
    for kind in KINDS {
        let schema = serde_json::from_value::<Schema>((kind.result_schema)());
        // A schema that cannot be read says no more than that the result is an object.
        schemas = schemas.item(schema.unwrap_or_else(|_| Object::new().into()));
    }
    let schemas = schemas.description(Some(
        "The result so far; its fields depend on the kind. `null` before the first attempt.",
    ));
    RefOr::T(Schema::OneOf(schemas.build()))
}
