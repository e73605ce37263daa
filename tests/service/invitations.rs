//! Invitations while other requests use, revoke or resend them, and while the store fails.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::future::join_all;
use jiff::SignedDuration;
use rollcall::{
    domain::{
        accounts::Account,
        grants::{Access, Grant, Role, Scope},
        invitations::Purpose,
        record::Record,
        text::{Email, Name},
    },
    ports::{Page, StoreError},
    service::{
        accounts::AccountError,
        invitations::{Accepted, InvitationError, Inviter, Made},
    },
};

use crate::{
    failing_engine::Call,
    world::{Instance, instance},
};

fn purpose(email: &str) -> Purpose {
    let viewer = Grant::new(Role::Viewer, Scope::Everything).unwrap();
    Purpose::Account {
        email: Email::parse(email).unwrap(),
        name: Name::parse("Ada").unwrap(),
        access: Access::new(None, [viewer]).unwrap(),
        enroll: false,
    }
}

async fn invite(world: &Instance) -> Made {
    let invited = world
        .invitations
        .invite(&Inviter::OPERATOR, purpose("a@b.example"));
    invited.await.unwrap()
}

async fn accept(world: &Instance, sent: &Made) -> Result<Accepted, InvitationError> {
    let password = "a long pass phrase".into();
    let token = sent.token.reveal();
    world.invitations.accept(token, None, password).await
}

async fn accounts(world: &Instance) -> usize {
    let (after, limit) = (None, 100);
    let list = world.stores.accounts.list(&Page { after, limit }).await;
    list.unwrap().len()
}

#[tokio::test]
async fn a_link_is_used_once_by_however_many_instances() {
    for _ in 0..8 {
        let world = instance();
        let other = world.another();
        let sent = invite(&world).await;
        let tries =
            (0..6).map(|number| accept(if number % 2 == 0 { &world } else { &other }, &sent));
        let results = join_all(tries).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        for error in results.into_iter().filter_map(Result::err) {
            assert!(
                matches!(error, InvitationError::Claimed | InvitationError::Ended),
                "{error}"
            );
        }
        assert_eq!(accounts(&world).await, 1);
    }
}

/// After a revocation was acknowledged, the link creates nothing; if it creates something, the
/// revocation fails.
#[tokio::test]
async fn a_link_is_either_used_or_revoked() {
    for _ in 0..8 {
        let world = instance();
        let sent = invite(&world).await;
        let revoke = world
            .invitations
            .revoke(&Inviter::OPERATOR, sent.invitation.id);
        let (used, revoked) = futures::join!(accept(&world, &sent), revoke);
        assert!(used.is_ok() != revoked.is_ok(), "{used:?} {revoked:?}");
        assert_eq!(accounts(&world).await, usize::from(used.is_ok()));
    }
}

/// A request that failed in the middle does not use the link up for longer than a minute.
#[tokio::test]
async fn a_link_survives_a_store_that_fails() {
    let world = instance();
    let sent = invite(&world).await;
    let failing = Arc::new(AtomicBool::new(true));
    let fails = failing.clone();
    world.site.store.fail(move |kind, call| {
        let account = kind == Account::KIND && matches!(call, Call::Put(_));
        // Neither can the claim be released.
        let gone = || StoreError::Unavailable("gone".to_owned());
        (account && fails.load(Ordering::SeqCst)).then(gone)
    });
    let failed = accept(&world, &sent).await;
    assert!(
        matches!(
            failed,
            Err(InvitationError::Account(AccountError::Store(
                StoreError::Unavailable(_)
            )))
        ),
        "{failed:?}"
    );
    failing.store(false, Ordering::SeqCst);
    accept(&world, &sent).await.unwrap();
    assert_eq!(accounts(&world).await, 1);
}

#[tokio::test]
async fn a_claim_ends_by_itself() {
    let world = instance();
    let sent = invite(&world).await;
    // A request that claimed the link and never went on.
    let stored = world.stores.invitations.read(sent.invitation.id).await;
    let stored = stored.unwrap().unwrap();
    let mut claimed = sent.invitation.clone();
    claimed.claimed_until = Some(claimed.made_at + SignedDuration::from_mins(1));
    world
        .stores
        .invitations
        .swap(&stored, claimed)
        .await
        .unwrap();
    let waits = accept(&world, &sent).await;
    assert!(matches!(waits, Err(InvitationError::Claimed)), "{waits:?}");
    world.clock.advance(SignedDuration::from_mins(1));
    accept(&world, &sent).await.unwrap();
}

#[tokio::test]
async fn a_link_for_an_address_that_has_an_account_by_now_ends() {
    let world = instance();
    let (one, two) = (invite(&world).await, invite(&world).await);
    accept(&world, &one).await.unwrap();
    let taken = accept(&world, &two).await;
    assert!(
        matches!(
            taken,
            Err(InvitationError::Account(AccountError::EmailTaken))
        ),
        "{taken:?}"
    );
    let again = accept(&world, &two).await;
    assert!(matches!(again, Err(InvitationError::Ended)), "{again:?}");
}
