//! Why one field of a request is refused: a stable code with parameters for programs, English for
//! people. Pages translate by the code.

use std::fmt;

use jiff::civil::Date;
use serde::Serialize;

use crate::domain::{grants::Role, text::TextError, words::NotAWord};

macro_rules! field_errors {
    ($(
        $(#[$doc:meta])*
        $name:ident $({ $($param:ident: $type:ty),+ })? = $code:literal ($($detail:tt)+);
    )+) => {
        /// Why a field is refused. The codes are stable. Serialized, it has `code` and `params`.
        #[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
        #[serde(tag = "code", content = "params")]
        pub enum FieldError {
            $(
                $(#[$doc])*
                #[error($($detail)+)]
                #[serde(rename = $code)]
                $name $({ $($param: $type),+ })?,
            )+
        }

        impl FieldError {
            /// Every code.
            pub const CODES: &[&'static str] = &[$($code),+];
        }
    };
}

field_errors! {
    /// It is missing.
    Required = "required" ("is required");
    /// The text is empty, or only whitespace.
    Empty = "empty" ("must not be empty");
    /// The text is too long.
    TooLong { most: usize } = "too_long" ("must have at most {most} characters");
    /// The text is too short or too long.
    WrongLength { least: usize, most: usize } = "wrong_length" ("must have {least} to {most} characters");
    /// The text has a control character, or one that changes the direction of the text.
    ControlCharacters = "control_characters" ("must not contain control characters");
    /// The bytes are not text.
    NotUtf8 = "not_utf8" ("must be UTF-8");
    /// The text is not an email address.
    NotAnEmail = "not_an_email" ("must be an email address");
    /// An item of a list is not an email address.
    NotAllEmails { value: String } = "not_all_emails" ("{value:?} is not an email address");
    /// The text is not a name that a go2rtc stream can have.
    NotAStreamName = "not_a_stream_name" ("must be 1 to 64 letters, digits, - and _");
    /// The text is not a key that a client can send.
    NotAnIdempotencyKey = "not_an_idempotency_key" ("must be 1 to 128 printable ASCII characters without spaces");
    /// The text is not an ID.
    NotAnId = "not_an_id" ("must be an ID");
    /// The text is not the ID of an event.
    NotAnEventId = "not_an_event_id" ("must be the ID of an event");
    /// The text is not a cursor that the list returned.
    NotACursor = "not_a_cursor" ("must be a cursor that this list returned");
    /// The text is not a point in time.
    NotATime = "not_a_time" ("must be a time such as 2026-11-21T07:58:12Z");
    /// The text is not a date.
    NotADate = "not_a_date" ("must be a date such as 2026-11-21");
    /// The text is not a length of time.
    NotALength = "not_a_length" ("must be a length of time such as 30m or 8h");
    /// The time has not come yet.
    InTheFuture = "in_the_future" ("must not be in the future");
    /// The time is too far from that of the punch.
    TooFarAway { days: u8 } = "too_far_away" ("must be within {days} days of the punch: void the punch and add another one");
    /// The last date is before the first one, or too long after it.
    WrongDays { most: i32 } = "wrong_days" ("must make 1 to {most} days, counted from the first date");
    /// The text is not the name of a time zone.
    NotATimeZone = "not_a_time_zone" ("must be an IANA time zone such as Europe/Berlin");
    /// The text is not a time of the day.
    NotATimeOfDay = "not_a_time_of_day" ("must be a time of the day such as 04:00");
    /// The hours of a camera do not make sense.
    NotWatchHours = "not_watch_hours" ("must have from and to (different times of the day, such as 06:30) and days of 1 (Monday) to 7");
    /// The number is too small or too large.
    OutOfRange { least: i128, most: i128 } = "out_of_range" ("must be {least} to {most}");
    /// There are too few or too many items.
    WrongCount { least: usize, most: usize } = "wrong_count" ("must be {}", count(*least, *most));
    /// The text is not one of the accepted values.
    NotOneOf { values: Vec<&'static str> } = "not_one_of" ("must be {}", alternatives(values));
    /// The JSON value is of another type.
    WrongType { expected: JsonType } = "wrong_type" ("must be {expected}");
    /// The value does not fit in another way.
    InvalidValue = "invalid_value" ("is not a valid value");
    /// The value breaks the rule of its type, which says what it must be.
    MustBe { rule: String } = "must_be" ("{rule}");
    /// The request has a field, part or parameter that the endpoint does not accept.
    UnknownField { known: Vec<String> } = "unknown_field" ("is unknown: {}", accepted(known));
    /// The parameter is in the query without a value.
    EmptyParameter = "empty_parameter" ("is empty: leave it out");
    /// The value cannot be combined with another one.
    Excluded { by: &'static str } = "excluded" ("cannot be combined with {by}: send one of the two");
    /// The value was sent more than once.
    SentTwice = "sent_twice" ("was sent more than once: send it once");
    /// The text does not have the digits of a PIN.
    NotAPin { digits: u8 } = "not_a_pin" ("must have {digits} digits");
    /// The PIN is among the first that a stranger would try.
    GuessablePin = "guessable_pin" ("is easy to guess: choose one that is not in sequence, repeated, or in the staff number");
    /// The password is not that of the account.
    WrongPassword = "wrong_password" ("is not the password of this account");
    /// No kiosk shows the code.
    UnknownPairingCode = "unknown_pairing_code" ("no kiosk shows this code now: read it again, or add the device without a code");
    /// There is no site with the ID within the reach of the caller.
    UnknownSite = "unknown_site" ("there is no such site within your reach: choose another one, or add it first");
    /// There is no employee with the ID.
    UnknownEmployee = "unknown_employee" ("there is no such employee within your reach: choose another one");
    /// There is no shift with the ID that can be used here.
    UnknownShift = "unknown_shift" ("there is no such shift here: choose another one, or add it first");
    /// There is no cycle with the ID.
    UnknownCycle = "unknown_cycle" ("there is no such cycle: choose another one, or add it first");
    /// There is no kind of leave with the ID.
    UnknownLeaveKind = "unknown_leave_kind" ("there is no such kind of leave: choose another one, or add it first");
    /// There is no payroll layout with the ID.
    UnknownLayout = "unknown_layout" ("there is no such payroll layout: choose another one, or add it first");
    /// The last date is before the first.
    BeforeStart = "before_start" ("must not be before the first date");
    /// There are too many days from the first date to the last.
    TooManyDays { most: usize } = "too_many_days" ("must be at most {most} days after the first date");
    /// The break or the work does not fit into the shift.
    LongerThanShift = "longer_than_shift" ("does not fit into the shift");
    /// Shifts of an employee would overlap.
    OverlappingShifts { first: String, first_day: Date, second: String, second_day: Date } = "overlapping_shifts" ("{first} on {first_day} overlaps {second} on {second_day}");
    /// The employee has other leave at the same time.
    OverlappingLeave { from: Date, to: Date, state: &'static str } = "overlapping_leave" ("overlaps leave from {from} to {to}, which is {state}");
    /// Entitlements are counted in the unit of the kind of leave.
    Counted = "counted" ("cannot change, because there are entitlements to this leave: add another kind");
    /// The employee is entitled to the same leave at the same time.
    OverlappingEntitlement { from: Date, to: Date } = "overlapping_entitlement" ("the employee has an entitlement to this leave from {from} to {to}: change that one");
    /// The number is negative, too large, or has too many decimals.
    NotAnAmount { most: u32 } = "not_an_amount" ("must be 0 to {most}, with at most two decimals");
    /// The employee has an opening value at the date.
    OpeningExists = "opening_exists" ("the employee has an opening value at this date: delete it first");
    /// The employee has no punch with the ID.
    UnknownPunch = "unknown_punch" ("the employee has no such punch");
    /// The punch does not count anymore.
    VoidedPunch = "voided_punch" ("the punch was voided: add another one instead");
    /// go2rtc is not configured with the stream.
    UnknownStream = "unknown_stream" ("go2rtc has no stream of this name: add it to its configuration first");
    /// No account has the email address.
    UnknownAccount { email: String } = "unknown_account" ("no account has the address {email}: create it first");
    /// The password has a word that attackers try first.
    PasswordContains { word: String } = "password_contains" ("must not contain {word:?}: choose other words");
    /// The password is common, or follows a pattern that programs try early.
    EasilyGuessed { advice: String } = "easily_guessed" ("is easy to guess: {advice}");
    /// The password is not the present one.
    /// The role has another scope than a site.
    RoleWithoutSite { role: Role } = "role_without_site" ("must be left out: the role {role} is not limited to a site");
    /// The role employee needs a linked employee.
    NeedsEmployee = "needs_employee" ("must be an employee, because an account with the role employee reads their records");
    /// The employee is not active.
    InactiveEmployee = "inactive_employee" ("the employee is not active: activate them first");
    /// The employee would have too many templates.
    TooManyTemplates { most: usize } = "too_many_templates" ("an employee has at most {most} templates: delete the enrolled face first");
}

/// A type of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JsonType {
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A number without a fraction.
    Integer,
    /// A text.
    String,
    /// A list.
    Array,
    /// A JSON object.
    Object,
}

impl fmt::Display for JsonType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "true or false",
            Self::Number => "a number",
            Self::Integer => "a whole number",
            Self::String => "a text",
            Self::Array => "a list",
            Self::Object => "a JSON object",
        })
    }
}

/// Writes `a, b or c`.
fn alternatives(values: &[&str]) -> String {
    match values {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => values.concat(),
    }
}

fn count(least: usize, most: usize) -> String {
    match (least, most) {
        (0, most) => format!("{most} at most"),
        (least, most) if least == most => format!("exactly {most}"),
        (least, most) => format!("{least} to {most}"),
    }
}

fn accepted(known: &[String]) -> String {
    match known {
        [] => "nothing is accepted here".to_owned(),
        known => format!("accepted are {}", known.join(", ")),
    }
}

impl From<NotAWord> for FieldError {
    fn from(NotAWord { words }: NotAWord) -> Self {
        let values = words.to_vec();
        Self::NotOneOf { values }
    }
}

impl From<TextError> for FieldError {
    fn from(error: TextError) -> Self {
        match error {
            TextError::Empty => Self::Empty,
            TextError::TooLong { most } => Self::TooLong { most },
            TextError::Control => Self::ControlCharacters,
            TextError::NotAnEmail => Self::NotAnEmail,
            TextError::NotAStreamName => Self::NotAStreamName,
            TextError::NotAnIdempotencyKey => Self::NotAnIdempotencyKey,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_has_a_code_parameters_and_english() {
        let too_long = FieldError::TooLong { most: 120 };
        let expected = json!({ "code": "too_long", "params": { "most": 120 } });
        assert_eq!(serde_json::to_value(&too_long).unwrap(), expected);
        assert_eq!(too_long.to_string(), "must have at most 120 characters");
        let required = serde_json::to_value(FieldError::Required).unwrap();
        assert_eq!(required, json!({ "code": "required" }));
        let most = i128::from(u64::MAX);
        let range = FieldError::OutOfRange { least: 0, most };
        assert_eq!(
            serde_json::to_value(range).unwrap()["params"],
            json!({ "least": 0, "most": u64::MAX })
        );
    }

    #[test]
    fn counts_and_alternatives_read_as_english() {
        let one_of = |values: &[&'static str]| {
            FieldError::NotOneOf {
                values: values.to_vec(),
            }
            .to_string()
        };
        assert_eq!(one_of(&["in", "out", "auto"]), "must be in, out or auto");
        assert_eq!(one_of(&["reembed"]), "must be reembed");
        let count = |least, most| FieldError::WrongCount { least, most }.to_string();
        assert_eq!(count(1, 1), "must be exactly 1");
        assert_eq!(count(1, 10), "must be 1 to 10");
        assert_eq!(count(0, 200), "must be 200 at most");
    }
}
