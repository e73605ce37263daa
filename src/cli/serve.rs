//! `rollcall serve`: runs the service until SIGTERM or SIGINT.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Failure, Signals};
use crate::{
    boot::Running,
    config::{LogFormat, Settings},
};

pub(super) fn run(settings: &Settings) -> Result<ExitCode, Failure> {
    super::block_on(serve(settings))
}

async fn serve(settings: &Settings) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()?;
    let running = tokio::select! {
        running = Running::start(settings) => running?,
        // No request was acknowledged yet, so there is nothing to finish.
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    announce(settings, &running);
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    let serving = running.serve(stop.clone(), abort.clone());
    let stopping = async {
        signals.next().await;
        info!("stopping after the requests in progress; a second signal aborts them");
        stop.cancel();
        signals.next().await;
        abort.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = serving => served?,
        () = stopping => {}
    }
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Prints a summary at start: on standard output for people, or in the log for machines.
fn announce(settings: &Settings, running: &Running) {
    for (what, line) in &running.lines {
        match settings.log.format {
            LogFormat::Text => println!("{what:>10}  {line}"),
            LogFormat::Json => info!(what, "{line}"),
        }
    }
    // Never in the log, because the link makes its first visitor an admin.
    if let Some(link) = running.setup_link() {
        println!(
            "\nThere is no account yet. Open this link to become the first admin:\n\n    {link}\n"
        );
    }
}
