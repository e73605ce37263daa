//! Employees: concurrent changes, and the faces of people who return.

use futures::future::join_all;
use rollcall::{
    clock::Clock,
    domain::{
        employees::{Employee, EmployeeSettings},
        grants::{Reach, Scope},
        ids::SiteId,
        sites::{Site, SiteSettings, Zone},
        text::{Name, SiteName},
    },
    ports::Gallery,
    service::employees::EmployeeError,
};

use uuid::Uuid;

use crate::world::{ADMIN, instance, request, steps};

fn rename(settings: &mut EmployeeSettings) {
    settings.name = Name::parse("Anna").unwrap();
}

fn deactivate(settings: &mut EmployeeSettings) {
    settings.active = false;
}

fn activate(settings: &mut EmployeeSettings) {
    settings.active = true;
}

const HARBOR: SiteId = SiteId::new(Uuid::from_u128(7));

fn relocate(settings: &mut EmployeeSettings) {
    settings.site = HARBOR;
}

#[tokio::test]
async fn concurrent_changes_are_all_kept() {
    let world = instance();
    let main = Site::default_site(Zone::UTC, jiff::civil::Time::midnight(), world.clock.now());
    let harbor = Site {
        id: HARBOR,
        settings: SiteSettings {
            name: SiteName::parse("Harbor").unwrap(),
            ..main.settings
        },
        ..main
    };
    world.stores.sites.insert(&harbor).await.unwrap();
    for round in 0..20 {
        let ann = world.enrolled(&format!("ann{round}")).await;
        let changes: [fn(&mut EmployeeSettings); 3] = [rename, deactivate, relocate];
        let all = changes.map(|change| world.change(ann.id, change));
        for changed in join_all(all).await {
            changed.unwrap();
        }
        let now = world
            .employees
            .find(&Reach::Everything, ann.id)
            .await
            .unwrap();
        assert_eq!(now.name.as_str(), "Anna");
        assert_eq!(now.site, HARBOR);
        assert!(!now.active);
        assert_eq!(world.gallery.find(ann.id), None, "round {round}");
    }
}

#[tokio::test]
async fn a_deleted_employee_stays_deleted_despite_concurrent_changes() {
    let world = instance();
    for round in 0..40 {
        let ann = world.person(&format!("ann{round}")).await;
        let delete = async {
            // A little later in each round, so that it happens at every step of the change.
            steps(round).await;
            world
                .employees
                .delete(&Reach::Everything, ADMIN, ann.id)
                .await
                .unwrap();
        };
        let (changed, ()) = futures::join!(world.change(ann.id, rename), delete);
        assert!(
            matches!(changed, Ok(_) | Err(EmployeeError::NotFound)),
            "{changed:?}"
        );
        let gone = world.employees.find(&Reach::Everything, ann.id).await;
        assert!(
            matches!(gone, Err(EmployeeError::NotFound)),
            "round {round}"
        );
    }
}

#[tokio::test]
async fn a_retry_completes_a_partial_change() {
    let world = instance();
    let ann = world.enrolled("ann").await;
    // The store failed after the record was written: the gallery still has her.
    let mut left = ann.employee.clone();
    left.settings.active = false;
    let employees = &world.stores.employees;
    assert_eq!(employees.exchange(&ann, &left).await, Ok(true));
    assert!(world.gallery.find(ann.id).is_some());
    world.change(ann.id, deactivate).await.unwrap();
    assert_eq!(world.gallery.find(ann.id), None);
}

#[tokio::test]
async fn a_returning_employee_must_not_share_a_face_with_a_new_one() {
    let world = instance();
    let ann = world.enrolled("ann").await;
    world.change(ann.id, deactivate).await.unwrap();
    // Enrolled for another employee while she was inactive.
    let bob = world.person("bob").await;
    world.enroll(bob.id, &["ann~0.1#7"]).await.unwrap();

    let refused = world.change(ann.id, activate).await;
    let Err(EmployeeError::Duplicate(name)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(name, Some(bob.name.clone()));
    // A caller whose reach does not cover Bob does not learn his name.
    let only_ann = Reach::of(Scope::Own, Some(ann.id));
    let active = |ann: &Employee| {
        Ok::<_, EmployeeError>(EmployeeSettings {
            active: true,
            ..ann.settings.clone()
        })
    };
    let employees = &world.employees;
    let refused = employees
        .change(&only_ann, ADMIN, ann.id, false, active)
        .await;
    assert!(matches!(refused, Err(EmployeeError::Duplicate(None))));
    assert!(
        !world
            .employees
            .find(&Reach::Everything, ann.id)
            .await
            .unwrap()
            .active
    );
    let back = world.change_with(ann.id, true, activate).await;
    assert!(back.unwrap().active);
    let reference = world.gallery.find(ann.id).unwrap();
    assert_eq!(reference.look_alikes, [bob.id]);
    assert_eq!(world.face(ann.id).await.unwrap().look_alikes, [bob.id]);
    let trail = world.stores.audit.latest(100).await.unwrap();
    assert!(
        trail
            .iter()
            .any(|entry| entry.action == "employee.override")
    );
}

#[tokio::test]
async fn a_face_without_a_record_is_not_recognized() {
    let world = instance();
    let ann = world.enrolled("ann").await;
    let running = world.another();
    assert_eq!(running.loader.fill().await.unwrap().people, 1);
    // An instance crashed after it deleted consent and templates, without notifying others.
    let now = world.clock.now();
    assert_eq!(world.stores.faces.forget(ann.id, now).await, Ok(2));
    running.loader.refresh(ann.id).await.unwrap();
    assert_eq!(running.gallery.find(ann.id), None);
    let restarted = world.another();
    assert_eq!(restarted.loader.fill().await.unwrap().people, 0);
    assert_eq!(restarted.gallery.find(ann.id), None);
    // Enrolled again, she is recognized.
    let again = request(ann.id, &["ann~0.1#3"]);
    restarted
        .enrolling
        .enroll(&Reach::Everything, ADMIN, again)
        .await
        .unwrap();
    assert!(restarted.gallery.find(ann.id).is_some());
}
