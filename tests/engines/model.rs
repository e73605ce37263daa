//! Any history has the same results on an engine as on the memory engine.

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, TestCaseError, TestRunner},
};
use rollcall::{
    domain::record::{Index, Key, KeyParts},
    ports::{Expect, Parts, Range, RecordEngine, Revision, StoreError, Stored, Write},
    storage::memory::MemoryEngine,
};
use serde_json::json;

use crate::{
    Opened,
    things::{CODE, Change, INDEXES, OWNER, THINGS, TIME, get_thing, normal, thing},
};

/// Number of histories, and the maximum number of steps of each.
const HISTORIES: u32 = 48;
const STEPS: usize = 60;

/// Few IDs, so that writes conflict. The last two sort differently in UTF-16.
const IDS: [&str; 6] = ["a", "aa", "b", "é", "\u{ffee}", "😀"];

/// Empty parts, parts that begin with others, and again the order of UTF-16.
const KEYS: [&str; 9] = [
    "", "\u{1}", "a", "a\u{1}", "a\u{1}b", "ab", "Z", "\u{ffee}", "😀",
];

/// Further ends of ranges: after all keys with the first part `a`, and after everything.
const ENDS: [&str; 2] = ["a\u{2}", "\u{10ffff}"];

/// The text of a key, with its separators.
struct Text(&'static str);

impl KeyParts for Text {
    fn write(&self, text: &mut String) {
        text.push_str(self.0);
    }
}

/// The precondition of a write.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Absent,
    Any,
    /// The current revision.
    Present,
    Revision(Revision),
}

#[derive(Debug, Clone)]
enum Step {
    Put {
        id: &'static str,
        version: u16,
        blob: Option<Vec<u8>>,
        /// In the order of [`INDEXES`].
        keys: [Option<&'static str>; 3],
        wanted: Wanted,
    },
    Delete(Vec<(&'static str, Option<Revision>)>),
    Get(Vec<&'static str>, Parts),
    Scan(Index, Range, usize, Parts),
    Count(Index, Range),
}

#[derive(Debug, PartialEq)]
enum Answer {
    Written(Result<Option<Revision>, StoreError>),
    Number(Result<u64, StoreError>),
    Records(Result<Vec<Option<Stored>>, StoreError>),
}

fn parts() -> impl Strategy<Value = Parts> {
    select(&[Parts::Head, Parts::Body, Parts::Whole][..])
}

fn index() -> impl Strategy<Value = Index> {
    select(&[CODE, OWNER, TIME, Index::ID][..])
}

fn wanted() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        3 => Just(Wanted::Absent),
        2 => Just(Wanted::Any),
        2 => Just(Wanted::Present),
        1 => (1..4_u64).prop_map(Wanted::Revision),
    ]
}

fn range() -> impl Strategy<Value = Range> {
    let bound = || {
        let texts: Vec<_> = [&KEYS[..], &ENDS, &IDS].concat();
        option::weighted(0.4, select(texts).prop_map(|text| key(Text(text))))
    };
    let after = (select(&KEYS[..]), select(&IDS[..]));
    let after = after.prop_map(|(text, id)| (key(Text(text)), id.to_owned()));
    (
        bound(),
        bound(),
        any::<bool>(),
        option::weighted(0.4, after),
    )
        .prop_map(|(from, before, backwards, after)| Range {
            from,
            before,
            backwards,
            after,
        })
}

fn key(parts: impl KeyParts) -> Key {
    Key::new(parts)
}

fn step() -> impl Strategy<Value = Step> {
    let blob = || option::of(select(vec![Vec::new(), vec![0, 255, 39, 0]]));
    let key = || option::weighted(0.7, select(&KEYS[..]));
    let put = (
        select(&IDS[..]),
        1..3_u16,
        blob(),
        [key(), key(), key()],
        wanted(),
    );
    let put = put.prop_map(|(id, version, blob, keys, wanted)| Step::Put {
        id,
        version,
        blob,
        keys,
        wanted,
    });
    let deleted = (select(&IDS[..]), option::weighted(0.4, 1..4_u64));
    let limit = prop_oneof![0..4_usize, Just(usize::MAX)];
    prop_oneof![
        8 => put,
        2 => vec(deleted, 0..4).prop_map(Step::Delete),
        2 => (vec(select(&IDS[..]), 0..5), parts()).prop_map(|(ids, parts)| Step::Get(ids, parts)),
        6 => (index(), range(), limit, parts())
            .prop_map(|(index, range, limit, parts)| Step::Scan(index, range, limit, parts)),
        2 => (index(), range()).prop_map(|(index, range)| Step::Count(index, range)),
    ]
}

fn normalized(stored: Stored) -> Stored {
    Stored {
        body: normal(&stored.body),
        ..stored
    }
}

async fn expect(engine: &dyn RecordEngine, id: &str, wanted: Wanted) -> Expect {
    match wanted {
        Wanted::Absent => Expect::Absent,
        Wanted::Any => Expect::Any,
        Wanted::Revision(revision) => Expect::Revision(revision),
        Wanted::Present => {
            let present = get_thing(engine, id).await;
            present.map_or(Expect::Absent, |stored| Expect::Revision(stored.revision))
        }
    }
}

/// Executes the step with this number.
async fn take(engine: &dyn RecordEngine, number: usize, step: &Step) -> Answer {
    match step.clone() {
        Step::Put {
            id,
            version,
            blob,
            keys,
            wanted,
        } => {
            let mut write = Write {
                version,
                blob,
                ..thing(id).body(json!({ "step": number }))
            };
            for (index, text) in INDEXES.into_iter().zip(keys) {
                if let Some(text) = text {
                    write = write.key(index, Text(text));
                }
            }
            let write = write.expect(expect(engine, id, wanted).await);
            Answer::Written(engine.put(write).await)
        }
        Step::Delete(records) => {
            let records: Vec<_> = records
                .into_iter()
                .map(|(id, revision)| (id.to_owned(), revision))
                .collect();
            Answer::Number(engine.delete(&THINGS, &records).await)
        }
        Step::Get(ids, parts) => {
            let ids: Vec<_> = ids.into_iter().map(str::to_owned).collect();
            let found = engine.get(&THINGS, &ids, parts).await;
            Answer::Records(
                found.map(|found| found.into_iter().map(|one| one.map(normalized)).collect()),
            )
        }
        Step::Scan(index, range, limit, parts) => {
            let found = engine.scan(&THINGS, index, &range, limit, parts).await;
            Answer::Records(
                found.map(|found| found.into_iter().map(|one| Some(normalized(one))).collect()),
            )
        }
        Step::Count(index, range) => Answer::Number(engine.count(&THINGS, index, &range).await),
    }
}

/// Executes the steps on the emptied engine and on a memory engine.
async fn compare(engine: &dyn RecordEngine, steps: &[Step]) -> Result<(), TestCaseError> {
    let everything: Vec<_> = IDS.iter().map(|id| ((*id).to_owned(), None)).collect();
    engine.delete(&THINGS, &everything).await.unwrap();
    let model = MemoryEngine::default();
    for (number, step) in steps.iter().enumerate() {
        let expected = take(&model, number, step).await;
        let answer = take(engine, number, step).await;
        prop_assert_eq!(answer, expected, "step {}: {:?}", number, step);
    }
    // In the end, all records are the same.
    for index in [CODE, OWNER, TIME, Index::ID] {
        let all = Step::Scan(index, Range::all(), usize::MAX, Parts::Whole);
        let expected = take(&model, steps.len(), &all).await;
        let answer = take(engine, steps.len(), &all).await;
        prop_assert_eq!(answer, expected, "at the end, {}", index.name);
    }
    Ok(())
}

pub async fn a_history_has_the_results_of_the_memory_engine(opened: &Opened) {
    let mut runner = TestRunner::new(Config {
        cases: HISTORIES,
        max_shrink_iters: 400,
        failure_persistence: None,
        ..Config::default()
    });
    let runtime = tokio::runtime::Handle::current();
    let outcome = tokio::task::block_in_place(|| {
        runner.run(&vec(step(), 1..STEPS), |steps| {
            runtime.block_on(compare(&*opened.engine, &steps))
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
