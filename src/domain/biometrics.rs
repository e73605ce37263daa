//! Biometric values and the rule for the match threshold.
//!
//! Fusing photos also raises the similarity to other people, by an amount that depends on how
//! different the fused photos are. The measure for that is R, the length of the mean of the unit
//! embeddings before it is normalized ([`Resultant`]). Templates and probes store their R, and
//!
//! ```text
//! threshold(FMR) = t0(FMR) + s(FMR) · ((1 − R_template) + (1 − R_probe))
//! ```
//!
//! with t0 and s from the model pack's calibration, interpolated over log FMR. docs/MODELS.md
//! explains how the rule was fitted and how to calibrate a pack.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ids::EmployeeId, words::words};

/// The name of an embedding space. Only templates and probes of the same space can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelId(String);

impl ModelId {
    /// Wraps the name of a model pack's embedder.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A unit vector that represents a face. `Debug` shows its size only; dropping it clears its memory.
#[derive(Clone, PartialEq)]
pub struct Embedding(Box<[f32]>);

impl Embedding {
    /// Normalizes a vector to length 1; `None` if it is empty, not finite or has no direction.
    pub fn normalize(mut values: Vec<f32>) -> Option<Self> {
        let length = length(&values);
        if !length.is_finite() || length < 1e-6 {
            return None;
        }
        values.iter_mut().for_each(|value| *value /= length);
        Some(Self(values.into()))
    }

    /// Returns the components.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Returns the cosine of the angle to another embedding; `None` if the sizes differ.
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

/// Computes the Euclidean length. Sums in f64, so that the order hardly matters.
fn length(values: &[f32]) -> f32 {
    values
        .iter()
        .map(|&value| f64::from(value) * f64::from(value))
        .sum::<f64>()
        .sqrt() as f32
}

/// R, the length of the mean of unit embeddings before it is normalized. It is 1 for identical
/// photos, and lower for more different ones.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Resultant(f32);

impl Resultant {
    /// The R of a single photo.
    pub const ONE: Self = Self(1.0);

    /// Wraps a length; `None` outside (0, 1]. A rounding error above 1 counts as 1.
    pub fn new(value: f32) -> Option<Self> {
        (value.is_finite() && value > 0.0 && value <= 1.0 + 1e-4).then(|| Self(value.min(1.0)))
    }

    /// Returns the spread of the photos, 1 − R.
    pub fn spread(self) -> f32 {
        1.0 - self.0
    }

    /// Returns R.
    pub fn value(self) -> f32 {
        self.0
    }
}

/// Several embeddings of one person, fused: their normalized mean and its R.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    /// The normalized mean.
    pub embedding: Embedding,
    /// The length of the mean before it was normalized.
    pub resultant: Resultant,
}

impl Fused {
    /// Fuses embeddings of equal size; `None` if there are none, if the sizes differ, or if they
    /// cancel out.
    pub fn from_embeddings(embeddings: &[Embedding]) -> Option<Self> {
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
            embedding: Embedding::normalize(mean)?,
            resultant,
        })
    }
}

/// The views of a photo from which its embedding is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Views {
    /// The face alone, for a quick look. Its thresholds are those of [`Views::Pair`]: the false match
    /// rate is the same (measured, docs/MODELS.md), only more people are not recognized.
    One,
    /// The face and its mirror image, for probes, and for enrollment with some models.
    Pair,
    /// Seven slightly different crops, each with its mirror image, for enrollment with the others.
    All,
}

/// The reference of an enrolled person: the fused templates of all accepted photos.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The mean of the templates and its R.
    pub fused: Fused,
    /// The views of each template.
    pub views: Views,
    /// The people for whom the face was also taken when it was enrolled; see [`identify`].
    pub look_alikes: Vec<EmployeeId>,
}

/// An embedding made now, for comparison with references.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The mean of the frames and its R.
    pub fused: Fused,
    /// The views of each frame.
    pub views: Views,
}

/// The cosine of the angle between two embeddings, −1 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f32")]
pub struct Similarity(f32);

impl TryFrom<f32> for Similarity {
    type Error = &'static str;

    fn try_from(value: f32) -> Result<Self, Self::Error> {
        Self::new(value).ok_or("a cosine is between -1 and 1")
    }
}

impl Similarity {
    /// Wraps a cosine; `None` outside −1 to 1.
    pub fn new(value: f32) -> Option<Self> {
        (value.is_finite() && (-1.0..=1.0).contains(&value)).then_some(Self(value))
    }

    /// Returns the cosine.
    pub fn value(self) -> f32 {
        self.0
    }
}

/// The minimum similarity of two faces of the same person. Above 1, nothing matches.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f32")]
pub struct Threshold(f32);

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
    /// [`super::self_calibration`].
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
    t0: f32,
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

/// An enrolled person whom a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// The person.
    pub employee: EmployeeId,
    /// Similarity to the probe.
    pub similarity: Similarity,
    /// R of the person's reference.
    pub resultant: Resultant,
    /// The views of the person's templates.
    pub views: Views,
    /// The offset of the person's threshold; see [`super::self_calibration`].
    pub offset: f32,
    /// The look-alikes in the person's reference.
    pub look_alikes: Vec<EmployeeId>,
}

impl Match {
    /// Returns the minimum similarity at a false match rate for a probe.
    pub fn threshold(&self, calibration: &Calibration, fmr: ErrorRate, probe: &Probe) -> Threshold {
        let point = calibration.at(fmr, self.views, probe.views);
        let threshold = point.threshold(self.resultant, probe.fused.resultant);
        Threshold(threshold.0 + self.offset)
    }

    /// Checks whether either reference has the other person as a look-alike.
    fn looks_like(&self, other: &Self) -> bool {
        self.look_alikes.contains(&other.employee) || other.look_alikes.contains(&self.employee)
    }
}

/// The number of an identification attempt for one person, 1 to 3. The attempts share the accepted
/// FPIR, so that repeating never identifies more strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look(u8);

impl Look {
    /// The first attempt.
    pub const FIRST: Self = Self(1);
    /// The last attempt.
    pub const LAST: Self = Self(3);

    /// Wraps a number; `None` outside 1 to 3.
    pub fn new(number: u8) -> Option<Self> {
        (Self::FIRST.0..=Self::LAST.0)
            .contains(&number)
            .then_some(Self(number))
    }

    /// Returns the number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Returns this attempt's share of the FPIR. The shares add up to 1. The first attempt has the
    /// largest, because most people need only one.
    pub fn share(self) -> f64 {
        [0.7, 0.2, 0.1][usize::from(self.0 - 1)]
    }
}

/// The policy of an identification.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// The accepted false positive identification rate of all searches for one person.
    pub fpir: ErrorRate,
    /// Minimum margin over the runner-up, below which no one is identified; `None` for that of the
    /// calibration. 0 turns the check off.
    pub least_margin: Option<f32>,
    /// The share of the FPIR that this search has.
    share: f64,
}

impl Policy {
    /// Creates the policy of a single search.
    pub fn new(fpir: ErrorRate, least_margin: Option<f32>) -> Self {
        Self {
            fpir,
            least_margin,
            share: 1.0,
        }
    }

    /// Returns the policy for one of several attempts, with that attempt's share of the FPIR.
    pub fn for_look(self, look: Look) -> Self {
        self.with_share(look.share())
    }

    /// Returns the policy for a quick look at one frame, before the full look at all frames.
    pub fn quick(self) -> Self {
        self.with_share(QUICK_SHARE)
    }

    /// Returns the FMR per comparison in a search among `people`.
    pub fn fmr_among(&self, people: usize) -> ErrorRate {
        self.fpir.times(self.share).fmr_among(people)
    }

    fn with_share(self, share: f64) -> Self {
        Self {
            share: self.share * share,
            ..self
        }
    }
}

/// The share of the accepted FPIR that a quick look has.
///
/// The full look keeps the whole. Of 218,000 pairs of photos of different people, each one whose
/// quick look reaches its threshold reaches that of the full look too, at every rate of the table
/// (docs/MODELS.md). Even if the two were independent, both together would have 1.1 times the FPIR.
/// With a tenth, the quick look names 96 to 98 % of the people whom the full look names.
const QUICK_SHARE: f64 = 0.1;

/// The false match rates whose thresholds are [`Calibration::least_margin`] apart.
///
/// Measured on 40 and 190 people (`tests/vision/margins.rs`). With the default pack, this is a lead
/// of 0.067, which prevents all 7 wrong names and 0.09 % of the right ones. With the pack `dlib` it is
/// 0.011, which prevents two thirds, and 0.3 %. See docs/MODELS.md.
const MARGIN_RATES: (ErrorRate, ErrorRate) = (ErrorRate(1e-4), ErrorRate(1e-5));

/// Factor between the false match rates whose thresholds are [`look_alike_margin`] apart.
///
/// Measured with the default pack (`tests/vision/margins.rs`), for which 10,000 means a lead of about
/// 0.24. If one face is enrolled as two people, chance identifies one of them in 1 of 640 probes;
/// with a factor of 1,000 it is 8. Of the 20 most similar pairs of different people, the right one
/// leads by 0.51 in half of the probes, and by less than 0.24 in 3 %. See docs/MODELS.md.
const LOOK_ALIKE_FACTOR: f64 = 10_000.0;

/// Returns the minimum lead of a candidate over a look-alike: the distance between the thresholds
/// at a false match rate and at one that is `LOOK_ALIKE_FACTOR` times lower. It comes from the
/// calibration, so that it fits every model pack.
pub fn look_alike_margin(
    calibration: &Calibration,
    fmr: ErrorRate,
    template: Views,
    probe: Views,
) -> f32 {
    let t0 = |rate| calibration.at(rate, template, probe).t0;
    (t0(fmr.times(1.0 / LOOK_ALIKE_FACTOR)) - t0(fmr)).max(0.0)
}

/// Factor of the accepted FPIR within which a failed identification counts as close.
const CLOSE_FACTOR: f64 = 50.0;

/// A candidate of an identification, with its threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The person.
    pub employee: EmployeeId,
    /// Similarity to the probe.
    pub similarity: Similarity,
    /// Minimum similarity for this candidate.
    pub threshold: Threshold,
}

impl Candidate {
    /// Returns similarity − threshold; negative if the candidate does not match.
    fn excess(&self) -> f32 {
        self.similarity.value() - self.threshold.value()
    }
}

words! {
    /// Why no one is identified.
    NobodyReason {
        /// No enrolled face is similar enough.
        Unknown = "unknown",
        /// The lead over the second candidate is less than the policy requires.
        Margin = "margin",
        /// The lead over a look-alike is less than [`look_alike_margin`].
        LookAlike = "look_alike",
    }
}

impl NobodyReason {
    /// Returns advice for the person in front of the camera; `None` if the reason calls for none.
    /// The advice never contains a name.
    pub fn detail(self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::Margin => Some("not certain enough: look into the camera, and try again"),
            Self::LookAlike => Some("this face looks too much like a colleague's: ask a manager"),
        }
    }
}

/// The result of an identification.
#[derive(Debug, Clone, PartialEq)]
pub struct Identification {
    /// The identified person, or why no one is identified.
    pub identified: Result<EmployeeId, NobodyReason>,
    /// The best candidate, even if no one is identified; `None` if the gallery is empty.
    pub best: Option<Candidate>,
    /// Difference between the best candidate's similarity − threshold and the runner-up's; `None`
    /// without a runner-up.
    pub margin: Option<f32>,
    /// Whether no one is identified, but a candidate is close, so that further frames may decide
    /// it.
    pub close: bool,
    /// The candidates, best first.
    pub candidates: Vec<Candidate>,
}

impl Identification {
    /// Returns the identification for a caller who may know only some of the people. The others
    /// are no candidates.
    #[must_use]
    pub fn among(self, known: impl Fn(EmployeeId) -> bool) -> Self {
        if self.candidates.iter().all(|one| known(one.employee)) {
            return self;
        }
        let candidates = self.candidates.into_iter();
        let candidates: Vec<_> = candidates.filter(|one| known(one.employee)).collect();
        Self {
            identified: match self.identified {
                Ok(id) if known(id) => Ok(id),
                _ => Err(NobodyReason::Unknown),
            },
            best: candidates.first().copied(),
            margin: None,
            close: false,
            candidates,
        }
    }
}

/// Identifies the person of a probe, from the matches of a search among `people` enrolled people.
///
/// The candidate with the largest similarity − threshold is identified, if that is not negative and
/// the margin over the runner-up is sufficient.
///
/// Two people are look-alikes if an admin enrolled or reactivated one of them although their face
/// was also taken for the other one. A candidate who leads a look-alike by less than
/// [`look_alike_margin`] is not identified, whatever margin the policy requires. `matches` must
/// contain the look-alikes of the best match, however far behind they are.
pub fn identify(
    matches: &[Match],
    people: usize,
    probe: &Probe,
    calibration: &Calibration,
    policy: Policy,
) -> Identification {
    let fmr = policy.fmr_among(people);
    let mut ranked: Vec<(Candidate, &Match)> = matches
        .iter()
        .map(|found| {
            let candidate = Candidate {
                employee: found.employee,
                similarity: found.similarity,
                threshold: found.threshold(calibration, fmr, probe),
            };
            (candidate, found)
        })
        .collect();
    ranked.sort_by(|(a, _), (b, _)| b.excess().total_cmp(&a.excess()));
    let least_margin = policy.least_margin;
    let least_margin = least_margin.unwrap_or_else(|| calibration.least_margin());
    let identified = decide(&ranked, least_margin, |best| {
        look_alike_margin(calibration, fmr, best.views, probe.views)
    });
    let margin = match ranked.as_slice() {
        [(first, _), (second, _), ..] => Some(first.excess() - second.excess()),
        _ => None,
    };
    let lax = policy.fpir.times(CLOSE_FACTOR).fmr_among(people);
    let close = identified.is_err()
        && matches
            .iter()
            .any(|found| found.similarity.0 >= found.threshold(calibration, lax, probe).0);
    let candidates: Vec<_> = ranked.iter().map(|(candidate, _)| *candidate).collect();
    Identification {
        identified,
        best: candidates.first().copied(),
        margin,
        close,
        candidates,
    }
}

/// Decides which of the candidates, best first, is identified.
fn decide(
    ranked: &[(Candidate, &Match)],
    least_margin: f32,
    look_alike_margin: impl Fn(&Match) -> f32,
) -> Result<EmployeeId, NobodyReason> {
    let [(best, found), others @ ..] = ranked else {
        return Err(NobodyReason::Unknown);
    };
    let lead = |other: &Candidate| best.excess() - other.excess();
    if best.excess() < 0.0 {
        Err(NobodyReason::Unknown)
    } else if others
        .iter()
        .any(|(other, of)| found.looks_like(of) && lead(other) < look_alike_margin(found))
    {
        Err(NobodyReason::LookAlike)
    } else if others
        .first()
        .is_some_and(|(second, _)| lead(second) < least_margin)
    {
        Err(NobodyReason::Margin)
    } else {
        Ok(best.employee)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const FMR: [f64; 5] = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
    const T0: [f64; 5] = [0.9116, 0.9296, 0.9432, 0.9543, 0.9635];
    const S: [f64; 5] = [0.67, 0.61, 0.59, 0.54, 0.54];

    fn calibration() -> Calibration {
        Calibration::try_from(CalibrationTable {
            fmr: FMR.to_vec(),
            t0: T0.to_vec(),
            s: S.to_vec(),
            enroll_views_shift: vec![0.0023, 0.0018, 0.0013, 0.0007, 0.0007],
            probe_views_shift: vec![0.0046, 0.0038, 0.0027, 0.0018, 0.0018],
            prior_offset: 0.0,
            source: String::new(),
        })
        .unwrap()
    }

    fn rate(value: f64) -> ErrorRate {
        ErrorRate::new(value).unwrap()
    }

    fn r(value: f32) -> Resultant {
        Resultant::new(value).unwrap()
    }

    fn single(fmr: f64) -> f32 {
        calibration()
            .at(rate(fmr), Views::Pair, Views::Pair)
            .threshold(Resultant::ONE, Resultant::ONE)
            .value()
    }

    #[test]
    fn the_rates_of_the_table_give_its_values() {
        for ((fmr, t0), s) in FMR.into_iter().zip(T0).zip(S) {
            assert!((f64::from(single(fmr)) - t0).abs() < 1e-6);
            let point = calibration().at(rate(fmr), Views::Pair, Views::Pair);
            assert!((f64::from(point.slope()) - s).abs() < 1e-6);
        }
    }

    #[test]
    fn views_shift_the_threshold_by_the_table() {
        let at = |template, probe| {
            calibration()
                .at(rate(1e-3), template, probe)
                .threshold(Resultant::ONE, Resultant::ONE)
                .value()
        };
        let pair = at(Views::Pair, Views::Pair);
        assert!((at(Views::All, Views::Pair) - pair - 0.0018).abs() < 1e-5);
        assert_eq!(at(Views::All, Views::Pair), at(Views::Pair, Views::All));
        assert!((at(Views::All, Views::All) - pair - 0.0038).abs() < 1e-5);
    }

    #[test]
    fn thresholds_beyond_the_table_are_extrapolated() {
        let (strict, lax) = (single(1e-8), single(0.1));
        assert!(strict > 0.9635 && strict < 1.0, "{strict}");
        assert!(lax < 0.9116 && lax > 0.85, "{lax}");
    }

    #[test]
    fn incomplete_and_contradictory_tables_are_rejected() {
        let table = |fmr: &[f64], t0: &[f64], s: &[f64]| {
            Calibration::try_from(CalibrationTable {
                fmr: fmr.to_vec(),
                t0: t0.to_vec(),
                s: s.to_vec(),
                enroll_views_shift: Vec::new(),
                probe_views_shift: Vec::new(),
                prior_offset: 0.0,
                source: String::new(),
            })
        };
        assert_eq!(
            table(&[0.1], &[0.5], &[0.5]),
            Err(CalibrationError::TooShort)
        );
        assert_eq!(
            table(&[0.1, 0.01], &[0.5], &[0.5, 0.5]),
            Err(CalibrationError::Ragged)
        );
        assert_eq!(
            table(&[0.01, 0.1], &[0.5, 0.6], &[0.5, 0.5]),
            Err(CalibrationError::Rates)
        );
        assert_eq!(
            table(&[1.0, 0.1], &[0.5, 0.6], &[0.5, 0.5]),
            Err(CalibrationError::Rates)
        );
        assert_eq!(
            table(&[0.1, 0.01], &[0.6, 0.5], &[0.5, 0.5]),
            Err(CalibrationError::Thresholds)
        );
        assert_eq!(
            table(&[0.1, 0.01], &[0.5, f64::NAN], &[0.5, 0.5]),
            Err(CalibrationError::Thresholds)
        );
        assert_eq!(
            table(&[0.1, 0.01], &[0.5, 0.6], &[-0.1, 0.5]),
            Err(CalibrationError::Thresholds)
        );
        assert!(table(&[0.1, 0.01], &[0.5, 0.6], &[0.5, 0.4]).is_ok());
    }

    #[test]
    fn the_shares_of_the_attempts_add_up_to_one() {
        let shares: f64 = (1..=3)
            .map(|number| Look::new(number).unwrap().share())
            .sum();
        assert!((shares - 1.0).abs() < 1e-12);
        assert!(Look::new(0).is_none() && Look::new(4).is_none());
    }

    #[test]
    fn debug_output_hides_the_embedding() {
        let embedding = Embedding::normalize(vec![0.25, 0.5]).unwrap();
        assert_eq!(format!("{embedding:?}"), "Embedding(2 values)");
    }

    #[test]
    fn vectors_without_a_direction_are_rejected() {
        assert!(Embedding::normalize(Vec::new()).is_none());
        assert!(Embedding::normalize(vec![0.0; 4]).is_none());
        assert!(Embedding::normalize(vec![1.0, f32::NAN]).is_none());
        let (a, b) = (
            Embedding::normalize(vec![1.0, 0.0]),
            Embedding::normalize(vec![-1.0, 0.0]),
        );
        assert!(
            Fused::from_embeddings(&[a.unwrap(), b.unwrap()]).is_none(),
            "they cancel out"
        );
        assert!(Fused::from_embeddings(&[]).is_none());
    }

    fn embedding() -> impl Strategy<Value = Embedding> {
        prop::collection::vec(-1f32..1.0, 8).prop_filter_map("no direction", Embedding::normalize)
    }

    fn employee(number: usize) -> EmployeeId {
        EmployeeId::new(Uuid::from_u128(number as u128))
    }

    fn probe(embedding: Embedding, resultant: f32) -> Probe {
        Probe {
            fused: Fused {
                embedding,
                resultant: r(resultant),
            },
            views: Views::Pair,
        }
    }

    fn found(matches: &[(f32, f32)]) -> Vec<Match> {
        let made = matches
            .iter()
            .enumerate()
            .map(|(number, &(similarity, resultant))| Match {
                employee: employee(number),
                similarity: Similarity::new(similarity).unwrap(),
                resultant: r(resultant),
                views: Views::All,
                offset: 0.0,
                look_alikes: Vec::new(),
            });
        made.collect()
    }

    fn policy(fpir: f64, least_margin: f32) -> Policy {
        Policy::new(rate(fpir), Some(least_margin))
    }

    fn ask(matches: &[(f32, f32)], resultant: f32, policy: Policy) -> Identification {
        ask_matches(&found(matches), resultant, policy)
    }

    fn ask_matches(matches: &[Match], resultant: f32, policy: Policy) -> Identification {
        let probe = probe(Embedding::normalize(vec![1.0, 0.0]).unwrap(), resultant);
        identify(matches, 40, &probe, &calibration(), policy)
    }

    /// Returns the matches after the second person becomes a look-alike of the first.
    fn look_alikes(mut matches: Vec<Match>, (who, other): (usize, usize)) -> Vec<Match> {
        let found = matches.iter_mut().find(|one| one.employee == employee(who));
        found.unwrap().look_alikes.push(employee(other));
        matches
    }

    fn lead_over_look_alikes(fpir: f64) -> f32 {
        let fmr = rate(fpir).fmr_among(40);
        look_alike_margin(&calibration(), fmr, Views::All, Views::Pair)
    }

    #[test]
    fn a_close_runner_up_prevents_identification_if_a_margin_is_set() {
        let matches = [(0.99, 1.0), (0.985, 1.0)];
        assert_eq!(
            ask(&matches, 1.0, policy(0.001, 0.0)).identified,
            Ok(employee(0))
        );
        let vetoed = ask(&matches, 1.0, policy(0.001, 0.01));
        assert_eq!(vetoed.identified, Err(NobodyReason::Margin));
        assert!((vetoed.margin.unwrap() - 0.005).abs() < 1e-5);
        assert_eq!(
            ask(&matches[..1], 1.0, policy(0.001, 0.01)).identified,
            Ok(employee(0))
        );
    }

    #[test]
    fn the_default_margin_is_that_of_the_calibration_in_use() {
        let default = Policy::new(rate(0.001), None);
        let least = calibration().least_margin();
        let ask = |lead: f32| ask(&[(0.99, 1.0), (0.99 - lead, 1.0)], 1.0, default).identified;
        assert_eq!(ask(least * 0.9), Err(NobodyReason::Margin));
        assert_eq!(ask(least * 1.1), Ok(employee(0)));
    }

    #[test]
    fn the_margin_over_look_alikes_follows_the_calibration() {
        // Ten thousand times rarer is four columns of the table.
        let at = |fmr| look_alike_margin(&calibration(), rate(fmr), Views::Pair, Views::Pair);
        assert!((at(1e-2) - (0.9635 - 0.9116)).abs() < 1e-5);
        // One column beyond the end of the table.
        assert!((at(1e-3) - (0.9635 + 0.0092 - 0.9296)).abs() < 1e-5);
    }

    #[test]
    fn the_default_margin_follows_the_calibration() {
        assert!((calibration().least_margin() - (0.9543 - 0.9432)).abs() < 1e-5);
    }

    #[test]
    fn reasons_never_depend_on_look_alikes_who_are_not_enrolled() {
        let alone = look_alikes(found(&[(0.99, 1.0)]), (0, 7));
        let answer = ask_matches(&alone, 1.0, policy(0.001, 0.0));
        assert_eq!(answer.identified, Ok(employee(0)));
    }

    #[test]
    fn an_empty_gallery_identifies_nobody() {
        let answer = ask(&[], 1.0, policy(0.001, 0.0));
        assert_eq!(
            (answer.identified, answer.best, answer.margin, answer.close),
            (Err(NobodyReason::Unknown), None, None, false)
        );
    }

    proptest! {
        #[test]
        fn a_stricter_rate_never_lowers_the_threshold(a in -9f64..-0.5, b in -9f64..-0.5) {
            let (strict, lax) = (10f64.powf(a.min(b)), 10f64.powf(a.max(b)));
            prop_assert!(single(strict) >= single(lax) - 1e-6);
        }

        #[test]
        fn the_fmr_falls_with_more_people_and_the_search_keeps_its_fpir(
            fpir in 1e-6f64..0.5, people in 1usize..200_000,
        ) {
            let one = rate(fpir).fmr_among(people);
            prop_assert!(one.value() > 0.0 && one.value() <= fpir * (1.0 + 1e-9));
            prop_assert!(rate(fpir).fmr_among(people + 1).value() <= one.value());
            let search = -((-one.value()).ln_1p() * people as f64).exp_m1();
            prop_assert!((search / fpir - 1.0).abs() < 1e-9);
        }

        #[test]
        fn copies_of_one_photo_fuse_to_that_photo(one in embedding(), copies in 1usize..6) {
            let fused = Fused::from_embeddings(&vec![one.clone(); copies]).unwrap();
            prop_assert!(fused.resultant.spread() < 1e-4);
            prop_assert!(fused.embedding.similarity(&one).unwrap().value() > 0.9999);
            let point = calibration().at(rate(1e-3), Views::Pair, Views::Pair);
            let needed = point.threshold(fused.resultant, fused.resultant).value();
            prop_assert!((needed - single(1e-3)).abs() < 2e-4);
        }

        #[test]
        fn r_is_the_length_of_the_mean_and_spread_raises_the_threshold(all in prop::collection::vec(embedding(), 2..6)) {
            if let Some(fused) = Fused::from_embeddings(&all) {
                let mut mean = [0f32; 8];
                for one in &all {
                    for (sum, value) in mean.iter_mut().zip(one.as_slice()) {
                        *sum += value / all.len() as f32;
                    }
                }
                prop_assert!((length(&mean) - fused.resultant.value()).abs() < 1e-4);
                let point = calibration().at(rate(1e-4), Views::Pair, Views::Pair);
                let needed = point.threshold(fused.resultant, Resultant::ONE).value();
                prop_assert!(needed >= single(1e-4) - 1e-6);
            }
        }

        #[test]
        fn the_identified_candidate_has_the_largest_excess_and_reaches_its_threshold(
            matches in prop::collection::vec((0.85f32..1.0, 0.95f32..1.0), 1..8),
            resultant in 0.95f32..1.0,
            fpir in 1e-4f64..0.1,
        ) {
            let answer = ask(&matches, resultant, policy(fpir, 0.0));
            let excess: Vec<f32> = answer.candidates.iter().map(Candidate::excess).collect();
            prop_assert!(excess.windows(2).all(|pair| pair[0] >= pair[1]));
            prop_assert_eq!(answer.best, answer.candidates.first().copied());
            let best = answer.candidates[0].employee;
            let expected = if excess[0] >= 0.0 { Ok(best) } else { Err(NobodyReason::Unknown) };
            prop_assert_eq!(answer.identified, expected);
            prop_assert!(answer.identified.is_err() || !answer.close);
            prop_assert_eq!(answer.margin.is_some(), matches.len() > 1);
        }

        #[test]
        fn an_attempt_identifies_nobody_whom_the_full_rate_would_not(similarity in 0.9f32..1.0, number in 1u8..=3) {
            let whole = policy(0.01, 0.0);
            let look = whole.for_look(Look::new(number).unwrap());
            if ask(&[(similarity, 1.0)], 1.0, look).identified.is_ok() {
                prop_assert!(ask(&[(similarity, 1.0)], 1.0, whole).identified.is_ok());
            }
        }

        #[test]
        fn look_alikes_are_told_apart_by_a_clear_lead_only(
            matches in prop::collection::vec((0.93f32..1.0, 0.98f32..1.0), 2..6),
            (who, other) in (0usize..6, 0usize..6),
            fpir in 1e-4f64..0.1,
        ) {
            let (who, other) = (who % matches.len(), other % matches.len());
            prop_assume!(who != other);
            let plain = ask(&matches, 1.0, policy(fpir, 0.0));
            let pair = look_alikes(found(&matches), (who, other));
            let answer = ask_matches(&pair, 1.0, policy(fpir, 0.0));
            let excess = |number| {
                let of = |one: &&Candidate| one.employee == employee(number);
                plain.candidates.iter().find(of).unwrap().excess()
            };
            let best = plain.candidates[0].employee;
            let of_pair = best == employee(who) || best == employee(other);
            let hair = (excess(who) - excess(other)).abs() < lead_over_look_alikes(fpir);
            let expected = match plain.identified {
                Ok(_) if of_pair && hair => Err(NobodyReason::LookAlike),
                same => same,
            };
            prop_assert_eq!(answer.identified, expected);
        }

        #[test]
        fn it_does_not_matter_which_of_two_look_alikes_names_the_other(
            matches in prop::collection::vec((0.93f32..1.0, 0.98f32..1.0), 2..6),
            least_margin in 0f32..0.05,
        ) {
            let one = ask_matches(&look_alikes(found(&matches), (0, 1)), 1.0, policy(0.01, least_margin));
            let other = ask_matches(&look_alikes(found(&matches), (1, 0)), 1.0, policy(0.01, least_margin));
            prop_assert_eq!(one, other);
        }
    }
}
