//! What every system of record promises, written once and run on each.

use std::{collections::BTreeSet, sync::Arc};

use futures::{TryStreamExt, future::join_all};
use jiff::Timestamp;
use rollcall::{
    domain::{
        accounts::{Actor, Role},
        attendance::{ClockSource, Evidence, PunchKind, PunchSource, RequestKey},
        audit::AuditEntry,
        biometrics::{ModelId, Similarity, Threshold, Views},
        ids::{AccountId, AuditId, EmployeeId, PunchId, TemplateId},
        text::Email,
    },
    ports::*,
};
use uuid::Uuid;

pub use crate::archive::*;
pub use crate::backup::a_backup_of_a_store_in_use_fits_together;
pub use crate::cameras::*;
pub use crate::erasure::*;
pub use crate::jobs::*;
pub use crate::leases::*;
pub use crate::pictures::*;
use crate::records::*;
pub use crate::sealing::*;
pub use crate::shared::a_cache_keeps_its_word_in_the_store;

/// How many try at once where only one may win.
const RACERS: usize = 50;

/// Texts that a careless query would take for something else.
const TRICKY: [&str; 10] = [
    r#"{"$gt":""}"#,
    "$where: 1",
    ".*",
    r"a\.c [d]+(e)|^f$ \Q \E",
    "100% _ like",
    "'; DROP TABLE employees; --",
    "Ünïcödé Ñandú",
    "李小龍 👩🏽‍🚀",
    "İstanbul ẞ",
    "null",
];

fn ids<T, I: Copy>(records: &[T], id: impl Fn(&T) -> I) -> Vec<I> {
    records.iter().map(id).collect()
}

/// All pages of a list, one after the other; each but the last is full.
async fn all_pages<T, C, F>(
    limit: usize,
    list: impl Fn(Page<C>) -> F,
    cursor: fn(&T) -> C,
) -> Vec<T>
where
    F: Future<Output = Result<Vec<T>, StoreError>>,
{
    let mut all = Vec::new();
    let mut page = first(limit);
    loop {
        let items = list(page).await.unwrap();
        assert!(items.len() <= limit);
        let Some(last) = items.last() else {
            return all;
        };
        page = after(cursor(last), limit);
        all.extend(items);
        assert!(all.len() < 1000, "the pages never end");
    }
}

pub async fn employees_come_back_as_they_were(stores: &Stores) {
    let account = AccountId::new(Uuid::now_v7());
    let actors = [
        Actor::Account(account),
        Actor::Device(device_id()),
        Actor::Operator,
        Actor::System,
    ];
    for (number, actor) in actors.into_iter().enumerate() {
        let mut full = employee(&"名".repeat(120), &format!("{number}{}", "x".repeat(63)));
        full.site = Some(site(&"s".repeat(64)));
        full.active = false;
        full.consent = Some(consent(actor));
        full.templates = u32::MAX;
        full.created_at = Timestamp::from_millisecond(-1).unwrap();
        full.deleted_at = Some(at(999));
        stores.employees.insert(&full).await.unwrap();
        assert_eq!(stores.employees.find(full.id).await.unwrap(), Some(full));
    }
    for (number, text) in TRICKY.into_iter().enumerate() {
        let mut one = employee(text, text);
        one.created_at = at(number as i64);
        one.site = Some(site(text));
        stores.employees.insert(&one).await.unwrap();
        assert_eq!(
            stores.employees.find(one.id).await.unwrap().as_ref(),
            Some(&one)
        );
        let found = stores.employees.find_by_code(&code(text)).await.unwrap();
        assert_eq!(found, Some(one));
    }
    assert_eq!(stores.employees.find(employee_id()).await.unwrap(), None);
}

pub async fn a_code_belongs_to_one_employee_until_deletion(stores: &Stores) {
    let employees = &stores.employees;
    let mut ann = employee("Ann", "E7é");
    employees.insert(&ann).await.unwrap();
    let mut bob = employee("Bob", "e7É");
    assert_eq!(employees.insert(&bob).await, Err(StoreError::Conflict));
    assert_eq!(employees.find(bob.id).await.unwrap(), None);
    assert_eq!(employees.insert(&ann).await, Err(StoreError::Conflict));

    bob.code = code("E8");
    employees.insert(&bob).await.unwrap();
    let was = bob.clone();
    bob.code = code("e7é");
    assert_eq!(
        employees.update(&was, &bob).await,
        Err(StoreError::Conflict)
    );
    let kept = employees.find(bob.id).await.unwrap().unwrap();
    assert_eq!(kept.code, code("E8"), "a refused update changes nothing");
    let found = employees.find_by_code(&code("E7É")).await.unwrap();
    assert_eq!(found.as_ref(), Some(&ann));

    // Changing its letters' case, or nothing, is no conflict with itself.
    let first = ann.clone();
    ann.code = code("e7é");
    assert_eq!(employees.update(&first, &ann).await, Ok(true));
    assert_eq!(employees.update(&ann, &ann).await, Ok(true));

    let there = ann.clone();
    ann.deleted_at = Some(at(5));
    assert_eq!(employees.update(&there, &ann).await, Ok(true));
    assert_eq!(employees.find_by_code(&code("E7é")).await.unwrap(), None);
    assert_eq!(employees.find(ann.id).await.unwrap(), Some(ann.clone()));
    assert_eq!(
        employees.update(&was, &bob).await,
        Ok(true),
        "the code is free"
    );
    assert_eq!(
        employees.update(&ann, &there).await,
        Err(StoreError::Conflict)
    );

    // Any number of deleted ones may have had the same code.
    let mut cid = employee("Cid", "E9");
    cid.deleted_at = Some(at(6));
    employees.insert(&cid).await.unwrap();
    cid.id = employee_id();
    employees.insert(&cid).await.unwrap();
}

pub async fn of_many_who_want_a_code_one_gets_it(stores: &Stores) {
    let tries = (0..RACERS).map(|_| {
        let employees = stores.employees.clone();
        tokio::spawn(async move { employees.insert(&employee("Ann", "E7")).await })
    });
    one_wins(join_all(tries).await);
}

/// Exactly one of the racers succeeded; the others met a conflict.
fn one_wins(results: Vec<Result<Result<(), StoreError>, tokio::task::JoinError>>) {
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    let won = results.iter().filter(|result| result.is_ok()).count();
    let lost = results
        .iter()
        .filter(|result| **result == Err(StoreError::Conflict))
        .count();
    assert_eq!((won, lost), (1, RACERS - 1), "{results:?}");
}

pub async fn an_update_and_an_enrollment_leave_each_other_alone(stores: &Stores) {
    let employees = &stores.employees;
    let mut ann = employee("Ann", "E7");
    ann.site = Some(site("north"));
    employees.insert(&ann).await.unwrap();

    let given = consent(Actor::Operator);
    let enrolled = employees.set_enrolled(ann.id, 3, Some(&given)).await;
    assert_eq!(enrolled, Ok(true));
    // `ann` still says: no templates, no consent.
    let was = ann.clone();
    ann.name = name("Anna");
    ann.site = None;
    ann.active = false;
    assert_eq!(employees.update(&was, &ann).await, Ok(true));
    ann.templates = 3;
    ann.consent = Some(given);
    assert_eq!(employees.find(ann.id).await.unwrap().as_ref(), Some(&ann));

    assert_eq!(employees.set_enrolled(ann.id, 0, None).await, Ok(true));
    ann.templates = 0;
    ann.consent = None;
    assert_eq!(employees.find(ann.id).await.unwrap().as_ref(), Some(&ann));

    let nobody = employee("Nobody", "E0");
    assert_eq!(employees.update(&nobody, &nobody).await, Ok(false));
    assert_eq!(employees.set_enrolled(nobody.id, 1, None).await, Ok(false));
    assert_eq!(employees.find(nobody.id).await.unwrap(), None);
}

pub async fn nobody_undoes_what_somebody_else_changed_meanwhile(stores: &Stores) {
    let employees = &stores.employees;
    let mut was = employee("Ann", "E7");
    was.site = Some(site("north"));
    employees.insert(&was).await.unwrap();
    let changes: [fn(&mut rollcall::domain::employees::Employee); 5] = [
        |ann| ann.name = name("Anna"),
        |ann| ann.code = code("E8"),
        |ann| ann.site = None,
        |ann| ann.active = false,
        |ann| ann.deleted_at = Some(at(5)),
    ];
    for change in changes {
        let mut is = was.clone();
        change(&mut is);
        assert_eq!(employees.update(&was, &is).await, Ok(true));
        // Who read it before wants it otherwise.
        let mut stale = was.clone();
        stale.name = name("Annabel");
        assert_eq!(employees.update(&was, &stale).await, Ok(false));
        assert_eq!(employees.find(was.id).await.unwrap().as_ref(), Some(&is));
        was = is;
    }
}

pub async fn of_many_who_change_the_same_one_does(stores: &Stores) {
    let employees = &stores.employees;
    let bob = employee("Bob", "E9");
    employees.insert(&bob).await.unwrap();
    let tries = (0..RACERS).map(|number| {
        let (employees, was) = (stores.employees.clone(), bob.clone());
        let mut is = bob.clone();
        is.name = name(&format!("Bob {number}"));
        tokio::spawn(async move { employees.update(&was, &is).await })
    });
    let won = join_all(tries).await;
    let won = won
        .into_iter()
        .filter(|won| matches!(won, Ok(Ok(true))))
        .count();
    assert_eq!(won, 1);
}

pub async fn employees_are_listed_by_name_page_by_page(stores: &Stores) {
    let mut all = Vec::new();
    for number in 0..9 {
        // Equal names, in several cases; Z before a only in a careless order.
        let one = employee(
            ["ann", "Ann", "Zoe", "Émile", "bob"][number % 5],
            &format!("E{number}"),
        );
        stores.employees.insert(&one).await.unwrap();
        all.push(one);
    }
    let mut deleted = employee("ann", "gone");
    deleted.deleted_at = Some(at(1));
    stores.employees.insert(&deleted).await.unwrap();

    all.sort_by_key(|one| (one.name.key(), one.id));
    for limit in [1, 2, 3, 9, 100] {
        let employees = stores.employees.clone();
        let filter = EmployeeFilter::default();
        let list = |page| {
            let (employees, filter) = (employees.clone(), filter.clone());
            async move { employees.list(&filter, &page).await }
        };
        let listed = all_pages(limit, list, |one| (one.name.key(), one.id)).await;
        assert_eq!(listed, all, "pages of {limit}");
    }
}

pub async fn employees_are_filtered_by_plain_text_site_and_state(stores: &Stores) {
    let mut all = Vec::new();
    for (number, text) in TRICKY.into_iter().enumerate() {
        let mut one = employee(text, &format!("Code-{number}"));
        one.site = Some(site(if number % 2 == 0 {
            "north"
        } else {
            r#"{"$ne":1}"#
        }));
        one.active = number % 3 != 0;
        stores.employees.insert(&one).await.unwrap();
        all.push(one);
    }
    let list = async |filter: EmployeeFilter| {
        let found = stores.employees.list(&filter, &first(100)).await.unwrap();
        ids(&found, |one| one.id)
            .into_iter()
            .collect::<BTreeSet<_>>()
    };
    let text = |text: &str| EmployeeFilter {
        text: Some(text.to_owned()),
        ..EmployeeFilter::default()
    };
    let expected = |keep: &dyn Fn(usize) -> bool| -> BTreeSet<EmployeeId> {
        let kept = all.iter().enumerate().filter(|(number, _)| keep(*number));
        kept.map(|(_, one)| one.id).collect()
    };
    for (number, whole) in TRICKY.into_iter().enumerate() {
        assert_eq!(
            list(text(whole)).await,
            expected(&|n| n == number),
            "{whole}"
        );
        let loud = whole.to_uppercase();
        if loud.to_lowercase() == whole.to_lowercase() {
            assert_eq!(
                list(text(&loud)).await,
                expected(&|n| n == number),
                "{loud}"
            );
        }
    }
    assert_eq!(list(text("cODE-7")).await, expected(&|n| n == 7), "by code");
    assert_eq!(list(text("ODE-")).await.len(), TRICKY.len());
    assert_eq!(list(text("")).await.len(), TRICKY.len());
    for nothing in [
        "code.7", "(", "\\", "\0", "null\0", "c%7", "code_7", "^code",
    ] {
        let found = list(text(nothing)).await;
        let really = TRICKY
            .iter()
            .filter(|tricky| tricky.to_lowercase().contains(nothing));
        assert_eq!(found.len(), really.count(), "{nothing:?}");
    }
    let filter = |site_name: Option<&str>, active| EmployeeFilter {
        text: None,
        site: site_name.map(site),
        active,
    };
    assert_eq!(
        list(filter(Some("north"), None)).await,
        expected(&|n| n % 2 == 0)
    );
    assert_eq!(
        list(filter(Some("NORTH"), None)).await,
        expected(&|_| false)
    );
    assert_eq!(
        list(filter(Some(r#"{"$ne":1}"#), None)).await,
        expected(&|n| n % 2 == 1)
    );
    assert_eq!(
        list(filter(None, Some(true))).await,
        expected(&|n| n % 3 != 0)
    );
    let both = EmployeeFilter {
        text: Some("code".into()),
        site: Some(site("north")),
        active: Some(false),
    };
    assert_eq!(list(both).await, expected(&|n| n % 6 == 0));
}

pub async fn many_employees_and_devices_are_found_at_once(stores: &Stores) {
    let mut ann = employee("Ann", "E1");
    ann.deleted_at = Some(at(3));
    let bob = employee("Bob", "E2");
    for one in [&ann, &bob] {
        stores.employees.insert(one).await.unwrap();
    }
    let mut wanted: Vec<_> = (0..3000).map(|_| employee_id()).collect();
    wanted.extend([bob.id, ann.id, bob.id]);
    let mut found = stores.employees.find_many(&wanted).await.unwrap();
    found.sort_by_key(|one| one.id);
    assert_eq!(found, [ann, bob]);
    assert_eq!(stores.employees.find_many(&[]).await, Ok(vec![]));

    let mut old = device("old", 1);
    old.revoked_at = Some(at(1));
    stores.devices.insert(&old).await.unwrap();
    let found = stores.devices.find_many(&[old.id, device_id()]).await;
    assert_eq!(found, Ok(vec![old]));
}

pub async fn templates_and_photos_come_back_until_deleted(stores: &Stores) {
    let (ann, bob) = (employee_id(), employee_id());
    let mut templates: Vec<_> = (0..10).map(|number| template(ann, 20 - number)).collect();
    templates[3].views = Views::Pair;
    templates[4].model = ModelId::new("other space");
    templates[5].sealed.ciphertext.clear();
    let photos = [photo(ann, 9, 3_000_000), photo(ann, 2, 1)];
    stores.templates.insert(&templates, &photos).await.unwrap();
    let of_bob = [template(bob, 1)];
    stores
        .templates
        .insert(&of_bob, &[photo(bob, 1, 10)])
        .await
        .unwrap();
    let later = [template(ann, 100)];
    stores.templates.insert(&later, &[]).await.unwrap();

    templates.extend(later);
    templates.sort_by_key(|template| (template.created_at, template.id));
    assert_eq!(stores.templates.of_employee(ann).await, Ok(templates));
    let [newer, older] = photos;
    assert_eq!(
        stores.templates.photos_of(ann).await,
        Ok(vec![older, newer])
    );

    assert_eq!(stores.templates.delete_of(ann).await, Ok(11));
    assert_eq!(stores.templates.delete_of(ann).await, Ok(0));
    assert_eq!(stores.templates.of_employee(ann).await, Ok(vec![]));
    assert_eq!(stores.templates.photos_of(ann).await, Ok(vec![]));
    let listed = stores
        .templates
        .list(&ModelId::new("space"), &first(100))
        .await;
    assert_eq!(listed.as_ref().map(Vec::as_slice), Ok(&of_bob[..]));
    assert_eq!(stores.templates.photos_of(bob).await.unwrap().len(), 1);
}

pub async fn templates_of_some_models_are_kept(stores: &Stores) {
    let (ann, bob) = (employee_id(), employee_id());
    let of = |model: &str, at| StoredTemplate {
        model: ModelId::new(model),
        ..template(ann, at)
    };
    let (old, before) = ([of("a", 1), of("a", 2)], [of("b:* {$gt}", 3)]);
    let (present, others) = ([of("c", 4), of("c", 5)], [template(bob, 1)]);
    let templates = &stores.templates;
    templates.insert(&old, &[photo(ann, 1, 10)]).await.unwrap();
    for batch in [&before[..], &present, &others] {
        templates.insert(batch, &[]).await.unwrap();
    }
    let kept = [present[0].model.clone(), before[0].model.clone()];
    assert_eq!(templates.keep_models(ann, &kept).await, Ok(2));
    assert_eq!(templates.keep_models(ann, &kept).await, Ok(0));
    let left: Vec<_> = before.into_iter().chain(present).collect();
    assert_eq!(templates.of_employee(ann).await, Ok(left));
    let listed = templates.list(&ModelId::new("a"), &first(9)).await;
    assert_eq!(listed, Ok(vec![]));
    assert_eq!(templates.photos_of(ann).await.unwrap().len(), 1);
    assert_eq!(templates.keep_models(ann, &[]).await, Ok(3));
    assert_eq!(templates.of_employee(bob).await, Ok(others.to_vec()));
}

pub async fn an_enrollment_is_written_once_and_whole(stores: &Stores) {
    let ann = employee_id();
    let (templates, photos) = ([template(ann, 1), template(ann, 2)], [photo(ann, 1, 10)]);
    stores.templates.insert(&templates, &photos).await.unwrap();
    let again = [templates[0].clone(), template(ann, 3)];
    let refused = stores.templates.insert(&again, &[]).await;
    assert_eq!(refused, Err(StoreError::Conflict));
    let kept = stores.templates.of_employee(ann).await.unwrap();
    assert_eq!(kept, templates, "nothing of the refused one is there");
    assert_eq!(stores.templates.insert(&[], &[]).await, Ok(()));
}

pub async fn templates_of_a_model_are_listed_page_by_page(stores: &Stores) {
    let mut made: Vec<_> = (0..24)
        .map(|number| template(employee_id(), number))
        .collect();
    for other in [3, 4, 11, 23] {
        made[other].model = ModelId::new("{\"$ne\":null}");
    }
    // Enrollments at the same time: their identities interleave in several ways.
    for batch in [
        &[0, 9][..],
        &[1, 2],
        &[3, 5],
        &[4],
        &[6, 23],
        &[7, 8, 10, 11],
        &[12],
    ] {
        let batch: Vec<_> = batch.iter().map(|&place| made[place].clone()).collect();
        stores.templates.insert(&batch, &[]).await.unwrap();
    }
    for place in 13..23 {
        stores
            .templates
            .insert(&made[place..=place], &[])
            .await
            .unwrap();
    }
    for model in ["space", "{\"$ne\":null}", "nothing"].map(ModelId::new) {
        let expected: Vec<_> = made
            .iter()
            .filter(|one| one.model == model)
            .cloned()
            .collect();
        for limit in [1, 2, 3, 5, 100] {
            let list = |page: Page<TemplateId>| {
                let (stores, model) = (stores.clone(), model.clone());
                async move { stores.templates.list(&model, &page).await }
            };
            let listed = all_pages(limit, list, |one| one.id).await;
            assert_eq!(
                ids(&listed, |one| one.id),
                ids(&expected, |one| one.id),
                "{model}, {limit}"
            );
            assert_eq!(listed, expected);
        }
    }
}

pub async fn the_last_change_of_a_place_in_the_gallery_is_told(stores: &Stores) {
    let (ann, bob) = (employee_id(), employee_id());
    for (employee, moment) in [(ann, 10), (bob, 20), (ann, 30), (ann, 5)] {
        stores
            .templates
            .mark_changed(employee, at(moment))
            .await
            .unwrap();
    }
    let since = async |moment| {
        let mut changes = stores.templates.changed_since(at(moment)).await.unwrap();
        changes.sort();
        changes
    };
    assert_eq!(since(0).await, [(ann, at(30)), (bob, at(20))]);
    assert_eq!(since(20).await, [(ann, at(30)), (bob, at(20))]);
    assert_eq!(since(21).await, [(ann, at(30))]);
    assert_eq!(since(31).await, []);
    let marks = (0..RACERS).map(|number| {
        let templates = stores.templates.clone();
        let moment = at(100 + number as i64);
        tokio::spawn(async move { templates.mark_changed(employee_id(), moment).await })
    });
    for marked in join_all(marks).await {
        assert_eq!(marked.unwrap(), Ok(()));
    }
    assert_eq!(since(100).await.len(), RACERS);
}

pub async fn punches_come_back_as_they_were(stores: &Stores) {
    let (ann, kiosk) = (employee_id(), device_id());
    let mut written = Vec::new();
    for (number, kind) in PunchKind::ALL.into_iter().enumerate() {
        let mut one = punch(ann, kiosk, number as u64 + 1, number as i64);
        one.kind = kind;
        written.push(one);
    }
    let mut full = punch(ann, kiosk, i64::MAX as u64, -1_800_000_000_001);
    full.clock = ClockSource::Device;
    full.captured_at = Some(at(-77));
    full.source = PunchSource::Device;
    full.workday = "1969-12-31".parse().unwrap();
    full.site = Some(site("Ünïcödé {\"$gt\":\"\"}"));
    full.evidence = Evidence {
        similarity: Similarity::new(-1.0).unwrap(),
        threshold: Threshold::new(1.75).unwrap(),
        margin: Some(-0.0),
        liveness: Some(f32::MIN_POSITIVE),
        model: ModelId::new(""),
        frames: u8::MAX,
        look: 3,
    };
    full.request = Some(RequestKey {
        key: key(&"~".repeat(128)),
        fingerprint: String::new(),
    });
    written.push(full);
    for one in &written {
        stores.punches.append(one).await.unwrap();
        let found = stores.punches.find(one.id).await.unwrap().unwrap();
        assert_eq!(&found, one);
    }
    assert_eq!(
        stores.punches.find(PunchId::new(Uuid::now_v7())).await,
        Ok(None)
    );
}

pub async fn a_request_key_is_used_once_by_a_device(stores: &Stores) {
    let (ann, kiosk, other) = (employee_id(), device_id(), device_id());
    for (number, text) in [r#"{"$gt":""}"#, "a", "A", ".*", "$key", "a:b"]
        .into_iter()
        .enumerate()
    {
        let sequence = number as u64 * 10 + 1;
        let mut one = punch(ann, kiosk, sequence, 0);
        one.request = Some(request(text));
        assert_eq!(
            stores.punches.find_by_request(kiosk, &key(text)).await,
            Ok(None),
            "{text}"
        );
        stores.punches.append(&one).await.unwrap();
        let found = stores.punches.find_by_request(kiosk, &key(text)).await;
        assert_eq!(found, Ok(Some(one.clone())));
        assert_eq!(
            stores.punches.find_by_request(other, &key(text)).await,
            Ok(None)
        );

        let mut again = punch(ann, kiosk, sequence + 1, 1);
        again.request = one.request;
        assert_eq!(
            stores.punches.append(&again).await,
            Err(StoreError::Conflict)
        );
        assert_eq!(stores.punches.find(again.id).await, Ok(None));
        again.device = other;
        stores.punches.append(&again).await.unwrap();
    }
    for sequence in 100..103 {
        stores
            .punches
            .append(&punch(ann, kiosk, sequence, 0))
            .await
            .unwrap();
    }
}

pub async fn of_many_punches_decided_on_one_past_one_is_written(stores: &Stores) {
    let (ann, kiosk) = (employee_id(), device_id());
    let append = |make: fn(
        EmployeeId,
        rollcall::domain::ids::DeviceId,
        u64,
    ) -> rollcall::domain::attendance::Punch| {
        let tries = (0..RACERS).map(|number| {
            let punches = stores.punches.clone();
            tokio::spawn(async move { punches.append(&make(ann, kiosk, number as u64)).await })
        });
        join_all(tries)
    };
    // One sequence, different keys; then one key, different sequences.
    one_wins(
        append(|ann, kiosk, number| {
            let mut one = punch(ann, kiosk, 1, 0);
            one.request = Some(request(&format!("key-{number}")));
            one
        })
        .await,
    );
    one_wins(
        append(|ann, kiosk, number| {
            let mut one = punch(ann, kiosk, 1000 + number, 0);
            one.request = Some(request("one-key"));
            one
        })
        .await,
    );
    let all = stores
        .punches
        .list(&PunchFilter::default(), &first(100))
        .await
        .unwrap();
    assert_eq!(all.len(), 2);
    // Another employee's sequence is their own.
    stores
        .punches
        .append(&punch(employee_id(), kiosk, 1, 0))
        .await
        .unwrap();
}

pub async fn the_last_punches_are_found(stores: &Stores) {
    let (ann, bob, kiosk, gate) = (employee_id(), employee_id(), device_id(), device_id());
    let punches = &stores.punches;
    assert_eq!(punches.last_written(ann).await, Ok(None));
    assert_eq!(punches.last_before(ann, at(0)).await, Ok(None));
    assert_eq!(punches.last_synchronised(kiosk).await, Ok(None));

    let first_one = punch(ann, kiosk, 1, 100);
    let same_time = punch(ann, gate, 2, 100);
    // Captured offline: written later, happened earlier.
    let mut offline = punch(ann, kiosk, 3, 50);
    offline.clock = ClockSource::Device;
    let of_bob = punch(bob, kiosk, 10, 70);
    for one in [&same_time, &offline, &first_one, &of_bob] {
        punches.append(one).await.unwrap();
    }
    assert_eq!(punches.last_written(ann).await, Ok(Some(offline.clone())));
    assert_eq!(punches.last_written(bob).await, Ok(Some(of_bob)));
    for (moment, expected) in [
        (49, None),
        (50, Some(&offline)),
        (99, Some(&offline)),
        (100, Some(&same_time)),
        (1_000_000, Some(&same_time)),
    ] {
        let found = punches.last_before(ann, at(moment)).await;
        assert_eq!(found, Ok(expected.cloned()), "{moment}");
    }
    let mut later = punch(ann, kiosk, 4, 500);
    later.clock = ClockSource::Device;
    punches.append(&later).await.unwrap();
    assert_eq!(punches.last_synchronised(kiosk).await, Ok(Some(at(100))));
    assert_eq!(punches.last_synchronised(gate).await, Ok(Some(at(100))));
}

pub async fn punches_are_listed_newest_first_page_by_page(stores: &Stores) {
    let (people, devices) = ([employee_id(), employee_id()], [device_id(), device_id()]);
    let mut all = Vec::new();
    for number in 0..24 {
        // Four punches each moment, so that most pages end among equal times.
        let one = punch(
            people[number % 2],
            devices[number / 2 % 2],
            number as u64 + 1,
            number as i64 / 4,
        );
        stores.punches.append(&one).await.unwrap();
        all.push(one);
    }
    all.sort_by_key(|one| std::cmp::Reverse((one.at, one.id)));
    let filters = [
        PunchFilter::default(),
        PunchFilter {
            employee: Some(people[0]),
            ..PunchFilter::default()
        },
        PunchFilter {
            device: Some(devices[1]),
            ..PunchFilter::default()
        },
        PunchFilter {
            from: Some(at(1)),
            ..PunchFilter::default()
        },
        PunchFilter {
            to: Some(at(4)),
            ..PunchFilter::default()
        },
        PunchFilter {
            employee: Some(people[1]),
            device: Some(devices[0]),
            from: Some(at(1)),
            to: Some(at(5)),
        },
        PunchFilter {
            from: Some(at(3)),
            to: Some(at(3)),
            ..PunchFilter::default()
        },
        PunchFilter {
            employee: Some(employee_id()),
            ..PunchFilter::default()
        },
    ];
    for filter in filters {
        let expected: Vec<_> = all
            .iter()
            .filter(|one| {
                filter
                    .employee
                    .is_none_or(|employee| one.employee == employee)
                    && filter.device.is_none_or(|device| one.device == device)
                    && filter.from.is_none_or(|from| one.at >= from)
                    && filter.to.is_none_or(|to| one.at < to)
            })
            .cloned()
            .collect();
        for limit in [1, 3, 100] {
            let list = |page| {
                let (stores, filter) = (stores.clone(), filter.clone());
                async move { stores.punches.list(&filter, &page).await }
            };
            let listed = all_pages(limit, list, |one| (one.at, one.id)).await;
            assert_eq!(listed, expected, "{filter:?}, pages of {limit}");
        }
    }
}

pub async fn the_punches_of_somebody_erased_are_gone(stores: &Stores) {
    let (ann, bob, kiosk) = (employee_id(), employee_id(), device_id());
    let punches = &stores.punches;
    let mut of_ann = Vec::new();
    for number in 0..7 {
        let mut one = punch(ann, kiosk, number + 1, number as i64 * 10);
        one.request = (number % 2 == 0).then(|| request(&format!("ann-{number}")));
        punches.append(&one).await.unwrap();
        of_ann.push(one);
    }
    let of_bob = punch(bob, kiosk, 1, 30);
    punches.append(&of_bob).await.unwrap();

    assert_eq!(punches.erase_of(ann).await, Ok(7));
    assert_eq!(punches.erase_of(ann).await, Ok(0));
    for one in &of_ann {
        assert_eq!(punches.find(one.id).await, Ok(None));
        if let Some(request) = &one.request {
            let found = punches.find_by_request(kiosk, &request.key).await;
            assert_eq!(found, Ok(None));
        }
    }
    assert_eq!(punches.last_written(ann).await, Ok(None));
    assert_eq!(punches.last_before(ann, at(1000)).await, Ok(None));
    let recorded = punches.recorded_since(at(-1_000_000), 100).await.unwrap();
    assert_eq!(recorded, std::slice::from_ref(&of_bob));
    let all = punches.list(&PunchFilter::default(), &first(100)).await;
    assert_eq!(all, Ok(vec![of_bob]));
    let archived: Vec<_> = stores
        .archive
        .records(RecordKind::Punch)
        .try_concat()
        .await
        .unwrap();
    assert_eq!(archived.len(), 1);
}

pub async fn answers_are_kept_once_and_forgotten(stores: &Stores) {
    let (kiosk, gate) = (device_id(), device_id());
    let punches = &stores.punches;
    let kept = answer(kiosk, "a", 10);
    punches.keep_answer(&kept).await.unwrap();
    let mut other = answer(kiosk, "a", 20);
    other.answer = "{}".into();
    assert_eq!(punches.keep_answer(&other).await, Err(StoreError::Conflict));
    assert_eq!(punches.kept_answer(kiosk, &key("a")).await, Ok(Some(kept)));
    assert_eq!(punches.kept_answer(kiosk, &key("A")).await, Ok(None));
    assert_eq!(punches.kept_answer(gate, &key("a")).await, Ok(None));
    let mut big = answer(gate, r#"{"$gt":""}"#, 20);
    big.answer = "ü".repeat(100_000);
    punches.keep_answer(&big).await.unwrap();

    assert_eq!(punches.forget_answers(at(10)).await, Ok(0));
    assert_eq!(punches.forget_answers(at(20)).await, Ok(1));
    assert_eq!(punches.kept_answer(kiosk, &key("a")).await, Ok(None));
    let found = punches.kept_answer(gate, &big.request.key).await;
    assert_eq!(found, Ok(Some(big.clone())));
    assert_eq!(
        punches.forget_answer(kiosk, &big.request.key).await,
        Ok(false)
    );
    assert_eq!(
        punches.forget_answer(gate, &big.request.key).await,
        Ok(true)
    );
    assert_eq!(
        punches.forget_answer(gate, &big.request.key).await,
        Ok(false)
    );
    assert_eq!(punches.kept_answer(gate, &big.request.key).await, Ok(None));

    let tries = (0..RACERS).map(|_| {
        let (punches, answer) = (punches.clone(), answer(kiosk, "raced", 0));
        tokio::spawn(async move { punches.keep_answer(&answer).await })
    });
    one_wins(join_all(tries).await);
}

pub async fn devices_are_found_by_token_and_listed_until_revoked(stores: &Stores) {
    let mut made: Vec<_> = (0..5)
        .map(|seed| device(TRICKY[seed], seed as u8))
        .collect();
    made[1].site = Some(site(TRICKY[0]));
    for one in &made {
        stores.devices.insert(one).await.unwrap();
        assert_eq!(stores.devices.find(one.id).await, Ok(Some(one.clone())));
        assert_eq!(
            stores.devices.find_by_token(one.token).await,
            Ok(Some(one.clone()))
        );
    }
    assert_eq!(
        stores.devices.insert(&device("twin", 3)).await,
        Err(StoreError::Conflict)
    );
    assert_eq!(stores.devices.find_by_token(token(99)).await, Ok(None));
    assert_eq!(stores.devices.find(device_id()).await, Ok(None));
    assert_eq!(
        stores.devices.update(&device("nobody's", 98)).await,
        Ok(false)
    );
    assert_eq!(stores.devices.find_by_token(token(98)).await, Ok(None));

    made[2].revoked_at = Some(at(9));
    made[2].site = Some(site("north"));
    made[1].site = None;
    for changed in [1, 2] {
        assert_eq!(stores.devices.update(&made[changed]).await, Ok(true));
        let found = stores.devices.find_by_token(made[changed].token).await;
        assert_eq!(found, Ok(Some(made[changed].clone())));
    }
    made.remove(2);
    for limit in [1, 3, 100] {
        let list = |page| {
            let stores = stores.clone();
            async move { stores.devices.list(&page).await }
        };
        assert_eq!(all_pages(limit, list, |one| one.id).await, made);
    }
}

pub async fn an_email_address_belongs_to_one_account(stores: &Stores) {
    let mut made = Vec::new();
    for (email, role) in [
        ("a@example.org", Role::Admin),
        ("m@example.org", Role::Manager),
        ("{\"$gt\":\"\"}@example.org", Role::Viewer),
    ] {
        let one = account(email, role);
        stores.accounts.insert(&one).await.unwrap();
        assert_eq!(stores.accounts.find(one.id).await, Ok(Some(one.clone())));
        assert_eq!(
            stores.accounts.find_by_email(&one.email).await,
            Ok(Some(one.clone()))
        );
        made.push(one);
    }
    let twin = account("A@Example.org", Role::Admin);
    assert_eq!(
        stores.accounts.insert(&twin).await,
        Err(StoreError::Conflict)
    );
    let mut moved = made[1].clone();
    moved.email = Email::parse("a@example.org").unwrap();
    assert_eq!(
        stores.accounts.update(&moved).await,
        Err(StoreError::Conflict)
    );

    made[1].email = Email::parse("moved@example.org").unwrap();
    made[1].password_hash = "another".into();
    made[1].active = false;
    assert_eq!(stores.accounts.update(&made[1]).await, Ok(true));
    assert_eq!(stores.accounts.update(&twin).await, Ok(false));
    let old = Email::parse("m@example.org").unwrap();
    assert_eq!(stores.accounts.find_by_email(&old).await, Ok(None));
    for limit in [1, 2, 100] {
        let list = |page| {
            let stores = stores.clone();
            async move { stores.accounts.list(&page).await }
        };
        assert_eq!(all_pages(limit, list, |one| one.id).await, made);
    }
    let tries = (0..RACERS).map(|_| {
        let accounts = stores.accounts.clone();
        tokio::spawn(async move {
            accounts
                .insert(&account("new@example.org", Role::Viewer))
                .await
        })
    });
    one_wins(join_all(tries).await);
}

pub async fn sessions_end_one_by_one_by_account_and_by_time(stores: &Stores) {
    let (ann, bob) = (
        AccountId::new(Uuid::now_v7()),
        AccountId::new(Uuid::now_v7()),
    );
    let made = [
        session(1, ann, 10),
        session(2, ann, 20),
        session(3, bob, 30),
        session(4, bob, 40),
        session(5, ann, 50),
    ];
    for one in &made {
        stores.sessions.insert(one).await.unwrap();
        assert_eq!(stores.sessions.find(one.hash).await, Ok(Some(one.clone())));
    }
    let left = async || {
        let mut left = Vec::new();
        for seed in 1..=5 {
            if stores.sessions.find(token(seed)).await.unwrap().is_some() {
                left.push(seed);
            }
        }
        left
    };
    let of_bob = stores.sessions.of(bob).await.unwrap();
    assert_eq!(of_bob.len(), 2);
    assert!(of_bob.iter().all(|session| session.account == bob));
    assert!(of_bob.is_sorted_by_key(|session| std::cmp::Reverse(session.created_at)));
    assert_eq!(stores.sessions.delete(token(5)).await, Ok(true));
    assert_eq!(stores.sessions.delete(token(5)).await, Ok(false));
    assert_eq!(left().await, [1, 2, 3, 4]);
    assert_eq!(stores.sessions.purge(at(10)).await, Ok(0));
    assert_eq!(stores.sessions.purge(at(11)).await, Ok(1));
    assert_eq!(left().await, [2, 3, 4]);
    assert_eq!(stores.sessions.delete_of(bob).await, Ok(2));
    assert_eq!(stores.sessions.delete_of(bob).await, Ok(0));
    assert_eq!(left().await, [2]);
}

pub async fn the_audit_trail_is_read_newest_first(stores: &Stores) {
    let mut entries = Vec::new();
    let actors = [
        Actor::Operator,
        Actor::System,
        Actor::Account(AccountId::new(Uuid::now_v7())),
    ];
    for number in 0..9 {
        let entry = AuditEntry {
            id: AuditId::new(Uuid::now_v7()),
            at: at(number / 3),
            actor: actors[number as usize % 3],
            action: "templates.delete".into(),
            subject: TRICKY[number as usize].into(),
            detail: (number % 2 == 0).then(|| TRICKY[0].into()),
        };
        stores.audit.append(&entry).await.unwrap();
        entries.push(entry);
    }
    entries.reverse();
    assert_eq!(stores.audit.latest(100).await.as_ref(), Ok(&entries));
    assert_eq!(stores.audit.latest(4).await, Ok(entries[..4].to_vec()));
    // Page by page nothing is missing and nothing is there twice, also where moments are equal.
    for limit in [1, 2, 4] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = stores.audit.list(&Page { after, limit }).await.unwrap();
            after = page.last().map(|last| (last.at, last.id));
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found, entries);
    }
    // What is from before a moment goes for good, from the trail and from the archive.
    assert_eq!(stores.audit.purge(at(0)).await, Ok(0));
    assert_eq!(stores.audit.purge(at(2)).await, Ok(6));
    assert_eq!(stores.audit.latest(100).await, Ok(entries[..3].to_vec()));
    let left = crate::site::all(stores, RecordKind::Audit).await;
    assert_eq!(left.len(), 3);
    assert_eq!(stores.audit.purge(at(2)).await, Ok(0));
}

pub async fn of_many_claims_one_wins_until_released(stores: &Stores) {
    let settings = &stores.settings;
    assert_eq!(settings.get("set-up").await, Ok(None));
    for _ in 0..2 {
        let claims = (0..RACERS).map(|number| {
            let settings: Arc<dyn SettingStore> = settings.clone();
            tokio::spawn(async move { settings.claim("set-up", &number.to_string()).await })
        });
        let claims: Vec<_> = join_all(claims).await;
        let won: Vec<_> = claims
            .into_iter()
            .enumerate()
            .filter(|(_, claimed)| *claimed.as_ref().unwrap() == Ok(true))
            .collect();
        let [(winner, _)] = won[..] else {
            panic!("{} won", won.len());
        };
        assert_eq!(settings.get("set-up").await, Ok(Some(winner.to_string())));
        settings.release("set-up").await.unwrap();
        assert_eq!(settings.get("set-up").await, Ok(None));
    }
    settings.release("set-up").await.unwrap();
    for text in TRICKY {
        assert_eq!(settings.claim(text, text).await, Ok(true));
        assert_eq!(settings.claim(text, "").await, Ok(false));
        assert_eq!(settings.get(text).await, Ok(Some(text.to_owned())));
    }
}

pub async fn a_store_says_what_it_is_and_closes(stores: &Stores) {
    assert_eq!(stores.health.ping().await, Ok(()));
    let description = stores.health.description();
    let (kind, version) = description.split_once(' ').unwrap();
    assert!(["sqlite", "mongodb", "redis"].contains(&kind));
    assert!(
        version.starts_with(|c: char| c.is_ascii_digit()),
        "{description}"
    );
    stores.health.close().await;
    let closed = stores.settings.get("a").await;
    assert!(
        matches!(closed, Err(StoreError::Unavailable(_))),
        "{closed:?}"
    );
    let closed = stores.health.ping().await;
    assert!(
        matches!(closed, Err(StoreError::Unavailable(_))),
        "{closed:?}"
    );
}
