//! Lists of employees.

use super::{
    cells::Cells,
    changes::{Change, Planned},
    checks::Checks,
    rows::{Rows, Seen},
};
use crate::{
    domain::{
        ids::SiteId,
        text::{Code, Name, SiteName},
    },
    ports::StoreError,
    service::{
        jobs::list::{self, ListedPerson},
        sites::{SiteMap, no_such_site},
    },
};

impl Checks {
    /// Checks a list of employees. One with the same name and code is on record already, whatever
    /// else the row says.
    pub(super) async fn employees(&self, rows: &mut Rows) -> Result<Vec<Planned>, StoreError> {
        let (people, sites) = (self.people().await?, self.sites().await?);
        let mut seen = Seen::new();
        let mut planned = Vec::new();
        for (line, (person, site)) in rows.read(|cells| person(cells, &sites)) {
            if let Err(reason) = seen.check(person.code.key(), line) {
                rows.refuse(line, "code", reason);
                continue;
            }
            match people.get(&person.code.key()) {
                None => planned.push(Planned::row(Change::Employee(person.settings(site)))),
                Some(other) if other.name.key() == person.name.key() => rows.report.existing += 1,
                Some(other) => {
                    rows.refuse(line, "code", format!("belongs to {}", other.name));
                }
            }
        }
        Ok(planned)
    }
}

fn person(cells: &mut Cells<'_>, sites: &SiteMap) -> Option<(ListedPerson, SiteId)> {
    let name = cells.required("name", Name::parse);
    let code = cells.required("code", Code::parse);
    let site = site(cells, sites);
    let employed_from = cells.optional("employed_from", list::date);
    let employed_until = cells.optional("employed_until", list::date);
    if let (Some(from), Some(until)) = (employed_from, employed_until)
        && until < from
    {
        cells.refuse("employed_until", "must not be before employed_from");
    }
    let person = ListedPerson {
        name: name?,
        code: code?,
        site: None,
        employed_from,
        employed_until,
    };
    Some((person, site?))
}

/// Returns the site that a row names, by default the default site.
pub(super) fn site(cells: &mut Cells<'_>, sites: &SiteMap) -> Option<SiteId> {
    if cells.is_empty("site") {
        return Some(SiteId::DEFAULT);
    }
    cells.optional("site", |text| {
        let name = SiteName::parse(text).map_err(|error| error.to_string())?;
        let site = sites.named(&name).map(|site| site.id);
        site.ok_or_else(|| no_such_site(&name))
    })
}
