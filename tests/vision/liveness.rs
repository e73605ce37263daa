//! Liveness models as an add-on: real models on real photos, if they are available beside the
//! project.

use std::{
    fs,
    path::{Path, PathBuf},
};

use futures::{StreamExt, stream};
use rollcall::{
    ports::{FaceEngine, Sample},
    vision::{
        Engine, EngineOptions, Pack,
        pack::{Installed, PackError},
    },
};
use sha2::{Digest, Sha256};

use crate::{
    runtime::missing,
    support::{PROBE, default_pack, portrait, project, runtime},
};

/// The models' files and their crop scales.
const MODELS: [(&str, &str); 2] = [
    ("minifasnet_v2_2.7_80x80.onnx", "2.7"),
    ("minifasnet_v1se_4.0_80x80.onnx", "4.0"),
];

/// Creates a folder of packs with the default pack and an add-on `real` of the models; `None` if
/// the models are not available.
fn packs() -> Option<tempfile::TempDir> {
    let models = project("../shared/models/liveness");
    if !models.is_dir() {
        eprintln!("skipped: liveness models, because ../shared/models/liveness does not exist");
        return None;
    }
    let root = tempfile::tempdir().unwrap();
    let pack = project("models/mobilefacenet");
    std::os::unix::fs::symlink(pack, root.path().join("mobilefacenet")).unwrap();
    let folder = root.path().join("real");
    fs::create_dir(&folder).unwrap();
    let mut manifest =
        "id = \"real\"\nname = \"MiniFASNet\"\nversion = \"1\"\nlicense = \"Apache-2.0\"\n"
            .to_owned();
    for (file, crop) in MODELS {
        let content = fs::read(models.join(file)).unwrap();
        fs::write(folder.join(file), &content).unwrap();
        manifest += &format!(
            "[[liveness]]\nfile = \"{file}\"\nsha256 = \"{}\"\nbytes = {}\ninput = 80\ncrop_scale = {crop}\ncolor = \"bgr\"\nmean = [0.0, 0.0, 0.0]\nscale = 1.0\nlive_class = 1\n",
            hex::encode(Sha256::digest(&content)),
            content.len(),
        );
    }
    fs::write(folder.join("pack.toml"), manifest).unwrap();
    Some(root)
}

fn start(pack: &Pack) -> Engine {
    Engine::start(&runtime(), pack, EngineOptions::default()).unwrap()
}

async fn liveness(engine: &Engine, photo: Vec<u8>) -> Option<f32> {
    let seen = engine.analyze(Sample::new(photo), PROBE).await.unwrap();
    seen.faces.first()?.liveness
}

/// At 0.5, the models reject about 11 % of bona fide faces in photos from the web
/// (docs/MODELS.md). With wrong inputs (colors, crop, class), they reject nearly all of them.
#[tokio::test]
async fn real_models_accept_most_real_people_as_live() {
    if missing() {
        return;
    }
    let Some(root) = packs() else { return };
    let pack = Pack::with_liveness("builtin", Some("real"), &[root.path().to_owned()]).unwrap();
    let engine = start(&pack);
    assert!(engine.describe().to_string().contains("liveness"));
    let photos: Vec<PathBuf> = (1..=40)
        .map(|person| project(&format!("../shared/faces/people/p{person:02}/1.jpg")))
        .collect();
    let found: Vec<f32> = stream::iter(photos)
        .map(|photo| liveness(&engine, fs::read(photo).unwrap()))
        .buffered(4)
        .filter_map(std::future::ready)
        .collect()
        .await;
    let live = found.iter().filter(|found| **found >= 0.5).count();
    println!("{live} of {} people are accepted as live", found.len());
    assert!(found.len() >= 38, "{} faces were measured", found.len());
    assert!(live * 4 >= found.len() * 3, "{live} of {}", found.len());
    assert!(found.iter().all(|found| (0.0..=1.0).contains(found)));
}

#[tokio::test]
async fn without_an_add_on_there_is_no_liveness() {
    if missing() {
        return;
    }
    let engine = start(&default_pack());
    assert_eq!(liveness(&engine, portrait("biden.jpg")).await, None);
    assert!(!engine.describe().liveness);
}

#[test]
fn an_add_on_is_listed_as_an_add_on_and_cannot_be_used_as_a_pack() {
    let Some(root) = packs() else { return };
    let roots = [root.path().to_owned()];
    let kinds: Vec<&str> = Installed::all(&roots)
        .into_iter()
        .map(|(_, found)| match found.unwrap() {
            Installed::Pack(_) => "pack",
            Installed::AddOn(_) => "add-on",
        })
        .collect();
    assert_eq!(kinds, ["pack", "add-on"]);
    let refused = Pack::find("real", &roots).unwrap_err();
    assert!(refused.to_string().contains("detector"), "{refused}");
    let refused = Pack::with_liveness("builtin", Some("builtin"), &roots).unwrap_err();
    assert!(matches!(refused, PackError::Manifest { .. }), "{refused}");
}

#[test]
fn the_error_for_a_damaged_add_on_names_its_file() {
    if missing() {
        return;
    }
    let Some(root) = packs() else { return };
    let path = root.path().join("real").join(MODELS[0].0);
    fs::write(&path, b"nothing").unwrap();
    let pack = Pack::with_liveness("builtin", Some("real"), &[root.path().to_owned()]).unwrap();
    let Err(refused) = Engine::start(&runtime(), &pack, EngineOptions::default()) else {
        panic!("a damaged model was accepted");
    };
    let name = Path::new(MODELS[0].0).display().to_string();
    assert!(refused.to_string().contains(&name), "{refused}");
}
