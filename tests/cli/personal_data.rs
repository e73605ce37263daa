//! `rollcall people export` and `rollcall people erase`, beside a running service.

use sha2::{Digest, Sha256};

use rollcall::domain::employees::{CONSENT_TEXT, CONSENT_VERSION};

use super::*;
use crate::store::on_sqlite;

pub const ADMIN: [(&str, &str); 4] = [
    ("ADMIN_EMAIL", "a@example.org"),
    ("ADMIN_PASSWORD", "the first password"),
    ("KEEP_PHOTOS", "on"),
    ("KEEP_PUNCH_PICTURES", "30d"),
];

/// Starts a service with one enrolled person, who has punched once; returns it with the person's
/// ID.
pub fn service_with_a_punch(data: &Path) -> (Service, String) {
    let service = Service::start(data, &ADMIN);
    let photos = photos();
    fs::remove_dir_all(photos.path().join("9 Nobody")).unwrap();
    let from = photos.path().to_str().unwrap();
    let import = [
        "employees",
        "import",
        from,
        "--consent",
        "--site",
        "main site",
    ];
    let (code, out, err) = run(rollcall(data, &import).env("KEEP_PHOTOS", "on"));
    assert_eq!(code, 0, "{out}{err}");
    let until = |what: &str, wanted: &dyn Fn() -> bool| {
        let begin = Instant::now();
        while !wanted() {
            assert!(begin.elapsed() < PATIENCE, "{what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    until("in the gallery", &|| {
        service.get("/readyz").1.contains("1 people")
    });
    let (status, cookie) = service.sign_in(ADMIN[0].1, ADMIN[1].1);
    assert_eq!(status, 200);
    let signed = service.signed(&cookie);
    let device = signed.post("/api/devices", "application/json", br#"{"name":"Door"}"#);
    let token = device["token"].as_str().unwrap().to_owned();
    let photo = fs::read("tests/fixtures/faces/obama.jpg").unwrap();
    let answer = service
        .bearer(&token)
        .post("/api/punches", "image/jpeg", &photo);
    assert_eq!(answer["outcome"], "punched", "{answer}");
    let id = answer["punch"]["employee"].as_str().unwrap().to_owned();
    let punch = answer["punch"]["id"].as_str().unwrap();
    let picture = signed.url(&format!("/api/punches/{punch}/picture"));
    until("its picture", &|| {
        let asked = Service::client().get(&picture).header("cookie", &cookie);
        asked.send().is_ok_and(|answer| answer.status() == 200)
    });
    (service, id)
}

#[test]
fn the_text_of_a_consent_is_kept_and_another_one_needs_a_new_version() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    drop(Service::start(data.path(), &ADMIN));
    let name = format!("consent_text:{CONSENT_VERSION}");
    let changed = on_sqlite(data.path(), async |stores| {
        let kept = stores.settings.get(&name).await;
        assert_eq!(kept, Ok(Some(CONSENT_TEXT.to_owned())));
        stores.settings.put(&name, "Another text").await.unwrap();
    });
    tokio::runtime::Runtime::new().unwrap().block_on(changed);
    let (code, _, err) = run(rollcall(data.path(), &["serve"]).env("PORT", "0"));
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("give the new text a new version"), "{err}");
}

#[test]
fn an_employee_is_exported_and_erased_with_a_receipt() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let (service, id) = service_with_a_punch(data.path());
    let to = data.path().join("copy");
    let to_text = to.to_str().unwrap();
    let people = |arguments: &[&str]| {
        run(&mut rollcall(
            data.path(),
            &[&["people"], arguments].concat(),
        ))
    };

    let (code, out, err) = people(&["export", "44", "--to", to_text]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("       1 employee\n") && out.contains("       1 face enrollment\n"),
        "{out}"
    );
    assert!(
        out.contains("their face enrollments, photos, pictures unencrypted"),
        "{out}"
    );
    assert_eq!(
        fs::metadata(&to).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let person: Value = serde_json::from_slice(&fs::read(to.join("person.json")).unwrap()).unwrap();
    assert_eq!(person["employees"][0]["id"], *id);
    assert_eq!(person["employees"][0]["name"], "Barack Obama");
    let face = &person["face_enrollments"][0]["face"];
    assert_eq!(face["consent"]["text"], CONSENT_VERSION);
    assert_eq!(face["consent"]["wording"], CONSENT_TEXT);
    let templates = face["templates"].as_array().unwrap();
    assert_eq!(templates.len(), 2);
    assert!(
        templates
            .iter()
            .all(|one| one["numbers"].as_array().unwrap().len() > 100)
    );
    assert!(!person.to_string().contains("ciphertext"));
    assert_eq!(person["punches"][0]["kind"], "in");
    let csv = fs::read_to_string(to.join("punches.csv")).unwrap();
    assert_eq!(csv.lines().count(), 2, "{csv}");
    assert!(csv.contains(",Main site,"), "{csv}");
    assert_eq!(person["employees"][0]["site_name"], "Main site");
    assert!(
        csv.lines()
            .all(|line| line.ends_with(",origin_name,proof") || line.ends_with(",Door,face"))
    );
    for section in ["punches", "pictures"] {
        let one = &person[section][0];
        assert_eq!(one["origin"]["kind"], "device", "{section}");
        assert_eq!(one["origin_name"], "Door", "{section}");
    }
    assert_eq!(person["punches"][0]["proof"]["kind"], "face");
    // The guide explains every section and every kind of file.
    let guide = fs::read_to_string(to.join("README.txt")).unwrap();
    for section in person.as_object().unwrap().keys() {
        assert!(
            guide.contains(&format!("\n  {section} ")),
            "{section}: {guide}"
        );
    }
    assert!(guide.contains(CONSENT_TEXT));
    // The photos are the files that were enrolled.
    let mut kept: Vec<_> = person["photos"]
        .as_array()
        .unwrap()
        .iter()
        .map(|photo| fs::read(to.join(photo["file"].as_str().unwrap())).unwrap())
        .collect();
    let mut enrolled: Vec<_> = ["obama.jpg", "obama2.jpg"]
        .iter()
        .map(|name| fs::read(Path::new("tests/fixtures/faces").join(name)).unwrap())
        .collect();
    kept.sort();
    enrolled.sort();
    assert!(kept == enrolled);
    let picture = person["pictures"][0]["file"].as_str().unwrap();
    let picture = fs::read(to.join(picture)).unwrap();
    assert!(picture.starts_with(&[0xff, 0xd8]) && picture.len() < 60_000);
    let receipt: Value =
        serde_json::from_slice(&fs::read(to.join("receipt.json")).unwrap()).unwrap();
    let files = receipt["files"].as_array().unwrap();
    assert_eq!(files.len(), 6);
    for file in files {
        let path = to.join(file["name"].as_str().unwrap());
        let bytes = fs::read(&path).unwrap();
        assert_eq!(file["sha256"], hex::encode(Sha256::digest(&bytes)));
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let (code, _, err) = people(&["export", "44", "--to", to_text]);
    assert!(
        code == 1 && err.contains(&format!("{to_text} already exists")),
        "nothing is overwritten: {err}"
    );

    let (code, _, err) = people(&["erase", "44"]);
    assert!(code == 2 && err.contains("--yes"), "{err}");
    let (code, _, err) = people(&["erase", "45", "--yes"]);
    assert!(
        code == 1 && err.contains("no employee has the ID or staff number"),
        "{err}"
    );
    let (code, out, err) = people(&["erase", "44", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    let receipt: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(receipt["employee"], *id);
    assert_eq!(receipt["deleted"]["templates"], 2);
    assert_eq!(receipt["deleted"]["photos"], 2);
    assert_eq!(receipt["deleted"]["pictures"], 1);
    assert_eq!(receipt["stays"]["punches"], 1);
    assert_eq!(
        receipt["replaced"],
        serde_json::json!(["active", "code", "name"])
    );
    // The store's files contain no trace either: the audit trail was written last.
    for file in ["rollcall.db", "rollcall.db-wal"] {
        let bytes = fs::read(data.path().join(file)).unwrap();
        let name = b"Barack Obama";
        assert!(
            !bytes.windows(name.len()).any(|part| part == name),
            "{file}"
        );
    }
    let sum = hex::encode(Sha256::digest(out.as_bytes()));

    // The running service no longer recognizes the face, and shows the punch without a name.
    let begin = Instant::now();
    while !service.get("/readyz").1.contains("0 people") {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(100));
    }
    let (_, cookie) = service.sign_in(ADMIN[0].1, ADMIN[1].1);
    let punches = service
        .signed(&cookie)
        .get(&format!("/api/punches?employee={id}"));
    assert_eq!(punches["items"][0]["name"], "Erased", "{punches}");

    // Everything that is left, including the entry about the receipt.
    let again = data.path().join("again");
    let (code, out, err) = people(&["export", &id, "--to", again.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("It contains no face"), "{out}");
    let person = fs::read_to_string(again.join("person.json")).unwrap();
    assert!(person.contains(&sum), "{person}");
    for gone in ["Obama", "numbers", "\"photos\"", "\"pictures\""] {
        assert!(!person.contains(gone), "{gone}: {person}");
    }

    let (code, out, err) = people(&["erase", &id, "--yes", "--punches"]);
    assert_eq!(code, 0, "{out}{err}");
    let receipt: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(receipt["deleted"]["punches"], 1);
    assert_eq!(receipt["stays"].get("punches"), None);
    let punches = service
        .signed(&cookie)
        .get(&format!("/api/punches?employee={id}"));
    assert_eq!(punches["items"], serde_json::json!([]), "{punches}");
    assert_eq!(service.stop(), 0);
}

#[test]
fn an_export_without_the_key_reports_what_is_missing() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let (service, id) = service_with_a_punch(data.path());
    assert_eq!(service.stop(), 0);
    fs::remove_file(data.path().join("template.key")).unwrap();
    let to = data.path().join("copy");
    let export = ["people", "export", &id, "--to", to.to_str().unwrap()];
    let (code, _, err) = run(&mut rollcall(data.path(), &export));
    assert!(
        code == 1 && err.contains("5 templates, photos or pictures could not be decrypted"),
        "{err}"
    );
    let person: Value = serde_json::from_slice(&fs::read(to.join("person.json")).unwrap()).unwrap();
    let template = &person["face_enrollments"][0]["face"]["templates"][0];
    assert_eq!(template["opened"], false);
    assert_eq!(person["photos"][0]["opened"], false);
    assert_eq!(person["punches"].as_array().unwrap().len(), 1);
}
