//! After a model change: templates of the present model from the photos that were kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{
    PAGE,
    running::{Left, Runner, Turn},
};
use crate::{
    domain::{accounts::Actor, ids::EmployeeId},
    ports::{EmployeeFilter, EngineError, Page},
    service::{
        enrollment::{EnrollError, Reembedded},
        identification::IdentifyError,
    },
};

/// The pause before a busy engine is asked again: those who wait before a camera come first.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// What came of it so far, in people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReembedResult {
    /// Those who have templates of the present model now.
    pub reembedded: u64,
    /// Those without kept photos: they have to be enrolled anew.
    pub without_photos: u64,
    /// Those of whose photos none can be used: they have to be enrolled anew, too.
    pub unusable: u64,
}

/// Who is enrolled, and not under the present model.
async fn wanted(runner: &Runner) -> Result<Vec<EmployeeId>, Left> {
    let (mut wanted, everybody) = (Vec::new(), EmployeeFilter::default());
    let mut page = Page {
        after: None,
        limit: PAGE,
    };
    loop {
        let people = runner.stores.employees.list(&everybody, &page).await?;
        for employee in people.iter().filter(|employee| employee.enrolled()) {
            if !runner.enrolling.is_present(employee.id).await? {
                wanted.push(employee.id);
            }
        }
        let Some(last) = people.last().filter(|_| people.len() == PAGE) else {
            return Ok(wanted);
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
    loop {
        match runner.enrolling.reembed(actor, id).await {
            Ok(done) => return Ok(done),
            Err(EnrollError::Identify(IdentifyError::Engine(EngineError::Overloaded))) => {
                turn.pause(BUSY_PAUSE).await?;
            }
            Err(EnrollError::Identify(IdentifyError::Engine(EngineError::Stopped))) => {
                return Err(Left::Stopping);
            }
            Err(EnrollError::Store(error)) => return Err(error.into()),
            // What is wrong with one person is not wrong with the others.
            Err(cause) => {
                warn!(employee = %id, %cause, "no template was made from the photos");
                return Ok(Reembedded::Unusable);
            }
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
    let wanted = wanted(runner).await?;
    let mut done = result.reembedded;
    let total = done + wanted.len() as u64;
    turn.tell(done, total, &result).await?;
    for id in wanted {
        match one(runner, turn, job.created_by, id).await? {
            Reembedded::Done => result.reembedded += 1,
            Reembedded::NoPhotos => result.without_photos += 1,
            Reembedded::Unusable => result.unusable += 1,
            Reembedded::Unneeded => {}
        }
        done += 1;
        turn.tell(done, total, &result).await?;
    }
    Ok(())
}
