//! The real clients' own tests; Node and Python are part of the set-up, so their absence is a failure.

use std::process::Command;

use conformance::{Rig, python};

super::list![
    the_openai_client_for_javascript_works_as_it_does_direct,
    the_openai_client_for_python_works_as_it_does_direct,
    the_ai_sdk_works_as_it_does_direct,
    the_anthropic_client_works_as_it_does_direct,
    langchain_works_as_it_does_direct,
];

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../clients");

fn the_openai_client_for_javascript_works_as_it_does_direct(rig: &Rig) {
    node(rig, "openai.test.mjs");
}

fn the_anthropic_client_works_as_it_does_direct(rig: &Rig) {
    node(rig, "anthropic.test.mjs");
}

fn the_ai_sdk_works_as_it_does_direct(rig: &Rig) {
    node(rig, "ai-sdk.test.mjs");
}

fn the_openai_client_for_python_works_as_it_does_direct(rig: &Rig) {
    python(rig, "openai_test.py");
}

fn langchain_works_as_it_does_direct(rig: &Rig) {
    python(rig, "langchain_test.py");
}

fn node(rig: &Rig, file: &str) {
    let said = run(rig, Command::new("node").args(["--test", file]));
    assert!(said.contains("# fail 0") && !said.contains("# pass 0"), "{said}");
}

fn python(rig: &Rig, file: &str) {
    let said = run(rig, Command::new(python::interpreter()).args(["-B", file]));
    assert!(said.contains("\nOK\n") && !said.contains("Ran 0 tests"), "{said}");
}

/// What `command` says, if it succeeds.
fn run(rig: &Rig, command: &mut Command) -> String {
    let output = command
        .current_dir(FOLDER)
        .env("EDGE_URL", &rig.edge.base)
        .env("ACCESS_TOKEN", &rig.stack.demo.access_token)
        .env("SIMULATOR_URL", &rig.stack.simulator.as_ref().unwrap().url)
        // Nothing of what they are told goes anywhere else.
        .envs([("LANGSMITH_TRACING", "false"), ("AI_SDK_LOG_WARNINGS", "false")])
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    said
}
