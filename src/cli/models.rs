//! `rollcall models`: what model packs there are, whether their files are right, fetching others,
//! and measuring their error rates.

use std::{fs::OpenOptions, io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use crate::{
    boot,
    config::Settings,
    vision::{
        Engine, EngineOptions, Pack, Runtime,
        calibrate::{self, Progress},
        catalogue::{self, Catalogue, Transfer},
        cpu_quota,
        pack::{Installed, MANIFEST},
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the packs that are installed, and those that can be fetched
    List,
    /// Check every file of a pack, and that its models run
    Verify {
        /// The pack; without it the one of MODEL_PACK
        pack: Option<String>,
    },
    /// Fetch a pack to DATA_DIR/models; goes on where it was interrupted
    Pull {
        /// A pack of the list
        pack: String,
    },
    /// Measure a pack's thresholds and error rates on photos of many people
    Calibrate(Calibrate),
}

#[derive(Debug, Args)]
pub(super) struct Calibrate {
    /// The pack
    pack: String,
    /// A folder with one folder of photos for each person
    photos: PathBuf,
    /// Add the figures to the pack's pack.toml, if it has none
    #[arg(long)]
    write: bool,
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List => list(settings),
        Command::Verify { pack } => verify(settings, pack.as_deref()),
        Command::Pull { pack } => pull(settings, &pack),
        Command::Calibrate(arguments) => calibrate(settings, &arguments),
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
            "! no packs in {} (MODELS_DIR, DATA_DIR)",
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
                    mark(manifest.id == recognition.model_pack),
                    manifest.id,
                    manifest.name,
                    manifest.licence,
                    folder.display()
                );
            }
            Ok(Installed::AddOn(add_on)) => {
                let manifest = add_on.manifest();
                println!(
                    "{} {:<20} {} ({}), liveness add-on, in {}",
                    mark(recognition.liveness_pack.as_ref() == Some(&manifest.id)),
                    manifest.id,
                    manifest.name,
                    manifest.licence,
                    folder.display()
                );
            }
            Err(error) => println!("! {error}"),
        }
    }
    println!("\nto fetch with `rollcall models pull`:");
    for entry in &Catalogue::builtin()?.entries {
        println!(
            "  {:<20} {} ({})",
            entry.id, entry.description, entry.licence
        );
    }
    Ok(ExitCode::SUCCESS)
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
        "all files are right, the models run on ONNX Runtime {}",
        engine.describe().runtime
    );
    Ok(ExitCode::SUCCESS)
}

fn start(settings: &Settings, pack: &Pack, threads: usize) -> Result<Engine, Failure> {
    let runtime = Runtime::load(settings.recognition.ort_dylib_path.as_deref())?;
    let options = EngineOptions {
        threads,
        ..EngineOptions::default()
    };
    Ok(Engine::start(&runtime, pack, options)?)
}

fn pull(settings: &Settings, name: &str) -> Result<ExitCode, Failure> {
    let catalogue = Catalogue::builtin()?;
    let entry = catalogue.find(name)?;
    println!("{}\nlicence: {}", entry.description, entry.licence);
    for file in &entry.files {
        println!("  {}: {}", file.name, file.licence);
    }
    let root = settings.store.data_dir.join("models");
    boot::make_data_dir(&settings.store.data_dir)?;
    let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(
        "{msg} {bar:30} {bytes}/{total_bytes} {eta}",
    )?);
    let pulled = catalogue::pull(entry, &root, |Transfer { file, done, bytes }| {
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
            println!("set LIVENESS_PACK={name} to use it, MIN_LIVENESS for what a punch needs");
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
            "{} has a calibration: take its [calibration] out of pack.toml first",
            arguments.pack
        )));
    }
    let threads = settings.recognition.threads.unwrap_or_else(cpu_quota);
    let engine = start(settings, &pack, threads)?;
    let bar = ProgressBar::no_length()
        .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {eta}")?);
    let report = super::block_on(async {
        // Twice as many as there are threads keep all of them busy.
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
        println!("\nwritten: {} identifies people now", arguments.pack);
    }
    Ok(ExitCode::SUCCESS)
}
