//! Objects that are written member by member.

use crate::providers::node::Node;

/// An object that is being written.
#[derive(Default)]
pub(super) struct Writer(String);

impl Writer {
    /// Adds a member that is given as JSON.
    pub(super) fn member(&mut self, name: &str, json: &str) {
        let comma = if self.0.is_empty() { "" } else { "," };
        for part in [comma, "\"", name, "\":", json] {
            self.0.push_str(part);
        }
    }

    /// Adds a member as it is written elsewhere, if it is.
    pub(super) fn copy(&mut self, name: &str, node: Option<&Node<'_>>) {
        if let Some(node) = node {
            self.member(name, node.json());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn finish(self) -> String {
        format!("{{{}}}", self.0)
    }
}

/// The elements, which are JSON, as an array.
pub(super) fn array(elements: &[String]) -> String {
    format!("[{}]", elements.join(","))
}
