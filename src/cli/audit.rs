//! `rollcall audit`: who did what, for whoever sits at the server itself.

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use clap::Args;
use serde_json::json;

use super::Failure;
use crate::{
    boot,
    config::Settings,
    ports::{Page, Stores},
    service::audit::{Told, Trail},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How many entries at most
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Entries that are read at once.
const PAGE: usize = 200;

pub(super) fn run(settings: &Settings, arguments: &Arguments) -> Result<ExitCode, Failure> {
    super::block_on(async {
        // Only read: nothing is made, no key either.
        let stores = boot::open_present(settings).await?.stores;
        let done = print(&stores, arguments).await;
        stores.health.close().await;
        match done {
            // Whoever reads has seen enough.
            Err(Failure::Error(error)) if is_broken_pipe(&*error) => Ok(ExitCode::SUCCESS),
            done => done.map(|()| ExitCode::SUCCESS),
        }
    })
}

fn is_broken_pipe(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn print(stores: &Stores, arguments: &Arguments) -> Result<(), Failure> {
    let trail = Trail::new(stores);
    let mut out = BufWriter::new(io::stdout());
    let mut left = arguments.limit;
    let mut after = None;
    while left > 0 {
        let limit = left.min(PAGE);
        let told = trail.list(&Page { after, limit }).await?;
        after = told.last().map(|last| (last.entry.at, last.entry.id));
        for one in &told {
            let line = match arguments.json {
                true => as_json(one),
                false => as_text(one),
            };
            writeln!(out, "{line}")?;
        }
        left -= told.len();
        if told.len() < limit {
            break;
        }
    }
    Ok(out.flush()?)
}

/// When, who, what, to whom and what else, with tabs between.
fn as_text(Told { entry, actor_name }: &Told) -> String {
    let actor = match actor_name {
        Some(name) => format!("{} {name}", entry.actor.kind()),
        None => entry.actor.to_string(),
    };
    let at = format!("{:.3}", entry.at);
    let fields = [&at, &actor, &entry.action, &entry.subject];
    // A name that somebody gave must not look like an entry or a column of its own.
    let clean = |field: &String| field.replace(char::is_control, " ");
    let line: Vec<_> = fields.into_iter().chain(&entry.detail).map(clean).collect();
    line.join("\t")
}

/// As `GET /api/audit` has it.
fn as_json(Told { entry, actor_name }: &Told) -> String {
    json!({
        "id": entry.id,
        "at": format!("{:.3}", entry.at),
        "actor": { "kind": entry.actor.kind(), "id": entry.actor.id(), "name": actor_name },
        "action": entry.action,
        "subject": entry.subject,
        "detail": entry.detail,
    })
    .to_string()
}
