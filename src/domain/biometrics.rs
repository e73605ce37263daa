//! Biometric values and the one law for the threshold.
//!
//! Fusing photos raises the similarity of other people too, by an amount that depends on how
//! different the photos really are. What counts is R, the length of the mean of the unit
//! embeddings before it is normalised ([`Resultant`]). Templates and probes carry theirs, and
//!
//! ```text
//! threshold(FMR) = t0(FMR) + s(FMR) · ((1 − R_template) + (1 − R_probe))
//! ```
//!
//! with t0 and s from the model pack's calibration, interpolated in log FMR. docs/MODELS.md
//! tells how the law was fitted and how to measure it again.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::EmployeeId;

/// Names the embedding space that templates and probes live in; only like compares with like.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelId(String);

impl ModelId {
    /// Wraps the name that a model pack gives its embedder.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A unit vector that stands for a face. Never printed.
#[derive(Clone, PartialEq)]
pub struct Embedding(Box<[f32]>);

impl Embedding {
    /// Normalises a vector to length 1; `None` when it is empty, not finite or has no direction.
    pub fn normalise(mut values: Vec<f32>) -> Option<Self> {
        let length = length(&values);
        if !length.is_finite() || length < 1e-6 {
            return None;
        }
        values.iter_mut().for_each(|value| *value /= length);
        Some(Self(values.into()))
    }

    /// The components.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// The cosine of the angle to another embedding; `None` when the sizes differ.
    pub fn similarity(&self, other: &Self) -> Option<Similarity> {
        (self.0.len() == other.0.len())
            .then(|| self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum::<f32>())
            .and_then(|cosine| Similarity::new(cosine.clamp(-1.0, 1.0)))
    }
}

impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedding({} values)", self.0.len())
    }
}

impl Drop for Embedding {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut *self.0);
    }
}

/// Euclidean length, summed in f64 so that it does not depend on the order much.
fn length(values: &[f32]) -> f32 {
    values
        .iter()
        .map(|&value| f64::from(value) * f64::from(value))
        .sum::<f64>()
        .sqrt() as f32
}

/// R: the length of the mean of unit embeddings before it is normalised. 1 for identical
/// photos; the lower, the more different they are.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Resultant(f32);

impl Resultant {
    /// That of a single photo.
    pub const ONE: Self = Self(1.0);

    /// Wraps a length; `None` outside (0, 1]. Rounding just above 1 counts as 1.
    pub fn new(value: f32) -> Option<Self> {
        (value.is_finite() && value > 0.0 && value <= 1.0 + 1e-4).then(|| Self(value.min(1.0)))
    }

    /// 1 − R, how spread out the photos are.
    pub fn spread(self) -> f32 {
        1.0 - self.0
    }

    /// R itself.
    pub fn value(self) -> f32 {
        self.0
    }
}

/// Several embeddings of one person made one: their normalised mean and its R.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    /// The normalised mean.
    pub embedding: Embedding,
    /// The length of the mean before it was normalised.
    pub resultant: Resultant,
}

impl Fused {
    /// Fuses embeddings of equal size; `None` when there are none, or they cancel out.
    pub fn of(embeddings: &[Embedding]) -> Option<Self> {
        let size = embeddings.first()?.0.len();
        let mut mean = vec![0f32; size];
        for embedding in embeddings {
            if embedding.0.len() != size {
                return None;
            }
            mean.iter_mut()
                .zip(&embedding.0)
                .for_each(|(sum, value)| *sum += value);
        }
        let count = embeddings.len() as f32;
        mean.iter_mut().for_each(|value| *value /= count);
        let resultant = if embeddings.len() == 1 {
            Resultant::ONE
        } else {
            Resultant::new(length(&mean))?
        };
        Some(Self {
            embedding: Embedding::normalise(mean)?,
            resultant,
        })
    }
}

/// How many views of a photo went into its embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Views {
    /// The face and its mirror image: what a probe is made of.
    Pair,
    /// Seven slightly different crops, each with its mirror image: what enrollment makes.
    All,
}

/// What an enrolled person is compared by: the fused templates of all accepted photos.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The mean of the templates and its R.
    pub fused: Fused,
    /// The views each template was made from.
    pub views: Views,
}

/// What was made now, to be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The mean of the frames and its R.
    pub fused: Fused,
    /// The views each frame was embedded from.
    pub views: Views,
}

/// A cosine, −1 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Similarity(f32);

impl Similarity {
    /// Wraps a cosine; `None` when it cannot be one.
    pub fn new(value: f32) -> Option<Self> {
        (value.is_finite() && (-1.0..=1.0).contains(&value)).then_some(Self(value))
    }

    /// The cosine.
    pub fn value(self) -> f32 {
        self.0
    }
}

/// The similarity from which on two faces count as one person's. May exceed 1: then nothing does.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Threshold(f32);

impl Threshold {
    /// Wraps an operating point; `None` when not finite or below −1.
    pub fn new(value: f32) -> Option<Self> {
        (value.is_finite() && value >= -1.0).then_some(Self(value))
    }

    /// The similarity that is needed.
    pub fn value(self) -> f32 {
        self.0
    }
}

/// A wanted error rate, inside (0, 1).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct ErrorRate(f64);

impl ErrorRate {
    /// 1 %.
    pub const ONE_IN_HUNDRED: Self = Self(0.01);
    /// 5 %.
    pub const ONE_IN_TWENTY: Self = Self(0.05);

    /// Wraps a rate; `None` outside (0, 1).
    pub fn new(value: f64) -> Option<Self> {
        (value.is_finite() && value > 0.0 && value < 1.0).then_some(Self(value))
    }

    /// The rate.
    pub fn value(self) -> f64 {
        self.0
    }

    /// The FMR of each comparison so that a search among `people` has this FPIR:
    /// 1 − (1 − FPIR)^(1/N), comparisons taken as independent.
    pub fn fmr_among(self, people: usize) -> Self {
        // ln_1p and exp_m1 keep the digits when the rate is small and the gallery large.
        Self(-((-self.0).ln_1p() / people.max(1) as f64).exp_m1())
    }

    /// A part of this rate, or a multiple that stays below one half.
    pub fn times(self, factor: f64) -> Self {
        Self((self.0 * factor).clamp(f64::MIN_POSITIVE, self.0.max(0.5)))
    }
}

/// What a model pack knows of its error rates: t0 and s by false match rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CalibrationTable")]
pub struct Calibration(CalibrationTable);

/// The columns of a calibration as a model pack writes them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationTable {
    /// False match rates, falling.
    pub fmr: Vec<f64>,
    /// Threshold of one photo against one photo (face and mirror image on both sides).
    pub t0: Vec<f64>,
    /// How the threshold rises with the spread of both sides.
    pub s: Vec<f64>,
    /// How t0 moves when the template has all views and the probe is a pair.
    #[serde(default)]
    pub enroll_views_shift: Vec<f64>,
    /// How t0 moves when both sides have all views.
    #[serde(default)]
    pub probe_views_shift: Vec<f64>,
    /// How it was measured.
    #[serde(default)]
    pub source: String,
}

/// Why a calibration cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// Fewer than two rates: nothing to interpolate between.
    #[error("needs at least two false match rates")]
    TooShort,
    /// The columns have different lengths.
    #[error("the columns fmr, t0, s and the shifts must have one value for each rate")]
    Ragged,
    /// Rates not strictly falling inside (0, 1).
    #[error("false match rates must fall, and lie between 0 and 1")]
    Rates,
    /// A stricter rate with a laxer threshold, or something that is no number.
    #[error("t0 must rise as the rate falls, s must not be negative")]
    Thresholds,
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
        Ok(Self(table))
    }
}

/// The law at one false match rate: what is left is to put the two spreads in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    t0: f32,
    slope: f32,
}

impl OperatingPoint {
    /// How much one unit of spread costs; what a search ranks by, see [`crate::ports::Gallery`].
    pub fn slope(self) -> f32 {
        self.slope
    }

    /// The threshold for a template and a probe of these R.
    pub fn threshold(self, template: Resultant, probe: Resultant) -> Threshold {
        Threshold(self.t0 + self.slope * (template.spread() + probe.spread()))
    }
}

impl Calibration {
    /// The columns, with every shift filled in.
    pub fn table(&self) -> &CalibrationTable {
        &self.0
    }

    /// t0 and s at a rate, interpolated in log FMR; beyond the table the last segment goes on.
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
            (Views::Pair, Views::Pair) => 0.0,
            (Views::All, Views::Pair) | (Views::Pair, Views::All) => {
                inside(&table.enroll_views_shift)
            }
            (Views::All, Views::All) => inside(&table.probe_views_shift),
        };
        // Beyond the table s stays as it is: the last two entries are too close to tell a trend.
        OperatingPoint {
            t0: (line(&table.t0) + shift) as f32,
            slope: inside(&table.s) as f32,
        }
    }
}

/// Somebody whom a search found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Who.
    pub employee: EmployeeId,
    /// How alike.
    pub similarity: Similarity,
    /// R of their reference.
    pub resultant: Resultant,
}

/// Which look at one person this is, 1 to 3. The looks share the wanted FPIR among them, so
/// that trying again never lets more strangers in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look(u8);

impl Look {
    /// The first look.
    pub const FIRST: Self = Self(1);
    /// The last look that is allowed.
    pub const LAST: Self = Self(3);

    /// Wraps a number; `None` outside 1 to 3.
    pub fn new(number: u8) -> Option<Self> {
        (Self::FIRST.0..=Self::LAST.0)
            .contains(&number)
            .then_some(Self(number))
    }

    /// The number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// This look's share of the FPIR. The shares add up to 1; the first gets most, because
    /// most people need no other.
    pub fn share(self) -> f64 {
        [0.7, 0.2, 0.1][usize::from(self.0 - 1)]
    }
}

/// How an identification is held against the threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// The wanted false positive identification rate of one search.
    pub fpir: ErrorRate,
    /// A margin over the runner-up under which the answer is nobody; 0 never vetoes.
    pub least_margin: f32,
}

impl Policy {
    /// The policy for one look out of several: held to that look's share of the FPIR.
    pub fn for_look(self, look: Look) -> Self {
        Self {
            fpir: self.fpir.times(look.share()),
            ..self
        }
    }
}

/// Within this factor of the wanted FPIR an answer of nobody is close: different frames may settle it.
const CLOSE: f64 = 50.0;

/// A candidate with the threshold it was held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Who.
    pub employee: EmployeeId,
    /// How alike.
    pub similarity: Similarity,
    /// What was needed of this candidate.
    pub threshold: Threshold,
}

impl Candidate {
    /// Similarity above its own threshold; negative when it falls short.
    fn excess(&self) -> f32 {
        self.similarity.value() - self.threshold.value()
    }
}

/// The answer to "who is this?".
#[derive(Debug, Clone, PartialEq)]
pub struct Identification {
    /// Who it is, or nobody.
    pub identified: Option<EmployeeId>,
    /// The best candidate's numbers, also when nobody is identified; `None` for an empty gallery.
    pub best: Option<Candidate>,
    /// How far the best candidate's similarity over its threshold exceeds the runner-up's; `None` without one.
    pub margin: Option<f32>,
    /// Nobody, but close: frames that differ more may settle it.
    pub close: bool,
    /// Best first.
    pub candidates: Vec<Candidate>,
}

/// Decides who a probe is of, from the matches of a search among `people` enrolled people.
///
/// The candidate with the largest similarity minus its own threshold wins, if that is not
/// negative and no runner-up stands too close.
pub fn identify(
    matches: &[Match],
    people: usize,
    template_views: Views,
    probe: &Probe,
    calibration: &Calibration,
    policy: Policy,
) -> Identification {
    let point =
        |fpir: ErrorRate| calibration.at(fpir.fmr_among(people), template_views, probe.views);
    let strict = point(policy.fpir);
    let mut candidates: Vec<Candidate> = matches
        .iter()
        .map(|found| Candidate {
            employee: found.employee,
            similarity: found.similarity,
            threshold: strict.threshold(found.resultant, probe.fused.resultant),
        })
        .collect();
    candidates.sort_by(|a, b| b.excess().total_cmp(&a.excess()));
    let best = candidates.first().copied();
    let margin = match candidates.as_slice() {
        [first, second, ..] => Some(first.excess() - second.excess()),
        _ => None,
    };
    let over = best.is_some_and(|best| best.excess() >= 0.0);
    let vetoed = margin.is_some_and(|margin| margin < policy.least_margin);
    let identified = best.filter(|_| over && !vetoed).map(|best| best.employee);
    let lax = point(policy.fpir.times(CLOSE));
    let close = identified.is_none()
        && matches.iter().any(|found| {
            found.similarity.value()
                >= lax
                    .threshold(found.resultant, probe.fused.resultant)
                    .value()
        });
    Identification {
        identified,
        best,
        margin,
        close,
        candidates,
    }
}
