//! Templates that grow: clear punches improve them where the site and the person allow it, and no
//! look-alike takes over.

use jiff::SignedDuration;
use rollcall::{
    domain::{
        attendance::Origin, biometrics::Look, employees::CONSENT_VERSION, grants::Reach,
        ids::SiteId, sites::SiteSettings,
    },
    ports::Gallery,
    service::{
        employees::Person,
        face_punches::{Outcome, PunchRequest},
        sites::SiteError,
    },
};
use tokio_util::sync::CancellationToken;

use crate::world::{ADMIN, Instance, instance, samples};

async fn allow(world: &Instance, grow_templates: bool) {
    let changed = world.sites.change(ADMIN, SiteId::DEFAULT, |site| {
        Ok::<_, SiteError>(SiteSettings {
            grow_templates,
            ..site.settings.clone()
        })
    });
    changed.await.unwrap();
}

/// Punches a day later with a frame, and makes what is due. Returns the outcome.
async fn punch(world: &Instance, frame: &str) -> Outcome {
    world.clock.advance(SignedDuration::from_hours(24));
    let kiosk = world.kiosk().await;
    let request = PunchRequest {
        samples: samples(&[frame]),
        kind: None,
        capture: None,
        key: None,
        look: Look::FIRST,
        instead_of: None,
    };
    let outcome = world.punch(&kiosk, request).await.unwrap().outcome;
    let stop = CancellationToken::new();
    let work = world.growth.work(stop.clone());
    let until_idle = async {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        stop.cancel();
    };
    tokio::join!(work, until_idle);
    outcome
}

/// Returns the numbers of templates from photos and from punches.
async fn templates(world: &Instance, person: &Person) -> (usize, usize) {
    let face = world.face(person.id).await.unwrap();
    let grown = face.templates.iter().filter(|one| one.grown).count();
    (face.templates.len() - grown, grown)
}

#[tokio::test(start_paused = true)]
async fn a_clear_and_different_punch_becomes_a_template_until_there_are_enough() {
    let world = instance();
    let ann = world.enrolled("ann").await;
    allow(&world, true).await;
    let before = world.gallery.find(ann.id).unwrap();
    assert!(matches!(
        punch(&world, "ann~0.2#7").await,
        Outcome::Punched { .. }
    ));
    assert_eq!(templates(&world, &ann).await, (2, 1));
    assert_ne!(world.gallery.find(ann.id).unwrap(), before, "it is used");
    // The same face again adds nothing.
    punch(&world, "ann~0.2#7").await;
    assert_eq!(templates(&world, &ann).await, (2, 1));
    for frame in ["ann~0.2#8", "ann~0.2#9", "ann~0.2#10", "ann~0.2#11"] {
        punch(&world, frame).await;
    }
    assert_eq!(
        templates(&world, &ann).await,
        (2, 2),
        "never more than enrolled"
    );

    let deleted = world
        .employees
        .delete_grown_templates(&Reach::Everything, ADMIN, ann.id);
    assert_eq!(deleted.await.unwrap(), 2);
    assert_eq!(templates(&world, &ann).await, (2, 0));
    assert_eq!(world.gallery.find(ann.id).unwrap(), before);
}

#[tokio::test(start_paused = true)]
async fn nothing_grows_without_the_site_and_the_consent() {
    let world = instance();
    let ann = world.enrolled("ann").await;
    punch(&world, "ann~0.2#7").await;
    assert_eq!(templates(&world, &ann).await, (2, 0), "off by default");
    allow(&world, true).await;
    world
        .change_face(ann.id, |face| {
            "2026-11.4".clone_into(&mut face.consent.text);
        })
        .await;
    punch(&world, "ann~0.2#7").await;
    assert_eq!(templates(&world, &ann).await, (2, 0), "an older text");
    world
        .change_face(ann.id, |face| {
            CONSENT_VERSION.clone_into(&mut face.consent.text);
        })
        .await;
    punch(&world, "ann~0.2#7 width=50").await;
    assert_eq!(
        templates(&world, &ann).await,
        (2, 0),
        "too small for a template"
    );
    punch(&world, "ann~0.2#7").await;
    assert_eq!(templates(&world, &ann).await, (2, 1));
    world.clock.advance(SignedDuration::from_hours(-14));
    punch(&world, "ann~0.2#8").await;
    assert_eq!(templates(&world, &ann).await, (2, 1), "not twice a day");
}

/// A look-alike punches as Ann for months, with faces that come closer to their own step by step.
/// Although many of the punches are accepted, Ann stays the person who is recognized best, and
/// the look-alike's own face is accepted no more than on the first day.
#[tokio::test(start_paused = true)]
async fn a_look_alike_cannot_take_over() {
    let world = instance();
    let ann = world.enrolled("ann").await;
    allow(&world, true).await;
    let kiosk = Origin::Device(world.kiosk().await.id);
    let kiosk_accepts = async |frame: &str| {
        let ready = world.recognition.verify(ann.id, samples(&[frame]), kiosk);
        ready.await.unwrap()
    };
    let first_day = kiosk_accepts("ann~0.55#foe").await;
    let mut accepted = 0;
    for step in 0..60 {
        let distance = 0.2 + 0.35 * f64::from(step) / 60.0;
        let outcome = punch(&world, &format!("ann~{distance:.3}#foe")).await;
        accepted += usize::from(matches!(outcome, Outcome::Punched { .. }));
    }
    assert!(accepted > 20, "{accepted} punches were accepted");
    let (enrolled, grown) = templates(&world, &ann).await;
    assert!(enrolled == 2 && grown <= 2, "{enrolled} {grown}");
    let similarity = |verified| match verified {
        rollcall::service::recognition::Verification::Compared {
            same, similarity, ..
        } => (same, similarity.value()),
        other => panic!("{other:?}"),
    };
    let (was_same, _) = similarity(first_day);
    let (is_same, foe) = similarity(kiosk_accepts("ann~0.55#foe").await);
    let (still_ann, own) = similarity(kiosk_accepts("ann").await);
    assert!(!was_same && !is_same, "the own face of the look-alike");
    assert!(still_ann && own > foe + 0.05, "{own} {foe}");
}
