//! Punches: one per request key, one per sequence number, and found by every query; and the
//! responses that are kept for retries.

use rollcall::{
    domain::{
        attendance::{ClockSource, Evidence, Origin, Proof, Punch, PunchKind, RequestKey},
        biometrics::{ModelId, Similarity, Threshold},
        grants::{Reach, Scope},
        ids::{AccountId, CameraId, PunchId, SiteId},
        record::{Index, Record},
        text::Reason,
    },
    ports::{PunchFilter, Range, StoreError},
    repositories::Repositories,
};
use uuid::Uuid;

use crate::{
    pages::all_pages,
    races::{one_wins, race},
    records::{answer, at, camera_id, device_id, employee_id, first, key, punch, request, site_id},
};

pub async fn punches_are_read_as_written(stores: &Repositories) {
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
    full.origin = Origin::Camera(camera_id());
    full.workday = "1969-12-31".parse().unwrap();
    full.site = site_id();
    full.proof = Proof::Face(Evidence {
        similarity: Similarity::new(-1.0).unwrap(),
        threshold: Threshold::new(1.75).unwrap(),
        margin: Some(-0.0),
        liveness: Some(f32::MIN_POSITIVE),
        model: ModelId::new(""),
        frames: u8::MAX,
        look: 3,
        digests: vec!["ab".repeat(16); 5],
    });
    full.request = Some(RequestKey {
        key: key(&"~".repeat(128)),
        fingerprint: String::new(),
    });
    written.push(full);
    for (number, proof) in [
        Proof::Pin,
        Proof::Badge,
        Proof::Manual {
            reason: Reason::parse("Forgot; the gate was \"open\" – 7:30").unwrap(),
        },
        Proof::Import,
    ]
    .into_iter()
    .enumerate()
    {
        let mut one = punch(ann, kiosk, number as u64 + 100, 0);
        one.origin = Origin::Account(AccountId::new(Uuid::now_v7()));
        one.proof = proof;
        written.push(one);
    }
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

pub async fn a_request_key_is_used_once_by_an_origin(stores: &Repositories) {
    let (ann, kiosk, other) = (employee_id(), device_id(), device_id());
    for (number, text) in [r#"{"$gt":""}"#, "a", "A", ".*", "$key", "a:b"]
        .into_iter()
        .enumerate()
    {
        let sequence = number as u64 * 10 + 1;
        let mut one = punch(ann, kiosk, sequence, 0);
        one.request = Some(request(text));
        assert_eq!(
            stores
                .punches
                .find_by_request(Origin::Device(kiosk), &key(text))
                .await,
            Ok(None),
            "{text}"
        );
        stores.punches.append(&one).await.unwrap();
        let found = stores
            .punches
            .find_by_request(Origin::Device(kiosk), &key(text))
            .await;
        assert_eq!(found, Ok(Some(one.clone())));
        assert_eq!(
            stores
                .punches
                .find_by_request(Origin::Device(other), &key(text))
                .await,
            Ok(None)
        );

        let mut again = punch(ann, kiosk, sequence + 1, 1);
        again.request = one.request;
        assert_eq!(
            stores.punches.append(&again).await,
            Err(StoreError::Conflict)
        );
        assert_eq!(stores.punches.find(again.id).await, Ok(None));
        again.origin = Origin::Device(other);
        stores.punches.append(&again).await.unwrap();
    }
    // A camera and an account with the ID of the device are other origins.
    let uuid = kiosk.uuid();
    let others = [
        Origin::Camera(CameraId::new(uuid)),
        Origin::Account(AccountId::new(uuid)),
    ];
    for (sequence, origin) in (90..).zip(others) {
        let mut one = punch(ann, kiosk, sequence, 0);
        one.origin = origin;
        one.request = Some(request("a"));
        stores.punches.append(&one).await.unwrap();
        let found = stores.punches.find_by_request(origin, &key("a")).await;
        assert_eq!(found, Ok(Some(one)));
    }
    for sequence in 100..103 {
        stores
            .punches
            .append(&punch(ann, kiosk, sequence, 0))
            .await
            .unwrap();
    }
}

pub async fn of_many_punches_decided_on_one_past_one_is_written(stores: &Repositories) {
    let (ann, kiosk) = (employee_id(), device_id());
    let append = |punch: Punch| {
        let punches = stores.punches.clone();
        async move { punches.append(&punch).await }
    };
    // One sequence number with different keys, then one key with different sequence numbers.
    let answers = race(|number| {
        let mut one = punch(ann, kiosk, 1, 0);
        one.request = Some(request(&format!("key-{number}")));
        append(one)
    });
    one_wins(&answers.await);
    let answers = race(|number| {
        let mut one = punch(ann, kiosk, 1000 + number as u64, 0);
        one.request = Some(request("one-key"));
        append(one)
    });
    one_wins(&answers.await);
    let (filter, page) = (PunchFilter::default(), first(100));
    let all = stores
        .punches
        .list(&Reach::Everything, &filter, &page)
        .await;
    assert_eq!(all.unwrap().len(), 2);
    // Each employee has their own sequence numbers.
    append(punch(employee_id(), kiosk, 1, 0)).await.unwrap();
}

pub async fn the_last_punches_are_found(stores: &Repositories) {
    let (ann, bob, kiosk, gate) = (employee_id(), employee_id(), device_id(), device_id());
    let punches = &stores.punches;
    assert_eq!(punches.last_written(ann).await, Ok(None));
    assert_eq!(punches.last_before(ann, at(0)).await, Ok(None));
    assert_eq!(
        punches.last_synchronized(Origin::Device(kiosk)).await,
        Ok(None)
    );

    let first_one = punch(ann, kiosk, 1, 100);
    let same_time = punch(ann, gate, 2, 100);
    // Captured offline: written later, but happened earlier.
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
    assert_eq!(
        punches.last_synchronized(Origin::Device(kiosk)).await,
        Ok(Some(at(100)))
    );
    assert_eq!(
        punches.last_synchronized(Origin::Device(gate)).await,
        Ok(Some(at(100)))
    );
}

pub async fn recorded_punches_are_listed_oldest_first(stores: &Repositories) {
    let (ann, kiosk) = (employee_id(), device_id());
    let mut all = Vec::new();
    for number in 0..9 {
        let mut one = punch(ann, kiosk, number as u64 + 1, 0);
        // Two at each moment, in another order than they happened.
        (one.at, one.recorded_at) = (at(-number), at(number / 2));
        stores.punches.append(&one).await.unwrap();
        all.push(one);
    }
    let since = async |reach: &Reach, moment, most| {
        let found = stores.punches.recorded_since(reach, at(moment), most).await;
        found.unwrap()
    };
    let everything = Reach::Everything;
    assert_eq!(since(&everything, 0, 100).await, Some(all.clone()));
    assert_eq!(since(&everything, 2, 5).await, Some(all[4..].to_vec()));
    assert_eq!(since(&everything, 2, 4).await, None, "there are five");
    assert_eq!(since(&everything, 5, 100).await, Some(vec![]));
    // How much is read does not depend on what is covered.
    let elsewhere = Reach::of(Scope::Site(SiteId::new(Uuid::now_v7())), None);
    assert_eq!(since(&elsewhere, 0, 100).await, Some(vec![]));
    assert_eq!(since(&elsewhere, 2, 4).await, None);
    let own = Reach::of(Scope::Own, Some(ann));
    assert_eq!(since(&own, 2, 5).await, Some(all[4..].to_vec()));
}

pub async fn punches_are_listed_newest_first_page_by_page(stores: &Repositories) {
    let people = [employee_id(), employee_id()];
    let kiosk = device_id();
    let origins = [
        Origin::Device(kiosk),
        // A camera with the ID of the device is another origin.
        Origin::Camera(CameraId::new(kiosk.uuid())),
    ];
    let sites = [1, 2, 3].map(|number| SiteId::new(Uuid::from_u128(number)));
    let mut all = Vec::new();
    for number in 0..24 {
        // Four punches at each moment, so that most pages end among equal times.
        let mut one = punch(
            people[number % 2],
            kiosk,
            number as u64 + 1,
            number as i64 / 4,
        );
        one.origin = origins[number / 2 % 2];
        one.site = sites[number % 3];
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
            site: Some(sites[1]),
            ..PunchFilter::default()
        },
        PunchFilter {
            origin: Some(origins[1]),
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
            origin: Some(origins[0]),
            from: Some(at(1)),
            to: Some(at(5)),
            ..PunchFilter::default()
        },
        PunchFilter {
            site: Some(sites[2]),
            from: Some(at(1)),
            ..PunchFilter::default()
        },
        PunchFilter {
            employee: Some(people[0]),
            site: Some(sites[2]),
            ..PunchFilter::default()
        },
        PunchFilter {
            origin: Some(origins[1]),
            site: Some(sites[0]),
            ..PunchFilter::default()
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
    let part = |sites: &[SiteId], own| Reach::Part {
        sites: sites.iter().copied().collect(),
        own,
    };
    let reaches = [
        Reach::Everything,
        part(&sites[..1], None),
        part(&sites[..2], None),
        part(&[], Some(people[1])),
        // The same punch may be in several of the ranges that are read.
        part(&sites[1..], Some(people[0])),
        Reach::nothing(),
    ];
    for (filter, reach) in filters
        .iter()
        .flat_map(|filter| reaches.iter().map(move |reach| (filter, reach)))
    {
        let expected: Vec<_> = all
            .iter()
            .filter(|one| reach.covers(*one))
            .filter(|one| {
                filter
                    .employee
                    .is_none_or(|employee| one.employee == employee)
                    && filter.origin.is_none_or(|origin| one.origin == origin)
                    && filter.site.is_none_or(|site| one.site == site)
                    && filter.from.is_none_or(|from| one.at >= from)
                    && filter.to.is_none_or(|to| one.at < to)
            })
            .cloned()
            .collect();
        for limit in [1, 3, 100] {
            let list = async |page| stores.punches.list(reach, filter, &page).await;
            let listed = all_pages(limit, list, |one| (one.at, one.id)).await;
            assert_eq!(listed, expected, "{filter:?}, {reach:?}, pages of {limit}");
        }
    }
}

pub async fn the_punches_of_an_erased_employee_are_deleted(stores: &Repositories) {
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

    assert_eq!(punches.delete_by_employee(ann).await, Ok(7));
    assert_eq!(punches.delete_by_employee(ann).await, Ok(0));
    for one in &of_ann {
        assert_eq!(punches.find(one.id).await, Ok(None));
        if let Some(request) = &one.request {
            let found = punches
                .find_by_request(Origin::Device(kiosk), &request.key)
                .await;
            assert_eq!(found, Ok(None));
        }
    }
    assert_eq!(punches.last_written(ann).await, Ok(None));
    assert_eq!(punches.last_before(ann, at(1000)).await, Ok(None));
    let (everything, begin) = (Reach::Everything, at(-1_000_000));
    let recorded = punches.recorded_since(&everything, begin, 100).await;
    assert_eq!(recorded, Ok(Some(vec![of_bob.clone()])));
    let all = punches
        .list(&Reach::Everything, &PunchFilter::default(), &first(100))
        .await;
    assert_eq!(all, Ok(vec![of_bob]));
    let all = Range::all();
    let left = stores.engine.count(Punch::KIND, Index::ID, &all).await;
    assert_eq!(left, Ok(1));
}

pub async fn answers_are_kept_until_they_are_deleted(stores: &Repositories) {
    let (kiosk, gate) = (device_id(), device_id());
    let punches = &stores.punches;
    let kept = answer(kiosk, "a", 10);
    punches.keep_answer(&kept).await.unwrap();
    let mut other = answer(kiosk, "a", 20);
    other.answer = "{}".into();
    assert_eq!(punches.keep_answer(&other).await, Err(StoreError::Conflict));
    assert_eq!(
        punches.kept_answer(Origin::Device(kiosk), &key("a")).await,
        Ok(Some(kept))
    );
    assert_eq!(
        punches.kept_answer(Origin::Device(kiosk), &key("A")).await,
        Ok(None)
    );
    assert_eq!(
        punches.kept_answer(Origin::Device(gate), &key("a")).await,
        Ok(None)
    );
    let mut big = answer(gate, r#"{"$gt":""}"#, 20);
    big.answer = "ü".repeat(100_000);
    punches.keep_answer(&big).await.unwrap();

    assert_eq!(punches.forget_answers(at(10)).await, Ok(0));
    assert_eq!(punches.forget_answers(at(20)).await, Ok(1));
    assert_eq!(
        punches.kept_answer(Origin::Device(kiosk), &key("a")).await,
        Ok(None)
    );
    let found = punches
        .kept_answer(Origin::Device(gate), &big.request.key)
        .await;
    assert_eq!(found, Ok(Some(big.clone())));
    assert_eq!(
        punches
            .forget_answer(Origin::Device(kiosk), &big.request.key)
            .await,
        Ok(false)
    );
    assert_eq!(
        punches
            .forget_answer(Origin::Device(gate), &big.request.key)
            .await,
        Ok(true)
    );
    assert_eq!(
        punches
            .forget_answer(Origin::Device(gate), &big.request.key)
            .await,
        Ok(false)
    );
    assert_eq!(
        punches
            .kept_answer(Origin::Device(gate), &big.request.key)
            .await,
        Ok(None)
    );
}

pub async fn of_many_answers_to_one_request_one_is_kept(stores: &Repositories) {
    let kiosk = device_id();
    let answers = race(|number| {
        let mut given = answer(kiosk, "raced", 0);
        given.answer = number.to_string();
        let punches = stores.punches.clone();
        async move { punches.keep_answer(&given).await }
    });
    let answers = answers.await;
    one_wins(&answers);
    let winner = answers.iter().position(Result::is_ok).unwrap();
    let kept = stores
        .punches
        .kept_answer(Origin::Device(kiosk), &key("raced"))
        .await;
    assert_eq!(kept.unwrap().unwrap().answer, winner.to_string());
}
