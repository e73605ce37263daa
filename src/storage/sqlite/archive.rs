//! Reading everything, a page of the primary key at a time.

use async_stream::try_stream;
use futures::{StreamExt, stream::BoxStream};
use rusqlite::{params_from_iter, types::Value};

use super::{SqliteStore, rows::Record, rows_of};
use crate::{
    domain::{
        accounts::Account, attendance::Punch, audit::AuditEntry, cameras::Camera, devices::Device,
        employees::Employee,
    },
    ports::{
        Archive, GalleryChange, KeptAnswer, RecordKind, Setting, StoreError, StoredPhoto,
        StoredPicture, StoredRecord, StoredTemplate, records_in_page,
    },
};

type Pages<'a> = BoxStream<'a, Result<Vec<StoredRecord>, StoreError>>;

impl SqliteStore {
    /// The records that come after a primary key.
    async fn page<R: Record + Send + 'static>(
        &self,
        after: Option<Vec<Value>>,
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        let key = R::COLUMNS[..R::KEY].join(", ");
        let places = vec!["?"; R::KEY].join(", ");
        let wanted = match after {
            Some(_) => format!("WHERE ({key}) > ({places})"),
            None => String::new(),
        };
        let table = R::TABLE;
        let sql = format!("SELECT * FROM {table} {wanted} ORDER BY {key} LIMIT {limit}");
        let after = params_from_iter(after.unwrap_or_default());
        self.threads
            .read(move |connection| rows_of(connection, &sql, after, R::read))
            .await
    }

    fn walk<R>(&self, kind: RecordKind) -> Pages<'_>
    where
        R: Record + Into<StoredRecord> + Send + 'static,
    {
        let limit = records_in_page(kind);
        let pages = try_stream! {
            let mut after = None;
            loop {
                let page: Vec<R> = self.page(after, limit).await?;
                let caught_up = page.len() < limit;
                after = match page.last() {
                    Some(last) => Some(last.values()?.into_iter().take(R::KEY).collect()),
                    None => None,
                };
                yield page.into_iter().map(Into::into).collect();
                if caught_up {
                    break;
                }
            }
        };
        pages.boxed()
    }
}

impl Archive for SqliteStore {
    fn records(&self, kind: RecordKind) -> Pages<'_> {
        match kind {
            RecordKind::Account => self.walk::<Account>(kind),
            RecordKind::Device => self.walk::<Device>(kind),
            RecordKind::Camera => self.walk::<Camera>(kind),
            RecordKind::Employee => self.walk::<Employee>(kind),
            RecordKind::Template => self.walk::<StoredTemplate>(kind),
            RecordKind::Photo => self.walk::<StoredPhoto>(kind),
            RecordKind::GalleryChange => self.walk::<GalleryChange>(kind),
            RecordKind::Punch => self.walk::<Punch>(kind),
            RecordKind::Picture => self.walk::<StoredPicture>(kind),
            RecordKind::Answer => self.walk::<KeptAnswer>(kind),
            RecordKind::Setting => self.walk::<Setting>(kind),
            RecordKind::Audit => self.walk::<AuditEntry>(kind),
        }
    }
}
