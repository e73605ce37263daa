//! The `rollcall` program: see [`rollcall::cli`].

use std::process::ExitCode;

#[expect(
    unsafe_code,
    clippy::disallowed_methods,
    reason = "ONNX Runtime reads this setting only from the environment, while it is loaded"
)]
fn main() -> ExitCode {
    // ONNX Runtime includes a telemetry client. Disabling it after the library is loaded is too
    // late: by then, it has written a session file. This variable prevents that. SAFETY: no other
    // thread is running yet.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
    rollcall::cli::main()
}
