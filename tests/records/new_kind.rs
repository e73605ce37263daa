//! The cost of a new kind of record: its declaration, and a line in the list of kinds. Erasure,
//! export, backups, copies and key rotation follow.

use std::sync::Arc;

use rollcall::{
    clock::{Clock, SystemClock},
    domain::{
        ids::EmployeeId,
        record::{About, Changes, Index, Keys, Kind, OnErase, Record},
        sealed::{Binding, Sealed, SealedPart},
    },
    repositories::{Collection, Registered, Repositories, registered},
    service::{
        audit::Audit,
        backup::{self, Head},
        key_rotation::reseal,
        personal_data::{count_of, erase, records_of},
        sealed_faces,
        store_copy::{Compared, compare, copy},
    },
    vault::Vault,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    installation::{all, audit},
    records::{at, employee},
    stores::memory,
};

/// A sealed note about an employee.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Note {
    id: String,
    employee: EmployeeId,
    sealed: Sealed,
}

impl Note {
    const BY_EMPLOYEE: Index = Index::ordered("by_employee");
}

impl Record for Note {
    const KIND: &'static Kind = &Kind::archived("notes", "note", &[Self::BY_EMPLOYEE])
        .changing(Changes::Deleted)
        .sealing();
    type Id = String;

    fn id(&self) -> String {
        self.id.clone()
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_EMPLOYEE, (self.employee.uuid(),));
    }

    fn about(&self) -> About {
        About::employee(self.employee, OnErase::Delete)
    }

    fn sealed(&mut self) -> Vec<SealedPart<'_>> {
        vec![SealedPart {
            binding: Binding::Photo(self.employee),
            sealed: &mut self.sealed,
        }]
    }
}

fn with_notes(stores: Repositories) -> Repositories {
    let kinds = [registered(), &[Registered::new::<Note>()]].concat();
    Repositories {
        kinds: kinds.leak(),
        ..stores
    }
}

#[tokio::test]
async fn a_new_kind_is_part_of_everything() {
    let stores = with_notes(memory());
    let notes = Collection::<Note>::new(stores.engine.clone());
    let key = |byte| Zeroizing::new([byte; 32]);
    let old = Vault::new(&key(1), &[]);
    let (ann, bob) = (employee("Ann", "E1"), employee("Bob", "E2"));
    for (person, id) in [(&ann, "one"), (&ann, "two"), (&bob, "three")] {
        let _ = stores.employees.insert(person).await;
        let binding = Binding::Photo(person.id);
        let sealed = old.seal(SystemClock.nonce(), b"late again", &binding);
        let note = Note {
            id: id.to_owned(),
            employee: person.id,
            sealed: sealed.unwrap(),
        };
        notes.insert(&note).await.unwrap();
    }

    // Key rotation.
    assert_eq!(sealed_faces::any(&stores).await, Ok(true));
    let both = Vault::new(&key(2), &[key(1)]);
    let resealed = reseal(&stores, &both, &SystemClock, |_| ()).await.unwrap();
    assert_eq!(resealed.done, 3);
    let new = Vault::new(&key(2), &[]);
    for note in all::<Note>(&stores).await {
        let opened = new.open(&note.sealed, &Binding::Photo(note.employee));
        assert_eq!(opened.unwrap().as_slice(), b"late again");
    }

    // A backup, and a copy that is updated.
    let mut lines = Vec::new();
    let head = Head::new(at(0), "a store".to_owned(), None);
    backup::write(&stores, &head, &mut lines).await.unwrap();
    let restored = with_notes(memory());
    let (_, contents) = backup::read(&*lines, &restored).await.unwrap();
    assert!(contents.counts.contains(&(Note::KIND, 3)), "{contents:?}");
    assert!(contents.sealed_with.contains(new.key_id()));
    let refused = backup::read(&*lines, &memory()).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("would lose some of its notes"), "{text}");
    let entry = audit("note.delete", bob.id, 1);
    stores.audit.append(&entry).await.unwrap();
    notes.remove(&"three".to_owned()).await.unwrap();
    copy(&stores, &restored, |_| {}).await.unwrap();
    assert_eq!(all::<Note>(&restored).await.len(), 2);
    let compared = compare(&stores, &restored).await.unwrap();
    assert!(compared.iter().all(Compared::same), "{compared:?}");

    // Export and erasure.
    let about = records_of(&stores, ann.id).await.unwrap();
    let exported = about
        .iter()
        .filter_map(|found| found.record.downcast::<Note>());
    assert_eq!(exported.count(), 2);
    let audit = Audit::new(stores.audit.clone(), Arc::new(SystemClock));
    let erased = erase(&stores, &audit, &SystemClock, ann.id, false).await;
    assert_eq!(erased.unwrap().deleted[Note::KIND.name], 2);
    let left = count_of(&stores, ann.id).await.unwrap();
    assert!(!left.contains_key(Note::KIND.name), "{left:?}");
}
