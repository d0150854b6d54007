//! Signed tokens, good and bad, and how every host must judge them.
//!
//! Each host has its own check of signatures, and in two of them all of the code is compiled to WASM. A host's test posts
//! [`body`] to the probe's `verdicts` inside that host and hands the answer to [`check`].

#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, clippy::indexing_slicing)] // for tests

mod strict_form;
mod wycheproof;

use std::sync::Arc;

use platform::Context;
use platform::fakes::Host;
use serde_json::{Value, json};
use signature::PureRust;

/// A token, the keys to judge it by, and whether it is sound.
#[derive(Debug)]
pub struct Item {
    name: String,
    /// One JSON Web Key, or a set of them (RFC 7517).
    keys: Value,
    jws: String,
    is_sound: bool,
}

const ACCEPTED: &str = "accepted";

/// This project's own items, and Wycheproof's where they are at hand.
pub fn items() -> Vec<Item> {
    strict_form::items().into_iter().chain(wycheproof::items()).collect()
}

/// What the probe's `verdicts` is asked.
pub fn body(items: &[Item]) -> String {
    let asked = items.iter().map(|item| json!({ "keys": item.keys, "jws": item.jws }));
    asked.collect::<Value>().to_string()
}

/// Fails unless the probe's `answer` accepts what is sound and nothing else, and gives for each refusal the reason that
/// is given outside of any host. So hosts that pass agree with each other.
pub fn check(items: &[Item], answer: &str) {
    let verdicts: Vec<String> = serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert_eq!(verdicts.len(), items.len());
    let mut wrong = Vec::new();
    for (item, verdict) in items.iter().zip(&verdicts) {
        let expected = item.verdict();
        if *verdict != expected || (verdict == ACCEPTED) != item.is_sound {
            wrong.push(format!("{}: sound: {}, here: {verdict}, without a host: {expected}", item.name, item.is_sound));
        }
    }
    assert!(wrong.is_empty(), "{} of {} judged wrongly:\n{}", wrong.len(), items.len(), wrong.join("\n"));
    let accepted = verdicts.iter().filter(|verdict| *verdict == ACCEPTED).count();
    println!("{accepted} accepted, {} refused", verdicts.len() - accepted);
}

impl Item {
    /// The verdict without a host.
    fn verdict(&self) -> String {
        let host = Host::new();
        let context = Context { signatures: Arc::new(PureRust), ..host.context() };
        match host.block_on(token::judge(&self.jws, &self.keys, &context)) {
            Ok(()) => ACCEPTED.to_owned(),
            Err(refusal) => refusal.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a host that judges as it should, but for one item that is to be refused.
    fn check_with(verdict_of_one: &str) {
        let items = strict_form::items();
        let mut verdicts: Vec<String> = items.iter().map(Item::verdict).collect();
        let refused = items.iter().position(|item| !item.is_sound).unwrap();
        verdicts[refused] = verdict_of_one.to_owned();
        check(&items, &Value::from(verdicts).to_string());
    }

    #[test]
    #[should_panic(expected = "1 of ")]
    fn an_accepted_forgery_is_noticed() {
        check_with(ACCEPTED);
    }

    #[test]
    #[should_panic(expected = "1 of ")]
    fn another_reason_for_a_refusal_is_noticed() {
        check_with("another");
    }
}
