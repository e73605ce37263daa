//! The accuracy of identification on research photos, if they are available beside the project.

use std::{
    io::Cursor,
    path::{Path, PathBuf},
};

use futures::{StreamExt, stream};
use image::{DynamicImage, RgbImage, codecs::jpeg::JpegEncoder, imageops};
use rollcall::{
    domain::{
        biometrics::{
            Embedding, ErrorRate, Fused, Identification, Policy, Probe, Reference, Views, identify,
        },
        ids::EmployeeId,
    },
    gallery::MemoryGallery,
    ports::{FaceEngine, Gallery, Sample, Work},
    vision::{Engine, EngineOptions},
};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::{
    runtime::missing,
    support::{PROBE, QUICK, default_pack, project, runtime},
};

/// Photos of one person.
pub const PHOTOS: usize = 8;
/// How many of them are enrolled; the others are probes.
pub const ENROLLED: usize = 5;

/// The embeddings of one person's photos, as templates and as probes.
pub struct Person {
    pub templates: Vec<Embedding>,
    pub probes: Vec<Embedding>,
    /// The probes of quick looks.
    quick: Vec<Embedding>,
}

/// The embeddings of all photos.
pub struct Photos {
    pub people: Vec<Person>,
    pub strangers: Vec<Embedding>,
    /// The same, of quick looks.
    quick_strangers: Vec<Embedding>,
    /// One template per stranger.
    pub stranger_templates: Vec<Embedding>,
    /// Three frames of one moment per stranger.
    stranger_bursts: Vec<Vec<Embedding>>,
}

/// The engine, and what it measured on the photos.
pub struct Measured {
    pub engine: Engine,
    pub photos: Photos,
}

/// Analyzes the photos once for all tests; `None` with the reason printed if something is missing.
pub async fn measured() -> Option<&'static Measured> {
    static MEASURED: OnceCell<Measured> = OnceCell::const_new();
    if missing() {
        return None;
    }
    let Some(folder) = faces() else {
        println!("skipped: no research photos beside the project");
        return None;
    };
    let measure = || async {
        let engine = Engine::start(&runtime(), &default_pack(), EngineOptions::default()).unwrap();
        println!("{}", engine.describe());
        let photos = photos(&engine, &folder).await;
        Measured { engine, photos }
    };
    Some(MEASURED.get_or_init(measure).await)
}

fn faces() -> Option<PathBuf> {
    let folder = project("../shared/faces");
    folder.join("people").is_dir().then_some(folder)
}

async fn embed(engine: &Engine, photo: Vec<u8>, work: Work) -> Option<Embedding> {
    let seen = engine.analyze(Sample::new(photo), work).await.unwrap();
    seen.faces.into_iter().next()?.embedding
}

async fn embed_all(engine: &Engine, photos: Vec<Vec<u8>>, work: Work) -> Vec<Embedding> {
    let all: Vec<Option<Embedding>> = stream::iter(photos)
        .map(|photo| embed(engine, photo, work))
        .buffered(4)
        .collect()
        .await;
    all.into_iter().flatten().collect()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// Returns the photo and two more frames of the same moment: shifted a little, with another
/// brightness and JPEG quality.
fn frames(photo: &[u8]) -> Vec<Vec<u8>> {
    let image = image::load_from_memory(photo).unwrap().into_rgb8();
    let mut made = vec![photo.to_vec()];
    for (dx, dy, quality, light) in [(3i64, 2i64, 80, 8), (-2, 3, 65, -6)] {
        let mut moved = RgbImage::new(image.width(), image.height());
        imageops::replace(&mut moved, &image, dx, dy);
        let moved = DynamicImage::ImageRgb8(moved).brighten(light);
        let mut bytes = Cursor::new(Vec::new());
        moved
            .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality))
            .unwrap();
        made.push(bytes.into_inner());
    }
    made
}

async fn photos(engine: &Engine, folder: &Path) -> Photos {
    let template = Work {
        views: engine.enrollment_views(),
        embed: 1,
        photo: true,
        sender: None,
    };
    let mut people = Vec::new();
    for number in 1..=40 {
        let of = |numbers: std::ops::RangeInclusive<usize>| -> Vec<Vec<u8>> {
            numbers
                .map(|photo| read(&folder.join(format!("people/p{number:02}/{photo}.jpg"))))
                .collect()
        };
        let person = Person {
            templates: embed_all(engine, of(1..=PHOTOS), template).await,
            probes: embed_all(engine, of(1..=PHOTOS), PROBE).await,
            quick: embed_all(engine, of(1..=PHOTOS), QUICK).await,
        };
        let made = [&person.templates, &person.probes, &person.quick].map(Vec::len);
        assert_eq!(made, [PHOTOS; 3]);
        people.push(person);
    }
    let mut stranger_bursts: Vec<Vec<Embedding>> = Vec::new();
    let (mut stranger_templates, mut quick_strangers) = (Vec::new(), Vec::new());
    for number in 1..=150 {
        let photo = read(&folder.join(format!("strangers/s{number:03}.jpg")));
        stranger_templates.extend(embed(engine, photo.clone(), template).await);
        quick_strangers.extend(embed(engine, photo.clone(), QUICK).await);
        stranger_bursts.push(embed_all(engine, frames(&photo), PROBE).await);
    }
    Photos {
        strangers: stranger_bursts
            .iter()
            .filter_map(|burst| burst.first().cloned())
            .collect(),
        quick_strangers,
        people,
        stranger_templates,
        stranger_bursts,
    }
}

pub fn employee(number: usize) -> EmployeeId {
    EmployeeId::new(Uuid::from_u128(number as u128))
}

/// A gallery, and the policy of its searches.
pub struct Bench<'a> {
    engine: &'a Engine,
    pub gallery: MemoryGallery,
    pub policy: Policy,
}

impl<'a> Bench<'a> {
    pub fn new(
        engine: &'a Engine,
        templates: impl Iterator<Item = Vec<Embedding>>,
        fpir: f64,
    ) -> Self {
        let dimensions = default_pack().manifest().embedder.dimensions;
        let gallery = MemoryGallery::new(dimensions);
        for (number, photos) in templates.enumerate() {
            let fused = Fused::from_embeddings(&photos).unwrap();
            let reference = Reference {
                fused,
                views: engine.enrollment_views(),
                look_alikes: Vec::new(),
            };
            gallery.put(employee(number), reference);
        }
        gallery.calibrate(engine.calibration().unwrap());
        let fpir = ErrorRate::new(fpir).unwrap();
        Self {
            engine,
            gallery,
            policy: Policy::new(fpir, Some(0.0)),
        }
    }

    pub fn identify(&self, frames: &[Embedding]) -> Identification {
        self.search(frames, Views::Pair, self.policy)
    }

    /// Identifies the person of a quick look, and otherwise of the full look, as the service does.
    fn cascade(&self, quick: &Embedding, full: &Embedding) -> Identification {
        let quick = self.search(std::slice::from_ref(quick), Views::One, self.policy.quick());
        if quick.identified.is_ok() || !quick.close {
            return quick;
        }
        let full = std::slice::from_ref(full);
        self.search(full, Views::Pair, self.policy)
    }

    fn search(&self, frames: &[Embedding], views: Views, policy: Policy) -> Identification {
        let calibration = self.engine.calibration().unwrap();
        let probe = Probe {
            fused: Fused::from_embeddings(frames).unwrap(),
            views,
        };
        let people = self.gallery.people();
        let views = self.engine.enrollment_views();
        let point = calibration.at(policy.fmr_among(people), views, probe.views);
        let matches = self
            .gallery
            .search(&probe.fused.embedding, point.slope(), 5);
        identify(&matches, people, &probe, calibration, policy)
    }

    fn run(
        &self,
        name: &str,
        known: &[(usize, Vec<Embedding>)],
        strangers: &[Vec<Embedding>],
    ) -> Figures {
        let known = known
            .iter()
            .map(|(number, frames)| (*number, self.identify(frames)));
        let strangers: Vec<_> = strangers
            .iter()
            .map(|frames| self.identify(frames))
            .collect();
        Self::count(name, known, &strangers)
    }

    fn count(
        name: &str,
        known: impl Iterator<Item = (usize, Identification)>,
        strangers: &[Identification],
    ) -> Figures {
        let mut figures = Figures::default();
        for (number, found) in known {
            figures.probes += 1;
            match found.identified {
                Ok(found) if found == employee(number) => figures.identified += 1,
                Ok(_) => figures.mistaken += 1,
                Err(_) => {}
            }
        }
        let named = strangers.iter().filter(|found| found.identified.is_ok());
        figures.strangers_identified = named.count();
        println!(
            "{name}: {} of {} identified ({:.1} %), {} mistaken for another person, {} of {} strangers identified",
            figures.identified,
            figures.probes,
            100.0 * figures.share(),
            figures.mistaken,
            figures.strangers_identified,
            strangers.len(),
        );
        figures
    }
}

#[derive(Default)]
struct Figures {
    probes: usize,
    identified: usize,
    mistaken: usize,
    strangers_identified: usize,
}

impl Figures {
    fn share(&self) -> f64 {
        self.identified as f64 / self.probes as f64
    }
}

#[tokio::test]
async fn enrolled_people_are_identified_and_strangers_are_not() {
    let Some(Measured { engine, photos }) = measured().await else {
        return;
    };
    let singles: Vec<(usize, Vec<Embedding>)> = photos
        .people
        .iter()
        .enumerate()
        .flat_map(|(number, person)| {
            person.probes[ENROLLED..]
                .iter()
                .map(move |probe| (number, vec![probe.clone()]))
        })
        .collect();
    let bursts: Vec<(usize, Vec<Embedding>)> = photos
        .people
        .iter()
        .enumerate()
        .map(|(number, person)| (number, person.probes[ENROLLED..].to_vec()))
        .collect();
    let strangers: Vec<Vec<Embedding>> = photos
        .strangers
        .iter()
        .map(|one| vec![one.clone()])
        .collect();
    let copies = |of: &[Vec<Embedding>]| -> Vec<Vec<Embedding>> {
        of.iter().map(|one| vec![one[0].clone(); 3]).collect()
    };
    let templates = || {
        photos
            .people
            .iter()
            .map(|person| person.templates[..ENROLLED].to_vec())
    };

    let single = Bench::new(engine, templates(), 0.01).run(
        "single images at FPIR 1 %",
        &singles,
        &strangers,
    );
    let strict = Bench::new(engine, templates(), 0.001).run(
        "single images at FPIR 0.1 %",
        &singles,
        &strangers,
    );
    let burst = Bench::new(engine, templates(), 0.001).run(
        "bursts of three at FPIR 0.1 %",
        &bursts,
        &photos.stranger_bursts,
    );
    for (fpir, least, most) in [(0.01, 0.99, 2), (0.001, 0.97, 1)] {
        let bench = Bench::new(engine, templates(), fpir);
        let known = photos
            .people
            .iter()
            .enumerate()
            .flat_map(|(number, person)| {
                let probes = person.quick.iter().zip(&person.probes).skip(ENROLLED);
                let bench = &bench;
                probes.map(move |(quick, full)| (number, bench.cascade(quick, full)))
            });
        let strangers = photos.quick_strangers.iter().zip(&photos.strangers);
        let strangers: Vec<_> = strangers
            .map(|(quick, full)| bench.cascade(quick, full))
            .collect();
        let name = format!("quick look, then full, at FPIR {} %", fpir * 100.0);
        let figures = Bench::count(&name, known, &strangers);
        assert!(figures.share() >= least && figures.mistaken == 0, "{name}");
        assert!(figures.strangers_identified <= most, "{name}");
    }
    assert!(single.share() >= 0.99 && single.strangers_identified <= 2 && single.mistaken == 0);
    assert!(strict.share() >= 0.97 && strict.strangers_identified <= 1 && strict.mistaken == 0);
    assert!(burst.share() >= 0.99 && burst.strangers_identified <= 1 && burst.mistaken == 0);

    // Copies of a photo count as one photo: they must not identify more strangers.
    let first = || {
        photos
            .people
            .iter()
            .map(|person| vec![person.templates[0].clone()])
    };
    let five = || {
        photos
            .people
            .iter()
            .map(|person| vec![person.templates[0].clone(); 5])
    };
    for fpir in [0.01, 0.001] {
        let one =
            Bench::new(engine, first(), fpir).run("one photo, one frame", &singles, &strangers);
        let many = Bench::new(engine, five(), fpir).run(
            "five copies, three copies",
            &singles,
            &copies(&strangers),
        );
        assert!(
            many.strangers_identified <= one.strangers_identified,
            "copies identify more strangers than one photo does"
        );
    }
}
