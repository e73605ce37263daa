//! Evaluation: measures on an operator's own photos how often people are named rightly, named as
//! another person or not named, and how often strangers are named.
//!
//! Each photo and each burst goes through the same steps as in the service: photos are enrolled by
//! the rules of [`enrollment`], frames are fused by a [`ProbeBuilder`], and
//! [`identify_among`] decides. Nothing is recorded.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::{StreamExt, stream};
use uuid::Uuid;

use super::{
    analysis_cache::CachedEngine,
    enrollment,
    probe_builder::ProbeBuilder,
    recognition::{RecognitionError, identify_among},
};
use crate::{
    domain::{
        biometrics::{Calibration, ErrorRate, Policy, Probe, Reference, Views},
        ids::EmployeeId,
        quality::Flaw,
    },
    ports::{EngineError, FaceEngine, Gallery, Sample, Work},
};

/// The accepted FPIRs of the tables.
pub const RATES: [f64; 3] = [0.05, 0.01, 0.001];

/// The number of photos of one person in a burst.
pub const BURST: usize = 3;

/// Number of points of the curve, beside [`RATES`].
const CURVE: i32 = 48;

/// Returns all accepted FPIRs, in descending order: eight a decade, down to 1e-6, and [`RATES`].
fn fpirs() -> Vec<f64> {
    // Half a step beside the decades, so that no rate occurs twice.
    let rate = |step| 10f64.powf(-(f64::from(step) + 0.5) / 8.0);
    let mut rates: Vec<f64> = (0..CURVE).map(rate).chain(RATES).collect();
    rates.sort_by(|a, b| b.total_cmp(a));
    rates
}

/// What to evaluate.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// A folder with one subfolder of photos per person.
    pub people: &'a Path,
    /// A folder with photos of people who are not enrolled: a subfolder per person, or a file. Without
    /// it, each enrolled person in turn is the stranger, among the others.
    pub strangers: Option<&'a Path>,
    /// Number of photos of each person to enroll; by default all but the last third, at least 1.
    pub enroll: Option<usize>,
    /// Minimum margin over the runner-up.
    pub least_margin: f32,
    /// Number of people whose photos are analyzed at a time.
    pub at_once: usize,
}

/// The progress of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// People whose photos are analyzed, strangers among them.
    pub done: usize,
    /// People in total.
    pub people: usize,
}

/// Why there is no evaluation.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A folder cannot be read.
    #[error("could not read {}: {cause}", .path.display())]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// The error of the system.
        cause: io::Error,
    },
    /// A folder has no photos.
    #[error("no photos in {}: put the photos of each person into a subfolder of it", .0.display())]
    NoPhotos(PathBuf),
    /// Too few people have a photo that can be enrolled.
    #[error("only {people} of {folders} people could be enrolled; at least {needed} are needed{}", first(.left_out))]
    TooFewPeople {
        /// Number of people who could be enrolled.
        people: usize,
        /// Number of people with photos.
        folders: usize,
        /// How many are needed.
        needed: usize,
        /// The photos that could not be used.
        left_out: Vec<LeftOut>,
    },
    /// Every usable photo of the enrolled people is enrolled.
    #[error(
        "no photo is left to search with: give each person at least two photos, or enroll fewer with --enroll{}", first(.left_out)
    )]
    NoProbes {
        /// The photos that could not be used.
        left_out: Vec<LeftOut>,
    },
    /// There is nothing that can be identified.
    #[error(transparent)]
    Recognition(#[from] RecognitionError),
}

impl From<EngineError> for EvaluateError {
    fn from(error: EngineError) -> Self {
        Self::Recognition(error.into())
    }
}

/// Names the first photo that was left out, as a hint for an error.
fn first(left_out: &[LeftOut]) -> String {
    left_out.first().map_or(String::new(), |photo| {
        let others = left_out.len() - 1;
        let and = match others {
            0 => String::new(),
            _ => format!(", and {others} more"),
        };
        format!(" (left out: {photo}{and})")
    })
}

/// A photo that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The folder and the name of the photo.
    pub photo: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.photo, self.reason)
    }
}

/// A number of cases out of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Number of cases.
    pub count: usize,
    /// Number of all.
    pub of: usize,
}

impl Share {
    /// Returns the share, 0..1; `None` without any cases.
    pub fn value(self) -> Option<f64> {
        (self.of > 0).then(|| self.count as f64 / self.of as f64)
    }

    /// Returns the bounds of the 95 % confidence interval, by E. B. Wilson (1927), 0..1.
    pub fn interval(self) -> Option<(f64, f64)> {
        /// The 97.5 % quantile of the normal distribution.
        const Z: f64 = 1.959_963_984_540_054;
        let (share, of) = (self.value()?, self.of as f64);
        let square = Z * Z / of;
        let center = share + square / 2.0;
        let half = Z * (share * (1.0 - share) / of + square / of / 4.0).sqrt();
        let bound = |value: f64| (value / (1.0 + square)).clamp(0.0, 1.0);
        Some((bound(center - half), bound(center + half)))
    }
}

/// The outcomes at one accepted FPIR.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// The accepted FPIR.
    pub fpir: f64,
    /// Searches of enrolled people that named the right person.
    pub right: usize,
    /// Searches of enrolled people that named another person.
    pub wrong: usize,
    /// Searches of enrolled people that named nobody.
    pub nobody: usize,
    /// Searches of strangers that named a person.
    pub strangers_named: usize,
    /// Searches of strangers.
    pub strangers: usize,
}

impl Row {
    fn new(fpir: f64) -> Self {
        Self {
            fpir,
            right: 0,
            wrong: 0,
            nobody: 0,
            strangers_named: 0,
            strangers: 0,
        }
    }

    /// Counts an outcome. `person` is the enrolled person who was searched for, or `None` for a
    /// stranger. Returns the person who was named wrongly.
    fn count(
        &mut self,
        named: Option<EmployeeId>,
        person: Option<EmployeeId>,
    ) -> Option<EmployeeId> {
        let place = match (person, named) {
            (None, named) => {
                self.strangers += 1;
                self.strangers_named += usize::from(named.is_some());
                return named;
            }
            (Some(_), None) => &mut self.nobody,
            (Some(person), Some(named)) if person == named => &mut self.right,
            (Some(_), Some(_)) => &mut self.wrong,
        };
        *place += 1;
        named.filter(|named| Some(*named) != person)
    }

    fn known(&self, count: usize) -> Share {
        let of = self.right + self.wrong + self.nobody;
        Share { count, of }
    }

    /// Returns the share of enrolled people who were named rightly.
    pub fn named_rightly(&self) -> Share {
        self.known(self.right)
    }

    /// Returns the share of enrolled people who were named as another person.
    pub fn named_as_another(&self) -> Share {
        self.known(self.wrong)
    }

    /// Returns the share of enrolled people who were not named.
    pub fn not_named(&self) -> Share {
        self.known(self.nobody)
    }

    /// Returns the measured false negative identification rate: not named, or named as another.
    pub fn fnir(&self) -> Share {
        self.known(self.wrong + self.nobody)
    }

    /// Returns the measured false positive identification rate: strangers who were named.
    pub fn measured_fpir(&self) -> Share {
        Share {
            count: self.strangers_named,
            of: self.strangers,
        }
    }
}

/// A search that named the wrong person.
#[derive(Debug, Clone, PartialEq)]
pub struct Confusion {
    /// The person in the photos.
    pub shown: String,
    /// Whether the person was not enrolled.
    pub stranger: bool,
    /// The names of the photos.
    pub photos: Vec<String>,
    /// The person who was named.
    pub named: String,
    /// The accepted FPIRs at which that happened.
    pub fpirs: Vec<f64>,
}

/// The outcomes of searches with the same number of frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// Number of frames of each search.
    pub frames: usize,
    /// The outcomes at descending FPIRs, [`RATES`] among them.
    pub curve: Vec<Row>,
    /// The searches that named the wrong person at one of [`RATES`].
    pub confusions: Vec<Confusion>,
}

impl Tally {
    fn new(frames: usize) -> Self {
        Self {
            frames,
            curve: fpirs().into_iter().map(Row::new).collect(),
            confusions: Vec::new(),
        }
    }

    /// Makes a search at all FPIRs, for a person who is enrolled or a stranger.
    fn search(
        &mut self,
        searcher: &Searcher<'_>,
        person: &Person,
        enrolled: bool,
        search: &Search,
    ) {
        let whom = enrolled.then_some(person.id);
        let mut confusions: Vec<Confusion> = Vec::new();
        for row in &mut self.curve {
            let wrong = row.count(searcher.named(search, row.fpir), whom);
            let Some(wrong) = wrong.filter(|_| RATES.contains(&row.fpir)) else {
                continue;
            };
            let named = searcher.names.get(&wrong).copied().unwrap_or_default();
            match confusions.iter_mut().find(|one| one.named == named) {
                Some(there) => there.fpirs.push(row.fpir),
                None => confusions.push(Confusion {
                    shown: person.name.clone(),
                    stranger: !enrolled,
                    photos: search.photos.clone(),
                    named: named.to_owned(),
                    fpirs: vec![row.fpir],
                }),
            }
        }
        self.confusions.extend(confusions);
    }

    /// Returns the outcomes at [`RATES`].
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.curve.iter().filter(|row| RATES.contains(&row.fpir))
    }

    /// Returns the number of searches of enrolled people.
    pub fn searches(&self) -> usize {
        self.curve.first().map_or(0, |row| row.fnir().of)
    }
}

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Number of enrolled people.
    pub people: usize,
    /// Number of enrolled photos.
    pub photos: usize,
    /// Whether the enrolled people were the strangers, each among the others.
    pub leave_one_out: bool,
    /// People of whom no photo could be enrolled.
    pub not_enrolled: Vec<String>,
    /// Photos that could not be used.
    pub left_out: Vec<LeftOut>,
    /// Single frames, then bursts.
    pub tallies: [Tally; 2],
}

/// The photos of one person.
struct Folder {
    name: String,
    photos: Vec<PathBuf>,
}

/// A search to make.
struct Search {
    photos: Vec<String>,
    /// A burst that does not show one person has a flaw, and identifies nobody.
    probe: Result<Probe, Flaw>,
}

/// A person with their photos analyzed.
struct Person {
    id: EmployeeId,
    name: String,
    reference: Option<Reference>,
    enrolled: usize,
    /// Single frames, then bursts.
    searches: [Vec<Search>; 2],
    left_out: Vec<LeftOut>,
}

/// Evaluates an engine on the photos of a plan, with an empty gallery.
///
/// # Errors
/// When the photos are too few, or the engine fails.
pub async fn evaluate(
    engine: Arc<dyn FaceEngine>,
    gallery: &dyn Gallery,
    plan: &Plan<'_>,
    mut progress: impl FnMut(Progress),
) -> Result<Evaluation, EvaluateError> {
    let calibration = engine.calibration().cloned();
    let calibration = calibration.ok_or(RecognitionError::NoCalibration)?;
    let mut folders = people_in(plan.people)?;
    let known = folders.len();
    if let Some(strangers) = plan.strangers {
        folders.extend(strangers_in(strangers)?);
    }
    let total = folders.len();
    // A burst contains the single frames, which are not analyzed twice.
    let engine: Arc<dyn FaceEngine> = Arc::new(CachedEngine::new(engine, None));
    let probes = ProbeBuilder::new(engine, None);
    let mut analyzed = stream::iter(folders.into_iter().enumerate())
        .map(|(number, folder)| {
            let (probes, calibration) = (&probes, &calibration);
            async move {
                let photos = folder.photos.len();
                let enroll = match number < known {
                    true => plan.enroll.unwrap_or(photos - photos.div_ceil(3)).max(1),
                    false => 0,
                };
                analyze(probes, calibration, number, folder, enroll).await
            }
        })
        .buffered(plan.at_once.max(1));
    let mut people = Vec::with_capacity(total);
    while let Some(person) = analyzed.next().await {
        people.push(person?);
        let done = people.len();
        progress(Progress {
            done,
            people: total,
        });
    }
    drop(analyzed);
    let strangers = people.split_off(known);
    measure(gallery, &calibration, plan, people, strangers)
}

/// Enrolls the first photos of a person, and makes probes of the others.
async fn analyze(
    probes: &ProbeBuilder,
    calibration: &Calibration,
    number: usize,
    folder: Folder,
    enroll: usize,
) -> Result<Person, EvaluateError> {
    let views = probes.engine().enrollment_views();
    let template = Work {
        views,
        embed: 1,
        photo: true,
        sender: None,
    };
    let (mut left_out, mut analyses, mut enrolled) = (Vec::new(), Vec::new(), Vec::new());
    let mut leave_out = |photo: &str, reason: String| {
        let photo = format!("{}/{photo}", folder.name);
        left_out.push(LeftOut { photo, reason });
    };
    let (first, others) = folder.photos.split_at(enroll.min(folder.photos.len()));
    for path in first {
        analyses.push(probes.engine().analyze(read(path).await?, template).await);
        enrolled.push(file_name(path));
    }
    let (verdicts, reference) = enrollment::reference(analyses, views, calibration)?;
    let accepted = verdicts.iter().filter(|one| one.flaw.is_none()).count();
    for (verdict, photo) in verdicts.iter().zip(&enrolled) {
        if let Some(flaw) = &verdict.flaw {
            leave_out(photo, flaw.detail());
        }
    }
    let (mut singles, mut samples) = (Vec::new(), Vec::new());
    for path in others {
        let (photo, sample) = (file_name(path), read(path).await?);
        match probes.probe(vec![sample.clone()], None).await {
            Ok(Ok(ready)) => {
                samples.push((photo.clone(), sample));
                singles.push(Search {
                    photos: vec![photo],
                    probe: Ok(ready.probe),
                });
            }
            Ok(Err(flaw)) => leave_out(&photo, flaw.detail()),
            Err(EngineError::Sample(error)) => leave_out(&photo, error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    let mut bursts = Vec::new();
    for burst in samples.chunks_exact(BURST) {
        let (photos, frames) = burst.iter().cloned().unzip();
        let probe = probes.probe(frames, None).await?.map(|ready| ready.probe);
        bursts.push(Search { photos, probe });
    }
    Ok(Person {
        id: EmployeeId::new(Uuid::from_u128(number as u128)),
        name: folder.name,
        reference,
        enrolled: accepted,
        searches: [singles, bursts],
        left_out,
    })
}

/// Makes all searches, and counts their outcomes.
fn measure(
    gallery: &dyn Gallery,
    calibration: &Calibration,
    plan: &Plan<'_>,
    people: Vec<Person>,
    strangers: Vec<Person>,
) -> Result<Evaluation, EvaluateError> {
    let everyone = || people.iter().chain(&strangers);
    let left_out: Vec<_> = everyone().flat_map(|one| one.left_out.clone()).collect();
    let mut names = BTreeMap::new();
    for person in &people {
        if let Some(reference) = &person.reference {
            gallery.put(person.id, reference.clone());
            names.insert(person.id, person.name.as_str());
        }
    }
    let leave_one_out = plan.strangers.is_none();
    let needed = if leave_one_out { 2 } else { 1 };
    if names.len() < needed {
        return Err(EvaluateError::TooFewPeople {
            people: names.len(),
            folders: people.len(),
            needed,
            left_out,
        });
    }
    let (enrolled, not_enrolled): (Vec<&Person>, Vec<&Person>) =
        people.iter().partition(|person| person.reference.is_some());
    if enrolled.iter().all(|person| person.searches[0].is_empty()) {
        return Err(EvaluateError::NoProbes { left_out });
    }
    let references = enrolled.iter().filter_map(|one| one.reference.as_ref());
    let views = references.map(|one| one.views).next();
    let views = views.unwrap_or(Views::Pair);
    let searcher = Searcher {
        gallery,
        calibration,
        views,
        least_margin: plan.least_margin,
        names,
    };
    let mut tallies = [Tally::new(1), Tally::new(BURST)];
    let mut search = |person: &Person, enrolled: bool| {
        for (tally, searches) in tallies.iter_mut().zip(&person.searches) {
            for one in searches {
                tally.search(&searcher, person, enrolled, one);
            }
        }
    };
    for person in &enrolled {
        search(person, true);
    }
    for person in &strangers {
        search(person, false);
    }
    for person in enrolled.iter().filter(|_| leave_one_out) {
        gallery.remove(person.id);
        search(person, false);
        if let Some(reference) = &person.reference {
            gallery.put(person.id, reference.clone());
        }
    }
    Ok(Evaluation {
        people: enrolled.len(),
        photos: enrolled.iter().map(|person| person.enrolled).sum(),
        leave_one_out,
        not_enrolled: not_enrolled.iter().map(|one| one.name.clone()).collect(),
        left_out,
        tallies,
    })
}

/// Makes searches with the rule of the service.
struct Searcher<'a> {
    gallery: &'a dyn Gallery,
    calibration: &'a Calibration,
    /// The views of the templates.
    views: Views,
    least_margin: f32,
    names: BTreeMap<EmployeeId, &'a str>,
}

impl Searcher<'_> {
    /// Returns the person whom a search names at an accepted FPIR.
    fn named(&self, search: &Search, fpir: f64) -> Option<EmployeeId> {
        let (Ok(probe), Some(fpir)) = (&search.probe, ErrorRate::new(fpir)) else {
            return None;
        };
        let policy = Policy::new(fpir, Some(self.least_margin));
        // As the service does after each change.
        self.gallery.calibrate(self.calibration);
        let gallery = (self.gallery, self.gallery.people(), self.views);
        identify_among(gallery, probe, self.calibration, policy)
            .identified
            .ok()
    }
}

/// Reads the subfolders of a folder.
fn people_in(folder: &Path) -> Result<Vec<Folder>, EvaluateError> {
    let mut people = Vec::new();
    for person in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let photos = entries(&person)?.into_iter();
        let photos: Vec<_> = photos.filter(|path| path.is_file()).collect();
        if !photos.is_empty() {
            let name = file_name(&person);
            people.push(Folder { name, photos });
        }
    }
    match people.is_empty() {
        true => Err(EvaluateError::NoPhotos(folder.to_owned())),
        false => Ok(people),
    }
}

/// Reads the photos and the subfolders of a folder; each of them is another person.
fn strangers_in(folder: &Path) -> Result<Vec<Folder>, EvaluateError> {
    let single = |photo: PathBuf| Folder {
        name: file_name(folder),
        photos: vec![photo],
    };
    let photos = entries(folder)?.into_iter().filter(|path| path.is_file());
    let mut strangers: Vec<_> = photos.map(single).collect();
    match people_in(folder) {
        Err(EvaluateError::NoPhotos(_)) if !strangers.is_empty() => {}
        people => strangers.extend(people?),
    }
    Ok(strangers)
}

/// Returns the entries of a folder by name, without hidden ones.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, EvaluateError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut paths = std::fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()?;
        paths.retain(|path| !file_name(path).starts_with('.'));
        paths.sort();
        Ok(paths)
    };
    read().map_err(|cause| unreadable(folder, cause))
}

async fn read(path: &Path) -> Result<Sample, EvaluateError> {
    let bytes = tokio::fs::read(path).await;
    Ok(Sample::new(bytes.map_err(|cause| unreadable(path, cause))?))
}

fn unreadable(path: &Path, cause: io::Error) -> EvaluateError {
    let path = path.to_owned();
    EvaluateError::Unreadable { path, cause }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_equal_the_published_ones() {
        // R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in
        // Medicine 17 (1998), table I, method 3.
        for (count, of, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let (found_low, found_high) = Share { count, of }.interval().unwrap();
            let near = |a: f64, b: f64| (a - b).abs() < 5e-5;
            assert!(
                near(found_low, low) && near(found_high, high),
                "{count} of {of}"
            );
        }
        let (low, high) = Share { count: 20, of: 20 }.interval().unwrap();
        assert!((low - 0.8389).abs() < 5e-5 && high == 1.0);
        assert_eq!(Share::default().interval(), None);
    }
}
