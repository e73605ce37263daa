//! Invitations: single-use links with which people create their account, enroll their own face, or
//! set a new password.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    accounts::{Actor, TokenHash},
    grants::Access,
    ids::{AccountId, EmployeeId, InvitationId},
    record::{About, Changes, Index, Keys, Kind, OnErase, Record},
    text::{Email, Name},
};

/// What the bearer of an invitation may do, once each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Create an account.
    Account {
        /// The email address of the account.
        email: Email,
        /// The name, which the person may change.
        name: Name,
        /// The permissions and the linked employee.
        #[serde(flatten)]
        access: Access,
        /// Whether to enroll the face of the linked employee, too.
        enroll: bool,
    },
    /// Enroll the face of an employee.
    Enroll {
        /// The employee.
        employee: EmployeeId,
        /// Where the link is sent, if it is known.
        email: Option<Email>,
    },
    /// Set a new password for an account.
    Reset {
        /// The account.
        account: AccountId,
        /// Its email address when the link was made.
        email: Email,
    },
}

impl Purpose {
    /// Returns the employee of a new account, or the one to enroll.
    pub fn employee(&self) -> Option<EmployeeId> {
        match self {
            Self::Account { access, .. } => access.employee(),
            Self::Enroll { employee, .. } => Some(*employee),
            Self::Reset { .. } => None,
        }
    }

    /// Returns the employee whose face the bearer may enroll.
    pub fn enrolls(&self) -> Option<EmployeeId> {
        match self {
            Self::Account { access, enroll, .. } => access.employee().filter(|_| *enroll),
            Self::Enroll { employee, .. } => Some(*employee),
            Self::Reset { .. } => None,
        }
    }

    /// Returns where the link is sent.
    pub fn email(&self) -> Option<&Email> {
        match self {
            Self::Account { email, .. } | Self::Reset { email, .. } => Some(email),
            Self::Enroll { email, .. } => email.as_ref(),
        }
    }

    /// Returns what is left after the account was created.
    pub fn after_account(self) -> Option<Self> {
        let employee = self.enrolls()?;
        match self {
            Self::Account { email, .. } => Some(Self::Enroll {
                employee,
                email: Some(email),
            }),
            Self::Enroll { .. } | Self::Reset { .. } => None,
        }
    }

    /// Returns what is left after the face was enrolled.
    pub fn after_enrollment(self) -> Option<Self> {
        match self {
            Self::Account {
                email,
                name,
                access,
                ..
            } => Some(Self::Account {
                email,
                name,
                access,
                enroll: false,
            }),
            Self::Enroll { .. } | Self::Reset { .. } => None,
        }
    }

    /// Returns how long an invitation for this is valid.
    pub fn validity(&self) -> SignedDuration {
        match self {
            Self::Account { .. } | Self::Enroll { .. } => SignedDuration::from_hours(7 * 24),
            Self::Reset { .. } => SignedDuration::from_hours(24),
        }
    }
}

/// For the audit trail: with IDs, and without names and addresses.
impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account { access, .. } => write!(f, "account: {access}")?,
            Self::Enroll { .. } => {}
            Self::Reset { account, .. } => write!(f, "password of {account}")?,
        }
        match (self, self.enrolls()) {
            (Self::Account { .. }, Some(employee)) => write!(f, "; face of {employee}"),
            (_, Some(employee)) => write!(f, "face of {employee}"),
            (_, None) => Ok(()),
        }
    }
}

/// An invitation that is not used up. A used or revoked one is deleted.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Invitation {
    /// The ID.
    pub id: InvitationId,
    /// The hash of the token in its link.
    pub token: TokenHash,
    /// What it is for.
    pub purpose: Purpose,
    /// Who made it, or sent it again.
    pub made_by: Actor,
    /// When it was made or sent again.
    pub made_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Until when a request that uses it keeps others from doing so.
    pub claimed_until: Option<Timestamp>,
    /// How often it was tried to enroll a face with it.
    pub tries: u32,
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Invitation {
    /// Invitations by the hash of their token.
    pub const BY_TOKEN: Index = Index::unique("by_token");
    /// Invitations by expiry.
    pub const BY_END: Index = Index::ordered("by_end");
    /// Invitations about an employee.
    pub const BY_EMPLOYEE: Index = Index::ordered("by_employee");

    /// The most tries to enroll a face with one invitation.
    pub const TRIES: u32 = 20;

    /// Checks whether it can be used at a moment.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.expires_at > now && self.tries < Self::TRIES
    }

    /// Checks whether a request is using it.
    pub fn is_claimed(&self, now: Timestamp) -> bool {
        self.claimed_until.is_some_and(|until| until > now)
    }
}

impl Record for Invitation {
    const KIND: &'static Kind = &Kind::archived(
        "invitations",
        "invitation",
        &[Self::BY_TOKEN, Self::BY_END, Self::BY_EMPLOYEE],
    )
    .changing(Changes::Audited);

    type Id = InvitationId;

    fn id(&self) -> InvitationId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_TOKEN, (self.token.to_hex(),));
        keys.add(Self::BY_END, (self.expires_at,));
        if let Some(employee) = self.purpose.employee() {
            keys.add(Self::BY_EMPLOYEE, (employee.uuid(),));
        }
    }

    fn about(&self) -> About {
        match self.purpose.employee() {
            Some(employee) => About::employee(employee, OnErase::Delete),
            None => About::NoEmployee,
        }
    }
}
