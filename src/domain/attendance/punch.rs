//! Punches: their records, the rules for their kinds when they are made, and the trust in device
//! clocks.

use std::fmt;

use jiff::{SignedDuration, Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::{
    biometrics::{ModelId, Similarity, Threshold},
    grants::{Place, Placed},
    ids::{AccountId, CameraId, DeviceId, EmployeeId, PunchId, SiteId},
    record::{About, Index, KeyPart, Keys, Kind, OnErase, Record, uuids_in},
    sites::Site,
    text::{IdempotencyKey, Reason},
};
use super::{corrections::TimedPunch, kind::PunchKind};

/// The clock from which the time of a punch comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockSource {
    /// The server's clock when the sample arrived, which is the rule.
    Server,
    /// The device's clock, for a punch captured offline, if its time is plausible.
    Device,
}

/// What recorded a punch or took a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Origin {
    /// A registered device, which sent a sample.
    Device(DeviceId),
    /// A camera that the service watches.
    Camera(CameraId),
    /// An account, whose user wrote or imported the punch.
    Account(AccountId),
}

impl Origin {
    /// Returns the word for the kind in the API and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device(_) => "device",
            Self::Camera(_) => "camera",
            Self::Account(_) => "account",
        }
    }

    /// Returns the ID of the device, camera or account.
    pub fn uuid(self) -> Uuid {
        match self {
            Self::Device(id) => id.uuid(),
            Self::Camera(id) => id.uuid(),
            Self::Account(id) => id.uuid(),
        }
    }
}

/// Writes the kind and the ID: `device:0199f3a0-…`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.as_str(), self.uuid())
    }
}

impl KeyPart for Origin {
    fn write_part(&self, text: &mut String) {
        text.push_str(self.as_str());
        text.push(':');
        self.uuid().write_part(text);
    }
}

/// How the employee of a punch was established.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Proof {
    /// The face was recognized.
    Face(Evidence),
    /// The employee typed their PIN.
    Pin,
    /// The employee held their badge to a reader.
    Badge,
    /// A user wrote the punch by hand.
    Manual {
        /// Why the punch was written by hand.
        reason: Reason,
    },
    /// The punch comes from another system.
    Import,
}

impl Proof {
    /// Returns the word for the kind in the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Face(_) => "face",
            Self::Pin => "pin",
            Self::Badge => "badge",
            Self::Manual { .. } => "manual",
            Self::Import => "import",
        }
    }

    /// Returns the evidence of the recognition; `None` unless the proof is a face.
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Face(evidence) => Some(evidence),
            Self::Pin | Self::Badge | Self::Manual { .. } | Self::Import => None,
        }
    }
}

/// An immutable clock event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Punch {
    /// The ID.
    pub id: PunchId,
    /// The employee.
    pub employee: EmployeeId,
    /// The kind.
    pub kind: PunchKind,
    /// The time that counts.
    pub at: Timestamp,
    /// When the server wrote the punch.
    pub recorded_at: Timestamp,
    /// The clock from which `at` comes.
    pub clock: ClockSource,
    /// When the device claims to have captured the sample offline, plausible or not.
    pub captured_at: Option<Timestamp>,
    /// The business date of the punch, by the rules of the site when it was written.
    pub workday: Date,
    /// The site of the device or camera when the punch was made.
    pub site: SiteId,
    /// What recorded the punch.
    pub origin: Origin,
    /// How the employee was established.
    pub proof: Proof,
    /// The client's key and the request it was used for; unique per origin.
    pub request: Option<RequestKey>,
    /// The number of the punch among those of the employee, from 1 in the order of writing. It is
    /// unique per employee. So of two punches that were decided on the same history, only one is
    /// written.
    pub sequence: u64,
}

impl Punch {
    /// Punches by origin and request key.
    pub const BY_REQUEST: Index = Index::unique("by_request");
    /// Punches of an employee, in the order of writing.
    pub const BY_SEQUENCE: Index = Index::unique("by_sequence");
    /// Punches of an employee, by time.
    pub const BY_EMPLOYEE: Index = Index::ordered("by_employee");
    /// Punches of an origin, by time.
    pub const BY_ORIGIN: Index = Index::ordered("by_origin");
    /// Punches of an origin with the server's time, by time.
    pub const SYNCHRONIZED: Index = Index::ordered("synchronized");
    /// Punches at a site, by time.
    pub const BY_SITE: Index = Index::ordered("by_site");
    /// All punches, by time.
    pub const BY_TIME: Index = Index::ordered("by_time");
    /// All punches, by the time of writing.
    pub const BY_RECORDING: Index = Index::ordered("by_recording");
}

impl From<&Punch> for TimedPunch {
    fn from(punch: &Punch) -> Self {
        Self {
            id: punch.id,
            kind: punch.kind,
            at: punch.at,
        }
    }
}

impl Placed for Punch {
    fn place(&self) -> Place {
        Place {
            site: self.site,
            employee: Some(self.employee),
        }
    }
}

impl Record for Punch {
    const KIND: &'static Kind = &Kind::archived(
        "punches",
        "punch",
        &[
            Self::BY_REQUEST,
            Self::BY_SEQUENCE,
            Self::BY_EMPLOYEE,
            Self::BY_ORIGIN,
            Self::SYNCHRONIZED,
            Self::BY_SITE,
            Self::BY_TIME,
            Self::BY_RECORDING,
        ],
    );

    type Id = PunchId;

    fn id(&self) -> PunchId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        let employee = self.employee.uuid();
        if let Some(request) = &self.request {
            keys.add(Self::BY_REQUEST, (self.origin, request.key.as_str()));
        }
        keys.add(Self::BY_SEQUENCE, (employee, self.sequence));
        keys.add(Self::BY_EMPLOYEE, (employee, self.at));
        keys.add(Self::BY_ORIGIN, (self.origin, self.at));
        if self.clock == ClockSource::Server {
            keys.add(Self::SYNCHRONIZED, (self.origin, self.at));
        }
        keys.add(Self::BY_SITE, (self.site.uuid(), self.at));
        keys.add(Self::BY_TIME, (self.at,));
        keys.add(Self::BY_RECORDING, (self.recorded_at,));
    }

    fn about(&self) -> About {
        About::employee(self.employee, OnErase::DeleteAttendance)
    }
}

/// The answer to a request that wrote no punch, kept so that a retry gets it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// The device that sent the request.
    pub origin: Origin,
    /// The client's key and the request it was used for.
    pub request: RequestKey,
    /// The answer, JSON.
    pub answer: String,
    /// When the request was answered.
    pub at: Timestamp,
}

impl KeptAnswer {
    /// All answers, by time.
    pub const BY_TIME: Index = Index::ordered("by_time");

    /// Returns the ID of the answer to an origin's request.
    pub fn id_of(origin: Origin, key: &IdempotencyKey) -> String {
        format!("{origin}:{key}")
    }
}

impl Record for KeptAnswer {
    const KIND: &'static Kind =
        &Kind::archived("kept_answers", "kept answer", &[Self::BY_TIME]).aging(Self::BY_TIME);

    type Id = String;

    fn id(&self) -> String {
        Self::id_of(self.origin, &self.request.key)
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_TIME, (self.at,));
    }

    fn about(&self) -> About {
        About::Employees {
            ids: uuids_in(&self.answer).map(EmployeeId::new).collect(),
            erase: OnErase::Delete,
        }
    }
}

/// The numbers behind a recognized face.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The similarity.
    pub similarity: Similarity,
    /// The similarity that was needed.
    pub threshold: Threshold,
    /// The lead over the second candidate; `None` without one.
    pub margin: Option<f32>,
    /// Probability of a live person, 0..1; `None` without a liveness model.
    pub liveness: Option<f32>,
    /// The embedding model.
    pub model: ModelId,
    /// Number of frames in the probe.
    pub frames: u8,
    /// The number of the look.
    pub look: u8,
}

/// A client's idempotency key and the request that first used it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestKey {
    /// The key.
    pub key: IdempotencyKey,
    /// Hexadecimal SHA-256 of all relevant parts of the request.
    pub fingerprint: String,
}

/// The decision on a punch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PunchDecision {
    /// Write a punch of this kind.
    Accept(PunchKind),
    /// Write nothing, because the punch repeats an earlier one.
    Duplicate {
        /// The punch that counts.
        of: PunchId,
    },
}

/// When a sample was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time that counts.
    pub at: Timestamp,
    /// The clock from which it comes.
    pub clock: ClockSource,
    /// When the device claims to have captured the sample, plausible or not.
    pub captured_at: Option<Timestamp>,
}

impl Moment {
    /// Returns the moment of a sample that has just arrived. The device's time counts if
    /// [`believe`] accepts it, otherwise the server's.
    pub fn of(
        now: Timestamp,
        captured_at: Option<Timestamp>,
        last_synchronized: Option<Timestamp>,
    ) -> Self {
        let believed = captured_at.and_then(|at| believe(at, now, last_synchronized).ok());
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

    /// Returns the time since a punch. If two offline captures of a device with a wrong clock
    /// arrive together, the difference on that clock is right.
    fn since(&self, punch: &Punch, origin: Origin) -> SignedDuration {
        match (punch.captured_at, self.captured_at) {
            (Some(then), Some(now))
                if (punch.clock, self.clock) == (ClockSource::Server, ClockSource::Server)
                    && punch.origin == origin =>
            {
                now.duration_since(then).abs()
            }
            _ => self.at.duration_since(punch.at),
        }
    }
}

/// Decides on a punch of a known person.
///
/// `last` is the person's last punch before the moment, or, for an offline capture, a punch within
/// the cooldown after it. Within the cooldown, the punch is a duplicate. Otherwise it gets the
/// wanted kind. Without one, it opens the workday or follows the last punch in it. Workdays are
/// those of the site of this punch, even if the last punch was at another site.
pub fn decide(
    last: Option<&Punch>,
    moment: Moment,
    origin: Origin,
    site: &Site,
    wanted: Option<PunchKind>,
    cooldown: SignedDuration,
) -> PunchDecision {
    let Some(last) = last else {
        return PunchDecision::Accept(wanted.unwrap_or(PunchKind::In));
    };
    if moment.since(last, origin) < cooldown {
        return PunchDecision::Duplicate { of: last.id };
    }
    let following = if site.workday(last.at) == site.workday(moment.at) {
        last.kind.next()
    } else {
        PunchKind::In
    };
    PunchDecision::Accept(wanted.unwrap_or(following))
}

/// Maximum age of an offline capture.
pub const OFFLINE_BOUND: SignedDuration = SignedDuration::from_hours(72);

/// Why the time of a device is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// The time is in the future.
    #[error("captured_at is in the future: set the clock of the device")]
    Future,
    /// Longer ago than [`OFFLINE_BOUND`].
    #[error("captured_at is more than 72 hours ago")]
    TooOld,
    /// The time is before a punch of this device with the server's time.
    #[error("captured_at is before the last synchronized punch of this device")]
    BeforeLast,
}

/// Accepted difference between the clocks of the device and the server.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

/// Checks the time at which a device claims to have captured a sample. `last_synchronized` is the
/// device's last punch with the server's time. A time a few seconds ahead counts as now.
pub fn believe(
    captured_at: Timestamp,
    now: Timestamp,
    last_synchronized: Option<Timestamp>,
) -> Result<Timestamp, ClockError> {
    let age = now.duration_since(captured_at);
    if age < -SKEW {
        return Err(ClockError::Future);
    }
    if age > OFFLINE_BOUND {
        return Err(ClockError::TooOld);
    }
    if last_synchronized.is_some_and(|last| captured_at < last) {
        return Err(ClockError::BeforeLast);
    }
    Ok(captured_at.min(now))
}

#[cfg(test)]
mod tests {
    use jiff::civil;
    use proptest::prelude::*;
    use serde_json::json;

    use super::{
        super::super::{record::Key, sites::Zone},
        *,
    };

    const COOLDOWN: SignedDuration = SignedDuration::from_secs(60);

    fn device(number: u128) -> Origin {
        Origin::Device(DeviceId::new(Uuid::from_u128(number)))
    }

    /// Makes a site in UTC whose workday begins at 4.
    fn site() -> Site {
        Site::default_site(Zone::UTC, civil::time(4, 0, 0, 0), at(0))
    }

    /// Returns a moment some seconds after noon UTC of a day in winter.
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
            workday: site().workday(moment.at),
            site: SiteId::DEFAULT,
            origin: device(1),
            proof: Proof::Face(Evidence {
                similarity: Similarity::new(0.99).unwrap(),
                threshold: Threshold::new(0.95).unwrap(),
                margin: None,
                liveness: None,
                model: ModelId::new("m"),
                frames: 1,
                look: 1,
            }),
            request: None,
            sequence,
        }
    }

    fn decide_utc(
        last: Option<&Punch>,
        moment: Moment,
        wanted: Option<PunchKind>,
    ) -> PunchDecision {
        decide(last, moment, device(1), &site(), wanted, COOLDOWN)
    }

    /// Decides on punches of one person at each moment, as the service does.
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
    fn an_id_of_another_kind_is_another_origin() {
        let id = Uuid::from_u128(7);
        let origins = [
            Origin::Device(DeviceId::new(id)),
            Origin::Camera(CameraId::new(id)),
            Origin::Account(AccountId::new(id)),
        ];
        let keys = origins.map(|origin| Key::new((origin,)));
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        for (origin, kind) in origins.into_iter().zip(["device", "camera", "account"]) {
            let json = json!({"kind": kind, "id": id.to_string()});
            assert_eq!(serde_json::to_value(origin).unwrap(), json);
            assert_eq!(serde_json::from_value::<Origin>(json).unwrap(), origin);
            assert_eq!(origin.to_string(), format!("{kind}:{id}"));
        }
    }

    #[test]
    fn a_proof_is_stored_with_its_kind() {
        let evidence = punch(PunchKind::In, live(0), 1).proof;
        let json = serde_json::to_value(&evidence).unwrap();
        assert_eq!(
            (&json["kind"], &json["frames"]),
            (&json!("face"), &json!(1))
        );
        assert_eq!(serde_json::from_value::<Proof>(json).unwrap(), evidence);
        let reason = Reason::parse(" Forgot  to punch ").unwrap();
        for (proof, json) in [
            (Proof::Pin, json!({"kind": "pin"})),
            (Proof::Badge, json!({"kind": "badge"})),
            (
                Proof::Manual { reason },
                json!({"kind": "manual", "reason": "Forgot to punch"}),
            ),
            (Proof::Import, json!({"kind": "import"})),
        ] {
            assert_eq!(json["kind"], proof.as_str());
            assert_eq!(serde_json::to_value(&proof).unwrap(), json);
            assert_eq!(serde_json::from_value::<Proof>(json).unwrap(), proof);
        }
        // No punch is stored with an empty reason.
        for reason in [" ".to_owned(), "x".repeat(501)] {
            let json = json!({"kind": "manual", "reason": reason});
            assert!(serde_json::from_value::<Proof>(json).is_err());
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
}
