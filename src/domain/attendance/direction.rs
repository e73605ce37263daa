//! The kind of a punch that was made without one.

use jiff::Timestamp;

use super::{
    corrections::{Correction, TimedPunch, effective},
    kind::PunchKind,
    pairing::{State, Walk},
    time::{HOUR, local_date, whole_second},
    timeline::{Terms, Timeline},
};
use crate::domain::words::words;

words! {
    /// Why a punch has its kind.
    KindReason {
        /// The employee was away.
        Away = "away",
        /// The last in is too long ago.
        TooLongAgo = "too_long_ago",
        /// The punch is for another shift, and the out of the last one was forgotten.
        NextShift = "next_shift",
        /// The employee was on a break.
        OnBreak = "on_break",
        /// The employee was at work.
        Present = "present",
    }
}

/// Chooses the kind of a punch that does not say, when it arrives.
///
/// `punches` and `corrections` are what is on record by then; only punches whose time is before
/// `at` count. They must go back to before the last time at which the employee was surely away;
/// three days are enough with the default rules. The cooldown between punches comes before this.
pub fn direction(
    punches: &[TimedPunch],
    corrections: &[Correction],
    terms: Terms<'_>,
    at: Timestamp,
) -> (PunchKind, KindReason) {
    let at = whole_second(at);
    let mut before = effective(punches, corrections);
    before.retain(|punch| punch.at < at);
    let date = |at| local_date(terms.zone.time_zone(), at);
    let first = before.first().map_or(at, |punch| punch.at);
    let timeline = Timeline::new(terms, date(first), date(at));
    let mut walk = Walk::new(&timeline);
    for punch in before {
        walk.step(punch);
    }
    let State::There(span) = walk.state() else {
        return (PunchKind::In, KindReason::Away);
    };
    if at > span.limit {
        return (PunchKind::In, KindReason::TooLongAgo);
    }
    let place = walk.place(at);
    if let (Some(own), Some(other)) = (span.place.shift, place.shift)
        && own != other
        && (span.on_break.is_none() || place.day != span.place.day)
    {
        let (own, other) = (&timeline.shifts[own], &timeline.shifts[other]);
        let soon = other.start - HOUR <= at && at < other.end;
        if soon && at.abs_diff(other.start) < at.abs_diff(own.end) {
            return (PunchKind::In, KindReason::NextShift);
        }
    }
    if span.on_break.is_some() {
        (PunchKind::BreakEnd, KindReason::OnBreak)
    } else {
        (PunchKind::Out, KindReason::Present)
    }
}
