//! Sites.

use std::sync::Arc;

use super::{Collection, Versioned};
use crate::{
    domain::{
        grants::Reach,
        ids::SiteId,
        record::{Index, Key},
        sites::Site,
        text::SiteName,
    },
    ports::{Page, Parts, Range, RecordEngine, StoreError},
};

/// The repository of sites.
#[derive(Clone)]
pub struct Sites(Collection<Site>);

impl Sites {
    /// Over a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    /// Adds a site.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the ID is taken, or the name by a site that is not removed.
    pub async fn insert(&self, site: &Site) -> Result<(), StoreError> {
        self.0.insert(site).await
    }

    /// Replaces a site while the record equals `old`; false when it does not, and nothing is done.
    /// A removed site frees the name.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another site that is not removed has the name.
    pub async fn exchange(&self, old: &Site, new: &Site) -> Result<bool, StoreError> {
        self.0.exchange(old, new).await
    }

    /// Returns a site, removed or not.
    pub async fn find(&self, id: SiteId) -> Result<Option<Site>, StoreError> {
        Ok(self.0.get(&id).await?.map(Versioned::into_inner))
    }

    /// Returns the site with a name that is not removed.
    pub async fn find_by_name(&self, name: &SiteName) -> Result<Option<Site>, StoreError> {
        let found = self.0.find(Site::BY_NAME, Key::new((name.key(),))).await?;
        Ok(found.map(Versioned::into_inner))
    }

    /// Returns a page of those covered that are not removed, sorted by lowercase name: the
    /// cursor.
    pub async fn list(
        &self,
        reach: &Reach,
        page: &Page<(String, SiteId)>,
    ) -> Result<Vec<Site>, StoreError> {
        let after = page.after.as_ref();
        let after = after.map(|(name, id)| (Key::new((name,)), id.to_string()));
        let range = Range::all().after(after);
        let wanted = |site: &Site| reach.covers(site);
        self.0
            .filter(Site::BY_NAME, range, page.limit, wanted)
            .await
    }

    /// Returns the sites with these IDs, including removed ones; unknown IDs are left out.
    pub async fn find_many(&self, ids: &[SiteId]) -> Result<Vec<Site>, StoreError> {
        self.0.get_many(ids).await
    }

    /// Returns all sites, removed ones too.
    pub async fn all(&self) -> Result<Vec<Site>, StoreError> {
        self.0.all(Index::ID, Range::all(), Parts::Body).await
    }
}
