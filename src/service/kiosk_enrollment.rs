//! Consent at the kiosk: a person who proves with their PIN or badge who they are enrolls their own
//! face there, or withdraws their consent, if the site allows it.

use std::sync::Arc;

use super::{
    employees::{EmployeeError, Employees, Person},
    enrollment::{EnrollError, EnrollRequest, Enrollment, Enrollments},
    punch_credentials::{CheckError, PersonCredential, PunchCredentials, Unproven},
    sites::Sites,
};
use crate::{
    domain::{
        accounts::Actor, devices::Device, employees::ConsentGiven, grants::Reach, ids::EmployeeId,
    },
    ports::{Sample, StoreError},
};

/// Why a request of a kiosk failed.
#[derive(Debug, thiserror::Error)]
pub enum KioskEnrollmentError {
    /// The site does not allow it.
    #[error("the site does not let people enroll at kiosks: an admin can allow it")]
    NotAllowed,
    /// What the person typed or showed could not be checked.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The face could not be enrolled.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    /// The consent could not be withdrawn.
    #[error(transparent)]
    Employee(#[from] EmployeeError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a person may not enroll at a kiosk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// The PIN or badge proves nothing.
    Unproven(Unproven),
    /// The person works at another site.
    Elsewhere,
}

/// The service for consent at kiosks.
#[derive(derive_new::new)]
pub struct KioskEnrollments {
    credentials: Arc<PunchCredentials>,
    enrollments: Arc<Enrollments>,
    employees: Arc<Employees>,
    sites: Arc<Sites>,
}

impl KioskEnrollments {
    /// Finds out who a person at a kiosk is. Only people of the site may enroll there.
    pub async fn identify(
        &self,
        device: &Device,
        credential: PersonCredential,
    ) -> Result<Result<Person, Turned>, KioskEnrollmentError> {
        if !self.sites.of(device.site).await?.kiosk_enrollment {
            return Err(KioskEnrollmentError::NotAllowed);
        }
        let proven = self.credentials.prove(device, credential, None).await?;
        Ok(match proven {
            Ok(person) if person.employee.site == device.site => Ok(person),
            Ok(_) => Err(Turned::Elsewhere),
            Err(unproven) => Err(Turned::Unproven(unproven)),
        })
    }

    /// Enrolls the face of a person who was identified and consented, by the rules for all
    /// enrollments.
    pub async fn enroll(
        &self,
        device: &Device,
        employee: EmployeeId,
        photos: Vec<Sample>,
    ) -> Result<Enrollment, KioskEnrollmentError> {
        let request = EnrollRequest {
            employee,
            consent: Some(ConsentGiven::Kiosk),
            photos,
            override_duplicate: false,
        };
        let actor = Actor::Device(device.id);
        let enrolled = self
            .enrollments
            .enroll(&Reach::Everything, actor, request)
            .await;
        Ok(enrolled?)
    }

    /// Withdraws the consent of a person who was identified: deletes the templates, photos and
    /// pictures of punches.
    pub async fn withdraw(
        &self,
        device: &Device,
        employee: EmployeeId,
    ) -> Result<(), KioskEnrollmentError> {
        let actor = Actor::Device(device.id);
        let deleted = self
            .employees
            .delete_face(&Reach::Everything, actor, employee)
            .await;
        Ok(deleted?)
    }
}
