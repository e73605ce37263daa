//! Records at two sites, for tests of who may see which.

use std::sync::atomic::{AtomicU64, Ordering};

use rollcall::{
    clock::Clock,
    domain::{
        attendance::{CorrectionPath, DateRange, Timesheet},
        balances::BalanceKind,
        ids::{DeviceId, EmployeeId, SiteId},
        pictures::{Picture, Pictured},
        plans::{Assigned, LeaveState},
        record::Record,
        text::Code,
    },
    ports::StoreError,
};
use uuid::Uuid;

use crate::{
    app::{
        TestApp,
        streams::{Does, fault},
        vault,
    },
    records::{
        assignment, balance_entry, calendar_address, camera, correction, cycle, device, device_id,
        employee, entitlement, holidays, invitation, leave, leave_kind, payroll_layout, picture,
        punch, punch_credential, refused_punch, shift, site, site_rules,
    },
};

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// None: an ID that no record has.
    Nothing,
    Employee,
    Punch,
    /// A punch that has a picture.
    PunchPicture,
    UnknownFace,
    Camera,
    Device,
    Site,
    /// A site with rules from 2027-01-01 on.
    SiteRules,
    Shift,
    Cycle,
    Assignment,
    Holidays,
    LeaveKind,
    /// Leave that is requested.
    Leave,
    PayrollLayout,
    /// An employee with the address of a calendar.
    Calendar,
    /// An employee with a PIN and a badge.
    Credentials,
    /// Leave that is approved.
    ApprovedLeave,
    /// The timesheet of an employee, of a period that is over.
    Timesheet,
    /// A correction that an operator requested.
    Correction,
    BalanceEntry,
    Entitlement,
    /// An invitation of an employee.
    OpenInvitation,
    /// A refused punch that waits; of the employee, if it is their own.
    RefusedPunch,
}

/// Two sites, and an employee of the second one.
pub struct Places {
    pub home: SiteId,
    pub elsewhere: SiteId,
    /// An employee who works elsewhere, so that only their own reach covers them.
    pub own: EmployeeId,
    made: AtomicU64,
}

impl Places {
    /// Adds the sites and the employee to an app.
    pub async fn in_app(app: &TestApp) -> Self {
        let (home, elsewhere) = (site("Harbor"), site("Yard"));
        for site in [&home, &elsewhere] {
            app.stores.sites.insert(site).await.unwrap();
        }
        let mut own = employee("Own", "own");
        own.settings.site = elsewhere.id;
        app.stores.employees.insert(&own).await.unwrap();
        Self {
            home: home.id,
            elsewhere: elsewhere.id,
            own: own.id,
            made: AtomicU64::new(1),
        }
    }

    /// The same sites, with another employee of the second one.
    pub async fn with_another_employee(&self, app: &TestApp) -> Self {
        let mut own = employee("Other", "other");
        own.settings.site = self.elsewhere;
        app.stores.employees.insert(&own).await.unwrap();
        Self {
            home: self.home,
            elsewhere: self.elsewhere,
            own: own.id,
            // Beyond the numbers of the first.
            made: AtomicU64::new(1 << 20),
        }
    }

    /// Adds a record of a kind at a site; its ID. A record that an employee can own is of `own` if
    /// that is wanted, and then it is elsewhere.
    pub async fn add(&self, app: &TestApp, of: Of, at: SiteId, own: bool) -> String {
        let (number, stores) = (self.made.fetch_add(1, Ordering::SeqCst), &app.stores);
        let whose = match own {
            true => self.own,
            false => EmployeeId::new(Uuid::now_v7()),
        };
        let place = if own { self.elsewhere } else { at };
        match of {
            Of::Nothing => Uuid::now_v7().to_string(),
            Of::Employee if own => self.own.to_string(),
            Of::Employee => {
                let mut one = employee("Ann", "code");
                one.settings.code = Code::parse(&format!("E{number}")).unwrap();
                one.settings.site = at;
                stores.employees.insert(&one).await.unwrap();
                one.id.to_string()
            }
            Of::Punch | Of::PunchPicture => {
                let mut one = punch(whose, device_id(), number, number as i64);
                one.site = place;
                stores.punches.append(&one).await.unwrap();
                if of == Of::PunchPicture {
                    let of = Pictured::Punch {
                        punch: one.id,
                        employee: whose,
                    };
                    self.keep(app, of, place, number).await;
                }
                one.id.to_string()
            }
            Of::UnknownFace => {
                let kept = self.keep(app, Pictured::Unknown, at, number).await;
                kept.id.to_string()
            }
            Of::Camera => {
                let stream = format!("stream{number}");
                let failing = fault(rollcall::domain::cameras::StreamFault::Refused, "broken");
                app.streams.has(&stream, Does::Fails(failing));
                let mut one = camera(&stream);
                one.site = at;
                stores.cameras.insert(&one).await.unwrap();
                one.id.to_string()
            }
            Of::Device => {
                let mut one = device("Door", 0);
                one.token.0[..8].copy_from_slice(&number.to_be_bytes());
                one.site = at;
                stores.devices.insert(&one).await.unwrap();
                one.id.to_string()
            }
            Of::Site => at.to_string(),
            Of::SiteRules => {
                let mut rules = site_rules(at);
                rules.from = jiff::civil::date(2027, 1, 1);
                // Another request may have left them.
                let _ = stores.site_rules.insert(&rules).await;
                at.to_string()
            }
            Of::Shift => {
                let one = shift(at, &format!("Shift {number}"), "06:00", "14:00");
                stores.shift_kinds.insert(&one).await.unwrap();
                one.id.to_string()
            }
            Of::Cycle => {
                let one = cycle(at, &format!("Cycle {number}"), &[None]);
                stores.cycles.insert(&one).await.unwrap();
                one.id.to_string()
            }
            Of::Holidays => {
                let one = holidays(&format!("Holidays {number}"), &[at]);
                stores.holiday_calendars.insert(&one).await.unwrap();
                one.id.to_string()
            }
            Of::LeaveKind => {
                let one = leave_kind(&format!("Leave {number}"));
                stores.leave_kinds.insert(&one).await.unwrap();
                one.id.to_string()
            }
            Of::PayrollLayout => {
                let one = payroll_layout(&format!("Layout {number}"));
                stores.payroll_layouts.insert(&one).await.unwrap();
                one.id.to_string()
            }
            Of::Calendar => {
                let person = Box::pin(self.add(app, Of::Employee, at, own)).await;
                let mut one = calendar_address(person.parse().unwrap(), 0);
                one.token.0[..8].copy_from_slice(&number.to_be_bytes());
                stores.calendars.put(&one).await.unwrap();
                person
            }
            Of::Credentials => {
                let person = Box::pin(self.add(app, Of::Employee, at, own)).await;
                let mut one = punch_credential(person.parse().unwrap(), 0);
                let badge = one.badge.as_mut().unwrap();
                badge.badge_hash.0[..8].copy_from_slice(&number.to_be_bytes());
                let credentials = &stores.punch_credentials;
                let put = credentials.change(one.employee, app.clock.now(), |_| Some(one.clone()));
                put.await.unwrap();
                person
            }
            Of::OpenInvitation => {
                let person = Box::pin(self.add(app, Of::Employee, at, own)).await;
                let mut one = invitation(person.parse().unwrap(), 0);
                one.token.0[..8].copy_from_slice(&number.to_be_bytes());
                stores.invitations.insert(&one).await.unwrap();
                one.id.to_string()
            }
            Of::RefusedPunch => {
                let person = own.then_some(self.own);
                let kiosk = DeviceId::new(Uuid::now_v7());
                let mut one = refused_punch(kiosk, person, number as i64);
                one.site = at;
                stores.refused_punches.insert(&one).await.unwrap();
                one.id.to_string()
            }
            Of::Assignment | Of::Leave | Of::ApprovedLeave | Of::BalanceEntry | Of::Entitlement => {
                let person = Box::pin(self.add(app, Of::Employee, at, own)).await;
                let person = person.parse().unwrap();
                if of == Of::Assignment {
                    let day = jiff::civil::date(2027, 1, 4);
                    let shifts = Vec::new();
                    let one = assignment(person, Assigned::Day { day, shifts }, number as i64);
                    stores.assignments.insert(&one).await.unwrap();
                    return one.id.to_string();
                }
                if of == Of::Entitlement {
                    let one = entitlement(person, Uuid::now_v7().into(), 2027);
                    stores.entitlements.insert(&one).await.unwrap();
                    return one.id.to_string();
                }
                if of == Of::BalanceEntry {
                    let (date, kind) = (jiff::civil::date(2027, 1, 4), BalanceKind::Manual);
                    let one = balance_entry(person, date, kind, number as i64);
                    stores.balance_entries.insert(&one).await.unwrap();
                    return one.id.to_string();
                }
                let mut one = leave(person, jiff::civil::date(2027, 1, 4), number as i64);
                if of == Of::ApprovedLeave {
                    one.state = LeaveState::Approved;
                }
                stores.leave.insert(&one).await.unwrap();
                one.id.to_string()
            }
            Of::Timesheet | Of::Correction => {
                let employee = match own {
                    true => self.own,
                    false => {
                        let mut one = employee("Ann", "code");
                        one.settings.code = Code::parse(&format!("E{number}")).unwrap();
                        one.settings.site = at;
                        stores.employees.insert(&one).await.unwrap();
                        one.id
                    }
                };
                let march = DateRange {
                    from: "2026-03-01".parse().unwrap(),
                    to: "2026-03-31".parse().unwrap(),
                };
                let sheet = Timesheet::new(employee, march);
                if of == Of::Timesheet {
                    return sheet.id().to_string();
                }
                let made = correction(number as i64);
                let path = CorrectionPath {
                    timesheet: sheet.id(),
                    correction: made.id,
                };
                let added = stores.timesheets.change(&sheet, |sheet| {
                    sheet.correct(made.clone(), false).unwrap();
                    Ok::<_, StoreError>(())
                });
                added.await.unwrap();
                path.to_string()
            }
        }
    }

    /// Keeps a picture, sealed as the service does.
    async fn keep(&self, app: &TestApp, of: Pictured, at: SiteId, number: u64) -> Picture {
        let mut one = picture(of, number as i64);
        one.site = at;
        let sealed = vault().seal_picture(app.clock.nonce(), one.id, of, b"a picture");
        one.sealed = sealed.unwrap();
        app.stores.pictures.insert(&one).await.unwrap();
        one
    }
}
