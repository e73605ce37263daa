//! The `rollcall` program: see [`rollcall::cli`].

use std::process::ExitCode;

#[expect(
    unsafe_code,
    clippy::disallowed_methods,
    reason = "the library knows no other way to be told before it is loaded"
)]
fn main() -> ExitCode {
    // ONNX Runtime's builds bring a telemetry client. It is switched off when the library is
    // loaded, but by then it has written a session file; this keeps it from starting at all.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
    rollcall::cli::main()
}
