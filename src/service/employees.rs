//! Employees: adding, changing, listing, deleting, and what is enrolled of them.

use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;

use super::{
    audit::Audit,
    faces,
    identification::Identifying,
    references::{ReferenceError, References, later},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        biometrics::Probe,
        employees::Employee,
        ids::EmployeeId,
        text::{Code, Name, SiteName},
    },
    ports::{EmployeeFilter, Page, StoreError, StoredTemplate, Stores},
};

/// Why an employee request failed.
#[derive(Debug, thiserror::Error)]
pub enum EmployeeError {
    /// There is no such employee.
    #[error("no such employee")]
    NotFound,
    /// Somebody else has the code.
    #[error("another employee has this code")]
    CodeTaken,
    /// Their face is also enrolled for somebody who is active.
    #[error("their face is enrolled for {0} too: delete one of the two faces, or override")]
    Duplicate(Name),
    /// Others changed the same again and again.
    #[error("somebody else changed it at the same time")]
    Raced,
    /// A stored template could not be opened.
    #[error(transparent)]
    Reference(ReferenceError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ReferenceError> for EmployeeError {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Store(error) => Self::Store(error),
            sealed @ ReferenceError::Sealed { .. } => Self::Reference(sealed),
        }
    }
}

/// What to change; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct EmployeeChange {
    /// A new name.
    pub name: Option<Name>,
    /// A new code.
    pub code: Option<Code>,
    /// A new site, or none.
    pub site: Option<Option<SiteName>>,
    /// Whether they may punch.
    pub active: Option<bool>,
    /// Make them active even if their face is enrolled for somebody else too; for admins, audited.
    pub override_duplicate: bool,
}

impl EmployeeChange {
    fn apply(&self, employee: &Employee) -> Employee {
        Employee {
            name: self.name.clone().unwrap_or_else(|| employee.name.clone()),
            code: self.code.clone().unwrap_or_else(|| employee.code.clone()),
            site: self.site.clone().unwrap_or_else(|| employee.site.clone()),
            active: self.active.unwrap_or(employee.active),
            ..employee.clone()
        }
    }
}

/// How often a change is tried when others change the same at that moment.
const TRIES: usize = 8;

/// What is enrolled of somebody; never the numbers.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// Whose.
    pub employee: Employee,
    /// The templates, oldest first.
    pub templates: Vec<StoredTemplate>,
    /// How many photos were kept.
    pub photos: usize,
}

/// Employees.
pub struct Employees {
    stores: Stores,
    references: Arc<References>,
    identifying: Arc<Identifying>,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl Employees {
    /// Over the stores; the gallery is kept in step through `references`.
    pub fn new(
        stores: Stores,
        references: Arc<References>,
        identifying: Arc<Identifying>,
        audit: Audit,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            stores,
            references,
            identifying,
            audit,
            clock,
        }
    }

    /// Adds one.
    pub async fn add(
        &self,
        actor: Actor,
        name: Name,
        code: Code,
        site: Option<SiteName>,
    ) -> Result<Employee, EmployeeError> {
        let employee = Employee {
            id: EmployeeId::new(self.clock.id()),
            name,
            code,
            site,
            active: true,
            consent: None,
            templates: 0,
            created_at: self.clock.now(),
            deleted_at: None,
        };
        // First, as everywhere: nobody is there of whom the trail does not tell.
        self.audit
            .record(actor, "employee.add", employee.id, None)
            .await?;
        match self.stores.employees.insert(&employee).await {
            Ok(()) => Ok(employee),
            Err(StoreError::Conflict) => Err(EmployeeError::CodeTaken),
            Err(error) => Err(error.into()),
        }
    }

    /// One that is not deleted.
    pub async fn find(&self, id: EmployeeId) -> Result<Employee, EmployeeError> {
        let employee = self.stores.employees.find(id).await?;
        employee
            .filter(|employee| employee.deleted_at.is_none())
            .ok_or(EmployeeError::NotFound)
    }

    /// One by code, not deleted.
    pub async fn find_by_code(&self, code: &Code) -> Result<Option<Employee>, StoreError> {
        self.stores.employees.find_by_code(code).await
    }

    /// Employees by identity, deleted ones too: the names behind punches.
    pub async fn find_many(&self, ids: &[EmployeeId]) -> Result<Vec<Employee>, StoreError> {
        if ids.is_empty() {
            Ok(Vec::new())
        } else {
            self.stores.employees.find_many(ids).await
        }
    }

    /// Of some, those who are enrolled only under other models than the present one: nobody
    /// recognises them until they are enrolled again.
    pub async fn outdated(&self, of: &[Employee]) -> Result<HashSet<EmployeeId>, StoreError> {
        let mut outdated = HashSet::new();
        for employee in of.iter().filter(|employee| employee.enrolled()) {
            if !self.references.has(employee.id).await? {
                outdated.insert(employee.id);
            }
        }
        Ok(outdated)
    }

    /// A page, sorted by name.
    pub async fn list(
        &self,
        filter: &EmployeeFilter,
        page: &Page<(String, EmployeeId)>,
    ) -> Result<Vec<Employee>, StoreError> {
        self.stores.employees.list(filter, page).await
    }

    /// Changes one.
    pub async fn change(
        &self,
        actor: Actor,
        id: EmployeeId,
        change: EmployeeChange,
    ) -> Result<Employee, EmployeeError> {
        let employee = self.find(id).await?;
        let returns = change.active == Some(true) && !employee.active;
        if returns && let Some(other) = self.twin(id).await? {
            if !change.override_duplicate {
                return Err(EmployeeError::Duplicate(other.name));
            }
            let detail = Some(format!("although the face is enrolled for {}", other.id));
            self.audit
                .record(actor, "employee.override", id, detail)
                .await?;
        }
        self.audit
            .record(actor, "employee.change", id, None)
            .await?;
        // As word of a face that goes: before and after, and also when the record says so already,
        // since whoever tried before may have come no further than that.
        let before = self.clock.now();
        if change.active.is_some() {
            self.stores.templates.mark_changed(id, before).await?;
        }
        let changed = self.exchange(id, |was| change.apply(was)).await?;
        if change.active.is_some() {
            self.tell(id, before).await?;
        }
        Ok(changed)
    }

    /// Deletes one: templates and photos for good, the record out of every list. The name stays
    /// behind old punches.
    pub async fn delete(&self, actor: Actor, id: EmployeeId) -> Result<(), EmployeeError> {
        self.find(id).await?;
        self.audit
            .record(actor, "employee.delete", id, None)
            .await?;
        self.forget_face(id).await?;
        let at = self.clock.now();
        let deleted = |was: &Employee| Employee {
            active: false,
            deleted_at: Some(at),
            ..was.clone()
        };
        self.exchange(id, deleted).await?;
        // Once more: photos that were being enrolled may have come in between. From now on
        // enrollment finds nobody and takes back what it wrote.
        self.forget_face(id).await
    }

    /// Replaces one by what `change` makes of them as they are now.
    async fn exchange(
        &self,
        id: EmployeeId,
        change: impl Fn(&Employee) -> Employee,
    ) -> Result<Employee, EmployeeError> {
        for _ in 0..TRIES {
            let was = self.find(id).await?;
            let is = change(&was);
            match self.stores.employees.update(&was, &is).await {
                Ok(true) => return Ok(is),
                Ok(false) => {}
                Err(StoreError::Conflict) => return Err(EmployeeError::CodeTaken),
                Err(error) => return Err(error.into()),
            }
        }
        Err(EmployeeError::Raced)
    }

    /// Who is taken for somebody by what is enrolled of them.
    async fn twin(&self, id: EmployeeId) -> Result<Option<Employee>, EmployeeError> {
        let Some(reference) = self.references.of(id).await? else {
            return Ok(None);
        };
        let (fused, views) = (reference.fused, reference.views);
        match self.identifying.somebody_else(id, Probe { fused, views }) {
            Ok(Some(other)) => Ok(self.stores.employees.find(other).await?),
            // Without a calibration nobody is taken for anybody.
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// What is enrolled of one.
    pub async fn enrolled(&self, id: EmployeeId) -> Result<Enrolled, EmployeeError> {
        let employee = self.find(id).await?;
        let templates = self.stores.templates.of_employee(id).await?;
        let photos = self.stores.templates.photos_of(id).await?.len();
        Ok(Enrolled {
            employee,
            templates,
            photos,
        })
    }

    /// Deletes the templates and photos of one and the pictures of their punches for good, and
    /// with them the consent.
    pub async fn delete_face(&self, actor: Actor, id: EmployeeId) -> Result<(), EmployeeError> {
        self.find(id).await?;
        self.audit
            .record(actor, "templates.delete", id, None)
            .await?;
        self.forget_face(id).await
    }

    async fn forget_face(&self, id: EmployeeId) -> Result<(), EmployeeError> {
        faces::forget(&self.stores, &*self.clock, id).await?;
        Ok(self.references.changed(id).await?)
    }

    /// Word that what is known of a face changed, later than what was told before it did.
    async fn tell(&self, id: EmployeeId, before: Timestamp) -> Result<(), EmployeeError> {
        let after = later(self.clock.now(), before);
        self.stores.templates.mark_changed(id, after).await?;
        self.references.changed(id).await?;
        Ok(())
    }
}
