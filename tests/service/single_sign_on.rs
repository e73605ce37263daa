//! Single sign-on with a scripted identity provider: an admin always remains, and a confirmation needs
//! a new proof.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use rollcall::{
    clock::Clock,
    domain::{
        accounts::Account,
        grants::{Access, Permission, Role},
        single_sign_on::GroupRole,
        text::{Email, Name},
    },
    ports::{IdentityProvider, Page, PendingSignIn, ProvidedIdentity, ProviderError, StoreError},
    service::{
        accounts::NewAccount,
        api_tokens::NewApiToken,
        audit::Audit,
        single_sign_on::{SignOnError, SignOnProvider, SignedOn, SingleSignOn},
    },
};
use secrecy::{ExposeSecret, SecretString};

use crate::world::{ADMIN, Instance, instance, visitor};

/// A provider for which every code is the email address of a person of the staff.
#[derive(Default)]
struct Scripted {
    /// When people proved who they are, as it says.
    proved_at: Mutex<Option<Timestamp>>,
    /// Whether people left the staff.
    left: AtomicBool,
}

#[async_trait]
impl IdentityProvider for Scripted {
    async fn begin(
        &self,
        redirect: &str,
        _: bool,
    ) -> Result<(String, PendingSignIn), ProviderError> {
        let pending = PendingSignIn {
            state: uuid::Uuid::now_v7().to_string(),
            nonce: String::new(),
            verifier: String::new(),
        };
        Ok((redirect.to_owned(), pending))
    }

    async fn finish(
        &self,
        _: &str,
        code: SecretString,
        _: &PendingSignIn,
    ) -> Result<ProvidedIdentity, ProviderError> {
        let email = code.expose_secret().to_owned();
        Ok(ProvidedIdentity {
            issuer: "https://provider.example".to_owned(),
            subject: email.clone(),
            email: Some(email),
            email_verified: true,
            groups: match self.left.load(Ordering::SeqCst) {
                true => Vec::new(),
                false => vec!["staff".to_owned()],
            },
            proved_at: *self.proved_at.lock().unwrap(),
            ..ProvidedIdentity::default()
        })
    }
}

fn single_sign_on(world: &Instance, provider: &Arc<Scripted>) -> SingleSignOn {
    let provider = SignOnProvider {
        provider: provider.clone(),
        name: "Example SSO".to_owned(),
        roles: Some(GroupRole::parse_list("it=admin,staff=viewer").unwrap()),
    };
    let cache = world
        .site
        .cache("sign-in", std::time::Duration::from_mins(5));
    let clock: Arc<dyn Clock> = world.clock.clone();
    let audit = Audit::new(world.stores.audit.clone(), clock.clone());
    let (accounts, stores) = (world.app.accounts.clone(), world.stores.clone());
    SingleSignOn::new(provider, accounts, stores, cache, audit, clock)
}

async fn sign_on(
    service: &SingleSignOn,
    email: &str,
    confirm: bool,
) -> Result<SignedOn, SignOnError> {
    let (_, state) = service.begin("/callback", confirm).await?;
    let begun = Some(state.as_str());
    service
        .finish("/callback", begun, &state, email.into())
        .await
}

async fn add_admin(world: &Instance, email: &str) -> Account {
    let new = NewAccount {
        email: Email::parse(email).unwrap(),
        name: Name::parse("Ada").unwrap(),
        password: "correct horse battery".into(),
        access: Access::admin(),
    };
    world.accounts.create(ADMIN, new).await.unwrap()
}

async fn admins(world: &Instance) -> usize {
    let (after, limit) = (None, 100);
    let all = world.stores.accounts.list(&Page { after, limit }).await;
    let all = all.unwrap();
    all.iter().filter(|one| one.is_active_admin()).count()
}

/// The store lets other tasks run before and after each call, so that the steps of the requests
/// mix.
#[tokio::test]
async fn admins_who_lost_their_group_and_sign_in_at_the_same_time_leave_one() {
    for round in 0..12 {
        let world = instance();
        let other = world.another();
        let provider = Arc::new(Scripted::default());
        let services = [&world, &other].map(|world| single_sign_on(world, &provider));
        let count = 2 + round % 3;
        let mut emails = Vec::new();
        for number in 0..count {
            let email = format!("a{number}@b.example");
            add_admin(&world, &email).await;
            emails.push(email);
        }
        let numbered = emails.iter().enumerate();
        let attempts = numbered.map(|(number, email)| sign_on(&services[number % 2], email, false));
        let results = join_all(attempts).await;
        for error in results.into_iter().filter_map(Result::err) {
            let raced = matches!(error, SignOnError::Store(StoreError::Conflict));
            assert!(raced, "{error}");
        }
        // Each again, one after the other: one admin is left, who also has what the group says.
        for email in &emails {
            let signed_on = sign_on(&services[0], email, false).await.unwrap();
            assert!(signed_on.account.access.has_role(Role::Viewer));
        }
        assert_eq!(admins(&world).await, 1, "round {round}");
    }
}

#[tokio::test]
async fn a_confirmation_needs_a_proof_after_it_began() {
    let world = instance();
    let provider = Arc::new(Scripted::default());
    let service = single_sign_on(&world, &provider);
    let now = world.clock.now();
    let (hour, minute) = (SignedDuration::from_hours(1), SignedDuration::from_mins(1));
    for (proved_at, known, confirms) in [
        (None, None, false),
        (Some(now - hour), Some(now - hour), false),
        // Clocks differ a little.
        (Some(now - minute), Some(now - minute), true),
        (Some(now), Some(now), true),
        (Some(now + hour), None, false),
    ] {
        *provider.proved_at.lock().unwrap() = proved_at;
        let signed_on = sign_on(&service, "ann@b.example", false).await.unwrap();
        assert_eq!(signed_on.proved_at, known);
        let confirmed = sign_on(&service, "ann@b.example", true).await;
        let refused = matches!(
            confirmed,
            Err(SignOnError::Provider(ProviderError::Refused(_)))
        );
        assert_eq!((confirmed.is_ok(), refused), (confirms, !confirms));
    }
}

#[tokio::test]
async fn an_account_of_a_person_without_a_group_keeps_no_session_and_no_token() {
    let world = instance();
    let provider = Arc::new(Scripted::default());
    let service = single_sign_on(&world, &provider);
    let make = async |account: &Account| {
        let new = NewApiToken {
            name: Name::parse("Payroll export").unwrap(),
            permissions: BTreeSet::from([Permission::Read]),
            sites: None,
            days: 90,
        };
        world.api_tokens.make(account, new).await.unwrap();
    };
    let (tokens, sessions) = (&world.stores.api_tokens, &world.stores.sessions);
    let ann = sign_on(&service, "ann@b.example", false).await.unwrap();
    let ann = ann.account;
    make(&ann).await;
    let session = world.accounts.begin_session(ann.clone(), visitor(), None);
    session.await.unwrap();
    provider.left.store(true, Ordering::SeqCst);
    let refused = sign_on(&service, "ann@b.example", false).await;
    assert!(matches!(refused, Err(SignOnError::NoAccess)), "{refused:?}");
    assert_eq!(tokens.list_by_account(ann.id).await, Ok(Vec::new()));
    assert_eq!(sessions.list_by_account(ann.id).await, Ok(Vec::new()));
    // The account stays, for the day on which the person comes back.
    provider.left.store(false, Ordering::SeqCst);
    let again = sign_on(&service, "ann@b.example", false).await.unwrap();
    assert_eq!(again.account.id, ann.id);

    // The process ended while the account was removed: the rest goes when the person comes back.
    make(&again.account).await;
    let stored = world.stores.accounts.read(ann.id).await.unwrap().unwrap();
    assert_eq!(world.stores.accounts.remove(&stored).await, Ok(true));
    let new = sign_on(&service, "ann@b.example", false).await.unwrap();
    assert_ne!(new.account.id, ann.id);
    assert_eq!(tokens.all_by_account(ann.id).await, Ok(Vec::new()));
}
