//! Servers that run in node and print lines of JSON: `tests/servers/node`. One can be killed, and
//! started again at the same port.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

/// The most time that a test waits for a line.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. It ends when this is dropped, and also when the test is killed, because this
/// holds the other end of its standard input.
pub struct NodeServer {
    child: Child,
    pub port: u16,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl NodeServer {
    /// Starts a script at a port, 0 for any; the error is the reason for skipping the test.
    pub fn start(script: &str, port: u16) -> Result<Self, String> {
        Self::with(script, port, &[])
    }

    /// Starts a script with more arguments.
    pub fn with(script: &str, port: u16, more: &[&str]) -> Result<Self, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/node");
        if !folder.join("node_modules").is_dir() {
            return Err("run npm ci in tests/servers/node".to_owned());
        }
        let mut child = Command::new("node")
            .args([script, &port.to_string()])
            .args(more)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|cause| format!("node: {cause}"))?;
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let Some(Ok(first)) = out.next() else {
            return Err(format!("{script} does not start"));
        };
        let first: Value = serde_json::from_str(&first).unwrap();
        let port = first["port"].as_u64().unwrap() as u16;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = lines.clone();
        std::thread::spawn(move || {
            for line in out.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                log.lock().unwrap().push(line);
            }
        });
        Ok(Self { child, port, lines })
    }

    /// Sends it a line.
    pub fn send(&mut self, line: &Value) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Returns what it has printed.
    pub fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits until `enough` of what it printed is true; returns it.
    pub async fn until(&self, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let begin = Instant::now();
        loop {
            let lines = self.lines();
            if enough(&lines) {
                return lines;
            }
            assert!(begin.elapsed() < PATIENCE, "{lines:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it without a chance to finish anything; returns its port.
    pub fn kill(mut self) -> u16 {
        self.end();
        self.port
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for NodeServer {
    fn drop(&mut self) {
        self.end();
    }
}
