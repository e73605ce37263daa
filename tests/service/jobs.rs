//! Templates made anew from kept photos: whatever the engine and people do meanwhile.

use std::{sync::atomic::Ordering, time::Instant};

use jiff::SignedDuration;
use rollcall::{
    domain::{
        biometrics::ModelId,
        employees::Employee,
        jobs::{Job, JobState},
    },
    service::{
        audit::Audit,
        feed::Feed,
        jobs::{Jobs, ReembedResult, Runner},
    },
    storage::memory::MemoryBus,
};
use tokio_util::sync::CancellationToken;

use crate::world::{ADMIN, Instance, instance};

/// Somebody whose templates are of another model, as after a change of it.
async fn of_another_model(world: &Instance, name: &str) -> Employee {
    let employee = world.enrolled(name).await;
    let templates = &world.stores.templates;
    let mut old = templates.of_employee(employee.id).await.unwrap();
    let photos = templates.photos_of(employee.id).await.unwrap();
    templates.delete_of(employee.id).await.unwrap();
    for template in &mut old {
        template.model = ModelId::new("another");
    }
    templates.insert(&old, &photos).await.unwrap();
    world.references.refresh(employee.id).await.unwrap();
    employee
}

fn feed() -> Feed {
    Feed::new(std::sync::Arc::new(MemoryBus::default()))
}

fn jobs(world: &Instance) -> Jobs {
    let audit = Audit::new(world.stores.audit.clone(), world.clock.clone());
    let model = ModelId::new("scripted");
    Jobs::new(
        world.stores.clone(),
        model,
        audit,
        world.clock.clone(),
        feed(),
    )
}

/// Queues the job and does what is due, once; the job.
async fn reembed(world: &Instance) -> Job {
    let jobs = jobs(world);
    let job = jobs.reembed(ADMIN).await.unwrap();
    assert!(step(world).await);
    jobs.find(job.id).await.unwrap()
}

async fn step(world: &Instance) -> bool {
    let runner = Runner::new(
        world.stores.clone(),
        world.employees.clone(),
        world.enrolling.clone(),
        world.clock.clone(),
        feed(),
    );
    runner.step(&CancellationToken::new()).await.unwrap()
}

fn result(job: &Job) -> ReembedResult {
    serde_json::from_str(job.result.as_deref().unwrap()).unwrap()
}

#[tokio::test]
async fn a_busy_engine_is_waited_for() {
    let world = instance().await;
    let ann = of_another_model(&world, "ann").await;
    of_another_model(&world, "bob").await;
    assert_eq!(rollcall::ports::Gallery::people(&*world.gallery), 0);
    world.engine.busy.store(1, Ordering::SeqCst);
    let begin = Instant::now();
    let job = reembed(&world).await;
    assert!(begin.elapsed().as_millis() >= 1000, "kiosks go first");
    assert_eq!((job.state, job.attempts), (JobState::Done, 1));
    assert_eq!(result(&job).reembedded, 2);
    let found = world.stores.employees.find(ann.id).await.unwrap().unwrap();
    assert_eq!((found.templates, found.consent), (4, ann.consent));
    assert!(rollcall::ports::Gallery::find(&*world.gallery, ann.id).is_some());
    assert!(!step(&world).await, "nothing is left to do");
}

#[tokio::test]
async fn who_withdrew_consent_or_has_no_usable_photo_gets_no_template() {
    let world = instance().await;
    let gone = of_another_model(&world, "ann").await;
    let bad = of_another_model(&world, "bob").await;
    let inactive = of_another_model(&world, "cid").await;
    world.employees.delete_face(ADMIN, gone.id).await.unwrap();
    // The new model finds no face in what the old one took.
    let templates = &world.stores.templates;
    let old = templates.of_employee(bad.id).await.unwrap();
    let mut photo = templates.photos_of(bad.id).await.unwrap().remove(0);
    templates.delete_of(bad.id).await.unwrap();
    photo.sealed = templates.photos_of(inactive.id).await.unwrap()[0]
        .sealed
        .clone();
    templates.insert(&old, &[photo]).await.unwrap();

    let job = reembed(&world).await;
    let told = ReembedResult {
        reembedded: 1,
        without_photos: 0,
        unusable: 1,
    };
    assert_eq!(result(&job), told);
    assert_eq!((job.done, job.total), (2, 2));
    assert!(templates.of_employee(gone.id).await.unwrap().is_empty());
    let left = templates.of_employee(bad.id).await.unwrap();
    assert!(
        left.iter()
            .all(|template| template.model == ModelId::new("another"))
    );
}

#[tokio::test]
async fn whoever_takes_over_goes_on_with_those_who_are_left() {
    let world = instance().await;
    let ann = of_another_model(&world, "ann").await;
    of_another_model(&world, "bob").await;
    of_another_model(&world, "cid").await;
    let jobs = jobs(&world);
    let queued = jobs.reembed(ADMIN).await.unwrap();
    // Somebody did one person, told of it, and died.
    let now = rollcall::clock::Clock::now(&*world.clock);
    let mut dead = world.stores.jobs.claim(now).await.unwrap().unwrap();
    world.enrolling.reembed(ADMIN, ann.id).await.unwrap();
    let so_far = ReembedResult {
        reembedded: 1,
        ..ReembedResult::default()
    };
    (dead.done, dead.total) = (1, 3);
    dead.result = Some(serde_json::to_string(&so_far).unwrap());
    assert_eq!(
        world
            .stores
            .jobs
            .update(&dead.clone().progressed(now))
            .await,
        Ok(true)
    );

    assert!(!step(&world).await, "its lease holds");
    world.clock.advance(SignedDuration::from_secs(16));
    assert!(step(&world).await);
    let done = jobs.find(queued.id).await.unwrap();
    assert_eq!(
        (done.state, done.attempts, done.turn),
        (JobState::Done, 2, 2)
    );
    assert_eq!((result(&done).reembedded, done.done, done.total), (3, 3, 3));
    assert_eq!(
        world.stores.jobs.update(&dead.finished(now)).await,
        Ok(false)
    );
    let enrolled = world.stores.templates.of_employee(ann.id).await.unwrap();
    assert_eq!(enrolled.len(), 4, "nobody was done twice");
}
