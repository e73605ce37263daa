//! How punches become spans: one walk through all punches of an employee, in order of time.
//! Nothing is guessed, and no punch is dropped without a remark.

use serde::{Deserialize, Serialize};

use super::super::ids::PunchId;
use super::{
    corrections::Effective,
    exceptions::ExceptionCode,
    kind::PunchKind,
    time::{HOUR, Seconds},
    timeline::Timeline,
};

/// The rest after which an in on the next date begins the next workday, although the cut-off is
/// still to come.
const REST: Seconds = 7 * HOUR;

/// An in that comes this long before a shift may be for it, although another shift still runs.
const AHEAD: Seconds = HOUR;

/// Why a span belongs to its workday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Belonging {
    /// The in lies inside the shift.
    InsideShift,
    /// The shift has the nearest start.
    BeforeShift,
    /// The shift before it was over for the employee, and this one starts within an hour.
    NextShift,
    /// No shift is near; the cut-off decides.
    CutOff,
    /// No shift is near; after a rest, on the next date, a new workday begins before the cut-off.
    Rested,
}

/// Where an in belongs.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub day: usize,
    pub shift: Option<usize>,
    pub by: Belonging,
}

/// A punch that made a part of a span.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub at: Seconds,
    pub punch: PunchId,
}

impl From<Effective> for Mark {
    fn from(punch: Effective) -> Self {
        Self {
            at: punch.at,
            punch: punch.id,
        }
    }
}

/// The time from an in to an out, with its breaks.
pub(super) struct Span {
    pub place: Place,
    pub came: Mark,
    /// `None` for an open span.
    pub left: Option<Mark>,
    pub breaks: Vec<(Mark, Mark)>,
    /// The start of a break that has no end.
    pub on_break: Option<Mark>,
    /// The last instant at which a punch can belong to it.
    pub limit: Seconds,
    /// How long the employee was there, as far as is known.
    pub until: Seconds,
}

/// A punch that is an exception.
pub(super) struct Remark {
    pub day: usize,
    pub code: ExceptionCode,
    pub mark: Mark,
}

/// The walk.
pub(super) struct Walk<'a> {
    timeline: &'a Timeline<'a>,
    /// By their in.
    pub spans: Vec<Span>,
    pub remarks: Vec<Remark>,
    open: Option<usize>,
    last_of_shift: Vec<Option<usize>>,
    last_of_day: Vec<Option<usize>>,
}

/// What an employee does at an instant.
pub(super) enum State<'a> {
    Away,
    /// There is an open span.
    There(&'a Span),
}

impl<'a> Walk<'a> {
    pub fn new(timeline: &'a Timeline<'a>) -> Self {
        Self {
            timeline,
            spans: Vec::new(),
            remarks: Vec::new(),
            open: None,
            last_of_shift: vec![None; timeline.shifts.len()],
            last_of_day: vec![None; timeline.days.len()],
        }
    }

    /// Returns where an in belongs.
    pub fn place(&self, at: Seconds) -> Place {
        let shifts = &self.timeline.shifts;
        let placed = |shift: usize, by| Place {
            day: shifts[shift].day,
            shift: Some(shift),
            by,
        };
        // By start: one that the in lies inside comes before those that are still to start.
        let mut next = None;
        for shift in self.timeline.near_in(at) {
            if shifts[shift].contains(at) {
                let over = self.is_closed(self.last_of_shift[shift]);
                let mut near = self.timeline.near_in(at);
                let following = near.find(|other| {
                    *other != shift && (at..=at + AHEAD).contains(&shifts[*other].start)
                });
                return match following {
                    Some(following) if over => placed(following, Belonging::NextShift),
                    _ => placed(shift, Belonging::InsideShift),
                };
            }
            next = next.or(Some(shift));
        }
        if let Some(next) = next {
            return placed(next, Belonging::BeforeShift);
        }
        let day = self.timeline.by_cut_off(at);
        let last = self.last_of_day[day].and_then(|last| self.spans[last].left);
        let rested = last.is_some_and(|left| at - left.at >= REST);
        let next = rested
            .then(|| self.timeline.next_by_calendar(day, at))
            .flatten();
        Place {
            day: next.unwrap_or(day),
            shift: None,
            by: next.map_or(Belonging::CutOff, |_| Belonging::Rested),
        }
    }

    fn is_closed(&self, span: Option<usize>) -> bool {
        span.is_some_and(|span| self.spans[span].left.is_some())
    }

    /// Takes the next punch.
    pub fn step(&mut self, punch: Effective) {
        if let Some(open) = self.open
            && punch.at > self.spans[open].limit
        {
            self.give_up(open, punch.at);
        }
        let Some(open) = self.open else {
            return match punch.kind {
                PunchKind::In => self.begin(punch, self.place(punch.at)),
                PunchKind::Out => self.stray(ExceptionCode::StrayOut, punch),
                PunchKind::BreakStart | PunchKind::BreakEnd => {
                    self.stray(ExceptionCode::StrayBreak, punch);
                }
            };
        };
        let mark = Mark::from(punch);
        let on_break = self.spans[open].on_break;
        match (punch.kind, on_break) {
            (PunchKind::In, _) => {
                let place = self.place(punch.at);
                let span = &mut self.spans[open];
                if (place.day, place.shift) != (span.place.day, span.place.shift) {
                    self.give_up(open, punch.at);
                    self.begin(punch, place);
                } else if let Some(start) = span.on_break.take() {
                    span.breaks.push((start, mark));
                } else {
                    self.remark(open, ExceptionCode::DoubleIn, mark);
                }
            }
            (PunchKind::Out, _) => {
                let span = &mut self.spans[open];
                span.left = Some(mark);
                span.until = mark.at;
                self.open = None;
                if let Some(start) = span.on_break.take() {
                    span.breaks.push((start, mark));
                    self.remark(open, ExceptionCode::MissingBreakEnd, mark);
                }
            }
            (PunchKind::BreakStart, None) => self.spans[open].on_break = Some(mark),
            (PunchKind::BreakEnd, Some(start)) => {
                let span = &mut self.spans[open];
                span.on_break = None;
                span.breaks.push((start, mark));
            }
            (PunchKind::BreakStart, Some(_)) | (PunchKind::BreakEnd, None) => {
                self.remark(open, ExceptionCode::StrayBreak, mark);
            }
        }
    }

    fn begin(&mut self, punch: Effective, place: Place) {
        let rules = self.timeline.days[place.day].rules;
        let limit = match place.shift {
            None => punch.at + rules.longest_unplanned.seconds(),
            Some(shift) => {
                let reaches = self.timeline.shifts[shift].reaches_until();
                reaches.max(punch.at + rules.longest.seconds())
            }
        };
        let index = self.spans.len();
        self.spans.push(Span {
            place,
            came: punch.into(),
            left: None,
            breaks: Vec::new(),
            on_break: None,
            limit,
            until: limit,
        });
        self.open = Some(index);
        self.last_of_day[place.day] = Some(index);
        if let Some(shift) = place.shift {
            self.last_of_shift[shift] = Some(index);
        }
    }

    /// Leaves a span open for good.
    fn give_up(&mut self, open: usize, at: Seconds) {
        let span = &mut self.spans[open];
        span.until = span.limit.min(at);
        let came = span.came;
        self.open = None;
        self.remark(open, ExceptionCode::MissingOut, came);
    }

    fn remark(&mut self, span: usize, code: ExceptionCode, mark: Mark) {
        let day = self.spans[span].place.day;
        self.remarks.push(Remark { day, code, mark });
    }

    fn stray(&mut self, code: ExceptionCode, punch: Effective) {
        let day = self.timeline.workday_of_stray(punch.at);
        let mark = punch.into();
        self.remarks.push(Remark { day, code, mark });
    }

    /// Ends the walk at the instant at which it is asked.
    pub fn finish(&mut self, as_of: Seconds) {
        if let Some(open) = self.open
            && self.spans[open].limit < as_of
        {
            self.give_up(open, as_of);
        }
        for span in self.spans.iter_mut().filter(|span| span.left.is_none()) {
            span.until = span.until.min(as_of);
        }
    }

    /// Returns what the employee does after the punches so far.
    pub fn state(&self) -> State<'_> {
        self.open
            .map_or(State::Away, |open| State::There(&self.spans[open]))
    }
}
