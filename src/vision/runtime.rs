//! ONNX Runtime: finds its library, loads it once per process, and opens models.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use ort::{
    environment::Environment,
    logging::LogLevel,
    session::{Session, builder::GraphOptimizationLevel},
};

/// The loaded library. Cheap to clone; all clones share the one environment of the process.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    path: PathBuf,
    version: String,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ONNX Runtime {} ({})", self.version, self.path.display())
    }
}

/// The error for a missing or unusable ONNX Runtime: what was tried, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "ONNX Runtime was not found: {}; run `make setup`, or set ORT_DYLIB_PATH to the library of ONNX Runtime 1.{} or newer",
    list(.tried),
    ort::MINOR_VERSION
)]
pub struct RuntimeError {
    /// Each path, and why it could not be used.
    pub tried: Vec<(PathBuf, String)>,
}

fn list(tried: &[(PathBuf, String)]) -> String {
    let tried: Vec<_> = tried
        .iter()
        .map(|(path, cause)| format!("{} ({cause})", path.display()))
        .collect();
    tried.join(", ")
}

/// Returns the library's file name on this system.
fn library_name() -> String {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}")
}

/// Returns the paths to try: only the configured one, if there is a setting.
fn candidates(configured: Option<&Path>) -> Vec<PathBuf> {
    if let Some(path) = configured {
        // The loader would search a relative path beside the executable first.
        return vec![std::path::absolute(path).unwrap_or_else(|_| path.to_owned())];
    }
    let name = library_name();
    let local = Path::new(".tools/onnxruntime").join(&name);
    let beside = std::env::current_exe().ok();
    let beside = beside
        .as_deref()
        .and_then(Path::parent)
        .map(|folder| folder.join(&name));
    std::path::absolute(local)
        .ok()
        .into_iter()
        .chain(beside)
        .chain([PathBuf::from(&name), PathBuf::from(format!("{name}.1"))])
        .collect()
}

impl Runtime {
    /// Loads the library once per process; later calls return the library that is loaded already.
    ///
    /// If `configured` is given, it is the only path that is tried. Otherwise tries
    /// `.tools/onnxruntime` in the working directory, the executable's folder, and the system's
    /// library paths.
    pub fn load(configured: Option<&Path>) -> Result<Self, RuntimeError> {
        static LOADED: OnceLock<Runtime> = OnceLock::new();
        static LOADING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = LOADED.get() {
            return Ok(runtime.clone());
        }
        let mut tried = Vec::new();
        for path in candidates(configured) {
            if path.is_absolute() && !path.exists() {
                tried.push((path, "not found".to_owned()));
                continue;
            }
            match Self::open(&path) {
                Ok(runtime) => return Ok(LOADED.get_or_init(|| runtime).clone()),
                Err(cause) => tried.push((path, cause)),
            }
        }
        Err(RuntimeError { tried })
    }

    fn open(path: &Path) -> Result<Self, String> {
        // The binding panics on a library that exports the right symbol but lacks the interface.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let builder = ort::init_from(path).map_err(|error| error.to_string())?;
            let environment = builder
                .with_name("rollcall")
                .with_telemetry(false)
                .with_logger(Arc::new(log))
                .build()
                .map_err(|error| error.to_string())?;
            Ok((environment, version(path, ort::info())))
        }));
        let (environment, version) =
            opened.unwrap_or_else(|_| Err("it is not a usable ONNX Runtime".to_owned()))?;
        Ok(Self {
            environment,
            path: path.to_owned(),
            version,
        })
    }

    /// Returns its version, such as `1.31.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the path from which the library was loaded.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a model for one thread; the error is ONNX Runtime's own message.
    #[expect(
        clippy::result_large_err,
        reason = "the runtime's own error, turned into text at once"
    )]
    pub(super) fn session(&self, model: &[u8]) -> Result<Session, String> {
        let message = |error: ort::Error| error.to_string();
        Session::builder(&self.environment)
            .map_err(message)?
            .with_optimization_level(GraphOptimizationLevel::All)
            .and_then(|builder| builder.with_intra_threads(1))
            .and_then(|builder| builder.with_inter_threads(1))
            .and_then(|builder| builder.with_log_level(LogLevel::Warning))
            .map_err(|error| error.to_string())?
            .commit_from_memory(model)
            .map_err(message)
    }
}

/// Forwards the library's warnings and errors to the log; drops what is more verbose.
fn log(level: LogLevel, _category: &str, _id: &str, place: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => {}
        LogLevel::Warning => tracing::debug!(place, "onnx runtime: {message}"),
        LogLevel::Error | LogLevel::Fatal => tracing::warn!(place, "onnx runtime: {message}"),
    }
}

/// Finds the library's version in its symbols (`VERS_1.31.1`), because the binding's interface does
/// not report it. Falls back to the commit in the build information.
fn version(path: &Path, build: &str) -> String {
    const MARK: &[u8] = b"VERS_1.";
    let library = std::fs::read(path).unwrap_or_default();
    let marked = memchr::memmem::find(&library, MARK).map(|at| {
        let rest = &library[at + MARK.len() - 2..];
        let digits = rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || **byte == b'.');
        digits.map(|&byte| char::from(byte)).collect()
    });
    let commit = || {
        let commit = build.split("git-commit-id=").nth(1)?.split(',').next()?;
        Some(format!("of commit {commit}"))
    };
    marked
        .or_else(commit)
        .unwrap_or_else(|| "of unknown version".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_path_is_the_only_one_tried() {
        let places = candidates(Some(Path::new("/nowhere/libonnxruntime.so")));
        assert_eq!(places, [PathBuf::from("/nowhere/libonnxruntime.so")]);
    }

    #[test]
    fn the_version_is_read_from_the_library_or_its_build_information() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("lib.so");
        let build = "ORT Build Info: git-branch=HEAD, git-commit-id=6af1a93, build type=Release";
        std::fs::write(&library, b"....\0VERS_1.31.1\0....").unwrap();
        assert_eq!(version(&library, build), "1.31.1");
        assert_eq!(version(Path::new("nowhere"), build), "of commit 6af1a93");
        assert_eq!(version(Path::new("nowhere"), "else"), "of unknown version");
    }

    #[test]
    fn the_error_lists_the_tried_paths_and_what_to_run() {
        let error = RuntimeError {
            tried: vec![("/a/libonnxruntime.so".into(), "not found".into())],
        };
        let text = error.to_string();
        assert!(text.contains("/a/libonnxruntime.so (not found)"), "{text}");
        assert!(text.contains("make setup"), "{text}");
    }
}
