//! Freezes and resumes a process that a test started.

use std::{process::Command, time::Duration};

/// Freezes a process; returns after it has stopped, which is a little later than the signal.
pub fn freeze(id: u32) {
    signal("STOP", id);
    for _ in 0..100 {
        let facts = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let state = facts.rsplit(") ").next();
        if state.is_some_and(|rest| rest.starts_with('T')) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Resumes a process.
pub fn thaw(id: u32) {
    signal("CONT", id);
}

fn signal(signal: &str, id: u32) {
    let kill = format!("kill -{signal} {id}");
    let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(sent.success());
}
