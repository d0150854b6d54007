use std::net::SocketAddr;

use platform::{Configuration, ConfigurationError, Variables};

/// What the server itself needs to know; functions read their own variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `LISTEN`: address and port; port 0 takes a free one. Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// `LOG_LEVEL`: `error`, `warn`, `info`, `debug`, `trace` or `off`. Default `info`.
    pub log_level: String,
}

impl Config {
    /// Reads and checks the variables.
    pub async fn load(variables: &dyn Variables) -> Result<Self, ConfigurationError> {
        let mut read = Configuration::of(variables);
        let listen = read.optional("LISTEN").await.unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let log_level = read.optional("LOG_LEVEL").await.unwrap_or_else(|| "info".to_owned());
        let listen =
            listen.parse().ok().or_else(|| read.fault("LISTEN", "must be an address and a port: 127.0.0.1:8080"));
        read.finish(|| Some(Self { listen: listen?, log_level }))
    }
}
