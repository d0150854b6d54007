//! What has to be there before anything runs: npm packages and our own binaries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::spin::Runner;
use crate::{Error, Host, Options};

/// The components in `spin.toml`.
pub const SPIN_COMPONENTS: [&str; 5] = ["spin-ops", "spin-auth", "spin-llm-proxy", "spin-rate-limit", "spin-signature"];
const SPIN_TARGET: &str = "wasm32-wasip2";
/// The profile of what ships, in the workspace's `Cargo.toml`.
const SPIN_PROFILE: &str = "spin";

/// Installs the npm packages of `package-lock.json`, unless they are there already.
pub fn npm_packages(root: &Path) -> Result<(), Error> {
    let (lock, installed) = (root.join("package-lock.json"), root.join("node_modules/.installed-lock"));
    if fs::read(&lock).ok() == fs::read(&installed).ok() {
        return Ok(());
    }
    if !runs("node") || !runs("npm") {
        return Err(Error::Missing {
            what: "Node.js 20 or later with npm",
            install: "install it from https://nodejs.org",
        });
    }
    // Not `npm ci`: it refuses a lock file that lacks another platform's optional packages.
    let mut npm = Command::new("npm");
    run(
        npm.args(["install", "--no-save", "--no-fund", "--no-audit", "--loglevel=error"]).current_dir(root),
        "npm install",
    )?;
    fs::copy(&lock, &installed).map_err(|error| Error::step("note what npm installed", error))?;
    Ok(())
}

/// Adds one npm package that is not in the lock file, such as PostgreSQL's binaries for this platform.
pub fn npm_package(root: &Path, package: &str) -> Result<(), Error> {
    run(
        Command::new("npm").args(["install", "--no-save", "--no-fund", "--no-audit", package]).current_dir(root),
        &format!("npm install {package}"),
    )
}

/// Everything that tests and the stack need and that is not compiled with them: npm packages, the WASM targets.
pub fn prepare(root: &Path) -> Result<(), Error> {
    npm_packages(root)?;
    wasm_targets()
}

/// The WASM targets of all hosts.
pub fn wasm_targets() -> Result<(), Error> {
    wasm_target(local_workerd::TARGET)?;
    wasm_target(SPIN_TARGET)
}

fn wasm_target(target: &'static str) -> Result<(), Error> {
    local_workerd::ensure_target(target).map_err(|error| Error::step("add the WASM target", error))
}

/// Builds the stack's own servers and returns the folder that holds them.
pub fn servers(options: &Options<'_>) -> Result<PathBuf, Error> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(options.root).args(["build", "--package", "local-supabase", "--package", "llm-simulator"]);
    if options.hosts.contains(&Host::Native) {
        cargo.args(["--package", "native"]);
    }
    if options.hosts.contains(&Host::Spin) {
        cargo.args(["--package", "spin-host"]);
    }
    if options.release {
        cargo.arg("--release");
    }
    run(&mut cargo, "cargo build")?;
    Ok(target_dir(options.root).join(if options.release { "release" } else { "debug" }))
}

/// Builds the Worker and bundles it into ES modules; returns their folder, or `None` when no host needs them.
pub fn worker(options: &Options<'_>) -> Result<Option<PathBuf>, Error> {
    if !options.hosts.contains(&Host::Workerd) {
        return Ok(None);
    }
    (options.progress)("Worker (WASM)");
    let modules = target_dir(options.root).join("worker");
    let failed = |error: local_workerd::Error| Error::step("build the Worker", error);
    let wasm = local_workerd::build_wasm(options.root, &[]).map_err(failed)?;
    local_workerd::bundle(&wasm, &modules).map_err(failed)?;
    Ok(Some(modules))
}

/// Builds the Spin components and finds what runs them; `None` when no host needs them.
pub fn spin(options: &Options<'_>, binaries: &Path) -> Result<Option<Runner>, Error> {
    if !options.hosts.contains(&Host::Spin) {
        return Ok(None);
    }
    (options.progress)("Spin components (WASM)");
    spin_components(options.root, &SPIN_COMPONENTS)?;
    Ok(Some(Runner::find(binaries)))
}

/// Builds Spin components and returns their files, where their manifests look for them. `spin build` does the same.
pub fn spin_components(root: &Path, packages: &[&str]) -> Result<Vec<PathBuf>, Error> {
    wasm_target(SPIN_TARGET)?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root).args(["build", "--locked", "--target", SPIN_TARGET, "--profile", SPIN_PROFILE]);
    cargo.args(packages.iter().flat_map(|package| ["--package", *package]));
    // A manifest cannot follow the variable. The flags are an outer cargo's, for the host.
    cargo.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    run(&mut cargo, "cargo build for Spin")?;
    let folder = root.join("target").join(SPIN_TARGET).join(SPIN_PROFILE);
    Ok(packages.iter().map(|package| folder.join(format!("{}.wasm", package.replace('-', "_")))).collect())
}

/// Where cargo builds.
pub fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn run(command: &mut Command, what: &str) -> Result<(), Error> {
    let status = command.stdin(Stdio::null()).status().map_err(|error| Error::step(what, error))?;
    if status.success() { Ok(()) } else { Err(Error::step(what, format!("it ended with {status}"))) }
}
