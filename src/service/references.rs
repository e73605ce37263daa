//! References: what enrolled people are compared by, made from stored templates and put into
//! the gallery.

use std::{collections::HashMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tracing::error;

use super::feed::{Feed, News};
use crate::{
    domain::{
        biometrics::{Embedding, Fused, ModelId, Reference, Views},
        employees::Employee,
        ids::EmployeeId,
    },
    ports::{Gallery, Page, StoreError, StoredTemplate, Stores},
    vault::{Vault, VaultError},
};

/// Why a reference could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A template could not be opened.
    #[error("a template of employee {employee} could not be opened: {cause}")]
    Sealed {
        /// Whose.
        employee: EmployeeId,
        /// Why.
        cause: VaultError,
    },
}

/// How filling the gallery went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filled {
    /// People who can be identified.
    pub people: usize,
    /// People whose templates could not be opened: they are not identified, and the log says why of the first.
    pub damaged: usize,
}

/// The time of the word that goes out after a change, always later than that before it: an
/// instance that looked in between must see that there is something new.
pub(super) fn later(now: Timestamp, before: Timestamp) -> Timestamp {
    let next = before.saturating_add(SignedDuration::from_millis(1));
    next.map_or(now, |next| now.max(next))
}

/// Whether somebody may be identified by what is enrolled of them.
fn known(employee: &Employee) -> bool {
    employee.present() && employee.consent.is_some()
}

/// Makes references and keeps the gallery in step with the store.
pub struct References {
    stores: Stores,
    vault: Arc<Vault>,
    gallery: Arc<dyn Gallery>,
    model: ModelId,
    feed: Feed,
    /// One refresh at a time: of two, the later one reads what is true later.
    turn: Mutex<()>,
}

/// Templates are read from the store in pages of this many.
const PAGE: usize = 1000;

impl References {
    /// For one model's templates.
    pub fn new(
        stores: Stores,
        vault: Arc<Vault>,
        gallery: Arc<dyn Gallery>,
        model: ModelId,
        feed: Feed,
    ) -> Self {
        Self {
            stores,
            vault,
            gallery,
            model,
            feed,
            turn: Mutex::new(()),
        }
    }

    /// Puts everybody who may be identified into the gallery.
    pub async fn fill(&self) -> Result<Filled, StoreError> {
        let mut templates: HashMap<EmployeeId, Vec<StoredTemplate>> = HashMap::new();
        let mut page = Page {
            after: None,
            limit: PAGE,
        };
        loop {
            let batch = self.stores.templates.list(&self.model, &page).await?;
            page.after = batch.last().map(|last| last.id);
            let full = batch.len() == PAGE;
            for template in batch {
                templates
                    .entry(template.employee)
                    .or_default()
                    .push(template);
            }
            if !full {
                break;
            }
        }
        let mut filled = Filled::default();
        let mut damage = None;
        let people: Vec<EmployeeId> = templates.keys().copied().collect();
        for chunk in people.chunks(PAGE) {
            let present = self.stores.employees.find_many(chunk).await?;
            for employee in present.iter().filter(|employee| known(employee)) {
                match self.open(employee.id, &templates[&employee.id]) {
                    Ok(Some(reference)) => {
                        self.gallery.put(employee.id, reference);
                        filled.people += 1;
                    }
                    Ok(None) => {}
                    Err(cause) => {
                        damage.get_or_insert(cause);
                        filled.damaged += 1;
                    }
                }
            }
        }
        if let Some(cause) = damage {
            let people = filled.damaged;
            error!(people, %cause, "people are left out of the gallery: their templates cannot be opened");
        }
        Ok(filled)
    }

    /// Brings one person's place in the gallery up to date.
    pub async fn refresh(&self, id: EmployeeId) -> Result<(), ReferenceError> {
        let _turn = self.turn.lock().await;
        let employee = self.stores.employees.find(id).await?;
        let reference = match employee.filter(known) {
            Some(employee) => self.of(employee.id).await?,
            None => None,
        };
        match reference {
            Some(reference) => self.gallery.put(id, reference),
            None => {
                self.gallery.remove(id);
            }
        }
        Ok(())
    }

    /// The same, for one who was changed here: the other instances are told.
    pub async fn changed(&self, id: EmployeeId) -> Result<(), ReferenceError> {
        let refreshed = self.refresh(id).await;
        self.feed.tell(News::Employee(id)).await;
        refreshed
    }

    /// Whether there are templates of this model: by the gallery, else by the store, since those
    /// who are inactive are not in the gallery.
    pub async fn has(&self, employee: EmployeeId) -> Result<bool, StoreError> {
        if self.gallery.find(employee).is_some() {
            return Ok(true);
        }
        let templates = self.stores.templates.of_employee(employee).await?;
        Ok(templates.iter().any(|one| one.model == self.model))
    }

    /// What one person is compared by, from the store; `None` when nothing is enrolled.
    pub async fn of(&self, employee: EmployeeId) -> Result<Option<Reference>, ReferenceError> {
        let templates = self.stores.templates.of_employee(employee).await?;
        self.open(employee, &templates)
    }

    /// Opens templates of one employee that are of this model, and fuses them.
    fn open(
        &self,
        employee: EmployeeId,
        templates: &[StoredTemplate],
    ) -> Result<Option<Reference>, ReferenceError> {
        let ours = || {
            templates
                .iter()
                .filter(|template| template.model == self.model)
        };
        let embeddings = ours()
            .map(|template| {
                self.vault
                    .open_embedding(&template.sealed, employee, &self.model)
            })
            .collect::<Result<Vec<Embedding>, VaultError>>()
            .map_err(|cause| ReferenceError::Sealed { employee, cause })?;
        // With mixed views the higher threshold is the safe one: the shift of all views.
        let views = if ours().any(|template| template.views == Views::All) {
            Views::All
        } else {
            Views::Pair
        };
        Ok(Fused::of(&embeddings).map(|fused| Reference { fused, views }))
    }
}
