//! Imports of lists: checked as a whole, written as a whole, and harmless when repeated.

use serde_json::{Value, json};

use crate::app::{Answer, Client, TestApp};

/// Sends a list.
async fn import(client: &Client, what: &str, list: &str, dry_run: bool) -> Answer {
    let path = format!("/api/imports/{what}?dry_run={dry_run}");
    client.post_bytes(&path, "text/csv", list.to_owned()).await
}

/// Imports a list without errors: first without writing it, then, then again.
async fn imported(client: &Client, what: &str, list: &str) {
    let rows = list.lines().count() as u64 - 1;
    let report = |dry_run, existing, written| {
        json!({
            "dry_run": dry_run, "rows": rows, "existing": existing, "written": written, "errors": [],
        })
    };
    let checked = import(client, what, list, true).await.expect(200);
    assert_eq!(checked, report(true, 0, 0), "{what}");
    let written = import(client, what, list, false).await.expect(200);
    assert_eq!(written, report(false, 0, rows), "{what}");
    let again = import(client, what, list, false).await.expect(200);
    assert_eq!(again, report(false, rows, 0), "{what}");
}

/// Checks the errors of a list, as line, column and the beginning of the reason.
async fn refused(client: &Client, what: &str, list: &str, expected: &[(u64, &str, &str)]) {
    let checked = import(client, what, list, true).await.expect(200);
    let refused = import(client, what, list, false).await;
    let problem = refused.problem(422, "import_refused");
    assert_eq!(problem["report"]["errors"], checked["errors"]);
    assert_eq!(problem["report"]["written"], 0);
    let errors = checked["errors"].as_array().unwrap();
    let found = errors.iter().map(|error| {
        let text = |name: &str| error[name].as_str().unwrap_or("-").to_owned();
        (
            error["line"].as_u64().unwrap(),
            text("column"),
            text("reason"),
        )
    });
    let found: Vec<_> = found.collect();
    assert_eq!(found.len(), expected.len(), "{what}: {found:?}");
    for ((line, column, reason), (expected_line, expected_column, begins)) in
        found.iter().zip(expected)
    {
        assert_eq!((line, column.as_str()), (expected_line, *expected_column));
        assert!(reason.starts_with(begins), "{what} {line}: {reason}");
    }
}

#[tokio::test]
async fn an_office_begins_with_lists() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let people = "name;code;employed_from\nAnn;E1;01.01.2026\nBen;E2;\n";
    imported(&admin, "employees", people).await;
    let shifts = "name,from,to,unpaid_break,flexible,work\nDay,8:00,16:30,0:30,,\n\
                  Night,22:00,6:00,,,\nAny,6:00,20:00,,yes,8h\n";
    imported(&admin, "shifts", shifts).await;
    let cycle = json!({
        "site": rollcall::domain::ids::SiteId::DEFAULT.to_string(), "name": "Rest",
        "starts": "2026-01-05", "shifts": [null],
    });
    admin.post("/api/cycles", cycle).await.expect(201);
    let assignments = "code,cycle,from,to,date,shifts\nE1,rest,2026-01-01,,,\n\
                       E1,,,,2026-03-02,day\nE1,,,,2026-03-03,-\nE2,,,,2026-03-02,Night\n";
    imported(&admin, "assignments", assignments).await;
    let holidays = "calendar,date,name,part\nBerlin,2026-03-08,Women's Day,\n\
                    Berlin,2026-12-24,Christmas Eve,half\n";
    imported(&admin, "holidays", holidays).await;
    let kind = json!({ "name": "Vacation", "paid": true });
    admin.post("/api/leave-kinds", kind).await.expect(201);
    let leave = "code,kind,from,to,part,hours_from,hours_to,reason\n\
                 E1,vacation,2026-03-02,2026-03-03,,,,\nE2,Vacation,2026-03-02,,hours,4:00,6:00,Doctor\n";
    imported(&admin, "leave", leave).await;
    let openings = "code;date;hours;reason\ne1;01.03.2026;12,5;\nE2;2026-03-01;-3:15;Old system\n";
    imported(&admin, "opening-balances", openings).await;
    let punches = "code,date,time,kind\nE2,2026-03-02,22:05,in\nE2,2026-03-03,06:00,out\n\
                   E1,2026-03-05,08:00,in\nE1,2026-03-05,09:00:30,out\n";
    imported(&admin, "punches", punches).await;

    let employees = admin.get("/api/employees").await.expect(200);
    let id = |code: &str| {
        let mut items = employees["items"].as_array().unwrap().iter();
        let found = items.find(|item| item["code"] == code).unwrap();
        found["id"].as_str().unwrap().to_owned()
    };
    let days = async |code: &str, from: &str, to: &str| {
        let path = format!("/api/employees/{}/days?from={from}&to={to}", id(code));
        admin.get(&path).await.expect(200)
    };
    let of_ann = days("E1", "2026-03-01", "2026-03-05").await;
    let figure = |name: &str| {
        let days = of_ann["days"].as_array().unwrap().iter();
        days.map(|day| day[name].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(figure("planned"), [0, 8 * 3600, 0, 0, 0]);
    assert_eq!(figure("leave"), [0, 8 * 3600, 0, 0, 0]);
    assert_eq!(figure("worked"), [0, 0, 0, 0, 3630]);
    let start = 12 * 3600 + 1800;
    assert_eq!(
        of_ann["running_balance"],
        json!({ "start": start, "end": start + 3630 })
    );
    let of_ben = days("E2", "2026-03-02", "2026-03-02").await;
    let night = &of_ben["days"][0];
    assert_eq!(
        (&night["worked"], &night["leave"]),
        (&json!(28_500), &json!(7200))
    );
    let path = format!("/api/corrections?state=approved&employee={}", id("E2"));
    let corrections = admin.get(&path).await.expect(200);
    assert_eq!(corrections["items"][0]["reason"], "Imported from a list");
}

#[tokio::test]
async fn every_error_has_a_line_and_a_column_and_nothing_is_written() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    admin.add_employee("Ann", "E1").await;
    let people = "name,code,site\nBen,E1,\n,E2,Nowhere\nCem,E3,\nCem,e3,\nDee\n";
    refused(
        &admin,
        "employees",
        people,
        &[
            (2, "code", "belongs to Ann"),
            (3, "name", "must not be empty"),
            (3, "site", "there is no site Nowhere"),
            (5, "code", "is the same as on line 4"),
            (6, "-", "has 1 fields"),
        ],
    )
    .await;
    let none = admin.get("/api/employees?q=E3").await.expect(200);
    assert_eq!(none["items"], json!([]));
    let shifts =
        "name,from,to,unpaid_break,work\nA,8,16:00,,\nB,08:00,09:00,1h,\nC,08:00,09:00,,1h\n";
    refused(
        &admin,
        "shifts",
        shifts,
        &[
            (2, "from", "must be a time of the day"),
            (3, "unpaid_break", "does not fit"),
            (4, "work", "only a flexible shift"),
        ],
    )
    .await;
    imported(
        &admin,
        "shifts",
        "name,from,to\nDay,08:00,16:00\nLate,14:00,22:00\n",
    )
    .await;
    let other = "name,from,to\nDay,08:00,17:00\n";
    refused(
        &admin,
        "shifts",
        other,
        &[(2, "name", "the site has another shift")],
    )
    .await;
    let assignments = "code,date,shifts,cycle,from\nE9,2026-03-02,Day,,\nE1,2026-03-02,Night,,\n\
                       E1,2026-03-03,Day; Late,,\nE1,,,Nights,2026-03-01\nE1,2026-03-02,,,\n";
    refused(
        &admin,
        "assignments",
        assignments,
        &[
            (2, "code", "belongs to no employee"),
            (3, "shifts", "there is no shift Night"),
            (4, "shifts", "Day on 2026-03-03 overlaps Late"),
            (5, "cycle", "there is no cycle Nights"),
            (6, "shifts", "must not be empty"),
        ],
    )
    .await;
    let holidays =
        "calendar,date,name\nBerlin,2026-02-30,A\nBerlin,2026-03-08,B\nBerlin,2026-03-08,C\n";
    refused(
        &admin,
        "holidays",
        holidays,
        &[
            (2, "date", "must be a date"),
            (4, "date", "the calendar has B then"),
        ],
    )
    .await;
    let kind = json!({ "name": "Vacation", "paid": true });
    admin.post("/api/leave-kinds", kind).await.expect(201);
    let leave = "code,kind,from,to,part\nE1,Sick,2026-03-02,,\nE1,Vacation,2026-03-02,2026-03-01,\n\
                 E1,Vacation,2026-03-02,2026-03-04,\nE1,Vacation,2026-03-04,,\nE1,Vacation,2026-03-09,,hours\n";
    refused(
        &admin,
        "leave",
        leave,
        &[
            (2, "kind", "there is no kind of leave Sick"),
            (3, "to", "must not be before"),
            (5, "from", "overlaps leave from 2026-03-02"),
            (6, "hours_from", "must not be empty"),
            (6, "hours_to", "must not be empty"),
        ],
    )
    .await;
    let openings = "code,date,hours\nE1,2026-03-01,ten\nE1,2026-03-02,1\nE1,2026-03-02,2\n";
    refused(
        &admin,
        "opening-balances",
        openings,
        &[
            (2, "hours", "must be hours"),
            (4, "date", "is the same as on line 3"),
        ],
    )
    .await;
    let punches = "code,date,time,kind\nE1,2999-01-01,08:00,in\nE1,2026-03-02,8 am,in\n\
                   E1,2026-03-02,08:00,come\nE1,2026-03-02,08:00,in\nE1,2026-03-02,8:00,in\n";
    refused(
        &admin,
        "punches",
        punches,
        &[
            (2, "date", "must not be in the future"),
            (3, "time", "must be a time of the day"),
            (4, "kind", "must be one of in, out"),
            (6, "time", "is the same as on line 5"),
        ],
    )
    .await;

    let wrong = import(&admin, "people", "a,b\n", true).await;
    wrong.problem(404, "not_found");
    let wrong = import(&admin, "punches", "code,kind\nE1,in\n", true).await;
    wrong.problem(422, "invalid");
    let json = admin.post("/api/imports/punches", json!({})).await;
    json.problem(415, "unsupported_type");
}

#[tokio::test]
async fn nothing_is_imported_into_a_locked_period() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E1").await;
    let night = "code,date,time,kind\nE1,2026-03-31,22:00,in\nE1,2026-04-01,06:00,out\n";
    imported(&admin, "punches", night).await;
    let path = format!("/api/timesheets/{ann}:2026-03-01");
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

    let list = "code,date,time,kind\nE1,2026-03-20,08:00,in\nE1,2026-04-02,08:00,in\n";
    refused(
        &admin,
        "punches",
        list,
        &[(2, "date", "lies in a locked period")],
    )
    .await;
    // It would end the night earlier.
    let list = "code,date,time,kind\nE1,2026-04-01,05:00,out\n";
    refused(
        &admin,
        "punches",
        list,
        &[(2, "date", "would change a day of a locked")],
    )
    .await;
    let list = "code,date,hours\nE1,2026-03-31,5\n";
    refused(
        &admin,
        "opening-balances",
        list,
        &[(2, "date", "lies in a locked period")],
    )
    .await;
    // The locked night is on record, and April is open.
    let list = format!("{night}E1,2026-04-02,08:00,in\nE1,2026-04-02,16:00,out\n");
    let written = import(&admin, "punches", &list, false).await.expect(200);
    let counts = (&written["existing"], &written["written"]);
    assert_eq!(counts, (&Value::from(2), &Value::from(2)));
}
