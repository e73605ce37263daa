//! The API with the real face engine: photos in, names and pictures out.

use std::sync::{Arc, LazyLock};

use jiff::SignedDuration;
use rollcall::{
    service::pictures::Keeps,
    vision::{Engine, EngineOptions, Pack, Runtime},
};
use serde_json::json;

use crate::{
    app::{TestApp, images, photo, project},
    pictures::picture,
    skip::skip,
};

/// One engine for all tests of the process, because loading models takes longer than most tests.
static ENGINE: LazyLock<Result<Arc<Engine>, String>> = LazyLock::new(|| {
    let runtime = Runtime::load(None).map_err(|error| error.to_string())?;
    let pack = Pack::open(project("models/mobilefacenet")).unwrap();
    let options = EngineOptions {
        threads: 2,
        queue: 256,
        ..EngineOptions::default()
    };
    Ok(Arc::new(Engine::start(&runtime, &pack, options).unwrap()))
});

/// Returns the engine; the error says why there is none.
pub fn engine() -> Result<Arc<Engine>, String> {
    ENGINE.clone()
}

/// Returns a picture of two people of about the same size.
fn side_by_side() -> Vec<u8> {
    let [left, right] = ["obama", "biden"].map(|name| {
        let picture = image::load_from_memory(&photo(name)).unwrap();
        picture.crop_imm(0, 0, 900, 1100).to_rgb8()
    });
    let mut both = image::RgbImage::new(1800, 1100);
    image::imageops::replace(&mut both, &left, 0, 0);
    image::imageops::replace(&mut both, &right, 900, 0);
    let mut jpeg = std::io::Cursor::new(Vec::new());
    both.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    jpeg.into_inner()
}

#[tokio::test]
async fn people_are_enrolled_recognized_and_shown_by_the_real_engine() {
    let engine = match engine() {
        Ok(engine) => engine,
        Err(why) => return skip("the API on the real face engine", &why),
    };
    let app = TestApp::with(|options| {
        options.engine = Some(engine);
        options.keeps = Keeps {
            punches: true,
            unknown: true,
        };
    })
    .await;
    let admin = app.admin().await;
    let id = app.enrolled(&admin).await;
    let other = admin.add_employee("Nobody", "E2").await;
    let refused = admin.enroll(&other, &[side_by_side()]).await;
    let problem = refused.problem(422, "no_usable_photo");
    assert_eq!(problem["photos"][0]["reason"], "several_faces");
    let refused = admin.enroll(&other, &[photo("obama3")]).await;
    refused.problem(409, "duplicate_person");

    let kiosk = app.kiosk().await;
    let came = kiosk.punch(&photo("obama3")).await.expect(201);
    assert_eq!(came["punch"]["employee"], id);
    assert!(came["similarity"].as_f64() >= came["threshold"].as_f64());
    let nobody = kiosk.punch(&photo("hopper")).await.expect(200);
    assert_eq!(nobody["outcome"], "nobody");
    app.clock.advance(SignedDuration::from_mins(10));
    // The first frame has no face, so a quick look does not suffice.
    let mut empty = std::io::Cursor::new(Vec::new());
    let gray = image::GrayImage::from_pixel(320, 240, image::Luma([120]));
    gray.write_to(&mut empty, image::ImageFormat::Jpeg).unwrap();
    let frames = [
        empty.into_inner(),
        photo("obama"),
        photo("obama2"),
        photo("obama3"),
    ];
    let burst = images("image", &frames);
    let went = kiosk.client.post_form("/api/punches", burst).await;
    assert_eq!(went.expect(201)["punch"]["proof"]["frames"], 3);

    let identify = async |picture: &[u8]| {
        let form = images("image", &[picture.to_vec()]);
        admin.post_form("/api/identify", form).await.expect(200)
    };
    let two = identify(&photo("two_people")).await;
    let decisions = two["faces"].as_array().unwrap().iter();
    let decisions: Vec<_> = decisions.map(|face| &face["decision"]).collect();
    assert_eq!(decisions, [&json!("nobody"), &json!("nobody")]);
    let known = identify(&photo("obama3")).await;
    assert!(known["faces"][0]["box"]["width"].as_f64().unwrap() > 100.0);

    // The employee is recognized in the picture of the punch.
    let punch = came["punch"]["id"].as_str().unwrap();
    let (_, _, jpeg) = picture(&admin, &format!("/api/punches/{punch}/picture")).await;
    let again = identify(&jpeg).await;
    assert_eq!(again["faces"][0]["employee"], id, "{again}");
}
