use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const TARGET: &str = "wasm32-wasip2";
/// The one of the components that ship: whoever has built those has built what this one needs.
const PROFILE: &str = "spin";

/// The component that does what a test asks for, built when the first test needs it.
pub fn wasm() -> &'static Path {
    static WASM: OnceLock<PathBuf> = OnceLock::new();
    WASM.get_or_init(build)
}

fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&root).args([
        "build",
        "--locked",
        "--package",
        "spin-host-guest",
        "--target",
        TARGET,
        "--profile",
        PROFILE,
    ]);
    // Set by an outer `cargo test` for the host; here they would only cause rebuilds.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    assert!(cargo.status().unwrap().success(), "it needs `rustup target add {TARGET}`");
    target.join(TARGET).join(PROFILE).join("spin_host_guest.wasm")
}
