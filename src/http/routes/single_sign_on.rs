//! Signing in with an identity provider, and what the sign-in page offers.

use axum::{
    Extension,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use axum_extra::extract::{
    CookieJar,
    cookie::{Cookie, SameSite},
};
use serde::{Deserialize, Serialize};
use tracing::warn;
use utoipa::{IntoParams, ToSchema};

use crate::{
    http::{
        HttpState, context::Client, extract::Query, limits::MayGuess, problem::Problem,
        relying_party::PublicOrigin, session::Cookies,
    },
    ports::ProviderError,
    service::{
        second_factor::PATIENCE,
        single_sign_on::{SignOnError, SignedOn, SingleSignOn},
    },
};

/// The path to which the provider sends browsers back.
pub const CALLBACK: &str = "/api/session/oidc/callback";

/// The cookie that binds a sign-in to the browser that began it, without and with TLS. Over TLS, no
/// other host of the domain can set it.
const COOKIE: [&str; 2] = ["rollcall_oidc", "__Host-rollcall_oidc"];

/// An identity provider.
#[derive(Serialize, ToSchema)]
#[schema(title = "IdentityProvider")]
pub struct ProviderView {
    /// Its name, for the button.
    #[schema(example = "Example SSO")]
    name: String,
}

/// How people can sign in.
#[derive(Serialize, ToSchema)]
#[schema(title = "SignInMethods")]
pub struct MethodsView {
    /// With email address and password; always true.
    password: bool,
    /// With a passkey: whether browsers accept passkeys at the address of this request.
    passkey: bool,
    /// With an identity provider: open `GET /api/session/oidc`. Null if none is configured.
    oidc: Option<ProviderView>,
    /// Whether a person who forgot the password can get a link by email:
    /// `POST /api/password-resets`.
    password_reset: bool,
}

/// Returns how people can sign in.
#[utoipa::path(
    get, path = "/api/session/methods", tag = "session",
    responses((status = 200, description = "The methods", body = MethodsView)),
    security(()),
)]
pub async fn get_methods(
    State(state): State<HttpState>,
    origin: PublicOrigin,
) -> axum::Json<MethodsView> {
    let provider = state.app.single_sign_on.as_ref();
    axum::Json(MethodsView {
        password: true,
        passkey: origin.relying_party().is_some(),
        oidc: provider.map(|provider| ProviderView {
            name: provider.name().to_owned(),
        }),
        password_reset: state.app.letters.is_on(),
    })
}

fn provider(state: &HttpState) -> Result<&SingleSignOn, Problem> {
    let provider = state.app.single_sign_on.as_deref();
    provider.ok_or_else(|| Problem::not_found("identity provider"))
}

/// Sends the browser back to the sign-in page, which explains the code.
fn to_sign_in_page(error: &SignOnError) -> Response {
    let code = match error {
        SignOnError::Provider(ProviderError::Unavailable(_)) => "oidc_unavailable",
        SignOnError::Provider(ProviderError::Refused(_)) => "oidc_refused",
        SignOnError::Expired => "oidc_expired",
        SignOnError::EmailNotVerified => "oidc_email_not_verified",
        SignOnError::NoAccess => "oidc_no_access",
        SignOnError::OtherPerson => "oidc_other_person",
        SignOnError::Disabled => "oidc_disabled",
        SignOnError::Store(_) => "store_unavailable",
    };
    warn!(%error, code, "single sign-on failed");
    Redirect::to(&format!("/sign-in?error={code}")).into_response()
}

fn state_cookie(value: String, client: Client, state: &HttpState) -> Cookie<'static> {
    let secure = state.settings.secure_cookies.unwrap_or(client.tls);
    Cookie::build((COOKIE[usize::from(secure)], value))
        .path("/")
        .http_only(true)
        // The provider is another site.
        .same_site(SameSite::Lax)
        .secure(secure)
        .build()
}

/// How to sign in.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SignOnQuery {
    /// Whether the provider must ask again who the person is, also if they are signed in there. The
    /// new session may then make changes that answer `confirmation_required` otherwise.
    #[serde(default)]
    confirm: bool,
}

/// Begins to sign in with the identity provider: leads the browser there. From there it returns to
/// `/api/session/oidc/callback`.
#[utoipa::path(
    get, path = "/api/session/oidc", tag = "session",
    params(SignOnQuery),
    responses(
        (status = 303, description = "To the identity provider, or to `/sign-in?error=CODE`"),
        (status = 404, description = "`not_found`: no identity provider is configured"),
    ),
    security(()),
)]
pub async fn begin_sign_on(
    _: MayGuess,
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    origin: PublicOrigin,
    jar: CookieJar,
    Query(query): Query<SignOnQuery>,
) -> Result<Response, Problem> {
    let provider = provider(&state)?;
    let redirect = origin.address(CALLBACK);
    match provider.begin(&redirect, query.confirm).await {
        Err(error) => Ok(to_sign_in_page(&error)),
        Ok((address, begun)) => {
            let mut cookie = state_cookie(begun, client, &state);
            cookie.set_max_age(PATIENCE.try_into().ok());
            let to = HeaderValue::try_from(address);
            let to = to.map_err(|cause| Problem::internal(cause.to_string()))?;
            let location = [(header::LOCATION, to)];
            Ok((StatusCode::SEE_OTHER, jar.add(cookie), location).into_response())
        }
    }
}

/// What the provider adds to the address.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Returned {
    /// The state of the sign-in.
    state: Option<String>,
    /// The code that the service exchanges for the identity.
    code: Option<String>,
    /// Why the provider did not sign the person in.
    error: Option<String>,
}

/// Finishes signing in with the identity provider, and leads the browser to `/`.
#[utoipa::path(
    get, path = "/api/session/oidc/callback", tag = "session",
    params(Returned),
    responses(
        (status = 303, description = "Signed in; sets the cookie `rollcall_session`. Without success, to `/sign-in?error=CODE`"),
        (status = 404, description = "`not_found`: no identity provider is configured"),
    ),
    security(()),
)]
pub async fn finish_sign_on(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    origin: PublicOrigin,
    cookies: Cookies,
    jar: CookieJar,
    Query(returned): Query<Returned>,
) -> Result<Response, Problem> {
    let provider = provider(&state)?;
    let mut ended = state_cookie(String::new(), client, &state);
    let begun = jar.get(ended.name());
    let begun = begun.map(|cookie| cookie.value().to_owned());
    ended.make_removal();
    let jar = jar.add(ended);
    let finished = match (returned.state, returned.code) {
        (Some(begun_as), Some(code)) => {
            let redirect = origin.address(CALLBACK);
            provider
                .finish(&redirect, begun.as_deref(), &begun_as, code.into())
                .await
        }
        _ => {
            // The text is from the address, so it is not logged.
            let said = returned.error.map_or("nothing", |_| "an error");
            Err(ProviderError::Refused(format!("it returned {said} instead of a code")).into())
        }
    };
    match finished {
        Err(error) => Ok((jar, to_sign_in_page(&error)).into_response()),
        Ok(SignedOn { account, proved_at }) => {
            let accounts = &state.app.accounts;
            let signed_in = cookies.sign_in_since(accounts, account, proved_at);
            let (session, _) = signed_in.await?;
            Ok((jar, session, Redirect::to("/")).into_response())
        }
    }
}
