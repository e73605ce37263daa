//! Pictures of punches and of unknown faces.

use jiff::Timestamp;
use rollcall::{
    domain::{
        attendance::Origin,
        grants::Reach,
        ids::{EmployeeId, PunchId},
        pictures::{Picture, PictureKind, Pictured},
    },
    ports::StoreError,
    repositories::Repositories,
};
use uuid::Uuid;

use crate::{
    pages::all_pages,
    records::{at, camera_id, employee_id, first, picture},
};

/// Returns a picture as lists contain it.
fn without_image(picture: &Picture) -> Picture {
    let mut picture = picture.clone();
    picture.sealed.ciphertext.clear();
    picture
}

fn of_punch(employee: EmployeeId) -> Pictured {
    Pictured::Punch {
        punch: PunchId::new(Uuid::now_v7()),
        employee,
    }
}

async fn listed(stores: &Repositories, kind: PictureKind) -> Vec<Picture> {
    stores
        .pictures
        .list(&Reach::Everything, kind, &first(100))
        .await
        .unwrap()
}

pub async fn pictures_are_kept_until_they_are_deleted(stores: &Repositories) {
    let (ann, bob) = (employee_id(), employee_id());
    let mut unknown = picture(Pictured::Unknown, 3);
    unknown.origin = Origin::Camera(camera_id());
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
            let found = stores.pictures.find_by_punch(punch).await.unwrap();
            assert_eq!(found.as_ref(), Some(picture));
        }
    }
    // Another picture of the same punch is refused.
    let second = picture(all[0].of, 9);
    assert_eq!(
        stores.pictures.insert(&second).await,
        Err(StoreError::Conflict)
    );
    assert_eq!(stores.pictures.find(second.id).await, Ok(None));

    assert_eq!(stores.pictures.delete_by_employee(ann).await, Ok(2));
    assert_eq!(stores.pictures.delete_by_employee(ann).await, Ok(0));
    assert_eq!(stores.pictures.find(all[0].id).await, Ok(None));
    assert_eq!(
        listed(stores, PictureKind::Punch).await,
        [without_image(&all[2])]
    );
    // After its picture was deleted, a punch may have one again.
    stores.pictures.insert(&second).await.unwrap();
    assert_eq!(stores.pictures.delete(second.id).await, Ok(true));

    assert_eq!(stores.pictures.delete(all[3].id).await, Ok(true));
    assert_eq!(stores.pictures.delete(all[3].id).await, Ok(false));
    assert_eq!(
        listed(stores, PictureKind::Unknown).await,
        [without_image(&all[4])]
    );
}

pub async fn pictures_are_listed_by_kind_newest_first(stores: &Repositories) {
    let ann = employee_id();
    let mut unknown = Vec::new();
    for moment in [5, 1, 1, 4, 1, 9, -3] {
        let picture = picture(Pictured::Unknown, moment);
        stores.pictures.insert(&picture).await.unwrap();
        unknown.push(without_image(&picture));
    }
    let punched = picture(of_punch(ann), 2);
    stores.pictures.insert(&punched).await.unwrap();
    unknown.sort_by_key(|one| std::cmp::Reverse((one.at, one.id)));
    assert_eq!(listed(stores, PictureKind::Unknown).await, unknown);
    assert_eq!(
        listed(stores, PictureKind::Punch).await,
        [without_image(&punched)]
    );
    for limit in [1, 2, 7] {
        let list = async |page| {
            stores
                .pictures
                .list(&Reach::Everything, PictureKind::Unknown, &page)
                .await
        };
        let paged = all_pages(limit, list, |one| (one.at, one.id)).await;
        assert_eq!(paged, unknown, "pages of {limit}");
    }
}

pub async fn old_pictures_of_a_kind_are_purged(stores: &Repositories) {
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
    assert_eq!(pictures.delete_by_employee(ann).await, Ok(2));
}
