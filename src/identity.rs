//! Identity providers: OpenID Connect with the authorization code flow and PKCE.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use openidconnect::{
    AccessToken, AdditionalClaims, AuthenticationFlow, AuthorizationCode, Client, ClientId,
    ClientSecret, CsrfToken, EmptyExtraTokenFields, EndUserName, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, IdTokenClaims, IdTokenFields, IssuerUrl,
    LocalizedClaim, Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, Scope, StandardErrorResponse, StandardTokenResponse, SubjectIdentifier,
    TokenResponse, UserInfoClaims,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata,
        CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse,
        CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::debug;

use crate::{
    http_client::Trust,
    ports::{IdentityProvider, PendingSignIn, ProvidedIdentity, ProviderError},
};

/// How long a response of the provider may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of a response of the provider, in bytes.
const RESPONSE_MOST: usize = 1 << 20;

/// How long the provider's description and keys are used.
const FRESH: Duration = Duration::from_hours(1);

/// How soon the description is read again if a token has an unknown key.
const AGAIN: Duration = Duration::from_secs(10);

/// The signatures that are accepted. None of them uses the client's secret.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 6] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// The claims beside the standard ones, of which one has the groups.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct OtherClaims(serde_json::Map<String, Value>);

impl AdditionalClaims for OtherClaims {}

impl OtherClaims {
    /// Returns the groups in a claim: a list of texts, or one text.
    fn groups(&self, claim: &str) -> Option<Vec<String>> {
        match self.0.get(claim)? {
            Value::String(group) => Some(vec![group.clone()]),
            Value::Array(groups) => {
                let texts = groups.iter().filter_map(Value::as_str);
                Some(texts.map(str::to_owned).collect())
            }
            _ => None,
        }
    }
}

type TokenAnswer = StandardTokenResponse<
    IdTokenFields<
        OtherClaims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type OidcClient = Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    TokenAnswer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The settings of an OpenID Connect provider.
pub struct ProviderSettings {
    /// The address of the provider, under which it describes itself.
    pub issuer: String,
    /// The ID under which the provider knows the service.
    pub client_id: String,
    /// The secret of the service at the provider; `None` for a public client.
    pub client_secret: Option<SecretString>,
    /// The claim with the groups of a person.
    pub groups_claim: String,
}

/// An OpenID Connect provider. Its description is read when it is needed.
pub struct OpenIdProvider {
    settings: ProviderSettings,
    issuer: IssuerUrl,
    http: reqwest::Client,
    described: Mutex<Option<(Instant, Arc<CoreProviderMetadata>)>>,
}

/// The reason why the provider cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The issuer is not a URL.
    #[error("OIDC_ISSUER is not a URL: {0}")]
    Issuer(String),
    /// The HTTP client cannot be made.
    #[error("could not make the client of the identity provider: {0}")]
    Client(#[from] reqwest::Error),
}

impl OpenIdProvider {
    /// Creates the adapter, without contacting the provider.
    ///
    /// # Errors
    /// When the issuer is not a URL.
    pub fn new(settings: ProviderSettings, trust: &Trust) -> Result<Self, SetUpError> {
        let issuer = IssuerUrl::new(settings.issuer.clone());
        let http = trust
            .http()
            // The provider's answers must not lead elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()?;
        Ok(Self {
            issuer: issuer.map_err(|cause| SetUpError::Issuer(cause.to_string()))?,
            settings,
            http,
            described: Mutex::new(None),
        })
    }

    /// Returns the provider's description and keys, read within `fresh`.
    async fn description(
        &self,
        fresh: Duration,
    ) -> Result<Arc<CoreProviderMetadata>, ProviderError> {
        let known = self.described().clone();
        if let Some((read, description)) = known
            && read.elapsed() < fresh
        {
            return Ok(description);
        }
        let client = |request| send(self.http.clone(), request);
        let read = CoreProviderMetadata::discover_async(self.issuer.clone(), &client);
        let read = read.await.map_err(|cause| unavailable(&cause))?;
        let description = Arc::new(read);
        *self.described() = Some((Instant::now(), description.clone()));
        Ok(description)
    }

    fn described(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Arc<CoreProviderMetadata>)>> {
        self.described
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn client(
        &self,
        description: &CoreProviderMetadata,
        redirect: &str,
    ) -> Result<OidcClient, ProviderError> {
        let secret = self.settings.client_secret.as_ref();
        let secret = secret.map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
        let id = ClientId::new(self.settings.client_id.clone());
        let redirect = RedirectUrl::new(redirect.to_owned());
        let redirect = redirect.map_err(|cause| unavailable(&cause))?;
        let client = OidcClient::from_provider_metadata(description.clone(), id, secret);
        Ok(client.set_redirect_uri(redirect))
    }

    /// Checks the ID token of an answer, and returns its claims.
    fn checked<'a>(
        &self,
        client: &OidcClient,
        answer: &'a TokenAnswer,
        nonce: &Nonce,
    ) -> Result<&'a IdTokenClaims<OtherClaims, CoreGenderClaim>, ProviderError> {
        let token = answer.id_token();
        let token = token.ok_or_else(|| ProviderError::Refused("no ID token".to_owned()))?;
        let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
        token
            .claims(&verifier, nonce)
            .map_err(|cause| refused(&cause))
    }

    /// Asks the provider for claims that the ID token does not have; `None` if it offers none.
    async fn user_info(
        &self,
        client: &OidcClient,
        token: AccessToken,
        subject: SubjectIdentifier,
    ) -> Result<Option<UserInfoClaims<OtherClaims, CoreGenderClaim>>, ProviderError> {
        let Ok(request) = client.user_info(token, Some(subject)) else {
            return Ok(None);
        };
        let http = |request| send(self.http.clone(), request);
        let answer = request.request_async(&http).await;
        answer.map(Some).map_err(|cause| unavailable(&cause))
    }
}

#[async_trait]
impl IdentityProvider for OpenIdProvider {
    async fn begin(
        &self,
        redirect: &str,
        again: bool,
    ) -> Result<(String, PendingSignIn), ProviderError> {
        let description = self.description(FRESH).await?;
        let client = self.client(&description, redirect)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let request = client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
        let mut request = request.set_pkce_challenge(challenge);
        let scopes = description.scopes_supported();
        // Some providers give groups only if a scope of that name is asked for.
        let groups = self.settings.groups_claim.as_str();
        let known = |name: &str| {
            let mut scopes = scopes.into_iter().flatten();
            scopes.any(|scope| scope.as_str() == name)
        };
        for name in ["email", "profile", groups] {
            if name != groups || known(groups) {
                request = request.add_scope(Scope::new(name.to_owned()));
            }
        }
        if again {
            // With an age, the provider must also say when the person proved who they are.
            request = request
                .add_prompt(CoreAuthPrompt::Login)
                .set_max_age(Duration::ZERO);
        }
        let (address, state, nonce) = request.url();
        let pending = PendingSignIn {
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
        };
        Ok((address.into(), pending))
    }

    async fn finish(
        &self,
        redirect: &str,
        code: SecretString,
        pending: &PendingSignIn,
    ) -> Result<ProvidedIdentity, ProviderError> {
        let mut client = self.client(&*self.description(FRESH).await?, redirect)?;
        let code = AuthorizationCode::new(code.expose_secret().to_owned());
        let request = client
            .exchange_code(code)
            .map_err(|cause| unavailable(&cause))?;
        let request = request.set_pkce_verifier(PkceCodeVerifier::new(pending.verifier.clone()));
        let http = |request| send(self.http.clone(), request);
        let answer = request.request_async(&http).await;
        let answer = answer.map_err(|cause| match cause {
            RequestTokenError::ServerResponse(_) => refused(&cause),
            _ => unavailable(&cause),
        })?;
        let nonce = Nonce::new(pending.nonce.clone());
        let checked = match self.checked(&client, &answer, &nonce) {
            // The provider may have a new key since its description was read.
            Err(error) => {
                debug!(%error, "reading the keys of the identity provider again");
                client = self.client(&*self.description(AGAIN).await?, redirect)?;
                self.checked(&client, &answer, &nonce)
            }
            checked => checked,
        };
        let claims = checked?;
        let groups_in = |claims: &OtherClaims| claims.groups(&self.settings.groups_claim);
        let mut identity = ProvidedIdentity {
            issuer: self.settings.issuer.clone(),
            subject: claims.subject().to_string(),
            email: claims.email().map(|email| email.to_string()),
            email_verified: claims.email_verified() == Some(true),
            name: named(claims.name()),
            groups: Vec::new(),
            proved_at: claims
                .auth_time()
                .and_then(|at| Timestamp::from_second(at.timestamp()).ok()),
        };
        let mut groups = groups_in(claims.additional_claims());
        if identity.email.is_none() || groups.is_none() {
            let token = answer.access_token().clone();
            let subject = claims.subject().clone();
            if let Some(info) = self.user_info(&client, token, subject).await? {
                if identity.email.is_none() {
                    identity.email = info.email().map(|email| email.to_string());
                    identity.email_verified = info.email_verified() == Some(true);
                }
                identity.name = identity.name.or_else(|| named(info.name()));
                groups = groups.or_else(|| groups_in(info.additional_claims()));
            }
        }
        identity.groups = groups.unwrap_or_default();
        Ok(identity)
    }
}

/// Returns a name in no particular language.
fn named(name: Option<&LocalizedClaim<EndUserName>>) -> Option<String> {
    name?.get(None).map(|name| name.to_string())
}

/// Returns an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

fn unavailable(cause: &dyn std::error::Error) -> ProviderError {
    ProviderError::Unavailable(chain(cause))
}

fn refused(cause: &dyn std::error::Error) -> ProviderError {
    ProviderError::Refused(chain(cause))
}

/// Why a request to the provider failed.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("the response is larger than {RESPONSE_MOST} bytes")]
    TooLarge,
}

/// Sends a request of the library.
async fn send(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, SendError> {
    let (head, body) = request.into_parts();
    let url = head.uri.to_string();
    let request = http
        .request(head.method, url)
        .headers(head.headers)
        .body(body);
    let mut response = request.send().await?;
    let mut answer = HttpResponse::new(Vec::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = response.headers().clone();
    while let Some(chunk) = response.chunk().await? {
        if answer.body().len() + chunk.len() > RESPONSE_MOST {
            return Err(SendError::TooLarge);
        }
        answer.body_mut().extend_from_slice(&chunk);
    }
    Ok(answer)
}
