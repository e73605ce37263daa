//! Pictures of punches and of unknown faces.

use std::time::Duration;

use jiff::SignedDuration;
use reqwest::Method;
use rollcall::{
    domain::{
        attendance::Origin,
        grants::{Reach, Role},
        pictures::PictureKind,
    },
    ports::Page,
    service::pictures::Keeps,
};
use serde_json::{Value, json};

use crate::app::{Client, TestApp, photo, streams::Does};

/// How often a test looks for a picture, 50 ms apart, before it gives up.
const TRIES: usize = 1200;

async fn keeping() -> TestApp {
    TestApp::with(|options| {
        options.keeps = Keeps {
            punches: true,
            unknown: true,
        };
    })
    .await
}

/// Returns a picture once it exists: its media type, its cache header, and its bytes.
pub async fn picture(client: &Client, path: &str) -> (String, String, Vec<u8>) {
    for _ in 0..TRIES {
        let request = client.request(Method::GET, path);
        let answer = request.send().await.unwrap();
        if answer.status() == 200 {
            let header = |name: &str| {
                let value = answer.headers()[name].to_str();
                value.unwrap().to_owned()
            };
            let (kind, cache) = (header("content-type"), header("cache-control"));
            return (kind, cache, answer.bytes().await.unwrap().to_vec());
        }
        assert_eq!(answer.status(), 404);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path} was never made");
}

async fn faces(client: &Client) -> Vec<Value> {
    let list = client.get("/api/unknown-faces").await.expect(200);
    list["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_punch_has_a_small_picture_for_permitted_accounts() {
    let app = keeping().await;
    let admin = app.admin().await;
    let id = app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let came = kiosk.punch(&photo("obama3")).await.expect(201);
    let path = format!(
        "/api/punches/{}/picture",
        came["punch"]["id"].as_str().unwrap()
    );
    let manager = app.role(Role::Manager).await;
    let (kind, cache, jpeg) = picture(&manager, &path).await;
    assert_eq!((&*kind, &*cache), ("image/jpeg", "no-store"));
    assert!(
        jpeg.len() < 60_000 && jpeg.starts_with(&[0xFF, 0xD8]),
        "{}",
        jpeg.len()
    );
    let viewer = app.role(Role::Viewer).await;
    viewer.get(&path).await.problem(403, "forbidden");
    let trail = app.stores.audit.latest(100).await.unwrap();
    let looks = trail
        .iter()
        .filter(|entry| entry.action == "punch_picture.look");
    assert_eq!(looks.count(), 1);
    let status = admin.get("/api/status").await.expect(200);
    assert_eq!(
        (&status["punch_pictures"], &status["unknown_faces"]),
        (&json!(true), &json!(true))
    );

    // Deleting the face deletes the picture.
    let templates = format!("/api/employees/{id}/templates");
    admin.delete(&templates).await;
    admin.get(&path).await.problem(404, "not_found");
    assert!(faces(&admin).await.is_empty(), "he is known");
}

#[tokio::test]
async fn a_stranger_is_listed_viewed_and_deleted() {
    let app = keeping().await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    for (name, minutes) in [("biden", 0), ("biden", 0), ("hopper", 2)] {
        app.clock.advance(SignedDuration::from_mins(minutes));
        let answer = kiosk.punch(&photo(name)).await.expect(200);
        assert_eq!(answer["outcome"], "nobody");
        // Each picture is created before the clock advances.
        let wanted = if minutes == 0 { 1 } else { 2 };
        for _ in 0..TRIES {
            if faces(&admin).await.len() == wanted {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let found = faces(&admin).await;
    assert_eq!(found.len(), 2, "one per minute");
    let newest = &found[0];
    assert!(newest["at"].as_str() > found[1]["at"].as_str());
    assert_eq!(
        newest["origin"],
        json!({"kind": "device", "id": kiosk.id, "name": "Front door"})
    );
    let page = admin.get("/api/unknown-faces?limit=1").await.expect(200);
    assert_eq!(page["items"][0]["id"], newest["id"]);
    let next = format!(
        "/api/unknown-faces?limit=1&cursor={}",
        page["next"].as_str().unwrap()
    );
    let page = admin.get(&next).await.expect(200);
    assert_eq!(
        (&page["items"][0]["id"], &page["next"]),
        (&found[1]["id"], &Value::Null)
    );

    let one = format!("/api/unknown-faces/{}", newest["id"].as_str().unwrap());
    let (kind, cache, jpeg) = picture(&admin, &format!("{one}/picture")).await;
    assert_eq!((&*kind, &*cache), ("image/jpeg", "no-store"));
    assert!(jpeg.starts_with(&[0xFF, 0xD8]));
    assert_eq!(admin.delete(&one).await.status, 204);
    admin.delete(&one).await.problem(404, "not_found");
    let gone = admin.get(&format!("{one}/picture")).await;
    gone.problem(404, "not_found");
    assert_eq!(faces(&admin).await, found[1..]);
}

#[tokio::test]
async fn pictures_of_a_camera_are_shown_only_to_its_viewers() {
    let app = keeping().await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    kiosk.punch(&photo("biden")).await.expect(200);
    let first = Page {
        after: None,
        limit: 10,
    };
    let stored = async || {
        let pictures = &app.stores.pictures;
        pictures
            .list(&Reach::Everything, PictureKind::Unknown, &first)
            .await
            .unwrap()
    };
    let mut made = stored().await;
    for _ in 0..TRIES {
        if !made.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        made = stored().await;
    }
    // As if a camera had recorded it.
    app.streams
        .has("hall", Does::Sends(Duration::from_millis(50)));
    let camera = json!({"name": "Hall", "stream": "hall"});
    let camera = admin.post("/api/cameras", camera).await.expect(201);
    let camera = camera["id"].as_str().unwrap();
    let face = app.stores.pictures.find(made.remove(0).id).await.unwrap();
    let mut face = face.unwrap();
    app.stores.pictures.delete(face.id).await.unwrap();
    face.origin = Origin::Camera(camera.parse().unwrap());
    app.stores.pictures.insert(&face).await.unwrap();

    let manager = app.role(Role::Manager).await;
    let one = format!("/api/unknown-faces/{}", face.id);
    let shown = format!("{one}/picture");
    assert!(faces(&manager).await.is_empty());
    manager.get(&shown).await.problem(404, "not_found");
    manager.delete(&one).await.problem(404, "not_found");
    assert_eq!(faces(&admin).await.len(), 1);
    admin.get(&shown).await;

    let address = format!("/api/cameras/{camera}");
    let everybody = json!({"viewers": null});
    admin.patch(&address, everybody).await.expect(200);
    assert_eq!(faces(&manager).await.len(), 1);
    picture(&manager, &shown).await;
    // After the camera is removed, its pictures stay visible to its former viewers.
    admin.delete(&address).await;
    assert_eq!(manager.delete(&one).await.status, 204);
}

#[tokio::test]
async fn nothing_is_kept_by_default() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let came = kiosk.punch(&photo("obama3")).await.expect(201);
    kiosk.punch(&photo("biden")).await.expect(200);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let path = format!(
        "/api/punches/{}/picture",
        came["punch"]["id"].as_str().unwrap()
    );
    admin.get(&path).await.problem(404, "not_found");
    assert!(faces(&admin).await.is_empty());
    let status = admin.get("/api/status").await.expect(200);
    assert_eq!(status["unknown_faces"], false);
}
