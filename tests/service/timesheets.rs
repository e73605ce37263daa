//! Workdays, corrections, and the approval and lock of timesheets.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use rollcall::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::{
            Adjusted, Adjustment, ClockSource, CorrectionRefusal, DateRange, Decision,
            ExceptionCode, Origin, Period, PresenceState, Progress, Proof, Punch, PunchKind, Rules,
            Timesheet, TimesheetId,
        },
        employees::{Employee, EmployeeSettings},
        grants::{Reach, Scope},
        ids::{AccountId, EmployeeId, PunchId, SiteId, SiteRulesId},
        plans::SiteRules,
        sites::Zone,
        text::Reason,
    },
    ports::{Page, RecordEngine, StoreError},
    repositories::{KINDS, Repositories},
    service::{
        audit::Audit,
        employees::EmployeeError,
        feed::Feed,
        plans::Plans,
        sites::{Seed, Sites},
        timesheets::{
            By, Change, FiledCorrection, NewCorrection, TimesheetError, TimesheetFilter, Timesheets,
        },
        workdays::Workdays,
    },
    storage::{
        memory::{MemoryBus, MemoryEngine},
        sqlite::SqliteEngine,
    },
};
use uuid::Uuid;

use crate::world::{HeldClock, Instance, instance};

/// An admin, who decides about everybody.
pub const ADMIN: By<'static> = By {
    actor: Actor::Operator,
    reach: &Reach::Everything,
    decides: &Reach::Everything,
    own: None,
};

/// Returns a time of day in UTC of a date in 2025.
pub fn at(date: &str, clock: &str) -> Timestamp {
    format!("2025-{date}T{clock}:00Z").parse().unwrap()
}

pub fn days(from: &str, to: &str) -> DateRange {
    let date = |date: &str| format!("2025-{date}").parse().unwrap();
    DateRange {
        from: date(from),
        to: date(to),
    }
}

pub fn sheet_from(employee: EmployeeId, from: civil::Date) -> TimesheetId {
    TimesheetId { employee, from }
}

pub fn december(employee: EmployeeId) -> TimesheetId {
    sheet_from(employee, civil::date(2025, 12, 1))
}

pub fn correction(change: Change) -> NewCorrection {
    NewCorrection {
        change,
        reason: Reason::parse("Forgot to punch").unwrap(),
        adjust: false,
    }
}

pub fn add(kind: PunchKind, at: Timestamp) -> NewCorrection {
    correction(Change::Add { kind, at })
}

/// Records punches as a kiosk would have.
pub async fn punched(world: &Instance, employee: EmployeeId, punches: &[(PunchKind, Timestamp)]) {
    let last = world.stores.punches.last_written(employee).await.unwrap();
    let first = last.map_or(1, |last| last.sequence + 1);
    for ((kind, at), sequence) in punches.iter().zip(first..) {
        let punch = Punch {
            id: PunchId::new(world.clock.id()),
            employee,
            kind: *kind,
            at: *at,
            recorded_at: *at,
            clock: ClockSource::Server,
            captured_at: None,
            doubt: None,
            kind_reason: None,
            workday: at.to_zoned(TimeZone::UTC).date(),
            site: SiteId::DEFAULT,
            origin: Origin::Account(AccountId::new(Uuid::from_u128(1))),
            proof: Proof::Import,
            request: None,
            sequence,
        };
        world.stores.punches.append(&punch).await.unwrap();
    }
}

/// Adds an employee with a workday of eight hours on 2025-12-02.
pub async fn worked(world: &Instance) -> EmployeeId {
    let ann = world.person("Ann").await.employee.id;
    let day = [
        (PunchKind::In, at("12-02", "08:00")),
        (PunchKind::Out, at("12-02", "16:00")),
    ];
    punched(world, ann, &day).await;
    ann
}

pub async fn locked(world: &Instance, employee: EmployeeId) {
    let (sheets, id) = (&world.timesheets, december(employee));
    let digest = sheets.find(&Reach::Everything, id).await.unwrap().digest;
    sheets.approve(ADMIN, id, &digest, None).await.unwrap();
    let locked = sheets.lock(ADMIN, id).await.unwrap();
    assert!(locked.locked().is_some());
}

#[tokio::test]
async fn days_are_derived_from_punches_and_approved_corrections() {
    let world = instance();
    let ann = worked(&world).await;
    let forgotten = [(PunchKind::In, at("12-03", "09:00"))];
    punched(&world, ann, &forgotten).await;
    let of = async || {
        let range = days("12-01", "12-04");
        world
            .workdays
            .days(&Reach::Everything, ann, range)
            .await
            .unwrap()
    };
    let found = of().await;
    let worked: Vec<_> = found.derived.days.iter().map(|day| day.worked).collect();
    assert_eq!(worked, [0, 8 * 3600, 0, 0]);
    let exceptions = &found.derived.days[2].exceptions;
    assert_eq!(*exceptions, [ExceptionCode::MissingOut]);

    let out = add(PunchKind::Out, at("12-03", "17:30"));
    let filed = world.timesheets.correct(ADMIN, ann, out).await.unwrap();
    assert_eq!(filed.correction.decision.as_str(), "approved");
    let found = of().await;
    assert_eq!(found.derived.days[2].worked, 8 * 3600 + 1800);
    assert_eq!(found.totals.figures["worked"], 16 * 3600 + 1800);
    assert_eq!(found.derived.weeks[0].worked, 16 * 3600 + 1800);
    let text = found.derived.days[2].steps[0].to_string();
    assert!(text.contains("from 09:00 to 17:30"), "{text}");

    // An added punch is moved and voided by its ID.
    let punch = PunchId::new(filed.correction.id.uuid());
    let at = at("12-03", "17:00");
    let moved = correction(Change::Move { punch, at });
    world.timesheets.correct(ADMIN, ann, moved).await.unwrap();
    assert_eq!(of().await.derived.days[2].worked, 8 * 3600);
    let void = correction(Change::Void { punch });
    let voided = world.timesheets.correct(ADMIN, ann, void.clone()).await;
    assert!(voided.is_ok());
    assert_eq!(of().await.derived.days[2].worked, 0);
    let again = world.timesheets.correct(ADMIN, ann, void).await;
    let refused = CorrectionRefusal::Voided;
    assert!(matches!(again, Err(TimesheetError::Correction(why)) if why == refused));

    let reach = Reach::nothing();
    let nobody = world.workdays.days(&reach, ann, days("12-01", "12-04"));
    assert!(nobody.await.is_err());
}

#[tokio::test]
async fn a_correction_that_makes_no_sense_is_refused() {
    let world = instance();
    let (ann, ben) = (worked(&world).await, world.person("Ben").await.employee.id);
    let of = async |employee, change| {
        let made = world
            .timesheets
            .correct(ADMIN, employee, correction(change));
        made.await.unwrap_err()
    };
    let now = world.clock.now();
    let kind = PunchKind::In;
    let future = now + SignedDuration::from_secs(1);
    let error = of(ann, Change::Add { kind, at: future }).await;
    assert!(matches!(error, TimesheetError::Future), "{error}");
    let punch = PunchId::new(Uuid::from_u128(7));
    let error = of(ann, Change::Void { punch }).await;
    assert!(matches!(error, TimesheetError::NoPunch), "{error}");
    let last = world
        .stores
        .punches
        .last_written(ann)
        .await
        .unwrap()
        .unwrap();
    let error = of(ben, Change::Void { punch: last.id }).await;
    assert!(matches!(error, TimesheetError::NoPunch), "{error}");
    let (punch, at) = (last.id, at("12-10", "16:00"));
    let error = of(ann, Change::Move { punch, at }).await;
    assert!(matches!(error, TimesheetError::TooFar), "{error}");
}

#[tokio::test]
async fn an_employee_asks_and_a_manager_decides_but_not_about_their_own_hours() {
    let world = instance();
    let ann = worked(&world).await;
    let own = Reach::of(Scope::Own, Some(ann));
    let nothing = Reach::nothing();
    let account = Actor::Account(AccountId::new(Uuid::from_u128(5)));
    let employee = By {
        actor: account,
        reach: &own,
        decides: &nothing,
        own: Some(ann),
    };
    let sheets = &world.timesheets;
    let ask = async |clock| {
        let new = add(PunchKind::In, at("12-04", clock));
        sheets.correct(employee, ann, new).await.unwrap()
    };
    let (first, second) = (ask("08:00").await, ask("09:00").await);
    assert_eq!(first.correction.decision, Decision::Requested);
    let inbox = async || {
        let page = Page {
            after: None,
            limit: 9,
        };
        let found = sheets.corrections(&Reach::Everything, None, "requested", &page);
        let found = found.await.unwrap();
        found
            .iter()
            .map(|one| one.correction.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(inbox().await, [first.correction.id, second.correction.id]);
    let range = days("12-04", "12-04");
    let day = async || {
        let days = world.workdays.days(&Reach::Everything, ann, range).await;
        days.unwrap().derived.days.remove(0)
    };
    assert!(day().await.spans.is_empty());

    // A manager who is the employee cannot decide.
    let manager = By {
        actor: account,
        own: Some(ann),
        ..ADMIN
    };
    let refused = sheets.decide(manager, first.path, true, false).await;
    assert!(matches!(refused, Err(TimesheetError::OwnHours)));
    let approved = sheets.decide(ADMIN, first.path, true, false).await.unwrap();
    assert_eq!(approved.correction.decision.by(), Some(ADMIN.actor));
    assert_eq!(day().await.spans.len(), 1);
    let again = sheets.decide(ADMIN, first.path, false, false).await;
    assert!(matches!(
        again,
        Err(TimesheetError::Correction(CorrectionRefusal::Decided))
    ));

    let stranger = sheets.withdraw(ADMIN, second.path).await;
    assert!(matches!(stranger, Err(TimesheetError::NotAuthor)));
    let withdrawn = sheets.withdraw(employee, second.path).await.unwrap();
    assert_eq!(withdrawn.correction.decision.as_str(), "withdrawn");
    assert!(inbox().await.is_empty());
    assert_eq!(day().await.spans.len(), 1);
}

#[tokio::test]
async fn only_settled_figures_that_the_caller_saw_are_approved() {
    let world = instance();
    let ann = worked(&world).await;
    let (sheets, id) = (&world.timesheets, december(ann));
    let digest = async || sheets.find(&Reach::Everything, id).await.unwrap().digest;
    let seen = digest().await;
    assert_eq!(digest().await, seen, "nothing changed");

    punched(&world, ann, &[(PunchKind::In, at("12-03", "09:00"))]).await;
    let blocked = sheets.approve(ADMIN, id, &digest().await, None).await;
    let Err(TimesheetError::Blocked(days)) = blocked else {
        panic!("{blocked:?}");
    };
    assert_eq!(days[0].day, civil::date(2025, 12, 3));
    assert_eq!(days[0].exceptions, [ExceptionCode::MissingOut]);
    let out = add(PunchKind::Out, at("12-03", "17:00"));
    sheets.correct(ADMIN, ann, out).await.unwrap();
    let changed = sheets.approve(ADMIN, id, &seen, None).await;
    assert!(matches!(changed, Err(TimesheetError::Changed)));

    sheets.submit(ADMIN, id).await.unwrap();
    let unapproved = sheets.lock(ADMIN, id).await;
    assert!(matches!(unapproved, Err(TimesheetError::State { .. })));
    sheets
        .approve(ADMIN, id, &digest().await, None)
        .await
        .unwrap();
    // A correction opens it again.
    let late = add(PunchKind::In, at("12-04", "09:00"));
    sheets.correct(ADMIN, ann, late).await.unwrap();
    let out = add(PunchKind::Out, at("12-04", "10:00"));
    sheets.correct(ADMIN, ann, out).await.unwrap();
    let opened = sheets.find(&Reach::Everything, id).await.unwrap();
    assert_eq!(opened.timesheet.progress, Progress::Open);
    sheets
        .approve(ADMIN, id, &opened.digest, None)
        .await
        .unwrap();
    // So does nothing else, but what was approved must still hold when it is locked.
    let offline = [
        (PunchKind::In, at("12-05", "09:00")),
        (PunchKind::Out, at("12-05", "10:00")),
    ];
    punched(&world, ann, &offline).await;
    let changed = sheets.lock(ADMIN, id).await;
    assert!(matches!(changed, Err(TimesheetError::Changed)));

    let present = sheet_from(ann, civil::date(2026, 1, 1));
    let present = sheets.approve(ADMIN, present, &seen, None).await;
    assert!(matches!(present, Err(TimesheetError::NotOver(_))));
}

#[tokio::test]
async fn locked_figures_stay_and_what_comes_later_is_an_adjustment() {
    let world = instance();
    let ann = worked(&world).await;
    locked(&world, ann).await;
    let out = world
        .stores
        .punches
        .last_written(ann)
        .await
        .unwrap()
        .unwrap();
    let earlier = Change::Move {
        punch: out.id,
        at: at("12-02", "15:00"),
    };
    let sheets = &world.timesheets;
    let refused = sheets.correct(ADMIN, ann, correction(earlier)).await;
    let Err(TimesheetError::Correction(CorrectionRefusal::Locked)) = refused else {
        panic!("{refused:?}");
    };
    let adjusted = NewCorrection {
        adjust: true,
        ..correction(earlier)
    };
    sheets.correct(ADMIN, ann, adjusted).await.unwrap();
    let range = days("12-01", "12-31");
    let of = async || {
        let found = world.workdays.days(&Reach::Everything, ann, range).await;
        found.unwrap()
    };
    let found = of().await;
    assert_eq!(found.totals.figures["worked"], 8 * 3600);
    assert_eq!(found.adjustments.len(), 1);
    let day = civil::date(2025, 12, 2);
    assert_eq!(found.adjustments[0].of, Adjusted::Day(day));
    assert_eq!(found.adjustments[0].worked, -3600);

    sheets.unlock(ADMIN.actor, december(ann)).await.unwrap();
    let found = of().await;
    assert_eq!(found.totals.figures["worked"], 7 * 3600);
    assert_eq!(found.adjustments, []);
}

/// Sets the length of timesheets at a site from a date on, with other rules as they are by default.
async fn set_period(world: &Instance, site: SiteId, from: civil::Date, period: Period) {
    let rules = SiteRules {
        id: SiteRulesId::new(world.clock.id()),
        site,
        from,
        rules: Rules::default(),
        period,
        two_weeks_from: None,
        four_eyes: false,
        overtime_approval: false,
    };
    world.stores.site_rules.insert(&rules).await.unwrap();
}

/// Returns the dates and the state of an employee's timesheet with a date.
async fn of_date(world: &Instance, employee: EmployeeId, date: &str) -> (String, String, String) {
    let filter = TimesheetFilter {
        period: Some(format!("2025-{date}").parse().unwrap()),
        ..TimesheetFilter::default()
    };
    let page = Page {
        after: None,
        limit: 9,
    };
    let found = world.timesheets.list(&Reach::Everything, &filter, &page);
    let found = found.await.unwrap();
    let (_, sheet) = found.iter().find(|(of, _)| of.id == employee).unwrap();
    let state = sheet.progress.as_str().to_owned();
    (sheet.from.to_string(), sheet.to.to_string(), state)
}

#[tokio::test]
async fn when_periods_change_no_date_is_in_two_timesheets() {
    let world = instance();
    let ann = worked(&world).await;
    let ben = world.person("Ben").await.employee.id;
    locked(&world, ann).await;
    // Ann's December is stored and stays. Ben's ends where the weeks begin.
    let from = civil::date(2025, 12, 10);
    set_period(&world, SiteId::DEFAULT, from, Period::Week).await;
    let of = async |employee, date, expected: (&str, &str, &str)| {
        let (from, to, state) = of_date(&world, employee, date).await;
        assert_eq!((&*from, &*to, &*state), expected, "{date}");
    };
    let month = ("2025-12-01", "2025-12-31", "locked");
    of(ann, "12-05", month).await;
    of(ann, "12-31", month).await;
    of(ben, "12-05", ("2025-12-01", "2025-12-09", "open")).await;
    of(ben, "12-10", ("2025-12-10", "2025-12-14", "open")).await;
    of(ben, "12-31", ("2025-12-29", "2026-01-04", "open")).await;

    // A correction is in the timesheet with its date; after it, the week begins later for Ann.
    let new = add(PunchKind::In, "2026-01-02T08:00:00Z".parse().unwrap());
    let sheets = &world.timesheets;
    let filed = sheets.correct(ADMIN, ann, new).await.unwrap();
    let week = sheet_from(ann, civil::date(2026, 1, 1));
    assert_eq!(filed.path.timesheet, week);
    let found = sheets.find(&Reach::Everything, week).await.unwrap();
    let last = found.timesheet.to;
    assert_eq!(last, civil::date(2026, 1, 4));
    assert_eq!(found.days.derived.days.len(), 4);

    // No period of hers begins within a timesheet.
    for (month, day) in [(12, 10), (12, 29)] {
        let id = sheet_from(ann, civil::date(2025, month, day));
        let found = sheets.find(&Reach::Everything, id).await;
        assert!(matches!(found, Err(TimesheetError::NotFound)), "{id}");
    }
    // The locked one can still be unlocked, approved and locked again.
    sheets.unlock(ADMIN.actor, december(ann)).await.unwrap();
    locked(&world, ann).await;
}

#[tokio::test]
async fn an_employee_who_changes_the_site_has_its_periods_from_then_on() {
    let world = instance();
    let ann = worked(&world).await;
    let site = SiteId::new(Uuid::from_u128(9));
    set_period(&world, site, civil::date(2025, 1, 1), Period::HalfMonth).await;
    // A correction makes the timesheet stored.
    let new = add(PunchKind::In, at("12-03", "08:00"));
    world.timesheets.correct(ADMIN, ann, new).await.unwrap();
    let mut employee = world.stores.employees.find(ann).await.unwrap().unwrap();
    let old = employee.clone();
    employee.settings.site = site;
    let changed = world.stores.employees.exchange(&old, &employee).await;
    assert_eq!(changed, Ok(true));
    let december = (
        "2025-12-01".to_owned(),
        "2025-12-31".to_owned(),
        "open".to_owned(),
    );
    assert_eq!(of_date(&world, ann, "12-20").await, december);
    let (from, to, _) = of_date(&world, ann, "11-20").await;
    assert_eq!((&*from, &*to), ("2025-11-16", "2025-11-30"));
}

#[tokio::test]
async fn of_two_timesheets_that_share_dates_one_is_approved() {
    let world = instance();
    let ann = worked(&world).await;
    // As if two instances had written them at once, while the periods changed.
    for (from, to) in [("12-01", "12-31"), ("12-08", "12-14")] {
        let sheet = Timesheet::new(ann, days(from, to));
        let asked = |sheet: &mut Timesheet| {
            sheet.progress = Progress::Submitted {
                by: ADMIN.actor,
                at: at("12-31", "08:00"),
            };
            Ok::<_, StoreError>(())
        };
        world.stores.timesheets.change(&sheet, asked).await.unwrap();
    }
    let week = sheet_from(ann, civil::date(2025, 12, 8));
    let sheets = &world.timesheets;
    let digest = sheets.find(&Reach::Everything, week).await.unwrap().digest;
    let refused = sheets.approve(ADMIN, week, &digest, None).await;
    assert!(matches!(refused, Err(TimesheetError::Overlap(_))));
    locked(&world, ann).await;
}

#[tokio::test]
async fn what_changed_of_a_locked_period_is_paid_once_in_the_first_open_one() {
    let world = instance();
    let ann = world.person("Ann").await.employee.id;
    let (start, end) = (at("11-03", "08:00"), at("11-03", "16:00"));
    punched(
        &world,
        ann,
        &[(PunchKind::In, start), (PunchKind::Out, end)],
    )
    .await;
    let out = world.stores.punches.last_written(ann).await.unwrap();
    let (punch, sheets) = (out.unwrap().id, &world.timesheets);
    let month = |year, month| sheet_from(ann, civil::date(year, month, 1));
    let (november, december, january) = (month(2025, 11), month(2025, 12), month(2026, 1));
    let find = async |id| sheets.find(&Reach::Everything, id).await.unwrap();
    let approve = async |id| {
        let digest = find(id).await.digest;
        sheets.approve(ADMIN, id, &digest, None).await.unwrap()
    };
    let change = async |change| {
        let new = NewCorrection {
            adjust: true,
            ..correction(change)
        };
        sheets.correct(ADMIN, ann, new).await.unwrap();
    };
    let worked = |adjustments: &[Adjustment]| {
        let worked = adjustments.iter().map(|one| one.worked);
        worked.collect::<Vec<_>>()
    };
    approve(november).await;
    sheets.lock(ADMIN, november).await.unwrap();
    let before = find(december).await.digest;
    let at = at("11-03", "15:00");
    change(Change::Move { punch, at }).await;

    // It is part of what is approved next, and only there.
    let found = find(december).await;
    assert_eq!(worked(&found.settles), [-3600]);
    assert_ne!(found.digest, before);
    assert!(find(january).await.settles.is_empty());
    let stale = sheets.approve(ADMIN, december, &before, None).await;
    assert!(matches!(stale, Err(TimesheetError::Changed)));
    let of_november = async || {
        let range = days("11-01", "11-30");
        let found = world.workdays.days(&Reach::Everything, ann, range).await;
        found.unwrap()
    };
    assert_eq!(of_november().await.settled, []);
    let approved = approve(december).await;
    assert_eq!(
        worked(&approved.progress.approval().unwrap().settled),
        [-3600]
    );

    // It is shown, and not paid again.
    assert_eq!(worked(&of_november().await.adjustments), [-3600]);
    assert_eq!(
        of_november().await.settled,
        [Adjusted::Day(start.to_zoned(TimeZone::UTC).date())]
    );
    assert!(find(january).await.settles.is_empty());
    let locked = sheets.lock(ADMIN, december).await.unwrap();
    assert_eq!(locked.locked().unwrap().settled.len(), 1);
    assert_eq!(worked(&find(december).await.settles), [-3600]);

    // What changes after that is the difference, in the next period.
    let at = end + SignedDuration::from_hours(1);
    change(Change::Move { punch, at }).await;
    assert_eq!(worked(&find(january).await.settles), [7200]);
    assert_eq!(worked(&find(december).await.settles), [-3600]);
    assert_eq!(of_november().await.settled, []);

    // An exception of the day holds it.
    change(Change::Void { punch }).await;
    let found = find(january).await;
    assert_eq!(
        (found.settles.len(), worked(&found.held)),
        (0, vec![-7 * 3600])
    );

    // Without the lock, the figures are those of November again. What was paid elsewhere is given
    // back when it is locked again.
    change(Change::Add {
        kind: PunchKind::Out,
        at: end,
    })
    .await;
    sheets.unlock(ADMIN.actor, november).await.unwrap();
    assert!(find(january).await.settles.is_empty());
    approve(november).await;
    sheets.lock(ADMIN, november).await.unwrap();
    assert_eq!(worked(&find(january).await.settles), [3600]);
}

#[tokio::test]
async fn a_correction_of_the_next_period_does_not_change_a_locked_night() {
    let world = instance();
    let ann = world.person("Ann").await.employee.id;
    let punches = [
        (PunchKind::In, at("11-30", "22:00")),
        (PunchKind::Out, at("12-01", "06:00")),
    ];
    punched(&world, ann, &punches).await;
    let november = sheet_from(ann, civil::date(2025, 11, 1));
    let sheets = &world.timesheets;
    let digest = sheets
        .find(&Reach::Everything, november)
        .await
        .unwrap()
        .digest;
    sheets
        .approve(ADMIN, november, &digest, None)
        .await
        .unwrap();
    sheets.lock(ADMIN, november).await.unwrap();
    // The out lies in December, which is open, and ends a workday of November.
    let out = world
        .stores
        .punches
        .last_written(ann)
        .await
        .unwrap()
        .unwrap();
    let later = Change::Move {
        punch: out.id,
        at: at("12-01", "07:00"),
    };
    let refused = sheets.correct(ADMIN, ann, correction(later)).await;
    assert!(matches!(
        refused,
        Err(TimesheetError::Correction(CorrectionRefusal::Locked))
    ));
    let other = add(PunchKind::In, at("12-01", "14:00"));
    sheets.correct(ADMIN, ann, other).await.unwrap();
}

#[tokio::test]
async fn the_board_shows_who_is_there() {
    let world = instance();
    let noon = world.clock.now();
    let ago = |minutes| noon - SignedDuration::from_mins(minutes);
    let (ann, ben, cem, dee) = (
        world.person("Ann").await.employee.id,
        world.person("Ben").await.employee.id,
        world.person("Cem").await.employee.id,
        world.person("Dee").await.employee.id,
    );
    punched(&world, ann, &[(PunchKind::In, ago(180))]).await;
    let on_break = [(PunchKind::In, ago(180)), (PunchKind::BreakStart, ago(20))];
    punched(&world, ben, &on_break).await;
    let gone = [(PunchKind::In, ago(180)), (PunchKind::Out, ago(60))];
    punched(&world, cem, &gone).await;
    let lines = world.workdays.board(&Reach::Everything, None, None).await;
    let lines = lines.unwrap();
    let states: Vec<_> = lines
        .iter()
        .map(|line| (line.employee.id, line.presence.state, line.presence.worked))
        .collect();
    let expected = [
        (ann, PresenceState::Present, 180 * 60),
        (ben, PresenceState::OnBreak, 160 * 60),
        (cem, PresenceState::Left, 120 * 60),
        (dee, PresenceState::NotDue, 0),
    ];
    assert_eq!(states, expected);
    let own = Reach::of(Scope::Own, Some(ben));
    let own = world.workdays.board(&own, None, None).await.unwrap();
    assert_eq!(own.len(), 1);
    let yesterday = Some(civil::date(2026, 1, 14));
    let lines = world.workdays.board(&Reach::Everything, None, yesterday);
    let lines = lines.await.unwrap();
    let not_due = |line: &rollcall::service::workdays::BoardLine| {
        line.presence.state == PresenceState::NotDue
    };
    assert!(lines.iter().all(not_due));
}

/// Sets the dates of employment.
async fn employ(world: &Instance, id: EmployeeId, from: Option<&str>, until: Option<&str>) {
    let date = |text: &str| format!("2025-{text}").parse().unwrap();
    let edit = |employee: &Employee| {
        Ok::<_, EmployeeError>(EmployeeSettings {
            employed_from: from.map(date),
            employed_until: until.map(date),
            ..employee.settings.clone()
        })
    };
    let (reach, actor) = (&Reach::Everything, ADMIN.actor);
    let changed = world.employees.change(reach, actor, id, false, edit).await;
    changed.unwrap();
}

#[tokio::test]
async fn outside_of_employment_nobody_is_listed_who_did_not_punch() {
    let world = instance();
    let (ann, ben) = (worked(&world).await, world.person("Ben").await.employee.id);
    let listed = async |day: &str| {
        let date = Some(days(day, day).from);
        let lines = world.workdays.board(&Reach::Everything, None, date).await;
        let lines = lines.unwrap().into_iter();
        lines.map(|line| line.employee.id).collect::<Vec<_>>()
    };
    assert_eq!(listed("12-02").await, [ann, ben]);
    for of in [ann, ben] {
        employ(&world, of, Some("12-03"), None).await;
    }
    // Ann has punched.
    assert_eq!(listed("12-02").await, [ann]);
    assert_eq!(listed("12-03").await, [ann, ben]);

    // The timesheet begins with the employment, and what she worked before is settled first.
    let (sheets, id) = (&world.timesheets, december(ann));
    let detail = sheets.find(&Reach::Everything, id).await.unwrap();
    let dates = detail.days.derived.days.iter().map(|day| day.day.day());
    assert!(dates.eq([2].into_iter().chain(3..=31)));
    let exceptions = &detail.blocked[0].exceptions;
    assert_eq!(*exceptions, [ExceptionCode::OutsideEmployment]);
    let november = TimesheetFilter {
        period: Some(civil::date(2025, 11, 1)),
        ..TimesheetFilter::default()
    };
    let page = Page {
        after: None,
        limit: 9,
    };
    let listed = sheets.list(&Reach::Everything, &november, &page).await;
    assert_eq!(listed.unwrap(), []);
}

#[tokio::test]
async fn the_timesheet_of_a_leaver_is_approved_after_the_last_day() {
    let world = instance();
    let ann = worked(&world).await;
    // Today is 2026-01-15.
    let january = sheet_from(ann, civil::date(2026, 1, 1));
    let approve = async || {
        let sheets = &world.timesheets;
        let found = sheets.find(&Reach::Everything, january).await.unwrap();
        sheets.approve(ADMIN, january, &found.digest, None).await
    };
    let early = approve().await;
    let last = civil::date(2026, 1, 31);
    assert!(matches!(early, Err(TimesheetError::NotOver(day)) if day == last));
    employ(&world, ann, None, Some("12-31")).await;
    let sheet = approve().await.unwrap();
    assert_eq!(sheet.progress.as_str(), "approved");
}

/// Makes the services on a store.
fn services(engine: Arc<dyn RecordEngine>) -> (Repositories, Arc<Timesheets>) {
    let stores = Repositories::new(engine);
    let clock: Arc<dyn Clock> = Arc::new(HeldClock::noon());
    let audit = Audit::new(stores.audit.clone(), clock.clone());
    let seed = Seed {
        zone: Zone::UTC,
        workday_starts: civil::time(4, 0, 0, 0),
    };
    let feed = Feed::new(Arc::new(MemoryBus::default()));
    let (audit_of, clock_of) = (audit.clone(), clock.clone());
    let sites = Sites::new(stores.clone(), seed, audit_of, clock_of, feed.clone());
    let sites = Arc::new(sites);
    let plans = Plans::new(stores.clone(), sites.clone(), clock.clone(), feed.clone());
    let workdays = Workdays::new(stores.clone(), sites, Arc::new(plans), clock.clone());
    let sheets = Timesheets::new(stores.clone(), Arc::new(workdays), audit, clock, feed);
    (stores, Arc::new(sheets))
}

/// Locks a timesheet and corrects it at the same moment, again and again.
async fn of_a_lock_and_a_correction_one_wins(engine: Arc<dyn RecordEngine>) {
    let (stores, sheets) = services(engine);
    let mut ann = None;
    for number in 0..12_u128 {
        let employee = Employee {
            id: EmployeeId::new(Uuid::from_u128(number + 1)),
            settings: EmployeeSettings::new(
                rollcall::domain::text::Name::parse("Ann").unwrap(),
                rollcall::domain::text::Code::parse(&format!("E{number}")).unwrap(),
                SiteId::DEFAULT,
            ),
            created_at: Timestamp::UNIX_EPOCH,
            deleted_at: None,
            erasure_requested_at: None,
        };
        stores.employees.insert(&employee).await.unwrap();
        let id = december(employee.id);
        let punches = [(PunchKind::In, "08:00"), (PunchKind::Out, "16:00")];
        for (kind, clock) in punches {
            let new = add(kind, at("12-02", clock));
            sheets.correct(ADMIN, employee.id, new).await.unwrap();
        }
        let digest = sheets.find(&Reach::Everything, id).await.unwrap().digest;
        sheets.approve(ADMIN, id, &digest, None).await.unwrap();
        let barrier = Arc::new(tokio::sync::Barrier::new(2));
        let (locking, wait) = (sheets.clone(), barrier.clone());
        let lock = tokio::spawn(async move {
            wait.wait().await;
            locking.lock(ADMIN, id).await
        });
        let correcting = sheets.clone();
        let correct = tokio::spawn(async move {
            barrier.wait().await;
            let new = add(PunchKind::In, at("12-03", "08:00"));
            correcting.correct(ADMIN, id.employee, new).await
        });
        let (locked, corrected) = (lock.await.unwrap(), correct.await.unwrap());
        let sheet = stores.timesheets.find(id).await.unwrap().unwrap();
        let refused: Result<FiledCorrection, _> = match (locked, corrected) {
            (Ok(_), Err(refused)) => {
                assert!(sheet.locked().is_some());
                assert_eq!(sheet.corrections.len(), 2);
                Err(refused)
            }
            (Err(_), Ok(filed)) => {
                assert_eq!(sheet.progress, Progress::Open);
                assert_eq!(sheet.corrections.len(), 3);
                Ok(filed)
            }
            both => panic!("{both:?}"),
        };
        let locked = matches!(
            refused,
            Ok(_) | Err(TimesheetError::Correction(CorrectionRefusal::Locked))
        );
        assert!(locked, "{refused:?}");
        ann = Some(employee.id);
    }
    // Without chance: a lock that was decided on what a correction has changed is not written.
    let id = december(ann.unwrap());
    let old = stores.timesheets.find(id).await.unwrap().unwrap();
    if old.locked().is_some() {
        sheets.unlock(ADMIN.actor, id).await.unwrap();
    }
    let old = stores.timesheets.find(id).await.unwrap().unwrap();
    let new = add(PunchKind::In, at("12-05", "08:00"));
    sheets.correct(ADMIN, id.employee, new).await.unwrap();
    let submitted = Timesheet {
        progress: Progress::Submitted {
            by: ADMIN.actor,
            at: at("12-31", "08:00"),
        },
        ..old.clone()
    };
    assert_eq!(
        stores.timesheets.exchange(&old, &submitted).await,
        Ok(false)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_lock_and_a_correction_one_wins_on_memory() {
    of_a_lock_and_a_correction_one_wins(Arc::new(MemoryEngine::default())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_lock_and_a_correction_one_wins_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let engine = SqliteEngine::open(&folder.path().join("rollcall.db"), KINDS).await;
    of_a_lock_and_a_correction_one_wins(Arc::new(engine.unwrap())).await;
}
