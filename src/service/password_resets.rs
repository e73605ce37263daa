//! Links for a new password that people who cannot sign in get by email.
//!
//! A separate task looks for the account after the request has its answer, so that neither the
//! answer nor its time reveals whether there is one.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    audit::Audit,
    invitations::{InvitationError, Invitations},
    messages::{LetterError, Letters},
    work_queue::{NotQueued, WorkQueue},
};
use crate::{
    domain::{accounts::Actor, text::Email},
    ports::{Quota, RateLimits, StoreError},
    repositories::Repositories,
};

/// The maximum number of requests that wait.
const WAITING_MOST: usize = 64;

/// How many links an account gets in an hour, so that nobody can flood its mailbox.
const PER_HOUR: Quota = Quota {
    most: 3,
    window: Duration::from_hours(1),
};

/// How many links an account gets in a day.
const PER_DAY: Quota = Quota {
    most: 6,
    window: Duration::from_hours(24),
};

/// Why a link was not sent.
#[derive(Debug, thiserror::Error)]
pub enum PasswordResetError {
    /// There is no mail server.
    #[error(
        "this service sends no emails: ask an admin for a link for a new password, or run `rollcall admin reset-password --email ADDRESS` on the server"
    )]
    NoMail,
    /// Too many requests wait, or the service is stopping.
    #[error("{0}: try again in a minute")]
    NotQueued(#[from] NotQueued),
    /// The link could not be made.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// The letter could not be written.
    #[error(transparent)]
    Letter(#[from] LetterError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A request for a link.
struct ResetRequest {
    email: Email,
    /// The address of the client.
    from: IpAddr,
}

/// The service that sends links for a new password.
pub struct PasswordResets {
    stores: Repositories,
    invitations: Arc<Invitations>,
    letters: Arc<Letters>,
    limits: Arc<dyn RateLimits>,
    audit: Audit,
    requests: WorkQueue<ResetRequest>,
}

impl PasswordResets {
    /// Creates the service.
    pub fn new(
        stores: Repositories,
        invitations: Arc<Invitations>,
        letters: Arc<Letters>,
        limits: Arc<dyn RateLimits>,
        audit: Audit,
    ) -> Self {
        Self {
            stores,
            invitations,
            letters,
            limits,
            audit,
            requests: WorkQueue::new(WAITING_MOST),
        }
    }

    /// Requests a link for the account with an email address, if there is one. `from` is the address
    /// of the client.
    ///
    /// # Errors
    /// If there is no mail server, or the queue is full. The result does not depend on the account.
    pub fn request(&self, email: Email, from: IpAddr) -> Result<(), PasswordResetError> {
        if !self.letters.is_on() {
            return Err(PasswordResetError::NoMail);
        }
        Ok(self.requests.add(ResetRequest { email, from })?)
    }

    /// Sends the requested links until the token is canceled, and then those that still wait.
    pub async fn work(&self, stop: CancellationToken) {
        while let Some(request) = self.requests.next(&stop).await {
            if let Err(error) = self.send(request).await {
                warn!(%error, "could not send a link for a new password");
            }
        }
    }

    /// Sends a link to an account that can sign in with a password. An account without one signs in
    /// with an identity provider, around which no link leads.
    async fn send(&self, request: ResetRequest) -> Result<(), PasswordResetError> {
        let found = self.stores.accounts.find_by_email(&request.email).await?;
        let usable = found.filter(|account| account.active && account.has_password());
        let Some(account) = usable else {
            return Ok(());
        };
        let (hour, day) = (
            format!("forgot:{}", account.id),
            format!("forgot:day:{}", account.id),
        );
        let allowed = self.limits.check(&hour, PER_HOUR).await.allowed
            && self.limits.check(&day, PER_DAY).await.allowed;
        if !allowed {
            info!(account = %account.id, address = %request.from, "an account got no further link for a new password");
            return Ok(());
        }
        let detail = Some(format!("from {}", request.from));
        self.audit
            .record(Actor::System, "account.forgot", account.id, detail)
            .await?;
        let made = self.invitations.reset_by_email(&account).await?;
        let link = self.letters.page(&made.path()).ok_or(LetterError::Off)?;
        let until = made.invitation.expires_at;
        Ok(self.letters.reset(&account, &link, until).await?)
    }
}
