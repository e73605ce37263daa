//! Somebody who asks for it is erased, in every store, and in copies of it.

use std::sync::Arc;

use rollcall::{
    clock::SystemClock,
    domain::cameras::{CameraState, CameraStatus, Presence},
    ports::{RecordKind, StoredRecord, Stores},
    service::{
        audit::Audit,
        copying::{Compared, compare, copy},
        personal_data::{EraseError, Erased, erase, records_of},
    },
};

use crate::{
    records::*,
    site::{Site, all, fill, site_with},
};

/// A site in which an answer names Ann.
async fn site_in(stores: &Stores) -> Site {
    let mut site = site_with(10);
    let mut named = answer(site.kiosk.id, "named", 7);
    named.answer = format!(r#"{{"outcome":"duplicate","employee":"{}"}}"#, site.ann.id);
    site.records.push(named.into());
    fill(stores, &site.records).await;
    site
}

async fn erase_ann(stores: &Stores, site: &Site, punches: bool) -> Result<Erased, EraseError> {
    let audit = Audit::new(stores.audit.clone(), Arc::new(SystemClock));
    erase(stores, &audit, &SystemClock, site.ann.id, punches).await
}

fn kinds(records: &[StoredRecord]) -> Vec<(RecordKind, usize)> {
    let mut kinds: Vec<(RecordKind, usize)> = Vec::new();
    for record in records {
        match kinds.last_mut() {
            Some((kind, count)) if *kind == record.kind() => *count += 1,
            _ => kinds.push((record.kind(), 1)),
        }
    }
    kinds
}

pub async fn somebody_is_erased_and_everybody_else_stays(stores: &Stores) {
    let site = site_in(stores).await;
    let id = site.ann.id;
    let about = records_of(stores, id).await.unwrap();
    let mut expected = vec![
        (RecordKind::Employee, 1),
        (RecordKind::Template, 5),
        (RecordKind::Photo, 20),
        (RecordKind::Punch, 7),
        (RecordKind::GalleryChange, 1),
        (RecordKind::Picture, 3),
        (RecordKind::Answer, 1),
        (RecordKind::Audit, 1),
    ];
    assert_eq!(kinds(&about), expected);
    let before = all(stores, RecordKind::Punch).await;

    let seen = |employee| Presence {
        employee,
        last: at(4),
    };
    let other = employee_id();
    let mut status = CameraStatus {
        state: CameraState::Live,
        cause: None,
        since: at(3),
        told_at: at(4),
        present: vec![seen(id), seen(other)],
    };
    let camera = site.camera.id;
    stores.cameras.note(camera, &status).await.unwrap();

    let erased = erase_ann(stores, &site, false).await.unwrap();
    status.present.remove(0);
    let noted = stores.cameras.statuses(&[camera]).await;
    assert_eq!(noted, Ok(vec![(camera, status)]));
    let wanted = Erased {
        named: true,
        templates: 5,
        photos: 20,
        pictures: 3,
        answers: 1,
        punches: 0,
        traces: erased.traces.clone(),
    };
    assert_eq!(erased, wanted);
    let about = records_of(stores, id).await.unwrap();
    expected.retain(|(kind, _)| {
        !matches!(
            kind,
            RecordKind::Template | RecordKind::Photo | RecordKind::Picture | RecordKind::Answer
        )
    });
    expected.last_mut().unwrap().1 = 2;
    assert_eq!(kinds(&about), expected);
    let found = stores.employees.find(id).await.unwrap().unwrap();
    assert_eq!((found.name, found.site), (name("Erased"), None));
    assert_eq!(
        (found.templates, found.consent, found.active),
        (0, None, false)
    );
    assert!(found.deleted_at.is_some());
    let free = stores.employees.find_by_code(&site.ann.code).await;
    assert_eq!(free, Ok(None), "somebody else may have the code");
    assert_eq!(all(stores, RecordKind::Punch).await, before);

    // And once more, with everything.
    let erased = erase_ann(stores, &site, true).await.unwrap();
    let wanted = Erased {
        punches: 7,
        traces: erased.traces.clone(),
        ..Erased::default()
    };
    assert_eq!(erased, wanted);
    let rest = all(stores, RecordKind::Punch).await;
    let others = before.into_iter().filter(|record| match record {
        StoredRecord::Punch(punch) => punch.employee != id,
        _ => false,
    });
    assert_eq!(rest, others.collect::<Vec<_>>());
    for (kind, count) in [
        (RecordKind::Template, 5),
        (RecordKind::Photo, 0),
        (RecordKind::Picture, 5),
        (RecordKind::Answer, 6),
        (RecordKind::Employee, 3),
    ] {
        assert_eq!(all(stores, kind).await.len(), count, "{kind:?}");
    }

    let audit = Audit::new(stores.audit.clone(), Arc::new(SystemClock));
    let nobody = erase(stores, &audit, &SystemClock, employee_id(), true).await;
    assert!(matches!(nobody, Err(EraseError::NotFound)), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_erased_is_erased_in_an_older_copy_by_the_next() {
    let (source, _one) = crate::sqlite().await;
    let (target, _other) = crate::sqlite().await;
    let site = site_in(&source).await;
    copy(&source, &target, |_| {}).await.unwrap();
    erase_ann(&source, &site, true).await.unwrap();
    let mut removed = Vec::new();
    copy(&source, &target, |one| {
        removed.push((one.kind, one.removed));
    })
    .await
    .unwrap();
    removed.retain(|(_, removed)| *removed > 0);
    let expected = [
        (RecordKind::Template, 25),
        (RecordKind::Punch, 7),
        (RecordKind::Picture, 3),
        (RecordKind::Answer, 1),
    ];
    assert_eq!(removed, expected);
    let compared = compare(&source, &target).await.unwrap();
    assert!(compared.iter().all(Compared::same), "{compared:?}");
}
