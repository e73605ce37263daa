//! Calibrates a pack: the similarities of different people give t0 and s, and the similarities of
//! the same person give the false non-match rates at these thresholds.
//!
//! The threshold rule (see [`crate::domain::biometrics`]) is fitted in the form in which it is
//! applied. At each rate, t0 is the similarity that two photos of different people exceed. s is
//! how much higher that similarity is, per unit of spread, if both sides are means of several
//! photos of one person.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use futures::{StreamExt, stream};

use crate::{
    domain::biometrics::{
        Calibration, CalibrationError, CalibrationTable, Embedding, ErrorRate, Fused, Resultant,
        Views,
    },
    ports::{EngineError, FaceEngine, Sample, Work},
};

/// The rates of a calibration table.
pub const RATES: [f64; 6] = [5e-2, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/// The smallest rate that must be measured, and not extrapolated.
const LEAST_RATE: f64 = 1e-3;
/// Minimum number of pairs above a threshold for a measurement. With fewer pairs, the row is
/// extrapolated from the rows before it.
const LEAST_PAIRS: f64 = 10.0;
/// Number of photos that are fused to measure s.
const FUSED: usize = 3;

/// The progress of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Photos analyzed so far.
    pub done: usize,
    /// Photos in total.
    pub photos: usize,
}

/// The measurements at one false match rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// False match rate.
    pub fmr: f64,
    /// Threshold for one photo against one photo.
    pub t0: f64,
    /// Slope of the threshold over the spread of both sides.
    pub s: f64,
    /// Whether the row was extrapolated from the two before it, because there were too few pairs.
    pub extrapolated: bool,
    /// False non-match rate of single photos at t0.
    pub fnmr: f64,
    /// False non-match rate of means of several photos on both sides, at their own thresholds.
    pub fnmr_fused: f64,
    /// False match rate that results from the pack's own calibration; `None` if it has none.
    pub own_fmr: Option<f64>,
    /// The same, for means of several photos on both sides.
    pub own_fmr_fused: Option<f64>,
}

/// The result of a measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Number of people with a usable photo.
    pub people: usize,
    /// Number of usable photos.
    pub photos: usize,
    /// Photos that could not be used, and why.
    pub left_out: Vec<(PathBuf, String)>,
    /// Number of pairs of photos of different people.
    pub pairs: usize,
    /// Number of pairs of means of several photos of different people.
    pub fused_pairs: usize,
    /// One row per rate of [`RATES`].
    pub rows: Vec<Row>,
}

/// The reason why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// The folder cannot be read.
    #[error("could not read {}: {cause}", .path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// The error of the system.
        cause: io::Error,
    },
    /// There are too few people or photos for the largest rates.
    #[error(
        "{people} people give only {pairs} pairs of photos of different people: at least {needed} pairs are needed"
    )]
    TooFew {
        /// Number of people.
        people: usize,
        /// Number of pairs of photos of different people.
        pairs: usize,
        /// Number of pairs that these rates need.
        needed: usize,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The measurements do not form a valid calibration.
    #[error("the measurements do not form a valid calibration: {0}")]
    Figures(#[from] CalibrationError),
}

/// Measures `engine` on a folder with one subfolder of photos per person, `at_once` photos at a
/// time.
pub async fn calibrate(
    engine: &dyn FaceEngine,
    folder: &Path,
    at_once: usize,
    mut progress: impl FnMut(Progress),
) -> Result<Report, CalibrateError> {
    let photos = photos(folder)?;
    let total = photos.len();
    let mut analyzed = stream::iter(photos)
        .map(|(person, path)| async move {
            let outcome = embed(engine, &path).await;
            (person, path, outcome)
        })
        .buffered(at_once.max(1));
    let mut people: Vec<Vec<Embedding>> = Vec::new();
    let mut left_out = Vec::new();
    let (mut last, mut done) = (usize::MAX, 0);
    while let Some((person, path, outcome)) = analyzed.next().await {
        done += 1;
        progress(Progress {
            done,
            photos: total,
        });
        match outcome? {
            Ok(embedding) => {
                if person != last {
                    people.push(Vec::new());
                    last = person;
                }
                people
                    .last_mut()
                    .into_iter()
                    .for_each(|photos| photos.push(embedding.clone()));
            }
            Err(why) => left_out.push((path, why)),
        }
    }
    measure(&people, left_out, engine.calibration())
}

/// Embeds the largest face of a photo. The inner error is the reason why the photo is left out;
/// the outer one is a failure of the engine.
async fn embed(
    engine: &dyn FaceEngine,
    path: &Path,
) -> Result<Result<Embedding, String>, EngineError> {
    const PROBE: Work = Work {
        sender: None,
        views: Views::Pair,
        embed: 1,
        photo: false,
    };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(error.to_string())),
    };
    match engine.analyze(Sample::new(bytes), PROBE).await {
        Ok(analysis) => Ok(analysis
            .faces
            .into_iter()
            .next()
            .and_then(|face| face.embedding)
            .ok_or_else(|| "no face found".to_owned())),
        Err(EngineError::Sample(error)) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Lists every photo in the subfolders of a folder, with the number of its subfolder, in order.
fn photos(folder: &Path) -> Result<Vec<(usize, PathBuf)>, CalibrateError> {
    let people = entries(folder)?.into_iter().filter(|path| path.is_dir());
    let mut photos = Vec::new();
    for (number, person) in people.enumerate() {
        let files = entries(&person)?.into_iter().filter(|path| path.is_file());
        photos.extend(files.map(|path| (number, path)));
    }
    Ok(photos)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, CalibrateError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut paths = std::fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    read().map_err(|cause| CalibrateError::Unreadable {
        path: folder.to_owned(),
        cause,
    })
}

/// A pair of references: their similarity, and the sum of their spreads.
#[derive(Debug, Clone, Copy)]
struct Pair {
    similarity: f64,
    spread: f64,
}

impl Pair {
    fn new(a: &Fused, b: &Fused) -> Option<Self> {
        Some(Self {
            similarity: f64::from(a.embedding.similarity(&b.embedding)?.value()),
            spread: f64::from(a.resultant.spread() + b.resultant.spread()),
        })
    }

    /// Returns the similarity minus s · spread, which is compared with t0.
    fn adjusted_similarity(self, s: f64) -> f64 {
        self.similarity - s * self.spread
    }
}

/// Returns every pair of the same person, and every pair of different people.
fn pairs(people: &[Vec<Fused>]) -> (Vec<Pair>, Vec<Pair>) {
    let (mut same, mut different) = (Vec::new(), Vec::new());
    for (number, sides) in people.iter().enumerate() {
        for (place, side) in sides.iter().enumerate() {
            same.extend(
                sides[..place]
                    .iter()
                    .filter_map(|other| Pair::new(side, other)),
            );
            let others = people[..number].iter().flatten();
            different.extend(others.filter_map(|other| Pair::new(side, other)));
        }
    }
    (same, different)
}

/// Fits the threshold rule to embeddings that are grouped by person.
fn measure(
    people: &[Vec<Embedding>],
    left_out: Vec<(PathBuf, String)>,
    own: Option<&Calibration>,
) -> Result<Report, CalibrateError> {
    let singles: Vec<Vec<Fused>> = people
        .iter()
        .map(|photos| {
            photos
                .iter()
                .filter_map(|one| Fused::from_embeddings(std::slice::from_ref(one)))
                .collect()
        })
        .collect();
    // No photo is in two means, so that no pair compares a photo with itself.
    let means: Vec<Vec<Fused>> = people
        .iter()
        .map(|photos| {
            photos
                .chunks_exact(FUSED)
                .filter_map(Fused::from_embeddings)
                .collect()
        })
        .collect();
    let (same, different) = pairs(&singles);
    let (same_means, different_means) = pairs(&means);
    let needed = (LEAST_PAIRS / LEAST_RATE) as usize;
    if different.len() < needed {
        return Err(CalibrateError::TooFew {
            people: people.len(),
            pairs: different.len(),
            needed,
        });
    }
    let single_scores = sorted(different.iter().map(|pair| pair.similarity));
    let mut rows: Vec<Row> = Vec::with_capacity(RATES.len());
    for fmr in RATES {
        let enough = |pairs: usize| fmr * pairs as f64 >= LEAST_PAIRS;
        let extrapolated = !enough(different.len());
        let t0 = if extrapolated {
            extrapolate(&rows, fmr, |row| row.t0)
        } else {
            quantile(&single_scores, fmr)
        };
        let s = if enough(different_means.len()) {
            slope(&different_means, t0, fmr)
        } else {
            // There are too few means; the slope hardly changes with the rate, so the last one
            // is used.
            rows.last().map_or(0.0, |row| row.s)
        };
        let t0 = rows.last().map_or(t0, |row| t0.max(row.t0));
        let missed = |pairs: &[Pair]| share(pairs, |pair| pair.adjusted_similarity(s) < t0);
        let own_rate = |pairs: &[Pair]| {
            let point = own?.at(ErrorRate::new(fmr)?, Views::Pair, Views::Pair);
            let t0 = f64::from(point.threshold(Resultant::ONE, Resultant::ONE).value());
            Some(share(pairs, |pair| {
                pair.adjusted_similarity(f64::from(point.slope())) >= t0
            }))
        };
        rows.push(Row {
            fmr,
            t0,
            s,
            extrapolated,
            fnmr: missed(&same),
            fnmr_fused: missed(&same_means),
            own_fmr: own_rate(&different),
            own_fmr_fused: own_rate(&different_means),
        });
    }
    Ok(Report {
        people: people.len(),
        photos: people.iter().map(Vec::len).sum(),
        left_out,
        pairs: different.len(),
        fused_pairs: different_means.len(),
        rows,
    })
}

/// Sorts scores, largest first.
fn sorted(scores: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut scores: Vec<f64> = scores.collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    scores
}

/// Returns the score that a share of `rate` of the scores exceeds. Expects the largest first.
fn quantile(scores: &[f64], rate: f64) -> f64 {
    let place = (rate * scores.len() as f64) as usize;
    scores.get(place).or(scores.last()).copied().unwrap_or(1.0)
}

/// Finds the s at which the means exceed t0 at the given rate, by bisection: the rate falls as s
/// rises.
fn slope(means: &[Pair], t0: f64, rate: f64) -> f64 {
    let (mut low, mut high) = (0.0, 4.0);
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if share(means, |pair| pair.adjusted_similarity(middle) >= t0) > rate {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Extrapolates a value linearly over log FMR from the last two rows.
fn extrapolate(rows: &[Row], fmr: f64, value: impl Fn(&Row) -> f64) -> f64 {
    match rows {
        [.., before, last] => {
            let step = (fmr.ln() - last.fmr.ln()) / (last.fmr.ln() - before.fmr.ln());
            value(last) + step * (value(last) - value(before))
        }
        _ => 1.0,
    }
}

fn share(pairs: &[Pair], holds: impl Fn(&Pair) -> bool) -> f64 {
    let count = pairs.iter().filter(|pair| holds(pair)).count();
    count as f64 / pairs.len().max(1) as f64
}

impl Report {
    /// Converts the measurements to a calibration, without shifts for views, which are not measured.
    pub fn calibration(&self, source: &str) -> Result<Calibration, CalibrationError> {
        let column = |value: fn(&Row) -> f64| self.rows.iter().map(value).collect::<Vec<f64>>();
        Calibration::try_from(CalibrationTable {
            fmr: column(|row| row.fmr),
            t0: column(|row| row.t0),
            s: column(|row| row.s),
            enroll_views_shift: Vec::new(),
            probe_views_shift: Vec::new(),
            prior_offset: 0.0,
            source: source.to_owned(),
        })
    }

    /// Formats the measurements as the `[calibration]` section of a `pack.toml`.
    pub fn to_toml(&self, source: &str) -> String {
        let column = |digits: usize, value: fn(&Row) -> f64| {
            let values: Vec<_> = self
                .rows
                .iter()
                .map(|row| format!("{:.digits$}", value(row)))
                .collect();
            values.join(", ")
        };
        let rates: Vec<_> = self
            .rows
            .iter()
            .map(|row| format!("{:e}", row.fmr))
            .collect();
        format!(
            "[calibration]\nfmr = [{}]\nt0 = [{}]\ns = [{}]\nsource = {source:?}\n",
            rates.join(", "),
            column(4, |row| row.t0),
            column(3, |row| row.s),
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} people, {} photos ({} left out), {} pairs of different people, {} pairs of means of {FUSED}",
            self.people,
            self.photos,
            self.left_out.len(),
            self.pairs,
            self.fused_pairs
        )?;
        writeln!(
            f,
            "    FMR      t0      s  not matched  means not matched  the pack's own FMR  of means"
        )?;
        for row in &self.rows {
            let percent = |value: f64| format!("{:.1} %", value * 100.0);
            let rate =
                |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1e}"));
            writeln!(
                f,
                "{:>7.0e}  {:.4}  {:.3}  {:>11}  {:>17}  {:>18}  {:>8}{}",
                row.fmr,
                row.t0,
                row.s,
                percent(row.fnmr),
                percent(row.fnmr_fused),
                rate(row.own_fmr),
                rate(row.own_fmr_fused),
                if row.extrapolated {
                    "  extrapolated: too few pairs"
                } else {
                    ""
                },
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes people as random directions, with their photos scattered around them.
    fn people(count: usize, photos: usize, scatter: f32) -> Vec<Vec<Embedding>> {
        let mut state = 7u64;
        let mut random = move || {
            // A sum of uniform numbers is close enough to a normal distribution.
            (0..6).fold(0f32, |sum, _| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                sum + (state >> 40) as f32 / (1 << 24) as f32 - 0.5
            })
        };
        (0..count)
            .map(|_| {
                let center: Vec<f32> = (0..32).map(|_| random()).collect();
                (0..photos)
                    .map(|_| {
                        let photo = center
                            .iter()
                            .map(|value| value + scatter * random())
                            .collect();
                        Embedding::normalize(photo).unwrap()
                    })
                    .collect()
            })
            .collect()
    }

    #[test]
    fn the_measured_thresholds_reproduce_their_rates() {
        let report = measure(&people(120, 6, 0.4), Vec::new(), None).unwrap();
        assert_eq!((report.people, report.photos), (120, 720));
        let calibration = report.calibration("test").unwrap();
        let again = measure(&people(120, 6, 0.4), Vec::new(), Some(&calibration)).unwrap();
        for row in again.rows.iter().filter(|row| !row.extrapolated) {
            let (single, fused) = (row.own_fmr.unwrap(), row.own_fmr_fused.unwrap());
            assert!((single / row.fmr - 1.0).abs() < 0.15, "{row:?}");
            if row.fmr * again.fused_pairs as f64 >= LEAST_PAIRS {
                assert!(fused / row.fmr < 1.2, "{row:?}");
            }
        }
        assert!(
            report.rows.iter().any(|row| row.extrapolated),
            "1e-6 needs ten million pairs"
        );
        assert!(report.rows.windows(2).all(|pair| pair[1].t0 >= pair[0].t0));
    }

    #[test]
    fn too_few_people_are_an_error() {
        let error = measure(&people(5, 3, 0.4), Vec::new(), None).unwrap_err();
        assert!(
            matches!(
                error,
                CalibrateError::TooFew {
                    people: 5,
                    pairs: 90,
                    needed: 10_000
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn the_toml_section_parses_to_the_measured_values() {
        let report = measure(&people(120, 3, 0.4), Vec::new(), None).unwrap();
        #[derive(serde::Deserialize)]
        struct Section {
            calibration: Calibration,
        }
        let section: Section = toml::from_str(&report.to_toml("here")).unwrap();
        let table = section.calibration.table();
        assert_eq!(table.fmr, RATES);
        for (row, t0) in report.rows.iter().zip(&table.t0) {
            assert!((row.t0 - t0).abs() < 1e-4);
        }
        assert_eq!(table.source, "here");
    }
}
