//! Measures the offsets of the thresholds on the rows of a gallery.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Block, Person, dot_product};
use crate::domain::{
    biometrics::Calibration,
    ids::EmployeeId,
    self_calibration::{COHORT, LEAST_PEOPLE, OffsetMeasure, OffsetSource, SelfCalibration},
};

/// The offsets of a gallery.
pub struct Measured {
    pub summary: SelfCalibration,
    /// The offset of each person's threshold.
    pub offsets: Vec<(EmployeeId, f32)>,
}

/// Measures the offsets of all people.
pub fn measure(blocks: &[Arc<Block>], dimensions: usize, calibration: &Calibration) -> Measured {
    let people: usize = blocks.iter().map(|block| block.people.len()).sum();
    if people < LEAST_PEOPLE {
        let summary = SelfCalibration::prior(people, calibration.prior_offset());
        let everybody = blocks.iter().flat_map(|block| &block.people);
        let offsets = everybody.map(|person| (person.employee, summary.common));
        return Measured {
            summary,
            offsets: offsets.collect(),
        };
    }
    let cohort = Cohort::choose(blocks, dimensions);
    let measure = OffsetMeasure::new(calibration, cohort.people.len() - 1);
    let mut similarities = vec![0f32; cohort.people.len()];
    let mut pairs = Vec::with_capacity(cohort.people.len() * cohort.people.len() / 2);
    let mut offsets = Vec::with_capacity(people);
    let mut excesses = Vec::with_capacity(cohort.people.len());
    for (row, person) in rows(blocks, dimensions) {
        dot_product::products(&cohort.rows, row, &mut similarities);
        excesses.clear();
        for (other, &similarity) in cohort.people.iter().zip(&similarities) {
            if other.employee == person.employee {
                continue;
            }
            let (a, b) = (person, other);
            let excess = measure.excess(similarity, (a.resultant, a.views), (b.resultant, b.views));
            excesses.push(excess);
        }
        if let Some(place) = cohort.place(person) {
            // Each pair of the cohort once: with those before this person.
            pairs.extend_from_slice(&excesses[..place]);
        }
        offsets.push((person.employee, measure.own(&mut excesses)));
    }
    let common = measure.common(&mut pairs);
    let mut largest = common;
    for (_, offset) in &mut offsets {
        *offset = offset.max(common);
        largest = largest.max(*offset);
    }
    Measured {
        summary: SelfCalibration {
            source: OffsetSource::Measured,
            people,
            common,
            largest,
        },
        offsets,
    }
}

/// Returns every row with its person.
fn rows(blocks: &[Arc<Block>], dimensions: usize) -> impl Iterator<Item = (&[f32], &Person)> {
    blocks
        .iter()
        .flat_map(move |block| block.rows.chunks_exact(dimensions).zip(&block.people))
}

/// The people with whom everybody is compared, in the order of their keys.
struct Cohort {
    people: Vec<Person>,
    rows: Zeroizing<Vec<f32>>,
}

/// Returns the key by which the cohort is chosen: the random part of the ID first, because its
/// other part is the time of the enrollment.
fn key(person: &Person) -> (u64, EmployeeId) {
    (person.employee.uuid().as_u128() as u64, person.employee)
}

impl Cohort {
    fn choose(blocks: &[Arc<Block>], dimensions: usize) -> Self {
        let mut all: Vec<_> = rows(blocks, dimensions).collect();
        all.sort_unstable_by_key(|(_, person)| key(person));
        all.truncate(COHORT);
        let mut rows = Zeroizing::new(Vec::with_capacity(all.len() * dimensions));
        all.iter().for_each(|(row, _)| rows.extend_from_slice(row));
        Self {
            people: all.into_iter().map(|(_, person)| *person).collect(),
            rows,
        }
    }

    /// Returns the place of a person; `None` if they are not in the cohort.
    fn place(&self, person: &Person) -> Option<usize> {
        self.people.binary_search_by_key(&key(person), key).ok()
    }
}
