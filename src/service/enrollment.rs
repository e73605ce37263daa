//! Enrollment: makes templates from quality-checked photos of a known person who consented.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    audit::Audit,
    employees::{Person, find_person, in_order, override_detail},
    gallery_loader::{GalleryLoader, ReferenceError},
    recognition::{Recognition, RecognitionError},
    sealed_faces,
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::Origin,
        biometrics::{
            Calibration, Embedding, ErrorRate, Fused, ModelId, OperatingPoint, Probe, Reference,
            Resultant, Similarity, Views,
        },
        employees::{CONSENT_VERSION, Consent, ConsentGiven, Employee},
        faces::{EnrolledFace, FaceEnrollment, Photo, Template},
        grants::Reach,
        ids::{EmployeeId, PhotoId, TemplateId},
        installation::Lease,
        quality::{Flaw, Quality, QualityLimits},
        sealed::Sealed,
    },
    ports::{Analysis, EngineError, FaceEngine, Sample, SampleError, StoreError, Work},
    repositories::Repositories,
    vault::{Vault, VaultError},
};

/// The maximum number of photos in one request.
pub const PHOTOS_MOST: usize = 10;
/// The maximum number of templates of one person and model.
pub const TEMPLATES_MOST: usize = FaceEnrollment::TEMPLATES_MOST;

/// Why nothing was enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// There is no such employee.
    #[error("no such employee")]
    NotFound,
    /// The employee is not active.
    #[error("the employee is not active: activate them first")]
    Inactive,
    /// The request has no consent.
    #[error("consent is required: ask the employee, then send consent=true")]
    NoConsent,
    /// There are no photos, or too many.
    #[error("send 1 to {PHOTOS_MOST} photos")]
    PhotoCount,
    /// The employee would have too many templates.
    #[error("an employee has at most {TEMPLATES_MOST} templates: delete the enrolled face first")]
    Full,
    /// Every photo was refused; the verdicts have the reasons.
    #[error("none of the photos can be used")]
    NoUsablePhoto(Vec<PhotoVerdict>),
    /// The face is enrolled for another employee.
    #[error("this face is enrolled for another employee")]
    Duplicate {
        /// The other employee.
        other: Box<Employee>,
        /// The verdicts on the photos.
        photos: Vec<PhotoVerdict>,
    },
    /// Another instance is enrolling a face, and did not finish in time.
    #[error("another enrollment is being checked: try again in a moment")]
    Busy,
    /// The engine failed, or there is no calibration.
    #[error(transparent)]
    Recognition(#[from] RecognitionError),
    /// Encryption failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<EngineError> for EnrollError {
    fn from(error: EngineError) -> Self {
        Self::Recognition(error.into())
    }
}

impl From<ReferenceError> for EnrollError {
    fn from(error: ReferenceError) -> Self {
        Self::Recognition(error.into())
    }
}

/// Why a photo was refused.
#[derive(Debug, Clone, PartialEq)]
pub enum PhotoFlaw {
    /// The face cannot be used.
    Face(Flaw),
    /// The image cannot be read.
    Sample(SampleError),
}

impl PhotoFlaw {
    /// Returns the word for it in the API.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Face(flaw) => flaw.reason(),
            Self::Sample(_) => "unreadable",
        }
    }

    /// Returns an explanation with a remedy.
    pub fn detail(&self) -> String {
        match self {
            Self::Face(flaw) => flaw.detail(),
            Self::Sample(error) => error.to_string(),
        }
    }
}

/// The verdict on a photo.
#[derive(Debug, Clone, PartialEq)]
pub struct PhotoVerdict {
    /// The position in the request, from 0.
    pub index: usize,
    /// Why it was refused; `None` if it was accepted.
    pub flaw: Option<PhotoFlaw>,
    /// The measured quality; `None` without a face.
    pub quality: Option<Quality>,
}

/// A request to enroll a face.
#[derive(Debug, Clone)]
pub struct EnrollRequest {
    /// The employee.
    pub employee: EmployeeId,
    /// How the employee consented; `None` if they did not.
    pub consent: Option<ConsentGiven>,
    /// 1 to 10 photos.
    pub photos: Vec<Sample>,
    /// Whether to enroll the face even if it matches another employee; for admins, audited.
    pub override_duplicate: bool,
}

/// The result of an enrollment.
#[derive(Debug, Clone)]
pub struct Enrollment {
    /// The person after the enrollment.
    pub person: Person,
    /// The verdicts on the photos.
    pub photos: Vec<PhotoVerdict>,
}

/// The outcome for an employee whose templates are of another model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reembedded {
    /// They have templates of the present model now.
    Done,
    /// There are no stored photos.
    NoPhotos,
    /// None of the stored photos can be used.
    Unusable,
    /// They have templates of the present model already, or must not be enrolled any more.
    Unneeded,
}

/// A photo that passed the checks so far.
struct GoodPhoto {
    index: usize,
    embedding: Embedding,
    quality: Quality,
}

/// Enrolls faces.
#[allow(
    clippy::too_many_arguments,
    reason = "created once, by boot, with everything named"
)]
#[derive(derive_new::new)]
pub struct Enrollments {
    stores: Repositories,
    engine: Arc<dyn FaceEngine>,
    recognition: Arc<Recognition>,
    loader: Arc<GalleryLoader>,
    vault: Arc<Vault>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    /// Whether photos are stored.
    keep_photos: bool,
}

/// The false match rate at which photos count as those of one person. An admin vouches for them, so
/// this only has to find a photo of another person that was added by mistake.
const SAME_PERSON: ErrorRate = ErrorRate::ONE_IN_TWENTY;

/// The least width of a second face that counts, as a share of the first one's width.
const SECOND_FACE: f32 = 0.4;

/// The number of photos of one request in the engine at a time; small, because kiosks go first.
const PHOTOS_AT_ONCE: usize = 2;

/// The pause before background work asks a busy engine again.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// The lease under which a new face is compared with all others and written, so that two instances
/// cannot enroll one face for two people at the same time.
const LEASE: &str = "enrolling a face";

/// The length of the lease, far longer than comparing and writing take.
const LEASE_LENGTH: Duration = Duration::from_secs(15);

/// How often the lease is tried while another instance holds it, and the pause between two tries.
const LEASE_TRIES: u32 = 100;
const LEASE_PAUSE: Duration = Duration::from_millis(100);

impl Enrollments {
    /// Enrolls the usable photos of one person, all at once.
    pub async fn enroll(
        &self,
        reach: &Reach,
        actor: Actor,
        request: EnrollRequest,
    ) -> Result<Enrollment, EnrollError> {
        self.enroll_paced(reach, actor, request, None).await
    }

    /// Like [`enroll`](Self::enroll) for an admin, while no kiosk uses the engine.
    ///
    /// # Errors
    /// Also [`EngineError::Stopped`] when `stop` is canceled before anything is written.
    pub async fn enroll_when_idle(
        &self,
        actor: Actor,
        request: EnrollRequest,
        stop: &CancellationToken,
    ) -> Result<Enrollment, EnrollError> {
        self.enroll_paced(&Reach::Everything, actor, request, Some(stop))
            .await
    }

    /// Seals a photo that waits for the enrollment of an employee.
    pub fn seal_photo(&self, employee: EmployeeId, photo: &Sample) -> Result<Sealed, VaultError> {
        self.vault
            .seal_photo(self.clock.nonce(), employee, photo.bytes())
    }

    /// Opens what [`seal_photo`](Self::seal_photo) sealed for the same employee.
    pub fn open_photo(&self, employee: EmployeeId, sealed: &Sealed) -> Result<Sample, VaultError> {
        let photo = self.vault.open_photo(sealed, employee)?;
        Ok(Sample::new(photo.to_vec()))
    }

    /// Enrolls; only while the engine is idle, if there is a token that ends the wait.
    async fn enroll_paced(
        &self,
        reach: &Reach,
        actor: Actor,
        request: EnrollRequest,
        stop: Option<&CancellationToken>,
    ) -> Result<Enrollment, EnrollError> {
        let Some(given) = request.consent else {
            return Err(EnrollError::NoConsent);
        };
        if !(1..=PHOTOS_MOST).contains(&request.photos.len()) {
            return Err(EnrollError::PhotoCount);
        }
        let calibration = self
            .engine
            .calibration()
            .ok_or(EnrollError::Recognition(RecognitionError::NoCalibration))?;
        let employee = self.employee(reach, request.employee).await?;
        let (mut verdicts, mut good) = match stop {
            None => self.check(&request.photos, actor).await?,
            Some(stop) => self.check_when_idle(&request.photos, stop).await?,
        };
        let enrolled = self.loader.reference_of(employee.id).await?;
        let same = same_person(self.engine.enrollment_views(), calibration);
        refuse_other_people(&mut good, &mut verdicts, enrolled.as_ref(), same);
        let Some(fused) = fuse(&good) else {
            return Err(EnrollError::NoUsablePhoto(verdicts));
        };
        let probe = Probe {
            fused,
            views: self.engine.enrollment_views(),
        };
        let consent = Consent {
            at: self.clock.now(),
            recorded_by: actor,
            text: CONSENT_VERSION.to_owned(),
            given,
        };
        let lease = self.lease().await?;
        let photos = request.photos.as_slice();
        let enrolled = self
            .enroll_checked(&consent, &request, employee, probe, (photos, good))
            .await;
        // A lease that is not released ends by itself.
        if let Err(cause) = self.stores.leases.release(&lease).await {
            warn!(%cause, "could not release the lease of an enrollment");
        }
        match enrolled? {
            Ok(person) => {
                info!(employee = %person.id, templates = person.templates(), "enrolled");
                Ok(Enrollment {
                    person,
                    photos: verdicts,
                })
            }
            Err(other) => Err(EnrollError::Duplicate {
                other: Box::new(other),
                photos: verdicts,
            }),
        }
    }

    /// Takes the lease. Waits while another instance holds it.
    async fn lease(&self) -> Result<Lease, EnrollError> {
        let holder = self.clock.id().to_string();
        for _ in 0..LEASE_TRIES {
            let now = self.clock.now();
            let until = now + LEASE_LENGTH;
            if let Some(lease) = self.stores.leases.take(LEASE, &holder, now, until).await? {
                return Ok(lease);
            }
            tokio::time::sleep(LEASE_PAUSE).await;
        }
        Err(EnrollError::Busy)
    }

    /// Compares a face with all enrolled faces, and writes it. If it matches another employee, returns
    /// that employee and writes nothing, unless the request overrides that.
    async fn enroll_checked(
        &self,
        consent: &Consent,
        request: &EnrollRequest,
        employee: Employee,
        probe: Probe,
        (photos, good): (&[Sample], Vec<GoodPhoto>),
    ) -> Result<Result<Person, Employee>, EnrollError> {
        let actor = consent.recorded_by;
        // This gallery may not have the latest enrollments of other instances yet.
        self.loader.catch_up().await?;
        let others = self.recognition.others_with_face(employee.id, &probe)?;
        let mut others = in_order(&self.stores, &others).await?;
        if !others.is_empty() && !request.override_duplicate {
            return Ok(Err(others.swap_remove(0)));
        }
        let others: Vec<_> = others.iter().map(|other| other.id).collect();
        if !others.is_empty() {
            let detail = Some(override_detail(&others));
            self.audit
                .record(actor, "templates.override", employee.id, detail)
                .await?;
        }
        self.audit
            .record(
                actor,
                "templates.enroll",
                employee.id,
                Some(format!("{} photos, consent {}", good.len(), consent.text)),
            )
            .await?;
        self.store(consent, employee.id, &others, (photos, good))
            .await
            .map(Ok)
    }

    /// Returns the present model.
    pub fn model(&self) -> &ModelId {
        self.engine.model()
    }

    /// Makes templates of the present model from the stored photos of an employee, while no kiosk uses
    /// the engine. The templates of the previous model stay, because it may be used again.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] when `stop` is canceled before anything is written.
    pub async fn reembed(
        &self,
        actor: Actor,
        id: EmployeeId,
        stop: &CancellationToken,
    ) -> Result<Reembedded, EnrollError> {
        let person = find_person(&self.stores, id).await?;
        let model = self.engine.model();
        let needs = |person: &Person| {
            let enrollment = person.enrollment.as_ref();
            person.deleted_at.is_none()
                && person.consent().is_some()
                && enrollment.is_some_and(|one| one.templates_of(model).next().is_none())
        };
        if !person.as_ref().is_some_and(needs) {
            return Ok(Reembedded::Unneeded);
        }
        let mut photos = Vec::new();
        for kept in self.stores.photos.list_by_employee(id).await? {
            photos.push(self.open_photo(id, &kept.sealed)?);
        }
        if photos.is_empty() {
            return Ok(Reembedded::NoPhotos);
        }
        let (mut verdicts, mut good) = self.check_when_idle(&photos, stop).await?;
        if let Some(calibration) = self.engine.calibration() {
            let same = same_person(self.engine.enrollment_views(), calibration);
            refuse_other_people(&mut good, &mut verdicts, None, same);
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
        let models_kept = |face: &EnrolledFace| {
            // The present model and the previous one.
            let newest = face.templates.iter().rev().map(|one| one.model.clone());
            [
                Some(model.clone()),
                newest.into_iter().find(|one| one != model),
            ]
        };
        let change = |mut stored: FaceEnrollment| {
            // Without a face, the consent was withdrawn meanwhile.
            let face = stored.face.as_mut()?;
            if face
                .templates
                .iter()
                .any(|template| template.model == *model)
            {
                return None;
            }
            let kept = models_kept(face);
            face.templates
                .retain(|one| kept.contains(&Some(one.model.clone())));
            face.templates.extend(templates.iter().cloned());
            Some(stored)
        };
        if self.stores.faces.change(id, now, change).await?.is_none() {
            return Ok(Reembedded::Unneeded);
        }
        if self.taken_back_if_deleted(id).await? {
            return Ok(Reembedded::Unneeded);
        }
        self.loader.changed(id).await?;
        info!(employee = %id, templates = templates.len(), "made templates of the present model");
        Ok(Reembedded::Done)
    }

    /// Deletes the new enrollment if the employee was deleted meanwhile; returns whether that is so.
    async fn taken_back_if_deleted(&self, id: EmployeeId) -> Result<bool, EnrollError> {
        let employee = self.stores.employees.find(id).await?;
        let deleted = employee.is_none_or(|employee| employee.deleted_at.is_some());
        if deleted {
            sealed_faces::forget(&self.stores, &*self.clock, id).await?;
            self.loader.changed(id).await?;
        }
        Ok(deleted)
    }

    async fn employee(&self, reach: &Reach, id: EmployeeId) -> Result<Employee, EnrollError> {
        let employee = self.stores.employees.find_covered(reach, id).await?;
        let employee = employee.ok_or(EnrollError::NotFound)?;
        if employee.active {
            Ok(employee)
        } else {
            Err(EnrollError::Inactive)
        }
    }

    /// Analyzes and checks each photo by itself.
    async fn check(
        &self,
        photos: &[Sample],
        actor: Actor,
    ) -> Result<(Vec<PhotoVerdict>, Vec<GoodPhoto>), EnrollError> {
        let sender = Origin::of_actor(actor);
        let analyses = stream::iter(photos.iter().cloned())
            .map(|photo| {
                let work = Work {
                    sender,
                    ..self.work()
                };
                self.engine.analyze(photo, work)
            })
            .buffered(PHOTOS_AT_ONCE)
            .collect()
            .await;
        Ok(judge(analyses)?)
    }

    /// Like [`check`](Self::check), one photo after the other, while no kiosk uses the engine.
    async fn check_when_idle(
        &self,
        photos: &[Sample],
        stop: &CancellationToken,
    ) -> Result<(Vec<PhotoVerdict>, Vec<GoodPhoto>), EnrollError> {
        let mut analyses = Vec::with_capacity(photos.len());
        for photo in photos {
            let analysis = async {
                loop {
                    match self
                        .engine
                        .analyze_if_idle(photo.clone(), self.work())
                        .await
                    {
                        Err(EngineError::Overloaded) => tokio::time::sleep(BUSY_PAUSE).await,
                        result => return result,
                    }
                }
            };
            analyses.push(tokio::select! {
                biased;
                () = stop.cancelled() => Err(EngineError::Stopped),
                result = analysis => result,
            });
        }
        Ok(judge(analyses)?)
    }

    /// Encrypts and stores the templates, and then updates the gallery.
    async fn store(
        &self,
        consent: &Consent,
        id: EmployeeId,
        look_alikes: &[EmployeeId],
        (photos, good): (&[Sample], Vec<GoodPhoto>),
    ) -> Result<Person, EnrollError> {
        let now = self.clock.now();
        let (templates, model) = (self.templates(id, &good, now)?, self.engine.model());
        let room = |stored: &FaceEnrollment| {
            stored.templates_of(model).count() + templates.len() <= TEMPLATES_MOST
        };
        if !self.stores.faces.find(id).await?.as_ref().is_none_or(room) {
            return Err(EnrollError::Full);
        }
        // The photos first, because retention deletes photos without a face. Withdrawing the consent
        // deletes the face before the photos.
        for photo in good.iter().filter(|_| self.keep_photos) {
            let sealed = self.seal_photo(id, &photos[photo.index])?;
            let photo = Photo {
                id: PhotoId::new(self.clock.id()),
                employee: id,
                sealed,
                created_at: now,
            };
            self.stores.photos.insert(&photo).await?;
        }
        let change = |mut stored: FaceEnrollment| {
            if !room(&stored) {
                return None;
            }
            let face = stored.face.get_or_insert_with(|| EnrolledFace {
                consent: consent.clone(),
                templates: Vec::new(),
                look_alikes: Vec::new(),
            });
            face.consent = consent.clone();
            face.templates.extend(templates.iter().cloned());
            face.add_look_alikes(look_alikes);
            Some(stored)
        };
        let Some(enrollment) = self.stores.faces.change(id, now, change).await? else {
            return Err(EnrollError::Full);
        };
        // If the employee was deleted meanwhile, nothing of the face may stay.
        if self.taken_back_if_deleted(id).await? {
            return Err(EnrollError::NotFound);
        }
        self.loader.changed(id).await?;
        let employee = self.stores.employees.find(id).await?;
        Ok(Person {
            employee: employee.ok_or(EnrollError::NotFound)?,
            enrollment: Some(enrollment),
        })
    }

    /// Makes a template of the only face in a picture, while the engine is idle; `None` if the face
    /// is not good enough. Stores nothing.
    pub(super) async fn template(
        &self,
        employee: EmployeeId,
        picture: Sample,
        stop: &CancellationToken,
    ) -> Result<Option<(Template, Embedding)>, EnrollError> {
        let (_, good) = self.check_when_idle(&[picture], stop).await?;
        let made = self.templates(employee, &good, self.clock.now())?.pop();
        Ok(made.zip(good.into_iter().next().map(|photo| photo.embedding)))
    }

    /// Returns the work of the engine on a photo.
    fn work(&self) -> Work {
        Work {
            views: self.engine.enrollment_views(),
            embed: 1,
            photo: true,
            sender: None,
        }
    }

    /// Makes templates with the encrypted embeddings of photos.
    fn templates(
        &self,
        employee: EmployeeId,
        photos: &[GoodPhoto],
        now: Timestamp,
    ) -> Result<Vec<Template>, VaultError> {
        let model = self.engine.model();
        let template = |photo: &GoodPhoto| {
            Ok(Template {
                id: TemplateId::new(self.clock.id()),
                model: model.clone(),
                views: self.engine.enrollment_views(),
                sealed: self.vault.seal_embedding(
                    self.clock.nonce(),
                    employee,
                    model,
                    &photo.embedding,
                )?,
                quality: photo.quality,
                created_at: now,
                grown: false,
            })
        };
        photos.iter().map(template).collect()
    }
}

/// Returns the verdict on each photo of one person, and the reference that enrolling them makes;
/// `None` if none can be used. The analyses must be of these views, which enrollment makes.
///
/// # Errors
/// When the engine failed.
pub fn reference(
    analyses: Vec<Result<Analysis, EngineError>>,
    views: Views,
    calibration: &Calibration,
) -> Result<(Vec<PhotoVerdict>, Option<Reference>), EngineError> {
    let (mut verdicts, mut good) = judge(analyses)?;
    let same = same_person(views, calibration);
    refuse_other_people(&mut good, &mut verdicts, None, same);
    let reference = fuse(&good).map(|fused| Reference {
        fused,
        views,
        look_alikes: Vec::new(),
    });
    Ok((verdicts, reference))
}

/// Returns the thresholds for two photos of one person, both with these views.
fn same_person(views: Views, calibration: &Calibration) -> OperatingPoint {
    calibration.at(SAME_PERSON, views, views)
}

fn fuse(good: &[GoodPhoto]) -> Option<Fused> {
    let embeddings: Vec<_> = good.iter().map(|photo| photo.embedding.clone()).collect();
    Fused::from_embeddings(&embeddings)
}

/// Returns the verdict on each photo, and the photos that passed.
fn judge(
    analyses: Vec<Result<Analysis, EngineError>>,
) -> Result<(Vec<PhotoVerdict>, Vec<GoodPhoto>), EngineError> {
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
            Err(error) => return Err(error),
        };
        verdicts.push(PhotoVerdict {
            index,
            flaw,
            quality,
        });
    }
    Ok((verdicts, good))
}

/// Returns the embedding of the only face in a photo, or the flaw.
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

/// Refuses photos of other people than the one who is enrolled already, or else the one whom most
/// photos show. Without a majority, refuses all.
fn refuse_other_people(
    good: &mut Vec<GoodPhoto>,
    verdicts: &mut [PhotoVerdict],
    enrolled: Option<&Reference>,
    same_person: OperatingPoint,
) {
    let total = good.len();
    let mut accepted: Vec<Embedding> = Vec::new();
    let mut anchor = enrolled.map(|reference| reference.fused.clone());
    if anchor.is_none() {
        // The photo that is most similar to all others.
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
    // The most similar photos first, so that the anchor is better for the difficult ones.
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
        let threshold = same_person.threshold(anchor.resultant, Resultant::ONE);
        same[place] = photo
            .embedding
            .similarity(&anchor.embedding)
            .is_some_and(|similarity| similarity.value() >= threshold.value());
        if same[place] && enrolled.is_none() {
            accepted.push(photo.embedding.clone());
            anchor = Fused::from_embeddings(&accepted).unwrap_or(anchor);
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
