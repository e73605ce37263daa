//! Copying from any store to any other: once, again, and not over another installation.

use std::time::Duration;

use rollcall::{
    domain::{
        accounts::{Account, Actor},
        api_tokens::ApiToken,
        attendance::{KeptAnswer, Punch, Timesheet},
        audit::AuditEntry,
        balances::BalanceEntry,
        calendars::CalendarAddress,
        cameras::Camera,
        devices::Device,
        employees::Employee,
        faces::{FaceEnrollment, Photo},
        grants::Reach,
        ids::SiteId,
        installation::Setting,
        invitations::Invitation,
        jobs::{Ability, JobKind},
        mail::MailPreferences,
        messages::Webhook,
        pictures::{Picture, PictureKind},
        plans::{
            Assignment, Cycle, Entitlement, Entry, HolidayCalendar, Hundredths, Leave, LeaveKind,
            LeaveState, PayrollLayout, ShiftKind, SiteRules,
        },
        punch_credentials::PunchCredential,
        record::{Index, Kind, Record},
        refused_punches::{RefusedPunch, Resolution},
        second_factors::SecondFactors,
        sites::{self, Zone},
    },
    ports::Range,
    repositories::Repositories,
    service::store_copy::{Compared, Copied, CopyError, Refusal, compare, copy},
};

use crate::{
    installation::{Installation, all, audit, fill, installation_with, overwrite},
    records::*,
    skip::skip,
    stores::{memory, mongo, redis, sqlite},
};

/// Copies and compares; returns what was written.
async fn copied(source: &Repositories, target: &Repositories) -> Vec<Copied> {
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

async fn refused(source: &Repositories, target: &Repositories) -> Refusal {
    let before = compare(target, target).await.unwrap();
    let refused = copy(source, target, |one| panic!("{one:?}")).await;
    let after = compare(target, target).await.unwrap();
    assert_eq!(after, before, "nothing is written");
    match refused {
        Err(CopyError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// Returns two stores, the second with an earlier state of the first.
async fn copied_installation() -> (Installation, Repositories, Repositories) {
    let (source, target) = (memory(), memory());
    let installation = installation_with(10);
    fill(&source, &installation.records).await;
    copied(&source, &target).await;
    (installation, source, target)
}

fn differs(kind: &'static Kind, id: impl ToString) -> Refusal {
    Refusal::Differs {
        kind,
        count: 1,
        ids: vec![id.to_string()],
    }
}

fn foreign(kind: &'static Kind, id: impl ToString) -> Refusal {
    Refusal::Foreign {
        kind,
        count: 1,
        ids: vec![id.to_string()],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_is_copied_through_all_stores_unchanged() {
    let (first, last, one) = (memory(), memory(), sqlite().await);
    let (two, three) = match (redis().await, mongo().await) {
        (Ok(two), Ok(three)) => (two, three),
        (Err(why), _) | (_, Err(why)) => return skip("a_site_goes_round_all_stores", &why),
    };
    let round = [&first, &one.stores, &two.stores, &three.stores, &last];
    let installation = installation_with(1100);
    fill(round[0], &installation.records).await;
    let mut digests = Vec::new();
    for pair in round.windows(2) {
        let written = copied(pair[0], pair[1]).await;
        let added: u64 = written.iter().map(|one| one.added).sum();
        assert_eq!(added, installation.records.len() as u64);
        assert!(nothing(&copied(pair[0], pair[1]).await), "the second time");
        let compared = compare(round[0], pair[1]).await.unwrap();
        let targets = compared.into_iter().map(|one| one.target);
        digests.push(targets.collect::<Vec<_>>());
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
    three.keeper.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_waits_for_a_target_that_restarts() {
    let (source, mut target) = match redis().await {
        Ok(target) => (memory(), target),
        Err(why) => return skip("a_target_that_restarts", &why),
    };
    fill(&source, &installation_with(3000).records).await;
    let copying = {
        let (source, target) = (source.clone(), target.stores.clone());
        tokio::spawn(async move { copy(&source, &target, |_| {}).await })
    };
    let written = async || {
        let all = Range::all();
        let count = target.stores.engine.count(Punch::KIND, Index::ID, &all);
        count.await.unwrap()
    };
    while written().await < 300 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    target.keeper.kill();
    assert!(!copying.is_finished(), "it is still running");
    tokio::time::sleep(Duration::from_millis(500)).await;
    target.keeper.restart();
    copying.await.unwrap().unwrap();
    assert!(nothing(&copied(&source, &target.stores).await));
}

#[tokio::test]
async fn a_default_site_that_nobody_changed_gives_way() {
    let (source, target) = (memory(), memory());
    fill(&source, &installation_with(3).records).await;
    let midnight = jiff::civil::Time::midnight();
    let seeded = sites::Site::default_site(Zone::UTC, midnight, at(77));
    target.sites.insert(&seeded).await.unwrap();
    copied(&source, &target).await;

    // A change comes over, and does not come back.
    let old = source.sites.find(SiteId::DEFAULT).await.unwrap().unwrap();
    assert_ne!(old, seeded);
    let mut new = old.clone();
    (new.settings.name, new.changed_at) = (site_name("Head office"), Some(at(50)));
    assert_eq!(source.sites.exchange(&old, &new).await, Ok(true));
    let refused = refused(&target, &source).await;
    assert_eq!(refused, differs(sites::Site::KIND, SiteId::DEFAULT));
    copied(&source, &target).await;

    // A store without sites, which an older program wrote.
    let (source, target) = (memory(), memory());
    let admin = installation_with(0).admin;
    source.accounts.insert(&admin).await.unwrap();
    target.sites.insert(&seeded).await.unwrap();
    copied(&source, &target).await;
}

on_each_store! { changes_are_copied }

/// Changes in a source between two copies are copied to every kind of target.
async fn changes_are_copied(target: &Repositories) {
    let source = memory();
    let installation = installation_with(10);
    fill(&source, &installation.records).await;
    copied(&source, target).await;

    // Ann punches, the admin gets another password, a kiosk is revoked.
    let passed = punch(installation.ann.id, installation.kiosk.id, 11, 11);
    source.punches.append(&passed).await.unwrap();
    let trail = async |action, subject: String| {
        let entry = audit(action, subject, 50);
        source.audit.append(&entry).await.unwrap();
    };
    let mut admin = installation.admin.clone();
    admin.password_hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$YW5vdGhlcg".to_owned();
    trail("account.reset_password", admin.id.to_string()).await;
    let changed = source.accounts.change(admin.id, |_| admin.clone()).await;
    assert_eq!(changed, Ok(Some(admin.clone())));
    // The admin uses a recovery code.
    trail("second_factor.use", admin.id.to_string()).await;
    let used = |mut factors: SecondFactors| {
        factors.recovery_codes.pop();
        Some(factors)
    };
    let factors = source.second_factors.change(admin.id, used).await;
    assert_eq!(factors.unwrap().unwrap().recovery_codes.len(), 9);
    let mut kiosk = installation.kiosk.clone();
    kiosk.revoked_at = Some(at(50));
    trail("device.revoke", kiosk.id.to_string()).await;
    let revoked = source.devices.exchange(&installation.kiosk, &kiosk).await;
    assert_eq!(revoked, Ok(true));
    // The stream of the camera goes to another camera.
    let mut removed = installation.camera.clone();
    removed.removed_at = Some(at(50));
    trail("camera.remove", removed.id.to_string()).await;
    let changed = source
        .cameras
        .exchange(&installation.camera, &removed)
        .await;
    assert_eq!(changed, Ok(true));
    let new = camera("door");
    trail("camera.add", new.id.to_string()).await;
    source.cameras.insert(&new).await.unwrap();
    // Ann's face is deleted and enrolled again. She gets a new code, and another employee gets her
    // old one.
    let mut ann = installation.ann.clone();
    ann.settings.code = code("E70");
    trail("templates.delete", ann.id.to_string()).await;
    assert_eq!(source.faces.forget(ann.id, at(60)).await, Ok(5));
    assert_eq!(source.photos.delete_by_employee(ann.id).await, Ok(20));
    assert_eq!(source.pictures.delete_by_employee(ann.id).await, Ok(3));
    overwrite(&source, &face(ann.id, 1, 61)).await;
    source.photos.insert(&photo(ann.id, 61, 100)).await.unwrap();
    overwrite(&source, &ann).await;
    let dora = employee("Dora", "E7");
    source.employees.insert(&dora).await.unwrap();
    trail("employee.add", dora.id.to_string()).await;
    // An admin deletes an unknown face, and retention deletes the oldest one.
    let faces = source
        .pictures
        .list(&Reach::Everything, PictureKind::Unknown, &first(9))
        .await;
    let face = faces.unwrap()[0].id;
    trail("unknown_face.delete", face.to_string()).await;
    assert_eq!(source.pictures.delete(face).await, Ok(true));
    let old = source.pictures.purge(PictureKind::Unknown, at(2)).await;
    assert_eq!(old, Ok(1));
    // Retention deletes the oldest responses, and the oldest entry of the audit trail.
    assert_eq!(source.punches.forget_answers(at(1)).await, Ok(2));
    assert_eq!(source.audit.purge(at(2)).await, Ok(1));

    // Ann's leave is approved, her entitlement changed, and one of her assignments and of her balance
    // entries removed; so are rules and a shift.
    trail("leave.approve", ann.id.to_string()).await;
    let of_ann = |one: &Leave| one.employee == ann.id;
    let mut leave = all::<Leave>(&source)
        .await
        .into_iter()
        .find(of_ann)
        .unwrap();
    leave.state = LeaveState::Approved;
    overwrite(&source, &leave).await;
    let of_ann = |one: &Assignment| one.employee == ann.id;
    let assignment = all::<Assignment>(&source).await.into_iter().find(of_ann);
    assert_eq!(
        source.assignments.remove(assignment.unwrap().id).await,
        Ok(true)
    );
    let of_ann = |one: &Entitlement| one.employee == ann.id;
    let entitlement = all::<Entitlement>(&source).await.into_iter().find(of_ann);
    let mut entitlement = entitlement.unwrap();
    entitlement.grant.carried = Hundredths::default();
    overwrite(&source, &entitlement).await;
    let of_ann = |one: &BalanceEntry| one.employee == ann.id;
    let entry = all::<BalanceEntry>(&source).await.into_iter().find(of_ann);
    let removed = source.balance_entries.remove(entry.unwrap().id).await;
    assert_eq!(removed, Ok(true));
    // Ann misses her PIN, which is not in the trail.
    let missed = |mut stored: PunchCredential| {
        stored.pin = stored.pin?.tried(at(50));
        Some(stored)
    };
    let changed = source
        .punch_credentials
        .change(ann.id, at(50), missed)
        .await;
    assert!(changed.unwrap().is_some());
    // A manager dismisses a refused punch.
    let mut refused = all::<RefusedPunch>(&source).await.remove(0);
    trail("refused_punch.dismiss", refused.id.to_string()).await;
    refused.resolution = Some(Resolution {
        added_to: None,
        by: Actor::Operator,
        at: at(50),
        pending: false,
    });
    overwrite(&source, &refused).await;
    let rules = all::<SiteRules>(&source).await.remove(0);
    trail("rules.remove", rules.id.to_string()).await;
    assert_eq!(source.site_rules.remove(rules.id).await, Ok(true));
    let mut shift = all::<Entry<ShiftKind>>(&source).await.remove(0);
    trail("shift.remove", shift.id.to_string()).await;
    shift.removed_at = Some(at(50));
    overwrite(&source, &shift).await;

    let written = copied(&source, target).await;
    let written: Vec<_> = written
        .iter()
        .map(|one| (one.kind.name, (one.added, one.replaced, one.removed)))
        .collect();
    let expected = [
        (Setting::KIND, (0, 0, 0)),
        (Account::KIND, (0, 1, 0)),
        (MailPreferences::KIND, (0, 0, 0)),
        (SecondFactors::KIND, (0, 1, 0)),
        (sites::Site::KIND, (0, 0, 0)),
        (SiteRules::KIND, (0, 0, 1)),
        (Entry::<ShiftKind>::KIND, (0, 1, 0)),
        (Entry::<Cycle>::KIND, (0, 0, 0)),
        (Entry::<HolidayCalendar>::KIND, (0, 0, 0)),
        (Entry::<LeaveKind>::KIND, (0, 0, 0)),
        (Entry::<PayrollLayout>::KIND, (0, 0, 0)),
        (ApiToken::KIND, (0, 0, 0)),
        (Device::KIND, (0, 1, 0)),
        (Camera::KIND, (1, 1, 0)),
        (Employee::KIND, (1, 1, 0)),
        (Assignment::KIND, (0, 0, 1)),
        (Leave::KIND, (0, 1, 0)),
        (Entitlement::KIND, (0, 1, 0)),
        (CalendarAddress::KIND, (0, 0, 0)),
        (Invitation::KIND, (0, 0, 0)),
        (PunchCredential::KIND, (0, 1, 0)),
        (FaceEnrollment::KIND, (0, 1, 0)),
        (Photo::KIND, (1, 0, 20)),
        (Punch::KIND, (1, 0, 0)),
        (Timesheet::KIND, (0, 0, 0)),
        (BalanceEntry::KIND, (0, 0, 1)),
        (Picture::KIND, (0, 0, 5)),
        (RefusedPunch::KIND, (0, 1, 0)),
        (KeptAnswer::KIND, (0, 0, 2)),
        (Webhook::KIND, (0, 0, 0)),
        (AuditEntry::KIND, (12, 0, 1)),
    ];
    assert_eq!(written, expected.map(|(kind, counts)| (kind.name, counts)));
    assert!(nothing(&copied(&source, target).await));
    let found = target.employees.find_by_code(&code("e7")).await.unwrap();
    assert_eq!(found, Some(dora));
}

#[tokio::test]
async fn a_target_that_was_in_use_is_refused() {
    let (installation, source, target) = copied_installation().await;
    // Despite this entry about Ann in the source's trail, the target has records of its own.
    let entry = audit("employee.change", installation.ann.id, 70);
    source.audit.append(&entry).await.unwrap();

    let one = punch(installation.ann.id, installation.kiosk.id, 11, 11);
    target.punches.append(&one).await.unwrap();
    let refusal = refused(&source, &target).await;
    assert_eq!(refusal, foreign(Punch::KIND, one.id));
    assert!(refusal.to_string().contains("in use since it was copied"));
    target
        .punches
        .delete_by_employee(installation.ann.id)
        .await
        .unwrap();

    let mut kept = answer(installation.kiosk.id, "again", 90);
    kept.answer = format!(r#"{{"employee":"{}"}}"#, installation.ann.id);
    target.punches.keep_answer(&kept).await.unwrap();
    let refusal = refused(&source, &target).await;
    assert_eq!(refusal, foreign(KeptAnswer::KIND, kept.id()));
    let (origin, key) = (kept.origin, &kept.request.key);
    target.punches.forget_answer(origin, key).await.unwrap();

    let used = audit("employee.change", installation.ann.id, 71);
    target.audit.append(&used).await.unwrap();
    let refusal = refused(&source, &target).await;
    assert_eq!(refusal, foreign(AuditEntry::KIND, used.id));
}

#[tokio::test]
async fn another_installation_is_refused() {
    let (_, source, _) = copied_installation().await;
    let other = memory();
    let stranger = employee("Stranger", "S1");
    other.employees.insert(&stranger).await.unwrap();
    let refusal = refused(&source, &other).await;
    assert_eq!(refusal, foreign(Employee::KIND, stranger.id));

    // Copied in the wrong direction.
    let empty = memory();
    let backwards = copy(&empty, &source, |_| {}).await;
    assert!(matches!(backwards, Err(CopyError::Empty)), "{backwards:?}");
    let compared = compare(&empty, &source).await;
    assert!(matches!(compared, Err(CopyError::Empty)), "{compared:?}");

    // A trail without entries does not explain missing records.
    let (_, source, target) = copied_installation().await;
    source.audit.purge(at(1_000)).await.unwrap();
    match refused(&source, &target).await {
        Refusal::Foreign { kind, count, .. } => {
            assert_eq!((kind, count), (AuditEntry::KIND, 2));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_installation_with_unfinished_jobs_is_not_copied() {
    let (_, source, target) = copied_installation().await;
    let waiting = job(0);
    source.jobs.insert(&waiting).await.unwrap();
    let refused = copy(&source, &target, |one| panic!("{one:?}")).await;
    assert!(
        matches!(refused, Err(CopyError::Unfinished(1))),
        "{refused:?}"
    );
    let able = Ability {
        kind: JobKind::new("import"),
        payload: None,
    };
    let claimed = source.jobs.claim(&able, at(0)).await.unwrap().unwrap();
    assert_eq!(source.jobs.update(&claimed.finished(at(1))).await, Ok(true));
    assert!(nothing(&copied(&source, &target).await));
}

#[tokio::test]
async fn unexplained_differences_are_refused() {
    let (installation, source, target) = copied_installation().await;
    let mut ann = installation.ann.clone();
    ann.settings.name = name("Anna");
    overwrite(&target, &ann).await;
    let refusal = refused(&source, &target).await;
    assert_eq!(refusal, differs(Employee::KIND, ann.id));
    let text = refusal.to_string();
    assert!(text.contains(&ann.id.to_string()), "{text}");
    let compared = compare(&source, &target).await.unwrap();
    for one in compared {
        assert_eq!(one.same(), one.kind != Employee::KIND, "{one:?}");
        assert_eq!(one.source.count, one.target.count);
    }
    overwrite(&target, &installation.ann).await;

    // A face changed in the target, but not in the source.
    overwrite(&target, &face(installation.ann.id, 2, 6)).await;
    let refusal = refused(&source, &target).await;
    assert_eq!(refusal, differs(FaceEnrollment::KIND, installation.ann.id));

    let faces = all::<FaceEnrollment>(&source).await;
    let face = faces
        .iter()
        .find(|face| face.employee == installation.ann.id);
    overwrite(&target, face.unwrap()).await;

    // A photo is never overwritten, whatever the trail says.
    let mut altered: Photo = all(&target).await.pop().unwrap();
    altered.sealed = sealed(99, 30_000);
    overwrite(&target, &altered).await;
    let entry = audit("employee.change", altered.employee, 70);
    source.audit.append(&entry).await.unwrap();
    let refusal = refused(&source, &target).await;
    assert_eq!(refusal, differs(Photo::KIND, altered.id));

    // Neither is a punch.
    let empty = memory();
    let mut altered: Punch = all(&source).await.pop().unwrap();
    altered.at = at(1_000_000);
    empty.punches.append(&altered).await.unwrap();
    for subject in [altered.id.to_string(), altered.employee.to_string()] {
        let entry = audit("employee.change", subject, 70);
        source.audit.append(&entry).await.unwrap();
    }
    let refusal = refused(&source, &empty).await;
    assert_eq!(refusal, differs(Punch::KIND, altered.id));
}

#[tokio::test]
async fn two_swapped_codes_are_reported_and_not_lost() {
    let (installation, source, target) = copied_installation().await;
    let found = source.employees.find_by_code(&code("E8")).await.unwrap();
    let (mut ann, mut bob) = (installation.ann.clone(), found.unwrap());
    for (employee, to) in [(&mut ann, "between"), (&mut bob, "E7")] {
        employee.settings.code = code(to);
        overwrite(&source, employee).await;
    }
    ann.settings.code = code("E8");
    overwrite(&source, &ann).await;
    for id in [ann.id, bob.id] {
        let entry = audit("employee.change", id, 80);
        source.audit.append(&entry).await.unwrap();
    }
    let stuck = copy(&source, &target, |_| {}).await;
    let taken = matches!(
        stuck,
        Err(CopyError::Taken { kind, ref id }) if kind == Employee::KIND
            && [ann.id, bob.id].iter().any(|one| one.to_string() == *id)
    );
    assert!(taken, "{stuck:?}");
}
