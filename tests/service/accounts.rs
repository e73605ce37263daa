//! Accounts: one first admin, sessions that end when they should, devices that can be shut out.

use futures::future::join_all;
use jiff::SignedDuration;
use rollcall::{
    clock::Clock,
    domain::{
        accounts::Role,
        text::{Email, Name},
    },
    service::accounts::{AccountError, NewAccount},
};
use secrecy::SecretString;

use crate::world::{ADMIN, instance};

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

fn name() -> Name {
    Name::parse("Ada").unwrap()
}

fn secret(text: &str) -> SecretString {
    text.into()
}

#[tokio::test]
async fn the_set_up_link_makes_one_admin_whoever_is_first() {
    let world = instance().await;
    let token = world.accounts.offer_setup().unwrap();
    assert!(world.accounts.offer_setup().is_none());
    let wrong = world
        .accounts
        .set_up("guess", email("a@b.example"), name(), secret("long enough"))
        .await;
    assert!(matches!(wrong, Err(AccountError::BadSetupToken)));
    let short = world
        .accounts
        .set_up(
            token.reveal(),
            email("a@b.example"),
            name(),
            secret("short"),
        )
        .await;
    assert!(matches!(short, Err(AccountError::BadPassword)));
    let attempts = (0..5).map(|number| {
        let email = email(&format!("a{number}@b.example"));
        world
            .accounts
            .set_up(token.reveal(), email, name(), secret("long enough"))
    });
    let results = join_all(attempts).await;
    let made: Vec<_> = results.iter().flatten().collect();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].0.role, Role::Admin);
    assert!(
        results
            .iter()
            .flat_map(|r| r.as_ref().err())
            .all(|e| matches!(e, AccountError::AlreadySetUp))
    );
    let signed_in = world
        .accounts
        .authenticate(made[0].1.reveal())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(signed_in.id, made[0].0.id);
}

#[tokio::test]
async fn who_came_no_further_than_the_claim_does_not_lock_the_door() {
    let world = instance().await;
    // A process that ended between the claim and the account.
    let claim = world.clock.id().to_string();
    assert_eq!(world.stores.settings.claim("setup", &claim).await, Ok(true));
    let token = world.accounts.offer_setup().unwrap();
    let try_it = async || {
        let secret = secret("long enough");
        world
            .accounts
            .set_up(token.reveal(), email("a@b.example"), name(), secret)
            .await
    };
    // It may still be at it.
    assert!(matches!(try_it().await, Err(AccountError::AlreadySetUp)));
    world.clock.advance(SignedDuration::from_mins(2));
    assert_eq!(try_it().await.unwrap().0.role, Role::Admin);
    // With an account, no claim is ever freed.
    world.clock.advance(SignedDuration::from_hours(2));
    assert!(matches!(try_it().await, Err(AccountError::AlreadySetUp)));
}

#[tokio::test]
async fn a_session_ends_by_time_by_sign_out_by_reset_and_when_disabled() {
    let world = instance().await;
    let new = NewAccount {
        email: email("Ada@B.example"),
        name: name(),
        password: secret("correct horse"),
        role: Role::Viewer,
    };
    world.accounts.create(ADMIN, new.clone()).await.unwrap();
    assert!(matches!(
        world.accounts.create(ADMIN, new).await,
        Err(AccountError::EmailTaken)
    ));
    for (who, password) in [
        ("ada@b.example", "wrong horse"),
        ("eve@b.example", "correct horse"),
        ("no address", "x"),
    ] {
        let refused = world.accounts.sign_in(who, secret(password)).await;
        assert!(
            matches!(refused, Err(AccountError::BadCredentials)),
            "{who}"
        );
    }
    let sign_in = async || {
        let (_, token) = world
            .accounts
            .sign_in("ADA@b.example", secret("correct horse"))
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
        .reset_password(ADMIN, &email("ada@b.example"), secret("battery staple"))
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
    let old = world
        .accounts
        .sign_in("ada@b.example", secret("correct horse"))
        .await;
    assert!(matches!(old, Err(AccountError::BadCredentials)));

    let (mut account, fourth) = world
        .accounts
        .sign_in("ada@b.example", secret("battery staple"))
        .await
        .unwrap();
    account.active = false;
    world.stores.accounts.update(&account).await.unwrap();
    assert!(
        world
            .accounts
            .authenticate(fourth.reveal())
            .await
            .unwrap()
            .is_none()
    );
    let disabled = world
        .accounts
        .sign_in("ada@b.example", secret("battery staple"))
        .await;
    assert!(matches!(disabled, Err(AccountError::BadCredentials)));
}

#[tokio::test]
async fn a_revoked_device_is_shut_out_and_keeps_its_name() {
    let world = instance().await;
    let (device, token) = world.devices.register(ADMIN, name(), None).await.unwrap();
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
    world
        .devices
        .revoke(ADMIN, device.id)
        .await
        .unwrap()
        .unwrap();
    assert!(
        world
            .devices
            .authenticate(token.reveal())
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        world
            .devices
            .revoke(ADMIN, device.id)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        world.devices.find_many(&[device.id]).await.unwrap()[0].name,
        name()
    );
}
