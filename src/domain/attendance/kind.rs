//! The kinds of punches.

use serde::{Deserialize, Serialize};

/// The kind of a punch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PunchKind {
    /// Work begins.
    In,
    /// Work ends.
    Out,
    /// A break begins.
    BreakStart,
    /// A break ends.
    BreakEnd,
}

impl PunchKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::In, Self::Out, Self::BreakStart, Self::BreakEnd];

    /// Returns the word in the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::BreakStart => "break_start",
            Self::BreakEnd => "break_end",
        }
    }

    /// Parses the result of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}
