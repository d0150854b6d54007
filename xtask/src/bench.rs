use local_stack::{Host, Options, SPIN_COMPONENTS, Settings, Stack, target_dir};

use crate::progress::Progress;
use crate::root;
use crate::tool::{self, cargo};

/// `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Passed on to the bench, such as `--only json --rounds 9`; `--help` explains its rows and columns.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Measures every host beside a direct run, on optimised builds and a stack of their own.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let (root, target) = (root(), target_dir(&root()));
    tool::run(&mut cargo(&["build", "--release", "--package", "bench", "--locked"]))?;
    let state = target.join("bench-stack");
    std::fs::create_dir_all(&state).map_err(|error| error.to_string())?;
    let progress = Progress::new();
    let stack = Stack::start(&Options {
        root: &root,
        state: &state,
        hosts: &[Host::Workerd, Host::Native, Host::Spin],
        port: 0,
        durable: false,
        release: true,
        // More than one user can ask for in an hour of measuring.
        settings: &Settings::from([
            ("LLM_USER_REQUESTS_PER_HOUR", "1000000000"),
            ("LLM_ORG_REQUESTS_PER_HOUR", "1000000000"),
        ]),
        progress: &|step| progress.step(step),
    });
    let stack = stack.map_err(|error| error.to_string())?;
    progress.done();
    let mut bench = std::process::Command::new(target.join("release/bench"));
    bench.arg("--stack").arg(state.join("stack.json")).arg("--reference");
    let components = local_stack::spin_components(&root, &SPIN_COMPONENTS).map_err(|error| error.to_string())?;
    for module in std::iter::once(target.join("worker/index_bg.wasm")).chain(components) {
        bench.arg("--wasm").arg(module);
    }
    let result = tool::run(bench.args(&arguments.arguments).current_dir(&root));
    drop(stack);
    result
}
