//! Measures how alike the enrolled people look, and raises their thresholds, after every change of
//! the gallery.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::service::recognition::Recognition;

/// The pause between two measurements.
pub const EVERY: Duration = Duration::from_secs(1);

/// Minimum pause after a measurement, in times its duration: it must not compete with kiosks.
const REST: u32 = 20;

/// Calibrates the gallery until the token is canceled.
pub async fn run(recognition: Arc<Recognition>, stop: CancellationToken) {
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let start = Instant::now();
        let gallery = recognition.clone();
        let measured = tokio::task::spawn_blocking(move || gallery.self_calibrate()).await;
        let took = start.elapsed();
        pause = EVERY.max(took * REST);
        // The supervisor reports a panic, and starts again.
        let measured = measured.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => None,
        });
        if let Some(measured) = measured {
            info!(
                people = measured.people,
                source = measured.source.as_str(),
                common = measured.common,
                largest = measured.largest,
                ?took,
                "calibrated the gallery"
            );
        }
    }
}
