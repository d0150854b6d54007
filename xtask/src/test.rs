use crate::root;
use crate::tool::{self, cargo};

/// `cargo xtask test`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// Set-up and every test of the project: units, properties, the real PostgreSQL, and the black-box suite on every host.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    local_stack::prepare(&root()).map_err(|error| error.to_string())?;
    local_redis::install(&root()).map_err(|error| error.to_string())?;
    // The Worker is compiled for WASM by the suite itself; as a host crate it has no tests.
    let mut command = cargo(&["test", "--workspace", "--exclude", "cloudflare", "--locked"]);
    if let Some(filter) = &arguments.filter {
        command.args(["--", filter]);
    }
    tool::run(&mut command)
}
