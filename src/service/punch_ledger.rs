//! PunchLedger: writes, finds and lists punches, with any kind of proof.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use tracing::info;

use super::{
    feed::{Feed, News},
    sites::Sites,
    workdays::Workdays,
};
use crate::{
    clock::Clock,
    domain::{
        attendance::{
            Capture, ClockSource, KeptAnswer, KindReason, Moment, Origin, Proof, Punch, PunchKind,
            RequestKey, direction,
        },
        cameras::Camera,
        devices::Device,
        employees::Employee,
        grants::Reach,
        ids::{EmployeeId, PunchId, SiteId},
    },
    ports::{Page, PunchFilter, StoreError},
    repositories::Repositories,
};

/// Why a punch was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The key was used for another request.
    #[error("this idempotency key was used for another request: make a new key for each punch")]
    KeyReused,
    /// Other punches of the same employee were written during every attempt.
    #[error("too many punches of one employee at the same moment")]
    Contended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The rules of punches.
#[derive(Debug, Clone)]
pub struct PunchRules {
    /// Time after a punch in which another one of the same person is a duplicate.
    pub cooldown: SignedDuration,
    /// Time after a punch in which the same picture does not punch again; `None` if it may.
    pub replay_window: Option<SignedDuration>,
}

/// A place where punches are made.
#[derive(Debug, Clone)]
pub struct PunchPoint {
    /// What records them.
    pub origin: Origin,
    /// Where it is.
    pub site: SiteId,
    /// Minimum time between two punches of one person at this point, if longer than the cooldown.
    pub gap: SignedDuration,
}

impl From<&Device> for PunchPoint {
    fn from(device: &Device) -> Self {
        Self {
            origin: Origin::Device(device.id),
            site: device.site,
            gap: SignedDuration::ZERO,
        }
    }
}

impl From<&Camera> for PunchPoint {
    fn from(camera: &Camera) -> Self {
        Self {
            origin: Origin::Camera(camera.id),
            site: camera.site,
            gap: camera.visit.duration(),
        }
    }
}

/// A punch to record.
#[derive(Debug)]
pub struct NewPunch<'a> {
    /// The employee, who may punch.
    pub employee: &'a Employee,
    /// Where it is made.
    pub point: &'a PunchPoint,
    /// How the employee was established.
    pub proof: Proof,
    /// When it was made.
    pub moment: Moment,
    /// The wanted kind; `None` for what follows the last punch.
    pub kind: Option<PunchKind>,
    /// The client's key, so that a retry gets the first answer.
    pub request: Option<&'a RequestKey>,
}

/// What the ledger did with a punch.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// It was written.
    Written(Box<Punch>),
    /// It was made within the cooldown after this punch, and not written.
    Cooldown(Box<Punch>),
    /// Its request was answered before.
    Replayed(Replay),
}

/// The first answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Replay {
    /// The request wrote this punch.
    Punch(Box<Punch>),
    /// The request wrote no punch; the answer as it was given to [`PunchLedger::keep`].
    Answer(String),
}

/// Delay within which a punch is recorded after it was made, unless it waited for the store or
/// was captured offline.
const PROMPT: SignedDuration = SignedDuration::from_secs(5);

/// Checks whether the punch of an employee that was written last is also the latest by time. A
/// back-dated punch may not be.
fn is_latest(last: &Punch) -> bool {
    last.clock == ClockSource::Server && last.recorded_at.duration_since(last.at) <= PROMPT
}

/// The most punches of an employee whose pictures are compared, the latest first.
const COMPARED: usize = 500;

/// Number of attempts to write a punch while others of the same employee are written.
const TURNS: usize = 8;

/// The service that records punches.
#[derive(derive_new::new)]
pub struct PunchLedger {
    stores: Repositories,
    sites: Arc<Sites>,
    workdays: Arc<Workdays>,
    clock: Arc<dyn Clock>,
    rules: PunchRules,
    feed: Feed,
}

impl PunchLedger {
    /// Returns the rules of punches.
    pub fn rules(&self) -> &PunchRules {
        &self.rules
    }

    /// Records a punch, unless it is a duplicate or a retry. Calls `written` as soon as the punch
    /// is durable, before it is announced.
    ///
    /// If another punch of the same employee or request is written in between, the unique indexes
    /// refuse this one, and it is decided again.
    pub async fn record(
        &self,
        new: NewPunch<'_>,
        written: impl FnOnce(&Punch),
    ) -> Result<Recorded, LedgerError> {
        let (employee, origin, moment) = (new.employee.id, new.point.origin, new.moment);
        let longest = self.rules.cooldown.max(new.point.gap);
        let site = self.sites.of(new.point.site).await?;
        for _ in 0..TURNS {
            let last_written = self.stores.punches.last_written(employee).await?;
            let last = match &last_written {
                // The usual case: no punch is later than this one.
                Some(last) if last.at <= moment.at && is_latest(last) => last_written.clone(),
                Some(_) => self.neighbor(employee, moment, longest).await?,
                None => None,
            };
            // The gap is that of this point: after a punch elsewhere, the cooldown holds.
            let cooldown = match &last {
                Some(last) if last.origin == origin => longest,
                _ => self.rules.cooldown,
            };
            let repeated = match last.filter(|last| moment.repeats(last, origin, cooldown)) {
                // The person whose punch it really is must not lose theirs.
                Some(punch) if self.workdays.is_voided(&punch).await? => None,
                Some(punch) => Some(punch),
                None => self.with_same_picture(employee, &new.proof, moment).await?,
            };
            if let Some(punch) = repeated {
                let same = new.request.is_some()
                    && punch.origin == origin
                    && punch.request.as_ref() == new.request;
                let punch = Box::new(punch);
                return Ok(match same {
                    true => Recorded::Replayed(Replay::Punch(punch)),
                    false => Recorded::Cooldown(punch),
                });
            }
            let (kind, kind_reason) = match new.kind {
                Some(kind) => (kind, None),
                None => {
                    let (kind, reason) = self.direction(new.employee, moment.at).await?;
                    (kind, Some(reason))
                }
            };
            // Never before the last one, although the clock of another instance may have been ahead:
            // messages about punches are in the order of these times.
            let now = self.clock.now();
            let after = last_written.as_ref().map(|last| last.recorded_at);
            let punch = Punch {
                id: PunchId::new(self.clock.id()),
                employee,
                kind,
                at: moment.at,
                recorded_at: after.map_or(now, |after| now.max(after)),
                clock: moment.clock,
                captured_at: moment.captured_at,
                doubt: moment.doubt,
                kind_reason,
                workday: site.workday(moment.at),
                site: new.point.site,
                origin,
                proof: new.proof.clone(),
                request: new.request.cloned(),
                sequence: last_written.map_or(1, |last| last.sequence + 1),
            };
            match self.stores.punches.append(&punch).await {
                Ok(()) => {
                    info!(punch = %punch.id, %employee, kind = kind.as_str(), "punched");
                    written(&punch);
                    self.feed.publish(News::Punch(punch.id)).await;
                    return Ok(Recorded::Written(Box::new(punch)));
                }
                Err(StoreError::Conflict) => {
                    if let Some(key) = new.request
                        && let Some(answer) = self.replay(origin, key).await?
                    {
                        return Ok(Recorded::Replayed(answer));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(LedgerError::Contended)
    }

    /// Returns the punch of an employee that one of the same pictures made, byte for byte: a camera
    /// never takes a picture twice. A thief of a picture and a device's token could punch with it
    /// every day, also where liveness is judged.
    async fn with_same_picture(
        &self,
        employee: EmployeeId,
        proof: &Proof,
        moment: Moment,
    ) -> Result<Option<Punch>, StoreError> {
        let digests = proof.evidence().map_or(&[][..], |one| &one.digests);
        let (Some(window), false) = (self.rules.replay_window, digests.is_empty()) else {
            return Ok(None);
        };
        let from = moment.at.checked_sub(window).unwrap_or(Timestamp::MIN);
        let punches = &self.stores.punches;
        for punch in punches.latest_since(employee, from, COMPARED).await? {
            let others = punch.proof.evidence().map_or(&[][..], |one| &one.digests);
            if others.iter().any(|other| digests.contains(other))
                && !self.workdays.is_voided(&punch).await?
            {
                info!(punch = %punch.id, %employee, "refused a picture that punched before");
                return Ok(Some(punch));
            }
        }
        Ok(None)
    }

    /// Returns the kind of an employee's punch that does not say, and the reason.
    async fn direction(
        &self,
        employee: &Employee,
        at: Timestamp,
    ) -> Result<(PunchKind, KindReason), StoreError> {
        let record = self.workdays.on_record_before(employee, at).await?;
        let terms = record.plan.terms();
        Ok(direction(&record.punches, &record.corrections, terms, at))
    }

    /// Returns the moment of a punch that arrived now, and that its device perhaps captured
    /// offline.
    pub async fn moment(
        &self,
        origin: Origin,
        now: Timestamp,
        capture: Option<Capture>,
    ) -> Result<Moment, StoreError> {
        let last_synchronized = match capture {
            Some(_) => self.stores.punches.last_synchronized(origin).await?,
            None => None,
        };
        Ok(Moment::of(now, capture, last_synchronized))
    }

    /// Returns the punch against which an offline capture is decided: the first one after it if
    /// that is within the cooldown, else the last one before it.
    async fn neighbor(
        &self,
        employee: EmployeeId,
        moment: Moment,
        cooldown: SignedDuration,
    ) -> Result<Option<Punch>, StoreError> {
        let before = self.stores.punches.last_before(employee, moment.at).await?;
        let close = |punch: &Punch| moment.at.duration_since(punch.at).abs() < cooldown;
        if before.as_ref().is_some_and(close) {
            return Ok(before);
        }
        let filter = PunchFilter {
            employee: Some(employee),
            from: Some(moment.at),
            to: moment.at.checked_add(cooldown).ok(),
            ..PunchFilter::default()
        };
        let first = Page {
            after: None,
            limit: 1,
        };
        let after = self
            .stores
            .punches
            .list(&Reach::Everything, &filter, &first)
            .await?
            .pop();
        Ok(after.or(before))
    }

    /// Returns the first answer to a request; `None` if there was none.
    pub async fn replay(
        &self,
        origin: Origin,
        request: &RequestKey,
    ) -> Result<Option<Replay>, LedgerError> {
        let punches = &self.stores.punches;
        let (used_for, answer) = match punches.find_by_request(origin, &request.key).await? {
            Some(punch) => (punch.request.clone(), Replay::Punch(Box::new(punch))),
            None => match punches.kept_answer(origin, &request.key).await? {
                Some(kept) => (Some(kept.request), Replay::Answer(kept.answer)),
                None => return Ok(None),
            },
        };
        if used_for.as_ref() != Some(request) {
            return Err(LedgerError::KeyReused);
        }
        Ok(Some(answer))
    }

    /// Keeps the answer to a request that wrote no punch, for [`replay`](Self::replay). Returns
    /// the first answer instead, if the same request was answered at the same moment.
    pub async fn keep(
        &self,
        origin: Origin,
        request: RequestKey,
        answer: String,
        at: Timestamp,
    ) -> Result<Option<Replay>, LedgerError> {
        let kept = KeptAnswer {
            origin,
            request,
            answer,
            at,
        };
        match self.stores.punches.keep_answer(&kept).await {
            Ok(()) => Ok(None),
            Err(StoreError::Conflict) => self.replay(origin, &kept.request).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Returns a page of the covered punches, newest first. Those of a covered employee are listed
    /// wherever they were made, if the filter names the employee: without it, that would read the
    /// punches of every site.
    pub async fn list(
        &self,
        reach: &Reach,
        filter: &PunchFilter,
        page: &Page<(Timestamp, PunchId)>,
    ) -> Result<Vec<Punch>, StoreError> {
        let person = filter.employee.as_slice();
        let reach = match self.covered(reach, person).await?.is_empty() {
            true => reach,
            false => &Reach::Everything,
        };
        self.stores.punches.list(reach, filter, page).await
    }

    /// Returns those of some employees who are covered and not deleted.
    async fn covered(
        &self,
        reach: &Reach,
        employees: &[EmployeeId],
    ) -> Result<BTreeSet<EmployeeId>, StoreError> {
        let found = self.stores.employees.find_many(employees).await?;
        let covered = |one: &&Employee| one.deleted_at.is_none() && reach.covers(*one);
        Ok(found.iter().filter(covered).map(|one| one.id).collect())
    }

    /// Leaves those punches that are covered by their site or by their employee.
    async fn admit(&self, reach: &Reach, punches: &mut Vec<Punch>) -> Result<(), StoreError> {
        let others = punches.iter().filter(|punch| !reach.covers(*punch));
        let people: BTreeSet<_> = others.map(|punch| punch.employee).collect();
        let people: Vec<_> = people.into_iter().collect();
        let people = self.covered(reach, &people).await?;
        punches.retain(|punch| reach.covers(punch) || people.contains(&punch.employee));
        Ok(())
    }

    /// Returns the punches that were recorded at or after a moment and are covered by their site or
    /// by their employee, oldest first; `None` if there are more than `most`, covered or not.
    pub async fn recorded_since(
        &self,
        reach: &Reach,
        from: Timestamp,
        most: usize,
    ) -> Result<Option<Vec<Punch>>, StoreError> {
        let mut found = self
            .stores
            .punches
            .recorded_since(&Reach::Everything, from, most)
            .await?;
        if let Some(punches) = &mut found {
            self.admit(reach, punches).await?;
        }
        Ok(found)
    }

    /// Returns a punch, if it is covered by its site or by its employee.
    pub async fn find(&self, reach: &Reach, id: PunchId) -> Result<Option<Punch>, StoreError> {
        let mut found = Vec::from_iter(self.stores.punches.find(id).await?);
        self.admit(reach, &mut found).await?;
        Ok(found.pop())
    }
}
