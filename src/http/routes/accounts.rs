//! Accounts, for admins and for the people whom they belong to.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{
        accounts::Account,
        grants::Role,
        ids::AccountId,
        mail::SecurityChange,
        text::{Name, normal},
    },
    http::{
        auth::{Administering, Confirmed, InPerson, OwnSession, SignedIn},
        extract::{Json, Path, Query},
        field_error::FieldError,
        limits::{MayGuess, problem_with_headers, with_headers},
        merge_patch::MergePatch,
        page::{List, PageQuery},
        problem::Problem,
        session::Cookies,
        views::accounts::{AccountLookup, EditableAccount, ManagedAccountView, SessionView},
    },
    ports::AccountFilter,
    service::{
        account_sessions,
        accounts::{AccountError, Accounts},
        messages::Letters,
    },
};

/// The accounts to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AccountQuery {
    /// A part of the name or email address.
    q: Option<String>,
    /// `admin`, `manager`, `viewer` or `employee`: only accounts with a grant of this role.
    role: Option<String>,
    /// `true` for accounts that can sign in only, `false` for disabled ones only.
    active: Option<bool>,
}

impl AccountQuery {
    fn filter(self) -> Result<AccountFilter, Problem> {
        let role = self.role.map(|text| Role::parse(&text)).transpose();
        let text = self.q.map(|text| normal(&text));
        Ok(AccountFilter {
            text: text.filter(|text| !text.is_empty()),
            role: role.map_err(|error| Problem::field("role", error))?,
            active: self.active,
        })
    }
}

/// Returns the view of an account.
async fn view(
    lookup: &AccountLookup,
    account: &Account,
) -> Result<axum::Json<ManagedAccountView>, Problem> {
    let mut views = lookup.managed(std::slice::from_ref(account)).await?;
    let view = views.pop();
    view.map(axum::Json)
        .ok_or_else(|| Problem::not_found("account"))
}

/// Lists accounts by email address.
#[utoipa::path(
    get, path = "/api/accounts", tag = "accounts",
    params(AccountQuery, PageQuery),
    responses((status = 200, description = "A page of accounts", body = List<ManagedAccountView>)),
)]
pub async fn list_accounts(
    InPerson(allowed): InPerson<Administering>,
    State(accounts): State<Arc<Accounts>>,
    State(lookup): State<AccountLookup>,
    Query(query): Query<AccountQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<ManagedAccountView>>, Problem> {
    let (filter, wanted) = (query.filter()?, page.page()?);
    let found = accounts
        .list(allowed.reach(), &filter, &wanted.page)
        .await?;
    let (found, next) = wanted.cut(found, |last| (last.email.to_string(), last.id))?;
    let items = lookup.managed(&found).await?;
    Ok(axum::Json(List { items, next }))
}

/// Returns an account.
#[utoipa::path(
    get, path = "/api/accounts/{id}", tag = "accounts",
    params(("id" = String, Path, description = "The account")),
    responses((status = 200, description = "The account", body = ManagedAccountView)),
)]
pub async fn get_account(
    _: InPerson<Administering>,
    State(accounts): State<Arc<Accounts>>,
    State(lookup): State<AccountLookup>,
    Path(id): Path<AccountId>,
) -> Result<axum::Json<ManagedAccountView>, Problem> {
    view(&lookup, &accounts.find(id).await?).await
}

/// A change of an account.
type AccountPatch = MergePatch<EditableAccount>;

/// Changes what an account may do, the employee it belongs to, its name, or whether its person can
/// sign in.
#[utoipa::path(
    patch, path = "/api/accounts/{id}", tag = "accounts",
    params(("id" = String, Path, description = "The account")),
    request_body = AccountPatch,
    responses(
        (status = 200, description = "Changed", body = ManagedAccountView),
        (status = 409, description = "`last_admin` if no admin who can sign in would remain, `conflict` if the employee has another account, or if other requests keep changing accounts at the same time"),
    ),
)]
pub async fn update_account(
    InPerson(allowed): InPerson<Administering>,
    _: Confirmed,
    State(accounts): State<Arc<Accounts>>,
    State(lookup): State<AccountLookup>,
    Path(id): Path<AccountId>,
    Json(patch): Json<AccountPatch>,
) -> Result<axum::Json<ManagedAccountView>, Problem> {
    let changed = accounts.change(allowed.actor(), id, |account| {
        patch.apply(&account.into())?.read()
    });
    view(&lookup, &changed.await?).await
}

/// Removes an account and ends its sessions. What it did stays in the audit trail.
#[utoipa::path(
    delete, path = "/api/accounts/{id}", tag = "accounts",
    params(("id" = String, Path, description = "The account")),
    responses(
        (status = 204, description = "Removed"),
        (status = 409, description = "`last_admin`, or `conflict` if other requests keep changing accounts at the same time"),
    ),
)]
pub async fn delete_account(
    InPerson(allowed): InPerson<Administering>,
    _: Confirmed,
    State(accounts): State<Arc<Accounts>>,
    Path(id): Path<AccountId>,
) -> Result<StatusCode, Problem> {
    accounts.remove(allowed.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A change of the own account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnAccountPatch {
    /// The name by which pages address the person, 1 to 120 characters.
    #[schema(example = "Ada")]
    name: String,
}

/// Changes the name of the account that is signed in.
#[utoipa::path(
    patch, path = "/api/account", tag = "accounts",
    request_body = OwnAccountPatch,
    responses((status = 200, description = "Changed", body = SessionView)),
)]
pub async fn update_own_account(
    SignedIn(account): SignedIn,
    OwnSession(session): OwnSession,
    State(accounts): State<Arc<Accounts>>,
    State(lookup): State<AccountLookup>,
    Json(patch): Json<OwnAccountPatch>,
) -> Result<axum::Json<SessionView>, Problem> {
    let name = Name::parse(&patch.name).map_err(|error| Problem::field("name", error))?;
    let account = accounts.rename(&account, name).await?;
    Ok(axum::Json(lookup.session(&account, &session).await?))
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The present password.
    #[schema(format = "password")]
    present: String,
    /// The new one, 12 to 256 characters that are not easy to guess.
    #[schema(example = "correct horse battery", format = "password")]
    password: String,
    /// Whether the API tokens of the account are revoked.
    #[serde(default)]
    revoke_tokens: bool,
}

/// Sets a new password for the account that is signed in. All its other sessions end.
#[utoipa::path(
    put, path = "/api/account/password", tag = "accounts",
    request_body = NewPassword,
    responses(
        (status = 204, description = "Set; sets the cookie `rollcall_session` again"),
        (status = 422, description = "`invalid`: the present password is wrong, or the new one is not accepted"),
    ),
)]
pub async fn put_own_password(
    SignedIn(account): SignedIn,
    OwnSession(session): OwnSession,
    MayGuess(limit): MayGuess,
    State(accounts): State<Arc<Accounts>>,
    State(letters): State<Arc<Letters>>,
    cookies: Cookies,
    Json(passwords): Json<NewPassword>,
) -> Result<Response, Problem> {
    let passwords = account_sessions::NewPassword {
        present: passwords.present.into(),
        password: passwords.password.into(),
        revoke_tokens: passwords.revoke_tokens,
    };
    let new = accounts
        .change_password(&account, session, cookies.visitor(), passwords)
        .await
        .map_err(|error| match error {
            AccountError::WrongPassword => Problem::field("present", FieldError::WrongPassword),
            error => error.into(),
        })
        .map_err(|problem| problem_with_headers(&limit, problem))?;
    letters.security(&account, SecurityChange::Password).await;
    let jar = cookies.begin(&new);
    Ok(with_headers(limit, (StatusCode::NO_CONTENT, jar)))
}
