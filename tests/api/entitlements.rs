//! Entitlements to leave, and what is left of them.

use serde_json::{Value, json};

use crate::app::{Client, TestApp};

/// A planned employee and two kinds of leave.
struct Office {
    admin: Client,
    employee: String,
    vacation: Value,
    hours: Value,
}

impl Office {
    /// Plans shifts of eight hours from Monday to Friday.
    async fn open(app: &TestApp) -> Self {
        let admin = app.admin().await;
        let employee = admin.add_employee("Ann", "E7").await;
        let site = rollcall::domain::ids::SiteId::DEFAULT.to_string();
        let shift = json!({ "site": site, "name": "Day", "from": "08:00", "to": "16:00" });
        let shift = admin.post("/api/shifts", shift).await.expect(201)["id"].clone();
        let days = json!([shift, shift, shift, shift, shift, null, null]);
        // A Monday.
        let cycle = json!({ "site": site, "name": "Week", "starts": "2026-01-05", "shifts": days });
        let cycle = admin.post("/api/cycles", cycle).await.expect(201)["id"].clone();
        let plan = json!({ "employees": [employee], "cycle": cycle, "from": "2026-01-01" });
        admin.post("/api/assignments", plan).await.expect(201);
        let kind = async |body: Value| {
            let made = admin.post("/api/leave-kinds", body).await.expect(201);
            made["id"].clone()
        };
        let vacation = kind(json!({ "name": "Vacation", "paid": true })).await;
        let hours = json!({ "name": "Flex", "paid": true, "unit": "hours", "limited": true });
        Self {
            hours: kind(hours).await,
            vacation,
            employee,
            admin,
        }
    }

    async fn leave(
        &self,
        kind: &Value,
        from: &str,
        to: &str,
        approved: bool,
    ) -> crate::app::Answer {
        let body = json!({
            "employee": self.employee, "kind": kind, "from": from, "to": to, "approved": approved,
        });
        self.admin.post("/api/leave", body).await
    }

    async fn balance(&self, kind: &Value) -> Value {
        let path = format!(
            "/api/employees/{}/leave-balance?date=2026-03-10",
            self.employee
        );
        let answer = self.admin.get(&path).await.expect(200);
        let mut items = answer["items"].as_array().unwrap().iter();
        items.find(|item| item["kind"] == *kind).unwrap().clone()
    }

    fn entitlement(&self, kind: &Value, amount: f64, carried: f64) -> Value {
        json!({
            "employee": self.employee, "kind": kind, "from": "2026-01-01", "to": "2026-12-31",
            "amount": amount, "carried": carried,
        })
    }
}

#[tokio::test]
async fn leave_uses_up_what_an_employee_is_entitled_to() {
    let app = TestApp::start().await;
    let office = Office::open(&app).await;
    let (admin, vacation) = (&office.admin, &office.vacation);
    // Without an entitlement nothing can be exceeded.
    let taken = office
        .leave(vacation, "2026-03-09", "2026-03-10", true)
        .await;
    assert_eq!(taken.expect(201)["exceeds"], false);
    let none = office.balance(vacation).await;
    assert_eq!((&none["left"], &none["taken"]), (&Value::Null, &json!(2.0)));

    let entitlement = office.entitlement(vacation, 5.0, 1.5);
    let made = admin.post("/api/entitlements", entitlement.clone()).await;
    let made = made.expect(201);
    let again = admin.post("/api/entitlements", entitlement).await;
    let problem = again.problem(422, "invalid");
    assert_eq!(problem["errors"][0]["code"], "overlapping_entitlement");

    // From Friday to Monday are two days.
    let later = office
        .leave(vacation, "2026-03-13", "2026-03-16", true)
        .await;
    assert_eq!(later.expect(201)["exceeds"], false);
    let half = json!({
        "employee": office.employee, "kind": vacation, "from": "2026-04-01", "part": "first_half",
    });
    admin.post("/api/leave", half).await.expect(201);
    let balance = office.balance(vacation).await;
    let numbers = [
        "entitled",
        "carried",
        "taken",
        "planned",
        "requested",
        "left",
    ];
    let numbers = numbers.map(|name| balance[name].as_f64().unwrap());
    assert_eq!(numbers, [5.0, 1.5, 2.0, 2.0, 0.5, 2.0]);
    assert_eq!(balance["unit"], "days");

    let three = office
        .leave(vacation, "2026-05-04", "2026-05-06", false)
        .await;
    assert_eq!(three.expect(201)["exceeds"], true);
    assert_eq!(office.balance(vacation).await["left"], -1.0);
    let path = format!("/api/entitlements/{}", made["id"].as_str().unwrap());
    let more = admin
        .patch(&path, json!({ "amount": 10, "carried": null }))
        .await;
    let more = more.expect(200);
    assert_eq!(
        (&more["amount"], &more["carried"]),
        (&json!(10.0), &json!(0.0))
    );
    assert_eq!(office.balance(vacation).await["left"], 2.5);

    let listed = format!(
        "/api/entitlements?employee={}&from=2026-07-01",
        office.employee
    );
    let listed = admin.get(&listed).await.expect(200);
    assert_eq!(listed["items"], json!([more]));
    let wrong = admin
        .patch(&path, json!({ "amount": 1.005, "to": "2025-12-31" }))
        .await;
    assert_eq!(wrong.fields(), ["amount", "to"]);
    assert_eq!(admin.delete(&path).await.status, 204);
    admin.delete(&path).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_limited_kind_is_refused_beyond_what_is_left() {
    let app = TestApp::start().await;
    let office = Office::open(&app).await;
    let (admin, hours) = (&office.admin, &office.hours);
    let refused = office.leave(hours, "2026-03-09", "2026-03-09", false).await;
    refused.problem(409, "leave_exceeded");
    let made = admin
        .post("/api/entitlements", office.entitlement(hours, 12.0, 0.0))
        .await;
    made.expect(201);
    let day = office.leave(hours, "2026-03-09", "2026-03-09", false).await;
    assert_eq!(day.expect(201)["exceeds"], false);
    let balance = office.balance(hours).await;
    assert_eq!(
        (&balance["requested"], &balance["left"]),
        (&json!(8.0), &json!(4.0))
    );
    let refused = office.leave(hours, "2026-03-11", "2026-03-11", true).await;
    refused.problem(409, "leave_exceeded");
    // A weekend uses nothing.
    let weekend = office.leave(hours, "2026-03-14", "2026-03-15", true).await;
    assert_eq!(weekend.expect(201)["exceeds"], false);

    let path = format!("/api/leave-kinds/{}", hours.as_str().unwrap());
    let fixed = admin.patch(&path, json!({ "unit": "days" })).await;
    let problem = fixed.problem(422, "invalid");
    assert_eq!(problem["errors"][0]["code"], "counted");
    let renamed = admin.patch(&path, json!({ "limited": false })).await;
    assert_eq!(renamed.expect(200)["limited"], false);
    let beyond = office.leave(hours, "2026-03-11", "2026-03-11", true).await;
    assert_eq!(beyond.expect(201)["exceeds"], true);
}
