//! The rules of sites: from which date on punches count how.

use std::sync::Arc;

use jiff::civil::Date;

use super::{
    audit::Audit,
    feed::{Feed, News},
    sites::{SiteError, Sites},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::{Period, Rules},
        grants::Reach,
        ids::SiteId,
        plans::SiteRules,
    },
    ports::StoreError,
    repositories::RulesOfSites,
};

/// Why a request about rules failed.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The site does not exist.
    #[error("no such site")]
    NoSite,
    /// The site has no rules that begin on this date.
    #[error("no rules begin on this date")]
    NotFound,
    /// Other requests kept changing the rules at the same time.
    #[error("other requests are changing these rules at the same time")]
    Raced,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SiteError> for RulesError {
    fn from(error: SiteError) -> Self {
        match error {
            SiteError::Store(error) => Self::Store(error),
            SiteError::NotFound
            | SiteError::NameTaken
            | SiteError::Default
            | SiteError::InUse(_)
            | SiteError::Raced => Self::NoSite,
        }
    }
}

/// What a manager decides about a site from a date on.
#[derive(Debug, Clone, PartialEq)]
pub struct RulesSettings {
    /// How punches count.
    pub rules: Rules,
    /// The length of a timesheet.
    pub period: Period,
    /// A date in the first week of a two-week period.
    pub two_weeks_from: Option<Date>,
    /// Whether another person must decide.
    pub four_eyes: bool,
    /// Whether overtime must be approved.
    pub overtime_approval: bool,
}

/// Number of attempts at a change while other requests change the same rules.
const TRIES: usize = 8;

/// The service for the rules of sites.
#[derive(derive_new::new)]
pub struct RulesService {
    store: RulesOfSites,
    sites: Arc<Sites>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    feed: Feed,
}

impl RulesService {
    /// Returns the rules of a covered site, by date.
    pub async fn list(&self, reach: &Reach, site: SiteId) -> Result<Vec<SiteRules>, RulesError> {
        self.sites.find(reach, site).await?;
        Ok(self.store.list(reach, Some(site)).await?)
    }

    /// Sets the rules of a covered site from a date on. Returns whether they are new.
    pub async fn put(
        &self,
        reach: &Reach,
        actor: Actor,
        (site, from): (SiteId, Date),
        new: RulesSettings,
    ) -> Result<(SiteRules, bool), RulesError> {
        self.sites.find(reach, site).await?;
        for _ in 0..TRIES {
            let old = self.store.find(site, from).await?;
            let id = old.as_ref().map(|old| old.id);
            let rules = SiteRules {
                id: id.unwrap_or_else(|| self.clock.id().into()),
                site,
                from,
                rules: new.rules.clone(),
                period: new.period,
                two_weeks_from: new.two_weeks_from,
                four_eyes: new.four_eyes,
                overtime_approval: new.overtime_approval,
            };
            self.record(actor, "rules.put", &rules).await?;
            let done = match &old {
                Some(old) => self.store.exchange(old, &rules).await?,
                None => match self.store.insert(&rules).await {
                    Ok(()) => true,
                    // Another request has set rules from this date on.
                    Err(StoreError::Conflict) => false,
                    Err(error) => return Err(error.into()),
                },
            };
            if done {
                self.feed.publish(News::Plan(None)).await;
                return Ok((rules, old.is_none()));
            }
        }
        Err(RulesError::Raced)
    }

    /// Removes the rules of a covered site that begin on a date. Those before them hold instead.
    pub async fn remove(
        &self,
        reach: &Reach,
        actor: Actor,
        (site, from): (SiteId, Date),
    ) -> Result<(), RulesError> {
        self.sites.find(reach, site).await?;
        let rules = self.store.find(site, from).await?;
        let rules = rules.ok_or(RulesError::NotFound)?;
        self.record(actor, "rules.remove", &rules).await?;
        match self.store.remove(rules.id).await? {
            true => {
                self.feed.publish(News::Plan(None)).await;
                Ok(())
            }
            false => Err(RulesError::NotFound),
        }
    }

    async fn record(
        &self,
        actor: Actor,
        action: &str,
        rules: &SiteRules,
    ) -> Result<(), StoreError> {
        let detail = format!("site {} from {}", rules.site, rules.from);
        self.audit
            .record(actor, action, rules.id, Some(detail))
            .await
    }
}
