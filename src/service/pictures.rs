//! Pictures of punches and of unknown faces, when a site wants them kept.
//!
//! They are wanted when everything else is done, and made by a task of their own: nobody waits
//! for one, and one that cannot be kept costs a line in the log and nothing else.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::{
    Mutex,
    mpsc::{self, error::TrySendError},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use zeroize::Zeroizing;

use super::audit::Audit;
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::{Punch, PunchSource},
        employees::Employee,
        ids::{DeviceId, EmployeeId, PictureId, PunchId},
        samples::Still,
    },
    ports::{
        Cutting, Page, PictureKind, Pictured, Quota, RateLimits, SampleError, StoreError,
        StoredPicture, Stores,
    },
    vault::{Vault, VaultError},
};

/// How many pictures wait to be made at most; beyond, they are given up.
const WAITING_MOST: usize = 64;

/// Of unknown faces before one device or camera, one is kept in this time: a stranger who stands
/// there does not fill the disk.
pub const UNKNOWN_EVERY: Duration = Duration::from_secs(60);

/// Why a picture cannot be kept or shown.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The sample cannot be read any more.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Sealing or opening failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Of what a site keeps pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keeps {
    /// Of punches.
    pub punches: bool,
    /// Of faces that nobody knows.
    pub unknown: bool,
}

impl Keeps {
    /// Whether any are kept.
    pub fn any(self) -> bool {
        self.punches || self.unknown
    }
}

/// A picture that is to be made.
#[derive(Debug)]
struct Wanted {
    at: Timestamp,
    of: Pictured,
    source: PunchSource,
    device: DeviceId,
    still: Still,
}

/// Makes, shows and deletes pictures.
pub struct Pictures {
    stores: Stores,
    vault: Arc<Vault>,
    cutting: Arc<dyn Cutting>,
    limits: Arc<dyn RateLimits>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    keeps: Keeps,
    wanted: mpsc::Sender<Wanted>,
    waiting: Mutex<mpsc::Receiver<Wanted>>,
}

impl Pictures {
    /// Over everything it needs.
    pub fn new(
        stores: Stores,
        vault: Arc<Vault>,
        cutting: Arc<dyn Cutting>,
        limits: Arc<dyn RateLimits>,
        audit: Audit,
        clock: Arc<dyn Clock>,
        keeps: Keeps,
    ) -> Self {
        let (wanted, waiting) = mpsc::channel(WAITING_MOST);
        Self {
            stores,
            vault,
            cutting,
            limits,
            audit,
            clock,
            keeps,
            wanted,
            waiting: Mutex::new(waiting),
        }
    }

    /// Of what pictures are kept.
    pub fn keeps(&self) -> Keeps {
        self.keeps
    }

    /// Wants a picture of a punch that is in the store, of somebody who consents to that.
    pub fn punched(&self, punch: &Punch, employee: &Employee, still: Option<Still>) {
        let Some(still) = still else { return };
        if !self.keeps.punches || !employee.consents_to_pictures() {
            return;
        }
        self.want(Wanted {
            at: punch.at,
            of: Pictured::Punch {
                punch: punch.id,
                employee: employee.id,
            },
            source: punch.source,
            device: punch.device,
            still,
        });
    }

    /// Wants a picture of a face that nobody knows, before a device or a camera.
    pub fn unknown(
        &self,
        (source, device): (PunchSource, DeviceId),
        at: Timestamp,
        still: Option<Still>,
    ) {
        let Some(still) = still.filter(|_| self.keeps.unknown) else {
            return;
        };
        self.want(Wanted {
            at,
            of: Pictured::Unknown,
            source,
            device,
            still,
        });
    }

    fn want(&self, wanted: Wanted) {
        let kind = wanted.of.kind().as_str();
        if let Err(cause) = self.wanted.try_send(wanted) {
            let why = match cause {
                TrySendError::Full(_) => "too many wait to be made",
                TrySendError::Closed(_) => "the service stops",
            };
            warn!(kind, why, "a picture is not kept");
        }
    }

    /// Makes what is wanted until the token is cancelled, and then what still waits.
    pub async fn work(&self, stop: CancellationToken) {
        let mut waiting = self.waiting.lock().await;
        loop {
            let wanted = tokio::select! {
                () = stop.cancelled(), if !waiting.is_closed() => {
                    waiting.close();
                    continue;
                }
                wanted = waiting.recv() => wanted,
            };
            let Some(wanted) = wanted else { return };
            let kind = wanted.of.kind().as_str();
            if let Err(cause) = self.keep(wanted).await {
                warn!(kind, %cause, "a picture is not kept");
            }
        }
    }

    async fn keep(&self, wanted: Wanted) -> Result<(), PictureError> {
        let Wanted {
            at,
            of,
            source,
            device,
            still,
        } = wanted;
        if of == Pictured::Unknown {
            let quota = Quota {
                most: 1,
                window: UNKNOWN_EVERY,
            };
            let key = format!("unknown_face:{device}");
            if !self.limits.check(&key, quota).await.allowed {
                return Ok(());
            }
        }
        let jpeg = Zeroizing::new(self.cutting.cut(still).await?);
        let id = PictureId::new(self.clock.id());
        let sealed = self.vault.seal_picture(self.clock.nonce(), id, of, &jpeg)?;
        let picture = StoredPicture {
            id,
            at,
            of,
            source,
            device,
            sealed,
        };
        self.stores.pictures.insert(&picture).await?;
        if let Pictured::Punch { employee, .. } = of
            && !self.consents(employee).await?
        {
            // Consent was withdrawn meanwhile: whoever did that found one picture less.
            self.stores.pictures.delete_of(employee).await?;
        }
        Ok(())
    }

    async fn consents(&self, id: EmployeeId) -> Result<bool, StoreError> {
        let employee = self.stores.employees.find(id).await?;
        Ok(employee.is_some_and(|one| one.deleted_at.is_none() && one.consents_to_pictures()))
    }

    /// The picture of a punch; `None` when none is kept.
    pub async fn of_punch(&self, punch: PunchId) -> Result<Option<StoredPicture>, StoreError> {
        self.stores.pictures.of_punch(punch).await
    }

    /// An unknown face; `None` when it is not there.
    pub async fn unknown_face(&self, id: PictureId) -> Result<Option<StoredPicture>, StoreError> {
        let picture = self.stores.pictures.find(id).await?;
        Ok(picture.filter(|picture| picture.of == Pictured::Unknown))
    }

    /// A page of unknown faces, newest first.
    pub async fn unknown_faces(
        &self,
        page: &Page<(Timestamp, PictureId)>,
    ) -> Result<Vec<StoredPicture>, StoreError> {
        self.stores.pictures.list(PictureKind::Unknown, page).await
    }

    /// Opens a picture, JPEG. The trail says who looked.
    pub async fn look(
        &self,
        actor: Actor,
        picture: &StoredPicture,
    ) -> Result<Zeroizing<Vec<u8>>, PictureError> {
        match picture.of {
            Pictured::Punch { punch, employee } => {
                let whose = Some(format!("of {employee}"));
                self.audit
                    .record(actor, "punch_picture.look", punch, whose)
                    .await?;
            }
            Pictured::Unknown => {
                self.audit
                    .record(actor, "unknown_face.look", picture.id, None)
                    .await?;
            }
        }
        Ok(self.vault.open_picture(picture)?)
    }

    /// Deletes an unknown face for good; false when it is not there.
    pub async fn delete_unknown(&self, actor: Actor, id: PictureId) -> Result<bool, StoreError> {
        if self.unknown_face(id).await?.is_none() {
            return Ok(false);
        }
        self.audit
            .record(actor, "unknown_face.delete", id, None)
            .await?;
        self.stores.pictures.delete(id).await
    }
}
