//! Rules of sites, assignments and leave.

use std::collections::HashMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{read_date, read_id, time};
use crate::{
    domain::{
        attendance::{DateRange, LeavePart, Period, Rules},
        ids::{AccountId, EmployeeId, LeaveKindId, ShiftKindId},
        plans::{Assigned, Assignment, Leave, SiteRules},
        text::Reason,
    },
    http::{
        field_error::FieldError,
        problem::{Fields, Problem},
    },
    service::{assignments::Whose, leave::NewLeave, plans::Rota, site_rules::RulesSettings},
};

/// What holds at a site from a date on.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "RulesSettings")]
pub struct EditableRules {
    /// How punches count. Rules that are left out have their defaults, not the values of a preset;
    /// docs/ATTENDANCE.md explains them.
    #[schema(value_type = Object, example = json!({ "grace_late": "5m", "max_day": "10h" }))]
    rules: Rules,
    /// The length of a timesheet: `week`, `two_weeks`, `half_month` or `month`.
    #[serde(default)]
    #[schema(value_type = String, example = "month")]
    period: Period,
    /// A date in the first week of a two-week period; null for 2026-01-05.
    #[serde(default)]
    #[schema(format = "date", example = "2026-01-12")]
    two_weeks_from: Option<String>,
    /// Whether another person must decide on what an account requested or entered.
    #[serde(default)]
    four_eyes: bool,
    /// Whether an approval of a timesheet with overtime must say whether that is approved.
    #[serde(default)]
    overtime_approval: bool,
}

impl EditableRules {
    /// Reads the rules.
    pub fn read(self) -> Result<RulesSettings, Problem> {
        let mut fields = Fields::default();
        let anchor = self.two_weeks_from;
        let two_weeks_from = fields.optional("two_weeks_from", anchor, |text| read_date(&text));
        fields.check()?;
        Ok(RulesSettings {
            rules: self.rules,
            period: self.period,
            two_weeks_from,
            four_eyes: self.four_eyes,
            overtime_approval: self.overtime_approval,
        })
    }
}

/// The rules of a site from a date on.
#[derive(Serialize, ToSchema)]
#[schema(title = "SiteRules")]
pub struct SiteRulesView {
    /// The first workday.
    #[schema(format = "date", example = "2026-12-01")]
    from: String,
    #[serde(flatten)]
    settings: EditableRules,
}

impl From<SiteRules> for SiteRulesView {
    fn from(rules: SiteRules) -> Self {
        Self {
            from: rules.from.to_string(),
            settings: EditableRules {
                rules: rules.rules,
                period: rules.period,
                two_weeks_from: rules.two_weeks_from.map(|date| date.to_string()),
                four_eyes: rules.four_eyes,
                overtime_approval: rules.overtime_approval,
            },
        }
    }
}

/// The dates of a list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PlanQuery {
    /// The ID of an employee.
    employee: Option<String>,
    /// The ID of a site, for the people who usually work there.
    site: Option<String>,
    /// The first date.
    #[param(format = "date")]
    from: Option<String>,
    /// The last date.
    #[param(format = "date")]
    to: Option<String>,
}

impl PlanQuery {
    /// Returns the query for one employee.
    pub fn of(employee: EmployeeId, from: Option<String>, to: Option<String>) -> Self {
        Self {
            employee: Some(employee.to_string()),
            site: None,
            from,
            to,
        }
    }

    /// Parses the filter.
    ///
    /// # Errors
    /// All parameters that are not valid.
    pub fn read(self) -> Result<(Whose, DateRange), Problem> {
        let mut fields = Fields::default();
        let employee = fields.optional("employee", self.employee, read_id);
        let site = fields.optional("site", self.site, read_id);
        let from = fields.optional("from", self.from, |text| read_date(&text));
        let to = fields.optional("to", self.to, |text| read_date(&text));
        fields.check()?;
        let dates = DateRange {
            from: from.unwrap_or(Date::MIN),
            to: to.unwrap_or(Date::MAX),
        };
        Ok((Whose { employee, site }, dates))
    }
}

/// An assignment for some employees: a cycle, or the shifts of a single day.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAssignment {
    /// The IDs of the employees, 1 to 200.
    #[schema(min_items = 1, max_items = 200)]
    employees: Vec<String>,
    /// The ID of a cycle, with `from`.
    cycle: Option<String>,
    /// The first date of the cycle.
    #[schema(format = "date")]
    from: Option<String>,
    /// The last date of the cycle; without it, the cycle holds until another one is assigned.
    #[schema(format = "date")]
    to: Option<String>,
    /// A single day, with `shifts`.
    #[schema(format = "date")]
    day: Option<String>,
    /// The IDs of the shifts of the day, at most 8; none for a day off.
    #[schema(max_items = 8)]
    shifts: Option<Vec<String>>,
}

/// The most employees of a request.
const MOST_EMPLOYEES: usize = 200;

impl NewAssignment {
    /// Parses the assignment.
    pub fn read(self) -> Result<(Vec<EmployeeId>, Assigned), Problem> {
        let mut fields = Fields::default();
        let (least, most) = (1, MOST_EMPLOYEES);
        if !(least..=most).contains(&self.employees.len()) {
            fields.add("employees", FieldError::WrongCount { least, most });
        }
        let mut employees = Vec::new();
        for (number, id) in self.employees.into_iter().enumerate() {
            let field = format!("employees[{number}]");
            match fields.required(&field, read_id(id)) {
                Some(id) if employees.contains(&id) => fields.add(&field, FieldError::SentTwice),
                Some(id) => employees.push(id),
                None => {}
            }
        }
        let date = |text: String| read_date(&text);
        if self.cycle.is_some() && self.from.is_none() {
            fields.add("from", FieldError::Required);
        }
        if self.cycle.is_none() && self.day.is_none() {
            fields.add("day", FieldError::Required);
        }
        let from = fields.optional("from", self.from, date);
        let to = fields.optional("to", self.to, date);
        let day = fields.optional("day", self.day, date);
        let plan = match self.cycle {
            Some(cycle) => {
                for (field, sent) in [("day", day.is_some()), ("shifts", self.shifts.is_some())] {
                    if sent {
                        fields.add(field, FieldError::Excluded { by: "cycle" });
                    }
                }
                if let (Some(from), Some(to)) = (from, to)
                    && to < from
                {
                    fields.add("to", FieldError::BeforeStart);
                }
                let cycle = fields.required("cycle", read_id(cycle));
                cycle
                    .zip(from)
                    .map(|(cycle, from)| Assigned::Cycle { cycle, from, to })
            }
            None => {
                for (field, sent) in [("from", from.is_some()), ("to", to.is_some())] {
                    if sent {
                        fields.add(field, FieldError::Excluded { by: "day" });
                    }
                }
                let ids = fields.required("shifts", self.shifts.ok_or(FieldError::Required));
                let ids = ids.unwrap_or_default();
                let (least, most) = (0, Assigned::MOST_SHIFTS);
                if ids.len() > most {
                    fields.add("shifts", FieldError::WrongCount { least, most });
                }
                let mut shifts = Vec::new();
                for (number, id) in ids.into_iter().enumerate() {
                    let id = read_id::<ShiftKindId>(id);
                    shifts.extend(fields.required(&format!("shifts[{number}]"), id));
                }
                day.map(|day| Assigned::Day { day, shifts })
            }
        };
        let Some(plan) = plan else {
            return Err(fields.problem());
        };
        fields.check()?;
        Ok((employees, plan))
    }
}

/// A shift with its name.
#[derive(Serialize, ToSchema)]
#[schema(title = "NamedShift")]
pub struct NamedShift {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    /// The name.
    name: String,
    /// When it starts.
    from: String,
    /// When it ends.
    to: String,
}

/// An assignment.
#[derive(Serialize, ToSchema)]
#[schema(title = "Assignment")]
pub struct AssignmentView {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    /// The ID of the employee.
    #[schema(format = "uuid")]
    employee: String,
    /// The name of the employee.
    employee_name: String,
    /// The first date.
    #[schema(format = "date")]
    from: String,
    /// The last date; null without an end.
    #[schema(format = "date")]
    to: Option<String>,
    /// The ID of the cycle; null for a single day.
    #[schema(format = "uuid")]
    cycle: Option<String>,
    /// The name of the cycle.
    cycle_name: Option<String>,
    /// The shifts of a single day, none for a day off; null for a cycle.
    shifts: Option<Vec<NamedShift>>,
    /// When it was made. Of several cycles, and of several entries for a day, the last one holds.
    #[schema(format = "date-time")]
    made_at: String,
}

impl AssignmentView {
    /// Returns an assignment with the names of its employee, cycle and shifts.
    pub fn new(assignment: &Assignment, rota: &Rota, people: &HashMap<EmployeeId, String>) -> Self {
        let dates = assignment.plan.dates();
        let cycle = match assignment.plan {
            Assigned::Cycle { cycle, .. } => Some(cycle),
            Assigned::Day { .. } => None,
        };
        let name = |cycle| Some(rota.cycle(cycle)?.settings.name.to_string());
        let shifts = match &assignment.plan {
            Assigned::Cycle { .. } => None,
            Assigned::Day { shifts, .. } => {
                let named = shifts.iter().filter_map(|id| {
                    let kind = &rota.shift(*id)?.settings;
                    Some(NamedShift {
                        id: id.to_string(),
                        name: kind.name.to_string(),
                        from: kind.shift.from.to_string(),
                        to: kind.shift.to.to_string(),
                    })
                });
                Some(named.collect())
            }
        };
        Self {
            id: assignment.id.to_string(),
            employee: assignment.employee.to_string(),
            employee_name: people
                .get(&assignment.employee)
                .cloned()
                .unwrap_or_default(),
            from: dates.from.to_string(),
            to: (dates.to != Date::MAX).then(|| dates.to.to_string()),
            cycle: cycle.map(|cycle| cycle.to_string()),
            cycle_name: cycle.and_then(name),
            shifts,
            made_at: time(assignment.made_at),
        }
    }
}

/// The hours of leave.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "LeaveHours")]
pub struct LeaveHours {
    /// When it starts.
    #[schema(example = "14:00")]
    from: String,
    /// When it ends; on the next date if that is not later than `from`.
    #[schema(example = "16:00")]
    to: String,
}

/// Leave to request or to enter.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewLeave")]
pub struct NewLeaveView {
    /// The ID of the employee.
    #[schema(format = "uuid")]
    employee: String,
    /// The ID of the kind of leave.
    #[schema(format = "uuid")]
    kind: String,
    /// The first date.
    #[schema(format = "date")]
    from: String,
    /// The last date, by default the first one; at most 366 days later.
    #[serde(default)]
    #[schema(format = "date")]
    to: Option<String>,
    /// How much of each date: `whole`, `first_half`, `second_half` or `hours`.
    #[serde(default = "whole")]
    #[schema(default = whole)]
    part: String,
    /// The hours, with the part `hours`.
    #[serde(default)]
    hours: Option<LeaveHours>,
    /// Why; up to 500 characters.
    #[serde(default)]
    reason: Option<String>,
    /// `true`: enter it as approved; for managers of the employee's site and admins.
    #[serde(default)]
    pub approved: bool,
}

fn whole() -> String {
    LeavePart::Whole.as_str().to_owned()
}

impl NewLeaveView {
    /// Parses the leave.
    pub fn read(self) -> Result<NewLeave, Problem> {
        let mut fields = Fields::default();
        let employee = fields.required("employee", read_id(self.employee));
        let kind = fields.required::<LeaveKindId, _>("kind", read_id(self.kind));
        let from = fields.required("from", read_date(&self.from));
        let to = fields
            .optional("to", self.to, |text| read_date(&text))
            .or(from);
        if let (Some(from), Some(to)) = (from, to) {
            if to < from {
                fields.add("to", FieldError::BeforeStart);
            } else if (to - from).get_days() > Leave::LONGEST {
                let most = Leave::LONGEST.unsigned_abs() as usize;
                fields.add("to", FieldError::TooManyDays { most });
            }
        }
        let part = match (self.part.as_str(), self.hours) {
            ("hours", None) => {
                fields.add("hours", FieldError::Required);
                None
            }
            ("hours", Some(hours)) => {
                let of_day = |_| FieldError::NotATimeOfDay;
                let from = fields.required("hours.from", hours.from.parse().map_err(of_day));
                let to = fields.required("hours.to", hours.to.parse().map_err(of_day));
                from.zip(to).map(|(from, to)| LeavePart::Hours { from, to })
            }
            (_, Some(_)) => {
                fields.add("hours", FieldError::Excluded { by: "part" });
                None
            }
            ("whole", None) => Some(LeavePart::Whole),
            ("first_half", None) => Some(LeavePart::FirstHalf),
            ("second_half", None) => Some(LeavePart::SecondHalf),
            _ => {
                let values = vec!["whole", "first_half", "second_half", "hours"];
                fields.add("part", FieldError::NotOneOf { values });
                None
            }
        };
        let reason = fields.optional("reason", self.reason, |text| Reason::parse(&text));
        let (Some(employee), Some(kind), Some(from), Some(to), Some(part)) =
            (employee, kind, from, to, part)
        else {
            return Err(fields.problem());
        };
        fields.check()?;
        Ok(NewLeave {
            employee,
            kind,
            from,
            to,
            part,
            reason,
        })
    }
}

/// Leave of an employee.
#[derive(Serialize, ToSchema)]
#[schema(title = "Leave")]
pub struct LeaveView {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    /// The ID of the employee.
    #[schema(format = "uuid")]
    employee: String,
    /// The name of the employee.
    employee_name: String,
    /// The ID of the kind of leave.
    #[schema(format = "uuid")]
    kind: String,
    /// The name of the kind.
    kind_name: String,
    /// The first date.
    #[schema(format = "date")]
    from: String,
    /// The last date.
    #[schema(format = "date")]
    to: String,
    /// How much of each date: `whole`, `first_half`, `second_half` or `hours`.
    part: String,
    /// The hours, with the part `hours`.
    hours: Option<LeaveHours>,
    /// `requested`, `approved`, `rejected`, `withdrawn` or `cancelled`.
    state: String,
    /// Why.
    reason: Option<String>,
    /// When it was requested or entered.
    #[schema(format = "date-time")]
    made_at: String,
    /// The name of the account that requested or entered it; null if it no longer exists.
    #[schema(example = "Ada Admin")]
    made_by_name: Option<String>,
    /// When its state changed last.
    #[schema(format = "date-time")]
    decided_at: Option<String>,
}

impl LeaveView {
    /// Returns leave with the names of its employee, kind and author.
    pub fn new(
        leave: &Leave,
        kinds: &HashMap<LeaveKindId, String>,
        people: &HashMap<EmployeeId, String>,
        accounts: &HashMap<AccountId, String>,
    ) -> Self {
        let hours = match leave.part {
            LeavePart::Hours { from, to } => Some(LeaveHours {
                from: from.to_string(),
                to: to.to_string(),
            }),
            LeavePart::Whole | LeavePart::FirstHalf | LeavePart::SecondHalf => None,
        };
        Self {
            id: leave.id.to_string(),
            employee: leave.employee.to_string(),
            employee_name: people.get(&leave.employee).cloned().unwrap_or_default(),
            kind: leave.kind.to_string(),
            kind_name: kinds.get(&leave.kind).cloned().unwrap_or_default(),
            from: leave.from.to_string(),
            to: leave.to.to_string(),
            part: leave.part.as_str().to_owned(),
            hours,
            state: leave.state.as_str().to_owned(),
            reason: leave.reason.as_ref().map(ToString::to_string),
            made_at: time(leave.made_at),
            made_by_name: leave
                .made_by
                .account()
                .and_then(|id| accounts.get(&id).cloned()),
            decided_at: leave.decided_at.map(time),
        }
    }
}

/// Leave that was added.
#[derive(Serialize, ToSchema)]
#[schema(title = "AddedLeave")]
pub struct AddedLeaveView {
    #[serde(flatten)]
    pub leave: LeaveView,
    /// Whether the employee is entitled to less, with all that waits for a decision.
    pub exceeds: bool,
}
