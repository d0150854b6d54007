//! Runs the Worker alone: `cargo run -p local-workerd --example serve -- [port [feature…]]`, until standard input ends.
//! Variables named `EDGE_…` become the Worker's, without the prefix.

#![allow(clippy::disallowed_methods)] // a tool on a person's machine

use std::path::Path;

use local_workerd::{Options, Workerd, build_wasm, bundle};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().map_or(Ok(0), |port| port.parse())?;
    let features: Vec<_> = arguments.collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let (modules, directory) = (root.join(".local/serve/dist"), root.join(".local/serve"));
    let wasm = build_wasm(&root, &features.iter().map(String::as_str).collect::<Vec<_>>())?;
    bundle(&wasm, &modules)?;
    let variables = std::env::vars().filter_map(|(name, value)| Some((name.strip_prefix("EDGE_")?.to_owned(), value)));
    let log = directory.join("workerd.log");
    let options = Options {
        root: &root,
        modules: &modules,
        directory: &directory,
        port,
        variables: variables.collect(),
        log: &log,
        v8_flags: &[],
    };
    let workerd = Workerd::spawn(&options)?;
    println!("{} pid {} log {}", workerd.url(), workerd.pid(), log.display());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
