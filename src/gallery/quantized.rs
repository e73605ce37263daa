//! Eight-bit copies of rows. A search reads them first, a quarter of the memory, and compares only
//! those rows exactly that can be among the best.
//!
//! A row r is kept as whole numbers c with r = step · c + e, a probe p as whole numbers q with
//! p = step′ · q + e′. By the Cauchy–Schwarz inequality,
//!
//! ```text
//! |r · p − step · step′ · (c · q)| ≤ |e| · |step′ · q| + |r| · |e′|
//! ```
//!
//! so a row whose upper bound is below the least of the best scores is not one of them.

use pulp::{Arch, NullaryFnOnce};
use zeroize::Zeroizing;

/// The largest number in a copy of a row.
const LARGEST: i16 = 127;

/// An upper bound of the length of a normalized vector, which rounding errors may lengthen.
const LENGTH: f32 = 1.001;

/// What a search needs to know of a row, beside its eight-bit copy.
#[derive(Clone, Copy)]
pub struct Outline {
    /// The value of 1 in the copy.
    step: f32,
    /// Length of the difference between the row and its copy, rounded up.
    error: f32,
    /// The spread of the row's photos, by which its score is lower.
    spread: f32,
    /// The offset of the person's threshold, by which the score is lower too.
    pub offset: f32,
}

/// Writes the eight-bit copy of a row.
pub fn quantize(row: &[f32], spread: f32, offset: f32, copy: &mut [i8]) -> Outline {
    let step = step(row, f32::from(LARGEST));
    for (value, number) in row.iter().zip(&mut *copy) {
        *number = (value / step).round() as i8;
    }
    Outline {
        step,
        error: distance(row, copy, step),
        spread,
        offset,
    }
}

/// A probe in whole numbers.
pub struct QuantizedProbe {
    numbers: Zeroizing<Vec<i16>>,
    /// The value of 1 in `numbers`.
    step: f32,
    /// An upper bound of the length of `numbers` times `step`.
    length: f32,
    /// The part of the bound that is the same for all rows.
    slack: f32,
}

impl QuantizedProbe {
    /// Quantizes a probe of length 1.
    pub fn new(probe: &[f32]) -> Self {
        // The products with a row and all their sums stay within 32 bits.
        let largest = i32::MAX as usize / (LARGEST as usize * probe.len());
        let step = step(probe, largest.clamp(1, i16::MAX as usize) as f32);
        let number = |value: &f32| (value / step).round() as i16;
        let numbers: Vec<i16> = probe.iter().map(number).collect();
        let numbers = Zeroizing::new(numbers);
        let error = distance(probe, &numbers, step);
        // An exact product of n numbers is off by at most n/2 · ε, and the few operations of the
        // bound by a few ε.
        let rounding = (probe.len() as f32 + 16.0) * f32::EPSILON;
        Self {
            numbers,
            step,
            length: LENGTH + error,
            slack: LENGTH * error + rounding,
        }
    }

    /// Writes an upper bound of each row's score, row · probe − slope · spread − offset. `copies` are
    /// the copies of the rows, one after another. No score is above its bound, however it is rounded.
    pub fn upper_bounds(&self, copies: &[i8], rows: &[Outline], slope: f32, bounds: &mut [f32]) {
        let work = UpperBounds {
            probe: self,
            copies,
            rows,
            slope,
            bounds,
        };
        // The compiler's code for AVX2 is twice as fast as the one for AVX-512.
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = pulp::x86::V3::try_new() {
            return simd.vectorize(work);
        }
        Arch::new().dispatch(work);
    }
}

struct UpperBounds<'a> {
    probe: &'a QuantizedProbe,
    copies: &'a [i8],
    rows: &'a [Outline],
    slope: f32,
    bounds: &'a mut [f32],
}

impl NullaryFnOnce for UpperBounds<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let QuantizedProbe {
            numbers,
            step,
            length,
            slack,
        } = self.probe;
        let copies = self.copies.chunks_exact(numbers.len());
        for (bound, copy) in self.bounds.iter_mut().zip(copies) {
            *bound = product(copy, numbers) as f32;
        }
        for (bound, row) in self.bounds.iter_mut().zip(self.rows) {
            let similarity = *bound * (step * row.step) + (row.error * length + slack);
            *bound = similarity - self.slope * row.spread - row.offset;
        }
    }
}

/// Number of products that are added side by side.
const LANES: usize = 32;

/// Returns the dot product. The compiler vectorizes it.
#[inline(always)]
fn product(copy: &[i8], probe: &[i16]) -> i32 {
    let (copy, copy_rest) = copy.as_chunks::<LANES>();
    let (probe, probe_rest) = probe.as_chunks::<LANES>();
    let mut sums = [0i32; LANES];
    for (a, b) in copy.iter().zip(probe) {
        for lane in 0..LANES {
            sums[lane] += i32::from(a[lane]) * i32::from(b[lane]);
        }
    }
    let rest = copy_rest.iter().zip(probe_rest);
    let rest: i32 = rest.map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
    sums.iter().sum::<i32>() + rest
}

/// Returns the step with which no value exceeds the largest whole number.
fn step(values: &[f32], largest: f32) -> f32 {
    let most = values
        .iter()
        .fold(0f32, |most, value| most.max(value.abs()));
    most / largest
}

/// Returns the length of the difference between values and numbers · step, rounded up.
fn distance<T: Copy + Into<f64>>(values: &[f32], numbers: &[T], step: f32) -> f32 {
    let differences = values.iter().zip(numbers);
    let differences =
        differences.map(|(&value, &number)| f64::from(value) - number.into() * f64::from(step));
    let squares: f64 = differences.map(|difference| difference * difference).sum();
    (squares.sqrt() as f32).next_up()
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{domain::biometrics::Embedding, gallery::dot_product};

    /// Returns vectors with components of very different sizes, and vectors whose copies are exact.
    pub fn vector(size: usize) -> impl Strategy<Value = Vec<f32>> {
        let value = prop_oneof![
            8 => -1f32..1.0,
            1 => -1e-3f32..1e-3,
            1 => prop_oneof![Just(50f32), Just(-50f32)],
            1 => Just(0f32),
        ];
        let whole = prop_oneof![Just(1f32), Just(-1f32)];
        prop_oneof![
            4 => prop::collection::vec(value, size),
            1 => prop::collection::vec(whole, size),
        ]
    }

    fn pair() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        (1usize..300).prop_flat_map(|size| (vector(size), vector(size)))
    }

    /// Returns the upper bound of the score of a row.
    fn upper_bound(row: &[f32], probe: &[f32], slope: f32, spread: f32) -> (f32, Outline) {
        let mut copy = vec![0; row.len()];
        let outline = quantize(row, spread, 0.0, &mut copy);
        let mut bound = [0.0];
        QuantizedProbe::new(probe).upper_bounds(&copy, &[outline], slope, &mut bound);
        (bound[0], outline)
    }

    proptest! {
        #[test]
        fn the_upper_bound_is_above_the_exact_score_and_near(
            (row, probe) in pair(), near in 0f32..0.2, slope in 0f32..1.0, spread in 0f32..0.1,
        ) {
            let Some(probe) = Embedding::normalize(probe) else { return Ok(()) };
            // The bound must also hold for a row that is nearly the probe.
            let beside = row.iter().zip(probe.as_slice()).map(|(a, b)| b + near * a).collect();
            for row in [row, beside] {
                let Some(row) = Embedding::normalize(row) else { continue };
                let (row, probe) = (row.as_slice(), probe.as_slice());
                let mut exact = [0.0];
                dot_product::products(row, probe, &mut exact);
                let exact = exact[0] - slope * spread;
                let (bound, outline) = upper_bound(row, probe, slope, spread);
                prop_assert!(bound >= exact, "{} is below {}", bound, exact);
                // The error of a copy is at most half a step in each dimension, up or down.
                let most = outline.step * (row.len() as f32).sqrt() + 1e-3;
                prop_assert!(bound - exact <= most, "{} is far from {}", bound, exact);
            }
        }
    }

    #[test]
    fn the_largest_products_do_not_overflow() {
        for size in [1, 128, 512, 513, 4096] {
            let same = Embedding::normalize(vec![-1.0; size]).unwrap();
            let (bound, _) = upper_bound(same.as_slice(), same.as_slice(), 0.0, 0.0);
            assert!((bound - 1.0).abs() < 0.01, "{size}: {bound}");
        }
    }
}
