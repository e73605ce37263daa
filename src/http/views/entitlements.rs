//! Entitlements to leave, and how much of it is left.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{read_date, read_id, time, timesheets::ByView};
use crate::{
    domain::{
        ids::{EmployeeId, LeaveKindId},
        plans::{Entitlement, Hundredths, LeaveGrant},
    },
    http::{
        field_error::FieldError,
        problem::{Fields, Problem},
    },
    service::entitlements::LeaveBalance,
};

/// What can be changed of an entitlement.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "EntitlementSettings")]
pub struct EditableEntitlement {
    /// The first date on which the leave can be taken.
    #[schema(format = "date", example = "2026-01-01")]
    from: String,
    /// The last date, less than three years later.
    #[schema(format = "date", example = "2026-12-31")]
    to: String,
    /// Days or hours, as the kind of leave is counted; 0 to 10,000, with at most two decimals.
    #[schema(example = 30)]
    amount: f64,
    /// What was carried over from before, counted in the same way.
    #[serde(default)]
    #[schema(default = 0.0, example = 2.5)]
    carried: f64,
}

impl From<&LeaveGrant> for EditableEntitlement {
    fn from(grant: &LeaveGrant) -> Self {
        Self {
            from: grant.from.to_string(),
            to: grant.to.to_string(),
            amount: grant.amount.number(),
            carried: grant.carried.number(),
        }
    }
}

impl EditableEntitlement {
    /// Parses the amount and the dates.
    pub fn read(self) -> Result<LeaveGrant, Problem> {
        let mut fields = Fields::default();
        let grant = self.read_with(&mut fields);
        fields.check()?;
        grant.ok_or_else(|| Problem::internal("an entitlement without errors that is not valid"))
    }

    fn read_with(self, fields: &mut Fields) -> Option<LeaveGrant> {
        let from = fields.required("from", read_date(&self.from));
        let to = fields.required("to", read_date(&self.to));
        let amount = fields.required("amount", read_amount(self.amount));
        let carried = fields.required("carried", read_amount(self.carried));
        let (from, to) = (from?, to?);
        let most = LeaveGrant::LONGEST;
        if !(0..most).contains(&(to - from).get_days()) {
            fields.add("to", FieldError::WrongDays { most });
        }
        Some(LeaveGrant {
            from,
            to,
            amount: amount?,
            carried: carried?,
        })
    }
}

fn read_amount(number: f64) -> Result<Hundredths, FieldError> {
    let most = Hundredths::MOST;
    Hundredths::from_number(number).ok_or(FieldError::NotAnAmount { most })
}

/// An entitlement to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewEntitlement")]
pub struct NewEntitlementView {
    /// The ID of the employee.
    #[schema(format = "uuid")]
    employee: String,
    /// The ID of the kind of leave.
    #[schema(format = "uuid")]
    kind: String,
    /// The first date on which the leave can be taken.
    #[schema(format = "date", example = "2026-01-01")]
    from: String,
    /// The last date, less than three years later.
    #[schema(format = "date", example = "2026-12-31")]
    to: String,
    /// Days or hours, as the kind of leave is counted; 0 to 10,000, with at most two decimals.
    #[schema(example = 30)]
    amount: f64,
    /// What was carried over from before, counted in the same way.
    #[serde(default)]
    #[schema(default = 0.0, example = 2.5)]
    carried: f64,
}

impl NewEntitlementView {
    /// Parses the employee, the kind and the rest.
    pub fn read(self) -> Result<(EmployeeId, LeaveKindId, LeaveGrant), Problem> {
        let mut fields = Fields::default();
        let employee = fields.required("employee", read_id(self.employee));
        let kind = fields.required("kind", read_id(self.kind));
        let settings = EditableEntitlement {
            from: self.from,
            to: self.to,
            amount: self.amount,
            carried: self.carried,
        };
        let grant = settings.read_with(&mut fields);
        let (Some(employee), Some(kind), Some(grant)) = (employee, kind, grant) else {
            return Err(fields.problem());
        };
        fields.check()?;
        Ok((employee, kind, grant))
    }
}

/// How much leave an employee may take in some dates.
#[derive(Serialize, ToSchema)]
#[schema(title = "Entitlement")]
pub struct EntitlementView {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    /// The ID of the employee.
    #[schema(format = "uuid")]
    employee: String,
    /// The ID of the kind of leave.
    #[schema(format = "uuid")]
    kind: String,
    #[serde(flatten)]
    settings: EditableEntitlement,
    /// Who entered it.
    made_by: ByView,
    /// When it was entered.
    #[schema(format = "date-time")]
    made_at: String,
}

impl From<&Entitlement> for EntitlementView {
    fn from(entitlement: &Entitlement) -> Self {
        Self {
            id: entitlement.id.to_string(),
            employee: entitlement.employee.to_string(),
            kind: entitlement.kind.to_string(),
            settings: (&entitlement.grant).into(),
            made_by: entitlement.made_by.into(),
            made_at: time(entitlement.made_at),
        }
    }
}

/// How much leave of a kind an employee has, in the unit of the kind, rounded to two decimals.
#[derive(Serialize, ToSchema)]
#[schema(title = "LeaveBalance")]
pub struct LeaveBalanceView {
    /// The ID of the kind of leave.
    #[schema(format = "uuid")]
    kind: String,
    /// The name of the kind.
    #[schema(example = "Vacation")]
    kind_name: String,
    /// `days` or `hours`.
    #[schema(example = "days")]
    unit: &'static str,
    /// The first date of the entitlement; null without one, and then the rest is about the calendar
    /// year.
    #[schema(format = "date")]
    from: Option<String>,
    /// Its last date.
    #[schema(format = "date")]
    to: Option<String>,
    /// What the employee is entitled to.
    #[schema(example = 30)]
    entitled: Option<f64>,
    /// What was carried over from before.
    carried: Option<f64>,
    /// Approved leave until the date.
    taken: f64,
    /// Approved leave after the date.
    planned: f64,
    /// Leave that waits for a decision.
    requested: f64,
    /// What is left of `entitled` and `carried` after all of this; negative if it is too much.
    left: Option<f64>,
}

fn rounded(number: f64) -> f64 {
    // Adding zero turns a negative zero into a positive one.
    (number * 100.0).round() / 100.0 + 0.0
}

impl From<&LeaveBalance> for LeaveBalanceView {
    fn from(balance: &LeaveBalance) -> Self {
        let grant = balance.grant;
        Self {
            kind: balance.kind.to_string(),
            kind_name: balance.settings.name.to_string(),
            unit: balance.settings.unit.as_str(),
            from: grant.map(|grant| grant.from.to_string()),
            to: grant.map(|grant| grant.to.to_string()),
            entitled: grant.map(|grant| grant.amount.number()),
            carried: grant.map(|grant| grant.carried.number()),
            taken: rounded(balance.taken),
            planned: rounded(balance.planned),
            requested: rounded(balance.requested),
            left: balance.left().map(rounded),
        }
    }
}

/// How much leave of each kind an employee has.
#[derive(Serialize, ToSchema)]
#[schema(title = "LeaveBalances")]
pub struct LeaveBalancesView {
    /// The date that divides what was taken from what is planned.
    #[schema(format = "date")]
    pub date: String,
    /// The kinds of leave, by name.
    pub items: Vec<LeaveBalanceView>,
}
