//! Sites: the settings only seed the default site, and commands accept only sites that exist.

use super::*;

fn settings<'a>(zone: &'a str, starts: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("ADMIN_EMAIL", "a@example.org"),
        ("ADMIN_PASSWORD", "the first password"),
        ("TIME_ZONE", zone),
        ("WORKDAY_STARTS", starts),
    ]
}

/// The default site of a service with these settings.
fn default_site(data: &Path, settings: &[(&str, &str)]) -> Value {
    let service = Service::start(data, settings);
    let (_, cookie) = service.sign_in(settings[0].1, settings[1].1);
    let sites = service.signed(&cookie).get("/api/sites");
    assert_eq!(service.stop(), 0);
    sites["items"][0].clone()
}

#[test]
fn the_settings_seed_the_default_site_once() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let first = default_site(data.path(), &settings("Asia/Tokyo", "05:30"));
    let shown = |site: &Value| {
        ["zone", "workday_starts", "is_default"]
            .map(|field| site[field].to_string())
            .join(" ")
    };
    assert_eq!(shown(&first), r#""Asia/Tokyo" "05:30" true"#);
    let later = default_site(data.path(), &settings("UTC", "04:00"));
    assert_eq!(shown(&later), shown(&first));

    // The record counts for commands too.
    let mut doctor = rollcall(data.path(), &["doctor", "--json"]);
    let (_, out, err) = run(doctor.env("PORT", "0").env("TIME_ZONE", "UTC"));
    let report: Value = serde_json::from_str(&out).expect(&err);
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "time zone");
    let detail = check.unwrap()["detail"].as_str().unwrap();
    assert!(detail.ends_with(" JST"), "{detail}");
}

#[test]
fn nobody_is_imported_to_a_site_that_is_not_there() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let photos = photos();
    let from = photos.path().to_str().unwrap();
    let import = ["employees", "import", from, "--consent", "--site", "Hill"];
    let (code, out, err) = run(&mut rollcall(data.path(), &import));
    assert_eq!(code, 1, "{out}{err}");
    assert!(err.contains("there is no site Hill: add it"), "{err}");
    let import = [&import[..4], &["--site", "MAIN SITE"]].concat();
    let (_, out, err) = run(&mut rollcall(data.path(), &import));
    assert!(out.contains("enrolled with"), "{out}{err}");
}
