//! The job that makes templates of the present model from stored photos, after a change of the
//! model.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{TryStreamExt, pin_mut};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::warn;

use super::{
    enroll::concerns_one,
    handler::{Interruption, JobHandler, JobRun, JobType, NewJob},
};
use crate::{
    domain::{
        accounts::Actor,
        biometrics::ModelId,
        faces::FaceEnrollment,
        ids::EmployeeId,
        jobs::{Ability, JobKind},
    },
    ports::StoreError,
    repositories::{Repositories, Versioned},
    service::enrollment::{EnrollError, Enrollments, Reembedded},
};

/// The kind of these jobs.
pub const REEMBED: JobKind = JobKind::new("reembed");

/// The row of the registry.
pub(super) const TYPE: JobType = JobType {
    kind: REEMBED,
    handler: |services| {
        Arc::new(Reembed {
            stores: services.stores.clone(),
            enrollments: services.enrollments.clone(),
        })
    },
    by_name: Some(new_reembed),
    result_schema,
};

/// The maximum number of employees of a group in a result.
const FIRST_MOST: usize = 100;

/// The result so far, in employees.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReembedResult {
    /// How many have templates of the present model now.
    pub reembedded: u64,
    /// How many have no stored photos and must be enrolled again.
    pub without_photos: u64,
    /// How many have no usable photo and must be enrolled again.
    pub unusable: u64,
    /// The first 100 without stored photos.
    pub without_photos_first: Vec<EmployeeId>,
    /// The first 100 without a usable photo.
    pub unusable_first: Vec<EmployeeId>,
}

fn result_schema() -> serde_json::Value {
    let number =
        |description| json!({ "type": "integer", "minimum": 0, "description": description });
    let ids = |description| {
        let id = json!({ "type": "string", "format": "uuid" });
        json!({ "type": "array", "items": id, "description": description })
    };
    json!({
        "type": "object",
        "title": "ReembedResult",
        "description": "The result of a `reembed`.",
        "properties": {
            "reembedded": number("How many employees have templates of the present model now"),
            "without_photos": number("How many have no stored photos and must be enrolled again"),
            "unusable": number("How many have no usable photo and must be enrolled again"),
            "without_photos_first": ids("The first 100 without stored photos"),
            "unusable_first": ids("The first 100 without a usable photo"),
        },
        "required": [
            "reembedded", "without_photos", "unusable", "without_photos_first", "unusable_first",
        ],
    })
}

impl ReembedResult {
    fn count(&mut self, id: EmployeeId, outcome: Reembedded) {
        let (count, first) = match outcome {
            Reembedded::Done => return self.reembedded += 1,
            Reembedded::Unneeded => return,
            Reembedded::NoPhotos => (&mut self.without_photos, &mut self.without_photos_first),
            Reembedded::Unusable => (&mut self.unusable, &mut self.unusable_first),
        };
        *count += 1;
        if first.len() < FIRST_MOST {
            first.push(id);
        }
    }
}

/// Makes the job for a model.
fn new_reembed(model: &ModelId) -> NewJob {
    NewJob {
        kind: REEMBED,
        payload: model.to_string(),
        total: 0,
        once: Some(format!("{REEMBED}:{model}")),
    }
}

/// Returns the employees who are enrolled, but not under a model.
pub(super) async fn outdated(
    stores: &Repositories,
    model: &ModelId,
) -> Result<Vec<EmployeeId>, StoreError> {
    let mut found = Vec::new();
    let pages = stores.faces.pages();
    pin_mut!(pages);
    while let Some(page) = pages.try_next().await? {
        let outdated = |one: &&Versioned<FaceEnrollment>| {
            !one.templates().is_empty() && one.templates_of(model).next().is_none()
        };
        let outdated: Vec<_> = page
            .iter()
            .filter(outdated)
            .map(|one| one.employee)
            .collect();
        let employees = stores.employees.find_many(&outdated).await?;
        let present = employees.iter().filter(|one| one.deleted_at.is_none());
        found.extend(present.map(|employee| employee.id));
    }
    Ok(found)
}

/// Runs these jobs.
struct Reembed {
    stores: Repositories,
    enrollments: Arc<Enrollments>,
}

impl Reembed {
    /// Makes the templates of one employee, and waits while the face engine is busy.
    async fn reembed(
        &self,
        run: &JobRun<'_>,
        actor: Actor,
        id: EmployeeId,
    ) -> Result<Reembedded, Interruption> {
        let cause = match self.enrollments.reembed(actor, id, run.stop()).await {
            Ok(outcome) => return Ok(outcome),
            Err(cause) => concerns_one(id, cause)?,
        };
        match cause {
            EnrollError::NotFound | EnrollError::Inactive | EnrollError::NoConsent => {
                Ok(Reembedded::Unneeded)
            }
            cause => {
                warn!(employee = %id, %cause, "could not make a template from the stored photos");
                Ok(Reembedded::Unusable)
            }
        }
    }
}

#[async_trait]
impl JobHandler for Reembed {
    fn worker(&self) -> &'static str {
        "reembed jobs"
    }

    /// Only jobs for the model that this instance runs.
    fn ability(&self) -> Ability {
        Ability {
            kind: REEMBED,
            payload: Some(self.enrollments.model().to_string()),
        }
    }

    /// Processes the employees without templates of the model. An employee who got templates in an
    /// earlier attempt is skipped.
    async fn run(&self, run: &JobRun<'_>) -> Result<(), Interruption> {
        let job = run.job().await;
        let before: ReembedResult = job
            .result
            .and_then(|result| serde_json::from_str(&result).ok())
            .unwrap_or_default();
        let mut result = ReembedResult {
            reembedded: before.reembedded,
            ..ReembedResult::default()
        };
        let wanted = outdated(&self.stores, self.enrollments.model()).await?;
        let mut done = result.reembedded;
        let total = done + wanted.len() as u64;
        run.report(done, total, &result).await?;
        for id in wanted {
            result.count(id, self.reembed(run, job.created_by, id).await?);
            done += 1;
            run.report(done, total, &result).await?;
        }
        Ok(())
    }
}
