//! Exports as files: what they contain, who gets what, and that other programs read the same.

use std::io::Cursor;

use calamine::{Data, Range, Reader, Xlsx};
use rollcall::domain::{
    grants::{Role, Scope},
    ids::SiteId,
};
use serde_json::{Value, json};

use crate::app::{Client, TestApp};

const MARCH: &str = "from=2026-03-01&to=2026-03-31";

/// An export as JSON.
async fn rows(client: &Client, path: &str) -> Vec<Value> {
    let answer = client
        .get(&format!("/api/exports/{path}&format=json"))
        .await;
    answer.expect(200).as_array().unwrap().clone()
}

/// An export as CSV: the header and the records.
async fn csv(client: &Client, path: &str) -> Vec<Vec<String>> {
    let answer = client.get(&format!("/api/exports/{path}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(answer.text.as_bytes());
    let record = |record: ::csv::StringRecord| record.iter().map(str::to_owned).collect();
    reader.records().map(|one| record(one.unwrap())).collect()
}

/// The sheets of an export as a workbook.
async fn sheets(client: &Client, path: &str) -> Vec<(String, Range<Data>)> {
    let path = format!("/api/exports/{path}&format=xlsx");
    let response = client.request(reqwest::Method::GET, &path).send().await;
    let bytes = response.unwrap().bytes().await.unwrap();
    let mut book = Xlsx::new(Cursor::new(bytes)).unwrap();
    book.worksheets()
}

/// The number of a cell, as a spreadsheet has it.
fn number_of(cell: &Data) -> f64 {
    match cell {
        Data::DateTime(time) => time.as_f64(),
        Data::Float(number) => *number,
        Data::Int(number) => *number as f64,
        other => panic!("{other:?} is no number"),
    }
}

async fn punch(admin: &Client, employee: &str, kind: &str, at: &str) -> Value {
    let path = format!("/api/employees/{employee}/corrections");
    let body = json!({ "action": "add", "kind": kind, "at": at, "reason": "Forgot" });
    admin.post(&path, body).await.expect(201)
}

/// Adds an employee with a day from 08:00 to 14:20, and a day without an out.
async fn worked(admin: &Client, name: &str, code: &str, site: &str) -> String {
    let new = json!({ "name": name, "code": code, "site": site });
    let added = admin.post("/api/employees", new).await.expect(201);
    let id = added["id"].as_str().unwrap().to_owned();
    for (kind, at) in [
        ("in", "2026-03-02T08:00:00Z"),
        ("out", "2026-03-02T14:20:01Z"),
        ("in", "2026-03-03T08:00:00Z"),
    ] {
        punch(admin, &id, kind, at).await;
    }
    id
}

/// Approves the timesheet of March, and perhaps locks it.
async fn approve(admin: &Client, employee: &str, lock: bool) {
    let path = format!("/api/timesheets/{employee}:2026-03-01");
    let digest = admin.get(&path).await.expect(200)["digest"].clone();
    let approved = admin
        .post(&format!("{path}/approve"), json!({ "digest": digest }))
        .await;
    approved.expect(200);
    if lock {
        admin
            .post(&format!("{path}/lock"), json!({}))
            .await
            .expect(200);
    }
}

fn default_site() -> String {
    SiteId::DEFAULT.to_string()
}

#[tokio::test]
async fn every_format_has_the_figures_of_the_api() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let rules = json!({ "rules": { "bands": [
        { "name": "noon", "from": "12:00", "to": "13:00" },
    ] } });
    let path = format!("/api/sites/{}/rules/2020-01-01", SiteId::DEFAULT);
    admin.put(&path, rules).await.expect(201);
    let hostile = "=1+1, \"Jörg\"";
    let ann = worked(&admin, hostile, "-7", &default_site()).await;
    let days = admin
        .get(&format!("/api/employees/{ann}/days?{MARCH}"))
        .await
        .expect(200);

    let json = rows(&admin, &format!("days?{MARCH}")).await;
    let csv = csv(&admin, &format!("days?{MARCH}")).await;
    let sheets = sheets(&admin, &format!("days?{MARCH}")).await;
    assert_eq!((json.len(), csv.len()), (31, 32));
    assert_eq!(csv[0].len(), json[0].as_object().unwrap().len());
    let (name, sheet) = &sheets[0];
    // A header and the totals.
    assert_eq!(
        (name.as_str(), sheet.height(), sheets.len()),
        ("Days", 33, 1)
    );
    let place = |name: &str| csv[0].iter().position(|column| column == name).unwrap();
    let cell = |row: usize, name: &str| sheet.get((row + 1, place(name))).unwrap();
    assert_eq!(sheet.get((0, place("first_in"))).unwrap(), "First in");
    assert_eq!(sheet.get((0, place("bands.noon"))).unwrap(), "Band: noon");

    for (number, day) in days["days"].as_array().unwrap().iter().enumerate() {
        let (row, record) = (&json[number], &csv[number + 1]);
        assert_eq!(row["date"], day["day"]);
        assert_eq!(row["exceptions"], day["exceptions"]);
        assert_eq!(row["bands.noon"], day["bands"]["noon"]);
        for name in [
            "presence",
            "worked",
            "breaks",
            "balance",
            "overtime",
            "due",
            "rounded_by",
        ] {
            let seconds = day[name].as_i64().unwrap();
            assert_eq!(row[name], seconds, "{name}");
            let hours: f64 = record[place(name)].parse().unwrap();
            assert_eq!((hours * 3600.0).round() as i64, seconds, "{name}");
            let of_day = match name {
                "balance" | "rounded_by" => 24.0,
                _ => 1.0,
            };
            let real = number_of(cell(number, name));
            assert_eq!((real / of_day * 86_400.0).round() as i64, seconds, "{name}");
        }
    }
    assert_eq!(json[0]["employee_name"], hostile);
    assert_eq!(
        csv[1][..3],
        ["'-7", "'=1+1, \"Jörg\"", "Main site"].map(str::to_owned)
    );
    assert_eq!(*cell(0, "employee_name"), Data::String(hostile.to_owned()));
    let Data::DateTime(date) = cell(1, "date") else {
        panic!("{:?} is no date", cell(1, "date"));
    };
    assert_eq!(date.as_f64(), 46083.0);
    let Data::DateTime(came) = cell(1, "first_in") else {
        panic!("{:?} is no time", cell(1, "first_in"));
    };
    assert_eq!((came.as_f64() * 24.0).round(), 46083.0 * 24.0 + 8.0);
    assert_eq!(*cell(1, "blocked"), Data::Bool(false));
    assert_eq!(csv[3][place("exceptions")], "missing_out");
    assert_eq!(csv[3][place("blocked")], "true");
    // The total has the value of its formula.
    let total = cell(31, "worked");
    assert_eq!(
        (number_of(total) * 86_400.0).round() as i64,
        days["totals"]["worked"]
    );
    assert_eq!(*cell(31, "employee_code"), Data::String("Total".to_owned()));
}

#[tokio::test]
async fn a_csv_file_is_as_the_spreadsheet_of_a_country_expects() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    worked(&admin, "Ann", "A1", &default_site()).await;
    let day = "from=2026-03-02&to=2026-03-02";
    let answer = admin.get(&format!("/api/exports/days?{day}")).await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    let name = "attachment; filename=\"days_2026-03-02_2026-03-02.csv\"";
    assert_eq!(answer.header("content-disposition"), name);
    assert!(
        answer
            .text
            .starts_with("employee_code,employee_name,site_name,date,")
    );
    assert!(answer.text.contains(",6.3336,"), "{}", answer.text);
    assert!(answer.text.lines().count() == 2 && answer.text.ends_with("\r\n"));
    let query = "separator=semicolon&bom=true&hours=clock";
    let answer = admin.get(&format!("/api/exports/days?{day}&{query}")).await;
    assert!(
        answer
            .text
            .starts_with("\u{feff}employee_code;employee_name;")
    );
    assert!(answer.text.contains(";6:20:01;"), "{}", answer.text);
    let answer = admin
        .get(&format!("/api/exports/days?{day}&separator=semicolon"))
        .await;
    assert!(answer.text.contains(";6,3336;"), "{}", answer.text);
}

#[tokio::test]
async fn punches_show_what_corrections_made_of_them() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "A1").await;
    let body = json!({ "employee": ann, "kind": "in", "reason": "The kiosk is broken" });
    let made = admin
        .post("/api/punches/manual", body)
        .await
        .expect(200 + 1);
    let made = &made["punch"];
    let corrections = format!("/api/employees/{ann}/corrections");
    let added = punch(&admin, &ann, "out", "2026-03-02T14:20:00Z").await;
    let moved = punch(&admin, &ann, "in", "2026-03-02T08:00:00Z").await;
    let to = "2026-03-02T08:30:00Z";
    for body in [
        json!({ "action": "move", "punch": moved["punch"], "at": to, "reason": "x" }),
        json!({ "action": "void", "punch": made["id"], "reason": "x" }),
    ] {
        admin.post(&corrections, body).await.expect(201);
    }
    let found = rows(&admin, &format!("punches?{MARCH}")).await;
    let shown = |row: &Value| {
        let names = [
            "punch",
            "at",
            "kind",
            "counts",
            "correction",
            "counts_at",
            "proof",
        ];
        names.map(|name| row[name].clone())
    };
    assert_eq!(found.len(), 2);
    assert_eq!(
        json!(shown(&found[0])),
        json!([
            moved["punch"],
            "2026-03-02T08:00:00+00:00",
            "in",
            true,
            "added",
            "2026-03-02T08:30:00+00:00",
            "correction",
        ])
    );
    assert_eq!(found[1]["punch"], added["punch"]);
    let today = made["workday"].as_str().unwrap();
    let found = rows(&admin, &format!("punches?from={today}&to={today}")).await;
    assert_eq!(found[0]["punch"], made["id"]);
    assert_eq!(found[0]["counts"], false);
    assert_eq!(found[0]["correction"], "voided");
    assert_eq!(found[0]["punch_site_name"], "Main site");
    assert_eq!(found[0]["origin"], "account");
}

#[tokio::test]
async fn locked_days_are_as_they_were_approved_and_unapproved_ones_show() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let mut people = Vec::new();
    for name in ["Ann", "Ben", "Cem"] {
        let id = worked(&admin, name, name, &default_site()).await;
        punch(&admin, &id, "out", "2026-03-03T16:00:00Z").await;
        people.push(id);
    }
    approve(&admin, &people[0], true).await;
    approve(&admin, &people[1], false).await;
    // After the lock, an hour more; it becomes an adjustment.
    let path = format!("/api/employees/{}/corrections", people[0]);
    let body = json!({
        "action": "add", "kind": "in", "at": "2026-03-02T07:00:00Z", "reason": "x", "adjust": true,
    });
    admin.post(&path, body).await.expect(201);

    let second = "from=2026-03-02&to=2026-03-02";
    let seen = |rows: Vec<Value>| {
        let one = |row: &Value| (row["employee_code"].clone(), row["timesheet"].clone());
        rows.iter().map(one).collect::<Vec<_>>()
    };
    let states = json!([["Ann", "locked"], ["Ben", "approved"], ["Cem", "open"]]);
    let days = rows(&admin, &format!("days?{second}")).await;
    assert_eq!(days[0]["worked"], 6 * 3600 + 20 * 60 + 1);
    assert_eq!(json!(seen(days)), states);
    let sheets = rows(&admin, &format!("timesheets?{second}")).await;
    assert_eq!(sheets[0]["from"], "2026-03-01");
    assert_eq!(sheets[0]["worked"], 14 * 3600 + 20 * 60 + 1);
    assert_eq!(sheets[0]["adjusted_worked"], 3600);
    assert_eq!(json!(seen(sheets)), states);
    for what in ["days", "timesheets"] {
        let approved = rows(&admin, &format!("{what}?{second}&only=approved")).await;
        assert_eq!(
            json!(seen(approved)),
            json!([["Ann", "locked"], ["Ben", "approved"]])
        );
    }

    // The rules of a day change after its approval: nobody has approved the new figures.
    let rules = json!({ "rules": { "breaks": {
        "mode": "deduct", "steps": [{ "after": "5h", "total": "30m" }],
    } } });
    let path = format!("/api/sites/{}/rules/2026-01-01", SiteId::DEFAULT);
    admin.put(&path, rules).await.expect(201);
    let days = rows(&admin, &format!("days?{second}&only=approved")).await;
    assert_eq!(json!(seen(days)), json!([["Ann", "locked"]]));

    let sheets = self::sheets(&admin, &format!("timesheets?{MARCH}")).await;
    let names: Vec<_> = sheets.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Timesheets", "Summary"]);
    let summary = &sheets[1].1;
    let row =
        |row: u32| [0, 1, 2].map(|place| summary.get_value((row, place)).unwrap().to_string());
    assert_eq!(row(1), ["Main site", "locked", "1"]);
    assert_eq!(row(2), ["Main site", "open", "2"]);
}

#[tokio::test]
async fn absences_are_days_of_leave_and_days_without_anybody() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "A1").await;
    let id = |value: Value| value["id"].as_str().unwrap().to_owned();
    let shift = json!({ "site": default_site(), "name": "Day", "from": "08:00", "to": "16:00" });
    let shift = id(admin.post("/api/shifts", shift).await.expect(201));
    for day in ["2026-03-02", "2026-03-03"] {
        let new = json!({ "employees": [ann], "day": day, "shifts": [shift] });
        admin.post("/api/assignments", new).await.expect(201);
    }
    let kind = json!({ "name": "Vacation", "paid": true });
    let kind = id(admin.post("/api/leave-kinds", kind).await.expect(201));
    let day = "2026-03-02";
    let leave =
        json!({ "employee": ann, "kind": kind, "from": day, "to": day, "part": "first_half" });
    let leave = id(admin.post("/api/leave", leave).await.expect(201));
    let state = admin
        .post(&format!("/api/leave/{leave}/approve"), json!({}))
        .await;
    assert!(
        [200, 409].contains(&state.status.as_u16()),
        "{}",
        state.text
    );
    punch(&admin, &ann, "in", "2026-03-02T12:00:00Z").await;
    punch(&admin, &ann, "out", "2026-03-02T16:00:00Z").await;
    let found = rows(&admin, &format!("absences?{MARCH}")).await;
    let shown = |row: &Value| {
        ["date", "absence", "leave_kind", "paid", "time", "days"].map(|name| row[name].clone())
    };
    assert_eq!(
        json!(found.iter().map(shown).collect::<Vec<_>>()),
        json!([
            ["2026-03-02", "leave", "Vacation", true, 14_400, 0.5],
            ["2026-03-03", "absence", null, null, 28_800, 1.0],
        ])
    );
}

#[tokio::test]
async fn an_export_has_what_the_caller_reaches_and_is_in_the_audit_trail() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (harbor, yard) = (
        admin.add_site("Harbor", "UTC").await,
        admin.add_site("Yard", "UTC").await,
    );
    let ann = worked(&admin, "Ann", "A1", &harbor).await;
    let ben = worked(&admin, "Ben", "B1", &yard).await;
    let manager = app
        .grant(Role::Manager, Scope::Site(harbor.parse().unwrap()))
        .await;
    let own = app.employee(&ben).await;
    let day = "from=2026-03-02&to=2026-03-02";
    for (client, query, codes) in [
        (&admin, String::new(), json!(["A1", "B1"])),
        (&admin, format!("&site={yard}"), json!(["B1"])),
        (&admin, format!("&employee={ann}"), json!(["A1"])),
        (&admin, format!("&employee={ann}&site={yard}"), json!([])),
        (&manager, String::new(), json!(["A1"])),
        (&own, String::new(), json!(["B1"])),
    ] {
        for what in ["days", "timesheets"] {
            let found = rows(client, &format!("{what}?{day}{query}")).await;
            let found: Vec<_> = found
                .iter()
                .map(|row| row["employee_code"].clone())
                .collect();
            assert_eq!(json!(found), codes, "{what} {query}");
        }
    }
    for (query, field, code) in [
        (format!("{day}&site={yard}"), "site", "unknown_site"),
        (
            format!("{day}&employee={ben}"),
            "employee",
            "unknown_employee",
        ),
        ("to=2026-03-02".to_owned(), "from", "required"),
        ("from=2026-03-02".to_owned(), "to", "required"),
        (
            "from=2025-03-02&to=2026-03-03".to_owned(),
            "to",
            "wrong_days",
        ),
        (
            "from=2026-03-02&to=2026-03-01".to_owned(),
            "to",
            "wrong_days",
        ),
        (format!("{day}&format=pdf"), "format", "not_one_of"),
        (format!("{day}&format=json&bom=true"), "bom", "excluded"),
        (format!("{day}&separator=tab"), "separator", "not_one_of"),
        (format!("{day}&only=all"), "only", "not_one_of"),
        (format!("{day}&column=x"), "column", "unknown_field"),
    ] {
        let refused = manager.get(&format!("/api/exports/days?{query}")).await;
        let error = refused.problem(422, "invalid")["errors"][0].clone();
        assert_eq!(
            (&error["field"], &error["code"]),
            (&json!(field), &json!(code))
        );
    }
    let punches = admin
        .get(&format!("/api/exports/punches?{day}&only=approved"))
        .await;
    assert_eq!(punches.fields(), ["only"]);
    admin
        .get(&format!("/api/exports/faces?{day}"))
        .await
        .problem(404, "not_found");

    let query = format!("{day}&site={harbor}&only=approved&format=xlsx");
    manager.get(&format!("/api/exports/days?{query}")).await;
    let last = app.stores.audit.latest(1).await.unwrap().remove(0);
    assert_eq!(
        (last.action.as_str(), last.subject),
        ("export.days", harbor)
    );
    let detail = "2026-03-02 to 2026-03-02, xlsx, approved only";
    assert_eq!(last.detail.as_deref(), Some(detail));
}

#[tokio::test]
async fn an_export_of_many_employees_has_each_once_in_order() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let count = 230;
    for number in 0..count {
        admin
            .add_employee(&format!("Person {number:03}"), &format!("P{number:03}"))
            .await;
    }
    let days = rows(&admin, "days?from=2026-03-02&to=2026-03-03").await;
    let codes: Vec<_> = days
        .iter()
        .map(|row| row["employee_code"].clone())
        .collect();
    let expected = (0..count).flat_map(|number| [format!("P{number:03}"), format!("P{number:03}")]);
    assert_eq!(codes, expected.map(Value::from).collect::<Vec<_>>());
    let board = admin.get("/api/days?date=2026-03-02").await.expect(200);
    assert_eq!(board["items"].as_array().unwrap().len(), count);
}

#[tokio::test]
async fn a_payroll_file_has_approved_hours_under_the_wage_types_of_its_layout() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for (name, code) in [("Ann Lee", "1"), ("Ben Ray", "2")] {
        let id = worked(&admin, name, code, &default_site()).await;
        punch(&admin, &id, "out", "2026-03-03T16:30:00Z").await;
        if code == "1" {
            approve(&admin, &id, true).await;
        }
    }
    let examples = admin.get("/api/payroll-layout-examples").await.expect(200);
    let example = |id: &str| {
        let mut examples = examples["items"].as_array().unwrap().iter();
        examples.find(|one| one["id"] == id).unwrap()["layout"].clone()
    };
    let mut layout = example("datev_lodas");
    layout["header"] = json!(["{from}–{to}"]);
    let wage_types = |all: &[(&str, &str)]| -> Value {
        let one = |(figure, wage_type)| json!({ "figure": figure, "wage_type": wage_type });
        all.iter().copied().map(one).collect()
    };
    layout["wage_types"] = wage_types(&[("regular", "100"), ("overtime", "110")]);
    let new = json!({ "name": "Office", "layout": layout.clone() });
    let added = admin.post("/api/payroll-layouts", new).await.expect(201);
    let id = added["id"].as_str().unwrap();
    let path = format!("/api/payroll-layouts/{id}");
    let all = wage_types(&[("regular", "100"), ("overtime", "110"), ("worked", "130")]);
    let patch = json!({ "layout": { "wage_types": all } });
    let changed = admin.patch(&path, patch).await.expect(200);
    assert_eq!(changed["layout"]["wage_types"], all);
    assert_eq!(changed["layout"]["columns"], layout["columns"]);
    let listed = admin.get("/api/payroll-layouts").await.expect(200);
    assert_eq!(listed["items"], json!([changed]));

    let export = format!("/api/exports/payroll?{MARCH}&layout={id}");
    let file = admin.get(&export).await;
    // 6:20:01 and 8:30.
    let rows = "01/03/2026\u{fffd}31/03/2026\r\n\
        1;01/03/2026;14,83;1;100;1;\r\n1;01/03/2026;14,83;1;130;1;\r\n";
    assert_eq!(file.text, rows);
    assert_eq!(
        file.header("content-type"),
        "text/csv; charset=windows-1252"
    );
    let name = "attachment; filename=\"payroll_2026-03-01_2026-03-31.txt\"";
    assert_eq!(file.header("content-disposition"), name);
    let last = app.stores.audit.latest(1).await.unwrap().remove(0);
    assert_eq!(
        (last.action.as_str(), last.subject.as_str()),
        ("export.payroll", "all")
    );
    let detail = "2026-03-01 to 2026-03-31, file, Office, approved only";
    assert_eq!(last.detail.as_deref(), Some(detail));

    let preview = admin
        .get(&format!("{export}&only=all&format=json"))
        .await
        .expect(200);
    let preview = preview.as_array().unwrap();
    assert_eq!(preview.len(), 4);
    let row = json!({
        "employee_code": "2", "employee_name": "Ben Ray", "site_name": "Main site",
        "from": "2026-03-01", "to": "2026-03-31", "wage_type": "130",
        "quantity": 6 * 3600 + 20 * 60 + 1 + 8 * 3600 + 1800, "timesheet": ["open"], "exceptions": [],
    });
    assert_eq!(preview[3], row);
    // An example by its word: a row for each day.
    let days = admin
        .get(&format!("/api/exports/payroll?{MARCH}&layout=xero"))
        .await;
    let rows = "full_name,date,hours,type\r\nAnn Lee,02/03/2026,6.33,Ordinary Hours\r\n\
        Ann Lee,03/03/2026,8.50,Ordinary Hours\r\n";
    assert_eq!(days.text, rows);

    admin.delete(&path).await.expect(204);
    for (query, field, code) in [
        (format!("{MARCH}&layout={id}"), "layout", "unknown_layout"),
        (format!("{MARCH}&layout=x"), "layout", "unknown_layout"),
        (MARCH.to_owned(), "layout", "required"),
        (
            format!("{MARCH}&layout=sage&only=open"),
            "only",
            "not_one_of",
        ),
        (
            format!("{MARCH}&layout=sage&format=xlsx"),
            "format",
            "not_one_of",
        ),
    ] {
        let refused = admin.get(&format!("/api/exports/payroll?{query}")).await;
        let error = refused.problem(422, "invalid")["errors"][0].clone();
        assert_eq!(
            (&error["field"], &error["code"]),
            (&json!(field), &json!(code))
        );
    }
    for (pointer, value, field, code) in [
        ("/layout/per", json!("week"), "layout.per", "not_one_of"),
        (
            "/layout/wage_types",
            wage_types(&[("work", "1")]),
            "layout.wage_types[0].figure",
            "must_be",
        ),
        (
            "/layout/wage_types",
            wage_types(&[("worked", "")]),
            "layout.wage_types[0].wage_type",
            "must_be",
        ),
        (
            "/layout/date_format",
            json!("DD."),
            "layout.date_format",
            "must_be",
        ),
        (
            "/layout/columns",
            json!([]),
            "layout.columns",
            "wrong_count",
        ),
        (
            "/layout/columns",
            json!([{ "field": "date", "text": "x" }]),
            "layout.columns[0].text",
            "excluded",
        ),
        (
            "/layout/columns",
            json!([{ "field": "date", "only": ["1"] }]),
            "layout.columns[0].only",
            "excluded",
        ),
        ("/name", json!(" "), "name", "empty"),
    ] {
        let mut new = json!({ "name": "Other", "layout": example("sage") });
        *new.pointer_mut(pointer).unwrap_or(&mut Value::Null) = value.clone();
        if new.pointer(pointer).is_none() {
            new["layout"]["date_format"] = value;
        }
        let refused = admin.post("/api/payroll-layouts", new).await;
        let error = refused.problem(422, "invalid")["errors"][0].clone();
        assert!(
            error["field"].as_str().unwrap().starts_with(field),
            "{error}"
        );
        assert_eq!(error["code"], code, "{error}");
    }
}

#[tokio::test]
async fn payroll_pays_approved_overtime_and_what_changed_after_a_lock() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let rules = json!({ "rules": { "overtime_day": "8h" }, "overtime_approval": true });
    let path = format!("/api/sites/{}/rules/2026-01-01", SiteId::DEFAULT);
    admin.put(&path, rules).await.expect(201);
    let figures = ["overtime", "regular", "worked"];
    let layout = json!({
        "per": "period",
        "columns": [{ "field": "wage_type" }, { "field": "quantity" }],
        "wage_types": figures.map(|name| json!({ "figure": name, "wage_type": name })),
    });
    let new = json!({ "name": "Office", "layout": layout });
    let added = admin.post("/api/payroll-layouts", new).await.expect(201);
    let layout = added["id"].as_str().unwrap();

    for (code, overtime, march, april) in [
        // Overtime that was not paid is not taken back.
        (
            "1",
            false,
            ["regular,8.00", "worked,8.00"].as_slice(),
            ["regular,8.00", "worked,8.00"].as_slice(),
        ),
        (
            "2",
            true,
            &["overtime,2.00", "regular,8.00", "worked,10.00"],
            &["overtime,-1.00", "regular,8.00", "worked,7.00"],
        ),
    ] {
        let employee = admin.add_employee(&format!("Person {code}"), code).await;
        punch(&admin, &employee, "in", "2026-03-02T08:00:00Z").await;
        let out = punch(&admin, &employee, "out", "2026-03-02T18:00:00Z").await;
        punch(&admin, &employee, "in", "2026-04-01T08:00:00Z").await;
        punch(&admin, &employee, "out", "2026-04-01T16:00:00Z").await;
        let sheet = |from: &str| format!("/api/timesheets/{employee}:{from}");
        let approve = async |from: &str| {
            let digest = admin.get(&sheet(from)).await.expect(200)["digest"].clone();
            let body = json!({ "digest": digest, "overtime": overtime });
            let path = format!("{}/approve", sheet(from));
            admin.post(&path, body).await.expect(200);
        };
        let paid = async |dates: &str| {
            let query = format!("{dates}&layout={layout}&employee={employee}");
            let file = admin.get(&format!("/api/exports/payroll?{query}")).await;
            file.text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        approve("2026-03-01").await;
        let lock = format!("{}/lock", sheet("2026-03-01"));
        admin.post(&lock, json!({})).await.expect(200);
        assert_eq!(paid(MARCH).await, march, "{code}");

        let body = json!({
            "action": "move", "punch": out["punch"], "at": "2026-03-02T17:00:00Z",
            "reason": "Left earlier", "adjust": true,
        });
        let path = format!("/api/employees/{employee}/corrections");
        admin.post(&path, body).await.expect(201);
        assert_eq!(paid(MARCH).await, march, "{code}: locked");
        approve("2026-04-01").await;
        let dates = "from=2026-04-01&to=2026-04-30";
        assert_eq!(paid(dates).await, april, "{code}");
        // What is settled does not show as due anymore.
        let rows = rows(&admin, &format!("timesheets?{MARCH}&employee={employee}")).await;
        assert_eq!(rows[0]["adjusted_worked"], 0, "{code}");
    }
}

#[tokio::test]
async fn balances_are_those_before_and_after_the_dates() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    worked(&admin, "Ann", "A1", &default_site()).await;
    let worked = 6 * 3600 + 20 * 60 + 1;
    for (from, start) in [("2026-03-01", 0), ("2026-03-03", worked)] {
        let found = rows(&admin, &format!("balances?from={from}&to=2026-03-31")).await;
        let row = json!({
            "employee_code": "A1", "employee_name": "Ann", "site_name": "Main site",
            "from": from, "to": "2026-03-31", "balance_start": start, "balance_end": worked,
            "change": worked - start,
        });
        assert_eq!(json!(found), json!([row]));
    }
    let refused = admin
        .get(&format!("/api/exports/balances?{MARCH}&only=approved"))
        .await;
    assert_eq!(refused.fields(), ["only"]);
}
