//! Entries of the lists that admins and managers keep: shifts, cycles, holidays, kinds of leave.

use std::sync::Arc;

use super::Collection;
use crate::{
    domain::{
        grants::Reach,
        ids::SiteId,
        plans::{Entry, Settings, entry::BY_NAME},
        record::Key,
    },
    ports::{Page, Range, RecordEngine, StoreError},
};

/// The cursor of a list of entries: the site within which the name is unique, the name in lower
/// case, and the ID.
pub type EntryCursor<S> = (Option<SiteId>, String, <S as Settings>::Id);

/// The repository of a kind of entry. A name that an entry has which is not removed is a
/// [`StoreError::Conflict`]; removing an entry frees the name.
#[derive(Clone)]
pub struct Entries<S: Settings>(Collection<Entry<S>>);

impl<S: Settings> Entries<S> {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    forward!(0: Entry<S> => insert, exchange, find, all);

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
}
