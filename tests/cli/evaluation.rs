//! `rollcall models evaluate` with the real engine.

use std::{fs, path::Path};

use super::{rollcall, run, runtime};

#[test]
fn people_are_evaluated_on_photos_of_a_folder() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let copy = |photos: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        for (path, fixture) in photos {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::copy(Path::new("tests/fixtures/faces").join(fixture), path).unwrap();
        }
        folder
    };
    let people = copy(&[
        ("barack/1.jpg", "obama.jpg"),
        ("barack/2.jpg", "obama2.jpg"),
        ("barack/3.jpg", "obama3.jpg"),
        ("joe & <b>/1.jpg", "biden.jpg"),
        ("joe & <b>/2.jpg", "biden.jpg"),
        ("joe & <b>/3.jpg", "README.md"),
    ]);
    let strangers = copy(&[("1.jpg", "hopper.jpg"), ("2.jpg", "collins.jpg")]);
    let page = data.path().join("report.html");
    let folder = |folder: &tempfile::TempDir| folder.path().to_str().unwrap().to_owned();
    let (people, strangers) = (folder(&people), folder(&strangers));
    let command = [
        "models",
        "evaluate",
        &people,
        "--strangers",
        &strangers,
        "--enroll",
        "1",
        "--html",
        page.to_str().unwrap(),
    ];
    let (code, out, err) = run(&mut rollcall(data.path(), &command));
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.starts_with("2 people enrolled with 2 photos"), "{out}");
    // Two of three photos are different ones, so that their similarity is measured.
    for cell in [
        "3/3 100.0 % [43.9, 100.0]",
        "0/3 0.0 % [0.0, 56.1]",
        "0/2 0.0 % [0.0, 65.8]",
    ] {
        assert_eq!(out.matches(cell).count() % 3, 0, "{cell}: {out}");
        assert!(out.contains(cell), "{cell}: {out}");
    }
    assert!(
        out.contains("joe & <b>/3.jpg: not a JPEG, PNG or WebP image"),
        "{out}"
    );

    let html = fs::read_to_string(&page).unwrap();
    assert!(
        html.contains("<svg") && html.contains("class=\"curve f1\""),
        "{html}"
    );
    assert!(html.contains("3/3 100.0 % [43.9, 100.0]"), "{html}");
    assert!(
        html.contains("joe &amp; &lt;b&gt;/3.jpg") && !html.contains("<b>"),
        "{html}"
    );
    assert!(
        !html.contains("<script") && !html.contains("http"),
        "{html}"
    );

    // Each person as the stranger; a burst needs three photos to search with.
    let (code, out, err) = run(&mut rollcall(data.path(), &["models", "evaluate", &people]));
    assert!(
        code == 0 && out.contains("each person in turn was the stranger"),
        "{out}{err}"
    );

    let empty = data.path().to_str().unwrap();
    let (code, _, err) = run(&mut rollcall(data.path(), &["models", "evaluate", empty]));
    assert!(code == 1 && err.contains("no photos in"), "{err}");
    let none = ["models", "evaluate", &people, "--enroll", "0"];
    let (code, _, err) = run(&mut rollcall(data.path(), &none));
    assert!(code == 2 && err.contains("--enroll"), "{err}");
}
