//! Erasure of an employee, in every store and in copies.

use std::{collections::BTreeMap, sync::Arc};

use rollcall::{
    clock::SystemClock,
    domain::{
        accounts::Account,
        attendance::{KeptAnswer, Punch},
        audit::AuditEntry,
        balances::BalanceEntry,
        calendars::CalendarAddress,
        cameras::{CameraReport, CameraState, CameraStatus, Presence},
        employees::Employee,
        faces::{FaceEnrollment, Photo},
        grants::{Access, Grant, Role, Scope},
        ids::{EmployeeId, SiteId},
        invitations::Invitation,
        pictures::Picture,
        plans::{Assignment, Entitlement, Leave},
        punch_credentials::PunchCredential,
        record::Record,
        refused_punches::RefusedPunch,
        second_factors::SecondFactors,
    },
    repositories::Repositories,
    service::{
        audit::Audit,
        personal_data::{EraseError, Erased, count_of, erase, records_of},
        store_copy::{Compared, compare, copy},
    },
};

use uuid::Uuid;

use crate::{
    installation::{Installation, all, fill, installation_with, overwrite},
    records::*,
    stores::memory,
};

/// Fills a store; a kept response names Ann, and a camera saw her and another employee.
async fn installation_in(stores: &Repositories) -> (Installation, CameraStatus) {
    let installation = installation_with(10);
    let mut named = answer(installation.kiosk.id, "named", 7);
    named.answer = format!(
        r#"{{"outcome":"duplicate","employee":"{}"}}"#,
        installation.ann.id
    );
    fill(stores, &installation.records).await;
    overwrite(stores, &named).await;
    let seen = |employee| Presence {
        employee,
        last: at(4),
    };
    let status = CameraStatus {
        state: CameraState::Live,
        cause: None,
        since: at(3),
        reported_at: at(4),
        present: vec![seen(installation.ann.id), seen(employee_id())],
    };
    stores
        .cameras
        .report(installation.camera.id, &status)
        .await
        .unwrap();
    (installation, status)
}

async fn erase_one(
    stores: &Repositories,
    id: EmployeeId,
    with_attendance: bool,
) -> Result<Erased, EraseError> {
    let audit = Audit::new(stores.audit.clone(), Arc::new(SystemClock));
    erase(stores, &audit, &SystemClock, id, with_attendance).await
}

fn counts<const N: usize>(counts: [(&'static str, u64); N]) -> BTreeMap<&'static str, u64> {
    counts.into_iter().collect()
}

on_each_store! { only_the_erased_employee_is_erased }

async fn only_the_erased_employee_is_erased(stores: &Repositories) {
    let (installation, mut status) = installation_in(stores).await;
    let id = installation.ann.id;
    let present = counts([
        (Employee::KIND.name, 1),
        (Assignment::KIND.name, 2),
        (Leave::KIND.name, 1),
        (Entitlement::KIND.name, 1),
        (CalendarAddress::KIND.name, 1),
        (Invitation::KIND.name, 1),
        (PunchCredential::KIND.name, 1),
        (FaceEnrollment::KIND.name, 1),
        (Photo::KIND.name, 20),
        (Punch::KIND.name, 7),
        (BalanceEntry::KIND.name, 2),
        (Picture::KIND.name, 3),
        (RefusedPunch::KIND.name, 1),
        (KeptAnswer::KIND.name, 1),
        (CameraReport::KIND.name, 1),
        (AuditEntry::KIND.name, 1),
    ]);
    assert_eq!(count_of(stores, id).await, Ok(present.clone()));
    let about = records_of(stores, id).await.unwrap();
    assert_eq!(about.len() as u64, present.values().sum::<u64>());
    let report = about
        .iter()
        .find_map(|found| found.record.downcast::<CameraReport>());
    let seen = &report.unwrap().status.present;
    assert_eq!(seen, &status.present[..1], "no one else is in the export");
    let photo = about
        .iter()
        .find_map(|found| found.record.downcast::<Photo>());
    assert_eq!(photo.unwrap().sealed.ciphertext.len(), 30_000);
    let before = all::<Punch>(stores).await;

    let erased = erase_one(stores, id, false).await.unwrap();
    let wanted = Erased {
        replaced: ["active", "code", "name"].map(str::to_owned).into(),
        deleted: counts([
            ("templates", 5),
            (CalendarAddress::KIND.name, 1),
            (Invitation::KIND.name, 1),
            (PunchCredential::KIND.name, 1),
            (Photo::KIND.name, 20),
            (Picture::KIND.name, 3),
            (RefusedPunch::KIND.name, 1),
            (KeptAnswer::KIND.name, 1),
        ]),
        anonymized: counts([(CameraReport::KIND.name, 1)]),
        traces: erased.traces.clone(),
    };
    assert_eq!(erased, wanted);
    status.present.remove(0);
    let reported = stores.cameras.statuses(&[installation.camera.id]).await;
    assert_eq!(reported, Ok(vec![(installation.camera.id, status)]));
    let left = counts([
        (Employee::KIND.name, 1),
        (Assignment::KIND.name, 2),
        (Leave::KIND.name, 1),
        (Entitlement::KIND.name, 1),
        (FaceEnrollment::KIND.name, 1),
        (Punch::KIND.name, 7),
        (BalanceEntry::KIND.name, 2),
        (AuditEntry::KIND.name, 2),
    ]);
    assert_eq!(count_of(stores, id).await, Ok(left));
    let found = stores.employees.find(id).await.unwrap().unwrap();
    assert_eq!(
        (&found.name, found.site),
        (&name("Erased"), SiteId::DEFAULT)
    );
    assert!(!found.active && found.deleted_at.is_some());
    let face = stores.faces.find(id).await.unwrap().unwrap();
    assert_eq!(face.face, None);
    assert!(face.changed_at > at(5), "instances notice the deletion");
    let free = stores.employees.find_by_code(&installation.ann.code).await;
    assert_eq!(free, Ok(None), "another employee may have the code");
    assert_eq!(all::<Punch>(stores).await, before);

    // Again, with attendance.
    let erased = erase_one(stores, id, true).await.unwrap();
    let wanted = Erased {
        deleted: counts([
            (Assignment::KIND.name, 2),
            (Leave::KIND.name, 1),
            (Entitlement::KIND.name, 1),
            (Punch::KIND.name, 7),
            (BalanceEntry::KIND.name, 2),
        ]),
        traces: erased.traces.clone(),
        ..Erased::default()
    };
    assert_eq!(erased, wanted);
    let others = before.into_iter().filter(|punch| punch.employee != id);
    assert_eq!(all::<Punch>(stores).await, others.collect::<Vec<_>>());
    assert_eq!(all::<Assignment>(stores).await.len(), 2, "those of Bob");
    assert_eq!(all::<Leave>(stores).await.len(), 1);
    assert_eq!(all::<Entitlement>(stores).await.len(), 1);
    assert_eq!(all::<BalanceEntry>(stores).await.len(), 2);
    assert_eq!(all::<FaceEnrollment>(stores).await.len(), 3);
    assert_eq!(all::<Photo>(stores).await, []);
    assert_eq!(all::<Picture>(stores).await.len(), 5);
    assert_eq!(all::<RefusedPunch>(stores).await, []);
    assert_eq!(all::<KeptAnswer>(stores).await.len(), 6);
    assert_eq!(all::<Employee>(stores).await.len(), 3);

    let nobody = erase_one(stores, employee_id(), true).await;
    assert!(matches!(nobody, Err(EraseError::NotFound)), "{nobody:?}");
}

#[tokio::test]
async fn the_next_copy_erases_an_employee_in_an_older_copy() {
    let (source, target) = (memory(), memory());
    let (installation, _) = installation_in(&source).await;
    copy(&source, &target, |_| {}).await.unwrap();
    erase_one(&source, installation.ann.id, true).await.unwrap();
    let mut written = Vec::new();
    copy(&source, &target, |one| written.push(one))
        .await
        .unwrap();
    let removed = written.iter().filter(|one| one.removed > 0);
    let removed: Vec<_> = removed.map(|one| (one.kind.name, one.removed)).collect();
    let expected = [
        (Assignment::KIND.name, 2),
        (Leave::KIND.name, 1),
        (Entitlement::KIND.name, 1),
        (CalendarAddress::KIND.name, 1),
        (Invitation::KIND.name, 1),
        (PunchCredential::KIND.name, 1),
        (Photo::KIND.name, 20),
        (Punch::KIND.name, 7),
        (BalanceEntry::KIND.name, 2),
        (Picture::KIND.name, 3),
        (RefusedPunch::KIND.name, 1),
        (KeptAnswer::KIND.name, 1),
    ];
    assert_eq!(removed, expected);
    let replaced = written.iter().filter(|one| one.replaced > 0);
    let replaced: Vec<_> = replaced.map(|one| one.kind.name).collect();
    assert_eq!(replaced, [Employee::KIND.name, FaceEnrollment::KIND.name]);
    let compared = compare(&source, &target).await.unwrap();
    assert!(compared.iter().all(Compared::same), "{compared:?}");
}

#[tokio::test]
async fn the_account_of_an_erased_employee_is_deleted_or_loses_the_link() {
    let grant = |role, scope| Grant::new(role, scope).unwrap();
    let own = grant(Role::Employee, Scope::Own);
    let manager = grant(Role::Manager, Scope::Site(SiteId::DEFAULT));
    for grants in [vec![own], vec![own, manager]] {
        let (source, target) = (memory(), memory());
        let (installation, _) = installation_in(&source).await;
        let before = Account {
            access: Access::new(Some(installation.ann.id), grants.clone()).unwrap(),
            ..account("ann@example.org", Role::Viewer)
        };
        source.accounts.insert(&before).await.unwrap();
        let factors = second_factors(before.id, 3);
        overwrite(&source, &factors).await;
        let token = api_token(Uuid::now_v7().into(), before.id, 200);
        source.api_tokens.insert(&token).await.unwrap();
        copy(&source, &target, |_| {}).await.unwrap();
        let about = records_of(&source, installation.ann.id).await.unwrap();
        let exported = about
            .iter()
            .find_map(|found| found.record.downcast::<Account>());
        assert_eq!(exported, Some(&before));

        let id = before.id;
        let erased = erase_one(&source, installation.ann.id, false)
            .await
            .unwrap();
        let (deleted, anonymized) = (&erased.deleted, &erased.anonymized);
        let name = Account::KIND.name;
        let after = match grants.len() {
            1 => {
                assert_eq!((deleted.get(name), anonymized.get(name)), (Some(&1), None));
                None
            }
            _ => {
                assert_eq!((deleted.get(name), anonymized.get(name)), (None, Some(&1)));
                let access = Access::new(None, [manager]).unwrap();
                Some(Account { access, ..before })
            }
        };
        // A copy follows.
        copy(&source, &target, |_| {}).await.unwrap();
        for stores in [&source, &target] {
            let found = stores.accounts.find(id).await;
            assert_eq!(found, Ok(after.clone()));
            let left = stores.second_factors.of(id).await.unwrap();
            assert_eq!(left == factors, after.is_some());
            assert_eq!(left == SecondFactors::none(id), after.is_none());
            let tokens = stores.api_tokens.list_by_account(id).await.unwrap();
            assert_eq!(tokens.is_empty(), after.is_none());
            let linked = stores.accounts.find_by_employee(installation.ann.id).await;
            assert_eq!(linked, Ok(None));
        }
    }
}
