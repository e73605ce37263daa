//! Employees: changes at the same time, and whose face is whose when somebody comes back.

use futures::future::join_all;
use rollcall::{
    domain::text::{Name, SiteName},
    ports::Gallery,
    service::employees::{EmployeeChange, EmployeeError},
};

use crate::world::{ADMIN, instance, request};

fn active(active: bool) -> EmployeeChange {
    EmployeeChange {
        active: Some(active),
        ..EmployeeChange::default()
    }
}

fn renamed(name: &str) -> EmployeeChange {
    EmployeeChange {
        name: Some(Name::parse(name).unwrap()),
        ..EmployeeChange::default()
    }
}

#[tokio::test]
async fn changes_at_the_same_time_all_hold() {
    let world = instance().await;
    for round in 0..20 {
        let ann = world.enrolled(&format!("ann{round}")).await;
        let moved = EmployeeChange {
            site: Some(Some(SiteName::parse("Harbour").unwrap())),
            ..EmployeeChange::default()
        };
        let changes = [renamed("Anna"), active(false), moved];
        let all = changes.map(|change| world.employees.change(ADMIN, ann.id, change));
        for changed in join_all(all).await {
            changed.unwrap();
        }
        let now = world.employees.find(ann.id).await.unwrap();
        assert_eq!(now.name.as_str(), "Anna");
        assert_eq!(now.site.map(String::from).as_deref(), Some("Harbour"));
        assert!(!now.active);
        assert_eq!(world.gallery.find(ann.id), None, "round {round}");
    }
}

#[tokio::test]
async fn who_is_deleted_stays_deleted_whatever_else_is_changed() {
    let world = instance().await;
    for round in 0..40u32 {
        let ann = world.person(&format!("ann{round}")).await;
        let delete = async {
            tokio::time::sleep(std::time::Duration::from_micros(u64::from(round) * 50)).await;
            world.employees.delete(ADMIN, ann.id).await.unwrap();
        };
        let (changed, ()) = futures::join!(
            world.employees.change(ADMIN, ann.id, renamed("Anna")),
            delete
        );
        assert!(
            matches!(changed, Ok(_) | Err(EmployeeError::NotFound)),
            "{changed:?}"
        );
        let gone = world.employees.find(ann.id).await;
        assert!(
            matches!(gone, Err(EmployeeError::NotFound)),
            "round {round}"
        );
    }
}

#[tokio::test]
async fn a_change_that_got_no_further_than_the_record_is_made_whole_by_trying_again() {
    let world = instance().await;
    let ann = world.enrolled("ann").await;
    // The store failed after the record was written: the gallery still has her.
    let mut left = ann.clone();
    left.active = false;
    assert_eq!(world.stores.employees.update(&ann, &left).await, Ok(true));
    assert!(world.gallery.find(ann.id).is_some());
    world
        .employees
        .change(ADMIN, ann.id, active(false))
        .await
        .unwrap();
    assert_eq!(world.gallery.find(ann.id), None);
}

#[tokio::test]
async fn who_comes_back_must_not_share_a_face_with_somebody_new() {
    let world = instance().await;
    let ann = world.enrolled("ann").await;
    world
        .employees
        .change(ADMIN, ann.id, active(false))
        .await
        .unwrap();
    // Enrolled for somebody else while nobody looked.
    let bob = world.person("bob").await;
    world.enroll(bob.id, &["ann~0.1#7"]).await.unwrap();

    let refused = world.employees.change(ADMIN, ann.id, active(true)).await;
    let Err(EmployeeError::Duplicate(name)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(name.as_str(), "bob");
    assert!(!world.employees.find(ann.id).await.unwrap().active);
    let insisted = EmployeeChange {
        override_duplicate: true,
        ..active(true)
    };
    let back = world.employees.change(ADMIN, ann.id, insisted).await;
    assert!(back.unwrap().active);
    assert!(world.gallery.find(ann.id).is_some());
    let trail = world.stores.audit.latest(100).await.unwrap();
    assert!(
        trail
            .iter()
            .any(|entry| entry.action == "employee.override")
    );
}

#[tokio::test]
async fn no_face_is_known_without_a_consent() {
    let world = instance().await;
    let ann = world.enrolled("ann").await;
    // As after a fault in the middle: templates, and nothing said of a consent.
    let stores = &world.stores.employees;
    assert_eq!(stores.set_enrolled(ann.id, 0, None).await, Ok(true));
    let restarted = world.another();
    assert_eq!(restarted.references.fill().await.unwrap().people, 0);
    restarted.references.refresh(ann.id).await.unwrap();
    assert_eq!(restarted.gallery.find(ann.id), None);
    // Enrolled again, she is.
    let again = request(ann.id, &["ann~0.1#3"]);
    restarted.enrolling.enroll(ADMIN, again).await.unwrap();
    assert!(restarted.gallery.find(ann.id).is_some());
}
