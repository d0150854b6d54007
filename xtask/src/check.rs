use std::process::Command;

use crate::tool::{self, cargo, exists};
use crate::{root, wasm};

/// The newest wrangler that runs on Node.js 20.
const WRANGLER: &str = "4.80.0";
const NODE_CAN_RUN_WRANGLER: &str = "const [major, minor] = process.versions.node.split('.'); process.exit(major > 20 || (major == 20 && minor >= 3) ? 0 : 1)";
/// What is compiled for WASM only: packages and their target.
const WASM: [(&[&str], &str); 2] = [
    (&["cloudflare"], "wasm32-unknown-unknown"),
    (
        &[
            "spin-doorway",
            "spin-ops",
            "spin-auth",
            "spin-llm-proxy",
            "spin-rate-limit",
            "spin-signature",
            "spin-probe",
            "spin-host-guest",
        ],
        "wasm32-wasip2",
    ),
];

/// Format, lints for the host and each WASM target, docs with warnings denied, dependency policy where cargo-deny is
/// installed, and a deployment without an account.
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
    local_stack::wasm_targets().map_err(|error| error.to_string())?;
    for (packages, target) in WASM {
        let mut clippy = cargo(&["clippy", "--target", target, "--all-features", "--locked"]);
        clippy.args(packages.iter().flat_map(|package| ["--package", *package]));
        tool::run(clippy.args(["--", "-D", "warnings"]))?;
    }
    let docs = ["doc", "--workspace", "--exclude", "cloudflare", "--no-deps", "--document-private-items", "--locked"];
    tool::run(cargo(&docs).env("RUSTDOCFLAGS", "-D warnings"))?;
    if exists("cargo-deny", &["--version"]) {
        tool::run(&mut cargo(&["deny", "--locked", "check"]))?;
    } else {
        println!("skipped: cargo-deny is not installed (`cargo install cargo-deny --locked` adds it)");
    }
    deploy_dry_run()
}

/// Lets wrangler pack the Worker as it would for a deployment. It needs no account.
fn deploy_dry_run() -> Result<(), String> {
    if !exists("node", &["--eval", NODE_CAN_RUN_WRANGLER]) {
        println!("skipped: wrangler {WRANGLER} needs Node.js 20.3 or later");
        return Ok(());
    }
    wasm::worker()?;
    let mut wrangler = Command::new("npx");
    wrangler.args(["--yes", &format!("wrangler@{WRANGLER}"), "deploy", "--dry-run", "--outdir", "target/wrangler"]);
    tool::run(wrangler.env("WRANGLER_SEND_METRICS", "false").env("CI", "true").current_dir(root()))
}
