//! Employees.

use std::collections::BTreeSet;

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
    let new = json!({"name": " Grace Hopper ", "code": "E7", "site": "Harbour"});
    let added = admin.post("/api/employees", new).await;
    let mut employee = added.expect(201);
    let path = format!("/api/employees/{}", employee["id"].as_str().unwrap());
    assert_eq!(added.header("location"), path);
    assert!(employee["created_at"].as_str().unwrap().ends_with('Z'));
    let expected = json!({
        "id": employee["id"], "name": "Grace Hopper", "code": "E7", "site": "Harbour",
        "active": true, "enrolled": false, "enroll_again": false, "templates": 0,
        "consent": null,
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
        (&employee["active"], &employee["site"]),
        (&json!(false), &Value::Null)
    );
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
async fn every_wrong_field_is_named_at_once() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let bad = json!({"name": "", "code": "x".repeat(65), "site": "a\u{202e}b"});
    let answer = admin.post("/api/employees", bad).await;
    answer.problem(422, "invalid");
    assert_eq!(answer.fields(), ["name", "code", "site"]);
    let path = format!("/api/employees/{}", admin.add_employee("A", "1").await);
    let bad = json!({"name": "\u{7}", "site": ""});
    assert_eq!(admin.patch(&path, bad).await.fields(), ["name", "site"]);
    admin
        .get("/api/employees/nonsense")
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn a_list_comes_in_pages_that_together_hold_everybody_once() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for number in 0..7 {
        // Two share a name: the cursor must not lose the second.
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
    for (name, code, site) in [
        ("Ada", "X1", "Harbour"),
        ("Bea", "X2", "Hill"),
        ("Cleo", "Y1", "Hill"),
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
    assert_eq!(list("site=Hill").await, "Bea Cleo");
    assert_eq!(list("site=Hill&q=y").await, "Cleo");
    assert_eq!(list("active=false").await, "");
    assert_eq!(list("q=.%2A").await, "", "no pattern");
    assert_eq!(list("q=%25").await, "", "no pattern");
}
