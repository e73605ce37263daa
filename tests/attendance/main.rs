//! The calculation of attendance: the golden cases of `tests/fixtures/attendance`.

mod command;
mod laws;
mod page;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use rollcall::cli::attendance::case::{self, Case};

/// Returns the files of golden cases, by name.
fn files() -> impl Iterator<Item = PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/attendance");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let files: BTreeSet<_> = files
        .filter(|file| file.extension().is_some_and(|ext| ext == "toml"))
        .collect();
    files.into_iter()
}

/// Reads all golden cases.
fn golden() -> Vec<Case> {
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        case::read(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    files().flat_map(read).collect()
}

#[test]
fn every_golden_case_has_its_answer() {
    let cases = golden();
    let ids: BTreeSet<_> = cases.iter().map(|case| &case.id).collect();
    assert_eq!(ids.len(), cases.len(), "an ID is there twice");
    assert_eq!(cases.len(), 264);
    assert_answers(&cases);
}

#[test]
fn every_case_beyond_the_golden_ones_has_its_answer() {
    assert_answers(&case::read(include_str!("edges.toml")).unwrap());
}

fn assert_answers(cases: &[Case]) {
    let differences = cases.iter().flat_map(|case| {
        let answer = case.answer().unwrap();
        let differences = case.differences(&answer).into_iter();
        differences.map(|difference| format!("{}: {difference}", case.id))
    });
    let differences: Vec<_> = differences.collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}
