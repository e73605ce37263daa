//! Punches as the calculation reads them, and corrections of them.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::ids::PunchId;
use super::{
    kind::PunchKind,
    time::{Seconds, whole_second},
};

/// What the calculation needs of a punch. Its site, its device and its evidence play no part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedPunch {
    /// The ID.
    pub id: PunchId,
    /// The kind.
    pub kind: PunchKind,
    /// The time that counts.
    pub at: Timestamp,
}

/// An approved change of the record. A correction never changes a punch, and is never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Correction {
    /// A punch that was not made. Its ID is its own, so that it can be moved and voided itself.
    Add(TimedPunch),
    /// A punch that does not count, for good.
    Void {
        /// The punch.
        punch: PunchId,
    },
    /// A punch that counts at another time.
    Move {
        /// The punch.
        punch: PunchId,
        /// The time.
        at: Timestamp,
    },
}

/// A punch that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effective {
    pub at: Seconds,
    pub kind: PunchKind,
    pub id: PunchId,
}

/// Returns the punches that count in the order in which they count: by time, and at one instant
/// `break_end`, `out`, `in`, `break_start`. The ID only makes the order of equal ones certain.
pub(super) fn effective(punches: &[TimedPunch], corrections: &[Correction]) -> Vec<Effective> {
    let mut kept: Vec<Option<TimedPunch>> = punches.iter().copied().map(Some).collect();
    if !corrections.is_empty() {
        let numbered = punches.iter().enumerate();
        let mut places: HashMap<_, _> = numbered.map(|(place, punch)| (punch.id, place)).collect();
        for correction in corrections {
            match *correction {
                Correction::Add(punch) => {
                    places.insert(punch.id, kept.len());
                    kept.push(Some(punch));
                }
                Correction::Void { punch } => {
                    if let Some(place) = places.get(&punch) {
                        kept[*place] = None;
                    }
                }
                Correction::Move { punch, at } => {
                    let place = places.get(&punch);
                    if let Some(punch) = place.and_then(|place| kept[*place].as_mut()) {
                        punch.at = at;
                    }
                }
            }
        }
    }
    let counting = kept.into_iter().flatten().map(|punch| Effective {
        at: whole_second(punch.at),
        kind: punch.kind,
        id: punch.id,
    });
    let mut counting: Vec<_> = counting.collect();
    counting.sort_unstable_by_key(|punch| (punch.at, rank(punch.kind), punch.id));
    counting
}

/// Returns the place of a kind among punches of one instant.
fn rank(kind: PunchKind) -> u8 {
    match kind {
        PunchKind::BreakEnd => 0,
        PunchKind::Out => 1,
        PunchKind::In => 2,
        PunchKind::BreakStart => 3,
    }
}
