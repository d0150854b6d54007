//! Puts the scripts together, without what only people read, and names each by its SHA-1, as Redis does.

#![allow(clippy::disallowed_methods)] // a build script has nothing but its environment

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use sha1::{Digest as _, Sha1};

const SCRIPTS: [(&str, &[&str]); 3] =
    [("ACCOUNT", &ACCOUNT), ("SHARD", &["numbers.lua", "shard.lua"]), ("ROWS", &["rows.lua"])];
const ACCOUNT: [&str; 7] = [
    "numbers.lua",
    "account/kept.lua",
    "account/counters.lua",
    "account/wishes.lua",
    "account/calls.lua",
    "account/operations.lua",
    "account/written.lua",
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut scripts = String::new();
    for (name, files) in SCRIPTS {
        let mut text = String::new();
        for file in files {
            let source = Path::new("src").join(file);
            println!("cargo::rerun-if-changed={}", source.display());
            let source = fs::read_to_string(source)?;
            let lines = source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--"));
            lines.for_each(|line| text.extend([line, "\n"]));
        }
        let sha1 = format!("{:x}", Sha1::digest(&text));
        writeln!(scripts, "pub(crate) const {name}: Script = Script {{ sha1: {sha1:?}, text: {text:?} }};")?;
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("scripts.rs"), scripts)?;
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
