//! Races of people who decide about one timesheet, through two instances.

use std::sync::Arc;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp, civil};
use rollcall::{
    clock::{Clock, SystemClock},
    domain::{
        accounts::Actor,
        attendance::{CorrectionRefusal, Progress, PunchKind, Timesheet, TimesheetId},
        grants::Reach,
        sites::Zone,
        text::Reason,
    },
    repositories::Repositories,
    service::{
        audit::Audit,
        feed::Feed,
        plans::Plans,
        sites::{Seed, Sites},
        timesheets::{By, Change, FiledCorrection, NewCorrection, TimesheetError, Timesheets},
        workdays::Workdays,
    },
    storage::memory::MemoryBus,
};
use tokio::sync::Barrier;

use crate::records;

/// A manager of everybody.
const MANAGER: By<'static> = By {
    actor: Actor::Operator,
    reach: &Reach::Everything,
    decides: &Reach::Everything,
    own: None,
};

/// How often each race is run.
const RACES: usize = 5;

/// The present state and the answers of a race.
type Answers<T> = Vec<Result<T, TimesheetError>>;

/// Two instances on one store.
struct Rig {
    stores: Repositories,
    instances: [Arc<Timesheets>; 2],
}

impl Rig {
    fn new(stores: &Repositories) -> Self {
        Self {
            stores: stores.clone(),
            instances: [instance(stores), instance(stores)],
        }
    }

    /// Adds an employee with a day of eight hours in December 2025; the timesheet of the month.
    async fn december(&self) -> TimesheetId {
        let employee = records::employee("Ann", &records::employee_id().to_string()[24..]);
        self.stores.employees.insert(&employee).await.unwrap();
        let id = TimesheetId {
            employee: employee.id,
            from: civil::date(2025, 12, 1),
        };
        for (kind, hour) in [(PunchKind::In, 8), (PunchKind::Out, 16)] {
            self.instances[0]
                .correct(MANAGER, id.employee, add(kind, hour))
                .await
                .unwrap();
        }
        id
    }

    async fn digest(&self, id: TimesheetId) -> String {
        let found = self.instances[0].find(&Reach::Everything, id).await;
        found.unwrap().digest
    }

    async fn approve(&self, id: TimesheetId) {
        let digest = self.digest(id).await;
        let approved = self.instances[0].approve(MANAGER, id, &digest, None).await;
        approved.unwrap();
    }

    async fn stored(&self, id: TimesheetId) -> Timesheet {
        self.stores.timesheets.find(id).await.unwrap().unwrap()
    }

    /// Does things at the same moment, at one instance and the other in turn.
    async fn at_once<T, F>(&self, things: Vec<impl FnOnce(Arc<Timesheets>) -> F>) -> Answers<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, TimesheetError>> + Send + 'static,
    {
        let barrier = Arc::new(Barrier::new(things.len()));
        let things = things.into_iter().zip(self.instances.iter().cycle());
        let things: Vec<_> = things
            .map(|(thing, instance)| {
                let (done, barrier) = (thing(instance.clone()), barrier.clone());
                tokio::spawn(async move {
                    barrier.wait().await;
                    done.await
                })
            })
            .collect();
        let answers = join_all(things).await.into_iter();
        answers.map(Result::unwrap).collect()
    }
}

/// Returns the services of an instance on a store.
fn instance(stores: &Repositories) -> Arc<Timesheets> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let feed = Feed::new(Arc::new(MemoryBus::default()));
    let audit = Audit::new(stores.audit.clone(), clock.clone());
    let seed = Seed {
        zone: Zone::UTC,
        workday_starts: civil::time(4, 0, 0, 0),
    };
    let (stores, audit_of, clock_of) = (stores.clone(), audit.clone(), clock.clone());
    let sites = Sites::new(stores.clone(), seed, audit_of, clock_of, feed.clone());
    let sites = Arc::new(sites);
    let plans = Plans::new(stores.clone(), sites.clone(), clock.clone(), feed.clone());
    let workdays = Workdays::new(stores.clone(), sites, Arc::new(plans), clock.clone());
    Arc::new(Timesheets::new(
        stores,
        Arc::new(workdays),
        audit,
        clock,
        feed,
    ))
}

/// Returns a correction that adds a punch some hours into 2025-12-02.
fn add(kind: PunchKind, hour: i64) -> NewCorrection {
    let day: Timestamp = "2025-12-02T00:00:00Z".parse().unwrap();
    NewCorrection {
        change: Change::Add {
            kind,
            at: day + SignedDuration::from_hours(hour),
        },
        reason: Reason::parse("Forgot to punch").unwrap(),
        adjust: false,
    }
}

/// What one of several managers does.
enum Did {
    Approved,
    Locked,
    Corrected(Box<FiledCorrection>),
}

/// What a manager wants to do.
#[derive(Clone)]
enum Want {
    Approve(String),
    Lock,
    /// To add a break to a day in the middle of the month, so that no day is blocked.
    Correct(i64),
}

async fn manage(
    sheets: Arc<Timesheets>,
    id: TimesheetId,
    want: Want,
) -> Result<Did, TimesheetError> {
    match want {
        Want::Approve(digest) => {
            let approved = sheets.approve(MANAGER, id, &digest, None).await;
            approved.map(|_| Did::Approved)
        }
        Want::Lock => sheets.lock(MANAGER, id).await.map(|_| Did::Locked),
        Want::Correct(hour) => {
            let made = sheets.correct(MANAGER, id.employee, add(PunchKind::BreakStart, hour));
            made.await.map(|filed| Did::Corrected(Box::new(filed)))
        }
    }
}

/// Checks the answers of the losers: the timesheet is in another state, or another request has just
/// changed it.
fn lost<T>(answer: &Result<T, TimesheetError>) -> bool {
    use TimesheetError::{Blocked, Changed, Raced, State};
    matches!(
        answer,
        Err(State { .. }
            | Raced
            | Changed
            | Blocked(_)
            | TimesheetError::Correction(CorrectionRefusal::Locked))
    )
}

pub async fn of_many_managers_who_approve_one_wins(stores: &Repositories) {
    let rig = Rig::new(stores);
    for _ in 0..RACES {
        let id = rig.december().await;
        let digest = rig.digest(id).await;
        let approve = |sheets| manage(sheets, id, Want::Approve(digest.clone()));
        let answers = rig.at_once(vec![approve; 4]).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        assert_eq!(answers.iter().filter(|answer| lost(answer)).count(), 3);
        let approval = rig.stored(id).await.progress;
        assert_eq!(approval.as_str(), "approved");
        assert_eq!(approval.approval().unwrap().digest, digest);
    }
}

pub async fn of_many_managers_who_lock_one_wins(stores: &Repositories) {
    let rig = Rig::new(stores);
    for _ in 0..RACES {
        let id = rig.december().await;
        rig.approve(id).await;
        let lock = |sheets| manage(sheets, id, Want::Lock);
        let answers = rig.at_once(vec![lock; 4]).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        assert_eq!(answers.iter().filter(|answer| lost(answer)).count(), 3);
        assert!(rig.stored(id).await.locked().is_some());
    }
}

pub async fn no_correction_is_lost_and_none_changes_a_locked_timesheet(stores: &Repositories) {
    let rig = Rig::new(stores);
    for race in 0..2 * RACES {
        let id = rig.december().await;
        let digest = rig.digest(id).await;
        let mut wants = vec![Want::Correct(9), Want::Correct(10), Want::Lock, Want::Lock];
        if race % 2 == 0 {
            rig.approve(id).await;
        } else {
            wants.extend([Want::Approve(digest.clone()), Want::Approve(digest)]);
        }
        let managers = wants
            .into_iter()
            .map(|want| move |sheets| manage(sheets, id, want));
        let answers = rig.at_once(managers.collect()).await;
        let done: Vec<_> = answers
            .iter()
            .filter_map(|answer| answer.as_ref().ok())
            .collect();
        assert!(!done.is_empty());
        assert!(answers.iter().all(|answer| answer.is_ok() || lost(answer)));

        // What was acknowledged is there, and nothing else.
        let sheet = rig.stored(id).await;
        let corrected = done.iter().filter_map(|did| match did {
            Did::Corrected(filed) => Some(filed.correction.id),
            _ => None,
        });
        let corrected: Vec<_> = corrected.collect();
        assert_eq!(sheet.corrections.len(), 2 + corrected.len());
        assert!(corrected.iter().all(|id| sheet.correction(*id).is_some()));

        // What was approved is what is derived, unless a correction opened it again.
        let locked = done.iter().filter(|did| matches!(did, Did::Locked)).count();
        let now = rig.instances[1].find(&Reach::Everything, id).await.unwrap();
        match &sheet.progress {
            Progress::Locked { approval, .. } => {
                assert_eq!((locked, corrected.len()), (1, 0));
                assert_eq!(now.days.adjustments, []);
                assert_eq!(approval.figures.days[1].breaks, 0);
            }
            Progress::Approved { approval } => {
                assert_eq!((locked, &now.digest), (0, &approval.digest));
            }
            Progress::Open => assert_eq!((locked, corrected.is_empty()), (0, false)),
            Progress::Submitted { .. } => panic!("nobody submitted it"),
        }
    }
}

pub async fn timesheets_are_found_by_their_dates(stores: &Repositories) {
    let (ann, ben) = (records::employee_id(), records::employee_id());
    let range = |from, to| rollcall::domain::attendance::DateRange { from, to };
    let date = civil::date;
    let periods = [
        range(date(2026, 2, 1), date(2026, 2, 28)),
        range(date(2026, 3, 1), date(2026, 3, 15)),
        range(date(2026, 3, 16), date(2026, 3, 22)),
    ];
    let submit = |sheet: &mut Timesheet| {
        sheet.progress = Progress::Submitted {
            by: Actor::Operator,
            at: records::at(i64::from(sheet.from.day())),
        };
        Ok::<_, rollcall::ports::StoreError>(())
    };
    for period in periods {
        let sheet = Timesheet::new(ann, period);
        stores.timesheets.change(&sheet, submit).await.unwrap();
    }
    let other = Timesheet::new(ben, periods[1]);
    stores.timesheets.change(&other, submit).await.unwrap();
    let of_ann = async |from, to| {
        let found = stores.timesheets.of_employee(ann, range(from, to)).await;
        let found = found.unwrap().into_iter().map(|sheet| sheet.from);
        found.collect::<Vec<_>>()
    };
    let [february, first, second] = periods.map(|period| period.from);
    assert_eq!(
        of_ann(date(2026, 2, 28), date(2026, 3, 1)).await,
        [february, first]
    );
    assert_eq!(of_ann(date(2026, 3, 15), date(2026, 3, 15)).await, [first]);
    assert_eq!(of_ann(date(2026, 3, 22), date(2026, 3, 31)).await, [second]);
    assert!(
        of_ann(date(2026, 3, 23), date(2026, 4, 30))
            .await
            .is_empty()
    );
    let all = stores
        .timesheets
        .of_all(range(date(2026, 3, 2), date(2026, 3, 3)));
    let all: Vec<_> = all
        .await
        .unwrap()
        .into_iter()
        .map(|sheet| sheet.employee)
        .collect();
    assert_eq!(all.len(), 2);
    assert!(all.contains(&ann) && all.contains(&ben));

    let page = async |after| {
        let page = rollcall::ports::Page { after, limit: 2 };
        let found = stores.timesheets.list_by_employee(ann, &page, |_| true);
        let found = found.await.unwrap().into_iter().map(|sheet| sheet.from);
        found.collect::<Vec<_>>()
    };
    assert_eq!(page(None).await, [second, first]);
    assert_eq!(page(Some(periods[1].to)).await, [february]);
    let submitted = stores.timesheets.submitted().await.unwrap();
    let order: Vec<_> = submitted.iter().map(|sheet| sheet.from.day()).collect();
    assert_eq!(order, [1, 1, 1, 16]);

    // Another timesheet that ends on the same day is refused, also if it begins elsewhere.
    let same_end = Timesheet::new(ann, range(date(2026, 3, 20), periods[2].to));
    let mut asked = same_end.clone();
    asked.progress = Progress::Submitted {
        by: Actor::Operator,
        at: records::at(0),
    };
    assert_eq!(
        stores.timesheets.exchange(&same_end, &asked).await,
        Ok(false)
    );
}
