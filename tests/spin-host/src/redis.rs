use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Value};

use crate::interfaces::bindings::spin::redis::redis::{Error, RedisParameter, RedisResult};

/// A connection that a guest has opened. Nothing mends it, as on Spin.
#[derive(Clone)]
pub struct Connection(MultiplexedConnection);

impl Connection {
    /// Connects to the Redis at `address`.
    pub(crate) async fn open(address: &str) -> Result<Self, Error> {
        let client = Client::open(address).map_err(|_| Error::InvalidAddress)?;
        // How long to wait the guest decides.
        let patient = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let opened = client.get_multiplexed_async_connection_with_config(&patient).await;
        opened.map(Self).map_err(|error| failed(&error))
    }

    /// Sends a command; lists within the reply become one.
    pub(crate) async fn execute(
        mut self,
        command: &str,
        arguments: Vec<RedisParameter>,
    ) -> Result<Vec<RedisResult>, Error> {
        let mut command = redis::cmd(command);
        for argument in arguments {
            match argument {
                RedisParameter::Int64(number) => command.arg(number),
                RedisParameter::Binary(bytes) => command.arg(bytes),
            };
        }
        let value = command.query_async(&mut self.0).await.map_err(|error| failed(&error))?;
        let mut results = Vec::new();
        flatten(value, &mut results)?;
        Ok(results)
    }
}

fn flatten(value: Value, results: &mut Vec<RedisResult>) -> Result<(), Error> {
    let result = match value {
        Value::Nil => RedisResult::Nil,
        Value::Int(number) => RedisResult::Int64(number),
        Value::BulkString(bytes) => RedisResult::Binary(bytes),
        Value::SimpleString(status) => RedisResult::Status(status),
        Value::Okay => RedisResult::Status("OK".to_owned()),
        Value::Array(values) => return values.into_iter().try_for_each(|value| flatten(value, results)),
        _ => return Err(Error::TypeError),
    };
    results.push(result);
    Ok(())
}

fn failed(error: &RedisError) -> Error {
    Error::Other(error.to_string())
}
