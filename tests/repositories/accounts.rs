//! Accounts, their sessions, and the audit trail.

use rollcall::{
    domain::{
        accounts::{Account, Actor},
        audit::AuditEntry,
        grants::{Access, Grant, Reach, Role, Scope},
        ids::{AccountId, AuditId},
        record::{Index, Record},
        text::Email,
    },
    ports::{Range, StoreError},
    repositories::Repositories,
};
use uuid::Uuid;

use crate::{
    TRICKY,
    pages::all_pages,
    races::{one_wins, race},
    records::{account, at, employee_id, first, session, token},
};

pub async fn accounts_are_found_by_email_and_listed(stores: &Repositories) {
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
    let replace = async |new: &Account| {
        let changed = stores.accounts.change(new.id, |_| new.clone()).await;
        changed.map(|changed| changed.is_some())
    };
    assert_eq!(replace(&moved).await, Err(StoreError::Conflict));

    made[1].email = Email::parse("moved@example.org").unwrap();
    made[1].password_hash = "another".into();
    made[1].active = false;
    assert_eq!(replace(&made[1]).await, Ok(true));
    assert_eq!(replace(&twin).await, Ok(false));
    let old = Email::parse("m@example.org").unwrap();
    assert_eq!(stores.accounts.find_by_email(&old).await, Ok(None));
    for limit in [1, 2, 100] {
        let list = async |page| stores.accounts.list(&page).await;
        assert_eq!(all_pages(limit, list, |one| one.id).await, made);
    }
}

pub async fn an_employee_has_at_most_one_account(stores: &Repositories) {
    let ann = employee_id();
    let own = Grant::new(Role::Employee, Scope::Own).unwrap();
    let linked = |email| Account {
        access: Access::new(Some(ann), [own]).unwrap(),
        ..account(email, Role::Viewer)
    };
    let (one, other) = (linked("a@example.org"), linked("b@example.org"));
    assert_eq!(stores.accounts.find_by_employee(ann).await, Ok(None));
    stores.accounts.insert(&one).await.unwrap();
    let again = stores.accounts.insert(&other).await;
    assert_eq!(again, Err(StoreError::Conflict));
    let found = stores.accounts.find_by_employee(ann).await;
    assert_eq!(found, Ok(Some(one.clone())));
    // A deleted employee keeps the account, an erased one does not.
    let closed = stores
        .accounts
        .change(one.id, Account::after_deletion)
        .await;
    let closed = closed.unwrap().unwrap();
    assert!(!closed.active && closed.access.is_empty());
    let found = stores.accounts.find_by_employee(ann).await;
    assert_eq!(found, Ok(Some(closed)));
    let unlinked = |account: Account| Account {
        access: account.access.unlinked(),
        ..account
    };
    assert!(
        stores
            .accounts
            .change(one.id, unlinked)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(stores.accounts.find_by_employee(ann).await, Ok(None));
    stores.accounts.insert(&other).await.unwrap();
}

pub async fn of_many_accounts_with_one_email_one_is_added(stores: &Repositories) {
    let answers = race(|_| {
        let accounts = stores.accounts.clone();
        let one = account("new@example.org", Role::Viewer);
        async move { accounts.insert(&one).await }
    });
    one_wins(&answers.await);
    assert_eq!(stores.accounts.list(&first(100)).await.unwrap().len(), 1);
}

pub async fn sessions_end_one_by_one_by_account_and_by_time(stores: &Repositories) {
    let (ann, bob) = (
        AccountId::new(Uuid::now_v7()),
        AccountId::new(Uuid::now_v7()),
    );
    let mut made = [
        session(1, ann, 10),
        session(2, ann, 20),
        session(3, bob, 30),
        session(4, bob, 40),
        session(5, ann, 50),
    ];
    made[3].created_at = at(1);
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
    let of_bob = stores.sessions.list_by_account(bob).await.unwrap();
    assert_eq!(of_bob, [made[3].clone(), made[2].clone()], "newest first");
    assert_eq!(stores.sessions.delete(token(5)).await, Ok(true));
    assert_eq!(stores.sessions.delete(token(5)).await, Ok(false));
    assert_eq!(left().await, [1, 2, 3, 4]);
    assert_eq!(stores.sessions.purge(at(10)).await, Ok(0));
    assert_eq!(stores.sessions.purge(at(11)).await, Ok(1));
    assert_eq!(left().await, [2, 3, 4]);
    assert_eq!(stores.sessions.delete_by_account(bob).await, Ok(2));
    assert_eq!(stores.sessions.delete_by_account(bob).await, Ok(0));
    assert_eq!(left().await, [2]);
}

pub async fn the_audit_trail_is_read_newest_first(stores: &Repositories) {
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
    for limit in [1, 2, 4, 9] {
        let list = async |page| stores.audit.list(&Reach::Everything, &page).await;
        let listed = all_pages(limit, list, |entry| (entry.at, entry.id)).await;
        assert_eq!(listed, entries, "pages of {limit}");
    }
    assert_eq!(stores.audit.purge(at(0)).await, Ok(0));
    assert_eq!(stores.audit.purge(at(2)).await, Ok(6));
    assert_eq!(stores.audit.latest(100).await, Ok(entries[..3].to_vec()));
    let all = Range::all();
    let left = stores.engine.count(AuditEntry::KIND, Index::ID, &all).await;
    assert_eq!(left, Ok(3));
    assert_eq!(stores.audit.purge(at(2)).await, Ok(0));
}
