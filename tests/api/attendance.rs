//! Workdays, corrections and timesheets over the API, also with the golden cases.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    panic::AssertUnwindSafe,
};

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp, civil::Date};
use rollcall::{
    clock::Clock,
    domain::{grants::Role, ids::SiteId},
};
use serde_json::{Map, Value, json};

use crate::app::{Client, TestApp, project};

/// What a case must not have so that the API can answer it without a set clock: a time at which it is
/// asked, punches without a kind, dates of employment.
const NEEDS_MORE: [&str; 3] = ["as_of", "directions", "employed"];

/// Returns the golden cases that need nothing of this, by the name of their file.
fn cases() -> BTreeMap<String, Vec<Value>> {
    let mut files = BTreeMap::new();
    for file in fs::read_dir(project("tests/fixtures/attendance")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|of| of == "toml") {
            let file: Value = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let cases = list(&file, "case").filter(|case| {
                let has = |name: &&str| !case[*name].is_null();
                !NEEDS_MORE.iter().any(has)
            });
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            files.insert(name, cases.cloned().collect());
        }
    }
    files
}

fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of[name].as_array().into_iter().flatten()
}

fn seconds(length: &Value) -> i64 {
    let length: SignedDuration = length.as_str().unwrap().parse().unwrap();
    length.as_secs()
}

/// An employee who stands for a case, at a site of their own.
struct Played<'a> {
    admin: &'a Client,
    case: &'a Value,
    site: String,
    employee: String,
    /// The shifts by their names in the case.
    shifts: HashMap<String, String>,
    /// The punches by their names in the case.
    punches: HashMap<String, Value>,
}

/// Adds a record; its ID.
async fn add(admin: &Client, path: &str, new: Value) -> String {
    let added = admin.post(path, new).await.expect(201);
    added["id"].as_str().unwrap().to_owned()
}

impl<'a> Played<'a> {
    /// Adds the site with its rules, and the employee.
    async fn new(admin: &'a Client, case: &'a Value) -> Self {
        let id = case["id"].as_str().unwrap();
        let site = admin.add_site(id, case["zone"].as_str().unwrap()).await;
        let mut rules = json!({ "rules": {} });
        if !case["rules"].is_null() {
            rules["rules"] = case["rules"].clone();
        }
        if case["lock"]
            .as_str()
            .is_some_and(|day| day.ends_with("-15"))
        {
            rules["period"] = json!("half_month");
        }
        let path = format!("/api/sites/{site}/rules/2000-01-01");
        admin.put(&path, rules).await.expect(201);
        let new = json!({ "name": id, "code": id, "site": site });
        let mut played = Self {
            admin,
            case,
            employee: add(admin, "/api/employees", new).await,
            site,
            shifts: HashMap::new(),
            punches: HashMap::new(),
        };
        for (name, kind) in case["shift_kinds"].as_object().into_iter().flatten() {
            let shift = played.add_shift(name, kind).await;
            played.shifts.insert(name.clone(), shift);
        }
        played
    }

    /// Adds a kind of shift at the site, or at another one in its own zone.
    async fn add_shift(&self, name: &str, shift: &Value) -> String {
        let mut new = shift.clone();
        let fields = new.as_object_mut().unwrap();
        fields.remove("day");
        fields.remove("after_lock");
        let site = match fields.remove("zone") {
            None => self.site.clone(),
            Some(zone) => {
                let name = format!("{} {name}", self.site);
                self.admin.add_site(&name, zone.as_str().unwrap()).await
            }
        };
        new["site"] = json!(site);
        new["name"] = json!(name);
        add(self.admin, "/api/shifts", new).await
    }

    async fn assign(&self, mut plan: Value) {
        plan["employees"] = json!([self.employee]);
        self.admin.post("/api/assignments", plan).await.expect(201);
    }

    /// Enters the plan, the holidays and the leave that came before or after the lock. Returns false
    /// if leave is refused because it overlaps.
    async fn plan(&self, later: bool) -> bool {
        let (admin, case, site) = (self.admin, self.case, &self.site);
        let now = |one: &&Value| one["after_lock"].as_bool().unwrap_or(false) == later;
        for (number, made) in list(case, "assignments").filter(now).enumerate() {
            let days = list(made, "cycle").map(|name| self.shifts.get(name.as_str().unwrap()));
            let cycle = json!({
                "site": site,
                "name": format!("{later} {number}"),
                "starts": made["starts"],
                "shifts": days.collect::<Vec<_>>(),
            });
            let cycle = add(admin, "/api/cycles", cycle).await;
            let mut plan = json!({ "cycle": cycle, "from": made["from"] });
            if let Some(to) = made["to"].as_str() {
                plan["to"] = json!(to);
            }
            self.assign(plan).await;
        }
        let mut single: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (number, shift) in list(case, "shifts").filter(now).enumerate() {
            let name = format!("single {later} {number}");
            let added = self.add_shift(&name, shift).await;
            single
                .entry(shift["day"].as_str().unwrap())
                .or_default()
                .push(added);
        }
        for (day, shifts) in single {
            self.assign(json!({ "day": day, "shifts": shifts })).await;
        }
        let holidays = list(case, "holidays").filter(now);
        let days: Vec<_> = holidays
            .map(|one| json!({ "day": one["day"], "part": one["part"], "name": "Holiday" }))
            .collect();
        if !days.is_empty() {
            let name = format!("{} {later}", case["id"].as_str().unwrap());
            let calendar = json!({ "name": name, "sites": [site], "days": days });
            add(admin, "/api/holidays", calendar).await;
        }
        for (number, leave) in list(case, "leave").filter(now).enumerate() {
            let name = format!("{} {later} {number}", case["id"].as_str().unwrap());
            let kind = json!({ "name": name, "paid": true });
            let kind = add(admin, "/api/leave-kinds", kind).await;
            let mut new = json!({
                "employee": self.employee,
                "kind": kind,
                "from": leave["day"],
                "part": leave["part"],
                "approved": true,
            });
            if leave["part"] == "hours" {
                new["hours"] = json!({ "from": leave["from"], "to": leave["to"] });
            }
            let answer = admin.post("/api/leave", new).await;
            if answer.status == 422 {
                let code = answer.json()["errors"][0]["code"].clone();
                assert_eq!(code, "overlapping_leave", "{}", answer.text);
                return false;
            }
            answer.expect(201);
        }
        true
    }

    /// Makes a correction, which is approved at once. Void is for good, so a later move is refused.
    async fn correct(&mut self, mut body: Value, name: &Value, later: bool) {
        body["reason"] = json!("golden case");
        body["adjust"] = json!(later);
        let path = format!("/api/employees/{}/corrections", self.employee);
        let answer = self.admin.post(&path, body).await;
        if answer.status == 422 {
            let code = answer.json()["errors"][0]["code"].clone();
            assert_eq!(code, "voided_punch", "{}", answer.text);
            return;
        }
        let made = answer.expect(201);
        assert_eq!(made["state"], "approved");
        if let Some(name) = name.as_str() {
            self.punches.insert(name.to_owned(), made["punch"].clone());
        }
    }

    /// Puts the punches and corrections on record that came before or after the lock.
    async fn record(&mut self, later: bool) {
        let case = self.case;
        let now = |one: &&Value| one["after_lock"].as_bool().unwrap_or(false) == later;
        for punch in list(case, "punches").filter(now) {
            let body = json!({ "action": "add", "kind": punch["kind"], "at": punch["at"] });
            self.correct(body, &punch["id"], later).await;
        }
        for correction in list(case, "corrections").filter(now) {
            let named = |name: &Value| self.punches[name.as_str().unwrap()].clone();
            let (add, void, at) = (&correction["add"], &correction["void"], &correction["at"]);
            let body = match (add.is_string(), void.is_string()) {
                (true, _) => json!({ "action": "add", "kind": add, "at": at }),
                (_, true) => json!({ "action": "void", "punch": named(void) }),
                _ => json!({ "action": "move", "punch": named(&correction["move"]), "at": at }),
            };
            self.correct(body, &correction["id"], later).await;
        }
    }

    /// Approves and locks the period that ends on a date, which is a month or its first half.
    async fn lock(&self, last: &str) {
        let first = last.parse::<Date>().unwrap().first_of_month();
        let path = format!("/api/timesheets/{}:{first}", self.employee);
        let digest = self.admin.get(&path).await.expect(200)["digest"].clone();
        let approve = json!({ "digest": digest });
        let approved = self.admin.post(&format!("{path}/approve"), approve).await;
        approved.expect(200);
        let locked = self.admin.post(&format!("{path}/lock"), json!({})).await;
        assert_eq!(locked.expect(200)["state"], "locked");
    }

    /// Compares the answer of the service with that of the case.
    async fn compare(&self) {
        let (case, id) = (self.case, self.case["id"].as_str().unwrap());
        let expected = |name: &'static str, date: &'static str| {
            let dated = list(case, name).map(move |one| (one[date].as_str().unwrap(), one));
            dated.collect::<HashMap<_, _>>()
        };
        let (days, weeks) = (expected("days", "day"), expected("weeks", "starts"));
        let punched = list(case, "punches").map(|punch| &punch["at"].as_str().unwrap()[..10]);
        let dates: BTreeSet<Date> = days
            .keys()
            .chain(weeks.keys())
            .copied()
            .chain(punched)
            .map(|date| date.parse().unwrap())
            .collect();
        let (Some(first), Some(last)) = (dates.first(), dates.last()) else {
            panic!("{id} is about no day");
        };
        let (from, to) = (first.yesterday().unwrap(), last.tomorrow().unwrap());
        let path = format!("/api/employees/{}/days?from={from}&to={to}", self.employee);
        let answer = self.admin.get(&path).await.expect(200);
        let none = Value::Null;
        let mut found = 0;
        for day in list(&answer, "days") {
            let wanted = days.get(day["day"].as_str().unwrap()).copied();
            found += usize::from(wanted.is_some());
            compare_day(id, day, wanted.unwrap_or(&none));
        }
        assert_eq!(found, days.len(), "{id}: a day is missing");
        for (starts, wanted) in &weeks {
            let mut given = list(&answer, "weeks");
            let given = given.find(|week| week["starts"] == *starts).unwrap();
            for name in ["worked", "overtime"] {
                assert_eq!(given[name], seconds(&wanted[name]), "{id}: {starts} {name}");
            }
        }
        let mut given: Vec<_> = list(&answer, "adjustments").cloned().collect();
        for adjustment in &mut given {
            // The specification has no figures by kind of leave.
            let fields = adjustment.as_object_mut().unwrap();
            let by_kind = fields.remove("leave_by_kind");
            let by_kind = by_kind
                .iter()
                .flat_map(|all| all.as_object().unwrap().values());
            let sum: i64 = by_kind.map(|figure| figure.as_i64().unwrap()).sum();
            assert_eq!(
                sum,
                fields.get("leave").map_or(0, |all| all.as_i64().unwrap()),
                "{id}"
            );
        }
        let wanted = list(case, "adjustments").map(|wanted| {
            let mut adjustment = json!({ "held": false, "settled": false });
            for (name, value) in wanted.as_object().unwrap() {
                match name.strip_prefix("band ") {
                    Some(band) => adjustment["bands"][band] = json!(seconds(value)),
                    None => {
                        adjustment[name] = match name.as_str() {
                            "day" | "week" | "held" => value.clone(),
                            _ => json!(seconds(value)),
                        };
                    }
                }
            }
            adjustment
        });
        assert_eq!(given, wanted.collect::<Vec<_>>(), "{id}");
    }
}

/// Compares a day; a figure that the case leaves out is zero.
fn compare_day(id: &str, given: &Value, wanted: &Value) {
    let date = given["day"].as_str().unwrap();
    for name in [
        "presence",
        "worked",
        "breaks",
        "paid_breaks",
        "auto_break",
        "rounded_by",
        "holiday",
        "leave",
        "late",
        "early",
        "overtime",
    ] {
        let figure = &wanted[name];
        let figure = if figure.is_null() { 0 } else { seconds(figure) };
        assert_eq!(given[name], figure, "{id}: {date} {name}");
    }
    if !wanted.is_null() {
        let planned = &wanted["planned"];
        let planned = if planned.is_null() {
            0
        } else {
            seconds(planned)
        };
        assert_eq!(given["planned"], planned, "{id}: {date} planned");
    }
    for (band, given) in given["bands"].as_object().unwrap() {
        let figure = &wanted["bands"][band];
        let figure = if figure.is_null() { 0 } else { seconds(figure) };
        assert_eq!(*given, figure, "{id}: {date} {band}");
    }
    for (band, _) in wanted["bands"].as_object().into_iter().flatten() {
        assert!(given["bands"][band].is_number(), "{id}: {date} {band}");
    }
    let codes = |of: &Value| -> BTreeSet<String> {
        let codes = list(of, "exceptions").map(|code| code.as_str().unwrap().to_owned());
        codes.collect()
    };
    assert_eq!(codes(given), codes(wanted), "{id}: {date}");
    if let Some(pairs) = wanted["pairs"].as_array() {
        let clock = |time: &Value| {
            let time = time.as_str().map(|time| &time[11..19]);
            let time = time.map(|time| time.strip_suffix(":00").unwrap_or(time));
            time.unwrap_or_default().to_owned()
        };
        let given: Vec<_> = list(given, "spans")
            .map(|span| format!("{}/{}", clock(&span["in"]), clock(&span["out"])))
            .collect();
        let given: Vec<_> = given.into_iter().map(Value::from).collect();
        assert_eq!(given, *pairs, "{id}: {date}");
    }
}

/// Plays a case and checks its answer. Returns false if its leave is refused.
async fn play(admin: &Client, case: &Value) -> bool {
    let mut played = Played::new(admin, case).await;
    if !played.plan(false).await {
        return false;
    }
    played.record(false).await;
    if let Some(lock) = case["lock"].as_str() {
        played.lock(lock).await;
        assert!(played.plan(true).await);
        played.record(true).await;
    }
    played.compare().await;
    true
}

#[tokio::test]
async fn the_golden_cases_have_their_answers() {
    let (mut answered, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for cases in cases().into_values() {
        let app = TestApp::start().await;
        let admin = app.admin().await;
        for case in &cases {
            let id = case["id"].as_str().unwrap().to_owned();
            match AssertUnwindSafe(play(&admin, case)).catch_unwind().await {
                Ok(true) => answered += 1,
                Ok(false) => refused.push(id),
                Err(_) => wrong.push(id),
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    // So that a change of the files does not silently leave them out.
    assert_eq!(answered, 226);
    assert_eq!(
        refused,
        ["leave-24", "leave-34"],
        "with leave that overlaps"
    );
}

/// The field of a problem and its code.
fn refusal(problem: &Value) -> (&str, &str) {
    let error = &problem["errors"][0];
    (
        error["field"].as_str().unwrap(),
        error["code"].as_str().unwrap(),
    )
}

#[tokio::test]
async fn days_have_the_documented_fields_and_explain_themselves() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "A1").await;
    let path = format!("/api/employees/{ann}/corrections");
    for (kind, at) in [("in", "08:00"), ("out", "14:20")] {
        let at = format!("2026-03-02T{at}:00Z");
        let body = json!({ "action": "add", "kind": kind, "at": at, "reason": "Forgot" });
        admin.post(&path, body).await.expect(201);
    }
    let days = format!("/api/employees/{ann}/days");
    let answer = admin
        .get(&format!("{days}?from=2026-03-02&to=2026-03-02"))
        .await;
    let answer = answer.expect(200);
    let day = &answer["days"][0];
    let document = serde_json::to_value(rollcall::http::document()).unwrap();
    let documented = |name: &str| -> BTreeSet<String> {
        let schema = &document["components"]["schemas"][name]["properties"];
        schema
            .as_object()
            .unwrap_or(&Map::new())
            .keys()
            .cloned()
            .collect()
    };
    let keys =
        |of: &Value| -> BTreeSet<String> { of.as_object().unwrap().keys().cloned().collect() };
    for (name, of) in [
        ("Day", day),
        ("Span", &day["spans"][0]),
        ("Days", &answer),
        ("Week", &answer["weeks"][0]),
        ("Totals", &answer["totals"]),
    ] {
        let schemas = [name.to_owned(), format!("{name}View")];
        let found = schemas.iter().map(|name| documented(name));
        let found = found.max_by_key(BTreeSet::len).unwrap();
        assert_eq!(keys(of), found, "{name}");
    }
    assert_eq!(day["steps"][0]["code"], "span");
    assert_eq!(day["steps"][0]["text"], "present from 08:00 to 14:20");
    assert_eq!(answer["totals"]["worked"], 6 * 3600 + 20 * 60);

    for (query, field, code) in [
        ("from=2026-03-02&to=2026-03-01", "to", "wrong_days"),
        ("from=2025-03-01&to=2026-03-02", "to", "wrong_days"),
        ("from=20260302", "from", "not_a_date"),
        ("to=yesterday", "to", "not_a_date"),
    ] {
        let refused = admin.get(&format!("{days}?{query}")).await;
        let refused = refused.problem(422, "invalid");
        assert_eq!(refusal(&refused), (field, code), "{query}");
    }
    let year = format!("{days}?from=2025-03-02&to=2026-03-02");
    assert_eq!(
        list(&admin.get(&year).await.expect(200), "days").count(),
        366
    );
}

#[tokio::test]
async fn a_correction_needs_the_fields_of_its_action() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "A1").await;
    let path = format!("/api/employees/{ann}/corrections");
    let (punch, at) = (
        "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b",
        "2026-03-02T08:00:00Z",
    );
    for (body, field, code) in [
        (json!({ "action": "undo" }), "action", "not_one_of"),
        (json!({ "action": "add", "at": at }), "kind", "required"),
        (json!({ "action": "add", "kind": "in" }), "at", "required"),
        (
            json!({ "action": "add", "kind": "go", "at": at }),
            "kind",
            "not_one_of",
        ),
        (
            json!({ "action": "add", "kind": "in", "at": "8" }),
            "at",
            "not_a_time",
        ),
        (
            json!({ "action": "add", "kind": "in", "at": "2999-01-01T00:00:00Z" }),
            "at",
            "in_the_future",
        ),
        (json!({ "action": "move", "at": at }), "punch", "required"),
        (
            json!({ "action": "void", "punch": punch, "at": at }),
            "at",
            "excluded",
        ),
        (
            json!({ "action": "void", "punch": punch }),
            "punch",
            "unknown_punch",
        ),
        (
            json!({ "action": "void", "punch": "7" }),
            "punch",
            "not_an_id",
        ),
    ] {
        let mut body = body;
        body["reason"] = json!("Forgot");
        let refused = admin
            .post(&path, body.clone())
            .await
            .problem(422, "invalid");
        assert_eq!(refusal(&refused), (field, code), "{body}");
    }
    let empty = json!({ "action": "add", "kind": "in", "at": at, "reason": " " });
    let refused = admin.post(&path, empty).await.problem(422, "invalid");
    assert_eq!(refusal(&refused), ("reason", "empty"));
}

#[tokio::test]
async fn a_month_goes_from_a_request_to_a_lock() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let manager = app.role(Role::Manager).await;
    let ann = admin.add_employee("Ann", "A1").await;
    let own = app.employee(&ann).await;
    let path = format!("/api/employees/{ann}/corrections");
    let add = |kind: &str, at: &str| {
        let at = format!("2026-03-02T{at}:00Z");
        json!({ "action": "add", "kind": kind, "at": at, "reason": "Forgot to punch" })
    };
    let asked = own.post(&path, add("in", "08:00")).await.expect(201);
    assert_eq!(asked["state"], "requested");
    let inbox = manager.get("/api/corrections").await.expect(200);
    let mut listed = asked.clone();
    listed["name"] = json!("Ann");
    listed["zone"] = json!("UTC");
    listed["made_by_name"] = json!("Ada");
    listed["old"] = json!(null);
    assert_eq!(inbox["items"], json!([listed]));
    let id = asked["id"].as_str().unwrap();
    let approve = format!("/api/corrections/{id}/approve");
    let approved = manager.post(&approve, json!({})).await.expect(200);
    assert_eq!(approved["state"], "approved");
    manager
        .post(&approve, json!({}))
        .await
        .problem(409, "correction_decided");

    let sheet = format!("/api/timesheets/{ann}:2026-03-01");
    let seen = manager.get(&sheet).await.expect(200);
    assert_eq!(
        seen["blocked"],
        json!([{ "day": "2026-03-02", "exceptions": ["missing_out"] }])
    );
    let digest = json!({ "digest": seen["digest"] });
    let blocked = manager
        .post(&format!("{sheet}/approve"), digest.clone())
        .await;
    assert_eq!(
        blocked.problem(409, "days_blocked")["days"],
        seen["blocked"]
    );
    manager.post(&path, add("out", "16:00")).await.expect(201);
    own.post(&format!("{sheet}/submit"), json!({}))
        .await
        .expect(200);
    let changed = manager.post(&format!("{sheet}/approve"), digest).await;
    changed.problem(409, "figures_changed");
    let submitted = manager
        .get("/api/timesheets?period=2026-03-15&state=submitted")
        .await;
    let submitted = submitted.expect(200);
    assert_eq!(submitted["items"][0]["id"], format!("{ann}:2026-03-01"));
    assert_eq!(submitted["items"][0]["name"], "Ann");
    assert_eq!(submitted["items"][0]["code"], "A1");
    assert!(submitted["items"][0]["site"].is_string());

    let digest = manager.get(&sheet).await.expect(200)["digest"].clone();
    let body = json!({ "digest": digest });
    let approved = manager
        .post(&format!("{sheet}/approve"), body)
        .await
        .expect(200);
    assert_eq!(approved["approval"]["digest"], digest);
    manager
        .post(&format!("{sheet}/lock"), json!({}))
        .await
        .expect(200);
    let late = add("in", "18:00");
    manager
        .post(&path, late.clone())
        .await
        .problem(409, "timesheet_locked");
    let days = format!("/api/employees/{ann}/days?from=2026-03-02&to=2026-03-02");
    let day = own.get(&days).await.expect(200)["days"][0].clone();
    assert_eq!(
        (&day["worked"], &day["locked"]),
        (&json!(8 * 3600), &json!(true))
    );
    let of_ann = format!("/api/timesheets?employee={ann}");
    let stored = own.get(&of_ann).await.expect(200);
    assert_eq!(stored["items"][0]["state"], "locked");

    manager
        .post(&format!("{sheet}/unlock"), json!({}))
        .await
        .problem(403, "forbidden");
    let open = admin
        .post(&format!("{sheet}/unlock"), json!({}))
        .await
        .expect(200);
    assert_eq!(open["state"], "open");
    manager.post(&path, late).await.expect(201);
    // The list of corrections shows the punch that would be removed.
    let void = json!({ "action": "void", "punch": asked["punch"], "reason": "Not there" });
    own.post(&path, void).await.expect(201);
    let inbox = manager.get("/api/corrections").await.expect(200);
    assert_eq!(
        inbox["items"][0]["old"],
        json!({ "kind": "in", "at": "2026-03-02T08:00:00.000Z" })
    );
    // Everything was audited.
    let trail = admin.get("/api/audit?limit=200").await.expect(200);
    let actions: BTreeSet<_> = list(&trail, "items")
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    for action in [
        "correction.request",
        "correction.approve",
        "correction.make",
        "timesheet.submit",
        "timesheet.approve",
        "timesheet.lock",
        "timesheet.unlock",
    ] {
        assert!(actions.contains(action), "{action}");
    }
}

#[tokio::test]
async fn a_punch_by_hand_shows_on_the_board() {
    let app = TestApp::start().await;
    let (admin, manager) = (app.admin().await, app.role(Role::Manager).await);
    let ann = admin.add_employee("Ann", "A1").await;
    admin.add_employee("Ben", "B1").await;
    let body = json!({ "employee": ann, "kind": "in", "reason": "The kiosk is broken" });
    let answer = manager
        .post("/api/punches/manual", body.clone())
        .await
        .expect(201);
    assert_eq!(answer["outcome"], "punched");
    assert_eq!(answer["punch"]["proof"]["reason"], "The kiosk is broken");
    assert_eq!(answer["punch"]["origin"]["kind"], "account");
    let again = manager.post("/api/punches/manual", body).await.expect(200);
    assert_eq!(again["outcome"], "cooldown");
    assert_eq!(again["punch"], answer["punch"]);
    app.clock.advance(SignedDuration::from_mins(10));
    let board = manager.get("/api/days").await.expect(200);
    assert_eq!(board["items"][0]["state"], "present");
    assert!(board["items"][0]["worked"].as_i64().unwrap() >= 600);
    assert_eq!(board["items"][1]["state"], "not_due");
    assert_eq!(
        (&board["counts"]["present"], &board["counts"]["not_due"]),
        (&json!(1), &json!(1))
    );

    // A list shows what corrections that count did to it.
    let punch = answer["punch"]["id"].as_str().unwrap();
    let corrections = format!("/api/employees/{ann}/corrections");
    let shown = async || {
        let list = manager.get("/api/punches").await.expect(200);
        let one = manager.get(&format!("/api/punches/{punch}")).await;
        assert_eq!(list["items"][0], one.expect(200));
        list["items"][0]["corrected"].clone()
    };
    let void = json!({ "action": "void", "punch": punch, "reason": "Not at work" });
    let own = app.employee(&ann).await;
    own.post(&corrections, void.clone()).await.expect(201);
    assert_eq!(shown().await, Value::Null, "nobody has approved it");
    let at = (app.clock.now() - SignedDuration::from_mins(5)).to_string();
    let moved = json!({ "action": "move", "punch": punch, "at": at, "reason": "Came late" });
    manager.post(&corrections, moved).await.expect(201);
    let corrected = shown().await;
    assert_eq!(corrected["action"], "move");
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    assert_eq!(time(corrected["at"].as_str().unwrap()), time(&at));
    manager.post(&corrections, void).await.expect(201);
    assert_eq!(shown().await, json!({ "action": "void" }));
    let listed = own.get("/api/me/punches").await.expect(200);
    assert_eq!(listed["items"][0]["corrected"], json!({ "action": "void" }));

    let paused = admin
        .patch(&format!("/api/employees/{ann}"), json!({ "active": false }))
        .await;
    paused.expect(200);
    let body = json!({ "employee": ann, "reason": "x" });
    let refused = manager
        .post("/api/punches/manual", body)
        .await
        .problem(422, "invalid");
    assert_eq!(refusal(&refused), ("employee", "inactive_employee"));
}

#[tokio::test]
async fn four_eyes_decide_where_the_site_says_so() {
    let app = TestApp::start().await;
    let (admin, manager) = (app.admin().await, app.role(Role::Manager).await);
    let ann = admin.add_employee("Ann", "A1").await;
    let rules = format!("/api/sites/{}/rules/2020-01-01", SiteId::DEFAULT);
    let body = json!({ "rules": {}, "four_eyes": true });
    admin.put(&rules, body).await.expect(201);

    let path = format!("/api/employees/{ann}/corrections");
    let at = "2026-03-02T08:00:00Z";
    let body = json!({ "action": "add", "kind": "in", "at": at, "reason": "Forgot" });
    let made = admin.post(&path, body).await.expect(201);
    assert_eq!(made["state"], "requested");
    let approve = format!("/api/corrections/{}/approve", made["id"].as_str().unwrap());
    let own = admin.post(&approve, json!({})).await;
    own.problem(403, "four_eyes");
    let approved = manager.post(&approve, json!({})).await.expect(200);
    assert_eq!(approved["state"], "approved");
}

#[tokio::test]
async fn a_balance_runs_from_an_opening_value_over_days_and_payouts() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let employee = admin.add_employee("Ann", "E7").await;
    let path = format!("/api/employees/{employee}/balance-entries");
    let entry = |date: &str, kind: &str, seconds: i64| json!({ "date": date, "kind": kind, "seconds": seconds, "reason": "Old system" });
    let opening = admin
        .post(&path, entry("2026-03-02", "opening", 36_000))
        .await;
    let opening = opening.expect(201);
    assert_eq!(opening["made_by"]["kind"], "account");
    let twice = admin.post(&path, entry("2026-03-02", "opening", 0)).await;
    let problem = twice.problem(422, "invalid");
    assert_eq!(problem["errors"][0]["code"], "opening_exists");
    let wrong = admin.post(&path, entry("2026-3-2", "payout", 1)).await;
    let problem = wrong.problem(422, "invalid");
    let codes: Vec<_> = list(&problem, "errors")
        .map(|one| one["code"].clone())
        .collect();
    assert_eq!(codes, ["not_a_date", "out_of_range"]);
    admin
        .post(&path, entry("2026-03-03", "payout", -3600))
        .await
        .expect(201);

    let corrections = format!("/api/employees/{employee}/corrections");
    for (kind, at) in [("in", "08:00"), ("out", "10:00")] {
        let at = format!("2026-03-03T{at}:00Z");
        let body = json!({ "action": "add", "kind": kind, "at": at, "reason": "Forgot" });
        admin.post(&corrections, body).await.expect(201);
    }
    let days = format!("/api/employees/{employee}/days?from=2026-03-01&to=2026-03-03");
    let answer = admin.get(&days).await.expect(200);
    // The opening value is of the second day.
    assert_eq!(
        answer["running_balance"],
        json!({ "start": 0, "end": 39_600 })
    );
    let running: Vec<_> = list(&answer, "days")
        .map(|day| &day["running_balance"])
        .collect();
    assert_eq!(running, [0, 36_000, 39_600]);
    let sheet = format!("/api/timesheets/{employee}:2026-03-01");
    let sheet = admin.get(&sheet).await.expect(200);
    assert_eq!(sheet["figures"]["running_balance"]["end"], 39_600);

    let listed = admin.get(&path).await.expect(200);
    let dates: Vec<_> = list(&listed, "items").map(|one| &one["date"]).collect();
    assert_eq!(dates, ["2026-03-03", "2026-03-02"]);
    let first = admin.get(&format!("{path}?limit=1")).await.expect(200);
    let cursor = first["next"].as_str().unwrap();
    let next = admin.get(&format!("{path}?limit=1&cursor={cursor}")).await;
    assert_eq!(next.expect(200)["items"][0], opening);
    let address = format!("/api/balance-entries/{}", opening["id"].as_str().unwrap());
    assert_eq!(admin.delete(&address).await.status, 204);
    admin.delete(&address).await.problem(404, "not_found");
}
