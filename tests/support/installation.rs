//! A whole installation: records of every archived kind, including deleted and removed records.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use rollcall::{
    domain::{
        accounts::{Account, Actor},
        attendance::{Evidence, Proof},
        audit::AuditEntry,
        balances::BalanceKind,
        cameras::{Camera, Direction, WatchHours},
        devices::Device,
        employees::Employee,
        faces::FaceEnrollment,
        grants::Role,
        ids::{ApiTokenId, AuditId},
        installation::Setting,
        mail::{LetterKind, MailPreferences},
        pictures::Pictured,
        plans::Assigned,
        record::{Index, Record},
        sites,
    },
    ports::{Expect, Parts, Range},
    repositories::{AnyRecord, Collection, Repositories},
};
use uuid::Uuid;

use crate::records::{
    account, answer, api_token, assignment, at, balance_entry, calendar_address, camera, cycle,
    device, employee, entitlement, evidence, face, holidays, invitation, leave, leave_kind,
    payroll_layout, photo, picture, punch, punch_credential, refused_punch, request,
    second_factors, shift, site, site_rules, token, webhook,
};

/// All records, and those that tests need by name.
pub struct Installation {
    pub records: Vec<Arc<dyn AnyRecord>>,
    pub admin: Account,
    pub ann: Employee,
    pub kiosk: Device,
    pub camera: Camera,
}

impl Installation {
    fn add<R: Record>(&mut self, record: R) {
        self.records.push(Arc::new(record));
    }
}

/// Returns an entry of the audit trail.
pub fn audit(action: &str, subject: impl ToString, moment: i64) -> AuditEntry {
    AuditEntry {
        id: AuditId::new(Uuid::now_v7()),
        at: at(moment),
        actor: Actor::Operator,
        action: action.to_owned(),
        subject: subject.to_string(),
        detail: None,
    }
}

/// Returns an installation with this many punches, every second one with a request key.
pub fn installation_with(punches: u64) -> Installation {
    let admin = account("admin@example.org", Role::Admin);
    let mut inactive = account("inactive@example.org", Role::Viewer);
    inactive.active = false;

    let zone = sites::Zone::parse("America/New_York").unwrap();
    let main = sites::Site::default_site(zone, jiff::civil::time(4, 0, 0, 0), at(0));
    let north = site("Nörth ünïcödé");
    // Removed, with the name that another one has now.
    let mut old = site("NÖRTH ünïcödé");
    old.removed_at = Some(at(9));

    let kiosk = device("Front door", 1);
    let mut revoked = device("Back door", 2);
    revoked.site = north.id;
    revoked.revoked_at = Some(at(9));

    let mut door = camera("door");
    door.site = north.id;
    door.direction = Direction::In;
    door.viewers = Some(vec![admin.email.clone()]);
    door.hours = Some(WatchHours {
        from: jiff::civil::time(22, 0, 0, 0),
        to: jiff::civil::time(6, 30, 0, 0),
        days: vec![1, 5],
    });
    // Removed, with the stream that another camera has now.
    let mut unwatched = camera("door");
    unwatched.removed_at = Some(at(9));

    let ann = employee("Ann", "E7");
    let mut bob = employee("Bob ünïcödé 👩🏽‍🚀", "E8");
    bob.settings.site = north.id;
    bob.settings.active = false;
    // Deleted, with the code that another employee has now.
    let mut cid = employee("Cid", "e7");
    cid.deleted_at = Some(at(8));

    let mut all = Installation {
        records: Vec::new(),
        admin: admin.clone(),
        ann: ann.clone(),
        kiosk: kiosk.clone(),
        camera: door.clone(),
    };
    all.add(admin.clone());
    all.add(second_factors(admin.id, 10));
    all.add(inactive);
    all.add(main);
    all.add(north.clone());
    all.add(old);
    let token_id = ApiTokenId::new(Uuid::now_v7());
    all.add(api_token(token_id, admin.id, 78));
    all.add(kiosk.clone());
    all.add(revoked.clone());
    all.add(door);
    all.add(unwatched);
    all.add(ann.clone());
    all.add(bob.clone());
    all.add(cid.clone());
    all.add(face(ann.id, 5, 5));
    all.add(face(bob.id, 5, 6));
    all.add(FaceEnrollment::none(cid.id, at(-7)));
    all.add(site_rules(north.id));
    let night = shift(north.id, "Nächt", "22:00", "06:00");
    // Removed, with the name that another one has now.
    let mut gone = shift(north.id, "nächt", "21:00", "05:00");
    gone.removed_at = Some(at(9));
    let nights = cycle(north.id, "Nights", &[Some(night.id), None]);
    let vacation = leave_kind("Vacation");
    for employee in [ann.id, bob.id] {
        let (cycle, from) = (nights.id, nights.settings.starts);
        let to = None;
        all.add(assignment(employee, Assigned::Cycle { cycle, from, to }, 5));
        let (day, shifts) = (from, vec![gone.id]);
        all.add(assignment(employee, Assigned::Day { day, shifts }, 6));
        let mut away = leave(employee, from, 7);
        away.kind = vacation.id;
        all.add(away);
        all.add(entitlement(employee, vacation.id, 2027));
        for kind in [BalanceKind::Opening, BalanceKind::Manual] {
            all.add(balance_entry(employee, from, kind, 8));
        }
    }
    all.add(night);
    all.add(gone);
    all.add(nights);
    all.add(holidays("Berlin", &[north.id]));
    all.add(vacation);
    all.add(payroll_layout("Payroll office"));
    all.add(webhook("Payroll"));
    all.add(MailPreferences {
        account: admin.id,
        off: vec![LetterKind::Summary],
    });
    all.add(calendar_address(ann.id, 77));
    all.add(punch_credential(ann.id, 78));
    all.add(invitation(ann.id, 79));
    all.add(refused_punch(kiosk.id, Some(ann.id), 80));
    for number in 0..20 {
        all.add(photo(ann.id, number, 30_000));
    }
    for number in 1..=punches {
        let (who, place) = if number % 3 == 0 {
            (cid.id, revoked.id)
        } else {
            (ann.id, kiosk.id)
        };
        let mut one = punch(who, place, number, number as i64);
        if place == revoked.id {
            one.site = north.id;
        }
        one.proof = Proof::Face(Evidence {
            margin: Some(0.123_456_79),
            ..evidence()
        });
        one.request = (number % 2 == 0).then(|| request(&format!("key-{number}")));
        if number <= 4 {
            let (punch, employee) = (one.id, one.employee);
            let of = Pictured::Punch { punch, employee };
            all.add(picture(of, number as i64));
            all.add(picture(Pictured::Unknown, number as i64));
        }
        all.add(one);
    }
    for number in 0..3 {
        all.add(answer(kiosk.id, &format!("answer:{number}"), number));
        all.add(answer(revoked.id, &format!("answer:{number}"), number));
    }
    let setting = |name: &str, value: String| Setting {
        name: name.to_owned(),
        value,
    };
    all.add(setting("setup", admin.id.to_string()));
    all.add(setting("a:* name?", token(3).to_hex()));
    all.add(audit("account.create", admin.id, 1));
    all.add(audit("templates.enroll", ann.id, 2));
    all
}

/// Writes records in reverse, so that they are not written in the order of their IDs.
pub async fn fill(stores: &Repositories, records: &[Arc<dyn AnyRecord>]) {
    let writes = stream::iter(records.iter().rev());
    let writes = writes.map(|record| stores.engine.put(record.to_write(Expect::Absent).unwrap()));
    let writes = writes.buffer_unordered(8);
    writes.try_for_each(|_| async { Ok(()) }).await.unwrap();
}

/// Returns all records of a kind in a store.
pub async fn all<R: Record>(stores: &Repositories) -> Vec<R> {
    let all = Collection::<R>::new(stores.engine.clone());
    let whole = all.all_parts(Index::ID, Range::all(), Parts::Whole);
    whole.await.unwrap()
}

/// Writes a record, regardless of the existing one.
pub async fn overwrite<R: Record>(stores: &Repositories, record: &R) {
    let all = Collection::<R>::new(stores.engine.clone());
    all.put(record).await.unwrap();
}
