//! What has to be in the database before it is used: the schema version and the indexes.

use futures::future::try_join_all;
use mongodb::{
    Database, IndexModel,
    bson::{Document, doc},
    options::{IndexOptions, ReturnDocument},
};
use serde::{Deserialize, Serialize};

use super::ConnectError;
use crate::ports::StoreError;

/// The schema version that this program writes. A change that an older program could not read
/// raises it.
const SCHEMA: i64 = 1;

/// Why the database could not be prepared.
pub(super) enum PrepareError {
    /// Never without another program.
    Newer(ConnectError),
    /// Not now.
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

enum Uniqueness {
    Any,
    Unique,
    /// Unique where the field is there.
    IfThere,
}

/// Every index, by collection. The order of fields is that of the queries in `stores.rs`.
fn indexes() -> [(&'static str, Vec<(Document, Uniqueness)>); 16] {
    use Uniqueness::{Any, IfThere, Unique};
    [
        (
            "employees",
            vec![
                (doc! { "code_key": 1 }, IfThere),
                (doc! { "name_key": 1, "_id": 1 }, Any),
            ],
        ),
        (
            "enrollments",
            vec![
                (doc! { "employee": 1 }, Any),
                (doc! { "models": 1, "_id": 1 }, Any),
            ],
        ),
        ("photos", vec![(doc! { "employee": 1 }, Any)]),
        ("gallery_changes", vec![(doc! { "at": 1 }, Any)]),
        (
            "punches",
            vec![
                (doc! { "employee": 1, "sequence": -1 }, Unique),
                (doc! { "request_of": 1 }, IfThere),
                (doc! { "employee": 1, "at": -1, "sequence": -1 }, Any),
                (doc! { "employee": 1, "at": -1, "_id": -1 }, Any),
                (doc! { "device": 1, "at": -1, "_id": -1 }, Any),
                (doc! { "device": 1, "clock": 1, "at": -1 }, Any),
                (doc! { "at": -1, "_id": -1 }, Any),
                (doc! { "recorded_at": 1, "_id": 1 }, Any),
            ],
        ),
        (
            "pictures",
            vec![
                (doc! { "punch": 1 }, IfThere),
                (doc! { "kind": 1, "at": -1, "_id": -1 }, Any),
                (doc! { "employee": 1 }, Any),
            ],
        ),
        (
            "jobs",
            vec![
                (doc! { "once": 1 }, IfThere),
                (doc! { "due": 1, "_id": 1 }, Any),
                (doc! { "finished_at": 1 }, Any),
            ],
        ),
        (
            "job_turns",
            vec![
                (doc! { "job": 1, "turn": -1 }, Any),
                (doc! { "at": 1 }, Any),
            ],
        ),
        (
            "lease_changes",
            vec![(doc! { "name": 1, "number": -1 }, Any)],
        ),
        ("cache", vec![(doc! { "until": 1 }, Any)]),
        ("kept_answers", vec![(doc! { "at": 1 }, Any)]),
        ("audit", vec![(doc! { "at": -1, "_id": -1 }, Any)]),
        ("devices", vec![(doc! { "token": 1 }, Unique)]),
        ("cameras", vec![(doc! { "stream_key": 1 }, IfThere)]),
        ("accounts", vec![(doc! { "email": 1 }, Unique)]),
        (
            "sessions",
            vec![
                (doc! { "account": 1 }, Any),
                (doc! { "expires_at": 1 }, Any),
            ],
        ),
    ]
}

/// Checks the schema version, makes what is missing, and tells the server's version.
pub(super) async fn prepare(database: &Database) -> Result<String, PrepareError> {
    let schema = database
        .collection::<SchemaDocument>("meta")
        .find_one_and_update(
            doc! { "_id": "schema" },
            doc! { "$setOnInsert": { "version": SCHEMA } },
        )
        .upsert(true)
        .return_document(ReturnDocument::After)
        .await?;
    if let Some(SchemaDocument { version: found }) = schema
        && found > SCHEMA
    {
        return Err(PrepareError::Newer(ConnectError::Newer {
            found,
            known: SCHEMA,
        }));
    }
    try_join_all(indexes().map(|(collection, indexes)| async move {
        let collection = database.collection::<Document>(collection);
        // One a command: FerretDB 1.24 fails on several at once that are there already.
        for (keys, uniqueness) in indexes {
            let options = match uniqueness {
                Uniqueness::Any => None,
                Uniqueness::Unique => Some(IndexOptions::builder().unique(true).build()),
                Uniqueness::IfThere => {
                    Some(IndexOptions::builder().unique(true).sparse(true).build())
                }
            };
            let model = IndexModel::builder().keys(keys).options(options).build();
            collection.create_index(model).await?;
        }
        Ok::<(), mongodb::error::Error>(())
    }))
    .await?;
    let about = database.run_command(doc! { "buildInfo": 1 }).await?;
    Ok(about.get_str("version").unwrap_or("?").to_owned())
}
