//! `rollcall audit`, on a store that a service has written.

use super::{personal_data::ADMIN, *};

#[test]
fn the_trail_is_printed_newest_first_and_creates_no_store() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let audit = |more: &[&str]| run(&mut rollcall(data.path(), &[&["audit"], more].concat()));
    let (code, _, err) = audit(&[]);
    assert!(code == 1 && !err.is_empty(), "{err}");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);

    let service = Service::start(data.path(), &ADMIN);
    let (_, cookie) = service.sign_in(ADMIN[0].1, ADMIN[1].1);
    let signed = service.signed(&cookie);
    let body = br#"{"name":"Ada Lovelace","code":"E1"}"#;
    let added = signed.post("/api/employees", "application/json", body);
    let device = signed.post("/api/devices", "application/json", br#"{"name":"Door"}"#);

    let (code, out, err) = audit(&[]);
    assert_eq!(code, 0, "{out}{err}");
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split('\t').collect()).collect();
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let by = format!("account {}", ADMIN[0].1);
    assert_eq!(lines[0][1..], [&by, "device.register", &id(&device)]);
    assert_eq!(lines[1][1..], [&by, "employee.add", &id(&added)]);

    let (code, out, _) = audit(&["--limit", "2", "--json"]);
    let printed: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let page = signed.get("/api/audit?limit=2");
    assert_eq!(code, 0);
    assert_eq!(page["items"], Value::Array(printed));
    assert_eq!(service.stop(), 0);
}
