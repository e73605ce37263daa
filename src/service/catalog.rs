//! The lists that admins and managers keep: shifts, cycles, holiday calendars, kinds of leave. One
//! service for all of them, with what is particular to a kind in [`Checked`].

use std::sync::Arc;

use super::{
    audit::Audit,
    plans::{PlanError, Plans},
    sites::Sites,
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        grants::Reach,
        ids::SiteId,
        plans::{
            Cycle, Entry, HolidayCalendar, LeaveKind, Overlap, PayrollLayout, Settings, ShiftKind,
        },
    },
    ports::{Page, StoreError},
    repositories::{Entries, EntryCursor},
};

/// Why a request about an entry failed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The entry does not exist.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// Another entry has the name.
    #[error("another {0} has this name")]
    NameTaken(&'static str),
    /// The site does not exist, was removed, or is not covered. Contains the field.
    #[error("there is no such site: choose another one")]
    UnknownSite(&'static str),
    /// The caller sees the entry but must not change it.
    #[error("it is also for sites outside your reach: ask an admin")]
    BeyondReach,
    /// A day of a cycle has a shift that does not exist at the site. Contains the number of the day.
    #[error("the site has no such shift")]
    UnknownShift(usize),
    /// Shifts would overlap. Contains the field.
    #[error("shifts overlap")]
    Overlap(&'static str, Overlap),
    /// Entitlements are counted in the unit of the kind of leave.
    #[error("entitlements are counted in it")]
    Counted,
    /// The shift is part of a cycle, which is named.
    #[error("the cycle {0} has this shift: change the cycle first")]
    InUse(String),
    /// Other requests kept changing the entry at the same time.
    #[error("other requests are changing this {0} at the same time")]
    Raced(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CatalogError {
    /// Returns the error of a field that makes shifts overlap.
    fn from_plan(field: &'static str) -> impl Fn(PlanError) -> Self {
        move |error| match error {
            PlanError::Overlap(overlap) => Self::Overlap(field, overlap),
            PlanError::Store(error) => Self::Store(error),
        }
    }
}

/// What must hold for an entry of a kind beyond its settings.
pub trait Checked: Settings {
    /// Checks settings before they are written; `old` is the entry that they replace.
    fn check(
        plans: &Plans,
        old: Option<&Entry<Self>>,
        new: &Self,
    ) -> impl Future<Output = Result<(), CatalogError>> + Send;

    /// Checks whether an entry may be removed.
    fn check_removal(
        _plans: &Plans,
        _old: &Entry<Self>,
    ) -> impl Future<Output = Result<(), CatalogError>> + Send {
        std::future::ready(Ok(()))
    }
}

impl Checked for ShiftKind {
    /// With other times, no plan that has the shift may get shifts that overlap.
    async fn check(
        plans: &Plans,
        old: Option<&Entry<Self>>,
        new: &Self,
    ) -> Result<(), CatalogError> {
        match old {
            Some(old) if (old.settings.site, &old.settings.shift) != (new.site, &new.shift) => {
                if old.settings.site != new.site {
                    Self::check_removal(plans, old).await?;
                }
                let settings = new.clone();
                let changed = Entry {
                    settings,
                    ..old.clone()
                };
                let checked = plans.check_shift(changed).await;
                checked.map_err(CatalogError::from_plan("from"))
            }
            _ => Ok(()),
        }
    }

    async fn check_removal(plans: &Plans, old: &Entry<Self>) -> Result<(), CatalogError> {
        let cycles = plans.stores().cycles.all().await?.into_iter();
        let mut with = cycles
            .filter(|cycle| cycle.is_present() && cycle.settings.shifts.contains(&Some(old.id)));
        match with.next() {
            Some(cycle) => Err(CatalogError::InUse(cycle.settings.name.to_string())),
            None => Ok(()),
        }
    }
}

impl Checked for Cycle {
    async fn check(
        plans: &Plans,
        old: Option<&Entry<Self>>,
        new: &Self,
    ) -> Result<(), CatalogError> {
        for (number, id) in new.shifts.iter().enumerate() {
            let Some(id) = id else { continue };
            let shift = plans.stores().shift_kinds.find(*id).await?;
            let fits =
                |shift: &Entry<ShiftKind>| shift.is_present() && shift.settings.site == new.site;
            if !shift.as_ref().is_some_and(fits) {
                return Err(CatalogError::UnknownShift(number));
            }
        }
        let checked = plans.check_cycle(old, new).await;
        checked.map_err(CatalogError::from_plan("shifts"))
    }
}

impl Checked for HolidayCalendar {
    async fn check(_: &Plans, _: Option<&Entry<Self>>, _: &Self) -> Result<(), CatalogError> {
        Ok(())
    }
}

impl Checked for LeaveKind {
    async fn check(
        plans: &Plans,
        old: Option<&Entry<Self>>,
        new: &Self,
    ) -> Result<(), CatalogError> {
        match old {
            Some(old) if old.settings.unit != new.unit => {
                match plans.stores().entitlements.any_of(old.id).await? {
                    true => Err(CatalogError::Counted),
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl Checked for PayrollLayout {
    async fn check(_: &Plans, _: Option<&Entry<Self>>, _: &Self) -> Result<(), CatalogError> {
        Ok(())
    }
}

/// Number of attempts at a change while other requests change the same entry.
const TRIES: usize = 8;

/// The service for a kind of entry.
#[derive(derive_new::new)]
pub struct Catalog<S: Settings> {
    entries: Entries<S>,
    plans: Arc<Plans>,
    sites: Arc<Sites>,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

/// The service for kinds of shifts.
pub type Shifts = Catalog<ShiftKind>;

/// The service for cycles.
pub type Cycles = Catalog<Cycle>;

/// The service for calendars of public holidays.
pub type HolidayCalendars = Catalog<HolidayCalendar>;

/// The service for kinds of leave.
pub type LeaveKinds = Catalog<LeaveKind>;

/// The service for payroll layouts.
pub type PayrollLayouts = Catalog<PayrollLayout>;

impl<S: Checked> Catalog<S> {
    /// Returns a page of the visible entries that are not removed, sorted by site and name; those for
    /// one site only, if one is given.
    pub async fn list(
        &self,
        reach: &Reach,
        site: Option<SiteId>,
        page: &Page<EntryCursor<S>>,
    ) -> Result<Vec<Entry<S>>, StoreError> {
        self.entries.list(reach, site, page).await
    }

    /// Returns all entries, removed ones too, for their names.
    pub async fn all(&self) -> Result<Vec<Entry<S>>, StoreError> {
        self.entries.all().await
    }

    /// Returns a visible entry that is not removed.
    pub async fn find(&self, reach: &Reach, id: S::Id) -> Result<Entry<S>, CatalogError> {
        let entry = self.entries.find(id).await?;
        entry
            .filter(|entry| entry.is_present() && entry.is_visible(reach))
            .ok_or(CatalogError::NotFound(S::KIND.one))
    }

    /// Adds an entry for covered sites.
    pub async fn add(&self, reach: &Reach, actor: Actor, new: S) -> Result<Entry<S>, CatalogError> {
        self.check_sites(reach, &new).await?;
        S::check(&self.plans, None, &new).await?;
        let entry = Entry {
            id: self.clock.id().into(),
            settings: new,
            removed_at: None,
        };
        self.record(actor, "add", &entry).await?;
        match self.entries.insert(&entry).await {
            Ok(()) => {
                self.plans.announce(None).await;
                Ok(entry)
            }
            Err(StoreError::Conflict) => Err(CatalogError::NameTaken(S::KIND.one)),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes an entry to what `edit` returns. The caller must cover all its sites, and the new ones.
    ///
    /// If the entry changes at the same moment, `edit` is called again.
    pub async fn change<E: From<CatalogError>>(
        &self,
        reach: &Reach,
        actor: Actor,
        id: S::Id,
        edit: impl Fn(&S) -> Result<S, E>,
    ) -> Result<Entry<S>, E> {
        for _ in 0..TRIES {
            let old = self.changeable(reach, id).await?;
            let new = Entry {
                settings: edit(&old.settings)?,
                ..old.clone()
            };
            if new.settings.sites() != old.settings.sites() {
                self.check_sites(reach, &new.settings).await?;
            }
            S::check(&self.plans, Some(&old), &new.settings).await?;
            if self.exchange(actor, "change", &old, &new).await? {
                return Ok(new);
            }
        }
        Err(CatalogError::Raced(S::KIND.one).into())
    }

    /// Removes an entry. What refers to it still finds it.
    pub async fn remove(&self, reach: &Reach, actor: Actor, id: S::Id) -> Result<(), CatalogError> {
        for _ in 0..TRIES {
            let old = self.changeable(reach, id).await?;
            S::check_removal(&self.plans, &old).await?;
            let removed = Entry {
                removed_at: Some(self.clock.now()),
                ..old.clone()
            };
            if self.exchange(actor, "remove", &old, &removed).await? {
                return Ok(());
            }
        }
        Err(CatalogError::Raced(S::KIND.one))
    }

    async fn exchange(
        &self,
        actor: Actor,
        verb: &str,
        old: &Entry<S>,
        new: &Entry<S>,
    ) -> Result<bool, CatalogError> {
        self.record(actor, verb, new).await?;
        match self.entries.exchange(old, new).await {
            Ok(true) => {
                self.plans.announce(None).await;
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(StoreError::Conflict) => Err(CatalogError::NameTaken(S::KIND.one)),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the audit entry, such as `shift.add`.
    async fn record(&self, actor: Actor, verb: &str, entry: &Entry<S>) -> Result<(), StoreError> {
        let action = format!("{}.{verb}", S::KIND.one.replace(' ', "_"));
        let detail = Some(entry.settings.detail());
        self.audit.record(actor, &action, entry.id, detail).await
    }

    /// Returns an entry that the caller may change.
    async fn changeable(&self, reach: &Reach, id: S::Id) -> Result<Entry<S>, CatalogError> {
        let entry = self.find(reach, id).await?;
        match covers_all(reach, &entry.settings) {
            true => Ok(entry),
            false => Err(CatalogError::BeyondReach),
        }
    }

    /// Checks that the sites exist and that the caller may change what is for them.
    async fn check_sites(&self, reach: &Reach, new: &S) -> Result<(), CatalogError> {
        let field = if new.home().is_some() {
            "site"
        } else {
            "sites"
        };
        if !covers_all(reach, new) {
            return Err(CatalogError::UnknownSite(field));
        }
        for site in new.sites() {
            if !self.sites.is_present(*site).await? {
                return Err(CatalogError::UnknownSite(field));
            }
        }
        Ok(())
    }
}

/// Checks whether a reach covers all sites of an entry.
fn covers_all<S: Settings>(reach: &Reach, settings: &S) -> bool {
    match settings.sites() {
        [] => reach.covers_everything(),
        sites => sites.iter().all(|site| reach.covers_site(*site)),
    }
}
