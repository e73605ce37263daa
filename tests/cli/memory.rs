//! The memory of the real program.

use super::*;

/// Returns the resident memory of a process, in MiB.
fn resident(service: &Service) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", service.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.unwrap().trim().parse::<f64>().unwrap() / 1024.0
}

/// Hashing a password takes 19 MiB, on any of many threads.
#[test]
#[cfg(target_os = "linux")]
fn signing_in_does_not_grow_the_process() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let off = [("RATE_LIMIT", "0"), ("SIGN_IN_LIMIT", "0")];
    let service = Service::start(data.path(), &off);
    let wrong = || {
        let body = serde_json::json!({ "email": "a@b.example", "password": "a wrong guess" });
        let url = format!("http://127.0.0.1:{}/api/session", service.port);
        let client = http_client::blocking().build().unwrap();
        for _ in 0..10 {
            assert_eq!(client.post(&url).json(&body).send().unwrap().status(), 401);
        }
    };
    wrong();
    let before = resident(&service);
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(wrong);
        }
    });
    let grown = resident(&service) - before;
    assert!(grown < 60.0, "grew by {grown} MiB");
}
