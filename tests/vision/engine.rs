//! The engine under load, with callers who leave, at its end, and with packs that are damaged.

use std::{fs, path::Path, sync::Arc, time::Duration};

use rollcall::{
    ports::{EngineError, FaceEngine, Sample, SampleError},
    vision::{Engine, EngineOptions, EngineStartError, Pack, PackError, Runtime},
};

use crate::support::{PROBE, TEMPLATE, builtin, portrait, project, runtime};

fn engine(queue: usize) -> Arc<Engine> {
    let options = EngineOptions {
        threads: 1,
        queue,
        ..EngineOptions::default()
    };
    Arc::new(Engine::start(&runtime(), &builtin(), options).unwrap())
}

#[tokio::test]
async fn a_full_queue_is_an_answer_and_the_engine_recovers() {
    let engine = engine(1);
    let photo = Sample::new(portrait("obama.jpg"));
    let looks = (0..12).map(|_| engine.analyse(photo.clone(), TEMPLATE));
    let answers = futures::future::join_all(looks).await;
    let refused = answers
        .iter()
        .filter(|answer| matches!(answer, Err(EngineError::Overloaded)))
        .count();
    let seen = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(seen + refused, 12);
    assert!((1..=3).contains(&seen), "{seen} were seen");
    assert_eq!(engine.analyse(photo, PROBE).await.unwrap().faces.len(), 1);
}

#[tokio::test]
async fn what_can_wait_is_refused_while_anything_waits() {
    let engine = engine(8);
    let photo = Sample::new(portrait("obama.jpg"));
    // They are queued in this order, before any of them is answered.
    let others = (0..4).map(|_| engine.analyse(photo.clone(), TEMPLATE));
    let others = futures::future::join_all(others);
    let later = engine.analyse_if_idle(photo.clone(), PROBE);
    let (others, later) = futures::future::join(others, later).await;
    assert!(
        others.iter().all(Result::is_ok),
        "the others were looked at"
    );
    assert_eq!(later.unwrap_err(), EngineError::Overloaded);
    let idle = engine.analyse_if_idle(photo, PROBE).await.unwrap();
    assert_eq!(idle.faces.len(), 1);
}

#[tokio::test]
async fn a_caller_who_left_costs_no_more_work() {
    let engine = engine(64);
    let photo = Sample::new(portrait("obama.jpg"));
    let start = std::time::Instant::now();
    engine.analyse(photo.clone(), TEMPLATE).await.unwrap();
    let one = start.elapsed();
    for _ in 0..40 {
        let look = engine.analyse(photo.clone(), TEMPLATE);
        let left = tokio::time::timeout(Duration::ZERO, look).await;
        assert!(left.is_err());
    }
    let start = std::time::Instant::now();
    engine.analyse(photo, PROBE).await.unwrap();
    assert!(
        start.elapsed() < one * 10,
        "the samples of those who left were looked at"
    );
}

#[tokio::test]
async fn after_the_stop_there_is_one_answer_to_everybody() {
    let engine = engine(64);
    let photo = Sample::new(portrait("obama.jpg"));
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let (engine, photo) = (Arc::clone(&engine), photo.clone());
            tokio::spawn(async move { engine.analyse(photo, TEMPLATE).await })
        })
        .collect();
    tokio::task::yield_now().await;
    engine.stop();
    let mut stopped = 0;
    for answer in waiting {
        match answer.await.unwrap() {
            Err(EngineError::Stopped) => stopped += 1,
            Ok(_) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(stopped >= 17, "{stopped} of those who waited were told");
    assert_eq!(
        engine.analyse(photo, PROBE).await.unwrap_err(),
        EngineError::Stopped
    );
}

#[tokio::test]
async fn a_bad_sample_is_the_callers_error_and_the_next_is_looked_at() {
    let engine = engine(4);
    let bad = engine.analyse(Sample::new("hello"), PROBE).await;
    assert_eq!(
        bad.unwrap_err(),
        EngineError::Sample(SampleError::Unsupported)
    );
    let good = engine
        .analyse(Sample::new(portrait("biden.jpg")), PROBE)
        .await
        .unwrap();
    assert!(good.faces[0].embedding.is_some() && good.faces[0].liveness.is_none());
}

#[test]
fn what_it_runs_on_is_said_at_start() {
    let engine = engine(3);
    let said = engine.describe().to_string();
    assert!(
        said.starts_with("pack builtin 1 (dlib-resnet-v1, "),
        "{said}"
    );
    assert!(engine.describe().calibrated && engine.describe().queue == 3);
}

/// A copy of the built-in pack with one file changed.
fn damaged(change: impl FnOnce(&Path)) -> EngineStartError {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(project("models/builtin")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    change(folder.path());
    let started = Pack::open(folder.path())
        .map_err(EngineStartError::from)
        .and_then(|pack| Engine::start(&runtime(), &pack, EngineOptions::default()));
    started.err().unwrap()
}

fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join("pack.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} is not in pack.toml");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_damaged_pack_gets_an_error_that_names_the_file() {
    let missing = damaged(|folder| fs::remove_file(folder.join("detector.onnx")).unwrap());
    assert!(
        matches!(missing, EngineStartError::Pack(PackError::Missing(_))),
        "{missing}"
    );
    assert!(missing.to_string().contains("detector.onnx"));

    let truncated = damaged(|folder| {
        let path = folder.join("embedder.onnx");
        let content = fs::read(&path).unwrap();
        fs::write(path, &content[..content.len() / 2]).unwrap();
    });
    assert!(
        matches!(truncated, EngineStartError::Pack(PackError::Size { .. })),
        "{truncated}"
    );
    assert!(truncated.to_string().contains("embedder.onnx"));

    let other = damaged(|folder| {
        let path = folder.join("detector.onnx");
        let mut content = fs::read(&path).unwrap();
        content[1000] ^= 1;
        fs::write(path, content).unwrap();
    });
    assert!(
        matches!(other, EngineStartError::Pack(PackError::Hash { .. })),
        "{other}"
    );

    let unknown = damaged(|folder| edit(folder, "[detector]", "[detector]\nsurprise = 1"));
    assert!(unknown.to_string().contains("surprise"), "{unknown}");

    let outside = damaged(|folder| edit(folder, "\"detector.onnx\"", "\"../detector.onnx\""));
    assert!(outside.to_string().contains("not a file name"), "{outside}");

    let size = damaged(|folder| edit(folder, "dimensions = 128", "dimensions = 512"));
    assert!(
        matches!(size, EngineStartError::Pack(PackError::NotAModel { .. })),
        "{size}"
    );
    assert!(size.to_string().contains("512"), "{size}");
}

#[test]
fn a_model_that_is_no_detector_is_refused_at_start() {
    let pack = builtin();
    let embedder = &pack.manifest().embedder.variants[0];
    let swapped = damaged(|folder| {
        fs::copy(folder.join(&embedder.file), folder.join("detector.onnx")).unwrap();
        edit(
            folder,
            "bytes = 231973",
            &format!("bytes = {}", embedder.bytes),
        );
        let detector = &pack.manifest().detector.sha256;
        edit(folder, detector, &embedder.sha256);
    });
    assert!(
        matches!(swapped, EngineStartError::Pack(PackError::NotAModel { .. })),
        "{swapped}"
    );
}

#[test]
fn a_pack_that_is_not_installed_names_the_places() {
    let error = Pack::find("nowhere", &[project("models")]).unwrap_err();
    assert!(
        error.to_string().contains("models/nowhere/pack.toml"),
        "{error}"
    );
}

#[test]
fn the_runtime_is_loaded_once() {
    let first = runtime();
    let again = Runtime::load(Some(Path::new("/nowhere/lib.so"))).unwrap();
    assert_eq!(first.path(), again.path());
}
