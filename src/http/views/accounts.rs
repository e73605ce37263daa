//! Accounts and their permissions.

use std::sync::Arc;

use axum::extract::FromRef;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{
        accounts::Account,
        grants::{Grant, Permission, Scope},
    },
    http::HttpState,
    ports::StoreError,
    service::{
        employees::Employees,
        sites::{SiteMap, Sites},
    },
};

/// A grant of permissions to an account.
#[derive(Serialize, ToSchema)]
#[schema(title = "Grant")]
pub struct GrantView {
    /// `admin`, `manager`, `viewer` or `employee`.
    #[schema(example = "manager")]
    role: &'static str,
    /// What the grant covers: `everything`, `site` (one site and what belongs to it) or `own` (what
    /// belongs to the linked employee).
    #[schema(example = "site")]
    scope: &'static str,
    /// The ID of the site; null unless the scope is `site`.
    #[schema(format = "uuid", example = "00000000-0000-7000-8000-000000000001")]
    site: Option<String>,
    /// The name of the site.
    #[schema(example = "Harbor")]
    site_name: Option<String>,
}

impl GrantView {
    fn new(grant: Grant, sites: &SiteMap) -> Self {
        let (scope, site) = match grant.scope() {
            Scope::Everything => ("everything", None),
            Scope::Site(site) => ("site", Some(site)),
            Scope::Own => ("own", None),
        };
        Self {
            role: grant.role().as_str(),
            scope,
            site: site.map(|site| site.to_string()),
            site_name: site.map(|site| sites.name(site).to_owned()),
        }
    }
}

/// An account.
#[derive(Serialize, ToSchema)]
#[schema(title = "Account")]
pub struct AccountView {
    /// The ID.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// The email address.
    #[schema(example = "ada@example.com")]
    email: String,
    /// The name by which pages address the person.
    #[schema(example = "Ada")]
    name: String,
    /// The ID of the linked employee; null if there is none.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    employee: Option<String>,
    /// The name of the linked employee.
    #[schema(example = "Ada Lovelace")]
    employee_name: Option<String>,
    /// The grants.
    grants: Vec<GrantView>,
    /// The permissions of all grants, so that a client can offer only what is permitted: `read`,
    /// `survey`, `correct`, `identify`, `look`, `enroll`, `administer`.
    #[schema(example = json!(["read", "survey", "correct", "request", "identify", "look"]))]
    permissions: Vec<&'static str>,
}

/// A session.
#[derive(Serialize, ToSchema)]
#[schema(title = "Session")]
pub struct SessionView {
    /// The account that is signed in.
    account: AccountView,
}

/// Looks up the names of sites and employees for accounts.
#[derive(Clone)]
pub struct AccountLookup {
    sites: Arc<Sites>,
    employees: Arc<Employees>,
}

impl FromRef<HttpState> for AccountLookup {
    fn from_ref(state: &HttpState) -> Self {
        Self {
            sites: state.app.sites.clone(),
            employees: state.app.employees.clone(),
        }
    }
}

impl AccountLookup {
    /// Returns the session of an account.
    pub async fn session(&self, account: &Account) -> Result<SessionView, StoreError> {
        let sites = self.sites.all().await?;
        let employee = match account.access.employee() {
            Some(id) => self.employees.find_many(&[id]).await?.pop(),
            None => None,
        };
        let grants = account.access.grants();
        let permissions = Permission::ALL.iter().copied();
        let permitted = permissions.filter(|permission| account.permits(*permission));
        Ok(SessionView {
            account: AccountView {
                id: account.id.to_string(),
                email: account.email.to_string(),
                name: account.name.to_string(),
                employee: account.access.employee().map(|id| id.to_string()),
                employee_name: employee.map(|employee| employee.settings.name.into()),
                grants: grants.map(|grant| GrantView::new(grant, &sites)).collect(),
                permissions: permitted.map(Permission::as_str).collect(),
            },
        })
    }
}
