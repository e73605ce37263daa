//! TemplateGrowth: makes templates from the faces of clear punches, where the site and the person
//! allow it.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    audit::Audit,
    employees::{Person, find_person},
    enrollment::{EnrollError, Enrollments},
    gallery_loader::GalleryLoader,
    recognition::Recognition,
    sites::Sites,
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::Punch,
        biometrics::{Embedding, Fused},
        employees::Consent,
        faces::{FaceEnrollment, Template},
        ids::EmployeeId,
        samples::Still,
        template_growth::{Growth, grow},
    },
    ports::Sample,
    repositories::Repositories,
};

/// Minimum age of a person's newest template from a punch before the next one is made, so that they
/// are from different days.
const REST: SignedDuration = SignedDuration::from_hours(20);

/// Maximum number of punches that wait. Further ones are left out; there will be others.
const WAITING_MOST: usize = 4;

/// A punch that may become a template.
struct Offer {
    employee: EmployeeId,
    sample: Sample,
}

/// The service that makes templates from punches.
pub struct TemplateGrowth {
    stores: Repositories,
    enrollments: Arc<Enrollments>,
    recognition: Arc<Recognition>,
    loader: Arc<GalleryLoader>,
    sites: Arc<Sites>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    offers: mpsc::Sender<Offer>,
    waiting: Mutex<mpsc::Receiver<Offer>>,
}

impl TemplateGrowth {
    /// Creates the service.
    pub fn new(
        stores: Repositories,
        enrollments: Arc<Enrollments>,
        recognition: Arc<Recognition>,
        loader: Arc<GalleryLoader>,
        sites: Arc<Sites>,
        audit: Audit,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (offers, waiting) = mpsc::channel(WAITING_MOST);
        Self {
            stores,
            enrollments,
            recognition,
            loader,
            sites,
            audit,
            clock,
            offers,
            waiting: Mutex::new(waiting),
        }
    }

    /// Offers the picture of a new punch, if its site grows templates and the person agreed.
    pub async fn offer(&self, punch: &Punch, person: &Person, still: Option<Still>) {
        let agreed = person.consent().is_some_and(Consent::covers_growth);
        let Some(still) = still.filter(|_| agreed) else {
            return;
        };
        // Without an answer of the store, this punch is left out.
        let site = self.sites.of(punch.site).await;
        if site.is_ok_and(|site| site.grow_templates) {
            let offer = Offer {
                employee: person.id,
                sample: still.sample,
            };
            let _ = self.offers.try_send(offer);
        }
    }

    /// Makes templates of the offered punches until the token is canceled.
    pub async fn work(&self, stop: CancellationToken) {
        let mut waiting = self.waiting.lock().await;
        loop {
            let offer = tokio::select! {
                () = stop.cancelled() => return,
                offer = waiting.recv() => offer,
            };
            let Some(Offer { employee, sample }) = offer else {
                return;
            };
            match self.grow(employee, sample, &stop).await {
                Ok(true) => info!(%employee, "made a template from a punch"),
                Ok(false) => {}
                Err(cause) => warn!(%employee, %cause, "could not make a template from a punch"),
            }
        }
    }

    /// Makes a template of the face in a sample if it is certainly the employee's and useful.
    async fn grow(
        &self,
        id: EmployeeId,
        sample: Sample,
        stop: &CancellationToken,
    ) -> Result<bool, EnrollError> {
        let Some(person) = find_person(&self.stores, id).await? else {
            return Ok(false);
        };
        // The consent may have changed while the punch waited.
        let agreed = person.consent().is_some_and(Consent::covers_growth);
        let grows = agreed && person.recognizable();
        let Some(enrollment) = person.enrollment.as_ref().filter(|_| grows) else {
            return Ok(false);
        };
        let now = self.clock.now();
        if last_grown(enrollment).is_some_and(|at| now.duration_since(at) < REST) {
            return Ok(false);
        }
        let present = self.loader.templates(enrollment)?;
        let of = |grown: bool| -> Vec<Embedding> {
            let chosen = present
                .iter()
                .filter(|(template, _)| template.grown == grown);
            chosen.map(|(_, embedding)| embedding.clone()).collect()
        };
        let (enrolled, grown) = (of(false), of(true));
        let Some(reference) = Fused::from_embeddings(&enrolled) else {
            return Ok(false);
        };
        let Some((new, embedding)) = self.enrollments.template(id, sample, stop).await? else {
            return Ok(false);
        };
        if !self
            .recognition
            .is_certain(id, &reference, new.views, &embedding)?
        {
            return Ok(false);
        }
        let mut of_punches = present.iter().filter(|(template, _)| template.grown);
        let replaced = match grow(&enrolled, &grown, &embedding) {
            Growth::Add => None,
            Growth::Replace(index) => of_punches.nth(index).map(|(one, _)| one.id),
            Growth::Ignore => return Ok(false),
        };
        let seen: Vec<_> = enrollment.templates().iter().map(|one| one.id).collect();
        self.audit
            .record(Actor::System, "templates.grow", id, None)
            .await?;
        let change = |mut stored: FaceEnrollment| {
            let face = stored.face.as_mut()?;
            // Another change came first: there will be other punches.
            if !face
                .templates
                .iter()
                .map(|one| one.id)
                .eq(seen.iter().copied())
            {
                return None;
            }
            face.templates.retain(|one| Some(one.id) != replaced);
            let of_model = face.templates.iter().filter(|one| one.model == new.model);
            if of_model.count() >= FaceEnrollment::TEMPLATES_MOST {
                return None;
            }
            face.templates.push(Template {
                grown: true,
                ..new.clone()
            });
            Some(stored)
        };
        if self.stores.faces.change(id, now, change).await?.is_none() {
            return Ok(false);
        }
        self.loader.changed(id).await?;
        Ok(true)
    }
}

/// Returns when the newest template from a punch was made.
fn last_grown(enrollment: &FaceEnrollment) -> Option<Timestamp> {
    let grown = enrollment.templates().iter().filter(|one| one.grown);
    grown.map(|one| one.created_at).max()
}
