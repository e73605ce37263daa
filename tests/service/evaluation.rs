//! The evaluation of a model on an operator's photos, with counts made by hand.

use std::{fs, path::Path, sync::Arc};

use rollcall::service::evaluation::{
    BURST, EvaluateError, Evaluation, Plan, Progress, RATES, Tally, evaluate,
};
use tempfile::TempDir;

use rollcall::gallery::MemoryGallery;

use crate::scripted::{DIMENSIONS, ScriptedEngine};

/// Writes photos as `person/photo`.
fn photos(all: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in all {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// Four people. Of the thresholds at the three FPIRs among four people, .878, .892 and .912, Eve's
/// second photo reaches only the first: its similarity is .883. One of Bob's photos shows Ann, and
/// Dora's last two show other people.
fn people() -> TempDir {
    photos(&[
        ("ann/1", "ann"),
        ("ann/2", "ann~0.1#1"),
        ("ann/3", "ann~0.1#2"),
        ("ann/4", "ann~0.1#3"),
        ("ann/.hidden", "broken"),
        ("bob/1", "bob"),
        ("bob/2", "bob~0.1#1"),
        ("bob/3", "ann~0.1#9"),
        ("bob/4", "broken"),
        ("dora/1", "dora"),
        ("dora/2", "dora~0.1#1"),
        ("dora/3", "xaver"),
        ("dora/4", "yvonne"),
        ("eve/1", "eve"),
        ("eve/2", "eve~0.5#1"),
        ("eve/3", "eve~2#1"),
        ("notes.txt", "not a person"),
    ])
}

async fn run(
    people: &Path,
    strangers: Option<&Path>,
    enroll: Option<usize>,
) -> Result<Evaluation, EvaluateError> {
    let plan = Plan {
        people,
        strangers,
        enroll,
        least_margin: 0.01,
        at_once: 2,
    };
    let gallery = MemoryGallery::new(DIMENSIONS);
    let engine = Arc::new(ScriptedEngine::default());
    let mut last = None;
    let evaluation = evaluate(engine, &gallery, &plan, |progress| last = Some(progress)).await?;
    let Some(Progress { done, people }) = last else {
        panic!("no progress")
    };
    assert_eq!(done, people);
    Ok(evaluation)
}

/// Returns the counts at each FPIR: right, wrong, nobody, strangers named, strangers.
fn counts(tally: &Tally) -> Vec<[usize; 5]> {
    let rows = tally
        .rows()
        .inspect(|row| assert!(RATES.contains(&row.fpir)));
    rows.map(|row| {
        [
            row.right,
            row.wrong,
            row.nobody,
            row.strangers_named,
            row.strangers,
        ]
    })
    .collect()
}

#[tokio::test]
async fn the_counts_are_those_made_by_hand() {
    let people = people();
    let evaluation = run(people.path(), None, Some(1)).await.unwrap();
    assert_eq!((evaluation.people, evaluation.photos), (4, 4));
    assert!(evaluation.leave_one_out && evaluation.not_enrolled.is_empty());
    let left_out: Vec<_> = evaluation
        .left_out
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(left_out, ["bob/4: the image is truncated or damaged"]);

    let [singles, bursts] = &evaluation.tallies;
    assert_eq!((singles.frames, bursts.frames), (1, BURST));
    // Right: three of Ann, one of Bob, one of Dora, and Eve's second photo.
    let strict = [5, 1, 4, 1, 10];
    assert_eq!(counts(singles), [[6, 1, 3, 1, 10], strict, strict]);
    // A burst of Ann, and one of Dora that shows three people.
    let burst = [1, 0, 1, 0, 2];
    assert_eq!(counts(bursts), [burst; 3]);
    assert_eq!((singles.searches(), bursts.searches()), (10, 2));

    // Bob's photo of Ann, with Bob enrolled and as a stranger.
    assert_eq!(singles.confusions.len(), 2);
    for (confusion, stranger) in singles.confusions.iter().zip([false, true]) {
        assert_eq!((&*confusion.shown, &*confusion.named), ("bob", "ann"));
        assert_eq!(
            (confusion.stranger, &confusion.photos[..]),
            (stranger, &["3".to_owned()][..])
        );
        assert_eq!(confusion.fpirs, RATES);
    }
    assert_eq!(bursts.confusions, []);

    // A laxer search never identifies fewer people.
    let lax = singles.curve.windows(2).all(|pair| {
        pair[0].fpir > pair[1].fpir
            && pair[0].right >= pair[1].right
            && pair[0].nobody <= pair[1].nobody
    });
    assert!(lax, "{:?}", singles.curve);
}

#[tokio::test]
async fn strangers_can_come_from_a_folder() {
    let people = people();
    let strangers = photos(&[
        ("1", "zoe"),
        ("2", "ann~0.1#20"),
        ("dave/1", "dave~0.1#1"),
        ("dave/2", "dave~0.1#2"),
        ("dave/3", "dave~0.1#3"),
    ]);
    let evaluation = run(people.path(), Some(strangers.path()), Some(1))
        .await
        .unwrap();
    assert!(!evaluation.leave_one_out);
    let [singles, bursts] = &evaluation.tallies;
    assert_eq!(counts(singles)[2], [5, 1, 4, 1, 5]);
    assert_eq!(counts(bursts)[2], [1, 0, 1, 0, 1]);
    let named: Vec<_> = singles
        .confusions
        .iter()
        .filter(|one| one.stranger)
        .collect();
    assert_eq!(
        (named.len(), &*named[0].photos[0], &*named[0].named),
        (1, "2", "ann")
    );
}

#[tokio::test]
async fn by_default_the_last_third_of_the_photos_is_searched_for() {
    let people = photos(&[
        ("ann/1", "ann~0.1#1"),
        ("ann/2", "ann~0.1#2"),
        ("ann/3", "ann~0.1#3"),
        ("ann/4", "ann~0.1#4"),
        ("bob/1", "bob~0.1#1"),
        ("bob/2", "bob~0.1#2"),
        ("carl/1", "carl"),
        // Unusable for an enrollment.
        ("dora/1", "dora width=20"),
        ("dora/2", "dora"),
    ]);
    let evaluation = run(people.path(), None, None).await.unwrap();
    // Two of Ann, one of Bob and one of Carl, who is never searched for.
    assert_eq!((evaluation.people, evaluation.photos), (3, 4));
    assert_eq!(counts(&evaluation.tallies[0])[1], [3, 0, 0, 0, 3]);
    assert_eq!(evaluation.not_enrolled, ["dora"]);
    assert!(
        evaluation.left_out[0].photo == "dora/1"
            && evaluation.left_out[0].reason.contains("closer")
    );
}

#[tokio::test]
async fn too_few_photos_are_an_error_that_says_what_is_missing() {
    let message = |result: Result<Evaluation, EvaluateError>| result.unwrap_err().to_string();
    let empty = photos(&[("1.jpg", "ann"), ("empty/.hidden", "")]);
    let none = message(run(empty.path(), None, None).await);
    assert!(
        none.starts_with("no photos in ") && none.contains("subfolder"),
        "{none}"
    );

    let alone = photos(&[
        ("ann/1", "ann"),
        ("ann/2", "ann"),
        ("bob/1", "broken"),
        ("bob/2", "broken"),
    ]);
    let few = message(run(alone.path(), None, None).await);
    assert!(
        few.starts_with("only 1 of 2 people could be enrolled; at least 2"),
        "{few}"
    );
    assert!(
        few.contains("bob/1: the image is truncated or damaged, and 1 more"),
        "{few}"
    );

    let people = people();
    let all = message(run(people.path(), None, Some(9)).await);
    assert!(all.contains("--enroll"), "{all}");
    let strangers = message(run(people.path(), Some(&empty.path().join("empty")), None).await);
    assert!(strangers.starts_with("no photos in "), "{strangers}");
    let missing = message(run(&people.path().join("none"), None, None).await);
    assert!(missing.starts_with("could not read "), "{missing}");
}
