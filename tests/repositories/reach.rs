//! Lists hold what the reach of their caller covers, whatever else is in the store.

use std::collections::BTreeSet;

use rollcall::{
    domain::{
        accounts::Actor,
        attendance::DateRange,
        audit::AuditEntry,
        grants::{Placed, Reach},
        ids::{AuditId, SiteId},
        pictures::{PictureKind, Pictured},
        plans::{Assigned, Assignment, Entry, Leave, LeaveState, ShiftKind},
        record::Record,
    },
    ports::{EmployeeFilter, LeaveFilter},
    repositories::{Repositories, Team},
};
use uuid::Uuid;

use crate::{
    pages::all_pages,
    records::{assignment, at, camera, device, employee, first, job, leave, picture, shift, site},
};

/// Dates among which all records of this test are.
const ALWAYS: DateRange = DateRange {
    from: jiff::civil::date(2026, 1, 1),
    to: jiff::civil::date(2028, 1, 1),
};

fn ids<R: Record>(records: &[R]) -> BTreeSet<String> {
    records.iter().map(|one| one.id().to_string()).collect()
}

fn covered<R: Record + Placed>(reach: &Reach, records: &[R]) -> BTreeSet<String> {
    let covered = records.iter().filter(|one| reach.covers(*one));
    covered.map(|one| one.id().to_string()).collect()
}

pub async fn every_list_holds_only_what_its_reach_covers(stores: &Repositories) {
    let sites = ["north", "south", "east"].map(site);
    let (mut people, mut devices, mut cameras, mut faces) = (vec![], vec![], vec![], vec![]);
    for number in 0..9_u8 {
        let site = sites[usize::from(number) % 3].id;
        let mut person = employee("Ann", &format!("E{number}"));
        person.settings.site = site;
        stores.employees.insert(&person).await.unwrap();
        people.push(person);
        let mut kiosk = device("Door", number);
        kiosk.site = site;
        stores.devices.insert(&kiosk).await.unwrap();
        devices.push(kiosk);
        let mut yard = camera(&format!("yard{number}"));
        yard.site = site;
        stores.cameras.insert(&yard).await.unwrap();
        cameras.push(yard);
        let mut face = picture(Pictured::Unknown, i64::from(number) / 2);
        face.site = site;
        stores.pictures.insert(&face).await.unwrap();
        faces.push(face);
    }
    for site in &sites {
        stores.sites.insert(site).await.unwrap();
    }
    let (mut shifts, mut assignments, mut leaves) = (vec![], vec![], vec![]);
    for (number, person) in people.iter().enumerate() {
        let one = shift(person.site, &format!("Shift {number}"), "08:00", "16:00");
        stores.shift_kinds.insert(&one).await.unwrap();
        shifts.push(one);
        let day = jiff::civil::date(2027, 1, 9 - number as i8);
        let plan = match number % 2 {
            0 => Assigned::Day {
                day,
                shifts: vec![],
            },
            _ => Assigned::Cycle {
                cycle: Uuid::now_v7().into(),
                from: day,
                to: None,
            },
        };
        let one = assignment(person.id, plan, number as i64);
        stores.assignments.insert(&one).await.unwrap();
        assignments.push(one);
        let one = leave(person.id, day, number as i64);
        stores.leave.insert(&one).await.unwrap();
        leaves.push(one);
    }
    let part = |sites: &[SiteId], own| Reach::Part {
        sites: sites.iter().copied().collect(),
        own,
    };
    let reaches = [
        Reach::Everything,
        Reach::nothing(),
        part(&[sites[0].id], None),
        part(&[sites[0].id, sites[2].id], None),
        part(&[], Some(people[4].id)),
        part(&[sites[2].id], Some(people[4].id)),
    ];
    let none = EmployeeFilter::default();
    for (reach, limit) in reaches
        .iter()
        .flat_map(|reach| [(reach, 1), (reach, 2), (reach, 100)])
    {
        let list = async |page| stores.employees.list(reach, &none, &page).await;
        let found = all_pages(limit, list, |one| (one.name.key(), one.id)).await;
        assert_eq!(ids(&found), covered(reach, &people), "{reach:?}");
        let list = async |page| stores.devices.list(reach, None, &page).await;
        let found = all_pages(limit, list, |one| one.id).await;
        assert_eq!(ids(&found), covered(reach, &devices), "{reach:?}");
        let list = async |page| stores.cameras.list(reach, None, &page).await;
        let found = all_pages(limit, list, |one| one.id).await;
        assert_eq!(ids(&found), covered(reach, &cameras), "{reach:?}");
        let list = async |page| {
            stores
                .pictures
                .list(reach, PictureKind::Unknown, &page)
                .await
        };
        let found = all_pages(limit, list, |one| (one.at, one.id)).await;
        assert_eq!(ids(&found), covered(reach, &faces), "{reach:?}");
        for of in [None, Some(sites[0].id)] {
            let list = async |page| stores.shift_kinds.list(reach, of, &page).await;
            let cursor =
                |one: &Entry<ShiftKind>| (Some(one.settings.site), one.settings.name.key(), one.id);
            let found = all_pages(limit, list, cursor).await;
            let expected = shifts.iter().filter(|one| {
                let site = one.settings.site;
                reach.covers_site(site) && of.is_none_or(|of| of == site)
            });
            let expected: Vec<_> = expected.cloned().collect();
            assert_eq!(ids(&found), ids(&expected), "{reach:?}");
        }
        let team = Team::new(reach, &people);
        let cursor = |one: &Assignment| (one.employee, one.made_at, one.id);
        let list = async |page| stores.assignments.list(&team, ALWAYS, &page).await;
        let found = all_pages(limit, list, cursor).await;
        let expected = assignments.iter().filter(|one| team.contains(one.employee));
        let expected: Vec<_> = expected.cloned().collect();
        assert_eq!(ids(&found), ids(&expected), "{reach:?}");
        let relevant = stores.assignments.relevant(&team, ALWAYS).await.unwrap();
        assert_eq!(relevant, expected, "in the order in which they were made");
        for state in [None, Some(LeaveState::Requested)] {
            let within = ALWAYS;
            let filter = LeaveFilter { state, within };
            let list = async |page| stores.leave.list(&team, filter, &page).await;
            let found = all_pages(limit, list, Leave::clone).await;
            let expected = leaves.iter().filter(|one| team.contains(one.employee));
            let expected: Vec<_> = expected.cloned().collect();
            assert_eq!(ids(&found), ids(&expected), "{reach:?}");
            let covering = stores.leave.covering(&team, ALWAYS).await.unwrap();
            assert_eq!(covering, expected, "in the order in which it was made");
        }
        let list = async |page| stores.sites.list(reach, &page).await;
        let found = all_pages(limit, list, |one| (one.name.key(), one.id)).await;
        assert_eq!(ids(&found), covered(reach, &sites), "{reach:?}");
    }
}

pub async fn jobs_and_the_audit_trail_are_listed_only_with_everything(stores: &Repositories) {
    stores.jobs.insert(&job(1)).await.unwrap();
    let entry = AuditEntry {
        id: AuditId::new(Uuid::now_v7()),
        at: at(1),
        actor: Actor::Operator,
        action: "job.add".to_owned(),
        subject: "1".to_owned(),
        detail: None,
    };
    stores.audit.append(&entry).await.unwrap();
    let site = Reach::Part {
        sites: BTreeSet::from([SiteId::DEFAULT]),
        own: None,
    };
    for (reach, count) in [(Reach::Everything, 1), (site, 0), (Reach::nothing(), 0)] {
        assert_eq!(
            stores.jobs.list(&reach, &first(9)).await.unwrap().len(),
            count
        );
        assert_eq!(
            stores.audit.list(&reach, &first(9)).await.unwrap().len(),
            count
        );
    }
}
