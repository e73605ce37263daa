//! The steps of the image, run without a container engine: downloads are pinned, the layout
//! contains everything that the program needs, and the program runs as an unprivileged user on a
//! read-only file system.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

/// Returns the instructions of the Dockerfile, with joined continuation lines and without comments.
fn instructions() -> Vec<(String, String)> {
    text("Dockerfile")
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n")
        .replace("\\\n", " ")
        .lines()
        .filter_map(|line| line.trim().split_once(char::is_whitespace))
        .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
        .collect()
}

fn all<'a>(instructions: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let of_name = instructions.iter().filter(|(each, _)| each == name);
    of_name.map(|(_, rest)| rest.as_str()).collect()
}

/// Returns the `ENV` of the image.
pub(super) fn environment() -> BTreeMap<String, String> {
    let instructions = instructions();
    let pairs = all(&instructions, "ENV").join(" ");
    let pairs = pairs.split_whitespace().map(|pair| pair.split_once('='));
    pairs
        .map(Option::unwrap)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn every_base_is_pinned_by_hash_and_can_be_replaced_by_an_argument() {
    let instructions = instructions();
    let arguments: BTreeMap<_, _> = all(&instructions, "ARG")
        .into_iter()
        .map(|argument| argument.split_once('=').unwrap())
        .collect();
    assert_eq!(arguments.len(), 3);
    for (name, image) in &arguments {
        assert!(pinned(image), "{name} is {image}");
    }
    for base in all(&instructions, "FROM") {
        let base = base.split_whitespace().next().unwrap();
        let argument = base.trim_start_matches("${").trim_end_matches('}');
        assert!(
            base == "scratch" || arguments.contains_key(argument),
            "{base}"
        );
    }
}

#[test]
fn every_step_is_a_script_of_the_project_and_the_last_stage_has_none() {
    let instructions = instructions();
    for step in all(&instructions, "RUN") {
        let words: Vec<String> = serde_json::from_str(step).expect("a list: there is no shell");
        let script = project(&words[0]);
        let mode = script.metadata().unwrap().permissions().mode();
        assert!(mode & 0o111 != 0, "{step} cannot be run");
        assert!(text(&words[0]).starts_with("#!/bin/sh\n"));
    }
    let last = instructions.iter().rposition(|(name, _)| name == "FROM");
    let last = &instructions[last.unwrap()..];
    assert_eq!(last[0].1, "scratch");
    assert!(all(last, "RUN").is_empty());
    let nobody = all(last, "USER");
    assert!(
        nobody.len() == 1 && !nobody[0].starts_with('0'),
        "{nobody:?}"
    );
    for name in ["HEALTHCHECK", "ENTRYPOINT", "CMD"] {
        let rest = all(last, name).join("");
        assert!(rest.contains('['), "{name} {rest} would need a shell");
    }
}

#[test]
fn the_image_sets_only_settings_of_the_program() {
    let environment = environment();
    assert!(environment.len() >= 5, "{environment:?}");
    assert_settings("Dockerfile", &environment);
}

#[test]
fn onnx_runtime_is_pinned_for_both_processors() {
    let pinned = text("scripts/onnxruntime.txt");
    assert_eq!(pinned.matches("--hash=sha256:").count(), 2);
    let setup = text("scripts/setup-onnxruntime");
    assert!(setup.contains("--require-hashes"));
    assert!(setup.contains("x86_64 | aarch64"));
}

/// Cargo finds all targets of the package among the files that `.dockerignore` allows.
#[test]
fn the_build_context_is_sufficient_to_build() {
    let folder = tempfile::tempdir().unwrap();
    let ignored = text(".dockerignore");
    let mut sent = Vec::new();
    for line in ignored.lines().filter_map(|line| line.strip_prefix('!')) {
        match line.strip_prefix("tests/") {
            None if line == "tests" => {}
            None => sent.push(PathBuf::from(line)),
            Some("*.rs") => {
                let tests = fs::read_dir(project("tests")).unwrap().map(Result::unwrap);
                let files = tests.map(|entry| Path::new("tests").join(entry.file_name()));
                sent.extend(files.filter(|path| path.extension().is_some_and(|end| end == "rs")));
            }
            Some(folder) => sent.push(Path::new("tests").join(folder)),
        }
    }
    assert!(!sent.is_empty());
    for path in &sent {
        let link = folder.path().join(path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(project(path.to_str().unwrap()), link).unwrap();
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "metadata",
        "--offline",
        "--locked",
        "--no-deps",
        "--format-version=1",
    ]);
    run(cargo
        .arg("--manifest-path")
        .arg(folder.path().join("Cargo.toml")));
    // Files outside of src that are compiled in: `include_bytes!("../../…")` and rust-embed.
    for needed in [
        "static/shell.html",
        "tools/pages/package-lock.json",
        "models/catalog.toml",
        "tests/fixtures/faces",
    ] {
        assert!(folder.path().join(needed).exists(), "{needed}");
    }
}

/// Lays out the program of this build, as the Dockerfile does.
fn layout() -> Result<tempfile::TempDir, String> {
    if !project(".tools/onnxruntime/libonnxruntime.so").exists() {
        return Err("ONNX Runtime is missing: run `make setup`".to_owned());
    }
    let folder = tempfile::tempdir().unwrap();
    // Another user must be able to enter it.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut layout = Command::new(project("scripts/image/layout"));
    layout.arg(env!("CARGO_BIN_EXE_rollcall"));
    run(layout.arg(folder.path().join("image")));
    Ok(folder)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn the_image_contains_what_the_program_needs_and_no_shell() {
    let folder = match layout() {
        Ok(folder) => folder,
        Err(why) => return skip::skip("the image's file system", &why),
    };
    let root = folder.path().join("image/root");
    let environment = environment();
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    assert!(inside(&environment["ORT_DYLIB_PATH"]).is_file());
    assert!(
        inside(&environment["MODELS_DIR"])
            .join("mobilefacenet/pack.toml")
            .is_file()
    );
    assert!(inside("/usr/bin/rollcall").is_file());
    for license in [
        "rollcall/LICENSE",
        "onnxruntime/LICENSE",
        "onnxruntime/ThirdPartyNotices.txt",
    ] {
        assert!(
            inside("/usr/share/doc").join(license).is_file(),
            "{license}"
        );
    }
    let data = folder.path().join("image/data");
    assert_eq!(data.metadata().unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    for file in files(&root) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let mode = file.metadata().unwrap().mode();
        assert_eq!(mode & 0o6022, 0, "{} has mode {mode:o}", file.display());
        let program = mode & 0o111 != 0 && !name.contains(".so");
        assert!(
            !program || name == "rollcall",
            "{} is a program",
            file.display()
        );
    }
}

/// Runs the program as a container engine would: another root, read-only, another user, no
/// capabilities.
#[test]
fn the_image_runs_unprivileged_on_a_read_only_file_system() {
    const TEST: &str = "the image as nobody on a read-only root";
    let folder = match layout() {
        Ok(folder) => folder,
        Err(why) => return skip::skip(TEST, &why),
    };
    let mut trial = Command::new("unshare");
    trial.args(["--mount", "true"]);
    if !trial
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        return skip::skip(TEST, "mounting needs root here");
    }
    let image = folder.path().join("image");
    fs::create_dir_all(image.join("root/data")).unwrap();
    fs::create_dir_all(image.join("root/proc")).unwrap();
    // The mounts are private and end with the process.
    let script = r#"
        set -eu
        chown 10001:10001 "$0/data"
        mount --bind "$0/root" "$0/root"
        mount --bind "$0/data" "$0/root/data"
        mount -t proc proc "$0/root/proc"
        mount -o remount,bind,ro "$0/root"
        ! touch "$0/root/x" 2>/dev/null
        exec chroot --userspec=10001:10001 "$0/root" "$@"
    "#;
    let port = free_port();
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", script])
            .arg(&image)
            .arg("/usr/bin/rollcall")
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(environment())
            .env("PORT", port.to_string())
            .stdout(Stdio::null());
        command
    };
    let mut service = Running(inside(&["serve"]).spawn().unwrap());
    let ready = eventually(PATIENCE, || {
        assert!(service.0.try_wait().unwrap().is_none(), "it does not start");
        status(&format!("http://127.0.0.1:{port}/readyz"), None).filter(|status| *status == 200)
    });
    assert!(ready.is_some(), "it was not ready in time");
    assert!(inside(&["health"]).status().unwrap().success());
    assert!(image.join("data/rollcall.db").is_file());
    drop(service);
    assert!(
        !inside(&["health"])
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
}
