//! Signatures of messages, by the specification *Standard Webhooks*.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{clock::Clock, domain::messages::Webhook};

/// The secret that a service and a receiver share.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The beginning of the text of every secret.
    const PREFIX: &str = "whsec_";

    /// Makes a new secret.
    pub fn mint(clock: &dyn Clock) -> Self {
        let bytes: [u8; Webhook::SECRET_BYTES] = clock.secret();
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// Wraps the bytes of a secret.
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text for the receiver.
    pub fn reveal(&self) -> String {
        format!("{}{}", Self::PREFIX, STANDARD.encode(&*self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Returns the value of `webhook-signature`: one signature for each secret. `timestamp` is in
/// seconds.
pub fn sign(secrets: &[Secret], id: &str, timestamp: i64, body: &str) -> String {
    let signatures = secrets.iter().map(|secret| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes())
            .expect("HMAC accepts keys of every length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        let base64 = text.strip_prefix(Secret::PREFIX).unwrap();
        Secret::from_bytes(Zeroizing::new(STANDARD.decode(base64).unwrap()))
    }

    #[test]
    fn the_example_of_the_specification_has_its_signature() {
        let example = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = sign(
            std::slice::from_ref(&example),
            id,
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(example.reveal(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_eq!(format!("{example:?}"), "Secret(…)");
    }
}
