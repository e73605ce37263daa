//! Tests of the engine under load, with canceled requests, at shutdown, and with damaged packs.

use std::{fs, path::Path, sync::Arc, time::Duration};

use rollcall::{
    domain::biometrics::Views,
    ports::{EngineError, FaceEngine, Sample, SampleError},
    vision::{Engine, EngineOptions, EngineStartError, Pack, PackError, Runtime},
};

use crate::{
    runtime::missing,
    support::{PROBE, TEMPLATE, default_pack, portrait, project, runtime},
};

fn engine(queue: usize) -> Arc<Engine> {
    let options = EngineOptions {
        threads: 1,
        queue,
        ..EngineOptions::default()
    };
    Arc::new(Engine::start(&runtime(), &default_pack(), options).unwrap())
}

#[tokio::test]
async fn a_full_queue_rejects_samples_and_the_engine_recovers() {
    if missing() {
        return;
    }
    let engine = engine(1);
    let photo = Sample::new(portrait("obama.jpg"));
    let requests = (0..12).map(|_| engine.analyze(photo.clone(), TEMPLATE));
    let answers = futures::future::join_all(requests).await;
    let rejected = answers
        .iter()
        .filter(|answer| matches!(answer, Err(EngineError::Overloaded)))
        .count();
    let analyzed = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(analyzed + rejected, 12);
    assert!((1..=3).contains(&analyzed), "{analyzed} were analyzed");
    assert_eq!(engine.analyze(photo, PROBE).await.unwrap().faces.len(), 1);
}

#[tokio::test]
async fn background_samples_are_rejected_while_any_sample_waits() {
    if missing() {
        return;
    }
    let engine = engine(8);
    let photo = Sample::new(portrait("obama.jpg"));
    // They are queued in this order, before the first answer.
    let others = (0..4).map(|_| engine.analyze(photo.clone(), TEMPLATE));
    let others = futures::future::join_all(others);
    let later = engine.analyze_if_idle(photo.clone(), PROBE);
    let (others, later) = futures::future::join(others, later).await;
    assert!(others.iter().all(Result::is_ok), "the others were analyzed");
    assert_eq!(later.unwrap_err(), EngineError::Overloaded);
    let idle = engine.analyze_if_idle(photo, PROBE).await.unwrap();
    assert_eq!(idle.faces.len(), 1);
}

#[tokio::test]
async fn a_canceled_request_costs_no_work() {
    if missing() {
        return;
    }
    let engine = engine(64);
    let photo = Sample::new(portrait("obama.jpg"));
    let start = std::time::Instant::now();
    engine.analyze(photo.clone(), TEMPLATE).await.unwrap();
    let one = start.elapsed();
    for _ in 0..40 {
        let request = engine.analyze(photo.clone(), TEMPLATE);
        let canceled = tokio::time::timeout(Duration::ZERO, request).await;
        assert!(canceled.is_err());
    }
    let start = std::time::Instant::now();
    engine.analyze(photo.clone(), PROBE).await.unwrap();
    let after = start.elapsed();
    let start = std::time::Instant::now();
    engine.analyze(photo, TEMPLATE).await.unwrap();
    // The machine may have become busier meanwhile.
    let one = one.max(start.elapsed());
    assert!(
        after < one * 15,
        "the samples of canceled requests were analyzed"
    );
}

#[tokio::test]
async fn stopping_fails_waiting_and_new_requests() {
    if missing() {
        return;
    }
    let engine = engine(64);
    let photo = Sample::new(portrait("obama.jpg"));
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let (engine, photo) = (Arc::clone(&engine), photo.clone());
            tokio::spawn(async move { engine.analyze(photo, TEMPLATE).await })
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
    assert!(
        stopped >= 10,
        "only {stopped} waiting requests were answered with Stopped"
    );
    assert_eq!(
        engine.analyze(photo, PROBE).await.unwrap_err(),
        EngineError::Stopped
    );
}

#[tokio::test]
async fn a_bad_sample_is_an_error_and_the_next_one_is_analyzed() {
    if missing() {
        return;
    }
    let engine = engine(4);
    let bad = engine.analyze(Sample::new("hello"), PROBE).await;
    assert_eq!(
        bad.unwrap_err(),
        EngineError::Sample(SampleError::Unsupported)
    );
    let good = engine
        .analyze(Sample::new(portrait("biden.jpg")), PROBE)
        .await
        .unwrap();
    assert!(good.faces[0].embedding.is_some() && good.faces[0].liveness.is_none());
}

#[test]
fn the_description_names_the_pack_and_the_model() {
    if missing() {
        return;
    }
    let engine = engine(3);
    let description = engine.describe().to_string();
    assert!(
        description.starts_with("pack mobilefacenet 1 (mobilefacenet-v1, "),
        "{description}"
    );
    assert!(engine.describe().calibrated && engine.describe().queue == 3);
    assert_eq!(engine.enrollment_views(), Views::Pair);
}

#[test]
fn a_pack_says_which_views_enrollment_makes() {
    let views = |folder: &Path| {
        let pack = Pack::open(folder).unwrap();
        pack.manifest().embedder.enroll_views
    };
    let default = project("models/mobilefacenet");
    assert_eq!(views(&default), Views::Pair);
    assert_eq!(views(&project("models/dlib")), Views::All);
    // A pack without the key was calibrated for all views.
    let folder = tempfile::tempdir().unwrap();
    fs::copy(default.join("pack.toml"), folder.path().join("pack.toml")).unwrap();
    edit(folder.path(), "enroll_views = \"pair\"", "");
    assert_eq!(views(folder.path()), Views::All);
}

/// Starts an engine with a copy of the default pack after a change; returns the error.
fn damaged(change: impl FnOnce(&Path)) -> EngineStartError {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(project("models/mobilefacenet")).unwrap() {
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
fn the_error_for_a_damaged_pack_names_the_file() {
    if missing() {
        return;
    }
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

    let size = damaged(|folder| edit(folder, "dimensions = 192", "dimensions = 512"));
    assert!(
        matches!(size, EngineStartError::Pack(PackError::NotAModel { .. })),
        "{size}"
    );
    assert!(size.to_string().contains("512"), "{size}");
}

#[test]
fn a_model_that_is_not_a_detector_is_rejected_at_start() {
    if missing() {
        return;
    }
    let pack = default_pack();
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
fn the_error_for_a_missing_pack_lists_the_tried_paths() {
    let error = Pack::find("nowhere", &[project("models")]).unwrap_err();
    assert!(
        error.to_string().contains("models/nowhere/pack.toml"),
        "{error}"
    );
}

#[test]
fn the_runtime_is_loaded_once() {
    if missing() {
        return;
    }
    let first = runtime();
    let again = Runtime::load(Some(Path::new("/nowhere/lib.so"))).unwrap();
    assert_eq!(first.path(), again.path());
}
