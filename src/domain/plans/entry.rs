//! Entries of the lists that admins and managers keep: settings under a unique name. What refers to
//! a removed entry still finds it.

use std::fmt::Debug;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::domain::{
    grants::Reach,
    ids::SiteId,
    record::{About, Index, Keys, Kind, Record, RecordId},
    text::SiteName,
};

/// The settings of a kind of entry.
pub trait Settings:
    Serialize + DeserializeOwned + Clone + PartialEq + Debug + Send + Sync + 'static
{
    /// The kind of its entries. Its index is [`BY_NAME`].
    const KIND: &'static Kind;

    /// The type of their IDs.
    type Id: RecordId + Copy + From<Uuid> + Serialize + DeserializeOwned;

    /// Returns the name.
    fn name(&self) -> &SiteName;

    /// Returns the site within which the name is unique; `None` if it is unique everywhere.
    fn home(&self) -> Option<SiteId>;

    /// Returns the sites that the entry is for; none if it is for all of them.
    fn sites(&self) -> &[SiteId];

    /// Describes the settings for the audit trail.
    fn detail(&self) -> String;
}

/// An entry: settings with an ID.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Entry<S: Settings> {
    /// The ID.
    pub id: S::Id,
    /// The settings.
    #[serde(flatten)]
    pub settings: S,
    /// When the entry was removed.
    pub removed_at: Option<Timestamp>,
}

/// The index that all kinds of entries have: those that are not removed, by home and name in
/// lowercase.
pub const BY_NAME: Index = Index::unique("by_name");

impl<S: Settings> Entry<S> {
    /// Checks whether the entry can be chosen.
    pub fn is_present(&self) -> bool {
        self.removed_at.is_none()
    }

    /// Checks whether a caller sees the entry: one that is for all sites, or for a covered one.
    pub fn is_visible(&self, reach: &Reach) -> bool {
        let sites = self.settings.sites();
        sites.is_empty() || sites.iter().any(|site| reach.covers_site(*site))
    }
}

impl<S: Settings> Record for Entry<S> {
    const KIND: &'static Kind = S::KIND;

    type Id = S::Id;

    fn id(&self) -> S::Id {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        if self.is_present() {
            let name = self.settings.name().key();
            match self.settings.home() {
                Some(site) => keys.add(BY_NAME, (site.uuid(), name)),
                None => keys.add(BY_NAME, (name,)),
            }
        }
    }

    fn about(&self) -> About {
        About::NoEmployee
    }
}
