//! A server with MongoDB's protocol, which runs for one test. It can be frozen, killed, and
//! restarted at the same address.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::ports::free_port;

/// Returns the program that `make setup-tests` builds; `ROLLCALL_TEST_MONGO_SERVER` overrides it.
fn program() -> PathBuf {
    std::env::var_os("ROLLCALL_TEST_MONGO_SERVER").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/mongo"),
        PathBuf::from,
    )
}

/// A running server. It ends when this is dropped, and also when the test is killed, because this
/// holds the other end of its standard input.
pub struct MongoServer {
    child: Child,
    folder: tempfile::TempDir,
    address: String,
}

impl MongoServer {
    /// Starts one with an empty folder; the error is the reason for skipping the test.
    pub fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (child, address) = spawn(folder.path(), &format!("127.0.0.1:{}", free_port()))?;
        Ok(Self {
            child,
            folder,
            address,
        })
    }

    /// Returns the connection string.
    pub fn uri(&self) -> String {
        format!("mongodb://{}/", self.address)
    }

    /// Kills it, without a chance to finish anything.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`kill`](Self::kill), with its data on disk.
    pub fn restart(&mut self) {
        let (child, address) = spawn(self.folder.path(), &self.address).unwrap();
        assert_eq!(address, self.address);
        self.child = child;
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

impl Drop for MongoServer {
    fn drop(&mut self) {
        // The test may have killed it already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path, address: &str) -> Result<(Child, String), String> {
    let program = program();
    let mut child = Command::new(&program)
        .arg("-dir")
        .arg(folder)
        .args(["-listen", address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| {
            let name = program.display();
            format!("{name} cannot be started ({error}): run `make setup-tests`")
        })?;
    let mut line = String::new();
    let stdout = child.stdout.take().expect("the output is a pipe");
    BufReader::new(stdout)
        .read_line(&mut line)
        .map_err(|error| error.to_string())?;
    let address = line
        .trim()
        .strip_prefix("mongodb://")
        .map(|address| address.trim_end_matches('/').to_owned());
    address
        .map(|address| (child, address))
        .ok_or_else(|| format!("the server did not print its address, but {line:?}"))
}
