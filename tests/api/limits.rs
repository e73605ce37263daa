//! Rate limits of addresses and accounts.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rollcall::{domain::grants::Role, ports::Quota};
use serde_json::json;

use crate::app::{Answer, PASSWORD, TestApp, at_once, count, enroll_form, photo};

/// Returns how many seconds have passed, rounded up: in each, one more request is allowed.
fn seconds(begin: Instant) -> usize {
    begin.elapsed().as_secs() as usize + 1
}

/// Returns a parameter of a structured header, such as `r` of `"address";r=9;t=1`.
fn parameter(answer: &Answer, header: &str, name: &str) -> u64 {
    let value = answer.header(header);
    let found = value
        .split(';')
        .find_map(|part| part.strip_prefix(&format!("{name}=")));
    found
        .unwrap_or_else(|| panic!("no {name} in {header}: {value}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn an_address_over_the_limit_learns_when_to_retry() {
    let app = TestApp::with(|options| options.settings.rate_limit = 1).await;
    let anybody = app.anybody();
    let begin = Instant::now();
    let first = anybody.get("/api/setup").await;
    first.expect(200);
    assert_eq!(first.header("ratelimit-policy"), "\"address\";q=10;w=10");
    assert_eq!(parameter(&first, "ratelimit", "r"), 9);
    assert_eq!(first.header("x-ratelimit-limit"), "");
    let answers = at_once(60, |_| anybody.get("/api/setup")).await;
    let counts = count(&answers);
    let most = 9 + seconds(begin);
    assert!((9..=most).contains(&counts[&200]), "{counts:?}");
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    refused.problem(429, "too_many_requests");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=10).contains(&wait));
    assert_eq!(parameter(refused, "ratelimit", "r"), 0);
    assert_eq!(parameter(refused, "ratelimit-policy", "q"), 10);
    // Load balancers still see that the service is alive.
    anybody.get("/healthz").await.expect(200);
    tokio::time::sleep(Duration::from_secs(wait)).await;
    anybody.get("/api/setup").await.expect(200);
}

#[tokio::test]
async fn only_trusted_proxies_can_set_the_client_address() {
    let tight = |options: &mut crate::app::Options| options.settings.rate_limit = 1;
    let open = TestApp::with(tight).await;
    let spoof = |number: usize| {
        let forwarded = format!("203.0.113.{number}");
        let client = open.anybody().with("x-forwarded-for", &forwarded);
        async move { client.get("/api/setup").await }
    };
    let begin = Instant::now();
    let counts = count(&at_once(60, spoof).await);
    assert!(
        counts[&200] <= 10 + seconds(begin),
        "a new address each time does not help: {counts:?}"
    );

    let proxied = TestApp::with(|options| {
        tight(options);
        options.settings.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let behind = |number: usize| {
        // The client's own entry is on the left, and the address that the proxy saw is on the
        // right.
        let forwarded = format!("198.51.100.{number}, 203.0.113.{}", number % 3);
        let client = proxied.anybody().with("x-forwarded-for", &forwarded);
        async move { client.get("/api/setup").await }
    };
    let begin = Instant::now();
    let counts = count(&at_once(90, behind).await);
    let most = 30 + 3 * seconds(begin);
    assert!(
        (30..=most).contains(&counts[&200]),
        "three addresses, ten each: {counts:?}"
    );
}

#[tokio::test]
async fn sign_in_attempts_are_limited_but_session_checks_are_not() {
    let app = TestApp::with(|options| {
        options.settings.sign_in = Some(Quota {
            most: 3,
            window: Duration::from_secs(60),
        });
    })
    .await;
    let anybody = app.anybody();
    for _ in 0..3 {
        let refused = anybody.sign_in("a@b.example", "guess").await;
        refused.problem(401, "bad_credentials");
    }
    let limited = anybody.sign_in("a@b.example", "guess").await;
    limited.problem(429, "too_many_requests");
    assert_eq!(parameter(&limited, "ratelimit-policy", "q"), 3);
    let body = serde_json::json!({"token": "x", "email": "a@b.c", "name": "A", "password": "x"});
    anybody
        .post("/api/setup", body)
        .await
        .problem(429, "too_many_requests");
    for _ in 0..5 {
        anybody
            .get("/api/session")
            .await
            .problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn wrong_passwords_are_counted_by_account_and_lock_nobody_out() {
    let app = TestApp::with(|options| {
        options.guesses = Some(Quota {
            most: 3,
            window: Duration::from_hours(1),
        });
    })
    .await;
    // The browser of the account, and another one.
    let admin = app.admin().await;
    app.role(Role::Viewer).await;
    let (known, unknown) = ("admin0@example.com", "nobody@example.com");
    // Right passwords do not count.
    for _ in 0..5 {
        app.anybody().sign_in(known, PASSWORD).await.expect(200);
    }
    // An address with an account is answered like one without, from however many browsers.
    for _ in 0..3 {
        for email in [known, unknown] {
            let refused = app.anybody().sign_in(email, "guess").await;
            refused.problem(401, "bad_credentials");
        }
    }
    for email in [known, " ADMIN0@example.com", unknown, "NOBODY@example.com "] {
        for password in ["guess", PASSWORD] {
            let limited = app.anybody().sign_in(email, password).await;
            let problem = limited.problem(429, "too_many_requests");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("ask an admin"), "{detail}");
            let wait: i64 = limited.header("retry-after").parse().unwrap();
            assert!((3500..=3601).contains(&wait), "{wait}");
        }
    }
    app.anybody()
        .sign_in("viewer1@example.com", PASSWORD)
        .await
        .expect(200);

    // The person's own browser goes on, with a count of its own.
    admin.delete("/api/session").await.expect(204);
    for _ in 0..3 {
        admin
            .sign_in(known, "guess")
            .await
            .problem(401, "bad_credentials");
    }
    admin
        .sign_in(known, PASSWORD)
        .await
        .problem(429, "too_many_requests");
    // To other accounts, it is a stranger.
    app.anybody()
        .sign_in(unknown, "guess")
        .await
        .problem(429, "too_many_requests");
    app.clock.advance(SignedDuration::from_hours(1));
    app.anybody().sign_in(known, PASSWORD).await.expect(200);
    admin.sign_in(known, PASSWORD).await.expect(200);

    // A new password makes every other browser a stranger.
    let other = app.anybody();
    other.sign_in(known, PASSWORD).await.expect(200);
    let new = "another long pass phrase";
    let body = serde_json::json!({ "present": PASSWORD, "password": new });
    assert_eq!(admin.put("/api/account/password", body).await.status, 204);
    for _ in 0..3 {
        app.anybody()
            .sign_in(known, "guess")
            .await
            .problem(401, "bad_credentials");
    }
    other
        .sign_in(known, new)
        .await
        .problem(429, "too_many_requests");
    admin.sign_in(known, new).await.expect(200);
}

#[tokio::test]
async fn tries_at_the_same_time_are_all_counted() {
    let app = TestApp::with(|options| {
        options.guesses = Some(Quota {
            most: 3,
            window: Duration::from_hours(1),
        });
    })
    .await;
    app.admin().await;
    let guess = |_| async { app.anybody().sign_in("admin0@example.com", "guess").await };
    let counts = count(&at_once(12, guess).await);
    assert_eq!((counts[&401], counts[&429]), (3, 9));
}

#[tokio::test]
async fn an_unattended_browser_cannot_be_used_to_guess() {
    let app = TestApp::with(|options| {
        options.guesses = Some(Quota {
            most: 3,
            window: Duration::from_hours(1),
        });
    })
    .await;
    let admin = app.admin().await;
    let confirm = async |password: &str| {
        let body = serde_json::json!({ "password": password });
        admin.post("/api/session/confirm", body).await
    };
    for _ in 0..3 {
        confirm("guess").await.problem(422, "invalid");
    }
    confirm(PASSWORD).await.problem(429, "too_many_requests");
    let body = serde_json::json!({ "present": PASSWORD, "password": "another long pass phrase" });
    let change = admin.put("/api/account/password", body).await;
    change.problem(429, "too_many_requests");
    app.anybody()
        .sign_in("admin0@example.com", PASSWORD)
        .await
        .expect(200);
}

#[tokio::test]
async fn at_most_five_enrollments_an_hour_are_allowed() {
    let app = TestApp::with(|options| options.settings.enroll_limit = 5).await;
    let admin = app.admin().await;
    let id = admin.add_employee("A", "1").await;
    let (none, face) = ([b"no image".to_vec()], [photo("obama")]);
    for left in (0..5).rev() {
        // What is refused does not count: malformed, without consent, or without a usable photo.
        admin
            .post_form("/api/enroll", enroll_form(&id, &face))
            .await
            .problem(422, "consent_required");
        admin
            .enroll("nonsense", &face)
            .await
            .problem(422, "invalid");
        for _ in 0..6 {
            let refused = admin.enroll(&id, &none).await;
            refused.problem(422, "no_usable_photo");
        }
        let answer = admin.enroll(&id, &face).await;
        answer.expect(201);
        assert_eq!(parameter(&answer, "ratelimit", "r"), left);
        assert_eq!(answer.header("ratelimit-policy"), "\"enroll\";q=5;w=3600");
    }
    let refused = admin.enroll(&id, &face).await;
    let problem = refused.problem(429, "too_many_enrollments");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("lift the limit for 24 hours"), "{detail}");
    let wait: i64 = refused.header("retry-after").parse().unwrap();
    assert!((3500..=3601).contains(&wait), "{wait}");
    assert_eq!(parameter(&refused, "ratelimit", "r"), 0);

    let other = app.role(Role::Admin).await;
    other.enroll(&id, &face).await.expect(201);
    app.clock.advance(SignedDuration::from_secs(wait));
    admin.enroll(&id, &face).await.expect(201);
}

#[tokio::test]
async fn concurrent_enrollments_are_counted_exactly() {
    let app = TestApp::with(|options| options.settings.enroll_limit = 5).await;
    let admin = app.admin().await;
    let id = admin.add_employee("A", "1").await;
    let face = [photo("obama")];
    let answers = at_once(12, |_| admin.enroll(&id, &face)).await;
    let counts = count(&answers);
    assert_eq!((counts[&201], counts[&429]), (5, 7));
}

#[tokio::test]
async fn an_admin_lifts_the_limit_of_enrollments_for_a_day() {
    let app = TestApp::with(|options| options.settings.enroll_limit = 1).await;
    let (admin, other) = (app.admin().await, app.admin().await);
    let id = admin.add_employee("A", "1").await;
    let face = [photo("obama")];
    let path = "/api/enrollment-limit/lift";
    let state = admin.get(path).await.expect(200);
    assert_eq!(
        state,
        json!({ "limit": 1, "lifted_until": null, "lifted_by": null })
    );
    admin.enroll(&id, &face).await.expect(201);
    let refused = admin.enroll(&id, &face).await;
    refused.problem(429, "too_many_enrollments");

    let lifted = other.post(path, json!({})).await.expect(200);
    assert_eq!(lifted["lifted_by"], "admin1@example.com");
    assert_eq!(admin.get(path).await.expect(200), lifted);
    for _ in 0..3 {
        let answer = admin.enroll(&id, &face).await;
        answer.expect(201);
        assert_eq!(answer.header("ratelimit-policy"), "");
    }
    other.delete(path).await.expect(204);
    let refused = admin.enroll(&id, &face).await;
    refused.problem(429, "too_many_enrollments");

    // It ends by itself. Sessions end at the same time.
    other.post(path, json!({})).await.expect(200);
    app.clock.advance(SignedDuration::from_hours(24));
    let admin = app.admin().await;
    assert_eq!(admin.get(path).await.expect(200), state);
    admin.enroll(&id, &face).await.expect(201);
    let refused = admin.enroll(&id, &face).await;
    refused.problem(429, "too_many_enrollments");

    let trail = app.stores.audit.latest(50).await.unwrap();
    let actions = |wanted: &str| trail.iter().filter(|one| one.action == wanted).count();
    assert_eq!(actions("enrollment_limit.lift"), 2);
    assert_eq!(actions("enrollment_limit.restore"), 1);
}
