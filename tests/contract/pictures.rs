//! The contract of pictures of punches and of unknown faces.

use jiff::Timestamp;
use rollcall::{
    domain::{
        attendance::PunchSource,
        ids::{PictureId, PunchId},
    },
    ports::{Page, PictureKind, Pictured, StoreError, StoredPicture, Stores},
};
use uuid::Uuid;

use crate::records::*;

fn of_punch(employee: rollcall::domain::ids::EmployeeId) -> Pictured {
    Pictured::Punch {
        punch: PunchId::new(Uuid::now_v7()),
        employee,
    }
}

async fn listed(stores: &Stores, kind: PictureKind) -> Vec<StoredPicture> {
    stores.pictures.list(kind, &first(100)).await.unwrap()
}

pub async fn pictures_come_back_until_deleted(stores: &Stores) {
    let (ann, bob) = (employee_id(), employee_id());
    let mut unknown = picture(Pictured::Unknown, 3);
    unknown.source = PunchSource::Camera;
    let all = [
        picture(of_punch(ann), 1),
        picture(of_punch(ann), 2),
        picture(of_punch(bob), 2),
        unknown,
        picture(Pictured::Unknown, 3),
    ];
    for picture in &all {
        stores.pictures.insert(picture).await.unwrap();
        let again = stores.pictures.insert(picture).await;
        assert_eq!(again, Err(StoreError::Conflict));
    }
    for picture in &all {
        let found = stores.pictures.find(picture.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(picture));
        if let Pictured::Punch { punch, .. } = picture.of {
            let found = stores.pictures.of_punch(punch).await.unwrap();
            assert_eq!(found.as_ref(), Some(picture));
        }
    }
    // Another one of the same punch is refused, whoever is said to be in it.
    let second = picture(all[0].of, 9);
    assert_eq!(
        stores.pictures.insert(&second).await,
        Err(StoreError::Conflict)
    );
    assert_eq!(stores.pictures.find(second.id).await, Ok(None));

    assert_eq!(stores.pictures.delete_of(ann).await, Ok(2));
    assert_eq!(stores.pictures.delete_of(ann).await, Ok(0));
    assert_eq!(stores.pictures.find(all[0].id).await, Ok(None));
    assert_eq!(listed(stores, PictureKind::Punch).await, all[2..3]);
    // A punch whose picture was deleted may have one again.
    stores.pictures.insert(&second).await.unwrap();
    assert_eq!(stores.pictures.delete(second.id).await, Ok(true));

    assert_eq!(stores.pictures.delete(all[3].id).await, Ok(true));
    assert_eq!(stores.pictures.delete(all[3].id).await, Ok(false));
    assert_eq!(listed(stores, PictureKind::Unknown).await, all[4..]);
}

pub async fn pictures_are_listed_by_kind_newest_first(stores: &Stores) {
    let ann = employee_id();
    let mut unknown = Vec::new();
    for moment in [5, 1, 1, 4, 1, 9, -3] {
        let picture = picture(Pictured::Unknown, moment);
        stores.pictures.insert(&picture).await.unwrap();
        unknown.push(picture);
    }
    let punched = picture(of_punch(ann), 2);
    stores.pictures.insert(&punched).await.unwrap();
    unknown.sort_by_key(|one| std::cmp::Reverse((one.at, one.id)));
    assert_eq!(listed(stores, PictureKind::Unknown).await, unknown);
    assert_eq!(listed(stores, PictureKind::Punch).await, [punched]);
    let (mut found, mut page): (Vec<StoredPicture>, Page<(Timestamp, PictureId)>) =
        (Vec::new(), first(2));
    loop {
        let list = stores.pictures.list(PictureKind::Unknown, &page).await;
        let list = list.unwrap();
        let Some(last) = list.last() else { break };
        assert!(list.len() <= 2);
        page = after((last.at, last.id), 2);
        found.extend(list);
    }
    assert_eq!(found, unknown);
}

pub async fn pictures_of_a_kind_go_when_they_are_old(stores: &Stores) {
    let ann = employee_id();
    for moment in 0..6 {
        for of in [of_punch(ann), Pictured::Unknown] {
            let picture = picture(of, moment);
            stores.pictures.insert(&picture).await.unwrap();
        }
    }
    let left = async || {
        let (punched, unknown) = (PictureKind::Punch, PictureKind::Unknown);
        (
            listed(stores, punched).await.len(),
            listed(stores, unknown).await.len(),
        )
    };
    let pictures = &stores.pictures;
    assert_eq!(pictures.purge(PictureKind::Punch, at(0)).await, Ok(0));
    assert_eq!(pictures.purge(PictureKind::Punch, at(4)).await, Ok(4));
    assert_eq!(left().await, (2, 6));
    let far = Timestamp::MIN;
    assert_eq!(pictures.purge(PictureKind::Unknown, far).await, Ok(0));
    let all = Timestamp::MAX;
    assert_eq!(pictures.purge(PictureKind::Unknown, all).await, Ok(6));
    assert_eq!(left().await, (2, 0));
    assert_eq!(pictures.delete_of(ann).await, Ok(2));
}
