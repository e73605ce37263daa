//! A whole site: records of every kind, in every state that lists leave out.

use futures::{StreamExt, TryStreamExt, stream};
use rollcall::{
    domain::{
        accounts::{Account, Actor, Role},
        audit::AuditEntry,
        cameras::{Camera, Direction, WatchHours},
        devices::Device,
        employees::Employee,
        ids::AuditId,
    },
    ports::{GalleryChange, Pictured, RecordKind, Setting, StoredRecord, Stores},
};
use uuid::Uuid;

use crate::records::{
    account, answer, at, camera, consent, device, employee, photo, picture, punch, request, site,
    template, token,
};

/// More than the store reads at once of what is small.
pub const MANY: u64 = 1100;

/// The records, and those of them that tests ask for.
pub struct Site {
    pub records: Vec<StoredRecord>,
    pub admin: Account,
    pub ann: Employee,
    pub kiosk: Device,
    pub camera: Camera,
}

/// What somebody did to something.
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

/// A site with so many punches, every second of them with a request key.
pub fn site_with(punches: u64) -> Site {
    let admin = account("admin@example.org", Role::Admin);
    let mut gone = account("gone@example.org", Role::Viewer);
    gone.active = false;

    let kiosk = device("Front door", 1);
    let mut revoked = device("Back door", 2);
    revoked.site = Some(site("north"));
    revoked.revoked_at = Some(at(9));

    let mut door = camera("door");
    door.site = Some(site("north"));
    door.direction = Direction::In;
    door.viewers = Some(vec![admin.email.clone()]);
    door.hours = Some(WatchHours {
        from: jiff::civil::time(22, 0, 0, 0),
        to: jiff::civil::time(6, 30, 0, 0),
        days: vec![1, 5],
    });
    // Removed, with the stream that another one has now.
    let mut unwatched = camera("door");
    unwatched.removed_at = Some(at(9));

    let mut ann = employee("Ann", "E7");
    ann.consent = Some(consent(Actor::Account(admin.id)));
    ann.templates = 5;
    let mut bob = employee("Bob ünïcödé 👩🏽‍🚀", "E8");
    bob.site = Some(site("north"));
    bob.active = false;
    // Deleted, with the code that somebody else has now.
    let mut cid = employee("Cid", "e7");
    cid.deleted_at = Some(at(8));

    let mut records: Vec<StoredRecord> = vec![
        admin.clone().into(),
        gone.into(),
        kiosk.clone().into(),
        revoked.clone().into(),
        door.clone().into(),
        unwatched.into(),
        ann.clone().into(),
        bob.clone().into(),
        cid.clone().into(),
    ];
    for number in 0..5 {
        records.push(template(ann.id, number).into());
        records.push(template(bob.id, number).into());
    }
    records.extend((0..20).map(|number| photo(ann.id, number, 30_000).into()));
    for (employee, moment) in [(ann.id, 5), (cid.id, -7)] {
        let at = at(moment);
        records.push(GalleryChange { employee, at }.into());
    }
    for number in 1..=punches {
        let (who, place) = if number % 3 == 0 {
            (cid.id, revoked.id)
        } else {
            (ann.id, kiosk.id)
        };
        let mut one = punch(who, place, number, number as i64);
        one.evidence.margin = Some(0.123_456_79);
        one.request = (number % 2 == 0).then(|| request(&format!("key-{number}")));
        if number <= 4 {
            let (punch, employee) = (one.id, one.employee);
            let of = Pictured::Punch { punch, employee };
            records.push(picture(of, number as i64).into());
            records.push(picture(Pictured::Unknown, number as i64).into());
        }
        records.push(one.into());
    }
    for number in 0..3 {
        records.push(answer(kiosk.id, &format!("answer:{number}"), number).into());
        records.push(answer(revoked.id, &format!("answer:{number}"), number).into());
    }
    let setting = |name: &str, value: String| Setting {
        name: name.to_owned(),
        value,
    };
    records.push(setting("setup", admin.id.to_string()).into());
    records.push(setting("a:* name?", token(3).to_hex()).into());
    records.push(audit("account.create", admin.id, 1).into());
    records.push(audit("templates.enroll", ann.id, 2).into());
    Site {
        records,
        admin,
        ann,
        kiosk,
        camera: door,
    }
}

/// Writes records, the last first, so that they are not written in the order of their identities.
pub async fn fill(stores: &Stores, records: &[StoredRecord]) {
    stream::iter(records.iter().rev())
        .map(|record| stores.add(record))
        .buffer_unordered(8)
        .try_collect::<()>()
        .await
        .unwrap();
}

/// Everything of a kind that a store holds.
pub async fn all(stores: &Stores, kind: RecordKind) -> Vec<StoredRecord> {
    stores.archive.records(kind).try_concat().await.unwrap()
}

/// Makes an employee what they shall be, whatever they were.
pub async fn overwrite(stores: &Stores, employee: &Employee) {
    let was = stores.employees.find(employee.id).await.unwrap().unwrap();
    assert_eq!(stores.employees.update(&was, employee).await, Ok(true));
}
