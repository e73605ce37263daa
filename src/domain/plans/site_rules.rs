//! The rules of a site from a date on.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::domain::{
    attendance::Rules,
    grants::{Place, Placed},
    ids::{SiteId, SiteRulesId},
    record::{About, Changes, Index, Keys, Kind, Record},
};

/// The rules that hold at a site from a date on, until others do. They never affect the days before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteRules {
    /// The ID.
    pub id: SiteRulesId,
    /// The site.
    pub site: SiteId,
    /// The first workday. A site has one set of rules a date.
    pub from: Date,
    /// How punches count.
    pub rules: Rules,
    /// The length of a timesheet.
    pub period: Period,
    /// Whether another account must approve what an account requested or entered.
    pub four_eyes: bool,
}

/// The length of a timesheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A week as the rules begin it.
    Week,
    /// Two such weeks.
    TwoWeeks,
    /// From the 1st to the 15th, and from the 16th to the end of the month.
    HalfMonth,
    /// A month of the calendar.
    #[default]
    Month,
}

impl SiteRules {
    /// All rules, by site and date.
    pub const BY_SITE: Index = Index::unique("by_site");
}

impl Placed for SiteRules {
    fn place(&self) -> Place {
        Place {
            site: self.site,
            employee: None,
        }
    }
}

impl Record for SiteRules {
    const KIND: &'static Kind =
        &Kind::archived("site_rules", "set of rules", &[Self::BY_SITE]).changing(Changes::Audited);

    type Id = SiteRulesId;

    fn id(&self) -> SiteRulesId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_SITE, (self.site.uuid(), self.from));
    }

    fn about(&self) -> About {
        About::NoEmployee
    }
}
