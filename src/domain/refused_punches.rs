//! Punches that a kiosk saved while it was offline, and that the service refused when they arrived.
//! A manager decides what becomes of them.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    accounts::Actor,
    grants::{Place, Placed},
    ids::{CorrectionId, DeviceId, EmployeeId, PictureId, RefusedPunchId, SiteId},
    record::{About, Changes, Index, Keys, Kind, OnErase, Record},
    text::{Code, IdempotencyKey},
    words::words,
};

words! {
    /// What a person punched with.
    PunchedWith {
        /// The face.
        Face = "face",
        /// A staff number and PIN.
        Pin = "pin",
        /// A badge.
        Badge = "badge",
    }
}

words! {
    /// Why the service refused a punch, or why the kiosk could not send it.
    RefusalReason {
        /// No one who may punch was recognized.
        Nobody = "nobody",
        /// No face was found.
        NoFace = "no_face",
        /// No frame was good enough.
        PoorQuality = "poor_quality",
        /// Not a live person.
        Attack = "attack",
        /// No employee had the staff number with this PIN.
        WrongPin = "wrong_pin",
        /// The PIN was locked.
        PinLocked = "pin_locked",
        /// No employee had the badge.
        UnknownBadge = "unknown_badge",
        /// The site wanted a PIN or badge as well.
        PinNeeded = "pin_needed",
        /// The site wanted the face as well.
        FaceNeeded = "face_needed",
        /// The kiosk could not open the PIN or badge that it had sealed.
        Unreadable = "unreadable",
        /// The service failed at it.
        Failed = "failed",
        /// The service refused the request.
        Refused = "refused",
    }
}

/// What a manager did about a refused punch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// The employee whose punches a correction adds it to; `None` if it was dismissed.
    pub added_to: Option<EmployeeId>,
    /// Who decided.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// Whether the correction is not made yet. Until then, the punch waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
}

/// A saved punch that the service refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefusedPunch {
    /// The ID.
    pub id: RefusedPunchId,
    /// The kiosk.
    pub device: DeviceId,
    /// The site where the kiosk was.
    pub site: SiteId,
    /// The key under which the kiosk hands it over, so that a retry makes no second record.
    pub key: IdempotencyKey,
    /// What the person punched with.
    pub with: PunchedWith,
    /// Why it was refused.
    pub reason: RefusalReason,
    /// When the person was at the kiosk.
    pub at: Timestamp,
    /// When the kiosk handed it over.
    pub received_at: Timestamp,
    /// The employee whose staff number was typed. Nothing proves that it was this person.
    pub employee: Option<EmployeeId>,
    /// The staff number that was typed, if no employee has it.
    pub code: Option<Code>,
    /// The unknown face, if the installation keeps such pictures. It is deleted before the record.
    pub picture: Option<PictureId>,
    /// What became of it; `None` while it waits.
    pub resolution: Option<Resolution>,
}

impl RefusedPunch {
    /// Records by kiosk and key.
    pub const BY_KEY: Index = Index::unique("by_key");
    /// Records that wait, by kiosk.
    pub const WAITING: Index = Index::ordered("waiting");
    /// Records by the time of receipt.
    pub const BY_RECEIPT: Index = Index::ordered("by_receipt");

    /// The most that may wait of one kiosk. A kiosk in the wrong hands can write no more of them;
    /// one with more keeps them until managers have decided.
    pub const MOST_WAITING: u64 = 300;

    /// How long a record is kept.
    pub const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

    /// Returns what became of it; `None` while it waits.
    pub fn resolved(&self) -> Option<Resolution> {
        self.resolution.filter(|resolution| !resolution.pending)
    }

    /// Returns the ID of the correction that adds it. It is always the same, so that no second one
    /// is made after a failure.
    pub fn correction(&self) -> CorrectionId {
        CorrectionId::new(self.id.uuid())
    }
}

impl Placed for RefusedPunch {
    fn place(&self) -> Place {
        Place {
            site: self.site,
            employee: self.employee,
        }
    }
}

impl Record for RefusedPunch {
    const KIND: &'static Kind = &Kind::archived(
        "refused_punches",
        "refused punch",
        &[Self::BY_KEY, Self::WAITING, Self::BY_RECEIPT],
    )
    .changing(Changes::Audited)
    .aging(Self::BY_RECEIPT);

    type Id = RefusedPunchId;

    fn id(&self) -> RefusedPunchId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_KEY, (self.device.uuid(), self.key.as_str()));
        keys.add(Self::BY_RECEIPT, (self.received_at,));
        if self.resolved().is_none() {
            keys.add(Self::WAITING, (self.device.uuid(),));
        }
    }

    fn about(&self) -> About {
        let added_to = self.resolution.and_then(|resolution| resolution.added_to);
        let mut ids: Vec<_> = self.employee.into_iter().chain(added_to).collect();
        ids.dedup();
        About::Employees {
            ids,
            erase: OnErase::Delete,
        }
    }
}
