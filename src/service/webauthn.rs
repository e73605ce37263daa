//! The ceremonies of passkeys (W3C Web Authentication, level 3): what browsers get, and how their
//! responses are checked. Passkeys are discoverable and always verify the user.

use serde_json::Value;
use webauthn_rp::{
    AuthenticatedCredential, DiscoverableAuthentication16, DiscoverableAuthenticationServerState,
    DiscoverableCredentialRequestOptions, NonDiscoverableAuthentication16,
    NonDiscoverableAuthenticationServerState, NonDiscoverableCredentialRequestOptions,
    PublicKeyCredentialCreationOptions, Registration, RegistrationServerState,
    bin::{Decode, Encode},
    request::{
        AsciiDomain, Credentials, ExtensionInfo, PublicKeyCredentialDescriptor, RpId,
        UserVerificationRequirement,
        auth::{AllowedCredentials, AuthenticationVerificationOptions},
        register::{
            CredProtect, Nickname, PublicKeyCredentialUserEntity, RegistrationVerificationOptions,
            UserHandle16, Username,
        },
    },
    response::{
        AuthTransports, CredentialId,
        register::{CompressedPubKey, DynamicState, StaticState},
    },
};

use crate::domain::{
    accounts::Account,
    ids::AccountId,
    second_factors::{Credential, RelyingParty},
};

/// Why a ceremony failed. The text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CeremonyError(String);

impl CeremonyError {
    fn new(what: &str, cause: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {cause}"))
    }
}

/// The beginning of a ceremony.
#[derive(Debug)]
pub struct Begun {
    /// The options for the browser, JSON as `PublicKeyCredential` parses it.
    pub options: Value,
    /// The state that the end of the ceremony needs.
    pub state: Vec<u8>,
}

/// The public key of a stored credential.
type Key = CompressedPubKey<[u8; 32], [u8; 32], [u8; 48], Vec<u8>>;

fn rp_id(party: &RelyingParty) -> Result<RpId, CeremonyError> {
    let domain = AsciiDomain::try_from(party.id.clone());
    let domain = domain.map_err(|cause| CeremonyError::new("the name of the service", cause))?;
    Ok(RpId::Domain(domain))
}

/// The user handle in passkeys is the ID of the account.
fn handle(account: AccountId) -> UserHandle16 {
    match UserHandle16::decode(account.uuid().into_bytes()) {
        Ok(handle) => handle,
        Err(never) => match never {},
    }
}

fn descriptor(
    credential: &Credential,
) -> Result<PublicKeyCredentialDescriptor<Vec<u8>>, CeremonyError> {
    let id = CredentialId::<Vec<u8>>::decode(credential.id.clone());
    let transports = AuthTransports::decode(credential.transports);
    Ok(PublicKeyCredentialDescriptor {
        id: id.map_err(|cause| CeremonyError::new("a stored credential ID", cause))?,
        transports: transports.map_err(|cause| CeremonyError::new("stored transports", cause))?,
    })
}

fn begun<E: std::fmt::Display>(
    options: impl serde::Serialize,
    state: Result<Vec<u8>, E>,
) -> Result<Begun, CeremonyError> {
    let state = state.map_err(|cause| CeremonyError::new("the state", cause))?;
    let options = serde_json::to_value(options);
    let options = options.map_err(|cause| CeremonyError::new("the options", cause))?;
    Ok(Begun { options, state })
}

/// Begins to add a passkey to an account that has these.
///
/// # Errors
/// When the name of the service is not a host name.
pub fn begin_registration(
    party: &RelyingParty,
    account: &Account,
    present: &[&Credential],
) -> Result<Begun, CeremonyError> {
    let (rp, handle) = (rp_id(party)?, handle(account.id));
    let present: Result<Vec<_>, _> = present.iter().map(|one| descriptor(one)).collect();
    let id = account.id.to_string();
    // The profiles of RFC 8265 and 8266 accept nearly every address and name.
    let name = Username::try_from(account.email.as_str()).or_else(|_| Username::try_from(&*id));
    let user = PublicKeyCredentialUserEntity {
        name: name.map_err(|cause| CeremonyError::new("the name of the account", cause))?,
        id: &handle,
        display_name: Nickname::try_from(account.name.as_str()).ok(),
    };
    let mut options = PublicKeyCredentialCreationOptions::passkey(&rp, user, present?);
    // Asks security keys to verify their user at every use. Browsers refuse authenticators without
    // this extension if it is enforced; the service checks the verification anyway.
    options.extensions.cred_protect =
        CredProtect::UserVerificationRequired(ExtensionInfo::AllowDontEnforceValue);
    let started = options.start_ceremony();
    let (server, client) = started.map_err(|cause| CeremonyError::new("the options", cause))?;
    begun(client, server.encode())
}

/// Ends the registration: returns the credential that the browser made.
///
/// # Errors
/// When the response is not valid, or answers another ceremony.
pub fn finish_registration(
    party: &RelyingParty,
    state: &[u8],
    response: &Value,
) -> Result<Credential, CeremonyError> {
    let server = RegistrationServerState::<16>::decode(state);
    let server = server.map_err(|cause| CeremonyError::new("the state", cause))?;
    let response = Registration::from_json_relaxed(response.to_string().as_bytes());
    let response = response.map_err(|cause| CeremonyError::new("the response", cause))?;
    let origins = [party.origin.as_str()];
    let options = RegistrationVerificationOptions::<'_, '_, &str, &str> {
        allowed_origins: &origins,
        ..RegistrationVerificationOptions::default()
    };
    let registered = server.verify(&rp_id(party)?, &response, &options);
    let registered = registered.map_err(|cause| CeremonyError::new("registration", cause))?;
    let (id, transports, _, key, state, _) = registered.into_parts();
    let (Ok(transports), Ok(key), Ok(state)) = (transports.encode(), key.encode(), state.encode());
    Ok(Credential {
        rp_id: party.id.clone(),
        id: id.into_inner().to_vec(),
        transports,
        key,
        state: state.to_vec(),
    })
}

/// Begins the second step of signing in with one of these credentials.
///
/// # Errors
/// When there is none.
pub fn begin_second_step(
    party: &RelyingParty,
    credentials: &[&Credential],
) -> Result<Begun, CeremonyError> {
    let rp = rp_id(party)?;
    let mut allowed = AllowedCredentials::with_capacity(credentials.len());
    for credential in credentials {
        allowed.push(descriptor(credential)?.into());
    }
    let options = NonDiscoverableCredentialRequestOptions::second_factor(&rp, allowed);
    let mut options = options.map_err(|cause| CeremonyError::new("the credentials", cause))?;
    options.options().user_verification = UserVerificationRequirement::Required;
    let started = options.start_ceremony();
    let (server, client) = started.map_err(|cause| CeremonyError::new("the options", cause))?;
    begun(client, server.encode())
}

/// Begins to sign in with any passkey for the service.
///
/// # Errors
/// When the name of the service is not a host name.
pub fn begin_sign_in(party: &RelyingParty) -> Result<Begun, CeremonyError> {
    let rp = rp_id(party)?;
    let started = DiscoverableCredentialRequestOptions::passkey(&rp).start_ceremony();
    let (server, client) = started.map_err(|cause| CeremonyError::new("the options", cause))?;
    begun(client, server.encode())
}

/// Returns the ID of the credential that a response uses, and the account that it claims.
///
/// # Errors
/// When the response cannot be read.
pub fn claimed(response: &Value) -> Result<(AccountId, Vec<u8>), CeremonyError> {
    let response = DiscoverableAuthentication16::from_json_relaxed(response.to_string().as_bytes());
    let response = response.map_err(|cause| CeremonyError::new("the response", cause))?;
    let (Ok(handle), id) = (
        response.response().user_handle().encode(),
        response.raw_id(),
    );
    let account = AccountId::new(uuid::Uuid::from_bytes(handle));
    Ok((account, id.into_inner().to_vec()))
}

/// Returns the ID of the credential that a response in the second step uses.
///
/// # Errors
/// When the response cannot be read.
pub fn used(response: &Value) -> Result<Vec<u8>, CeremonyError> {
    Ok(second_step(response)?.raw_id().into_inner().to_vec())
}

fn second_step(response: &Value) -> Result<NonDiscoverableAuthentication16, CeremonyError> {
    let json = response.to_string();
    NonDiscoverableAuthentication16::from_json_relaxed(json.as_bytes())
        .map_err(|cause| CeremonyError::new("the response", cause))
}

/// Ends signing in with a passkey alone. Returns the new state of the credential.
///
/// # Errors
/// When the response is not valid, answers another ceremony, or its signature counter did not grow,
/// which means that the passkey was copied.
pub fn finish_sign_in(
    party: &RelyingParty,
    state: &[u8],
    (account, credential): (AccountId, &Credential),
    response: &Value,
) -> Result<Vec<u8>, CeremonyError> {
    let server = DiscoverableAuthenticationServerState::decode(state);
    let server = server.map_err(|cause| CeremonyError::new("the state", cause))?;
    let response = DiscoverableAuthentication16::from_json_relaxed(response.to_string().as_bytes());
    let response = response.map_err(|cause| CeremonyError::new("the response", cause))?;
    let handle = handle(account);
    let mut stored = stored(&handle, credential)?;
    let origins = [party.origin.as_str()];
    let verified = server.verify(&rp_id(party)?, &response, &mut stored, &options(&origins));
    verified.map_err(|cause| CeremonyError::new("sign-in", cause))?;
    Ok(encoded(stored.dynamic_state()))
}

/// Ends the second step of signing in. Returns the new state of the credential.
///
/// # Errors
/// As for [`finish_sign_in`].
pub fn finish_second_step(
    party: &RelyingParty,
    state: &[u8],
    (account, credential): (AccountId, &Credential),
    response: &Value,
) -> Result<Vec<u8>, CeremonyError> {
    let server = NonDiscoverableAuthenticationServerState::decode(state);
    let server = server.map_err(|cause| CeremonyError::new("the state", cause))?;
    let response = second_step(response)?;
    let handle = handle(account);
    let mut stored = stored(&handle, credential)?;
    let origins = [party.origin.as_str()];
    let verified = server.verify(&rp_id(party)?, &response, &mut stored, &options(&origins));
    verified.map_err(|cause| CeremonyError::new("second step", cause))?;
    Ok(encoded(stored.dynamic_state()))
}

/// Accepts responses of these origins only. Signature counters must grow.
fn options<'a>(
    origins: &'a [&'a str],
) -> AuthenticationVerificationOptions<'a, 'a, &'a str, &'a str> {
    AuthenticationVerificationOptions {
        allowed_origins: origins,
        ..AuthenticationVerificationOptions::default()
    }
}

fn stored<'a>(
    handle: &'a UserHandle16,
    credential: &'a Credential,
) -> Result<AuthenticatedCredential<'a, 'a, 16, Key>, CeremonyError> {
    let damaged = |cause: &dyn std::fmt::Display| CeremonyError::new("a stored passkey", cause);
    let id = CredentialId::<&[u8]>::decode(&credential.id).map_err(|cause| damaged(&cause))?;
    let key = StaticState::<Key>::decode(&credential.key).map_err(|cause| damaged(&cause))?;
    let state = credential.state.as_slice().try_into();
    let state: [u8; 7] = state.map_err(|cause: std::array::TryFromSliceError| damaged(&cause))?;
    let state = DynamicState::decode(state).map_err(|cause| damaged(&cause))?;
    AuthenticatedCredential::new(id, handle, key, state).map_err(|cause| damaged(&cause))
}

fn encoded(state: DynamicState) -> Vec<u8> {
    let Ok(bytes) = state.encode();
    bytes.to_vec()
}
