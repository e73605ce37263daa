//! The pages and their files.

use reqwest::Method;

use crate::app::{TestApp, project};

#[tokio::test]
async fn pages_are_served_by_name_and_no_other_files() {
    let app = TestApp::start().await;
    let anybody = app.anybody();
    for page in [
        "/",
        "/kiosk",
        "/setup",
        "/people",
        "/cameras",
        "/devices",
        "/unknown-faces",
        "/sign-in",
    ] {
        let answer = anybody.get(page).await;
        assert_eq!(answer.status, 200, "{page}");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(answer.header("cache-control"), "no-cache");
        assert!(answer.text.contains("<!doctype html>") || answer.text.contains("<!DOCTYPE html>"));
    }
    for path in [
        "/nowhere",
        "/static/nowhere.js",
        "/static/",
        "/..%2fCargo.toml",
        "/static/%2e%2e/Cargo.toml",
        "/Cargo.toml",
        "/api/",
        "/api/nowhere",
        "/.env",
    ] {
        anybody.get(path).await.problem(404, "not_found");
    }
    let browser = app.anybody().with("accept", "text/html,*/*;q=0.8");
    let lost = browser.get("/nowhere").await;
    assert_eq!(lost.status, 404);
    assert!(lost.text.contains("Page not found"), "{}", lost.text);
    browser.get("/api/nowhere").await.problem(404, "not_found");
    anybody
        .send(anybody.request(Method::POST, "/kiosk"))
        .await
        .problem(405, "method_not_allowed");
}

#[tokio::test]
async fn cached_files_are_not_sent_again() {
    let app = TestApp::start().await;
    let anybody = app.anybody();
    let first = anybody.get("/static/css/base.css").await;
    assert_eq!(first.header("content-type"), "text/css; charset=utf-8");
    let tag = first.header("etag").to_owned();
    for known in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"other\", {tag}"),
        "*".to_owned(),
    ] {
        let again = anybody
            .clone()
            .with("if-none-match", &known)
            .get("/static/css/base.css")
            .await;
        assert_eq!(
            (again.status.as_u16(), again.text.as_str()),
            (304, ""),
            "{known}"
        );
        assert_eq!(again.header("etag"), tag);
    }
    let other = anybody
        .clone()
        .with("if-none-match", "\"other\"")
        .get("/static/css/base.css")
        .await;
    assert_eq!(other.text, first.text);
    let head = anybody
        .send(anybody.request(Method::HEAD, "/static/css/base.css"))
        .await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
}

#[tokio::test]
async fn only_the_worker_of_the_kiosk_may_keep_its_page() {
    let app = TestApp::start().await;
    let worker = app.anybody().get("/static/js/kiosk/offline.js").await;
    assert_eq!(worker.header("service-worker-allowed"), "/");
    assert_eq!(
        worker.header("content-type"),
        "text/javascript; charset=utf-8"
    );
    let other = app.anybody().get("/static/js/kiosk.js").await;
    assert!(!other.headers.contains_key("service-worker-allowed"));
}

#[tokio::test]
async fn text_is_compressed_on_request() {
    let app = TestApp::start().await;
    let anybody = app.anybody().with("accept-encoding", "gzip");
    let packed = anybody.get("/api/openapi.json").await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let plain = app.anybody().get("/api/openapi.json").await;
    assert!(packed.text.len() < plain.text.len() / 4);
    assert!(
        packed
            .header("vary")
            .to_lowercase()
            .contains("accept-encoding")
    );
}

#[tokio::test]
async fn a_folder_can_replace_the_pages_in_the_binary() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "<!doctype html>mine").unwrap();
    let path = folder.path().to_owned();
    let app = TestApp::with(|options| options.settings.static_dir = Some(path)).await;
    assert_eq!(app.anybody().get("/").await.text, "<!doctype html>mine");
    app.anybody().get("/kiosk").await.problem(404, "not_found");
    assert!(project("static/kiosk.html").exists());
}
