//! `rollcall keys`: changes the template key while the service runs.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::{Args, Subcommand};
use tokio::time::Instant;

use super::Failure;
use crate::{
    boot,
    clock::{Clock, SystemClock},
    config::{Settings, TemplateKeys},
    domain::installation::Lease,
    repositories::Repositories,
    service::{
        key_rotation::{self, Resealed},
        leased_work::with_lease,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Encrypt all templates, photos and pictures again with the first key
    ///
    /// If template.key in DATA_DIR contains one key, this first adds a new one: restart the
    /// service, then run the same command again. With TEMPLATE_KEY, put the new key before the
    /// old one yourself, restart every instance with both, then run this. It can be stopped at
    /// any moment and run again. docs/OPERATIONS.md has the steps for several instances.
    #[command(verbatim_doc_comment)]
    Rotate(Rotate),
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Remove the old keys from template.key after nothing is encrypted with them anymore
    #[arg(long)]
    finish: bool,
}

/// The lease that allows one such command at a time. Waits for the lease of a killed process to
/// expire.
const NAME: &str = "keys rotate";
const LENGTH: Duration = Duration::from_secs(10);

pub(super) fn run(settings: &Settings, command: Command) -> Result<ExitCode, Failure> {
    let Command::Rotate(Rotate { finish }) = command;
    let given = settings.privacy.template_key.is_some();
    if finish && given {
        return Err(Failure::Refused(
            "--finish works only with the key file: remove the old keys from TEMPLATE_KEY yourself, after `rollcall keys rotate` tells you to".to_owned(),
        ));
    }
    super::block_on_until_signal(async {
        let stores = boot::open_present(settings).await?.stores;
        let holder = SystemClock.id().to_string();
        let begun = Instant::now();
        let done = loop {
            let by = (&stores.leases, &SystemClock as &dyn Clock);
            let work = async |_: &Lease| rotate(settings, &stores, finish).await;
            match with_lease(by, (NAME, &holder), LENGTH, work).await {
                Ok(Some(done)) => break done,
                Ok(None) if begun.elapsed() < 2 * LENGTH => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Ok(None) => {
                    let busy = "another `rollcall keys rotate` is running: wait for it to end";
                    break Err(Failure::Refused(busy.to_owned()));
                }
                Err(cause) => break Err(cause.into()),
            }
        };
        stores.engine.close().await;
        done
    })
}

async fn rotate(
    settings: &Settings,
    stores: &Repositories,
    finish: bool,
) -> Result<ExitCode, Failure> {
    let file = boot::key_file(settings);
    let shown = file.display();
    let given = settings.privacy.template_key.is_some();
    let keys = boot::present_keys(settings)?.ok_or_else(|| {
        Failure::Refused("there is no template key yet: start the service first".to_owned())
    })?;
    if keys.older.is_empty() {
        if given {
            return Err(Failure::Refused(
                "TEMPLATE_KEY contains only one key: put a new one before it, as in TEMPLATE_KEY=$(openssl rand -base64 32),$OLD_KEY, restart every instance with both, then run this again".to_owned(),
            ));
        }
        if finish {
            println!("{shown} contains only one key: there is nothing to finish");
            return Ok(ExitCode::SUCCESS);
        }
        boot::add_key(settings, &keys)?;
        println!(
            "Added a new key before the old one in {shown}. Restart the service now, then run the same command again."
        );
        return Ok(ExitCode::SUCCESS);
    }
    let Some(vault) = boot::present_vault(settings)? else {
        return Err(Failure::Refused("the template key was removed".to_owned()));
    };
    if key_rotation::any_instance_uses(&stores.leases, &SystemClock, &vault.older_ids()).await? {
        return Err(Failure::Refused(format!(
            "an instance still encrypts with an old key, or was killed less than {} seconds ago; nothing was changed: restart every instance with the current keys, the new one first, wait until imports end, then run this again",
            key_rotation::LENGTH.as_secs()
        )));
    }
    let mut reported = Instant::now();
    let report = |so_far: &Resealed| {
        if reported.elapsed() > Duration::from_secs(5) {
            reported = Instant::now();
            println!("{} so far", so_far.done);
        }
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let resealed = key_rotation::reseal_all(stores, &vault, &clock, report).await?;
    let resealed = resealed.ok_or_else(|| {
        Failure::Refused("too many concurrent changes: run this again".to_owned())
    })?;
    println!(
        "{} templates, photos and pictures were encrypted again with the first key",
        resealed.done
    );
    if resealed.unopened > 0 {
        return Err(Failure::Refused(format!(
            "{} templates, photos and pictures cannot be decrypted with any of the keys: keep every key, and see `rollcall doctor`",
            resealed.unopened
        )));
    }
    println!("nothing is encrypted with an old key anymore");
    match (given, finish) {
        (true, _) => println!(
            "Remove the old keys from TEMPLATE_KEY at the next restart. Keep them elsewhere while older copies of the store exist."
        ),
        (false, false) => println!(
            "`rollcall keys rotate --finish` removes the old keys from {shown}. Keep them elsewhere while older copies of the store exist."
        ),
        (false, true) => remove_old(settings, &keys)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn remove_old(settings: &Settings, keys: &TemplateKeys) -> Result<(), Failure> {
    let file = boot::key_file(settings);
    keys.first().replace(&file)?;
    println!(
        "{} contains only the new key. Older copies of the store, and older backups `--without-key`, need the old one: keep it elsewhere while they exist.",
        file.display()
    );
    Ok(())
}
