//! The contract of reading everything, and of writing records as they are.

use futures::TryStreamExt;
use rollcall::{
    domain::{accounts::Role, biometrics::Views},
    ports::{GalleryChange, RecordKind, StoreError, StoredRecord, Stores},
};

use crate::{
    records::*,
    site::{MANY, all, audit, fill, site_with},
};

pub async fn everything_is_read_once_and_in_order(stores: &Stores) {
    for kind in RecordKind::ALL {
        assert_eq!(all(stores, kind).await, [], "{kind:?} of an empty store");
    }
    let site = site_with(MANY);
    fill(stores, &site.records).await;
    // Sessions are no part of it.
    let session = session(9, site.admin.id, 1);
    stores.sessions.insert(&session).await.unwrap();
    for kind in RecordKind::ALL {
        let mut written: Vec<_> = site.records.iter().filter(|r| r.kind() == kind).collect();
        written.sort_by_key(|record| record.id());
        let read = all(stores, kind).await;
        assert_eq!(read.len(), written.len(), "{kind:?}");
        assert!(read.iter().eq(written), "{kind:?}");
        assert!(!read.is_empty(), "{kind:?}");
    }
}

pub async fn reading_ends_however_busy_the_store_is(stores: &Stores) {
    let ann = employee_id();
    for kind in [RecordKind::Audit, RecordKind::Template] {
        let add = async |number: i64| match kind {
            RecordKind::Audit => {
                let entry = audit("employee.add", number, number);
                stores.audit.append(&entry).await.unwrap();
                entry.id.uuid()
            }
            _ => {
                let one = template(ann, number);
                let faces = std::slice::from_ref(&one);
                stores.templates.insert(faces, &[]).await.unwrap();
                one.id.uuid()
            }
        };
        let first = [add(1).await, add(2).await, add(3).await];
        let (mut pages, mut read) = (stores.archive.records(kind), Vec::new());
        for number in 4.. {
            let Some(page) = pages.try_next().await.unwrap() else {
                break;
            };
            read.extend(page.iter().map(StoredRecord::id));
            add(number).await;
            assert!(number < 20, "{kind:?}: whoever writes is always ahead");
        }
        let there = |id: &uuid::Uuid| read.contains(&id.to_string());
        assert!(first.iter().all(there), "{kind:?}");
    }
}

pub async fn records_survive_as_json(stores: &Stores) {
    let site = site_with(10);
    fill(stores, &site.records).await;
    for kind in RecordKind::ALL {
        for record in all(stores, kind).await {
            let written = site.records.iter().find(|other| **other == record).unwrap();
            let json = record.json().unwrap();
            assert_eq!(json, written.json().unwrap());
            let read: StoredRecord = serde_json::from_slice(&json).unwrap();
            assert_eq!(read, record);
        }
    }
}

pub async fn enrollments_that_interleave_are_read_in_order(stores: &Stores) {
    let ann = employee_id();
    let mut templates: Vec<_> = (0..1300).map(|number| template(ann, number % 7)).collect();
    templates[3].views = Views::Pair;
    // The first enrollment reaches over all others, the others over their neighbours.
    let (mut first, mut pairs) = (Vec::new(), Vec::new());
    for (number, template) in templates.iter().enumerate() {
        match number % 100 {
            0 => first.push(template.clone()),
            _ => pairs.push(template.clone()),
        }
    }
    stores.templates.insert(&first, &[]).await.unwrap();
    for four in pairs.chunks(4) {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for (number, template) in four.iter().enumerate() {
            let side = if number % 2 == 0 {
                &mut one
            } else {
                &mut other
            };
            side.push(template.clone());
        }
        for enrollment in [one, other] {
            stores.templates.insert(&enrollment, &[]).await.unwrap();
        }
    }
    let read = all(stores, RecordKind::Template).await;
    let written = templates.into_iter().map(StoredRecord::from);
    assert!(read.into_iter().eq(written));
}

pub async fn a_record_is_added_once_and_as_it_is(stores: &Stores) {
    let site = site_with(10);
    fill(stores, &site.records).await;
    for record in &site.records {
        let again = stores.add(record).await;
        match record.kind() {
            RecordKind::GalleryChange => assert_eq!(again, Ok(())),
            // MongoDB takes photos that are there for those of a retry.
            RecordKind::Photo => assert!(matches!(again, Ok(()) | Err(StoreError::Conflict))),
            _ => assert_eq!(again, Err(StoreError::Conflict), "{record:?}"),
        }
    }
    // Of two gallery changes the later one stays.
    let change = |moment| GalleryChange {
        employee: site.ann.id,
        at: at(moment),
    };
    for (told, kept) in [(3, 5), (6, 6)] {
        stores.add(&change(told).into()).await.unwrap();
        let changes = all(stores, RecordKind::GalleryChange).await;
        assert!(changes.contains(&change(kept).into()), "{changes:?}");
    }
    // A unique value belongs to one.
    let rival = account("admin@example.org", Role::Viewer);
    assert_eq!(stores.add(&rival.into()).await, Err(StoreError::Conflict));
    for kind in RecordKind::ALL {
        let written = site.records.iter().filter(|r| r.kind() == kind).count();
        assert_eq!(all(stores, kind).await.len(), written, "{kind:?}");
    }
    // What is found by more than the identity is found.
    let found = stores.devices.find_by_token(site.kiosk.token).await;
    assert_eq!(found.unwrap().unwrap().id, site.kiosk.id);
    let asked = (key("key-2"), key("answer:1"));
    let retried = stores.punches.find_by_request(site.kiosk.id, &asked.0);
    assert_eq!(retried.await.unwrap().unwrap().sequence, 2);
    let last = stores.punches.last_written(site.ann.id).await.unwrap();
    assert_eq!(last.unwrap().sequence, 10);
    let kept = stores.punches.kept_answer(site.kiosk.id, &asked.1);
    assert_eq!(kept.await.unwrap().unwrap().at, at(1));
}
