//! The contract of a record engine. Bodies are JSON objects, like those of records.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use rollcall::{
    domain::record::{Index, Key, KeyParts},
    ports::{Expect, Parts, Range, RecordEngine, Revision, StoreError, Stored, Write},
};
use serde_json::json;

pub use crate::model::a_history_has_the_results_of_the_memory_engine;
use crate::{
    Opened,
    things::{
        CODE, Change, OTHERS, OWNER, THINGS, TIME, get, get_thing, ids, ids_of, paged_ids, put,
        stored, thing,
    },
};

/// Number of concurrent attempts of which only one may succeed.
const RACERS: usize = 50;

/// Texts that a careless query, encoding or comparison would misinterpret.
const TRICKY: [&str; 16] = [
    "",
    " ",
    r#"{"$gt":""}"#,
    "$where: 1",
    ".*",
    r"a\.c [d]+(e)|^f$ \Q \E",
    "100% _ like",
    r#"'; DROP TABLE things; -- ""#,
    "null",
    "\u{0}\u{1}\u{2}\u{7f}\u{85}\u{2028}",
    "tab\tline\nreturn\r",
    "Ünïcödé Ñandú",
    "e\u{301} and é",
    "İstanbul ẞ",
    "李小龍 👩🏽‍🚀 𝔘\u{10ffff}",
    "\u{feff}\u{fffd}\u{ffff}",
];

fn range(from: Option<&str>, before: Option<&str>) -> Range {
    let key = |text: &str| Key::new((text,));
    Range {
        from: from.map(key),
        before: before.map(key),
        ..Range::all()
    }
}

fn conflict<T: std::fmt::Debug + PartialEq>(result: Result<T, StoreError>) {
    assert_eq!(result, Err(StoreError::Conflict));
}

/// Makes all writes at once; returns their results.
async fn race(
    engine: &Arc<dyn RecordEngine>,
    writes: impl Iterator<Item = Write>,
) -> Vec<Result<Option<Revision>, StoreError>> {
    let tries = writes.map(|write| {
        let engine = engine.clone();
        tokio::spawn(async move { engine.put(write).await })
    });
    let answers = join_all(tries).await;
    answers.into_iter().map(Result::unwrap).collect()
}

/// Checks that one of many inserts succeeds; returns which.
fn one_inserts(answers: &[Result<Option<Revision>, StoreError>]) -> usize {
    let (winners, losers): (Vec<_>, Vec<_>) =
        answers.iter().enumerate().partition(|(_, one)| one.is_ok());
    assert_eq!(winners.len(), 1, "{answers:?}");
    for (_, answer) in losers {
        assert_eq!(*answer, Err(StoreError::Conflict));
    }
    assert_eq!(*winners[0].1, Ok(Some(1)));
    winners[0].0
}

pub async fn a_record_is_read_as_written(opened: &Opened) {
    let engine = &*opened.engine;
    let write = Write {
        version: 7,
        ..thing("one")
    };
    let write = write
        .key(CODE, ("E1",))
        .key(TIME, (5_u64,))
        .body(json!({ "name": "Ann", "age": 41 }))
        .blob(&[0, 1, 39, 255]);
    assert_eq!(put(engine, write.clone()).await, 1);
    assert_eq!(get_thing(engine, "one").await, Some(stored(&write, 1)));
    let scanned = engine
        .scan(&THINGS, CODE, &Range::all(), 1, Parts::Whole)
        .await
        .unwrap();
    assert_eq!(scanned, [get_whole(engine, "one").await]);
    assert_eq!(get_thing(engine, "two").await, None);
}

/// Reads a whole thing.
async fn get_whole(engine: &dyn RecordEngine, id: &str) -> Stored {
    let ids = [id.to_owned()];
    let found = engine.get(&THINGS, &ids, Parts::Whole).await.unwrap();
    found.into_iter().next().flatten().unwrap()
}

pub async fn texts_are_read_as_written(opened: &Opened) {
    let engine = &*opened.engine;
    for (number, text) in TRICKY.iter().enumerate() {
        let write = thing(&format!("{number:02}"))
            .body(json!({ "text": text, "list": TRICKY, "more": { "text": text } }))
            .key(CODE, (*text,))
            .key(OWNER, ("all", *text));
        put(engine, write.clone()).await;
        let found = get_thing(engine, &write.id).await;
        assert_eq!(found, Some(stored(&write, 1)), "{text:?}");
    }
    for (number, text) in TRICKY.iter().enumerate() {
        let key = Key::new((*text,));
        let found = ids(engine, CODE, &Range::within(key)).await;
        assert_eq!(found, [format!("{number:02}")], "{text:?}");
    }
    // IDs are texts too, but those of records have no control characters.
    let mut names: Vec<_> = TRICKY.iter().map(|text| Key::new((*text,))).collect();
    names.retain(|name| !name.as_str().is_empty() && !name.as_str().contains(char::is_control));
    for name in &names {
        put(engine, thing(name.as_str()).of(&OTHERS)).await;
    }
    for name in &names {
        let found = get(engine, &OTHERS, &[name.as_str()]).await.remove(0);
        let write = thing(name.as_str());
        assert_eq!(found, Some(stored(&write, 1)), "{name:?}");
    }
    let count = engine.count(&OTHERS, Index::ID, &Range::all()).await;
    assert_eq!(count, Ok(names.len() as u64));
}

pub async fn numbers_and_nested_values_are_read_as_written(opened: &Opened) {
    let engine = &*opened.engine;
    let deep = match opened.two_steps {
        // FerretDB does not support lists in lists.
        true => json!({ "list": [{ "a": [{ "b": {} }] }] }),
        false => json!([[[{ "a": [{ "b": {} }] }]]]),
    };
    let body = json!({
        "whole": [0, 1, -1, i32::MAX, i32::MIN, 1_i64 << 53, i64::MAX, i64::MIN],
        "real": [0.0, -0.5, 0.1, 1.0, 1e300, 5e-324, f64::MAX, 0.300_000_011_920_928_96],
        "none": null,
        "truth": [true, false],
        "empty": { "list": [], "map": {}, "text": "" },
        "deep": deep,
        "id": "not the ID",
        "_id": "nor this",
        "z": 1,
        "a": 2,
    });
    let write = thing("one").body(body);
    put(engine, write.clone()).await;
    assert_eq!(get_thing(engine, "one").await, Some(stored(&write, 1)));
}

pub async fn long_bodies_and_blobs_are_read_as_written(opened: &Opened) {
    let engine = &*opened.engine;
    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();
    let large = thing("large").blob(&bytes);
    let long = thing("long").body(json!({ "text": "long \" \\ 李 😀 \n".repeat(50_000) }));
    let empty = thing("empty").blob(&[]);
    for write in [large, long, empty] {
        put(engine, write.clone()).await;
        assert_eq!(get_thing(engine, &write.id).await, Some(stored(&write, 1)));
        // Replacing is a separate way of writing.
        put(engine, write.clone().expect(Expect::Revision(1))).await;
        assert_eq!(get_thing(engine, &write.id).await, Some(stored(&write, 2)));
        put(engine, write.clone().expect(Expect::Any)).await;
        assert_eq!(get_thing(engine, &write.id).await, Some(stored(&write, 3)));
    }
}

pub async fn records_are_read_in_the_order_of_their_ids(opened: &Opened) {
    let engine = &*opened.engine;
    assert_eq!(get(engine, &THINGS, &[]).await, []);
    assert_eq!(get(engine, &THINGS, &["a", "b"]).await, [None, None]);
    for id in ["a", "b", "c"] {
        put(engine, thing(id)).await;
    }
    let asked = ["c", "none", "a", "c", "b", "none", "a"];
    let found = get(engine, &THINGS, &asked).await;
    let found = found
        .iter()
        .map(|one| one.as_ref().map_or("none", |one| &one.id));
    assert_eq!(found.collect::<Vec<_>>(), asked);
    // More records than fit into a page.
    let names: Vec<_> = (0..1000).map(|number| format!("n{number}")).collect();
    let mut many: Vec<_> = names.iter().map(String::as_str).collect();
    many.push("a");
    let found = get(engine, &THINGS, &many).await;
    assert_eq!(found.len(), many.len());
    assert_eq!(found.iter().flatten().count(), 1);
    assert!(found.last().unwrap().is_some());
}

pub async fn only_the_requested_parts_are_read(opened: &Opened) {
    let engine = &*opened.engine;
    put(engine, thing("one").key(TIME, (1_u64,)).blob(b"blob")).await;
    let whole = get_whole(engine, "one").await;
    let body = Stored {
        blob: None,
        ..whole.clone()
    };
    let head = Stored {
        body: String::new(),
        ..body.clone()
    };
    for (parts, expected) in [
        (Parts::Head, head),
        (Parts::Body, body),
        (Parts::Whole, whole),
    ] {
        let ids = ["one".to_owned()];
        let read = engine.get(&THINGS, &ids, parts).await;
        assert_eq!(read, Ok(vec![Some(expected.clone())]), "{parts:?}");
        for index in [TIME, Index::ID] {
            let read = engine.scan(&THINGS, index, &Range::all(), 9, parts).await;
            assert_eq!(read, Ok(vec![expected.clone()]), "{parts:?}");
        }
    }
}

pub async fn a_record_is_inserted_once(opened: &Opened) {
    let engine = &*opened.engine;
    let first = thing("one").key(CODE, ("E1",)).blob(b"first");
    put(engine, first.clone()).await;
    conflict(engine.put(thing("one").key(CODE, ("E2",))).await);
    assert_eq!(get_thing(engine, "one").await, Some(stored(&first, 1)));
    assert_eq!(ids(engine, CODE, &range(Some("E2"), None)).await, [""; 0]);
    // After it is deleted, it can be inserted again.
    let deleted = engine.delete(&THINGS, &[("one".to_owned(), None)]).await;
    assert_eq!(deleted, Ok(1));
    assert_eq!(put(engine, first).await, 1);
}

pub async fn each_write_counts_the_revision(opened: &Opened) {
    let engine = &*opened.engine;
    let write = |expect| thing("one").expect(expect);
    assert_eq!(put(engine, write(Expect::Any)).await, 1);
    assert_eq!(put(engine, write(Expect::Any)).await, 2);
    assert_eq!(put(engine, write(Expect::Revision(2))).await, 3);
    let changed = Write {
        version: 2,
        ..write(Expect::Any).body(json!({ "changed": true }))
    };
    assert_eq!(put(engine, changed.clone()).await, 4);
    assert_eq!(get_thing(engine, "one").await, Some(stored(&changed, 4)));
}

pub async fn a_record_is_replaced_only_in_its_revision(opened: &Opened) {
    let engine = &*opened.engine;
    let absent = engine.put(thing("one").expect(Expect::Revision(1))).await;
    assert_eq!(absent, Ok(None), "it does not exist");
    assert_eq!(get_thing(engine, "one").await, None);
    let first = thing("one").key(CODE, ("E1",)).blob(b"first");
    put(engine, first.clone()).await;
    for revision in [0, 2, 3] {
        let late = thing("one")
            .key(CODE, ("E2",))
            .key(TIME, (1_u64,))
            .expect(Expect::Revision(revision));
        assert_eq!(engine.put(late).await, Ok(None));
    }
    assert_eq!(get_thing(engine, "one").await, Some(stored(&first, 1)));
    assert_eq!(ids(engine, CODE, &range(None, Some("E2"))).await, ["one"]);
    assert_eq!(ids(engine, TIME, &Range::all()).await, [""; 0]);
    let second = thing("one").key(CODE, ("E2",)).blob(b"second");
    assert_eq!(
        put(engine, second.clone().expect(Expect::Revision(1))).await,
        2
    );
    assert_eq!(get_thing(engine, "one").await, Some(stored(&second, 2)));
    assert_eq!(ids(engine, CODE, &range(None, Some("E2"))).await, [""; 0]);
    // The keys of a missing record are not checked.
    put(engine, thing("two").key(CODE, ("E3",))).await;
    let gone = thing("none").key(CODE, ("E3",)).expect(Expect::Revision(1));
    assert_eq!(engine.put(gone).await, Ok(None));
}

pub async fn a_replaced_record_keeps_no_blob(opened: &Opened) {
    let engine = &*opened.engine;
    for expect in [Expect::Any, Expect::Revision(1)] {
        put(engine, thing("one").blob(b"blob").expect(Expect::Any)).await;
        put(engine, thing("one").expect(expect)).await;
        let found = get_thing(engine, "one").await.unwrap();
        assert_eq!(found.blob, None, "{expect:?}");
        let deleted = engine.delete(&THINGS, &[("one".to_owned(), None)]).await;
        assert_eq!(deleted, Ok(1));
    }
}

pub async fn a_unique_key_belongs_to_one_record(opened: &Opened) {
    let engine = &*opened.engine;
    let one = thing("one").key(CODE, ("E1",)).key(TIME, (1_u64,));
    let two = thing("two").key(CODE, ("E2",)).blob(b"two");
    put(engine, one.clone()).await;
    put(engine, two.clone()).await;
    // Whatever the write expects, it changes nothing.
    for (id, expect) in [
        ("three", Expect::Absent),
        ("three", Expect::Any),
        ("two", Expect::Any),
        ("two", Expect::Revision(1)),
    ] {
        let write = thing(id).key(CODE, ("E1",)).key(TIME, (2_u64,));
        conflict(engine.put(write.expect(expect)).await);
        assert_eq!(get_thing(engine, "one").await, Some(stored(&one, 1)));
        assert_eq!(get_thing(engine, "two").await, Some(stored(&two, 1)));
        assert_eq!(get_thing(engine, "three").await, None);
        assert_eq!(ids(engine, CODE, &Range::all()).await, ["one", "two"]);
        assert_eq!(ids(engine, TIME, &Range::all()).await, ["one"]);
        assert_eq!(ids(engine, Index::ID, &Range::all()).await, ["one", "two"]);
    }
    // Keys that begin with it, and the empty key, are different keys.
    put(engine, thing("four").key(CODE, ("E1", ""))).await;
    put(engine, thing("five").key(CODE, ("E11",))).await;
    put(engine, thing("six").key(CODE, ("e1",))).await;
    put(engine, thing("seven").key(CODE, ("",))).await;
    conflict(engine.put(thing("eight").key(CODE, ("",))).await);
}

pub async fn a_record_may_keep_its_unique_key(opened: &Opened) {
    let engine = &*opened.engine;
    let one = thing("one").key(CODE, ("E1",)).key(OWNER, ("ann",));
    put(engine, one.clone()).await;
    put(engine, one.clone().expect(Expect::Any)).await;
    put(engine, one.clone().expect(Expect::Revision(2))).await;
    assert_eq!(get_thing(engine, "one").await, Some(stored(&one, 3)));
    for index in [CODE, OWNER, Index::ID] {
        assert_eq!(ids(engine, index, &Range::all()).await, ["one"]);
    }
}

pub async fn unique_keys_are_free_after_they_are_removed(opened: &Opened) {
    let engine = &*opened.engine;
    put(engine, thing("one").key(CODE, ("E1",))).await;
    put(engine, thing("one").key(CODE, ("E2",)).expect(Expect::Any)).await;
    put(engine, thing("two").key(CODE, ("E1",))).await;
    let swapped = thing("one").key(CODE, ("E3",)).expect(Expect::Revision(2));
    put(engine, swapped).await;
    put(engine, thing("three").key(CODE, ("E2",))).await;
    // Without any key.
    put(engine, thing("three").expect(Expect::Any)).await;
    put(engine, thing("four").key(CODE, ("E2",))).await;
    let deleted = engine.delete(&THINGS, &[("two".to_owned(), Some(1))]).await;
    assert_eq!(deleted, Ok(1));
    put(engine, thing("five").key(CODE, ("E1",))).await;
    let codes = ids(engine, CODE, &Range::all()).await;
    assert_eq!(codes, ["five", "four", "one"]);
}

pub async fn kinds_and_indexes_are_separate(opened: &Opened) {
    let engine = &*opened.engine;
    let write = thing("one").key(CODE, ("1",)).key(TIME, ("1",));
    let other = write.clone().of(&OTHERS).body(json!({ "other": true }));
    put(engine, write.clone()).await;
    assert_eq!(get(engine, &OTHERS, &["one"]).await, [None]);
    assert_eq!(put(engine, other.clone()).await, 1);
    put(engine, thing("two").key(OWNER, ("1",))).await;
    assert_eq!(ids(engine, TIME, &Range::all()).await, ["one"]);
    assert_eq!(ids(engine, OWNER, &Range::all()).await, ["two"]);
    let deleted = engine.delete(&THINGS, &[("one".to_owned(), None)]).await;
    assert_eq!(deleted, Ok(1));
    let found = get(engine, &OTHERS, &["one"]).await;
    assert_eq!(found, [Some(stored(&other, 1))]);
    for index in [CODE, TIME, Index::ID] {
        assert_eq!(engine.count(&OTHERS, index, &Range::all()).await, Ok(1));
    }
}

pub async fn a_record_without_a_key_is_not_in_the_index(opened: &Opened) {
    let engine = &*opened.engine;
    put(engine, thing("none")).await;
    put(engine, thing("empty").key(TIME, ("",))).await;
    put(engine, thing("full").key(TIME, ("x",)).key(CODE, ("E1",))).await;
    // Several records may lack a unique key.
    put(engine, thing("also none")).await;
    for backwards in [false, true] {
        let range = Range {
            backwards,
            ..Range::all()
        };
        let mut expected = ["empty", "full"];
        if backwards {
            expected.reverse();
        }
        assert_eq!(ids(engine, TIME, &range).await, expected);
        assert_eq!(ids(engine, CODE, &range).await, ["full"]);
        assert_eq!(engine.count(&THINGS, TIME, &range).await, Ok(2));
        assert_eq!(engine.count(&THINGS, CODE, &range).await, Ok(1));
        assert_eq!(engine.count(&THINGS, Index::ID, &range).await, Ok(4));
    }
    assert_eq!(ids(engine, TIME, &range(None, Some("x"))).await, ["empty"]);
    // It is in the index exactly while it has a key.
    let keyed = thing("none").key(TIME, ("a",)).expect(Expect::Any);
    put(engine, keyed).await;
    put(engine, thing("full").expect(Expect::Any)).await;
    assert_eq!(ids(engine, TIME, &Range::all()).await, ["empty", "none"]);
    assert_eq!(ids(engine, CODE, &Range::all()).await, [""; 0]);
}

pub async fn of_many_inserts_with_one_unique_key_one_wins(opened: &Opened) {
    let engine = &opened.engine;
    let id = |number: usize| format!("racer {number:02}");
    let writes = (0..RACERS).map(|number| thing(&id(number)).key(CODE, ("E1",)));
    let winner = id(one_inserts(&race(engine, writes).await));
    let winner = [winner.as_str()];
    assert_eq!(ids(&**engine, CODE, &Range::all()).await, winner);
    assert_eq!(ids(&**engine, Index::ID, &Range::all()).await, winner);
    // The same holds for existing records.
    let writes = (0..RACERS).map(|number| thing(&id(number)).expect(Expect::Any));
    for answer in race(engine, writes).await {
        answer.unwrap().unwrap();
    }
    let writes = (0..RACERS).map(|number| {
        let write = thing(&id(number)).key(CODE, ("E2",));
        write.expect(Expect::Any)
    });
    let answers = race(engine, writes).await;
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(won, 1, "{answers:?}");
    assert_eq!(ids(&**engine, CODE, &Range::all()).await.len(), 1);
}

pub async fn of_many_inserts_with_one_id_one_wins(opened: &Opened) {
    let engine = &opened.engine;
    let write = |number: usize| {
        let code = format!("E{number}");
        thing("one")
            .body(json!({ "number": number }))
            .key(CODE, (code,))
    };
    let winner = write(one_inserts(&race(engine, (0..RACERS).map(write)).await));
    let found = get_thing(&**engine, "one").await;
    assert_eq!(found, Some(stored(&winner, 1)));
    // The keys of the failed inserts are free.
    assert_eq!(ids(&**engine, CODE, &Range::all()).await, ["one"]);
}

pub async fn of_many_swaps_of_one_revision_one_wins(opened: &Opened) {
    if opened.two_steps {
        return;
    }
    let engine = &opened.engine;
    put(&**engine, thing("one")).await;
    for revision in 1..4 {
        let write = |number: usize| {
            let write = thing("one").body(json!({ "number": number }));
            write
                .key(TIME, (number as u64,))
                .expect(Expect::Revision(revision))
        };
        let answers = race(engine, (0..RACERS).map(write)).await;
        let mut won = answers
            .iter()
            .enumerate()
            .filter(|(_, answer)| **answer == Ok(Some(revision + 1)));
        let (winner, _) = won.next().unwrap();
        assert_eq!(won.count(), 0, "{answers:?}");
        let lost = answers.iter().filter(|answer| **answer == Ok(None));
        assert_eq!(lost.count(), RACERS - 1, "{answers:?}");
        let found = get_thing(&**engine, "one").await;
        assert_eq!(found, Some(stored(&write(winner), revision + 1)));
        assert_eq!(ids(&**engine, TIME, &Range::all()).await, ["one"]);
    }
}

pub async fn of_many_replacements_none_is_lost(opened: &Opened) {
    if opened.two_steps {
        return;
    }
    let engine = &opened.engine;
    let writes = (0..RACERS).map(|number| {
        let write = thing("one").key(TIME, (number as u64,));
        write.expect(Expect::Any)
    });
    let answers = race(engine, writes).await;
    let revisions: BTreeSet<_> = answers
        .into_iter()
        .map(|answer| answer.unwrap().unwrap())
        .collect();
    assert_eq!(revisions, (1..=RACERS as u64).collect());
    let found = get_thing(&**engine, "one").await.unwrap();
    assert_eq!(found.revision, RACERS as u64);
    assert_eq!(ids(&**engine, TIME, &Range::all()).await, ["one"]);
}

/// Writes things with these keys, in the byte order of the keys.
async fn put_ordered(engine: &dyn RecordEngine, keys: &[Key]) -> Vec<String> {
    struct Whole<'a>(&'a Key);
    impl KeyParts for Whole<'_> {
        fn write(&self, text: &mut String) {
            text.push_str(self.0.as_str());
        }
    }
    let mut ordered = Vec::new();
    // The IDs are in another order than the keys.
    for (number, key) in keys.iter().enumerate() {
        let id = format!("{:02}", number * 37 % 100);
        let write = thing(&id).key(TIME, Whole(key)).key(CODE, Whole(key));
        put(engine, write).await;
        ordered.push((key.clone(), id));
    }
    ordered.sort_by(|one, other| one.0.as_str().as_bytes().cmp(other.0.as_str().as_bytes()));
    ordered.into_iter().map(|(_, id)| id).collect()
}

pub async fn keys_are_in_the_order_of_their_bytes(opened: &Opened) {
    let engine = &*opened.engine;
    let texts = ["", "a", "A", "B", "ann", "anna", "é", "z", "\u{ffee}", "😀"];
    let mut keys: Vec<_> = texts.iter().map(|text| Key::new((*text,))).collect();
    for text in texts {
        keys.push(Key::new((text, "")));
        keys.push(Key::new((text, "é")));
        keys.push(Key::new((text, "", "b")));
    }
    keys.push(Key::new((u64::MAX,)));
    keys.push(Key::new((9_u64, 10_u64)));
    let mut ordered = put_ordered(engine, &keys).await;
    for index in [TIME, CODE] {
        assert_eq!(ids(engine, index, &Range::all()).await, ordered);
    }
    ordered.reverse();
    for index in [TIME, CODE] {
        assert_eq!(ids(engine, index, &Range::all().backwards()).await, ordered);
    }
    for text in texts.iter().filter(|text| !text.is_empty()) {
        put(engine, thing(text).of(&OTHERS)).await;
    }
    let found = ids_of(
        engine
            .scan(&OTHERS, Index::ID, &Range::all(), 99, Parts::Head)
            .await,
    );
    let mut ordered: Vec<_> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    ordered.sort_unstable();
    assert_eq!(found, ordered);
}

pub async fn records_with_one_key_are_in_the_order_of_their_ids(opened: &Opened) {
    let engine = &*opened.engine;
    for (id, time) in [
        ("c", "y"),
        ("a", "y"),
        ("é", "y"),
        ("b", "x"),
        ("B", "y"),
        ("aa", "y"),
    ] {
        put(engine, thing(id).key(TIME, (time,))).await;
    }
    let mut ordered = ["b", "B", "a", "aa", "c", "é"];
    assert_eq!(ids(engine, TIME, &Range::all()).await, ordered);
    ordered.reverse();
    assert_eq!(ids(engine, TIME, &Range::all().backwards()).await, ordered);
    let after = |id: &str| Some((Key::new(("y",)), id.to_owned()));
    let page = Range::all().after(after("aa"));
    assert_eq!(ids(engine, TIME, &page).await, ["c", "é"]);
    let page = Range::all().backwards().after(after("aa"));
    assert_eq!(ids(engine, TIME, &page).await, ["a", "B", "b"]);
}

pub async fn a_range_begins_at_a_key_and_ends_before_another(opened: &Opened) {
    let engine = &*opened.engine;
    for id in ["a", "b", "c", "d"] {
        put(engine, thing(id).key(TIME, (id,)).key(CODE, (id,))).await;
    }
    let cases: [(_, _, &[&str]); 10] = [
        (None, None, &["a", "b", "c", "d"]),
        (Some("b"), None, &["b", "c", "d"]),
        (None, Some("c"), &["a", "b"]),
        (Some("b"), Some("d"), &["b", "c"]),
        (Some("aa"), Some("cc"), &["b", "c"]),
        (Some("b"), Some("b"), &[]),
        (Some("d"), Some("a"), &[]),
        (Some("e"), None, &[]),
        (None, Some("a"), &[]),
        (Some(""), Some("e"), &["a", "b", "c", "d"]),
    ];
    for (from, before, expected) in cases {
        let range = range(from, before);
        let backwards = range.clone().backwards();
        let reversed: Vec<_> = expected.iter().rev().copied().collect();
        // In the index of the IDs, the keys are the IDs.
        for index in [TIME, CODE, Index::ID] {
            assert_eq!(ids(engine, index, &range).await, expected, "{range:?}");
            assert_eq!(ids(engine, index, &backwards).await, reversed, "{range:?}");
            let count = engine.count(&THINGS, index, &range).await;
            assert_eq!(count, Ok(expected.len() as u64), "{range:?}");
            // The page ends at the end of the range, or at the limit.
            for limit in [0, 1, 2, 4, 5, usize::MAX] {
                let page = engine
                    .scan(&THINGS, index, &range, limit, Parts::Head)
                    .await;
                let expected = &expected[..limit.min(expected.len())];
                assert_eq!(ids_of(page), expected, "{range:?} {limit}");
            }
        }
    }
}

pub async fn the_parts_of_a_key_bound_a_range(opened: &Opened) {
    let engine = &*opened.engine;
    for (id, owner, time) in [
        ("1", "ann", 5_u64),
        ("2", "anna", 1),
        ("3", "ann", 3),
        ("4", "an", 9),
        ("5", "", 4),
        ("6", "ann", 4),
    ] {
        put(engine, thing(id).key(OWNER, (owner, time))).await;
    }
    put(engine, thing("7").key(OWNER, ("ann",))).await;
    let found = async |range: Range| ids(engine, OWNER, &range).await;
    let ann = || Range::within(Key::new(("ann",)));
    assert_eq!(found(ann()).await, ["7", "3", "6", "1"]);
    let late = ann().from(Key::new(("ann", 4_u64)));
    assert_eq!(found(late.clone()).await, ["6", "1"]);
    let early = ann().before(Key::new(("ann", 5_u64))).backwards();
    assert_eq!(found(early).await, ["6", "3", "7"]);
    assert_eq!(found(Range::within(Key::new(("",)))).await, ["5"]);
    assert_eq!(found(Range::within(Key::new(("a",)))).await, [""; 0]);
    assert_eq!(engine.count(&THINGS, OWNER, &late).await, Ok(2));
}

/// Returns the keys of the things that pages read: three things share a key in the index by time.
fn keys_of(index: Index, number: usize) -> Key {
    match index {
        CODE => Key::new((format!("{:03}", number * 37 % 1000),)),
        TIME => Key::new(((number / 3) as u64,)),
        _ => Key::default(),
    }
}

async fn put_numbered(engine: &dyn RecordEngine, number: usize, prefix: &str, expect: Expect) {
    let write = thing(&format!("{prefix}{number:03}"))
        .key(CODE, (keys_of(CODE, number).as_str(),))
        .key(TIME, ((number / 3) as u64,));
    put(engine, write.expect(expect)).await;
}

fn key_of_id(index: Index) -> impl Fn(&str) -> Key {
    move |id| keys_of(index, id[1..].parse().unwrap())
}

pub async fn pages_contain_everything_once(opened: &Opened) {
    let engine = &*opened.engine;
    for number in 0..40 {
        put_numbered(engine, number, "n", Expect::Absent).await;
    }
    for index in [CODE, TIME, Index::ID] {
        for range in [Range::all(), Range::all().backwards()] {
            let all = ids(engine, index, &range).await;
            assert_eq!(all.len(), 40);
            for limit in [1, 7, 20, 39, 40, 41] {
                let range = range.clone();
                let paged = paged_ids(engine, index, range, limit, key_of_id(index)).await;
                assert_eq!(paged, all, "{} by {limit}", index.name);
            }
        }
    }
    // In the index of the IDs, the key of the cursor is ignored.
    for key in ["", "n", "zzz"] {
        let after = Some((Key::new((key,)), "n037".to_owned()));
        let page = ids(engine, Index::ID, &Range::all().after(after)).await;
        assert_eq!(page, ["n038", "n039"], "{key}");
    }
}

pub async fn pages_contain_stable_records_once_during_writes(opened: &Opened) {
    let engine = &opened.engine;
    for number in 0..60 {
        put_numbered(&**engine, number, "n", Expect::Absent).await;
    }
    let ended = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (engine, ended) = (engine.clone(), ended.clone());
        async move {
            for number in (100..1000).cycle() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                // Between the records that stay, in every index, and at both ends of the IDs.
                let prefix = ["a", "n", "z"][number % 3];
                put_numbered(&*engine, number, prefix, Expect::Any).await;
                put_numbered(&*engine, number % 60, "n", Expect::Any).await;
                let id = format!("{prefix}{number:03}");
                engine.delete(&THINGS, &[(id, None)]).await.unwrap();
            }
        }
    });
    for _ in 0..3 {
        for index in [CODE, TIME, Index::ID] {
            for range in [Range::all(), Range::all().backwards()] {
                let found = paged_ids(&**engine, index, range, 7, key_of_id(index)).await;
                let different: BTreeSet<_> = found.iter().collect();
                assert_eq!(different.len(), found.len(), "once: {found:?}");
                let stay = (0..60).filter(|n| different.contains(&format!("n{n:03}")));
                assert_eq!(stay.count(), 60, "{}: {found:?}", index.name);
            }
        }
    }
    ended.store(true, Ordering::Relaxed);
    writing.await.unwrap();
}

pub async fn a_page_continues_after_a_deleted_record(opened: &Opened) {
    let engine = &*opened.engine;
    for id in ["a", "b", "c", "d", "e"] {
        put(engine, thing(id).key(TIME, ("same",)).key(CODE, (id,))).await;
    }
    let deleted = engine.delete(&THINGS, &[("c".to_owned(), None)]).await;
    assert_eq!(deleted, Ok(1));
    for (index, key) in [(TIME, "same"), (CODE, "c"), (Index::ID, "")] {
        let after = Some((Key::new((key,)), "c".to_owned()));
        let page = Range::all().after(after);
        assert_eq!(ids(engine, index, &page).await, ["d", "e"]);
        assert_eq!(ids(engine, index, &page.backwards()).await, ["b", "a"]);
    }
    // A cursor outside of the range starts it, or ends it.
    let range = range(Some("b"), Some("e"));
    for (id, forwards, backwards) in [
        ("a", &["b", "d"][..], &[][..]),
        ("e", &[][..], &["d", "b"][..]),
    ] {
        let page = range.clone().after(Some((Key::new((id,)), id.to_owned())));
        for index in [CODE, Index::ID] {
            assert_eq!(ids(engine, index, &page).await, forwards);
            let page = page.clone().backwards();
            assert_eq!(ids(engine, index, &page).await, backwards);
        }
    }
}

pub async fn records_are_counted_without_cursor_and_direction(opened: &Opened) {
    let engine = &*opened.engine;
    for index in [CODE, TIME, Index::ID] {
        let none = engine.count(&THINGS, index, &Range::all()).await;
        assert_eq!(none, Ok(0));
    }
    for number in 0..9 {
        put_numbered(engine, number, "n", Expect::Absent).await;
    }
    for index in [CODE, TIME, Index::ID] {
        let after = Some((keys_of(index, 5), "n005".to_owned()));
        let range = Range::all().after(after).backwards();
        assert_eq!(engine.count(&THINGS, index, &range).await, Ok(9));
    }
    let late = Range::all().from(Key::new((1_u64,)));
    let page = late.clone().after(Some((keys_of(TIME, 8), "n008".into())));
    assert_eq!(engine.count(&THINGS, TIME, &late).await, Ok(6));
    assert_eq!(engine.count(&THINGS, TIME, &page).await, Ok(6));
}

pub async fn many_records_are_deleted_at_once(opened: &Opened) {
    let engine = &*opened.engine;
    let all = |prefix: &str| -> Vec<(String, Option<Revision>)> {
        let id = |number| (format!("{prefix}{number:03}"), None);
        (0..500).map(id).collect()
    };
    let writes = all("n").into_iter().enumerate().map(|(number, (id, _))| {
        let write = thing(&id).key(CODE, (number as u64,)).key(TIME, ("now",));
        engine.put(write)
    });
    for batch in writes.collect::<Vec<_>>().chunks_mut(10) {
        for written in join_all(batch).await {
            assert_eq!(written, Ok(Some(1)));
        }
    }
    assert_eq!(engine.delete(&THINGS, &[]).await, Ok(0));
    assert_eq!(engine.delete(&THINGS, &all("m")).await, Ok(0));
    let few: Vec<_> = ["n007", "none", "n003", "n007"]
        .map(|id| (id.to_owned(), None))
        .into();
    assert_eq!(engine.delete(&THINGS, &few).await, Ok(2));
    assert_eq!(get_thing(engine, "n007").await, None);
    assert_eq!(engine.count(&THINGS, TIME, &Range::all()).await, Ok(498));
    assert_eq!(engine.delete(&THINGS, &all("n")).await, Ok(498));
    for index in [CODE, TIME, Index::ID] {
        assert_eq!(engine.count(&THINGS, index, &Range::all()).await, Ok(0));
    }
    put(engine, thing("new").key(CODE, (499_u64,))).await;
}

pub async fn records_are_deleted_only_in_their_revision(opened: &Opened) {
    let engine = &*opened.engine;
    for id in ["a", "b", "c"] {
        put(engine, thing(id).key(CODE, (id,))).await;
    }
    put(engine, thing("b").key(CODE, ("b",)).expect(Expect::Any)).await;
    let wanted = [
        ("a", Some(2)),
        ("b", Some(1)),
        ("c", Some(1)),
        ("d", Some(1)),
    ];
    let wanted = wanted.map(|(id, revision)| (id.to_owned(), revision));
    assert_eq!(engine.delete(&THINGS, &wanted).await, Ok(1));
    assert_eq!(ids(engine, CODE, &Range::all()).await, ["a", "b"]);
    let wanted = [("a", Some(1)), ("b", Some(2)), ("c", None)];
    let wanted = wanted.map(|(id, revision)| (id.to_owned(), revision));
    assert_eq!(engine.delete(&THINGS, &wanted).await, Ok(2));
    assert_eq!(ids(engine, Index::ID, &Range::all()).await, [""; 0]);
}

pub async fn another_handle_immediately_reads_acknowledged_writes(opened: &Opened) {
    let (engine, other) = (&*opened.engine, &*opened.other);
    for number in 0..100_u64 {
        let write = thing("one")
            .body(json!({ "number": number }))
            .key(CODE, (number,))
            .expect(Expect::Any);
        let revision = put(engine, write.clone()).await;
        let found = get_thing(other, "one").await;
        assert_eq!(found, Some(stored(&write, revision)));
        let exact = Range::within(Key::new((number,)));
        assert_eq!(ids(other, CODE, &exact).await, ["one"]);
        // The same holds in the other direction.
        let wanted = [("one".to_owned(), Some(revision))];
        if number % 10 == 9 {
            assert_eq!(other.delete(&THINGS, &wanted).await, Ok(1));
            assert_eq!(get_thing(engine, "one").await, None);
            assert_eq!(engine.count(&THINGS, CODE, &exact).await, Ok(0));
        }
    }
}

pub async fn an_engine_describes_itself_and_closes(opened: &Opened) {
    let engine = &*opened.engine;
    assert_eq!(engine.ping().await, Ok(()));
    put(engine, thing("one").blob(b"blob")).await;
    engine
        .delete(&THINGS, &[("one".to_owned(), None)])
        .await
        .unwrap();
    engine.clear_traces().await.unwrap();
    let description = engine.description();
    let time = engine.time().await.unwrap();
    let server = description.starts_with("mongodb") || description.starts_with("redis");
    assert_eq!(time.is_some(), server);
    if let Some(time) = time {
        let difference = Timestamp::now().duration_since(time).abs();
        assert!(difference < SignedDuration::from_mins(1), "{difference:#}");
    }
    if description == "memory" {
        return;
    }
    let (name, version) = description.split_once(' ').unwrap();
    assert!(["sqlite", "mongodb", "redis"].contains(&name));
    assert!(
        version.starts_with(|c: char| c.is_ascii_digit()),
        "{description}"
    );
    engine.close().await;
    let ids = ["one".to_owned()];
    let answers = [
        engine.ping().await,
        engine.get(&THINGS, &ids, Parts::Head).await.map(drop),
        engine.put(thing("two")).await.map(drop),
    ];
    for answer in answers {
        assert!(
            matches!(answer, Err(StoreError::Unavailable(_))),
            "{answer:?}"
        );
    }
    assert_eq!(get_thing(&*opened.other, "two").await, None);
}
