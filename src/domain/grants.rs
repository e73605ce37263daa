//! Permissions of accounts, and the records that they cover. [`Role::permissions`] is the only
//! table of permissions.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::{
    ids::{EmployeeId, SiteId},
    words::words,
};

words! {
    /// The role of a grant. Devices have no role, see [`Permission::OF_DEVICES`].
    Role {
        /// Has every permission that an account can have.
        Admin = "admin",
        /// Reads, adds and changes employees and their plans, corrects punches, approves timesheets,
        /// identifies people, and looks at kept pictures.
        Manager = "manager",
        /// Reads records.
        Viewer = "viewer",
        /// Reads their own record, punches, workdays and plan, and the description of their enrolled
        /// face; requests leave and corrections.
        Employee = "employee",
    }
}

words! {
    /// A permission.
    Permission {
        /// Read employees, punches and descriptions of enrolled faces.
        Read = "read",
        /// See sites, devices, cameras and the state of the service.
        Survey = "survey",
        /// Add and change employees, and what is planned for sites and employees; decide on leave;
        /// correct punches, write them by hand, approve and lock timesheets.
        Correct = "correct",
        /// Request leave and corrections for employees.
        Request = "request",
        /// Invite employees to an account for their own records, and to enroll their own face.
        Invite = "invite",
        /// Identify and verify without a punch.
        Identify = "identify",
        /// See pictures of punches and of unknown faces; delete the latter.
        Look = "look",
        /// Enroll faces and delete templates.
        Enroll = "enroll",
        /// Manage sites, devices, cameras, accounts and jobs; delete employees; override refusals;
        /// read the audit trail.
        Administer = "administer",
        /// Punch with a face.
        Punch = "punch",
    }
}

impl Permission {
    /// The permissions of a registered device.
    pub const OF_DEVICES: &[Self] = &[Self::Identify, Self::Punch];

    /// Returns what the permission permits, for the documentation.
    const fn summary(self) -> &'static str {
        match self {
            Self::Read => {
                "read employees, punches, workdays, timesheets, balances, exports, assignments, leave, entitlements, holidays and descriptions of enrolled faces; follow events"
            }
            Self::Survey => {
                "see sites with their rules, shifts and cycles, devices, cameras shared with the account, and the state of the service"
            }
            Self::Correct => {
                "add and change employees, rules, shifts, cycles, assignments and holidays; decide on leave; set entitlements; correct punches, write them by hand, change balances, approve and lock timesheets"
            }
            Self::Request => {
                "request leave and corrections for employees and withdraw them; submit timesheets; make and revoke the address of a calendar"
            }
            Self::Identify => "identify and verify without a punch",
            Self::Look => "see pictures of punches and unknown faces, delete the latter",
            Self::Enroll => "enroll faces, delete templates",
            Self::Invite => {
                "invite people to create an account or to enroll their own face; only an admin gives another role than employee"
            }
            Self::Administer => {
                "manage accounts, webhooks, sites, devices, cameras, kinds of leave, payroll layouts and jobs, delete employees, override refusals, lift the limit on enrollments, see and revoke the API tokens of all accounts, read the audit trail"
            }
            Self::Punch => "punch with a face, a PIN or a badge; take back an own punch at once",
        }
    }
}

/// Formats the table of permissions in docs/SECURITY.md, in Markdown.
pub fn permissions_table() -> String {
    let cell = |has: bool| if has { " yes |" } else { " |" };
    let mut table = "| permission |".to_owned();
    let mut line = "|---|".to_owned();
    let roles = Role::ALL.iter().map(|role| role.as_str());
    for column in roles.chain(["device"]) {
        table += &format!(" {column} |");
        line += "---|";
    }
    table = format!("{table}\n{line}\n");
    for permission in Permission::ALL {
        table += &format!("| `{permission}`: {} |", permission.summary());
        for role in Role::ALL {
            table += cell(role.permits(permission));
        }
        table += cell(Permission::OF_DEVICES.contains(&permission));
        table.push('\n');
    }
    table
}

impl Role {
    /// Returns the permissions of the role. No role may punch; only devices may.
    pub const fn permissions(self) -> &'static [Permission] {
        use Permission::{
            Administer, Correct, Enroll, Identify, Invite, Look, Read, Request, Survey,
        };
        match self {
            Self::Admin => &[
                Read, Survey, Correct, Request, Invite, Identify, Look, Enroll, Administer,
            ],
            Self::Manager => &[Read, Survey, Correct, Request, Invite, Identify, Look],
            Self::Viewer => &[Read, Survey],
            Self::Employee => &[Read, Request],
        }
    }

    /// Checks whether the role has a permission.
    pub fn permits(self, permission: Permission) -> bool {
        self.permissions().contains(&permission)
    }
}

/// The scope of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every record.
    Everything,
    /// Everything that belongs to one site.
    Site(SiteId),
    /// The linked employee's own records.
    Own,
}

/// The error for grants that do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// An admin with a smaller scope.
    #[error("the role admin covers everything: grant it without a site")]
    AdminOfAPart,
    /// An employee with a larger scope.
    #[error("the role employee covers only a person's own records: grant it without a site")]
    EmployeeOfMore,
    /// Another role with the scope of an employee.
    #[error(
        "the role {0} covers a site or everything: for a person's own records, grant the role employee"
    )]
    OwnNeedsEmployee(Role),
    /// The role employee without a linked employee.
    #[error("the role employee needs an employee: link the account to one")]
    NoEmployee,
    /// No grant at all.
    #[error("the account has no permissions: grant it a role")]
    NoGrant,
}

/// A role with a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "AnyGrant", into = "AnyGrant")]
pub struct Grant {
    role: Role,
    scope: Scope,
}

/// A stored grant, which may not be valid.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyGrant {
    role: Role,
    scope: Scope,
}

impl Grant {
    /// Returns the grant of a role in a scope.
    ///
    /// # Errors
    /// If the role cannot have the scope: an admin's scope is everything, an employee's is `Own`.
    pub fn new(role: Role, scope: Scope) -> Result<Self, GrantError> {
        match (role, scope) {
            (Role::Admin, Scope::Everything)
            | (Role::Manager | Role::Viewer, Scope::Everything | Scope::Site(_))
            | (Role::Employee, Scope::Own) => Ok(Self { role, scope }),
            (Role::Admin, Scope::Site(_) | Scope::Own) => Err(GrantError::AdminOfAPart),
            (Role::Employee, Scope::Everything | Scope::Site(_)) => Err(GrantError::EmployeeOfMore),
            (Role::Manager | Role::Viewer, Scope::Own) => Err(GrantError::OwnNeedsEmployee(role)),
        }
    }

    /// Returns the role.
    pub fn role(self) -> Role {
        self.role
    }

    /// Returns the scope.
    pub fn scope(self) -> Scope {
        self.scope
    }
}

impl TryFrom<AnyGrant> for Grant {
    type Error = GrantError;

    fn try_from(any: AnyGrant) -> Result<Self, GrantError> {
        Self::new(any.role, any.scope)
    }
}

impl From<Grant> for AnyGrant {
    fn from(Grant { role, scope }: Grant) -> Self {
        Self { role, scope }
    }
}

/// What an API token keeps of the access of its account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "AnyLimit", into = "AnyLimit")]
pub struct Limit {
    permissions: BTreeSet<Permission>,
    sites: Option<BTreeSet<SiteId>>,
}

/// A stored limit, which may not be valid.
#[derive(Serialize, Deserialize)]
struct AnyLimit {
    permissions: BTreeSet<Permission>,
    sites: Option<BTreeSet<SiteId>>,
}

/// The error for permissions and sites that do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// No permission at all.
    #[error("choose at least one permission")]
    NoPermission,
    /// A permission that accounts do not have.
    #[error("only devices may punch")]
    Punch,
    /// An empty list of sites.
    #[error("choose at least one site, or everything")]
    NoSite,
    /// What admins may do, at some sites.
    #[error("the permission administer covers everything: leave out the sites")]
    AdministerAPart,
}

impl Limit {
    /// Returns the limit to some permissions, at some sites or wherever the account has them.
    ///
    /// # Errors
    /// If there is no permission or an empty list of sites, or if the permission `administer`, which
    /// belongs to no site, is combined with sites.
    pub fn new(
        permissions: BTreeSet<Permission>,
        sites: Option<BTreeSet<SiteId>>,
    ) -> Result<Self, LimitError> {
        AnyLimit { permissions, sites }.try_into()
    }

    /// Iterates over the permissions.
    pub fn permissions(&self) -> impl Iterator<Item = Permission> + '_ {
        self.permissions.iter().copied()
    }

    /// Returns the sites; `None` for everything that the account covers.
    pub fn sites(&self) -> Option<&BTreeSet<SiteId>> {
        self.sites.as_ref()
    }

    /// Returns what is left of the reach of a permission; `None` without the permission.
    fn narrow(&self, permission: Permission, reach: Reach) -> Option<Reach> {
        let sites = self.sites.as_ref();
        let narrowed = || match sites {
            None => reach,
            Some(sites) => reach.at_sites(sites),
        };
        self.permissions.contains(&permission).then(narrowed)
    }
}

impl TryFrom<AnyLimit> for Limit {
    type Error = LimitError;

    fn try_from(AnyLimit { permissions, sites }: AnyLimit) -> Result<Self, LimitError> {
        if permissions.is_empty() {
            return Err(LimitError::NoPermission);
        }
        if permissions.contains(&Permission::Punch) {
            return Err(LimitError::Punch);
        }
        if sites.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(LimitError::NoSite);
        }
        if sites.is_some() && permissions.contains(&Permission::Administer) {
            return Err(LimitError::AdministerAPart);
        }
        Ok(Self { permissions, sites })
    }
}

impl From<Limit> for AnyLimit {
    fn from(Limit { permissions, sites }: Limit) -> Self {
        Self { permissions, sites }
    }
}

/// Writes the form for the audit trail: `read, survey at 0199f3a0-…`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.permissions().map(Permission::as_str).collect();
        f.write_str(&words.join(", "))?;
        match &self.sites {
            None => Ok(()),
            Some(sites) => {
                let sites: Vec<_> = sites.iter().map(ToString::to_string).collect();
                write!(f, " at {}", sites.join(", "))
            }
        }
    }
}

/// The permissions of an account: its grants, and the linked employee. Those of a program with an
/// API token also have a limit, which is never stored with the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "AnyAccess", into = "AnyAccess")]
pub struct Access {
    employee: Option<EmployeeId>,
    grants: BTreeSet<Grant>,
    limit: Option<Limit>,
}

/// Stored access, which may not be valid.
#[derive(Serialize, Deserialize)]
struct AnyAccess {
    employee: Option<EmployeeId>,
    grants: BTreeSet<Grant>,
}

impl Access {
    /// Returns the access of an account with these grants.
    ///
    /// # Errors
    /// If there is no grant, or a grant with the scope `Own` but no employee.
    pub fn new(
        employee: Option<EmployeeId>,
        grants: impl IntoIterator<Item = Grant>,
    ) -> Result<Self, GrantError> {
        let access = AnyAccess {
            employee,
            grants: grants.into_iter().collect(),
        };
        match access.grants.is_empty() {
            true => Err(GrantError::NoGrant),
            false => access.try_into(),
        }
    }

    /// Returns the access of an admin without a linked employee.
    pub fn admin() -> Self {
        let (role, scope) = (Role::Admin, Scope::Everything);
        Self {
            employee: None,
            grants: BTreeSet::from([Grant { role, scope }]),
            limit: None,
        }
    }

    /// Returns the part of the access that a limit leaves.
    #[must_use]
    pub fn limited(self, limit: Limit) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// Returns the access with other grants, also with none. A grant of own records stays only with
    /// a linked employee.
    #[must_use]
    pub fn with_grants(self, grants: impl IntoIterator<Item = Grant>) -> Self {
        let fits = |grant: &Grant| self.employee.is_some() || grant.scope != Scope::Own;
        Self {
            grants: grants.into_iter().filter(fits).collect(),
            ..self
        }
    }

    /// Returns the linked employee.
    pub fn employee(&self) -> Option<EmployeeId> {
        self.employee
    }

    /// Iterates over the grants.
    pub fn grants(&self) -> impl Iterator<Item = Grant> + '_ {
        self.grants.iter().copied()
    }

    /// Checks whether nothing is granted, as after the deletion of an employee whose account had no
    /// other role.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// Checks whether any grant has a role, whatever its scope.
    pub fn has_role(&self, role: Role) -> bool {
        self.grants().any(|grant| grant.role == role)
    }

    /// Checks whether any grant has a permission, whatever its scope, and the limit leaves it.
    pub fn permits(&self, permission: Permission) -> bool {
        self.reach(permission).is_some()
    }

    /// Returns the records that a permission covers: the union over the grants with the permission,
    /// within the limit. `None` if there is no such grant, or if the limit excludes the permission.
    pub fn reach(&self, permission: Permission) -> Option<Reach> {
        let permits = |grant: &Grant| grant.role.permits(permission);
        let reaches = self.grants().filter(permits);
        let reaches = reaches.map(|grant| Reach::of(grant.scope, self.employee));
        let reach = reaches.reduce(Reach::and)?;
        match &self.limit {
            None => Some(reach),
            Some(limit) => limit.narrow(permission, reach),
        }
    }

    /// Returns the access without the grants of own records. The employee stays linked, so that an
    /// erasure finds the account.
    #[must_use]
    pub fn without_own(mut self) -> Self {
        self.grants.retain(|grant| grant.scope != Scope::Own);
        self
    }

    /// Returns the access without the grants of own records and without the link to the employee.
    #[must_use]
    pub fn unlinked(self) -> Self {
        Self {
            employee: None,
            ..self.without_own()
        }
    }
}

impl TryFrom<AnyAccess> for Access {
    type Error = GrantError;

    fn try_from(AnyAccess { employee, grants }: AnyAccess) -> Result<Self, GrantError> {
        let own = |grant: &Grant| grant.scope == Scope::Own;
        match employee.is_none() && grants.iter().any(own) {
            true => Err(GrantError::NoEmployee),
            false => Ok(Self {
                employee,
                grants,
                limit: None,
            }),
        }
    }
}

impl From<Access> for AnyAccess {
    fn from(access: Access) -> Self {
        Self {
            employee: access.employee,
            grants: access.grants,
        }
    }
}

/// Writes the form for the audit trail: `manager of site 0199f3a0-…, employee 0199f3a1-…`.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Grant { role, scope }) in self.grants().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(f, "{comma}{role}")?;
            match (scope, self.employee) {
                (Scope::Site(site), _) => write!(f, " of site {site}")?,
                (Scope::Own, Some(employee)) => write!(f, " {employee}")?,
                (Scope::Everything, _) | (Scope::Own, None) => {}
            }
        }
        Ok(())
    }
}

/// The site and the employee that a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The site.
    pub site: SiteId,
    /// The employee; `None` if the record belongs to no employee.
    pub employee: Option<EmployeeId>,
}

/// A record that belongs to a site.
pub trait Placed {
    /// Returns the site and the employee.
    fn place(&self) -> Place;
}

/// The records that a permission covers. Every list function takes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Every record.
    Everything,
    /// Records of some sites and of one employee.
    Part {
        /// The sites.
        sites: BTreeSet<SiteId>,
        /// The employee.
        own: Option<EmployeeId>,
    },
}

impl Reach {
    /// Returns a reach that covers nothing.
    pub fn nothing() -> Self {
        let (sites, own) = (BTreeSet::new(), None);
        Self::Part { sites, own }
    }

    /// Returns what a scope covers for an account with this linked employee.
    pub fn of(scope: Scope, employee: Option<EmployeeId>) -> Self {
        let (sites, own) = match scope {
            Scope::Everything => return Self::Everything,
            Scope::Site(site) => (BTreeSet::from([site]), None),
            Scope::Own => (BTreeSet::new(), employee),
        };
        Self::Part { sites, own }
    }

    /// Returns the union of two reaches. Both must belong to one account, because a reach holds at
    /// most one employee.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
            (
                Self::Part { mut sites, own },
                Self::Part {
                    sites: more,
                    own: other,
                },
            ) => {
                sites.extend(more);
                let own = own.or(other);
                Self::Part { sites, own }
            }
        }
    }

    /// Returns the part of the reach at some sites, without what belongs only to an employee.
    #[must_use]
    pub fn at_sites(self, sites: &BTreeSet<SiteId>) -> Self {
        let covered = sites.iter().copied();
        let covered = covered.filter(|site| self.covers_site(*site)).collect();
        Self::Part {
            sites: covered,
            own: None,
        }
    }

    /// Checks whether the reach covers all records. Only such a reach covers what belongs to no
    /// site: jobs, the audit trail and the service itself.
    pub fn covers_everything(&self) -> bool {
        *self == Self::Everything
    }

    /// Checks whether the reach covers a site and what belongs to it.
    pub fn covers_site(&self, site: SiteId) -> bool {
        match self {
            Self::Everything => true,
            Self::Part { sites, .. } => sites.contains(&site),
        }
    }

    /// Checks whether the reach covers a record, by its site or by its employee.
    pub fn covers(&self, record: &impl Placed) -> bool {
        let Place { site, employee } = record.place();
        match self {
            Self::Everything => true,
            Self::Part { own, .. } => self.covers_site(site) || (own.is_some() && *own == employee),
        }
    }

    /// Returns the record if it is covered.
    pub fn admit<R: Placed>(&self, record: Option<R>) -> Option<R> {
        record.filter(|record| self.covers(record))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn site(number: u128) -> SiteId {
        SiteId::new(Uuid::from_u128(number))
    }

    fn employee(number: u128) -> EmployeeId {
        EmployeeId::new(Uuid::from_u128(number))
    }

    impl Placed for Place {
        fn place(&self) -> Place {
            *self
        }
    }

    fn a_scope() -> impl Strategy<Value = Scope> {
        prop_oneof![
            Just(Scope::Everything),
            (0..4_u128).prop_map(|number| Scope::Site(site(number))),
            Just(Scope::Own),
        ]
    }

    fn a_role() -> impl Strategy<Value = Role> {
        prop::sample::select(&Role::ALL[..])
    }

    fn a_permission() -> impl Strategy<Value = Permission> {
        prop::sample::select(&Permission::ALL[..])
    }

    fn a_place() -> impl Strategy<Value = Place> {
        (0..5_u128, prop::option::of(0..3_u128)).prop_map(|(number, whose)| Place {
            site: site(number),
            employee: whose.map(employee),
        })
    }

    /// Generates valid grants of an account that is linked to an employee.
    fn some_grants() -> impl Strategy<Value = Vec<Grant>> {
        let grant = (a_role(), a_scope()).prop_filter_map("no such grant", |(role, scope)| {
            Grant::new(role, scope).ok()
        });
        prop::collection::vec(grant, 1..5)
    }

    fn covers(access: &Access, permission: Permission, place: &Place) -> bool {
        let reach = access.reach(permission);
        reach.is_some_and(|reach| reach.covers(place))
    }

    proptest! {
        #[test]
        fn a_permission_covers_exactly_what_one_of_its_grants_covers(
            grants in some_grants(),
            permission in a_permission(),
            place in a_place(),
            own in 0..3_u128,
        ) {
            let access = Access::new(Some(employee(own)), grants.clone()).unwrap();
            let alone = |grant: &Grant| {
                grant.role().permits(permission)
                    && match grant.scope() {
                        Scope::Everything => true,
                        Scope::Site(site) => place.site == site,
                        Scope::Own => place.employee == Some(employee(own)),
                    }
            };
            prop_assert_eq!(
                covers(&access, permission, &place),
                grants.iter().any(alone)
            );
        }

        #[test]
        fn one_more_grant_never_covers_less(
            grants in some_grants(),
            more in some_grants(),
            permission in a_permission(),
            place in a_place(),
        ) {
            let link = Some(employee(0));
            let before = Access::new(link, grants.clone()).unwrap();
            let after = Access::new(link, grants.into_iter().chain(more)).unwrap();
            let kept = covers(&after, permission, &place) || !covers(&before, permission, &place);
            prop_assert!(kept);
        }

        #[test]
        fn an_admin_covers_everything_that_accounts_may_do(
            more in some_grants(),
            permission in a_permission(),
            place in a_place(),
        ) {
            let admin = Grant::new(Role::Admin, Scope::Everything).unwrap();
            let admin = Access::new(Some(employee(0)), more.into_iter().chain([admin])).unwrap();
            let reach = admin.reach(permission);
            match permission {
                Permission::Punch => prop_assert_eq!(reach, None),
                _ => {
                    let reach = reach.unwrap();
                    prop_assert!(reach.covers_everything());
                    prop_assert!(reach.covers(&place) && reach.covers_site(place.site));
                }
            }
        }

        #[test]
        fn without_the_employee_no_grant_reaches_further(
            grants in some_grants(),
            permission in a_permission(),
            place in a_place(),
        ) {
            let linked = Access::new(Some(employee(0)), grants).unwrap();
            for smaller in [linked.clone().without_own(), linked.clone().unlinked()] {
                let kept = covers(&linked, permission, &place)
                    || !covers(&smaller, permission, &place);
                prop_assert!(kept);
                prop_assert!(smaller.grants().all(|grant| grant.scope() != Scope::Own));
            }
        }

        #[test]
        fn the_order_of_grants_does_not_matter(
            grants in some_grants(),
            permission in a_permission(),
        ) {
            let link = Some(employee(1));
            let one = Access::new(link, grants.clone()).unwrap();
            let other = Access::new(link, grants.into_iter().rev()).unwrap();
            prop_assert_eq!(one.reach(permission), other.reach(permission));
            prop_assert_eq!(one, other);
        }

        #[test]
        fn a_limit_leaves_what_it_names_of_what_the_grants_cover(
            grants in some_grants(),
            permissions in prop::collection::btree_set(a_permission(), 1..4),
            sites in prop::option::of(prop::collection::btree_set((0..4_u128).prop_map(site), 1..3)),
            permission in a_permission(),
            place in a_place(),
        ) {
            let Ok(limit) = Limit::new(permissions.clone(), sites.clone()) else {
                return Ok(());
            };
            let account = Access::new(Some(employee(0)), grants).unwrap();
            let token = account.clone().limited(limit.clone());
            // A record that is covered only as the account's own is not at a site.
            let reach = account.reach(permission);
            let at_site = reach.is_some_and(|reach| reach.covers_site(place.site));
            let left = match &sites {
                None => covers(&account, permission, &place),
                Some(sites) => sites.contains(&place.site) && at_site,
            };
            let expected = permissions.contains(&permission) && left;
            prop_assert_eq!(covers(&token, permission, &place), expected);
            // It is stored with the token, and never with the account.
            let json = serde_json::to_string(&limit).unwrap();
            prop_assert_eq!(serde_json::from_str::<Limit>(&json).unwrap(), limit);
            let json = serde_json::to_string(&token).unwrap();
            prop_assert_eq!(serde_json::from_str::<Access>(&json).unwrap(), account);
        }

        #[test]
        fn what_is_stored_is_read_back(grants in some_grants(), own in 0..3_u128) {
            let access = Access::new(Some(employee(own)), grants).unwrap();
            let json = serde_json::to_string(&access).unwrap();
            prop_assert_eq!(serde_json::from_str::<Access>(&json).unwrap(), access);
        }
    }

    #[test]
    fn nothing_covers_nothing() {
        let place = Place {
            site: SiteId::DEFAULT,
            employee: Some(employee(1)),
        };
        assert!(!Reach::nothing().covers(&place));
        assert!(!Reach::nothing().covers_everything());
        // An account without an employee does not own records without an employee.
        let place = Place {
            employee: None,
            ..place
        };
        assert!(!Reach::of(Scope::Own, None).covers(&place));
    }

    #[test]
    fn roles_and_scopes_that_do_not_fit_cannot_be_built() {
        let here = Scope::Site(SiteId::DEFAULT);
        for scope in [here, Scope::Own] {
            assert_eq!(
                Grant::new(Role::Admin, scope),
                Err(GrantError::AdminOfAPart)
            );
        }
        for scope in [here, Scope::Everything] {
            let refused = Grant::new(Role::Employee, scope);
            assert_eq!(refused, Err(GrantError::EmployeeOfMore));
        }
        for role in [Role::Manager, Role::Viewer] {
            let refused = Grant::new(role, Scope::Own);
            assert_eq!(refused, Err(GrantError::OwnNeedsEmployee(role)));
        }
        let own = Grant::new(Role::Employee, Scope::Own).unwrap();
        assert_eq!(Access::new(None, [own]), Err(GrantError::NoEmployee));
        assert_eq!(Access::new(None, []), Err(GrantError::NoGrant));
    }

    #[test]
    fn limits_that_do_not_fit_cannot_be_built() {
        let of = |permissions: &[Permission], sites: Option<&[u128]>| {
            let sites = sites.map(|sites| sites.iter().copied().map(site).collect());
            Limit::new(permissions.iter().copied().collect(), sites).map(drop)
        };
        let read = [Permission::Read];
        assert_eq!(of(&[], None), Err(LimitError::NoPermission));
        assert_eq!(of(&[Permission::Punch], None), Err(LimitError::Punch));
        assert_eq!(of(&read, Some(&[])), Err(LimitError::NoSite));
        let all = [Permission::Read, Permission::Administer];
        assert_eq!(of(&all, Some(&[1])), Err(LimitError::AdministerAPart));
        assert_eq!(of(&all, None), Ok(()));
        assert!(serde_json::from_str::<Limit>(r#"{"permissions":[],"sites":null}"#).is_err());
    }

    #[test]
    fn what_cannot_be_built_is_not_read() {
        for json in [
            r#"{"employee":null,"grants":[{"role":"employee","scope":"own"}]}"#,
            r#"{"employee":null,"grants":[{"role":"admin","scope":"own"}]}"#,
            r#"{"employee":null,"grants":[{"role":"root","scope":"everything"}]}"#,
            r#"{"employee":null}"#,
        ] {
            assert!(serde_json::from_str::<Access>(json).is_err(), "{json}");
        }
    }
}
