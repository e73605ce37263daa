//! What an account signs in with besides its password: one-time codes, recovery codes and passkeys.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use totp_rs::{Builder, Totp, TotpError};

use super::{
    accounts::TokenHash,
    ids::{AccountId, PasskeyId},
    record::{About, Changes, Index, Keys, Kind, Record},
    sealed::{Binding, Sealed, SealedPart, base64_text},
    single_sign_on::ExternalIdentity,
    text::Name,
};

/// The second factors of an account.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SecondFactors {
    /// The account.
    pub account: AccountId,
    /// The app that shows one-time codes; `None` if there is none.
    pub totp: Option<Authenticator>,
    /// The hashes of the recovery codes that are left.
    pub recovery_codes: Vec<TokenHash>,
    /// The passkeys.
    pub passkeys: Vec<Passkey>,
    /// Who the person is at the identity provider; `None` if they never signed in with it.
    pub identity: Option<ExternalIdentity>,
}

/// An app that shows one-time codes (TOTP, RFC 6238).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Authenticator {
    /// The secret that it shares with the service.
    pub secret: Sealed,
    /// When it was added.
    pub added_at: Timestamp,
    /// The time step of the last accepted code. Codes of this and earlier steps are refused.
    pub last_step: u64,
}

/// A passkey of an account.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Passkey {
    /// The ID.
    pub id: PasskeyId,
    /// The name by which its owner knows it.
    pub name: Name,
    /// The public key, and what belongs to it.
    pub credential: Credential,
    /// When it was added.
    pub added_at: Timestamp,
    /// When it was used last.
    pub used_at: Option<Timestamp>,
}

/// The public part of a passkey (W3C Web Authentication), in the encodings of the library.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Credential {
    /// The host name for which it was made. Browsers offer it only there.
    pub rp_id: String,
    /// The ID that the authenticator gave it.
    #[serde(with = "base64_text")]
    pub id: Vec<u8>,
    /// How browsers reach the authenticator.
    pub transports: u8,
    /// The public key.
    #[serde(with = "base64_text")]
    pub key: Vec<u8>,
    /// What changes with use, such as the signature counter.
    #[serde(with = "base64_text")]
    pub state: Vec<u8>,
}

/// The service, as browsers and authenticators know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelyingParty {
    /// The host name.
    pub id: String,
    /// The origin of the pages, such as `https://rollcall.example.com`.
    pub origin: String,
}

/// The most passkeys of an account.
pub const PASSKEYS_MOST: usize = 20;

impl SecondFactors {
    /// The person at the identity provider, who has no other account.
    pub const BY_IDENTITY: Index = Index::unique("by_identity");

    /// Returns the record of an account that has none.
    pub fn none(account: AccountId) -> Self {
        Self {
            account,
            totp: None,
            recovery_codes: Vec::new(),
            passkeys: Vec::new(),
            identity: None,
        }
    }

    /// Returns the record without second factors.
    #[must_use]
    pub fn reset(self) -> Self {
        Self {
            identity: self.identity,
            ..Self::none(self.account)
        }
    }

    /// Returns the passkeys that browsers offer at a host name.
    pub fn credentials<'a>(&'a self, rp_id: &'a str) -> impl Iterator<Item = &'a Credential> {
        let credentials = self.passkeys.iter().map(|passkey| &passkey.credential);
        credentials.filter(move |credential| credential.rp_id == rp_id)
    }

    /// Returns the passkey with the ID that its authenticator gave it.
    pub fn passkey(&self, credential: &[u8]) -> Option<&Passkey> {
        let mut passkeys = self.passkeys.iter();
        passkeys.find(|passkey| passkey.credential.id == credential)
    }

    /// Checks whether signing in with the password needs one of them. Recovery codes alone count,
    /// so that an account whose other factors were lost with the template key is still protected.
    pub fn required(&self) -> bool {
        self.has_primary() || !self.recovery_codes.is_empty()
    }

    /// Checks whether there is a factor other than recovery codes.
    pub fn has_primary(&self) -> bool {
        self.totp.is_some() || !self.passkeys.is_empty()
    }

    /// Returns the record after a factor was removed: recovery codes have no purpose alone.
    #[must_use]
    pub fn tidied(mut self) -> Self {
        if !self.has_primary() {
            self.recovery_codes.clear();
        }
        self
    }
}

impl fmt::Debug for SecondFactors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecondFactors")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl Record for SecondFactors {
    const KIND: &'static Kind =
        &Kind::archived("second_factors", "second factor", &[Self::BY_IDENTITY])
            .changing(Changes::Audited)
            .sealing();

    type Id = AccountId;

    fn id(&self) -> AccountId {
        self.account
    }

    fn keys(&self, keys: &mut Keys) {
        if let Some(ExternalIdentity { issuer, subject }) = &self.identity {
            keys.add(Self::BY_IDENTITY, (issuer, subject));
        }
    }

    /// It is about an account. Erasing the account's employee deletes it with the account.
    fn about(&self) -> About {
        About::NoEmployee
    }

    fn sealed(&mut self) -> Vec<SealedPart<'_>> {
        let binding = Binding::OneTimeCodes(self.account);
        let totp = self.totp.iter_mut();
        totp.map(|totp| SealedPart {
            binding,
            sealed: &mut totp.secret,
        })
        .collect()
    }
}

/// The length of the secret of an [`Authenticator`] in bytes, as RFC 4226 recommends.
pub const SECRET_LENGTH: usize = 20;

/// The name of the service in the app.
const ISSUER: &str = "Rollcall";

/// Returns the generator of codes: SHA-1, 6 digits, 30 seconds, one step of skew. Every app supports
/// these parameters; some ignore others.
fn generator(secret: &[u8], name: &str) -> Result<Totp, TotpError> {
    Builder::new()
        .with_secret(secret)
        .with_issuer(Some(ISSUER))
        .with_account_name(name.replace(':', " "))
        .build()
}

/// Returns the time step of a code that is valid at a moment: that of the moment itself, the one
/// before or the one after; `None` if the code is wrong. Ignores spaces in the code.
pub fn check_code(secret: &[u8], code: &str, at: Timestamp) -> Option<u64> {
    let code: String = code.split_whitespace().collect();
    let seconds = u64::try_from(at.as_second()).ok()?;
    generator(secret, "").ok()?.check(&code, seconds)
}

/// The secret of a new [`Authenticator`], for its owner.
pub struct SharedSecret {
    /// In base32, to be typed into the app.
    pub text: String,
    /// As an `otpauth:` URI, for a QR code.
    pub uri: String,
}

impl SharedSecret {
    /// Formats a secret for the account with this name; `None` if it is too short.
    pub fn new(secret: &[u8], name: &str) -> Option<Self> {
        let generator = generator(secret, name).ok()?;
        Some(Self {
            text: generator.secret().to_base32(),
            uri: generator.to_url().ok()?,
        })
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of appendix B of RFC 6238.
    const RFC: &[u8; 20] = b"12345678901234567890";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        for (second, eight) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000_u64, "65353130"),
        ] {
            let long = Builder::new().with_secret(&RFC[..]).with_digits(8);
            let long = long.build().unwrap().generate(second);
            assert_eq!(long.to_string(), eight);
            // Six digits are the last six of eight.
            let moment = at(second as i64);
            assert_eq!(check_code(RFC, &eight[2..], moment), Some(second / 30));
        }
    }

    #[test]
    fn a_code_is_valid_one_step_earlier_and_later() {
        let valid = |second| check_code(RFC, "050 471", at(second));
        let step = 1_111_111_111 / 30;
        let begin = step as i64 * 30;
        assert_eq!(valid(begin - 31), None);
        assert_eq!(valid(begin - 30), Some(step));
        assert_eq!(valid(begin + 59), Some(step));
        assert_eq!(valid(begin + 60), None);
        for wrong in ["", "050472", "50471", "+50471", "0504711", "０５０４７１"] {
            assert_eq!(check_code(RFC, wrong, at(begin)), None, "{wrong}");
        }
    }

    #[test]
    fn the_uri_has_the_secret_and_the_name() {
        let secret = SharedSecret::new(RFC, "ada@example.com").unwrap();
        assert_eq!(secret.text, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let uri = "otpauth://totp/Rollcall:ada%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Rollcall";
        assert_eq!(secret.uri, uri);
        assert!(SharedSecret::new(b"short", "ada@example.com").is_none());
        assert!(SharedSecret::new(RFC, "a:b@example.com").is_some());
    }
}
