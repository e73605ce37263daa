//! The examples of `docs/ATTENDANCE.md` are those of the golden cases.

use std::{collections::BTreeSet, fs, path::Path};

use rollcall::{
    cli::attendance::case::Answer,
    domain::attendance::{Adjusted, time::Hours},
};

use super::{files, golden};

/// A row of a table of examples.
struct Example {
    id: String,
    story: String,
    figures: Vec<String>,
}

fn examples(page: &str) -> Vec<Example> {
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, id, story, figures, _] = cells[..] else {
            return None;
        };
        let id = id.strip_prefix('`')?.strip_suffix('`')?;
        // The names of cases end with a number, those of codes and rules do not.
        id.ends_with(|last: char| last.is_ascii_digit())
            .then(|| Example {
                id: id.to_owned(),
                story: story.to_owned(),
                figures: figures.split(", ").map(str::to_owned).collect(),
            })
    });
    rows.collect()
}

/// Returns everything that a page can say of an answer.
fn facts(of: &Answer) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for day in &of.days {
        let figures = day.figures().into_iter();
        facts.extend(figures.map(|(name, figure)| format!("{name} {}", Hours(figure))));
        let bands = day.bands.iter();
        facts.extend(bands.map(|(name, figure)| format!("band {name} {}", Hours(*figure))));
        facts.extend(day.exceptions.iter().map(ToString::to_string));
    }
    for week in &of.weeks {
        facts.insert(format!("week worked {}", Hours(week.worked)));
        facts.insert(format!("week overtime {}", Hours(week.overtime)));
    }
    for adjustment in &of.adjustments {
        assert!(matches!(adjustment.of, Adjusted::Day(_)));
        let figures = adjustment.figures().into_iter();
        facts.extend(figures.map(|(name, figure)| format!("adjusted {name} {}", Hours(figure))));
        facts.extend(adjustment.held.then(|| "adjusted held".to_owned()));
    }
    let directions = of.directions.iter();
    facts.extend(directions.map(|(_, (kind, reason))| format!("{} {reason}", kind.as_str())));
    facts
}

/// Returns the times of day in a text.
fn times(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|other: char| !other.is_ascii_digit() && other != ':');
    words
        .filter(|word| word.len() >= 5 && word.contains(':'))
        .map(|word| word.trim_end_matches(':'))
}

#[test]
fn the_examples_of_the_page_are_golden_cases_with_their_figures_and_times() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ATTENDANCE.md");
    let page = fs::read_to_string(page).unwrap();
    let cases = golden();
    let texts: String = files()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let examples = examples(&page);
    assert!(examples.len() > 40, "{}", examples.len());
    for Example { id, story, figures } in examples {
        let case = cases.iter().find(|case| case.id == id);
        let case = case.unwrap_or_else(|| panic!("there is no case {id}"));
        let facts = facts(&case.answer().unwrap());
        for figure in figures {
            assert!(
                facts.contains(&figure),
                "{id}: {figure} is not among {facts:?}"
            );
        }
        let begin = texts.find(&format!("id = \"{id}\"")).unwrap();
        let text = texts[begin..].split("[[case]]").next().unwrap();
        for time in times(&story) {
            assert!(text.contains(time), "{id}: {time}");
        }
    }
}
