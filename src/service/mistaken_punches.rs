//! Punches that a person takes back at the kiosk because it recognized another person in them, and
//! what Rollcall learns from that.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tracing::warn;

use super::{
    audit::Audit,
    gallery_loader::{GalleryLoader, ReferenceError},
    timesheets::{TimesheetError, Timesheets},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::{CorrectionRefusal, Origin, Proof, Punch},
        devices::Device,
        faces::FaceEnrollment,
        ids::{EmployeeId, PunchId},
    },
    ports::{Quota, RateLimits, StoreError},
    repositories::Repositories,
};

/// Time within which a person can take back a punch: as long as the kiosk offers it, and a moment for
/// the request.
const TAKE_BACK: SignedDuration = SignedDuration::from_secs(15 + 3);

/// Time within which another punch takes the place of one that was taken back.
const REPLACE: SignedDuration = SignedDuration::from_secs(90);

/// One new punch in place of one that was taken back. Afterward no punch takes its place, however
/// late an offline capture arrives.
const ONCE: Quota = Quota {
    most: 1,
    window: Duration::from_hours(72),
};

/// Why a punch was not taken back.
#[derive(Debug, thiserror::Error)]
pub enum TakeBackError {
    /// The device made no such punch of a face, or it was captured offline.
    #[error("this device has no such punch of a face")]
    NotFound,
    /// The time is over.
    #[error("a punch can be taken back for 15 seconds: ask a manager to correct it")]
    TooLate,
    /// The punch could not be voided.
    #[error(transparent)]
    Timesheet(TimesheetError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TimesheetError> for TakeBackError {
    fn from(error: TimesheetError) -> Self {
        match error {
            TimesheetError::Store(error) => Self::Store(error),
            error => Self::Timesheet(error),
        }
    }
}

/// The service for mistaken punches.
#[derive(derive_new::new)]
pub struct MistakenPunches {
    stores: Repositories,
    timesheets: Arc<Timesheets>,
    loader: Arc<GalleryLoader>,
    limits: Arc<dyn RateLimits>,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl MistakenPunches {
    /// Takes back a punch of a face that the device has just made: it does not count, and a manager
    /// decides whether that is right. Does nothing if it was taken back before.
    pub async fn take_back(&self, device: &Device, id: PunchId) -> Result<(), TakeBackError> {
        let punch = self.stores.punches.find(id).await?;
        let origin = Origin::Device(device.id);
        let by_face = |punch: &Punch| matches!(punch.proof, Proof::Face(_));
        let punch = punch.filter(|punch| {
            punch.origin == origin && by_face(punch) && punch.captured_at.is_none()
        });
        let punch = punch.ok_or(TakeBackError::NotFound)?;
        if self.clock.now().duration_since(punch.recorded_at) > TAKE_BACK {
            return Err(TakeBackError::TooLate);
        }
        match self
            .timesheets
            .void_mistaken(Actor::Device(device.id), &punch)
            .await
        {
            Ok(_) | Err(TimesheetError::Correction(CorrectionRefusal::Voided)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the employee who was recognized in a punch that was taken back at an origin shortly
    /// before a capture; `None` if there is no such punch.
    pub async fn find(
        &self,
        origin: Origin,
        id: PunchId,
        captured: Timestamp,
    ) -> Result<Option<EmployeeId>, StoreError> {
        let punch = self.stores.punches.find(id).await?;
        let recent = |punch: &Punch| {
            let age = captured.duration_since(punch.recorded_at);
            punch.origin == origin && age <= REPLACE
        };
        let Some(punch) = punch.filter(recent) else {
            return Ok(None);
        };
        let taken_back = self.timesheets.is_voided(&punch).await?;
        Ok(taken_back.then_some(punch.employee))
    }

    /// Makes two enrolled people look-alikes of each other, because one of them was recognized as the
    /// other in the punch that was taken back: from now on only a clear lead decides between them.
    /// Only the first new punch tells whom it showed; later ones may be of people who came next. The
    /// punch is written already, so a failure is only logged.
    pub async fn remember(
        &self,
        origin: Origin,
        taken_back: PunchId,
        [mistaken, really]: [EmployeeId; 2],
    ) {
        let key = format!("replaced:{taken_back}");
        if mistaken == really || !self.limits.check(&key, ONCE).await.allowed {
            return;
        }
        if let Err(cause) = self.make_look_alikes(origin, [mistaken, really]).await {
            warn!(%mistaken, %really, %cause, "could not record look-alikes");
        }
    }

    async fn make_look_alikes(
        &self,
        origin: Origin,
        pair: [EmployeeId; 2],
    ) -> Result<(), ReferenceError> {
        let faces = &self.stores.faces;
        let enrolled = faces.find_many(&pair).await?;
        let enrolled = enrolled.iter().filter(|one| one.face.is_some());
        if enrolled.count() < pair.len() {
            return Ok(());
        }
        let actor = match origin {
            Origin::Device(id) => Actor::Device(id),
            Origin::Camera(_) | Origin::Account(_) => Actor::System,
        };
        let [one, other] = pair;
        for (id, look_alike) in [(one, other), (other, one)] {
            let detail = Some(format!("with {look_alike}"));
            let audit = &self.audit;
            audit.record(actor, "face.look_alike", id, detail).await?;
            let add = |mut stored: FaceEnrollment| {
                stored.face.as_mut()?.add_look_alikes(&[look_alike]);
                Some(stored)
            };
            faces.change(id, self.clock.now(), add).await?;
            self.loader.changed(id).await?;
        }
        Ok(())
    }
}
