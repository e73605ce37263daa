//! The router: all routes with their limits, and the layers around them.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio_util::sync::CancellationToken;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, NotForContentType, Predicate},
    },
    csrf::{CsrfLayer, ProtectionError},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    HttpState, Settings, assets,
    context::{self, Client},
    limits::{AddressLimit, Quota, SharedLimit},
    openapi,
    problem::{self, Code, JSON_MOST, Problem},
    request_timeout::request_timeout,
    routes::{
        accounts, assignments, audit, balances, calendars, camera_pictures, cameras, catalog,
        devices, employees, enroll, enrollment_limit, entitlements, events, exports, health,
        identify, imports, invitations, jobs, kiosk_enrollment, leave, mail, me, notices, pairings,
        passkeys, password_resets, pictures, punch_credentials, punches, redis, refused_punches,
        rules, second_factors, session, setup, single_sign_on, sites, status, templates,
        timesheets, tokens, webhooks, workdays,
    },
};
use crate::{
    app::App,
    clock::Clock,
    ports::RateLimits,
    service::{feed::Feed, jobs::BYTES_MOST, redis::Redis},
    telemetry::Health,
};

/// The parts of the router.
pub struct Parts {
    /// The services.
    pub app: App,
    /// The settings.
    pub settings: Settings,
    /// Limits that all instances count together.
    pub limits: Arc<dyn RateLimits>,
    /// The feed of what happens.
    pub feed: Feed,
    /// The Redis servers.
    pub redis: Redis,
    /// Cancelled when the service stops, to end streams.
    pub stopping: CancellationToken,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The condition of the service's parts.
    pub health: Arc<Health>,
    /// Renders the metrics for `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// The burst that an address may send, in seconds' worth of requests.
const BURST_SECONDS: u32 = 10;

/// Returns the service, to be served with the peer's address as connect info
/// (`into_make_service_with_connect_info::<SocketAddr>()`).
pub fn router(parts: Parts) -> Router {
    let state = HttpState {
        enrollments: SharedLimit::enrollments(parts.settings.enroll_limit, parts.limits.clone()),
        pairings: SharedLimit::pairings(parts.settings.pairing, parts.limits.clone()),
        joins: SharedLimit::joins(parts.settings.sign_in, parts.limits.clone()),
        sign_ins: SharedLimit::sign_ins(parts.settings.sign_in, parts.limits),
        feed: parts.feed,
        redis: parts.redis,
        stopping: parts.stopping,
        settings: Arc::new(parts.settings),
        app: parts.app,
        clock: parts.clock,
        health: parts.health,
        metrics: parts.metrics,
    };
    let settings = state.settings.clone();
    let (limited, _) = api().split_for_parts();
    let document = document();
    let names = Arc::new(openapi::QueryNames::new(&document));
    let description = serde_json::to_vec_pretty(&document)
        .map(Bytes::from)
        .expect("the description is made of strings and numbers");
    let limited = limited
        .route_layer(from_fn_with_state(names, openapi::reject_unknown_query))
        .route(
            "/api/openapi.json",
            get(async move || ([(header::CONTENT_TYPE, "application/json")], description)),
        )
        .route("/api/docs", get(assets::serve_docs))
        .fallback(assets::serve_asset)
        .layer(DefaultBodyLimit::max(JSON_MOST));
    let limited = match general_quota(&settings) {
        Some(quota) => {
            let limit = AddressLimit::new("address", quota);
            limited
                .layer(limit.layer())
                .layer(from_fn(move |request, next| {
                    limit.clone().translate(request, next)
                }))
        }
        None => limited,
    };
    // Load balancers and monitoring are not limited.
    let (open, _) = service().split_for_parts();
    limited
        .merge(open)
        .layer(CsrfLayer::new().with_rejection_response(cross_site))
        .layer(from_fn_with_state(state.clone(), request_timeout))
        .layer(CatchPanicLayer::custom(panic_response))
        .layer(from_fn(problem::render))
        .layer(compression())
        .layer(from_fn_with_state(state.clone(), security_headers))
        .layer(from_fn_with_state(state.clone(), context::add_context))
        .with_state(state)
}

/// Returns the description of the API as it is served.
pub fn document() -> utoipa::openapi::OpenApi {
    let api = api().merge(service());
    openapi::finish(api.into_openapi())
}

/// Returns the routes under `/api`.
fn api() -> OpenApiRouter<HttpState> {
    let uploads = |limit| DefaultBodyLimit::max(limit);
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(
            session::create_session,
            session::get_session,
            session::delete_session
        ))
        .routes(routes!(second_factors::confirm_session))
        .routes(routes!(session::list_sessions, session::end_other_sessions))
        .routes(routes!(session::end_session))
        .routes(routes!(tokens::list_tokens, tokens::create_token))
        .routes(routes!(tokens::delete_token))
        .routes(routes!(second_factors::create_second_step))
        .routes(routes!(password_resets::request_password_reset))
        .routes(routes!(passkeys::begin_passkey_sign_in))
        .routes(routes!(passkeys::create_passkey_session))
        .routes(routes!(passkeys::begin_passkey))
        .routes(routes!(passkeys::create_passkey))
        .routes(routes!(passkeys::update_passkey, passkeys::delete_passkey))
        .routes(routes!(second_factors::get_second_factors))
        .routes(routes!(
            second_factors::create_totp,
            second_factors::delete_totp
        ))
        .routes(routes!(second_factors::confirm_totp))
        .routes(routes!(second_factors::create_recovery_codes))
        .routes(routes!(second_factors::reset_second_factors))
        .routes(routes!(second_factors::unlink_identity))
        .routes(routes!(
            second_factors::get_security_policy,
            second_factors::put_security_policy
        ))
        .routes(routes!(single_sign_on::get_methods))
        .routes(routes!(single_sign_on::begin_sign_on))
        .routes(routes!(single_sign_on::finish_sign_on))
        .routes(routes!(setup::get_setup, setup::create_setup))
        .routes(routes!(accounts::update_own_account))
        .routes(routes!(accounts::put_own_password))
        .routes(routes!(invitations::create_password_reset))
        .routes(routes!(
            invitations::list_invitations,
            invitations::create_invitation
        ))
        .routes(routes!(invitations::delete_invitation))
        .routes(routes!(invitations::resend_invitation))
        .routes(routes!(invitations::look_at_invitation))
        .routes(routes!(invitations::accept_invitation))
        .routes(routes!(accounts::list_accounts))
        .routes(routes!(
            accounts::get_account,
            accounts::update_account,
            accounts::delete_account
        ))
        .routes(routes!(
            employees::list_employees,
            employees::create_employee
        ))
        .routes(routes!(
            employees::get_employee,
            employees::update_employee,
            employees::delete_employee
        ))
        .routes(routes!(
            templates::get_templates,
            templates::delete_templates
        ))
        .routes(routes!(templates::delete_grown_templates))
        .routes(routes!(me::get_me))
        .routes(routes!(me::get_own_days))
        .routes(routes!(me::list_own_punches))
        .routes(routes!(timesheets::list_own_corrections))
        .routes(routes!(leave::list_own_leave))
        .routes(routes!(me::get_own_faces))
        .routes(routes!(me::get_own_consent, me::withdraw_consent))
        .routes(routes!(me::get_own_file))
        .routes(routes!(me::put_own_pin))
        .routes(routes!(me::report_lost_badge))
        .routes(routes!(me::get_own_export))
        .routes(routes!(me::request_erasure, me::withdraw_erasure_request))
        .routes(routes!(punch_credentials::get_credentials))
        .routes(routes!(punch_credentials::list_credentials))
        .routes(routes!(
            punch_credentials::put_pin,
            punch_credentials::delete_pin
        ))
        .routes(routes!(punch_credentials::unlock_pin))
        .routes(routes!(
            punch_credentials::create_badge,
            punch_credentials::delete_badge
        ))
        .routes(routes!(punch_credentials::create_badge_sheet))
        .routes(routes!(workdays::get_board))
        .routes(routes!(workdays::get_days))
        .routes(routes!(
            balances::list_balance_entries,
            balances::create_balance_entry
        ))
        .routes(routes!(balances::delete_balance_entry))
        .routes(routes!(notices::list_notices))
        .routes(routes!(timesheets::create_correction))
        .routes(routes!(timesheets::list_corrections))
        .routes(routes!(timesheets::approve_correction))
        .routes(routes!(timesheets::reject_correction))
        .routes(routes!(timesheets::withdraw_correction))
        .routes(routes!(timesheets::list_timesheets))
        .routes(routes!(timesheets::get_timesheet))
        .routes(routes!(timesheets::submit_timesheet))
        .routes(routes!(timesheets::approve_timesheet))
        .routes(routes!(timesheets::lock_timesheet))
        .routes(routes!(timesheets::unlock_timesheet))
        .routes(routes!(punches::create_manual_punch))
        .routes(routes!(punches::create_pin_punch))
        .routes(routes!(punches::create_badge_punch))
        .routes(routes!(punches::take_back_punch))
        .routes(routes!(exports::get_export))
        .routes(routes!(sites::list_sites, sites::create_site))
        .routes(routes!(
            sites::get_site,
            sites::update_site,
            sites::delete_site
        ))
        .routes(routes!(rules::list_presets))
        .routes(routes!(rules::list_rules))
        .routes(routes!(rules::put_rules, rules::delete_rules))
        .routes(routes!(catalog::list_shifts, catalog::create_shift))
        .routes(routes!(catalog::update_shift, catalog::delete_shift))
        .routes(routes!(catalog::list_cycles, catalog::create_cycle))
        .routes(routes!(catalog::update_cycle, catalog::delete_cycle))
        .routes(routes!(
            assignments::list_assignments,
            assignments::create_assignments
        ))
        .routes(routes!(assignments::delete_assignment))
        .routes(routes!(
            catalog::list_holiday_calendars,
            catalog::create_holiday_calendar
        ))
        .routes(routes!(
            catalog::update_holiday_calendar,
            catalog::delete_holiday_calendar
        ))
        .routes(routes!(
            catalog::list_leave_kinds,
            catalog::create_leave_kind
        ))
        .routes(routes!(
            catalog::update_leave_kind,
            catalog::delete_leave_kind
        ))
        .routes(routes!(
            entitlements::list_entitlements,
            entitlements::create_entitlement
        ))
        .routes(routes!(
            entitlements::update_entitlement,
            entitlements::delete_entitlement
        ))
        .routes(routes!(entitlements::get_leave_balance))
        .routes(routes!(catalog::list_payroll_examples))
        .routes(routes!(
            catalog::list_payroll_layouts,
            catalog::create_payroll_layout
        ))
        .routes(routes!(
            catalog::update_payroll_layout,
            catalog::delete_payroll_layout
        ))
        .routes(routes!(exports::get_payroll))
        .routes(routes!(
            calendars::get_calendar_address,
            calendars::create_calendar,
            calendars::delete_calendar
        ))
        .routes(routes!(calendars::get_calendar))
        .routes(routes!(leave::list_leave, leave::create_leave))
        .routes(routes!(leave::approve_leave))
        .routes(routes!(leave::reject_leave))
        .routes(routes!(leave::withdraw_leave))
        .routes(routes!(leave::cancel_leave))
        .routes(routes!(devices::list_devices, devices::create_device))
        .routes(routes!(devices::update_device, devices::delete_device))
        .routes(routes!(devices::pair_device))
        .routes(routes!(devices::get_own_device))
        .routes(routes!(devices::renew_device_token))
        .routes(routes!(devices::report_device_status))
        .routes(routes!(kiosk_enrollment::find_person_at_kiosk))
        .routes(routes!(kiosk_enrollment::withdraw_at_kiosk))
        .routes(routes!(refused_punches::list_refused_punches))
        .routes(routes!(refused_punches::add_refused_punch))
        .routes(routes!(refused_punches::dismiss_refused_punch))
        .routes(routes!(cameras::list_cameras, cameras::create_camera))
        .routes(routes!(
            cameras::get_camera,
            cameras::update_camera,
            cameras::delete_camera
        ))
        .routes(routes!(camera_pictures::get_picture))
        .routes(routes!(camera_pictures::follow_camera))
        .routes(routes!(camera_pictures::get_faces))
        .routes(routes!(cameras::list_streams))
        .routes(routes!(pairings::create_pairing))
        .routes(routes!(pairings::get_pairing))
        .routes(routes!(pairings::look_at_pairing))
        .routes(routes!(punches::get_punch))
        .routes(routes!(pictures::get_punch_picture))
        .routes(routes!(pictures::list_unknown_faces))
        .routes(routes!(pictures::get_unknown_face_picture))
        .routes(routes!(pictures::delete_unknown_face))
        .routes(routes!(events::follow_events))
        .routes(routes!(status::get_status))
        .routes(routes!(enroll::get_consent))
        .routes(routes!(mail::get_mail, mail::put_mail))
        .routes(routes!(webhooks::list_webhooks, webhooks::create_webhook))
        .routes(routes!(
            webhooks::get_webhook,
            webhooks::update_webhook,
            webhooks::delete_webhook
        ))
        .routes(routes!(webhooks::rotate_webhook))
        .routes(routes!(webhooks::test_webhook))
        .routes(routes!(webhooks::list_deliveries))
        .routes(routes!(webhooks::replay_delivery))
        .routes(routes!(webhooks::replay_failed))
        .routes(routes!(
            enrollment_limit::get_lift,
            enrollment_limit::create_lift,
            enrollment_limit::delete_lift
        ))
        .routes(routes!(redis::get_redis))
        .routes(routes!(audit::list_audit))
        .routes(routes!(jobs::list_jobs, jobs::create_job))
        .routes(routes!(jobs::get_job, jobs::delete_job))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(jobs::create_import))
                .routes(routes!(imports::import_list))
                .layer(uploads(BYTES_MOST)),
        )
        .merge(
            OpenApiRouter::new()
                .routes(routes!(calendars::preview_holidays))
                .layer(uploads(calendars::BYTES_MOST)),
        )
        .merge(
            OpenApiRouter::new()
                .routes(routes!(enroll::create_enrollment))
                .layer(uploads(enroll::SHAPE.body_limit())),
        )
        .merge(
            OpenApiRouter::new()
                .routes(routes!(enroll::create_enrollments))
                .layer(uploads(enroll::MANY.body_limit())),
        )
        .merge(
            OpenApiRouter::new()
                .routes(routes!(invitations::enroll_by_invitation))
                .layer(uploads(invitations::SHAPE.body_limit())),
        )
        .merge(
            OpenApiRouter::new()
                .routes(routes!(kiosk_enrollment::enroll_at_kiosk))
                .layer(uploads(kiosk_enrollment::SHAPE.body_limit())),
        )
        .merge(
            OpenApiRouter::new()
                .routes(routes!(refused_punches::take_refused_punch))
                .layer(uploads(refused_punches::SHAPE.body_limit())),
        )
        .merge(
            OpenApiRouter::new()
                .routes(routes!(identify::create_identification))
                .layer(uploads(identify::ONE.body_limit())),
        )
        .merge(
            OpenApiRouter::new()
                .routes(routes!(identify::create_verification))
                .layer(uploads(identify::CLAIM.body_limit())),
        )
        .merge(
            OpenApiRouter::new()
                .routes(routes!(punches::list_punches, punches::create_punch))
                .layer(uploads(punches::SHAPE.body_limit())),
        )
}

/// Returns the routes for monitoring.
fn service() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(health::get_health))
        .routes(routes!(health::get_readiness))
        .routes(routes!(health::get_metrics))
}

fn general_quota(settings: &Settings) -> Option<Quota> {
    let rate = settings.rate_limit;
    (rate > 0).then(|| Quota {
        burst: rate.saturating_mul(BURST_SECONDS),
        every: std::time::Duration::from_secs(1) / rate,
    })
}

/// Compresses text, but not images (also live ones), fonts, workbooks and tiny bodies.
fn compression() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new().gzip(true).compress_when(
        DefaultPredicate::new()
            .and(NotForContentType::const_new("font/"))
            .and(NotForContentType::const_new("multipart/"))
            .and(NotForContentType::const_new(exports::XLSX)),
    )
}

/// Responds to a request from another site.
fn cross_site(_: ProtectionError) -> Response {
    Problem::new(
        Code::CrossSite,
        "a browser may send this from the service's own pages only; a proxy must forward Host and Origin unchanged",
    )
    .into_response()
}

/// Responds for a handler that panicked.
fn panic_response(panic: Box<dyn std::any::Any + Send>) -> Response {
    let cause = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    Problem::internal(format!("panicked: {cause}")).into_response()
}

/// Allows scripts, styles and requests from the service only; no frames, plug-ins or inline code
/// but the import map of `static/shell.html`, by its hash.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; \
     script-src 'self' 'sha256-sH6G+7b09X/G/N7vNio8an2iiXhxTHKFXilUnXD+FaQ='; style-src 'self'; \
     img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; font-src 'self'; \
     manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'";

/// Headers that limit browsers to what the pages need.
const SECURITY_HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    (
        "permissions-policy",
        "camera=(self), microphone=(), geolocation=()",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Adds the security headers.
async fn security_headers(
    State(state): State<HttpState>,
    request: Request,
    next: Next,
) -> Response {
    let tls = Client::from_extensions(request.extensions()).tls;
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for &(name, value) in SECURITY_HEADERS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    if let (true, Some(age)) = (tls, state.settings.hsts)
        && let Ok(value) = HeaderValue::try_from(format!("max-age={}", age.as_secs()))
    {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    // Responses of the API are for this client and this moment.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_allows_the_import_map_of_the_shell_and_no_other_inline_script() {
        let shell = include_str!("../../static/shell.html");
        let (_, map) = shell.split_once("<script type=\"importmap\">").unwrap();
        let (map, rest) = map.split_once("</script>").unwrap();
        let hash = format!("'sha256-{}'", STANDARD.encode(Sha256::digest(map)));
        assert!(CONTENT_SECURITY_POLICY.contains(&hash), "{hash}");
        assert_eq!(CONTENT_SECURITY_POLICY.matches("'sha256-").count(), 1);
        let others = rest.matches("<script").count();
        assert_eq!(rest.matches("<script type=\"module\" src=").count(), others);
    }
}
