//! Signing in with an identity provider: who a person is there, and what their groups may do here.

use serde::{Deserialize, Serialize};

use super::{grants::Role, text::SiteName};

/// A person at an identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalIdentity {
    /// The address of the provider.
    pub issuer: String,
    /// The person's ID there, which never changes.
    pub subject: String,
}

/// What the members of a group at the identity provider may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRole {
    /// The group.
    pub group: String,
    /// The role: admin, manager or viewer.
    pub role: Role,
    /// The site of a manager or viewer; `None` for everything.
    pub site: Option<SiteName>,
}

impl GroupRole {
    /// Parses `group=role` or `group=role@Site`; `None` if the text is not valid. The role employee
    /// needs an employee, so it cannot be given to a group.
    pub fn parse(text: &str) -> Option<Self> {
        let (group, role) = text.rsplit_once('=')?;
        let (role, site) = match role.split_once('@') {
            Some((role, site)) => (role, Some(SiteName::parse(site).ok()?)),
            None => (role, None),
        };
        let (group, role) = (group.trim(), role.trim());
        let role = Role::parse(role).ok()?;
        let fits = match role {
            Role::Admin => site.is_none(),
            Role::Manager | Role::Viewer => true,
            Role::Employee => false,
        };
        (fits && !group.is_empty()).then(|| Self {
            group: group.to_owned(),
            role,
            site,
        })
    }

    /// Parses rules that are separated by commas.
    pub fn parse_list(text: &str) -> Option<Vec<Self>> {
        text.split(',')
            .map(|rule| Self::parse(rule.trim()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_get_roles() {
        let rules = GroupRole::parse_list("hr=manager, cn=harbor,harbor=viewer@Main Harbor");
        assert_eq!(rules, None, "a comma separates rules");
        let rules = GroupRole::parse_list("hr=manager, a=b=viewer@Main Harbor,it = admin").unwrap();
        let rule = |group: &str, role, site: Option<&str>| GroupRole {
            group: group.to_owned(),
            role,
            site: site.map(|name| SiteName::parse(name).unwrap()),
        };
        let expected = [
            rule("hr", Role::Manager, None),
            rule("a=b", Role::Viewer, Some("Main Harbor")),
            rule("it", Role::Admin, None),
        ];
        assert_eq!(rules, expected);
        for wrong in [
            "",
            "hr",
            "hr=",
            "=admin",
            "hr=boss",
            "it=admin@Harbor",
            "hr=employee",
            "hr=manager@",
        ] {
            assert_eq!(GroupRole::parse(wrong), None, "{wrong}");
        }
    }
}
