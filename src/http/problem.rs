//! Errors as RFC 9457 problem details: their codes, the errors of fields, and how they are
//! rendered. The conversions from errors of services are beside the routes and in `problems`.
//!
//! A [`Problem`] travels as an extension of an empty response. The layer [`render`] around all
//! routes writes the body with the request's ID and logs the cause, which never reaches the
//! client. Error responses of axum itself, which carry no problem, get one by their status.

use axum::{
    Json,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tracing::{error, warn};
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, schema::Object},
};

use super::{context::RequestId, field_error::FieldError};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal;)+) => {
        /// The kind of a problem. The codes are stable: clients may rely on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the word in the response.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// Returns the status of the response.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// Returns the summary, which is the same for all problems of the kind.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

codes! {
    /// The request cannot be read.
    Malformed = "malformed", BAD_REQUEST, "The request cannot be read";
    /// The request has no valid session or token.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "Sign in first";
    /// Email address and password do not match.
    BadCredentials = "bad_credentials", UNAUTHORIZED, "Wrong email address or password";
    /// The caller does not have the permission.
    Forbidden = "forbidden", FORBIDDEN, "Not allowed";
    /// The site wants another person to decide.
    FourEyes = "four_eyes", FORBIDDEN, "Another person must decide";
    /// A browser sent the request from another site.
    CrossSite = "cross_site", FORBIDDEN, "Requests from other sites are refused";
    /// The caller may not decide about their own hours.
    OwnHours = "own_hours", FORBIDDEN, "Another person must decide about your own hours";
    /// The person must prove again who they are.
    ConfirmationRequired = "confirmation_required", FORBIDDEN, "Confirm that it is you";
    /// The account must set up a second factor first.
    SecondFactorRequired = "second_factor_required", FORBIDDEN, "Set up a second factor first";
    /// The one-time code, recovery code or passkey is wrong, or was used before.
    WrongSecondFactor = "wrong_second_factor", FORBIDDEN, "Wrong second factor";
    /// The sign-in took too long or had too many wrong codes.
    SignInExpired = "sign_in_expired", FORBIDDEN, "Sign in again";
    /// The set-up token is not the one that the service printed.
    BadSetupToken = "bad_setup_token", FORBIDDEN, "Wrong set-up token";
    /// There is nothing at this address.
    NotFound = "not_found", NOT_FOUND, "Not found";
    /// The address accepts other methods.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    /// There is an account already.
    AlreadySetUp = "already_set_up", CONFLICT, "Already set up";
    /// No admin would remain.
    LastAdmin = "last_admin", CONFLICT, "The last admin";
    /// Another employee has the code.
    CodeTaken = "code_taken", CONFLICT, "The staff number is taken";
    /// Another site has the name.
    NameTaken = "name_taken", CONFLICT, "The name is taken";
    /// Browsers offer no passkeys at the address of the service.
    PasskeysUnavailable = "passkeys_unavailable", CONFLICT, "No passkeys at this address";
    /// There is no mail server.
    MailUnavailable = "mail_unavailable", CONFLICT, "No emails are sent";
    /// The site cannot be removed.
    SiteInUse = "site_in_use", CONFLICT, "The site is in use";
    /// A cycle has the shift.
    ShiftInUse = "shift_in_use", CONFLICT, "The shift is in use";
    /// What was decided cannot be decided in this way.
    AlreadyDecided = "already_decided", CONFLICT, "Already decided";
    /// It is more leave than is left, of a limited kind.
    LeaveExceeded = "leave_exceeded", CONFLICT, "More leave than is left";
    /// Another camera uses the stream.
    StreamTaken = "stream_taken", CONFLICT, "Another camera has the stream";
    /// The face belongs to another employee.
    DuplicatePerson = "duplicate_person", CONFLICT, "This face belongs to another employee";
    /// The period is locked.
    TimesheetLocked = "timesheet_locked", CONFLICT, "The timesheet is locked";
    /// The timesheet is not in a state for this.
    TimesheetState = "timesheet_state", CONFLICT, "The timesheet is in another state";
    /// The period lasts.
    PeriodNotOver = "period_not_over", CONFLICT, "The period is not over";
    /// Days have exceptions that prevent an approval.
    DaysBlocked = "days_blocked", CONFLICT, "Days have exceptions";
    /// The figures are not those that the caller saw or approved.
    FiguresChanged = "figures_changed", CONFLICT, "The figures have changed";
    /// The time in which this is possible is over.
    TooLate = "too_late", CONFLICT, "Too late";
    /// The correction was decided before.
    CorrectionDecided = "correction_decided", CONFLICT, "The correction was decided before";
    /// The timesheet has the most corrections that it can have.
    TooManyCorrections = "too_many_corrections", CONFLICT, "Too many corrections";
    /// The account has the most API tokens that it can have.
    TooManyTokens = "too_many_tokens", CONFLICT, "Too many API tokens";
    /// There are as many webhooks as there can be.
    TooManyWebhooks = "too_many_webhooks", CONFLICT, "Too many webhooks";
    /// The delivery waits for its next attempt.
    DeliveryWaiting = "delivery_waiting", CONFLICT, "The delivery waits";
    /// Another request changed the same record at the same time.
    Conflict = "conflict", CONFLICT, "Changed by another request at the same time";
    /// The link of an invitation cannot be used.
    InvitationEnded = "invitation_ended", GONE, "The link cannot be used";
    /// The request, or a part of it, has too many bytes.
    TooLarge = "too_large", PAYLOAD_TOO_LARGE, "Too large";
    /// The address accepts another content type.
    UnsupportedType = "unsupported_type", UNSUPPORTED_MEDIA_TYPE, "Unsupported content type";
    /// A field, part or parameter is not valid.
    Invalid = "invalid", UNPROCESSABLE_ENTITY, "The request is not valid";
    /// Rows of a list are wrong.
    ImportRefused = "import_refused", UNPROCESSABLE_ENTITY, "Rows of the list are wrong";
    /// The image cannot be used.
    BadImage = "bad_image", UNPROCESSABLE_ENTITY, "The image cannot be used";
    /// The employee did not consent.
    ConsentRequired = "consent_required", UNPROCESSABLE_ENTITY, "Consent is required";
    /// No photo is good enough to enroll.
    NoUsablePhoto = "no_usable_photo", UNPROCESSABLE_ENTITY, "No photo is usable";
    /// The image does not show exactly one good face.
    NoUsableFace = "no_usable_face", UNPROCESSABLE_ENTITY, "No usable face in the image";
    /// The employee has no enrolled face.
    NotEnrolled = "not_enrolled", UNPROCESSABLE_ENTITY, "No face is enrolled";
    /// The client used the key for another request.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request";
    /// The address sent too many requests.
    TooManyRequests = "too_many_requests", TOO_MANY_REQUESTS, "Too many requests";
    /// The account started too many enrollments.
    TooManyEnrollments = "too_many_enrollments", TOO_MANY_REQUESTS, "Too many enrollments";
    /// Too many jobs are queued or running.
    TooManyJobs = "too_many_jobs", TOO_MANY_REQUESTS, "Too many jobs";
    /// The service has a fault.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal error";
    /// The camera sends no picture, or go2rtc does not respond.
    CameraUnreachable = "camera_unreachable", BAD_GATEWAY, "No picture comes from the camera";
    /// go2rtc refuses to send pictures of the camera.
    CameraRefused = "camera_refused", BAD_GATEWAY, "go2rtc refuses pictures of the camera";
    /// The store does not respond.
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "The store does not answer";
    /// The store failed in the middle of an import.
    ImportStopped = "import_stopped", SERVICE_UNAVAILABLE, "The import stopped in the middle";
    /// The queue of the face engine is full.
    EngineBusy = "engine_busy", SERVICE_UNAVAILABLE, "The face engine is busy";
    /// The service is starting or stopping, or its model has no calibration.
    NotReady = "not_ready", SERVICE_UNAVAILABLE, "Not ready to serve this";
    /// Too many requests punched for the same employee at the same moment.
    Contended = "contended", SERVICE_UNAVAILABLE, "Too many punches at the same moment";
    /// The camera viewer limit is reached.
    TooManyViewers = "too_many_viewers", SERVICE_UNAVAILABLE, "Too many viewers";
    /// The request took too long.
    TimedOut = "timed_out", SERVICE_UNAVAILABLE, "It took too long";
}

/// What is wrong with one field, for the description of the API.
#[derive(Serialize, ToSchema)]
#[schema(title = "FieldProblem")]
pub struct FieldProblem {
    /// The field, part, header or parameter; a dot leads into an object, `[0]` into a list.
    #[schema(example = "name")]
    field: String,
    /// What is wrong, for programs. The codes are stable.
    #[schema(schema_with = field_codes)]
    code: String,
    /// The parameters of the code, such as the most characters; left out when it has none.
    #[schema(value_type = Option<Object>, example = json!({ "most": 120 }))]
    params: Option<Value>,
    /// The same in English. The text may change.
    #[schema(example = "must have at most 120 characters")]
    detail: String,
}

fn field_codes() -> Object {
    ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .enum_values(Some(FieldError::CODES.iter().copied()))
        .examples(["too_long"])
        .build()
}

/// A problem on its way to the client.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    more: Box<More>,
}

/// What few problems have; boxed to keep results small.
#[derive(Debug, Clone, Default)]
struct More {
    fields: Vec<(String, FieldError)>,
    members: Map<String, Value>,
    headers: HeaderMap,
    cause: Option<String>,
}

/// Most bytes of a JSON body.
pub const JSON_MOST: usize = 64 << 10;

/// Default of `Retry-After` for problems that pass, seconds.
const RETRY_AFTER: u64 = 1;

impl Problem {
    /// Makes a problem; `detail` says what is wrong and what to do.
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

    /// Makes the problem of a fault in the service. The cause is only logged.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self::new(
            Code::Internal,
            "the service failed: its log has the cause under this request_id",
        )
        .because(cause)
    }

    /// Makes the problem of one field.
    pub fn field(field: &str, error: impl Into<FieldError>) -> Self {
        let mut fields = Fields::default();
        fields.add(field, error);
        fields.problem()
    }

    /// Makes the problem of an ID that no record has.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// Makes the problem of an address that leads nowhere.
    pub fn no_such_address() -> Self {
        Self::new(Code::NotFound, "there is nothing at this address")
    }

    /// Adds a cause, which is logged and not sent to the client.
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.more.cause = Some(cause.into());
        self
    }

    /// Adds a member to the body.
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => {
                self.more.members.insert(name.to_owned(), value);
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

    /// Sets how long the client must wait before it tries again, seconds.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.more
            .headers
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        self
    }

    /// Makes the problem of an error response that carries none.
    fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::no_such_address(),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                Code::MethodNotAllowed,
                "this address accepts the methods in the Allow header",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => request_too_large(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(Code::UnsupportedType, "send another content type")
            }
            StatusCode::UNPROCESSABLE_ENTITY => {
                Self::new(Code::Invalid, "the request is not valid")
            }
            status if status.is_client_error() => {
                Self::new(Code::Malformed, "the request cannot be read")
            }
            status => Self::internal(format!("response {status} without a problem")),
        }
    }

    fn body(&self, request_id: &str) -> Value {
        let code = self.code.as_str();
        let mut body = json!({
            "type": format!("/api/docs#problem-{code}"),
            "title": self.code.title(),
            "status": self.code.status().as_u16(),
            "detail": self.detail,
            "code": code,
            "request_id": request_id,
        });
        if !self.more.fields.is_empty() {
            let errors = self.more.fields.iter();
            body["errors"] = errors
                .map(|(field, error)| field_body(field, error))
                .collect();
        }
        for (name, value) in &self.more.members {
            body[name] = value.clone();
        }
        body
    }
}

fn field_body(field: &str, error: &FieldError) -> Value {
    let mut body = json!({ "field": field, "detail": error.to_string() });
    if let Ok(Value::Object(coded)) = serde_json::to_value(error) {
        for (name, value) in coded {
            body[name] = value;
        }
    }
    body
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Collects the errors of a request's fields, so that the client gets all of them at once, up to
/// [`FIELDS_MOST`].
#[derive(Debug, Default)]
pub struct Fields(Vec<(String, FieldError)>);

/// The maximum number of errors in a response.
const FIELDS_MOST: usize = 20;

impl Fields {
    /// Adds an error of a field, unless the response already has [`FIELDS_MOST`] errors.
    pub fn add(&mut self, field: &str, error: impl Into<FieldError>) {
        if self.0.len() < FIELDS_MOST {
            self.0.push((field.to_owned(), error.into()));
        }
    }

    /// Returns the value, or adds its error and returns `None`.
    pub fn required<T, E: Into<FieldError>>(
        &mut self,
        field: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.add(field, error)).ok()
    }

    /// Parses an optional value. Returns `None` if there is no value, or if it is not valid; the
    /// error is then added, so call [`check`](Self::check) before you use the result.
    pub fn optional<V, T, E: Into<FieldError>>(
        &mut self,
        field: &str,
        value: Option<V>,
        parse: impl FnOnce(V) -> Result<T, E>,
    ) -> Option<T> {
        self.required(field, value.map(parse).transpose()).flatten()
    }

    /// Returns a problem if any error was added.
    pub fn check(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.problem())
        }
    }

    /// Returns the problem of all added errors.
    pub fn problem(self) -> Problem {
        let names: Vec<_> = self.0.iter().map(|(field, _)| field.as_str()).collect();
        let mut problem = Problem::new(Code::Invalid, format!("check {}", names.join(", ")));
        problem.more.fields = self.0;
        problem
    }
}

/// A problem as it is sent, for the description of the API.
#[derive(Serialize, ToSchema)]
#[schema(title = "Problem", description = "RFC 9457 problem details")]
pub struct ProblemView {
    /// Where the kind is explained, relative to the service.
    #[schema(example = "/api/docs#problem-not_found")]
    r#type: String,
    /// The summary of the kind.
    #[schema(example = "Not found")]
    title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// What is wrong with this request, and what to do.
    #[schema(example = "there is no such employee")]
    detail: String,
    /// The kind. The codes are stable.
    #[schema(example = "not_found")]
    code: String,
    /// The ID of the request in the log.
    #[schema(example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    request_id: String,
    /// What is wrong with each field.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<FieldProblem>>,
}

/// Renders problems. It is the innermost of the layers that every response passes.
pub async fn render(request: Request, next: Next) -> Response {
    let id = RequestId::from_extensions(request.extensions());
    let mut response = next.run(request).await;
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        // axum's own rejections are text. JSON or a page with an error status is a handler's.
        None if (status.is_client_error() || status.is_server_error())
            && !has_own_body(&response) =>
        {
            Problem::from_status(status)
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
    for name in [header::ALLOW, header::SET_COOKIE, header::CONNECTION] {
        if let Some(value) = response.headers_mut().remove(&name) {
            rendered.headers_mut().insert(name, value);
        }
    }
    rendered.headers_mut().extend(problem.more.headers);
    rendered
}

/// Checks whether a handler wrote the body of an error response itself.
fn has_own_body(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let begins = |kind: &[u8]| content_type.is_some_and(|of| of.as_bytes().starts_with(kind));
    begins(b"application/json") || begins(b"text/html")
}

/// Makes the problem of a request, or of a part of it, that has more than `most` bytes.
pub fn too_large(what: &str, most: usize) -> Problem {
    let size = match most {
        most if most % (1 << 20) == 0 => format!("{} MiB", most >> 20),
        most => format!("{} KiB", most >> 10),
    };
    Problem::new(
        Code::TooLarge,
        format!("{what} is larger than {size} ({most} bytes)"),
    )
}

/// Makes the problem of a request that is too large, where the limit is not known.
pub fn request_too_large() -> Problem {
    Problem::new(
        Code::TooLarge,
        "the request is larger than this address accepts",
    )
}
