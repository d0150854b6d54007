use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use platform::{StoreError, timeout};
use redis_ledger::{Commands, Reply};
use secrecy::{ExposeSecret as _, SecretString};
use spin_sdk::redis::{Connection, Error, RedisParameter, RedisResult};

use crate::clock::Clock;

/// The host's client of Redis, with one connection per instance, which requests share.
pub(crate) struct Redis {
    /// It may hold a password.
    url: SecretString,
    connection: Mutex<Option<Arc<Connection>>>,
}

/// For work beside requests: those have a deadline of their own, which is shorter.
const DEADLINE: Duration = Duration::from_secs(10);

impl Redis {
    /// A client of the Redis at `url`, to which it connects when it is first asked.
    pub(crate) fn new(url: SecretString) -> Self {
        Self { url, connection: Mutex::default() }
    }

    async fn send(&self, command: &str, arguments: Vec<RedisParameter>) -> Result<Vec<RedisResult>, Error> {
        let kept = self.kept(|connection| connection.clone());
        let connection = match kept {
            Some(connection) => connection,
            None => {
                let opened = Arc::new(Connection::open(self.url.expose_secret()).await?);
                self.kept(|connection| Arc::clone(connection.get_or_insert(opened)))
            }
        };
        connection.execute(command, arguments).await
    }

    fn kept<T>(&self, use_it: impl FnOnce(&mut Option<Arc<Connection>>) -> T) -> T {
        use_it(&mut self.connection.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Commands for Redis {
    async fn execute(&self, command: &str, arguments: &[&str]) -> Result<Vec<Reply>, StoreError> {
        let arguments = arguments.iter().map(|argument| RedisParameter::Binary(argument.as_bytes().to_vec())).collect();
        let sent = timeout(&Clock, DEADLINE, self.send(command, arguments)).await;
        let failed = sent.map_or_else(
            |_| Err(StoreError::Unavailable("Redis has not answered in time".into())),
            |sent| sent.map_err(failed),
        );
        match failed {
            Ok(parts) => parts.into_iter().map(reply).collect(),
            Err(error) => {
                // The host does not say whether the connection is at fault, and does not mend one.
                self.kept(Option::take);
                Err(error)
            }
        }
    }
}

fn reply(part: RedisResult) -> Result<Reply, StoreError> {
    match part {
        RedisResult::Nil => Ok(Reply::Nil),
        RedisResult::Int64(number) => Ok(Reply::Integer(number)),
        RedisResult::Status(text) => Ok(Reply::Text(text)),
        RedisResult::Binary(bytes) => {
            let text = String::from_utf8(bytes).map_err(|_| StoreError::Refused("a reply is no text".into()))?;
            Ok(Reply::Text(text))
        }
    }
}

fn failed(error: Error) -> StoreError {
    match error {
        Error::InvalidAddress => {
            StoreError::Refused("REDIS_URL is no address of a Redis, or the manifest does not allow it".into())
        }
        Error::TooManyConnections => StoreError::Unavailable("too many open connections to Redis".into()),
        Error::TypeError => StoreError::Refused("a key in Redis is of another type".into()),
        Error::Other(reason) => StoreError::Unavailable(reason),
    }
}
