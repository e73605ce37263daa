//! A real redis-server, which runs for one test. It can be killed, frozen, and restarted at the
//! same address.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::ports::free_port;

/// Returns the path of the program; `ROLLCALL_TEST_REDIS_SERVER` overrides it.
fn program() -> String {
    std::env::var("ROLLCALL_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

/// A running server on loopback, without persistence by default.
pub struct RedisServer {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts one with additional arguments; the error is the reason for skipping the test.
    pub fn with(arguments: &[&str]) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        // Retries if another process takes the port first.
        for _ in 0..5 {
            let port = free_port();
            let mut child = spawn(folder.path(), port, &arguments)?;
            if answers(&mut child, port) {
                return Ok(Self {
                    child,
                    folder,
                    port,
                    arguments,
                });
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        Err(format!("{} does not answer", program()))
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Runs a command on its own connection.
    pub fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        let (name, arguments) = command.split_first().unwrap();
        let mut command = redis::cmd(name);
        command.arg(arguments);
        command.query(&mut connection).unwrap()
    }

    /// Kills it, without a chance to finish anything.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`kill`](Self::kill), with its data on disk.
    pub fn restart(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            self.child = spawn(self.folder.path(), self.port, &self.arguments).unwrap();
            if answers(&mut self.child, self.port) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "redis-server did not start again"
            );
        }
    }

    /// Freezes it: connections stay open, but nothing is answered.
    pub fn freeze(&self) {
        crate::frozen::freeze(self.child.id());
    }

    /// Resumes it.
    pub fn thaw(&self) {
        crate::frozen::thaw(self.child.id());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // The test may have killed it already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &std::path::Path, port: u16, arguments: &[String]) -> Result<Child, String> {
    // The settings of a Sentinel are in a file, which must be the first argument.
    let (file, arguments) = match arguments.split_first() {
        Some((file, rest)) if !file.starts_with('-') => (Some(file), rest),
        _ => (None, arguments),
    };
    Command::new(program())
        .args(file)
        .arg("--port")
        .arg(port.to_string())
        .args(["--bind", "127.0.0.1", "--dir"])
        .arg(folder)
        .args(if file.is_some() {
            &[][..]
        } else {
            &["--save", ""]
        })
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| {
            let name = program();
            format!("{name} cannot be started ({error}): run `make setup-tests`")
        })
}

/// Waits until it responds to a PING, or has ended.
fn answers(child: &mut Child, port: u16) -> bool {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).unwrap();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        let pong = client
            .get_connection_with_timeout(Duration::from_secs(5))
            .and_then(|mut connection| redis::cmd("PING").query::<redis::Value>(&mut connection));
        match pong {
            Ok(_) => return true,
            // If it requires a password, it is running.
            Err(error) if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => return true,
            Err(_) => {}
        }
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    false
}
