//! Sites: added, changed and removed, and what belongs to them.

use jiff::{SignedDuration, Timestamp};
use rollcall::{clock::Clock, domain::ids::SiteId};
use serde_json::{Value, json};

use crate::app::{TestApp, photo};

const UNKNOWN: &str = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b";

/// The field of a problem and its code.
fn refusal(problem: &Value) -> (Value, Value) {
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{problem}");
    (errors[0]["field"].clone(), errors[0]["code"].clone())
}

#[tokio::test]
async fn a_site_is_added_changed_listed_and_removed() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let list = admin.get("/api/sites").await.expect(200);
    let main = &list["items"][0];
    assert_eq!(
        (&main["id"], &main["is_default"], &main["zone"]),
        (
            &json!(SiteId::DEFAULT.to_string()),
            &json!(true),
            &json!("UTC")
        )
    );

    let new = json!({"name": " Harbor ", "zone": "europe/berlin"});
    let added = admin.post("/api/sites", new).await;
    let site = added.expect(201);
    let path = format!("/api/sites/{}", site["id"].as_str().unwrap());
    assert_eq!(added.header("location"), path);
    let expected = json!({
        "id": site["id"], "name": "Harbor", "zone": "Europe/Berlin", "workday_starts": "04:00",
        "grow_templates": false, "pin_digits": 6, "face_and_pin": false,
        "kiosk_enrollment": false, "mqtt_names": false,
        "is_default": false, "workday": site["workday"], "workday_since": site["workday_since"],
        "created_at": site["created_at"],
    });
    assert_eq!(site, expected);
    assert_eq!(admin.get(&path).await.expect(200)["name"], "Harbor");

    let patch = json!({"workday_starts": "06:30", "zone": "Asia/Tokyo", "grow_templates": true});
    let changed = admin.patch(&path, patch).await.expect(200);
    assert_eq!(
        (
            &changed["name"],
            &changed["zone"],
            &changed["workday_starts"]
        ),
        (&json!("Harbor"), &json!("Asia/Tokyo"), &json!("06:30"))
    );
    let back = admin.patch(&path, json!({"workday_starts": null})).await;
    assert_eq!(back.expect(200)["workday_starts"], "04:00", "the default");

    let list = admin.get("/api/sites?limit=1").await.expect(200);
    assert_eq!(list["items"][0]["name"], "Harbor");
    let next = format!("/api/sites?cursor={}", list["next"].as_str().unwrap());
    let rest = admin.get(&next).await.expect(200);
    assert_eq!(rest["items"][0]["name"], "Main site");

    admin.delete(&path).await.expect(204);
    for answer in [
        admin.get(&path).await,
        admin.delete(&path).await,
        admin.patch(&path, json!({})).await,
    ] {
        answer.problem(404, "not_found");
    }
    let entries = app.stores.audit.latest(10).await.unwrap();
    let did: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        did[..4],
        ["site.remove", "site.change", "site.change", "site.add"]
    );
}

#[tokio::test]
async fn names_zones_and_times_that_are_not_valid_are_refused() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let path = format!("/api/sites/{}", admin.add_site("Harbor", "UTC").await);
    for (field, value, code) in [
        ("name", json!(" "), "empty"),
        ("name", json!("x".repeat(65)), "too_long"),
        ("name", json!("a\u{202e}b"), "control_characters"),
        ("zone", json!("Berlin"), "not_a_time_zone"),
        ("zone", json!(""), "not_a_time_zone"),
        ("zone", json!("+01:00"), "not_a_time_zone"),
        ("zone", json!("../../etc/passwd"), "not_a_time_zone"),
        ("zone", Value::Null, "required"),
        ("workday_starts", json!("24:00"), "not_a_time_of_day"),
        ("workday_starts", json!("4 o'clock"), "not_a_time_of_day"),
        ("workday_starts", json!(4), "wrong_type"),
        ("pin_digits", json!(3), "out_of_range"),
        ("pin_digits", json!(9), "out_of_range"),
    ] {
        let patch = json!({ field: value });
        let refused = admin.patch(&path, patch).await.problem(422, "invalid");
        assert_eq!(refusal(&refused), (json!(field), json!(code)));
    }
    let all = json!({"name": "", "zone": "x", "workday_starts": ""});
    let refused = admin.post("/api/sites", all).await;
    assert_eq!(refused.fields(), ["name", "zone", "workday_starts"]);

    let twin = json!({"name": "HARBOR", "zone": "UTC"});
    let twin = admin.post("/api/sites", twin).await;
    twin.problem(409, "name_taken");
    let main = format!("/api/sites/{}", SiteId::DEFAULT);
    let taken = admin.patch(&main, json!({"name": "harbor"})).await;
    taken.problem(409, "name_taken");
}

#[tokio::test]
async fn a_site_that_is_in_use_is_not_removed() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let harbor = admin.add_site("Harbor", "UTC").await;
    let path = format!("/api/sites/{harbor}");
    let ada = json!({"name": "Ada", "code": "1", "site": harbor});
    let ada = admin.post("/api/employees", ada).await.expect(201);
    let ada = format!("/api/employees/{}", ada["id"].as_str().unwrap());
    let kiosk = json!({"name": "Door", "site": harbor});
    let kiosk = admin.post("/api/devices", kiosk).await.expect(201);
    let kiosk = format!("/api/devices/{}", kiosk["id"].as_str().unwrap());

    let refused = admin.delete(&path).await.problem(409, "site_in_use");
    assert_eq!(
        refused["detail"],
        "people and devices belong to this site: move them to another site first"
    );
    admin.delete(&ada).await.expect(204);
    let refused = admin.delete(&path).await.problem(409, "site_in_use");
    assert!(refused["detail"].as_str().unwrap().starts_with("devices"));
    let moved = admin.patch(&kiosk, json!({"site": null})).await.expect(200);
    assert_eq!(moved["site"], SiteId::DEFAULT.to_string());
    admin.delete(&path).await.expect(204);

    let main = format!("/api/sites/{}", SiteId::DEFAULT);
    let refused = admin.delete(&main).await.problem(409, "site_in_use");
    assert!(refused["detail"].as_str().unwrap().contains("rename"));
    // Nobody comes back to it.
    let gone = json!({"name": "Eve", "code": "2", "site": harbor});
    let gone = admin.post("/api/employees", gone).await;
    let gone = gone.problem(422, "invalid");
    assert_eq!(refusal(&gone), (json!("site"), json!("unknown_site")));
}

#[tokio::test]
async fn people_and_devices_move_only_to_sites_that_are_there() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ada = admin.add_employee("Ada", "1").await;
    let kiosk = app.kiosk().await;
    for path in [
        format!("/api/employees/{ada}"),
        format!("/api/devices/{}", kiosk.id),
    ] {
        for (site, code) in [(UNKNOWN, "unknown_site"), ("Harbor", "not_an_id")] {
            let refused = admin.patch(&path, json!({ "site": site })).await;
            let refused = refused.problem(422, "invalid");
            assert_eq!(refusal(&refused), (json!("site"), json!(code)), "{path}");
        }
    }
    let nowhere = format!("/api/devices/{UNKNOWN}");
    let nowhere = admin.patch(&nowhere, json!({"name": "Gate"})).await;
    nowhere.problem(404, "not_found");
    for list in ["employees", "devices", "cameras", "punches"] {
        let refused = admin.get(&format!("/api/{list}?site=Harbor")).await;
        let refused = refused.problem(422, "invalid");
        assert_eq!(refusal(&refused), (json!("site"), json!("not_an_id")));
    }
}

#[tokio::test]
async fn a_punch_shows_where_it_was_made() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = app.enrolled(&admin).await;
    let tokyo = admin.add_site("Tokyo", "Asia/Tokyo").await;
    let kiosk = app.kiosk().await;
    let path = format!("/api/devices/{}", kiosk.id);
    let moved = json!({"name": "Gate", "site": tokyo});
    let moved = admin.patch(&path, moved).await.expect(200);
    assert_eq!(
        (&moved["name"], &moved["site_name"]),
        (&json!("Gate"), &json!("Tokyo"))
    );

    // The token stays good.
    let punched = kiosk.punch(&photo("obama3")).await.expect(201);
    let punch = &punched["punch"];
    assert_eq!(
        (
            &punch["site"],
            &punch["site_name"],
            &punch["zone"],
            &punch["origin"]["name"]
        ),
        (
            &json!(tokyo),
            &json!("Tokyo"),
            &json!("Asia/Tokyo"),
            &json!("Gate")
        )
    );
    let site = format!("/api/sites/{tokyo}");
    let site = admin.get(&site).await.expect(200);
    assert_eq!(punch["workday"], site["workday"]);
    let since: Timestamp = site["workday_since"].as_str().unwrap().parse().unwrap();
    let into = app.clock.now().duration_since(since);
    assert!((SignedDuration::ZERO..SignedDuration::from_hours(24)).contains(&into));

    let count = async |query: &str| {
        let list = admin
            .get(&format!("/api/punches?{query}"))
            .await
            .expect(200);
        list["items"].as_array().unwrap().len()
    };
    assert_eq!(count(&format!("site={tokyo}")).await, 1);
    assert_eq!(count(&format!("site={}", SiteId::DEFAULT)).await, 0);
    assert_eq!(count(&format!("site={tokyo}&employee={id}")).await, 1);
    let devices = admin.get(&format!("/api/devices?site={tokyo}")).await;
    assert_eq!(devices.expect(200)["items"][0]["id"], kiosk.id);
    let devices = admin.get(&format!("/api/devices?site={UNKNOWN}")).await;
    assert_eq!(devices.expect(200)["items"], json!([]));

    // Renamed, old punches show the new name; the punch stays where it was made.
    let rename = json!({"name": "Osaka"});
    admin
        .patch(&format!("/api/sites/{tokyo}"), rename)
        .await
        .expect(200);
    let back = json!({ "site": null });
    admin.patch(&path, back).await.expect(200);
    let list = admin.get("/api/punches").await.expect(200);
    assert_eq!(list["items"][0]["site_name"], "Osaka");
}
