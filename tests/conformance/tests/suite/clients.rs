use std::process::Command;

use conformance::Rig;

super::list![the_openai_sdk_works_as_it_does_direct, the_anthropic_sdk_works_as_it_does_direct];

fn the_openai_sdk_works_as_it_does_direct(rig: &Rig) {
    run(rig, "tests/clients/openai.test.mjs");
}

fn the_anthropic_sdk_works_as_it_does_direct(rig: &Rig) {
    run(rig, "tests/clients/anthropic.test.mjs");
}

/// Runs a real SDK's tests; Node is part of the set-up, so its absence is a failure.
fn run(rig: &Rig, tests: &str) {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let simulator = &rig.stack.simulator.as_ref().unwrap().url;
    let output = Command::new("node")
        .args(["--test", tests])
        .current_dir(root)
        .env("EDGE_URL", &rig.edge.base)
        .env("ACCESS_TOKEN", &rig.stack.demo.access_token)
        .env("SIMULATOR_URL", simulator)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("# fail 0") && !text.contains("# pass 0"), "{text}");
}
