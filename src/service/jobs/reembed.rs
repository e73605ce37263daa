//! After a model change: templates of the present model from the photos that were kept.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{
    PAGE,
    running::{Left, Runner, Turn},
};
use crate::{
    domain::{accounts::Actor, biometrics::ModelId, employees::Employee, ids::EmployeeId},
    ports::{EmployeeFilter, EngineError, Page, StoreError, Stores},
    service::{
        enrollment::{EnrollError, Reembedded},
        identification::IdentifyError,
        references::ReferenceError,
    },
};

/// How many people of a class are named.
const NAMED_MOST: usize = 100;

/// What came of it so far, in people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReembedResult {
    /// Those who have templates of the present model now.
    pub reembedded: u64,
    /// Those without kept photos: they have to be enrolled anew.
    pub without_photos: u64,
    /// Those of whose photos none can be used: they have to be enrolled anew, too.
    pub unusable: u64,
    /// The first 100 of those without kept photos.
    pub without_photos_first: Vec<EmployeeId>,
    /// The first 100 of those whose photos cannot be used.
    pub unusable_first: Vec<EmployeeId>,
}

impl ReembedResult {
    fn count(&mut self, id: EmployeeId, became: Reembedded) {
        let (count, first) = match became {
            Reembedded::Done => return self.reembedded += 1,
            Reembedded::Unneeded => return,
            Reembedded::NoPhotos => (&mut self.without_photos, &mut self.without_photos_first),
            Reembedded::Unusable => (&mut self.unusable, &mut self.unusable_first),
        };
        *count += 1;
        if first.len() < NAMED_MOST {
            first.push(id);
        }
    }
}

/// Who has templates of a model.
async fn enrolled_under(
    stores: &Stores,
    model: &ModelId,
) -> Result<HashSet<EmployeeId>, StoreError> {
    let (mut found, limit) = (HashSet::new(), 1000);
    let mut page = Page { after: None, limit };
    loop {
        let templates = stores.templates.list(model, &page).await?;
        found.extend(templates.iter().map(|template| template.employee));
        let Some(last) = templates.last().filter(|_| templates.len() == limit) else {
            return Ok(found);
        };
        page.after = Some(last.id);
    }
}

/// Everybody who is enrolled, and not under a model.
pub(super) async fn outdated(
    stores: &Stores,
    model: &ModelId,
) -> Result<Vec<EmployeeId>, StoreError> {
    let present = enrolled_under(stores, model).await?;
    let (mut found, everybody) = (Vec::new(), EmployeeFilter::default());
    let mut page = Page {
        after: None,
        limit: PAGE,
    };
    loop {
        let people = stores.employees.list(&everybody, &page).await?;
        let outdated = |one: &&Employee| one.enrolled() && !present.contains(&one.id);
        found.extend(people.iter().filter(outdated).map(|employee| employee.id));
        let Some(last) = people.last().filter(|_| people.len() == PAGE) else {
            return Ok(found);
        };
        page.after = Some((last.name.key(), last.id));
    }
}

/// One person, however long the engine is busy.
async fn one(
    runner: &Runner,
    turn: &Turn<'_>,
    actor: Actor,
    id: EmployeeId,
) -> Result<Reembedded, Left> {
    let sealed = |cause: &dyn std::fmt::Display| {
        Left::Never(format!(
            "what is kept of employee {id} cannot be opened: {cause}"
        ))
    };
    let cause = match runner.enrolling.reembed(actor, id, turn.stop()).await {
        Ok(became) => return Ok(became),
        Err(cause) => cause,
    };
    match cause {
        EnrollError::Store(error)
        | EnrollError::Identify(
            IdentifyError::Store(error) | IdentifyError::Reference(ReferenceError::Store(error)),
        ) => Err(error.into()),
        EnrollError::Identify(IdentifyError::Engine(EngineError::Stopped)) => Err(Left::Stopping),
        EnrollError::Identify(IdentifyError::Engine(
            error @ (EngineError::Overloaded | EngineError::Failed(_)),
        )) => {
            warn!(employee = %id, cause = %error, "the face engine failed in a job");
            Err(Left::Again(format!(
                "the face engine failed on a photo of employee {id}: see the log"
            )))
        }
        EnrollError::Vault(cause) => Err(sealed(&cause)),
        EnrollError::Identify(IdentifyError::Reference(ReferenceError::Sealed {
            cause, ..
        })) => Err(sealed(&cause)),
        // What is wrong with one person is not wrong with the others.
        EnrollError::NotFound | EnrollError::Inactive | EnrollError::NoConsent => {
            Ok(Reembedded::Unneeded)
        }
        EnrollError::PhotoCount
        | EnrollError::Full
        | EnrollError::NoUsablePhoto(_)
        | EnrollError::Duplicate { .. }
        | EnrollError::Identify(
            IdentifyError::Engine(EngineError::Sample(_))
            | IdentifyError::NoCalibration
            | IdentifyError::NotEnrolled,
        ) => {
            warn!(employee = %id, %cause, "no template was made from the photos");
            Ok(Reembedded::Unusable)
        }
    }
}

/// Goes over those who need it. Who got templates in an earlier attempt is not among them.
pub(super) async fn run(runner: &Runner, turn: &Turn<'_>) -> Result<(), Left> {
    let job = turn.job().await;
    let before: ReembedResult = job
        .result
        .and_then(|result| serde_json::from_str(&result).ok())
        .unwrap_or_default();
    let mut result = ReembedResult {
        reembedded: before.reembedded,
        ..ReembedResult::default()
    };
    let wanted = outdated(&runner.stores, runner.enrolling.model()).await?;
    let mut done = result.reembedded;
    let total = done + wanted.len() as u64;
    turn.tell(done, total, &result).await?;
    for id in wanted {
        result.count(id, one(runner, turn, job.created_by, id).await?);
        done += 1;
        turn.tell(done, total, &result).await?;
    }
    Ok(())
}
