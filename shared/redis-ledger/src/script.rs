use platform::StoreError;

use crate::{Commands, Reply};

/// A script, and the name by which Redis remembers it.
pub(crate) struct Script {
    pub(crate) sha1: &'static str,
    pub(crate) text: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/scripts.rs"));

impl Script {
    /// Runs it with `keys` and `arguments`. A Redis that does not know it yet is told, and remembers it until it restarts.
    pub(crate) async fn run<C: Commands>(
        &self,
        redis: &C,
        keys: &[&str],
        arguments: &[&str],
    ) -> Result<Vec<Reply>, StoreError> {
        let count = keys.len().to_string();
        let with = |script| [&[script, count.as_str()], keys, arguments].concat();
        match redis.execute("EVALSHA", &with(self.sha1)).await {
            Err(StoreError::Unavailable(reason)) if is_unknown(&reason) => {
                redis.execute("EVAL", &with(self.text)).await
            }
            done => done,
        }
    }
}

/// Clients show the error's code in different ways, the text behind it in the same.
fn is_unknown(reason: &str) -> bool {
    reason.contains("NOSCRIPT") || reason.contains("No matching script")
}
