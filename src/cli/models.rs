//! `rollcall models`: what model packs there are, and whether their files are right.

use std::process::ExitCode;

use clap::Subcommand;

use super::Failure;
use crate::{
    boot,
    config::Settings,
    vision::{Engine, EngineOptions, Pack, Runtime},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the packs that are installed
    List,
    /// Check every file of a pack, and that its models run
    Verify {
        /// The pack; without it the one of MODEL_PACK
        pack: Option<String>,
    },
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List => list(settings),
        Command::Verify { pack } => verify(settings, pack.as_deref()),
    }
}

fn list(settings: &Settings) -> Result<ExitCode, Failure> {
    for (folder, pack) in Pack::installed(&boot::pack_roots(settings)) {
        match pack {
            Ok(pack) => {
                let manifest = pack.manifest();
                let used = if manifest.id == settings.recognition.model_pack {
                    '*'
                } else {
                    ' '
                };
                let calibrated = if manifest.calibration.is_some() {
                    "calibrated"
                } else {
                    "not calibrated"
                };
                println!(
                    "{used} {:<12} {} ({}), {calibrated}, in {}",
                    manifest.id,
                    manifest.name,
                    manifest.licence,
                    folder.display()
                );
            }
            Err(error) => println!("! {error}"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(settings: &Settings, name: Option<&str>) -> Result<ExitCode, Failure> {
    let name = name.unwrap_or(&settings.recognition.model_pack);
    let pack = Pack::find(name, &boot::pack_roots(settings))?;
    for file in pack.manifest().files() {
        pack.read(&file)?;
        println!("{}  {}", file.sha256, pack.path(&file.file).display());
    }
    let runtime = Runtime::load(settings.recognition.ort_dylib_path.as_deref())?;
    let options = EngineOptions {
        threads: 1,
        ..EngineOptions::default()
    };
    Engine::start(&runtime, &pack, options)?.stop();
    println!(
        "all files are right, the models run on ONNX Runtime {}",
        runtime.version()
    );
    Ok(ExitCode::SUCCESS)
}
