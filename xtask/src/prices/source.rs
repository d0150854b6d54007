//! The two lists, fetched by the clients of their registries and pinned by their hashes.

use std::fs;
use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::tool::{self, cargo};

/// A list and the licence it comes under.
pub struct Source {
    pub version: String,
    pub licence: String,
    pub json: String,
}

/// LiteLLM on PyPI. Never 1.82.7 or 1.82.8, into which somebody had put a back door.
const LITELLM: &str = "1.106.2";
const LITELLM_WHEEL: &str = "cb1a2a1e55a4a8350ae2167525dc0d06f59b078cd685fb3e0f5419f02da5420e";
const LITELLM_PRICES: &str = "66970be01c88f94618f9f69c1a1d29e400474f2d7b89973de7e373c110f455c2";
/// genai-prices on crates.io, whose index has the crate's hash.
const GENAI: &str = "0.2.1";
const GENAI_PRICES: &str = "36b2d46ee3f339666e58962d6e4d9ecb175adf2a0456ad029ea0cbafd9baf75c";

/// Reads one member of a wheel. Nothing of it is run.
const MEMBER: &str = "import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))";

/// LiteLLM's list, out of its wheel.
pub fn litellm(folder: &Path) -> Result<Source, String> {
    let pins = folder.join("requirements.txt");
    let pinned = format!("litellm=={LITELLM} --hash=sha256:{LITELLM_WHEEL}\n");
    fs::write(&pins, pinned).map_err(|error| format!("{} cannot be written: {error}", pins.display()))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]);
    // The same wheel whatever machine this is.
    pip.args(["--only-binary=:all:", "--platform=manylinux_2_28_x86_64", "--python-version=3.11", "--abi=abi3"]);
    tool::run(pip.arg("--dest").arg(folder).arg("--requirement").arg(&pins))?;
    let wheel = folder.join(format!("litellm-{LITELLM}-cp310-abi3-manylinux_2_28_x86_64.whl"));
    let json = member(&wheel, "litellm/model_prices_and_context_window_backup.json")?;
    expect_hash(&json, LITELLM_PRICES)?;
    let licence = member(&wheel, &format!("litellm-{LITELLM}.dist-info/licenses/LICENSE"))?;
    Ok(Source { version: format!("litellm-{LITELLM}"), licence, json })
}

/// The list of genai-prices, out of its crate.
pub fn genai(folder: &Path) -> Result<Source, String> {
    let project = folder.join("second");
    let write = |path: &str, text: &str| {
        let path = project.join(path);
        path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text))
    };
    let manifest = format!(
        "[package]\nname = \"second\"\nedition = \"2024\"\n[workspace]\n[dependencies]\ngenai-prices = \"={GENAI}\"\n"
    );
    write("Cargo.toml", &manifest)
        .and_then(|()| write("src/lib.rs", ""))
        .map_err(|error| format!("{} cannot be written: {error}", project.display()))?;
    tool::run(cargo(&["vendor", "--quiet"]).current_dir(&project))?;
    let read = |path: &str| {
        let path = project.join("vendor/genai-prices").join(path);
        fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
    };
    let json = read("data/prices.json")?;
    expect_hash(&json, GENAI_PRICES)?;
    Ok(Source { version: format!("genai-prices-{GENAI}"), licence: read("LICENSE")?, json })
}

fn member(wheel: &Path, name: &str) -> Result<String, String> {
    let read = Command::new("python3").args(["-c", MEMBER]).arg(wheel).arg(name).output();
    let read = read.map_err(|error| format!("python3 could not be started: {error}"))?;
    if !read.status.success() {
        return Err(format!("{} has no {name}", wheel.display()));
    }
    String::from_utf8(read.stdout).map_err(|_| format!("{name} is no UTF-8"))
}

fn expect_hash(text: &str, expected: &str) -> Result<(), String> {
    let found = format!("{:x}", Sha256::digest(text));
    if found == expected { Ok(()) } else { Err(format!("SHA-256 {found} instead of {expected}: not the pinned list")) }
}
