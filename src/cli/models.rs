//! `rollcall models`: lists, verifies, downloads, calibrates and evaluates model packs.

use std::{fs::OpenOptions, io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, evaluate};
use crate::{
    boot,
    config::Settings,
    vision::{
        Engine, EngineOptions, Pack, Runtime,
        calibrate::{self, Progress},
        catalog::{self, Catalog, Transfer},
        cpu_quota,
        pack::{self, Installed, MANIFEST, Source},
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the installed packs, and those that can be downloaded
    List,
    /// Check every file of a pack, and that its models run
    Verify {
        /// The pack; by default that of MODEL_PACK
        pack: Option<String>,
    },
    /// Download a pack to DATA_DIR/models; resumes an interrupted download
    Pull {
        /// A pack from the list
        pack: String,
    },
    /// Measure a pack's thresholds and error rates on photos of many people
    Calibrate(Calibrate),
    /// Measure on photos of your own people how often they are named rightly, as another person, or
    /// not, and how often strangers are named
    ///
    /// Enrolls some photos of each person, searches with the others, single and in bursts of three,
    /// and prints the outcomes at FPIR 5 %, 1 % and 0.1 % with 95 % confidence intervals, and who was
    /// taken for whom. Uses the pack's calibration and MIN_MARGIN as the service does; liveness is
    /// not checked. Nothing is stored.
    Evaluate(evaluate::Arguments),
}

#[derive(Debug, Args)]
pub(super) struct Calibrate {
    /// The pack
    pack: String,
    /// A folder with one subfolder of photos per person
    photos: PathBuf,
    /// Add the result to the pack's pack.toml, if it has no calibration
    #[arg(long)]
    write: bool,
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List => list(settings),
        Command::Verify { pack } => verify(settings, pack.as_deref()),
        Command::Pull { pack } => pull(settings, &pack),
        Command::Calibrate(arguments) => calibrate(settings, &arguments),
        Command::Evaluate(arguments) => evaluate::run(settings, &arguments),
    }
}

fn list(settings: &Settings) -> Result<ExitCode, Failure> {
    let recognition = &settings.recognition;
    let mark = |used: bool| if used { '*' } else { ' ' };
    let roots = boot::pack_roots(settings);
    let all = Installed::all(&roots);
    if all.is_empty() {
        let places: Vec<_> = roots
            .iter()
            .map(|root| root.display().to_string())
            .collect();
        println!(
            "! found no packs in {} (MODELS_DIR, DATA_DIR)",
            places.join(" or ")
        );
    }
    for (folder, installed) in all {
        match installed {
            Ok(Installed::Pack(pack)) => {
                let manifest = pack.manifest();
                let calibrated = if manifest.calibration.is_some() {
                    "calibrated"
                } else {
                    "not calibrated"
                };
                println!(
                    "{} {:<20} {} ({}), {calibrated}, in {}",
                    mark(manifest.id == pack::id_of(&recognition.model_pack)),
                    manifest.id,
                    manifest.name,
                    manifest.license,
                    folder.display()
                );
                print_origins(&manifest.sources);
            }
            Ok(Installed::AddOn(add_on)) => {
                let manifest = add_on.manifest();
                println!(
                    "{} {:<20} {} ({}), liveness add-on, in {}",
                    mark(recognition.liveness_pack.as_ref() == Some(&manifest.id)),
                    manifest.id,
                    manifest.name,
                    manifest.license,
                    folder.display()
                );
                print_origins(&manifest.sources);
            }
            Err(error) => println!("! {error}"),
        }
    }
    println!("\navailable with `rollcall models pull`:");
    for entry in &Catalog::builtin()?.entries {
        println!(
            "  {:<20} {} ({})",
            entry.id, entry.description, entry.license
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what a license does not say: where the weights come from, and with which photos they were
/// trained.
fn print_origins(sources: &[Source]) {
    for source in sources {
        println!("    {} ({})", source.name, source.license);
        if let Some(lineage) = &source.lineage {
            println!("      lineage: {lineage}");
        }
        if let Some(training_data) = &source.training_data {
            println!("      trained on: {training_data}");
        }
    }
}

fn verify(settings: &Settings, name: Option<&str>) -> Result<ExitCode, Failure> {
    let recognition = &settings.recognition;
    let pack = Pack::with_liveness(
        name.unwrap_or(&recognition.model_pack),
        recognition.liveness_pack.as_deref(),
        &boot::pack_roots(settings),
    )?;
    for file in pack.manifest().files() {
        pack.read(&file)?;
        println!("{}  {}", file.sha256, pack.path(&file.file).display());
    }
    let engine = start(settings, &pack, 1)?;
    engine.stop();
    println!(
        "all files are intact, the models run on ONNX Runtime {}",
        engine.describe().runtime
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) fn start(settings: &Settings, pack: &Pack, threads: usize) -> Result<Engine, Failure> {
    let runtime = Runtime::load(settings.recognition.ort_dylib_path.as_deref())?;
    let options = EngineOptions {
        threads,
        precision: boot::precision(settings.recognition.precision),
        ..EngineOptions::default()
    };
    Ok(Engine::start(&runtime, pack, options)?)
}

fn pull(settings: &Settings, name: &str) -> Result<ExitCode, Failure> {
    let catalog = Catalog::builtin()?;
    let entry = catalog.find(name)?;
    println!("{}\nlicense: {}", entry.description, entry.license);
    for file in &entry.files {
        println!("  {}: {}", file.name, file.license);
    }
    let root = settings.store.data_dir.join("models");
    boot::make_data_dir(&settings.store.data_dir)?;
    let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(
        "{msg} {bar:30} {bytes}/{total_bytes} {eta}",
    )?);
    let pulled = catalog::pull(entry, &root, |Transfer { file, done, bytes }| {
        if bar.message() != file {
            bar.set_message(file.to_owned());
        }
        bar.set_length(bytes);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let folder = pulled?;
    println!("{name} is in {}", folder.display());
    match Installed::open(&folder)? {
        Installed::AddOn(add_on) => {
            add_on.verify()?;
            println!(
                "set LIVENESS_PACK={name} to use it, and MIN_LIVENESS to the minimum for a punch"
            );
        }
        Installed::Pack(pack) => {
            pack.verify()?;
            if pack.manifest().calibration.is_none() {
                println!(
                    "it has no calibration: run `rollcall models calibrate {name} PHOTOS --write`"
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn calibrate(settings: &Settings, arguments: &Calibrate) -> Result<ExitCode, Failure> {
    let pack = Pack::find(&arguments.pack, &boot::pack_roots(settings))?;
    if arguments.write && pack.manifest().calibration.is_some() {
        return Err(Failure::Refused(format!(
            "{} has a calibration: remove [calibration] from its pack.toml first",
            arguments.pack
        )));
    }
    let threads = settings.recognition.threads.unwrap_or_else(cpu_quota);
    let engine = start(settings, &pack, threads)?;
    let bar = ProgressBar::no_length()
        .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {eta}")?);
    let report = super::block_on(async {
        // Twice as many photos as threads keep all threads busy.
        let measured = calibrate::calibrate(&engine, &arguments.photos, 2 * threads, |progress| {
            let Progress { done, photos } = progress;
            bar.set_length(photos as u64);
            bar.set_position(done as u64);
        });
        Ok(measured.await?)
    });
    bar.finish_and_clear();
    engine.stop();
    let report = report?;
    for (photo, reason) in &report.left_out {
        eprintln!("{}: {reason}", photo.display());
    }
    let source = format!(
        "{} people, {} photos, {} pairs",
        report.people, report.photos, report.pairs
    );
    let section = report.to_toml(&source);
    print!("{report}\n{section}");
    if arguments.write {
        report.calibration(&source)?;
        let manifest = pack.path(MANIFEST);
        let mut file = OpenOptions::new().append(true).open(manifest)?;
        write!(file, "\n{section}")?;
        file.sync_all()?;
        Pack::open(pack.folder())?;
        println!(
            "\ncalibration written: {} can identify people",
            arguments.pack
        );
    }
    Ok(ExitCode::SUCCESS)
}
