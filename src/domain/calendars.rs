//! Secret addresses under which calendar programs read an employee's shifts and leave.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    accounts::{Actor, TokenHash},
    ids::EmployeeId,
    record::{About, Changes, Index, Keys, Kind, OnErase, Record},
};

/// The calendar address of an employee, who has at most one.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct CalendarAddress {
    /// The employee.
    pub employee: EmployeeId,
    /// The hash of the token in the address.
    pub token: TokenHash,
    /// When it was made.
    pub made_at: Timestamp,
    /// Who made it.
    pub made_by: Actor,
}

impl fmt::Debug for CalendarAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CalendarAddress")
            .field("employee", &self.employee)
            .finish_non_exhaustive()
    }
}

impl CalendarAddress {
    /// Addresses by the hash of their token.
    pub const BY_TOKEN: Index = Index::unique("by_token");
}

impl Record for CalendarAddress {
    const KIND: &'static Kind =
        &Kind::archived("calendar_addresses", "calendar address", &[Self::BY_TOKEN])
            .changing(Changes::Audited);

    type Id = EmployeeId;

    fn id(&self) -> EmployeeId {
        self.employee
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_TOKEN, (self.token.to_hex(),));
    }

    fn about(&self) -> About {
        About::employee(self.employee, OnErase::Delete)
    }
}
