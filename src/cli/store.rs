//! `rollcall store`: moving a whole site from one store to another.

use std::{process::ExitCode, str::FromStr};

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};

use super::Failure;
use crate::{
    boot::{self, Opened},
    config::{Environment, Settings, Source},
    ports::Stores,
    service::copying::{self, Compared, Copied},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Copy a whole site into another store, and compare the two
    ///
    /// Stop the service first, and every other command that writes: nobody may use either store
    /// while it is copied. Accounts, devices, cameras, employees, sealed templates, photos and
    /// pictures, punches, kept answers, settings and the audit trail are copied as they are, with
    /// their identities and times, deleted and revoked ones too. Not copied: sessions (people sign in again), and
    /// the template key (TEMPLATE_KEY, or template.key in DATA_DIR), without which the copied
    /// templates cannot be opened.
    ///
    /// It can be run again: after it was interrupted it goes on, and what is new or has changed
    /// in the source since is brought over. A target that holds anything which the source does
    /// not have is refused before anything is written. In the end both stores are read and
    /// compared; exit code 1 says that they differ.
    ///
    /// REDIS_PREFIX and REDIS_CA hold for both stores.
    #[command(verbatim_doc_comment)]
    Copy(CopyArguments),
}

#[derive(Debug, Args)]
pub(super) struct CopyArguments {
    /// Where the site is: sqlite:///path/of/folder/or/file, mongodb://…/database,
    /// redis://…/number (rediss, unix and the other forms of REDIS_URL too), or env:NAME for a
    /// URL in that environment variable, where no list of processes shows its password
    #[arg(long, value_name = "URL")]
    from: Place,
    /// Where it is to be, in the same forms
    #[arg(long, value_name = "URL")]
    to: Place,
    /// Only compare, copy nothing
    #[arg(long)]
    check: bool,
}

/// Where a store is. It never shows a URL, which may hold a password.
#[derive(Debug, Clone)]
enum Place {
    Url(SecretString),
    Variable(String),
}

impl FromStr for Place {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix("env:") {
            Some(name) => Self::Variable(name.to_owned()),
            None => Self::Url(text.to_owned().into()),
        })
    }
}

impl Place {
    fn url(self) -> Result<SecretString, Failure> {
        match self {
            Self::Url(url) => Ok(url),
            Self::Variable(name) => match Environment.get(&name) {
                Ok(Some(url)) => Ok(url.into()),
                _ => Err(Failure::Refused(format!("{name} is not set to a URL"))),
            },
        }
    }
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<ExitCode, Failure> {
    let Command::Copy(CopyArguments { from, to, check }) = command;
    let (from, to) = (from.url()?, to.url()?);
    if from.expose_secret() == to.expose_secret() {
        return Err(Failure::Refused(
            "--from and --to are the same store".to_owned(),
        ));
    }
    super::block_on(async {
        let source = open(settings, "--from", &from, false).await?.stores;
        let opened = open(settings, "--to", &to, !check).await;
        let done = match opened {
            Ok(Opened { stores, warnings }) => {
                for warning in warnings {
                    eprintln!("warning: {warning}");
                }
                let done = copy(&source, &stores, check).await;
                stores.health.close().await;
                done
            }
            Err(error) => Err(error),
        };
        source.health.close().await;
        done
    })
}

async fn open(
    settings: &Settings,
    argument: &str,
    url: &SecretString,
    make: bool,
) -> Result<Opened, Failure> {
    let opened = boot::open_url(settings, url, make).await;
    opened.map_err(|error| Failure::Refused(format!("{argument}: {error}")))
}

async fn copy(source: &Stores, target: &Stores, check: bool) -> Result<ExitCode, Failure> {
    let (from, to) = (source.health.description(), target.health.description());
    if !check {
        println!("copying from {from} to {to}");
        copying::copy(source, target, show_copied).await?;
    }
    println!("comparing {from} with {to}");
    let compared = copying::compare(source, target).await?;
    show_compared(&compared);
    if !compared.iter().all(Compared::same) {
        return Err(Failure::Refused(if check {
            "the stores differ".to_owned()
        } else {
            "the stores differ: one of them was used meanwhile; stop what uses it and copy again, and do not use the target before they are the same".to_owned()
        }));
    }
    println!("both stores hold the same");
    if !check {
        println!(
            "Before you start the service on the target: give it the same TEMPLATE_KEY, or the same template.key in its DATA_DIR, which was not copied. Everybody has to sign in again."
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn show_copied(copied: Copied) {
    let Copied {
        kind,
        added,
        replaced,
        removed,
    } = copied;
    println!(
        "{:>16}: {added} added, {replaced} replaced, {removed} removed",
        kind.plural()
    );
}

fn show_compared(compared: &[Compared]) {
    println!("{:>16}  {:>10}  {:>10}  sha-256", "", "source", "target");
    for one in compared {
        let differs = match one.same() {
            true => String::new(),
            false => format!(" differs from {}", one.target.digest),
        };
        println!(
            "{:>16}  {:>10}  {:>10}  {}{differs}",
            one.kind.plural(),
            one.source.count,
            one.target.count,
            one.source.digest
        );
    }
}
