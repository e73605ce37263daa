//! Employees: adds, changes, lists and deletes employees and their enrolled faces.

use std::{collections::HashMap, ops::Deref, sync::Arc};

use super::{
    api_tokens,
    audit::Audit,
    gallery_loader::{GalleryLoader, ReferenceError},
    recognition::Recognition,
    sealed_faces,
    sites::Sites,
};
use crate::{
    clock::Clock,
    domain::{
        accounts::{Account, Actor},
        biometrics::Probe,
        employees::{Consent, Employee, EmployeeSettings},
        faces::FaceEnrollment,
        grants::Reach,
        ids::{EmployeeId, SiteId},
        text::{Code, Name, SiteName},
    },
    ports::{EmployeeFilter, Page, StoreError},
    repositories::Repositories,
};

/// An employee with the enrolled face.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// The employee.
    pub employee: Employee,
    /// The enrollment; `None` if no face was ever enrolled.
    pub enrollment: Option<FaceEnrollment>,
}

impl Deref for Person {
    type Target = Employee;

    fn deref(&self) -> &Employee {
        &self.employee
    }
}

impl Person {
    /// Returns the consent under which their face is enrolled.
    pub fn consent(&self) -> Option<&Consent> {
        self.enrollment.as_ref().and_then(FaceEnrollment::consent)
    }

    /// Returns the number of enrolled templates, of all models.
    pub fn templates(&self) -> usize {
        let enrollment = self.enrollment.as_ref();
        enrollment.map_or(0, |enrollment| enrollment.templates().len())
    }

    /// Checks whether a face is enrolled.
    pub fn enrolled(&self) -> bool {
        self.templates() > 0
    }

    /// Checks whether the person may be identified and punch.
    pub fn recognizable(&self) -> bool {
        self.employee.present() && self.enrolled()
    }

    /// Checks whether the person consented to pictures of punches and is not deleted.
    pub fn consents_to_pictures(&self) -> bool {
        let consents = self.consent().is_some_and(Consent::covers_pictures);
        consents && self.employee.deleted_at.is_none()
    }
}

/// Returns employees with their enrollments, in the same order.
pub async fn with_enrollments(
    stores: &Repositories,
    employees: Vec<Employee>,
) -> Result<Vec<Person>, StoreError> {
    let ids: Vec<_> = employees.iter().map(|employee| employee.id).collect();
    let enrollments = stores.faces.find_many(&ids).await?;
    let mut enrollments: HashMap<_, _> = enrollments
        .into_iter()
        .map(|one| (one.employee, one))
        .collect();
    let person = |employee: Employee| Person {
        enrollment: enrollments.remove(&employee.id),
        employee,
    };
    Ok(employees.into_iter().map(person).collect())
}

/// Returns a person, deleted or not.
pub async fn find_person(
    stores: &Repositories,
    id: EmployeeId,
) -> Result<Option<Person>, StoreError> {
    let (employee, enrollment) =
        tokio::try_join!(stores.employees.find(id), stores.faces.find(id))?;
    Ok(employee.map(|employee| Person {
        employee,
        enrollment,
    }))
}

/// Why an employee request failed.
#[derive(Debug, thiserror::Error)]
pub enum EmployeeError {
    /// The employee does not exist.
    #[error("no such employee")]
    NotFound,
    /// Another employee has the code.
    #[error("another employee has this staff number")]
    CodeTaken,
    /// The site does not exist, was removed, or is one where the caller may not add employees.
    #[error("there is no such site: choose another one")]
    UnknownSite,
    /// The face is also enrolled for another active employee, whose name is left out if the caller
    /// may not know it.
    #[error("the face is enrolled for {} too: delete one of the two faces, or override", other(.0.as_ref()))]
    Duplicate(Option<Name>),
    /// Other requests kept changing the employee at the same time.
    #[error("other requests are changing this employee at the same time")]
    Raced,
    /// A stored template could not be opened.
    #[error(transparent)]
    Reference(ReferenceError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn other(name: Option<&Name>) -> &str {
    name.map_or("an employee of another site", Name::as_str)
}

impl From<ReferenceError> for EmployeeError {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Store(error) => Self::Store(error),
            sealed @ ReferenceError::Sealed { .. } => Self::Reference(sealed),
        }
    }
}

/// Returns the employees with these IDs, in the same order. IDs without an employee are left out.
pub(super) async fn in_order(
    stores: &Repositories,
    ids: &[EmployeeId],
) -> Result<Vec<Employee>, StoreError> {
    let mut found = stores.employees.find_many(ids).await?;
    found.sort_by_key(|one| ids.iter().position(|id| *id == one.id));
    Ok(found)
}

/// Returns the detail of the audit entry for an override of the check for duplicate faces.
pub(super) fn override_detail(others: &[EmployeeId]) -> String {
    let others: Vec<_> = others.iter().map(ToString::to_string).collect();
    format!("although the face is enrolled for {}", others.join(", "))
}

/// Number of people read at a time to count them.
const PAGE: usize = 500;

/// Number of attempts at a change while other requests change the same employee.
const TRIES: usize = 8;

/// The enrollment of a person, without any embedding.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// The person.
    pub person: Person,
    /// Number of kept photos.
    pub photos: u64,
}

/// The service for employees.
#[derive(derive_new::new)]
pub struct Employees {
    stores: Repositories,
    loader: Arc<GalleryLoader>,
    recognition: Arc<Recognition>,
    sites: Arc<Sites>,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl Employees {
    /// Adds an employee at a covered site.
    pub async fn add(
        &self,
        reach: &Reach,
        actor: Actor,
        settings: EmployeeSettings,
    ) -> Result<Person, EmployeeError> {
        let id = EmployeeId::new(self.clock.id());
        self.add_with_id(reach, actor, id, settings).await
    }

    /// Adds an employee under an ID that the caller chose, so that it can find out whether an
    /// earlier call added them.
    ///
    /// # Errors
    /// [`EmployeeError::CodeTaken`] also when the ID is taken.
    pub async fn add_with_id(
        &self,
        reach: &Reach,
        actor: Actor,
        id: EmployeeId,
        settings: EmployeeSettings,
    ) -> Result<Person, EmployeeError> {
        self.check_site(reach, settings.site).await?;
        let employee = Employee {
            id,
            settings,
            created_at: self.clock.now(),
            deleted_at: None,
            erasure_requested_at: None,
        };
        // The audit entry comes first, so that no employee exists without one.
        self.audit
            .record(actor, "employee.add", employee.id, None)
            .await?;
        match self.stores.employees.insert(&employee).await {
            Ok(()) => Ok(Person {
                employee,
                enrollment: None,
            }),
            Err(StoreError::Conflict) => Err(EmployeeError::CodeTaken),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns a covered person who is not deleted.
    pub async fn find(&self, reach: &Reach, id: EmployeeId) -> Result<Person, EmployeeError> {
        let person = find_person(&self.stores, id).await?;
        person
            .filter(|person| reach.covers(&person.employee) && person.deleted_at.is_none())
            .ok_or(EmployeeError::NotFound)
    }

    /// Returns the record of a covered employee who is not deleted.
    async fn record(&self, reach: &Reach, id: EmployeeId) -> Result<Employee, EmployeeError> {
        let employee = self.stores.employees.find_covered(reach, id).await?;
        employee.ok_or(EmployeeError::NotFound)
    }

    /// Returns the person with a code, unless deleted.
    pub async fn find_by_code(&self, code: &Code) -> Result<Option<Person>, StoreError> {
        match self.stores.employees.find_by_code(code).await? {
            Some(employee) => {
                let people = with_enrollments(&self.stores, vec![employee]).await?;
                Ok(people.into_iter().next())
            }
            None => Ok(None),
        }
    }

    /// Returns the employees with these IDs, including deleted ones, for the names on old punches.
    pub async fn find_many(&self, ids: &[EmployeeId]) -> Result<Vec<Employee>, StoreError> {
        self.stores.employees.find_many(ids).await
    }

    /// Checks whether a person is enrolled only under other models than the present one. Such a
    /// person is not recognized until they are enrolled again.
    pub fn outdated(&self, person: &Person) -> bool {
        let enrollment = person.enrollment.as_ref();
        person.enrolled() && !enrollment.is_some_and(|one| self.loader.has(one))
    }

    /// Returns a page of the covered people, sorted by name.
    pub async fn list(
        &self,
        reach: &Reach,
        filter: &EmployeeFilter,
        page: &Page<(String, EmployeeId)>,
    ) -> Result<Vec<Person>, StoreError> {
        let employees = self.stores.employees.list(reach, filter, page).await?;
        with_enrollments(&self.stores, employees).await
    }

    /// Counts the covered people: first those whom kiosks and cameras can recognize, then those whom
    /// an admin must enroll again after a change of the model.
    pub async fn count_faces(&self, reach: &Reach) -> Result<(usize, usize), StoreError> {
        let filter = EmployeeFilter {
            active: Some(true),
            ..EmployeeFilter::default()
        };
        let (mut recognizable, mut outdated, mut after) = (0, 0, None);
        loop {
            let limit = PAGE;
            let page = self.list(reach, &filter, &Page { after, limit }).await?;
            for person in page.iter().filter(|person| person.recognizable()) {
                match self.outdated(person) {
                    true => outdated += 1,
                    false => recognizable += 1,
                }
            }
            after = match page.last() {
                Some(last) if page.len() == limit => Some((last.name.key(), last.id)),
                _ => return Ok((recognizable, outdated)),
            };
        }
    }

    /// Changes the settings of a covered employee to what `edit` returns. A new site must be
    /// covered as well.
    ///
    /// If the employee changes at the same moment, `edit` is called again. With
    /// `override_duplicate` the employee becomes active even if the face is also enrolled for
    /// another employee; that is audited.
    pub async fn change<E: From<EmployeeError>>(
        &self,
        reach: &Reach,
        actor: Actor,
        id: EmployeeId,
        override_duplicate: bool,
        edit: impl Fn(&Employee) -> Result<EmployeeSettings, E>,
    ) -> Result<Person, E> {
        let edited = |employee: &Employee| {
            Ok::<_, E>(Employee {
                settings: edit(employee)?,
                ..employee.clone()
            })
        };
        let old = self.record(reach, id).await?;
        let new = edited(&old)?;
        if new.site != old.site {
            self.check_site(reach, new.site).await?;
        }
        if new.active && !old.active {
            self.check_look_alikes(reach, actor, id, override_duplicate)
                .await?;
        }
        let recorded = self.audit.record(actor, "employee.change", id, None).await;
        recorded.map_err(EmployeeError::from)?;
        let (old, employee) = self.exchange(reach, id, edited).await?;
        // The gallery is also updated if nothing changed: an earlier attempt may have failed after
        // it wrote the record.
        if employee.active != old.active || employee == old {
            self.announce(id).await?;
        }
        let enrollment = self.stores.faces.find(id).await;
        Ok(Person {
            employee,
            enrollment: enrollment.map_err(EmployeeError::from)?,
        })
    }

    /// Returns the ID of the site with a name, for lists of people, which refer to sites by name.
    pub async fn find_site(&self, name: &SiteName) -> Result<Option<SiteId>, StoreError> {
        Ok(self.sites.all().await?.named(name).map(|site| site.id))
    }

    /// Checks that people can belong to a site, and that the caller may add them there.
    async fn check_site(&self, reach: &Reach, site: SiteId) -> Result<(), EmployeeError> {
        match reach.covers_site(site) && self.sites.is_present(site).await? {
            true => Ok(()),
            false => Err(EmployeeError::UnknownSite),
        }
    }

    /// Makes all instances reload a person into their galleries.
    async fn announce(&self, id: EmployeeId) -> Result<(), EmployeeError> {
        self.stores.faces.touch(id, self.clock.now()).await?;
        Ok(self.loader.changed(id).await?)
    }

    /// Checks that the face of an employee who becomes active again is not enrolled for another
    /// one. If an admin overrides that, records the others as look-alikes.
    async fn check_look_alikes(
        &self,
        reach: &Reach,
        actor: Actor,
        id: EmployeeId,
        override_duplicate: bool,
    ) -> Result<(), EmployeeError> {
        let others = in_order(&self.stores, &self.others_with_face(id).await?).await?;
        let Some(first) = others.first() else {
            return Ok(());
        };
        if !override_duplicate {
            let name = reach.covers(first).then(|| first.name.clone());
            return Err(EmployeeError::Duplicate(name));
        }
        let others: Vec<_> = others.iter().map(|other| other.id).collect();
        let detail = Some(override_detail(&others));
        self.audit
            .record(actor, "employee.override", id, detail)
            .await?;
        let add = |mut enrollment: FaceEnrollment| {
            // If there is no face, it has been deleted in the meantime.
            enrollment.face.as_mut()?.add_look_alikes(&others);
            Some(enrollment)
        };
        self.stores.faces.change(id, self.clock.now(), add).await?;
        Ok(())
    }

    /// Deletes the templates and photos of an employee, and removes the employee from all lists.
    /// Name and code stay in the store, for old punches, until the person is erased.
    ///
    /// The linked account loses access to its own records, and is disabled if it has no other
    /// permissions.
    pub async fn delete(
        &self,
        reach: &Reach,
        actor: Actor,
        id: EmployeeId,
    ) -> Result<(), EmployeeError> {
        self.record(reach, id).await?;
        self.audit
            .record(actor, "employee.delete", id, None)
            .await?;
        self.forget_face(id).await?;
        self.close_account(actor, id).await?;
        let at = self.clock.now();
        let deleted = |employee: &Employee| {
            let mut deleted = employee.clone();
            deleted.settings.active = false;
            deleted.deleted_at = Some(at);
            Ok::<_, EmployeeError>(deleted)
        };
        self.exchange(reach, id, deleted).await?;
        // Again, because an enrollment or a new account may have been written in between. From now
        // on, enrollment and the creation of accounts find the deletion and undo what they wrote.
        self.close_account(actor, id).await?;
        let credentials = &self.stores.punch_credentials;
        credentials.forget(id, self.clock.now()).await?;
        self.forget_face(id).await
    }

    /// Records that a covered employee asked to be erased, or no longer asks. An admin erases them
    /// with a command on the server.
    pub async fn request_erasure(
        &self,
        reach: &Reach,
        actor: Actor,
        id: EmployeeId,
        wanted: bool,
    ) -> Result<Employee, EmployeeError> {
        self.record(reach, id).await?;
        let action = match wanted {
            true => "employee.request_erasure",
            false => "employee.withdraw_erasure_request",
        };
        self.audit.record(actor, action, id, None).await?;
        let now = self.clock.now();
        let requested = |employee: &Employee| {
            let at = employee.erasure_requested_at.unwrap_or(now);
            Ok::<_, EmployeeError>(Employee {
                erasure_requested_at: wanted.then_some(at),
                ..employee.clone()
            })
        };
        let (_, employee) = self.exchange(reach, id, requested).await?;
        Ok(employee)
    }

    /// Returns the covered employees who asked to be erased, longest waiting first.
    pub async fn asking_for_erasure(&self, reach: &Reach) -> Result<Vec<Employee>, StoreError> {
        let mut employees = self.stores.employees.asking_for_erasure().await?;
        employees.retain(|employee| reach.covers(employee));
        Ok(employees)
    }

    /// Removes access to a deleted employee's own records from the linked account. If nothing else is
    /// granted to it, its sessions and API tokens end.
    async fn close_account(&self, actor: Actor, id: EmployeeId) -> Result<(), StoreError> {
        let Some(account) = self.stores.accounts.find_by_employee(id).await? else {
            return Ok(());
        };
        let changed = self
            .stores
            .accounts
            .change(account.id, Account::after_deletion);
        if changed.await?.is_some_and(|account| !account.active) {
            self.stores.sessions.delete_by_account(account.id).await?;
            let now = self.clock.now();
            api_tokens::revoke_all(&self.stores, &self.audit, actor, account.id, now).await?;
        }
        Ok(())
    }

    /// Replaces an employee with what `change` returns. Returns the old and the new record.
    async fn exchange<E: From<EmployeeError>>(
        &self,
        reach: &Reach,
        id: EmployeeId,
        change: impl Fn(&Employee) -> Result<Employee, E>,
    ) -> Result<(Employee, Employee), E> {
        for _ in 0..TRIES {
            let old = self.record(reach, id).await?;
            let new = change(&old)?;
            match self.stores.employees.exchange(&old, &new).await {
                Ok(true) => return Ok((old, new)),
                Ok(false) => {}
                Err(StoreError::Conflict) => return Err(EmployeeError::CodeTaken.into()),
                Err(error) => return Err(EmployeeError::from(error).into()),
            }
        }
        Err(EmployeeError::Raced.into())
    }

    /// Returns the other people whom a person's enrolled face also matches, most similar first.
    async fn others_with_face(&self, id: EmployeeId) -> Result<Vec<EmployeeId>, EmployeeError> {
        let Some(reference) = self.loader.reference_of(id).await? else {
            return Ok(Vec::new());
        };
        let probe = Probe {
            fused: reference.fused,
            views: reference.views,
        };
        // Without a calibration, faces cannot be compared, and no one is identified either.
        let others = self.recognition.others_with_face(id, &probe);
        Ok(others.unwrap_or_default())
    }

    /// Returns the enrollment of a covered employee.
    pub async fn enrolled(&self, reach: &Reach, id: EmployeeId) -> Result<Enrolled, EmployeeError> {
        let person = self.find(reach, id).await?;
        let photos = self.stores.photos.count_by_employee(id).await?;
        Ok(Enrolled { person, photos })
    }

    /// Deletes an employee's templates, photos and pictures of punches, and withdraws the consent.
    pub async fn delete_face(
        &self,
        reach: &Reach,
        actor: Actor,
        id: EmployeeId,
    ) -> Result<(), EmployeeError> {
        self.record(reach, id).await?;
        self.audit
            .record(actor, "templates.delete", id, None)
            .await?;
        self.forget_face(id).await
    }

    /// Deletes an employee's templates from punches; those from enrollment photos stay. Returns
    /// their number.
    pub async fn delete_grown_templates(
        &self,
        reach: &Reach,
        actor: Actor,
        id: EmployeeId,
    ) -> Result<usize, EmployeeError> {
        let person = self.find(reach, id).await?;
        let templates = person.enrollment.iter().flat_map(FaceEnrollment::templates);
        let count = templates.filter(|one| one.grown).count();
        let detail = Some(format!("{count} from punches"));
        self.audit
            .record(actor, "templates.delete", id, detail)
            .await?;
        let change = |mut stored: FaceEnrollment| {
            stored.face.as_mut()?.templates.retain(|one| !one.grown);
            Some(stored)
        };
        self.stores
            .faces
            .change(id, self.clock.now(), change)
            .await?;
        self.loader.changed(id).await?;
        Ok(count)
    }

    async fn forget_face(&self, id: EmployeeId) -> Result<(), EmployeeError> {
        sealed_faces::forget(&self.stores, &*self.clock, id).await?;
        Ok(self.loader.changed(id).await?)
    }
}
