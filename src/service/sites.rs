//! Sites: adds, changes, lists and removes sites, and looks them up from memory.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::{SignedDuration, Timestamp, civil::Time};
use tokio::sync::Mutex;

use super::{
    audit::Audit,
    feed::{Feed, Following, News},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        grants::Reach,
        ids::SiteId,
        sites::{Site, SiteSettings, Zone},
        text::SiteName,
    },
    ports::{EmployeeFilter, Page, StoreError},
    repositories::Repositories,
};

/// Why a request about sites failed.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The site does not exist.
    #[error("no such site")]
    NotFound,
    /// Another site has the name.
    #[error("another site has this name")]
    NameTaken,
    /// The default site cannot be removed.
    #[error("the default site cannot be removed: rename it instead")]
    Default,
    /// Something belongs to the site. The text lists what.
    #[error("{0} belong to this site: move them to another site first")]
    InUse(String),
    /// Other requests kept changing the site at the same time.
    #[error("other requests are changing this site at the same time")]
    Raced,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The settings of the default site when it is created.
#[derive(Debug, Clone, PartialEq)]
pub struct Seed {
    /// The time zone.
    pub zone: Zone,
    /// When a workday begins.
    pub workday_starts: Time,
}

/// All sites by ID, including removed ones.
#[derive(Debug, Default)]
pub struct SiteMap(HashMap<SiteId, Site>);

impl SiteMap {
    /// Returns the name of a site. It may be empty for a site that another instance has just added.
    pub fn name(&self, id: SiteId) -> &str {
        self.0.get(&id).map_or("", |site| site.name.as_str())
    }

    /// Returns a site, or the default site if the site is missing in the store.
    pub fn or_default(&self, id: SiteId) -> Option<&Site> {
        self.0.get(&id).or_else(|| self.0.get(&SiteId::DEFAULT))
    }

    /// Returns the time zone of a site, or of the default site if the site is missing in the store.
    pub fn zone(&self, id: SiteId) -> Option<String> {
        self.or_default(id).map(|site| site.zone.to_string())
    }

    /// Returns the site with a name, without regard to case, unless removed.
    pub fn named(&self, name: &SiteName) -> Option<&Site> {
        let key = name.key();
        let mut present = self.0.values().filter(|site| site.removed_at.is_none());
        present.find(|site| site.name.key() == key)
    }
}

impl Deref for SiteMap {
    type Target = HashMap<SiteId, Site>;

    fn deref(&self) -> &HashMap<SiteId, Site> {
        &self.0
    }
}

/// How long sites are remembered without news of a change. Instances without a shared Redis never
/// receive such news from each other.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(2);

/// Number of attempts at a change while other requests change the same site.
const TRIES: usize = 8;

/// The remembered sites.
struct Remembered {
    news: Following,
    sites: Arc<SiteMap>,
    read_at: Option<Timestamp>,
    /// Why the last read failed.
    failure: Option<StoreError>,
}

/// The service for sites.
pub struct Sites {
    stores: Repositories,
    seed: Seed,
    audit: Audit,
    clock: Arc<dyn Clock>,
    feed: Feed,
    /// The remembered sites. Locked during a read of the store, so that an older answer never
    /// replaces a newer one.
    remembered: Mutex<Remembered>,
    /// Number of finished reads of the store.
    reads: AtomicU64,
}

impl Sites {
    /// Creates the service. If the default site is missing when sites are first read, it is created
    /// from `seed`.
    pub fn new(
        stores: Repositories,
        seed: Seed,
        audit: Audit,
        clock: Arc<dyn Clock>,
        feed: Feed,
    ) -> Self {
        let remembered = Remembered {
            news: feed.follow(),
            sites: Arc::default(),
            read_at: None,
            failure: None,
        };
        Self {
            stores,
            seed,
            audit,
            clock,
            feed,
            remembered: Mutex::new(remembered),
            reads: AtomicU64::new(0),
        }
    }

    /// Returns all sites, including removed ones, at most [`REMEMBERED`] old. News of a change
    /// leads to another read.
    pub async fn all(&self) -> Result<Arc<SiteMap>, StoreError> {
        self.recall(|_| true).await
    }

    /// Returns a site, removed or not, or the default site if the site is missing in the store.
    pub async fn of(&self, id: SiteId) -> Result<Site, StoreError> {
        let sites = self.recall(|sites| sites.contains_key(&id)).await?;
        let site = sites.or_default(id).cloned();
        site.ok_or_else(|| StoreError::Corrupt("the default site is missing".to_owned()))
    }

    /// Creates the default site if it is missing. If several instances try at once, one succeeds.
    /// There is no audit entry, so that a store in which nothing has happened yet can still receive
    /// a backup or a copy.
    async fn make_default(&self) -> Result<(), StoreError> {
        let Seed {
            zone,
            workday_starts,
        } = self.seed.clone();
        let site = Site::default_site(zone, workday_starts, self.clock.now());
        match self.stores.sites.insert(&site).await {
            Ok(()) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Checks whether a site exists and is not removed.
    pub async fn is_present(&self, id: SiteId) -> Result<bool, StoreError> {
        let present = |sites: &SiteMap| {
            let site = sites.get(&id);
            site.is_some_and(|site| site.removed_at.is_none())
        };
        Ok(present(&*self.recall(present).await?))
    }

    /// Returns the remembered sites if they are recent and `will_do` accepts them, otherwise reads
    /// the store.
    async fn recall(&self, will_do: impl Fn(&SiteMap) -> bool) -> Result<Arc<SiteMap>, StoreError> {
        let reads = self.reads.load(Ordering::Relaxed);
        let mut remembered = self.remembered.lock().await;
        // If the store hangs, callers that waited for one read do not wait for another one each.
        if let Some(failure) = &remembered.failure
            && self.reads.load(Ordering::Relaxed) != reads
        {
            return Err(failure.clone());
        }
        while let Some(news) = remembered.news.try_next() {
            if matches!(news, News::Site(_) | News::Missed) {
                remembered.read_at = None;
            }
        }
        let now = self.clock.now();
        let recent = remembered.read_at.is_some_and(|at| {
            // A negative age means that the clock was set back.
            (SignedDuration::ZERO..REMEMBERED).contains(&now.duration_since(at))
        });
        if recent && will_do(&remembered.sites) {
            return Ok(remembered.sites.clone());
        }
        let sites = self.read().await;
        self.reads.fetch_add(1, Ordering::Relaxed);
        remembered.failure = sites.as_ref().err().cloned();
        let sites = sites?.into_iter().map(|site| (site.id, site)).collect();
        remembered.sites = Arc::new(SiteMap(sites));
        remembered.read_at = Some(now);
        Ok(remembered.sites.clone())
    }

    /// Reads all sites. Creates the default site if it is missing.
    async fn read(&self) -> Result<Vec<Site>, StoreError> {
        let sites = self.stores.sites.all().await?;
        if sites.iter().any(|site| site.id == SiteId::DEFAULT) {
            return Ok(sites);
        }
        self.make_default().await?;
        self.stores.sites.all().await
    }

    /// Adds a site.
    pub async fn add(&self, actor: Actor, settings: SiteSettings) -> Result<Site, SiteError> {
        let now = self.clock.now();
        let site = Site {
            id: SiteId::new(self.clock.id()),
            settings,
            created_at: now,
            changed_at: Some(now),
            removed_at: None,
        };
        self.record(actor, "site.add", &site).await?;
        match self.stores.sites.insert(&site).await {
            Ok(()) => {}
            Err(StoreError::Conflict) => return Err(SiteError::NameTaken),
            Err(error) => return Err(error.into()),
        }
        self.feed.publish(News::Site(site.id)).await;
        Ok(site)
    }

    async fn record(&self, actor: Actor, action: &str, site: &Site) -> Result<(), StoreError> {
        let SiteSettings {
            name,
            zone,
            workday_starts,
            grow_templates,
            face_and_pin,
            kiosk_enrollment,
            mqtt_names,
            pin_digits,
        } = &site.settings;
        let starts = workday_starts.strftime("%H:%M");
        let grow = match grow_templates {
            true => ", templates improve with punches",
            false => "",
        };
        let digits = match pin_digits.is_default() {
            true => String::new(),
            false => format!(", PINs of {} digits", pin_digits.count()),
        };
        let both = match face_and_pin {
            true => ", punches with face and PIN or badge",
            false => "",
        };
        let enroll = match kiosk_enrollment {
            true => ", people enroll at kiosks",
            false => "",
        };
        let names = match mqtt_names {
            true => ", signals have names",
            false => "",
        };
        let detail =
            format!("{name}, {zone}, workday from {starts}{grow}{names}{digits}{both}{enroll}");
        self.audit
            .record(actor, action, site.id, Some(detail))
            .await
    }

    /// Returns a covered site that is not removed.
    pub async fn find(&self, reach: &Reach, id: SiteId) -> Result<Site, SiteError> {
        self.all().await?; // makes the default site if it does not exist
        let site = reach.admit(self.stores.sites.find(id).await?);
        site.filter(|site| site.removed_at.is_none())
            .ok_or(SiteError::NotFound)
    }

    /// Returns a page of the covered sites that are not removed, sorted by name.
    pub async fn list(
        &self,
        reach: &Reach,
        page: &Page<(String, SiteId)>,
    ) -> Result<Vec<Site>, StoreError> {
        self.all().await?; // makes the default site if it does not exist
        self.stores.sites.list(reach, page).await
    }

    /// Changes the settings of a site to what `edit` returns. The change applies to punches from
    /// now on.
    ///
    /// If the site changes at the same moment, `edit` is called again.
    pub async fn change<E: From<SiteError>>(
        &self,
        actor: Actor,
        id: SiteId,
        edit: impl Fn(&Site) -> Result<SiteSettings, E>,
    ) -> Result<Site, E> {
        let edited = |site: &Site| -> Result<Site, E> {
            Ok(Site {
                settings: edit(site)?,
                ..site.clone()
            })
        };
        let new = edited(&self.find(&Reach::Everything, id).await?)?;
        let recorded = self.record(actor, "site.change", &new).await;
        recorded.map_err(SiteError::from)?;
        self.exchange(id, edited).await
    }

    /// Removes a site to which nothing belongs anymore. The name stays in the store for old
    /// punches.
    pub async fn remove(&self, actor: Actor, id: SiteId) -> Result<(), SiteError> {
        if id == SiteId::DEFAULT {
            return Err(SiteError::Default);
        }
        let site = self.find(&Reach::Everything, id).await?;
        let users = self.users(id).await?;
        if !users.is_empty() {
            return Err(SiteError::InUse(listed(&users)));
        }
        self.record(actor, "site.remove", &site).await?;
        let at = self.clock.now();
        let removed = |site: &Site| {
            Ok::<_, SiteError>(Site {
                removed_at: Some(at),
                ..site.clone()
            })
        };
        self.exchange(id, removed).await.map(drop)
    }

    /// Returns names for what belongs to a site. Something that is moved there at the same moment
    /// may be missed. It then belongs to a removed site, whose rules still apply, until it is moved
    /// again.
    async fn users(&self, id: SiteId) -> Result<Vec<&'static str>, StoreError> {
        let people = EmployeeFilter {
            site: Some(id),
            ..EmployeeFilter::default()
        };
        let (stores, reach) = (&self.stores, &Reach::Everything);
        let people = stores.employees.list(reach, &people, &one()).await?;
        let devices = stores.devices.list(reach, Some(id), &one()).await?;
        let cameras = stores.cameras.list(reach, Some(id), &one()).await?;
        let users = [
            ("people", people.is_empty()),
            ("devices", devices.is_empty()),
            ("cameras", cameras.is_empty()),
        ];
        let present = users.into_iter().filter(|(_, none)| !none);
        Ok(present.map(|(name, _)| name).collect())
    }

    /// Replaces a site with what `change` returns, and announces the change.
    async fn exchange<E: From<SiteError>>(
        &self,
        id: SiteId,
        change: impl Fn(&Site) -> Result<Site, E>,
    ) -> Result<Site, E> {
        for _ in 0..TRIES {
            let old = self.find(&Reach::Everything, id).await?;
            let new = Site {
                changed_at: Some(after(old.changed_at, self.clock.now())),
                ..change(&old)?
            };
            match self.stores.sites.exchange(&old, &new).await {
                Ok(true) => {
                    self.feed.publish(News::Site(id)).await;
                    return Ok(new);
                }
                Ok(false) => {}
                Err(StoreError::Conflict) => return Err(SiteError::NameTaken.into()),
                Err(error) => return Err(SiteError::from(error).into()),
            }
        }
        Err(SiteError::Raced.into())
    }
}

/// Returns the time of a change. It is later than that of the previous change, even if the clock
/// was set back.
fn after(last: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let next = last.map_or(now, |last| {
        let next = last.checked_add(SignedDuration::from_millis(1));
        next.unwrap_or(last)
    });
    now.max(next)
}

/// Returns the error for a list of people that contains an unknown site.
pub fn no_such_site(name: &SiteName) -> String {
    format!("there is no site {name}: add it on the page Sites first, or correct the name")
}

/// Writes `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        one => one.concat(),
    }
}

fn one<C>() -> Page<C> {
    Page {
        after: None,
        limit: 1,
    }
}
