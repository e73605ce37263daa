//! Employees: a code belongs to one, lists are sorted by name, and no concurrent change is
//! overwritten.

use std::collections::BTreeSet;

use rollcall::{
    domain::{
        employees::Employee,
        grants::Reach,
        ids::{EmployeeId, SiteId},
    },
    ports::{EmployeeFilter, StoreError},
    repositories::Repositories,
};

use crate::{
    TRICKY,
    pages::all_pages,
    races::{RACERS, one_wins, race},
    records::{at, code, employee, employee_id, face, first, name, site_id},
};

pub async fn employees_are_read_as_written(stores: &Repositories) {
    let employees = &stores.employees;
    let mut full = employee(&"名".repeat(120), &"x".repeat(64));
    full.settings.site = site_id();
    full.settings.active = false;
    full.created_at = jiff::Timestamp::from_millisecond(-1).unwrap();
    full.deleted_at = Some(at(999));
    employees.insert(&full).await.unwrap();
    assert_eq!(employees.find(full.id).await, Ok(Some(full)));
    for (number, text) in TRICKY.into_iter().enumerate() {
        let mut one = employee(text, text);
        one.created_at = at(number as i64);
        one.settings.site = site_id();
        employees.insert(&one).await.unwrap();
        assert_eq!(employees.find(one.id).await, Ok(Some(one.clone())));
        let found = employees.find_by_code(&code(text)).await;
        assert_eq!(found, Ok(Some(one)));
    }
    assert_eq!(employees.find(employee_id()).await, Ok(None));
}

pub async fn a_code_belongs_to_one_employee_until_deletion(stores: &Repositories) {
    let employees = &stores.employees;
    let mut ann = employee("Ann", "E7é");
    employees.insert(&ann).await.unwrap();
    let mut bob = employee("Bob", "e7É");
    assert_eq!(employees.insert(&bob).await, Err(StoreError::Conflict));
    assert_eq!(employees.find(bob.id).await, Ok(None));
    assert_eq!(employees.insert(&ann).await, Err(StoreError::Conflict));

    bob.settings.code = code("E8");
    employees.insert(&bob).await.unwrap();
    let old = bob.clone();
    bob.settings.code = code("e7é");
    let refused = employees.exchange(&old, &bob).await;
    assert_eq!(refused, Err(StoreError::Conflict));
    let kept = employees.find(bob.id).await.unwrap().unwrap();
    assert_eq!(kept.code, code("E8"), "a refused change does nothing");
    let found = employees.find_by_code(&code("E7É")).await;
    assert_eq!(found, Ok(Some(ann.clone())));

    // Changing only the case of its letters, or nothing, is not a conflict with itself.
    let first = ann.clone();
    ann.settings.code = code("e7é");
    assert_eq!(employees.exchange(&first, &ann).await, Ok(true));
    assert_eq!(employees.exchange(&ann, &ann).await, Ok(true));

    let present = ann.clone();
    ann.deleted_at = Some(at(5));
    assert_eq!(employees.exchange(&present, &ann).await, Ok(true));
    assert_eq!(employees.find_by_code(&code("E7é")).await, Ok(None));
    assert_eq!(employees.find(ann.id).await, Ok(Some(ann.clone())));
    let taken = employees.exchange(&old, &bob).await;
    assert_eq!(taken, Ok(true), "the code is free");
    let back = employees.exchange(&ann, &present).await;
    assert_eq!(back, Err(StoreError::Conflict));

    // Several deleted employees may have had the same code.
    let mut cid = employee("Cid", "E9");
    cid.deleted_at = Some(at(6));
    employees.insert(&cid).await.unwrap();
    cid.id = employee_id();
    employees.insert(&cid).await.unwrap();
}

pub async fn of_many_employees_with_one_code_one_is_added(stores: &Repositories) {
    let answers = race(|_| {
        let employees = stores.employees.clone();
        async move { employees.insert(&employee("Ann", "E7")).await }
    });
    one_wins(&answers.await);
    let filter = EmployeeFilter::default();
    let listed = stores
        .employees
        .list(&Reach::Everything, &filter, &first(100))
        .await;
    assert_eq!(listed.unwrap().len(), 1);
}

pub async fn an_employee_is_replaced_only_as_it_was_read(stores: &Repositories) {
    let employees = &stores.employees;
    let unknown = employee("Unknown", "E0");
    assert_eq!(employees.exchange(&unknown, &unknown).await, Ok(false));
    assert_eq!(employees.find(unknown.id).await, Ok(None));

    let mut old = employee("Ann", "E7");
    old.settings.site = site_id();
    employees.insert(&old).await.unwrap();
    let changes: [fn(&mut Employee); 5] = [
        |ann| ann.settings.name = name("Anna"),
        |ann| ann.settings.code = code("E8"),
        |ann| ann.settings.site = SiteId::DEFAULT,
        |ann| ann.settings.active = false,
        |ann| ann.deleted_at = Some(at(5)),
    ];
    for change in changes {
        let mut new = old.clone();
        change(&mut new);
        assert_eq!(employees.exchange(&old, &new).await, Ok(true));
        // Another change that is based on the old record.
        let mut stale = old.clone();
        stale.settings.name = name("Annabel");
        assert_eq!(employees.exchange(&old, &stale).await, Ok(false));
        assert_eq!(employees.find(old.id).await, Ok(Some(new.clone())));
        old = new;
    }
}

pub async fn of_many_who_replace_an_employee_one_wins(stores: &Repositories) {
    let bob = employee("Bob", "E9");
    stores.employees.insert(&bob).await.unwrap();
    let answers = race(|number| {
        let (employees, old) = (stores.employees.clone(), bob.clone());
        let mut new = bob.clone();
        new.settings.name = name(&format!("Bob {number}"));
        async move { employees.exchange(&old, &new).await.unwrap() }
    });
    let answers = answers.await;
    assert_eq!(answers.iter().filter(|won| **won).count(), 1);
    let winner = answers.iter().position(|won| *won).unwrap();
    let left = stores.employees.find(bob.id).await.unwrap().unwrap();
    assert_eq!(left.name, name(&format!("Bob {winner}")));
}

pub async fn employees_are_listed_by_name_page_by_page(stores: &Repositories) {
    let mut all = Vec::new();
    for number in 0..9 {
        // Equal names in different case; Z sorts before a only in byte order.
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
        let list = async |page| {
            let filter = EmployeeFilter::default();
            stores
                .employees
                .list(&Reach::Everything, &filter, &page)
                .await
        };
        let listed = all_pages(limit, list, |one| (one.name.key(), one.id)).await;
        assert_eq!(listed, all, "pages of {limit}");
    }
}

pub async fn employees_are_filtered_by_plain_text_site_and_state(stores: &Repositories) {
    let north = site_id();
    let mut all = Vec::new();
    for (number, text) in TRICKY.into_iter().enumerate() {
        let mut one = employee(text, &format!("Code-{number}"));
        one.settings.site = match number % 2 {
            0 => north,
            _ => SiteId::DEFAULT,
        };
        one.settings.active = number % 3 != 0;
        stores.employees.insert(&one).await.unwrap();
        all.push(one);
    }
    // Pages of any length contain the same employees.
    let list = async |filter: EmployeeFilter| {
        let mut found = BTreeSet::new();
        for limit in [1, 3, 100] {
            let list = async |page| {
                stores
                    .employees
                    .list(&Reach::Everything, &filter, &page)
                    .await
            };
            let listed = all_pages(limit, list, |one| (one.name.key(), one.id)).await;
            let ids: BTreeSet<_> = listed.iter().map(|one| one.id).collect();
            assert_eq!(ids.len(), listed.len(), "each is listed once");
            assert!(limit == 1 || found == ids, "pages of {limit}: {filter:?}");
            found = ids;
        }
        found
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
        let only = expected(&|other| other == number);
        assert_eq!(list(text(whole)).await, only, "{whole}");
        let loud = whole.to_uppercase();
        if loud.to_lowercase() == whole.to_lowercase() {
            assert_eq!(list(text(&loud)).await, only, "{loud}");
        }
    }
    let seventh = expected(&|number| number == 7);
    assert_eq!(list(text("cODE-7")).await, seventh, "by code");
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
    let filter = |site, active| EmployeeFilter {
        text: None,
        site,
        active,
        enrolled: None,
    };
    let even = expected(&|number| number % 2 == 0);
    assert_eq!(list(filter(Some(north), None)).await, even);
    assert_eq!(list(filter(Some(site_id()), None)).await, BTreeSet::new());
    let odd = expected(&|number| number % 2 == 1);
    assert_eq!(list(filter(Some(SiteId::DEFAULT), None)).await, odd);
    let active = expected(&|number| number % 3 != 0);
    assert_eq!(list(filter(None, Some(true))).await, active);
    let all_at_once = EmployeeFilter {
        text: Some("code".into()),
        site: Some(north),
        active: Some(false),
        enrolled: None,
    };
    let sixth = expected(&|number| number % 6 == 0);
    assert_eq!(list(all_at_once.clone()).await, sixth);

    // A third of them have a face; the first one lost it.
    let enrolled = |number: usize| number.is_multiple_of(3) && number > 0;
    for (number, one) in all.iter().enumerate().filter(|(number, _)| number % 3 == 0) {
        let enrolled = face(one.id, number as i64 + 2, 1);
        let written = stores
            .faces
            .change(one.id, at(5), |_| Some(enrolled.clone()));
        assert!(written.await.unwrap().is_some());
    }
    assert_eq!(stores.faces.forget(all[0].id, at(6)).await, Ok(2));
    for wanted in [true, false] {
        let filter = EmployeeFilter {
            enrolled: Some(wanted),
            ..EmployeeFilter::default()
        };
        let expected = expected(&|number| enrolled(number) == wanted);
        assert_eq!(list(filter).await, expected);
    }
    let with_a_face = EmployeeFilter {
        enrolled: Some(true),
        ..all_at_once
    };
    let expected = expected(&|number| number % 6 == 0 && number > 0);
    assert_eq!(list(with_a_face).await, expected);
}

pub async fn many_employees_are_found_at_once(stores: &Repositories) {
    let mut ann = employee("Ann", "E1");
    ann.deleted_at = Some(at(3));
    let bob = employee("Bob", "E2");
    for one in [&ann, &bob] {
        stores.employees.insert(one).await.unwrap();
    }
    let mut wanted: Vec<_> = (0..3000).map(|_| employee_id()).collect();
    wanted.extend([bob.id, ann.id, bob.id]);
    let found = stores.employees.find_many(&wanted).await;
    assert_eq!(found, Ok(vec![bob.clone(), ann, bob]));
    assert_eq!(stores.employees.find_many(&[]).await, Ok(vec![]));
}

pub async fn every_employee_has_a_revision(stores: &Repositories) {
    let all: Vec<_> = (0..RACERS)
        .map(|number| employee("Ann", &format!("E{number}")))
        .collect();
    for one in all.iter().rev() {
        stores.employees.insert(one).await.unwrap();
    }
    let mut deleted = all[0].clone();
    deleted.deleted_at = Some(at(1));
    assert_eq!(stores.employees.exchange(&all[0], &deleted).await, Ok(true));
    let mut expected: Vec<_> = all.iter().map(|one| (one.id, 1)).collect();
    expected[0].1 = 2;
    expected.sort_unstable();
    assert_eq!(stores.employees.revisions().await, Ok(expected));
}
