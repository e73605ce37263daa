//! Rules, shifts, cycles, assignments, holidays and leave.

use jiff::civil::{Date, date};
use rollcall::domain::{
    attendance::{DateRange, HolidayPart, LeavePart},
    grants::{Role, Scope},
    ids::SiteId,
};
use serde_json::{Value, json};

use crate::app::{Answer, Client, TestApp};

const UNKNOWN: &str = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b";

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

/// Checks that one field is refused with a code, and returns its parameters.
#[track_caller]
fn refused(answer: &Answer, field: &str, code: &str) -> Value {
    let problem = answer.problem(422, "invalid");
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{problem}");
    let error = &errors[0];
    assert_eq!(
        (&error["field"], &error["code"]),
        (&json!(field), &json!(code))
    );
    error["params"].clone()
}

/// Adds a shift at a site; its ID.
async fn add_shift(client: &Client, site: &str, name: &str, from: &str, to: &str) -> String {
    let new = json!({ "site": site, "name": name, "from": from, "to": to });
    id(&client.post("/api/shifts", new).await.expect(201))
}

/// Adds an employee at a site; the ID.
async fn add_person(client: &Client, site: &str, name: &str) -> String {
    let new = json!({ "name": name, "code": name, "site": site });
    id(&client.post("/api/employees", new).await.expect(201))
}

async fn assign(client: &Client, people: &[&str], plan: Value) -> Answer {
    let mut body = plan;
    body["employees"] = json!(people);
    client.post("/api/assignments", body).await
}

async fn actions(app: &TestApp, count: usize) -> Vec<String> {
    let entries = app.stores.audit.latest(count).await.unwrap();
    entries.into_iter().map(|entry| entry.action).collect()
}

#[tokio::test]
async fn rules_hold_from_a_date_on_and_presets_say_what_they_do() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let presets = admin.get("/api/rule-presets").await.expect(200);
    let presets = presets["items"].as_array().unwrap();
    let germany = presets.iter().find(|one| one["name"] == "germany").unwrap();
    assert_eq!(germany["rules"]["max_day"], "10h");
    let texts = germany["texts"].as_array().unwrap();
    assert_eq!(texts.len(), germany["rules"].as_object().unwrap().len());
    let max_day = texts.iter().find(|text| text["rule"] == "max_day").unwrap();
    assert!(
        max_day["text"].as_str().unwrap().contains("10h"),
        "{max_day}"
    );

    let site = admin.add_site("Harbor", "Europe/Berlin").await;
    let rules = format!("/api/sites/{site}/rules");
    assert_eq!(admin.get(&rules).await.expect(200)["items"], json!([]));
    let later = format!("{rules}/2027-02-01");
    let new = json!({
        "rules": germany["rules"],
        "period": "two_weeks",
        "two_weeks_from": "2027-02-01",
        "four_eyes": true,
    });
    let put = admin.put(&later, new.clone()).await.expect(201);
    assert_eq!(put["rules"], germany["rules"]);
    assert_eq!(put["two_weeks_from"], "2027-02-01");
    let first = format!("{rules}/2027-01-01");
    let simple = json!({ "rules": { "grace_late": "5m" } });
    admin.put(&first, simple).await.expect(201);
    let replaced = json!({ "rules": { "grace_late": "10m" } });
    let replaced = admin.put(&first, replaced).await.expect(200);
    assert_eq!(
        (
            &replaced["rules"]["grace_late"],
            &replaced["rules"]["reach"],
            &replaced["period"]
        ),
        (&json!("10m"), &json!("4h"), &json!("month"))
    );
    let all = admin.get(&rules).await.expect(200)["items"].clone();
    assert_eq!(all, json!([replaced, put]));

    admin.delete(&later).await.expect(204);
    admin.delete(&later).await.problem(404, "not_found");
    let did = ["rules.remove", "rules.put", "rules.put", "rules.put"];
    assert_eq!(actions(&app, 4).await, did);

    for (body, field, code) in [
        (
            json!({ "rules": { "grace_late": "90s" } }),
            "rules.grace_late",
            "must_be",
        ),
        (
            json!({ "rules": { "grace": "5m" } }),
            "rules.grace",
            "unknown_field",
        ),
        (
            json!({ "rules": {}, "period": "year" }),
            "period",
            "not_one_of",
        ),
        (json!({}), "rules", "required"),
    ] {
        refused(&admin.put(&first, body).await, field, code);
    }
    let odd = admin.put(&format!("{rules}/2027-1-1"), new.clone()).await;
    refused(&odd, "date", "not_a_date");
    let nowhere = format!("/api/sites/{UNKNOWN}/rules");
    admin.get(&nowhere).await.problem(404, "not_found");
    let nowhere = admin.put(&format!("{nowhere}/2027-01-01"), new).await;
    nowhere.problem(404, "not_found");
}

#[tokio::test]
async fn a_shift_is_added_changed_and_removed() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let site = admin.add_site("Harbor", "Europe/Berlin").await;
    let new = json!({
        "site": site, "name": " Night ", "from": "22:00", "to": "06:00", "unpaid_break": "45m",
    });
    let added = admin.post("/api/shifts", new).await.expect(201);
    let expected = json!({
        "id": added["id"], "site": site, "name": "Night", "from": "22:00", "to": "06:00",
        "unpaid_break": "45m", "flexible": false, "work": null,
    });
    assert_eq!(added, expected);
    let path = format!("/api/shifts/{}", id(&added));
    let flexible = json!({ "flexible": true, "work": "7h", "unpaid_break": null, "to": "07:00" });
    let changed = admin.patch(&path, flexible).await.expect(200);
    assert_eq!(
        (&changed["work"], &changed["unpaid_break"]),
        (&json!("7h"), &json!("0s"))
    );
    let twin = json!({ "site": site, "name": "NIGHT", "from": "06:00", "to": "24:00" });
    let taken = admin.post("/api/shifts", twin.clone()).await;
    taken.problem(409, "name_taken");
    // At another site the name is free.
    let mut elsewhere = twin.clone();
    elsewhere["site"] = json!(SiteId::DEFAULT.to_string());
    admin.post("/api/shifts", elsewhere).await.expect(201);

    let list = admin.get("/api/shifts?limit=1").await.expect(200);
    let next = format!("/api/shifts?cursor={}", list["next"].as_str().unwrap());
    let rest = admin.get(&next).await.expect(200);
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    let of_site = admin
        .get(&format!("/api/shifts?site={site}"))
        .await
        .expect(200);
    assert_eq!(of_site["items"], json!([changed]));

    for (change, field, code) in [
        (json!({ "from": "24:00" }), "from", "not_a_time_of_day"),
        (json!({ "to": "6" }), "to", "not_a_time_of_day"),
        (json!({ "work": null }), "work", "required"),
        (json!({ "work": "8" }), "work", "not_a_length"),
        (json!({ "work": "10h" }), "work", "longer_than_shift"),
        (json!({ "unpaid_break": "30m" }), "unpaid_break", "excluded"),
        (json!({ "flexible": false }), "work", "excluded"),
        (json!({ "site": UNKNOWN }), "site", "unknown_site"),
        (json!({ "name": "" }), "name", "empty"),
    ] {
        refused(&admin.patch(&path, change).await, field, code);
    }
    let fixed = json!({ "flexible": false, "work": null, "unpaid_break": "9h" });
    refused(
        &admin.patch(&path, fixed).await,
        "unpaid_break",
        "longer_than_shift",
    );

    admin.delete(&path).await.expect(204);
    admin.delete(&path).await.problem(404, "not_found");
    admin.post("/api/shifts", twin).await.expect(201);
    let did = [
        "shift.add",
        "shift.remove",
        "shift.add",
        "shift.add",
        "shift.change",
        "shift.add",
    ];
    assert_eq!(actions(&app, 6).await, did);
}

#[tokio::test]
async fn a_cycle_consists_of_shifts_of_its_site_that_do_not_overlap() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let site = admin.add_site("Harbor", "Europe/Berlin").await;
    let night = add_shift(&admin, &site, "Night", "22:00", "06:00").await;
    let early = add_shift(&admin, &site, "Early", "05:30", "13:30").await;
    let main = SiteId::DEFAULT.to_string();
    let foreign = add_shift(&admin, &main, "Early", "05:30", "13:30").await;
    let cycle = |name: &str, shifts: Value| json!({ "site": site, "name": name, "starts": "2027-01-04", "shifts": shifts });
    let new = cycle("Nights", json!([night, null, early, null]));
    let added = admin.post("/api/cycles", new).await.expect(201);
    assert_eq!(added["shifts"], json!([night, null, early, null]));
    let path = format!("/api/cycles/{}", id(&added));

    let bad = cycle("Bad", json!([null, night, early]));
    let overlap = refused(
        &admin.post("/api/cycles", bad).await,
        "shifts",
        "overlapping_shifts",
    );
    let expected = json!({
        "first": "Night", "first_day": overlap["first_day"],
        "second": "Early", "second_day": overlap["second_day"],
    });
    assert_eq!(overlap, expected);
    // The last day and the first one overlap, too.
    let bad = json!({ "shifts": [early, null, night] });
    refused(
        &admin.patch(&path, bad).await,
        "shifts",
        "overlapping_shifts",
    );
    for (shifts, field, code) in [
        (json!([]), "shifts", "wrong_count"),
        (json!([null, foreign]), "shifts[1]", "unknown_shift"),
        (json!([UNKNOWN]), "shifts[0]", "unknown_shift"),
        (json!(["Night"]), "shifts[0]", "not_an_id"),
    ] {
        refused(
            &admin.patch(&path, json!({ "shifts": shifts })).await,
            field,
            code,
        );
    }

    let shift = format!("/api/shifts/{early}");
    admin.delete(&shift).await.problem(409, "shift_in_use");
    let move_away = json!({ "site": main });
    admin
        .patch(&shift, move_away)
        .await
        .problem(409, "shift_in_use");
    let shifts = json!({ "shifts": [night] });
    admin.patch(&path, shifts).await.expect(200);
    admin.delete(&shift).await.expect(204);
    admin.delete(&path).await.expect(204);
}

/// An installation with a site in Berlin, three shifts there, a cycle of nights, and two people.
struct Harbor {
    app: TestApp,
    admin: Client,
    site: String,
    night: String,
    early: String,
    nights: String,
    ada: String,
    ben: String,
}

async fn harbor() -> Harbor {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let site = admin.add_site("Harbor", "Europe/Berlin").await;
    let night = add_shift(&admin, &site, "Night", "22:00", "06:00").await;
    let early = add_shift(&admin, &site, "Early", "05:30", "13:30").await;
    let cycle = json!({
        "site": site, "name": "Nights", "starts": "2027-01-04", "shifts": [night, null],
    });
    let nights = id(&admin.post("/api/cycles", cycle).await.expect(201));
    let ada = add_person(&admin, &site, "Ada").await;
    let ben = add_person(&admin, &site, "Ben").await;
    Harbor {
        app,
        admin,
        site,
        night,
        early,
        nights,
        ada,
        ben,
    }
}

#[tokio::test]
async fn shifts_are_assigned_to_people_and_overlaps_name_both() {
    let Harbor {
        app,
        admin,
        site,
        night,
        early,
        nights,
        ada,
        ben,
    } = &harbor().await;
    let both = [ada.as_str(), ben.as_str()];
    let cycle = json!({ "cycle": nights, "from": "2027-01-04" });
    let made = assign(admin, &both, cycle.clone()).await.expect(201);
    assert_eq!(made["items"].as_array().unwrap().len(), 2);
    let of_ada = &made["items"][0];
    let expected = json!({
        "id": of_ada["id"], "employee": ada, "employee_name": "Ada", "from": "2027-01-04",
        "to": null, "cycle": nights, "cycle_name": "Nights", "shifts": null,
        "made_at": of_ada["made_at"],
    });
    assert_eq!(*of_ada, expected);

    // The night of the 4th ends on the 5th at 06:00.
    let early_on = |day: &str| json!({ "day": day, "shifts": [early] });
    let answer = assign(admin, &[ada], early_on("2027-01-05")).await;
    let overlap = refused(&answer, "shifts", "overlapping_shifts");
    let expected = json!({
        "first": "Night", "first_day": "2027-01-04", "second": "Early", "second_day": "2027-01-05",
    });
    assert_eq!(overlap, expected);
    let twice = json!({ "day": "2027-01-05", "shifts": [night, night] });
    refused(
        &assign(admin, &[ada], twice).await,
        "shifts",
        "overlapping_shifts",
    );
    // With a day off before it, it fits.
    let off = json!({ "day": "2027-01-04", "shifts": [] });
    let off = assign(admin, &[ada], off).await.expect(201)["items"][0].clone();
    assert_eq!(
        (&off["from"], &off["to"], &off["shifts"]),
        (&json!("2027-01-04"), &json!("2027-01-04"), &json!([]))
    );
    let swap = assign(admin, &[ada], early_on("2027-01-05"))
        .await
        .expect(201)["items"][0]
        .clone();
    assert_eq!(swap["shifts"][0]["name"], "Early");
    // Without the day off, it does not; nor with other times of the shift.
    let removal = admin
        .delete(&format!("/api/assignments/{}", id(&off)))
        .await;
    refused(&removal, "shifts", "overlapping_shifts");
    let longer = json!({ "to": "22:30" });
    let change = admin.patch(&format!("/api/shifts/{early}"), longer).await;
    assert_eq!(
        change.status, 200,
        "the 5th and the 6th are apart: {}",
        change.text
    );
    let other = assign(
        admin,
        &[ada],
        json!({ "day": "2027-01-06", "shifts": [night] }),
    )
    .await;
    other.expect(201);
    let longer = admin
        .patch(&format!("/api/shifts/{early}"), json!({ "to": "05:30" }))
        .await;
    assert_eq!(
        longer.status, 200,
        "24 hours end before the night: {}",
        longer.text
    );
    // A cycle that a person has from a date on must fit to the days before.
    let earlies =
        json!({ "site": site, "name": "Earlies", "starts": "2027-01-04", "shifts": [early] });
    let earlies = id(&admin.post("/api/cycles", earlies).await.expect(201));
    let from_fifth = json!({ "cycle": earlies, "from": "2027-01-05", "to": "2027-01-09" });
    let answer = assign(admin, &[ben], from_fifth).await;
    refused(&answer, "cycle", "overlapping_shifts");

    let list = async |query: &str| {
        let list = admin
            .get(&format!("/api/assignments?{query}"))
            .await
            .expect(200);
        list["items"].as_array().unwrap().len()
    };
    assert_eq!(list("").await, 5);
    assert_eq!(list(&format!("employee={ada}")).await, 4);
    assert_eq!(
        list(&format!("employee={ada}&from=2027-01-05&to=2027-01-05")).await,
        2
    );
    assert_eq!(list(&format!("site={site}&to=2027-01-03")).await, 0);
    let page = admin.get("/api/assignments?limit=3").await.expect(200);
    let next = format!("cursor={}", page["next"].as_str().unwrap());
    assert_eq!(list(&next).await, 2);

    admin
        .delete(&format!("/api/assignments/{}", id(&swap)))
        .await
        .expect(204);
    admin
        .delete(&format!("/api/assignments/{}", id(&off)))
        .await
        .expect(204);
    admin
        .delete(&format!("/api/assignments/{}", id(&off)))
        .await
        .problem(404, "not_found");
    assert_eq!(
        actions(app, 2).await,
        ["assignment.remove", "assignment.remove"]
    );

    let one = || vec![ada.as_str()];
    for (people, plan, field, code) in [
        (vec![], cycle.clone(), "employees", "wrong_count"),
        (
            vec![UNKNOWN],
            cycle.clone(),
            "employees[0]",
            "unknown_employee",
        ),
        (vec![ada, ada], cycle, "employees[1]", "sent_twice"),
        (
            one(),
            json!({ "cycle": UNKNOWN, "from": "2027-01-04" }),
            "cycle",
            "unknown_cycle",
        ),
        (one(), json!({ "cycle": nights }), "from", "required"),
        (
            one(),
            json!({ "cycle": nights, "from": "2027-01-04", "day": "2027-01-04" }),
            "day",
            "excluded",
        ),
        (
            one(),
            json!({ "cycle": nights, "from": "2027-01-04", "to": "2027-01-03" }),
            "to",
            "before_start",
        ),
        (one(), json!({ "day": "2027-01-04" }), "shifts", "required"),
        (
            one(),
            json!({ "day": "tomorrow", "shifts": [] }),
            "day",
            "not_a_date",
        ),
        (
            one(),
            json!({ "day": "2027-01-04", "shifts": [UNKNOWN] }),
            "shifts[0]",
            "unknown_shift",
        ),
    ] {
        let answer = assign(admin, &people, plan).await;
        let error = answer.problem(422, "invalid")["errors"][0].clone();
        assert_eq!(
            (&error["field"], &error["code"]),
            (&json!(field), &json!(code))
        );
    }
}

#[tokio::test]
async fn holidays_and_kinds_of_leave_are_kept_under_names() {
    let Harbor {
        app, admin, site, ..
    } = &harbor().await;
    let new = json!({ "name": "Berlin", "sites": [site], "days": [
        { "day": "2027-01-06", "name": "Epiphany" },
        { "day": "2026-12-24", "part": "half", "name": "Christmas Eve" },
    ]});
    let added = admin.post("/api/holidays", new).await.expect(201);
    assert_eq!(
        added["days"][0],
        json!({ "day": "2026-12-24", "part": "half", "name": "Christmas Eve" })
    );
    assert_eq!(added["days"][1]["part"], "whole");
    let path = format!("/api/holidays/{}", id(&added));
    for (change, field, code) in [
        (
            json!({ "days": [{ "day": "6 January", "name": "x" }] }),
            "days[0].day",
            "not_a_date",
        ),
        (
            json!({ "days": [{ "day": "2027-01-06", "name": "" }] }),
            "days[0].name",
            "empty",
        ),
        (
            json!({ "days": [{ "day": "2027-01-06", "name": "x", "part": "most" }] }),
            "days[0].part",
            "not_one_of",
        ),
        (json!({ "sites": [UNKNOWN] }), "sites", "unknown_site"),
    ] {
        refused(&admin.patch(&path, change).await, field, code);
    }
    // A manager of one of its sites sees it, and may not change it for the others.
    let manager = app
        .grant(Role::Manager, Scope::Site(site.parse().unwrap()))
        .await;
    manager
        .patch(&path, json!({ "name": "Brandenburg" }))
        .await
        .expect(200);
    let sites = json!({ "sites": [site, SiteId::DEFAULT.to_string()] });
    refused(
        &manager.patch(&path, sites.clone()).await,
        "sites",
        "unknown_site",
    );
    refused(
        &manager.patch(&path, json!({ "sites": [] })).await,
        "sites",
        "unknown_site",
    );
    admin.patch(&path, sites).await.expect(200);
    let seen = manager.get("/api/holidays").await.expect(200);
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
    manager
        .patch(&path, json!({ "name": "x" }))
        .await
        .problem(403, "forbidden");
    manager.delete(&path).await.problem(403, "forbidden");
    admin.delete(&path).await.expect(204);

    let vacation = json!({ "name": "Vacation", "paid": true });
    let kind = admin.post("/api/leave-kinds", vacation).await.expect(201);
    let path = format!("/api/leave-kinds/{}", id(&kind));
    let changed = admin
        .patch(&path, json!({ "paid": false }))
        .await
        .expect(200);
    assert_eq!(
        changed,
        json!({ "id": kind["id"], "name": "Vacation", "paid": false, "unit": "days", "limited": false })
    );
    assert_eq!(
        manager.get("/api/leave-kinds").await.expect(200)["items"],
        json!([changed])
    );
    admin.delete(&path).await.expect(204);
    let did = [
        "kind_of_leave.remove",
        "kind_of_leave.change",
        "kind_of_leave.add",
        "holiday_calendar.remove",
    ];
    assert_eq!(actions(app, 4).await, did);
}

#[tokio::test]
async fn leave_is_requested_decided_and_taken_back() {
    let Harbor {
        app,
        admin,
        site,
        ada,
        ben,
        ..
    } = &harbor().await;
    let kind = json!({ "name": "Vacation", "paid": true });
    let kind = id(&admin.post("/api/leave-kinds", kind).await.expect(201));
    let leave = |who: &str, from: &str, to: &str| json!({ "employee": who, "kind": kind, "from": from, "to": to });
    let employee = app.employee(ada).await;
    let manager = app
        .grant(Role::Manager, Scope::Site(site.parse().unwrap()))
        .await;
    let mut new = leave(ada, "2027-01-11", "2027-01-15");
    new["reason"] = json!("Skiing");
    let asked = employee.post("/api/leave", new).await.expect(201);
    let expected = json!({
        "id": asked["id"], "employee": ada, "employee_name": "Ada", "kind": kind,
        "kind_name": "Vacation", "from": "2027-01-11", "to": "2027-01-15", "part": "whole",
        "hours": null, "state": "requested", "reason": "Skiing", "made_at": asked["made_at"],
        "made_by_name": "Ada", "decided_at": null, "exceeds": false,
    });
    assert_eq!(asked, expected);
    let mut listed = asked.clone();
    listed.as_object_mut().unwrap().remove("exceeds");
    let overlap = employee
        .post("/api/leave", leave(ada, "2027-01-15", "2027-01-16"))
        .await;
    let overlap = refused(&overlap, "from", "overlapping_leave");
    assert_eq!(
        overlap,
        json!({ "from": "2027-01-11", "to": "2027-01-15", "state": "requested" })
    );
    // Not for another person, and not approved at once.
    let other = employee
        .post("/api/leave", leave(ben, "2027-01-11", "2027-01-11"))
        .await;
    refused(&other, "employee", "unknown_employee");
    let mut at_once = leave(ada, "2027-02-01", "2027-02-01");
    at_once["approved"] = json!(true);
    employee
        .post("/api/leave", at_once.clone())
        .await
        .problem(403, "forbidden");

    let path = |leave: &Value, verb: &str| format!("/api/leave/{}/{verb}", id(leave));
    let inbox = manager.get("/api/leave?state=requested").await.expect(200);
    assert_eq!(inbox["items"], json!([listed]));
    let approved = manager
        .post(&path(&asked, "approve"), json!({}))
        .await
        .expect(200);
    assert_eq!(approved["state"], "approved");
    assert!(approved["decided_at"].is_string());
    for verb in ["approve", "reject", "withdraw"] {
        let again = manager.post(&path(&asked, verb), json!({})).await;
        again.problem(409, "already_decided");
    }
    let cancelled = manager
        .post(&path(&asked, "cancel"), json!({}))
        .await
        .expect(200);
    assert_eq!(cancelled["state"], "cancelled");
    // The time is free again.
    let again = leave(ada, "2027-01-15", "2027-01-16");
    let again = employee.post("/api/leave", again).await.expect(201);
    employee
        .post(&path(&again, "withdraw"), json!({}))
        .await
        .expect(200);
    let entered = manager
        .post("/api/leave", at_once.clone())
        .await
        .expect(201);
    assert_eq!(entered["state"], "approved");
    let halves = json!({ "part": "hours", "hours": { "from": "10:00", "to": "12:00" } });
    let mut hours = leave(ada, "2027-03-01", "2027-03-01");
    hours
        .as_object_mut()
        .unwrap()
        .extend(halves.as_object().unwrap().clone());
    let hours = employee.post("/api/leave", hours).await.expect(201);
    assert_eq!(hours["hours"], json!({ "from": "10:00", "to": "12:00" }));
    manager
        .post(&path(&hours, "reject"), json!({}))
        .await
        .expect(200);

    let list = async |client: &Client, query: &str| {
        let list = client.get(&format!("/api/leave?{query}")).await.expect(200);
        list["items"].as_array().unwrap().len()
    };
    assert_eq!(list(&employee, "").await, 4);
    assert_eq!(
        list(
            &manager,
            &format!("employee={ada}&from=2027-01-16&to=2027-02-28")
        )
        .await,
        2
    );
    assert_eq!(list(&manager, "state=approved").await, 1);
    assert_eq!(list(&manager, &format!("employee={ben}")).await, 0);
    let page = manager.get("/api/leave?limit=3").await.expect(200);
    let next = format!("cursor={}", page["next"].as_str().unwrap());
    assert_eq!(list(&manager, &next).await, 1);

    for (field, value, code) in [
        ("kind", json!(UNKNOWN), "unknown_leave_kind"),
        ("to", json!("2027-01-01"), "before_start"),
        ("to", json!("2028-06-01"), "too_many_days"),
        ("part", json!("most"), "not_one_of"),
        (
            "hours",
            json!({ "from": "10:00", "to": "12:00" }),
            "excluded",
        ),
        ("reason", json!(""), "empty"),
    ] {
        let mut bad = leave(ben, "2027-05-03", "2027-05-03");
        bad[field] = value;
        refused(&manager.post("/api/leave", bad).await, field, code);
    }
    refused(
        &manager.get("/api/leave?state=lost").await,
        "state",
        "not_one_of",
    );

    // With four eyes, nobody approves what they entered.
    let rules = format!("/api/sites/{site}/rules/2020-01-01");
    admin
        .put(&rules, json!({ "rules": {}, "four_eyes": true }))
        .await
        .expect(201);
    at_once["from"] = json!("2027-06-01");
    at_once["to"] = json!("2027-06-01");
    manager
        .post("/api/leave", at_once.clone())
        .await
        .problem(403, "four_eyes");
    at_once["approved"] = json!(false);
    let own = manager.post("/api/leave", at_once).await.expect(201);
    manager
        .post(&path(&own, "approve"), json!({}))
        .await
        .problem(403, "four_eyes");
    admin
        .post(&path(&own, "approve"), json!({}))
        .await
        .expect(200);
    assert_eq!(actions(app, 2).await, ["leave.approve", "leave.request"]);
}

#[tokio::test]
async fn a_plan_has_what_the_calculation_of_days_takes() {
    let Harbor {
        app,
        admin,
        site,
        night,
        early,
        nights,
        ada,
        ben,
    } = &harbor().await;
    let cid = &add_person(admin, &SiteId::DEFAULT.to_string(), "Cid").await;
    let both = [ada.as_str(), ben.as_str()];
    let cycle = json!({ "cycle": nights, "from": "2027-01-04", "to": "2027-12-31" });
    assign(admin, &both, cycle).await.expect(201);
    let off = json!({ "day": "2027-01-06", "shifts": [] });
    assign(admin, &[ada], off).await.expect(201);
    // At the main site, whose people know a shift of this name, too, but not this one. And only
    // long ago.
    let main = SiteId::DEFAULT.to_string();
    add_shift(admin, &main, "Early", "07:00", "15:00").await;
    let once = json!({ "day": "2020-01-06", "shifts": [early] });
    assign(admin, &[cid], once).await.expect(201);
    let rules = json!({ "rules": { "max_day": "10h" } });
    admin
        .put(&format!("/api/sites/{site}/rules/2027-01-05"), rules)
        .await
        .expect(201);
    for (name, sites, part) in [("All", json!([]), "half"), ("Here", json!([site]), "whole")] {
        let days = json!([{ "day": "2027-01-06", "name": "Epiphany", "part": part }]);
        let new = json!({ "name": name, "sites": sites, "days": days });
        admin.post("/api/holidays", new).await.expect(201);
    }
    let kind = json!({ "name": "Vacation", "paid": true });
    let kind = id(&admin.post("/api/leave-kinds", kind).await.expect(201));
    for approved in [true, false] {
        let from = if approved { "2027-01-11" } else { "2027-01-18" };
        let to = if approved { "2027-01-12" } else { "2027-01-18" };
        let new = json!({
            "employee": ada, "kind": kind, "from": from, "to": to, "part": "first_half",
            "approved": approved,
        });
        admin.post("/api/leave", new).await.expect(201);
    }

    let mut people = Vec::new();
    for one in [ada, ben, cid] {
        let found = app
            .stores
            .employees
            .find(one.parse().unwrap())
            .await
            .unwrap();
        people.push(found.unwrap());
    }
    let dates = DateRange {
        from: date(2027, 1, 4),
        to: date(2027, 1, 31),
    };
    let reach = rollcall::domain::grants::Reach::Everything;
    let plans = app.app.plans.of_many(&reach, &people, dates).await.unwrap();
    let [of_ada, of_ben, of_cid] = &plans[..] else {
        panic!("{plans:?}")
    };
    for (person, plan) in people.iter().zip(&plans) {
        let alone = app.app.plans.of(person, dates).await.unwrap();
        assert_eq!(
            format!("{alone:?}"),
            format!("{plan:?}"),
            "alone or with others"
        );
    }
    assert_eq!(of_ada.zone.to_string(), "Europe/Berlin");
    let assigned = &of_ada.plan.assignments[0];
    assert_eq!(
        (assigned.from, assigned.to),
        (date(2027, 1, 4), Some(date(2027, 12, 31)))
    );
    assert_eq!(assigned.cycle.days, ["Night", "-"]);
    assert_eq!(
        of_ada.shifts["Night"].zone.as_ref().unwrap().to_string(),
        "Europe/Berlin"
    );
    assert_eq!(of_ada.plan.days[&date(2027, 1, 6)], []);
    let workday = |day: Date| of_ada.rules.at(day).max_day.map(|most| most.to_string());
    assert_eq!(
        (workday(date(2027, 1, 4)), workday(date(2027, 1, 5))),
        (None, Some("10h".into()))
    );
    assert_eq!(
        of_ada.rules.at(date(2027, 1, 4)).cut_off.to_string(),
        "04:00"
    );
    assert_eq!(
        of_ada.holidays.on(date(2027, 1, 6)),
        Some(HolidayPart::Whole)
    );
    assert_eq!(
        of_cid.holidays.on(date(2027, 1, 6)),
        Some(HolidayPart::Half)
    );
    let days: Vec<_> = of_ada
        .leave
        .iter()
        .map(|leave| (leave.day, leave.kind.as_str()))
        .collect();
    assert_eq!(
        days,
        [
            (date(2027, 1, 11), "Vacation"),
            (date(2027, 1, 12), "Vacation")
        ]
    );
    assert!(
        of_ada
            .leave
            .iter()
            .all(|leave| leave.part == LeavePart::FirstHalf)
    );
    assert!(of_ben.leave.is_empty() && of_ben.plan.days.is_empty());
    // Planned, although nothing is near the dates.
    assert!(!of_cid.plan.is_open() && of_cid.plan.assignments.is_empty());
    let names: Vec<_> = of_cid.shifts.keys().map(String::as_str).collect();
    assert_eq!(names, ["Early", "Early (Harbor)", "Night"]);

    // A shift and a cycle that are removed stay in what is planned.
    admin
        .delete(&format!("/api/cycles/{nights}"))
        .await
        .expect(204);
    admin
        .delete(&format!("/api/shifts/{night}"))
        .await
        .expect(204);
    let after = app.app.plans.of(&people[0], dates).await.unwrap();
    assert_eq!(after.plan, of_ada.plan);
    assert_eq!(after.shifts["Night"], of_ada.shifts["Night"]);
}

#[tokio::test]
async fn a_site_manager_plans_only_for_people_of_the_site() {
    let Harbor {
        app,
        admin,
        site,
        night,
        nights,
        ada,
        ..
    } = &harbor().await;
    let main = SiteId::DEFAULT.to_string();
    let cid = add_person(admin, &main, "Cid").await;
    let manager = app.grant(Role::Manager, Scope::Site(SiteId::DEFAULT)).await;
    let off = |who: &str| json!({ "employees": [who], "day": "2027-01-04", "shifts": [] });
    admin.post("/api/assignments", off(ada)).await.expect(201);
    let mixed = json!({ "employees": [cid, ada], "day": "2027-01-04", "shifts": [] });
    let answer = manager.post("/api/assignments", mixed).await;
    refused(&answer, "employees[1]", "unknown_employee");
    manager
        .post("/api/assignments", off(&cid))
        .await
        .expect(201);
    let seen = manager.get("/api/assignments").await.expect(200);
    let seen = seen["items"].as_array().unwrap();
    assert!(seen.len() == 1 && seen[0]["employee"] == json!(cid));
    let filtered = manager
        .get(&format!("/api/assignments?employee={ada}"))
        .await;
    assert_eq!(filtered.expect(200)["items"], json!([]));
    for list in ["shifts", "cycles"] {
        let list = manager.get(&format!("/api/{list}?site={site}")).await;
        assert_eq!(list.expect(200)["items"], json!([]));
    }
    for path in [
        format!("/api/shifts/{night}"),
        format!("/api/cycles/{nights}"),
    ] {
        manager
            .patch(&path, json!({}))
            .await
            .problem(404, "not_found");
    }
    let shift = json!({ "site": site, "name": "x", "from": "08:00", "to": "16:00" });
    refused(
        &manager.post("/api/shifts", shift).await,
        "site",
        "unknown_site",
    );

    // An employee sees their own plan, and nothing of others.
    let employee = app.employee(ada).await;
    let own = employee.get("/api/assignments").await.expect(200);
    let own = own["items"].as_array().unwrap();
    assert!(own.len() == 1 && own[0]["employee"] == json!(ada));
}
