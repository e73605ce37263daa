//! Cameras: go2rtc streams that the service watches, their watch hours, and their state.

use std::ops::RangeInclusive;

use jiff::{
    SignedDuration, Timestamp,
    civil::{Time, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};

use super::{
    accounts::Account,
    attendance::PunchKind,
    grants::{Permission, Place, Placed},
    ids::{CameraId, EmployeeId, SiteId},
    record::{About, Changes, Index, Keys, Kind, OnErase, Record},
    text::{Email, Name, StreamName},
    words::words,
};

/// A go2rtc stream that the service watches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    /// The ID.
    pub id: CameraId,
    /// The name for people.
    pub name: Name,
    /// The stream's name in go2rtc.
    pub stream: StreamName,
    /// The site.
    pub site: SiteId,
    /// The direction in which people pass it.
    pub direction: Direction,
    /// When it is watched; `None` means always.
    pub hours: Option<WatchHours>,
    /// Minimum time between two processed pictures.
    pub every: LookEvery,
    /// Gap since a person's last punch or sighting, after which they begin a new visit.
    pub visit: VisitGap,
    /// Whether it is watched at all.
    pub active: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was removed. The record stays, because old punches show the name of their camera.
    pub removed_at: Option<Timestamp>,
    /// The accounts that may view it, besides admins; `None` means all accounts.
    #[serde(default)]
    pub viewers: Option<Vec<Email>>,
}

impl Camera {
    /// Maximum number of viewers.
    pub const VIEWERS_MOST: usize = 200;

    /// Returns whether an account may view the camera and the people whom it sees: the camera is
    /// at a site that the account may survey, and is shared with it.
    pub fn shown_to(&self, account: &Account) -> bool {
        let given = |viewers: &Vec<Email>| viewers.contains(&account.email);
        let surveyed = account.access.reach(Permission::Survey);
        surveyed.is_some_and(|reach| reach.covers(self))
            && (account.permits(Permission::Administer) || self.viewers.as_ref().is_none_or(given))
    }

    /// Returns whether the camera must be watched at a moment.
    pub fn watched_at(&self, now: Timestamp, zone: &TimeZone) -> bool {
        let open = |hours: &WatchHours| hours.hold(now, zone);
        self.active && self.removed_at.is_none() && self.hours.as_ref().is_none_or(open)
    }
}

impl Camera {
    /// The stream, of those not removed.
    pub const BY_STREAM: Index = Index::unique("by_stream");
    /// Those not removed, in the order of their IDs.
    pub const PRESENT: Index = Index::ordered("present");
}

impl Placed for Camera {
    fn place(&self) -> Place {
        Place {
            site: self.site,
            employee: None,
        }
    }
}

impl Record for Camera {
    const KIND: &'static Kind =
        &Kind::archived("cameras", "camera", &[Self::BY_STREAM, Self::PRESENT])
            .changing(Changes::Audited);

    type Id = CameraId;

    fn id(&self) -> CameraId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        if self.removed_at.is_none() {
            keys.add(Self::BY_STREAM, (self.stream.as_str(),));
            keys.add(Self::PRESENT, ());
        }
    }

    fn about(&self) -> About {
        About::NoEmployee
    }
}

words! {
    /// The direction in which people pass a camera.
    #[derive(Default)]
    Direction {
        /// In.
        In = "in",
        /// Out.
        Out = "out",
        /// Either; the last punch decides.
        #[default]
        Auto = "auto",
    }
}

impl Direction {
    /// Returns the kind of this camera's punches; `None` if the last punch decides.
    pub fn kind(self) -> Option<PunchKind> {
        match self {
            Self::In => Some(PunchKind::In),
            Self::Out => Some(PunchKind::Out),
            Self::Auto => None,
        }
    }
}

macro_rules! bounded {
    ($($(#[$doc:meta])* $name:ident($from:literal..=$to:literal, $usual:literal, $unit:literal);)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "u32", into = "u32")]
        pub struct $name(u32);

        impl $name {
            /// The values that it can have.
            pub const RANGE: RangeInclusive<u32> = $from..=$to;

            /// `None` when it is out of bounds.
            pub fn new(value: u32) -> Option<Self> {
                Self::RANGE.contains(&value).then_some(Self(value))
            }

            /// The number.
            pub const fn value(self) -> u32 {
                self.0
            }

        }

        impl Default for $name {
            fn default() -> Self {
                Self($usual)
            }
        }

        impl TryFrom<u32> for $name {
            type Error = &'static str;

            fn try_from(value: u32) -> Result<Self, Self::Error> {
                Self::new(value).ok_or(concat!(
                    "must be ", stringify!($from), " to ", stringify!($to), " ", $unit
                ))
            }
        }

        impl From<$name> for u32 {
            fn from(value: $name) -> u32 {
                value.0
            }
        }
    )+};
}

bounded! {
    /// Minimum time between two pictures of a camera that are processed, in milliseconds: 100 to
    /// 10,000, by default 200.
    LookEvery(100..=10000, 200, "milliseconds");
    /// How long a camera must not have seen a person before they begin a new visit, in seconds: 10 to
    /// 86,400, by default 300.
    VisitGap(10..=86400, 300, "seconds");
}

impl VisitGap {
    /// Returns the gap as a duration.
    pub fn duration(self) -> SignedDuration {
        SignedDuration::from_secs(i64::from(self.0))
    }
}

/// The hours in which a camera is watched, in the time zone of its site: on these days, from one time
/// to another, past midnight if the second is earlier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchHours {
    /// Start, inclusive.
    pub from: Time,
    /// End, exclusive.
    pub to: Time,
    /// Days on which the hours begin, 1 (Monday) to 7; empty means every day.
    #[serde(default)]
    pub days: Vec<u8>,
}

impl WatchHours {
    /// Returns whether the values are valid.
    pub fn valid(&self) -> bool {
        self.from != self.to && self.days.iter().all(|day| (1..=7).contains(day))
    }

    /// Returns whether a moment lies within the hours.
    pub fn hold(&self, now: Timestamp, zone: &TimeZone) -> bool {
        let local = now.to_zoned(zone.clone()).datetime();
        let begun_on = |day: Weekday| {
            self.days.is_empty()
                || self
                    .days
                    .contains(&day.to_monday_one_offset().unsigned_abs())
        };
        let (time, today) = (local.time(), local.date().weekday());
        if self.from < self.to {
            return (self.from..self.to).contains(&time) && begun_on(today);
        }
        (time >= self.from && begun_on(today)) || (time < self.to && begun_on(today.previous()))
    }
}

words! {
    /// The state of a camera.
    CameraState {
        /// It sends pictures, and they change.
        Live = "live",
        /// It sends no picture, or always the same one.
        Stale = "stale",
        /// It sends black pictures only.
        Dark = "dark",
        /// go2rtc or the camera does not respond.
        Unreachable = "unreachable",
        /// go2rtc does not know the stream, rejects the password, or cannot convert the stream to
        /// pictures.
        Refused = "refused",
    }
}

/// The status of a watched camera.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CameraStatus {
    /// The state.
    pub state: CameraState,
    /// What is wrong, for the admin; `None` if it is live.
    pub cause: Option<String>,
    /// When this state began.
    pub since: Timestamp,
    /// When an instance last reported this status. If that is long ago, no instance watches the
    /// camera.
    pub reported_at: Timestamp,
    /// The open visits, which the next instance continues.
    #[serde(default)]
    pub present: Vec<Presence>,
}

/// The status of a camera, as the instance that watches it last reported it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CameraReport {
    /// The camera.
    pub camera: CameraId,
    /// Its status.
    pub status: CameraStatus,
}

impl Record for CameraReport {
    const KIND: &'static Kind = &Kind::transient("camera_reports", "camera report", &[]);

    type Id = CameraId;

    fn id(&self) -> CameraId {
        self.camera
    }

    fn keys(&self, _keys: &mut Keys) {}

    fn about(&self) -> About {
        let present = self.status.present.iter();
        About::Employees {
            ids: present.map(|presence| presence.employee).collect(),
            erase: OnErase::Anonymize,
        }
    }

    fn anonymize(&mut self, employee: EmployeeId) {
        let present = &mut self.status.present;
        present.retain(|presence| presence.employee != employee);
    }
}

/// A person whom a camera saw, with the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The person.
    pub employee: EmployeeId,
    /// When they were last seen.
    pub last: Timestamp,
}

impl CameraStatus {
    /// How often the instance that watches a camera reports its status, at least.
    pub const REPORT_EVERY: SignedDuration = SignedDuration::from_secs(20);

    /// Returns whether an instance still watches the camera.
    pub fn fresh(&self, now: Timestamp) -> bool {
        now.duration_since(self.reported_at) < Self::REPORT_EVERY * 3
    }
}

/// The mean brightness of a picture over a coarse grid, for detecting motion and darkness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance([u8; Self::CELLS]);

impl Glance {
    /// Columns of the grid.
    pub const COLUMNS: usize = 32;
    /// Rows of the grid.
    pub const ROWS: usize = 24;
    /// Number of cells, stored row by row.
    pub const CELLS: usize = Self::COLUMNS * Self::ROWS;

    /// Difference in brightness, of 255, above which a cell has changed: well above the noise of a
    /// camera in the dark, which the mean over a cell's hundreds of pixels cancels.
    const CELL_CHANGED: u8 = 6;
    /// Minimum number of changed cells for motion: a face of 48 pixels in a picture 640 pixels wide
    /// covers four cells.
    const CELLS_CHANGED: usize = 3;
    /// Maximum brightness of the brightest cell of a dark picture: video black is 16.
    const DARK: u8 = 24;

    /// Wraps the mean luma of each cell, 0..255, row by row from the top left.
    pub fn new(cells: [u8; Self::CELLS]) -> Self {
        Self(cells)
    }

    /// Returns whether anything moved since an earlier picture. A uniform change of brightness, as
    /// by a lamp or the camera's exposure, does not count.
    pub fn moved_since(&self, before: &Self) -> bool {
        let differences = || {
            self.0
                .iter()
                .zip(&before.0)
                .map(|(&new, &old)| i16::from(new) - i16::from(old))
        };
        let mut sorted: Vec<i16> = differences().collect();
        let (_, &mut overall, _) = sorted.select_nth_unstable(Self::CELLS / 2);
        let changed =
            |difference: &i16| (difference - overall).unsigned_abs() > Self::CELL_CHANGED.into();
        differences().filter(changed).count() >= Self::CELLS_CHANGED
    }

    /// Returns whether the picture is dark.
    pub fn dark(&self) -> bool {
        self.0.iter().all(|cell| *cell <= Self::DARK)
    }
}

/// The fault of a stream, as far as the client can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFault {
    /// No connection, no response in time, an empty response, or the end of the stream.
    Unreachable,
    /// A wrong password, an unknown stream, or one that cannot be converted to pictures.
    Refused,
}

/// A judge of a camera's state, by the age and the content of its pictures. Status reports of
/// servers do not count.
#[derive(Debug, Clone)]
pub struct PictureJudge {
    last: Option<Seen>,
    fault: Option<StreamFault>,
    begun: Timestamp,
    stale_after: SignedDuration,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    /// When the last picture arrived.
    at: Timestamp,
    /// When the first of the identical pictures arrived.
    same_since: Timestamp,
    /// Since when pictures are dark.
    dark_since: Option<Timestamp>,
    fingerprint: u64,
}

impl PictureJudge {
    /// Maximum time of identical pictures, byte by byte: the noise of a real sensor always differs.
    pub const FROZEN_AFTER: SignedDuration = SignedDuration::from_secs(10);
    /// Maximum time of black pictures, as the first ones of many cameras are.
    pub const DARK_AFTER: SignedDuration = SignedDuration::from_secs(3);
    /// Minimum time without a picture for a stale camera, whatever its rate.
    const STALE_AFTER: SignedDuration = SignedDuration::from_secs(4);

    /// Creates a judge for a camera with this interval, starting now.
    pub fn new(every: LookEvery, now: Timestamp) -> Self {
        let looks = SignedDuration::from_millis(i64::from(every.value())) * 3;
        Self {
            last: None,
            fault: None,
            begun: now,
            stale_after: looks.max(Self::STALE_AFTER),
        }
    }

    /// Records a picture: a hash of its bytes, and whether it is dark, if that was measured.
    pub fn picture(&mut self, now: Timestamp, fingerprint: u64, dark: Option<bool>) {
        self.fault = None;
        let last = self.last.filter(|last| last.fingerprint == fingerprint);
        let dark_before = self.last.and_then(|last| last.dark_since);
        self.last = Some(Seen {
            at: now,
            same_since: last.map_or(now, |last| last.same_since),
            dark_since: match dark {
                Some(true) => dark_before.or(Some(now)),
                Some(false) => None,
                None => dark_before,
            },
            fingerprint,
        });
    }

    /// Records a fault.
    pub fn failed(&mut self, fault: StreamFault) {
        self.fault = Some(fault);
    }

    /// Returns the state of the camera; `None` while it is unknown.
    pub fn state(&self, now: Timestamp) -> Option<CameraState> {
        match self.fault {
            Some(StreamFault::Unreachable) => return Some(CameraState::Unreachable),
            Some(StreamFault::Refused) => return Some(CameraState::Refused),
            None => {}
        }
        let Some(last) = self.last else {
            let late = now.duration_since(self.begun) >= self.stale_after;
            return late.then_some(CameraState::Stale);
        };
        let dark = |since| now.duration_since(since) >= Self::DARK_AFTER;
        if now.duration_since(last.at) >= self.stale_after {
            Some(CameraState::Stale)
        } else if last.dark_since.is_some_and(dark) {
            // Checked before identity, because black pictures may be identical.
            Some(CameraState::Dark)
        } else if now.duration_since(last.same_since) >= Self::FROZEN_AFTER {
            Some(CameraState::Stale)
        } else {
            Some(CameraState::Live)
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil;

    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + milliseconds).unwrap()
    }

    fn live(judge: &PictureJudge, now: Timestamp) -> bool {
        judge.state(now) == Some(CameraState::Live)
    }

    fn judge() -> PictureJudge {
        PictureJudge::new(LookEvery::default(), at(0))
    }

    #[test]
    fn a_camera_with_changing_pictures_is_live() {
        let mut judge = judge();
        assert_eq!(judge.state(at(100)), None);
        for frame in 0..200 {
            judge.picture(at(frame * 200), frame.unsigned_abs(), Some(false));
            assert!(live(&judge, at(frame * 200)));
        }
    }

    #[test]
    fn a_camera_without_new_pictures_or_with_identical_ones_is_stale() {
        let mut judge = judge();
        assert_eq!(judge.state(at(4_000)), Some(CameraState::Stale));
        judge.picture(at(4_100), 1, Some(false));
        assert!(live(&judge, at(8_000)));
        assert_eq!(judge.state(at(8_100)), Some(CameraState::Stale));
        for frame in 0..50 {
            judge.picture(at(10_000 + frame * 200), 7, Some(false));
        }
        assert!(live(&judge, at(19_900)));
        judge.picture(at(20_000), 7, Some(false));
        assert_eq!(judge.state(at(20_000)), Some(CameraState::Stale));
        judge.picture(at(20_200), 8, Some(false));
        assert!(live(&judge, at(20_200)));
    }

    #[test]
    fn a_slow_camera_is_not_stale_between_its_pictures() {
        let slow = LookEvery::new(5_000).unwrap();
        let mut judge = PictureJudge::new(slow, at(0));
        judge.picture(at(0), 1, None);
        assert!(live(&judge, at(14_999).min(at(9_999))));
        assert_eq!(judge.state(at(15_000)), Some(CameraState::Stale));
    }

    #[test]
    fn black_pictures_count_after_a_while_and_faults_at_once() {
        let mut judge = judge();
        for frame in 0..15 {
            judge.picture(at(frame * 200), frame.unsigned_abs(), Some(true));
            assert!(live(&judge, at(frame * 200)));
        }
        judge.picture(at(3_000), 99, None);
        assert_eq!(judge.state(at(3_000)), Some(CameraState::Dark));
        // Identical black pictures are dark, not stale.
        for frame in 0..60 {
            judge.picture(at(3_000 + frame * 200), 99, None);
            assert_eq!(
                judge.state(at(3_000 + frame * 200)),
                Some(CameraState::Dark)
            );
        }
        assert_eq!(judge.state(at(19_000)), Some(CameraState::Stale));
        judge.failed(StreamFault::Refused);
        assert_eq!(judge.state(at(19_001)), Some(CameraState::Refused));
        judge.failed(StreamFault::Unreachable);
        assert_eq!(judge.state(at(19_002)), Some(CameraState::Unreachable));
        judge.picture(at(19_200), 100, Some(false));
        assert!(live(&judge, at(19_200)));
    }

    #[test]
    fn motion_is_a_change_in_a_few_cells_and_not_of_all() {
        let still = Glance::new([100; Glance::CELLS]);
        let mut lamp = [130; Glance::CELLS];
        assert!(!Glance::new(lamp).moved_since(&still));
        lamp[40] = 180;
        lamp[41] = 60;
        assert!(!Glance::new(lamp).moved_since(&still), "two cells");
        lamp[42] = 90;
        assert!(Glance::new(lamp).moved_since(&still));
        let mut noise = [100; Glance::CELLS];
        for (number, cell) in noise.iter_mut().enumerate() {
            *cell = if number % 2 == 0 { 97 } else { 103 };
        }
        assert!(!Glance::new(noise).moved_since(&still));
        assert!(Glance::new([20; Glance::CELLS]).dark());
        assert!(!still.dark());
    }

    #[test]
    fn hours_past_midnight_belong_to_the_day_they_began() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let hours = WatchHours {
            from: civil::time(22, 0, 0, 0),
            to: civil::time(6, 0, 0, 0),
            days: vec![5],
        };
        let on = |day: i8, hour: i8| {
            let local = civil::date(2026, 11, day).at(hour, 0, 0, 0);
            hours.hold(local.to_zoned(zone.clone()).unwrap().timestamp(), &zone)
        };
        // 20 November 2026 is a Friday.
        assert!(on(20, 22) && on(20, 23) && on(21, 5));
        assert!(!on(20, 5) && !on(20, 21) && !on(21, 6) && !on(21, 22));
        let day = WatchHours {
            from: civil::time(6, 0, 0, 0),
            to: civil::time(20, 0, 0, 0),
            days: vec![],
        };
        let local = |hour: i8| civil::date(2026, 11, 22).at(hour, 0, 0, 0);
        let at = |hour| local(hour).to_zoned(zone.clone()).unwrap().timestamp();
        assert!(day.hold(at(6), &zone) && day.hold(at(19), &zone) && !day.hold(at(20), &zone));
        assert!(day.valid() && hours.valid());
        assert!(
            !WatchHours {
                to: day.from,
                ..day
            }
            .valid()
        );
    }

    #[test]
    fn numbers_out_of_bounds_are_rejected_with_their_bounds() {
        assert_eq!(LookEvery::new(99), None);
        assert_eq!(LookEvery::default().value(), 200);
        let read: Result<VisitGap, _> = serde_json::from_str("5");
        let error = read.unwrap_err().to_string();
        assert_eq!(error, "must be 10 to 86400 seconds");
    }
}
