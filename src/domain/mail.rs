//! Letters by e-mail: their kinds, and which of them an account does not want.

use serde::{Deserialize, Serialize};

use super::{
    ids::AccountId,
    record::{About, Changes, Keys, Kind, Record},
};

/// A kind of letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterKind {
    /// An invitation to create an account.
    Invitation,
    /// A link that sets a new password.
    Reset,
    /// How the account signs in was changed.
    Security,
    /// The account signed in from a browser that it had not used before.
    SignIn,
    /// The person has not punched out.
    MissingOut,
    /// Something new waits for a decision.
    Waiting,
    /// What waits, once a day.
    Summary,
    /// The service disabled a webhook.
    WebhookDisabled,
}

impl LetterKind {
    /// The kinds that an account can turn off.
    pub const OPTIONAL: [Self; 5] = [
        Self::SignIn,
        Self::MissingOut,
        Self::Waiting,
        Self::Summary,
        Self::WebhookDisabled,
    ];

    /// Their words in the API.
    pub const WORDS: [&str; 5] = [
        "sign_in",
        "missing_out",
        "waiting",
        "summary",
        "webhook_disabled",
    ];

    /// Returns the word in the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::Reset => "reset",
            Self::Security => "security",
            Self::SignIn => "sign_in",
            Self::MissingOut => "missing_out",
            Self::Waiting => "waiting",
            Self::Summary => "summary",
            Self::WebhookDisabled => "webhook_disabled",
        }
    }

    /// Parses the word of an optional kind.
    pub fn parse(text: &str) -> Option<Self> {
        Self::OPTIONAL.into_iter().find(|one| one.as_str() == text)
    }
}

/// A change of how an account signs in, of which its person must hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityChange {
    /// A new password.
    Password,
    /// An app that shows one-time codes was added, or replaces another one.
    AppAdded,
    /// The app was removed.
    AppRemoved,
    /// A passkey was added.
    PasskeyAdded,
    /// A passkey was removed.
    PasskeyRemoved,
    /// A new set of recovery codes.
    RecoveryCodes,
    /// An admin removed all second factors.
    FactorsRemoved,
    /// An admin ended the link to a person at the identity provider.
    Unlinked,
    /// An API token was made.
    TokenMade,
}

/// The letters that an account does not want.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailPreferences {
    /// The account.
    pub account: AccountId,
    /// The kinds that are off.
    pub off: Vec<LetterKind>,
}

impl Record for MailPreferences {
    const KIND: &'static Kind =
        &Kind::archived("mail_preferences", "mail preference", &[]).changing(Changes::Audited);

    type Id = AccountId;

    fn id(&self) -> AccountId {
        self.account
    }

    fn keys(&self, _keys: &mut Keys) {}

    fn about(&self) -> About {
        About::NoEmployee
    }
}
