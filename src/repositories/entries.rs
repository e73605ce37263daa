//! Entries of the lists that admins and managers keep: shifts, cycles, holidays, kinds of leave.

use std::sync::Arc;

use super::{Collection, Versioned};
use crate::{
    domain::{
        grants::Reach,
        ids::SiteId,
        plans::{Entry, Settings, entry::BY_NAME},
        record::{Index, Key},
    },
    ports::{Page, Parts, Range, RecordEngine, StoreError},
};

/// The cursor of a list of entries: the site within which the name is unique, the name in lower
/// case, and the ID.
pub type EntryCursor<S> = (Option<SiteId>, String, <S as Settings>::Id);

/// The repository of a kind of entry.
#[derive(Clone)]
pub struct Entries<S: Settings>(Collection<Entry<S>>);

impl<S: Settings> Entries<S> {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if an entry that is not removed has the name.
    pub async fn insert(&self, entry: &Entry<S>) -> Result<(), StoreError> {
        self.0.insert(entry).await
    }

    /// Replaces an entry if the record still equals `old`. Returns false, without a change, if it
    /// does not. Removing an entry frees the name.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] as for [`insert`](Self::insert).
    pub async fn exchange(&self, old: &Entry<S>, new: &Entry<S>) -> Result<bool, StoreError> {
        self.0.exchange(old, new).await
    }

    /// Returns an entry, removed or not.
    pub async fn find(&self, id: S::Id) -> Result<Option<Entry<S>>, StoreError> {
        Ok(self.0.get(&id).await?.map(Versioned::into_inner))
    }

    /// Returns a page of the visible entries that are not removed, sorted by site and name; those
    /// for one site only, if one is given.
    pub async fn list(
        &self,
        reach: &Reach,
        site: Option<SiteId>,
        page: &Page<EntryCursor<S>>,
    ) -> Result<Vec<Entry<S>>, StoreError> {
        let after = page.after.as_ref().map(|(home, name, id)| {
            let key = match home {
                Some(home) => Key::new((home.uuid(), name)),
                None => Key::new((name,)),
            };
            (key, id.to_string())
        });
        let wanted = |entry: &Entry<S>| {
            let sites = entry.settings.sites();
            entry.is_visible(reach)
                && site.is_none_or(|site| sites.is_empty() || sites.contains(&site))
        };
        let range = Range::all().after(after);
        self.0.filter(BY_NAME, range, page.limit, wanted).await
    }

    /// Returns all entries, removed ones too.
    pub async fn all(&self) -> Result<Vec<Entry<S>>, StoreError> {
        self.0.all(Index::ID, Range::all(), Parts::Body).await
    }
}
