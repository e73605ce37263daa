//! The rules of the architecture, checked on `use` lines and `crate::` paths. In a single crate,
//! the compiler does not enforce them, so this test does. A module may use itself and the modules
//! in its row of `ARROWS`; every module has a row.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    iter::Peekable,
    path::{Path, PathBuf},
    str::Chars,
};

/// Each module of the crate, and the modules that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    (
        "cli",
        &[
            "boot",
            "clock",
            "config",
            "domain",
            "http",
            "http_client",
            "ports",
            "repositories",
            "service",
            "storage",
            "telemetry",
            "vision",
            "workers",
        ],
    ),
    // The only one that uses every adapter.
    (
        "boot",
        &[
            "app",
            "cameras",
            "clock",
            "config",
            "domain",
            "gallery",
            "http",
            "http_client",
            "identity",
            "ports",
            "repositories",
            "senders",
            "service",
            "storage",
            "telemetry",
            "vault",
            "vision",
            "workers",
        ],
    ),
    ("app", &["service"]),
    (
        "http",
        &[
            "app",
            "clock",
            "domain",
            "ports",
            "service",
            "telemetry",
            "vault",
        ],
    ),
    (
        "workers",
        &[
            "clock",
            "domain",
            "ports",
            "repositories",
            "service",
            "telemetry",
        ],
    ),
    (
        "service",
        &[
            "clock",
            "domain",
            "ports",
            "repositories",
            "telemetry",
            "vault",
        ],
    ),
    ("repositories", &["domain", "ports"]),
    ("storage", &["domain", "ports"]),
    ("vision", &["domain", "http_client", "ports", "telemetry"]),
    ("gallery", &["domain", "ports"]),
    ("cameras", &["domain", "http_client", "ports"]),
    ("identity", &["http_client", "ports"]),
    ("senders", &["domain", "http_client", "ports"]),
    ("vault", &["domain", "ports"]),
    ("ports", &["domain"]),
    ("domain", &[]),
    ("telemetry", &["config"]),
    ("config", &["domain"]),
    ("clock", &[]),
    ("http_client", &[]),
];

/// Arrows that must never exist, whatever is added to the list above: rules stay free of I/O,
/// services know no adapter, and no entry point knows another.
const FORBIDDEN: &[(&str, &str)] = &[
    ("domain", "ports"),
    ("domain", "clock"),
    ("ports", "service"),
    ("ports", "repositories"),
    ("repositories", "service"),
    ("repositories", "storage"),
    ("storage", "repositories"),
    ("http", "repositories"),
    ("ports", "vault"),
    ("service", "storage"),
    ("service", "vision"),
    ("service", "gallery"),
    ("service", "cameras"),
    ("service", "senders"),
    ("service", "http"),
    ("service", "config"),
    ("service", "identity"),
    ("service", "workers"),
    ("storage", "service"),
    ("storage", "http"),
    ("storage", "vision"),
    ("vision", "service"),
    ("vision", "storage"),
    ("gallery", "service"),
    ("gallery", "storage"),
    ("http", "storage"),
    ("http", "vision"),
    ("http", "gallery"),
    ("http", "cameras"),
    ("http", "senders"),
    ("http", "workers"),
    ("http", "boot"),
    ("http", "config"),
    ("workers", "http"),
    ("workers", "storage"),
    ("workers", "vision"),
    ("workers", "cameras"),
    ("workers", "boot"),
    ("app", "http"),
];

/// Libraries that only some modules may use, because an adapter's library stays in the adapter.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("axum", &["http", "boot"]),
    ("tower_http", &["http"]),
    ("utoipa", &["http"]),
    ("mongodb", &["storage"]),
    ("rusqlite", &["storage"]),
    ("ort", &["vision"]),
    (
        "reqwest",
        &[
            "cameras",
            "cli",
            "http_client",
            "identity",
            "senders",
            "vision",
        ],
    ),
    ("hmac", &["service"]),
    ("lettre", &["senders"]),
    ("openidconnect", &["identity"]),
    ("rumqttc", &["senders"]),
    ("clap", &["cli", "main"]),
    ("aes_gcm", &["vault"]),
    ("rustls", &["boot", "http_client"]),
    ("webpki_roots", &["http_client"]),
    ("socket2", &["boot"]),
    ("rcgen", &["cli"]),
    ("age", &["cli"]),
    ("x509_parser", &["boot"]),
    ("rust_xlsxwriter", &["service"]),
    ("totp_rs", &["domain"]),
    ("webauthn_rp", &["service"]),
];

/// Returns the source without comments, strings and test modules, so that only code is checked.
fn code(source: &str) -> String {
    let source = source
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    source
        .lines()
        .map(without_strings)
        .map(|line| line.split("//").next().unwrap_or_default().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Returns a line without quoted strings. Strings over several lines stay.
fn without_strings(line: &str) -> String {
    let (mut kept, mut quoted, mut escaped) = (String::new(), false, false);
    for c in line.replace("'\"'", "").chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            c if !quoted => kept.push(c),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    if quoted { line.to_owned() } else { kept }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the first segments of all paths that begin with `root::`, including `root::{a::x, b}`.
fn named(code: &str, root: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let start = format!("{root}::");
    for (at, _) in code.match_indices(&start) {
        if code[..at].ends_with(|c: char| is_name(c) || c == ':') {
            continue;
        }
        let rest = code[at + start.len()..].trim_start();
        match rest.strip_prefix('{') {
            Some(group) => found.extend(heads(group)),
            None => {
                let head: String = rest.chars().take_while(|&c| is_name(c)).collect();
                found.insert(head);
            }
        }
    }
    found.remove("");
    found
}

/// Returns the first segments of the entries of a `use` group, up to its closing brace.
fn heads(group: &str) -> Vec<String> {
    let (mut heads, mut head, mut depth, mut taking) = (Vec::new(), String::new(), 0, true);
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(std::mem::take(&mut head));
                taking = true;
            }
            c if depth == 0 && taking && is_name(c) => head.push(c),
            c if c.is_whitespace() && head.is_empty() => {}
            _ => taking = false,
        }
    }
    heads.push(head);
    heads
}

/// Returns the rules that a file of a module breaks.
fn violations(module: &str, source: &str) -> Vec<String> {
    let code = code(source);
    let mut wrong = Vec::new();
    let root = if module == "main" {
        "rollcall"
    } else {
        "crate"
    };
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{module} has no row in ARROWS")];
    };
    let modules: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for target in named(&code, root) {
        let known = modules.contains(target.as_str());
        if known && target != module && !allowed.contains(&target.as_str()) {
            wrong.push(format!("{module} must not use {target}"));
        }
    }
    for (library, users) in LIBRARIES {
        let used = code
            .match_indices(&format!("{library}::"))
            .any(|(at, _)| !code[..at].ends_with(|c: char| is_name(c) || c == ':'));
        if used && !users.contains(&module) {
            wrong.push(format!("{module} must not use the crate {library}"));
        }
    }
    wrong
}

/// Returns every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn dependencies_point_inward() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for file in files(&source) {
        let path = file.strip_prefix(&source).unwrap();
        let first = path.components().next().unwrap().as_os_str();
        let module = first.to_str().unwrap().trim_end_matches(".rs").to_owned();
        if module == "lib" {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a readable file");
        let place = path.display();
        wrong.extend(
            violations(&module, &text)
                .iter()
                .map(|what| format!("{place}: {what}")),
        );
        if !text.starts_with("//!") {
            wrong.push(format!("{place}: does not start with //! and its purpose"));
        }
        seen.insert(module);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for module in ["domain", "ports", "service", "http", "storage", "vision"] {
        assert!(seen.contains(module), "{module} was not looked at");
    }
}

#[test]
fn problems_use_no_route_and_routes_do_not_use_each_other() {
    let http = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let read = |path: &Path| code(&fs::read_to_string(path).unwrap());
    for file in ["problem.rs", "field_error.rs"] {
        let code = read(&http.join(file));
        for root in ["super", "crate"] {
            for name in ["routes", "views", "problems", "service", "http"] {
                assert!(
                    !named(&code, root).contains(name),
                    "{file} must not use {name}"
                );
            }
        }
    }
    for file in files(&http.join("routes")) {
        let code = read(&file);
        let uses_route = code.contains("super::") || code.contains("routes::");
        assert!(!uses_route, "{} uses another route", file.display());
    }
}

/// Every path that begins with `root::`, without the root; `root::{a::x, b}` are two.
fn paths(code: &str, root: &str) -> Vec<Vec<String>> {
    let (mut found, start) = (Vec::new(), format!("{root}::"));
    for (at, _) in code.match_indices(&start) {
        if !code[..at].ends_with(|c: char| is_name(c) || c == ':') {
            let mut rest = code[at + start.len()..].chars().peekable();
            expand(&mut rest, &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Adds the paths of one `use` tree.
fn expand(rest: &mut Peekable<Chars<'_>>, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let before = path.len();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.next_if_eq(&'{').is_some() {
            loop {
                expand(rest, path, found);
                // What is behind a name, such as ` as other`.
                while rest.next_if(|&c| c != ',' && c != '}').is_some() {}
                if rest.next() != Some(',') {
                    break;
                }
            }
            break;
        }
        let mut name = String::new();
        while let Some(c) = rest.next_if(|&c| is_name(c)) {
            name.push(c);
        }
        if name.is_empty() {
            // Behind the last comma of a group.
            break;
        }
        if name != "self" {
            path.push(name);
        }
        let goes_on = rest.next_if_eq(&':').is_some() && rest.next_if_eq(&':').is_some();
        if !goes_on {
            found.push(path.clone());
            break;
        }
    }
    path.truncate(before);
}

/// The modules of a folder with their code, by their paths.
fn modules(folder: &str) -> BTreeMap<Vec<String>, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let module = |file: PathBuf| {
        let path = file
            .strip_prefix(&source)
            .expect("in the folder")
            .with_extension("");
        let names = path.iter().map(|name| name.to_string_lossy().into_owned());
        let names: Vec<_> = names.filter(|name| name != "mod").collect();
        (
            names,
            code(&fs::read_to_string(&file).expect("a readable file")),
        )
    };
    files(&source.join(folder))
        .into_iter()
        .map(module)
        .collect()
}

/// The modules that import each other in a circle: those that are left when modules that import
/// none of the rest are taken away again and again. A module imports those that it declares.
fn circle(modules: &BTreeMap<Vec<String>, String>) -> Vec<String> {
    let mut imports: BTreeMap<&[String], BTreeSet<&[String]>> = BTreeMap::new();
    for (module, code) in modules {
        let mut named = Vec::new();
        for path in paths(code, "crate") {
            named.push(path);
        }
        for path in paths(code, "super") {
            let up = 1 + path.iter().take_while(|name| *name == "super").count();
            let base = &module[..module.len().saturating_sub(up)];
            named.push([base, &path[up - 1..]].concat());
        }
        let declared = code.lines().filter_map(|line| {
            let line = line.trim().trim_start_matches("pub ");
            let name = line.strip_prefix("mod ")?.strip_suffix(';')?;
            Some([&module[..], &[name.to_owned()]].concat())
        });
        named.extend(declared);
        let targets = named.iter().filter_map(|path| {
            let lengths = (1..=path.len()).rev();
            let found = lengths.filter_map(|length| modules.get_key_value(&path[..length]));
            found.map(|(target, _)| &target[..]).next()
        });
        let targets = targets.filter(|target| target != module).collect();
        imports.insert(module, targets);
    }
    while let Some(free) = imports
        .iter()
        .find(|(_, targets)| targets.iter().all(|target| !imports.contains_key(target)))
        .map(|(module, _)| *module)
    {
        imports.remove(free);
    }
    imports.keys().map(|module| module.join("::")).collect()
}

#[test]
fn no_modules_inside_the_domain_or_the_service_import_each_other_in_a_circle() {
    for folder in ["domain", "service"] {
        let modules = modules(folder);
        assert!(modules.len() > 15, "{folder}: {}", modules.len());
        assert_eq!(circle(&modules), [""; 0], "{folder}");
    }
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let modules = |files: &[(&str, &str)]| -> BTreeMap<Vec<String>, String> {
        let path = |name: &str| name.split("::").map(str::to_owned).collect();
        let files = files.iter();
        files
            .map(|(name, code)| (path(name), (*code).to_owned()))
            .collect()
    };
    let found = |one: &str, two: &str| {
        circle(&modules(&[
            ("service", "pub mod jobs;\npub mod feed;"),
            ("service::jobs", "mod one;\nmod two;\npub use one::Job;"),
            ("service::jobs::one", one),
            ("service::jobs::two", two),
            ("service::feed", "use crate::domain::ids::JobId;"),
        ]))
    };
    let each_other = [
        "service",
        "service::jobs",
        "service::jobs::one",
        "service::jobs::two",
    ];
    for (one, two) in [
        ("use super::two::Two;", "use super::one;"),
        (
            "use super::{two::{Two, Three}, feed};",
            "use super::{\n    one as other,\n};",
        ),
        (
            "use crate::{service::{feed::Feed, jobs::two}};",
            "fn f() { super::super::jobs::one::g() }",
        ),
        (
            "fn f(x: super::two::Two) {}",
            "fn g(x: crate::service::jobs::one::One) {}",
        ),
    ] {
        assert_eq!(found(one, two), each_other, "{one} {two}");
    }
    let with_the_parent = ["service", "service::jobs", "service::jobs::one"];
    assert_eq!(found("use super::Job;", ""), with_the_parent);
    assert_eq!(
        found("use super::two;", "use crate::service::feed::{self, Feed};"),
        [""; 0]
    );
    assert_eq!(
        found("use super::super::feed;", "use crate::service::feed;"),
        [""; 0]
    );
}

#[test]
fn the_list_of_arrows_is_consistent() {
    for (from, to) in FORBIDDEN {
        let (_, allowed) = ARROWS.iter().find(|(name, _)| name == from).unwrap();
        assert!(!allowed.contains(to), "{from} → {to} is forbidden");
    }
    // Without adapters and entry points, the arrows have no cycle.
    for (from, targets) in ARROWS {
        for to in *targets {
            let (_, back) = ARROWS.iter().find(|(name, _)| name == to).unwrap();
            assert!(!back.contains(from), "{from} and {to} use each other");
        }
    }
}

#[test]
fn a_violation_is_found_in_every_spelling() {
    for source in [
        "use crate::storage::sqlite::SqliteEngine;",
        "use crate::{domain::ids::EmployeeId, storage};",
        "use crate::{\n    domain::{ids::EmployeeId, text::Name},\n    storage::{mongo, sqlite},\n};",
        "use crate::{self as rollcall, storage as kept};",
        "pub use crate::storage::memory;",
        "fn f() { crate::storage::open(); }",
        "fn f() -> Result<(), crate::storage::Error> { Ok(()) }",
        "let x: &dyn Fn(crate::storage::Row) = y;",
    ] {
        let wrong = violations("service", source);
        assert_eq!(wrong, ["service must not use storage"], "{source}");
    }
    assert_eq!(
        violations("domain", "use crate::ports::StoreError;"),
        ["domain must not use ports"]
    );
    assert_eq!(
        violations("service", "use axum::Json;\nfn f(x: ::ort::Session) {}"),
        ["service must not use the crate axum"]
    );
    assert_eq!(
        violations("main", "fn main() { rollcall::boot::run() }"),
        ["main must not use boot"]
    );
    assert_eq!(violations("novelty", ""), ["novelty has no row in ARROWS"]);
}

#[test]
fn allowed_names_and_text_are_not_reported() {
    for source in [
        "use crate::{domain::ids::EmployeeId, ports::{self, StoreError}};",
        "use crate::service::audit::Audit;",
        "// crate::storage would be wrong\n/// [`crate::http`]\nfn f() {}",
        "use super::storage;",
        "use other_crate::storage;",
        "use support::crate_like::storage;",
        "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::storage::sqlite;\n}",
        "use mytower_http::x;",
    ] {
        assert_eq!(violations("service", source), [""; 0], "{source}");
    }
}
