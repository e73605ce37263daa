//! A session or API token that is checked again while a stream runs: the stream ends when it does.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use tokio::time::{Instant, Interval, interval_at};

use super::{
    HttpState,
    auth::{Allowed, Reading, bearer},
    problem::Problem,
    session::Cookies,
};
use crate::{
    domain::{
        accounts::Account,
        grants::{Permission, Reach},
    },
    service::{accounts::Accounts, api_tokens::ApiTokens, second_factor::SecondFactorService},
};

/// How often the session of a stream is checked.
const CHECK_EVERY: Duration = Duration::from_secs(15);

/// How the caller authenticates.
enum Credential {
    Session(String),
    ApiToken(String),
}

/// A session or API token that may read, for a request whose response is a stream.
pub struct LiveSession {
    account: Account,
    reach: Reach,
    credential: Option<Credential>,
    accounts: Arc<Accounts>,
    api_tokens: Arc<ApiTokens>,
    second_factors: Arc<SecondFactorService>,
    checks: Interval,
}

impl LiveSession {
    /// Returns the account as it was at the last check.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Returns the records that it could read at the last check.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Waits until the next check is due.
    pub async fn check_due(&mut self) {
        self.checks.tick().await;
    }

    /// Checks that the session or API token is still valid and its account may still read, with the
    /// second factor that its role needs. Returns false as well while the store does not respond.
    pub async fn check(&mut self) -> bool {
        let found = match &self.credential {
            Some(Credential::Session(token)) => {
                let found = self.accounts.present(token).await;
                found.map(|found| found.map(|(account, _)| account))
            }
            Some(Credential::ApiToken(token)) => {
                let found = self.api_tokens.authenticate(token).await;
                found.map(|found| found.map(|(account, _)| account))
            }
            None => return false,
        };
        let Ok(Some(account)) = found else {
            return false;
        };
        let Some(reach) = account.access.reach(Permission::Read) else {
            return false;
        };
        if !matches!(self.second_factors.must_set_up(&account).await, Ok(false)) {
            return false;
        }
        self.account = account;
        self.reach = reach;
        true
    }
}

impl FromRequestParts<HttpState> for LiveSession {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        let allowed = Allowed::<Reading>::from_request_parts(parts, state).await?;
        // A bearer token counts before a cookie, as for `Allowed`.
        let credential = match parts.headers.get(header::AUTHORIZATION).and_then(bearer) {
            Some(token) => Some(Credential::ApiToken(token.to_owned())),
            None => Cookies::from_parts(parts, state)
                .session()
                .map(|token| Credential::Session(token.to_owned())),
        };
        Ok(Self {
            account: allowed.account()?.clone(),
            reach: allowed.reach().clone(),
            credential,
            accounts: state.app.accounts.clone(),
            api_tokens: state.app.api_tokens.clone(),
            second_factors: state.app.second_factors.clone(),
            checks: interval_at(Instant::now() + CHECK_EVERY, CHECK_EVERY),
        })
    }
}
