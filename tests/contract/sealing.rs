//! The contract of sealing anew: only what is still as it was read, and with everything else of it
//! as it is.

use rollcall::{
    clock::SystemClock,
    domain::biometrics::{Embedding, ModelId},
    ports::{Pictured, RecordKind, StoredRecord, Stores},
    service::sealing::{Resealed, reseal},
    vault::Vault,
};
use zeroize::Zeroizing;

use crate::{
    records::*,
    site::{all, fill, site_with},
};

pub async fn what_is_sealed_is_replaced_only_as_it_was(stores: &Stores) {
    fill(stores, &site_with(3).records).await;
    let before = [
        all(stores, RecordKind::Template).await,
        all(stores, RecordKind::Photo).await,
        all(stores, RecordKind::Picture).await,
    ];
    let (mut template, mut photo, mut picture) = (None, None, None);
    for record in before.iter().flatten() {
        match record {
            StoredRecord::Template(one) => template = Some(one.clone()),
            StoredRecord::Photo(one) => photo = Some(one.clone()),
            StoredRecord::Picture(one) => picture = Some(one.clone()),
            other => panic!("{other:?}"),
        }
    }
    let (template, photo) = (template.unwrap(), photo.unwrap());
    let picture = picture.unwrap();
    let mut anew = sealed(77, 4000);
    anew.key_id = "new".to_owned();
    let templates = &stores.templates;
    assert!(templates.reseal(&template, &anew).await.unwrap());
    assert!(templates.reseal_photo(&photo, &anew).await.unwrap());
    assert!(stores.pictures.reseal(&picture, &anew).await.unwrap());
    // Nothing but the sealing of those is another one.
    let mut resealed = before.concat();
    for record in &mut resealed {
        match record {
            StoredRecord::Template(one) if one.id == template.id => one.sealed = anew.clone(),
            StoredRecord::Photo(one) if one.id == photo.id => one.sealed = anew.clone(),
            StoredRecord::Picture(one) if one.id == picture.id => one.sealed = anew.clone(),
            _ => {}
        }
    }
    let now = async || {
        let photos = all(stores, RecordKind::Photo).await;
        let pictures = all(stores, RecordKind::Picture).await;
        [all(stores, RecordKind::Template).await, photos, pictures].concat()
    };
    assert_eq!(now().await, resealed);
    let of_employee = templates.of_employee(template.employee).await.unwrap();
    assert!(of_employee.iter().any(|one| one.sealed == anew));
    let listed = templates.list(&template.model, &first(100)).await.unwrap();
    assert!(listed.iter().any(|one| one.sealed == anew));
    let photos = templates.photos_of(photo.employee).await.unwrap();
    assert!(photos.iter().any(|one| one.sealed == anew));

    // Somebody else was first, or it was deleted.
    let late = sealed(78, 10);
    assert!(!templates.reseal(&template, &late).await.unwrap());
    assert!(!templates.reseal_photo(&photo, &late).await.unwrap());
    assert!(!stores.pictures.reseal(&picture, &late).await.unwrap());
    assert_eq!(now().await, resealed);
    for one in [template.employee, photo.employee] {
        templates.delete_of(one).await.unwrap();
    }
    assert!(stores.pictures.delete(picture.id).await.unwrap());
    let (mut template, mut photo, mut picture) = (template, photo, picture);
    for sealed in [&mut template.sealed, &mut photo.sealed, &mut picture.sealed] {
        *sealed = anew.clone();
    }
    assert!(!stores.pictures.reseal(&picture, &late).await.unwrap());
    assert_eq!(stores.pictures.find(picture.id).await, Ok(None));
    assert!(!templates.reseal(&template, &late).await.unwrap());
    assert!(!templates.reseal_photo(&photo, &late).await.unwrap());
    assert!(
        templates
            .of_employee(template.employee)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        templates
            .photos_of(photo.employee)
            .await
            .unwrap()
            .is_empty()
    );
}

pub async fn everything_is_sealed_anew_and_opens(stores: &Stores) {
    let (old, new) = (Zeroizing::new([1; 32]), Zeroizing::new([2; 32]));
    let before = Vault::new(&old, &[]);
    let model = ModelId::new("space");
    let people: Vec<_> = (0..4).map(|_| employee_id()).collect();
    let face = |number: usize| Embedding::normalise(vec![1.0, number as f32]).unwrap();
    for (number, &person) in people.iter().enumerate() {
        let nonce = |place: u8| [number as u8 * 4 + place; 12];
        let mut both = [template(person, 0), template(person, 1)];
        for (one, place) in both.iter_mut().zip(0..) {
            let sealed = before.seal_embedding(nonce(place), person, &model, &face(number));
            one.sealed = sealed.unwrap();
        }
        let mut kept = photo(person, 0, 1);
        kept.sealed = before.seal_photo(nonce(2), person, b"jpeg").unwrap();
        stores.templates.insert(&both, &[kept]).await.unwrap();
    }
    let mut unknown = picture(Pictured::Unknown, 1);
    let sealed = before.seal_picture([99; 12], unknown.id, unknown.of, b"png");
    unknown.sealed = sealed.unwrap();
    stores.pictures.insert(&unknown).await.unwrap();
    // One that nobody can open.
    let lost = template(employee_id(), 9);
    stores
        .templates
        .insert(std::slice::from_ref(&lost), &[])
        .await
        .unwrap();

    let both = Vault::new(&new, &[old]);
    let pass = async || reseal(stores, &both, &SystemClock, |_| ()).await.unwrap();
    let first = Resealed {
        done: 13,
        unopened: 1,
        gone: 0,
    };
    assert_eq!(pass().await, first);
    assert_eq!(pass().await, Resealed { done: 0, ..first });
    let after = Vault::new(&new, &[]);
    for (number, &person) in people.iter().enumerate() {
        let templates = stores.templates.of_employee(person).await.unwrap();
        assert_eq!(templates.len(), 2);
        for one in templates {
            let opened = after.open_embedding(&one.sealed, person, &model).unwrap();
            let same = opened.similarity(&face(number)).unwrap();
            assert!(same.value() > 0.999_9);
        }
        let photos = stores.templates.photos_of(person).await.unwrap();
        let opened = after.open_photo(&photos[0].sealed, person).unwrap();
        assert_eq!(opened.as_slice(), b"jpeg");
    }
    let shown = stores.pictures.find(unknown.id).await.unwrap().unwrap();
    assert_eq!(after.open_picture(&shown).unwrap().as_slice(), b"png");
    let kept = stores.templates.of_employee(lost.employee).await.unwrap();
    assert_eq!(kept, [lost]);
}
