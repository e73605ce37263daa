//! Pictures of punches and of unknown faces, if the installation stores them.
//!
//! A separate task makes them after everything else is done, so no request waits for one. If a
//! picture cannot be stored, the log has a line, and nothing else changes.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use zeroize::Zeroizing;

use super::{
    audit::Audit,
    employees::{Person, find_person},
    work_queue::WorkQueue,
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::{Origin, Punch},
        grants::Reach,
        ids::{EmployeeId, PictureId, PunchId, SiteId},
        pictures::{Picture, PictureKind, Pictured},
        samples::Still,
    },
    ports::{Cropping, Page, Quota, RateLimits, SampleError, StoreError},
    repositories::Repositories,
    vault::{Vault, VaultError},
};

/// The maximum number of pictures that wait to be made; further ones are dropped.
const WAITING_MOST: usize = 64;

/// The least time between two stored unknown faces of one device or camera, so that a stranger who
/// stands there does not fill the disk.
pub const UNKNOWN_EVERY: Duration = Duration::from_secs(60);

/// Why a picture was not stored or shown.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The sample cannot be read.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Encryption or decryption failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The kinds of pictures that the installation stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keeps {
    /// Pictures of punches.
    pub punches: bool,
    /// Pictures of unknown faces.
    pub unknown: bool,
}

impl Keeps {
    /// Returns whether any are stored.
    pub fn any(self) -> bool {
        self.punches || self.unknown
    }
}

/// A request for a picture.
#[derive(Debug)]
struct PictureRequest {
    at: Timestamp,
    of: Pictured,
    site: SiteId,
    origin: Origin,
    still: Still,
}

/// Makes, shows and deletes pictures.
pub struct Pictures {
    stores: Repositories,
    vault: Arc<Vault>,
    cropping: Arc<dyn Cropping>,
    limits: Arc<dyn RateLimits>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    keeps: Keeps,
    requests: WorkQueue<PictureRequest>,
}

impl Pictures {
    /// Makes the service.
    pub fn new(
        stores: Repositories,
        vault: Arc<Vault>,
        cropping: Arc<dyn Cropping>,
        limits: Arc<dyn RateLimits>,
        audit: Audit,
        clock: Arc<dyn Clock>,
        keeps: Keeps,
    ) -> Self {
        Self {
            stores,
            vault,
            cropping,
            limits,
            audit,
            clock,
            keeps,
            requests: WorkQueue::new(WAITING_MOST),
        }
    }

    /// Returns the kinds of pictures that are stored.
    pub fn keeps(&self) -> Keeps {
        self.keeps
    }

    /// Requests a picture of a stored punch, if the person consents to that.
    pub fn punched(&self, punch: &Punch, person: &Person, still: Option<Still>) {
        let Some(still) = still else { return };
        if !self.keeps.punches || !person.consents_to_pictures() {
            return;
        }
        self.request(PictureRequest {
            at: punch.at,
            of: Pictured::Punch {
                punch: punch.id,
                employee: person.id,
            },
            site: punch.site,
            origin: punch.origin,
            still,
        });
    }

    /// Requests a picture of a face that was not recognized, taken at a site.
    pub fn unknown(&self, origin: Origin, site: SiteId, at: Timestamp, still: Option<Still>) {
        let Some(still) = still.filter(|_| self.keeps.unknown) else {
            return;
        };
        self.request(PictureRequest {
            at,
            of: Pictured::Unknown,
            site,
            origin,
            still,
        });
    }

    fn request(&self, request: PictureRequest) {
        let kind = request.of.kind().as_str();
        if let Err(cause) = self.requests.add(request) {
            warn!(kind, %cause, "could not store a picture");
        }
    }

    /// Makes the requested pictures until the token is canceled, and then those that still wait.
    pub async fn work(&self, stop: CancellationToken) {
        while let Some(request) = self.requests.next(&stop).await {
            let kind = request.of.kind().as_str();
            if let Err(cause) = self.store(request).await {
                warn!(kind, %cause, "could not store a picture");
            }
        }
    }

    async fn store(&self, request: PictureRequest) -> Result<(), PictureError> {
        let (of, origin) = (request.of, request.origin);
        if of == Pictured::Unknown {
            let quota = Quota {
                most: 1,
                window: UNKNOWN_EVERY,
            };
            let key = format!("unknown_face:{origin}");
            if !self.limits.check(&key, quota).await.allowed {
                return Ok(());
            }
        }
        self.insert(request).await?;
        if let Pictured::Punch { employee, .. } = of
            && !self.consents(employee).await?
        {
            // Consent was withdrawn meanwhile, before this picture could be deleted with the others.
            self.stores.pictures.delete_by_employee(employee).await?;
        }
        Ok(())
    }

    /// Stores an unknown face at once, whenever the last one of the device or camera was.
    pub async fn keep_unknown(
        &self,
        origin: Origin,
        site: SiteId,
        at: Timestamp,
        still: Still,
    ) -> Result<PictureId, PictureError> {
        let request = PictureRequest {
            at,
            of: Pictured::Unknown,
            site,
            origin,
            still,
        };
        self.insert(request).await
    }

    async fn insert(&self, request: PictureRequest) -> Result<PictureId, PictureError> {
        let PictureRequest {
            at,
            of,
            site,
            origin,
            still,
        } = request;
        let jpeg = Zeroizing::new(self.cropping.crop(still).await?);
        let id = PictureId::new(self.clock.id());
        let sealed = self.vault.seal_picture(self.clock.nonce(), id, of, &jpeg)?;
        let picture = Picture {
            id,
            at,
            of,
            site,
            origin,
            sealed,
        };
        self.stores.pictures.insert(&picture).await?;
        Ok(id)
    }

    async fn consents(&self, id: EmployeeId) -> Result<bool, StoreError> {
        let person = find_person(&self.stores, id).await?;
        Ok(person.is_some_and(|person| person.consents_to_pictures()))
    }

    /// Returns the picture of a punch, if one is kept and it is covered.
    pub async fn find_by_punch(
        &self,
        reach: &Reach,
        punch: PunchId,
    ) -> Result<Option<Picture>, StoreError> {
        Ok(reach.admit(self.stores.pictures.find_by_punch(punch).await?))
    }

    /// Returns an unknown face, if it exists and is covered.
    pub async fn unknown_face(
        &self,
        reach: &Reach,
        id: PictureId,
    ) -> Result<Option<Picture>, StoreError> {
        let picture = reach.admit(self.stores.pictures.find(id).await?);
        Ok(picture.filter(|picture| picture.of == Pictured::Unknown))
    }

    /// Returns a page of the unknown faces covered, newest first.
    pub async fn unknown_faces(
        &self,
        reach: &Reach,
        page: &Page<(Timestamp, PictureId)>,
    ) -> Result<Vec<Picture>, StoreError> {
        let kind = PictureKind::Unknown;
        self.stores.pictures.list(reach, kind, page).await
    }

    /// Decrypts a picture, a JPEG file. The audit trail records who looked at it.
    pub async fn look(
        &self,
        actor: Actor,
        picture: &Picture,
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

    /// Permanently deletes an unknown face; returns false if it does not exist or is not covered.
    pub async fn delete_unknown(
        &self,
        reach: &Reach,
        actor: Actor,
        id: PictureId,
    ) -> Result<bool, StoreError> {
        if self.unknown_face(reach, id).await?.is_none() {
            return Ok(false);
        }
        self.audit
            .record(actor, "unknown_face.delete", id, None)
            .await?;
        self.stores.pictures.delete(id).await
    }
}
