//! Backups: they are restored unchanged or refused, and backups of a store in use are consistent.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use rollcall::{
    domain::{
        attendance::{KeptAnswer, Origin, Punch},
        audit::AuditEntry,
        devices::Device,
        employees::Employee,
        faces::FaceEnrollment,
        record::{Index, Kind, Record},
    },
    ports::{Parts, Range, RecordEngine, Revision, StoreError, Stored, Write},
    repositories::Repositories,
    service::{
        backup::{BackupError, Head, read, write},
        store_copy::{Compared, compare},
    },
    storage::memory::MemoryEngine,
};
use serde_json::{Value, json};

use crate::{
    installation::{all, audit, fill, installation_with, overwrite},
    records::*,
    stores::memory,
};

fn head() -> Head {
    Head::new(Timestamp::now(), "a store".to_owned(), None)
}

async fn backup(stores: &Repositories) -> Result<Vec<String>, BackupError> {
    let mut lines = Vec::new();
    write(stores, &head(), &mut lines).await?;
    let text = String::from_utf8(lines).unwrap();
    Ok(text.lines().map(str::to_owned).collect())
}

async fn restore(lines: &[String]) -> Result<Repositories, BackupError> {
    let restored = memory();
    let text = lines.join("\n") + "\n";
    read(text.as_bytes(), &restored).await?;
    Ok(restored)
}

#[tokio::test]
async fn a_backup_is_restored_unchanged() {
    let stores = memory();
    let installation = installation_with(20);
    fill(&stores, &installation.records).await;
    stores.jobs.insert(&job(0)).await.unwrap();
    let lines = backup(&stores).await.unwrap();
    assert_eq!(
        lines.len(),
        installation.records.len() + 2,
        "it contains no job"
    );
    // A record follows the records that it refers to, and the audit trail comes last.
    let first = |kind: &Kind| {
        let begins = format!(r#"{{"kind":"{}","#, kind.name);
        lines.iter().position(|line| line.starts_with(&begins))
    };
    assert!(first(Punch::KIND) < first(Employee::KIND));
    assert!(first(FaceEnrollment::KIND) < first(Employee::KIND));
    assert_eq!(first(AuditEntry::KIND), Some(lines.len() - 3));

    let restored = restore(&lines).await.unwrap();
    let compared = compare(&stores, &restored).await.unwrap();
    assert!(compared.iter().all(Compared::same), "{compared:?}");
    let mut contents = Vec::new();
    let contents = write(&stores, &head(), &mut contents).await.unwrap();
    let punches = contents.counts.iter().find(|one| one.0 == Punch::KIND);
    assert_eq!(punches.map(|one| one.1), Some(20));
    assert!(contents.sealed_with.contains("key-4"), "{contents:?}");
    let empty = backup(&memory()).await;
    assert!(matches!(empty, Err(BackupError::Empty)), "{empty:?}");
}

#[tokio::test]
async fn an_incomplete_backup_is_refused() {
    let stores = memory();
    fill(&stores, &installation_with(20).records).await;
    let lines = backup(&stores).await.unwrap();
    let refused = async |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        restore(&lines)
            .await
            .expect_err("it is refused")
            .to_string()
    };
    let of = |lines: &[String], kind: &Kind| {
        let begins = format!(r#"{{"kind":"{}","#, kind.name);
        let found = lines.iter().position(|line| line.starts_with(&begins));
        found.unwrap()
    };
    let form = refused(&|lines| lines[0] = lines[0].replace(r#""form":2"#, r#""form":3"#)).await;
    assert!(form.contains("in the format of this version"), "{form}");
    let badge = |lines: &mut Vec<String>| {
        let person = of(lines, Employee::KIND);
        lines[person] = lines[person].replace(r#""name":"#, r#""badge":7,"name":"#);
    };
    let lost = refused(&badge).await;
    assert!(lost.contains("would lose some of its employees"), "{lost}");
    let newer = |lines: &mut Vec<String>| {
        let face = of(lines, FaceEnrollment::KIND);
        lines[face] = lines[face].replacen(r#""version":1"#, r#""version":99"#, 1);
    };
    let version = refused(&newer).await;
    assert!(
        version.contains("some of its face enrollments"),
        "{version}"
    );
    let kind = json!({"kind": "work_plans", "version": 1, "record": {}}).to_string();
    let kind = refused(&|lines| lines[1] = kind.clone()).await;
    assert!(kind.contains("would lose some of its work plans"), "{kind}");
    let none = refused(&|lines| lines[1] = "{}".to_owned()).await;
    assert!(none.contains("in the format of this version"), "{none}");
    let session = json!({"kind": "sessions", "version": 1, "record": {}}).to_string();
    refused(&|lines| lines[1] = session.clone()).await;
    let fewer = refused(&|lines| drop(lines.remove(of(lines, Punch::KIND)))).await;
    assert!(fewer.contains("its punches do not match"), "{fewer}");
    let twice = refused(&|lines| lines.insert(1, lines[1].clone())).await;
    assert!(twice.contains("contains duplicate"), "{twice}");
    let early = refused(&|lines| drop(lines.pop())).await;
    assert!(early.contains("is truncated"), "{early}");
    refused(&|lines| lines.push("{}".to_owned())).await;
    refused(&|lines| lines.clear()).await;
}

#[tokio::test]
async fn a_backup_from_before_a_kind_existed_is_restored() {
    let stores = memory();
    fill(&stores, &installation_with(3).records).await;
    let mut lines = backup(&stores).await.unwrap();
    lines.retain(|line| !line.starts_with(r#"{"kind":"cameras""#));
    let mut end: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    let tally = end["end"].as_object_mut().unwrap().remove("cameras");
    assert_eq!(tally.unwrap()["count"], 2);
    *lines.last_mut().unwrap() = end.to_string();
    let restored = restore(&lines).await.unwrap();
    assert_eq!(all::<Punch>(&restored).await.len(), 3);
}

/// Adds people, kiosks, faces, punches and responses until it is stopped.
async fn work(stores: &Repositories, stop: &AtomicBool) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let entry = audit("employee.add", number, number);
        stores.audit.append(&entry).await.unwrap();
        let person = employee(&format!("P{number}"), &format!("N{number}"));
        stores.employees.insert(&person).await.unwrap();
        let mut kiosk = device("Kiosk", 0);
        kiosk.token.0[..8].copy_from_slice(&(number as u64).to_le_bytes());
        stores.devices.insert(&kiosk).await.unwrap();
        overwrite(stores, &face(person.id, 2, number)).await;
        let passed = punch(person.id, kiosk.id, 1, number);
        stores.punches.append(&passed).await.unwrap();
        let kept = answer(kiosk.id, "again", number);
        stores.punches.keep_answer(&kept).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

on_each_store! { a_backup_of_a_store_in_use_is_consistent }

async fn a_backup_of_a_store_in_use_is_consistent(stores: &Repositories) {
    fill(stores, &installation_with(30).records).await;
    let stop = Arc::new(AtomicBool::new(false));
    let working = tokio::spawn({
        let (stores, stop) = (stores.clone(), stop.clone());
        async move { work(&stores, &stop).await }
    });
    let begin = std::time::Instant::now();
    loop {
        assert!(begin.elapsed() < Duration::from_secs(120));
        let lines = match backup(stores).await {
            // The concurrent work can overload a small machine.
            Err(BackupError::Store(StoreError::Unavailable(_))) => continue,
            lines => lines.unwrap(),
        };
        if consistent_punches(&restore(&lines).await.unwrap()).await >= 50 {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    working.await.unwrap();
}

/// Counts the punches. Records that belong together must all exist.
async fn consistent_punches(restored: &Repositories) -> usize {
    let people: HashSet<_> = all::<Employee>(restored)
        .await
        .iter()
        .map(|one| one.id)
        .collect();
    let places: HashSet<_> = all::<Device>(restored)
        .await
        .iter()
        .map(|one| Origin::Device(one.id))
        .collect();
    let punches = all::<Punch>(restored).await;
    for punch in &punches {
        assert!(people.contains(&punch.employee) && places.contains(&punch.origin));
    }
    for face in all::<FaceEnrollment>(restored).await {
        assert!(people.contains(&face.employee));
    }
    for answer in all::<KeptAnswer>(restored).await {
        assert!(places.contains(&answer.origin));
    }
    punches.len()
}

/// A store whose employees change before the second page is read.
struct Changing {
    before: MemoryEngine,
    after: MemoryEngine,
}

#[async_trait]
impl RecordEngine for Changing {
    async fn get(
        &self,
        kind: &'static Kind,
        ids: &[String],
        parts: Parts,
    ) -> Result<Vec<Option<Stored>>, StoreError> {
        self.after.get(kind, ids, parts).await
    }

    async fn scan(
        &self,
        kind: &'static Kind,
        index: Index,
        range: &Range,
        limit: usize,
        parts: Parts,
    ) -> Result<Vec<Stored>, StoreError> {
        let engine = match range.after {
            None => &self.before,
            Some(_) => &self.after,
        };
        engine.scan(kind, index, range, limit, parts).await
    }

    async fn put(&self, write: Write) -> Result<Option<Revision>, StoreError> {
        self.after.put(write).await
    }

    async fn delete(
        &self,
        kind: &'static Kind,
        records: &[(String, Option<Revision>)],
    ) -> Result<u64, StoreError> {
        self.after.delete(kind, records).await
    }

    async fn count(
        &self,
        kind: &'static Kind,
        index: Index,
        range: &Range,
    ) -> Result<u64, StoreError> {
        self.after.count(kind, index, range).await
    }

    fn description(&self) -> String {
        self.after.description()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn clear_traces(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn close(&self) {}
}

#[tokio::test]
async fn a_code_that_changes_owner_meanwhile_does_not_break_the_backup() {
    let mut people: Vec<_> = (0..Employee::KIND.page + 1)
        .map(|number| employee(&format!("P{number}"), &format!("N{number}")))
        .collect();
    let (before, after) = (MemoryEngine::default(), MemoryEngine::default());
    for person in &people {
        let write = Write::from_record(person, rollcall::ports::Expect::Absent);
        before.put(write.unwrap()).await.unwrap();
    }
    // The code of the first employee goes to the last one, who is on the second page.
    people.last_mut().unwrap().settings.code = people[0].code.clone();
    people[0].settings.code = code("another");
    for person in &people {
        let write = Write::from_record(person, rollcall::ports::Expect::Absent);
        after.put(write.unwrap()).await.unwrap();
    }
    let changing = Repositories::new(Arc::new(Changing { before, after }));
    let moved = backup(&changing)
        .await
        .expect_err("the code is there twice");
    assert!(
        matches!(moved, BackupError::Moved(kind) if kind == Employee::KIND),
        "{moved:?}"
    );
}
