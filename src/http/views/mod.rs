//! Views: the API representations of records that several routes return. What reads one returns all
//! fields that are not valid.

pub mod accounts;
pub mod balances;
pub mod cameras;
pub mod consent;
pub mod credentials;
pub mod devices;
pub mod employees;
pub mod entitlements;
pub mod entries;
pub mod faces;
pub mod jobs;
pub mod payroll;
pub mod plans;
pub mod punch_requests;
pub mod punches;
pub mod second_factors;
pub mod sites;
pub mod timesheets;
pub mod webhooks;
pub mod workdays;

use std::str::FromStr;

use axum::http::{HeaderName, StatusCode, header};
use jiff::civil::Date;

use crate::{domain::attendance::Length, http::field_error::FieldError};

/// A response with a record and its address.
pub type Created<T> = (StatusCode, [(HeaderName, String); 1], axum::Json<T>);

/// Makes the response for a record that was created.
pub fn created<T>(address: String, view: T) -> Created<T> {
    let headers = [(header::LOCATION, address)];
    (StatusCode::CREATED, headers, axum::Json(view))
}

/// Parses an ID.
///
/// # Errors
/// When the text is not an ID.
pub fn read_id<T: FromStr>(text: String) -> Result<T, FieldError> {
    text.parse().map_err(|_| FieldError::NotAnId)
}

/// Parses a time, RFC 3339.
///
/// # Errors
/// When the text is not a time.
pub fn read_time(text: String) -> Result<jiff::Timestamp, FieldError> {
    text.parse().map_err(|_| FieldError::NotATime)
}

/// Parses a date, such as `2026-11-21`.
///
/// # Errors
/// When the text is not a date of a plausible year.
pub fn read_date(text: &str) -> Result<Date, FieldError> {
    let date = Date::strptime("%Y-%m-%d", text).ok();
    date.filter(|date| text.len() == 10 && (1900..9000).contains(&date.year()))
        .ok_or(FieldError::NotADate)
}

/// Parses a length of time, such as `30m`.
///
/// # Errors
/// When the text is not a length.
pub fn read_length(text: &str) -> Result<Length, FieldError> {
    text.parse().map_err(|_| FieldError::NotALength)
}

/// Formats a time: RFC 3339, UTC, milliseconds.
pub fn time(at: jiff::Timestamp) -> String {
    format!("{at:.3}")
}

/// Rounds a number to four decimals. Further ones have no meaning in comparisons of faces.
pub fn number(value: f32) -> f64 {
    (f64::from(value) * 1e4).round() / 1e4
}
