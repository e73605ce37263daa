//! The command line. Each command has a module; this one parses arguments and settings, and
//! converts errors to messages and exit codes.

mod admin;
pub mod attendance;
mod audit;
mod backup;
mod demo;
mod doctor;
mod employees;
mod evaluate;
mod evaluation_page;
mod health;
mod keys;
mod models;
mod personal_data;
mod redis;
mod serve;
mod store;
mod tls;

use std::{error::Error, fmt, process::ExitCode};

use clap::{Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    boot,
    config::{ConfigError, Environment, Settings},
    telemetry,
};

/// Self-hosted face attendance: recognizes people on an ordinary CPU and records their punches
///
/// Settings come from environment variables; `rollcall doctor` lists and checks them. An .env
/// file is not read. Exit codes: 0 done, 1 failed, 2 wrong arguments or settings.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Serve,
    /// Run a demo in a temporary service: enroll, punch in, reject a stranger, punch out
    Demo,
    /// Print the configuration, with secrets hidden, and check everything that the service needs
    Doctor(doctor::Arguments),
    /// Check whether the service on HOST and PORT responds: exit code 0, or 1 if it does not
    Health,
    /// Manage accounts
    #[command(subcommand)]
    Admin(admin::Command),
    /// Calculate workdays from a file, to try rules before they are set
    #[command(subcommand)]
    Attendance(attendance::Command),
    /// Print the audit trail: who did what to whom, newest first
    ///
    /// Prints one line per entry: time, actor, action, ID of the subject, and details. The service may
    /// be running. GET /api/audit returns the same entries.
    Audit(audit::Arguments),
    /// Manage employees
    #[command(subcommand, visible_alias = "people")]
    Employees(employees::Command),
    /// Manage model packs
    #[command(subcommand)]
    Models(models::Command),
    /// Inspect Redis and clear cached data
    #[command(subcommand)]
    Redis(redis::Command),
    /// Change the template key while the service runs
    #[command(subcommand)]
    Keys(keys::Command),
    /// Write one encrypted archive of a whole installation, from any store; the service may be running
    ///
    /// The archive contains accounts, sites, devices, cameras, employees, encrypted templates, photos
    /// and pictures, punches, stored responses, settings, the audit trail, and the template key. It does
    /// not contain sessions and jobs. The passphrase comes from BACKUP_PASSPHRASE, from the file in
    /// BACKUP_PASSPHRASE_FILE, or from a prompt. Format: gzip in age 1.
    Backup(backup::Backup),
    /// Restore an archive into a store of any kind; stop the service first
    ///
    /// Reads the whole archive and checks its digests before writing anything. The store must be empty
    /// (a fresh DATA_DIR or database, with which the service was never started), or an earlier state
    /// of the same installation. Can be run again. The passphrase comes from BACKUP_PASSPHRASE, from
    /// the file in BACKUP_PASSPHRASE_FILE, or from a prompt.
    Restore(backup::Restore),
    /// Move a whole installation from one store to another
    #[command(subcommand)]
    Store(store::Command),
    /// Create certificates, so that tablets let the kiosk use their camera
    #[command(subcommand)]
    Tls(tls::Command),
}

/// The reason why a command failed.
#[derive(Debug)]
enum Failure {
    /// A setting is invalid.
    Settings(ConfigError),
    /// The request cannot be fulfilled; contains the message.
    Refused(String),
    /// Another error, with its causes.
    Error(Box<dyn Error + Send + Sync>),
}

impl Failure {
    fn code(&self) -> ExitCode {
        match self {
            Self::Settings(_) => ExitCode::from(2),
            Self::Refused(_) | Self::Error(_) => ExitCode::FAILURE,
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(Box::new(error))
    }
}

/// Shows the error with its causes, one after the other. Skips a cause that the message before
/// contains.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match self {
            Self::Settings(error) => return error.fmt(f),
            Self::Refused(message) => return f.write_str(message),
            Self::Error(error) => error,
        };
        let mut shown = error.to_string();
        f.write_str(&shown)?;
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !shown.contains(&text) {
                write!(f, ": {text}")?;
                shown = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    boot::return_freed_memory();
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("rollcall: {failure}");
            failure.code()
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Demo => demo::run(),
        // Reads the settings itself, because it reports invalid ones among its checks.
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Serve => serve::run(&settings("info")?),
        Command::Health => health::run(&settings("warn")?.server),
        Command::Admin(command) => admin::run(&settings("warn")?, command),
        // Needs no settings: it reads files.
        Command::Attendance(command) => attendance::run(&command),
        Command::Audit(arguments) => audit::run(&settings("warn")?, &arguments),
        Command::Employees(command) => employees::run(&settings("warn")?, command),
        Command::Models(command) => models::run(&settings("warn")?, command),
        Command::Redis(command) => redis::run(&settings("error")?, command),
        Command::Keys(command) => keys::run(&settings("warn")?, command),
        Command::Backup(arguments) => backup::backup(&settings("warn")?, &arguments),
        Command::Restore(arguments) => backup::restore(&settings("warn")?, &arguments),
        Command::Store(command) => store::run(&settings("warn")?, command),
        Command::Tls(command) => tls::run(&settings("warn")?, command),
    }
}

/// Reads the settings and starts the log; commands that print what they do log less.
fn settings(default_level: &str) -> Result<Settings, Failure> {
    let mut settings = Settings::read(&Environment).map_err(Failure::Settings)?;
    if !settings.is_set("LOG_LEVEL") {
        settings.log.level = default_level.to_owned();
    }
    telemetry::start_log(&settings.log);
    Ok(settings)
}

/// Runs a future to its end on a new runtime.
fn block_on<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(task)
}

/// Like [`block_on`], but drops the future at SIGTERM or SIGINT, so that it cleans up.
fn block_on_until_signal<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    block_on(async {
        let mut signals = Signals::new()?;
        tokio::select! {
            done = task => done,
            () = signals.next() => Err(Failure::Refused("interrupted".to_owned())),
        }
    })
}

/// A listener for SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
