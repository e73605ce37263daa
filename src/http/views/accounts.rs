//! Accounts and their permissions.

use std::sync::Arc;

use axum::extract::FromRef;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{read_id, time};
use crate::{
    domain::{
        accounts::{Account, Session},
        employees::Employee,
        grants::{Access, Grant, Permission, Role, Scope},
        second_factors::SecondFactors,
        text::Name,
    },
    http::{
        HttpState,
        field_error::FieldError,
        problem::{Fields, Problem},
    },
    ports::StoreError,
    service::{
        account_changes::AccountSettings,
        employees::Employees,
        second_factor::SecondFactorService,
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

/// Returns the grants of an account.
pub fn grants(access: &Access, sites: &SiteMap) -> Vec<GrantView> {
    let grants = access.grants();
    grants.map(|grant| GrantView::new(grant, sites)).collect()
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
    /// Whether the account has a password. Without one, the person signs in with the identity
    /// provider only.
    has_password: bool,
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
    /// Until when the session may make changes that answer `confirmation_required` otherwise; may
    /// be over.
    #[schema(format = "date-time")]
    confirmed_until: Option<String>,
}

/// A grant, as admins write it.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "GrantSettings")]
pub struct EditableGrant {
    /// `admin`, `manager`, `viewer`, or `employee` for the linked employee's own records.
    #[schema(example = "manager")]
    role: String,
    /// The ID of the site that a manager or viewer is limited to; null for everything.
    #[serde(default)]
    #[schema(format = "uuid")]
    site: Option<String>,
}

/// The most grants of an account.
const GRANTS_MOST: usize = 100;

impl From<Grant> for EditableGrant {
    fn from(grant: Grant) -> Self {
        let site = match grant.scope() {
            Scope::Site(site) => Some(site.to_string()),
            Scope::Everything | Scope::Own => None,
        };
        Self {
            role: grant.role().to_string(),
            site,
        }
    }
}

impl EditableGrant {
    fn read(self, field: &str, fields: &mut Fields) -> Option<Grant> {
        let role = fields.required(&format!("{field}.role"), Role::parse(&self.role))?;
        let field = format!("{field}.site");
        let site = fields.required(&field, self.site.map(read_id).transpose())?;
        let scope = match (role, site) {
            (Role::Employee, None) => Scope::Own,
            (Role::Admin | Role::Manager | Role::Viewer, None) => Scope::Everything,
            (_, Some(site)) => Scope::Site(site),
        };
        let grant = Grant::new(role, scope);
        fields.required(
            &field,
            grant.map_err(|_| FieldError::RoleWithoutSite { role }),
        )
    }
}

/// Parses what an account may do.
///
/// # Errors
/// Adds all fields that are not valid.
pub fn read_access(
    grants: Vec<EditableGrant>,
    employee: Option<String>,
    fields: &mut Fields,
) -> Option<Access> {
    let employee = fields.required("employee", employee.map(read_id).transpose());
    if !(1..=GRANTS_MOST).contains(&grants.len()) {
        let (least, most) = (1, GRANTS_MOST);
        fields.add("grants", FieldError::WrongCount { least, most });
        return None;
    }
    let numbered = grants.into_iter().enumerate();
    let read = numbered.map(|(number, grant)| grant.read(&format!("grants[{number}]"), fields));
    let grants: Option<Vec<Grant>> = read.collect::<Vec<_>>().into_iter().collect();
    let access = Access::new(employee?, grants?);
    // The only reason that is left.
    fields.required("employee", access.map_err(|_| FieldError::NeedsEmployee))
}

/// The settings of an account.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "AccountSettings")]
pub struct EditableAccount {
    /// The name by which pages address the person, 1 to 120 characters.
    #[schema(example = "Ada")]
    name: String,
    /// The ID of the employee whom the account belongs to, who has no other account.
    #[serde(default)]
    #[schema(format = "uuid")]
    employee: Option<String>,
    /// What the account may do, 1 to 100 grants.
    grants: Vec<EditableGrant>,
    /// Whether the person can sign in. Disabling ends all sessions of the account.
    #[serde(default = "default_active")]
    #[schema(default = default_active)]
    active: bool,
}

fn default_active() -> bool {
    true
}

impl From<&Account> for EditableAccount {
    fn from(account: &Account) -> Self {
        Self {
            name: account.name.to_string(),
            employee: account.access.employee().map(|id| id.to_string()),
            grants: account.access.grants().map(Into::into).collect(),
            active: account.active,
        }
    }
}

impl EditableAccount {
    /// Parses the settings.
    pub fn read(self) -> Result<AccountSettings, Problem> {
        let mut fields = Fields::default();
        let name = fields.required("name", Name::parse(&self.name));
        let access = read_access(self.grants, self.employee, &mut fields);
        let (Some(name), Some(access)) = (name, access) else {
            return Err(fields.problem());
        };
        Ok(AccountSettings {
            name,
            access,
            active: self.active,
        })
    }
}

/// The employee whom an account belongs to.
#[derive(Serialize, ToSchema)]
#[schema(title = "LinkedEmployee")]
pub struct LinkedEmployee {
    /// The ID.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// The name.
    #[schema(example = "Ada Lovelace")]
    name: String,
    /// The code.
    #[schema(example = "E7")]
    code: String,
}

impl From<&Employee> for LinkedEmployee {
    fn from(employee: &Employee) -> Self {
        Self {
            id: employee.id.to_string(),
            name: employee.name.to_string(),
            code: employee.code.to_string(),
        }
    }
}

/// An account, as admins manage it.
#[derive(Serialize, ToSchema)]
#[schema(title = "ManagedAccount")]
pub struct ManagedAccountView {
    /// The ID.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// The email address.
    #[schema(example = "ada@example.com")]
    email: String,
    /// The name by which pages address the person.
    #[schema(example = "Ada")]
    name: String,
    /// The linked employee; null if there is none.
    employee: Option<LinkedEmployee>,
    /// The grants; none after the employee of the account was deleted.
    grants: Vec<GrantView>,
    /// Whether the person can sign in.
    active: bool,
    /// Whether signing in with the password needs a second factor.
    second_factor: bool,
    /// Whether the account is linked to a person at the identity provider.
    linked: bool,
    /// When the account was created.
    #[schema(format = "date-time")]
    created_at: String,
    /// When its person last signed in; null before the first time.
    #[schema(format = "date-time")]
    signed_in_at: Option<String>,
}

/// Looks up the names of sites and employees for accounts.
#[derive(Clone)]
pub struct AccountLookup {
    sites: Arc<Sites>,
    employees: Arc<Employees>,
    second_factors: Arc<SecondFactorService>,
}

impl FromRef<HttpState> for AccountLookup {
    fn from_ref(state: &HttpState) -> Self {
        Self {
            sites: state.app.sites.clone(),
            employees: state.app.employees.clone(),
            second_factors: state.app.second_factors.clone(),
        }
    }
}

impl AccountLookup {
    /// Returns accounts as admins manage them.
    pub async fn managed(
        &self,
        accounts: &[Account],
    ) -> Result<Vec<ManagedAccountView>, StoreError> {
        let sites = self.sites.all().await?;
        let ids: Vec<_> = accounts
            .iter()
            .filter_map(|one| one.access.employee())
            .collect();
        let employees = self.employees.find_many(&ids).await?;
        let ids: Vec<_> = accounts.iter().map(|one| one.id).collect();
        let factors = self.second_factors.of_many(&ids).await?;
        let linked = |account: &Account| {
            let mut employees = employees.iter();
            employees.find(|one| Some(one.id) == account.access.employee())
        };
        let view = |account: &Account| ManagedAccountView {
            id: account.id.to_string(),
            email: account.email.to_string(),
            name: account.name.to_string(),
            employee: linked(account).map(Into::into),
            grants: grants(&account.access, &sites),
            active: account.active,
            second_factor: factors
                .get(&account.id)
                .is_some_and(SecondFactors::required),
            linked: factors
                .get(&account.id)
                .is_some_and(|one| one.identity.is_some()),
            created_at: time(account.created_at),
            signed_in_at: account.signed_in_at.map(time),
        };
        Ok(accounts.iter().map(view).collect())
    }

    /// Returns a session of an account.
    pub async fn session(
        &self,
        account: &Account,
        session: &Session,
    ) -> Result<SessionView, StoreError> {
        let sites = self.sites.all().await?;
        let employee = match account.access.employee() {
            Some(id) => self.employees.find_many(&[id]).await?.pop(),
            None => None,
        };
        let permissions = Permission::ALL.iter().copied();
        let permitted = permissions.filter(|permission| account.permits(*permission));
        Ok(SessionView {
            account: AccountView {
                id: account.id.to_string(),
                email: account.email.to_string(),
                name: account.name.to_string(),
                employee: account.access.employee().map(|id| id.to_string()),
                employee_name: employee.map(|employee| employee.settings.name.into()),
                has_password: account.has_password(),
                grants: grants(&account.access, &sites),
                permissions: permitted.map(Permission::as_str).collect(),
            },
            confirmed_until: session.confirmed_until().map(time),
        })
    }
}
