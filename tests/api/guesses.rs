//! How many guesses at a secret a running service compares in an hour, and what docs/SECURITY.md
//! says about it.

use std::{cell::RefCell, time::Duration};

use jiff::SignedDuration;
use rollcall::{
    config::Settings,
    domain::{
        audit::AuditEntry,
        grants::{Reach, Role},
    },
    http,
    ports::{Page, Quota},
    service::accounts::GUESSES,
};
use serde_json::json;

use crate::{
    app::{Client, PASSWORD, TestApp, project},
    mail::{outbox, sender},
};

/// Starts a service with the limits of the defaults, except that of all requests of an address,
/// which is measured apart.
async fn limited() -> TestApp {
    TestApp::with(|options| {
        let defaults = Settings::read(&[("PORT", "0")]).unwrap();
        let quota = |most| Quota {
            most,
            window: Duration::from_mins(1),
        };
        options.settings = http::Settings {
            rate_limit: 0,
            sign_in: Some(quota(defaults.server.sign_in_limit)),
            pairing: Some(quota(defaults.server.pairing_limit)),
            ..http::Settings::default()
        };
        options.guesses = Some(GUESSES);
        // Letters only wait.
        options.mail = Some(sender(1));
    })
    .await
}

/// Sends guesses for an hour, each minute until one is refused. Returns the number of those that
/// were not.
async fn in_an_hour(app: &TestApp, guess: impl AsyncFn(u32) -> u16) -> u32 {
    let (mut number, mut compared) = (0, 0);
    for _ in 0..60 {
        loop {
            number += 1;
            match guess(number).await {
                429 => break,
                status if status < 500 => compared += 1,
                status => panic!("{status}"),
            }
        }
        app.clock.advance(SignedDuration::from_secs(60));
    }
    compared
}

/// Checks that a row of the table in docs/SECURITY.md has a figure.
#[track_caller]
fn documented(what: &str, figure: &str) {
    let text = std::fs::read_to_string(project("docs/SECURITY.md")).unwrap();
    let row = text
        .lines()
        .find(|line| line.starts_with(&format!("| {what} |")));
    let row = row.unwrap_or_else(|| panic!("docs/SECURITY.md has no row of {what:?}"));
    let cell = row.split('|').nth(2).unwrap().trim();
    assert_eq!(cell, figure, "{what}");
}

async fn sign_in(client: &Client, email: &str, password: &str) -> u16 {
    client.sign_in(email, password).await.status.as_u16()
}

#[tokio::test]
async fn passwords() {
    let app = limited().await;
    app.admin().await;
    let stranger = app.anybody();
    // One that is right shows that the account can be signed in to.
    assert_eq!(
        sign_in(&stranger, "admin0@example.com", PASSWORD).await,
        200
    );
    let refusals = RefCell::new(String::new());
    let one = in_an_hour(&app, async |_| {
        let browser = app.anybody();
        let answer = browser.sign_in("admin0@example.com", "a wrong guess").await;
        refusals.borrow_mut().push_str(&answer.text);
        answer.status.as_u16()
    });
    documented(
        "the password of one account, from any number of new browsers",
        &one.await.to_string(),
    );
    // It says how long, and who can help before that.
    let refusals = refusals.into_inner();
    let minutes = "tried for this account: try again in 59 minutes, or ask an admin for a link";
    assert!(refusals.contains(minutes), "{refusals}");
    app.clock.advance(SignedDuration::from_hours(1));
    let many = in_an_hour(&app, async |number| {
        let email = format!("x{number}@example.com");
        sign_in(&app.anybody(), &email, "a wrong guess").await
    });
    documented(
        "passwords of all accounts, from one address",
        &many.await.to_string(),
    );
}

#[tokio::test]
async fn invitations() {
    let app = limited().await;
    let guesses = in_an_hour(&app, async |number| {
        let guess = json!({ "token": format!("guess {number}") });
        let answer = app.anybody().post("/api/invitations/look", guess).await;
        answer.status.as_u16()
    });
    documented(
        "the link of an invitation or of a new password, from one address",
        &guesses.await.to_string(),
    );
}

#[tokio::test]
async fn emails_with_a_link() {
    let app = limited().await;
    app.admin().await;
    // Signing in counted with the address.
    app.clock.advance(SignedDuration::from_mins(1));
    let asked = in_an_hour(&app, async |_| {
        let body = json!({ "email": "admin0@example.com" });
        let answer = app.anybody().post("/api/password-resets", body).await;
        answer.status.as_u16()
    });
    documented(
        "requests for an email with a link for a new password, from one address",
        &asked.await.to_string(),
    );
    let letters = loop {
        let mut letters = outbox(&app).await;
        letters.retain(|letter| letter.topic == "reset");
        if letters.len() >= 3 {
            break letters;
        }
        tokio::task::yield_now().await;
    };
    let first = letters.iter().map(|letter| letter.at).min().unwrap();
    let hour = |at: jiff::Timestamp| at.duration_since(first) < SignedDuration::from_hours(1);
    let sent = letters.iter().filter(|letter| hour(letter.at)).count();
    documented(
        "emails with a link for a new password that arrive at one account",
        &sent.to_string(),
    );

    // A day brings twice as many, not one more. The last request is for another account.
    app.role(Role::Viewer).await;
    let ask = async |email: &str| {
        let body = json!({ "email": email });
        let answer = app.anybody().post("/api/password-resets", body).await;
        assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
    };
    for _ in 0..4 {
        app.clock.advance(SignedDuration::from_hours(1));
        for _ in 0..4 {
            ask("admin0@example.com").await;
        }
    }
    ask("viewer1@example.com").await;
    let mut asked: Vec<AuditEntry> = Vec::new();
    let two = |asked: &[AuditEntry]| asked.iter().any(|one| one.subject != asked[0].subject);
    while !two(&asked) {
        tokio::task::yield_now().await;
        let page = Page {
            after: None,
            limit: 200,
        };
        asked = app
            .stores
            .audit
            .list(&Reach::Everything, &page)
            .await
            .unwrap();
        asked.retain(|one| one.action == "account.forgot");
    }
    assert_eq!(asked.len(), 6 + 1);
}

#[tokio::test]
async fn pins() {
    let app = limited().await;
    let kiosk = app.kiosk().await.client;
    let guesses = in_an_hour(&app, async |number| {
        let guess = json!({ "code": format!("X{number}"), "pin": "402818" });
        let answer = kiosk.post("/api/punches/pin", guess).await;
        answer.status.as_u16()
    });
    documented("PINs, at one device", &guesses.await.to_string());
}

#[tokio::test]
async fn pairing_codes() {
    // Nobody but an admin can try one, and only the limit of all requests counts them.
    let app = limited().await;
    let guess = json!({ "code": "AAAA-AAAA" });
    for client in [app.anybody(), app.kiosk().await.client] {
        let refused = client.post("/api/pairings/look", guess.clone()).await;
        assert!([401, 403].contains(&refused.status.as_u16()));
    }
    let codes = in_an_hour(&app, async |_| {
        let answer = app.anybody().post("/api/pairings", json!({})).await;
        answer.status.as_u16()
    });
    documented(
        "codes for pairing that can exist, by one address",
        &codes.await.to_string(),
    );

    let app = TestApp::with(|options| options.settings.rate_limit = 50).await;
    let admin = app.admin().await;
    let (begin, mut compared, mut limited) = (std::time::Instant::now(), 0, false);
    while !limited && begin.elapsed() < Duration::from_secs(30) {
        let tries = (0..50).map(|_| admin.post("/api/pairings/look", guess.clone()));
        for answer in futures::future::join_all(tries).await {
            match answer.status.as_u16() {
                422 => compared += 1,
                status => {
                    assert_eq!(status, 429, "{}", answer.text);
                    limited = true;
                }
            }
        }
    }
    // A burst of ten seconds' worth, and then as many as the limit allows.
    let most = 50.0 * (begin.elapsed().as_secs_f64() + 10.0);
    assert!(f64::from(compared) <= most + 1.0, "{compared} of {most}");
    assert!(
        compared >= 500,
        "the limit would be another one: {compared}"
    );
    documented(
        "a code for pairing, with the session of an admin",
        &(50 * 3600 + 500).to_string(),
    );
}
