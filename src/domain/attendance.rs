//! Punches: what they are, which workday they belong to, and what the next one means.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{
    biometrics::{ModelId, Similarity, Threshold},
    ids::{DeviceId, EmployeeId, PunchId},
    text::{IdempotencyKey, SiteName},
};

/// What a punch says.
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
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::In, Self::Out, Self::BreakStart, Self::BreakEnd];

    /// What a punch without a kind means after this one: somebody present leaves, somebody
    /// on a break comes back, somebody away comes in.
    pub fn next(self) -> Self {
        match self {
            Self::In | Self::BreakEnd => Self::Out,
            Self::Out => Self::In,
            Self::BreakStart => Self::BreakEnd,
        }
    }

    /// The word in the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::BreakStart => "break_start",
            Self::BreakEnd => "break_end",
        }
    }

    /// Reads what [`as_str`](Self::as_str) writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Whose clock the time of a punch comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockSource {
    /// The server's, when the sample arrived: the rule.
    Server,
    /// The device's, for a punch captured offline, believed within a bound.
    Device,
}

/// Where a punch came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PunchSource {
    /// A registered device posted a sample.
    Device,
    /// A camera that the service watches saw somebody.
    Camera,
}

impl PunchSource {
    /// The word in the API and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Camera => "camera",
        }
    }
}

/// An immutable clock event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Punch {
    /// Identity.
    pub id: PunchId,
    /// Whose.
    pub employee: EmployeeId,
    /// In, out, break start, break end.
    pub kind: PunchKind,
    /// The time that counts.
    pub at: Timestamp,
    /// When the server wrote it.
    pub recorded_at: Timestamp,
    /// Whose clock `at` comes from.
    pub clock: ClockSource,
    /// When the device says it captured the sample offline, believed or not.
    pub captured_at: Option<Timestamp>,
    /// The business date it belongs to.
    pub workday: Date,
    /// Where the device stands.
    pub site: Option<SiteName>,
    /// Where it came from.
    pub source: PunchSource,
    /// The device that posted it, or the camera that saw it, under the camera's identity.
    pub device: DeviceId,
    /// Why the face was taken for this employee.
    pub evidence: Evidence,
    /// The client's key for the request, with the request it was for: unique for a device.
    pub request: Option<RequestKey>,
    /// The employee's punches numbered from 1 in the order in which they were written. Unique
    /// for an employee, so of two punches decided on the same past only one can be written.
    pub sequence: u64,
}

/// The numbers behind a punch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// How alike.
    pub similarity: Similarity,
    /// What was needed.
    pub threshold: Threshold,
    /// Lead over the runner-up; `None` without one.
    pub margin: Option<f32>,
    /// Probability of a live person, 0..1; `None` without a liveness model.
    pub liveness: Option<f32>,
    /// The embedding model.
    pub model: ModelId,
    /// How many frames the probe was made of.
    pub frames: u8,
    /// Which look it was.
    pub look: u8,
}

/// A client's idempotency key and the SHA-256 of the request that first used it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestKey {
    /// The key.
    pub key: IdempotencyKey,
    /// Hexadecimal SHA-256 of everything in the request that matters.
    pub fingerprint: String,
}

/// What to do with a punch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PunchDecision {
    /// Write it.
    Accept(PunchKind),
    /// So soon after another that it says nothing new.
    Duplicate {
        /// The punch that counts.
        of: PunchId,
    },
}

/// When a workday begins, in which time zone.
#[derive(Debug, Clone)]
pub struct WorkdayRule {
    /// The site's time zone.
    pub zone: TimeZone,
    /// How long after midnight the business date changes, so that a late shift's end belongs to its beginning.
    pub starts: SignedDuration,
}

impl WorkdayRule {
    /// The business date of a moment.
    pub fn workday(&self, at: Timestamp) -> Date {
        let local = at.to_zoned(self.zone.clone()).datetime();
        local.checked_sub(self.starts).unwrap_or(local).date()
    }
}

/// When a sample was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time that counts.
    pub at: Timestamp,
    /// Whose clock it comes from.
    pub clock: ClockSource,
    /// When the device says it captured the sample, believed or not.
    pub captured_at: Option<Timestamp>,
}

impl Moment {
    /// The moment of a sample that arrived just now. What the device says of an offline
    /// capture counts when [`believe`] believes it; otherwise the server's clock does.
    pub fn of(
        now: Timestamp,
        captured_at: Option<Timestamp>,
        last_synchronised: Option<Timestamp>,
    ) -> Self {
        let believed = captured_at.and_then(|at| believe(at, now, last_synchronised).ok());
        let clock = if believed.is_some() {
            ClockSource::Device
        } else {
            ClockSource::Server
        };
        Self {
            at: believed.unwrap_or(now),
            clock,
            captured_at,
        }
    }

    /// How long after a punch this is. Two offline captures whose device has a wrong clock
    /// arrive together, but that clock still tells how far apart they were.
    fn since(&self, punch: &Punch, device: DeviceId) -> SignedDuration {
        match (punch.captured_at, self.captured_at) {
            (Some(then), Some(now))
                if (punch.clock, self.clock) == (ClockSource::Server, ClockSource::Server)
                    && punch.device == device =>
            {
                now.duration_since(then).abs()
            }
            _ => self.at.duration_since(punch.at),
        }
    }
}

/// Decides what a sample of a known person means.
///
/// `last` is their last punch before the moment, or, for an offline capture, one within the
/// cooldown after it. The cooldown holds in any case; a wanted kind holds otherwise; without one the punch opens the workday, or answers the last one in it.
pub fn decide(
    last: Option<&Punch>,
    moment: Moment,
    device: DeviceId,
    workday: Date,
    wanted: Option<PunchKind>,
    cooldown: SignedDuration,
) -> PunchDecision {
    let Some(last) = last else {
        return PunchDecision::Accept(wanted.unwrap_or(PunchKind::In));
    };
    if moment.since(last, device) < cooldown {
        return PunchDecision::Duplicate { of: last.id };
    }
    let following = if last.workday == workday {
        last.kind.next()
    } else {
        PunchKind::In
    };
    PunchDecision::Accept(wanted.unwrap_or(following))
}

/// How far back a device's own clock is believed.
pub const OFFLINE_BOUND: SignedDuration = SignedDuration::from_hours(72);

/// Why a device's time is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// Later than now.
    #[error("captured_at lies in the future: set the device's clock")]
    Future,
    /// Longer ago than [`OFFLINE_BOUND`].
    #[error("captured_at lies more than 72 hours back")]
    TooOld,
    /// Before a punch of this device that the server saw happen.
    #[error("captured_at lies before this device's last synchronised punch")]
    BeforeLast,
}

/// The clocks of honest devices differ a little.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

/// Checks the time that a device says it captured a sample at. `last_synchronised` is the last
/// punch of the device that carries the server's time. A few seconds ahead count as now.
pub fn believe(
    captured_at: Timestamp,
    now: Timestamp,
    last_synchronised: Option<Timestamp>,
) -> Result<Timestamp, ClockError> {
    let age = now.duration_since(captured_at);
    if age < -SKEW {
        return Err(ClockError::Future);
    }
    if age > OFFLINE_BOUND {
        return Err(ClockError::TooOld);
    }
    if last_synchronised.is_some_and(|last| captured_at < last) {
        return Err(ClockError::BeforeLast);
    }
    Ok(captured_at.min(now))
}

#[cfg(test)]
mod tests {
    use jiff::{ToSpan, civil};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const COOLDOWN: SignedDuration = SignedDuration::from_secs(60);

    fn device(number: u128) -> DeviceId {
        DeviceId::new(Uuid::from_u128(number))
    }

    fn rule(zone: &str) -> WorkdayRule {
        WorkdayRule {
            zone: TimeZone::get(zone).unwrap(),
            starts: SignedDuration::from_hours(4),
        }
    }

    /// Noon UTC of a day in winter, and so many seconds on.
    fn at(seconds: i64) -> Timestamp {
        "2026-01-15T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }

    fn live(seconds: i64) -> Moment {
        Moment::of(at(seconds), None, None)
    }

    fn punch(kind: PunchKind, moment: Moment, sequence: u64) -> Punch {
        Punch {
            id: PunchId::new(Uuid::from_u128(sequence.into())),
            employee: EmployeeId::new(Uuid::from_u128(1)),
            kind,
            at: moment.at,
            recorded_at: moment.at,
            clock: moment.clock,
            captured_at: moment.captured_at,
            workday: rule("UTC").workday(moment.at),
            site: None,
            source: PunchSource::Device,
            device: device(1),
            evidence: Evidence {
                similarity: Similarity::new(0.99).unwrap(),
                threshold: Threshold::new(0.95).unwrap(),
                margin: None,
                liveness: None,
                model: ModelId::new("m"),
                frames: 1,
                look: 1,
            },
            request: None,
            sequence,
        }
    }

    fn decide_utc(
        last: Option<&Punch>,
        moment: Moment,
        wanted: Option<PunchKind>,
    ) -> PunchDecision {
        decide(
            last,
            moment,
            device(1),
            rule("UTC").workday(moment.at),
            wanted,
            COOLDOWN,
        )
    }

    /// Punches somebody at each moment, as the service does.
    fn replay(moments: impl IntoIterator<Item = (i64, Option<PunchKind>)>) -> Vec<Punch> {
        let mut punches: Vec<Punch> = Vec::new();
        for (seconds, wanted) in moments {
            if let PunchDecision::Accept(kind) = decide_utc(punches.last(), live(seconds), wanted) {
                punches.push(punch(kind, live(seconds), punches.len() as u64 + 1));
            }
        }
        punches
    }

    fn any_kind() -> impl Strategy<Value = PunchKind> {
        prop::sample::select(PunchKind::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn a_repeat_inside_the_cooldown_never_counts(
            kind in any_kind(), wanted in prop::option::of(any_kind()), after in 0i64..60,
        ) {
            let last = punch(kind, live(0), 1);
            let decision = decide_utc(Some(&last), live(after), wanted);
            prop_assert_eq!(decision, PunchDecision::Duplicate { of: last.id });
        }

        #[test]
        fn after_the_cooldown_a_wanted_kind_is_what_it_is(
            kind in any_kind(), wanted in any_kind(), after in 60i64..1_000_000,
        ) {
            let last = punch(kind, live(0), 1);
            prop_assert_eq!(decide_utc(Some(&last), live(after), Some(wanted)), PunchDecision::Accept(wanted));
        }

        #[test]
        fn punches_of_a_workday_alternate_and_begin_with_in(gaps in prop::collection::vec(0i64..20_000, 1..60)) {
            let moments = gaps.iter().scan(0, |time, gap| { *time += gap; Some((*time, None)) });
            let punches = replay(moments);
            for day in punches.chunk_by(|a, b| a.workday == b.workday) {
                let kinds: Vec<_> = day.iter().map(|punch| punch.kind).collect();
                let expected: Vec<_> = [PunchKind::In, PunchKind::Out].into_iter().cycle().take(day.len()).collect();
                prop_assert_eq!(kinds, expected);
            }
            for pair in punches.windows(2) {
                prop_assert!(pair[1].at.duration_since(pair[0].at) >= COOLDOWN);
            }
        }

        #[test]
        fn a_break_that_began_ends(after in 60i64..20_000) {
            let punches = replay([(0, None), (100, Some(PunchKind::BreakStart)), (100 + after, None)]);
            prop_assert_eq!(punches[2].kind, PunchKind::BreakEnd);
        }

        #[test]
        fn a_device_is_believed_within_the_bound_only(age in -100_000i64..400_000, last in prop::option::of(-400_000i64..0)) {
            let (now, captured) = (at(0), at(-age));
            let moment = Moment::of(now, Some(captured), last.map(at));
            let believable = age >= -5 && age <= OFFLINE_BOUND.as_secs() && last.is_none_or(|last| -age >= last);
            prop_assert_eq!(moment.clock == ClockSource::Device, believable);
            prop_assert_eq!(moment.at, if believable { captured.min(now) } else { now });
            prop_assert_eq!(moment.captured_at, Some(captured));
            prop_assert!(moment.at <= now);
        }
    }

    #[test]
    fn a_new_workday_begins_with_in_even_after_a_forgotten_out() {
        let punches = replay([(0, None), (86_400, None)]);
        assert_eq!(
            punches.iter().map(|punch| punch.kind).collect::<Vec<_>>(),
            [PunchKind::In, PunchKind::In]
        );
    }

    #[test]
    fn captures_of_a_device_with_a_wrong_clock_are_still_told_apart() {
        // Two captures, nine hours apart on a clock that is weeks off, arrive within a second.
        let weeks = SignedDuration::from_hours(24 * 30);
        let morning = Moment::of(at(0), Some(at(0) - weeks), None);
        let evening = Moment::of(
            at(1),
            Some(at(0) - weeks + SignedDuration::from_hours(9)),
            None,
        );
        assert_eq!(
            (morning.clock, evening.clock),
            (ClockSource::Server, ClockSource::Server)
        );
        let first = punch(PunchKind::In, morning, 1);
        assert_eq!(
            decide_utc(Some(&first), evening, None),
            PunchDecision::Accept(PunchKind::Out)
        );
        let again = Moment::of(at(1), Some(at(20) - weeks), None);
        assert_eq!(
            decide_utc(Some(&first), again, None),
            PunchDecision::Duplicate { of: first.id }
        );
    }

    #[test]
    fn an_offline_capture_just_before_a_punch_is_that_punch() {
        let later = punch(PunchKind::In, live(0), 1);
        let offline = Moment::of(at(30), Some(at(-20)), None);
        assert_eq!(
            decide_utc(Some(&later), offline, None),
            PunchDecision::Duplicate { of: later.id }
        );
    }

    #[test]
    fn the_workday_is_that_of_the_site_and_begins_at_four() {
        let berlin = rule("Europe/Berlin");
        let day = |text: &str| berlin.workday(text.parse().unwrap());
        assert_eq!(day("2026-01-15T02:59:59Z"), civil::date(2026, 1, 14));
        assert_eq!(day("2026-01-15T03:00:00Z"), civil::date(2026, 1, 15));
        // The night in which clocks go forward has 23 hours; the day still begins at 4 on the wall.
        assert_eq!(day("2026-03-29T01:59:59Z"), civil::date(2026, 3, 28));
        assert_eq!(day("2026-03-29T02:00:00Z"), civil::date(2026, 3, 29));
        assert_eq!(
            rule("UTC").workday("2026-01-15T03:59:59Z".parse().unwrap()),
            civil::date(2026, 1, 14)
        );
        let next = civil::date(2026, 1, 15).checked_add(1.day()).unwrap();
        assert_eq!(
            rule("UTC").workday("2026-01-16T04:00:00Z".parse().unwrap()),
            next
        );
    }
}
