//! Pieces of records that every store keeps in the same form, and reading them back with doubt:
//! what cannot be what was written is [`StoreError::Corrupt`], never a panic. The messages name
//! the piece, not its content.

use std::collections::HashMap;

use jiff::{Timestamp, civil::Date};
use serde::{Serialize, de::DeserializeOwned, de::IntoDeserializer, de::value::Error};
use uuid::Uuid;

use crate::{
    domain::{
        accounts::{Actor, TokenHash},
        cameras::WatchHours,
        ids::{EmployeeId, PunchId},
    },
    ports::{Pictured, StoreError},
};

/// The error for a piece that cannot be what was written.
pub(super) fn damaged(what: &'static str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}

/// A value that its type accepts, or the error.
pub(super) fn known<T>(value: Option<T>, what: &'static str) -> Result<T, StoreError> {
    value.ok_or_else(|| damaged(what))
}

/// The word that an enum without fields is kept as.
pub(super) fn word<T: Serialize>(value: T) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|word| word.as_str().map(str::to_owned))
        .expect("an enum without fields serialises as a word")
}

/// Reads what [`word`] wrote.
pub(super) fn from_word<T: DeserializeOwned>(
    word: &str,
    what: &'static str,
) -> Result<T, StoreError> {
    let reader: serde::de::value::StrDeserializer<'_, Error> = word.into_deserializer();
    T::deserialize(reader).map_err(|_| damaged(what))
}

/// Reads a text that its type checks.
pub(super) fn text<T: TryFrom<String>>(text: String, what: &'static str) -> Result<T, StoreError> {
    T::try_from(text).map_err(|_| damaged(what))
}

/// Reads a number that its type checks; also for writing, where the store's range is smaller.
pub(super) fn number<N, T: TryFrom<N>>(number: N, what: &'static str) -> Result<T, StoreError> {
    T::try_from(number).map_err(|_| damaged(what))
}

/// The number that a cached value is, as Redis writes them; 0 for anything else.
pub(super) fn counted(value: &[u8]) -> i64 {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// The values that were found, in the order of the keys.
pub(super) fn in_order<T>(
    keys: &[String],
    found: impl IntoIterator<Item = (String, T)>,
) -> Vec<Option<T>>
where
    T: Clone,
{
    let found: HashMap<String, T> = found.into_iter().collect();
    keys.iter().map(|key| found.get(key).cloned()).collect()
}

/// What comes after every text that begins so.
pub(super) fn past(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}

/// Reads milliseconds since 1970.
pub(super) fn time(milliseconds: i64, what: &'static str) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(milliseconds).map_err(|_| damaged(what))
}

/// Reads a business date, `2026-11-21`.
pub(super) fn date(text: &str, what: &'static str) -> Result<Date, StoreError> {
    text.parse().map_err(|_| damaged(what))
}

/// Reads the hexadecimal form of a token's hash.
pub(super) fn token(text: &str, what: &'static str) -> Result<TokenHash, StoreError> {
    known(TokenHash::from_hex(text), what)
}

/// Reads what an actor's `Display` wrote.
pub(super) fn actor(text: &str, what: &'static str) -> Result<Actor, StoreError> {
    let read = match text.split_once(':') {
        Some(("account", id)) => id.parse().ok().map(Actor::Account),
        Some(("device", id)) => id.parse().ok().map(Actor::Device),
        None if text == "operator" => Some(Actor::Operator),
        None if text == "system" => Some(Actor::System),
        _ => None,
    };
    known(read, what)
}

/// Reads when a camera is watched.
pub(super) fn hours(hours: WatchHours) -> Result<WatchHours, StoreError> {
    let valid = hours.valid();
    known(valid.then_some(hours), "camera hours")
}

/// The punch that a picture is of, and whose it is.
pub(super) fn of_punch(of: Pictured) -> Option<(PunchId, EmployeeId)> {
    match of {
        Pictured::Punch { punch, employee } => Some((punch, employee)),
        Pictured::Unknown => None,
    }
}

/// Reads a 16-byte identity.
pub(super) fn identity<T>(bytes: [u8; 16], wrap: fn(Uuid) -> T) -> T {
    wrap(Uuid::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        accounts::Role,
        attendance::{ClockSource, PunchKind, PunchSource},
        biometrics::Views,
        ids::{AccountId, DeviceId},
        text::{Email, Name},
    };

    #[test]
    fn every_word_is_read_back() {
        for role in [Role::Admin, Role::Manager, Role::Viewer] {
            assert_eq!(word(role), role.as_str());
            assert_eq!(from_word(&word(role), "role"), Ok(role));
        }
        for kind in PunchKind::ALL {
            assert_eq!(word(kind), kind.as_str());
            assert_eq!(from_word(&word(kind), "kind"), Ok(kind));
        }
        for clock in [ClockSource::Server, ClockSource::Device] {
            assert_eq!(from_word(&word(clock), "clock"), Ok(clock));
        }
        for views in [Views::Pair, Views::All] {
            assert_eq!(from_word(&word(views), "views"), Ok(views));
        }
        assert_eq!(
            from_word(&word(PunchSource::Device), "source"),
            Ok(PunchSource::Device)
        );
    }

    #[test]
    fn every_actor_is_read_back() {
        let id = Uuid::from_u128(7);
        for who in [
            Actor::Account(AccountId::new(id)),
            Actor::Device(DeviceId::new(id)),
            Actor::Operator,
            Actor::System,
        ] {
            assert_eq!(actor(&who.to_string(), "actor"), Ok(who));
        }
    }

    #[test]
    fn damaged_pieces_are_corrupt_and_not_repeated() {
        let corrupt = |what: &str| StoreError::Corrupt(what.to_owned());
        assert_eq!(from_word::<Role>("root", "role"), Err(corrupt("role")));
        assert_eq!(from_word::<Role>("", "role"), Err(corrupt("role")));
        assert_eq!(text::<Name>("\u{7}".into(), "name"), Err(corrupt("name")));
        assert_eq!(text::<Email>("a".into(), "email"), Err(corrupt("email")));
        assert_eq!(time(i64::MAX, "time"), Err(corrupt("time")));
        assert_eq!(date("2026-13-01", "date"), Err(corrupt("date")));
        assert_eq!(token("12", "token"), Err(corrupt("token")));
        assert_eq!(number::<i64, u32>(-1, "count"), Err(corrupt("count")));
        for text in ["account:7", "account", "root", "device:", "", "system:"] {
            assert_eq!(actor(text, "actor"), Err(corrupt("actor")), "{text}");
        }
    }
}
