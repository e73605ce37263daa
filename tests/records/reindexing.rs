//! A newer program finds the records of an older one by keys that they did not have.

use std::sync::Arc;

use rollcall::{
    domain::record::{About, Damaged, Index, Keys, Kind, Record},
    ports::StoreError,
    repositories::{Collection, Registered, Repositories, registered, reindex},
    storage::memory::MemoryEngine,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    installation::{all, fill, installation_with},
    records::employee,
    stores::memory,
};

/// The kind in an older program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OldBadge {
    id: String,
}

impl Record for OldBadge {
    const KIND: &'static Kind = &Kind::archived("badges", "badge", &[]).paged(2);
    type Id = String;

    fn id(&self) -> String {
        self.id.clone()
    }

    fn keys(&self, _keys: &mut Keys) {}

    fn about(&self) -> About {
        About::NoEmployee
    }
}

/// The kind in a newer program: with a number, which is a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Badge {
    id: String,
    number: u64,
}

impl Badge {
    const BY_NUMBER: Index = Index::unique("by_number");
}

impl Record for Badge {
    const KIND: &'static Kind = &Kind::archived("badges", "badge", &[Self::BY_NUMBER]).paged(2);
    const VERSION: u16 = 2;
    type Id = String;

    fn id(&self) -> String {
        self.id.clone()
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_NUMBER, (self.number,));
    }

    fn about(&self) -> About {
        About::NoEmployee
    }

    fn upgrade(_version: u16, mut json: Value) -> Result<Value, Damaged> {
        let damaged = || Damaged("a badge without a number".to_owned());
        let id = json["id"].as_str().and_then(|id| id.split_once('-'));
        let number: u64 = id.and_then(|id| id.1.parse().ok()).ok_or_else(damaged)?;
        json["number"] = number.into();
        Ok(json)
    }
}

/// Returns repositories with an additional kind.
fn with<R: Record>(stores: &Repositories) -> Repositories {
    let kinds = [registered(), &[Registered::new::<R>()]].concat();
    Repositories {
        kinds: kinds.leak(),
        ..stores.clone()
    }
}

fn old(id: &str) -> OldBadge {
    OldBadge { id: id.to_owned() }
}

#[tokio::test]
async fn records_of_an_older_program_are_found_by_new_keys() {
    let stores = Repositories::new(Arc::new(MemoryEngine::default()));
    let (older, newer) = (with::<OldBadge>(&stores), with::<Badge>(&stores));
    reindex(&older).await.unwrap();
    let written = Collection::<OldBadge>::new(stores.engine.clone());
    for number in 1..=5 {
        written.insert(&old(&format!("b-{number}"))).await.unwrap();
    }
    stores
        .employees
        .insert(&employee("Ann", "E7"))
        .await
        .unwrap();
    let badges = Collection::<Badge>::new(stores.engine.clone());
    let found = badges.find_by(Badge::BY_NUMBER, (3_u64,)).await;
    assert_eq!(found, Ok(None), "the old program had no such key");

    assert_eq!(reindex(&newer).await, Ok(5), "the employee is not written");
    let found = badges.find_by(Badge::BY_NUMBER, (3_u64,)).await;
    assert_eq!(found.unwrap().unwrap().id, "b-3");
    assert_eq!(reindex(&newer).await, Ok(0), "it is done once");
    let read_by_old = written.get(&"b-3".to_owned()).await;
    assert!(
        matches!(read_by_old, Err(StoreError::Refused(_))),
        "{read_by_old:?}"
    );
}

#[tokio::test]
async fn duplicate_values_of_a_new_unique_key_stop_it() {
    let stores = memory();
    let (older, newer) = (with::<OldBadge>(&stores), with::<Badge>(&stores));
    reindex(&older).await.unwrap();
    let written = Collection::<OldBadge>::new(stores.engine.clone());
    for id in ["a-7", "b-7"] {
        written.insert(&old(id)).await.unwrap();
    }
    let stopped = reindex(&newer).await;
    let cause = stopped.clone().unwrap_err().to_string();
    assert!(cause.contains("b-7"), "{stopped:?}");
    // After the duplicate is removed, the next start continues.
    written.remove(&"b-7".to_owned()).await.unwrap();
    assert_eq!(reindex(&newer).await, Ok(1));
}

#[tokio::test]
async fn a_store_without_declarations_is_reindexed_once() {
    let stores = memory();
    let installation = installation_with(10);
    fill(&stores, &installation.records).await;
    let before = all::<rollcall::domain::attendance::Punch>(&stores).await;
    assert_eq!(
        reindex(&stores).await,
        Ok(installation.records.len() as u64)
    );
    assert_eq!(reindex(&stores).await, Ok(0));
    let after = all::<rollcall::domain::attendance::Punch>(&stores).await;
    assert_eq!(before, after);
}
