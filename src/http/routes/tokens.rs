//! API tokens.

use std::{collections::BTreeSet, sync::Arc};

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{
        accounts::Account,
        api_tokens::ApiToken,
        grants::{LimitError, Permission, Reach},
        ids::{ApiTokenId, SiteId},
        mail::SecurityChange,
        text::Name,
    },
    http::{
        auth::{Confirmed, SignedIn},
        extract::{Json, Path, Query},
        field_error::FieldError,
        page::{List, PageQuery},
        problem::{Code, Fields, Problem},
        views::{Created, created, read_id, time},
    },
    service::{
        api_tokens::{ApiTokenError, ApiTokens, ListedApiToken, NewApiToken},
        messages::Letters,
        sites::{SiteMap, Sites},
    },
};

impl From<ApiTokenError> for Problem {
    fn from(error: ApiTokenError) -> Self {
        let text = error.to_string();
        match error {
            ApiTokenError::NotFound => Self::not_found("token"),
            ApiTokenError::NotPermitted(_) => Self::new(Code::Forbidden, text),
            ApiTokenError::Limit(error) => error.into(),
            ApiTokenError::UnknownSite(_) => Self::field("sites", FieldError::UnknownSite),
            ApiTokenError::TooMany => Self::new(Code::TooManyTokens, text),
            ApiTokenError::Store(error) => error.into(),
        }
    }
}

impl From<LimitError> for Problem {
    fn from(error: LimitError) -> Self {
        let (field, least, most) = match error {
            LimitError::NoPermission => ("permissions", 1, Permission::ALL.len()),
            LimitError::NoSite => ("sites", 1, SITES_MOST),
            LimitError::AdministerAPart => {
                let by = "administer";
                return Self::field("sites", FieldError::Excluded { by });
            }
            LimitError::Punch => return Self::new(Code::Forbidden, error.to_string()),
        };
        Self::field(field, FieldError::WrongCount { least, most })
    }
}

/// The most sites of a token.
const SITES_MOST: usize = 100;

/// The days that a token lasts by default.
const DAYS: u16 = 90;

fn default_days() -> u16 {
    DAYS
}

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewToken")]
pub struct NewToken {
    /// What it is for, 1 to 120 characters.
    #[schema(example = "Payroll export")]
    name: String,
    /// The permissions, of those that the account has: `read`, `survey`, `correct`, `request`,
    /// `identify`, `look`, `enroll`, `administer`.
    #[schema(example = json!(["read"]))]
    permissions: Vec<String>,
    /// The IDs of the sites that it covers; null for everything that the account covers. Not with
    /// `administer`.
    #[serde(default)]
    sites: Option<Vec<String>>,
    /// How many days it lasts, 1 to 365.
    #[serde(default = "default_days")]
    #[schema(minimum = 1, maximum = 365, default = 90)]
    days: u16,
}

impl NewToken {
    /// Reads a token of an account.
    fn read(self, account: &Account) -> Result<NewApiToken, Problem> {
        let mut fields = Fields::default();
        let name = fields.required("name", Name::parse(&self.name));
        let own = || Permission::ALL.iter().copied();
        let own = || own().filter(|permission| account.permits(*permission));
        let mut permissions = BTreeSet::new();
        for (number, word) in self.permissions.iter().enumerate() {
            let found = own().find(|permission| permission.as_str() == word);
            let values = || own().map(Permission::as_str).collect();
            let found = found.ok_or_else(|| FieldError::NotOneOf { values: values() });
            permissions.extend(fields.required(&format!("permissions[{number}]"), found));
        }
        let sites = match self.sites {
            None => None,
            Some(sites) if sites.len() > SITES_MOST => {
                let (least, most) = (1, SITES_MOST);
                fields.add("sites", FieldError::WrongCount { least, most });
                None
            }
            Some(sites) => {
                let mut read = BTreeSet::new();
                for (number, id) in sites.into_iter().enumerate() {
                    let site = read_id::<SiteId>(id);
                    read.extend(fields.required(&format!("sites[{number}]"), site));
                }
                Some(read)
            }
        };
        if !(1..=ApiToken::MOST_DAYS).contains(&self.days) {
            let most = i128::from(ApiToken::MOST_DAYS);
            fields.add("days", FieldError::OutOfRange { least: 1, most });
        }
        let Some(name) = name else {
            return Err(fields.problem());
        };
        fields.check()?;
        Ok(NewApiToken {
            name,
            permissions,
            sites,
            days: self.days,
        })
    }
}

/// An API token, without the token itself.
#[derive(Serialize, ToSchema)]
#[schema(title = "Token")]
pub struct TokenView {
    /// The ID.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// What it is for.
    #[schema(example = "Payroll export")]
    name: String,
    /// The permissions. The token uses those that the account still has.
    #[schema(example = json!(["read"]))]
    permissions: Vec<&'static str>,
    /// The IDs of the sites that it covers; null for everything that the account covers.
    sites: Option<Vec<String>>,
    /// The names of the sites, in the same order.
    site_names: Option<Vec<String>>,
    /// The ID of the account that made it.
    #[schema(format = "uuid")]
    account: String,
    /// The email address of the account; null if it no longer exists.
    #[schema(example = "ada@example.com")]
    account_email: Option<String>,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it ends, or ended.
    #[schema(format = "date-time")]
    expires_at: String,
    /// When it was last used, to within an hour; null if it was not used.
    #[schema(format = "date-time")]
    used_at: Option<String>,
}

impl TokenView {
    fn new(listed: ListedApiToken, sites: &SiteMap) -> Self {
        let token = listed.token;
        let of_sites = |text: &dyn Fn(SiteId) -> String| {
            let covered = token.limit.sites();
            covered.map(|covered| covered.iter().map(|site| text(*site)).collect())
        };
        Self {
            id: token.id.to_string(),
            name: token.name.to_string(),
            permissions: token.limit.permissions().map(Permission::as_str).collect(),
            sites: of_sites(&|site| site.to_string()),
            site_names: of_sites(&|site| sites.name(site).to_owned()),
            account: token.account.to_string(),
            account_email: listed.email,
            created_at: time(token.created_at),
            expires_at: time(token.expires_at),
            used_at: listed.used_at.map(time),
        }
    }
}

/// A new API token.
#[derive(Serialize, ToSchema)]
#[schema(title = "MadeToken")]
pub struct MadeTokenView {
    #[serde(flatten)]
    made: TokenView,
    /// The token, returned only once.
    #[schema(example = "rc_b64url-of-32-random-bytes")]
    token: String,
}

/// Whose tokens to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TokensQuery {
    /// `true`: the tokens of all accounts, for admins.
    everyone: Option<bool>,
}

/// Lists the API tokens of the account, or of all accounts, that are not revoked.
#[utoipa::path(
    get, path = "/api/tokens", tag = "tokens",
    params(TokensQuery, PageQuery),
    responses((status = 200, description = "A page of tokens, by account and oldest first", body = List<TokenView>)),
)]
pub async fn list_tokens(
    SignedIn(account): SignedIn,
    State(tokens): State<Arc<ApiTokens>>,
    State(sites): State<Arc<Sites>>,
    Query(query): Query<TokensQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<TokenView>>, Problem> {
    let wanted = page.page()?;
    let (found, next) = match query.everyone {
        Some(true) => {
            let reach = account.access.reach(Permission::Administer);
            let only_admins = || Problem::new(Code::Forbidden, "only admins see everyone's tokens");
            let reach: Reach = reach.ok_or_else(only_admins)?;
            let found = tokens.list(&reach, &wanted.page).await?;
            let cursor = |last: &ListedApiToken| {
                let token = &last.token;
                (token.account, token.created_at, token.id)
            };
            wanted.cut(found, cursor)?
        }
        // An account has few.
        Some(false) | None => (tokens.list_own(&account).await?, None),
    };
    let sites = sites.all().await?;
    let view = |listed| TokenView::new(listed, &sites);
    let items = found.into_iter().map(view).collect();
    Ok(axum::Json(List { items, next }))
}

/// Makes an API token for a program. It may do what the account may at that moment, within its
/// permissions and sites. The token itself is returned only once.
#[utoipa::path(
    post, path = "/api/tokens", tag = "tokens",
    request_body = NewToken,
    responses(
        (status = 201, description = "Made", body = MadeTokenView),
        (status = 409, description = "`too_many_tokens`"),
    ),
)]
pub async fn create_token(
    SignedIn(account): SignedIn,
    _: Confirmed,
    State(tokens): State<Arc<ApiTokens>>,
    State(sites): State<Arc<Sites>>,
    State(letters): State<Arc<Letters>>,
    Json(new): Json<NewToken>,
) -> Result<Created<MadeTokenView>, Problem> {
    let (made, token) = tokens.make(&account, new.read(&account)?).await?;
    letters.security(&account, SecurityChange::TokenMade).await;
    let address = format!("/api/tokens/{}", made.token.id);
    let view = MadeTokenView {
        made: TokenView::new(made, &*sites.all().await?),
        token: token.reveal().to_owned(),
    };
    Ok(created(address, view))
}

/// Revokes an API token of the account; admins revoke those of all accounts.
#[utoipa::path(
    delete, path = "/api/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "The token")),
    responses((status = 204, description = "Revoked")),
)]
pub async fn delete_token(
    SignedIn(account): SignedIn,
    State(tokens): State<Arc<ApiTokens>>,
    Path(id): Path<ApiTokenId>,
) -> Result<StatusCode, Problem> {
    tokens.revoke(&account, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
