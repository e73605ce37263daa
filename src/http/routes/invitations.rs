//! Invitations: routes for the senders, and routes without a session for the bearers of links.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::{
        grants::{Access, Permission},
        ids::{AccountId, InvitationId},
        invitations::{Invitation, Purpose},
        mail::SecurityChange,
        text::{Email, Name},
    },
    http::{
        HttpState,
        auth::{Administering, Allowed, Confirmed, InPerson, Inviting},
        extract::{Json, Path, Query},
        field_error::FieldError,
        limits::MayJoin,
        page::{List, PageQuery},
        problem::{Code, Fields, Problem},
        relying_party::PublicOrigin,
        room::Room,
        session::Cookies,
        upload::{INVITED, Shape, Upload},
        views::{
            accounts::{
                AccountLookup, EditableGrant, GrantView, LinkedEmployee, SessionView, grants,
                read_access,
            },
            consent::{ConsentTextView, alike, check_consent},
            faces::{PhotoView, photo_views},
            read_id,
            second_factors::ChallengeView,
            time,
        },
    },
    ports::{Sample, StoreError},
    service::{
        employees::Employees,
        enrollment::{EnrollError, Enrollments, PHOTOS_MOST},
        invitations::{Accepted, InvitationError, Invitations, Inviter, Made},
        messages::LetterError,
        sites::Sites,
    },
};

impl From<InvitationError> for Problem {
    fn from(error: InvitationError) -> Self {
        let text = error.to_string();
        match error {
            InvitationError::Ended => Self::new(Code::InvitationEnded, text),
            InvitationError::Claimed | InvitationError::Disabled => Self::new(Code::Conflict, text),
            InvitationError::NotFound => Self::not_found("invitation"),
            InvitationError::Forbidden => Self::new(Code::Forbidden, text),
            InvitationError::NoEmployee => Self::field("employee", FieldError::UnknownEmployee),
            InvitationError::Account(error) => error.into(),
            // The person must not learn whose face is alike.
            InvitationError::Enroll(EnrollError::Duplicate { photos, .. }) => alike(&photos),
            InvitationError::Enroll(error) => error.into(),
            InvitationError::Store(error) => error.into(),
        }
    }
}

/// Returns the sender of invitations.
fn inviter(allowed: &Allowed<Inviting>) -> Inviter {
    Inviter {
        actor: allowed.actor(),
        reach: allowed.reach().clone(),
        admin: allowed.permits(Permission::Administer),
    }
}

/// What a person is invited to: an account, if there are `grants`; to enroll their own face, with
/// `enroll`; or both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// The email address of the account. Without an account, where the link is sent.
    #[schema(example = "grace@example.com")]
    email: Option<String>,
    /// The name by which pages address the person; that of the employee if it is left out.
    #[schema(example = "Grace")]
    name: Option<String>,
    /// What the account may do. Managers may grant only the role employee.
    grants: Option<Vec<EditableGrant>>,
    /// The ID of the employee whom the account belongs to, or whose face is enrolled.
    #[schema(format = "uuid")]
    employee: Option<String>,
    /// Whether the person enrolls their own face.
    #[serde(default)]
    enroll: bool,
}

impl NewInvitation {
    async fn read(self, employees: &Employees) -> Result<Purpose, Problem> {
        let mut fields = Fields::default();
        let email = fields.optional("email", self.email, |text| Email::parse(&text));
        let mut name = fields.optional("name", self.name, |text| Name::parse(&text));
        let Some(granted) = self.grants else {
            let id = self.employee.ok_or(FieldError::Required).and_then(read_id);
            let employee = fields.required("employee", id);
            if !self.enroll {
                fields.add("grants", FieldError::Required);
            }
            fields.check()?;
            let employee = employee.ok_or_else(|| Problem::not_found("employee"))?;
            return Ok(Purpose::Enroll { employee, email });
        };
        let access = read_access(granted, self.employee, &mut fields);
        if email.is_none() {
            fields.add("email", FieldError::Required);
        }
        let linked = access.as_ref().and_then(Access::employee);
        if self.enroll && access.is_some() && linked.is_none() {
            fields.add("employee", FieldError::Required);
        }
        if let (None, Some(id)) = (&name, linked) {
            let found = employees.find_many(&[id]).await?;
            name = found.first().map(|employee| employee.name.clone());
        }
        // An employee who does not exist is refused later.
        if name.is_none() && linked.is_none() {
            fields.add("name", FieldError::Required);
        }
        fields.check()?;
        let unknown = || Problem::field("employee", FieldError::UnknownEmployee);
        match (email, access) {
            (Some(email), Some(access)) => Ok(Purpose::Account {
                email,
                name: name.ok_or_else(unknown)?,
                access,
                enroll: self.enroll,
            }),
            _ => Err(unknown()),
        }
    }
}

/// An invitation.
#[derive(Serialize, ToSchema)]
#[schema(title = "Invitation")]
pub struct InvitationView {
    /// The ID.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// What it is still for: `account`, `account_and_face`, `face` or `password`.
    #[schema(example = "account")]
    purpose: &'static str,
    /// The email address; null if it is not known.
    #[schema(example = "grace@example.com")]
    email: Option<String>,
    /// The name of the person; null for a new password.
    #[schema(example = "Grace")]
    name: Option<String>,
    /// What the account will be allowed to do.
    grants: Vec<GrantView>,
    /// The employee.
    employee: Option<LinkedEmployee>,
    /// When it was made or sent again.
    #[schema(format = "date-time")]
    made_at: String,
    /// When it expires.
    #[schema(format = "date-time")]
    expires_at: String,
    /// Whether its link can still be used.
    open: bool,
}

/// An invitation with its link.
#[derive(Serialize, ToSchema)]
#[schema(title = "SentInvitation")]
pub struct SentView {
    #[serde(flatten)]
    invitation: InvitationView,
    /// The link, relative to the address of the service unless that has `PUBLIC_URL`; returned only
    /// once, and null if it was sent. Its bearer can use the invitation.
    #[schema(example = "/join#b64url-of-32-random-bytes")]
    link: Option<String>,
    /// Whether the link was sent to the email address. If not, pass it on.
    sent: bool,
}

fn word(purpose: &Purpose) -> &'static str {
    match purpose {
        Purpose::Account { enroll: true, .. } => "account_and_face",
        Purpose::Account { .. } => "account",
        Purpose::Enroll { .. } => "face",
        Purpose::Reset { .. } => "password",
    }
}

/// Returns the views of invitations.
async fn views(
    invitations: &[Invitation],
    (employees, sites): (&Employees, &Sites),
    now: Timestamp,
) -> Result<Vec<InvitationView>, StoreError> {
    let ids: Vec<_> = invitations
        .iter()
        .filter_map(|one| one.purpose.employee())
        .collect();
    let employees = employees.find_many(&ids).await?;
    let sites = sites.all().await?;
    let view = |one: &Invitation| {
        let id = one.purpose.employee();
        let employee = employees.iter().find(|employee| Some(employee.id) == id);
        let (name, grants) = match &one.purpose {
            Purpose::Account { name, access, .. } => (Some(name), grants(access, &sites)),
            Purpose::Enroll { .. } => (employee.map(|employee| &employee.name), Vec::new()),
            Purpose::Reset { .. } => (None, Vec::new()),
        };
        InvitationView {
            id: one.id.to_string(),
            purpose: word(&one.purpose),
            email: one.purpose.email().map(ToString::to_string),
            name: name.map(ToString::to_string),
            grants,
            employee: employee.map(Into::into),
            made_at: time(one.made_at),
            expires_at: time(one.expires_at),
            open: one.is_open(now),
        }
    };
    Ok(invitations.iter().map(view).collect())
}

/// Sends the link of an invitation to its address, if there is one and a mail server. Otherwise the
/// caller shows the link.
async fn sent(state: &HttpState, made: Made) -> Result<SentView, Problem> {
    let link = made.path();
    let Made { invitation, .. } = made;
    let parts = (&*state.app.employees, &*state.app.sites);
    let one = std::slice::from_ref(&invitation);
    let view = views(one, parts, state.clock.now()).await?.pop();
    let view = view.ok_or_else(|| Problem::not_found("invitation"))?;
    let (letters, until) = (&state.app.letters, invitation.expires_at);
    let email = invitation.purpose.email().zip(letters.page(&link));
    let written = match (&invitation.purpose, email) {
        (Purpose::Reset { account, .. }, Some((_, address))) => {
            let found = state.app.accounts.find_many(&[*account]).await?;
            let account = found.first().ok_or_else(|| Problem::not_found("account"))?;
            letters.reset(account, &address, until).await
        }
        (purpose, Some((email, address))) => {
            let name = view.name.as_deref().unwrap_or_default();
            match purpose {
                Purpose::Enroll { .. } => {
                    let invitation = letters.face_invitation(email, name, &address, until);
                    invitation.await
                }
                Purpose::Account { .. } | Purpose::Reset { .. } => {
                    letters.invitation(email, name, &address, until).await
                }
            }
        }
        (_, None) => Err(LetterError::Off),
    };
    let link = match written {
        Ok(()) => None,
        Err(LetterError::Off) => Some(letters.page(&link).unwrap_or(link)),
        Err(error) => return Err(error.into()),
    };
    Ok(SentView {
        sent: link.is_none(),
        invitation: view,
        link,
    })
}

/// Invites a person to an account, or to enroll their own face. The link is valid for 7 days.
#[utoipa::path(
    post, path = "/api/invitations", tag = "accounts",
    request_body = NewInvitation,
    responses(
        (status = 201, description = "Made", body = SentView),
        (status = 403, description = "`forbidden`: managers may invite only employees; `confirmation_required`"),
        (status = 409, description = "`conflict`: the email address or the employee has an account"),
    ),
)]
pub async fn create_invitation(
    InPerson(allowed): InPerson<Inviting>,
    _: Confirmed,
    State(state): State<HttpState>,
    State(invitations): State<Arc<Invitations>>,
    Json(new): Json<NewInvitation>,
) -> Result<(StatusCode, axum::Json<SentView>), Problem> {
    let purpose = new.read(&state.app.employees).await?;
    let made = invitations.invite(&inviter(&allowed), purpose).await?;
    let view = sent(&state, made).await?;
    Ok((StatusCode::CREATED, axum::Json(view)))
}

/// Lists the invitations that are not used up, open ones first.
#[utoipa::path(
    get, path = "/api/invitations", tag = "accounts",
    params(PageQuery),
    responses((status = 200, description = "A page of invitations", body = List<InvitationView>)),
)]
pub async fn list_invitations(
    InPerson(allowed): InPerson<Inviting>,
    State(state): State<HttpState>,
    State(invitations): State<Arc<Invitations>>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<InvitationView>>, Problem> {
    let wanted = page.page()?;
    let found = invitations.list(&inviter(&allowed), &wanted.page).await?;
    let (found, next) = wanted.cut(found, |last| (last.expires_at, last.id))?;
    let parts = (&*state.app.employees, &*state.app.sites);
    let items = views(&found, parts, state.clock.now()).await?;
    Ok(axum::Json(List { items, next }))
}

/// Sends an invitation again, with a new link. The old one ends.
#[utoipa::path(
    post, path = "/api/invitations/{id}/resend", tag = "accounts",
    params(("id" = String, Path, description = "The invitation")),
    responses(
        (status = 200, description = "Made again", body = SentView),
        (status = 403, description = "`confirmation_required`"),
    ),
)]
pub async fn resend_invitation(
    InPerson(allowed): InPerson<Inviting>,
    _: Confirmed,
    State(state): State<HttpState>,
    State(invitations): State<Arc<Invitations>>,
    Path(id): Path<InvitationId>,
) -> Result<axum::Json<SentView>, Problem> {
    let again = invitations.resend(&inviter(&allowed), id).await?;
    Ok(axum::Json(sent(&state, again).await?))
}

/// Revokes an invitation.
#[utoipa::path(
    delete, path = "/api/invitations/{id}", tag = "accounts",
    params(("id" = String, Path, description = "The invitation")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 409, description = "`conflict`: it is being used at this moment"),
    ),
)]
pub async fn delete_invitation(
    InPerson(allowed): InPerson<Inviting>,
    State(invitations): State<Arc<Invitations>>,
    Path(id): Path<InvitationId>,
) -> Result<StatusCode, Problem> {
    invitations.revoke(&inviter(&allowed), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a link with which the person of an account sets a new password, valid for 24 hours.
#[utoipa::path(
    post, path = "/api/accounts/{id}/password-reset", tag = "accounts",
    params(("id" = String, Path, description = "The account")),
    responses(
        (status = 201, description = "Made", body = SentView),
        (status = 403, description = "`confirmation_required`"),
        (status = 409, description = "`conflict`: the account is disabled"),
    ),
)]
pub async fn create_password_reset(
    InPerson(allowed): InPerson<Administering>,
    _: Confirmed,
    State(state): State<HttpState>,
    State(invitations): State<Arc<Invitations>>,
    Path(id): Path<AccountId>,
) -> Result<(StatusCode, axum::Json<SentView>), Problem> {
    let inviter = Inviter {
        actor: allowed.actor(),
        reach: allowed.reach().clone(),
        admin: true,
    };
    let made = invitations.reset_password(&inviter, id).await?;
    let view = sent(&state, made).await?;
    Ok((StatusCode::CREATED, axum::Json(view)))
}

/// The token of a link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkToken {
    /// The part of the link after `#`.
    token: String,
}

/// What a link is for.
#[derive(Serialize, ToSchema)]
#[schema(title = "InvitationOffer")]
pub struct OfferView {
    /// `account`, `account_and_face`, `face` or `password`.
    #[schema(example = "account")]
    purpose: &'static str,
    /// The name of the person.
    #[schema(example = "Grace")]
    name: String,
    /// The name of the site where the person works; null for accounts without an employee.
    #[schema(example = "Harbor")]
    site: Option<String>,
    /// What the person consents to by enrolling their face; null if they are not invited to.
    consent: Option<ConsentTextView>,
}

/// Returns what a link is for. Needs no session.
#[utoipa::path(
    post, path = "/api/invitations/look", tag = "accounts",
    request_body = LinkToken,
    responses(
        (status = 200, description = "What the link is for", body = OfferView),
        (status = 410, description = "`invitation_ended`: the link is unknown, used, revoked or expired"),
        (status = 429, description = "`too_many_requests`: this address sent too many tokens that are not valid"),
    ),
    security(()),
)]
pub async fn look_at_invitation(
    joining: MayJoin,
    State(invitations): State<Arc<Invitations>>,
    State(sites): State<Arc<Sites>>,
    Json(link): Json<LinkToken>,
) -> Result<axum::Json<OfferView>, Problem> {
    let offer = joining
        .unless_ended(invitations.look(&link.token).await)
        .await?;
    let sites = sites.all().await?;
    let enrolls = offer.purpose.enrolls();
    let consent = enrolls.map(|_| ConsentTextView::current());
    Ok(axum::Json(OfferView {
        purpose: word(&offer.purpose),
        name: offer.name.to_string(),
        site: offer.site.map(|site| sites.name(site).to_owned()),
        consent,
    }))
}

/// The person who accepts an invitation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// The part of the link after `#`.
    token: String,
    /// Another name by which pages address the person.
    #[schema(example = "Grace")]
    name: Option<String>,
    /// The password, 12 to 256 characters that are not easy to guess.
    #[schema(example = "correct horse battery", format = "password")]
    password: String,
}

/// Creates the account of an invitation, or sets the new password, and signs in. Needs no session.
/// An account with a second factor gets a ticket for the second step, as from `POST /api/session`.
/// An invitation to enroll a face as well stays valid for that.
#[utoipa::path(
    post, path = "/api/invitations/accept", tag = "accounts",
    request_body = Acceptance,
    responses(
        (status = 200, description = "Signed in; sets the cookie `rollcall_session`", body = SessionView),
        (status = 202, description = "The password is set, and a second factor is needed", body = ChallengeView),
        (status = 409, description = "`conflict`: another request uses the link, or the address or employee has an account by now"),
        (status = 410, description = "`invitation_ended`"),
        (status = 429, description = "`too_many_requests`"),
    ),
    security(()),
)]
pub async fn accept_invitation(
    joining: MayJoin,
    State(state): State<HttpState>,
    State(lookup): State<AccountLookup>,
    origin: PublicOrigin,
    cookies: Cookies,
    Json(acceptance): Json<Acceptance>,
) -> Result<Response, Problem> {
    let app = &state.app;
    let name = acceptance.name.map(|text| Name::parse(&text)).transpose();
    let name = name.map_err(|error| Problem::field("name", error))?;
    let password = acceptance.password.into();
    let accepted = app.invitations.accept(&acceptance.token, name, password);
    let account = match joining.unless_ended(accepted.await).await? {
        Accepted::Created(account) => account,
        Accepted::PasswordSet(account) => {
            let change = SecurityChange::Password;
            app.letters.security(&account, change).await;
            account
        }
    };
    let challenge = app
        .second_factors
        .challenge(&account, origin.relying_party());
    if let Some(challenge) = challenge.await? {
        let view = axum::Json(ChallengeView::from(&challenge));
        return Ok((StatusCode::ACCEPTED, view).into_response());
    }
    let (jar, new) = cookies.sign_in(&app.accounts, account).await?;
    let view = axum::Json(lookup.session(&new.account, &new.session).await?);
    Ok((jar, view).into_response())
}

/// The upload of `POST /api/invitations/enroll`.
pub const SHAPE: Shape = Shape {
    images: "photo",
    least: 1,
    most: PHOTOS_MOST,
    bytes: usize::MAX,
    texts: &["token", "consent"],
    bare: false,
};

/// The form with which a person enrolls their own face, for the description of the API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form that Upload reads")]
pub struct SelfEnrollForm {
    /// The part of the link after `#`.
    token: String,
    /// The version of the text that the person agreed to, as `POST /api/invitations/look` returned
    /// it.
    consent: String,
    /// 1 to 10 photos: JPEG, PNG or WebP, at most 12 MiB each.
    #[schema(value_type = Vec<String>, format = Binary)]
    photo: Vec<Vec<u8>>,
}

/// The photos of a person who enrolls their own face.
pub struct SelfEnrollUpload {
    token: String,
    photos: Vec<Sample>,
    _room: Room,
}

impl FromRequest<HttpState> for SelfEnrollUpload {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &HttpState) -> Result<Self, Problem> {
        let upload = Upload::read_from(INVITED, request, &SHAPE).await?;
        let token = upload.text("token").unwrap_or_default().to_owned();
        check_consent(&upload)?;
        Ok(Self {
            token,
            photos: upload.images,
            _room: upload.room,
        })
    }
}

/// The result of an enrollment by the person.
#[derive(Serialize, ToSchema)]
#[schema(title = "SelfEnrollment")]
pub struct SelfEnrollmentView {
    /// The verdict on each photo.
    photos: Vec<PhotoView>,
}

/// Enrolls the face of the person who was invited, with their own consent. Needs no session. Photos
/// that are refused do not use the link up; it allows 20 tries.
#[utoipa::path(
    post, path = "/api/invitations/enroll", tag = "accounts",
    request_body(content = SelfEnrollForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "Enrolled", body = SelfEnrollmentView),
        (status = 409, description = "`duplicate_person`: the face belongs to another person; `conflict`: another request uses the link"),
        (status = 410, description = "`invitation_ended`"),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`consent_required`, `no_usable_photo` with `photos`, or `invalid`"),
        (status = 429, description = "`too_many_requests`"),
    ),
    security(()),
)]
pub async fn enroll_by_invitation(
    joining: MayJoin,
    State(invitations): State<Arc<Invitations>>,
    State(enrollments): State<Arc<Enrollments>>,
    SelfEnrollUpload {
        token,
        photos,
        _room,
    }: SelfEnrollUpload,
) -> Result<(StatusCode, axum::Json<SelfEnrollmentView>), Problem> {
    let enrolled = invitations.enroll(&enrollments, &token, photos).await;
    let enrolled = joining.unless_ended(enrolled).await?;
    let photos = photo_views(&enrolled.photos);
    Ok((
        StatusCode::CREATED,
        axum::Json(SelfEnrollmentView { photos }),
    ))
}
