//! Reading everything: the one place that looks over all keys, because no index has deleted
//! employees, revoked devices, removed cameras and settings.

use std::collections::BTreeSet;

use async_stream::try_stream;
use futures::{StreamExt, stream::BoxStream};
use jiff::Timestamp;
use redis::cmd;

use super::{RedisStore, plan::Kept, scripts};
use crate::{
    domain::{
        accounts::Account, attendance::Punch, audit::AuditEntry, cameras::Camera, devices::Device,
        employees::Employee,
    },
    ports::{
        Archive, GalleryChange, KeptAnswer, RecordKind, Setting, StoreError, StoredPhoto,
        StoredPicture, StoredRecord, StoredTemplate, TemplateStore, records_in_page,
    },
};

type Pages<'a> = BoxStream<'a, Result<Vec<StoredRecord>, StoreError>>;

/// How many keys are looked over in one go, so that others are served in between.
const LOOKED_OVER: usize = 1000;

impl RedisStore {
    /// The ends of all keys that begin so, each once, in the order of their bytes.
    pub(super) async fn ends_of(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        let (mut ends, mut cursor) = (BTreeSet::new(), "0".to_owned());
        let beginning = format!("{beginning}:");
        loop {
            let arguments = [
                cursor.into_bytes(),
                self.keys.pattern(&beginning).into_bytes(),
                LOOKED_OVER.to_string().into_bytes(),
            ];
            let here = [self.keys.key("schema")];
            let (next, found): (String, Vec<String>) =
                self.script(&scripts::SCAN, &here, &arguments, true).await?;
            ends.extend(found.iter().filter_map(|key| {
                let rest = self.keys.strip(key)?;
                rest.strip_prefix(&beginning).map(str::to_owned)
            }));
            if next == "0" {
                return Ok(ends.into_iter().collect());
            }
            cursor = next;
        }
    }

    fn walk<K: Kept + Into<StoredRecord>>(&self, kind: RecordKind) -> Pages<'_> {
        let pages = try_stream! {
            let ids = self.ends_of(K::KIND).await?;
            for ids in ids.chunks(records_in_page(kind)) {
                let found: Vec<K> = self.fetch(ids.iter().cloned()).await?;
                yield found.into_iter().map(Into::into).collect();
            }
        };
        pages.boxed()
    }

    fn walk_settings(&self) -> Pages<'_> {
        let pages = try_stream! {
            let names = self.ends_of("setting").await?;
            for names in names.chunks(records_in_page(RecordKind::Setting)) {
                let mut get = cmd("MGET");
                for name in names {
                    get.arg(self.setting(name));
                }
                let values: Vec<Option<String>> = self.command(&get).await?;
                let pairs = names.iter().zip(values);
                yield pairs
                    .filter_map(|(name, value)| {
                        let (name, value) = (name.clone(), value?);
                        Some(Setting { name, value }.into())
                    })
                    .collect();
            }
        };
        pages.boxed()
    }

    fn walk_changes(&self) -> Pages<'_> {
        let pages = try_stream! {
            let mut changes = self.changed_since(Timestamp::MIN).await?;
            changes.sort_by_key(|(employee, _)| *employee);
            yield changes
                .into_iter()
                .map(|(employee, at)| GalleryChange { employee, at }.into())
                .collect();
        };
        pages.boxed()
    }
}

impl Archive for RedisStore {
    fn records(&self, kind: RecordKind) -> Pages<'_> {
        match kind {
            RecordKind::Account => self.walk::<Account>(kind),
            RecordKind::Device => self.walk::<Device>(kind),
            RecordKind::Camera => self.walk::<Camera>(kind),
            RecordKind::Employee => self.walk::<Employee>(kind),
            RecordKind::Template => self.walk::<StoredTemplate>(kind),
            RecordKind::Photo => self.walk::<StoredPhoto>(kind),
            RecordKind::GalleryChange => self.walk_changes(),
            RecordKind::Punch => self.walk::<Punch>(kind),
            RecordKind::Picture => self.walk::<StoredPicture>(kind),
            RecordKind::Answer => self.walk::<KeptAnswer>(kind),
            RecordKind::Setting => self.walk_settings(),
            RecordKind::Audit => self.walk::<AuditEntry>(kind),
        }
    }
}
