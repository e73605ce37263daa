//! What an account may see whose grants do not cover everything: in lists, by ID, with filters and
//! cursors, and as it happens.

use std::{collections::BTreeSet, time::Duration};

use jiff::SignedDuration;
use reqwest::Method;
use rollcall::{
    domain::{
        accounts::Actor,
        grants::{Access, Grant, Role, Scope},
        ids::SiteId,
        text::Name,
    },
    service::{devices::DeviceSettings, feed::News},
};
use serde_json::{Value, json};

use crate::{
    app::{Client, Kiosk, PASSWORD, TestApp, images, photo},
    places::{Of, Places},
};

/// Returns the IDs in a list, read in pages of one.
async fn listed(client: &Client, path: &str) -> BTreeSet<String> {
    let (mut ids, mut cursor) = (BTreeSet::new(), String::new());
    let separator = if path.contains('?') { '&' } else { '?' };
    loop {
        let page = client
            .get(&format!("{path}{separator}limit=1{cursor}"))
            .await;
        let page = page.expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 1);
        for item in items {
            let new = ids.insert(item["id"].as_str().unwrap().to_owned());
            assert!(new, "{path} lists {item} twice");
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

/// Adds three records of a kind at each site; the IDs of those at home and elsewhere.
async fn three_each(app: &TestApp, places: &Places, of: Of) -> [BTreeSet<String>; 2] {
    let [mut home, mut elsewhere] = [BTreeSet::new(), BTreeSet::new()];
    for _ in 0..3 {
        home.insert(places.add(app, of, places.home, false).await);
        elsewhere.insert(places.add(app, of, places.elsewhere, false).await);
    }
    [home, elsewhere]
}

async fn manager_of(app: &TestApp, site: SiteId) -> Client {
    app.grant(Role::Manager, Scope::Site(site)).await
}

#[tokio::test]
async fn a_site_manager_sees_what_belongs_to_the_site_and_nothing_else() {
    let app = TestApp::start().await;
    let places = Places::in_app(&app).await;
    let manager = manager_of(&app, places.home).await;
    let admin = app.admin().await;
    for (of, path, suffix) in [
        (Of::Employee, "/api/employees", ""),
        (Of::Employee, "/api/employees", "/templates"),
        (Of::PunchPicture, "/api/punches", ""),
        (Of::PunchPicture, "/api/punches", "/picture"),
        (Of::Device, "/api/devices", ""),
        (Of::Camera, "/api/cameras", ""),
        (Of::Camera, "/api/cameras", "/faces"),
        (Of::UnknownFace, "/api/unknown-faces", "/picture"),
    ] {
        let before = listed(&manager, path).await;
        let [home, elsewhere] = three_each(&app, &places, of).await;
        let after = listed(&manager, path).await;
        assert_eq!(&after - &before, home, "{path}");
        let all = listed(&admin, path).await;
        assert!(
            all.is_superset(&elsewhere) && all.is_superset(&home),
            "{path}"
        );
        // Devices and unknown faces have no address of their own to read.
        if of == Of::Device {
            continue;
        }
        for (ids, status) in [(&home, 200), (&elsewhere, 404)] {
            for id in ids {
                let answer = manager.get(&format!("{path}/{id}{suffix}")).await;
                assert_eq!(
                    answer.status, status,
                    "{path}/{id}{suffix}: {}",
                    answer.text
                );
            }
        }
    }
    let sites = listed(&manager, "/api/sites").await;
    assert_eq!(sites, BTreeSet::from([places.home.to_string()]));
}

#[tokio::test]
async fn no_filter_shows_a_site_manager_more() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let places = Places::in_app(&app).await;
    let manager = manager_of(&app, places.home).await;
    for of in [Of::Employee, Of::Punch, Of::Device, Of::Camera] {
        three_each(&app, &places, of).await;
    }
    let elsewhere = places.elsewhere;
    for path in ["employees", "punches", "devices", "cameras"] {
        let of_site = listed(&manager, &format!("/api/{path}?site={elsewhere}")).await;
        assert_eq!(of_site, BTreeSet::new(), "{path}");
        let of_home = listed(&manager, &format!("/api/{path}?site={}", places.home)).await;
        assert_eq!(of_home.len(), 3, "{path}");
        assert_eq!(of_home, listed(&manager, &format!("/api/{path}")).await);
    }
    assert_eq!(
        listed(&manager, "/api/employees?q=own").await,
        BTreeSet::new()
    );
    assert_eq!(
        listed(&manager, "/api/employees?q=ann&active=true")
            .await
            .len(),
        3
    );

    // The punches of a person of the site are seen with the person, wherever they were made.
    let ann = places.add(&app, Of::Employee, places.home, false).await;
    let mut away = crate::records::punch(ann.parse().unwrap(), crate::records::device_id(), 99, 0);
    away.site = elsewhere;
    app.stores.punches.append(&away).await.unwrap();
    let away = away.id.to_string();
    let of_ann = listed(&manager, &format!("/api/punches?employee={ann}")).await;
    assert_eq!(of_ann, BTreeSet::from([away.clone()]));
    let alone = manager.get(&format!("/api/punches/{away}")).await;
    assert_eq!(alone.expect(200)["site"], elsewhere.to_string());
    assert!(!listed(&manager, "/api/punches").await.contains(&away));

    // A visitor's punch here is seen, the same person's punch elsewhere is not.
    let (own, stores) = (places.own, &app.stores);
    let (mut punches, mut devices) = (Vec::new(), Vec::new());
    for (number, site) in [(100, places.home), (101, elsewhere)] {
        devices.push(crate::records::device_id());
        let mut one = crate::records::punch(own, devices[devices.len() - 1], number, 0);
        one.site = site;
        stores.punches.append(&one).await.unwrap();
        punches.push(one);
    }
    let of_visitor = listed(&manager, &format!("/api/punches?employee={own}")).await;
    assert_eq!(of_visitor, BTreeSet::from([punches[0].id.to_string()]));
    for (device, seen) in [(devices[0], 1), (devices[1], 0)] {
        let of_device = format!("/api/punches?device={device}");
        assert_eq!(listed(&manager, &of_device).await.len(), seen);
    }
    // What corrections did to it is on the timesheet, which is for the managers of the other site.
    let void = json!({ "action": "void", "punch": punches[0].id, "reason": "Not at work" });
    let corrections = format!("/api/employees/{own}/corrections");
    admin.post(&corrections, void).await.expect(201);
    let path = format!("/api/punches/{}", punches[0].id);
    let seen = manager.get(&path).await.expect(200);
    assert_eq!(
        (&seen["name"], &seen["corrected"]),
        (&json!("Own"), &json!(null))
    );
    let seen = admin.get(&path).await.expect(200);
    assert_eq!(seen["corrected"], json!({ "action": "void" }));
    let visitor = manager.get(&format!("/api/employees/{own}")).await;
    visitor.problem(404, "not_found");
}

#[tokio::test]
async fn two_sites_and_own_records_add_up() {
    let app = TestApp::start().await;
    let places = Places::in_app(&app).await;
    let third = crate::records::site("Tower");
    app.stores.sites.insert(&third).await.unwrap();
    let grant = |role, scope| Grant::new(role, scope).unwrap();
    let grants = [
        grant(Role::Manager, Scope::Site(places.home)),
        grant(Role::Viewer, Scope::Site(third.id)),
        grant(Role::Employee, Scope::Own),
    ];
    let access = Access::new(Some(places.own), grants).unwrap();
    let client = app.access(access).await;
    let home = places.add(&app, Of::Employee, places.home, false).await;
    let tower = places.add(&app, Of::Employee, third.id, false).await;
    places
        .add(&app, Of::Employee, places.elsewhere, false)
        .await;
    let expected = [home.clone(), tower.clone(), places.own.to_string()];
    assert_eq!(
        listed(&client, "/api/employees").await,
        BTreeSet::from(expected)
    );

    let punches = [
        places.add(&app, Of::Punch, places.home, false).await,
        places.add(&app, Of::Punch, third.id, false).await,
        places.add(&app, Of::Punch, places.elsewhere, true).await,
    ];
    places.add(&app, Of::Punch, places.elsewhere, false).await;
    assert_eq!(
        listed(&client, "/api/punches").await,
        BTreeSet::from(punches)
    );

    // What the viewer's grant covers is read, and not changed; nor are the own records.
    let rename = json!({ "name": "Anna" });
    let change = async |id: &str| {
        client
            .patch(&format!("/api/employees/{id}"), rename.clone())
            .await
    };
    assert_eq!(change(&home).await.expect(200)["name"], "Anna");
    for id in [tower, places.own.to_string()] {
        change(&id).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn nobody_is_added_or_moved_to_a_site_that_is_not_covered() {
    let app = TestApp::start().await;
    let places = Places::in_app(&app).await;
    let manager = manager_of(&app, places.home).await;
    let new = |site: SiteId| json!({ "name": "Ann", "code": "E1", "site": site.to_string() });
    let unknown = SiteId::new(uuid::Uuid::now_v7());
    // A site that the manager may not use is like one that does not exist.
    for site in [places.elsewhere, SiteId::DEFAULT, unknown] {
        let refused = manager.post("/api/employees", new(site)).await;
        let error = refused.problem(422, "invalid")["errors"][0].clone();
        assert_eq!(
            (&error["field"], &error["code"]),
            (&json!("site"), &json!("unknown_site"))
        );
    }
    let without = manager
        .post("/api/employees", json!({ "name": "Ann", "code": "E1" }))
        .await;
    assert_eq!(
        without.fields(),
        ["site"],
        "the default site is not covered"
    );

    let ann = manager
        .post("/api/employees", new(places.home))
        .await
        .expect(201);
    let address = format!("/api/employees/{}", ann["id"].as_str().unwrap());
    let move_to = |site: SiteId| json!({ "site": site.to_string() });
    let refused = manager.patch(&address, move_to(places.elsewhere)).await;
    refused.problem(422, "invalid");
    assert_eq!(refused.fields(), ["site"]);
    assert_eq!(
        manager.get(&address).await.expect(200)["site"],
        places.home.to_string()
    );
    // An admin moves them, and the manager no longer sees them.
    let admin = app.admin().await;
    admin
        .patch(&address, move_to(places.elsewhere))
        .await
        .expect(200);
    manager.get(&address).await.problem(404, "not_found");
    manager
        .patch(&address, json!({ "name": "X" }))
        .await
        .problem(404, "not_found");
}

/// Registers a kiosk at a site.
async fn kiosk_at(app: &TestApp, site: SiteId) -> Kiosk {
    let name = Name::parse("Door").unwrap();
    let new = DeviceSettings { name, site };
    let (device, token) = app
        .app
        .devices
        .register(Actor::Operator, new)
        .await
        .unwrap();
    Kiosk {
        id: device.id.to_string(),
        client: app.anybody().bearer(token.reveal()),
    }
}

/// Follows the events of an account.
struct Following {
    response: reqwest::Response,
    text: String,
}

impl Following {
    async fn begin(client: &Client) -> Self {
        Self::after(client, None).await
    }

    async fn after(client: &Client, last: Option<&str>) -> Self {
        let mut request = client.request(Method::GET, "/api/events");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let text = String::new();
        let mut following = Self { response, text };
        // The first line comes once nothing is missed any more.
        following.read().await;
        following
    }

    async fn read(&mut self) {
        let chunk = tokio::time::timeout(Duration::from_secs(60), self.response.chunk()).await;
        let chunk = chunk.expect("an event comes").unwrap().unwrap();
        self.text.push_str(std::str::from_utf8(&chunk).unwrap());
    }

    /// Returns the names and IDs of events until one of an ID comes.
    async fn until(&mut self, id: &str) -> Vec<(String, String)> {
        let mut events = Vec::new();
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name| event.lines().find_map(|line| line.strip_prefix(name));
                if let (Some(name), Some(data)) = (field("event: "), field("data: ")) {
                    let data: Value = serde_json::from_str(data).unwrap();
                    let of = data["id"].as_str().or(data["employee"].as_str());
                    let of = of.unwrap_or_default().to_owned();
                    events.push((name.to_owned(), of));
                }
                self.text = rest.to_owned();
            }
            if events.iter().any(|(_, of)| of == id) {
                return events;
            }
            self.read().await;
        }
    }
}

#[tokio::test]
async fn events_of_other_sites_and_other_employees_are_not_sent() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let places = Places::in_app(&app).await;
    let obama = app.enrolled(&admin).await;
    let manager = manager_of(&app, places.home).await;
    let (employee, other) = (
        app.employee(&obama).await,
        app.employee(&places.own.to_string()).await,
    );
    let mut of_manager = Following::begin(&manager).await;
    let mut of_employee = Following::begin(&employee).await;
    let mut of_other = Following::begin(&other).await;
    let mut of_admin = Following::begin(&admin).await;

    let yard = kiosk_at(&app, places.elsewhere).await;
    let harbor = kiosk_at(&app, places.home).await;
    let came = yard.punch(&photo("obama3")).await.expect(201)["punch"].clone();
    app.clock.advance(SignedDuration::from_mins(5));
    let went = harbor.punch(&photo("obama3")).await.expect(201)["punch"].clone();
    let (came, went) = (came["id"].as_str().unwrap(), went["id"].as_str().unwrap());
    // Changes of people, cameras and sites: elsewhere, then here.
    for (site, stream) in [(places.elsewhere, "far"), (places.home, "near")] {
        let (site, new) = (site.to_string(), json!({ "name": "Ann", "code": stream }));
        let ann = admin.post("/api/employees", new).await.expect(201);
        let address = format!("/api/employees/{}", ann["id"].as_str().unwrap());
        let away = json!({ "site": site, "active": false });
        admin.patch(&address, away).await.expect(200);
        app.streams.has(stream, crate::app::streams::Does::Nothing);
        let camera = json!({ "name": stream, "stream": stream, "site": site, "viewers": null });
        admin.post("/api/cameras", camera).await.expect(201);
        admin
            .patch(&format!("/api/sites/{site}"), json!({}))
            .await
            .expect(200);
    }
    let near = listed(
        &admin,
        &format!("/api/employees?site={}&active=false", places.home),
    )
    .await;
    let camera = listed(&admin, &format!("/api/cameras?site={}", places.home)).await;
    let home = places.home.to_string();
    let event = |name: &str, id: &str| (name.to_owned(), id.to_owned());
    let seen = of_manager.until(&home).await;
    let expected = [
        event("device", &harbor.id),
        event("punch", went),
        event("camera", camera.first().unwrap()),
        event("site", &home),
    ];
    let without_people = |events: &[(String, String)]| -> Vec<_> {
        let others = events.iter().filter(|(name, _)| name != "employee");
        others.cloned().collect()
    };
    assert_eq!(without_people(&seen), expected);
    // Of people too, only those of the site.
    for (_, id) in seen.iter().filter(|(name, _)| name == "employee") {
        assert_eq!(Some(id), near.first());
    }
    assert!(without_people(&of_admin.until(&home).await).len() > expected.len());

    // An employee hears of the own punches, wherever they were made, and of nothing else.
    let seen = of_employee.until(went).await;
    assert_eq!(
        without_people(&seen),
        [event("punch", came), event("punch", went)]
    );
    let last = places.add(&app, Of::Punch, places.home, true).await;
    app.feed.publish(News::Punch(last.parse().unwrap())).await;
    assert_eq!(of_other.until(&last).await, [event("punch", &last)]);

    // The same holds for what was missed.
    let begin = format!("{}-{}", 0, came);
    let mut again = Following::after(&manager, Some(&begin)).await;
    assert_eq!(again.until(went).await, [event("punch", went)]);
    // When the person belongs to the site, also of the punch elsewhere.
    let path = format!("/api/employees/{obama}");
    let moved = admin.patch(&path, json!({ "site": home })).await;
    moved.expect(200);
    let begin = format!("0-{}", uuid::Uuid::nil());
    let mut again = Following::after(&manager, Some(&begin)).await;
    let seen = without_people(&again.until(went).await);
    assert_eq!(seen, [event("punch", came), event("punch", went)]);
}

#[tokio::test]
async fn a_program_hears_only_of_the_sites_of_its_token() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let places = Places::in_app(&app).await;
    let new = json!({
        "name": "Board", "permissions": ["read"], "sites": [places.home.to_string()],
    });
    let mut following = Following::begin(&app.program(&admin, new).await).await;
    let far = places.add(&app, Of::Punch, places.elsewhere, false).await;
    app.feed.publish(News::Punch(far.parse().unwrap())).await;
    // Devices are for the permission survey, which the token does not have.
    kiosk_at(&app, places.home).await;
    let near = places.add(&app, Of::Punch, places.home, false).await;
    app.feed.publish(News::Punch(near.parse().unwrap())).await;
    let event = ("punch".to_owned(), near.clone());
    assert_eq!(following.until(&near).await, [event]);
}

#[tokio::test]
async fn a_board_hears_of_every_change_of_plans_and_timesheets() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let places = Places::in_app(&app).await;
    let (home, elsewhere) = (places.home.to_string(), places.elsewhere.to_string());
    let manager = manager_of(&app, places.home).await;
    let mut of_manager = Following::begin(&manager).await;
    let add = async |path: &str, new: Value| {
        let added = admin.post(path, new).await.expect(201);
        added["id"].as_str().unwrap_or_default().to_owned()
    };
    let mut people = Vec::new();
    for (code, site) in [("E1", &elsewhere), ("E2", &home)] {
        people.push(
            add(
                "/api/employees",
                json!({ "name": "Ann", "code": code, "site": site }),
            )
            .await,
        );
    }
    let (far, near) = (&people[0], &people[1]);
    // What may concern everybody names nobody.
    let rules = format!("/api/sites/{elsewhere}/rules/2027-01-01");
    admin.put(&rules, json!({ "rules": {} })).await.expect(201);
    let shift = json!({ "site": home, "name": "Early", "from": "06:00", "to": "14:00" });
    let shift = add("/api/shifts", shift).await;
    let holidays = json!({ "name": "Days", "sites": [], "days": [] });
    add("/api/holidays", holidays).await;
    let kind = add("/api/leave-kinds", json!({ "name": "Leave", "paid": true })).await;
    // An event about an employee goes only to accounts that may read the employee.
    for employee in [far, near] {
        let plan = json!({ "employees": [employee], "day": "2026-03-02", "shifts": [shift] });
        admin.post("/api/assignments", plan).await.expect(201);
        let leave = json!({ "employee": employee, "kind": kind, "from": "2026-03-03" });
        let leave = add("/api/leave", leave).await;
        let approve = format!("/api/leave/{leave}/approve");
        admin.post(&approve, json!({})).await.expect(200);
        let correction = json!({
            "action": "add", "kind": "in", "at": "2026-03-02T06:00:00Z", "reason": "Forgot",
        });
        let path = format!("/api/employees/{employee}/corrections");
        admin.post(&path, correction).await.expect(201);
        let submit = format!("/api/timesheets/{employee}:2026-03-01/submit");
        admin.post(&submit, json!({})).await.expect(200);
    }
    admin.delete(&rules).await.expect(204);
    let last = places.add(&app, Of::Punch, places.home, false).await;
    app.feed.publish(News::Punch(last.parse().unwrap())).await;
    let seen = of_manager.until(&last).await.into_iter();
    let seen: Vec<_> = seen
        .filter(|(name, _)| name == "plan" || name == "timesheet")
        .collect();
    let event = |name: &str, of: &str| (name.to_owned(), of.to_owned());
    let expected = [
        event("plan", ""),
        event("plan", ""),
        event("plan", ""),
        event("plan", ""),
        event("plan", near),
        event("plan", near),
        event("plan", near),
        event("timesheet", near),
        event("timesheet", near),
        event("plan", ""),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn who_is_identified_depends_on_who_asks() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let places = Places::in_app(&app).await;
    let obama = app.enrolled(&admin).await;
    let here = manager_of(&app, SiteId::DEFAULT).await;
    let elsewhere = manager_of(&app, places.home).await;
    let kiosk = kiosk_at(&app, places.home).await;
    for (client, known) in [
        (&admin, true),
        (&here, true),
        (&elsewhere, false),
        (&kiosk.client, true),
    ] {
        let answer = client
            .post_bytes("/api/identify", "image/jpeg", photo("obama3"))
            .await;
        let face = answer.expect(200)["faces"][0].clone();
        let (decision, count) = if known {
            ("identified", 1)
        } else {
            ("nobody", 0)
        };
        assert_eq!(face["decision"], decision);
        assert_eq!(face["candidates"].as_array().unwrap().len(), count);
        assert_eq!(face["employee"].as_str(), known.then_some(&*obama));
        assert_eq!(face["similarity"].is_null(), !known);

        let claim = images("image", &[photo("obama3")]).text("employee", obama.clone());
        let answer = client.post_form("/api/verify", claim).await;
        match known {
            true => assert_eq!(answer.expect(200)["match"], true),
            false => drop(answer.problem(422, "not_enrolled")),
        }
    }
    // So does how many people there are to be recognized.
    for (client, people) in [(&admin, 1), (&here, 1), (&elsewhere, 0)] {
        assert_eq!(
            client.get("/api/status").await.expect(200)["people"],
            people
        );
    }
}

#[tokio::test]
async fn an_employee_reads_the_own_record_punches_and_face() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let places = Places::in_app(&app).await;
    let obama = app.enrolled(&admin).await;
    let client = app.employee(&obama).await;
    let own = [app.kiosk().await.punch(&photo("obama3")).await.expect(201)["punch"]["id"].clone()];
    let stranger = places.add(&app, Of::Punch, SiteId::DEFAULT, false).await;
    let id = own[0].as_str().unwrap();
    assert_eq!(
        listed(&client, "/api/employees").await,
        BTreeSet::from([obama.clone()])
    );
    assert_eq!(
        listed(&client, "/api/punches").await,
        BTreeSet::from([id.to_owned()])
    );
    let employee = format!("/api/employees/{obama}");
    assert_eq!(
        client.get(&employee).await.expect(200)["name"],
        "Barack Obama"
    );
    let face = client
        .get(&format!("{employee}/templates"))
        .await
        .expect(200);
    assert_eq!(face["items"].as_array().unwrap().len(), 2);
    assert_eq!(
        client.get(&format!("/api/punches/{id}")).await.expect(200)["id"],
        id
    );
    let others = client.get(&format!("/api/punches/{stranger}")).await;
    others.problem(404, "not_found");
    let filtered = format!("/api/punches?employee={}", places.own);
    assert_eq!(listed(&client, &filtered).await, BTreeSet::new());
}

#[tokio::test]
async fn the_account_of_a_deleted_employee_is_closed() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let places = Places::in_app(&app).await;
    let only = admin.add_employee("Ann", "E1").await;
    let client = app.employee(&only).await;
    let both = admin.add_employee("Bob", "E2").await;
    let grants = [
        Grant::new(Role::Viewer, Scope::Site(places.home)).unwrap(),
        Grant::new(Role::Employee, Scope::Own).unwrap(),
    ];
    let access = Access::new(Some(both.parse().unwrap()), grants).unwrap();
    let viewer = app.access(access).await;
    for (client, id) in [(&client, &only), (&viewer, &both)] {
        client
            .get(&format!("/api/employees/{id}"))
            .await
            .expect(200);
    }
    let email = client.get("/api/session").await.expect(200)["account"]["email"].clone();
    for id in [&only, &both] {
        assert_eq!(
            admin.delete(&format!("/api/employees/{id}")).await.status,
            204
        );
    }
    // Nothing else was granted: the session has ended, and another one does not begin.
    client
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");
    let refused = app
        .anybody()
        .sign_in(email.as_str().unwrap(), PASSWORD)
        .await;
    refused.problem(401, "bad_credentials");
    // The other account goes on without the own records.
    let session = viewer.get("/api/session").await.expect(200);
    assert_eq!(session["account"]["grants"].as_array().unwrap().len(), 1);
    assert_eq!(session["account"]["grants"][0]["role"], "viewer");
    assert_eq!(listed(&viewer, "/api/employees").await, BTreeSet::new());
}
