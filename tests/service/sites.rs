//! Sites: the rules of places, and how soon every instance follows them.

use std::sync::Arc;

use jiff::{SignedDuration, civil};
use rollcall::{
    clock::Clock,
    domain::{
        attendance::{Punch, PunchKind},
        biometrics::Look,
        devices::Device,
        grants::Reach,
        ids::SiteId,
        sites::{Site, SiteSettings, Zone},
        text::SiteName,
    },
    ports::StoreError,
    service::{
        audit::Audit,
        devices::{DeviceError, DeviceSettings},
        employees::EmployeeError,
        face_punches::{Outcome, PunchRequest},
        feed::Feed,
        sites::{Seed, SiteError, Sites},
    },
    storage::memory::MemoryBus,
};

use crate::world::{ADMIN, Instance, instance, samples};

fn settings(name: &str, zone: &str) -> SiteSettings {
    SiteSettings::new(
        SiteName::parse(name).unwrap(),
        Zone::parse(zone).unwrap(),
        civil::time(4, 0, 0, 0),
    )
}

async fn add(world: &Instance, name: &str, zone: &str) -> Site {
    world.sites.add(ADMIN, settings(name, zone)).await.unwrap()
}

async fn change(world: &Instance, id: SiteId, new: SiteSettings) -> Result<Site, SiteError> {
    world
        .sites
        .change(ADMIN, id, |_| Ok::<_, SiteError>(new.clone()))
        .await
}

/// Moves a device to a site.
async fn moved(world: &Instance, device: &Device, site: SiteId) -> Result<Device, DeviceError> {
    let settings = |device: &Device| {
        Ok::<_, DeviceError>(DeviceSettings {
            name: device.name.clone(),
            site,
        })
    };
    world.devices.change(ADMIN, device.id, settings).await
}

async fn kiosk_at(world: &Instance, site: &Site) -> Device {
    let kiosk = world.kiosk().await;
    moved(world, &kiosk, site.id).await.unwrap()
}

async fn punch(world: &Instance, kiosk: &Device, who: &str) -> Punch {
    let request = PunchRequest {
        samples: samples(&[who]),
        kind: None,
        capture: None,
        key: None,
        look: Look::FIRST,
        instead_of: None,
    };
    match world.punch(kiosk, request).await.unwrap().outcome {
        Outcome::Punched { punch } => *punch,
        other => panic!("no punch but {other:?}"),
    }
}

#[tokio::test]
async fn the_default_site_is_made_once_and_is_the_truth_from_then_on() {
    let world = instance();
    let other = world.another();
    let of = async |of: &Instance| of.sites.of(SiteId::DEFAULT).await.unwrap();
    let (one, two) = futures::join!(of(&world), of(&other));
    assert_eq!(one, two);
    assert_eq!((&one.zone, one.changed_at), (&Zone::UTC, None));
    assert_eq!(world.stores.sites.all().await.unwrap().len(), 1);
    let trail = world.stores.audit.latest(10).await.unwrap();
    assert_eq!(trail, [], "the store still counts as empty");

    let berlin = settings("Berlin", "Europe/Berlin");
    change(&world, SiteId::DEFAULT, berlin.clone())
        .await
        .unwrap();
    let started_later = world.another();
    assert_eq!(of(&started_later).await.zone, berlin.zone);
    assert_eq!(of(&started_later).await.name, berlin.name);
}

#[tokio::test]
async fn a_name_belongs_to_one_site_in_any_case() {
    let world = instance();
    let harbor = add(&world, "Harbor", "UTC").await;
    let twin = world.sites.add(ADMIN, settings("HARBOR", "UTC")).await;
    assert!(matches!(twin, Err(SiteError::NameTaken)), "{twin:?}");
    let main = world.sites.of(SiteId::DEFAULT).await.unwrap();
    let taken = change(&world, main.id, settings("harbor", "UTC")).await;
    assert!(matches!(taken, Err(SiteError::NameTaken)), "{taken:?}");
    // Its own name in another case.
    let louder = change(&world, harbor.id, settings("HARBOR", "UTC")).await;
    assert_eq!(louder.unwrap().name.as_str(), "HARBOR");
    let sites = world.sites.all().await.unwrap();
    let found = sites.named(&SiteName::parse("harbor").unwrap());
    assert_eq!(found.map(|site| site.id), Some(harbor.id));
}

#[tokio::test]
async fn each_change_is_later_than_the_one_before_and_audited() {
    let world = instance();
    let mut last = add(&world, "Harbor", "UTC").await;
    for zone in ["Europe/Berlin", "Asia/Tokyo"] {
        // The clock stands still.
        let new = change(&world, last.id, settings("Harbor", zone)).await;
        let new = new.unwrap();
        assert!(new.changed_at > last.changed_at);
        last = new;
    }
    world.sites.remove(ADMIN, last.id).await.unwrap();
    let trail = world.stores.audit.latest(10).await.unwrap();
    let did: Vec<_> = trail
        .iter()
        .map(|one| (one.action.as_str(), one.detail.as_deref().unwrap()))
        .collect();
    let expected = [
        ("site.remove", "Harbor, Asia/Tokyo, workday from 04:00"),
        ("site.change", "Harbor, Asia/Tokyo, workday from 04:00"),
        ("site.change", "Harbor, Europe/Berlin, workday from 04:00"),
        ("site.add", "Harbor, UTC, workday from 04:00"),
    ];
    assert_eq!(did, expected);
}

#[tokio::test]
async fn a_site_is_removed_once_nothing_belongs_to_it() {
    let world = instance();
    let north = add(&world, "North", "UTC").await;
    let default = world.sites.remove(ADMIN, SiteId::DEFAULT).await;
    assert!(matches!(default, Err(SiteError::Default)), "{default:?}");

    let ann = world.person("ann").await;
    let move_ann = async |site| world.change(ann.id, |ann| ann.site = site).await;
    move_ann(north.id).await.unwrap();
    let kiosk = kiosk_at(&world, &north).await;
    let mut camera = world.camera("door");
    camera.site = north.id;
    world.stores.cameras.insert(&camera).await.unwrap();

    let refused = async || match world.sites.remove(ADMIN, north.id).await {
        Err(SiteError::InUse(by)) => by,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused().await, "people, devices and cameras");
    move_ann(SiteId::DEFAULT).await.unwrap();
    assert_eq!(refused().await, "devices and cameras");
    world.devices.revoke(ADMIN, kiosk.id).await.unwrap();
    assert_eq!(refused().await, "cameras");
    let mut removed = camera.clone();
    removed.removed_at = Some(world.clock.now());
    let cameras = &world.stores.cameras;
    assert_eq!(cameras.exchange(&camera, &removed).await, Ok(true));
    world.sites.remove(ADMIN, north.id).await.unwrap();

    let gone = world.sites.find(&Reach::Everything, north.id).await;
    assert!(matches!(gone, Err(SiteError::NotFound)), "{gone:?}");
    let again = world.sites.remove(ADMIN, north.id).await;
    assert!(matches!(again, Err(SiteError::NotFound)), "{again:?}");
    let sites = world.sites.all().await.unwrap();
    assert_eq!(sites.name(north.id), "North", "old punches still show it");
    add(&world, "North", "UTC").await;
}

#[tokio::test]
async fn nothing_moves_to_a_site_that_is_not_there() {
    let world = instance();
    let north = add(&world, "North", "UTC").await;
    world.sites.remove(ADMIN, north.id).await.unwrap();
    let nowhere = SiteId::new(world.clock.id());
    let (ann, kiosk) = (world.person("ann").await, world.kiosk().await);
    for site in [north.id, nowhere] {
        let refused = world.change(ann.id, |ann| ann.site = site).await;
        assert!(matches!(refused, Err(EmployeeError::UnknownSite)));
        let refused = moved(&world, &kiosk, site).await;
        assert!(matches!(refused, Err(DeviceError::UnknownSite)));
        assert_eq!(
            world
                .employees
                .find(&Reach::Everything, ann.id)
                .await
                .unwrap()
                .site,
            ann.site
        );
    }
}

#[tokio::test]
async fn a_punch_is_made_at_the_site_of_its_device_on_the_workday_there() {
    let world = instance();
    // Where the date is never the same.
    let east = add(&world, "East", "Pacific/Kiritimati").await;
    let west = add(&world, "West", "Pacific/Pago_Pago").await;
    let ann = world.enrolled("ann").await;
    assert_eq!(ann.site, SiteId::DEFAULT);
    let (eastern, western) = (kiosk_at(&world, &east).await, kiosk_at(&world, &west).await);

    // It is noon on 15 January in UTC.
    let first = punch(&world, &eastern, "ann").await;
    assert_eq!(first.site, east.id, "not the employee's");
    assert_eq!(
        first.workday,
        civil::date(2026, 1, 15),
        "02:00 is the day before"
    );
    assert_eq!(first.kind, PunchKind::In);

    // By the rules of the west both are of one workday there, whatever the east wrote.
    world.clock.advance(SignedDuration::from_hours(1));
    let second = punch(&world, &western, "ann").await;
    assert_eq!(second.site, west.id);
    assert_eq!(second.workday, civil::date(2026, 1, 14));
    assert_eq!(second.kind, PunchKind::Out);

    // The kiosk moves, and its old punches stay where they were made.
    let moved = moved(&world, &western, east.id).await.unwrap();
    world.clock.advance(SignedDuration::from_hours(3));
    let third = punch(&world, &moved, "ann").await;
    assert_eq!(third.site, east.id);
    assert_eq!(third.workday, civil::date(2026, 1, 16));
    assert_eq!(third.kind, PunchKind::In, "a new workday there");
    let stays = world.stores.punches.find(second.id).await;
    assert_eq!(stays, Ok(Some(second)));
}

#[tokio::test]
async fn punches_follow_a_change_of_their_site_on_another_instance() {
    let world = instance();
    let other = world.another();
    world.enrolled("ann").await;
    let site = add(&world, "Harbor", "UTC").await;
    let kiosk = kiosk_at(&world, &site).await;
    let before = punch(&world, &kiosk, "ann").await;
    assert_eq!(before.workday, civil::date(2026, 1, 15));
    world.clock.advance(SignedDuration::from_mins(2));
    let new = settings("Harbor", "Pacific/Pago_Pago");
    change(&other, site.id, new).await.unwrap();
    let after = punch(&world, &kiosk, "ann").await;
    assert_eq!(after.workday, civil::date(2026, 1, 14));
}

#[tokio::test]
async fn an_instance_without_word_of_changes_asks_again_soon() {
    let world = instance();
    let seed = Seed {
        zone: Zone::UTC,
        workday_starts: civil::time(4, 0, 0, 0),
    };
    let deaf = Sites::new(
        world.stores.clone(),
        seed,
        Audit::new(world.stores.audit.clone(), world.clock.clone()),
        world.clock.clone(),
        Feed::new(Arc::new(MemoryBus::default())),
    );
    let site = add(&world, "Harbor", "UTC").await;
    let known = async || deaf.of(site.id).await.unwrap().zone.to_string();
    assert_eq!(
        known().await,
        "UTC",
        "what is new to it, it asks for at once"
    );
    let new = settings("Harbor", "Europe/Berlin");
    change(&world, site.id, new).await.unwrap();
    world.clock.advance(SignedDuration::from_secs(2));
    assert_eq!(known().await, "Europe/Berlin");

    // What it remembers needs no store.
    world
        .site
        .store
        .fail(|_, _| Some(StoreError::Unavailable("down".to_owned())));
    assert_eq!(known().await, "Europe/Berlin");
    world.clock.advance(SignedDuration::from_secs(2));
    assert!(deaf.of(site.id).await.is_err());
}
