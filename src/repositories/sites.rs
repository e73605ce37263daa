//! Sites.

use crate::{
    domain::{grants::Reach, ids::SiteId, record::Key, sites::Site, text::SiteName},
    ports::{Page, Range, StoreError},
};

repository! {
    /// The repository of sites. A name that a site has which is not removed is a
    /// [`StoreError::Conflict`]; removing a site frees the name.
    Sites(Site): insert, exchange, find, find_many, all
}

impl Sites {
    /// Returns the site with a name that is not removed.
    pub async fn find_by_name(&self, name: &SiteName) -> Result<Option<Site>, StoreError> {
        self.0.find_by(Site::BY_NAME, (name.key(),)).await
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
}
