//! The arrows of the architecture, held to the `use` lines and `crate::` paths.
//!
//! One crate gives no walls that a compiler enforces, so this test is the wall. A module may
//! name itself and what stands behind it in `ARROWS`, nothing else; every module has a row.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Each module of the crate, and the modules that it may name.
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
            "ports",
            "service",
            "storage",
            "telemetry",
            "vision",
            "workers",
        ],
    ),
    // The only one that names every adapter.
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
            "ports",
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
        &["clock", "domain", "ports", "service", "telemetry"],
    ),
    (
        "service",
        &["clock", "domain", "ports", "telemetry", "vault"],
    ),
    ("storage", &["domain", "ports"]),
    ("vision", &["domain", "ports", "telemetry"]),
    ("gallery", &["domain", "ports"]),
    ("cameras", &["domain", "ports"]),
    ("vault", &["domain", "ports"]),
    ("ports", &["domain"]),
    ("domain", &[]),
    ("telemetry", &["config"]),
    ("config", &["domain"]),
    ("clock", &[]),
];

/// Arrows that must never be drawn, whatever is added to the list above: the rules stay free of
/// I/O, the services know no adapter, and no way in knows another.
const FORBIDDEN: &[(&str, &str)] = &[
    ("domain", "ports"),
    ("domain", "clock"),
    ("ports", "service"),
    ("ports", "vault"),
    ("service", "storage"),
    ("service", "vision"),
    ("service", "gallery"),
    ("service", "cameras"),
    ("service", "http"),
    ("service", "config"),
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

/// Crates that only some modules may use: an adapter's library stays in the adapter.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("axum", &["http", "boot"]),
    ("tower_http", &["http"]),
    ("utoipa", &["http"]),
    ("mongodb", &["storage"]),
    ("rusqlite", &["storage"]),
    ("ort", &["vision"]),
    ("reqwest", &["cameras"]),
    ("clap", &["cli", "main"]),
    ("aes_gcm", &["vault"]),
    ("rustls", &["boot"]),
    ("socket2", &["boot"]),
    ("rcgen", &["cli"]),
    ("age", &["cli"]),
    ("x509_parser", &["boot"]),
];

/// The text without comments, strings and test modules, so that only code is judged.
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

/// A line without what stands between quotes. Strings over several lines are left as they are.
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

/// The first segments of all paths that begin with `root::`, also of `root::{a::x, b}`.
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

/// The first segments of the entries of a `use` group, up to its closing brace.
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

/// What is wrong with a file of a module.
fn broken(module: &str, source: &str) -> Vec<String> {
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
            wrong.push(format!("{module} must not name {target}"));
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

/// Every file below a folder.
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
fn the_arrows_point_inwards() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for file in files(&source) {
        let path = file.strip_prefix(&source).unwrap();
        let first = path.components().next().unwrap().as_os_str();
        let module = first.to_str().unwrap().trim_end_matches(".rs").to_owned();
        if module == "lib" {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let place = path.display();
        wrong.extend(
            broken(&module, &text)
                .iter()
                .map(|what| format!("{place}: {what}")),
        );
        if !text.starts_with("//!") {
            wrong.push(format!(
                "{place}: does not open with //! and what it is for"
            ));
        }
        seen.insert(module);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for module in ["domain", "ports", "service", "http", "storage", "vision"] {
        assert!(seen.contains(module), "{module} was not looked at");
    }
}

#[test]
fn the_list_itself_breaks_no_rule() {
    for (from, to) in FORBIDDEN {
        let (_, allowed) = ARROWS.iter().find(|(name, _)| name == from).unwrap();
        assert!(!allowed.contains(to), "{from} → {to} is forbidden");
    }
    // Without adapters and ways in, the arrows have no circle.
    for (from, targets) in ARROWS {
        for to in *targets {
            let (_, back) = ARROWS.iter().find(|(name, _)| name == to).unwrap();
            assert!(!back.contains(from), "{from} and {to} name each other");
        }
    }
}

#[test]
fn a_broken_arrow_is_found_however_it_is_written() {
    for source in [
        "use crate::storage::sqlite::SqliteStore;",
        "use crate::{domain::ids::EmployeeId, storage};",
        "use crate::{\n    domain::{ids::EmployeeId, text::Name},\n    storage::{mongo, sqlite},\n};",
        "use crate::{self as rollcall, storage as kept};",
        "pub use crate::storage::Stores;",
        "fn f() { crate::storage::open(); }",
        "fn f() -> Result<(), crate::storage::Error> { Ok(()) }",
        "let x: &dyn Fn(crate::storage::Row) = y;",
    ] {
        let wrong = broken("service", source);
        assert_eq!(wrong, ["service must not name storage"], "{source}");
    }
    assert_eq!(
        broken("domain", "use crate::ports::StoreError;"),
        ["domain must not name ports"]
    );
    assert_eq!(
        broken("service", "use axum::Json;\nfn f(x: ::ort::Session) {}"),
        ["service must not use the crate axum"]
    );
    assert_eq!(
        broken("main", "fn main() { rollcall::boot::run() }"),
        ["main must not name boot"]
    );
    assert_eq!(broken("novelty", ""), ["novelty has no row in ARROWS"]);
}

#[test]
fn what_is_allowed_or_no_code_is_not_complained_about() {
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
        assert_eq!(broken("service", source), [""; 0], "{source}");
    }
}
