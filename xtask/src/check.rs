use crate::tool::{self, cargo, exists};

/// The target that the Worker is compiled for.
const WASM: &str = "wasm32-unknown-unknown";

/// Format, lints for the host and each WASM target, docs with warnings denied, dependency policy where cargo-deny is
/// installed.
pub fn run() -> Result<(), String> {
    tool::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    let host = [
        "clippy",
        "--workspace",
        "--exclude",
        "cloudflare",
        "--all-targets",
        "--all-features",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    tool::run(&mut cargo(&host))?;
    tool::run(&mut cargo(&[
        "clippy",
        "--package",
        "cloudflare",
        "--target",
        WASM,
        "--all-features",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))?;
    let docs = ["doc", "--workspace", "--exclude", "cloudflare", "--no-deps", "--document-private-items", "--locked"];
    tool::run(cargo(&docs).env("RUSTDOCFLAGS", "-D warnings"))?;
    if exists("cargo-deny", &["--version"]) {
        tool::run(&mut cargo(&["deny", "--locked", "check"]))?;
    } else {
        println!("skipped: cargo-deny is not installed (`cargo install cargo-deny --locked` adds it)");
    }
    Ok(())
}
