//! How well people are told apart, on the research photos beside the project when they are there.

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
use uuid::Uuid;

use crate::support::{PROBE, TEMPLATE, builtin, project, runtime};

/// Photos to enroll and to probe with, by person.
struct Person {
    enrolled: Vec<Embedding>,
    probes: Vec<Embedding>,
}

struct Photos {
    people: Vec<Person>,
    strangers: Vec<Embedding>,
    /// Three frames of one moment, for each stranger.
    stranger_bursts: Vec<Vec<Embedding>>,
}

fn faces() -> Option<PathBuf> {
    let folder = project("../shared/faces");
    folder.join("people").is_dir().then_some(folder)
}

async fn embed(engine: &Engine, photo: Vec<u8>, work: Work) -> Option<Embedding> {
    let seen = engine.analyse(Sample::new(photo), work).await.unwrap();
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

/// The photo as two more frames of the same moment: moved a little, turned into another JPEG.
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
    let mut people = Vec::new();
    for number in 1..=40 {
        let of = |numbers: std::ops::RangeInclusive<usize>| -> Vec<Vec<u8>> {
            numbers
                .map(|photo| read(&folder.join(format!("people/p{number:02}/{photo}.jpg"))))
                .collect()
        };
        people.push(Person {
            enrolled: embed_all(engine, of(1..=5), TEMPLATE).await,
            probes: embed_all(engine, of(6..=8), PROBE).await,
        });
    }
    let mut stranger_bursts: Vec<Vec<Embedding>> = Vec::new();
    for number in 1..=150 {
        let photo = read(&folder.join(format!("strangers/s{number:03}.jpg")));
        stranger_bursts.push(embed_all(engine, frames(&photo), PROBE).await);
    }
    Photos {
        strangers: stranger_bursts
            .iter()
            .filter_map(|burst| burst.first().cloned())
            .collect(),
        people,
        stranger_bursts,
    }
}

fn employee(number: usize) -> EmployeeId {
    EmployeeId::new(Uuid::from_u128(number as u128))
}

/// A gallery and how it is searched.
struct Bench<'a> {
    engine: &'a Engine,
    gallery: MemoryGallery,
    policy: Policy,
}

impl<'a> Bench<'a> {
    fn new(engine: &'a Engine, templates: impl Iterator<Item = Vec<Embedding>>, fpir: f64) -> Self {
        let gallery = MemoryGallery::new(128);
        for (number, photos) in templates.enumerate() {
            let fused = Fused::of(&photos).unwrap();
            let views = Views::All;
            gallery.put(employee(number), Reference { fused, views });
        }
        let fpir = ErrorRate::new(fpir).unwrap();
        Self {
            engine,
            gallery,
            policy: Policy {
                fpir,
                least_margin: 0.0,
            },
        }
    }

    fn identify(&self, frames: &[Embedding]) -> Identification {
        let calibration = self.engine.calibration().unwrap();
        let probe = Probe {
            fused: Fused::of(frames).unwrap(),
            views: Views::Pair,
        };
        let people = self.gallery.people();
        let point = calibration.at(self.policy.fpir.fmr_among(people), Views::All, Views::Pair);
        let matches = self
            .gallery
            .search(&probe.fused.embedding, point.slope(), 5);
        identify(
            &matches,
            people,
            Views::All,
            &probe,
            calibration,
            self.policy,
        )
    }

    fn run(
        &self,
        name: &str,
        known: &[(usize, Vec<Embedding>)],
        strangers: &[Vec<Embedding>],
    ) -> Figures {
        let mut figures = Figures::default();
        for (number, frames) in known {
            figures.probes += 1;
            match self.identify(frames).identified {
                Some(found) if found == employee(*number) => figures.identified += 1,
                Some(_) => figures.mistaken += 1,
                None => {}
            }
        }
        for frames in strangers {
            figures.named += usize::from(self.identify(frames).identified.is_some());
        }
        println!(
            "{name}: {} of {} identified ({:.1} %), {} taken for somebody else, {} of {} strangers named",
            figures.identified,
            figures.probes,
            100.0 * figures.share(),
            figures.mistaken,
            figures.named,
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
    named: usize,
}

impl Figures {
    fn share(&self) -> f64 {
        self.identified as f64 / self.probes as f64
    }
}

#[tokio::test]
async fn people_are_known_and_strangers_are_not() {
    let Some(folder) = faces() else {
        println!("skipped: no research photos beside the project");
        return;
    };
    let engine = Engine::start(&runtime(), &builtin(), EngineOptions::default()).unwrap();
    println!("{}", engine.describe());
    let photos = photos(&engine, &folder).await;
    let singles: Vec<(usize, Vec<Embedding>)> = photos
        .people
        .iter()
        .enumerate()
        .flat_map(|(number, person)| {
            person
                .probes
                .iter()
                .map(move |probe| (number, vec![probe.clone()]))
        })
        .collect();
    let bursts: Vec<(usize, Vec<Embedding>)> = photos
        .people
        .iter()
        .enumerate()
        .map(|(number, person)| (number, person.probes.clone()))
        .collect();
    let strangers: Vec<Vec<Embedding>> = photos
        .strangers
        .iter()
        .map(|one| vec![one.clone()])
        .collect();
    let copies = |of: &[Vec<Embedding>]| -> Vec<Vec<Embedding>> {
        of.iter().map(|one| vec![one[0].clone(); 3]).collect()
    };
    let templates = || photos.people.iter().map(|person| person.enrolled.clone());

    let single = Bench::new(&engine, templates(), 0.01).run(
        "single images at FPIR 1 %",
        &singles,
        &strangers,
    );
    let burst = Bench::new(&engine, templates(), 0.001).run(
        "bursts of three at FPIR 0.1 %",
        &bursts,
        &photos.stranger_bursts,
    );
    // 97 % of single photos is what is aimed at; 94 % is what this model reaches, see docs/MODELS.md.
    assert!(single.share() >= 0.94 && single.named <= 4 && single.mistaken == 0);
    assert!(burst.share() >= 0.97 && burst.named <= 1 && burst.mistaken == 0);

    // Copies are one photo, however many: nobody gets in who would not by one.
    let first = || {
        photos
            .people
            .iter()
            .map(|person| vec![person.enrolled[0].clone()])
    };
    let five = || {
        photos
            .people
            .iter()
            .map(|person| vec![person.enrolled[0].clone(); 5])
    };
    for fpir in [0.01, 0.001] {
        let one =
            Bench::new(&engine, first(), fpir).run("one photo, one frame", &singles, &strangers);
        let many = Bench::new(&engine, five(), fpir).run(
            "five copies, three copies",
            &singles,
            &copies(&strangers),
        );
        assert!(
            many.named <= one.named,
            "copies name more strangers than one photo does"
        );
    }
}
