//! Self-calibration: the offset of the thresholds that a gallery measures on itself.
//!
//! The thresholds of a pack are measured on a mix of people. People of one region, sex or age group
//! look more alike, and a threshold for everybody then accepts too many strangers of that group.
//! The gallery shows by how much: each pair of enrolled people is a pair of different people.
//!
//! The excess of a pair is its similarity minus the threshold, for the R and views of both
//! templates, that 5 % of the pairs of different people exceed in the pack's calibration. There are
//! two measurements:
//!
//! - The common offset is the excess that 5 % of the pairs of this gallery exceed, and one standard
//!   deviation more. It finds a gallery of one group.
//! - A person's own offset is a quarter of the difference between the mean excess of their five most
//!   similar people and the mean that the calibration predicts for a gallery of this size. It finds
//!   a group within a mixed gallery.
//!
//! The larger one is added to the person's threshold; neither is ever negative, so that no threshold
//! is lower than the pack's. docs/MODELS.md has the measurements of both, and of forms that were
//! worse.

use super::{
    biometrics::{Calibration, ErrorRate, OperatingPoint, Resultant, Views},
    words::words,
};

/// Minimum number of people for a measurement. With fewer, the pack's prior offset is used.
pub const LEAST_PEOPLE: usize = 20;

/// Maximum number of people with whom each person is compared. They are chosen by ID, so that all
/// instances choose the same.
pub const COHORT: usize = 2000;

/// The rate at which pairs are compared with the calibration. Even a gallery of 20 people has
/// enough pairs for it.
const COMMON: ErrorRate = ErrorRate::ONE_IN_TWENTY;

/// Number of most similar people who determine a person's own offset.
const NEIGHBORS: usize = 5;

/// Share of the neighbors' difference that counts, because the mean of so few people is uncertain.
/// With the whole difference, more people of mixed galleries are not recognized.
const NEIGHBORS_SHARE: f32 = 0.25;

words! {
    /// Where the offset of a gallery comes from.
    OffsetSource {
        /// The pack's prior: too few people are enrolled, or nothing was measured yet.
        Prior = "prior",
        /// A measurement on the enrolled people.
        Measured = "measured",
    }
}

/// The state of a gallery's self-calibration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelfCalibration {
    /// Where the offsets come from.
    pub source: OffsetSource,
    /// Number of people at the time of the measurement.
    pub people: usize,
    /// The offset of everybody's threshold.
    pub common: f32,
    /// The largest offset of a person's threshold.
    pub largest: f32,
}

impl SelfCalibration {
    /// The offset of everybody's threshold by a prior.
    pub fn prior(people: usize, offset: f32) -> Self {
        Self {
            source: OffsetSource::Prior,
            people,
            common: offset,
            largest: offset,
        }
    }
}

/// Computes offsets from similarities of pairs of enrolled people.
pub struct OffsetMeasure {
    /// The common threshold for templates of one view or of all views, on either side.
    points: [[OperatingPoint; 2]; 2],
    /// The mean excess that the calibration predicts for a person's neighbors.
    predicted: f32,
    neighbors: usize,
}

/// Returns the place of views in a table.
fn place(views: Views) -> usize {
    usize::from(views == Views::All)
}

impl OffsetMeasure {
    /// Prepares a measurement in which each person is compared with `others` people.
    pub fn new(calibration: &Calibration, others: usize) -> Self {
        let views = [Views::Pair, Views::All];
        let points = views.map(|a| views.map(|b| calibration.at(COMMON, a, b)));
        let single = |rate: Option<ErrorRate>| {
            let point = calibration.at(rate.unwrap_or(COMMON), Views::Pair, Views::Pair);
            point.threshold(Resultant::ONE, Resultant::ONE).value()
        };
        // The most similar of `others` people is expected at a rate of about 0.5 / others.
        let neighbors = NEIGHBORS.min(others);
        let expected = (0..neighbors)
            .map(|rank| single(ErrorRate::new((rank as f64 + 0.5) / others as f64)))
            .sum::<f32>();
        Self {
            points,
            predicted: expected / neighbors.max(1) as f32 - single(Some(COMMON)),
            neighbors,
        }
    }

    /// Returns the excess of a pair of enrolled people.
    pub fn excess(&self, similarity: f32, a: (Resultant, Views), b: (Resultant, Views)) -> f32 {
        let point = self.points[place(a.1)][place(b.1)];
        similarity - point.threshold(a.0, b.0).value()
    }

    /// Returns the offset of everybody's threshold, from the excesses of all pairs. Reorders them.
    pub fn common(&self, excesses: &mut [f32]) -> f32 {
        if excesses.is_empty() {
            return 0.0;
        }
        // One standard deviation more pairs than expected: what chance explains is no likeness.
        let expected = COMMON.value() * excesses.len() as f64;
        let deviation = (expected * (1.0 - COMMON.value())).sqrt();
        let above = ((expected + deviation) as usize).min(excesses.len() - 1);
        let (_, quantile, _) = excesses.select_nth_unstable_by(above, |a, b| b.total_cmp(a));
        quantile.max(0.0)
    }

    /// Returns a person's own offset, from the excesses of the pairs with all others. Reorders them.
    pub fn own(&self, excesses: &mut [f32]) -> f32 {
        if excesses.len() < self.neighbors || self.neighbors == 0 {
            return 0.0;
        }
        excesses.select_nth_unstable_by(self.neighbors - 1, |a, b| b.total_cmp(a));
        let mean = excesses[..self.neighbors].iter().sum::<f32>() / self.neighbors as f32;
        ((mean - self.predicted) * NEIGHBORS_SHARE).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::biometrics::CalibrationTable;

    /// The thresholds of a normal distribution with standard deviation 0.1: rates of 5 % and less.
    fn calibration() -> Calibration {
        Calibration::try_from(CalibrationTable {
            fmr: vec![5e-2, 1e-2, 1e-3],
            t0: vec![0.1645, 0.2326, 0.309],
            s: vec![0.1, 0.1, 0.1],
            enroll_views_shift: vec![0.01; 3],
            probe_views_shift: vec![0.02; 3],
            prior_offset: 0.05,
            source: String::new(),
        })
        .unwrap()
    }

    /// Pseudo-random numbers of a normal distribution with standard deviation 0.1.
    fn similarities(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut uniform = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        (0..count)
            .map(|_| ((0..12).map(|_| uniform()).sum::<f32>() - 6.0) * 0.1)
            .collect()
    }

    fn excesses(measure: &OffsetMeasure, similarities: Vec<f32>) -> Vec<f32> {
        let single = (Resultant::ONE, Views::Pair);
        let excess = |similarity| measure.excess(similarity, single, single);
        similarities.into_iter().map(excess).collect()
    }

    #[test]
    fn people_like_those_of_the_calibration_need_no_offset() {
        let measure = OffsetMeasure::new(&calibration(), 200);
        let common = measure.common(&mut excesses(&measure, similarities(20_000, 3)));
        assert!(common < 0.005, "{common}");
        let own: f32 = (0..50)
            .map(|person| measure.own(&mut excesses(&measure, similarities(200, person))))
            .sum();
        assert!(own / 50.0 < 0.015, "{own}");
    }

    #[test]
    fn people_who_look_more_alike_raise_the_threshold_by_as_much() {
        let measure = OffsetMeasure::new(&calibration(), 200);
        let alike = similarities(20_000, 3).into_iter().map(|one| one + 0.08);
        let common = measure.common(&mut excesses(&measure, alike.collect()));
        assert!((common - 0.08).abs() < 0.01, "{common}");
    }

    #[test]
    fn a_group_in_a_mixed_gallery_raises_the_thresholds_of_its_members_only() {
        let measure = OffsetMeasure::new(&calibration(), 200);
        // A tenth of the people is as alike as in the test above, times four.
        let mut mixed = similarities(200, 5);
        mixed[..20].iter_mut().for_each(|one| *one += 0.32);
        let member = measure.own(&mut excesses(&measure, mixed));
        assert!(member > 0.04, "{member}");
    }

    #[test]
    fn spread_and_views_of_the_templates_are_no_likeness() {
        let measure = OffsetMeasure::new(&calibration(), 200);
        let r = Resultant::new(0.9).unwrap();
        let plain = (Resultant::ONE, Views::Pair);
        let base = measure.excess(0.5, plain, plain);
        assert!((base - (0.5 - 0.1645)).abs() < 1e-6);
        assert!((base - measure.excess(0.5, (r, Views::Pair), plain) - 0.01).abs() < 1e-6);
        let all = (Resultant::ONE, Views::All);
        assert!((base - measure.excess(0.5, all, plain) - 0.01).abs() < 1e-6);
        assert!((base - measure.excess(0.5, all, all) - 0.02).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn no_offset_is_negative(values in prop::collection::vec(-1f32..1.0, 0..300), others in 0usize..300) {
            let measure = OffsetMeasure::new(&calibration(), others);
            prop_assert!(measure.common(&mut values.clone()) >= 0.0);
            prop_assert!(measure.own(&mut values.clone()) >= 0.0);
        }

        #[test]
        fn more_similar_people_never_lower_an_offset(
            values in prop::collection::vec(-1f32..1.0, 20..300), more in 0f32..0.3,
        ) {
            let measure = OffsetMeasure::new(&calibration(), values.len());
            let mut alike: Vec<f32> = values.iter().map(|value| value + more).collect();
            let mut values = values;
            prop_assert!(measure.common(&mut alike) >= measure.common(&mut values));
            prop_assert!(measure.own(&mut alike) >= measure.own(&mut values));
        }
    }
}
