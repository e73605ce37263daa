//! Key rotation: sealed parts are replaced only if the record is unchanged, and nothing else
//! changes.

use std::sync::Arc;

use rollcall::{
    clock::SystemClock,
    domain::{
        accounts::Actor,
        biometrics::{Embedding, ModelId},
        faces::{EnrolledFace, FaceEnrollment},
        ids::{AccountId, EmployeeId},
        pictures::{Picture, Pictured},
        sealed::Binding,
    },
    repositories::Repositories,
    service::{
        audit::Audit,
        key_rotation::{Resealed, reseal},
        sealed_faces::{Census, any, census, delete_all},
    },
    vault::Vault,
};
use zeroize::Zeroizing;

use crate::{
    installation::{all, fill, installation_with, overwrite},
    records::*,
    stores::memory,
};

fn key(byte: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new([byte; 32])
}

fn embedding(number: usize) -> Embedding {
    Embedding::normalize(vec![1.0, number as f32]).unwrap()
}

/// Four people with two templates and a photo each, and an unknown face, all sealed with one key.
struct Sealed {
    model: ModelId,
    people: Vec<EmployeeId>,
    unknown: Picture,
    /// An employee with a template that no key opens.
    lost: FaceEnrollment,
}

async fn sealed_in(stores: &Repositories, vault: &Vault) -> Sealed {
    let model = ModelId::new("space");
    let people: Vec<_> = (0..4).map(|_| employee_id()).collect();
    for (number, &person) in people.iter().enumerate() {
        let nonce = |place: u8| [number as u8 * 4 + place; 12];
        let mut face = face(person, 2, 0);
        let templates = &mut face.face.as_mut().unwrap().templates;
        for (one, place) in templates.iter_mut().zip(0..) {
            let sealed = vault.seal_embedding(nonce(place), person, &model, &embedding(number));
            one.sealed = sealed.unwrap();
        }
        overwrite(stores, &face).await;
        let mut kept = photo(person, 0, 1);
        kept.sealed = vault.seal_photo(nonce(2), person, b"jpeg").unwrap();
        stores.photos.insert(&kept).await.unwrap();
    }
    let mut unknown = picture(Pictured::Unknown, 1);
    let sealed = vault.seal_picture([99; 12], unknown.id, unknown.of, b"png");
    unknown.sealed = sealed.unwrap();
    stores.pictures.insert(&unknown).await.unwrap();
    let lost = face(employee_id(), 1, 9);
    overwrite(stores, &lost).await;
    Sealed {
        model,
        people,
        unknown,
        lost,
    }
}

on_each_store! { everything_is_sealed_again_and_opens }

async fn everything_is_sealed_again_and_opens(stores: &Repositories) {
    assert_eq!(any(stores).await, Ok(false));
    let before = Vault::new(&key(1), &[]);
    let sealed = sealed_in(stores, &before).await;
    assert_eq!(any(stores).await, Ok(true));
    let changed: Vec<_> = all::<FaceEnrollment>(stores).await;

    let both = Vault::new(&key(2), &[key(1)]);
    let counted = |older, vault| async move { (census(stores, vault).await.unwrap(), older) };
    let (found, older) = counted(14, Some(&both)).await;
    let wanted = Census {
        people: 5,
        unopened: 1,
        older,
        unopened_images: 0,
    };
    assert_eq!(found, wanted);
    let pass = async || reseal(stores, &both, &SystemClock, |_| ()).await.unwrap();
    let first = Resealed {
        done: 13,
        unopened: 1,
        changed_meanwhile: 0,
    };
    assert_eq!(pass().await, first);
    assert_eq!(pass().await, Resealed { done: 0, ..first });
    let (found, older) = counted(1, Some(&both)).await;
    assert_eq!(found, Census { older, ..wanted });
    let (found, older) = counted(0, None).await;
    let none = Census {
        unopened: 5,
        unopened_images: 5,
        older,
        ..wanted
    };
    assert_eq!(found, none);

    let after = Vault::new(&key(2), &[]);
    for (number, &person) in sealed.people.iter().enumerate() {
        let face = stores.faces.find(person).await.unwrap().unwrap();
        assert_eq!(face.templates().len(), 2);
        for one in face.templates() {
            let opened = after.open_embedding(&one.sealed, person, &sealed.model);
            let same = opened.unwrap().similarity(&embedding(number)).unwrap();
            assert!(same.value() > 0.999_9);
        }
        let photos = stores.photos.list_by_employee(person).await.unwrap();
        let opened = after.open_photo(&photos[0].sealed, person).unwrap();
        assert_eq!(opened.as_slice(), b"jpeg");
    }
    let shown = stores
        .pictures
        .find(sealed.unknown.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(after.open_picture(&shown).unwrap().as_slice(), b"png");
    let kept = stores.faces.find(sealed.lost.employee).await.unwrap();
    assert_eq!(kept, Some(sealed.lost));
    // Only the sealed parts have changed.
    let bare = |faces: Vec<FaceEnrollment>| {
        let bare = faces.into_iter().map(|mut face| {
            for template in &mut face.face.as_mut().unwrap().templates {
                template.sealed = crate::records::sealed(0, 0);
            }
            face
        });
        bare.collect::<Vec<_>>()
    };
    assert_eq!(bare(all(stores).await), bare(changed));
}

#[tokio::test]
async fn changes_during_key_rotation_are_kept() {
    let stores = memory();
    let before = Vault::new(&key(1), &[]);
    let sealed = sealed_in(&stores, &before).await;
    let both = Vault::new(&key(2), &[key(1)]);
    // After they were read, one employee is enrolled again and another one's face is deleted. This
    // happens when the rotation asks the clock for a nonce.
    struct Meddling {
        stores: Repositories,
        people: Vec<EmployeeId>,
    }
    impl rollcall::clock::Clock for Meddling {
        fn now(&self) -> jiff::Timestamp {
            SystemClock.now()
        }
        fn id(&self) -> uuid::Uuid {
            SystemClock.id()
        }
        fn secret(&self) -> [u8; 32] {
            let (stores, people) = (self.stores.clone(), self.people.clone());
            // The memory engine returns immediately.
            futures::executor::block_on(async {
                overwrite(&stores, &face(people[0], 3, 50)).await;
                stores.faces.forget(people[1], at(51)).await.unwrap();
                stores.photos.delete_by_employee(people[1]).await.unwrap();
            });
            SystemClock.secret()
        }
    }
    let clock = Meddling {
        stores: stores.clone(),
        people: sealed.people.clone(),
    };
    let resealed = reseal(&stores, &both, &clock, |_| ()).await.unwrap();
    assert!(resealed.changed_meanwhile > 0, "{resealed:?}");
    let first = stores.faces.find(sealed.people[0]).await.unwrap().unwrap();
    assert_eq!((first.templates().len(), first.changed_at), (3, at(50)));
    let second = stores.faces.find(sealed.people[1]).await.unwrap().unwrap();
    assert_eq!(second.face, None);
    let photos = stores.photos.list_by_employee(sealed.people[1]).await;
    assert_eq!(photos, Ok(Vec::new()));
}

#[tokio::test]
async fn faces_that_no_key_opens_can_be_deleted() {
    let stores = memory();
    let installation = installation_with(10);
    fill(&stores, &installation.records).await;
    // A consent without templates is also deleted.
    let waits = FaceEnrollment {
        face: Some(EnrolledFace {
            consent: consent(Actor::Operator),
            templates: Vec::new(),
            look_alikes: Vec::new(),
        }),
        ..FaceEnrollment::none(employee_id(), at(0))
    };
    overwrite(&stores, &waits).await;
    let audit = Audit::new(stores.audit.clone(), Arc::new(SystemClock));
    let people = delete_all(&stores, &audit, &SystemClock).await.unwrap();
    assert_eq!(
        people, 4,
        "Ann, Bob, the one without templates, and Cid, who has a picture"
    );
    assert_eq!(any(&stores).await, Ok(false));
    let faces = all::<FaceEnrollment>(&stores).await;
    assert_eq!(faces.len(), 4, "instances notice the deletion");
    assert!(faces.iter().all(|face| face.face.is_none()));
    assert_eq!(all::<Picture>(&stores).await, []);
}

#[tokio::test]
async fn secrets_of_one_time_codes_are_sealed_again_and_only_they_need_the_key() {
    let stores = memory();
    let (before, both) = (Vault::new(&key(1), &[]), Vault::new(&key(2), &[key(1)]));
    let id = AccountId::new(uuid::Uuid::now_v7());
    let binding = Binding::OneTimeCodes(id);
    let mut factors = second_factors(id, 3);
    let totp = factors.totp.as_mut().unwrap();
    totp.secret = before.seal([1; 12], b"secret", &binding).unwrap();
    overwrite(&stores, &factors).await;
    let pass = reseal(&stores, &both, &SystemClock, |_| ()).await.unwrap();
    assert_eq!((pass.done, pass.unopened), (1, 0));
    let found = stores.second_factors.of(id).await.unwrap();
    let sealed = found.totp.unwrap().secret;
    let after = Vault::new(&key(2), &[]);
    assert_eq!(after.open(&sealed, &binding).unwrap().as_slice(), b"secret");
    let other = Binding::OneTimeCodes(AccountId::new(uuid::Uuid::now_v7()));
    assert!(after.open(&sealed, &other).is_err());

    // The key is lost. Recovery codes and passkeys still protect the account.
    let audit = Audit::new(stores.audit.clone(), Arc::new(SystemClock));
    assert_eq!(delete_all(&stores, &audit, &SystemClock).await, Ok(0));
    assert_eq!(any(&stores).await, Ok(false));
    factors.totp = None;
    assert_eq!(stores.second_factors.of(id).await, Ok(factors));
}
