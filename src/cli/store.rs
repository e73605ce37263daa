//! `rollcall store`: moves an installation from one store to another.

use std::{process::ExitCode, str::FromStr};

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};

use super::Failure;
use crate::{
    boot::{self, Opened},
    config::{Environment, Settings, Source},
    repositories::Repositories,
    service::store_copy::{self, Compared, Copied},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Copy everything into another store, and compare the two
    ///
    /// Stop the service first, and every other command that writes: nothing may use either store
    /// during the copy. Copies accounts, sites, devices, cameras, employees, encrypted templates, photos
    /// and pictures, punches, stored responses, settings and the audit trail unchanged, with their
    /// IDs and times, deleted and revoked ones too. Does not copy sessions (people sign in again)
    /// and the template key (TEMPLATE_KEY, or template.key in DATA_DIR), without which the copied
    /// templates cannot be decrypted.
    ///
    /// Can be run again: it then continues after an interruption, and copies what is new or has
    /// changed in the source. If the target contains anything that the source does not have, the
    /// command fails before it writes anything. At the end, it reads and compares both stores;
    /// exit code 1 means that they differ.
    ///
    /// REDIS_PREFIX and REDIS_CA apply to both stores.
    #[command(verbatim_doc_comment)]
    Copy(CopyArguments),
}

#[derive(Debug, Args)]
pub(super) struct CopyArguments {
    /// The source: sqlite:///path/of/folder/or/file, mongodb://…/database, redis://…/number
    /// (rediss, unix and the other forms of REDIS_URL too), or env:NAME for a URL in this
    /// environment variable, so that its password does not appear in the list of processes
    #[arg(long, value_name = "URL")]
    from: Place,
    /// The target, in the same forms
    #[arg(long, value_name = "URL")]
    to: Place,
    /// Only compare the stores; copy nothing
    #[arg(long)]
    check: bool,
}

/// The place of a store. Its errors never show a URL, which may contain a password.
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
                stores.engine.close().await;
                done
            }
            Err(error) => Err(error),
        };
        source.engine.close().await;
        done
    })
}

async fn open(
    settings: &Settings,
    argument: &str,
    url: &SecretString,
    create: bool,
) -> Result<Opened, Failure> {
    let opened = boot::open_url(settings, url, create).await;
    opened.map_err(|error| Failure::Refused(format!("{argument}: {error}")))
}

async fn copy(
    source: &Repositories,
    target: &Repositories,
    check: bool,
) -> Result<ExitCode, Failure> {
    let (from, to) = (source.engine.description(), target.engine.description());
    if !check {
        println!("copying from {from} to {to}");
        store_copy::copy(source, target, show_copied).await?;
    }
    println!("comparing {from} with {to}");
    let compared = store_copy::compare(source, target).await?;
    show_compared(&compared);
    if !compared.iter().all(Compared::same) {
        return Err(Failure::Refused(if check {
            "the stores differ".to_owned()
        } else {
            "the stores differ, because one of them was used during the copy: stop everything that uses it and copy again; do not use the target until they are the same".to_owned()
        }));
    }
    println!("both stores contain the same records");
    if !check {
        println!(
            "Before you start the service on the target, give it the same TEMPLATE_KEY, or copy template.key to its DATA_DIR. Everybody must sign in again."
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
        "{:>17}: {added} added, {replaced} replaced, {removed} removed",
        kind.many()
    );
}

fn show_compared(compared: &[Compared]) {
    println!("{:>17}  {:>10}  {:>10}  sha-256", "", "source", "target");
    for one in compared {
        let differs = match one.same() {
            true => String::new(),
            false => format!(" differs from {}", one.target.digest),
        };
        println!(
            "{:>17}  {:>10}  {:>10}  {}{differs}",
            one.kind.many(),
            one.source.count,
            one.target.count,
            one.source.digest
        );
    }
}
