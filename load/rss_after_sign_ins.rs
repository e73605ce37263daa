//! The memory after 400 wrong sign-ins: `cargo bench --bench rss_after_sign_ins`.
//!
//! Starts the real binary on loopback, and signs in with wrong passwords, ten at a time. Prints the
//! resident memory before and after. It asserts nothing, and ends within a minute.

#[path = "support.rs"]
mod support;

use futures::{StreamExt, stream};
use rollcall::http_client;
use serde_json::json;

use support::{Outcome, Service, ready};

const ATTEMPTS: usize = 400;
const AT_ONCE: usize = 10;

async fn run() -> Outcome<()> {
    let service = Service::start(&[("SIGN_IN_LIMIT", "0")], None)?;
    let client = http_client::builder().build()?;
    ready(&client, &service.base).await?;
    let before = service.memory()?;
    let attempt = async |number: usize| -> Outcome<()> {
        let who =
            json!({"email": format!("x{number}@rollcall.example"), "password": "a wrong guess"});
        let answer = client.post(format!("{}/api/session", service.base));
        match answer.json(&who).send().await?.status().as_u16() {
            401 => Ok(()),
            other => Err(format!("answered {other}").into()),
        }
    };
    let mut answers = stream::iter(0..ATTEMPTS)
        .map(attempt)
        .buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    let after = service.memory()?;
    println!("memory before {before:.0} MiB, after {ATTEMPTS} wrong sign-ins {after:.0} MiB");
    println!("  grown by {:.0} MiB (goal: at most 30)", after - before);
    Ok(())
}

fn main() -> Outcome<()> {
    tokio::runtime::Runtime::new()?.block_on(run())
}
