//! The vectors that this decision shares with the one in SQL (`tests/migrations` runs the same file there).

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::collections::BTreeMap;

use quota::{Decision, State, Take};
use serde::Deserialize;
use serde_json::json;

/// Steps that begin with an empty state.
#[derive(Deserialize)]
struct Case {
    name: String,
    /// For how many counters there is room, if not for all.
    most: Option<usize>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    now: u64,
    takes: Vec<Take>,
    decision: Decision,
    /// The state afterwards.
    arrivals: BTreeMap<String, u64>,
}

#[test]
fn every_vector_is_decided_as_written() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../vectors.json")).unwrap();
    assert!(cases.len() >= 12);
    for case in cases {
        let mut state = State::default();
        for (number, step) in case.steps.into_iter().enumerate() {
            let decision = match case.most {
                Some(most) => state.take_within(most, step.now, &step.takes),
                None => state.take(step.now, &step.takes),
            };
            assert_eq!(decision, step.decision, "{}, step {number}", case.name);
            let kept = serde_json::to_value(&state).unwrap();
            assert_eq!(kept, json!({"arrivals": step.arrivals}), "{}, step {number}", case.name);
        }
    }
}
