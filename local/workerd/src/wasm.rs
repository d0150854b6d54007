use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// What the Worker is compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";
/// The profile of what ships, in the workspace's `Cargo.toml`.
const PROFILE: &str = "wasm";

/// Makes sure that the compiler can build for `target`, by rustup if that manages the toolchain.
pub fn ensure_target(target: &'static str) -> Result<(), Error> {
    if is_installed(target) {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", target]).stdin(Stdio::null()).status();
    if added.is_ok_and(|status| status.success()) { Ok(()) } else { Err(Error::NoTarget(target)) }
}

/// Compiles the Worker of the workspace at `root` and returns the WASM file. The compiler prints to standard error.
pub fn build_wasm(root: &Path, features: &[&str]) -> Result<PathBuf, Error> {
    ensure_target(TARGET)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["build", "--package", "cloudflare", "--target", TARGET, "--profile", PROFILE]);
    command.args(["--features", &features.join(",")]).stdin(Stdio::null());
    // Set by an outer `cargo test` or `cargo run` for the host; here they would only cause rebuilds.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let status = command.status().map_err(Error::io("start cargo"))?;
    if !status.success() {
        return Err(Error::Build);
    }
    let directory = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |path| root.join(path));
    Ok(directory.join(TARGET).join(PROFILE).join("cloudflare.wasm"))
}

/// Whether the target's standard library lies where the compiler looks for it.
fn is_installed(target: &str) -> bool {
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    libraries.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}
