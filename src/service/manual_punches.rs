//! Punches that a manager writes by hand, for now.

use std::sync::Arc;

use jiff::SignedDuration;

use super::{
    audit::Audit,
    punch_ledger::{LedgerError, NewPunch, PunchLedger, PunchPoint, Recorded},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::{Moment, Origin, Proof, PunchKind},
        grants::Reach,
        ids::{AccountId, EmployeeId},
        text::Reason,
    },
    ports::StoreError,
    repositories::Repositories,
};

/// Why a punch was not written by hand.
#[derive(Debug, thiserror::Error)]
pub enum ManualPunchError {
    /// The employee does not exist.
    #[error("no such employee")]
    NotFound,
    /// The employee is not active.
    #[error("the employee is not active")]
    Inactive,
    /// The ledger refused it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The service for punches by hand.
#[derive(derive_new::new)]
pub struct ManualPunches {
    stores: Repositories,
    ledger: Arc<PunchLedger>,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl ManualPunches {
    /// Writes a punch of a covered employee at their site, now. Without a kind it gets what follows
    /// the last punch.
    ///
    /// # Errors
    /// If there is no such employee, or they are not active.
    pub async fn punch(
        &self,
        reach: &Reach,
        account: AccountId,
        actor: Actor,
        employee: EmployeeId,
        kind: Option<PunchKind>,
        reason: Reason,
    ) -> Result<Recorded, ManualPunchError> {
        let employee = self.stores.employees.find_covered(reach, employee).await?;
        let employee = employee.ok_or(ManualPunchError::NotFound)?;
        if !employee.active {
            return Err(ManualPunchError::Inactive);
        }
        let (action, now) = ("punch.manual", self.clock.now());
        self.audit.record(actor, action, employee.id, None).await?;
        let point = PunchPoint {
            origin: Origin::Account(account),
            site: employee.site,
            gap: SignedDuration::ZERO,
        };
        let new = NewPunch {
            employee: &employee,
            point: &point,
            proof: Proof::Manual { reason },
            moment: Moment::of(now, None, None),
            kind,
            request: None,
        };
        Ok(self.ledger.record(new, |_| {}).await?)
    }
}
