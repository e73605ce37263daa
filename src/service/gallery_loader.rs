//! Fills the gallery with the references of enrolled people, and keeps it in step with the store.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{TryStreamExt, pin_mut};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, MutexGuard};
use tracing::error;

use super::{
    analysis_cache,
    feed::{Feed, News},
};
use crate::{
    clock::Clock,
    domain::{
        biometrics::{Embedding, Fused, ModelId, Reference, Views},
        faces::{FaceEnrollment, Template},
        ids::EmployeeId,
    },
    ports::{FaceEngine, Gallery, StoreError},
    repositories::{Repositories, Versioned},
    vault::{Vault, VaultError},
};

/// How far each query for changes reaches back beyond the newest change that was seen. The clocks of
/// the instances, which stamp the changes, may differ by as much.
pub const OVERLAP: SignedDuration = SignedDuration::from_secs(60);

/// The number of employees that are read together.
const PAGE: usize = 500;

/// Why a reference was not made.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A template could not be decrypted.
    #[error("could not decrypt a template of employee {employee}: {cause}")]
    Sealed {
        /// The employee.
        employee: EmployeeId,
        /// The cause.
        cause: VaultError,
    },
}

/// The result of filling the gallery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filled {
    /// The number of people who can be identified.
    pub people: usize,
    /// The number of people whose templates could not be decrypted. They are not identified, and the
    /// log has the first cause.
    pub damaged: usize,
}

/// The revisions of the records from which the gallery was made.
#[derive(Default)]
struct Loaded {
    enrollments: HashMap<EmployeeId, u64>,
    employees: HashMap<EmployeeId, u64>,
    /// Employees whose face is enrolled under other models only.
    outdated: HashSet<EmployeeId>,
    /// The time of the newest change that was seen, and not after the present time: an instance
    /// whose clock is ahead must not hide later changes of the others.
    newest: Option<Timestamp>,
}

/// Makes references and keeps the gallery in step with the store.
#[derive(derive_new::new)]
pub struct GalleryLoader {
    stores: Repositories,
    vault: Arc<Vault>,
    gallery: Arc<dyn Gallery>,
    model: ModelId,
    /// People with templates of this model are left out.
    #[new(default)]
    newer: Option<ModelId>,
    /// The engine with the cache of analyses.
    #[new(default)]
    engine: Option<Arc<dyn FaceEngine>>,
    #[new(default)]
    outdated: AtomicUsize,
    feed: Feed,
    clock: Arc<dyn Clock>,
    /// Held during a load, so that a later load reads later records.
    #[new(default)]
    loaded: Mutex<Loaded>,
}

impl GalleryLoader {
    /// Leaves out people with templates of a newer model.
    pub fn without_people_of(self, newer: ModelId) -> Self {
        Self {
            newer: Some(newer),
            ..self
        }
    }

    /// Makes an engine forget its analyses whenever a face was deleted.
    pub fn with_engine(self, engine: Arc<dyn FaceEngine>) -> Self {
        Self {
            engine: Some(engine),
            ..self
        }
    }

    /// Returns the number of people whose face is enrolled, but not under this model.
    pub fn outdated(&self) -> usize {
        self.outdated.load(Ordering::Relaxed)
    }

    /// Puts all people who may be identified into the gallery.
    pub async fn fill(&self) -> Result<Filled, StoreError> {
        let mut loaded = self.loaded.lock().await;
        // Read first, so that a change in between counts as a later one.
        let employees = self.stores.employees.revisions().await?;
        let (mut filled, mut damage) = (Filled::default(), None);
        let pages = self.stores.faces.pages();
        pin_mut!(pages);
        while let Some(page) = pages.try_next().await? {
            for error in self.load(&mut loaded, page, &mut filled.people).await? {
                damage.get_or_insert(error);
                filled.damaged += 1;
            }
        }
        loaded.employees = employees.into_iter().collect();
        if let Some(cause) = damage {
            let people = filled.damaged;
            error!(people, %cause, "could not decrypt templates; left people out of the gallery");
        }
        Ok(filled)
    }

    /// Loads the changes since the newest one that was seen, and returns the number of people who
    /// were updated. After an error the next call tries the same changes again.
    pub async fn catch_up(&self) -> Result<usize, StoreError> {
        let mut loaded = self.loaded.lock().await;
        let newest = loaded.newest.unwrap_or(Timestamp::MIN);
        let since = newest.checked_sub(OVERLAP).unwrap_or(Timestamp::MIN);
        let mut changed = self.stores.faces.changed_since(since).await?;
        changed.retain(|one| loaded.enrollments.get(&one.employee) != Some(&one.revision()));
        self.load_all(&mut loaded, changed).await
    }

    /// Compares the revisions of all enrollments and enrolled employees with the loaded ones, and
    /// loads those that differ. Returns the number of these people. This finds changes that the
    /// feed and [`catch_up`](Self::catch_up) missed.
    pub async fn reconcile(&self) -> Result<usize, StoreError> {
        let mut loaded = self.loaded.lock().await;
        let employees: HashMap<_, _> = self
            .stores
            .employees
            .revisions()
            .await?
            .into_iter()
            .collect();
        let enrollments: HashMap<_, _> = self.stores.faces.revisions().await?.into_iter().collect();
        let mut stale: HashSet<EmployeeId> = HashSet::new();
        for (id, revision) in &enrollments {
            let same = loaded.enrollments.get(id) == Some(revision)
                && loaded.employees.get(id) == employees.get(id);
            if !same {
                stale.insert(*id);
            }
        }
        let gone: Vec<_> = loaded.enrollments.keys().copied().collect();
        for id in gone.into_iter().filter(|id| !enrollments.contains_key(id)) {
            loaded.enrollments.remove(&id);
            loaded.outdated.remove(&id);
            self.gallery.remove(id);
        }
        let stale: Vec<_> = stale.into_iter().collect();
        let mut done = 0;
        for ids in stale.chunks(PAGE) {
            for id in ids {
                if let Some(enrollment) = self.stores.faces.read(*id).await? {
                    done += self.load_all(&mut loaded, vec![enrollment]).await?;
                }
            }
        }
        loaded.employees = employees;
        self.note_outdated(&loaded);
        Ok(done)
    }

    async fn load_all(
        &self,
        loaded: &mut MutexGuard<'_, Loaded>,
        changed: Vec<Versioned<FaceEnrollment>>,
    ) -> Result<usize, StoreError> {
        let count = changed.len();
        let mut chunks = changed.into_iter().peekable();
        while chunks.peek().is_some() {
            let page = chunks.by_ref().take(PAGE).collect();
            for cause in self.load(loaded, page, &mut 0).await? {
                error!(%cause, "left a person out of the gallery");
            }
        }
        Ok(count)
    }

    /// Updates people in the gallery. Adds to `people` how many of them the gallery now contains, and
    /// returns an error for each person whose templates could not be decrypted.
    async fn load(
        &self,
        loaded: &mut MutexGuard<'_, Loaded>,
        page: Vec<Versioned<FaceEnrollment>>,
        people: &mut usize,
    ) -> Result<Vec<ReferenceError>, StoreError> {
        let ids: Vec<_> = page.iter().map(|one| one.employee).collect();
        let employees = self.stores.employees.find_many(&ids).await?;
        let present: HashSet<_> = employees
            .iter()
            .filter(|one| one.present())
            .map(|one| one.id)
            .collect();
        let mut damaged = Vec::new();
        // Also after a start, when the shared cache may still have what an earlier process put there.
        let since = self.clock.now().checked_sub(analysis_cache::LIFETIME);
        let since = since.unwrap_or(Timestamp::MIN);
        let mut faces = page.iter();
        let deleted = faces.any(|one| one.face.is_none() && one.changed_at >= since);
        for enrollment in page {
            let id = enrollment.employee;
            let enrolled = present.contains(&id) && !enrollment.templates().is_empty();
            match enrolled && !self.has(&enrollment) {
                true => loaded.outdated.insert(id),
                false => loaded.outdated.remove(&id),
            };
            let reference = match present.contains(&id) {
                true => self.open(&enrollment),
                false => Ok(None),
            };
            match reference {
                Ok(Some(reference)) => {
                    self.gallery.put(id, reference);
                    *people += 1;
                }
                // A person without usable templates must not be recognized any more.
                Ok(None) => drop(self.gallery.remove(id)),
                Err(error) => {
                    self.gallery.remove(id);
                    damaged.push(error);
                }
            }
            loaded.enrollments.insert(id, enrollment.revision());
            let changed_at = enrollment.changed_at.min(self.clock.now());
            loaded.newest = loaded.newest.max(Some(changed_at));
        }
        self.note_outdated(loaded);
        if let Some(engine) = self.engine.as_ref().filter(|_| deleted) {
            engine.forget().await;
        }
        Ok(damaged)
    }

    fn note_outdated(&self, loaded: &Loaded) {
        self.outdated
            .store(loaded.outdated.len(), Ordering::Relaxed);
    }

    /// Updates one person in the gallery.
    ///
    /// # Errors
    /// When the store fails, or when a template cannot be decrypted; then the person is not in the
    /// gallery.
    pub async fn refresh(&self, id: EmployeeId) -> Result<(), ReferenceError> {
        let mut loaded = self.loaded.lock().await;
        match self.stores.faces.read(id).await? {
            None => {
                self.gallery.remove(id);
                loaded.outdated.remove(&id);
                self.note_outdated(&loaded);
            }
            Some(enrollment) => {
                let errors = self.load(&mut loaded, vec![enrollment], &mut 0).await?;
                errors.into_iter().next().map_or(Ok(()), Err)?;
            }
        }
        Ok(())
    }

    /// Updates a person whom this instance changed, and notifies the other instances.
    ///
    /// # Errors
    /// As for [`refresh`](Self::refresh).
    pub async fn changed(&self, id: EmployeeId) -> Result<(), ReferenceError> {
        let refreshed = self.refresh(id).await;
        self.feed.publish(News::Employee(id)).await;
        refreshed
    }

    /// Returns the reference of a person from the store; `None` if no face is enrolled.
    ///
    /// # Errors
    /// As for [`refresh`](Self::refresh).
    pub async fn reference_of(
        &self,
        employee: EmployeeId,
    ) -> Result<Option<Reference>, ReferenceError> {
        match self.stores.faces.find(employee).await? {
            Some(enrollment) => self.open(&enrollment),
            None => Ok(None),
        }
    }

    /// Returns whether templates of this model are enrolled.
    pub fn has(&self, enrollment: &FaceEnrollment) -> bool {
        enrollment.templates_of(&self.model).next().is_some()
    }

    /// Decrypts the templates of this model.
    ///
    /// # Errors
    /// When a template cannot be decrypted.
    pub fn templates<'a>(
        &'a self,
        enrollment: &'a FaceEnrollment,
    ) -> Result<Vec<(&'a Template, Embedding)>, ReferenceError> {
        let employee = enrollment.employee;
        let open = |template: &'a Template| {
            let opened = self
                .vault
                .open_embedding(&template.sealed, employee, &self.model);
            Ok((template, opened?))
        };
        enrollment
            .templates_of(&self.model)
            .map(open)
            .collect::<Result<_, VaultError>>()
            .map_err(|cause| ReferenceError::Sealed { employee, cause })
    }

    /// Decrypts the templates of this model and fuses them. The reference carries the look-alikes.
    fn open(&self, enrollment: &FaceEnrollment) -> Result<Option<Reference>, ReferenceError> {
        let newer = self.newer.as_ref();
        if newer.is_some_and(|newer| enrollment.templates_of(newer).next().is_some()) {
            return Ok(None);
        }
        let (templates, embeddings): (Vec<_>, Vec<_>) =
            self.templates(enrollment)?.into_iter().unzip();
        // With mixed views, the threshold of all views is the safe one, because it is higher.
        let views = match templates
            .iter()
            .any(|template| template.views == Views::All)
        {
            true => Views::All,
            false => Views::Pair,
        };
        let look_alikes = enrollment.look_alikes().to_vec();
        Ok(Fused::from_embeddings(&embeddings).map(|fused| Reference {
            fused,
            views,
            look_alikes,
        }))
    }
}
