//! Views: the API representations of records that several routes return.

pub mod accounts;
pub mod cameras;
pub mod employees;
pub mod faces;
pub mod punches;
pub mod sites;

use std::str::FromStr;

use axum::http::{HeaderName, StatusCode, header};

use crate::http::field_error::FieldError;

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

/// Formats a time: RFC 3339, UTC, milliseconds.
pub fn time(at: jiff::Timestamp) -> String {
    format!("{at:.3}")
}

/// Rounds a number to four decimals. Further ones have no meaning in comparisons of faces.
pub fn number(value: f32) -> f64 {
    (f64::from(value) * 1e4).round() / 1e4
}
