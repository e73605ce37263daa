//! Employees, their settings and their consents.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{read_date, read_id, sites::default_site, time};
use crate::{
    domain::{
        employees::{Consent, Employee, EmployeeSettings},
        ids::EmployeeId,
        text::{Code, Name, normal},
    },
    http::{
        field_error::FieldError,
        problem::{Fields, Problem},
    },
    ports::EmployeeFilter,
    service::{
        employees::{Employees, Person},
        sites::SiteMap,
    },
};

/// The employees to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EmployeeQuery {
    /// A part of the name or code.
    q: Option<String>,
    /// The ID of a site.
    site: Option<String>,
    /// `true` for active employees only, `false` for inactive ones only.
    active: Option<bool>,
    /// `true` for employees with an enrolled face only, `false` for those without one only.
    enrolled: Option<bool>,
}

impl EmployeeQuery {
    /// Reads the filter.
    pub fn filter(self) -> Result<EmployeeFilter, Problem> {
        let site = self.site.map(read_id).transpose();
        let text = self.q.map(|text| normal(&text));
        Ok(EmployeeFilter {
            text: text.filter(|text| !text.is_empty()),
            site: site.map_err(|error| Problem::field("site", error))?,
            active: self.active,
            enrolled: self.enrolled,
        })
    }
}

/// A consent to the enrollment of a face.
#[derive(Serialize, ToSchema)]
#[schema(title = "Consent")]
pub struct ConsentView {
    /// When the employee gave it.
    #[schema(format = "date-time")]
    at: String,
    /// The version of the consent text.
    #[schema(example = "2026-11")]
    text: String,
    /// `stated` (an account states it), `invitation`, `kiosk` or `sheet` (signed on paper).
    #[schema(example = "sheet")]
    given: &'static str,
    /// The date on the sheet.
    #[schema(format = "date")]
    signed_on: Option<String>,
}

impl From<&Consent> for ConsentView {
    fn from(consent: &Consent) -> Self {
        Self {
            at: time(consent.at),
            text: consent.text.clone(),
            given: consent.given.as_str(),
            signed_on: consent.given.signed_on().map(|date| date.to_string()),
        }
    }
}

/// The settings of an employee.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "EmployeeSettings")]
pub struct EditableEmployee {
    /// The name, with which the kiosk greets the person; 1 to 120 characters.
    #[schema(example = "Grace Hopper")]
    name: String,
    /// The code, 1 to 64 characters, unique without regard to case.
    #[schema(example = "E7")]
    code: String,
    /// The ID of the site where the person usually works.
    #[serde(default = "default_site")]
    #[schema(format = "uuid", default = default_site)]
    site: String,
    /// Whether the person is identified and may punch.
    #[serde(default = "default_active")]
    #[schema(default = default_active)]
    active: bool,
    /// The first date on which the person works here. Before it nothing is due.
    #[serde(default)]
    #[schema(format = "date", example = "2026-03-01")]
    employed_from: Option<String>,
    /// The last date on which the person works here. After it nothing is due.
    #[serde(default)]
    #[schema(format = "date")]
    employed_until: Option<String>,
}

fn default_active() -> bool {
    true
}

impl From<&Employee> for EditableEmployee {
    fn from(employee: &Employee) -> Self {
        Self {
            name: employee.name.to_string(),
            code: employee.code.to_string(),
            site: employee.site.to_string(),
            active: employee.active,
            employed_from: employee.employed_from.map(|date| date.to_string()),
            employed_until: employee.employed_until.map(|date| date.to_string()),
        }
    }
}

impl EditableEmployee {
    /// Parses the settings.
    pub fn read(self) -> Result<EmployeeSettings, Problem> {
        let mut fields = Fields::default();
        let read = |text: String| read_date(&text);
        let name = fields.required("name", Name::parse(&self.name));
        let code = fields.required("code", Code::parse(&self.code));
        let site = fields.required("site", read_id(self.site));
        let employed_from = fields.optional("employed_from", self.employed_from, read);
        let employed_until = fields.optional("employed_until", self.employed_until, read);
        if let (Some(from), Some(until)) = (employed_from, employed_until)
            && until < from
        {
            fields.add("employed_until", FieldError::BeforeStart);
        }
        let (Some(name), Some(code), Some(site)) = (name, code, site) else {
            return Err(fields.problem());
        };
        fields.check()?;
        Ok(EmployeeSettings {
            name,
            code,
            site,
            active: self.active,
            employed_from,
            employed_until,
        })
    }
}

/// Returns the names of employees, deleted ones too.
pub async fn names_of(
    employees: &Employees,
    ids: impl Iterator<Item = EmployeeId>,
) -> Result<HashMap<EmployeeId, String>, Problem> {
    let ids: BTreeSet<_> = ids.collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let people = employees.find_many(&ids).await?.into_iter();
    Ok(people.map(|one| (one.id, one.name.to_string())).collect())
}

/// An employee.
#[derive(Serialize, ToSchema)]
#[schema(title = "Employee")]
pub struct EmployeeView {
    /// The ID.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    #[serde(flatten)]
    settings: EditableEmployee,
    /// The name of the site.
    #[schema(example = "Harbor")]
    site_name: String,
    /// Whether a face is enrolled.
    enrolled: bool,
    /// Whether the face is enrolled only under other models than the present one, so that kiosks
    /// and cameras cannot recognize the employee: enroll it again.
    pub enroll_again: bool,
    /// The number of templates.
    #[schema(example = 5)]
    templates: usize,
    /// The consent under which the face is enrolled.
    consent: Option<ConsentView>,
    /// When the employee asked to be erased.
    #[schema(format = "date-time")]
    erasure_requested_at: Option<String>,
    /// When the employee was added.
    #[schema(format = "date-time")]
    created_at: String,
}

impl EmployeeView {
    /// Returns a person with the name of the site.
    pub fn new(person: &Person, sites: &SiteMap) -> Self {
        Self {
            id: person.id.to_string(),
            settings: (&person.employee).into(),
            site_name: sites.name(person.site).to_owned(),
            enrolled: person.enrolled(),
            enroll_again: false,
            templates: person.templates(),
            consent: person.consent().map(Into::into),
            erasure_requested_at: person.erasure_requested_at.map(time),
            created_at: time(person.created_at),
        }
    }
}
