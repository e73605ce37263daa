//! The command line. Each command has a module; this one reads the arguments and settings, and
//! turns errors into messages and exit codes.

mod admin;
mod audit;
mod backup;
mod demo;
mod doctor;
mod employees;
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
    config::{ConfigError, Environment, Settings},
    telemetry,
};

/// Self-hosted face attendance: recognises people on an ordinary CPU and records their punches
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
    /// Enroll, punch in, refuse a stranger and punch out, in a service of its own that leaves nothing behind
    Demo,
    /// Print the configuration, secrets hidden, and check everything the service stands on
    Doctor(doctor::Arguments),
    /// Ask the service on this machine's HOST and PORT whether it answers: exit code 0, or 1
    Health,
    /// Manage accounts
    #[command(subcommand)]
    Admin(admin::Command),
    /// Print the audit trail: who did what to whom, newest first
    ///
    /// A line each: when, who, what, the identity of what it was done to, and what else is worth
    /// knowing. The service may go on meanwhile. GET /api/audit tells the same.
    Audit(audit::Arguments),
    /// Manage employees
    #[command(subcommand, visible_alias = "people")]
    Employees(employees::Command),
    /// Manage model packs
    #[command(subcommand)]
    Models(models::Command),
    /// Look at Redis, and clear what is cached there
    #[command(subcommand)]
    Redis(redis::Command),
    /// Change the template key while the service runs
    #[command(subcommand)]
    Keys(keys::Command),
    /// Make one encrypted archive of a whole site, from any store; the service may go on meanwhile
    ///
    /// In it are accounts, devices, cameras, employees, sealed templates, photos and
    /// pictures, punches, kept answers, settings, the audit trail, and the template key. Not in it
    /// are sessions and jobs. The passphrase comes from BACKUP_PASSPHRASE, from
    /// the file that BACKUP_PASSPHRASE_FILE names, or is asked for. Format: gzip in age 1.
    Backup(backup::Backup),
    /// Bring a store, of any kind, to what an archive holds; stop the service first
    ///
    /// All of the archive is read and held to its digests before anything is written. The store
    /// must be empty (a fresh DATA_DIR or database, in which the service was never started), or an
    /// earlier state of the same site. Can be run again. The passphrase comes from
    /// BACKUP_PASSPHRASE, from the file that BACKUP_PASSPHRASE_FILE names, or is asked for.
    Restore(backup::Restore),
    /// Move a whole site from one store to another
    #[command(subcommand)]
    Store(store::Command),
    /// Make certificates, so that tablets give the kiosk their camera
    #[command(subcommand)]
    Tls(tls::Command),
}

/// Why a command failed.
#[derive(Debug)]
enum Failure {
    /// A setting is wrong.
    Settings(ConfigError),
    /// Something that was asked for cannot be; the message says why.
    Refused(String),
    /// Something else, with its causes.
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

/// The error with its causes, one after the other; a cause that its effect quotes is not repeated.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match self {
            Self::Settings(error) => return error.fmt(f),
            Self::Refused(message) => return f.write_str(message),
            Self::Error(error) => error,
        };
        let mut said = error.to_string();
        f.write_str(&said)?;
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
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
        // Doctor tells about bad settings among everything else.
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Serve => serve::run(&settings("info")?),
        Command::Health => health::run(&settings("warn")?.server),
        Command::Admin(command) => admin::run(&settings("warn")?, command),
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
fn settings(usual_level: &str) -> Result<Settings, Failure> {
    let mut settings = Settings::read(&Environment).map_err(Failure::Settings)?;
    if !settings.is_set("LOG_LEVEL") {
        settings.log.level = usual_level.to_owned();
    }
    telemetry::start_log(&settings.log);
    Ok(settings)
}

/// Runs a future to its end on the threads of a runtime of its own.
fn block_on<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(task)
}

/// The same, given up and cleared away when the process is told to end.
fn block_on_until_told<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    block_on(async {
        let mut signals = Signals::new()?;
        tokio::select! {
            done = task => done,
            () = signals.next() => Err(Failure::Refused("stopped before the end".to_owned())),
        }
    })
}

/// SIGTERM and SIGINT.
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
