//! Measures a search among many people, a change of one, and how long an instance takes at its
//! start to load 10,000 enrolled people from SQLite. 192 dimensions.
//!
//! `cargo bench --bench gallery`.

#[path = "../tests/support/records.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod records;

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion};
use futures::{StreamExt, TryStreamExt, stream};
use rollcall::{
    clock::{Clock, SystemClock},
    domain::{
        biometrics::{Embedding, Fused, ModelId, Reference, Resultant, Views},
        ids::EmployeeId,
    },
    gallery::MemoryGallery,
    ports::Gallery,
    repositories::{KINDS, Repositories},
    service::{feed::Feed, gallery_loader::GalleryLoader},
    storage::{memory::MemoryBus, sqlite::SqliteEngine},
    vault::Vault,
};
use tokio::runtime::Runtime;
use uuid::Uuid;
use zeroize::Zeroizing;

use records::{employee, face};

const SIZE: usize = 192;
/// Number of people to load.
const ENROLLED: usize = 10_000;
/// Templates of each of them.
const TEMPLATES: i64 = 5;
/// How many records are written at once before the measurement.
const AT_ONCE: usize = 64;

/// Random vectors whose mean similarity is `alike`, as a model may give them for different people.
struct Faces {
    state: u64,
    alike: f32,
}

impl Faces {
    fn new(alike: f32) -> Self {
        Self { state: 7, alike }
    }

    fn number(&mut self) -> f32 {
        // A sum of uniform numbers is close enough to a normal distribution.
        (0..4).fold(0.0, |sum, _| {
            self.state = self
                .state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            sum + (self.state >> 40) as f32 / (1 << 24) as f32 - 0.5
        })
    }

    fn face(&mut self) -> Embedding {
        // The variance of `number` is 1/3.
        let shared = (self.alike / 3.0).sqrt();
        let own = (1.0 - self.alike).sqrt();
        let values = (0..SIZE).map(|place| {
            let sign = if place % 3 == 0 { 1.0 } else { -1.0 };
            sign * shared + own * self.number()
        });
        Embedding::normalize(values.collect()).unwrap()
    }
}

fn reference(embedding: Embedding, number: u32) -> Reference {
    let resultant = Resultant::new(0.96 + (number % 32) as f32 / 800.0).unwrap();
    Reference {
        fused: Fused {
            embedding,
            resultant,
        },
        views: Views::All,
        look_alikes: Vec::new(),
    }
}

fn id(number: u32) -> EmployeeId {
    EmployeeId::new(Uuid::from_u128(u128::from(number)))
}

fn search(criterion: &mut Criterion) {
    for (name, alike) in [("unlike", 0.0), ("alike", 0.8)] {
        let mut group = criterion.benchmark_group(format!("search/{name}"));
        let gallery = MemoryGallery::new(SIZE);
        let mut faces = Faces::new(alike);
        let mut people = 0;
        for size in [1_000, 100_000, 1_000_000] {
            for number in people..size {
                gallery.put(id(number), reference(faces.face(), number));
            }
            people = size;
            let probe = faces.face();
            group.bench_function(BenchmarkId::new("stranger", size), |b| {
                b.iter(|| gallery.search(black_box(&probe), 0.6, 5));
            });
            let known = gallery.find(id(size / 2)).unwrap().fused.embedding;
            group.bench_function(BenchmarkId::new("known", size), |b| {
                b.iter(|| gallery.search(black_box(&known), 0.6, 5));
            });
        }
        let again = gallery.find(id(5)).unwrap();
        group.bench_function(BenchmarkId::new("put", people), |b| {
            b.iter(|| gallery.put(id(5), again.clone()));
        });
        group.finish();
    }
}

fn load(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollcall.db");
    let engine = runtime.block_on(SqliteEngine::open(&path, KINDS)).unwrap();
    let stores = Repositories::new(Arc::new(engine));
    let vault = Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[]));
    let (clock, model) = (Arc::new(SystemClock), ModelId::new("bench"));
    let mut faces = Faces::new(0.0);
    let people: Vec<_> = (0..ENROLLED)
        .map(|number| {
            let person = employee(&format!("Person {number:05}"), &format!("P{number}"));
            let mut enrollment = face(person.id, TEMPLATES, 0);
            for template in &mut enrollment.face.as_mut().unwrap().templates {
                let nonce = std::array::from_fn(|place| (number >> (place % 4 * 8)) as u8);
                let sealed = vault.seal_embedding(nonce, person.id, &model, &faces.face());
                template.sealed = sealed.unwrap();
                template.model = model.clone();
            }
            (person, enrollment)
        })
        .collect();
    let written = stream::iter(people)
        .map(|(person, enrollment)| {
            let (stores, clock) = (&stores, &clock);
            async move {
                stores.employees.insert(&person).await?;
                let enroll = |_| Some(enrollment.clone());
                let enrolled = stores.faces.change(person.id, clock.now(), enroll);
                enrolled.await.map(drop)
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>();
    runtime.block_on(written).unwrap();
    criterion.bench_function(
        &format!("load {ENROLLED} people, {TEMPLATES} templates each"),
        |b| {
            b.iter(|| {
                let gallery = Arc::new(MemoryGallery::new(SIZE));
                let feed = Feed::new(Arc::new(MemoryBus::default()));
                let loader = GalleryLoader::new(
                    stores.clone(),
                    vault.clone(),
                    gallery,
                    model.clone(),
                    feed,
                    clock.clone(),
                );
                let filled = runtime.block_on(loader.fill()).unwrap();
                assert_eq!(filled.people, ENROLLED);
            });
        },
    );
    runtime.block_on(stores.engine.close());
}

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    load(&mut criterion);
    search(&mut criterion);
    criterion.final_summary();
}
