//! Jobs and imports over HTTP: queued, followed, and reported row by row.

use jiff::SignedDuration;
use reqwest::multipart::{Form, Part};
use rollcall::{
    clock::Clock,
    domain::{biometrics::ModelId, faces::FaceEnrollment, grants::Role, jobs::Ability},
    service::jobs::{IMPORT, PHOTO_BYTES_MOST},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::app::{Client, TestApp, photo};

async fn import(client: &Client, list: &str) -> Value {
    let answer = client
        .post_bytes("/api/imports", "text/csv; charset=utf-8", list)
        .await;
    let job = answer.expect(202);
    let location = format!("/api/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), location);
    assert_eq!(
        (&job["kind"], &job["state"]),
        (&json!("import"), &json!("queued"))
    );
    job
}

async fn followed(client: &Client, job: &Value) -> Value {
    let id = job["id"].as_str().unwrap();
    client.get(&format!("/api/jobs/{id}")).await.expect(200)
}

#[tokio::test]
async fn an_import_adds_people_and_reports_why_rows_are_refused() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    admin.add_employee("Grace Hopper", "E1").await;
    admin.add_site("Harbor", "UTC").await;
    let list = "name,code,site\nGrace Hopper,e1,\nAda Lovelace,E2,harbor\nEve,E1,\n,E4,\nAda Lovelace,E2,\n\"Hopper, Grace\",E5,\nKatherine,E6,Hill\n";
    let job = import(&admin, list).await;
    assert_eq!(
        (&job["done"], &job["total"], &job["result"]),
        (&json!(0), &json!(7), &Value::Null)
    );
    app.do_jobs().await;

    let done = followed(&admin, &job).await;
    assert_eq!(
        (&done["state"], &done["done"], &done["attempts"]),
        (&json!("done"), &json!(7), &json!(1))
    );
    let refusals = json!([
        {"line": 4, "reason": "code E1 belongs to Grace Hopper"},
        {"line": 5, "reason": "name must not be empty"},
        {"line": 8, "reason": "there is no site Hill: add it on the page Sites first, or correct the name"},
    ]);
    assert_eq!(
        done["result"],
        json!({"added": 2, "existing": 2, "inactive": 0, "refused": 3, "refusals": refusals})
    );
    assert!(done["finished_at"].is_string() && done["error"].is_null() && done["due"].is_null());
    let people = admin.get("/api/employees").await.expect(200);
    let stored: Vec<String> = people["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{}/{}/{}", one["name"], one["code"], one["site_name"]).replace('"', ""))
        .collect();
    assert_eq!(
        stored,
        [
            "Ada Lovelace/E2/Harbor",
            "Grace Hopper/E1/Main site",
            "Hopper, Grace/E5/Main site"
        ]
    );

    // Sending the list again adds no one twice.
    let again = import(&admin, list).await;
    app.do_jobs().await;
    let again = followed(&admin, &again).await;
    assert_eq!(
        (&again["result"]["added"], &again["result"]["existing"]),
        (&json!(0), &json!(4))
    );
    let listed = admin.get("/api/jobs?limit=1").await.expect(200);
    assert_eq!(listed["items"][0]["id"], again["id"], "newest first");
    let next = format!("/api/jobs?cursor={}", listed["next"].as_str().unwrap());
    let rest = admin.get(&next).await.expect(200);
    assert_eq!(rest["items"][0], done);
    assert_eq!(rest["next"], Value::Null);

    // The list is stored nowhere except in the records of people.
    let kept = app
        .stores
        .jobs
        .find(done["id"].as_str().unwrap().parse().unwrap())
        .await;
    assert_eq!(kept.unwrap().unwrap().payload, "");
    let trail = app.stores.audit.latest(100).await.unwrap();
    assert_eq!(
        trail
            .iter()
            .filter(|entry| entry.action == "job.add")
            .count(),
        2
    );
}

#[tokio::test]
async fn refused_rows_are_counted_and_the_first_ones_reported() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let list = format!("name,code\n{}", ",1\n".repeat(150));
    let job = import(&admin, &list).await;
    app.do_jobs().await;
    let result = &followed(&admin, &job).await["result"];
    assert_eq!(result["refused"], 150);
    let refusals = result["refusals"].as_array().unwrap();
    assert_eq!((refusals.len(), &refusals[99]["line"]), (100, &json!(101)));
}

#[tokio::test]
async fn invalid_lists_are_refused_immediately() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let send = async |kind: &str, body: Vec<u8>| admin.post_bytes("/api/imports", kind, body).await;
    for (kind, body) in [
        ("application/json", "{}"),
        ("text/plain", "name,code\nA,1\n"),
        ("text/csvx", ""),
    ] {
        send(kind, body.into())
            .await
            .problem(415, "unsupported_type");
    }
    for body in [
        &b""[..],
        b"name,code\n",
        b"name|code\nA|1\n",
        b"name,code,face\nA,1,x\n",
        b"name,code\nJ\0rgen,1\n",
    ] {
        send("text/csv", body.into()).await.problem(422, "invalid");
    }
    let large = format!("name,code\n{}", "a".repeat(1 << 20));
    send("text/csv", large.into())
        .await
        .problem(413, "too_large");
    let listed = admin.get("/api/jobs").await.expect(200);
    assert_eq!(listed["items"], json!([]), "nothing was queued");
}

#[tokio::test]
async fn the_number_of_queued_jobs_is_bounded() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let list = "name,code\nAda,1\n";
    for _ in 0..20 {
        import(&admin, list).await;
    }
    let answer = admin.post_bytes("/api/imports", "text/csv", list).await;
    answer.problem(429, "too_many_jobs");
    app.do_jobs().await;
    import(&admin, list).await;
}

#[tokio::test]
async fn a_stopped_job_is_given_back_and_continues() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let job = import(&admin, "name,code\nAda,1\nEve,2\n").await;
    let stop = CancellationToken::new();
    stop.cancel();
    assert!(app.run_next_job(&stop).await);
    let back = followed(&admin, &job).await;
    assert_eq!(
        (&back["state"], &back["attempts"], &back["done"]),
        (&json!("queued"), &json!(0), &json!(1))
    );
    assert!(back["due"].is_string());
    app.do_jobs().await;
    let done = followed(&admin, &job).await;
    assert_eq!(
        (&done["state"], &done["result"]["added"]),
        (&json!("done"), &json!(2))
    );
}

#[tokio::test]
async fn a_job_whose_workers_crash_fails() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let job = import(&admin, "name,code\nAda,1\n").await;
    let imports = Ability {
        kind: IMPORT,
        payload: None,
    };
    for _ in 0..5 {
        let claimed = app.stores.jobs.claim(&imports, app.clock.now()).await;
        assert!(claimed.unwrap().is_some());
        app.clock.advance(SignedDuration::from_secs(60));
    }
    app.do_jobs().await;
    let failed = followed(&admin, &job).await;
    assert_eq!(failed["state"], "failed");
    assert_eq!(failed["error"], "the worker crashed on every attempt");
}

#[tokio::test]
async fn templates_are_computed_again_from_kept_photos() {
    let app = TestApp::with(|options| options.keep_photos = true).await;
    let admin = app.admin().await;
    assert!(
        app.app.jobs.reembed_if_needed().await.unwrap().is_none(),
        "nobody is enrolled"
    );
    let kept = app.enrolled(&admin).await;
    assert!(
        app.app.jobs.reembed_if_needed().await.unwrap().is_none(),
        "under this model"
    );
    let bare = admin.add_employee("Eileen Collins", "E2").await;
    admin.enroll(&bare, &[photo("collins")]).await.expect(201);

    // As after a change of the model: the templates are of another model, and the second person's
    // photo is gone.
    let path = |id: &str| format!("/api/employees/{id}/templates");
    for (id, photos) in [(&kept, true), (&bare, false)] {
        let id = id.parse().unwrap();
        let older = |mut enrollment: FaceEnrollment| {
            for template in &mut enrollment.face.as_mut().unwrap().templates {
                template.model = ModelId::new("another");
            }
            Some(enrollment)
        };
        let changed = app.stores.faces.change(id, app.clock.now(), older).await;
        assert!(changed.unwrap().is_some());
        if !photos {
            let deleted = app.stores.photos.delete_by_employee(id).await;
            assert_eq!(deleted.unwrap(), 1);
        }
    }
    // Both must be enrolled again, and no one else.
    let fresh = admin.add_employee("Grace Hopper", "E3").await;
    let again = async |id: &str| {
        let person = admin.get(&format!("/api/employees/{id}")).await.expect(200);
        assert_eq!(person["enrolled"], json!(id != fresh));
        person["enroll_again"].as_bool().unwrap()
    };
    // Each change updates their place in the gallery, as a restart does.
    for (id, active) in [(&kept, true), (&bare, false)] {
        let (path, change) = (format!("/api/employees/{id}"), json!({"active": active}));
        let changed = admin.patch(&path, change).await.expect(200);
        assert_eq!(changed["enroll_again"], true);
    }
    assert!(again(&kept).await && again(&bare).await && !again(&fresh).await);
    // Kiosks recognize active people only.
    let status = admin.get("/api/status").await.expect(200);
    assert_eq!(status["enroll_again"], 1);

    let queued = app.app.jobs.reembed_if_needed().await.unwrap().unwrap();
    assert!(
        app.app.jobs.reembed_if_needed().await.unwrap().is_none(),
        "once"
    );
    let asked = admin.post("/api/jobs", json!({"kind": "reembed"})).await;
    asked.problem(409, "conflict");
    app.do_jobs().await;
    let job = followed(&admin, &json!({"id": queued.id.to_string()})).await;
    assert_eq!(
        (&job["state"], &job["created_by"]),
        (&json!("done"), &json!("system"))
    );
    assert_eq!(
        job["result"],
        json!({
            "reembedded": 1, "without_photos": 1, "unusable": 0,
            "without_photos_first": [bare], "unusable_first": [],
        })
    );
    let templates = admin.get(&path(&kept)).await.expect(200);
    let models: Vec<_> = templates["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["model"].clone())
        .collect();
    assert_eq!(models.len(), 4, "the old ones stay: {models:?}");
    assert_eq!(
        models.iter().filter(|model| **model == "another").count(),
        2
    );
    let person = admin
        .get(&format!("/api/employees/{kept}"))
        .await
        .expect(200);
    assert_eq!(
        (&person["templates"], person["consent"].is_object()),
        (&json!(4), true)
    );

    assert!(!again(&kept).await && again(&bare).await);
    let listed = admin.get("/api/employees").await.expect(200);
    let listed: Vec<_> = listed["items"].as_array().unwrap().iter().collect();
    assert_eq!(
        listed
            .iter()
            .map(|one| &one["enroll_again"])
            .collect::<Vec<_>>(),
        [&json!(false), &json!(true), &json!(false)],
        "by name: Barack, Eileen, Grace"
    );

    // They are recognized again, and nothing is left to do.
    let punched = app.kiosk().await.punch(&photo("obama3")).await.expect(201);
    assert_eq!(punched["punch"]["employee"], json!(kept), "{punched}");
    let again = admin
        .post("/api/jobs", json!({"kind": "reembed"}))
        .await
        .expect(202);
    app.do_jobs().await;
    let again = followed(&admin, &again).await;
    assert_eq!(
        again["result"],
        json!({
            "reembedded": 0, "without_photos": 1, "unusable": 0,
            "without_photos_first": [bare], "unusable_first": [],
        })
    );
    assert!(app.app.jobs.reembed_if_needed().await.unwrap().is_none());
}

#[tokio::test]
async fn unknown_jobs_and_kinds_are_refused() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for body in [
        json!({}),
        json!({"kind": "import"}),
        json!({"kind": "reembed", "all": true}),
    ] {
        admin.post("/api/jobs", body).await.problem(422, "invalid");
    }
    admin
        .get("/api/jobs/nonsense")
        .await
        .problem(404, "not_found");
    let manager = app.role(Role::Manager).await;
    let refused = manager
        .post_bytes("/api/imports", "text/csv", "name,code\nA,1\n")
        .await;
    refused.problem(403, "forbidden");
}

#[tokio::test]
async fn lists_of_spreadsheets_in_other_locales_are_accepted() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let text = "sep=;\r\nName;Code\r\nZo\u{eb} Wei\u{df};1\r\n;\r\n";
    let mut utf16 = vec![0xff, 0xfe];
    utf16.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    let western = text.chars().map(|c| u8::try_from(c).unwrap()).collect();
    for (list, added) in [(utf16, 1), (western, 0), (text.as_bytes().to_vec(), 0)] {
        let answer = admin.post_bytes("/api/imports", "text/csv", list).await;
        let job = answer.expect(202);
        assert_eq!(job["total"], 1);
        app.do_jobs().await;
        let done = followed(&admin, &job).await;
        assert_eq!(done["result"]["added"], added, "{done}");
        assert_eq!(done["result"]["existing"], 1 - added);
    }
    let people = admin.get("/api/employees").await.expect(200);
    assert_eq!(people["items"][0]["name"], "Zo\u{eb} Wei\u{df}");

    // An unclosed quotation mark would swallow Eve.
    let open = "name,code\nAda,7\n\"Bob,8\nEve,9\n";
    let refused = admin.post_bytes("/api/imports", "text/csv", open).await;
    let problem = refused.problem(422, "invalid");
    assert!(
        problem["detail"].as_str().unwrap().contains("line 3"),
        "{problem}"
    );
}

#[tokio::test]
async fn search_ignores_how_a_name_is_written() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    admin.add_employee("Zo\u{eb} Wei\u{df}", "E1").await;
    let left = admin.add_employee("Ida Rhodes", "E2").await;
    let path = format!("/api/employees/{left}");
    admin
        .patch(&path, json!({"active": false}))
        .await
        .expect(200);
    let list = "name,code\nZOE\u{308}  wei\u{df},e1\nida rhodes,E2\n";
    let job = import(&admin, list).await;
    app.do_jobs().await;
    let result = &followed(&admin, &job).await["result"];
    assert_eq!(
        *result,
        json!({"added": 0, "existing": 1, "inactive": 1, "refused": 0, "refusals": []})
    );
    let found = admin.get("/api/employees?q=zoe%CC%88").await.expect(200);
    assert_eq!(found["items"][0]["code"], "E1");
}

#[tokio::test]
async fn a_job_can_be_cancelled_until_it_has_ended() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let job = import(&admin, "name,code\nAda,1\nEve,2\n").await;
    let path = format!("/api/jobs/{}", job["id"].as_str().unwrap());
    let ended = admin.delete(&path).await.expect(200);
    assert_eq!(ended["state"], "cancelled");
    assert!(ended["finished_at"].is_string() && ended["due"].is_null());
    app.do_jobs().await;
    assert_eq!(followed(&admin, &job).await, ended, "no worker runs it");
    admin.delete(&path).await.problem(409, "conflict");
    let people = admin.get("/api/employees").await.expect(200);
    assert_eq!(people["items"], json!([]));
    let trail = app.stores.audit.latest(1).await.unwrap();
    assert_eq!(trail[0].action, "job.cancel");
}

/// Returns a form with photos and the names of their files.
fn named(photos: &[(&str, Vec<u8>)]) -> Form {
    photos.iter().fold(Form::new(), |form, (file, photo)| {
        let part = Part::bytes(photo.clone()).file_name((*file).to_owned());
        form.part("photo", part)
    })
}

#[tokio::test]
async fn photos_of_many_people_are_enrolled_outside_the_limit() {
    let app = TestApp::with(|options| {
        options.settings.enroll_limit = 2;
        options.keep_photos = true;
    })
    .await;
    let admin = app.admin().await;
    let mut photos = Vec::new();
    for number in 1..=6 {
        let code = format!("E{number}");
        admin.add_employee(&format!("Person {number}"), &code).await;
        let picture = format!("picture {number}").into_bytes();
        app.scripted
            .shows(&picture, &format!("stranger{number} width=200"));
        photos.push((format!("{code}.jpg"), picture));
    }
    let enrolled = admin.add_employee("Barack Obama", "E7").await;
    admin.enroll(&enrolled, &[photo("obama")]).await.expect(201);
    let mut photos: Vec<(&str, Vec<u8>)> = photos
        .iter()
        .map(|(file, photo)| (file.as_str(), photo.clone()))
        .collect();
    photos.push(("staff/E1 Person 1/blank.jpg", b"no image".to_vec()));
    photos.push(("E7-2.jpg", photo("obama2")));
    photos.push(("E9.jpg", photo("biden")));

    let path = "/api/enrollments";
    let refused = admin.post_form(path, named(&photos)).await;
    refused.problem(422, "consent_required");
    let form = named(&photos).text("consent", "true");
    let answer = admin.post_form(path, form).await;
    let job = answer.expect(202);
    assert_eq!((&job["kind"], &job["total"]), (&json!("enroll"), &json!(7)));
    let id: rollcall::domain::ids::JobId = job["id"].as_str().unwrap().parse().unwrap();
    let ability = Ability {
        kind: rollcall::service::jobs::ENROLL,
        payload: None,
    };
    let now = app.clock.now();
    let waiting = app.stores.jobs.claim(&ability, now).await.unwrap().unwrap();
    let picture = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, b"picture 1");
    assert!(!waiting.payload.contains("picture 1") && !waiting.payload.contains(&picture));
    let given_back = waiting.given_back(now);
    assert!(app.stores.jobs.update(&given_back).await.unwrap());
    app.do_jobs().await;

    let done = followed(&admin, &job).await;
    assert_eq!(done["state"], "done", "{done}");
    let result = &done["result"];
    let counts = ["enrolled", "existing", "photos", "refused"].map(|name| result[name].as_u64());
    assert_eq!(counts, [6, 1, 6, 2].map(Some), "{result}");
    let files: Vec<_> = result["refusals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["file"].as_str().unwrap())
        .collect();
    assert_eq!(files, ["E9.jpg", "staff/E1 Person 1/blank.jpg"]);
    let kept = app.stores.jobs.find(id).await.unwrap().unwrap();
    assert_eq!(kept.payload, "");
    let employee = admin.get("/api/employees?limit=50").await.expect(200);
    let employees = employee["items"].as_array().unwrap();
    assert!(employees.iter().all(|one| one["enrolled"] == true));
    assert_eq!(employees[0]["consent"]["given"], "stated");

    // The job left the limit alone: one of two is used.
    let other = admin.add_employee("Joe Biden", "E10").await;
    let answer = admin.enroll(&other, &[photo("biden")]).await;
    answer.expect(201);
    assert!(answer.header("ratelimit").contains("r=0"));

    // The same photos again change nothing.
    let form = named(&photos[..6]).text("consent", "true");
    let again = admin.post_form(path, form).await.expect(202);
    app.do_jobs().await;
    let again = followed(&admin, &again).await;
    assert_eq!(
        (&again["result"]["enrolled"], &again["result"]["existing"]),
        (&json!(0), &json!(6))
    );
}

#[tokio::test]
async fn photos_of_many_people_have_a_limit_of_size() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let half = vec![0; PHOTO_BYTES_MOST / 2 + 100_000];
    let photos = [("E1.jpg", half.clone()), ("E2.jpg", half)];
    let answer = admin.post_form("/api/enrollments", named(&photos)).await;
    answer.problem(413, "too_large");
}
