//! Short texts that people type: names, codes, site names, email addresses. An invalid value cannot
//! be built.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::ids::EmployeeId;

/// Why a text is invalid. The message can be shown beside the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It is empty, or only whitespace.
    #[error("must not be empty")]
    Empty,
    /// It is too long.
    #[error("must have at most {most} characters")]
    TooLong {
        /// Maximum number of characters.
        most: usize,
    },
    /// It contains a control character, or one that changes the direction of the text.
    #[error("must not contain control characters")]
    Control,
    /// It is not an email address.
    #[error("must be an email address")]
    NotAnEmail,
    /// It is not a valid name of a go2rtc stream.
    #[error("must be 1 to 64 letters, digits, - and _")]
    NotAStreamName,
    /// It is not a valid idempotency key.
    #[error("must be 1 to 128 printable ASCII characters without spaces")]
    NotAnIdempotencyKey,
}

/// Returns a text with the special characters of HTML and XML replaced.
pub fn html(text: &str) -> String {
    text.chars().fold(String::new(), |mut html, c| {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
        html
    })
}

/// Normalizes a text, so that texts that look the same are the same: Unicode NFC, with single
/// spaces as whitespace.
pub fn normal(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").nfc().collect()
}

/// [Normalizes](normal) a text. Fails if it is empty, too long, or contains control or
/// bidirectional override characters.
fn clean(text: &str, most: usize) -> Result<String, TextError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    let overrides = |c: char| matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    if text.chars().any(|c| c.is_control() || overrides(c)) {
        return Err(TextError::Control);
    }
    let text = normal(text);
    if text.chars().count() > most {
        return Err(TextError::TooLong { most });
    }
    Ok(text)
}

macro_rules! text {
    ($($(#[$doc:meta])* $name:ident => $parse:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and normalizes a text.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                let parse: fn(&str) -> Result<String, TextError> = $parse;
                parse(text).map(Self)
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = TextError;

            fn try_from(text: String) -> Result<Self, TextError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

text! {
    /// The name of a person, device or pack; 1 to 120 characters.
    Name => |text| clean(text, 120);
    /// The number or short code of an employee; 1 to 64 characters.
    Code => |text| clean(text, 64);
    /// The version of a program; 1 to 64 characters.
    Version => |text| clean(text, 64);
    /// The name of a site; 1 to 64 characters.
    SiteName => |text| clean(text, 64);
    /// An email address in lowercase: a local part, one `@`, a domain. Whether it exists is not
    /// checked.
    Email => |text| {
        let text = clean(text, 254)?.to_lowercase();
        let valid = text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@')
        }) && !text.contains(char::is_whitespace);
        if valid { Ok(text) } else { Err(TextError::NotAnEmail) }
    };
    /// The name of a go2rtc stream; 1 to 64 ASCII letters, digits, `_` and `-`. go2rtc would
    /// connect to any other text as an address, so no other text may reach it.
    StreamName => |text| {
        let text = clean(text, 64)?;
        if text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') { Ok(text) }
        else { Err(TextError::NotAStreamName) }
    };
    /// Why a user writes or changes a punch by hand; 1 to 500 characters.
    Reason => |text| clean(text, 500);
    /// A client's idempotency key; 1 to 128 printable ASCII characters.
    IdempotencyKey => |text| {
        let text = clean(text, 128)?;
        if text.chars().all(|c| c.is_ascii_graphic()) { Ok(text) }
        else { Err(TextError::NotAnIdempotencyKey) }
    };
}

impl Reason {
    /// Returns the reason of what comes from a list and has no other one.
    pub fn import() -> Self {
        Self("Imported from a list".to_owned())
    }

    /// Returns the reason of a punch that was taken back at the kiosk.
    pub fn not_me() -> Self {
        Self("At the kiosk: this is not me".to_owned())
    }
}

impl Name {
    /// Returns the name of an employee who was erased.
    pub fn erased() -> Self {
        Self("Erased".to_owned())
    }

    /// Returns the name in lowercase, for sorting and searching.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

impl SiteName {
    /// Returns the name with which the default site is made.
    pub fn main() -> Self {
        Self("Main site".to_owned())
    }

    /// Returns the name in lowercase, which is unique and sorts lists.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

impl Code {
    /// Returns the code of an employee who was erased.
    pub fn erased(id: EmployeeId) -> Self {
        Self(format!("erased {id}"))
    }

    /// Returns the code in lowercase, which is unique: `E7` and `e7` are the same code.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_look_the_same_are_equal() {
        let composed = Name::parse("Zo\u{e9} K\u{f6}nig").unwrap();
        let apart = Name::parse("  Zoe\u{301}\u{a0} \u{2003}Ko\u{308}nig ").unwrap();
        assert_eq!(composed, apart);
        assert_eq!(
            Code::parse("e\u{301}  7").unwrap().key(),
            Code::parse("\u{c9} 7").unwrap().key()
        );
        // The length is counted after normalization.
        assert!(Code::parse(&"e\u{301}".repeat(64)).is_ok());
        assert_eq!(
            Code::parse(&"e".repeat(65)),
            Err(TextError::TooLong { most: 64 })
        );
        assert_eq!(Name::parse("Two\nlines"), Err(TextError::Control));
        assert_eq!(Name::parse(" \u{a0} "), Err(TextError::Empty));
    }
}
