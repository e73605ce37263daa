//! Employees, and their templates and photos.

use async_trait::async_trait;
use jiff::Timestamp;
use redis::cmd;

use super::{
    RedisStore,
    forms::Enrolled,
    plan::{Kept, Plan, Range, member, record_key},
    scripts,
};
use crate::{
    domain::{
        biometrics::ModelId,
        employees::{Consent, Employee},
        ids::{EmployeeId, TemplateId},
        text::Code,
    },
    ports::{
        EmployeeFilter, EmployeeStore, Page, Sealed, StoreError, StoredPhoto, StoredTemplate,
        TemplateStore,
    },
    storage::parts,
};

/// The sorted set of who changed when in the gallery.
const CHANGES: &str = "gallery_changes";

fn place(employee: &Employee) -> String {
    member(&employee.name.key(), employee.id)
}

/// Whether a filter lets somebody through.
fn wanted(filter: &EmployeeFilter, employee: &Employee) -> bool {
    let text = filter.text.as_ref().map(|text| text.to_lowercase());
    text.is_none_or(|text| {
        employee.name.key().contains(&text) || employee.code.key().contains(&text)
    }) && filter.active.is_none_or(|active| employee.active == active)
}

#[async_trait]
impl EmployeeStore for RedisStore {
    async fn insert(&self, employee: &Employee) -> Result<(), StoreError> {
        self.insert_record(employee).await
    }

    async fn update(&self, was: &Employee, is: &Employee) -> Result<bool, StoreError> {
        let same = |there: &Employee| {
            let seen = Employee {
                templates: was.templates,
                consent: was.consent.clone(),
                ..there.clone()
            };
            seen == *was
        };
        self.exchange_record(&was.id.to_string(), same, is).await
    }

    async fn set_enrolled(
        &self,
        id: EmployeeId,
        templates: u32,
        consent: Option<&Consent>,
    ) -> Result<bool, StoreError> {
        let keys = [record_key::<Employee>(&self.keys, &id.to_string())];
        let arguments = [b"e".to_vec(), Enrolled::json(templates, consent)?];
        self.script(&scripts::SET_FIELD, &keys, &arguments, false)
            .await
    }

    async fn find(&self, id: EmployeeId) -> Result<Option<Employee>, StoreError> {
        self.fetch_one(id.to_string()).await
    }

    async fn find_by_code(&self, code: &Code) -> Result<Option<Employee>, StoreError> {
        self.fetch_by(&format!("employee_code:{}", code.key()))
            .await
    }

    async fn find_many(&self, ids: &[EmployeeId]) -> Result<Vec<Employee>, StoreError> {
        self.fetch(ids.iter().map(ToString::to_string)).await
    }

    async fn list(
        &self,
        filter: &EmployeeFilter,
        page: &Page<(String, EmployeeId)>,
    ) -> Result<Vec<Employee>, StoreError> {
        let index = match &filter.site {
            Some(site) => format!("employees_at:{site}"),
            None => "employees".to_owned(),
        };
        let range = match &page.after {
            Some((name, id)) => Range::all().after(&member(name, id)),
            None => Range::all(),
        };
        let wanted = |employee: &Employee| wanted(filter, employee);
        self.select_wanted(&index, range, page.limit, wanted, place)
            .await
    }
}

#[async_trait]
impl TemplateStore for RedisStore {
    async fn insert(
        &self,
        templates: &[StoredTemplate],
        photos: &[StoredPhoto],
    ) -> Result<(), StoreError> {
        let mut plan = Plan::default();
        for template in templates {
            plan.insert(&self.keys, template)?;
        }
        for photo in photos {
            plan.insert(&self.keys, photo)?;
        }
        self.write(plan).await.map(drop)
    }

    async fn of_employee(&self, employee: EmployeeId) -> Result<Vec<StoredTemplate>, StoreError> {
        self.select_all(&format!("templates_of:{employee}")).await
    }

    async fn photos_of(&self, employee: EmployeeId) -> Result<Vec<StoredPhoto>, StoreError> {
        self.select_all(&format!("photos_of:{employee}")).await
    }

    async fn list(
        &self,
        model: &ModelId,
        page: &Page<TemplateId>,
    ) -> Result<Vec<StoredTemplate>, StoreError> {
        let range = match page.after {
            Some(after) => Range::all().after(&after.to_string()),
            None => Range::all(),
        };
        self.select(&format!("templates:{model}"), &range, page.limit)
            .await
    }

    async fn keep_models(
        &self,
        employee: EmployeeId,
        models: &[ModelId],
    ) -> Result<u64, StoreError> {
        let mut dropped = 0;
        let others = self.of_employee(employee).await?.into_iter();
        for other in others.filter(|template| !models.contains(&template.model)) {
            let key = record_key::<StoredTemplate>(&self.keys, &Kept::id(&other));
            dropped += self
                .script::<u64>(&scripts::DROP_ONE, &[key], &[], false)
                .await?;
        }
        Ok(dropped)
    }

    async fn reseal(&self, was: &StoredTemplate, sealed: &Sealed) -> Result<bool, StoreError> {
        let is = StoredTemplate {
            sealed: sealed.clone(),
            ..was.clone()
        };
        let same = |there: &StoredTemplate| there.sealed == was.sealed;
        self.exchange_record(&was.id.to_string(), same, &is).await
    }

    async fn reseal_photo(&self, was: &StoredPhoto, sealed: &Sealed) -> Result<bool, StoreError> {
        let is = StoredPhoto {
            sealed: sealed.clone(),
            ..was.clone()
        };
        let same = |there: &StoredPhoto| there.sealed == was.sealed;
        self.exchange_record(&was.id.to_string(), same, &is).await
    }

    async fn delete_of(&self, employee: EmployeeId) -> Result<u64, StoreError> {
        let indexes = [
            (format!("photos_of:{employee}"), StoredPhoto::KIND),
            (format!("templates_of:{employee}"), StoredTemplate::KIND),
        ];
        self.drop_of(&indexes, "+", -1).await
    }

    async fn mark_changed(&self, employee: EmployeeId, at: Timestamp) -> Result<(), StoreError> {
        let mut add = cmd("ZADD");
        add.arg(self.keys.key(CHANGES))
            .arg("GT")
            .arg(at.as_millisecond())
            .arg(employee.to_string());
        self.command::<i64>(&add).await.map(drop)
    }

    async fn changed_since(
        &self,
        at: Timestamp,
    ) -> Result<Vec<(EmployeeId, Timestamp)>, StoreError> {
        let mut range = cmd("ZRANGEBYSCORE");
        range
            .arg(self.keys.key(CHANGES))
            .arg(at.as_millisecond())
            .arg("+inf")
            .arg("WITHSCORES");
        let found: Vec<(String, f64)> = self.command(&range).await?;
        let read = |(employee, at): (String, f64)| {
            let employee = employee.parse().ok();
            Ok((
                parts::known(employee, "gallery change employee")?,
                parts::time(at as i64, "gallery change time")?,
            ))
        };
        found.into_iter().map(read).collect()
    }
}
