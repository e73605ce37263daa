//! How far a caller may decide about the hours of employees.

use super::{auth::Allowed, problem::Problem};
use crate::{
    domain::{
        grants::{Permission, Reach},
        ids::EmployeeId,
    },
    service::timesheets::By,
};

/// How far a caller may decide, beyond the permission that a route asks for.
pub struct Deciding {
    decides: Reach,
    own: Option<EmployeeId>,
}

impl Deciding {
    /// Returns how far the caller may decide. An admin may also decide about their own hours,
    /// because there may be no other account that can.
    ///
    /// # Errors
    /// If the caller is a device.
    pub fn of<P>(allowed: &Allowed<P>) -> Result<Self, Problem> {
        let own = match allowed.permits(Permission::Administer) {
            true => None,
            false => allowed.account()?.access.employee(),
        };
        let decides = allowed.reach_of(Permission::Correct);
        Ok(Self { decides, own })
    }

    /// Returns the caller for the service.
    pub fn by<'a, P>(&'a self, allowed: &'a Allowed<P>) -> By<'a> {
        By {
            actor: allowed.actor(),
            reach: allowed.reach(),
            decides: &self.decides,
            own: self.own,
        }
    }
}
