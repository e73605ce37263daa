//! Leave of employees: requested, decided, taken back.

use std::sync::Arc;

use jiff::civil::Date;

use super::{assignments::Whose, audit::Audit, entitlements::Entitlements, plans::Plans};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::LeavePart,
        grants::Reach,
        ids::{EmployeeId, LeaveId, LeaveKindId},
        plans::{Entry, Leave, LeaveState},
        text::Reason,
    },
    ports::{LeaveFilter, Page, StoreError},
    repositories::{Repositories, Team},
};

/// Why a request about leave failed.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// The leave does not exist.
    #[error("no such leave")]
    NotFound,
    /// The employee does not exist, or is not covered.
    #[error("no such employee")]
    UnknownEmployee,
    /// The kind does not exist or was removed.
    #[error("no such kind of leave")]
    UnknownKind,
    /// The employee has other leave at the same time.
    #[error("the employee has other leave at the same time")]
    Overlap(Box<Leave>),
    /// The employee wants more leave of a limited kind than is left.
    #[error("more leave than is left: ask for less, or ask a manager for a larger entitlement")]
    Exceeds,
    /// It is not in a state in which this is possible.
    #[error("the leave is {}: it cannot become {}", .0.as_str(), .1.as_str())]
    Decided(LeaveState, LeaveState),
    /// At the site, another person must decide.
    #[error(
        "at this site another person must decide: not the one who asked, nor the one who invited that person"
    )]
    FourEyes,
    /// The caller may not decide about their own leave.
    #[error("another manager or an admin must decide about your own leave")]
    OwnHours,
    /// Other requests kept changing the leave at the same time.
    #[error("other requests are changing this leave at the same time")]
    Raced,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Leave that an employee wants, or that a manager enters.
#[derive(Debug, Clone, PartialEq)]
pub struct NewLeave {
    /// The employee.
    pub employee: EmployeeId,
    /// The kind.
    pub kind: LeaveKindId,
    /// The first date.
    pub from: Date,
    /// The last date.
    pub to: Date,
    /// How much of each date.
    pub part: LeavePart,
    /// Why.
    pub reason: Option<Reason>,
}

/// Number of attempts at a decision while other requests change the same leave.
const TRIES: usize = 8;

/// The service for leave.
#[derive(derive_new::new)]
pub struct LeaveService {
    stores: Repositories,
    plans: Arc<Plans>,
    entitlements: Arc<Entitlements>,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl LeaveService {
    /// Returns a page of the leave of covered employees. The cursor is the last one of the page
    /// before.
    pub async fn list(
        &self,
        reach: &Reach,
        whose: Whose,
        filter: LeaveFilter,
        after: Option<LeaveId>,
        limit: usize,
    ) -> Result<Vec<Leave>, StoreError> {
        let team = whose.team(&self.stores, reach).await?;
        let after = match after {
            Some(id) => self.stores.leave.find(id).await?,
            None => None,
        };
        let page = Page { after, limit };
        self.stores.leave.list(&team, filter, &page).await
    }

    /// Requests leave for a covered employee, or enters it as approved. Also returns whether it is
    /// more than what is left; leave of a limited kind is then refused. `own` is the employee whose
    /// leave the caller may not enter as approved: see [`decide`](Self::decide).
    pub async fn add(
        &self,
        reach: &Reach,
        (actor, own): (Actor, Option<EmployeeId>),
        new: NewLeave,
        approved: bool,
    ) -> Result<(Leave, bool), LeaveError> {
        let person = self
            .stores
            .employees
            .find_covered(reach, new.employee)
            .await?;
        let person = person.ok_or(LeaveError::UnknownEmployee)?;
        if approved && own == Some(person.id) {
            return Err(LeaveError::OwnHours);
        }
        let kind = self.stores.leave_kinds.find(new.kind).await?;
        let kind = kind.filter(Entry::is_present);
        let kind = kind.ok_or(LeaveError::UnknownKind)?.settings;
        let now = self.clock.now();
        let leave = Leave {
            id: self.clock.id().into(),
            employee: new.employee,
            kind: new.kind,
            from: new.from,
            to: new.to,
            part: new.part,
            state: if approved {
                LeaveState::Approved
            } else {
                LeaveState::Requested
            },
            reason: new.reason,
            made_at: now,
            made_by: actor,
            decided_by: approved.then_some(actor),
            decided_at: approved.then_some(now),
        };
        if approved && self.plans.needs_four_eyes(person.site).await? {
            return Err(LeaveError::FourEyes);
        }
        let team = Team::new(&Reach::Everything, [&person]);
        let others = self.stores.leave.covering(&team, leave.dates()).await?;
        if let Some(other) = others.into_iter().find(|other| leave.overlaps(other)) {
            return Err(LeaveError::Overlap(Box::new(other)));
        }
        let exceeds = self.entitlements.exceeds(&person, &kind, &leave).await?;
        if exceeds && kind.limited {
            return Err(LeaveError::Exceeds);
        }
        let verb = if approved { "enter" } else { "request" };
        self.record(actor, verb, &leave).await?;
        self.stores.leave.insert(&leave).await?;
        self.plans.announce(Some(leave.employee)).await;
        Ok((leave, exceeds))
    }

    /// Decides on leave of a covered employee: gives it another state. `own` is the employee who may
    /// only withdraw it: the caller, unless they may decide about their own hours.
    pub async fn decide(
        &self,
        reach: &Reach,
        (actor, own): (Actor, Option<EmployeeId>),
        id: LeaveId,
        state: LeaveState,
    ) -> Result<Leave, LeaveError> {
        for _ in 0..TRIES {
            let found = self.stores.leave.find(id).await?;
            let old = found.ok_or(LeaveError::NotFound)?;
            let person = self
                .stores
                .employees
                .find_covered(reach, old.employee)
                .await?;
            let person = person.ok_or(LeaveError::NotFound)?;
            if !old.state.can_become(state) {
                return Err(LeaveError::Decided(old.state, state));
            }
            if own == Some(person.id) && state != LeaveState::Withdrawn {
                return Err(LeaveError::OwnHours);
            }
            if state == LeaveState::Approved
                && self.plans.needs_four_eyes(person.site).await?
                && self
                    .stores
                    .accounts
                    .may_be_author(actor, old.made_by)
                    .await?
            {
                return Err(LeaveError::FourEyes);
            }
            let new = Leave {
                state,
                decided_by: Some(actor),
                decided_at: Some(self.clock.now()),
                ..old.clone()
            };
            let verb = match state {
                LeaveState::Requested => "request",
                LeaveState::Approved => "approve",
                LeaveState::Rejected => "reject",
                LeaveState::Withdrawn => "withdraw",
                LeaveState::Cancelled => "cancel",
            };
            self.record(actor, verb, &new).await?;
            if self.stores.leave.exchange(&old, &new).await? {
                self.plans.announce(Some(new.employee)).await;
                return Ok(new);
            }
        }
        Err(LeaveError::Raced)
    }

    /// Writes the audit entry. Its subject is the employee: an erasure and a copy find it by that.
    async fn record(&self, actor: Actor, verb: &str, leave: &Leave) -> Result<(), StoreError> {
        let action = format!("leave.{verb}");
        let detail = format!("leave {}, {} to {}", leave.id, leave.from, leave.to);
        let subject = leave.employee;
        self.audit
            .record(actor, &action, subject, Some(detail))
            .await
    }
}
