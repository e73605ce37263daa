//! Cameras: go2rtc streams that the service itself watches, when they are watched, and how
//! they are.

use std::fmt;

use jiff::{
    SignedDuration, Timestamp,
    civil::{Time, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};

use super::{
    accounts::{Account, Permission},
    attendance::PunchKind,
    ids::{CameraId, EmployeeId},
    text::{Email, Name, SiteName, StreamName},
};

/// A go2rtc stream that the service watches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    /// Identity.
    pub id: CameraId,
    /// What people call it.
    pub name: Name,
    /// The stream's name in go2rtc.
    pub stream: StreamName,
    /// Where it stands.
    pub site: Option<SiteName>,
    /// Which way people pass it.
    pub direction: Direction,
    /// When it is watched; always without hours.
    pub hours: Option<WatchHours>,
    /// How often it is looked at.
    pub every: LookEvery,
    /// How long after a punch, or after they were last seen, another one of the same person is
    /// a new visit, seconds.
    pub visit: VisitGap,
    /// Whether it is watched at all.
    pub active: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was taken out; its name stays behind old punches.
    pub removed_at: Option<Timestamp>,
    /// Who may look through it besides admins; everybody who signs in without.
    #[serde(default)]
    pub viewers: Option<Vec<Email>>,
}

impl Camera {
    /// How many viewers it has at most.
    pub const VIEWERS_MOST: usize = 200;

    /// Whether somebody may know of it, look through it, and see whom it sees.
    pub fn shown_to(&self, account: &Account) -> bool {
        let given = |viewers: &Vec<Email>| viewers.contains(&account.email);
        account.role.permits(Permission::Administer) || self.viewers.as_ref().is_none_or(given)
    }

    /// Whether it is to be watched at a moment.
    pub fn watched_at(&self, now: Timestamp, zone: &TimeZone) -> bool {
        let open = |hours: &WatchHours| hours.hold(now, zone);
        self.active && self.removed_at.is_none() && self.hours.as_ref().is_none_or(open)
    }
}

/// Which way people pass a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// In.
    In,
    /// Out.
    Out,
    /// Either: the last punch tells.
    #[default]
    Auto,
}

impl Direction {
    /// Every direction.
    pub const ALL: [Self; 3] = [Self::In, Self::Out, Self::Auto];

    /// The word in the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Auto => "auto",
        }
    }

    /// Reads what [`as_str`](Self::as_str) writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|direction| direction.as_str() == text)
    }

    /// What a punch of this camera means; `None` when the last punch tells.
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
            /// `None` when it is out of bounds.
            pub fn new(value: u32) -> Option<Self> {
                ($from..=$to).contains(&value).then_some(Self(value))
            }

            /// The number.
            pub const fn value(self) -> u32 {
                self.0
            }

            /// What it takes, fit to be shown beside the field.
            pub const TAKES: &'static str =
                concat!("must be ", stringify!($from), " to ", stringify!($to), " ", $unit);
        }

        impl Default for $name {
            fn default() -> Self {
                Self($usual)
            }
        }

        impl TryFrom<u32> for $name {
            type Error = &'static str;

            fn try_from(value: u32) -> Result<Self, Self::Error> {
                Self::new(value).ok_or(Self::TAKES)
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
    /// Least time between two looks at a camera, milliseconds: 100 to 10,000, usually 200.
    LookEvery(100..=10000, 200, "milliseconds");
    /// How long somebody must not have been seen by a camera for a new visit, seconds: 10 to
    /// 86,400, usually 300.
    VisitGap(10..=86400, 300, "seconds");
}

impl VisitGap {
    /// As a duration.
    pub fn duration(self) -> SignedDuration {
        SignedDuration::from_secs(i64::from(self.0))
    }
}

/// When a camera is watched, in the service's time zone: on these days from one time to
/// another, over midnight when the second is the earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchHours {
    /// From this time of the day on.
    pub from: Time,
    /// Up to, and without, this one.
    pub to: Time,
    /// Days on which they begin, 1 (Monday) to 7; all when empty.
    #[serde(default)]
    pub days: Vec<u8>,
}

impl WatchHours {
    /// What they take, fit to be shown beside the field.
    pub const TAKES: &'static str = "must have from and to (different times of the day, such as 06:30) and days of 1 (Monday) to 7";

    /// Whether they make sense.
    pub fn valid(&self) -> bool {
        self.from != self.to && self.days.iter().all(|day| (1..=7).contains(day))
    }

    /// Whether they hold at a moment.
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

/// How a camera is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CameraState {
    /// Pictures come, and they change.
    Live,
    /// No picture, or always the same one.
    Stale,
    /// Pictures come, all black.
    Dark,
    /// go2rtc or the camera behind it does not answer.
    Unreachable,
    /// go2rtc does not know the stream, wants another password, or can make no pictures of it.
    Refused,
}

impl CameraState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Live,
        Self::Stale,
        Self::Dark,
        Self::Unreachable,
        Self::Refused,
    ];

    /// The word in the API, the log and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Dark => "dark",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for CameraState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a camera that is watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CameraStatus {
    /// How it is.
    pub state: CameraState,
    /// What is wrong, in words for the admin; `None` when it is live.
    pub cause: Option<String>,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// When whoever watches it last said so; long ago means that nobody does.
    pub told_at: Timestamp,
    /// Whose visit lasts: whoever watches next goes on with it.
    #[serde(default)]
    pub present: Vec<Presence>,
}

/// Somebody whom a camera saw, and when last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Who.
    pub employee: EmployeeId,
    /// When they were last seen.
    pub last: Timestamp,
}

impl CameraStatus {
    /// How often whoever watches a camera says so, at least.
    pub const TOLD_EVERY: SignedDuration = SignedDuration::from_secs(20);

    /// Whether somebody watches the camera still.
    pub fn fresh(&self, now: Timestamp) -> bool {
        now.duration_since(self.told_at) < Self::TOLD_EVERY * 3
    }
}

/// Mean brightness over a coarse grid of a picture: what motion and darkness are judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance([u8; Self::CELLS]);

impl Glance {
    /// Columns of the grid.
    pub const COLUMNS: usize = 32;
    /// Rows of the grid.
    pub const ROWS: usize = 24;
    /// Cells of the grid, row by row.
    pub const CELLS: usize = Self::COLUMNS * Self::ROWS;

    /// How much brighter or darker a cell has to get to count as changed, of 255: well over the
    /// noise of a camera in the dark, which the mean over a cell's hundreds of pixels cancels.
    const CELL_CHANGED: u8 = 6;
    /// How many cells have to change at least: a face of 48 pixels in a picture of 640 covers
    /// four of them.
    const CELLS_CHANGED: usize = 3;
    /// A picture is dark when its brightest cell is no brighter than this: video black is 16.
    const DARK: u8 = 24;

    /// Of mean luma 0..255 for each cell, row by row from the top left.
    pub fn new(cells: [u8; Self::CELLS]) -> Self {
        Self(cells)
    }

    /// Whether something moved between another glance and this one. When the whole picture got
    /// brighter or darker by the same, as by a lamp or the camera's exposure, nothing did.
    pub fn moved_since(&self, before: &Self) -> bool {
        let differences = || {
            self.0
                .iter()
                .zip(&before.0)
                .map(|(&is, &was)| i16::from(is) - i16::from(was))
        };
        let mut sorted: Vec<i16> = differences().collect();
        let (_, &mut overall, _) = sorted.select_nth_unstable(Self::CELLS / 2);
        let changed =
            |difference: &i16| (difference - overall).unsigned_abs() > Self::CELL_CHANGED.into();
        differences().filter(changed).count() >= Self::CELLS_CHANGED
    }

    /// Whether there is nothing to see.
    pub fn dark(&self) -> bool {
        self.0.iter().all(|cell| *cell <= Self::DARK)
    }
}

/// What is wrong with a stream, as far as whoever fetches it can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFault {
    /// No connection, no answer in time, an empty answer, or the end of what had begun.
    Unreachable,
    /// A wrong password, an unknown stream, or one of which no pictures can be made.
    Refused,
}

/// Judges a camera by the age and the content of its pictures; nothing that a server says of
/// itself counts.
#[derive(Debug, Clone)]
pub struct PictureJudge {
    last: Option<Seen>,
    fault: Option<StreamFault>,
    begun: Timestamp,
    stale_after: SignedDuration,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    /// When the last picture came.
    at: Timestamp,
    /// When the first of those came that are like it, byte by byte.
    same_since: Timestamp,
    /// Since when pictures are dark.
    dark_since: Option<Timestamp>,
    fingerprint: u64,
}

impl PictureJudge {
    /// How long pictures may stay the same, byte by byte: the noise of a real sensor never does.
    pub const FROZEN_AFTER: SignedDuration = SignedDuration::from_secs(10);
    /// How long pictures may be black, as the first ones of many cameras are.
    pub const DARK_AFTER: SignedDuration = SignedDuration::from_secs(3);
    /// How long no picture may come at least, whatever the camera's rate.
    const STALE_AFTER: SignedDuration = SignedDuration::from_secs(4);

    /// For a camera that is looked at so often, from now on.
    pub fn new(every: LookEvery, now: Timestamp) -> Self {
        let looks = SignedDuration::from_millis(i64::from(every.value())) * 3;
        Self {
            last: None,
            fault: None,
            begun: now,
            stale_after: looks.max(Self::STALE_AFTER),
        }
    }

    /// Notes a picture: a hash of its bytes, and whether it is dark where that was looked at.
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

    /// Notes that no picture comes.
    pub fn failed(&mut self, fault: StreamFault) {
        self.fault = Some(fault);
    }

    /// How the camera is; `None` while nothing is known yet.
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
            // Black pictures may well be the same, byte by byte.
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
    fn pictures_that_change_are_live() {
        let mut judge = judge();
        assert_eq!(judge.state(at(100)), None);
        for frame in 0..200 {
            judge.picture(at(frame * 200), frame.unsigned_abs(), Some(false));
            assert!(live(&judge, at(frame * 200)));
        }
    }

    #[test]
    fn pictures_that_stop_or_stay_the_same_are_stale() {
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
    fn black_pictures_are_dark_after_a_while_and_faults_count_at_once() {
        let mut judge = judge();
        for frame in 0..15 {
            judge.picture(at(frame * 200), frame.unsigned_abs(), Some(true));
            assert!(live(&judge, at(frame * 200)));
        }
        judge.picture(at(3_000), 99, None);
        assert_eq!(judge.state(at(3_000)), Some(CameraState::Dark));
        // The same black picture for long is no camera that stands still.
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
    fn motion_is_a_few_cells_and_not_a_lamp() {
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
    fn hours_hold_over_midnight_on_the_day_they_began() {
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
    fn numbers_out_of_bounds_are_refused_by_what_they_take() {
        assert_eq!(LookEvery::new(99), None);
        assert_eq!(LookEvery::default().value(), 200);
        let read: Result<VisitGap, _> = serde_json::from_str("5");
        let error = read.unwrap_err().to_string();
        assert_eq!(error, "must be 10 to 86400 seconds");
    }
}
