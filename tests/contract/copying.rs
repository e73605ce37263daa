//! Copying a site from any store to any other: once, again, and not over another site.

use std::time::Duration;

use rollcall::{
    domain::attendance::Punch,
    ports::{PictureKind, RecordKind, StoredRecord, Stores},
    service::copying::{Compared, Copied, CopyError, Refusal, compare, copy},
};

use crate::{
    records::*,
    site::{Site, all, audit, fill, overwrite, site_with},
    skip::skip,
};

/// Copies, and compares; what was written.
async fn copied(source: &Stores, target: &Stores) -> Vec<Copied> {
    let mut copied = Vec::new();
    copy(source, target, |one| copied.push(one)).await.unwrap();
    let compared = compare(source, target).await.unwrap();
    assert!(compared.iter().all(Compared::same), "{compared:?}");
    copied
}

fn nothing(copied: &[Copied]) -> bool {
    copied
        .iter()
        .all(|one| (one.added, one.replaced, one.removed) == (0, 0, 0))
}

async fn refused(source: &Stores, target: &Stores) -> Refusal {
    let before = contents(target).await;
    let refused = copy(source, target, |one| panic!("{one:?}")).await;
    assert_eq!(contents(target).await, before, "nothing is written");
    match refused {
        Err(CopyError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

async fn contents(stores: &Stores) -> Vec<StoredRecord> {
    let mut contents = Vec::new();
    for kind in RecordKind::ALL {
        contents.extend(all(stores, kind).await);
    }
    contents
}

/// Two stores, the second an earlier state of the first.
async fn copied_site() -> (Site, Stores, Stores, [tempfile::TempDir; 2]) {
    let (source, one) = crate::sqlite().await;
    let (target, other) = crate::sqlite().await;
    let site = site_with(10);
    fill(&source, &site.records).await;
    copied(&source, &target).await;
    (site, source, target, [one, other])
}

fn a_punch(site: &Site) -> Punch {
    let found = site.records.iter().find_map(|record| match record {
        StoredRecord::Punch(punch) => Some((**punch).clone()),
        _ => None,
    });
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_goes_round_all_stores_and_stays_the_same() {
    let (first, _folder) = crate::sqlite().await;
    let (last, _other) = crate::sqlite().await;
    let (redis, _server) = match crate::redis().await {
        Ok(redis) => redis,
        Err(why) => return skip("a_site_goes_round_all_stores", &why),
    };
    let (mongo, server) = match crate::mongo().await {
        Ok(mongo) => mongo,
        Err(why) => return skip("a_site_goes_round_all_stores", &why),
    };
    let site = site_with(1100);
    fill(&first, &site.records).await;
    let mut digests = Vec::new();
    for (source, target) in [(&first, &redis), (&redis, &mongo), (&mongo, &last)] {
        let written = copied(source, target).await;
        let added: u64 = written.iter().map(|one| one.added).sum();
        assert_eq!(added, site.records.len() as u64);
        assert!(nothing(&copied(source, target).await), "the second time");
        let compared = compare(&first, target).await.unwrap();
        digests.push(
            compared
                .into_iter()
                .map(|one| one.target)
                .collect::<Vec<_>>(),
        );
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
    mongo.health.close().await;
    server.end().await;
}

/// What happens in a source between two copies comes over; on every kind of target.
async fn news_come_over(target: &Stores) {
    let (source, _folder) = crate::sqlite().await;
    let site = site_with(10);
    fill(&source, &site.records).await;
    copied(&source, target).await;

    // Somebody punches, the admin gets another password, a kiosk is revoked.
    source
        .punches
        .append(&punch(site.ann.id, site.kiosk.id, 11, 11))
        .await
        .unwrap();
    let trail = async |action, subject: String| {
        source
            .audit
            .append(&audit(action, subject, 50))
            .await
            .unwrap();
    };
    let mut admin = site.admin.clone();
    admin.password_hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$YW5vdGhlcg".to_owned();
    trail("account.reset_password", admin.id.to_string()).await;
    source.accounts.update(&admin).await.unwrap();
    let mut kiosk = site.kiosk.clone();
    kiosk.revoked_at = Some(at(50));
    trail("device.revoke", kiosk.id.to_string()).await;
    source.devices.update(&kiosk).await.unwrap();
    // The camera's stream goes to another one.
    let mut removed = site.camera.clone();
    removed.removed_at = Some(at(50));
    trail("camera.remove", removed.id.to_string()).await;
    let changed = source.cameras.update(&site.camera, &removed).await;
    assert_eq!(changed, Ok(true));
    let anew = camera("door");
    trail("camera.add", anew.id.to_string()).await;
    source.cameras.insert(&anew).await.unwrap();
    // Ann's face is deleted and enrolled again; she gets a new code, and somebody new her old one.
    let mut ann = site.ann.clone();
    ann.code = code("E70");
    trail("templates.delete", ann.id.to_string()).await;
    source.templates.delete_of(ann.id).await.unwrap();
    assert_eq!(source.pictures.delete_of(ann.id).await, Ok(3));
    let (anew, picture) = (template(ann.id, 60), photo(ann.id, 60, 100));
    source.templates.insert(&[anew], &[picture]).await.unwrap();
    source.templates.mark_changed(ann.id, at(61)).await.unwrap();
    overwrite(&source, &ann).await;
    source
        .employees
        .set_enrolled(ann.id, 1, None)
        .await
        .unwrap();
    let dora = employee("Dora", "E7");
    source.employees.insert(&dora).await.unwrap();
    trail("employee.add", dora.id.to_string()).await;
    // An unknown face is deleted by hand, and the oldest one by retention.
    let faces = source.pictures.list(PictureKind::Unknown, &first(9)).await;
    let face = faces.unwrap()[0].id;
    trail("unknown_face.delete", face.to_string()).await;
    assert_eq!(source.pictures.delete(face).await, Ok(true));
    let old = source.pictures.purge(PictureKind::Unknown, at(2)).await;
    assert_eq!(old, Ok(1));
    // Retention forgets the oldest answers, and the oldest entry of the trail.
    source.punches.forget_answers(at(1)).await.unwrap();
    assert_eq!(source.audit.purge(at(2)).await, Ok(1));

    let written = copied(&source, target).await;
    let of = |kind| written.iter().find(|one| one.kind == kind).unwrap();
    for (kind, expected) in [
        (RecordKind::Account, (0, 1, 0)),
        (RecordKind::Device, (0, 1, 0)),
        (RecordKind::Camera, (1, 1, 0)),
        (RecordKind::Employee, (1, 1, 0)),
        (RecordKind::Template, (1, 0, 25)),
        (RecordKind::Photo, (1, 0, 0)),
        (RecordKind::GalleryChange, (0, 1, 0)),
        (RecordKind::Punch, (1, 0, 0)),
        (RecordKind::Picture, (0, 0, 5)),
        (RecordKind::Answer, (0, 0, 2)),
        (RecordKind::Setting, (0, 0, 0)),
        (RecordKind::Audit, (7, 0, 1)),
    ] {
        let one = of(kind);
        assert_eq!((one.added, one.replaced, one.removed), expected, "{kind:?}");
    }
    assert!(nothing(&copied(&source, target).await));
    let found = target.employees.find_by_code(&code("e7")).await.unwrap();
    assert_eq!(found, Some(dora));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_come_over_to_sqlite() {
    let (target, _folder) = crate::sqlite().await;
    news_come_over(&target).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_come_over_to_redis() {
    match crate::redis().await {
        Ok((target, _server)) => news_come_over(&target).await,
        Err(why) => skip("news_come_over_to_redis", &why),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_come_over_to_mongo() {
    match crate::mongo().await {
        Ok((target, server)) => {
            news_come_over(&target).await;
            server.end().await;
        }
        Err(why) => skip("news_come_over_to_mongo", &why),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_was_in_use_or_is_another_site_is_refused() {
    let (site, source, target, _folders) = copied_site().await;
    let foreign = |refusal| match refusal {
        Refusal::Foreign { kind, count, ids } => {
            assert_eq!(count, ids.len());
            (kind, ids)
        }
        other => panic!("{other:?}"),
    };
    let one = punch(site.ann.id, site.kiosk.id, 11, 11);
    target.punches.append(&one).await.unwrap();
    let told = refused(&source, &target).await;
    assert_eq!(foreign(told), (RecordKind::Punch, vec![one.id.to_string()]));

    let (other, _folder) = crate::sqlite().await;
    let stranger = employee("Stranger", "S1");
    other.employees.insert(&stranger).await.unwrap();
    let told = refused(&source, &other).await;
    let expected = (RecordKind::Employee, vec![stranger.id.to_string()]);
    assert_eq!(foreign(told), expected);

    // Copied in the wrong direction.
    let (empty, _folder) = crate::sqlite().await;
    let backwards = copy(&empty, &source, |_| {}).await;
    assert!(matches!(backwards, Err(CopyError::Empty)), "{backwards:?}");
    assert!(matches!(
        compare(&empty, &source).await,
        Err(CopyError::Empty)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_with_work_under_way_stays_where_it_is() {
    let (_, source, target, _folders) = copied_site().await;
    let waiting = crate::jobs::job(0);
    source.jobs.insert(&waiting).await.unwrap();
    let refused = copy(&source, &target, |one| panic!("{one:?}")).await;
    assert!(
        matches!(refused, Err(CopyError::Unfinished(1))),
        "{refused:?}"
    );
    let claimed = source
        .jobs
        .claim(&crate::jobs::imports(), at(0))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(source.jobs.update(&claimed.finished(at(1))).await, Ok(true));
    assert!(nothing(&copied(&source, &target).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_differs_without_news_of_it_is_refused() {
    let (site, source, target, _folders) = copied_site().await;
    let mut ann = site.ann.clone();
    ann.name = name("Anna");
    overwrite(&target, &ann).await;
    let told = refused(&source, &target).await;
    let differs = |kind, id: String| Refusal::Differs {
        kind,
        count: 1,
        ids: vec![id],
    };
    assert_eq!(told, differs(RecordKind::Employee, ann.id.to_string()));
    assert!(told.to_string().contains(&ann.id.to_string()), "{told}");
    let compared = compare(&source, &target).await.unwrap();
    for one in compared {
        assert_eq!(one.same(), one.kind != RecordKind::Employee, "{one:?}");
        assert_eq!(one.source.count, one.target.count);
    }

    // A punch is never written over, whatever the trail says.
    let (empty, _folder) = crate::sqlite().await;
    let mut altered = a_punch(&site);
    altered.at = at(1_000_000);
    empty.punches.append(&altered).await.unwrap();
    let entry = audit("employee.change", altered.id, 70);
    source.audit.append(&entry).await.unwrap();
    let told = refused(&source, &empty).await;
    assert_eq!(told, differs(RecordKind::Punch, altered.id.to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_codes_that_changed_places_are_told_and_not_lost() {
    let (site, source, target, _folders) = copied_site().await;
    let found = source.employees.find_by_code(&code("E8")).await.unwrap();
    let (mut ann, mut bob) = (site.ann.clone(), found.unwrap());
    for (employee, to) in [(&mut ann, "between"), (&mut bob, "E7")] {
        employee.code = code(to);
        overwrite(&source, employee).await;
    }
    ann.code = code("E8");
    overwrite(&source, &ann).await;
    for id in [ann.id, bob.id] {
        source
            .audit
            .append(&audit("employee.change", id, 80))
            .await
            .unwrap();
    }
    let stuck = copy(&source, &target, |_| {}).await;
    let taken = matches!(
        stuck,
        Err(CopyError::Taken { kind: RecordKind::Employee, ref id }) if [ann.id, bob.id].iter().any(|one| one.to_string() == *id)
    );
    assert!(taken, "{stuck:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_restarts_in_the_middle_is_waited_for() {
    let (source, _folder) = crate::sqlite().await;
    let (target, mut server) = match crate::redis().await {
        Ok(redis) => redis,
        Err(why) => return skip("a_target_that_restarts", &why),
    };
    fill(&source, &site_with(3000).records).await;
    let copying = {
        let (source, target) = (source.clone(), target.clone());
        tokio::spawn(async move { copy(&source, &target, |_| {}).await })
    };
    while server.ask::<u64>(&["ZCARD", "{rollcall}:punches"]) < 300 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.kill();
    assert!(!copying.is_finished(), "it is in the middle");
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.restart();
    copying.await.unwrap().unwrap();
    assert!(nothing(&copied(&source, &target).await));
}
