//! What several requests of kiosks have in common.

use axum::http::HeaderMap;

use crate::{
    domain::{
        biometrics::Look,
        text::{Code as EmployeeCode, IdempotencyKey},
    },
    http::{
        field_error::FieldError,
        problem::{Fields, Problem},
    },
    service::{face_punches::Outcome, punch_credentials::PersonCredential},
};

/// Returns what a person can do about a PIN or badge that wrote no punch.
pub fn credential_detail(outcome: &Outcome) -> Option<&'static str> {
    Some(match outcome {
        Outcome::WrongPin => "the number or the PIN is wrong: type both again",
        Outcome::PinLocked => {
            "the PIN was wrong five times in a row: it stays locked until your manager unlocks it, or until you set a new one under My account"
        }
        Outcome::UnknownBadge => {
            "this badge is not valid: use your PIN, or ask your manager for a new one"
        }
        Outcome::PinNeeded => "type your number and PIN, or show your badge, too",
        Outcome::FaceNeeded => "look into the camera, too",
        Outcome::Punched { .. }
        | Outcome::Cooldown { .. }
        | Outcome::Nobody { .. }
        | Outcome::NoFace
        | Outcome::PoorQuality { .. }
        | Outcome::Attack => return None,
    })
}

/// Reads what a person typed or showed: `code` and `pin`, or `badge`. Returns `None` if there is none
/// of them, or if they are not valid; errors are added to `fields`.
pub fn read_credential(
    [code, pin, badge]: [Option<String>; 3],
    fields: &mut Fields,
) -> Option<PersonCredential> {
    if badge.is_some() && (code.is_some() || pin.is_some()) {
        fields.add("badge", FieldError::Excluded { by: "code" });
    }
    if code.is_some() != pin.is_some() {
        let missing = if pin.is_some() { "code" } else { "pin" };
        fields.add(missing, FieldError::Required);
    }
    let code = fields.optional("code", code, |code| EmployeeCode::parse(&code));
    match (code, pin, badge) {
        (Some(code), Some(pin), None) => Some(PersonCredential::Pin {
            code,
            pin: pin.into(),
        }),
        (_, _, Some(badge)) => Some(PersonCredential::Badge(badge.into())),
        _ => None,
    }
}

/// Reads the idempotency key and the number of the look.
pub fn read_headers(headers: &HeaderMap) -> Result<(Option<IdempotencyKey>, Look), Problem> {
    let mut fields = Fields::default();
    let text = |name| {
        let value = headers.get(name)?;
        Some(value.to_str().unwrap_or("\u{0}"))
    };
    let key = text("idempotency-key");
    let key = fields.optional("Idempotency-Key", key, IdempotencyKey::parse);
    let look = fields.optional("Rollcall-Look", text("rollcall-look"), |look| {
        let look = look.trim().parse().ok().and_then(Look::new);
        look.ok_or(FieldError::OutOfRange { least: 1, most: 3 })
    });
    fields.check()?;
    Ok((key, look.unwrap_or(Look::FIRST)))
}
