//! Every stored version of every kind can be read, and the declarations of each kind are
//! consistent.

use std::{collections::BTreeMap, fs, path::Path};

use rollcall::{
    domain::{
        ids::EmployeeId,
        record::{Changes, Index, Key, Lifetime},
    },
    ports::{Expect, Parts, StoreError},
    repositories::{AnyRecord, KINDS, Registered, read_line, registered},
    service::personal_data::{count_of, records_of},
};
use serde_json::Value;

use crate::stores::memory;

/// The employee of every fixture about an employee.
const ANN: &str = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b";

fn ann() -> EmployeeId {
    ANN.parse().unwrap()
}

/// Returns the stored line of a kind in a version, as JSON.
fn fixture(registered: &Registered, version: u16) -> Value {
    let name = format!("{}-v{version}.json", registered.kind.name);
    let path = Path::new("tests/fixtures/records").join(&name);
    let text = fs::read_to_string(path).unwrap_or_else(|cause| panic!("{name}: {cause}"));
    serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{name}: {cause}"))
}

fn read(registered: &Registered, version: u16) -> Box<dyn AnyRecord> {
    let line = fixture(registered, version).to_string();
    let read = read_line(rollcall::repositories::registered(), line.as_bytes());
    read.unwrap_or_else(|cause| panic!("{} {version}: {cause:?}", registered.kind.name))
}

/// Iterates over every kind with its record in the current version.
fn present() -> impl Iterator<Item = (&'static Registered, Box<dyn AnyRecord>)> {
    registered()
        .iter()
        .map(|registered| (registered, read(registered, registered.version)))
}

#[test]
fn every_version_of_every_kind_is_read() {
    for registered in registered() {
        for version in 1..=registered.version {
            let record = read(registered, version);
            assert_eq!(record.kind_of(), registered.kind);
            if version == registered.version {
                let again: Value = serde_json::from_slice(&record.line().unwrap()).unwrap();
                assert_eq!(
                    again,
                    fixture(registered, version),
                    "{}",
                    registered.kind.name
                );
            }
        }
    }
    let files = fs::read_dir("tests/fixtures/records").unwrap().count();
    let versions: u16 = registered().iter().map(|one| one.version).sum();
    assert_eq!(files, usize::from(versions), "there are no other files");
}

#[test]
fn the_declarations_of_a_kind_are_consistent() {
    assert!(
        KINDS
            .iter()
            .copied()
            .eq(registered().iter().map(|one| one.kind))
    );
    let mut names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), KINDS.len());
    for (registered, mut record) in present() {
        let kind = registered.kind;
        let keys = record.all_keys();
        for (index, _) in keys.iter() {
            assert!(
                kind.indexes.contains(index),
                "{}: {}",
                kind.name,
                index.name
            );
        }
        let missing: Vec<_> = kind
            .indexes
            .iter()
            .filter(|index| keys.get(**index).is_none())
            .collect();
        assert!(
            missing.len() < 2,
            "{}: {missing:?} are in no fixture",
            kind.name
        );
        if let Changes::Grows(index) = kind.changes {
            assert!(kind.indexes.contains(&index), "{}", kind.name);
        }
        if let Some(index) = kind.ages {
            assert!(kind.indexes.contains(&index), "{}", kind.name);
            let moments = keys.get(index).map(|key| Key::split_last(key.as_str()).1);
            let length = moments.map(str::len);
            assert!(matches!(length, None | Some(16)), "{}", kind.name);
        }
        assert_eq!(
            !record.sealed_parts().is_empty(),
            kind.seals,
            "{}",
            kind.name
        );
        if let Some(key) = keys.get(Index::ordered("by_employee")) {
            let first = key.as_str().split('\u{1}').next().unwrap();
            assert_eq!(first, ann().uuid().simple().to_string(), "{}", kind.name);
            assert_eq!(record.about().employees(), [ann()], "{}", kind.name);
        }
    }
}

#[tokio::test]
async fn records_about_an_employee_are_found() {
    let stores = memory();
    let mut expected = BTreeMap::new();
    for (registered, record) in present() {
        let write = record.to_write(Expect::Absent).unwrap();
        stores.engine.put(write).await.unwrap();
        if record.about().includes(ann()) {
            expected.insert(registered.kind.name, 1);
        } else {
            // Every fixture of a kind that can be about employees must be about Ann.
            assert_eq!(record.about().on_erase(), None, "{}", registered.kind.name);
        }
    }
    assert_eq!(count_of(&stores, ann()).await, Ok(expected.clone()));
    // What belongs to her account is exported with it.
    let of_account = [
        "second_factors",
        "mail_preferences",
        "api_tokens",
        "api_token_uses",
        "sessions",
    ];
    expected.extend(of_account.map(|kind| (kind, 1)));
    let records = records_of(&stores, ann()).await.unwrap();
    let exported = records.iter().map(|found| (found.record.kind_of().name, 1));
    assert_eq!(exported.collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(records.len(), expected.len());
}

#[tokio::test]
async fn a_record_of_a_newer_program_is_refused() {
    let stores = memory();
    for (registered, record) in present() {
        let mut write = record.to_write(Expect::Absent).unwrap();
        write.version += 1;
        let id = write.id.clone();
        stores.engine.put(write).await.unwrap();
        let found = registered.get(&*stores.engine, &[id], Parts::Whole).await;
        assert!(
            matches!(found, Err(StoreError::Refused(_))),
            "{}",
            registered.kind.name
        );
        assert_eq!(
            registered.archived(),
            registered.kind.lifetime == Lifetime::Archived
        );
    }
}
