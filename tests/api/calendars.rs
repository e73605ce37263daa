//! Calendars for calendar programs, and holidays from a file.

use jiff::{SignedDuration, Timestamp};
use rollcall::domain::grants::{Role, Scope};
use serde_json::{Value, json};

use crate::app::{Client, TestApp};

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

/// Makes the address of an employee's calendar.
async fn open(client: &Client, employee: &str) -> String {
    let path = format!("/api/employees/{employee}/calendar");
    let made = client.post(&path, json!({})).await.expect(201);
    made["path"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_calendar_has_shifts_and_approved_leave_until_it_is_revoked() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let site = admin.add_site("Harbor", "Europe/Berlin").await;
    let new = json!({ "name": "Ann Lee", "code": "A1", "site": site });
    let ann = id(&admin.post("/api/employees", new).await.expect(201));
    let shift = json!({ "site": site, "name": "Night, long", "from": "22:00", "to": "06:00" });
    let shift = id(&admin.post("/api/shifts", shift).await.expect(201));
    let now: Timestamp = rollcall::clock::Clock::now(&*app.clock);
    let date = |days: i64| {
        let at = now + SignedDuration::from_hours(24 * days);
        at.to_zoned(jiff::tz::TimeZone::UTC).date()
    };
    for days in [-40, -20, 50, 70] {
        let new = json!({ "employees": [ann], "day": date(days), "shifts": [shift] });
        admin.post("/api/assignments", new).await.expect(201);
    }
    let kind = json!({ "name": "Vacation", "paid": true });
    let kind = id(&admin.post("/api/leave-kinds", kind).await.expect(201));
    let own = app.employee(&ann).await;
    let leave = |from: i64, to: i64| json!({ "employee": ann, "kind": kind, "from": date(from), "to": date(to) });
    let approved = id(&own.post("/api/leave", leave(10, 12)).await.expect(201));
    own.post("/api/leave", leave(20, 20)).await.expect(201);
    let path = format!("/api/leave/{approved}/approve");
    admin.post(&path, json!({})).await.expect(200);

    let path = open(&own, &ann).await;
    // 256 bits in base64url.
    assert_eq!(path.len(), "/api/calendars/".len() + 43 + ".ics".len());
    let anybody = app.anybody();
    let calendar = anybody.get(&path).await;
    assert_eq!(calendar.status, 200, "{}", calendar.text);
    assert_eq!(
        calendar.header("content-type"),
        "text/calendar; charset=utf-8"
    );
    assert_eq!(calendar.header("cache-control"), "no-store");
    let text = calendar.text.replace("\r\n ", "");
    assert_eq!(text.matches("BEGIN:VEVENT").count(), 3, "{text}");
    assert_eq!(
        text.matches("SUMMARY:Night\\, long\r\n").count(),
        2,
        "{text}"
    );
    let first = date(-20).at(22, 0, 0, 0).in_tz("Europe/Berlin").unwrap();
    let start = first
        .timestamp()
        .strftime("DTSTART:%Y%m%dT%H%M%SZ\r\n")
        .to_string();
    assert!(text.contains(&start), "{start} {text}");
    let off = format!(
        "DTSTART;VALUE=DATE:{}\r\nDTEND;VALUE=DATE:{}\r\n",
        date(10).strftime("%Y%m%d"),
        date(13).strftime("%Y%m%d"),
    );
    assert!(text.contains(&off), "{off} {text}");
    assert!(
        text.contains(&format!("UID:leave-{approved}@rollcall\r\n")),
        "{text}"
    );
    let uids = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("UID:"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    app.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(uids(&anybody.get(&path).await.text), uids(&calendar.text));

    // A new address replaces it.
    let again = open(&admin, &ann).await;
    anybody.get(&path).await.problem(404, "not_found");
    assert_eq!(anybody.get(&again).await.status, 200);
    let without = again.strip_suffix(".ics").unwrap();
    anybody.get(without).await.problem(404, "not_found");
    anybody
        .get(&format!("{without}x.ics"))
        .await
        .problem(404, "not_found");
    let paused = json!({ "active": false });
    admin
        .patch(&format!("/api/employees/{ann}"), paused)
        .await
        .expect(200);
    anybody.get(&again).await.problem(404, "not_found");
    admin
        .patch(&format!("/api/employees/{ann}"), json!({ "active": true }))
        .await
        .expect(200);

    let path = format!("/api/employees/{ann}/calendar");
    own.delete(&path).await.expect(204);
    anybody.get(&again).await.problem(404, "not_found");
    own.delete(&path).await.problem(404, "not_found");
    let entries = app.stores.audit.latest(4).await.unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    let expected = [
        "calendar.close",
        "calendar.close",
        "employee.change",
        "employee.change",
    ];
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn an_address_ends_with_the_permissions_of_its_maker() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (harbor, yard) = (
        admin.add_site("Harbor", "UTC").await,
        admin.add_site("Yard", "UTC").await,
    );
    let new = json!({ "name": "Ann Lee", "code": "A1", "site": harbor });
    let ann = id(&admin.post("/api/employees", new).await.expect(201));
    let calendar = format!("/api/employees/{ann}/calendar");
    admin.get(&calendar).await.problem(404, "not_found");
    let scope = Scope::Site(harbor.parse().unwrap());
    let manager = app.grant(Role::Manager, scope).await;
    let path = open(&manager, &ann).await;
    let anybody = app.anybody();
    let status = async || anybody.get(&path).await.status.as_u16();
    assert_eq!(status().await, 200);
    let shown = admin.get(&calendar).await.expect(200);
    assert_eq!(
        (&shown["made_by"]["kind"], &shown["open"]),
        (&json!("account"), &json!(true))
    );

    let maker = format!("/api/accounts/{}", shown["made_by"]["id"].as_str().unwrap());
    let change = async |change: Value| drop(admin.patch(&maker, change).await.expect(200));
    change(json!({ "active": false })).await;
    assert_eq!(status().await, 404);
    let shown = admin.get(&calendar).await.expect(200);
    assert_eq!(shown["open"], false);
    change(json!({ "active": true })).await;
    assert_eq!(status().await, 200);
    change(json!({ "grants": [{ "role": "manager", "site": yard }] })).await;
    assert_eq!(status().await, 404);
    change(json!({ "grants": [{ "role": "viewer", "site": harbor }] })).await;
    assert_eq!(status().await, 404, "viewers cannot make an address");
    admin.delete(&maker).await.expect(204);
    assert_eq!(status().await, 404);

    // Another one does not depend on the first maker.
    let own = open(&app.employee(&ann).await, &ann).await;
    assert_eq!(anybody.get(&own).await.status, 200);
}

const FILE: &str = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20270101\r\n\
    SUMMARY:Neujahr\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20270308\r\n\
    SUMMARY:Frauentag\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

#[tokio::test]
async fn a_file_of_holidays_is_compared_and_then_saved() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let calendar = json!({ "name": "Berlin", "days": [
        { "day": "2026-12-25", "name": "Weihnachten" },
        { "day": "2027-01-01", "name": "New Year" },
        { "day": "2027-05-01", "name": "Tag der Arbeit" },
    ] });
    let calendar = id(&admin.post("/api/holidays", calendar).await.expect(201));
    let path = format!("/api/holidays/preview?calendar={calendar}");
    let send = async |path: &str, file: &str| {
        admin
            .post_bytes(path, "text/calendar", file.as_bytes())
            .await
    };
    let preview = send(&path, FILE).await.expect(200);
    let day = |day: &str, name: &str| json!({ "day": day, "part": "whole", "name": name });
    let expected = json!({
        "days": [
            day("2026-12-25", "Weihnachten"),
            day("2027-01-01", "Neujahr"),
            day("2027-03-08", "Frauentag"),
        ],
        "added": [day("2027-03-08", "Frauentag")],
        "removed": [day("2027-05-01", "Tag der Arbeit")],
        "renamed": [{ "day": "2027-01-01", "from": "New Year", "to": "Neujahr" }],
    });
    assert_eq!(preview, expected);
    let saved = json!({ "days": preview["days"] });
    let saved = admin
        .patch(&format!("/api/holidays/{calendar}"), saved)
        .await
        .expect(200);
    assert_eq!(saved["days"], preview["days"]);
    let again = send(&path, FILE).await.expect(200);
    for name in ["added", "removed", "renamed"] {
        assert_eq!(again[name], json!([]), "{name}");
    }
    let alone = send("/api/holidays/preview", FILE).await.expect(200);
    assert_eq!(alone["added"], alone["days"]);

    let bad = FILE.replace("VALUE=DATE:20270308", "VALUE=DATE:20270308T08");
    let bad = send(&path, &bad).await.problem(422, "invalid");
    assert_eq!(bad["line"], 7, "{bad}");
    let long = FILE.replace("Frauentag", &"x".repeat(65));
    let long = send(&path, &long).await.problem(422, "invalid");
    assert_eq!(long["day"], "2027-03-08", "{long}");
    let nowhere = "/api/holidays/preview?calendar=0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b";
    send(nowhere, FILE).await.problem(404, "not_found");
    let huge = "x".repeat((1 << 20) + 1);
    send(&path, &huge).await.problem(413, "too_large");
    let binary = admin
        .post_bytes(&path, "text/calendar", vec![0xff, 0xfe])
        .await;
    assert_eq!(binary.fields(), ["file"]);
}
