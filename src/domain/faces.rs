//! Enrolled faces: consents, templates and kept photos.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    biometrics::{ModelId, Views},
    employees::Consent,
    ids::{EmployeeId, PhotoId, TemplateId},
    quality::Quality,
    record::{About, Changes, Damaged, Index, Keys, Kind, OnErase, Record},
    sealed::{Binding, Sealed, SealedPart},
};

/// The enrolled face of an employee. Consent and templates are one record, so that there is never
/// a face without consent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaceEnrollment {
    /// The employee.
    pub employee: EmployeeId,
    /// The face; `None` after it was deleted. The record stays, so that instances notice the
    /// deletion.
    pub face: Option<EnrolledFace>,
    /// When this record last changed, or anything else that decides whether the person is
    /// recognized. It increases with every change.
    pub changed_at: Timestamp,
}

/// A face that was enrolled with consent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnrolledFace {
    /// The consent.
    pub consent: Consent,
    /// The templates, oldest first; at most [`FaceEnrollment::TEMPLATES_MOST`] of one model.
    pub templates: Vec<Template>,
    /// Employees whose faces also matched when an admin overrode the check for duplicates. A small
    /// margin never decides between them; see [`identify`](super::biometrics::identify).
    #[serde(default)]
    pub look_alikes: Vec<EmployeeId>,
}

/// A stored reference embedding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// The ID.
    pub id: TemplateId,
    /// The embedding space.
    pub model: ModelId,
    /// The views from which the embedding was made.
    pub views: Views,
    /// The sealed embedding.
    pub sealed: Sealed,
    /// The measured quality of the photo.
    pub quality: Quality,
    /// When it was enrolled.
    pub created_at: Timestamp,
    /// Whether it was made from a punch, not from an enrollment photo; see
    /// [`super::template_growth`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grown: bool,
}

impl EnrolledFace {
    /// Adds look-alikes without duplicates.
    pub fn add_look_alikes(&mut self, others: &[EmployeeId]) {
        for other in others {
            if !self.look_alikes.contains(other) {
                self.look_alikes.push(*other);
            }
        }
    }
}

impl FaceEnrollment {
    /// Maximum number of templates of one person and model; more would only slow recognition down.
    pub const TEMPLATES_MOST: usize = 30;

    /// All records, by their last change.
    pub const BY_CHANGE: Index = Index::ordered("by_change");

    /// The records with templates, by employee.
    pub const ENROLLED: Index = Index::ordered("enrolled");

    /// Returns the record of an employee without a face.
    pub fn none(employee: EmployeeId, changed_at: Timestamp) -> Self {
        Self {
            employee,
            face: None,
            changed_at,
        }
    }

    /// Returns the consent; `None` without a face.
    pub fn consent(&self) -> Option<&Consent> {
        self.face.as_ref().map(|face| &face.consent)
    }

    /// Returns the templates of all models.
    pub fn templates(&self) -> &[Template] {
        self.face.as_ref().map_or(&[], |face| &face.templates)
    }

    /// Returns the recorded look-alikes.
    pub fn look_alikes(&self) -> &[EmployeeId] {
        self.face.as_ref().map_or(&[], |face| &face.look_alikes)
    }

    /// Returns the templates of one model.
    pub fn templates_of<'a>(&'a self, model: &'a ModelId) -> impl Iterator<Item = &'a Template> {
        let of_model = move |template: &&Template| template.model == *model;
        self.templates().iter().filter(of_model)
    }
}

impl Record for FaceEnrollment {
    const KIND: &'static Kind = &Kind::archived(
        "face_enrollments",
        "face enrollment",
        &[Self::BY_CHANGE, Self::ENROLLED],
    )
    .paged(100)
    .changing(Changes::Grows(Self::BY_CHANGE))
    .sealing()
    .keyed(2);

    type Id = EmployeeId;

    fn id(&self) -> EmployeeId {
        self.employee
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_CHANGE, (self.changed_at,));
        if !self.templates().is_empty() {
            keys.add(Self::ENROLLED, (self.employee.uuid(),));
        }
    }

    fn about(&self) -> About {
        About::employee(self.employee, OnErase::Anonymize)
    }

    fn anonymize(&mut self, _employee: EmployeeId) {
        self.face = None;
    }

    fn sealed(&mut self) -> Vec<SealedPart<'_>> {
        let employee = self.employee;
        let face = self.face.as_mut();
        let templates = face.map_or(&mut [][..], |face| &mut face.templates);
        let sealed = templates.iter_mut().map(|template| SealedPart {
            binding: Binding::Template(employee, &template.model),
            sealed: &mut template.sealed,
        });
        sealed.collect()
    }
}

/// A sealed enrollment photo, if the installation keeps photos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Photo {
    /// The ID.
    pub id: PhotoId,
    /// The employee.
    pub employee: EmployeeId,
    /// The sealed image file; its ciphertext is the record's blob.
    pub sealed: Sealed,
    /// When it was enrolled.
    pub created_at: Timestamp,
}

impl Photo {
    /// An employee's photos, oldest first.
    pub const BY_EMPLOYEE: Index = Index::ordered("by_employee");
}

impl Record for Photo {
    const KIND: &'static Kind = &Kind::archived("photos", "photo", &[Self::BY_EMPLOYEE])
        .paged(2)
        .changing(Changes::Deleted)
        .sealing();

    type Id = PhotoId;

    fn id(&self) -> PhotoId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_EMPLOYEE, (self.employee.uuid(), self.created_at));
    }

    fn about(&self) -> About {
        About::employee(self.employee, OnErase::Delete)
    }

    fn sealed(&mut self) -> Vec<SealedPart<'_>> {
        vec![SealedPart {
            binding: Binding::Photo(self.employee),
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
