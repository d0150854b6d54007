use async_trait::async_trait;
use platform::StoreError;

/// Redis commands, as a host sends them. A connection that has failed is replaced by the next command.
#[async_trait]
pub trait Commands: Send + Sync {
    /// Sends `command` once; lists within the reply are flat. Where there is no answer nobody knows whether it was done.
    async fn execute(&self, command: &str, arguments: &[&str]) -> Result<Vec<Reply>, StoreError>;
}

/// One part of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Nil,
    /// A number.
    Integer(i64),
    /// A text, or a status such as `OK`.
    Text(String),
}
