//! Enums whose values are words in the API, the store, logs and metrics.

/// A text is none of the words of an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAWord {
    /// The words.
    pub words: &'static [&'static str],
}

/// Declares enums with the word of each value.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $word:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(
            Debug,
            Clone,
            Copy,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            Hash,
            serde::Serialize,
            serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$case_doc])* #[serde(rename = $word)] $case,)+
        }

        impl $name {
            /// All values.
            pub const ALL: [Self; Self::WORDS.len()] = [$(Self::$case),+];
            /// The words of all values, in the same order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// Returns the word.
            pub fn as_str(self) -> &'static str {
                Self::WORDS[self as usize]
            }

            /// Returns the value with a word.
            ///
            /// # Errors
            /// [`NotAWord`](crate::domain::words::NotAWord) if there is none.
            pub fn parse(text: &str) -> Result<Self, $crate::domain::words::NotAWord> {
                let found = Self::ALL.into_iter().find(|value| value.as_str() == text);
                found.ok_or($crate::domain::words::NotAWord { words: Self::WORDS })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}

pub(crate) use words;
