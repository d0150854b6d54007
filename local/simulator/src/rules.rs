//! Behaviours queued for the requests to come.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::behaviour::Behaviour;

/// A behaviour for the next requests that match.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which requests; an empty object is all of them.
    #[serde(default, rename = "match")]
    matching: Matching,
    /// For how many requests; 0: until the faults are cleared.
    #[serde(default = "once")]
    times: u64,
    /// How they are answered.
    behaviour: Behaviour,
}

/// What a request must have. A member that is absent matches everything.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Matching {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

/// What a request offers to match on.
pub struct Traits<'a> {
    pub api_key: Option<&'a str>,
    pub model: Option<&'a str>,
    pub marker: Option<&'a str>,
    pub path: &'a str,
}

/// The rules still in force, oldest first.
#[derive(Debug, Default)]
pub struct Queue(Mutex<VecDeque<Rule>>);

impl Queue {
    /// Adds the rule or the list of rules that `json` holds after those that are there; answers how many there are.
    pub fn add(&self, json: &[u8]) -> serde_json::Result<usize> {
        let many = json.trim_ascii_start().starts_with(b"[");
        let rules: Vec<Rule> = if many { serde_json::from_slice(json)? } else { vec![serde_json::from_slice(json)?] };
        let mut queue = self.rules();
        queue.extend(rules);
        Ok(queue.len())
    }

    /// The behaviour of the first rule that matches, which is then used up by one.
    pub fn take(&self, request: &Traits<'_>) -> Option<Behaviour> {
        let mut queue = self.rules();
        let at = queue.iter().position(|rule| rule.matching.holds(request))?;
        let rule = queue.get_mut(at)?;
        let behaviour = rule.behaviour.clone();
        match rule.times {
            0 => {}
            1 => drop(queue.remove(at)),
            _ => rule.times -= 1,
        }
        Some(behaviour)
    }

    /// The rules still in force.
    pub fn list(&self) -> Vec<Rule> {
        self.rules().iter().cloned().collect()
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        self.rules().clear();
    }

    fn rules(&self) -> MutexGuard<'_, VecDeque<Rule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Matching {
    fn holds(&self, request: &Traits<'_>) -> bool {
        let same = |wanted: &Option<String>, given: Option<&str>| wanted.is_none() || wanted.as_deref() == given;
        same(&self.api_key, request.api_key)
            && same(&self.model, request.model)
            && same(&self.marker, request.marker)
            && same(&self.path, Some(request.path))
    }
}

fn once() -> u64 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(json: &str) -> Queue {
        let queue = Queue::default();
        queue.add(json.as_bytes()).unwrap();
        queue
    }

    fn request(model: &'static str) -> Traits<'static> {
        Traits { api_key: Some("k"), model: Some(model), marker: None, path: "/v1/chat/completions" }
    }

    #[test]
    fn a_rule_is_used_as_often_as_it_says_and_only_by_what_matches() {
        let queue = queue(r#"{"match":{"model":"a"},"times":2,"behaviour":{"status":500}}"#);
        assert!(queue.take(&request("b")).is_none());
        assert_eq!(queue.take(&request("a")).unwrap().status, Some(500));
        assert_eq!(queue.take(&request("a")).unwrap().status, Some(500));
        assert!(queue.take(&request("a")).is_none());
    }

    #[test]
    fn rules_are_taken_in_order_and_zero_times_means_for_good() {
        let queue = queue(r#"[{"behaviour":{"status":429}},{"times":0,"behaviour":{"status":503}}]"#);
        let statuses: Vec<_> = (0..3).map(|_| queue.take(&request("a")).unwrap().status.unwrap()).collect();
        assert_eq!(statuses, [429, 503, 503]);
        queue.clear();
        assert!(queue.take(&request("a")).is_none());
    }
}
