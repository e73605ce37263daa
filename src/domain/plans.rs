//! What is planned for employees and what excuses them, as it is stored: rules of sites, shifts,
//! cycles, assignments, holidays and leave; and layouts for payroll. [`attendance`](super::attendance) calculates with it.

pub mod assignments;
pub mod cycles;
pub mod entitlements;
pub mod entry;
pub mod holiday_calendars;
pub mod leave;
pub mod leave_kinds;
pub mod overlaps;
pub mod payroll_layouts;
pub mod shift_kinds;
pub mod site_rules;

pub use assignments::{Assigned, Assignment};
pub use cycles::Cycle;
pub use entitlements::{Entitlement, Hundredths, LeaveGrant, LeaveUse};
pub use entry::{Entry, Settings};
pub use holiday_calendars::{HolidayCalendar, NamedHoliday};
pub use leave::{Leave, LeaveState};
pub use leave_kinds::{LeaveKind, LeaveUnit};
pub use overlaps::{Overlap, PlannedOn, PlannedShift, first_overlap, planned_shifts};
pub use payroll_layouts::PayrollLayout;
pub use shift_kinds::ShiftKind;
pub use site_rules::SiteRules;
