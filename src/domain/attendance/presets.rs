//! Rules to start from, and what rules mean in plain words.

use super::{
    rules::{
        Band, BandDay, BreakMode, BreakRule, BreakStep, DayThreshold, PaidBreaks, Rounded,
        RoundingMode, Rules,
    },
    time::{EndTime, Length, StartTime},
};
use crate::domain::words::words;

words! {
    /// Rules that set-up offers. They are a starting point, not legal advice.
    Preset {
        /// For no country in particular.
        Default = "default",
        /// Germany: the hours law, with breaks that are watched and not deducted.
        Germany = "germany",
        /// The working time directive of the European Union.
        Eu = "eu",
        /// The United States: overtime by the week.
        Usa = "usa",
        /// California: overtime by the day too.
        California = "california",
    }
}

impl Preset {
    /// Returns the rules.
    pub fn rules(self) -> Rules {
        match self {
            Self::Default => Rules {
                grace_late: Length::minutes(5),
                grace_early: Length::minutes(5),
                max_day: Some(Length::hours(12)),
                longest_unplanned: Length::hours(13),
                ..Rules::default()
            },
            // §§ 2 to 5 and 9 ArbZG.
            Self::Germany => Rules {
                breaks: Some(BreakRule {
                    mode: BreakMode::Warn,
                    steps: vec![step(6, 30), step(9, 45)],
                    piece: Length::minutes(15),
                }),
                bands: vec![
                    night(),
                    all_day("sunday", BandDay::Sun),
                    all_day("holiday", BandDay::Holiday),
                ],
                max_day: Some(Length::hours(10)),
                min_rest: Some(Length::hours(11)),
                ..Self::Default.rules()
            },
            // Directive 2003/88/EC, art. 2 to 4. It leaves the length of the break to the
            // countries, so any break that counts at all is enough.
            Self::Eu => Rules {
                breaks: Some(BreakRule {
                    mode: BreakMode::Warn,
                    steps: vec![step(6, 15)],
                    piece: Length::minutes(15),
                }),
                bands: vec![night()],
                min_rest: Some(Length::hours(11)),
                ..Self::Default.rules()
            },
            // 29 CFR 785.18 and 778.105.
            Self::Usa => Rules {
                paid_breaks: Some(PaidBreaks {
                    up_to: Length::minutes(20),
                    total: None,
                }),
                overtime_day: DayThreshold::None,
                overtime_week: Some(Length::hours(40)),
                week_starts: jiff::civil::Weekday::Sunday,
                ..Self::Default.rules()
            },
            // Cal. Lab. Code § 510.
            Self::California => Rules {
                overtime_day: DayThreshold::Fixed(Length::hours(8)),
                rounding: None,
                ..Self::Usa.rules()
            },
        }
    }
}

fn step(after: u16, total: u16) -> BreakStep {
    BreakStep {
        after: Length::hours(after),
        total: Length::minutes(total),
    }
}

fn night() -> Band {
    Band {
        name: "night".to_owned(),
        from: StartTime::at(23, 0),
        to: EndTime::at(6, 0),
        days: Vec::new(),
    }
}

fn all_day(name: &str, day: BandDay) -> Band {
    Band {
        name: name.to_owned(),
        from: StartTime::at(0, 0),
        to: EndTime::at(24, 0),
        days: vec![day],
    }
}

/// Describes each rule in plain words, by its name.
pub fn describe(rules: &Rules) -> Vec<(&'static str, String)> {
    let limit = |limit: Option<Length>, then: &str| match limit {
        None => "No limit.".to_owned(),
        Some(limit) => then.replace("{}", &limit.to_string()),
    };
    let grace = |grace: Length, what: &str| {
        if grace == Length::ZERO {
            format!("Every minute {what} is reported.")
        } else {
            format!("Up to {grace} {what} is forgiven; beyond that, all of it counts.")
        }
    };
    vec![
        (
            "cut_off",
            format!("Without a shift, a workday begins at {}.", rules.cut_off),
        ),
        (
            "reach",
            format!(
                "A punch can belong to a shift from {0} before it to {0} after it.",
                rules.reach
            ),
        ),
        (
            "longest",
            format!(
                "With a shift, an out comes at most {} after the in.",
                rules.longest
            ),
        ),
        (
            "longest_unplanned",
            format!(
                "Without a shift, an out comes at most {} after the in.",
                rules.longest_unplanned
            ),
        ),
        ("grace_late", grace(rules.grace_late, "late")),
        ("grace_early", grace(rules.grace_early, "early")),
        (
            "clip",
            if rules.clip {
                "Time before the shift does not count.".to_owned()
            } else {
                "Time before the shift counts.".to_owned()
            },
        ),
        ("rounding", rounding(rules)),
        (
            "breaks",
            rules
                .breaks
                .as_ref()
                .map_or_else(|| "No break is asked for.".to_owned(), breaks),
        ),
        (
            "paid_breaks",
            match rules.paid_breaks {
                None => "Breaks are not paid.".to_owned(),
                Some(PaidBreaks { up_to, total: None }) => {
                    format!("Breaks of at most {up_to} are paid.")
                }
                Some(PaidBreaks {
                    up_to,
                    total: Some(total),
                }) => {
                    format!("Breaks of at most {up_to} are paid, up to {total} a day.")
                }
            },
        ),
        (
            "overtime_day",
            match rules.overtime_day {
                DayThreshold::Plan => "Work beyond what was due is overtime of the day.".to_owned(),
                DayThreshold::Fixed(length) => {
                    format!("Work beyond {length} is overtime of the day.")
                }
                DayThreshold::None => "There is no overtime of a day.".to_owned(),
            },
        ),
        (
            "overtime_week",
            match rules.overtime_week {
                None => "There is no overtime of a week.".to_owned(),
                Some(length) => format!(
                    "Work beyond {length} is overtime of the week, without what was overtime of a day."
                ),
            },
        ),
        (
            "overtime_min",
            if rules.overtime_min == Length::ZERO {
                "Every second of overtime counts.".to_owned()
            } else {
                format!(
                    "Less than {} of overtime in a day is none; from there on, all of it counts.",
                    rules.overtime_min
                )
            },
        ),
        (
            "bands",
            if rules.bands.is_empty() {
                "No hours are reported on their own.".to_owned()
            } else {
                let bands = rules.bands.iter().map(|band| {
                    let days = if band.days.is_empty() {
                        ""
                    } else {
                        ", on some days"
                    };
                    format!("{} ({} to {}{days})", band.name, band.from, band.to)
                });
                format!(
                    "Reported on their own: {}.",
                    bands.collect::<Vec<_>>().join(", ")
                )
            },
        ),
        (
            "week_starts",
            format!("A week starts on {:?}.", rules.week_starts),
        ),
        (
            "max_day",
            limit(rules.max_day, "More than {} of work in a day is reported."),
        ),
        (
            "min_rest",
            limit(
                rules.min_rest,
                "Less than {} of rest between workdays is reported.",
            ),
        ),
    ]
}

fn rounding(rules: &Rules) -> String {
    let Some(rounding) = rules.rounding else {
        return "Nothing is rounded.".to_owned();
    };
    let what = match rounding.of {
        Rounded::Punch => "The first in and the last out of a day are rounded",
        Rounded::Day => "The worked time of a day is rounded",
    };
    let mode = match rounding.mode {
        RoundingMode::Nearest => "to the nearest step",
        RoundingMode::Employee => "in favor of the employee",
    };
    format!(
        "{what} {mode} of {}.",
        super::time::Hours(rounding.to.seconds())
    )
}

fn breaks(rule: &BreakRule) -> String {
    let steps = rule.steps.iter();
    let steps = steps.map(|step| format!("{} for more than {} of work", step.total, step.after));
    let steps = steps.collect::<Vec<_>>().join(", ");
    match rule.mode {
        BreakMode::Deduct => format!("What is missing of a break is deducted: {steps}."),
        BreakMode::Warn => format!(
            "Breaks that are too short are reported: {steps}, in pieces of at least {}.",
            rule.piece
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_says_what_it_takes_over_and_every_rule_has_words() {
        for preset in Preset::ALL {
            let rules = preset.rules();
            assert_eq!(rules.grace_late, Length::minutes(5), "{preset:?}");
            assert_eq!(rules.rounding, None, "{preset:?}");
            let json = serde_json::to_value(&rules).unwrap();
            let mut names: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
            let mut described: Vec<_> = describe(&rules)
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect();
            names.sort();
            described.sort();
            assert_eq!(names, described);
        }
        assert_eq!(Preset::Germany.rules().max_day, Some(Length::hours(10)));
        assert_eq!(
            Preset::California.rules().overtime_week,
            Some(Length::hours(40))
        );
    }
}
