//! `rollcall models evaluate`: measures on an operator's photos how often people are named rightly.

use std::{
    fmt::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, evaluation_page, models};
use crate::{
    boot,
    config::Settings,
    domain::biometrics::Calibration,
    ports::FaceEngine,
    service::evaluation::{self, Confusion, Evaluation, Plan, Progress, Row, Share},
    vision::{Pack, cpu_quota},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A folder with one subfolder of photos per person
    photos: PathBuf,
    /// The pack; by default that of MODEL_PACK
    #[arg(long)]
    pack: Option<String>,
    /// A folder with photos of other people, one per photo or subfolder. By default, each person
    /// in turn is the stranger, among the others
    #[arg(long, value_name = "FOLDER")]
    strangers: Option<PathBuf>,
    /// How many photos of each person to enroll, first by name; by default all but the last third
    #[arg(long, value_name = "PHOTOS", value_parser = clap::value_parser!(u8).range(1..))]
    enroll: Option<u8>,
    /// Also write the report with its curve to an HTML file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn run(settings: &Settings, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let recognition = &settings.recognition;
    let name = arguments.pack.as_deref().unwrap_or(&recognition.model_pack);
    let pack = Pack::find(name, &boot::pack_roots(settings))?;
    let threads = recognition.threads.unwrap_or_else(cpu_quota);
    let engine = Arc::new(models::start(settings, &pack, threads)?);
    let bar = ProgressBar::no_length()
        .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {eta}")?);
    let plan = Plan {
        people: &arguments.photos,
        strangers: arguments.strangers.as_deref(),
        enroll: arguments.enroll.map(usize::from),
        least_margin: recognition
            .min_margin
            .or(engine.calibration().map(Calibration::least_margin))
            .unwrap_or_default(),
        // Twice as many people as threads keep all threads busy.
        at_once: 2 * threads,
    };
    let gallery = boot::gallery(pack.manifest().embedder.dimensions);
    let shared: Arc<dyn FaceEngine> = engine.clone();
    let evaluation = super::block_on(async {
        let evaluation = evaluation::evaluate(shared, &*gallery, &plan, |progress| {
            let Progress { done, people } = progress;
            bar.set_length(people as u64);
            bar.set_position(done as u64);
        });
        Ok(evaluation.await?)
    });
    bar.finish_and_clear();
    engine.stop();
    let report = Report {
        pack: name,
        margin: plan.least_margin,
        evaluation: &evaluation?,
    };
    print!("{report}");
    if let Some(file) = &arguments.html {
        std::fs::write(file, evaluation_page::render(&report))
            .map_err(|error| Failure::Refused(format!("{}: {error}", file.display())))?;
        println!("\nwrote {}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The report on an evaluation. `Display` is the text.
pub(super) struct Report<'a> {
    /// The name of the pack.
    pub pack: &'a str,
    /// The minimum margin.
    pub margin: f32,
    /// The result.
    pub evaluation: &'a Evaluation,
}

impl Report<'_> {
    /// Returns what was measured, as sentences.
    pub fn summary(&self) -> Vec<String> {
        let evaluation = self.evaluation;
        let [singles, bursts] = &evaluation.tallies;
        let strangers =
            |tally: &evaluation::Tally| tally.curve.first().map_or(0, |row| row.strangers);
        let mut lines = vec![
            format!(
                "{} people enrolled with {} photos, pack {}, MIN_MARGIN {}",
                evaluation.people, evaluation.photos, self.pack, self.margin
            ),
            format!(
                "searches for them: {} single frames, {} bursts of {}",
                singles.searches(),
                bursts.searches(),
                evaluation::BURST
            ),
            format!(
                "searches for strangers: {} single frames, {} bursts; {}",
                strangers(singles),
                strangers(bursts),
                match evaluation.leave_one_out {
                    true => "each person in turn was the stranger, among the others",
                    false => "of the strangers' folder",
                }
            ),
        ];
        if !evaluation.not_enrolled.is_empty() {
            lines.push(format!(
                "not enrolled, because no photo of theirs can be used: {}",
                evaluation.not_enrolled.join(", ")
            ));
        }
        lines
    }

    /// Returns the photos that could not be used.
    pub fn left_out(&self) -> Vec<String> {
        let photos = self.evaluation.left_out.iter();
        photos.map(ToString::to_string).collect()
    }
}

/// The headings of a table.
pub(super) const HEADINGS: [&str; 5] = [
    "FPIR",
    "named rightly",
    "named as another",
    "not named",
    "strangers named",
];

/// Returns the cells of a row of a table.
pub(super) fn cells(row: &Row) -> [String; 5] {
    [
        percent(row.fpir),
        share(row.named_rightly()),
        share(row.named_as_another()),
        share(row.not_named()),
        share(row.measured_fpir()),
    ]
}

/// Returns the name of a kind of searches.
pub(super) fn heading(frames: usize) -> String {
    match frames {
        1 => "Single frames".to_owned(),
        frames => format!("Bursts of {frames}"),
    }
}

/// Returns a share as "116/120 96.7 % [91.7, 98.7]", with its 95 % confidence interval.
fn share(share: Share) -> String {
    let Share { count, of } = share;
    match (share.value(), share.interval()) {
        (Some(value), Some((low, high))) => {
            let of_hundred = |value: f64| value * 100.0;
            format!(
                "{count}/{of} {:.1} % [{:.1}, {:.1}]",
                of_hundred(value),
                of_hundred(low),
                of_hundred(high)
            )
        }
        _ => "none".to_owned(),
    }
}

/// Returns a rate in percent, without trailing zeros.
fn percent(rate: f64) -> String {
    // Rounds away what binary fractions add.
    let percent = (rate * 1e8).round() / 1e6;
    format!("{percent} %")
}

/// Returns a line about a wrong name.
pub(super) fn confusion(confusion: &Confusion) -> String {
    let Confusion {
        shown,
        photos,
        named,
        ..
    } = confusion;
    let stranger = if confusion.stranger {
        ", a stranger"
    } else {
        ""
    };
    let fpirs: Vec<_> = confusion.fpirs.iter().copied().map(percent).collect();
    format!(
        "{shown} ({}{stranger}) was named {named}, at FPIR {}",
        photos.join(" "),
        fpirs.join(", ")
    )
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.summary() {
            writeln!(f, "{line}")?;
        }
        for tally in &self.evaluation.tallies {
            writeln!(f, "\n{}", heading(tally.frames))?;
            let mut table = vec![HEADINGS.map(str::to_owned)];
            table.extend(tally.rows().map(cells));
            write_table(f, &table)?;
            for one in &tally.confusions {
                writeln!(f, "  {}", confusion(one))?;
            }
        }
        writeln!(f, "\nIn brackets: 95 % confidence intervals, in percent.")?;
        let left_out = self.left_out();
        if !left_out.is_empty() {
            writeln!(f, "\nPhotos that could not be used: {}", left_out.len())?;
        }
        for photo in left_out {
            writeln!(f, "  {photo}")?;
        }
        Ok(())
    }
}

/// Writes a table with columns of equal width.
fn write_table(f: &mut fmt::Formatter<'_>, table: &[[String; 5]]) -> fmt::Result {
    let width = |column: usize| {
        let widths = table.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    for row in table {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            write!(line, "{cell:width$}  ")?;
        }
        writeln!(f, "  {}", line.trim_end())?;
    }
    Ok(())
}
