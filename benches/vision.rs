//! What one photo costs, stage by stage and whole, and how many go through all processors; and
//! what a search among many people costs. The photo is 640×480, as a kiosk sends it.
//!
//! `cargo bench --bench vision`. At the end: the whole against the sum of its stages.

use std::{
    hint::black_box,
    io::Cursor,
    path::Path,
    time::{Duration, Instant},
};

use criterion::Criterion;
use futures::{StreamExt, stream};
use image::{DynamicImage, Rgb, RgbImage, codecs::jpeg::JpegEncoder, imageops};
use rollcall::{
    domain::{
        biometrics::{Embedding, Fused, Reference, Views},
        ids::EmployeeId,
    },
    gallery::MemoryGallery,
    ports::{FaceEngine, Gallery, Sample, Work},
    vision::{
        Engine, EngineOptions, Pack, Runtime,
        decode::SampleLimits,
        measure::measure,
        pipeline::{Models, Pipeline},
    },
};
use uuid::Uuid;

const PROBE: Work = Work {
    views: Views::Pair,
    embed: 1,
};

fn project(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A portrait on a grey wall, 640×480.
fn photo() -> Vec<u8> {
    let portrait = image::open(project("tests/fixtures/faces/obama.jpg"))
        .unwrap()
        .into_rgb8();
    let height = 480;
    let width = portrait.width() * height / portrait.height();
    let small = imageops::resize(&portrait, width, height, imageops::FilterType::Triangle);
    let mut photo = RgbImage::from_pixel(640, 480, Rgb([140, 138, 132]));
    imageops::replace(&mut photo, &small, i64::from(640 - width) / 2, 0);
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(photo)
        .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 88))
        .unwrap();
    bytes.into_inner()
}

/// A pipeline with the variant that the engine chose.
fn pipeline(runtime: &Runtime, pack: &Pack, engine: &Engine) -> Pipeline {
    let models = Models::read(pack).unwrap();
    let chosen = engine.describe().precision;
    let variants = &pack.manifest().embedder.variants;
    let variant = variants
        .iter()
        .find(|variant| variant.precision == chosen)
        .unwrap();
    let file = pack.read(&variant.model_file()).unwrap();
    let embedder = models.embedder(runtime, variant, &file).unwrap();
    models
        .pipeline(runtime, embedder, SampleLimits::default())
        .unwrap()
}

/// The median time of a run.
fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..60)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn eyes(criterion: &mut Criterion) {
    let runtime = Runtime::load(None).unwrap();
    let pack = Pack::open(project("models/builtin")).unwrap();
    let engine = Engine::start(&runtime, &pack, EngineOptions::default()).unwrap();
    let mut pipeline = pipeline(&runtime, &pack, &engine);
    let photo = photo();
    println!("{}", engine.describe());

    let image = pipeline.decode(&photo).unwrap();
    let found = pipeline.detect(&image).unwrap();
    let face = found[0];
    let spec = &pack.manifest().embedder;
    let (side, template) = (spec.input as usize, spec.template);
    let place = rollcall::vision::align::Similar::fit(&face.landmarks, &template).unwrap();
    let mut shrunk = rollcall::vision::align::Shrunk::default();
    let mut chip = Vec::new();
    rollcall::vision::align::chip(&image, place, side, &mut shrunk, &mut chip);

    criterion.bench_function("stage/decode", |b| {
        b.iter(|| pipeline.decode(black_box(&photo)).unwrap());
    });
    criterion.bench_function("stage/detect", |b| {
        b.iter(|| pipeline.detect(black_box(&image)).unwrap());
    });
    criterion.bench_function("stage/align", |b| {
        b.iter(|| {
            rollcall::vision::align::chip(black_box(&image), place, side, &mut shrunk, &mut chip);
        });
    });
    criterion.bench_function("stage/quality", |b| {
        b.iter(|| measure(&face, image.dimensions(), place, black_box(&chip), side));
    });
    criterion.bench_function("stage/align+quality+embed", |b| {
        b.iter(|| {
            pipeline
                .face(black_box(&image), &face, Some(PROBE))
                .unwrap()
        });
    });
    criterion.bench_function("whole/analyse", |b| {
        b.iter(|| pipeline.analyse(black_box(&photo), PROBE).unwrap());
    });

    let stages = median(|| drop(pipeline.decode(&photo).unwrap()))
        + median(|| drop(pipeline.detect(&image).unwrap()))
        + median(|| drop(pipeline.face(&image, &face, Some(PROBE)).unwrap()));
    let whole = median(|| drop(pipeline.analyse(&photo, PROBE).unwrap()));
    println!(
        "one photo {whole:?}, the sum of its stages {stages:?}: {:.2} times",
        whole.as_secs_f64() / stages.as_secs_f64()
    );

    let threads = engine.describe().threads;
    let sample = Sample::new(photo);
    let count = 400;
    let executor = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let start = Instant::now();
    executor.block_on(async {
        stream::iter(0..count)
            .map(|_| engine.analyse(sample.clone(), PROBE))
            .buffer_unordered(threads * 2)
            .for_each(|seen| async move { assert_eq!(seen.unwrap().faces.len(), 1) })
            .await;
    });
    println!(
        "{:.0} photos a second on {threads} threads",
        f64::from(count) / start.elapsed().as_secs_f64()
    );
}

fn search(criterion: &mut Criterion) {
    const PEOPLE: u32 = 100_000;
    const SIZE: usize = 128;
    let row = |seed: u32| {
        let mut state = u64::from(seed) + 1;
        let values = (0..SIZE).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        });
        Embedding::normalise(values.collect()).unwrap()
    };
    let gallery = MemoryGallery::new(SIZE);
    for number in 0..PEOPLE {
        let reference = Reference {
            fused: Fused::of(&[row(number)]).unwrap(),
            views: Views::All,
        };
        gallery.put(
            EmployeeId::new(Uuid::from_u128(u128::from(number))),
            reference,
        );
    }
    let probe = row(PEOPLE + 7);
    criterion.bench_function("gallery/search 100,000 × 128", |b| {
        b.iter(|| gallery.search(black_box(&probe), 0.6, 5));
    });
    let again = gallery.find(EmployeeId::new(Uuid::from_u128(5))).unwrap();
    criterion.bench_function("gallery/put", |b| {
        b.iter(|| gallery.put(EmployeeId::new(Uuid::from_u128(5)), again.clone()));
    });
}

fn main() {
    let mut criterion = Criterion::default().sample_size(30).configure_from_args();
    eyes(&mut criterion);
    search(&mut criterion);
    criterion.final_summary();
}
