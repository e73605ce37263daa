//! Letters: writes them, and puts them into the outbox, sealed.

mod en;
mod occasions;

use std::sync::Arc;

use jiff::Timestamp;
use tracing::warn;

pub(super) use occasions::Occasion;

use super::collector::id_of;
use crate::{
    clock::Clock,
    domain::{
        accounts::{Account, Actor},
        ids::{AccountId, DeliveryId, EmployeeId},
        mail::{LetterKind, MailPreferences, SecurityChange},
        messages::{Channel, Content, Delivery, DeliveryState, THREE_DAYS},
        sealed::{Binding, Sealed},
        text::{self, Email},
    },
    ports::{Letter, StoreError},
    repositories::Repositories,
    service::audit::Audit,
    vault::{Vault, VaultError},
};

/// How long a letter with a link for a new password is tried.
const ONE_HOUR: u32 = 3600;

/// Why a letter could not be written.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// There is no mail server.
    #[error("no emails are sent: set SMTP_URL")]
    Off,
    /// The letter could not be sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Returns how many of each kind wait, in words.
pub(super) fn counts(numbers: &[(&str, usize)]) -> String {
    let some = numbers.iter().filter(|(_, number)| *number > 0);
    let words: Vec<_> = some
        .map(|(word, number)| en::count(word, *number))
        .collect();
    words.join(", ")
}

/// Writes a letter.
fn write(to: &Email, name: &str, occasion: &Occasion<'_>) -> Letter {
    let words = en::words(occasion);
    let footer = en::footer(LetterKind::OPTIONAL.contains(&occasion.kind()));
    let mut text = words.lines.join("\n\n");
    let mut html = String::from("<!doctype html><html><body>");
    for line in &words.lines {
        html += &format!("<p>{}</p>", text::html(line));
    }
    if let Some((label, link)) = &words.link {
        text += &format!("\n\n{label}:\n{link}");
        let (label, link) = (text::html(label), text::html(link));
        html += &format!("<p><a href=\"{link}\">{label}</a></p>");
    }
    text += &format!("\n\n-- \n{footer}\n");
    html += &format!("<p><small>{}</small></p></body></html>", text::html(footer));
    Letter {
        to: to.to_string(),
        name: name.to_owned(),
        subject: words.subject,
        text,
        html,
    }
}

/// The service for letters.
pub struct Letters {
    stores: Repositories,
    vault: Arc<Vault>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    on: bool,
    /// The address of the service for people.
    address: Option<String>,
}

impl Letters {
    /// Creates the service. `on` says whether there is a mail server, `address` where people find
    /// the service.
    pub fn new(
        stores: Repositories,
        vault: Arc<Vault>,
        audit: Audit,
        clock: Arc<dyn Clock>,
        (on, address): (bool, Option<String>),
    ) -> Self {
        let address = address.map(|text| text.trim_end_matches('/').to_owned());
        Self {
            stores,
            vault,
            audit,
            clock,
            on,
            address,
        }
    }

    /// Checks whether letters are sent.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Returns the address of a page for people; `None` if the service does not know its own. It never
    /// comes from a request, because its sender could make letters lead to another server.
    pub fn page(&self, path: &str) -> Option<String> {
        Some(format!("{}{path}", self.address.as_ref()?))
    }

    /// Returns the letters that an account does not want.
    pub async fn off(&self, account: AccountId) -> Result<Vec<LetterKind>, StoreError> {
        let found = self.stores.mail_preferences.find(account).await?;
        Ok(found.map(|found| found.off).unwrap_or_default())
    }

    /// Sets the letters that an account does not want.
    pub async fn turn_off(
        &self,
        account: AccountId,
        off: Vec<LetterKind>,
    ) -> Result<(), StoreError> {
        let words: Vec<_> = off.iter().map(|kind| kind.as_str()).collect();
        let detail = Some(format!("off: {}", words.join(", ")));
        self.audit
            .record(Actor::Account(account), "account.mail", account, detail)
            .await?;
        let preferences = MailPreferences { account, off };
        self.stores.mail_preferences.put(&preferences).await
    }

    /// Sends an invitation; `link` is the whole address, which works once until a moment.
    ///
    /// # Errors
    /// [`LetterError::Off`] without a mail server: show the link instead.
    pub async fn invitation(
        &self,
        to: &Email,
        name: &str,
        link: &str,
        until: Timestamp,
    ) -> Result<(), LetterError> {
        self.invite(to, name, (link, true), until).await
    }

    /// Sends the link of an invitation to enroll one's own face, without an account.
    ///
    /// # Errors
    /// [`LetterError::Off`] without a mail server.
    pub async fn face_invitation(
        &self,
        to: &Email,
        name: &str,
        link: &str,
        until: Timestamp,
    ) -> Result<(), LetterError> {
        self.invite(to, name, (link, false), until).await
    }

    async fn invite(
        &self,
        to: &Email,
        name: &str,
        (link, account): (&str, bool),
        until: Timestamp,
    ) -> Result<(), LetterError> {
        let occasion = Occasion::Invitation {
            account,
            link,
            until: utc(until),
        };
        let letter = write(to, name, &occasion);
        self.queue(self.new_id(), LetterKind::Invitation, &letter, None)
            .await
    }

    /// Sends a link that sets a new password. It is tried for an hour only.
    ///
    /// # Errors
    /// [`LetterError::Off`] without a mail server.
    pub async fn reset(
        &self,
        account: &Account,
        link: &str,
        until: Timestamp,
    ) -> Result<(), LetterError> {
        let until = utc(until);
        let occasion = Occasion::Reset { link, until };
        self.to(account, self.new_id(), &occasion).await
    }

    /// Reports to an account that it was used in a browser that it had not used before.
    ///
    /// # Errors
    /// When the letter could not be written. Without a mail server nothing is done.
    pub async fn sign_in(
        &self,
        account: &Account,
        address: &str,
        browser: &str,
    ) -> Result<(), LetterError> {
        let (link, at) = (self.page("/"), utc(self.clock.now()));
        let occasion = Occasion::SignIn {
            at,
            address,
            browser,
            link: link.as_deref(),
        };
        match self.to(account, self.new_id(), &occasion).await {
            Err(LetterError::Off) => Ok(()),
            written => written,
        }
    }

    /// Tells an account that the way it signs in was changed. If the letter cannot be written, this is
    /// only logged, because the change is made.
    pub async fn security(&self, account: &Account, change: SecurityChange) {
        let (link, at) = (self.page("/account"), utc(self.clock.now()));
        let link = link.as_deref();
        let occasion = Occasion::Security { change, at, link };
        match self.to(account, self.new_id(), &occasion).await {
            Ok(()) | Err(LetterError::Off) => {}
            Err(error) => warn!(%error, "could not write a letter about a change of an account"),
        }
    }

    fn new_id(&self) -> DeliveryId {
        DeliveryId::new(self.clock.id())
    }

    /// Writes a letter to an account about a cause, once, if the account wants it.
    pub(super) async fn once(
        &self,
        account: &Account,
        cause: &str,
        occasion: &Occasion<'_>,
    ) -> Result<(), LetterError> {
        let id = id_of(&format!("mail:{}", account.id), cause);
        self.to(account, id, occasion).await
    }

    async fn to(
        &self,
        account: &Account,
        id: DeliveryId,
        occasion: &Occasion<'_>,
    ) -> Result<(), LetterError> {
        let kind = occasion.kind();
        if !account.active || self.off(account.id).await?.contains(&kind) {
            return Ok(());
        }
        let letter = write(&account.email, account.name.as_str(), occasion);
        self.queue(id, kind, &letter, account.access.employee())
            .await
    }

    /// Puts a letter into the outbox, unless it is there.
    async fn queue(
        &self,
        id: DeliveryId,
        kind: LetterKind,
        letter: &Letter,
        employee: Option<EmployeeId>,
    ) -> Result<(), LetterError> {
        if !self.on {
            return Err(LetterError::Off);
        }
        let now = self.clock.now();
        let plain = serde_json::to_vec(letter)
            .map_err(|_| StoreError::Corrupt("a letter cannot be encoded".to_owned()))?;
        let binding = Binding::Message(id);
        let sealed = self.vault.seal(self.clock.nonce(), &plain, &binding)?;
        let delivery = Delivery {
            id,
            channel: Channel::Mail,
            lane: id.to_string(),
            topic: kind.as_str().to_owned(),
            at: now,
            sequence: 0,
            employee,
            content: Content::Sealed(sealed),
            patience: match kind {
                LetterKind::Reset => ONE_HOUR,
                _ => THREE_DAYS,
            },
            state: DeliveryState::Waiting,
            due: Some(now),
            attempts: 0,
            first_attempt_at: None,
            status: None,
            error: None,
            ended_at: None,
        };
        self.stores.deliveries.add(&delivery).await?;
        Ok(())
    }

    /// Opens a letter in the outbox.
    pub(super) fn open(&self, id: DeliveryId, sealed: &Sealed) -> Option<Letter> {
        let plain = self.vault.open(sealed, &Binding::Message(id)).ok()?;
        serde_json::from_slice(&plain).ok()
    }
}

fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_says_the_same_in_text_and_html_and_cannot_contain_html() {
        let to = Email::parse("ann@example.org").unwrap();
        let occasion = Occasion::SignIn {
            at: "2026-11-29 08:00 UTC".to_owned(),
            address: "192.0.2.1",
            browser: "<script>alert('x')</script>",
            link: Some("https://rollcall.example/?a=1&b=\"2\""),
        };
        let letter = write(&to, "Ann", &occasion);
        assert!(
            letter
                .text
                .contains("Browser: <script>alert('x')</script>.")
        );
        assert!(!letter.html.contains("<script>"));
        assert!(letter.html.contains("&lt;script&gt;alert(&#39;x&#39;)"));
        assert!(
            letter
                .html
                .contains("href=\"https://rollcall.example/?a=1&amp;b=&quot;2&quot;\"")
        );
        assert!(
            letter
                .text
                .contains("https://rollcall.example/?a=1&b=\"2\"")
        );
    }

    #[test]
    fn what_waits_is_counted_in_words() {
        let numbers = [("missing_out", 0), ("correction", 1), ("leave", 2)];
        assert_eq!(counts(&numbers), "1 correction, 2 requests for leave");
        assert_eq!(counts(&[]), "");
    }
}
