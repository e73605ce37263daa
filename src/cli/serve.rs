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
        // Nothing was acknowledged yet, so nothing has to be finished.
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    announce(settings, &running);
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    let serving = running.serve(stop.clone(), hurry.clone());
    let stopping = async {
        signals.next().await;
        info!("stopping: requests under way are finished; a second signal cuts them off");
        stop.cancel();
        signals.next().await;
        hurry.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = serving => served?,
        () = stopping => {}
    }
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Says what the service runs on: to people on standard output, to machines in the log.
fn announce(settings: &Settings, running: &Running) {
    for (what, line) in &running.lines {
        match settings.log.format {
            LogFormat::Text => println!("{what:>10}  {line}"),
            LogFormat::Json => info!(what, "{line}"),
        }
    }
    // Never in the log: whoever has it becomes the first admin.
    if let Some(link) = running.setup_link() {
        println!(
            "\nNobody has an account yet. Open this link once to become the first admin:\n\n    {link}\n"
        );
    }
}
