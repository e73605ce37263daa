//! Measures the time of one photo, per stage and as a whole, and the throughput on all processors.
//! The photo has 640×480 pixels, as a kiosk sends it.
//!
//! `cargo bench --bench vision`. Also prints the time of the whole over the sum of its stages.

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
    domain::biometrics::Views,
    ports::{FaceEngine, Sample, Work},
    vision::{
        Engine, EngineOptions, Pack, Runtime,
        decode::SampleLimits,
        face_quality::measure,
        pipeline::{Models, Pipeline},
    },
};

const PROBE: Work = Work {
    sender: None,
    views: Views::Pair,
    embed: 1,
    photo: false,
};

fn project(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Renders a portrait on a gray wall, 640×480 pixels.
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

/// Opens a pipeline with the variant that the engine chose.
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

/// Measures the median time of a run.
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

fn face_pipeline(criterion: &mut Criterion) {
    let runtime = Runtime::load(None).unwrap();
    let pack = Pack::open(project("models/mobilefacenet")).unwrap();
    let engine = Engine::start(&runtime, &pack, EngineOptions::default()).unwrap();
    let mut pipeline = pipeline(&runtime, &pack, &engine);
    let photo = photo();
    println!("{}", engine.describe());

    let image = pipeline.decode(&photo, false).unwrap();
    let found = pipeline.detect(&image, false).unwrap();
    let face = found[0];
    let spec = &pack.manifest().embedder;
    let (side, template) = (spec.input as usize, spec.template);
    let to_chip =
        rollcall::vision::align::SimilarityTransform::fit(&face.landmarks, &template).unwrap();
    let mut shrunk = rollcall::vision::align::ShrinkBuffer::default();
    let mut chip = Vec::new();
    rollcall::vision::align::chip(&image, to_chip, side, &mut shrunk, &mut chip);

    criterion.bench_function("stage/decode", |b| {
        b.iter(|| pipeline.decode(black_box(&photo), false).unwrap());
    });
    criterion.bench_function("stage/detect", |b| {
        b.iter(|| pipeline.detect(black_box(&image), false).unwrap());
    });
    criterion.bench_function("stage/align", |b| {
        b.iter(|| {
            rollcall::vision::align::chip(black_box(&image), to_chip, side, &mut shrunk, &mut chip);
        });
    });
    criterion.bench_function("stage/quality", |b| {
        b.iter(|| measure(&face, image.dimensions(), to_chip, black_box(&chip), side));
    });
    criterion.bench_function("stage/align+quality+embed", |b| {
        b.iter(|| {
            pipeline
                .face(black_box(&image), &face, Some(PROBE))
                .unwrap()
        });
    });
    criterion.bench_function("whole/analyze", |b| {
        b.iter(|| pipeline.analyze(black_box(&photo), PROBE).unwrap());
    });

    let stages = median(|| drop(pipeline.decode(&photo, false).unwrap()))
        + median(|| drop(pipeline.detect(&image, false).unwrap()))
        + median(|| drop(pipeline.face(&image, &face, Some(PROBE)).unwrap()));
    let whole = median(|| drop(pipeline.analyze(&photo, PROBE).unwrap()));
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
            .map(|_| engine.analyze(sample.clone(), PROBE))
            .buffer_unordered(threads * 2)
            .for_each(|outcome| async move { assert_eq!(outcome.unwrap().faces.len(), 1) })
            .await;
    });
    println!(
        "{:.0} photos a second on {threads} threads",
        f64::from(count) / start.elapsed().as_secs_f64()
    );
}

fn main() {
    let mut criterion = Criterion::default().sample_size(30).configure_from_args();
    face_pipeline(&mut criterion);
    criterion.final_summary();
}
