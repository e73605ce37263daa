//! A session that is checked again while a stream runs: a stream ends when its session does.

use std::{sync::Arc, time::Duration};

use axum::{extract::FromRequestParts, http::request::Parts};
use tokio::time::{Instant, Interval, interval_at};

use super::{
    HttpState,
    auth::{Allowed, Reading},
    problem::Problem,
    session::Cookies,
};
use crate::{
    domain::{
        accounts::Account,
        grants::{Permission, Reach},
    },
    service::accounts::Accounts,
};

/// How often the session of a stream is checked.
const CHECK_EVERY: Duration = Duration::from_secs(15);

/// A session that may read, for a request whose response is a stream.
pub struct LiveSession {
    account: Account,
    reach: Reach,
    token: Option<String>,
    accounts: Arc<Accounts>,
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

    /// Checks that the session goes on and its account may still read. Returns false as well while
    /// the store does not respond.
    pub async fn check(&mut self) -> bool {
        let Some(token) = &self.token else {
            return false;
        };
        let Ok(Some((account, _))) = self.accounts.present(token).await else {
            return false;
        };
        let Some(reach) = account.access.reach(Permission::Read) else {
            return false;
        };
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
        let cookies = Cookies::from_parts(parts, state);
        Ok(Self {
            account: allowed.account()?.clone(),
            reach: allowed.reach().clone(),
            token: cookies.session().map(str::to_owned),
            accounts: state.app.accounts.clone(),
            checks: interval_at(Instant::now() + CHECK_EVERY, CHECK_EVERY),
        })
    }
}
