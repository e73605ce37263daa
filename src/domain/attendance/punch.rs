//! Punches: their records, the rules for their kinds when they are made, and the trust in device
//! clocks.

use std::fmt;

use jiff::{SignedDuration, Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::{
    accounts::Actor,
    biometrics::{ModelId, Similarity, Threshold},
    grants::{Place, Placed},
    ids::{AccountId, CameraId, DeviceId, EmployeeId, PunchId, SiteId},
    record::{About, Index, KeyPart, Keys, Kind, OnErase, Record, uuids_in},
    text::{IdempotencyKey, Reason},
    words::words,
};
use super::{corrections::TimedPunch, direction::KindReason, kind::PunchKind};

words! {
    /// The clock from which the time of a punch comes.
    ClockSource {
        /// The server's clock when the sample arrived, which is the rule.
        Server = "server",
        /// The device's clock, for a punch captured offline, if its time is plausible.
        Device = "device",
    }
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
    /// Returns the account or device that acts; `None` for the operator and the service.
    pub fn of_actor(actor: Actor) -> Option<Self> {
        match actor {
            Actor::Account(account) | Actor::Token { account, .. } => Some(Self::Account(account)),
            Actor::Device(id) => Some(Self::Device(id)),
            Actor::Operator | Actor::System => None,
        }
    }

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
    /// The employee typed their PIN, and the face was that employee's.
    FaceAndPin(Evidence),
    /// The employee held their badge to a reader, and the face was that employee's.
    FaceAndBadge(Evidence),
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
            Self::FaceAndPin(_) => "face_and_pin",
            Self::FaceAndBadge(_) => "face_and_badge",
            Self::Pin => "pin",
            Self::Badge => "badge",
            Self::Manual { .. } => "manual",
            Self::Import => "import",
        }
    }

    /// Returns the evidence of the recognition; `None` without a face.
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Face(evidence) | Self::FaceAndPin(evidence) | Self::FaceAndBadge(evidence) => {
                Some(evidence)
            }
            Self::Pin | Self::Badge | Self::Manual { .. } | Self::Import => None,
        }
    }

    /// Returns the proof of a PIN or badge together with that of the face.
    #[must_use]
    pub fn with_face(self, evidence: Evidence) -> Self {
        match self {
            Self::Badge => Self::FaceAndBadge(evidence),
            _ => Self::FaceAndPin(evidence),
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
    /// Why the claimed time is doubtful; `None` if it is not. A doubtful punch does not count until
    /// a manager enters it as a correction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<ClockError>,
    /// Why the punch has its kind, if the person did not choose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_reason: Option<KindReason>,
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
    /// Returns what the calculation needs of it; `None` if the punch is doubtful and does not count.
    pub fn counted(&self) -> Option<TimedPunch> {
        self.doubt.is_none().then_some(TimedPunch {
            id: self.id,
            kind: self.kind,
            at: self.at,
        })
    }

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
    /// A digest of each picture as a device sent it, so that none of them punches again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<String>,
}

/// A client's idempotency key and the request that first used it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestKey {
    /// The key.
    pub key: IdempotencyKey,
    /// Hexadecimal SHA-256 of all relevant parts of the request.
    pub fingerprint: String,
}

/// What an offline device says about a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture {
    /// When it captured the sample.
    pub at: Timestamp,
    /// When it sent the request, by the same clock; `None` if it does not say.
    pub sent_at: Option<Timestamp>,
}

impl Capture {
    /// Returns the moment of the capture by the server's clock. A device that says when it sent the
    /// request may have any clock, because only the time between its two moments counts.
    pub fn by_server(self, now: Timestamp) -> Timestamp {
        let age = self.sent_at.map(|sent| sent.duration_since(self.at));
        age.and_then(|age| now.checked_sub(age).ok())
            .unwrap_or(self.at)
    }
}

/// When a sample was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time of the punch.
    pub at: Timestamp,
    /// The clock from which it comes.
    pub clock: ClockSource,
    /// When the device claims to have captured the sample, plausible or not.
    pub captured_at: Option<Timestamp>,
    /// Why that is doubtful.
    pub doubt: Option<ClockError>,
}

/// Time within which an offline device delivers the samples that it has saved.
const DELIVERY: SignedDuration = SignedDuration::from_mins(10);

impl Moment {
    /// Returns the moment of a sample that has just arrived. The device's time counts if
    /// [`believe`] accepts it. A time that is only too old is kept, otherwise the server's time is;
    /// both are doubtful.
    pub fn of(
        now: Timestamp,
        capture: Option<Capture>,
        last_synchronized: Option<Timestamp>,
    ) -> Self {
        let live = Self {
            at: now,
            clock: ClockSource::Server,
            captured_at: None,
            doubt: None,
        };
        let Some(capture) = capture else {
            return live;
        };
        // The time of sending proves when it was, in whatever order captures are delivered.
        let last_synchronized = last_synchronized.filter(|_| capture.sent_at.is_none());
        let captured_at = Some(capture.at);
        let claimed = capture.by_server(now);
        match believe(claimed, now, last_synchronized) {
            Ok(at) => Self {
                at,
                clock: ClockSource::Device,
                captured_at,
                doubt: None,
            },
            Err(doubt @ ClockError::TooOld) => Self {
                at: claimed,
                clock: ClockSource::Device,
                captured_at,
                doubt: Some(doubt),
            },
            Err(doubt) => Self {
                captured_at,
                doubt: Some(doubt),
                ..live
            },
        }
    }

    /// Checks whether a punch now would repeat another one, by the time between them. Doubtful
    /// punches repeat only doubtful ones: none of them may swallow a punch that counts. If two
    /// captures of a device with a wrong clock arrive together, the difference on that clock is
    /// right.
    pub fn repeats(self, punch: &Punch, origin: Origin, cooldown: SignedDuration) -> bool {
        let apart = self.at.duration_since(punch.at);
        let apart = match (self.captured_at, punch.captured_at) {
            _ if self.doubt.is_some() != punch.doubt.is_some() => return false,
            (Some(now), Some(then))
                if self.doubt.is_some() && punch.origin == origin && apart.abs() < DELIVERY =>
            {
                now.duration_since(then).abs()
            }
            _ => apart,
        };
        apart < cooldown
    }
}

/// Maximum age of an offline capture.
pub const OFFLINE_BOUND: SignedDuration = SignedDuration::from_hours(72);

/// Why the time of a device is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
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

impl ClockError {
    /// Returns the word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Future => "future",
            Self::TooOld => "too_old",
            Self::BeforeLast => "before_last",
        }
    }
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

    use super::{super::super::record::Key, *};

    const COOLDOWN: SignedDuration = SignedDuration::from_secs(60);

    fn device(number: u128) -> Origin {
        Origin::Device(DeviceId::new(Uuid::from_u128(number)))
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
            doubt: moment.doubt,
            kind_reason: None,
            workday: civil::date(2026, 1, 15),
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
                digests: Vec::new(),
            }),
            request: None,
            sequence,
        }
    }

    fn repeats(moment: Moment, punch: &Punch) -> bool {
        moment.repeats(punch, device(1), COOLDOWN)
    }

    /// Returns a sample that was captured some seconds after the moment, by the device's clock.
    fn captured(seconds: i64) -> Option<Capture> {
        let at = at(seconds);
        Some(Capture { at, sent_at: None })
    }

    proptest! {
        #[test]
        fn a_repeat_inside_the_cooldown_never_counts(after in 0i64..1_000_000) {
            let last = punch(PunchKind::In, live(0), 1);
            prop_assert_eq!(repeats(live(after), &last), after < COOLDOWN.as_secs());
        }

        #[test]
        fn a_device_is_believed_within_the_bound_only(age in -100_000i64..400_000, last in prop::option::of(-400_000i64..0)) {
            let now = at(0);
            let moment = Moment::of(now, captured(-age), last.map(at));
            let believable = age >= -5 && age <= OFFLINE_BOUND.as_secs() && last.is_none_or(|last| -age >= last);
            prop_assert_eq!(moment.doubt.is_none(), believable);
            let kept = believable || moment.doubt == Some(ClockError::TooOld);
            prop_assert_eq!(moment.clock == ClockSource::Device, kept);
            prop_assert_eq!(moment.at, if kept { at(-age).min(now) } else { now });
            prop_assert_eq!(moment.captured_at, Some(at(-age)));
            prop_assert!(moment.at <= now);
        }

        #[test]
        fn the_offset_of_a_clock_makes_no_difference_if_the_device_says_when_it_sent(age in 0i64..200_000, offset in -100_000_000i64..100_000_000) {
            let capture = Capture { at: at(offset - age), sent_at: Some(at(offset)) };
            let moment = Moment::of(at(0), Some(capture), None);
            prop_assert_eq!((moment.at, moment.doubt), (at(-age), None));
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
    fn captures_of_a_device_with_a_wrong_clock_are_different_punches() {
        // Nine hours apart on a clock that is weeks ahead, and delivered within a second.
        let ahead: i64 = 30 * 24 * 3600;
        let moment = |arrives, after| Moment::of(at(arrives), captured(ahead + after), None);
        let first = punch(PunchKind::In, moment(0, 0), 1);
        assert_eq!(
            (first.clock, first.doubt),
            (ClockSource::Server, Some(ClockError::Future))
        );
        assert!(!repeats(moment(1, 9 * 3600), &first));
        assert!(repeats(moment(1, 20), &first));
        // A device whose clock starts again at the same time every day.
        assert!(!repeats(moment(3600, 15), &first));
    }

    #[test]
    fn a_doubtful_punch_never_swallows_one_that_counts() {
        let doubtful = Moment::of(at(0), captured(3600), None);
        let punch = punch(PunchKind::In, doubtful, 1);
        assert_eq!(punch.counted(), None);
        assert!(!repeats(live(1), &punch));
    }

    #[test]
    fn a_capture_that_is_too_old_keeps_its_day() {
        let hours = 73 * 3600;
        let moment = Moment::of(at(0), captured(-hours), None);
        assert_eq!(
            (moment.at, moment.doubt),
            (at(-hours), Some(ClockError::TooOld))
        );
    }

    #[test]
    fn an_offline_capture_just_before_a_punch_is_that_punch() {
        let later = punch(PunchKind::In, live(0), 1);
        assert!(repeats(Moment::of(at(30), captured(-20), None), &later));
    }
}
