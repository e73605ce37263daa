//! Enrollment: templates from quality-checked photos of a known person who consented.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{
    audit::Audit,
    identification::{IdentifyError, Identifying},
    references::{ReferenceError, References, later},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        biometrics::{
            Calibration, Embedding, ErrorRate, Fused, ModelId, Probe, Reference, Resultant,
            Similarity, Views,
        },
        employees::{CONSENT_VERSION, Consent, Employee},
        ids::{EmployeeId, PhotoId, TemplateId},
        quality::{Flaw, Quality, QualityLimits},
    },
    ports::{
        Analysis, EngineError, FaceEngine, Sample, SampleError, StoreError, StoredPhoto,
        StoredTemplate, Stores, Work,
    },
    vault::{Vault, VaultError},
};

/// Most photos in one request.
pub const PHOTOS_MOST: usize = 10;
/// Most templates of one person; more only slow things down.
pub const TEMPLATES_MOST: usize = 30;

/// Why nothing was enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// There is no such employee.
    #[error("no such employee")]
    NotFound,
    /// Inactive people are not enrolled.
    #[error("the employee is not active: activate them first")]
    Inactive,
    /// Nobody agreed.
    #[error("consent is required: ask the employee, then send consent=true")]
    NoConsent,
    /// None, or too many photos.
    #[error("send 1 to {PHOTOS_MOST} photos")]
    PhotoCount,
    /// They would have too many templates.
    #[error("an employee has at most {TEMPLATES_MOST} templates: delete the enrolled face first")]
    Full,
    /// Every photo was refused; the verdicts say why.
    #[error("none of the photos can be used")]
    NoUsablePhoto(Vec<PhotoVerdict>),
    /// The face belongs to somebody else.
    #[error("this face is enrolled for another employee")]
    Duplicate {
        /// Whose it is.
        other: Box<Employee>,
        /// The verdicts on the photos.
        photos: Vec<PhotoVerdict>,
    },
    /// The engine or the calibration gave no answer.
    #[error(transparent)]
    Identify(#[from] IdentifyError),
    /// Sealing failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<EngineError> for EnrollError {
    fn from(error: EngineError) -> Self {
        Self::Identify(error.into())
    }
}

impl From<ReferenceError> for EnrollError {
    fn from(error: ReferenceError) -> Self {
        Self::Identify(error.into())
    }
}

/// Why one photo was refused.
#[derive(Debug, Clone, PartialEq)]
pub enum PhotoFlaw {
    /// It shows something that cannot be used.
    Face(Flaw),
    /// It is no image that can be looked at.
    Sample(SampleError),
}

impl PhotoFlaw {
    /// The word in the API.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Face(flaw) => flaw.reason(),
            Self::Sample(_) => "unreadable",
        }
    }

    /// What to do about it.
    pub fn detail(&self) -> String {
        match self {
            Self::Face(flaw) => flaw.detail(),
            Self::Sample(error) => error.to_string(),
        }
    }
}

/// What became of one photo.
#[derive(Debug, Clone, PartialEq)]
pub struct PhotoVerdict {
    /// Its place in the request, from 0.
    pub index: usize,
    /// Why it was refused; `None` when it was accepted.
    pub flaw: Option<PhotoFlaw>,
    /// What was measured; `None` when there was no face to measure.
    pub quality: Option<Quality>,
}

/// What was asked for.
#[derive(Debug, Clone)]
pub struct EnrollRequest {
    /// Whose face it is.
    pub employee: EmployeeId,
    /// Whether they agreed.
    pub consent: bool,
    /// 1 to 10 photos.
    pub photos: Vec<Sample>,
    /// Enroll even if the face seems to belong to somebody else; for admins, audited.
    pub override_duplicate: bool,
}

/// What was enrolled.
#[derive(Debug, Clone)]
pub struct Enrollment {
    /// The employee as they are now.
    pub employee: Employee,
    /// What became of each photo.
    pub photos: Vec<PhotoVerdict>,
}

/// What became of somebody whose templates are of another model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reembedded {
    /// They have templates of the present model now.
    Done,
    /// None of their photos was kept.
    NoPhotos,
    /// None of the kept photos can be used.
    Unusable,
    /// They have templates of the present model, or their face is not to be enrolled any more.
    Unneeded,
}

/// A photo that is good so far.
struct GoodPhoto {
    index: usize,
    embedding: Embedding,
    quality: Quality,
}

/// Enrollment.
pub struct Enrolling {
    stores: Stores,
    engine: Arc<dyn FaceEngine>,
    identifying: Arc<Identifying>,
    references: Arc<References>,
    vault: Arc<Vault>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    keep_photos: bool,
}

/// The false match rate at which photos count as one person's. Somebody vouches for them, so
/// this only has to catch a photo that slipped in from another folder.
const SAME_PERSON: ErrorRate = ErrorRate::ONE_IN_TWENTY;

/// Another face in the background counts from this share of the first one's width.
const SECOND_FACE: f32 = 0.4;

/// How many photos of one request are in the engine at a time: the kiosks come first.
const PHOTOS_AT_ONCE: usize = 2;

/// The pause before a busy engine is asked again by somebody who has time.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// What is made of a photo.
const WORK: Work = Work {
    views: Views::All,
    embed: 1,
};

/// How often what is enrolled is counted again when others change it at that moment.
const COUNTS: usize = 8;

impl Enrolling {
    /// Over everything it needs; photos are kept only if `keep_photos`.
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, by boot, with everything named"
    )]
    pub fn new(
        stores: Stores,
        engine: Arc<dyn FaceEngine>,
        identifying: Arc<Identifying>,
        references: Arc<References>,
        vault: Arc<Vault>,
        audit: Audit,
        clock: Arc<dyn Clock>,
        keep_photos: bool,
    ) -> Self {
        Self {
            stores,
            engine,
            identifying,
            references,
            vault,
            audit,
            clock,
            keep_photos,
        }
    }

    /// Enrolls photos of one person: all that can be used, or none.
    pub async fn enroll(
        &self,
        actor: Actor,
        request: EnrollRequest,
    ) -> Result<Enrollment, EnrollError> {
        if !request.consent {
            return Err(EnrollError::NoConsent);
        }
        if !(1..=PHOTOS_MOST).contains(&request.photos.len()) {
            return Err(EnrollError::PhotoCount);
        }
        let calibration = self
            .engine
            .calibration()
            .ok_or(EnrollError::Identify(IdentifyError::NoCalibration))?;
        let employee = self.employee(request.employee).await?;
        let (mut verdicts, mut good) = self.look_at(&request.photos).await?;
        let enrolled = self.references.of(employee.id).await?;
        refuse_other_people(&mut good, &mut verdicts, enrolled.as_ref(), calibration);
        let Some(fused) = Fused::of(
            &good
                .iter()
                .map(|photo| photo.embedding.clone())
                .collect::<Vec<_>>(),
        ) else {
            return Err(EnrollError::NoUsablePhoto(verdicts));
        };
        let templates = self.stores.templates.of_employee(employee.id).await?;
        let model = self.engine.model();
        let present = templates.iter().filter(|one| one.model == *model).count();
        if present + good.len() > TEMPLATES_MOST {
            return Err(EnrollError::Full);
        }
        let probe = Probe {
            fused,
            views: Views::All,
        };
        let other = match self.identifying.somebody_else(employee.id, probe)? {
            Some(other) => self.stores.employees.find(other).await?,
            None => None,
        };
        if let Some(other) = other {
            if !request.override_duplicate {
                return Err(EnrollError::Duplicate {
                    other: Box::new(other),
                    photos: verdicts,
                });
            }
            let detail = Some(format!("although the face is enrolled for {}", other.id));
            self.audit
                .record(actor, "templates.override", employee.id, detail)
                .await?;
        }
        self.audit
            .record(
                actor,
                "templates.enroll",
                employee.id,
                Some(format!("{} photos", good.len())),
            )
            .await?;
        let employee = self.store(actor, employee, &request.photos, good).await?;
        info!(employee = %employee.id, templates = employee.templates, "enrolled");
        Ok(Enrollment {
            employee,
            photos: verdicts,
        })
    }

    /// The present model.
    pub fn model(&self) -> &ModelId {
        self.engine.model()
    }

    /// Whether templates of the present model are enrolled.
    async fn is_present(&self, id: EmployeeId) -> Result<bool, StoreError> {
        let templates = self.stores.templates.of_employee(id).await?;
        let model = self.engine.model();
        Ok(templates.iter().any(|template| template.model == *model))
    }

    /// Makes templates of the present model from the photos that were kept of somebody, who
    /// consented to that, while nobody waits before a kiosk. Those of the model before stay, since
    /// it may come back. [`EngineError::Stopped`] when `stop` is cancelled before anything is
    /// written.
    pub async fn reembed(
        &self,
        actor: Actor,
        id: EmployeeId,
        stop: &CancellationToken,
    ) -> Result<Reembedded, EnrollError> {
        if self.consenting(id).await?.is_none() || self.is_present(id).await? {
            return Ok(Reembedded::Unneeded);
        }
        let mut photos = Vec::new();
        for kept in self.stores.templates.photos_of(id).await? {
            let bytes = self.vault.open_photo(&kept.sealed, id)?;
            photos.push(Sample::new(bytes.to_vec()));
        }
        if photos.is_empty() {
            return Ok(Reembedded::NoPhotos);
        }
        let (mut verdicts, mut good) = self.look_at_leisure(&photos, stop).await?;
        if let Some(calibration) = self.engine.calibration() {
            refuse_other_people(&mut good, &mut verdicts, None, calibration);
        }
        if good.is_empty() {
            return Ok(Reembedded::Unusable);
        }
        let detail = Some(format!("{} photos", good.len()));
        self.audit
            .record(actor, "templates.reembed", id, detail)
            .await?;
        let now = self.clock.now();
        let templates = self.templates(id, &good, now)?;
        self.stores.templates.mark_changed(id, now).await?;
        self.stores.templates.insert(&templates, &[]).await?;
        self.forget_old_models(id).await?;
        // As above: whoever withdrew consent meanwhile found fewer templates than there are now.
        let Some(employee) = self.consenting(id).await? else {
            self.take_back(id, now).await?;
            return Ok(Reembedded::Unneeded);
        };
        let employee = self.count(employee, now).await?;
        if employee.templates == 0 || self.consenting(id).await?.is_none() {
            self.take_back(id, now).await?;
            self.stores.employees.set_enrolled(id, 0, None).await?;
            return Ok(Reembedded::Unneeded);
        }
        info!(employee = %id, templates = templates.len(), "made templates of the present model");
        Ok(Reembedded::Done)
    }

    /// Deletes the templates of one that are of other models than the present and the one before:
    /// whoever changes the model again and again keeps no more of a face than that.
    async fn forget_old_models(&self, id: EmployeeId) -> Result<(), StoreError> {
        let mut models = vec![self.engine.model().clone()];
        let templates = self.stores.templates.of_employee(id).await?;
        // Oldest first.
        let before = templates.into_iter().rev().map(|template| template.model);
        models.extend(before.into_iter().find(|model| *model != models[0]));
        self.stores.templates.keep_models(id, &models).await?;
        Ok(())
    }

    /// Somebody who is not deleted and consents.
    async fn consenting(&self, id: EmployeeId) -> Result<Option<Employee>, StoreError> {
        let employee = self.stores.employees.find(id).await?;
        Ok(employee.filter(|employee| employee.deleted_at.is_none() && employee.consent.is_some()))
    }

    async fn employee(&self, id: EmployeeId) -> Result<Employee, EnrollError> {
        let employee = self.stores.employees.find(id).await?;
        let employee = employee
            .filter(|employee| employee.deleted_at.is_none())
            .ok_or(EnrollError::NotFound)?;
        if employee.active {
            Ok(employee)
        } else {
            Err(EnrollError::Inactive)
        }
    }

    /// Looks at every photo for itself.
    async fn look_at(
        &self,
        photos: &[Sample],
    ) -> Result<(Vec<PhotoVerdict>, Vec<GoodPhoto>), EnrollError> {
        let analyses = stream::iter(photos.iter().cloned())
            .map(|photo| self.engine.analyse(photo, WORK))
            .buffered(PHOTOS_AT_ONCE)
            .collect()
            .await;
        judged(analyses)
    }

    /// The same, one after the other and only while nobody waits before a kiosk.
    async fn look_at_leisure(
        &self,
        photos: &[Sample],
        stop: &CancellationToken,
    ) -> Result<(Vec<PhotoVerdict>, Vec<GoodPhoto>), EnrollError> {
        let mut analyses = Vec::with_capacity(photos.len());
        for photo in photos {
            let looking = async {
                loop {
                    match self.engine.analyse_if_idle(photo.clone(), WORK).await {
                        Err(EngineError::Overloaded) => tokio::time::sleep(BUSY_PAUSE).await,
                        seen => return seen,
                    }
                }
            };
            analyses.push(tokio::select! {
                biased;
                () = stop.cancelled() => Err(EngineError::Stopped),
                seen = looking => seen,
            });
        }
        judged(analyses)
    }

    /// Seals and stores the photos' templates, then brings the gallery up to date.
    async fn store(
        &self,
        actor: Actor,
        mut employee: Employee,
        photos: &[Sample],
        good: Vec<GoodPhoto>,
    ) -> Result<Employee, EnrollError> {
        let now = self.clock.now();
        let templates = self.templates(employee.id, &good, now)?;
        let mut kept = Vec::new();
        for photo in good.iter().filter(|_| self.keep_photos) {
            let bytes = photos[photo.index].bytes();
            kept.push(StoredPhoto {
                id: PhotoId::new(self.clock.id()),
                employee: employee.id,
                sealed: self
                    .vault
                    .seal_photo(self.clock.nonce(), employee.id, bytes)?,
                created_at: now,
            });
        }
        // The consent first: there is no moment at which a face is kept without it.
        employee.consent = Some(Consent {
            at: now,
            recorded_by: actor,
            text: CONSENT_VERSION.to_owned(),
        });
        self.stores
            .employees
            .set_enrolled(employee.id, employee.templates, employee.consent.as_ref())
            .await?;
        self.stores.templates.mark_changed(employee.id, now).await?;
        self.stores.templates.insert(&templates, &kept).await?;
        // Deleted while the photos were looked at: nothing of a face may stay behind.
        if let Err(gone @ EnrollError::NotFound) = self.employee(employee.id).await {
            self.take_back(employee.id, now).await?;
            return Err(gone);
        }
        self.count(employee, now).await
    }

    /// Seals the photos' embeddings.
    fn templates(
        &self,
        employee: EmployeeId,
        photos: &[GoodPhoto],
        now: Timestamp,
    ) -> Result<Vec<StoredTemplate>, VaultError> {
        let model = self.engine.model();
        let template = |photo: &GoodPhoto| {
            Ok(StoredTemplate {
                id: TemplateId::new(self.clock.id()),
                employee,
                model: model.clone(),
                views: Views::All,
                sealed: self.vault.seal_embedding(
                    self.clock.nonce(),
                    employee,
                    model,
                    &photo.embedding,
                )?,
                quality: photo.quality,
                created_at: now,
            })
        };
        photos.iter().map(template).collect()
    }

    /// Deletes what was just stored, and everything else of the face; word of it goes out.
    async fn take_back(&self, id: EmployeeId, told: Timestamp) -> Result<(), EnrollError> {
        self.stores.templates.delete_of(id).await?;
        let at = later(self.clock.now(), told);
        self.stores.templates.mark_changed(id, at).await?;
        self.references.changed(id).await?;
        Ok(())
    }

    /// Counts the templates anew, since somebody else may have enrolled photos of the same person
    /// meanwhile, and brings the gallery up to date. Whoever withdraws consent meanwhile deletes
    /// the templates before they write that for the last time: it is not undone by a count from
    /// before.
    async fn count(
        &self,
        mut employee: Employee,
        told: Timestamp,
    ) -> Result<Employee, EnrollError> {
        let count = async || {
            let templates = self.stores.templates.of_employee(employee.id).await?;
            Ok::<_, StoreError>(u32::try_from(templates.len()).unwrap_or(u32::MAX))
        };
        let mut templates = count().await?;
        for _ in 0..COUNTS {
            let consent = employee.consent.as_ref().filter(|_| templates > 0);
            self.stores
                .employees
                .set_enrolled(employee.id, templates, consent)
                .await?;
            let again = count().await?;
            if again == templates {
                break;
            }
            templates = again;
        }
        employee.templates = templates;
        employee.consent = employee.consent.filter(|_| templates > 0);
        self.stores
            .templates
            .mark_changed(employee.id, later(self.clock.now(), told))
            .await?;
        self.references.changed(employee.id).await?;
        Ok(employee)
    }
}

/// What is to be said of every photo, and those that are good so far.
fn judged(
    analyses: Vec<Result<Analysis, EngineError>>,
) -> Result<(Vec<PhotoVerdict>, Vec<GoodPhoto>), EnrollError> {
    let (mut verdicts, mut good) = (Vec::new(), Vec::new());
    for (index, analysis) in analyses.into_iter().enumerate() {
        let (flaw, quality) = match analysis {
            Ok(analysis) => match single_face(analysis) {
                Ok((embedding, quality)) => {
                    good.push(GoodPhoto {
                        index,
                        embedding,
                        quality,
                    });
                    (None, Some(quality))
                }
                Err((flaw, quality)) => (Some(PhotoFlaw::Face(flaw)), quality),
            },
            Err(EngineError::Sample(error)) => (Some(PhotoFlaw::Sample(error)), None),
            Err(error) => return Err(error.into()),
        };
        verdicts.push(PhotoVerdict {
            index,
            flaw,
            quality,
        });
    }
    Ok((verdicts, good))
}

/// The one face in a photo, with its embedding, or what is wrong.
fn single_face(analysis: Analysis) -> Result<(Embedding, Quality), (Flaw, Option<Quality>)> {
    let mut faces = analysis.faces.into_iter();
    let first = faces.next().ok_or((Flaw::NoFace, None))?;
    let quality = first.quality;
    let others = faces
        .filter(|face| face.bounds.width >= SECOND_FACE * first.bounds.width)
        .count();
    if others > 0 {
        return Err((Flaw::SeveralFaces { faces: others + 1 }, Some(quality)));
    }
    if let Some(flaw) = quality.flaw(&QualityLimits::ENROLLMENT) {
        return Err((flaw, Some(quality)));
    }
    first
        .embedding
        .map(|embedding| (embedding, quality))
        .ok_or((Flaw::NoFace, Some(quality)))
}

/// Refuses photos that are not of one person: the one who is enrolled already, or else the one
/// whom most photos show. Without a majority nobody can say who is meant, and all are refused.
fn refuse_other_people(
    good: &mut Vec<GoodPhoto>,
    verdicts: &mut [PhotoVerdict],
    enrolled: Option<&Reference>,
    calibration: &Calibration,
) {
    let point = calibration.at(SAME_PERSON, Views::All, Views::All);
    let total = good.len();
    let mut accepted: Vec<Embedding> = Vec::new();
    let mut anchor = enrolled.map(|reference| reference.fused.clone());
    if anchor.is_none() {
        // The photo that is most like all the others.
        let likeness = |photo: &GoodPhoto| -> f32 {
            good.iter()
                .filter_map(|other| photo.embedding.similarity(&other.embedding))
                .map(Similarity::value)
                .sum()
        };
        let medoid = good
            .iter()
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        anchor = medoid.map(|photo| Fused {
            embedding: photo.embedding.clone(),
            resultant: Resultant::ONE,
        });
    }
    let Some(mut anchor) = anchor else { return };
    // The most alike first, so that the anchor has grown before the hard ones are judged.
    let first = anchor.embedding.clone();
    let mut order: Vec<usize> = (0..total).collect();
    let closeness = |&place: &usize| {
        good[place]
            .embedding
            .similarity(&first)
            .map_or(-1.0, Similarity::value)
    };
    order.sort_by(|a, b| closeness(b).total_cmp(&closeness(a)));
    let mut same = vec![false; total];
    for place in order {
        let photo = &good[place];
        let threshold = point.threshold(anchor.resultant, Resultant::ONE);
        same[place] = photo
            .embedding
            .similarity(&anchor.embedding)
            .is_some_and(|similarity| similarity.value() >= threshold.value());
        if same[place] && enrolled.is_none() {
            accepted.push(photo.embedding.clone());
            anchor = Fused::of(&accepted).unwrap_or(anchor);
        }
    }
    let majority = same.iter().filter(|same| **same).count() * 2 > total;
    if enrolled.is_none() && !majority {
        same.fill(false);
    }
    for (photo, _) in good.iter().zip(&same).filter(|(_, same)| !**same) {
        verdicts[photo.index].flaw = Some(PhotoFlaw::Face(Flaw::OtherPerson));
    }
    let mut same = same.into_iter();
    good.retain(|_| same.next().unwrap_or(false));
}
