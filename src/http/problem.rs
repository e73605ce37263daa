//! What went wrong, as RFC 9457 problem details: the one place where errors become HTTP.
//!
//! A [`Problem`] travels as an extension of an empty response; [`render`], a layer around all
//! routes, writes the body with the request's id and puts the cause, if there is one, into the
//! log and nowhere else. Responses of axum's own that carry no problem get one by their status.

use std::error::Error as _;

use axum::{
    Json,
    extract::{
        Request,
        multipart::{MultipartError, MultipartRejection},
        rejection::{BytesRejection, JsonDataError, JsonRejection, PathRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{error, warn};
use utoipa::ToSchema;

use super::{context::RequestId, routes::enroll::photo_views};
use crate::{
    domain::cameras::StreamFault,
    ports::{EngineError, SampleError, StoreError, StreamError},
    service::{
        accounts::AccountError, cameras::CameraError, employees::EmployeeError,
        enrollment::EnrollError, identification::IdentifyError, jobs::JobError,
        pairing::PairingError, pictures::PictureError, punching::PunchError,
        references::ReferenceError,
    },
    vault::VaultError,
};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal;)+) => {
        /// What kind of problem it is. The words are stable: clients may rely on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word in the answer.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The status it is answered with.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// The summary that is the same every time.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

codes! {
    /// The request cannot be read.
    Malformed = "malformed", BAD_REQUEST, "The request cannot be read";
    /// Nobody is signed in, or the token is not known.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "Sign in first";
    /// E-mail address and password do not belong together.
    BadCredentials = "bad_credentials", UNAUTHORIZED, "Wrong e-mail address or password";
    /// The caller may not do this.
    Forbidden = "forbidden", FORBIDDEN, "Not allowed";
    /// A browser sent this from another site.
    CrossSite = "cross_site", FORBIDDEN, "Requests from other sites are refused";
    /// The set-up token is not the one that was printed.
    BadSetupToken = "bad_setup_token", FORBIDDEN, "Wrong set-up token";
    /// There is nothing there.
    NotFound = "not_found", NOT_FOUND, "Not found";
    /// The address takes other methods.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    /// There is an account already.
    AlreadySetUp = "already_set_up", CONFLICT, "Already set up";
    /// The employee code is taken.
    CodeTaken = "code_taken", CONFLICT, "The code is taken";
    /// Another camera has the stream.
    StreamTaken = "stream_taken", CONFLICT, "Another camera has the stream";
    /// The face belongs to somebody else.
    DuplicatePerson = "duplicate_person", CONFLICT, "This face belongs to somebody else";
    /// Two requests changed the same thing at once.
    Conflict = "conflict", CONFLICT, "Somebody else changed it at the same time";
    /// More bytes than are taken.
    TooLarge = "too_large", PAYLOAD_TOO_LARGE, "Too large";
    /// Another content type is needed.
    UnsupportedType = "unsupported_type", UNSUPPORTED_MEDIA_TYPE, "Unsupported content type";
    /// Something in the request is not as it must be.
    Invalid = "invalid", UNPROCESSABLE_ENTITY, "The request is not valid";
    /// The image cannot be looked at.
    BadImage = "bad_image", UNPROCESSABLE_ENTITY, "The image cannot be used";
    /// Nobody is enrolled without consent.
    ConsentRequired = "consent_required", UNPROCESSABLE_ENTITY, "Consent is required";
    /// No photo is good enough to enroll.
    NoUsablePhoto = "no_usable_photo", UNPROCESSABLE_ENTITY, "No photo is usable";
    /// There is no one face to compare.
    NoUsableFace = "no_usable_face", UNPROCESSABLE_ENTITY, "No usable face in the image";
    /// Nothing is enrolled to compare with.
    NotEnrolled = "not_enrolled", UNPROCESSABLE_ENTITY, "No face is enrolled";
    /// The key was used for another request.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request";
    /// Too many requests from one address.
    TooManyRequests = "too_many_requests", TOO_MANY_REQUESTS, "Too many requests";
    /// Too many enrollments by one account.
    TooManyEnrollments = "too_many_enrollments", TOO_MANY_REQUESTS, "Too many enrollments";
    /// Too many jobs that have not ended.
    TooManyJobs = "too_many_jobs", TOO_MANY_REQUESTS, "Too many jobs";
    /// A fault of the service.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal error";
    /// No picture comes from the camera, or go2rtc does not answer.
    CameraUnreachable = "camera_unreachable", BAD_GATEWAY, "No picture comes from the camera";
    /// go2rtc does not give pictures of the camera.
    CameraRefused = "camera_refused", BAD_GATEWAY, "go2rtc refuses pictures of the camera";
    /// The store does not answer.
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "The store does not answer";
    /// The face engine has all the work it can take.
    EngineBusy = "engine_busy", SERVICE_UNAVAILABLE, "The face engine is busy";
    /// The service is stopping or starting, or its model cannot decide.
    NotReady = "not_ready", SERVICE_UNAVAILABLE, "Not ready to serve this";
    /// Others punched for the same employee at the same moment.
    Contended = "contended", SERVICE_UNAVAILABLE, "Too many punches at the same moment";
    /// As many look at pictures of cameras as may.
    TooManyViewers = "too_many_viewers", SERVICE_UNAVAILABLE, "Too many look at once";
    /// It took too long.
    TimedOut = "timed_out", SERVICE_UNAVAILABLE, "It took too long";
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// Which field, part, header or parameter.
    #[schema(example = "name")]
    pub field: String,
    /// What is wrong, and what is taken.
    #[schema(example = "must not be empty")]
    pub detail: String,
}

/// What went wrong, on its way to the client.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    more: Box<More>,
}

/// What most problems have little of.
#[derive(Debug, Clone, Default)]
struct More {
    errors: Vec<FieldProblem>,
    extra: Map<String, Value>,
    headers: HeaderMap,
    cause: Option<String>,
}

/// Most bytes of a JSON body.
pub const JSON_MOST: usize = 64 << 10;

/// How long a client should wait when nothing better is known, seconds.
const RETRY_AFTER: u64 = 1;

impl Problem {
    /// A problem, with what to do about it.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let problem = Self {
            code,
            detail: detail.into(),
            more: Box::default(),
        };
        match code.status() {
            StatusCode::SERVICE_UNAVAILABLE => problem.retry_after(RETRY_AFTER),
            _ => problem,
        }
    }

    /// A fault of ours: the cause goes into the log, the client learns that there was one.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self::new(
            Code::Internal,
            "something went wrong in the service: its log says more under this request_id",
        )
        .because(cause)
    }

    /// One field is wrong.
    pub fn field(field: &str, detail: impl Into<String>) -> Self {
        let mut fields = Fields::default();
        fields.add(field, detail);
        fields.problem()
    }

    /// Nothing of that identity is there.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// Adds what the log should know and the client should not.
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.more.cause = Some(cause.into());
        self
    }

    /// Adds a member to the body.
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => {
                self.more.extra.insert(name.to_owned(), value);
                self
            }
            Err(error) => Self::internal(error.to_string()),
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more.headers.append(name, value);
        self
    }

    /// Says when to try again, seconds.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.more
            .headers
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        self
    }

    fn by_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(Code::NotFound, "there is nothing at this address"),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                Code::MethodNotAllowed,
                "this address takes the methods that the Allow header names",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => too_large_for_all(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(Code::UnsupportedType, "another content type is needed")
            }
            StatusCode::UNPROCESSABLE_ENTITY => Self::new(Code::Invalid, "something is not valid"),
            status if status.is_client_error() => {
                Self::new(Code::Malformed, "the request cannot be read")
            }
            status => Self::internal(format!("answered {status} without a problem")),
        }
    }

    fn body(&self, request_id: &str) -> Value {
        let mut body = Map::new();
        let code = self.code.as_str();
        body.insert("type".into(), format!("/api/docs#problem-{code}").into());
        body.insert("title".into(), self.code.title().into());
        body.insert("status".into(), self.code.status().as_u16().into());
        body.insert("detail".into(), self.detail.clone().into());
        body.insert("code".into(), code.into());
        body.insert("request_id".into(), request_id.into());
        if !self.more.errors.is_empty() {
            let errors =
                self.more.errors.iter().map(
                    |error| serde_json::json!({ "field": error.field, "detail": error.detail }),
                );
            body.insert("errors".into(), errors.collect());
        }
        body.extend(self.more.extra.clone());
        Value::Object(body)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Gathers what is wrong with a request's fields, so that a client learns all of it at once.
#[derive(Debug, Default)]
pub struct Fields(Vec<FieldProblem>);

impl Fields {
    /// Notes that a field is wrong.
    pub fn add(&mut self, field: &str, detail: impl Into<String>) {
        self.0.push(FieldProblem {
            field: field.to_owned(),
            detail: detail.into(),
        });
    }

    /// The value, or `None` after noting why there is none.
    pub fn take<T, E: std::fmt::Display>(
        &mut self,
        field: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result
            .map_err(|error| self.add(field, error.to_string()))
            .ok()
    }

    /// A problem when anything is wrong.
    pub fn check(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.problem())
        }
    }

    /// What is wrong with all of them.
    pub fn problem(self) -> Problem {
        let names: Vec<_> = self.0.iter().map(|error| error.field.as_str()).collect();
        let mut problem = Problem::new(Code::Invalid, format!("check {}", names.join(", ")));
        problem.more.errors = self.0;
        problem
    }
}

/// A problem as it is written, for the API's description.
#[derive(Serialize, ToSchema)]
#[schema(title = "Problem", description = "RFC 9457 problem details")]
pub struct ProblemView {
    /// Where the kind is explained, relative to the service.
    #[schema(example = "/api/docs#problem-not_found")]
    r#type: String,
    /// The same for every problem of the kind.
    #[schema(example = "Not found")]
    title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// What to do about this one.
    #[schema(example = "there is no such employee")]
    detail: String,
    /// The kind, stable.
    #[schema(example = "not_found")]
    code: String,
    /// Names the request in the log.
    #[schema(example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    request_id: String,
    /// What is wrong, field by field.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<FieldProblem>>,
}

/// Writes problems: innermost of the layers that every answer passes.
pub async fn render(request: Request, next: Next) -> Response {
    let id = RequestId::of(request.extensions());
    let mut response = next.run(request).await;
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        // Somebody else's refusal is text; what a handler says of an error itself is JSON or a page.
        None if (status.is_client_error() || status.is_server_error()) && !is_said(&response) => {
            Problem::by_status(status)
        }
        None => return response,
    };
    match (&problem.more.cause, problem.code.status()) {
        (Some(cause), StatusCode::INTERNAL_SERVER_ERROR) => error!(%cause, "internal error"),
        (Some(cause), _) => warn!(%cause, code = problem.code.as_str(), "request failed"),
        (None, _) => {}
    }
    let body = Json(problem.body(id.as_str()));
    let mut rendered = (problem.code.status(), body).into_response();
    rendered.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    // What axum said beside the status stays said: Allow, above all.
    for name in [header::ALLOW, header::SET_COOKIE] {
        if let Some(value) = response.headers_mut().remove(&name) {
            rendered.headers_mut().insert(name, value);
        }
    }
    rendered.headers_mut().extend(problem.more.headers);
    rendered
}

fn is_said(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let begins = |kind: &[u8]| content_type.is_some_and(|of| of.as_bytes().starts_with(kind));
    begins(b"application/json") || begins(b"text/html")
}

/// The answer to a request that has more bytes than its route takes, or a part of it; of both
/// `most` is the number.
pub fn too_large(what: &str, most: usize) -> Problem {
    let size = match most {
        most if most % (1 << 20) == 0 => format!("{} MiB", most >> 20),
        most => format!("{} KiB", most >> 10),
    };
    Problem::new(
        Code::TooLarge,
        format!("{what} has more than {size} ({most} bytes), the most that is taken here"),
    )
}

/// The same where the number is not known.
fn too_large_for_all() -> Problem {
    Problem::new(
        Code::TooLarge,
        "the request has more bytes than this address takes",
    )
}

/// axum's rejections say the same in other words; their texts tell what was wrong with the
/// request and nothing of the service.
fn rejected(status: StatusCode, text: String) -> Problem {
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => return too_large_for_all(),
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
    /// A body that is JSON, of another shape: told by field.
    fn from(rejection: JsonRejection) -> Self {
        if let JsonRejection::JsonDataError(error) = &rejection {
            return match misfit(error) {
                Some((field, detail)) => Self::field(&field, detail),
                None => Self::new(
                    Code::Invalid,
                    "the body must be a JSON object as documented",
                ),
            };
        }
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return too_large("the body", JSON_MOST);
        }
        rejected(rejection.status(), rejection.body_text())
    }
}

/// The field that did not fit and why, of serde's words for it.
fn misfit(error: &JsonDataError) -> Option<(String, String)> {
    let mut causes = std::iter::successors(error.source(), |&error| error.source());
    let error = causes
        .find_map(|cause| cause.downcast_ref::<serde_path_to_error::Error<serde_json::Error>>())?;
    let words = error.inner().to_string();
    // "… at line 1 column 9" is of no use for a field.
    let words = words
        .rsplit_once(" at line ")
        .map_or(&*words, |(words, _)| words);
    let quoted = |begin: &str| {
        let (name, rest) = words
            .strip_prefix(begin)?
            .strip_prefix(" `")?
            .split_once('`')?;
        Some((name.to_owned(), rest.trim_start_matches(", ").to_owned()))
    };
    if let Some((name, _)) = quoted("missing field") {
        return Some((name, "must be given".to_owned()));
    }
    if let Some((name, takes)) = quoted("unknown field") {
        return Some((name, format!("is not known here: {takes}")));
    }
    match error.path().to_string().as_str() {
        "." => None,
        path => Some((path.to_owned(), in_json(words))),
    }
}

/// serde's words for a value that does not fit, without names of types in the program.
fn in_json(words: &str) -> String {
    let Some((found, expected)) = words.rsplit_once(", expected ") else {
        return words.to_owned();
    };
    let kind = expected.split(' ').next().unwrap_or_default();
    let whole = |least: &dyn std::fmt::Display, most: &dyn std::fmt::Display| {
        format!("{found}, expected a whole number from {least} to {most}")
    };
    match kind {
        "struct" | "map" => "must be a JSON object".to_owned(),
        "tuple" | "array" => "must be a list".to_owned(),
        "u8" => whole(&u8::MIN, &u8::MAX),
        "u16" => whole(&u16::MIN, &u16::MAX),
        "u32" => whole(&u32::MIN, &u32::MAX),
        "i8" => whole(&i8::MIN, &i8::MAX),
        "i16" => whole(&i16::MIN, &i16::MAX),
        "i32" => whole(&i32::MIN, &i32::MAX),
        "u64" | "usize" => format!("{found}, expected a whole number, 0 or more"),
        "i64" | "isize" => format!("{found}, expected a whole number"),
        "f32" | "f64" => format!("{found}, expected a number"),
        "enum" | "variant" => "is none of the words that are taken".to_owned(),
        _ => match expected {
            "a sequence" => "must be a list".to_owned(),
            "a map" => "must be a JSON object".to_owned(),
            _ => words.to_owned(),
        },
    }
}

impl From<PathRejection> for Problem {
    /// An identity that is none names nothing.
    fn from(_: PathRejection) -> Self {
        Self::new(Code::NotFound, "there is nothing at this address")
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) => Self::new(
                Code::StoreUnavailable,
                "the store does not answer: try again in a moment, /readyz tells its state",
            )
            .because(cause)
            .retry_after(2),
            StoreError::Refused(words) => Self::new(Code::StoreUnavailable, error.to_string())
                .because(words)
                .retry_after(2),
            StoreError::Conflict => Self::new(
                Code::Conflict,
                "somebody else changed it at the same time: read it again, then repeat",
            ),
            StoreError::Corrupt(cause) => Self::internal(cause),
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Overloaded => Self::new(
                Code::EngineBusy,
                "the face engine has all the work it can take: try again in a moment",
            ),
            EngineError::Stopped => Self::new(Code::NotReady, "the service is stopping"),
            EngineError::Sample(error) => error.into(),
            EngineError::Failed(cause) => Self::internal(cause),
        }
    }
}

impl From<SampleError> for Problem {
    fn from(error: SampleError) -> Self {
        let code = match error {
            SampleError::TooManyBytes { .. } => Code::TooLarge,
            SampleError::Empty
            | SampleError::Unsupported
            | SampleError::TooManyPixels { .. }
            | SampleError::TooFewPixels { .. }
            | SampleError::Animated
            | SampleError::Corrupt => Code::BadImage,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ReferenceError> for Problem {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Store(error) => error.into(),
            ReferenceError::Sealed { .. } => Self::internal(error.to_string()),
        }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::UnknownKey(_)
            | VaultError::Forged
            | VaultError::NotAnEmbedding
            | VaultError::Seal => Self::internal(error.to_string()),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let text = error.to_string();
        match error {
            AccountError::BadCredentials => Self::new(Code::BadCredentials, text).header(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"rollcall\""),
            ),
            AccountError::BadSetupToken => Self::new(Code::BadSetupToken, text),
            AccountError::AlreadySetUp => Self::new(Code::AlreadySetUp, text),
            AccountError::EmailTaken => Self::new(Code::Conflict, text),
            AccountError::NoAccount => Self::new(Code::NotFound, text),
            AccountError::BadPassword => Self::field("password", text),
            AccountError::Hashing => Self::internal(text),
            AccountError::Store(error) => error.into(),
        }
    }
}

impl From<EmployeeError> for Problem {
    fn from(error: EmployeeError) -> Self {
        match error {
            EmployeeError::NotFound => Self::not_found("employee"),
            EmployeeError::CodeTaken => Self::new(Code::CodeTaken, error.to_string()),
            EmployeeError::Duplicate(_) => Self::new(Code::DuplicatePerson, error.to_string()),
            EmployeeError::Raced => StoreError::Conflict.into(),
            EmployeeError::Reference(error) => error.into(),
            EmployeeError::Store(error) => error.into(),
        }
    }
}

impl From<StreamError> for Problem {
    fn from(error: StreamError) -> Self {
        let code = match error.fault {
            StreamFault::Unreachable => Code::CameraUnreachable,
            StreamFault::Refused => Code::CameraRefused,
        };
        Self::new(code, error.cause)
    }
}

impl From<CameraError> for Problem {
    fn from(error: CameraError) -> Self {
        let text = error.to_string();
        match error {
            CameraError::NotFound => Self::not_found("camera"),
            CameraError::StreamTaken => Self::new(Code::StreamTaken, text),
            CameraError::NoAccount(_) => Self::field("viewers", text),
            CameraError::UnknownStream => Self::field("stream", text),
            CameraError::Raced => StoreError::Conflict.into(),
            CameraError::TooManyViewers => Self::new(Code::TooManyViewers, text).retry_after(10),
            CameraError::Stream(error) => error.into(),
            CameraError::Store(error) => error.into(),
        }
    }
}

impl From<PairingError> for Problem {
    fn from(error: PairingError) -> Self {
        match error {
            PairingError::NoSuchCode => Self::field("code", error.to_string()),
            PairingError::Store(error) => error.into(),
        }
    }
}

impl From<IdentifyError> for Problem {
    fn from(error: IdentifyError) -> Self {
        match error {
            IdentifyError::Engine(error) => error.into(),
            IdentifyError::NoCalibration => Self::new(Code::NotReady, error.to_string()),
            IdentifyError::NotEnrolled => Self::new(Code::NotEnrolled, error.to_string()),
            IdentifyError::Reference(error) => error.into(),
            IdentifyError::Store(error) => error.into(),
        }
    }
}

impl From<EnrollError> for Problem {
    fn from(error: EnrollError) -> Self {
        let text = error.to_string();
        match error {
            EnrollError::NotFound => Self::not_found("employee"),
            EnrollError::Inactive => Self::field("employee", text),
            EnrollError::NoConsent => Self::new(Code::ConsentRequired, text),
            EnrollError::PhotoCount | EnrollError::Full => Self::field("photo", text),
            EnrollError::NoUsablePhoto(photos) => {
                Self::new(Code::NoUsablePhoto, text).with("photos", photo_views(&photos))
            }
            EnrollError::Duplicate { other, photos } => Self::new(Code::DuplicatePerson, text)
                .with(
                    "other",
                    serde_json::json!({
                        "id": other.id, "name": other.name, "code": other.code,
                    }),
                )
                .with("photos", photo_views(&photos)),
            EnrollError::Identify(error) => error.into(),
            EnrollError::Vault(error) => error.into(),
            EnrollError::Store(error) => error.into(),
        }
    }
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        let text = error.to_string();
        match error {
            JobError::NotFound => Self::not_found("job"),
            JobError::Full => Self::new(Code::TooManyJobs, text),
            JobError::Pending | JobError::Ended => Self::new(Code::Conflict, text),
            JobError::List(_) => Self::new(Code::Invalid, text),
            JobError::Store(error) => error.into(),
        }
    }
}

impl From<PictureError> for Problem {
    fn from(error: PictureError) -> Self {
        match error {
            PictureError::Sample(error) => error.into(),
            PictureError::Vault(error) => error.into(),
            PictureError::Store(error) => error.into(),
        }
    }
}

impl From<PunchError> for Problem {
    fn from(error: PunchError) -> Self {
        match error {
            PunchError::KeyReused => Self::new(Code::IdempotencyKeyReused, error.to_string()),
            PunchError::Contended => {
                Self::new(Code::Contended, format!("{error}: try again in a moment"))
            }
            PunchError::Identify(error) => error.into(),
            PunchError::Store(error) => error.into(),
        }
    }
}
