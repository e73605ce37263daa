//! Writes records again if a newer program derives other keys from them.

use futures::TryStreamExt;

use super::{Collection, Found, Registered, Repositories, contended};
use crate::{
    domain::{installation::StoreFact, record::Kind},
    ports::{Expect, Parts, RecordEngine, StoreError},
};

/// Maximum number of attempts at a record that others change at the same time.
const TRIES: usize = 32;

/// Returns the kinds whose declaration has changed since the store was last written: other indexes,
/// other keys, or another version.
pub async fn outdated(stores: &Repositories) -> Result<Vec<&'static Registered>, StoreError> {
    let facts: Vec<_> = stores.kinds.iter().map(fact).collect();
    let names: Vec<_> = facts.iter().map(|fact| fact.name.clone()).collect();
    let collection = Collection::<StoreFact>::new(stores.engine.clone());
    let present = collection.get_many(&names).await?;
    let outdated = stores.kinds.iter().zip(&facts);
    let outdated = outdated.filter(|(_, fact)| !present.contains(fact));
    Ok(outdated.map(|(registered, _)| registered).collect())
}

/// Writes all records of the [`outdated`] kinds again, and returns how many there were. Only one
/// instance may do this at a time, before it uses the store.
///
/// # Errors
/// When the store fails, or two records share a key that has become unique. Records that were
/// already written stay, and the next call processes the whole kind again.
pub async fn reindex(stores: &Repositories) -> Result<u64, StoreError> {
    let facts = Collection::<StoreFact>::new(stores.engine.clone());
    let mut written = 0;
    for registered in outdated(stores).await? {
        let mut pages = std::pin::pin!(registered.pages(&*stores.engine, Parts::Whole));
        while let Some(page) = pages.try_next().await? {
            for found in page {
                written += u64::from(write_again(&*stores.engine, registered, found).await?);
            }
        }
        facts.put(&fact(registered)).await?;
    }
    Ok(written)
}

/// Returns the declaration of a kind as a record.
fn fact(registered: &Registered) -> StoreFact {
    StoreFact {
        name: format!("declaration of {}", registered.kind.name),
        value: declaration(registered),
    }
}

/// Returns a text that changes whenever the keys or the JSON of a kind change.
fn declaration(registered: &Registered) -> String {
    let Kind { keys, indexes, .. } = registered.kind;
    let unique = |unique| if unique { " unique" } else { "" };
    let indexes = indexes
        .iter()
        .map(|index| format!(", {}{}", index.name, unique(index.unique)));
    let indexes: String = indexes.collect();
    format!("version {}, keys {keys}{indexes}", registered.version)
}

/// Writes a record unchanged; returns false if it was deleted meanwhile.
async fn write_again(
    engine: &dyn RecordEngine,
    registered: &Registered,
    mut found: Found,
) -> Result<bool, StoreError> {
    for _ in 0..TRIES {
        let id = found.record.id_text();
        let write = found.record.to_write(Expect::Revision(found.revision))?;
        let written = engine.put(write).await.map_err(|error| match error {
            StoreError::Conflict => StoreError::Corrupt(format!(
                "the {} {id} has a value that must be unique, but another one has it too",
                registered.kind.one
            )),
            error => error,
        });
        if written?.is_some() {
            return Ok(true);
        }
        match registered.get(engine, &[id], Parts::Whole).await?.pop() {
            Some(changed) => found = changed,
            None => return Ok(false),
        }
    }
    Err(contended(registered.kind))
}
