//! Dot products of many rows with one probe, with the widest SIMD vectors of the processor.

use pulp::{Arch, Simd, WithSimd};

/// Writes row · probe for every row. `rows` holds the rows one after another, each as long as
/// `probe`.
pub fn products(rows: &[f32], probe: &[f32], out: &mut [f32]) {
    Arch::new().dispatch(Products { rows, probe, out });
}

struct Products<'a> {
    rows: &'a [f32],
    probe: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (probe, probe_rest) = S::as_simd_f32s(self.probe);
        let rows = self.rows.chunks_exact(self.probe.len());
        for (row, out) in rows.zip(self.out) {
            let (row, rest) = S::as_simd_f32s(row);
            // Four sums, so that one multiply-add need not wait for the one before.
            let mut sums = [simd.splat_f32s(0.0); 4];
            let (fours, left) = row.as_chunks::<4>();
            let (probe_fours, probe_left) = probe.as_chunks::<4>();
            for (a, b) in fours.iter().zip(probe_fours) {
                for lane in 0..4 {
                    sums[lane] = simd.mul_add_e_f32s(a[lane], b[lane], sums[lane]);
                }
            }
            for (a, b) in left.iter().zip(probe_left) {
                sums[0] = simd.mul_add_e_f32s(*a, *b, sums[0]);
            }
            let upper = simd.add_f32s(sums[0], sums[1]);
            let lower = simd.add_f32s(sums[2], sums[3]);
            let mut sum = simd.reduce_sum_f32s(simd.add_f32s(upper, lower));
            for (a, b) in rest.iter().zip(probe_rest) {
                sum += a * b;
            }
            *out = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_size_equals_the_scalar_sum(size in 1usize..200, seed in 0u32..1000) {
            let value = |i: usize| ((i as u32 * 37 + seed) as f32).sin();
            let probe: Vec<f32> = (0..size).map(value).collect();
            let rows: Vec<f32> = (0..size * 3).map(|i| value(i + 5)).collect();
            let mut out = [0.0; 3];
            products(&rows, &probe, &mut out);
            for (row, got) in rows.chunks_exact(size).zip(out) {
                let plain: f32 = row.iter().zip(&probe).map(|(a, b)| a * b).sum();
                prop_assert!((got - plain).abs() < 1e-4);
            }
        }
    }
}
