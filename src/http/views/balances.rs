//! Entries of the balances of employees.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{read_date, time, timesheets::ByView};
use crate::{
    domain::{
        balances::{BalanceEntry, BalanceKind},
        text::Reason,
    },
    http::{
        field_error::FieldError,
        problem::{Fields, Problem},
    },
    service::balances::NewBalanceEntry,
};

/// A balance entry to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewBalanceEntry")]
pub struct NewBalanceEntryView {
    /// The date at which it counts.
    #[schema(format = "date", example = "2026-01-01")]
    date: String,
    /// `opening`: the balance at the start of the date, whatever came before. `payout`: time that was
    /// paid. `manual`: another change by hand.
    #[schema(example = "opening")]
    kind: String,
    /// Seconds, at most 10,000 hours: the balance for `opening`, otherwise what is added to it. A
    /// payout is negative.
    #[schema(example = 45000)]
    seconds: i64,
    /// Why, 1 to 500 characters.
    #[schema(example = "Balance of the old system")]
    reason: String,
}

impl NewBalanceEntryView {
    /// Parses the entry.
    pub fn read(self) -> Result<NewBalanceEntry, Problem> {
        let mut fields = Fields::default();
        let date = fields.required("date", read_date(&self.date));
        let kind = fields.required("kind", BalanceKind::parse(&self.kind));
        if let Some((least, most)) = kind.map(BalanceKind::bounds)
            && !(least..=most).contains(&self.seconds)
        {
            let (least, most) = (least.into(), most.into());
            fields.add("seconds", FieldError::OutOfRange { least, most });
        }
        let reason = fields.required("reason", Reason::parse(&self.reason));
        let (Some(date), Some(kind), Some(reason)) = (date, kind, reason) else {
            return Err(fields.problem());
        };
        fields.check()?;
        Ok(NewBalanceEntry {
            date,
            kind,
            seconds: self.seconds,
            reason,
        })
    }
}

/// A value that was entered beside what the days of an employee make.
#[derive(Serialize, ToSchema)]
#[schema(title = "BalanceEntry")]
pub struct BalanceEntryView {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    /// The ID of the employee.
    #[schema(format = "uuid")]
    employee: String,
    /// The date at which it counts.
    #[schema(format = "date")]
    date: String,
    /// `opening`, `payout` or `manual`.
    kind: String,
    /// Seconds: the balance for `opening`, otherwise what is added to it.
    seconds: i64,
    /// Why.
    reason: String,
    /// Who entered it.
    made_by: ByView,
    /// When it was entered.
    #[schema(format = "date-time")]
    made_at: String,
}

impl From<&BalanceEntry> for BalanceEntryView {
    fn from(entry: &BalanceEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            employee: entry.employee.to_string(),
            date: entry.date.to_string(),
            kind: entry.kind.as_str().to_owned(),
            seconds: entry.seconds,
            reason: entry.reason.to_string(),
            made_by: entry.made_by.into(),
            made_at: time(entry.made_at),
        }
    }
}
