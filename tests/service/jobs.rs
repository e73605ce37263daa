//! Templates made anew from kept photos: whatever the engine and people do meanwhile.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use async_trait::async_trait;
use jiff::SignedDuration;
use rollcall::{
    clock::Clock,
    domain::{
        biometrics::ModelId,
        employees::{Consent, Employee},
        ids::EmployeeId,
        jobs::{Ability, Job, JobKind, JobState},
        text::Code,
    },
    ports::{EmployeeFilter, EmployeeStore, FaceEngine, Page, StoreError, Stores},
    service::{
        audit::Audit,
        employees::Employees,
        feed::Feed,
        jobs::{ImportResult, Jobs, ReembedResult, Runner},
    },
    storage::memory::MemoryBus,
    vault::Vault,
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

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
    Feed::new(Arc::new(MemoryBus::default()))
}

fn jobs(world: &Instance) -> Jobs {
    let audit = Audit::new(world.stores.audit.clone(), world.clock.clone());
    let model = world.engine.model().clone();
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

/// Does the re-embedding that is due.
async fn step(world: &Instance) -> bool {
    step_of(world, JobKind::Reembed, &CancellationToken::new()).await
}

async fn step_of(world: &Instance, kind: JobKind, stop: &CancellationToken) -> bool {
    let runner = Runner::new(
        world.stores.clone(),
        world.employees.clone(),
        world.enrolling.clone(),
        world.clock.clone(),
        feed(),
    );
    runner.step(kind, stop).await.unwrap()
}

/// The models that somebody has templates of.
async fn models(world: &Instance, id: EmployeeId) -> BTreeSet<String> {
    let templates = world.stores.templates.of_employee(id).await.unwrap();
    let models = templates.iter().map(|one| one.model.to_string());
    models.collect()
}

/// Puts one photo in the place of those kept of somebody.
async fn keep(world: &Instance, id: EmployeeId, key: u8, photo: &str) {
    let templates = &world.stores.templates;
    let old = templates.of_employee(id).await.unwrap();
    let mut kept = templates.photos_of(id).await.unwrap().remove(0);
    templates.delete_of(id).await.unwrap();
    let vault = Vault::new(&Zeroizing::new([key; 32]), &[]);
    let nonce = world.clock.nonce();
    kept.sealed = vault.seal_photo(nonce, id, photo.as_bytes()).unwrap();
    templates.insert(&old, &[kept]).await.unwrap();
}

/// What the worlds of these tests can do.
fn ability() -> Ability {
    Ability {
        kind: JobKind::Reembed,
        payload: Some("scripted".to_owned()),
    }
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
    of_another_model(&world, "cid").await;
    world.employees.delete_face(ADMIN, gone.id).await.unwrap();
    // The new model can do nothing with what the old one took.
    keep(&world, bad.id, 7, "broken").await;
    let templates = &world.stores.templates;

    let job = reembed(&world).await;
    let told = ReembedResult {
        reembedded: 1,
        unusable: 1,
        unusable_first: vec![bad.id],
        ..ReembedResult::default()
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
        (JobState::Done, 1, 2),
        "it got further, so its attempts count anew"
    );
    assert_eq!((result(&done).reembedded, done.done, done.total), (3, 3, 3));
    assert_eq!(
        world.stores.jobs.update(&dead.finished(now)).await,
        Ok(false)
    );
    let enrolled = world.stores.templates.of_employee(ann.id).await.unwrap();
    assert_eq!(enrolled.len(), 4, "nobody was done twice");
}

#[tokio::test]
async fn templates_are_made_only_by_whoever_has_the_model() {
    let world = instance().await;
    let ann = of_another_model(&world, "ann").await;
    let job = jobs(&world).reembed_if_needed().await.unwrap().unwrap();
    assert_eq!(
        jobs(&world).reembed_if_needed().await.unwrap(),
        None,
        "it waits"
    );
    // An instance that still runs the old model: nothing is to be done for that.
    let old = world.of_model("another");
    assert_eq!(jobs(&old).reembed_if_needed().await.unwrap(), None);
    assert!(!step(&old).await);
    let waits = jobs(&old).find(job.id).await.unwrap();
    assert_eq!((waits.state, waits.attempts), (JobState::Queued, 0));
    assert!(step(&world).await);
    let done = jobs(&world).find(job.id).await.unwrap();
    assert_eq!((done.state, result(&done).reembedded), (JobState::Done, 1));
    let both = ["another", "scripted"].map(str::to_owned);
    assert_eq!(models(&world, ann.id).await, both.into());
}

#[tokio::test]
async fn each_change_of_the_model_is_followed() {
    let x = instance().await;
    let ann = x.enrolled("ann").await;
    assert_eq!(jobs(&x).reembed_if_needed().await.unwrap(), None);
    let y = x.of_model("y");
    jobs(&y).reembed_if_needed().await.unwrap().unwrap();
    assert!(step(&y).await);
    assert_eq!(
        jobs(&y).reembed_if_needed().await.unwrap(),
        None,
        "nothing is left"
    );
    // Back: she has both; he is enrolled under the first only.
    assert_eq!(jobs(&x).reembed_if_needed().await.unwrap(), None);
    let bob = x.enrolled("bob").await;
    // And to the second again.
    let job = jobs(&y).reembed_if_needed().await.unwrap().unwrap();
    assert!(step(&y).await);
    let done = jobs(&y).find(job.id).await.unwrap();
    assert_eq!((done.total, result(&done).reembedded), (1, 1));
    assert!(models(&y, bob.id).await.contains("y"));

    // A third: of each face there are templates of two models, and no more.
    let z = x.of_model("z");
    jobs(&z).reembed_if_needed().await.unwrap().unwrap();
    assert!(step(&z).await);
    for person in [&ann, &bob] {
        let two = ["y", "z"].map(str::to_owned);
        assert_eq!(models(&z, person.id).await, two.into(), "{}", person.name);
        let now = z.employees.find(person.id).await.unwrap();
        assert_eq!(now.templates, 4, "{}", person.name);
    }
    // Somebody without photos can only be enrolled again.
    let kept = z.stores.templates.of_employee(ann.id).await.unwrap();
    z.stores.templates.delete_of(ann.id).await.unwrap();
    z.stores.templates.insert(&kept, &[]).await.unwrap();
    assert_eq!(
        jobs(&x)
            .reembed_if_needed()
            .await
            .unwrap()
            .map(|job| job.kind),
        Some(JobKind::Reembed),
        "bob"
    );
    assert!(step(&x).await);
    assert_eq!(jobs(&x).reembed_if_needed().await.unwrap(), None);
}

#[tokio::test]
async fn a_fault_is_not_the_photos_fault() {
    let world = instance().await;
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

    // A key that is missing: nobody's photos are unusable.
    keep(&world, bob.id, 8, "bob~0.1#1").await;
    world.clock.advance(SignedDuration::from_secs(10));
    assert!(step(&world).await);
    let failed = jobs(&world).find(job.id).await.unwrap();
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
        "she was done before"
    );
}

#[tokio::test]
async fn a_stop_gives_the_job_back_in_the_middle_of_a_person() {
    let world = instance().await;
    let ann = of_another_model(&world, "ann").await;
    world.engine.busy.store(1000, Ordering::SeqCst);
    let job = jobs(&world).reembed(ADMIN).await.unwrap();
    let stop = CancellationToken::new();
    let begin = Instant::now();
    let (found, ()) = tokio::join!(step_of(&world, JobKind::Reembed, &stop), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        stop.cancel();
    });
    assert!(found && begin.elapsed().as_secs() < 5);
    let back = jobs(&world).find(job.id).await.unwrap();
    assert_eq!((back.state, back.attempts), (JobState::Queued, 0));
    assert_eq!(models(&world, ann.id).await, ["another".to_owned()].into());
}

#[tokio::test]
async fn whoever_loses_the_job_does_nothing_more() {
    let world = instance().await;
    let ann = of_another_model(&world, "ann").await;
    // Busy until after the next word to the store, which is every third of a lease.
    world.engine.busy.store(7, Ordering::SeqCst);
    let job = jobs(&world).reembed(ADMIN).await.unwrap();
    let begin = Instant::now();
    let stop = CancellationToken::new();
    let (found, cancelled) = tokio::join!(step_of(&world, JobKind::Reembed, &stop), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        jobs(&world).cancel(ADMIN, job.id).await.unwrap()
    });
    assert!(
        found && begin.elapsed().as_secs() < 7,
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(jobs(&world).find(job.id).await.unwrap(), cancelled);
    assert_eq!(models(&world, ann.id).await, ["another".to_owned()].into());
    assert!(!step(&world).await);
}

/// Employees in a store that goes away after so many are added, and of whom one withdraws their
/// consent at the worst moment.
struct Away {
    store: Arc<dyn EmployeeStore>,
    left: AtomicI64,
    withdraws: Mutex<Option<Arc<Employees>>>,
}

impl Away {
    fn over(world: &Instance, left: i64) -> Arc<Self> {
        Arc::new(Self {
            store: world.stores.employees.clone(),
            left: AtomicI64::new(left),
            withdraws: Mutex::new(None),
        })
    }
}

#[async_trait]
impl EmployeeStore for Away {
    async fn insert(&self, employee: &Employee) -> Result<(), StoreError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(StoreError::Unavailable("away".to_owned()));
        }
        self.store.insert(employee).await
    }
    async fn update(&self, was: &Employee, is: &Employee) -> Result<bool, StoreError> {
        self.store.update(was, is).await
    }
    async fn set_enrolled(
        &self,
        id: EmployeeId,
        templates: u32,
        consent: Option<&Consent>,
    ) -> Result<bool, StoreError> {
        let withdraws = self.withdraws.lock().unwrap().take();
        if let Some(employees) = withdraws {
            employees.delete_face(ADMIN, id).await.unwrap();
        }
        self.store.set_enrolled(id, templates, consent).await
    }
    async fn find(&self, id: EmployeeId) -> Result<Option<Employee>, StoreError> {
        self.store.find(id).await
    }
    async fn find_by_code(&self, code: &Code) -> Result<Option<Employee>, StoreError> {
        self.store.find_by_code(code).await
    }
    async fn find_many(&self, ids: &[EmployeeId]) -> Result<Vec<Employee>, StoreError> {
        self.store.find_many(ids).await
    }
    async fn list(
        &self,
        filter: &EmployeeFilter,
        page: &Page<(String, EmployeeId)>,
    ) -> Result<Vec<Employee>, StoreError> {
        self.store.list(filter, page).await
    }
}

#[tokio::test]
async fn a_store_that_is_away_in_an_import_costs_nobody() {
    let whole = instance().await;
    let away = Away::over(&whole, 3);
    let world = whole.on(Stores {
        employees: away.clone(),
        ..whole.stores.clone()
    });
    let rows: String = (0..10)
        .map(|number| format!("Person {number},C{number}\n"))
        .collect();
    let list = format!("name,code\n{rows}");
    let job = jobs(&world).import(ADMIN, list.as_bytes()).await.unwrap();
    // Away for longer than all attempts of a job that does not move, but it moves.
    for attempt in 1..=3 {
        let stop = CancellationToken::new();
        assert!(step_of(&world, JobKind::Import, &stop).await);
        let waits = jobs(&world).find(job.id).await.unwrap();
        assert_eq!((waits.state, waits.done), (JobState::Queued, attempt * 3));
        assert_eq!(
            (waits.attempts, waits.error.as_deref()),
            (1, Some("the store did not answer"))
        );
        assert!(!step_of(&world, JobKind::Import, &stop).await, "not yet");
        world.clock.advance(SignedDuration::from_secs(6));
        away.left.store(3, Ordering::SeqCst);
    }
    assert!(step_of(&world, JobKind::Import, &CancellationToken::new()).await);
    let done = jobs(&world).find(job.id).await.unwrap();
    let told: ImportResult = serde_json::from_str(&done.result.unwrap()).unwrap();
    assert_eq!(
        (done.state, told.added, told.refused),
        (JobState::Done, 10, 0)
    );
    let page = Page {
        after: None,
        limit: 100,
    };
    let people = world
        .stores
        .employees
        .list(&EmployeeFilter::default(), &page)
        .await
        .unwrap();
    assert_eq!(people.len(), 10);
    // Nobody is there of whom the trail does not tell, whatever failed in between.
    let trail = world.stores.audit.latest(100).await.unwrap();
    let told: BTreeSet<_> = trail
        .iter()
        .filter(|entry| entry.action == "employee.add")
        .map(|entry| entry.subject.clone())
        .collect();
    assert!(
        people
            .iter()
            .all(|person| told.contains(&person.id.to_string()))
    );
    assert_eq!(told.len(), 13, "three were told of and not written");
}

#[tokio::test]
async fn consent_that_is_withdrawn_while_templates_are_counted_does_not_come_back() {
    let whole = instance().await;
    let ann = of_another_model(&whole, "ann").await;
    let away = Away::over(&whole, 0);
    let world = whole.on(Stores {
        employees: away.clone(),
        ..whole.stores.clone()
    });
    // Between the count of her templates and its writing.
    *away.withdraws.lock().unwrap() = Some(whole.employees.clone());
    let job = reembed(&world).await;
    assert_eq!((job.state, result(&job).reembedded), (JobState::Done, 0));
    let now = world.employees.find(ann.id).await.unwrap();
    assert_eq!((now.consent, now.templates), (None, 0));
    assert_eq!(models(&world, ann.id).await, BTreeSet::new());
}
