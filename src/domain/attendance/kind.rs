//! The kinds of punches.

use crate::domain::words::words;

words! {
    /// The kind of a punch.
    PunchKind {
        /// Work begins.
        In = "in",
        /// Work ends.
        Out = "out",
        /// A break begins.
        BreakStart = "break_start",
        /// A break ends.
        BreakEnd = "break_end",
    }
}
