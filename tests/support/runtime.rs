//! Checks whether the program can start: it needs ONNX Runtime, which `make setup` downloads.

use std::path::Path;

use rollcall::vision::Runtime;

use crate::skip::skip;

/// Returns whether ONNX Runtime is missing. If so, reports a skip of the current test, which must
/// return.
pub fn missing() -> bool {
    let configured = std::env::var_os("ORT_DYLIB_PATH");
    let Err(why) = Runtime::load(configured.as_deref().map(Path::new)) else {
        return false;
    };
    let thread = std::thread::current();
    skip(thread.name().unwrap_or("a test"), &why.to_string());
    true
}
