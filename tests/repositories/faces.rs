//! Enrolled faces and photos: a face is one record, no change is lost, and the list of changes is
//! complete.

use std::collections::BTreeSet;

use futures::{TryStreamExt, future::join_all};
use rollcall::{
    domain::{
        accounts::Actor,
        biometrics::{ModelId, Views},
        faces::{EnrolledFace, FaceEnrollment},
    },
    repositories::Repositories,
};

use crate::records::{at, consent, employee_id, face, photo, template};

pub async fn a_face_is_kept_until_it_is_deleted(stores: &Repositories) {
    let (ann, bob) = (employee_id(), employee_id());
    let faces = &stores.faces;
    assert_eq!(faces.find(ann).await, Ok(None));
    let mut enrolled = face(ann, 10, 5);
    let inner = enrolled.face.as_mut().unwrap();
    inner.templates[3].views = Views::Pair;
    inner.templates[4].model = ModelId::new("other:* {$gt} space");
    inner.templates[5].sealed.ciphertext.clear();
    inner.look_alikes = vec![bob];
    let written = faces.change(ann, at(5), |old| {
        assert_eq!((old.employee, &old.face), (ann, &None));
        Some(enrolled.clone())
    });
    assert_eq!(written.await, Ok(Some(enrolled.clone())));
    let of_bob = face(bob, 1, 6);
    let written = faces.change(bob, at(6), |_| Some(of_bob.clone()));
    assert_eq!(written.await, Ok(Some(of_bob.clone())));
    assert_eq!(faces.find(ann).await, Ok(Some(enrolled.clone())));
    let found = faces.find_many(&[bob, employee_id(), ann]).await;
    assert_eq!(found, Ok(vec![of_bob.clone(), enrolled.clone()]));

    // A change that returns `None` leaves it unchanged.
    let left = faces.change(ann, at(9), |old| {
        assert_eq!(old, enrolled);
        None
    });
    assert_eq!(left.await, Ok(None));
    assert_eq!(faces.find(ann).await, Ok(Some(enrolled)));

    assert_eq!(faces.forget(ann, at(10)).await, Ok(10));
    let empty = FaceEnrollment::none(ann, at(10));
    assert_eq!(faces.find(ann).await, Ok(Some(empty)));
    assert_eq!(faces.forget(ann, at(11)).await, Ok(0));
    let unknown = employee_id();
    assert_eq!(faces.forget(unknown, at(12)).await, Ok(0));
    assert_eq!(faces.find(unknown).await, Ok(None));
    assert_eq!(faces.find(bob).await, Ok(Some(of_bob)));
}

pub async fn each_change_of_a_face_is_later_than_the_one_before(stores: &Repositories) {
    let ann = employee_id();
    let changed = async |moment| {
        let enrolled = |_| Some(face(ann, 0, 0));
        let changed = stores.faces.change(ann, at(moment), enrolled).await;
        changed.unwrap().unwrap().changed_at
    };
    assert_eq!(changed(100).await, at(100));
    // The clock of another instance is behind.
    assert_eq!(changed(7).await, at(101));
    assert_eq!(changed(101).await, at(102));
    assert_eq!(changed(500).await, at(500));
    assert_eq!(stores.faces.touch(ann, at(8)).await, Ok(()));
    let found = stores.faces.read(ann).await.unwrap().unwrap();
    assert_eq!((found.changed_at, found.revision()), (at(501), 5));
}

pub async fn of_many_changes_of_a_face_none_is_lost(stores: &Repositories) {
    // With more writers, some would give up after too many lost attempts.
    const WRITERS: i64 = 8;
    const CHANGES: i64 = 4;
    let ann = employee_id();
    let writers = (0..WRITERS).map(|writer| {
        let faces = stores.faces.clone();
        tokio::spawn(async move {
            for number in 0..CHANGES {
                let added = template(writer * CHANGES + number);
                let add = |mut old: FaceEnrollment| {
                    let face = old.face.get_or_insert_with(|| EnrolledFace {
                        consent: consent(Actor::System),
                        templates: Vec::new(),
                        look_alikes: Vec::new(),
                    });
                    face.templates.push(added.clone());
                    Some(old)
                };
                faces.change(ann, at(0), add).await.unwrap().unwrap();
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    let found = stores.faces.read(ann).await.unwrap().unwrap();
    let made = found.templates().iter().map(|one| one.created_at);
    let made: BTreeSet<_> = made.collect();
    assert_eq!(made, (0..WRITERS * CHANGES).map(at).collect());
    assert_eq!(found.revision(), (WRITERS * CHANGES) as u64);
    assert_eq!(found.changed_at, at(WRITERS * CHANGES - 1));
}

pub async fn faces_changed_since_a_moment_are_listed_oldest_first(stores: &Repositories) {
    let (ann, bob, cid) = (employee_id(), employee_id(), employee_id());
    let faces = &stores.faces;
    for (employee, moment) in [(ann, 10), (bob, 20), (ann, 30)] {
        let enrolled = |_| Some(face(employee, 0, 0));
        faces.change(employee, at(moment), enrolled).await.unwrap();
    }
    let since = async |moment| {
        let changed = faces.changed_since(at(moment)).await.unwrap();
        let changed = changed.iter().map(|one| (one.employee, one.changed_at));
        changed.collect::<Vec<_>>()
    };
    let both = [(bob, at(20)), (ann, at(30))];
    assert_eq!(since(0).await, both);
    assert_eq!(since(20).await, both);
    assert_eq!(since(21).await, both[1..]);
    assert_eq!(since(31).await, []);
    // A change elsewhere counts only for employees with a face.
    faces.touch(bob, at(40)).await.unwrap();
    faces.touch(cid, at(50)).await.unwrap();
    assert_eq!(since(0).await, [(ann, at(30)), (bob, at(40))]);
    faces.forget(ann, at(60)).await.unwrap();
    assert_eq!(since(41).await, [(ann, at(60))]);
    // It is noticed once that there is no face anymore.
    faces.forget(ann, at(70)).await.unwrap();
    faces.touch(ann, at(80)).await.unwrap();
    assert_eq!(since(61).await, []);

    // More than fit on a page, some at the same moment.
    let many: Vec<_> = (0..250)
        .map(|number| face(employee_id(), 0, 100 + number / 2))
        .collect();
    for one in many.iter().rev() {
        faces
            .change(one.employee, one.changed_at, |_| Some(one.clone()))
            .await
            .unwrap();
    }
    let mut expected: Vec<_> = many
        .iter()
        .map(|one| (one.employee, one.changed_at))
        .collect();
    expected.sort_by_key(|(employee, moment)| (*moment, *employee));
    assert_eq!(since(100).await, expected);
    let pages: Vec<_> = faces.pages().try_concat().await.unwrap();
    let paged: Vec<_> = pages
        .iter()
        .map(|one| (one.employee, one.revision()))
        .collect();
    assert_eq!(paged.len(), many.len() + 2);
    assert_eq!(faces.revisions().await, Ok(paged));
}

pub async fn photos_are_kept_until_they_are_deleted(stores: &Repositories) {
    let (ann, bob) = (employee_id(), employee_id());
    let photos = &stores.photos;
    let (newer, older) = (photo(ann, 9, 3_000_000), photo(ann, 2, 1));
    let rest: Vec<_> = (10..14).map(|moment| photo(ann, moment, 10)).collect();
    let of_bob = photo(bob, 1, 10);
    for one in [&newer, &older, &of_bob]
        .into_iter()
        .chain(rest.iter().rev())
    {
        photos.insert(one).await.unwrap();
    }
    let mut of_ann = vec![older.clone(), newer];
    of_ann.extend(rest);
    assert_eq!(photos.list_by_employee(ann).await, Ok(of_ann.clone()));
    assert_eq!(photos.count_by_employee(ann).await, Ok(6));
    assert_eq!(photos.count_by_employee(employee_id()).await, Ok(0));
    let pages: Vec<_> = photos.pages().try_concat().await.unwrap();
    assert_eq!(pages.len(), 7);
    assert!(pages.iter().all(|one| one.sealed.ciphertext.is_empty()));

    assert_eq!(photos.delete(older.id).await, Ok(true));
    assert_eq!(photos.delete(older.id).await, Ok(false));
    assert_eq!(photos.list_by_employee(ann).await, Ok(of_ann[1..].to_vec()));
    assert_eq!(photos.delete_by_employee(ann).await, Ok(5));
    assert_eq!(photos.delete_by_employee(ann).await, Ok(0));
    assert_eq!(photos.list_by_employee(ann).await, Ok(vec![]));
    assert_eq!(photos.list_by_employee(bob).await, Ok(vec![of_bob]));
}
