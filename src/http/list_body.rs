//! The body of a request that is a list, CSV.

use axum::{
    body::Bytes,
    extract::rejection::BytesRejection,
    http::{HeaderMap, StatusCode, header},
};

use super::problem::{Code, Problem, too_large};
use crate::service::jobs::BYTES_MOST;

/// Returns the list in the body of a request.
///
/// # Errors
/// When it is not sent as CSV, or is too large.
pub fn read_list(
    headers: &HeaderMap,
    list: Result<Bytes, BytesRejection>,
) -> Result<Bytes, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let essence = content_type.and_then(|value| value.to_str().ok()?.split(';').next());
    if !essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("text/csv")) {
        return Err(Problem::new(
            Code::UnsupportedType,
            "send the list as the body, with Content-Type: text/csv",
        ));
    }
    list.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large("the list", BYTES_MOST),
        _ => rejection.into(),
    })
}
