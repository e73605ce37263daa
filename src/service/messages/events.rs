//! What happened, as messages report it: from punches, and from what the audit trail points at.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::{
    domain::{
        attendance::{
            Correction, Decision, Progress, Punch, RequestedCorrection, Timesheet, TimesheetId,
        },
        audit::AuditEntry,
        devices::{Device, DeviceReport},
        employees::Employee,
        ids::{CorrectionId, EmployeeId, LeaveId, SiteId},
        messages::{Topic, Webhook},
        plans::{Leave, LeaveState},
        record::Record,
    },
    ports::StoreError,
    repositories::Repositories,
    service::{sites::SiteMap, workdays::OVERDUE},
};

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    /// What identifies it: the same whenever and wherever it is found.
    pub key: String,
    pub topic: Topic,
    pub at: Timestamp,
    /// The order among what happened to the subject at the same moment.
    pub sequence: u64,
    pub subject: Subject,
    pub site: SiteId,
    /// What else a message says.
    pub data: Map<String, Value>,
}

/// The person or thing to which something happened. Messages about one arrive in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Subject {
    Employee(Box<Employee>),
    Device(Box<Device>),
}

impl Subject {
    /// Returns the lane of the messages about it.
    pub fn lane(&self) -> String {
        match self {
            Self::Employee(employee) => employee.id.to_string(),
            Self::Device(device) => format!("device:{}", device.id),
        }
    }

    /// Returns the ID of the employee; `None` for a device.
    pub fn employee(&self) -> Option<EmployeeId> {
        match self {
            Self::Employee(employee) => Some(employee.id),
            Self::Device(_) => None,
        }
    }
}

impl From<Employee> for Subject {
    fn from(employee: Employee) -> Self {
        Self::Employee(Box::new(employee))
    }
}

impl Event {
    /// Returns the body of the message to a webhook.
    pub fn body(&self, webhook: &Webhook, sites: &SiteMap) -> String {
        let mut data = Map::new();
        match &self.subject {
            Subject::Employee(employee) => {
                let mut shown = json!({ "id": employee.id, "code": employee.code });
                if webhook.settings.with_names {
                    shown["name"] = employee.name.as_str().into();
                }
                data.insert("employee".to_owned(), shown);
            }
            Subject::Device(device) => {
                let shown = json!({ "id": device.id, "name": device.name });
                data.insert("device".to_owned(), shown);
            }
        }
        let site = json!({ "id": self.site, "name": sites.name(self.site) });
        data.insert("site".to_owned(), site);
        data.extend(self.data.clone());
        body(self.topic.as_str(), self.at, &data.into())
    }
}

/// Returns the body of a message.
pub(super) fn body(topic: &str, at: Timestamp, data: &Value) -> String {
    json!({ "type": topic, "timestamp": format!("{at:.3}"), "data": data }).to_string()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Returns the event of a punch.
pub(super) fn of_punch(punch: &Punch, employee: Employee) -> Event {
    let mut data = object(json!({
        "punch": punch.id,
        "kind": punch.kind.as_str(),
        "at": time(punch.at),
        "recorded_at": time(punch.recorded_at),
        "workday": punch.workday,
        "proof": punch.proof.as_str(),
        "origin": { "kind": punch.origin.as_str(), "id": punch.origin.uuid() },
        "sequence": punch.sequence,
    }));
    if punch.doubt.is_some() {
        data.insert("counts".to_owned(), false.into());
    }
    Event {
        key: format!("punch:{}", punch.id),
        topic: Topic::PunchCreated,
        at: punch.recorded_at,
        sequence: punch.sequence,
        subject: employee.into(),
        site: punch.site,
        data,
    }
}

/// Returns the event of an employee who has not punched out.
pub(super) fn of_missing_out(
    employee: Employee,
    day: jiff::civil::Date,
    ended: Timestamp,
) -> Event {
    Event {
        key: format!("missing_out:{}:{day}", employee.id),
        topic: Topic::ExceptionFound,
        at: ended.saturating_add(OVERDUE).unwrap_or(ended),
        sequence: 0,
        site: employee.site,
        subject: employee.into(),
        data: object(json!({
            "exception": "missing_out",
            "workday": day,
            "shift_ended": time(ended),
        })),
    }
}

/// Returns the event of a kiosk that fell silent after its last report.
pub(super) fn of_silent_device(device: Device, report: &DeviceReport) -> Event {
    let silent_at = report.seen_at.saturating_add(DeviceReport::SILENT);
    Event {
        key: format!("device.silent:{}:{}", device.id, report.seen_at),
        topic: Topic::DeviceSilent,
        at: silent_at.unwrap_or(report.seen_at),
        sequence: 0,
        site: device.site,
        subject: Subject::Device(Box::new(device)),
        data: object(json!({ "seen_at": time(report.seen_at) })),
    }
}

/// Returns the event of a kiosk that reports again after it was silent since a moment.
pub(super) fn of_device_back(device: Device, report: &DeviceReport, silent: Timestamp) -> Event {
    Event {
        key: format!("device.back:{}:{silent}", device.id),
        topic: Topic::DeviceBack,
        at: report.seen_at,
        sequence: 0,
        site: device.site,
        subject: Subject::Device(Box::new(device)),
        data: object(json!({ "seen_at": time(report.seen_at), "silent_since": time(silent) })),
    }
}

/// How long after its entry in the audit trail a change may be made.
pub(super) const SETTLES: SignedDuration = SignedDuration::from_mins(5);

/// Checks whether an action in the audit trail may become messages. The punches of an imported list
/// do not: it may have years of them.
pub(super) fn is_reported(action: &str) -> bool {
    match action.split_once('.') {
        Some(("templates", verb)) => matches!(verb, "enroll" | "delete"),
        Some(("employee", verb)) => verb == "delete",
        Some(("correction", verb)) => verb != "import",
        Some(("timesheet" | "leave", _)) => true,
        _ => false,
    }
}

/// The entries about the same subject before and after an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Near {
    /// When the same actor did the same before.
    pub before: Option<Timestamp>,
    /// When the next entry followed.
    pub next: Option<Timestamp>,
}

/// Checks whether an action is about the face of an employee. Its subject is the employee, as that
/// of actions about leave.
pub(super) fn is_about_face(action: &str) -> bool {
    action.starts_with("templates.") || action == "employee.delete"
}

/// Finds what happened from entries of the audit trail. An entry is written before its change, so
/// it only says where to look; the record says what happened.
#[derive(derive_new::new)]
pub(super) struct Finder<'a> {
    stores: &'a Repositories,
    #[new(default)]
    employees: HashMap<EmployeeId, Option<Employee>>,
}

impl<'a> Finder<'a> {
    /// Returns an employee, deleted or not; `None` if the record does not exist.
    pub async fn employee(&mut self, id: EmployeeId) -> Result<Option<Employee>, StoreError> {
        if let Some(known) = self.employees.get(&id) {
            return Ok(known.clone());
        }
        let found = self.stores.employees.find(id).await?;
        self.employees.insert(id, found.clone());
        Ok(found)
    }

    /// Reads employees before they are asked for.
    pub async fn load(&mut self, ids: impl Iterator<Item = EmployeeId>) -> Result<(), StoreError> {
        let mut ids: Vec<_> = ids.filter(|id| !self.employees.contains_key(id)).collect();
        ids.sort_unstable();
        ids.dedup();
        let found = self.stores.employees.find_many(&ids).await?;
        let found = found.into_iter().map(|one| (one.id, Some(one)));
        self.employees.extend(found);
        Ok(())
    }

    /// Returns what happened; `None` if nothing did yet.
    pub async fn find(
        &mut self,
        entry: &AuditEntry,
        near: Near,
    ) -> Result<Option<Vec<Event>>, StoreError> {
        let (subject, verb) = entry.action.split_once('.').unwrap_or_default();
        match subject {
            "templates" | "employee" => self.enrollment(entry, near).await,
            "correction" => self.correction(entry, verb).await,
            "timesheet" => self.timesheet(entry, verb, near).await,
            "leave" => self.leave(entry, verb).await,
            _ => Ok(Some(Vec::new())),
        }
    }

    async fn enrollment(
        &mut self,
        entry: &AuditEntry,
        near: Near,
    ) -> Result<Option<Vec<Event>>, StoreError> {
        let Ok(id) = entry.subject.parse::<EmployeeId>() else {
            return Ok(Some(Vec::new()));
        };
        let found = self.stores.faces.find(id).await?;
        let changed = found.filter(|found| found.changed_at >= entry.at);
        let (Some(found), Some(employee)) = (changed, self.employee(id).await?) else {
            return Ok(None);
        };
        // What followed has changed it again, and becomes the message.
        if near.next.is_some_and(|next| found.changed_at >= next) {
            return Ok(Some(Vec::new()));
        }
        Ok(Some(vec![Event {
            key: format!("audit:{}", entry.id),
            topic: Topic::EnrollmentChanged,
            at: entry.at,
            sequence: 0,
            site: employee.site,
            subject: employee.into(),
            data: object(json!({ "enrolled": found.face.is_some() })),
        }]))
    }

    async fn sheet(&mut self, text: &str) -> Result<Option<(Timesheet, Employee)>, StoreError> {
        let Ok(id) = text.parse::<TimesheetId>() else {
            return Ok(None);
        };
        let sheet = self.stores.timesheets.find(id).await?;
        let employee = self.employee(id.employee).await?;
        Ok(sheet.zip(employee))
    }

    async fn correction(
        &mut self,
        entry: &AuditEntry,
        verb: &str,
    ) -> Result<Option<Vec<Event>>, StoreError> {
        let id = entry
            .detail
            .as_deref()
            .and_then(|text| text.split(':').next());
        let id = id.and_then(|id| id.parse::<CorrectionId>().ok());
        let Some((sheet, employee)) = self.sheet(&entry.subject).await? else {
            return Ok(None);
        };
        let Some(one) = id.and_then(|id| sheet.correction(id)) else {
            return Ok(None);
        };
        let decided = one.decision.at();
        let event =
            |topic, state: &str, at| correction_event(&sheet, &employee, one, topic, state, at);
        let corrected = |at| event(Topic::PunchCorrected, "approved", at);
        Ok(match (verb, decided) {
            ("request" | "not_me", _) => Some(vec![event(
                Topic::CorrectionFiled,
                "requested",
                one.made_at,
            )]),
            ("make", Some(at)) => Some(vec![
                event(Topic::CorrectionFiled, "approved", one.made_at),
                corrected(at),
            ]),
            ("approve" | "reject" | "withdraw", Some(at)) => {
                let state = one.decision.as_str();
                let mut found = vec![event(Topic::CorrectionDecided, state, at)];
                if matches!(one.decision, Decision::Approved { .. }) {
                    found.push(corrected(at));
                }
                Some(found)
            }
            _ => None,
        })
    }

    async fn timesheet(
        &mut self,
        entry: &AuditEntry,
        verb: &str,
        near: Near,
    ) -> Result<Option<Vec<Event>>, StoreError> {
        let (topic, state) = match verb {
            "submit" => (Topic::TimesheetSubmitted, "submitted"),
            "approve" => (Topic::TimesheetApproved, "approved"),
            "lock" => (Topic::TimesheetLocked, "locked"),
            "unlock" => (Topic::TimesheetReopened, "open"),
            _ => return Ok(Some(Vec::new())),
        };
        let Some((sheet, employee)) = self.sheet(&entry.subject).await? else {
            return Ok(None);
        };
        let reached = match (&sheet.progress, topic) {
            (Progress::Open, topic) => topic == Topic::TimesheetReopened,
            (Progress::Submitted { .. }, topic) => topic == Topic::TimesheetSubmitted,
            (Progress::Approved { .. }, topic) => {
                matches!(topic, Topic::TimesheetSubmitted | Topic::TimesheetApproved)
            }
            (Progress::Locked { .. }, topic) => topic != Topic::TimesheetReopened,
        };
        // The record says who brought it into its state, and when: of two requests at once, one did.
        let made = match (&sheet.progress, topic) {
            (Progress::Submitted { by, at }, Topic::TimesheetSubmitted) => Some((by, at)),
            (
                Progress::Approved { approval } | Progress::Locked { approval, .. },
                Topic::TimesheetApproved,
            ) => Some((&approval.by, &approval.at)),
            (Progress::Locked { by, at, .. }, Topic::TimesheetLocked) => Some((by, at)),
            _ => None,
        };
        let happened = match made {
            Some((by, at)) => {
                entry.actor == *by && entry.at >= *at && near.before.is_none_or(|one| one < *at)
            }
            // What came later may have opened it again.
            None => reached || near.next.is_some(),
        };
        if !happened {
            return Ok(None);
        }
        Ok(Some(vec![Event {
            key: format!("audit:{}", entry.id),
            topic,
            at: entry.at,
            sequence: 0,
            site: employee.site,
            data: object(json!({
                "timesheet": sheet.id().to_string(),
                "from": sheet.from,
                "to": sheet.to,
                "state": state,
            })),
            subject: employee.into(),
        }]))
    }

    async fn leave(
        &mut self,
        entry: &AuditEntry,
        verb: &str,
    ) -> Result<Option<Vec<Event>>, StoreError> {
        let id = entry
            .detail
            .as_deref()
            .and_then(|text| text.strip_prefix("leave "));
        let id = id.and_then(|text| text.split(',').next());
        let Some(id) = id.and_then(|id| id.parse::<LeaveId>().ok()) else {
            return Ok(Some(Vec::new()));
        };
        let Some(leave) = self.stores.leave.find(id).await? else {
            return Ok(None);
        };
        let Some(employee) = self.employee(leave.employee).await? else {
            return Ok(None);
        };
        use LeaveState::{Approved, Cancelled, Rejected, Requested, Withdrawn};
        let (state, reached) = match verb {
            "request" => (Requested, true),
            "enter" | "approve" => (Approved, matches!(leave.state, Approved | Cancelled)),
            "reject" => (Rejected, leave.state == Rejected),
            "withdraw" => (Withdrawn, leave.state == Withdrawn),
            "cancel" => (Cancelled, leave.state == Cancelled),
            _ => return Ok(Some(Vec::new())),
        };
        Ok(reached.then(|| vec![leave_event(&leave, employee, state, entry.at)]))
    }
}

fn correction_event(
    sheet: &Timesheet,
    employee: &Employee,
    one: &RequestedCorrection,
    topic: Topic,
    state: &str,
    at: Timestamp,
) -> Event {
    let change = match one.change {
        Correction::Add(punch) => json!({
            "action": "add", "punch": punch.id, "kind": punch.kind.as_str(), "at": time(punch.at),
        }),
        Correction::Void { punch } => json!({ "action": "void", "punch": punch }),
        Correction::Move { punch, at } => {
            json!({ "action": "move", "punch": punch, "at": time(at) })
        }
    };
    Event {
        key: format!("correction:{}:{}:{state}", one.id, topic.as_str()),
        topic,
        at,
        // What is decided and what is corrected at once happens at the same moment.
        sequence: match topic {
            Topic::CorrectionFiled => 0,
            Topic::CorrectionDecided => 1,
            _ => 2,
        },
        subject: employee.clone().into(),
        site: employee.site,
        data: object(json!({
            "correction": format!("{}:{}", sheet.id(), one.id),
            "change": change,
            "state": state,
        })),
    }
}

fn leave_event(leave: &Leave, employee: Employee, state: LeaveState, at: Timestamp) -> Event {
    let topic = match state {
        LeaveState::Requested => Topic::LeaveRequested,
        _ => Topic::LeaveDecided,
    };
    Event {
        key: format!("leave:{}:{}", leave.id, state.as_str()),
        topic,
        at,
        sequence: 0,
        site: employee.site,
        subject: employee.into(),
        data: object(json!({
            "leave": leave.id,
            "leave_kind": leave.kind,
            "from": leave.from,
            "to": leave.to,
            "state": state.as_str(),
        })),
    }
}
