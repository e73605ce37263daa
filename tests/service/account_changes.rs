//! Changes of accounts: an admin always remains, also when admins end each other's permissions at
//! the same time, and sessions end everywhere.

use futures::future::join_all;
use rollcall::{
    domain::{
        accounts::Account,
        grants::{Access, Grant, Reach, Role, Scope},
        ids::{AccountId, EmployeeId},
        text::{Email, Name},
    },
    ports::{AccountFilter, Page},
    service::{
        account_changes::AccountSettings,
        accounts::{AccountError, NewAccount},
    },
};

use crate::world::{ADMIN, Instance, instance};

fn viewer() -> Access {
    Access::new(None, [Grant::new(Role::Viewer, Scope::Everything).unwrap()]).unwrap()
}

async fn add(world: &Instance, address: &str, access: Access) -> Account {
    let new = NewAccount {
        email: Email::parse(address).unwrap(),
        name: Name::parse("Ada").unwrap(),
        password: "correct horse battery".into(),
        access,
    };
    world.accounts.create(ADMIN, new).await.unwrap()
}

/// How an account stops being an active admin.
#[derive(Clone, Copy)]
enum End {
    Demoted,
    Disabled,
    Removed,
}

async fn end(world: &Instance, id: AccountId, how: End) -> Result<(), AccountError> {
    let edit = |account: &Account| {
        let mut settings = AccountSettings::of(account);
        match how {
            End::Demoted => settings.access = viewer(),
            End::Disabled | End::Removed => settings.active = false,
        }
        Ok::<_, AccountError>(settings)
    };
    match how {
        End::Removed => world.accounts.remove(ADMIN, id).await,
        End::Demoted | End::Disabled => world.accounts.change(ADMIN, id, edit).await.map(drop),
    }
}

async fn admins(world: &Instance) -> usize {
    let filter = AccountFilter {
        role: Some(Role::Admin),
        active: Some(true),
        ..AccountFilter::default()
    };
    let (after, limit) = (None, 100);
    let page = Page { after, limit };
    let list = world.accounts.list(&Reach::Everything, &filter, &page);
    list.await.unwrap().len()
}

#[tokio::test]
async fn the_last_admin_who_can_sign_in_cannot_go() {
    for how in [End::Demoted, End::Disabled, End::Removed] {
        let world = instance();
        let last = add(&world, "a@b.example", Access::admin()).await;
        let other = add(&world, "b@b.example", Access::admin()).await;
        add(&world, "c@b.example", viewer()).await;
        end(&world, other.id, End::Disabled).await.unwrap();
        let refused = end(&world, last.id, how).await;
        assert!(matches!(refused, Err(AccountError::LastAdmin)));
        // Another name is no end.
        let renamed = |account: &Account| {
            Ok::<_, AccountError>(AccountSettings {
                name: Name::parse("Grace").unwrap(),
                ..AccountSettings::of(account)
            })
        };
        world
            .accounts
            .change(ADMIN, last.id, renamed)
            .await
            .unwrap();
        let enabled = |account: &Account| {
            Ok::<_, AccountError>(AccountSettings {
                active: true,
                ..AccountSettings::of(account)
            })
        };
        world
            .accounts
            .change(ADMIN, other.id, enabled)
            .await
            .unwrap();
        end(&world, last.id, how).await.unwrap();
        assert_eq!(admins(&world).await, 1);
    }
}

/// The store lets other tasks run before and after each call, so that the steps of the requests
/// mix.
#[tokio::test]
async fn admins_who_end_each_other_at_the_same_time_leave_one() {
    for round in 0..12 {
        let world = instance();
        let count = 2 + round % 3;
        let mut made = Vec::new();
        for number in 0..count {
            made.push(add(&world, &format!("a{number}@b.example"), Access::admin()).await);
        }
        let other = world.another();
        let attempts = made.iter().enumerate().map(|(number, admin)| {
            let how = [End::Demoted, End::Disabled, End::Removed][(number + round) % 3];
            let world = if number % 2 == 0 { &world } else { &other };
            end(world, admin.id, how)
        });
        let results = join_all(attempts).await;
        let ended = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(admins(&world).await, count - ended);
        assert!(ended < count, "round {round}: nobody is left");
        for error in results.into_iter().filter_map(Result::err) {
            assert!(
                matches!(error, AccountError::LastAdmin | AccountError::Raced),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn a_change_is_audited_with_what_changed_and_without_names() {
    let world = instance();
    let ann = world.person("Ann").await;
    add(&world, "admin@b.example", Access::admin()).await;
    let account = add(&world, "a@b.example", viewer()).await;
    let own = Grant::new(Role::Employee, Scope::Own).unwrap();
    let edit = |account: &Account| {
        Ok::<_, AccountError>(AccountSettings {
            name: Name::parse("Ann").unwrap(),
            access: Access::new(Some(ann.id), account.access.grants().chain([own])).unwrap(),
            active: false,
        })
    };
    world
        .accounts
        .change(ADMIN, account.id, edit)
        .await
        .unwrap();
    // The same change again changes nothing.
    world
        .accounts
        .change(ADMIN, account.id, edit)
        .await
        .unwrap();
    world.accounts.remove(ADMIN, account.id).await.unwrap();
    let trail = world.stores.audit.latest(100).await.unwrap();
    let entries = trail
        .iter()
        .filter(|one| one.subject == account.id.to_string());
    let entries: Vec<_> = entries
        .map(|one| (one.action.as_str(), one.detail.clone().unwrap()))
        .collect();
    let id = ann.id;
    assert_eq!(
        entries,
        [
            ("account.remove", format!("viewer, employee {id}")),
            (
                "account.change",
                format!(
                    "name; employee: none to {id}; grants: viewer to viewer, employee {id}; disabled"
                )
            ),
            ("account.create", "viewer".to_owned()),
        ]
    );
    let gone = world.accounts.remove(ADMIN, account.id).await;
    assert!(matches!(gone, Err(AccountError::NotFound)));
}

#[tokio::test]
async fn a_link_leads_to_an_employee_who_is_there_and_has_no_other_account() {
    let world = instance();
    let (ann, bob) = (world.person("Ann").await, world.person("Bob").await);
    let own = Grant::new(Role::Employee, Scope::Own).unwrap();
    let of = |employee: EmployeeId| Access::new(Some(employee), [own]).unwrap();
    let account = add(&world, "a@b.example", of(ann.id)).await;
    let other = add(&world, "b@b.example", viewer()).await;
    let link = async |id: AccountId, employee: EmployeeId| {
        let edit = |account: &Account| {
            Ok::<_, AccountError>(AccountSettings {
                access: of(employee),
                ..AccountSettings::of(account)
            })
        };
        world.accounts.change(ADMIN, id, edit).await
    };
    let taken = link(other.id, ann.id).await;
    assert!(matches!(taken, Err(AccountError::EmployeeTaken)));
    link(account.id, bob.id).await.unwrap();
    link(other.id, ann.id).await.unwrap();
    world
        .employees
        .delete(&Reach::Everything, ADMIN, ann.id)
        .await
        .unwrap();
    let deleted = link(account.id, ann.id).await;
    assert!(matches!(deleted, Err(AccountError::NoEmployee)));
    let found = world.accounts.find(account.id).await.unwrap();
    assert_eq!(found.access.employee(), Some(bob.id));
}
