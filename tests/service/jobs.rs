//! Jobs under way, while the store, the engine and people do what they do: imports count exactly,
//! and templates are made again from stored photos.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use futures::future::FutureExt;
use jiff::SignedDuration;
use rollcall::{
    clock::Clock,
    domain::{
        biometrics::ModelId,
        employees::{ConsentGiven, Employee, EmployeeSettings},
        faces::FaceEnrollment,
        grants::Reach,
        ids::EmployeeId,
        jobs::{Ability, Job, JobKind, JobState},
        record::Record,
        text::Code,
    },
    ports::{EmployeeFilter, Page, StoreError},
    service::{
        employees::{EmployeeError, Person},
        jobs::{
            ENROLL, EnrollResult, IMPORT, ImportResult, Interruption, JobHandler, JobRun,
            JobServices, NewJob, PhotoFile, REEMBED, ReembedResult, Runner, handlers,
            new_enrollment, new_import,
        },
    },
    vault::Vault,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::{
    failing_engine::Call,
    world::{ADMIN, Instance, instance, samples},
};

/// Returns a person whose templates are of another model, as after a change of the model.
async fn of_another_model(world: &Instance, name: &str) -> Person {
    let person = world.enrolled(name).await;
    let old = ModelId::new("another");
    world
        .change_face(person.id, |face| {
            for template in &mut face.templates {
                template.model = old.clone();
            }
        })
        .await;
    world.loader.refresh(person.id).await.unwrap();
    person
}

async fn queue_reembed(world: &Instance) -> Job {
    world.jobs.queue_by_name(ADMIN, &REEMBED).await.unwrap()
}

/// Queues the job and runs what is due, once; returns the job.
async fn reembed(world: &Instance) -> Job {
    let job = queue_reembed(world).await;
    assert!(step(world).await);
    world.jobs.find(job.id).await.unwrap()
}

/// Runs the re-embedding that is due.
async fn step(world: &Instance) -> bool {
    step_of(world, REEMBED, &CancellationToken::new()).await
}

async fn step_of(world: &Instance, kind: JobKind, stop: &CancellationToken) -> bool {
    let handlers = handlers(&JobServices {
        stores: world.stores.clone(),
        employees: world.employees.clone(),
        enrollments: world.enrolling.clone(),
    });
    let handler = handlers.iter().find(|one| one.ability().kind == kind);
    run_next(world, &**handler.unwrap(), stop).await
}

async fn run_next(world: &Instance, handler: &dyn JobHandler, stop: &CancellationToken) -> bool {
    let (clock, feed) = (world.clock.clone(), world.site.feed.clone());
    let runner = Runner::new(&world.stores, clock, feed);
    runner.run_next(handler, stop).await.unwrap()
}

/// Queues an import of people with the codes `C0`, `C1` and so on.
async fn queue_import(world: &Instance, people: usize) -> Job {
    let rows: String = (0..people)
        .map(|number| format!("Person {number},C{number}\n"))
        .collect();
    let new = new_import(format!("name,code\n{rows}").as_bytes()).unwrap();
    world.jobs.queue(ADMIN, new).await.unwrap()
}

/// Runs an import to its end, however many attempts that takes; its result.
async fn run_import(world: &Instance, job: &Job) -> ImportResult {
    for _ in 0..50 {
        let found = world.jobs.find(job.id).await.unwrap();
        if found.ended() {
            assert_eq!(found.state, JobState::Done, "{:?}", found.error);
            return serde_json::from_str(&found.result.unwrap()).unwrap();
        }
        step_of(world, IMPORT, &CancellationToken::new()).await;
        world.clock.advance(SignedDuration::from_secs(16));
    }
    panic!("the import does not end");
}

/// Runs an import until its worker writes to the job for the first time after the claim. The worker
/// crashes there, and its lease runs out.
async fn crash_import(world: &Instance) {
    let (writes, reached) = (AtomicI64::new(0), Arc::new(Notify::new()));
    let crashes = reached.clone();
    world.site.store.before(move |kind, call| {
        let write = kind == Job::KIND && matches!(call, Call::Put(_));
        let crash = write && writes.fetch_add(1, Ordering::SeqCst) > 0;
        if crash {
            crashes.notify_one();
        }
        async move {
            if crash {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
        .boxed()
    });
    let stop = CancellationToken::new();
    tokio::select! {
        _ = step_of(world, IMPORT, &stop) => panic!("the worker did not crash"),
        () = reached.notified() => {}
    }
    world.site.store.fail(|_, _| None);
    world.clock.advance(SignedDuration::from_secs(16));
}

/// Returns how many employees the audit trail has as added, and how many there are.
async fn added(world: &Instance) -> (usize, usize) {
    let trail = world.site.records.audit.latest(100).await.unwrap();
    let adds = trail.iter().filter(|entry| entry.action == "employee.add");
    let page = Page {
        after: None,
        limit: 100,
    };
    let (filter, records) = (EmployeeFilter::default(), &world.site.records);
    let people = records
        .employees
        .list(&Reach::Everything, &filter, &page)
        .await
        .unwrap();
    (adds.count(), people.len())
}

/// Returns the models of a person's templates.
async fn models(world: &Instance, id: EmployeeId) -> BTreeSet<String> {
    let templates = world.face(id).await.map(|face| face.templates);
    let models = templates.iter().flatten();
    models.map(|one| one.model.to_string()).collect()
}

/// Replaces the kept photos of a person with one photo.
async fn keep(world: &Instance, id: EmployeeId, key: u8, photo: &str) {
    let photos = &world.stores.photos;
    let mut kept = photos.list_by_employee(id).await.unwrap().remove(0);
    photos.delete_by_employee(id).await.unwrap();
    let vault = Vault::new(&Zeroizing::new([key; 32]), &[]);
    let nonce = world.clock.nonce();
    kept.sealed = vault.seal_photo(nonce, id, photo.as_bytes()).unwrap();
    photos.insert(&kept).await.unwrap();
}

/// Returns the jobs that the instances of these tests can run.
fn ability() -> Ability {
    Ability {
        kind: REEMBED,
        payload: Some("scripted".to_owned()),
    }
}

fn result(job: &Job) -> ReembedResult {
    serde_json::from_str(job.result.as_deref().unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_job_waits_for_a_busy_engine() {
    let world = instance();
    let ann = of_another_model(&world, "ann").await;
    of_another_model(&world, "bob").await;
    assert_eq!(rollcall::ports::Gallery::people(&*world.gallery), 0);
    world.engine.busy.store(1, Ordering::SeqCst);
    let begin = Instant::now();
    let job = reembed(&world).await;
    assert!(begin.elapsed().as_millis() >= 1000, "kiosks go first");
    assert_eq!((job.state, job.attempts), (JobState::Done, 1));
    assert_eq!(result(&job).reembedded, 2);
    let found = world.face(ann.id).await.unwrap();
    assert_eq!(found.templates.len(), 4);
    assert_eq!(Some(&found.consent), ann.consent());
    assert!(rollcall::ports::Gallery::find(&*world.gallery, ann.id).is_some());
    assert!(!step(&world).await, "nothing is left to do");
}

#[tokio::test(start_paused = true)]
async fn people_without_consent_or_usable_photos_get_no_template() {
    let world = instance();
    let gone = of_another_model(&world, "ann").await;
    let bad = of_another_model(&world, "bob").await;
    of_another_model(&world, "cid").await;
    world
        .employees
        .delete_face(&Reach::Everything, ADMIN, gone.id)
        .await
        .unwrap();
    // The new model cannot use a photo that the old one accepted.
    keep(&world, bad.id, 7, "broken").await;

    let job = reembed(&world).await;
    let expected = ReembedResult {
        reembedded: 1,
        unusable: 1,
        unusable_first: vec![bad.id],
        ..ReembedResult::default()
    };
    assert_eq!(result(&job), expected);
    assert_eq!((job.done, job.total), (2, 2));
    assert_eq!(world.face(gone.id).await, None);
    assert_eq!(models(&world, bad.id).await, ["another".to_owned()].into());
}

#[tokio::test(start_paused = true)]
async fn another_worker_continues_with_the_remaining_people() {
    let world = instance();
    let ann = of_another_model(&world, "ann").await;
    of_another_model(&world, "bob").await;
    of_another_model(&world, "cid").await;
    let queued = queue_reembed(&world).await;
    // A worker processed one person, reported it, and crashed.
    let (now, stop) = (world.clock.now(), CancellationToken::new());
    let mut dead = world
        .stores
        .jobs
        .claim(&ability(), now)
        .await
        .unwrap()
        .unwrap();
    world.enrolling.reembed(ADMIN, ann.id, &stop).await.unwrap();
    let so_far = ReembedResult {
        reembedded: 1,
        ..ReembedResult::default()
    };
    (dead.done, dead.total) = (1, 3);
    dead.result = Some(serde_json::to_string(&so_far).unwrap());
    assert_eq!(
        world.stores.jobs.update(&dead.clone().extended(now)).await,
        Ok(true)
    );

    assert!(!step(&world).await, "its lease holds");
    world.clock.advance(SignedDuration::from_secs(16));
    assert!(step(&world).await);
    let done = world.jobs.find(queued.id).await.unwrap();
    assert_eq!(
        (done.state, done.attempts, done.claims),
        (JobState::Done, 1, 2),
        "progress resets the number of attempts"
    );
    assert_eq!((result(&done).reembedded, done.done, done.total), (3, 3, 3));
    assert_eq!(
        world.stores.jobs.update(&dead.finished(now)).await,
        Ok(false)
    );
    let enrolled = world.face(ann.id).await.unwrap();
    assert_eq!(enrolled.templates.len(), 4, "no one was processed twice");
}

#[tokio::test(start_paused = true)]
async fn templates_are_computed_only_by_instances_with_the_model() {
    let world = instance();
    let ann = of_another_model(&world, "ann").await;
    let job = world.jobs.reembed_if_needed().await.unwrap().unwrap();
    assert_eq!(
        world.jobs.reembed_if_needed().await.unwrap(),
        None,
        "it waits"
    );
    // An instance that still runs the old model has nothing to do.
    let old = world.of_model("another");
    assert_eq!(old.jobs.reembed_if_needed().await.unwrap(), None);
    assert!(!step(&old).await);
    let waits = old.jobs.find(job.id).await.unwrap();
    assert_eq!((waits.state, waits.attempts), (JobState::Queued, 0));
    assert!(step(&world).await);
    let done = world.jobs.find(job.id).await.unwrap();
    assert_eq!((done.state, result(&done).reembedded), (JobState::Done, 1));
    let both = ["another", "scripted"].map(str::to_owned);
    assert_eq!(models(&world, ann.id).await, both.into());
}

#[tokio::test(start_paused = true)]
async fn each_change_of_the_model_is_followed() {
    let x = instance();
    let ann = x.enrolled("ann").await;
    assert_eq!(x.jobs.reembed_if_needed().await.unwrap(), None);
    let y = x.of_model("y");
    y.jobs.reembed_if_needed().await.unwrap().unwrap();
    assert!(step(&y).await);
    assert_eq!(
        y.jobs.reembed_if_needed().await.unwrap(),
        None,
        "nothing is left"
    );
    // Back to the first model: she has templates of both, he only of the first.
    assert_eq!(x.jobs.reembed_if_needed().await.unwrap(), None);
    let bob = x.enrolled("bob").await;
    // And to the second model again.
    let job = y.jobs.reembed_if_needed().await.unwrap().unwrap();
    assert!(step(&y).await);
    let done = y.jobs.find(job.id).await.unwrap();
    assert_eq!((done.total, result(&done).reembedded), (1, 1));
    assert!(models(&y, bob.id).await.contains("y"));

    // A third model: each face keeps templates of two models at most.
    let z = x.of_model("z");
    z.jobs.reembed_if_needed().await.unwrap().unwrap();
    assert!(step(&z).await);
    for person in [&ann, &bob] {
        let two = ["y", "z"].map(str::to_owned);
        assert_eq!(models(&z, person.id).await, two.into(), "{}", person.name);
        let now = z
            .employees
            .find(&Reach::Everything, person.id)
            .await
            .unwrap();
        assert_eq!(now.templates(), 4, "{}", person.name);
    }
    // A person without photos can only be enrolled again.
    let photos = z.stores.photos.delete_by_employee(ann.id);
    assert_eq!(photos.await, Ok(2));
    assert_eq!(
        x.jobs
            .reembed_if_needed()
            .await
            .unwrap()
            .map(|job| job.kind),
        Some(REEMBED),
        "bob"
    );
    assert!(step(&x).await);
    assert_eq!(x.jobs.reembed_if_needed().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_engine_does_not_count_against_photos() {
    let world = instance();
    let ann = of_another_model(&world, "ann").await;
    let bob = of_another_model(&world, "bob").await;
    world.engine.faults.store(1, Ordering::SeqCst);
    let job = reembed(&world).await;
    assert_eq!(job.state, JobState::Queued, "later again");
    assert!(
        job.error
            .as_deref()
            .unwrap()
            .contains("the face engine failed")
    );
    assert_eq!(result(&job).unusable, 0);

    // With a missing key, no photo counts as unusable.
    keep(&world, bob.id, 8, "bob~0.1#1").await;
    world.clock.advance(SignedDuration::from_secs(10));
    assert!(step(&world).await);
    let failed = world.jobs.find(job.id).await.unwrap();
    assert_eq!(
        (failed.state, result(&failed).unusable),
        (JobState::Failed, 0)
    );
    let words = failed.error.unwrap();
    assert!(
        words.contains("TEMPLATE_KEY") && words.contains(&bob.id.to_string()),
        "{words}"
    );
    assert!(
        models(&world, ann.id).await.contains("scripted"),
        "she was processed before"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_the_job_back_in_the_middle_of_a_person() {
    let world = instance();
    let ann = of_another_model(&world, "ann").await;
    world.engine.busy.store(1000, Ordering::SeqCst);
    let job = queue_reembed(&world).await;
    let stop = CancellationToken::new();
    let begin = Instant::now();
    let (found, ()) = tokio::join!(step_of(&world, REEMBED, &stop), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        stop.cancel();
    });
    assert!(found && begin.elapsed().as_secs() < 5);
    let back = world.jobs.find(job.id).await.unwrap();
    assert_eq!((back.state, back.attempts), (JobState::Queued, 0));
    assert_eq!(models(&world, ann.id).await, ["another".to_owned()].into());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_loses_the_job_stops() {
    let world = instance();
    let ann = of_another_model(&world, "ann").await;
    // Busy until after the next report to the store, which is every third of a lease.
    world.engine.busy.store(7, Ordering::SeqCst);
    let job = queue_reembed(&world).await;
    let begin = Instant::now();
    let stop = CancellationToken::new();
    let (found, cancelled) = tokio::join!(step_of(&world, REEMBED, &stop), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        world.jobs.cancel(ADMIN, job.id).await.unwrap()
    });
    assert!(
        found && begin.elapsed().as_secs() < 7,
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(world.jobs.find(job.id).await.unwrap(), cancelled);
    assert_eq!(models(&world, ann.id).await, ["another".to_owned()].into());
    assert!(!step(&world).await);
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_store_during_an_import_loses_nobody() {
    let world = instance();
    // Unavailable after this many were added.
    let left = Arc::new(AtomicI64::new(3));
    let adds = left.clone();
    world.site.store.fail(move |kind, call| {
        let add = kind == Employee::KIND && matches!(call, Call::Put(_));
        (add && adds.fetch_sub(1, Ordering::SeqCst) <= 0)
            .then(|| StoreError::Unavailable("unavailable".to_owned()))
    });
    let job = queue_import(&world, 10).await;
    // Unavailable for longer than all attempts of a job without progress, but this one makes
    // progress.
    for attempt in 1..=3 {
        let stop = CancellationToken::new();
        assert!(step_of(&world, IMPORT, &stop).await);
        let waits = world.jobs.find(job.id).await.unwrap();
        assert_eq!((waits.state, waits.done), (JobState::Queued, attempt * 3));
        assert_eq!(
            (waits.attempts, waits.error.as_deref()),
            (1, Some("the store did not respond"))
        );
        assert!(!step_of(&world, IMPORT, &stop).await, "not yet");
        world.clock.advance(SignedDuration::from_secs(6));
        left.store(3, Ordering::SeqCst);
    }
    assert!(step_of(&world, IMPORT, &CancellationToken::new()).await);
    let done = world.jobs.find(job.id).await.unwrap();
    let report: ImportResult = serde_json::from_str(&done.result.unwrap()).unwrap();
    assert_eq!(
        (done.state, report.added, report.refused),
        (JobState::Done, 10, 0)
    );
    let page = Page {
        after: None,
        limit: 100,
    };
    let people = world
        .stores
        .employees
        .list(&Reach::Everything, &EmployeeFilter::default(), &page)
        .await
        .unwrap();
    assert_eq!(people.len(), 10);
    // Everybody who exists is in the audit trail, whatever failed in between.
    let trail = world.stores.audit.latest(100).await.unwrap();
    let in_trail: BTreeSet<_> = trail
        .iter()
        .filter(|entry| entry.action == "employee.add")
        .map(|entry| entry.subject.clone())
        .collect();
    assert!(
        people
            .iter()
            .all(|person| in_trail.contains(&person.id.to_string()))
    );
    assert_eq!(in_trail.len(), 10, "a repeated row has the same ID");
}

#[tokio::test(start_paused = true)]
async fn consent_withdrawn_during_the_job_stays_withdrawn() {
    let world = instance();
    let ann = of_another_model(&world, "ann").await.id;
    // Between reading her enrollment and writing her new templates.
    let employees = world.employees.clone();
    let withdraws = Mutex::new(Some(async move {
        employees
            .delete_face(&Reach::Everything, ADMIN, ann)
            .await
            .unwrap();
    }));
    world.site.store.before(move |kind, call| {
        let writes = kind == FaceEnrollment::KIND && matches!(call, Call::Put(_));
        let withdraws = writes.then(|| withdraws.lock().unwrap().take()).flatten();
        async move {
            if let Some(withdraws) = withdraws {
                withdraws.await;
            }
            Ok(())
        }
        .boxed()
    });
    let job = reembed(&world).await;
    assert_eq!((job.state, result(&job).reembedded), (JobState::Done, 0));
    assert_eq!(world.face(ann).await, None);
    let photos = world.stores.photos.count_by_employee(ann).await;
    assert_eq!(photos, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_person_whose_insert_lost_its_answer_counts_as_added() {
    let world = instance();
    let inserts = AtomicI64::new(0);
    world.site.store.lose_answers(move |kind, call| {
        let insert = kind == Employee::KIND && matches!(call, Call::Put(_));
        (insert && inserts.fetch_add(1, Ordering::SeqCst) % 3 == 0)
            .then(|| StoreError::Unavailable("test".to_owned()))
    });
    let job = queue_import(&world, 10).await;
    let result = run_import(&world, &job).await;
    assert_eq!((result.added, result.existing, result.refused), (10, 0, 0));
    assert_eq!(added(&world).await, (10, 10));
    // To another import they are other people.
    let again = queue_import(&world, 10).await;
    let result = run_import(&world, &again).await;
    assert_eq!((result.added, result.existing, result.refused), (0, 10, 0));
}

#[tokio::test(start_paused = true)]
async fn rows_that_another_worker_repeats_count_as_added() {
    let world = instance();
    let job = queue_import(&world, 10).await;
    crash_import(&world).await;
    let before = added(&world).await;
    assert!(before.0 > 0 && before.0 == before.1, "{before:?}");
    let found = world.jobs.find(job.id).await.unwrap();
    assert_eq!((found.state, found.done), (JobState::Running, 0));

    let result = run_import(&world, &job).await;
    assert_eq!((result.added, result.existing, result.refused), (10, 0, 0));
    assert_eq!(added(&world).await, (10, 10));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_row_leaves_a_person_who_was_changed_or_deleted_since() {
    let world = instance();
    let job = queue_import(&world, 3).await;
    crash_import(&world).await;
    let find = async |code| {
        let code = Code::parse(code).unwrap();
        world.employees.find_by_code(&code).await.unwrap()
    };
    let deleted = find("C0").await.unwrap();
    world
        .employees
        .delete(&Reach::Everything, ADMIN, deleted.id)
        .await
        .unwrap();
    let changed = find("C1").await.unwrap();
    let edit = |employee: &Employee| {
        Ok::<_, EmployeeError>(EmployeeSettings {
            code: Code::parse("other").unwrap(),
            active: false,
            ..employee.settings.clone()
        })
    };
    let edited = world
        .employees
        .change(&Reach::Everything, ADMIN, changed.id, false, edit);
    edited.await.unwrap();

    let result = run_import(&world, &job).await;
    assert_eq!((result.added, result.existing, result.refused), (3, 0, 0));
    assert!(find("C0").await.is_none() && find("C1").await.is_none());
    assert_eq!(find("other").await.unwrap().id, changed.id);
}

const COUNTING: JobKind = JobKind::new("counting");

/// A kind of jobs that is in no registry: counts to 3, and fails once after each step.
struct Counting(AtomicI64);

#[async_trait]
impl JobHandler for Counting {
    fn worker(&self) -> &'static str {
        "counting jobs"
    }

    fn ability(&self) -> Ability {
        Ability {
            kind: COUNTING,
            payload: None,
        }
    }

    async fn run(&self, run: &JobRun<'_>) -> Result<(), Interruption> {
        let job = run.job().await;
        assert_eq!(job.payload, "to three");
        for number in job.done + 1..=3 {
            run.report(number, 3, &number).await?;
            if self.0.fetch_add(1, Ordering::SeqCst) < 2 {
                return Err(Interruption::Retry("not yet".to_owned()));
            }
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_of_jobs_is_one_handler() {
    let world = instance();
    let new = NewJob {
        kind: COUNTING,
        payload: "to three".to_owned(),
        total: 3,
        once: None,
    };
    let job = world.jobs.queue(ADMIN, new).await.unwrap();
    let (counting, stop) = (Counting(AtomicI64::new(0)), CancellationToken::new());
    for done in 1..=2 {
        assert!(run_next(&world, &counting, &stop).await);
        let waits = world.jobs.find(job.id).await.unwrap();
        assert_eq!((waits.state, waits.done), (JobState::Queued, done));
        assert_eq!(waits.error.as_deref(), Some("not yet"));
        assert!(!run_next(&world, &counting, &stop).await, "it is not due");
        world.clock.advance(SignedDuration::from_secs(6));
    }
    assert!(run_next(&world, &counting, &stop).await);
    let done = world.jobs.find(job.id).await.unwrap();
    assert_eq!((done.state, done.claims), (JobState::Done, 3));
    assert_eq!(done.result.as_deref(), Some("3"));
    // Instances that do not know the kind leave it alone, and list it.
    let page = Page {
        after: None,
        limit: 10,
    };
    assert_eq!(
        world.jobs.list(&Reach::Everything, &page).await.unwrap(),
        [done]
    );
}

#[tokio::test(start_paused = true)]
async fn many_are_enrolled_while_no_kiosk_needs_the_engine_and_nobody_twice() {
    let world = instance();
    let mut files = Vec::new();
    for name in ["ann", "bob", "cid"] {
        world.person(name).await;
        let [photo] = samples(&[name]).try_into().unwrap();
        let name = format!("{name}.jpg");
        files.push(PhotoFile { name, photo });
    }
    let given = ConsentGiven::Stated;
    let new = new_enrollment(&world.employees, &world.enrolling, given, files);
    let job = world.jobs.queue(ADMIN, new.await.unwrap()).await.unwrap();
    // A worker enrolled the first person, and died before it could say so.
    let code = Code::parse("ann").unwrap();
    let ann = world.employees.find_by_code(&code).await;
    let ann = ann.unwrap().unwrap();
    world.enroll(ann.id, &["ann"]).await.unwrap();

    world.engine.busy.store(1, Ordering::SeqCst);
    let begin = Instant::now();
    assert!(step_of(&world, ENROLL, &CancellationToken::new()).await);
    assert!(begin.elapsed().as_millis() >= 1000, "kiosks go first");
    let done = world.jobs.find(job.id).await.unwrap();
    assert_eq!((done.state, done.attempts), (JobState::Done, 1));
    let result: EnrollResult = serde_json::from_str(&done.result.unwrap()).unwrap();
    let wanted = EnrollResult {
        enrolled: 2,
        existing: 1,
        photos: 2,
        ..EnrollResult::default()
    };
    assert_eq!(result, wanted);
    assert_eq!(world.face(ann.id).await.unwrap().templates.len(), 1);
}

#[tokio::test]
async fn a_person_deleted_while_their_photos_wait_is_not_enrolled() {
    let world = instance();
    let ann = world.person("ann").await;
    let [photo] = samples(&["ann"]).try_into().unwrap();
    let name = "ann/1.jpg".to_owned();
    let files = vec![PhotoFile { name, photo }];
    let given = ConsentGiven::Stated;
    let new = new_enrollment(&world.employees, &world.enrolling, given, files);
    let job = world.jobs.queue(ADMIN, new.await.unwrap()).await.unwrap();
    let deleted = world.employees.delete(&Reach::Everything, ADMIN, ann.id);
    deleted.await.unwrap();
    assert!(step_of(&world, ENROLL, &CancellationToken::new()).await);
    let done = world.jobs.find(job.id).await.unwrap();
    let result: EnrollResult = serde_json::from_str(&done.result.unwrap()).unwrap();
    assert_eq!((result.enrolled, result.refused), (0, 1));
    assert_eq!(result.refusals[0].reason, "no such employee");
    assert_eq!(world.face(ann.id).await, None);
}
