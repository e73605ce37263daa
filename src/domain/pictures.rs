//! Pictures of punches and of unknown faces, which are kept for a limited time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    attendance::Origin,
    grants::{Place, Placed},
    ids::{EmployeeId, PictureId, PunchId, SiteId},
    record::{About, Changes, Damaged, Index, Keys, Kind, OnErase, Record},
    sealed::{Binding, Sealed, SealedPart},
    words::words,
};

words! {
    /// The purpose of a picture.
    PictureKind {
        /// To show who punched.
        Punch = "punch",
        /// To show a person who was not recognized.
        Unknown = "unknown",
    }
}

/// The person whom a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Pictured {
    /// An employee who punched.
    Punch {
        /// The punch.
        punch: PunchId,
        /// The employee.
        employee: EmployeeId,
    },
    /// A person who was not recognized.
    Unknown,
}

impl Pictured {
    /// Returns the purpose of the picture.
    pub fn kind(self) -> PictureKind {
        match self {
            Self::Punch { .. } => PictureKind::Punch,
            Self::Unknown => PictureKind::Unknown,
        }
    }

    /// Returns the employee whom the picture shows.
    pub fn employee(self) -> Option<EmployeeId> {
        match self {
            Self::Punch { employee, .. } => Some(employee),
            Self::Unknown => None,
        }
    }

    /// Returns what a picture with this ID is bound to.
    pub fn binding(self, id: PictureId) -> Binding<'static> {
        match self {
            Self::Punch { punch, employee } => Binding::PunchPicture(id, punch, employee),
            Self::Unknown => Binding::UnknownFace(id),
        }
    }
}

/// A sealed JPEG picture of a face.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// The ID.
    pub id: PictureId,
    /// When it was taken.
    pub at: Timestamp,
    /// The person whom it shows.
    pub of: Pictured,
    /// The site where it was taken.
    pub site: SiteId,
    /// What took it.
    pub origin: Origin,
    /// The sealed image file; its ciphertext is the record's blob.
    pub sealed: Sealed,
}

impl Picture {
    /// The picture of a punch.
    pub const OF_PUNCH: Index = Index::unique("of_punch");
    /// The pictures of a kind, by time.
    pub const BY_KIND: Index = Index::ordered("by_kind");
    /// The pictures of an employee's punches.
    pub const BY_EMPLOYEE: Index = Index::ordered("by_employee");
}

impl Placed for Picture {
    fn place(&self) -> Place {
        Place {
            site: self.site,
            employee: self.of.employee(),
        }
    }
}

impl Record for Picture {
    const KIND: &'static Kind = &Kind::archived(
        "pictures",
        "picture",
        &[Self::OF_PUNCH, Self::BY_KIND, Self::BY_EMPLOYEE],
    )
    .paged(50)
    .changing(Changes::Deleted)
    .aging(Self::BY_KIND)
    .sealing();

    type Id = PictureId;

    fn id(&self) -> PictureId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_KIND, (self.of.kind().as_str(), self.at));
        if let Pictured::Punch { punch, employee } = self.of {
            keys.add(Self::OF_PUNCH, (punch.uuid(),));
            keys.add(Self::BY_EMPLOYEE, (employee.uuid(),));
        }
    }

    fn about(&self) -> About {
        About::Employees {
            ids: self.of.employee().into_iter().collect(),
            erase: OnErase::Delete,
        }
    }

    fn sealed(&mut self) -> Vec<SealedPart<'_>> {
        vec![SealedPart {
            binding: self.of.binding(self.id),
            sealed: &mut self.sealed,
        }]
    }

    fn take_blob(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.sealed.ciphertext))
    }

    fn put_blob(&mut self, blob: Vec<u8>) -> Result<(), Damaged> {
        self.sealed.ciphertext = blob;
        Ok(())
    }
}
