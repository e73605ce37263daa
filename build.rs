//! Lets Cargo build a release again when the pages change: it embeds them, and Cargo does not see
//! files that appear later, such as the libraries of `scripts/setup-pages`. A debug build reads the
//! pages from disk.

#[expect(
    clippy::disallowed_methods,
    reason = "Cargo tells build scripts the profile in a variable"
)]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed=static");
    }
}
