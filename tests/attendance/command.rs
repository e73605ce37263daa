//! `rollcall attendance derive`, the real program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::files;

fn derive(arguments: &[&str], files: &[PathBuf]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.env_clear().args(["attendance", "derive"]);
    command.args(arguments).args(files).output().unwrap()
}

fn text(of: &[u8]) -> &str {
    str::from_utf8(of).unwrap()
}

/// Writes a file with one golden case, in which a text is another one.
fn changed(folder: &Path, old: &str, new: &str) -> PathBuf {
    let breaks = files().find(|file| file.ends_with("breaks.toml")).unwrap();
    let cases = fs::read_to_string(breaks).unwrap();
    let case = cases
        .split("[[case]]")
        .find(|case| case.contains("\"breaks-03\""))
        .unwrap();
    assert!(case.contains(old), "{case}");
    let file = folder.join("case.toml");
    fs::write(&file, format!("[[case]]{}", case.replace(old, new))).unwrap();
    file
}

#[test]
fn the_golden_cases_pass_and_a_difference_fails() {
    let files: Vec<_> = files().collect();
    let checked = derive(&["--check"], &files);
    assert_eq!(text(&checked.stdout), "264 cases, 0 with differences\n");
    assert_eq!(checked.status.code(), Some(0));

    let folder = tempfile::tempdir().unwrap();
    let file = changed(folder.path(), "worked = \"6h\"", "worked = \"6h20m\"");
    let checked = derive(&["--check"], &[file]);
    assert_eq!(
        text(&checked.stdout),
        "breaks-03: 2026-03-02: worked 6h, expected 6h20m\n1 cases, 1 with differences\n"
    );
    assert_eq!(checked.status.code(), Some(1));
}

#[test]
fn each_figure_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let file = changed(folder.path(), "worked = \"6h\"", "");
    let printed = derive(&[], &[file]);
    let printed = text(&printed.stdout);
    for line in [
        "breaks-03: a break is never deducted below the hours that ask for it",
        "2026-03-02 Monday: presence 6h20m, worked 6h, auto_break 20m, balance 6h",
        "present from 08:00 to 14:20",
        "more than 6h of work ask for 30m of break, 0s were taken: 20m are deducted",
    ] {
        assert!(printed.contains(line), "{line}\n{printed}");
    }
}

#[test]
fn a_file_that_is_no_case_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = changed(folder.path(), "after = \"6h\"", "after = \"six\"");
    let refused = derive(&[], &[file]);
    assert_eq!(refused.status.code(), Some(1));
    let message = text(&refused.stderr);
    assert!(message.contains("case.toml"), "{message}");
    assert!(
        message.contains("must be a length of time such as 8h30m"),
        "{message}"
    );
}
