//! Backups of a store that is in use: whatever they hold fits together.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream, stream::BoxStream};
use jiff::Timestamp;
use rollcall::{
    domain::{accounts::Actor, ids::AccountId},
    ports::{Archive, RecordKind, StoreError, StoredRecord, Stores},
    service::backup::{BackupError, Head, read, write},
};
use uuid::Uuid;

use crate::{
    records::*,
    site::{all, audit, fill, site_with},
};

fn head() -> Head {
    Head::new(Timestamp::now(), "a store".to_owned(), None)
}

/// Somebody adds people, kiosks and cameras, enrolls and punches, until told to stop.
async fn work(stores: &Stores, stop: &AtomicBool) {
    let who = Actor::Account(AccountId::new(Uuid::now_v7()));
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let entry = audit("employee.add", number, number);
        stores.audit.append(&entry).await.unwrap();
        let mut person = employee(&format!("P{number}"), &format!("N{number}"));
        person.consent = Some(consent(who));
        stores.employees.insert(&person).await.unwrap();
        let mut kiosk = device("Kiosk", 0);
        kiosk.token.0[..8].copy_from_slice(&(number as u64).to_le_bytes());
        stores.devices.insert(&kiosk).await.unwrap();
        let faces = [template(person.id, number), template(person.id, number)];
        let now = Timestamp::now();
        stores.templates.mark_changed(person.id, now).await.unwrap();
        stores.templates.insert(&faces, &[]).await.unwrap();
        let consent = person.consent.as_ref();
        let enrolled = stores.employees.set_enrolled(person.id, 2, consent);
        assert!(enrolled.await.unwrap());
        let passed = punch(person.id, kiosk.id, 1, number);
        stores.punches.append(&passed).await.unwrap();
        let told = answer(kiosk.id, "again", number);
        stores.punches.keep_answer(&told).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn a_backup_of_a_store_in_use_fits_together(stores: &Stores) {
    fill(stores, &site_with(30).records).await;
    let stop = Arc::new(AtomicBool::new(false));
    let working = tokio::spawn({
        let (stores, stop) = (stores.clone(), stop.clone());
        async move { work(&stores, &stop).await }
    });
    let begin = std::time::Instant::now();
    loop {
        assert!(begin.elapsed() < Duration::from_secs(120));
        let mut lines = Vec::new();
        match write(stores, &head(), &mut lines).await {
            // Whoever works there takes all of a small machine.
            Err(BackupError::Store(StoreError::Unavailable(_))) => continue,
            written => written.unwrap(),
        };
        let (restored, _folder) = crate::sqlite().await;
        read(&*lines, &restored).await.unwrap();
        if punches_that_fit(&restored).await >= 50 {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    working.await.unwrap();
}

/// How many punches there are. What belongs together has to be there together.
async fn punches_that_fit(restored: &Stores) -> usize {
    let (mut people, mut places, mut faces) = (HashMap::new(), HashSet::new(), HashMap::new());
    let mut punches = Vec::new();
    for kind in RecordKind::ALL {
        for record in all(restored, kind).await {
            match record {
                StoredRecord::Employee(person) => drop(people.insert(person.id, person)),
                StoredRecord::Device(device) => drop(places.insert(device.id)),
                StoredRecord::Punch(punch) => punches.push(punch),
                StoredRecord::Template(template) => {
                    *faces.entry(template.employee).or_insert(0) += 1;
                }
                _ => {}
            }
        }
    }
    for punch in &punches {
        assert!(people.contains_key(&punch.employee) && places.contains(&punch.device));
    }
    for person in people.values().filter(|person| person.consent.is_some()) {
        let faces = faces.get(&person.id).copied().unwrap_or(0);
        assert_eq!(person.templates, faces, "{}", person.name);
    }
    for record in all(restored, RecordKind::Answer).await {
        let StoredRecord::Answer(answer) = record else {
            panic!("{record:?}")
        };
        assert!(places.contains(&answer.device));
    }
    punches.len()
}

/// A store that gives other employees than it has: as it would if they were changed between two
/// of its pages.
struct Changing {
    real: Arc<dyn Archive>,
    pages: Vec<Vec<StoredRecord>>,
}

impl Archive for Changing {
    fn records(&self, kind: RecordKind) -> BoxStream<'_, Result<Vec<StoredRecord>, StoreError>> {
        match kind {
            RecordKind::Employee => stream::iter(self.pages.iter().cloned().map(Ok)).boxed(),
            kind => self.real.records(kind),
        }
    }
}

#[tokio::test]
async fn a_code_that_passes_on_meanwhile_makes_no_backup_that_cannot_be_restored() {
    let (real, _folder) = crate::sqlite().await;
    let ann = employee("Ann", "E7");
    let bob = employee("Bob", "e7");
    let mut gone = employee("Cid", "E7");
    gone.deleted_at = Some(at(1));
    let backup = async |people: Vec<_>| {
        let pages = people.into_iter().map(|one| vec![StoredRecord::from(one)]);
        let archive = Changing {
            real: real.archive.clone(),
            pages: pages.collect(),
        };
        let stores = Stores {
            archive: Arc::new(archive),
            ..real.clone()
        };
        let mut lines = Vec::new();
        write(&stores, &head(), &mut lines).await.map(|_| lines)
    };
    let moved = backup(vec![ann.clone(), bob]).await;
    let moved = moved.expect_err("E7 is there twice");
    assert!(matches!(moved, BackupError::Moved(RecordKind::Employee)));
    let lines = backup(vec![ann, gone]).await.unwrap();
    let (restored, _folder) = crate::sqlite().await;
    let (_, contents) = read(&*lines, &restored).await.unwrap();
    assert!(contents.counts.contains(&(RecordKind::Employee, 2)));

    let empty = backup(vec![]).await.expect_err("nothing is there");
    assert!(matches!(empty, BackupError::Empty));
}
