//! What a minimum margin costs and prevents, on the photos of `accuracy.rs`: among all people, and
//! between people who look alike. docs/MODELS.md has the figures.

use rollcall::{
    domain::biometrics::{Calibration, Candidate, Embedding, Fused, Identification, NobodyReason},
    ports::{FaceEngine, Gallery},
};

use crate::accuracy::{Bench, ENROLLED, Measured, PHOTOS, Person, employee, measured};

/// The margins that are compared, as multiples of the default.
const MARGINS: [f32; 6] = [0.0, 1.0, 1.5, 2.0, 3.0, 4.0];

/// The number of most similar pairs that count as look-alikes.
const PAIRS: usize = 20;

/// Returns some of a person's embeddings; the numbers wrap around.
fn some(all: &[Embedding], first: usize, count: usize) -> Vec<Embedding> {
    let numbers = first..first + count;
    numbers.map(|number| all[number % PHOTOS].clone()).collect()
}

/// The results for probes of enrolled people.
#[derive(Debug, Default, Clone, Copy)]
struct Outcomes {
    right: usize,
    wrong: usize,
    nobody: usize,
    look_alike: usize,
}

impl Outcomes {
    fn count(&mut self, identification: &Identification, number: usize) {
        *match identification.identified {
            Ok(found) if found == employee(number) => &mut self.right,
            Ok(_) => &mut self.wrong,
            Err(NobodyReason::LookAlike) => &mut self.look_alike,
            Err(NobodyReason::Unknown | NobodyReason::Margin) => &mut self.nobody,
        } += 1;
    }

    fn all(self) -> usize {
        self.right + self.wrong + self.nobody + self.look_alike
    }
}

/// What a margin does to the probes that are identified without one.
#[derive(Debug, Default, Clone, Copy)]
struct Effect {
    margin: f32,
    right: usize,
    wrong: usize,
    strangers: usize,
}

/// How people are enrolled and identified.
struct Setting<'a> {
    /// The number of photos that are enrolled of each person; the others are probes.
    enrolled: usize,
    /// The number of photos in a probe.
    frames: usize,
    fpir: f64,
    /// More people who are enrolled, with one photo each.
    others: &'a [Embedding],
}

fn default_margin(measured: &Measured) -> f32 {
    let calibration = measured.engine.calibration();
    calibration.map(Calibration::least_margin).unwrap()
}

/// Identifies people in every rotation of their photos, and prints the effect of each margin.
fn effects(measured: &Measured, setting: &Setting<'_>) -> [Effect; MARGINS.len()] {
    let people = &measured.photos.people;
    let default = default_margin(measured);
    let mut effects = MARGINS.map(|factor| Effect {
        margin: factor * default,
        ..Effect::default()
    });
    let mut probes = 0;
    for first in 0..PHOTOS {
        let templates = people
            .iter()
            .map(|one| some(&one.templates, first, setting.enrolled));
        let others = setting.others.iter().map(|one| vec![one.clone()]);
        let bench = Bench::new(&measured.engine, templates.chain(others), setting.fpir);
        let mut note = |found: &Identification, whose: Option<usize>| {
            let Ok(identified) = found.identified else {
                return;
            };
            for effect in &mut effects {
                if found.margin.is_some_and(|margin| margin >= effect.margin) {
                    *match whose {
                        None => &mut effect.strangers,
                        Some(number) if identified == employee(number) => &mut effect.right,
                        Some(_) => &mut effect.wrong,
                    } += 1;
                }
            }
        };
        for (number, person) in people.iter().enumerate() {
            let others = PHOTOS - setting.enrolled;
            let left = some(&person.probes, first + setting.enrolled, others);
            for probe in left.chunks_exact(setting.frames) {
                probes += 1;
                note(&bench.identify(probe), Some(number));
            }
        }
        // The strangers of the set are the other people of a larger gallery.
        for stranger in &measured.photos.strangers[setting.others.len()..] {
            note(&bench.identify(std::slice::from_ref(stranger)), None);
        }
    }
    println!(
        "\n{} people, photos of each: {}, frames: {}, FPIR {}: {probes} probes",
        people.len() + setting.others.len(),
        setting.enrolled,
        setting.frames,
        setting.fpir,
    );
    let percent = |count: usize| 100.0 * count as f64 / probes as f64;
    for effect in effects {
        println!(
            "  margin {:.3}: {:.2} % right, {:.2} % nobody because of it, {} wrong, {} strangers named",
            effect.margin,
            percent(effect.right),
            percent(effects[0].right - effect.right),
            effect.wrong,
            effect.strangers,
        );
    }
    effects
}

#[tokio::test]
async fn the_default_margin_prevents_most_wrong_names_and_costs_little() {
    let Some(measured) = measured().await else {
        return;
    };
    let (none, more): (&[Embedding], _) = (&[], &measured.photos.stranger_templates[..]);
    let (mut probes, mut lost, mut wrong) = (0, 0, (0, 0));
    for fpir in [0.01, 0.001] {
        for others in [none, more] {
            for (enrolled, frames) in [(1, 1), (ENROLLED, 1), (ENROLLED, 3)] {
                let setting = Setting {
                    enrolled,
                    frames,
                    fpir,
                    others,
                };
                let effects = effects(measured, &setting);
                let (without, with) = (effects[0], effects[1]);
                probes += without.right;
                lost += without.right - with.right;
                wrong = (wrong.0 + without.wrong, wrong.1 + with.wrong);
            }
        }
    }
    let margin = default_margin(measured);
    println!("\nmargin {margin}: {lost} of {probes} lost, wrong names {wrong:?}");
    assert!(lost * 200 < probes, "more than 0.5 % of the right ones");
    assert!(wrong.1 * 2 < wrong.0, "less than half of the wrong ones");
}

/// Marks two people as look-alikes.
fn mark(bench: &Bench<'_>, one: usize, other: usize) {
    let mut reference = bench.gallery.find(employee(one)).unwrap();
    reference.look_alikes = vec![employee(other)];
    bench.gallery.put(employee(one), reference);
}

/// Returns the lead of a person over a look-alike, if one of the two is best and reaches the
/// threshold.
fn lead(identification: &Identification, number: usize, twin: usize) -> Option<f32> {
    let best = identification.best.map(|best| best.employee);
    let of_pair = best == Some(employee(number)) || best == Some(employee(twin));
    let excess = |number| {
        let of = |one: &&Candidate| one.employee == employee(number);
        let candidate = identification.candidates.iter().find(of)?;
        Some(candidate.similarity.value() - candidate.threshold.value())
    };
    let unknown = identification.identified == Err(NobodyReason::Unknown);
    (of_pair && !unknown).then_some(excess(number)? - excess(twin)?)
}

/// Prints the distribution of leads.
fn print_leads(name: &str, outcomes: Outcomes, leads: &mut [f32]) {
    leads.sort_by(f32::total_cmp);
    let quantile = |share: f64| leads[((leads.len() - 1) as f64 * share) as usize];
    println!("\n{name}: {outcomes:?}");
    for share in [0.01, 0.05, 0.5, 0.95, 0.99, 1.0] {
        println!("  lead at {:.0} %: {:.4}", 100.0 * share, quantile(share));
    }
}

/// Returns the most similar pairs of people by the photos that are enrolled.
fn similar_pairs(people: &[Person]) -> Vec<(f32, usize, usize)> {
    let fused = |one: &Person| Fused::from_embeddings(&one.templates[..ENROLLED]).unwrap();
    let fused: Vec<_> = people.iter().map(fused).collect();
    let mut pairs = Vec::new();
    for one in 0..people.len() {
        for other in 0..one {
            let similarity = fused[one].embedding.similarity(&fused[other].embedding);
            pairs.push((similarity.unwrap().value(), other, one));
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    pairs.truncate(PAIRS);
    pairs
}

#[tokio::test]
async fn similar_people_pass_for_look_alikes_and_are_still_identified() {
    let Some(measured) = measured().await else {
        return;
    };
    let people = &measured.photos.people;
    let pairs = similar_pairs(people);
    println!(
        "similarity of the pairs: {} to {}",
        pairs[PAIRS - 1].0,
        pairs[0].0
    );
    for fpir in [0.01, 0.001] {
        let (mut outcomes, mut leads) = (Outcomes::default(), Vec::new());
        for &(_, one, other) in &pairs {
            let templates = people.iter().map(|one| one.templates[..ENROLLED].to_vec());
            let bench = Bench::new(&measured.engine, templates, fpir);
            mark(&bench, one, other);
            for (number, twin) in [(one, other), (other, one)] {
                for probe in &people[number].probes[ENROLLED..] {
                    let found = bench.identify(std::slice::from_ref(probe));
                    outcomes.count(&found, number);
                    leads.extend(lead(&found, number, twin));
                }
            }
        }
        print_leads(
            &format!("similar people, FPIR {fpir}"),
            outcomes,
            &mut leads,
        );
        assert_eq!(outcomes.wrong, 0);
        assert!(outcomes.look_alike * 10 < outcomes.all(), "more than 10 %");
    }
}

#[tokio::test]
async fn of_two_people_with_one_face_hardly_ever_one_is_named() {
    let Some(measured) = measured().await else {
        return;
    };
    let people = &measured.photos.people;
    let twin = people.len();
    for fpir in [0.01, 0.001] {
        for frames in [1, 2] {
            let (mut outcomes, mut leads) = (Outcomes::default(), Vec::new());
            for (number, person) in people.iter().enumerate() {
                for first in 0..PHOTOS {
                    // Three photos for each of the two; the last two are probes.
                    let templates = people.iter().enumerate().map(|(other, one)| match other {
                        _ if other == number => some(&one.templates, first, 3),
                        _ => one.templates[..ENROLLED].to_vec(),
                    });
                    let templates = templates.chain([some(&person.templates, first + 3, 3)]);
                    let bench = Bench::new(&measured.engine, templates, fpir);
                    mark(&bench, number, twin);
                    for probe in some(&person.probes, first + 6, 2).chunks_exact(frames) {
                        let found = bench.identify(probe);
                        outcomes.count(&found, number);
                        leads.extend(lead(&found, number, twin).map(f32::abs));
                    }
                }
            }
            let name = format!("one face as two people, {frames} frames, FPIR {fpir}");
            print_leads(&name, outcomes, &mut leads);
            let named = outcomes.right + outcomes.wrong;
            assert!(named * 200 < outcomes.all(), "more than 0.5 %");
        }
    }
}
