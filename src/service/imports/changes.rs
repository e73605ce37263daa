//! What lists write.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::{
    attendance::{RequestedCorrection, Timesheet},
    balances::BalanceEntry,
    employees::EmployeeSettings,
    plans::{Assignment, Entry, HolidayCalendar, Leave, ShiftKind},
};

/// What rows of a list write: one record.
pub(super) enum Change {
    Employee(EmployeeSettings),
    Shift(ShiftKind),
    Calendar {
        old: Option<Entry<HolidayCalendar>>,
        new: HolidayCalendar,
    },
    Assignment(Assignment),
    Leave(Leave),
    Opening(BalanceEntry),
    Punches(Timesheet, Vec<RequestedCorrection>),
}

/// A change, and how many rows it is of.
pub(super) struct Planned {
    pub(super) rows: u64,
    pub(super) change: Change,
}

impl Planned {
    pub(super) fn row(change: Change) -> Self {
        Self { rows: 1, change }
    }
}

/// Returns the ID of the record that has some content: a UUIDv7 of a moment of the content, so that
/// an import at the same moment, or after a failure, writes no second one.
pub(super) fn id_of(moment: Timestamp, content: &[&str]) -> Uuid {
    let digest = content.iter().fold(Sha256::new(), |digest, text| {
        digest.chain_update(text).chain_update([0])
    });
    let mut random = [0; 10];
    for (byte, of_digest) in random.iter_mut().zip(digest.finalize()) {
        *byte = of_digest;
    }
    let milliseconds = u64::try_from(moment.as_millisecond()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid()
}
