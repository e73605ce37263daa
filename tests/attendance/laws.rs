//! What must hold of every workday: SPEC 14 as properties over generated records.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use jiff::{
    SignedDuration, Span, Timestamp,
    civil::{Date, date},
};
use proptest::{prelude::*, sample::select};
use rollcall::domain::{
    attendance::{
        Adjusted, Assignment, Calendar, Correction, Cycle, DateRange, Derived, Employment,
        ExceptionCode, Holiday, HolidayPart, Leave, LeavePart, Plan, PunchKind, RuleBook, Rules,
        Shift, Step, Terms, TimedPunch, adjust, derive, direction, plan::ShiftKinds,
    },
    ids::PunchId,
    sites::Zone,
};
use uuid::Uuid;

/// The number of generated records of each law.
const CASES: u32 = 10_000;

/// Days of a record.
const DAYS: i64 = 4;

/// An employee, with everything that the function asks for.
#[derive(Debug, Clone)]
struct Employee {
    zone: Zone,
    first: Date,
    rules: RuleBook,
    plan: Plan,
    employed: Employment,
    holidays: Vec<Holiday>,
    leave: Vec<Leave>,
    punches: Vec<TimedPunch>,
    corrections: Vec<Correction>,
    as_of: Timestamp,
}

fn after(day: Date, days: i64) -> Date {
    day.saturating_add(Span::new().days(days))
}

fn id(number: u128) -> PunchId {
    PunchId::new(Uuid::from_u128(number))
}

/// Shifts of a day that overlap with no others of the list on the days around it.
static MENU: LazyLock<Vec<Vec<Shift>>> = LazyLock::new(|| {
    let day = |shifts: &str| serde_json::from_str(shifts).unwrap();
    vec![
        day("[]"),
        day(r#"[{"from": "08:00", "to": "16:30", "unpaid_break": "30m"}]"#),
        day(r#"[{"from": "06:00", "to": "14:00"}]"#),
        day(r#"[{"from": "14:00", "to": "22:00"}]"#),
        day(r#"[{"from": "22:00", "to": "06:00", "unpaid_break": "45m"}]"#),
        day(r#"[{"from": "08:00", "to": "12:00"}, {"from": "13:00", "to": "17:00"}]"#),
        day(r#"[{"from": "06:00", "to": "20:00", "flexible": true, "work": "7h36m"}]"#),
        day(r#"[{"from": "06:00", "to": "14:00"}, {"from": "14:00", "to": "22:00"}]"#),
        day(r#"[{"from": "06:00", "to": "06:00"}]"#),
    ]
});

static RULES: LazyLock<Vec<Rules>> = LazyLock::new(|| {
    let rules = |text: &str| serde_json::from_str(text).unwrap();
    vec![
        Rules::default(),
        rules(r#"{"grace_late": "5m", "clip": true, "min_rest": "11h", "max_day": "10h"}"#),
        rules(
            r#"{"breaks": {"mode": "deduct", "steps": [{"after": "6h", "total": "30m"},
            {"after": "9h", "total": "45m"}]}, "overtime_day": "8h", "overtime_week": "20h",
            "bands": [{"name": "night", "from": "23:00", "to": "06:00"},
            {"name": "always", "from": "00:00", "to": "24:00"},
            {"name": "holiday", "from": "00:00", "to": "24:00", "days": ["holiday", "sun"]}]}"#,
        ),
        rules(
            r#"{"paid_breaks": {"up_to": "20m", "total": "30m"}, "clip": true,
            "overtime_day": "none", "overtime_week": "10h", "week_starts": "sun",
            "bands": [{"name": "evening", "from": "18:00", "to": "02:30"}]}"#,
        ),
        rules(
            r#"{"cut_off": "00:00", "longest_unplanned": "6h", "reach": "1h", "overtime_min": "15m",
            "breaks": {"mode": "warn", "steps": [{"after": "4h", "total": "20m"}]},
            "paid_breaks": {"up_to": "1h"}}"#,
        ),
    ]
});

fn kind() -> impl Strategy<Value = PunchKind> {
    use PunchKind::{BreakEnd, BreakStart, In, Out};
    prop_oneof![4 => Just(In), 4 => Just(Out), 1 => Just(BreakStart), 1 => Just(BreakEnd)]
}

/// Seconds after the midnight of the first date: often on the hour, where limits are.
fn second() -> impl Strategy<Value = i64> {
    let hours = 24 * DAYS;
    prop_oneof![
        3 => (0..hours).prop_map(|hour| hour * 3600),
        3 => (0..hours * 12).prop_map(|five| five * 300),
        1 => 0..hours * 3600,
    ]
}

fn part() -> impl Strategy<Value = LeavePart> {
    let hours = |from: &str, to: &str| LeavePart::Hours {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    };
    select(vec![
        LeavePart::Whole,
        LeavePart::FirstHalf,
        LeavePart::SecondHalf,
        hours("09:00", "11:30"),
        hours("14:00", "24:00"),
        hours("02:00", "06:00"),
    ])
}

/// Makes employees in some zones, around days on which their clocks change.
fn employees(zones: &'static [(&'static str, Date)]) -> impl Strategy<Value = Employee> {
    let record = (
        prop::collection::vec((second(), kind()), 0..14),
        prop::collection::vec((0usize..16, 0u8..3, second(), kind()), 0..4),
    );
    let plan = (
        prop::collection::vec(0..MENU.len(), 0..=5),
        prop::collection::vec((0..DAYS, any::<bool>()), 0..2),
        prop::collection::vec((0..DAYS, part()), 0..3),
    );
    let frame = (
        select(zones.to_vec()),
        0..RULES.len(),
        0..8i64,
        prop_oneof![3 => Just(DAYS + 30), 1 => 0..DAYS],
    );
    (record, plan, frame).prop_map(|((punches, corrections), plan, frame)| {
        let (menu, holidays, leave) = plan;
        let ((zone, first), rules, employed, as_of) = frame;
        let zone = Zone::parse(zone).unwrap();
        let midnight = first
            .to_zoned(zone.time_zone().clone())
            .unwrap()
            .timestamp();
        let at = |second: i64| midnight + SignedDuration::from_secs(second);
        let punches: Vec<_> = punches
            .iter()
            .zip(1..)
            .map(|((second, kind), number)| TimedPunch {
                id: id(number),
                kind: *kind,
                at: at(*second),
            })
            .collect();
        let corrections = corrections.iter().zip(100..).map(|(made, number)| {
            let (of, action, second, kind) = *made;
            let punch = id(u128::try_from(of).unwrap());
            match action {
                0 => Correction::Void { punch },
                1 => Correction::Move {
                    punch,
                    at: at(second),
                },
                _ => Correction::Add(TimedPunch {
                    id: id(number),
                    kind,
                    at: at(second),
                }),
            }
        });
        let days = menu.iter().zip(0..);
        let days = days.map(|(menu, day)| (after(first, day), MENU[*menu].clone()));
        Employee {
            first,
            rules: RULES[rules].clone().into(),
            plan: Plan {
                assignments: Vec::new(),
                days: days.collect(),
            },
            employed: Employment {
                from: (employed < 2).then(|| after(first, employed)),
                to: (employed == 4).then(|| after(first, employed - 1)),
            },
            holidays: holidays
                .iter()
                .map(|(day, whole)| Holiday {
                    day: after(first, *day),
                    part: if *whole {
                        HolidayPart::Whole
                    } else {
                        HolidayPart::Half
                    },
                })
                .collect(),
            leave: leave
                .iter()
                .map(|(day, part)| Leave {
                    day: after(first, *day),
                    kind: "vacation".to_owned(),
                    part: *part,
                })
                .collect(),
            punches,
            corrections: corrections.collect(),
            as_of: at(as_of * 86_400),
            zone,
        }
    })
}

const ANYWHERE: &[(&str, Date)] = &[
    ("Europe/Berlin", date(2026, 3, 27)),
    ("Europe/Berlin", date(2026, 10, 23)),
    ("America/New_York", date(2026, 10, 30)),
    ("Australia/Lord_Howe", date(2026, 4, 3)),
    ("Asia/Kolkata", date(2026, 3, 2)),
    ("Pacific/Apia", date(2011, 12, 28)),
];

const WITHOUT_CLOCK_CHANGES: &[(&str, Date)] = &[
    ("Asia/Kolkata", date(2026, 3, 2)),
    ("UTC", date(2026, 6, 5)),
];

impl Employee {
    fn terms<'a>(&'a self, kinds: &'a ShiftKinds) -> Terms<'a> {
        Terms {
            zone: &self.zone,
            employed: self.employed,
            shifts: kinds,
            plan: &self.plan,
            rules: &self.rules,
        }
    }

    fn derive_days(&self, before: i64, days: i64) -> Derived {
        let range = DateRange {
            from: after(self.first, -before),
            to: after(self.first, days),
        };
        let holidays = self.holidays.iter().cloned().collect();
        let calendar = Calendar {
            holidays: &holidays,
            leave: &self.leave,
        };
        let kinds = ShiftKinds::new();
        let (punches, corrections) = (&self.punches, &self.corrections);
        derive(
            punches,
            corrections,
            self.terms(&kinds),
            calendar,
            range,
            self.as_of,
        )
    }

    fn derive(&self) -> Derived {
        self.derive_days(1, DAYS + 1)
    }

    /// Returns the kinds of the punches that count.
    fn effective(&self) -> BTreeMap<PunchId, PunchKind> {
        let mut kinds: BTreeMap<_, _> = self
            .punches
            .iter()
            .map(|punch| (punch.id, punch.kind))
            .collect();
        for correction in &self.corrections {
            match correction {
                Correction::Add(punch) => {
                    kinds.insert(punch.id, punch.kind);
                }
                Correction::Void { punch } => {
                    kinds.remove(punch);
                }
                Correction::Move { .. } => {}
            }
        }
        kinds
    }
}

/// Returns the figures of all days, without the instants.
fn figures(of: &Derived) -> Vec<(Vec<i64>, Vec<ExceptionCode>)> {
    let days = of.days.iter().map(|day| {
        let figures = day.figures().into_iter().map(|(_, figure)| figure);
        let figures = figures.chain(day.bands.values().copied()).collect();
        (figures, day.exceptions.clone())
    });
    days.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_arrival_changes_nothing_and_deriving_twice_gives_it_twice(
        (employee, shuffled) in employees(ANYWHERE).prop_flat_map(|employee| {
            let punches = Just(employee.punches.clone()).prop_shuffle();
            (Just(employee), punches)
        }),
    ) {
        let derived = employee.derive();
        prop_assert_eq!(&employee.derive(), &derived);
        let shuffled = Employee { punches: shuffled, ..employee };
        prop_assert_eq!(shuffled.derive(), derived);
    }

    #[test]
    fn nothing_is_counted_that_was_not_there_and_no_figure_is_negative(
        employee in employees(ANYWHERE),
    ) {
        for day in employee.derive().days {
            prop_assert!(
                day.worked + day.breaks + day.auto_break <= day.presence + day.paid_breaks,
                "{day:?}"
            );
            prop_assert_eq!(day.due, day.planned - day.holiday - day.leave);
            prop_assert_eq!(day.balance, day.worked - day.due);
            prop_assert_eq!(day.leave, day.leave_by_kind.values().sum::<i64>());
            for (name, figure) in day.figures() {
                prop_assert!(figure >= 0 || name == "balance", "{name} {figure}");
            }
        }
    }

    #[test]
    fn no_punch_vanishes(employee in employees(ANYWHERE)) {
        use PunchKind::{BreakEnd, BreakStart, In, Out};
        let mut seen: Vec<(PunchId, &[PunchKind])> = Vec::new();
        let mut ends = BTreeSet::new();
        for step in employee.derive().days.iter().flat_map(|day| &day.steps) {
            match step {
                Step::Span { punches, .. } => {
                    seen.extend([(punches[0], &[In][..]), (punches[1], &[Out][..])]);
                }
                Step::OpenSpan { punch, .. } | Step::DoubleIn { punch, .. } => {
                    seen.push((*punch, &[In]));
                }
                Step::StrayOut { punch, .. } => seen.push((*punch, &[Out])),
                Step::StrayBreak { punch, .. } => seen.push((*punch, &[BreakStart, BreakEnd])),
                Step::OpenBreak { punch, .. } => seen.push((*punch, &[BreakStart])),
                Step::Break { punches, .. } => {
                    seen.push((punches[0], &[BreakStart]));
                    ends.insert(punches[1]);
                }
                _ => {}
            }
        }
        let effective = employee.effective();
        // An out that ends a break closes a span too.
        seen.extend(ends.iter().filter(|end| effective[*end] != Out).map(|end| (*end, &[In, BreakEnd][..])));
        for (punch, kinds) in &seen {
            prop_assert!(kinds.contains(&effective[punch]), "{punch:?} {kinds:?}");
        }
        let once: BTreeSet<_> = seen.iter().map(|(punch, _)| *punch).collect();
        prop_assert_eq!(once.len(), seen.len(), "a punch is there twice");
        prop_assert_eq!(once, effective.keys().copied().collect::<BTreeSet<_>>());
    }

    #[test]
    fn a_punch_that_is_added_and_voided_leaves_everything_as_it_was(
        employee in employees(ANYWHERE),
        second in second(),
        kind in kind(),
    ) {
        let derived = employee.derive();
        let at = employee.as_of - SignedDuration::from_secs(second);
        let mut corrected = employee;
        corrected.corrections.push(Correction::Add(TimedPunch { id: id(999), kind, at }));
        corrected.corrections.push(Correction::Void { punch: id(999) });
        corrected.corrections.push(Correction::Move { punch: id(999), at });
        prop_assert_eq!(corrected.derive(), derived);
    }

    #[test]
    fn a_wider_range_changes_no_day_and_weeks_are_the_sum_of_their_days(
        employee in employees(ANYWHERE),
        (from, length) in (0..DAYS).prop_flat_map(|from| (Just(from), 0..=DAYS - from)),
    ) {
        let narrow = employee.derive_days(-from, from + length);
        let wide = employee.derive_days(7, DAYS + 7);
        for day in &narrow.days {
            prop_assert!(wide.days.contains(day), "{day:?}");
        }
        for week in &narrow.weeks {
            prop_assert!(wide.weeks.contains(week), "{week:?}");
            let days = wide.days.iter();
            let days = days.filter(|day| (week.starts..=week.ends).contains(&day.day));
            prop_assert_eq!(days.map(|day| day.worked).sum::<i64>(), week.worked);
        }
        let presence: i64 = wide.days.iter().map(|day| day.presence).sum();
        let spans = wide.days.iter().flat_map(|day| &day.spans);
        let length = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs();
        let spans = spans.filter_map(|span| Some(length(span.came.at, span.left?.at)));
        prop_assert_eq!(presence, spans.sum::<i64>());
    }

    #[test]
    fn moving_everything_by_weeks_moves_the_figures(
        employee in employees(WITHOUT_CLOCK_CHANGES),
        weeks in -60i64..60,
    ) {
        let derived = employee.derive();
        let moved = |date: Date| after(date, 7 * weeks);
        let by = SignedDuration::from_hours(7 * 24 * weeks);
        let later = |punch: &TimedPunch| TimedPunch { at: punch.at + by, ..*punch };
        let corrections = employee.corrections.iter().map(|correction| match *correction {
            Correction::Add(punch) => Correction::Add(later(&punch)),
            Correction::Void { punch } => Correction::Void { punch },
            Correction::Move { punch, at } => Correction::Move { punch, at: at + by },
        });
        let days = employee.plan.days.iter();
        let moved = Employee {
            first: moved(employee.first),
            plan: Plan {
                days: days.map(|(day, shifts)| (moved(*day), shifts.clone())).collect(),
                ..Plan::default()
            },
            employed: Employment {
                from: employee.employed.from.map(moved),
                to: employee.employed.to.map(moved),
            },
            holidays: employee.holidays.iter().map(|holiday| Holiday {
                day: moved(holiday.day),
                ..holiday.clone()
            }).collect(),
            leave: employee.leave.iter().map(|leave| Leave {
                day: moved(leave.day),
                ..leave.clone()
            }).collect(),
            punches: employee.punches.iter().map(later).collect(),
            corrections: corrections.collect(),
            as_of: employee.as_of + by,
            ..employee
        };
        let of_moved = moved.derive();
        prop_assert_eq!(figures(&of_moved), figures(&derived));
        let weeks = |of: &Derived| -> Vec<_> {
            of.weeks.iter().map(|week| (week.worked, week.overtime)).collect()
        };
        prop_assert_eq!(weeks(&of_moved), weeks(&derived));
    }

    #[test]
    fn bands_and_overtime_are_at_most_what_was_worked(employee in employees(ANYWHERE)) {
        let derived = employee.derive_days(7, DAYS + 7);
        for day in &derived.days {
            prop_assert!(day.overtime <= day.worked);
            for (name, figure) in &day.bands {
                prop_assert!((0..=day.worked).contains(figure), "{name} {figure}");
                // The whole clock leaves out nothing but an automatic break.
                prop_assert!(name != "always" || *figure == day.worked, "{day:?}");
            }
        }
        let worked: i64 = derived.days.iter().map(|day| day.worked).sum();
        let daily: i64 = derived.days.iter().map(|day| day.overtime).sum();
        let weekly: i64 = derived.weeks.iter().map(|week| week.overtime).sum();
        prop_assert!(daily + weekly <= worked);
    }

    #[test]
    fn punches_without_a_kind_in_order_of_time_give_no_double_in_and_no_stray_out(
        employee in employees(ANYWHERE),
    ) {
        let mut asked: Vec<_> = employee.punches.clone();
        asked.sort_by_key(|punch| punch.at);
        asked.dedup_by_key(|punch| punch.at);
        let mut employee = Employee { punches: Vec::new(), corrections: Vec::new(), ..employee };
        let kinds = ShiftKinds::new();
        for punch in asked {
            let terms = employee.terms(&kinds);
            let (kind, _) = direction(&employee.punches, &[], terms, punch.at);
            employee.punches.push(TimedPunch { kind, ..punch });
        }
        for day in employee.derive().days {
            prop_assert!(!day.exceptions.contains(&ExceptionCode::DoubleIn), "{day:?}");
            prop_assert!(!day.exceptions.contains(&ExceptionCode::StrayOut), "{day:?}");
        }
    }

    #[test]
    fn locked_figures_and_adjustments_are_the_derived_figures(
        employee in employees(ANYWHERE),
        known in 0usize..14,
        lock in 0..DAYS,
    ) {
        let lock = after(employee.first, lock);
        let derived = employee.derive();
        let mut then = employee.clone();
        then.punches.truncate(known);
        then.corrections.clear();
        then.leave.clear();
        then.plan.days.pop_last();
        let mut locked = then.derive();
        locked.days.retain(|day| day.day <= lock);
        locked.weeks.retain(|week| week.ends <= lock);
        let adjustments = adjust(&locked, &derived);
        for day in &locked.days {
            let now = derived.days.iter().find(|now| now.day == day.day).unwrap();
            let of_day = |of: Adjusted| of == Adjusted::Day(day.day);
            let adjustment = adjustments.iter().find(|adjustment| of_day(adjustment.of));
            let differences: BTreeMap<_, _> =
                adjustment.iter().flat_map(|adjustment| adjustment.figures()).collect();
            for ((name, then), (_, now)) in day.figures().into_iter().zip(now.figures()) {
                if ["worked", "overtime", "planned", "holiday", "leave"].contains(&name) {
                    let difference = differences.get(name).copied().unwrap_or_default();
                    prop_assert_eq!(then + difference, now, "{}", name);
                }
            }
            for (name, figure) in &day.bands {
                let difference = adjustment.and_then(|adjustment| adjustment.bands.get(name));
                prop_assert_eq!(figure + difference.unwrap_or(&0), now.bands[name]);
            }
            if let Some(adjustment) = adjustment {
                prop_assert_eq!(adjustment.held, now.exceptions.iter().any(|code| code.blocks()));
            }
        }
        for week in &locked.weeks {
            let now = derived.weeks.iter().find(|now| now.starts == week.starts).unwrap();
            let of_week = |of: Adjusted| of == Adjusted::Week(week.starts);
            let adjustment = adjustments.iter().find(|adjustment| of_week(adjustment.of));
            let difference = adjustment.map_or(0, |adjustment| adjustment.overtime);
            prop_assert_eq!(week.overtime + difference, now.overtime);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn an_answer_is_the_same_after_writing_and_reading(employee in employees(ANYWHERE)) {
        let derived = employee.derive();
        let json = serde_json::to_string(&derived).unwrap();
        prop_assert_eq!(serde_json::from_str::<Derived>(&json).unwrap(), derived);
    }

    #[test]
    fn a_cycle_repeats_in_both_directions(length in 1i64..30, days in -400i64..400, rounds in -9i64..9) {
        let starts = date(2026, 3, 2);
        let names = (0..length).map(|place| place.to_string());
        let cycle = Assignment { from: starts, to: None, cycle: Cycle { starts, days: names.collect() } };
        let on = |days| cycle.cycle.on(after(starts, days)).to_owned();
        prop_assert_eq!(on(days), on(days + rounds * length));
        prop_assert_eq!(on(days), days.rem_euclid(length).to_string());
    }
}
