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
    /// 0.01 %.
    pub const ONE_IN_TEN_THOUSAND: Self = Self(0.0001);
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
    fn the_points_of_the_table_are_reproduced() {
        for ((fmr, t0), s) in FMR.into_iter().zip(T0).zip(S) {
            assert!((f64::from(single(fmr)) - t0).abs() < 1e-6);
            let point = calibration().at(rate(fmr), Views::Pair, Views::Pair);
            assert!((f64::from(point.slope()) - s).abs() < 1e-6);
        }
    }

    #[test]
    fn views_raise_the_threshold_as_the_table_says() {
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
    fn beyond_the_table_the_threshold_goes_on_and_stays_near_it() {
        let (strict, lax) = (single(1e-8), single(0.1));
        assert!(strict > 0.9635 && strict < 1.0, "{strict}");
        assert!(lax < 0.9116 && lax > 0.85, "{lax}");
    }

    #[test]
    fn tables_that_say_nothing_or_contradict_themselves_are_refused() {
        let table = |fmr: &[f64], t0: &[f64], s: &[f64]| {
            Calibration::try_from(CalibrationTable {
                fmr: fmr.to_vec(),
                t0: t0.to_vec(),
                s: s.to_vec(),
                enroll_views_shift: Vec::new(),
                probe_views_shift: Vec::new(),
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
    fn the_shares_of_the_looks_add_up_to_one() {
        let shares: f64 = (1..=3)
            .map(|number| Look::new(number).unwrap().share())
            .sum();
        assert!((shares - 1.0).abs() < 1e-12);
        assert!(Look::new(0).is_none() && Look::new(4).is_none());
    }

    #[test]
    fn nothing_of_a_face_is_printed() {
        let embedding = Embedding::normalise(vec![0.25, 0.5]).unwrap();
        assert_eq!(format!("{embedding:?}"), "Embedding(2 values)");
    }

    #[test]
    fn what_has_no_direction_is_no_embedding() {
        assert!(Embedding::normalise(Vec::new()).is_none());
        assert!(Embedding::normalise(vec![0.0; 4]).is_none());
        assert!(Embedding::normalise(vec![1.0, f32::NAN]).is_none());
        let (a, b) = (
            Embedding::normalise(vec![1.0, 0.0]),
            Embedding::normalise(vec![-1.0, 0.0]),
        );
        assert!(
            Fused::of(&[a.unwrap(), b.unwrap()]).is_none(),
            "they cancel out"
        );
        assert!(Fused::of(&[]).is_none());
    }

    fn embedding() -> impl Strategy<Value = Embedding> {
        prop::collection::vec(-1f32..1.0, 8).prop_filter_map("no direction", Embedding::normalise)
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
            });
        made.collect()
    }

    fn policy(fpir: f64, least_margin: f32) -> Policy {
        Policy {
            fpir: rate(fpir),
            least_margin,
        }
    }

    fn ask(matches: &[(f32, f32)], resultant: f32, policy: Policy) -> Identification {
        let probe = probe(Embedding::normalise(vec![1.0, 0.0]).unwrap(), resultant);
        identify(
            &found(matches),
            40,
            Views::All,
            &probe,
            &calibration(),
            policy,
        )
    }

    #[test]
    fn a_close_runner_up_vetoes_when_the_site_wants_it() {
        let matches = [(0.99, 1.0), (0.985, 1.0)];
        assert_eq!(
            ask(&matches, 1.0, policy(0.001, 0.0)).identified,
            Some(employee(0))
        );
        let vetoed = ask(&matches, 1.0, policy(0.001, 0.01));
        assert_eq!(vetoed.identified, None);
        assert!((vetoed.margin.unwrap() - 0.005).abs() < 1e-5);
        assert_eq!(
            ask(&matches[..1], 1.0, policy(0.001, 0.01)).identified,
            Some(employee(0))
        );
    }

    #[test]
    fn an_empty_gallery_knows_nobody() {
        let answer = ask(&[], 1.0, policy(0.001, 0.0));
        assert_eq!(
            (answer.identified, answer.best, answer.margin, answer.close),
            (None, None, None, false)
        );
    }

    proptest! {
        #[test]
        fn a_stricter_rate_never_lowers_the_threshold(a in -9f64..-0.5, b in -9f64..-0.5) {
            let (strict, lax) = (10f64.powf(a.min(b)), 10f64.powf(a.max(b)));
            prop_assert!(single(strict) >= single(lax) - 1e-6);
        }

        #[test]
        fn more_people_need_a_stricter_rate_and_the_search_keeps_its_own(
            fpir in 1e-6f64..0.5, people in 1usize..200_000,
        ) {
            let one = rate(fpir).fmr_among(people);
            prop_assert!(one.value() > 0.0 && one.value() <= fpir * (1.0 + 1e-9));
            prop_assert!(rate(fpir).fmr_among(people + 1).value() <= one.value());
            let search = -((-one.value()).ln_1p() * people as f64).exp_m1();
            prop_assert!((search / fpir - 1.0).abs() < 1e-9);
        }

        #[test]
        fn copies_of_one_photo_are_that_photo(one in embedding(), copies in 1usize..6) {
            let fused = Fused::of(&vec![one.clone(); copies]).unwrap();
            prop_assert!(fused.resultant.spread() < 1e-4);
            prop_assert!(fused.embedding.similarity(&one).unwrap().value() > 0.9999);
            let point = calibration().at(rate(1e-3), Views::Pair, Views::Pair);
            let needed = point.threshold(fused.resultant, fused.resultant).value();
            prop_assert!((needed - single(1e-3)).abs() < 2e-4);
        }

        #[test]
        fn r_is_the_length_of_the_mean_and_spread_costs(all in prop::collection::vec(embedding(), 2..6)) {
            if let Some(fused) = Fused::of(&all) {
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
        fn the_winner_has_the_largest_excess_and_reaches_its_own_threshold(
            matches in prop::collection::vec((0.85f32..1.0, 0.95f32..1.0), 1..8),
            resultant in 0.95f32..1.0,
            fpir in 1e-4f64..0.1,
        ) {
            let answer = ask(&matches, resultant, policy(fpir, 0.0));
            let excess: Vec<f32> = answer.candidates.iter().map(Candidate::excess).collect();
            prop_assert!(excess.windows(2).all(|pair| pair[0] >= pair[1]));
            prop_assert_eq!(answer.best, answer.candidates.first().copied());
            prop_assert_eq!(answer.identified.is_some(), excess[0] >= 0.0);
            prop_assert!(answer.identified.is_none() || answer.identified == answer.best.map(|best| best.employee));
            prop_assert!(answer.identified.is_none() || !answer.close);
            prop_assert_eq!(answer.margin.is_some(), matches.len() > 1);
        }

        #[test]
        fn no_look_lets_in_whom_the_whole_rate_would_not(similarity in 0.9f32..1.0, number in 1u8..=3) {
            let whole = policy(0.01, 0.0);
            let look = whole.for_look(Look::new(number).unwrap());
            if ask(&[(similarity, 1.0)], 1.0, look).identified.is_some() {
                prop_assert!(ask(&[(similarity, 1.0)], 1.0, whole).identified.is_some());
            }
        }
    }
}
