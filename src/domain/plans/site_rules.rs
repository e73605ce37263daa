//! The rules of a site from a date on.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::domain::{
    attendance::{Grid, Period, Rules},
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
    /// A date in the first week of a two-week period; `None` for [`Grid::ORIGIN`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub two_weeks_from: Option<Date>,
    /// Whether another account must approve what an account requested or entered.
    pub four_eyes: bool,
    /// Whether an approval of a timesheet must say whether its overtime is approved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overtime_approval: bool,
}

impl SiteRules {
    /// All rules, by site and date.
    pub const BY_SITE: Index = Index::unique("by_site");

    /// Returns the periods of timesheets while these rules hold.
    pub fn grid(&self) -> Grid {
        Grid::new(self.period, self.rules.week_starts, self.two_weeks_from)
    }
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
