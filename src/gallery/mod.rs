//! The gallery: the enrolled people in memory, with exact cosine search over contiguous rows.
//!
//! A search reads eight-bit copies of the rows first. They give an upper bound of each similarity,
//! and only rows whose bound reaches the best matches so far are compared exactly; see
//! `quantized.rs`. The result is the same as if every row were compared exactly.
//!
//! Rows are stored in blocks behind `Arc`. A search clones the handle of the blocks and holds no
//! lock while it runs. A write copies only the block that it changes, and only if a search still
//! reads that block. So searches and writes block each other for a fraction of a
//! millisecond at most.

mod dot_product;
mod quantized;
mod threshold_offset;

use std::{
    cmp::Ordering,
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use zeroize::{Zeroize, Zeroizing};

use self::quantized::{Outline, QuantizedProbe};
use crate::{
    domain::{
        biometrics::{
            Calibration, Embedding, Fused, Match, Reference, Resultant, Similarity, Views,
        },
        ids::EmployeeId,
        self_calibration::SelfCalibration,
    },
    ports::Gallery,
};

/// Number of people in one block: 640 KiB of rows and copies at 128 dimensions. With small blocks, a
/// search often waits for the memory of the next one. Large ones take longer to copy, if a write
/// must copy one.
const BLOCK: usize = 1024;

/// The person of a row.
#[derive(Clone, Copy)]
struct Person {
    employee: EmployeeId,
    resultant: Resultant,
    views: Views,
    /// The offset of the person's threshold.
    offset: f32,
}

impl Person {
    /// Returns the score of a similarity, by which a search orders people.
    fn score(&self, similarity: f32, slope: f32) -> f32 {
        similarity - slope * self.resultant.spread() - self.offset
    }
}

/// A block of up to [`BLOCK`] people, with one row of `dimensions` numbers each, and its eight-bit
/// copy. Rows have their full size from the start, so that no part of a template stays in memory
/// that a growing vector has left.
#[derive(Clone)]
struct Block {
    rows: Zeroizing<Box<[f32]>>,
    copies: Zeroizing<Box<[i8]>>,
    outlines: Vec<Outline>,
    people: Vec<Person>,
}

impl Block {
    fn new(dimensions: usize) -> Self {
        let numbers = BLOCK * dimensions;
        Self {
            rows: Zeroizing::new(vec![0.0; numbers].into()),
            copies: Zeroizing::new(vec![0; numbers].into()),
            outlines: Vec::with_capacity(BLOCK),
            people: Vec::with_capacity(BLOCK),
        }
    }

    /// Returns the numbers of a place.
    fn row(&self, place: usize, dimensions: usize) -> &[f32] {
        &self.rows[place * dimensions..][..dimensions]
    }

    /// Replaces the person of a place, or adds one after the last.
    fn put(&mut self, place: usize, row: &[f32], person: Person) {
        let numbers = place * row.len()..(place + 1) * row.len();
        self.rows[numbers.clone()].copy_from_slice(row);
        let (spread, offset) = (person.resultant.spread(), person.offset);
        let outline = quantized::quantize(row, spread, offset, &mut self.copies[numbers]);
        if place == self.people.len() {
            self.outlines.push(outline);
            self.people.push(person);
        } else {
            self.outlines[place] = outline;
            self.people[place] = person;
        }
    }

    /// Sets the offset of the threshold of a person.
    fn set_offset(&mut self, place: usize, offset: f32) {
        self.people[place].offset = offset;
        self.outlines[place].offset = offset;
    }

    /// Removes the last person, and clears their numbers.
    fn pop(&mut self, dimensions: usize) -> Option<(Zeroizing<Vec<f32>>, Person)> {
        let person = self.people.pop()?;
        self.outlines.pop();
        let place = self.people.len();
        let row = Zeroizing::new(self.row(place, dimensions).to_vec());
        self.rows[place * dimensions..][..dimensions].zeroize();
        self.copies[place * dimensions..][..dimensions].zeroize();
        Some((row, person))
    }
}

/// The look-alikes in each reference. Only few people have any; the others are left out.
type LookAlikes = HashMap<EmployeeId, Vec<EmployeeId>>;

#[derive(Default)]
struct Table {
    blocks: Arc<Vec<Arc<Block>>>,
    places: HashMap<EmployeeId, usize>,
    look_alikes: Arc<LookAlikes>,
    /// Number of changes so far.
    changes: u64,
    /// The result of the last self-calibration, and the number of changes that it includes.
    calibrated: Option<(SelfCalibration, u64)>,
}

impl Table {
    /// Returns the row of a person and what is known of them.
    fn row(&self, employee: EmployeeId, dimensions: usize) -> Option<(&[f32], Person)> {
        let place = *self.places.get(&employee)?;
        let block = &self.blocks[place / BLOCK];
        let place = place % BLOCK;
        Some((block.row(place, dimensions), block.people[place]))
    }

    /// Replaces the look-alikes in a person's reference.
    fn set_look_alikes(&mut self, employee: EmployeeId, look_alikes: Vec<EmployeeId>) {
        // Nearly always nothing changes, and nothing is copied.
        if !look_alikes.is_empty() {
            Arc::make_mut(&mut self.look_alikes).insert(employee, look_alikes);
        } else if self.look_alikes.contains_key(&employee) {
            Arc::make_mut(&mut self.look_alikes).remove(&employee);
        }
    }
}

/// Returns the look-alikes of a person: those in their reference, and those whose reference
/// contains them.
fn both_ways(look_alikes: &LookAlikes, employee: EmployeeId) -> Vec<EmployeeId> {
    let own = look_alikes.get(&employee).into_iter().flatten().copied();
    let others = look_alikes
        .iter()
        .filter(|(_, others)| others.contains(&employee))
        .map(|(other, _)| *other);
    own.chain(others).collect()
}

/// The gallery of one embedding space.
pub struct MemoryGallery {
    dimensions: usize,
    /// The offset of every threshold before the first self-calibration.
    prior: f32,
    table: RwLock<Table>,
    /// Held during a self-calibration.
    calibrating: Mutex<()>,
}

impl fmt::Debug for MemoryGallery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryGallery({} people)", self.people())
    }
}

impl MemoryGallery {
    /// Creates an empty gallery for embeddings of this size.
    ///
    /// A different size means another model: such a reference is left out with a warning, and
    /// such a probe finds no match.
    pub fn new(dimensions: usize) -> Self {
        Self {
            dimensions,
            prior: 0.0,
            table: RwLock::default(),
            calibrating: Mutex::default(),
        }
    }

    /// Sets the offset of every threshold before the first self-calibration.
    pub fn with_prior(self, prior: f32) -> Self {
        Self { prior, ..self }
    }

    // A poisoned lock is safe to use: no write leaves a row half written.
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the candidate for one person; `None` if they are not enrolled.
    fn candidate(&self, employee: EmployeeId, probe: &[f32], slope: f32) -> Option<Found> {
        let table = self.read();
        let (row, person) = table.row(employee, self.dimensions)?;
        Some(Found::new(row, person, probe, slope))
    }
}

/// A candidate for the best matches of a search.
#[derive(Clone, Copy)]
struct Found {
    score: f32,
    similarity: f32,
    person: Person,
}

impl Found {
    /// Compares a person exactly.
    fn new(row: &[f32], person: Person, probe: &[f32], slope: f32) -> Self {
        let mut similarity = [0f32];
        dot_product::products(row, probe, &mut similarity);
        Self {
            score: person.score(similarity[0], slope),
            similarity: similarity[0],
            person,
        }
    }

    /// Orders the best first, and equal scores by ID, so that a result never depends on the order
    /// of rows.
    fn order(&self, other: &Self) -> Ordering {
        other
            .score
            .total_cmp(&self.score)
            .then_with(|| self.person.employee.cmp(&other.person.employee))
    }

    fn into_match(self, look_alikes: &LookAlikes) -> Option<Match> {
        let employee = self.person.employee;
        Some(Match {
            employee,
            similarity: Similarity::new(self.similarity.clamp(-1.0, 1.0))?,
            resultant: self.person.resultant,
            views: self.person.views,
            offset: self.person.offset,
            look_alikes: look_alikes.get(&employee).cloned().unwrap_or_default(),
        })
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
        let (blocks, look_alikes) = {
            let table = self.read();
            (Arc::clone(&table.blocks), Arc::clone(&table.look_alikes))
        };
        let mut best: Vec<Found> = Vec::with_capacity(limit.min(BLOCK) + 1);
        let mut least = f32::NEG_INFINITY;
        let quantized = QuantizedProbe::new(probe);
        let mut bounds = [0f32; BLOCK];
        for block in blocks.iter() {
            let people = block.people.len();
            let copies = &block.copies[..people * self.dimensions];
            let bounds = &mut bounds[..people];
            quantized.upper_bounds(copies, &block.outlines, slope, bounds);
            for (place, &bound) in bounds.iter().enumerate() {
                if bound < least {
                    continue;
                }
                let (row, person) = (block.row(place, self.dimensions), block.people[place]);
                let found = Found::new(row, person, probe, slope);
                if found.score < least {
                    continue;
                }
                let place = best.partition_point(|other| other.order(&found).is_lt());
                best.insert(place, found);
                best.truncate(limit);
                if best.len() == limit {
                    least = best[limit - 1].score;
                }
            }
        }
        if let Some(first) = best.first() {
            for other in both_ways(&look_alikes, first.person.employee) {
                if best.iter().all(|found| found.person.employee != other) {
                    best.extend(self.candidate(other, probe, slope));
                }
            }
            best.sort_by(Found::order);
        }
        best.into_iter()
            .filter_map(|found| found.into_match(&look_alikes))
            .collect()
    }

    fn compare(&self, employee: EmployeeId, probe: &Embedding) -> Option<Match> {
        if probe.as_slice().len() != self.dimensions {
            return None;
        }
        let found = self.candidate(employee, probe.as_slice(), 0.0)?;
        found.into_match(&self.read().look_alikes)
    }

    fn find(&self, employee: EmployeeId) -> Option<Reference> {
        let table = self.read();
        let (row, person) = table.row(employee, self.dimensions)?;
        let look_alikes = table.look_alikes.get(&employee);
        Some(Reference {
            fused: Fused {
                embedding: Embedding::normalize(row.to_vec())?,
                resultant: person.resultant,
            },
            views: person.views,
            look_alikes: look_alikes.cloned().unwrap_or_default(),
        })
    }

    fn put(&self, employee: EmployeeId, reference: Reference) {
        let row = reference.fused.embedding.as_slice();
        if row.len() != self.dimensions {
            tracing::warn!(
                %employee,
                size = row.len(),
                wanted = self.dimensions,
                "left a template out of the gallery: its size is that of another model"
            );
            return;
        }
        let mut table = self.write();
        table.changes += 1;
        let common = table
            .calibrated
            .map_or(self.prior, |(found, _)| found.common);
        let person = Person {
            employee,
            resultant: reference.fused.resultant,
            views: reference.views,
            // Until the next self-calibration. A changed reference keeps its own offset.
            offset: table
                .row(employee, self.dimensions)
                .map_or(common, |(_, present)| present.offset.max(common)),
        };
        table.set_look_alikes(employee, reference.look_alikes);
        let next = table.places.len();
        let place = *table.places.entry(employee).or_insert(next);
        let blocks = Arc::make_mut(&mut table.blocks);
        if place / BLOCK == blocks.len() {
            blocks.push(Arc::new(Block::new(self.dimensions)));
        }
        Arc::make_mut(&mut blocks[place / BLOCK]).put(place % BLOCK, row, person);
    }

    fn remove(&self, employee: EmployeeId) -> bool {
        let mut table = self.write();
        let Some(place) = table.places.remove(&employee) else {
            return false;
        };
        table.changes += 1;
        table.set_look_alikes(employee, Vec::new());
        let table = &mut *table;
        let blocks = Arc::make_mut(&mut table.blocks);
        // The last row moves to the free place.
        let Some(last) = blocks.last_mut().map(Arc::make_mut) else {
            return false;
        };
        let Some((row, moved)) = last.pop(self.dimensions) else {
            return false;
        };
        if last.people.is_empty() {
            blocks.pop();
        }
        if moved.employee != employee {
            Arc::make_mut(&mut blocks[place / BLOCK]).put(place % BLOCK, &row, moved);
            table.places.insert(moved.employee, place);
        }
        true
    }

    fn calibrate(&self, calibration: &Calibration) -> Option<SelfCalibration> {
        let _one_at_a_time = self
            .calibrating
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (blocks, changes) = {
            let table = self.read();
            if table.calibrated.is_some_and(|(_, of)| of == table.changes) {
                return None;
            }
            (Arc::clone(&table.blocks), table.changes)
        };
        let measured = threshold_offset::measure(&blocks, self.dimensions, calibration);
        // Otherwise every block that changes would be copied.
        drop(blocks);
        // One lock for each block, so that no search waits long.
        for offsets in measured.offsets.chunks(BLOCK) {
            let mut table = self.write();
            let table = &mut *table;
            for (employee, offset) in offsets {
                // A person may have been removed or moved since the measurement began.
                let Some(&place) = table.places.get(employee) else {
                    continue;
                };
                let blocks = Arc::make_mut(&mut table.blocks);
                if blocks[place / BLOCK].people[place % BLOCK].offset != *offset {
                    let block = Arc::make_mut(&mut blocks[place / BLOCK]);
                    block.set_offset(place % BLOCK, *offset);
                }
            }
        }
        self.write().calibrated = Some((measured.summary, changes));
        Some(measured.summary)
    }

    fn self_calibration(&self) -> SelfCalibration {
        let calibrated = self.read().calibrated;
        calibrated.map_or(
            SelfCalibration::prior(self.people(), self.prior),
            |(found, _)| found,
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::{quantized::tests::vector, *};
    use crate::domain::{biometrics::CalibrationTable, self_calibration::OffsetSource};

    const SIZE: usize = 19;

    fn employee(number: u8) -> EmployeeId {
        EmployeeId::new(Uuid::from_u128(u128::from(number)))
    }

    fn reference(values: &[f32], resultant: f32) -> Option<Reference> {
        Some(Reference {
            fused: Fused {
                embedding: Embedding::normalize(values.to_vec())?,
                resultant: Resultant::new(resultant)?,
            },
            views: Views::All,
            look_alikes: Vec::new(),
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
        fn search_equals_the_naive_search(
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
            let Some(probe) = Embedding::normalize(probe) else { return Ok(()) };
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

    /// Returns a probe and rows at all distances from it, from nearly unlike to equal, with their R.
    fn crowd() -> impl Strategy<Value = (Vec<f32>, Vec<(Vec<f32>, f32)>)> {
        let resultant = prop_oneof![Just(1f32), Just(0.97f32), 0.9f32..1.0];
        let near = |probe: &[f32], other: &[f32], digits: i32| {
            let distance = 10f32.powi(1 - digits);
            let both = probe.iter().zip(other);
            both.map(|(a, b)| a + distance * b).collect()
        };
        (1usize..140)
            .prop_flat_map(move |size| {
                let row = (vector(size), 0i32..10, resultant.clone());
                (vector(size), prop::collection::vec(row, 1..80))
            })
            .prop_map(move |(probe, rows)| {
                let rows = rows.into_iter();
                let rows = rows.map(|(other, digits, r)| (near(&probe, &other, digits), r));
                let rows = rows.collect();
                (probe, rows)
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn the_best_are_those_of_comparing_every_row_exactly(
            (probe, rows) in crowd(), slope in prop_oneof![Just(0f32), 0f32..1.0], limit in 1usize..8,
        ) {
            let Some(probe) = Embedding::normalize(probe) else { return Ok(()) };
            let gallery = MemoryGallery::new(probe.as_slice().len());
            let mut naive = Vec::new();
            for (number, (row, r)) in rows.iter().enumerate() {
                let Some(made) = reference(row, *r) else { continue };
                let who = employee(number as u8);
                let mut similarity = [0f32];
                let row = made.fused.embedding.as_slice();
                dot_product::products(row, probe.as_slice(), &mut similarity);
                naive.push((similarity[0] - slope * made.fused.resultant.spread(), similarity[0], who));
                gallery.put(who, made);
            }
            naive.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(&b.2)));
            naive.truncate(limit);
            let found = gallery.search(&probe, slope, limit);
            let found: Vec<_> = found.iter().map(|one| (one.similarity.value(), one.employee)).collect();
            let naive: Vec<_> = naive.iter().map(|one| (one.1.clamp(-1.0, 1.0), one.2)).collect();
            prop_assert_eq!(found, naive);
        }
    }

    #[test]
    fn the_look_alikes_of_the_best_match_are_always_found() {
        let row = |angle: f32| {
            let mut row = vec![0.0; SIZE];
            (row[0], row[1]) = (angle.cos(), angle.sin());
            row
        };
        let gallery = MemoryGallery::new(SIZE);
        for number in 0..20u8 {
            let made = reference(&row(f32::from(number) * 0.01), 1.0).unwrap();
            gallery.put(employee(number), made);
        }
        let like = |number, others: &[u8]| {
            let mut reference = gallery.find(employee(number)).unwrap();
            reference.look_alikes = others.iter().copied().map(employee).collect();
            gallery.put(employee(number), reference);
        };
        let probe = Embedding::normalize(row(0.0)).unwrap();
        let search = || -> Vec<EmployeeId> {
            let found = gallery.search(&probe, 0.5, 2).into_iter();
            found.map(|one| one.employee).collect()
        };
        let people = |numbers: &[u8]| -> Vec<_> { numbers.iter().copied().map(employee).collect() };
        // A look-alike of the best one, one whose look-alike it is, and neither.
        like(0, &[1, 9]);
        like(12, &[3, 0]);
        like(15, &[1]);
        assert_eq!(search(), people(&[0, 1, 9, 12]));
        let found = gallery.search(&probe, 0.5, 2).remove(0).look_alikes;
        assert_eq!(found, people(&[1, 9]));
        // Removed people are no longer candidates, and the gallery keeps nothing about them.
        gallery.remove(employee(9));
        gallery.remove(employee(12));
        assert_eq!(search(), people(&[0, 1]));
        like(0, &[]);
        assert_eq!(search(), people(&[0, 1]));
        assert_eq!(gallery.read().look_alikes.len(), 1);
    }

    fn calibration(prior_offset: f32) -> Calibration {
        let table = CalibrationTable {
            fmr: vec![5e-2, 1e-2, 1e-3],
            t0: vec![0.4, 0.55, 0.7],
            s: vec![0.1; 3],
            enroll_views_shift: Vec::new(),
            probe_views_shift: Vec::new(),
            prior_offset,
            source: String::new(),
        };
        table.try_into().unwrap()
    }

    /// Returns people whose rows share a part, so that they look alike, and people whose rows do not.
    fn group_and_others(alike: u8, others: u8) -> Vec<(EmployeeId, Reference)> {
        let row = |number: u8| {
            let mut state = (u64::from(number) + 1) << 40;
            let own = (0..SIZE).map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 40) as f32 / (1 << 23) as f32 - 1.0
            });
            let mut row: Vec<f32> = own.collect();
            if number < alike {
                row[3] += 3.0;
            }
            row
        };
        (0..alike + others)
            .map(|number| (employee(number), reference(&row(number), 1.0).unwrap()))
            .collect()
    }

    fn gallery(people: impl IntoIterator<Item = (EmployeeId, Reference)>) -> MemoryGallery {
        let gallery = MemoryGallery::new(SIZE).with_prior(0.25);
        people
            .into_iter()
            .for_each(|(who, reference)| gallery.put(who, reference));
        gallery
    }

    fn offset(gallery: &MemoryGallery, who: u8) -> f32 {
        let probe = Embedding::normalize(vec![1.0; SIZE]).unwrap();
        gallery.compare(employee(who), &probe).unwrap().offset
    }

    #[test]
    fn a_small_gallery_uses_the_prior() {
        let gallery = gallery(group_and_others(0, 19));
        assert_eq!(
            offset(&gallery, 3),
            0.25,
            "before the first self-calibration"
        );
        assert_eq!(gallery.self_calibration(), SelfCalibration::prior(19, 0.25));
        let found = gallery.calibrate(&calibration(0.125)).unwrap();
        assert_eq!(found, SelfCalibration::prior(19, 0.125));
        assert_eq!(offset(&gallery, 3), 0.125);
    }

    #[test]
    fn people_who_look_alike_get_higher_thresholds_than_the_others() {
        let gallery = gallery(group_and_others(8, 60));
        let found = gallery.calibrate(&calibration(0.0)).unwrap();
        assert_eq!((found.source, found.people), (OffsetSource::Measured, 68));
        assert_eq!(gallery.self_calibration(), found);
        let mean = |people: std::ops::Range<u8>| {
            let count = people.len() as f32;
            people.map(|who| offset(&gallery, who)).sum::<f32>() / count
        };
        let (alike, others) = (mean(0..8), mean(8..68));
        assert!(alike > others + 0.03, "{alike} {others}");
        let largest = (0..68).map(|who| offset(&gallery, who)).fold(0.0, f32::max);
        assert_eq!(found.largest, largest);
        // Everybody has at least the common offset, and people who come later have it at first.
        assert!((0..68).all(|who| offset(&gallery, who) >= found.common));
        gallery.put(employee(100), reference(&[1.0; SIZE], 1.0).unwrap());
        assert_eq!(offset(&gallery, 100), found.common);
        // A changed reference keeps the own offset until then.
        let own = offset(&gallery, 0);
        let changed = gallery.find(employee(0)).unwrap();
        gallery.put(employee(0), changed);
        assert!(own > found.common && offset(&gallery, 0) == own);
    }

    #[test]
    fn an_offset_depends_on_who_is_enrolled_only() {
        let people = group_and_others(8, 60);
        let straight = gallery(people.clone());
        let other = gallery(people.iter().rev().cloned());
        other.put(employee(200), reference(&[1.0; SIZE], 1.0).unwrap());
        other.calibrate(&calibration(0.0)).unwrap();
        assert!(other.remove(employee(200)));
        let found = [&straight, &other].map(|gallery| gallery.calibrate(&calibration(0.0)));
        assert_eq!(found[0], found[1]);
        for who in 0..68 {
            assert_eq!(offset(&straight, who), offset(&other, who));
        }
        assert_eq!(
            straight.calibrate(&calibration(0.0)),
            None,
            "nothing changed"
        );
    }

    #[test]
    fn a_search_orders_people_by_the_excess_over_their_raised_thresholds() {
        let gallery = gallery(group_and_others(8, 60));
        gallery.calibrate(&calibration(0.0)).unwrap();
        for seed in 0..40u8 {
            let probe = (0..SIZE).map(|i| f32::from(seed).mul_add(11.0, i as f32 * 5.0).sin());
            let probe = Embedding::normalize(probe.collect()).unwrap();
            let found = gallery.search(&probe, 0.5, 68);
            let score = |one: &Match| one.similarity.value() - one.offset;
            assert_eq!(found.len(), 68);
            assert!(found.is_sorted_by(|a, b| score(a) >= score(b)));
            for one in &found {
                assert_eq!(gallery.compare(one.employee, &probe).as_ref(), Some(one));
            }
        }
    }

    #[test]
    fn embeddings_of_another_size_are_left_out() {
        let gallery = MemoryGallery::new(SIZE);
        gallery.put(employee(1), reference(&[1.0; 7], 1.0).unwrap());
        assert_eq!(gallery.people(), 0);
        gallery.put(employee(2), reference(&[1.0; SIZE], 1.0).unwrap());
        let probe = Embedding::normalize(vec![1.0; 7]).unwrap();
        assert!(gallery.search(&probe, 0.5, 3).is_empty());
        assert!(gallery.find(employee(1)).is_none());
    }

    #[test]
    fn people_beyond_one_block_are_found_and_removed() {
        let gallery = MemoryGallery::new(SIZE);
        let people = 2 * BLOCK + 5;
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
        for number in (0..people).step_by(5) {
            let probe = Embedding::normalize(row(number)).unwrap();
            let best = gallery.search(&probe, 0.0, 1)[0].employee;
            let same = best == who(number);
            assert_eq!(same, number % 2 == 1, "{number}");
        }
    }

    #[test]
    fn a_search_sees_the_people_at_its_start_during_writes() {
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
