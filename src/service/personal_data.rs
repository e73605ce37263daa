//! What the law lets people ask for: a copy of everything that is kept about them, and that it
//! is erased.

use std::collections::{BTreeSet, HashMap};

use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{audit::Audit, faces};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        employees::Employee,
        ids::{CameraId, DeviceId, EmployeeId},
        text::{Code, Name, TextError},
    },
    ports::{Page, PunchFilter, RecordKind, StoreError, StoredRecord, Stores},
    vault::Vault,
};

/// Why somebody could not be erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// There is no such employee, and there never was.
    #[error("no such employee")]
    NotFound,
    /// Something was written about them while they were being erased.
    #[error("something was written about them meanwhile: erase them again")]
    Raced,
    /// The words that take the place of name and code are none.
    #[error(transparent)]
    Words(#[from] TextError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was deleted of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Erased {
    /// Whether their record said who they are; not when they were erased before.
    pub named: bool,
    /// Templates.
    pub templates: u64,
    /// Kept photos.
    pub photos: u64,
    /// Pictures of their punches.
    pub pictures: u64,
    /// Answers kept for retries that named them.
    pub answers: u64,
    /// Punches.
    pub punches: u64,
    /// Where the store may still have some of it, for people.
    pub traces: Option<String>,
}

/// What the audit trail calls it when somebody is erased.
pub const ERASED: &str = "employee.erase";

/// Punches that are read at once.
const PAGE: usize = 500;

/// Everything that the store holds about an employee, deleted or not: their own record, what is
/// enrolled of them, their punches, answers that name them, and what the audit trail tells.
///
/// # Errors
/// When the store cannot be read.
pub async fn records_of(stores: &Stores, id: EmployeeId) -> Result<Vec<StoredRecord>, StoreError> {
    let mut found = Vec::new();
    found.extend(stores.employees.find(id).await?.map(StoredRecord::from));
    let templates = stores.templates.of_employee(id).await?;
    found.extend(templates.into_iter().map(StoredRecord::from));
    let photos = stores.templates.photos_of(id).await?;
    found.extend(photos.into_iter().map(StoredRecord::from));
    let filter = PunchFilter {
        employee: Some(id),
        ..PunchFilter::default()
    };
    let mut page = Page {
        after: None,
        limit: PAGE,
    };
    loop {
        let punches = stores.punches.list(&filter, &page).await?;
        page.after = punches.last().map(|last| (last.at, last.id));
        let last = punches.len() < PAGE;
        found.extend(punches.into_iter().map(StoredRecord::from));
        if last {
            break;
        }
    }
    for kind in [
        RecordKind::GalleryChange,
        RecordKind::Picture,
        RecordKind::Answer,
        RecordKind::Audit,
    ] {
        let mut pages = stores.archive.records(kind);
        while let Some(page) = pages.try_next().await? {
            found.extend(page.into_iter().filter(|record| mentions(record, id)));
        }
    }
    Ok(found)
}

/// Whether one of those records that are no employee's own is about an employee all the same.
fn mentions(record: &StoredRecord, id: EmployeeId) -> bool {
    let name = id.to_string();
    match record {
        StoredRecord::GalleryChange(change) => change.employee == id,
        StoredRecord::Picture(picture) => picture.of.employee() == Some(id),
        StoredRecord::Answer(answer) => answer.answer.contains(&name),
        StoredRecord::Audit(entry) => {
            let detail = entry.detail.as_ref();
            entry.subject == name || detail.is_some_and(|detail| detail.contains(&name))
        }
        _ => false,
    }
}

/// The device or camera that a record came from, under the identity of a device.
pub fn device_of(record: &StoredRecord) -> Option<DeviceId> {
    match record {
        StoredRecord::Punch(punch) => Some(punch.device),
        StoredRecord::Picture(picture) => Some(picture.device),
        StoredRecord::Answer(answer) => Some(answer.device),
        _ => None,
    }
}

/// What the devices and cameras are called that records came from.
///
/// # Errors
/// When the store cannot be read.
pub async fn device_names(
    stores: &Stores,
    records: &[StoredRecord],
) -> Result<HashMap<DeviceId, String>, StoreError> {
    let ids: BTreeSet<_> = records.iter().filter_map(device_of).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let mut names = HashMap::new();
    for ids in ids.chunks(PAGE) {
        let cameras: Vec<_> = ids.iter().map(|id| CameraId::new(id.uuid())).collect();
        for device in stores.devices.find_many(ids).await? {
            names.insert(device.id, device.name.to_string());
        }
        for camera in stores.cameras.find_many(&cameras).await? {
            names.insert(DeviceId::new(camera.id.uuid()), camera.name.to_string());
        }
    }
    Ok(names)
}

/// Deletes for good what is enrolled of somebody, the answers that name them and, when asked to,
/// their punches; puts words in the place of their name and code, under which no list shows them.
/// Whoever was erased before, or only in part, is erased again.
///
/// The audit trail tells of it before anything is done. It stays, and names them by identity only.
///
/// # Errors
/// When there is nobody, when something was written about them at the same moment, or when the
/// store fails; what was erased until then stays so.
pub async fn erase(
    stores: &Stores,
    audit: &Audit,
    clock: &dyn Clock,
    id: EmployeeId,
    with_punches: bool,
) -> Result<Erased, EraseError> {
    let Some(was) = stores.employees.find(id).await? else {
        return Err(EraseError::NotFound);
    };
    let detail = with_punches.then(|| "with punches".to_owned());
    audit.record(Actor::Operator, ERASED, id, detail).await?;
    let mut erased = Erased {
        templates: stores.templates.of_employee(id).await?.len() as u64,
        photos: stores.templates.photos_of(id).await?.len() as u64,
        pictures: stores.pictures.delete_of(id).await?,
        ..Erased::default()
    };
    faces::forget(stores, clock, id).await?;
    let is = Employee {
        name: Name::parse("Erased")?,
        code: Code::parse(&format!("erased {id}"))?,
        site: None,
        active: false,
        deleted_at: was.deleted_at.or_else(|| Some(clock.now())),
        ..was.clone()
    };
    erased.named = (&was.name, &was.code) != (&is.name, &is.code);
    // Their face may have been forgotten since they were read: that is no change of the rest.
    if !stores.employees.update(&was, &is).await? {
        return Err(EraseError::Raced);
    }
    // Once more: what was being enrolled may have come in between. From now on nobody enrolls
    // or punches them.
    faces::forget(stores, clock, id).await?;
    if with_punches {
        erased.punches = stores.punches.erase_of(id).await?;
    }
    forget_visits(stores, id).await?;
    let left = records_of(stores, id).await?;
    for record in &left {
        if let StoredRecord::Answer(answer) = record {
            let key = &answer.request.key;
            let forgotten = stores.punches.forget_answer(answer.device, key).await?;
            erased.answers += u64::from(forgotten);
        }
    }
    let late = |record: &StoredRecord| match record.kind() {
        RecordKind::Template | RecordKind::Photo | RecordKind::Picture => true,
        RecordKind::Punch => with_punches,
        _ => false,
    };
    if left.iter().any(late) {
        return Err(EraseError::Raced);
    }
    // They are erased, whatever becomes of this.
    let cleared = stores.health.clear_traces().await;
    erased.traces = cleared.unwrap_or_else(|cause| Some(format!("the store's own files: {cause}")));
    Ok(erased)
}

/// Takes somebody out of what is noted of cameras: of one that nobody watches any more it would
/// stay.
async fn forget_visits(stores: &Stores, id: EmployeeId) -> Result<(), StoreError> {
    let mut pages = stores.archive.records(RecordKind::Camera);
    while let Some(page) = pages.try_next().await? {
        let cameras: Vec<_> = page
            .iter()
            .filter_map(|record| match record {
                StoredRecord::Camera(camera) => Some(camera.id),
                _ => None,
            })
            .collect();
        for (camera, mut status) in stores.cameras.statuses(&cameras).await? {
            let before = status.present.len();
            status.present.retain(|noted| noted.employee != id);
            if status.present.len() < before {
                stores.cameras.note(camera, &status).await?;
            }
        }
    }
    Ok(())
}

/// What is sealed in a record.
pub enum Inside {
    /// Nothing is.
    Nothing,
    /// A template's embedding.
    Numbers(Vec<f32>),
    /// The file of a photo or picture.
    Image(Zeroizing<Vec<u8>>),
    /// Something that no present key opens.
    Unopened,
}

/// Opens what is sealed in a record, with the keys that there are.
pub fn inside(record: &StoredRecord, vault: Option<&Vault>) -> Inside {
    let image = |opened: Option<_>| opened.map_or(Inside::Unopened, Inside::Image);
    match record {
        StoredRecord::Template(template) => {
            let (sealed, model) = (&template.sealed, &template.model);
            let opened =
                vault.and_then(|vault| vault.open_embedding(sealed, template.employee, model).ok());
            opened.map_or(Inside::Unopened, |embedding| {
                Inside::Numbers(embedding.as_slice().to_vec())
            })
        }
        StoredRecord::Photo(photo) => {
            image(vault.and_then(|vault| vault.open_photo(&photo.sealed, photo.employee).ok()))
        }
        StoredRecord::Picture(picture) => {
            image(vault.and_then(|vault| vault.open_picture(picture).ok()))
        }
        _ => Inside::Nothing,
    }
}

/// Hexadecimal SHA-256, as receipts and the audit trail quote it.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
