//! The contract of cameras: a stream belongs to one until it is removed, nobody undoes what
//! somebody else changed, and what is noted of one is not part of it.

use futures::future::join_all;
use jiff::civil::time;
use rollcall::{
    domain::{
        cameras::{
            Camera, CameraState, CameraStatus, Direction, LookEvery, Presence, VisitGap, WatchHours,
        },
        ids::CameraId,
        text::{Email, StreamName},
    },
    ports::*,
};
use uuid::Uuid;

use crate::{
    records::{after, at, camera, camera_id, employee_id, first, name, site},
    site::all,
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
        told_at: at(moment + 7),
        present: cause.map(|_| presence(moment)).into_iter().collect(),
    }
}

/// One in which nothing is as usual.
fn peculiar(stream: &str) -> Camera {
    Camera {
        name: name("{\"$gt\":\"\"} Ünïcödé 👩🏽‍🚀"),
        site: Some(site(r#"{"$ne":1}"#)),
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

pub async fn cameras_come_back_as_they_were(stores: &Stores) {
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
    found.sort_by_key(|one| one.id);
    assert_eq!(found, many);
    assert_eq!(cameras.find_many(&[]).await, Ok(vec![]));
}

pub async fn a_stream_belongs_to_one_camera_until_removal(stores: &Stores) {
    let cameras = &stores.cameras;
    let door = camera("door");
    cameras.insert(&door).await.unwrap();
    let twin = camera("door");
    assert_eq!(cameras.insert(&twin).await, Err(StoreError::Conflict));
    assert_eq!(cameras.find(twin.id).await, Ok(None));
    // go2rtc tells cases apart.
    let loud = camera("Door");
    cameras.insert(&loud).await.unwrap();

    let mut moved = loud.clone();
    moved.stream = StreamName::parse("door").unwrap();
    let refused = cameras.update(&loud, &moved).await;
    assert_eq!(refused, Err(StoreError::Conflict));
    assert_eq!(cameras.find(loud.id).await, Ok(Some(loud.clone())));
    assert_eq!(cameras.update(&door, &door).await, Ok(true), "its own");

    let mut removed = door.clone();
    removed.removed_at = Some(at(5));
    assert_eq!(cameras.update(&door, &removed).await, Ok(true));
    assert_eq!(cameras.find(door.id).await, Ok(Some(removed.clone())));
    assert_eq!(cameras.update(&loud, &moved).await, Ok(true), "it is free");
    let back = cameras.update(&removed, &door).await;
    assert_eq!(back, Err(StoreError::Conflict));
    // Any number of removed ones may have had the same stream.
    for _ in 0..2 {
        let mut old = camera("door");
        old.removed_at = Some(at(6));
        cameras.insert(&old).await.unwrap();
    }
}

pub async fn of_many_who_want_a_stream_one_gets_it(stores: &Stores) {
    let tries = (0..20).map(|_| {
        let cameras = stores.cameras.clone();
        tokio::spawn(async move { cameras.insert(&camera("door")).await })
    });
    let tried: Vec<_> = join_all(tries)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let lost = |tried: &&Result<_, _>| **tried == Err(StoreError::Conflict);
    assert_eq!(
        tried.iter().filter(|one| one.is_ok()).count(),
        1,
        "{tried:?}"
    );
    assert_eq!(tried.iter().filter(lost).count(), 19, "{tried:?}");
}

pub async fn a_camera_is_changed_only_as_it_was(stores: &Stores) {
    let cameras = &stores.cameras;
    let nobody = camera("nobody");
    assert_eq!(cameras.update(&nobody, &nobody).await, Ok(false));
    assert_eq!(cameras.find(nobody.id).await, Ok(None));

    let mut was = peculiar("door");
    cameras.insert(&was).await.unwrap();
    let changes: [fn(&mut Camera); 14] = [
        |one| one.name = name("Door"),
        |one| one.stream = StreamName::parse("door_2").unwrap(),
        |one| one.site = None,
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
        let mut is = was.clone();
        change(&mut is);
        assert_eq!(cameras.update(&was, &is).await, Ok(true), "{number}");
        // Who read it before wants it otherwise.
        let mut stale = was.clone();
        stale.name = name("Gate");
        assert_eq!(cameras.update(&was, &stale).await, Ok(false), "{number}");
        assert_eq!(cameras.find(was.id).await, Ok(Some(is.clone())));
        was = is;
    }
}

pub async fn cameras_are_listed_page_by_page_until_removed(stores: &Stores) {
    let mut made = Vec::new();
    for number in 0..5 {
        let one = camera(&format!("stream{number}"));
        stores.cameras.insert(&one).await.unwrap();
        made.push(one);
    }
    let mut removed = made.remove(2);
    let was = removed.clone();
    removed.removed_at = Some(at(9));
    assert_eq!(stores.cameras.update(&was, &removed).await, Ok(true));
    for limit in [1, 2, 100] {
        let (mut listed, mut page) = (Vec::new(), first(limit));
        loop {
            let items = stores.cameras.list(&page).await.unwrap();
            assert!(items.len() <= limit);
            let Some(last) = items.last() else { break };
            page = after(last.id, limit);
            listed.extend(items);
        }
        assert_eq!(listed, made, "pages of {limit}");
    }
}

pub async fn what_is_noted_of_a_camera_replaces_what_was(stores: &Stores) {
    let cameras = &stores.cameras;
    let (door, gate) = (camera("door"), camera("gate"));
    for one in [&door, &gate] {
        cameras.insert(one).await.unwrap();
    }
    let both = [door.id, gate.id, CameraId::new(Uuid::now_v7())];
    assert_eq!(cameras.statuses(&both).await, Ok(vec![]));
    for (number, state) in CameraState::ALL.into_iter().enumerate() {
        let cause = (state != CameraState::Live).then_some("{\"$gt\": 1} – nothing comes");
        let noted = status(state, cause, number as i64);
        cameras.note(door.id, &noted).await.unwrap();
        let told = cameras.statuses(&both).await;
        assert_eq!(told, Ok(vec![(door.id, noted)]));
    }
    let dark = status(CameraState::Dark, Some("dark"), 60);
    cameras.note(gate.id, &dark).await.unwrap();
    assert_eq!(cameras.statuses(&both).await.unwrap().len(), 2);
    assert_eq!(cameras.statuses(&[]).await, Ok(vec![]));
    // It is no part of the camera, and in no archive.
    assert_eq!(cameras.find(gate.id).await, Ok(Some(gate.clone())));
    let kept = all(stores, RecordKind::Camera).await;
    assert_eq!(kept, [door.into(), gate.into()]);
}
