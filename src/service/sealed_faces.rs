//! All encrypted faces of an installation: checks whether there are any and whether they can be
//! decrypted, and deletes them when their key is lost.

use std::collections::{BTreeMap, BTreeSet};

use futures::{Stream, StreamExt, TryStreamExt, stream};

use super::{
    audit::Audit,
    unseal::{Inside, unseal},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor, faces::FaceEnrollment, ids::EmployeeId, record::OnErase, sealed::Binding,
        second_factors::SecondFactors,
    },
    ports::{Parts, StoreError},
    repositories::{Found, Registered, Repositories},
    vault::Vault,
};

/// Counts of the encrypted faces and of those that a key decrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// The number of people with templates of any model.
    pub people: usize,
    /// The number of those with a template that cannot be decrypted.
    pub unopened: usize,
    /// The number of templates, photos and pictures that are not encrypted with the first key.
    pub older: usize,
    /// The number of photos and pictures that cannot be decrypted.
    pub unopened_images: usize,
}

/// Returns the kinds of records that contain encrypted data.
pub(super) fn kinds(stores: &Repositories) -> impl Iterator<Item = &'static Registered> {
    stores
        .kinds
        .iter()
        .filter(|registered| registered.kind.seals)
}

/// Returns all records of these kinds in pages.
fn pages(
    stores: &Repositories,
    parts: Parts,
) -> impl Stream<Item = Result<(&'static Registered, Vec<Found>), StoreError>> {
    let pages = stream::iter(kinds(stores)).map(move |registered| {
        let pages = registered.pages(&*stores.engine, parts);
        pages.map_ok(move |page| (registered, page))
    });
    pages.flatten()
}

/// Returns whether the store contains any encrypted data.
pub async fn any(stores: &Repositories) -> Result<bool, StoreError> {
    let mut pages = std::pin::pin!(pages(stores, Parts::Body));
    while let Some((_, mut page)) = pages.try_next().await? {
        let seals = |found: &mut Found| {
            let parts = found.record.sealed_parts();
            // Without its secret a webhook gets another one; a letter is lost.
            parts
                .iter()
                .any(|part| !matches!(part.binding, Binding::Webhook(_) | Binding::Message(_)))
        };
        if page.iter_mut().any(seals) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Tries to decrypt everything. Without a vault nothing can be decrypted.
pub async fn census(stores: &Repositories, vault: Option<&Vault>) -> Result<Census, StoreError> {
    let (mut people, mut unopened) = (BTreeSet::new(), BTreeSet::new());
    let mut census = Census::default();
    let mut pages = std::pin::pin!(pages(stores, Parts::Whole));
    while let Some((_, mut page)) = pages.try_next().await? {
        let parts = page
            .iter_mut()
            .flat_map(|found| found.record.sealed_parts());
        for part in parts {
            let opened = !matches!(unseal(&part, vault), Inside::Unopened);
            let older = vault.is_some_and(|vault| vault.is_older(part.sealed));
            census.older += usize::from(older);
            match part.binding {
                Binding::Template(employee, _) => {
                    people.insert(employee);
                    if !opened {
                        unopened.insert(employee);
                    }
                }
                Binding::Webhook(_) | Binding::Message(_) => {}
                _ => census.unopened_images += usize::from(!opened),
            }
        }
    }
    Ok(Census {
        people: people.len(),
        unopened: unopened.len(),
        ..census
    })
}

/// Permanently deletes every template, photo, picture, consent and secret of one-time codes without
/// decrypting any, and returns the number of people who had some. Only while no instance runs, because galleries do not notice.
pub async fn delete_all(
    stores: &Repositories,
    audit: &Audit,
    clock: &dyn Clock,
) -> Result<usize, StoreError> {
    let mut people: BTreeSet<EmployeeId> = BTreeSet::new();
    let mut pages_of_people = std::pin::pin!(pages(stores, Parts::Body));
    while let Some((_, mut page)) = pages_of_people.try_next().await? {
        for found in &mut page {
            let enrollment = found.record.downcast::<FaceEnrollment>();
            let consents = enrollment.is_some_and(|enrollment| enrollment.face.is_some());
            if consents || !found.record.sealed_parts().is_empty() {
                people.extend(found.record.about().employees());
            }
        }
    }
    for id in &people {
        audit
            .record(Actor::Operator, "templates.delete", id, None)
            .await?;
        forget(stores, clock, *id).await?;
    }
    // One-time codes need the key, too. Recovery codes and passkeys do not, so they stay.
    for factors in stores.second_factors.all().await? {
        if factors.totp.is_some() {
            let id = factors.account;
            audit
                .record(Actor::Operator, "second_factor.remove", id, None)
                .await?;
            let without = |factors| {
                Some(SecondFactors {
                    totp: None,
                    ..factors
                })
            };
            stores.second_factors.change(id, without).await?;
        }
    }
    // The rest are pictures of unknown faces.
    let mut left = std::pin::pin!(pages(stores, Parts::Body));
    while let Some((registered, page)) = left.try_next().await? {
        delete_sealed(stores, registered, page).await?;
    }
    Ok(people.len())
}

/// Numbers of records by the names of their kinds.
pub type Counts = BTreeMap<&'static str, u64>;

/// Permanently deletes the templates, photos, consent and pictures of an employee, removes them from
/// the look-alikes of others, and returns the numbers. Deletes the consent first, so that no face is enrolled under it any more, and so that a
/// picture that is being made is discarded.
pub async fn forget(
    stores: &Repositories,
    clock: &dyn Clock,
    id: EmployeeId,
) -> Result<Counts, StoreError> {
    let templates = stores.faces.forget(id, clock.now()).await?;
    let mut counts = Counts::from([("templates", templates)]);
    for registered in kinds(stores) {
        let about = registered.about(&*stores.engine, id, Parts::Body);
        let mut about = std::pin::pin!(about);
        while let Some(page) = about.try_next().await? {
            let deleted = delete_sealed(stores, registered, page).await?;
            *counts.entry(registered.kind.name).or_default() += deleted;
        }
    }
    counts.insert("look_alikes", forget_look_alike(stores, clock, id).await?);
    counts.retain(|_, count| *count > 0);
    Ok(counts)
}

/// Removes an employee from the look-alikes of others. Returns how many others had them.
async fn forget_look_alike(
    stores: &Repositories,
    clock: &dyn Clock,
    id: EmployeeId,
) -> Result<u64, StoreError> {
    let mut others = Vec::new();
    let mut pages = std::pin::pin!(stores.faces.pages());
    while let Some(page) = pages.try_next().await? {
        let page = page.iter().filter(|one| one.look_alikes().contains(&id));
        others.extend(page.map(|one| one.employee));
    }
    for other in &others {
        let remove = |mut enrollment: FaceEnrollment| {
            let face = enrollment.face.as_mut()?;
            face.look_alikes.retain(|one| *one != id);
            Some(enrollment)
        };
        stores.faces.change(*other, clock.now(), remove).await?;
    }
    Ok(others.len() as u64)
}

/// Deletes the records of a page that contain encrypted data, except for those that stay when their
/// employee is erased. Returns how many were deleted.
async fn delete_sealed(
    stores: &Repositories,
    registered: &Registered,
    page: Vec<Found>,
) -> Result<u64, StoreError> {
    let sealed = page.into_iter().filter_map(|mut found| {
        let goes = match found.record.about().on_erase() {
            None | Some(OnErase::Delete | OnErase::DeleteAttendance) => true,
            Some(OnErase::Anonymize | OnErase::Keep) => false,
        };
        let seals = !found.record.sealed_parts().is_empty();
        (goes && seals).then(|| (found.record.id_text(), None))
    });
    let sealed: Vec<_> = sealed.collect();
    match sealed.is_empty() {
        true => Ok(0),
        false => stores.engine.delete(registered.kind, &sealed).await,
    }
}
