//! `rollcall keys`: changing the template key while the service runs.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::{Args, Subcommand};
use tokio::time::Instant;

use super::Failure;
use crate::{
    boot,
    clock::{Clock, SystemClock},
    config::{Settings, TemplateKeys},
    ports::{Lease, Stores},
    service::{
        exclusive::with_lease,
        sealing::{self, Resealed},
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Seal all templates, kept photos and pictures anew with the first key
    ///
    /// With one key in template.key of DATA_DIR it makes a new one before that: restart the
    /// service, and run the same again. With TEMPLATE_KEY put the new key before the old one
    /// yourself, restart every instance with both, then run this. It can be stopped at any
    /// moment, and run again. docs/OPERATIONS.md has the steps for several instances.
    #[command(verbatim_doc_comment)]
    Rotate(Rotate),
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// When nothing is sealed with them any more, take the old keys out of template.key
    #[arg(long)]
    finish: bool,
}

/// One such command at a time; whoever was killed is waited for.
const NAME: &str = "keys rotate";
const LENGTH: Duration = Duration::from_secs(10);

pub(super) fn run(settings: &Settings, command: Command) -> Result<ExitCode, Failure> {
    let Command::Rotate(Rotate { finish }) = command;
    let given = settings.privacy.template_key.is_some();
    if finish && given {
        return Err(Failure::Refused(
            "--finish is for the key file: take the old keys out of TEMPLATE_KEY yourself, once `rollcall keys rotate` says so".to_owned(),
        ));
    }
    super::block_on_until_told(async {
        let stores = boot::open_present(settings).await?.stores;
        let here = SystemClock.id().to_string();
        let begun = Instant::now();
        let done = loop {
            let by = (&*stores.leases, &SystemClock as &dyn Clock);
            let work = async |_: &Lease| rotate(settings, &stores, finish).await;
            match with_lease(by, (NAME, &here), LENGTH, work).await {
                Ok(Some(done)) => break done,
                Ok(None) if begun.elapsed() < 2 * LENGTH => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Ok(None) => {
                    let busy = "another `rollcall keys rotate` is at work";
                    break Err(Failure::Refused(busy.to_owned()));
                }
                Err(cause) => break Err(cause.into()),
            }
        };
        stores.health.close().await;
        done
    })
}

async fn rotate(settings: &Settings, stores: &Stores, finish: bool) -> Result<ExitCode, Failure> {
    let file = boot::key_file(settings);
    let shown = file.display();
    let given = settings.privacy.template_key.is_some();
    let keys = boot::present_keys(settings)?.ok_or_else(|| {
        Failure::Refused("there is no template key yet: start the service first".to_owned())
    })?;
    if keys.older.is_empty() {
        if given {
            return Err(Failure::Refused(
                "TEMPLATE_KEY holds one key: put a new one before it, as in TEMPLATE_KEY=$(openssl rand -base64 32),$OLD_KEY, restart every instance with both, then run this again".to_owned(),
            ));
        }
        if finish {
            println!("{shown} holds one key: there is nothing to finish");
            return Ok(ExitCode::SUCCESS);
        }
        boot::add_key(settings, &keys)?;
        println!(
            "A new key stands before the old one in {shown}. Restart the service now, then run the same command again."
        );
        return Ok(ExitCode::SUCCESS);
    }
    let Some(vault) = boot::present_vault(settings)? else {
        return Err(Failure::Refused("the template key is gone".to_owned()));
    };
    if sealing::anybody_seals(&*stores.leases, &SystemClock, &vault.older_ids()).await? {
        return Err(Failure::Refused(format!(
            "somebody still seals with an old key, or was killed less than {} seconds ago: restart every instance with the present keys, the new one first, let imports end, then run this again; nothing was changed",
            sealing::LENGTH.as_secs()
        )));
    }
    let mut told = Instant::now();
    let say = |so_far: &Resealed| {
        if told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            println!("{} so far", so_far.done);
        }
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let resealed = sealing::reseal_all(stores, &vault, &clock, say).await?;
    let resealed = resealed
        .ok_or_else(|| Failure::Refused("too much changes meanwhile: run this again".to_owned()))?;
    println!(
        "{} templates, photos and pictures are sealed anew with the first key",
        resealed.done
    );
    if resealed.unopened > 0 {
        return Err(Failure::Refused(format!(
            "{} templates, photos and pictures cannot be opened with any key here: keep every key, and see `rollcall doctor`",
            resealed.unopened
        )));
    }
    println!("nothing is sealed with an old key any more");
    match (given, finish) {
        (true, _) => println!(
            "Leave the old keys out of TEMPLATE_KEY at the next restart, and keep them apart for as long as there are copies of the store from before."
        ),
        (false, false) => println!(
            "`rollcall keys rotate --finish` takes the old keys out of {shown}; keep them apart for as long as there are copies of the store from before."
        ),
        (false, true) => take_out(settings, &keys)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn take_out(settings: &Settings, keys: &TemplateKeys) -> Result<(), Failure> {
    let file = boot::key_file(settings);
    keys.first().replace(&file)?;
    println!(
        "{} holds the new key alone. Copies of the store, and backups `--without-key`, from before need the old one: keep it apart for as long as there are any.",
        file.display()
    );
    Ok(())
}
