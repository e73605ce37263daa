//! Accounts: one first admin, sessions that end when they should, and revoked devices.

use futures::future::join_all;
use jiff::SignedDuration;
use rollcall::{
    clock::Clock,
    domain::{
        accounts::Account,
        grants::{Access, Grant, Reach, Role, Scope},
        ids::{EmployeeId, SiteId},
        second_factors::SecondFactors,
        text::{Email, Name},
    },
    ports::StoreError,
    service::{
        account_changes::AccountSettings,
        account_sessions::NewPassword,
        accounts::{AccountError, Accounts, NewAccount, NewSession, Visitor},
        devices::{DeviceError, DeviceSettings},
        passwords::HashCost,
        tokens::Token,
    },
};
use secrecy::SecretString;

use crate::{
    failing_engine::Call,
    world::{ADMIN, Instance, Setup, instance, visitor},
};

/// A password that is long enough.
const LONG: &str = "a long pass phrase";

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

fn name() -> Name {
    Name::parse("Ada").unwrap()
}

/// A viewer of everything.
fn viewer() -> Access {
    let grant = Grant::new(Role::Viewer, Scope::Everything).unwrap();
    Access::new(None, [grant]).unwrap()
}

fn secret(text: &str) -> SecretString {
    text.into()
}

/// Signs in with a password alone.
pub async fn sign_in_with(
    accounts: &Accounts,
    email: &str,
    password: SecretString,
    visitor: Visitor,
) -> Result<NewSession, AccountError> {
    let account = accounts
        .check_credentials(email, password, &visitor)
        .await?;
    accounts.begin_session(account, visitor, None).await
}

#[tokio::test]
async fn the_setup_link_creates_one_admin() {
    let world = instance();
    let token = world.accounts.offer_setup().unwrap();
    assert!(world.accounts.offer_setup().is_none());
    let wrong = world
        .accounts
        .set_up(
            "guess",
            email("a@b.example"),
            name(),
            secret(LONG),
            visitor(),
        )
        .await;
    assert!(matches!(wrong, Err(AccountError::BadSetupToken)));
    let short = world
        .accounts
        .set_up(
            token.reveal(),
            email("a@b.example"),
            name(),
            secret("short"),
            visitor(),
        )
        .await;
    assert!(matches!(short, Err(AccountError::BadPassword(_))));
    let attempts = (0..5).map(|number| {
        let email = email(&format!("a{number}@b.example"));
        world
            .accounts
            .set_up(token.reveal(), email, name(), secret(LONG), visitor())
    });
    let results = join_all(attempts).await;
    let made: Vec<_> = results.iter().flatten().collect();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].account.access, Access::admin());
    assert!(
        results
            .iter()
            .flat_map(|r| r.as_ref().err())
            .all(|e| matches!(e, AccountError::AlreadySetUp))
    );
    let signed_in = world
        .accounts
        .authenticate(made[0].token.reveal())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(signed_in.0.id, made[0].account.id);
}

#[tokio::test]
async fn the_setup_link_is_valid_for_an_hour() {
    let world = instance();
    let token = world.accounts.offer_setup().unwrap();
    let try_it = async || {
        let (who, password) = (email("a@b.example"), secret(LONG));
        let accounts = &world.accounts;
        accounts
            .set_up(token.reveal(), who, name(), password, visitor())
            .await
    };
    world.clock.advance(SignedDuration::from_mins(60));
    assert!(matches!(try_it().await, Err(AccountError::BadSetupToken)));
    world.clock.advance(SignedDuration::from_secs(-1));
    try_it().await.unwrap();
}

#[tokio::test]
async fn an_unfinished_setup_does_not_block_later_ones() {
    let world = instance();
    // A process that ended between the claim and the creation of the account.
    let claim = world.clock.id().to_string();
    assert_eq!(world.stores.settings.claim("setup", &claim).await, Ok(true));
    let token = world.accounts.offer_setup().unwrap();
    let try_it = async || {
        let secret = secret(LONG);
        world
            .accounts
            .set_up(
                token.reveal(),
                email("a@b.example"),
                name(),
                secret,
                visitor(),
            )
            .await
    };
    // It may still be running.
    assert!(matches!(try_it().await, Err(AccountError::AlreadySetUp)));
    world.clock.advance(SignedDuration::from_mins(2));
    assert_eq!(try_it().await.unwrap().account.access, Access::admin());
    // If there is an account, no claim is ever released.
    world.clock.advance(SignedDuration::from_hours(2));
    assert!(matches!(try_it().await, Err(AccountError::AlreadySetUp)));
}

#[tokio::test]
async fn a_session_ends_by_expiry_sign_out_reset_and_deactivation() {
    let world = instance();
    let new = NewAccount {
        email: email("Ada@B.example"),
        name: name(),
        password: secret("correct horse battery"),
        access: viewer(),
    };
    world.accounts.create(ADMIN, new.clone()).await.unwrap();
    assert!(matches!(
        world.accounts.create(ADMIN, new).await,
        Err(AccountError::EmailTaken)
    ));
    for (who, password) in [
        ("ada@b.example", "wrong horse battery"),
        ("eve@b.example", "correct horse battery"),
        ("no address", "x"),
    ] {
        let refused = sign_in_with(&world.accounts, who, secret(password), visitor()).await;
        assert!(
            matches!(refused, Err(AccountError::BadCredentials)),
            "{who}"
        );
    }
    let sign_in = async || {
        let NewSession { token, .. } = sign_in_with(
            &world.accounts,
            "ADA@b.example",
            secret("correct horse battery"),
            visitor(),
        )
        .await
        .unwrap();
        token
    };
    let (first, second) = (sign_in().await, sign_in().await);
    assert_ne!(first.reveal(), second.reveal());
    world.accounts.sign_out(first.reveal()).await.unwrap();
    assert!(
        world
            .accounts
            .authenticate(first.reveal())
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        world
            .accounts
            .authenticate(second.reveal())
            .await
            .unwrap()
            .is_some()
    );

    world.clock.advance(SignedDuration::from_hours(24));
    assert!(
        world
            .accounts
            .authenticate(second.reveal())
            .await
            .unwrap()
            .is_none()
    );

    let third = sign_in().await;
    world
        .accounts
        .reset_password(
            ADMIN,
            &email("ada@b.example"),
            secret("another long pass phrase"),
        )
        .await
        .unwrap();
    assert!(
        world
            .accounts
            .authenticate(third.reveal())
            .await
            .unwrap()
            .is_none()
    );
    let old = sign_in_with(
        &world.accounts,
        "ada@b.example",
        secret("correct horse battery"),
        visitor(),
    )
    .await;
    assert!(matches!(old, Err(AccountError::BadCredentials)));

    let NewSession {
        account,
        token: fourth,
        ..
    } = sign_in_with(
        &world.accounts,
        "ada@b.example",
        secret("another long pass phrase"),
        visitor(),
    )
    .await
    .unwrap();
    let disabled = |account| Account {
        active: false,
        ..account
    };
    world
        .stores
        .accounts
        .change(account.id, disabled)
        .await
        .unwrap();
    assert!(
        world
            .accounts
            .authenticate(fourth.reveal())
            .await
            .unwrap()
            .is_none()
    );
    let disabled = sign_in_with(
        &world.accounts,
        "ada@b.example",
        secret("another long pass phrase"),
        visitor(),
    )
    .await;
    assert!(matches!(disabled, Err(AccountError::BadCredentials)));
}

#[tokio::test]
async fn a_revoked_device_loses_access_and_keeps_its_name() {
    let world = instance();
    let new = DeviceSettings {
        name: name(),
        site: SiteId::DEFAULT,
    };
    let (device, token) = world.devices.register(ADMIN, new).await.unwrap();
    assert_eq!(
        world
            .devices
            .authenticate(token.reveal())
            .await
            .unwrap()
            .unwrap()
            .id,
        device.id
    );
    assert!(world.devices.authenticate("guess").await.unwrap().is_none());
    world.devices.revoke(ADMIN, device.id).await.unwrap();
    assert!(
        world
            .devices
            .authenticate(token.reveal())
            .await
            .unwrap()
            .is_none()
    );
    let again = world.devices.revoke(ADMIN, device.id).await;
    assert!(matches!(again, Err(DeviceError::NotFound)), "{again:?}");
    assert_eq!(
        world.devices.find_many(&[device.id]).await.unwrap()[0].name,
        name()
    );
}

#[tokio::test]
async fn an_account_belongs_to_an_employee_who_is_there_and_has_no_other() {
    let world = instance();
    let own = Grant::new(Role::Employee, Scope::Own).unwrap();
    let new = |address: &str, employee| NewAccount {
        email: email(address),
        name: name(),
        password: secret("correct horse battery"),
        access: Access::new(Some(employee), [own]).unwrap(),
    };
    let nobody = EmployeeId::new(world.clock.id());
    let refused = world
        .accounts
        .create(ADMIN, new("a@b.example", nobody))
        .await;
    assert!(matches!(refused, Err(AccountError::NoEmployee)));
    let ann = world.person("Ann").await;
    let account = world
        .accounts
        .create(ADMIN, new("a@b.example", ann.id))
        .await;
    let account = account.unwrap();
    for (address, taken) in [("a@b.example", true), ("b@b.example", false)] {
        let refused = world.accounts.create(ADMIN, new(address, ann.id)).await;
        match taken {
            true => assert!(matches!(refused, Err(AccountError::EmailTaken))),
            false => assert!(matches!(refused, Err(AccountError::EmployeeTaken))),
        }
    }
    let trail = world.stores.audit.latest(100).await.unwrap();
    let created = trail.iter().find(|entry| entry.action == "account.create");
    let detail = created.unwrap().detail.clone();
    assert_eq!(
        detail,
        Some(format!("employee {}", ann.id)),
        "the export finds it"
    );

    let signed_in = sign_in_with(
        &world.accounts,
        "a@b.example",
        secret("correct horse battery"),
        visitor(),
    )
    .await;
    let NewSession { token, .. } = signed_in.unwrap();
    world
        .employees
        .delete(&Reach::Everything, ADMIN, ann.id)
        .await
        .unwrap();
    let session = world.accounts.authenticate(token.reveal()).await;
    assert!(session.unwrap().is_none());
    assert_eq!(world.accounts.sessions(account.id).await, Ok(vec![]));
    // Another password does not open it again.
    let (address, password) = (email("a@b.example"), secret("another long pass phrase"));
    let reset = world
        .accounts
        .reset_password(ADMIN, &address, password)
        .await;
    assert!(matches!(reset, Err(AccountError::NoGrant)));
    let refused = world
        .accounts
        .create(ADMIN, new("c@b.example", ann.id))
        .await;
    assert!(matches!(refused, Err(AccountError::NoEmployee)));
}

/// Adds an account that reads everything, and signs in.
async fn signed_in(world: &Instance) -> NewSession {
    let new = NewAccount {
        email: email("ada@b.example"),
        name: name(),
        password: secret(LONG),
        access: viewer(),
    };
    world.accounts.create(ADMIN, new).await.unwrap();
    let signed_in = sign_in_with(&world.accounts, "ada@b.example", secret(LONG), visitor());
    signed_in.await.unwrap()
}

#[tokio::test]
async fn a_session_ends_without_use_and_goes_on_with_it() {
    let world = Instance::set_up(Setup {
        session_idle: Some(SignedDuration::from_hours(1)),
        ..Setup::default()
    });
    let other = world.another();
    let NewSession { account, token, .. } = signed_in(&world).await;
    for instance in [&world, &other, &world] {
        world.clock.advance(SignedDuration::from_mins(50));
        let found = instance.accounts.authenticate(token.reveal()).await;
        let (_, session) = found.unwrap().unwrap();
        assert_eq!(session.last_used(), world.clock.now());
    }
    // A stream that checks its session does not use it.
    for _ in 0..3 {
        world.clock.advance(SignedDuration::from_mins(20));
        let found = other.accounts.present(token.reveal()).await.unwrap();
        let left = world.accounts.sessions(account.id).await.unwrap();
        assert_eq!(found.is_some(), !left.is_empty());
    }
    let found = world.accounts.authenticate(token.reveal()).await;
    assert!(found.unwrap().is_none(), "an hour without use");
}

#[tokio::test]
async fn the_use_of_a_session_is_written_seldom() {
    let world = instance();
    let NewSession { session, token, .. } = signed_in(&world).await;
    let used = async || {
        world.accounts.authenticate(token.reveal()).await.unwrap();
        let stored = world.stores.sessions.find(session.hash).await.unwrap();
        stored.unwrap().used_at
    };
    assert_eq!(used().await, None);
    world.clock.advance(SignedDuration::from_secs(119));
    assert_eq!(used().await, None);
    world.clock.advance(SignedDuration::from_secs(1));
    let at = world.clock.now();
    assert_eq!(used().await, Some(at));
    world.clock.advance(SignedDuration::from_secs(100));
    assert_eq!(used().await, Some(at));
    // If the store refuses the write, people can go on reading.
    world.clock.advance(SignedDuration::from_secs(100));
    let full = |_, call: Call<'_>| {
        let refused = StoreError::Refused("the disk is full");
        matches!(call, Call::Put(_)).then_some(refused)
    };
    world.site.store.fail(full);
    assert_eq!(used().await, Some(at));
}

/// The present password ends nothing, and a new one ends every other session, whatever happens at
/// the same time.
#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let world = instance();
    let NewSession {
        account,
        session,
        token,
        ..
    } = signed_in(&world).await;
    let NewSession {
        token: elsewhere, ..
    } = sign_in_with(&world.accounts, "ada@b.example", secret(LONG), visitor())
        .await
        .unwrap();
    let change = async |present: &str| {
        let new = NewPassword {
            present: secret(present),
            password: secret("another long pass phrase"),
            revoke_tokens: false,
        };
        let accounts = &world.accounts;
        accounts
            .change_password(&account, session.clone(), visitor(), new)
            .await
    };
    let wrong = change("wrong horse battery").await;
    assert!(matches!(wrong, Err(AccountError::WrongPassword)));
    let valid = async |token: &Token| {
        let found = world.accounts.authenticate(token.reveal()).await;
        found.unwrap().is_some()
    };
    assert!(valid(&token).await && valid(&elsewhere).await);
    // A person with the old password signs in at the same moment.
    let old = sign_in_with(&world.accounts, "ada@b.example", secret(LONG), visitor());
    let (renewed, old) = futures::join!(change(LONG), old);
    let renewed = renewed.unwrap().token;
    assert!(valid(&renewed).await);
    assert!(!valid(&token).await && !valid(&elsewhere).await);
    if let Ok(old) = old {
        assert!(!valid(&old.token).await);
    }
    let sessions = world.accounts.sessions(account.id).await.unwrap();
    assert_eq!(sessions.len(), 1);
    // The account that the caller read has the old password.
    let again = change(LONG).await;
    assert!(matches!(again, Err(AccountError::SessionEnded)));
}

/// A hash that an earlier version made is replaced at the next sign-in, unless the password is
/// reset at the same moment.
#[tokio::test]
async fn a_weak_hash_is_made_again_at_sign_in() {
    let world = instance();
    let NewSession { account, .. } = signed_in(&world).await;
    let stronger = world.with_hash_cost(HashCost {
        memory: 64,
        passes: 2,
    });
    let hash = async || {
        let stored = world.accounts.find(account.id).await.unwrap();
        stored.password_hash
    };
    let old = hash().await;
    let wrong = sign_in_with(
        &stronger.accounts,
        "ada@b.example",
        secret("wrong horse battery"),
        visitor(),
    );
    assert!(wrong.await.is_err());
    assert_eq!(hash().await, old);
    let right = async |password: &str| {
        let signed_in = sign_in_with(
            &stronger.accounts,
            "ada@b.example",
            secret(password),
            visitor(),
        );
        signed_in.await
    };
    let NewSession { token, .. } = right(LONG).await.unwrap();
    let new = hash().await;
    assert!(old != new && new.contains("m=64,t=2"), "{new}");
    let found = world.accounts.authenticate(token.reveal()).await.unwrap();
    assert!(found.is_some());
    right(LONG).await.unwrap();
    assert_eq!(hash().await, new, "once");

    let reset = async |password: &str| {
        let (who, password) = (email("ada@b.example"), secret(password));
        world
            .accounts
            .reset_password(ADMIN, &who, password)
            .await
            .unwrap();
    };
    reset("another long pass phrase").await;
    let (signed_in, ()) = futures::join!(right("another long pass phrase"), reset(LONG));
    if let Ok(NewSession { token, .. }) = signed_in {
        let found = world.accounts.authenticate(token.reveal()).await.unwrap();
        assert!(found.is_none(), "the reset ended the session");
    }
    right(LONG).await.unwrap();
}

/// All sessions can be ended between the proof of a sign-in and its session.
#[tokio::test]
async fn a_sign_in_does_not_survive_what_ends_all_sessions_before_it_is_finished() {
    let world = instance();
    let accounts = &world.accounts;
    let address = "a@b.example";
    let new = NewAccount {
        email: email(address),
        name: name(),
        password: secret(LONG),
        access: viewer(),
    };
    let id = accounts.create(ADMIN, new).await.unwrap().id;
    let with_code = |factors| {
        let recovery_codes = vec![Token::mint(&*world.clock).hash()];
        Some(SecondFactors {
            recovery_codes,
            ..factors
        })
    };
    let factors = &world.stores.second_factors;
    factors.change(id, with_code).await.unwrap().unwrap();
    let owner = sign_in_with(accounts, address, secret(LONG), visitor());
    let owner = owner.await.unwrap();
    for how in ["end others", "reset", "disable"] {
        let visitor = visitor();
        let proved = accounts.check_credentials(address, secret(LONG), &visitor);
        let proved = proved.await.unwrap();
        match how {
            "end others" => {
                let ended = accounts.end_other_sessions(&proved, owner.session.clone());
                drop(ended.await.unwrap());
            }
            "reset" => world.app.second_factors.reset(ADMIN, id).await.unwrap(),
            _ => {
                for active in [false, true] {
                    let edit = |account: &Account| {
                        Ok::<_, AccountError>(AccountSettings {
                            active,
                            ..AccountSettings::of(account)
                        })
                    };
                    accounts.change(ADMIN, id, edit).await.unwrap();
                }
            }
        }
        let late = accounts.begin_session(proved, visitor, None).await;
        assert!(matches!(late, Err(AccountError::BadCredentials)), "{how}");
    }
    sign_in_with(accounts, address, secret(LONG), visitor())
        .await
        .unwrap();
}
