//! Invitations: makes, shows and revokes single-use links, and lets their bearers create an account,
//! enroll their own face, or set a new password.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::{
    accounts::{AccountError, Accounts, NewAccount},
    audit::Audit,
    enrollment::{EnrollError, EnrollRequest, Enrollment, Enrollments},
    reset_links::revoke_resets,
    tokens::{self, Token},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::{Account, Actor},
        employees::{ConsentGiven, Employee},
        grants::{Access, Permission, Reach, Role, Scope},
        ids::{AccountId, EmployeeId, InvitationId, SiteId},
        invitations::{Invitation, Purpose},
        text::Name,
    },
    ports::{Page, Sample, StoreError},
    repositories::{Repositories, Versioned},
};

/// Why a request about invitations failed.
#[derive(Debug, thiserror::Error)]
pub enum InvitationError {
    /// The token is unknown, or its invitation was used, was revoked, has expired, or was made by
    /// an account that may not make it anymore. The error never reveals which.
    #[error(
        "this link cannot be used: it was used before, has expired or was revoked; ask for a new one"
    )]
    Ended,
    /// Another request is using the invitation.
    #[error("another request is using this link: try again in a minute")]
    Claimed,
    /// There is no such invitation, or the caller may not see it.
    #[error("no such invitation")]
    NotFound,
    /// The caller may not invite to this.
    #[error("managers may invite only employees whom they cover, with the role employee")]
    Forbidden,
    /// The employee does not exist, is deleted, or is not covered.
    #[error("there is no such employee within your reach: choose another one")]
    NoEmployee,
    /// The account is disabled.
    #[error("the account is disabled: enable it first")]
    Disabled,
    /// The account cannot be created or changed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The face cannot be enrolled.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The sender of an invitation.
#[derive(Debug, Clone)]
pub struct Inviter {
    /// Who it is.
    pub actor: Actor,
    /// The employees who may be invited.
    pub reach: Reach,
    /// Whether everything may be granted.
    pub admin: bool,
}

impl Inviter {
    /// A command on the server.
    pub const OPERATOR: Self = Self {
        actor: Actor::Operator,
        reach: Reach::Everything,
        admin: true,
    };

    /// Returns an account as a sender; `None` if it may not invite.
    fn of(account: &Account) -> Option<Self> {
        Some(Self {
            actor: Actor::Account(account.id),
            reach: account.access.reach(Permission::Invite)?,
            admin: account.access.has_role(Role::Admin),
        })
    }

    /// Checks whether the sender may make and see an invitation. `employee` is its employee.
    fn may(&self, purpose: &Purpose, employee: Option<&Employee>) -> bool {
        let only_own = |access: &Access| access.grants().all(|grant| grant.scope() == Scope::Own);
        let small = match purpose {
            Purpose::Account { access, .. } => only_own(access),
            Purpose::Enroll { .. } => true,
            Purpose::Reset { .. } => false,
        };
        self.admin || (small && employee.is_some_and(|employee| self.reach.covers(employee)))
    }
}

/// What the bearer of a token learns before it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// What it is for.
    pub purpose: Purpose,
    /// The name of the person.
    pub name: Name,
    /// The site of the person.
    pub site: Option<SiteId>,
}

/// An invitation with the token of its link.
#[derive(Debug)]
pub struct Made {
    /// The invitation.
    pub invitation: Invitation,
    /// The token.
    pub token: Token,
}

impl Made {
    /// Returns the path of the link. The token is in the fragment, which browsers do not send.
    pub fn path(&self) -> String {
        format!("/join#{}", self.token.reveal())
    }
}

/// What a person did with an invitation.
#[derive(Debug)]
pub enum Accepted {
    /// They created this account.
    Created(Account),
    /// They set a new password of this account.
    PasswordSet(Account),
}

/// How long a request that uses an invitation keeps others from doing so.
const CLAIM: SignedDuration = SignedDuration::from_mins(1);

/// The service for invitations.
#[derive(derive_new::new)]
pub struct Invitations {
    stores: Repositories,
    accounts: Arc<Accounts>,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl Invitations {
    /// Invites a person.
    pub async fn invite(
        &self,
        inviter: &Inviter,
        purpose: Purpose,
    ) -> Result<Made, InvitationError> {
        let employee = match purpose.employee() {
            Some(id) => Some(
                self.employee(id)
                    .await?
                    .ok_or(InvitationError::NoEmployee)?,
            ),
            None => None,
        };
        if let Some(employee) = &employee
            && !inviter.reach.covers(employee)
        {
            return Err(InvitationError::NoEmployee);
        }
        if !inviter.may(&purpose, employee.as_ref()) {
            return Err(InvitationError::Forbidden);
        }
        if let Purpose::Account { email, access, .. } = &purpose {
            self.accounts.check_new(email, access).await?;
        }
        self.make(inviter.actor, purpose).await
    }

    /// Makes a link with which the person of an account sets a new password.
    pub async fn reset_password(
        &self,
        inviter: &Inviter,
        account: AccountId,
    ) -> Result<Made, InvitationError> {
        let found = self.accounts.find(account).await?;
        if !found.active {
            return Err(InvitationError::Disabled);
        }
        let email = found.email;
        let purpose = Purpose::Reset { account, email };
        self.make(inviter.actor, purpose).await
    }

    /// Makes the link that is sent to an account whose password was forgotten. The one before ends;
    /// a link by an admin stays.
    pub(super) async fn reset_by_email(&self, account: &Account) -> Result<Made, InvitationError> {
        let (stores, actor, id) = (&self.stores, Actor::System, account.id);
        let before = |link: &Invitation| link.made_by == actor;
        revoke_resets(stores, &self.audit, actor, id, before).await?;
        let email = account.email.clone();
        let purpose = Purpose::Reset { account: id, email };
        self.make(actor, purpose).await
    }

    async fn make(&self, made_by: Actor, purpose: Purpose) -> Result<Made, InvitationError> {
        let (token, now) = (Token::mint(&*self.clock), self.clock.now());
        let invitation = Invitation {
            id: InvitationId::new(self.clock.id()),
            token: token.hash(),
            made_by,
            made_at: now,
            expires_at: now + purpose.validity(),
            claimed_until: None,
            tries: 0,
            purpose,
        };
        let address = invitation.purpose.email().map(|email| {
            let digest = tokens::hash(email.as_str()).to_hex();
            format!("; address {}", &digest[..16])
        });
        let detail = format!("{}{}", invitation.purpose, address.unwrap_or_default());
        self.audit
            .record(made_by, "invitation.create", invitation.id, Some(detail))
            .await?;
        self.stores.invitations.insert(&invitation).await?;
        Ok(Made { invitation, token })
    }

    /// Returns a page of the invitations that the caller may see. Those that expire last come
    /// first, so open ones before expired ones.
    pub async fn list(
        &self,
        inviter: &Inviter,
        page: &Page<(Timestamp, InvitationId)>,
    ) -> Result<Vec<Invitation>, StoreError> {
        let (mut found, mut page) = (Vec::new(), page.clone());
        let limit = page.limit;
        loop {
            let batch = self.stores.invitations.list(&page).await?;
            let full = batch.len() == page.limit;
            page.after = batch.last().map(|last| (last.expires_at, last.id));
            let ids: Vec<_> = batch
                .iter()
                .filter_map(|one| one.purpose.employee())
                .collect();
            let employees = self.stores.employees.find_many(&ids).await?;
            let visible = |one: &Invitation| {
                let id = one.purpose.employee();
                let employee = employees.iter().find(|employee| Some(employee.id) == id);
                inviter.may(&one.purpose, employee)
            };
            found.extend(batch.into_iter().filter(visible));
            if found.len() >= limit || !full {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }

    /// Sends an invitation again, under a new token. The old one ends.
    pub async fn resend(
        &self,
        inviter: &Inviter,
        id: InvitationId,
    ) -> Result<Made, InvitationError> {
        let old = self.unclaimed(inviter, id).await?;
        let (token, now) = (Token::mint(&*self.clock), self.clock.now());
        self.audit
            .record(inviter.actor, "invitation.send", id, None)
            .await?;
        let new = Invitation {
            token: token.hash(),
            made_by: inviter.actor,
            made_at: now,
            expires_at: now + old.purpose.validity(),
            claimed_until: None,
            tries: 0,
            ..(*old).clone()
        };
        let swapped = self.stores.invitations.swap(&old, new).await?;
        let swapped = swapped.ok_or(InvitationError::Claimed)?;
        Ok(Made {
            invitation: swapped.into_inner(),
            token,
        })
    }

    /// Revokes an invitation.
    pub async fn revoke(&self, inviter: &Inviter, id: InvitationId) -> Result<(), InvitationError> {
        let old = self.unclaimed(inviter, id).await?;
        self.audit
            .record(inviter.actor, "invitation.revoke", id, None)
            .await?;
        match self.stores.invitations.remove(&old).await? {
            true => Ok(()),
            false => Err(InvitationError::Claimed),
        }
    }

    /// Returns an invitation that the caller may see and that no request is using.
    async fn unclaimed(
        &self,
        inviter: &Inviter,
        id: InvitationId,
    ) -> Result<Versioned<Invitation>, InvitationError> {
        let found = self.stores.invitations.read(id).await?;
        let found = found.ok_or(InvitationError::NotFound)?;
        let employee = match found.purpose.employee() {
            Some(id) => self.employee(id).await?,
            None => None,
        };
        if !inviter.may(&found.purpose, employee.as_ref()) {
            return Err(InvitationError::NotFound);
        }
        match found.is_claimed(self.clock.now()) {
            true => Err(InvitationError::Claimed),
            false => Ok(found),
        }
    }

    /// Returns an employee who is not deleted.
    async fn employee(&self, id: EmployeeId) -> Result<Option<Employee>, StoreError> {
        let found = self.stores.employees.find(id).await?;
        Ok(found.filter(|employee| employee.deleted_at.is_none()))
    }

    /// Returns the invitation of a token that can be used, and its employee.
    async fn open(
        &self,
        token: &str,
    ) -> Result<(Versioned<Invitation>, Option<Employee>), InvitationError> {
        let found = self
            .stores
            .invitations
            .find_by_token(tokens::hash(token))
            .await?;
        let found = found.filter(|invitation| invitation.is_open(self.clock.now()));
        let found = found.ok_or(InvitationError::Ended)?;
        let employee = match found.purpose.employee() {
            Some(id) => Some(self.employee(id).await?.ok_or(InvitationError::Ended)?),
            None => None,
        };
        // An account that lost its permissions must not leave links that have them.
        if let Actor::Account(id) = found.made_by {
            let inviter = self.stores.accounts.find(id).await?;
            let inviter = inviter.filter(|account| account.active);
            let inviter = inviter.as_ref().and_then(Inviter::of);
            if !inviter.is_some_and(|inviter| inviter.may(&found.purpose, employee.as_ref())) {
                return Err(InvitationError::Ended);
            }
        }
        Ok((found, employee))
    }

    /// Returns what a token is for.
    pub async fn look(&self, token: &str) -> Result<Offer, InvitationError> {
        let (invitation, employee) = self.open(token).await?;
        let purpose = invitation.into_inner().purpose;
        let name = match (&purpose, &employee) {
            (Purpose::Account { name, .. }, _) => name.clone(),
            (_, Some(employee)) => employee.name.clone(),
            (Purpose::Reset { account, .. }, None) => {
                let account = self.stores.accounts.find(*account).await?;
                let account = account.filter(|account| account.active);
                account.ok_or(InvitationError::Ended)?.name
            }
            (Purpose::Enroll { .. }, None) => return Err(InvitationError::Ended),
        };
        Ok(Offer {
            purpose,
            name,
            site: employee.map(|employee| employee.settings.site),
        })
    }

    /// Creates the account of an invitation, or sets the new password. A second factor of the account
    /// must still be proved before it is signed in.
    pub async fn accept(
        &self,
        token: &str,
        name: Option<Name>,
        password: SecretString,
    ) -> Result<Accepted, InvitationError> {
        let (invitation, _) = self.open(token).await?;
        match invitation.purpose.clone() {
            Purpose::Account {
                email,
                name: given,
                access,
                ..
            } => {
                let new = NewAccount {
                    email,
                    name: name.unwrap_or(given),
                    password,
                    access,
                };
                let created = self.create_account(invitation, new).await;
                created.map(Accepted::Created)
            }
            Purpose::Reset { account, .. } => {
                let set = self.set_password(invitation, account, password).await;
                set.map(Accepted::PasswordSet)
            }
            Purpose::Enroll { .. } => Err(InvitationError::Ended),
        }
    }

    async fn create_account(
        &self,
        invitation: Versioned<Invitation>,
        new: NewAccount,
    ) -> Result<Account, InvitationError> {
        // A password that is refused does not use the invitation up.
        let account = Account {
            invited_by: invitation.made_by.account(),
            ..self.accounts.prepare(new).await?
        };
        let actor = Actor::Account(account.id);
        self.audit
            .record(actor, "invitation.accept", invitation.id, None)
            .await?;
        let claimed = self.claim(&invitation, 0).await?;
        let account = match self.accounts.add_prepared(actor, account).await {
            Ok(account) => account,
            // Nothing that the person can do makes it usable.
            Err(
                error @ (AccountError::EmailTaken
                | AccountError::EmployeeTaken
                | AccountError::NoEmployee
                | AccountError::NoSite),
            ) => {
                self.stores.invitations.remove(&claimed).await?;
                return Err(error.into());
            }
            Err(error) => {
                self.release(&claimed).await;
                return Err(error.into());
            }
        };
        self.finish(claimed, Purpose::after_account).await?;
        Ok(account)
    }

    async fn set_password(
        &self,
        invitation: Versioned<Invitation>,
        account: AccountId,
        password: SecretString,
    ) -> Result<Account, InvitationError> {
        let found = self.stores.accounts.find(account).await?;
        let found = found.filter(|account| account.active);
        let found = found.ok_or(InvitationError::Ended)?;
        let hash = self
            .accounts
            .hash(&found.email, &found.name, password)
            .await?;
        let actor = Actor::Account(account);
        self.audit
            .record(actor, "invitation.accept", invitation.id, None)
            .await?;
        // Used up before the password is set: of two requests, one sets it.
        if !self.stores.invitations.remove(&invitation).await? {
            return Err(InvitationError::Ended);
        }
        Ok(self.accounts.replace_password(actor, &found, hash).await?)
    }

    /// Enrolls the face of the person who was invited, with the consent that they give. Photos that
    /// are refused do not use the invitation up, but the number of tries is limited.
    pub async fn enroll(
        &self,
        enrollments: &Enrollments,
        token: &str,
        photos: Vec<Sample>,
    ) -> Result<Enrollment, InvitationError> {
        let (invitation, _) = self.open(token).await?;
        let employee = invitation.purpose.enrolls().ok_or(InvitationError::Ended)?;
        let actor = self.consenting(&invitation, employee).await?;
        let detail = Some(format!("try {}", invitation.tries + 1));
        self.audit
            .record(actor, "invitation.enroll", invitation.id, detail)
            .await?;
        let claimed = self.claim(&invitation, 1).await?;
        let request = EnrollRequest {
            employee,
            consent: Some(ConsentGiven::Invitation),
            photos,
            override_duplicate: false,
        };
        match enrollments.enroll(&Reach::Everything, actor, request).await {
            Ok(enrollment) => {
                self.finish(claimed, Purpose::after_enrollment).await?;
                Ok(enrollment)
            }
            Err(error) => {
                self.release(&claimed).await;
                Err(match error {
                    EnrollError::NotFound | EnrollError::Inactive => InvitationError::Ended,
                    error => error.into(),
                })
            }
        }
    }

    /// Returns who is recorded with the consent: the person's own account, or the sender of the
    /// invitation if they have none. An account that was itself made by an invitation does not prove
    /// who used it, so the sender answers for the address.
    async fn consenting(
        &self,
        invitation: &Invitation,
        employee: EmployeeId,
    ) -> Result<Actor, StoreError> {
        let own = self.stores.accounts.find_by_employee(employee).await?;
        let own = own.filter(|account| account.invited_by.is_none());
        Ok(own.map_or(invitation.made_by, |own| Actor::Account(own.id)))
    }

    /// Keeps other requests from using an invitation for a while.
    async fn claim(
        &self,
        invitation: &Versioned<Invitation>,
        tries: u32,
    ) -> Result<Versioned<Invitation>, InvitationError> {
        let now = self.clock.now();
        if invitation.is_claimed(now) {
            return Err(InvitationError::Claimed);
        }
        let claimed = Invitation {
            claimed_until: Some(now + CLAIM),
            tries: invitation.tries + tries,
            ..(**invitation).clone()
        };
        let claimed = self.stores.invitations.swap(invitation, claimed).await?;
        claimed.ok_or(InvitationError::Claimed)
    }

    /// Lets other requests use an invitation again. If this fails, the claim ends by itself.
    async fn release(&self, claimed: &Versioned<Invitation>) {
        let released = Invitation {
            claimed_until: None,
            ..(**claimed).clone()
        };
        if let Err(error) = self.stores.invitations.swap(claimed, released).await {
            tracing::warn!(%error, "could not release an invitation");
        }
    }

    /// Leaves of an invitation what was not used yet.
    async fn finish(
        &self,
        claimed: Versioned<Invitation>,
        left: impl Fn(Purpose) -> Option<Purpose>,
    ) -> Result<(), StoreError> {
        match left(claimed.purpose.clone()) {
            Some(purpose) => {
                let rest = Invitation {
                    purpose,
                    claimed_until: None,
                    ..(*claimed).clone()
                };
                self.stores.invitations.swap(&claimed, rest).await?;
            }
            None => drop(self.stores.invitations.remove(&claimed).await?),
        }
        Ok(())
    }
}
