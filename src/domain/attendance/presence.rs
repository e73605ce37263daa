//! Who is there: the state of an employee on a workday, for the board.

use jiff::Timestamp;

use super::{
    day::{Day, DaySpan},
    exceptions::ExceptionCode,
    steps::Step,
    time::{Length, Seconds, WallTime, whole_second},
};
use crate::domain::words::words;

words! {
    /// The state of an employee on a workday. An employee without a plan is only `present`, `on_break`,
    /// `left` or `not_due`.
    PresenceState {
        /// At work.
        Present = "present",
        /// On a break.
        OnBreak = "on_break",
        /// There on the day, and not anymore.
        Left = "left",
        /// Not there yet, although a shift has begun and the grace is over.
        Late = "late",
        /// Never there, and the shift is over.
        Missing = "missing",
        /// Not there, because of leave.
        OnLeave = "on_leave",
        /// Not there, and not expected yet or at all.
        NotDue = "not_due",
    }
}

/// The presence of an employee on a workday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// The state.
    pub state: PresenceState,
    /// When the employee came first.
    pub first_in: Option<WallTime>,
    /// When the employee left last; `None` while at work.
    pub last_out: Option<WallTime>,
    /// What counts as work so far, with the open span until now or until its break.
    pub worked: Seconds,
}

/// Returns the presence of an employee on a workday that was derived at `as_of`. `grace` is how
/// late is not reported.
pub fn presence(day: &Day, grace: Length, as_of: Timestamp) -> Presence {
    let last = day.spans.last();
    let open = last.filter(|span| span.left.is_none() && !is_forgotten(day, span));
    let state = match (open, last) {
        (Some(span), _) if breaks_now(span).is_some() => PresenceState::OnBreak,
        (Some(_), _) => PresenceState::Present,
        (None, Some(_)) => PresenceState::Left,
        (None, None) => of_nobody(day, grace, as_of),
    };
    Presence {
        state,
        first_in: day.spans.first().map(|span| span.came),
        last_out: match open {
            Some(_) => None,
            None => last.and_then(|span| span.left),
        },
        worked: day.worked + open.map_or(0, |span| so_far(span, as_of)),
    }
}

/// Checks whether a span is open because its out was forgotten.
fn is_forgotten(day: &Day, span: &DaySpan) -> bool {
    let mut steps = day.steps.iter();
    steps.any(|step| matches!(step, Step::MissingOut { at, .. } if *at == span.came))
}

/// Returns the start of the break that an open span is in.
fn breaks_now(span: &DaySpan) -> Option<WallTime> {
    let last = span.breaks.last()?;
    last.end.is_none().then_some(last.start)
}

/// Returns the time of an open span without its breaks.
fn so_far(span: &DaySpan, as_of: Timestamp) -> Seconds {
    let until = breaks_now(span).map_or(as_of, |start| start.at);
    let between = |from: WallTime, to: Timestamp| whole_second(to) - whole_second(from.at);
    let breaks = span.breaks.iter();
    let breaks = breaks.filter_map(|one| Some(between(one.start, one.end?.at)));
    (between(span.came, until) - breaks.sum::<Seconds>()).max(0)
}

/// Returns the state of an employee who was not there.
fn of_nobody(day: &Day, grace: Length, as_of: Timestamp) -> PresenceState {
    if day.exceptions.contains(&ExceptionCode::Absence) {
        return PresenceState::Missing;
    }
    if day.leave > 0 {
        return PresenceState::OnLeave;
    }
    let begun = |step: &Step| match step {
        Step::Planned {
            from,
            flexible: false,
            ..
        } => whole_second(from.at) + grace.seconds() < whole_second(as_of),
        _ => false,
    };
    match day.due > 0 && day.steps.iter().any(begun) {
        true => PresenceState::Late,
        false => PresenceState::NotDue,
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use uuid::Uuid;

    use super::{
        super::{
            super::{ids::PunchId, sites::Zone},
            Calendar, DateRange, Employment, Holidays, Leave, LeavePart, Plan, PunchKind, RuleBook,
            Terms, TimedPunch, derive,
            plan::ShiftKinds,
        },
        *,
    };

    fn at(clock: &str) -> Timestamp {
        format!("2026-03-02T{clock}:00Z").parse().unwrap()
    }

    /// Returns the presence of an employee with a shift from 08:00 to 16:30, or without a plan.
    fn of(
        planned: bool,
        leave: &[Leave],
        punches: &[(&str, PunchKind)],
        as_of: Timestamp,
    ) -> Presence {
        let day = date(2026, 3, 2);
        let shift = r#"[{"from": "08:00", "to": "16:30", "unpaid_break": "30m"}]"#;
        let mut plan = Plan::default();
        if planned {
            plan.days.insert(day, serde_json::from_str(shift).unwrap());
        }
        let punches: Vec<_> = punches
            .iter()
            .zip(1..)
            .map(|((clock, kind), number)| TimedPunch {
                id: PunchId::new(Uuid::from_u128(number)),
                kind: *kind,
                at: at(clock),
            })
            .collect();
        let (shifts, rules, holidays) =
            (ShiftKinds::new(), RuleBook::default(), Holidays::default());
        let terms = Terms {
            zone: &Zone::UTC,
            employed: Employment::default(),
            shifts: &shifts,
            plan: &plan,
            rules: &rules,
        };
        let calendar = Calendar {
            holidays: &holidays,
            leave,
        };
        let range = DateRange { from: day, to: day };
        let derived = derive(&punches, &[], terms, calendar, range, as_of);
        presence(&derived.days[0], Length::minutes(5), as_of)
    }

    #[test]
    fn an_open_employee_is_present_on_a_break_gone_or_not_due() {
        use PresenceState::{Left, NotDue, OnBreak, Present};
        use PunchKind::{BreakEnd, BreakStart, In, Out};
        let punches = [
            ("08:00", In),
            ("12:00", BreakStart),
            ("12:30", BreakEnd),
            ("16:30", Out),
        ];
        for (count, as_of, state, worked) in [
            (0, "11:00", NotDue, 0),
            (1, "11:00", Present, 3 * 3600),
            (2, "12:10", OnBreak, 4 * 3600),
            (3, "13:00", Present, 4 * 3600 + 1800),
            (4, "17:00", Left, 8 * 3600),
        ] {
            let presence = of(false, &[], &punches[..count], at(as_of));
            assert_eq!(
                (presence.state, presence.worked),
                (state, worked),
                "{count}"
            );
            let clock = |time: Option<WallTime>| time.map(|time| time.to_string());
            let (first, last) = (clock(presence.first_in), clock(presence.last_out));
            assert_eq!(first.as_deref(), (count > 0).then_some("08:00"));
            assert_eq!(last.as_deref(), (count == 4).then_some("16:30"));
        }
        // After the longest time, the out was forgotten.
        let forgotten = of(
            false,
            &[],
            &punches[..1],
            at("21:00") + jiff::SignedDuration::from_secs(1),
        );
        assert_eq!((forgotten.state, forgotten.worked), (Left, 0));
        assert_eq!(forgotten.last_out, None);
    }

    #[test]
    fn a_planned_employee_is_late_then_missing_unless_on_leave() {
        use PresenceState::{Late, Missing, NotDue, OnLeave};
        let state = |as_of| of(true, &[], &[], at(as_of)).state;
        assert_eq!(state("08:05"), NotDue);
        assert_eq!(state("08:06"), Late);
        assert_eq!(state("23:00"), Missing);
        let leave = Leave {
            day: date(2026, 3, 2),
            kind: "vacation".to_owned(),
            part: LeavePart::Whole,
        };
        assert_eq!(of(true, &[leave], &[], at("09:00")).state, OnLeave);
    }
}
