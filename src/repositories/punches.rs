//! Append-only punches, and the responses that are kept for retries.

use std::{cmp::Reverse, sync::Arc};

use jiff::Timestamp;

use super::Collection;
use crate::{
    domain::{
        attendance::{KeptAnswer, Origin, Punch},
        grants::Reach,
        ids::{EmployeeId, PunchId, SiteId},
        record::{Index, Key},
        text::IdempotencyKey,
    },
    ports::{Page, PunchFilter, Range, RecordEngine, StoreError},
};

/// An index by time, and the part of it that belongs to one owner.
type Slice = (Index, Option<Key>);

/// Returns slices that together hold every punch that is covered and passes a filter, so that no
/// list reads the punches of the whole installation for the few of a site.
fn slices(reach: &Reach, filter: &PunchFilter) -> Vec<Slice> {
    let by_employee = |id: EmployeeId| (Punch::BY_EMPLOYEE, Some(Key::new((id.uuid(),))));
    let by_site = |id: SiteId| (Punch::BY_SITE, Some(Key::new((id.uuid(),))));
    if let Some(employee) = filter.employee {
        return vec![by_employee(employee)];
    }
    if let Some(origin) = filter.origin {
        return vec![(Punch::BY_ORIGIN, Some(Key::new((origin,))))];
    }
    if let Some(site) = filter.site {
        return vec![by_site(site)];
    }
    match reach {
        Reach::Everything => vec![(Punch::BY_TIME, None)],
        Reach::Part { sites, own } => {
            let sites = sites.iter().copied().map(by_site);
            sites.chain(own.map(by_employee)).collect()
        }
    }
}

/// The repository of punches.
#[derive(Clone)]
pub struct Punches {
    punches: Collection<Punch>,
    answers: Collection<KeptAnswer>,
}

impl Punches {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self {
            punches: Collection::new(engine.clone()),
            answers: Collection::new(engine),
        }
    }

    forward!(punches: Punch => find);

    /// Writes a punch durably: after this returns, a crash does not lose it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the origin has already used the request key, or if the employee
    /// already has a punch with this sequence number.
    pub async fn append(&self, punch: &Punch) -> Result<(), StoreError> {
        self.punches.insert(punch).await
    }

    /// Returns the punch that was written for a request of an origin.
    pub async fn find_by_request(
        &self,
        origin: Origin,
        key: &IdempotencyKey,
    ) -> Result<Option<Punch>, StoreError> {
        self.punches
            .find_by(Punch::BY_REQUEST, (origin, key.as_str()))
            .await
    }

    /// Returns the employee's punch with the highest sequence number.
    pub async fn last_written(&self, employee: EmployeeId) -> Result<Option<Punch>, StoreError> {
        let range = Range::within(Key::new((employee.uuid(),))).backwards();
        self.punches.first(Punch::BY_SEQUENCE, &range).await
    }

    /// Returns the employee's earliest punch that counts.
    pub async fn first(&self, employee: EmployeeId) -> Result<Option<Punch>, StoreError> {
        let range = Range::within(Key::new((employee.uuid(),)));
        let counts = |punch: &Punch| punch.doubt.is_none();
        let first = self.punches.filter(Punch::BY_EMPLOYEE, range, 1, counts);
        Ok(first.await?.pop())
    }

    /// Returns the employee's latest punch at or before a moment.
    pub async fn last_before(
        &self,
        employee: EmployeeId,
        at: Timestamp,
    ) -> Result<Option<Punch>, StoreError> {
        let end = Key::new((employee.uuid(), at)).end();
        let range = Range::within(Key::new((employee.uuid(),)))
            .before(end)
            .backwards();
        self.punches.first(Punch::BY_EMPLOYEE, &range).await
    }

    /// Returns the punches from one moment until before another, oldest first: those of an employee,
    /// or all.
    pub async fn between(
        &self,
        employee: Option<EmployeeId>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Punch>, StoreError> {
        let (index, range) = match employee.map(EmployeeId::uuid) {
            Some(id) => {
                let range = Range::all().from(Key::new((id, from)));
                (Punch::BY_EMPLOYEE, range.before(Key::new((id, to))))
            }
            None => {
                let range = Range::all().from(Key::new((from,)));
                (Punch::BY_TIME, range.before(Key::new((to,))))
            }
        };
        self.punches.all(index, range).await
    }

    /// Returns the employee's latest punches since a moment, the latest first, at most `most`.
    pub async fn latest_since(
        &self,
        employee: EmployeeId,
        from: Timestamp,
        most: usize,
    ) -> Result<Vec<Punch>, StoreError> {
        let owner = Key::new((employee.uuid(),));
        let range = Range::within(owner).from(Key::new((employee.uuid(), from)));
        let range = range.backwards();
        self.punches.list(Punch::BY_EMPLOYEE, &range, most).await
    }

    /// Returns the time of the origin's latest punch that has the server's time.
    pub async fn last_synchronized(&self, origin: Origin) -> Result<Option<Timestamp>, StoreError> {
        let range = Range::within(Key::new((origin,))).backwards();
        let last = self.punches.first(Punch::SYNCHRONIZED, &range).await?;
        Ok(last.map(|punch| punch.at))
    }

    /// Returns a page of the covered punches. The cursor is the time and ID of the last punch.
    pub async fn list(
        &self,
        reach: &Reach,
        filter: &PunchFilter,
        page: &Page<(Timestamp, PunchId)>,
    ) -> Result<Vec<Punch>, StoreError> {
        let mut found = Vec::new();
        for slice in slices(reach, filter) {
            found.extend(self.list_slice(slice, reach, filter, page).await?);
        }
        found.sort_unstable_by_key(|punch| Reverse((punch.at, punch.id)));
        found.dedup_by_key(|punch| punch.id);
        found.truncate(page.limit);
        Ok(found)
    }

    /// Returns a page of the punches in a slice.
    async fn list_slice(
        &self,
        (index, owner): Slice,
        reach: &Reach,
        filter: &PunchFilter,
        page: &Page<(Timestamp, PunchId)>,
    ) -> Result<Vec<Punch>, StoreError> {
        let key = |at: Timestamp| match &owner {
            Some(owner) => owner.clone().followed_by(at),
            None => Key::new((at,)),
        };
        let mut range = owner.clone().map_or_else(Range::all, Range::within);
        if let Some(from) = filter.from {
            range = range.from(key(from));
        }
        if let Some(to) = filter.to {
            range = range.before(key(to));
        }
        let after = page.after.map(|(at, id)| (key(at), id.to_string()));
        let range = range.backwards().after(after);
        let wanted = |punch: &Punch| {
            reach.covers(punch)
                && filter.origin.is_none_or(|origin| punch.origin == origin)
                && filter.site.is_none_or(|site| punch.site == site)
        };
        self.punches.filter(index, range, page.limit, wanted).await
    }

    /// Returns the punch that was recorded last, by the clock of its instance.
    pub async fn last_recorded(&self) -> Result<Option<Punch>, StoreError> {
        let range = Range::all().backwards();
        self.punches.first(Punch::BY_RECORDING, &range).await
    }

    /// Returns the covered punches that were recorded at or after a moment, oldest first; `None` if
    /// there are more than `most`, covered or not.
    pub async fn recorded_since(
        &self,
        reach: &Reach,
        from: Timestamp,
        most: usize,
    ) -> Result<Option<Vec<Punch>>, StoreError> {
        let range = Range::all().from(Key::new((from,)));
        let recorded = self.punches.list(Punch::BY_RECORDING, &range, most + 1);
        let mut found = recorded.await?;
        if found.len() > most {
            return Ok(None);
        }
        found.retain(|punch| reach.covers(punch));
        Ok(Some(found))
    }

    /// Returns a page of all punches that were recorded at or after a moment, oldest first. The
    /// cursor is the time of recording and the ID of the last one.
    pub async fn recorded_from(
        &self,
        from: Timestamp,
        page: &Page<(Timestamp, PunchId)>,
    ) -> Result<Vec<Punch>, StoreError> {
        let after = page.after.map(|(at, id)| (Key::new((at,)), id.to_string()));
        let range = Range::all().from(Key::new((from,))).after(after);
        self.punches
            .list(Punch::BY_RECORDING, &range, page.limit)
            .await
    }

    /// Permanently deletes all punches of an employee; returns how many there were. Only an erasure
    /// does this: otherwise, punches are append-only.
    pub async fn delete_by_employee(&self, employee: EmployeeId) -> Result<u64, StoreError> {
        let range = Range::within(Key::new((employee.uuid(),)));
        self.punches.remove_range(Punch::BY_EMPLOYEE, range).await
    }

    /// Keeps a response for retries.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the origin's key already has one.
    pub async fn keep_answer(&self, answer: &KeptAnswer) -> Result<(), StoreError> {
        self.answers.insert(answer).await
    }

    /// Returns the response that was kept for an origin's key.
    pub async fn kept_answer(
        &self,
        origin: Origin,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptAnswer>, StoreError> {
        self.answers.find(&KeptAnswer::id_of(origin, key)).await
    }

    /// Deletes the responses from before a moment; returns how many there were.
    pub async fn forget_answers(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.answers.purge((), before).await
    }

    /// Deletes the response that was kept for an origin's key; returns false if there is none.
    pub async fn forget_answer(
        &self,
        origin: Origin,
        key: &IdempotencyKey,
    ) -> Result<bool, StoreError> {
        self.answers.remove(&KeptAnswer::id_of(origin, key)).await
    }
}
