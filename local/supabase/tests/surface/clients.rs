//! The real supabase-js.

use std::path::Path;
use std::process::Command;

use crate::Test;
use crate::rig::Rig;

pub const TESTS: &[Test] = &[("supabase_js_works", supabase_js)];

fn supabase_js(rig: &Rig) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if !root.join("node_modules/@supabase/supabase-js").exists() {
        return eprintln!("skipped: supabase-js is not installed; `npm ci` installs it");
    }
    if Command::new("node").arg("--version").output().is_err() {
        return eprintln!("skipped: there is no `node` on this machine");
    }
    let surface = rig.another("clients"); // its clock is moved
    let output = Command::new("node")
        .args(["--test", "tests/clients/supabase.test.mjs"])
        .current_dir(root)
        .env("SUPABASE_URL", &surface.url)
        .env("SUPABASE_PUBLISHABLE_KEY", &surface.publishable_key)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
