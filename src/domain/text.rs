//! Short texts that people type: names, codes, site names, e-mail addresses. A value that
//! cannot be valid cannot be built.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// Why a text was refused; the message is fit to be shown beside the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing but white space.
    #[error("must not be empty")]
    Empty,
    /// Longer than allowed.
    #[error("must have at most {most} characters")]
    TooLong {
        /// The most characters that this kind of text may have.
        most: usize,
    },
    /// A control character, or one that turns the direction of the text around.
    #[error("must not contain control characters")]
    Control,
    /// Not of the form that this kind of text has.
    #[error("{0}")]
    Form(&'static str),
}

/// The one form of what looks alike: composed (Unicode NFC), white space as single blanks.
/// An `é` typed on one machine and one exported from another are then the same.
pub fn normal(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").nfc().collect()
}

/// Brings into the [normal] form, and refuses what is empty, too long, or holds control or bidirectional override characters.
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
            /// Checks and wraps a text; the error says what is wrong with it.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                let parse: fn(&str) -> Result<String, TextError> = $parse;
                parse(text).map(Self)
            }

            /// The text inside.
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
    /// What a person, device or pack is called; 1 to 120 characters.
    Name => |text| clean(text, 120);
    /// The number or short code that a site knows an employee by; 1 to 64 characters.
    Code => |text| clean(text, 64);
    /// The name of a site; 1 to 64 characters.
    SiteName => |text| clean(text, 64);
    /// An e-mail address, lower-cased: something, one `@`, a domain. Whether it is anybody's
    /// only a message can tell.
    Email => |text| {
        let text = clean(text, 254)?.to_lowercase();
        let valid = text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@')
        }) && !text.contains(char::is_whitespace);
        if valid { Ok(text) } else { Err(TextError::Form("must be an e-mail address")) }
    };
    /// The name of a go2rtc stream; 1 to 64 letters, digits, `_` and `-` of ASCII. go2rtc dials
    /// whatever else it is asked for, so nothing else is ever asked for.
    StreamName => |text| {
        let text = clean(text, 64)?;
        if text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') { Ok(text) }
        else { Err(TextError::Form("must be 1 to 64 letters, digits, - and _")) }
    };
    /// A client's idempotency key; 1 to 128 printable ASCII characters.
    IdempotencyKey => |text| {
        let text = clean(text, 128)?;
        if text.chars().all(|c| c.is_ascii_graphic()) { Ok(text) }
        else { Err(TextError::Form("must be 1 to 128 printable ASCII characters without spaces")) }
    };
}

impl Name {
    /// The form that lists are sorted and searched by: lower case.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

impl Code {
    /// The form that is unique: lower case, so that `E7` and `e7` are one code.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_is_one_text() {
        let composed = Name::parse("Zo\u{e9} K\u{f6}nig").unwrap();
        let apart = Name::parse("  Zoe\u{301}\u{a0} \u{2003}Ko\u{308}nig ").unwrap();
        assert_eq!(composed, apart);
        assert_eq!(
            Code::parse("e\u{301}  7").unwrap().key(),
            Code::parse("\u{c9} 7").unwrap().key()
        );
        // Counted as it is kept.
        assert!(Code::parse(&"e\u{301}".repeat(64)).is_ok());
        assert_eq!(
            Code::parse(&"e".repeat(65)),
            Err(TextError::TooLong { most: 64 })
        );
        assert_eq!(Name::parse("Two\nlines"), Err(TextError::Control));
        assert_eq!(Name::parse(" \u{a0} "), Err(TextError::Empty));
    }
}
