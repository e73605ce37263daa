//! axum's extractors, with problems for rejections.

use axum::{
    extract::{
        FromRequest, FromRequestParts, Request,
        multipart::{MultipartError, MultipartRejection},
        rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    json,
    problem::{Code, JSON_MOST, Problem, request_too_large, too_large},
};

/// A JSON body.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let axum::Json(value) = axum::Json::<Value>::from_request(request, state).await?;
        json::from_value(value).map(Self)
    }
}

/// Parameters in the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct Path<T>(pub T);

/// Parameters in the query.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct Query<T>(pub T);

/// Turns a rejection of axum into a problem. Its text describes the request only, so it is sent.
fn rejected(status: StatusCode, text: String) -> Problem {
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => return request_too_large(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedType,
        StatusCode::UNPROCESSABLE_ENTITY => Code::Invalid,
        StatusCode::NOT_FOUND => Code::NotFound,
        status if status.is_client_error() => Code::Malformed,
        _ => return Problem::internal(text),
    };
    Problem::new(code, text)
}

macro_rules! rejections {
    ($($rejection:ty),+) => {$(
        impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Self {
                rejected(rejection.status(), rejection.body_text())
            }
        }
    )+};
}

rejections!(
    BytesRejection,
    QueryRejection,
    MultipartRejection,
    MultipartError
);

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large("the body", JSON_MOST),
            status => rejected(status, rejection.body_text()),
        }
    }
}

impl From<PathRejection> for Problem {
    /// No record has an ID that does not parse.
    fn from(_: PathRejection) -> Self {
        Self::no_such_address()
    }
}
