//! The calibration of a model pack: thresholds by accepted error rates.

use serde::{Deserialize, Serialize};

use super::embeddings::{Resultant, Views};

/// The minimum similarity of two faces of the same person. Above 1, nothing matches.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f32")]
pub struct Threshold(pub(super) f32);

impl TryFrom<f32> for Threshold {
    type Error = &'static str;

    fn try_from(value: f32) -> Result<Self, Self::Error> {
        Self::new(value).ok_or("a threshold is a number that is at least -1")
    }
}

impl Threshold {
    /// Wraps a similarity; `None` if it is not finite or below −1.
    pub fn new(value: f32) -> Option<Self> {
        (value.is_finite() && value >= -1.0).then_some(Self(value))
    }

    /// Returns the minimum similarity.
    pub fn value(self) -> f32 {
        self.0
    }
}

/// An accepted error rate, between 0 and 1, both exclusive.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct ErrorRate(f64);

impl ErrorRate {
    /// 1 %.
    pub const ONE_IN_HUNDRED: Self = Self(0.01);
    /// 0.01 %.
    pub const ONE_IN_TEN_THOUSAND: Self = Self(0.0001);
    /// 5 %.
    pub const ONE_IN_TWENTY: Self = Self(0.05);

    /// Wraps a rate; `None` outside (0, 1).
    pub fn new(value: f64) -> Option<Self> {
        (value.is_finite() && value > 0.0 && value < 1.0).then_some(Self(value))
    }

    /// Returns the rate.
    pub fn value(self) -> f64 {
        self.0
    }

    /// Returns the FMR per comparison with which a search among `people` has this FPIR:
    /// 1 − (1 − FPIR)^(1/N), if comparisons are independent.
    pub fn fmr_among(self, people: usize) -> Self {
        // ln_1p and exp_m1 stay precise for a small rate and a large gallery.
        Self(-((-self.0).ln_1p() / people.max(1) as f64).exp_m1())
    }

    /// Multiplies the rate. The result is above 0, and capped at one half unless this rate is
    /// higher.
    pub fn times(self, factor: f64) -> Self {
        Self((self.0 * factor).clamp(f64::MIN_POSITIVE, self.0.max(0.5)))
    }
}

/// The measured error rates of a model pack: t0 and s by false match rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CalibrationTable")]
pub struct Calibration(CalibrationTable);

/// The columns of a calibration, as in a model pack's description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationTable {
    /// False match rates, in descending order.
    pub fmr: Vec<f64>,
    /// Threshold for one photo against one photo, with [`Views::Pair`] on both sides.
    pub t0: Vec<f64>,
    /// Slope of the threshold over the spread of both sides.
    pub s: Vec<f64>,
    /// Shift of t0 if the template has all views and the probe has a pair.
    #[serde(default)]
    pub enroll_views_shift: Vec<f64>,
    /// Shift of t0 if both sides have all views.
    #[serde(default)]
    pub probe_views_shift: Vec<f64>,
    /// Shift of every threshold while too few people are enrolled to measure one; see
    /// [`crate::domain::self_calibration`].
    #[serde(default)]
    pub prior_offset: f32,
    /// Description of the measurement.
    #[serde(default)]
    pub source: String,
}

/// Why a calibration cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// There are fewer than two rates, which is too few to interpolate.
    #[error("at least two false match rates are needed")]
    TooShort,
    /// The columns have different lengths.
    #[error("the columns fmr, t0, s and the shifts must have one value per rate")]
    Ragged,
    /// The rates are not strictly descending within (0, 1).
    #[error("false match rates must be between 0 and 1, in descending order")]
    Rates,
    /// A lower rate has a lower threshold, a slope is negative, or a value is not finite.
    #[error("t0 must rise as the rate falls, and s must not be negative")]
    Thresholds,
    /// The prior offset is negative or not finite.
    #[error("prior_offset must not be negative")]
    Prior,
}

impl TryFrom<CalibrationTable> for Calibration {
    type Error = CalibrationError;

    fn try_from(mut table: CalibrationTable) -> Result<Self, CalibrationError> {
        let rows = table.fmr.len();
        if rows < 2 {
            return Err(CalibrationError::TooShort);
        }
        for shift in [&mut table.enroll_views_shift, &mut table.probe_views_shift] {
            if shift.is_empty() {
                shift.resize(rows, 0.0);
            }
        }
        let columns = [
            &table.t0,
            &table.s,
            &table.enroll_views_shift,
            &table.probe_views_shift,
        ];
        if columns.iter().any(|column| column.len() != rows) {
            return Err(CalibrationError::Ragged);
        }
        let inside = table.fmr.iter().all(|&rate| ErrorRate::new(rate).is_some());
        if !inside || table.fmr.windows(2).any(|pair| pair[1] >= pair[0]) {
            return Err(CalibrationError::Rates);
        }
        let finite = columns
            .iter()
            .all(|column| column.iter().all(|value| value.is_finite()));
        let rising = table.t0.windows(2).all(|pair| pair[1] >= pair[0]);
        if !finite || !rising || table.s.iter().any(|&slope| slope < 0.0) {
            return Err(CalibrationError::Thresholds);
        }
        if !table.prior_offset.is_finite() || table.prior_offset < 0.0 {
            return Err(CalibrationError::Prior);
        }
        Ok(Self(table))
    }
}

/// The threshold rule at one false match rate, as a function of the two spreads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    pub(super) t0: f32,
    slope: f32,
}

impl OperatingPoint {
    /// Returns the slope of the threshold over the spread, by which a search ranks people; see
    /// [`crate::ports::Gallery`].
    pub fn slope(self) -> f32 {
        self.slope
    }

    /// Returns the threshold for a template and a probe with these R.
    pub fn threshold(self, template: Resultant, probe: Resultant) -> Threshold {
        Threshold(self.t0 + self.slope * (template.spread() + probe.spread()))
    }
}

impl Calibration {
    /// Returns the columns; omitted shifts are zeros.
    pub fn table(&self) -> &CalibrationTable {
        &self.0
    }

    /// Returns the offset of every threshold while too few people are enrolled to measure one.
    pub fn prior_offset(&self) -> f32 {
        self.0.prior_offset
    }

    /// Returns the default of `MIN_MARGIN`, the minimum lead of the best candidate over the second. It
    /// is a distance between thresholds, so that it fits every model pack.
    pub fn least_margin(&self) -> f32 {
        let (lax, strict) = MARGIN_RATES;
        let t0 = |rate| self.at(rate, Views::Pair, Views::Pair).t0;
        t0(strict) - t0(lax)
    }

    /// Returns t0 and s at a rate, interpolated over log FMR. Beyond the table, t0 is extrapolated
    /// from the last segment, and s stays constant.
    pub fn at(&self, fmr: ErrorRate, template: Views, probe: Views) -> OperatingPoint {
        let table = &self.0;
        let rows = table.fmr.len();
        let upper = table.fmr[1..rows - 1]
            .iter()
            .position(|&rate| rate <= fmr.value());
        let upper = upper.map_or(rows - 1, |position| position + 1);
        let (high, low) = (table.fmr[upper - 1].ln(), table.fmr[upper].ln());
        let share = (fmr.value().ln() - high) / (low - high);
        let line = |column: &[f64]| column[upper - 1] + share * (column[upper] - column[upper - 1]);
        let inside = |column: &[f64]| {
            let share = share.clamp(0.0, 1.0);
            column[upper - 1] + share * (column[upper] - column[upper - 1])
        };
        let shift = match (template, probe) {
            (Views::All, Views::All) => inside(&table.probe_views_shift),
            (Views::All, _) | (_, Views::All) => inside(&table.enroll_views_shift),
            (Views::One | Views::Pair, Views::One | Views::Pair) => 0.0,
        };
        // s is not extrapolated, because its last two entries are too close to show a trend.
        OperatingPoint {
            t0: (line(&table.t0) + shift) as f32,
            slope: inside(&table.s) as f32,
        }
    }
}

/// The false match rates whose thresholds are [`Calibration::least_margin`] apart.
///
/// Measured on 40 and 190 people (`tests/vision/margins.rs`). With the default pack, this is a lead
/// of 0.067, which prevents all 7 wrong names and 0.09 % of the right ones. With the pack `dlib` it is
/// 0.011, which prevents two thirds, and 0.3 %. See docs/MODELS.md.
const MARGIN_RATES: (ErrorRate, ErrorRate) = (ErrorRate(1e-4), ErrorRate(1e-5));
