//! All sealed faces of a site at once: whether there are any, whether they can be opened, and
//! deleting them when nobody can open them any more.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use jiff::Timestamp;

use super::{
    audit::Audit,
    personal_data::{Inside, inside},
    references::later,
};
use crate::{
    clock::Clock,
    domain::{accounts::Actor, ids::EmployeeId},
    ports::{PictureKind, RecordKind, StoreError, StoredRecord, Stores},
    vault::Vault,
};

/// What is enrolled, and what of it a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// People with templates of any model.
    pub people: usize,
    /// Those of them with a template that cannot be opened.
    pub unopened: usize,
    /// Templates, photos and pictures that the first key did not seal.
    pub older: usize,
    /// Photos and pictures that cannot be opened.
    pub unopened_images: usize,
}

/// The kinds of records in which something is sealed.
pub const SEALED: [RecordKind; 3] = [RecordKind::Template, RecordKind::Photo, RecordKind::Picture];

/// Whether the store holds anything sealed.
pub async fn any(stores: &Stores) -> Result<bool, StoreError> {
    for kind in SEALED {
        let mut pages = stores.archive.records(kind);
        while let Some(page) = pages.try_next().await? {
            if !page.is_empty() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Tries everything that is sealed; without a vault nothing can be opened.
pub async fn census(stores: &Stores, vault: Option<&Vault>) -> Result<Census, StoreError> {
    let (mut people, mut unopened) = (BTreeSet::new(), BTreeSet::new());
    let mut census = Census::default();
    for kind in SEALED {
        let mut pages = stores.archive.records(kind);
        while let Some(page) = pages.try_next().await? {
            for record in page {
                let opened = !matches!(inside(&record, vault), Inside::Unopened);
                let sealed = record.sealed();
                census.older += usize::from(
                    vault
                        .zip(sealed)
                        .is_some_and(|(v, s)| v.key_id() != s.key_id),
                );
                let StoredRecord::Template(template) = record else {
                    census.unopened_images += usize::from(!opened);
                    continue;
                };
                people.insert(template.employee);
                if !opened {
                    unopened.insert(template.employee);
                }
            }
        }
    }
    Ok(Census {
        people: people.len(),
        unopened: unopened.len(),
        ..census
    })
}

/// Deletes every template, photo, picture and consent for good, without opening any; how many people had
/// some. Only while no instance runs: nobody's gallery is told.
pub async fn delete_all(
    stores: &Stores,
    audit: &Audit,
    clock: &dyn Clock,
) -> Result<usize, StoreError> {
    let mut people: BTreeSet<EmployeeId> = BTreeSet::new();
    for kind in [
        RecordKind::Template,
        RecordKind::Photo,
        RecordKind::Employee,
    ] {
        let mut pages = stores.archive.records(kind);
        while let Some(page) = pages.try_next().await? {
            people.extend(page.iter().filter_map(|record| match record {
                StoredRecord::Template(template) => Some(template.employee),
                StoredRecord::Photo(photo) => Some(photo.employee),
                StoredRecord::Employee(employee) => {
                    (employee.enrolled() || employee.consent.is_some()).then_some(employee.id)
                }
                _ => None,
            }));
        }
    }
    for id in &people {
        audit
            .record(Actor::Operator, "templates.delete", id, None)
            .await?;
        forget(stores, clock, *id).await?;
    }
    for kind in PictureKind::ALL {
        stores.pictures.purge(kind, Timestamp::MAX).await?;
    }
    Ok(people.len())
}

/// Deletes the templates, photos, consent and pictures of one for good. Word of the change goes
/// out before and after: an instance that crashes in between has told the others, who look again within
/// their overlap. Consent goes first, so that nobody enrolls under it any more, and again at the
/// end: somebody who counted the templates meanwhile may have written it back.
pub async fn forget(stores: &Stores, clock: &dyn Clock, id: EmployeeId) -> Result<(), StoreError> {
    let before = clock.now();
    stores.templates.mark_changed(id, before).await?;
    stores.employees.set_enrolled(id, 0, None).await?;
    stores.templates.delete_of(id).await?;
    stores.employees.set_enrolled(id, 0, None).await?;
    // After the consent: a picture that is being made finds it gone and is taken back.
    stores.pictures.delete_of(id).await?;
    let after = later(clock.now(), before);
    stores.templates.mark_changed(id, after).await
}
