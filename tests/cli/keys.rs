//! `rollcall keys rotate`, beside a running service, and killed in the middle.

use futures::{StreamExt, stream};
use rollcall::{
    config::TemplateKeys,
    domain::{
        biometrics::{Embedding, ModelId},
        faces::FaceEnrollment,
    },
    vault::Vault,
};

use super::{personal_data::*, store::on_sqlite, *};
use crate::{
    installation::{all, overwrite},
    records::{employee_id, face},
};

fn keys_in(data: &Path) -> TemplateKeys {
    let file = data.join("template.key");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    TemplateKeys::parse(fs::read_to_string(file).unwrap().trim()).unwrap()
}

fn rotate(data: &Path, more: &[&str]) -> (i32, String, String) {
    run(&mut rollcall(data, &[&["keys", "rotate"], more].concat()))
}

/// Checks whether the person in the fixture is recognized.
fn recognizes(service: &Service, cookie: &str) -> bool {
    let photo = fs::read("tests/fixtures/faces/obama.jpg").unwrap();
    let signed = service.signed(cookie);
    let seen = signed.post("/api/identify", "image/jpeg", &photo);
    seen["faces"][0]["decision"] == "identified"
}

#[test]
fn the_key_file_is_rotated_while_the_service_recognizes_everybody() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let (code, _, err) = rotate(data, &[]);
    assert!(code == 1 && err.contains("no database"), "{err}");
    let (service, id) = service_with_a_punch(data);
    let (_, cookie) = service.sign_in(ADMIN[0].1, ADMIN[1].1);
    let old = keys_in(data);
    assert!(old.older.is_empty());
    let (code, out, _) = rotate(data, &["--finish"]);
    assert!(code == 0 && out.contains("nothing to finish"), "{out}");

    let (code, out, err) = rotate(data, &[]);
    assert!(
        code == 0 && out.contains("Restart the service"),
        "{out}{err}"
    );
    let both = keys_in(data);
    assert!(both.older.len() == 1 && both.older[0] == old.sealing);
    assert!(both.sealing != old.sealing);
    // Nothing happens until every instance that encrypts with the old key alone has stopped.
    for more in [&[][..], &["--finish"]] {
        let (code, _, err) = rotate(data, more);
        assert!(code == 1 && err.contains("restart every instance"), "{err}");
        assert_eq!(keys_in(data).older.len(), 1);
    }
    let doctor = || run(rollcall(data, &["doctor"]).env("PORT", "0")).1;
    let report = doctor();
    let first =
        "5 templates, photos and pictures are encrypted with an older key: restart every instance";
    let then = "run `rollcall keys rotate`, then run `rollcall keys rotate --finish`";
    assert!(report.contains(first) && report.contains(then), "{report}");
    assert!(recognizes(&service, &cookie));
    assert_eq!(service.stop(), 0);

    let service = Service::start(data, &ADMIN);
    std::thread::scope(|scope| {
        let rotating = scope.spawn(|| rotate(data, &[]));
        while !rotating.is_finished() {
            assert!(recognizes(&service, &cookie));
            std::thread::sleep(Duration::from_millis(100));
        }
        let (code, out, err) = rotating.join().unwrap();
        assert_eq!(code, 0, "{out}{err}");
        let rotated = out.contains("5 templates, photos and pictures were encrypted again");
        assert!(rotated && out.contains("--finish"), "{out}");
    });
    let report = doctor();
    let left = "remove it with `rollcall keys rotate --finish`";
    assert!(
        report.contains(left) && !report.contains("older key"),
        "{report}"
    );
    assert!(recognizes(&service, &cookie));
    let (code, out, err) = rotate(data, &["--finish"]);
    assert!(
        code == 0 && out.contains("0 templates, photos"),
        "{out}{err}"
    );
    assert!(out.contains("need the old one"), "{out}");
    assert!(!doctor().contains("old key"));
    let new = keys_in(data);
    assert!(new.older.is_empty() && new.sealing == both.sealing);
    assert!(recognizes(&service, &cookie));
    assert_eq!(service.stop(), 0);

    // The new key alone decrypts everything.
    let service = Service::start(data, &ADMIN);
    assert!(recognizes(&service, &cookie));
    let to = data.join("copy");
    let export = ["people", "export", &id, "--to", to.to_str().unwrap()];
    let (code, out, err) = run(&mut rollcall(data, &export));
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(service.stop(), 0);
}

#[test]
fn keys_in_the_environment_are_changed_by_their_owner() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let one = [
        ("TEMPLATE_KEY", "11".repeat(32)),
        ("ADMIN_EMAIL", String::new()),
    ];
    let settings = one.clone();
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let service = Service::start(data.path(), &settings);
    let rotate_with = |key: &str, more: &[&str]| {
        let mut command = rollcall(data.path(), &[&["keys", "rotate"], more].concat());
        run(command.env("TEMPLATE_KEY", key))
    };
    let (code, _, err) = rotate_with(&one[0].1, &[]);
    assert!(
        code == 1 && err.contains("put a new one before it"),
        "{err}"
    );
    let both = format!("{},{}", "22".repeat(32), one[0].1);
    let (code, _, err) = rotate_with(&both, &["--finish"]);
    assert!(code == 1 && err.contains("TEMPLATE_KEY yourself"), "{err}");
    let (code, _, err) = rotate_with(&both, &[]);
    assert!(code == 1 && err.contains("restart every instance"), "{err}");
    assert_eq!(service.stop(), 0);
    let (code, out, err) = rotate_with(&both, &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("Remove the old keys from TEMPLATE_KEY"),
        "{out}"
    );
    assert!(!data.path().join("template.key").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_rotation_continues_where_it_stopped() {
    const MANY: usize = 6000;
    let keys = TemplateKeys::parse(&format!("{},{}", "22".repeat(32), "11".repeat(32))).unwrap();
    let old = Vault::new(&keys.older[0], &[]);
    let model = ModelId::new("space");
    let embedding = Embedding::normalize(vec![3.0; 128]).unwrap();
    let faces: Vec<_> = (0..MANY)
        .map(|number| {
            let person = employee_id();
            let mut nonce = [0; 12];
            nonce[..8].copy_from_slice(&number.to_le_bytes());
            let mut one = face(person, 1, 0);
            let template = &mut one.face.as_mut().unwrap().templates[0];
            let sealed = old.seal_embedding(nonce, person, &model, &embedding);
            template.sealed = sealed.unwrap();
            one
        })
        .collect();
    let data = tempfile::tempdir().unwrap();
    let opened = async |vault: &Vault| {
        let mut opened = 0;
        on_sqlite(data.path(), async |stores| {
            let there = all::<FaceEnrollment>(stores).await;
            assert_eq!(there.len(), MANY);
            for one in there {
                let template = &one.templates()[0];
                let face = vault.open_embedding(&template.sealed, one.employee, &template.model);
                opened += usize::from(face.is_ok());
            }
        })
        .await;
        opened
    };
    on_sqlite(data.path(), async |stores| {
        let writing = faces.iter().map(|one| overwrite(stores, one));
        stream::iter(writing)
            .buffer_unordered(64)
            .collect::<()>()
            .await;
    })
    .await;
    let command = || {
        let mut command = rollcall(data.path(), &["keys", "rotate"]);
        command.env(
            "TEMPLATE_KEY",
            format!("{},{}", "22".repeat(32), "11".repeat(32)),
        );
        command
    };
    let new = Vault::new(&keys.sealing, &[]);
    let mut child = command().stdout(Stdio::null()).spawn().unwrap();
    // A query of one row, on an open connection, takes far less time than encrypting all faces.
    let database = rusqlite::Connection::open(data.path().join("rollcall.db")).unwrap();
    let first = faces.iter().map(|one| one.employee).min().unwrap();
    let begun = || {
        let body = "SELECT instr(body, ?2) FROM face_enrollments WHERE id = ?1";
        let found = database.query_row(body, (first.to_string(), new.key_id()), |row| row.get(0));
        found.is_ok_and(|place: i64| place > 0)
    };
    while !begun() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before the kill"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = opened(&new).await;
    assert!((1..MANY).contains(&done), "{done}");
    let both = Vault::new(&keys.sealing, &keys.older);
    assert_eq!(
        opened(&both).await,
        MANY,
        "everything can be decrypted at any moment"
    );
    let (code, out, err) = run(&mut command());
    assert_eq!(code, 0, "{out}{err}");
    let expected = format!(
        "{} templates, photos and pictures were encrypted again",
        MANY - done
    );
    assert!(out.contains(&expected), "{out}");
    assert_eq!(opened(&new).await, MANY);
}
