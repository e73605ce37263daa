//! Single sign-on with a real OpenID Connect provider (npm oidc-provider).

use std::sync::Arc;

use reqwest::{StatusCode, Url, redirect::Policy};
use rollcall::{
    domain::{
        accounts::Actor,
        grants::{Access, Role},
        single_sign_on::GroupRole,
        text::{Email, Name},
    },
    http_client::{self, Trust},
    identity::{OpenIdProvider, ProviderSettings},
    service::{accounts::NewAccount, single_sign_on::SignOnProvider},
};
use serde_json::{Value, json};

use crate::{
    app::{Client, Options, PASSWORD, TestApp},
    node::NodeServer,
    ports::free_port,
    skip::skip,
};

/// The secret in `tests/servers/node/oidc.mjs`.
const SECRET: &str = "a secret of the test that is long enough";

/// A running provider.
struct Provider(NodeServer);

impl Provider {
    /// Starts one; the error is the reason for skipping the test.
    fn start(port: u16, algorithm: &str) -> Result<Self, String> {
        NodeServer::with("oidc.mjs", port, &[algorithm]).map(Self)
    }

    /// Signs in this person from now on.
    async fn person(&mut self, person: &Value) {
        let before = self.0.lines().len();
        self.0.send(person);
        self.0.until(|lines| lines.len() > before).await;
    }
}

fn issuer(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Returns a service with the provider at a port.
async fn service(port: u16, roles: Option<&str>) -> TestApp {
    service_with(port, roles, |_| {}).await
}

async fn service_with(
    port: u16,
    roles: Option<&str>,
    change: impl FnOnce(&mut Options),
) -> TestApp {
    let provider = ProviderSettings {
        issuer: issuer(port),
        client_id: "rollcall".to_owned(),
        client_secret: Some(SECRET.into()),
        groups_claim: "groups".to_owned(),
    };
    let provider = OpenIdProvider::new(provider, &Trust::default());
    let sign_on = SignOnProvider {
        provider: Arc::new(provider.unwrap()),
        name: "Example SSO".to_owned(),
        roles: roles.map(|text| GroupRole::parse_list(text).unwrap()),
    };
    TestApp::with(|options| {
        options.sign_on = Some(sign_on);
        change(options);
    })
    .await
}

/// A browser that follows the addresses of others itself.
struct Browser {
    client: Client,
}

impl Browser {
    fn new(app: &TestApp) -> Self {
        let mut client = app.anybody();
        let http = http_client::builder()
            .cookie_store(true)
            .redirect(Policy::none());
        client.http = http.build().unwrap();
        Self { client }
    }

    /// Opens an address; returns where it leads, if it leads elsewhere.
    async fn open(&self, url: &Url) -> Option<Url> {
        let response = self.client.http.get(url.clone()).send().await.unwrap();
        let status = response.status();
        let location = response.headers().get("location").cloned();
        let text = response.text().await.unwrap();
        assert!(status.as_u16() < 400, "{url}: {text}");
        location.map(|to| url.join(to.to_str().unwrap()).unwrap())
    }

    /// Begins to sign in; returns the callback's address, before it is opened.
    async fn to_callback(&self) -> Url {
        self.from("").await
    }

    /// Begins to sign in with a query; returns the callback's address, before it is opened.
    async fn from(&self, query: &str) -> Url {
        let start = format!("{}/api/session/oidc{query}", self.client.base);
        let mut url = Url::parse(&start).unwrap();
        for _ in 0..10 {
            url = self.open(&url).await.unwrap();
            if url.as_str().starts_with(&self.client.base) {
                return url;
            }
        }
        panic!("{url} goes on and on");
    }

    /// Signs in; returns the path and query where that ends.
    async fn sign_in(&self) -> String {
        let callback = self.to_callback().await;
        match callback.path() {
            "/api/session/oidc/callback" => self.end(&callback).await,
            _ => shown(&callback),
        }
    }

    /// Opens an address of the service; returns the path and query where it leads.
    async fn end(&self, url: &Url) -> String {
        shown(&self.open(url).await.unwrap())
    }

    async fn account(&self) -> Value {
        self.client.get("/api/session").await.expect(200)["account"].clone()
    }
}

fn shown(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

fn person(email: &str, groups: &[&str]) -> Value {
    json!({ "sub": format!("id of {email}"), "email": email, "email_verified": true, "name": "Ann", "groups": groups })
}

fn roles(account: &Value) -> Vec<String> {
    let grants = account["grants"].as_array().unwrap().iter();
    grants
        .map(|grant| match grant["site_name"].as_str() {
            Some(site) => format!("{} of {site}", grant["role"].as_str().unwrap()),
            None => grant["role"].as_str().unwrap().to_owned(),
        })
        .collect()
}

async fn add_account(app: &TestApp, email: &str, access: Access) {
    let new = NewAccount {
        email: Email::parse(email).unwrap(),
        name: Name::parse("Ann").unwrap(),
        password: PASSWORD.into(),
        access,
    };
    let added = app.app.accounts.create(Actor::Operator, new).await;
    added.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_and_their_grants_follow_their_groups() {
    let port = free_port();
    let mut provider = match Provider::start(port, "RS256") {
        Ok(provider) => provider,
        Err(why) => return skip("single sign-on", &why),
    };
    let rules = "hr=manager,harbor=viewer@Harbor,yard=viewer@Yard,it=admin";
    let app = service(port, Some(rules)).await;
    let admin = app.admin().await;
    admin.add_site("Harbor", "Europe/Berlin").await;
    let methods = app.anybody().get("/api/session/methods").await.expect(200);
    let oidc = json!({ "name": "Example SSO" });
    let expected =
        json!({ "password": true, "passkey": false, "oidc": oidc, "password_reset": false });
    assert_eq!(methods, expected);

    // Without a group that has a role, nobody gets an account.
    let browser = Browser::new(&app);
    provider
        .person(&person("ann@example.com", &["staff"]))
        .await;
    assert_eq!(browser.sign_in().await, "/sign-in?error=oidc_no_access");
    // Another site of a rule does not exist.
    provider.person(&person("ben@example.com", &["yard"])).await;
    assert_eq!(
        Browser::new(&app).sign_in().await,
        "/sign-in?error=oidc_no_access"
    );

    let browser = Browser::new(&app);
    provider
        .person(&person("ann@example.com", &["staff", "hr", "harbor"]))
        .await;
    assert_eq!(browser.sign_in().await, "/");
    let account = browser.account().await;
    assert_eq!(
        (&account["email"], &account["name"]),
        (&json!("ann@example.com"), &json!("Ann"))
    );
    assert_eq!(roles(&account), ["manager", "viewer of Harbor"]);
    // The account has no password.
    for password in ["", PASSWORD] {
        let refused = app.anybody().sign_in("ann@example.com", password).await;
        refused.problem(401, "bad_credentials");
    }
    // A second browser, with another email address: the ID at the provider counts.
    let mut moved = person("ann@example.com", &["harbor"]);
    moved["email"] = json!("ann.smith@example.com");
    provider.person(&moved).await;
    let second = Browser::new(&app);
    assert_eq!(second.sign_in().await, "/");
    let same = second.account().await;
    assert_eq!(
        (&same["id"], roles(&same)),
        (&account["id"], vec!["viewer of Harbor".to_owned()])
    );
    // The first browser has the new grants at once.
    browser
        .client
        .post("/api/employees", json!({}))
        .await
        .problem(403, "forbidden");

    provider.person(&person("ann@example.com", &[])).await;
    let third = Browser::new(&app);
    assert_eq!(third.sign_in().await, "/sign-in?error=oidc_no_access");
    // Nothing is granted any more, so the earlier sessions end.
    browser
        .client
        .get("/api/employees")
        .await
        .problem(401, "unauthenticated");
    let audit = admin.get("/api/audit").await.expect(200);
    let actions = audit["items"].as_array().unwrap().iter();
    let own = actions.filter(|entry| entry["subject"] == account["id"]);
    let own: Vec<_> = own.map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(
        own,
        [
            "account.change",
            "session.begin",
            "account.change",
            "session.begin",
            "account.link",
            "account.create"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_account_is_found_by_a_verified_address_only() {
    let port = free_port();
    let mut provider = match Provider::start(port, "ES256") {
        Ok(provider) => provider,
        Err(why) => return skip("single sign-on", &why),
    };
    let app = service(port, None).await;
    add_account(&app, "cleo@example.com", Access::admin()).await;
    let mut cleo = person("Cleo@example.com", &[]);
    cleo["email_verified"] = json!(false);
    provider.person(&cleo).await;
    let browser = Browser::new(&app);
    assert_eq!(
        browser.sign_in().await,
        "/sign-in?error=oidc_email_not_verified"
    );
    cleo["email_verified"] = Value::Null;
    provider.person(&cleo).await;
    assert_eq!(
        Browser::new(&app).sign_in().await,
        "/sign-in?error=oidc_email_not_verified"
    );
    cleo["email_verified"] = json!(true);
    provider.person(&cleo).await;
    assert_eq!(Browser::new(&app).sign_in().await, "/");
    // From now on the ID counts, without an address.
    provider.person(&json!({ "sub": cleo["sub"] })).await;
    let browser = Browser::new(&app);
    assert_eq!(browser.sign_in().await, "/");
    assert_eq!(roles(&browser.account().await), ["admin"]);
    // The password works as well.
    let signed_in = app.anybody().sign_in("cleo@example.com", PASSWORD).await;
    signed_in.expect(200);
    // Another person who gets the address does not get the account.
    let mut other = person("cleo@example.com", &[]);
    other["sub"] = json!("another person");
    provider.person(&other).await;
    assert_eq!(
        Browser::new(&app).sign_in().await,
        "/sign-in?error=oidc_other_person"
    );
    // Until an admin ends the link.
    let admin = app.admin().await;
    let listed = admin.get("/api/accounts?q=cleo").await.expect(200);
    assert_eq!(listed["items"][0]["linked"], true);
    let path = format!(
        "/api/accounts/{}/identity",
        listed["items"][0]["id"].as_str().unwrap()
    );
    admin.delete(&path).await.expect(204);
    admin.delete(&path).await.problem(404, "not_found");
    let ended = browser.client.get("/api/session").await;
    ended.problem(401, "unauthenticated");
    let new = Browser::new(&app);
    assert_eq!(new.sign_in().await, "/");
    assert_eq!(new.account().await["email"], "cleo@example.com");
    provider.person(&cleo).await;
    assert_eq!(
        Browser::new(&app).sign_in().await,
        "/sign-in?error=oidc_other_person"
    );
    // Without OIDC_ROLES nobody gets a new account.
    provider.person(&person("dan@example.com", &["it"])).await;
    assert_eq!(
        Browser::new(&app).sign_in().await,
        "/sign-in?error=oidc_no_access"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_needs_a_new_proof_at_the_provider() {
    let port = free_port();
    let mut provider = match Provider::start(port, "RS256") {
        Ok(provider) => provider,
        Err(why) => return skip("single sign-on", &why),
    };
    let app = service(port, Some("it=admin")).await;
    provider.person(&person("ann@example.com", &["it"])).await;
    let browser = Browser::new(&app);
    let register = async || {
        let device = json!({ "name": "Door" });
        browser.client.post("/api/devices", device).await
    };
    // The provider does not say when the person proved who they are, and remembers them.
    for _ in 0..2 {
        assert_eq!(browser.sign_in().await, "/");
        register().await.problem(403, "confirmation_required");
    }
    let callback = browser.from("?confirm=true").await;
    assert_eq!(browser.end(&callback).await, "/");
    register().await.expect(201);
    // An account without a password has no other way in that the provider does not know of.
    let passkey = browser
        .client
        .post("/api/account/passkeys/begin", json!({}));
    passkey.await.problem(409, "passkeys_unavailable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_admin_stays_one() {
    let port = free_port();
    let mut provider = match Provider::start(port, "EdDSA") {
        Ok(provider) => provider,
        Err(why) => return skip("single sign-on", &why),
    };
    let app = service(port, Some("it=admin,hr=viewer")).await;
    add_account(&app, "cleo@example.com", Access::admin()).await;
    provider.person(&person("cleo@example.com", &["hr"])).await;
    let browser = Browser::new(&app);
    assert_eq!(browser.sign_in().await, "/");
    assert_eq!(roles(&browser.account().await), ["admin", "viewer"]);
    app.role(Role::Admin).await;
    let browser = Browser::new(&app);
    assert_eq!(browser.sign_in().await, "/");
    assert_eq!(roles(&browser.account().await), ["viewer"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_counts_once_and_only_in_its_own_browser() {
    let port = free_port();
    let mut provider = match Provider::start(port, "RS256") {
        Ok(provider) => provider,
        Err(why) => return skip("single sign-on", &why),
    };
    let app = service(port, Some("it=admin")).await;
    provider.person(&person("ann@example.com", &["it"])).await;
    let expired = "/sign-in?error=oidc_expired";
    // Of a stranger who began the sign-in: nobody is signed in to the stranger's account.
    let stranger = Browser::new(&app);
    let callback = stranger.to_callback().await;
    let victim = Browser::new(&app);
    assert_eq!(victim.end(&callback).await, expired);
    victim
        .client
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");
    // With a state of its own in the cookie, too.
    victim.to_callback().await;
    assert_eq!(victim.end(&callback).await, expired);
    assert_eq!(stranger.end(&callback).await, "/");
    assert_eq!(stranger.end(&callback).await, expired);

    let browser = Browser::new(&app);
    let callback = browser.to_callback().await;
    let mut wrong = callback.clone();
    wrong
        .query_pairs_mut()
        .clear()
        .extend_pairs([("code", "guess"), ("state", "guess")]);
    assert_eq!(browser.end(&wrong).await, expired);
    // The refusal ended the sign-in.
    assert_eq!(browser.end(&callback).await, expired);

    let browser = Browser::new(&app);
    let callback = browser.to_callback().await;
    let state = callback.query_pairs().find(|(name, _)| name == "state");
    let state = state.unwrap().1.into_owned();
    let mut guessed = callback.clone();
    guessed
        .query_pairs_mut()
        .clear()
        .extend_pairs([("code", "guess"), ("state", &state)]);
    assert_eq!(browser.end(&guessed).await, "/sign-in?error=oidc_refused");
    let mut denied = callback;
    denied
        .query_pairs_mut()
        .clear()
        .extend_pairs([("error", "access_denied"), ("state", &state)]);
    assert_eq!(browser.end(&denied).await, "/sign-in?error=oidc_refused");
    browser
        .client
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_another_host_of_the_domain_cannot_plant_the_cookie() {
    let port = free_port();
    let _provider = match Provider::start(port, "RS256") {
        Ok(provider) => provider,
        Err(why) => return skip("single sign-on", &why),
    };
    let app = service_with(port, None, |options| options.settings.tls = true).await;
    let browser = Browser::new(&app).client;
    let begun = browser.get("/api/session/oidc").await;
    assert_eq!(begun.status, 303, "{}", begun.text);
    let cookie = begun.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-rollcall_oidc="), "{cookie}");
    for flag in ["Secure", "HttpOnly", "Path=/"] {
        assert!(cookie.contains(flag), "{cookie} has no {flag}");
    }
    let state = cookie.split(['=', ';']).nth(1).unwrap();
    for (name, error) in [
        ("rollcall_oidc", "oidc_expired"),
        // The state is right, the code is not.
        ("__Host-rollcall_oidc", "oidc_refused"),
    ] {
        let browser = Browser::new(&app).client;
        let browser = browser.with("cookie", &format!("{name}={state}"));
        let callback = format!("/api/session/oidc/callback?state={state}&code=guess");
        let ended = browser.get(&callback).await;
        assert_eq!(ended.header("location"), format!("/sign-in?error={error}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_prevents_only_its_own_sign_ins() {
    let port = free_port();
    let app = service(port, Some("it=admin")).await;
    let browser = Browser::new(&app);
    assert_eq!(browser.sign_in().await, "/sign-in?error=oidc_unavailable");
    app.admin().await;
    let mut provider = match Provider::start(port, "RS256") {
        Ok(provider) => provider,
        Err(why) => return skip("single sign-on", &why),
    };
    provider.person(&person("ann@example.com", &["it"])).await;
    assert_eq!(browser.sign_in().await, "/");
    // It goes down between the two steps.
    let browser = Browser::new(&app);
    let callback = browser.to_callback().await;
    drop(provider);
    assert_eq!(
        browser.end(&callback).await,
        "/sign-in?error=oidc_unavailable"
    );
}

#[tokio::test]
async fn without_a_provider_there_is_no_single_sign_on() {
    let app = TestApp::start().await;
    let methods = app.anybody().get("/api/session/methods").await.expect(200);
    assert_eq!(methods["oidc"], Value::Null);
    let anybody = app.anybody();
    for path in [
        "/api/session/oidc",
        "/api/session/oidc/callback?code=a&state=b",
    ] {
        let answer = anybody.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        answer.problem(404, "not_found");
    }
}
