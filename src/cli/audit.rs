//! `rollcall audit`: prints the audit trail.

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
    domain::grants::Reach,
    ports::Page,
    repositories::Repositories,
    service::audit::{NamedEntry, Trail},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Maximum number of entries
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

/// Number of entries that are read at once.
const PAGE: usize = 200;

pub(super) fn run(settings: &Settings, arguments: &Arguments) -> Result<ExitCode, Failure> {
    super::block_on(async {
        // Only reads: creates neither a store nor a key.
        let stores = boot::open_present(settings).await?.stores;
        let done = print(&stores, arguments).await;
        stores.engine.close().await;
        match done {
            // The reader, such as `head`, has stopped reading.
            Err(Failure::Error(error)) if is_broken_pipe(&*error) => Ok(ExitCode::SUCCESS),
            done => done.map(|()| ExitCode::SUCCESS),
        }
    })
}

fn is_broken_pipe(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn print(stores: &Repositories, arguments: &Arguments) -> Result<(), Failure> {
    let trail = Trail::new(stores);
    let mut out = BufWriter::new(io::stdout());
    let mut left = arguments.limit;
    let mut after = None;
    while left > 0 {
        let limit = left.min(PAGE);
        let page = Page { after, limit };
        let entries = trail.list(&Reach::Everything, &page).await?;
        after = entries.last().map(|last| (last.entry.at, last.entry.id));
        for entry in &entries {
            let line = match arguments.json {
                true => as_json(entry),
                false => as_text(entry),
            };
            writeln!(out, "{line}")?;
        }
        left -= entries.len();
        if entries.len() < limit {
            break;
        }
    }
    Ok(out.flush()?)
}

/// Formats an entry: time, actor, action, subject and detail, separated by tabs.
fn as_text(NamedEntry { entry, actor_name }: &NamedEntry) -> String {
    let actor = match actor_name {
        Some(name) => format!("{} {name}", entry.actor.kind()),
        None => entry.actor.to_string(),
    };
    let at = format!("{:.3}", entry.at);
    let fields = [&at, &actor, &entry.action, &entry.subject];
    // A name must not look like a separate entry or column.
    let clean = |field: &String| field.replace(char::is_control, " ");
    let line: Vec<_> = fields.into_iter().chain(&entry.detail).map(clean).collect();
    line.join("\t")
}

/// Formats an entry as `GET /api/audit` returns it.
fn as_json(NamedEntry { entry, actor_name }: &NamedEntry) -> String {
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
