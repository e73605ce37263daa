//! Prepares a database: checks its schema version and creates its indexes.

use futures::future::try_join_all;
use mongodb::{
    Database, IndexModel,
    bson::{Document, doc},
    options::ReturnDocument,
};
use serde::{Deserialize, Serialize};

use super::ConnectError;
use crate::ports::StoreError;

/// What this program expects of its database.
pub(super) struct Layout {
    /// The schema version. A change that an older program cannot read must increase it.
    pub version: i64,
    /// The indexes of each collection.
    pub indexes: Vec<(&'static str, Vec<IndexModel>)>,
}

/// Why the database could not be prepared.
pub(super) enum PrepareError {
    /// This program cannot use it.
    Unusable(ConnectError),
    /// The store failed; it may work later.
    Store(StoreError),
}

impl From<StoreError> for PrepareError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<mongodb::error::Error> for PrepareError {
    fn from(error: mongodb::error::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The version of the schema, kept in the collection `meta`.
#[derive(Serialize, Deserialize)]
struct SchemaDocument {
    version: i64,
}

/// Checks the schema version, creates missing indexes, and returns the server's version.
pub(super) async fn prepare(database: &Database, layout: &Layout) -> Result<String, PrepareError> {
    let schema = database
        .collection::<SchemaDocument>("meta")
        .find_one_and_update(
            doc! { "_id": "schema" },
            doc! { "$setOnInsert": { "version": layout.version } },
        )
        .upsert(true)
        .return_document(ReturnDocument::After)
        .await?;
    let known = layout.version;
    match schema {
        Some(SchemaDocument { version: found }) if found > known => {
            return Err(PrepareError::Unusable(ConnectError::Newer { found, known }));
        }
        Some(SchemaDocument { version: found }) if found < known => {
            return Err(PrepareError::Unusable(ConnectError::Older { found, known }));
        }
        _ => {}
    }
    try_join_all(layout.indexes.iter().map(|(name, indexes)| async move {
        let collection = database.collection::<Document>(name);
        // One per command: FerretDB 1.24 fails if several exist already.
        for index in indexes {
            collection.create_index(index.clone()).await?;
        }
        Ok::<(), mongodb::error::Error>(())
    }))
    .await?;
    let build = database.run_command(doc! { "buildInfo": 1 }).await?;
    Ok(build.get_str("version").unwrap_or("?").to_owned())
}
