//! The enrolled people in memory: exact cosine search over contiguous rows.
//!
//! Rows live in blocks behind `Arc`. A search takes a handle on all blocks and holds no lock
//! while it runs; a write copies only the block that it touches, and only when a search still
//! reads it. So readers never wait for longer than a few pointers take, and neither do writers.

mod dot;

use std::{
    cmp::Ordering,
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use zeroize::Zeroize;

use crate::{
    domain::{
        biometrics::{Embedding, Fused, Match, Reference, Resultant, Similarity, Views},
        ids::EmployeeId,
    },
    ports::Gallery,
};

/// People in one block: 128 KiB of rows at 128 dimensions, a copy that takes microseconds.
const BLOCK: usize = 256;

/// What is known of a row beside its numbers.
#[derive(Clone, Copy)]
struct Person {
    employee: EmployeeId,
    resultant: Resultant,
    views: Views,
}

/// Up to [`BLOCK`] people: one row of `dimensions` numbers each.
#[derive(Clone)]
struct Block {
    rows: Vec<f32>,
    people: Vec<Person>,
}

impl Drop for Block {
    fn drop(&mut self) {
        self.rows.zeroize();
    }
}

#[derive(Default)]
struct Table {
    blocks: Arc<Vec<Arc<Block>>>,
    places: HashMap<EmployeeId, usize>,
}

/// The gallery of one embedding space.
pub struct MemoryGallery {
    dimensions: usize,
    table: RwLock<Table>,
}

impl fmt::Debug for MemoryGallery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryGallery({} people)", self.people())
    }
}

impl MemoryGallery {
    /// An empty gallery for embeddings of this size.
    ///
    /// References of any other size are left out, with a warning, and probes of any other size
    /// find nobody: they come from another model.
    pub fn new(dimensions: usize) -> Self {
        Self {
            dimensions,
            table: RwLock::default(),
        }
    }

    // A panic while the lock was held cannot leave a row half written: rows are put in whole.
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A person who may be among the best.
#[derive(Clone, Copy)]
struct Found {
    score: f32,
    similarity: f32,
    person: Person,
}

impl Found {
    /// Best first; equals by identity, so that an answer never depends on the order of rows.
    fn order(&self, other: &Self) -> Ordering {
        other
            .score
            .total_cmp(&self.score)
            .then_with(|| self.person.employee.cmp(&other.person.employee))
    }
}

impl Gallery for MemoryGallery {
    fn people(&self) -> usize {
        self.read().places.len()
    }

    fn search(&self, probe: &Embedding, slope: f32, limit: usize) -> Vec<Match> {
        let probe = probe.as_slice();
        if probe.len() != self.dimensions || limit == 0 {
            return Vec::new();
        }
        let blocks = Arc::clone(&self.read().blocks);
        let mut best: Vec<Found> = Vec::with_capacity(limit.min(BLOCK) + 1);
        let mut least = f32::NEG_INFINITY;
        let mut similarities = [0f32; BLOCK];
        for block in blocks.iter() {
            let similarities = &mut similarities[..block.people.len()];
            dot::products(&block.rows, probe, similarities);
            for (&similarity, &person) in similarities.iter().zip(&block.people) {
                let score = similarity - slope * person.resultant.spread();
                if score < least {
                    continue;
                }
                let found = Found {
                    score,
                    similarity,
                    person,
                };
                let place = best.partition_point(|other| other.order(&found).is_lt());
                best.insert(place, found);
                best.truncate(limit);
                if best.len() == limit {
                    least = best[limit - 1].score;
                }
            }
        }
        best.into_iter()
            .filter_map(|found| {
                Some(Match {
                    employee: found.person.employee,
                    similarity: Similarity::new(found.similarity.clamp(-1.0, 1.0))?,
                    resultant: found.person.resultant,
                })
            })
            .collect()
    }

    fn find(&self, employee: EmployeeId) -> Option<Reference> {
        let table = self.read();
        let place = *table.places.get(&employee)?;
        let block = &table.blocks[place / BLOCK];
        let start = place % BLOCK * self.dimensions;
        let row = block.rows[start..start + self.dimensions].to_vec();
        let person = block.people[place % BLOCK];
        Some(Reference {
            fused: Fused {
                embedding: Embedding::normalise(row)?,
                resultant: person.resultant,
            },
            views: person.views,
        })
    }

    fn put(&self, employee: EmployeeId, reference: Reference) {
        let row = reference.fused.embedding.as_slice();
        if row.len() != self.dimensions {
            tracing::warn!(
                %employee,
                size = row.len(),
                wanted = self.dimensions,
                "a template of another model's size was left out of the gallery"
            );
            return;
        }
        let person = Person {
            employee,
            resultant: reference.fused.resultant,
            views: reference.views,
        };
        let mut table = self.write();
        let next = table.places.len();
        let place = *table.places.entry(employee).or_insert(next);
        let blocks = Arc::make_mut(&mut table.blocks);
        if place / BLOCK == blocks.len() {
            blocks.push(Arc::new(Block {
                rows: Vec::with_capacity(BLOCK * self.dimensions),
                people: Vec::with_capacity(BLOCK),
            }));
        }
        let block = Arc::make_mut(&mut blocks[place / BLOCK]);
        let (slot, start) = (place % BLOCK, place % BLOCK * self.dimensions);
        if slot == block.people.len() {
            block.rows.extend_from_slice(row);
            block.people.push(person);
        } else {
            block.rows[start..start + self.dimensions].copy_from_slice(row);
            block.people[slot] = person;
        }
    }

    fn remove(&self, employee: EmployeeId) -> bool {
        let mut table = self.write();
        let Some(place) = table.places.remove(&employee) else {
            return false;
        };
        let table = &mut *table;
        let blocks = Arc::make_mut(&mut table.blocks);
        // The last row takes the place that became free.
        let Some(last) = blocks.last_mut().map(Arc::make_mut) else {
            return false;
        };
        let Some(moved) = last.people.pop() else {
            return false;
        };
        let start = last.people.len() * self.dimensions;
        let row = last.rows[start..].to_vec();
        last.rows[start..].zeroize();
        last.rows.truncate(start);
        if last.people.is_empty() {
            blocks.pop();
        }
        if moved.employee != employee {
            let block = Arc::make_mut(&mut blocks[place / BLOCK]);
            let start = place % BLOCK * self.dimensions;
            block.rows[start..start + self.dimensions].copy_from_slice(&row);
            block.people[place % BLOCK] = moved;
            table.places.insert(moved.employee, place);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const SIZE: usize = 19;

    fn employee(number: u8) -> EmployeeId {
        EmployeeId::new(Uuid::from_u128(u128::from(number)))
    }

    fn reference(values: &[f32], resultant: f32) -> Option<Reference> {
        Some(Reference {
            fused: Fused {
                embedding: Embedding::normalise(values.to_vec())?,
                resultant: Resultant::new(resultant)?,
            },
            views: Views::All,
        })
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(u8, Vec<f32>, f32),
        Remove(u8),
    }

    fn values() -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(-1f32..1.0, SIZE)
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (any::<u8>(), values(), 0.9f32..1.0).prop_map(|(who, values, r)| Step::Put(who, values, r)),
            1 => any::<u8>().prop_map(Step::Remove),
        ];
        prop::collection::vec(step, 0..400)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn exact_search_equals_the_naive_one(
            steps in steps(), probe in values(), slope in 0f32..1.0, limit in 1usize..8,
        ) {
            let gallery = MemoryGallery::new(SIZE);
            let mut model = std::collections::BTreeMap::new();
            for step in steps {
                match step {
                    Step::Put(who, values, r) => {
                        if let Some(made) = reference(&values, r) {
                            gallery.put(employee(who), made.clone());
                            model.insert(employee(who), made);
                        }
                    }
                    Step::Remove(who) => {
                        prop_assert_eq!(gallery.remove(employee(who)), model.remove(&employee(who)).is_some());
                    }
                }
            }
            prop_assert_eq!(gallery.people(), model.len());
            let Some(probe) = Embedding::normalise(probe) else { return Ok(()) };
            let mut naive: Vec<(f32, EmployeeId)> = model
                .iter()
                .map(|(who, made)| {
                    let similarity = probe.similarity(&made.fused.embedding).unwrap().value();
                    (similarity - slope * made.fused.resultant.spread(), *who)
                })
                .collect();
            naive.sort_by(|a, b| b.0.total_cmp(&a.0));
            let found = gallery.search(&probe, slope, limit);
            prop_assert_eq!(found.len(), limit.min(naive.len()));
            for (found, (score, _)) in found.iter().zip(&naive) {
                let got = found.similarity.value() - slope * found.resultant.spread();
                prop_assert!((got - score).abs() < 1e-5, "{} for {}", got, score);
                let own = &model[&found.employee].fused;
                prop_assert_eq!(own.resultant, found.resultant);
                let similarity = probe.similarity(&own.embedding).unwrap();
                prop_assert!((similarity.value() - found.similarity.value()).abs() < 1e-5);
            }
            for (who, made) in &model {
                let kept = gallery.find(*who).unwrap();
                prop_assert_eq!(kept.views, made.views);
                let same = kept.fused.embedding.similarity(&made.fused.embedding).unwrap();
                prop_assert!(same.value() > 0.99999);
            }
        }
    }

    #[test]
    fn embeddings_of_another_size_are_left_out() {
        let gallery = MemoryGallery::new(SIZE);
        gallery.put(employee(1), reference(&[1.0; 7], 1.0).unwrap());
        assert_eq!(gallery.people(), 0);
        gallery.put(employee(2), reference(&[1.0; SIZE], 1.0).unwrap());
        let probe = Embedding::normalise(vec![1.0; 7]).unwrap();
        assert!(gallery.search(&probe, 0.5, 3).is_empty());
        assert!(gallery.find(employee(1)).is_none());
    }

    #[test]
    fn people_beyond_one_block_are_found_and_removed() {
        let gallery = MemoryGallery::new(SIZE);
        let people = 3 * BLOCK + 5;
        let who = |number: usize| EmployeeId::new(Uuid::from_u128(number as u128));
        let row = |number: usize| -> Vec<f32> {
            (0..SIZE)
                .map(|i| ((number * 31 + i * 17) as f32).sin())
                .collect()
        };
        for number in 0..people {
            gallery.put(who(number), reference(&row(number), 1.0).unwrap());
        }
        for number in (0..people).step_by(2) {
            assert!(gallery.remove(who(number)));
        }
        assert_eq!(gallery.people(), people / 2);
        for number in 0..people {
            let probe = Embedding::normalise(row(number)).unwrap();
            let best = gallery.search(&probe, 0.0, 1)[0];
            let same = best.employee == who(number);
            assert_eq!(same, number % 2 == 1, "{number}");
        }
    }

    #[test]
    fn a_search_sees_the_people_of_when_it_began_while_others_write() {
        let gallery = MemoryGallery::new(SIZE);
        let made = reference(&[1.0; SIZE], 1.0).unwrap();
        for number in 0..100 {
            gallery.put(employee(number), made.clone());
        }
        std::thread::scope(|scope| {
            for part in 0..2u8 {
                let (gallery, made) = (&gallery, &made);
                scope.spawn(move || {
                    for round in 0..200u8 {
                        let who = employee(100 + part * 50 + round % 50);
                        gallery.put(who, made.clone());
                        assert!(gallery.remove(who));
                    }
                });
            }
            for _ in 0..200 {
                let found = gallery.search(&made.fused.embedding, 0.5, 200);
                assert!(found.len() >= 100 && found.len() <= 102);
            }
        });
        assert_eq!(gallery.people(), 100);
    }
}
