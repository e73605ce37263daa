//! Enrolled faces and kept enrollment photos.

use std::collections::HashSet;

use futures::{Stream, TryStreamExt};
use jiff::Timestamp;

use super::{Versioned, collection::later_than};
use crate::{
    domain::{
        faces::{FaceEnrollment, Photo},
        ids::EmployeeId,
        record::{Index, Key},
    },
    ports::{Parts, Range, StoreError},
};

repository! {
    /// The repository of enrolled faces.
    FaceEnrollments(FaceEnrollment): find, read, find_many, revisions
}

impl FaceEnrollments {
    /// Changes the enrollment of an employee; retries if others change it at the same time.
    /// `change` receives the current record, or an empty one, and returns the new one, or `None` to
    /// leave it unchanged. The new `changed_at` is later than any before. Returns the new record;
    /// `None` if it was left unchanged.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if every attempt fails because of other changes.
    pub async fn change(
        &self,
        id: EmployeeId,
        now: Timestamp,
        mut change: impl FnMut(FaceEnrollment) -> Option<FaceEnrollment>,
    ) -> Result<Option<FaceEnrollment>, StoreError> {
        let absent = FaceEnrollment::none(id, Timestamp::MIN);
        let stamped = |old: FaceEnrollment| {
            let changed_at = later_than(old.changed_at, now);
            let mut new = change(old)?;
            new.changed_at = changed_at;
            Some(new)
        };
        self.0.change_or_insert(&absent, stamped).await
    }

    /// Updates `changed_at`, so that every instance loads the employee again, because something
    /// else that decides whether they are recognized has changed. Does nothing without a face.
    pub async fn touch(&self, id: EmployeeId, now: Timestamp) -> Result<(), StoreError> {
        if self
            .find(id)
            .await?
            .is_none_or(|found| found.face.is_none())
        {
            return Ok(());
        }
        self.change(id, now, Some).await.map(drop)
    }

    /// Deletes the templates and the consent of an employee. The record stays, so that instances
    /// notice the deletion. Returns how many templates there were.
    pub async fn forget(&self, id: EmployeeId, now: Timestamp) -> Result<u64, StoreError> {
        let mut templates = 0;
        let empty = |mut enrollment: FaceEnrollment| {
            // A deletion is noticed once.
            enrollment.face.as_ref()?;
            templates = enrollment.templates().len() as u64;
            enrollment.face = None;
            Some(enrollment)
        };
        if self.find(id).await?.is_some() {
            self.change(id, now, empty).await?;
        }
        Ok(templates)
    }

    /// Returns the enrollments that changed at or after a moment, oldest change first.
    pub async fn changed_since(
        &self,
        at: Timestamp,
    ) -> Result<Vec<Versioned<FaceEnrollment>>, StoreError> {
        let range = Range::all().from(Key::new((at,)));
        let pages = self.0.pages(FaceEnrollment::BY_CHANGE, range, Parts::Body);
        pages.try_concat().await
    }

    /// Returns the employees who have templates, without reading these.
    pub async fn enrolled(&self) -> Result<HashSet<EmployeeId>, StoreError> {
        let key = |id: &EmployeeId| Key::new((id.uuid(),));
        let heads = self.0.heads(FaceEnrollment::ENROLLED, key).await?;
        Ok(heads.into_iter().map(|(id, _)| id).collect())
    }

    /// Streams all enrollments in pages.
    pub fn pages(
        &self,
    ) -> impl Stream<Item = Result<Vec<Versioned<FaceEnrollment>>, StoreError>> + Send + '_ {
        self.0.pages(Index::ID, Range::all(), Parts::Body)
    }
}

repository! {
    /// The repository of kept enrollment photos.
    Photos(Photo): insert
}

impl Photos {
    /// Returns the photos of an employee with the images, oldest first.
    pub async fn list_by_employee(&self, id: EmployeeId) -> Result<Vec<Photo>, StoreError> {
        let range = Range::within(Key::new((id.uuid(),)));
        let index = Photo::BY_EMPLOYEE;
        self.0.all_parts(index, range, Parts::Whole).await
    }

    /// Counts the photos of an employee without reading them.
    pub async fn count_by_employee(&self, id: EmployeeId) -> Result<u64, StoreError> {
        let range = Range::within(Key::new((id.uuid(),)));
        self.0.count(Photo::BY_EMPLOYEE, &range).await
    }

    /// Permanently deletes the photos of an employee; returns how many there were.
    pub async fn delete_by_employee(&self, id: EmployeeId) -> Result<u64, StoreError> {
        let range = Range::within(Key::new((id.uuid(),)));
        self.0.remove_range(Photo::BY_EMPLOYEE, range).await
    }

    /// Permanently deletes a photo; returns false if it did not exist.
    pub async fn delete(&self, id: crate::domain::ids::PhotoId) -> Result<bool, StoreError> {
        self.0.remove(&id).await
    }

    /// Streams all photos in pages, without the images.
    pub fn pages(
        &self,
    ) -> impl Stream<Item = Result<Vec<Versioned<Photo>>, StoreError>> + Send + '_ {
        self.0.pages(Index::ID, Range::all(), Parts::Body)
    }
}
