//! The camera check of `rollcall doctor`: with go2rtc, without it, and without cameras.

use super::{go2rtc::Go2rtc, *};

/// An admin, and no go2rtc, so that every stream is accepted.
const ADMIN: [(&str, &str); 3] = [
    ("ADMIN_EMAIL", "a@example.org"),
    ("ADMIN_PASSWORD", "the first password"),
    ("GO2RTC_URL", "http://127.0.0.1:9"),
];

/// Returns the state and the text of the camera check.
fn cameras(data: &Path, settings: &[(&str, &str)]) -> Option<(String, String)> {
    let mut command = rollcall(data, &["doctor", "--json"]);
    let (_, out, err) = run(command.env("PORT", "0").envs(settings.iter().copied()));
    let report: Value = serde_json::from_str(&out).expect(&err);
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "cameras")?;
    let text = |field: &str| check[field].as_str().unwrap().to_owned();
    Some((text("state"), text("detail")))
}

/// Sets up an installation with cameras on these streams.
fn with_cameras(data: &Path, streams: &[&str]) {
    let service = Service::start(data, &ADMIN);
    let (_, cookie) = service.sign_in(ADMIN[0].1, ADMIN[1].1);
    assert_eq!(cameras(data, &[]), None, "there are no cameras");
    let signed = service.signed(&cookie);
    for stream in streams {
        let body = serde_json::json!({"name": format!("The {stream}"), "stream": stream});
        let body = body.to_string();
        let added = signed.post("/api/cameras", "application/json", body.as_bytes());
        assert_eq!(added["stream"], *stream, "{added}");
    }
    assert_eq!(service.stop(), 0);
}

#[test]
fn doctor_reports_an_unavailable_go2rtc_if_there_are_cameras() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    with_cameras(data.path(), &["yard"]);
    let url = format!("http://127.0.0.1:{}", free_port());
    let (state, detail) = cameras(data.path(), &[("GO2RTC_URL", &url)]).unwrap();
    assert_eq!(state, "failed");
    assert!(
        detail.contains(&url) && detail.contains("is it running"),
        "{detail}"
    );
}

#[test]
fn doctor_checks_the_cameras_against_the_streams_of_go2rtc() {
    if runtime::missing() {
        return;
    }
    let yard = [("yard", "http://127.0.0.1:9/yard".to_owned())];
    let go2rtc = match Go2rtc::with(&yard) {
        Ok(go2rtc) => go2rtc,
        Err(why) => return skip::skip("doctor and go2rtc", &why),
    };
    let data = tempfile::tempdir().unwrap();
    with_cameras(data.path(), &["yard"]);
    let url = go2rtc.url();
    let (state, detail) = cameras(data.path(), &[("GO2RTC_URL", &url)]).unwrap();
    assert_eq!(state, "failed");
    assert!(detail.contains("set GO2RTC_USERNAME"), "{detail}");
    let settings = [
        ("GO2RTC_URL", url.as_str()),
        ("GO2RTC_USERNAME", go2rtc::USER),
        ("GO2RTC_PASSWORD", go2rtc::PASSWORD),
    ];
    let (state, detail) = cameras(data.path(), &settings).unwrap();
    assert_eq!(
        (state.as_str(), detail.starts_with("1, ")),
        ("ok", true),
        "{detail}"
    );

    let other = tempfile::tempdir().unwrap();
    with_cameras(other.path(), &["yard", "gate"]);
    let (state, detail) = cameras(other.path(), &settings).unwrap();
    assert_eq!(state, "failed");
    let missing = "has no stream for The gate (gate): add it";
    assert!(
        detail.contains(missing) && !detail.contains("The yard"),
        "{detail}"
    );
    assert!(!detail.contains(go2rtc::PASSWORD), "{detail}");
}
