//! Employees.

use std::collections::BTreeSet;

use reqwest::Method;
use rollcall::domain::ids::SiteId;
use serde_json::{Value, json};

use crate::app::TestApp;

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn an_employee_is_added_changed_listed_and_deleted() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let harbor = admin.add_site("Harbor", "Europe/Berlin").await;
    let new = json!({"name": " Grace Hopper ", "code": "E7", "site": harbor});
    let added = admin.post("/api/employees", new).await;
    let mut employee = added.expect(201);
    let path = format!("/api/employees/{}", employee["id"].as_str().unwrap());
    assert_eq!(added.header("location"), path);
    assert!(employee["created_at"].as_str().unwrap().ends_with('Z'));
    let expected = json!({
        "id": employee["id"], "name": "Grace Hopper", "code": "E7", "site": harbor,
        "site_name": "Harbor", "active": true, "employed_from": null, "employed_until": null, "enrolled": false, "enroll_again": false, "templates": 0,
        "consent": null, "erasure_requested_at": null,
        "created_at": employee["created_at"],
    });
    assert_eq!(employee, expected);
    assert_eq!(admin.get(&path).await.expect(200), expected);

    let taken = json!({"name": "Eileen", "code": "e7"});
    admin
        .post("/api/employees", taken)
        .await
        .problem(409, "code_taken");

    employee = admin
        .patch(&path, json!({"active": false, "site": null}))
        .await
        .expect(200);
    assert_eq!(
        (&employee["active"], &employee["site_name"]),
        (&json!(false), &json!("Main site"))
    );
    assert_eq!(employee["site"], SiteId::DEFAULT.to_string());
    assert_eq!(employee["name"], "Grace Hopper");
    let renamed = admin
        .patch(&path, json!({"name": "Grace", "code": "E8"}))
        .await;
    assert_eq!(renamed.expect(200)["code"], "E8");
    admin.add_employee("Eileen", "E7").await;
    admin
        .patch(&path, json!({"code": "E7"}))
        .await
        .problem(409, "code_taken");

    admin.delete(&path).await.expect(204);
    admin.get(&path).await.problem(404, "not_found");
    admin.delete(&path).await.problem(404, "not_found");
    admin
        .patch(&path, json!({"name": "x"}))
        .await
        .problem(404, "not_found");
    let list = admin.get("/api/employees").await.expect(200);
    assert_eq!(names(&list), ["Eileen"]);
}

#[tokio::test]
async fn a_null_puts_a_field_back_to_its_default() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let harbor = admin.add_site("Harbor", "Europe/Berlin").await;
    let new = json!({"name": "Grace", "code": "E7", "site": harbor, "active": false});
    let added = admin.post("/api/employees", new).await.expect(201);
    assert_eq!(added["active"], false);
    let path = format!("/api/employees/{}", added["id"].as_str().unwrap());
    let patch = json!({"site": null, "active": null});
    let changed = admin.patch(&path, patch).await.expect(200);
    assert_eq!(changed["site"], SiteId::DEFAULT.to_string());
    assert_eq!(changed["active"], true, "it is the default");
    assert_eq!(changed["name"], "Grace");
    let merge = admin
        .request(Method::PATCH, &path)
        .header("content-type", "application/merge-patch+json")
        .body(r#"{"name": "Grace Hopper"}"#);
    assert_eq!(admin.send(merge).await.expect(200)["name"], "Grace Hopper");
}

#[tokio::test]
async fn all_invalid_fields_are_reported_at_once() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let bad = json!({"name": "", "code": "x".repeat(65), "site": "Harbor"});
    let answer = admin.post("/api/employees", bad).await;
    answer.problem(422, "invalid");
    assert_eq!(answer.fields(), ["name", "code", "site"]);
    let path = format!("/api/employees/{}", admin.add_employee("A", "1").await);
    let bad = json!({"name": "\u{7}", "site": ""});
    assert_eq!(admin.patch(&path, bad).await.fields(), ["name", "site"]);
    let unknown = json!({"nickname": "Amazing Grace"});
    let refused = admin.patch(&path, unknown).await;
    assert_eq!(refused.fields(), ["nickname"]);
    assert_eq!(refused.json()["errors"][0]["code"], "unknown_field");
    let without = json!({"code": null});
    let refused = admin.patch(&path, without).await;
    assert_eq!(refused.fields(), ["code"]);
    assert_eq!(refused.json()["errors"][0]["code"], "required");
    admin
        .get("/api/employees/nonsense")
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn the_pages_of_a_list_contain_every_employee_once() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for number in 0..7 {
        // Two employees share a name: the cursor must not skip the second.
        let name = format!("Person {}", number / 2);
        admin.add_employee(&name, &format!("C{number}")).await;
    }
    let (mut seen, mut cursor, mut pages) = (BTreeSet::new(), String::new(), 0);
    loop {
        let path = format!("/api/employees?limit=3&cursor={cursor}");
        let list = admin.get(&path).await.expect(200);
        for item in list["items"].as_array().unwrap() {
            assert!(seen.insert(item["code"].as_str().unwrap().to_owned()));
        }
        pages += 1;
        let Some(next) = list["next"].as_str() else {
            break;
        };
        cursor = next.to_owned();
    }
    assert_eq!((seen.len(), pages), (7, 3));

    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=AAAA", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=WyJhIiwiYiJd", "cursor"),
        ("site=%20", "site"),
    ] {
        let answer = admin.get(&format!("/api/employees?{query}")).await;
        answer.problem(422, "invalid");
        assert_eq!(answer.fields(), [field], "{query}");
    }
    let unreadable = admin.get("/api/employees?limit=many").await;
    unreadable.problem(400, "malformed");
}

#[tokio::test]
async fn a_list_is_filtered_by_text_site_and_activity() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let hill = &admin.add_site("Hill", "UTC").await;
    let main = &SiteId::DEFAULT.to_string();
    for (name, code, site) in [
        ("Ada", "X1", main),
        ("Bea", "X2", hill),
        ("Cleo", "Y1", hill),
    ] {
        let body = json!({"name": name, "code": code, "site": site});
        admin.post("/api/employees", body).await.expect(201);
    }
    let list = async |query: &str| {
        let list = admin
            .get(&format!("/api/employees?{query}"))
            .await
            .expect(200);
        names(&list).join(" ")
    };
    assert_eq!(list("q=x").await, "Ada Bea");
    assert_eq!(list("q=EA").await, "Bea");
    assert_eq!(list(&format!("site={hill}")).await, "Bea Cleo");
    assert_eq!(list(&format!("site={hill}&q=y")).await, "Cleo");
    assert_eq!(list(&format!("site={main}")).await, "Ada");
    assert_eq!(list("active=false").await, "");
    app.enrolled(&admin).await;
    assert_eq!(list("enrolled=false").await, "Ada Bea Cleo");
    assert_eq!(list("enrolled=true").await, "Barack Obama");
    assert_eq!(list("enrolled=true&q=x").await, "");
    assert_eq!(list("q=.%2A").await, "", "not a pattern");
    assert_eq!(list("q=%25").await, "", "not a pattern");
}

#[tokio::test]
async fn employees_have_dates_of_employment() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let path = format!("/api/employees/{}", admin.add_employee("Ann", "E7").await);
    let dates = json!({"employed_from": "2026-03-02", "employed_until": "2026-03-31"});
    let changed = admin.patch(&path, dates.clone()).await.expect(200);
    assert_eq!(changed["employed_from"], dates["employed_from"]);
    assert_eq!(changed["employed_until"], dates["employed_until"]);
    for (patch, code) in [
        (json!({"employed_until": "2026-03-01"}), "before_start"),
        (json!({"employed_until": "31.3.2026"}), "not_a_date"),
    ] {
        let problem = admin.patch(&path, patch).await.problem(422, "invalid");
        assert_eq!(problem["errors"][0]["field"], "employed_until");
        assert_eq!(problem["errors"][0]["code"], code);
    }
    let removed = admin.patch(&path, json!({"employed_from": null})).await;
    assert_eq!(removed.expect(200)["employed_from"], Value::Null);

    let board = async |date: &str| {
        let board = admin.get(&format!("/api/days?date={date}")).await;
        board.expect(200)["items"].as_array().unwrap().len()
    };
    assert_eq!(board("2026-03-31").await, 1);
    assert_eq!(board("2026-04-01").await, 0);
}
