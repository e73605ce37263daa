//! Identification and verification: nothing is recorded.

use serde_json::{Value, json};

use crate::app::{Client, TestApp, images, photo};

#[tokio::test]
async fn everybody_in_an_image_is_found_and_only_enrolled_people_are_named() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = app.enrolled(&admin).await;
    let kiosk = app.kiosk().await.client;

    let known = kiosk
        .post_bytes("/api/identify", "image/jpeg", photo("obama3"))
        .await;
    let known = known.expect(200);
    let face = &known["faces"][0];
    assert_eq!(
        (&face["decision"], &face["employee"]),
        (&json!("identified"), &json!(id))
    );
    assert_eq!(face["candidates"][0]["name"], "Barack Obama");
    assert!(face["similarity"].as_f64() >= face["threshold"].as_f64());
    assert!(face["box"]["width"].as_f64().unwrap() > 100.0);
    assert!(known["model"].is_string());

    let two = admin
        .post_form("/api/identify", images("image", &[photo("two_people")]))
        .await;
    let two = two.expect(200);
    let faces = two["faces"].as_array().unwrap();
    assert_eq!(faces.len(), 2);
    for face in faces {
        assert_eq!(face["decision"], "nobody");
        assert!(face.get("employee").is_none());
    }
    assert_eq!(
        admin.get("/api/punches").await.expect(200)["items"],
        json!([])
    );
}

#[tokio::test]
async fn a_device_learns_only_who_was_identified() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.enrolled(&admin).await;
    let biden = admin.add_employee("Joe Biden", "E2").await;
    admin.enroll(&biden, &[photo("biden")]).await.expect(201);
    let kiosk = app.kiosk().await.client;
    let identify = async |client: &Client, name: &str| {
        let answer = client
            .post_bytes("/api/identify", "image/jpeg", photo(name))
            .await;
        answer.expect(200)["faces"][0].clone()
    };
    let verify = async |client: &Client, name: &str| {
        let form = images("image", &[photo(name)]).text("employee", ann.clone());
        client.post_form("/api/verify", form).await.expect(200)
    };
    let (known, stranger) = (
        identify(&kiosk, "obama3").await,
        identify(&kiosk, "hopper").await,
    );
    let candidates = known["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 1);
    assert_eq!(candidates[0]["employee"], ann);
    assert!(known["similarity"].is_number() && known["margin"].is_null());
    assert_eq!(stranger["decision"], "nobody");
    assert_eq!(stranger["candidates"], json!([]));
    for number in ["similarity", "threshold", "margin"] {
        assert!(stranger[number].is_null(), "{number}");
    }
    assert!(verify(&kiosk, "obama3").await["similarity"].is_number());
    assert!(verify(&kiosk, "hopper").await["similarity"].is_null());
    let searches = async || {
        let entries = app.stores.audit.latest(100).await.unwrap();
        let mut actions: Vec<_> = entries
            .into_iter()
            .filter(|entry| entry.action.starts_with("face."))
            .map(|entry| (entry.action, entry.detail.unwrap()))
            .collect();
        actions.sort();
        actions
    };
    assert_eq!(searches().await, []);

    // An account gets the numbers, and its searches are on record.
    let stranger = identify(&admin, "hopper").await;
    assert_eq!(stranger["candidates"].as_array().unwrap().len(), 2);
    assert!(stranger["similarity"].as_f64() < stranger["threshold"].as_f64());
    assert_eq!(identify(&admin, "obama3").await["employee"], ann);
    assert!(verify(&admin, "hopper").await["similarity"].is_number());
    let expected = [
        ("face.identify", "faces: 1; ".to_owned()),
        ("face.identify", format!("faces: 1; {ann}")),
        ("face.verify", "no match".to_owned()),
    ];
    let expected = expected.map(|(action, detail)| (action.to_owned(), detail));
    assert_eq!(searches().await, expected);
}

#[tokio::test]
async fn an_empty_gallery_identifies_nobody() {
    let app = TestApp::start().await;
    let kiosk = app.kiosk().await.client;
    let answer = kiosk
        .post_bytes("/api/identify", "image/jpeg", photo("hopper"))
        .await;
    let face = &answer.expect(200)["faces"][0];
    assert_eq!(face["decision"], "nobody");
    assert_eq!(
        (&face["similarity"], &face["candidates"]),
        (&Value::Null, &json!([]))
    );
}

#[tokio::test]
async fn a_claimed_person_is_verified_or_rejected() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = app.enrolled(&admin).await;
    let verify = async |employee: &str, photos: &[&str]| {
        let photos: Vec<_> = photos.iter().map(|name| photo(name)).collect();
        let form = images("image", &photos).text("employee", employee.to_owned());
        admin.post_form("/api/verify", form).await
    };
    let same = verify(&id, &["obama3", "obama"]).await.expect(200);
    assert_eq!(same["match"], true);
    assert!(same["similarity"].as_f64() >= same["threshold"].as_f64());
    let other = verify(&id, &["hopper"]).await.expect(200);
    assert_eq!(other["match"], false);

    let bare = admin.add_employee("Bare", "E2").await;
    verify(&bare, &["hopper"])
        .await
        .problem(422, "not_enrolled");
    assert_eq!(verify("nonsense", &["hopper"]).await.fields(), ["employee"]);
    let faceless = images("image", &[blank()]).text("employee", id);
    let answer = admin.post_form("/api/verify", faceless).await;
    assert_eq!(answer.problem(422, "no_usable_face")["reason"], "no_face");
}

/// Returns a picture without a face.
fn blank() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(320, 240, image::Rgb([120, 130, 140]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn files_that_are_not_images_are_refused_with_the_reason() {
    let app = TestApp::start().await;
    let kiosk = app.kiosk().await.client;
    let jpeg = photo("hopper");
    let cut = jpeg[..jpeg.len() / 3].to_vec();
    for (body, what) in [
        (Vec::new(), "empty"),
        (b"just text".to_vec(), "text"),
        (b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(), "another format"),
        (cut, "truncated"),
        (jpeg[..20].to_vec(), "only a header"),
    ] {
        let answer = kiosk.post_bytes("/api/identify", "image/jpeg", body).await;
        let problem = answer.problem(422, "bad_image");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{what}");
    }
    for kind in [
        "text/plain",
        "application/json",
        "image/gif",
        "image/svg+xml",
    ] {
        let answer = kiosk.post_bytes("/api/identify", kind, jpeg.clone()).await;
        answer.problem(415, "unsupported_type");
    }
    let two = images("image", &[jpeg.clone(), jpeg]);
    let answer = kiosk.post_form("/api/identify", two).await;
    assert_eq!(answer.fields(), ["image"]);
}
