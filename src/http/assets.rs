//! The pages: embedded in the binary, or read from disk in development and where a setting says so.

use std::{
    borrow::Cow,
    path::{Component, Path, PathBuf},
};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use super::{
    HttpState,
    problem::{Code, Problem},
};

/// The folder `static/`: as it was when the binary was built; in debug builds, as it is now.
#[derive(RustEmbed)]
#[folder = "static/"]
struct Embedded;

/// What the log says if [`has_page_libraries`] is false.
pub const PAGE_LIBRARIES_MISSING: &str = "Most pages cannot start, because this program was built \
     without their libraries: run `make setup` (it needs Node), then build again";

/// Checks whether the program was built with the libraries that the pages import.
pub fn has_page_libraries() -> bool {
    Embedded::get("vendor/preact.js").is_some()
}

/// Serves a file of the pages. An address without an extension is a page.
pub async fn serve_asset(
    State(state): State<HttpState>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let path = uri.path();
    if path.starts_with("/api/") {
        return Err(Problem::no_such_address());
    }
    if !matches!(method, Method::GET | Method::HEAD) {
        return Err(
            Problem::new(Code::MethodNotAllowed, "pages accept GET and HEAD only")
                .header(header::ALLOW, HeaderValue::from_static("GET,HEAD")),
        );
    }
    match page(&state, path, &headers).await {
        // A person gets a page with a way back.
        None if wants_page(&headers) => {
            let page = page(&state, NOT_FOUND, &HeaderMap::new()).await;
            page.map(|page| (StatusCode::NOT_FOUND, page).into_response())
        }
        found => found,
    }
    .ok_or_else(Problem::no_such_address)
}

/// The page for addresses that lead nowhere.
const NOT_FOUND: &str = "/not-found";

/// Checks whether a browser navigates to the address.
fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Serves the page of the API's documentation.
pub async fn serve_docs(
    State(state): State<HttpState>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    page(&state, "/api-docs", &headers)
        .await
        .ok_or_else(Problem::no_such_address)
}

/// The service worker of the kiosk's page, which is not in its folder.
const OFFLINE_KIOSK: &str = "js/kiosk/offline.js";

/// The page that starts the module `js/pages/NAME.js` at the address `/NAME`.
const SHELL: &str = "shell.html";

async fn page(state: &HttpState, path: &str, headers: &HeaderMap) -> Option<Response> {
    let mut name = file_name(path)?;
    if let Some(module) = page_module(&name)
        && read(state, &module).await.is_some()
    {
        name = SHELL.into();
    }
    let data = read(state, &name).await?;
    Some(respond(&name, data, headers))
}

async fn read(state: &HttpState, name: &Path) -> Option<Cow<'static, [u8]>> {
    match &state.settings.static_dir {
        Some(folder) => tokio::fs::read(folder.join(name))
            .await
            .ok()
            .map(Cow::Owned),
        None => Some(name.to_str().and_then(Embedded::get)?.data),
    }
}

/// Returns the module that a page without HTML of its own would have.
fn page_module(name: &Path) -> Option<PathBuf> {
    let page = name.extension().is_some_and(|end| end == "html") && name.components().count() == 1;
    page.then(|| Path::new("js/pages").join(name.with_extension("js")))
}

fn respond(name: &Path, data: Cow<'static, [u8]>, headers: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", hex::encode(&Sha256::digest(&data)[..16]));
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|known| {
            // Compression marks the tag as weak.
            known.split(',').any(|tag| {
                let tag = tag.trim();
                tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
            })
        });
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Response::new(Body::from(data.into_owned()))
    };
    let headers = response.headers_mut();
    if !known {
        headers.insert(header::CONTENT_TYPE, content_type(name));
    }
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    if name == Path::new(OFFLINE_KIOSK) {
        // The kiosk names the narrower scopes that it wants.
        headers.insert("service-worker-allowed", HeaderValue::from_static("/"));
    }
    // Browsers revalidate each time and get 304, so that no page is older than the service.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Returns the file of an address: under `/static/` a file of the folder, elsewhere a page by its
/// name. Returns `None` for an address that leads out of the folder or to a hidden file.
fn file_name(path: &str) -> Option<PathBuf> {
    let (name, page) = match path.strip_prefix("/static/") {
        Some(file) => (file, false),
        None => (path.trim_matches('/'), true),
    };
    let name = if name.is_empty() { "index" } else { name };
    let plain = |part| match part {
        Component::Normal(part) => part
            .to_str()
            .is_some_and(|part| !part.starts_with('.') && !part.contains(['\\', '%'])),
        _ => false,
    };
    let path = Path::new(name);
    let fits = path.components().all(plain) && !(page && name.contains(['.', '/']));
    fits.then(|| match page {
        true => path.with_extension("html"),
        false => path.to_owned(),
    })
}

fn content_type(name: &Path) -> HeaderValue {
    let extension = name.extension().and_then(|extension| extension.to_str());
    HeaderValue::from_static(match extension {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_pages_and_never_leave_the_folder() {
        let name = |path| file_name(path).map(|name| name.to_str().unwrap().to_owned());
        assert_eq!(name("/").as_deref(), Some("index.html"));
        assert_eq!(name("/kiosk").as_deref(), Some("kiosk.html"));
        assert_eq!(name("/kiosk/").as_deref(), Some("kiosk.html"));
        assert_eq!(name("/static/js/app.js").as_deref(), Some("js/app.js"));
        assert_eq!(name("/static/kiosk.html").as_deref(), Some("kiosk.html"));
        for path in [
            "/../Cargo.toml",
            "/static/../Cargo.toml",
            "/static/a/../../b",
            "/.env",
            "/static/js/.git/x",
            "/..%2fx",
            "/a\\b",
            "/js/app.js",
        ] {
            assert_eq!(name(path), None, "{path}");
        }
    }
}
