//! PINs and badges: sets, issues, revokes and checks them.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::{
    audit::Audit,
    employees::{Person, find_person},
    passwords::{self, HashCost, HashError},
    sites::Sites,
    tokens,
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        devices::Device,
        employees::Employee,
        grants::Reach,
        ids::{EmployeeId, SiteId},
        punch_credentials::{
            BadgeCode, Pin, PinDigits, PinError, PunchCredential, StoredBadge, StoredPin,
        },
        text::Code,
    },
    ports::{EmployeeFilter, Page, Quota, RateLimits, StoreError},
    repositories::Repositories,
};

/// Why a PIN or a badge was not changed.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The employee does not exist.
    #[error("no such employee")]
    NoEmployee,
    /// The employee has no PIN.
    #[error("the employee has no PIN")]
    NoPin,
    /// The employee has no badge.
    #[error("the employee has no badge")]
    NoBadge,
    /// The PIN is not valid.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The PIN could not be hashed.
    #[error(transparent)]
    Hashing(#[from] HashError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of checking the PIN of a staff number.
#[derive(Debug, Clone, PartialEq)]
pub enum PinCheck {
    /// The PIN is that of this employee.
    Right(Box<Employee>),
    /// No employee who may punch has this number with this PIN.
    Wrong,
    /// The PIN of this number was missed too often, so it is not compared.
    Locked,
}

/// The result, and whether it counts as a miss of the device.
enum Compared {
    Missed(PinCheck),
    Other(PinCheck),
}

/// What a person at a device types or shows to prove who they are.
#[derive(Debug, Clone)]
pub enum PersonCredential {
    /// The staff number says who, the PIN proves it.
    Pin {
        /// The staff number: the code of the employee.
        code: Code,
        /// The PIN.
        pin: SecretString,
    },
    /// The code of a badge, as the scanner sent it.
    Badge(SecretString),
}

/// Why what a person typed or showed proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// No employee has the staff number with this PIN.
    WrongPin,
    /// The PIN was missed too often: a manager must unlock it.
    PinLocked,
    /// No employee has the badge.
    UnknownBadge,
}

/// A refused PIN is answered after a multiple of this time. It covers what differs between a number
/// that nobody has and a wrong PIN: one write of the store.
const REFUSAL: Duration = Duration::from_millis(400);

/// The most PINs that one device may send, right or wrong. It is more than people can type, and
/// bounds how many are compared at once.
const TRIES: Quota = Quota {
    most: 60,
    window: Duration::from_mins(1),
};

/// The most wrong PINs that one device may send live, and the most that it may deliver late, so that
/// a queue of wrong ones does not close the device. At a busy door people mistype fewer; a stranger
/// at a tablet can lock the PINs of 4 people an hour, and of 4 more with PINs that seem late.
const MISSES: Quota = Quota {
    most: 20,
    window: Duration::from_hours(1),
};

/// The service for PINs and badges.
#[derive(derive_new::new)]
pub struct PunchCredentials {
    stores: Repositories,
    sites: Arc<Sites>,
    limits: Arc<dyn RateLimits>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    /// A hash to compare with if there is no PIN, so that it takes the same time.
    #[new(default)]
    decoy: OnceLock<String>,
}

impl PunchCredentials {
    async fn employee(&self, reach: &Reach, id: EmployeeId) -> Result<Employee, CredentialError> {
        let employee = self.stores.employees.find_covered(reach, id).await?;
        employee.ok_or(CredentialError::NoEmployee)
    }

    /// Returns when a covered employee got a PIN and a badge.
    pub async fn find(
        &self,
        reach: &Reach,
        id: EmployeeId,
    ) -> Result<PunchCredential, CredentialError> {
        let employee = self.employee(reach, id).await?;
        let found = self.stores.punch_credentials.find(id).await?;
        Ok(found.unwrap_or_else(|| PunchCredential::none(id, employee.created_at)))
    }

    /// Returns a page of the covered employees, sorted by name, with when they got a PIN and a badge.
    pub async fn list(
        &self,
        reach: &Reach,
        filter: &EmployeeFilter,
        page: &Page<(String, EmployeeId)>,
    ) -> Result<Vec<(Employee, PunchCredential)>, StoreError> {
        let employees = self.stores.employees.list(reach, filter, page).await?;
        let ids: Vec<_> = employees.iter().map(|one| one.id).collect();
        let stored = self.stores.punch_credentials.find_many(&ids).await?;
        let mut stored: HashMap<_, _> = stored.into_iter().map(|one| (one.employee, one)).collect();
        let both = employees.into_iter().map(|employee| {
            let none = || PunchCredential::none(employee.id, employee.created_at);
            let credential = stored.remove(&employee.id).unwrap_or_else(none);
            (employee, credential)
        });
        Ok(both.collect())
    }

    /// Returns the covered employees with a locked PIN, first locked first.
    pub async fn locked(
        &self,
        reach: &Reach,
    ) -> Result<Vec<(Employee, PunchCredential)>, StoreError> {
        let locked = self.stores.punch_credentials.locked().await?;
        let ids: Vec<_> = locked.iter().map(|one| one.employee).collect();
        let employees = self.stores.employees.find_many(&ids).await?;
        let both = locked.into_iter().filter_map(|one| {
            let employee = employees
                .iter()
                .find(|employee| employee.id == one.employee)?;
            let covered = employee.deleted_at.is_none() && reach.covers(employee);
            covered.then(|| (employee.clone(), one))
        });
        Ok(both.collect())
    }

    /// Counts the active employees of a site who have an enrolled face, but neither a PIN nor a badge:
    /// where a face alone is not enough, they cannot punch.
    pub async fn count_face_alone(&self, site: SiteId) -> Result<usize, StoreError> {
        let filter = EmployeeFilter {
            site: Some(site),
            active: Some(true),
            ..EmployeeFilter::default()
        };
        let (mut count, mut after, limit) = (0, None, 500);
        loop {
            let page = Page { after, limit };
            let employees = &self.stores.employees;
            let people = employees.list(&Reach::Everything, &filter, &page).await?;
            let ids: Vec<_> = people.iter().map(|one| one.id).collect();
            let faces = self.stores.faces.find_many(&ids).await?.into_iter();
            let with_face = faces.filter(|one| one.face.is_some());
            let mut alone: HashSet<_> = with_face.map(|one| one.employee).collect();
            for stored in self.stores.punch_credentials.find_many(&ids).await? {
                if stored.pin.is_some() || stored.badge.is_some() {
                    alone.remove(&stored.employee);
                }
            }
            count += alone.len();
            after = people.last().map(|last| (last.name.key(), last.id));
            if people.len() < limit {
                return Ok(count);
            }
        }
    }

    /// Sets the PIN of a covered employee, and unlocks it. Without one, makes a random one and
    /// returns it.
    pub async fn set_pin(
        &self,
        reach: &Reach,
        actor: Actor,
        id: EmployeeId,
        pin: Option<&str>,
    ) -> Result<Option<Pin>, CredentialError> {
        let employee = self.employee(reach, id).await?;
        let digits = self.sites.of(employee.site).await?.pin_digits;
        let (pin, made) = match pin {
            Some(text) => (Pin::parse(text, digits, &employee.code)?, None),
            None => {
                let pin = self.random_pin(digits, &employee.code);
                (pin.clone(), Some(pin))
            }
        };
        let pin_hash = passwords::hash(pin.reveal().into(), HashCost::STRONG)
            .await
            .ok_or(HashError)?;
        self.audit.record(actor, "pin.set", id, None).await?;
        let now = self.clock.now();
        let set = |mut stored: PunchCredential| {
            stored.pin = Some(StoredPin::new(pin_hash.clone(), now, actor));
            Some(stored)
        };
        self.stores.punch_credentials.change(id, now, set).await?;
        self.take_back_if_deleted(id).await?;
        Ok(made)
    }

    fn random_pin(&self, digits: PinDigits, code: &Code) -> Pin {
        loop {
            if let Some(pin) = Pin::from_random(&self.clock.secret(), digits, code) {
                return pin;
            }
        }
    }

    /// Removes the PIN of a covered employee.
    pub async fn remove_pin(
        &self,
        reach: &Reach,
        actor: Actor,
        id: EmployeeId,
    ) -> Result<(), CredentialError> {
        self.with_pin(reach, id).await?;
        self.audit.record(actor, "pin.remove", id, None).await?;
        let remove = |mut stored: PunchCredential| {
            stored.pin.take()?;
            Some(stored)
        };
        self.change(id, remove).await
    }

    /// Unlocks the PIN of a covered employee.
    pub async fn unlock_pin(
        &self,
        reach: &Reach,
        actor: Actor,
        id: EmployeeId,
    ) -> Result<(), CredentialError> {
        self.with_pin(reach, id).await?;
        self.audit.record(actor, "pin.unlock", id, None).await?;
        let unlock = |mut stored: PunchCredential| {
            stored.pin = Some(stored.pin?.unlocked());
            Some(stored)
        };
        self.change(id, unlock).await
    }

    async fn change(
        &self,
        id: EmployeeId,
        change: impl FnMut(PunchCredential) -> Option<PunchCredential>,
    ) -> Result<(), CredentialError> {
        let (credentials, now) = (&self.stores.punch_credentials, self.clock.now());
        credentials.change(id, now, change).await?;
        Ok(())
    }

    async fn with_pin(&self, reach: &Reach, id: EmployeeId) -> Result<(), CredentialError> {
        let stored = self.find(reach, id).await?;
        stored.pin.map(drop).ok_or(CredentialError::NoPin)
    }

    /// Issues a badge to a covered employee. The one before is no longer valid.
    pub async fn issue_badge(
        &self,
        reach: &Reach,
        actor: Actor,
        id: EmployeeId,
    ) -> Result<(Employee, BadgeCode), CredentialError> {
        let employee = self.employee(reach, id).await?;
        let code = self.random_badge();
        self.audit.record(actor, "badge.issue", id, None).await?;
        let now = self.clock.now();
        let issue = |mut stored: PunchCredential| {
            stored.badge = Some(StoredBadge {
                badge_hash: tokens::hash(code.reveal()),
                issued_at: now,
                issued_by: actor,
            });
            Some(stored)
        };
        self.stores.punch_credentials.change(id, now, issue).await?;
        self.take_back_if_deleted(id).await?;
        Ok((employee, code))
    }

    /// Issues a badge to each of some covered employees, in their order.
    ///
    /// # Errors
    /// [`CredentialError::NoEmployee`] if one of them does not exist; then none gets a badge.
    pub async fn issue_badges(
        &self,
        reach: &Reach,
        actor: Actor,
        ids: &[EmployeeId],
    ) -> Result<Vec<(Employee, BadgeCode)>, CredentialError> {
        for id in ids {
            self.employee(reach, *id).await?;
        }
        let mut issued = Vec::with_capacity(ids.len());
        for id in ids {
            issued.push(self.issue_badge(reach, actor, *id).await?);
        }
        Ok(issued)
    }

    fn random_badge(&self) -> BadgeCode {
        loop {
            let random = [self.clock.secret(), self.clock.secret()].concat();
            if let Some(code) = BadgeCode::from_random(&random) {
                return code;
            }
        }
    }

    /// Revokes the badge of a covered employee.
    pub async fn revoke_badge(
        &self,
        reach: &Reach,
        actor: Actor,
        id: EmployeeId,
    ) -> Result<(), CredentialError> {
        let stored = self.find(reach, id).await?;
        stored.badge.ok_or(CredentialError::NoBadge)?;
        self.audit.record(actor, "badge.revoke", id, None).await?;
        let revoke = |mut stored: PunchCredential| {
            stored.badge.take()?;
            Some(stored)
        };
        self.change(id, revoke).await
    }

    /// Removes what was just written if the employee was deleted meanwhile.
    async fn take_back_if_deleted(&self, id: EmployeeId) -> Result<(), CredentialError> {
        let employee = self.stores.employees.find(id).await?;
        if employee.is_some_and(|employee| employee.deleted_at.is_none()) {
            return Ok(());
        }
        let now = self.clock.now();
        self.stores.punch_credentials.forget(id, now).await?;
        Err(CredentialError::NoEmployee)
    }

    /// Finds out who a person at a device is, by what they typed or showed. `captured` is when that
    /// was, if the device was offline.
    pub async fn prove(
        &self,
        device: &Device,
        credential: PersonCredential,
        captured: Option<Timestamp>,
    ) -> Result<Result<Person, Unproven>, CheckError> {
        let (code, pin) = match credential {
            PersonCredential::Pin { code, pin } => (code, pin),
            PersonCredential::Badge(text) => {
                let holder = match BadgeCode::parse(text.expose_secret()) {
                    Some(code) => self.find_by_badge(&code).await?,
                    None => None,
                };
                return Ok(holder.ok_or(Unproven::UnknownBadge));
            }
        };
        let begin = Instant::now();
        let unproven = match self.check_pin(device, &code, pin, captured).await? {
            PinCheck::Right(employee) => match find_person(&self.stores, employee.id).await? {
                Some(person) => return Ok(Ok(person)),
                None => Unproven::WrongPin,
            },
            PinCheck::Wrong => Unproven::WrongPin,
            PinCheck::Locked => Unproven::PinLocked,
        };
        let elapsed = begin.elapsed();
        let steps = elapsed.div_duration_f64(REFUSAL).ceil();
        tokio::time::sleep(REFUSAL.mul_f64(steps).saturating_sub(elapsed)).await;
        Ok(Err(unproven))
    }

    /// Checks the PIN of a staff number. A number that nobody has, a number without a PIN and a
    /// wrong PIN have the same answer, after one comparison each.
    ///
    /// The try is counted before the PIN is compared, so that of many tries at once, on any
    /// instances, no more than [`StoredPin::MOST_TRIES`] of a person and [`MISSES`] of a device are
    /// compared. A PIN that was typed before the present one was set is not compared with it, so it
    /// counts as no try.
    pub async fn check_pin(
        &self,
        device: &Device,
        code: &Code,
        pin: SecretString,
        captured: Option<Timestamp>,
    ) -> Result<PinCheck, CheckError> {
        let misses = match captured {
            None => format!("pin-miss:{}", device.id),
            Some(_) => format!("pin-miss-late:{}", device.id),
        };
        self.admit(&misses, MISSES).await?;
        let tries = self.admit(&format!("pin:{}", device.id), TRIES).await;
        let checked = match tries {
            Ok(()) => self.compare(device, code, pin, captured).await,
            Err(error) => Err(error),
        };
        match checked {
            Ok(Compared::Missed(check)) => Ok(check),
            Ok(Compared::Other(check)) => {
                self.limits.take_back(&misses).await;
                Ok(check)
            }
            Err(error) => {
                self.limits.take_back(&misses).await;
                Err(error)
            }
        }
    }

    async fn admit(&self, key: &str, quota: Quota) -> Result<(), CheckError> {
        let verdict = self.limits.check(key, quota).await;
        let reset = verdict.reset;
        verdict
            .allowed
            .then_some(())
            .ok_or(CheckError::TooMany { reset })
    }

    async fn compare(
        &self,
        device: &Device,
        code: &Code,
        pin: SecretString,
        captured: Option<Timestamp>,
    ) -> Result<Compared, CheckError> {
        let employee = self.stores.employees.find_by_code(code).await?;
        let employee = employee.filter(Employee::present);
        let credentials = &self.stores.punch_credentials;
        let now = self.clock.now();
        let (mut locked, mut tried) = (false, None);
        if let Some(employee) = &employee {
            let count = |mut stored: PunchCredential| {
                let pin = stored.pin?;
                // Typed before the PIN was set: it counts as a miss of the device, as an unknown number
                // does, and not against the person.
                if captured.is_some_and(|captured| captured < pin.set_at) {
                    return None;
                }
                locked = pin.is_locked();
                stored.pin = Some(pin.tried(now)?);
                Some(stored)
            };
            let stored = credentials.change(employee.id, now, count).await?;
            tried = stored.and_then(|stored| stored.pin);
        }
        if locked {
            return Ok(Compared::Other(PinCheck::Locked));
        }
        let hash = match &tried {
            Some(tried) => tried.pin_hash.clone(),
            None => self.decoy().await?,
        };
        let right = passwords::verify(pin, hash).await;
        if let (true, Some(employee), Some(tried)) = (right, &employee, &tried) {
            let forgive = |mut stored: PunchCredential| {
                // Not if the PIN was set again or removed during the comparison.
                let pin = stored.pin.filter(|pin| pin.pin_hash == tried.pin_hash)?;
                stored.pin = Some(pin.unlocked());
                Some(stored)
            };
            if credentials
                .change(employee.id, now, forgive)
                .await?
                .is_some()
            {
                return Ok(Compared::Other(PinCheck::Right(Box::new(employee.clone()))));
            }
        }
        Ok(match (employee, tried) {
            (Some(employee), Some(tried)) if tried.is_locked() => {
                let actor = Actor::Device(device.id);
                let audit = &self.audit;
                audit.record(actor, "pin.lock", employee.id, None).await?;
                Compared::Missed(PinCheck::Locked)
            }
            _ => Compared::Missed(PinCheck::Wrong),
        })
    }

    async fn decoy(&self) -> Result<String, HashError> {
        if let Some(hash) = self.decoy.get() {
            return Ok(hash.clone());
        }
        let secret = hex::encode(self.clock.secret());
        let hash = passwords::hash(secret.into(), HashCost::STRONG)
            .await
            .ok_or(HashError)?;
        Ok(self.decoy.get_or_init(|| hash).clone())
    }

    /// Returns the person with a badge, if they may punch.
    async fn find_by_badge(&self, code: &BadgeCode) -> Result<Option<Person>, StoreError> {
        let hash = tokens::hash(code.reveal());
        let Some(stored) = self.stores.punch_credentials.find_by_badge(hash).await? else {
            return Ok(None);
        };
        let person = find_person(&self.stores, stored.employee).await?;
        Ok(person.filter(|person| person.employee.present()))
    }
}

/// Why a PIN could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The device sent too many PINs, or too many wrong ones.
    #[error("this device sent too many PINs")]
    TooMany {
        /// Time until another one is allowed.
        reset: Duration,
    },
    /// A secret could not be hashed.
    #[error(transparent)]
    Hashing(#[from] HashError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
