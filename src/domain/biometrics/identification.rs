//! The rule that decides whom a probe shows.

use super::{
    calibration::{Calibration, ErrorRate, Threshold},
    embeddings::{Probe, Resultant, Similarity, Views},
};
use crate::domain::{ids::EmployeeId, words::words};

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
    /// The offset of the person's threshold; see [`crate::domain::self_calibration`].
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
    pub(super) fn excess(&self) -> f32 {
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
        && matches.iter().any(|found| {
            found.similarity.value() >= found.threshold(calibration, lax, probe).value()
        });
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
