//! Reading everything, a page of identities at a time.

use std::collections::BTreeMap;

use async_stream::try_stream;
use futures::{StreamExt, stream::BoxStream};
use mongodb::bson::{Bson, Document, doc};

use super::{
    MongoStore,
    documents::{Enrollment, Kept, request_of, uuid},
};
use crate::{
    domain::{
        accounts::Account, attendance::Punch, audit::AuditEntry, cameras::Camera, devices::Device,
        employees::Employee,
    },
    ports::{
        Archive, GalleryChange, KeptAnswer, RecordKind, Setting, StoreError, StoredPhoto,
        StoredPicture, StoredRecord, records_in_page,
    },
};

type Pages<'a> = BoxStream<'a, Result<Vec<StoredRecord>, StoreError>>;

impl MongoStore {
    /// The records that come after an identity.
    async fn page<K: Kept>(&self, after: Option<Bson>, limit: usize) -> Result<Vec<K>, StoreError> {
        let filter = match after {
            Some(after) => doc! { "_id": { "$gt": after } },
            None => Document::new(),
        };
        self.select(filter, doc! { "_id": 1 }, Some(limit)).await
    }

    fn walk<K>(&self, kind: RecordKind, id: fn(&K) -> Bson) -> Pages<'_>
    where
        K: Kept + Into<StoredRecord> + Send,
    {
        let limit = records_in_page(kind);
        let pages = try_stream! {
            let mut after = None;
            loop {
                let page: Vec<K> = self.page(after, limit).await?;
                let caught_up = page.len() < limit;
                after = page.last().map(id);
                yield page.into_iter().map(Into::into).collect();
                if caught_up {
                    break;
                }
            }
        };
        pages.boxed()
    }

    /// Templates are kept by enrollment, sorted by the first of each. Those of two enrollments
    /// may interleave, so one is told only when no enrollment that is still to come can have an
    /// earlier one.
    fn walk_templates(&self) -> Pages<'_> {
        let pages = try_stream! {
            let (mut held, mut after) = (BTreeMap::new(), None);
            let limit = records_in_page(RecordKind::Template);
            loop {
                let page: Vec<Enrollment> = self.page(after, limit).await?;
                let caught_up = page.len() < limit;
                let firsts = page.iter().filter_map(Enrollment::first);
                let Some(last) = firsts.max() else { break };
                let templates = page.into_iter().flat_map(|enrollment| enrollment.0);
                held.extend(templates.map(|template| (template.id, template)));
                let later = held.split_off(&last);
                let certain = std::mem::replace(&mut held, later);
                yield certain.into_values().map(Into::into).collect();
                if caught_up {
                    break;
                }
                after = Some(uuid(last.uuid()).into());
            }
            yield held.into_values().map(Into::into).collect();
        };
        pages.boxed()
    }
}

impl Archive for MongoStore {
    fn records(&self, kind: RecordKind) -> Pages<'_> {
        match kind {
            RecordKind::Account => self.walk::<Account>(kind, |one| uuid(one.id.uuid()).into()),
            RecordKind::Device => self.walk::<Device>(kind, |one| uuid(one.id.uuid()).into()),
            RecordKind::Camera => self.walk::<Camera>(kind, |one| uuid(one.id.uuid()).into()),
            RecordKind::Employee => self.walk::<Employee>(kind, |one| uuid(one.id.uuid()).into()),
            RecordKind::Template => self.walk_templates(),
            RecordKind::Photo => self.walk::<StoredPhoto>(kind, |one| uuid(one.id.uuid()).into()),
            RecordKind::GalleryChange => {
                self.walk::<GalleryChange>(kind, |one| uuid(one.employee.uuid()).into())
            }
            RecordKind::Punch => self.walk::<Punch>(kind, |one| uuid(one.id.uuid()).into()),
            RecordKind::Picture => {
                self.walk::<StoredPicture>(kind, |one| uuid(one.id.uuid()).into())
            }
            RecordKind::Answer => {
                self.walk::<KeptAnswer>(kind, |one| request_of(one.device, &one.request.key).into())
            }
            RecordKind::Setting => self.walk::<Setting>(kind, |one| one.name.clone().into()),
            RecordKind::Audit => self.walk::<AuditEntry>(kind, |one| uuid(one.id.uuid()).into()),
        }
    }
}
