//! Saved punches that the service refused when a kiosk delivered them: takes them from kiosks, and
//! lets managers add them as corrections or dismiss them.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tracing::info;

use super::{
    audit::Audit,
    feed::{Feed, News},
    pictures::{PictureError, Pictures},
    timesheets::{By, Change, FiledCorrection, NewCorrection, TimesheetError, Timesheets},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::{Capture, Origin, PunchKind},
        biometrics::Views,
        devices::Device,
        grants::Reach,
        ids::{EmployeeId, PictureId, RefusedPunchId, SiteId},
        refused_punches::{PunchedWith, RefusalReason, RefusedPunch, Resolution},
        samples::Still,
        text::{Code, IdempotencyKey, Reason},
    },
    ports::{EngineError, FaceEngine, Page, Sample, StoreError, Work},
    repositories::{Repositories, Versioned},
};

/// How long a manager who adds a refused punch keeps others from it. If the correction is not made
/// by then, it never will be.
const CLAIMED: SignedDuration = SignedDuration::from_mins(1);

/// Why a refused punch was not taken.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// Too many of the kiosk wait.
    #[error("too many refused punches of this device wait for a manager")]
    TooMany,
    /// The face engine is not available.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The picture could not be kept.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a refused punch was not resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// It does not exist, or is not covered.
    #[error("no such refused punch")]
    NotFound,
    /// It was added or dismissed before.
    #[error("another person has decided about this punch: read the list again")]
    Resolved,
    /// A request that has just begun adds it, or has failed at that.
    #[error("another request is adding this punch: try again in a minute")]
    BeingAdded,
    /// The correction could not be made.
    #[error(transparent)]
    Timesheet(#[from] TimesheetError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A refused punch as a kiosk hands it over.
#[derive(Debug, Clone)]
pub struct HandedOver {
    /// The kiosk's key of the punch.
    pub key: IdempotencyKey,
    /// What the person punched with.
    pub with: PunchedWith,
    /// Why it was refused.
    pub reason: RefusalReason,
    /// When it was captured, and when this was sent.
    pub capture: Capture,
    /// The staff number that was typed.
    pub code: Option<Code>,
    /// A frame, if it was a face.
    pub frame: Option<Sample>,
}

/// The service for refused punches.
#[derive(derive_new::new)]
pub struct RefusedPunches {
    stores: Repositories,
    engine: Arc<dyn FaceEngine>,
    pictures: Arc<Pictures>,
    timesheets: Arc<Timesheets>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    feed: Feed,
}

impl RefusedPunches {
    /// Takes a refused punch from a kiosk. Returns its ID, and whether it is new: a kiosk that did
    /// not get the answer hands it over again.
    pub async fn take(
        &self,
        device: &Device,
        new: HandedOver,
    ) -> Result<(RefusedPunchId, bool), HandOverError> {
        let records = &self.stores.refused_punches;
        if let Some(known) = records.find_by_key(device.id, &new.key).await? {
            return Ok((known.id, false));
        }
        if records.count_waiting(device.id).await? >= RefusedPunch::MOST_WAITING {
            return Err(HandOverError::TooMany);
        }
        let now = self.clock.now();
        let at = new.capture.by_server(now).min(now);
        let employee = match &new.code {
            Some(code) => self.stores.employees.find_by_code(code).await?,
            None => None,
        };
        let picture = match new.frame {
            Some(frame) => self.keep_face(device, at, frame).await?,
            None => None,
        };
        let refused = RefusedPunch {
            id: RefusedPunchId::new(self.clock.id()),
            device: device.id,
            site: device.site,
            key: new.key,
            with: new.with,
            reason: new.reason,
            at,
            received_at: now,
            code: new.code.filter(|_| employee.is_none()),
            employee: employee.map(|employee| employee.id),
            picture,
            resolution: None,
        };
        match records.insert(&refused).await {
            Ok(()) => {
                info!(refused_punch = %refused.id, device = %device.id, "took a refused punch");
                self.feed.publish(News::Device(device.id)).await;
                Ok((refused.id, true))
            }
            // The kiosk handed it over twice at once.
            Err(StoreError::Conflict) => {
                if let Some(picture) = picture {
                    self.stores.pictures.delete(picture).await?;
                }
                let known = records.find_by_key(device.id, &refused.key).await?;
                Ok((known.ok_or(StoreError::Conflict)?.id, false))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps the largest face of a frame, if the installation keeps unknown faces and there is one.
    async fn keep_face(
        &self,
        device: &Device,
        at: Timestamp,
        frame: Sample,
    ) -> Result<Option<PictureId>, HandOverError> {
        if !self.pictures.keeps().unknown {
            return Ok(None);
        }
        let origin = Origin::Device(device.id);
        let work = Work {
            views: Views::One,
            embed: 0,
            photo: false,
            sender: Some(origin),
        };
        let face = match self.engine.analyze(frame.clone(), work).await {
            Ok(analysis) => analysis.faces.into_iter().next(),
            // A frame that cannot be read shows no one.
            Err(EngineError::Sample(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(face) = face else { return Ok(None) };
        let still = Still {
            sample: frame,
            face: face.bounds,
        };
        let kept = self.pictures.keep_unknown(origin, device.site, at, still);
        Ok(Some(kept.await?))
    }

    /// Returns a page of the covered ones, latest received first, at `site` if given; with
    /// `resolved` also those that were resolved.
    pub async fn list(
        &self,
        reach: &Reach,
        site: Option<SiteId>,
        resolved: bool,
        page: &Page<(Timestamp, RefusedPunchId)>,
    ) -> Result<Vec<RefusedPunch>, StoreError> {
        let records = &self.stores.refused_punches;
        records.list(reach, site, resolved, page).await
    }

    /// Adds a refused punch to the punches of an employee as a correction, by the rules for
    /// corrections.
    pub async fn add(
        &self,
        by: By<'_>,
        id: RefusedPunchId,
        (employee, kind): (EmployeeId, PunchKind),
        reason: Reason,
        adjust: bool,
    ) -> Result<FiledCorrection, ResolveError> {
        let waiting = self.find_waiting(by.reach, id).await?;
        // Claimed before, so that two managers add one correction.
        let claimed = self.resolve(by.actor, &waiting, Some(employee)).await?;
        let at = waiting.at;
        let correction = NewCorrection {
            change: Change::Add { kind, at },
            reason,
            adjust,
        };
        let id = waiting.correction();
        match self
            .timesheets
            .correct_as(id, by, employee, correction)
            .await
        {
            Ok(filed) => {
                self.finish(by.actor, claimed).await?;
                Ok(filed)
            }
            // It may have been made: see `check_abandoned`.
            Err(error @ TimesheetError::Store(_)) => Err(error.into()),
            Err(error) => {
                let released = RefusedPunch {
                    resolution: None,
                    ..(*waiting).clone()
                };
                self.stores.refused_punches.swap(&claimed, released).await?;
                Err(error.into())
            }
        }
    }

    /// Dismisses a refused punch: nobody punched.
    pub async fn dismiss(
        &self,
        reach: &Reach,
        actor: Actor,
        id: RefusedPunchId,
    ) -> Result<(), ResolveError> {
        let waiting = self.find_waiting(reach, id).await?;
        let resolved = self.resolve(actor, &waiting, None).await?;
        Ok(self.finish(actor, resolved).await?)
    }

    async fn find_waiting(
        &self,
        reach: &Reach,
        id: RefusedPunchId,
    ) -> Result<Versioned<RefusedPunch>, ResolveError> {
        let found = self.stores.refused_punches.read(id).await?;
        let found = found.filter(|refused| reach.covers(&**refused));
        let found = found.ok_or(ResolveError::NotFound)?;
        match found.resolution {
            None => {}
            Some(claim) if claim.pending => self.check_abandoned(&found, claim).await?,
            Some(_) => return Err(ResolveError::Resolved),
        }
        Ok(found)
    }

    /// Checks that a claim has no effect, because the process ended or the store failed before
    /// the correction was made. If it was made, finishes what is left.
    async fn check_abandoned(
        &self,
        found: &Versioned<RefusedPunch>,
        claim: Resolution,
    ) -> Result<(), ResolveError> {
        let Some(employee) = claim.added_to else {
            return Ok(());
        };
        let made = self
            .timesheets
            .is_made(found.correction(), employee, found.at);
        if made.await? {
            self.finish(claim.by, found.clone()).await?;
            return Err(ResolveError::Resolved);
        }
        match self.clock.now().duration_since(claim.at) >= CLAIMED {
            true => Ok(()),
            false => Err(ResolveError::BeingAdded),
        }
    }

    async fn resolve(
        &self,
        actor: Actor,
        waiting: &Versioned<RefusedPunch>,
        added_to: Option<EmployeeId>,
    ) -> Result<Versioned<RefusedPunch>, ResolveError> {
        let (action, detail) = match added_to {
            Some(employee) => ("refused_punch.add", Some(format!("to {employee}"))),
            None => ("refused_punch.dismiss", None),
        };
        let audit = &self.audit;
        audit.record(actor, action, waiting.id, detail).await?;
        let resolved = RefusedPunch {
            resolution: Some(Resolution {
                added_to,
                by: actor,
                at: self.clock.now(),
                pending: added_to.is_some(),
            }),
            ..(**waiting).clone()
        };
        let swapped = self.stores.refused_punches.swap(waiting, resolved).await?;
        swapped.ok_or(ResolveError::Resolved)
    }

    /// Marks a punch as resolved, and deletes its picture, which has served its purpose.
    async fn finish(
        &self,
        actor: Actor,
        resolved: Versioned<RefusedPunch>,
    ) -> Result<(), StoreError> {
        if let Some(claim) = resolved.resolution.filter(|claim| claim.pending) {
            let done = RefusedPunch {
                resolution: Some(Resolution {
                    pending: false,
                    ..claim
                }),
                ..(*resolved).clone()
            };
            // If another request changed it, that one finished it.
            self.stores.refused_punches.swap(&resolved, done).await?;
        }
        if let Some(picture) = resolved.picture {
            let everything = Reach::Everything;
            let deleted = self.pictures.delete_unknown(&everything, actor, picture);
            deleted.await?;
        }
        self.feed.publish(News::Device(resolved.device)).await;
        Ok(())
    }
}
