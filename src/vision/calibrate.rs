//! Measuring a pack: the similarities of different people give t0 and s, those of one person
//! what the thresholds cost.
//!
//! The law (see [`crate::domain::biometrics`]) is fitted as it is used: t0 is the similarity that
//! one photo against one photo of somebody else exceeds at each rate; s is how much higher that
//! lies, for each unit of spread, when both sides are means of several photos of one person.

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
pub const RATES: [f64; 5] = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/// Pairs that must lie above a threshold for it to mean something; fewer and the rate is
/// carried on from the rates before.
const LEAST_PAIRS: f64 = 10.0;
/// Photos that are fused to measure s.
const FUSED: usize = 3;

/// How far a measurement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Photos looked at.
    pub done: usize,
    /// Photos in all.
    pub photos: usize,
}

/// One rate, measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// False match rate.
    pub fmr: f64,
    /// Threshold of one photo against one photo.
    pub t0: f64,
    /// How it rises with the spread of both sides.
    pub s: f64,
    /// Whether there were too few pairs, so that the row was carried on from the two before.
    pub carried_on: bool,
    /// Share of one person's single photos that are not taken for each other at t0.
    pub fnmr: f64,
    /// The same for means of several photos on both sides, at their own thresholds.
    pub fnmr_fused: f64,
    /// The false match rate that the pack's own figures lead to; `None` without a calibration.
    pub own_fmr: Option<f64>,
    /// The same for means of several photos on both sides.
    pub own_fmr_fused: Option<f64>,
}

/// What a measurement found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// People with a photo that could be used.
    pub people: usize,
    /// Photos that could be used.
    pub photos: usize,
    /// Photos that could not, and why.
    pub left_out: Vec<(PathBuf, String)>,
    /// Pairs of photos of different people.
    pub pairs: usize,
    /// Pairs of means of several photos of different people.
    pub fused_pairs: usize,
    /// The rates.
    pub rows: Vec<Row>,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// The folder cannot be read.
    #[error("{} cannot be read: {cause}", .path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Not enough people or photos for even the largest two rates.
    #[error(
        "{people} people with {pairs} pairs of photos are too few: at least {needed} pairs of different people are needed"
    )]
    TooFew {
        /// People found.
        people: usize,
        /// Pairs found.
        pairs: usize,
        /// Pairs for the two largest rates.
        needed: usize,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What was measured makes no calibration.
    #[error("the measured figures make no calibration: {0}")]
    Figures(#[from] CalibrationError),
}

/// Measures `engine` on a folder of folders of photos, one folder a person, `at_once` photos at
/// a time.
pub async fn calibrate(
    engine: &dyn FaceEngine,
    folder: &Path,
    at_once: usize,
    mut progress: impl FnMut(Progress),
) -> Result<Report, CalibrateError> {
    let photos = photos(folder)?;
    let total = photos.len();
    let mut looked = stream::iter(photos)
        .map(|(person, path)| async move {
            let seen = look(engine, &path).await;
            (person, path, seen)
        })
        .buffered(at_once.max(1));
    let mut people: Vec<Vec<Embedding>> = Vec::new();
    let mut left_out = Vec::new();
    let (mut last, mut done) = (usize::MAX, 0);
    while let Some((person, path, seen)) = looked.next().await {
        done += 1;
        progress(Progress {
            done,
            photos: total,
        });
        match seen? {
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

/// The embedding of a photo's largest face, or why there is none. Only a failing engine is an error.
async fn look(
    engine: &dyn FaceEngine,
    path: &Path,
) -> Result<Result<Embedding, String>, EngineError> {
    const PROBE: Work = Work {
        views: Views::Pair,
        embed: 1,
    };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(error.to_string())),
    };
    match engine.analyse(Sample::new(bytes), PROBE).await {
        Ok(seen) => Ok(seen
            .faces
            .into_iter()
            .next()
            .and_then(|face| face.embedding)
            .ok_or_else(|| "no face found".to_owned())),
        Err(EngineError::Sample(error)) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Every photo under a folder of folders, with the number of its folder, in order.
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

/// A pair of two sides: how alike, and how spread out both sides are together.
#[derive(Debug, Clone, Copy)]
struct Pair {
    similarity: f64,
    spread: f64,
}

impl Pair {
    fn of(a: &Fused, b: &Fused) -> Option<Self> {
        Some(Self {
            similarity: f64::from(a.embedding.similarity(&b.embedding)?.value()),
            spread: f64::from(a.resultant.spread() + b.resultant.spread()),
        })
    }

    /// What is left of the similarity when the spread has cost its share.
    fn against(self, s: f64) -> f64 {
        self.similarity - s * self.spread
    }
}

/// Every pair of sides of one person, and of two people.
fn pairs(people: &[Vec<Fused>]) -> (Vec<Pair>, Vec<Pair>) {
    let (mut same, mut different) = (Vec::new(), Vec::new());
    for (number, sides) in people.iter().enumerate() {
        for (place, side) in sides.iter().enumerate() {
            same.extend(
                sides[..place]
                    .iter()
                    .filter_map(|other| Pair::of(side, other)),
            );
            let others = people[..number].iter().flatten();
            different.extend(others.filter_map(|other| Pair::of(side, other)));
        }
    }
    (same, different)
}

/// Fits the law to embeddings by person.
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
                .filter_map(|one| Fused::of(std::slice::from_ref(one)))
                .collect()
        })
        .collect();
    // No photo is in two means, so that the two sides of a pair are never the same photo.
    let means: Vec<Vec<Fused>> = people
        .iter()
        .map(|photos| photos.chunks_exact(FUSED).filter_map(Fused::of).collect())
        .collect();
    let (same, different) = pairs(&singles);
    let (same_means, different_means) = pairs(&means);
    let needed = (LEAST_PAIRS / RATES[1]) as usize;
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
        let carried_on = !enough(different.len());
        let t0 = if carried_on {
            carry(&rows, fmr, |row| row.t0)
        } else {
            exceeded(&single_scores, fmr)
        };
        let s = if enough(different_means.len()) {
            slope(&different_means, t0, fmr)
        } else {
            // Too few means of people: the slope hardly changes with the rate.
            rows.last().map_or(0.0, |row| row.s)
        };
        let t0 = rows.last().map_or(t0, |row| t0.max(row.t0));
        let short = |pairs: &[Pair]| share(pairs, |pair| pair.against(s) < t0);
        let own_rate = |pairs: &[Pair]| {
            let point = own?.at(ErrorRate::new(fmr)?, Views::Pair, Views::Pair);
            let t0 = f64::from(point.threshold(Resultant::ONE, Resultant::ONE).value());
            Some(share(pairs, |pair| {
                pair.against(f64::from(point.slope())) >= t0
            }))
        };
        rows.push(Row {
            fmr,
            t0,
            s,
            carried_on,
            fnmr: short(&same),
            fnmr_fused: short(&same_means),
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

/// Largest first.
fn sorted(scores: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut scores: Vec<f64> = scores.collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    scores
}

/// The score that this share of the scores, largest first, exceeds.
fn exceeded(scores: &[f64], rate: f64) -> f64 {
    let place = (rate * scores.len() as f64) as usize;
    scores.get(place).or(scores.last()).copied().unwrap_or(1.0)
}

/// The s at which the means' similarities exceed t0 at the rate: their excess falls as s rises.
fn slope(means: &[Pair], t0: f64, rate: f64) -> f64 {
    let (mut low, mut high) = (0.0, 4.0);
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if share(means, |pair| pair.against(middle) >= t0) > rate {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The last two rows' line in log FMR, carried on.
fn carry(rows: &[Row], fmr: f64, value: impl Fn(&Row) -> f64) -> f64 {
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
    /// The measured figures as a pack's calibration; views' shifts are not measured.
    pub fn calibration(&self, source: &str) -> Result<Calibration, CalibrationError> {
        let column = |value: fn(&Row) -> f64| self.rows.iter().map(value).collect::<Vec<f64>>();
        Calibration::try_from(CalibrationTable {
            fmr: column(|row| row.fmr),
            t0: column(|row| row.t0),
            s: column(|row| row.s),
            enroll_views_shift: Vec::new(),
            probe_views_shift: Vec::new(),
            source: source.to_owned(),
        })
    }

    /// The measured figures as the `[calibration]` section of a `pack.toml`.
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
                if row.carried_on {
                    "  too few pairs: carried on"
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

    /// People as random directions, their photos scattered about them.
    fn people(count: usize, photos: usize, scatter: f32) -> Vec<Vec<Embedding>> {
        let mut state = 7u64;
        let mut random = move || {
            // A sum of uniform numbers is near enough to a normal one.
            (0..6).fold(0f32, |sum, _| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                sum + (state >> 40) as f32 / (1 << 24) as f32 - 0.5
            })
        };
        (0..count)
            .map(|_| {
                let centre: Vec<f32> = (0..32).map(|_| random()).collect();
                (0..photos)
                    .map(|_| {
                        let photo = centre
                            .iter()
                            .map(|value| value + scatter * random())
                            .collect();
                        Embedding::normalise(photo).unwrap()
                    })
                    .collect()
            })
            .collect()
    }

    #[test]
    fn the_measured_thresholds_give_the_rates_that_they_are_for() {
        let report = measure(&people(120, 6, 0.4), Vec::new(), None).unwrap();
        assert_eq!((report.people, report.photos), (120, 720));
        let calibration = report.calibration("test").unwrap();
        let again = measure(&people(120, 6, 0.4), Vec::new(), Some(&calibration)).unwrap();
        for row in again.rows.iter().filter(|row| !row.carried_on) {
            let (single, fused) = (row.own_fmr.unwrap(), row.own_fmr_fused.unwrap());
            assert!((single / row.fmr - 1.0).abs() < 0.15, "{row:?}");
            if row.fmr * again.fused_pairs as f64 >= LEAST_PAIRS {
                assert!(fused / row.fmr < 1.2, "{row:?}");
            }
        }
        assert!(
            report.rows.iter().any(|row| row.carried_on),
            "1e-6 needs ten million pairs"
        );
        assert!(report.rows.windows(2).all(|pair| pair[1].t0 >= pair[0].t0));
    }

    #[test]
    fn too_few_people_are_said_to_be_too_few() {
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
    fn the_section_for_the_pack_is_read_back_as_it_was_measured() {
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
