use conformance::{Rig, marker};
use serde_json::json;

super::list![the_host_keeps_the_contract_of_the_port, a_panic_ends_one_request_and_the_next_one_works];

/// The native doorway runs the contract in its own crate's tests; on workerd it runs inside the Worker.
fn the_host_keeps_the_contract_of_the_port(rig: &Rig) {
    if rig.host == "native" {
        return;
    }
    let peer = &rig.stack.simulator.as_ref().unwrap().url;
    let outcomes = rig.probe(&format!("/__probe/contract?peer={peer}"));
    let outcomes = outcomes.as_array().unwrap_or_else(|| panic!("{outcomes}"));
    assert!(outcomes.len() > 15, "{outcomes:?}");
    let failures: Vec<_> = outcomes.iter().filter(|outcome| !outcome["failure"].is_null()).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

fn a_panic_ends_one_request_and_the_next_one_works(rig: &Rig) {
    if rig.host == "native" {
        return;
    }
    let edge = rig.edge_with(&[]);
    let alone = Rig { edge: conformance::Client::new(&edge.url), ..rig.clone() };
    alone.edge.get("/healthz").expect(200);
    alone.edge.get("/__probe/panic").expect_problem(500, "internal");
    alone.user().post("/v1/chat/completions", &Rig::chat(&marker("after-panic"), &json!({}), false)).expect(200);
}
