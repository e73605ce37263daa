//! The OpenAPI document matches the routes, and the routes match the document.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::app::TestApp;

fn document() -> Value {
    serde_json::to_value(rollcall::http::document()).unwrap()
}

/// Returns the paths and methods in the document.
fn described() -> Vec<(String, BTreeSet<String>)> {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let methods = |item: &Value| {
        item.as_object()
            .unwrap()
            .keys()
            .map(|m| m.to_uppercase())
            .collect()
    };
    paths
        .iter()
        .map(|(path, item)| (path.clone(), methods(item)))
        .collect()
}

#[test]
fn the_document_matches_its_snapshot() {
    insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!("openapi", document());
    });
}

#[tokio::test]
async fn the_document_is_served() {
    let app = TestApp::start().await;
    let answer = app.anybody().get("/api/openapi.json").await;
    assert_eq!(answer.expect(200), document());
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.json()["openapi"], "3.1.0");
    let page = app.anybody().get("/api/docs").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(
        !page.text.contains("https://cdn"),
        "the page needs no other host"
    );
}

#[tokio::test]
async fn every_described_path_accepts_exactly_the_described_methods() {
    let app = TestApp::start().await;
    let anybody = app.anybody();
    for (path, described) in described() {
        let path = path.replace("{id}", "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b");
        let path = path.replace("{date}", "2027-01-01");
        let odd = Method::from_bytes(b"PROPFIND").unwrap();
        let answer = anybody.send(anybody.request(odd, &path)).await;
        answer.problem(405, "method_not_allowed");
        let allowed: BTreeSet<String> = answer
            .header("allow")
            .split(',')
            .map(|method| method.trim().to_owned())
            .filter(|method| method != "HEAD")
            .collect();
        assert_eq!(allowed, described, "{path}");
    }
}

/// Routes that are not operations of the API: the document and its page.
const UNDESCRIBED: [&str; 2] = ["/api/openapi.json", "/api/docs"];

#[test]
fn every_route_is_described() {
    let router = std::fs::read_to_string(crate::app::project("src/http/router.rs")).unwrap();
    let router: String = router.split_whitespace().collect();
    let bare: Vec<&str> = router
        .split(".route(\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert_eq!(bare, UNDESCRIBED, "use routes!() so that it is described");
    for way in ["route_service(", "nest_service(", ".nest("] {
        assert!(!router.contains(way), "{way} leads around the description");
    }
    // Every handler with a description is in the router.
    let mut handlers = 0;
    for file in std::fs::read_dir(crate::app::project("src/http/routes")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for name in handlers_in(&text) {
            assert!(router.contains(&format!("::{name}")), "{name} has no route");
            handlers += 1;
        }
    }
    let operations: usize = described().iter().map(|(_, methods)| methods.len()).sum();
    assert_eq!(handlers, operations);
}

/// Returns the names of the handlers in a file, with those that its macro `routes_of!` makes.
fn handlers_in(text: &str) -> Vec<&str> {
    let until = |text: &'static str| move |rest: &str| rest.find(|c| text.contains(c)).unwrap();
    let written = text.split("#[utoipa::path(").skip(1).map(|after| {
        let (_, name) = after.split_once("pub async fn ").unwrap();
        &name[..until("(")(name)]
    });
    let made = text.split("\nroutes_of! {").skip(1).flat_map(|call| {
        let (call, _) = call.split_once("\n}").unwrap();
        // Each has its documentation in the line before.
        let names = call.split("    /// ").skip(1);
        names.map(|after| {
            let (_, name) = after.split_once("\n    ").unwrap();
            &name[..until("(,")(name)]
        })
    });
    let written = written.filter(|name| !name.starts_with('$'));
    written.chain(made).collect()
}

#[test]
fn every_reference_exists_and_every_parameter_is_described_once() {
    let document = document();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let names: BTreeSet<_> = parameters.iter().map(|p| p["name"].to_string()).collect();
            assert_eq!(names.len(), parameters.len(), "{method} {path}");
            assert!(
                operation["summary"].is_string(),
                "{method} {path} has no summary"
            );
        }
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                references.push(reference.clone());
            }
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[test]
fn every_problem_is_explained_in_the_documentation() {
    let text = std::fs::read_to_string(crate::app::project("docs/API.md")).unwrap();
    for code in rollcall::http::Code::ALL {
        let row = format!("| `{}` | {} |", code.as_str(), code.status().as_u16());
        assert!(text.contains(&row), "docs/API.md has no row {row}");
    }
    let document = document();
    let codes = &document["components"]["schemas"]["FieldProblem"]["properties"]["code"]["enum"];
    for code in codes.as_array().unwrap() {
        let row = format!("| `{}` |", code.as_str().unwrap());
        assert!(text.contains(&row), "docs/API.md has no row {row}");
    }
}
