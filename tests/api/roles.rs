//! Each role and scope at each route, and what the documentation says of it.

use std::collections::BTreeMap;

use reqwest::Method;
use rollcall::domain::{
    accounts::Account,
    grants::{Access, Grant, Role, Scope, permissions_table},
    ids::SiteId,
};
use serde_json::{Value, json};

use crate::{
    app::{Answer, Client, TestApp},
    places::{Of, Places},
    records::leave_kind,
};

/// What a request is about: the kind of record whose ID is in the address, or a body.
#[derive(Clone, Copy)]
enum Target {
    /// No record, no body.
    Plain,
    /// A record.
    One(Of),
    /// The change of a record, to what it is.
    Change(Of),
    /// A body without the required fields.
    Empty,
    /// A new employee.
    NewEmployee,
    /// Rules of a site.
    NewRules,
    /// A new correction for an employee.
    NewCorrection,
    /// A new balance entry for an employee.
    NewBalanceEntry,
    /// A valid body about a record: an employee, a site or a timesheet.
    Body(Of, Write),
    /// A range of dates in the query.
    Range,
}

/// Returns a body about a record by its ID.
type Write = fn(&str) -> Value;

/// The kind of leave in bodies.
const KIND: &str = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c00aa";

const MANUAL: Write = |id| json!({ "employee": id, "reason": "The kiosk is broken" });
const BADGES: Write = |id| json!({ "employees": [id] });
const DAY_OFF: Write = |id| json!({ "employees": [id], "day": "2028-01-10", "shifts": [] });
const LEAVE: Write =
    |id| json!({ "employee": id, "kind": KIND, "from": "2028-01-10", "to": "2028-01-11" });
const ENTITLEMENT: Write = |id| json!({ "employee": id, "kind": KIND, "from": "2028-01-01", "to": "2028-12-31", "amount": 30.0 });
const SELF_ENROLLMENT: Write = |id| json!({ "employee": id, "enroll": true });
// The figures have another digest.
const APPROVAL: Write = |_| json!({ "digest": "none" });
const SHIFT: Write = |id| json!({ "site": id, "name": new_name(), "from": "06:00", "to": "14:00" });
const CYCLE: Write =
    |id| json!({ "site": id, "name": new_name(), "starts": "2028-01-03", "shifts": [null] });
const HOLIDAYS: Write = |id| json!({ "sites": [id], "name": new_name(), "days": [] });

fn new_name() -> String {
    uuid::Uuid::now_v7().to_string()
}

use Of::{
    ApprovedLeave, Assignment, BalanceEntry, Calendar, Camera, Correction, Credentials, Cycle,
    Device, Employee, Entitlement, Holidays, Leave, LeaveKind, Nothing, OpenInvitation,
    PayrollLayout, Punch, PunchPicture, RefusedPunch, Shift, Site, SiteRules, Timesheet,
    UnknownFace,
};
use Target::{
    Body, Change, Empty, NewBalanceEntry, NewCorrection, NewEmployee, NewRules, One, Plain, Range,
};

/// The answers to an admin, a manager, a manager of one site, a viewer of one site, an employee, a
/// device, and a client that is not signed in.
type Answers = [u16; 7];

/// Each route with the answers to a request about a record of another site and of another employee.
///
/// 415, and 422 from routes that no site limits, are answers to a body that is empty; 422 otherwise
/// means that a body is about a record that does not exist for the caller. 502 comes from a camera
/// that fails.
#[rustfmt::skip]
const ELSEWHERE: &[(&str, &str, Target, Answers)] = &[
    ("GET", "/api/session", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("GET", "/api/sessions", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("DELETE", "/api/sessions/{id}", One(Nothing), [404, 404, 404, 404, 404, 403, 401]),
    ("POST", "/api/session/confirm", Empty, [422, 422, 422, 422, 422, 403, 401]),
    ("DELETE", "/api/sessions", Plain, [204, 204, 204, 204, 204, 403, 401]),
    ("PATCH", "/api/account", Empty, [422, 422, 422, 422, 422, 403, 401]),
    ("PUT", "/api/account/password", Empty, [422, 422, 422, 422, 422, 403, 401]),
    ("GET", "/api/accounts", Plain, [200, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/accounts/{id}", One(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("PATCH", "/api/accounts/{id}", Change(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("DELETE", "/api/accounts/{id}", One(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/tokens", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("POST", "/api/tokens", Empty, [422, 422, 422, 422, 422, 403, 401]),
    ("DELETE", "/api/tokens/{id}", One(Nothing), [404, 404, 404, 404, 404, 403, 401]),
    ("GET", "/api/account/second-factor", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("POST", "/api/account/totp", Plain, [201, 201, 201, 201, 201, 403, 401]),
    ("POST", "/api/account/totp/confirm", Empty, [422, 422, 422, 422, 422, 403, 401]),
    ("DELETE", "/api/account/totp", Plain, [404, 404, 404, 404, 404, 403, 401]),
    ("POST", "/api/account/recovery-codes", Plain, [404, 404, 404, 404, 404, 403, 401]),
    // Browsers offer no passkeys at an IP address.
    ("POST", "/api/account/passkeys/begin", Plain, [409, 409, 409, 409, 409, 403, 401]),
    ("POST", "/api/account/passkeys", Empty, [422, 422, 422, 422, 422, 403, 401]),
    ("PATCH", "/api/account/passkeys/{id}", One(Nothing), [415, 415, 415, 415, 415, 403, 401]),
    ("DELETE", "/api/account/passkeys/{id}", One(Nothing), [404, 404, 404, 404, 404, 403, 401]),
    ("DELETE", "/api/accounts/{id}/second-factor", One(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("DELETE", "/api/accounts/{id}/identity", One(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/security-policy", Plain, [200, 403, 403, 403, 403, 403, 401]),
    ("PUT", "/api/security-policy", Empty, [422, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/accounts/{id}/password-reset", One(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/invitations", Plain, [200, 200, 200, 403, 403, 403, 401]),
    ("POST", "/api/invitations", Body(Employee, SELF_ENROLLMENT), [201, 201, 422, 403, 403, 403, 401]),
    ("DELETE", "/api/invitations/{id}", One(OpenInvitation), [204, 204, 404, 403, 403, 403, 401]),
    ("POST", "/api/invitations/{id}/resend", One(OpenInvitation), [200, 200, 404, 403, 403, 403, 401]),
    ("GET", "/api/status", Plain, [200, 200, 200, 200, 403, 403, 401]),
    ("GET", "/api/employees", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("POST", "/api/employees", NewEmployee, [201, 201, 422, 403, 403, 403, 401]),
    ("GET", "/api/employees/{id}", One(Employee), [200, 200, 404, 404, 404, 403, 401]),
    ("PATCH", "/api/employees/{id}", Change(Employee), [200, 200, 404, 403, 403, 403, 401]),
    ("DELETE", "/api/employees/{id}", One(Employee), [204, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/employees/{id}/templates", One(Employee), [200, 200, 404, 404, 404, 403, 401]),
    ("DELETE", "/api/employees/{id}/templates", One(Employee), [204, 403, 403, 403, 403, 403, 401]),
    ("DELETE", "/api/employees/{id}/templates/grown", One(Employee), [204, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/me", Plain, [404, 404, 404, 404, 200, 403, 401]),
    ("GET", "/api/me/days", Plain, [404, 404, 404, 404, 200, 403, 401]),
    ("GET", "/api/me/punches", Plain, [404, 404, 404, 404, 200, 403, 401]),
    ("GET", "/api/me/corrections", Plain, [404, 404, 404, 404, 200, 403, 401]),
    ("GET", "/api/me/leave", Plain, [404, 404, 404, 404, 200, 403, 401]),
    ("GET", "/api/me/faces", Plain, [404, 404, 404, 404, 200, 403, 401]),
    ("GET", "/api/me/consent", Plain, [404, 404, 404, 404, 200, 403, 401]),
    ("GET", "/api/me/export", Plain, [404, 404, 404, 404, 200, 403, 401]),
    ("GET", "/api/me/files/{kind}/{id}", One(Employee), [404, 404, 404, 404, 404, 403, 401]),
    ("PUT", "/api/me/pin", Empty, [404, 404, 404, 404, 422, 403, 401]),
    // There is none.
    ("DELETE", "/api/me/badge", Plain, [404, 404, 404, 404, 404, 403, 401]),
    ("POST", "/api/me/erasure-request", Plain, [404, 404, 404, 404, 200, 403, 401]),
    ("DELETE", "/api/me/erasure-request", Plain, [404, 404, 404, 404, 204, 403, 401]),
    ("DELETE", "/api/me/consent", Plain, [404, 404, 404, 404, 204, 403, 401]),
    ("GET", "/api/employees/{id}/credentials", One(Employee), [200, 200, 404, 404, 404, 403, 401]),
    ("GET", "/api/credentials", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("PUT", "/api/employees/{id}/pin", Change(Employee), [200, 200, 404, 403, 403, 403, 401]),
    ("DELETE", "/api/employees/{id}/pin", One(Credentials), [204, 204, 404, 403, 403, 403, 401]),
    ("POST", "/api/employees/{id}/pin/unlock", One(Credentials), [204, 204, 404, 403, 403, 403, 401]),
    ("POST", "/api/employees/{id}/badge", One(Employee), [201, 201, 404, 403, 403, 403, 401]),
    ("DELETE", "/api/employees/{id}/badge", One(Credentials), [204, 204, 404, 403, 403, 403, 401]),
    ("POST", "/api/badges/sheet", Body(Employee, BADGES), [200, 200, 422, 403, 403, 403, 401]),
    ("GET", "/api/consent", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("GET", "/api/enrollment-limit/lift", Plain, [200, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/enrollment-limit/lift", Plain, [200, 403, 403, 403, 403, 403, 401]),
    ("DELETE", "/api/enrollment-limit/lift", Plain, [204, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/enroll", Plain, [415, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/identify", Plain, [415, 415, 415, 403, 403, 415, 401]),
    ("POST", "/api/verify", Plain, [415, 415, 415, 403, 403, 415, 401]),
    ("GET", "/api/punches", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("POST", "/api/punches", Plain, [403, 403, 403, 403, 403, 415, 401]),
    ("POST", "/api/punches/pin", Empty, [403, 403, 403, 403, 403, 422, 401]),
    ("POST", "/api/punches/badge", Empty, [403, 403, 403, 403, 403, 422, 401]),
    // Another device made it.
    ("POST", "/api/punches/{id}/not-me", One(Punch), [403, 403, 403, 403, 403, 404, 401]),
    ("GET", "/api/punches/{id}", One(Punch), [200, 200, 404, 404, 404, 403, 401]),
    ("GET", "/api/punches/{id}/picture", One(PunchPicture), [200, 200, 404, 403, 403, 403, 401]),
    ("POST", "/api/punches/manual", Body(Employee, MANUAL), [201, 201, 404, 403, 403, 403, 401]),
    ("GET", "/api/days", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("GET", "/api/employees/{id}/days", One(Employee), [200, 200, 404, 404, 404, 403, 401]),
    ("GET", "/api/employees/{id}/balance-entries", One(Employee), [200, 200, 404, 404, 404, 403, 401]),
    ("POST", "/api/employees/{id}/balance-entries", NewBalanceEntry, [201, 201, 404, 403, 403, 403, 401]),
    ("DELETE", "/api/balance-entries/{id}", One(BalanceEntry), [204, 204, 404, 403, 403, 403, 401]),
    ("GET", "/api/notices", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("POST", "/api/employees/{id}/corrections", NewCorrection, [201, 201, 404, 403, 404, 403, 401]),
    ("GET", "/api/corrections", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("POST", "/api/corrections/{id}/approve", One(Correction), [200, 200, 404, 403, 403, 403, 401]),
    ("POST", "/api/corrections/{id}/reject", One(Correction), [200, 200, 404, 403, 403, 403, 401]),
    // An operator made it.
    ("POST", "/api/corrections/{id}/withdraw", One(Correction), [403, 403, 404, 403, 404, 403, 401]),
    ("GET", "/api/timesheets", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("GET", "/api/timesheets/{id}", One(Timesheet), [200, 200, 404, 404, 404, 403, 401]),
    ("POST", "/api/timesheets/{id}/submit", One(Timesheet), [200, 200, 404, 403, 404, 403, 401]),
    // The figures are others.
    ("POST", "/api/timesheets/{id}/approve", Body(Timesheet, APPROVAL), [409, 409, 404, 403, 403, 403, 401]),
    // It is not approved.
    ("POST", "/api/timesheets/{id}/lock", One(Timesheet), [409, 409, 404, 403, 403, 403, 401]),
    ("POST", "/api/timesheets/{id}/unlock", One(Timesheet), [409, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/refused-punches", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("POST", "/api/refused-punches/{id}/add", One(RefusedPunch), [415, 415, 415, 403, 403, 403, 401]),
    ("POST", "/api/refused-punches/{id}/dismiss", One(RefusedPunch), [204, 204, 404, 403, 403, 403, 401]),
    ("GET", "/api/unknown-faces", Plain, [200, 200, 200, 403, 403, 403, 401]),
    ("GET", "/api/unknown-faces/{id}/picture", One(UnknownFace), [200, 200, 404, 403, 403, 403, 401]),
    ("DELETE", "/api/unknown-faces/{id}", One(UnknownFace), [204, 204, 404, 403, 403, 403, 401]),
    ("GET", "/api/cameras", Plain, [200, 200, 200, 200, 403, 403, 401]),
    ("POST", "/api/cameras", Empty, [422, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/cameras/{id}", One(Camera), [200, 200, 404, 404, 403, 403, 401]),
    ("PATCH", "/api/cameras/{id}", Change(Camera), [200, 403, 403, 403, 403, 403, 401]),
    ("DELETE", "/api/cameras/{id}", One(Camera), [204, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/cameras/{id}/picture", One(Camera), [502, 502, 404, 404, 403, 403, 401]),
    ("GET", "/api/cameras/{id}/live", One(Camera), [502, 502, 404, 404, 403, 403, 401]),
    ("GET", "/api/cameras/{id}/faces", One(Camera), [200, 200, 404, 404, 403, 403, 401]),
    ("GET", "/api/camera-streams", Plain, [200, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/devices", Plain, [200, 200, 200, 200, 403, 403, 401]),
    ("POST", "/api/devices", Empty, [422, 403, 403, 403, 403, 403, 401]),
    ("PATCH", "/api/devices/{id}", Change(Device), [200, 403, 403, 403, 403, 403, 401]),
    ("DELETE", "/api/devices/{id}", One(Device), [204, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/devices/{id}/pair", Change(Device), [422, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/device/token", Plain, [403, 403, 403, 403, 403, 200, 401]),
    ("POST", "/api/device/status", Empty, [403, 403, 403, 403, 403, 422, 401]),
    ("POST", "/api/device/refused-punches", Plain, [403, 403, 403, 403, 403, 415, 401]),
    ("POST", "/api/device/person", Empty, [403, 403, 403, 403, 403, 422, 401]),
    ("POST", "/api/device/enrollments", Plain, [403, 403, 403, 403, 403, 415, 401]),
    ("POST", "/api/device/withdrawals", Empty, [403, 403, 403, 403, 403, 422, 401]),
    ("POST", "/api/pairings/look", Empty, [422, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/device", Plain, [403, 403, 403, 403, 403, 200, 401]),
    ("GET", "/api/sites", Plain, [200, 200, 200, 200, 403, 403, 401]),
    ("POST", "/api/sites", Empty, [422, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/sites/{id}", One(Site), [200, 200, 404, 404, 403, 403, 401]),
    ("PATCH", "/api/sites/{id}", Change(Site), [200, 403, 403, 403, 403, 403, 401]),
    // People belong to it.
    ("DELETE", "/api/sites/{id}", One(Site), [409, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/rule-presets", Plain, [200, 200, 200, 200, 403, 403, 401]),
    ("GET", "/api/sites/{id}/rules", One(Site), [200, 200, 404, 404, 403, 403, 401]),
    ("PUT", "/api/sites/{id}/rules/{date}", NewRules, [201, 200, 404, 403, 403, 403, 401]),
    ("DELETE", "/api/sites/{id}/rules/{date}", One(SiteRules), [204, 204, 404, 403, 403, 403, 401]),
    ("GET", "/api/shifts", Plain, [200, 200, 200, 200, 403, 403, 401]),
    ("POST", "/api/shifts", Body(Site, SHIFT), [201, 201, 422, 403, 403, 403, 401]),
    ("PATCH", "/api/shifts/{id}", Change(Shift), [200, 200, 404, 403, 403, 403, 401]),
    ("DELETE", "/api/shifts/{id}", One(Shift), [204, 204, 404, 403, 403, 403, 401]),
    ("GET", "/api/cycles", Plain, [200, 200, 200, 200, 403, 403, 401]),
    ("POST", "/api/cycles", Body(Site, CYCLE), [201, 201, 422, 403, 403, 403, 401]),
    ("PATCH", "/api/cycles/{id}", Change(Cycle), [200, 200, 404, 403, 403, 403, 401]),
    ("DELETE", "/api/cycles/{id}", One(Cycle), [204, 204, 404, 403, 403, 403, 401]),
    ("GET", "/api/assignments", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("POST", "/api/assignments", Body(Employee, DAY_OFF), [201, 201, 422, 403, 403, 403, 401]),
    ("DELETE", "/api/assignments/{id}", One(Assignment), [204, 204, 404, 403, 403, 403, 401]),
    ("GET", "/api/holidays", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("POST", "/api/holidays", Body(Site, HOLIDAYS), [201, 201, 422, 403, 403, 403, 401]),
    ("PATCH", "/api/holidays/{id}", Change(Holidays), [200, 200, 404, 403, 403, 403, 401]),
    ("DELETE", "/api/holidays/{id}", One(Holidays), [204, 204, 404, 403, 403, 403, 401]),
    ("GET", "/api/leave-kinds", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("POST", "/api/leave-kinds", Empty, [422, 403, 403, 403, 403, 403, 401]),
    ("PATCH", "/api/leave-kinds/{id}", Change(LeaveKind), [200, 403, 403, 403, 403, 403, 401]),
    ("DELETE", "/api/leave-kinds/{id}", One(LeaveKind), [204, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/leave", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("GET", "/api/entitlements", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("POST", "/api/entitlements", Body(Employee, ENTITLEMENT), [201, 201, 422, 403, 403, 403, 401]),
    ("PATCH", "/api/entitlements/{id}", Change(Entitlement), [200, 200, 404, 403, 403, 403, 401]),
    ("DELETE", "/api/entitlements/{id}", One(Entitlement), [204, 204, 404, 403, 403, 403, 401]),
    ("GET", "/api/employees/{id}/leave-balance", One(Employee), [200, 200, 404, 404, 404, 403, 401]),
    ("POST", "/api/leave", Body(Employee, LEAVE), [201, 201, 422, 403, 422, 403, 401]),
    ("POST", "/api/leave/{id}/approve", One(Leave), [200, 200, 404, 403, 403, 403, 401]),
    ("POST", "/api/leave/{id}/reject", One(Leave), [200, 200, 404, 403, 403, 403, 401]),
    ("POST", "/api/leave/{id}/withdraw", One(Leave), [200, 200, 404, 403, 404, 403, 401]),
    ("POST", "/api/leave/{id}/cancel", One(ApprovedLeave), [200, 200, 404, 403, 403, 403, 401]),
    ("GET", "/api/exports/{what}", Range, [200, 200, 200, 200, 200, 403, 401]),
    ("GET", "/api/exports/payroll", Range, [200, 200, 200, 200, 200, 403, 401]),
    ("GET", "/api/payroll-layout-examples", Plain, [200, 200, 200, 200, 403, 403, 401]),
    ("GET", "/api/payroll-layouts", Plain, [200, 200, 200, 200, 403, 403, 401]),
    ("POST", "/api/payroll-layouts", Empty, [422, 403, 403, 403, 403, 403, 401]),
    ("PATCH", "/api/payroll-layouts/{id}", Change(PayrollLayout), [200, 403, 403, 403, 403, 403, 401]),
    ("DELETE", "/api/payroll-layouts/{id}", One(PayrollLayout), [204, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/employees/{id}/calendar", One(Calendar), [200, 200, 404, 404, 404, 403, 401]),
    ("POST", "/api/employees/{id}/calendar", One(Employee), [201, 201, 404, 403, 404, 403, 401]),
    ("DELETE", "/api/employees/{id}/calendar", One(Calendar), [204, 204, 404, 403, 404, 403, 401]),
    ("POST", "/api/holidays/preview", Plain, [422, 422, 422, 403, 403, 403, 401]),
    // With the header that every request here has.
    ("GET", "/api/events", Plain, [422, 422, 422, 422, 422, 403, 401]),
    ("GET", "/api/account/mail", Plain, [200, 200, 200, 200, 200, 403, 401]),
    ("PUT", "/api/account/mail", Empty, [422, 422, 422, 422, 422, 403, 401]),
    ("GET", "/api/webhooks", Plain, [200, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/webhooks", Empty, [422, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/webhooks/{id}", One(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("PATCH", "/api/webhooks/{id}", Change(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("DELETE", "/api/webhooks/{id}", One(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/webhooks/{id}/rotate", One(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/webhooks/{id}/test", One(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/webhooks/{id}/replay", Change(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/webhooks/{id}/deliveries", One(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/deliveries/{id}/replay", One(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/redis", Plain, [200, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/audit", Plain, [200, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/jobs", Plain, [200, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/jobs", Empty, [422, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/jobs/{id}", One(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("DELETE", "/api/jobs/{id}", One(Nothing), [404, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/imports/{what}", Plain, [415, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/enrollments", Plain, [415, 403, 403, 403, 403, 403, 401]),
    ("POST", "/api/imports", Plain, [415, 403, 403, 403, 403, 403, 401]),
];

/// The answers to requests about a record of the caller's site, or of the caller, that differ.
#[rustfmt::skip]
const AT_HOME: &[(&str, &str, Answers)] = &[
    ("POST", "/api/employees", [201, 201, 201, 403, 403, 403, 401]),
    ("GET", "/api/employees/{id}", [200, 200, 200, 200, 200, 403, 401]),
    ("PATCH", "/api/employees/{id}", [200, 200, 200, 403, 403, 403, 401]),
    ("GET", "/api/employees/{id}/templates", [200, 200, 200, 200, 200, 403, 401]),
    ("GET", "/api/employees/{id}/credentials", [200, 200, 200, 200, 200, 403, 401]),
    ("PUT", "/api/employees/{id}/pin", [200, 200, 200, 403, 403, 403, 401]),
    ("DELETE", "/api/employees/{id}/pin", [204, 204, 204, 403, 403, 403, 401]),
    ("POST", "/api/employees/{id}/pin/unlock", [204, 204, 204, 403, 403, 403, 401]),
    ("POST", "/api/employees/{id}/badge", [201, 201, 201, 403, 403, 403, 401]),
    ("DELETE", "/api/employees/{id}/badge", [204, 204, 204, 403, 403, 403, 401]),
    ("GET", "/api/punches/{id}", [200, 200, 200, 200, 200, 403, 401]),
    ("GET", "/api/punches/{id}/picture", [200, 200, 200, 403, 403, 403, 401]),
    ("POST", "/api/invitations", [201, 201, 201, 403, 403, 403, 401]),
    ("POST", "/api/badges/sheet", [200, 200, 200, 403, 403, 403, 401]),
    ("POST", "/api/punches/manual", [201, 201, 201, 403, 403, 403, 401]),
    ("POST", "/api/timesheets/{id}/approve", [409, 409, 409, 403, 403, 403, 401]),
    ("POST", "/api/shifts", [201, 201, 201, 403, 403, 403, 401]),
    ("POST", "/api/cycles", [201, 201, 201, 403, 403, 403, 401]),
    ("POST", "/api/assignments", [201, 201, 201, 403, 403, 403, 401]),
    ("POST", "/api/holidays", [201, 201, 201, 403, 403, 403, 401]),
    ("POST", "/api/entitlements", [201, 201, 201, 403, 403, 403, 401]),
    ("POST", "/api/leave", [201, 201, 201, 403, 201, 403, 401]),
    ("DELETE", "/api/invitations/{id}", [204, 204, 204, 403, 403, 403, 401]),
    ("POST", "/api/invitations/{id}/resend", [200, 200, 200, 403, 403, 403, 401]),
    ("GET", "/api/employees/{id}/days", [200, 200, 200, 200, 200, 403, 401]),
    ("GET", "/api/employees/{id}/balance-entries", [200, 200, 200, 200, 200, 403, 401]),
    ("POST", "/api/employees/{id}/balance-entries", [201, 201, 201, 403, 403, 403, 401]),
    ("DELETE", "/api/balance-entries/{id}", [204, 204, 204, 403, 403, 403, 401]),
    ("POST", "/api/employees/{id}/corrections", [201, 201, 201, 403, 201, 403, 401]),
    ("POST", "/api/corrections/{id}/approve", [200, 200, 200, 403, 403, 403, 401]),
    ("POST", "/api/corrections/{id}/reject", [200, 200, 200, 403, 403, 403, 401]),
    ("POST", "/api/corrections/{id}/withdraw", [403, 403, 403, 403, 403, 403, 401]),
    ("GET", "/api/timesheets/{id}", [200, 200, 200, 200, 200, 403, 401]),
    ("POST", "/api/timesheets/{id}/submit", [200, 200, 200, 403, 200, 403, 401]),
    ("POST", "/api/timesheets/{id}/lock", [409, 409, 409, 403, 403, 403, 401]),
    ("POST", "/api/refused-punches/{id}/dismiss", [204, 204, 204, 403, 403, 403, 401]),
    ("GET", "/api/unknown-faces/{id}/picture", [200, 200, 200, 403, 403, 403, 401]),
    ("DELETE", "/api/unknown-faces/{id}", [204, 204, 204, 403, 403, 403, 401]),
    ("GET", "/api/cameras/{id}", [200, 200, 200, 200, 403, 403, 401]),
    ("GET", "/api/cameras/{id}/picture", [502, 502, 502, 502, 403, 403, 401]),
    ("GET", "/api/cameras/{id}/live", [502, 502, 502, 502, 403, 403, 401]),
    ("GET", "/api/cameras/{id}/faces", [200, 200, 200, 200, 403, 403, 401]),
    ("GET", "/api/sites/{id}", [200, 200, 200, 200, 403, 403, 401]),
    ("GET", "/api/sites/{id}/rules", [200, 200, 200, 200, 403, 403, 401]),
    ("PUT", "/api/sites/{id}/rules/{date}", [201, 200, 200, 403, 403, 403, 401]),
    ("DELETE", "/api/sites/{id}/rules/{date}", [204, 204, 204, 403, 403, 403, 401]),
    ("PATCH", "/api/shifts/{id}", [200, 200, 200, 403, 403, 403, 401]),
    ("DELETE", "/api/shifts/{id}", [204, 204, 204, 403, 403, 403, 401]),
    ("PATCH", "/api/cycles/{id}", [200, 200, 200, 403, 403, 403, 401]),
    ("DELETE", "/api/cycles/{id}", [204, 204, 204, 403, 403, 403, 401]),
    ("DELETE", "/api/assignments/{id}", [204, 204, 204, 403, 403, 403, 401]),
    ("PATCH", "/api/holidays/{id}", [200, 200, 200, 403, 403, 403, 401]),
    ("DELETE", "/api/holidays/{id}", [204, 204, 204, 403, 403, 403, 401]),
    ("PATCH", "/api/entitlements/{id}", [200, 200, 200, 403, 403, 403, 401]),
    ("DELETE", "/api/entitlements/{id}", [204, 204, 204, 403, 403, 403, 401]),
    ("GET", "/api/employees/{id}/leave-balance", [200, 200, 200, 200, 200, 403, 401]),
    ("GET", "/api/employees/{id}/calendar", [200, 200, 200, 200, 200, 403, 401]),
    ("POST", "/api/employees/{id}/calendar", [201, 201, 201, 403, 201, 403, 401]),
    ("DELETE", "/api/employees/{id}/calendar", [204, 204, 204, 403, 204, 403, 401]),
    ("POST", "/api/leave/{id}/approve", [200, 200, 200, 403, 403, 403, 401]),
    ("POST", "/api/leave/{id}/reject", [200, 200, 200, 403, 403, 403, 401]),
    ("POST", "/api/leave/{id}/withdraw", [200, 200, 200, 403, 200, 403, 401]),
    ("POST", "/api/leave/{id}/cancel", [200, 200, 200, 403, 403, 403, 401]),
];

/// What every client may use, with the answer to everybody. The secrets are in the requests: a
/// password, a token, a code.
#[rustfmt::skip]
const OPEN: &[(&str, &str, Target, u16)] = &[
    ("POST", "/api/session", Empty, 422),
    ("POST", "/api/session/second-factor", Empty, 422),
    ("GET", "/api/session/methods", Plain, 200),
    // There is no mail server.
    ("POST", "/api/password-resets", Body(Nothing, |_| json!({ "email": "ada@example.com" })), 409),
    // There is no provider.
    ("GET", "/api/session/oidc", Plain, 404),
    ("GET", "/api/session/oidc/callback", Plain, 404),
    // Browsers offer no passkeys at an IP address.
    ("POST", "/api/session/passkey/begin", Plain, 409),
    ("POST", "/api/session/passkey", Empty, 422),
    ("GET", "/api/setup", Plain, 200),
    ("POST", "/api/setup", Empty, 422),
    ("POST", "/api/invitations/look", Body(Nothing, |token| json!({ "token": token })), 410),
    ("POST", "/api/invitations/accept", Body(Nothing, |token| json!({ "token": token, "password": "a long pass phrase" })), 410),
    ("POST", "/api/invitations/enroll", Plain, 415),
    ("POST", "/api/pairings", Plain, 201),
    // A pairing has its own secret.
    ("GET", "/api/pairing", Plain, 401),
    ("GET", "/api/calendars/{file}", One(Nothing), 404),
    ("GET", "/healthz", Plain, 200),
    ("GET", "/readyz", Plain, 200),
    ("GET", "/metrics", Plain, 200),
    // Last, because it signs out.
    ("DELETE", "/api/session", Plain, 204),
];

/// Who asks, in the order of the answers.
const CALLERS: [&str; 7] = [
    "admin",
    "manager",
    "manager of a site",
    "viewer of a site",
    "employee",
    "device",
    "nobody",
];

async fn callers(app: &TestApp, places: &Places) -> [Client; 7] {
    [
        app.role(Role::Admin).await,
        app.role(Role::Manager).await,
        app.grant(Role::Manager, Scope::Site(places.home)).await,
        app.grant(Role::Viewer, Scope::Site(places.home)).await,
        app.employee(&places.own.to_string()).await,
        app.kiosk().await.client,
        app.anybody(),
    ]
}

/// What programs may not do, whatever their API token permits: it would give them more access, or
/// access for longer, or the person must have confirmed who they are. Methods, empty for all, with
/// the beginning of addresses; whole addresses, if they end with an ID.
const IN_PERSON: &[(&str, &str)] = &[
    ("", "/api/session"),
    ("", "/api/tokens"),
    ("", "/api/account"),
    ("", "/api/invitations"),
    ("", "/api/me"),
    ("", "/api/security-policy"),
    ("", "/api/webhooks"),
    ("", "/api/deliveries"),
    ("POST", "/api/devices"),
    ("DELETE", "/api/employees/{id}"),
    ("POST", "/api/employees/{id}/calendar"),
    ("POST", "/api/enrollment-limit"),
    ("DELETE", "/api/enrollment-limit"),
];

/// Returns whether only people may use a route.
fn in_person((method, path): (&str, &str)) -> bool {
    let mut rows = IN_PERSON.iter();
    rows.any(|(of, begin)| {
        let fits = match begin.ends_with('}') {
            true => path == *begin,
            false => path.starts_with(begin),
        };
        fits && (of.is_empty() || *of == method)
    })
}

/// Where the record of a request is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Where {
    Elsewhere,
    Home,
    /// It belongs to the employee of the account, who works elsewhere.
    Own,
}

/// The answers of a row to callers of the table: elsewhere, and at home.
struct Row<'a> {
    route: (&'a str, &'a str),
    elsewhere: &'a Answers,
    home: &'a Answers,
}

impl Row<'_> {
    /// Returns the answer to a caller of the table.
    fn answer(&self, caller: &str, place: Where) -> u16 {
        let number = CALLERS.iter().position(|one| *one == caller).unwrap();
        match place {
            Where::Elsewhere => self.elsewhere[number],
            Where::Home | Where::Own => self.home[number],
        }
    }

    /// Returns the answer to a viewer of everything: what a viewer of a site may do at all, the
    /// viewer may do as a manager of everything.
    fn viewer(&self, place: Where) -> u16 {
        match self.answer("viewer of a site", place) {
            403 => 403,
            _ => self.answer("manager", place),
        }
    }

    /// Returns the answer to a manager of a site who is also an employee elsewhere: of the own
    /// records, what an employee gets. The permissions of a manager do not cover them.
    fn linked_manager(&self, place: Where) -> u16 {
        if self.route.1.starts_with("/api/me") {
            return self.answer("employee", place);
        }
        // An employee without the permission is refused elsewhere, too.
        let may = self.answer("employee", Where::Elsewhere) != 403;
        match place {
            Where::Own if may => self.answer("employee", place),
            Where::Own => self.answer("manager of a site", Where::Elsewhere),
            Where::Home | Where::Elsewhere => self.answer("manager of a site", place),
        }
    }

    /// Returns the answer to a program whose API token has the permissions of a manager at a site.
    fn program_of_site(&self, place: Where) -> u16 {
        match in_person(self.route) {
            true => 403,
            false => self.answer("manager of a site", place),
        }
    }

    /// Returns the answer to a program whose API token has every permission of an admin.
    fn program_of_admin(&self, place: Where) -> u16 {
        match (in_person(self.route), self.answer("admin", place)) {
            (true, _) => 403,
            // The admin has put it there before.
            (false, 201) if self.route.0 == "PUT" => 200,
            (false, answer) => answer,
        }
    }
}

/// A caller whose answers follow from those of the table.
type Derived = (&'static str, fn(&Row<'_>, Where) -> u16);

/// The callers that are not in the table.
const DERIVED: [Derived; 4] = [
    ("viewer", |row, place| row.viewer(place)),
    ("linked manager", |row, place| row.linked_manager(place)),
    ("program of a site", |row, place| row.program_of_site(place)),
    ("program of an admin", |row, place| {
        row.program_of_admin(place)
    }),
];

async fn derived_callers(app: &TestApp, places: &Places) -> [Client; 4] {
    let linked = [
        (Role::Manager, Scope::Site(places.home)),
        (Role::Employee, Scope::Own),
    ];
    let linked = linked.map(|(role, scope)| Grant::new(role, scope).unwrap());
    let linked = Access::new(Some(places.own), linked).unwrap();
    let admin = app.admin().await;
    let token = |role: Role, sites: Value| {
        let words: Vec<_> = role.permissions().iter().map(|one| one.as_str()).collect();
        json!({ "name": "Program", "permissions": words, "sites": sites })
    };
    let home = json!([places.home.to_string()]);
    [
        app.role(Role::Viewer).await,
        app.access(linked).await,
        app.program(&admin, token(Role::Manager, home)).await,
        app.program(&admin, token(Role::Admin, Value::Null)).await,
    ]
}

/// Adds the record of a request; its ID.
async fn target(app: &TestApp, places: &Places, target: Target, place: Where) -> String {
    let site = if place == Where::Elsewhere {
        places.elsewhere
    } else {
        places.home
    };
    let own = place == Where::Own;
    match target {
        One(of) | Change(of) | Body(of, _) => places.add(app, of, site, own).await,
        NewRules => site.to_string(),
        NewCorrection | NewBalanceEntry => places.add(app, Employee, site, own).await,
        Plain | Empty | NewEmployee | Range => String::new(),
    }
}

/// Returns whether a request can be about a record of an employee.
fn can_be_own(target: Target) -> bool {
    match target {
        One(of) | Change(of) | Body(of, _) => matches!(
            of,
            Employee
                | Punch
                | PunchPicture
                | Calendar
                | Assignment
                | Leave
                | ApprovedLeave
                | BalanceEntry
                | Entitlement
                | Timesheet
                | Correction
        ),
        NewCorrection | NewBalanceEntry => true,
        Plain | Empty | NewEmployee | NewRules | Range => false,
    }
}

/// Sends the request of a row.
async fn send(
    client: &Client,
    (method, path, target): (&str, &str, Target),
    id: &str,
    site: SiteId,
) -> Answer {
    let method = Method::try_from(method).unwrap();
    let path = path.replace("{id}", id).replace("{date}", "2027-01-01");
    let layout = if path.ends_with("payroll") {
        "layout=sage"
    } else {
        "only=approved"
    };
    let path = match target {
        Range => path.replace("{what}", "days") + "?from=2026-03-02&to=2026-03-03&" + layout,
        _ => path.replace("{what}", "punches"),
    };
    let request = client.request(method, &path);
    // With this header a stream is refused before it begins.
    let request = request.header("last-event-id", "none");
    let request = match target {
        Plain | Range | One(_) => request,
        NewCorrection => request.json(&json!({
            "action": "add", "kind": "in", "at": "2026-03-02T08:00:00Z", "reason": "Forgot",
        })),
        NewBalanceEntry => request.json(&json!({
            "date": "2026-03-02", "kind": "manual", "seconds": 3600, "reason": "Old system",
        })),
        Change(_) | Empty => request.json(&json!({})),
        Body(_, body) => request.json(&body(id)),
        NewRules => request.json(&json!({ "rules": {} })),
        NewEmployee => {
            let code = uuid::Uuid::now_v7().to_string();
            request.json(&json!({ "name": "Ada", "code": code, "site": site.to_string() }))
        }
    };
    client.send(request).await
}

fn check(row: (&str, &str), caller: &str, answer: &Answer, expected: u16) {
    let (method, path) = row;
    assert_eq!(
        answer.status.as_u16(),
        expected,
        "{method} {path} by {caller}: {}",
        answer.text
    );
    match expected {
        401 => {
            answer.problem(401, "unauthenticated");
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
        403 => drop(answer.problem(403, "forbidden")),
        // What is not covered looks like something that does not exist.
        404 => drop(answer.problem(404, "not_found")),
        _ => {}
    }
}

#[tokio::test]
async fn every_role_and_scope_gets_in_exactly_where_it_may() {
    let app = TestApp::start().await;
    let places = Places::in_app(&app).await;
    let mut kind = leave_kind("Vacation");
    kind.id = KIND.parse().unwrap();
    app.stores.leave_kinds.insert(&kind).await.unwrap();
    let callers = callers(&app, &places).await;
    let others_places = places.with_another_employee(&app).await;
    let others = derived_callers(&app, &others_places).await;
    let at_home: BTreeMap<_, _> = AT_HOME.iter().map(|(m, p, a)| ((*m, *p), a)).collect();
    for (method, path, target, elsewhere) in ELSEWHERE {
        let home = at_home.get(&(*method, *path)).copied().unwrap_or(elsewhere);
        for (number, caller) in CALLERS.into_iter().enumerate() {
            for (site, expected) in [
                (places.elsewhere, elsewhere[number]),
                (places.home, home[number]),
            ] {
                let place = match (site == places.home, caller) {
                    (true, "employee") => Where::Own,
                    (true, _) => Where::Home,
                    (false, _) => Where::Elsewhere,
                };
                let id = self::target(&app, &places, *target, place).await;
                let answer = send(&callers[number], (method, path, *target), &id, site).await;
                check((method, path), caller, &answer, expected);
            }
        }
        let row = Row {
            route: (method, path),
            elsewhere,
            home,
        };
        for (client, (caller, expected)) in others.iter().zip(DERIVED) {
            let own = caller == "linked manager" && can_be_own(*target);
            let places_of_record = [Where::Elsewhere, Where::Home, Where::Own];
            for place in &places_of_record[..if own { 3 } else { 2 }] {
                let id = self::target(&app, &others_places, *target, *place).await;
                let site = if *place == Where::Elsewhere {
                    places.elsewhere
                } else {
                    places.home
                };
                let answer = send(client, (method, path, *target), &id, site).await;
                let caller = format!("{caller}, {place:?}");
                check((method, path), &caller, &answer, expected(&row, *place));
            }
        }
    }
}

#[tokio::test]
async fn open_routes_answer_everybody_alike() {
    let app = TestApp::start().await;
    let places = Places::in_app(&app).await;
    let callers = callers(&app, &places).await;
    for (method, path, target, expected) in OPEN {
        for (client, caller) in callers.iter().zip(CALLERS) {
            let id = self::target(&app, &places, *target, Where::Elsewhere).await;
            let row = (*method, &*path.replace("{file}", "{id}"), *target);
            let answer = send(client, row, &id, places.home).await;
            let status = answer.status.as_u16();
            assert_eq!(
                status, *expected,
                "{method} {path} by {caller}: {}",
                answer.text
            );
        }
    }
    callers[0].get("/api/session").await.expect(401);
}

/// What needs a proof of who the person is that is at most 15 minutes old.
const CONFIRMED: &[(&str, &str)] = &[
    ("DELETE", "/api/sessions/{id}"),
    ("DELETE", "/api/sessions"),
    ("PATCH", "/api/accounts/{id}"),
    ("DELETE", "/api/accounts/{id}"),
    ("DELETE", "/api/accounts/{id}/second-factor"),
    ("DELETE", "/api/accounts/{id}/identity"),
    ("POST", "/api/accounts/{id}/password-reset"),
    ("POST", "/api/tokens"),
    ("POST", "/api/account/totp"),
    ("DELETE", "/api/account/totp"),
    ("POST", "/api/account/recovery-codes"),
    ("POST", "/api/account/passkeys/begin"),
    ("DELETE", "/api/account/passkeys/{id}"),
    ("PUT", "/api/security-policy"),
    ("POST", "/api/invitations"),
    ("POST", "/api/invitations/{id}/resend"),
    ("DELETE", "/api/employees/{id}"),
    ("DELETE", "/api/employees/{id}/templates"),
    ("DELETE", "/api/employees/{id}/templates/grown"),
    ("GET", "/api/me/export"),
    ("GET", "/api/me/files/{kind}/{id}"),
    ("PUT", "/api/me/pin"),
    ("POST", "/api/devices"),
    ("POST", "/api/devices/{id}/pair"),
    ("DELETE", "/api/sites/{id}"),
    ("POST", "/api/webhooks"),
    ("PATCH", "/api/webhooks/{id}"),
    ("DELETE", "/api/webhooks/{id}"),
    ("POST", "/api/webhooks/{id}/rotate"),
    ("POST", "/api/webhooks/{id}/replay"),
    ("POST", "/api/deliveries/{id}/replay"),
];

#[tokio::test]
async fn sixteen_minutes_after_signing_in_exactly_these_need_a_confirmation() {
    let app = TestApp::start().await;
    let places = Places::in_app(&app).await;
    let (admin, employee) = (
        app.admin().await,
        app.employee(&places.own.to_string()).await,
    );
    app.clock.advance(jiff::SignedDuration::from_mins(16));
    for (method, path, target, _) in ELSEWHERE {
        let (client, place) = match path.starts_with("/api/me") {
            true => (&employee, Where::Own),
            false => (&admin, Where::Home),
        };
        let id = self::target(&app, &places, *target, place).await;
        let answer = send(client, (method, path, *target), &id, places.home).await;
        let refused = answer.json()["code"] == "confirmation_required";
        let expected = CONFIRMED.contains(&(*method, *path));
        assert_eq!(refused, expected, "{method} {path}: {}", answer.text);
    }
}

#[test]
fn the_table_holds_every_documented_route() {
    let document = serde_json::to_value(rollcall::http::document()).unwrap();
    let known = |method: &str, path: &str| {
        let mut rows = ELSEWHERE.iter();
        rows.any(|(m, p, ..)| (*m, *p) == (method, path)) || {
            let mut open = OPEN.iter();
            open.any(|(m, p, ..)| (*m, *p) == (method, path))
        }
    };
    let mut count = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            assert!(known(&method, path), "{method} {path} is not in the table");
            let mut open = OPEN.iter();
            if open.any(|(m, p, ..)| (*m, *p) == (&*method, path)) {
                let security = operation["security"].to_string();
                assert!(!security.contains("session"), "{method} {path}: {security}");
            }
            count += 1;
        }
    }
    assert_eq!(count, ELSEWHERE.len() + OPEN.len());
    for (method, path, _) in AT_HOME {
        assert!(known(method, path), "{method} {path}");
    }
}

#[test]
fn the_documentation_has_the_table_of_permissions() {
    let text = std::fs::read_to_string(crate::app::project("docs/SECURITY.md")).unwrap();
    let (_, table) = text
        .split_once("<!-- permissions: generated -->\n")
        .unwrap();
    let (table, _) = table.split_once("<!-- /permissions -->").unwrap();
    let expected = permissions_table();
    assert_eq!(
        table, expected,
        "put this into docs/SECURITY.md:\n{expected}"
    );
}

#[tokio::test]
async fn a_session_says_what_the_account_may_do() {
    let app = TestApp::start().await;
    let places = Places::in_app(&app).await;
    let [_, manager, of_site, _, employee, ..] = callers(&app, &places).await;
    let account = async |client: &Client| {
        let session = client.get("/api/session").await.expect(200);
        session["account"].clone()
    };
    let everywhere = account(&manager).await;
    let permissions = json!([
        "read", "survey", "correct", "request", "invite", "identify", "look"
    ]);
    assert_eq!(everywhere["permissions"], permissions);
    let grant =
        json!([{ "role": "manager", "scope": "everything", "site": null, "site_name": null }]);
    assert_eq!(everywhere["grants"], grant);
    assert_eq!(
        (&everywhere["employee"], &everywhere["employee_name"]),
        (&Value::Null, &Value::Null)
    );

    let of_site = account(&of_site).await;
    assert_eq!(of_site["permissions"], permissions);
    let home = places.home.to_string();
    let grant =
        json!([{ "role": "manager", "scope": "site", "site": home, "site_name": "Harbor" }]);
    assert_eq!(of_site["grants"], grant);

    let employee = account(&employee).await;
    assert_eq!(employee["permissions"], json!(["read", "request"]));
    let grant = json!([{ "role": "employee", "scope": "own", "site": null, "site_name": null }]);
    assert_eq!(employee["grants"], grant);
    assert_eq!(employee["employee"], places.own.to_string());
    assert_eq!(employee["employee_name"], "Own");
}

#[tokio::test]
async fn a_disabled_account_loses_access_immediately() {
    let app = TestApp::start().await;
    let viewer = app.role(Role::Viewer).await;
    viewer.get("/api/status").await.expect(200);
    let email = "viewer0@example.com";
    let email = rollcall::domain::text::Email::parse(email).unwrap();
    let account = app
        .stores
        .accounts
        .find_by_email(&email)
        .await
        .unwrap()
        .unwrap();
    let disabled = |account| Account {
        active: false,
        ..account
    };
    let changed = app.stores.accounts.change(account.id, disabled).await;
    assert!(changed.unwrap().is_some());
    viewer
        .get("/api/status")
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn only_a_bearer_token_of_a_device_counts() {
    let app = TestApp::start().await;
    for value in [
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer nonsense",
        "nonsense",
        "Bearer \u{1}",
    ] {
        let Ok(value) = reqwest::header::HeaderValue::from_str(value) else {
            continue;
        };
        let anybody = app.anybody();
        let request = anybody
            .request(Method::GET, "/api/device")
            .header("authorization", value);
        anybody.send(request).await.problem(401, "unauthenticated");
    }
    // A valid cookie does not make up for an invalid token.
    let admin = app.admin().await.bearer("nonsense");
    admin
        .get("/api/status")
        .await
        .problem(401, "unauthenticated");
}
