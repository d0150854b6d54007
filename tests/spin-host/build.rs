//! Generates the bindings of Spin's interfaces from their definitions in spin-sdk's own source, of which the project
//! keeps no copy.

#![allow(clippy::disallowed_methods)] // a build script has nothing but its environment

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// What the host implements, as folders of the SDK's `wit/deps`.
const PACKAGES: [&str; 3] = ["spin-variables@3.0.0", "spin-key-value@3.0.0", "spin-redis@3.0.0"];

fn main() -> Result<(), Box<dyn Error>> {
    let definitions = sdk()?.join("wit/deps");
    let mut paths = Vec::new();
    for package in PACKAGES {
        let path = definitions.join(package);
        if !path.is_dir() {
            return Err(format!("this version of spin-sdk has no {}", path.display()).into());
        }
        paths.push(format!("{:?}", path.display().to_string()));
    }
    let bindings = format!(
        r#"wasmtime::component::bindgen!({{
    inline: "package qlp:spin-host; world interfaces {{
        import spin:variables/variables@3.0.0;
        import spin:key-value/key-value@3.0.0;
        import spin:redis/redis@3.0.0;
    }}",
    path: [{}],
    imports: {{
        "spin:key-value/key-value.[method]store.get-keys": async | trappable,
        default: async,
    }},
    with: {{
        "spin:key-value/key-value.store": crate::stores::Open,
        "spin:redis/redis.connection": crate::redis::Connection,
    }},
}});
"#,
        paths.join(", ")
    );
    fs::write(Path::new(&env::var("OUT_DIR")?).join("interfaces.rs"), bindings)?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../Cargo.lock");
    Ok(())
}

/// Where cargo keeps the source of spin-sdk, a dependency of this package for a target that it is never built for.
fn sdk() -> Result<PathBuf, Box<dyn Error>> {
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo.args(["metadata", "--format-version=1", "--manifest-path"]);
    let output = cargo.arg(Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml")).output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let member = |package: &Value, name: &str| package.get(name).and_then(Value::as_str).map(str::to_owned);
    let packages = metadata.get("packages").and_then(Value::as_array).ok_or("cargo metadata lists no packages")?;
    let sdk = packages.iter().find(|package| member(package, "name").as_deref() == Some("spin-sdk"));
    let manifest = sdk.and_then(|sdk| member(sdk, "manifest_path")).ok_or("spin-sdk is not a dependency")?;
    Ok(Path::new(&manifest).parent().ok_or("spin-sdk has no folder")?.to_owned())
}
