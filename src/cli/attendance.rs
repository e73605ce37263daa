//! `rollcall attendance`: calculates workdays from a file, to try rules before they are set.

pub mod case;

use std::{
    fmt::{self, Write},
    fs,
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Subcommand};

use super::Failure;
use crate::domain::attendance::{Adjusted, Adjustment, Day, Week, time::Hours};
use case::{Answer, Case};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Calculate the workdays of cases in TOML files, and explain each figure
    ///
    /// A case has punches, a plan, rules, holidays and leave of one employee; see docs/ATTENDANCE.md.
    /// Needs no service and no settings.
    Derive(Derive),
}

#[derive(Debug, Args)]
pub(super) struct Derive {
    /// Files with cases
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Compare with the answers in the files and print only differences: exit code 1 if there are any
    #[arg(long)]
    check: bool,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    let Command::Derive(arguments) = command;
    let mut output = String::new();
    let (mut cases, mut wrong) = (0, 0);
    for file in &arguments.files {
        let refused =
            |error: &dyn fmt::Display| Failure::Refused(format!("{}: {error}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| refused(&error))?;
        for case in case::read(&text).map_err(|error| refused(&error))? {
            let answer = case.answer().map_err(|error| refused(&error))?;
            cases += 1;
            if arguments.check {
                let differences = case.differences(&answer);
                wrong += usize::from(!differences.is_empty());
                for difference in differences {
                    writeln!(output, "{}: {difference}", case.id)?;
                }
            } else {
                write_case(&mut output, &case, &answer)?;
            }
        }
    }
    if arguments.check {
        writeln!(output, "{cases} cases, {wrong} with differences")?;
    }
    print!("{output}");
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn write_case(out: &mut String, case: &Case, answer: &Answer) -> fmt::Result {
    writeln!(out, "{}: {}", case.id, case.about)?;
    for (at, (kind, reason)) in &answer.directions {
        writeln!(out, "  {at}: {} ({reason})", kind.as_str())?;
    }
    for day in &answer.days {
        write_day(out, day)?;
    }
    for Week {
        starts,
        worked,
        overtime,
        ..
    } in &answer.weeks
    {
        let (worked, overtime) = (Hours(*worked), Hours(*overtime));
        writeln!(
            out,
            "  week of {starts}: worked {worked}, overtime {overtime}"
        )?;
    }
    for adjustment in &answer.adjustments {
        write_adjustment(out, adjustment)?;
    }
    writeln!(out)
}

fn write_day(out: &mut String, day: &Day) -> fmt::Result {
    write!(out, "  {} {:?}:", day.day, day.day.weekday())?;
    let figures = day.figures().into_iter().chain(case::bands(&day.bands));
    let mut empty = true;
    for (name, figure) in figures.filter(|(_, figure)| *figure != 0) {
        write!(
            out,
            "{} {name} {}",
            if empty { "" } else { "," },
            Hours(figure)
        )?;
        empty = false;
    }
    writeln!(out, "{}", if empty { " nothing" } else { "" })?;
    for step in &day.steps {
        writeln!(out, "    {step}")?;
    }
    if !day.exceptions.is_empty() {
        let codes: Vec<_> = day.exceptions.iter().map(|code| code.as_str()).collect();
        writeln!(out, "    exceptions: {}", codes.join(", "))?;
    }
    Ok(())
}

fn write_adjustment(out: &mut String, adjustment: &Adjustment) -> fmt::Result {
    match adjustment.of {
        Adjusted::Day(day) => write!(out, "  adjustment of {day}:")?,
        Adjusted::Week(week) => write!(out, "  adjustment of the week of {week}:")?,
    }
    for (name, figure) in case::differences_of(adjustment) {
        write!(out, " {name} {}", Hours(figure))?;
    }
    writeln!(out, "{}", if adjustment.held { ", held" } else { "" })
}
