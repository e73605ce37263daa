//! Cameras: a stream belongs to one camera until it is removed, no concurrent change is
//! overwritten, and a status report is separate from its camera.

use jiff::civil::time;
use rollcall::{
    domain::{
        cameras::{
            Camera, CameraState, CameraStatus, Direction, LookEvery, Presence, VisitGap, WatchHours,
        },
        grants::Reach,
        ids::{CameraId, SiteId},
        text::{Email, StreamName},
    },
    ports::StoreError,
    repositories::Repositories,
};
use uuid::Uuid;

use crate::{
    pages::all_pages,
    races::{one_wins, race},
    records::{at, camera, camera_id, employee_id, name, site_id},
};

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

fn presence(moment: i64) -> Presence {
    Presence {
        employee: employee_id(),
        last: at(moment + 3),
    }
}

fn status(state: CameraState, cause: Option<&str>, moment: i64) -> CameraStatus {
    CameraStatus {
        state,
        cause: cause.map(str::to_owned),
        since: at(moment),
        reported_at: at(moment + 7),
        present: cause.map(|_| presence(moment)).into_iter().collect(),
    }
}

/// Returns a camera in which no setting has its default.
fn peculiar(stream: &str) -> Camera {
    Camera {
        name: name("{\"$gt\":\"\"} Ünïcödé 👩🏽‍🚀"),
        site: site_id(),
        direction: Direction::Out,
        hours: Some(WatchHours {
            from: time(22, 30, 0, 0),
            to: time(6, 0, 0, 0),
            days: vec![7, 1],
        }),
        every: LookEvery::new(10_000).unwrap(),
        visit: VisitGap::new(86_400).unwrap(),
        active: false,
        viewers: Some(vec![email("ann@example.org"), email("ben@example.org")]),
        ..camera(stream)
    }
}

pub async fn cameras_are_read_as_written(stores: &Repositories) {
    let cameras = &stores.cameras;
    assert_eq!(cameras.find(camera_id()).await, Ok(None));
    let mut removed = peculiar("gone");
    removed.removed_at = Some(at(9));
    let mut many = [camera("door"), peculiar("Yard_2-b"), removed];
    many.sort_by_key(|one| one.id);
    for one in &many {
        cameras.insert(one).await.unwrap();
        assert_eq!(cameras.find(one.id).await, Ok(Some(one.clone())));
        assert_eq!(cameras.insert(one).await, Err(StoreError::Conflict));
    }
    let mut wanted: Vec<_> = (0..1000).map(|_| camera_id()).collect();
    wanted.extend(many.iter().map(|one| one.id));
    wanted.push(many[0].id);
    let mut found = cameras.find_many(&wanted).await.unwrap();
    assert_eq!(found.pop().as_ref(), Some(&many[0]), "requested twice");
    assert_eq!(found, many);
    assert_eq!(cameras.find_many(&[]).await, Ok(vec![]));
}

pub async fn a_stream_belongs_to_one_camera_until_it_is_removed(stores: &Repositories) {
    let cameras = &stores.cameras;
    let door = camera("door");
    cameras.insert(&door).await.unwrap();
    let twin = camera("door");
    assert_eq!(cameras.insert(&twin).await, Err(StoreError::Conflict));
    assert_eq!(cameras.find(twin.id).await, Ok(None));
    // go2rtc distinguishes case.
    let loud = camera("Door");
    cameras.insert(&loud).await.unwrap();

    let mut moved = loud.clone();
    moved.stream = StreamName::parse("door").unwrap();
    let refused = cameras.exchange(&loud, &moved).await;
    assert_eq!(refused, Err(StoreError::Conflict));
    assert_eq!(cameras.find(loud.id).await, Ok(Some(loud.clone())));
    assert_eq!(
        cameras.exchange(&door, &door).await,
        Ok(true),
        "its own stream"
    );

    let mut removed = door.clone();
    removed.removed_at = Some(at(5));
    assert_eq!(cameras.exchange(&door, &removed).await, Ok(true));
    assert_eq!(cameras.find(door.id).await, Ok(Some(removed.clone())));
    assert_eq!(
        cameras.exchange(&loud, &moved).await,
        Ok(true),
        "the stream is free"
    );
    let back = cameras.exchange(&removed, &door).await;
    assert_eq!(back, Err(StoreError::Conflict));
    // Several removed cameras may have had the same stream.
    for _ in 0..2 {
        let mut old = camera("door");
        old.removed_at = Some(at(6));
        cameras.insert(&old).await.unwrap();
    }
}

pub async fn of_many_cameras_with_one_stream_one_is_added(stores: &Repositories) {
    let answers = race(|_| {
        let cameras = stores.cameras.clone();
        async move { cameras.insert(&camera("door")).await }
    });
    one_wins(&answers.await);
}

pub async fn a_camera_is_replaced_only_as_it_was_read(stores: &Repositories) {
    let cameras = &stores.cameras;
    let unknown = camera("unknown");
    assert_eq!(cameras.exchange(&unknown, &unknown).await, Ok(false));
    assert_eq!(cameras.find(unknown.id).await, Ok(None));

    let mut old = peculiar("door");
    cameras.insert(&old).await.unwrap();
    let changes: [fn(&mut Camera); 14] = [
        |one| one.name = name("Door"),
        |one| one.stream = StreamName::parse("door_2").unwrap(),
        |one| one.site = SiteId::DEFAULT,
        |one| one.direction = Direction::Auto,
        |one| one.hours.as_mut().unwrap().days = Vec::new(),
        |one| one.hours.as_mut().unwrap().to = time(7, 0, 0, 0),
        |one| one.hours = None,
        |one| one.every = LookEvery::default(),
        |one| one.visit = VisitGap::default(),
        |one| one.active = true,
        |one| one.viewers.as_mut().unwrap().truncate(1),
        |one| one.viewers = Some(Vec::new()),
        |one| one.viewers = None,
        |one| one.removed_at = Some(at(5)),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut new = old.clone();
        change(&mut new);
        assert_eq!(cameras.exchange(&old, &new).await, Ok(true), "{number}");
        // Another change that is based on the old record.
        let mut stale = old.clone();
        stale.name = name("Gate");
        assert_eq!(cameras.exchange(&old, &stale).await, Ok(false), "{number}");
        assert_eq!(cameras.find(old.id).await, Ok(Some(new.clone())));
        old = new;
    }
}

pub async fn cameras_are_listed_page_by_page_until_they_are_removed(stores: &Repositories) {
    let mut made = Vec::new();
    let north = site_id();
    for number in 0..5 {
        let mut one = camera(&format!("stream{number}"));
        if number == 4 {
            one.site = north;
        }
        stores.cameras.insert(&one).await.unwrap();
        made.push(one);
    }
    let mut removed = made.remove(2);
    let old = removed.clone();
    removed.removed_at = Some(at(9));
    assert_eq!(stores.cameras.exchange(&old, &removed).await, Ok(true));
    for limit in [1, 2, 100] {
        let list = async |page| stores.cameras.list(&Reach::Everything, None, &page).await;
        let listed = all_pages(limit, list, |one| one.id).await;
        assert_eq!(listed, made, "pages of {limit}");
        let list = async |page| {
            stores
                .cameras
                .list(&Reach::Everything, Some(north), &page)
                .await
        };
        let listed = all_pages(limit, list, |one| one.id).await;
        assert_eq!(listed, made[3..], "pages of {limit}");
    }
}

pub async fn a_report_of_a_camera_replaces_the_last_one(stores: &Repositories) {
    let cameras = &stores.cameras;
    let (door, gate) = (camera("door"), camera("gate"));
    for one in [&door, &gate] {
        cameras.insert(one).await.unwrap();
    }
    let both = [door.id, gate.id, CameraId::new(Uuid::now_v7())];
    assert_eq!(cameras.statuses(&both).await, Ok(vec![]));
    for (number, state) in CameraState::ALL.into_iter().enumerate() {
        let cause = (state != CameraState::Live).then_some("{\"$gt\": 1} – nothing comes");
        let reported = status(state, cause, number as i64);
        cameras.report(door.id, &reported).await.unwrap();
        let found = cameras.statuses(&both).await;
        assert_eq!(found, Ok(vec![(door.id, reported)]));
    }
    let dark = status(CameraState::Dark, Some("dark"), 60);
    cameras.report(gate.id, &dark).await.unwrap();
    assert_eq!(cameras.statuses(&both).await.unwrap().len(), 2);
    assert_eq!(cameras.statuses(&[]).await, Ok(vec![]));
    // It is not part of the camera.
    assert_eq!(cameras.find(gate.id).await, Ok(Some(gate.clone())));
    assert_eq!(cameras.find_many(&[door.id]).await, Ok(vec![door]));
}
