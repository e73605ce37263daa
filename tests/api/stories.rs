//! Attendance from end to end: what people, kiosks and managers do, and what the days then show.

use jiff::Timestamp;
use rollcall::{
    clock::Clock,
    domain::{accounts::Actor, grants::Role, ids::SiteId, text::Name},
    service::devices::DeviceSettings,
};
use serde_json::{Value, json};

use crate::app::{Client, Kiosk, TestApp, photo};

const HOUR: i64 = 3600;

/// Returns a figure in hours. The clock goes on for moments while a test sets it.
fn hours(figure: &Value) -> f64 {
    let minutes = (figure.as_f64().unwrap() / 60.0).round();
    minutes / 60.0
}

/// Sets the clock of the service. Sessions do not last, so the admin is signed in again.
async fn at(app: &TestApp, moment: &str) -> Client {
    let moment: Timestamp = moment.parse().unwrap();
    app.clock.advance(moment.duration_since(app.clock.now()));
    app.admin().await
}

async fn kiosk_at(app: &TestApp, site: &str) -> Kiosk {
    let new = DeviceSettings {
        name: Name::parse("Gate").unwrap(),
        site: site.parse().unwrap(),
    };
    let devices = &app.app.devices;
    let (device, token) = devices.register(Actor::Operator, new).await.unwrap();
    Kiosk {
        id: device.id.to_string(),
        client: app.anybody().bearer(token.reveal()),
    }
}

/// Adds an employee whom kiosks recognize, at a site.
async fn enrolled_at(app: &TestApp, admin: &Client, site: &str) -> String {
    let employee = app.enrolled(admin).await;
    let path = format!("/api/employees/{employee}");
    admin
        .patch(&path, json!({ "site": site }))
        .await
        .expect(200);
    employee
}

/// Punches without a kind at a moment; the punch.
async fn punch(app: &TestApp, kiosk: &Kiosk, moment: &str) -> Value {
    let moment: Timestamp = moment.parse().unwrap();
    app.clock.advance(moment.duration_since(app.clock.now()));
    let answer = kiosk.punch(&photo("obama3")).await.expect(201);
    answer["punch"].clone()
}

/// Returns a day of an employee.
async fn day(admin: &Client, employee: &str, day: &str) -> Value {
    let path = format!("/api/employees/{employee}/days?from={day}&to={day}");
    admin.get(&path).await.expect(200)
}

/// Approves and locks a timesheet; its ID.
async fn lock(admin: &Client, employee: &str, from: &str) -> String {
    let path = format!("/api/timesheets/{employee}:{from}");
    let digest = admin.get(&path).await.expect(200)["digest"].clone();
    let approve = json!({ "digest": digest });
    admin
        .post(&format!("{path}/approve"), approve)
        .await
        .expect(200);
    admin
        .post(&format!("{path}/lock"), json!({}))
        .await
        .expect(200);
    path
}

#[tokio::test]
async fn a_day_of_work_in_two_sites_and_zones_is_one_workday() {
    let app = TestApp::start().await;
    let admin = at(&app, "2027-03-01T06:00:00Z").await;
    let berlin = admin.add_site("Berlin", "Europe/Berlin").await;
    let york = admin.add_site("New York", "America/New_York").await;
    let employee = enrolled_at(&app, &admin, &berlin).await;
    let (home, away) = (kiosk_at(&app, &berlin).await, kiosk_at(&app, &york).await);
    let punches = [
        // From 08:00 to 12:00 in Berlin, and after a flight, from 15:00 to 18:00 in New York.
        punch(&app, &home, "2027-03-01T07:00:00Z").await,
        punch(&app, &home, "2027-03-01T11:00:00Z").await,
        punch(&app, &away, "2027-03-01T20:00:00Z").await,
        punch(&app, &away, "2027-03-01T23:00:00Z").await,
    ];
    let kinds = punches
        .each_ref()
        .map(|punch| punch["kind"].as_str().unwrap());
    assert_eq!(kinds, ["in", "out", "in", "out"]);
    assert!(punches.iter().all(|punch| punch["workday"] == "2027-03-01"));

    let admin = app.admin().await;
    let monday = day(&admin, &employee, "2027-03-01").await["days"][0].clone();
    assert_eq!(monday["zone"], "Europe/Berlin");
    assert_eq!(hours(&monday["worked"]), 7.0);
    assert_eq!(monday["exceptions"], json!([]));
    // Midnight in Berlin, where the workday ends at four.
    let left = monday["spans"][1]["out"].as_str().unwrap();
    assert!(left.starts_with("2027-03-02T00:00:"), "{left}");
    let tuesday = day(&admin, &employee, "2027-03-02").await["days"][0].clone();
    assert_eq!(tuesday["worked"], 0);
    let board = format!("/api/days?site={berlin}");
    let board = admin.get(&board).await.expect(200);
    assert_eq!(board["items"][0]["state"], "left");
    assert_eq!(hours(&board["items"][0]["worked"]), 7.0);
}

#[tokio::test]
async fn a_night_shift_has_the_hours_that_passed_while_clocks_changed() {
    let app = TestApp::start().await;
    let admin = at(&app, "2027-03-27T12:00:00Z").await;
    let berlin = admin.add_site("Berlin", "Europe/Berlin").await;
    let employee = enrolled_at(&app, &admin, &berlin).await;
    let kiosk = kiosk_at(&app, &berlin).await;
    let night = json!({ "site": berlin, "name": "Night", "from": "22:00", "to": "06:00" });
    let night = admin.post("/api/shifts", night).await.expect(201)["id"].clone();
    let nights = [
        // From 22:00 to 06:00 by the clock on the wall: in spring it goes forward in between.
        (
            "2027-03-27",
            "2027-03-27T21:00:00Z",
            "2027-03-28T04:00:00Z",
            7.0,
        ),
        (
            "2027-10-30",
            "2027-10-30T20:00:00Z",
            "2027-10-31T05:00:00Z",
            9.0,
        ),
    ];
    for (date, came, left, length) in nights {
        let admin = at(&app, &format!("{date}T12:00:00Z")).await;
        let plan = json!({ "employees": [employee], "day": date, "shifts": [night] });
        admin.post("/api/assignments", plan).await.expect(201);
        assert_eq!(punch(&app, &kiosk, came).await["kind"], "in");
        let out = punch(&app, &kiosk, left).await;
        assert_eq!(
            (&out["kind"], &out["kind_reason"]),
            (&json!("out"), &json!("present"))
        );

        let admin = app.admin().await;
        let found = day(&admin, &employee, date).await["days"][0].clone();
        let of = |name: &str| hours(&found[name]);
        assert_eq!((of("planned"), of("worked")), (length, length));
        assert_eq!((of("late"), of("early"), of("overtime")), (0.0, 0.0, 0.0));
        assert_eq!(found["exceptions"], json!([]));
    }
}

#[tokio::test]
async fn what_an_offline_kiosk_delivers_into_a_locked_period_becomes_an_adjustment() {
    let app = TestApp::start().await;
    let admin = at(&app, "2027-03-31T07:00:00Z").await;
    let site = SiteId::DEFAULT.to_string();
    let employee = enrolled_at(&app, &admin, &site).await;
    let (gate, yard) = (kiosk_at(&app, &site).await, kiosk_at(&app, &site).await);
    punch(&app, &gate, "2027-03-31T08:00:00Z").await;
    punch(&app, &gate, "2027-03-31T16:00:00Z").await;
    // The kiosk in the yard has no network in the evening.
    let admin = at(&app, "2027-04-01T08:00:00Z").await;
    let march = lock(&admin, &employee, "2027-03-01").await;

    let admin = at(&app, "2027-04-03T17:00:00Z").await;
    for (hour, kind) in [(18, "in"), (20, "out")] {
        let query = format!("?captured_at=2027-03-31T{hour}:00:00Z");
        let late = yard
            .punch_with(&query, &[], &photo("obama3"))
            .await
            .expect(201);
        let late = &late["punch"];
        assert_eq!(
            (&late["kind"], &late["clock"]),
            (&json!(kind), &json!("device"))
        );
        assert_eq!(late["doubt"], Value::Null);
    }
    // The punches are kept, and the locked figures stay.
    let of_day = format!("/api/punches?employee={employee}");
    let kept = admin.get(&of_day).await.expect(200);
    assert_eq!(kept["items"].as_array().unwrap().len(), 4);
    let days = day(&admin, &employee, "2027-03-31").await;
    let locked = &days["days"][0];
    assert_eq!(
        (hours(&locked["worked"]), &locked["locked"]),
        (8.0, &json!(true))
    );
    let adjustment = json!([{
        "day": "2027-03-31", "worked": 2 * HOUR, "held": false, "settled": false,
    }]);
    assert_eq!(days["adjustments"], adjustment);

    // April pays for it, once.
    let april = format!("/api/timesheets/{employee}:2027-04-01");
    assert_eq!(admin.get(&april).await.expect(200)["settles"], adjustment);
    let admin = at(&app, "2027-05-02T08:00:00Z").await;
    lock(&admin, &employee, "2027-04-01").await;
    let mut settled = adjustment.clone();
    settled[0]["settled"] = json!(true);
    assert_eq!(
        day(&admin, &employee, "2027-03-31").await["adjustments"],
        settled
    );
    assert_eq!(admin.get(&april).await.expect(200)["settles"], settled);
    let may = format!("/api/timesheets/{employee}:2027-05-01");
    assert_eq!(admin.get(&may).await.expect(200)["settles"], json!([]));
    let march = admin.get(&march).await.expect(200);
    assert_eq!(hours(&march["figures"]["totals"]["worked"]), 8.0);
}

#[tokio::test]
async fn weeks_are_approved_where_the_site_says_so() {
    let app = TestApp::start().await;
    let admin = at(&app, "2027-03-20T08:00:00Z").await;
    let (weekly, monthly) = (
        admin.add_site("Weekly", "UTC").await,
        admin.add_site("Monthly", "UTC").await,
    );
    let rules = json!({ "rules": { "week_starts": "sun" }, "period": "week" });
    let path = format!("/api/sites/{weekly}/rules/2027-03-10");
    admin.put(&path, rules).await.expect(201);
    let mut ids = Vec::new();
    for (name, site) in [("Ann", &weekly), ("Ben", &monthly)] {
        let new = json!({ "name": name, "code": name, "site": site });
        let added = admin.post("/api/employees", new).await.expect(201);
        ids.push(added["id"].as_str().unwrap().to_owned());
    }
    let periods = async |date: &str| {
        let path = format!("/api/timesheets?period={date}");
        let found = admin.get(&path).await.expect(200)["items"].clone();
        let dates = |one: &Value| {
            format!(
                "{}/{}",
                one["from"].as_str().unwrap(),
                one["to"].as_str().unwrap()
            )
        };
        found
            .as_array()
            .unwrap()
            .iter()
            .map(dates)
            .collect::<Vec<_>>()
    };
    let month = "2027-03-01/2027-03-31";
    assert_eq!(
        periods("2027-03-15").await,
        ["2027-03-14/2027-03-20", month]
    );
    // Where the weeks begin, a month ends early and the first week begins late.
    assert_eq!(
        periods("2027-03-09").await,
        ["2027-03-01/2027-03-09", month]
    );
    assert_eq!(
        periods("2027-03-10").await,
        ["2027-03-10/2027-03-13", month]
    );

    let ann = &ids[0];
    lock(&admin, ann, "2027-03-10").await;
    let inside = format!("/api/timesheets/{ann}:2027-03-11");
    admin.get(&inside).await.problem(404, "not_found");
    // The days of an employee begin with their timesheet.
    let days = format!("/api/employees/{ann}/days?to=2027-03-16");
    assert_eq!(admin.get(&days).await.expect(200)["from"], "2027-03-14");

    // Months again: the locked week stays.
    admin.delete(&path).await.expect(204);
    assert_eq!(
        periods("2027-03-12").await,
        ["2027-03-10/2027-03-13", month]
    );
    assert_eq!(
        periods("2027-03-20").await,
        ["2027-03-14/2027-03-31", month]
    );
}

#[tokio::test]
async fn notices_say_what_waits_until_it_is_done() {
    let app = TestApp::start().await;
    let admin = at(&app, "2027-03-01T07:00:00Z").await;
    let site = SiteId::DEFAULT.to_string();
    let employee = enrolled_at(&app, &admin, &site).await;
    let kiosk = kiosk_at(&app, &site).await;
    let early = json!({ "site": site, "name": "Early", "from": "08:00", "to": "16:00" });
    let early = admin.post("/api/shifts", early).await.expect(201)["id"].clone();
    let plan = json!({ "employees": [employee], "day": "2027-03-01", "shifts": [early] });
    admin.post("/api/assignments", plan).await.expect(201);
    punch(&app, &kiosk, "2027-03-01T08:00:00Z").await;
    let notices = async |client: &Client| {
        let found = client.get("/api/notices").await.expect(200);
        found["items"].as_array().unwrap().clone()
    };
    let admin = at(&app, "2027-03-01T16:59:00Z").await;
    assert_eq!(notices(&admin).await, Vec::<Value>::new());
    let admin = at(&app, "2027-03-01T17:00:01Z").await;
    let missing = json!({
        "kind": "missing_out", "employee": employee, "name": "Barack Obama",
        "since": "2027-03-01T16:00:00.000Z", "day": "2027-03-01", "ends": null, "id": null,
        "reason": null,
    });
    assert_eq!(notices(&admin).await, [missing]);
    let viewer_elsewhere = admin.add_site("Elsewhere", "UTC").await.parse().unwrap();
    let scope = rollcall::domain::grants::Scope::Site(viewer_elsewhere);
    let elsewhere = app.grant(Role::Viewer, scope).await;
    assert_eq!(notices(&elsewhere).await, Vec::<Value>::new());

    // The employee asks for the out and submits an earlier month; the manager has both to decide.
    let own = app.employee(&employee).await;
    let path = format!("/api/employees/{employee}/corrections");
    let out = json!({
        "action": "add", "kind": "out", "at": "2027-03-01T16:00:00Z", "reason": "Forgot",
    });
    let asked = own.post(&path, out).await.expect(201);
    let february = format!("/api/timesheets/{employee}:2027-02-01");
    own.post(&format!("{february}/submit"), json!({}))
        .await
        .expect(200);
    let kinds = async |client: &Client| {
        let found = notices(client).await;
        let kinds = found
            .iter()
            .map(|notice| notice["kind"].as_str().unwrap().to_owned());
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(&own).await,
        ["missing_out", "correction", "timesheet"]
    );
    let found = notices(&admin).await;
    assert_eq!(found[1]["id"], asked["id"]);
    assert_eq!(found[2]["id"], format!("{employee}:2027-02-01"));

    let approve = format!("/api/corrections/{}/approve", asked["id"].as_str().unwrap());
    admin.post(&approve, json!({})).await.expect(200);
    lock(&admin, &employee, "2027-02-01").await;
    assert_eq!(kinds(&admin).await, Vec::<String>::new());
}

#[tokio::test]
async fn overtime_is_approved_where_the_site_asks() {
    let app = TestApp::start().await;
    let admin = at(&app, "2027-04-02T08:00:00Z").await;
    let rules = json!({ "rules": { "overtime_day": "8h" }, "overtime_approval": true });
    let path = format!("/api/sites/{}/rules/2027-01-01", SiteId::DEFAULT);
    admin.put(&path, rules).await.expect(201);
    let employee = admin.add_employee("Ann", "A1").await;
    let corrections = format!("/api/employees/{employee}/corrections");
    for (kind, hour) in [("in", "08"), ("out", "18")] {
        let at = format!("2027-03-01T{hour}:00:00Z");
        let body = json!({ "action": "add", "kind": kind, "at": at, "reason": "Forgot" });
        admin.post(&corrections, body).await.expect(201);
    }
    let sheet = format!("/api/timesheets/{employee}:2027-03-01");
    let seen = admin.get(&sheet).await.expect(200);
    assert_eq!(seen["asks_for_overtime"], true);
    let approve = format!("{sheet}/approve");
    let silent = json!({ "digest": seen["digest"] });
    let refused = admin.post(&approve, silent).await;
    assert_eq!(
        refused.problem(422, "invalid")["errors"][0]["code"],
        "required"
    );
    assert_eq!(refused.fields(), ["overtime"]);
    let without = json!({ "digest": seen["digest"], "overtime": false });
    let approved = admin.post(&approve, without).await.expect(200);
    assert_eq!(approved["approval"]["overtime"], false);

    // A month without overtime needs no word about it.
    let february = format!("/api/timesheets/{employee}:2027-02-01");
    assert_eq!(
        admin.get(&february).await.expect(200)["asks_for_overtime"],
        false
    );
    lock(&admin, &employee, "2027-02-01").await;
}
