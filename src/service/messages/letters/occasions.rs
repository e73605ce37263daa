//! What letters are about, and what they are made of.

use crate::domain::mail::{LetterKind, SecurityChange};

/// The words of a letter.
pub struct Words {
    pub subject: String,
    /// Paragraphs.
    pub lines: Vec<String>,
    /// The text and the address of a link.
    pub link: Option<(String, String)>,
}

/// What a letter is about. Times are as people read them.
pub enum Occasion<'a> {
    Invitation {
        account: bool,
        link: &'a str,
        until: String,
    },
    Reset {
        link: &'a str,
        until: String,
    },
    Security {
        change: SecurityChange,
        at: String,
        link: Option<&'a str>,
    },
    SignIn {
        at: String,
        address: &'a str,
        browser: &'a str,
        link: Option<&'a str>,
    },
    MissingOut {
        day: String,
        ended: String,
        link: Option<&'a str>,
    },
    Waiting {
        counts: String,
        link: Option<&'a str>,
    },
    WebhookDisabled {
        name: &'a str,
        reason: &'a str,
        link: Option<&'a str>,
    },
    Summary {
        counts: String,
        names: Vec<String>,
        link: Option<&'a str>,
    },
}

impl Occasion<'_> {
    pub fn kind(&self) -> LetterKind {
        match self {
            Self::Invitation { .. } => LetterKind::Invitation,
            Self::Reset { .. } => LetterKind::Reset,
            Self::Security { .. } => LetterKind::Security,
            Self::SignIn { .. } => LetterKind::SignIn,
            Self::MissingOut { .. } => LetterKind::MissingOut,
            Self::Waiting { .. } => LetterKind::Waiting,
            Self::WebhookDisabled { .. } => LetterKind::WebhookDisabled,
            Self::Summary { .. } => LetterKind::Summary,
        }
    }
}
