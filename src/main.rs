//! The `rollcall` program: see [`rollcall::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    rollcall::cli::main()
}
